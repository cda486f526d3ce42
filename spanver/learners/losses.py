"""Losses of the baselines and their minimum on the set of parameters (A3).

SciPy's solvers for constrained problems leave the set by their tolerance, which an oracle refuses, or walk to its
boundary along a barrier. Here a step goes to the minimum *on the set* of a quadratic model of the loss, which
`fit_moments_on` finds exactly, and is shortened until the loss falls enough; as the set is convex, no step leaves it.
On a convex loss these are Newton steps. The optimistic loss of XPO is convex plus concave: its model has the curvature
of the convex part and the slope of the whole, which for least squares lies above the loss everywhere, so it never
rises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import expit

from spanver.learners.least_squares import fit_moments_on
from spanver.parameter_sets import ParameterSet
from spanver.values import FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class QuadraticModel:
    """A loss near one parameter: its value and gradient there, and a curvature.

    Attributes
    ----------
    value : float
    magnitude : float
        Sum of the magnitudes of the terms of the value, on which its rounding error depends.
    gradient : array, shape (d,)
    curvature : array, shape (d, d)
        Positive semidefinite.
    """

    value: float
    magnitude: float
    gradient: FloatArray
    curvature: FloatArray


Loss: TypeAlias = Callable[[FloatArray], QuadraticModel]

_STEPS = 1000  # Newton takes a few; where optimism is about as curved as the loss, tens
_STEP_TOLERANCE = 1e-10  # of the radius: steps that no policy and no later fit can feel
_ARMIJO = 1e-4  # share of the first-order decrease that a step has to keep (Armijo)
_MIN_STEP = 2.0**-40
_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)


def minimise(loss: Loss, parameters: ParameterSet, start: FloatArray) -> FloatArray:
    """Parameter of a set where the loss obeys the KKT conditions of its minimum, reached downhill from a start.

    For a convex loss that is its minimum. For another it is a stationary point not above the start.

    Parameters
    ----------
    loss : callable
        As `Loss`.
    parameters : ParameterSet
    start : array, shape (d,)
        In the set.

    Returns
    -------
    array, shape (d,)
    """
    theta = start
    here = loss(theta)
    for _ in range(_STEPS):
        step = fit_moments_on(here.curvature, here.curvature @ theta - here.gradient, parameters) - theta
        slope = float(here.gradient @ step)
        length, rounding = 1.0, _ROUNDING * here.magnitude
        trial = loss(theta + step)
        # Near the minimum the decrease is less than the rounding of the value, which must not refuse a good step.
        while trial.value > here.value + _ARMIJO * length * slope + rounding and length > _MIN_STEP:
            length *= 0.5
            trial = loss(theta + length * step)
        if length <= _MIN_STEP:
            break
        theta = theta + length * step
        here = trial
        settled = float(np.linalg.norm(step)) <= _STEP_TOLERANCE * parameters.radius
        if settled or (length < 1.0 and -length * slope <= rounding):
            break
    # A step of length 1 ends on the boundary up to rounding; oracles take no more than that.
    return parameters.project(theta)


class SquareLoss:
    """`sum (<theta, v> - y)^2`, from moments that cost `O(d^2)` a pair."""

    def __init__(self, dimension: int) -> None:
        self._gram = np.zeros((dimension, dimension))
        self._moment = np.zeros(dimension)
        self._square = 0.0

    def add(self, vector: FloatArray, target: float) -> None:
        """Add a pair: `v`, and the difference of its rewards."""
        self._gram += vector[:, None] * vector[None, :]
        self._moment += target * vector
        self._square += target**2

    def fitted(self, parameters: ParameterSet) -> FloatArray:
        """Minimum on a set of parameters."""
        return fit_moments_on(self._gram, self._moment, parameters)

    def __call__(self, theta: FloatArray) -> QuadraticModel:
        """As `Loss`."""
        product = self._gram @ theta
        square, cross = float(theta @ product), 2.0 * float(self._moment @ theta)
        value, magnitude = square - cross + self._square, square + abs(cross) + self._square
        return QuadraticModel(value, magnitude, 2.0 * (product - self._moment), 2.0 * self._gram)


class LogisticLoss:
    """`sum log(1 + exp(-s <theta, v>))` over labels `s = 1` (first preferred) or `-1`: Bradley-Terry.

    Parameters
    ----------
    vectors : array, shape (n, d)
    labels : array, shape (n,)
    """

    def __init__(self, vectors: FloatArray, labels: FloatArray) -> None:
        self._signed = vectors * labels[:, None]

    def __call__(self, theta: FloatArray) -> QuadraticModel:
        """As `Loss`."""
        margins = self._signed @ theta
        wrong = expit(-margins)
        weighted = self._signed * (wrong * expit(margins))[:, None]
        value = float(np.logaddexp(0.0, -margins).sum())
        return QuadraticModel(value, value, -(wrong @ self._signed), self._signed.T @ weighted)


def logistic_fit(
    vectors: FloatArray, labels: FloatArray, parameters: ParameterSet, start: FloatArray | None = None
) -> FloatArray:
    """Minimise the logistic loss of labels over a set of parameters (A3; preferences).

    Parameters
    ----------
    vectors : array, shape (n, d)
        Relative features `v = phi(first) - phi(second)`; separable or rank-deficient ones too.
    labels : array, shape (n,)
        1 where the first is preferred, else -1.
    parameters : ParameterSet
    start : array, shape (d,), optional
        In the set; the default is 0, and with it directions outside the data stay 0.

    Returns
    -------
    array, shape (d,)

    Examples
    --------
    >>> from spanver.parameter_sets import Ball
    >>> logistic_fit(np.ones((4, 1)), np.array([1.0, 1.0, 1.0, -1.0]), Ball(5.0)).round(6)  # log 3
    array([1.098612])
    >>> logistic_fit(np.ones((2, 1)), np.array([1.0, 1.0]), Ball(2.0))
    array([2.])
    """
    begin = np.zeros(vectors.shape[1]) if start is None else start
    return minimise(LogisticLoss(vectors, labels), parameters, begin)


class LogLikelihood:
    """`sum_i log(pi_theta/pi_ref)(y_i|x_i) = sum_i <theta, phi_i>/beta - log Z_theta(x_i)`, concave in `theta`.

    `Z_theta(x) = E_{pi_ref} exp(<theta, phi>/beta)`. What is known of the base policy at a prompt is a list of features
    with log weights: its law, or that of a sample.
    """

    def __init__(self, dimension: int, beta: float) -> None:
        self._beta = beta
        self._chosen = np.zeros(dimension)
        self._features = np.zeros((0, dimension))
        self._log_weights = np.zeros(0)
        self._begins = np.zeros(0, dtype=np.int64)
        self._sizes = np.zeros(0, dtype=np.int64)
        self._rounds = np.zeros(0)

    def add_prompt(self, features: FloatArray, log_weights: FloatArray) -> None:
        """Add a prompt: features of shape (n, d), log weights of shape (n,), some of them finite."""
        inside = log_weights > -np.inf
        self._begins = np.append(self._begins, len(self._features))
        self._sizes = np.append(self._sizes, int(inside.sum()))
        self._rounds = np.append(self._rounds, 0.0)
        self._features = np.concatenate([self._features, features[inside]])
        self._log_weights = np.concatenate([self._log_weights, log_weights[inside]])

    def add(self, position: int, features: FloatArray) -> None:
        """Add a response of features `phi_i` to the prompt that was added at this position."""
        self._rounds[position] += 1.0
        self._chosen += features

    def __call__(self, theta: FloatArray) -> tuple[float, float, FloatArray]:
        """Value, magnitude and gradient, as in `QuadraticModel`."""
        exponents = self._log_weights + self._features @ theta / self._beta
        peaks = np.maximum.reduceat(exponents, self._begins)
        weights = np.exp(exponents - np.repeat(peaks, self._sizes))
        totals = np.add.reduceat(weights, self._begins)
        means = (weights * np.repeat(self._rounds / totals, self._sizes)) @ self._features
        partitions = self._rounds * (peaks + np.log(totals))
        linear = float(self._chosen @ theta) / self._beta
        # Near `theta = 0` peak and sum cancel, as weights sum to one: the partition is small, and its rounding is not.
        magnitude = abs(linear) + float(self._rounds @ (np.abs(peaks) + np.log(totals) + 1.0))
        return linear - float(partitions.sum()), magnitude, (self._chosen - means) / self._beta


def optimistic(loss: Loss, alpha: float, log_likelihood: LogLikelihood) -> Loss:
    """`loss + alpha log_likelihood`, with the curvature of the loss alone (A3, XPO)."""

    def total(theta: FloatArray) -> QuadraticModel:
        here = loss(theta)
        value, magnitude, gradient = log_likelihood(theta)
        return QuadraticModel(
            value=here.value + alpha * value,
            magnitude=here.magnitude + alpha * magnitude,
            gradient=here.gradient + alpha * gradient,
            curvature=here.curvature,
        )

    return total
