"""The loss of the baselines (A3), and its minimum in a ball."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from spanver.values import FloatArray
from spanver.zoo.independent.algebra import log_sum_exp, sigmoid

Table: TypeAlias = tuple[FloatArray, FloatArray]
"""Log shares (k,) and features (k, d) of the responses that were counted at a prompt."""


class Loss:
    """Squared or logistic loss, with XPO's optimistic term.

    Parameters
    ----------
    vectors, targets : sequence
        Differences of features, and of rewards, or labels of -1 and 1.
    feedback : str
        `reward` or `preference`.
    alpha, beta : float
        Weight of the optimistic term, and of the KL term.
    bonus : sequence of array, shape (d,)
        Features of the response of each round that optimism makes less likely.
    tables : sequence of Table
        For each round.
    """

    def __init__(
        self,
        vectors: Sequence[FloatArray],
        targets: Sequence[float],
        feedback: str,
        *,
        alpha: float = 0.0,
        beta: float = 1.0,
        bonus: Sequence[FloatArray] = (),
        tables: Sequence[Table] = (),
    ) -> None:
        self._vectors, self._targets, self._logistic = np.array(vectors), np.array(targets), feedback == "preference"
        self._alpha, self._beta = alpha, beta
        self._optimism = list(zip(bonus, tables, strict=True)) if alpha > 0.0 else []

    def value(self, theta: FloatArray) -> float:
        """Loss of a parameter."""
        margins = self._vectors @ theta
        if self._logistic:
            total = np.sum(np.logaddexp(0.0, -self._targets * margins))
        else:
            total = np.sum((margins - self._targets) ** 2)
        for features, (log_shares, listed) in self._optimism:
            partition = log_sum_exp(log_shares + listed @ theta / self._beta)
            total += self._alpha * (features @ theta / self._beta - partition)
        return float(total)

    def derivatives(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient (d,) and Hessian (d, d)."""
        margins = self._vectors @ theta
        if self._logistic:
            chance = sigmoid(-self._targets * margins)
            gradient = self._vectors.T @ (-self._targets * chance)
            hessian = (self._vectors.T * (chance * (1 - chance))) @ self._vectors
        else:
            gradient = 2.0 * self._vectors.T @ (margins - self._targets)
            hessian = 2.0 * self._vectors.T @ self._vectors
        for features, (log_shares, listed) in self._optimism:
            exponents = log_shares + listed @ theta / self._beta
            share = np.exp(exponents - log_sum_exp(exponents))
            mean = share @ listed
            centred = listed - mean
            gradient = gradient + self._alpha * (features - mean) / self._beta
            hessian = hessian - self._alpha * (centred.T * share) @ centred / self._beta**2
        return gradient, hessian


def projected(theta: FloatArray, radius: float) -> FloatArray:
    """Nearest parameter of the ball."""
    norm = float(np.linalg.norm(theta))
    return theta if norm <= radius else theta * (radius / norm)


def residual_of(theta: FloatArray, gradient: FloatArray, radius: float) -> tuple[float, float]:
    """Residual of the conditions of Karush, Kuhn and Tucker, and the multiplier."""
    norm = float(np.linalg.norm(theta))
    push = max(0.0, -float(gradient @ theta) / norm**2) if norm >= radius * (1 - 1e-9) else 0.0
    return float(np.linalg.norm(gradient + push * theta)), push


def minimise_on_ball(loss: Any, start: FloatArray, radius: float) -> FloatArray:
    """Newton's method inside the ball or along its sphere, with gradient steps where it does not go down."""
    theta, step = projected(start, radius), 1.0
    gradient, hessian = loss.derivatives(theta)
    scale = 1.0 + float(np.linalg.norm(hessian))
    for _ in range(3000):
        residual, push = residual_of(theta, gradient, radius)
        if residual <= 1e-13 * scale:
            break
        found = _newton_step(loss, theta, radius, gradient, hessian, push)
        if found is None:
            found, step = _gradient_step(loss, theta, radius, gradient, step)
        if found is None:
            break
        theta = found
        gradient, hessian = loss.derivatives(theta)
    return theta


def _newton_step(
    loss: Any, theta: FloatArray, radius: float, gradient: FloatArray, hessian: FloatArray, push: float
) -> FloatArray | None:
    """A step of Newton's method, along the sphere where the gradient points out of the ball, if it goes down."""
    norm, value = float(np.linalg.norm(theta)), loss.value(theta)
    residual = residual_of(theta, gradient, radius)[0]
    on_sphere = norm >= radius * (1 - 1e-9) and float(gradient @ theta) < 0.0
    basis, curvature = np.eye(len(theta)), hessian
    if on_sphere:
        basis = np.linalg.svd(theta[None] / norm)[2][1:].T
        curvature = hessian + push * np.eye(len(theta))
    if basis.shape[1] == 0:
        return None
    values, vectors = np.linalg.eigh(basis.T @ curvature @ basis)
    values = np.maximum(np.abs(values), 1e-12 * max(1e-300, np.abs(values).max()))
    direction = -basis @ (vectors @ ((vectors.T @ (basis.T @ gradient)) / values))
    for halvings in range(30):
        trial = theta + 0.5**halvings * direction
        trial = trial * (radius / np.linalg.norm(trial)) if on_sphere else projected(trial, radius)
        trial_value = loss.value(trial)
        if trial_value < value:
            return trial
        better = residual_of(trial, loss.derivatives(trial)[0], radius)[0] < residual
        if trial_value <= value + 1e-15 * abs(value) and better:
            return trial
    return None


def _gradient_step(
    loss: Any, theta: FloatArray, radius: float, gradient: FloatArray, step: float
) -> tuple[FloatArray | None, float]:
    """A projected step down the gradient that goes down enough, and the first size to try next."""
    value = loss.value(theta)
    for _ in range(80):
        trial = projected(theta - step * gradient, radius)
        if loss.value(trial) < value - 1e-4 * float(np.sum((trial - theta) ** 2)) / step:
            return trial, 2.0 * step
        step *= 0.5
    return None, step


def fit_preferences(
    features: FloatArray,
    labels: FloatArray,
    radius: float,
    *,
    minimise: Callable[[Any, FloatArray, float], FloatArray] = minimise_on_ball,
) -> FloatArray:
    """Minimum of the logistic loss in the ball of a radius, shape (d,)."""
    start = np.zeros(features.shape[1])
    if len(labels) == 0:
        return start
    return minimise(Loss(list(features), list(labels), "preference"), start, radius)
