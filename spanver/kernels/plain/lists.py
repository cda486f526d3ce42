"""Spanners of a list of vectors that is given: barycentric (B1, B2), and covering to a threshold (B3).

`barycentric_spanner` is the algorithm of Awerbuch and Kleinberg (2008): a basis is chosen greedily, and members are
swapped as long as a swap raises the absolute determinant by more than the factor `C`. `covering_list` takes the vector
of largest elliptic norm until none is above `nu`.
"""

from __future__ import annotations

from typing import Any

from spanver.kernels.plain.elliptic import update_inverse_factor
from spanver.kernels.plain.namespace import array_namespace

__all__ = ["barycentric_spanner", "covering_list", "ridge_regression"]

Array = Any  # an array of any namespace; shapes stand in the docstrings


def barycentric_spanner(vectors: Array, approximation: float) -> list[int]:
    """Choose members of which every vector is a combination with coefficients of at most `C` (B1).

    Parameters
    ----------
    vectors : array, shape (n, d)
        Any rank.
    approximation : float
        `C`, above 1: swapping then ends.

    Returns
    -------
    list of int
        As many as the rank, in the order of their coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> barycentric_spanner(np.array([[1.0, 0.0], [0.1, 0.1], [0.0, 1.0]]), 2.0)
    [0, 2]
    """
    xp = array_namespace(vectors)
    _, values, basis = xp.linalg.svd(vectors, full_matrices=False)
    largest = float(xp.max(values))
    dust = largest * max(vectors.shape) * float(xp.finfo(vectors.dtype).eps)
    rank = int(xp.sum(xp.astype(values > dust, xp.int64))) if largest > 0.0 else 0
    # In an orthonormal basis of the span determinants are square, and volumes those of the vectors themselves.
    coordinates = vectors @ xp.matrix_transpose(basis[:rank, :])
    chosen: list[int] = []
    left = coordinates
    for _ in range(rank):
        lengths = xp.linalg.vector_norm(left, axis=1)
        best = int(xp.argmax(lengths))
        chosen.append(best)
        direction = left[best, :] / lengths[best]
        left = left - (left @ direction)[:, None] * direction[None, :]
    while rank > 0:
        # By Cramer's rule a coefficient is the factor by which that swap changes the determinant.
        members = xp.stack([coordinates[member, :] for member in chosen])
        factors = xp.abs(xp.linalg.solve(xp.matrix_transpose(members), xp.matrix_transpose(coordinates)))
        flat = int(xp.argmax(xp.reshape(factors, (-1,))))
        position, member = divmod(flat, vectors.shape[0])
        if float(factors[position, member]) <= approximation:
            break
        chosen[position] = member
    return chosen


def covering_list(vectors: Array, ridge: float, nu: float) -> list[int]:
    """Choose members after which no vector has an elliptic norm above `nu` (B3); a member may be chosen repeatedly.

    Parameters
    ----------
    vectors : array, shape (n, d)
    ridge, nu : float
        Above 0.

    Returns
    -------
    list of int
        In the order chosen.
    """
    xp = array_namespace(vectors)
    factor = xp.eye(vectors.shape[1], dtype=vectors.dtype, device=vectors.device) / ridge**0.5
    chosen: list[int] = []
    while True:
        norms = xp.linalg.vector_norm(vectors @ xp.matrix_transpose(factor), axis=1)
        longest = int(xp.argmax(norms))
        if float(norms[longest]) <= nu:
            return chosen
        chosen.append(longest)
        factor, _ = update_inverse_factor(factor, vectors[longest, :])


def ridge_regression(features: Array, targets: Array, ridge: float) -> Array:
    """Minimise `sum (<theta, v_i> - y_i)^2 + ridge ||theta||^2` (E7).

    Parameters
    ----------
    features : array, shape (n, d)
    targets : array, shape (n,)
    ridge : float
        Above 0.

    Returns
    -------
    array, shape (d,)
    """
    xp = array_namespace(features, targets)
    columns = xp.matrix_transpose(features)
    identity = xp.eye(features.shape[1], dtype=features.dtype, device=features.device)
    return xp.linalg.solve(columns @ features + ridge * identity, (columns @ targets)[:, None])[:, 0]
