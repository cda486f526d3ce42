"""What a mutant is: the reference with one realistic bug, and the guarantees that it should break."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spanver.subjects.contract import Subject
from spanver.subjects.reference import subject as reference

__all__ = ["Mutant", "mutated"]


@dataclass(frozen=True)
class Mutant:
    """The reference with one bug, or a correct variant of it.

    Attributes
    ----------
    name : str
    bug : str
        The bug, or what is different in a correct variant, in a sentence.
    breaks : tuple of str
        Guarantees of which at least one has to fail; for a variant, those that its change touches and that must hold.
    functions : mapping
        What takes the place of the reference's.
    """

    name: str
    bug: str
    breaks: tuple[str, ...]
    functions: Mapping[str, Callable[..., Any]]


def mutated(mutant: Mutant) -> Subject:
    """Return the subject of a mutant."""
    return replace(reference, name=f"zoo:{mutant.name}", functions={**reference.functions, **mutant.functions})
