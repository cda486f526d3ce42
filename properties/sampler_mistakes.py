"""Effects of the named mistakes of samplers: exact laws of wrong versions of A1, by arithmetic of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from spanver.guarantees.sampler import sampler_trials
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing
from spanver.values import FloatArray


def table(problem: TabularProblem) -> tuple[FloatArray, FloatArray, float]:
    """Base policy and weights, shape (Y,) each, and `4 C(pi_f)`."""
    base = np.exp(problem.log_base[0])
    weights = np.exp(problem.features[0] @ realizing(problem) / problem.beta)
    return base, weights, 4.0 * max(1.0, float(weights.max() / (base @ weights)))


def law_at(base: FloatArray, weights: FloatArray, threshold: float, trials: int) -> FloatArray:
    """Law of A1 where trials accept with probability `min(1, w/threshold)`."""
    acceptance = base * np.minimum(1.0, weights / threshold)
    hit = float(acceptance.sum())
    failed = (1.0 - hit) ** trials
    return (1.0 - failed) * acceptance / hit + failed * base


def distance(law: FloatArray, problem: TabularProblem) -> float:
    """Total variation to `pi_f`."""
    base, weights, _ = table(problem)
    target = base * weights / (base @ weights)
    return float(np.abs(law - target).sum()) / 2.0


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
        law = base * weights**exponent
        return distance(law / law.sum(), problem) - 2.0 * failure

    return effect


EFFECTS: Mapping[str, Callable[..., float]] = {
    "sampler-mean-of-distinct": mean_of_distinct,
    "sampler-stale-mean": stale_mean,
    "sampler-first-mean": first_mean,
    "sampler-wrong-sign": power(-1.0),
    "sampler-base-policy": power(0.0),
}
"""By mutant, of an instance of the property about the sampler's target."""
