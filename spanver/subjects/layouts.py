"""How an array lies in memory: callers pass columns of matrices, reversed views and single precision too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spanver.validation import require_one_of
from spanver.values import FloatArray


def _column(array: FloatArray) -> FloatArray:
    """Every third number of a longer array, with ones between: who reads on without strides takes those."""
    around = np.ones((*array.shape, 3))
    around[..., 1] = array
    return around[..., 1]


def _reversed(array: FloatArray) -> FloatArray:
    """The last axis backwards, with ones after it: who reads on forwards takes those."""
    size = array.shape[-1]
    around = np.ones((*array.shape[:-1], 2 * size))
    around[..., :size] = array[..., ::-1]
    return around[..., size - 1 :: -1] if size else around


CONTIGUOUS = "contiguous"

LAYOUTS: Mapping[str, Callable[[FloatArray], NDArray[Any]]] = MappingProxyType(
    {
        CONTIGUOUS: np.ascontiguousarray,
        "column": _column,
        "reversed": _reversed,
        "transposed": np.asfortranarray,
        "float32": lambda array: array.astype(np.float32),
    }
)
"""Ways in which the same numbers may lie in memory; `float32` rounds them."""


def laid_out(array: FloatArray, layout: str) -> NDArray[Any]:
    """Return an array with the same numbers in another layout.

    Parameters
    ----------
    array : array
    layout : str
        A key of `LAYOUTS`.

    Raises
    ------
    ArgumentError
        If there is no such layout.

    Examples
    --------
    >>> laid_out(np.array([0.25, 0.75]), "column").strides
    (24,)
    """
    require_one_of("layout", layout, LAYOUTS)
    return LAYOUTS[layout](array)


def layout_of(array: NDArray[Any]) -> str:
    """Return the layout, a key of `LAYOUTS`, in which an array lies, or one like it.

    Examples
    --------
    >>> layout_of(np.arange(6.0).reshape(2, 3)[:, 1]), layout_of(np.zeros(2, dtype=np.float32))
    ('column', 'float32')
    """
    if array.dtype == np.float32:
        return "float32"
    if array.flags.c_contiguous:
        return CONTIGUOUS
    if array.strides[-1] < 0:
        return "reversed"
    return "transposed" if array.flags.f_contiguous else "column"
