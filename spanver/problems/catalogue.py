"""Problems by name, as the command line and run records write them: `FAMILY[:key=value,..]`."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from spanver.errors import ArgumentError
from spanver.problems.families import (
    auto,
    covered_needle,
    forks,
    max_k_dnf,
    mdp,
    needle,
    random_tables,
    text,
    text_tokens,
    tokens,
)
from spanver.problems.families.text import TextProblem
from spanver.problems.family import Family
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem, as_mdp
from spanver.validation import require, require_one_of

FAMILIES: Mapping[str, Family[TabularProblem | TextProblem]] = {
    each.FAMILY.name: each.FAMILY for each in (text, random_tables, needle, covered_needle, max_k_dnf)
}
"""Families of prompts and responses, by name."""

LAYERED_FAMILIES: Mapping[str, Family[TokenProblem] | Family[LayeredMDP]] = {
    each.FAMILY.name: each.FAMILY for each in (text_tokens, tokens, forks, auto, mdp)
}
"""Families of problems of layers, by name. Their `text` is the text problem word by word."""

_POWER = re.compile(r"(\d+)\*\*(\d{1,4})")


def layers_of(problem: TokenProblem | LayeredMDP) -> LayeredMDP:
    """Return a problem of layers as a process of layers; of tokens, that of prefixes (`as_mdp`)."""
    return as_mdp(problem) if isinstance(problem, TokenProblem) else problem


def make_problem(name: str, parameters: Mapping[str, Any], families: Mapping[str, Family[Any]] = FAMILIES) -> Any:
    """Build a problem of a family.

    Parameters
    ----------
    name : str
        A key of `families`.
    parameters : mapping
        Keyword arguments of the family; those not given have its defaults.
    families : mapping of str to Family

    Raises
    ------
    ArgumentError
        For an unknown family or key, or a value that the family refuses.
    """
    require_one_of("problem", name, families)
    allowed = inspect.signature(families[name].build).parameters
    for key in parameters:
        require_one_of(f"a key of problem {name}", key, allowed)
    return families[name].build(**parameters)


def parse_problem(text: str, families: Mapping[str, Family[Any]] = FAMILIES) -> tuple[str, dict[str, Any]]:
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
    require_one_of("problem", name, families)
    types = typing.get_type_hints(families[name].build)
    types.pop("return")
    return name, parse_values(filter(None, rest.split(",")), types, f"a key of problem {name}")


def parse_values(items: Iterable[str], types: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Read `key=value` items, each value by the type of its key; numbers may be written as powers.

    Parameters
    ----------
    items : iterable of str
    types : mapping
        Type of each key: int, float or one of them or None, bool, str, or a Literal of strings.
    what : str
        What a key is, for the sentence that refuses one.

    Examples
    --------
    >>> parse_values(["rounds=2**10", "nu=0.3"], {"rounds": int, "nu": float}, "a setting")
    {'rounds': 1024, 'nu': 0.3}

    Raises
    ------
    ArgumentError
        For an unknown key, or a value of the wrong type.
    """
    values: dict[str, Any] = {}
    for item in items:
        key, separator, value = item.partition("=")
        key = key.strip()
        if not separator or key not in types:
            raise ArgumentError(what, item, f"key=value with one of {', '.join(types)}")
        require(key not in values, what, item, f"the only value of {key}")
        values[key] = _value(key, value.strip(), types[key])
    return values


def _value(key: str, text: str, kind: Any) -> int | float | str | None:
    if text == "none" and kind in (float | None, int | None):
        return None
    if kind in (float, float | None):
        return parse_number(key, text)
    if kind is bool:
        require_one_of(key, text, ("true", "false"))
        return text == "true"
    if kind in (int, int | None):
        power = _POWER.fullmatch(text)
        try:
            return int(power[1]) ** int(power[2]) if power else int(text)
        except ValueError:
            raise ArgumentError(key, text, "an integer, such as 16 or 2**4") from None
    if typing.get_origin(kind) is typing.Literal:
        require_one_of(key, text, typing.get_args(kind))
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
