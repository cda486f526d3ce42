"""Least squares on the ball `||theta|| <= B` (A2, phase 2; E6), also for rank-deficient data.

The solution of `(A + mu I) theta = b`, `mu >= 0`, `mu (||theta|| - B) = 0`, with `A = sum v v^T` and `b = sum v y`, in
the eigenbasis of `A`. The multiplier solves the secular equation `1/||theta(mu)|| = 1/B`, whose left side is concave
and nearly linear in `mu`, so Newton's method from the left never overshoots and ends in a few steps.
"""

from __future__ import annotations

import math
from typing import Any

from spanver.kernels.plain.namespace import array_namespace

Array = Any  # an array of any namespace; shapes stand in the docstrings

_NEWTON_STEPS = 100  # far beyond what convergence takes
_NORM_TOLERANCE = 1e-15  # of the radius: nearer to the sphere, steps are rounding
_ROUNDING = 1e3  # times d eps: the size of eigenvalues and moments of directions outside the data


def fit(features: Array, targets: Array, radius: float) -> Array:
    """Minimise `sum_i (<theta, v_i> - y_i)^2` over `||theta|| <= radius`.

    Parameters
    ----------
    features : array, shape (n, d)
        Rows `v_i`; any finite numbers, any rank.
    targets : array, shape (n,)
    radius : float
        Above 0.

    Returns
    -------
    array, shape (d,)
        Where several minimise, the one of least norm (up to rounding).

    Examples
    --------
    >>> import numpy as np
    >>> fit(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]), radius=5.0)
    array([2.])
    >>> fit(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]), radius=0.5)
    array([0.5])
    """
    xp = array_namespace(features, targets)
    return fit_moments(xp.matrix_transpose(features) @ features, xp.matrix_transpose(features) @ targets, radius)


def fit_moments(gram: Array, moment: Array, radius: float) -> Array:
    """`fit` from the sufficient statistics, which a learner can keep up to date in `O(d^2)` a round.

    Parameters
    ----------
    gram : array, shape (d, d)
        `A = sum v v^T`.
    moment : array, shape (d,)
        `b = sum v y`.
    radius : float
        Above 0.

    Returns
    -------
    array, shape (d,)
    """
    xp = array_namespace(gram, moment)
    # In units of the radius, and of the larger of both moments, everything is at most about 1: nothing overflows.
    scale = max(float(xp.max(xp.abs(gram))), float(xp.max(xp.abs(moment))) / radius)
    if scale == 0.0:
        return xp.zeros_like(moment)
    eigenvalues, vectors = xp.linalg.eigh(gram / scale)
    eigenvalues = xp.maximum(eigenvalues, xp.zeros_like(eigenvalues))
    coefficients = xp.matrix_transpose(vectors) @ (moment / scale / radius)
    rounding = _ROUNDING * gram.shape[0] * float(xp.finfo(gram.dtype).eps)
    # A direction is outside the data when both its curvature and its moment are rounding: there theta is 0.
    absent = (eigenvalues <= rounding * xp.max(eigenvalues)) & (
        xp.abs(coefficients) <= rounding * xp.linalg.vector_norm(coefficients)
    )
    coefficients = xp.where(absent, xp.zeros_like(coefficients), coefficients)
    curvature = xp.where(absent, xp.ones_like(eigenvalues), eigenvalues)

    mu = 0.0
    smallest = float(xp.min(curvature))
    if smallest == 0.0 or float(xp.linalg.vector_norm(coefficients / curvature)) > 1.0:
        # ||theta(mu)|| >= ||c||/(largest + mu), and >= |c_i|/(smallest + mu) there: the root is not left of this start.
        steepest = float(xp.max(xp.where(curvature == smallest, xp.abs(coefficients), xp.zeros_like(coefficients))))
        mu = max(
            float(xp.linalg.vector_norm(coefficients)) - float(xp.max(curvature)),
            steepest * (1.0 - 1e-12) - smallest,
            0.0,
        )
        squares = coefficients * coefficients
        for _ in range(_NEWTON_STEPS):
            shifted = curvature + mu
            terms = squares / (shifted * shifted)
            square_norm = float(xp.sum(terms))
            norm = math.sqrt(square_norm)
            step = (norm - 1.0) * square_norm / float(xp.sum(terms / shifted))
            if norm <= 1.0 + _NORM_TOLERANCE or mu + step == mu:
                break
            mu += step
    return radius * (vectors @ (coefficients / (curvature + mu)))


def ridge_regression(features: Array, targets: Array, ridge: float) -> Array:
    """Minimise `sum (<theta, v_i> - y_i)^2 + ridge ||theta||^2` (E7).

    Parameters
    ----------
    features : array, shape (n, d)
    targets : array, shape (n,)
    ridge : float
        Above 0.

    Returns
    -------
    array, shape (d,)
    """
    xp = array_namespace(features, targets)
    columns = xp.matrix_transpose(features)
    identity = xp.eye(features.shape[1], dtype=features.dtype, device=features.device)
    return xp.linalg.solve(columns @ features + ridge * identity, (columns @ targets)[:, None])[:, 0]
