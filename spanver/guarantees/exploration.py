"""Exploration with truncated policies (E1 to E9, P1) and its bounds, as functions of numbers.

Where a value can pass `1e308` the function returns its logarithm and its name says so. Every argument is validated on
entry: one out of range raises `ArgumentError`. Constants are `[ours]`, but for those of E8 and E9, which are the
paper's.
"""

from __future__ import annotations

import math

from spanver.guarantees.guarantee import (
    EXACT,
    GIVEN,
    NONE,
    OURS,
    PAPER,
    REPAIRED,
    STANDARD,
    STATISTICAL,
    Cost,
    Guarantee,
)
from spanver.guarantees.identities import kl_bound
from spanver.validation import (
    ROUNDING,
    require_coverage,
    require_positive,
    require_probability,
    require_real,
    require_share,
)


def confidence_radius(ridge: float, radius: float, reward_range: float, delta: float, log_det_ratio: float) -> float:
    """Return E1's `gamma = s/2 + sqrt(s^2/4 + 4 lambda B^2)`, the radius of the confidence ellipsoid `[ours]`.

    `s = sigma sqrt(2 log(1/delta) + log det(Sigma/lambda))` with `sigma = R_max/sqrt(2)`, for differences of two
    rewards under the noise of section 1; rewards that are `tau`-sub-Gaussian come under `reward_range = 2 tau`.

    Parameters
    ----------
    ridge : float
        `lambda`, above 0.
    radius : float
        `B`, above 0.
    reward_range : float
        `R_max`, above 0.
    delta : float
        Strictly between 0 and 1.
    log_det_ratio : float
        `log det(Sigma/lambda)`, at least 0.
    """
    require_positive("ridge", ridge)
    require_positive("radius", radius)
    require_positive("reward_range", reward_range)
    require_probability("delta", delta)
    require_real("log_det_ratio", log_det_ratio, rounding=ROUNDING)
    half_noise = reward_range / math.sqrt(2.0) * math.sqrt(max(0.0, log_det_ratio) - 2.0 * math.log(delta)) / 2.0
    return half_noise + math.hypot(half_noise, 2.0 * math.sqrt(ridge) * radius)


def score_error(nu: float, gamma: float) -> float:
    """Return `nu gamma`, the bound on `abs(f_t - f*)` that E1 gives on covered responses (E2, `[ours]`).

    Parameters
    ----------
    nu : float
        Above 0.
    gamma : float
        The largest confidence radius so far, above 0.
    """
    require_positive("nu", nu)
    require_positive("gamma", gamma)
    return nu * gamma


def score_error_premise(nu: float, gamma: float, beta: float) -> bool:
    """Return whether `b = nu gamma/beta <= 1`, the premise of E8 and E9; a relative `1e-9` is free.

    Parameters
    ----------
    nu, gamma : float
        As for `score_error`.
    beta : float
        Above 0.
    """
    require_positive("beta", beta)
    return score_error(nu, gamma) <= beta * (1.0 + ROUNDING)


def log_truncated_coverage(log_coverage: float, covered_probability: float, deviation: float) -> float:
    """Return E3's bound on `log C(pi_t|x,y')`: `2 b + log C(pi*|x) - log pi*(covered|x,y')`.

    At `b = 1` and `pi*(covered) >= 1/2` it is at most that of FMR25 Lemma G.6, `2 e^2 C`.

    Parameters
    ----------
    log_coverage : float
        `log C(pi*|x)`, at least 0.
    covered_probability : float
        `pi*(covered|x,y')`.
    deviation : float
        `b` with `abs(f_t - f*) <= b beta`, at least 0.

    Returns
    -------
    float
        Infinity where nothing is covered.
    """
    require_real("log_coverage", log_coverage, rounding=ROUNDING)
    require_share("covered_probability", covered_probability)
    require_real("deviation", deviation)
    if covered_probability == 0.0:
        return math.inf
    return 2.0 * deviation + log_coverage - math.log(covered_probability)


def log_uncovered_ratio(log_coverage: float, optimal_covered: float, deviation: float) -> float:
    """Return E3's bound on `log pi_t(y)/pi_ref(y)` of uncovered `y`, of `e^b C(pi*|x)/(1 + (e^b - 1) u)` `[ours]`.

    So `pi_t(uncovered)` is at most that times `pi_ref(uncovered)`.

    Parameters
    ----------
    log_coverage : float
        `log C(pi*|x)`, at least 0.
    optimal_covered : float
        `1 - u = pi*(covered|x,y')`.
    deviation : float
        `b` with `abs(f_t - f*) <= b beta`, at least 0.
    """
    require_real("log_coverage", log_coverage, rounding=ROUNDING)
    require_share("optimal_covered", optimal_covered)
    require_real("deviation", deviation)
    if optimal_covered >= 1.0:
        return log_coverage + deviation
    # e^b / (1 + (e^b - 1) u), of which both parts may overflow.
    return log_coverage - math.log(math.exp(-deviation) * optimal_covered + (1.0 - optimal_covered))


def log_untruncated_coverage(oscillation: float, beta: float) -> float:
    """Return what the log coverage exceeds in E4's witness without truncation: `log 0.9 + osc(f_t)/beta` `[ours]`.

    Parameters
    ----------
    oscillation : float
        `osc(f_t)`, at least 0.
    beta : float
        Above 0.
    """
    require_real("oscillation", oscillation)
    require_positive("beta", beta)
    return math.log(0.9) + oscillation / beta


def truncated_gap(
    beta: float, reward_range: float, squared_error: float, uncovered: float, optimal_covered: float, deviation: float
) -> float:
    """Return E5's bound on `beta KL(pi_t || pi*)` at one prompt and one `y'` (tight, `[ours]`).

    It is `psi(b)/beta E_{pi_t}[(f_t - f*)^2 1_covered]` and the smaller of `R_max max(u, pi_t(uncovered))` and
    `(R_max - beta) pi_t(uncovered) + beta log(1/(1 - u))`.

    Parameters
    ----------
    beta, reward_range : float
        Above 0.
    squared_error : float
        `E_{pi_t}[(f_t - f*)^2 1_covered]`, at least 0.
    uncovered : float
        `pi_t(uncovered|x,y')`.
    optimal_covered : float
        `1 - u = pi*(covered|x,y')`.
    deviation : float
        `b` with `abs(f_t - f*) <= b beta`, at least 0.
    """
    by_scores = kl_bound(beta, deviation, squared_error)
    require_positive("reward_range", reward_range)
    require_share("uncovered", uncovered)
    require_share("optimal_covered", optimal_covered)
    by_range = reward_range * max(1.0 - optimal_covered, uncovered)
    if optimal_covered == 0.0:
        return by_scores + by_range
    return by_scores + min(by_range, (reward_range - beta) * uncovered - beta * math.log(optimal_covered))


def round_regret(
    beta: float, reward_range: float, squared_error: float, uncovered: float, optimal_uncovered: float
) -> float:
    """Return E8's bound on `J* - Jbar(pi_t)` at one prompt, as printed `[paper]`.

    `E_{pi_t}[(f_t - f*)^2 1_covered]/beta + R_max (P_{y~pi*}(uncovered) + P_{y~pi_t}(uncovered))`, over `y' ~ pi_ref`.

    Parameters
    ----------
    beta, reward_range : float
        Above 0.
    squared_error : float
        `E_{pi_t}[(f_t - f*)^2 1_covered]`, at least 0.
    uncovered, optimal_uncovered : float
        Probabilities under `pi_t` and `pi*`.
    """
    require_positive("beta", beta)
    require_positive("reward_range", reward_range)
    require_real("squared_error", squared_error)
    require_share("uncovered", uncovered)
    require_share("optimal_uncovered", optimal_uncovered)
    return squared_error / beta + reward_range * (optimal_uncovered + uncovered)


def spanner_regret(
    beta: float, reward_range: float, squared_error: float, coverage: float, eps: float, beyond: float
) -> float:
    """Return E9's bound on `J* - Jbar(pi_t)`, as printed `[paper]`.

    `E_{pi_t}[(f_t - f*)^2 1_covered]/beta + 18 R_max C eps + 2 R_max P_x[p_Sigma(x) > eps]`.

    Parameters
    ----------
    beta, reward_range : float
        Above 0.
    squared_error : float
        `E_{pi_t}[(f_t - f*)^2 1_covered]`, over all prompts; at least 0.
    coverage : float
        `C(pi*)`, at least 1.
    eps : float
        Above 0.
    beyond : float
        `P_x[p_Sigma(x) > eps]`.
    """
    require_positive("beta", beta)
    require_positive("reward_range", reward_range)
    require_real("squared_error", squared_error)
    require_coverage("coverage", coverage)
    require_positive("eps", eps)
    require_share("beyond", beyond)
    return squared_error / beta + reward_range * (18.0 * coverage * eps + 2.0 * beyond)


def sharp_spanner_regret(
    beta: float, reward_range: float, squared_error: float, log_coverage: float, uncertain: float, deviation: float
) -> float:
    """Return the bound on `J* - Jbar(pi_t)` at one prompt that E5 and E3 give, sharper than E9's `[ours]`.

    `psi(b)/beta E_{pi_t}[(f_t - f*)^2 1_covered] + R_max min(1, e^b C(pi*|x) p_Sigma(x))`, over `y' ~ pi_ref`.

    Parameters
    ----------
    beta, reward_range : float
        Above 0.
    squared_error : float
        `E_{pi_t}[(f_t - f*)^2 1_covered]`, at least 0.
    log_coverage : float
        `log C(pi*|x)`, at least 0.
    uncertain : float
        `p_Sigma(x)`, a probability.
    deviation : float
        `b` with `abs(f_t - f*) <= b beta`, at least 0.
    """
    by_scores = kl_bound(beta, deviation, squared_error)
    require_positive("reward_range", reward_range)
    require_real("log_coverage", log_coverage, rounding=ROUNDING)
    require_share("uncertain", uncertain)
    if uncertain == 0.0:
        return by_scores
    return by_scores + reward_range * math.exp(min(0.0, deviation + log_coverage + math.log(uncertain)))


GROUP = "Exploration"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("E1", GROUP, "confidence ellipsoid",
        "Under bounded, fresh noise, with probability >= 1-delta, for all t: ||theta_t - theta*||_{Sigma_t} <= "
        "gamma_t = s_t/2 + sqrt(s_t^2/4 + 4 lambda B^2), s_t = sigma sqrt(2 log(1/delta) + log "
        "det(Sigma_t/lambda)), sigma = R_max/sqrt(2) (sqrt(2) tau for tau-sub-Gaussian rewards).",
        STATISTICAL, "FMR25 Lemma G.3, p. 45, with constants", OURS, confidence_radius, cost=Cost.RUN),
    Guarantee("E2", GROUP, "truncated scores are accurate",
        "With f*(y) = <theta*, v(x,y,y')> 1_covered and b = nu gamma_t/beta (same lambda): abs(f_t - f*) <= b beta. "
        "It is judged, as what rests on it, where b <= 1.",
        GIVEN, "a step of FMR25 Lemma G.6, p. 47", OURS, score_error, given="E1"),
    Guarantee("E3", GROUP, "truncation keeps rejection sampling cheap",
        "For y' with pi_ref(y'|x) > 0 and u = pi*(uncovered|x,y'): pi_t(y|x,y')/pi_ref(y|x) is at most e^{2b} "
        "C(pi*|x)/(1-u) where y is covered, and at most e^b C(pi*|x)/(1 + (e^b - 1) u) where it is not.",
        GIVEN, "FMR25 Lemma G.6, p. 47, for y' of the support and any b", REPAIRED, log_truncated_coverage, given="E2"),
    Guarantee("E4", GROUP, "without truncation coverage explodes",
        "Without truncation C(pi_t | x, y') exceeds 0.9 exp(osc(f_t)/beta) on a witness with C(pi*) = 1 on which "
        "E1 holds.",
        EXACT, "a witness for FMR25 footnote 7, p. 9", OURS, log_untruncated_coverage),
    Guarantee("E5", GROUP, "gap of one round",
        "For y' in the support, u = pi*(uncovered|x,y') and p = pi_t(uncovered|x,y'): beta KL(pi_t || pi*) <= "
        "psi(b)/beta E_{pi_t}[(f_t-f*)^2 1_covered] + min{R_max max(u, p), (R_max - beta) p + beta log(1/(1-u))} "
        "(tight).",
        GIVEN, "implies FMR25 Lemmas G.5 and, with E3, G.7, p. 47", OURS, truncated_gap, given="E2"),
    Guarantee("E6", GROUP, "the fit is optimal on the set of parameters",
        "The fit is in Theta and obeys the KKT conditions, <gradient, theta' - theta> >= 0 for all theta' in Theta, "
        "also for rank-deficient data. On the ball: gradient = -mu theta, mu >= 0, mu (||theta|| - B) = 0.",
        EXACT, "", NONE),
    Guarantee("E7", GROUP, "ridge regression solves its normal equations",
        "A ridge regression (any library's) solves its normal equations.",
        EXACT, "", STANDARD),
    Guarantee("E8", GROUP, "regret of one round",
        "Where b <= 1, at every prompt: J* - J(pi_t) <= J* - Jbar(pi_t) <= E_{pi_t}[(f_t-f*)^2 1_covered]/beta + R_max "
        "(P_{y~pi*}(uncovered) + P_{y~pi_t}(uncovered)), y' ~ pi_ref. Jbar is J with KL(pi_t(.|x,y') || pi_ref) in "
        "place of KL(pi_t || pi_ref).",
        GIVEN, "FMR25 Lemma G.5, p. 47", PAPER, round_regret, given="E2"),
    Guarantee("E9", GROUP, "regret of one round by what the spanner leaves",
        "Where b <= 1, for every eps > 0: J* - Jbar(pi_t) <= E_{pi_t}[(f_t-f*)^2 1_covered]/beta + 18 R_max C(pi*) eps "
        "+ 2 R_max P_x(p_Sigma(x) > eps). Sharper, and ours: psi(b)/beta E_{pi_t}[(f_t-f*)^2 1_covered] + R_max E_x "
        "min(1, e^b C(pi*|x) p_Sigma(x)).",
        GIVEN, "FMR25 Lemma G.7, p. 47; the sharper form is ours", PAPER, spanner_regret, given="E2"),
    Guarantee("P1", GROUP, "the fit from preferences is optimal",
        "SpannerSampling from preferences asks one label about a pair, and theta_t minimises sum -log sigma(<theta, "
        "phi(x,y+) - phi(x,y-)>) over all labels so far on Theta: its KKT conditions hold. The paper promises the "
        "guarantees of A2, with T_data up to a factor exp(R_max).",
        EXACT, "FMR25 Section B.1, p. 28", PAPER),
    Guarantee("P2", GROUP, "anchor responses",
        "SpannerSampling with anchors has the anchor response of the prompt, one that the base policy draws, as the "
        "second response of every pair. Phase 1 accepts the first draw y with ||v(x,y,a)|| > nu, and costs at most 1 "
        "for the anchor and 1 a try; rounds and policies are relative to the anchor. Then S2 to S6, S9 and E1 to E9 "
        "hold with this y'.",
        EXACT, "FMR25 Remark G.2, p. 43, for anchors of the support, in both phases", REPAIRED),
)
# fmt: on
