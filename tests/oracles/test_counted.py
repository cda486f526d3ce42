"""The counted oracle answers from the exact law, at a cost that does not depend on the count (O2)."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from laws import assert_law
from table_oracles import (
    ALWAYS,
    ANCHORED,
    PRECISION,
    PROBLEM,
    RULE,
    TRIAL,
    TRUNCATED,
    MakeOracle,
    Script,
    at_prompt,
    base_of,
    each_oracle,
    grid,
    ids_of,
    masses_of,
    rare_and_common,
    scripted,
)

from spanver.oracles import counted
from spanver.oracles.counted import CountedDraws, counted_oracle, geometric
from spanver.oracles.literal import literal_oracle
from spanver.oracles.metered import LARGEST_COUNT
from spanver.oracles.table import Table
from spanver.values import FloatArray, LinearScore, RejectionRule, Rule, UncertainPairRule


@pytest.mark.parametrize("probability", [1e-300, 1e-12, 1e-3, 0.3, 0.5, 0.9, 1.0 - 1e-12])
def test_geometric_numbers_invert_the_exact_distribution_function(probability: float) -> None:
    with localcontext() as context:
        context.prec = 60
        log_miss = (1 - Decimal(probability)).ln() if probability > 1e-50 else -Decimal(probability)
        # What a generator gives: multiples of 2^-53, from 0 on.
        for u in np.floor(np.array([*grid(400), 1e-15, 1e-9, 1 - 1e-9]) * 2.0**53) / 2.0**53:
            tries = geometric(probability, 10**400, Script(float(u)))  # type: ignore[arg-type]
            assert tries is not None
            # The least t with P(T <= t) >= 1 - U, U = 1 - u: (1-p)^t <= U < (1-p)^(t-1).
            log_u = (1 - Decimal(float(u))).ln()
            exact = log_u / log_miss
            assert tries >= exact * (1 - Decimal("1e-14"))
            assert tries - 1 < exact * (1 + Decimal("1e-14"))


def test_geometric_numbers_end_at_the_limit_with_the_probability_of_no_hit() -> None:
    for probability, limit in ((0.25, 3), (0.5, 1), (1e-3, 1000), (1e-17, 2**55)):
        no_hit = math.exp(limit * math.log1p(-probability))
        outcomes = [geometric(probability, limit, Script(float(u))) for u in grid(2000)]  # type: ignore[arg-type]
        assert sum(tries is None for tries in outcomes) / 2000 == pytest.approx(no_hit, abs=1 / 2000)
        assert all(tries is None or 1 <= tries <= limit for tries in outcomes)


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2.0**-53])
def test_what_is_certain_hits_at_once_and_what_is_impossible_never(u: float) -> None:
    assert geometric(1.0, 10, Script(u)) == 1  # type: ignore[arg-type]
    assert geometric(1.0 + 1e-15, 10, Script(u)) == 1  # type: ignore[arg-type]
    assert geometric(0.0, 2**62, Script(u)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", [0, 1])
@pytest.mark.parametrize("rule", [RULE, UncertainPairRule(PRECISION, 0.6), ANCHORED, TRIAL, TRUNCATED, ALWAYS])
def test_the_counted_oracle_has_the_exact_law_of_tries_and_of_what_was_accepted(prompt: int, rule: Any) -> None:
    source, steps = CountedDraws(Table(PROBLEM)), 1000
    masses = masses_of(PROBLEM, prompt, rule)
    hit = math.fsum(masses.values())

    def outcome(*uniforms: float) -> tuple[int, tuple[int, ...]]:
        found = source.draw_until(prompt, rule, 10**9, scripted(*uniforms, 0.5, 0.5, 0.5))
        assert found.responses is not None
        assert np.array_equal(found.responses.features, PROBLEM.features[prompt][list(found.responses.ids)])
        return found.tries, tuple(int(y) for y in found.responses.ids)

    for u in grid(steps):
        exact = math.log1p(-u) / math.log1p(-hit) if hit < 1 - 1e-12 else 0.5
        assert outcome(float(u))[0] == max(1, math.ceil(exact)) or abs(exact - round(exact)) < 1e-9

    firsts = [outcome(0.5, float(u))[1][0] for u in grid(steps)]
    for y in range(5):
        mass = math.fsum(mass for ids, mass in masses.items() if ids[0] == y) / hit
        assert firsts.count(y) / steps == pytest.approx(mass, abs=1 / steps)
        assert (y in firsts) == (mass > 0.0)
    if isinstance(rule, UncertainPairRule) and rule.anchor is None:
        for y in set(firsts):
            middle = (firsts.index(y) + 0.5 * firsts.count(y)) / steps
            pairs = [outcome(0.5, middle, float(u))[1] for u in grid(steps)]
            share = math.fsum(mass for ids, mass in masses.items() if ids[0] == y)
            for second in range(5):
                mass = masses.get((y, second), 0.0) / share
                assert pairs.count((y, second)) / steps == pytest.approx(mass, abs=1 / steps)
                assert ((y, second) in pairs) == (mass > 0.0)


def test_the_counted_oracle_in_turn_never_uses_what_it_stored_for_another_rule_or_prompt() -> None:
    others = UncertainPairRule(PRECISION, 0.6), UncertainPairRule(4.0 * PRECISION, 1.1)
    rules: list[Rule] = [RULE, *others, replace(RULE, anchor=PROBLEM.features[0, 1]), TRIAL, RULE]
    busy = CountedDraws(Table(PROBLEM))
    for rule, prompt, u in itertools.product(rules * 2, (0, 1, 0), (0.1, 0.6)):
        fresh = CountedDraws(Table(PROBLEM))
        outcomes = [source.draw_until(prompt, rule, 10**9, scripted(0.9, u, u)) for source in (busy, fresh)]
        assert ids_of(outcomes[0]) == ids_of(outcomes[1])


def test_a_pair_of_probability_1e_minus_300_has_its_exact_law() -> None:
    source = CountedDraws(Table(rare_and_common(math.log(1e-300))))
    rule = UncertainPairRule(np.eye(1), 0.5)
    assert source.draw_until(0, rule, 2**62, scripted(0.5)).responses is None
    tries = source.draw_until(0, rule, 10**400, scripted(0.5, 0.5, 0.5)).tries
    assert tries == pytest.approx(math.log(2) / 2e-300, rel=1e-12, abs=0.0)
    ids = [source.draw_until(0, rule, 1, scripted(0.0, float(u), 0.5)).responses for u in grid(100)]
    assert Counter(pair.ids for pair in ids if pair is not None) == {(0, 1): 50, (1, 0): 50}


def test_a_trial_of_probability_1e_minus_300_has_its_exact_law() -> None:
    source = CountedDraws(Table(PROBLEM))
    rule = RejectionRule(LinearScore(np.zeros(2)), 300 * math.log(10))
    assert source.draw_until(0, rule, 2**62, scripted(0.5)).responses is None
    assert source.draw_until(0, rule, 10**400, scripted(0.5, 0.5)).tries == pytest.approx(
        math.log(2) * 1e300, rel=1e-12, abs=0.0
    )
    accepted = [source.draw_until(0, rule, 1, scripted(0.0, float(u))).responses for u in grid(1000)]
    shares = Counter(answer.ids[0] for answer in accepted if answer is not None)
    assert {y: count / 1000 for y, count in shares.items()} == pytest.approx(
        {0: 0.3, 1: 0.25, 2: 0.3, 3: 0.15}, abs=1e-3
    )


@each_oracle
def test_counts_have_the_law_of_the_multiset_of_draws(make: MakeOracle) -> None:
    draws, base = 3, base_of(PROBLEM, 0)
    law: dict[Hashable, float] = {}
    for ids in itertools.product(range(4), repeat=draws):
        multiset = tuple(sorted(Counter(ids).items()))
        law[multiset] = law.get(multiset, 0.0) + math.prod(base[y] for y in ids)
    oracle, counts = at_prompt(make, seed=27), Counter[Hashable]()
    for _ in range(20_000):
        answer = oracle.sample_counts(0, draws)
        counts[tuple(sorted(zip(answer.responses.ids, answer.counts.tolist(), strict=True)))] += 1
    assert_law(counts, law)


def count_of_rare(draws: int, log_rare: float, queries: int, response: int = 1) -> FloatArray:
    oracle = at_prompt(counted_oracle, problem=rare_and_common(log_rare), seed=28)
    result = np.zeros(queries)
    for query in range(queries):
        answer = oracle.sample_counts(0, draws)
        assert int(answer.counts.sum()) == draws
        result[query] = dict(zip(answer.responses.ids, answer.counts.tolist(), strict=True)).get(response, 0) - (
            draws // 2 if draws == LARGEST_COUNT else 0
        )
    return result


@pytest.mark.parametrize(("draws", "log2_rare"), [(10**14, -40), (2**41, -41), (10**15, -41), (10**17, -60), (7, -3)])
def test_rare_responses_are_counted_with_their_exact_mean_and_variance(draws: int, log2_rare: int) -> None:
    queries, chance = 6000, 2.0**log2_rare
    rare = count_of_rare(draws, log2_rare * math.log(2), queries)
    mean, variance = draws * chance, draws * chance * (1 - chance)
    fourth = variance * (1 + 3 * variance * (1 - 2 / draws) - 6 * chance * (1 - chance))  # central moment
    assert abs(rare.mean() - mean) <= 6 * math.sqrt(variance / queries)
    assert abs(((rare - mean) ** 2).mean() - variance) <= 6 * math.sqrt((fourth - variance**2) / queries)


def test_the_largest_query_counts_with_the_variance_of_its_law() -> None:
    centred = count_of_rare(LARGEST_COUNT, math.log(0.5), 20_000)
    variance = LARGEST_COUNT / 4
    assert abs(centred.mean()) <= 6 * math.sqrt(variance / 20_000)
    assert (centred**2).mean() / variance == pytest.approx(1.0, abs=6 * math.sqrt(2 / 20_000))


def peak_memory(ask: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        ask()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def count_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> Counter[str]:
    """Calls of kernels by the counted oracle from now on."""
    calls = Counter[str]()

    def counting(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return kernel(*arguments)

        return call

    for name in names:
        monkeypatch.setattr(counted, name, counting(name, getattr(counted, name)))
    return calls


@pytest.mark.parametrize("kind", ["counts", "pair", "trial"])
def test_counted_queries_cost_the_same_however_many_samples_they_stand_for(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: dict[str, Rule] = {"pair": RULE, "trial": RejectionRule(TRIAL.score, 40.0)}
    kernels = count_calls(monkeypatch, "uncertain_mask", "precision_norms")

    def cost(count: int) -> tuple[int, Counter[str]]:
        oracle = at_prompt(counted_oracle)

        def ask() -> None:
            if kind in rules:
                oracle.sample_until(0, rules[kind], count)
            else:
                oracle.sample_counts(0, count)

        ask()  # what is stored between queries is in place
        kernels.clear()
        return peak_memory(ask), kernels.copy()

    few, many = cost(10), cost(2**60)
    assert few[1]["uncertain_mask"] == many[1]["uncertain_mask"] == 0
    assert many[1]["precision_norms"] <= 1
    assert max(few[0], many[0]) < 20_000  # bytes, where |Y| = 5
    literal = at_prompt(literal_oracle)
    assert peak_memory(lambda: literal.sample_counts(0, 10_000)) > 80_000  # the measure sees what is formed


def test_the_masses_of_pairs_are_found_once_a_rule_and_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, "uncertain_mask")
    oracle = at_prompt(counted_oracle)
    for _ in range(50):
        oracle.sample_until(0, RULE, 2**62)
    assert calls["uncertain_mask"] == 1
    oracle.sample_until(0, UncertainPairRule(PRECISION, 0.6), 2**62)
    assert calls["uncertain_mask"] == 2
