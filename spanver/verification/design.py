"""What a property is designed to catch: *named mistakes*, and *designed instances* on which they show.

A property runs its designed instances first, and then what Hypothesis finds. The mistakes are mutants of the zoo, so
that each has a description and code. That they show is computed, and asserted by `tests/verification/test_designs.py`:
an exact property fails on a designed instance, whatever the seed; on at least half of those of a statistical one, the
mistake moves what is judged by at least three times what the `quick` profile detects with probability 0.99.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

Effect: TypeAlias = Callable[..., float]
"""Of an instance: how far, in total variation, a mistake moves what is judged, beyond what is tolerated."""

Property = TypeVar("Property", bound=Callable[..., None])

ENOUGH = 3.0
"""Least effect of a named mistake, in multiples of the discrepancy that is detected with probability 0.99."""


@dataclass(frozen=True)
class Design:
    """What a property is designed to catch.

    Attributes
    ----------
    instances : tuple of mapping
        Designed instances, in the order in which they are run.
    mistakes : mapping
        By the names of mutants: the effect of each, or None where the property is exact and certainly fails.
    """

    instances: tuple[Mapping[str, Any], ...] = ()
    mistakes: Mapping[str, Effect | None] = field(default_factory=dict)


def designed(
    instances: Sequence[Mapping[str, Any]], mistakes: Mapping[str, Effect] | Sequence[str]
) -> Callable[[Property], Property]:
    """Decorate a property with what it is designed to catch: above `instances` or `experiments`.

    Parameters
    ----------
    instances : sequence of mapping
        Arguments of the property's function, apart from its check.
    mistakes : mapping or sequence of str
        Mutants by name; for a statistical property with their effects.
    """
    named = mistakes if isinstance(mistakes, Mapping) else dict.fromkeys(mistakes)

    def decorate(test: Property) -> Property:
        test.design = Design(tuple(instances), dict(named))  # type: ignore[attr-defined]  # `design_of` reads it
        return test

    return decorate


def design_of(test: object) -> Design:
    """What a property is designed to catch: nothing, unless `designed` says so."""
    found: Design = getattr(test, "design", Design())
    return found
