"""Effects of the named mistakes of samplers: exact laws of wrong versions of A1 and A1r, by arithmetic of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.stats import binom

from spanver.guarantees.sampler import (
    density_deviation,
    density_multiplier,
    race_samples,
    race_total_variation,
    sampler_trials,
)
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing
from spanver.values import FloatArray

from .drawn import table_of


def table(problem: TabularProblem) -> tuple[FloatArray, FloatArray, float]:
    """Base policy and weights, shape (Y,) each, and `4 C(pi_f)`."""
    base = np.exp(problem.log_base[0])
    weights = np.exp(problem.features[0] @ realizing(problem) / problem.beta)
    return base, weights, 4.0 * max(1.0, float(weights.max() / (base @ weights)))


def tilted(base: FloatArray, weights: FloatArray) -> FloatArray:
    """The base policy times weights, normalised."""
    law = base * weights
    return np.asarray(law / law.sum())


def law_at(base: FloatArray, weights: FloatArray, threshold: float, trials: int) -> FloatArray:
    """Law of A1 where trials accept with probability `min(1, w/threshold)`."""
    acceptance = base * np.minimum(1.0, weights / threshold)
    hit = float(acceptance.sum())
    failed = (1.0 - hit) ** trials
    return (1.0 - failed) * acceptance / hit + failed * base


def distance(law: FloatArray, problem: TabularProblem) -> float:
    """Total variation to `pi_f`."""
    base, weights, _ = table(problem)
    return float(np.abs(law - tilted(base, weights)).sum()) / 2.0


def another_mean(problem: TabularProblem, failure: float, factors: tuple[float, ...]) -> float:
    """Effect of a mean weight that is off by each of these factors by turns."""
    base, weights, multiplier = table(problem)
    exact, trials = multiplier * float(base @ weights), sampler_trials(multiplier, failure)
    laws = [law_at(base, weights, factor * exact, trials) for factor in factors]
    return distance(np.mean(laws, axis=0), problem) - failure


def mean_of_distinct(problem: TabularProblem, failure: float, constant: int) -> float:
    """The mean weight of the different responses in the pilot, all of which it has seen."""
    del constant
    base, weights, _ = table(problem)
    return another_mean(problem, failure, (float(weights.mean() / (base @ weights)),))


def geometric_mean_of(base: FloatArray, weights: FloatArray) -> float:
    return float(np.exp(base @ np.log(weights)))


def geometric_mean(problem: TabularProblem, failure: float, constant: int) -> float:
    """The mean of the log weights in place of the log of their mean."""
    del constant
    base, weights, _ = table(problem)
    return another_mean(problem, failure, (geometric_mean_of(base, weights) / float(base @ weights),))


def median(problem: TabularProblem, failure: float, constant: int) -> float:
    """The median of the weights in place of their mean."""
    del constant
    base, weights, _ = table(problem)
    order = np.argsort(weights)
    middle = weights[order][np.searchsorted(np.cumsum(base[order]), 0.5)]
    return another_mean(problem, failure, (float(middle / (base @ weights)),))


def stale_mean(problem: TabularProblem, failure: float, constant: int) -> float:
    """The mean weight of the call before, whose scores have another constant."""
    return another_mean(problem, failure, (float(np.exp(constant)), float(np.exp(-constant))))


def first_mean(problem: TabularProblem, failure: float, constant: int) -> float:
    """The mean weight of the first call, whose scores have no constant."""
    return another_mean(problem, failure, (1.0, float(np.exp(-constant))))


def power(exponent: float) -> Callable[..., float]:
    """Weights to a wrong power, with a mean to match, within the probability of the fallback."""

    def effect(problem: TabularProblem, failure: float, **others: Any) -> float:
        del others
        base, weights, _ = table(problem)
        return distance(tilted(base, weights**exponent), problem) - 2.0 * failure

    return effect


EFFECTS: Mapping[str, Callable[..., float]] = {
    "sampler-mean-of-distinct": mean_of_distinct,
    "sampler-mean-of-logs": geometric_mean,
    "sampler-median": median,
    "sampler-stale-mean": stale_mean,
    "sampler-first-mean": first_mean,
    "sampler-wrong-sign": power(-1.0),
    "sampler-base-policy": power(0.0),
}
"""By mutant, of an instance of the property about the sampler's target."""


def pilot_of(draws: int) -> Callable[..., float]:
    """Effect of so short a pilot on how often the density ratio is off by more than is allowed, two responses."""

    def effect(problem: TabularProblem, failure: float) -> float:
        base, weights, multiplier = table(problem)
        coverage = multiplier / 4.0
        heavy = np.arange(draws + 1)
        means = (heavy * weights[1] + (draws - heavy) * weights[0]) / draws / (base @ weights)
        off = np.abs(np.log(means)) > density_deviation(coverage, density_multiplier(coverage))
        return float(binom.pmf(heavy, draws, base[1]) @ off) - failure

    return effect


def clipped(accepted: Callable[[FloatArray], Any]) -> Callable[..., float]:
    """Effect of wrong acceptance below `M = 4C`, of the weights over the threshold, shape (2,): over all pilots."""

    def effect(problem: TabularProblem, multiplier: float, failure: float, cut: int) -> float:
        del cut
        base, weights, _ = table(problem)
        draws = sampler_trials(multiplier, failure)
        chance = 0.0
        for heavy in range(draws + 1):
            mean = (heavy * weights[1] + (draws - heavy) * weights[0]) / draws
            acceptance = base * accepted(weights / (multiplier * mean))
            failed = (1.0 - acceptance.sum()) ** draws
            share = acceptance[1] / acceptance.sum() if acceptance.sum() > 0.0 else 0.0
            chance += float(binom.pmf(heavy, draws, base[1])) * ((1.0 - failed) * share + failed * base[1])
        return max(base[1] - chance, chance - tilted(base, weights)[1])

    return effect


EFFECTS_OF_CLIPPING: Mapping[str, Callable[..., float]] = {
    "sampler-drops-clipped": clipped(lambda ratios: np.where(ratios > 1.0, 0.0, ratios)),
    "sampler-fraction-of-clipped": clipped(lambda ratios: np.where(ratios > 1.0, ratios % 1.0, ratios)),
    "sampler-clipped-first": clipped(lambda ratios: (ratios > 1.0) * 1.0 if (ratios > 1.0).any() else ratios),
}
"""By mutant, of an instance of the property about multipliers below `4C`."""


def half_on_rare(log_coverage: int) -> TabularProblem:
    """Two responses of this coverage, on each of which is half of the target."""
    rare = 0.5**log_coverage / 2.0
    return table_of([1.0 - rare, rare], [1.0, (1.0 - rare) / rare])


def clipped_weights(log_coverage: int, failure: float = 0.01) -> float:
    """Resampling by weights of at most the mean times the root of the number of draws: the mean over all pools."""
    base, weights, multiplier = table(half_on_rare(log_coverage))
    draws = 2 * sampler_trials(multiplier, failure)
    heavy = np.arange(int(16.0 * draws * base[1]))
    clipped = np.minimum(weights[1], (draws - heavy + heavy * weights[1] / weights[0]) * weights[0] / math.sqrt(draws))
    share = heavy * clipped / (heavy * clipped + (draws - heavy) * weights[0])
    return 0.5 - float(binom.pmf(heavy, draws, base[1]) @ share) - failure


def race_multiplier(coverage: float, failure: float) -> float:
    """At least 4 C, and large enough for races of 8 responses."""
    return max(4.0 * coverage, -32.0 / math.log(failure))


def law_of_products(base: FloatArray, weights: FloatArray, draws: int) -> FloatArray:
    """Law of the response of largest `w U` among `draws` of the base policy.

    One draw has `w U <= t` with probability `G(t) = sum p min(1, t/w)`, and so the law is the integral of
    `draws p/w 1[t <= w] G(t)^(draws - 1)`, a polynomial between two weights.
    """
    nodes, shares = leggauss(draws)
    law = np.zeros(len(base))
    ends = np.concatenate([[0.0], np.unique(weights)])
    for start, end in pairwise(ends):
        points = start + (end - start) * (nodes + 1.0) / 2.0
        below = np.minimum(1.0, points[:, None] / weights) @ base
        density = draws * below[:, None] ** (draws - 1) * np.where(points[:, None] <= weights, base / weights, 0.0)
        law += (end - start) / 2.0 * (shares @ density)
    return law


def law_of_largest(base: FloatArray, weights: FloatArray, draws: int) -> FloatArray:
    """Law of the response of largest weight among `draws` of the base policy; weights differ."""
    upto = np.array([float(base[weights <= weight].sum()) for weight in weights])
    return upto**draws - (upto - base) ** draws


def on_races(law: Callable[[FloatArray, FloatArray, int], FloatArray]) -> Callable[..., float]:
    """Effect of a wrong law of the winner, of base policy, weights and number of draws."""

    def effect(problem: TabularProblem, failure: float) -> float:
        base, weights, multiplier = table(problem)
        coverage = multiplier / 4.0
        draws = race_samples(race_multiplier(coverage, failure), failure)
        return distance(law(base, weights, draws), problem) - race_total_variation(coverage, draws)

    return effect


EFFECTS_ON_RACES: Mapping[str, Callable[..., float]] = {
    "race-product": on_races(law_of_products),
    "race-smallest": on_races(lambda base, weights, draws: law_of_products(base, 1.0 / weights, draws)),
    "race-one-uniform": on_races(law_of_largest),
}
"""By mutant, of an instance of the property about a race's target."""


def law_of_shared_uniform(base: FloatArray, weights: FloatArray, threshold: float) -> FloatArray:
    """Law of A1 where all trials of a call are compared with one uniform number, up to the number of trials.

    The first response that it accepts is returned, of which each has its base probability.
    """
    acceptance = np.minimum(1.0, weights / threshold)
    law = (1.0 - acceptance.max()) * base
    for low, high in pairwise([0.0, *np.unique(acceptance)]):
        accepted = np.where(acceptance >= high, base, 0.0)
        law = law + (high - low) * accepted / accepted.sum()
    return law


def sampler_laws(problem: TabularProblem, multiplier: float, failure: float) -> dict[str, FloatArray]:
    """Laws of wrong versions of A1, by what would be wrong."""
    base, weights, _ = table(problem)
    mean, trials = float(base @ weights), sampler_trials(multiplier, failure)
    return {
        "responses came from the base policy": base,
        "scores had the other sign": tilted(base, 1.0 / weights),
        "weights were squared": tilted(base, weights**2),
        "scores were not divided by beta": tilted(base, weights**problem.beta),
        "the threshold were the mean weight, without M": law_at(base, weights, mean, trials),
        "the threshold were M, without the mean weight": law_at(base, weights, multiplier, trials),
        "the threshold had the geometric mean of the weights": law_at(
            base, weights, multiplier * geometric_mean_of(base, weights), trials
        ),
        "all trials of a call shared one uniform number": law_of_shared_uniform(base, weights, multiplier * mean),
    }


def race_laws(problem: TabularProblem, multiplier: float, failure: float) -> dict[str, FloatArray]:
    """Laws of wrong versions of A1r, by what would be wrong."""
    base, weights, _ = table(problem)
    draws = race_samples(multiplier, failure)
    return {
        "weights were multiplied by the uniform numbers": law_of_products(base, weights, draws),
        "the smallest key won": law_of_products(base, 1.0 / weights, draws),
        "all draws of a race shared one uniform number": law_of_largest(base, weights, draws),
        "responses came from the base policy": base,
        "scores were not divided by beta": tilted(base, weights**problem.beta),
    }


MISTAKES: Mapping[str, Callable[[TabularProblem, float, float], Mapping[str, FloatArray]]] = {
    "softmax_sample": sampler_laws,
    "softmax_sample_density": sampler_laws,
    "race_sample": race_laws,
}
"""By sampler."""
