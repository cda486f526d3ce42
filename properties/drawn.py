"""Tables with given weights, properties of both oracles, and many answers as observations of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import islice
from operator import methodcaller
from typing import Any, TypeAlias

import numpy as np
import pytest

from spanver.oracle import Oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import tabular_problems
from spanver.subjects.remote import ask_all
from spanver.verification.check import Check
from spanver.verification.design import Effect, designed

# Three outcomes that all happen: events of every size are there, and none is certain.
SMALL = tabular_problems(
    max_prompts=1, min_responses=2, max_responses=3, max_dimension=2, betas=(1.0, 0.5), weights=(1.0, 0.25, 2.0)
)
DRAWN_OF_A_PROMPT = 16
IN_STEP = 8  # oracles whose queries wait for answers
PROMPT = methodcaller("prompt")

Property: TypeAlias = Callable[[Check], None]
Watch: TypeAlias = Generator[Sequence[Callable[[Oracle], Any]], list[Any], list[int]]
Mistakes: TypeAlias = Mapping[str, Effect] | Sequence[str]


def of_both_oracles(
    guarantee: str,
    search: Callable[[Callable[..., Any]], Property],
    body: Callable[..., Any],
    *,
    instances: Sequence[Mapping[str, Any]],
    literal: Mistakes,
    counted: Mistakes,
    needs: Sequence[str] = (),
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
    needs : sequence of str
        What else the subject has to provide.
    """

    def of(factory: str, mistakes: Mistakes) -> Property:
        def of_one(check: Check, **instance: Any) -> Any:
            return body(check, factory, **instance)

        return pytest.mark.guarantee(guarantee, needs=[factory, *needs])(designed(instances, mistakes)(search(of_one)))

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


def watched(
    check: Check, factory: str, problem: TabularProblem, watch: Callable[[int], Watch], oracles: int = 1
) -> Callable[[int, int], Sequence[int]]:
    """Observe outcomes of queries of oracles, which are asked in step: what does not wait for answers travels together.

    Parameters
    ----------
    check : Check
    factory : str
        Makes the oracles.
    problem : TabularProblem
    watch : callable
        `watch(count)`: yields queries of one oracle, is sent their answers, and returns so many outcomes.
    oracles : int
        That share the observations.
    """

    def observe(count: int, seed: int) -> Sequence[int]:
        shares = [len(each) for each in np.array_split(np.arange(count), min(oracles, count))]
        made = [check.call(factory, problem, seed=seed + index) for index in range(len(shares))]
        turns: list[tuple[Oracle, Watch, list[Any] | None]] = [
            (oracle, watch(share), None) for oracle, share in zip(made, shares, strict=True)
        ]
        seen: list[int] = []
        while turns:
            asked: list[tuple[Oracle, Callable[[Oracle], Any]]] = []
            waiting = []
            for oracle, each, heard in turns:
                try:
                    queries = next(each) if heard is None else each.send(heard)
                except StopIteration as end:
                    seen.extend(end.value)
                else:
                    asked.extend((oracle, query) for query in queries)
                    waiting.append((oracle, each, len(queries)))
            answered = iter(ask_all(asked))
            turns = [(oracle, each, list(islice(answered, number))) for oracle, each, number in waiting]
        return seen

    return observe


def answers(
    check: Check,
    factory: str,
    problem: TabularProblem,
    queries: Callable[[Any], Sequence[Callable[[Oracle], Any]]],
    outcome: Callable[..., int],
) -> Callable[[int, int], Sequence[int]]:
    """Observe the outcome of the same queries many times, on a few prompts drawn one after another.

    One oracle makes all observations of a look: where it always answers the same this shows.

    Parameters
    ----------
    check : Check
    factory : str
        Makes the oracle.
    problem : TabularProblem
    queries : callable
        `queries(prompt)`: they do not wait for each other's answers.
    outcome : callable
        Of their answers.
    """

    def watch(count: int) -> Watch:
        seen: list[int] = []
        for start in range(0, count, DRAWN_OF_A_PROMPT):
            (prompt,) = yield [PROMPT]
            asked = queries(prompt)
            answered = iter((yield [*asked] * min(DRAWN_OF_A_PROMPT, count - start)))
            seen.extend(outcome(*several) for several in zip(*[answered] * len(asked), strict=True))
        return seen

    return watched(check, factory, problem, watch)


def base_of(problem: TabularProblem) -> Any:
    """Law of the base policy at the first prompt, shape (Y,)."""
    return np.exp(problem.log_base[0])
