"""Proper exploration: which reward queries are of fresh draws, and with which parameters they were drawn."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from spanver.errors import QuestionRefusedError
from spanver.oracle import Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.proper import Exploration, ProperOracle
from spanver.problems.families.random_tables import random_problem
from spanver.values import UncertainPairRule
from spanver.verification.transcript import RecordingOracle, first_improper

PROBLEM = random_problem(1, prompts=2, responses=6, dimension=2)
THETA = np.array([0.5, -0.25])


def proper_oracle() -> tuple[Oracle, Exploration]:
    watched = ProperOracle(counted_oracle(PROBLEM, seed=3))
    return cast(Oracle, watched), watched.exploration


def test_the_parameter_of_every_reward_is_noted_in_the_order_of_queries() -> None:
    oracle, exploration = proper_oracle()
    prompt = oracle.prompt()
    own, base = oracle.sample(prompt, 2, theta=THETA), oracle.sample(prompt, 1)
    for response in (base[0], own[1], own[0]):
        oracle.reward(prompt, response)
    assert [theta.tolist() for theta in exploration.parameters] == [[0.0, 0.0], THETA.tolist(), THETA.tolist()]
    assert (oracle.ledger.samples, oracle.ledger.rewards) == (3, 3)


def test_a_parameter_may_depend_on_the_prompt_and_on_what_was_drawn_before() -> None:
    oracle, exploration = proper_oracle()
    prompt = oracle.prompt()
    first = oracle.sample(prompt, 1)[0]
    second = oracle.sample(prompt, 1, theta=0.5 * first.features)[0]
    oracle.reward(prompt, second)
    oracle.reward(prompt, first)
    assert np.array_equal(exploration.parameters[0], 0.5 * first.features)


def test_draws_with_log_probabilities_are_draws() -> None:
    watched = ProperOracle(counted_oracle(PROBLEM, seed=3, log_probabilities=True))
    oracle = RecordingOracle(cast(Oracle, watched))
    prompt = oracle.prompt()
    told = oracle.sample_log_probabilities(prompt, 2, THETA).responses
    for response in (told[1], told[0]):
        oracle.reward(prompt, response)
    assert [theta.tolist() for theta in watched.exploration.parameters] == [THETA.tolist()] * 2
    assert first_improper(oracle.queries) is None
    with pytest.raises(QuestionRefusedError, match="no draw of it is left"):
        oracle.reward(prompt, told[0])


def test_a_draw_is_rewarded_once_and_guesses_and_results_of_searches_are_not() -> None:
    oracle, exploration = proper_oracle()
    prompt = oracle.prompt()
    drawn = oracle.sample(prompt, 1)[0]
    other = 1 - int(drawn.id) if drawn.id in (0, 1) else 0
    sentence = rf"the reward of response {other} is no proper query \(FMR25 Definition 4.1\)"
    with pytest.raises(QuestionRefusedError, match=sentence):
        oracle.reward(prompt, other)
    oracle.reward(prompt, drawn)
    with pytest.raises(QuestionRefusedError, match="no draw of it is left"):
        oracle.reward(prompt, drawn)
    pair = oracle.sample_until(prompt, UncertainPairRule(np.eye(2), 1e-6), 1000).responses
    assert pair is not None
    for response in (pair[0], pair[1]):
        if response.id != drawn.id:
            with pytest.raises(QuestionRefusedError):
                oracle.reward(prompt, response)
    counts = oracle.sample_counts(prompt, 5).responses
    with pytest.raises(QuestionRefusedError):
        oracle.reward(prompt, counts[0])
    assert oracle.ledger.rewards == len(exploration.parameters) == 1, "what is refused is not charged"


def test_a_draw_is_of_its_prompt() -> None:
    exploration = Exploration(1)
    exploration.draw(0, None, [7])
    assert not exploration.query(1, 7)
    assert exploration.query(0, 7)


def test_of_equal_draws_the_latest_is_rewarded_first() -> None:
    exploration = Exploration(1)
    for theta in (1.0, 2.0):
        exploration.draw(0, np.array([theta]), [7, 7])
    assert [exploration.query(0, 7) for _ in range(5)] == [True] * 4 + [False]
    assert [float(theta[0]) for theta in exploration.parameters] == [2.0, 2.0, 1.0, 1.0]


def test_comparisons_are_refused() -> None:
    oracle, _ = proper_oracle()
    prompt = oracle.prompt()
    drawn = oracle.sample(prompt, 2)
    with pytest.raises(QuestionRefusedError, match="comparisons are not offered"):
        oracle.compare(prompt, drawn[0], drawn[1])
