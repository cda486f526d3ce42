"""Least squares on a set of parameters (A2, phase 2; E6), from the moments of the data.

On the ball it is `spanver.kernels.fit_moments`, on the box an active-set method, which ends after finitely many steps.
SciPy's `lsq_linear` has one too, but it stops where the sum of squares changes little, and that sum may be large
whatever the parameter is. On any other set projected gradients with momentum end where the certificate does.
"""

from __future__ import annotations

import math

import numpy as np

from spanver.errors import NotConvergedError
from spanver.kernels import fit_moments
from spanver.parameter_sets import Ball, Box, ParameterSet, optimality_gap
from spanver.values import FloatArray

_EPS = float(np.finfo(np.float64).eps)
_ROUNDING = 8.0 * _EPS  # times d: the size of eigenvalues and gradients that are rounding
_EXCHANGES = 100  # times d: far beyond what an active set of d coordinates takes
_STEPS = 100_000  # of projected gradients; their number grows with the root of the condition of the data


def fit_moments_on(gram: FloatArray, moment: FloatArray, parameters: ParameterSet) -> FloatArray:
    """Minimise `sum_i (<theta, v_i> - y_i)^2` over a set of parameters.

    Parameters
    ----------
    gram : array, shape (d, d)
        `A = sum v v^T`.
    moment : array, shape (d,)
        `b = sum v y`.
    parameters : ParameterSet

    Returns
    -------
    array, shape (d,)

    Raises
    ------
    NotConvergedError
        On a set that is neither ball nor box, where its projections do not lead to a minimum.

    Examples
    --------
    >>> fit_moments_on(np.eye(2), np.array([3.0, 0.5]), Box(math.sqrt(2.0)))
    array([1. , 0.5])
    """
    match parameters:
        case Ball():
            theta: FloatArray = fit_moments(gram, moment, parameters.radius)
            return theta
        case Box():
            return _on_box(gram, moment, parameters.half_width(len(moment)))
    return _by_projections(gram, moment, parameters)


def fit_on(features: FloatArray, targets: FloatArray, parameters: ParameterSet) -> FloatArray:
    """Minimise the same over a set of parameters, given the data: features (n, d) of any rank, and targets (n,)."""
    return fit_moments_on(features.T @ features, features.T @ targets, parameters)


def box_fit(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Minimise `sum_i (<theta, v_i> - y_i)^2` over the box `|theta_i| <= radius/sqrt(d)`.

    Parameters
    ----------
    features : array, shape (n, d)
        Rows `v_i`; any finite numbers, any rank.
    targets : array, shape (n,)
    radius : float
        `B`, the norm of the corners; above 0.

    Returns
    -------
    array, shape (d,)

    Examples
    --------
    >>> box_fit(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]), radius=0.5)
    array([0.5])
    """
    return fit_on(features, targets, Box(radius))


def _on_box(gram: FloatArray, moment: FloatArray, width: float) -> FloatArray:
    # In units of the width, and of the larger of both moments, everything is at most about 1: nothing overflows.
    scale = max(float(np.abs(gram).max()), float(np.abs(moment).max()) / width)
    if scale == 0.0:
        return np.zeros_like(moment)
    gram, moment = gram / scale, moment / scale / width
    dimension = len(moment)
    rounding = _ROUNDING * dimension
    theta, side = np.zeros(dimension), np.zeros(dimension)  # side: 0 where free, else the end that theta is held at
    for _ in range(_EXCHANGES * dimension):
        free = side == 0.0
        step = np.zeros(dimension)
        step[free] = _newton_step(gram[np.ix_(free, free)], (gram @ theta - moment)[free], rounding)
        moving = step != 0.0
        ends = np.full(dimension, np.inf)
        ends[moving] = (np.sign(step[moving]) - theta[moving]) / step[moving]
        blocking = int(np.argmin(ends))
        theta = np.clip(theta + min(1.0, float(ends[blocking])) * step, -1.0, 1.0)
        if ends[blocking] < 1.0:
            theta[blocking] = side[blocking] = np.sign(step[blocking])
            continue
        pressure = (gram @ theta - moment) * side  # above 0 where the sum of squares falls into the box
        if pressure.max() <= rounding:
            break
        side[np.argmax(pressure)] = 0.0
    return width * theta


def _newton_step(gram: FloatArray, gradient: FloatArray, rounding: float) -> FloatArray:
    """Step to the minimum; 0 in directions outside of the data, where slope and curvature are rounding."""
    curvature, vectors = np.linalg.eigh(gram)
    slope = vectors.T @ gradient
    absent = (curvature <= rounding) & (np.abs(slope) <= rounding)
    # A slope without curvature leads beyond any end.
    step: FloatArray = -vectors @ (np.where(absent, 0.0, slope) / np.maximum(curvature, rounding / _ROUNDING * _EPS))
    return step


def _by_projections(gram: FloatArray, moment: FloatArray, parameters: ParameterSet) -> FloatArray:
    radius = parameters.radius
    curvature = float(np.linalg.norm(gram, 2))
    theta = ahead = parameters.project(np.zeros_like(moment))
    size = radius * (curvature * radius + float(np.linalg.norm(moment)))
    if curvature == 0.0:
        return parameters.maximiser(moment) if moment.any() else theta
    momentum = 1.0
    for _ in range(_STEPS):
        if optimality_gap(parameters, theta, gram @ theta - moment) <= _ROUNDING * len(moment) * size:
            return theta
        gradient = gram @ ahead - moment
        moved = parameters.project(ahead - gradient / curvature)
        if gradient @ (moved - theta) > 0.0:  # uphill: momentum starts anew
            momentum = 1.0
        following = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = moved + (momentum - 1.0) / following * (moved - theta)
        theta, momentum = moved, following
    raise NotConvergedError(f"{_STEPS} projections on {parameters} did not reach least squares to rounding")
