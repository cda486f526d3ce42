"""Exact quantities of token policies agree with the listing of every sequence.

The recorded values of `tokens.json` are checked with all others, in `test_vectors.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from token_tables import (
    log_linear_law,
    objective_by_listing,
    optimal_probabilities,
    random_law,
    random_tokens,
    sequence_probabilities,
    sequences,
)

from spanver.errors import ArgumentError
from spanver.exact import layered as exact_layers
from spanver.exact import tabular as exact
from spanver.policies import AnchoredPolicy, LinearSoftmax, TruncatedSoftmax
from spanver.problems.layered import soft_q
from spanver.problems.tokens import TokenProblem, as_mdp, log_sequence_law, sequence_view

CASES = [
    {"seed": seed, "horizon": horizon, "vocabulary_size": vocabulary_size, "zeros": zeros, "prompts": prompts}
    for seed, (horizon, vocabulary_size, zeros, prompts) in enumerate(
        [(1, 3, False, 2), (2, 2, False, 1), (3, 2, True, 2), (3, 3, True, 1), (4, 2, True, 3), (2, 1, False, 2)]
    )
]


@pytest.mark.parametrize("case", CASES)
def test_the_token_recursion_and_the_sequence_optimum_are_the_same_policy(case: dict[str, Any]) -> None:
    problem = random_tokens(**case)
    law = exact_layers.log_optimal_law(problem)
    optimal = optimal_probabilities(problem)
    assert np.exp(log_sequence_law(law)) == pytest.approx(optimal, abs=1e-13)
    assert sequence_probabilities(problem, law) == pytest.approx(optimal, abs=1e-13)
    assert exact_layers.best_objective(problem) == pytest.approx(objective_by_listing(problem, optimal), abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_coverage_of_sequences_is_at_most_that_of_a_token_to_the_depth(case: dict[str, Any]) -> None:
    problem = random_tokens(**case)
    law = exact_layers.log_optimal_law(problem)
    base, optimal = sequence_probabilities(problem, problem.log_base), optimal_probabilities(problem)
    ratios = np.divide(optimal, base, out=np.zeros_like(base), where=base > 0.0)
    assert np.exp(exact_layers.log_coverage(problem, law)) == pytest.approx(ratios.max(axis=1), rel=1e-12)
    # Of a token: conditional probabilities by adding up sequences, at prefixes that the base policy reaches.
    conditional = 0.0
    for layer in range(problem.horizon):
        shape = (problem.prompts * problem.vocabulary_size**layer, problem.vocabulary_size, -1)
        of_base, of_optimum = base.reshape(shape).sum(axis=2), optimal.reshape(shape).sum(axis=2)
        reached = of_base.sum(axis=1) > 0.0
        of_base = of_base[reached] / of_base[reached].sum(axis=1, keepdims=True)
        of_optimum = of_optimum[reached] / of_optimum[reached].sum(axis=1, keepdims=True)
        conditional = max(conditional, float((of_optimum[of_base > 0.0] / of_base[of_base > 0.0]).max()))
    ours = exact_layers.log_conditional_coverage(problem, law)
    assert math.exp(ours) == pytest.approx(conditional, rel=1e-12)
    assert ratios.max() <= conditional**problem.horizon * (1 + 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_reward_less_later_log_ratios_is_the_value_of_a_token_on_every_completion(case: dict[str, Any]) -> None:
    problem = random_tokens(**case)
    q, law = soft_q(problem), exact_layers.log_optimal_law(problem)
    judged = 0
    for prompt in range(problem.prompts):
        for position, tokens in enumerate(sequences(problem)):
            rows = [problem.row(prompt, tokens[:layer]) for layer in range(problem.horizon)]
            later = float(problem.reward[prompt, position])
            for layer in reversed(range(problem.horizon)):
                at = rows[layer], tokens[layer]
                assert later == pytest.approx(q[layer][at], abs=1e-11)
                if problem.log_base[layer][at] == -math.inf:
                    break
                later -= problem.beta * float(law[layer][at] - problem.log_base[layer][at])
                judged += 1
    assert judged >= problem.prompts * problem.horizon


@pytest.mark.parametrize("case", CASES)
def test_gap_is_the_sum_of_token_divergences_and_the_difference_of_objectives(case: dict[str, Any]) -> None:
    problem = random_tokens(**case)
    for law in (random_law(problem, 5), list(problem.log_base)):
        probabilities = sequence_probabilities(problem, law)
        best = objective_by_listing(problem, optimal_probabilities(problem))
        expected = best - objective_by_listing(problem, probabilities)
        assert exact_layers.layered_gap(problem, law) == pytest.approx(expected, abs=1e-12)
        assert exact_layers.objective(problem, law) == pytest.approx(best - expected, abs=1e-12)
        divergence = (best - expected - float(problem.prompt_law @ (probabilities * problem.reward).sum(axis=1))) / -(
            problem.beta
        )
        ours = exact_layers.kl_divergence(problem, law, problem.log_base)
        assert problem.prompt_law @ ours == pytest.approx(divergence, abs=1e-11)


def test_mass_outside_the_base_support_costs_infinitely_much() -> None:
    problem = random_tokens(2, horizon=3, vocabulary_size=2, zeros=True)
    uniform = [np.full_like(log_base, -math.log(2.0)) for log_base in problem.log_base]
    assert exact_layers.layered_gap(problem, uniform) == math.inf
    assert exact_layers.objective(problem, uniform) == -math.inf
    assert exact_layers.log_coverage(problem, uniform).max() == math.inf
    assert exact_layers.log_conditional_coverage(problem, uniform) == math.inf


def test_prefixes_that_are_not_reached_do_not_count_towards_the_coverage_of_a_token() -> None:
    log_base = [np.log([[1.0, 1e-300]]), np.log([[0.5, 0.5], [0.999, 0.001]])]
    log_base[0][0] = [0.0, -math.inf]
    problem = TokenProblem(
        prompt_law=np.ones(1),
        log_base=log_base,
        features=[np.zeros((1, 2, 1)), np.zeros((2, 2, 1))],
        reward=np.array([[0.0, 0.0, 0.0, 9.0]]),
        beta=1.0,
        radius=1.0,
    )
    law = exact_layers.log_optimal_law(problem)
    assert np.exp(law[1][1, 1]) > 0.8  # where nobody comes, the optimum is far from the base policy
    assert exact_layers.log_conditional_coverage(problem, law) == pytest.approx(0.0, abs=1e-15)


def test_the_law_of_a_policy_with_fresh_anchors_is_the_mixture_over_them() -> None:
    problem = random_tokens(7, horizon=2, vocabulary_size=3, zeros=True)
    theta, precision, nu = np.array([0.8, -0.5, 0.2]), np.diag([1.0, 4.0, 2.0]), 0.9
    policy = AnchoredPolicy((TruncatedSoftmax(theta, precision, nu),) * 2, True, 0)
    laws = exact_layers.log_anchored_law(as_mdp(problem), policy)
    covered = []
    for row in range(len(problem.log_base[1])):
        base, phi = np.exp(problem.log_base[1][row]), problem.features[1][row]
        expected = np.zeros(3)
        for second in np.flatnonzero(base):
            v = phi - phi[second]
            inside = np.einsum("ni,ij,nj->n", v, precision, v) <= nu**2
            covered += inside.tolist()
            weights = base * np.exp(np.where(inside, v @ theta, 0.0) / problem.beta)
            expected += base[second] * weights / weights.sum()
        assert np.exp(laws[1][row]) == pytest.approx(expected, abs=1e-13)
    assert 0 < sum(covered) < len(covered)


def test_a_policy_of_zero_parameters_is_the_base_policy() -> None:
    problem = random_tokens(1, horizon=3, vocabulary_size=2, zeros=True)
    policy = AnchoredPolicy((TruncatedSoftmax(np.zeros(3), np.eye(3), 0.3),) * 3, True, 0)
    for law, log_base in zip(exact_layers.log_anchored_law(as_mdp(problem), policy), problem.log_base, strict=True):
        assert np.exp(law) == pytest.approx(np.exp(log_base), abs=1e-14)


def test_a_policy_of_the_true_parameters_is_the_optimum() -> None:
    problem = random_tokens(1, horizon=3, vocabulary_size=3, realizable=True)
    assert problem.theta_star is not None
    assert exact_layers.layered_gap(problem, log_linear_law(problem, problem.theta_star)) < 1e-14
    assert exact_layers.layered_gap(problem, problem.log_base) > 1e-2
    policy = AnchoredPolicy((TruncatedSoftmax(np.zeros(3), np.eye(3), 0.3),) * 2, True, 0)
    with pytest.raises(ArgumentError, match="layers of policy is 2"):
        exact_layers.log_anchored_law(as_mdp(problem), policy)


def test_a_policy_of_one_layer_is_a_policy_of_a_table() -> None:
    problem = random_tokens(1, horizon=1, vocabulary_size=3)
    theta = np.array([1.0, 0.0, 0.0])
    layer = TruncatedSoftmax(theta, np.eye(3), 0.9)
    ours = exact_layers.log_anchored_law(as_mdp(problem), AnchoredPolicy((layer,), True, 0))[0]
    assert np.exp(ours) == pytest.approx(np.exp(exact.log_law(sequence_view(problem), layer)), abs=1e-14)
    linear = exact.log_law(sequence_view(problem), LinearSoftmax(theta))
    assert np.exp(log_linear_law(problem, [theta])[0]) == pytest.approx(np.exp(linear), abs=1e-14)
