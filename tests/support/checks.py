"""Checks and observations for tests of the harness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from spanver.subjects.contract import Subject
from spanver.verification.check import Check
from spanver.verification.profiles import PROFILES

NUMBERS = st.integers(0, 1000)


def a_check(functions: dict[str, Callable[..., Any]] | None = None, **changes: Any) -> Check:
    """Return a check of a subject with these functions, under the quick profile."""
    given: dict[str, Any] = {
        "subject": Subject("given", functions or {"fit": lambda *arguments: [0.0]}),
        "name": "test_property",
        "guarantees": ("R6",),
        "profile": PROFILES["quick"],
        "run_seed": 0,
        "alpha": 1e-8,
        "discrepancy": 0.1,
        "tested": 8,
    }
    return Check(**given | changes)


def coin(share: float) -> Callable[[int, int], Sequence[int]]:
    """Observe a coin that shows 1 with this probability."""
    return lambda count, seed: (np.random.default_rng(seed).random(count) < share).astype(int).tolist()
