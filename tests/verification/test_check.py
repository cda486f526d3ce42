"""What a property is given: calls of the subject and their faults, seeds, tightness, experiments."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import NUMBERS, a_check, coin
from hypothesis import strategies as st

from spanver.errors import BudgetExceededError, ViolationError
from spanver.oracle import Budget, Oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.random_tables import random_problem
from spanver.verdicts import Verdict
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment, mean_experiment
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import GENEROUS_BUDGET


def test_the_same_seed_finds_the_same_and_another_looks_elsewhere() -> None:
    def instances_seen(seed: int) -> list[int]:
        seen: list[int] = []

        @instances(number=NUMBERS)
        def note(check: Check, number: int) -> None:
            seen.append(check.seed("any"))

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
    # Where the property set no budget, the subject drew too much, or made the error up.
    for unlimited in (literal_oracle(problem, seed=1), literal_oracle(problem, seed=1, budget=GENEROUS_BUDGET)):
        with pytest.raises(ViolationError, match="draws far more than it needs") as raised:
            a_check({"fit": fit}).call("fit", unlimited)
        assert raised.value.cause == "raised"


def test_a_result_after_a_query_that_the_budget_refused_is_a_violation() -> None:
    def swallows(oracle: Oracle, prompt: int, score: object, **_: object) -> Any:
        response = oracle.sample(prompt, 1)[0]
        with contextlib.suppress(BudgetExceededError):
            response = oracle.sample(prompt, 1)[0]
        return response

    problem = random_problem(0, prompts=1, responses=2, dimension=1)
    for samples, words in (
        (2, None),
        (1, "softmax_sample returned a result, though its budget had run out: .* 0 are left"),
    ):
        oracle = literal_oracle(problem, seed=1, budget=Budget(samples=samples))
        named = {"multiplier": 1.0, "failure": 0.5, "seed": 0}
        with contextlib.nullcontext() if words is None else pytest.raises(ViolationError, match=words):
            a_check({"softmax_sample": swallows}).call("softmax_sample", oracle, oracle.prompt(), None, **named)


def test_a_subject_that_ends_the_process_breaks_the_guarantee_and_nothing_else() -> None:
    def fit() -> None:
        raise SystemExit(3)

    with pytest.raises(ViolationError, match="SystemExit"):
        a_check({"fit": fit}).call("fit")


def test_subjects_cannot_write_to_what_they_are_given() -> None:
    def writes(features: Any) -> Any:
        features[0] = 1.0
        return features

    with pytest.raises(ViolationError, match="read-only"):
        a_check({"fit": writes}).call("fit", np.zeros(2))


def test_the_largest_tightness_is_stored() -> None:
    @instances(number=st.integers(0, 10))
    def near(check: Check, number: int) -> None:
        check.tightness(number / 2, 10.0)
        check.tightness(number, 10.0)

    check = a_check()
    near(check)
    assert check.finding.tightness == 1.0


def test_a_mean_below_its_bound_is_no_violation_and_one_above_is() -> None:
    for share, verdict in ((0.1, Verdict.HOLDS), (0.5, Verdict.VIOLATED)):

        @experiments(number=NUMBERS)
        def rare(check: Check, number: int, share: float = share) -> Experiment:
            return mean_experiment(check, coin(share), 0.2)

        check = a_check()
        if verdict is Verdict.VIOLATED:
            with pytest.raises(ViolationError):
                rare(check)
        else:
            rare(check)
        assert check.finding.verdict is verdict
