"""XPO minimises its optimistic loss, with a listed and with a sampled partition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from baseline_runs import FULL, PROBLEM, known_base, per_round

from spanver.errors import QuestionRefusedError
from spanver.exact.tabular import log_law
from spanver.kernels import fit
from spanver.learners.losses import Loss, QuadraticModel, logistic_fit, minimise
from spanver.learners.rounds import BaselineRun
from spanver.learners.xpo import xpo
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball, ParameterSet
from spanver.problems.families.max_k_dnf import max_k_dnf_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.transcript import Query, RecordingOracle


def two_responses(base: float, beta: float = 1.0) -> TabularProblem:
    """A typical response at +1/2 and a rare one at -1/2, of equal rewards."""
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[base, 1.0 - base]]),
        features=np.array([[[0.5], [-0.5]]]),
        reward=np.zeros((1, 2)),
        beta=beta,
        radius=2.0,
        theta_star=np.zeros(1),
    )


def xpo_of(problem: TabularProblem, *, seed: int = 0, **options: Any) -> tuple[BaselineRun, list[Query]]:
    oracle = RecordingOracle(literal_oracle(problem, seed=seed, full_table=True))
    given: dict[str, Any] = (
        {"partition": "enumerate", "log_base": known_base(problem)} if "partition" not in options else {}
    )
    return xpo(oracle, seed=0, **given, **options), oracle.queries


@pytest.mark.parametrize("feedback", ["reward", "preference"])
def test_optimism_moves_away_from_a_typical_response(feedback: str) -> None:
    # Both responses of the first round are the typical one: the data say nothing, and log pi_theta(typical) alone
    # falls as theta falls, down to the end of the ball. There the odds of the rare response are e^2 times what they
    # were.
    problem = two_responses(0.9999)
    run, queries = xpo_of(problem, rounds=1, alpha=0.1, feedback=feedback)
    assert [entry.answer.ids for entry in queries if entry.name == "sample"] == [(0,), (0,)]
    assert run.policy.theta == pytest.approx([-2.0], abs=1e-12)
    law = np.exp(log_law(problem, run.policy))[0]
    assert law[1] / law[0] == pytest.approx(math.exp(2.0) * 0.0001 / 0.9999, rel=1e-12)
    still, _ = xpo_of(problem, rounds=1, alpha=0.0, feedback=feedback)
    assert still.policy.theta == pytest.approx([0.0], abs=1e-12)


@pytest.mark.parametrize("feedback", ["reward", "preference"])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_xpo_minimises_the_loss_and_alpha_times_the_likelihood_of_its_second_responses(
    feedback: str, alpha: float
) -> None:
    run, queries = xpo_of(PROBLEM, rounds=30, alpha=alpha, feedback=feedback, seed=4)
    second = [(int(entries[0].prompt), entries[2].answer.ids[0]) for entries in per_round(queries)]

    def value(theta: FloatArray) -> float:
        total = 0.0
        for (prompt, response), vector, target in zip(second, run.vectors, run.targets, strict=True):
            margin = float(theta @ vector)
            total += (margin - target) ** 2 if feedback == "reward" else math.log1p(math.exp(-target * margin))
            weights = np.exp(PROBLEM.log_base[prompt] + PROBLEM.features[prompt] @ theta / PROBLEM.beta)
            total += alpha * math.log(weights[response] / weights.sum())
        return total

    found = value(run.policy.theta)
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((4000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    others = directions * generator.random((4000, 1)) ** (1 / 3)
    assert found <= min(value(theta) for theta in others)
    near = run.policy.theta + 1e-3 * directions[:500]
    assert found <= min(value(theta / max(1.0, float(np.linalg.norm(theta)))) for theta in near) + 1e-12
    without = (
        logistic_fit(run.vectors, run.targets, Ball(1.0))
        if feedback == "preference"
        else fit(run.vectors, run.targets, 1.0)
    )
    assert found < value(without) - 1e-4


@pytest.mark.parametrize("feedback", ["reward", "preference"])
def test_the_sampled_partition_is_the_listed_one_in_the_limit(feedback: str) -> None:
    def run(**options: Any) -> FloatArray:
        oracle = counted_oracle(PROBLEM, seed=3, full_table=True)
        thetas: FloatArray = xpo(oracle, rounds=40, alpha=0.05, seed=0, feedback=feedback, **options).thetas  # type: ignore[arg-type]
        return thetas

    listed = run(**FULL)
    assert run(partition_samples=2**50) == pytest.approx(listed, abs=1e-4)
    assert np.abs(run(partition_samples=4) - listed).max() > 0.01


def test_responses_outside_the_base_support_are_no_part_of_the_partition() -> None:
    problem = random_problem(1, prompts=2, responses=6, dimension=2, zeros=0.5)
    run, _ = xpo_of(problem, rounds=20, alpha=0.05)
    removed = TabularProblem(
        prompt_law=problem.prompt_law,
        log_base=problem.log_base,
        features=np.where(np.isfinite(problem.log_base)[..., None], problem.features, 0.0),
        reward=problem.reward,
        beta=problem.beta,
        radius=problem.radius,
        reward_range=problem.reward_range,
        reward_low=problem.reward_low,
        noise=problem.noise,
    )
    assert np.array_equal(run.thetas, xpo_of(removed, rounds=20, alpha=0.05)[0].thetas)


def test_refits_stay_small_also_where_rewards_are_realized_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counting(loss: Loss, parameters: ParameterSet, start: FloatArray) -> FloatArray:
        def watched(theta: FloatArray) -> QuadraticModel:
            nonlocal calls
            calls += 1
            return loss(theta)

        return minimise(watched, parameters, start)

    monkeypatch.setattr("spanver.learners.rounds.minimise", counting)
    run, _ = xpo_of(max_k_dnf_problem(), seed=1, rounds=100, alpha=0.01)
    assert len(run.thetas) == 100
    assert calls <= 20 * 100


@pytest.mark.parametrize("feedback", ["reward", "preference"])
def test_told_probabilities_are_as_good_as_a_listing_once_all_responses_were_seen(feedback: str) -> None:
    problem = random_problem(3, prompts=2, responses=4, dimension=2)
    options: dict[str, Any] = {"rounds": 20, "alpha": 0.05, "seed": 0, "feedback": feedback}
    oracle = literal_oracle(problem, seed=1, log_probabilities=True)
    told = xpo(oracle, partition="probabilities", partition_samples=2000, **options)
    assert oracle.ledger.samples == 2 * 20 + 2 * 2000
    listed = xpo(
        literal_oracle(problem, seed=1, full_table=True), partition="enumerate", log_base=known_base(problem), **options
    )
    assert told.thetas == pytest.approx(listed.thetas, abs=1e-7)
    assert told.policy.theta == pytest.approx(listed.policy.theta, abs=1e-7)
    drawn = xpo(literal_oracle(problem, seed=1), partition="sample", partition_samples=2000, **options)
    assert abs(drawn.policy.theta - listed.policy.theta).max() > 1e-4


def test_told_probabilities_count_each_distinct_response_once_with_its_own() -> None:
    # Both responses are drawn, the rare one far too often or too seldom: with its exact probability that is no matter.
    problem = two_responses(0.75)
    runs = []
    for samples in (8, 64):
        oracle = literal_oracle(problem, seed=3, log_probabilities=True)
        run = xpo(oracle, rounds=1, alpha=1.0, seed=0, partition="probabilities", partition_samples=samples)
        runs.append(run.policy.theta)
    assert runs[0] == pytest.approx(runs[1], abs=1e-12)


def test_an_ordinary_oracle_refuses_to_tell_probabilities() -> None:
    with pytest.raises(QuestionRefusedError, match="generalised"):
        xpo(literal_oracle(two_responses(0.75), seed=0), rounds=1, alpha=0.1, seed=0, partition="probabilities")
