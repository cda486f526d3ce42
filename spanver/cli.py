"""The command line: `spanver verify | zoo | run | certify | study | guarantees`.

Exit codes: 0 holds or done, 1 a guarantee is violated, 2 could not decide or run. Bad input is refused in one sentence.
"""

from __future__ import annotations

import json
import secrets
import shlex
import signal
import sys
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from spanver import __version__
from spanver.errors import ArgumentError, SpanverError
from spanver.verdicts import Verdict

__all__ = ["app", "main"]

HOLDS, VIOLATED, UNDECIDED = 0, 1, 2
LONG_RUN = 10**6  # samples of a drawing oracle, or rounds, from which a run says what it is about to spend

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Exploration with language models through sampling oracles: run it, and check what is guaranteed.",
)
console = Console()
errors = Console(stderr=True)


def main() -> None:
    """Run the command line; every error that spanver raises is one sentence and exit code 2."""
    try:
        app()
    except SpanverError as error:
        errors.print(f"spanver: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(UNDECIDED)
    except OSError as error:  # a full disk, a folder that must not be written to
        errors.print(f"spanver: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(UNDECIDED)
    except MemoryError as error:
        errors.print(f"spanver: not enough memory ({error})", style="red", markup=False, highlight=False)
        sys.exit(UNDECIDED)
    except Exception:  # a bug of ours decides nothing: exit code 1 is for violated guarantees
        errors.print_exception()
        sys.exit(UNDECIDED)


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"spanver {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _plain(line: str, to: Console = console) -> None:
    """Print a line as it is: paths are not markup, and are not broken over lines."""
    to.print(line, markup=False, highlight=False, soft_wrap=True)


Option = typer.Option


@app.command()
def verify(
    subject: Annotated[
        str, typer.Argument(help="What to verify: module:attribute, reference, zoo:NAME, or a library (see below).")
    ] = "reference",
    command: Annotated[str | None, Option(help="Verify the program that this command starts, over a pipe.")] = None,
    profile: Annotated[str, Option(help="How hard to look: quick, ci or deep.")] = "quick",
    only: Annotated[str, Option(help="Guarantees, or groups by letter, separated by commas: S,R3.")] = "",
    alpha: Annotated[float, Option(help="Probability that a correct subject fails, over the whole run.")] = 1e-6,
    entropy: Annotated[
        str, Option(help="A number: the same one repeats the run exactly. 'fresh' makes it a new experiment.")
    ] = "0",
    expected_failures: Annotated[
        Path | None, Option(help="File of lines `guarantee: part of the message` that have to fail just so.")
    ] = None,
    workers: Annotated[int | None, Option(help="Processes. [default: one a processor, at most 4]")] = None,
    json_file: Annotated[Path | None, Option("--json", help="Write the verdicts to this file.")] = None,
    junit: Annotated[Path | None, Option(help="Write a JUnit file.")] = None,
) -> None:
    """Verify an implementation: which guarantees hold, and a smallest counterexample where one does not.

    Libraries: numpy, scipy, scikit-learn-svd, river, vowpal-wabbit and more; the reference also on other array
    libraries: reference-torch, reference-jax, reference-array_api_strict, reference-cupy.
    """
    from spanver.guarantees import REGISTRY  # noqa: PLC0415 (keeps --help quick)
    from spanver.verification import runner, tables  # noqa: PLC0415

    _check_outputs(json_file, junit)
    request = runner.Request(subject, command, profile, only, alpha, _entropy(entropy))
    known = runner.expected_failures(expected_failures) if expected_failures is not None else {}
    with _counting("verifying") as tick:
        report = runner.verify(request, workers=workers, junit=junit, known=known, on_finding=tick)
    console.print(tables.verdict_table(report, {name: entry.title for name, entry in REGISTRY.items()}))
    for line in tables.footer_lines(report):
        _plain(line)
    also = f" --expected-failures {shlex.quote(str(expected_failures))}" if expected_failures is not None else ""
    for sentence, replay in tables.violation_lines(report):
        _plain(f"\n{sentence}\n  again: {replay}{also}")
    if json_file is not None:
        _write_json(json_file, report.to_json())
    raise typer.Exit({Verdict.HOLDS: HOLDS, Verdict.VIOLATED: VIOLATED, Verdict.UNDECIDED: UNDECIDED}[report.verdict])


@app.command()
def zoo(
    names: Annotated[list[str] | None, typer.Argument(help="Only these mutants. [default: all]")] = None,
    profile: Annotated[str, Option(help="How hard to look: quick, ci or deep.")] = "ci",
    matrix: Annotated[bool, Option("--matrix", help="All guarantees, not just the expected ones, to the end.")] = False,
    repeats: Annotated[int, Option(help="Runs with fresh luck, for kill probabilities.")] = 1,
    entropy: Annotated[str, Option(help="A number: the same one repeats the run exactly; or 'fresh'.")] = "0",
    workers: Annotated[int, Option(help="Processes.")] = 2,
    json_file: Annotated[Path | None, Option("--json", help="Write what became of each mutant to this file.")] = None,
) -> None:
    """Run the zoo: implementations with one bug each, which the properties must kill, and correct ones to survive."""
    from spanver.subjects.zoo import find  # noqa: PLC0415 (keeps --help quick)
    from spanver.verification import tables  # noqa: PLC0415
    from spanver.verification.zoo import visit  # noqa: PLC0415

    _check_outputs(json_file)
    for name in names or ():
        find(name)
    with _counting("hunting") as tick:
        found = visit(
            profile=profile,
            names=names or (),
            matrix=matrix,
            repeats=repeats,
            entropy=_entropy(entropy),
            workers=workers,
            on_hunt=tick,
        )
    console.print(tables.zoo_table(found))
    for line in tables.zoo_lines(found, whole=not names):
        _plain(line)
    if json_file is not None:
        _write_json(json_file, found.to_json())
    bad = found.verdict is not Verdict.HOLDS if not names else bool(found.survivors or found.wronged)
    raise typer.Exit(VIOLATED if bad else HOLDS)


@app.command()
def run(
    context: typer.Context,
    problem: Annotated[
        str,
        Option(
            help="text, random, needle, covered_needle, max_k_dnf or tokens, then :key=value,.. (2**40 is a number)."
        ),
    ] = "text",
    learner: Annotated[
        str, Option(help="spanner_sampling, or multi_turn for text (word by word) and tokens.")
    ] = "spanner_sampling",
    oracle: Annotated[str | None, Option(help="counted or literal, for tables. [default: counted]")] = None,
    sampler: Annotated[str | None, Option(help="softmax (A1) or race (A1r). [default: softmax; race on text]")] = None,
    seed: Annotated[int, Option(help="Seed of the run; the problem has one of its own, a key of the problem.")] = 0,
    settings: Annotated[
        str, Option(help="practical, or derived: those that the theory proves, far too many rounds to run.")
    ] = "practical",
    eps: Annotated[float, Option(help="Accuracy that derived settings are for.")] = 0.1,
    delta: Annotated[float, Option(help="Failure probability that derived settings and bounds are for.")] = 0.1,
    coverage: Annotated[
        str | None, Option(help="That settings are for, or 'unknown' (with --budget). [default: the exact one]")
    ] = None,
    budget: Annotated[int | None, Option(help="Samples that a run of unknown coverage may ask for.")] = None,
    prompts: Annotated[int | None, Option(help="T_prompt, prompt rounds of the spanner phase.")] = None,
    pairs_per_prompt: Annotated[int | None, Option(help="T_span, most pairs tried in one of them.")] = None,
    nu: Annotated[float | None, Option(help="nu, elliptic norm above which a pair is uncertain.")] = None,
    ridge: Annotated[float | None, Option(help="lambda, ridge of Sigma.")] = None,
    exploration_rounds: Annotated[int | None, Option(help="T_exp, exploration rounds.")] = None,
    rejection_multiplier: Annotated[float | None, Option(help="M_rej, rejection multiplier of the sampler.")] = None,
    rejection_failure: Annotated[
        float | None, Option(help="delta_rej, failure probability of one sampler call.")
    ] = None,
    rollouts: Annotated[int | None, Option(help="N_roll of multi_turn, from each token of each pair.")] = None,
    checks: Annotated[int | None, Option(help="N_check of multi_turn, token pairs tried at a prefix.")] = None,
    tests: Annotated[int | None, Option(help="N_test of multi_turn, rollouts at the end.")] = None,
    partition_samples: Annotated[
        int | None, Option(help="Samples of multi_turn for each estimate of a normaliser.")
    ] = None,
    out: Annotated[Path, Option("--out", "--json", help="Record; arrays lie beside it as .npz.")] = Path("run.json"),
    figure: Annotated[Path | None, Option(help="Draw gap and ledger against rounds (png, svg, pdf).")] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on with the unfinished run of --out, as it was planned.")
    ] = False,
) -> None:
    """Run a learner on a problem, and show what was learned and what it cost beside its bounds."""
    if learner == "multi_turn":
        _run_multi_turn(context)
        return
    from spanver import runs  # noqa: PLC0415 (keeps --help quick)
    from spanver.problems.catalogue import (  # noqa: PLC0415
        FAMILIES,
        TOKEN_FAMILIES,
        make_problem,
        parse_problem,
    )
    from spanver.records import checkpoint_path, load_checkpoint, load_record  # noqa: PLC0415
    from spanver.report import check_figure, draw_figure, responses_table, result_table, settings_table  # noqa: PLC0415

    if learner != "spanner_sampling":
        raise ArgumentError("learner", learner, "spanner_sampling or multi_turn")
    _refuse_options(context, _ONLY_MULTI_TURN, "left out, as it is a setting of multi_turn")
    _check_outputs(out, figure)
    _check_record(out)
    if figure is not None:
        check_figure(figure)
    given = {
        "prompts": prompts,
        "pairs_per_prompt": pairs_per_prompt,
        "nu": nu,
        "ridge": ridge,
        "exploration_rounds": exploration_rounds,
        "rejection_multiplier": rejection_multiplier,
        "rejection_failure": rejection_failure,
    }
    if resume:
        _refuse_plan_options(context)
        start = load_checkpoint(out)
        plan = start.plan
        with _status(f"building problem {plan.problem}"):
            built = make_problem(plan.problem, plan.parameters)
    else:
        start = None
        runs.refuse_unfinished(out)
        name = problem.partition(":")[0]
        if name in TOKEN_FAMILIES and name not in FAMILIES:
            raise ArgumentError("learner", learner, f"multi_turn for problem {name}")
        name, parameters = parse_problem(problem)
        with _status(f"building problem {name}"):
            built = make_problem(name, parameters)
        plan = runs.make_plan(
            built,
            seed=seed,
            oracle=oracle,
            sampler=sampler,
            settings_kind=settings,
            overrides={key: value for key, value in given.items() if value is not None},
            coverage=_coverage(coverage, budget),
            eps=eps,
            delta=delta,
            budget=budget,
        )
    console.print(
        f"[bold]SpannerSampling[/bold] on [bold]{plan.problem}[/bold], {plan.oracle} oracle, seed {plan.seed}"
    )
    derived = runs.derived_beside(built, plan)
    console.print(settings_table(plan.settings, derived, title="settings"))
    if plan.budget is not None:
        console.print(
            f"coverage unknown: stages C = 1, 2, 4, .. within {plan.budget:,} samples (settings of stage 1 above)"
        )
    cost = runs.planned_samples(plan)
    if plan.oracle != "counted" and cost >= LONG_RUN:
        console.print(f"about to ask for up to {cost:,} samples, one by one")
    rounds = plan.settings.prompts + plan.settings.exploration_rounds
    if rounds >= LONG_RUN:
        console.print(
            f"about to run {rounds:,} rounds, of which a thousand or so take a second; Ctrl-C keeps what is done"
        )
    totals: dict[str, int | None] = {
        "spanner": None if plan.budget is not None else plan.settings.prompts,
        "exploration": None if plan.budget is not None else plan.settings.exploration_rounds,
    }
    totals["evaluation"] = runs.EVALUATION_PROMPTS if plan.oracle == "text" else totals["exploration"]
    with _stoppable() as stop, _progress(totals) as on_round:
        try:
            finished = runs.execute(plan, out, start=start, on_round=on_round, stop=stop, problem=built)
        except runs.InterruptedRunError as error:
            errors.print(f"{error}. Go on with:", style="yellow", markup=False, highlight=False)
            _plain(_how_to_go_on(out), errors)
            raise typer.Exit(UNDECIDED) from None
        except KeyboardInterrupt:
            errors.print("stopped in the middle of a round.", style="yellow")
            if checkpoint_path(out).exists():
                _plain(f"Go on from the last checkpoint with:\n{_how_to_go_on(out)}", errors)
            raise typer.Exit(UNDECIDED) from None
    console.print(result_table(finished.summary))
    responses = responses_table(finished.summary)
    if responses is not None:
        console.print(responses)
    if figure is not None:
        draw_figure(load_record(out), finished.curves, figure)
        _plain(f"figure: {figure}")
    _plain(f"record: {out} (check it with: spanver certify {shlex.quote(str(out))})")


_ONLY_MULTI_TURN = ("rollouts", "checks", "tests", "partition_samples")
_ALSO_MULTI_TURN = {"prompts": "warm_prompts", "nu": "nu", "ridge": "ridge", "rejection_multiplier": "multiplier",
                    "rejection_failure": "failure"}  # fmt: skip


def _run_multi_turn(context: typer.Context) -> None:
    """`spanver run --learner multi_turn`."""
    from spanver.problems.catalogue import TOKEN_FAMILIES, make_token_problem, parse_problem  # noqa: PLC0415
    from spanver.runs import refuse_unfinished  # noqa: PLC0415
    from spanver.token_report import sentences_table, token_result_table, token_settings_table  # noqa: PLC0415
    from spanver.token_runs import execute_tokens, make_token_plan  # noqa: PLC0415

    options, out = context.params, context.params["out"]
    known = {"problem", "learner", "sampler", "seed", "out", *_ONLY_MULTI_TURN, *_ALSO_MULTI_TURN}
    _refuse_options(context, set(options) - known, "left out with learner multi_turn")
    _check_outputs(out)
    _check_record(out)
    refuse_unfinished(out)
    name, parameters = parse_problem(options["problem"], TOKEN_FAMILIES)
    with _status(f"building problem {name}"):
        problem = make_token_problem(name, parameters)
    names = _ALSO_MULTI_TURN | {each: each for each in _ONLY_MULTI_TURN}
    given = {setting: options[option] for option, setting in names.items() if options[option] is not None}
    plan = make_token_plan(
        name, problem, seed=options["seed"], sampler=options["sampler"] or "softmax", overrides=given
    )
    console.print(f"[bold]multi-turn SpannerSampling[/bold] on [bold]{name}[/bold], seed {plan.seed}")
    console.print(token_settings_table(plan.settings))
    try:
        with _status("exploring"):
            summary = execute_tokens(plan, out, problem=problem)
    except KeyboardInterrupt:
        errors.print("stopped; a multi-turn run is not kept until it is done", style="yellow")
        raise typer.Exit(UNDECIDED) from None
    console.print(token_result_table(summary))
    sentences = sentences_table(summary)
    if sentences is not None:
        console.print(sentences)
    _plain(f"record: {out} (check it with: spanver certify {shlex.quote(str(out))})")


@app.command()
def certify(
    record: Annotated[Path, typer.Argument(help="run.json of a finished run.")],
    json_file: Annotated[Path | None, Option("--json", help="Write the verdicts to this file.")] = None,
) -> None:
    """Re-check a stored run from its record alone, without trusting who produced it."""
    from spanver import token_records  # noqa: PLC0415
    from spanver.archives import schema_of  # noqa: PLC0415
    from spanver.certify import certify as check  # noqa: PLC0415
    from spanver.certify_tokens import certify_tokens  # noqa: PLC0415
    from spanver.guarantees import guarantee  # noqa: PLC0415
    from spanver.records import load_record  # noqa: PLC0415
    from spanver.report import certificate_table  # noqa: PLC0415

    if schema_of(record) == token_records.SCHEMA:
        checks = certify_tokens(token_records.load_token_record(record))
    else:
        checks = check(load_record(record))
    console.print(certificate_table(checks, {check.id: guarantee(check.id).title for check in checks}))
    violated = [check.id for check in checks if check.verdict is Verdict.VIOLATED]
    undecided = [check.id for check in checks if check.verdict is Verdict.UNDECIDED]
    footer = {"expected": len(checks), "executed": len(checks), "violated": violated, "undecided": undecided}
    if json_file is not None:
        rows = [{"id": check.id, "verdict": check.verdict.value, "finding": check.finding} for check in checks]
        _write_json(json_file, {"schema": "spanver.certificate/1", "guarantees": rows, "footer": footer})
    console.print(f"{len(checks)} guarantees checked, {len(violated)} violated")
    console.print("not certified, as a record alone cannot show it: gap, evaluation, and which responses were drawn")
    raise typer.Exit(VIOLATED if violated else UNDECIDED if undecided else HOLDS)


@app.command()
def study(
    name: Annotated[
        str,
        typer.Argument(
            help="One of lower-bound, coverage, data, regret, truncation, counting, proper, multi-turn; or all."
        ),
    ] = "all",
    profile: Annotated[str, Option(help="quick (minutes) or full (up to two hours), on 2 processors.")] = "quick",
    seed: Annotated[int, Option(help="Decides every number of the study.")] = 0,
    out: Annotated[
        Path, Option(help="Folder of the figures, and of the table that a stopped study goes on from.")
    ] = Path("studies"),
    workers: Annotated[int | None, Option(help="Processes. [default: one a processor]")] = None,
    scheduler: Annotated[
        str | None, Option(help="Address of a Dask scheduler, or 'local'. [default: processes of this machine]")
    ] = None,
    json_file: Annotated[Path | None, Option("--json", help="Write the claims to this file.")] = None,
) -> None:
    """Measure the paper's results: ladders of sizes, slopes with intervals, a verdict and a figure for each."""
    from joblib import cpu_count  # noqa: PLC0415 (keeps --help quick)

    from spanver.studies import conduct as studies  # noqa: PLC0415
    from spanver.studies.tables import claims_table, footer_line  # noqa: PLC0415

    names = studies.selected_studies(name)
    _check_outputs(json_file)
    if out.exists() and not out.is_dir():
        raise ArgumentError("out", str(out), "a folder, which is made if there is none")
    with _counting_points() as on_points:
        try:
            results = studies.conduct(
                names,
                profile=profile,
                seed=seed,
                out=out,
                workers=workers if workers is not None else cpu_count(),
                scheduler=scheduler,
                on_points=on_points,
            )
        except KeyboardInterrupt:
            errors.print("stopped; what was measured is kept, and the same command goes on from there", style="yellow")
            raise typer.Exit(UNDECIDED) from None
    for result in results:
        console.print(claims_table(result))
        for path in result.figures:
            _plain(f"figure: {path}")
    _plain(footer_line(results))
    if json_file is not None:
        _write_json(json_file, studies.as_json(results, profile=profile, seed=seed))
    verdict = studies.verdict_of(results)
    raise typer.Exit({Verdict.HOLDS: HOLDS, Verdict.VIOLATED: VIOLATED, Verdict.UNDECIDED: UNDECIDED}[verdict])


@app.command()
def guarantees(
    json_file: Annotated[Path | None, Option("--json", help="Write the registry to this file.")] = None,
) -> None:
    """Print the registry of guarantees: statement, kind, source, and what checks each."""
    from spanver.checks import checked_by  # noqa: PLC0415
    from spanver.guarantees import REGISTRY  # noqa: PLC0415
    from spanver.report import guarantee_table  # noqa: PLC0415

    checks = checked_by()
    console.print(guarantee_table(REGISTRY.values(), checks))
    unchecked = sum(1 for name in REGISTRY if not checks.get(name))
    console.print(f"{len(REGISTRY)} guarantees, {unchecked} without a check yet")
    if json_file is not None:
        rows = [
            {
                "id": entry.id,
                "title": entry.title,
                "statement": entry.statement,
                "kind": entry.kind_text,
                "source": entry.source_text,
                "checked_by": list(checks.get(entry.id, ())),
            }
            for entry in REGISTRY.values()
        ]
        _write_json(json_file, {"schema": "spanver.guarantees/1", "guarantees": rows})


def _entropy(text: str) -> int:
    if text == "fresh":
        return secrets.randbits(32)
    if not text.isdecimal():
        raise ArgumentError("entropy", text, "a number of at least 0, or 'fresh'")
    return int(text)


@contextmanager
def _counting(words: str) -> Iterator[Callable[[Any], None]]:
    """Show what ends, with a count and the time; nothing where there is no terminal."""
    if not console.is_terminal:
        yield lambda found: None
        return
    columns = (
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.completed} done: {task.fields[last]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(words, total=None, last="")
        yield lambda found: progress.update(task, advance=1, last=str(found)[:60])


@contextmanager
def _counting_points() -> Iterator[Callable[[int, int], None]]:
    """Show points done out of all; nothing where there is no terminal."""
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _how_to_go_on(out: Path) -> str:
    return f"    spanver run --resume --out {shlex.quote(str(out))}"


def _coverage(text: str | None, budget: int | None) -> float | None:
    if text == "unknown":
        if budget is None:
            raise ArgumentError("coverage", text, "a number where no budget of samples is given")
        return None
    if budget is not None:
        raise ArgumentError("budget", budget, "left out where the coverage is not 'unknown'")
    if text is None:
        return None
    from spanver.problems.catalogue import parse_number  # noqa: PLC0415

    return parse_number("coverage", text)


def _refuse_plan_options(context: typer.Context) -> None:
    """Refuse options beside --resume that would change what was planned."""
    allowed = {"resume", "out", "figure"}
    _refuse_options(context, set(context.params) - allowed, "left out with --resume, which goes on as planned")


def _refuse_options(context: typer.Context, names: Container[str], allowed: str) -> None:
    """Refuse options that were given on the command line."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name in names and source is not None and source.name == "COMMANDLINE":
            raise ArgumentError(name, context.params[name], allowed)


def _check_record(out: Path) -> None:
    if out.suffix != ".json":
        raise ArgumentError("out", str(out), "a path that ends in .json (its arrays lie beside it, in .npz)")


def _check_outputs(*paths: Path | None) -> None:
    """Refuse files that cannot be written, before anything is run."""
    for path in paths:
        if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
            raise ArgumentError("path", str(path), "a file in a folder that exists")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _check_outputs(path)
    path.write_text(json.dumps(content, indent=1) + "\n")


@contextmanager
def _status(message: str) -> Iterator[None]:
    if console.is_terminal:
        with console.status(message):
            yield
    else:
        yield


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop between two rounds; a second one stops at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        errors.print("stopping after this round; once more stops at once", style="yellow")
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Rate(ProgressColumn):
    """Rounds a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rounds/s", style="progress.data.speed")


@contextmanager
def _progress(totals: dict[str, int | None]) -> Iterator[Callable[[str, int, Any], None] | None]:
    """Show the phases with rate, time left and samples asked; nothing where there is no terminal."""
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[samples]} samples"),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {
            phase: progress.add_task(phase, total=total, start=False, samples="0") for phase, total in totals.items()
        }

        def on_round(phase: str, done: int, ledger: Any) -> None:
            task = tasks[phase]
            if not progress.tasks[task].started:
                progress.start_task(task)
            progress.update(task, completed=done, samples=f"{ledger.samples:,}")

        yield on_round
