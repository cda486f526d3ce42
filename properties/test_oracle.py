"""Oracles of a subject: their ledgers (O1) and their budgets (O3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError, ViolationError
from spanver.oracle import Budget, Oracle
from spanver.parameter_sets import Box
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import LinearScore, RejectionRule, UncertainPairRule
from spanver.verification.check import Check
from spanver.verification.search import instances
from spanver.verification.transcript import RecordingOracle, recount

from .designs import in_box
from .drawn import of_both_oracles, table_of

REFUSED = ("unknown", "none", "outside")
QUERIES = ("prompt", "sample", "strong", "sample_counts", "pairs", "trial", "reward", "compare", *REFUSED)
SCRIPTS = st.lists(st.tuples(st.sampled_from(QUERIES), st.integers(1, 6)), min_size=1, max_size=8)
STRONG = ("strong", "outside")  # an oracle need not offer them

APART = table_of([0.5, 0.5], [1.0, 4.0])
# Of equal responses no pair is uncertain: every search ends at its limit, or at the budget.
PLANE = replace(APART, features=np.array([[[0.5, 0.1], [-0.2, 0.3]]]), theta_star=None)
EQUAL = replace(APART, features=np.zeros((1, 2, 1)), reward=np.zeros((1, 2)))


def ask(oracle: Oracle, problem: TabularProblem, prompt: Any, query: str, size: int) -> Any:
    """Answer to one query of a script; refused ones raise."""
    answer: Any = None
    pair = UncertainPairRule(np.eye(problem.dimension), 0.25)
    trial = RejectionRule(LinearScore(realizing(problem)), 0.5 + realizing(problem).sum() / problem.beta)
    match query:
        case "sample":
            answer = oracle.sample(prompt, size)
        case "strong":
            answer = oracle.sample(prompt, size, theta=realizing(problem))
        case "outside":
            answer = oracle.sample(prompt, size, theta=np.full(problem.dimension, 1.01 * problem.radius))
        case "sample_counts":
            answer = oracle.sample_counts(prompt, size)
        case "pairs":
            answer = oracle.sample_until(prompt, pair, size)
        case "trial":
            answer = oracle.sample_until(prompt, trial, size)
        case "reward":
            answer = oracle.reward(prompt, size % problem.responses)
        case "compare":
            answer = oracle.compare(prompt, 0, size % problem.responses)
        case "unknown":
            answer = oracle.sample(-1, size)
        case "none":
            answer = oracle.sample(prompt, 0)
    return answer


def ledger_is_exact(check: Check, factory: str, problem: TabularProblem, script: list[tuple[str, int]]) -> None:
    oracle = RecordingOracle(check.call(factory, problem, seed=check.seed("oracle")))
    prompt = oracle.prompt()
    for query, size in script:
        try:
            ask(oracle, problem, prompt, query, size)
        except QuestionRefusedError:
            assert query in STRONG, f"{query} was refused"
            refused = query in REFUSED
        except ArgumentError:
            refused = True
        else:
            refused = False
        assert refused == (query in REFUSED), f"{query} was {'refused' if refused else 'answered'}"
        expected = recount(oracle.queries)
        assert oracle.ledger == expected, f"after {query} the ledger is {oracle.ledger}, answered were {expected}"


(
    test_the_ledger_of_a_literal_oracle_counts_every_answer,
    test_the_ledger_of_a_counted_oracle_counts_every_answer_it_stands_for,
) = of_both_oracles(
    "O1",
    instances(problem=tabular_problems(), script=SCRIPTS),
    ledger_is_exact,
    # A search for a pair ends at its first try with a chance of 1/2, and all of 24 with one below 1e-7.
    instances=[{"problem": APART, "script": [*[(query, 6) for query in QUERIES], *[("pairs", 6)] * 23]}],
    literal=["oracle-batch-as-one", "oracle-charges-refused", "oracle-any-prompt", "oracle-any-theta"],
    counted=[
        "oracle-accepted-only",
        "oracle-pairs-as-one",
        "oracle-counts-as-one",
        "oracle-distinct-only",
        "oracle-free-labels",
    ],
)


def box_is_refused(check: Check, factory: str, problem: TabularProblem) -> None:
    oracle: Oracle = check.call(factory, in_box(problem), seed=check.seed("oracle"))
    prompt, dimension = oracle.prompt(), problem.dimension
    try:
        oracle.sample(prompt, 1, theta=np.full(dimension, 1.0 - 1e-9) * problem.radius / np.sqrt(dimension))
    except QuestionRefusedError:
        return
    except ArgumentError as error:
        raise AssertionError(f"a theta of the box was refused: {error}") from error
    # Of the ball of the radius, but for one dimension, in which the ball is the box.
    outside = np.eye(dimension)[0] * problem.radius * (1.0 if dimension > 1 else 1.01)
    try:
        oracle.sample(prompt, 1, theta=outside)
    except ArgumentError:
        pass
    else:
        raise AssertionError(f"theta {outside.tolist()} was taken, outside of {Box(problem.radius)}")
    assert oracle.ledger.samples == 1, f"the ledger is {oracle.ledger} after one sample and a refusal"


(test_a_literal_oracle_refuses_a_theta_outside_the_box, test_a_counted_oracle_refuses_one_too) = of_both_oracles(
    "O1", instances(problem=tabular_problems()), box_is_refused, needs=["box_fit"], instances=[{"problem": PLANE}],
    literal=["oracle-ball-for-box"], counted=[],
)  # fmt: skip


def budget_holds(
    check: Check, factory: str, problem: TabularProblem, samples: int, rewards: int, script: list[tuple[str, int]]
) -> None:
    budget = Budget(samples=samples, rewards=rewards)
    oracle: Oracle = check.call(factory, problem, seed=check.seed("oracle"), budget=budget)
    prompt = oracle.prompt()
    for query, size in script:
        if query in REFUSED:
            continue
        before = oracle.ledger
        width = {"pairs": 2, "trial": 1}.get(query)
        cost = 1 if query in ("reward", "compare") else size * (width or 1)
        left = rewards - before.rewards if query in ("reward", "compare") else samples - before.samples
        try:
            answer = ask(oracle, problem, prompt, query, size)
        except BudgetExceededError:
            assert cost > left, f"{query} of cost {cost} was refused, though {left} were left"
            spent = left - left % width if width else 0
            charged = oracle.ledger.samples - before.samples + oracle.ledger.rewards - before.rewards
            assert charged == spent, f"{query} that did not fit was charged {charged}, answered were {spent}"
        except QuestionRefusedError:
            assert query in STRONG, f"{query} was refused"
        except Exception as error:
            raise ViolationError(f"{query} on a budget raised {type(error).__name__}: {error}", "raised") from error
        else:
            # A search may end before its limit, but not without a hit.
            complete = not width or answer.responses is None
            assert query == "prompt" or not complete or cost <= left, f"{query} cost {cost}, {left} were left"
        after = oracle.ledger
        assert after.samples <= samples, f"{after.samples} samples on a budget of {samples}"
        assert after.rewards <= rewards, f"{after.rewards} rewards on a budget of {rewards}"


(test_a_literal_oracle_keeps_its_budget, test_a_counted_oracle_keeps_its_budget) = of_both_oracles(
    "O3",
    instances(problem=tabular_problems(), samples=st.integers(0, 12), rewards=st.integers(0, 3), script=SCRIPTS),
    budget_holds,
    instances=[
        {"problem": APART, "samples": 5, "rewards": 1, "script": [("sample", 3), ("sample", 3), ("sample", 2)]},
        {"problem": APART, "samples": 5, "rewards": 1, "script": [("reward", 1), ("compare", 1)]},
        {"problem": EQUAL, "samples": 5, "rewards": 1, "script": [("pairs", 6)]},
    ],
    literal=["oracle-what-is-left", "oracle-plain-error"],
    counted=[
        "oracle-budget-plus-one",
        "oracle-budget-less-one",
        "oracle-no-budget",
        "oracle-nothing-found",
        "oracle-free-when-short",
        "oracle-odd-one-too",
        "oracle-endless-rewards",
    ],
)
