"""Random directions and points of the unit ball, which several families draw their features from."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from spanver.values import FloatArray


def uniform_on_sphere(generator: Generator, count: int, dimension: int) -> FloatArray:
    """Draw points uniformly on the unit sphere: shape (count, dimension)."""
    normal = generator.standard_normal((count, dimension))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def uniform_in_ball(generator: Generator, count: int, dimension: int) -> FloatArray:
    """Draw points uniformly in the unit ball: shape (count, dimension)."""
    lengths = generator.random((count, 1)) ** (1.0 / dimension)
    return uniform_on_sphere(generator, count, dimension) * lengths * (1.0 - 1e-12)
