"""Four profiles: how many instances a run searches, and what its statistical tests must detect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from spanver.guarantees.guarantee import Cost


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
    demands : mapping of Cost to Demand
        By what an observation costs: in total variation, and of whole runs in probability (mathematics.md, section 6).
    """

    examples: int
    shrinks: int
    demands: Mapping[Cost, Demand]


def _demands(draw: Demand, call: Demand, run: Demand) -> Mapping[Cost, Demand]:
    return MappingProxyType({Cost.DRAW: draw, Cost.CALL: call, Cost.RUN: run})


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        # Two: the first instance of a search is the simplest one, on which many premises do not hold.
        "smoke": Profile(2, 20, _demands(Demand(0.25, 1), Demand(0.25, 1), Demand(0.25, 1))),
        "quick": Profile(30, 200, _demands(Demand(0.03, 16), Demand(0.10, 8), Demand(0.25, 8))),
        "ci": Profile(200, 200, _demands(Demand(0.02, 16), Demand(0.03, 8), Demand(0.10, 8))),
        "deep": Profile(3000, 2000, _demands(Demand(0.01, 32), Demand(0.01, 16), Demand(0.03, 16))),
    }
)
"""By name."""
