"""Three profiles: how many instances a run searches, and what its statistical tests must detect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Profile:
    """How hard a run looks.

    Attributes
    ----------
    name : str
    examples : int
        Instances that Hypothesis searches for each exact property.
    shrinks : int
        After a failure, the largest number of further instances among which a smaller one is searched.
    """

    name: str
    examples: int
    shrinks: int


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "quick": Profile("quick", examples=30, shrinks=200),
        "ci": Profile("ci", examples=200, shrinks=200),
        "deep": Profile("deep", examples=3000, shrinks=2000),
    }
)
"""By name. `DEMANDS` and `RARE_DEMANDS` say what statistical tests must detect in each."""


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


DEMANDS: Mapping[str, Demand] = MappingProxyType(
    {"quick": Demand(0.10, 8), "ci": Demand(0.03, 8), "deep": Demand(0.01, 16)}
)
"""By profile, in total variation (mathematics.md, section 6)."""

RARE_DEMANDS: Mapping[str, Demand] = MappingProxyType(
    {"quick": Demand(0.25, 8), "ci": Demand(0.10, 8), "deep": Demand(0.03, 16)}
)
"""By profile, in probability, for what fails rarely if at all and costs a whole run to observe."""
