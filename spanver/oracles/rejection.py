"""Drawing until a rule accepts, in blocks that read ahead and consume only the tries that were made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spanver.oracles.metered import PromptStreams
from spanver.values import FloatArray, IntArray, RejectionRule

_LARGEST_BLOCK = 8192  # tries looked at together: above that, blocks leave the cache


def first_accepted(
    streams: PromptStreams, width: int, limit: int, hits: Callable[[FloatArray], IntArray], *, block: int = 16
) -> tuple[FloatArray | None, int]:
    """Find the first of `limit` tries that hits.

    Parameters
    ----------
    streams : PromptStreams
        Its buffers are used up as far as the tries that are reported, and no further.
    width : int
        Uniforms of the response buffer that a try takes.
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
        uniforms = streams.responses.peek(count * width).reshape(count, width)
        found = hits(uniforms)
        used = int(found[0]) + 1 if len(found) > 0 else count
        streams.responses.take(used * width)
        tried += used
        streams.tried += used
        if len(found) > 0:
            return uniforms[used - 1], tried
        block = min(4 * block, _LARGEST_BLOCK)
    return None, tried


def accepted(rule: RejectionRule, beta: float, features: FloatArray, streams: PromptStreams) -> IntArray:
    """Position of the first trial that is accepted, if any: `log U < score/beta - log_threshold`, `U` in (0, 1] (A1).

    Parameters
    ----------
    rule : RejectionRule
    beta : float
    features : array, shape (n, d)
    streams : PromptStreams
        Its acceptance buffer is used up as far as the trials that took place.

    Returns
    -------
    array of int, shape (0,) or (1,)
    """
    return accepted_tries(rule.score.of(features) / beta - rule.log_threshold, streams)


def accepted_tries(log_acceptance: FloatArray, streams: PromptStreams) -> IntArray:
    """Position of the first of trials, with these log probabilities of acceptance, shape (n,), that is accepted."""
    first = np.flatnonzero(np.log1p(-streams.acceptance.peek(len(log_acceptance))) <= log_acceptance)[:1]
    streams.acceptance.take(int(first[0]) + 1 if len(first) > 0 else len(log_acceptance))
    return first
