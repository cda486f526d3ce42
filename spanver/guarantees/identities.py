"""Identities (I1 to I8) and the bounds that go with them, as functions of numbers.

Where a value can pass `1e308` the function returns its logarithm and its name says so. Every argument is validated on
entry: one out of range raises `ArgumentError`.
"""

from __future__ import annotations

import math
import operator

from spanver.guarantees.guarantee import EXACT, NONE, OURS, PAPER, STANDARD, Guarantee
from spanver.validation import ROUNDING, require_count, require_positive, require_real


def log_coverage_bound(excess: float, beta: float) -> float:
    """Return the upper bound of I3 on `log C(pi*)`: `(max r* - E_{pi_ref} r*)/beta`, or `osc(r*)/beta` `[paper]`.

    Parameters
    ----------
    excess : float
        The largest mean reward of one prompt, less the mean of the base policy; or, which is no less, less the smallest
        one. At least 0.
    beta : float
        Above 0.

    Examples
    --------
    >>> log_coverage_bound(1.0, 1e-4)
    10000.0
    """
    require_real("excess", excess)
    require_positive("beta", beta)
    return excess / beta


def log_psi(deviation: float) -> float:
    """Return `log psi(b)`, `psi(b) = (e^b - 1 - b)/b^2`, the least `c` with `e^z - 1 - z <= c z^2` for all `z <= b`.

    Parameters
    ----------
    deviation : float
        `b`, at least 0; `psi(0) = 1/2`.

    Examples
    --------
    >>> import math
    >>> round(math.exp(log_psi(1.0)), 4)  # e - 2
    0.7183
    """
    require_real("deviation", deviation)
    if deviation < 1.0:  # where the difference cancels: sum b^k/(k+2)!
        term, total = 0.5, 0.0
        for k in range(20):
            total += term
            term *= deviation / (k + 3)
        return math.log(total)
    return deviation + math.log(-math.expm1(-deviation) - deviation * math.exp(-deviation)) - 2.0 * math.log(deviation)


def log_kl_bound(beta: float, deviation: float, squared_error: float) -> float:
    """Return the logarithm of `kl_bound`, which overflows for deviations above 709 (I4, `[ours]`).

    Parameters and errors are those of `kl_bound`. Minus infinity where `squared_error` is 0.
    """
    require_positive("beta", beta)
    require_real("deviation", deviation)
    require_real("squared_error", squared_error)
    return log_psi(deviation) - math.log(beta) + math.log(squared_error) if squared_error > 0.0 else -math.inf


def kl_bound(beta: float, deviation: float, squared_error: float) -> float:
    """Return the upper bound of I4 on `beta KL(pi_f || pi_g)`: `psi(b)/beta E_{pi_f} (f - g - c)^2` `[ours]`.

    Tight for every `b`: the ratio of the two sides tends to 1 where `f - g` is `-b beta` with a chance that falls to 0,
    and 0 otherwise.

    Parameters
    ----------
    beta : float
        Above 0.
    deviation : float
        `b` with `abs(f - g - c) <= b beta`, at least 0.
    squared_error : float
        `E_{pi_f} (f - g - c)^2`, at least 0.

    Returns
    -------
    float
        Infinity where it passes the largest float.

    Examples
    --------
    >>> kl_bound(0.5, 0.0, 0.25)
    0.25
    """
    logarithm = log_kl_bound(beta, deviation, squared_error)
    return math.exp(logarithm) if logarithm < 709.0 else math.inf


def log_sequence_coverage(log_conditional_coverage: float, horizon: int) -> float:
    """Return the upper bound of I6 on `log C(pi*)` over trajectories: `H log C_cond` `[paper]`.

    Parameters
    ----------
    log_conditional_coverage : float
        `log C_cond`, at least 0.
    horizon : int
        `H`, at least 1.
    """
    require_real("log_conditional_coverage", log_conditional_coverage, rounding=ROUNDING)
    require_count("horizon", horizon)
    return operator.index(horizon) * log_conditional_coverage


GROUP = "Identities"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("I1", GROUP, "policies are normalised and shift invariant",
        "Policies sum to 1 on the support of pi_ref, and do not change when c(x) is added to scores or a vector "
        "u(x) to all phi(x,.).",
        EXACT, "", NONE),
    Guarantee("I2", GROUP, "gap is divergence from the optimum",
        "J(pi*) - J(pi) = beta E_x KL(pi || pi*) for every pi on the support; J(pi*) = beta E log E exp(r*/beta). For "
        "pi_f it is beta log(Z_r*/Z_f) + E_{pi_f}(f - r*) too, and beta log E_{pi_f} exp((r* - f)/beta) + E_{pi_f}(f - "
        "r*).",
        EXACT, "FMR25 Lemma G.4, p. 46, for softmax policies", STANDARD),
    Guarantee("I3", GROUP, "range of the optimal policy's coverage",
        "1 <= C(pi*|x) <= exp((max r* - E_{pi_ref} r*)/beta) <= exp(osc(r*)/beta); C(pi_ref) = 1; for one fixed r*, "
        "C(pi*) is non-decreasing in 1/beta.",
        EXACT, "FMR25 Lemma G.2, p. 45", PAPER, log_coverage_bound),
    Guarantee("I4", GROUP, "divergence by squared score error",
        "abs(f - g - c(x)) <= b beta for some c(x) implies beta KL(pi_f || pi_g) <= psi(b)/beta E_{pi_f} (f - g - "
        "c)^2, psi(b) = (e^b - 1 - b)/b^2 (tight for every b).",
        EXACT, "a step of FMR25 Lemma G.5, p. 47, with its constant", OURS, kl_bound),
    Guarantee("I6", GROUP, "coverage of trajectories by coverage of actions",
        "C(pi*) <= C_cond^H over trajectories. Where next states are certain, as of tokens, the recursion over layers "
        "and the optimum over sequences give the same policy.",
        EXACT, "FMR25 (13), p. 13", PAPER, log_sequence_coverage),
    Guarantee("I7", GROUP, "an action's value by any action that follows",
        "Q*_h(x,a) = r*_h(x,a) + E_x' of Q*_{h+1}(x',a') - beta log(pi*/pi_ref)(a'|x'), whatever a' of the support is "
        "in each x'. So r* - beta sum_{l>h} log(pi*_l/pi_ref,l) = Q*_h(s,a) on every completion of a token.",
        EXACT, "from FMR25 Lemma N.4, p. 113", OURS),
    Guarantee("I8", GROUP, "estimates of the divergence are unbiased",
        "An estimator of KL(pi || pi_ref) that gives a number k for each draw of pi, from its two log probabilities "
        "alone, has the mean E_pi k = KL(pi || pi_ref) wherever pi and pi_ref have the same support.",
        EXACT, "Schulman 2020, Approximating KL Divergence", STANDARD),
)
# fmt: on
