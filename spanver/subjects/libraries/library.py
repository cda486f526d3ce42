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
from spanver.validation import require, require_positive, to_array

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
    matrix = to_array("vectors", vectors, (None, None))
    require(matrix.size > 0, "the shape of vectors", matrix.shape, "(n, d), each at least 1")
    return matrix


def _regression(features: ArrayLike, targets: ArrayLike, ridge: float) -> tuple[FloatArray, FloatArray]:
    matrix = _matrix(features)
    require_positive("ridge", ridge)
    return matrix, to_array("targets", targets, (len(matrix),))
