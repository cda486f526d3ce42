"""The families `auto`, `forks` and `mdp` are realizable, have their closed forms, and can judge dynamic programming."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spanver.errors import ArgumentError
from spanver.exact import layered as exact_layers
from spanver.kernels import log_softmax
from spanver.problems.families.auto import auto_problem
from spanver.problems.families.forks import forks_problem
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.families.tokens import token_problem
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.problems.tokens import TokenProblem, as_mdp
from spanver.values import FloatArray

Family = Callable[..., TokenProblem | LayeredMDP]

VARIED: list[tuple[Family, dict[str, Any]]] = [
    (auto_problem, {}),
    (auto_problem, {"horizon": 1, "dimension": 1, "tokens": 2}),
    (auto_problem, {"horizon": 6, "tokens": 2, "prompts": 3, "kappa": 4.0, "beta": 0.01}),
    (forks_problem, {}),
    (forks_problem, {"horizon": 1, "dimension": 1, "alpha": 1.0}),
    (forks_problem, {"horizon": 8, "prompts": 2, "skill": 30.0, "beta": 0.01}),
    (mdp_problem, {}),
    (mdp_problem, {"horizon": 1, "states": 1, "dimension": 1, "actions": 2, "successors": 1}),
    (mdp_problem, {"horizon": 8, "kappa": 6.0, "beta": 0.01, "spread": 0.0}),
]


@pytest.mark.parametrize(("family", "settings"), VARIED)
@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_differences_of_values_are_linear_and_rewards_are_in_their_range(
    family: Family, settings: dict[str, Any], seed: int
) -> None:
    problem = family(seed, **settings)
    assert problem.theta_star is not None
    for q, features, theta in zip(soft_q(problem), problem.features, problem.theta_star, strict=True):
        assert np.linalg.norm(features, axis=-1).max() <= 1.0
        assert np.linalg.norm(theta) <= problem.radius * (1 + 1e-15)
        differences = (features[:, :, None] - features[:, None]) @ theta
        assert q[:, :, None] - q[:, None] == pytest.approx(differences, abs=1e-12)
    rewards = np.concatenate([rewards.reshape(-1) for rewards in problem.rewards])
    assert rewards.min() >= 0.0
    assert rewards.max() == pytest.approx(problem.reward_range)
    assert problem.radius >= problem.reward_range  # as the paper asks


@pytest.mark.parametrize("horizon", [2, 4, 8])
@pytest.mark.parametrize(("kappa", "skill"), [(0.7, 4.0), (3.0, 0.5)])
def test_coverage_of_forks_is_that_of_a_choice_and_a_skill_to_half_the_horizon(
    horizon: int, kappa: float, skill: float
) -> None:
    problem = forks_problem(5, horizon=horizon, kappa=kappa, skill=skill)
    law = exact_layers.log_optimal_law(problem)
    of_choice, of_skill = (math.log(2.0 / (1.0 + math.exp(-worth))) for worth in (kappa, skill))
    assert exact_layers.log_conditional_coverage(problem, law) == pytest.approx(max(of_choice, of_skill), abs=1e-12)
    sequences = exact_layers.log_coverage(problem, law)[0]
    assert sequences == pytest.approx(0.5 * horizon * (of_choice + of_skill), abs=1e-11)


def test_in_forks_a_choice_is_worth_kappa_and_a_skill_only_after_token_one() -> None:
    problem = forks_problem(2, horizon=4, prompts=2)
    q = soft_q(problem)
    for layer in (0, 2):
        assert q[layer][:, 1] - q[layer][:, 0] == pytest.approx(0.7 * problem.beta, abs=1e-12)
    for layer in (1, 3):
        worth = np.abs(q[layer][:, 1] - q[layer][:, 0])
        assert worth[0::2] == pytest.approx(0.0, abs=1e-12)
        assert worth[1::2] == pytest.approx(4.0 * problem.beta, abs=1e-12)


def gap_of_exact_fit(problem: LayeredMDP, mistake: str) -> float:
    """Share of the base gap that is left where a value is fitted to exact means of rollouts, all of them covered."""
    laws: list[FloatArray] = []
    later = np.zeros(0)
    for layer in reversed(range(problem.horizon)):
        q = problem.rewards[layer] + (problem.expected(layer, later) if laws else 0.0)
        base, phi = problem.log_base[layer], problem.features[layer]
        relative = (phi - phi[:, problem.anchor, None]).reshape(-1, problem.dimension)
        targets = (q - q[:, problem.anchor, None]).reshape(-1)
        theta = np.linalg.lstsq(relative, targets, rcond=None)[0]
        law = log_softmax(base, phi @ theta, problem.beta)
        rolled = base if mistake == "base rollouts" else law
        penalty = 0.0 if mistake == "no log ratio" else problem.beta * (rolled - base)
        later = (np.exp(rolled) * (q - penalty)).sum(axis=1)
        laws.insert(0, law)
    return exact_layers.layered_gap(problem, laws) / exact_layers.layered_gap(problem, problem.log_base)


def test_tokens_cannot_judge_dynamic_programming_and_the_other_families_can() -> None:
    problems = [as_mdp(forks_problem()), as_mdp(auto_problem(horizon=4, kappa=4.0)), mdp_problem()]
    least = {"base rollouts": [0.2, 0.01, 1e-4], "no log ratio": [0.02, 0.005, 1e-4]}
    for mistake, shares in least.items():
        assert gap_of_exact_fit(as_mdp(token_problem()), mistake) < 1e-12
        for problem, share in zip(problems, shares, strict=True):
            assert gap_of_exact_fit(problem, mistake) > share, (problem.name, mistake)
            assert gap_of_exact_fit(problem, "none") < 1e-12


@pytest.mark.parametrize("family", [auto_problem, forks_problem, mdp_problem])
def test_a_family_is_a_function_of_its_parameters_and_seeds_differ(family: Family) -> None:
    problem = family(3, horizon=3, noise=0.5)
    again, other = family(**problem.parameters), family(4, horizon=3, noise=0.5)
    assert (problem.table.features == again.table.features).all()
    assert (problem.table.reward == again.table.reward).all()
    assert (problem.table.log_base == again.table.log_base).all()
    assert problem.noise == again.noise == 0.5
    assert (problem.table.features != other.table.features).any()


@pytest.mark.parametrize(
    ("family", "arguments"),
    [
        (auto_problem, {"horizon": 0}),
        (auto_problem, {"horizon": 17}),
        (auto_problem, {"tokens": 1}),
        (auto_problem, {"kappa": 0.0}),
        (auto_problem, {"noise": 1.5}),
        (forks_problem, {"horizon": 17}),
        (forks_problem, {"skill": 0.0}),
        (forks_problem, {"alpha": 1.5}),
        (forks_problem, {"prompts": 0}),
        (mdp_problem, {"horizon": 0}),
        (mdp_problem, {"actions": 1}),
        (mdp_problem, {"successors": 0}),
        (mdp_problem, {"spread": -1.0}),
    ],
)
def test_bad_arguments_are_refused_by_name(family: Family, arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        family(**arguments)
