"""The messages of a process subject: their two forms, and the queries of an oracle (docs/protocol.md).

A message is a mapping of plain data, arrays and the values of `spanver.values`. It travels as a JSON line, which any
program can write, or as a binary frame, which is quicker (`FORMS`). Both ends use this module: the harness
(`process.py`) and the server of Python subjects (`spanver.serve`).
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from inspect import Parameter, isfunction, signature
from types import MappingProxyType
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from spanver.episodic import AnchoredScore, EpisodicOracle, States
from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError, SpanverError
from spanver.oracle import Oracle
from spanver.parameter_sets import SHAPES
from spanver.subjects.layouts import CONTIGUOUS, LAYOUTS, laid_out, layout_of
from spanver.validation import require, require_one_of
from spanver.values import (
    FloatArray,
    IntArray,
    LinearScore,
    RejectionRule,
    Responses,
    Rule,
    TruncatedScore,
    UncertainPairRule,
    from_json,
)

PROTOCOL = 2
"""Version of the protocol."""

FACTS = ("dimension", "beta", "radius", "reward_range", "shape")
"""What is known of an oracle without a query."""

LAYERED_FACTS = (*FACTS, "horizon", "rewarded", "anchor")
"""What is known of an oracle of layers without a query."""

# Forms


@dataclass(frozen=True)
class Form:
    """One way to write messages.

    Attributes
    ----------
    name : str
    encode, decode : callable
        A message as bytes, with what marks its end, and back without it. `decode` raises `ArgumentError` for what is
        no message.
    bounds : callable
        Where the first message of a buffer starts and ends, and where the next one starts; None while it is incomplete.
    """

    name: str
    encode: Callable[[Mapping[str, Any]], bytes]
    decode: Callable[[bytes], dict[str, Any]]
    bounds: Callable[[bytearray], tuple[int, int, int] | None]


def encode_line(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line: arrays as nested lists, or in base64 if a number is not finite."""
    try:
        text = json.dumps(message, separators=(",", ":"), allow_nan=False, default=_in_line)
    except ValueError:  # JSON has no infinities
        text = json.dumps(_boxed(message), separators=(",", ":"), allow_nan=False, default=_in_line)
    return (text + "\n").encode()


def decode_line(line: bytes) -> dict[str, Any]:
    """Return the message of a line.

    Raises
    ------
    ArgumentError
        If it is not a JSON object, holds NaN or infinities, which JSON does not have, or a damaged array.
    """
    shown = line[:60].decode(errors="replace")

    def refuse(name: str) -> None:
        raise ArgumentError("line", shown, f"JSON, which has no {name}")

    try:
        message: dict[str, Any] = json.loads(line, parse_constant=refuse, object_hook=_out_of_line)
    except ArgumentError:
        raise
    except (ValueError, RecursionError):  # also bytes that are not UTF-8, and integers of thousands of digits
        raise ArgumentError("line", shown, "one JSON object") from None
    require(isinstance(message, dict), "line", shown, "one JSON object")
    return message


def _line_bounds(buffer: bytearray) -> tuple[int, int, int] | None:
    end = buffer.find(b"\n")
    return None if end < 0 else (0, end, end + 1)


LARGEST_LISTED = 1 << 12
"""Numbers of an array that is written as nested lists: base64 is half as long, and quicker to read."""


def _in_line(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return plain(value)
    is_listed = value.dtype.kind != "f" or (value.size <= LARGEST_LISTED and np.isfinite(value).all())
    if value.size > 0 and is_listed:  # integers always: float64 has not all of them
        return value.tolist()
    # Nested lists of an array without elements would lose its shape.
    numbers = base64.b64encode(np.ascontiguousarray(value, dtype="<f8").tobytes()).decode()
    return {"shape": list(value.shape), "float64": numbers}


def _out_of_line(value: dict[str, Any]) -> Any:
    return from_json(value, FloatArray) if set(value) == {"shape", "float64"} else value


ARRAY, LAID_OUT_ARRAY, LARGE_INTEGER = 1, 2, 3
"""Codes of what msgpack does not have: arrays, arrays that are to lie in memory with gaps, and large integers."""

_LENGTH = 4  # bytes
_FLOAT64 = np.dtype("<f8")


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """Return a message as one frame: its length in 4 bytes, little-endian, and its msgpack."""
    data = packed(message)
    return len(data).to_bytes(_LENGTH, "little") + data


def decode_frame(data: bytes) -> dict[str, Any]:
    """Return the message of a frame without its length; its arrays are read-only.

    Raises
    ------
    ArgumentError
        If it is not one msgpack map, or holds a damaged array.
    """
    try:
        message: dict[str, Any] = msgpack.unpackb(data, ext_hook=_out_of_frame)
    except ArgumentError:
        raise
    except (ValueError, msgpack.UnpackException) as error:
        raise ArgumentError("frame", data[:30], f"one msgpack map ({error})") from None
    is_map = isinstance(message, dict) and all(isinstance(key, str) for key in message)
    require(is_map, "frame", data[:30], "one msgpack map whose keys are strings")
    return message


def _frame_bounds(buffer: bytearray) -> tuple[int, int, int] | None:
    end = _LENGTH + int.from_bytes(buffer[:_LENGTH], "little")
    return (_LENGTH, end, end) if len(buffer) >= max(end, _LENGTH) else None


def _in_frame(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _array_in_frame(value)
    if isinstance(value, Responses):  # most of what travels
        return {"ids": value.ids, "features": _array_in_frame(value.features)}
    if isinstance(value, int):  # msgpack has integers of 64 bits
        return msgpack.ExtType(LARGE_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    return plain(value)


packed: Callable[[Any], bytes] = msgpack.Packer(default=_in_frame).pack
"""Return a value as msgpack. One packer for all: a new one takes longer than a short message. Not for several threads
at once."""


def _array_in_frame(array: NDArray[Any]) -> Any:
    if array.dtype.kind != "f" and array.size > 0:  # nested lists of none would lose the shape
        return array.tolist()
    # The numbers come first, where they are aligned: arithmetic on others is slower, and rounds differently.
    data = array.astype(_FLOAT64, copy=False).tobytes() + struct.pack(f"<{array.ndim}QB", *array.shape, array.ndim)
    layout = layout_of(array)
    if layout == CONTIGUOUS:
        return msgpack.ExtType(ARRAY, data)
    return msgpack.ExtType(LAID_OUT_ARRAY, data + bytes([list(LAYOUTS).index(layout)]))


def _out_of_frame(code: int, data: bytes) -> Any:
    require(code in (ARRAY, LAID_OUT_ARRAY, LARGE_INTEGER), "extension", code, "1, 2 or 3")
    if code == LARGE_INTEGER:
        return int.from_bytes(data, "little", signed=True)
    if code == LAID_OUT_ARRAY:  # a subject that reads memory as if there were no gaps shall be seen to
        require(len(data) > 0 and data[-1] < len(LAYOUTS), "the layout of an array", data[-1:], f"below {len(LAYOUTS)}")
        array: NDArray[Any] = laid_out(_out_of_frame(ARRAY, data[:-1]), list(LAYOUTS)[data[-1]])
        array.setflags(write=False)
        return array
    try:
        end = len(data) - 1 - 8 * data[-1]
        shape = struct.unpack_from(f"<{data[-1]}Q", data, max(0, end))
    except (IndexError, struct.error):
        raise ArgumentError("an array", data[:30], "its numbers, the sizes of its dimensions, and how many") from None
    require(end == 8 * math.prod(shape), "the shape of an array", shape, f"of {end} bytes")
    return np.ndarray(shape, _FLOAT64, data)


JSON = Form("json", encode_line, decode_line, _line_bounds)
MSGPACK = Form("msgpack", encode_frame, decode_frame, _frame_bounds)
FORMS: Mapping[str, Form] = MappingProxyType({each.name: each for each in (JSON, MSGPACK)})
"""Forms of messages by name. Hellos are lines; a program's hello chooses the form of all messages after it."""


# Values


def plain(value: Any) -> Any:
    """Return a value as plain data, its parts as they are.

    Raises
    ------
    TypeError
        If it has no such form.
    """
    kind: Any = type(value)
    if names := _field_names(kind):
        data = {name: getattr(value, name) for name in names}
        if kind in _TAGGED:
            return {"kind": kind.__name__, **{name: part for name, part in data.items() if part is not None}}
        return data
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    for name, shape in SHAPES.items():
        if value is shape:
            return name
    raise TypeError(f"a {type(value).__name__} cannot travel: {value!r:.60}")


_TAGGED = {LinearScore, TruncatedScore, UncertainPairRule, RejectionRule}


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()


def _boxed(value: Any) -> Any:
    """Return data in which infinities are arrays."""
    if isinstance(value, float):
        return value if math.isfinite(value) else np.array(value)
    if isinstance(value, list | tuple):
        return [_boxed(each) for each in value]
    if value is None or isinstance(value, str | int | np.ndarray):
        return value
    data = plain(value)
    return {key: _boxed(each) for key, each in data.items()} if isinstance(data, dict) else _boxed(data)


# Queries


@dataclass(frozen=True)
class Query:
    """The arguments of a query: all, those without a default, and the kinds of those that are no plain data."""

    required: tuple[str, ...]
    allowed: frozenset[str]
    kinds: Mapping[str, Any]


def _queries(members: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Query]:
    found = {"ledger": Query((), frozenset(), {})}
    for name, member in members.items():
        if isfunction(member) and not name.startswith("_"):
            given = tuple(signature(member).parameters.values())[1:]
            required = tuple(each.name for each in given if each.default is Parameter.empty)
            allowed = frozenset(each.name for each in given)
            found[name] = Query(required, allowed, {key: kind for key, kind in kinds.items() if key in allowed})
    return found


QUERIES = _queries(vars(Oracle), {"rule": Rule, "theta": FloatArray})
"""The queries of an oracle of prompts."""

LAYERED_QUERIES = _queries(
    vars(EpisodicOracle),
    {
        "states": States,
        "ids": IntArray,
        "actions": IntArray,
        "score": AnchoredScore,
        "log_thresholds": FloatArray,
        "theta": FloatArray,
    },
)
"""The queries of an oracle of layers."""

REFUSALS = (BudgetExceededError, QuestionRefusedError, ArgumentError)
"""What an oracle raises in place of an answer."""


def answer(oracle: Any, message: Mapping[str, Any], queries: Mapping[str, Query] = QUERIES) -> dict[str, Any]:
    """Answer the query of a message: `query_of`, of one oracle."""
    return query_of(message, queries)(oracle)


def query_of(message: Mapping[str, Any], queries: Mapping[str, Query] = QUERIES) -> Callable[[Any], dict[str, Any]]:
    """Return what answers the query of a message, given an oracle.

    Parameters
    ----------
    message : mapping
        `ask`, and the arguments of the query by name.
    queries : mapping
        Those of the oracle.

    Returns
    -------
    callable
        Returns `answer`, or `refused` with the reason, in a dict.

    Raises
    ------
    ArgumentError
        If there is no such query, or it has other arguments.
    """
    arguments = dict(message)
    name = arguments.pop("ask")
    for key in ("seq", "oracle"):
        arguments.pop(key, None)
    require_one_of("ask", name, queries)
    query = queries[name]
    if not (query.allowed >= arguments.keys() and all(map(arguments.__contains__, query.required))):
        words = ", ".join(sorted(query.required)) or "none"
        raise ArgumentError(f"the arguments of {name}", sorted(arguments), words)
    for key, kind in query.kinds.items():
        if key in arguments:
            arguments[key] = from_json(arguments[key], kind)
    positional = [arguments.pop(key) for key in query.required]

    def answered(oracle: Any) -> dict[str, Any]:
        try:
            return {"answer": oracle.ledger if name == "ledger" else getattr(oracle, name)(*positional, **arguments)}
        except REFUSALS as error:
            return refusal(error)

    return answered


def refusal(error: SpanverError) -> dict[str, Any]:
    """Return the message of a refused query, from which `refused_error` makes the same error again."""
    given: dict[str, Any] = {}
    match error:
        case BudgetExceededError():
            given = {"counter": error.counter, "asked": error.asked, "left": error.left}
        case ArgumentError():
            is_plain = error.value is None or isinstance(error.value, int | float | str)
            value = error.value if is_plain else repr(error.value)[:80]
            given = {"name": error.name, "value": value, "allowed": error.allowed}
    return {"refused": type(error).__name__, "reason": str(error), **given}


def refused_error(message: Mapping[str, Any]) -> SpanverError:
    """Return the error of a refused query."""
    kinds: dict[str, Callable[[], SpanverError]] = {
        "BudgetExceededError": lambda: BudgetExceededError(message["counter"], message["asked"], message["left"]),
        "ArgumentError": lambda: ArgumentError(message["name"], message["value"], message["allowed"]),
        "QuestionRefusedError": lambda: QuestionRefusedError(message["reason"]),
    }
    require_one_of("refused", message["refused"], kinds)
    return kinds[message["refused"]]()
