"""Elliptical enumeration chooses the pair of largest norm, whatever the coverage."""

from __future__ import annotations

import numpy as np
import pytest
from baseline_runs import per_round, recorded

from spanver.exact.tabular import gap, log_law
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.passive import passive_learner
from spanver.oracle import Ledger
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.verification.transcript import RecordingOracle


def test_data_of_elliptical_enumeration_do_not_depend_on_the_coverage_and_base_pairs_do() -> None:
    runs, gaps = [], []
    for coverage in (2.0**4, 2.0**40):
        problem = covered_needle_problem(5, coverage=coverage)
        oracle = literal_oracle(problem, seed=0, full_table=True)
        run = elliptical_enumeration(oracle, rounds=40, ridge=1.0, seed=0)
        assert oracle.ledger == Ledger(rewards=80, enumerated=40 * problem.responses)
        runs.append(run)
        gaps.append(gap(problem, log_law(problem, run.policy)))
    assert np.array_equal(runs[0].vectors, runs[1].vectors)
    assert max(gaps) < 0.01
    passive = passive_learner(literal_oracle(problem, seed=0), rounds=40, seed=0)
    assert gap(problem, log_law(problem, passive.policy)) == pytest.approx(gap(problem, problem.log_base), rel=1e-6)


def test_elliptical_enumeration_queries_the_pair_of_largest_norm() -> None:
    problem = random_problem(8, prompts=2, responses=20, dimension=5)
    oracle = RecordingOracle(literal_oracle(problem, seed=0, full_table=True))
    run = elliptical_enumeration(oracle, rounds=40, ridge=0.1, seed=0)
    sigma = 0.1 * np.eye(5)
    for vector, entries in zip(run.vectors, per_round(oracle.queries), strict=True):
        features = problem.features[int(entries[0].prompt)]
        norms = [(one - two) @ np.linalg.solve(sigma, one - two) for one in features for two in features]
        assert vector @ np.linalg.solve(sigma, vector) == pytest.approx(max(norms), rel=1e-12)
        sigma += np.outer(vector, vector)


def test_the_least_certain_pair_is_found_in_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = recorded("elliptical", rounds=10)
    monkeypatch.setattr("spanver.learners.elliptical_enumeration._MAX_BLOCK", 16)
    blocks, _ = recorded("elliptical", rounds=10)
    assert np.abs(whole.vectors) == pytest.approx(np.abs(blocks.vectors), abs=0.0)
