"""Steps of MTSS that are as right as those of `mtss.py`, and differ in what they may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from spanver.episodic import EpisodicOracle, States
from spanver.values import FloatArray, IntArray
from spanver.zoo.independent.layered_samplers import Core, drawn_pilots, softmax_moves, some, tried_trials
from spanver.zoo.independent.mtss import (
    Follow,
    Play,
    Pool,
    first_states,
    fit_value,
    functions_of,
    own_reward,
    uncertain_pair,
)
from spanver.zoo.independent.regressions import augmented_fit

own_moves = partial(softmax_moves, pilots=drawn_pilots, trials=tried_trials)
"""Algorithm 2 by draws of its own."""


def rewards_at_last(oracle: EpisodicOracle, states: States, actions: IntArray, play: Play) -> FloatArray:
    """Returns of rollouts that all end before the first reward is asked for, that of the last layer first."""
    visits, paid = [(states, actions)], np.zeros(len(states))
    while states.layer + 1 < oracle.horizon:
        states = oracle.step(states, actions)
        moves = play(states)
        actions, paid = moves.actions, paid + moves.log_ratios
        visits.append((states, actions))
    rewards = [own_reward(oracle, *visit) for visit in reversed(visits)]
    return np.asarray(np.sum(rewards, axis=0) - oracle.beta * paid)


def nothing_for_anchors(
    oracle: EpisodicOracle, layer: int, state: int, action: int, rollouts: int, play: Play, follow: Follow
) -> float:
    """Mean difference of returns, and 0 without a rollout for a pair of the anchor; one arm after the other.

    In the last layer a rollout ends where it begins, so that no episode has to stand there.
    """
    if action == oracle.anchor:
        return 0.0
    ids, is_last = np.full(rollouts, state), layer + 1 == oracle.horizon
    means = [
        float(np.mean(follow(oracle, States(layer, ids, 0) if is_last else oracle.reset(layer, ids), arms, play)))
        for arms in (np.full(rollouts, oracle.anchor), np.full(rollouts, action))
    ]
    return means[1] - means[0]


def from_the_last_pair(oracle: EpisodicOracle, layer: int, cores: Sequence[Core], settings: Any) -> Iterator[States]:
    """Batches that a search begins with: one for each pair of a core-set, the last first, and then first states."""
    for earlier in reversed(range(layer)):
        for state, action in zip(cores[earlier].states[::-1], cores[earlier].actions[::-1], strict=True):
            states = oracle.reset(earlier, np.full(settings.span_rollouts, state))
            yield oracle.step(states, np.full(settings.span_rollouts, action))
    yield first_states(oracle, settings)


def base_pool_by_state(oracle: EpisodicOracle, states: States, anchors: FloatArray, count: int) -> Pool:
    """Draws of the base policy, the last state first."""
    rows = np.arange(len(states))[::-1]
    drawn = [oracle.sample(some(states, np.array([row])), count) for row in rows]
    vectors = np.concatenate([each.features[0] - anchors[row] for each, row in zip(drawn, rows, strict=True)])
    return np.repeat(states.ids[rows], count), np.concatenate([each.actions[0] for each in drawn]), vectors


OWN_DRAWS = functions_of(partial(fit_value, sampler=own_moves), partial(uncertain_pair, sampler=own_moves))
"""Pilots and trials by draws of its own."""

OTHER_ORDER = functions_of(
    partial(fit_value, follow=rewards_at_last, target=nothing_for_anchors, fit=augmented_fit),
    partial(uncertain_pair, starts=from_the_last_pair, base=base_pool_by_state),
)
"""The same queries in another order, fewer rollouts and resets, and another least squares."""
