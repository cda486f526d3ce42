"""Other ways to the minimum in a ball than those of the independent implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize

from spanver.values import FloatArray
from spanver.zoo.independent.losses import projected, residual_of


def shift_by_brent(sigma: FloatArray, coefficients: FloatArray, radius: float) -> float:
    """Shift of the squared singular values with which the solution has norm `radius`, by Brent's method."""

    def excess(shift: float) -> float:
        return float(np.linalg.norm(sigma * coefficients / (sigma**2 + shift))) - radius

    if excess(0.0) <= 0.0:  # by rounding: the minimum without the ball is on its sphere
        return 0.0
    # Twice the shift at which the norm is below the radius, so that no rounding brings it above.
    largest = 2.0 * float(np.linalg.norm(sigma * coefficients)) / radius
    return float(scipy.optimize.brentq(excess, 0.0, largest, xtol=1e-300, rtol=4 * np.finfo(float).eps))


def programmed_fit(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Least squares in a ball by sequential quadratic programming, in units in which ball and data have size 1."""
    scale = float(np.abs(features).max(initial=0.0))
    size = float(np.abs(targets).max(initial=0.0))
    if scale == 0.0 or size == 0.0:
        return np.zeros(features.shape[1])
    design, values, ball = features / scale, targets / size, radius * scale / size
    # Outside of the row space nothing changes the loss, and the shortest solution is wanted.
    _, singular, rows = np.linalg.svd(design, full_matrices=False)
    rows = rows[singular > 1e-12 * singular[0]]
    design = design @ rows.T
    shortest = np.linalg.lstsq(design, values, rcond=None)[0]
    if np.linalg.norm(shortest) <= ball:
        return np.asarray(rows.T @ shortest * (size / scale))
    # What does not change with the direction is left out: where the ball is small it would hide all that does.
    unit = ball * float(np.linalg.norm(design.T @ values))

    def loss(direction: FloatArray) -> tuple[float, FloatArray]:
        fitted = design @ (ball * direction)
        return float(fitted @ (fitted - 2.0 * values)) / unit, 2.0 * ball / unit * design.T @ (fitted - values)

    inside = {
        "type": "ineq",
        "fun": lambda direction: 1.0 - direction @ direction,
        "jac": lambda direction: -2.0 * direction,
    }
    options = {"ftol": 1e-15, "maxiter": 1000}
    start = projected(shortest / ball, 1.0)
    found = scipy.optimize.minimize(
        loss, start, jac=True, method="SLSQP", constraints=[inside], options=options
    ).x  # fmt: skip
    return np.asarray(rows.T @ (projected(found, 1.0) * ball) * (size / scale))


def accelerated_minimum(loss: Any, start: FloatArray, radius: float) -> FloatArray:
    """Projected gradient steps with Nesterov's momentum, which starts anew where the loss goes up."""
    theta = projected(start, radius)
    ahead, momentum, step = theta, 1.0, 1.0
    gradient, hessian = loss.derivatives(theta)
    scale = 1.0 + float(np.linalg.norm(hessian))
    for _ in range(100_000):
        if residual_of(theta, loss.derivatives(theta)[0], radius)[0] <= 1e-13 * scale:
            break
        value, gradient = loss.value(ahead), loss.derivatives(ahead)[0]
        moved = projected(ahead - step * gradient, radius)
        while loss.value(moved) > value + gradient @ (moved - ahead) + np.sum((moved - ahead) ** 2) / (2 * step) + (
            1e-15 * abs(value)
        ):
            step *= 0.5
            moved = projected(ahead - step * gradient, radius)
        if gradient @ (moved - theta) > 0.0 and momentum > 1.0:
            ahead, momentum = theta, 1.0
            continue
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = moved + (momentum - 1.0) / following * (moved - theta)
        theta, momentum = moved, following
    return theta
