"""How many samples a test needs, and what a number of samples can catch.

Every design answers one question, `caught(samples, discrepancy)`: are all violations of at least this size rejected
with probability at least `power`? The answer `True` is proven (docstrings); the two searches only look for the
smallest argument with that answer, and return one that has it. Powers are exact binomial tails, not approximations: a
0/1 mean `m` is rejected at `n` with probability at least `power` iff the largest total that is reached with
probability `power` is one that rejects, since the e-value grows with the total. Chances, which may depend on the past,
have no binomial tail: their power is proven by Chernoff's bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from spanver.evidence.e_values import MOST_ENUMERATED, TILTS, events, log_e_means
from spanver.validation import (
    require,
    require_count,
    require_finite,
    require_probability,
    require_real,
    require_tolerance,
    to_law,
)

_MAX_SAMPLES = 2**40  # rounding of a log e-value grows like the number of samples, here to about 1e-2
_EXHAUSTIVE_BELOW = 200  # samples up to which an earlier tooth of the saw is looked for
_CELLS = 16  # into which a discrepancy is cut where the worst case is over an interval
_TOLERANCE = 1e-12  # by which a sum of probabilities may pass 1
Caught = Callable[[int, float], bool]


def min_samples_mean(bound: float, discrepancy: float, *, alpha: float, power: float = 0.99) -> int:
    """Return how many 0/1 observations of mean `bound + discrepancy` reject the claim of `log_e_mean`.

    Parameters
    ----------
    bound : float
        In `[0, 1)`.
    discrepancy : float
        Above 0 and at most `1 - bound`.
    alpha, power : float
        Level of the test, and the least probability of rejecting at the returned number of observations.

    Returns
    -------
    int
        The smallest such number, up to a few per cent (the power is a saw-tooth in the number of samples).

    Raises
    ------
    ArgumentError
        If an argument is out of range, or more than `2^40` samples are needed.

    Examples
    --------
    >>> min_samples_mean(0.0, 0.01, alpha=1e-6)
    460
    """
    _require_rates(alpha, power)
    require_real("bound", bound, most=1.0)
    _require_discrepancy(discrepancy, least=0.0, most=1.0 - bound)
    return _fewest(_caught_mean(bound, alpha, power), discrepancy)


def min_discrepancy_mean(bound: float, samples: int, *, alpha: float, power: float = 0.99) -> float:
    """Return the smallest excess over `bound` that `samples` observations catch; see `min_samples_mean`.

    Returns
    -------
    float
        `inf` if even a mean of 1 is not caught.
    """
    _require_rates(alpha, power)
    require_real("bound", bound, most=1.0)
    require_count("samples", samples, least=0)
    return _smallest(_caught_mean(bound, alpha, power), samples, 0.0, 1.0 - bound)


def min_samples_chances(discrepancy: float, *, alpha: float, power: float = 0.99) -> int:
    """Return at how many outcomes `log_e_chances` rejects where all chances are off by the discrepancy, to one side.

    Outcome `t` comes with a conditional probability of at least `q_t + D`, for all `t`, or of at most `q_t - D` for all
    `t`; the `q_t` are any functions of the past. The e-value is at least its part of one tilt `c`. By Chernoff's bound
    it is below `1/alpha` after `n` outcomes with probability at most `(K/alpha)^l rho^n`, for `K` tilts, any `l > 0`,
    and the largest `rho = (1 - (q + D) s) (1 + q u)^l` in `0 <= q <= 1 - D`, with `s = 1 - e^(-l c)`, `u = e^c - 1`.
    The number is the least for the tilts of the e-value, and `l` on a grid.

    Parameters
    ----------
    discrepancy : float
        `D`, above 0 and at most 1.
    alpha, power : float
        Level of the test, and the least probability of rejecting at the returned number of outcomes.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or more than `2^40` samples are needed, or a smaller tilt than the e-value has.

    Examples
    --------
    >>> min_samples_chances(0.5, alpha=1e-6)
    75
    """
    _require_rates(alpha, power)
    _require_discrepancy(discrepancy, least=0.0, most=1.0)
    return _fewest_chances(float(discrepancy), alpha, power)


@lru_cache(maxsize=256)
def _fewest_chances(discrepancy: float, alpha: float, power: float) -> int:
    tilt = np.array([each for each in TILTS if 0.0 < each <= 64.0])[:, None]  # e^128 is as good as infinite
    order = np.geomspace(0.01, 10.0, 400)
    s, u = -np.expm1(-order * tilt), np.expm1(tilt)
    # The logarithm of rho is concave in q: this is where its derivative is 0, or the end that is nearer.
    worst = np.clip((order * u * (1.0 - s * discrepancy) - s) / (u * s * (1.0 + order)), 0.0, 1.0 - discrepancy)
    with np.errstate(divide="ignore"):  # where all outcomes are certain the bound is 0
        log_rho = np.log1p(-np.minimum((worst + discrepancy) * s, 1.0)) + order * np.log1p(worst * u)
    needed = (order * math.log(len(TILTS) / alpha) - math.log1p(-power)) / np.maximum(-log_rho, 1e-300)
    fewest = float(needed[log_rho < 0.0].min(initial=math.inf))
    require(fewest <= _MAX_SAMPLES, "discrepancy", discrepancy, "large enough for 2^40 samples and the tilts used")
    return max(1, math.ceil(fewest))


def min_samples_law(
    law: ArrayLike, discrepancy: float, *, alpha: float, tolerated: float = 0.0, power: float = 0.99
) -> int:
    r"""Return how many observations of any law at total variation `discrepancy` or more reject `log_e_law`'s claim.

    Up to 8 categories: a law `Q` at total variation `D` has an event with `Q(A) = law(A) + D`, and the average over `N`
    events is at least `1/N` of that event's e-value. So it suffices that each event with `law(A) + D <= 1` rejects the
    mean `law(A) + tolerated` at level `alpha/N`, whose power is an exact binomial tail.

    Beyond, `m` observations with shares `S` choose `A = {S > law}`. Compared with the best event `B = {Q > law}` it
    loses `|Q - law|` on each `y` that it has wrong, where `S` lies on the other side of `law` than `Q`; so the loss is
    at most `F = sum_B (Q-S)^+ + sum_{not B} (S-Q)^+`. As `E(S-Q)^+ = E|S-Q|/2 <= sqrt(Q(1-Q)/m)/2`, Cauchy and Schwarz
    give `E F <= sqrt((k-1)/(4m))`; one observation moves `F` by at most `2/m`, so by McDiarmid's inequality `F` stays
    below `sqrt((k-1)/(4m)) + sqrt(2 log(1/d)/m)` except with probability `d = (1-power)/2`. The other half must then
    reject `law(A) + tolerated` at a mean of at least `law(A) + D - F`, except with probability `d`, whatever `law(A)`
    is: the interval of its values is cut into cells `[b, b+w]`, and it suffices to reject `b + w + tolerated` at the
    mean `b + D - F`. Indeed, for `s` successes in `n`, the e-value falls as the bound `p` rises wherever it exceeds
    `e`: where it exceeds 1 the derivative of its log is at most `1/(2 sqrt(p) (1-p)) - (s-np)/(p (1-p))` (the first
    term bounds the hazard rate of Beta(1/2, 1/2)), negative if `s - np > 1/2`; and where `s - np <= 1/2` every
    likelihood ratio is at most `e`.

    Parameters
    ----------
    law : array_like, shape (k,)
        Probabilities; zeros are allowed.
    discrepancy : float
        Total variation above `tolerated`, at most 1.
    alpha, power : float
        Level of the test, and the least probability of rejecting at the returned number of observations.
    tolerated : float
        As for `log_e_law`.

    Returns
    -------
    int
        0 if no law is that far from `law`.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or more than `2^40` samples are needed.

    Examples
    --------
    >>> min_samples_law([1.0, 0.0], 0.01, alpha=1e-6)
    460
    """
    _require_rates(alpha, power)
    p = to_law(law)
    require_tolerance("tolerated", tolerated)
    _require_discrepancy(discrepancy, least=tolerated, most=1.0)
    return _fewest_law(tuple(p.tolist()), float(discrepancy), alpha, tolerated, power)


def min_discrepancy_law(
    law: ArrayLike, samples: int, *, alpha: float, tolerated: float = 0.0, power: float = 0.99
) -> float:
    """Return the smallest total variation from `law` that `samples` observations catch; see `min_samples_law`.

    Returns
    -------
    float
        `inf` if not even the farthest law is caught, `tolerated` if no law is farther than that.
    """
    _require_rates(alpha, power)
    p = to_law(law)
    require_tolerance("tolerated", tolerated)
    require_count("samples", samples, least=0)
    return _smallest(_caught_law(p, alpha, tolerated, power), samples, tolerated, 1.0 - float(p.min()))


def min_samples_same_law(categories: int, discrepancy: float, *, alpha: float, power: float = 0.99) -> int:
    """Return how many pairs from any two laws at total variation `discrepancy` or more reject their sameness.

    Let `P(A) - Q(A) = D`. A pair is a win (only `x` in `A`) with probability `u = P(A)(1-Q(A))`, a loss with `v =
    Q(A)(1-P(A))`, where `u = v + D` and `v <= (1-D)^2/4`. The e-value grows with the wins and falls with the losses, so
    it suffices that it rejects at the `(1-power)/2` quantile of the wins together with that of the losses, for all `v`
    (in cells `[b, b+w]`: wins of `b + D` against losses of `b + w`); a larger `D` only adds wins. The average over
    events and the halves beyond 8 categories are those of `min_samples_law`; two samples choose the event, so the loss
    is at most `sqrt(2(k-1)/(4m)) + sqrt(4 log(1/d)/m)`. Conservative: the two quantiles meet seldom.

    Parameters
    ----------
    categories : int
    discrepancy : float
        Total variation above 0, at most 1.
    alpha, power : float
        Level of the test, and the least probability of rejecting at the returned number of pairs.

    Returns
    -------
    int
        Pairs, i.e. observations of each sample; 0 if there is one category only.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or more than `2^40` samples are needed.
    """
    _require_rates(alpha, power)
    require_count("categories", categories)
    _require_discrepancy(discrepancy, least=0.0, most=1.0)
    return _fewest(_caught_same_law(categories, alpha, power), discrepancy)


def min_discrepancy_same_law(categories: int, samples: int, *, alpha: float, power: float = 0.99) -> float:
    """Return the smallest total variation of two laws that `samples` pairs catch; see `min_samples_same_law`.

    Returns
    -------
    float
        `inf` if not even disjoint laws are caught, 0 if there is one category only.
    """
    _require_rates(alpha, power)
    require_count("categories", categories)
    require_count("samples", samples, least=0)
    return _smallest(_caught_same_law(categories, alpha, power), samples, 0.0, 1.0 if categories > 1 else 0.0)


def _require_rates(alpha: float, power: float) -> None:
    require_probability("alpha", alpha)
    require_probability("power", power)


def _require_discrepancy(discrepancy: float, *, least: float, most: float) -> None:
    require_finite("discrepancy", discrepancy)
    allowed = f"a number above {least:g} and at most {most:g}"
    require(least < discrepancy <= most + _TOLERANCE, "discrepancy", discrepancy, allowed)


@lru_cache(maxsize=1024)
def _fewest_law(law: tuple[float, ...], discrepancy: float, alpha: float, tolerated: float, power: float) -> int:
    return _fewest(_caught_law(np.array(law), alpha, tolerated, power), discrepancy)


def _fewest(caught: Caught, discrepancy: float) -> int:
    """Return a number of samples that catches, where 1 % fewer (or one fewer) do not."""
    if caught(0, discrepancy):
        return 0
    low, high = 0, 1
    while not caught(high, discrepancy):
        low, high = high, 2 * high
        require(high <= _MAX_SAMPLES, "discrepancy", discrepancy, "large enough for 2^40 samples to catch it")
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if caught(middle, discrepancy) else (middle, high)
    if high > _EXHAUSTIVE_BELOW:
        return high
    # The power of few samples is a coarse saw-tooth: an earlier tooth may do.
    return next(fewer for fewer in range(3 * high // 4, high + 1) if caught(fewer, discrepancy))


def _smallest(caught: Caught, samples: int, low: float, high: float) -> float:
    """Return the smallest discrepancy in `(low, high]` that is caught, to 9 digits from above."""
    if high <= low:
        return low
    if not caught(samples, high):
        return math.inf
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if caught(samples, middle) else (middle, high)
    return high


def _caught_mean(bound: float, alpha: float, power: float) -> Caught:
    bounds, threshold = np.array([bound]), -math.log(alpha)

    def caught(samples: int, discrepancy: float) -> bool:
        return _reject(samples, bounds, bounds + discrepancy, threshold, power)

    return caught


def _caught_law(law: NDArray[np.float64], alpha: float, tolerated: float, power: float) -> Caught:
    threshold = -math.log(alpha)
    if law.size > MOST_ENUMERATED:

        def caught_by_half(samples: int, discrepancy: float) -> bool:
            half, miss = samples // 2, (1 - power) / 2
            excess = discrepancy - _lost(law.size, half, 1, miss)
            if excess <= tolerated:
                return False
            starts, width = _cells(1 - excess, excess - tolerated)
            bounds = starts + width + tolerated
            return _reject(samples - half, bounds, starts + excess, max(threshold, 1.0), 1 - miss)

        return caught_by_half

    every = events(law.size)
    bases = np.unique(every @ law)
    threshold += math.log(max(len(every), 1))

    def caught(samples: int, discrepancy: float) -> bool:
        possible = bases[bases + discrepancy <= 1 + _TOLERANCE]
        return _reject(samples, possible + tolerated, possible + discrepancy, threshold, power)

    return caught


def _caught_same_law(categories: int, alpha: float, power: float) -> Caught:
    enumerated = categories <= MOST_ENUMERATED
    threshold = -math.log(alpha) + (math.log(max(2**categories - 2, 1)) if enumerated else 0.0)

    def caught(samples: int, discrepancy: float) -> bool:
        if categories == 1:
            return True
        half, miss = (0, 1 - power) if enumerated else (samples // 2, (1 - power) / 2)
        excess = discrepancy if enumerated else discrepancy - _lost(categories, half, 2, miss)
        if excess <= 0:
            return False
        starts, width = _cells((1 - excess) ** 2 / 4, excess)
        pairs = samples - half
        wins = _reached(pairs, np.minimum(starts + excess, 1.0), 1 - miss / 2)
        losses = pairs - _reached(pairs, 1 - np.minimum(starts + width, 1.0), 1 - miss / 2)
        return bool((log_e_means(wins, wins + losses, np.full(wins.size, 0.5)) >= threshold).all())

    return caught


def _lost(categories: int, samples: int, shares: int, miss: float) -> float:
    """Return what a chosen event loses against the best one at most, except with probability `miss`."""
    if samples == 0:
        return math.inf
    return math.sqrt(shares * (categories - 1) / (4 * samples)) + math.sqrt(-2 * shares * math.log(miss) / samples)


def _cells(length: float, gap: float) -> tuple[NDArray[np.float64], float]:
    """Cut `[0, length]` into cells of `gap / 16` at most; return where they start, and their width."""
    number = max(1, math.ceil(_CELLS * length / gap))
    return np.arange(number, dtype=np.float64) * (length / number), length / number


def _reject(
    samples: int, bounds: NDArray[np.float64], means: NDArray[np.float64], threshold: float, power: float
) -> bool:
    """Whether 0/1 observations of each mean reject its bound with probability `power`."""
    totals = _reached(samples, np.minimum(means, 1.0), power)
    return bool((log_e_means(totals, np.full(totals.size, float(samples)), bounds) >= threshold).all())


def _reached(samples: int, means: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Return the largest total that a binomial count of each mean reaches with probability at least `power`."""
    n, centre = float(samples), samples * means
    # Chernoff's bound on the lower tail and Bernstein's on the upper one leave few totals to search.
    low = np.maximum(np.floor(centre - np.sqrt(-2 * centre * math.log1p(-power))), 0.0)
    surely = -math.log(power)
    high = np.minimum(np.ceil(centre + np.sqrt(2 * centre * surely) + surely) + 1, n + 1)
    while bool((high - low > 1).any()):
        middle = np.floor((low + high) / 2)
        tail = np.where(middle <= 0, 1.0, betainc(np.maximum(middle, 1.0), np.maximum(n - middle, 0.0) + 1, means))
        reached = tail >= power
        low, high = np.where(reached, middle, low), np.where(reached, high, middle)
    return low
