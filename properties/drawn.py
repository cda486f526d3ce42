"""Tables with given weights, properties of both oracles, and many answers as observations of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest

from spanver.oracle import Oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import tabular_problems
from spanver.verification.check import Check
from spanver.verification.design import Effect, designed

# Three outcomes that all happen: events of every size are there, and none is certain.
SMALL = tabular_problems(
    max_prompts=1, min_responses=2, max_responses=3, max_dimension=2, betas=(1.0, 0.5), weights=(1.0, 0.25, 2.0)
)
DRAWN_OF_A_PROMPT = 16

Property: TypeAlias = Callable[[Check], None]
Mistakes: TypeAlias = Mapping[str, Effect] | Sequence[str]


def of_both_oracles(
    guarantee: str,
    search: Callable[[Callable[..., Any]], Property],
    body: Callable[..., Any],
    *,
    instances: Sequence[Mapping[str, Any]],
    literal: Mistakes,
    counted: Mistakes,
) -> tuple[Property, Property]:
    """Make two properties of one body, which is also given the factory: of the literal and of the counted oracle.

    Parameters
    ----------
    guarantee : str
    search : callable
        Decorator of the properties: `instances(..)` or `experiments(..)`.
    body : callable
    instances : sequence of mapping
        On which both are designed to catch mistakes.
    literal, counted : mapping or sequence of str
        Mistakes of each oracle, as for `designed`.
    """

    def of(factory: str, mistakes: Mistakes) -> Property:
        def of_one(check: Check, **instance: Any) -> Any:
            return body(check, factory, **instance)

        return pytest.mark.guarantee(guarantee, needs=[factory])(designed(instances, mistakes)(search(of_one)))

    return of("literal_oracle", literal), of("counted_oracle", counted)


def table_of(base: Sequence[float], weights: Sequence[float]) -> TabularProblem:
    """A problem of one prompt whose optimal policy weighs the base policy with these weights, up to a factor."""
    log_weights = np.log(weights)
    log_weights -= log_weights.max() / 2 + log_weights.min() / 2
    beta = 1.0 / float(np.abs(log_weights).max())
    features = (log_weights * beta)[None, :, None]
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([base]),
        features=features,
        reward=features[:, :, 0],
        beta=beta,
        radius=1.0,
        reward_range=2.0,
        reward_low=np.array([-1.0]),
        theta_star=np.ones(1),
    )


def with_constant(problem: TabularProblem) -> TabularProblem:
    """The problem with features halved and one more of 1/2, so that a parameter can add a constant to all scores."""
    halves = np.full((problem.prompts, problem.responses, 1), 0.5)
    return TabularProblem(
        prompt_law=problem.prompt_law,
        log_base=problem.log_base,
        features=np.concatenate([problem.features * 0.5, halves], axis=2),
        reward=problem.reward,
        beta=problem.beta,
        radius=problem.radius,
        reward_range=problem.reward_range,
        reward_low=problem.reward_low,
    )


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
