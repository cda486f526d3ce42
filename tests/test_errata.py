"""Counterexamples of docs/errata.md compute what the page says; what it repairs of multi-turn exploration holds."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import dataclass
from math import e, log, sqrt
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

PAGE = Path(__file__).parent.parent / "docs" / "errata.md"


def test_counterexamples_compute_what_the_page_says() -> None:
    failed, attempted = doctest.testfile(str(PAGE), module_relative=False)
    assert attempted >= 110
    assert failed == 0


@dataclass(frozen=True)
class Instance:
    """What the guarantee of MTSS depends on; rewards of each layer lie in `[0, B]`."""

    d: int = 2
    horizon: int = 3
    radius: float = 1.0
    coverage: float = 2.0
    beta: float = 0.5
    eps: float = 0.01
    delta: float = 0.1


def doubled_until(enough: Callable[[float], bool]) -> float:
    value = 1.0
    while not enough(value):
        value *= 2
    return value


def repaired_terms(instance: Instance) -> tuple[list[float], list[float]]:
    """Terms of Lemma M.2 as shares of `eps_reg^2` and of (157) as shares of `eps`, with the parameters of the page."""
    d, horizon, radius, coverage = instance.d, instance.horizon, instance.radius, instance.coverage
    beta, eps, delta, nu = instance.beta, instance.eps, instance.delta, 0.5
    iterations = 1
    while True:
        error = min(
            beta * eps / (16 * horizon * nu**2), beta**2 / (307200 * horizon**2 * iterations * nu**4), beta**2 / 4
        )
        ridge = error / (32 * radius**2)
        additions = 1
        while (additions + 1) * log(1 + nu**2 / 4) <= d * log(1 + 4 * (additions + 1) / (d * ridge)):
            additions += 1
        if 1 + horizon * additions <= iterations:
            break
        iterations = 1 + horizon * additions
    elements, scores = 2 * iterations, 2 * radius  # elements of a core-set; in place of R_max in Lemma L.3

    def covered_states(count: float) -> float:
        return 8 / count * log(32 * horizon * iterations / (ridge * delta * nu**2))

    def surprise(count: float) -> float:
        return 8 / count * log(16 * horizon * iterations / (ridge * delta * nu**2))

    def logarithm(failure: float) -> float:
        return log(4 * multiplier * log(4 / failure))

    def c1(count: float) -> float:
        printed = (
            6400 * radius**2 * horizon**2 * d * log(3 * count * 4 * horizon * iterations / delta)
            + 3840 * horizon**2 * radius**2 * elements
        )
        return 2 * printed  # since the noise of targets may be 8 H B, not 6 H B

    def c2(failure: float) -> float:
        squares = 12 * scores**2 + 48 * beta**2 * logarithm(failure) ** 2 + 85 * horizon**2 * radius**2
        return 19200 * elements * squares + 3072 * elements * horizon**2 * radius * beta * logarithm(failure)

    def c3(failure: float) -> float:
        return (
            16 * horizon * (8 * scores**2 * logarithm(failure) ** 2 + 200 * horizon**2 * radius**2)
            + 3072 * horizon * radius**2
        )

    def divergence(failure: float) -> float:
        return 4 * horizon * (scores + 5 * horizon * radius / 4 + beta * logarithm(failure)) * failure

    sampler = 2304 * horizon * radius * beta * elements * horizon  # times the mean of min(1, C_cond(pi) sqrt(2/M))
    unseen = (
        7680 * horizon * (horizon * radius) ** 2 * elements * horizon
    )  # times the mean of B_l^2, with H B for R_max
    multiplier = max(64 * e**2 * coverage**2, 2 * (8 * sampler * 2 * e * coverage / error) ** 2)
    regression = doubled_until(lambda count: c1(count) / count <= error / 8)
    rejection = 1 / doubled_until(lambda x: c2(1 / x) / x <= error / 8 and divergence(1 / x) <= eps / 4)
    spare = doubled_until(
        lambda count: (
            max(elements * horizon * c3(rejection), sampler, 2 * unseen) * covered_states(count) <= error / 8
            and (scores + 5 * horizon * radius) * horizon * covered_states(count) <= eps / 4
            and horizon * horizon * radius * covered_states(count) <= eps / 8
        )
    )
    base = doubled_until(
        lambda count: (
            2 * unseen * (2 * e * coverage * surprise(count)) ** 2 <= error / 8
            and horizon * horizon * radius * 2 * e * coverage * surprise(count) <= eps / 8
            and surprise(count) <= 1 / (4 * coverage)
        )
    )
    seldom, rare = covered_states(spare), surprise(base)
    fit = [
        4 * ridge * radius**2,
        c1(regression) / regression,
        c2(rejection) * rejection,
        elements * horizon * c3(rejection) * seldom,
        sampler * 2 * e * coverage * sqrt(2 / multiplier),
        sampler * seldom,
        19200 * horizon * beta**2 * elements * horizon * (nu**2 * error / beta**2) ** 2,
        unseen * ((2 * e * coverage * rare) ** 2 + seldom),
    ]
    gap = [
        horizon * nu**2 * error / beta,
        divergence(rejection),
        (scores + 5 * horizon * radius) * horizon * seldom,
        horizon * horizon * radius * (2 * e * coverage * rare + seldom),
    ]
    assert error <= beta**2 / (16 * nu**2), "a premise of Lemmas N.1 and M.3"
    return [term / error for term in fit], [term / eps for term in gap]


@pytest.mark.parametrize(
    "instance",
    [
        Instance(),
        Instance(d=1, horizon=1),
        Instance(horizon=16, beta=0.05),
        Instance(beta=0.01, eps=1e-12),
        Instance(radius=20.0, coverage=1000.0),
        Instance(d=30, delta=1e-9),
        Instance(eps=0.9, beta=0.99),
    ],
    ids=str,
)
def test_the_repaired_parameters_close_the_induction_and_the_gap(instance: Instance) -> None:
    fit, gap = repaired_terms(instance)
    assert max(fit) <= 1 / 8 * (1 + 1e-12)
    assert sum(fit) <= 1
    assert max(gap) <= 1 / 4 * (1 + 1e-12)
    assert sum(gap) <= 1


def softmax(base: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = base * np.exp(scores - scores.max())
    return weights / weights.sum()


def divergence(law: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(law @ np.log(law / other))


@pytest.mark.parametrize("seed", range(200))
def test_repaired_lemmas_n1_to_n3_hold_at_a_random_state(seed: int) -> None:
    rng = np.random.default_rng(seed)
    actions, dimension = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    beta, nu = float(np.exp(rng.uniform(-3, 0.5))), float(rng.uniform(0.05, 1.5))
    base = rng.dirichlet(np.full(actions, rng.choice([0.2, 1.0, 5.0]))) + 1e-7
    base /= base.sum()
    features = rng.standard_normal((actions, dimension))
    features /= np.maximum(1, np.linalg.norm(features, axis=1, keepdims=True))
    relative = features - features[0]  # the anchor is the first action
    root = rng.standard_normal((dimension, dimension))
    design = root @ root.T + rng.uniform(0.01, 1) * np.eye(dimension)
    squared = np.einsum("ai,ij,aj->a", relative, np.linalg.inv(design), relative)
    covered = squared <= nu**2
    best = rng.standard_normal(dimension) * rng.uniform(0, 2)
    shift = rng.standard_normal(dimension)
    shift *= beta / nu / sqrt(shift @ design @ shift) * rng.choice([0.0, 0.5, 1.0])  # |theta* - theta| <= beta/nu
    distance = sqrt(shift @ design @ shift)
    values = relative @ best
    policy = softmax(base, np.where(covered, relative @ (best - shift), 0) / beta)
    truncated = softmax(base, np.where(covered, values, 0) / beta)
    optimum = softmax(base, values / beta)
    rounding = 1e-12 * (1 + np.abs(values).max() / beta)

    lost = divergence(policy, truncated)
    assert lost <= (e - 2) / beta**2 * (policy @ np.where(covered, squared, 0)) * distance**2 + rounding

    ratios = optimum / base
    room = 1 - ratios.max() * base[~covered].sum()
    if room > 0:
        factor = np.exp(2 * nu * distance / beta) / room
        bounds = np.where(covered, factor * ratios, factor * ratios[0])
        assert np.all(policy / base <= bounds * (1 + rounding))

    def regularised(law: NDArray[np.float64]) -> float:
        return float(law @ values) - beta * divergence(law, base)

    above, below = values[~covered].max(initial=0), (-values[~covered]).max(initial=0)
    bound = beta * lost + above * optimum[~covered].sum() + below * policy[~covered].sum()
    assert -rounding <= regularised(optimum) - regularised(policy) <= bound + rounding
    assert above + below <= np.ptp(values) + rounding


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("rollouts", "draws"), [(1, 1), (2, 3), (8, 4)])
def test_the_search_fails_no_more_often_than_the_proof_of_lemma_k2_says(seed: int, rollouts: int, draws: int) -> None:
    rng = np.random.default_rng(seed)
    states = rng.dirichlet(np.full(5, 0.5))
    base, policy = rng.dirichlet(np.full(4, 0.4), 5), rng.dirichlet(np.full(4, 0.4), 5)
    norms = rng.integers(1, 12, (5, 4))
    levels = np.arange(13)
    at_most = np.array([[(law * (norms <= level)).sum(1) for level in levels] for law in (policy, base)])
    below = ((at_most[0] * at_most[1] ** draws) @ states) ** rollouts  # of the largest norm met, exactly
    chance = np.diff(below, prepend=0.0)
    left = 1 - at_most[0] @ states
    seldom = ((1 - at_most[1] > 1 / draws + 1e-12) * states).sum(1)
    for p in np.linspace(0, 1, 41):
        assert chance[left > p + 1e-12].sum() <= (1 - p) ** rollouts + 1e-12
        assert chance[seldom > p + 1e-12].sum() <= (1 - (1 - 1 / e) * p) ** rollouts + 1e-12
