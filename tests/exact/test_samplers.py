"""Best-of-N: its exact law against the enumeration of all draws, against many digits, and against drawing it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable
from decimal import MIN_EMIN, Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from laws import assert_law

from spanver.errors import ArgumentError
from spanver.exact.samplers import log_law_of_best
from spanver.exact.tabular import gap, law_cost, log_law
from spanver.learners.softmax_sampler import softmax_sample
from spanver.oracle import Ledger
from spanver.oracles import literal_oracle
from spanver.policies import BestOfN, LinearSoftmax, sample_policy
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray

TIED = np.array([0.3, -1.0, 0.3, 2.0, -1.0])
BASE = np.array([0.1, 0.25, 0.3, 0.2, 0.15])


def enumerated(base: FloatArray, scores: FloatArray, count: int) -> list[float]:
    """Law of the first of largest score, over every sequence of draws."""
    law = [0.0] * len(base)
    for drawn in itertools.product(range(len(base)), repeat=count):
        best = drawn[0]
        for index in drawn[1:]:
            if scores[index] > scores[best]:
                best = index
        law[best] += math.prod(float(base[index]) for index in drawn)
    return law


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("scores", [TIED, np.zeros(5), np.arange(5.0), -np.arange(5.0)])
def test_the_law_is_that_of_all_sequences_of_draws(count: int, scores: FloatArray) -> None:
    law = np.exp(log_law_of_best(np.log(BASE), scores, count))
    assert law == pytest.approx(enumerated(BASE, scores, count), rel=1e-13, abs=0.0)


@pytest.mark.parametrize("count", [2, 4])
def test_responses_outside_the_base_support_are_never_the_best(count: int) -> None:
    base = np.array([0.4, 0.0, 0.6, 0.0])
    scores = np.array([1.0, 5.0, 0.0, -5.0])
    with np.errstate(divide="ignore"):
        log_law_ = log_law_of_best(np.log(base), scores, count)
    assert np.exp(log_law_) == pytest.approx(enumerated(base, scores, count), rel=1e-13, abs=0.0)
    assert (log_law_[[1, 3]] == -np.inf).all()


LOG_BASES = {
    "rare and best": [0.0, -math.log(1e300)],
    "rare and worst": [-math.log(1e300), 0.0],
    "beyond the smallest double": [-800.0, 0.0, -750.0],
    "a ladder": [-1.0, -10.0, -27.0, -30.0, -40.0, -100.0],
    "a ladder upwards": [-100.0, -40.0, -30.0, -27.0, -10.0, -1.0],
    "ordinary": [-1.0, -2.0, -1.5, -0.5],
}


@pytest.mark.parametrize("count", [1, 2, 1000, 2**20, 2**30, 2**40])
@pytest.mark.parametrize("name", LOG_BASES)
@pytest.mark.parametrize("tied", [False, True])
def test_no_digits_are_lost_for_many_draws_or_tiny_probabilities(name: str, count: int, tied: bool) -> None:
    given = np.array(LOG_BASES[name])
    scores = np.arange(float(len(given))) // (2 if tied else 1)
    with localcontext() as context:
        context.prec, context.Emin = 450, MIN_EMIN  # 1 - e^-800 begins with 347 nines
        weights = [Decimal(float(value)).exp() for value in given]
        total = sum(weights, Decimal(0))
        base = [weight / total for weight in weights]
        log_base = np.array([float(value.ln()) for value in base])
        expected = []
        for weight, score in zip(base, scores, strict=True):
            upto = sum((b for b, s in zip(base, scores, strict=True) if s <= score), Decimal(0))
            level = sum((b for b, s in zip(base, scores, strict=True) if s == score), Decimal(0))
            expected.append(float((weight / level).ln() + (upto**count - (upto - level) ** count).ln()))
    law = log_law_of_best(log_base, scores, count)
    # Relative to the probability itself, unless the logarithm is so large that its own rounding is all there is.
    assert law == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert np.exp(law).sum() == pytest.approx(1.0, abs=1e-12)


def table(features: FloatArray, base: FloatArray) -> TabularProblem:
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log(base)[None],
        features=features[None],
        reward=features[None] @ np.array([1.0, 0.5]),
        beta=0.5,
        radius=2.0,
        theta_star=np.array([1.0, 0.5]),
    )


DRAWS = 12000
FEATURES = np.array([[0.1, 0.7], [0.3, -0.2], [0.1, 0.7], [-0.5, 0.5], [0.6, 0.1]])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_draws_through_an_oracle_have_the_exact_law_and_cost_the_count(count: int) -> None:
    problem = table(FEATURES, BASE)
    policy = BestOfN(np.array([0.3, 0.9]), count)
    oracle = literal_oracle(problem, seed=5)
    prompt = oracle.prompt()
    drawn: Counter[Hashable] = Counter(
        int(sample_policy(policy, oracle, prompt, sampler=softmax_sample, multiplier=2.0, failure=0.1, seed=0).id)
        for _ in range(DRAWS)
    )
    assert oracle.ledger == Ledger(samples=DRAWS * count)
    law: dict[Hashable, float] = dict(enumerate(np.exp(log_law(problem, policy))[0].tolist()))
    assert_law(drawn, law)
    assert law[0] / law[2] == pytest.approx(BASE[0] / BASE[2], rel=1e-12)


def test_the_first_drawn_of_equal_scores_is_kept() -> None:
    problem = table(np.tile(FEATURES[:1], (5, 1)), BASE)
    oracle, twin = literal_oracle(problem, seed=1), literal_oracle(problem, seed=1)
    prompt, policy = oracle.prompt(), BestOfN(np.ones(2), 4)
    kept = [
        sample_policy(policy, oracle, prompt, sampler=softmax_sample, multiplier=2.0, failure=0.1, seed=0).id
        for _ in range(30)
    ]
    assert tuple(kept) == twin.sample(twin.prompt(), 120).ids[::4]
    assert len(set(kept)) > 1


def test_equal_features_tie_exactly_whatever_is_beside_them() -> None:
    generator = np.random.default_rng(0)
    for dimension in (1, 3, 8, 17, 200):
        row = generator.standard_normal(dimension)
        policy = BestOfN(generator.standard_normal(dimension), 2)
        scores = {float(value) for size in (1, 2, 3, 7, 8, 33) for value in policy.scores(np.tile(row, (size, 1)))} | {
            float(policy.scores(np.tile(row, (2, 3, 1)))[1, 2])
        }
        assert len(scores) == 1


def test_one_draw_is_the_base_policy_and_endless_draws_the_best_response() -> None:
    problem = table(FEATURES, BASE)
    theta = np.array([1.0, 0.5])
    assert np.exp(log_law(problem, BestOfN(theta, 1)))[0] == pytest.approx(BASE, rel=1e-14)
    best = np.exp(log_law(problem, BestOfN(theta, 2**40)))[0]
    assert best == pytest.approx(np.eye(5)[4], abs=1e-15)
    # Neither is the optimum; a few draws with the true score are nearer than both.
    gaps = [gap(problem, log_law(problem, BestOfN(theta, count))) for count in (1, 3, 2**40)]
    assert gaps[1] < min(gaps[0], gaps[2])
    assert law_cost(problem, BestOfN(theta, 3)) == law_cost(problem, LinearSoftmax(theta)) == 5


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_a_count_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(ArgumentError, match=f"count is {count}"):
        BestOfN(np.ones(2), count)
