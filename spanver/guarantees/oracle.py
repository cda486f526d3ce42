"""The oracle (O1 to O4): ledgers, budgets, counting without drawing, and probabilities that are told."""

from __future__ import annotations

from spanver.guarantees.guarantee import BOTH, EXACT, OURS, PAPER, Guarantee

GROUP = "Oracle"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("O1", GROUP, "the ledger counts every answer",
        "The ledger equals the number of answers that a literal run would have returned, also after errors, "
        "budgets and interruptions.",
        EXACT, "FMR25 Definition 2.1, p. 6, and Definition 2.2, p. 7", PAPER),
    Guarantee("O2", GROUP, "counting without drawing has the law of drawing",
        "Counted and literal runs have the same law of (accepted pairs, outputs, ledger), query by query and "
        "end to end.",
        BOTH, "", OURS),
    Guarantee("O3", GROUP, "budgets hold",
        "A budget of n answers is never exceeded, and running out is a clear, typed error. A sampler or learner of "
        "which a query was refused lets this error out, and returns no result in its place.",
        EXACT, "", OURS),
    Guarantee("O4", GROUP, "the generalised oracle tells exact probabilities",
        "The generalised oracle answers a strong sample y ~ pi_theta(.|x) with log pi_theta(y|x), to rounding; so what "
        "it tells of all responses sums to 1 over Y, and differs from theta = 0 by <theta, phi>/beta - log Z_theta(x).",
        EXACT, "FMR25 Definition C.1, p. 28", PAPER),
)
# fmt: on
