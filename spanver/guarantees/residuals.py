"""What is measured of a result: how far a fit is from optimality (E6), and a set from being spanned (B1, B2).

`barycentric_coefficient` writes every vector as a combination of the chosen ones and returns the largest coefficient
(B1). `swap_factor` replaces each chosen vector by each vector of the set and compares determinants (B2). By Cramer's
rule the two agree; the set is spanned with constant `C` when they are at most `C`. What is no basis made of members
(too few, too many, repeated, out of range, dependent) measures infinity, never a number.

The rank of a set is the number of singular values above `max(n, d) * eps * s_max` (`eps` of float64); the same
threshold decides whether chosen vectors are dependent. Near that threshold the verdict rests on rounding: judge sets
whose singular values lie well above it or at 0.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spanver.validation import ROUNDING, to_array
from spanver.values import FloatArray

UNIT = float(np.finfo(np.float64).eps) / 2
"""Unit roundoff of float64."""


def accumulated(roundings: float) -> float:
    """Return the largest relative error of a number that went through `n` roundings, `n u/(1 - n u)` (Higham 2002).

    Infinity from `1/u` roundings on, where nothing is known.
    """
    share = roundings * UNIT
    return share / (1.0 - share) if share < 1.0 else math.inf


def barycentric_coefficient(vectors: ArrayLike, chosen: Sequence[int]) -> float:
    """Return the largest absolute coefficient that writing the set in the chosen vectors takes (B1).

    [Awerbuch & Kleinberg 2008].

    Parameters
    ----------
    vectors : (n, d) array
        The set.
    chosen : sequence of int
        Indices of its members that should span it.

    Returns
    -------
    float
        At least 1 (a chosen vector has coefficient 1); infinity where the chosen are not a basis of the span out of
        the set; 1 where the span is `{0}` and nothing is chosen.

    Raises
    ------
    ArgumentError
        If `vectors` is not a finite matrix.

    Examples
    --------
    >>> round(barycentric_coefficient([[1.0, 0.0], [0.0, 1.0], [3.0, -1.0]], [0, 1]), 12)
    3.0
    >>> barycentric_coefficient([[1.0, 0.0], [0.0, 1.0], [3.0, -1.0]], [0])
    inf
    """
    split = _coordinates(vectors, chosen)
    if split is None:
        return math.inf
    coordinates, basis = split
    coefficients = np.linalg.solve(basis.T, coordinates.T)
    return max(1.0, float(np.max(np.abs(coefficients), initial=0.0)))


def swap_factor(vectors: ArrayLike, chosen: Sequence[int]) -> float:
    """Return the largest factor by which one swap raises the absolute determinant of the chosen vectors (B2).

    [Awerbuch & Kleinberg 2008]. Determinants are `r x r`, in an orthonormal basis of the span, as logarithms.

    Parameters
    ----------
    vectors : (n, d) array
        The set.
    chosen : sequence of int
        Indices of its members that should span it.

    Returns
    -------
    float
        At least 1; infinity where the chosen are not a basis of the span out of the set.

    Raises
    ------
    ArgumentError
        If `vectors` is not a finite matrix.

    Examples
    --------
    >>> round(swap_factor([[1.0, 0.0], [0.0, 1.0], [3.0, -1.0]], [0, 1]), 12)
    3.0
    """
    split = _coordinates(vectors, chosen)
    if split is None:
        return math.inf
    coordinates, basis = split
    before = np.linalg.slogdet(basis)[1]
    largest = 0.0
    for place in range(len(basis)):
        swapped = np.repeat(basis[None], len(coordinates), axis=0)
        swapped[:, place] = coordinates
        largest = max(largest, float(np.max(np.linalg.slogdet(swapped)[1] - before)))
    try:
        return math.exp(largest)
    except OverflowError:
        return math.inf


def spanned_rank(vectors: ArrayLike) -> int:
    """Return the rank of a set, as B1 and B2 take it: the number of members that a spanner of it has."""
    matrix = np.asarray(vectors, dtype=np.float64)
    scales: NDArray[np.float64] = np.linalg.svd(
        matrix / (float(np.max(np.abs(matrix), initial=0.0)) or 1.0), compute_uv=False
    ).astype(np.float64)
    return int(np.count_nonzero(scales > _threshold(matrix, scales)))


def _threshold(matrix: NDArray[np.float64], scales: NDArray[np.float64]) -> float:
    """Singular values up to this one are rounding."""
    return max(matrix.shape) * float(np.finfo(np.float64).eps) * float(np.max(scales, initial=0.0))


def _coordinates(vectors: ArrayLike, chosen: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Coordinates `(n, r)` of the set in an orthonormal basis of its span, and those of the chosen; `None` if no basis.

    Scaled so that the longest direction is 1: neither coefficients nor factors depend on scale.
    """
    matrix = to_array("vectors", vectors, (None, None))
    largest = float(np.max(np.abs(matrix), initial=0.0))
    if largest > 0.0:
        matrix = matrix / largest
    left, scales, _ = np.linalg.svd(matrix, full_matrices=False)
    threshold = _threshold(matrix, scales)
    rank = int(np.count_nonzero(scales > threshold))
    indices = [operator.index(index) for index in chosen]
    if len(indices) != rank or len(set(indices)) != rank or not all(0 <= index < len(matrix) for index in indices):
        return None
    coordinates = left[:, :rank] * scales[:rank]
    basis = coordinates[indices]
    if rank and np.linalg.svd(basis, compute_uv=False)[-1] <= threshold:
        return None
    return coordinates, basis


def least_divergence(law: FloatArray, reference: FloatArray) -> float:
    """Return the least number that is a right `KL(law || reference)` of two laws in logs, each of shape (n,) (I2).

    The divergence of two laws is not negative, but these are rounded: their masses `P` and `Q` are only near 1. By the
    log-sum inequality `sum p log(p/q) >= P log(P/Q)`. Computed in float64, of unit roundoff `u`, as a sum of `n`
    products of exponentials with differences of logarithms or with the logarithm of a quotient, it is off by at most
    `(n + 8) u / (1 - (n + 8) u) sum p (1 + abs(log p) + abs(log q))`.

    Examples
    --------
    >>> -1e-14 < least_divergence(np.log([0.3, 0.7]), np.log([0.3, 0.7])) <= 0.0
    True
    """
    held = law > -np.inf
    masses = np.exp(law[held])
    mass, other = math.fsum(masses), math.fsum(np.exp(reference[held]))
    size = math.fsum(masses * (1.0 + np.abs(law[held]) + np.abs(reference[held])))
    exact = mass * math.log(mass / other) if other > 0.0 else 0.0
    return min(0.0, exact) - accumulated(len(masses) + 8) * size


def growth(vectors: FloatArray, ridge: float) -> tuple[FloatArray, FloatArray]:
    """Norms of accepted vectors, each under the `Sigma` before it, and what each added to `log det Sigma` (S1, S3).

    Every norm is that of a solve with the running sum `Sigma`, and shares no code with the factor that a learner
    updates.

    Parameters
    ----------
    vectors : array, shape (K, d)
    ridge : float

    Returns
    -------
    tuple of two arrays, shape (K,)

    Examples
    --------
    >>> norms, gains = growth(np.array([[1.0, 0.0], [1.0, 0.0]]), 1.0)
    >>> norms.round(3).tolist(), np.exp(gains.sum()).round(12)
    ([1.0, 0.707], np.float64(3.0))
    """
    squares = np.empty(len(vectors))
    sigma = ridge * np.eye(vectors.shape[1])
    for index, vector in enumerate(vectors):
        squares[index] = vector @ np.linalg.solve(sigma, vector)
        sigma += np.outer(vector, vector)
    return np.sqrt(squares), np.log1p(squares)


def fit_residual(vectors: FloatArray, targets: FloatArray, theta: FloatArray, radius: float) -> float:
    """Return the `kkt_residual` of a fit to data `vectors`, shape (n, d), with `targets`, shape (n,)."""
    size = moment_size(vectors, targets)
    return kkt_residual(vectors.T @ vectors, vectors.T @ targets, theta, radius, size)


def moment_size(vectors: FloatArray, targets: FloatArray) -> float:
    """Return `sum |v| |y|`, what rounding errors of the moment `sum v y` are relative to."""
    return float(np.linalg.norm(vectors, axis=1) @ np.abs(targets))


def kkt_residual(
    gram: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    moment: np.ndarray[tuple[int], np.dtype[np.float64]],
    theta: np.ndarray[tuple[int], np.dtype[np.float64]],
    radius: float,
    size: float,
) -> float:
    """How far `theta` is from the KKT conditions of least squares on the ball (E6), relative to the data's scale.

    Parameters
    ----------
    gram : array, shape (d, d)
        `sum v v^T`.
    moment : array, shape (d,)
        `sum v y`.
    theta : array, shape (d,)
    radius : float
    size : float
        `moment_size` of the data. Where rewards cancel, the moment is rounding and no scale of anything.

    Returns
    -------
    float
        0 for a solution, up to rounding.
    """
    norm = float(np.linalg.norm(theta))
    outside = max(0.0, norm / radius - 1.0)
    scale = float(np.linalg.norm(gram, 2)) * norm + size
    if scale == 0.0:
        return outside
    gradient = gram @ theta - moment
    # The multiplier that fits best; it may be positive only on the sphere.
    multiplier = max(0.0, -float(gradient @ theta) / norm**2) if norm >= radius * (1 - ROUNDING) else 0.0
    return max(outside, float(np.linalg.norm(gradient + multiplier * theta)) / scale)
