"""Gaps of policies as `certify` recomputes them: differences of two objectives (I2), with a bound on their rounding.

A run states gaps as divergences from the optimum, computed in log space. Here laws are probabilities, summed over
second responses, and a gap is `J(pi*) - J(pi)`; by I2 the two are one number.

*Rounding.* Both ways reach a log probability `log p` of a policy or of the optimum through at most `n` roundings, of
numbers of at most `S + |log p|`. `S` bounds twice the logs of base probabilities, twice scores and rewards in units of
`beta`, and logs of how many terms are summed. So each log is right to `delta = g(n) (S + |log p|)`, with
`g(n) = n u/(1 - n u)`. A relative error of `e^delta - 1` in `p` and errors of `delta` in both logs change a gap by at
most `beta E sum p (e^delta - 1)(3 + |log p/q| + |log Z|)`, where `q` is the optimum and `Z` its normaliser; the sums
add `beta g(X + Y + 8) (1 + E sum p (|log p| + |log b| + |r|/beta) + |log Z|)`. A number that is compared with another
one carries both errors, so the bound is twice that. In `n` there is room for the roundings of the problem itself, so it
also holds where another machine built it, whose `exp` and `log` differ in their last bits.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from spanver.guarantees.rounding import gamma
from spanver.validation import ROUNDING
from spanver.values import FloatArray, IntArray

_LARGEST = math.log(sys.float_info.max)  # a coverage beyond is stated as infinite
BLOCK = 1 << 22
"""Numbers in memory at once, where there are many."""


@dataclass(frozen=True, eq=False)
class Bounded:
    """Numbers, and how far from each the same number may be that was computed in another way: arrays of one shape."""

    values: FloatArray
    bounds: FloatArray

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Bounded:
        """Numbers and their bounds, given in pairs."""
        values, bounds = np.array(pairs).T
        return cls(values, bounds)

    @classmethod
    def single(cls, value: float, bound: float) -> Bounded:
        """One number."""
        return cls.of([(value, bound)])

    @classmethod
    def within(cls, values: FloatArray, bound: float) -> Bounded:
        """Numbers with one bound."""
        return cls(values, np.full(values.shape, bound))

    def off(self, stated: FloatArray) -> IntArray:
        """Positions at which stated numbers are further off; also where they are no numbers."""
        return np.flatnonzero(~(np.abs(stated - self.values) <= self.bounds))


@dataclass(frozen=True, eq=False)
class Objective:
    """What policies on a table are worth.

    Attributes
    ----------
    prompt_law : array, shape (X,)
    log_base : array, shape (X, Y)
    reward : array, shape (X, Y)
        Less the largest of the prompt, which changes no gap and keeps digits.
    log_partition : array, shape (X,)
        `log E_{pi_ref} exp(reward/beta)`, of these rewards.
    beta : float
    size : array, shape (X,)
        `S`, but for the number of terms.
    """

    prompt_law: FloatArray
    log_base: FloatArray
    reward: FloatArray
    log_partition: FloatArray
    beta: float
    size: FloatArray

    @property
    def log_coverage(self) -> FloatArray:
        """`log C(pi*|x)` of every prompt, shape (X,): the largest reward has `log q/b = -log Z`."""
        return -self.log_partition

    def gaps(self, law: FloatArray, prompts: IntArray, *, roundings: int, terms: int = 1) -> Bounded:
        """Gaps at single prompts.

        Parameters
        ----------
        law : array, shape (n, Y)
            Probabilities.
        prompts : array of int, shape (n,)
            The prompt of each row.
        roundings : int
            On the way to a log probability, but for those of `terms`.
        terms : int
            Policies that were averaged.
        """
        log_base, reward, log_partition = self.log_base[prompts], self.reward[prompts], self.log_partition[prompts]
        held = law > 0.0
        log_law = np.log(law, out=np.zeros_like(law), where=held)
        log_base = np.where(held, log_base, 0.0)
        earned = reward / self.beta
        values = self.beta * (log_partition - (law * (earned - (log_law - log_base))).sum(axis=1))
        ratios = np.abs(log_law - log_base - earned + log_partition[:, None])
        size = self.size[prompts] + math.log(terms)
        deltas = gamma(roundings + terms) * (size[:, None] + np.abs(log_law))
        moved = (law * np.expm1(deltas) * (3.0 + ratios + np.abs(log_partition)[:, None])).sum(axis=1)
        summed = (law * (np.abs(log_law) + np.abs(log_base) + np.abs(earned))).sum(axis=1) + np.abs(log_partition)
        steps = gamma(sum(self.log_base.shape) + 8)
        return Bounded(values, 2.0 * self.beta * (moved + steps * (1.0 + summed)))

    def gap(self, law: FloatArray, *, roundings: int, terms: int = 1) -> tuple[float, float]:
        """Gap of a policy, of law of shape (X, Y), and its bound."""
        found = self.gaps(law, np.arange(len(law)), roundings=roundings, terms=terms)
        return float(self.prompt_law @ found.values), float(self.prompt_law @ found.bounds)


def objective(
    prompt_law: FloatArray, log_base: FloatArray, reward: FloatArray, *, beta: float, largest_score: float
) -> Objective:
    """Build the objective of a table.

    Parameters
    ----------
    prompt_law : array, shape (X,)
    log_base, reward : array, shape (X, Y)
    beta : float
    largest_score : float
        Of a policy, in absolute value.
    """
    inside = log_base > -np.inf
    top = np.max(reward, axis=1, where=inside, initial=-np.inf)
    centred = np.where(inside, reward - top[:, None], 0.0)
    exponents = log_base + centred / beta
    peak = exponents.max(axis=1)
    log_partition = peak + np.log(np.exp(exponents - peak[:, None]).sum(axis=1))
    smallest = -np.min(log_base, axis=1, where=inside, initial=0.0)
    largest = np.max(np.abs(reward), axis=1, where=inside, initial=0.0)
    size = 2.0 * (smallest + (2.0 * largest_score + largest) / beta) + 4.0
    return Objective(prompt_law, log_base, centred, log_partition, beta, size)


def covered_pairs(
    features: FloatArray, anchors: FloatArray, sigma: FloatArray, nu: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pairs of responses and second responses have a norm of at most `nu`, and which one within rounding of it.

    Parameters
    ----------
    features : array, shape (R, Y, d)
    anchors : array, shape (R, S, d)
        Of second responses.
    sigma : array, shape (d, d)
    nu : float

    Returns
    -------
    two arrays of bool, shape (R, S, Y)
    """
    factor = np.linalg.cholesky(sigma)

    def whitened(vectors: FloatArray) -> FloatArray:
        flat = vectors.reshape(-1, vectors.shape[-1])
        solved: FloatArray = solve_triangular(factor, flat.T, lower=True).T
        return solved.reshape(vectors.shape)

    points, centres = whitened(features), whitened(anchors)
    covered = np.empty((*anchors.shape[:2], features.shape[1]), dtype=np.bool_)
    tied = np.empty_like(covered)
    for position in range(anchors.shape[1]):
        norms = np.linalg.norm(points - centres[:, position : position + 1], axis=-1)
        covered[:, position] = norms <= nu
        tied[:, position] = np.abs(norms - nu) <= ROUNDING * nu
    return covered, tied


def linear_law(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    """Law `b exp(scores/beta)`, normalised over the last axis; scores may have axes that `log_base` is broadcast to."""
    exponents = log_base + scores / beta
    weights = np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    normalised: FloatArray = weights / weights.sum(axis=-1, keepdims=True)
    return normalised


def truncated_law(log_base: FloatArray, scores: FloatArray, covered: NDArray[np.bool_], beta: float) -> FloatArray:
    """Law of a truncated softmax policy, averaged over its second response.

    Parameters
    ----------
    log_base, scores : array, shape (R, Y)
    covered : array of bool, shape (R, Y, Y)
        Second responses in the middle.
    beta : float

    Returns
    -------
    array, shape (R, Y)
    """
    rows = max(1, BLOCK // log_base.shape[1] ** 2)
    laws = np.empty_like(log_base)
    for begin in range(0, len(log_base), rows):
        part = slice(begin, begin + rows)
        given = law_given_second(log_base[part], scores[part], scores[part], covered[part], beta)
        laws[part] = np.einsum("rs,rsy->ry", np.exp(log_base[part]), given)
    return laws


def law_given_second(
    log_base: FloatArray, scores: FloatArray, second_scores: FloatArray, covered: NDArray[np.bool_], beta: float
) -> FloatArray:
    """Laws of a truncated softmax policy given second responses, of scores of shape (R, S): shape (R, S, Y)."""
    differences = np.where(covered, scores[:, None, :] - second_scores[:, :, None], 0.0)
    return linear_law(log_base[:, None, :], differences, beta)


def best_of_law(log_base: FloatArray, scores: FloatArray, count: int) -> FloatArray:
    """Law of the response of largest score among `count` draws at one prompt: arrays of shape (Y,).

    With `F` the mass of scores up to `s` and `m` that of `s` itself, `F^N - (F - m)^N = F^N (1 - (1 - m/F)^N)`.
    """
    base = np.exp(log_base)
    law = np.zeros_like(base)
    held = base > 0.0
    for score in np.unique(scores[held]):
        same, upto = held & (scores == score), float(base[held & (scores <= score)].sum())
        above, mass = float(base[held & (scores > score)].sum()), float(base[same].sum())
        log_upto = math.log1p(-above) if above < 0.5 else math.log(upto)
        share = -math.expm1(count * math.log1p(-mass / upto)) if mass < upto else 1.0
        law[same] = base[same] / mass * math.exp(count * log_upto) * share
    return law


def differing_log(name: str, stated: float, found: float, bound: float) -> Iterator[str]:
    """What is wrong with a number that a record states, next to its logarithm that was computed here."""
    if stated == math.inf and found >= _LARGEST:
        return
    if not abs(math.log(stated) - found) <= bound:
        yield f"the record states {name} {stated:.9g}, but that of its problem is exp({found:.9g})"
