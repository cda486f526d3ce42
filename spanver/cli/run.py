"""`spanver run`: a learner on a problem, what it learned, and what it cost next to its bounds.

What differs between learners is read off the table of `spanver.runs.learners`; no learner is named here.
"""

from __future__ import annotations

import shlex
from collections.abc import Container
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from typer import Option

from spanver.cli.terminal import check_outputs, console, errors, plain, rounds_progress, status, stoppable
from spanver.errors import ArgumentError
from spanver.verdicts import Verdict

if TYPE_CHECKING:
    from spanver.runs.execution import Finished
    from spanver.runs.learners import Learner
    from spanver.runs.plans import Plan
    from spanver.runs.records import Checkpoint

LONG_RUN = 10**6  # samples of a drawing oracle, or rounds, from which a run says what it is about to spend

_PROBLEM = "By name, see below; then :key=value,.. (2**40 is a number). [default: the learner's first]"

# Options that every learner has.
ProblemOption: TypeAlias = Annotated[str | None, Option(help=_PROBLEM)]
LearnerOption: TypeAlias = Annotated[str, Option(help="By name, see below.")]
SettingsOption: TypeAlias = Annotated[
    list[str] | None, Option("--set", help="A setting of the learner, such as nu=0.3; may be repeated.")
]
SeedOption: TypeAlias = Annotated[int, Option(help="Seed of the run; that of the problem is a key of the problem.")]
OutOption: TypeAlias = Annotated[Path, Option("--out", "--json", help="Record; its arrays lie next to it, as .npz.")]

# Options of some learners, by the names that their plans have for them.
OracleOption: TypeAlias = Annotated[str | None, Option(help="counted or literal, for tables. [default: counted]")]
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
FigureOption: TypeAlias = Annotated[Path | None, Option(help="Draw gap and ledger against rounds (png, svg, pdf).")]
ResumeOption: TypeAlias = Annotated[bool, Option("--resume", help="Continue the unfinished run of --out as planned.")]

_EVERY_LEARNER = frozenset({"problem", "learner", "settings", "seed", "out"})


def run(
    context: typer.Context,
    problem: ProblemOption = None,
    learner: LearnerOption = "spanner_sampling",
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
    from spanver.runs.learners import learner_named  # noqa: PLC0415
    from spanver.runs.report import result_tables, settings_table  # noqa: PLC0415

    chosen = learner_named(learner)
    _refuse_options(context, set(context.params) - _EVERY_LEARNER - chosen.options, f"left out with learner {learner}")
    check_outputs(out, figure)
    if out.suffix != ".json":
        raise ArgumentError("out", out, "a path that ends in .json (its arrays lie next to it, in .npz)")
    if figure is not None:
        check_figure(figure)
    start, plan, built = _resumed(context) if resume else _planned(context, chosen)
    console.print(f"[bold]{chosen.title}[/bold] on [bold]{plan.problem}[/bold], {plan.oracle} oracle, seed {plan.seed}")
    if not chosen.resumable:
        console.print(settings_table(plan.settings, title="settings", note=chosen.note))
        summary = _carry_out(chosen, plan, out, built)
    else:
        _announce(plan, built)
        finished = _carry_out_in_rounds(chosen, plan, out, built, start)
        summary = finished.summary
    for table in result_tables(summary):
        console.print(table)
    if figure is not None:
        _draw(finished, figure)
    plain(f"record: {out} (check it with: spanver certify {shlex.quote(str(out))})")


def _planned(context: typer.Context, learner: Learner) -> tuple[None, Any, Any]:
    """Plan and problem of what the command line asks for."""
    from spanver.runs.execution import refuse_unfinished  # noqa: PLC0415
    from spanver.runs.learners import parse_problem_of, parse_settings  # noqa: PLC0415

    options = dict(context.params)
    refuse_unfinished(options["out"])
    options["coverage"] = _coverage(options["coverage"], options["budget"])
    overrides = parse_settings(options["settings"] or (), options["learner"])
    name, parameters = parse_problem_of(options["learner"], options["problem"])
    with status(f"building problem {name}"):
        built = learner.families[name].build(**parameters)
    further = {name: options[name] for name in learner.options & set(options) - {"figure", "resume"}}
    return None, learner.plan(built, seed=options["seed"], overrides=overrides, **further), built


def _resumed(context: typer.Context) -> tuple[Checkpoint, Plan, Any]:
    """Checkpoint, plan and problem of the unfinished run; options that would change what was planned are refused."""
    from spanver.problems.catalogue import make_problem  # noqa: PLC0415
    from spanver.runs.records import load_checkpoint  # noqa: PLC0415

    further = set(context.params) - {"resume", "out", "figure"}
    _refuse_options(context, further, "left out with --resume, which continues as planned")
    start = load_checkpoint(context.params["out"])
    with status(f"building problem {start.plan.problem}"):
        return start, start.plan, make_problem(start.plan.problem, start.plan.parameters)


def _announce(plan: Plan, built: Any) -> None:
    """Show settings next to those of the theory, and what a run is about to spend where that is much."""
    from spanver.runs.plans import largest_costs, planned_samples, theoretical_settings  # noqa: PLC0415
    from spanver.runs.report import settings_table  # noqa: PLC0415

    costs = partial(largest_costs, dimension=built.dimension, call=plan.sampler_spec.most)
    console.print(settings_table(plan.settings, theoretical_settings(built, plan), title="settings", costs=costs))
    if plan.budget is not None:
        console.print(
            f"coverage unknown: stages C = 1, 2, 4, .. within {plan.budget:,} samples (settings of stage 1 above)"
        )
    samples = planned_samples(plan)
    if plan.oracle != "counted" and samples >= LONG_RUN:
        console.print(f"about to draw up to {samples:,} samples, one by one")
    rounds = plan.settings.prompts + plan.settings.exploration_rounds
    if rounds >= LONG_RUN:
        console.print(
            f"about to run {rounds:,} rounds, of which a thousand or so take a second; Ctrl-C keeps what is done"
        )


def _carry_out(learner: Learner, plan: Any, out: Path, built: Any) -> dict[str, Any]:
    """Carry out a run that is repeated rather than continued."""
    try:
        with status("exploring"):
            summary: dict[str, Any] = learner.execute(plan, out, problem=built)
            return summary
    except KeyboardInterrupt:
        errors.print(f"stopped; a run of {learner.title} is stored only when it is complete", style="yellow")
        raise typer.Exit(Verdict.UNDECIDED.exit_code) from None


def _carry_out_in_rounds(learner: Learner, plan: Plan, out: Path, built: Any, start: Checkpoint | None) -> Finished:
    """Carry out a run that writes checkpoints, and say how to continue it where it is stopped."""
    from spanver.runs.evaluation import EVALUATION_PROMPTS  # noqa: PLC0415
    from spanver.runs.records import checkpoint_path  # noqa: PLC0415

    totals: dict[str, int | None] = {
        "spanner": None if plan.budget is not None else plan.settings.prompts,
        "exploration": None if plan.budget is not None else plan.settings.exploration_rounds,
    }
    totals["evaluation"] = EVALUATION_PROMPTS if plan.oracle == "text" else totals["exploration"]
    how = f"    spanver run --resume --out {shlex.quote(str(out))}"
    steps = learner.execute(plan, out, start=start, problem=built)
    with stoppable() as stop, rounds_progress(totals) as show, closing(steps):
        try:
            for step in steps:
                show(step)
                if step.finished is not None:
                    finished: Finished = step.finished
                    return finished
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


def _draw(finished: Finished, figure: Path) -> None:
    from spanver.runs.figures import draw_figure  # noqa: PLC0415

    draw_figure(finished.summary, finished.run.trace, finished.evaluation.curves, figure)
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
