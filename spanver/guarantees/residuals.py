"""What is measured of a result: how far a fit is from optimality (E6, P1), and a set from being spanned (B1, B2).

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
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from spanver.errors import ArgumentError
from spanver.guarantees.rounding import gamma, half_digits, rounded_by
from spanver.parameter_sets import Ball, Box, ParameterSet, optimality_gap
from spanver.validation import to_array
from spanver.values import FloatArray


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


class Excess(NamedTuple):
    """Excess of a fit's objective over the optimum on a set of parameters, and how much of it is allowed (E6, P1)."""

    excess: float
    allowed: float


def fit_excess(
    vectors: FloatArray,
    targets: FloatArray,
    theta: FloatArray,
    parameters: ParameterSet,
    unit: float,
    *,
    size: tuple[float, float] = (0.0, 0.0),
    rows: int = 0,
) -> Excess:
    """Return by how much `F(theta) = sum (<theta, v> - y)^2` passes its minimum on a set, and what is allowed (E6).

    On the ball, for any multiplier `mu >= 0`, `F(theta)` minus the dual value is, in the singular vectors of the data,
    `sum_i r_i^2/(s_i^2 + mu) + mu (B^2 - ||theta||^2)`, `r = (A + mu I) theta - b`: it is never below the excess, and
    equals it at the multiplier of the optimum. On the box, with `g` the gradient at the optimum, the excess is
    `||V (theta - optimum)||^2 + sum_i |g_i| |theta_i - optimum_i|` over the coordinates that the optimum holds at an
    end. Nothing cancels in either. A `theta` outside of the set is moved to it first; its distance is judged by
    `distance_allowed`.

    Allowed is what a right fit may cost in arithmetic of unit roundoff `u`. A backward stable solution, by normal
    equations too, is the optimum of an objective that is off by `k u S` at every parameter,
    `S = (||V|| ||theta|| + ||y||)^2`, so it costs at most twice that. A parameter that is right to half of its digits,
    `||delta|| <= h B` with `h = half_digits(u, d)`, costs as little to second order. To first order only its distance
    from the sphere, or from the ends, costs something, the last term above, of which `h B ||g||` is allowed, on the
    ball `2 h mu B^2`.

    Parameters
    ----------
    vectors, targets : array, shapes (n, d) and (n,)
        The data, or a triangular factor of theirs, as `compressed` returns it.
    theta : array, shape (d,)
    parameters : ParameterSet
        A `Ball` or a `Box`.
    unit : float
        Unit roundoff of the arithmetic that made the fit.
    size : tuple of two floats, optional
        Norms of what the vectors and the targets are differences of, where these were rounded before.
    rows : int, optional
        Number of data of a compressed set.

    Raises
    ------
    ArgumentError
        If the set is neither.

    Examples
    --------
    >>> excess, allowed = fit_excess(np.eye(2), np.array([3.0, 4.0]), np.array([0.6, 0.8]), Ball(1.0), 2.0**-53)
    >>> excess <= allowed < 1e-6
    True
    """
    theta = parameters.project(theta)
    match parameters:
        case Ball():
            split = _split_on_ball(vectors, targets, theta, parameters.radius)
        case Box():
            split = _split_on_box(vectors, targets, theta, parameters.half_width(len(theta)))
        case _:
            raise ArgumentError("parameters", parameters, "a ball or a box")
    length = max(float(np.linalg.norm(theta)), split.length)
    scale = max(float(np.linalg.norm(vectors)), size[0]) * length + max(float(np.linalg.norm(targets)), size[1])
    steps = 2 * (max(rows, len(vectors)) + 8 * (len(theta) ** 2 + 1))
    slack = min(split.first, half_digits(unit, len(theta)) * parameters.radius * split.slope)
    return Excess(split.second + split.first, slack + rounded_by(steps, unit, scale**2))


def logistic_excess(
    vectors: FloatArray,
    labels: FloatArray,
    theta: FloatArray,
    parameters: ParameterSet,
    unit: float,
    *,
    lengths: FloatArray | None = None,
) -> Excess:
    """Bound the excess of a parameter's logistic loss over the least on a set, with what rounding may cost (P1).

    The loss `f(theta) = sum log(1 + exp(-s <theta, v>))` is convex, so `f - min f` is at most `optimality_gap`, the
    most that its tangent falls on the set: `<grad, theta> + B norm(grad)` on the ball. This is 0 exactly where the KKT
    conditions hold, and has no step at the edge.

    Parameters
    ----------
    vectors : array, shape (n, d)
    labels : array, shape (n,)
        1 where the first response is preferred, else -1.
    theta : array, shape (d,)
    parameters : ParameterSet
    unit : float
        Unit roundoff of the arithmetic that made the fit.
    lengths : array, shape (n,), optional
        Norms of what the vectors are differences of, where these were rounded before.

    Examples
    --------
    >>> excess, allowed = logistic_excess(np.ones((4, 1)), np.array([1, 1, 1, -1]), np.log([3.0]), Ball(5.0), 2.0**-53)
    >>> excess <= allowed < 1e-4
    True
    """
    if len(vectors) == 0:
        return Excess(0.0, 0.0)
    theta, radius = parameters.project(theta), parameters.radius
    signed = vectors * labels[:, None]
    gradient = -(expit(-(signed @ theta)) @ signed)
    slope = float(np.linalg.norm(gradient))
    sizes = np.linalg.norm(vectors, axis=1) if lengths is None else lengths
    curvature = float(sizes @ sizes) / 4.0
    noise = gamma(len(vectors) + 8 * (len(theta) ** 2 + 8), unit) * float(np.sum(1.0 + radius * sizes))
    allowed = stationary_error(slope, curvature, noise, 1.0, radius, half_digits(unit, len(theta)))
    return Excess(optimality_gap(parameters, theta, gradient), allowed)


def stationary_error(
    slope: float, curvature: float, noise: float, steepness: float, radius: float, half: float
) -> float:
    """Return how far a loss may fall on a set, to first order, from a parameter that rounding made (E6, P1).

    It is `h B (norm(grad) + 2 L B) + 2 B (sqrt(2 L N) + N s)`: the parameter is off by half of its digits, and
    gradients are so small that no value of the loss shows them.

    Parameters
    ----------
    slope, curvature, noise, steepness : float
        `norm(grad)`; `L`, a bound on the second derivatives; `N`, the rounding of the loss; and `s`, the largest change
        of a term with the parameter, relative to what is rounded in it.
    radius : float
        `B`, of the set.
    half : float
        `h`, `half_digits`.
    """
    off = half * radius * (slope + 2.0 * curvature * radius)
    return off + 2.0 * radius * (math.sqrt(2.0 * curvature * noise) + noise * steepness)


def distance_allowed(radius: float, unit: float, dimension: int) -> float:
    """Return how far a parameter may be from the set of a radius that is in it to half of its digits (E6)."""
    return radius * half_digits(unit, dimension)


def compressed(vectors: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return at most `d + 1` data with the same objective: the triangular factor of vectors and targets side by side.

    Parameters
    ----------
    vectors, targets : array, shapes (n, d) and (n,)
    """
    triangle = np.asarray(np.linalg.qr(np.column_stack([vectors, targets]), mode="r"))
    return triangle[:, :-1], triangle[:, -1]


class _Split(NamedTuple):
    """An excess, by the orders in which the distance from the optimum enters it; slope and length at the optimum."""

    first: float
    second: float
    slope: float
    length: float


def _split_on_ball(vectors: FloatArray, targets: FloatArray, theta: FloatArray, radius: float) -> _Split:
    left, scales, basis = np.linalg.svd(vectors, full_matrices=False)
    scales = np.where(scales > _threshold(vectors, scales), scales, 0.0)
    moments, own = left.T @ targets, basis @ theta
    best, multiplier = _constrained(scales, moments, radius)
    outside = max(0.0, float(theta @ theta) - float(own @ own))  # of the part of theta that no datum sees
    shifted = scales**2 + multiplier
    gradient = shifted * own - scales * moments
    seen = np.divide(gradient**2, shifted, out=np.zeros_like(shifted), where=shifted > 0.0)
    inside = multiplier * max(0.0, radius**2 - float(theta @ theta))
    second = float(seen.sum()) + multiplier * outside
    return _Split(inside, second, 2.0 * multiplier * radius, float(np.linalg.norm(best)))


def _split_on_box(vectors: FloatArray, targets: FloatArray, theta: FloatArray, width: float) -> _Split:
    best, side = _boxed(vectors, targets, width)
    gradient = 2.0 * vectors.T @ (vectors @ best - targets)
    pressure = np.maximum(0.0, -side * gradient)  # of free coordinates the gradient is rounding
    second = float(np.linalg.norm(vectors @ (theta - best))) ** 2
    return _Split(
        float(pressure @ (width - side * theta)), second, float(np.linalg.norm(pressure)), float(np.linalg.norm(best))
    )


def _boxed(vectors: FloatArray, targets: FloatArray, width: float) -> tuple[FloatArray, FloatArray]:
    """Minimum of least squares on a box, and the end, -1 or 1, that holds each coordinate, 0 where it is free.

    An active-set method: of the minima on faces each is below the one before, so that none comes twice.
    """
    dimension = vectors.shape[1]
    best, side = np.zeros(dimension), np.zeros(dimension)
    steepest = float(np.linalg.norm(vectors))
    for _ in range(100 * dimension):
        free = side == 0.0
        residual = targets - vectors @ best
        step = np.zeros(dimension)
        step[free] = np.linalg.lstsq(vectors[:, free], residual, rcond=None)[0]
        room = np.where(step == 0.0, np.inf, width - np.sign(step) * best)
        shares = np.divide(room, np.abs(step), out=np.full(dimension, np.inf), where=step != 0.0)
        blocking = int(np.argmin(shares))
        best = np.clip(best + min(1.0, float(shares[blocking])) * step, -width, width)
        if shares[blocking] < 1.0:
            side[blocking] = np.sign(step[blocking])
            best[blocking] = side[blocking] * width
            continue
        inward = side * (vectors.T @ (vectors @ best - targets))
        size = steepest * (steepest * float(np.linalg.norm(best)) + float(np.linalg.norm(targets)))
        if inward.max() <= 2.0 * sum(vectors.shape) * float(np.finfo(np.float64).eps) * size:
            break
        side[np.argmax(inward)] = 0.0
    return best, side


def _constrained(scales: FloatArray, moments: FloatArray, radius: float) -> tuple[FloatArray, float]:
    """Minimum of least squares on the ball in singular vectors, of least norm, and its multiplier.

    The inverse of the norm is concave in the multiplier, so Newton's method from the left never overshoots.
    """
    products = scales * moments
    multiplier = max(0.0, float(np.max(np.abs(products) / radius - scales**2, initial=0.0)))
    best = np.zeros_like(products)
    for _ in range(100):
        shifted = scales**2 + multiplier
        np.divide(products, shifted, out=best, where=shifted > 0.0)
        norm = float(np.linalg.norm(best))
        if norm <= radius:
            break
        slope = float(np.sum(np.divide(best**2, shifted, out=np.zeros_like(best), where=shifted > 0.0)))
        following = multiplier + (norm / radius - 1.0) * norm**2 / slope
        if following == multiplier:
            break
        multiplier = following
    return best, multiplier
