"""Proper learners (H0 to H3), and what Max-k-DNF formulas say of every `pi_theta` (FMR25 Section 4, Appendix H).

On the family `max_k_dnf` a response is a clause or the null one. A policy of the class gives the clauses mass only
where the signs of its parameter satisfy them (H2), a small gap needs mass (H3), and so a learner whose reward queries
are proper decides about formulas (H1). Every argument is validated on entry: one out of range raises `ArgumentError`.
"""

from __future__ import annotations

import math
import operator
from fractions import Fraction

from spanver.guarantees.guarantee import BOTH, EXACT, PAPER, REPAIRED, Guarantee
from spanver.validation import require_count, require_positive, require_probability, require_share


def reduction_parameters(literals: int, delta: float) -> tuple[float, float]:
    """Return `beta(k, delta) = 1/(k^2 log(16/delta))` and `eps(k, delta) = delta^2 beta/16` of Lemma H.1 `[paper]`.

    Parameters
    ----------
    literals : int
        `k`, at least 1.
    delta : float
        Share of the clauses that is to be told from a smaller one, strictly between 0 and 1.

    Examples
    --------
    >>> [round(each, 5) for each in reduction_parameters(3, 0.5)]
    [0.03206, 0.0005]
    """
    require_count("literals", literals)
    require_probability("delta", delta)
    beta = 1.0 / (operator.index(literals) ** 2 * math.log(16.0 / delta))
    return beta, delta**2 * beta / 16.0


def most_rewards(literals: int, delta: float) -> int:
    """Return the largest `T` with `16 T (delta/16)^(k/2) < 2 - delta`, for which H1 promises YES; 0 where `k < 2`.

    Examples
    --------
    >>> [most_rewards(k, 0.5) for k in (1, 2, 3, 4, 8)]
    [0, 2, 16, 95, 98303]
    """
    require_count("literals", literals)
    require_probability("delta", delta)
    if literals < 2:
        return 0
    share = Fraction(delta)
    # T^2 is below this square.
    square = (2 - share) ** 2 * (16 / share) ** operator.index(literals) / 256
    return math.isqrt(math.ceil(square) - 1)


def decision_threshold(clauses: int, delta: float, rewards: int) -> Fraction:
    """Return `delta m/(16 T)`: H1 says YES of an assignment that satisfies more clauses, exactly as the floats are.

    Parameters
    ----------
    clauses : int
        `m`, at least 1.
    delta : float
        Strictly between 0 and 1.
    rewards : int
        `T`, the most reward queries of the learner, at least 1.
    """
    require_count("clauses", clauses)
    require_probability("delta", delta)
    require_count("rewards", rewards)
    return Fraction(delta) * operator.index(clauses) / (16 * operator.index(rewards))


def clause_mass_floor(share: float, beta: float) -> float:
    """Return the least mass of all clauses under `pi_theta*`: `s/(1 - e^{-1/beta} + s)`, at least `s/2` (H2, `[ours]`).

    Parameters
    ----------
    share : float
        `s = val/m`.
    beta : float
        Above 0.
    """
    require_share("share", share)
    require_positive("beta", beta)
    return share / (share - math.expm1(-1.0 / beta))


def clause_mass_bound(share: float, beta: float, literals: int) -> float:
    """Return the upper bound of H2 on the mass of all clauses under any `pi_theta` of the box (`[ours]`; attained).

    `w/(1 - e^{-1/beta} + w)` with `w = s + (1-s) e^{-1/(2 beta k)}`. For `beta <= 1/log 2` this is at most the paper's
    `2 (s + e^{-1/(2 beta k)})`.

    Parameters
    ----------
    share : float
        `s = val(sgn theta)/m`; a coordinate of 0 may have either sign.
    beta : float
        Above 0.
    literals : int
        `k`, at least 1.

    Examples
    --------
    >>> round(clause_mass_bound(0.0, 0.1, 3), 4)
    0.1589
    """
    require_share("share", share)
    require_positive("beta", beta)
    require_count("literals", literals)
    weight = share + (1.0 - share) * math.exp(-0.5 / (beta * operator.index(literals)))
    return weight / (weight - math.expm1(-1.0 / beta))


def mass_gap_floor(beta: float, mass: float, optimal_mass: float) -> float:
    """Return the lower bound of H3 on the gap: `beta kl(p || q)`, at least `2 beta (p - q)^2` (`[ours]`; attained).

    Parameters
    ----------
    beta : float
        Above 0.
    mass, optimal_mass : float
        `p` and `q`, what the policy and the optimum give to all clauses.

    Examples
    --------
    >>> mass_gap_floor(0.5, 0.25, 0.25)
    0.0
    """
    require_positive("beta", beta)
    require_share("mass", mass)
    require_share("optimal_mass", optimal_mass)
    terms = ((mass, optimal_mass), (1.0 - mass, 1.0 - optimal_mass))
    if any(p > 0.0 >= q for p, q in terms):
        return math.inf
    # p log(p/q) - p + q, whose terms are not negative.
    return beta * math.fsum(p * math.log(p / q) - p + q if p > 0.0 else q for p, q in terms)


GROUP = "Proper learners"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("H0", GROUP, "proper exploration",
        "Every reward that a proper learner queries is of a response drawn for it at this prompt from one pi_theta, "
        "theta in Theta (the base policy has theta = 0), which may depend on the prompt and on all that was seen "
        "before: no guess, no result of a search, and no draw twice. Of passive learner, OnlineDPO, XPO, best-of-N.",
        EXACT, "FMR25 Definition 4.1, p. 10", PAPER),
    Guarantee("H1", GROUP, "a proper learner decides about formulas",
        "Run a proper learner of T reward queries with all rewards 0 at beta(k, delta), and of the theta that it "
        "queried or returned take the signs of the one with most mass on clauses: YES if they satisfy more than "
        "delta m/(16 T) clauses. NO if val <= delta m/(16 T). YES with probability >= 1/4 if val >= delta m, its "
        "gap is <= eps(k, delta) in 3 of 4 runs, k >= 2 and 16 T (delta/16)^(k/2) < 2 - delta.",
        BOTH, "FMR25 Lemma H.1, p. 61, with the premise that footnote 17 needs", REPAIRED),
    Guarantee("H2", GROUP, "what a parameter sees of the clauses",
        "On max_k_dnf the mass of all clauses is at least val/(2m) under pi*, and at most 2 (val(sgn theta)/m + "
        "e^{-1/(2 beta k)}) under any pi_theta of the box, for beta <= 1/log 2. Sharper: s/(1 - e^{-1/beta} + s) with "
        "s = val/m, and the same function of s + (1-s) e^{-1/(2 beta k)} with s = val(sgn theta)/m.",
        EXACT, "FMR25 Lemma H.2, p. 62, for clauses of k literals with repetition", REPAIRED, clause_mass_bound),
    Guarantee("H3", GROUP, "a small gap needs mass on the clauses",
        "J(pi*) - J(pi) >= beta (p - q)^2 for every pi, p and q the masses of all clauses under pi and pi*. Sharper: "
        ">= beta kl(p || q) >= 2 beta (p - q)^2, attained.",
        EXACT, "FMR25 Lemma H.3, p. 63", PAPER, mass_gap_floor),
)
# fmt: on
