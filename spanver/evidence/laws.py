"""E-values of laws on finitely many outcomes, through their events.

With at most `FEW` outcomes the e-values of all events are averaged. With more, the event in which the first half of the
observations exceeds the law is tested on the second half.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import binom

from spanver.errors import require, require_count, require_probability
from spanver.evidence.means import (
    POWER,
    _least,
    log_e_means,
    min_samples_mean,
    power_mean,
    rejects,
    smallest,
)

__all__ = [
    "assert_law",
    "assert_same_law",
    "log_e_law",
    "log_e_same_law",
    "min_discrepancy_law",
    "min_discrepancy_same_law",
    "min_samples_law",
    "min_samples_same_law",
]

FEW = 8


@lru_cache(maxsize=FEW)
def _events(outcomes: int) -> NDArray[np.float64]:
    """All events but the empty and the full one, a row each, shape (2^k - 2, k)."""
    numbers = np.arange(1, 2**outcomes - 1)
    return ((numbers[:, None] >> np.arange(outcomes)) & 1).astype(np.float64)


def log_e_law(observations: ArrayLike, law: ArrayLike, *, tolerated: float = 0.0) -> float:
    """Log e-value against: observations are independent, with a law within `tolerated` of `law` in total variation.

    Parameters
    ----------
    observations : array of int, shape (n,)
        Outcomes in the order drawn.
    law : array, shape (k,)
        Probabilities; an outcome of probability 0 rejects at once where nothing is tolerated.
    tolerated : float
    """
    drawn, p = _checked(observations, law)
    if len(p) == 1:
        return 0.0
    if len(p) <= FEW:
        events = _events(len(p))
        totals = events @ np.bincount(drawn, minlength=len(p)).astype(np.float64)
        log_e = log_e_means(totals, len(drawn), np.clip(events @ p, 0.0, 1.0) + tolerated)
        return float(logsumexp(log_e) - math.log(len(events)))
    half = len(drawn) // 2
    if half == 0:
        return 0.0
    event = np.bincount(drawn[:half], minlength=len(p)) > half * p
    tested = drawn[half:]
    bound = float(p[event].sum()) + tolerated
    return float(log_e_means(np.array([float(event[tested].sum())]), len(tested), np.array([bound]))[0])


def log_e_same_law(first: ArrayLike, second: ArrayLike, outcomes: int) -> float:
    """Log e-value against: two samples, taken in pairs, have the same law.

    Of a pair of which exactly one lies in an event, either is it with probability one half.

    Parameters
    ----------
    first, second : array of int, shape (n,)
    outcomes : int
        `k`, the number of outcomes there are.
    """
    one, two = _outcomes(first, outcomes), _outcomes(second, outcomes)
    require(len(one) == len(two), "the length of second", len(two), f"{len(one)}, that of first")
    if outcomes == 1:
        return 0.0
    if outcomes <= FEW:
        table = np.zeros((outcomes, outcomes))
        np.add.at(table, (one, two), 1.0)
        events = _events(outcomes)
        in_first = np.einsum("ej,jk,ek->e", events, table, 1.0 - events, optimize=True)
        in_second = np.einsum("ej,jk,ek->e", 1.0 - events, table, events, optimize=True)
        return float(logsumexp(_fair_coins(in_first, in_second)) - math.log(len(events)))
    half = len(one) // 2
    event = np.bincount(one[:half], minlength=outcomes) > np.bincount(two[:half], minlength=outcomes)
    hits, others = event[one[half:]], event[two[half:]]
    return float(_fair_coins(np.array([(hits & ~others).sum() * 1.0]), np.array([(~hits & others).sum() * 1.0]))[0])


def _fair_coins(heads: NDArray[np.float64], tails: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array(
        [float(log_e_means(np.array([h]), int(h + t), np.array([0.5]))[0]) for h, t in zip(heads, tails, strict=True)]
    )


def min_samples_law(
    law: ArrayLike, discrepancy: float, *, alpha: float, tolerated: float = 0.0, power: float = POWER
) -> int:
    """Observations that reject, with probability `power`, any law at `discrepancy` in total variation from `law`.

    Such a law exceeds `law` by the discrepancy on some event. With few outcomes the e-value of that event is at most the
    number of events above the average, so the worst event decides. With many, the share of every event on the first
    half is within `t = sqrt((k-1)/(4m)) + sqrt(log(2/(1-power))/(2m))` of its probability at once with probability
    `1 - (1-power)/2` (mean of the total variation by Cauchy and Schwarz, its deviation by McDiarmid), so the event chosen
    exceeds `law` by the discrepancy less `2t` on the second half.

    Parameters
    ----------
    law : array, shape (k,)
    discrepancy : float
        Above `tolerated`.
    alpha, tolerated, power : float
    """
    require_probability("alpha", alpha)
    require(discrepancy > tolerated, "discrepancy", discrepancy, f"above what is tolerated, {tolerated}")
    return _min_samples_law(tuple(map(float, np.asarray(law))), discrepancy, alpha, tolerated, power)


@lru_cache(maxsize=4096)
def _min_samples_law(p: tuple[float, ...], discrepancy: float, alpha: float, tolerated: float, power: float) -> int:
    return smallest(lambda n: _is_seen(np.array(p), n, discrepancy, alpha, tolerated, power))


def _is_seen(
    p: NDArray[np.float64], samples: int, discrepancy: float, alpha: float, tolerated: float, power: float
) -> bool:
    """Whether so many observations reject every law at this discrepancy with probability `power`."""
    excess = discrepancy - tolerated
    if len(p) <= FEW:
        events = _events(len(p)) if len(p) > 1 else np.empty((0, 1))
        shares = np.unique(np.round(events @ p, 12))
        shares = shares[shares + discrepancy <= 1.0 + 1e-12]
        # From the middle: where variance is largest, most samples are needed.
        for bound in sorted(shares, key=lambda each: abs(each - 0.5)):
            if power_mean(samples, float(bound) + tolerated, excess, alpha / len(events)) < power:
                return False
        return True
    half = samples // 2
    if half == 0:
        return False
    strayed = math.sqrt((len(p) - 1) / (4 * half)) + math.sqrt(math.log(2 / (1 - power)) / (2 * half))
    left = excess - 2 * strayed
    if left <= 0:
        return False
    bounds = np.linspace(0.0, 1.0 - left, 12)
    return all(power_mean(half, float(each), left, alpha) >= 1 - (1 - power) / 2 for each in bounds)


def min_discrepancy_law(
    law: ArrayLike, samples: int, *, alpha: float, tolerated: float = 0.0, power: float = POWER
) -> float:
    """Smallest total variation, within 1e-4, at which so many observations reject every law with probability `power`."""
    p = np.asarray(law, dtype=np.float64)
    require_count("samples", samples)
    excess = _least(lambda each: _is_seen(p, samples, tolerated + each, alpha, tolerated, power), 1.0 - tolerated)
    return tolerated + excess


@lru_cache(maxsize=1024)
def min_samples_same_law(outcomes: int, discrepancy: float, *, alpha: float, power: float = POWER) -> int:
    """Pairs that reject, with probability `power`, two laws at `discrepancy` in total variation.

    Two laws differ by the discrepancy on some event. A pair is split by it with probability at most
    `(1 + discrepancy^2)/2`, where the split pairs lean least; that many are needed.
    """
    require_count("outcomes", outcomes, least=2)
    require(0.0 < discrepancy <= 1.0, "discrepancy", discrepancy, "above 0 and at most 1")
    miss = (1 - power) / 2
    half, lean = _split(outcomes, discrepancy)
    chance = (1.0 + lean**2) / 2
    mean = ((1.0 + lean) / 2) ** 2 / chance
    tests = 2**outcomes - 2 if outcomes <= FEW else 1
    needed = min_samples_mean(0.5, mean - 0.5, alpha=alpha / tests, power=1 - miss)
    samples = smallest(lambda n: bool(binom.cdf(needed - 1, n, chance) <= miss))
    return max(2 * samples, half)


def _split(outcomes: int, discrepancy: float) -> tuple[int, float]:
    """Samples of which half choose an event, and the discrepancy left on it; all of it where none is chosen."""
    if outcomes <= FEW:
        return 0, discrepancy
    # Twice the deviation of each of the two samples may not take more than half of the discrepancy.
    half = math.ceil(64 * ((math.sqrt((outcomes - 1) / 4) + math.sqrt(math.log(800.0) / 2)) / discrepancy) ** 2)
    return 2 * half, discrepancy / 2


def min_discrepancy_same_law(outcomes: int, samples: int, *, alpha: float, power: float = POWER) -> float:
    """Smallest total variation, within 1e-4, at which so many pairs reject two laws with probability `power`."""
    return _least(lambda each: min_samples_same_law(outcomes, round(each, 6), alpha=alpha, power=power) <= samples, 1.0)


def assert_law(observations: ArrayLike, law: ArrayLike, *, alpha: float, tolerated: float = 0.0) -> None:
    """Reject a law of independent observations.

    Raises
    ------
    EvidenceError
    """
    drawn, p = _checked(observations, law)
    shares = np.bincount(drawn, minlength=len(p)) / len(drawn)
    claim = f"the shares of {len(drawn)} observations are {np.round(shares, 4).tolist()}, the law {p.tolist()}"
    log_e = log_e_law(drawn, p, tolerated=tolerated)
    rejects(log_e, alpha, claim, lambda: min_discrepancy_law(p, len(drawn), alpha=alpha, tolerated=tolerated))


def assert_same_law(first: ArrayLike, second: ArrayLike, outcomes: int, *, alpha: float) -> None:
    """Reject that two samples, taken in pairs, have the same law.

    Raises
    ------
    EvidenceError
    """
    one = _outcomes(first, outcomes)
    claim = f"the laws of two samples of {len(one)} differ"
    log_e = log_e_same_law(first, second, outcomes)
    rejects(log_e, alpha, claim, lambda: min_discrepancy_same_law(outcomes, len(one), alpha=alpha))


def _checked(observations: ArrayLike, law: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    p = np.asarray(law, dtype=np.float64)
    require(p.ndim == 1 and bool((p >= 0).all()), "law", law, "a vector of probabilities")
    require(abs(float(p.sum()) - 1.0) <= 1e-9, "the sum of law", float(p.sum()), "1")
    return _outcomes(observations, len(p)), p


def _outcomes(observations: ArrayLike, outcomes: int) -> NDArray[np.int64]:
    drawn = np.asarray(observations, dtype=np.int64)
    inside = drawn.ndim == 1 and bool(((drawn >= 0) & (drawn < outcomes)).all())
    require(inside, "observations", observations, f"integers from 0 to {outcomes - 1}")
    return drawn
