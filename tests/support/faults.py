"""Faults put in the place of a function of the package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest


def plant(monkeypatch: pytest.MonkeyPatch, genuine: Callable[..., Any], faulty: Callable[..., Any]) -> None:
    """Put a faulty function in the place of a genuine one, in every module of the package that has imported it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("spanver") and getattr(module, genuine.__name__, None) is genuine:
            monkeypatch.setattr(module, genuine.__name__, faulty)
