"""A library's code under the names that a subject uses, with what the library promises in its own words."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spanver.errors import MissingExtraError
from spanver.validation import require, require_positive

__all__ = ["ThirdParty"]


FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ThirdParty:
    """A library's code under the names that a subject uses.

    Attributes
    ----------
    name : str
        Of the subject.
    library : str
        Name of the distribution that has the code.
    functions : mapping of str to callable
        The adapters, by the name of what they provide.
    promises : mapping of str to str
        Per guarantee that is judged, the promise in the library's words and where it is made.
    settings : mapping of str to float
        At which the promises are judged: `approximation` is `C` of B1 and B2, `rounding` the relative slack that the
        library's own precision asks for.
    """

    name: str
    library: str
    functions: Mapping[str, Callable[..., Any]]
    promises: Mapping[str, str]
    settings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for mapping in ("functions", "promises", "settings"):
            object.__setattr__(self, mapping, MappingProxyType(dict(getattr(self, mapping))))

    def version(self) -> str | None:
        """Return the installed version of the library, `None` where it is not installed."""
        try:
            return importlib.metadata.version(self.library)
        except importlib.metadata.PackageNotFoundError:
            return None


def _library(module: str, distribution: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError("this subject", distribution, "third-party") from None


def _matrix(vectors: ArrayLike) -> FloatArray:
    matrix = np.asarray(vectors, dtype=np.float64)
    usable = matrix.ndim == 2 and matrix.size > 0 and bool(np.all(np.isfinite(matrix)))
    require(usable, "vectors", vectors, "a finite (n, d) matrix with n, d >= 1")
    return matrix


def _regression(features: ArrayLike, targets: ArrayLike, ridge: float) -> tuple[FloatArray, FloatArray]:
    matrix, column = _matrix(features), np.asarray(targets, dtype=np.float64)
    usable = column.shape == (len(matrix),) and bool(np.all(np.isfinite(column)))
    require(usable, "targets", targets, f"a finite vector of {len(matrix)} numbers")
    require_positive("ridge", ridge)
    return matrix, column
