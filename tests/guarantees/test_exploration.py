from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from spanver.guarantees import (
    confidence_radius,
    kl_bound,
    log_coverage_bound,
    log_kl_bound,
    log_sequence_coverage,
    log_truncated_coverage,
    log_uncovered_mass,
    log_untruncated_coverage,
    score_error,
    score_error_premise,
    truncated_gap,
)

FloatArray = NDArray[np.float64]


def log_policy(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    logits = log_base + scores / beta
    return np.asarray(logits - logsumexp(logits))


def divergence(log_p: FloatArray, log_q: FloatArray) -> float:
    return float(np.sum(np.exp(log_p) * (log_p - log_q)))


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
    def optimal_uncovered(self) -> float:
        return float(np.exp(self.log_optimal)[~self.covered].sum())

    @property
    def uncovered(self) -> float:
        return float(np.exp(self.log_truncated)[~self.covered].sum())

    def gap_and_bound(self) -> tuple[float, float]:
        gap = self.beta * divergence(self.log_truncated, self.log_optimal)
        squared = float(np.exp(self.log_truncated)[self.covered] @ self.errors[self.covered] ** 2)
        reward_range = float(np.ptp(self.scores)) or self.beta
        return gap, truncated_gap(self.beta, reward_range, squared, self.uncovered, self.optimal_uncovered)

    def log_mass_and_bound(self) -> tuple[float, float]:
        base_uncovered = float(np.exp(self.log_base)[~self.covered].sum())
        return math.log(self.uncovered), log_uncovered_mass(self.log_coverage, base_uncovered)


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


@pytest.mark.parametrize("seed", range(20))
def test_log_coverage_is_between_its_bounds_on_enumerated_policies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_base = rng.normal(size=5) * 3.0
    log_base -= logsumexp(log_base)
    rewards = rng.random(5)
    for beta in (1e-4, 0.1, 10.0):
        log_coverage = float(np.max(log_policy(log_base, rewards, beta) - log_base))
        assert -1e-12 <= log_coverage <= log_coverage_bound(float(np.ptp(rewards)), beta) + 1e-12


def test_log_coverage_reaches_its_bound_when_the_best_response_is_rare() -> None:
    log_base = np.log([1e-300, 1.0])
    assert np.max(log_policy(log_base, np.array([1.0, 0.0]), 0.01) - log_base) == pytest.approx(
        log_coverage_bound(1.0, 0.01)
    )
    assert log_coverage_bound(1.0, 1e-4) == pytest.approx(1e4)


@pytest.mark.parametrize("seed", range(200))
def test_kl_bound_holds_on_enumerated_policies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, beta, deviation = int(rng.integers(2, 6)), float(10 ** rng.uniform(-2, 1)), float(10 ** rng.uniform(-2, 1.3))
    log_base = rng.normal(size=size) * 5.0
    f = rng.normal(size=size)
    difference = deviation * beta * rng.choice([rng.uniform(-1, 1, size), rng.choice([-1.0, 0.0, 1.0], size)])
    shift = rng.normal()
    log_f, log_g = log_policy(log_base, f, beta), log_policy(log_base, f - difference - shift, beta)
    bound = kl_bound(beta, deviation, float(np.exp(log_f) @ difference**2))
    assert beta * divergence(log_f, log_g) <= bound * (1 + 1e-9) + 1e-14


def kl_ratio(deviation: float, chance: float) -> float:
    """`beta KL` over `E (f-g-c)^2 / (2 beta)` at `beta = 1` when `f - g` is `-b` with this chance and 0 otherwise."""
    divergence_of_f = -chance * deviation + math.log1p(chance * math.expm1(deviation))
    return divergence_of_f / (chance * deviation**2 / 2.0)


def test_kl_bound_is_tight_for_small_deviations_and_fails_without_its_exponential() -> None:
    deviation, chance = 1e-3, 1e-3
    squared_error = chance * deviation**2
    share = kl_ratio(deviation, chance) * kl_bound(1.0, 0.0, squared_error) / kl_bound(1.0, deviation, squared_error)
    assert 0.995 < share <= 1.0
    assert 1.0 < kl_ratio(3.0, 1e-6) <= math.exp(3.0)


def test_kl_bound_has_a_logarithm_where_it_overflows() -> None:
    assert log_kl_bound(1e-4, 1e4, 1.0) == pytest.approx(1e4 - math.log(2e-4))
    assert kl_bound(1e-4, 1e4, 1.0) == math.inf
    assert log_kl_bound(1.0, 1.0, 0.0) == -math.inf
    assert kl_bound(1.0, 1.0, 0.0) == 0.0
    assert kl_bound(0.3, 1.2, 0.7) == pytest.approx(math.exp(1.2) / 0.6 * 0.7)


def sequence_and_token_log_coverage(log_ratios: list[FloatArray]) -> tuple[float, float]:
    """Log coverage of sequences and of tokens; layer `h` holds `log pi*_h/pi_ref,h` by prefix and token, `(2^h, 2)`."""
    horizon = len(log_ratios)
    sequences = max(
        sum(float(layer[int("0" + word[:h], 2), int(word[h])]) for h, layer in enumerate(log_ratios))
        for word in map("".join, itertools.product("01", repeat=horizon))
    )
    return sequences, max(float(layer.max()) for layer in log_ratios)


@pytest.mark.parametrize("seed", range(10))
def test_sequence_coverage_is_at_most_its_bound_on_enumerated_trees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = [
        np.log(rng.dirichlet([1.0, 1.0], size=2**h)) - np.log(rng.dirichlet([1.0, 1.0], size=2**h)) for h in range(4)
    ]
    sequence, token = sequence_and_token_log_coverage(layers)
    assert sequence <= log_sequence_coverage(token, 4) + 1e-12


def test_sequence_coverage_reaches_its_bound_on_the_tokens_family() -> None:
    log_conditional = math.log(2.0 / (1.0 + math.exp(-2.0)))
    layers = [np.tile([log_conditional, log_conditional - 2.0], (2**h, 1)) for h in range(5)]
    sequence, token = sequence_and_token_log_coverage(layers)
    assert sequence == pytest.approx(log_sequence_coverage(token, 5))
    assert log_sequence_coverage(token, 10**6) > 709.0


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
    if instance.optimal_uncovered <= 0.5:
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
    assert gap * math.exp(0.5) == pytest.approx(bound, rel=1e-5)  # reached up to e^{1/2} ...
    conspiring = make_round([1e-9, 1.0, 1e-4], [0, 0, 0], [1, 1, 1], [0, 0, -0.5])
    gap, bound = conspiring.gap_and_bound()
    assert bound * math.exp(-0.5) < gap <= bound  # ... without which it would be false

    wasted = make_round([1.0, 1e-6], [0.0, -300.0], [1, 0], [0, 0])
    gap, bound = wasted.gap_and_bound()
    assert 0.99 < gap / bound <= 1.0

    missed = make_round([1.0, 1e-9], [0.0, math.log(1e9)], [1, 0], [0, 0])
    gap, bound = missed.gap_and_bound()
    assert missed.optimal_uncovered == pytest.approx(0.5)
    assert gap == pytest.approx(math.log(2.0), rel=1e-6)
    assert gap == pytest.approx(bound, rel=1e-6)


def test_uncovered_mass_needs_its_coverage() -> None:
    instance = make_round([1e-9, 1.0, 1e-3], [0.0, -20.0, 0.0], [1, 1, 0], [0, 0, 0])
    assert instance.optimal_uncovered > 0.5  # outside the premise the bound is not promised ...
    instance = make_round([1e-3, 1.0, 1e-3], [0.0, -20.0, 0.0], [1, 1, 0], [0, 0, 0])
    log_mass, log_bound = instance.log_mass_and_bound()
    assert instance.optimal_uncovered <= 0.5
    assert log_bound - instance.log_coverage < log_mass <= log_bound


def test_bounds_of_a_round_work_at_extreme_coverage() -> None:
    assert log_truncated_coverage(1e4, 0.5) == pytest.approx(1e4 + 1.0 + math.log(2.0))
    assert log_truncated_coverage(1e4, 0.0) == math.inf
    assert log_uncovered_mass(1e4, 0.0) == -math.inf
    assert log_uncovered_mass(1e4, 1e-300) == pytest.approx(1e4 - 300 * math.log(10.0) + math.log(2.0) + 0.5)


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
