"""The spanner scan and phase 1 (S1-S4, S7)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanver.guarantees import spanner_size_bound
from spanver.kernels import elliptic_norms, spanner_trace
from spanver.learners.spanner import build_spanner
from spanver.oracle import Oracle
from spanver.oracles import counted_oracle, literal_oracle
from spanver.problems.tables import TabularProblem
from spanver.strategies import relative_features, tabular_problems
from spanver.values import FloatArray

TIES = 1e-9
THRESHOLDS = st.sampled_from([0.3, 0.05, 1.0])
RIDGES = st.sampled_from([1.0, 0.1, 4.0])


@pytest.mark.guarantee("S1")
@given(relative_features(), RIDGES, THRESHOLDS)
def test_the_first_uncertain_pair_of_a_prompt_is_accepted_and_no_other(
    pairs: FloatArray, ridge: float, nu: float
) -> None:
    scan = spanner_trace(pairs, ridge, nu)
    sigma = ridge * np.eye(pairs.shape[2])
    for vectors, accepted in zip(pairs, scan.accepted, strict=True):
        norms = elliptic_norms(vectors, sigma)
        tried = norms if accepted < 0 else norms[:accepted]
        assert (tried <= nu * (1 + TIES)).all()
        if accepted >= 0:
            assert norms[accepted] > nu * (1 - TIES)
            sigma = sigma + np.outer(vectors[accepted], vectors[accepted])


@pytest.mark.guarantee("S2", "S3")
@given(relative_features(), RIDGES, THRESHOLDS)
def test_sigma_is_the_ridge_plus_what_was_accepted_and_its_determinant_follows(
    pairs: FloatArray, ridge: float, nu: float
) -> None:
    scan = spanner_trace(pairs, ridge, nu)
    dimension = pairs.shape[2]
    chosen = [vectors[index] for vectors, index in zip(pairs, scan.accepted, strict=True) if index >= 0]
    sigma = ridge * np.eye(dimension)
    gained = 0.0
    for vector in chosen:
        gained += math.log1p(float(elliptic_norms(vector[None, :], sigma)[0]) ** 2)
        sigma = sigma + np.outer(vector, vector)
    assert np.allclose(scan.sigma, sigma, rtol=1e-12)
    assert np.linalg.eigvalsh(scan.sigma)[0] > 0
    assert np.isclose(scan.log_det - dimension * math.log(ridge), gained, atol=TIES)
    assert np.isclose(scan.log_det, np.linalg.slogdet(sigma)[1], atol=TIES)


@pytest.mark.guarantee("S4")
@given(relative_features(max_prompts=40), RIDGES, THRESHOLDS)
def test_a_spanner_is_no_larger_than_dimension_ridge_and_threshold_allow(
    pairs: FloatArray, ridge: float, nu: float
) -> None:
    size = int((spanner_trace(pairs, ridge, nu).accepted >= 0).sum())
    assert size <= spanner_size_bound(pairs.shape[2], ridge, nu)


@pytest.mark.guarantee("S4", "S7", "O1")
@given(tabular_problems(), st.sampled_from([literal_oracle, counted_oracle]), st.integers(1, 6))
def test_phase_one_costs_two_samples_a_try_and_two_rewards_a_pair(
    problem: TabularProblem, make_oracle: Callable[..., Oracle], pairs: int
) -> None:
    oracle = make_oracle(problem, seed=0)
    spanner = build_spanner(oracle, prompts=10, pairs_per_prompt=pairs, nu=0.3, ridge=1.0)
    assert len(spanner.tries) == 10
    assert (spanner.tries >= 1).all()
    assert (spanner.tries <= pairs).all()
    assert oracle.ledger.samples == 2 * int(spanner.tries.sum())
    assert oracle.ledger.rewards == 2 * spanner.size
    assert spanner.size <= spanner_size_bound(problem.dimension, 1.0, 0.3)
