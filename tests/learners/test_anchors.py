"""SpannerSampling with anchor responses: the same one of each prompt in all pairs, and otherwise the same (P2)."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from small_runs import ORACLES, RIDGE, MakeOracle, small_problem, stages

from spanver.errors import ArgumentError, BudgetExceededError
from spanver.exact.tabular import gap, log_law
from spanver.learners.exploration import explore
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner import build_spanner
from spanver.learners.spanner_sampling import Settings, largest_cost, sampling_rounds, spanner_sampling
from spanver.learners.staged import staged_spanner_sampling
from spanver.oracle import Anchor, Budget
from spanver.oracles.counted import counted_oracle
from spanver.policies import TruncatedMixture, sample_policy
from spanver.problems.families.needle import needle_problem
from spanver.problems.tabular import TabularProblem
from spanver.verification.transcript import RecordingOracle

ANCHORED = Settings(
    prompts=12,
    pairs_per_prompt=6,
    nu=0.4,
    ridge=RIDGE,
    exploration_rounds=8,
    rejection_multiplier=12.0,
    rejection_failure=0.3,
    anchor="fixed",
)


@ORACLES
def test_the_second_response_of_every_pair_is_the_anchor_of_its_prompt(make: MakeOracle) -> None:
    problem = replace(small_problem(), anchors=np.array([5, 2, 7]))
    oracle = RecordingOracle(make(problem, seed=1))
    trace = spanner_sampling(oracle, seed=2, settings=ANCHORED).trace
    assert trace.spanner.size > 2
    for part in (trace.spanner, trace.exploration):
        assert [problem.anchors[int(prompt)] for prompt in part.prompts] == list(part.second)
        rows = zip(part.prompts, part.first, part.second, part.vectors, strict=True)
        for prompt, first, second, vector in rows:
            features = problem.features[int(prompt)]
            assert np.array_equal(vector, features[int(first)] - features[int(second)])
    assert len(set(trace.exploration.second)) > 1
    rules = [query.arguments[0] for query in oracle.queries if query.name == "sample_until"]
    assert len({tuple(rule.anchor) for rule in rules[: ANCHORED.prompts]}) > 1


@ORACLES
def test_a_prompt_costs_its_anchor_and_a_sample_a_try(make: MakeOracle) -> None:
    oracle = make(small_problem(), seed=1)
    trace = spanner_sampling(oracle, seed=2, settings=ANCHORED).trace
    tries, rounds = int(trace.spanner.tries.sum()), int(trace.exploration.samples.sum())
    assert oracle.ledger.samples == ANCHORED.prompts + tries + rounds
    assert oracle.ledger.samples <= largest_cost(ANCHORED) == 12 * 7 + 8 * (1 + largest_call())
    assert oracle.ledger.rewards == 2 * (trace.spanner.size + ANCHORED.exploration_rounds)


def largest_call() -> int:
    """Most samples of one call of the sampler, by the whole cost of runs that differ by one round."""
    one, two = (largest_cost(replace(ANCHORED, exploration_rounds=rounds)) for rounds in (1, 2))
    return two - one - 1


def test_a_run_that_goes_on_is_the_run_without_a_break() -> None:
    problem = small_problem()
    whole = spanner_sampling(counted_oracle(problem, seed=1), seed=2, settings=ANCHORED).trace
    for done in (3, ANCHORED.prompts + 4):
        oracle = counted_oracle(problem, seed=1)
        trace = next(itertools.islice(sampling_rounds(oracle, seed=2, settings=ANCHORED), done, None)).trace
        begun = len(trace.spanner.tries) + trace.exploration.rounds
        goes_on = counted_oracle(problem, seed=1, ledger=oracle.ledger, prompts=begun)
        resumed = spanner_sampling(goes_on, seed=2, settings=ANCHORED, start=trace).trace
        assert np.array_equal(resumed.exploration.vectors, whole.exploration.vectors)
        assert np.array_equal(resumed.exploration.thetas, whole.exploration.thetas)


def test_stages_keep_their_anchor() -> None:
    problem = small_problem()
    fixed = staged_spanner_sampling(
        counted_oracle(problem, seed=1), seed=2, budget=200_000, delta=0.1, settings=anchored_stage
    )
    assert fixed.policy.anchor == "fixed"
    assert fixed.trace.spanner.second == tuple(problem.anchors[list(map(int, fixed.trace.spanner.prompts))].tolist())

    def changing(coverage: float, delta: float) -> Settings:
        return replace(anchored_stage(coverage, delta), anchor="fixed" if coverage == 1.0 else "drawn")

    with pytest.raises(ArgumentError, match="the anchor of a stage is 'drawn', but it must be fixed"):
        staged_spanner_sampling(counted_oracle(problem, seed=1), seed=2, budget=200_000, delta=0.1, settings=changing)


def anchored_stage(coverage: float, delta: float) -> Settings:
    """Settings of a stage."""
    return replace(stages(coverage, delta), anchor="fixed")


def test_the_policy_is_drawn_relative_to_the_anchor() -> None:
    """A policy that covers its anchor alone is the base policy; without cover it would be another."""
    problem = replace(small_problem(), anchors=np.array([5, 2, 7]))
    oracle = RecordingOracle(counted_oracle(problem, seed=1))
    policy = spanner_sampling(oracle, seed=2, settings=ANCHORED).policy
    assert policy.anchor == policy.component(0).anchor == "fixed"
    before = len(oracle.queries)
    prompt = oracle.prompt()
    sample_policy(policy, oracle, prompt, sampler=softmax_sample, multiplier=8.0, failure=0.1, seed=3)
    asked = oracle.queries[before + 1 :]
    assert [query.name for query in asked][:2] == ["anchor", "sample_counts"]
    anchor = problem.features[int(prompt), problem.anchors[int(prompt)]]
    assert np.array_equal(asked[2].arguments[0].score.anchor, anchor)


def test_a_budget_ends_at_an_anchor_too() -> None:
    with pytest.raises(BudgetExceededError):
        spanner_sampling(counted_oracle(small_problem(), seed=1, budget=Budget(samples=0)), seed=2, settings=ANCHORED)


def test_another_builder_of_spanners_has_no_anchors() -> None:
    with pytest.raises(ArgumentError, match="anchor is 'fixed', but it must be 'drawn' where a builder is given"):
        spanner_sampling(counted_oracle(small_problem(), seed=1), seed=2, settings=ANCHORED, spanner=build_spanner)
    with pytest.raises(ArgumentError, match="anchor is 'none'"):
        replace(ANCHORED, anchor="none")  # type: ignore[arg-type]


def rare_anchor(probability: float) -> TabularProblem:
    """The counterexample of errata.md: two usual responses, and an anchor that the base policy hardly draws."""
    base = np.array([[0.5 - probability / 2, 0.5 - probability / 2, probability]])
    features = np.array([[[0.5, 0.0], [-0.5, 0.0], [0.0, 1.0]]])
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log(base),
        features=features,
        reward=features @ np.array([1.0, 0.0]),
        beta=0.1,
        radius=1.0,
        reward_range=1.0,
        anchors=np.array([2]),
    )


@pytest.mark.parametrize(("phase_one", "lost"), [("drawn", 1.0), ("fixed", 0.0)])
def test_a_rare_anchor_needs_a_spanner_that_is_relative_to_it_too(phase_one: Anchor, lost: float) -> None:
    problem = rare_anchor(1e-9)
    oracle = counted_oracle(problem, seed=1)
    spanner = build_spanner(oracle, prompts=400, pairs_per_prompt=8, nu=0.3, ridge=1.0, anchor=phase_one)
    explored = explore(oracle, spanner, rounds=40, multiplier=8.0, failure=0.1, seed=2, anchor="fixed")
    policy = TruncatedMixture(explored.thetas[-1:], spanner.precision, 0.3, "fixed")
    share = gap(problem, log_law(problem, policy)) / gap(problem, problem.log_base)
    assert share == pytest.approx(lost, abs=0.05)


def test_the_anchor_of_a_needle_is_no_needle() -> None:
    for direction in ("signs", "sphere"):
        problem = needle_problem(3, coverage=1.5, direction=direction)
        assert problem.log_base[0].argmax() != problem.anchors[0]  # the needle is the likeliest here
        assert not problem.features[0, problem.anchors[0]].any()


@pytest.mark.parametrize("anchors", [[0], [0, 1, 8], [-1, 0, 0], [0.0, 1.0, 2.0], [0, 0, 0]])
def test_anchors_are_responses_of_the_support(anchors: list[int]) -> None:
    problem = small_problem()
    log_base = np.array(problem.log_base)
    log_base[2, 0] = -np.inf
    log_base[2] -= np.log(np.exp(log_base[2]).sum())
    with pytest.raises(ArgumentError, match="a response of the base support for every prompt"):
        replace(problem, log_base=log_base, anchors=np.array(anchors))
    likeliest = replace(problem, log_base=log_base, anchors=None)  # type: ignore[arg-type]
    assert likeliest.anchors.tolist() == log_base.argmax(axis=1).tolist()
