"""Phase 2: the fit (E6, E7's special case), and the cost of the sampler (R1, O1, O3)."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanver.certify import kkt_residual
from spanver.guarantees import sampler_samples
from spanver.kernels import fit
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.oracle import Budget, BudgetExceededError
from spanver.oracles import literal_oracle
from spanver.problems.tables import TabularProblem
from spanver.strategies import realizing, regressions, tabular_problems
from spanver.values import FloatArray, LinearScore

SETTINGS = Settings(
    prompts=3,
    pairs_per_prompt=2,
    nu=0.3,
    ridge=1.0,
    exploration_rounds=3,
    rejection_multiplier=1.5,
    rejection_failure=0.5,
)


@pytest.mark.guarantee("E6")
@given(regressions())
def test_the_fit_meets_the_kkt_conditions_on_the_ball(data: tuple[FloatArray, FloatArray, float]) -> None:
    features, targets, radius = data
    theta = fit(features, targets, radius)
    assert np.linalg.norm(theta) <= radius * (1 + 1e-12)
    assert kkt_residual(features.T @ features, features.T @ targets, theta, radius) <= 1e-9


@pytest.mark.guarantee("R1", "O1")
@given(tabular_problems(), st.sampled_from([1.0, 2.5, 8.0]), st.sampled_from([0.9, 0.3, 0.01]))
def test_a_sampler_call_costs_at_most_twice_its_pilot_and_one(
    problem: TabularProblem, multiplier: float, failure: float
) -> None:
    oracle = literal_oracle(problem, seed=0)
    softmax_sample(oracle, oracle.prompt(), LinearScore(realizing(problem)), multiplier=multiplier, failure=failure)
    assert oracle.ledger.samples <= sampler_samples(multiplier, failure)


@pytest.mark.guarantee("O3")
@given(tabular_problems(), st.integers(0, 120), st.integers(0, 20))
def test_a_budget_is_never_exceeded(problem: TabularProblem, samples: int, rewards: int) -> None:
    oracle = literal_oracle(problem, seed=0, budget=Budget(samples=samples, rewards=rewards))
    with contextlib.suppress(BudgetExceededError):
        spanner_sampling(oracle, seed=0, settings=SETTINGS)
    assert oracle.ledger.samples <= samples
    assert oracle.ledger.rewards <= rewards
