"""What the terminal shows of a verification."""

from __future__ import annotations

from rich.console import Console

from spanver.verdicts import Verdict
from spanver.verification.finding import Call, Finding
from spanver.verification.report import footer_lines, verdict_table, violation_lines
from spanver.verification.request import Request
from spanver.verification.results import Report, Row, Status

BROKEN = Finding(
    "test_norms", ("S8",), Verdict.VIOLATED, examples=3, message="norms: [2], expected [1]", cause="guarantee",
    call=Call("elliptic_norms", {"features": "[[1]]"}, 3), counterexample={"x": [1]},
)  # fmt: skip
BOUND = Finding("test_size", ("S4",), Verdict.HOLDS, "statistical", 8, detectable=0.1, tightness=0.5)
REPORT = Report(
    Request(seed=7),
    "given",
    (
        Row("S4", Status.HOLDS, (BOUND,)),
        Row("S8", Status.VIOLATED, (BROKEN,), BROKEN.message),
        Row("T4", Status.NOT_IN_PROFILE),
    ),
    expected=3,
    executed=2,
)


def test_the_table_shows_what_was_judged_with_its_tightness_and_what_was_detectable() -> None:
    console = Console(width=120, record=True)
    console.print(verdict_table(REPORT))
    text = console.export_text()
    assert "detectable" in text
    assert "0.10" in text
    assert "0.500" in text
    assert "T4" not in text


def test_a_violation_has_its_call_instance_property_and_replay() -> None:
    assert list(violation_lines(REPORT)) == [
        "S8 is violated: norms: [2], expected [1]",
        "  call (the last of 3): elliptic_norms(features=[[1]])",
        "  smallest instance:",
        "    x: [1]",
        "  property: test_norms",
        "  again: spanver verify reference --only S8 --profile quick --seed 7",
    ]


def test_the_footer_counts_what_ran_and_names_what_did_not() -> None:
    counts, missing, budget = footer_lines(REPORT)
    assert counts == "2 of 3 properties ran: 1 guarantee holds, 1 violated, 0 undecided"
    assert missing == "not in this profile, checked by no property: T4"
    assert "seed 7" in budget


def test_a_report_in_which_a_property_did_not_run_is_never_better_than_undecided() -> None:
    held = Report(Request(), "given", (Row("S4", Status.HOLDS, (BOUND,)),), expected=2, executed=1)
    assert held.verdict is Verdict.UNDECIDED
    assert REPORT.verdict is Verdict.VIOLATED
