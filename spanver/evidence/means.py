"""E-values of means and of chances, and the samples that they need."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, logsumexp
from scipy.stats import binom

from spanver.errors import require, require_count, require_probability

__all__ = [
    "EvidenceError",
    "assert_mean_at_most",
    "log_e_chances",
    "log_e_mean",
    "log_e_means",
    "log_e_uncovered",
    "min_discrepancy_mean",
    "min_samples_chances",
    "min_samples_mean",
    "power_mean",
    "share",
    "smallest",
]

POWER = 0.99
MOST_SAMPLES = 10**12
FIRED = 1.0 - math.exp(-1.0)  # S5: share of an uncertain round's mass that counts
_BETS = np.array([0.05, 0.15, 0.4, 0.7, 0.95])
_LOG_BETS = np.concatenate([_BETS, -_BETS])[:, None]


class EvidenceError(AssertionError):
    """A statistical claim was rejected."""


def share(alpha: float, tests: int, instances: int) -> float:
    """Return the false-alarm budget of one test, when that of a run is divided over tests and instances (union bound).

    Parameters
    ----------
    alpha : float
    tests, instances : int
    """
    require_probability("alpha", alpha)
    require_count("tests", tests)
    require_count("instances", instances)
    return alpha / (tests * instances)


def log_e_mean(total: float, count: int, bound: float) -> float:
    """Log e-value against: observations in [0, 1] have conditional means of at most `bound`.

    The likelihood ratio of a mean `q` against `bound`, averaged over `q` above it (Jeffreys' prior, truncated). For
    fractional observations its mean is at most 1 as well, since a weighted geometric mean is at most the arithmetic.

    Parameters
    ----------
    total : float
        Sum of the observations.
    count : int
    bound : float
    """
    require_count("count", count, least=0)
    require(0.0 <= total <= count * (1 + 1e-12), "total", total, f"from 0 to the count, {count}")
    return float(log_e_means(np.array([float(total)]), count, np.array([float(bound)]))[0])


def log_e_means(totals: NDArray[np.float64], count: int, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """`log_e_mean` of many claims about the same observations, elementwise."""
    inside = (bounds > 0.0) & (bounds < 1.0)
    p = np.where(inside, bounds, 0.5)
    misses = np.maximum(count - totals, 0.0)
    with np.errstate(divide="ignore"):
        # Far below the bound the tail underflows, and the e-value with it: 0 is what it is there.
        log_tail = np.log(betaincc(totals + 0.5, misses + 0.5, p)) - np.log(betaincc(0.5, 0.5, p))
    mixture = betaln(totals + 0.5, misses + 0.5) - betaln(0.5, 0.5) + log_tail
    log_e = mixture - totals * np.log(p) - misses * np.log1p(-p)
    impossible = (bounds <= 0.0) & (totals > 0.0)
    return np.where(inside, log_e, np.where(impossible, np.inf, 0.0))


def log_e_chances(outcomes: ArrayLike, chances: ArrayLike) -> float:
    """Log e-value against: each outcome, 0 or 1, has exactly the chance that was predicted for it.

    The average over several bets of `prod (1 + bet (outcome - chance))`, of mean exactly 1.

    Parameters
    ----------
    outcomes, chances : array, shape (n,)
    """
    hit, chance = np.asarray(outcomes, dtype=np.float64), np.asarray(chances, dtype=np.float64)
    require(hit.shape == chance.shape and hit.ndim == 1, "the shape of outcomes", hit.shape, f"{chance.shape}")
    if bool(((chance <= 0.0) & (hit > 0.0)).any() or ((chance >= 1.0) & (hit < 1.0)).any()):
        return math.inf
    wealth = np.log1p(_LOG_BETS * (hit - chance)[None, :]).sum(axis=1)
    return float(logsumexp(wealth) - math.log(len(wealth)))


def log_e_uncovered(accepted: ArrayLike, q: ArrayLike) -> float:
    """Log e-value of S5, `prod_t e^{-A_t}/(1 - (1-1/e) q_{t-1})`, of mean exactly 1.

    Parameters
    ----------
    accepted : array, shape (T,)
        1 where round `t` accepted a pair.
    q : array, shape (T,)
        Chance of that, given everything before.
    """
    fired = np.asarray(accepted, dtype=np.float64)
    return float((-fired - np.log1p(-FIRED * np.asarray(q, dtype=np.float64))).sum())


@lru_cache(maxsize=4096)
def min_samples_mean(bound: float, discrepancy: float, *, alpha: float, power: float = POWER) -> int:
    """Smallest number of observations (within 2 %) that reject with probability `power` a mean of `bound + discrepancy`.

    Exact for observations of 0 and 1, by the tail of the binomial. A mean above 1 cannot be: 1 is then meant.

    Parameters
    ----------
    bound, discrepancy, alpha, power : float
    """
    require_probability("alpha", alpha)
    require_probability("power", power)
    require(discrepancy > 0.0, "discrepancy", discrepancy, "above 0")
    if bound >= 1.0:
        return 1
    return smallest(lambda n: power_mean(n, bound, discrepancy, alpha) >= power)


def min_discrepancy_mean(bound: float, samples: int, *, alpha: float, power: float = POWER) -> float:
    """Smallest excess over `bound`, within 1e-4, that so many observations reject with probability `power`.

    Infinite if not even a mean of 1 would be.
    """
    require_count("samples", samples)
    return _least(lambda excess: power_mean(samples, bound, excess, alpha) >= power, 1.0 - bound)


def power_mean(samples: int, bound: float, discrepancy: float, alpha: float) -> float:
    """Probability that so many observations, 0 or 1, of mean `bound + discrepancy` reject `bound` in the end."""
    counts = np.arange(samples + 1, dtype=np.float64) if samples <= 64 else None
    level = -math.log(alpha)
    if counts is not None:
        rejecting = np.flatnonzero(log_e_means(counts, samples, np.full(samples + 1, float(bound))) >= level)
        least = int(rejecting[0]) if len(rejecting) else samples + 1
    else:
        low, least = int(samples * bound), samples + 1
        while least - low > 1:
            middle = (low + least) // 2
            if log_e_mean(middle, samples, bound) >= level:
                least = middle
            else:
                low = middle
    return float(binom.sf(least - 1, samples, min(1.0, bound + discrepancy)))


@lru_cache(maxsize=256)
def min_samples_chances(discrepancy: float, *, alpha: float, power: float = POWER) -> int:
    """Outcomes that reject with probability `power` chances of one half that are off by `discrepancy`.

    One half is where outcomes vary most; chances nearer to 0 or 1 need fewer.
    """
    require_probability("alpha", alpha)
    level = -math.log(alpha)

    def reached(n: int) -> bool:
        low, least = n // 2, n + 1
        while least - low > 1:
            middle = (low + least) // 2
            wealth = middle * np.log1p(_LOG_BETS / 2) + (n - middle) * np.log1p(-_LOG_BETS / 2)
            if logsumexp(wealth) - math.log(len(wealth)) >= level:
                least = middle
            else:
                low = middle
        return bool(binom.sf(least - 1, n, min(1.0, 0.5 + discrepancy)) >= power)

    return smallest(reached)


def smallest(reached: Callable[[int], bool]) -> int:
    """Smallest number, within 2 %, from which on a condition that becomes true with size holds."""
    high = 1
    while not reached(high):
        high *= 2
        require(high <= MOST_SAMPLES, "the samples needed", high, f"at most {MOST_SAMPLES}: ask for less")
    low = high // 2
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _least(reached: Callable[[float], bool], most: float) -> float:
    """Smallest size of a violation, within 1e-4, that is seen; infinite if the largest there can be is not."""
    if most <= 0.0 or not reached(most):
        return math.inf
    low, high = 0.0, most
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def assert_mean_at_most(values: ArrayLike, bound: float, *, alpha: float) -> None:
    """Reject a mean above `bound` of independent observations in [0, 1].

    Raises
    ------
    EvidenceError
    """
    observed = np.asarray(values, dtype=np.float64)
    log_e = log_e_mean(float(observed.sum()), observed.size, bound)
    claim = f"the mean of {observed.size} observations is {observed.mean():.6g}, at most {bound:.6g} was claimed"
    rejects(log_e, alpha, claim, lambda: min_discrepancy_mean(bound, observed.size, alpha=alpha))


def rejects(log_e: float, alpha: float, claim: str, discrepancy: Callable[[], float]) -> Any:
    """Raise `EvidenceError` if an e-value reaches `1/alpha`."""
    require_probability("alpha", alpha)
    if log_e >= -math.log(alpha):
        raise EvidenceError(
            f"{claim}: e-value e^{log_e:.1f}, at least 1/alpha = e^{-math.log(alpha):.1f} (a false alarm has "
            f"probability at most {alpha:.1e}; a violation of {discrepancy():.3g} is seen with probability {POWER})"
        )
