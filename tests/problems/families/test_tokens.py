"""The family of token problems has its closed forms and is a function of its parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from token_tables import sequences

from spanver.errors import ArgumentError
from spanver.exact import layered as exact_layers
from spanver.problems.families.tokens import token_problem
from spanver.problems.layered import soft_q


@pytest.mark.parametrize("horizon", [1, 2, 5, 12])
@pytest.mark.parametrize("kappa", [0.1, 2.0, 8.0])
def test_coverage_in_the_family_is_that_of_a_token_to_the_depth(horizon: int, kappa: float) -> None:
    problem = token_problem(4, horizon=horizon, kappa=kappa, beta=0.03, dimension=3)
    law = exact_layers.log_optimal_law(problem)
    log_conditional = math.log(2.0 / (1.0 + math.exp(-kappa)))
    assert exact_layers.log_conditional_coverage(problem, law) == pytest.approx(log_conditional, abs=1e-12)
    assert exact_layers.log_coverage(problem, law)[0] == pytest.approx(horizon * log_conditional, abs=1e-11)


@pytest.mark.parametrize("settings", [{}, {"horizon": 1, "dimension": 1, "alpha": 1.0}, {"horizon": 6, "prompts": 3}])
def test_the_family_is_what_the_page_says(settings: dict[str, Any]) -> None:
    problem = token_problem(2, **settings)
    alpha, kappa = settings.get("alpha", 0.5), 2.0
    delta = kappa * problem.beta
    for q, features in zip(soft_q(problem), problem.features, strict=True):
        assert np.abs(features[..., 0]) == pytest.approx(alpha)
        assert (features[:, 0, 0] == -features[:, 1, 0]).all()
        assert (np.linalg.norm(features[..., 1:], axis=-1) ** 2 <= 1 - alpha**2 + 1e-15).all()
        assert q[:, 0] - q[:, 1] == pytest.approx(delta * np.sign(features[:, 0, 0]), abs=1e-12)
    for prompt in range(problem.prompts):
        for position, tokens in enumerate(sequences(problem)):
            rights = [
                problem.features[layer][problem.row(prompt, tokens[:layer]), token, 0] > 0
                for layer, token in enumerate(tokens)
            ]
            assert problem.reward[prompt, position] == pytest.approx(delta * sum(rights), abs=1e-12)
    assert problem.reward_range == pytest.approx(problem.horizon * delta)
    assert 2 * alpha * problem.radius == pytest.approx(delta)
    assert problem.theta_star is not None
    assert (problem.theta_star == problem.radius * np.eye(problem.dimension)[0]).all()


def test_the_family_is_a_function_of_its_parameters_and_seeds_differ() -> None:
    problem = token_problem(3, horizon=5, noise=0.5, prompts=2)
    again, other = token_problem(**problem.parameters), token_problem(4, horizon=5, noise=0.5, prompts=2)
    assert (problem.table.features == again.table.features).all()
    assert (problem.reward == again.reward).all()
    assert problem.noise == again.noise == 0.5
    assert (problem.reward != other.reward).any()


@pytest.mark.parametrize(
    "arguments",
    [{"horizon": 0}, {"horizon": 17}, {"dimension": 0}, {"kappa": 0.0}, {"alpha": 1.5}, {"alpha": 0.0}, {"prompts": 0}],
)
def test_bad_arguments_of_the_family_are_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        token_problem(**arguments)
