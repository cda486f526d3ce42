"""Range checks shared by the bounds: real numbers, coverages and probabilities, refused with one sentence."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from spanver.errors import require

__all__ = ["LARGEST", "ROUNDING", "require_coverage", "require_real", "require_share", "to_float"]

LARGEST = 1e300
"""The largest number taken, so that a constant times it is still a float."""
ROUNDING = 1e-9
"""How far a number that was computed as a sum may lie outside its range."""


def require_real(name: str, value: Any, *, least: float = 0.0, most: float = LARGEST) -> None:
    """Refuse what is not a real number from `least` to `most`."""
    require(_is_real(value) and least <= value <= most, name, value, f"a number from {least:g} to {most:g}")


def require_coverage(name: str, value: Any) -> None:
    """Refuse what is not a finite coverage: a number of at least 1; rounding is free."""
    require(_is_real(value) and 1.0 - ROUNDING <= value <= LARGEST, name, value, f"a number from 1 to {LARGEST:g}")


def require_share(name: str, value: Any) -> None:
    """Refuse what is not a probability, 0 and 1 included; rounding is free."""
    require(_is_real(value) and -ROUNDING <= value <= 1.0 + ROUNDING, name, value, "a number from 0 to 1")


def to_float(count: int) -> float:
    """Return a count as a float, infinity where it is too large for one."""
    return float(count) if count <= LARGEST else math.inf


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
