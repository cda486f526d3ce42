"""B1 and B2 against enumeration, each other, and spanners that must not pass; the excess of fits (E6, P1)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import ArrayLike
from own_sets import Diamond
from scipy.optimize import brentq, lsq_linear, minimize

from spanver.errors import ArgumentError
from spanver.guarantees.residuals import (
    _boxed,
    barycentric_coefficient,
    compressed,
    distance_allowed,
    fit_excess,
    logistic_excess,
    swap_factor,
)
from spanver.guarantees.rounding import UNIT
from spanver.kernels import fit
from spanver.learners.losses import logistic_fit
from spanver.parameter_sets import Ball, Box, distance, optimality_gap
from spanver.values import FloatArray

MEASURES = (barycentric_coefficient, swap_factor)
PLANE = [[1.0, 0.0], [0.0, 1.0], [3.0, -1.0], [0.5, 0.5]]


def test_both_measures_are_the_known_number() -> None:
    # (3, -1) = 3 e1 - 1 e2; swapping e1 for it turns the determinant 1 into 3.
    assert barycentric_coefficient(PLANE, [0, 1]) == pytest.approx(3.0)
    assert swap_factor(PLANE, [0, 1]) == pytest.approx(3.0)


def test_a_negative_coefficient_counts_like_a_positive_one() -> None:
    # A signed determinant or coefficient would see at most 1 here.
    vectors = [[1.0, 0.0], [0.0, 1.0], [-5.0, 0.0]]
    assert barycentric_coefficient(vectors, [0, 1]) == pytest.approx(5.0)
    assert swap_factor(vectors, [0, 1]) == pytest.approx(5.0)


def test_the_best_spanner_of_all_has_coefficient_one() -> None:
    vectors = np.random.default_rng(0).normal(size=(7, 3))
    best = max(itertools.combinations(range(7), 3), key=lambda rows: abs(np.linalg.det(vectors[list(rows)])))
    for measure in MEASURES:
        assert measure(vectors, best) == pytest.approx(1.0)


def test_both_agree_with_cramers_rule_on_every_choice() -> None:
    vectors = np.random.default_rng(1).integers(-5, 6, (6, 3)).astype(float)
    compared = 0
    for rows in itertools.combinations(range(6), 3):
        basis = vectors[list(rows)]
        before = abs(np.linalg.det(basis))
        if before < 0.5:  # integer determinants
            assert barycentric_coefficient(vectors, rows) == swap_factor(vectors, rows) == math.inf
            continue
        largest = 0.0
        for place, row in itertools.product(range(3), range(6)):
            swapped = basis.copy()
            swapped[place] = vectors[row]
            largest = max(largest, abs(np.linalg.det(swapped)) / before)
        for measure in MEASURES:
            assert measure(vectors, rows) == pytest.approx(largest, rel=1e-9)
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("chosen", "fault"),
    [
        ([], "nothing"),
        ([0], "too few"),
        ([0, 1, 2], "too many"),
        ([0, 0], "repeated"),
        ([0, 4], "out of range"),
        ([0, -1], "counted from the end"),
        ([0, 3], "dependent"),
        ([2, 0], None),
    ],
)
def test_only_a_basis_out_of_members_has_a_finite_measure(measure, chosen, fault) -> None:  # type: ignore[no-untyped-def]
    vectors = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0]]
    assert (measure(vectors, chosen) == math.inf) == (fault is not None)


def test_no_invalid_spanner_passes_and_no_valid_one_fails() -> None:
    # Validity by exact integer arithmetic: |det| of every swap against twice |det| of the choice.
    def determinant(rows: np.ndarray) -> int:
        (a, b, c), (d, e, f), (g, h, i) = rows.tolist()
        return int(abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)))

    random = np.random.default_rng(2)
    verdicts = {True: 0, False: 0}
    for _ in range(400):
        vectors = random.integers(-3, 4, (6, 3))
        if np.linalg.matrix_rank(vectors) < 3:
            continue
        chosen = random.permutation(6)[:3].tolist()
        basis = vectors[chosen]
        valid = determinant(basis) > 0 and all(
            determinant(np.vstack([basis[:place], vectors[row : row + 1], basis[place + 1 :]]))
            <= 2 * determinant(basis)
            for place, row in itertools.product(range(3), range(6))
        )
        verdicts[valid] += 1
        for measure in MEASURES:
            assert (measure(vectors, chosen) <= 2.0 + 1e-9) == valid
    assert min(verdicts.values()) > 20


def test_the_span_may_be_smaller_than_the_space() -> None:
    plane = np.array(PLANE) @ np.array([[1.0, 2.0, 0.0, -1.0], [0.0, 1.0, 3.0, 1.0]])
    for measure in MEASURES:
        assert measure(plane, [0, 1]) == pytest.approx(3.0)
        assert measure(plane, [0, 1, 2]) == math.inf


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1e150])
def test_scale_changes_nothing(scale: float) -> None:
    for measure in MEASURES:
        assert measure(np.array(PLANE) * scale, [0, 1]) == pytest.approx(3.0)


def test_many_dimensions_overflow_nothing() -> None:
    # The determinants themselves are 1e-480 and 1e-472: no double holds them.
    vectors = np.vstack([np.eye(60) * 1e-8, np.eye(60)[:1]])
    for measure in MEASURES:
        assert measure(vectors, range(60)) == pytest.approx(1e8)


def test_a_set_of_zero_vectors_is_spanned_by_nothing() -> None:
    for measure in MEASURES:
        assert measure(np.zeros((3, 2)), []) == 1.0
        assert measure(np.zeros((3, 2)), [0]) == math.inf


@pytest.mark.parametrize("vectors", [[1.0, 2.0], [[math.nan, 1.0]], [[math.inf, 1.0]]])
def test_what_is_no_finite_matrix_is_refused(vectors: ArrayLike) -> None:
    for measure in MEASURES:
        with pytest.raises(ArgumentError, match=r"vectors is .* (finite|2 dimensions)"):
            measure(vectors, [0])


# Excess of a fit


def test_the_excess_is_that_of_the_objective_over_the_optimum() -> None:
    vectors, targets = np.diag([2.0, 1.0]), np.array([2.0, 1.0])

    def objective(theta: FloatArray) -> float:
        return float(((vectors @ theta - targets) ** 2).sum())

    # On the sphere of radius r: (4 + mu) a = 4, (1 + mu) b = 1; mu = 1 gives (0.8, 0.5).
    best = np.array([0.8, 0.5])
    radius = float(np.linalg.norm(best))
    for theta in (best, np.array([0.5, 0.8]), np.array([0.1, -0.2]), 0.9 * best, -best):
        excess, allowed = fit_excess(vectors, targets, theta, Ball(radius), UNIT)
        assert excess == pytest.approx(objective(theta) - objective(best), abs=1e-14)
        assert (excess <= allowed) == (theta is best)
    for theta in (np.array([1.0, 1.0]), best):  # inside of a larger ball the optimum is (1, 1)
        assert fit_excess(vectors, targets, theta, Ball(2.0), UNIT).excess == pytest.approx(objective(theta), abs=1e-15)


def test_without_data_and_where_rewards_cancel_there_is_nothing_to_exceed() -> None:
    theta = np.array([0.6, 0.8])
    assert fit_excess(np.zeros((0, 2)), np.zeros(0), theta, Ball(1.0), UNIT) == (0.0, 0.0)
    assert fit_excess(np.zeros((0, 6)), np.zeros(0), np.full(6, 0.1), Ball(1.0), 2.0**-8) == (0.0, 0.0)
    assert fit_excess(np.zeros((3, 2)), np.ones(3), theta, Ball(1.0), UNIT).excess == 0.0
    vectors, targets = np.full((2, 1), 0.3), np.array([2.0, -2.0])
    near, far = (fit_excess(vectors, targets, np.array([each]), Ball(1.0), UNIT) for each in (1e-16, 0.1))
    assert near.excess <= near.allowed < far.excess


def in_eight_significant_bits(array: FloatArray) -> FloatArray:
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(mantissa * 2.0**8) / 2.0**8, exponent)


ROUNDED: dict[str, tuple[float, Callable[[FloatArray], FloatArray]]] = {
    "nine digits": (UNIT, lambda theta: np.array([float(f"{each:.8e}") for each in theta])),
    "a hair inside": (UNIT, lambda theta: theta * (1.0 - 1e-9)),
    "a hair outside": (UNIT, lambda theta: theta * (1.0 + 1e-9)),
    "float32": (2.0**-24, lambda theta: theta.astype(np.float32).astype(np.float64)),
    "bfloat16": (2.0**-8, in_eight_significant_bits),
}


def regression(seed: int) -> tuple[FloatArray, FloatArray, float]:
    """A small regression of any rank, on any scale, with ties and zeros."""
    generator = np.random.default_rng(seed)
    rows, columns = generator.integers(1, 7), generator.integers(1, 4)
    vectors = generator.integers(-8, 9, (rows, columns)) / 8.0 * generator.choice([1.0, 1e-6, 1e6])
    return vectors, generator.integers(-8, 9, rows) / 8.0, float(generator.choice([1.0, 0.1, 10.0]))


@pytest.mark.parametrize("way", ROUNDED)
def test_a_fit_that_is_right_to_half_of_its_digits_is_right(way: str) -> None:
    unit, rounded = ROUNDED[way]
    wrong = 0
    for vectors, targets, radius in map(regression, range(200)):
        theta = rounded(fit(vectors, targets, radius))
        assert distance(Ball(radius), theta) <= distance_allowed(radius, unit, len(theta))
        excess, allowed = fit_excess(vectors, targets, theta, Ball(radius), unit)
        assert excess <= allowed
        # Of a fit to one datum less, or with a ridge, or in half of the ball, most are seen in float64.
        others = fit(vectors[1:], targets[1:], radius), fit(vectors, targets, radius / 2)
        wrong += sum(np.greater(*fit_excess(vectors, targets, other, Ball(radius), unit)) for other in others)
    assert wrong > {"float32": 150, "bfloat16": 3}.get(way, 200)


def by_root(vectors: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Fit with the multiplier by SciPy's root finder, at an absolute tolerance."""
    values, basis = np.linalg.eigh(vectors.T @ vectors)
    moments = basis.T @ (vectors.T @ targets)
    seen = np.abs(moments) > 1e-12 * float(np.linalg.norm(moments))

    def theta(multiplier: float) -> FloatArray:
        return basis @ np.where(seen, moments / (np.maximum(values, 0.0) + multiplier), 0.0)

    most = float(np.linalg.norm(moments)) / radius
    if most == 0.0 or float(np.linalg.norm(theta(1e-18 * most))) <= radius:
        return theta(1e-18 * max(most, 1e-300))
    return theta(brentq(lambda each: float(np.linalg.norm(theta(each))) - radius, 1e-18 * most, most, xtol=1e-15))


def by_values(vectors: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Fit by SciPy's sequential programming, which stops when values no longer fall."""
    found = minimize(
        lambda theta: ((vectors @ theta - targets) ** 2).sum(), np.zeros(vectors.shape[1]), method="SLSQP",
        jac=lambda theta: 2.0 * vectors.T @ (vectors @ theta - targets), options={"ftol": 1e-15, "maxiter": 1000},
        constraints=[
            {"type": "ineq", "fun": lambda theta: radius**2 - theta @ theta, "jac": lambda theta: -2.0 * theta}
        ],
    )  # fmt: skip
    return np.asarray(found.x, dtype=np.float64)


@pytest.mark.parametrize("solver", [by_root, by_values])
def test_fits_of_general_solvers_are_right(solver: Callable[[FloatArray, FloatArray, float], FloatArray]) -> None:
    for vectors, targets, radius in map(regression, range(200)):
        scaled = vectors / (float(np.abs(vectors).max()) or 1.0)  # they assume that
        theta = solver(scaled, targets, radius)
        assert distance(Ball(radius), theta) <= distance_allowed(radius, UNIT, len(theta))
        excess, allowed = fit_excess(scaled, targets, theta, Ball(radius), UNIT)
        assert excess <= allowed


def test_compressed_data_have_the_same_excess() -> None:
    generator = np.random.default_rng(7)
    vectors, targets = generator.normal(size=(50, 3)), generator.normal(size=50)
    theta = np.array([0.1, -0.2, 0.3])
    seen = compressed(vectors, targets)
    assert len(seen[0]) == 4
    for radius in (0.05, 0.5, 5.0):
        whole = fit_excess(vectors, targets, theta, Ball(radius), UNIT).excess
        assert fit_excess(*seen, theta, Ball(radius), UNIT, rows=50).excess == pytest.approx(whole, rel=1e-9)


# The box


def boxed(vectors: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Box fit by SciPy, on data whose largest entries are 1."""
    scale, width = float(np.abs(vectors).max()) or 1.0, Box(radius).half_width(vectors.shape[1])
    found = lsq_linear(vectors / scale, targets / (scale * width), (-1.0, 1.0), method="bvls", tol=1e-15, max_iter=500)
    return np.asarray(width * np.clip(found.x, -1.0, 1.0))


def test_the_excess_on_the_box_is_that_of_the_objective_over_the_optimum() -> None:
    vectors, targets = np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([3.0, -1.0])

    def objective(theta: FloatArray) -> float:
        return float(((vectors @ theta - targets) ** 2).sum())

    best, box = np.array([1.0, 0.0]), Box(math.sqrt(2.0))  # without ends (2, -1); at a = 1 the least is at b = 0
    for theta in (best, np.array([1.0, 1.0]), np.array([-1.0, 0.3]), 0.9 * best, np.array([1.0, -1.0])):
        excess, allowed = fit_excess(vectors, targets, theta, box, UNIT)
        assert excess == pytest.approx(objective(theta) - objective(best), abs=1e-14)
        assert (excess <= allowed) == (theta is best)
    inside = np.array([2.0, -1.0])
    for theta in (inside, best):
        excess = fit_excess(vectors, targets, theta, Box(4.0), UNIT).excess
        assert excess == pytest.approx(objective(theta), abs=1e-14)


def test_without_data_there_is_nothing_to_exceed_on_the_box_and_other_sets_are_refused() -> None:
    theta = np.array([0.6, 0.6])
    for vectors in (np.zeros((0, 2)), np.zeros((3, 2))):
        assert fit_excess(vectors, np.ones(len(vectors)), theta, Box(1.0), UNIT).excess == 0.0
    with pytest.raises(ArgumentError, match="a ball or a box"):
        fit_excess(np.eye(2), np.ones(2), theta, Diamond(1.0), UNIT)


@pytest.mark.parametrize("way", ROUNDED)
def test_a_box_fit_that_is_right_to_half_of_its_digits_is_right(way: str) -> None:
    unit, rounded = ROUNDED[way]
    wrong = mistaken = 0
    for vectors, targets, radius in map(regression, range(200)):
        box = Box(radius)
        theta = rounded(boxed(vectors, targets, radius))
        assert distance(box, theta) <= distance_allowed(radius, unit, len(theta))
        excess, allowed = fit_excess(vectors, targets, theta, box, unit)
        assert excess <= allowed
        others = (
            boxed(vectors[1:], targets[1:], radius) if len(vectors) > 1 else theta,
            boxed(vectors, targets, radius / 2),
        )
        wrong += sum(np.greater(*fit_excess(vectors, targets, other, box, unit)) for other in others)
        # The fit on the ball, and the one without ends, moved into the box.
        elsewhere = fit(vectors, targets, radius), np.asarray(np.linalg.lstsq(vectors, targets)[0], np.float64)
        mistaken += sum(np.greater(*fit_excess(vectors, targets, other, box, unit)) for other in elsewhere)
    assert wrong > {"float32": 140, "bfloat16": 1}.get(way, 200)
    assert (mistaken > {"float32": 40}.get(way, 90)) == (way != "bfloat16")  # which is too coarse for them


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_on_the_box_that_fits_are_judged_by_is_certified(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for _ in range(60):
        rows, columns = int(generator.integers(1, 20)), int(generator.integers(1, 13))
        vectors = generator.normal(size=(rows, columns))
        if seed % 4 == 1:
            vectors = np.round(vectors)
        elif seed % 4 == 2:
            vectors = vectors * 10.0 ** generator.uniform(-9, 0, columns)
        elif seed % 4 == 3:
            vectors = vectors[:, :1] + 1e-8 * generator.normal(size=(rows, columns))
        targets = generator.normal(size=rows) * 10.0 ** generator.uniform(-3, 3)
        box = Box(float(10.0 ** generator.uniform(-4, 4)))
        best, side = _boxed(vectors, targets, box.half_width(columns))
        assert np.array_equal(np.abs(best[side != 0.0]), np.full(int((side != 0.0).sum()), box.half_width(columns)))
        exact = vectors.astype(np.longdouble)
        gradient = (2.0 * exact.T @ (exact @ best - targets)).astype(np.float64)
        steepest = float(np.linalg.norm(vectors))
        # Rounding of the gradient, over the sides of the box.
        size = steepest * (steepest * float(np.linalg.norm(best)) + float(np.linalg.norm(targets)))
        allowed = 8.0 * UNIT * (rows + columns) * size * 2.0 * math.sqrt(columns) * box.radius
        assert optimality_gap(box, best, gradient) <= allowed


def test_compressed_data_have_the_same_excess_on_the_box() -> None:
    generator = np.random.default_rng(7)
    vectors, targets = generator.normal(size=(50, 3)), generator.normal(size=50)
    seen = compressed(vectors, targets)
    for radius in (0.05, 0.5, 5.0):
        theta = Box(radius).project(np.array([0.1, -0.2, 0.3]))
        whole = fit_excess(vectors, targets, theta, Box(radius), UNIT).excess
        assert fit_excess(*seen, theta, Box(radius), UNIT, rows=50).excess == pytest.approx(whole, rel=1e-9)


# Logistic loss of labels (P1)


def labels_on(seed: int, *, separable: bool = False) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(12, 3))
    labels = np.sign(vectors @ np.array([1.0, -0.5, 0.25])) if separable else rng.choice([-1.0, 1.0], size=12)
    return vectors, labels


def logistic(theta: FloatArray, vectors: FloatArray, labels: FloatArray) -> float:
    return float(np.logaddexp(0.0, -labels * (vectors @ theta)).sum())


def least_logistic(vectors: FloatArray, labels: FloatArray, radius: float) -> FloatArray:
    """Minimum by sequential quadratic programming, which shares nothing with what is tested."""
    inside = {"type": "ineq", "fun": lambda theta: radius**2 - theta @ theta, "jac": lambda theta: -2.0 * theta}
    found = minimize(
        logistic,
        np.zeros(3),
        (vectors, labels),
        "SLSQP",
        constraints=[inside],
        options={"ftol": 1e-16, "maxiter": 1000},
    ).x
    return np.asarray(found * min(1.0, radius / float(np.linalg.norm(found))))


@pytest.mark.parametrize("radius", [0.2, 30.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_logistic_excess_is_rounding_at_the_minimum_and_bounds_the_excess_elsewhere(
    seed: int, radius: float
) -> None:
    vectors, labels = labels_on(seed)
    best = logistic_fit(vectors, labels, Ball(radius))
    assert logistic(best, vectors, labels) <= logistic(least_logistic(vectors, labels, radius), vectors, labels) + 1e-9
    excess, allowed = logistic_excess(vectors, labels, best, Ball(radius), UNIT)
    assert excess <= allowed < 1e-2
    rng = np.random.default_rng(9)
    for _ in range(20):
        theta = rng.normal(size=3)
        theta *= radius * rng.random() / float(np.linalg.norm(theta))
        excess, _ = logistic_excess(vectors, labels, theta, Ball(radius), UNIT)
        assert excess >= logistic(theta, vectors, labels) - logistic(best, vectors, labels) - 1e-12


def test_separable_labels_have_their_minimum_on_the_sphere_and_inside_it_is_refused() -> None:
    vectors, labels = labels_on(1, separable=True)
    best = logistic_fit(vectors, labels, Ball(8.0))
    assert np.linalg.norm(best) == pytest.approx(8.0)
    assert logistic_excess(vectors, labels, best, Ball(8.0), UNIT).excess < 1e-12
    excess, allowed = logistic_excess(vectors, labels, 0.9 * best, Ball(8.0), UNIT)
    assert excess > 10.0 * allowed


@pytest.mark.parametrize("radius", [0.2, 30.0])
def test_wrong_fits_of_labels_exceed_what_rounding_allows(radius: float) -> None:
    vectors, labels = labels_on(0)
    wrong = {
        "of flipped labels": logistic_fit(vectors, -labels, Ball(radius)),
        "of half of the labels": logistic_fit(vectors[::2], labels[::2], Ball(radius)),
        "of squares": fit(vectors, labels, radius),
        "of doubled margins": logistic_fit(2.0 * vectors, labels, Ball(radius)),
        "of half the radius": logistic_fit(vectors, labels, Ball(0.05)),
    }
    for name, theta in wrong.items():
        excess, allowed = logistic_excess(vectors, labels, theta, Ball(radius), UNIT)
        assert excess > 10.0 * allowed, name


def test_no_labels_allow_every_parameter_and_coarse_arithmetic_says_nothing() -> None:
    assert logistic_excess(np.zeros((0, 2)), np.zeros(0), np.ones(2), Ball(5.0), UNIT) == (0.0, 0.0)
    vectors, labels = labels_on(0)
    assert logistic_excess(vectors, labels, np.zeros(3), Ball(5.0), 2.0**-7).allowed == math.inf


def test_lengths_of_what_was_subtracted_widen_what_is_allowed() -> None:
    vectors, labels = labels_on(0)
    theta, lengths = np.zeros(3), 2.0 + np.linalg.norm(vectors, axis=1)
    narrow = logistic_excess(vectors, labels, theta, Ball(5.0), UNIT)
    wide = logistic_excess(vectors, labels, theta, Ball(5.0), UNIT, lengths=lengths)
    assert wide.excess == narrow.excess
    assert wide.allowed > narrow.allowed
