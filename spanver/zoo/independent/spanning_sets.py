"""Barycentric spanners, covering lists, and the diagonal of a pivoted QR."""

from __future__ import annotations

import numpy as np

from spanver.values import FloatArray
from spanver.zoo.independent.algebra import elliptic_norms


def barycentric_spanner(vectors: FloatArray, approximation: float) -> list[int]:
    """Indices of an approximate barycentric spanner: a greedy start, then swaps that raise the determinant."""
    _, singular, right = np.linalg.svd(vectors, full_matrices=False)
    rank = int(np.sum(singular > max(vectors.shape) * np.finfo(float).eps * singular[0])) if singular.size else 0
    if rank == 0:
        return []
    points = vectors @ right[:rank].T
    rest, chosen = points, []
    for _ in range(rank):
        pick = int(np.argmax(np.linalg.norm(rest, axis=1)))
        chosen.append(pick)
        rest = _without(rest, pick)
    constant = min(approximation, max(1.0 + 1e-6, approximation * (1 - 1e-6)))
    for _ in range(10000):
        coefficients = np.abs(np.linalg.solve(points[chosen].T, points.T))
        place, pick = divmod(int(np.argmax(coefficients)), len(points))
        if coefficients[place, pick] <= constant:
            break
        chosen[place] = pick
    return chosen


def covering_list(vectors: FloatArray, ridge: float, nu: float) -> list[int]:
    """Indices of members after which none has an elliptic norm above `nu`."""
    sigma, chosen = ridge * np.eye(vectors.shape[1]), []
    while len(vectors):
        norms = elliptic_norms(vectors, sigma)
        pick = int(np.argmax(norms))
        if norms[pick] <= nu:
            break
        chosen.append(pick)
        sigma = sigma + np.outer(vectors[pick], vectors[pick])
    return chosen


def pivoted_diagonal(vectors: FloatArray) -> list[float]:
    """Lengths of the pivots of Gram and Schmidt, the longest first."""
    rest, found = vectors, []
    for _ in range(min(vectors.shape)):
        lengths = np.linalg.norm(rest, axis=1)
        pick = int(np.argmax(lengths))
        found.append(float(lengths[pick]))
        if lengths[pick] > 0.0:
            rest = _without(rest, pick)
    return list(np.minimum.accumulate(found))


def _without(vectors: FloatArray, pick: int) -> FloatArray:
    """Parts of all vectors that are orthogonal to one of them."""
    unit = vectors[pick] / np.linalg.norm(vectors[pick])
    for _ in range(2):  # once leaves rounding errors that a second time removes
        vectors = vectors - np.outer(vectors @ unit, unit)
    return vectors
