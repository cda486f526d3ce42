"""The one rule by which every learner gets what it needs: effort is doubled until it suffices.

Every learner has one number, its *effort* `k`, that scales what its theory says must grow. The smallest sufficient
`k = 2^j` is found on one seed, from `j = 0` upwards: no learner is tuned more than another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spanver.oracle import Ledger

__all__ = ["Attempt", "smallest_sufficient"]


@dataclass(frozen=True)
class Attempt:
    """What a run of one effort came to."""

    gap: float
    ledger: Ledger


def smallest_sufficient(attempt: Callable[[int], Attempt], eps: float, *, largest: int) -> tuple[int, Attempt] | None:
    """Find the smallest exponent `j` whose effort `2^j` reaches a gap of `eps`.

    Parameters
    ----------
    attempt : callable
        Run of effort `2^j`.
    eps : float
    largest : int
        Largest exponent that is tried.

    Returns
    -------
    tuple or None
        Exponent and attempt; None if not even the largest suffices.
    """
    for exponent in range(largest + 1):
        found = attempt(exponent)
        if found.gap <= eps:
            return exponent, found
    return None
