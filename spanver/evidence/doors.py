"""What the evidence package lets in: laws, categories, outcomes and chances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spanver.errors import require, require_finite

__all__ = ["require_tolerance", "require_unit", "to_categories", "to_law", "to_outcomes", "to_unit_values"]

_ROUNDING = 1e-9  # by which the sum of a law may miss 1


def require_unit(name: str, value: float) -> None:
    """Refuse what is not in `[0, 1]`."""
    require_finite(name, value)
    require(0 <= value <= 1, name, value, "a number in [0, 1]")


def require_tolerance(name: str, value: float) -> None:
    """Refuse what is not a total variation below 1."""
    require_finite(name, value)
    require(0 <= value < 1, name, value, "a total variation in [0, 1)")


def to_unit_values(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return a vector of numbers in `[0, 1]`."""
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.float64)
    require(array.ndim == 1 and array.dtype.kind in "biuf", name, values, "a vector of numbers")
    array = array.astype(np.float64)
    require(bool(((array >= 0) & (array <= 1)).all()), name, values, "a vector of numbers in [0, 1]")
    return array


def to_outcomes(
    name: str, outcomes: ArrayLike, chances_name: str, chances: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a vector of outcomes, 0 or 1, and an equally long one of chances in `[0, 1]`."""
    came, chance = to_unit_values(name, outcomes), to_unit_values(chances_name, chances)
    require(bool(((came == 0) | (came == 1)).all()), name, outcomes, "a vector of outcomes 0 or 1")
    require(came.size == chance.size, chances_name, chances, f"a vector of {came.size} chances, one for each outcome")
    return came, chance


def to_law(law: ArrayLike) -> NDArray[np.float64]:
    """Return a vector of probabilities whose sum is 1 but for rounding."""
    array = to_unit_values("law", law)
    total = float(array.sum())
    require(array.size >= 1 and abs(total - 1) <= _ROUNDING, "law", law, "a vector of probabilities that sum to 1")
    return array / total


def to_categories(name: str, observations: ArrayLike, categories: int) -> NDArray[np.intp]:
    """Return a vector of indices in `0..categories-1`."""
    array: NDArray[Any] = np.asarray(observations)
    if array.size == 0:
        array = array.astype(np.intp)
    require(array.ndim == 1 and array.dtype.kind in "iu", name, observations, "a vector of integers")
    inside = array.size == 0 or (array.min() >= 0 and array.max() < categories)
    require(bool(inside), name, observations, f"a vector of categories from 0 to {categories - 1}")
    return array.astype(np.intp, copy=False)
