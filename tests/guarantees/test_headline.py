"""Bounds of the headline theorems against enumerated needles, and the cost of exploring token by token."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.special import expit, logsumexp, roots_gegenbauer

from spanver.errors import ArgumentError
from spanver.guarantees.headline import (
    needle_least_samples,
    needle_least_samples_weak,
    needle_met_strong,
    needle_met_weak_exact,
    needle_output_ceiling,
    needle_sphere_chance,
    needle_strong_chance,
    needle_success_floor,
)


def enumerated_weak(samples: int, rewards: int, responses: int, coverage: float) -> float:
    """P(met) over all positions of the needle and all draws, with guesses at labels 1, 2, ..., `rewards`."""
    met = 0.0
    for needle in range(1, responses):
        for draws in itertools.product([True, False], repeat=samples):
            chance = math.prod(1 / coverage if hit else 1 - 1 / coverage for hit in draws)
            met += chance * (any(draws) or needle <= rewards) / (responses - 1)
    return met


def strong_chance(theta: np.ndarray, coverage: float, beta: float) -> float:
    """The exact mean of `pi_theta(y*)` over all signs of the needle's feature."""
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=len(theta))))
    logits = signs @ theta / math.sqrt(len(theta)) / beta - math.log(coverage)
    return float(np.mean(np.exp(logits - logsumexp([logits, np.full_like(logits, math.log1p(-1 / coverage))], axis=0))))


@pytest.mark.parametrize("coverage", [1.0, 1.7, 5.0])
@pytest.mark.parametrize(("samples", "rewards", "responses"), [(0, 0, 3), (3, 0, 4), (0, 2, 5), (4, 2, 5), (2, 4, 5)])
def test_the_weak_chance_is_the_enumerated_one(samples: int, rewards: int, responses: int, coverage: float) -> None:
    expected = enumerated_weak(samples, rewards, responses, coverage)
    assert needle_met_weak_exact(samples, rewards, responses, coverage) == pytest.approx(expected, rel=1e-12)


def test_the_weak_chance_keeps_its_digits_at_coverage_2_to_the_41_and_counts_beyond_63_bits() -> None:
    assert needle_met_weak_exact(1, 0, 3, 2e12) == pytest.approx(5e-13, rel=1e-12, abs=0.0)
    assert needle_met_weak_exact(2**41, 0, 3, 2.0**41) == pytest.approx(1 - math.exp(-1), rel=1e-9)
    assert needle_met_weak_exact(0, 2**70, 2**80 + 1, 2.0**41) == pytest.approx(2.0**-10, rel=1e-12)
    assert needle_met_weak_exact(2**80, 0, 3, 2.0**41) == 1.0
    assert needle_met_weak_exact(10**400, 0, 10**500, 2.0**41) == 1.0


def test_more_distinct_guesses_than_labels_are_refused() -> None:
    with pytest.raises(ArgumentError, match="rewards is 9"):
        needle_met_weak_exact(0, 9, 9, 2.0)


@pytest.mark.parametrize("dimension", [1, 3, 10])
@pytest.mark.parametrize("beta", [0.05, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("coverage", [1.5, 10.0, 1e4])
def test_no_parameter_in_the_ball_passes_the_strong_chance(coverage: float, beta: float, dimension: int) -> None:
    bound = needle_strong_chance(coverage, beta, dimension)
    rng = np.random.default_rng(dimension)
    directions = [np.ones(dimension), np.eye(dimension)[0], *rng.normal(size=(5, dimension))]
    for direction in directions:
        for length in (0.0, 0.5, 1.0):
            theta = length * direction / np.linalg.norm(direction)
            assert strong_chance(theta, coverage, beta) <= bound * (1 + 1e-12)


def test_the_strong_chance_is_the_smaller_of_its_two_terms_and_near_the_truth_in_high_dimension() -> None:
    by_threshold = math.e / (99.0 + math.e) + math.exp(-8.0)
    by_moment = math.exp(1.0 / 32.0) / 99.0
    assert needle_strong_chance(100.0, 1.0, 16) == pytest.approx(min(by_threshold, by_moment))
    assert needle_strong_chance(100.0, 0.1, 10) == pytest.approx(math.e / (99.0 + math.e) + math.exp(-0.05))
    truth = strong_chance(np.ones(12) / math.sqrt(12.0), 1e4, 1.0)
    assert 1.0 <= needle_strong_chance(1e4, 1.0, 12) / truth < 1.1


def test_the_strong_chance_does_not_overflow_at_small_beta_or_full_coverage() -> None:
    for beta in (1e-4, 1e-200):
        for dimension in (1, 2**40):
            assert 0.0 < needle_strong_chance(2.0**41, beta, dimension) <= 2.0
    assert needle_strong_chance(2.0**41, 1.0, 10**6) == pytest.approx(2.0**-41, rel=1e-3, abs=0.0)
    assert needle_strong_chance(1.0, 0.5, 4) >= 1.0
    assert 2**80 * 2.0**-41 <= needle_met_strong(2**80, 1, 3, 2.0**41, 1.0, 10**6) < math.inf


def on_the_sphere(length: float, coverage: float, beta: float, dimension: int) -> float:
    """The chance of the needle under a parameter of this length, by Gauss's quadrature for the law of a coordinate."""
    nodes, weights = roots_gegenbauer(500, (dimension - 2) / 2)
    return float(weights @ expit(length * nodes / beta - math.log(coverage - 1.0)) / weights.sum())


@pytest.mark.parametrize(
    ("coverage", "beta", "dimension", "exact", "for_signs"),
    [
        (64.0, 0.1, 16, 0.0899407, 0.361268),
        (64.0, 0.1, 1000, 0.0163852, 0.0166868),
        (2.0**20, 0.03, 20000, 9.80537e-7, 9.80538e-7),
        (2.0**10, 0.05, 4000, 0.00102647, 0.00102764),
    ],
)
def test_the_chance_of_the_needle_on_the_sphere_is_below_the_bound_for_signs(
    coverage: float, beta: float, dimension: int, exact: float, for_signs: float
) -> None:
    assert needle_sphere_chance(coverage, beta, dimension) == pytest.approx(exact, rel=1e-6, abs=0.0)
    assert needle_strong_chance(coverage, beta, dimension) == pytest.approx(for_signs, rel=1e-5, abs=0.0)


@pytest.mark.parametrize("dimension", [4, 5, 16, 64])
@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("coverage", [1.25, 2.0, 3.0, 1e4])
def test_the_chance_on_the_sphere_is_that_of_the_best_parameter_of_the_ball(
    coverage: float, beta: float, dimension: int
) -> None:
    chances = [on_the_sphere(length, coverage, beta, dimension) for length in (0.0, 0.3, 0.7, 1.0)]
    assert needle_sphere_chance(coverage, beta, dimension) == pytest.approx(max(chances), rel=1e-9, abs=0.0)
    assert chances == sorted(chances, reverse=coverage < 2.0) or max(chances) == pytest.approx(min(chances))


def test_the_chance_on_the_sphere_has_its_closed_forms_in_low_dimension() -> None:
    for coverage, beta in ((64.0, 0.1), (2.0**41, 1e-3), (1e300, 1e-5), (3.0, 5.0), (2.0001, 0.2)):
        log_odds = -math.log(coverage - 1.0)
        ends = expit(log_odds + 1.0 / beta) + expit(log_odds - 1.0 / beta)
        assert needle_sphere_chance(coverage, beta, 1) == pytest.approx(float(ends) / 2.0, rel=1e-14, abs=0.0)
        # X_1 is uniform on [-1, 1], and the integral of expit is log(1 + e^x).
        uniform = beta / 2.0 * (np.logaddexp(0.0, log_odds + 1.0 / beta) - np.logaddexp(0.0, log_odds - 1.0 / beta))
        assert needle_sphere_chance(coverage, beta, 3) == pytest.approx(float(uniform), rel=1e-12, abs=0.0)
    angles = (np.arange(10**5) + 0.5) * math.pi / 10**5
    circle = float(expit(-math.log(4.0) + np.cos(angles) / 0.3).mean())
    assert needle_sphere_chance(5.0, 0.3, 2) == pytest.approx(circle, rel=1e-12)


def test_the_chance_on_the_sphere_works_at_the_extremes() -> None:
    assert needle_sphere_chance(1e6, 1e-200, 3) == pytest.approx(0.5)
    assert needle_sphere_chance(2.0**41, 1e-200, 2**40) == pytest.approx(0.5)
    assert needle_sphere_chance(2.0**41, 1.0, 10**6) * 2.0**41 == pytest.approx(math.exp(0.5e-6), rel=1e-9)
    assert needle_sphere_chance(50.0, 0.4, 10**400) == 0.02
    assert needle_sphere_chance(1e300, 1.0, 10**6) == pytest.approx(1e-300, rel=1e-5, abs=0.0)
    assert needle_sphere_chance(1.0, 0.5, 4) == 1.0


def test_the_samples_that_the_lower_bound_demands_are_those_of_its_proof() -> None:
    assert needle_least_samples(9, 1e6, 0.01, 10**6) == pytest.approx(0.0294155 * 1e6, rel=1e-5)
    assert needle_least_samples(10**9, 1e6, 0.01, 10**6) == pytest.approx(0.0336178 * 1e6, rel=1e-5)
    for coverage, beta, dimension in (
        (1e300, 0.01, 10**9),
        (1e9, 0.1, 10**6),
        (1e9, 0.1, 400),
        (30.0, 1e-200, 10**400),
    ):
        least = needle_least_samples(9, coverage, beta, dimension)
        smallest = min(0.5 / beta, math.log(coverage), beta**2 * dimension / 2.0 if beta > 1e-100 else math.inf)
        assert math.log(least / 0.0294155) == pytest.approx(smallest, abs=1e-4)
        # So many samples, each the needle with at most (1 + e)/min{..}, meet it with a chance of 7/64.
        effective = min(coverage, math.exp(min(0.5 / beta, 700.0)))
        if dimension < 10**9:
            chance = needle_sphere_chance(effective, beta, dimension)
            assert least * chance <= 0.25 - 9 / 64 + 1e-12


@pytest.mark.parametrize(("coverage", "beta"), [(1e6, 0.01), (1e6, 0.04), (20.0, 0.1)])
def test_fewer_weak_samples_than_the_lower_bound_demands_meet_the_needle_too_rarely(
    coverage: float, beta: float
) -> None:
    for responses in (9, 16, 10**6):
        least = needle_least_samples_weak(responses, coverage, beta)
        effective = min(coverage, math.exp(0.5 / beta))
        rewards = responses // 8  # at most |Y|/8
        assert needle_met_weak_exact(math.floor(least), rewards, responses, effective) < 0.25
        # The bound adds up chances, and takes m = |Y|/8 where m has to be an integer: no more than that is lost.
        assert needle_met_weak_exact(math.ceil(2.5 * least), rewards, responses, effective) > 0.25
        assert least >= needle_least_samples(responses, coverage, beta, 10**9) * (1.0 + math.e) * (1.0 - 1e-9)


def test_the_strong_bound_is_above_the_exact_weak_chance() -> None:
    # the weak oracle is the strong one at theta = 0
    for samples, rewards in itertools.product((0, 1, 30), (0, 5)):
        weak = needle_met_weak_exact(samples, rewards, 100, 50.0)
        assert weak <= needle_met_strong(samples, rewards, 100, 50.0, 0.4, 30)


@pytest.mark.parametrize("samples", [0, 1, 4])
@pytest.mark.parametrize("rewards", [0, 3])
def test_the_best_output_of_a_weak_learner_is_below_the_ceiling_and_close_when_it_asked_little(
    samples: int, rewards: int
) -> None:
    # it returns the needle when met, else one more guess
    responses, coverage = 60, 40.0
    mass = needle_met_weak_exact(samples, rewards + 1, responses, coverage)
    ceiling = needle_output_ceiling(samples, rewards, responses, 1.0 / coverage)
    assert mass <= ceiling * (1 + 1e-12)
    assert ceiling <= 1.1 * mass


def test_the_ceiling_takes_counts_beyond_floats() -> None:
    assert needle_output_ceiling(10**400, 0, 3, 0.5) == math.inf
    assert needle_output_ceiling(10**400, 0, 3, 0.0) == 0.5
    assert needle_output_ceiling(0, 10**400, 10**401 + 1, 0.5) == pytest.approx(0.1)


def test_success_needs_its_floor_on_the_family() -> None:
    beta, coverage, eps, delta = 0.2, 8.0, 0.05, 0.1
    optimal_value = beta * float(logsumexp([math.log1p(-1 / coverage), 1 / beta - math.log(coverage)]))
    assert optimal_value >= 0.5
    masses = np.linspace(1e-9, 1 - 1e-9, 100_001)
    kl = masses * np.log(masses * coverage) + (1 - masses) * np.log((1 - masses) / (1 - 1 / coverage))
    succeeding = masses[masses - beta * kl >= optimal_value - eps]
    assert (1 - delta) * succeeding.min() >= needle_success_floor(eps, delta, optimal_value)
    assert needle_success_floor(eps, delta, optimal_value) == pytest.approx(0.9 * (optimal_value - 0.05))
