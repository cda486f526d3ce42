"""The bounds on rounding: right code in any precision stays within them, and code that is wrong by more does not.

Right code is that of `precise_subjects`, with every operation rounded, and what NumPy offers in float64, compared with
60 digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from precise_subjects import Arithmetic, to_bfloat16, to_float32, to_float64
from scipy.linalg import qr
from scipy.special import logsumexp

from spanver.guarantees.rounding import (
    UNIT,
    coefficient_error,
    difference_error,
    gamma,
    half_digits,
    inverse_error,
    kl_divergence_error,
    kl_estimate_error,
    log_coverage_error,
    log_determinant_error,
    log_softmax_error,
    mean_error,
    norm_error,
    pivot_error,
    policy_q_error,
    reach,
    ridge_error,
    score_error,
    sigma_error,
    soft_q_error,
    undecided_scores,
)
from spanver.subjects.reference import subject as reference
from spanver.values import FloatArray
from spanver.zoo.independent.regressions import augmented_ridge, ridge_regression

FORMATS = {"float64": (UNIT, to_float64), "float32": (2.0**-24, to_float32), "bfloat16": (2.0**-8, to_bfloat16)}
IN_EVERY_FORMAT = pytest.mark.parametrize(("unit", "fl"), FORMATS.values(), ids=FORMATS)


def a_table(seed: int) -> tuple[FloatArray, FloatArray, float]:
    """A law in logs with rare and impossible outcomes, scores with constants of any size, and beta."""
    generator = np.random.default_rng(seed)
    size = int(generator.integers(1, 9))
    weights = generator.choice([1.0, 0.25, 1e-3, 1e-12, 1e-300, 0.0], size)
    weights[0] = 1.0
    with np.errstate(divide="ignore"):
        log_base = np.log(weights) - np.log(weights.sum())
    beta = float(generator.choice([1.0, 0.25, 0.01, 1e-4]))
    constant = beta * float(generator.choice([0.0, 1.0, -30.0, 1e4]))
    return log_base, generator.normal(size=size) * float(generator.choice([0.0, 1.0, beta])) + constant, beta


def a_law(seed: int) -> FloatArray:
    generator = np.random.default_rng(seed)
    exponents = generator.normal(size=int(generator.integers(2, 9))) * generator.choice([0.1, 3.0, 30.0])
    return np.asarray(exponents - logsumexp(exponents))


def a_sigma(seed: int) -> tuple[FloatArray, FloatArray, float]:
    """Features of both responses of some pairs, nearly collinear ones too, shape (2, K, d); and a ridge."""
    generator = np.random.default_rng(seed)
    dimension, pairs = int(generator.integers(1, 4)), int(generator.integers(0, 9))
    features = generator.uniform(-1.0, 1.0, (2, pairs, dimension)) / math.sqrt(dimension)
    if generator.random() < 0.5:
        features *= np.where(np.arange(dimension) == 0, 1.0, 1e-6)
    return features[0], features[1], float(generator.choice([1.0, 0.1, 4.0]))


def excesses(cases: list[tuple[Any, Any]]) -> FloatArray:
    """Of every case its error by its bound; none is above 1."""
    ratios = [np.max(np.asarray(off) / np.maximum(bound, 1e-300), initial=0.0) for off, bound in cases]
    assert max(ratios) <= 1.0
    return np.array(ratios)


@IN_EVERY_FORMAT
def test_a_softmax_stays_within_its_bound(unit: float, fl: Callable[[Any], Any]) -> None:
    cases = []
    for log_base, scores, beta in map(a_table, range(200)):
        with localcontext(Context(prec=60)):
            held = zip(log_base[log_base > -np.inf].tolist(), scores[log_base > -np.inf].tolist(), strict=True)
            exponents = [Decimal(b) + Decimal(s) / Decimal(beta) for b, s in held]
            normaliser = sum((each.exp() for each in exponents), Decimal(0)).ln()
            exact = np.array([float(each - normaliser) for each in exponents])
        bound = log_softmax_error(unit, log_base, scores, beta)
        law = Arithmetic(fl).log_softmax(log_base, scores, beta)
        possible = log_base > -np.inf
        cases.append((np.abs(law[possible] - exact), bound[possible]))
        assert abs(np.exp(law).sum() - 1.0) <= mean_error(law, bound)
    assert np.quantile(excesses(cases), 0.9) > 1e-3


def test_the_bound_of_a_softmax_grows_with_a_constant_and_covers_other_ways_to_compute_it() -> None:
    cases = []
    for log_base, scores, beta in map(a_table, range(300)):
        single = log_base.astype(np.float32), scores.astype(np.float32), np.float32(beta)
        exponents = log_base + scores / beta
        exact, bound = exponents - logsumexp(exponents), log_softmax_error(2.0**-24, log_base, scores, beta)
        held = log_base > -np.inf
        shifted = single[0] + (single[1] - single[1].max()) / single[2]
        inverted = single[0] + single[1] * (np.float32(1.0) / single[2])
        for found in (shifted, inverted):
            law = found - np.logaddexp.reduce(found[::-1])
            assert law.dtype == np.float32
            cases.append((np.abs(law[held] - exact[held]), bound[held]))
    excesses(cases)
    log_base, scores = np.log([0.5, 0.5]), np.array([0.0, 0.5])
    small, large = (log_softmax_error(2.0**-24, log_base, scores + c, 1.0).max() for c in (0.0, 1e4))
    assert 1e-6 < small < 1e-5
    assert 1e-3 < large < 0.1


@IN_EVERY_FORMAT
def test_divergence_and_coverage_stay_within_their_bounds(unit: float, fl: Callable[[Any], Any]) -> None:
    divergences, coverages, seen = [], [], 0
    for seed in range(200):
        law = a_law(seed)
        moved = law + np.random.default_rng(seed).choice([0.0, 1e-17, 1e-9, 1.0]) * np.cos(np.arange(len(law)))
        other = moved - float(logsumexp(moved))
        with localcontext(Context(prec=60)):
            pairs = [(Decimal(p), Decimal(q)) for p, q in zip(law.tolist(), other.tolist(), strict=True)]
            exact = float(sum((p.exp() * (p - q) for p, q in pairs), Decimal(0)))
            ratio = float(max(p - q for p, q in pairs))
        found = Arithmetic(fl).kl_divergence(law, other)
        divergences.append((abs(found - exact), kl_divergence_error(unit, law, other)))
        coverages.append((abs(Arithmetic(fl).log_coverage(law, other) - ratio), log_coverage_error(unit, law, other)))
        seen += abs(float(np.sum(law - other)) - exact) > divergences[-1][1]  # without the outer probability
    excesses(divergences)
    excesses(coverages)
    assert seen > 20


@IN_EVERY_FORMAT
def test_estimates_of_a_divergence_stay_within_their_bound(unit: float, fl: Callable[[Any], Any]) -> None:
    """By either formula; half of the squared log ratio is seen."""
    arithmetic, cases, seen = Arithmetic(fl), [], 0
    for seed in range(200):
        law = np.maximum(a_law(seed), -20.0)
        other = law + np.random.default_rng(seed).choice([0.0, 1e-9, 0.5, 3.0]) * np.cos(np.arange(len(law)))
        law, other = (each - float(logsumexp(each)) for each in (law, other))
        ratios = law - other
        exact, bound = math.fsum(np.exp(law) * ratios), kl_estimate_error(unit, law, other)
        formulas = arithmetic.kl_estimate(law, other), fl(fl(law) - fl(other))
        cases += [(abs(math.fsum(np.exp(law) * estimates) - exact), bound) for estimates in formulas]
        seen += abs(math.fsum(np.exp(law) * ratios**2 / 2) - exact) > bound
    excesses(cases)
    assert seen > 20


def test_a_right_divergence_may_be_below_zero_by_rounding() -> None:
    below = [Arithmetic(to_float64).kl_divergence(law, law + 1e-17) for law in map(a_law, range(300))]
    sums = [float(np.exp(law) @ law - np.exp(law) @ (law + 1e-17)) for law in map(a_law, range(300))]
    bounds = [kl_divergence_error(UNIT, law, law) for law in map(a_law, range(300))]
    assert all(abs(each) <= bound for each, bound in zip(below, bounds, strict=True))
    assert all(abs(each) <= bound for each, bound in zip(sums, bounds, strict=True))
    assert min(sums) < 0.0


def grown_inverse(arithmetic: Arithmetic, one: FloatArray, two: FloatArray, ridge: float) -> FloatArray:
    """Inverse of Sigma by the formula of Sherman and Morrison, each operation rounded."""
    fl = arithmetic.fl
    precision = fl(np.eye(one.shape[1]) / fl(ridge))
    for vector in fl(fl(one) - fl(two)):
        image = arithmetic.product(precision, vector[:, None])[:, 0]
        scale = fl(1.0 + arithmetic.total(fl(vector * image)))
        precision = fl(precision - fl(fl(np.outer(image, image)) / scale))
    return np.asarray(precision)


@IN_EVERY_FORMAT
def test_sigma_its_inverse_and_norms_stay_within_their_bounds(unit: float, fl: Callable[[Any], Any]) -> None:
    arithmetic = Arithmetic(fl)
    sums, inverses, given, vectors, judged = [], [], [], [], 0
    for seed in range(100):
        one, two, ridge = a_sigma(seed)
        pairs, dimension = one.shape
        sigma = ridge * np.eye(dimension) + (one - two).T @ (one - two)
        length = reach(np.concatenate([one, two, np.zeros((1, dimension))]))
        own = fl(fl(one) - fl(two))
        vectors.append((np.abs(own - (one - two)), difference_error(unit, one, two)))
        summed = fl(fl(ridge) * np.eye(dimension))
        for vector in own:
            summed = fl(summed + fl(np.outer(vector, vector)))
        sums.append((np.abs(summed - sigma), sigma_error(unit, ridge, pairs, length)))
        bound = inverse_error(unit, sigma, pairs, length)
        judged += bound < np.inf
        inverse = np.linalg.inv(sigma)
        inverses.append((np.linalg.norm(grown_inverse(arithmetic, one, two, ridge) - inverse, 2), bound))
        columns = [arithmetic.solve(summed, column) for column in np.eye(dimension)]
        inverses.append((np.linalg.norm(np.array(columns) - inverse, 2), bound))
        probes = np.random.default_rng(seed).normal(size=(4, dimension))
        exact = np.sqrt((probes @ inverse * probes).sum(axis=1))
        error = norm_error(unit, exact, sigma, np.linalg.norm(probes, axis=1))
        given.append((np.abs(arithmetic.elliptic_norms(probes, sigma) - exact), error))
    excesses(vectors)
    excesses(sums)
    excesses(inverses)
    assert np.quantile(excesses(given), 0.9) > (1e-4 if unit < 1e-3 else 0.0)
    assert judged > (60 if unit < 1e-3 else 0)


def test_norms_of_no_length_have_no_error_even_where_nothing_else_is_known() -> None:
    sigma = np.diag([1.0, 1e9])
    assert norm_error(2.0**-8, np.zeros(2), sigma, np.array([0.0, 1.0])).tolist() == [0.0, np.inf]


@pytest.mark.parametrize("unit", [UNIT, 2.0**-24])
def test_the_log_determinant_stays_within_its_bound(unit: float) -> None:
    kind: Any = np.float64 if unit == UNIT else np.float32
    cases = []
    for one, two, ridge in map(a_sigma, range(150)):
        vectors = one - two
        sigma = ridge * np.eye(one.shape[1]) + vectors.T @ vectors
        own = one.astype(kind) - two.astype(kind)
        summed = kind(ridge) * np.eye(one.shape[1], dtype=kind) + own.T @ own
        length = reach(np.concatenate([one, two, np.zeros((1, one.shape[1]))]))
        off = abs(float(np.linalg.slogdet(summed.astype(np.float64))[1] - np.linalg.slogdet(sigma)[1]))
        cases.append((off, log_determinant_error(unit, sigma, ridge, len(one), length)))
    excesses(cases)


@IN_EVERY_FORMAT
def test_truncated_scores_stay_within_their_bounds_or_are_undecided(unit: float, fl: Callable[[Any], Any]) -> None:
    cases, decided = [], 0
    for seed in range(100):
        one, two, ridge = a_sigma(seed)
        features = np.concatenate([one, two, np.zeros((2, one.shape[1]))])
        theta = np.asarray(np.random.default_rng(seed).normal(size=one.shape[1]), dtype=np.float64)
        precision = np.linalg.inv(ridge * np.eye(len(theta)) + features.T @ features)
        relative = features - features[-1]
        squares = ((relative @ precision) * relative).sum(axis=1)
        nu = float(np.sqrt(squares.max())) or 1.0  # a tie
        found = Arithmetic(fl).truncated_scores(features, features[-1], theta, precision, nu)
        free = undecided_scores(unit, features, features[-1], precision, nu)
        exact = np.where(squares <= nu**2, relative @ theta, 0.0)
        cases.append((np.abs(found - exact)[~free], score_error(unit, features, features[-1], theta)[~free]))
        decided += int(np.count_nonzero(~free))
    excesses(cases)
    assert decided > 200


@IN_EVERY_FORMAT
def test_ridge_regressions_stay_within_their_bound_and_wrong_ones_do_not(unit: float, fl: Callable[[Any], Any]) -> None:
    cases, seen = [], 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        features = generator.uniform(-1.0, 1.0, (int(generator.integers(1, 7)), int(generator.integers(1, 4))))
        targets, ridge = generator.uniform(-1.0, 1.0, len(features)), float(generator.choice([1.0, 0.25, 4.0]))
        normal = features.T @ features + ridge * np.eye(features.shape[1])
        theta = Arithmetic(fl).ridge_regression(features, targets, ridge)
        bound = ridge_error(unit, features, targets, theta, ridge)
        cases.append((np.linalg.norm(normal @ theta - features.T @ targets), bound))
        # Twice the ridge is seen in single precision, and with 8 bits nothing less than another sign.
        other = -theta if unit > 1e-3 else np.linalg.solve(normal + ridge * np.eye(len(theta)), features.T @ targets)
        seen += bool(np.linalg.norm(normal @ other - features.T @ targets) > bound)
    excesses(cases)
    assert seen > (90 if unit < 1e-3 else 0)


def residual_of(features: FloatArray, targets: FloatArray, theta: FloatArray, ridge: float) -> float:
    """Length of the residual of the normal equations, in fractions."""
    rows, own = [[Fraction(float(each)) for each in row] for row in features], [Fraction(float(t)) for t in theta]
    values = [sum(a * b for a, b in zip(row, own, strict=True)) for row in rows]
    off = [value - Fraction(float(y)) for value, y in zip(values, targets, strict=True)]
    parts = [
        float(sum((row[j] * each for row, each in zip(rows, off, strict=True)), Fraction(float(ridge)) * own[j]))
        for j in range(len(own))
    ]
    return math.hypot(*parts)


@pytest.mark.parametrize(("kind", "unit", "power"), [(np.float64, UNIT, 150), (np.float32, 2.0**-24, 15)])
@pytest.mark.parametrize("solve", [augmented_ridge, ridge_regression])
def test_both_ways_to_solve_a_ridge_regression_stay_within_its_bound_on_every_scale(
    solve: Callable[..., FloatArray], kind: Any, unit: float, power: int
) -> None:
    cases = []
    for seed in range(150):
        generator = np.random.default_rng(seed)
        rows, dimension = generator.integers(1, 7), int(generator.integers(1, 4))
        scale = 10.0 ** float(generator.choice([-power, -power // 2, 0, power // 2, power]))
        columns = np.where(np.arange(dimension) == 0, 1.0, generator.choice([1.0, 1e-2]))
        features = (generator.uniform(-1.0, 1.0, (rows, dimension)) * columns * scale).astype(kind)
        targets = (generator.uniform(-1.0, 1.0, rows) * scale).astype(kind)
        ridge = kind(scale * scale * float(generator.choice([1e-4, 1.0, 1e6])))
        theta = solve(features, targets, ridge)
        assert theta.dtype == kind
        v, y, own = (each.astype(np.float64) for each in (features, targets, theta))
        cases.append((residual_of(v, y, own, float(ridge)), ridge_error(unit, v, y, own, float(ridge))))
    assert np.quantile(excesses(cases), 0.9) > 1e-5


def test_where_all_data_are_zero_nothing_is_rounded_in_any_format() -> None:
    nothing, theta = np.zeros((1, 3)), np.zeros(3)
    assert ridge_error(2.0**-8, nothing, np.zeros(1), theta, 1.0) == 0.0
    assert ridge_error(2.0**-8, nothing, np.ones(1), theta, 1.0) == np.inf


def test_a_ridge_regression_by_reflections_knows_small_moments_to_the_scale_of_its_ridge() -> None:
    features, targets = np.array([[1.25e-07]]), np.array([0.125])
    theta = np.linalg.lstsq(np.vstack([features, [[1.0]]]), np.append(targets, 0.0), rcond=None)[0]
    residual, bound = residual_of(features, targets, theta, 1.0), ridge_error(UNIT, features, targets, theta, 1.0)
    assert 1e-18 < residual <= bound < 1e-14


def random_layers(seed: int) -> tuple[tuple[list[FloatArray], list[FloatArray], list[FloatArray]], float]:
    """Base policies, rewards and transitions of three layers, some of them of 0 and of rare events, and beta."""
    generator = np.random.default_rng(seed)
    beta = float(generator.choice([1.0, 0.05, 1e-4]))
    weights = [generator.choice([1.0, 0.25, 1e-12, 0.0], (2**layer, 2)) for layer in range(3)]
    moves = [generator.choice([1.0, 0.25, 1e-12, 0.0], (2**layer, 2, 2 ** (layer + 1))) for layer in range(2)]
    for each in (*weights, *moves):
        each[..., 0] += 1e-3
    with np.errstate(divide="ignore"):
        base = [np.log(each / each.sum(axis=1, keepdims=True)) for each in weights]
    rewards = [generator.uniform(-1.0, 1.0, each.shape) for each in base]
    return (base, rewards, [each / each.sum(axis=2, keepdims=True) for each in moves]), beta


@IN_EVERY_FORMAT
def test_values_of_layers_stay_within_their_bounds(unit: float, fl: Callable[[Any], Any]) -> None:
    cases = []
    for seed in range(60):
        given, beta = random_layers(seed)
        exact = reference.functions["soft_q"](*given, beta)
        bounds = soft_q_error(unit, *given, exact, beta)
        found = Arithmetic(fl).soft_q(*given, beta)
        cases += [(np.abs(a - b), bound) for a, b, bound in zip(found, exact, bounds, strict=True)]
    excesses(cases)


@IN_EVERY_FORMAT
def test_values_of_a_policy_stay_within_their_bounds(unit: float, fl: Callable[[Any], Any]) -> None:
    cases = []
    for seed in range(60):
        generator, (given, beta) = np.random.default_rng([seed, 1]), random_layers(seed)
        laws = [base + generator.normal(size=base.shape) for base in given[0]]
        laws = [law - np.logaddexp.reduce(law, axis=1, keepdims=True) for law in laws]
        exact = reference.functions["policy_q"](laws, *given, beta)
        bounds = policy_q_error(unit, laws, *given, exact, beta)
        found = Arithmetic(fl).policy_q(laws, *given, beta)
        cases += [(np.abs(a - b), bound) for a, b, bound in zip(found, exact, bounds, strict=True)]
    excesses(cases)


@pytest.mark.parametrize("unit", [UNIT, 2.0**-24])
def test_coefficients_and_pivots_stay_within_their_bounds(unit: float) -> None:
    kind: Any = np.float64 if unit == UNIT else np.float32
    coefficients, pivots = [], []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        dimension = int(generator.integers(1, 5))
        vectors = generator.uniform(-1.0, 1.0, (int(generator.integers(dimension, 9)), dimension))
        chosen = list(range(dimension))
        exact = np.linalg.solve(vectors[chosen].T, vectors.T)
        found = np.linalg.solve(vectors[chosen].T.astype(kind), vectors.T.astype(kind))
        largest = float(np.abs(exact).max())
        off = abs(float(np.abs(found).max()) - largest)
        coefficients.append((off, coefficient_error(unit, vectors, chosen, largest)))
        diagonal = np.abs(np.diagonal(qr(vectors.T.astype(kind), mode="r", pivoting=True)[0]))
        pivots.append((max(0.0, float(np.diff(diagonal).max(initial=0.0))), pivot_error(unit, vectors)))
    excesses(coefficients)
    excesses(pivots)
    assert coefficient_error(UNIT, np.zeros((2, 2)), [], 2.0) == 0.0


def test_gamma_adds_the_rounding_of_the_check_and_half_of_the_digits_is_its_root() -> None:
    assert gamma(1, 0.0) == pytest.approx(UNIT)
    assert gamma(100, 2.0**-8) == pytest.approx(100 / 156)
    assert gamma(256, 2.0**-8) == np.inf
    assert 5e-8 < half_digits(UNIT, 1) < 1e-7
    assert half_digits(1.0, 1) == np.inf
