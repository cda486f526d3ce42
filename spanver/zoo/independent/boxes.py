"""The box of parameters, and the minimum of a loss in it."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from spanver.episodic import EpisodicOracle
from spanver.oracle import Oracle
from spanver.parameter_sets import Ball, Box, Shape
from spanver.values import FloatArray

Function = TypeVar("Function")


def size_in(shape: Shape, theta: FloatArray) -> float:
    """Smallest radius whose ball or box holds a parameter."""
    if shape is Box:
        return math.sqrt(len(theta)) * float(np.abs(theta).max())
    return float(np.linalg.norm(theta))


def in_set_of(oracle: Oracle | EpisodicOracle, in_ball: Function, in_box: Function) -> Function:
    """What works in the set of parameters of an oracle."""
    return in_ball if oracle.shape is Ball else in_box


def box_fit(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Least squares in the box of a radius, shape (d,), by SciPy, in units in which box and features have size 1."""
    scale = float(np.abs(features).max(initial=0.0))
    if scale == 0.0:
        return np.zeros(features.shape[1])
    width = radius / math.sqrt(features.shape[1])
    found = lsq_linear(
        features / scale, targets / (scale * width), (-1.0, 1.0), method="bvls", tol=1e-15,
        max_iter=100 * features.shape[1],
    )  # fmt: skip
    return np.asarray(width * np.clip(found.x, -1.0, 1.0))


def minimise_in_box(loss: Any, start: FloatArray, radius: float) -> FloatArray:
    """Newton's method on the coordinates that are not held at an end, with gradient steps where it does not go down."""
    width = radius / math.sqrt(len(start))
    theta, size = np.clip(start, -width, width), 1.0
    for _ in range(3000):
        gradient, hessian = loss.derivatives(theta)
        free = ~_held(theta, gradient, width)
        slope = float(np.linalg.norm(gradient[free]))
        if slope <= 1e-15 * (1.0 + float(np.linalg.norm(hessian))):
            break
        direction = np.zeros_like(theta)
        values, vectors = np.linalg.eigh(hessian[np.ix_(free, free)])
        values = np.maximum(np.abs(values), 1e-15 * max(1e-300, float(np.abs(values).max())))
        direction[free] = -vectors @ ((vectors.T @ gradient[free]) / values)
        found = _downhill(loss, theta, slope, width, [0.5**halvings * direction for halvings in range(40)])
        if found is None:
            found = _downhill(loss, theta, slope, width, [-size * 0.5**halvings * gradient for halvings in range(60)])
        if found is None:
            break
        theta = found
    return theta


def _held(theta: FloatArray, gradient: FloatArray, width: float) -> NDArray[np.bool_]:
    """Coordinates at an end that the loss pushes them against."""
    return ((theta >= width) & (gradient < 0.0)) | ((theta <= -width) & (gradient > 0.0))


def _downhill(loss: Any, theta: FloatArray, slope: float, width: float, steps: list[FloatArray]) -> FloatArray | None:
    """The first of some steps, cut off at the ends, that goes down, or is level and leaves less of the gradient."""
    value = loss.value(theta)
    for step in steps:
        trial = np.clip(theta + step, -width, width)
        trial_value = loss.value(trial)
        if trial_value < value - 1e-12 * abs(value):
            return trial
        if trial_value <= value + 1e-15 * abs(value):
            gradient = loss.derivatives(trial)[0]
            if float(np.linalg.norm(gradient[~_held(trial, gradient, width)])) < 0.9 * slope:
                return trial
    return None
