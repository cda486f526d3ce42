"""Arithmetic and queries that the mutants share, written without the kernels that they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from spanver.oracle import Oracle
from spanver.values import FloatArray, Prompt, Response

Vectors: TypeAlias = Sequence[FloatArray]

Data: TypeAlias = tuple[FloatArray, FloatArray]
"""Relative features (n, d) and targets (n,)."""


def covariance(ridge: float, dimension: int, vectors: Vectors) -> FloatArray:
    """`Sigma = lambda I + sum v v^T`."""
    sigma: FloatArray = ridge * np.eye(dimension)
    for vector in vectors:
        sigma = sigma + np.outer(vector, vector)
    return sigma


def inverse(matrix: Any) -> FloatArray:
    """Inverse of a matrix."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def symmetric_inverse(matrix: FloatArray) -> FloatArray:
    """Inverse of a symmetric matrix, symmetric to the last bit."""
    inverted = inverse(matrix)
    return (inverted + inverted.T) / 2


def quadratic(vectors: FloatArray, matrix: FloatArray) -> FloatArray:
    """`v^T A v` of each vector, shape (n,)."""
    return np.asarray(np.sum(vectors @ matrix * vectors, axis=1))


def stacked(vectors: Vectors, targets: Sequence[float], dimension: int) -> Data:
    """Lists as arrays, also where they are empty."""
    return np.array(vectors, dtype=np.float64).reshape(-1, dimension), np.array(targets, dtype=np.float64)


def difference(one: Response, two: Response) -> FloatArray:
    """Relative feature."""
    return one.features - two.features


def reward_difference(
    oracle: Oracle, prompt: Prompt, one: Response, two: Response, *, times: tuple[int, int] = (1, 1)
) -> float:
    """Difference of both rewards, each the mean of so many queries."""
    first, second = (
        sum(oracle.reward(prompt, each) for _ in range(count)) / count
        for each, count in zip((one, two), times, strict=True)
    )
    return first - second


def base_response(oracle: Oracle, prompt: Prompt, *_: Any, **__: Any) -> Response:
    """One draw from the base policy, whatever else is given."""
    return oracle.sample(prompt, 1)[0]


class Late:
    """An oracle that answers some queries at the prompt before the one that they are about.

    Parameters
    ----------
    oracle : Oracle
    names : tuple of str
        Of these queries.
    """

    def __init__(self, oracle: Any, names: tuple[str, ...]) -> None:
        self._oracle, self._names = oracle, names
        self._prompts: list[Prompt] = []

    def __getattr__(self, name: str) -> Any:
        query = getattr(self._oracle, name)
        if name not in self._names:
            return query
        return lambda prompt, *rest, **named: query(self._prompts[-2:][0], *rest, **named)

    def prompt(self) -> Prompt:
        """Draw a prompt."""
        self._prompts.append(self._oracle.prompt())
        return self._prompts[-1]


def table_behind(oracle: Any) -> Any:
    """The problem behind an oracle, which no learner may see."""
    while not hasattr(oracle, "problem"):
        oracle = getattr(oracle, "_oracle", None) or oracle._source
    return oracle.problem
