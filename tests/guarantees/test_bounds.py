from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import lambertw

from spanver import guarantees
from spanver.errors import ArgumentError
from spanver.guarantees import (
    race_draws,
    race_total_variation,
    sampler_multiplier,
    sampler_samples,
    sampler_trials,
    spanner_cost,
    spanner_size_bound,
    uncovered_budget,
    uncovered_probability,
)

INSIDE: dict[str, dict[str, Any]] = {
    "confidence_radius": {"ridge": 1.0, "radius": 1.0, "reward_range": 1.0, "delta": 0.1, "log_det_ratio": 2.0},
    "derived_parameters": {
        "eps": 0.2,
        "delta": 0.1,
        "dimension": 2,
        "beta": 0.5,
        "radius": 1.0,
        "reward_range": 1.0,
        "coverage": 4.0,
    },
    "kl_bound": {"beta": 0.5, "deviation": 0.5, "squared_error": 0.1},
    "log_coverage_bound": {"oscillation": 1.0, "beta": 0.5},
    "log_kl_bound": {"beta": 0.5, "deviation": 0.5, "squared_error": 0.1},
    "log_sequence_coverage": {"log_conditional_coverage": 0.5, "horizon": 3},
    "log_truncated_coverage": {"log_coverage": 1.0, "covered_probability": 0.5},
    "log_uncovered_mass": {"log_coverage": 1.0, "base_uncovered": 0.5},
    "log_untruncated_coverage": {"oscillation": 1.0, "beta": 0.5},
    "needle_met_strong": {
        "samples": 1,
        "rewards": 1,
        "responses": 9,
        "coverage": 4.0,
        "beta": 0.5,
        "dimension": 2,
    },
    "needle_met_weak_exact": {"samples": 1, "rewards": 1, "responses": 9, "coverage": 4.0},
    "needle_output_ceiling": {"samples": 1, "rewards": 1, "responses": 9, "chance": 0.25},
    "needle_strong_chance": {"coverage": 4.0, "beta": 0.5, "dimension": 2},
    "needle_success_floor": {"eps": 0.1, "delta": 0.1, "optimal_value": 0.6},
    "race_draws": {"coverage": 4.0, "delta": 0.1},
    "race_total_variation": {"coverage": 4.0, "draws": 3},
    "sampler_multiplier": {"coverage": 4.0},
    "sampler_samples": {"multiplier": 16.0, "delta": 0.1},
    "sampler_trials": {"multiplier": 16.0, "delta": 0.1},
    "score_error": {"nu": 0.5, "gamma": 0.5},
    "score_error_premise": {"nu": 0.5, "gamma": 0.5, "beta": 0.5},
    "spanner_cost": {"tries": 5, "spanner_size": 3},
    "spanner_size_bound": {"dimension": 2, "ridge": 1.0, "nu": 0.5},
    "truncated_gap": {
        "beta": 0.5,
        "reward_range": 1.0,
        "squared_error": 0.1,
        "uncovered": 0.1,
        "optimal_uncovered": 0.1,
    },
    "uncovered_budget": {"spanner_size": 3, "delta": 0.1},
    "uncovered_probability": {"coverage": 4.0, "pairs_per_prompt": 3, "q": 0.1},
}
COUNTS = {
    "dimension",
    "draws",
    "horizon",
    "pairs_per_prompt",
    "responses",
    "rewards",
    "samples",
    "spanner_size",
    "tries",
}
ONE_OR_MORE = {"coverage", "multiplier"}
BELOW_ONE = {"delta"}
SHARES = {"base_uncovered", "covered_probability", "q", "uncovered", "optimal_value"}
ABOVE_ZERO = {"beta", "delta", "dimension", "draws", "eps", "gamma", "horizon", "nu", "pairs_per_prompt", "radius"} | {
    "responses",
    "reward_range",
    "ridge",
}


def outside(name: str) -> list[Any]:
    values: list[Any] = [math.nan, math.inf, -1, "1", None, True, np.ones(2)]
    values += [1.5] if name in COUNTS else []
    values += [0] if name in ABOVE_ZERO or name in ONE_OR_MORE else []
    values += [0.99] if name in ONE_OR_MORE else []
    values += [1.0] if name in BELOW_ONE else []
    values += [1.01] if name in SHARES else []
    values += [0.51] if name == "optimal_uncovered" else []
    values += [2] if name == "responses" else []
    return values


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


def rejection_total_variation(multiplier: float, delta: float, coverage: float) -> float:
    """A1's exact distance to its target on two responses: one of weight 1 and base mass 1/C, one of weight 1e-9."""
    trials = sampler_trials(multiplier, delta)
    base = np.array([1.0 / coverage, 1.0 - 1.0 / coverage])
    weights = np.array([1.0, 1e-9])
    hits = np.arange(trials + 1)
    pilots = stats.binom.pmf(hits, trials, base[0])
    normaliser = (hits * weights[0] + (trials - hits) * weights[1]) / trials
    accept = base * np.minimum(1.0, weights / (multiplier * normaliser[:, None]))
    total = accept.sum(axis=1, keepdims=True)
    failed = (1.0 - total) ** trials
    law = pilots @ ((1.0 - failed) * accept / total + failed * base)
    target = base * weights / (base @ weights)
    return float(np.abs(law - target).sum() / 2.0)


def race_law(base: np.ndarray, weights: np.ndarray, draws: int) -> np.ndarray:
    """The exact law of the race: each piece of the integral over `U` is a polynomial, so Gauss-Legendre is exact."""
    nodes, masses = np.polynomial.legendre.leggauss(draws // 2 + 1)
    law = np.zeros(len(base))
    for y, weight in enumerate(weights):
        edges = np.unique(np.clip(np.append(weight / weights, [0.0, 1.0]), 0.0, 1.0))
        for low, high in itertools.pairwise(edges):
            u = low + (high - low) * (nodes + 1.0) / 2.0
            below = 1.0 - np.minimum(1.0, weights * u[:, None] / weight) @ base
            law[y] += draws * base[y] * (high - low) / 2.0 * masses @ below ** (draws - 1)
    return law


def race_distance(base: np.ndarray, weights: np.ndarray, draws: int) -> tuple[float, float]:
    target = base * weights / (base @ weights)
    distance = float(np.abs(race_law(base, weights, draws) - target).sum() / 2.0)
    return distance, float((target / base).max())


def test_each_bound_takes_its_inside_example_and_all_bounds_have_one() -> None:
    assert set(INSIDE) == {n for n in guarantees.__all__ if callable(getattr(guarantees, n)) and n.islower()} - {
        "guarantee"
    }
    for name, arguments in INSIDE.items():
        getattr(guarantees, name)(**arguments)


@pytest.mark.parametrize(("name", "argument"), [(n, a) for n, arguments in INSIDE.items() for a in arguments])
def test_each_argument_out_of_range_is_refused_by_name(name: str, argument: str) -> None:
    for value in outside(argument):
        with pytest.raises(ArgumentError) as refusal:
            getattr(guarantees, name)(**{**INSIDE[name], argument: value})
        assert refusal.value.name == argument
        assert argument in str(refusal.value)


def test_numpy_scalars_are_taken_like_python_numbers() -> None:
    assert spanner_size_bound(np.int64(4), np.float64(1.0), np.float64(0.3)) == spanner_size_bound(4, 1.0, 0.3)  # type: ignore[arg-type]
    assert type(spanner_cost(np.int64(3), np.int64(2))[0]) is int  # type: ignore[arg-type]


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


def test_trials_and_samples_stay_exact_integers_at_extreme_coverage_and_failure() -> None:
    multiplier = sampler_multiplier(2**41)
    assert multiplier == 2**43
    assert sampler_trials(multiplier, 1e-9) == pytest.approx(2**45 * math.log(4e9), rel=1e-12)
    assert sampler_samples(multiplier, 1e-9) == 2 * sampler_trials(multiplier, 1e-9) + 1
    assert sampler_trials(1.0, 5e-324) == math.ceil(4 * (math.log(4) + 1074 * math.log(2)))
    assert sampler_trials(1e300, 0.5) > 2**63
    assert race_draws(1.0, 5e-324) == math.ceil(1074 * math.log(2))


@pytest.mark.parametrize("delta", [0.99, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("coverage", [1.5, 4.0, 30.0, 300.0])
def test_the_multiplier_premise_keeps_the_exact_rejection_law_within_its_stated_distance(
    coverage: float, delta: float
) -> None:
    assert rejection_total_variation(sampler_multiplier(coverage), delta, coverage) <= 0.006 * delta


def test_a_multiplier_far_below_the_premise_breaks_the_stated_distance() -> None:
    assert rejection_total_variation(1.0, 0.1, 30.0) > 0.1
    assert rejection_total_variation(sampler_multiplier(300.0) / 40.0, 0.1, 300.0) > 0.006 * 0.1


@pytest.mark.parametrize("seed", range(8))
def test_the_exact_race_law_obeys_its_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.full(4, 0.5)) * 0.96 + 0.01
    weights = np.exp(rng.normal(size=4) * rng.choice([0.3, 2.0, 6.0]))
    assert race_law(base, weights, 5).sum() == pytest.approx(1.0, abs=1e-12)
    for draws in (1, 2, 7, 30):
        distance, coverage = race_distance(base, weights, draws)
        assert distance <= race_total_variation(coverage, draws) + 1e-12


def test_the_race_bound_is_reached_in_the_limit_and_a_larger_exponent_would_fail() -> None:
    distance, coverage = race_distance(np.array([0.2, 0.8]), np.array([1.0, 1e-9]), 6)
    bound = race_total_variation(coverage, 6)
    assert distance == pytest.approx(bound, rel=1e-6)
    assert distance > race_total_variation(coverage, 7)


@pytest.mark.parametrize("coverage", [1.0, 1.5, 40.0, 2.0**41])
def test_race_draws_bring_the_race_bound_to_delta(coverage: float) -> None:
    draws = race_draws(coverage, 1e-3)
    assert race_total_variation(coverage, draws) <= 1e-3
    assert draws <= coverage * math.log(1e3) + 1.0
    if coverage > 30.0:
        assert race_total_variation(coverage, math.floor(draws * 0.95)) > 1e-3


def test_race_bound_does_not_overflow_for_any_count() -> None:
    assert race_total_variation(2.0**41, 2**63) == 0.0
    assert race_total_variation(2.0**41, 10**400) == 0.0
    assert race_total_variation(1.0, 1) == 0.0
    assert race_total_variation(1e300, 1) == 1.0


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


def test_the_race_law_agrees_with_simulation() -> None:
    rng = np.random.default_rng(3)
    base, weights, draws, runs = np.array([0.2, 0.3, 0.5]), np.array([4.0, 1.0, 0.5]), 3, 200_000
    responses = rng.choice(3, p=base, size=(runs, draws))
    best = np.argmax(weights[responses] / (1.0 - rng.random((runs, draws))), axis=1)
    counts = np.bincount(responses[np.arange(runs), best], minlength=3)
    assert stats.chisquare(counts, runs * race_law(base, weights, draws)).pvalue > 1e-6
