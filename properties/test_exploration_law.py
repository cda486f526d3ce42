"""The law of what exploration draws (R3): the two responses of a round, given its fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import reject
from hypothesis import strategies as st

from spanver.evidence import log_e_chances, log_e_violated_chances, min_samples_chances
from spanver.evidence.e_values import log_mean
from spanver.guarantees.rounding import undecided_scores
from spanver.guarantees.sampler import sampler_multiplier, sampler_trials
from spanver.kernels import log_softmax, uncertain_mask
from spanver.learners.spanner_sampling import Settings
from spanver.policies import TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import POWER, Experiment, Seen
from spanver.verification.search import experiments
from spanver.verification.transcript import Round

from .drawn import table_of
from .explored import SAMPLED, explore_often, rewarded_pair, second_of
from .sampler_mistakes import law_at

DELTA = 0.01  # a call is within delta of pi_f where M is at least 4 C
ROUNDS = 16

Event: TypeAlias = tuple[int, float]
"""Whether it occurred, and its chance."""


def multiplier_of(problem: TabularProblem) -> float:
    """Return `4 C` for the largest coverage that a truncated policy of the problem can have, by two bounds.

    A law has coverage of at most `1/p` for the least probability `p` of the base policy. Scores, relative to any
    response and truncated, differ by at most `B` times the largest distance of two responses, so that the coverage is
    at most the exponential of that over `beta`. A larger multiplier only costs samples.
    """
    log_least = float(problem.log_base[problem.log_base > -np.inf].min())
    farthest = max(float(np.linalg.norm(each[:, None] - each, axis=2).max()) for each in problem.features)
    return sampler_multiplier(math.exp(min(-log_least, problem.radius * farthest / problem.beta)))


def settings_of(problem: TabularProblem, nu: float, ridge: float, pairs: int) -> Settings:
    return Settings(
        prompts=1,
        pairs_per_prompt=pairs,
        nu=nu,
        ridge=ridge,
        exploration_rounds=ROUNDS,
        rejection_multiplier=multiplier_of(problem),
        rejection_failure=DELTA,
    )


RIDGE, PAIRS = 0.02, 8
TWO = table_of([0.75, 0.25], [1.0, 20.0])
# Once their pair is in the spanner, as it is in nearly all runs, its norm is 3 % above nu.
PAIR_NORM = 2.0 / math.sqrt(RIDGE + 4.0)
UNCOVERED = {"problem": TWO, "nu": PAIR_NORM / 1.03, "ridge": RIDGE, "pairs": PAIRS}
# The spanner stays empty and covers all, the largest difference by 3 %. The first fit is zero and knows no reward; once
# another round had two different responses the fit is exact. The mean weight then differs by a factor of 10^6 with the
# second response.
THREE = table_of([0.6, 0.27, 0.13], [1.0, 1e3, 1e6])
COVERED = {"problem": THREE, "nu": 2.0 / 0.97, "ridge": 1.0, "pairs": PAIRS}


MISTAKES = (
    "the sampler did not prefer enough",
    "the sampler preferred the wrong responses",
    "uncovered responses kept their scores",
    "uncovered responses were not drawn",
)


def first_laws(
    base: FloatArray, log_base: FloatArray, plain: FloatArray, uncertain: Any, beta: float
) -> tuple[FloatArray, FloatArray]:
    """Laws of the first response of a round, a row for each second one: A2's, and those of `MISTAKES`.

    Parameters
    ----------
    base, log_base : array, shape (Y,)
    plain : array, shape (Y, Y)
        Scores of a first response, in columns, relative to the second one, in rows.
    uncertain : array of bool, shape (Y, Y)
    beta : float

    Returns
    -------
    array, shape (Y, Y)
    array, shape (4, Y, Y)
    """
    scores = np.where(uncertain, 0.0, plain)
    right, opposite, untruncated = np.exp(log_softmax(log_base, np.stack([scores, -scores, plain]), beta))
    covered = np.where(uncertain, 0.0, base)
    forbidden = covered / covered.sum(axis=1, keepdims=True)
    return right, np.stack([np.broadcast_to(base, plain.shape), opposite, untruncated, forbidden])


def unordered(base: FloatArray, first: FloatArray) -> FloatArray:
    """Laws of a pair, in the upper triangle, of laws of the first response, a row for each second one."""
    joint = base[:, None] * first
    both = np.triu(joint + joint.swapaxes(-1, -2))
    return np.asarray(both * (1.0 - 0.5 * np.eye(len(base))))


def effect_of(
    mistake: str | Callable[[FloatArray, FloatArray], FloatArray], instance: Mapping[str, Any]
) -> Callable[..., float]:
    """Effect on this designed instance, in the mean over its rounds.

    Parameters
    ----------
    mistake : str or callable
        One of `MISTAKES`; or the laws of the first response, a row for each second one, shape (Y, Y), given the
        base policy, shape (Y,), and its weights, shape (Y, Y).
    instance : mapping
        Where nothing is known yet, all is drawn from the base policy: in the uncovered one until a pair of two
        responses is in the spanner, in the covered one until a round had such a pair.
    """

    def effect(problem: TabularProblem, nu: float, **_: Any) -> float:
        if nu != instance["nu"]:
            return 0.0
        base, reward = np.exp(problem.log_base[0]), problem.reward[0]
        plain = reward - reward[:, None]
        uncertain = np.full(plain.shape, nu < PAIR_NORM) & ~np.eye(len(base), dtype=bool)
        right, wrong = first_laws(base, problem.log_base[0], plain, uncertain, problem.beta)
        weights = np.exp(plain / problem.beta)
        other = wrong[MISTAKES.index(mistake)] if isinstance(mistake, str) else mistake(base, weights)
        same = float(base @ base)
        unknown = same**PAIRS if nu < PAIR_NORM else float(np.mean(same ** np.arange(ROUNDS)))
        moved = float(np.abs(unordered(base, right) - unordered(base, other)).sum()) / 2.0
        return moved * (1.0 - unknown) - DELTA

    return effect


def longest_uncovered(base: FloatArray, weights: FloatArray) -> FloatArray:
    """Laws where the responses that are farthest apart are taken for uncovered."""
    far = np.maximum(weights, 1.0 / weights)
    laws = base * np.where(far > far.max() / 2.0, 1.0, weights)
    return laws / laws.sum(axis=1, keepdims=True)


def at_first_mean(base: FloatArray, weights: FloatArray) -> FloatArray:
    """Laws of A1 with the mean weight of the first round, whose fit is zero: it is 1."""
    multiplier = multiplier_of(THREE)
    trials = sampler_trials(multiplier, DELTA)
    return np.array([law_at(base, row, multiplier, trials) for row in weights])


UNTRUNCATED = effect_of("uncovered responses kept their scores", UNCOVERED)


@pytest.mark.guarantee("R3", needs=["spanner_sampling"])
@designed(
    [UNCOVERED, COVERED],
    {
        "exploration-untruncated": UNTRUNCATED,
        "exploration-untruncated-drawn": UNTRUNCATED,
        "exploration-wider": UNTRUNCATED,
        "exploration-uncovered-forbidden": effect_of("uncovered responses were not drawn", UNCOVERED),
        "exploration-narrower": effect_of(longest_uncovered, COVERED),
        "exploration-first-mean": effect_of(at_first_mean, COVERED),
        "exploration-base-response": effect_of("the sampler did not prefer enough", COVERED),
        "exploration-wrong-sign": effect_of("the sampler preferred the wrong responses", COVERED),
    },
)
@experiments(problem=SAMPLED, nu=st.sampled_from([1.0, 0.5]), ridge=st.just(1.0), pairs=st.integers(1, 4))
def test_exploration_draws_from_the_sampler_against_a_base_response(
    check: Check, problem: TabularProblem, nu: float, ridge: float, pairs: int
) -> Experiment:
    """The two responses of a round have the law of the sampler against the base policy, given the fit of the round.

    A learner that draws for itself does not show which of both is the second one; so they are judged as a pair.
    """
    settings = settings_of(problem, nu, ridge, pairs)
    judged: list[dict[str, Event]] = []

    @cache
    def uncertain_of(x: int, precision: bytes, threshold: float) -> Any:
        """Which pairs are uncertain, or None if rounding decides it; the same few spanners recur."""
        features, inverse = problem.features[x], np.frombuffer(precision).reshape(problem.dimension, -1)
        free = (undecided_scores(check.subject.unit, features, each, inverse, threshold) for each in features)
        return None if any(map(np.any, free)) else uncertain_mask(features, features, inverse, threshold)

    def observe(count: int, seed: int) -> Sequence[dict[str, Event]]:
        """Events of every round, by what they are about."""
        runs = explore_often(check, problem, settings, -(-count // ROUNDS), seed)
        seen = []
        for component, played in (each for run in runs for each in zip(run.components, run.rounds, strict=True)):
            uncertain = uncertain_of(int(played.prompt), component.precision.tobytes(), component.nu)
            seen.append(events_of(problem, settings.rejection_multiplier, component, played, uncertain))
        judged.extend(filter(None, seen))
        check.judgeable(bool(judged), "rounding decides what is covered, or parameters are far beyond the radius")
        if not judged:
            reject()
        return seen

    def log_e(seen: Sequence[dict[str, Event]]) -> float:
        # The mean of e-values is one: what goes right does not dilute the evidence against the rest.
        values = [log_e_chances(hits, chances, tolerated=DELTA) for hits, chances in collected(seen).values()]
        # A kind of event that did not occur yet has the e-value 1.
        return log_mean([*values, *[0.0] * (KINDS - len(values))])

    def log_e_violated(seen: Sequence[dict[str, Event]]) -> float:
        kinds = collected(seen).values()
        values = (log_e_violated_chances(hits, chances, DELTA + check.discrepancy) for hits, chances in kinds)
        return min(values, default=-math.inf)

    def words(seen: Sequence[dict[str, Event]]) -> Seen:
        found = {about: (np.mean(hits), np.mean(chances)) for about, (hits, chances) in collected(seen).items()}
        about, (often, chance) = max(found.items(), key=lambda each: abs(each[1][0] - each[1][1]))
        of = about if about == SECOND else f"pairs of an exploration round that would be rarer if {about}"
        return Seen(of, f"they came with frequency {often:.4g}", f"{chance:.4g}")

    samples = min_samples_chances(check.discrepancy, alpha=check.alpha / KINDS, power=POWER)
    return Experiment(observe, log_e, samples, words, log_e_violated)


SECOND = "rounds whose second response is the likeliest of the base policy"
KINDS = 1 + len(MISTAKES)


def events_of(
    problem: TabularProblem, multiplier: float, component: TruncatedSoftmax, played: Round, uncertain: Any
) -> dict[str, Event]:
    """Events of a round: pairs that are likelier than by each mistake, and the second response where it is known.

    None where the multiplier is too small for the promise, as it may be for parameters beyond the radius, or rounding
    decides whether a pair is covered (`uncertain` is None).
    """
    x, pair, second = int(played.prompt), rewarded_pair(played), second_of(played)
    if uncertain is None:
        return {}
    log_base, scores = problem.log_base[x], problem.features[x] @ component.theta
    base = np.exp(log_base)
    tilted, mistaken = first_laws(base, log_base, scores - scores[:, None], uncertain, problem.beta)
    if sampler_multiplier(max(1.0, float((tilted / base).max()))) > multiplier:
        return {}
    likely = int(np.argmax(base))
    events = {} if second is None else {SECOND: (int(second == likely), float(base[likely]))}
    right = unordered(base, tilted)
    for about, event in zip(MISTAKES, right > unordered(base, mistaken) * (1.0 + 1e-9), strict=True):
        chance = min(1.0, float(right[event].sum()))
        events[about] = int(event[min(pair), max(pair)]), chance
    return events


def collected(seen: Sequence[dict[str, Event]]) -> dict[str, tuple[list[int], list[float]]]:
    """Outcomes and chances of all events, by what they are about."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for events in seen:
        for about, (hit, chance) in events.items():
            hits, chances = found.setdefault(about, ([], []))
            hits.append(hit)
            chances.append(chance)
    return found
