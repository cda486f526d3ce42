"""The distribution of a race over a given pool, against quadrature and rational numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from text_cases import race_by_quadrature

from spanver.exact.samplers import race_law


def exact_race(weights: list[Fraction]) -> list[Fraction]:
    """The same in rational numbers: the polynomial is multiplied out and integrated term by term."""
    end = 1 / max(weights)
    law = []
    for index, own in enumerate(weights):
        polynomial = [Fraction(1)]
        for position, weight in enumerate(weights):
            if position != index:
                shifted = [Fraction(0), *(-weight * term for term in polynomial)]
                polynomial = [one + two for one, two in zip([*polynomial, Fraction(0)], shifted, strict=True)]
        law.append(own * sum(term * end ** (power + 1) / (power + 1) for power, term in enumerate(polynomial)))
    return law


@pytest.mark.parametrize(
    "weights", [[1.0], [2.5], [3.0, 1.0], [0.2, 0.7], [1.0, 1.0], [5.0, 2.0, 1.0], [0.1, 0.4, 0.4]]
)
def test_the_law_of_a_small_race_is_its_integral(weights: list[float]) -> None:
    law = race_law(np.log(weights))
    expected = [race_by_quadrature(weights, index) for index in range(len(weights))]
    np.testing.assert_allclose(law, expected, rtol=1e-12)
    np.testing.assert_allclose(law, [float(p) for p in exact_race([Fraction(w) for w in weights])], rtol=1e-14)


def test_the_law_of_a_race_of_two_has_a_closed_form() -> None:
    for log_ratio in (0.0, 0.3, 2.0, 20.0, 300.0):
        low = math.exp(-log_ratio) / 2
        np.testing.assert_allclose(race_law(np.array([0.0, -log_ratio])), [1 - low, low], rtol=1e-13)
        np.testing.assert_allclose(race_law(np.array([-log_ratio, 0.0])), [low, 1 - low], rtol=1e-13)


@pytest.mark.parametrize("pool", [2, 3, 4, 5, 8, 13])
def test_the_law_of_a_race_is_that_of_rational_numbers(pool: int) -> None:
    weights = [Fraction(int(weight), 16) for weight in np.random.default_rng(pool).integers(1, 64, size=pool)]
    expected = exact_race(weights)
    assert sum(expected) == 1
    law = race_law(np.log([float(weight) for weight in weights]))
    np.testing.assert_allclose(law, [float(p) for p in expected], rtol=1e-12)


def test_the_law_of_the_race_moves_with_its_weights() -> None:
    generator = np.random.default_rng(0)
    log_weights = generator.normal(scale=2.0, size=(5, 7, 30))
    order = generator.permutation(30)
    law = race_law(log_weights)
    assert law.shape == log_weights.shape
    np.testing.assert_allclose(race_law(log_weights[..., order]), law[..., order], rtol=1e-12)
    np.testing.assert_allclose(race_law(log_weights[2, 3]), law[2, 3], rtol=1e-13)
    np.testing.assert_allclose(race_law(log_weights + 512.0), law, rtol=1e-9)
    assert not np.allclose(race_law(log_weights[..., order]), law)


@pytest.mark.parametrize("pool", [1, 2, 7, 64, 501])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_the_law_of_the_race_sums_to_one_whatever_the_weights(pool: int, scale: float) -> None:
    log_weights = np.random.default_rng(pool).normal(size=(3, pool)) * scale
    law = race_law(log_weights)
    assert (law >= 0.0).all()
    np.testing.assert_allclose(law.sum(axis=-1), 1.0, rtol=1e-11)
    assert np.array_equal(np.argmax(law, axis=-1), np.argmax(log_weights, axis=-1))
    if scale == 0.0:
        np.testing.assert_allclose(law, 1.0 / pool, rtol=1e-11)


def test_what_weighs_nothing_never_wins() -> None:
    np.testing.assert_allclose(race_law(np.array([0.0, -np.inf, 0.0])), [0.5, 0.0, 0.5], rtol=1e-14)
    np.testing.assert_allclose(race_law(np.array([-1e300, 5.0, -800.0])), [0.0, 1.0, 0.0], rtol=1e-14)
    np.testing.assert_allclose(race_law(np.array([1e300, 5.0])), [1.0, 0.0], rtol=1e-14)
