"""What a generalised oracle tells (O4), what it charges for it (O1), and the law of what it draws (O2).

Probabilities of all responses that were drawn are compared with the exact law of the parameter, one by one: then those
of all of `Y` sum to 1, and what is told at `theta` and at 0 differs by `<theta, phi>/beta - log Z_theta(x)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.errors import QuestionRefusedError
from spanver.guarantees.rounding import log_softmax_error, score_error
from spanver.kernels import log_softmax
from spanver.oracle import Oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import FloatArray, LogProbabilities
from spanver.verification.check import Check, expect
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment, law_experiment
from spanver.verification.rendering import short
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import RecordingOracle, recount

from . import oracle_laws as laws
from .designs import named
from .drawn import SMALL, answers, table_of
from .rounded import assert_near

# Base probabilities and weights that are no powers of each other, and a beta that is not 1.
SKEWED = table_of([0.6, 0.3, 0.1], [1.0, float(np.exp(4.0)), 2.0])


def told(oracle: RecordingOracle, prompt: Any, count: int, theta: FloatArray) -> LogProbabilities:
    """Answer of a generalised oracle, which may not refuse it."""
    try:
        return oracle.sample_log_probabilities(prompt, count, theta)
    except QuestionRefusedError as error:
        raise AssertionError(f"sample_log_probabilities of a generalised oracle was refused: {error}") from None


@pytest.mark.guarantee("O4", needs=["generalised_oracle"])
@designed(
    [{"problem": SKEWED, "count": 24}],
    named(
        "oracle-told",
        "unnormalised of-the-base log-ratio base-twice of-another base-two no-logarithm without-beta other-sign "
        "over-the-batch",
    ),
)
@instances(problem=tabular_problems(), count=st.integers(1, 6))
def test_log_probabilities_are_those_of_the_policy_that_drew(check: Check, problem: TabularProblem, count: int) -> None:
    oracle = RecordingOracle(check.call("generalised_oracle", problem, seed=check.seed("oracle")))
    nothing, unit = np.zeros(problem.dimension), check.subject.unit
    for share in (1.0, 0.0, -1.0):
        theta, prompt = share * realizing(problem), oracle.prompt()
        answer = told(oracle, prompt, count, theta)
        ids = list(map(int, answer.responses.ids))
        expect(len(ids) == count, "responses of sample_log_probabilities", len(ids), str(count))
        features, log_base = problem.features[int(prompt)], problem.log_base[int(prompt)]
        scores, off = features @ theta, score_error(unit, features, nothing, theta)
        expected = log_softmax(log_base, scores, problem.beta)
        allowed = log_softmax_error(unit, log_base, scores, problem.beta, off)
        words = f"a log probability that is told at theta = {short(theta)}"
        assert_near(check, words, answer.log_probabilities, expected[ids], allowed[ids])


@pytest.mark.guarantee("O1", needs=["generalised_oracle"])
@designed([{"problem": SKEWED, "counts": [3, 1]}], named("oracle-told", "as-one"))
@instances(problem=tabular_problems(), counts=st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_a_generalised_oracle_charges_every_response_whose_probability_it_tells(
    check: Check, problem: TabularProblem, counts: list[int]
) -> None:
    oracle = RecordingOracle(check.call("generalised_oracle", problem, seed=check.seed("oracle")))
    for count in counts:
        told(oracle, oracle.prompt(), count, realizing(problem))
        expect(oracle.ledger == recount(oracle.queries), "the ledger", oracle.ledger, recount(oracle.queries))


def first_and_repeat(answer: LogProbabilities) -> int:
    first, second = map(int, answer.responses.ids)
    return 2 * first + int(first == second)


@pytest.mark.guarantee("O2", needs=["generalised_oracle"])
@designed(
    [{"problem": table_of([1.0 - rare, rare], [1.0, float(np.exp(4.0))])} for rare in (0.02, 0.1)],
    {"oracle-told-from-the-base": laws.moved(laws.strong_law, lambda problem: laws.strong_law(problem, 0.0))},
)
@experiments(problem=SMALL)
def test_responses_whose_probabilities_are_told_have_the_law_of_theta(
    check: Check, problem: TabularProblem
) -> Experiment:
    def two(prompt: Any) -> Sequence[Callable[[Oracle], Any]]:
        return [methodcaller("sample_log_probabilities", prompt, 2, realizing(problem))]

    outcomes = [f"{each}, then {then}" for each in range(problem.responses) for then in ("another", "the same")]
    return law_experiment(
        check,
        answers(check, "generalised_oracle", problem, two, first_and_repeat),
        laws.strong_law(problem),
        of=f"responses to sample_log_probabilities(prompt, 2, {short(realizing(problem))}), beta {problem.beta:g}",
        outcomes=outcomes,
    )
