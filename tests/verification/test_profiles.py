"""What each profile demands."""

from __future__ import annotations

from spanver.guarantees import REGISTRY
from spanver.guarantees.guarantee import Cost
from spanver.verification.profiles import PROFILES


def test_demands_are_those_of_the_mathematics() -> None:
    found = {name: [demand.discrepancy for demand in each.demands.values()] for name, each in PROFILES.items()}
    assert found == {
        "smoke": [0.25, 0.25, 0.25],
        "quick": [0.03, 0.10, 0.25],
        "ci": [0.02, 0.03, 0.10],
        "deep": [0.01, 0.01, 0.03],
    }
    assert all(list(each.demands) == list(Cost) for each in PROFILES.values())
    assert PROFILES["quick"].demands[Cost.CALL].instances == 8
    dear = [entry for entry in REGISTRY.values() if entry.cost is not Cost.CALL]
    assert all("statistical" in entry.kind_text for entry in dear)
