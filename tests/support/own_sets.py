"""A set of parameters that is neither ball nor box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spanver.values import FloatArray


@dataclass(frozen=True)
class Diamond:
    """The cross-polytope `sum |theta_i| <= B`."""

    radius: float

    def project(self, theta: FloatArray) -> FloatArray:
        """Nearest parameter: all coordinates are shrunk by what brings their sum to `B`."""
        sizes = np.sort(np.abs(theta))[::-1]
        if sizes.sum() <= self.radius:
            return theta
        shrinkages = (np.cumsum(sizes) - self.radius) / np.arange(1, len(sizes) + 1)
        shrinkage = shrinkages[np.flatnonzero(sizes > shrinkages)[-1]]
        return np.sign(theta) * np.maximum(np.abs(theta) - shrinkage, 0.0)

    def maximiser(self, direction: FloatArray) -> FloatArray:
        """The vertex of the largest coordinate."""
        largest = int(np.argmax(np.abs(direction)))
        vertex = np.zeros_like(direction)
        vertex[largest] = self.radius * np.sign(direction[largest])
        return vertex
