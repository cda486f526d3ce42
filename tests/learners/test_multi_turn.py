"""Multi-turn exploration: near-optimal policies, exact targets where nothing is random, restarts, and its queries."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from laws import assert_law
from token_tables import random_tokens, sequence_probabilities, sequences

from spanver.errors import ArgumentError, BudgetExceededError
from spanver.exact import layered as exact_layers
from spanver.kernels import elliptic_norms
from spanver.learners.multi_turn import PHASES, MultiTurnRun, MultiTurnSettings, multi_turn
from spanver.learners.race_sampler import race_sample
from spanver.learners.softmax_sampler import sampler_trials, softmax_sample
from spanver.oracle import Budget, Ledger
from spanver.oracles.prefix import MeteredPrefixOracle, prefix_oracle
from spanver.parameter_sets import Ball, Box, Shape
from spanver.policies import LinearSoftmax, TokenPolicy, TruncatedSoftmax, sample_sequence
from spanver.problems.families.tokens import token_problem
from spanver.problems.layered import soft_q
from spanver.problems.tokens import TokenProblem
from spanver.runs.settings import settings_for
from spanver.values import Prefix, Response, Responses, Rule, SearchResult, UncertainPairRule

SETTINGS = settings_for(token_problem(0, horizon=2, kappa=2.0))
EXACT = MultiTurnSettings(  # hardly random: normalisers are exact, and every uncertain prefix is noticed
    nu=0.3,
    ridge=0.1,
    rollouts=2,
    pairs_per_prefix=200,
    tests=30,
    prompts=40,
    rejection_multiplier=40.0,
    rejection_failure=1e-3,
    partition_samples=2**50,
)


def gap(problem: TokenProblem, policy: TokenPolicy) -> float:
    return exact_layers.layered_gap(problem, exact_layers.log_token_law(problem, policy))


@pytest.mark.parametrize("horizon", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_practical_settings_reach_a_small_gap_on_the_family(horizon: int, noise: float) -> None:
    problem = token_problem(horizon, horizon=horizon, noise=noise)
    oracle = prefix_oracle(problem, seed=5)
    run = multi_turn(oracle, horizon=horizon, settings=settings_for(problem), seed=6)
    assert exact_layers.layered_gap(problem, problem.log_base) > 0.1 * horizon
    assert gap(problem, run.policy) < (4e-4 if noise == 0.0 else 0.01 * horizon)
    assert oracle.ledger.samples < 5e4 * horizon**2


@pytest.mark.parametrize(
    "problem",
    [
        token_problem(1, horizon=3, dimension=3),
        random_tokens(2, horizon=3, vocabulary_size=2, realizable=True),
        random_tokens(3, horizon=2, vocabulary_size=3, realizable=True, zeros=True),
    ],
    ids=["tokens", "random", "zeros"],
)
def test_without_noise_targets_are_differences_of_optimal_values(problem: TokenProblem) -> None:
    run = multi_turn(prefix_oracle(problem, seed=1), horizon=problem.horizon, settings=EXACT, seed=2)
    q = soft_q(problem)
    for layer, (pairs, targets) in enumerate(zip(run.pairs, run.targets, strict=True)):
        assert len(pairs) > 0
        for pair, target in zip(pairs, targets, strict=True):
            row = problem.row(int(pair.prompt.prompt), [int(token) for token in pair.prompt.tokens])
            expected = q[layer][row, int(pair.first.id)] - q[layer][row, int(pair.second.id)]
            assert target == pytest.approx(expected, abs=1e-5)
    assert exact_layers.layered_gap(problem, problem.log_base) > 1e-2
    assert gap(problem, run.policy) < 1e-6


def test_a_run_with_the_same_seeds_is_the_same_and_with_others_is_not() -> None:
    problem = token_problem(2, horizon=2, noise=0.2)

    def run(oracle_seed: int) -> MultiTurnRun:
        return multi_turn(prefix_oracle(problem, seed=oracle_seed), horizon=2, settings=SETTINGS, seed=3)

    one, again, other = run(1), run(1), run(2)
    assert (one.thetas == again.thetas).all()
    assert one.ledgers == again.ledgers
    assert one.starts == again.starts
    assert [pair.prompt for pairs in one.pairs for pair in pairs] == [
        pair.prompt for pairs in again.pairs for pair in pairs
    ]
    assert (one.thetas != other.thetas).any()


def test_the_learners_seed_reaches_a_sampler_that_uses_it() -> None:
    problem = token_problem(2, horizon=2)
    seen: list[list[int]] = []
    for seed in (1, 1, 2):
        seeds: list[int] = []

        def sampler(*arguments: Any, seed: int, seeds: list[int] = seeds, **settings: Any) -> Response:
            seeds.append(seed)
            return race_sample(*arguments, seed=seed, **settings)

        run = multi_turn(prefix_oracle(problem, seed=4), horizon=2, settings=SETTINGS, seed=seed, sampler=sampler)
        assert gap(problem, run.policy) < 4e-4
        assert len(set(seeds)) == len(seeds)
        seen.append(seeds)
    assert seen[0] == seen[1]
    assert not set(seen[0]) & set(seen[2])


def test_pairs_were_uncertain_when_found_and_the_policy_knows_the_spanner() -> None:
    problem = token_problem(3, horizon=3)
    run = multi_turn(prefix_oracle(problem, seed=1), horizon=3, settings=SETTINGS, seed=2)
    assert run.spanner_sizes == tuple(len(pairs) for pairs in run.pairs)
    for horizon, (pairs, theta, layer) in enumerate(zip(run.pairs, run.thetas, run.policy.layers, strict=True)):
        sigma = SETTINGS.ridge * np.eye(problem.dimension)
        for pair in pairs:
            assert len(pair.prompt.tokens) == horizon
            features = problem.features[horizon][problem.row(0, [int(token) for token in pair.prompt.tokens])]
            v = features[int(pair.first.id)] - features[int(pair.second.id)]
            assert elliptic_norms(v, sigma) > SETTINGS.nu
            assert (pair.difference == v).all()
            sigma += np.outer(v, v)
        assert isinstance(layer, TruncatedSoftmax)
        assert np.linalg.inv(sigma) == pytest.approx(layer.precision, rel=1e-9, abs=1e-12)
        assert (layer.theta == theta).all()
        assert layer.nu == SETTINGS.nu


def test_the_ledger_is_the_sum_of_the_phases_and_rewards_are_asked_in_sweeps_alone() -> None:
    problem = token_problem(2, horizon=3)
    oracle = prefix_oracle(problem, seed=3)
    settings = settings_for(problem)
    run = multi_turn(oracle, horizon=3, settings=settings, seed=4)
    assert tuple(run.ledgers) == PHASES
    assert sum(ledger.samples for ledger in run.ledgers.values()) == oracle.ledger.samples
    assert run.ledgers["warm start"].rewards == run.ledgers["test"].rewards == 0
    assert run.ledgers["sweep"].rewards == oracle.ledger.rewards
    assert run.restarts == 0  # so that what a sweep draws is known
    assert oracle.ledger.rewards == 2 * settings.rollouts * sum(run.spanner_sizes)
    # Every prefix of a test rollout: all checks, the second token, the pilot, and at least one and at most N trials.
    visits = settings.tests * 3
    trials = sampler_trials(settings.rejection_multiplier, settings.rejection_failure)
    fixed = visits * (2 * settings.pairs_per_prefix + 1 + trials)
    assert fixed + visits <= run.ledgers["test"].samples <= fixed + visits * (trials + 1)
    steps = 2 * settings.rollouts * sum(size * (2 - layer) for layer, size in enumerate(run.spanner_sizes))
    fixed = steps * (2 * settings.pairs_per_prefix + 1 + trials + settings.partition_samples)
    assert fixed + steps <= run.ledgers["sweep"].samples <= fixed + steps * (trials + 1)


def test_without_a_warm_start_nothing_is_asked_before_the_sweep_and_restarts_find_the_spanner() -> None:
    problem = token_problem(2, horizon=2)
    settings = dataclasses.replace(SETTINGS, prompts=0, rollouts=4)
    run = multi_turn(prefix_oracle(problem, seed=3), horizon=2, settings=settings, seed=4)
    assert run.ledgers["warm start"] == Ledger()
    assert run.restarts == sum(run.spanner_sizes) > 0
    assert gap(problem, run.policy) < 1e-3


class Scripted:
    """An oracle whose CHECK at a layer fires at stated visits, and that records its queries."""

    def __init__(self, problem: TokenProblem, fires: dict[int, set[int]]) -> None:
        self._inner, self._fires = prefix_oracle(problem, seed=1), fires
        self.visits: Counter[int] = Counter()
        self.log: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sample_until(self, prefix: Prefix, rule: Rule, limit: int) -> SearchResult:
        if not isinstance(rule, UncertainPairRule):
            return self._inner.sample_until(prefix, rule, limit)
        layer = len(prefix.tokens)
        self.visits[layer] += 1
        if self.visits[layer] not in self._fires.get(layer, set()):
            return SearchResult(None, limit)
        self.log.append(("fired", layer))
        features = self._inner.sample(prefix, 64)
        positions = [features.ids.index(0), features.ids.index(1)]
        return SearchResult(Responses((0, 1), features.features[positions]), 1)

    def reward(self, sequence: Prefix) -> float:
        self.log.append(("reward", len(sequence.tokens)))
        return self._inner.reward(sequence)


def test_a_sweep_restarts_at_the_layer_that_fired_and_layers_above_keep_their_parameters() -> None:
    problem = token_problem(1, horizon=3)
    settings = dataclasses.replace(SETTINGS, prompts=0, rollouts=2, tests=3)
    # First test rollout: layer 1 (of 0..2) fires, then in the first rollout for it layer 2, at its first visit there;
    # both are fitted anew. The next test fires at the root: only layer 0 is fitted then.
    oracle = Scripted(problem, {1: {1}, 2: {1}, 0: {2}})
    run = multi_turn(oracle, horizon=3, settings=settings, seed=1)
    assert run.starts == (2, 1, 2, 0)
    assert (run.restarts, len(run.starts)) == (3, 4)
    assert run.spanner_sizes == (1, 1, 1)
    rewards = ("reward", 3)
    # Layer 2, 1: two rollouts from each of two tokens; layer 0 alone after it fired.
    assert oracle.log == [("fired", 1), ("fired", 2), *[rewards] * 8, ("fired", 0), *[rewards] * 4]
    assert [len(targets) for targets in run.targets] == [1, 1, 1]
    # With one pair each, every parameter is along its own feature difference.
    for theta, (pair,) in zip(run.thetas, run.pairs, strict=True):
        v = pair.difference
        assert theta == pytest.approx(v * (theta @ v) / (v @ v), abs=1e-12)


def test_a_layer_that_fires_while_others_are_fitted_is_fitted_before_them_once_more() -> None:
    problem = token_problem(1, horizon=2)
    settings = dataclasses.replace(SETTINGS, prompts=1, rollouts=3, tests=1)
    # Warm start: both layers fire, no reward. Sweep: layer 1 takes 6 rewards; layer 0 is interrupted at its third
    # rollout (two rewards are lost), layer 1 has two pairs by then, and layer 0 starts again.
    oracle = Scripted(problem, {0: {1}, 1: {1, 4}})
    run = multi_turn(oracle, horizon=2, settings=settings, seed=1)
    reward = ("reward", 2)
    assert oracle.log == [("fired", 0), ("fired", 1), *[reward] * 8, ("fired", 1), *[reward] * (12 + 6)]
    assert run.starts == (1, 1)
    assert run.spanner_sizes == (1, 2)


def test_where_nothing_is_uncertain_the_base_policy_is_returned_and_no_reward_asked() -> None:
    problem = token_problem(1, horizon=3)
    oracle = prefix_oracle(problem, seed=1)
    run = multi_turn(oracle, horizon=3, settings=dataclasses.replace(SETTINGS, nu=100.0), seed=1)
    assert oracle.ledger.rewards == 0
    assert (run.thetas == 0.0).all()
    assert run.starts == (2,)
    assert gap(problem, run.policy) == pytest.approx(exact_layers.layered_gap(problem, problem.log_base), rel=1e-12)


@pytest.mark.parametrize("shape", [Ball, Box])
def test_parameters_stay_in_the_set_of_parameters(shape: Shape) -> None:
    problem = token_problem(1, horizon=2)
    short = TokenProblem(
        prompt_law=problem.prompt_law,
        log_base=problem.log_base,
        features=problem.features,
        reward=problem.reward,
        beta=problem.beta,
        radius=0.25 * problem.radius,
        shape=shape,
    )
    run = multi_turn(prefix_oracle(short, seed=1), horizon=2, settings=SETTINGS, seed=1)
    widths = np.abs(run.thetas).max(axis=1) * math.sqrt(problem.dimension)
    sizes = np.linalg.norm(run.thetas, axis=1) if shape is Ball else widths
    assert sizes == pytest.approx(0.25 * problem.radius, rel=1e-9)


@pytest.mark.parametrize("samples", [10, 5000, 30000])
def test_a_run_ends_with_its_budget(samples: int) -> None:
    oracle = prefix_oracle(token_problem(1, horizon=3), seed=1, budget=Budget(samples=samples))
    with pytest.raises(BudgetExceededError):
        multi_turn(oracle, horizon=3, settings=SETTINGS, seed=1)
    assert samples - 50 < oracle.ledger.samples <= samples  # no query of these settings costs 50


def test_sequences_sampled_from_a_policy_have_its_exact_law() -> None:
    problem = random_tokens(4, horizon=2, vocabulary_size=2, prompts=1)
    theta = np.array([0.6, -0.4, 0.3])
    policy = TokenPolicy((LinearSoftmax(theta), TruncatedSoftmax(-theta, np.eye(3), 0.8)))
    oracle = prefix_oracle(problem, seed=2)
    prefix = oracle.prompt()

    def draw(seed: int, start: Prefix) -> Prefix:
        return sample_sequence(policy, oracle, start, sampler=softmax_sample, multiplier=60.0, failure=0.05, seed=seed)

    probabilities = sequence_probabilities(problem, exact_layers.log_token_law(problem, policy))[0]
    law: dict[Hashable, float] = dict(zip(sequences(problem), probabilities.tolist(), strict=True))
    assert_law(Counter[Hashable](draw(seed, prefix).tokens for seed in range(12000)), law)
    assert draw(0, prefix.extended(1)).tokens[0] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nu", 0.0),
        ("ridge", -1.0),
        ("rollouts", 0),
        ("pairs_per_prefix", 0),
        ("tests", 0),
        ("prompts", -1),
        ("rejection_multiplier", 0.5),
        ("rejection_failure", 1.0),
        ("partition_samples", 0),
    ],
)
def test_bad_settings_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=name):
        dataclasses.replace(SETTINGS, **{name: value})  # type: ignore[arg-type]  # wrong on purpose


def test_a_horizon_below_one_is_refused() -> None:
    oracle: MeteredPrefixOracle = prefix_oracle(token_problem(1), seed=1)
    with pytest.raises(ArgumentError, match="horizon"):
        multi_turn(oracle, horizon=0, settings=SETTINGS, seed=1)


def test_a_token_problem_of_no_family_has_no_practical_settings() -> None:
    with pytest.raises(ArgumentError, match="family of the problem is 'mine'"):
        settings_for(dataclasses.replace(token_problem(0), name="mine"))


def test_practical_settings_follow_the_coverage_of_a_token_and_the_horizon() -> None:
    one, more = (settings_for(token_problem(0, horizon=h, kappa=k)) for h, k in ((2, 2.0), (6, 6.0)))
    coverage = 2 / (1 + math.exp(-2.0))
    assert one.pairs_per_prefix == math.ceil(2 * math.exp(0.5) * coverage)
    assert one.rejection_multiplier == pytest.approx(1.5 * coverage)
    assert more.rejection_multiplier > one.rejection_multiplier
    assert more.pairs_per_prefix > one.pairs_per_prefix
    assert (more.tests, more.prompts) == (3 * one.tests, 3 * one.prompts)
