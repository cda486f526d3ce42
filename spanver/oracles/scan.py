"""Drawing until a rule accepts, in blocks that read ahead and use up only what was tried."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spanver.oracles.door import Luck
from spanver.values import FloatArray, IntArray, Trial

__all__ = ["accepted", "first_hit"]

_LARGEST_BLOCK = 8192  # tries looked at together: above that, blocks leave the cache


def first_hit(
    luck: Luck, width: int, limit: int, hits: Callable[[FloatArray], IntArray], *, block: int = 16
) -> tuple[FloatArray | None, int]:
    """Find the first of `limit` tries that hits.

    Parameters
    ----------
    luck : Luck
        Its tapes are used up as far as the tries that are reported, and no further.
    width : int
        Uniforms of the response tape that a try takes.
    limit : int
    hits : callable
        Given the uniforms of tries, shape (n, width), the positions, increasing, of those that hit.
    block : int
        Tries looked at together at first; blocks grow.

    Returns
    -------
    uniforms : array, shape (width,), or None
        Those of the try that hit.
    tries : int
    """
    tried = 0
    while tried < limit:
        count = min(block, limit - tried)
        uniforms = luck.responses.peek(count * width).reshape(count, width)
        found = hits(uniforms)
        used = int(found[0]) + 1 if len(found) > 0 else count
        luck.responses.take(used * width)
        tried += used
        luck.tried += used
        if len(found) > 0:
            return uniforms[used - 1], tried
        block = min(4 * block, _LARGEST_BLOCK)
    return None, tried


def accepted(rule: Trial, beta: float, features: FloatArray, luck: Luck) -> IntArray:
    """Position of the first trial that is accepted, if any: `log U < score/beta - log_threshold`, `U` in (0, 1] (A1).

    Parameters
    ----------
    rule : Trial
    beta : float
    features : array, shape (n, d)
    luck : Luck
        Its acceptance tape is used up as far as the trials that took place.

    Returns
    -------
    array of int, shape (0,) or (1,)
    """
    log_acceptance = rule.score.of(features) / beta - rule.log_threshold
    first = np.flatnonzero(np.log1p(-luck.acceptance.peek(len(features))) <= log_acceptance)[:1]
    luck.acceptance.take(int(first[0]) + 1 if len(first) > 0 else len(features))
    return first
