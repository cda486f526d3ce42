"""The mutants and the controls by name.

Mutants have one realistic bug each, and the properties must kill them; controls are correct, and must survive. A check
that was never seen to fail is not known to check anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from spanver.errors import ArgumentError
from spanver.subjects.contract import Subject
from spanver.validation import require
from spanver.zoo import (
    anchors,
    baselines,
    density,
    exploration,
    finite_laws,
    identities,
    layered,
    mtss,
    oracle,
    oracle_answers,
    oracle_searches,
    preferences,
    regressions,
    sampler,
    spanner,
    spanning_sets,
)
from spanver.zoo.controls import CONTROLS as _CONTROLS
from spanver.zoo.independent import mtss_mutants, variants
from spanver.zoo.independent import mutants as independent_mutants
from spanver.zoo.mutant import Mutant, mutated

_FILES = (
    identities, oracle, oracle_answers, oracle_searches, sampler, density, finite_laws, spanner, spanning_sets,
    regressions, exploration, preferences, anchors, baselines, layered, mtss, independent_mutants, mtss_mutants,
)  # fmt: skip


def _by_name(rows: Iterable[Mutant]) -> dict[str, Mutant]:
    found: dict[str, Mutant] = {}
    for each in rows:
        require(each.name not in found, "the name of a mutant", each.name, "that of no other")
        found[each.name] = each
    return found


MUTANTS = _by_name(each for file in _FILES for each in file.MUTANTS)
"""Mutants by name."""

CONTROLS = _by_name([*_CONTROLS, *variants.CONTROLS])
"""Controls by name."""

MEASURED = _by_name(variants.MEASURED)
"""Controls that `benchmarks.false_alarms` alone runs, by name."""


def find(name: str) -> Mutant:
    """Return the mutant, or the control, of a name.

    Raises
    ------
    ArgumentError
        If there is none of this name.
    """
    rows = MUTANTS | CONTROLS | MEASURED
    if name not in rows:
        alike = get_close_matches(name, rows, cutoff=0.3)
        raise ArgumentError("name", name, f"that of a mutant, such as {', '.join(alike) or next(iter(MUTANTS))}")
    return rows[name]


def mutant(name: str) -> Subject:
    """Return the subject that is a mutant or a control.

    Raises
    ------
    ArgumentError
        If there is none of this name.
    """
    return mutated(find(name))
