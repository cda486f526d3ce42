"""Four profiles: how many instances a run searches, and what its statistical tests must detect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Demand:
    """What a statistical test of a guarantee must detect.

    Attributes
    ----------
    discrepancy : float
        Violation, in total variation or in probability, that must be detected with probability 0.99.
    instances : int
        Number of instances on which it is tested.
    """

    discrepancy: float
    instances: int


@dataclass(frozen=True)
class Profile:
    """How hard a run looks.

    Attributes
    ----------
    examples : int
        Instances that Hypothesis searches for each exact property.
    shrinks : int
        After a failure, the largest number of further instances among which a smaller one is searched.
    demand : Demand
        In total variation (mathematics.md, section 6).
    rare_demand : Demand
        In probability, for rare failures whose observation costs a whole run.
    """

    examples: int
    shrinks: int
    demand: Demand
    rare_demand: Demand


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        # Two: the first instance of a search is the simplest one, on which many premises do not hold.
        "smoke": Profile(2, 20, Demand(0.25, 1), Demand(0.25, 1)),
        "quick": Profile(30, 200, Demand(0.10, 8), Demand(0.25, 8)),
        "ci": Profile(200, 200, Demand(0.03, 8), Demand(0.10, 8)),
        "deep": Profile(3000, 2000, Demand(0.01, 16), Demand(0.03, 16)),
    }
)
"""By name."""
