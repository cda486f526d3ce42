"""SciPy's pivoted QR: it promises a non-increasing diagonal of `R`. It does not promise B1, which is only measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spanver.subjects.contract import Subject
from spanver.subjects.libraries.library import Library, finite_matrix, import_library
from spanver.values import FloatArray


def scipy_pivoted_spanner(vectors: ArrayLike, approximation: float = np.inf) -> list[int]:
    """Return the first `rank` pivots of SciPy's QR decomposition with column pivoting, vectors as columns.

    SciPy promises no constant for them, so `approximation` is not used.

    Parameters
    ----------
    vectors : (n, d) array
        The set.
    approximation : float
        Not used.

    Raises
    ------
    ArgumentError
        If `vectors` is not a finite matrix.
    """
    del approximation
    matrix = finite_matrix(vectors)
    rank = int(np.linalg.matrix_rank(matrix))
    if rank == 0:
        return []
    pivots = import_library("scipy.linalg", "scipy").qr(matrix.T, mode="r", pivoting=True)[1]
    return [int(index) for index in pivots[:rank]]


def scipy_pivoted_diagonal(vectors: ArrayLike) -> FloatArray:
    """Return the absolute diagonal of `R` of SciPy's QR decomposition with column pivoting, vectors as columns.

    Parameters
    ----------
    vectors : (n, d) array
        The set.

    Returns
    -------
    (min(n, d),) array
        Non-increasing, as SciPy promises.

    Raises
    ------
    ArgumentError
        If `vectors` is not a finite matrix.
    """
    triangle = import_library("scipy.linalg", "scipy").qr(finite_matrix(vectors).T, mode="r", pivoting=True)[0]
    return np.asarray(np.abs(np.diagonal(triangle)), dtype=np.float64)


LIBRARIES = (
    Library(
        Subject(
            "scipy",
            {"barycentric_spanner": scipy_pivoted_spanner, "pivoted_diagonal": scipy_pivoted_diagonal},
            unpromised=frozenset({"barycentric_spanner"}),
        ),
        "scipy",
        {
            "pivoted diagonal": (
                'scipy.linalg.qr, docstring, `pivoting`: "P is chosen such that the diagonal of R is non-increasing", '
                "shown there of absolute values"
            )
        },
    ),
)
