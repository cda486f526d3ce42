"""Small tables and races that the tests of text share."""

from __future__ import annotations

import math
from typing import Any

from scipy.integrate import quad

ALPHA = 1e-6

SMALL: dict[str, Any] = {"dimension": 4, "prompts": 4, "words": 3}

SILLY = [
    "",
    " ",
    "word " * 300,
    "a" * 300,
    "!!!",
    "\0\t\n",
    "0 1 2 3",
    "日本語のテキスト",
    "Qu'est-ce que c'est ?",
    "🙂" * 20,
    "\u202e\u200d",
    "love great wonderful happy best",
    "hate awful terrible worst murder",
]


# ---------------------------------------------------------------------------------------------------------------------
# The law of the race


def race_by_quadrature(weights: list[float], index: int) -> float:
    """`P(U_i/w_i < U_j/w_j for all j)`, with `s = U_i/w_i` uniform on `[0, 1/w_i]`."""
    others = [weight for position, weight in enumerate(weights) if position != index]

    def density(s: float) -> float:
        return weights[index] * math.prod(max(0.0, 1.0 - weight * s) for weight in others)

    end = 1.0 / max(weights)
    return float(quad(density, 0.0, end, epsabs=1e-14, epsrel=1e-13)[0])
