"""The law of what exploration draws (R3): the two responses of a round, given its fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import logsumexp

from spanver.evidence import log_e_chances, log_e_violated_chances, min_samples_chances
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

MULTIPLIER, DELTA = 32.0, 0.01  # a call is within delta of pi_f where M is at least 4 C
ROUNDS = 16

Event: TypeAlias = tuple[int, float]
"""Whether it occurred, and its chance."""


def settings_of(nu: float, ridge: float, pairs: int) -> Settings:
    return Settings(
        prompts=1,
        pairs_per_prompt=pairs,
        nu=nu,
        ridge=ridge,
        exploration_rounds=ROUNDS,
        rejection_multiplier=MULTIPLIER,
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


def pair_laws(
    base: FloatArray, log_base: FloatArray, plain: FloatArray, uncertain: Any, beta: float
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Laws of the two responses of a round, whichever of them is the first, shape (Y, Y): A2's, and those of mistakes.

    Parameters
    ----------
    base, log_base : array, shape (Y,)
    plain : array, shape (Y, Y)
        Scores of a first response, in columns, relative to the second one, in rows.
    uncertain : array of bool, shape (Y, Y)
    beta : float
    """

    def law_of(scores: FloatArray) -> FloatArray:
        return np.exp(log_softmax(log_base, scores, beta))

    covered = np.where(uncertain, 0.0, base)
    mistakes = {
        "the sampler did not prefer enough": np.tile(base, (len(base), 1)),
        "the sampler preferred the wrong responses": law_of(np.where(uncertain, 0.0, -plain)),
        "uncovered responses kept their scores": law_of(plain),
        "uncovered responses were not drawn": covered / covered.sum(axis=1, keepdims=True),
    }
    right = law_of(np.where(uncertain, 0.0, plain))
    return unordered(base, right), {words: unordered(base, law) for words, law in mistakes.items()}


def unordered(base: FloatArray, first: FloatArray) -> FloatArray:
    """Law of a pair, in the upper triangle, of laws of the first response, a row for each second one."""
    joint = base[:, None] * first
    return np.triu(joint + joint.T, 1) + np.diag(np.diag(joint))


def effect_of(
    mistake: str | Callable[[FloatArray, FloatArray], FloatArray], instance: Mapping[str, Any]
) -> Callable[..., float]:
    """Effect on this designed instance, in the mean over its rounds.

    Parameters
    ----------
    mistake : str or callable
        One of `pair_laws`; or the laws of the first response, a row for each second one, shape (Y, Y), given the
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
        right, mistakes = pair_laws(base, problem.log_base[0], plain, uncertain, problem.beta)
        weights = np.exp(plain / problem.beta)
        wrong = mistakes[mistake] if isinstance(mistake, str) else unordered(base, mistake(base, weights))
        same = float(base @ base)
        unknown = same**PAIRS if nu < PAIR_NORM else float(np.mean(same ** np.arange(ROUNDS)))
        return float(np.abs(right - wrong).sum()) / 2.0 * (1.0 - unknown) - DELTA

    return effect


def longest_uncovered(base: FloatArray, weights: FloatArray) -> FloatArray:
    """Laws where the responses that are farthest apart are taken for uncovered."""
    far = np.maximum(weights, 1.0 / weights)
    laws = base * np.where(far > far.max() / 2.0, 1.0, weights)
    return laws / laws.sum(axis=1, keepdims=True)


def at_first_mean(base: FloatArray, weights: FloatArray) -> FloatArray:
    """Laws of A1 with the mean weight of the first round, whose fit is zero: it is 1."""
    trials = sampler_trials(MULTIPLIER, DELTA)
    return np.array([law_at(base, row, MULTIPLIER, trials) for row in weights])


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
    settings = settings_of(nu, ridge, pairs)

    def observe(count: int, seed: int) -> Sequence[dict[str, Event]]:
        """Events of every round, by what they are about."""
        runs = explore_often(check, problem, settings, -(-count // ROUNDS), seed)
        rounds = (each for run in runs for each in zip(run.components, run.rounds, strict=True))
        return [events_of(check, problem, *each) for each in rounds]

    def log_e(seen: Sequence[dict[str, Event]]) -> float:
        # The mean of e-values is one: what goes right does not dilute the evidence against the rest.
        values = [log_e_chances(hits, chances, tolerated=DELTA) for hits, chances in collected(seen).values()]
        # A kind of event that did not occur yet has the e-value 1.
        return float(logsumexp([*values, *[0.0] * (KINDS - len(values))])) - math.log(KINDS)

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
KINDS = 5


def events_of(check: Check, problem: TabularProblem, component: TruncatedSoftmax, played: Round) -> dict[str, Event]:
    """Events of a round: pairs that are likelier than by each mistake, and the second response where it is known.

    None where the multiplier is too small for the promise, or rounding decides whether a pair is covered.
    """
    x, pair, second = int(played.prompt), rewarded_pair(played), second_of(played)
    base, features, unit = np.exp(problem.log_base[x]), problem.features[x], check.subject.unit
    free = [undecided_scores(unit, features, each, component.precision, component.nu) for each in features]
    uncertain = uncertain_mask(features, features, component.precision, component.nu)
    scores = features @ component.theta
    plain = scores - scores[:, None]
    tilted = np.exp(log_softmax(problem.log_base[x], np.where(uncertain, 0.0, plain), problem.beta))
    if np.any(free) or sampler_multiplier(max(1.0, float((tilted / base).max()))) > MULTIPLIER:
        return {}
    likely = int(np.argmax(base))
    events = {} if second is None else {SECOND: (int(second == likely), float(base[likely]))}
    right, mistakes = pair_laws(base, problem.log_base[x], plain, uncertain, problem.beta)
    for about, law in mistakes.items():
        event = right > law * (1.0 + 1e-9)
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
