"""Bounds of multi-turn exploration against enumerated policies, searches and core-sets; forms in print fail."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from math import e

import numpy as np
import pytest
from enumerated import FloatArray, divergence, log_policy
from numpy.typing import NDArray

from spanver.guarantees.multi_turn import (
    anchored_gap,
    log_anchored_divergence,
    log_linear_optimum,
    log_ratio_factor,
    log_search_p_value,
    search_leftover,
)


@dataclass(frozen=True)
class State:
    """A policy that is truncated relative to the first action, with what it is compared with."""

    beta: float
    log_base: FloatArray
    values: FloatArray
    covered: NDArray[np.bool_]
    deviation: float
    share: float
    law: FloatArray
    truncated: FloatArray
    optimum: FloatArray

    @property
    def optimal_covered(self) -> float:
        """Of `pi*`."""
        return float(np.exp(self.optimum)[self.covered].sum())

    def regret(self) -> tuple[float, float]:
        """The gap at the state, and its bound."""
        uncovered = np.where(self.covered, 0.0, self.values)
        bound = anchored_gap(
            self.beta * max(0.0, divergence(self.law, self.truncated)),
            max(0.0, float(uncovered.max())),
            float(np.exp(self.optimum)[~self.covered].sum()),
            max(0.0, float(-uncovered.min())),
            float(np.exp(self.law)[~self.covered].sum()),
        )
        return self.beta * divergence(self.law, self.optimum), bound


def a_state(seed: int) -> State:
    rng = np.random.default_rng(seed)
    actions, dimension = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    beta, nu = float(np.exp(rng.uniform(-3.0, 0.5))), float(rng.uniform(0.05, 1.5))
    log_base = rng.normal(size=actions) * rng.choice([0.3, 2.0])
    log_base -= np.logaddexp.reduce(log_base)
    features = rng.normal(size=(actions, dimension)) * 0.5
    relative = features - features[0]
    root = rng.normal(size=(dimension, dimension))
    sigma = root @ root.T + rng.uniform(0.01, 1.0) * np.eye(dimension)
    norms = np.sqrt(np.einsum("ad,de,ae->a", relative, np.linalg.inv(sigma), relative))
    covered = norms <= nu
    best, away = rng.normal(size=dimension) * rng.uniform(0.0, 2.0), rng.normal(size=dimension)
    away *= rng.choice([0.0, 0.5, 1.0, 4.0]) * beta / nu / math.sqrt(away @ sigma @ away)
    law = log_policy(log_base, np.where(covered, relative @ (best + away), 0.0), beta)
    values = relative @ best
    share = float(np.exp(law) @ np.where(covered, norms, 0.0) ** 2) / nu**2
    return State(
        beta, log_base, values, covered, nu * math.sqrt(away @ sigma @ away) / beta, share, law,
        log_policy(log_base, np.where(covered, values, 0.0), beta), log_policy(log_base, values, beta),
    )  # fmt: skip


STATES = [a_state(seed) for seed in range(400)]


def test_a_truncated_policy_diverges_by_at_most_its_bound() -> None:
    for state in STATES:
        bound = math.exp(log_anchored_divergence(state.deviation, min(1.0, state.share)))
        assert divergence(state.law, state.truncated) <= bound * (1.0 + 1e-9) + 1e-12


def test_the_bound_on_divergence_is_attained_and_that_in_print_fails_for_every_beta_below_e_less_2() -> None:
    # A rare action as long as nu, at b = 1: theta = 0 and theta* = beta/nu.
    rare = 1e-6
    lost = math.log(1.0 - rare + rare * e) - rare
    assert 0.999 < lost / math.exp(log_anchored_divergence(1.0, rare)) <= 1.0
    for beta in (0.1, 0.7, 0.717):
        printed = rare * beta  # 1/beta E norm^2 norm(theta - theta*)^2
        assert lost > printed
    assert log_anchored_divergence(0.0, 1.0) == log_anchored_divergence(1.0, 0.0) == -math.inf


def test_ratios_of_a_truncated_policy_are_within_their_factor() -> None:
    largest, above_print = 0.0, 0
    for state in STATES:
        factor = math.exp(log_ratio_factor(min(1.0, state.optimal_covered), state.deviation))
        ratios, best = np.exp(state.law - state.log_base), np.exp(state.optimum - state.log_base)
        bounds = factor * np.where(state.covered, best, best[0])
        assert (ratios <= bounds * (1.0 + 1e-9)).all()
        largest = max(largest, float((ratios / bounds).max()))
        # In print the ratio of an uncovered action is bounded by its own, with 4 in place of 2.
        missed = 1.0 - best.max() * np.exp(state.log_base)[~state.covered].sum()
        above_print += bool(missed > 0.0 and (ratios > math.exp(4.0 * state.deviation) / missed * best * 1.01).any())
    assert largest > 0.999
    assert above_print > 0


def test_a_smaller_factor_of_ratios_fails() -> None:
    # All scores of covered actions are moved by b, and the action in question the other way; it is rare.
    rare, deviation = 1e-9, 0.5
    moved = math.exp(deviation) / ((1.0 - rare) * math.exp(-deviation) + rare * math.exp(deviation))
    assert moved == pytest.approx(math.exp(log_ratio_factor(1.0, deviation)), rel=1e-6)


def test_the_gap_at_a_state_is_at_most_its_bound_and_is_it_where_all_is_covered() -> None:
    exact = 0
    for state in STATES:
        gap, bound = state.regret()
        assert -1e-12 <= gap <= bound + 1e-9 * (1.0 + bound)
        if state.covered.all():
            exact += 1
            assert gap == pytest.approx(bound, abs=1e-9)
    assert exact > 30


def test_the_gap_at_a_state_may_be_above_the_one_in_print_from_three_layers_on() -> None:
    # In each of three layers the uncovered action earns 1 more, so that its value is 3; 2 R_max = 2 stands in print.
    beta, rare = 0.05, 0.05
    log_base, values = np.log([1.0 - rare, rare]), np.array([0.0, 3.0])
    optimum = log_policy(log_base, values, beta)
    gap = beta * divergence(log_base, optimum)
    assert 2.0 < gap <= anchored_gap(0.0, 3.0, float(np.exp(optimum[1])), 0.0, rare)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("rollouts", [1, 2, 7])
def test_a_p_value_of_a_search_is_at_most_its_level_with_at_most_that_probability(seed: int, rollouts: int) -> None:
    rng = np.random.default_rng(seed)
    law, norms = rng.dirichlet(np.full(6, 0.5)), np.sort(rng.integers(0, 9, 6))
    levels = np.unique(norms)
    at_most = np.array([law[norms <= level].sum() for level in levels])
    chances = np.diff(np.minimum(1.0, at_most) ** rollouts, prepend=0.0)  # of the largest norm that is met
    p_values = np.exp([log_search_p_value(rollouts, max(0.0, 1.0 - own)) for own in at_most])
    for level in p_values:
        assert chances[p_values <= level * (1.0 + 1e-12)].sum() <= level * (1.0 + 1e-9)
    # The least norm alone: a p-value is reached exactly, so that a smaller one would be none.
    assert chances[0] == pytest.approx(p_values[0])


def test_a_p_value_of_base_draws_counts_states_where_draws_are_often_above() -> None:
    # Rollouts come to a state where base draws are above with a probability of 1/Nbar, with the probability g.
    for rollouts, draws, often in itertools.product((1, 3), (2, 8), (0.2, 1.0)):
        unmet = (1.0 - often * (1.0 - (1.0 - 1.0 / draws) ** draws)) ** rollouts
        assert unmet <= math.exp(log_search_p_value(rollouts, (1.0 - 1.0 / e) * often))
    assert log_search_p_value(5, 1.0) == -math.inf


def test_what_a_search_leaves_of_all_starts_is_their_p_values_at_an_equal_share_of_delta() -> None:
    for rollouts, starts, delta in itertools.product((1, 8, 1000), (1, 40), (0.01, 0.5)):
        left = search_leftover(rollouts, starts, delta)
        assert log_search_p_value(rollouts, left) == pytest.approx(math.log(delta / starts))
        assert left <= math.log(starts / delta) / rollouts
    assert search_leftover(1000, 40, 0.01) == pytest.approx(math.log(4000) / 1000, rel=0.01)


@pytest.mark.parametrize(("radius", "beta"), [(1.0, 1.0), (math.log(12.0), 1.0), (2.0, 0.25)])
def test_linear_rewards_have_the_optimum_of_their_sequences(radius: float, beta: float) -> None:
    rewards = np.array([1.0, 1.0, 2.0, 1.0]) * radius  # of the sequences (1,1), (1,2), (2,1) and (2,2)
    optimum = log_policy(np.full(4, math.log(0.25)), rewards, beta)
    assert optimum[2] == pytest.approx(log_linear_optimum(radius, beta), abs=1e-12)
    # An autoregressive policy draws the first token evenly; the best one for (2,1) draws token 1 after 2.
    away = [0.5 * sum(abs(np.exp(optimum) - own)) for own in ([0.25, 0.25, 0.5, 0.0], [0.0, 0.0, 0.5, 0.5])]
    assert min(away) >= math.exp(optimum[2]) - 0.5 - 1e-12


def test_linear_rewards_are_no_softmax_of_tokens_from_b_above_log_3_on() -> None:
    assert math.exp(log_linear_optimum(math.log(3.0) * 1.001, 1.0)) > 0.5 > math.exp(log_linear_optimum(1.0, 1.0))
    for delta in (0.01, 0.25, 0.49):
        assert math.exp(log_linear_optimum(math.log(3.0 / delta), 1.0)) == pytest.approx(1.0 / (1.0 + delta))


@pytest.mark.parametrize("seed", range(20))
def test_values_at_the_anchors_of_a_core_set_are_at_most_twice_its_own(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states, actions = rng.integers(3, size=9), rng.integers(3, size=9)
    value = rng.exponential(size=(3, 3)) * rng.integers(2, size=(3, 3))
    value[states[actions != 0][:1], 0] = 1.0
    core = [*zip(states, actions, strict=True), *((state, 0) for state in states)]
    own, at_anchors = sum(value[each] for each in core), sum(value[state, 0] for state, _ in core)
    assert own + at_anchors <= 3.0 * own + 1e-12
    only = value * (np.arange(3) == 0)  # of anchors alone: the bound is attained
    away = [each for each in core[:9] if each[1] != 0]
    core = [*away, *((state, 0) for state, _ in away)]
    own, at_anchors = sum(only[each] for each in core), sum(only[state, 0] for state, _ in core)
    assert own + at_anchors == pytest.approx(3.0 * own)
    # Without the anchors of its elements it fails.
    assert sum(only[each] for each in away) == 0.0 < sum(only[state, 0] for state, _ in away)
