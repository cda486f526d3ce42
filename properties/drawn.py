"""Many answers of an oracle, as observations of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spanver.oracle import Oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import tabular_problems
from spanver.verification.check import Check

# Three outcomes that all happen: events of every size are there, and none is certain.
SMALL = tabular_problems(
    max_prompts=1, min_responses=2, max_responses=3, max_dimension=2, betas=(1.0, 0.5), weights=(1.0, 0.25, 2.0)
)
DRAWN_OF_A_PROMPT = 16


def answers(
    check: Check, factory: str, problem: TabularProblem, outcome: Callable[[Oracle, Any], int]
) -> Callable[[int, int], Sequence[int]]:
    """Observe the outcome of one query many times, on a few prompts drawn one after another."""

    def observe(count: int, seed: int) -> Sequence[int]:
        oracle = check.call(factory, problem, seed=seed)
        prompts = [oracle.prompt()]
        seen = []
        for index in range(count):
            if index % DRAWN_OF_A_PROMPT == DRAWN_OF_A_PROMPT - 1:
                prompts.append(oracle.prompt())
            seen.append(outcome(oracle, prompts[-1]))
        return seen

    return observe


def base_of(problem: TabularProblem) -> Any:
    """Law of the base policy at the first prompt, shape (Y,)."""
    return np.exp(problem.log_base[0])
