"""Each kernel equals a plain independent computation, in every array namespace that is at hand.

The namespaces: NumPy, NumPy arrays that nobody can write to, array-api-strict on a device that is not its default
(nothing but the standard works there, and nothing may leave it), and PyTorch, JAX and CuPy where they are installed.
"""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, dataclass
from decimal import Decimal, localcontext
from functools import partial
from importlib.util import find_spec
from typing import Any

import array_api_compat
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import brentq

from spanver import kernels
from spanver.kernels import SpannerTrace
from spanver.kernels.backends import BACKENDS

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
FREE = 1e-9  # norms this close to nu, relatively, are ties and may fall either way (S1)


# ---------------------------------------------------------------------------------------------------------------------
# Backends.


@dataclass(frozen=True)
class Place:
    """How NumPy data get into a namespace, and how they get out."""

    put: Callable[[NDArray[Any]], Any]
    get: Callable[[Any], NDArray[Any]]

    def same_place(self, result: Any) -> bool:
        """Whether an array is in the namespace, and on the device, where this backend puts its arrays."""
        example = self.put(np.zeros(1))
        namespaces = {array_api_compat.array_namespace(array).__name__ for array in (example, result)}
        return len(namespaces) == 1 and bool(array_api_compat.device(example) == array_api_compat.device(result))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    result = array.copy()
    result.setflags(write=False)
    return result


def in_backend(name: str) -> Place:
    """Arrays of a backend; the test is skipped where it is missing."""
    try:
        put, get = BACKENDS[name].conversions()
    except ImportError:
        pytest.skip(f"needs {BACKENDS[name].needs}")
    return Place(put, get)


PLACES: dict[str, Callable[[], Place]] = {
    "numpy-read-only": lambda: Place(read_only, np.asarray),
    **{name: partial(in_backend, name) for name in BACKENDS},
}


@pytest.fixture(params=[name for name in PLACES if name not in BACKENDS or find_spec(name)])
def backend(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]()


@pytest.mark.parametrize("name", list(PLACES))
def test_backends_hand_back_the_bytes_they_were_given(name: str) -> None:
    """Also the one place where a backend that is missing is skipped, so that it is said once."""
    backend = PLACES[name]()
    data = generator(0).normal(size=(2, 3))
    there = backend.put(data)
    assert backend.same_place(there)
    assert backend.get(there).tobytes() == data.tobytes()


def generator(*purpose: int) -> np.random.Generator:
    return np.random.default_rng([20250311, *purpose])


def random_sigma(rng: np.random.Generator, dimension: int) -> Array:
    vectors = rng.normal(size=(2 * dimension, dimension))
    sigma: Array = 0.5 * np.eye(dimension) + vectors.T @ vectors
    return sigma


def close(ours: Any, expected: Any, tolerance: float) -> None:
    """Relative to the largest value expected, shapes included."""
    ours, expected = np.asarray(ours), np.asarray(expected)
    assert ours.shape == expected.shape
    assert ours.dtype == np.float64
    np.testing.assert_allclose(
        ours, expected, rtol=0.0, atol=tolerance * max(float(np.abs(expected).max(initial=0)), 1e-300)
    )


# ---------------------------------------------------------------------------------------------------------------------
# Every kernel, called once: where its results live, and that it leaves its inputs alone.


def calls() -> dict[str, tuple[Callable[..., Any], tuple[Array, ...]]]:
    rng = generator(1)
    sigma = random_sigma(rng, 3)
    precision = np.linalg.inv(sigma)
    precision = 0.5 * (precision + precision.T)
    features, others, theta = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)), rng.normal(size=3)
    lattice = np.array(list(itertools.product([0.0, 1.0, 2.0], repeat=3)))
    log_base, scores = np.log(rng.dirichlet(np.ones(6), size=4)), rng.normal(size=(4, 6))
    targets = rng.normal(size=7)
    return {
        "elliptic_norms": (kernels.elliptic_norms, (features, sigma)),
        "inverse_factor": (kernels.inverse_factor, (sigma,)),
        "precision_norms": (kernels.precision_norms, (features, precision)),
        "uncertain_mask": (partial(kernels.uncertain_mask, nu=0.7), (features, others, precision)),
        "uncertain_mask-ties": (partial(kernels.uncertain_mask, nu=1.0), (lattice, lattice, np.eye(3))),
        "update_inverse_factor": (kernels.update_inverse_factor, (np.linalg.inv(np.linalg.cholesky(sigma)), theta)),
        "fit": (partial(kernels.fit, radius=9.0), (features, targets)),
        "fit-on-the-sphere": (partial(kernels.fit, radius=0.1), (features, targets)),
        "fit_moments": (partial(kernels.fit_moments, radius=0.1), (sigma, theta)),
        "linear_scores": (kernels.linear_scores, (features, theta)),
        "truncated_scores": (partial(kernels.truncated_scores, nu=0.7), (features, others[0], theta, precision)),
        "log1mexp": (kernels.log1mexp, (-np.abs(scores),)),
        "log_normaliser": (partial(kernels.log_normaliser, beta=0.3), (log_base, scores)),
        "log_softmax": (partial(kernels.log_softmax, beta=0.3), (log_base, scores)),
        "spanner_trace": (partial(kernels.spanner_trace, ridge=1.0, nu=0.4), (rng.normal(size=(8, 5, 3)),)),
        "ridge_regression": (partial(kernels.ridge_regression, ridge=0.5), (features, targets)),
    }


LISTS = {"barycentric_spanner", "covering_list"}  # they return indices, not arrays


def arrays_in(result: Any) -> Iterator[Any]:
    parts: list[Any] = [result]
    if isinstance(result, tuple):
        parts = list(result)
    elif isinstance(result, SpannerTrace):
        parts = [result.accepted, result.norms, result.sigma, result.log_det]
    yield from (part for part in parts if not isinstance(part, float))


def test_every_kernel_is_called_on_every_backend() -> None:
    assert {name.partition("-")[0] for name in calls()} == set(kernels.__all__) - {"SpannerTrace"} - LISTS


def test_lists_are_chosen_alike_on_every_backend(backend: Place) -> None:
    vectors = generator(5).normal(size=(9, 3))
    given = backend.put(vectors)
    assert kernels.barycentric_spanner(given, 1.5) == kernels.barycentric_spanner(vectors, 1.5)
    assert kernels.covering_list(given, 1.0, 0.6) == kernels.covering_list(vectors, 1.0, 0.6)


def test_a_barycentric_spanner_swaps_until_no_coefficient_is_above_the_approximation() -> None:
    for seed in range(200):
        vectors = generator(seed).normal(size=(12, 3))
        chosen = kernels.barycentric_spanner(vectors, 1.05)
        coefficients = np.linalg.solve(vectors[chosen].T, vectors.T)
        assert np.abs(coefficients).max() <= 1.05 * (1 + 1e-12)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_barycentric_spanner_of_a_deficient_set_has_as_many_members_as_its_rank(rank: int) -> None:
    rng = generator(3)
    vectors = rng.normal(size=(6, rank)) @ rng.normal(size=(rank, 3))
    chosen = kernels.barycentric_spanner(vectors, 2.0)
    assert len(chosen) == rank
    coefficients = np.linalg.lstsq(vectors[chosen].T, vectors.T, rcond=None)[0] if rank else np.zeros((0, 6))
    assert np.allclose(vectors[chosen].T @ coefficients, vectors.T)
    assert np.abs(coefficients).max(initial=0.0) <= 2.0 + 1e-9


def test_a_covering_list_leaves_no_norm_above_nu_and_is_no_longer_than_a_spanner_may_be() -> None:
    vectors = generator(4).uniform(-0.5, 0.5, size=(40, 3))
    chosen = kernels.covering_list(vectors, 0.5, 0.4)
    sigma = 0.5 * np.eye(3) + vectors[chosen].T @ vectors[chosen]
    norms = np.sqrt(np.einsum("ij,ij->i", vectors @ np.linalg.inv(sigma), vectors))
    assert norms.max() <= 0.4
    for length in range(len(chosen)):
        shorter = 0.5 * np.eye(3) + vectors[chosen[:length]].T @ vectors[chosen[:length]]
        assert np.einsum("ij,ij->i", vectors @ np.linalg.inv(shorter), vectors).max() > 0.4**2


def test_a_ridge_regression_is_that_of_the_augmented_least_squares_problem() -> None:
    rng = generator(6)
    features, targets = rng.normal(size=(5, 3)), rng.normal(size=5)
    augmented = np.concatenate([features, np.sqrt(0.7) * np.eye(3)])
    expected = np.linalg.lstsq(augmented, np.append(targets, np.zeros(3)), rcond=None)[0]
    assert np.allclose(kernels.ridge_regression(features, targets, 0.7), expected)


@pytest.mark.parametrize("name", list(calls()))
def test_results_stay_where_the_inputs_are_and_equal_those_of_numpy(backend: Place, name: str) -> None:
    function, inputs = calls()[name]
    results = list(arrays_in(function(*(backend.put(array) for array in inputs))))
    assert len(results) >= 1
    assert all(backend.same_place(result) for result in results)
    for result, plain in zip(results, arrays_in(function(*inputs)), strict=True):
        in_numpy = backend.get(result)
        assert in_numpy.dtype == plain.dtype
        np.testing.assert_allclose(in_numpy, plain, rtol=0.0, atol=1e-13 * max(1.0, float(np.abs(plain).max())))


@pytest.mark.parametrize("name", list(calls()))
def test_inputs_are_never_written_to(backend: Place, name: str) -> None:
    function, inputs = calls()[name]
    given = [backend.put(array) for array in inputs]
    function(*given)
    for array, before in zip(given, inputs, strict=True):
        assert backend.get(array).tobytes() == before.tobytes()


# ---------------------------------------------------------------------------------------------------------------------
# Elliptic norms.


def norm_by_inverse(vector: Array, sigma: Array) -> float:
    return math.sqrt(float(vector @ np.linalg.inv(sigma) @ vector))


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


# ---------------------------------------------------------------------------------------------------------------------
# The update of the inverse factor.


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


# ---------------------------------------------------------------------------------------------------------------------
# Uncertain pairs.


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


def symmetric_inverse(sigma: Array) -> Array:
    inverse = np.linalg.inv(sigma)
    return 0.5 * (inverse + inverse.T)


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


# ---------------------------------------------------------------------------------------------------------------------
# Scores.


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


# ---------------------------------------------------------------------------------------------------------------------
# Normaliser and softmax.


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


# ---------------------------------------------------------------------------------------------------------------------
# Least squares on the ball.


def assert_kkt(features: Array, targets: Array, radius: float, theta: Array) -> None:
    """E6, with residuals no larger than the rounding of the products in them."""
    observations, dimension = features.shape
    long_features, long_theta = features.astype(np.longdouble), theta.astype(np.longdouble)
    descent = long_features.T @ (targets.astype(np.longdouble) - long_features @ long_theta)
    norm = float(np.linalg.norm(theta))
    length = float(np.linalg.norm(features))
    size = 8.0 * (observations + dimension) * EPS * length * (length * norm + float(np.linalg.norm(targets)))
    assert theta.shape == (dimension,)
    assert np.isfinite(theta).all()
    assert norm <= radius * (1.0 + 4.0 * (dimension + 1) * EPS)
    mu = 0.0
    if norm >= radius * (1.0 - 1e-9):
        mu = float(long_theta @ descent) / norm**2
        assert mu * norm >= -size
    assert float(np.linalg.norm((descent - mu * long_theta).astype(np.float64))) <= size


def least_squares_data() -> dict[str, tuple[Array, Array]]:
    rng = generator(16)
    thin = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 5))
    collinear = rng.normal(size=(30, 1)) + 1e-8 * rng.normal(size=(30, 3))
    orthogonal = np.linalg.qr(rng.normal(size=(20, 6)))[0]
    return {
        "no data": (np.zeros((0, 3)), np.zeros(0)),
        "zero features": (np.zeros((5, 3)), rng.normal(size=5)),
        "zero targets": (rng.normal(size=(5, 3)), np.zeros(5)),
        "zero targets of rank 2 of 5": (thin, np.zeros(40)),
        "one observation": (rng.normal(size=(1, 4)), rng.normal(size=1)),
        "one dimension": (rng.normal(size=(6, 1)), rng.normal(size=6)),
        "fewer observations than dimensions": (rng.normal(size=(5, 12)), rng.normal(size=5)),
        "one observation, many times": (np.tile(rng.normal(size=(1, 4)), (50, 1)), rng.normal(size=50)),
        "rank 2 of 5": (thin, rng.normal(size=40)),
        "a column of zeros": (rng.normal(size=(9, 3)) * [1.0, 0.0, 1.0], rng.normal(size=9)),
        "collinear to 1e-8": (collinear, rng.normal(size=30)),
        "curvatures from 1 to 1e-10": (orthogonal * 10.0 ** np.arange(0.0, -6.0, -1.0), rng.normal(size=20)),
        "well conditioned": (rng.normal(size=(60, 8)), rng.normal(size=60)),
        "many dimensions": (rng.normal(size=(100, 24)), rng.normal(size=100)),
    }


LEAST_SQUARES = least_squares_data()


@pytest.mark.parametrize("name", list(LEAST_SQUARES))
def test_fit_obeys_the_kkt_conditions(backend: Place, name: str) -> None:
    features, targets = LEAST_SQUARES[name]
    put, get = backend.put, backend.get
    gram, moment = features.T @ features, features.T @ targets
    for radius in (1e-9, 1e-3, 0.1, 1.0, 30.0, 1e9):
        assert_kkt(features, targets, radius, get(kernels.fit(put(features), put(targets), radius)))
        assert_kkt(features, targets, radius, get(kernels.fit_moments(put(gram), put(moment), radius)))


def fit_by_bisection(features: Array, targets: Array, radius: float) -> Array:
    """The multiplier by a bracketing root finder, each theta by an LU solve of the normal equations."""
    gram, moment = features.T @ features, features.T @ targets

    def theta(mu: float) -> Array:
        return np.asarray(np.linalg.solve(gram + mu * np.eye(len(moment)), moment), dtype=np.float64)

    if float(np.linalg.norm(theta(0.0))) <= radius:
        return theta(0.0)
    above = float(np.linalg.norm(moment)) / radius
    return theta(brentq(lambda mu: float(np.linalg.norm(theta(mu))) - radius, 0.0, above, xtol=1e-300, rtol=4 * EPS))


@pytest.mark.parametrize("name", ["one dimension", "well conditioned", "many dimensions"])
def test_fit_agrees_with_a_bracketing_root_finder(backend: Place, name: str) -> None:
    features, targets = LEAST_SQUARES[name]
    unconstrained = float(np.linalg.norm(np.linalg.lstsq(features, targets)[0]))
    for share in (1e-6, 0.01, 0.5, 0.999, 1.0 - 1e-12, 1.0 + 1e-12, 1.001, 1e6):
        radius = share * unconstrained
        theta = backend.get(kernels.fit(backend.put(features), backend.put(targets), radius))
        close(theta, fit_by_bisection(features, targets, radius), 1e-12)


@pytest.mark.parametrize(
    ("observations", "dimension", "rank"), [(1, 3, 1), (2, 3, 2), (5, 16, 5), (50, 5, 2), (20000, 3, 1)]
)
def test_fit_of_rank_deficient_data_is_the_least_minimiser(observations: int, dimension: int, rank: int) -> None:
    errors = []
    for repetition in range(30):
        rng = generator(17, observations, dimension, rank, repetition)
        # Multiples of 2^-22 and 2^-16, so that their products are exact: the rank is what it says.
        left = np.round(rng.normal(size=(observations, rank)) * 2.0**22) / 2.0**22
        right = np.round(rng.normal(size=(rank, dimension)) * 2.0**16) / 2.0**16
        features, targets = left @ right, rng.normal(size=observations)
        theta = kernels.fit(features, targets, 1e6)
        assert_kkt(features, targets, 1e6, theta)
        least = np.linalg.lstsq(features, targets, rcond=1e-9)[0]
        errors.append(float(np.linalg.norm(theta - least) / np.linalg.norm(least)))
    worst, wrong = max(errors), sum(error > 1e-6 for error in errors)
    assert worst <= 1e-6, f"{wrong} of {len(errors)} are not the least"


def assert_fit_scales(backend: Place, feature_exponent: int, target_exponent: int) -> None:
    """Features times `2^e` and targets times `2^f` are the same problem with theta times `2^(f-e)`, exactly."""
    features, targets = LEAST_SQUARES["well conditioned"]
    factor = target_exponent - feature_exponent
    for share in (1e-3, 0.5, 2.0):
        radius = share * float(np.linalg.norm(np.linalg.lstsq(features, targets)[0]))
        scaled = backend.put(np.ldexp(features, feature_exponent)), backend.put(np.ldexp(targets, target_exponent))
        theta = backend.get(kernels.fit(*scaled, radius=math.ldexp(radius, factor)))
        assert_kkt(features, targets, radius, np.ldexp(theta, -factor))


@pytest.mark.parametrize("feature_exponent", [-100, 0, 100])
@pytest.mark.parametrize("target_exponent", [-100, 0, 100])
def test_fit_takes_large_and_small_data(backend: Place, feature_exponent: int, target_exponent: int) -> None:
    assert_fit_scales(backend, feature_exponent, target_exponent)


@pytest.mark.parametrize("feature_exponent", [-300, 0, 300])
@pytest.mark.parametrize("target_exponent", [-300, 0, 300])
def test_fit_takes_all_data_whose_moments_are_numbers(feature_exponent: int, target_exponent: int) -> None:
    assert_fit_scales(PLACES["numpy"](), feature_exponent, target_exponent)


def test_targets_whose_squares_vanish_are_fitted_like_others(backend: Place) -> None:
    features, targets = LEAST_SQUARES["well conditioned"]
    expected = np.linalg.lstsq(features, targets)[0]
    theta = backend.get(kernels.fit(backend.put(features), backend.put(np.ldexp(targets, -600)), 1.0))
    close(np.ldexp(theta, 600), expected, 1e-12)


def test_a_direction_without_moment_stays_at_zero_on_the_sphere(backend: Place) -> None:
    """Of the direction of least curvature too, from which the multiplier starts otherwise."""
    gram, moment = np.diag([1.0, 2.0, 4.0]), np.array([0.0, 2.2, 0.0])
    theta = backend.get(kernels.fit_moments(backend.put(gram), backend.put(moment), 1.0))
    close(theta, np.array([0.0, 1.0, 0.0]), 1e-15)


def test_what_is_rounding_is_measured_against_the_largest_curvature() -> None:
    """Curvatures 8 and `4 r`, where `r` is the rounding of 8 dimensions that `fit_moments` allows for, and zeros."""
    rounding = 1e3 * 8 * EPS
    large, small = np.ones(8), np.array([1.0, -1.0] * 4) / math.sqrt(8.0)
    gram = np.outer(large, large) + 4.0 * rounding * np.outer(small, small)
    moment = large + 0.5 * rounding * small
    theta = kernels.fit_moments(gram, moment, 10.0)
    close(theta, large / 8.0, 1e-9)  # the small direction would have had 1/8 of its own


# ---------------------------------------------------------------------------------------------------------------------
# The spanner scan.


def scan_by_inverses(pairs: Array, ridge: float, nu: float) -> tuple[list[int], Array, Array]:
    sigma = ridge * np.eye(pairs.shape[2])
    accepted, norms = [], np.empty(pairs.shape[:2])
    for prompt, tried in enumerate(pairs):
        norms[prompt] = [norm_by_inverse(vector, sigma) for vector in tried]
        first = next((index for index, norm in enumerate(norms[prompt]) if norm > nu), -1)
        accepted.append(first)
        if first >= 0:
            sigma = sigma + np.outer(tried[first], tried[first])
    return accepted, norms, sigma


@pytest.mark.parametrize(("ridge", "nu"), [(1.0, 0.3), (0.1, 0.8), (2.5, 1.2), (1e-4, 0.5), (1.0, 100.0)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (30, 4, 2), (60, 3, 6), (12, 1, 9)])
def test_the_scan_accepts_what_explicit_inverses_accept(
    backend: Place, shape: tuple[int, int, int], ridge: float, nu: float
) -> None:
    pairs = generator(18, *shape).normal(size=shape)
    accepted, norms, sigma = scan_by_inverses(pairs, ridge, nu)
    assert float(np.abs(norms / nu - 1.0).min()) > FREE  # no ties: the picks are the only right ones
    scan = kernels.spanner_trace(backend.put(pairs), ridge, nu)
    assert backend.get(scan.accepted).tolist() == accepted
    assert backend.get(scan.accepted).dtype == np.int64
    close(backend.get(scan.norms), norms, 1e-11)
    close(backend.get(scan.sigma), sigma, 1e-14)
    assert isinstance(scan.log_det, float)
    assert scan.log_det == pytest.approx(np.linalg.slogdet(sigma)[1], abs=1e-11)


def test_a_scan_cannot_be_written_to_and_equals_itself_alone() -> None:
    one, two = (kernels.spanner_trace(np.ones((2, 1, 2)), 1.0, 0.5) for _ in range(2))
    with pytest.raises(FrozenInstanceError):
        one.log_det = 0.0  # type: ignore[misc]
    assert one == one  # noqa: PLR0124 - arrays cannot be compared by a single truth, so scans are not
    assert one != two
    assert len({one, two}) == 2


def test_the_scan_picks_the_same_pairs_on_every_backend(backend: Place) -> None:
    pairs = np.round(generator(19).normal(size=(300, 6, 8)) * 4.0) / 4.0  # coarse, so that equal vectors come up
    pairs[::7, 2:] = pairs[::7, :1]
    plain = kernels.spanner_trace(pairs, 1.0, 0.35)
    scan = kernels.spanner_trace(backend.put(pairs), 1.0, 0.35)
    picked = backend.get(scan.accepted)
    assert picked.tobytes() == plain.accepted.tobytes()
    assert (picked == -1).any()
    assert len(set(picked.tolist())) >= 4


def test_a_pair_at_exactly_nu_is_not_accepted(backend: Place) -> None:
    pairs = np.array([[[3.0, 4.0], [0.0, 5.0], [6.0, 8.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    scan = kernels.spanner_trace(backend.put(pairs), 4.0, 2.5)
    assert backend.get(scan.accepted).tolist() == [2, -1]
    assert backend.get(scan.norms)[0].tolist() == [2.5, 2.5, 5.0]


@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 0, 2)])
def test_a_scan_of_nothing_accepts_nothing(backend: Place, shape: tuple[int, int, int]) -> None:
    scan = kernels.spanner_trace(backend.put(np.zeros(shape)), 2.0, 0.5)
    assert backend.get(scan.accepted).tolist() == [-1] * shape[0]
    assert backend.get(scan.norms).shape == shape[:2]
    assert backend.get(scan.sigma).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert scan.log_det == pytest.approx(2.0 * math.log(2.0), rel=1e-15)
