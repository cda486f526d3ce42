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
    log_uncovered_ratio,
    log_untruncated_coverage,
    round_regret,
    score_error,
    score_error_premise,
    sharp_spanner_regret,
    spanner_regret,
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
    deviation: float  # b: errors are at most b beta

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

    @property
    def squared_error(self) -> float:
        return float(np.exp(self.log_truncated)[self.covered] @ self.errors[self.covered] ** 2)

    @property
    def reward_range(self) -> float:
        return float(np.ptp(self.scores)) or self.beta

    @property
    def gap(self) -> float:
        return self.beta * divergence(self.log_truncated, self.log_optimal)

    def gap_and_bound(self) -> tuple[float, float]:
        given = self.beta, self.reward_range, self.squared_error, self.uncovered, self.optimal_covered
        return self.gap, truncated_gap(*given, self.deviation)

    def log_ratio_and_bound(self) -> tuple[float, float]:
        ratio = float((self.log_truncated - self.log_base)[~self.covered].max())
        return ratio, log_uncovered_ratio(self.log_coverage, self.optimal_covered, self.deviation)


def make_round(
    base: list[float], scores: list[float], covered: list[int], errors: list[float], deviation: float = 0.5
) -> Round:
    log_base = np.log(base)
    log_base -= logsumexp(log_base)
    return Round(log_base, np.array(scores), np.array(covered, dtype=bool), np.array(errors), 1.0, deviation)


def random_round(rng: np.random.Generator) -> Round:
    size = int(rng.integers(2, 7))
    log_base = rng.normal(size=size) * rng.choice([0.5, 3.0, 15.0])
    scores = 10 ** rng.uniform(-2, 1) * (rng.random(size) if rng.random() < 0.5 else rng.integers(0, 2, size))
    beta = 10 ** rng.uniform(-2, 0.5)
    deviation = float(rng.choice([0.1, 0.5, 1.0, 3.0]))
    errors = deviation * beta * (rng.uniform(-1, 1, size) if rng.random() < 0.5 else rng.choice([-1.0, 0.0, 1.0], size))
    errors[0] = 0.0
    covered = rng.random(size) < rng.random()
    covered[0] = True
    return Round(log_base - logsumexp(log_base), scores - scores[0], covered, errors, beta, deviation)


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


def test_score_error_premise_turns_at_beta_and_ignores_rounding() -> None:
    for gamma in np.geomspace(1e-3, 1e3, 50):
        assert score_error_premise(0.1 / float(gamma), float(gamma), 0.1)
    assert not score_error_premise(0.5, 0.4001, 0.2)


@pytest.mark.parametrize("seed", range(300))
def test_the_bounds_of_a_truncated_round_hold_on_enumerated_tables(seed: int) -> None:
    instance = random_round(np.random.default_rng(seed))
    covered = float(np.exp(instance.log_optimal)[instance.covered].sum())
    log_coverage = float(np.max(instance.log_truncated - instance.log_base))
    assert log_coverage <= log_truncated_coverage(instance.log_coverage, covered, instance.deviation) + 1e-9
    gap, bound = instance.gap_and_bound()
    assert gap <= bound * (1 + 1e-9) + 1e-12
    given = instance.beta, instance.reward_range, instance.squared_error
    if instance.deviation <= 1.0:  # E8 of a y' by itself
        printed = round_regret(*given, instance.uncovered, 1.0 - instance.optimal_covered)
        assert bound <= printed * (1 + 1e-9) + 1e-12
    if not instance.covered.all():
        log_ratio, log_bound = instance.log_ratio_and_bound()
        assert log_ratio <= log_bound + 1e-9
        uncertain = float(np.exp(instance.log_base)[~instance.covered].sum())
        sharp = sharp_spanner_regret(*given, instance.log_coverage, uncertain, instance.deviation)
        assert gap <= sharp * (1 + 1e-9) + 1e-12


def test_truncated_coverage_is_reached_when_all_errors_conspire() -> None:
    # the rare best response is overrated by beta/2, the rest underrated; the uncovered one has half the optimal mass
    instance = make_round([1e-9, 1e-6, 1.0, 1e-6], [0.0, 3.0, 0.0, math.log(1e6)], [1, 1, 1, 0], [0, 0.5, -0.5, 0])
    covered = float(np.exp(instance.log_optimal)[instance.covered].sum())
    log_coverage = float((instance.log_truncated - instance.log_base)[instance.covered].max())
    best = float((instance.log_optimal - instance.log_base)[instance.covered].max())
    assert covered == pytest.approx(0.5, abs=1e-3)
    assert log_coverage == pytest.approx(log_truncated_coverage(best, covered, 0.5), abs=1e-3)


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

    lost = make_round([1.0, 1e-9], [0.0, 1e5], [1, 0], [0, 0])
    gap, bound = lost.gap_and_bound()
    assert bound == 1e5  # R_max times the larger of both masses, and not their sum
    assert 0.999 < gap / bound <= 1.0


def test_an_uncovered_ratio_needs_its_coverage() -> None:
    instance = make_round([1e-3, 1.0, 1e-3], [0.0, -20.0, 0.0], [1, 1, 0], [0, 0, 0])
    log_ratio, log_bound = instance.log_ratio_and_bound()
    assert log_bound - instance.log_coverage < log_ratio <= log_bound


@pytest.mark.parametrize("deviation", [0.1, 0.5, 1.0, 3.0])
def test_an_uncovered_ratio_is_reached_whatever_the_optimum_leaves_uncovered(deviation: float) -> None:
    # All that is covered is underrated by b beta, but for y' itself, which is rare.
    for uncovered in (1e-3, 1.0, 1e3):
        instance = make_round([1e-9, 1.0, uncovered], [0.0, 0.0, 0.0], [1, 1, 0], [0.0, -deviation, 0.0], deviation)
        log_ratio, log_bound = instance.log_ratio_and_bound()
        assert log_ratio == pytest.approx(log_bound, abs=1e-6)
        assert log_ratio <= instance.log_coverage + deviation


class Spanned(NamedTuple):
    """A prompt of a truncated policy on features in the unit ball: what Lemmas G.5 to G.7 speak of, with b = 1."""

    features: FloatArray
    base: FloatArray
    sigma: FloatArray
    theta_star: FloatArray
    theta: FloatArray
    nu: float
    beta: float

    def rounds(self) -> list[Round]:
        """One for every `y'`."""
        error = self.theta - self.theta_star
        assert np.linalg.norm(self.features, axis=1).max() <= 1.0
        deviation = self.nu * math.sqrt(error @ self.sigma @ error) / self.beta
        assert deviation == pytest.approx(1.0, rel=1e-8)
        found = []
        for anchor in self.features:
            v = self.features - anchor
            covered = np.sqrt(np.einsum("ij,jk,ik->i", v, np.linalg.inv(self.sigma), v)) <= self.nu
            log_base = np.log(self.base)
            found.append(Round(log_base, v @ self.theta_star, covered, v @ error, self.beta, deviation))
        return found


# The first response is overrated by beta and the second underrated; the third is uncovered, with half of pi*.
HEIGHT, SHIFT, RARE = 0.4, 0.5, 5e-4
NU = math.hypot(2.0 * HEIGHT / 1e5, SHIFT) * (1.0 + 1e-9)
G6 = Spanned(
    features=np.array([[HEIGHT, SHIFT, 0.0], [HEIGHT, -SHIFT, 0.0], [HEIGHT, 0.0, 0.5], [-HEIGHT, 0.0, 0.0]]),
    base=np.array([1e-12, RARE * 1.001, RARE, 1.0 - 2.001 * RARE - 1e-12]),
    sigma=np.diag([1e10, 1.0, 0.01]),
    theta_star=np.array([0.98, 0.0, 0.0]),
    theta=np.array([0.98, 0.04 / NU, 0.0]),
    nu=NU,
    beta=0.04,
)


def test_the_density_ratio_of_a_truncated_policy_comes_within_a_thousandth_of_the_papers_bound() -> None:
    """FMR25 Lemma G.6, `2 e^2 C`: a bound with e in place of e^2 at b = 1 is wrong."""
    instance = G6.rounds()[3]
    assert instance.covered.tolist() == [True, True, False, True]
    ratio = float((instance.log_truncated - instance.log_base).max())
    assert 0.5 <= instance.optimal_covered < 0.501
    assert math.exp(instance.log_coverage) == pytest.approx(999.5, rel=1e-3)
    printed = math.log(2.0) + 2.0 + instance.log_coverage
    assert math.exp(ratio - printed) == pytest.approx(0.999487, abs=1e-6)
    bound = log_truncated_coverage(instance.log_coverage, instance.optimal_covered, instance.deviation)
    assert ratio <= bound <= printed
    assert bound - ratio < 1e-4
    assert ratio > math.log(2.0) + 1.0 + instance.log_coverage
    assert ratio > log_truncated_coverage(instance.log_coverage, instance.optimal_covered, 0.5) + 0.9


def test_the_regret_of_a_round_reaches_each_of_its_terms() -> None:
    """FMR25 Lemmas G.5 and G.7: e - 2 of their first term is needed, and all of G.5's second."""
    nu = math.hypot(0.9 / 1e6, 0.5) * (1.0 + 1e-9)
    both = Spanned(
        features=np.array([[0.45, 0.0], [-0.45, 0.5]]), base=np.array([1e-14, 1.0 - 1e-14]), sigma=np.diag([1e12, 1.0]),
        theta_star=np.array([0.99, 0.0]), theta=np.array([0.99, 0.05 / nu]), nu=nu, beta=0.05,
    )  # fmt: skip
    bulk = both.rounds()
    assert all(each.covered.all() for each in bulk)
    regret, squared = (float(both.base @ [getattr(each, of) for each in bulk]) for of in ("gap", "squared_error"))
    printed = round_regret(0.05, 0.9, squared, 0.0, 0.0)
    assert printed == spanner_regret(0.05, 0.9, squared, 1.0, 1e-300, 0.0) == squared / 0.05
    assert regret / printed == pytest.approx(math.e - 2.0, abs=1e-5)
    assert regret <= sharp_spanner_regret(0.05, 0.9, squared, 0.0, 0.0, 1.0)

    for beta, ratio in ((0.1, 0.0), (0.001, 0.98)):  # a rare response is all that earns, and it is uncovered
        apart = make_round([1.0 - 1e-6, 1e-6], [0.0, 0.9 / beta], [1, 0], [0.0, 0.0])
        printed = round_regret(1.0, 0.9 / beta, 0.0, apart.uncovered, 1.0 - apart.optimal_covered)
        assert ratio <= apart.gap / printed <= 1.0


def test_what_the_printed_regret_says_of_a_spanner() -> None:
    assert spanner_regret(0.5, 2.0, 0.25, 8.0, 1e-3, 0.1) == pytest.approx(0.5 + 36 * 8e-3 + 0.4)
    # At b = 1 the sharper form is at most the printed one, whatever eps: the constants are e - 2, e and 1.
    for uncertain in (1e-6, 1e-2, 0.5):
        sharp = sharp_spanner_regret(0.5, 2.0, 0.25, math.log(8.0), uncertain, 1.0)
        assert sharp == pytest.approx((math.e - 2) * 0.5 + 2.0 * min(1.0, math.e * 8.0 * uncertain))
        for eps in (1e-9, uncertain, 1.0):
            assert sharp <= spanner_regret(0.5, 2.0, 0.25, 8.0, eps, float(uncertain > eps))


def test_bounds_of_a_round_work_at_extreme_coverage() -> None:
    assert log_truncated_coverage(1e4, 0.5, 0.5) == pytest.approx(1e4 + 1.0 + math.log(2.0))
    assert log_truncated_coverage(1e4, 0.0, 0.5) == math.inf
    assert log_uncovered_ratio(1e4, 1.0, 1e4) == 2e4
    assert log_uncovered_ratio(1e4, 0.0, 1e4) == 1e4
    assert truncated_gap(1.0, 3.0, 0.0, 0.5, 0.0, 0.5) == 3.0
    assert sharp_spanner_regret(1.0, 3.0, 0.0, 1e4, 1e-300, 0.5) == 3.0
    assert sharp_spanner_regret(1.0, 3.0, 0.25, 1e4, 0.0, 0.0) == pytest.approx(0.125)


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
