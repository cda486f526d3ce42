"""Exact laws of what oracles answer, and how far the mistakes that their properties are designed to catch move them.

An effect is the total variation between the law of a property's outcomes and that with the mistake. Outcomes that an
oracle never has are of law 0, and count in full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from spanver.kernels import log_softmax, precision_norms
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing
from spanver.values import FloatArray, LinearScore, RejectionRule, UncertainPairRule

from .drawn import base_of

Law: TypeAlias = Callable[..., FloatArray]
"""Of an instance."""


def distance(law: FloatArray, other: FloatArray) -> float:
    """Total variation."""
    return float(np.abs(law - other).sum()) / 2.0


def moved(law: Law, wrong: Law) -> Callable[..., float]:
    """Effect of a mistake that makes one law of the other, both of an instance."""
    return lambda **instance: distance(law(**instance), wrong(**instance))


def stuck(law: Law) -> Callable[..., float]:
    """Effect, at least, of always answering the same."""
    return lambda **instance: 1.0 - float(law(**instance).max())


# Two draws of one law: the first, and whether the second is the same.
def two_draws(law: FloatArray) -> FloatArray:
    """Law of twice the index of the first draw, plus one if the second is the same, shape (2 Y,)."""
    both = np.stack([law * np.maximum(0.0, 1.0 - law), law**2], axis=1).ravel()
    return np.asarray(both / both.sum())


def law_of_draws(problem: TabularProblem) -> FloatArray:
    """Law of two draws of the base policy."""
    return two_draws(base_of(problem))


def equal_chances(problem: TabularProblem) -> FloatArray:
    """All responses are drawn equally often."""
    held = base_of(problem) > 0.0
    return two_draws(held / held.sum())


def in_turn(problem: TabularProblem) -> FloatArray:
    """Responses come in turn, and no two that follow each other are the same."""
    held = base_of(problem) > 0.0
    return np.stack([held / held.sum(), 0.0 * held], axis=1).ravel()


def repeated(problem: TabularProblem) -> FloatArray:
    """The second draw is the first again."""
    return np.stack([0.0 * base_of(problem), base_of(problem)], axis=1).ravel()


def strong_law(problem: TabularProblem, strength: float = 1.0) -> FloatArray:
    """Law of two strong samples, if scores count so many times too much."""
    scores = problem.features[0] @ realizing(problem) * strength
    return two_draws(np.exp(log_softmax(problem.log_base[0], scores, problem.beta)))


# Many draws, counted.
def unordered(size: int) -> list[tuple[int, int]]:
    """Outcomes of two draws that are counted."""
    return [(one, two) for one in range(size) for two in range(one, size)]


def law_of_counts(problem: TabularProblem) -> FloatArray:
    """Law of two draws that are counted, in the order of `unordered`."""
    base = base_of(problem)
    return np.array([base[one] * base[two] * (1 if one == two else 2) for one, two in unordered(len(base))])


def expected_counts(problem: TabularProblem) -> FloatArray:
    """Two draws have the counts that are expected; those left over by rounding go to the most probable responses."""
    base = base_of(problem)
    counts = np.floor(2 * base)
    counts[np.argsort(-base, kind="stable")[: 2 - int(counts.sum())]] += 1
    one, two = np.repeat(np.arange(len(base)), counts.astype(int))
    return np.array([float(pair == (int(one), int(two))) for pair in unordered(len(base))])


# Searches: what hit at the first try, what hit later, and that nothing did.
def search_law(masses: FloatArray, limit: int, *, hit: float | None = None) -> FloatArray:
    """Law of a search whose tries hit with these masses: shape (2 k + 1,), at the first try, later, never.

    With `hit`, a try hits with this probability, and masses say only in what proportion.
    """
    hit = min(1.0, float(masses.sum()) if hit is None else hit)
    shares = masses / max(masses.sum(), 1e-300)
    missed = (1.0 - hit) ** limit
    return np.concatenate([hit * shares, max(0.0, 1.0 - hit - missed) * shares, [missed]])


def anytime(law: FloatArray) -> FloatArray:
    """Law of what hit, whenever it did, and of nothing, shape (k + 1,)."""
    at_once, later = law[:-1].reshape(2, -1)
    return np.append(at_once + later, law[-1])


def uncertain(problem: TabularProblem) -> tuple[UncertainPairRule, FloatArray]:
    """Rule for pairs, and 1 for ordered pairs that it accepts, shape (Y, Y)."""
    rule = UncertainPairRule(np.eye(problem.dimension) / 0.7, 0.3)
    norms = np.asarray(precision_norms(differences(problem), rule.precision))
    return rule, (norms > rule.nu).astype(np.float64)


def differences(problem: TabularProblem) -> FloatArray:
    """Relative features at the first prompt, shape (Y, Y, d)."""
    features = problem.features[0]
    return np.asarray(features[:, None, :] - features[None, :, :])


def uncertain_masses(problem: TabularProblem) -> FloatArray:
    """Probabilities of ordered pairs that are accepted, shape (Y, Y)."""
    return np.outer(base_of(problem), base_of(problem)) * uncertain(problem)[1]


def law_of_pairs(problem: TabularProblem, limit: int) -> FloatArray:
    """Law of a search for pairs, by the pair, shape (2 Y^2 + 1,)."""
    return search_law(uncertain_masses(problem).ravel(), limit)


def half_reused(problem: TabularProblem, limit: int) -> FloatArray:
    """The second response of a try is the first of the next."""
    base, hits = base_of(problem), uncertain(problem)[1]
    before, found = base, []
    for _ in range(limit):
        tried = np.outer(before, base)
        found.append((tried * hits).ravel())
        before = (tried * (1.0 - hits)).sum(axis=0)
    return np.concatenate([found[0], np.sum(found[1:], axis=0), [before.sum()]])


def each_pair_once(problem: TabularProblem, limit: int) -> FloatArray:
    """Pairs are counted in one order alone."""
    return search_law(np.triu(uncertain_masses(problem)).ravel(), limit)


def distinct_pairs(problem: TabularProblem, limit: int) -> FloatArray:
    """The two responses of a try are drawn without replacement."""
    base, masses = base_of(problem), uncertain_masses(problem).ravel()
    return search_law(masses / (1.0 - float(base @ base)), limit)


def any_partner(problem: TabularProblem, limit: int) -> FloatArray:
    """The second response is drawn afresh."""
    return search_law(np.outer(uncertain_masses(problem).sum(axis=1), base_of(problem)).ravel(), limit)


def longest(problem: TabularProblem, limit: int) -> FloatArray:
    """What is found is the longest pair."""
    norms = precision_norms(differences(problem), uncertain(problem)[0].precision)
    chosen = np.arange(norms.size) == np.argmax(norms)
    return search_law(chosen.astype(np.float64), limit, hit=float(uncertain_masses(problem).sum()))


def always_within(law: Law) -> Law:
    """A search always finds something, at the last try if no earlier one hit."""

    def wrong(**instance: Any) -> FloatArray:
        right = law(**instance)
        shares = right[:-1].reshape(2, -1)
        later = (1.0 - shares[0].sum()) * shares[0] / shares[0].sum()
        return np.concatenate([shares[0], later, [0.0]])

    return wrong


def expected_tries(law: Law) -> Law:
    """The number of tries is its expectation, rounded."""

    def wrong(limit: int, **instance: Any) -> FloatArray:
        at_once = law(limit=limit, **instance)[:-1].reshape(2, -1)[0]
        hit, none = float(at_once.sum()), 0.0 * at_once
        if hit * (limit + 0.5) <= 1.0:
            return np.concatenate([none, none, [1.0]])
        shares = at_once / hit
        return np.concatenate([shares, none, [0.0]] if round(1.0 / hit) == 1 else [none, shares, [0.0]])

    return wrong


def one_try(law: Law) -> Law:
    """Whatever is found is said to be found at the first try."""

    def wrong(**instance: Any) -> FloatArray:
        found = anytime(law(**instance))
        return np.concatenate([found[:-1], 0.0 * found[:-1], found[-1:]])

    return wrong


def without_limit(law: Law) -> Callable[..., float]:
    """Effect of a search that goes on beyond its limit: tries that cannot be."""
    return lambda **instance: float(law(**instance)[-1])


def by_first(law: Law) -> Law:
    """Law of a search for pairs, by the first response, shape (2 Y + 1,)."""

    def summed(problem: TabularProblem, **others: Any) -> FloatArray:
        pairs, size = law(problem=problem, **others), problem.responses
        return np.append(pairs[:-1].reshape(2, size, size).sum(axis=2).ravel(), pairs[-1])

    return summed


def by_pair(law: Law) -> Law:
    """Law of a search for pairs, by the pair, whenever it was found, shape (Y^2 + 1,)."""
    return lambda **instance: anytime(law(**instance))


def trial_of(problem: TabularProblem, margin: float) -> tuple[RejectionRule, FloatArray]:
    """Rule for trials, and the logarithm of the factor by which it weighs each response, shape (Y,).

    The margin is what the threshold is above the weight of a middle response, in logs.
    """
    scores = problem.features[0] @ realizing(problem)
    rule = RejectionRule(LinearScore(realizing(problem)), float(np.median(scores)) / problem.beta + margin)
    return rule, np.asarray(scores / problem.beta - rule.log_threshold)


def acceptance_of(problem: TabularProblem, margin: float) -> FloatArray:
    """Probability with which each response is accepted, shape (Y,)."""
    return np.exp(np.minimum(0.0, trial_of(problem, margin)[1]))


def law_of_trials(problem: TabularProblem, limit: int, margin: float) -> FloatArray:
    """Law of a search by trials, by the response, shape (2 Y + 1,)."""
    return search_law(base_of(problem) * acceptance_of(problem, margin), limit)


def by_one_uniform(problem: TabularProblem, limit: int, margin: float) -> FloatArray:
    """Acceptance is decided by the number that drew the response."""
    base = base_of(problem)
    starts = np.cumsum(base) - base
    return search_law(np.clip(acceptance_of(problem, margin) - starts, 0.0, base), limit)


def not_capped(problem: TabularProblem, limit: int, margin: float) -> FloatArray:
    """Acceptance probabilities above 1 are added up as they are."""
    return search_law(base_of(problem) * np.exp(trial_of(problem, margin)[1]), limit)


def accepted_as_base(problem: TabularProblem, limit: int, margin: float) -> FloatArray:
    """What is accepted has the law of the base policy."""
    base = base_of(problem)
    return search_law(base, limit, hit=float(base @ acceptance_of(problem, margin)))


# Whole phases: accepted pairs, and tries.
def law_of_phases(
    problem: TabularProblem, nu: float, ridge: float, *, stale: bool = False
) -> dict[tuple[int, int], float]:
    """Law of (pairs accepted, tries) in two rounds of phase 1 with two pairs each, perhaps under the first `Sigma`."""
    base, vectors = base_of(problem), differences(problem)
    law: dict[tuple[int, int], float] = {}

    def add(sigma: FloatArray, probability: float, rounds: int, accepted: int, tries: int) -> None:
        if rounds == 0:
            law[accepted, tries] = law.get((accepted, tries), 0.0) + probability
            return
        masses = np.outer(base, base) * (np.asarray(precision_norms(vectors, np.linalg.inv(sigma))) > nu)
        hit = min(1.0, float(masses.sum()))
        add(sigma, probability * (1 - hit) ** 2, rounds - 1, accepted, tries + 2)
        for one, two in np.argwhere(masses > 0):
            grown = sigma if stale else sigma + np.outer(vectors[one, two], vectors[one, two])
            for more in (1, 2):
                chance = probability * masses[one, two] * (1 - hit) ** (more - 1)
                add(grown, chance, rounds - 1, accepted + 1, tries + more)

    add(ridge * np.eye(problem.dimension), 1.0, 2, 0, 0)
    return law


def stale_phases(problem: TabularProblem, nu: float, ridge: float) -> float:
    """Effect of a search under the rule of the first round."""
    right, wrong = law_of_phases(problem, nu, ridge), law_of_phases(problem, nu, ridge, stale=True)
    return sum(abs(right.get(each, 0.0) - wrong.get(each, 0.0)) for each in {*right, *wrong}) / 2.0


# A prompt, a response to it, and the next prompt.
def law_of_prompt_response_prompt(problem: TabularProblem) -> FloatArray:
    """Law of a prompt, a base response to it and the next prompt, which are independent, shape (X, Y, X) and flat."""
    both = problem.prompt_law[:, None] * np.exp(problem.log_base)
    return np.multiply.outer(both, problem.prompt_law).ravel()


def one_uniform(drawing: str) -> Callable[..., float]:
    """Effect where this query draws a response with the number that drew the prompt."""

    def effect(problem: TabularProblem, query: str) -> float:
        if query != drawing:
            return 0.0
        base = np.exp(problem.log_base)
        prompts, responses = np.cumsum(problem.prompt_law), np.cumsum(base, axis=1)
        starts = np.maximum((prompts - problem.prompt_law)[:, None], responses - base)
        both = np.maximum(0.0, np.minimum(prompts[:, None], responses) - starts)
        return distance(np.multiply.outer(both, problem.prompt_law).ravel(), law_of_prompt_response_prompt(problem))

    return effect


def prompts_twice(problem: TabularProblem, **_: Any) -> float:
    """Effect of issuing every prompt twice."""
    return 1.0 - float(problem.prompt_law @ problem.prompt_law)


def prompts_in_turn(problem: TabularProblem, **_: Any) -> float:
    """Effect, at least, of issuing two prompts in turn: the first of two is always the same."""
    return 1.0 - float(problem.prompt_law.max()) ** 2


def uniform_prompts(problem: TabularProblem) -> float:
    """Effect of issuing all prompts equally often."""
    held = problem.prompt_law > 0.0
    return distance(problem.prompt_law, held / held.sum())


# Rewards and labels.
def shares_of(problem: TabularProblem) -> FloatArray:
    """Probabilities of the upper end of the interval at the first prompt, where all is noise, shape (Y,)."""
    return np.asarray((problem.reward[0] - problem.reward_low[0]) / problem.reward_range)


def law_of_rewards(problem: TabularProblem, shares: FloatArray | None = None) -> FloatArray:
    """Law of the ends that the rewards of both responses, and of the first one again, are at, shape (8,)."""
    one, two = shares_of(problem) if shares is None else shares
    return product([one, two, one])


def product(shares: Sequence[float]) -> FloatArray:
    """Law of independent bits, the first one highest."""
    law = np.ones(1)
    for each in shares:
        law = np.outer(law, [1.0 - each, each]).ravel()
    return law


def same_noise(problem: TabularProblem) -> FloatArray:
    """One number decides the noise of all three."""
    one, two = shares_of(problem)
    law = np.zeros(8)
    for low, high in ((0.0, min(one, two)), (min(one, two), max(one, two)), (max(one, two), 1.0)):
        law[5 * (low < one) + 2 * (low < two)] += high - low
    return law


def law_of_labels(problem: TabularProblem, preferred: float | None = None) -> FloatArray:
    """Law of a label of the first response over the second, another, and one the other way round, shape (8,)."""
    share = expit(float(problem.reward[0, 0] - problem.reward[0, 1])) if preferred is None else preferred
    return product([share, share, 1.0 - share])


def expit(value: float) -> float:
    """Logistic function."""
    return 1.0 / (1.0 + math.exp(-value))


def sure_label(problem: TabularProblem) -> FloatArray:
    """The response of larger mean reward is labelled; neither where means are equal."""
    one, two = problem.reward[0]
    return product([float(one > two)] * 2 + [float(two > one)])


def noisy_label(problem: TabularProblem) -> FloatArray:
    """The response of larger noisy reward is labelled; neither where rewards are equal."""
    one, two = shares_of(problem)
    return product([one * (1.0 - two)] * 2 + [two * (1.0 - one)])


def other_label(problem: TabularProblem) -> FloatArray:
    """The response that is worse is labelled."""
    return law_of_labels(problem, expit(float(problem.reward[0, 1] - problem.reward[0, 0])))
