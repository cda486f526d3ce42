"""Terminal tables of the studies: a table of claims, and their sum in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from spanver.studies.catalogue import STUDIES
from spanver.studies.engine.runner import Result
from spanver.studies.engine.study import Claim
from spanver.verdicts import Verdict


def claims_table(result: Result) -> Table:
    """Claims of a study, a row each, with slope, 95 % interval and band where one has any."""
    study = STUDIES[result.study]
    table = Table(title=escape(f"{study.name}: {study.statement}"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("id", no_wrap=True)
    table.add_column("claim", min_width=18)
    table.add_column("verdict", no_wrap=True)
    has_slopes = any(claim.slope or claim.band for claim in result.claims)
    for column in ("slope", "95 % interval", "band") if has_slopes else ():
        table.add_column(column, justify="right", no_wrap=True)
    for claim in result.claims:
        verdict = Text(claim.verdict.value, claim.verdict.colour) if claim.verdict else Text("shown", "cyan")
        words = f"{claim.claim} ({claim.note})" if claim.note else claim.claim
        table.add_row(claim.guarantee, Text(words), verdict, *(_numbers(claim) if has_slopes else ()))
    return table


def _numbers(claim: Claim) -> tuple[str, str, str]:
    fitted, band = claim.slope, claim.band
    return (
        "" if fitted is None else f"{fitted.estimate:.3f}",
        "" if fitted is None else f"{fitted.low:.3f}, {fitted.high:.3f}",
        "" if band is None else f"{_edge(band[0])}, {_edge(band[1])}",
    )


def _edge(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else ("-" if value < 0 else "") + "inf"


def footer_line(results: Sequence[Result]) -> str:
    """Verdicts of all claims, in one sentence."""
    verdicts = [claim.verdict for result in results for claim in result.claims]
    counts = ", ".join(f"{verdicts.count(verdict)} {_WORDS[verdict]}" for verdict in Verdict)
    shown = verdicts.count(None)
    return f"{len(verdicts) - shown} claims judged: {counts}; {shown} shown without a verdict"


_WORDS = {Verdict.HOLDS: "hold", Verdict.UNDECIDED: "undecided", Verdict.VIOLATED: "violated"}
