"""Verdicts: what can be said of a guarantee or of a claim, how it is shown, and what a command exits with."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

__all__ = ["Verdict", "worst"]


class Verdict(Enum):
    """What can be said of a guarantee or of a claim; undecided is never taken for holds."""

    HOLDS = "holds"
    UNDECIDED = "undecided"
    VIOLATED = "violated"

    @property
    def exit_code(self) -> int:
        """What a command with this verdict exits with: 0, 2 and 1."""
        return {Verdict.HOLDS: 0, Verdict.UNDECIDED: 2, Verdict.VIOLATED: 1}[self]

    @property
    def colour(self) -> str:
        """Colour at the terminal."""
        return {Verdict.HOLDS: "green", Verdict.UNDECIDED: "yellow", Verdict.VIOLATED: "red"}[self]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts: violated before undecided before holds, which it is where there are none.

    Examples
    --------
    >>> worst([Verdict.HOLDS, Verdict.UNDECIDED])
    <Verdict.UNDECIDED: 'undecided'>
    """
    order = list(Verdict)
    return max(verdicts, key=order.index, default=Verdict.HOLDS)
