"""The smallest effort at which a learner reaches a gap, found by one rule for all of them.

Every learner has one number, its *effort* `k`, that scales what its theory says must grow. The smallest sufficient
`k = 2^j`, `j` a multiple of 1/4, is found on one seed, from `j = 0` upwards: no learner is tuned more than another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

from spanver.oracle import Ledger


class HasGap(Protocol):
    """The result of an attempt, as far as the search needs it."""

    @property
    def gap(self) -> float:
        """Of the output."""
        ...


Tried = TypeVar("Tried", bound=HasGap)


@dataclass(frozen=True)
class Attempt:
    """Result of a run of one effort."""

    gap: float
    ledger: Ledger


def smallest_sufficient(attempt: Callable[[float], Tried], eps: float, *, largest: int) -> tuple[float, Tried] | None:
    """Find the smallest exponent `j`, to a quarter, whose effort `2^j` reaches a gap of `eps`.

    Whole exponents are tried upwards; the last step is then bisected twice.

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


def cost_of(found: tuple[float, Attempt] | None, *, runs: int = 1) -> dict[str, float | int | None]:
    """Numbers of a point: the effort that was found, its gap, and its cost a run; None where no effort sufficed."""
    if found is None:
        return dict.fromkeys(("effort", "gap", "samples", "rewards", "enumerated"))
    exponent, best = found
    cost = {name: number if runs == 1 else number / runs for name, number in asdict(best.ledger).items()}
    return {"effort": exponent, "gap": best.gap, **cost}


def _refined(attempt: Callable[[float], Tried], eps: float, enough: float, found: Tried) -> tuple[float, Tried]:
    for step in (0.5, 0.25):
        tried = attempt(enough - step)
        if tried.gap <= eps:
            enough, found = enough - step, tried
    return enough, found
