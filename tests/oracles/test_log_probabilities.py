"""A generalised oracle tells the log probabilities of what it draws, and no other oracle does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from table_oracles import PROBLEM, MakeOracle, table

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError
from spanver.oracle import Budget, Ledger
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.text import text_oracle
from spanver.problems.families.text import text_problem

EACH = pytest.mark.parametrize("make", [literal_oracle, counted_oracle])
THETA = np.array([0.6, -0.8])


@EACH
def test_log_probabilities_are_those_of_loops(make: MakeOracle) -> None:
    oracle = make(PROBLEM, seed=1, log_probabilities=True)
    prompt = int(oracle.prompt())
    told = oracle.sample_log_probabilities(prompt, 300, THETA)
    base, features = np.exp(PROBLEM.log_base[prompt]), PROBLEM.features[prompt]
    weights = [p * math.exp(float(phi @ THETA) / PROBLEM.beta) for p, phi in zip(base, features, strict=True)]
    expected = [math.log(weights[each] / sum(weights)) for each in map(int, told.responses.ids)]
    assert told.log_probabilities == pytest.approx(expected, abs=1e-13)
    shown = dict(zip(told.responses.ids, told.log_probabilities, strict=True))
    assert len(shown) == 4  # all of the support
    assert sum(map(math.exp, shown.values())) == pytest.approx(1.0, abs=1e-13)


@EACH
def test_zero_is_the_base_policy_and_both_give_the_log_partition(make: MakeOracle) -> None:
    oracle = make(PROBLEM, seed=1, log_probabilities=True)
    prompt = int(oracle.prompt())
    shown = []
    for theta in (THETA, np.zeros(2)):
        told = oracle.sample_log_probabilities(prompt, 300, theta)
        shown.append(dict(zip(told.responses.ids, told.log_probabilities, strict=True)))
    scores = PROBLEM.features[prompt] @ THETA / PROBLEM.beta
    held = PROBLEM.log_base[prompt] > -np.inf
    log_partition = float(np.logaddexp.reduce((PROBLEM.log_base[prompt] + scores)[held]))
    for each, base in shown[1].items():
        assert base == pytest.approx(PROBLEM.log_base[prompt][int(each)], abs=1e-13)
        assert scores[int(each)] - (shown[0][each] - base) == pytest.approx(log_partition, abs=1e-12)


@EACH
def test_what_is_drawn_and_charged_is_that_of_a_strong_sample(make: MakeOracle) -> None:
    told, plain = (make(PROBLEM, seed=2, log_probabilities=each) for each in (True, False))
    first, second = told.prompt(), plain.prompt()
    for count in (1, 2, 7):
        answer = told.sample_log_probabilities(first, count, THETA)
        assert answer.responses.ids == plain.sample(second, count, theta=THETA).ids
    assert told.ledger == plain.ledger == Ledger(samples=10)


@EACH
def test_an_ordinary_oracle_refuses_at_no_cost(make: MakeOracle) -> None:
    oracle = make(PROBLEM, seed=1, full_table=True)
    with pytest.raises(QuestionRefusedError, match="generalised oracle"):
        oracle.sample_log_probabilities(oracle.prompt(), 3, THETA)
    assert oracle.ledger == Ledger()


def test_the_text_oracle_refuses_as_it_has_no_normaliser() -> None:
    oracle = text_oracle(text_problem(), seed=1)
    with pytest.raises(QuestionRefusedError, match="normaliser"):
        oracle.sample_log_probabilities(oracle.prompt(), 1, np.zeros(oracle.dimension))


def test_refusals_cost_nothing() -> None:
    oracle = literal_oracle(PROBLEM, seed=1, log_probabilities=True, budget=Budget(samples=4))
    prompt = oracle.prompt()
    for error, arguments in (
        (ArgumentError, (99, 1, THETA)),
        (ArgumentError, (prompt, 0, THETA)),
        (ArgumentError, (prompt, 1, 9.0 * THETA)),
        (ArgumentError, (prompt, 1, None)),
        (BudgetExceededError, (prompt, 5, THETA)),
    ):
        with pytest.raises(error):
            oracle.sample_log_probabilities(*arguments)
    assert oracle.ledger == Ledger()
    assert len(oracle.sample_log_probabilities(prompt, 4, THETA).responses) == 4


def test_extreme_scores_stay_finite() -> None:
    oracle = literal_oracle(table(beta=1e-4), seed=1, log_probabilities=True)
    told = oracle.sample_log_probabilities(oracle.prompt(), 50, THETA)
    assert np.isfinite(told.log_probabilities).all()
    assert (told.log_probabilities <= 0.0).all()
