"""Correct variants: as right as the reference, and different."""

from __future__ import annotations

from spanver.subjects.zoo.mutants import Mutant

__all__ = ["VARIANTS"]

VARIANTS: tuple[Mutant, ...] = ()
