"""Nothing but answers leaves an oracle: no public attribute leads to the problem behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from table_oracles import (
    ALWAYS,
    ANCHORED,
    NEVER,
    PROBLEM,
    RULE,
    TRIAL,
    TRUNCATED,
    MakeOracle,
    at_prompt,
    each_oracle,
    table,
)

from spanver.errors import SpanverError
from spanver.oracle import Budget, Ledger
from spanver.oracles.metered import MeteredOracle
from spanver.problems.tabular import TabularProblem
from spanver.values import Counts, FloatArray, LogProbabilities, Response, Responses, SearchResult


def reachable(root: Any) -> Iterator[Any]:
    """Everything that public attributes, fields, items and array bases lead to, without calling anything."""
    seen: set[int] = set()
    stack, kept = [root], []
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kept.append(value)  # so that no id is used twice
        yield value
        if isinstance(value, str | bytes | int | float | bool | None | type):
            continue
        if isinstance(value, np.ndarray):
            stack.append(value.base)
        elif isinstance(value, Mapping):
            stack += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            stack += list(value)
        elif not callable(value):
            names = [name for name in dir(value) if not name.startswith("_")]
            if dataclasses.is_dataclass(value):
                names += [field.name for field in dataclasses.fields(value)]
            stack += [getattr(value, name) for name in names]


def answers_of(oracle: MeteredOracle) -> list[Any]:
    prompt = oracle.prompt()
    answers: list[Any] = [
        prompt,
        oracle.sample(prompt, 5),
        oracle.sample(prompt, 1),
        oracle.sample(prompt, 5, theta=np.array([0.6, -0.8])),
        oracle.sample_counts(prompt, 50),
        oracle.enumerate(prompt),
        oracle.reward(prompt, 0),
        oracle.compare(prompt, 0, 1),
        oracle.anchor(prompt),
        oracle.ledger,
        oracle.budget,
    ]
    for rule in (RULE, ANCHORED, TRIAL, TRUNCATED, ALWAYS, NEVER):
        answers += [oracle.sample_until(prompt, rule, limit) for limit in (1, 600)]
    answers += [answers[1][0], answers[4].responses[0]]
    answers += [oracle.sample_log_probabilities(prompt, count, np.array([0.6, -0.8])) for count in (1, 5)]
    for ask in (
        lambda: oracle.sample(99, 1),
        lambda: oracle.reward(prompt, 99),
        lambda: oracle.sample(prompt, 1, theta=np.full(2, 9.0)),
        lambda: oracle.sample(prompt, 0),
        lambda: oracle.sample(prompt, 2**60),
    ):
        with pytest.raises(SpanverError) as refusal:
            ask()
        answers += [vars(refusal.value), refusal.value.args, refusal.value.__cause__]
    return answers


def private_arrays(problem: TabularProblem, oracle: MeteredOracle) -> list[FloatArray]:
    """Arrays of the problem, and every array inside the oracle."""
    arrays = [getattr(problem, field.name) for field in dataclasses.fields(problem)]
    stack: list[Any] = [vars(oracle)]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            arrays.append(value)
        elif isinstance(value, dict):
            stack += list(value.values())
        elif isinstance(value, list | tuple):
            stack += list(value)
        elif type(value).__module__.startswith("spanver"):
            slots = [getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)]
            stack += slots + list(getattr(value, "__dict__", {}).values())
    return [array for array in arrays if isinstance(array, np.ndarray) and array.size > 0]


ANSWER_TYPES = (Responses, Response, Counts, LogProbabilities, SearchResult, Ledger, Budget)


@each_oracle
def test_nothing_public_leads_behind_the_oracle(make: MakeOracle) -> None:
    problem = table()
    oracle = make(problem, seed=11, full_table=True, log_probabilities=True, budget=Budget(samples=10**6))
    answers = [answers_of(oracle) for _ in range(3)]
    public = {name: getattr(oracle, name) for name in dir(oracle) if not name.startswith("_")}
    assert set(public) == {
        "dimension", "beta", "radius", "shape", "reward_range", "ledger", "budget",
        "prompt", "sample", "anchor", "sample_log_probabilities", "sample_counts", "sample_until", "reward", "compare",
        "enumerate",
    }  # fmt: skip
    assert all(name.startswith("_") for name in vars(oracle))
    hidden = private_arrays(problem, oracle)
    assert len(hidden) > 8
    arrays = 0
    for value in reachable([public, answers]):
        is_plain = isinstance(value, str | bytes | int | float | None | np.ndarray | Mapping | list | tuple)
        assert is_plain or isinstance(value, ANSWER_TYPES) or callable(value) or type(value).__name__ == "Outcome"
        if isinstance(value, np.ndarray):
            arrays += 1
            assert not value.flags.writeable or (value == 9.0).all()  # the theta that was refused
            assert not any(np.shares_memory(value, array) for array in hidden)
        if callable(value) and not isinstance(value, type):
            assert value in [public[name] for name in public if callable(public[name])]
            assert not [name for name in getattr(value, "__dict__", {}) if not name.startswith("_")]
    assert arrays > 20
    assert [type(public[name]) for name in ("dimension", "beta", "radius", "reward_range")] == [
        int,
        float,
        float,
        float,
    ]


@each_oracle
def test_answers_are_plain_numbers_and_not_those_of_an_array(make: MakeOracle) -> None:
    for prompt, sample, single, strong, counts, listing, reward, label, *_ in [
        answers_of(make(PROBLEM, seed=1, full_table=True, log_probabilities=True, budget=Budget(samples=10**6)))
    ]:
        assert type(prompt) is int
        assert type(reward) is float
        assert type(label) is bool
        for responses in (sample, single, strong, counts.responses, listing):
            assert {type(identity) for identity in responses.ids} == {int}


@each_oracle
def test_writing_into_an_answer_spoils_no_other_answer(make: MakeOracle) -> None:
    problem = table()
    spoiled, intact = (
        make(problem, seed=12, full_table=True, log_probabilities=True, budget=Budget(samples=10**6)) for _ in range(2)
    )
    for _ in range(6):
        for value in reachable(answers_of(spoiled)):
            if isinstance(value, np.ndarray) and value.base is None:
                value.setflags(write=True)
                value[...] = 7
        spoiled_answers, intact_answers = answers_of(spoiled), (answers_of(intact), answers_of(intact))[1]
        for one, two in zip(spoiled_answers, intact_answers, strict=True):
            assert describe(one) == describe(two)
    assert np.array_equal(problem.features, PROBLEM.features)


def describe(answer: Any) -> Any:
    """Plain data of an answer, to compare."""
    match answer:
        case Responses(ids, features):
            return ids, features.tolist()
        case Response(identity, features):
            return identity, features.tolist()
        case Counts(responses, counts):
            return describe(responses), counts.tolist()
        case LogProbabilities(responses, log_probabilities):
            return describe(responses), log_probabilities.tolist()
        case SearchResult(responses, tries):
            return describe(responses), tries
        case _:
            return repr(answer)


@each_oracle
def test_a_theta_that_its_owner_changes_is_another_theta(make: MakeOracle) -> None:
    theta = np.array([0.6, 0.8])
    oracle, expected = at_prompt(make), at_prompt(make)
    oracle.sample(0, 200, theta=theta)
    expected.sample(0, 200)
    theta *= -1.0
    assert oracle.sample(0, 200, theta=theta).ids == expected.sample(0, 200, theta=np.array([-0.6, -0.8])).ids
