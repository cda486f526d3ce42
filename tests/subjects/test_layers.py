"""Oracles of layers, and the runs that have them, over the pipe: the same to the bit as in process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from layered_tables import random_mdp
from programs import call

from spanver.episodic import AnchoredScore, EpisodicBudget, EpisodicLedger, EpisodicOracle, States
from spanver.errors import ArgumentError, BudgetExceededError, SpanverError, SubjectError
from spanver.learners.mtss import MTSSSettings, mtss
from spanver.oracles.episodic import episodic_oracle
from spanver.parameter_sets import shape_name
from spanver.problems.families.mdp import mdp_problem
from spanver.subjects.contract import Subject
from spanver.subjects.process import python_subject
from spanver.subjects.protocol import (
    FORMS,
    JSON,
    LAYERED_FACTS,
    LAYERED_QUERIES,
    MSGPACK,
    Form,
    answer,
    plain,
    refused_error,
)
from spanver.subjects.reference import subject as reference
from spanver.subjects.remote import RemoteEpisodicOracle
from spanver.values import from_json

PROBLEM = mdp_problem(3, horizon=3, states=5)
SETTINGS = MTSSSettings(
    iterations=3, regression_rollouts=4, span_rollouts=2, base_draws=3, multiplier=4.0, failure=0.1, ridge=0.3, nu=0.5
)
EITHER_FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture(scope="module", params=[{"json": JSON}, FORMS], ids=["json", "msgpack"])
def served(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with patch("spanver.subjects.process.FORMS", request.param):
        subject = python_subject("reference")
    yield subject
    subject.close()


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal to the bit, and of one kind and shape."""
    return type(one) is type(other) and MSGPACK.encode({"value": one}) == MSGPACK.encode({"value": other})


# Runs

CORES = mtss(episodic_oracle(PROBLEM, seed=1), settings=SETTINGS).cores
THETAS = np.random.default_rng(2).normal(size=(3, PROBLEM.dimension)) / 4.0
CALLS: dict[str, tuple[Any, ...]] = {
    "fit_value": (1, CORES, THETAS),
    "uncertain_state_action": (2, CORES, THETAS),
    "mtss": (),
}


def having_issued_all(literal: bool, budget: EpisodicBudget | None = None) -> EpisodicOracle:
    oracle = episodic_oracle(PROBLEM, seed=5, literal=literal, budget=budget)
    states = oracle.start(500)
    for layer in range(2):
        assert set(CORES[layer].states) <= set(states.ids)
        states = oracle.step(states, np.arange(500) % 4)
    return oracle


@pytest.mark.parametrize("literal", [False, True], ids=["counted", "literal"])
@pytest.mark.parametrize("name", CALLS)
def test_a_run_through_the_server_is_that_of_the_reference(served: Subject, name: str, literal: bool) -> None:
    mine, theirs = (having_issued_all(literal) for _ in range(2))
    plan: dict[str, Any] = {"settings": SETTINGS, "seed": 7}
    expected = call(reference, name, mine, *CALLS[name], **plan)
    result = call(served, name, theirs, *CALLS[name], **plan)
    assert same(result, expected)
    assert theirs.ledger == mine.ledger


def test_a_run_with_empty_core_sets_fits_zeros_and_searches_from_the_first_state(served: Subject) -> None:
    nothing = [core[:0] for core in CORES]
    oracle, plan = episodic_oracle(PROBLEM, seed=5), {"settings": SETTINGS, "seed": 7}
    fit = call(served, "fit_value", oracle, 0, nothing, THETAS, **plan)
    assert (fit.theta.tolist(), fit.targets.shape) == ([0.0] * PROBLEM.dimension, (0,))
    assert oracle.ledger == EpisodicLedger()
    found = call(served, "uncertain_state_action", oracle, 0, nothing, THETAS, **plan)
    again = call(reference, "uncertain_state_action", episodic_oracle(PROBLEM, seed=5), 0, nothing, THETAS, **plan)
    assert found == again


@pytest.mark.parametrize("counter", ["samples", "features", "rewards", "transitions", "resets"])
def test_a_run_beyond_the_budget_is_refused_and_ends(served: Subject, counter: str) -> None:
    oracle = episodic_oracle(PROBLEM, seed=5, budget=EpisodicBudget(**{counter: 3}))
    with pytest.raises(BudgetExceededError) as caught:
        call(served, "mtss", oracle, settings=SETTINGS, seed=7)
    assert caught.value.counter == counter


def test_what_a_subject_was_refused_is_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
import numpy as np
from spanver.episodic import States

class guessing:
    provides = ["mtss"]

    def mtss(oracle, *, seed, settings):
        oracle.reward(States(0, [10**6], 1), np.array([0]))
"""
    (tmp_path / "guessing_subject.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    subject = python_subject("guessing_subject:guessing")
    try:
        with pytest.raises(SubjectError, match="the ids of states") as caught:
            call(subject, "mtss", episodic_oracle(PROBLEM, seed=5), settings=SETTINGS, seed=7)
        assert caught.value.kind == "ArgumentError"
        assert caught.value.where.startswith("guessing_subject.py:9")
    finally:
        subject.close()


def test_runs_that_travel_together_are_those_made_one_by_one() -> None:
    subject = python_subject("reference")
    try:
        assert subject.together is not None

        def made(index: int) -> Any:
            return (episodic_oracle(PROBLEM, seed=index),), {"settings": SETTINGS, "seed": index}

        outcomes = list(subject.together("mtss", made, 9))
        assert subject.together._same == {"mtss": True}  # type: ignore[attr-defined]
        for index, ((oracles, _), outcome) in enumerate(outcomes):
            (oracle,), plan = made(index)
            assert outcome()["thetas"].tolist() == call(reference, "mtss", oracle, **plan).thetas.tolist()
            assert oracles[0].ledger == oracle.ledger
    finally:
        subject.close()


# Queries: what each message becomes at the other end, without a process


def read(form: Form, message: dict[str, Any]) -> dict[str, Any]:
    """What the other end reads of a message."""
    sent = form.encode(message)
    start, end, _ = form.bounds(bytearray(sent)) or (0, 0, 0)
    return form.decode(sent[start:end])


def remote(oracle: EpisodicOracle, form: Form) -> RemoteEpisodicOracle:
    def ask(query: dict[str, Any], kind: Any) -> Any:
        ended = read(form, answer(oracle, read(form, query), LAYERED_QUERIES))
        if "refused" in ended:
            raise refused_error(ended)
        return from_json(ended["answer"], kind)

    facts = {name: getattr(oracle, name) for name in (*LAYERED_FACTS, "budget")}
    told = read(form, facts | {"shape": shape_name(oracle.shape)})
    return RemoteEpisodicOracle(told, ask)


def score_at(oracle: EpisodicOracle, states: States) -> AnchoredScore:
    anchors = oracle.feature(states, np.full(len(states), oracle.anchor))
    return AnchoredScore(THETAS[0], np.eye(PROBLEM.dimension), 0.5, anchors)


def everything(oracle: EpisodicOracle, count: int, draws: int) -> Iterator[Any]:
    """Answers to every query, of batches of so many episodes."""
    states = oracle.start(max(count, 1))
    yield states
    states = states if count > 0 else oracle.reset(0, states.ids[:0])
    yield states
    yield oracle.sample(states, 2, theta=THETAS[1] / 10.0)
    drawn = oracle.sample(states, 3)
    yield drawn
    actions = drawn.actions[:, 0]
    yield oracle.reward(states, actions)
    yield oracle.step(states, actions)
    again = oracle.reset(0, states.ids)
    yield again
    yield oracle.sample_counts(again, draws)
    yield oracle.sample_until(again, score_at(oracle, again), np.full(count, 3.0), 40)
    yield oracle.ledger


@EITHER_FORM
@pytest.mark.parametrize(
    ("count", "draws"),
    [(3, 7), (0, 7), (5000, 4), (3, 2**60)],
    ids=["few", "none", "more than are listed of floats", "counts that float64 does not have"],
)
def test_answers_come_through_the_pipe_to_the_bit(form: Form, count: int, draws: int) -> None:
    here, there = (episodic_oracle(PROBLEM, seed=5) for _ in range(2))
    for one, other in zip(everything(here, count, draws), everything(remote(there, form), count, draws), strict=True):
        assert same(one, other)
        for name in () if isinstance(one, np.ndarray | EpisodicLedger) else plain(one):
            mine, theirs = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
            assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
    if draws == 2**60:
        counts = here.sample_counts(here.start(1), draws).counts
        assert any(int(float(each) + 1.0) != int(each) + 1 for each in counts.tolist())


@EITHER_FORM
def test_facts_come_through_the_pipe(form: Form) -> None:
    problem = random_mdp(1, horizon=2)
    oracle = episodic_oracle(problem, seed=1, budget=EpisodicBudget(samples=2**70, resets=3))
    told = remote(oracle, form)
    for name in (*LAYERED_FACTS, "budget"):
        assert getattr(told, name) == getattr(oracle, name)
    assert told.ledger == EpisodicLedger()
    told.start(2)
    assert told.ledger == oracle.ledger == EpisodicLedger(transitions=2)


def at_the_end(oracle: EpisodicOracle) -> States:
    states = oracle.start(2)
    for _ in range(2):
        states = oracle.step(states, np.zeros(2, dtype=int))
    return states


REFUSED: dict[str, tuple[type[SpanverError], Callable[[EpisodicOracle, States], Any]]] = {
    "states never issued": (ArgumentError, lambda oracle, states: oracle.sample(States(1, np.array([0]), 1), 1)),
    "an id that is none": (ArgumentError, lambda oracle, states: oracle.reset(0, np.array([10**6]))),
    "another layer": (ArgumentError, lambda oracle, states: oracle.reset(3, states.ids)),
    "part of a batch": (
        ArgumentError,
        lambda oracle, states: oracle.step(States(0, states.ids[:1], states.episodes), np.zeros(1, dtype=int)),
    ),
    "a batch gone on from": (
        ArgumentError,
        lambda oracle, states: [oracle.step(states, np.zeros(2, dtype=int)) for _ in range(2)],
    ),
    "a step in the last layer": (
        ArgumentError,
        lambda oracle, states: oracle.step(at_the_end(oracle), np.zeros(2, dtype=int)),
    ),
    "too few actions": (ArgumentError, lambda oracle, states: oracle.feature(states, np.zeros(1, dtype=int))),
    "actions that are no integers": (ArgumentError, lambda oracle, states: oracle.reward(states, np.array([0.0, 0.5]))),
    "an action that is none": (ArgumentError, lambda oracle, states: oracle.reward(states, np.array([0, 4]))),
    "no draws": (ArgumentError, lambda oracle, states: oracle.sample_counts(states, 0)),
    "parameters outside of the set": (
        ArgumentError,
        lambda oracle, states: oracle.sample(states, 1, theta=np.full(PROBLEM.dimension, 9.0)),
    ),
    "anchors of other states": (
        ArgumentError,
        lambda oracle, states: oracle.sample_until(
            states, AnchoredScore(THETAS[0], np.eye(4), 0.5, np.zeros((3, 4))), np.zeros(2), 5
        ),
    ),
    "too few thresholds": (
        ArgumentError,
        lambda oracle, states: oracle.sample_until(states, score_at(oracle, states), np.zeros(1), 5),
    ),
    "transitions": (BudgetExceededError, lambda oracle, states: oracle.start(99)),
    "samples": (BudgetExceededError, lambda oracle, states: oracle.sample_counts(states, 2**40)),
    "tries": (
        BudgetExceededError,
        lambda oracle, states: oracle.sample_until(states, score_at(oracle, states), np.full(2, 600.0), 2**40),
    ),
}


@EITHER_FORM
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_query_raises_what_it_raises_here(form: Form, name: str) -> None:
    kind, query = REFUSED[name]
    budget = EpisodicBudget(samples=10**6, features=100, rewards=100, transitions=100, resets=100)
    raised, ledgers = [], []
    for through in (lambda oracle: oracle, lambda oracle: remote(oracle, form)):
        oracle = through(episodic_oracle(PROBLEM, seed=5, budget=budget))
        states = oracle.start(2)
        with pytest.raises(kind) as caught:
            query(oracle, states)
        raised.append(caught.value)
        ledgers.append(oracle.ledger)
    told = [{name: part for name, part in vars(error).items() if name != "value"} for error in raised]
    assert told[0] == told[1]  # an array that was refused comes back as its text
    assert ledgers[0] == ledgers[1]


@pytest.mark.parametrize(
    "query",
    [
        {"ask": "prompt"},
        {"ask": "sample", "prompt": 0, "count": 1},
        {"ask": "start", "count": 1, "seed": 0},
        {"ask": "step", "states": {"layer": 0, "ids": [0]}, "actions": [0]},
        {"ask": "reward", "states": {"layer": 0, "ids": [0.5], "episodes": 1}, "actions": [0]},
        {"ask": "reset", "layer": 0, "ids": [[0], [0, 1]]},
    ],
)
def test_a_query_that_no_oracle_of_layers_has_is_refused(query: dict[str, Any]) -> None:
    oracle = episodic_oracle(PROBLEM, seed=5)
    with pytest.raises(ArgumentError):
        answer(oracle, {"seq": 1, **query}, LAYERED_QUERIES)
    assert oracle.ledger == EpisodicLedger()


def test_answers_are_read_only() -> None:
    for value in everything(episodic_oracle(PROBLEM, seed=5), 3, 7):
        arrays = [value] if isinstance(value, np.ndarray) else [] if isinstance(value, EpisodicLedger) else plain(value)
        for each in arrays:
            array = each if isinstance(each, np.ndarray) else getattr(value, each)
            assert not isinstance(array, np.ndarray) or not array.flags.writeable
