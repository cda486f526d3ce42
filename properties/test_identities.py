"""Identities of policies, coverage and gap (I1-I4), on every table that Hypothesis finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanver.guarantees import log_coverage_bound
from spanver.kernels import log_softmax
from spanver.learners.policies import LinearSoftmax
from spanver.problems.exact import best_objective, gap, log_coverage, log_law, log_optimal_law, objective
from spanver.problems.tables import TabularProblem
from spanver.strategies import realizing, tabular_problems

ROUNDING = 1e-9


@pytest.mark.guarantee("I1")
@given(tabular_problems(), st.integers(-8, 8))
def test_policies_sum_to_one_and_ignore_what_is_common_to_all_responses(problem: TabularProblem, shift: int) -> None:
    theta = realizing(problem)
    law = log_law(problem, LinearSoftmax(theta))
    assert np.allclose(np.exp(law).sum(axis=1), 1.0, atol=ROUNDING)
    assert (law[problem.log_base == -np.inf] == -np.inf).all()
    scores = problem.features @ theta
    shifted = log_softmax(problem.log_base, scores + shift, problem.beta)
    moved = log_softmax(problem.log_base, (problem.features + shift / 8) @ theta, problem.beta)
    tolerance = 1e-14 * (1.0 + abs(shift)) / problem.beta + ROUNDING
    assert np.allclose(np.exp(law), np.exp(shifted), atol=tolerance)
    assert np.allclose(np.exp(law), np.exp(moved), atol=tolerance)


@pytest.mark.guarantee("I2")
@given(tabular_problems())
def test_the_gap_is_beta_times_the_divergence_from_the_optimum(problem: TabularProblem) -> None:
    optimum, theta = log_optimal_law(problem), realizing(problem)
    assert np.isclose(objective(problem, optimum), best_objective(problem), atol=ROUNDING)
    for law in (problem.log_base, log_law(problem, LinearSoftmax(-theta))):
        assert gap(problem, law) >= 0.0
        assert np.isclose(gap(problem, law), best_objective(problem) - objective(problem, law), atol=ROUNDING)


@pytest.mark.guarantee("I3")
@given(tabular_problems())
def test_coverage_of_the_optimum_lies_between_one_and_its_bound(problem: TabularProblem) -> None:
    coverage = log_coverage(problem, log_optimal_law(problem))
    supported = np.where(problem.log_base > -np.inf, problem.reward, np.nan)
    for log_value, reward in zip(coverage, supported, strict=True):
        bound = log_coverage_bound(oscillation=float(np.nanmax(reward) - np.nanmin(reward)), beta=problem.beta)
        assert -ROUNDING <= log_value <= bound + ROUNDING * (1 + bound)
    assert np.allclose(log_coverage(problem, problem.log_base), 0.0)


@pytest.mark.guarantee("I3")
@given(tabular_problems())
def test_coverage_of_the_optimum_grows_as_beta_shrinks(problem: TabularProblem) -> None:
    before = np.zeros(problem.prompts)
    for beta in (4.0, 1.0, 0.1, 0.01):
        law = log_softmax(problem.log_base, problem.reward, beta)
        coverage = log_coverage(problem, law)
        assert (coverage >= before - ROUNDING * (1 + before)).all()
        before = coverage
