"""The race sampler: its cost, its distance to the target (R4), and A1r to the letter (C-A1r)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.errors import NotJudgedError
from spanver.evidence import log_e_chances, log_e_violated_chances, min_samples_chances
from spanver.evidence.e_values import log_mean
from spanver.exact.samplers import race_law
from spanver.guarantees.sampler import race_samples, race_total_variation, sampler_samples
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.subjects.contract import Call
from spanver.values import FloatArray, LinearScore
from spanver.verification.check import Check, expect
from spanver.verification.design import designed
from spanver.verification.experiment import POWER, Experiment, Seen
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import independent_oracles

from . import sampler_mistakes
from .drawn import table_of
from .piloted import drawn_before_trials
from .sampled import SAMPLED, call_once, coverage_of, fresh_oracle, law_of_outputs, target_of, weights_of

# Races of many responses of which one or two are heavy.
LIGHT, LIGHTER = table_of([0.9, 0.1], [1.0, 4.0]), table_of([0.85, 0.15], [1.0, 3.0])
# A pool with one heavy response: it wins with probability .65, in proportion to the weights it is .52.
ONE_HEAVY = table_of([0.9, 0.1], [1.0, 12.0])


RACES = instances(
    problem=tabular_problems(), multiplier=st.sampled_from([4.0, 10.0, 64.0]), failure=st.sampled_from([0.9, 0.3, 0.01])
)


def race_once(check: Check, problem: TabularProblem, multiplier: float, failure: float) -> tuple[int, str]:
    """Samples of one race, and what they are of."""
    oracle = fresh_oracle(check, problem)
    call_once(check, "race_sample", oracle, problem, multiplier, failure)
    return oracle.ledger.samples, f"samples of a race (M = {multiplier:g}, delta = {failure:g})"


@pytest.mark.guarantee("R4", needs=["race_sample"])
@RACES
def test_a_race_costs_at_most_what_a_call_of_a1_may(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    (cost, of), most = race_once(check, problem, multiplier, failure), sampler_samples(multiplier, failure)
    expect(1 <= cost <= most, of, cost, f"1 to {most}")


@pytest.mark.guarantee("R4", needs=["race_sample"])
@designed(
    [{"problem": LIGHT, "failure": 0.01}, {"problem": LIGHTER, "failure": 0.001}], sampler_mistakes.EFFECTS_ON_RACES
)
@experiments(problem=SAMPLED, failure=st.sampled_from([0.01, 0.001]))
def test_winners_of_a_race_are_within_its_bound_of_the_target(
    check: Check, problem: TabularProblem, failure: float
) -> Experiment:
    """Races of 8 responses and more, of which there are few different ones."""
    coverage = coverage_of(problem)
    multiplier = sampler_mistakes.race_multiplier(coverage, failure)
    bound = race_total_variation(coverage, race_samples(multiplier, failure))
    return law_of_outputs(
        check, "race_sample", problem, target_of(problem), multiplier=multiplier, failure=failure, tolerated=bound
    )


@pytest.mark.guarantee("C-A1r", needs=["race_sample"])
@RACES
def test_a_race_draws_as_many_responses_as_a1r(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    (cost, of), expected = race_once(check, problem, multiplier, failure), race_samples(multiplier, failure)
    expect(cost == expected, of, cost, expected)


Won: TypeAlias = tuple[int, FloatArray, FloatArray]
"""The response that won, the law of the winner given the pool, and how often each response is in the pool."""


@pytest.mark.guarantee("C-A1r", needs=["race_sample"])
@designed([{"problem": ONE_HEAVY, "draws": 12}], {})
@experiments(problem=SAMPLED, draws=st.sampled_from([4, 8]))
def test_winners_of_a_race_have_its_exact_law_given_the_pool(
    check: Check, problem: TabularProblem, draws: int
) -> Experiment:
    """By response, and whether a response won that is likelier than in proportion to the weights of the pool.

    Observations are races whose pool has more than one response: in others nothing is decided by chance.
    """
    weights, kinds = weights_of(problem), problem.responses + 1
    failure = float(np.exp(-(draws - 0.5)))
    assert race_samples(4.0, failure) == draws

    @cache
    def law_of(pool: tuple[int, ...]) -> FloatArray:
        entries = np.repeat(np.arange(problem.responses), pool)
        law = np.zeros(problem.responses)
        np.add.at(law, entries, race_law(np.log(weights[entries])))
        return law / law.sum()

    def raced(races: int, seed: int) -> Iterator[Won]:
        oracle_of, score = independent_oracles(problem, seed), LinearScore(realizing(problem))

        def make(index: int) -> Call:
            oracle = oracle_of(index)
            return (oracle, oracle.prompt(), score), {"multiplier": 4.0, "failure": failure, "seed": seed + index}

        for ((oracle, *_), _), winner in check.calls("race_sample", make, races):
            if any(query.name == "sample_until" for query in oracle.queries):
                raise NotJudgedError("searches do not show the pool of a race")
            pool = drawn_before_trials(oracle.queries, problem.responses).astype(int)
            expect(pool.sum() == draws, "draws of a race", pool.sum(), draws)
            expect(winner in np.flatnonzero(pool), "winner of a race", winner, f"one of its pool, {pool.tolist()}")
            if np.count_nonzero(pool) > 1:
                yield int(winner), law_of(tuple(pool.tolist())), pool

    def observe(count: int, seed: int) -> Sequence[Won]:
        seen: list[Won] = []
        made = 0
        while (races := count - len(seen)) > 0:
            seen.extend(raced(races, seed + made))
            made += races
        return seen

    def events(seen: Sequence[Won]) -> list[tuple[FloatArray, FloatArray]]:
        """Whether each kind of event came, and its chance, a pair of arrays a kind."""
        winners = np.array([winner for winner, _, _ in seen])
        laws, pools = (np.array([each[at] for each in seen]) for at in (1, 2))
        shares = pools * weights
        likelier = laws > shares / shares.sum(axis=1, keepdims=True) + 1e-9
        came = np.eye(problem.responses)[winners]
        found = [(came[:, y], laws[:, y]) for y in range(problem.responses)]
        found.append(((came * likelier).sum(axis=1), (laws * likelier).sum(axis=1)))
        return [(hits, np.clip(chances, 0.0, 1.0)) for hits, chances in found]

    def log_e(seen: Sequence[Won]) -> float:
        return log_mean([log_e_chances(*each) for each in events(seen)])

    def log_e_violated(seen: Sequence[Won]) -> float:
        return min(log_e_violated_chances(*each, check.discrepancy) for each in events(seen))

    def words(seen: Sequence[Won]) -> Seen:
        *by_response, likelier = ((float(hits.mean()), float(chances.mean())) for hits, chances in events(seen))
        names = [f"response {y}" for y in range(problem.responses)]
        observed, expected = likelier
        return Seen(
            f"winners of races of {draws} draws that are likelier than in proportion to the weights of the pool",
            f"frequency {observed:.4g}",
            f"{expected:.4g}",
            [(name, *both) for name, both in zip(names, by_response, strict=True)],
        )

    samples = min_samples_chances(check.discrepancy, alpha=check.alpha / kinds, power=POWER)
    return Experiment(observe, log_e, samples, words, log_e_violated)
