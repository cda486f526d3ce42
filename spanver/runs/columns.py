"""The arrays of a record, read off the fields of the dataclasses that hold them.

A field is an array of a record where its type is annotated with a letter an axis, as `Annotated[FloatArray, "nd"]` is:
`n` rows; `d` the dimension; `t` any number. Other fields are plain data.
Ids and outcomes are tuples in memory and arrays on disk.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from spanver.values import FloatArray, IntArray, Outcome, Prompt

Arrays: typing.TypeAlias = Mapping[str, np.ndarray[Any, Any]]

_KINDS: Mapping[Any, str] = {  # f numbers, i integers, U texts
    FloatArray: "f",
    IntArray: "i",
    tuple[Prompt, ...]: "iU",
    tuple[Outcome, ...]: "U",
}


def _columns(owner: type) -> Mapping[str, tuple[str, str]]:
    """Kinds and letters of the axes of every array of a dataclass, by field."""
    hints = typing.get_type_hints(owner, include_extras=True)
    marked = {name: hint for name, hint in hints.items() if typing.get_origin(hint) is typing.Annotated}
    return {name: (_KINDS[hint.__origin__], hint.__metadata__[0]) for name, hint in marked.items()}


def to_arrays(value: Any, prefix: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of a dataclass as a record stores them, each under `prefix` and its field's name."""
    columns = _columns(type(value)).items()
    return {prefix + name: _to_array(getattr(value, name), kinds) for name, (kinds, _) in columns}


def to_fields(owner: type, arrays: Arrays, prefix: str = "", **lengths: int) -> dict[str, Any]:
    """Read the fields back that `to_arrays` wrote.

    Parameters
    ----------
    owner : type
        The dataclass.
    arrays : mapping
        Of the record.
    prefix : str
    **lengths : int
        Of axes, by their letters; `n` where there are no targets, of which there are as many.

    Raises
    ------
    KeyError
        If an array is missing.
    ValueError
        If one is of another kind or shape than the field has.
    """
    fields: dict[str, Any] = {}
    for name, (kinds, letters) in _columns(owner).items():
        array = arrays[prefix + name]
        known = {**lengths, "t": array.size}
        if "n" in letters and "n" not in lengths:
            known["n"] = len(arrays[prefix + "targets"])
        shape = tuple(known[letter] for letter in letters)
        fields[name] = _from_array(checked_array(arrays, prefix + name, kinds, shape), kinds)
    return fields


def checked_array(arrays: Arrays, name: str, kinds: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return an array of a record that has one of these kinds and this shape.

    Raises
    ------
    KeyError
        If it is missing.
    ValueError
        If it is of another kind or shape.
    """
    array = arrays[name]
    if array.dtype.kind not in kinds or array.shape != shape:
        found = f"an array of {array.dtype} and shape {array.shape}"
        raise ValueError(f"{name} is {found} where {kinds} and {shape} belong")
    return array


def _to_array(value: Any, kinds: str) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    if kinds == "U":
        return np.array([outcome.value for outcome in value], dtype=np.str_)
    return np.array(value, dtype=np.int64 if all(isinstance(each, int) for each in value) else np.str_)


def _from_array(array: np.ndarray[Any, Any], kinds: str) -> Any:
    if kinds == "U":
        return tuple(Outcome(str(value)) for value in array)
    return tuple(array.tolist()) if kinds == "iU" else array
