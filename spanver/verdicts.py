"""The three values of a verdict, shared by everything that judges."""

from __future__ import annotations

from enum import Enum

__all__ = ["Verdict"]


class Verdict(Enum):
    """What a check came to; `violated` is worse than `undecided`, which is worse than `holds`."""

    HOLDS = "holds"
    UNDECIDED = "undecided"
    VIOLATED = "violated"
