"""Arithmetic that the mutants share, written without the kernels that they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from spanver.values import FloatArray

__all__ = ["Vectors", "covariance", "inverse"]


Vectors: TypeAlias = Sequence[FloatArray]


def covariance(ridge: float, dimension: int, vectors: Vectors) -> FloatArray:
    """`Sigma = lambda I + sum v v^T`."""
    sigma: FloatArray = ridge * np.eye(dimension)
    for vector in vectors:
        sigma = sigma + np.outer(vector, vector)
    return sigma


def inverse(matrix: Any) -> FloatArray:
    """Inverse of a matrix."""
    inverted: FloatArray = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    return inverted
