"""Argument checks, for numbers and for arrays: public functions call them on entry, and the code behind trusts them.

Each refuses with `ArgumentError`, which names the argument, its value and what is allowed. `require_..` checks a value;
`to_..` also converts it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spanver.errors import ArgumentError

LARGEST = 1e300
"""The largest number taken, so that a constant times it is still a float."""

ROUNDING = 1e-9
"""How far a number that was computed as a sum may lie outside its range; ties within it are free (S1)."""


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise `ArgumentError` unless `condition` holds."""
    if not condition:
        raise ArgumentError(name, value, allowed)


def require_one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Refuse what is none of some values."""
    known = tuple(allowed)
    if value not in known:  # the words are made only then: queries pass here
        raise ArgumentError(name, value, f"one of {', '.join(map(str, known))}")


def require_positive(name: str, value: float) -> None:
    """Refuse what is not a finite number above 0 (booleans are not numbers here)."""
    require(_is_real(value) and 0 < value < math.inf, name, value, "a finite number above 0")


def require_at_least(name: str, value: float, least: float) -> None:
    """Refuse what is not a finite number of at least `least`."""
    require(_is_real(value) and least <= value < math.inf, name, value, f"a finite number of at least {least:g}")


def require_finite(name: str, value: float) -> None:
    """Refuse what is not a finite number."""
    require(_is_real(value) and -math.inf < value < math.inf, name, value, "a finite number")


def require_probability(name: str, value: float) -> None:
    """Refuse what is not strictly between 0 and 1."""
    require(_is_real(value) and 0 < value < 1, name, value, "a number strictly between 0 and 1")


def require_tolerance(name: str, value: float) -> None:
    """Refuse what is not a total variation below 1."""
    require(_is_real(value) and 0 <= value < 1, name, value, "a total variation in [0, 1)")


def require_real(name: str, value: Any, *, least: float = 0.0, most: float = LARGEST, rounding: float = 0.0) -> None:
    """Refuse what is not a real number from `least` to `most`, or outside by no more than `rounding`."""
    inside = _is_real(value) and least - rounding <= value <= most + rounding
    require(inside, name, value, f"a number from {least:g} to {most:g}")


def require_coverage(name: str, value: Any) -> None:
    """Refuse what is not a finite coverage: a number of at least 1, up to rounding."""
    require_real(name, value, least=1.0, rounding=ROUNDING)


def require_share(name: str, value: Any) -> None:
    """Refuse what is not a probability, 0 and 1 included, up to rounding."""
    require_real(name, value, most=1.0, rounding=ROUNDING)


def require_count(name: str, value: int, *, least: int = 1) -> None:
    """Refuse what is not an integer of at least `least`."""
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool) and getattr(value, "ndim", 0) == 0
    if not (is_integer and value >= least):
        raise ArgumentError(name, value, f"an integer of at least {least}")


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def to_float(count: int) -> float:
    """Return a count as a float, infinity where it is too large for one."""
    return float(count) if count <= LARGEST else math.inf


def to_array(name: str, value: ArrayLike, shape: tuple[int | None, ...], *, finite: bool = True) -> NDArray[np.float64]:
    """Return data of a shape as float64: the array itself if it is that already. Booleans are not numbers here.

    Parameters
    ----------
    name : str
    value : array_like
    shape : tuple of int or None
        None is any length.
    finite : bool
        Whether NaN and infinities are refused.

    Raises
    ------
    ArgumentError
        If the data are not numbers, of another shape, or not finite.
    """
    try:
        given = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise ArgumentError(name, value, "an array of numbers") from None
    # Conditions and not `require`: the words would cost more than the checks, and every value is checked here.
    if given.dtype.kind not in "iuf" and given.size > 0:
        raise ArgumentError(name, value, "an array of numbers")
    array = given if given.dtype == np.float64 else given.astype(np.float64)
    if array.ndim != len(shape) or (shape != array.shape and any(map(_differs, shape, array.shape))):
        expected = f"of {len(shape)} dimensions" if None in shape else str(shape)
        raise ArgumentError(f"the shape of {name}", array.shape, expected)
    if finite and not is_finite(array):
        raise ArgumentError(name, value, "finite everywhere (no NaN, no infinity)")
    return array


def is_finite(array: NDArray[Any]) -> bool:
    """Whether no number of an array is NaN or infinite."""
    return b"\0" not in np.isfinite(array).tobytes()  # a third of the time of `all` where arrays are small


def _differs(allowed: int | None, size: int) -> bool:
    return allowed is not None and allowed != size


def read_only(array: Any, *, ndim: int, name: str) -> NDArray[np.float64]:
    """Return finite float64 data of `ndim` dimensions that nobody can write to: the array itself if it is that already.

    Raises
    ------
    ArgumentError
        If the data are not numbers, not finite, or of another number of dimensions.
    """
    is_right = type(array) is np.ndarray and array.dtype == np.float64 and array.ndim == ndim and is_finite(array)
    return frozen(array if is_right else to_array(name, array, (None,) * ndim))


def freeze(value: Any, **dimensions: int) -> None:
    """Make arrays of a frozen dataclass `read_only`, by name and number of dimensions; for its `__post_init__`."""
    for name, ndim in dimensions.items():
        object.__setattr__(value, name, read_only(getattr(value, name), ndim=ndim, name=name))


def frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an array that nobody can write to: the array itself if it is that already, or else a copy."""
    if _writeable(array):
        array = array.copy()
        array.setflags(write=False)
    return array


def _writeable(array: NDArray[Any]) -> bool:
    """Whether anybody could write to the memory of an array, also through an array that it is a view of."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return True
        base = base.base
    return base is not None and not isinstance(base, bytes)


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
    require(array.size >= 1 and abs(total - 1) <= ROUNDING, "law", law, "a vector of probabilities that sum to 1")
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
