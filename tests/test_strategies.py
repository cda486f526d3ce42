"""Strategies give valid instances of every kind that they promise, and shrink to the smallest one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from spanver.exact.layered import soft_values
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.strategies import (
    laws,
    layered_mdps,
    realizing,
    regressions,
    relative_features,
    run_settings,
    spanning_sets,
    tabular_problems,
    token_problems,
)
from spanver.values import FloatArray

SEARCH = settings(
    max_examples=5000, database=None, derandomize=True, phases=(Phase.generate, Phase.shrink), deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def some(strategy: st.SearchStrategy[Any], wanted: Callable[[Any], bool]) -> Any:
    """Return the first that is wanted, which is quicker than to look for the smallest."""
    return find(strategy, wanted, settings=settings(SEARCH, phases=[Phase.generate]))


def found(strategy: st.SearchStrategy[Any], wanted: Callable[[Any], bool] = lambda _: True) -> Any:
    return find(strategy, wanted, settings=SEARCH)


def rank(features: FloatArray) -> int:
    return int(np.linalg.matrix_rank(features.reshape(-1, features.shape[-1])))


@given(tabular_problems())
@settings(max_examples=200, database=None, derandomize=True, deadline=None)
def test_problems_are_realizable_within_their_ball_and_interval(problem: TabularProblem) -> None:
    theta = realizing(problem)
    assert np.linalg.norm(theta) <= problem.radius
    assert np.linalg.norm(problem.features, axis=-1).max() <= 1.0 + 1e-12
    differences = problem.reward - problem.features @ theta
    assert np.ptp(differences, axis=1).max() <= 1e-12  # a constant a prompt is invisible
    low, high = problem.reward_low[:, None], problem.reward_low[:, None] + problem.reward_range
    assert ((low - 1e-12 <= problem.reward) & (problem.reward <= high + 1e-12)).all()
    assert np.logaddexp.reduce(problem.log_base, axis=1) == pytest.approx(np.zeros(problem.prompts), abs=1e-12)


KINDS: dict[str, Callable[[TabularProblem], bool]] = {
    "impossible responses": lambda p: bool((p.log_base == -np.inf).any()),
    "impossible prompts": lambda p: bool((p.prompt_law == 0).any()),
    "very rare responses": lambda p: bool(((p.log_base < -500) & (p.log_base > -np.inf)).any()),
    "very small beta": lambda p: p.beta <= 1e-4 and float(np.ptp(p.reward)) / p.beta > 1e3,
    "duplicates": lambda p: p.responses > 1 and bool((p.features[0, 0] == p.features[0, 1]).all()),
    "rank-deficient features": lambda p: p.dimension == 3 and rank(p.features) == 2,
    "nearly collinear features": lambda p: (
        rank(p.features) == 2 and float(np.abs(p.features[..., 1:]).max()) < 1e-5 < float(np.abs(p.features).max())
    ),
    "the largest size": lambda p: p.features.shape == (3, 4, 3),
    "noise": lambda p: p.noise == 1.0,
}


@pytest.mark.parametrize("kind", KINDS)
def test_problems_of_every_kind_are_there(kind: str) -> None:
    assert KINDS[kind](some(tabular_problems(), KINDS[kind]))


def test_a_problem_shrinks_to_one_prompt_one_response_and_one_dimension() -> None:
    assert found(tabular_problems()).features.shape == (1, 1, 1)
    spread = found(tabular_problems(), lambda problem: float(np.ptp(problem.reward)) > 0)
    assert spread.features.shape in ((1, 2, 1), (2, 1, 1))
    assert (spread.beta, spread.noise) == (1.0, 0.0)


def test_settings_shrink_to_one_round_of_everything() -> None:
    least = found(run_settings())
    assert (least.prompts, least.pairs_per_prompt, least.exploration_rounds) == (1, 1, 1)
    assert found(run_settings(exploration_rounds=7), lambda each: each.exploration_rounds == 7)


def test_relative_features_are_no_longer_than_two_and_shrink_to_one_pair() -> None:
    assert found(relative_features()).shape == (1, 1, 1)
    assert (
        np.linalg.norm(some(relative_features(), lambda pairs: float(np.linalg.norm(pairs)) > 1.9), axis=-1).max()
        <= 2.0
    )
    assert some(relative_features(), lambda pairs: pairs.shape == (12, 4, 4)).shape == (12, 4, 4)


def test_regressions_have_every_rank_and_scale() -> None:
    features, targets, radius = found(regressions())
    assert (features.shape, targets.shape, radius) == ((1, 1), (1,), 1.0)
    assert some(regressions(), lambda data: min(data[0].shape) == 2 and rank(data[0]) == 1)
    assert some(regressions(), lambda data: float(np.abs(data[0]).max()) >= 1e5)
    assert some(regressions(), lambda data: 0 < float(np.abs(data[0]).max()) <= 1e-6)


LAW_KINDS: dict[str, Callable[[FloatArray], bool]] = {
    "impossible first": lambda law: bool(law[0] == 0),
    "impossible last": lambda law: bool(law[-1] == 0),
    "impossible between": lambda law: bool((law[1:-1] == 0).any()),
    "one dominates": lambda law: bool(law.max() > 0.89),
    "all different": lambda law: len(law) > 2 and len(set(law.tolist())) == len(law),
}


def test_laws_have_two_possible_outcomes_at_least_and_may_have_impossible_ones() -> None:
    assert found(laws()).tolist() == [0.5, 0.5]
    for kind in LAW_KINDS.values():
        law = found(laws(), kind)
        assert law.sum() == pytest.approx(1.0)
        assert (law > 0).sum() >= 2


def test_spanning_sets_span_and_may_repeat_values_in_another_order() -> None:
    assert rank(found(spanning_sets(), lambda vectors: vectors.shape == (8, 4))) == 4
    rolled = found(spanning_sets(), lambda v: v.shape[1] == 3 and len(set(v[0])) == 3 and set(v[0]) == set(v[1]))
    assert rolled[1].tolist() == np.roll(rolled[0], 1).tolist()


TOKEN_KINDS: dict[str, Callable[[TokenProblem], bool]] = {
    "three layers": lambda p: p.horizon == 3 and p.vocabulary_size > 1,
    "impossible tokens": lambda p: any((base == -np.inf).any() for base in p.log_base),
    "very rare tokens": lambda p: any(((base < -500) & (base > -np.inf)).any() for base in p.log_base),
    "very small beta": lambda p: p.beta <= 1e-4 and float(np.ptp(p.reward)) / p.beta > 1e3,
    "several prompts": lambda p: p.prompts > 1,
    "values that differ with the prefix": lambda p: (
        p.horizon > 1 and float(np.ptp(p.reward.reshape(-1, p.vocabulary_size), axis=1).min()) > 0
    ),
}


@pytest.mark.parametrize("kind", TOKEN_KINDS)
def test_token_problems_of_every_kind_come(kind: str) -> None:
    assert TOKEN_KINDS[kind](some(token_problems(), TOKEN_KINDS[kind]))


def test_token_problems_shrink_to_one_token_of_one_layer() -> None:
    smallest = found(token_problems())
    assert (smallest.horizon, smallest.vocabulary_size, smallest.prompts, smallest.beta) == (1, 1, 1, 1.0)
    deeper = found(token_problems(), lambda p: p.horizon > 1 and float(np.ptp(p.reward)) > 0)
    assert (deeper.horizon, deeper.vocabulary_size, deeper.prompts) == (2, 2, 1)
    assert np.count_nonzero(deeper.reward) == 1


@given(token_problems())
@settings(max_examples=100, database=None, derandomize=True, deadline=None)
def test_token_problems_are_realizable_within_their_ball(problem: TokenProblem) -> None:
    assert problem.theta_star is not None
    assert np.linalg.norm(problem.theta_star, axis=1).max() <= problem.radius
    assert max(float(np.linalg.norm(each, axis=-1).max()) for each in problem.features) <= 1.0


PROCESSES: dict[str, Callable[[LayeredMDP], bool]] = {
    "the largest size": lambda p: p.horizon == p.actions == 3 and max(len(base) for base in p.log_base) == 3,
    "one action in one state": lambda p: p.horizon == p.actions == len(p.log_base[0]) == 1,
    "an anchor that is not the first action": lambda p: p.anchor > 0,
    "impossible actions": lambda p: any((base == -np.inf).any() for base in p.log_base),
    "a rare anchor": lambda p: any((base[:, p.anchor] < -20.0).any() for base in p.log_base),
    "impossible and rare next states": lambda p: any(
        (law == 0.0).any() and ((law > 0.0) & (law < 1e-6)).any() for law in p.transitions
    ),
    "values that differ from state to state": lambda p: any(
        len(values) > 1 and np.ptp(values) > 0.1 for values in soft_values(p)[1:]
    ),
    "very small beta": lambda p: p.beta <= 1e-4 and max(float(np.ptp(each)) for each in p.rewards) > 0.1,
}


@pytest.mark.parametrize("kind", PROCESSES)
def test_processes_of_layers_of_every_kind_are_there(kind: str) -> None:
    assert PROCESSES[kind](some(layered_mdps(), PROCESSES[kind]))


@given(layered_mdps())
@settings(max_examples=200, database=None, derandomize=True, deadline=None)
def test_processes_of_layers_are_realizable_within_their_ball_and_range(problem: LayeredMDP) -> None:
    assert problem.theta_star is not None
    for q, phi, theta, base, rewards in zip(
        soft_q(problem), problem.features, problem.theta_star, problem.log_base, problem.rewards, strict=True
    ):
        assert np.linalg.norm(theta) <= problem.radius
        assert np.ptp(q - phi @ theta, axis=1).max() <= 1e-9
        assert ((rewards >= -1e-12) & (rewards <= problem.reward_range + 1e-12)).all()
        assert (base[:, problem.anchor] > -np.inf).all()
    assert problem.reward_range <= problem.radius or problem.reward_range == 1.0


def test_a_process_of_layers_shrinks_to_one_action_in_one_state() -> None:
    problem = found(layered_mdps())
    assert (problem.horizon, problem.actions, len(problem.initial_law)) == (1, 1, 1)
