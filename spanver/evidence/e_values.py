"""The e-values, as functions of all observations so far. Each docstring has the proof that the mean is at most 1.

Everything is computed in log space; what is impossible under the hypothesis gives `inf`. Every argument is validated on
entry: one out of range raises `ArgumentError`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln

from spanver.validation import (
    ROUNDING,
    require,
    require_count,
    require_finite,
    require_real,
    require_tolerance,
    to_categories,
    to_law,
    to_outcomes,
)

MOST_ENUMERATED = 8
"""Categories up to which all events are tested; beyond, one event is chosen on half of the sample."""
TILTS = tuple(sign * 2.0**power for power in range(-6, 10) for sign in (-1.0, 1.0))
FRACTION_FIRED = -math.expm1(-1.0)
"""`1 - 1/e`, the constant of S5 and S6."""


def log_e_mean(total: float, count: int, bound: float) -> float:
    """Return the log e-value of the claim that no observation in `[0, 1]` has a conditional mean above `bound`.

    Against the mean `q > p = bound`, an observation `x` multiplies the stake by `(q/p)^x ((1-q)/(1-p))^(1-x)`. The
    weighted inequality of arithmetic and geometric means bounds this by `x q/p + (1-x) (1-q)/(1-p)`, which grows with
    `x` and has mean 1 at `E x = p`: a supermartingale, for fractional `x` too. The average over `q` with the density
    of Beta(1/2, 1/2) on `(p, 1)` is one as well, and is an incomplete beta function of `total` and `count`.
    Rounding costs about `1e-15 count`, which is nothing up to billions of observations.

    Parameters
    ----------
    total : float
        Sum of the observations, from 0 to `count`.
    count : int
        Their number.
    bound : float
        At least 0. At 0 any positive total is impossible; from 1 on nothing is evidence.

    Examples
    --------
    >>> round(log_e_mean(40, 50, 0.5), 3)
    8.142
    >>> log_e_mean(1, 50, 0.0)
    inf
    """
    require_count("count", count, least=0)
    require_finite("total", total)
    require(0 <= total <= count, "total", total, f"a number from 0 to count = {count}")
    require_finite("bound", bound)
    require(bound >= 0, "bound", bound, "a number of at least 0")
    return float(log_e_means(np.array([total], dtype=float), np.array([count], dtype=float), np.array([bound]))[0])


def log_e_means(
    totals: NDArray[np.float64], counts: NDArray[np.float64], bounds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return `log_e_mean` of equally long vectors, unchecked."""
    decided = (bounds <= 0) | (bounds >= 1) | (counts == 0)
    p = np.where(decided, 0.5, bounds)
    log_p, log_rest = np.log(p), np.log1p(-p)
    failures = counts - totals
    prior = np.log(2 * np.arcsin(np.sqrt(1 - p)))
    # Far below the bound the tail underflows; the first term of its series (DLMF 8.17.8) bounds it from below, and
    # what is smaller than an e-value is an e-value.
    least = 0.5 * log_p + 0.5 * log_rest - np.log(failures + 0.5)
    with np.errstate(divide="ignore"):
        tail = np.log(betaincc(totals + 0.5, failures + 0.5, p))
    exact = betaln(totals + 0.5, failures + 0.5) + tail - totals * log_p - failures * log_rest
    evidence: NDArray[np.float64] = np.maximum(exact, least) - prior
    return np.where(decided, np.where((bounds <= 0) & (totals > 0), np.inf, 0.0), evidence)


def log_e_chances(outcomes: ArrayLike, chances: ArrayLike, *, tolerated: float = 0.0) -> float:
    """Return the log e-value of the claim that outcome `t` has conditional probability `chances[t]`.

    For every tilt `a` the product of `e^{a A_t} / (1 - q_t + q_t e^a)` is a martingale of mean 1, as the denominator is
    the conditional mean of the numerator. The value is the average over a fixed grid, `a = +-2^-6 ... +-2^9`. What is
    tolerated is added to the chances for tilts above 0, and subtracted for those below: supermartingales then.

    Parameters
    ----------
    outcomes : array_like of 0 or 1, shape (n,)
    chances : array_like, shape (n,)
        In `[0, 1]`; each may depend on the outcomes before it.
    tolerated : float
        How far each conditional probability may be from its chance, in `[0, 1)`.

    Returns
    -------
    float
        `inf` if an outcome of chance 0 came.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or the lengths differ.
    """
    came, q = to_outcomes("outcomes", outcomes, "chances", chances)
    require_tolerance("tolerated", tolerated)
    above, below = np.minimum(q + tolerated, 1.0), np.maximum(q - tolerated, 0.0)
    if bool((((above == 0) & (came == 1)) | ((below == 1) & (came == 0))).any()):
        return math.inf
    return log_mean([_tilted(came, above if tilt > 0 else below, tilt) for tilt in TILTS])


def log_e_violated_chances(outcomes: ArrayLike, chances: ArrayLike, discrepancy: float) -> float:
    """Return the log e-value of the claim that conditional probabilities are as far as `discrepancy` from `chances`.

    The claim is that of a violation to one side that is possible from the first outcome on: all are at least
    `chances[t] + D` where this is at most 1, or all are at most `chances[t] - D` where this is at least 0. Under the
    first claim the products of `log_e_chances` over these outcomes, at these bounds, are supermartingales for tilts
    below 0, and so is their average; under the second one for tilts above 0. The value is the smaller of the two
    averages, as for `log_e_violated_law`, and where a violation to one side was possible at no outcome so far, the
    other. Nothing follows about violations that become possible later, that change sides, or that leave out some
    outcomes: those are no part of the claim.

    Parameters
    ----------
    outcomes : array_like of 0 or 1, shape (n,)
    chances : array_like, shape (n,)
        In `[0, 1]`; each may depend on the outcomes before it.
    discrepancy : float
        `D`, above 0 and at most 1.

    Returns
    -------
    float
        `inf` if the outcomes are impossible under each claim that speaks of some, 0 if neither does.
    """
    came, q = to_outcomes("outcomes", outcomes, "chances", chances)
    require_real("discrepancy", discrepancy, least=0.0, most=1.0)
    values = []
    for sign in (1.0, -1.0):
        violated = q + sign * discrepancy
        possible = (violated >= -ROUNDING) & (violated <= 1.0 + ROUNDING)
        if not possible.any():
            continue
        hits, bound = came[possible], np.clip(violated[possible], 0.0, 1.0)
        certain = (1.0 + sign) / 2.0  # what the claim makes certain and did not come excludes it
        excluded = bool((hits[bound == certain] != certain).any())
        values.append(math.inf if excluded else log_mean([_tilted(hits, bound, a) for a in TILTS if a * sign < 0]))
    return min(values, default=0.0)


def _tilted(came: NDArray[np.float64], chances: NDArray[np.float64], tilt: float) -> float:
    """Return the log of the product of `e^{a A_t} / (1 - q_t + q_t e^a)`."""
    with np.errstate(divide="ignore"):
        log_q, log_rest = np.log(chances), np.log1p(-chances)
    return tilt * float(came.sum()) - float(np.logaddexp(log_rest, log_q + tilt).sum())


def log_e_uncovered(accepted: ArrayLike, q: ArrayLike) -> float:
    """Return the log e-value of S5 `[ours]`: `sum_t (-A_t - log(1 - (1-1/e) q_{t-1}))`.

    It is the tilt `-1` of `log_e_chances`: its mean is exactly 1 while `P(A_t = 1 | past) = q_{t-1}`, at most 1 while
    the probability is larger, and it grows when uncovered pairs are left unaccepted.

    Parameters
    ----------
    accepted : array_like of 0 or 1, shape (n,)
        `A_t`: round `t` found its pair uncovered and accepted it.
    q : array_like, shape (n,)
        `q_{t-1}` in `[0, 1]`: the probability that a fresh pair is uncovered, before round `t`.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or the lengths differ.

    Examples
    --------
    >>> round(log_e_uncovered([0, 0, 0], [0.5, 0.5, 0.5]), 3)
    1.14
    """
    came, uncovered = to_outcomes("accepted", accepted, "q", q)
    return float(-came.sum() - np.log1p(-FRACTION_FIRED * uncovered).sum())


def log_e_law(observations: ArrayLike, law: ArrayLike, *, tolerated: float = 0.0) -> float:
    """Return the log e-value of the claim that independent observations follow a law within `tolerated` of `law`.

    Under the claim every event `A` has probability at most `law(A) + tolerated`, so `log_e_mean` of its indicator is a
    log e-value. Up to 8 categories the value is the average over all events but the empty and the full one, valid at
    any time. Beyond, the first half of the observations chooses the event of all `y` whose share exceeds `law(y)` and
    the second half tests it, which is independent of the choice: valid for a number of observations fixed in advance.

    Parameters
    ----------
    observations : array_like of int, shape (n,)
        Categories, in the order drawn.
    law : array_like, shape (k,)
        Probabilities; zeros are allowed.
    tolerated : float
        Total variation in `[0, 1)`.

    Returns
    -------
    float
        `inf` if something impossible was seen.
    """
    p = to_law(law)
    require_tolerance("tolerated", tolerated)
    drawn = to_categories("observations", observations, p.size)
    counts = np.bincount(drawn, minlength=p.size).astype(float)
    if tolerated == 0 and bool((counts[p == 0] > 0).any()):
        return math.inf
    if p.size <= MOST_ENUMERATED:
        every = events(p.size)
        return log_mean(log_e_means(every @ counts, np.full(len(every), counts.sum()), every @ p + tolerated))
    half = drawn.size // 2
    event = np.bincount(drawn[:half], minlength=p.size) > half * p
    return log_e_mean(int(event[drawn[half:]].sum()), drawn.size - half, float(p[event].sum()) + tolerated)


def log_e_violated_law(observations: ArrayLike, law: ArrayLike, discrepancy: float) -> float:
    """Return the log e-value of the claim that independent observations follow a law *as far as* `discrepancy` off.

    The claim is that of a violation: total variation at least `D` from `law`. Then some event `A` has probability at
    least `law(A) + D`, so the complement of `A` has at most `1 - law(A) - D` and `log_e_mean` of its indicator is a log
    e-value. The value is the least of these over all events that can be meant: whichever it is, this is no larger. So a
    test that stops as soon as the value reaches `1/a` misses a violation with probability at most `a`, by Ville's
    inequality, however many categories there are.

    Parameters
    ----------
    observations : array_like of int, shape (n,)
        Categories, in the order drawn.
    law : array_like, shape (k,)
        Probabilities of at most 8 categories; zeros are allowed.
    discrepancy : float
        `D`, above 0 and at most 1.

    Returns
    -------
    float
        `inf` if no law is that far from `law`, or the observations are impossible under every such law.

    Examples
    --------
    >>> log_e_violated_law([0, 1] * 500, [0.5, 0.5], 0.1) > 5.0
    True
    """
    p = to_law(law)
    require(p.size <= MOST_ENUMERATED, "the number of categories", p.size, f"at most {MOST_ENUMERATED}")
    require_real("discrepancy", discrepancy, least=0.0, most=1.0)
    drawn = to_categories("observations", observations, p.size)
    counts = np.bincount(drawn, minlength=p.size).astype(float)
    every = events(p.size)
    rest = 1.0 - every @ p - discrepancy
    possible = rest >= -ROUNDING
    misses, rest = (1.0 - every[possible]) @ counts, np.maximum(rest[possible], 0.0)
    return float(log_e_means(misses, np.full(len(rest), counts.sum()), rest).min(initial=math.inf))


def log_e_same_law(first: ArrayLike, second: ArrayLike, categories: int) -> float:
    """Return the log e-value of the claim that two independent samples follow the same law.

    Observations are paired in their order. Under the claim a pair may be swapped: given that exactly one of `x_t, y_t`
    lies in an event `A`, it is `x_t` with probability 1/2, so `log_e_mean` at 1/2 of these discordant pairs is a log
    e-value. Averages, halves and what is valid when: as for `log_e_law`. An event and its complement are the two sides
    of one test.

    Parameters
    ----------
    first, second : array_like of int, shape (n,)
        Categories, in the order drawn.
    categories : int
        How many categories there are.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or the lengths differ.
    """
    require_count("categories", categories)
    x, y = to_categories("first", first, categories), to_categories("second", second, categories)
    require(x.size == y.size, "second", second, f"as long as first, {x.size} observations")
    if categories <= MOST_ENUMERATED:
        pairs = np.bincount(x * categories + y, minlength=categories**2).reshape(categories, categories).astype(float)
        every = events(categories)
        wins = ((every @ pairs) * (1 - every)).sum(axis=1)
        losses = (((1 - every) @ pairs) * every).sum(axis=1)
        return log_mean(log_e_means(wins, wins + losses, np.full(len(every), 0.5)))
    half = x.size // 2
    event = np.bincount(x[:half], minlength=categories) > np.bincount(y[:half], minlength=categories)
    x_in, y_in = event[x[half:]], event[y[half:]]
    return log_e_mean(int((x_in & ~y_in).sum()), int((x_in ^ y_in).sum()), 0.5)


@lru_cache(maxsize=MOST_ENUMERATED)
def events(categories: int) -> NDArray[np.float64]:
    """Return the indicators of all events but the empty and the full one, shape `(2^k - 2, k)`, read-only."""
    every = (np.arange(1, 2**categories - 1)[:, None] >> np.arange(categories)) & 1
    indicators: NDArray[np.float64] = every.astype(float)
    indicators.flags.writeable = False
    return indicators


def log_mean(logs: ArrayLike) -> float:
    """Return the log of the mean of exponentials; of none, 0 (there is nothing to bet on)."""
    values = np.asarray(logs, dtype=float)
    if values.size == 0:
        return 0.0
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).mean())) if math.isfinite(top) else top
