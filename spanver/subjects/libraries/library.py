"""The record of a library: its code under the names of the contract, and its promises in its own words."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

from numpy.typing import ArrayLike

from spanver.errors import MissingExtraError
from spanver.subjects.contract import Subject
from spanver.validation import require, require_positive, to_array
from spanver.values import FloatArray


@dataclass(frozen=True)
class Library:
    """A library that can be verified by name.

    Attributes
    ----------
    name : str
        Of the subject.
    library : str
        The distribution that has the code.
    functions : mapping of str to callable
        Adapters to its code, by their names in the contract.
    promises : mapping of str to str
        For each guarantee that is judged, the promise in the library's words, and where it is made.
    approximation : float
        `C` of B1 and B2, at which its barycentric spanners are judged.
    rounding : float
        Relative error that its own precision, or its tolerance, needs.
    may_fall_short : bool
        Whether its spanners may have fewer members than the rank.
    unpromised : frozenset of str
        Functions for which it promises nothing: their guarantees are measured and not judged.
    """

    name: str
    library: str
    functions: Mapping[str, Callable[..., Any]]
    promises: Mapping[str, str]
    approximation: float = Subject.approximation
    rounding: float = Subject.rounding
    may_fall_short: bool = Subject.may_fall_short
    unpromised: frozenset[str] = Subject.unpromised

    def __post_init__(self) -> None:
        for mapping in ("functions", "promises"):
            object.__setattr__(self, mapping, MappingProxyType(dict(getattr(self, mapping))))

    def version(self) -> str | None:
        """Return the installed version of the library, or `None`."""
        try:
            return importlib.metadata.version(self.library)
        except importlib.metadata.PackageNotFoundError:
            return None


def import_library(module: str, distribution: str) -> ModuleType:
    """Import a module of a library; raise `MissingExtraError` if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError("this subject", distribution, "third-party") from None


def finite_matrix(vectors: ArrayLike) -> FloatArray:
    """Return a finite matrix, shape (n, d), each at least 1."""
    matrix = to_array("vectors", vectors, (None, None))
    require(matrix.size > 0, "the shape of vectors", matrix.shape, "(n, d), each at least 1")
    return matrix


def regression_data(features: ArrayLike, targets: ArrayLike, ridge: float) -> tuple[FloatArray, FloatArray]:
    """Return features, shape (n, d), and targets, shape (n,), of a ridge regression."""
    matrix = finite_matrix(features)
    require_positive("ridge", ridge)
    return matrix, to_array("targets", targets, (len(matrix),))


def subject_of(library: Library) -> Subject:
    """Return a library's code as a subject, with the installed version in its name.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    version = library.version()
    if version is None:
        raise MissingExtraError(f"the subject {library.name}", library.library, "third-party")
    return Subject(
        name=f"{library.name} ({library.library} {version})",
        functions=library.functions,
        approximation=library.approximation,
        rounding=library.rounding,
        may_fall_short=library.may_fall_short,
        unpromised=library.unpromised,
    )
