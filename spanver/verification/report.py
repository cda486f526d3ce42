"""Terminal tables of a verification and of the zoo, and a sentence for each violation."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from spanver.guarantees import REGISTRY
from spanver.verification.hunt import ZooReport, interval
from spanver.verification.request import TRUSTING
from spanver.verification.results import Report, Status


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


def violation_lines(report: Report) -> Iterator[tuple[str, str]]:
    """Yield, for each violated guarantee, a sentence and the command that runs it again."""
    for row in report.rows:
        if row.status is not Status.VIOLATED:
            continue
        found = row.violation
        cause, instance = ("", None) if found is None else (found.cause, found.counterexample)
        by = "" if cause in ("", "guarantee") else f" [{cause}]"
        shown = "" if instance is None else f"\n  smallest instance: {json.dumps(instance)}"
        yield f"{row.id} is violated{by}: {row.message}{shown}", report.request.replay(row.id)


def undecided_lines(report: Report) -> Iterator[str]:
    """Yield a sentence for what was undecided, and for each property that was not judged."""
    for row in report.rows:
        if row.status is Status.UNDECIDED:
            yield f"{row.id} is undecided: {row.message}"
        for finding in row.not_judged:
            yield f"{row.id} is not judged by {finding.property}: {finding.not_judged}"


def footer_lines(report: Report) -> Iterator[str]:
    """Yield counts of properties that ran and of verdicts, and the false-alarm budget."""
    if report.expected == 0:
        yield "nothing was checked: the subject provides no function that these guarantees need"
    held, violated, undecided = (len(report.ids(each)) for each in (Status.HOLDS, Status.VIOLATED, Status.UNDECIDED))
    hold = f"{held} guarantee holds" if held == 1 else f"{held} guarantees hold"
    yield f"{report.executed} of {report.expected} properties ran: {hold}, {violated} violated, {undecided} undecided"
    for words, status in (
        ("not provided by the subject", Status.NOT_PROVIDED),
        ("not in this profile, checked by no property", Status.NOT_IN_PROFILE),
        ("measured and not judged, as nothing is promised", Status.MEASURED),
        ("not judged", Status.NOT_JUDGED),
        ("failed as expected", Status.EXPECTED_FAILURE),
    ):
        if report.ids(status):
            yield f"{words}: {', '.join(report.ids(status))}"
    if report.declared:
        declared = (f"{name}: {_shown(value)}" for name, value in report.declared.items())
        yield f"declared by the subject: {'; '.join(declared)}"
    request = report.request
    if request.in_process:
        yield TRUSTING
    yield (
        f"profile {request.profile}, seed {request.seed}; a correct subject fails with probability at most "
        f"{request.alpha:g} ({report.alpha_of_one_test:.1e} each test)"
    )


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
