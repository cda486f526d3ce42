"""How hard a run looks: three profiles, and what each of them decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True)
class Profile:
    """How hard a run looks.

    Attributes
    ----------
    name : str
    examples : int
        Instances that Hypothesis searches for each exact property.
    shrinks : int
        Most further instances, once one failed, among which the smallest is looked for.
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
"""By name. The discrepancies and instances of statistical guarantees, by profile, stand in the registry."""
