"""The one rule by which every learner gets what it needs: the smallest effort, in powers of 2, that suffices.

Every learner has one number, its *effort* `k`, that scales what its theory says must grow with coverage. The smallest
sufficient `k = 2^j` is found by bisection over `j` on one seed: no learner is tuned more than another.
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


def smallest_sufficient(
    attempt: Callable[[int], Attempt], eps: float, *, largest: int
) -> tuple[int | None, Attempt | None]:
    """Find the smallest exponent `j` whose effort `2^j` reaches a gap of `eps`, by bisection.

    Luck makes a gap that shrinks with effort waver; bisection then ends at one of the crossings.

    Parameters
    ----------
    attempt : callable
        Run of effort `2^j`.
    eps : float
    largest : int
        Largest exponent that is tried.

    Returns
    -------
    tuple
        Exponent and attempt; None and None if even the largest does not suffice.
    """
    best = attempt(largest)
    if best.gap > eps:
        return None, None
    low, high = -1, largest  # low does not suffice, high does
    while high - low > 1:
        middle = (low + high) // 2
        tried = attempt(middle)
        if tried.gap <= eps:
            high, best = middle, tried
        else:
            low = middle
    return high, best
