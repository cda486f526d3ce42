"""The one rule by which every learner gets what it needs: effort is doubled until it suffices, then halved to quarters.

Every learner has one number, its *effort* `k`, that scales what its theory says must grow. The smallest sufficient
`k = 2^j`, `j` a multiple of 1/4, is found on one seed, from `j = 0` upwards: no learner is tuned more than another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spanver.oracle import Ledger


@dataclass(frozen=True)
class Attempt:
    """Result of a run of one effort."""

    gap: float
    ledger: Ledger


def smallest_sufficient(
    attempt: Callable[[float], Attempt], eps: float, *, largest: int
) -> tuple[float, Attempt] | None:
    """Find the smallest exponent `j`, to a quarter, whose effort `2^j` reaches a gap of `eps`.

    Whole exponents are tried upwards; the last step is then halved twice, towards what suffices.

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
            return _refined(attempt, eps, float(exponent), found) if exponent else (0.0, found)
    return None


def _refined(attempt: Callable[[float], Attempt], eps: float, enough: float, found: Attempt) -> tuple[float, Attempt]:
    for step in (0.5, 0.25):
        tried = attempt(enough - step)
        if tried.gap <= eps:
            enough, found = enough - step, tried
    return enough, found
