"""Register the marker that ties a property to the guarantees it checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register `guarantee`."""
    config.addinivalue_line("markers", "guarantee(id, ...): ids of the guarantees that a property checks")
