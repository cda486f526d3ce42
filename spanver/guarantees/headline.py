"""What no learner can pass on the needle family (T1), as functions of numbers.

`y*` is *met* when a sampling answer is `y*` or a reward query names it. The learner's output is one more guess, so a
ceiling on its mass at `y*` follows; success needs a floor. Where the ceiling exceeds the floor nothing is decided:
these functions give the two numbers and no verdict. The theorem and its instance, where the feature of the needle is
uniform on the sphere, are the paper's (FMR25 Theorem 2.1, p. 7); the chances with their constants, and an instance with
signs in place of the sphere, are `[ours]`.

`samples` counts sampling queries, those that the returned policy makes for one output included; `rewards` counts reward
queries; `responses` is `|Y|`; `coverage` is `C = 1/pi_ref(y*)`. Every argument is validated on entry: one out of range
raises `ArgumentError`.
"""

from __future__ import annotations

import math
import operator
from itertools import pairwise

from scipy.integrate import quad
from scipy.special import betaln, expit

from spanver.guarantees.guarantee import (
    ILLUSTRATION,
    OURS,
    PAPER,
    REPAIRED,
    SCALING,
    STATISTICAL,
    Cost,
    Guarantee,
    Kind,
)
from spanver.validation import (
    require,
    require_count,
    require_coverage,
    require_positive,
    require_probability,
    require_real,
    to_float,
)


def needle_met_weak_exact(samples: int, rewards: int, responses: int, coverage: float) -> float:
    """Return the exact chance that `samples` weak draws and `rewards` guesses meet the needle (T1, `[ours]`).

    `1 - (1 - 1/C)^n (1 - m/(|Y| - 1))` for `n` draws and `m` distinct guesses other than `y0`.

    Parameters
    ----------
    samples : int
        `n`, at least 0.
    rewards : int
        `m`, from 0 to `responses - 1`.
    responses : int
        `|Y|`, at least 3.
    coverage : float
        `C`, at least 1.

    Examples
    --------
    >>> needle_met_weak_exact(1, 1, 3, 2.0)
    0.75
    """
    _require_queries(samples, rewards, responses)
    require_coverage("coverage", coverage)
    labels = operator.index(responses) - 1
    require(rewards <= labels, "rewards", rewards, f"at most responses - 1 = {labels}, for guesses are distinct")
    if rewards == labels or (coverage <= 1.0 and samples > 0):
        return 1.0
    log_missed_by_draws = to_float(samples) * math.log1p(-1.0 / coverage) if samples > 0 else 0.0
    return -math.expm1(log_missed_by_draws + math.log1p(-operator.index(rewards) / labels))


def needle_strong_chance(coverage: float, beta: float, dimension: int) -> float:
    """Return T1's `p` for the strong oracle and signs: the bound on the chance that one answer is the needle.

    `min{ e/(C-1+e) + exp(-beta^2 d/2) [ours], exp(1/(2 beta^2 d))/(C-1) [ours] }`; above 1 it says nothing.

    Parameters
    ----------
    coverage : float
        `C`, at least 1.
    beta : float
        Above 0.
    dimension : int
        `d`, at least 1.
    """
    require_coverage("coverage", coverage)
    require_positive("beta", beta)
    require_count("dimension", dimension)
    spread = beta * math.sqrt(dimension)
    by_threshold = math.e / (coverage - 1.0 + math.e) + math.exp(-spread * spread / 2.0)
    if coverage <= 1.0 or spread < 1e-150:
        return by_threshold
    log_by_moment = 0.5 / (spread * spread) - math.log(coverage - 1.0)
    return min(by_threshold, math.exp(min(1.0, log_by_moment)))  # by_threshold is at most 2, below e


def needle_sphere_chance(coverage: float, beta: float, dimension: int) -> float:
    """Return T1's `p` for the strong oracle and the sphere: the largest chance that one answer is the needle `[ours]`.

    It is exact: `E g(X_1)` with `g(x) = e^{x/beta}/(C - 1 + e^{x/beta})`, where `X_1` is a coordinate of a uniform
    point of the sphere. The needle's score `<theta, v*>` has the law of `norm(theta) X_1`. The chance grows with the
    norm for `C >= 2`, and falls for `C <= 2`, so that it is at most `1/C` there.

    Parameters
    ----------
    coverage : float
        `C`, at least 1.
    beta : float
        Above 0.
    dimension : int
        `d`, at least 1.

    Examples
    --------
    >>> round(needle_sphere_chance(64.0, 0.1, 16), 7)
    0.0899407
    """
    require_coverage("coverage", coverage)
    require_positive("beta", beta)
    require_count("dimension", dimension)
    d = to_float(dimension)
    # Where 1/(2 beta^2 d) is below the rounding of 1, p is 1/C.
    if coverage <= 2.0 or beta * math.sqrt(d) >= 1e9:
        return 1.0 / max(coverage, 1.0)
    log_odds = -math.log(coverage - 1.0)

    def of_both_signs(size: float) -> float:
        return float(expit(log_odds + size / beta) + expit(log_odds - size / beta))

    if dimension == 1:
        return of_both_signs(1.0) / 2.0
    log_density = -float(betaln(0.5, (d - 1.0) / 2.0))

    def integrand(angle: float) -> float:  # of X_1 = sin(angle), without a pole at 1 for d = 2
        size = math.sin(angle)
        weight = math.log1p(-size * size) * (d - 2.0) / 2.0 if size < 1.0 else -math.inf if d > 2.0 else 0.0
        return math.exp(log_density + weight) * of_both_signs(size)

    # The density falls over 1/sqrt(d), g rises over beta at the log odds, and their product may peak where beta d is 1.
    deviation, rise, peak = 1.0 / math.sqrt(d), -log_odds * beta, min(1.0, 1.0 / (beta * d))
    sizes = {
        middle + step * width
        for middle, width in ((0.0, deviation), (rise, beta), (peak, deviation))
        for step in (-32.0, -8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0, 32.0)
    }
    angles = [0.0, *sorted(math.asin(size) for size in sizes if 0.0 < size < 1.0), math.pi / 2.0]
    pieces = [
        quad(integrand, low, high, epsabs=0.0, epsrel=1e-11, limit=200, full_output=1)[0]
        for low, high in pairwise(angles)
    ]
    return min(1.0, max(math.fsum(pieces), 1.0 / coverage))


def needle_least_samples(responses: int, coverage: float, beta: float, dimension: int) -> float:
    """Return the samples that T1 demands of a learner with fewer than `|Y|/8` rewards, on the sphere `[ours]`.

    For a gap of at most 1/4 with probability 3/4 it takes `c_0 min{exp(beta^2 d/2), exp(1/(2 beta)), C*}` samples, with
    `c_0 = (1/4 - (|Y|/8)/(|Y|-1))/(1 + e)`, from .0294 at `|Y| = 9` to .0336, if the output of the learner makes no
    query. FMR25 Theorem 2.1 states no constant; this is that of its proof.

    Parameters
    ----------
    responses : int
        `|Y|`, at least 9.
    coverage : float
        `C*`, at least 1.
    beta : float
        Above 0.
    dimension : int
        `d`, at least 1.

    Examples
    --------
    >>> round(needle_least_samples(9, 1e6, 0.01, 10**6), 0)
    29415.0
    """
    require_count("responses", responses, least=9)
    require_coverage("coverage", coverage)
    require_positive("beta", beta)
    require_count("dimension", dimension)
    spread = beta * math.sqrt(to_float(dimension))
    log_least = min(min(spread, 1e100) ** 2 / 2.0, 0.5 / beta, math.log(coverage))
    return _left_to_samples(responses) / (1.0 + math.e) * math.exp(log_least)


def needle_least_samples_weak(responses: int, coverage: float, beta: float) -> float:
    """Return the samples that T1 demands of such a learner where all it has is the weak oracle `[ours]`.

    `(1/4 - (|Y|/8)/(|Y|-1)) min{exp(1/(2 beta)), C*}`, whatever the dimension: a weak sample is the needle with
    probability `1/C`.

    Parameters
    ----------
    responses, coverage, beta
        As for `needle_least_samples`.

    Examples
    --------
    >>> round(needle_least_samples_weak(9, 64.0, 0.01), 9)
    7.0
    """
    require_count("responses", responses, least=9)
    require_coverage("coverage", coverage)
    require_positive("beta", beta)
    return _left_to_samples(responses) * math.exp(min(0.5 / beta, math.log(coverage)))


def _left_to_samples(responses: int) -> float:
    """Return `1/4 - (|Y|/8)/(|Y|-1)`: of the chance to meet the needle, what rewards do not give."""
    labels = operator.index(responses)
    return 0.25 - labels / (8 * (labels - 1))


def needle_met_strong(
    samples: int, rewards: int, responses: int, coverage: float, beta: float, dimension: int
) -> float:
    """Return T1's bound on the chance that a learner with the strong oracle meets the needle: `m/(|Y|-1) + n p`.

    Parameters
    ----------
    samples, rewards : int
        `n` and `m`, at least 0; guesses may repeat.
    responses : int
        `|Y|`, at least 3.
    coverage, beta, dimension
        As for `needle_strong_chance`, which is `p`: for signs.

    Returns
    -------
    float
        As stated: above 1 it says nothing.
    """
    _require_queries(samples, rewards, responses)
    chance = needle_strong_chance(coverage, beta, dimension)
    return operator.index(rewards) / (operator.index(responses) - 1) + to_float(samples) * chance


def needle_output_ceiling(samples: int, rewards: int, responses: int, chance: float) -> float:
    """Return T1's ceiling on the returned policy's expected mass at the needle: `(m+1)/(|Y|-1) + n p`.

    Parameters
    ----------
    samples, rewards : int
        `n` and `m`, at least 0.
    responses : int
        `|Y|`, at least 3.
    chance : float
        `p`: `1/C` for the weak oracle, `needle_sphere_chance` or `needle_strong_chance` for the strong one.

    Returns
    -------
    float
        As stated: above 1 it says nothing.
    """
    _require_queries(samples, rewards, responses)
    require_real("chance", chance)
    by_draws = to_float(samples) * chance if samples > 0 and chance > 0.0 else 0.0
    return (operator.index(rewards) + 1) / (operator.index(responses) - 1) + by_draws


def needle_success_floor(eps: float, delta: float, optimal_value: float) -> float:
    """Return what success needs of the expected mass at the needle: `(1 - delta)(J* - eps)` (T1).

    Parameters
    ----------
    eps : float
        The gap allowed, above 0.
    delta : float
        The failure allowed, strictly between 0 and 1.
    optimal_value : float
        `J*`, from 0 to 1; at least 1/2 on the family.
    """
    require_positive("eps", eps)
    require_probability("delta", delta)
    require_real("optimal_value", optimal_value, most=1.0)
    return (1.0 - delta) * (optimal_value - eps)


def _require_queries(samples: int, rewards: int, responses: int) -> None:
    require_count("samples", samples, least=0)
    require_count("rewards", rewards, least=0)
    require_count("responses", responses, least=3)


GROUP = "Headline results"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("T1", GROUP, "coverage is necessary",
        "On the needle family E pi_hat(y*) <= (m+1)/(|Y|-1) + n p for m rewards and n samples (those of one output "
        "included), while success needs E pi_hat(y*) >= (1-delta)(J* - eps). p is the chance that a sample is y*: 1/C, "
        "or E g(X_1) for the strong oracle. If the output makes no query, T_data >= |Y|/8 or T_comp >= .0294 "
        "min{exp(beta^2 d/2), exp(1/(2 beta)), C*}. Learners that enumerate are outside it.",
        STATISTICAL, "FMR25 Theorem 2.1, p. 7, with explicit chances, on the sphere and for signs", OURS,
        needle_output_ceiling, cost=Cost.RUN),
    Guarantee("T2", GROUP, "SpannerSampling is efficient",
        "P(average gap of the T_exp policies > eps) <= delta; T_data = O~(R_max^2 d^2/(beta min(eps,beta))) and "
        "prompts free of C; T_comp = O~(C R_max^2/beta^2 T_data^2), with our parameters O~(C d^2 R_max^3/(beta^2 "
        "eps)). Slopes: T_comp in C in [.95, 1.05], T_data in C in [-.05, .05], T_data in d at most 2, (average gap / "
        "log T_exp) in T_exp in [-1.15, -.85].",
        (Kind.STATISTICAL, Kind.SCALING), "FMR25 Theorem 3.1, p. 9; derived parameters are ours", PAPER, cost=Cost.RUN),
    Guarantee("T3", GROUP, "regret",
        "The cumulative gap of phase 2 grows like (d^2 R_max^2/beta) log^2 T, against sqrt(T) without the fast "
        "rate; for phase 1 set for the horizon, or after subtracting the exact uncovered term (which is linear in "
        "T).",
        SCALING, "FMR25 Theorem 3.1, p. 9", PAPER),
    Guarantee("T4", GROUP, "training-time interventions",
        "Under rETH no proper learner has both T_data and T_comp polynomial. Not testable; what its proof rests on is "
        "(H0-H3). Shown: how often OnlineDPO, XPO and exhaustive proper search meet a clause of the family "
        "max_k_dnf at the paper's beta, beside SpannerSampling.",
        ILLUSTRATION, "FMR25 Theorem 4.1, p. 10", PAPER),
    Guarantee("T5", GROUP, "MTSS is efficient",
        "For eps <= beta^2/4 the paper's settings leave a gap of eps with probability 1-delta; they cannot be run. Of "
        "any settings: costs are at most what iterations add up to; without noise, with certain next states, exact "
        "ratios and features of pairs that are orthogonal or equal, a run certain of all pairs has pi*. T_comp grows "
        "like a power of H, and like C_cond where M_rej does.",
        (Kind.EXACT, Kind.SCALING), "FMR25 Theorem 5.1, p. 13, with the premises of Theorem J.1, p. 83", REPAIRED),
    Guarantee("T6", GROUP, "coverage is not needed for data",
        "In the full-table model elliptical enumeration reaches eps on the covered-needle family with T_data free "
        "of C, at T_enum ~ |Y| a round.",
        SCALING, "FMR25 (4), p. 5", PAPER),
)
# fmt: on
