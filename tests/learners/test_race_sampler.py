"""The race sampler (A1r) costs its pool, and has its exact distribution."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from laws import PLANTED, assert_law, rejects
from sampler_cases import (
    BASE,
    BETA,
    SETTINGS,
    F,
    MakeOracle,
    by_id,
    compositions,
    coverage,
    drawn,
    each_oracle,
    linear,
    opened,
    softmax,
    table,
    total_variation,
)

from spanver.learners import race_sampler
from spanver.learners.race_sampler import race_sample, race_size
from spanver.oracle import Ledger
from spanver.values import FloatArray, LinearScore, Outcome, Responses


@each_oracle
@pytest.mark.parametrize(("multiplier", "failure"), SETTINGS)
def test_a_race_costs_exactly_its_size(make: MakeOracle, multiplier: float, failure: float) -> None:
    oracle, size = opened(make, table()), max(1, math.ceil(multiplier / 4 * math.log(1 / failure)))
    for call in range(1, 20):
        response = race_sample(oracle, 0, linear(), multiplier=multiplier, failure=failure, seed=call)
        assert oracle.ledger == Ledger(call * size, 0, 0)
        assert response.outcome is Outcome.DRAWN
        assert np.array_equal(response.features, [F[int(response.id)] / 2, 0.25])


# ---------------------------------------------------------------------------------------------------------------------
# A1r (R4)


def race_law(base: Sequence[float], f: Sequence[float], beta: float, draws: int) -> FloatArray:
    """Exact law of the race over every pool.

    Given a pool, `P(max is w_i/U_i) = w_i int_0^{1/max w} prod_{j != i} (1 - w_j s) ds`: a polynomial, which Gauss
    quadrature with as many nodes as draws integrates exactly.
    """
    nodes, node_weights = np.polynomial.legendre.leggauss(draws)
    s, ds = 0.5 * (nodes + 1.0), 0.5 * node_weights
    law = np.zeros(len(base))
    for pool in compositions(draws, len(base)):
        chance = math.factorial(draws) * math.prod(p**k / math.factorial(k) for p, k in zip(base, pool, strict=True))
        heaviest = max(score for score, k in zip(f, pool, strict=True) if k > 0)
        weights = [math.exp((score - heaviest) / beta) if k > 0 else 0.0 for score, k in zip(f, pool, strict=True)]
        for i, k in enumerate(pool):
            others = (
                math.prod(
                    (1.0 - w * s) ** (n - (j == i)) for j, (w, n) in enumerate(zip(weights, pool, strict=True)) if n > 0
                )
                if k > 0
                else 0.0
            )
            law[i] += chance * k * weights[i] * float(np.sum(others * ds))
    return law


def test_the_law_of_two_racers_is_the_one_worked_out_by_hand() -> None:
    # Weights 1 and 2: P(2/U > 1/V) = 1 - P(V < U/2) = 3/4 when both are in the pool.
    law = race_law([0.5, 0.5], [0.0, math.log(2.0)], 1.0, 2)
    assert law == pytest.approx([0.25 + 0.5 * 0.25, 0.25 + 0.5 * 0.75], rel=1e-14, abs=0.0)
    assert race_law(BASE, F, BETA, 5).sum() == pytest.approx(1.0, rel=1e-13, abs=0.0)


def test_of_two_racers_the_heavier_wins_at_the_pairs_of_uniforms_where_it_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Pool:
        beta = 1.0

        def sample(self, prompt: int, count: int) -> Responses:
            assert count == 2
            return Responses((0, 1), np.array([[0.0], [math.log(2.0)]]))

    pool: Any = Pool()
    grid = (np.arange(100) + 0.5) / 100
    wins = 0
    for pair in itertools.product(grid, repeat=2):
        monkeypatch.setattr(
            race_sampler, "stream", lambda *_, pair=pair: SimpleNamespace(random=lambda _: np.array(pair))
        )
        winner = race_sampler.race_sample(pool, 0, LinearScore(np.ones(1)), multiplier=4.0, failure=0.2, seed=0).id
        ratio = (1.0 - pair[1]) / (1.0 - pair[0])  # 2/V against 1/U: the heavier wins where V < 2 U
        assert winner == int(ratio < 2.0) or abs(ratio - 2.0) < 1e-9
        wins += int(winner)
    assert wins / 100**2 == pytest.approx(0.75, abs=0.01)


@each_oracle
@pytest.mark.parametrize(("failure", "draws"), [(0.6, 1), (0.2, 2), (0.01, 5)])
def test_the_race_has_the_exact_law_of_its_pools(make: MakeOracle, failure: float, draws: int) -> None:
    assert race_size(4.0, failure) == draws
    exact = race_law(BASE, F, BETA, draws)
    counts = drawn(opened(make, table(), 47), race_sample, linear(), 8000, multiplier=4.0, failure=failure)
    assert_law(counts, by_id(exact))
    target = softmax(BASE, F, BETA)
    if total_variation(exact, target) > PLANTED:
        assert rejects(counts, by_id(target))


@pytest.mark.parametrize("seed", range(6))
def test_the_race_is_as_close_to_its_target_as_its_bound_says(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for size, beta in itertools.product((2, 3), (1.0, 0.2, 0.02)):
        base = generator.dirichlet(np.ones(size)).tolist()
        f = generator.uniform(-1.0, 1.0, size=size).tolist()
        for draws in range(1, 8):
            bound = (1.0 - 1.0 / coverage(base, f, beta)) ** draws
            distance = total_variation(race_law(base, f, beta, draws), softmax(base, f, beta))
            assert distance <= bound + 1e-13


@pytest.mark.parametrize("rare", [0.5, 0.1, 0.01])
def test_the_bound_of_the_race_is_reached(rare: float) -> None:
    # All weight on one response: the race is wrong exactly when the pool misses it.
    base, f, beta = [1.0 - rare, rare], [0.0, 1.0], 0.02
    c = coverage(base, f, beta)
    assert c == pytest.approx(1.0 / rare, rel=1e-12, abs=0.0)
    for draws in range(1, 8):
        distance = total_variation(race_law(base, f, beta, draws), softmax(base, f, beta))
        assert distance == pytest.approx((1.0 - 1.0 / c) ** draws, rel=1e-9, abs=0.0)


def test_the_size_of_the_race_meets_the_failure_probability_that_it_is_given() -> None:
    for failure, c in itertools.product((0.5, 0.1, 1e-3), (1.0, 2.0, 7.5, 1e6)):
        draws = race_size(4.0 * c, failure)
        assert draws * math.log1p(-1.0 / c) <= math.log(failure) + 1e-12 if c > 1.0 else draws >= 1
        assert draws - 1 < c * math.log(1.0 / failure)
