"""The array namespaces that kernels are tested in: NumPy, NumPy arrays that nobody can write to, and every backend.

Arrays of array-api-strict are on a device that is not its default: nothing but the standard works there, and nothing
may leave it. PyTorch, JAX and CuPy are tested where they are installed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import array_api_compat
import numpy as np
import pytest
from numpy.typing import NDArray

from spanver.kernels.backends import BACKENDS

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)

FREE = 1e-9  # norms this close to nu, relatively, are ties and may fall either way (S1)


@dataclass(frozen=True)
class Place:
    """How NumPy data get into a namespace, and how they get out."""

    put: Callable[[NDArray[Any]], Any]
    get: Callable[[Any], NDArray[Any]]

    def same_place(self, result: Any) -> bool:
        """Whether an array is in the namespace, and on the device, where this backend puts its arrays."""
        example = self.put(np.zeros(1))
        namespaces = {array_api_compat.array_namespace(array).__name__ for array in (example, result)}
        return len(namespaces) == 1 and bool(array_api_compat.device(example) == array_api_compat.device(result))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    result = array.copy()
    result.setflags(write=False)
    return result


def in_backend(name: str) -> Place:
    """Arrays of a backend; the test is skipped where it is missing."""
    try:
        put, get = BACKENDS[name].conversions()
    except ImportError:
        pytest.skip(f"needs {BACKENDS[name].needs}")
    return Place(put, get)


PLACES: dict[str, Callable[[], Place]] = {
    "numpy-read-only": lambda: Place(read_only, np.asarray),
    **{name: partial(in_backend, name) for name in BACKENDS},
}


def generator(*purpose: int) -> np.random.Generator:
    return np.random.default_rng([20250311, *purpose])


def random_sigma(rng: np.random.Generator, dimension: int) -> Array:
    vectors = rng.normal(size=(2 * dimension, dimension))
    sigma: Array = 0.5 * np.eye(dimension) + vectors.T @ vectors
    return sigma


def close(ours: Any, expected: Any, tolerance: float) -> None:
    """Relative to the largest value expected, shapes included."""
    ours, expected = np.asarray(ours), np.asarray(expected)
    assert ours.shape == expected.shape
    assert ours.dtype == np.float64
    np.testing.assert_allclose(
        ours, expected, rtol=0.0, atol=tolerance * max(float(np.abs(expected).max(initial=0)), 1e-300)
    )


def norm_by_inverse(vector: Array, sigma: Array) -> float:
    return math.sqrt(float(vector @ np.linalg.inv(sigma) @ vector))


def symmetric_inverse(sigma: Array) -> Array:
    inverse = np.linalg.inv(sigma)
    return 0.5 * (inverse + inverse.T)
