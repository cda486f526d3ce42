"""Exact distributions of what samplers return on a table: A1 with clipping and fallback (R3), and best-of-N (A3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import gammaln, logsumexp

from spanver.kernels import log1mexp
from spanver.learners.softmax_sampler import sampler_trials
from spanver.validation import require, require_probability
from spanver.values import FloatArray, IntArray

_LOG_2 = math.log(2.0)
_FIRST_ORDER = -40.0  # log of a number that adds nothing to 1 in double precision


def log_law_of_best(log_base: FloatArray, scores: FloatArray, count: int) -> FloatArray:
    """Law of the response of largest score among `count` draws, the first drawn where several tie. `[ours]`.

    With `F` the cumulative base law of scores, the largest is `s` with probability `F(s)^N - F(s-)^N`, and the first
    drawn of that score has the base law given the score. No digits are lost where the base probability of a score, or
    of all larger scores, is far below the rounding of 1, and where `N` makes up for that.

    Parameters
    ----------
    log_base : array, shape (Y,)
        Log probabilities, minus infinity outside the support.
    scores : array, shape (Y,)
        Finite; equal ones tie.
    count : int
        `N`, at least 1.

    Returns
    -------
    array, shape (Y,)
        Log probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> np.exp(log_law_of_best(np.log([0.5, 0.5]), np.array([0.0, 1.0]), 2)).round(6)
    array([0.25, 0.75])
    """
    support = np.flatnonzero(log_base > -np.inf)
    levels, level_of = np.unique(scores[support], return_inverse=True)
    log_mass = np.full(len(levels), -np.inf)
    np.logaddexp.at(log_mass, level_of, log_base[support])
    log_upto = np.logaddexp.accumulate(log_mass)
    log_above = np.append(np.logaddexp.accumulate(log_mass[::-1])[::-1][1:], -np.inf)
    # log F(s): near 0 its digits are in the upper tail, elsewhere in the lower one.
    log_cumulative = np.where(log_above < -_LOG_2, log1mexp(log_above), log_upto)
    # 1 - (F(s-)/F(s))^N, from u = P(score = s | score <= s); for tiny u and N u it is N u.
    log_share = log_mass - log_upto
    log_expected = log_share + math.log(count)
    log_hit = np.where(log_expected < _FIRST_ORDER, log_expected, log1mexp(count * log1mexp(log_share)))
    # Below the smallest score there is nothing, whatever rounding says of its share.
    log_hit[0] = 0.0
    law = np.full(log_base.shape, -np.inf)
    law[support] = (log_base[support] - log_mass[level_of]) + (count * log_cumulative + log_hit)[level_of]
    return law


@dataclass(frozen=True, eq=False)
class SamplerLaw:
    """Exact law of one call of A1.

    Attributes
    ----------
    law : array, shape (n,)
        Probability of each response.
    fallback_probability : float
        That every trial fails.
    expected_trials : float
        Mean number of trials.
    """

    law: FloatArray
    fallback_probability: float
    expected_trials: float


def sampler_law(base: FloatArray, f: FloatArray, beta: float, multiplier: float, delta: float) -> SamplerLaw:
    """Exact law of SoftmaxSampler (A1) by enumeration of every pilot: `(1 - q_Z) A_Z + q_Z pi_ref` averaged (R3).

    Parameters
    ----------
    base : array, shape (n,)
        Base probabilities, all positive; `n` small, as there are `binomial(N + n - 1, n - 1)` pilots.
    f : array, shape (n,)
        Scores.
    beta : float
    multiplier : float
        `M`.
    delta : float
    """
    base, f = np.asarray(base, dtype=np.float64), np.asarray(f, dtype=np.float64)
    require(base.ndim == 1 and bool((base > 0).all()), "base", base, "a vector of positive probabilities")
    require(f.shape == base.shape, "the shape of f", f.shape, str(base.shape))
    require_probability("delta", delta)
    pilots, probability = every_pilot(base, sampler_trials(multiplier, delta))
    laws, all_fail, hit = law_given_pilot(base, f / beta, pilots, multiplier)
    return SamplerLaw(
        law=probability @ laws,
        fallback_probability=float(probability @ all_fail),
        expected_trials=float(probability @ ((1.0 - all_fail) / hit)),
    )


def every_pilot(base: FloatArray, draws: int) -> tuple[FloatArray, FloatArray]:
    """Every pilot of so many draws, and its probability: shapes (m, n) and (m,).

    Parameters
    ----------
    base : array, shape (n,)
        Base probabilities, all positive.
    draws : int

    Examples
    --------
    >>> pilots, probability = every_pilot(np.array([0.25, 0.75]), 2)
    >>> pilots.tolist(), probability.round(6).tolist()
    ([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]], [0.5625, 0.375, 0.0625])
    """
    pilots = _compositions(draws, len(base))
    return pilots, np.exp(gammaln(draws + 1) - gammaln(pilots + 1).sum(axis=1) + pilots @ np.log(base))


def log_pilot_means(exponents: FloatArray, pilots: FloatArray | IntArray) -> FloatArray:
    """Logarithm of the mean weight of each pilot, `log Z`, shape (m, 1).

    Parameters
    ----------
    exponents : array, shape (n,) or (m, n)
        `f/beta`, of all pilots or of each.
    pilots : array, shape (m, n)
        How often each response came in each pilot; equally many draws in all.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(logsumexp(np.log(pilots) - np.log(pilots[0].sum()) + exponents, axis=1, keepdims=True))


def law_given_pilot(
    base: FloatArray, exponents: FloatArray, pilots: FloatArray | IntArray, multiplier: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Exact distribution of A1 given its pilot, `(1 - q_Z) A_Z + q_Z pi_ref`: clipping and fallback are in it (R2, R3).

    Parameters
    ----------
    base : array, shape (n,)
        Base probabilities.
    exponents : array, shape (n,) or (m, n)
        `f/beta`, of all pilots or of each.
    pilots : array, shape (m, n)
        How often each response came in each pilot; each row sums to `N`, the number of trials.
    multiplier : float
        `M`.

    Returns
    -------
    laws : array, shape (m, n)
        Probability of each response.
    all_fail : array, shape (m,)
        Probability that every trial fails, `q_Z`.
    hit : array, shape (m,)
        Probability that one trial accepts.
    """
    trials = int(pilots[0].sum())
    acceptance = base * np.exp(np.minimum(0.0, exponents - np.log(multiplier) - log_pilot_means(exponents, pilots)))
    hit = np.minimum(acceptance.sum(axis=1, keepdims=True), 1.0)
    with np.errstate(divide="ignore"):
        all_fail = np.exp(trials * np.log1p(-hit))
    laws = (1.0 - all_fail) * acceptance / hit + all_fail * base
    return laws, all_fail[:, 0], hit[:, 0]


@lru_cache(maxsize=64)
def _compositions(total: int, parts: int) -> FloatArray:
    """Every way to write `total` as an ordered sum of `parts` counts, one a row."""
    if parts == 1:
        return np.array([[float(total)]])
    rows = [
        np.concatenate([np.full((len(rest), 1), float(first)), rest], axis=1)
        for first in range(total + 1)
        for rest in [_compositions(total - first, parts - 1)]
    ]
    return np.concatenate(rows)


_BLOCK = 10**7  # numbers of a race in memory at once


def race_law(log_weights: FloatArray) -> FloatArray:
    """Law of `argmax w_i/U_i` over a pool that is given: the index that A1r returns (`[ours]`).

    `P(i) = integral over u in (0,1) of prod_{j != i} (1 - w_j u/w_i)^+`, a polynomial of degree `n - 1` up to
    `u = w_i/max w` and zero beyond, so that Gauss-Legendre quadrature with `n/2` nodes is exact.

    Parameters
    ----------
    log_weights : array, shape (..., n)

    Returns
    -------
    array, shape (..., n)
        Probabilities.
    """
    pool = log_weights.shape[-1]
    rows = max(1, _BLOCK // pool**2)
    if log_weights.ndim == 2 and len(log_weights) > rows:
        return np.concatenate([race_law(log_weights[k : k + rows]) for k in range(0, len(log_weights), rows)])
    nodes, node_weights = leggauss(pool // 2 + 1)
    nodes, node_weights = (nodes + 1.0) / 2.0, node_weights / 2.0
    scaled = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    # With u = (w_i/max w) t, the factor of j is 1 - (w_j/max w) t whatever i is, so one product serves all.
    factors = 1.0 - scaled[..., :, None] * nodes
    total = np.prod(factors, axis=-2, keepdims=True)
    law: FloatArray = scaled * ((total / factors) @ node_weights)
    return law
