"""The reference's samplers of finite laws: by inversion, and without replacement by a race of exponential clocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spanver.randomness import invert, stream
from spanver.validation import require, to_array
from spanver.values import FloatArray, IntArray


def draw(probabilities: ArrayLike, count: int, seed: int) -> IntArray:
    """Draw from a finite law by inversion (R6).

    Parameters
    ----------
    probabilities : array_like, shape (n,)
    count, seed : int

    Returns
    -------
    array of int, shape (count,)
        Indices.

    Raises
    ------
    ArgumentError
        If the probabilities are not finite, or all 0.
    """
    return _inverted(to_array("probabilities", probabilities, (None,)), count, seed)


def draw_weights(weights: ArrayLike, count: int, seed: int) -> IntArray:
    """Draw from the law in proportion to weights of any scale (R6); otherwise as `draw`."""
    array = to_array("weights", weights, (None,))
    return _inverted(array / _largest("weights", array), count, seed)


def draw_logits(logits: ArrayLike, count: int, seed: int) -> IntArray:
    """Draw from the law in proportion to the exponentials of logits, minus infinity allowed (R6); else as `draw`."""
    array = to_array("logits", logits, (None,), finite=False)
    peak = float(array.max(initial=-np.inf))
    require(bool(np.isfinite(peak)), "the largest of logits", peak, "a finite number")
    return _inverted(np.exp(array - peak), count, seed)


def draw_batch(probabilities: ArrayLike, count: int, seed: int) -> IntArray:
    """Draw from each of `m` laws, independently (R6).

    Parameters
    ----------
    probabilities : array_like, shape (m, n)
        A law a row.
    count, seed : int

    Returns
    -------
    array of int, shape (m, count)

    Raises
    ------
    ArgumentError
        If the probabilities are not finite, or all 0 in a row.
    """
    rows = to_array("probabilities", probabilities, (None, None))
    drawn = [_inverted(row, count, seed, index) for index, row in enumerate(rows)]
    return np.array(drawn, dtype=np.int64).reshape(len(rows), count)


def draw_distinct(weights: ArrayLike, count: int, seed: int) -> IntArray:
    """Draw one outcome after another, each in proportion to the weights of those that are left (R7).

    The first of `n` exponential clocks with these rates to ring is drawn in proportion to the rates, and clocks have no
    memory: so the order in which they ring has the law of successive draws.

    Parameters
    ----------
    weights : array_like, shape (n,)
        Of any scale.
    count : int
        At most the number of positive weights.
    seed : int

    Returns
    -------
    array of int, shape (count,)
        Different indices, in the order drawn.

    Raises
    ------
    ArgumentError
        If the weights are not finite, or fewer than `count` are positive.
    """
    array = to_array("weights", weights, (None,))
    possible = np.flatnonzero(array > 0.0)
    require(0 <= count <= len(possible), "count", count, f"at most {len(possible)}, the number of positive weights")
    clocks = stream(seed, "draw_distinct").standard_exponential(len(possible))
    with np.errstate(divide="ignore"):
        rings = np.log(clocks) - np.log(array[possible])
    return np.asarray(possible[np.argsort(rings, kind="stable")[:count]], dtype=np.int64)


def _inverted(masses: FloatArray, count: int, seed: int, index: int = 0) -> IntArray:
    _largest("probabilities", masses)
    return invert(np.cumsum(masses), stream(seed, "draw", index).random(count))


def _largest(name: str, masses: FloatArray) -> float:
    largest = float(masses.max(initial=0.0))
    require(largest > 0.0, f"the largest of {name}", largest, "a number above 0")
    return largest
