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
from spanver.guarantees.sampler import sampler_multiplier
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
# Once their pair is in the spanner, as it is in nearly all runs, its norm is 3 % above nu, or below.
PAIR_NORM = 2.0 / math.sqrt(RIDGE + 4.0)
UNCOVERED = {"problem": TWO, "nu": PAIR_NORM / 1.03, "ridge": RIDGE, "pairs": PAIRS}
COVERED = {"problem": TWO, "nu": PAIR_NORM / 0.97, "ridge": RIDGE, "pairs": PAIRS}


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

    def unordered(first: FloatArray) -> FloatArray:
        joint = base[:, None] * first
        return np.triu(joint + joint.T, 1) + np.diag(np.diag(joint))

    covered = np.where(uncertain, 0.0, base)
    mistakes = {
        "the sampler does not prefer enough": np.tile(base, (len(base), 1)),
        "the sampler prefers the wrong responses": law_of(np.where(uncertain, 0.0, -plain)),
        "uncovered responses keep their scores": law_of(plain),
        "uncovered responses are not drawn": covered / covered.sum(axis=1, keepdims=True),
    }
    right = law_of(np.where(uncertain, 0.0, plain))
    return unordered(right), {words: unordered(law) for words, law in mistakes.items()}


def effect_of(mistake: str, designed_instance: Mapping[str, Any]) -> Callable[..., float]:
    """Effect on this designed instance, where a pair is in the spanner and later data show the reward."""

    def effect(problem: TabularProblem, nu: float, **_: Any) -> float:
        if nu != designed_instance["nu"]:
            return 0.0
        base, reward = np.exp(problem.log_base[0]), problem.reward[0]
        uncertain = np.full((len(base), len(base)), nu < PAIR_NORM) & ~np.eye(len(base), dtype=bool)
        right, mistakes = pair_laws(base, problem.log_base[0], reward - reward[:, None], uncertain, problem.beta)
        same = float(base @ base)  # without a pair of two responses nothing is known and all is drawn from the base
        return float(np.abs(right - mistakes[mistake]).sum()) / 2.0 * (1.0 - same**PAIRS) - DELTA

    return effect


UNTRUNCATED = effect_of("uncovered responses keep their scores", UNCOVERED)


@pytest.mark.guarantee("R3", needs=["spanner_sampling"])
@designed(
    [UNCOVERED, COVERED],
    {
        "exploration-untruncated": UNTRUNCATED,
        "exploration-untruncated-drawn": UNTRUNCATED,
        "exploration-wider": UNTRUNCATED,
        "exploration-uncovered-forbidden": effect_of("uncovered responses are not drawn", UNCOVERED),
        "exploration-narrower": effect_of("the sampler does not prefer enough", COVERED),
        "exploration-base-response": effect_of("the sampler does not prefer enough", COVERED),
        "exploration-wrong-sign": effect_of("the sampler prefers the wrong responses", COVERED),
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
        of = about if about == SECOND else f"rounds whose two responses come less often where {about}"
        return Seen(of, f"frequency {often:.4g}", f"mean chance {chance:.4g}")

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
