"""What a mutant is: a correct subject with one realistic bug, and the guarantees that it should break."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from spanver.subjects.contract import Subject
from spanver.subjects.reference import subject as reference


@dataclass(frozen=True)
class Mutant:
    """A correct subject with one bug, or a control: a correct implementation that differs from it.

    Attributes
    ----------
    name : str
    bug : str
        What it does wrong, or in a control differently, as a verb without its subject: "ignores the ball".
    breaks : tuple of str
        Guarantees of which at least one has to fail; for a control, those that its change touches and that must hold.
    functions : mapping
        Its own functions, by the names of the subject's that they replace.
    subject : Subject
        What it is a patch of: the reference, or another correct implementation.
    """

    name: str
    bug: str
    breaks: tuple[str, ...]
    functions: Mapping[str, Callable[..., Any]]
    subject: Subject = reference


def changed(
    name: str, bug: str, breaks: str, subject: Subject = reference, /, **functions: Callable[..., Any]
) -> Mutant:
    """Return the mutant of a subject with these functions; `breaks` are ids with spaces between them."""
    return Mutant(name, bug, tuple(breaks.split()), functions, subject)


def mutants_of(
    function: str, prefix: str, base: Callable[..., Any], subject: Subject = reference
) -> Callable[..., Mutant]:
    """Return what makes a mutant of one function from a row of a table.

    Parameters
    ----------
    function : str
        Its name in the contract.
    prefix : str
        What the names of its mutants begin with.
    base : callable
        A correct implementation, whose steps are keyword arguments.
    subject : Subject, optional
        What they are mutants of. Default: the reference.

    Returns
    -------
    callable
        Of a row: name without prefix, bug, ids of the guarantees that it breaks, with spaces between them, and the one
        part that differs. This is a keyword argument of `base`, or a function that replaces `base`.

    Examples
    --------
    >>> from spanver.zoo.spanning_sets import covering
    >>> row = mutants_of("covering_list", "covering", covering)
    >>> mutant = row("squared", "compares squared norms with nu", "B3", power=1.0)
    >>> mutant.name, mutant.breaks, list(mutant.functions)
    ('covering-squared', ('B3',), ['covering_list'])
    """

    def row(name: str, bug: str, breaks: str, whole: Callable[..., Any] = base, /, **parts: Any) -> Mutant:
        functions = {function: partial(whole, **parts) if parts else whole}
        return changed(f"{prefix}-{name}", bug, breaks, subject, **functions)

    return row


def mutated(mutant: Mutant) -> Subject:
    """Return the subject of a mutant."""
    functions = {**mutant.subject.functions, **mutant.functions}
    return replace(mutant.subject, name=f"zoo:{mutant.name}", functions=functions)
