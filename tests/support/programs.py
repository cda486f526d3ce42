"""Small problems and calls for programs behind a pipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spanver.oracle import Budget, Ledger
from spanver.parameter_sets import Ball
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.subjects.contract import Subject, result_of
from spanver.values import Counts, Responses, SearchResult

ROOT = Path(__file__).parents[2]


def call(subject: Subject, function: str, *arguments: Any, **named: Any) -> Any:
    return result_of(function, subject.functions[function](*arguments, **named))


def small_problem(seed: int, *, dimension: int = 3, responses: int = 6, beta: float = 0.5) -> TabularProblem:
    return random_problem(seed, prompts=3, responses=responses, dimension=dimension, beta=beta)


class OneText:
    """An oracle with one prompt and one response, both of them text."""

    dimension, beta, radius, reward_range, shape = 1, 1.0, 1.0, 1.0, Ball
    ledger, budget = Ledger(), Budget()
    text = 'é "\\{[,:\n'

    def __init__(self) -> None:
        self._all = Responses((self.text,), np.ones((1, 1)))

    def sample(self, prompt: str, count: int) -> Responses:
        assert prompt == self.text
        return Responses((self.text,) * count, np.ones((count, 1)))

    def sample_counts(self, prompt: str, count: int) -> Counts:
        assert prompt == self.text
        return Counts(self._all, np.array([count]))

    def sample_until(self, prompt: str, rule: Any, limit: int) -> SearchResult:
        assert prompt == self.text
        assert limit >= 1
        assert rule.score.theta.tolist() == [0.5]
        return SearchResult(self._all, 1)


def drawn(subject: Subject, count: int = 2) -> Any:
    return call(subject, "draw", np.array([0.0, 1.0]), count, 0).tolist()
