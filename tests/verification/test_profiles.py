"""What each profile demands."""

from __future__ import annotations

from spanver.guarantees import REGISTRY
from spanver.verification.profiles import PROFILES


def test_demands_are_those_of_the_mathematics() -> None:
    found = {name: each.demand.discrepancy for name, each in PROFILES.items()}
    assert found == {"smoke": 0.25, "quick": 0.1, "ci": 0.03, "deep": 0.01}
    assert PROFILES["quick"].demand.instances == 8
    assert all("statistical" in entry.kind_text for entry in REGISTRY.values() if entry.rare)
