"""Exact quantities of policies on processes of layers agree with the listing of every trajectory."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from layered_tables import log_ratio, random_law, random_mdp, total_reward, trajectories
from token_tables import random_law as random_token_law
from token_tables import random_tokens

from spanver.exact import layered as exact_layers
from spanver.problems.layered import soft_q
from spanver.problems.tokens import as_mdp

CASES = [
    {"seed": seed, "horizon": horizon, "actions": actions, "zeros": zeros}
    for seed, (horizon, actions, zeros) in enumerate([(1, 3, False), (2, 2, False), (3, 2, True), (3, 3, False)])
]


@pytest.mark.parametrize("case", CASES)
def test_the_objective_is_the_mean_reward_less_the_divergence(case: dict[str, Any]) -> None:
    problem = random_mdp(**case)
    for law in (random_law(problem, 5), exact_layers.log_optimal_law(problem)):
        expected = math.fsum(
            mass * (total_reward(problem, path) - problem.beta * log_ratio(problem, law, path))
            for path, mass in trajectories(problem, law)
        )
        assert exact_layers.objective(problem, law) == pytest.approx(expected, abs=1e-13)
        gap = exact_layers.best_objective(problem) - expected
        assert exact_layers.layered_gap(problem, law) == pytest.approx(gap, abs=1e-13)
        divergence = math.fsum(mass * log_ratio(problem, law, path) for path, mass in trajectories(problem, law))
        ours = problem.initial_law @ exact_layers.kl_divergence(problem, law, problem.log_base)
        assert ours == pytest.approx(divergence, abs=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_no_policy_is_better_than_the_optimum(case: dict[str, Any]) -> None:
    problem = random_mdp(**case)
    best = exact_layers.best_objective(problem)
    gaps = [exact_layers.layered_gap(problem, random_law(problem, seed)) for seed in range(20)]
    assert min(gaps) > 1e-3  # of random laws, none is near it
    assert exact_layers.objective(problem, exact_layers.log_optimal_law(problem)) == pytest.approx(best, abs=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_values_of_a_policy_are_means_over_what_follows(case: dict[str, Any]) -> None:
    problem = random_mdp(**case)
    law = random_law(problem, 6)
    sums = [np.zeros(log_base.shape) for log_base in problem.log_base]
    masses = [np.zeros(log_base.shape) for log_base in problem.log_base]
    for path, mass in trajectories(problem, law):
        for layer, at in enumerate(zip(*path, strict=True)):
            later = log_ratio(problem, law, path, first=layer + 1)
            sums[layer][at] += mass * (total_reward(problem, path, first=layer) - problem.beta * later)
            masses[layer][at] += mass
    q, best = exact_layers.policy_q(problem, law), soft_q(problem)
    for layer in range(problem.horizon):
        seen = masses[layer] > 0.0
        assert q[layer][seen] == pytest.approx(sums[layer][seen] / masses[layer][seen], abs=1e-12)
        assert (q[layer] <= best[layer] + 1e-14).all()
        states = masses[layer].sum(axis=1)
        assert exact_layers.occupancies(problem, law)[layer] == pytest.approx(states, abs=1e-14)
    of_optimum = exact_layers.policy_q(problem, exact_layers.log_optimal_law(problem))
    for ours, expected in zip(of_optimum, best, strict=True):
        assert ours == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_coverage_is_that_of_the_worst_trajectory_and_of_the_worst_action(case: dict[str, Any]) -> None:
    problem = random_mdp(**case)
    law = exact_layers.log_optimal_law(problem)
    listed = [path for path, _ in trajectories(problem, problem.log_base)]
    worst = max(log_ratio(problem, law, path) for path in listed)
    possible = problem.initial_law > 0.0
    assert exact_layers.log_coverage(problem, law)[possible].max() == pytest.approx(worst, abs=1e-13)
    of_an_action = max(
        float(law[layer][at] - problem.log_base[layer][at])
        for path in listed
        for layer, at in enumerate(zip(*path, strict=True))
    )
    ours = exact_layers.log_conditional_coverage(problem, law)
    assert ours == pytest.approx(of_an_action, abs=1e-13)
    assert worst <= problem.horizon * ours + 1e-12


def test_mass_outside_the_base_support_costs_infinitely_much() -> None:
    problem = random_mdp(2, horizon=3, zeros=True)
    uniform = [np.full_like(log_base, -math.log(2.0)) for log_base in problem.log_base]
    assert exact_layers.layered_gap(problem, uniform) == math.inf
    assert exact_layers.objective(problem, uniform) == -math.inf
    assert exact_layers.log_coverage(problem, uniform).max() == math.inf
    assert exact_layers.log_conditional_coverage(problem, uniform) == math.inf
    assert min(float(q.min()) for q in exact_layers.policy_q(problem, uniform)) == -math.inf


def test_states_that_are_not_reached_do_not_count_towards_the_coverage_of_an_action() -> None:
    given = random_mdp(3, horizon=2)
    base = [given.log_base[0], np.log(np.tile([0.001, 0.999], (len(given.log_base[1]), 1)))]
    base[1][0] = np.log(0.5)
    law = [given.log_base[0], np.full_like(base[1], -math.log(2.0))]
    elsewhere = dataclasses.replace(given, log_base=base, successors=[np.zeros_like(given.successors[0])])
    assert exact_layers.log_conditional_coverage(elsewhere, law) == pytest.approx(0.0, abs=1e-12)
    somewhere = dataclasses.replace(given, log_base=base)
    assert exact_layers.log_conditional_coverage(somewhere, law) == pytest.approx(math.log(500.0), abs=1e-9)


@pytest.mark.parametrize("zeros", [False, True])
def test_a_token_problem_and_its_list_of_states_are_the_same_problem(zeros: bool) -> None:
    problem = random_tokens(4, horizon=3, vocabulary_size=3, zeros=zeros)
    listed = as_mdp(problem)
    law = random_token_law(problem, 8)
    assert exact_layers.objective(listed, law) == exact_layers.objective(problem, law)
    assert exact_layers.layered_gap(listed, law) == exact_layers.layered_gap(problem, law)
    assert exact_layers.log_conditional_coverage(listed, law) == exact_layers.log_conditional_coverage(problem, law)
    assert (exact_layers.log_coverage(listed, law) == exact_layers.log_coverage(problem, law)).all()
    for of_layers in (exact_layers.occupancies, exact_layers.policy_q):
        for ours, expected in zip(of_layers(listed, law), of_layers(problem, law), strict=True):
            assert (ours == expected).all()
    for ours, expected in zip(soft_q(listed), soft_q(problem), strict=True):
        assert (ours == expected).all()
