"""What a property found, from the property to the exit code: one typed value, and the text that carries it between."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cattrs

from spanver.verdicts import Verdict

__all__ = ["Finding", "finding_from_json", "finding_to_json"]


@dataclass
class Finding:
    """What a property found.

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
        Part of the false-alarm budget; 0 for exact properties.
    detectable : float or None
        The smallest violation that would have been seen with probability 0.99, for statistical ones.
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


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)


def finding_to_json(finding: Finding) -> str:
    """Text of a finding: what a report of pytest carries, also from a worker and into a JUnit file."""
    return json.dumps(_CONVERTER.unstructure(finding))


def finding_from_json(text: str) -> Finding:
    """Return the finding of a text that `finding_to_json` wrote."""
    finding: Finding = _CONVERTER.structure(json.loads(text), Finding)
    return finding
