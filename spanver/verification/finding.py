"""`Finding`: the result of one property, and its text form for the way through reports and processes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

import cattrs
import numpy as np

from spanver.verdicts import Verdict


@dataclass
class Finding:
    """Result of one property.

    Attributes
    ----------
    property : str
        Name of the property.
    guarantees : tuple of str
    verdict : Verdict
    kind : str
        `exact` or `statistical`.
    examples : int
        Instances on which the subject was run before the verdict was reached.
    alpha_spent : float
        Part of the false-alarm budget; 0 for exact properties.
    detectable : float or None
        For statistical properties: the smallest violation that would have been seen with probability 0.99.
    tightness : float or None
        Largest ratio of a measured value to its bound; 1 is tight.
    cause, message : str
        Of the violation, if any.
    counterexample : mapping or None
        The smallest failing instance found, as plain data.
    seconds : float
    not_judged : str
        Why the property was not judged on this subject; empty if it was.
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
    not_judged: str = ""


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)


def finding_to_json(finding: Finding) -> str:
    """Text of a finding, as pytest's reports carry it: from a worker, and into a JUnit file."""
    return json.dumps(_CONVERTER.unstructure(finding))


def finding_from_json(text: str) -> Finding:
    """Return the finding of a text that `finding_to_json` wrote."""
    finding: Finding = _CONVERTER.structure(json.loads(text), Finding)
    return finding


def plain(value: Any) -> Any:  # noqa: PLR0911 (a kind of value a line)
    """Plain data of an instance, as JSON has it: it is shown as the counterexample, and seeds are derived from it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if callable(value):
        return getattr(value, "__name__", str(value))
    return value
