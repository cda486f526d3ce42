"""Evaluations run to their end, without a word on the way."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from spanver.runs import evaluation
from spanver.runs.evaluation import Evaluation


def evaluate_table(*arguments: Any, **options: Any) -> Evaluation:
    return evaluated(evaluation.evaluate_table(*arguments, **options))[0]


def evaluate_text(*arguments: Any, **options: Any) -> Evaluation:
    return evaluated(evaluation.evaluate_text(*arguments, **options))[0]


def evaluated(steps: Generator[int, None, Evaluation]) -> tuple[Evaluation, list[int]]:
    """What an evaluation returns, and the numbers of steps done that it yielded."""
    done: list[int] = []
    while True:
        try:
            done.append(next(steps))
        except StopIteration as end:
            return end.value, done
