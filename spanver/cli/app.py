"""The command line: `spanver verify | init | zoo | run | certify | study | guarantees`.

Exit codes: 0 if all holds or is done, 1 if a guarantee is violated, 2 if nothing could be decided or run. Bad input is
refused in one sentence.
"""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from spanver import __version__
from spanver.cli.run import run
from spanver.cli.terminal import check_outputs, console, counting, counting_points, errors, plain, verdicts, write_json
from spanver.errors import ArgumentError, SpanverError
from spanver.verdicts import Verdict, worst

if TYPE_CHECKING:
    from spanver.verification.results import Report

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Exploration with language models through sampling oracles: run it, and check what is guaranteed.",
)


def main() -> None:
    """Run the command line; every error that spanver raises is one sentence and exit code 2."""
    try:
        app()
    except (SpanverError, OSError) as error:  # OSError: a full disk, a folder without permission to write
        errors.print(f"spanver: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    except MemoryError as error:
        errors.print(f"spanver: not enough memory ({error})", style="red", markup=False, highlight=False)
    except Exception:  # a bug of ours decides nothing: exit code 1 is for violated guarantees
        errors.print_exception()
    else:
        return
    sys.exit(Verdict.UNDECIDED.exit_code)


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


Option = typer.Option


def _help_with(names: Callable[[], str]) -> type[TyperCommand]:
    """Return the class of a command whose help ends with names, which are imported for it alone."""

    class Command(TyperCommand):
        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            self.epilog = names()
            super().format_epilog(ctx, formatter)

    return Command


def _subjects() -> str:
    from spanver.loading import NAMED  # noqa: PLC0415 (keeps the start quick)

    return f"Subjects by name: {', '.join(NAMED)}."


def _learners() -> str:
    from spanver.runs.learners import LEARNERS  # noqa: PLC0415 (likewise)

    groups = groupby(LEARNERS, key=lambda name: ", ".join(LEARNERS[name].families))
    rows = (f"{', '.join(learners)} on {families}" for families, learners in groups)
    return f"Learners, and the problems that they run on: {'; '.join(rows)}."


@app.command(cls=_help_with(_subjects))
def verify(
    subject: Annotated[
        str, typer.Argument(help="What to verify: module:attribute, zoo:NAME, or one of the names below.")
    ] = "reference",
    command: Annotated[str | None, Option(help="Verify the program that this command starts, over a pipe.")] = None,
    in_process: Annotated[
        bool, Option("--in-process", help="Run a Python subject in this process, for a debugger: it is then trusted.")
    ] = False,
    time_limit: Annotated[
        float | None, Option(help="Seconds of its own time that one call of the subject may take. [default: 20]")
    ] = None,
    profile: Annotated[str, Option(help="How hard to look: smoke, quick, ci or deep.")] = "quick",
    smoke: Annotated[
        bool, Option("--smoke", help="Short for --profile smoke: one or two instances of each, seconds.")
    ] = False,
    only: Annotated[str, Option(help="Guarantees, or groups by letter, separated by commas: S,R3.")] = "",
    alpha: Annotated[float, Option(help="Probability that a correct subject fails, over the whole run.")] = 1e-6,
    seed: Annotated[
        str, Option(help="A number: the same one repeats the run exactly. 'fresh' makes it a new experiment.")
    ] = "0",
    expected_failures: Annotated[
        Path | None,
        Option(help="File of lines `guarantee: [undecided:] part of the message`: these must fail, with that message."),
    ] = None,
    workers: Annotated[int | None, Option(help="Processes. [default: one a processor, at most 4]")] = None,
    json_file: Annotated[Path | None, Option("--json", help="Write the verdicts to this file.")] = None,
    junit: Annotated[Path | None, Option(help="Write a JUnit file.")] = None,
    trace: Annotated[
        Path | None, Option(help="Write the first failing call to this file: arguments, queries and answers.")
    ] = None,
) -> None:
    """Verify an implementation: which guarantees hold, and a smallest counterexample where one does not."""
    from spanver.verification import report as tables  # noqa: PLC0415 (keeps --help quick)
    from spanver.verification import runner  # noqa: PLC0415
    from spanver.verification.request import Request, read_expected_failures  # noqa: PLC0415

    check_outputs(json_file, junit, trace)
    profile = "smoke" if smoke else profile
    request = Request(subject, command, profile, only, alpha, _seed(seed), in_process=in_process, time_limit=time_limit)
    known = read_expected_failures(expected_failures) if expected_failures is not None else {}
    with verdicts("verifying") as show:
        report = runner.verify(
            request,
            workers=workers,
            junit=junit,
            expected_failures=known,
            traced=trace is not None,
            on_progress=lambda at: show(at.done, at.total, at.finding.property, list(map(tables.row_line, at.rows))),
        )
    console.print(tables.verdict_table(report))
    also = f" --expected-failures {shlex.quote(str(expected_failures))}" if expected_failures is not None else ""
    for line in (*tables.error_lines(report), *tables.violation_lines(report)):
        plain(line + also * line.startswith("  again: "))
    for line in tables.undecided_lines(report):
        plain(line)
    if json_file is not None:
        write_json(json_file, report.to_json())
    if trace is not None:
        plain(_traced(report, trace))
    for line in tables.footer_lines(report):
        plain(line)
    raise typer.Exit(report.verdict.exit_code)


def _traced(report: Report, path: Path) -> str:
    """Write the transcript of the first failing call, and return a sentence about it."""
    found = report.first_failure
    if found is None:
        return f"no trace: nothing is violated, and {path} was not written"
    if not found.transcript:
        return f"no trace: {found.property} failed before any call of the subject, and {path} was not written"
    path.write_text("\n".join(found.transcript) + "\n", encoding="utf-8")
    return f"trace: {path} has the last call of {found.property} on its smallest instance"


@app.command()
def init(name: Annotated[str, typer.Argument(help="Of the subject, and of its module, NAME.py.")]) -> None:
    """Write the skeleton of a subject: every function of the contract with its signature, types and shapes."""
    from spanver.cli.skeleton import write_skeleton  # noqa: PLC0415 (keeps --help quick)

    path = write_skeleton(name)
    plain(f"{path} has every function of the contract. Write those that you have, list them in `provides`, and then")
    plain(f"  spanver verify {name}:subject --smoke")


@app.command()
def zoo(
    names: Annotated[list[str] | None, typer.Argument(help="Only these mutants. [default: all]")] = None,
    profile: Annotated[str, Option(help="How hard to look: quick, ci or deep.")] = "ci",
    matrix: Annotated[
        bool, Option("--matrix", help="Run all guarantees to the end, not only the expected ones.")
    ] = False,
    repeats: Annotated[int, Option(help="Runs with fresh seeds, for kill probabilities.")] = 1,
    seed: Annotated[str, Option(help="A number: the same one repeats the run exactly; or 'fresh'.")] = "0",
    workers: Annotated[int, Option(help="Processes.")] = 2,
    json_file: Annotated[Path | None, Option("--json", help="Write the result of each mutant to this file.")] = None,
) -> None:
    """Run the zoo: implementations with one bug each, which must be killed, and correct ones, which must survive."""
    from spanver.verification import report as tables  # noqa: PLC0415
    from spanver.verification.hunt import run_zoo  # noqa: PLC0415
    from spanver.zoo.catalogue import find  # noqa: PLC0415 (keeps --help quick)

    check_outputs(json_file)
    for name in names or ():
        find(name)
    with counting("running the zoo") as tick:
        found = run_zoo(
            profile=profile,
            names=names or (),
            matrix=matrix,
            repeats=repeats,
            seed=_seed(seed),
            workers=workers,
            on_result=tick,
        )
    console.print(tables.zoo_table(found))
    for line in tables.zoo_lines(found):
        plain(line)
    if json_file is not None:
        write_json(json_file, found.to_json())
    raise typer.Exit(found.verdict.exit_code)


app.command(cls=_help_with(_learners))(run)


@app.command()
def certify(
    record: Annotated[Path, typer.Argument(help="run.json of a finished run.")],
    json_file: Annotated[Path | None, Option("--json", help="Write the verdicts to this file.")] = None,
) -> None:
    """Re-check a stored run: its record by itself, and next to the problem that its plan builds."""
    from spanver.runs.certify import certify as certified  # noqa: PLC0415
    from spanver.runs.records import load_record  # noqa: PLC0415
    from spanver.runs.report import certificate_json, certificate_table  # noqa: PLC0415

    certificate = certified(load_record(record))
    console.print(certificate_table(certificate))
    content = certificate_json(certificate)
    if json_file is not None:
        write_json(json_file, content)
    console.print(f"{len(certificate.claims)} checked, {len(content['footer']['violated'])} violated")
    if certificate.uncompared:
        console.print(f"not compared with the problem: {certificate.uncompared}")
    console.print(f"not certified, as no record shows it: {certificate.uncertified}")
    raise typer.Exit(worst(claim.verdict for claim in certificate.claims).exit_code)


@app.command()
def study(
    name: Annotated[
        str,
        typer.Argument(
            help="One of lower-bound, coverage, data, regret, truncation, counting, proper, reduction,"
            " multi-turn; or all."
        ),
    ] = "all",
    profile: Annotated[str, Option(help="quick (minutes) or full (up to two hours), on 2 processors.")] = "quick",
    seed: Annotated[int, Option(help="The same one gives the same numbers.")] = 0,
    out: Annotated[
        Path, Option(help="Folder of the figures, and of the table from which a stopped study continues.")
    ] = Path("studies"),
    workers: Annotated[int | None, Option(help="Processes. [default: one a processor]")] = None,
    scheduler: Annotated[
        str | None, Option(help="Address of a Dask scheduler, or 'local'. [default: processes of this machine]")
    ] = None,
    json_file: Annotated[Path | None, Option("--json", help="Write the claims to this file.")] = None,
) -> None:
    """Measure the paper's results: ladders of sizes, slopes with intervals, a verdict and a figure for each."""
    from joblib import cpu_count  # noqa: PLC0415 (keeps --help quick)

    from spanver.studies.engine import runner as studies  # noqa: PLC0415
    from spanver.studies.engine.report import claims_table, footer_line  # noqa: PLC0415

    names = studies.selected_studies(name)
    check_outputs(json_file)
    if out.exists() and not out.is_dir():
        raise ArgumentError("out", out, "a folder, which is made if there is none")
    with counting_points() as on_points:
        try:
            results = studies.run_studies(
                names,
                profile=profile,
                seed=seed,
                out=out,
                workers=workers if workers is not None else cpu_count(),
                scheduler=scheduler,
                on_points=on_points,
            )
        except KeyboardInterrupt:
            errors.print("stopped; measurements are stored, and the same command continues from them", style="yellow")
            raise typer.Exit(Verdict.UNDECIDED.exit_code) from None
    for result in results:
        console.print(claims_table(result))
        for path in result.figures:
            plain(f"figure: {path}")
    plain(footer_line(results))
    if json_file is not None:
        write_json(json_file, studies.as_json(results, profile=profile, seed=seed))
    raise typer.Exit(studies.verdict_of(results).exit_code)


@app.command()
def guarantees(
    name: Annotated[
        str | None, typer.Argument(help="Id of one, such as R3: also the mistakes that its properties would catch.")
    ] = None,
    json_file: Annotated[Path | None, Option("--json", help="Write the registry to this file.")] = None,
) -> None:
    """Print the registry of guarantees: statement, kind, source, and the checks of each."""
    from spanver.cli.guarantees import print_guarantee, print_registry  # noqa: PLC0415 (keeps --help quick)

    check_outputs(json_file)
    if name is None:
        print_registry(json_file)
    elif json_file is not None:
        raise ArgumentError("name", name, "left out where the registry is written to a file")
    else:
        print_guarantee(name)


def _seed(text: str) -> int:
    if text == "fresh":
        return secrets.randbits(32)
    if not text.isdecimal():
        raise ArgumentError("seed", text, "a number of at least 0, or 'fresh'")
    return int(text)
