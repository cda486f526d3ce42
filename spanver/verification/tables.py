"""What a person sees of a verification and of the zoo: tables for the terminal, and a sentence for each violation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from spanver.verdicts import Verdict
from spanver.verification.runner import Report

__all__ = ["footer_lines", "verdict_table", "violation_lines"]

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
    for column, justify in (("id", "left"), ("guarantee", "left"), ("verdict", "left"), ("instances", "right")):
        table.add_column(column, justify=justify, no_wrap=column != "guarantee")
    table.add_column("power", justify="right", no_wrap=True)
    table.add_column("slack", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    for row in report.rows:
        if not row.findings and row.verdict not in _COLOURS:
            continue
        power, slack = row.largest("power"), row.largest("slack")
        table.add_row(
            row.id,
            titles[row.id],
            Text(row.verdict, style=_COLOURS.get(row.verdict, "")),
            f"{row.total('examples'):,}",
            "" if power is None else f"{power:.2f}",
            "" if slack is None else f"{slack:.3f}",
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
        f"profile {request.profile}, entropy {request.entropy}; a correct subject fails with probability at most "
        f"{request.alpha:g} ({report.alpha_of_one_test:.1e} each test)"
    )
