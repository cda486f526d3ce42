"""Bounds of samplers against exact laws of rejection and race."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from spanver.guarantees.sampler import (
    density_deviation,
    density_multiplier,
    race_draws,
    race_samples,
    race_total_variation,
    sampler_multiplier,
    sampler_samples,
    sampler_trials,
)


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
    assert draws == race_samples(4.0 * coverage, 1e-3)
    if coverage > 30.0:
        assert race_total_variation(coverage, math.floor(draws * 0.95)) > 1e-3


def test_race_bound_does_not_overflow_for_any_count() -> None:
    assert race_total_variation(2.0**41, 2**63) == 0.0
    assert race_total_variation(2.0**41, 10**400) == 0.0
    assert race_total_variation(1.0, 1) == 0.0
    assert race_total_variation(1e300, 1) == 1.0


def test_the_race_law_agrees_with_simulation() -> None:
    rng = np.random.default_rng(3)
    base, weights, draws, runs = np.array([0.2, 0.3, 0.5]), np.array([4.0, 1.0, 0.5]), 3, 200_000
    responses = rng.choice(3, p=base, size=(runs, draws))
    best = np.argmax(weights[responses] / (1.0 - rng.random((runs, draws))), axis=1)
    counts = np.bincount(responses[np.arange(runs), best], minlength=3)
    assert stats.chisquare(counts, runs * race_law(base, weights, draws)).pvalue > 1e-6


def chance_of_deviation(share: float, log_weight: float, draws: int, allowed: float) -> float:
    """Exact probability that the log of a pilot's mean weight is off by more, of a base policy on two responses."""
    heavy = np.arange(draws + 1)
    mean = share + (1.0 - share) * math.exp(-log_weight)
    means = (heavy + (draws - heavy) * math.exp(-log_weight)) / draws
    return float(stats.binom.pmf(heavy, draws, share) @ (np.abs(np.log(means / mean)) > allowed))


@pytest.mark.parametrize("delta", [0.9, 0.1, 1e-3, 1e-6])
def test_density_ratios_are_off_by_more_than_is_allowed_with_at_most_the_failure_probability(delta: float) -> None:
    sharper = []
    for share in (0.05, 0.2, 0.45, 0.8):
        for log_weight in (0.3, 2.0, 40.0):
            coverage = 1.0 / (share + (1.0 - share) * math.exp(-log_weight))
            multiplier = density_multiplier(coverage)
            draws, allowed = sampler_trials(multiplier, delta), density_deviation(coverage, multiplier)
            assert chance_of_deviation(share, log_weight, draws, allowed) <= delta
            assert chance_of_deviation(share, log_weight, draws, 0.276 * allowed) <= delta / 2
            quarter = -math.log1p(-coverage / math.sqrt(8.0 * multiplier))
            assert quarter <= 0.276 * allowed
            sharper.append(chance_of_deviation(share, log_weight, draws, quarter) / (delta / 2))
            sharper.append(chance_of_deviation(share, log_weight, draws, 0.85 * quarter) / (delta / 2))
    assert max(sharper[::2]) <= 1.0
    assert delta > 1e-6 or max(sharper[1::2]) > 1.0  # nearly attained where delta is small
