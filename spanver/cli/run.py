"""`spanver run`: a learner on a problem, what it learned, and what it cost next to its bounds.

What differs between learners is read off the table of `spanver.runs.learners`; no learner is named here.
"""

from __future__ import annotations

import shlex
from collections.abc import Container
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from typer import Option

from spanver.cli.terminal import check_outputs, console, errors, plain, rounds_progress, status, stoppable
from spanver.errors import ArgumentError
from spanver.verdicts import Verdict

if TYPE_CHECKING:
    from spanver.runs.learners import Learner
    from spanver.runs.plans import Plan
    from spanver.runs.records import Checkpoint, LayeredCheckpoint

_PROBLEM = "By name, see below; then :key=value,.. (2**40 is a number). [default: the learner's first]"

# Options that every learner has.
ProblemOption: TypeAlias = Annotated[str | None, Option(help=_PROBLEM)]
LearnerOption: TypeAlias = Annotated[
    str | None, Option(help="By name, see below. [default: the first that runs on the problem]")
]
SettingsOption: TypeAlias = Annotated[
    list[str] | None, Option("--set", help="A setting of the learner, such as nu=0.3; may be repeated.")
]
SeedOption: TypeAlias = Annotated[int, Option(help="Seed of the run; that of the problem is a key of the problem.")]
OutOption: TypeAlias = Annotated[Path, Option("--out", "--json", help="Record; its arrays lie next to it, as .npz.")]

# Options of some learners, by the names that their plans have for them.
OracleOption: TypeAlias = Annotated[
    str | None, Option(help="counted or literal, but for text as a whole. [default: counted]")
]
SamplerOption: TypeAlias = Annotated[
    str | None, Option(help="softmax (A1) or race (A1r). [default: softmax; race on text]")
]
KindOption: TypeAlias = Annotated[
    str,
    Option(
        "--settings",
        help="practical; derived: proved, far too many samples to run; or paper: the paper's, with still more samples.",
    ),
]
EpsOption: TypeAlias = Annotated[float, Option(help="Accuracy that settings of the theory are for.")]
DeltaOption: TypeAlias = Annotated[
    float, Option(help="Failure probability that bounds and settings of the theory are for.")
]
CoverageOption: TypeAlias = Annotated[
    str | None, Option(help="That settings are for, or 'unknown' (with --budget). [default: the exact one]")
]
BudgetOption: TypeAlias = Annotated[int | None, Option(help="Samples that a run of unknown coverage may draw.")]
FigureOption: TypeAlias = Annotated[
    Path | None, Option(help="Draw what was learned, and the ledger, by rounds (png, svg, pdf).")
]
ResumeOption: TypeAlias = Annotated[bool, Option("--resume", help="Continue the unfinished run of --out as planned.")]

_EVERY_LEARNER = frozenset({"problem", "learner", "settings", "seed", "out"})


def run(
    context: typer.Context,
    problem: ProblemOption = None,
    learner: LearnerOption = None,
    settings: SettingsOption = None,
    oracle: OracleOption = None,
    sampler: SamplerOption = None,
    seed: SeedOption = 0,
    settings_kind: KindOption = "practical",
    eps: EpsOption = 0.1,
    delta: DeltaOption = 0.1,
    coverage: CoverageOption = None,
    budget: BudgetOption = None,
    out: OutOption = Path("run.json"),
    figure: FigureOption = None,
    resume: ResumeOption = False,
) -> None:
    """Run a learner on a problem, and show what was learned and what it cost next to its bounds."""
    from spanver.runs.figures import check_figure  # noqa: PLC0415 (keeps --help quick)
    from spanver.runs.report import result_tables  # noqa: PLC0415

    check_outputs(out, figure)
    if out.suffix != ".json":
        raise ArgumentError("out", out, "a path that ends in .json (its arrays lie next to it, in .npz)")
    if figure is not None:
        check_figure(figure)
    chosen, start, plan, built = _resumed(context) if resume else _planned(context)
    console.print(f"[bold]{chosen.title}[/bold] on [bold]{plan.problem}[/bold], {plan.oracle} oracle, seed {plan.seed}")
    for told in chosen.announce(built, plan):
        console.print(told)
    if chosen.resumable:
        summary = _carry_out_in_rounds(chosen, plan, out, built, start)
    else:
        summary = _carry_out(chosen, plan, out, built)
    for table in result_tables(summary):
        console.print(table)
    if figure is not None:
        _draw(out, figure)
    plain(f"record: {out} (check it with: spanver certify {shlex.quote(str(out))})")


def _planned(context: typer.Context) -> tuple[Learner, None, Plan, Any]:
    """Learner, plan and problem of what the command line asks for."""
    from spanver.runs.execution import refuse_unfinished  # noqa: PLC0415
    from spanver.runs.learners import learner_for, learner_named, parse_problem_of, parse_settings  # noqa: PLC0415

    options = dict(context.params)
    learner = options["learner"] or learner_for(options["problem"])
    chosen = learner_named(learner)
    _refuse_options(context, set(options) - _EVERY_LEARNER - chosen.options, f"left out with learner {learner}")
    refuse_unfinished(options["out"])
    options["coverage"] = _coverage(options["coverage"], options["budget"])
    overrides = parse_settings(options["settings"] or (), learner)
    name, parameters = parse_problem_of(learner, options["problem"])
    with status(f"building problem {name}"):
        built = chosen.families[name].build(**parameters)
    further = {name: options[name] for name in chosen.options & set(options) - {"figure", "resume"}}
    return chosen, None, chosen.plan(built, seed=options["seed"], overrides=overrides, **further), built


def _resumed(context: typer.Context) -> tuple[Learner, Checkpoint | LayeredCheckpoint, Plan, Any]:
    """Learner, checkpoint, plan and problem of the unfinished run; options that would change the plan are refused."""
    from spanver.problems.catalogue import make_problem  # noqa: PLC0415
    from spanver.runs.learners import learner_named  # noqa: PLC0415
    from spanver.runs.records import load_checkpoint  # noqa: PLC0415

    further = set(context.params) - {"resume", "out", "figure"}
    _refuse_options(context, further, "left out with --resume, which continues as planned")
    start = load_checkpoint(context.params["out"])
    plan, chosen = start.plan, learner_named(start.plan.learner)
    with status(f"building problem {plan.problem}"):
        return chosen, start, plan, make_problem(plan.problem, plan.parameters, chosen.families)


def _carry_out(learner: Learner, plan: Any, out: Path, built: Any) -> dict[str, Any]:
    """Carry out a run that is repeated rather than continued."""
    try:
        with status("exploring"):
            summary: dict[str, Any] = learner.execute(plan, out, problem=built)
            return summary
    except KeyboardInterrupt:
        errors.print(f"stopped; a run of {learner.title} is stored only when it is complete", style="yellow")
        raise typer.Exit(Verdict.UNDECIDED.exit_code) from None


def _carry_out_in_rounds(
    learner: Learner, plan: Plan, out: Path, built: Any, start: Checkpoint | LayeredCheckpoint | None
) -> dict[str, Any]:
    """Carry out a run that writes checkpoints, and say how to continue it where it is stopped."""
    from spanver.runs.records import checkpoint_path  # noqa: PLC0415

    assert learner.phases is not None
    how = f"    spanver run --resume --out {shlex.quote(str(out))}"
    steps = learner.execute(plan, out, start=start, problem=built)
    with stoppable() as stop, rounds_progress(learner.phases(plan)) as show, closing(steps):
        try:
            for step in steps:
                show(step)
                if step.finished is not None:
                    summary: dict[str, Any] = step.finished.summary
                    return summary
                if stop():
                    break
        except KeyboardInterrupt:
            errors.print("stopped in the middle of a round.", style="yellow")
            if checkpoint_path(out).exists():
                plain(f"Continue from the last checkpoint with:\n{how}", errors)
            raise typer.Exit(Verdict.UNDECIDED.exit_code) from None
    where = "in the evaluation" if step.phase == "evaluation" else f"after {step.phase} round {step.done}"
    errors.print(f"stopped {where}; nothing is lost. Continue with:", style="yellow", highlight=False)
    plain(how, errors)
    raise typer.Exit(Verdict.UNDECIDED.exit_code)


def _draw(out: Path, figure: Path) -> None:
    from spanver.runs.figures import draw_figure  # noqa: PLC0415
    from spanver.runs.records import load_record  # noqa: PLC0415

    draw_figure(load_record(out), figure)
    plain(f"figure: {figure}")


def _coverage(text: str | None, budget: int | None) -> float | None:
    if text == "unknown":
        if budget is None:
            raise ArgumentError("coverage", text, "a number, unless --budget gives the samples that may be drawn")
        return None
    if budget is not None:
        raise ArgumentError("budget", budget, "left out where the coverage is not 'unknown'")
    if text is None:
        return None
    from spanver.problems.catalogue import parse_number  # noqa: PLC0415

    return parse_number("coverage", text)


def _refuse_options(context: typer.Context, names: Container[str | None], allowed: str) -> None:
    """Refuse options that were given on the command line."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            name = option.opts[0].strip("-").replace("-", "_")
            raise ArgumentError(name, context.params[option.name or ""], allowed)
