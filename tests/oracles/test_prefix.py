"""The oracle of token problems counts every token answer and has the law of the table of each prefix."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest
from laws import assert_law
from token_tables import random_tokens

from spanver.errors import ArgumentError, BudgetExceededError
from spanver.learners.softmax_sampler import sampler_trials, softmax_sample
from spanver.oracle import Budget, Ledger, PrefixOracle
from spanver.oracles.prefix import prefix_oracle
from spanver.problems.families.tokens import token_problem
from spanver.problems.tokens import TokenProblem
from spanver.values import LinearScore, Prefix, RejectionRule, Rule, UncertainPairRule

PROBLEM = random_tokens(11, horizon=3, vocabulary_size=3, prompts=2, zeros=True)
DRAWS = 16000
EVERYTHING = UncertainPairRule(1e12 * np.eye(3), 1e-6)  # accepts every pair of different tokens
NOTHING = UncertainPairRule(np.eye(3), 1e9)


def root(oracle: PrefixOracle, prompt: int) -> Prefix:
    """The root of one prompt, which may take several draws."""
    while (prefix := oracle.prompt()).prompt != prompt:
        pass
    return prefix


def base_at(problem: TokenProblem, prefix: Prefix) -> tuple[Any, Any]:
    """Base probabilities and features at a prefix, from the arrays that the problem was made of."""
    row = problem.row(int(prefix.prompt), [int(token) for token in prefix.tokens])
    layer = len(prefix.tokens)
    return np.exp(problem.log_base[layer][row]), problem.features[layer][row]


PREFIXES = [Prefix(0), Prefix(1), Prefix(0, (2,)), Prefix(1, (1, 0)), Prefix(0, (2, 1))]


def test_the_public_names_are_the_queries_and_the_facts() -> None:
    problem = token_problem(0, horizon=3, kappa=1.0, beta=0.2)
    oracle: PrefixOracle = prefix_oracle(problem, seed=1, budget=Budget(samples=7))
    assert (oracle.dimension, oracle.beta, oracle.budget) == (4, 0.2, Budget(samples=7))
    assert [oracle.radius, oracle.reward_range] == pytest.approx([0.2, 0.6])
    public = {name for name in dir(oracle) if not name.startswith("_")}
    queries = {"prompt", "sample", "anchor", "sample_counts", "sample_until", "reward"}
    assert public == queries | {"dimension", "beta", "radius", "shape", "reward_range", "ledger", "budget"}


def test_every_token_answer_is_charged() -> None:
    oracle = prefix_oracle(PROBLEM, seed=1)
    prefix = root(oracle, 0)
    assert oracle.ledger == Ledger(0, 0, 0)
    oracle.sample(prefix, 5)
    oracle.sample(prefix.extended(2), 2)
    assert oracle.ledger.samples == 7
    assert oracle.sample_counts(prefix.extended(1), 2**50).counts.sum() == 2**50
    assert oracle.ledger.samples == 7 + 2**50
    assert oracle.sample_until(prefix, NOTHING, 2**55).tries == 2**55
    assert oracle.ledger.samples == 7 + 2**50 + 2**56
    oracle.sample_until(prefix, RejectionRule(LinearScore(np.zeros(3)), 800.0), 2**61)
    spent = 7 + 2**50 + 2**56 + 2**61
    assert oracle.ledger == Ledger(spent, 0, 0)
    found = oracle.sample_until(prefix, EVERYTHING, 100)
    assert found.responses is not None
    assert oracle.ledger.samples == spent + 2 * found.tries
    oracle.reward(Prefix(0, (0, 1, 2)))
    oracle.reward(Prefix(0, (0, 0, 0)))
    assert oracle.ledger.rewards == 2


def test_the_prompt_has_its_law() -> None:
    oracle = prefix_oracle(PROBLEM, seed=2)
    prompts = Counter[Hashable](oracle.prompt().prompt for _ in range(DRAWS))
    assert_law(prompts, dict(enumerate(PROBLEM.prompt_law)))


@pytest.mark.parametrize("prefix", PREFIXES, ids=str)
def test_tokens_have_the_base_law_of_their_prefix_and_its_features(prefix: Prefix) -> None:
    oracle = prefix_oracle(PROBLEM, seed=3)
    root(oracle, int(prefix.prompt))
    base, features = base_at(PROBLEM, prefix)
    law: dict[Hashable, float] = dict(enumerate(base.tolist()))
    drawn = oracle.sample(prefix, DRAWS)
    assert_law(Counter(drawn.ids), law)
    assert (drawn.features == features[list(map(int, drawn.ids))]).all()
    many = oracle.sample_counts(prefix, DRAWS)
    assert_law(dict(zip(many.responses.ids, many.counts.tolist(), strict=True)), law)
    assert (many.responses.features == features[list(map(int, many.responses.ids))]).all()


@pytest.mark.parametrize("prefix", PREFIXES[1:4], ids=str)
def test_pairs_until_an_uncertain_one_have_their_exact_law(prefix: Prefix) -> None:
    oracle = prefix_oracle(PROBLEM, seed=4)
    root(oracle, int(prefix.prompt))
    base, features = base_at(PROBLEM, prefix)
    norms = np.linalg.norm(features[:, None] - features[None, :], axis=-1)
    rule = UncertainPairRule(np.eye(3), float(np.median(norms[norms > 0.0])) - 1e-3)
    joint = base[:, None] * base[None, :] * (norms > rule.nu)
    law = geometric_law(joint, limit=3, name=lambda i: (i // 3, i % 3))
    assert_law(answers(oracle, prefix, rule, 3), law)


@pytest.mark.parametrize("prefix", PREFIXES[1:4], ids=str)
def test_trials_until_acceptance_have_their_exact_law(prefix: Prefix) -> None:
    oracle = prefix_oracle(PROBLEM, seed=5)
    root(oracle, int(prefix.prompt))
    base, features = base_at(PROBLEM, prefix)
    rule = RejectionRule(LinearScore(np.array([0.3, -0.2, 0.1])), 0.5)
    chance = np.minimum(1.0, np.exp(features @ rule.score.theta / PROBLEM.beta - 0.5))
    law = geometric_law(base * chance, limit=2, name=lambda i: (i,))
    assert_law(answers(oracle, prefix, rule, 2), law)


def answers(oracle: PrefixOracle, prefix: Prefix, rule: Rule, limit: int) -> Counter[Hashable]:
    counts: Counter[Hashable] = Counter()
    for _ in range(DRAWS):
        found = oracle.sample_until(prefix, rule, limit)
        counts[found.tries, None if found.responses is None else found.responses.ids] += 1
    return counts


def geometric_law(masses: Any, *, limit: int, name: Callable[[int], Hashable]) -> dict[Hashable, float]:
    """Law of (tries, accepted) when every try is accepted with these masses."""
    flat, miss = masses.reshape(-1), 1.0 - float(masses.sum())
    law: dict[Hashable, float] = {(limit, None): miss**limit}
    for tries in range(1, limit + 1):
        law |= {(tries, name(i)): miss ** (tries - 1) * float(mass) for i, mass in enumerate(flat)}
    return law


def test_rewards_have_the_mean_of_their_sequence_and_the_ends_of_its_interval() -> None:
    problem = token_problem(1, horizon=2, noise=0.5, prompts=2)
    oracle = prefix_oracle(problem, seed=6)
    root(oracle, 1)
    for tokens in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        mean = float(problem.reward[1, problem.row(0, tokens)])
        rewards = [oracle.reward(Prefix(1, tokens)) for _ in range(DRAWS)]
        if mean in {0.0, problem.reward_range}:  # no room for noise
            assert set(rewards) == {mean}
            continue
        share = mean / problem.reward_range
        law: dict[Hashable, float] = {0.0: 0.5 * (1 - share), problem.reward_range: 0.5 * share, mean: 0.5}
        assert_law(Counter[Hashable](rewards), law)


def test_a_budget_is_never_exceeded() -> None:
    oracle = prefix_oracle(PROBLEM, seed=1, budget=Budget(samples=11, rewards=1))
    prefix = root(oracle, 1)
    oracle.sample(prefix, 4)
    with pytest.raises(BudgetExceededError, match="costs 8 samples, but only 7 are left"):
        oracle.sample_counts(prefix.extended(0), 8)
    with pytest.raises(BudgetExceededError, match="costs 2 samples, but only 1 are left"):
        oracle.sample_until(prefix, NOTHING, 100)
    assert oracle.ledger.samples == 10
    oracle.reward(Prefix(1, (0, 0, 0)))
    with pytest.raises(BudgetExceededError, match="1 rewards"):
        oracle.reward(Prefix(1, (0, 0, 0)))
    assert oracle.ledger == Ledger(10, 1, 0)


@pytest.mark.parametrize(
    ("prefix", "allowed"),
    [
        (Prefix(1), "issued"),
        (Prefix(0, (3,)), "ids of tokens"),
        (Prefix(0, (-1,)), "ids of tokens"),
        (Prefix(0, (True,)), "ids of tokens"),
        (Prefix(0, ("0",)), "ids of tokens"),
        (Prefix(0, (0, 0, 0)), "fewer than 3 tokens"),
        (0, "a Prefix"),
    ],
    ids=str,
)
def test_what_is_no_known_prefix_is_refused_and_costs_nothing(prefix: Any, allowed: str) -> None:
    seed = next(seed for seed in range(100) if prefix_oracle(PROBLEM, seed=seed).prompt() == Prefix(0))
    oracle = prefix_oracle(PROBLEM, seed=seed)
    with pytest.raises(ArgumentError, match="issued"):
        oracle.sample(Prefix(0), 1)
    oracle.prompt()
    for query in (lambda: oracle.sample(prefix, 1), lambda: oracle.sample_until(prefix, NOTHING, 1)):
        with pytest.raises(ArgumentError, match=allowed):
            query()
    assert oracle.ledger == Ledger()


@pytest.mark.parametrize("sequence", [Prefix(0), Prefix(0, (0, 0)), Prefix(0, (0, 0, 3)), Prefix(0, (0, 0, 0, 0)), 0])
def test_what_is_no_complete_sequence_earns_nothing(sequence: Any) -> None:
    oracle = prefix_oracle(PROBLEM, seed=2)
    root(oracle, 0)
    with pytest.raises(ArgumentError):
        oracle.reward(sequence)
    assert oracle.ledger == Ledger()


def test_what_is_learnt_at_a_prefix_does_not_depend_on_queries_about_others() -> None:
    busy, idle = prefix_oracle(PROBLEM, seed=9), prefix_oracle(PROBLEM, seed=9)
    for _ in range(20):
        prefix = busy.prompt()
        assert idle.prompt() == prefix
        busy.sample(prefix, 7)
        busy.sample_until(prefix.extended(0), EVERYTHING, 9)
        longer = prefix.extended(1)
        assert busy.sample(longer, 20).ids == idle.sample(longer, 20).ids
        assert busy.sample_counts(longer, 100).counts.tolist() == idle.sample_counts(longer, 100).counts.tolist()
        busy.sample(longer, 3)  # nor on queries about it before its prompt was issued again


def test_prefixes_have_randomness_of_their_own_fresh_whenever_their_prompt_is_issued() -> None:
    problem = token_problem(0, horizon=2)  # every prefix has the same base law: only randomness tells them apart
    oracle, other = prefix_oracle(problem, seed=9), prefix_oracle(problem, seed=10)
    heard = []
    for _ in range(3):
        prefix = oracle.prompt().extended(1)
        heard.append(oracle.sample(prefix, 64).ids)
        heard.append(oracle.sample(prefix, 64).ids)
    heard.append(other.sample(other.prompt().extended(1), 64).ids)
    heard.append(oracle.sample(Prefix(0, (0,)), 64).ids)
    heard.append(oracle.sample(Prefix(0), 64).ids)
    assert len(set(heard)) == len(heard)


def test_a_sampler_made_for_prompts_samples_tokens() -> None:
    oracle = prefix_oracle(PROBLEM, seed=12)
    root(oracle, 1)
    prefix = Prefix(1, (1,))
    theta = np.array([0.4, -0.3, 0.2])
    base, features = base_at(PROBLEM, prefix)
    weights = base * np.exp(features @ theta / PROBLEM.beta)
    law: dict[Hashable, float] = dict(enumerate((weights / weights.sum()).tolist()))
    sampler: Any = softmax_sample
    drawn = [sampler(oracle, prefix, LinearScore(theta), multiplier=40.0, failure=0.01).id for _ in range(DRAWS)]
    assert_law(Counter(drawn), law)
    assert DRAWS * sampler_trials(40.0, 0.01) < oracle.ledger.samples <= DRAWS * (2 * sampler_trials(40.0, 0.01) + 1)
    assert math.isfinite(oracle.reward(prefix.extended(drawn[0]).extended(0)))
