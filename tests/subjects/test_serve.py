"""The Python server gives what the reference gives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import call, small_problem

from spanver.errors import ArgumentError, BudgetExceededError, ContractError, QuestionRefusedError, SubjectError
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.subjects.contract import Subject, result_of
from spanver.subjects.process import python_subject
from spanver.subjects.reference import subject as reference
from spanver.values import LinearScore, UncertainPairRule


@pytest.fixture(scope="module")
def served() -> Iterator[Subject]:
    subject = python_subject("reference")
    yield subject
    subject.close()


def test_a_served_subject_provides_and_declares_what_it_does_here(served: Subject) -> None:
    assert served.name == "reference"
    assert served.provides == reference.provides
    assert served.declared == reference.declared == {"claims": ["A1", "A1r", "A2"]}


RNG = np.random.default_rng(8)

PLAIN_CALLS: dict[str, tuple[Any, ...]] = {
    "elliptic_norms": (RNG.normal(size=(5, 2)), np.array([[2.0, 0.3], [0.3, 1.0]])),
    "log_softmax": (np.array([-np.inf, math.log(0.3), math.log(0.7)]), RNG.normal(size=3), 1e-4),
    "truncated_scores": (RNG.normal(size=(5, 2)), RNG.normal(size=2), RNG.normal(size=2), np.eye(2), 1.0),
    "kl_divergence": (np.log([0.3, 0.7]), np.array([0.0, -np.inf])),
    "kl_estimate": (np.log([0.3, 0.7]), np.log([0.6, 0.4])),
    "log_coverage": (np.log([0.3, 0.7]), np.log([0.6, 0.4])),
    "fit": (RNG.normal(size=(6, 3)), RNG.normal(size=6), 0.5),
    "draw": (np.array([0.2, 0.0, 0.8]), 20, 2**63 + 5),
    "draw_weights": (np.array([1e-300, 0.0, 3e-300]), 20, 5),
    "draw_logits": (np.array([1e4, -np.inf, 1e4]), 20, 5),
    "draw_batch": (np.array([[0.2, 0.8], [1.0, 0.0]]), 20, 5),
    "draw_distinct": (np.array([7.0, 2.0, 0.0, 1.0]), 2, 5),
}


@pytest.mark.parametrize("name", PLAIN_CALLS)
def test_the_server_returns_what_the_reference_returns(served: Subject, name: str) -> None:
    expected = call(reference, name, *PLAIN_CALLS[name])
    np.testing.assert_array_equal(call(served, name, *PLAIN_CALLS[name]), expected)


@pytest.mark.parametrize("name", ["softmax_sample", "softmax_sample_density", "race_sample"])
def test_samples_through_the_server_are_those_of_the_reference(served: Subject, name: str) -> None:
    def drawn(subject: Subject) -> list[Any]:
        oracle = counted_oracle(small_problem(3), seed=4)
        prompt = oracle.prompt()
        plan: dict[str, Any] = {"multiplier": 5.0, "failure": 0.1}
        score = LinearScore(np.array([0.3, -1.0, 0.2]))
        ids = [call(subject, name, oracle, prompt, score, seed=seed, **plan) for seed in range(10)]
        return [*ids, oracle.ledger]

    assert drawn(served) == drawn(reference)


def test_a_spanner_through_the_server_is_that_of_the_reference(served: Subject) -> None:
    mine, theirs = (counted_oracle(small_problem(6), seed=2) for _ in range(2))
    plan: dict[str, Any] = {"prompts": 20, "pairs_per_prompt": 30, "nu": 0.3, "ridge": 0.5, "seed": 1}
    expected, result = call(reference, "build_spanner", mine, **plan), call(served, "build_spanner", theirs, **plan)
    assert (result.prompts, result.first, result.second) == (expected.prompts, expected.first, expected.second)
    for part in ("vectors", "targets", "sigma"):
        np.testing.assert_array_equal(getattr(result, part), getattr(expected, part))
    assert mine.ledger == theirs.ledger
    assert len(expected.targets) > 0


def test_spanner_sampling_through_the_server_is_that_of_the_reference(served: Subject) -> None:
    settings = Settings(
        prompts=6,
        pairs_per_prompt=20,
        nu=0.4,
        ridge=0.5,
        exploration_rounds=5,
        rejection_multiplier=6.0,
        rejection_failure=0.1,
    )
    mine, theirs = (literal_oracle(small_problem(7), seed=3) for _ in range(2))
    expected = call(reference, "spanner_sampling", mine, seed=9, settings=settings)
    result = call(served, "spanner_sampling", theirs, seed=9, settings=settings)
    assert mine.ledger == theirs.ledger
    assert len(result.components) == len(expected.components) == 5
    for one, other in zip(result.components, expected.components, strict=True):
        np.testing.assert_array_equal(one.theta, other.theta)
        np.testing.assert_array_equal(one.precision, other.precision)
        assert one.nu == other.nu


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("passive_learner", {}),
        ("online_dpo", {"feedback": "reward"}),
        ("online_dpo", {"feedback": "preference"}),
        ("xpo", {"alpha": 0.25, "feedback": "reward", "partition_samples": 8}),
        ("xpo", {"alpha": 0.25, "feedback": "preference", "partition_samples": 8}),
        ("elliptical_enumeration", {"ridge": 0.5}),
        ("best_of_n", {"count": 16}),
    ],
)
def test_a_baseline_through_the_server_is_that_of_the_reference(
    served: Subject, name: str, plan: dict[str, Any]
) -> None:
    mine, theirs = (literal_oracle(small_problem(8), seed=3, full_table=True) for _ in range(2))
    expected = call(reference, name, mine, rounds=6, seed=9, **plan)
    result = call(served, name, theirs, rounds=6, seed=9, **plan)
    assert mine.ledger == theirs.ledger
    assert mine.ledger.rewards > 0
    for part in ("thetas", "vectors", "targets", "theta"):
        np.testing.assert_array_equal(getattr(result, part), getattr(expected, part))
    assert result.thetas.shape == (6, 3)
    assert result.count == expected.count == plan.get("count")


BASELINE: dict[str, Any] = {"thetas": [[0.0, 0.0]], "vectors": [[1.0, 0.0]], "targets": [0.5], "theta": [0.5, 0.0]}


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("online_dpo", {"thetas": [[0.0]]}, "the shape of thetas"),
        ("online_dpo", {"targets": [0.5, 1.0]}, "the shape of thetas"),
        ("xpo", {"vectors": [[1.0, 0.0, 0.0]]}, "the shape of vectors"),
        ("xpo", {"theta": [float("nan"), 0.0]}, "theta"),
        ("best_of_n", {}, "with the key count"),
        ("best_of_n", {"count": 1.5}, "integer"),
    ],
)
def test_a_baseline_of_another_form_breaks_the_contract(name: str, changes: dict[str, Any], words: str) -> None:
    assert result_of("best_of_n", BASELINE | {"count": 3}).count == 3
    with pytest.raises(ContractError, match=words):
        result_of(name, BASELINE | changes)


def test_what_a_subject_raises_at_the_server_is_raised_here(served: Subject) -> None:
    with pytest.raises(SubjectError, match="prompts is 0"):
        call(
            served,
            "build_spanner",
            literal_oracle(small_problem(0), seed=0),
            prompts=0,
            pairs_per_prompt=1,
            nu=1.0,
            ridge=1.0,
            seed=0,
        )
    assert call(served, "fit", np.ones((1, 1)), np.ones(1), 2.0).tolist() == [1.0]


def test_what_a_served_subject_prints_does_not_get_between_the_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "class chatty:\n    provides = ['fit']\n    def fit(*_):\n        print('fitting')\n        return [2.0]\n"
    (tmp_path / "chatty_subject.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    subject = python_subject("chatty_subject:chatty")
    try:
        assert call(subject, "fit", np.ones((1, 1)), np.ones(1), 2.0).tolist() == [2.0]
    finally:
        subject.close()


@pytest.mark.parametrize("function", ["soft_q", "policy_q"])
def test_values_through_the_server_are_those_of_the_reference(served: Subject, function: str) -> None:
    layers = [np.log(np.array([[0.25, 0.75]])), np.array([[0.0, -np.inf], [math.log(0.5), math.log(0.5)]])]
    rewards = [np.array([[0.5, 0.0]]), np.array([[0.0, 1.0], [0.5, -0.25]])]
    given: list[Any] = [layers, rewards, [np.array([[[0.5, 0.5], [0.0, 1.0]]])], 0.5]
    if function == "policy_q":
        given.insert(0, [np.log(np.array([[0.5, 0.5]])), np.array([[0.0, -np.inf], [-np.inf, 0.0]])])
    expected = call(reference, function, *given)
    result = call(served, function, *given)
    assert [layer.shape for layer in result] == [(1, 2), (2, 2)]
    for one, other in zip(result, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("factory", ["literal_oracle", "counted_oracle"])
def test_an_oracle_of_a_served_subject_answers_what_it_does_here(served: Subject, factory: str) -> None:
    def answers(subject: Subject) -> list[Any]:
        oracle: Oracle = subject.functions[factory](small_problem(1), seed=3, budget=Budget(samples=2**70))
        prompt = oracle.prompt()
        rule = UncertainPairRule(np.eye(3), 0.3)
        drawn, counts, found = (
            oracle.sample(prompt, 5),
            oracle.sample_counts(prompt, 9),
            oracle.sample_until(prompt, rule, 7),
        )
        assert found.responses is not None
        strong = oracle.sample(prompt, 2, theta=np.full(3, 0.1))
        return [
            *(oracle.dimension, oracle.beta, oracle.radius, oracle.reward_range, oracle.budget),
            *(drawn.ids, drawn.features.tolist(), counts.responses.ids, counts.counts.tolist()),
            *(found.responses.ids, found.tries, strong.ids),
            *(oracle.reward(prompt, drawn[0]), oracle.compare(prompt, 0, drawn[1]), oracle.ledger),
        ]

    assert answers(served) == answers(reference)


def test_what_an_oracle_of_a_served_subject_refuses_is_raised_here(served: Subject) -> None:
    oracle: Oracle = served.functions["literal_oracle"](small_problem(1), seed=3, budget=Budget(samples=3))
    prompt = oracle.prompt()
    with pytest.raises(BudgetExceededError) as caught:
        oracle.sample(prompt, 4)
    assert (caught.value.counter, caught.value.asked, caught.value.left) == ("samples", 4, 3)
    with pytest.raises(QuestionRefusedError, match="full-table model"):
        oracle.enumerate(prompt)
    with pytest.raises(ArgumentError, match="prompt is -1, but"):
        oracle.sample(-1, 1)
    assert oracle.ledger == Ledger()


def test_oracles_that_nobody_has_any_more_are_forgotten(served: Subject) -> None:
    make, problem = served.functions["literal_oracle"], small_problem(1)
    for seed in range(3):
        assert make(problem, seed=seed).ledger == Ledger()
    kept: Oracle = make(problem, seed=3)
    assert call(served, "fit", np.ones((1, 1)), np.ones(1), 2.0).tolist() == [1.0]
    assert kept.ledger == Ledger()
