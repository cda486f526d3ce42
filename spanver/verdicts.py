"""`Verdict` of a guarantee or of a claim, with its exit code and its colour, and the worst of several."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Verdict(Enum):
    """Verdict on a guarantee or on a claim; undecided never counts as holds."""

    HOLDS = "holds"
    UNDECIDED = "undecided"
    VIOLATED = "violated"

    @property
    def exit_code(self) -> int:
        """Exit code of a command with this verdict: 0 if it holds, 2 if undecided, 1 if violated."""
        return {Verdict.HOLDS: 0, Verdict.UNDECIDED: 2, Verdict.VIOLATED: 1}[self]

    @property
    def colour(self) -> str:
        """Colour at the terminal."""
        return {Verdict.HOLDS: "green", Verdict.UNDECIDED: "yellow", Verdict.VIOLATED: "red"}[self]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts: violated, else undecided, else holds (also if there are none).

    Examples
    --------
    >>> worst([Verdict.HOLDS, Verdict.UNDECIDED])
    <Verdict.UNDECIDED: 'undecided'>
    """
    order = list(Verdict)
    return max(verdicts, key=order.index, default=Verdict.HOLDS)
