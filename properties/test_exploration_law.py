"""The law of what exploration draws (R3): the two responses of a round, given its fit and the rounds before."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.guarantees.sampler import sampler_trials
from spanver.kernels import log_softmax
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment
from spanver.verification.search import experiments

from .designs import problem_of
from .drawn import table_of
from .explored import SAMPLED
from .pair_laws import (
    DELTA,
    ROUNDS,
    Event,
    JudgedRound,
    distance,
    first_laws,
    multiplier_of,
    one_pair_settings,
    rounds_experiment,
    unordered,
)
from .sampler_mistakes import law_at

RIDGE, PAIRS = 0.02, 8
TWO = table_of([0.75, 0.25], [1.0, 20.0])
# Once their pair is in the spanner, as it is in nearly all runs, its norm is 3 % above nu.
PAIR_NORM = 2.0 / math.sqrt(RIDGE + 4.0)
UNCOVERED = {"problem": TWO, "nu": PAIR_NORM / 1.03, "ridge": RIDGE, "pairs": PAIRS}
# The spanner stays empty and covers all, the largest difference by 3 %. The first fit is zero and knows no reward; once
# another round had two different responses the fit is exact. The mean weight then differs by a factor of 10^6 with the
# second response.
THREE = table_of([0.6, 0.22, 0.18], [1.0, 1e3, 1e6])
COVERED = {"problem": THREE, "nu": 2.0 / 0.97, "ridge": 1.0, "pairs": PAIRS}


MISTAKES = (
    "the sampler did not prefer enough",
    "the sampler preferred the wrong responses",
    "uncovered responses kept their scores",
    "uncovered responses were not drawn",
)


def mistaken_laws(log_base: FloatArray, plain: FloatArray, uncertain: Any, beta: float) -> FloatArray:
    """Laws of the first response of a round by each of `MISTAKES`, a row for each second response: (4, Y, Y)."""
    base = np.exp(log_base)
    scores = np.where(uncertain, 0.0, plain)
    opposite, untruncated = np.exp(log_softmax(log_base, np.stack([-scores, plain]), beta))
    covered = np.where(uncertain, 0.0, base)
    forbidden = covered / covered.sum(axis=1, keepdims=True)
    return np.stack([np.broadcast_to(base, plain.shape), opposite, untruncated, forbidden])


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
        log_base, beta = problem.log_base[0], problem.beta
        right = first_laws(log_base, plain, uncertain, beta)
        wrong = mistaken_laws(log_base, plain, uncertain, beta)
        weights = np.exp(plain / beta)
        other = wrong[MISTAKES.index(mistake)] if isinstance(mistake, str) else mistake(base, weights)
        same = float(base @ base)
        unknown = same**PAIRS if nu < PAIR_NORM else float(np.mean(same ** np.arange(ROUNDS)))
        return distance(base, right, other) * (1.0 - unknown) - DELTA

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
    """The two responses of a round have the law of the sampler against the base policy, given the fit of the round."""
    settings = one_pair_settings(problem, nu, ridge, pairs)
    return rounds_experiment(
        check, problem, settings, lambda rounds: [events_of(each) if each else {} for each in rounds], 1 + len(MISTAKES)
    )


def events_of(played: JudgedRound) -> dict[str, Event]:
    """Pairs that are likelier than by each mistake, and the second response where it is known.

    A mistake that changes nothing has no event: no learner can violate what is said of no pair.
    """
    likely = int(np.argmax(played.seconds))
    events: dict[str, Event] = {}
    if played.second is not None:
        about = "rounds whose second response is the likeliest of the base policy"
        events[about] = int(played.second == likely), float(played.seconds[likely]), math.nan
    mistaken = mistaken_laws(played.log_base, played.plain, played.uncertain, played.beta)
    for about, law in zip(MISTAKES, unordered(played.seconds, mistaken), strict=True):
        event = played.rarer_by(law)
        if event is not None:
            events[f"pairs of an exploration round that would be rarer if {about}"] = event
    return events


MANY_PAIRS = 32
# Two groups of a usual and a rare response: whatever is in the spanner, pairs within a group are covered and others are
# not. In each the rare response weighs 1000 times as much: the second response decides which group the first one is of.
GROUPS = problem_of(
    [[[-1.0], [-0.5], [0.5], [1.0]]], [1.0], base=[[0.35, 0.15, 0.35, 0.15]], beta=0.5 / math.log(1000.0), noise=0.0
)
GROUPED = {"problem": GROUPS, "nu": 8.0**-0.5, "ridge": 3.0}
# The norm of their pair is 1 at first, and 0.71 once it is in the spanner: nu is between, far from both. Which of both
# responses a call draws depends on its uniform numbers: a small one accepts either, and most others the rare one alone.
PREFERRED = {
    "problem": problem_of([[[-0.5], [0.5]]], [1.0], base=[[0.8, 0.2]], beta=1.0 / math.log(8.0), noise=0.0),
    "nu": 0.84,
    "ridge": 1.0,
}


def relative_to_another(base: FloatArray, first: FloatArray) -> FloatArray:
    """Laws of the first response, a row for each second one, where its scores are relative to a further draw."""
    return np.broadcast_to(base @ first, first.shape)


def effect_of_another_draw(problem: TabularProblem, **_: Any) -> float:
    """Effect of scores relative to another draw; where both responses are covered it has none (R5)."""
    if problem is not GROUPS:
        return 0.0
    log_base, reward = problem.log_base[0], problem.reward[0]
    plain = reward - reward[:, None]
    base, first = np.exp(log_base), first_laws(log_base, plain, np.abs(plain) > 0.5, problem.beta)
    # The parameter is known unless every pair that was searched is within a group.
    return distance(base, first, relative_to_another(base, first)) * (1.0 - 0.5**MANY_PAIRS) - DELTA


@pytest.mark.guarantee("R3", needs=["spanner_sampling"])
@designed([GROUPED, PREFERRED], {"independent-another-anchor": effect_of_another_draw})
@experiments()
def test_rounds_of_exploration_depend_on_their_second_response_and_on_no_earlier_round(
    check: Check, problem: TabularProblem, nu: float, ridge: float
) -> Experiment:
    """Scores are relative to the second response that is rewarded, and the randomness of a round is its own."""
    return rounds_experiment(check, problem, one_pair_settings(problem, nu, ridge, MANY_PAIRS), dependence, 2)


def dependence(rounds: Sequence[JudgedRound | None]) -> list[dict[str, Event]]:
    """Events of the rounds of a run that would be rarer, or more frequent, if rounds depended on something else."""
    seen = []
    # By prompt: how much more often each pair came so far than was to be expected.
    excess: dict[int, Any] = defaultdict(float)
    for played in rounds:
        events: dict[str, Event] = {}
        if played is not None:
            another = relative_to_another(np.exp(played.log_base), played.first)
            rarer = played.rarer_by(unordered(played.seconds, another))
            if rarer is not None:
                about = "pairs of an exploration round that would be rarer if scores were relative to another draw"
                events[about] = rarer
            before = excess[played.prompt]
            if np.any(before):
                about = "rounds whose pair came more often than expected in earlier rounds of the run"
                events[about] = played.event(before == np.max(before))
            came = np.zeros_like(played.law)
            came[played.pair] = 1.0
            excess[played.prompt] = before + came - played.law
        seen.append(events)
    return seen
