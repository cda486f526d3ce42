"""Elliptic norms `||v||_{Sigma^-1}`, and the factor with which they stay cheap while `Sigma` grows (S1-S4, S8).

`Sigma = L L^T`; the inverse factor `W = L^-1` turns the norm into a Euclidean one, `||v||_{Sigma^-1} = ||W v||`, and a
rank-one update of `Sigma` into an `O(d^2)` update of `W`. No triangular solve is needed, which the array API lacks.
"""

from __future__ import annotations

from typing import Any

from spanver.kernels.plain.namespace import array_namespace

Array = Any  # an array of any namespace; shapes stand in the docstrings

_BLOCK_ELEMENTS = 1 << 20  # of an array of differences: 8 MiB


def inverse_factor(sigma: Array) -> Array:
    """Lower triangular `W` with `W^T W = Sigma^-1`.

    Parameters
    ----------
    sigma : array, shape (d, d)
        Symmetric positive definite.

    Returns
    -------
    array, shape (d, d)
    """
    xp = array_namespace(sigma)
    lower = xp.linalg.cholesky(sigma)
    identity = xp.eye(sigma.shape[0], dtype=sigma.dtype, device=sigma.device)
    # A general solver leaves rounding errors above the diagonal; the exact inverse is lower triangular.
    return xp.tril(xp.linalg.solve(lower, identity))


def elliptic_norms(vectors: Array, sigma: Array) -> Array:
    """Norms `||v||_{Sigma^-1}`, the definition (mathematics.md, section 1; `[paper]`).

    Parameters
    ----------
    vectors : array, shape (..., d)
    sigma : array, shape (d, d)
        Symmetric positive definite.

    Returns
    -------
    array, shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> elliptic_norms(np.array([[3.0, 4.0]]), 4.0 * np.eye(2))
    array([2.5])
    """
    xp = array_namespace(vectors, sigma)
    whitened = vectors @ xp.matrix_transpose(inverse_factor(sigma))
    return xp.linalg.vector_norm(whitened, axis=-1)


def precision_norms(vectors: Array, precision: Array) -> Array:
    """Norms `||v||_{Sigma^-1}` when `Sigma^-1` itself is given.

    Parameters
    ----------
    vectors : array, shape (..., d)
    precision : array, shape (d, d)
        `Sigma^-1`, symmetric positive semidefinite.

    Returns
    -------
    array, shape (...)
    """
    xp = array_namespace(vectors, precision)
    squares = xp.sum((vectors @ precision) * vectors, axis=-1)
    return xp.sqrt(xp.maximum(squares, xp.zeros_like(squares)))


def uncertain_mask(first: Array, second: Array, precision: Array, nu: float) -> Array:
    """Which pairs of two lists of features are uncertain: `||phi_i - phi_j||_{Sigma^-1} > nu`.

    Squared norms are computed from one Gram matrix, unless one of them is so close to `nu^2` that cancellation could
    change the result. Then all are computed from the differences themselves, so the mask is that of `precision_norms`,
    up to its own rounding.

    Parameters
    ----------
    first : array, shape (m, d)
    second : array, shape (n, d)
    precision : array, shape (d, d)
        `Sigma^-1`.
    nu : float

    Returns
    -------
    array of bool, shape (m, n)
    """
    xp = array_namespace(first, second, precision)
    centre = xp.mean(second, axis=0)
    left, right = first - centre, second - centre
    left_precision = left @ precision
    left_squares = xp.sum(left_precision * left, axis=1)[:, None]
    right_squares = xp.sum((right @ precision) * right, axis=1)[None, :]
    excess = left_squares + right_squares - 2.0 * (left_precision @ right.T) - nu**2
    # Rounding errors are relative to the terms, which may be far larger than their sum if Sigma is ill-conditioned.
    dimension = first.shape[1]
    rounding = 8.0 * (dimension + 1) * dimension * float(xp.finfo(first.dtype).eps) * float(xp.max(xp.abs(precision)))
    lengths = xp.sum(left * left, axis=1)[:, None] + xp.sum(right * right, axis=1)[None, :]
    if not bool(xp.any(xp.abs(excess) <= rounding * lengths)):
        return excess > 0.0
    rows = max(1, _BLOCK_ELEMENTS // (second.shape[0] * dimension))
    starts = range(0, first.shape[0], rows)
    blocks = (first[start : min(start + rows, first.shape[0]), None, :] - second[None, :, :] for start in starts)
    return xp.concat([precision_norms(block, precision) > nu for block in blocks], axis=0)


def update_inverse_factor(factor: Array, vector: Array) -> tuple[Array, float]:
    """Inverse factor of `Sigma + v v^T` from that of `Sigma`, in `O(d^2)`.

    With `z = W v` and `t_i = 1 + z_1^2 + .. + z_i^2`, the inverse of the Cholesky factor of `I + z z^T` has the
    diagonal `sqrt(t_{i-1}/t_i)` and `-z_i z_j / sqrt(t_{i-1} t_i)` below it, so it acts on `W` through running sums of
    its rows.

    Parameters
    ----------
    factor : array, shape (d, d)
        `W`, lower triangular.
    vector : array, shape (d,)
        `v`.

    Returns
    -------
    factor : array, shape (d, d)
        Lower triangular.
    log_det_gain : float
        `log det(Sigma + v v^T) - log det Sigma = log(1 + ||v||^2_{Sigma^-1})` (S3).
    """
    xp = array_namespace(factor, vector)
    z = factor @ vector
    totals = 1.0 + xp.cumulative_sum(z * z, include_initial=True)
    before, after = totals[:-1, None], totals[1:, None]
    weighted = z[:, None] * factor
    sums_above = xp.cumulative_sum(weighted, axis=0, include_initial=True)[:-1, :]
    updated = xp.sqrt(before / after) * (factor - (z[:, None] / before) * sums_above)
    return updated, float(xp.log(totals[-1]))
