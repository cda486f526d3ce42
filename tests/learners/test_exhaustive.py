"""Exhaustive search finds the best corner with few rewards, and pays for every corner in samples."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from spanver.errors import ArgumentError
from spanver.exact.tabular import gap, log_law
from spanver.learners.exhaustive import LARGEST_DIMENSION, exhaustive_search
from spanver.oracle import Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.proper import ProperOracle
from spanver.problems.families.max_k_dnf import dnf_problem, max_k_dnf_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.formulas import complete_formula


def test_it_settles_on_the_assignment_that_is_rewarded_among_those_that_promise_as_much() -> None:
    # Every assignment satisfies one of eight clauses, and only the rewards say whose it is.
    problem = dnf_problem(complete_formula(3), np.array([1, -1, 1]), beta=0.05)
    run = exhaustive_search(counted_oracle(problem, seed=3), rounds=256, draws=100, seed=0)
    assert run.policy.theta.tolist() == [1.0, -1.0, 1.0, 1.0]
    assert gap(problem, log_law(problem, run.policy)) == 0.0
    assert set(np.abs(run.thetas).ravel()) == {1.0}
    assert len(np.unique(run.thetas, axis=0)) > 1, "the first corner was contradicted by rewards"


def test_its_cost_is_two_rewards_a_round_and_draws_of_every_corner() -> None:
    problem = max_k_dnf_problem(0, variables=3, clauses=5)
    oracle = ProperOracle(counted_oracle(problem, seed=1))
    run = exhaustive_search(cast(Oracle, oracle), rounds=7, draws=10, seed=0)
    assert oracle.ledger == Ledger(samples=(2**4 + 1) * 10 + 14, rewards=14)
    assert np.array_equal(oracle.exploration.parameters, np.repeat(run.thetas, 2, axis=0)), "it is proper"


@pytest.mark.parametrize("arguments", [{"rounds": 0, "draws": 1}, {"rounds": 1, "draws": 0}])
def test_counts_below_one_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match="is 0"):
        exhaustive_search(counted_oracle(max_k_dnf_problem(), seed=0), seed=0, **arguments)


def test_too_many_corners_are_refused() -> None:
    problem = random_problem(0, dimension=LARGEST_DIMENSION + 1)
    with pytest.raises(ArgumentError, match="the dimension is 17, but it must be at most 16"):
        exhaustive_search(counted_oracle(problem, seed=0), rounds=1, draws=1, seed=0)
