"""Stages double the coverage, carry over their data, and stay within the budget."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from small_runs import BUDGET, ORACLES, STAGED, MakeOracle, after_each_round, result, small_problem, stages

from spanver.errors import ArgumentError
from spanver.kernels import fit
from spanver.learners.spanner_sampling import Settings, largest_cost
from spanver.learners.staged import staged_rounds, staged_spanner_sampling
from spanver.oracle import Budget, Ledger
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.policies import TruncatedSoftmax

# Stages


@ORACLES
@pytest.mark.parametrize("budget", [1000, 2500, BUDGET, 40_000])
def test_stages_double_the_coverage_share_delta_keep_the_data_and_fit_the_budget(make: MakeOracle, budget: int) -> None:
    given: list[tuple[float, float]] = []

    def settings(coverage: float, delta: float) -> Settings:
        given.append((coverage, delta))
        return stages(coverage, delta)

    oracle = make(small_problem(), seed=3, budget=Budget(samples=budget))
    ends: list[int] = []
    states = staged_rounds(oracle, seed=3, budget=budget, delta=0.5, settings=settings)
    for state in after_each_round(states):
        if state.phase == "exploration" and state.done % 5 == 0:
            ends.append(oracle.ledger.samples)
    run = state.run
    complete = len(ends)
    assert complete >= 1
    # One stage more was looked at, and did not fit.
    assert [coverage for coverage, _ in given] == [2.0**stage for stage in range(complete + 1)]
    shares = [0.5 / ((stage + 1) * (stage + 2)) for stage in range(complete + 1)]
    assert np.allclose([delta for _, delta in given], shares, rtol=1e-12)
    assert sum(delta for _, delta in given) < 0.5
    for stage in range(complete):
        assert ([0, *ends][stage]) + largest_cost(stages(*given[stage])) <= budget
    assert ends[-1] + largest_cost(stages(*given[-1])) > budget
    assert oracle.ledger.samples == ends[-1] <= budget

    assert run.coverage == 2.0 ** (complete - 1)
    assert run.settings == stages(*given[complete - 1])
    spanner, exploration = run.trace.spanner, run.trace.exploration
    assert len(spanner.tries) == 6 * complete
    assert exploration.rounds == 5 * complete
    assert spanner.nu == run.settings.nu
    for stage in range(complete):
        assert spanner.tries[6 * stage : 6 * (stage + 1)].max() <= 2 * 2**stage
        in_data = int((spanner.rounds < 6 * (stage + 1)).sum())
        assert exploration.spanner_sizes[5 * stage : 5 * (stage + 1)].tolist() == [in_data] * 5
    assert len(run.policy.components) == 5
    for component, theta in zip(run.policy.components, exploration.thetas[-5:], strict=True):
        assert isinstance(component, TruncatedSoftmax)
        assert np.array_equal(component.theta, theta)
        assert component.nu == run.settings.nu


def test_a_larger_budget_reaches_a_larger_coverage() -> None:
    reached = [
        staged_spanner_sampling(
            counted_oracle(small_problem(), seed=3), seed=3, budget=budget, delta=0.5, settings=stages
        ).coverage
        for budget in (1000, 10_000, 100_000, 10**12)
    ]
    assert None not in reached
    assert sorted(set(reached), key=lambda value: value or 0.0) == reached


def test_later_fits_of_a_staged_run_are_the_least_squares_on_data_of_all_stages() -> None:
    run = result(STAGED(literal_oracle(small_problem(), seed=3), seed=3))
    spanner, exploration = run.trace.spanner, run.trace.exploration
    assert exploration.rounds >= 15
    for index, (theta, size) in enumerate(zip(exploration.thetas, exploration.spanner_sizes, strict=True)):
        features = np.concatenate([spanner.vectors[:size], exploration.vectors[:index]])
        targets = np.concatenate([spanner.targets[:size], exploration.targets[:index]])
        assert np.allclose(theta, fit(features, targets, 1.0), rtol=1e-9, atol=1e-12)


def test_a_budget_below_the_first_stage_is_refused_and_names_what_it_costs() -> None:
    least = largest_cost(stages(1.0, 0.25))
    oracle = literal_oracle(small_problem(), seed=3)
    with pytest.raises(ArgumentError, match=rf"budget is {least - 1}.*{least}"):
        staged_spanner_sampling(oracle, seed=3, budget=least - 1, delta=0.5, settings=stages)
    assert oracle.ledger == Ledger()
    run = staged_spanner_sampling(oracle, seed=3, budget=least, delta=0.5, settings=stages)
    assert run.coverage == 1.0


@pytest.mark.parametrize(("name", "value"), [("nu", 0.7), ("ridge", 1.0)])
def test_stages_whose_nu_grows_or_whose_ridge_changes_are_refused(name: str, value: Any) -> None:
    def settings(coverage: float, delta: float) -> Settings:
        return dataclasses.replace(stages(coverage, delta), **({name: value} if coverage > 1 else {}))

    with pytest.raises(ArgumentError, match=f"{name} of a stage is {value}"):
        staged_spanner_sampling(
            literal_oracle(small_problem(), seed=3), seed=3, budget=BUDGET, delta=0.5, settings=settings
        )


@pytest.mark.parametrize(("name", "value"), [("budget", 0), ("budget", 1.5), ("delta", 0.0), ("delta", 1.0)])
def test_staged_arguments_out_of_range_are_refused(name: str, value: float) -> None:
    arguments: dict[str, Any] = {"budget": BUDGET, "delta": 0.5, name: value}
    with pytest.raises(ArgumentError, match=f"{name} is {value}"):
        staged_spanner_sampling(literal_oracle(small_problem(), seed=3), seed=3, settings=stages, **arguments)
