"""Finite laws as they are passed to samplers, and exactly what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from spanver.subjects.layouts import laid_out
from spanver.values import FloatArray, IntArray


def probabilities_of(law: FloatArray, layout: str) -> Any:
    """The law as it is passed. In single precision it is rounded so that it still sums to 1 exactly."""
    if layout == "float32":
        parts = np.floor(law * 2.0**24)
        parts[np.argmax(parts)] += 2.0**24 - parts.sum()
        law = parts / 2.0**24
    return laid_out(law, layout)


def law_of(masses: Any) -> FloatArray:
    """The law in proportion to what was passed, in double precision."""
    exact = np.asarray(masses, dtype=np.float64)
    exact = exact / exact.max(axis=-1, keepdims=True)
    return np.asarray(exact / exact.sum(axis=-1, keepdims=True))


def law_of_logits(logits: Any) -> FloatArray:
    """The law in proportion to the exponentials of what was passed."""
    exact = np.asarray(logits, dtype=np.float64)
    return law_of(np.exp(exact - exact.max()))


def weights_of(weights: FloatArray, scale: float, layout: str) -> Any:
    """Weights of this scale as they are passed; single precision does not reach as far."""
    return laid_out(weights * (np.clip(scale, 1e-20, 1e20) if layout == "float32" else scale), layout)


def logits_of(law: FloatArray, shift: float, layout: str) -> Any:
    """Logits of a law, all of them shifted, as they are passed."""
    with np.errstate(divide="ignore"):
        return laid_out(np.log(law) + shift, layout)


def even_event(law: FloatArray) -> Any:
    """Indicators of an event whose probability is about one half: the most likely outcomes in turn."""
    order = np.argsort(-law, kind="stable")
    sums = np.cumsum(law[order])
    event = np.zeros(len(law), dtype=np.int64)
    event[order[: 1 + np.argmin(np.abs(sums[:-1] - 0.5))]] = 1
    return event


MANY: dict[str, Callable[[int], Any]] = {
    "alike": np.ones,
    "halves": lambda size: np.repeat([2.0, 1.0], [size // 2, size - size // 2]),
    "every second": lambda size: np.arange(size) % 2.0,
    "ramp": lambda size: 1.0 + np.arange(size) % 7,
}
"""Laws of many outcomes, up to a factor, by what is special about them."""


def cells_of(law: FloatArray) -> IntArray:
    """Few cells for many outcomes: the impossible ones, the first, and the others by halves and by turns."""
    places = np.arange(len(law))
    cells = 2 + 2 * (places >= len(law) // 2) + places % 2
    cells[0] = 1
    return np.where(law > 0.0, cells, 0)


def masses_of(cells: IntArray, law: FloatArray) -> FloatArray:
    """Probabilities of the cells."""
    return np.array([law[cells == cell].sum() for cell in range(6)])


def law_of_sets(weights: FloatArray, count: int) -> dict[frozenset[int], float]:
    """Law of the set of successive draws, by enumeration of their orders."""
    chances: dict[frozenset[int], float] = {}
    for order in permutations(np.flatnonzero(weights).tolist(), count):
        taken = np.cumsum([0.0, *weights[list(order[:-1])]])
        chance = float(np.prod(weights[list(order)] / (weights.sum() - taken)))
        chances[frozenset(order)] = chances.get(frozenset(order), 0.0) + chance
    return chances
