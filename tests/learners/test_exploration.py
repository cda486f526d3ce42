"""A round of phase 2 draws, queries and fits what A2 says, whatever sampler and fit are plugged in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from own_sets import Diamond
from small_runs import ORACLES, RIDGE, MakeOracle, base_draw, small_problem, small_spanner

from spanver.kernels import fit, fit_moments
from spanver.learners.exploration import exploration_rounds, explore
from spanver.learners.least_squares import fit_on
from spanver.learners.race_sampler import race_sample
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner import Spanner
from spanver.oracle import Ledger, Oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball, Box, ParameterSet, Shape
from spanver.values import FloatArray, Prompt, Response, Score, TruncatedScore


@ORACLES
def test_every_fit_sees_the_spanner_and_all_earlier_rounds_and_is_what_is_stated(make: MakeOracle) -> None:
    calls: list[tuple[FloatArray, FloatArray, ParameterSet]] = []

    def recorded(features: FloatArray, targets: FloatArray, parameters: ParameterSet, /) -> FloatArray:
        calls.append((features.copy(), targets.copy(), parameters))
        return 0.1 * np.arange(3.0) / len(calls)

    problem = small_problem()
    oracle = make(problem, seed=2)
    spanner = small_spanner(oracle)
    explored = explore(oracle, spanner, rounds=12, multiplier=3.0, failure=0.3, seed=0, fit=recorded)
    assert spanner.size > 0
    assert len(calls) == 12
    for index, (features, targets, parameters) in enumerate(calls):
        assert np.array_equal(features, np.concatenate([spanner.vectors, explored.vectors[:index]]))
        assert np.array_equal(targets, np.concatenate([spanner.targets, explored.targets[:index]]))
        assert parameters == Ball(problem.radius)
        assert np.array_equal(explored.thetas[index], 0.1 * np.arange(3.0) / (index + 1))
    assert explored.spanner_sizes.tolist() == [spanner.size] * 12


@ORACLES
@pytest.mark.parametrize("shape", [Ball, Box, Diamond])
@pytest.mark.parametrize("radius", [1.0, 1e-2])
def test_the_default_thetas_are_the_least_squares_on_the_stated_data(
    make: MakeOracle, radius: float, shape: Shape
) -> None:
    problem = dataclasses.replace(small_problem(), radius=radius, shape=shape, theta_star=None)
    oracle = make(problem, seed=2)
    spanner = small_spanner(oracle)
    explored = explore(oracle, spanner, rounds=15, multiplier=3.0, failure=0.3, seed=0)
    for index, theta in enumerate(explored.thetas):
        features = np.concatenate([spanner.vectors, explored.vectors[:index]])
        targets = np.concatenate([spanner.targets, explored.targets[:index]])
        assert theta == pytest.approx(fit_on(features, targets, shape(radius)), rel=1e-6, abs=1e-9)


@ORACLES
def test_a_fit_that_offers_moments_is_given_those_of_all_data_and_nothing_else(make: MakeOracle) -> None:
    class Wrapped:
        def __call__(self, features: FloatArray, targets: FloatArray, parameters: ParameterSet, /) -> FloatArray:
            raise AssertionError("all data are passed, which costs more every round")

        def from_moments(self, gram: FloatArray, moment: FloatArray, parameters: ParameterSet, /) -> FloatArray:
            theta: FloatArray = fit_moments(gram, moment, parameters.radius)
            return theta

    oracles = make(small_problem(), seed=2), make(small_problem(), seed=2)
    thetas = [
        explore(oracle, small_spanner(oracle), rounds=8, multiplier=3.0, failure=0.3, seed=0, fit=given).thetas
        for oracle, given in zip(oracles, (Wrapped(), None), strict=True)
    ]
    assert np.array_equal(thetas[0], thetas[1])
    assert thetas[0].any()


def test_the_first_data_of_an_empty_spanner_fit_zero() -> None:
    oracle = literal_oracle(small_problem(), seed=2)
    explored = explore(oracle, Spanner.empty(3, RIDGE, 0.4), rounds=2, multiplier=3.0, failure=0.3, seed=0)
    assert explored.thetas[0].tolist() == [0.0, 0.0, 0.0]
    assert explored.thetas[1].any()


def test_a_round_draws_the_second_response_then_the_first_and_asks_both_rewards() -> None:
    problem = small_problem()
    oracle, twin = literal_oracle(problem, seed=4), literal_oracle(problem, seed=4)
    empty = Spanner.empty(3, RIDGE, 0.4)
    explored = explore(oracle, empty, rounds=20, multiplier=3.0, failure=0.3, seed=0, sampler=base_draw)
    for index in range(20):
        prompt = twin.prompt()
        drawn = twin.sample(prompt, 2)
        assert (explored.prompts[index], explored.second[index], explored.first[index]) == (prompt, *drawn.ids)
        assert np.array_equal(explored.vectors[index], drawn.features[1] - drawn.features[0])
        assert explored.targets[index] == twin.reward(prompt, drawn.ids[1]) - twin.reward(prompt, drawn.ids[0])
    assert oracle.ledger == twin.ledger == Ledger(samples=40, rewards=40)


@ORACLES
def test_the_sampler_is_called_with_the_truncated_score_of_the_round(make: MakeOracle) -> None:
    calls: list[tuple[object, Score, float, float, int]] = []

    def recorded(
        oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
    ) -> Response:
        calls.append((prompt, score, multiplier, failure, seed))
        return oracle.sample(prompt, 1)[0]

    problem = small_problem()
    oracle = make(problem, seed=4)
    spanner = small_spanner(oracle)
    explored = explore(oracle, spanner, rounds=10, multiplier=3.5, failure=0.25, seed=9, sampler=recorded)
    for index, (prompt, score, multiplier, failure, _) in enumerate(calls):
        assert isinstance(score, TruncatedScore)
        assert (prompt, multiplier, failure, score.nu) == (explored.prompts[index], 3.5, 0.25, 0.4)
        assert np.array_equal(score.theta, explored.thetas[index])
        second = explored.second[index]
        assert isinstance(prompt, int)
        assert isinstance(second, int)
        assert np.array_equal(score.anchor, problem.features[prompt, second])
        assert np.allclose(score.precision @ spanner.sigma, np.eye(3), atol=1e-12)
    seeds = [call[-1] for call in calls]
    assert len(set(seeds)) == 10
    calls.clear()
    oracle = make(problem, seed=5)
    explore(oracle, small_spanner(oracle), rounds=10, multiplier=3.5, failure=0.25, seed=9, sampler=recorded)
    assert [call[-1] for call in calls] == seeds


@ORACLES
def test_the_samples_of_a_round_are_what_the_ledger_grew_by(make: MakeOracle) -> None:
    def greedy(
        oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
    ) -> Response:
        return oracle.sample(prompt, 1 + seed % 7)[0]

    for sampler in (softmax_sample, race_sample, greedy):
        oracle = make(small_problem(), seed=4)
        spanner = small_spanner(oracle)
        states = exploration_rounds(oracle, spanner, rounds=10, multiplier=3.0, failure=0.3, seed=1, sampler=sampler)
        ledgers, explorations = zip(*((oracle.ledger, state.exploration) for state in states), strict=True)
        explored = explorations[-1]
        assert len(set(explored.samples.tolist())) > 1 or sampler is race_sample
        for index in range(10):
            before, after = ledgers[index], ledgers[index + 1]
            assert after.samples - before.samples == explored.samples[index]
            assert after.rewards - before.rewards == 2


def test_a_fit_that_reuses_its_output_array_does_not_change_earlier_thetas() -> None:
    buffer = np.zeros(3)
    given: list[list[float]] = []

    def reusing(features: FloatArray, targets: FloatArray, parameters: ParameterSet, /) -> FloatArray:
        buffer[:] = fit(features, targets, parameters.radius)
        given.append(buffer.tolist())
        return buffer

    oracle = literal_oracle(small_problem(), seed=2)
    spanner = small_spanner(oracle)
    explored = explore(oracle, spanner, rounds=5, multiplier=3.0, failure=0.3, seed=0, fit=reusing)
    assert explored.thetas.tolist() == given
