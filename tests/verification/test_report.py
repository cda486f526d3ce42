"""What the terminal shows of a verification."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from spanver.verdicts import Verdict
from spanver.verification.finding import Call, Fault, Finding
from spanver.verification.report import (
    error_lines,
    footer_lines,
    row_line,
    undecided_lines,
    verdict_table,
    violation_lines,
)
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


def test_what_is_undecided_or_not_judged_says_why_once_for_all_guarantees_of_a_reason() -> None:
    rows = (
        Row("I1", Status.UNDECIDED, (), "2 properties did not run"),
        Row("I2", Status.UNDECIDED, (), "2 properties did not run"),
        Row("R1", Status.NOT_JUDGED, (), "fit raised TypeError"),
        Row("S4", Status.HOLDS, (BOUND, Finding("test_other", ("S4",), not_judged="out of reach"))),
    )
    assert list(undecided_lines(Report(Request(), "given", rows, 3, 1))) == [
        "I1, I2 are undecided: 2 properties did not run",
        "R1 is not judged: fit raised TypeError",
        "S4 is not judged by test_other: out of reach",
    ]


def test_what_holds_though_a_property_of_it_was_not_judged_says_so() -> None:
    whole, unjudged = Finding("a", ("C-A1", "C-A2"), Verdict.HOLDS), Finding("b", ("C-A1",), not_judged="out of reach")
    rows = (Row("C-A1", Status.HOLDS, (whole, unjudged)), Row("C-A2", Status.HOLDS, (whole,)))
    assert list(map(row_line, rows)) == ["C-A1 holds as far as it could be judged", "C-A2 holds"]
    report = Report(Request(), "given", rows, 2, 2)
    assert "holds: C-A2; holds as far as it could be judged: C-A1" in list(footer_lines(report))[1]
    assert [row["judged_in_part"] for row in report.to_json()["guarantees"]] == [True, False]


def test_an_error_of_the_subject_is_told_once_with_its_line_and_its_guarantees() -> None:
    fault = Fault("fit", "raised", "TypeError", "mine.py:42")
    message = "fit raised TypeError: no (mine.py:42)"
    one, two = (Finding(name, (), Verdict.VIOLATED, message=message, fault=fault) for name in ("a", "b"))
    rows = (Row("E6", Status.NOT_JUDGED, (one,)), Row("R1", Status.NOT_JUDGED, (one, two)))
    report = Report(Request(), "given", rows, 2, 2)
    assert list(error_lines(report)) == [
        "fit raised TypeError: no (mine.py:42) [raised]",
        "  in 2 properties of E6, R1, on calls of fit",
        "  again: spanver verify reference --only E6 --profile quick --seed 0",
    ]
    assert next(footer_lines(report)).endswith("0 undecided, 1 error of the subject")
    assert list(footer_lines(replace(report, interrupted=True)))[-1] == "interrupted: 2 of 2 properties were run"
