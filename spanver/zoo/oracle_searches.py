"""Mutants of counted searches, in the number of tries and the try that a rule accepts: what O2 and O3 must kill.

Each is the reference's metered oracle in front of `Searching`, a search written anew: each step in which a mutant
differs is an argument. Unmutated it is as right as the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

from spanver.kernels import precision_norms
from spanver.oracle import Budget
from spanver.oracles.counted import CountedDraws
from spanver.oracles.metered import MeteredOracle, PromptStreams
from spanver.oracles.table import Table
from spanver.problems.tabular import TabularProblem
from spanver.values import Counts, FloatArray, Prompt, RejectionRule, Responses, Rule, SearchResult
from spanver.zoo.mutant import Mutant, mutants_of

Masses = Callable[[FloatArray, FloatArray], FloatArray]


def number_of_tries(probability: float, limit: int, generator: Generator) -> int | None:
    """Tries up to and including the first hit, or None if it is above the limit."""
    tries = int(generator.geometric(probability)) if probability > 0.0 else limit + 1
    return tries if tries <= limit else None


class Searching:
    """Counted draws that search over the table of all outcomes of a try.

    Parameters
    ----------
    problem : TabularProblem
    pairs, trials : callable
        From the masses of all tries that hit, shape (Y, Y) or (Y,), and the base policy: the masses that are used.
    cap : callable
        From log acceptance, not capped yet.
    tries : callable
        From the probability of a hit, the limit and a generator.
    key : callable
        Of what is stored from one search to the next; None stores nothing.
    """

    def __init__(
        self,
        problem: TabularProblem,
        *,
        pairs: Masses = lambda masses, _: masses,
        trials: Masses = lambda masses, _: masses,
        cap: Callable[[FloatArray], FloatArray] = lambda log_acceptance: np.minimum(log_acceptance, 0.0),
        tries: Callable[[float, int, Generator], int | None] = number_of_tries,
        key: Callable[[Prompt, Rule], Any] | None = None,
    ) -> None:
        self._counted, self._problem = CountedDraws(Table(problem)), problem
        self.largest_count = self._counted.largest_count
        self._pairs, self._trials, self._cap, self._tries, self._key = pairs, trials, cap, tries, key
        self._stored: dict[Any, FloatArray] = {}

    def draw_counts(self, prompt: Prompt, count: int, streams: PromptStreams) -> Counts:
        """Draw the counts of all responses at once."""
        return self._counted.draw_counts(prompt, count, streams)

    def draw_until(self, prompt: Prompt, rule: Rule, limit: int, streams: PromptStreams) -> SearchResult:
        """Draw the number of tries, and then the try."""
        masses = self._masses(prompt, rule)
        if self._key is not None:
            masses = self._stored.setdefault(self._key(prompt, rule), masses)
        total = float(masses.sum())
        tries = self._tries(min(1.0, total), limit, streams.aggregate)
        if tries is None:
            return SearchResult(None, limit)
        chosen = np.unravel_index(int(streams.aggregate.choice(masses.size, p=masses.ravel() / total)), masses.shape)
        return SearchResult(
            Responses(tuple(map(int, chosen)), self._problem.features[int(prompt)][list(chosen)]), tries
        )

    def _masses(self, prompt: Prompt, rule: Rule) -> FloatArray:
        features, base = self._problem.features[int(prompt)], np.exp(self._problem.log_base[int(prompt)])
        if isinstance(rule, RejectionRule):
            log_acceptance = rule.score.of(features) / self._problem.beta - rule.log_threshold
            return self._trials(base * np.exp(self._cap(log_acceptance)), base)
        norms = precision_norms(features[:, None, :] - features[None, :, :], rule.precision)
        return self._pairs(np.outer(base, base) * (np.asarray(norms) > rule.nu), base)


def searching_oracle(
    problem: TabularProblem, *, seed: int, budget: Budget | None = None, **parts: Any
) -> MeteredOracle:
    """Counted oracle with every step of a search in the open."""
    return MeteredOracle(Table(problem), Searching(problem, **parts), seed=seed, budget=budget)


def _rounded_down(probability: float, limit: int, generator: Generator) -> int | None:
    if not 0.0 < probability < 1.0:
        return number_of_tries(probability, limit, generator)
    tries = max(1, math.floor(math.log(1.0 - generator.random()) / math.log1p(-probability)))
    return tries if tries <= limit else None


def _without_limit(probability: float, limit: int, generator: Generator) -> int | None:
    return int(generator.geometric(probability)) if probability > 0.0 else None


def _expected_tries(probability: float, limit: int, generator: Generator) -> int | None:
    del generator
    return round(1.0 / probability) if probability * (limit + 0.5) > 1.0 else None


def _always_within(probability: float, limit: int, generator: Generator) -> int | None:
    tries = number_of_tries(probability, 2**62, generator)
    return None if tries is None else min(tries, limit)


def _uniform_partners(masses: FloatArray, _: FloatArray) -> FloatArray:
    hits = masses > 0.0
    return np.asarray(masses.sum(axis=1, keepdims=True) * hits / np.maximum(1, hits.sum(axis=1, keepdims=True)))


_searching = mutants_of("counted_oracle", "oracle", searching_oracle)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _searching("rounded-down", "rounds the geometric number of tries down", "O2", tries=_rounded_down),
    _searching("without-limit", "searches on beyond the limit", "O2 O3", tries=_without_limit),
    _searching("expected-tries", "returns the expectation of tries, rounded", "O2", tries=_expected_tries),
    _searching("always-within", "cuts the number of tries at the limit, and then finds", "O2", tries=_always_within),
    _searching("not-capped", "adds up acceptance probabilities above 1 as they are", "O2", cap=lambda given: given),
    _searching("each-pair-once", "counts pairs in one order alone", "O2", pairs=lambda masses, _: np.triu(masses)),
    _searching("distinct-pairs", "draws the two responses of a pair without replacement", "O2",
        pairs=lambda masses, base: masses / max(1e-300, 1.0 - float(base @ base))),
    _searching("uniform-partners", "draws the second response uniformly among those that make an uncertain pair", "O2",
        pairs=_uniform_partners),
    _searching("any-partner", "draws the second response afresh", "O2",
        pairs=lambda masses, base: np.outer(masses.sum(axis=1), base)),
    _searching("accepted-as-base", "draws what a trial accepts from the base policy", "O2",
        trials=lambda masses, base: masses.sum() * base),
    _searching("stale-masses", "reuses the masses of a prompt when the rule changes", "O2",
        key=lambda prompt, rule: (prompt, type(rule))),
)
"""Of `counted_oracle`."""
