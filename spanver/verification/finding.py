"""What a property came to: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spanver.verdicts import Verdict

__all__ = ["Finding"]


@dataclass
class Finding:
    """What a property came to: plain data.

    Attributes
    ----------
    property : str
        Name of the property.
    guarantees : tuple of str
    verdict : Verdict
    kind : str
        `exact` or `statistical`.
    examples : int
        Instances on which the subject was run before the verdict.
    alpha_spent : float
        Share of the false-alarm budget; 0 for exact properties.
    detectable : float or None
        The violation that would have been seen with probability 0.99, for statistical ones.
    tightness : float or None
        Largest ratio of what was measured to its bound; 1 is tight.
    cause, message : str
        Of the violation, if any.
    counterexample : mapping or None
        The smallest instance found, as plain data.
    seconds : float
    """

    property: str
    guarantees: tuple[str, ...]
    verdict: Verdict = Verdict.UNDECIDED
    kind: str = "exact"
    examples: int = 0
    alpha_spent: float = 0.0
    detectable: float | None = None
    tightness: float | None = None
    cause: str = ""
    message: str = ""
    counterexample: Mapping[str, Any] | None = None
    seconds: float = 0.0
