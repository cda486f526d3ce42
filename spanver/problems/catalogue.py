"""Problems by name, as the command line and run records write them: `FAMILY[:key=value,..]`."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from spanver.errors import ArgumentError
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.max_k_dnf import max_k_dnf_problem
from spanver.problems.families.needle import needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.families.text import TextProblem, text_problem
from spanver.problems.families.text_tokens import text_token_problem
from spanver.problems.families.tokens import token_problem
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem

__all__ = ["FAMILIES", "TOKEN_FAMILIES", "make_problem", "make_token_problem", "parse_number", "parse_problem"]

FAMILIES: Mapping[str, Callable[..., TabularProblem | TextProblem]] = {
    "text": text_problem,
    "random": random_problem,
    "needle": needle_problem,
    "covered_needle": covered_needle_problem,
    "max_k_dnf": max_k_dnf_problem,
}

TOKEN_FAMILIES: Mapping[str, Callable[..., TokenProblem]] = {
    "text": text_token_problem,
    "tokens": token_problem,
}
"""What multi-turn learners run on: sequences token by token. Their `text` is the text problem word by word."""

_Problem = TypeVar("_Problem")

_POWER = re.compile(r"(\d+)\*\*(\d{1,4})")


def make_problem(name: str, parameters: Mapping[str, Any]) -> TabularProblem | TextProblem:
    """Build a problem of a family.

    Parameters
    ----------
    name : str
        A key of `FAMILIES`.
    parameters : mapping
        Keyword arguments of the family; those not given have its defaults.

    Raises
    ------
    ArgumentError
        For an unknown family or key, or a value that the family refuses.
    """
    return _made(FAMILIES, name, parameters)


def make_token_problem(name: str, parameters: Mapping[str, Any]) -> TokenProblem:
    """Build a problem of one of `TOKEN_FAMILIES`, as `make_problem` does of the others."""
    return _made(TOKEN_FAMILIES, name, parameters)


def _made(families: Mapping[str, Callable[..., _Problem]], name: str, parameters: Mapping[str, Any]) -> _Problem:
    if name not in families:
        raise ArgumentError("problem", name, f"one of {', '.join(families)}")
    allowed = inspect.signature(families[name]).parameters
    for key in parameters:
        if key not in allowed:
            raise ArgumentError(f"a key of problem {name}", key, f"one of {', '.join(allowed)}")
    return families[name](**parameters)


def parse_problem(text: str, families: Mapping[str, Callable[..., Any]] = FAMILIES) -> tuple[str, dict[str, Any]]:
    """Read `FAMILY[:key=value,..]`; numbers may be written as powers.

    Examples
    --------
    >>> parse_problem("covered_needle:coverage=2**40,seed=3")
    ('covered_needle', {'coverage': 1099511627776.0, 'seed': 3})

    Raises
    ------
    ArgumentError
        For an unknown family or key, or a value of the wrong type.
    """
    name, _, rest = text.partition(":")
    if name not in families:
        raise ArgumentError("problem", name, f"one of {', '.join(families)}")
    types = typing.get_type_hints(families[name])
    types.pop("return")
    parameters: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        key, separator, value = item.partition("=")
        key = key.strip()
        if not separator or key not in types:
            raise ArgumentError(f"a key of problem {name}", item, f"key=value with one of {', '.join(types)}")
        parameters[key] = _value(key, value.strip(), types[key])
    return name, parameters


def _value(key: str, text: str, kind: type) -> int | float | str:
    if kind is float:
        return parse_number(key, text)
    if kind is int:
        power = _POWER.fullmatch(text)
        try:
            return int(power[1]) ** int(power[2]) if power else int(text)
        except ValueError:
            raise ArgumentError(key, text, "an integer, such as 16 or 2**4") from None
    return text


def parse_number(name: str, text: str) -> float:
    """Read a number, which may be written as a power such as `2**40`.

    Raises
    ------
    ArgumentError
        If it is none, or a power above 1.8e308.
    """
    power = _POWER.fullmatch(text)
    try:
        return float(int(power[1]) ** int(power[2])) if power else float(text)
    except OverflowError:
        raise ArgumentError(name, text, "a number of at most 1.8e308") from None
    except ValueError:
        raise ArgumentError(name, text, "a number, such as 0.5 or 2**40") from None
