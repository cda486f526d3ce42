"""What runs of MTSS keep (A5): fits, searches, core-sets; proofs are in docs/mathematics.md."""

from __future__ import annotations

from spanver.guarantees.guarantee import BOTH, EXACT, OURS, PAPER, REPAIRED, Guarantee

GROUP = "MTSS"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("MT4", GROUP, "core-sets grow by one pair, and the last certain iteration is returned",
        "Every iteration adds one pair (x_h, a_h) and its anchor's to the core-set of every layer; the largest squared "
        "norm of layer h is ||v_h||^2 by Sigma_h = lambda I + sum v v^T before the addition. The iteration returned is "
        "the last whose largest are all at most threshold nu^2, and the first, which is pi_ref, if none is.",
        EXACT, "FMR25 Algorithm 4, p. 77", PAPER),
    Guarantee("MT5", GROUP, "the search returns the pair of largest norm that it meets",
        "UncertainStateAction begins N_span rollouts at the start and after every pair of the core-sets of all earlier "
        "layers, anchors included, and returns the pair of largest norm among the actions of the policy and Nbar_span "
        "draws of the base policy in the states that it reaches.",
        EXACT, "FMR25 Algorithm 6, p. 81", PAPER),
    Guarantee("MT6", GROUP, "few iterations are uncertain",
        "Iterations that find a squared norm above tau in a layer are at most the largest K with K log(1 + tau) <= "
        "d log(1 + 4K/(lambda d)); over all layers at most H K.",
        EXACT, "FMR25 Lemma M.1, p. 99", OURS),
    Guarantee("MT7", GROUP, "fits are to differences of the values of the policy",
        "Targets of FitValue have the mean Q^pi(x, a) - Q^pi(x, anchor), where pi is the policy of later layers and "
        "its density ratios are exact; at theta* and without noise each return is Q*. Their variance falls like "
        "1/N_reg, also in the rewards of the layer itself, which are drawn in every rollout.",
        BOTH, "FMR25 Algorithm 5, p. 79; line 5 outside of the loop is false", REPAIRED),
)
# fmt: on
