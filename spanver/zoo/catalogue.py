"""Implementations with one realistic bug each, which the properties must kill, and correct ones, which must survive.

A check that was never seen to fail is not known to check anything. Each mutant says in a sentence what is wrong with
it, and which guarantees should show it.
"""

from __future__ import annotations

from difflib import get_close_matches

from spanver.errors import ArgumentError
from spanver.subjects.contract import Subject
from spanver.zoo import baselines, exploration, identities, oracle, regressions, sampler, spanner, spanning_sets, tokens
from spanver.zoo.controls import CONTROLS as _CONTROLS
from spanver.zoo.mutant import Mutant, mutated

__all__ = ["CONTROLS", "MUTANTS", "Mutant", "find", "mutant"]

MUTANTS: dict[str, Mutant] = {
    each.name: each
    for module in (identities, oracle, sampler, spanner, spanning_sets, regressions, exploration, baselines, tokens)
    for each in module.MUTANTS
}
"""Mutants by name."""

CONTROLS: dict[str, Mutant] = {each.name: each for each in (*_CONTROLS, tokens.CONTROL)}
"""Correct controls by name."""


def find(name: str) -> Mutant:
    """Return the mutant, or the correct control, of a name.

    Raises
    ------
    ArgumentError
        If there is none of this name.
    """
    found = MUTANTS.get(name) or CONTROLS.get(name)
    if found is None:
        alike = get_close_matches(name, [*MUTANTS, *CONTROLS], cutoff=0.3)
        raise ArgumentError("name", name, f"that of a mutant, such as {', '.join(alike) or next(iter(MUTANTS))}")
    return found


def mutant(name: str) -> Subject:
    """Return the subject that is a mutant or a correct control.

    Raises
    ------
    ArgumentError
        If there is none of this name.
    """
    return mutated(find(name))
