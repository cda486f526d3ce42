"""What a guarantee is: its statement, kind, source and bound, as one frozen value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

BoundFunction: TypeAlias = Callable[..., Any]


class Kind(Enum):
    """How a guarantee holds, and so how it is tested."""

    EXACT = "exact"
    """On every run: one violation is a bug."""
    EXACT_GIVEN = "exact given another"
    """On every run on which the guarantee named in `given` holds."""
    STATISTICAL = "statistical"
    """With the probability stated: tested by an e-process."""
    SCALING = "scaling"
    """A slope over a ladder of sizes lies in a stated band."""
    ILLUSTRATION = "illustration"
    """Cannot be tested; something is shown."""


class Provenance(Enum):
    """Whose a statement is. FMR25 is the paper: Foster, Mhammedi and Rohatgi, COLT 2025."""

    PAPER = "paper"
    """As printed."""
    REPAIRED = "paper, repaired"
    """False or not proved as printed: docs/errata.md has the counterexample and the repair."""
    OURS = "ours"
    """Sharper than the paper, or beyond it; docs/mathematics.md has the proof."""
    STANDARD = "standard"
    """Known from elsewhere."""
    NONE = "-"
    """Follows from the definitions."""


class Cost(Enum):
    """What one observation of a statistical guarantee costs, and so how small a violation its tests can detect."""

    DRAW = "a draw, of which one call makes thousands"
    CALL = "a call"
    RUN = "a run, which fails rarely if at all"


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One promise that an implementation is held to.

    Attributes
    ----------
    id, group, title, statement : str
        `id` as in mathematics.md, `group` the heading it stands under.
    kind : tuple of Kind
        Most guarantees have one kind.
    source : str
        Number and page of what it is, implies or replaces; may be empty.
    provenance : Provenance
    bound : callable or None
        The function of numbers behind an inequality; its main one where there are several.
    given : str or None
        Id of the guarantee on whose holding this one rests, for `Kind.EXACT_GIVEN`.
    cost : Cost
        Of one observation, if it is statistical.
    claim : str
        For conformance: the algorithm that a subject has to claim to be, to the letter. Empty for guarantees, which any
        implementation must keep.
    """

    id: str
    group: str
    title: str
    statement: str
    kind: tuple[Kind, ...]
    source: str
    provenance: Provenance
    bound: BoundFunction | None = None
    given: str | None = None
    cost: Cost = Cost.CALL
    claim: str = ""

    @property
    def kind_text(self) -> str:
        """The kinds in words, with the guarantee that this one rests on: "exact given E1"."""
        return ", ".join(f"exact given {self.given}" if kind is Kind.EXACT_GIVEN else kind.value for kind in self.kind)

    @property
    def source_text(self) -> str:
        """Whose it is, and the source: `paper: FMR25 Theorem F.2, p. 37`."""
        return f"{self.provenance.value}: {self.source}" if self.source else self.provenance.value


EXACT, STATISTICAL, SCALING, ILLUSTRATION = (Kind.EXACT,), (Kind.STATISTICAL,), (Kind.SCALING,), (Kind.ILLUSTRATION,)

GIVEN, BOTH = (Kind.EXACT_GIVEN,), (Kind.STATISTICAL, Kind.EXACT)

PAPER, REPAIRED, OURS, STANDARD, NONE = Provenance
