"""The messages of a process subject: JSON lines, arrays, and the queries of an oracle (docs/protocol.md).

Both ends use this module: the harness (`process.py`) and the server of Python subjects (`serve.py`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from inspect import Parameter, isfunction, signature
from typing import Any

import numpy as np

from spanver.errors import ArgumentError
from spanver.oracle import Oracle, SamplingOracle
from spanver.validation import read_only, require, require_one_of
from spanver.values import (
    Counts,
    FloatArray,
    LinearScore,
    RejectionRule,
    Response,
    Responses,
    Rule,
    Score,
    SearchResult,
    TruncatedScore,
    UncertainPairRule,
    from_json,
    to_json,
)

PROTOCOL = 2
"""Version of the protocol."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line."""
    return (json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n").encode()


def decode(line: bytes) -> dict[str, Any]:
    """Return the message of a line.

    Raises
    ------
    ArgumentError
        If it is not a JSON object, or holds NaN or infinities, which JSON does not have.
    """
    shown = line[:60].decode(errors="replace")
    try:
        message: dict[str, Any] = json.loads(line, parse_constant=lambda name: _refuse(name, shown))
    except ArgumentError:
        raise
    except (ValueError, RecursionError):  # also bytes that are not UTF-8, and integers of thousands of digits
        raise ArgumentError("line", shown, "one JSON object") from None
    require(isinstance(message, dict), "line", shown, "one JSON object")
    return message


def _refuse(name: str, shown: str) -> None:
    raise ArgumentError("line", shown, f"JSON, which has no {name}")


def encoded(value: Any) -> Any:  # noqa: PLR0911 (one return a kind of value)
    """Return an argument or an answer as JSON data: arrays as nested lists, or in base64 if a number is not finite."""
    if isinstance(value, np.ndarray):
        if np.isfinite(value).all():
            return value.tolist() if value.size else {"shape": list(value.shape), "float64": ""}
        data = base64.b64encode(np.ascontiguousarray(value, dtype="<f8").tobytes()).decode()
        return {"shape": list(value.shape), "float64": data}
    if isinstance(value, LinearScore | TruncatedScore):
        return to_json(value, Score)
    if isinstance(value, UncertainPairRule | RejectionRule):
        return to_json(value, Rule)
    if isinstance(value, Response | Responses | Counts | SearchResult):
        return to_json(value)
    if is_dataclass(value) and not isinstance(value, type):
        return encoded(asdict(value))
    if isinstance(value, Mapping):
        return {key: encoded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(each) for each in value]
    if isinstance(value, np.generic):
        return encoded(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return encoded(np.array(value))
    return value


def decoded(value: Any) -> Any:
    """Return the data of a message, with arrays in place of their base64 form."""
    if isinstance(value, dict):
        if set(value) == {"shape", "float64"}:
            return from_json(value, FloatArray)
        return {key: decoded(each) for key, each in value.items()}
    return [decoded(each) for each in value] if isinstance(value, list) else value


QUERIES = {
    name: tuple(signature(getattr(Oracle, name)).parameters.values())[1:]
    for name, member in (vars(SamplingOracle) | vars(Oracle)).items()
    if isfunction(member) and not name.startswith("_")
}
"""The queries of an oracle, and the parameters of each: those without a default are required."""


def answer(oracle: Oracle, message: Mapping[str, Any]) -> Any:
    """Answer the query of a message.

    Parameters
    ----------
    oracle : Oracle
    message : mapping
        `ask`, and the arguments of the query by name.

    Returns
    -------
    object
        JSON data.

    Raises
    ------
    ArgumentError
        If there is no such query, or it has other arguments.
    """
    arguments = {key: value for key, value in message.items() if key not in ("seq", "ask")}
    query = message["ask"]
    require_one_of("ask", query, QUERIES)
    required = [each.name for each in QUERIES[query] if each.default is Parameter.empty]
    fits = set(required) <= set(arguments) <= {each.name for each in QUERIES[query]}
    require(fits, f"the arguments of {query}", sorted(arguments), ", ".join(sorted(required)) or "none")
    if "rule" in arguments:
        arguments["rule"] = from_json(arguments["rule"], Rule)
    if "theta" in arguments:
        arguments["theta"] = read_only(decoded(arguments["theta"]), ndim=1, name="theta")
    positional = [arguments.pop(name) for name in required]
    return encoded(getattr(oracle, query)(*positional, **arguments))
