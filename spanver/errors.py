"""Every error that spanver raises on purpose: who raises which, and when.

`ArgumentError` is raised on entry, by the checks of `spanver.validation`, and names the argument, its value and what
is allowed. An oracle raises `BudgetExceededError` and `QuestionRefusedError`; readers of files `RecordError`; a fit on
a set of parameters of somebody's own `NotConvergedError`; an assertion about data `EvidenceError`. While a subject is
verified, a result of the wrong form is a `ContractError`, a program that cannot be greeted a `HandshakeError`, one that
misbehaves later a `ProtocolError`, what a subject raises in a process of its own a `SubjectError`, a property that
fails, whatever the reason, a `ViolationError`, one that cannot be judged a `NotJudgedError`, and one that was run and
decided nothing an `UndecidedError`.
"""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any


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
    if isinstance(value, int) and abs(value) >= 10**80:
        return f"a number of {value.bit_length()} bits"  # Python prints no more than 4300 digits
    text = repr(str(value) if isinstance(value, PurePath) else value)
    return text if len(text) <= 80 else text[:77] + "..."


class NotConvergedError(SpanverError):
    """An iteration that did not reach its result to rounding; the sentence says which."""


class BudgetExceededError(SpanverError):
    """A query costs more than is left of the budget.

    Attributes
    ----------
    counter : str
        `samples`, `rewards` or `enumerated`.
    asked, left : int
        What the query costs, and what was left before it.
    """

    def __init__(self, counter: str, asked: int, left: int) -> None:
        super().__init__(f"the query costs {asked} {counter}, but only {left} are left of the budget")
        self.counter = counter
        self.asked = asked
        self.left = left

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.counter, self.asked, self.left)


class QuestionRefusedError(SpanverError):
    """A query that this oracle does not answer; nothing was charged."""


class RecordError(SpanverError):
    """A run record or checkpoint that cannot be read; the sentence says which file and why."""


class HandshakeError(SpanverError):
    """A program did not say hello as the protocol asks."""


class ProtocolError(SpanverError):
    """A process subject broke the protocol: it crashed, hung, or sent what it may not.

    Parameters
    ----------
    message : str
    final : bool
        Whether the same would cost the same time again.
    """

    cause = "protocol"
    """Of the violation that it is."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class TimeLimitError(ProtocolError):
    """A process subject took more of its own time for one run than it may."""

    cause = "time limit"

    def __init__(self, message: str) -> None:
        super().__init__(message, final=True)


class SubjectError(SpanverError):
    """What a subject raised in a process of its own.

    Parameters
    ----------
    message : str
    kind : str
        Type of the error there, or `an error`.
    where : str
        File and line of the subject, or empty.
    """

    def __init__(self, message: str, *, kind: str = "an error", where: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.where = where

    @property
    def sentence(self) -> str:
        """The predicate of a sentence: raised what, and where."""
        return raised(self.kind, str(self), self.where)


def raised(kind: str, message: str, where: str) -> str:
    """Return the predicate of a sentence about an error: `raised ValueError: what (mine.py:7)`."""
    place = f" ({where})" if where else ""
    return f"raised {kind}: {' '.join(message.split())}{place}"


def where_raised(error: BaseException) -> str:
    """Return file and line of the innermost frame of an error that is in no library: where the subject raised it."""
    paths = sysconfig.get_paths()
    libraries = (os.path.dirname(__file__), *(paths[each] for each in ("stdlib", "platstdlib", "purelib", "platlib")))
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if not file.startswith((*libraries, "<")):
            found = f"{os.path.relpath(file)}:{line}" if file.startswith(os.getcwd() + os.sep) else f"{file}:{line}"
    return found


class ContractError(SpanverError):
    """A result that does not have the form that the contract asks for."""


class EvidenceError(SpanverError, AssertionError):
    """The data are evidence against the claim (or, for a slope, no sufficient evidence for it)."""


class NotJudgedError(SpanverError):
    """A property that cannot be judged on this subject; the sentence says why."""


class UndecidedError(SpanverError):
    """A property that was run and decided nothing; the sentence says why."""


class ViolationError(AssertionError):
    """A guarantee does not hold on an instance.

    Parameters
    ----------
    message : str
        In one line.
    cause : str
        `guarantee`, `raised` (the subject raised an error), `contract`, `time limit` or `protocol`.
    final : bool
        Whether to look for no smaller instance, as after a time limit.
    of, observed, expected : str
        What was looked at, what was seen, and what had to be seen, where the message is made of these.
    shares : sequence of (str, float, float)
        Of every outcome of a law: its name, its observed and its expected share.
    function, error_type, where : str
        For the other causes than `guarantee`: the function of the subject, the class of its error, and the line of the
        subject's own file that raised it.
    """

    def __init__(
        self,
        message: str,
        cause: str = "guarantee",
        *,
        final: bool = False,
        of: str = "",
        observed: str = "",
        expected: str = "",
        shares: Sequence[tuple[str, float, float]] = (),
        function: str = "",
        error_type: str = "",
        where: str = "",
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.final = final
        self.of, self.observed, self.expected, self.shares = of, observed, expected, tuple(shares)
        self.function, self.error_type, self.where = function, error_type, where
