"""Core-sets of MTSS: states of a layer with an action and an anchor each (FMR25, Algorithm 4, p. 77)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np

from spanver.values import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Pairs:
    """States of one layer with an action and an anchor each: a core-set, or what a search met.

    Attributes
    ----------
    states, actions, anchors : array of int, shape (n,)
    vectors : array, shape (n, d)
        `phi(x, a) - phi(x, anchor)`.
    """

    states: Annotated[IntArray, "n"]
    actions: Annotated[IntArray, "n"]
    anchors: Annotated[IntArray, "n"]
    vectors: Annotated[FloatArray, "nd"]

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, rows: IntArray | slice) -> Pairs:
        return Pairs(*(getattr(self, each.name)[rows] for each in fields(self)))


def no_pairs(dimension: int) -> Pairs:
    """An empty core-set."""
    nothing = np.empty(0, dtype=np.int64)
    return Pairs(nothing, nothing, nothing, np.empty((0, dimension)))


def joined(parts: Sequence[Pairs]) -> Pairs:
    """All pairs of several lists, of which there is at least one."""
    return Pairs(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Pairs)))


def with_anchor(pair: Pairs) -> Pairs:
    """A single pair, and after it the pair of its state and anchor, whose vector is 0."""
    return joined([pair, Pairs(pair.states, pair.anchors, pair.anchors, np.zeros_like(pair.vectors))])


def precision_of(core: Pairs, ridge: float) -> FloatArray:
    """`Sigma^-1` with `Sigma = ridge I + sum v v^T`, shape (d, d)."""
    precision = np.linalg.inv(ridge * np.eye(core.vectors.shape[1]) + core.vectors.T @ core.vectors)
    return (precision + precision.T) / 2.0


def squared_norms(pairs: Pairs, precision: FloatArray) -> FloatArray:
    """`||v||^2_{Sigma^-1}` of every pair, shape (n,)."""
    norms: FloatArray = np.einsum("id,id->i", pairs.vectors @ precision, pairs.vectors)
    return norms
