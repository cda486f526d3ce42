"""Helpers of the properties that turn numbers into accusations."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest

from spanver.errors import ViolationError
from spanver.guarantees.sampler import sampler_multiplier
from spanver.kernels import truncated_scores
from spanver.problems.families.random_tables import random_problem
from spanver.subjects.reference import subject
from spanver.verification.check import Check
from spanver.verification.selection import make_check

rounded, exploration = (import_module(f"spanver.properties.{each}") for each in ("rounded", "test_exploration_law"))
ASSERTIONS = [rounded.assert_near, rounded.assert_at_most, rounded.assert_at_least]

Assertion = Callable[[Check, str, float, float, float], None]


@pytest.fixture
def check() -> Check:
    return make_check(subject, "a property", ("S8",), profile="quick", alpha=1e-6, seed=0)


@pytest.mark.parametrize(
    ("judge", "expected", "allowed"),
    [
        *((judge, 0.0, allowed) for judge in ASSERTIONS for allowed in (math.nan, math.inf)),
        *((judge, math.nan, 0.0) for judge in ASSERTIONS[1:]),
    ],
)
def test_a_bound_that_is_no_number_accuses_nobody_and_is_not_judged(
    check: Check, judge: Assertion, expected: float, allowed: float
) -> None:
    judge(check, "a number", 1.0, expected, allowed)
    assert check.unjudged[:2] == (0, 1)


@pytest.mark.parametrize("judge", ASSERTIONS)
def test_what_is_no_number_is_accused(check: Check, judge: Assertion) -> None:
    with pytest.raises(ViolationError, match="nan"):
        judge(check, "a number", math.nan, 0.0, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_the_multiplier_of_an_exploration_round_is_enough_for_every_truncated_policy(seed: int) -> None:
    problem = random_problem(seed, prompts=2, responses=4, dimension=2, beta=0.5 + seed)
    multiplier, random = exploration.multiplier_of(problem), np.random.default_rng(seed)
    for _ in range(100):
        direction = random.normal(size=2)
        theta = problem.radius * direction / np.linalg.norm(direction)
        for log_base, features in zip(problem.log_base, problem.features, strict=True):
            scores = truncated_scores(features, features[0], theta, np.eye(2), float(random.uniform(0.1, 2.0)))
            weights, base = np.exp(scores / problem.beta), np.exp(log_base)
            assert sampler_multiplier(max(1.0, float(weights.max() / (base @ weights)))) <= multiplier * (1 + 1e-9)
