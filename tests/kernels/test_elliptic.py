"""Norms, masks and updates against inverses, ties included."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from kernel_cases import EPS, FREE, Array, Place, close, generator, norm_by_inverse, random_sigma, symmetric_inverse
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from spanver import kernels


@pytest.mark.parametrize("dimension", [1, 2, 5, 16])
@pytest.mark.parametrize("batch", [(), (1,), (9,), (2, 3)])
def test_elliptic_norms_are_those_of_the_inverse(backend: Place, dimension: int, batch: tuple[int, ...]) -> None:
    rng = generator(2, dimension, *batch)
    sigma, vectors = random_sigma(rng, dimension), rng.normal(size=(*batch, dimension))
    expected = np.empty(batch)
    for position in np.ndindex(*batch):
        expected[position] = norm_by_inverse(vectors[position], sigma)
    precision = np.linalg.inv(sigma)
    close(backend.get(kernels.elliptic_norms(backend.put(vectors), backend.put(sigma))), expected, 1e-13)
    close(backend.get(kernels.precision_norms(backend.put(vectors), backend.put(precision))), expected, 1e-13)


def test_precision_norms_of_a_semidefinite_precision_are_never_the_root_of_a_rounding_below_zero() -> None:
    rng = generator(3)
    negative = zero = 0
    for _ in range(200):
        basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        precision = basis[:, :3] @ np.diag([1.0, 2.0, 3.0]) @ basis[:, :3].T
        vector = basis[:, 3]
        negative += bool(vector @ precision @ vector < 0.0)
        norm = float(kernels.precision_norms(vector, precision))
        assert 0.0 <= norm <= math.sqrt(32.0 * EPS)
        zero += norm == 0.0
    assert negative > 20  # the premise: many squares are rounded to below 0
    assert zero > 20


@pytest.mark.parametrize("dimension", [1, 2, 7, 33])
def test_inverse_factor_is_the_inverse_of_the_cholesky_factor(backend: Place, dimension: int) -> None:
    sigma = random_sigma(generator(4, dimension), dimension)
    factor = backend.get(kernels.inverse_factor(backend.put(sigma)))
    close(factor, solve_triangular(np.linalg.cholesky(sigma), np.eye(dimension), lower=True), 1e-13)
    assert np.array_equal(factor, np.tril(factor))
    close(factor.T @ factor @ sigma, np.eye(dimension), 1e-12)


def spanner_vectors(rng: np.random.Generator, count: int, dimension: int) -> Array:
    """Relative features: most spread out, some almost parallel, some repeated, of lengths from 1e-6 to 2."""
    vectors = rng.normal(size=(count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors *= 2.0 * 10.0 ** rng.uniform(-6.0, 0.0, size=(count, 1)) ** 3
    vectors[1::5] = vectors[0] * rng.choice([-1.0, 1.0], size=(len(vectors[1::5]), 1))
    vectors[2::5] = vectors[0] + 1e-8 * vectors[2::5]
    return vectors


@pytest.mark.parametrize("dimension", range(1, 65))
def test_updates_of_the_inverse_factor_agree_with_refactoring(dimension: int) -> None:
    rng = generator(5, dimension)
    ridge = (1.0, 0.01, 30.0)[dimension % 3]
    sigma, factor = ridge * np.eye(dimension), np.eye(dimension) / math.sqrt(ridge)
    vectors = np.concatenate([spanner_vectors(rng, 150, dimension), rng.normal(size=(150, dimension))])
    log_det = total = float(np.linalg.slogdet(sigma)[1])
    for vector in vectors:
        whitened = solve_triangular(np.linalg.cholesky(sigma), vector, lower=True)
        factor, gain = kernels.update_inverse_factor(factor, vector)
        sigma += np.outer(vector, vector)
        # The references are what is rounded here: by EPS times roots of the condition, or all of it (below 1e5).
        assert isinstance(gain, float)
        assert abs(gain - math.log1p(whitened @ whitened)) <= 1e-12 * (1.0 + gain)
        before, log_det = log_det, float(np.linalg.slogdet(sigma)[1])
        assert abs(gain - (log_det - before)) <= 1e-11 * (1.0 + gain)
        total += gain
    assert abs(total - log_det) <= 1e-11
    assert np.array_equal(factor, np.tril(factor))
    close(factor, solve_triangular(np.linalg.cholesky(sigma), np.eye(dimension), lower=True), 1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 8])
def test_updates_agree_with_refactoring_on_every_backend(backend: Place, dimension: int) -> None:
    rng = generator(6, dimension)
    sigma, factor = np.eye(dimension), backend.put(np.eye(dimension))
    for vector in rng.normal(size=(20, dimension)):
        expected_gain = math.log1p(norm_by_inverse(vector, sigma) ** 2)
        factor, gain = kernels.update_inverse_factor(factor, backend.put(vector))
        sigma += np.outer(vector, vector)
        assert isinstance(gain, float)
        assert gain == pytest.approx(expected_gain, rel=1e-12)
        ours = backend.get(factor)
        assert np.array_equal(ours, np.tril(ours))
        close(ours, solve_triangular(np.linalg.cholesky(sigma), np.eye(dimension), lower=True), 1e-12)


def test_a_zero_vector_leaves_the_inverse_factor_alone(backend: Place) -> None:
    factor = np.linalg.inv(np.linalg.cholesky(random_sigma(generator(7), 4)))
    factor = np.tril(factor)
    updated, gain = kernels.update_inverse_factor(backend.put(factor), backend.put(np.zeros(4)))
    assert gain == 0.0
    assert np.array_equal(backend.get(updated), factor)


def squared_norms(first: Array, second: Array, precision: Array) -> NDArray[np.longdouble]:
    """Of every difference, in the longest floating-point format there is."""
    longer = precision.astype(np.longdouble)
    squares = np.empty((len(first), len(second)), dtype=np.longdouble)
    for row, column in np.ndindex(*squares.shape):
        difference = first[row].astype(np.longdouble) - second[column].astype(np.longdouble)
        squares[row, column] = difference @ longer @ difference
    return squares


def assert_mask(mask: NDArray[Any], first: Array, second: Array, precision: Array, nu: float) -> None:
    """The mask of the definition, but for ties."""
    assert mask.shape == (len(first), len(second))
    assert mask.dtype == np.bool_
    relative = squared_norms(first, second, precision) / np.longdouble(nu) ** 2 - 1.0
    wrong = mask != (relative > 0.0)
    worst = float(np.abs(relative[wrong]).max(initial=0.0))
    assert worst <= 2.0 * FREE, f"{wrong.sum()} pairs are on the wrong side, one at a relative distance of {worst:.1e}"


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 9), (9, 1), (12, 7)])
@pytest.mark.parametrize("dimension", [1, 3, 10])
def test_uncertain_pairs_are_those_whose_norm_exceeds_nu(
    backend: Place, rows: int, columns: int, dimension: int
) -> None:
    rng = generator(8, rows, columns, dimension)
    precision = symmetric_inverse(random_sigma(rng, dimension))
    first, second = rng.normal(size=(rows, dimension)), rng.normal(size=(columns, dimension))
    put = backend.put
    for nu in np.sqrt(squared_norms(first, second, precision)).ravel()[:6].astype(np.float64):
        for factor in (1.0 - 1e-7, 1.0 + 1e-7, 0.5, 2.0):
            mask = kernels.uncertain_mask(put(first), put(second), put(precision), float(nu) * factor)
            assert_mask(backend.get(mask), first, second, precision, float(nu) * factor)


@pytest.mark.parametrize("nu", [1.0, 2.0, 3.0, 5.0])
def test_pairs_at_exactly_nu_are_certain(backend: Place, nu: float) -> None:
    points = np.array(list(itertools.product(range(-3, 4), repeat=2)), dtype=np.float64)
    mask = backend.get(kernels.uncertain_mask(backend.put(points), backend.put(points), backend.put(np.eye(2)), nu))
    whole = points.astype(np.int64)
    squares = ((whole[:, None] - whole[None]) ** 2).sum(axis=-1)
    assert (squares == nu**2).any()
    assert np.array_equal(mask, squares > nu**2)


def test_pairs_at_exactly_nu_are_certain_also_when_only_their_difference_is_exact() -> None:
    points = np.array(list(itertools.product(range(-3, 4), repeat=2)), dtype=np.float64)
    for first, second in itertools.product(points, points):
        squared = float(((first - second) ** 2).sum())
        if squared in {1.0, 4.0, 9.0, 25.0}:
            others = np.array([second, [0.1, 0.2], [0.7, -0.3]])  # their mean rounds
            assert not kernels.uncertain_mask(first[None], others, np.eye(2), math.sqrt(squared))[0, 0]


@pytest.mark.parametrize("scale", [2.0**-20, 1.0, 2.0**20])
def test_pairs_are_certain_also_when_every_one_is_at_exactly_nu(scale: float) -> None:
    circle = [point for point in itertools.product(range(-5, 6), repeat=2) if point[0] ** 2 + point[1] ** 2 == 25]
    precision = scale**2 * np.eye(2)
    for three in itertools.combinations(circle, 3):  # the mean of three rounds
        others = np.array(three, dtype=np.float64)
        assert not kernels.uncertain_mask(np.zeros((1, 2)), others, precision, 5.0 * scale).any()


def test_pairs_in_one_dimension_are_certain_also_when_every_one_is_at_exactly_nu() -> None:
    for nu in map(float, range(1, 50)):
        for others in (np.array([[nu], [nu], [-nu]]), np.array([[-nu], [nu], [-nu]])):  # their mean rounds
            assert not kernels.uncertain_mask(np.zeros((1, 1)), others, np.eye(1), nu).any()


def test_pairs_at_exactly_nu_are_certain_also_where_many_dimensions_add_up_their_rounding() -> None:
    rng = generator(20)
    for _ in range(100):
        others = rng.integers(0, 1001, size=(3, 64)).astype(np.float64)
        others[:, 0] += 32000.0 - others.sum(axis=1)  # the precision below sees the sum alone
        assert not kernels.uncertain_mask(np.zeros((1, 64)), others, np.ones((64, 64)), 32000.0).any()


def test_duplicates_have_equal_rows_and_columns_and_are_certain_with_each_other(backend: Place) -> None:
    rng = generator(9)
    points = rng.normal(size=(6, 4))[[0, 1, 2, 0, 3, 1, 1, 4, 5]]
    precision = symmetric_inverse(random_sigma(rng, 4))
    put = backend.put
    for nu in (1e-12, 0.3, 1.0):
        mask = backend.get(kernels.uncertain_mask(put(points), put(points), put(precision), nu))
        assert_mask(mask, points, points, precision, nu)
        assert np.array_equal(mask, mask.T)
        assert np.array_equal(mask[0], mask[3])
        assert np.array_equal(mask[:, 1], mask[:, 6])
        assert not mask[1, 5]
        assert not mask.diagonal().any()


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e6])
def test_a_large_common_offset_moves_no_pair(backend: Place, offset: float) -> None:
    rng = generator(10)
    # Multiples of 2^-20 keep their differences exactly under the offset.
    first, second = (np.round(rng.normal(size=(n, 3)) * 2.0**20) / 2.0**20 + offset for n in (15, 11))
    precision = symmetric_inverse(random_sigma(rng, 3))
    nearest = np.sort(np.sqrt(squared_norms(first, second, precision)).ravel()).astype(np.float64)
    put = backend.put
    for nu in nearest[::15]:
        for factor in (1.0 - 1e-8, 1.0 + 1e-8):
            mask = kernels.uncertain_mask(put(first), put(second), put(precision), float(nu) * factor)
            assert_mask(backend.get(mask), first, second, precision, float(nu) * factor)


@pytest.mark.parametrize("curvature", [1.0, 1e-2, 1e-4, 1e-6])
def test_a_direction_that_the_spanner_knows_well_moves_no_pair(curvature: float) -> None:
    """`Sigma` of condition up to 1e6, features along its long axis, pairs close together."""
    rng = generator(11)
    axis = np.array([math.cos(0.7), math.sin(0.7)])
    precision = np.eye(2) - (1.0 - curvature) * np.outer(axis, axis)
    first = rng.normal(size=(20, 1)) * axis
    second = first + 1e-2 * rng.normal(size=(20, 1)) * axis
    for nu in np.sqrt(squared_norms(first, second, precision).diagonal()).astype(np.float64):
        for factor in (1.0 - 1e-7, 1.0 + 1e-7):
            mask = kernels.uncertain_mask(first, second, precision, float(nu) * factor)
            assert_mask(mask, first, second, precision, float(nu) * factor)


def test_long_lists_are_taken_in_blocks_without_a_seam() -> None:
    rng = generator(12)
    first = rng.integers(-2, 3, size=(1500, 3)).astype(np.float64)
    second = rng.integers(-2, 3, size=(1100, 3)).astype(np.float64)
    mask = kernels.uncertain_mask(first, second, np.eye(3), 3.0)  # full of ties, so every block is formed
    squares = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=-1)  # small integers: exact
    assert first.shape[0] * second.size > 4 * 2**20
    assert np.array_equal(mask, squares > 9.0)


def test_a_list_that_is_longer_than_a_block_is_taken_row_by_row() -> None:
    rng = generator(22)
    first, second = (rng.integers(-2, 3, size=(rows, 64)).astype(np.float64) for rows in (2, 2**14 + 1))
    squares = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=-1)  # small integers: exact
    assert second.size > 2**20
    mask = kernels.uncertain_mask(first, second, np.eye(64), math.sqrt(squares[0, 0]))
    assert np.array_equal(mask, squares > squares[0, 0])


def test_long_lists_take_the_memory_of_a_block_and_not_of_all_differences() -> None:
    rng = generator(21)
    first, second = (rng.integers(-2, 3, size=(512, 32)).astype(np.float64) for _ in range(2))
    nu = math.sqrt(float(((first[0] - second[0]) ** 2).sum()))  # a tie, so that differences are formed
    tracemalloc.start()
    try:
        kernels.uncertain_mask(first, second, np.eye(32), nu)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 8 * 2**20 < peak < 32 * 2**20  # bytes; all differences alone are 64 MiB
