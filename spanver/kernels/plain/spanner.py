"""Phase 1 of SpannerSampling (A2) on pairs that are given: which are accepted, and what `Sigma` becomes (S1-S4).

The learner asks an oracle for the first uncertain pair of each prompt; this is the same scan when every pair is on the
table, for reference values and for checking what an implementation accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spanver.kernels.plain.elliptic import update_inverse_factor
from spanver.kernels.plain.namespace import array_namespace

__all__ = ["SpannerScan", "spanner_trace"]

Array = Any  # an array of any namespace; shapes stand in the docstrings


@dataclass(frozen=True, eq=False)
class SpannerScan:
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


def spanner_trace(pairs: Array, ridge: float, nu: float) -> SpannerScan:
    """Scan prompts in order; in each, accept the first pair with `||v||_{Sigma^-1} > nu` (A2, phase 1; `[FMR25]`).

    Parameters
    ----------
    pairs : array, shape (T, n, d)
        Relative features `v` of the `n` pairs of each of `T` prompts, in the order tried.
    ridge : float
        `lambda`, above 0.
    nu : float
        Above 0.

    Returns
    -------
    SpannerScan
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
    return SpannerScan(
        accepted=xp.asarray(accepted, dtype=xp.int64, device=pairs.device),
        norms=xp.stack(norms) if norms else xp.zeros(pairs.shape[:2], dtype=pairs.dtype, device=pairs.device),
        sigma=sigma,
        log_det=log_det,
    )
