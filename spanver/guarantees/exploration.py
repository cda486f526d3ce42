"""Exploration with truncated policies (E1 to E7) and its bounds, as functions of numbers.

Where a value can pass `1e308` the function returns its logarithm and its name says so. Every argument is validated on
entry: one out of range raises `ArgumentError`. All constants are `[ours]`: they are not the paper's.
"""

from __future__ import annotations

import math

from spanver.guarantees.guarantee import EXACT, GIVEN, NONE, OURS, REPAIRED, STANDARD, STATISTICAL, Cost, Guarantee
from spanver.guarantees.identities import kl_bound
from spanver.validation import ROUNDING, require_positive, require_probability, require_real, require_share


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
    """Return whether `nu gamma <= beta/2`, the premise of E2 and so of E3 and E5; a relative `1e-9` is free.

    Parameters
    ----------
    nu, gamma : float
        As for `score_error`.
    beta : float
        Above 0.
    """
    require_positive("beta", beta)
    return score_error(nu, gamma) <= beta / 2.0 * (1.0 + ROUNDING)


def log_truncated_coverage(log_coverage: float, covered_probability: float) -> float:
    """Return E3's bound on `log C(pi_t|x,y')`: `1 + log C(pi*|x) - log pi*(covered|x,y')` `[ours]`.

    Parameters
    ----------
    log_coverage : float
        `log C(pi*|x)`, at least 0.
    covered_probability : float
        `pi*(covered|x,y')`.

    Returns
    -------
    float
        Infinity where nothing is covered.
    """
    require_real("log_coverage", log_coverage, rounding=ROUNDING)
    require_share("covered_probability", covered_probability)
    return 1.0 + log_coverage - math.log(covered_probability) if covered_probability > 0.0 else math.inf


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
    beta: float,
    reward_range: float,
    squared_error: float,
    uncovered: float,
    optimal_covered: float,
    deviation: float = 0.5,
) -> float:
    """Return E5's bound on `beta KL(pi_t || pi*)` at one prompt and one `y'` (tight, `[ours]`).

    It is `psi(b)/beta E_{pi_t}[(f_t - f*)^2 1_covered] + (R_max - beta) pi_t(uncovered) - beta log pi*(covered)`.

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

    Returns
    -------
    float
        Infinity where `pi*` has nothing on what is covered.
    """
    by_scores = kl_bound(beta, deviation, squared_error)
    require_positive("reward_range", reward_range)
    require_share("uncovered", uncovered)
    require_share("optimal_covered", optimal_covered)
    if optimal_covered == 0.0:
        return math.inf
    return by_scores + (reward_range - beta) * uncovered - beta * math.log(optimal_covered)


def log_uncovered_mass(
    log_coverage: float, base_uncovered: float, optimal_covered: float, deviation: float = 0.5
) -> float:
    """Return E5's bound on `log pi_t(uncovered)`, of `e^b C(pi*|x) pi_ref(uncovered|x,y')/(1 + (e^b - 1) u)` `[ours]`.

    Parameters
    ----------
    log_coverage : float
        `log C(pi*|x)`, at least 0.
    base_uncovered : float
        `pi_ref(uncovered|x,y')`.
    optimal_covered : float
        `1 - u = pi*(covered|x,y')`.
    deviation : float
        `b` with `abs(f_t - f*) <= b beta`, at least 0.

    Returns
    -------
    float
        Minus infinity where the base policy covers everything.
    """
    require_real("log_coverage", log_coverage, rounding=ROUNDING)
    require_share("base_uncovered", base_uncovered)
    require_share("optimal_covered", optimal_covered)
    require_real("deviation", deviation)
    if base_uncovered == 0.0:
        return -math.inf
    # e^b / (1 + (e^b - 1) u), of which both parts may overflow.
    factor = -math.log(math.exp(-deviation) * optimal_covered + (1.0 - optimal_covered))
    return factor + log_coverage + math.log(base_uncovered)


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
        "With f*(y) = <theta*, v(x,y,y')> 1_covered: nu max_t gamma_t <= beta/2 (same lambda) implies abs(f_t - f*) "
        "<= beta/2.",
        GIVEN, "a step of FMR25 Lemma G.6, p. 47, at half of its nu", OURS, score_error, given="E1"),
    Guarantee("E3", GROUP, "truncation keeps rejection sampling cheap",
        "Then, for y' with pi_ref(y'|x) > 0: C(pi_t | x, y') <= e C(pi*|x) / pi*(covered | x, y').",
        GIVEN, "FMR25 Lemma G.6, p. 47, for y' of the support, at half of its nu", REPAIRED, log_truncated_coverage,
        given="E2"),
    Guarantee("E4", GROUP, "without truncation coverage explodes",
        "Without truncation C(pi_t | x, y') exceeds 0.9 exp(osc(f_t)/beta) on a witness with C(pi*) = 1 on which "
        "E1 holds.",
        EXACT, "a witness for FMR25 footnote 7, p. 9", OURS, log_untruncated_coverage),
    Guarantee("E5", GROUP, "gap of one round",
        "For y' in the support, u = pi*(uncovered|x,y') and b = 1/2: beta KL(pi_t || pi*) <= psi(b)/beta "
        "E_{pi_t}[(f_t-f*)^2 1_covered] + (R_max - beta) pi_t(uncovered) + beta log(1/(1-u)) (tight), and "
        "pi_t(uncovered) <= e^b C(pi*|x) pi_ref(uncovered|x,y')/(1 + (e^b - 1) u).",
        GIVEN, "in place of FMR25 Lemmas G.5 and G.7, p. 47, at half of their nu", OURS, truncated_gap, given="E2"),
    Guarantee("E6", GROUP, "the fit is optimal on the ball",
        "The fit obeys ||theta|| <= B and the KKT conditions (gradient = -mu theta, mu >= 0, mu (||theta|| - B) = "
        "0), also for rank-deficient data.",
        EXACT, "", NONE),
    Guarantee("E7", GROUP, "ridge regression solves its normal equations",
        "A ridge regression (any library's) solves its normal equations.",
        EXACT, "", STANDARD),
)
# fmt: on
