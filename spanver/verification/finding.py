"""`Finding`: the result of one property, and its text form for the way through reports and processes.

A violation says what was observed, what was expected and of what, names the call of the subject that came last, and
holds the instance as plain data. `spanver.verification.rendering` makes lines of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

import cattrs
import numpy as np

from spanver.parameter_sets import Ball
from spanver.verdicts import Verdict


@dataclass(frozen=True)
class Call:
    """A call of the subject, in words.

    Attributes
    ----------
    function : str
    arguments : mapping of str to str
        Short text of each, by name, in the order of the contract.
    number : int
        Of the call among all on the instance; it is the last one.
    queried : str
        What the subject asked of its oracle in this call; empty if it asked nothing.
    """

    function: str
    arguments: Mapping[str, str]
    number: int = 1
    queried: str = ""

    @property
    def text(self) -> str:
        """The call as it would be written."""
        given = (value if value == name else f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.function}({', '.join(given)})"


@dataclass(frozen=True)
class Fault:
    """An error of a function of the subject, in place of a result that could be judged.

    Attributes
    ----------
    function : str
    cause : str
        `raised`, `contract`, `time limit` or `protocol`.
    type : str
        Class of the error; empty where none was raised, or it is not known.
    where : str
        Line of the subject's own file; empty if it is not known.
    """

    function: str
    cause: str
    type: str = ""
    where: str = ""


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
        Of the violation, if any; or why nothing was decided.
    of, observed, expected : str
        What was looked at, what was seen, and what had to be seen; empty where the message is a sentence of its own.
    shares : tuple of (str, float, float)
        Of every outcome of a law: its name, its observed and its expected share.
    call : Call or None
        The last call of the subject before the violation.
    fault : Fault or None
        What the subject did wrong, where the cause is not the guarantee.
    counterexample : mapping or None
        The smallest failing instance found, as plain data.
    transcript : tuple of str
        Lines of the call with all its queries and answers, where a trace was asked for.
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
    of: str = ""
    observed: str = ""
    expected: str = ""
    shares: tuple[tuple[str, float, float], ...] = ()
    call: Call | None = None
    fault: Fault | None = None
    counterexample: Mapping[str, Any] | None = None
    transcript: tuple[str, ...] = ()
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
        told = {each.name: getattr(value, each.name) for each in fields(value)}
        return {name: plain(part) for name, part in told.items() if part is not Ball}  # the usual shape
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
