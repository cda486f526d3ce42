"""Conformance (C-A1, C-A1r, C-A2): to be an algorithm of section 3 to the letter, for subjects that claim it.

A guarantee binds every implementation: laws, bounds and costs that the theory promises. Another number of draws, or
another exact way to sample, breaks none. Conformance is judged only where a subject claims the algorithm.
"""

from __future__ import annotations

from spanver.guarantees.guarantee import BOTH, EXACT, OURS, PAPER, Guarantee

GROUP = "Conformance"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("C-A1", GROUP, "the sampler is A1",
        "The pilot has exactly N draws, and Z is their mean weight. At most N fresh trials accept with probability "
        "min(1, w/(M Z)); then a fresh base response is returned. The law of the output is that of A1, its fallback "
        "included.",
        BOTH, "FMR25 Algorithm 1, p. 36", PAPER, claim="A1"),
    Guarantee("C-A1r", GROUP, "the race sampler is A1r",
        "Exactly N = max(1, ceil(M/4 log(1/delta))) responses are drawn, and the law of the winner is that of "
        "argmax w/U.",
        BOTH, "", OURS, claim="A1r"),
    Guarantee("C-A2", GROUP, "exploration is phase 2 of A2",
        "Every trial of an exploration round has the truncated score of its round, up to a constant, and accepts at "
        "the threshold of A1 for a pilot of N draws of that round.",
        EXACT, "FMR25 Algorithm 3, p. 44; parameters are ours", PAPER, claim="A2"),
)
# fmt: on
