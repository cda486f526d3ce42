"""The Max-k-DNF family is the paper's instance of a formula, with the rewards of footnote 17."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from laws import assert_law

from spanver.errors import ArgumentError
from spanver.exact.tabular import best_objective, log_coverage, log_optimal_law
from spanver.guarantees.proper import reduction_parameters
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Box
from spanver.problems.families.max_k_dnf import NULL, dnf_problem, max_k_dnf_problem, maximiser
from spanver.problems.formulas import Formula, assignments_of, best_assignment, planted_formula
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream

SETTINGS: list[dict[str, Any]] = [
    {},
    {"formula": "random", "noise": 1.0},
    {"formula": "hadamard", "literals": 3, "clauses": 5},
    {"formula": "hadamard", "literals": 3, "clauses": 3, "repetitions": 2},
    {"variables": 30, "literals": 7, "clauses": 9, "beta": 1e-4},
    {"variables": 1, "literals": 1, "clauses": 1, "delta": 0.9},
]


def formula_behind(problem: TabularProblem) -> Formula:
    """The formula whose instance this is, read off its features; its literals are in the order of their variables."""
    length = problem.parameters["literals"] * problem.parameters["repetitions"]
    counts = np.round(problem.features[0, 1:, :-1] * 2 * length).astype(int)
    clauses = []
    for row in counts:
        literals = [
            place * sign for place, n in enumerate(row, start=1) for sign in [np.sign(n)] for _ in range(abs(n))
        ]
        clauses.append(tuple(int(each) for each in literals) + (1, -1) * ((length - len(literals)) // 2))
    return Formula(problem.dimension - 1, tuple(clauses), contradictory=True)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_responses_are_the_clauses_and_their_rewards_count_literals(seed: int, settings: dict[str, Any]) -> None:
    problem = max_k_dnf_problem(seed, **settings)
    formula = formula_behind(problem)
    assert problem.prompts == 1
    assert problem.dimension == problem.parameters["variables"] + 1
    assert not problem.features[0, NULL].any()
    assert (problem.features[0, 1:, -1] == 0.5).all()
    assert problem.theta_star is not None
    assignment, last = problem.theta_star[:-1], problem.theta_star[-1]
    assert set(np.abs(assignment)) == {1.0}
    assert last == 1.0
    # Literals that hold less those that do not, over k; footnote 17 brings [-1, 1] to [0, 1].
    held = np.array([sum(np.sign(each) * assignment[abs(each) - 1] for each in clause) for clause in formula.clauses])
    assert problem.reward[0, 1:] == pytest.approx((1.0 + held / formula.literals) / 2.0, abs=1e-15)
    assert problem.reward[0, NULL] == 0.0
    assert (problem.reward_range, problem.reward_low[0]) == (1.0, 0.0)
    # As many clauses as an assignment can satisfy have the reward 1, where the formula is not too large to try all.
    if formula.variables <= 10:
        most = int(formula.satisfied(best_assignment(formula)))
        assert int((problem.reward[0] == 1.0).sum()) == int(formula.satisfied(assignment)) == most


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_set_of_parameters_is_the_box(settings: dict[str, Any]) -> None:
    problem = max_k_dnf_problem(3, **settings)
    parameters = problem.shape(problem.radius)
    assert isinstance(parameters, Box)
    assert parameters.half_width(problem.dimension) == 1.0
    assert problem.radius == math.sqrt(problem.dimension)


@pytest.mark.parametrize("beta", [1e-3, 0.05, 0.25, 2.0, 100.0])
def test_the_base_policy_and_the_optimum_have_their_closed_forms(beta: float) -> None:
    problem = max_k_dnf_problem(4, beta=beta)
    clauses = problem.responses - 1
    assert problem.log_base[0, 1:] == pytest.approx(-1.0 / beta - math.log(clauses), rel=1e-14, abs=0.0)
    assert np.exp(problem.log_base[0, NULL]) == pytest.approx(1.0 - math.exp(-1.0 / beta), rel=1e-14, abs=0.0)
    # All clauses of a planted formula are satisfied: the normaliser is 1 - e^{-1/beta} + 1.
    normaliser = math.log(2.0 - math.exp(-1.0 / beta))
    coverage = log_coverage(problem, log_optimal_law(problem))
    assert coverage == pytest.approx(1.0 / beta - normaliser, rel=1e-13, abs=1e-15)
    assert best_objective(problem) == pytest.approx(beta * normaliser, rel=1e-12, abs=1e-13)


def test_beta_is_that_of_the_lemma_for_the_clauses_that_there_are() -> None:
    assert max_k_dnf_problem(literals=3).beta == reduction_parameters(3, 0.5)[0] == 1 / (9 * math.log(32))
    assert max_k_dnf_problem(literals=3, delta=0.25).beta == 1 / (9 * math.log(64))
    assert max_k_dnf_problem(literals=2, clauses=4, repetitions=3).beta == reduction_parameters(6, 0.5)[0]
    assert max_k_dnf_problem(literals=3, beta=0.125).beta == 0.125


def test_many_variables_are_left_to_the_solver() -> None:
    formula, _ = planted_formula(stream(0, "planted"), variables=26, literals=2, clauses=9)
    assert formula.satisfied(maximiser(formula)) == 9
    problem = max_k_dnf_problem(0, formula="random", variables=26, literals=2, clauses=9)
    assert (problem.reward == 1.0).any()


def test_noisy_rewards_of_a_clause_have_their_mean_and_others_have_no_noise() -> None:
    problem = dnf_problem(Formula(2, ((1, 2), (1, -2))), np.array([1, 1]), beta=0.5, noise=1.0)
    assert problem.reward[0].tolist() == [0.0, 1.0, 0.5]
    oracle = literal_oracle(problem, seed=0)
    prompt = oracle.prompt()
    assert {oracle.reward(prompt, NULL) for _ in range(100)} == {0.0}
    assert {oracle.reward(prompt, 1) for _ in range(100)} == {1.0}
    counts: Counter[Hashable] = Counter(oracle.reward(prompt, 2) for _ in range(9000))
    assert_law(counts, {0.0: 0.5, 1.0: 0.5})


@pytest.mark.parametrize("beta", [0.072, 0.032, 1.0])
def test_no_corner_of_the_box_is_worth_more_than_the_optimum(beta: float) -> None:
    problem = max_k_dnf_problem(5, formula="random", variables=4, literals=2, clauses=12, beta=beta)
    assert problem.theta_star is not None
    counts = [int((problem.features[0] @ np.append(signs, 1.0) == 1.0).sum()) for signs in assignments_of(4)]
    assert max(counts) == int((problem.features[0] @ problem.theta_star == 1.0).sum())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"formula": "cnf"}, "formula is 'cnf'"),
        ({"variables": 0}, "variables is 0"),
        ({"literals": 0}, "literals is 0"),
        ({"literals": 9}, "literals is 9"),
        ({"clauses": 0}, "clauses is 0"),
        ({"repetitions": 0}, "repetitions is 0"),
        (
            {"repetitions": 5},
            "the number of repetitions is 5, but it must be such that 16 to this power is at most 100000",
        ),
        ({"delta": 1.0}, "delta is 1.0"),
        ({"delta": math.nan}, "delta is nan"),
        ({"beta": 0.0}, "beta is 0.0"),
        ({"noise": 2.0}, "noise is 2.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_outside_the_family_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentError, match="but it must be") as refusal:
        max_k_dnf_problem(**settings)
    assert str(refusal.value).startswith(sentence)


def test_what_is_no_assignment_is_refused() -> None:
    with pytest.raises(ArgumentError, match="assignments is"):
        dnf_problem(Formula(2, ((1, 2),)), np.array([1]), beta=0.5)
