"""Bounds of the spanner against exact counting, greedy adversaries and enumerated tables."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.special import lambertw

from spanver.errors import ArgumentError
from spanver.guarantees.spanner import spanner_cost, spanner_size_bound, uncovered_budget, uncovered_probability


def exactly_allowed(size: int, dimension: int, ridge: float, nu: float) -> bool:
    """S4 for the doubles given, exponentiated, in rational arithmetic."""
    left = (1 + Fraction(nu) ** 2) ** size
    return left <= (1 + Fraction(4 * size) / (Fraction(ridge) * dimension)) ** dimension


def greedy_size(vectors: np.ndarray, ridge: float, nu: float) -> int:
    """The number of vectors that phase 1 accepts, one after another."""
    sigma, size = ridge * np.eye(vectors.shape[1]), 0
    for v in vectors:
        if v @ np.linalg.solve(sigma, v) > nu**2:
            sigma, size = sigma + np.outer(v, v), size + 1
    return size


@pytest.mark.parametrize("nu", [0.1, 0.25, 0.3, 0.5, 0.75, 1.0, 1.9])
@pytest.mark.parametrize("ridge", [0.25, 1.0, 4.0, 16.0, 400.0])
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_size_bound_is_where_counting_in_rational_arithmetic_stops(dimension: int, ridge: float, nu: float) -> None:
    bound = spanner_size_bound(dimension, ridge, nu)
    sizes = [0, 1, *range(max(0, bound - 2), bound + 3)]
    assert [exactly_allowed(size, dimension, ridge, nu) for size in sizes] == [size <= bound for size in sizes]


@pytest.mark.parametrize(
    ("dimension", "ridge", "nu", "size"), [(64, 4.0, 1.0, 64), (7, 16.0, 0.5, 7), (2, 8.0, 0.75, 1)]
)
def test_size_bound_keeps_a_size_at_which_both_sides_are_equal(
    dimension: int, ridge: float, nu: float, size: int
) -> None:
    assert (1 + Fraction(nu) ** 2) ** size == (1 + Fraction(4 * size) / (Fraction(ridge) * dimension)) ** dimension
    assert spanner_size_bound(dimension, ridge, nu) == size


@pytest.mark.parametrize(
    ("dimension", "ridge", "nu"), [(8, 1.0, 1e-3), (4096, 1.0, 1e-6), (1, 1e-4, 1e-8), (3, 1e-300, 1e-100)]
)
def test_size_bound_agrees_with_the_closed_form_where_counting_is_hopeless(
    dimension: int, ridge: float, nu: float
) -> None:
    # with u = 1 + 4K/(lambda d) equality reads c (u - 1) = log u, whose root above 1 is -W_{-1}(-c e^-c)/c
    log_c = math.log(math.log1p(nu**2)) + math.log(ridge) - math.log(4.0)
    if log_c > -600.0:
        c = math.exp(log_c)
        log_u = math.log(-lambertw(-c * math.exp(-c), -1).real) - log_c
    else:
        log_u = -log_c
        for _ in range(50):
            log_u = math.log(log_u) - log_c
    log_size = log_u + math.log1p(-math.exp(-log_u)) + math.log(ridge * dimension / 4.0)
    assert math.log(spanner_size_bound(dimension, ridge, nu)) == pytest.approx(log_size, rel=1e-12, abs=1e-8)


@pytest.mark.parametrize("nu", [1e-8, 1e-11, 1e-14])
def test_size_bound_is_exact_at_the_integer_beyond_what_doubles_hold(nu: float) -> None:
    size = spanner_size_bound(3, 1.0, nu)
    assert size > 2**53
    with localcontext() as context:
        context.prec = 300
        each = (1 + Decimal(nu) ** 2).ln()
        margins = [(1 + 4 * k / Decimal(3)).ln() * 3 - k * each for k in (size, size + 1)]
    assert margins[0] >= 0 > margins[1]


def test_size_bound_is_zero_where_no_pair_can_be_uncertain() -> None:
    assert spanner_size_bound(1, 4.0, 1.1) == 0
    assert spanner_size_bound(3, 1e300, 1e-100) == 0
    assert spanner_size_bound(3, 1.0, 1e150) == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_greedy_run_passes_the_size_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dimension, ridge, nu = int(rng.integers(1, 5)), float(rng.choice([0.1, 1.0])), float(rng.choice([0.2, 0.5]))
    directions = rng.normal(size=(3000, dimension))
    vectors = 2.0 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    axes = 2.0 * np.tile(np.eye(dimension), (1000, 1))
    sizes = [greedy_size(vectors, ridge, nu), greedy_size(axes, ridge, nu)]
    assert 0 < max(sizes) <= spanner_size_bound(dimension, ridge, nu)


def test_an_adversary_comes_close_to_the_size_bound() -> None:
    ridge, nu = 1.0, 1e-2
    sigma, size = ridge, 0
    while nu**2 * sigma * (1.0 + 1e-9) <= 4.0:  # always the shortest vector that is still uncertain
        sigma, size = sigma * (1.0 + nu**2 * (1.0 + 1e-9)), size + 1
    assert 0.75 < size / spanner_size_bound(1, ridge, nu) <= 1.0


def crossing_probability(q: float, rounds: int, budget: Any) -> float:
    """The exact chance that `t q` ever passes `budget(K)`, when each round accepts with probability `q`."""
    alive, crossed = np.array([1.0]), 0.0
    for t in range(1, rounds + 1):
        alive = np.append(alive * (1.0 - q), 0.0) + np.append(0.0, alive * q)
        over = np.array([t * q > budget(size) for size in range(len(alive))])
        crossed += float(alive[over].sum())
        alive = np.where(over, 0.0, alive)
    return crossed


@pytest.mark.parametrize("delta", [0.5, 0.1])
def test_uncovered_budget_is_kept_with_its_probability_and_needs_its_logarithm(delta: float) -> None:
    logarithm = math.log(1.0 / delta) / (1.0 - math.exp(-1.0))
    for q in (0.01, 0.2, 0.9):
        assert crossing_probability(q, 600, lambda size: uncovered_budget(size, delta)) <= delta
    assert crossing_probability(0.2, 600, lambda size: uncovered_budget(size, delta) - logarithm) > delta


def uncovered_sides(related: np.ndarray, base: np.ndarray, policy: np.ndarray, pairs: int) -> tuple[float, float]:
    """Both sides of S6 at one prompt: `related[y, y']` is uncovered, `policy[y', y]` may depend on `y'`."""
    per_pair = base @ related @ base
    q = -math.expm1(pairs * math.log1p(-per_pair)) if per_pair < 1.0 else 1.0
    coverage = float((policy / base).max())
    reached = float(base @ (policy * related.T).sum(axis=1))
    return reached, uncovered_probability(coverage, pairs, q)


@pytest.mark.parametrize("seed", range(20))
def test_uncovered_probability_holds_on_enumerated_tables(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 6
    related = np.triu(rng.random((size, size)) < rng.random(), 1)
    related = related | related.T
    base = rng.dirichlet(np.full(size, 0.4)) * 0.94 + 0.01
    for pairs in (1, 3, 100):
        policy = rng.dirichlet(np.full(size, 0.2), size=size)
        reached, bound = uncovered_sides(related, base, policy, pairs)
        assert reached <= bound + 1e-12


def test_uncovered_probability_is_nearly_reached_by_a_policy_that_depends_on_the_second_response() -> None:
    size = 400
    partners = np.eye(size)[np.arange(size) ^ 1]  # each response is uncovered with its partner only
    reached, bound = uncovered_sides(partners.astype(bool), np.full(size, 1.0 / size), partners, size)
    assert reached == pytest.approx(1.0)
    assert 1.0 <= bound < 1.01


def test_uncovered_probability_takes_counts_beyond_floats() -> None:
    assert uncovered_probability(2.0**41, 10**400, 0.5) == uncovered_probability(1.0, 1, 0.5)
    assert uncovered_budget(10**18, 0.5) == pytest.approx(10**18 / (1 - math.exp(-1)))


def test_phase_1_costs_two_samples_a_try_and_two_rewards_a_pair() -> None:
    assert spanner_cost(2**70 + 1, 3) == (2**71 + 2, 6)
    assert spanner_cost(0, 0) == (0, 0)
    with pytest.raises(ArgumentError, match="tries is 2"):
        spanner_cost(2, 3)
