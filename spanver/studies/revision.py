"""Which code measured a number: a digest of the sources that decide it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import spanver

__all__ = ["revision"]

# All that a point runs. Properties, subjects, commands and tables that people see decide no number.
_DECIDING = (
    *("kernels", "learners", "oracles", "problems", "studies", "guarantees"),
    *("oracle.py", "randomness.py", "settings.py", "values.py"),
)


@cache
def revision() -> str:
    """Return a digest of the sources of all modules that a study's numbers depend on.

    Results of one revision are not mixed with those of another, neither in a table that is gone on with nor from a
    worker that has other code.
    """
    package = Path(spanver.__path__[0])
    digest = hashlib.blake2b(digest_size=8)
    for name in _DECIDING:
        place = package / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
