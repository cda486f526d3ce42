"""Calls of samplers on small tables, and the law of what they return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spanver.guarantees.sampler import sampler_samples
from spanver.oracle import Oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.subjects.contract import Call
from spanver.subjects.results import DensityResult
from spanver.values import LinearScore, ResponseId, SearchResult
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment, Seen, law_experiment
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


def response_of(result: ResponseId | DensityResult) -> ResponseId:
    """The response that a sampler returned, with its density ratio or without."""
    return result.response if isinstance(result, DensityResult) else result


def results(
    check: Check,
    sampler: str,
    problem: TabularProblem,
    multiplier: float,
    failure: float,
    *,
    constant: float = 0.0,
    counted: bool = False,
) -> Callable[[int, int], list[Any]]:
    """Observe results of many calls; to the scores of every second one a constant is added, in betas."""
    widened, theta = with_constant(problem), 2.0 * realizing(problem)
    scores = [LinearScore(np.append(theta, 2.0 * problem.beta * added)) for added in (0.0, constant)]

    def observe(count: int, seed: int) -> list[Any]:
        oracle_of = independent_oracles(widened, seed, counted=counted)

        def make(index: int) -> Call:
            oracle = oracle_of(index)
            given = {"multiplier": multiplier, "failure": failure, "seed": seed + index}
            return (oracle, oracle.prompt(), scores[index % 2]), given

        found = [result for _, result in check.calls(sampler, make, count)]
        strange = [response for response in map(response_of, found) if response not in range(problem.responses)]
        assert not strange, f"the response {strange[0]!r} is none of the problem's"
        return found

    return observe


def outputs(*arguments: Any, **named: Any) -> Callable[[int, int], list[Any]]:
    """Observe the responses of many calls; arguments are those of `results`."""
    observe = results(*arguments, **named)
    return lambda count, seed: [response_of(result) for result in observe(count, seed)]


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


def between_experiment(
    check: Check, observe: Callable[[int, int], Sequence[int]], low: float, high: float, *, of: str
) -> Experiment:
    """Experiment: events, observed as 0 or 1, are independent, with a probability from `low` to `high`.

    That is to be within half of the distance of the middle, in total variation.
    """
    middle, tolerated = (low + high) / 2.0, (high - low) / 2.0
    experiment = law_experiment(check, observe, np.array([1.0 - middle, middle]), tolerated=tolerated)

    def seen(drawn: Sequence[Any]) -> Seen:
        return Seen(of, f"frequency {np.mean(drawn):.4g}", f"{low:.4g} to {high:.4g}")

    return replace(experiment, seen=seen)


def fresh_oracle(check: Check, problem: TabularProblem) -> RecordingOracle:
    return RecordingOracle(literal_oracle(problem, seed=check.seed("oracle"), budget=GENEROUS_BUDGET))


def call_once(
    check: Check, sampler: str, oracle: Oracle, problem: TabularProblem, multiplier: float, failure: float
) -> tuple[Any, Any]:
    """Prompt and result of one call on a new prompt."""
    prompt, score, seed = oracle.prompt(), LinearScore(realizing(problem)), check.seed("sampler")
    return prompt, check.call(sampler, oracle, prompt, score, multiplier=multiplier, failure=failure, seed=seed)


class NeverAccepting:
    """An oracle that accepts no trial: what a correct oracle does rarely."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)

    def sample_until(self, prompt: Any, rule: Any, limit: int) -> SearchResult:
        """Charge for the trials."""
        self._oracle.sample(prompt, rule.samples_per_try * limit)
        return SearchResult(None, limit)


def expect_cost(check: Check, sampler: str, problem: TabularProblem, multiplier: float, failure: float) -> None:
    """Expect at most `2N + 1` samples of a call and no reward, also where no trial is accepted (R1)."""
    oracle = fresh_oracle(check, problem)
    prompt, result = call_once(check, sampler, oracle, problem, multiplier, failure)
    bound, cost, response = sampler_samples(multiplier, failure), oracle.ledger.samples, response_of(result)
    assert cost <= bound, f"{cost} samples, at most {bound} are allowed"
    assert oracle.ledger.rewards == 0, "acceptance looked at rewards"
    assert cost >= 1, "no sample was drawn"
    possible = np.flatnonzero(problem.log_base[int(prompt)] > -np.inf)
    assert response in possible, f"the response {response} has base probability 0"
    check.tightness(cost, bound)
    unlucky = NeverAccepting(fresh_oracle(check, problem))
    call_once(check, sampler, unlucky, problem, multiplier, failure)
    cost = unlucky.ledger.samples
    assert cost <= bound, f"{cost} samples when no trial is accepted, at most {bound} are allowed"
