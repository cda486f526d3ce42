"""Mutants of the regressions and of the truncated scores: what E2-E9 must kill.

`bisected_fit` is least squares on the ball and `scores` are the truncated scores of A2, both written anew: each step in
which a mutant differs is an argument. Unmutated they are as right as the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear

from spanver.values import FloatArray
from spanver.zoo.algebra import quadratic
from spanver.zoo.mutant import Mutant, mutants_of

_HALVINGS = 200  # far beyond double precision


def bisected_fit(
    features: FloatArray,
    targets: FloatArray,
    radius: float,
    *,
    ridge: float = 0.0,
    sign: float = 1.0,
    cutoff: float = 1e-12,
    halvings: int = _HALVINGS,
) -> FloatArray:
    """Least squares on the ball, in the singular vectors of the features, with a bisection for the multiplier."""
    if not features.any():
        return np.zeros(features.shape[1])
    left, values, basis = np.linalg.svd(features, full_matrices=False)
    kept = values > cutoff * values[0]
    values, basis, moments = values[kept], basis[kept], (left.T @ targets)[kept]

    def theta(multiplier: float) -> FloatArray:
        coefficients: FloatArray = values * moments / (values**2 + ridge + multiplier)
        return basis.T @ coefficients

    if np.linalg.norm(theta(0.0)) <= radius:
        return theta(0.0)
    low, high = 0.0, float(np.linalg.norm(values * moments)) / radius
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(theta(middle)) > radius else (low, middle)
    return theta(sign * high)


def _solved(matrix: FloatArray, right: FloatArray, cutoff: float | None = 1e-12) -> FloatArray:
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=cutoff)[0], dtype=np.float64)


def _anywhere(features: FloatArray, targets: FloatArray, _: float = 0.0) -> FloatArray:
    return _solved(features, targets, None)


def _projected(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    theta = _anywhere(features, targets)
    return theta * min(1.0, radius / max(float(np.linalg.norm(theta)), 1e-300))


def _boxed(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    return np.clip(_anywhere(features, targets), -radius, radius)


def _unit_rows(features: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1.0)


def _one_newton_step(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    gram, moment = features.T @ features, features.T @ targets
    scale = max(float(np.abs(gram).max()), 1e-300)
    theta = _solved(gram / scale, moment / scale)
    norm = float(np.linalg.norm(theta))
    if norm <= radius:
        return theta
    slope = float(theta @ _solved(gram / scale, theta)) / norm
    shifted = gram / scale + (norm - radius) / slope * np.eye(len(theta))
    return _solved(shifted, moment / scale)


def _descent(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    theta = np.zeros(features.shape[1])
    step = 1.0 / max(float(np.linalg.norm(features, 2)) ** 2, 1e-300)
    for _ in range(10):
        theta -= step * features.T @ (features @ theta - targets)
        theta *= min(1.0, radius / max(float(np.linalg.norm(theta)), 1e-300))
    return theta


def _normal(features: FloatArray, targets: FloatArray, ridge: float) -> FloatArray:
    gram = features.T @ features + ridge * np.eye(features.shape[1])
    return _solved(gram, features.T @ targets)


def scores(
    features: FloatArray,
    anchor: FloatArray,
    theta: FloatArray,
    precision: FloatArray,
    nu: float,
    *,
    keeps: Callable[[FloatArray, float], Any] = lambda norms, nu: norms <= nu,
    relative: Callable[[FloatArray, FloatArray], FloatArray] = lambda features, anchor: features - anchor,
    otherwise: float | FloatArray = 0.0,
    matrix: Callable[[FloatArray], FloatArray] = lambda precision: precision,
    scored: Callable[[FloatArray, FloatArray], FloatArray] | None = None,
) -> FloatArray:
    """Scores of A2's phase 2."""
    norms = np.sqrt(np.maximum(quadratic(relative(features, anchor), matrix(precision)), 0.0))
    kept = (scored or relative)(features, anchor) @ theta
    return np.where(keeps(norms, nu), kept, otherwise)


def _norm_as_bonus(
    features: FloatArray, anchor: FloatArray, theta: FloatArray, precision: FloatArray, nu: float
) -> FloatArray:
    norms = np.sqrt(quadratic(features - anchor, precision))
    return scores(features, anchor, theta, precision, nu, otherwise=norms)


def _less_peak(
    features: FloatArray, anchor: FloatArray, theta: FloatArray, precision: FloatArray, nu: float
) -> FloatArray:
    found = scores(features, anchor, theta, precision, nu)
    norms = np.sqrt(quadratic(features - anchor, precision))
    return np.where(norms <= nu, found - found.max(), 0.0)


def bounded_fit(
    features: FloatArray, targets: FloatArray, radius: float, *, least: float = -1.0, widen: bool = False
) -> FloatArray:
    """Least squares in the box by SciPy, in units of its half-width and of the largest feature."""
    scale, dimension = float(np.abs(features).max(initial=0.0)), features.shape[1]
    if scale == 0.0:
        return np.zeros(dimension)
    width = radius if widen else radius / math.sqrt(dimension)
    found = lsq_linear(
        features / scale, targets / (scale * width), (least, 1.0), method="bvls", tol=1e-15, max_iter=100 * dimension
    ).x
    return width * np.clip(found, least, 1.0)


def _half_width(features: FloatArray, radius: float) -> float:
    return radius / math.sqrt(features.shape[1])


def _clipped(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    return _boxed(features, targets, _half_width(features, radius))


def _ball_clipped(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    width = _half_width(features, radius)
    return np.clip(bisected_fit(features, targets, radius), -width, width)


def _shrunk(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    theta = _anywhere(features, targets)
    return theta * min(1.0, _half_width(features, radius) / max(float(np.abs(theta).max()), 1e-300))


def _never_released(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    width, theta = _half_width(features, radius), np.zeros(features.shape[1])
    free = np.ones(len(theta), dtype=bool)
    while free.any():
        theta[free] = _solved(features[:, free], targets - features[:, ~free] @ theta[~free], None)
        if (np.abs(theta) <= width).all():
            break
        free &= np.abs(theta) <= width
        theta = np.clip(theta, -width, width)
    return theta


def _few_sweeps(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    width, theta = _half_width(features, radius), np.zeros(features.shape[1])
    for i in list(range(len(theta))) * 3:
        column = features[:, i]
        step = column @ (targets - features @ theta) / max(float(column @ column), 1e-300)
        theta[i] = np.clip(theta[i] + step, -width, width)
    return theta


_fit = mutants_of("fit", "fit", bisected_fit)
_box = mutants_of("box_fit", "box-fit", bounded_fit)
_ridge = mutants_of("ridge_regression", "ridge", _normal)
_score = mutants_of("truncated_scores", "scores", scores)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _fit("no-ball", "ignores the ball", "E6", _anywhere),
    _fit("projected", "scales the unconstrained fit into the ball", "E6", _projected),
    _fit("boxed", "bounds every coordinate by the radius, not the norm", "E6", _boxed),
    _fit("ridge", "adds a ridge", "E4", ridge=1e-3),
    _fit("sign-of-multiplier", "subtracts the multiplier from the curvature", "E6", sign=-1.0),
    _fit("cutoff", "drops directions of small curvature", "E6", cutoff=0.1),
    _fit("few-halvings", "stops the search for the multiplier early", "E6", halvings=8),
    _fit("one-newton-step", "stops Newton's method after a step", "E6", _one_newton_step),
    _fit("descent", "stops gradient descent after 10 steps", "E6", _descent),
    _fit("centred", "centres the targets, as with an intercept", "E6",
        lambda v, y, b: bisected_fit(v, y - y.mean(), b)),
    _fit("all-centred", "fits an intercept", "E6", lambda v, y, b: bisected_fit(v - v.mean(axis=0), y - y.mean(), b)),
    _fit("unit-rows", "normalises every row of features", "E6", lambda v, y, b: bisected_fit(_unit_rows(v), y, b)),
    _fit("radius-squared", "fits in a ball of the squared radius", "E6", lambda v, y, b: bisected_fit(v, y, b * b)),
    _fit("doubled-radius", "fits in a ball of the diameter", "E6", lambda v, y, b: bisected_fit(v, y, 2.0 * b)),
    _fit("sign-of-targets", "fits the differences the wrong way round", "E6", lambda v, y, b: bisected_fit(v, -y, b)),
    _fit("last-row-only", "forgets all but the last observation", "E6",
        lambda v, y, b: bisected_fit(v[-1:], y[-1:], b)),
    _box("ball", "fits on the ball that the box is inscribed in", "E6", bisected_fit),
    _box("no-ends", "ignores the box", "E6", _anywhere),
    _box("clipped", "clips the unconstrained fit", "E6", _clipped),
    _box("ball-clipped", "clips the fit on the ball", "E6", _ball_clipped),
    _box("shrunk", "scales the unconstrained fit into the box", "E6", _shrunk),
    _box("radius-wide", "lets every coordinate be as large as the radius", "E6", widen=True),
    _box("one-sided", "bounds coordinates from above alone", "E6", least=-np.inf),
    _box("positive", "bounds coordinates by 0 from below", "E6", least=0.0),
    _box("never-released", "never frees a coordinate that was once beyond its end", "E6", _never_released),
    _box("few-sweeps", "stops coordinate descent after three sweeps", "E6", _few_sweeps),
    _ridge("none", "forgets the ridge", "E7", _anywhere),
    _ridge("squared", "squares the ridge", "E7", lambda v, y, ridge: _normal(v, y, ridge**2)),
    _ridge("mean-loss", "divides the loss but not the ridge by the number of rows", "E7",
        lambda v, y, ridge: _normal(v, y, ridge * len(y))),
    _ridge("intercept", "fits an intercept", "E7",
        lambda v, y, ridge: _normal(v - v.mean(axis=0), y - y.mean(), ridge)),
    _ridge("all-entries", "adds the ridge to all entries of the Gram matrix", "E7",
        lambda v, y, ridge: _solved(v.T @ v + ridge, v.T @ y)),
    _score("wrong-side", "keeps the scores of what is uncertain", "E2", keeps=lambda norms, nu: norms > nu),
    _score("weight", "sets the weight of what is uncertain to zero, not its score", "E5 E2", otherwise=-1e6),
    _score("one", "gives the score 1, for the weight 1, to what is uncertain", "E5", otherwise=1.0),
    _score("largest", "gives the largest score that there is to what is uncertain", "E8",
        lambda features, anchor, theta, precision, nu: scores(
            features, anchor, theta, precision, nu, otherwise=2.0 * float(np.linalg.norm(theta)))),
    _score("bonus", "gives its norm as a bonus to what is uncertain", "E9", _norm_as_bonus),
    _score("nu-squared", "compares norms with nu squared", "E2", keeps=lambda norms, nu: norms <= nu**2),
    _score("squared", "compares squared norms with nu", "E2", keeps=lambda norms, nu: norms**2 <= nu),
    _score("anchor-added", "adds the features of the second response", "E2",
        relative=lambda features, anchor: features + anchor),
    _score("anchor-left-out", "scores features, not their differences", "E2", scored=lambda features, _: features),
    _score("not-truncated", "truncates nothing", "E3", keeps=lambda norms, _: norms >= 0.0),
    _score("sigma", "measures in Sigma and not in its inverse", "E2", matrix=np.linalg.inv),
    _score("euclidean", "measures lengths", "E2", matrix=lambda precision: np.eye(len(precision))),
    _score("peak-subtracted", "subtracts the largest score from what is certain, and not elsewhere", "MT8", _less_peak),
    _score("all-or-nothing", "truncates all scores as soon as one response is uncertain", "E2",
        keeps=lambda norms, nu: bool((norms <= nu).all())),
)
"""Of `fit`, `box_fit`, `ridge_regression` and `truncated_scores`."""
