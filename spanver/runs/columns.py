"""The arrays of a record, read off the dataclasses that hold them: name, kind and shape of each stand in one table.

A field is an array of a record where its type is one of `_KINDS`; all other fields are plain data. Ids and outcomes are
tuples in memory and arrays on disk.
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

_SHAPES = {
    "vectors": "nd",
    "thetas": "nd",
    "theta": "d",
    "sigma": "dd",
    "precision": "dd",
    "prefixes": "np",
    "tries": "t",
}
"""A letter an axis, `n` where a field is not named: `n` rows, as many as targets; `d` the dimension; `p` tokens of a
prefix; `t` any number."""


def _kinds(owner: type) -> Mapping[str, str]:
    return {name: _KINDS[hint] for name, hint in typing.get_type_hints(owner).items() if hint in _KINDS}


def to_arrays(value: Any, prefix: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of a dataclass as a record stores them, each under `prefix` and its field's name."""
    return {prefix + name: _to_array(getattr(value, name), kinds) for name, kinds in _kinds(type(value)).items()}


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
        Of axes, by the letters of `_SHAPES`.

    Raises
    ------
    KeyError
        If an array is missing.
    ValueError
        If one is of another kind or shape than the field has.
    """
    fields: dict[str, Any] = {}
    for name, kinds in _kinds(owner).items():
        array, letters = arrays[prefix + name], _SHAPES.get(name, "n")
        known = {**lengths, "t": array.size} | ({"n": len(arrays[prefix + "targets"])} if "n" in letters else {})
        shape = tuple(known[letter] for letter in letters)
        if array.dtype.kind not in kinds or array.shape != shape:
            found = f"an array of {array.dtype} and shape {array.shape}"
            raise ValueError(f"{prefix + name} is {found} where {kinds} and {shape} belong")
        fields[name] = _from_array(array, kinds)
    return fields


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
