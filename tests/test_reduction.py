"""Lemma H.1's reduction: NO is never wrong, and answers are those of the signs of the parameter of most mass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError
from spanver.guarantees.proper import decision_threshold
from spanver.learners.exhaustive import exhaustive_search
from spanver.learners.online_dpo import online_dpo
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.learners.xpo import xpo
from spanver.oracle import Ledger, Oracle
from spanver.problems import maxsat
from spanver.problems.formulas import Formula, best_assignment, complete_formula, planted_formula, serially_repeated
from spanver.randomness import stream
from spanver.reduction import decide
from spanver.strategies import formulas
from spanver.values import FloatArray

Learner = Callable[[Oracle], FloatArray]

LEARNERS: dict[str, Learner] = {
    "exhaustive": lambda oracle: exhaustive_search(oracle, rounds=4, draws=16, seed=0).policy.theta,
    "online_dpo": lambda oracle: online_dpo(oracle, rounds=4, seed=0).policy.theta,
    "xpo": lambda oracle: xpo(oracle, rounds=4, alpha=0.1, partition_samples=4, seed=0).policy.theta,
    "xpo, told probabilities": lambda oracle: (
        xpo(oracle, rounds=4, alpha=0.1, partition="probabilities", partition_samples=4, seed=0).policy.theta
    ),
}
EVERY = pytest.mark.parametrize("name", LEARNERS)


def returning(*theta: float) -> Learner:
    return lambda oracle: np.array(theta)


@EVERY
@settings(max_examples=25, deadline=None)
@given(formula=formulas(max_literals=4, max_clauses=6), delta=st.sampled_from([0.9, 0.5, 0.01]))
def test_the_answer_is_no_wherever_the_value_is_at_most_the_threshold(
    name: str, formula: Formula, delta: float
) -> None:
    decision = decide(formula, LEARNERS[name], delta=delta, rewards=8, seed=1)
    assert decision.threshold == decision_threshold(len(formula.clauses), delta, 8)
    assert decision.satisfied == formula.satisfied(decision.assignment)
    assert decision.yes == (decision.satisfied > decision.threshold)
    if int(formula.satisfied(best_assignment(formula))) <= decision.threshold:
        assert not decision.yes
    assert decision.ledger.rewards == 8


@EVERY
def test_a_formula_of_a_value_at_the_threshold_is_decided_no(name: str) -> None:
    formula = serially_repeated(complete_formula(2), 4)  # 256 clauses of which one can be satisfied
    decision = decide(formula, LEARNERS[name], delta=0.5, rewards=8, seed=0)
    assert decision.threshold == 1
    assert (decision.yes, decision.satisfied) == (False, 1)


def test_exhaustive_search_answers_yes_where_all_clauses_can_be_satisfied_and_the_solver_agrees() -> None:
    for seed in range(5):
        formula, _ = planted_formula(stream(seed, "p"), variables=6, literals=4, clauses=12)
        assert formula.satisfied(maxsat.best_assignment(formula)) == 12
        assert decide(formula, LEARNERS["exhaustive"], delta=0.5, rewards=8, seed=seed).yes


def test_the_signs_are_those_of_the_parameter_of_most_mass() -> None:
    formula = Formula(2, ((1, 2), (1, 2), (1, -2)))

    def learner(oracle: Oracle) -> FloatArray:
        prompt = oracle.prompt()
        for signs in itertools.product((1.0, -1.0), repeat=2):
            drawn = oracle.sample(prompt, 1, theta=np.array([*signs, 1.0]))
            assert oracle.reward(prompt, drawn[0]) == 0.0
        return np.zeros(3)

    decision = decide(formula, learner, delta=0.5, rewards=4, seed=0)
    assert (decision.assignment.tolist(), decision.satisfied, decision.yes) == ([1, 1], 2, True)
    assert decision.threshold == Fraction(3, 128)
    # Two of three clauses satisfied and one not: 2/3 + 1/3 e^{-1/(2 beta k) - 1/(2 beta k)} over 1 and that.
    beta = 1.0 / (4.0 * math.log(32.0))
    weight = (2.0 + math.exp(-1.0 / (2.0 * beta))) / 3.0
    assert decision.log_mass == pytest.approx(math.log(weight / (1.0 - math.exp(-1.0 / beta) + weight)), rel=1e-12)
    assert decision.ledger == Ledger(samples=4, rewards=4)


def test_a_draw_with_log_probabilities_is_looked_at_once_its_reward_was_queried() -> None:
    def learner(oracle: Oracle) -> FloatArray:
        prompt = oracle.prompt()
        told = oracle.sample_log_probabilities(prompt, 1, np.ones(3))
        oracle.reward(prompt, told.responses[0])
        return np.array([-1.0, -1.0, 1.0])

    decision = decide(Formula(2, ((1, 2),)), learner, delta=0.5, rewards=1, seed=0)
    assert (decision.assignment.tolist(), decision.yes) == ([1, 1], True)


def test_a_parameter_that_was_only_drawn_from_is_not_looked_at() -> None:
    def learner(oracle: Oracle) -> FloatArray:
        oracle.sample(oracle.prompt(), 1, theta=np.ones(3))
        return np.array([-1.0, -1.0, 1.0])

    assert not decide(Formula(2, ((1, 2),)), learner, delta=0.5, rewards=1, seed=0).yes


def test_a_coordinate_of_zero_is_taken_for_true() -> None:
    decision = decide(Formula(2, ((1, -2),)), returning(0.0, -0.5, 0.0), delta=0.5, rewards=1, seed=0)
    assert decision.assignment.tolist() == [1, -1]


def test_masses_are_compared_where_no_float_holds_them() -> None:
    """At `k = 12` clauses have less than `e^-500` of the base policy."""
    formula = Formula(2, ((1,) * 11 + (2,),))

    def learner(oracle: Oracle) -> FloatArray:
        prompt = oracle.prompt()
        for theta in ([-1.0, -1.0, -1.0], [-0.5, -1.0, -1.0]):
            oracle.reward(prompt, oracle.sample(prompt, 1, theta=np.array(theta))[0])
        return np.array([-1.0, 0.5, -1.0])

    decision = decide(formula, learner, delta=0.5, rewards=2, seed=0)
    assert decision.log_mass < -745.0
    assert decision.assignment.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (np.ones(2), r"the shape of the learner's parameter is \(2,\), but it must be \(3,\)"),
        (np.ones((1, 3)), r"the shape of the learner's parameter is \(1, 3\)"),
        (1.0, r"the shape of the learner's parameter is \(\)"),
        (None, "the learner's parameter is None, but it must be an array of numbers"),
        ([[1.0], [1.0, 1.0]], "the learner's parameter is"),
        ("theta", "the learner's parameter is 'theta'"),
        (np.array([0.0, np.nan, 0.0]), "the learner's parameter is .* finite everywhere"),
    ],
)
def test_what_is_no_parameter_is_refused_by_its_shape_or_its_values(returned: Any, sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        decide(Formula(2, ((1, 2),)), lambda oracle: returned, delta=0.5, rewards=1, seed=0)


def test_what_is_no_proper_learner_is_refused() -> None:
    formula = Formula(2, ((1, 2),))

    def guessing(oracle: Oracle) -> FloatArray:
        oracle.reward(oracle.prompt(), 1)
        return np.zeros(3)

    plan = Settings(
        prompts=20,
        pairs_per_prompt=10**8,
        nu=0.1,
        ridge=1.0,
        exploration_rounds=1,
        rejection_multiplier=4.0,
        rejection_failure=0.5,
    )
    improper: list[tuple[Learner, type[Exception], str]] = [
        (guessing, QuestionRefusedError, "no proper query"),
        (
            lambda oracle: spanner_sampling(oracle, seed=0, settings=plan).policy.thetas[-1],
            QuestionRefusedError,
            "no proper query",
        ),
        (
            lambda oracle: online_dpo(oracle, rounds=2, seed=0, feedback="preference").policy.theta,
            QuestionRefusedError,
            "comparisons are not offered",
        ),
        (LEARNERS["online_dpo"], BudgetExceededError, "costs 1 rewards, but only 0 are left"),
        (returning(1.0, 1.5, 1.0), ArgumentError, "the distance of the learner's parameter from the box"),
    ]
    for learner, kind, sentence in improper:
        with pytest.raises(kind, match=sentence):
            decide(formula, learner, delta=0.5, rewards=7, seed=0)
    for wrong, sentence in (
        ({"delta": 0.0, "rewards": 1}, "delta is 0.0"),
        ({"delta": 0.5, "rewards": 0}, "rewards is 0"),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            decide(formula, returning(0.0, 0.0, 0.0), seed=0, **wrong)  # type: ignore[arg-type]
