"""The status of a guarantee, from the findings of its properties."""

from __future__ import annotations

import json
from dataclasses import replace

from spanver.subjects.reference import subject as reference
from spanver.verdicts import Verdict
from spanver.verification.collection import find_properties
from spanver.verification.finding import Call, Fault, Finding
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
    assert alone.to_json(Request(), {})["properties"][0]["why"] == "out of reach"


def test_an_error_of_the_subject_is_reported_once_and_its_guarantees_are_not_judged() -> None:
    properties = [each for each in find_properties() if "E6" in each.guarantees or "R1" in each.guarantees]
    fault = Fault("fit", "raised", "TypeError", "mine.py:42")

    def finding(name: str, guarantee: str, of: str = "fit", verdict: Verdict = Verdict.VIOLATED) -> Finding:
        raised = replace(fault, function=of) if verdict is Verdict.VIOLATED else None
        return Finding(name, (guarantee,), verdict, cause="raised", message=f"{of} raised TypeError: no", fault=raised)

    def report(known: dict[str, ExpectedFailure], *findings: Finding) -> Report:
        rows = tuple(judge(name, reference, findings, properties, known) for name in ("R1", "E6"))
        return Report(Request(), "mine", rows, len(findings), len(findings))

    one, two = finding("a", "E6"), finding("b", "R1", "spanner_sampling")
    held = finding("c", "E6", verdict=Verdict.HOLDS)
    found = report({}, one, two, held)
    assert [(row.status, row.message) for row in found.rows] == [
        (Status.NOT_JUDGED, "spanner_sampling raised TypeError"), (Status.NOT_JUDGED, "fit raised TypeError"),
    ]  # fmt: skip
    assert found.verdict is Verdict.VIOLATED
    (error,) = found.to_json()["errors"]  # one line of the subject, whichever function was called
    assert error["functions"] == ["spanner_sampling", "fit"]
    assert (error["type"], error["where"], error["properties"]) == ("TypeError", "mine.py:42", ["b", "a"])
    # A guarantee that is violated besides is violated, and the error does not count as its violation.
    wrong = Finding("d", ("E6",), Verdict.VIOLATED, cause="guarantee", message="misses")
    assert (report({}, one, wrong).rows[1].status, report({}, one, wrong).rows[1].message) == (
        Status.VIOLATED,
        "misses",
    )
    # An expected error is none to report.
    expected = report({"E6": ExpectedFailure("raised TypeError")}, one)
    assert (expected.rows[1].status, expected.errors) == (Status.EXPECTED_FAILURE, ())
    assert Report(Request(), "mine", expected.rows[1:], 1, 1).verdict is Verdict.HOLDS


def test_errors_at_different_lines_are_different() -> None:
    findings = [
        Finding(name, ("E6",), Verdict.VIOLATED, cause="raised", fault=Fault("fit", "raised", "TypeError", where))
        for name, where in (("a", "mine.py:1"), ("b", "mine.py:2"), ("c", ""), ("d", ""))
    ]
    row = Row("E6", Status.NOT_JUDGED, tuple(findings))
    groups = [[each.property for each in error.findings] for error in Report(Request(), "mine", (row,), 4, 4).errors]
    assert groups == [["a"], ["b"], ["c", "d"]]


def test_an_undecided_guarantee_can_be_expected_and_then_has_to_be_undecided_for_that_reason() -> None:
    properties = [each for each in find_properties() if "E7" in each.guarantees]
    known = {"E7": ExpectedFailure("premise", Verdict.UNDECIDED)}

    def row(verdict: Verdict, message: str) -> Row:
        return judge("E7", reference, [Finding("a", ("E7",), verdict, message=message)], properties, known)

    expected = row(Verdict.UNDECIDED, "its premise held in none of 3 cases")
    assert (expected.status, expected.message) == (Status.EXPECTED_FAILURE, "undecided: premise")
    assert row(Verdict.UNDECIDED, "another reason").status is Status.UNDECIDED
    assert row(Verdict.HOLDS, "").message == "expected to fail with: undecided: premise; instead: it holds"
    for verdict in (Verdict.HOLDS, Verdict.VIOLATED):
        assert row(verdict, "x").status is Status.VIOLATED


def test_every_verdict_says_why_in_json() -> None:
    violation = Finding(
        "a", ("S8",), Verdict.VIOLATED, cause="guarantee", message="norms: [2], expected [1]", of="norms",
        observed="[2]", expected="[1]", call=Call("elliptic_norms", {"sigma": "[[1]]"}), counterexample={"x": [1]},
    )  # fmt: skip
    undecided = Finding("b", ("S8",), Verdict.UNDECIDED, message="its premise held in none of 3 cases")
    unjudged = Finding("c", ("S8",), not_judged="out of reach")
    findings = (violation, undecided, unjudged)
    data = json.loads(json.dumps(Row("S8", Status.VIOLATED, findings, violation.message).to_json(Request(), {})))
    assert (data["of"], data["observed"], data["expected"]) == ("norms", "[2]", "[1]")
    assert data["call"] == {
        "function": "elliptic_norms", "arguments": {"sigma": "[[1]]"}, "number": 1, "queried": "",
    }  # fmt: skip
    assert [(each["verdict"], each["why"]) for each in data["properties"]] == [
        ("violated", "norms: [2], expected [1]"),
        ("undecided", "its premise held in none of 3 cases"),
        ("not judged", "out of reach"),
    ]


def test_a_subject_that_promises_nothing_does_not_hold() -> None:
    measured = Row("S8", Status.MEASURED, (Finding("a", ("S8",), Verdict.HOLDS),))
    assert Report(Request(), "mine", (measured,), 1, 1).verdict is Verdict.UNDECIDED
    unjudged = Row("E6", Status.NOT_JUDGED, (Finding("b", ("E6",), not_judged="out of reach"),))
    assert Report(Request(), "mine", (measured, unjudged), 2, 2).verdict is Verdict.UNDECIDED


def test_what_nothing_was_judged_of_would_have_caught_nothing() -> None:
    row = Row("S8", Status.HOLDS, (Finding(NORMS, ("S8",), Verdict.HOLDS, examples=30),))
    assert Report(Request(), "mine", (row,), 1, 1).would_catch
    assert not Report(Request(), "mine", (row,), 1, 1, declared={"precision": "bfloat16"}).would_catch
    few = Row("S8", Status.HOLDS, (Finding(NORMS, ("S8",), Verdict.HOLDS, examples=0),))
    assert not Report(Request(), "mine", (few,), 1, 1).would_catch


NORMS = "test_norms_are_their_definition_and_do_not_change_when_all_is_rotated"


def test_of_several_violations_that_of_a_part_is_told_before_that_of_the_whole() -> None:
    properties = [each for each in find_properties() if "R3" in each.guarantees]

    def violated(name: str, function: str, **instance: object) -> Finding:
        call = Call(function, {})
        return Finding(name, ("R3",), Verdict.VIOLATED, "statistical", message=name, call=call, counterexample=instance)

    whole = violated("a", "spanner_sampling", prompts=1)
    part, larger = violated("c", "softmax_sample", responses=2), violated("b", "softmax_sample", responses=[2, 3, 4, 5])
    for order in ((whole, larger, part), (part, larger, whole)):
        row = judge("R3", reference, order, properties, {})
        assert row.message == "c (also violated: b, a)"
        assert row.violation is part
