"""Scores of responses and the softmax over a base policy, in log space (A1, section 1 of mathematics.md).

A response outside the base support has log probability minus infinity before and after, and causes no NaN.
"""

from __future__ import annotations

import math
from typing import Any

from spanver.kernels.plain.namespace import array_namespace

Array = Any  # an array of any namespace; shapes stand in the docstrings


def linear_scores(features: Array, theta: Array) -> Array:
    """Scores `<theta, phi>` of responses.

    Parameters
    ----------
    features : array, shape (..., d)
    theta : array, shape (d,)

    Returns
    -------
    array, shape (...)
    """
    return features @ theta


def truncated_scores(features: Array, anchor: Array, theta: Array, precision: Array, nu: float) -> Array:
    """Scores `f(y) = <theta, v> 1[||v||_{Sigma^-1} <= nu]` with `v = phi(y) - anchor` (A2, phase 2; `[paper]`).

    A response that the spanner covers has its linear score; the score (not the weight) of every other one is zero.

    Parameters
    ----------
    features : array, shape (..., d)
    anchor : array, shape (d,), or one that broadcasts with `features`
        Features of the second response `y'`, or of that of each response.
    theta : array, shape (d,)
    precision : array, shape (d, d)
        `Sigma_span^-1`.
    nu : float

    Returns
    -------
    array, shape (...)
    """
    xp = array_namespace(features, anchor, theta, precision)
    relative = features - anchor
    squares = xp.sum((relative @ precision) * relative, axis=-1)
    scores = relative @ theta
    return xp.where(squares <= nu**2, scores, xp.zeros_like(scores))


def log1mexp(exponents: Array) -> Array:
    """`log(1 - e^x)` for `x <= 0`, accurate both near 0 and far from it.

    Parameters
    ----------
    exponents : array
        `x`; the result is minus infinity at 0, and above 0, where rounding may put it.

    Returns
    -------
    array
        In the same shape.
    """
    xp = array_namespace(exponents)
    half = xp.full_like(exponents, -math.log(2.0))
    inside = xp.where(exponents < 0.0, exponents, half)
    near = xp.log(-xp.expm1(inside))
    far = xp.log1p(-xp.exp(xp.minimum(inside, half)))
    return xp.where(exponents < 0.0, xp.where(inside > half, near, far), xp.full_like(exponents, -math.inf))


def log_normaliser(log_base: Array, scores: Array, beta: float) -> Array:
    """Log partition function `log sum_y base(y) exp(scores(y)/beta)` over the last axis.

    Parameters
    ----------
    log_base : array, shape (..., n)
        Log probabilities; minus infinity outside the support, which is not empty.
    scores : array, shape (..., n)
        Finite.
    beta : float

    Returns
    -------
    array, shape (...)
    """
    xp = array_namespace(log_base, scores)
    exponents = log_base + scores / beta
    peak = xp.max(exponents, axis=-1, keepdims=True)
    return xp.squeeze(peak, axis=-1) + xp.log(xp.sum(xp.exp(exponents - peak), axis=-1))


def log_softmax(log_base: Array, scores: Array, beta: float) -> Array:
    """Log probabilities of `pi(y) ∝ base(y) exp(scores(y)/beta)`, normalised over the last axis.

    Parameters
    ----------
    log_base, scores, beta
        As for `log_normaliser`.

    Returns
    -------
    array, shape (..., n)
    """
    return log_base + (scores / beta - log_normaliser(log_base, scores, beta)[..., None])
