"""The registry: every guarantee of section 4 of mathematics.md, once, and the conformance that subjects may claim.

Properties, reports, tables and failure messages refer to it by id and restate nothing. Which properties check a
guarantee is found by reading the properties, not here. Statements are plain text for a terminal; symbols are those of
mathematics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spanver.guarantees import (
    conformance,
    exploration,
    headline,
    identities,
    multi_turn,
    oracle,
    proper,
    sampler,
    spanner,
    spanning_sets,
)
from spanver.guarantees.guarantee import Guarantee
from spanver.validation import require_one_of

_GROUPS = (identities, oracle, sampler, spanner, spanning_sets, exploration, multi_turn, headline, proper, conformance)


REGISTRY: Mapping[str, Guarantee] = MappingProxyType(
    {entry.id: entry for group in _GROUPS for entry in group.GUARANTEES}
)
"""All guarantees by id, in the order of mathematics.md; read-only."""


def guarantee(name: str) -> Guarantee:
    """Return the guarantee with this id.

    Raises
    ------
    ArgumentError
        If there is none; the message names those there are.

    Examples
    --------
    >>> guarantee("S4").statement[:20]
    'K log(1+nu^2) <= d l'
    """
    require_one_of("the id of a guarantee", name, REGISTRY)
    return REGISTRY[name]
