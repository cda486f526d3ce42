"""Small problems, settings and runs of SpannerSampling that several test modules share."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import pytest

from spanver.learners.spanner import Spanner, build_spanner
from spanver.learners.spanner_sampling import Run, SamplingState, Settings
from spanver.learners.staged import staged_rounds
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.values import Prompt, Response, Score

RIDGE = 4.0

ORACLES = pytest.mark.parametrize("make", [literal_oracle, counted_oracle])


class MakeOracle(Protocol):
    def __call__(
        self,
        problem: TabularProblem,
        *,
        seed: int,
        budget: Budget | None = ...,
        ledger: Ledger | None = ...,
        prompts: int = ...,
    ) -> Oracle: ...


def small_problem(seed: int = 3, **parameters: Any) -> TabularProblem:
    return random_problem(seed, **{"prompts": 3, "responses": 8, "dimension": 3, "noise": 0.5, **parameters})


def small_spanner(oracle: Oracle) -> Spanner:
    return build_spanner(oracle, prompts=15, pairs_per_prompt=6, nu=0.4, ridge=RIDGE)


def base_draw(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    """Sampler that ignores the score."""
    return oracle.sample(prompt, 1)[0]


def after_each_round(states: Iterator[SamplingState]) -> Iterator[SamplingState]:
    """States after a round: all but those with which a phase begins."""
    done = {"spanner": 0, "exploration": 0}
    for state in states:
        if state.done > done[state.phase]:
            done[state.phase] = state.done
            yield state


def stages(coverage: float, delta: float) -> Settings:
    """Settings of a stage, with a threshold that falls from stage to stage."""
    return Settings(
        prompts=6,
        pairs_per_prompt=math.ceil(2 * coverage),
        nu=0.6 * 0.9 ** math.log2(coverage),
        ridge=RIDGE,
        exploration_rounds=5,
        rejection_multiplier=6.0 * coverage,
        rejection_failure=delta,
    )


BUDGET = 8000

STAGED = partial(staged_rounds, budget=BUDGET, delta=0.5, settings=stages)


def result(states: Iterator[SamplingState]) -> Run:
    (last,) = deque(states, maxlen=1)
    return last.run
