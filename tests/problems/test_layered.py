"""Processes of layers are checked when they are made, and are read-only from then on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from layered_tables import kernel, random_mdp
from token_tables import random_tokens

from spanver.errors import ArgumentError
from spanver.parameter_sets import Box
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.tokens import as_mdp

PROBLEM = random_mdp(1, horizon=3, actions=2)  # of 3, 4 and 3 states


def test_means_masses_and_largest_values_follow_the_transitions() -> None:
    problem = random_mdp(2, horizon=3, actions=2, zeros=True)
    for layer in range(2):
        states, following = len(problem.log_base[layer]), len(problem.log_base[layer + 1])
        values, masses = np.arange(1.0, following + 1.0), np.arange(1.0, states * 2 + 1.0).reshape(states, 2)
        masses_then = np.zeros(following)
        for state in range(states):
            for action in range(2):
                law = kernel(problem, layer, state, action)
                mean = sum(probability * values[state_then] for state_then, probability in law.items())
                assert problem.expected(layer, values)[state, action] == pytest.approx(mean, abs=1e-14)
                assert problem.largest(layer, values)[state, action] == max(values[state_then] for state_then in law)
                for state_then, probability in law.items():
                    masses_then[state_then] += masses[state, action] * probability
        assert problem.reached(layer, masses) == pytest.approx(masses_then, abs=1e-13)
    impossible = [np.inf if state == problem.successors[0][0, 0, 1] else 0.0 for state in range(4)]
    if problem.successors[0][0, 0, 0] != problem.successors[0][0, 0, 1]:
        assert problem.expected(0, np.array(impossible))[0, 0] == 0.0


def test_all_of_it_is_read_only_and_the_table_lists_every_state() -> None:
    assert PROBLEM.offsets == (0, 3, 7)
    assert PROBLEM.table.prompts == 10
    for name in ("log_base", "features", "rewards", "reward_low", "successors", "transitions"):
        for layer, array in enumerate(getattr(PROBLEM, name)):
            assert not array.flags.writeable, (name, layer)
    for layer, offset in enumerate(PROBLEM.offsets):
        rows = slice(offset, offset + len(PROBLEM.log_base[layer]))
        assert (PROBLEM.table.features[rows] == PROBLEM.features[layer]).all()
        assert (PROBLEM.table.reward[rows] == PROBLEM.rewards[layer]).all()
    assert (PROBLEM.horizon, PROBLEM.actions, PROBLEM.dimension) == (3, 2, 3)
    assert PROBLEM.reward_range == max(float(rewards.max()) for rewards in PROBLEM.rewards)
    assert PROBLEM.rewarded == (True, True, True)


def test_a_token_problem_becomes_one_whose_next_state_is_certain() -> None:
    problem = random_tokens(3, horizon=3, vocabulary_size=2, prompts=2)
    listed = as_mdp(problem, anchor=1)
    assert (listed.anchor, listed.rewarded) == (1, (False, False, True))
    assert (listed.initial_law == problem.prompt_law).all()
    for layer in range(2):
        for row in range(len(problem.log_base[layer])):
            assert kernel(listed, layer, row, 0) == {2 * row: 1.0}
            assert kernel(listed, layer, row, 1) == {2 * row + 1: 1.0}
    assert (listed.rewards[2].reshape(-1) == problem.reward.reshape(-1)).all()
    assert (listed.reward_low[2] == problem.reward_low.repeat(4)).all()
    assert listed.reward_range == problem.reward_range


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log_base": ()}, ["log_base"]),
        ({"initial_law": np.array([0.5, 0.6, 0.0])}, ["initial_law", "sum to 1"]),
        ({"features": PROBLEM.features[:2]}, ["layers of features", "3"]),
        ({"rewards": PROBLEM.rewards[:1]}, ["layers of rewards"]),
        ({"rewards": [*PROBLEM.rewards[:2], PROBLEM.rewards[2] - 1.0]}, ["reward", "below reward_low"]),
        ({"rewards": [*PROBLEM.rewards[:2], PROBLEM.rewards[2][:, :1]]}, ["rewards of layer 3"]),
        ({"reward_range": 0.1}, ["above reward_low"]),
        ({"rewarded": (False, True, True)}, ["rewards of layer 1", "not rewarded"]),
        ({"rewarded": (True,)}, ["layers of rewarded"]),
        ({"successors": PROBLEM.successors[:1]}, ["layers of successors"]),
        ({"successors": [PROBLEM.successors[0] + 2, PROBLEM.successors[1]]}, ["successors of layer 1", "0 to 3"]),
        ({"successors": [0.5 * PROBLEM.successors[0], PROBLEM.successors[1]]}, ["successors of layer 1", "integers"]),
        ({"successors": [PROBLEM.successors[0][:2], PROBLEM.successors[1]]}, ["shape of successors of layer 1"]),
        ({"transitions": PROBLEM.transitions[:1]}, ["layers of transitions"]),
        (
            {"transitions": [0.9 * PROBLEM.transitions[0], PROBLEM.transitions[1]]},
            ["transitions of layer 1", "sum to 1"],
        ),
        ({"transitions": [PROBLEM.transitions[0] * [2, -1], PROBLEM.transitions[1]]}, ["transitions of layer 1"]),
        ({"anchor": 2}, ["anchor", "below 2"]),
        ({"anchor": -1}, ["anchor"]),
        ({"theta_star": np.zeros((3, 3))}, ["theta_star", "off some difference in layer"]),
        ({"theta_star": np.full((3, 3), 5.0)}, ["theta_star"]),
        ({"beta": 0.0}, ["beta"]),
    ],
)
def test_what_is_wrong_is_refused_by_name(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ArgumentError) as refused:
        dataclasses.replace(PROBLEM, **changes)
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_parameters_are_checked_against_the_values_and_the_set() -> None:
    problem = mdp_problem(0, horizon=3)
    assert problem.theta_star is not None
    theta = problem.theta_star.copy()
    theta[1, 0] += 1e-6
    with pytest.raises(ArgumentError, match="off some difference in layer 2"):
        dataclasses.replace(problem, theta_star=theta)
    with pytest.raises(ArgumentError, match="theta_star"):
        dataclasses.replace(problem, radius=0.5 * float(np.linalg.norm(problem.theta_star[0])))
    boxed = dataclasses.replace(problem, shape=Box, radius=4.0)
    assert boxed.shape is Box
