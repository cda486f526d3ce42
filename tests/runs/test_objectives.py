"""Gaps as differences of two objectives are those of divergences (I2), to within a bound that is small itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from spanver.exact.samplers import log_law_of_best
from spanver.exact.tabular import gap, log_coverage, log_law, log_optimal_law
from spanver.policies import LinearSoftmax, Policy, TruncatedSoftmax
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.max_k_dnf import max_k_dnf_problem
from spanver.problems.families.needle import needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.runs.gaps import table_of
from spanver.runs.objectives import best_of_law, covered_pairs, linear_law, truncated_law
from spanver.values import FloatArray

TABLES: dict[str, Callable[[], TabularProblem]] = {
    "random": lambda: random_problem(1, prompts=3, responses=9, dimension=3),
    "zeros": lambda: random_problem(2, prompts=3, responses=9, dimension=3, zeros=0.5, base="dirichlet"),
    "small beta": lambda: random_problem(3, prompts=2, responses=9, dimension=3, beta=1e-3),
    "large beta": lambda: random_problem(4, prompts=2, responses=9, dimension=3, beta=1e3),
    "one response": lambda: random_problem(5, prompts=2, responses=1, dimension=2),
    "needle": lambda: needle_problem(0),
    "covered needle": lambda: covered_needle_problem(0, coverage=2.0**40),
    "terms": lambda: max_k_dnf_problem(0, formula="random", beta=0.02),
}
EVERY = pytest.mark.parametrize("name", TABLES)


@EVERY
def test_gaps_of_both_ways_agree_within_a_bound_that_is_small(name: str) -> None:
    problem = TABLES[name]()
    table, roundings = table_of(problem)
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((6, problem.dimension)) / math.sqrt(problem.dimension)
    sigma, nu = np.eye(problem.dimension) + vectors.T @ vectors, 0.5
    covered, tied = covered_pairs(problem.features, problem.features, sigma, nu)
    assert not tied.any()
    for scale in (0.0, 1e-8, 0.5, 1.0):
        theta = generator.standard_normal(problem.dimension)
        theta *= scale * problem.radius / np.linalg.norm(theta)
        truncated = truncated_law(problem.log_base, problem.features @ theta, covered, problem.beta)
        linear = linear_law(problem.log_base, problem.features @ theta, problem.beta)
        precision = np.asarray(np.linalg.inv(sigma), dtype=np.float64)
        policies: tuple[tuple[FloatArray, Policy], ...] = (
            (linear, LinearSoftmax(theta)),
            (truncated, TruncatedSoftmax(theta, precision, nu)),
        )
        for law, policy in policies:
            value, bound = table.gap(law, roundings=roundings)
            assert abs(gap(problem, log_law(problem, policy)) - value) <= bound
            assert bound <= 1e-9 * (problem.beta + problem.reward_range + problem.radius)


@EVERY
def test_the_gap_of_the_optimum_is_0_and_its_coverage_the_known_one(name: str) -> None:
    problem = TABLES[name]()
    table, roundings = table_of(problem)
    optimum = log_optimal_law(problem)
    value, bound = table.gap(np.exp(optimum), roundings=roundings)
    assert abs(value) <= bound
    assert table.log_coverage == pytest.approx(log_coverage(problem, optimum), rel=1e-12, abs=1e-12)


def test_a_tie_is_a_norm_within_rounding_of_the_threshold() -> None:
    features = np.array([[[0.0], [0.5], [0.25], [0.5 * (1 + 1e-12)]]])
    covered, tied = covered_pairs(features, features[:, :1], np.eye(1), 0.5)
    assert covered[0, 0, :3].tolist() == [True, True, True]
    assert tied[0, 0].tolist() == [False, True, False, True]


@pytest.mark.parametrize("count", [1, 2, 16, 10**6, 2**60])
def test_the_law_of_the_best_is_the_exact_one(count: int) -> None:
    generator = np.random.default_rng(3)
    log_base = generator.gumbel(size=12) * 4
    log_base[3] = -np.inf
    log_base -= np.logaddexp.reduce(log_base)
    scores = generator.integers(6, size=12).astype(np.float64)
    found, expected = best_of_law(log_base, scores, count), np.exp(log_law_of_best(log_base, scores, count))
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-300)
    assert found.sum() == pytest.approx(1.0, rel=1e-12)
