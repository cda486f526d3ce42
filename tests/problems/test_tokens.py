"""Token problems: read-only arrays, refusals in a sentence, and the same problem as one table of sequences."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from token_tables import random_tokens, sequence_probabilities, sequences

from spanver.errors import ArgumentError
from spanver.exact import layered as exact_layers
from spanver.exact import tabular as exact
from spanver.parameter_sets import Ball, Box
from spanver.problems.families.tokens import token_problem
from spanver.problems.tokens import TokenProblem, log_sequence_law, sequence_view


def small(**changes: Any) -> TokenProblem:
    problem = random_tokens(3, horizon=2, vocabulary_size=2, realizable=True)
    given: dict[str, Any] = {
        name: getattr(problem, name)
        for name in ("prompt_law", "log_base", "features", "reward", "beta", "radius", "theta_star")
    }
    return TokenProblem(**(given | changes))


def test_the_sequence_view_is_the_same_problem_with_longer_features() -> None:
    problem = token_problem(5, horizon=3, prompts=2, noise=0.1)
    view = sequence_view(problem)
    assert view.theta_star is not None  # a table checks that it realizes the rewards
    assert (view.prompts, view.responses, view.dimension, view.noise) == (2, 8, 12, 0.1)
    assert view.radius == pytest.approx(math.sqrt(3 * 3 * problem.radius**2))
    assert np.linalg.norm(view.theta_star) == pytest.approx(view.radius)
    assert view.reward_range == problem.reward_range
    for position, tokens in enumerate(sequences(problem)):
        parts = [problem.features[layer][problem.row(1, tokens[:layer]), token] for layer, token in enumerate(tokens)]
        assert view.features[1, position] == pytest.approx(np.concatenate(parts) / math.sqrt(3), abs=1e-15)
    assert np.exp(view.log_base) == pytest.approx(sequence_probabilities(problem, problem.log_base))
    law = exact_layers.log_optimal_law(problem)
    assert np.exp(exact.log_optimal_law(view)) == pytest.approx(np.exp(log_sequence_law(law)), abs=1e-14)
    base = exact_layers.layered_gap(problem, problem.log_base)
    assert base == pytest.approx(exact.gap(view, view.log_base), rel=1e-12)


def test_the_parameters_of_all_layers_in_boxes_are_a_box_and_in_balls_inside_a_ball() -> None:
    problem = token_problem(5, horizon=3)
    wide = math.sqrt(problem.dimension) * problem.radius  # the parameters of the family are along an axis
    boxed = dataclasses.replace(problem, shape=Box, radius=wide)
    view = sequence_view(boxed)
    assert boxed.table.shape is view.shape is Box
    assert sequence_view(problem).shape is Ball
    corners = math.sqrt(3.0) * np.ones(view.dimension) * Box(wide).half_width(problem.dimension)
    assert Box(view.radius).half_width(view.dimension) == pytest.approx(corners[0])


def test_a_sequence_view_claims_no_parameter_where_none_of_that_form_realizes_the_rewards() -> None:
    problem = random_tokens(3, horizon=2, vocabulary_size=2, realizable=True)
    view = sequence_view(problem)
    assert view.theta_star is None
    assert problem.theta_star is not None
    relative = view.features - view.features[:, :1]
    differences = view.reward - view.reward[:, :1]
    long = math.sqrt(2) * problem.theta_star.reshape(-1)
    assert np.abs(relative @ long - differences).max() > 1e-3


def test_arrays_of_a_problem_cannot_be_written_to() -> None:
    problem = random_tokens(0, horizon=2, vocabulary_size=2, realizable=True)
    arrays = [problem.prompt_law, problem.reward, problem.reward_low, *problem.log_base, *problem.features]
    assert problem.theta_star is not None
    for array in [*arrays, problem.theta_star]:
        with pytest.raises(ValueError, match="read-only"):
            array[..., 0] = 0.0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"log_base": []}, "log_base"),
        ({"features": [np.zeros((2, 2, 3))]}, "the layers of features is 1"),
        ({"log_base": [np.log(np.full((2, 2), 0.5))] * 2}, "the shape of log_base of layer 2"),
        ({"log_base": [np.log(np.full((2, 2), 0.4)), np.log(np.full((4, 2), 0.5))]}, "the sum of the base policy"),
        ({"features": [np.ones((2, 2, 3)), np.zeros((4, 2, 3))]}, "the longest feature vector"),
        ({"features": [np.zeros((2, 2, 3)), np.zeros((4, 2, 2))]}, "the shape of features of layer 2"),
        ({"reward": np.zeros((2, 3))}, "the shape of reward"),
        ({"reward": np.full((2, 4), math.nan)}, "reward"),
        ({"prompt_law": [0.5, 0.6]}, "the sum of prompt_law"),
        ({"beta": 0.0}, "beta"),
        ({"radius": 0.5}, "the distance of theta_star"),
        ({"theta_star": np.zeros((2, 3))}, "theta_star is"),
        ({"theta_star": np.zeros((3, 3))}, "the shape of theta_star"),
        ({"reward_range": 1e-3}, "inside its interval"),
        ({"noise": 1.5}, "noise"),
    ],
)
def test_bad_problems_are_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    small()
    with pytest.raises(ArgumentError, match=sentence):
        small(**changes)
