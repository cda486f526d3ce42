"""The record of a run: what was asked, what it cost, and which rounds it fell into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from spanver.episodic import AnchoredScore, EpisodicBudget, EpisodicLedger
from spanver.errors import BudgetExceededError, NotJudgedError
from spanver.oracle import Budget, Ledger
from spanver.oracles.episodic import episodic_oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.tabular import TabularProblem
from spanver.subjects.protocol import LAYERED_FACTS
from spanver.values import LinearScore, RejectionRule, ResponseId, UncertainPairRule
from spanver.verification.transcript import (
    RecordingEpisodicOracle,
    RecordingOracle,
    data_of,
    episodic_recount,
    labels_of,
    recount,
    rounds_of,
)

PROBLEM = TabularProblem(
    prompt_law=np.ones(1),
    log_base=np.log([[0.5, 0.25, 0.25]]),
    features=np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]),
    reward=np.array([[0.0, 0.5, 0.25]]),
    beta=0.5,
    radius=1.0,
    reward_range=2.0,
    reward_low=np.array([-1.0]),
)
ALL = UncertainPairRule(np.eye(2), 0.1)  # every pair of two different responses


def recorded(**options: object) -> RecordingOracle:
    return RecordingOracle(literal_oracle(PROBLEM, seed=3, **options))  # type: ignore[arg-type]


def test_everything_that_was_answered_is_recounted() -> None:
    oracle = recorded(full_table=True)
    prompt = oracle.prompt()
    oracle.sample(prompt, 5)
    oracle.sample(prompt, 2, theta=np.array([0.5, 0.0]))
    oracle.sample_counts(prompt, 7)
    pair = oracle.sample_until(prompt, ALL, 100)
    trial = oracle.sample_until(prompt, RejectionRule(LinearScore(np.array([1.0, 0.0])), 4.0), 100)
    oracle.reward(prompt, 1)
    oracle.compare(prompt, 0, 1)
    oracle.enumerate(prompt)
    samples = 5 + 2 + 7 + 2 * pair.tries + trial.tries
    assert recount(oracle.queries) == Ledger(samples=samples, rewards=2, enumerated=3)
    assert recount(oracle.queries) == oracle.ledger


def test_what_was_refused_is_not_in_the_record() -> None:
    oracle = recorded(budget=Budget(samples=3))
    prompt = oracle.prompt()
    with pytest.raises(BudgetExceededError):
        oracle.sample(prompt, 4)
    assert [entry.name for entry in oracle.queries] == ["prompt"]
    assert oracle.budget == Budget(samples=3)


@pytest.mark.parametrize("count", [2**40, 2**60], ids=["int64", "more than int64"])
def test_everything_that_an_oracle_of_layers_answered_is_recounted(count: int) -> None:
    oracle = RecordingEpisodicOracle(episodic_oracle(mdp_problem(), seed=3))
    first = oracle.start(40)
    drawn = oracle.sample(first, 2)
    oracle.sample(first, 3, theta=np.zeros(4))
    anchors = oracle.feature(first, np.zeros(40, dtype=int))
    oracle.sample_counts(first, count)
    score = AnchoredScore(np.full(4, 0.5), np.eye(4), 1.0, anchors)
    tries = oracle.sample_until(first, score, np.full(40, 6.0), 100).tries
    assert 100 in tries  # some state accepted none
    actions = drawn.actions[:, 0]
    oracle.reward(first, actions)
    oracle.step(first, actions)
    oracle.reset(0, first.ids[:7])
    expected = EpisodicLedger(
        samples=80 + 120 + 40 * count + sum(tries.tolist()), features=40, rewards=40, transitions=80, resets=7
    )
    assert episodic_recount(oracle.queries) == expected
    assert oracle.ledger == expected
    assert [query.states for query in oracle.queries] == [40] * 8 + [7]


def test_what_an_oracle_of_layers_refused_is_kept_apart_from_its_record() -> None:
    budget = EpisodicBudget(transitions=5, resets=3)
    oracle = RecordingEpisodicOracle(episodic_oracle(mdp_problem(), seed=3, budget=budget))
    states = oracle.start(4)
    assert oracle.refused is None
    with pytest.raises(BudgetExceededError):
        oracle.step(states, np.zeros(4, dtype=int))
    assert (oracle.refused is not None, oracle.budget) == (True, budget)
    assert [entry.name for entry in oracle.queries] == ["start"]
    assert episodic_recount(oracle.queries) == oracle.ledger == EpisodicLedger(transitions=4)


def test_a_record_has_the_facts_of_the_oracle_of_layers() -> None:
    oracle = episodic_oracle(mdp_problem(), seed=3)
    recorded = RecordingEpisodicOracle(oracle)
    for name in LAYERED_FACTS:
        assert getattr(recorded, name) == getattr(oracle, name)


def test_a_record_falls_into_one_round_a_prompt_with_its_data() -> None:
    oracle = recorded()
    first = oracle.prompt()
    drawn = oracle.sample(first, 2)
    oracle.reward(first, drawn[0])
    second = oracle.prompt()
    found = oracle.sample_until(second, ALL, 100)
    assert found.responses is not None
    one, two = map(int, found.responses.ids)
    oracle.reward(second, one)
    oracle.reward(second, two)
    before, after = rounds_of(oracle.queries)
    assert (before.samples, after.samples) == (2, 2 * found.tries)
    assert before.drawn == list(drawn.ids)
    assert before.seen == set(drawn.ids)
    assert after.seen == {one, two}
    assert after.searches == [(ALL, 100, found)]
    assert [response for response, _ in after.rewards] == [one, two]
    # A round that asked for one reward has no pair, and gives no data.
    features, targets = data_of(PROBLEM, [before, after])
    assert features.tolist() == [(PROBLEM.features[0, one] - PROBLEM.features[0, two]).tolist()]
    assert targets == pytest.approx([PROBLEM.reward[0, one] - PROBLEM.reward[0, two]])


def test_no_rounds_give_no_data() -> None:
    features, targets = data_of(PROBLEM, rounds_of([]))
    assert (features.shape, targets.shape) == ((0, 2), (0,))


def test_rounds_whose_prompts_are_drawn_ahead_are_not_judged() -> None:
    ahead = recorded()
    for _ in range(3):
        ahead.prompt()
    for response in (0, 1, 0, 2):
        ahead.reward(0, response)
    with pytest.raises(NotJudgedError, match="drawn ahead"):
        rounds_of(ahead.queries)


def rewarded_later(*rewarded: Sequence[ResponseId]) -> RecordingOracle:
    """In each of two rounds pairs are drawn, and in the second one rewards."""
    oracle = recorded()
    for _ in range(2):
        prompt = oracle.prompt()
        while len(set(oracle.sample(prompt, 2).ids)) < 2:
            pass
    for pair in rewarded:
        for response in pair:
            oracle.reward(0, response)
    return oracle


def test_rewards_that_are_asked_for_in_a_later_round_are_not_judged() -> None:
    pairs = [each.drawn[-2:] for each in rounds_of(rewarded_later().queries)]
    with pytest.raises(NotJudgedError, match="in a later round"):
        rounds_of(rewarded_later(*pairs).queries)


def test_rewards_of_what_no_round_has_drawn_stay_in_their_round() -> None:
    pairs = [each.drawn[-2:] for each in rounds_of(rewarded_later().queries)]
    rounds = rounds_of(rewarded_later(*pairs, pairs[0]).queries)  # more pairs than rounds
    assert [len(each.rewards) for each in rounds] == [0, 6]


def test_labels_that_are_asked_for_in_a_later_round_are_not_judged() -> None:
    oracle, (first, second) = recorded(), [each.drawn[-2:] for each in rounds_of(rewarded_later().queries)]
    for _ in range(2):
        prompt = oracle.prompt()
        while len(set(oracle.sample(prompt, 2).ids)) < 2:
            pass
    oracle.compare(0, *first)
    (_, played), label = rounds_of(oracle.queries), bool(oracle.queries[-1].answer)
    assert played.labels == [(*first, label)]
    features, labels = labels_of(PROBLEM, rounds_of(oracle.queries))
    one, two = map(int, first)
    assert features.tolist() == [(PROBLEM.features[0, one] - PROBLEM.features[0, two]).tolist()]
    assert labels.tolist() == [1.0 if label else -1.0]
    oracle.compare(0, *second)
    with pytest.raises(NotJudgedError, match="in a later round"):
        rounds_of(oracle.queries)


def test_a_round_without_queries_is_a_round() -> None:
    oracle = recorded()
    oracle.prompt()
    oracle.prompt()
    oracle.sample(0, 2)
    assert [len(each.queries) for each in rounds_of(oracle.queries)] == [0, 1]
