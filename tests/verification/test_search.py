"""How instances are searched, what a failure is shrunk to, and when a property is undecided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checks import NUMBERS, a_check, coin
from hypothesis import reject
from hypothesis import strategies as st

from spanver.errors import NotJudgedError, ProtocolError, ViolationError
from spanver.verdicts import Verdict
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment, law_experiment, mean_experiment
from spanver.verification.profiles import PROFILES
from spanver.verification.search import experiments, instances


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


def test_a_right_law_is_tested_on_every_instance_to_its_designed_size() -> None:
    sizes: list[int] = []

    @experiments(number=NUMBERS)
    def fair(check: Check, number: int) -> Experiment:
        made = law_experiment(check, coin(0.5), np.array([0.5, 0.5]))
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


def test_an_experiment_without_enough_instances_is_undecided() -> None:
    @experiments(number=st.just(1))
    def only_one(check: Check, number: int) -> Experiment:
        return mean_experiment(check, coin(0.0), 0.5)

    check = a_check()
    only_one(check)
    assert check.finding.verdict is Verdict.UNDECIDED
    assert "1 of 8" in check.finding.message


@pytest.mark.parametrize("rejected", [(), (4,)])
def test_an_experiment_without_a_search_is_made_on_its_designed_instances_alone(rejected: tuple[int, ...]) -> None:
    seen = []

    @designed([{"number": 3}, {"number": 4}, {"number": 5}], {})
    @experiments()
    def written_down(check: Check, number: int) -> Experiment:
        if number in rejected:
            reject()
        seen.append(number)
        return mean_experiment(check, coin(0.0), 0.5)

    check = a_check()
    written_down(check)
    assert check.finding.verdict is (Verdict.UNDECIDED if rejected else Verdict.HOLDS)
    assert check.finding.message == ("2 of 3 instances were tested" if rejected else "")
    assert seen == [each for each in (3, 4, 5) if each not in rejected]
    assert check.finding.alpha_spent == pytest.approx(3e-8)


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

    check = a_check(profile=replace(PROFILES["quick"], examples=30, shrinks=4))
    with pytest.raises(ViolationError):
        instances(number=NUMBERS)(body)(check)
    failed = [number for number in seen if number >= 5]
    assert len(seen) == check.finding.examples + 4  # the turns, and no more
    assert check.finding.counterexample is not None
    assert len(str(check.finding.counterexample["number"])) == min(len(str(number)) for number in failed)


def test_a_property_that_cannot_be_judged_is_skipped_and_says_why() -> None:
    def body(check: Check, number: int) -> None:
        raise NotJudgedError("out of reach")

    check = a_check()
    with pytest.raises(pytest.skip.Exception, match="not judged: out of reach"):
        instances(number=NUMBERS)(body)(check)
    assert (check.finding.not_judged, check.finding.verdict) == ("out of reach", Verdict.UNDECIDED)
