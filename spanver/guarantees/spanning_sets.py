"""Spanners of other code (B1 to B3), judged by `spanver.guarantees.residuals`."""

from __future__ import annotations

from spanver.guarantees.guarantee import EXACT, NONE, STANDARD, Guarantee

GROUP = "Spanners of other code"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("B1", GROUP, "approximate barycentric spanner",
        "b_1..b_r, members of the set, linearly independent, r its rank, are a C-approximate barycentric spanner: "
        "every vector of the set is sum c_i b_i (unique coefficients) with all abs(c_i) <= C.",
        EXACT, "Awerbuch & Kleinberg 2008", STANDARD),
    Guarantee("B2", GROUP, "no swap raises the volume",
        "Equivalently (Cramer) no single swap raises abs(det) by more than the factor C, with r x r determinants "
        "in an orthonormal basis of the span; greedy swapping ends for C > 1.",
        EXACT, "Awerbuch & Kleinberg 2008", STANDARD),
    Guarantee("B3", GROUP, "a chosen list covers to nu",
        "With Sigma = lambda I + sum b b^T, no vector of the set (chosen ones included) has norm above nu; judged "
        "only for code that promises it.",
        EXACT, "", NONE),
)
# fmt: on
