"""SpannerSampling from preferences asks a label a pair, fits the logistic loss, and is otherwise the same."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_runs import ORACLES, RIDGE, MakeOracle, small_problem, stages

from spanver.errors import ArgumentError
from spanver.exact.tabular import gap, log_law
from spanver.learners.losses import logistic_fit
from spanver.learners.spanner import build_spanner, spanner_rounds
from spanver.learners.spanner_sampling import Settings, sampling_rounds, spanner_sampling
from spanver.learners.staged import staged_spanner_sampling
from spanver.oracle import Feedback
from spanver.oracles.counted import counted_oracle
from spanver.parameter_sets import Ball, ParameterSet
from spanver.problems.families.random_tables import random_problem
from spanver.runs.settings import settings_for
from spanver.values import FloatArray
from spanver.verification.transcript import RecordingOracle

FEEDBACK: tuple[Feedback, ...] = ("reward", "preference")
LABELS = Settings(
    prompts=12,
    pairs_per_prompt=6,
    nu=0.4,
    ridge=RIDGE,
    exploration_rounds=8,
    rejection_multiplier=12.0,
    rejection_failure=0.3,
    feedback="preference",
)


@ORACLES
def test_a_pair_costs_one_label_and_no_reward(make: MakeOracle) -> None:
    oracle = RecordingOracle(make(small_problem(), seed=1))
    run = spanner_sampling(oracle, seed=2, settings=LABELS)
    pairs = run.trace.spanner.size + LABELS.exploration_rounds
    assert run.trace.spanner.size > 2
    asked = [query.name for query in oracle.queries if query.name in ("reward", "compare")]
    assert asked == ["compare"] * pairs
    assert oracle.ledger.rewards == pairs
    labels = np.concatenate([run.trace.spanner.targets, run.trace.exploration.targets])
    assert labels.tolist() == [1.0 if query.answer else -1.0 for query in oracle.queries if query.name == "compare"]


def test_phase_one_accepts_the_same_pairs_whatever_is_asked_about_them() -> None:
    given: dict[str, Any] = {"prompts": 15, "pairs_per_prompt": 6, "nu": 0.4, "ridge": RIDGE}
    one, two = (
        build_spanner(counted_oracle(small_problem(), seed=1), feedback=feedback, **given) for feedback in FEEDBACK
    )
    assert np.array_equal(one.vectors, two.vectors)
    assert set(two.targets) <= {-1.0, 1.0}


def test_every_parameter_is_the_logistic_fit_to_all_labels_before_it() -> None:
    run = spanner_sampling(counted_oracle(small_problem(), seed=1), seed=2, settings=LABELS)
    spanner, explored = run.trace.spanner, run.trace.exploration
    for t, theta in enumerate(explored.thetas):
        vectors = np.concatenate([spanner.vectors, explored.vectors[:t]])
        labels = np.concatenate([spanner.targets, explored.targets[:t]])
        assert theta == pytest.approx(logistic_fit(vectors, labels, Ball(small_problem().radius)), abs=1e-8)
    assert len({tuple(theta) for theta in explored.thetas}) > 4


def test_a_run_that_goes_on_is_the_run_without_a_break() -> None:
    problem = small_problem()
    whole = spanner_sampling(counted_oracle(problem, seed=1), seed=2, settings=LABELS).trace
    for done in (3, LABELS.prompts + 4):
        oracle = counted_oracle(problem, seed=1)
        states = sampling_rounds(oracle, seed=2, settings=LABELS)
        trace = next(itertools.islice(states, done, None)).trace
        begun = len(trace.spanner.tries) + trace.exploration.rounds
        goes_on = counted_oracle(problem, seed=1, ledger=oracle.ledger, prompts=begun)
        run = spanner_sampling(goes_on, seed=2, settings=LABELS, start=trace)
        assert np.array_equal(run.trace.spanner.targets, whole.spanner.targets)
        assert np.array_equal(run.trace.exploration.thetas, whole.exploration.thetas)
        assert np.array_equal(run.trace.exploration.targets, whole.exploration.targets)


def test_a_fit_of_the_callers_own_gets_labels() -> None:
    seen: list[FloatArray] = []

    def own(features: FloatArray, labels: FloatArray, parameters: ParameterSet) -> FloatArray:
        seen.append(labels.copy())
        return logistic_fit(features, labels, parameters)

    spanner_sampling(counted_oracle(small_problem(), seed=1), seed=2, settings=LABELS, fit=own)
    assert len(seen) == LABELS.exploration_rounds
    assert set(np.concatenate(seen)) == {-1.0, 1.0}


def test_most_of_the_gap_is_closed_by_labels_alone() -> None:
    problem = random_problem(0, prompts=2)
    settings = replace(settings_for(problem), feedback="preference", exploration_rounds=600)
    run = spanner_sampling(counted_oracle(problem, seed=1), seed=2, settings=settings)
    assert gap(problem, log_law(problem, run.policy)) < gap(problem, problem.log_base) / 3


def test_stages_learn_from_preferences_too_and_may_not_change_what_they_ask() -> None:
    def labelled(coverage: float, delta: float) -> Settings:
        return replace(stages(coverage, delta), feedback="preference")

    oracle = counted_oracle(small_problem(), seed=1)
    run = staged_spanner_sampling(oracle, seed=2, budget=8000, delta=0.5, settings=labelled)
    assert run.coverage is not None
    assert run.coverage > 1.0
    assert oracle.ledger.rewards == run.trace.spanner.size + run.trace.exploration.rounds
    with pytest.raises(ArgumentError, match="the feedback of a stage is 'preference'"):
        staged_spanner_sampling(
            counted_oracle(small_problem(), seed=1),
            seed=2,
            budget=8000,
            delta=0.5,
            settings=lambda coverage, delta: replace(
                stages(coverage, delta), feedback="reward" if coverage == 1.0 else "preference"
            ),
        )


def test_what_is_no_feedback_is_refused_by_name() -> None:
    with pytest.raises(ArgumentError, match="feedback is 'label'"):
        replace(LABELS, feedback="label")  # type: ignore[arg-type]  # what is refused
    oracle = counted_oracle(small_problem(), seed=1)
    with pytest.raises(ArgumentError, match="feedback is 'label'"):
        next(spanner_rounds(oracle, prompts=1, pairs_per_prompt=1, nu=1.0, ridge=1.0, feedback="label"))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="feedback is 'preference', but it must be 'reward' where a builder"):
        spanner_sampling(oracle, seed=0, settings=LABELS, spanner=build_spanner)
