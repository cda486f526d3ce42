"""The array libraries that the kernels run on: how arrays go in and out, what they need, and which extra has it.

This is the one list of backends: tests, subjects and the command line read it. A library is imported when its
`conversions` are called, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Backend:
    """An array library that carries the kernels.

    Attributes
    ----------
    name : str
        Of the library.
    needs : str
        What has to be installed, in words.
    extra : str or None
        The package's extra that installs it; None if users install it themselves.
    conversions : callable
        Returns two functions: from a NumPy array to one of the library, and back. Raises `ImportError` if something
        is missing.
    """

    name: str
    needs: str
    extra: str | None
    conversions: Callable[[], tuple[Convert, Convert]]


def _strict() -> tuple[Convert, Convert]:
    import array_api_strict as strict  # noqa: PLC0415 (optional)

    # On its second device, which refuses what a GPU would.
    device, back = strict.Device("device1"), strict.Device("CPU_DEVICE")
    return lambda array: strict.asarray(array, device=device), lambda array: np.asarray(array.to_device(back))


def _torch() -> tuple[Convert, Convert]:
    import torch  # noqa: PLC0415 (optional)

    return lambda array: torch.from_numpy(array.copy()), lambda array: array.numpy()


def _jax() -> tuple[Convert, Convert]:
    import jax  # noqa: PLC0415 (optional)

    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray, np.asarray


def _cupy() -> tuple[Convert, Convert]:
    import cupy  # noqa: PLC0415 (optional)

    if not cupy.cuda.is_available():
        raise ImportError("no GPU")
    return cupy.asarray, cupy.asnumpy


BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        each.name: each
        for each in (
            Backend("numpy", "numpy", None, lambda: (np.asarray, np.asarray)),
            Backend("array_api_strict", "array_api_strict", "test", _strict),
            Backend("torch", "torch", None, _torch),
            Backend("jax", "jax", None, _jax),
            Backend("cupy", "a GPU with its driver, and cupy", "cuda", _cupy),
        )
    }
)
"""By name."""
