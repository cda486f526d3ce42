"""The record of a library: its code under the names of the contract, and its promises in its own words."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType

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
    subject : Subject
        Adapters to its code, and at what they are judged.
    library : str
        The distribution that has the code.
    promises : mapping of str to str
        For each guarantee that is judged, the promise in the library's words, and where it is made.
    """

    subject: Subject
    library: str
    promises: Mapping[str, str]

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
    version, name = library.version(), library.subject.name
    if version is None:
        raise MissingExtraError(f"the subject {name}", library.library, "third-party")
    return replace(library.subject, name=f"{name} ({library.library} {version})")
