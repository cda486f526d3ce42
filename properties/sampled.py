"""Calls of samplers on small tables, and the law of what they return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from spanver.oracle import Oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.subjects.contract import Call
from spanver.values import LinearScore
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment, law_experiment
from spanver.verification.transcript import GENEROUS_BUDGET, RecordingOracle, independent_oracles

from .drawn import with_constant
from .sampler_mistakes import MISTAKES, tilted

# Two or three responses, all likely to be drawn, with different weights: a wrong law shows.
SAMPLED = tabular_problems(
    max_prompts=1, min_responses=2, max_responses=3, max_dimension=1, betas=(1.0, 0.5), weights=(1.0, 0.25, 2.0)
).filter(lambda problem: float(np.ptp(problem.reward)) >= 0.25)


def weights_of(problem: TabularProblem) -> Any:
    return np.exp(problem.features[0] @ realizing(problem) / problem.beta)


def target_of(problem: TabularProblem) -> Any:
    """`pi_f`, shape (Y,)."""
    return tilted(np.exp(problem.log_base[0]), weights_of(problem))


def coverage_of(problem: TabularProblem) -> float:
    """`C(pi_f)`."""
    weights = weights_of(problem)
    return max(1.0, float(weights.max() / (np.exp(problem.log_base[0]) @ weights)))


def outputs(
    check: Check,
    sampler: str,
    problem: TabularProblem,
    multiplier: float,
    failure: float,
    *,
    constant: float = 0.0,
    counted: bool = False,
) -> Callable[[int, int], Sequence[int]]:
    """Observe outputs of many calls; to the scores of every second one a constant is added, in betas."""
    widened, theta = with_constant(problem), 2.0 * realizing(problem)
    scores = [LinearScore(np.append(theta, 2.0 * problem.beta * added)) for added in (0.0, constant)]

    def observe(count: int, seed: int) -> Sequence[int]:
        oracle_of = independent_oracles(widened, seed, counted=counted)

        def make(index: int) -> Call:
            oracle = oracle_of(index)
            given = {"multiplier": multiplier, "failure": failure, "seed": seed + index}
            return (oracle, oracle.prompt(), scores[index % 2]), given

        drawn = [response for _, response in check.calls(sampler, make, count)]
        strange = [response for response in drawn if response not in range(problem.responses)]
        assert not strange, f"the response {strange[0]!r} is none of the problem's"
        return drawn

    return observe


def law_of_outputs(
    check: Check,
    sampler: str,
    problem: TabularProblem,
    law: Any,
    *,
    multiplier: float,
    failure: float,
    constant: float = 0.0,
    tolerated: float = 0.0,
    counted: bool = False,
) -> Experiment:
    """Experiment: outputs of calls have this law."""
    return law_experiment(
        check,
        outputs(check, sampler, problem, multiplier, failure, constant=constant, counted=counted),
        law,
        of=f"response of {sampler} (C = {coverage_of(problem):.4g}, M = {multiplier:.4g}, delta = {failure:g})",
        outcomes=[f"response {each}" for each in range(problem.responses)],
        tolerated=tolerated,
        mistakes=partial(MISTAKES[sampler], problem, multiplier, failure),
    )


def fresh_oracle(check: Check, problem: TabularProblem) -> RecordingOracle:
    return RecordingOracle(literal_oracle(problem, seed=check.seed("oracle"), budget=GENEROUS_BUDGET))


def call_once(
    check: Check, sampler: str, oracle: Oracle, problem: TabularProblem, multiplier: float, failure: float
) -> tuple[Any, Any]:
    """Prompt and response of one call on a new prompt."""
    prompt, score, seed = oracle.prompt(), LinearScore(realizing(problem)), check.seed("sampler")
    return prompt, check.call(sampler, oracle, prompt, score, multiplier=multiplier, failure=failure, seed=seed)
