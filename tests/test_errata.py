"""The counterexamples of docs/errata.md compute what the page says, and the repaired parameters of MTSS are enough."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import dataclass
from math import e, log, sqrt
from pathlib import Path

import pytest

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
        Instance(beta=0.01, eps=1e-6),
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
