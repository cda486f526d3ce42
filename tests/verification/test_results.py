"""The status of a guarantee, from the findings of its properties."""

from __future__ import annotations

from spanver.subjects.reference import subject as reference
from spanver.verdicts import Verdict
from spanver.verification.collection import find_properties
from spanver.verification.finding import Finding
from spanver.verification.request import ExpectedFailure, Request
from spanver.verification.results import Report, Row, Status, judge


def test_an_expected_failure_hides_no_other_one_and_accuses_nothing_undecided() -> None:
    def finding(message: str, verdict: Verdict) -> Finding:
        return Finding(message, ("E6",), verdict, message=message, examples=1)

    properties = [each for each in find_properties() if "E6" in each.guarantees][:2]
    known = {"E6": ExpectedFailure("bug 17")}

    def row(*findings: Finding) -> Row:
        return judge("E6", reference, findings, properties, known)

    bug, regression = finding("bug 17", Verdict.VIOLATED), finding("a regression", Verdict.VIOLATED)
    assert row(bug, finding("fine", Verdict.HOLDS)).status is Status.EXPECTED_FAILURE
    assert row(bug, regression).status is Status.VIOLATED
    assert "a regression" in row(bug, regression).message
    assert row(finding("lost", Verdict.UNDECIDED), finding("fine", Verdict.HOLDS)).status is Status.UNDECIDED


def test_what_cannot_be_judged_counts_neither_way_and_alone_decides_nothing() -> None:
    properties = [each for each in find_properties() if "E6" in each.guarantees][:2]
    one, two = (Finding(each.name, ("E6",), not_judged="out of reach") for each in properties)
    fine, bug = Finding("a", ("E6",), Verdict.HOLDS), Finding("b", ("E6",), Verdict.VIOLATED, message="wrong")

    def row(*findings: Finding) -> Row:
        return judge("E6", reference, findings, properties, {})

    assert row(one, fine).status is Status.HOLDS
    assert row(one, bug).status is Status.VIOLATED
    assert row(one).status is Status.UNDECIDED  # another one did not run
    alone = row(one, two)
    assert (alone.status, alone.message) == (Status.NOT_JUDGED, "out of reach")
    assert Report(Request(), "mine", (alone,), 2, 2).verdict is Verdict.UNDECIDED
    assert Report(Request(), "mine", (alone, row(one, fine)), 4, 4).verdict is Verdict.HOLDS
    assert alone.to_json(Request())["properties"][0]["why"] == "out of reach"
