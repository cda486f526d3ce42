"""Multi-turn exploration (A4): values of processes of layers, runs of MTSS, truncated policies (MT1 to MT11); bounds.

Where a value can pass `1e308` the function returns its logarithm and its name says so. Every argument is validated on
entry: one out of range raises `ArgumentError`.
"""

from __future__ import annotations

import math
import operator

from spanver.guarantees.guarantee import BOTH, EXACT, OURS, PAPER, REPAIRED, STANDARD, STATISTICAL, Cost, Guarantee
from spanver.guarantees.identities import log_psi
from spanver.validation import require_count, require_positive, require_probability, require_real, require_share


def log_anchored_divergence(deviation: float, share: float) -> float:
    """Return MT8's bound on `log KL(pi || pibar*)`: `log (e^b - 1 - b)` and that of the share `[paper, repaired]`.

    Parameters
    ----------
    deviation : float
        `b = nu ||theta - theta*||_Sigma/beta`, at least 0.
    share : float
        `E_pi ||vbar||^2/nu^2`, of norms of `Sigma^-1`.

    Returns
    -------
    float
        Minus infinity where the bound is 0.

    Examples
    --------
    >>> import math
    >>> round(math.exp(log_anchored_divergence(1.0, 1.0)), 4)  # e - 2
    0.7183
    """
    require_real("deviation", deviation)
    require_share("share", share)
    if deviation == 0.0 or share == 0.0:
        return -math.inf
    return log_psi(deviation) + 2.0 * math.log(deviation) + math.log(share)


def log_ratio_factor(optimal_covered: float, deviation: float) -> float:
    """Return MT8's bound on the log of the factor between two ratios, `2 b - log pi*(covered)` `[paper, repaired]`.

    The one is `pi/pi_ref` of an action; the other is `pi*/pi_ref`, of the same action where it is covered, else of the
    anchor.

    Parameters
    ----------
    optimal_covered : float
        `pi*(covered|x)`.
    deviation : float
        `b` as of `log_anchored_divergence`.

    Returns
    -------
    float
        Infinity where nothing is covered.
    """
    require_share("optimal_covered", optimal_covered)
    require_real("deviation", deviation)
    return math.inf if optimal_covered == 0.0 else 2.0 * deviation - math.log(optimal_covered)


def anchored_gap(
    divergence_cost: float, above: float, optimal_uncovered: float, below: float, uncovered: float
) -> float:
    """Return MT8's bound on the gap at a state: `beta KL + R+ pi*(uncovered) + R- pi(uncovered)` `[paper, repaired]`.

    Parameters
    ----------
    divergence_cost : float
        `beta KL(pi || pibar*)`, at least 0.
    above, below : float
        `R+` and `R-`, the largest of `Q~` and of `-Q~` over uncovered actions, and 0 if none is above 0.
    optimal_uncovered, uncovered : float
        Probabilities of what is not covered, under `pi*` and under `pi`.
    """
    for name, value in (("divergence_cost", divergence_cost), ("above", above), ("below", below)):
        require_real(name, value)
    require_share("optimal_uncovered", optimal_uncovered)
    require_share("uncovered", uncovered)
    return divergence_cost + above * optimal_uncovered + below * uncovered


def log_search_p_value(rollouts: int, left: float) -> float:
    """Return the logarithm of MT10's p-value of one start, `(1 - u)^N` `[ours]`.

    Parameters
    ----------
    rollouts : int
        `N`, from this start.
    left : float
        `u`, the probability that a rollout from it ends in a pair of a norm above the one that the search returned. Of
        base draws it is `(1 - 1/e) g`, with the probability `g` that a rollout reaches a state where the base policy
        draws such a pair with a probability above `1/N~`.

    Returns
    -------
    float
        Minus infinity where the search was certain to find more.

    Examples
    --------
    >>> round(log_search_p_value(10, 0.5), 3)
    -6.931
    """
    require_count("rollouts", rollouts)
    require_share("left", left)
    return -math.inf if left >= 1.0 else operator.index(rollouts) * math.log1p(-left)


def search_leftover(rollouts: int, starts: int, delta: float) -> float:
    """Return what MT10 leaves of every start but for a probability of `delta`: `1 - (delta/n)^(1/N)` `[ours]`.

    It is at most `log(n/delta)/N`.

    Parameters
    ----------
    rollouts : int
        `N`, from each start.
    starts : int
        `n`.
    delta : float
        Strictly between 0 and 1.
    """
    require_count("rollouts", rollouts)
    require_count("starts", starts)
    require_probability("delta", delta)
    return -math.expm1(math.log(delta / operator.index(starts)) / operator.index(rollouts))


def log_linear_optimum(radius: float, beta: float) -> float:
    """Return MT11's `log pi*(2, 1) = -log(1 + 3 e^{-B/beta})` of the instance of Proposition I.1 `[paper]`.

    Parameters
    ----------
    radius, beta : float
        `B` and `beta`, above 0; `beta` is 1 in the paper.

    Examples
    --------
    >>> import math
    >>> round(math.exp(log_linear_optimum(math.log(3 / 0.25), 1.0)), 12)  # 1/(1 + delta)
    0.8
    """
    require_positive("radius", radius)
    require_positive("beta", beta)
    return -math.log1p(3.0 * math.exp(-radius / beta))


GROUP = "Multi-turn"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("MT1", GROUP, "optimal values are the largest",
        "Q^pi_h(x,a) <= Q*_h(x,a) for every policy pi on the support, layer, state and action, with equality "
        "everywhere for pi*, which is pi_ref exp((Q* - V*)/beta).",
        EXACT, "FMR25 Lemma N.4, p. 113", PAPER),
    Guarantee("MT2", GROUP, "difference of two policies' values",
        "From every state V^pi - V^pi' = E_pi' sum_h of (E_pi - E_pi') Q^pi_h - beta (KL(pi_h || pi_ref,h) - "
        "KL(pi'_h || pi_ref,h)). For pi = pi* it is beta E_pi' sum_h KL(pi'_h || pi*_h).",
        EXACT, "FMR25 Lemma N.6, p. 114, and Lemma N.5, p. 114", STANDARD),
    Guarantee("MT4", GROUP, "core-sets grow by one pair, and the last certain iteration is returned",
        "Every iteration adds one pair (x_h, a_h) and its anchor's to the core-set of every layer; the largest squared "
        "norm of layer h is ||v_h||^2 by Sigma_h = lambda I + sum v v^T before the addition, and so are its policies. "
        "The last iteration whose largest are all at most threshold nu^2 is returned, or the first, pi_ref, if none.",
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
        "its density ratios are exact; at theta*, without noise and with certain next states, each return is Q*. Their "
        "variance falls like 1/N_reg, also in the rewards of the layer itself, which are drawn in every rollout.",
        BOTH, "FMR25 Algorithm 5, p. 79; line 5 outside of the loop is false", REPAIRED),
    Guarantee("MT8", GROUP, "policies truncated relative to an anchor",
        "b = nu norm(theta - theta*)/beta, F = e^2b/pi*(covered): KL(pi || pibar*) <= (e^b - 1 - b) E "
        "norm(vbar)^2/nu^2; pi/pi_ref <= F pi*/pi_ref if covered, else F times that of the anchor; 0 <= gap <= beta "
        "KL(pi || pibar*) + R+ pi*(uncovered) + R- pi(uncovered), = where all is covered.",
        EXACT, "FMR25 Lemma N.1, p. 109, Lemma N.2, p. 109, and Lemma N.3, p. 111", REPAIRED, anchored_gap),
    Guarantee("MT9", GROUP, "certificate of a policy of layers",
        "J(pi*) - J(pi) <= sum_h E_pi of beta KL(pi_h || pibar*_h) + E_pi*_h Q~ 1(uncovered) - E_pi_h Q~ 1(uncovered), "
        "Q~ = Q*_h - Q*_h(anchor), whatever the parameters are; with equality where all is covered.",
        EXACT, "from FMR25 Lemma N.5, p. 114, and Lemma N.3, p. 111", OURS),
    Guarantee("MT10", GROUP, "what a search leaves of every start",
        "(1 - u)^N is a p-value for every start: u is the probability that a rollout from it ends in a pair above the "
        "largest norm met. So is (1 - (1 - 1/e) g)^N, g that of reaching a state where base draws are above it with a "
        "probability over 1/Nbar.",
        STATISTICAL, "in place of FMR25 Lemma K.1, p. 85, and Lemma K.2, p. 87", OURS, log_search_p_value,
        cost=Cost.RUN),
    Guarantee("MT11", GROUP, "linear rewards without autoregressive policies",
        "H = d = A = 2, uniform base, phi_1 = e_1, phi_2(2,1) = e_1, else e_2, theta_h = B e_1: pi*(2,1) = 1/(1 + 3 "
        "e^(-B/beta)), and at most 1/2 under every autoregressive policy.",
        EXACT, "FMR25 Proposition I.1, p. 75", PAPER, log_linear_optimum),
)
# fmt: on
