"""How each curve of a figure looks: colours that the colour-blind can tell apart, and a marker each for print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Style:
    """Colour (Okabe and Ito's palette), marker and label of a curve, and the size of its markers."""

    colour: str
    marker: str
    label: str
    marker_size: int = 4


OTHER_STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "known_coverage": Style("#0072B2", "p", "SpannerSampling\n(known C, noisy rewards)"),
        "exhaustive": Style("#E69F00", "s", "exhaustive proper search"),
        "mtss": Style("#009E73", "X", "MTSS, extended"),
        "mtss_printed": Style("#CC79A7", "D", "MTSS, as printed"),
        "untruncated": Style("#D55E00", "^", "without truncation"),
        "truncated": Style("#0072B2", "o", "with truncation"),
        "counted": Style("#0072B2", "o", "counted oracle"),
        "literal": Style("#E69F00", "s", "literal oracle"),
        "measured": Style("#0072B2", "o", "most that is measured", marker_size=6),
        "ours": Style("#D55E00", "D", "our bound there", marker_size=6),
    }
)
"""Of curves that are of no learner in `spanver.studies.entrants`."""
