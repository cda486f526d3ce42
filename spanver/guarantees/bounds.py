"""The bounds of the sampler (R1, R3, R4) and of the spanner (S4 to S7), as functions of numbers.

Counts are Python integers and may pass `2**63`. Every argument is checked at the door. The constants of S4, S5 and S6
are reconstructed (`[recon]`), R4 is an extension (`[ext]`): neither is the paper's.
"""

from __future__ import annotations

import math
import operator
from decimal import Context, Decimal, localcontext

from spanver.validation import (
    LARGEST,
    require_count,
    require_coverage,
    require_positive,
    require_probability,
    require_real,
    require_share,
    to_float,
)

__all__ = [
    "race_draws",
    "race_total_variation",
    "sampler_multiplier",
    "sampler_samples",
    "sampler_trials",
    "spanner_cost",
    "spanner_size_bound",
    "uncovered_budget",
    "uncovered_probability",
]

FRACTION_FIRED = -math.expm1(-1.0)
"""`1 - 1/e`, the constant of S5 and S6."""
DIGITS = 80
"""Of the arithmetic that decides S4."""


def sampler_trials(multiplier: float, delta: float) -> int:
    """Return A1's `N = ceil(4 M log(4/delta))`: draws of the pilot, and the most trials after it (R1).

    `[FMR25; constants as in Rohatgi et al. 2025, arXiv 2510.03149]`.

    Parameters
    ----------
    multiplier : float
        `M`, at least 1.
    delta : float
        Strictly between 0 and 1.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> sampler_trials(4.0, 0.1)
    60
    """
    require_real("multiplier", multiplier, least=1.0)
    require_probability("delta", delta)
    return math.ceil(4.0 * multiplier * _log_quotient(4.0, delta))


def sampler_samples(multiplier: float, delta: float) -> int:
    """Return the most samples that one call of A1 takes, `2N + 1` (R1); arguments as for `sampler_trials`.

    Examples
    --------
    >>> sampler_samples(4.0, 0.1)
    121
    """
    return 2 * sampler_trials(multiplier, delta) + 1


def sampler_multiplier(coverage: float) -> float:
    """Return `4C`, the least multiplier for which R3 promises total variation `delta` `[FMR25]`.

    Parameters
    ----------
    coverage : float
        `C(pi_f|x)`, at least 1.

    Raises
    ------
    ArgumentError
        If `coverage` is out of range.
    """
    require_coverage("coverage", coverage)
    return 4.0 * coverage


def race_total_variation(coverage: float, draws: int) -> float:
    """Return the upper bound of R4 on the race sampler's total variation: `(1 - 1/C)^N` (tight, `[ext]`).

    Parameters
    ----------
    coverage : float
        `C(pi_f|x)`, at least 1.
    draws : int
        `N`, at least 1.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> round(race_total_variation(2.0, 3), 9)
    0.125
    """
    require_coverage("coverage", coverage)
    require_count("draws", draws)
    return math.exp(to_float(draws) * math.log1p(-1.0 / coverage)) if coverage > 1.0 else 0.0


def race_draws(coverage: float, delta: float) -> int:
    """Return A1r's `N = ceil(C log(1/delta))`, for which R4 promises total variation `delta` `[ext]`.

    Parameters
    ----------
    coverage : float
        `C(pi_f|x)`, at least 1.
    delta : float
        Strictly between 0 and 1.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    """
    require_coverage("coverage", coverage)
    require_probability("delta", delta)
    return math.ceil(coverage * _log_quotient(1.0, delta))


def _log_quotient(numerator: float, delta: float) -> float:
    """Return `log(numerator/delta)` by the quotient, as implementations do, unless that would overflow."""
    return math.log(numerator / delta) if delta > 1.0 / LARGEST else math.log(numerator) - math.log(delta)


def spanner_size_bound(dimension: int, ridge: float, nu: float) -> int:
    """Return the largest `K` with `K log(1 + nu^2) <= d log(1 + 4K/(lambda d))` (S4; FMR25 form, `[recon]` constants).

    The left side minus the right is convex in `K` and 0 at 0, so the `K` allowed are all those up to the one returned,
    which is found by bracketing. Arithmetic in 80 digits decides the integer edge for the doubles given.

    Parameters
    ----------
    dimension : int
        `d`, at least 1.
    ridge : float
        `lambda`, above 0.
    nu : float
        Above 0.

    Returns
    -------
    int
        0 where not even one pair can be accepted.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> spanner_size_bound(1, 1.0, 0.5)
    19
    """
    require_count("dimension", dimension)
    require_positive("ridge", ridge)
    require_positive("nu", nu)
    with localcontext(Context(prec=DIGITS)):
        d = Decimal(operator.index(dimension))
        each = _log1p(Decimal(float(nu)) ** 2)
        per_pair = 4 / (Decimal(float(ridge)) * d)

        def allowed(size: int) -> bool:
            left, right = size * each, d * _log1p(size * per_pair)
            return left - right <= right * Decimal("1e-50")  # equal logarithms may differ in their last digits

        above = 1
        while allowed(above):
            above *= 2
        below = above // 2
        while above - below > 1:
            middle = (above + below) // 2
            below, above = (middle, above) if allowed(middle) else (below, middle)
        return below


def _log1p(x: Decimal) -> Decimal:
    """Return `log(1 + x)` to 60 of 80 digits, also where `1 + x` would round `x` away."""
    return (1 + x).ln() if x > Decimal("1e-20") else x * (1 - x / 2 + x * x / 3)


def uncovered_budget(spanner_size: int, delta: float) -> float:
    """Return S5's bound on `sum_t q_{Sigma_{t-1}}`, and so on `T_prompt q`: `(K + log(1/delta))/(1 - 1/e)` `[recon]`.

    Parameters
    ----------
    spanner_size : int
        `K`, at least 0.
    delta : float
        Strictly between 0 and 1.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    """
    require_count("spanner_size", spanner_size, least=0)
    require_probability("delta", delta)
    return (to_float(spanner_size) - math.log(delta)) / FRACTION_FIRED


def uncovered_probability(coverage: float, pairs_per_prompt: int, q: float) -> float:
    """Return S6's bound on the chance that a policy leaves what is covered: `max(1, C/T_span) q/(1 - 1/e)` `[recon]`.

    Parameters
    ----------
    coverage : float
        `C` of the policy, at least 1.
    pairs_per_prompt : int
        `T_span`, at least 1.
    q : float
        `q_{Sigma_span}`, a probability.

    Returns
    -------
    float
        As stated: above 1 it says nothing.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    """
    require_coverage("coverage", coverage)
    require_count("pairs_per_prompt", pairs_per_prompt)
    require_share("q", q)
    return max(1.0, coverage / to_float(pairs_per_prompt)) * q / FRACTION_FIRED


def spanner_cost(tries: int, spanner_size: int) -> tuple[int, int]:
    """Return phase 1's cost `(samples, rewards)` when pairs are tried one by one: `(2 tries, 2K)` (S7, `[FMR25]`).

    Parameters
    ----------
    tries : int
        Pairs tried in all prompts, at least `spanner_size`.
    spanner_size : int
        `K`, at least 0.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    """
    require_count("spanner_size", spanner_size, least=0)
    require_count("tries", tries, least=operator.index(spanner_size))
    return 2 * operator.index(tries), 2 * operator.index(spanner_size)
