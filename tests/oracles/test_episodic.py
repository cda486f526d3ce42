"""The oracle of processes of layers charges every answer, has the problem's laws in both forms, and keeps budgets."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from laws import assert_law, rejects
from layered_tables import kernel, random_mdp
from token_tables import random_tokens

from spanver.episodic import AnchoredScore, EpisodicBudget, EpisodicLedger, EpisodicOracle, States
from spanver.errors import ArgumentError, BudgetExceededError
from spanver.oracles import rejection
from spanver.oracles.episodic import MeteredEpisodicOracle, Standing, episodic_oracle, standing
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.tokens import as_mdp
from spanver.values import FloatArray, IntArray

PROBLEM = dataclasses.replace(random_mdp(11, horizon=3, actions=3, zeros=True), noise=0.5)
DRAWS = 16000
FORMS = pytest.mark.parametrize("literal", [False, True], ids=["counted", "literal"])


def at(oracle: EpisodicOracle, layer: int, state: int, count: int) -> States:
    """So many episodes that stand in one state."""
    states = oracle.start(64)
    for _ in range(layer):
        states = oracle.step(states, np.arange(64) % 3)
    assert state in states.ids
    return oracle.reset(layer, np.full(count, state))


def a_state(layer: int) -> int:
    """A state that episodes reach, in which the base policy has a choice."""
    oracle = episodic_oracle(PROBLEM, seed=0)
    states = oracle.start(64)
    for _ in range(layer):
        states = oracle.step(states, np.arange(64) % 3)
    choices = (PROBLEM.log_base[layer] > -math.inf).sum(axis=1)
    return int(max(set(states.ids.tolist()), key=lambda state: choices[state]))


def base_at(layer: int, state: int) -> tuple[FloatArray, FloatArray]:
    base: FloatArray = np.exp(PROBLEM.log_base[layer][state])
    return base / base.sum(), PROBLEM.features[layer][state]


def test_the_public_names_are_the_queries_and_the_facts() -> None:
    problem = as_mdp(random_tokens(1, horizon=2, vocabulary_size=3), anchor=2)
    oracle: EpisodicOracle = episodic_oracle(problem, seed=1, budget=EpisodicBudget(samples=7))
    assert (oracle.horizon, oracle.dimension, oracle.anchor) == (2, 3, 2)
    assert (oracle.rewarded, oracle.budget) == ((False, True), EpisodicBudget(samples=7))
    assert (oracle.beta, oracle.radius, oracle.reward_range) == (problem.beta, 1.0, problem.reward_range)
    public = {name for name in dir(oracle) if not name.startswith("_")}
    queries = {"start", "reset", "step", "reward", "feature", "sample", "sample_counts", "sample_until"}
    facts = {"horizon", "dimension", "beta", "radius", "shape", "reward_range", "rewarded", "anchor"}
    assert public == queries | facts | {"ledger", "budget"}


@FORMS
def test_every_answer_is_charged_by_its_kind(literal: bool) -> None:
    oracle = episodic_oracle(PROBLEM, seed=1, literal=literal)
    states = oracle.start(5)
    assert oracle.ledger == EpisodicLedger(transitions=5)
    actions = oracle.sample(states, 2).actions[:, 0]
    assert oracle.ledger == EpisodicLedger(samples=10, transitions=5)
    following = oracle.step(states, actions)
    assert oracle.ledger == EpisodicLedger(samples=10, transitions=10)
    oracle.feature(following, np.zeros(5, dtype=int))
    oracle.reward(following, np.zeros(5, dtype=int))
    assert oracle.ledger == EpisodicLedger(samples=10, features=5, rewards=5, transitions=10)
    again = oracle.reset(0, states.ids[:2])
    assert oracle.ledger == EpisodicLedger(samples=10, features=5, rewards=5, transitions=10, resets=2)
    assert oracle.sample_counts(again, 7).counts.sum() == 14
    assert oracle.ledger.samples == 24
    trials = oracle.sample_until(again, nothing(2), np.full(2, 800.0), 9)
    assert (trials.actions.tolist(), trials.tries.tolist()) == ([-1, -1], [9, 9])
    assert (trials.features == 0.0).all()
    assert oracle.ledger.samples == 24 + 18
    trials = oracle.sample_until(again, nothing(2), np.array([0.0, 0.5]), 9)
    assert trials.tries[0] == 1
    spent = oracle.ledger
    assert spent.samples == 24 + 18 + trials.tries.sum()
    assert (spent.data, spent.computation) == (5 + 10 + 2, spent.samples + 5)
    assert (spent.token_data, spent.token_computation) == (5, spent.samples)
    assert spent - EpisodicLedger(samples=24) + EpisodicLedger(samples=24) == spent


def nothing(count: int) -> AnchoredScore:
    """The score 0."""
    return AnchoredScore(np.zeros(3), np.eye(3), 1.0, np.zeros((count, 3)))


def test_counts_beyond_64_bits_are_charged_in_full() -> None:
    oracle = episodic_oracle(PROBLEM, seed=1)
    states = oracle.start(64)
    oracle.sample_counts(states, 2**60)
    trials = oracle.sample_until(states, nothing(64), np.full(64, 800.0), 2**62)
    assert (trials.tries == 2**62).all()
    assert oracle.ledger.samples == 2**66 + 2**68


@FORMS
def test_first_states_and_next_states_have_their_laws(literal: bool) -> None:
    oracle = episodic_oracle(PROBLEM, seed=2, literal=literal)
    states = oracle.start(DRAWS)
    assert_law(Counter(states.ids.tolist()), dict(enumerate(PROBLEM.initial_law.tolist())))
    for layer in (0, 1):
        state = a_state(layer)
        for action in range(3):
            law = dict[Hashable, float](kernel(PROBLEM, layer, state, action).items())
            standing = at(oracle, layer, state, DRAWS)
            following = oracle.step(standing, np.full(DRAWS, action))
            assert following.layer == layer + 1
            if max(law.values()) > 0.9:
                assert not rejects(Counter(following.ids.tolist()), law)
            else:
                assert_law(Counter(following.ids.tolist()), law)


@FORMS
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_actions_have_the_base_law_of_their_state_and_its_features(literal: bool, layer: int) -> None:
    oracle, state = episodic_oracle(PROBLEM, seed=3, literal=literal), a_state(layer)
    base, features = base_at(layer, state)
    law: dict[Hashable, float] = dict(enumerate(base.tolist()))
    states = at(oracle, layer, state, 2)
    drawn = oracle.sample(states, DRAWS // 2)
    assert drawn.actions.shape == (2, DRAWS // 2)
    assert_law(Counter(drawn.actions.reshape(-1).tolist()), law)
    assert (drawn.features == features[drawn.actions]).all()
    many = oracle.sample_counts(states, DRAWS // 2)
    assert np.bincount(many.rows, weights=many.counts).tolist() == [DRAWS // 2] * 2
    totals = np.bincount(many.actions, weights=many.counts, minlength=3).astype(int)
    assert_law({action: int(total) for action, total in enumerate(totals) if total > 0}, law)
    assert (many.features == features[many.actions]).all()
    assert (many.counts > 0).all()
    for action in range(3):
        assert (oracle.feature(states, np.full(2, action)) == features[action]).all()


@FORMS
def test_the_multiset_of_two_draws_has_its_law(literal: bool) -> None:
    oracle, state = episodic_oracle(PROBLEM, seed=4, literal=literal), a_state(1)
    base, _ = base_at(1, state)
    many = oracle.sample_counts(at(oracle, 1, state, DRAWS), 2)
    drawn: dict[int, list[int]] = {}
    for row, action, count in zip(many.rows.tolist(), many.actions.tolist(), many.counts.tolist(), strict=True):
        drawn.setdefault(row, []).extend([action] * count)
    law: dict[Hashable, float] = {}
    for first in range(3):
        for second in range(3):
            key = (min(first, second), max(first, second))
            law[key] = law.get(key, 0.0) + float(base[first] * base[second])
    assert_law(Counter(tuple(each) for each in drawn.values()), law)


@FORMS
def test_the_strong_form_draws_from_the_policy_of_a_parameter(literal: bool) -> None:
    oracle, state = episodic_oracle(PROBLEM, seed=5, literal=literal), a_state(1)
    base, features = base_at(1, state)
    theta = np.array([0.6, -0.4, 0.5])
    weights = base * np.exp(features @ theta / PROBLEM.beta)
    drawn = oracle.sample(at(oracle, 1, state, 1), DRAWS, theta=theta)
    assert_law(Counter(drawn.actions[0].tolist()), dict(enumerate((weights / weights.sum()).tolist())))
    assert oracle.ledger.samples == DRAWS
    with pytest.raises(ArgumentError, match="theta"):
        oracle.sample(at(oracle, 1, state, 1), 1, theta=2.0 * theta)


def trial_law(layer: int, state: int, anchor: int, log_threshold: float, limit: int) -> dict[Hashable, float]:
    """Law of (tries, accepted action), from the definition of the score and of the trials."""
    base, features = base_at(layer, state)
    relative = features - features[anchor]
    inside = np.einsum("ad,de,ae->a", relative, PRECISION, relative) <= NU**2
    assert 0 < inside.sum() < 3
    scores = np.where(inside, relative @ THETA, 0.0)
    exponents = scores / PROBLEM.beta - log_threshold
    assert (exponents.max() > 0.1) == (log_threshold == 0.1)  # some are certain to be accepted, some never are
    masses = base * np.minimum(1.0, np.exp(exponents))
    miss = 1.0 - float(masses.sum())
    law: dict[Hashable, float] = {(limit, -1): miss**limit}
    for tries in range(1, limit + 1):
        law |= {(tries, action): miss ** (tries - 1) * float(mass) for action, mass in enumerate(masses)}
    return law


THETA, PRECISION = np.array([1.8, -1.5, 1.2]), np.diag([1.0, 4.0, 2.0])
NU = 1.0


@FORMS
def test_trials_until_acceptance_have_their_exact_law_in_every_state_of_a_batch(literal: bool) -> None:
    oracle = episodic_oracle(PROBLEM, seed=6, literal=literal)
    layer, count = 1, 2 * DRAWS
    seen = set(oracle.step(oracle.start(64), np.arange(64) % 3).ids.tolist())
    chosen = [(state, anchor) for state in seen for anchor in range(3) if covers_some(layer, state, anchor)][:2]
    assert len(chosen) == 2
    ids, anchors = np.tile([state for state, _ in chosen], DRAWS), np.tile([anchor for _, anchor in chosen], DRAWS)
    thresholds = np.tile([0.1, 0.5], DRAWS)
    states = oracle.reset(layer, ids)
    score = AnchoredScore(THETA, PRECISION, NU, PROBLEM.features[layer][ids, anchors])
    before = oracle.ledger
    trials = oracle.sample_until(states, score, thresholds, 2)
    assert oracle.ledger.samples - before.samples == trials.tries.sum()
    for offset, (state, anchor) in enumerate(chosen):
        rows = slice(offset, count, 2)
        outcomes = Counter[Hashable](zip(trials.tries[rows].tolist(), trials.actions[rows].tolist(), strict=True))
        assert_law(outcomes, trial_law(layer, state, anchor, float(thresholds[offset]), 2))
    accepted = trials.actions >= 0
    assert (trials.features[accepted] == PROBLEM.features[layer][ids[accepted], trials.actions[accepted]]).all()


def covers_some(layer: int, state: int, anchor: int) -> bool:
    relative = PROBLEM.features[layer][state] - PROBLEM.features[layer][state, anchor]
    return 1 < (np.einsum("ad,de,ae->a", relative, PRECISION, relative) <= NU**2).sum() < 3


@FORMS
def test_rewards_have_their_mean_or_the_ends_of_their_interval(literal: bool) -> None:
    oracle = episodic_oracle(PROBLEM, seed=7, literal=literal)
    for layer in range(3):
        state = a_state(layer)
        for action in range(3):
            mean = float(PROBLEM.rewards[layer][state, action])
            share = mean / PROBLEM.reward_range
            drawn = oracle.reward(at(oracle, layer, state, DRAWS), np.full(DRAWS, action))
            if share == 1.0:
                assert set(drawn.tolist()) == {mean}
                continue
            law: dict[Hashable, float] = {0.0: 0.5 * (1 - share), PROBLEM.reward_range: 0.5 * share, mean: 0.5}
            assert_law(Counter(drawn.tolist()), law)


def test_a_batch_gets_in_the_literal_form_what_its_states_get_one_by_one() -> None:
    together, alone = (episodic_oracle(PROBLEM, seed=8, literal=True) for _ in range(2))
    batch, single = together.start(6), [alone.start(1) for _ in range(6)]
    assert batch.ids.tolist() == [int(each.ids[0]) for each in single]
    ours = together.sample(batch, 3).actions
    assert ours.tolist() == [alone.sample(each, 3).actions[0].tolist() for each in single]
    trials = together.sample_until(batch, nothing(6), np.full(6, 0.7), 4)
    for row, each in enumerate(single):
        one = alone.sample_until(each, nothing(1), np.full(1, 0.7), 4)
        assert (one.actions[0], one.tries[0]) == (trials.actions[row], trials.tries[row])
    many = together.sample_counts(batch, 5)
    for row, each in enumerate(single):
        one_by_one = alone.sample_counts(each, 5)
        assert one_by_one.actions.tolist() == many.actions[many.rows == row].tolist()
        assert one_by_one.counts.tolist() == many.counts[many.rows == row].tolist()


def test_states_that_were_not_issued_are_refused() -> None:
    oracle = episodic_oracle(mdp_problem(0, horizon=2, states=50), seed=1)
    states = oracle.start(2)
    unseen = next(state for state in range(50) if state not in states.ids)
    spent = oracle.ledger
    for ids in ([unseen], [int(states.ids[0]), unseen], [-1], [50]):
        with pytest.raises(ArgumentError, match="issued"):
            oracle.reset(0, np.array(ids))
        with pytest.raises(ArgumentError, match="issued"):
            oracle.sample(States(0, np.array(ids), states.episodes), 1)
        with pytest.raises(ArgumentError, match="issued"):
            oracle.reward(States(0, np.array(ids), states.episodes), np.zeros(len(ids), dtype=int))
    with pytest.raises(ArgumentError, match="issued"):
        oracle.reset(1, np.array([0]))
    with pytest.raises(ArgumentError, match="layer"):
        oracle.reset(2, np.array([0]))
    with pytest.raises(ArgumentError, match="layer"):
        oracle.sample(States(2, np.array([0]), 1), 1)
    assert oracle.ledger == spent


def test_a_batch_goes_on_once_and_again_only_after_a_reset() -> None:
    oracle = episodic_oracle(PROBLEM, seed=1)
    states, actions = oracle.start(3), np.zeros(3, dtype=int)
    oracle.step(states, actions)
    spent = oracle.ledger
    with pytest.raises(ArgumentError, match="reset for another"):
        oracle.step(states, actions)
    with pytest.raises(ArgumentError, match="reset for another"):
        oracle.step(States(0, states.ids, 99), actions)
    other = oracle.start(3)
    with pytest.raises(ArgumentError, match="reset for another"):
        oracle.step(States(0, other.ids[:2], other.episodes), actions[:2])
    assert oracle.ledger - spent == EpisodicLedger(transitions=3)
    last = oracle.step(oracle.step(oracle.reset(0, states.ids), actions), actions)
    with pytest.raises(ArgumentError, match="layer of states is 2"):
        oracle.step(last, actions)


@pytest.mark.parametrize("actions", [[0, 3], [0, -1], [0], [0.0, 1.0], [[0, 1]]])
def test_actions_are_numbers_one_for_each_state(actions: Any) -> None:
    oracle = episodic_oracle(PROBLEM, seed=1)
    states = oracle.start(2)
    for query in (oracle.step, oracle.reward, oracle.feature):
        with pytest.raises(ArgumentError, match="actions"):
            query(states, np.array(actions))


def test_rewards_of_layers_without_any_are_refused() -> None:
    oracle = episodic_oracle(as_mdp(random_tokens(1, horizon=2, vocabulary_size=2)), seed=1)
    states = oracle.start(1)
    with pytest.raises(ArgumentError, match="one that has rewards"):
        oracle.reward(states, np.zeros(1, dtype=int))
    oracle.reward(oracle.step(states, np.ones(1, dtype=int)), np.zeros(1, dtype=int))
    assert oracle.ledger.rewards == 1


@FORMS
@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("transitions", lambda oracle, states: oracle.start(6)),
        ("transitions", lambda oracle, states: oracle.step(states, np.zeros(6, dtype=int))),
        ("resets", lambda oracle, states: oracle.reset(0, states.ids)),
        ("rewards", lambda oracle, states: oracle.reward(states, np.zeros(6, dtype=int))),
        ("features", lambda oracle, states: oracle.feature(states, np.zeros(6, dtype=int))),
        ("samples", lambda oracle, states: oracle.sample(states, 1)),
        ("samples", lambda oracle, states: oracle.sample_counts(states, 1)),
    ],
)
def test_a_query_that_does_not_fit_into_the_budget_is_refused_and_costs_nothing(
    literal: bool, kind: str, query: Any
) -> None:
    for left in (5, 6):
        given = left + (6 if kind == "transitions" else 0)
        oracle = episodic_oracle(PROBLEM, seed=1, literal=literal, budget=EpisodicBudget(**{kind: given}))
        states = oracle.start(6)
        spent = oracle.ledger
        if left == 6:
            query(oracle, states)
            assert getattr(oracle.ledger, kind) == given
            continue
        with pytest.raises(BudgetExceededError, match=f"costs 6 {kind}, but only 5"):
            query(oracle, states)
        assert oracle.ledger == spent


@FORMS
def test_trials_end_with_the_budget_and_never_beyond_it(literal: bool) -> None:
    outcomes: Counter[Hashable] = Counter()
    for seed in range(2000):
        oracle = episodic_oracle(SMALL, seed=seed, literal=literal, budget=EpisodicBudget(samples=4))
        states = oracle.start(3)
        try:
            oracle.sample_until(states, AnchoredScore(np.zeros(1), np.eye(1), 1.0, np.zeros((3, 1))), HALF, 2)
        except BudgetExceededError:
            assert oracle.ledger.samples == 4
            outcomes["ended"] += 1
        else:
            outcomes[oracle.ledger.samples] += 1
    # Three states of at most two tries each, a coin a try: 3 tries have probability 1/8, 4 have 3/8.
    assert not rejects(outcomes, {3: 1 / 8, 4: 3 / 8, "ended": 1 / 2})
    assert rejects(outcomes, {3: 1 / 8, 4: 1 / 2, "ended": 3 / 8})


ANY_ORACLE: Any = episodic_oracle
SMALL = mdp_problem(0, horizon=1, states=1, dimension=1, actions=2)
HALF = np.full(3, math.log(2.0))


def test_tries_before_an_interruption_are_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = episodic_oracle(SMALL, seed=1, literal=True)
    states = oracle.start(2)
    looked: list[int] = []
    accepted = rejection.accepted_tries

    def interrupted(log_acceptance: FloatArray, streams: Any) -> IntArray:
        looked.append(len(log_acceptance))
        if len(looked) == 3:
            raise KeyboardInterrupt
        return accepted(log_acceptance, streams)

    monkeypatch.setattr("spanver.oracles.episodic.accepted_tries", interrupted)
    with pytest.raises(KeyboardInterrupt):
        oracle.sample_until(states, AnchoredScore(np.zeros(1), np.eye(1), 1.0, np.zeros((2, 1))), np.full(2, 99.0), 20)
    assert oracle.ledger.samples == sum(looked[:2]) == 20
    assert isinstance(oracle, MeteredEpisodicOracle)


def test_empty_batches_cost_nothing() -> None:
    oracle = episodic_oracle(PROBLEM, seed=1)
    states = oracle.reset(0, np.empty(0, dtype=int))
    empty = np.empty(0, dtype=int)
    assert len(oracle.step(oracle.reset(0, empty), empty)) == 0
    assert oracle.sample(states, 3).features.shape == (0, 3, 3)
    assert oracle.sample_counts(states, 3).features.shape == (0, 3)
    assert oracle.sample_until(states, nothing(0), np.empty(0), 3).features.shape == (0, 3)
    assert oracle.ledger == EpisodicLedger()


@pytest.mark.parametrize(
    ("words", "query"),
    [
        ("count", lambda oracle, states: oracle.start(0)),
        ("count", lambda oracle, states: oracle.sample(states, 0)),
        ("number of draws", lambda oracle, states: oracle.sample(states, 2**24)),
        ("count", lambda oracle, states: oracle.sample_counts(states, 2**61)),
        ("limit", lambda oracle, states: oracle.sample_until(states, nothing(2), np.zeros(2), 0)),
        ("score", lambda oracle, states: oracle.sample_until(states, None, np.zeros(2), 1)),
        ("anchors", lambda oracle, states: oracle.sample_until(states, nothing(1), np.zeros(2), 1)),
        ("log_thresholds", lambda oracle, states: oracle.sample_until(states, nothing(2), np.zeros(3), 1)),
        ("states", lambda oracle, states: oracle.sample(states.ids, 1)),
        ("budget", lambda oracle, states: ANY_ORACLE(PROBLEM, seed=1, budget=7)),
    ],
)
def test_what_is_wrong_is_refused_by_name(words: str, query: Any) -> None:
    oracle = episodic_oracle(PROBLEM, seed=1)
    with pytest.raises(ArgumentError, match=words):
        query(oracle, oracle.start(2))


# Going on where another one stands


def _every_query(oracle: EpisodicOracle) -> list[Any]:
    """Answers to one query of each kind, from the start and from a state that was issued before."""
    zero = np.zeros(PROBLEM.dimension)
    begun = oracle.start(9)
    drawn = oracle.sample(begun, 2)
    following = oracle.step(begun, drawn.actions[:, 0])
    score = AnchoredScore(zero, np.eye(PROBLEM.dimension), 1.0, np.zeros((9, PROBLEM.dimension)))
    tallies = oracle.sample_counts(following, 5)
    trials = oracle.sample_until(following, score, np.full(9, 1.0), 40)
    rewards = oracle.reward(following, drawn.actions[:, 1])
    reset = oracle.reset(1, following.ids[:3])
    arrays = (begun.ids, drawn.actions, following.ids, tallies.rows, tallies.counts, trials.actions, trials.tries)
    return [*(each.tolist() for each in arrays), rewards.tolist(), reset.ids.tolist(), oracle.ledger]


@FORMS
@pytest.mark.parametrize("before", [0, 1, 3])
def test_an_oracle_goes_on_with_the_answers_of_the_one_whose_place_it_takes(literal: bool, before: int) -> None:
    first = episodic_oracle(PROBLEM, seed=5, literal=literal)
    for _ in range(before):
        _every_query(first)
    where = standing(first)
    held = {name: array.copy() for name, array in where.arrays.items()}
    expected = [_every_query(first) for _ in range(2)]
    second = episodic_oracle(PROBLEM, seed=5, literal=literal, start=where)
    assert [_every_query(second) for _ in range(2)] == expected
    assert all(np.array_equal(array, held[name]) for name, array in where.arrays.items())
    assert expected != [_every_query(episodic_oracle(PROBLEM, seed=5, literal=literal)) for _ in range(2)] or not before


def test_what_was_issued_stays_so_and_what_was_not_does_not() -> None:
    first = episodic_oracle(PROBLEM, seed=5)
    states = first.start(1)
    where: Standing = standing(first)
    second = episodic_oracle(PROBLEM, seed=5, start=where)
    assert second.ledger == first.ledger
    second.feature(second.reset(0, states.ids), np.zeros(1, dtype=int))
    others = np.setdiff1d(np.arange(len(PROBLEM.initial_law)), states.ids)
    with pytest.raises(ArgumentError, match="ids of states"):
        second.reset(0, others[:1])
    with pytest.raises(ArgumentError, match="reset for another"):
        second.step(states, np.zeros(1, dtype=int))
    first.step(states, np.zeros(1, dtype=int))


def test_a_budget_counts_what_was_answered_before() -> None:
    first = episodic_oracle(PROBLEM, seed=5)
    first.sample(first.start(1), 6)
    second = episodic_oracle(PROBLEM, seed=5, start=standing(first), budget=EpisodicBudget(samples=8))
    states = second.start(1)
    second.sample(states, 2)
    with pytest.raises(BudgetExceededError):
        second.sample(states, 1)
