"""The harness itself: search, experiments, selection, verdicts, the runner and the plugin."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.errors import ArgumentError, BudgetExceededError, ProtocolError, ViolationError
from spanver.guarantees import REGISTRY
from spanver.oracle import Budget, Oracle
from spanver.oracles import literal_oracle
from spanver.problems.families.random_tables import random_problem
from spanver.subjects.contract import Subject
from spanver.subjects.reference import subject as reference
from spanver.verdicts import Verdict
from spanver.verification import runner
from spanver.verification.check import Check, Experiment
from spanver.verification.collection import find_properties
from spanver.verification.finding import Finding, finding_from_json, finding_to_json
from spanver.verification.profiles import DEMANDS, PROFILES, Profile
from spanver.verification.runner import Request, Row, Status, expected_failures, run_properties, verify
from spanver.verification.search import experiments, instances, plain
from spanver.verification.selection import expected_properties, is_selected, make_check, statistical_properties
from spanver.verification.transcript import GENEROUS_BUDGET


def a_check(functions: dict[str, Callable[..., Any]] | None = None, **changes: Any) -> Check:
    given: dict[str, Any] = {
        "subject": Subject("given", functions or {"fit": lambda *arguments: [0.0]}),
        "name": "test_property",
        "guarantees": ("R6",),
        "profile": PROFILES["quick"],
        "run_seed": 0,
        "alpha": 1e-8,
        "discrepancy": 0.1,
        "tested": 8,
    }
    return Check(**given | changes)


NUMBERS = st.integers(0, 1000)


def test_a_search_finds_the_smallest_failing_instance() -> None:
    @instances(number=NUMBERS, other=st.integers(0, 9))
    def small(check: Check, number: int, other: int) -> None:
        assert number < 37, f"{number} is too large"

    check = a_check()
    with pytest.raises(ViolationError, match="37 is too large"):
        small(check)
    assert check.finding.verdict is Verdict.VIOLATED
    assert check.finding.cause == "guarantee"
    assert check.finding.counterexample == {"number": 37, "other": 0}
    assert check.finding.message == "37 is too large"


def test_a_search_that_finds_nothing_holds_and_counts_its_instances() -> None:
    seen = []

    @instances(number=NUMBERS)
    def any_number(check: Check, number: int) -> None:
        seen.append(number)

    check = a_check()
    any_number(check)
    assert check.finding.verdict is Verdict.HOLDS
    assert check.finding.examples == len(seen) == len(set(seen)) <= PROFILES["quick"].examples
    assert len(seen) > 20


def test_shrinking_goes_on_across_kinds_of_failure() -> None:
    @instances(number=NUMBERS)
    def fails_in_two_ways(check: Check, number: int) -> None:
        assert number <= 50, "large"
        if number >= 10:
            check.call("fit", number)

    check = a_check({"fit": lambda number: 1 / 0})
    with pytest.raises(ViolationError):
        fails_in_two_ways(check)
    assert check.finding.counterexample == {"number": 10}
    assert check.finding.cause == "raised"
    assert "fit raised ZeroDivisionError" in check.finding.message


def test_the_same_entropy_finds_the_same_and_another_looks_elsewhere() -> None:
    def instances_seen(seed: int) -> list[int]:
        seen: list[int] = []

        @instances(number=NUMBERS)
        def note(check: Check, number: int) -> None:
            seen.append(check.seed("luck"))

        note(a_check(run_seed=seed))
        return seen

    assert instances_seen(3) == instances_seen(3)
    assert instances_seen(3) != instances_seen(4)


def test_seeds_differ_by_purpose_instance_replicate_and_property() -> None:
    seeds: list[int] = []

    @instances(number=st.integers(0, 5))
    def note(check: Check, number: int) -> None:
        seeds.extend([check.seed("oracle"), check.seed("sampler"), check.seed("oracle", 1)])

    note(a_check())
    note(a_check(name="test_another"))
    assert len(set(seeds)) == len(seeds) >= 6
    assert all(0 <= seed < 2**52 for seed in seeds)


@pytest.mark.parametrize(
    ("function", "cause", "words"),
    [
        (lambda: [math.nan], "contract", "finite"),
        (lambda: [[1.0]], "contract", "dimensions"),
        (lambda: "none", "contract", "broke the contract"),
        (lambda: 1 / 0, "raised", "ZeroDivisionError"),
    ],
)
def test_what_a_subject_does_wrong_has_a_cause(function: Callable[[], Any], cause: str, words: str) -> None:
    @instances(number=st.just(0))
    def call(check: Check, number: int) -> None:
        check.call("fit")

    check = a_check({"fit": function})
    with pytest.raises(ViolationError, match=words):
        call(check)
    assert check.finding.cause == cause


def test_a_budget_that_ended_reaches_the_property() -> None:
    def fit(oracle: Oracle) -> None:
        raise BudgetExceededError("samples", 2, 1)

    problem = random_problem(1, responses=4)
    with pytest.raises(BudgetExceededError):
        a_check({"fit": fit}).call("fit", literal_oracle(problem, seed=1, budget=Budget(samples=1)))
    # Where the property set none, whoever says so asked for too much, or makes it up.
    for unlimited in (literal_oracle(problem, seed=1), literal_oracle(problem, seed=1, budget=GENEROUS_BUDGET)):
        with pytest.raises(ViolationError, match="asked far more than it has to") as raised:
            a_check({"fit": fit}).call("fit", unlimited)
        assert raised.value.cause == "raised"


def test_a_subject_that_ends_the_process_breaks_the_guarantee_and_nothing_else() -> None:
    def fit() -> None:
        raise SystemExit(3)

    with pytest.raises(ViolationError, match="SystemExit"):
        a_check({"fit": fit}).call("fit")


def test_a_property_that_errs_on_some_instances_never_holds() -> None:
    @instances(number=NUMBERS)
    def errs(check: Check, number: int) -> None:
        if number > 3:
            raise IndexError(number)

    check = a_check({})
    with pytest.raises(IndexError):
        errs(check)
    assert check.finding.verdict is Verdict.UNDECIDED
    assert "IndexError" in check.finding.message


def test_a_guarantee_whose_premise_never_held_is_undecided() -> None:
    @instances(number=NUMBERS)
    def vacuous(check: Check, number: int) -> None:
        check.premise(False)

    @instances(number=NUMBERS)
    def once(check: Check, number: int) -> None:
        check.premise(number == 0)

    for body, verdict in ((vacuous, Verdict.UNDECIDED), (once, Verdict.HOLDS)):
        check = a_check({})
        body(check)
        assert check.finding.verdict is verdict


def test_an_expected_failure_hides_no_other_one_and_accuses_nothing_undecided() -> None:
    def finding(message: str, verdict: Verdict) -> Finding:
        return Finding(message, ("E6",), verdict, message=message, examples=1)

    properties = [each for each in find_properties() if "E6" in each.guarantees][:2]
    known = {"E6": "bug 17"}

    def row(*findings: Finding) -> Row:
        return runner._row("E6", reference, findings, properties, known)

    bug, regression = finding("bug 17", Verdict.VIOLATED), finding("a regression", Verdict.VIOLATED)
    assert row(bug, finding("fine", Verdict.HOLDS)).status is Status.EXPECTED_FAILURE
    assert row(bug, regression).status is Status.VIOLATED
    assert "a regression" in row(bug, regression).message
    assert row(finding("lost", Verdict.UNDECIDED), finding("fine", Verdict.HOLDS)).status is Status.UNDECIDED


def test_nothing_smaller_is_looked_for_after_a_time_limit() -> None:
    calls = []

    def hangs(number: int) -> list[float]:
        calls.append(number)
        raise ProtocolError("no line", final=True)

    @instances(number=NUMBERS)
    def call(check: Check, number: int) -> None:
        check.call("fit", number)

    check = a_check({"fit": hangs})
    with pytest.raises(ViolationError, match="no line"):
        call(check)
    assert len(calls) == 1
    assert check.finding.cause == "protocol"


def test_subjects_cannot_write_to_what_they_are_given() -> None:
    def writes(features: Any) -> Any:
        features[0] = 1.0
        return features

    with pytest.raises(ViolationError, match="read-only"):
        a_check({"fit": writes}).call("fit", np.zeros(2))


def test_the_largest_slack_is_kept() -> None:
    @instances(number=st.integers(0, 10))
    def near(check: Check, number: int) -> None:
        check.tightness(number / 2, 10.0)
        check.tightness(number, 10.0)

    check = a_check()
    near(check)
    assert check.finding.tightness == 1.0


def coin(share: float) -> Callable[[int, int], Sequence[int]]:
    return lambda count, seed: (np.random.default_rng(seed).random(count) < share).astype(int).tolist()


def test_a_right_law_is_tested_on_every_instance_to_its_designed_size() -> None:
    sizes: list[int] = []

    @experiments(number=NUMBERS)
    def fair(check: Check, number: int) -> Experiment:
        made = check.law_experiment(coin(0.5), np.array([0.5, 0.5]))
        sizes.append(made.samples)
        return made

    check = a_check()
    fair(check)
    assert check.finding.verdict is Verdict.HOLDS
    assert check.finding.examples == len(sizes) == 8
    assert check.finding.detectable == 0.1
    assert check.finding.alpha_spent == pytest.approx(8e-8)
    assert len(set(sizes)) == 1
    assert 1500 < sizes[0] < 3000


def test_a_wrong_law_is_violated_early_and_shrunk_on_fresh_luck() -> None:
    looked: list[int] = []

    @experiments(number=st.integers(0, 100))
    def biased(check: Check, number: int) -> Experiment:
        def observe(count: int, seed: int) -> Sequence[int]:
            looked.append(count)
            return coin(0.9 if number >= 3 else 0.5)(count, seed)

        return check.law_experiment(observe, np.array([0.5, 0.5]))

    check = a_check()
    with pytest.raises(ViolationError, match="e-value"):
        biased(check)
    assert check.finding.counterexample == {"number": 3}
    assert 64 in looked
    assert check.finding.kind == "statistical"


def test_a_violation_that_is_seen_late_is_shrunk_on_a_bounded_number_of_observations() -> None:
    observed: dict[int, int] = {}

    @experiments(number=st.integers(0, 10**6))
    def barely_biased(check: Check, number: int) -> Experiment:
        def observe(count: int, seed: int) -> Sequence[int]:
            observed[number] = observed.get(number, 0) + count
            return coin(0.53 if number >= 1000 else 0.5)(count, seed)

        return check.law_experiment(observe, np.array([0.5, 0.5]))

    with pytest.raises(ViolationError, match="e-value"):
        barely_biased(a_check(discrepancy=0.02))
    failed = next(index for index, number in enumerate(observed) if number >= 1000)
    smaller = list(observed.values())[failed + 1 :]
    assert smaller[0] >= 2**13
    assert 1 <= len(smaller) < 8
    assert sum(smaller[:-1]) < 2**15 <= sum(smaller)


def test_an_experiment_without_enough_instances_is_undecided() -> None:
    @experiments(number=st.just(1))
    def only_one(check: Check, number: int) -> Experiment:
        return check.mean_experiment(coin(0.0), 0.5)

    check = a_check()
    only_one(check)
    assert check.finding.verdict is Verdict.UNDECIDED
    assert "1 of 8" in check.finding.message


def test_a_mean_below_its_bound_is_no_violation_and_one_above_is() -> None:
    for share, verdict in ((0.1, Verdict.HOLDS), (0.5, Verdict.VIOLATED)):

        @experiments(number=NUMBERS)
        def rare(check: Check, number: int, share: float = share) -> Experiment:
            return check.mean_experiment(coin(share), 0.2)

        check = a_check()
        if verdict is Verdict.VIOLATED:
            with pytest.raises(ViolationError):
                rare(check)
        else:
            rare(check)
        assert check.finding.verdict is verdict


def test_the_budget_of_false_alarms_is_shared_out_and_not_exceeded() -> None:
    statistical = [each for each in find_properties() if each.statistical]
    assert statistical_properties() == len(statistical) > 10
    for profile in PROFILES:
        checks = [
            make_check(reference, each.name, each.guarantees, profile=profile, alpha=1e-3, seed=0)
            for each in statistical
        ]
        assert sum(check.alpha * check.tested for check in checks) <= 1e-3 * (1 + 1e-12)


def test_instances_are_shown_as_json_has_them() -> None:
    shown = plain({"a": np.array([1.0, -np.inf]), "b": (1, "x"), "c": Verdict.HOLDS, "d": PROFILES["quick"]})
    assert json.loads(json.dumps(shown)) == {
        "a": [1.0, "-inf"],
        "b": [1, "x"],
        "c": "holds",
        "d": {"name": "quick", "examples": PROFILES["quick"].examples, "shrinks": PROFILES["quick"].shrinks},
    }


def test_guarantees_are_selected_by_id_and_by_letter() -> None:
    assert is_selected(["S4", "S7"], "S4")
    assert is_selected(["S4"], "R,S")
    assert is_selected(["S4"], "")
    assert is_selected(["S4"], " s4 ,R1")
    assert not is_selected(["S4"], "S7,R")
    with pytest.raises(ArgumentError, match="X9"):
        is_selected(["S4"], "X9")


def test_only_properties_whose_functions_are_provided_are_expected() -> None:
    names = {each.name for each in expected_properties(Subject("small", {"fit": reference.functions["fit"]}))}
    assert names == {"test_the_fit_meets_the_kkt_conditions_on_the_ball"}
    assert len(expected_properties(reference)) > 50
    assert all(each.needs for each in find_properties())


def test_every_property_that_there_is_can_run_on_some_subject() -> None:
    from spanver.subjects.contract import FUNCTIONS  # noqa: PLC0415 (a table of names)

    assert all(each.needs <= set(FUNCTIONS) for each in find_properties())
    assert all(set(each.guarantees) <= set(REGISTRY) for each in find_properties())


BROKEN = """
from spanver.subjects.reference import subject as reference

provides = ("fit", "elliptic_norms", "draw")
fit = reference.functions["fit"]
draw = reference.functions["draw"]


def elliptic_norms(features, sigma):
    return reference.functions["elliptic_norms"](features, sigma) ** 2
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "broken_module.py").write_text("import sys\n" + BROKEN + "subject = sys.modules[__name__]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "broken_module:subject"


def test_a_report_has_a_verdict_a_counterexample_and_a_command_for_every_violation(broken: str) -> None:
    request = Request(subject=broken, only="E6,S8,R6,T4,O1", seed=5)
    report = verify(request, workers=1)
    verdicts = {row.id: row.status.value for row in report.rows}
    assert verdicts == {
        "O1": "not provided",
        "R6": "holds",
        "S8": "violated",
        "E6": "holds",
        "T4": "not in profile",
    }
    assert report.verdict is Verdict.VIOLATED
    assert report.expected == report.executed == 4
    data = json.loads(json.dumps(report.to_json()))
    violated = next(row for row in data["guarantees"] if row["id"] == "S8")
    assert violated["counterexample"]["vectors"]
    assert violated["cause"] == "guarantee"
    assert shlex.split(violated["replay"]) == [
        "spanver", "verify", broken, "--only", "S8", "--profile", "quick", "--seed", "5"
    ]  # fmt: skip
    again = verify(replace(request, only="S8"), workers=1).to_json()["guarantees"][0]
    assert again["counterexample"] == violated["counterexample"]
    assert again["message"] == violated["message"]
    assert data["footer"]["violated"] == ["S8"]


def test_a_counterexample_does_not_depend_on_the_number_of_workers(broken: str) -> None:
    found = [
        verify(Request(subject=broken, only="S8,E6"), workers=workers).to_json()["guarantees"] for workers in (1, 2)
    ]
    for row in (row for rows in found for row in rows):
        row.pop("seconds")
    assert found[0] == found[1]


def test_expected_failures_have_to_fail_as_they_say(broken: str, tmp_path: Path) -> None:
    request = Request(subject=broken, only="S8,E6")
    file = tmp_path / "expected.txt"
    for text, verdict in (
        ("# squares\nS8: by definition\n", Verdict.HOLDS),
        ("S8: another message\n", Verdict.VIOLATED),
        ("S8: by definition\nE6: misses\n", Verdict.VIOLATED),
    ):
        file.write_text(text)
        assert verify(request, workers=1, known=expected_failures(file)).verdict is verdict, text
    for text, words in (
        ("# said\nS8\n", "line 2.*part of the message"),
        ("X9: reason\n", "line 1.*about a guarantee"),
        ("S8: one\nS8: other\n", "line 2.*only line about S8"),
    ):
        file.write_text(text)
        with pytest.raises(ArgumentError, match=words):
            expected_failures(file)


def test_what_promises_nothing_is_measured_and_not_judged() -> None:
    given = Subject("given", reference.functions, measured=frozenset({"elliptic_norms"}))
    assert given.measured == {"elliptic_norms"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spanver.verification.runner.open_subject", lambda name, command: given)
        report = verify(Request(only="S8"), workers=1)
    # One property of S8 needs the norms, the other the spanner: the second still judges.
    assert report.rows[0].status is Status.HOLDS


def test_a_run_with_nothing_to_check_is_undecided() -> None:
    report = verify(Request(subject="reference", only="T4"), workers=1)
    assert report.verdict is Verdict.UNDECIDED
    assert report.expected == 0


def test_fewer_properties_than_expected_are_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanver.verification.runner.run_properties", lambda *_, **__: [])
    report = verify(Request(only="E6"), workers=1)
    assert report.verdict is Verdict.UNDECIDED
    assert report.rows[0].status is Status.UNDECIDED
    assert "did not run" in report.rows[0].message


def test_a_run_that_looks_for_a_kill_stops_at_the_first_violation(broken: str) -> None:
    findings = run_properties(Request(subject=broken, only="S8,E6,R6"), stop_at_first=True)
    assert findings[-1].verdict is Verdict.VIOLATED
    assert sum(each.verdict is Verdict.VIOLATED for each in findings) == 1


def test_a_junit_file_names_every_property_that_ran(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    verify(Request(only="I1,E7"), workers=1, junit=file)
    cases = ElementTree.parse(file).findall(".//testcase")
    assert len(cases) == 2


def test_the_suite_runs_in_anybodys_pytest(broken: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "spanver.properties", "-p", "no:cacheprovider"]
    command += ["--subject", broken, "--spanver-only", "S8,E6", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "1 passed" in done.stdout
    assert "smallest instance" in done.stdout


def test_demands_are_those_of_the_mathematics() -> None:
    assert {name: demand.discrepancy for name, demand in DEMANDS.items()} == {"quick": 0.1, "ci": 0.03, "deep": 0.01}
    assert DEMANDS["quick"].instances == 8
    assert all("statistical" in entry.kind_text for entry in REGISTRY.values() if entry.rare)


def test_a_property_that_ends_in_an_error_accuses_nobody() -> None:
    def body(check: Check, number: int) -> None:
        del check
        raise ValueError(f"too many values to unpack: {number}")

    check = a_check()
    with pytest.raises(ValueError, match="too many"):
        instances(number=NUMBERS)(body)(check)
    assert check.finding.verdict is Verdict.UNDECIDED
    assert check.finding.message.startswith("the property ended in ValueError: too many")


def test_a_search_that_has_had_its_turns_gives_the_shortest_failure_so_far() -> None:
    seen: list[int] = []

    def body(check: Check, number: int) -> None:
        del check
        seen.append(number)
        assert number < 5, "too large"

    check = a_check(profile=Profile("hasty", examples=30, shrinks=4))
    with pytest.raises(ViolationError):
        instances(number=NUMBERS)(body)(check)
    failed = [number for number in seen if number >= 5]
    assert len(seen) == check.finding.examples + 4  # the turns, and no more
    assert check.finding.counterexample is not None
    assert len(str(check.finding.counterexample["number"])) == min(len(str(number)) for number in failed)


def test_a_finding_survives_the_text_that_carries_it() -> None:
    finding = Finding(
        "a", ("S4", "S5"), Verdict.VIOLATED, "statistical", 3, 1e-9, 0.1, 0.5, "raised", "no", {"x": [1]}, 2.5
    )
    assert finding_from_json(finding_to_json(finding)) == finding
    assert finding_from_json(finding_to_json(Finding("b", ()))) == Finding("b", ())
