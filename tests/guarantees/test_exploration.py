"""Bounds of exploration against enumerated tables, and the witness without truncation."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
import pytest
from enumerated import FloatArray, divergence, log_policy
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from spanver.guarantees.exploration import (
    confidence_radius,
    log_truncated_coverage,
    log_uncovered_mass,
    log_untruncated_coverage,
    score_error,
    score_error_premise,
    truncated_gap,
)
from spanver.guarantees.identities import log_psi


class Round(NamedTuple):
    """One prompt and one `y'` (index 0) of phase 2: what E3 and E5 speak of."""

    log_base: FloatArray
    scores: FloatArray  # <theta*, v>, 0 at y'
    covered: NDArray[np.bool_]
    errors: FloatArray  # f_t - f* on what is covered
    beta: float

    @property
    def log_optimal(self) -> FloatArray:
        return log_policy(self.log_base, self.scores, self.beta)

    @property
    def log_coverage(self) -> float:
        return max(0.0, float(np.max(self.log_optimal - self.log_base)))

    @property
    def log_truncated(self) -> FloatArray:
        return log_policy(self.log_base, np.where(self.covered, self.scores + self.errors, 0.0), self.beta)

    @property
    def optimal_covered(self) -> float:
        return min(1.0, float(np.exp(self.log_optimal)[self.covered].sum()))

    @property
    def uncovered(self) -> float:
        return float(np.exp(self.log_truncated)[~self.covered].sum())

    def gap_and_bound(self) -> tuple[float, float]:
        gap = self.beta * divergence(self.log_truncated, self.log_optimal)
        squared = float(np.exp(self.log_truncated)[self.covered] @ self.errors[self.covered] ** 2)
        reward_range = float(np.ptp(self.scores)) or self.beta
        return gap, truncated_gap(self.beta, reward_range, squared, self.uncovered, self.optimal_covered)

    def log_mass_and_bound(self) -> tuple[float, float]:
        base_uncovered = float(np.exp(self.log_base)[~self.covered].sum())
        return math.log(self.uncovered), log_uncovered_mass(self.log_coverage, base_uncovered, self.optimal_covered)


def make_round(
    base: list[float], scores: list[float], covered: list[int], errors: list[float], beta: float = 1.0
) -> Round:
    log_base = np.log(base)
    return Round(
        log_base - logsumexp(log_base), np.array(scores), np.array(covered, dtype=bool), np.array(errors), beta
    )


def random_round(rng: np.random.Generator) -> Round:
    size = int(rng.integers(2, 7))
    log_base = rng.normal(size=size) * rng.choice([0.5, 3.0, 15.0])
    scores = 10 ** rng.uniform(-2, 1) * (rng.random(size) if rng.random() < 0.5 else rng.integers(0, 2, size))
    beta = 10 ** rng.uniform(-2, 0.5)
    errors = beta / 2 * (rng.uniform(-1, 1, size) if rng.random() < 0.5 else rng.choice([-1.0, 0.0, 1.0], size))
    errors[0] = 0.0
    covered = rng.random(size) < rng.random()
    covered[0] = True
    return Round(log_base - logsumexp(log_base), scores - scores[0], covered, errors, beta)


@pytest.mark.parametrize(("ridge", "radius", "reward_range"), [(1.0, 1.0, 1.0), (0.3, 2.0, 5.0), (1e-6, 1e3, 1e-3)])
def test_confidence_radius_is_the_root_of_the_inequality_that_it_solves(
    ridge: float, radius: float, reward_range: float
) -> None:
    # x = ||theta_t - theta*|| obeys x^2 <= s x + 4 lambda B^2, and gamma is the largest such x
    delta, log_det_ratio = 0.01, 17.0
    gamma = confidence_radius(ridge, radius, reward_range, delta, log_det_ratio)
    with localcontext() as context:
        context.prec = 40
        noise = Decimal(reward_range) ** 2 / 2 * (-2 * Decimal(delta).ln() + Decimal(log_det_ratio))
        remainder = Decimal(gamma) ** 2 - noise.sqrt() * Decimal(gamma) - 4 * Decimal(ridge) * Decimal(radius) ** 2
        assert abs(remainder / Decimal(gamma) ** 2) < Decimal("1e-14")


def test_confidence_radius_without_noise_is_the_diameter_of_the_ball() -> None:
    assert confidence_radius(0.25, 3.0, 1e-30, 0.1, 1.0) == pytest.approx(2 * 0.5 * 3.0)
    assert confidence_radius(1e-4, 1.0, 1.0, 5e-324, 1e6) < math.inf


def test_score_error_is_the_norm_of_a_covered_difference_times_the_radius_at_most() -> None:
    rng = np.random.default_rng(0)
    sigma = np.cov(rng.normal(size=(3, 50))) + np.eye(3)
    difference = rng.normal(size=3)
    gamma = float(np.sqrt(difference @ sigma @ difference))
    worst = sigma @ difference  # where Cauchy-Schwarz is an equality
    for v in (worst, rng.normal(size=3)):
        nu = float(np.sqrt(v @ np.linalg.solve(sigma, v)))
        assert abs(difference @ v) <= score_error(nu, gamma) * (1 + 1e-12)
    nu = float(np.sqrt(worst @ np.linalg.solve(sigma, worst)))
    assert abs(difference @ worst) == pytest.approx(score_error(nu, gamma))


def test_score_error_premise_turns_at_half_of_beta_and_ignores_rounding() -> None:
    for gamma in np.geomspace(1e-3, 1e3, 50):
        assert score_error_premise(0.1 / (2.0 * float(gamma)), float(gamma), 0.1)
    assert not score_error_premise(0.5, 0.2001, 0.2)


@pytest.mark.parametrize("seed", range(300))
def test_the_bounds_of_a_truncated_round_hold_on_enumerated_tables(seed: int) -> None:
    instance = random_round(np.random.default_rng(seed))
    covered = float(np.exp(instance.log_optimal)[instance.covered].sum())
    log_coverage = float(np.max(instance.log_truncated - instance.log_base))
    assert log_coverage <= log_truncated_coverage(instance.log_coverage, covered) + 1e-9
    gap, bound = instance.gap_and_bound()
    assert gap <= bound * (1 + 1e-9) + 1e-12
    if instance.uncovered > 0.0:
        log_mass, log_bound = instance.log_mass_and_bound()
        assert log_mass <= log_bound + 1e-9


def test_truncated_coverage_is_reached_when_all_errors_conspire() -> None:
    # the rare best response is overrated by beta/2, the rest underrated; the uncovered one has half the optimal mass
    instance = make_round([1e-9, 1e-6, 1.0, 1e-6], [0.0, 3.0, 0.0, math.log(1e6)], [1, 1, 1, 0], [0, 0.5, -0.5, 0])
    covered = float(np.exp(instance.log_optimal)[instance.covered].sum())
    log_coverage = float((instance.log_truncated - instance.log_base)[instance.covered].max())
    best = float((instance.log_optimal - instance.log_base)[instance.covered].max())
    assert covered == pytest.approx(0.5, abs=1e-3)
    assert log_coverage == pytest.approx(log_truncated_coverage(best, covered), abs=1e-3)


def test_each_term_of_the_truncated_gap_is_reached_or_needed() -> None:
    squared_error = make_round([1e-9, 0.5, 0.5], [0, 0, 0], [1, 1, 1], [0, 1e-3, -1e-3])
    gap, bound = squared_error.gap_and_bound()
    assert gap * 2.0 * math.exp(log_psi(0.5)) == pytest.approx(bound, rel=1e-5)  # small errors: the constant is 1/2 ...
    conspiring = make_round([1e-9, 1.0, 1e-4], [0, 0, 0], [1, 1, 1], [0, 0, -0.5])
    gap, bound = conspiring.gap_and_bound()
    assert gap == pytest.approx(bound, rel=1e-4)  # ... and errors of beta/2 reach psi(1/2)

    wasted = make_round([1.0, 1e-6], [0.0, -300.0], [1, 0], [0, 0])
    gap, bound = wasted.gap_and_bound()
    assert gap == pytest.approx(bound, rel=1e-5)  # R_max - beta, and not R_max

    missed = make_round([1.0, 1e-9], [0.0, math.log(1e9)], [1, 0], [0, 0])
    gap, bound = missed.gap_and_bound()
    assert missed.optimal_covered == pytest.approx(0.5)
    assert gap == pytest.approx(math.log(2.0), rel=1e-6)
    assert gap == pytest.approx(bound, rel=1e-6)


def test_uncovered_mass_needs_its_coverage() -> None:
    instance = make_round([1e-3, 1.0, 1e-3], [0.0, -20.0, 0.0], [1, 1, 0], [0, 0, 0])
    log_mass, log_bound = instance.log_mass_and_bound()
    assert log_bound - instance.log_coverage < log_mass <= log_bound


def test_uncovered_mass_is_reached_whatever_the_optimum_leaves_uncovered() -> None:
    # All that is covered is underrated by beta/2, but for y' itself, which is rare.
    for uncovered in (1e-3, 1.0, 1e3):
        instance = make_round([1e-9, 1.0, uncovered], [0.0, 0.0, 0.0], [1, 1, 0], [0.0, -0.5, 0.0])
        log_mass, log_bound = instance.log_mass_and_bound()
        assert log_mass == pytest.approx(log_bound, abs=1e-6)


def test_bounds_of_a_round_work_at_extreme_coverage() -> None:
    assert log_truncated_coverage(1e4, 0.5) == pytest.approx(1e4 + 1.0 + math.log(2.0))
    assert log_truncated_coverage(1e4, 0.0) == math.inf
    assert log_uncovered_mass(1e4, 0.0, 1.0) == -math.inf
    assert log_uncovered_mass(1e4, 1e-300, 1.0) == pytest.approx(1e4 - 300 * math.log(10.0) + 0.5)
    assert log_uncovered_mass(1e4, 1.0, 0.0, 1e4) == 1e4
    assert truncated_gap(1.0, 1.0, 0.0, 1.0, 0.0) == math.inf


@pytest.mark.parametrize("beta", [0.02, 0.3, 2.0])
def test_without_truncation_the_witness_exceeds_its_floor_while_its_data_are_within_the_radius(beta: float) -> None:
    radius, reward_range, ridge = 1.0, 1.0, 1.0
    eta = 0.1 * beta / radius
    rare = 0.01 * math.exp(-radius / beta)
    base = np.array([0.6 - rare, 0.4, rare])
    heights = np.array([0.0, eta, 1.0])  # second coordinate of phi(a), phi(c), phi(z)
    fitted = minimize_scalar(lambda t: (eta * t - reward_range) ** 2, bounds=(-radius, radius), method="bounded")
    theta = radius if eta * radius <= reward_range else float(fitted.x)
    assert fitted.x == pytest.approx(theta, abs=1e-4)
    scores = theta * heights
    log_coverage = float(np.max(log_policy(np.log(base), scores, beta) - np.log(base)))
    assert log_coverage > log_untruncated_coverage(float(np.ptp(scores)), beta)
    gamma = confidence_radius(ridge, radius, reward_range, 0.1, math.log1p(eta**2 / ridge))
    assert math.sqrt(ridge + eta**2) * theta <= gamma
