"""Pairs that a scan accepts (A2, phase 1), barycentric spanners (B1, B2), and lists that cover a set (B3).

`spanner_trace` is phase 1 of A2 on given pairs; the learner instead asks an oracle for the first uncertain pair.
`barycentric_spanner` is the algorithm of Awerbuch and Kleinberg (2008): a basis is chosen greedily, then members are
swapped while a swap increases the absolute determinant by more than the factor `C`. `covering_list` chooses the vector
of largest elliptic norm until no norm is above `nu`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spanver.kernels.plain.elliptic import update_inverse_factor
from spanver.kernels.plain.namespace import array_namespace

Array = Any  # an array of any namespace; shapes stand in the docstrings


def barycentric_spanner(vectors: Array, approximation: float) -> list[int]:
    """Choose members of which every vector is a combination with coefficients of at most `C` (B1).

    Parameters
    ----------
    vectors : array, shape (n, d)
        Any rank.
    approximation : float
        `C`; above 1, so that swapping ends.

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
    rounding = largest * max(vectors.shape) * float(xp.finfo(vectors.dtype).eps)
    rank = int(xp.sum(xp.astype(values > rounding, xp.int64))) if largest > 0.0 else 0
    # In an orthonormal basis of the span, sets of `rank` vectors are square matrices of the same volume.
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
    """Choose members until no vector has an elliptic norm above `nu` (B3); a member may be chosen repeatedly.

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


@dataclass(frozen=True, eq=False)
class SpannerTrace:
    """What a scan accepted.

    Attributes
    ----------
    accepted : array of int, shape (T,)
        Index of the accepted pair of each prompt, -1 where none was uncertain.
    norms : array, shape (T, n)
        `||v||_{Sigma^-1}` of every pair under the `Sigma` before its prompt's update.
    sigma : array, shape (d, d)
        `lambda I + sum v v^T` over the accepted pairs.
    log_det : float
        `log det Sigma`.
    """

    accepted: Array
    norms: Array
    sigma: Array
    log_det: float


def spanner_trace(pairs: Array, ridge: float, nu: float) -> SpannerTrace:
    """Scan prompts in order; in each, accept the first pair with `||v||_{Sigma^-1} > nu` (A2, phase 1; `[paper]`).

    Parameters
    ----------
    pairs : array, shape (T, n, d)
        Relative features `v` of the `n` pairs of each of `T` prompts, in the order tried.
    ridge : float
        `lambda`, above 0.
    nu : float
        Above 0.
    """
    xp = array_namespace(pairs)
    dimension = pairs.shape[2]
    identity = xp.eye(dimension, dtype=pairs.dtype, device=pairs.device)
    factor = identity / ridge**0.5
    sigma = ridge * identity
    log_det = dimension * float(xp.log(xp.asarray(ridge, dtype=pairs.dtype, device=pairs.device)))
    accepted, norms = [], []
    for prompt in range(pairs.shape[0]):
        prompt_norms = xp.linalg.vector_norm(pairs[prompt, :, :] @ xp.matrix_transpose(factor), axis=-1)
        norms.append(prompt_norms)
        uncertain = prompt_norms > nu
        first = int(xp.argmax(xp.astype(uncertain, xp.int64))) if bool(xp.any(uncertain)) else -1
        accepted.append(first)
        if first >= 0:
            vector = pairs[prompt, first, :]
            factor, gain = update_inverse_factor(factor, vector)
            sigma = sigma + vector[:, None] * vector[None, :]
            log_det += gain
    return SpannerTrace(
        accepted=xp.asarray(accepted, dtype=xp.int64, device=pairs.device),
        norms=xp.stack(norms) if norms else xp.zeros(pairs.shape[:2], dtype=pairs.dtype, device=pairs.device),
        sigma=sigma,
        log_det=log_det,
    )
