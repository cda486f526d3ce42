"""Terminal tables of a verification and of the zoo, and the lines below them."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from spanver.guarantees import REGISTRY
from spanver.verification.hunt import ZooReport, interval
from spanver.verification.rendering import finding_lines
from spanver.verification.request import TRUSTING
from spanver.verification.results import Report, Row, Status

SHOWN_MISTAKES = 3
IN_PART = " as far as it could be judged"


def verdict_table(report: Report) -> Table:
    """Return the verdicts of a verification, one row for each guarantee that was judged."""
    table = Table(title=f"verdicts on {report.subject}", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("id", "guarantee", "verdict"):
        table.add_column(column, no_wrap=column != "guarantee")
    for column in ("instances", "detectable", "tightness", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in report.rows:
        if not row.findings and not row.status.colour:
            continue
        table.add_row(
            row.id,
            REGISTRY[row.id].title,
            Text(row.status.value, style=row.status.colour),
            f"{row.examples:,}",
            "" if row.detectable is None else f"{row.detectable:.2f}",
            "" if row.tightness is None else f"{row.tightness:.3f}",
            f"{row.seconds:.1f}",
        )
    return table


def error_lines(report: Report) -> Iterator[str]:
    """Yield the lines of every error of the subject, each once, with the properties that met it."""
    for error in report.errors:
        message, *rest = finding_lines(error.findings[0])
        yield f"{message} [{error.fault.cause}]"
        yield from rest
        count, functions = len(error.findings), ", ".join(error.functions)
        guarantees = [row.id for row in report.rows if any(each in row.findings for each in error.findings)]
        properties = f"{count} propert{'ies' if count > 1 else 'y'} of {', '.join(guarantees)}"
        yield f"  in {properties}, on calls of {functions}"
        yield f"  again: {report.request.replay(guarantees[0])}"


def violation_lines(report: Report) -> Iterator[str]:
    """Yield the lines of every violated guarantee, and the command that runs it again."""
    for row in report.rows:
        if row.status is Status.VIOLATED:
            rest = [] if row.violation is None else list(finding_lines(row.violation))[1:]
            yield f"{row.id} is violated: {row.message}"
            yield from rest
            if row.violation is not None:
                yield f"  property: {row.violation.property}"
            yield f"  again: {report.request.replay(row.id)}"


def undecided_lines(report: Report) -> Iterator[str]:
    """Yield a sentence for what was undecided or not judged, with the reason; guarantees of one reason together."""
    reasons: dict[str, list[str]] = {}
    for row in report.rows:
        if row.status in (Status.UNDECIDED, Status.NOT_JUDGED):
            reasons.setdefault(f"{row.status.value}: {row.message}", []).append(row.id)
        if row.status is not Status.NOT_JUDGED:
            for finding in row.not_judged:
                reasons.setdefault(f"not judged by {finding.property}: {finding.not_judged}", []).append(row.id)
    for reason, names in reasons.items():
        yield f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {reason}"


def row_line(row: Row) -> str:
    """Return the verdict on one guarantee in a line."""
    return f"{row.id} {row.status.value}{IN_PART * row.in_part}" + (f": {row.message}" if row.message else "")


def footer_lines(report: Report) -> Iterator[str]:
    """Yield counts of properties that ran and of verdicts, the false-alarm budget, and whether the run was stopped."""
    if report.expected == 0:
        unprovided = ": the subject provides no function that these guarantees need"
        yield "nothing was checked" + unprovided * bool(report.ids(Status.NOT_PROVIDED))
    judged = (Status.HOLDS, Status.VIOLATED, Status.UNDECIDED)
    held, violated, undecided = (len(report.ids(each, conformance=False)) for each in judged)
    hold = f"{held} guarantee holds" if held == 1 else f"{held} guarantees hold"
    errors = f", {len(report.errors)} error{'s' * (len(report.errors) > 1)} of the subject" if report.errors else ""
    yield (
        f"{report.executed} of {report.expected} properties ran: {hold}, {violated} violated, {undecided} undecided"
        f"{errors}"
    )
    claimed: dict[str, list[str]] = {}
    conformance = [row for row in report.rows if REGISTRY[row.id].claim and row.status in judged]
    for row in sorted(conformance, key=lambda row: (judged.index(row.status), row.in_part)):
        claimed.setdefault(f"{row.status.value}{IN_PART * row.in_part}", []).append(row.id)
    if claimed:
        found = "; ".join(f"{words}: {', '.join(names)}" for words, names in claimed.items())
        yield f"conformance to the algorithms that the subject claims to be: {found}"
    for words, status in (
        ("not provided by the subject", Status.NOT_PROVIDED),
        ("not claimed by the subject", Status.NOT_CLAIMED),
        ("not in this profile, checked by no property", Status.NOT_IN_PROFILE),
        ("measured and not judged, as nothing is promised", Status.MEASURED),
        ("not judged", Status.NOT_JUDGED),
        ("failed as expected", Status.EXPECTED_FAILURE),
    ):
        if report.ids(status):
            yield f"{words}: {', '.join(report.ids(status))}"
    mistakes = list(report.would_catch.values())
    if mistakes:
        shown = "; ".join(mistakes[:: max(1, len(mistakes) // SHOWN_MISTAKES)][:SHOWN_MISTAKES])
        yield (
            f"would have caught {len(mistakes)} named mistakes, such as a subject that {shown} "
            "(`spanver guarantees ID` lists them)"
        )
    if report.declared:
        declared = (f"{name}: {_shown(value)}" for name, value in report.declared.items())
        yield f"declared by the subject: {'; '.join(declared)}"
    request = report.request
    smoke = "smoke: one or two instances of each property, which decides little; " if request.profile == "smoke" else ""
    if request.in_process:
        yield TRUSTING
    yield (
        f"{smoke}profile {request.profile}, seed {request.seed}; a correct subject fails with probability at most "
        f"{request.alpha:g} (each test at least {report.alpha_of_one_test:.1e} of it)"
    )
    if report.interrupted:
        yield f"interrupted: {report.executed} of {report.expected} properties were run"


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def zoo_table(zoo: ZooReport) -> Table:
    """Return the result of every mutant, one row each, with correct controls below."""
    table = Table(title="zoo", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("mutant", "bug", "expected", "killed by"):
        table.add_column(column, no_wrap=column == "mutant")
    table.add_column("seconds", justify="right", no_wrap=True)
    for each in zoo.mutants:
        low, high = interval(each.killed, each.repeats)
        often = f" {each.killed}/{each.repeats} [{low:.2f}, {high:.2f}]" if each.repeats > 1 else ""
        killer = ", ".join(each.killed_by) or "SURVIVED"
        style = "" if each.killed == each.repeats else "red"
        expected = ", ".join(each.mutant.breaks)
        table.add_row(each.mutant.name, each.mutant.bug, expected, Text(killer + often, style), f"{each.seconds:.1f}")
    for each in zoo.controls:
        killed = each.first_kill is not None
        fate = Text(f"KILLED by {', '.join(each.killed_by)}", "red") if killed else Text("survives, as it must")
        expected = f"none of {', '.join(each.mutant.breaks)}"
        table.add_row(each.mutant.name, f"correct: {each.mutant.bug}", expected, fate, f"{each.seconds:.1f}")
    return table


def zoo_lines(zoo: ZooReport) -> Iterator[str]:
    """Yield counts of kills and survivals; for the whole zoo also the guarantees that killed nothing."""
    times = sorted(each.seconds / each.repeats for each in zoo.mutants)
    median = f", median {times[len(times) // 2]:.1f} s" if times else ""
    killed = len(zoo.mutants) - len(zoo.survivors)
    yield f"{killed} of {len(zoo.mutants)} mutants killed{median}; {zoo.seconds:.0f} s in all"
    yield f"{len(zoo.controls) - len(zoo.false_kills)} of {len(zoo.controls)} correct controls survived"
    if zoo.whole:
        for exact, words in ((True, "exact guarantees that killed nothing"), (False, "others that killed nothing")):
            if zoo.without_kills(exact=exact):
                yield f"{words}: {', '.join(zoo.without_kills(exact=exact))}"
