"""Drawing until a rule accepts has the exact law of tries and responses, with every table oracle (O2)."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pytest
from laws import assert_law
from table_oracles import (
    ALWAYS,
    ANCHORED,
    NEVER,
    NO_PAIR,
    PROBLEM,
    RULE,
    TRIAL,
    TRUNCATED,
    MakeOracle,
    at_prompt,
    each_oracle,
    ids_of,
    masses_of,
    rare_and_common,
)

from spanver.learners.softmax_sampler import softmax_sample
from spanver.problems.tabular import TabularProblem
from spanver.values import LinearScore, RejectionRule, UncertainPairRule


def until_law(masses: Mapping[tuple[int, ...], float], limit: int) -> dict[Hashable, float]:
    """Law of (tries, ids) of `sample_until`, or None where no try is accepted."""
    miss = 1.0 - math.fsum(masses.values())
    law: dict[Hashable, float] = {None: miss**limit}
    for tries in range(1, limit + 1):
        law |= {(tries, ids): miss ** (tries - 1) * mass for ids, mass in masses.items()}
    return law


@each_oracle
@pytest.mark.parametrize(("rule", "limit"), [(NO_PAIR, 700), (NEVER, 700)])
def test_what_cannot_happen_never_hits(make: MakeOracle, rule: Any, limit: int) -> None:
    for prompt in (0, 1):
        found = at_prompt(make, prompt).sample_until(prompt, rule, limit)
        assert (found.responses, found.tries) == (None, limit)


@each_oracle
def test_a_pair_with_a_response_outside_the_support_never_hits(make: MakeOracle) -> None:
    problem = rare_and_common(-math.inf)  # the only possible response is the first
    found = at_prompt(make, problem=problem).sample_until(0, UncertainPairRule(np.eye(1), 0.5), 3000)
    assert (found.responses, found.tries) == (None, 3000)


@each_oracle
def test_a_pair_whose_norm_is_exactly_the_threshold_is_certain(make: MakeOracle) -> None:
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[0.5, 0.25, 0.25]]),
        features=np.array([[[0.0], [0.5], [1.0]]]),  # halves: nothing here is rounded
        reward=np.zeros((1, 3)),
        beta=1.0,
        radius=1.0,
    )
    oracle, pairs = at_prompt(make, problem=problem), Counter[Hashable]()
    for _ in range(300):
        found = oracle.sample_until(0, UncertainPairRule(np.eye(1), 0.5), 10)
        pairs[None if found.responses is None else found.responses.ids] += 1
    assert set(pairs) == {None, (0, 2), (2, 0)}


@each_oracle
def test_a_trial_that_is_sure_to_be_accepted_takes_one_try(make: MakeOracle) -> None:
    oracle = at_prompt(make)
    for rule in (ALWAYS, RejectionRule(LinearScore(np.array([0.3, 0.9])), -1e4)):
        for _ in range(200):
            assert oracle.sample_until(0, rule, 2**62).tries == 1
    assert oracle.ledger.samples == 400


@each_oracle
@pytest.mark.parametrize("rule", [RULE, ANCHORED, TRIAL, TRUNCATED])
def test_tries_and_accepted_responses_have_the_exact_law(make: MakeOracle, rule: Any) -> None:
    limit, oracle = 3, at_prompt(make, seed=21)
    counts = Counter(ids_of(oracle.sample_until(0, rule, limit)) for _ in range(20_000))
    law = until_law(masses_of(PROBLEM, 0, rule), limit)
    assert law[None] > 0.01  # truncation is part of the law
    assert_law(counts, law)


def sampler_outcomes(
    base: list[float], f: list[float], beta: float, trials: int, multiplier: float
) -> dict[Hashable, float]:
    """Law of (response, samples taken) of A1 on two responses, over every pilot and number of trials."""
    law = Counter[Hashable]()
    weights = [math.exp(score / beta) for score in f]
    for seconds in range(trials + 1):
        pilot = math.comb(trials, seconds) * base[1] ** seconds * base[0] ** (trials - seconds)
        threshold = multiplier * (seconds * weights[1] + (trials - seconds) * weights[0]) / trials
        accepted = [p * min(1.0, w / threshold) for p, w in zip(base, weights, strict=True)]
        miss = 1.0 - sum(accepted)
        for tries, y in itertools.product(range(1, trials + 1), (0, 1)):
            law[y, trials + tries] += pilot * miss ** (tries - 1) * accepted[y]  # type: ignore[assignment]
        for y in (0, 1):
            law[y, 2 * trials + 1] += pilot * miss**trials * base[y]  # type: ignore[assignment]
    return dict(law)


@each_oracle
def test_the_sampler_has_the_exact_joint_law_of_response_and_cost(make: MakeOracle) -> None:
    # C(pi_f) = 2.3, so that M = 1 clips often, and six trials fall back now and then.
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[0.75, 0.25]]),
        features=np.array([[[0.0], [1.0]]]),
        reward=np.array([[0.0, 1.0]]),
        beta=0.5,
        radius=1.0,
    )
    oracle, counts = at_prompt(make, problem=problem, seed=29), Counter[Hashable]()
    for _ in range(30_000):
        before = oracle.ledger.samples
        response = softmax_sample(oracle, 0, LinearScore(np.ones(1)), multiplier=1.0, failure=0.9)
        counts[response.id, oracle.ledger.samples - before] += 1
    assert_law(counts, sampler_outcomes([0.75, 0.25], [0.0, 1.0], 0.5, 6, 1.0))
