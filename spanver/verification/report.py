"""What a person sees of a verification and of the zoo: tables for the terminal, and a sentence for each violation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from spanver.verdicts import Verdict
from spanver.verification.hunt import Zoo, interval
from spanver.verification.runner import Report

__all__ = ["footer_lines", "verdict_table", "violation_lines", "zoo_lines", "zoo_table"]

_COLOURS = {"holds": "green", "undecided": "yellow", "violated": "red", "measured": "cyan"}


def verdict_table(report: Report, titles: Mapping[str, str]) -> Table:
    """Verdicts of a verification, one row a guarantee that was judged.

    Parameters
    ----------
    report : Report
    titles : mapping
        Title of each guarantee.
    """
    table = Table(title=f"verdicts on {report.subject}", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("id", "guarantee", "verdict"):
        table.add_column(column, no_wrap=column != "guarantee")
    for column in ("instances", "detectable", "tightness", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in report.rows:
        if not row.findings and row.verdict not in _COLOURS:
            continue
        detectable, tightness = row.largest("detectable"), row.largest("tightness")
        table.add_row(
            row.id,
            titles[row.id],
            Text(row.verdict, style=_COLOURS.get(row.verdict, "")),
            f"{row.total('examples'):,}",
            "" if detectable is None else f"{detectable:.2f}",
            "" if tightness is None else f"{tightness:.3f}",
            f"{row.total('seconds'):.1f}",
        )
    return table


def violation_lines(report: Report) -> Iterator[tuple[str, str]]:
    """What was violated, as pairs of a sentence and a command that runs it again."""
    for row in report.rows:
        if row.verdict != Verdict.VIOLATED.value:
            continue
        cause, counterexample = row.first("cause"), row.first("counterexample")
        by = "" if cause in (None, "", "guarantee") else f" [{cause}]"
        shown = "" if counterexample is None else f"\n  smallest instance: {json.dumps(counterexample)}"
        yield f"{row.id} is violated{by}: {row.message}{shown}", report.request.replay(row.id)


def footer_lines(report: Report) -> Iterator[str]:
    """How many checks ran of those that had to, what was judged, and the false-alarm budget."""
    if report.expected == 0:
        yield "nothing was checked: the subject provides no function that these guarantees need"
    yield (
        f"{report.executed} of {report.expected} properties ran: {len(report.ids('holds'))} guarantees hold, "
        f"{len(report.ids('violated'))} violated, {len(report.ids('undecided'))} undecided"
    )
    for words, verdict in (
        ("not provided by the subject", "not provided"),
        ("not in this profile, decided by no property yet", "not in profile"),
        ("measured, as nothing is promised", "measured"),
        ("failed as expected", "expected failure"),
    ):
        if report.ids(verdict):
            yield f"{words}: {', '.join(report.ids(verdict))}"
    request = report.request
    yield (
        f"profile {request.profile}, seed {request.seed}; a correct subject fails with probability at most "
        f"{request.alpha:g} ({report.alpha_of_one_test:.1e} each test)"
    )


def zoo_table(zoo: Zoo) -> Table:
    """What became of every mutant, one row each; correct variants below."""
    table = Table(title="zoo", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("mutant", "bug", "expected", "killed by"):
        table.add_column(column, no_wrap=column == "mutant")
    table.add_column("seconds", justify="right", no_wrap=True)
    for hunt in zoo.hunts:
        low, high = interval(hunt.killed, hunt.repeats)
        often = f" {hunt.killed}/{hunt.repeats} [{low:.2f}, {high:.2f}]" if hunt.repeats > 1 else ""
        killer = ", ".join(hunt.killed_by) or "SURVIVED"
        style = "" if hunt.killed == hunt.repeats else "red"
        expected = ", ".join(hunt.mutant.breaks)
        table.add_row(hunt.mutant.name, hunt.mutant.bug, expected, Text(killer + often, style), f"{hunt.seconds:.1f}")
    for hunt in zoo.variants:
        fate = Text(f"KILLED by {', '.join(hunt.killed_by)}", "red") if hunt.kills else Text("survives, as it must")
        expected = f"none of {', '.join(hunt.mutant.breaks)}"
        table.add_row(hunt.mutant.name, f"correct: {hunt.mutant.bug}", expected, fate, f"{hunt.seconds:.1f}")
    return table


def zoo_lines(zoo: Zoo, *, whole: bool) -> Iterator[str]:
    """Counts, and what fails the build."""
    times = sorted(hunt.seconds / hunt.repeats for hunt in zoo.hunts)
    median = f", median {times[len(times) // 2]:.1f} s" if times else ""
    killed = len(zoo.hunts) - len(zoo.survivors)
    yield f"{killed} of {len(zoo.hunts)} mutants killed{median}; {zoo.seconds:.0f} s in all"
    yield f"{len(zoo.variants) - len(zoo.false_kills)} of {len(zoo.variants)} correct variants survived"
    if whole:
        for exact, words in ((True, "exact guarantees that killed nothing"), (False, "others that killed nothing")):
            if zoo.without_kills(exact=exact):
                yield f"{words}: {', '.join(zoo.without_kills(exact=exact))}"
