"""Scores, softmax and normalisers against decimals, without overflow."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from kernel_cases import EPS, Array, Place, close, generator, norm_by_inverse, random_sigma, symmetric_inverse

from spanver import kernels


def test_linear_scores_are_inner_products(backend: Place) -> None:
    rng = generator(13)
    features, theta = rng.normal(size=(4, 6, 5)), rng.normal(size=5)
    expected = np.empty((4, 6))
    for position in np.ndindex(4, 6):
        expected[position] = math.fsum(features[position] * theta)
    close(backend.get(kernels.linear_scores(backend.put(features), backend.put(theta))), expected, 1e-14)


def test_truncated_scores_keep_what_is_covered_and_are_zero_elsewhere(backend: Place) -> None:
    rng = generator(14)
    features, anchor, theta = rng.normal(size=(40, 3)), rng.normal(size=3), rng.normal(size=3)
    sigma = random_sigma(rng, 3)
    norms = [norm_by_inverse(row - anchor, sigma) for row in features]
    nu = float(np.median(norms))  # halfway between two of them
    expected = np.zeros(40)
    for row, norm in enumerate(norms):
        if norm <= nu:
            expected[row] = math.fsum(theta * (features[row] - anchor))
    assert np.count_nonzero(expected) == 20
    put = backend.put
    ours = kernels.truncated_scores(put(features), put(anchor), put(theta), put(symmetric_inverse(sigma)), nu)
    close(backend.get(ours), expected, 1e-14)
    assert np.array_equal(backend.get(ours) == 0.0, expected == 0.0)


def test_a_response_at_exactly_nu_keeps_its_score(backend: Place) -> None:
    features = np.array([[3.0, 4.0], [3.0, 4.0 + 1e-12], [0.0, 0.0], [0.0, 5.0], [5.1, 0.0]])
    put = backend.put
    scores = kernels.truncated_scores(put(features), put(np.zeros(2)), put(np.array([1.0, 2.0])), put(np.eye(2)), 5.0)
    assert backend.get(scores).tolist() == [11.0, 0.0, 0.0, 10.0, 0.0]


def log_sum_in_decimals(log_base: Array, scores: Array, beta: float) -> Decimal:
    with localcontext() as context:
        context.prec = 50
        terms = [
            (Decimal(float(b)) + Decimal(float(s)) / Decimal(beta)).exp()
            for b, s in zip(log_base, scores, strict=True)
            if b > -math.inf
        ]
        return sum(terms, Decimal(0)).ln()


def test_the_log_of_a_complement_is_exact_near_0_and_far_from_it(backend: Place) -> None:
    exponents = [-1e-300, -1e-17, -0.1, -0.69, -0.7, -5.0, -40.0, -700.0]
    ours = backend.get(kernels.log1mexp(backend.put(np.array([*exponents, -math.inf, 0.0, 1e-17]))))
    with localcontext() as context:
        context.prec = 340
        exact = [float((1 - Decimal(x).exp()).ln()) for x in exponents]
    assert ours.tolist() == pytest.approx([*exact, 0.0, -math.inf, -math.inf], rel=8 * EPS, abs=0.0)


def softmax_rows(scale: float) -> tuple[Array, Array]:
    rng = generator(15, int(scale))
    with np.errstate(divide="ignore"):
        log_base = np.log(rng.dirichlet(np.full(8, 0.3), size=6))
        log_base[1, 2:5] = -np.inf
        log_base[2] = np.log(np.eye(8)[3])  # a point mass
    scores = rng.uniform(-scale, scale, size=(6, 8))
    scores[3] = scale
    scores[4] = -scale
    scores[5, 0] = -scale
    return log_base, scores


@pytest.mark.parametrize("beta", [1.0, 0.25])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e3, 1e6])
def test_softmax_and_normaliser_equal_decimal_arithmetic(backend: Place, scale: float, beta: float) -> None:
    log_base, scores = softmax_rows(scale * beta)
    normaliser = backend.get(kernels.log_normaliser(backend.put(log_base), backend.put(scores), beta))
    law = backend.get(kernels.log_softmax(backend.put(log_base), backend.put(scores), beta))
    assert normaliser.shape == (6,)
    assert law.shape == (6, 8)
    for row in range(6):
        exact = log_sum_in_decimals(log_base[row], scores[row], beta)
        rounding = 8.0 * EPS * (1.0 + scale - float(log_base[row][log_base[row] > -np.inf].min()))
        assert abs(float(Decimal(float(normaliser[row])) - exact)) <= rounding
        for b, s, ours in zip(log_base[row], scores[row], law[row], strict=True):
            if b == -np.inf:
                assert ours == -np.inf
            else:
                expected = Decimal(float(b)) + Decimal(float(s)) / Decimal(beta) - exact
                assert abs(float(Decimal(float(ours)) - expected)) <= rounding
        assert math.fsum(np.exp(law[row])) == pytest.approx(1.0, abs=8 * rounding)


def test_one_row_and_many_batches_give_the_same_normalisers(backend: Place) -> None:
    log_base, scores = softmax_rows(3.0)
    batched = backend.get(
        kernels.log_normaliser(backend.put(log_base.reshape(2, 3, 8)), backend.put(scores.reshape(2, 3, 8)), 0.5)
    )
    rows = [
        float(kernels.log_normaliser(backend.put(b), backend.put(s), 0.5))
        for b, s in zip(log_base, scores, strict=True)
    ]
    close(batched, np.reshape(rows, (2, 3)), 1e-15)
