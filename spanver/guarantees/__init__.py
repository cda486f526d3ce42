"""The guarantees: their registry, and their bounds as pure functions of numbers (section 4 of mathematics.md).

A guarantee is a value: its statement, kind, source and bound stand in `REGISTRY` and nowhere else. The bounds stand in
the module of their group. They take and give numbers, know nothing of problems or oracles, and refuse what is out of
range with `ArgumentError`.
"""

from spanver.guarantees.guarantee import Guarantee, Kind, Provenance
from spanver.guarantees.registry import REGISTRY, guarantee

__all__ = ["REGISTRY", "Guarantee", "Kind", "Provenance", "guarantee"]
