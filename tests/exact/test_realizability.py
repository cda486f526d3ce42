"""What the linear fit of token values leaves is the mean over listed pairs of tokens, and nothing where it holds."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from layered_tables import random_mdp, trajectories
from token_tables import random_tokens

from spanver.errors import ArgumentError
from spanver.exact.realizability import realizability
from spanver.parameter_sets import Box
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.families.tokens import token_problem
from spanver.problems.layered import soft_q
from spanver.problems.tokens import TokenProblem
from spanver.values import FloatArray


def listed_pairs(problem: TokenProblem, layer: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Probability, difference of values and relative feature of every prefix and pair of tokens of a layer."""
    q = soft_q(problem)[layer]
    weights, differences, vectors = [], [], []
    for row in range(len(q)):
        reach, place = 1.0, row
        for earlier in reversed(range(layer)):
            place, token = divmod(place, problem.vocabulary_size)
            reach *= math.exp(problem.log_base[earlier][place, token])
        reach *= problem.prompt_law[place]
        base = np.exp(problem.log_base[layer][row])
        for first in range(problem.vocabulary_size):
            for second in range(problem.vocabulary_size):
                weights.append(reach * base[first] * base[second])
                differences.append(q[row, first] - q[row, second])
                vectors.append(problem.features[layer][row, first] - problem.features[layer][row, second])
    return np.array(weights), np.array(differences), np.array(vectors)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_fit_and_what_it_leaves_are_those_of_all_pairs_listed(seed: int, zeros: bool) -> None:
    problem = random_tokens(seed, horizon=3, vocabulary_size=3, prompts=6, zeros=zeros)
    for layer, measured in enumerate(realizability(problem, radius=100.0)):
        weights, differences, vectors = listed_pairs(problem, layer)
        roots = np.sqrt(weights)
        theta = np.linalg.lstsq(roots[:, None] * vectors, roots * differences)[0]
        errors = differences - vectors @ theta
        assert weights.sum() == pytest.approx(1.0, rel=1e-12)
        assert measured.theta == pytest.approx(theta, rel=1e-6, abs=1e-9)
        assert measured.spread == pytest.approx(math.sqrt(weights @ differences**2), rel=1e-9)
        assert measured.residual == pytest.approx(math.sqrt(weights @ errors**2), rel=1e-9)
        assert measured.largest == pytest.approx(np.abs(errors[weights > 0.0]).max(), rel=1e-6)
        assert 0.0 < measured.share < 1.0
        assert measured.residual < measured.spread


@pytest.mark.parametrize(
    "problem",
    [
        token_problem(3, horizon=4),
        random_tokens(1, horizon=3, vocabulary_size=3, realizable=True),
        random_tokens(2, horizon=3, vocabulary_size=3, realizable=True, zeros=True),
    ],
    ids=["tokens", "random", "zeros"],
)
def test_nothing_is_left_where_the_problem_is_realizable(problem: TokenProblem) -> None:
    for layer in realizability(problem):
        assert layer.spread > 1e-2
        assert layer.residual < 1e-9
        assert layer.largest < 1e-9
        assert layer.share == pytest.approx(1.0, abs=1e-12)


def test_parameters_are_sought_in_the_ball_alone() -> None:
    problem = random_tokens(4, horizon=2, vocabulary_size=3, prompts=4)
    for layer, (free, bound) in enumerate(
        zip(realizability(problem, radius=100.0), realizability(problem, radius=0.1), strict=True)
    ):
        assert np.linalg.norm(bound.theta) == pytest.approx(0.1, rel=1e-9)
        assert bound.residual > free.residual
        weights, differences, vectors = listed_pairs(problem, layer)
        gradient = (weights[:, None] * vectors).T @ (vectors @ bound.theta - differences)
        assert gradient / np.linalg.norm(gradient) == pytest.approx(-bound.theta / 0.1, abs=1e-6)
    with pytest.raises(ArgumentError, match="radius"):
        realizability(problem, radius=0.0)


def test_a_layer_whose_values_do_not_differ_is_realizable() -> None:
    problem = TokenProblem(
        prompt_law=np.ones(1),
        log_base=[np.log([[0.5, 0.5]])],
        features=[np.array([[[0.3], [-0.2]]])],
        reward=np.array([[2.0, 2.0]]),
        beta=1.0,
        radius=1.0,
    )
    (layer,) = realizability(problem)
    assert (layer.spread, layer.residual, layer.largest, layer.share) == (0.0, 0.0, 0.0, 1.0)


def test_tokens_that_the_base_policy_never_draws_do_not_count() -> None:
    problem = TokenProblem(
        prompt_law=np.array([1.0, 0.0]),
        log_base=[np.array([[math.log(0.5), math.log(0.5), -math.inf], [math.log(0.5), math.log(0.5), -math.inf]])],
        features=[np.array([[[0.0], [0.5], [0.9]], [[0.0], [0.5], [0.9]]])],
        reward=np.array([[0.0, 0.5, -9.0], [0.0, -5.0, -9.0]]),
        beta=1.0,
        radius=1.0,
    )
    (layer,) = realizability(problem)
    assert layer.theta == pytest.approx([1.0], rel=1e-9)
    assert layer.largest < 1e-12


def test_the_fit_is_on_the_set_of_the_problem() -> None:
    problem = dataclasses.replace(token_problem(3, horizon=2), shape=Box, theta_star=None)
    for measured in realizability(problem, radius=1e-3):
        assert np.abs(measured.theta).max() == pytest.approx(1e-3 / math.sqrt(problem.dimension))


def test_of_a_process_of_layers_states_have_the_law_of_the_base_policy() -> None:
    for fitted in realizability(mdp_problem(0, horizon=3)):
        assert fitted.residual <= 1e-12 * fitted.spread
    problem = random_mdp(3, horizon=3)
    q = soft_q(problem)
    for layer, measured in enumerate(realizability(problem, radius=100.0)):
        squares, weights = [], []
        for trajectory, mass in trajectories(problem, problem.log_base):
            state = trajectory[0][layer]
            base = np.exp(problem.log_base[layer][state])
            differences = np.subtract.outer(q[layer][state], q[layer][state])
            squares.append(float(base @ differences**2 @ base))
            weights.append(mass)
        assert measured.spread == pytest.approx(math.sqrt(np.dot(weights, squares)), rel=1e-10)
        assert 0.0 < measured.residual < measured.spread
