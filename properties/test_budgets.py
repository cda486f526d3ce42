"""Runs on every budget below what they need (O3): the error of the oracle comes out, and no result in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.errors import BudgetExceededError
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Budget, Oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, run_settings, tabular_problems
from spanver.values import LinearScore
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances
from spanver.verification.transcript import GENEROUS_BUDGET

from .designs import CHEAP, INSIDE, named

MOST_BUDGETS = 12  # of samples, and of rewards, of one instance


def below(needed: int) -> list[int]:
    """Budgets that are not enough, the largest among them."""
    return np.unique(np.linspace(0, needed - 1, min(needed, MOST_BUDGETS)).astype(int)).tolist() if needed else []


def refused_everywhere(check: Check, problem: TabularProblem, run: Callable[[Oracle], Any]) -> None:
    """Run with enough, and with less; `Check.call` refuses a result after a query that the budget refused."""
    enough = literal_oracle(problem, seed=check.seed("oracle"), budget=GENEROUS_BUDGET)
    run(enough)
    short = [Budget(samples=samples) for samples in below(enough.ledger.samples)]
    for budget in [*short, *(Budget(rewards=rewards) for rewards in below(enough.ledger.rewards))]:
        oracle = literal_oracle(problem, seed=check.seed("oracle"), budget=budget)
        try:
            run(oracle)
        except BudgetExceededError:
            continue
        spent = oracle.ledger
        assert budget.samples is None or spent.samples <= budget.samples, f"{spent.samples} samples on {budget}"
        assert budget.rewards is None or spent.rewards <= budget.rewards, f"{spent.rewards} rewards on {budget}"


SAMPLERS = instances(
    problem=tabular_problems(), multiplier=st.sampled_from([2.5, 1.0]), failure=st.sampled_from([0.9, 0.3])
)


def sampler_refused_everywhere(
    check: Check, sampler: str, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    """Call a sampler with enough, and with less."""
    score, seed = LinearScore(realizing(problem)), check.seed("sampler")

    def run(oracle: Oracle) -> None:
        check.call(sampler, oracle, oracle.prompt(), score, multiplier=multiplier, failure=failure, seed=seed)

    refused_everywhere(check, problem, run)


@pytest.mark.guarantee("O3", needs=["softmax_sample"])
@designed([{"problem": INSIDE, "multiplier": 2.5, "failure": 0.3}], named("sampler", "last-draw"))
@SAMPLERS
def test_a_sampler_whose_budget_runs_out_returns_nothing(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    sampler_refused_everywhere(check, "softmax_sample", problem, multiplier, failure)


@pytest.mark.guarantee("O3", needs=["softmax_sample_density"])
@SAMPLERS
def test_a_sampler_with_its_ratio_whose_budget_runs_out_returns_nothing(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    sampler_refused_everywhere(check, "softmax_sample_density", problem, multiplier, failure)


@pytest.mark.guarantee("O3", needs=["spanner_sampling"])
@designed([{"problem": INSIDE, "settings": CHEAP}], named("exploration", "swallowed-budget last-draw"))
@instances(problem=tabular_problems(), settings=run_settings())
def test_a_run_whose_budget_runs_out_returns_nothing(check: Check, problem: TabularProblem, settings: Settings) -> None:
    refused_everywhere(
        check,
        problem,
        lambda oracle: check.call("spanner_sampling", oracle, seed=check.seed("learner"), settings=settings),
    )
