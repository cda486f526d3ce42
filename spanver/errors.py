"""What spanver raises, and the one sentence in which it refuses bad input.

`ArgumentError` is raised at the doors (problems, settings, bounds, oracles) and names the argument, its value and what
is allowed. Code behind a door trusts what came through it.
"""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any

__all__ = [
    "ArgumentError",
    "MissingExtraError",
    "SpanverError",
    "require",
    "require_count",
    "require_finite",
    "require_positive",
    "require_probability",
]


class SpanverError(Exception):
    """Base of every error that spanver raises on purpose."""


class ArgumentError(SpanverError, ValueError):
    """An argument has a value that is not allowed.

    Parameters
    ----------
    name : str
        The argument.
    value : object
        What was given.
    allowed : str
        What is allowed, continuing "must be ...".

    Examples
    --------
    >>> raise ArgumentError("beta", -1.0, "a finite number above 0")
    Traceback (most recent call last):
    ...
    spanver.errors.ArgumentError: beta is -1.0, but it must be a finite number above 0
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"{name} is {_short(value)}, but it must be {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.value, self.allowed)


class MissingExtraError(SpanverError, ImportError):
    """A library is missing that one of the package's extras installs.

    Parameters
    ----------
    purpose, library, extra : str
        What needs which library, and the extra that has it.
    """

    def __init__(self, purpose: str, library: str, extra: str) -> None:
        super().__init__(f'{purpose} needs {library}: pip install "spanver[{extra}]"')


def _short(value: object) -> str:
    text = repr(str(value) if isinstance(value, PurePath) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise `ArgumentError` unless `condition` holds."""
    if not condition:
        raise ArgumentError(name, value, allowed)


def require_positive(name: str, value: float) -> None:
    """Refuse what is not a finite number above 0 (booleans are not numbers here)."""
    require(_is_number(value) and 0 < value < math.inf, name, value, "a finite number above 0")


def require_finite(name: str, value: float) -> None:
    """Refuse what is not a finite number."""
    require(_is_number(value) and -math.inf < value < math.inf, name, value, "a finite number")


def require_probability(name: str, value: float) -> None:
    """Refuse what is not strictly between 0 and 1."""
    require(_is_number(value) and 0 < value < 1, name, value, "a number strictly between 0 and 1")


def require_count(name: str, value: int, *, least: int = 1) -> None:
    """Refuse what is not an integer of at least `least`."""
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool) and getattr(value, "ndim", 0) == 0
    require(is_integer and value >= least, name, value, f"an integer of at least {least}")


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0
