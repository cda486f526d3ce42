"""Bounds of identities against enumerated policies and trees."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from enumerated import FloatArray, divergence, log_policy
from scipy.special import logsumexp

from spanver.guarantees.identities import kl_bound, log_coverage_bound, log_kl_bound, log_psi, log_sequence_coverage


@pytest.mark.parametrize("seed", range(20))
def test_log_coverage_is_between_its_bounds_on_enumerated_policies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_base = rng.normal(size=5) * 3.0
    log_base -= logsumexp(log_base)
    rewards = rng.random(5)
    for beta in (1e-4, 0.1, 10.0):
        log_coverage = float(np.max(log_policy(log_base, rewards, beta) - log_base))
        excess = float(rewards.max() - np.exp(log_base) @ rewards)
        assert -1e-12 <= log_coverage <= log_coverage_bound(excess, beta) + 1e-12
        assert excess <= np.ptp(rewards)


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


@pytest.mark.parametrize("deviation", [1e-3, 0.5, 1.0, 3.0, 20.0])
def test_kl_bound_is_tight_for_every_deviation(deviation: float) -> None:
    chance = 1e-4 * math.exp(-deviation)
    squared_error = chance * deviation**2
    share = kl_ratio(deviation, chance) * squared_error / 2.0 / kl_bound(1.0, deviation, squared_error)
    assert 0.999 < share <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("deviation", "share"), [(0.5, 0.999859), (1.0, 0.999794), (2.0, 0.999535)]
)  # of the bound, as computed in 50 digits
def test_kl_bound_on_a_pinned_instance(deviation: float, share: float) -> None:
    chance = 1e-4
    measured = kl_ratio(deviation, chance) * chance * deviation**2 / 2.0
    assert measured / kl_bound(1.0, deviation, chance * deviation**2) == pytest.approx(share, abs=5e-7)


def test_psi_has_no_cancellation_and_no_overflow() -> None:
    for deviation in (0.0, 1e-300, 1e-9, 1e-3, 0.3, 0.999, 1.0, 5.0, 700.0, 1e4):
        with localcontext() as context:
            context.prec = 60
            b = Decimal(deviation)
            exact = (b.exp() - 1 - b) / b**2 if deviation > 1e-6 else Decimal("0.5") + b / 6
            assert log_psi(deviation) == pytest.approx(float(exact.ln()), rel=1e-14, abs=1e-14)


def test_kl_bound_has_a_logarithm_where_it_overflows() -> None:
    assert log_kl_bound(1e-4, 1e4, 1.0) == pytest.approx(1e4 - math.log(1e-4) - 2.0 * math.log(1e4))
    assert kl_bound(1e-4, 1e4, 1.0) == math.inf
    assert log_kl_bound(1.0, 1.0, 0.0) == -math.inf
    assert kl_bound(1.0, 1.0, 0.0) == 0.0
    assert kl_bound(0.3, 1.2, 0.7) == pytest.approx((math.exp(1.2) - 2.2) / 1.2**2 / 0.3 * 0.7)


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
