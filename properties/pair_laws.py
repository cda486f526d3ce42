"""The law of the two responses of an exploration round (R3), and an experiment on events of many rounds.

A learner that draws for itself does not show which of both responses is the second one; so they are judged as a pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from hypothesis import reject

from spanver.evidence import log_e_chances, log_e_violated_chances, min_samples_chances
from spanver.evidence.e_values import log_mean
from spanver.guarantees.rounding import undecided_scores
from spanver.guarantees.sampler import sampler_multiplier
from spanver.kernels import log_softmax, uncertain_mask
from spanver.learners.spanner_sampling import Settings
from spanver.policies import TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.experiment import POWER, Experiment, Seen
from spanver.verification.transcript import Round

from .explored import explore_often, rewarded_pair, second_of

DELTA = 0.01  # a call is within delta of pi_f where M is at least 4 C
ROUNDS = 16
RUNS = 16  # that are looked at first: they query their oracles together

Event: TypeAlias = tuple[int, float, float]
"""Whether it occurred, its chance given the rounds before, and its chance if it is what a mistake would change."""


@dataclass(frozen=True, eq=False)
class JudgedRound:
    """A round, and the law of its two responses.

    Attributes
    ----------
    prompt : int
    pair : (int, int)
        Responses in ascending order.
    second : int or None
        The second response, where it is drawn and the record shows which of both it is.
    log_base : array, shape (Y,)
    seconds : array, shape (Y,)
        Law of the second response.
    beta : float
    plain : array, shape (Y, Y)
        Scores of a first response, in columns, relative to the second one, in rows, before they are truncated.
    uncertain : array of bool, shape (Y, Y)
    first : array, shape (Y, Y)
        Laws of the first response, a row for each second one.
    law : array, shape (Y, Y)
        Law of the pair, in the upper triangle.
    """

    prompt: int
    pair: tuple[int, int]
    second: int | None
    log_base: FloatArray
    seconds: FloatArray
    beta: float
    plain: FloatArray
    uncertain: Any
    first: FloatArray
    law: FloatArray

    def rarer_by(self, mistaken: FloatArray) -> Event | None:
        """That the pair is one that is rarer by this law, shape (Y, Y); None where there is no such pair."""
        pairs = self.law > mistaken * (1.0 + 1e-9)
        return self.event(pairs, float(mistaken[pairs].sum())) if pairs.any() else None

    def event(self, pairs: Any, mistaken: float = math.nan) -> Event:
        """That the pair is among these, given by a mask of shape (Y, Y)."""
        return int(pairs[self.pair]), min(1.0, float(self.law[pairs].sum())), mistaken


Events: TypeAlias = Callable[[Sequence[JudgedRound | None]], Sequence[Mapping[str, Event]]]
"""Of the rounds of one run, None where one is not judged: the events of each, by what they are about."""


def multiplier_of(problem: TabularProblem) -> float:
    """Return `4 C` for the largest coverage that a truncated policy of the problem can have, by two bounds.

    A law has coverage of at most `1/p` for the least probability `p` of the base policy. Scores, relative to any
    response and truncated, differ by at most `B` times the largest distance of two responses, so that the coverage is
    at most the exponential of that over `beta`. A larger multiplier only costs samples.
    """
    log_least = float(problem.log_base[problem.log_base > -np.inf].min())
    farthest = max(float(np.linalg.norm(each[:, None] - each, axis=2).max()) for each in problem.features)
    return sampler_multiplier(math.exp(min(-log_least, problem.radius * farthest / problem.beta)))


def one_pair_settings(problem: TabularProblem, nu: float, ridge: float, pairs: int) -> Settings:
    """Settings of runs with a spanner of at most one pair, in which a call is within `DELTA` of its target."""
    return Settings(
        prompts=1,
        pairs_per_prompt=pairs,
        nu=nu,
        ridge=ridge,
        exploration_rounds=ROUNDS,
        rejection_multiplier=multiplier_of(problem),
        rejection_failure=DELTA,
    )


def first_laws(log_base: FloatArray, plain: FloatArray, uncertain: Any, beta: float) -> FloatArray:
    """Laws of the first response by A2, a row for each second one, given its scores before they are truncated."""
    return np.exp(log_softmax(log_base, np.where(uncertain, 0.0, plain), beta))


def unordered(seconds: FloatArray, first: FloatArray) -> FloatArray:
    """Laws of a pair, in the upper triangle, of laws of the first response, a row for each second one."""
    joint = seconds[:, None] * first
    both = np.triu(joint + joint.swapaxes(-1, -2))
    return np.asarray(both * (1.0 - 0.5 * np.eye(len(seconds))))


def distance(seconds: FloatArray, one: FloatArray, other: FloatArray) -> float:
    """Total variation of the laws of a pair, given two laws of the first response."""
    return float(np.abs(unordered(seconds, one) - unordered(seconds, other)).sum()) / 2.0


def judged_round(
    problem: TabularProblem, settings: Settings, component: TruncatedSoftmax, played: Round, uncertain: Any
) -> JudgedRound | None:
    """Return the law of a round, given its fit.

    None where the multiplier is too small for the promise, as it may be for parameters beyond the radius, or rounding
    decides whether a pair is covered (`uncertain` is None).
    """
    x, pair = int(played.prompt), rewarded_pair(played)
    if uncertain is None:
        return None
    log_base, scores = problem.log_base[x], problem.features[x] @ component.theta
    base, plain, is_drawn = np.exp(log_base), scores - scores[:, None], settings.anchor == "drawn"
    seconds = base if is_drawn else np.eye(len(base))[problem.anchors[x]]
    first = first_laws(log_base, plain, uncertain, problem.beta)
    if sampler_multiplier(max(1.0, float((first / base).max()))) > settings.rejection_multiplier:
        return None
    return JudgedRound(
        prompt=x,
        pair=(min(pair), max(pair)),
        second=second_of(played) if is_drawn else None,
        log_base=log_base,
        seconds=seconds,
        beta=problem.beta,
        plain=plain,
        uncertain=uncertain,
        first=first,
        law=unordered(seconds, first),
    )


def rounds_experiment(
    check: Check, problem: TabularProblem, settings: Settings, events: Events, kinds: int
) -> Experiment:
    """Experiment: given the rounds before, events of exploration rounds have their chances, up to `DELTA`.

    Parameters
    ----------
    check : Check
    problem : TabularProblem
    settings : Settings
        With `ROUNDS` exploration rounds.
    events : callable
        Of the rounds of a run.
    kinds : int
        How many different events there may be.
    """
    judgeable = False

    @cache
    def uncertain_of(x: int, precision: bytes, threshold: float) -> Any:
        """Which pairs are uncertain, or None if rounding decides it; the same few spanners recur."""
        features, inverse = problem.features[x], np.frombuffer(precision).reshape(problem.dimension, -1)
        free = (undecided_scores(check.subject.unit, features, each, inverse, threshold) for each in features)
        return None if any(map(np.any, free)) else uncertain_mask(features, features, inverse, threshold)

    def observe(count: int, seed: int) -> Sequence[Mapping[str, Event]]:
        """Events of every round."""
        nonlocal judgeable
        seen: list[Mapping[str, Event]] = []
        for run in explore_often(check, problem, settings, -(-count // ROUNDS), seed):
            rounds = []
            for component, played in zip(run.components, run.rounds, strict=True):
                uncertain = uncertain_of(int(played.prompt), component.precision.tobytes(), component.nu)
                rounds.append(judged_round(problem, settings, component, played, uncertain))
            seen.extend(events(rounds))
        judgeable = judgeable or any(seen)
        check.judgeable(judgeable, "rounding decides what is covered, or parameters are far beyond the radius")
        if not judgeable:
            reject()
        return seen

    def log_e(seen: Sequence[Mapping[str, Event]]) -> float:
        # The mean of e-values is one: what goes right does not dilute the evidence against the rest.
        values = [log_e_chances(hits, chances, tolerated=DELTA) for hits, chances, _ in collected(seen).values()]
        # A kind of event that did not occur yet has the e-value 1.
        return log_mean([*values, *[0.0] * (kinds - len(values))])

    def log_e_violated(seen: Sequence[Mapping[str, Event]]) -> float:
        # Of an event that few rounds have, a shift by the discrepancy moves the pairs by less than half of it.
        usual = [each for each in collected(seen).values() if 2 * each.shape[1] >= len(seen)]
        values = (log_e_violated_chances(hits, chances, DELTA + check.discrepancy) for hits, chances, _ in usual)
        return min(values, default=-math.inf)

    samples = min_samples_chances(check.discrepancy, alpha=check.alpha / kinds, power=POWER)
    return Experiment(observe, log_e, samples, told, log_e_violated, first=ROUNDS * RUNS)


def collected(seen: Sequence[Mapping[str, Event]]) -> dict[str, FloatArray]:
    """Events by what they are about, shape (3, n): outcomes, chances, and chances by the mistake."""
    found: dict[str, list[Event]] = {}
    for events in seen:
        for about, event in events.items():
            found.setdefault(about, []).append(event)
    return {about: np.array(events).T for about, events in found.items()}


def told(seen: Sequence[Mapping[str, Event]]) -> Seen:
    """Of the events that carry the evidence, the one whose mistake explains best how often it came."""
    found = collected(seen)
    evidence = {about: log_e_chances(hits, chances, tolerated=DELTA) for about, (hits, chances, _) in found.items()}
    strong = [about for about in found if evidence[about] >= max(evidence.values()) - math.log(len(found))]
    means = {about: found[about].mean(axis=1).tolist() for about in strong}

    def unexplained(about: str) -> float:
        often, chance, mistaken = means[about]
        return abs(often - (chance if math.isnan(mistaken) else mistaken))

    about = min(strong, key=unexplained)
    often, chance, mistaken = means[about]
    of = about if math.isnan(mistaken) else f"{about} (then {mistaken:.4g})"
    return Seen(of, f"they came with frequency {often:.4g}", f"{chance:.4g}")
