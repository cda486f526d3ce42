"""Single draws, prompts, rewards and labels of table oracles have the laws that they promise (O2)."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable

import numpy as np
import pytest
from laws import assert_law
from own_sets import Diamond
from table_oracles import (
    PROBLEM,
    RULE,
    TRIAL,
    MakeOracle,
    at_both,
    at_prompt,
    base_of,
    each_oracle,
    grid,
    scripted,
    table,
)

from spanver.errors import ArgumentError
from spanver.oracles.counted import counted_oracle
from spanver.oracles.table import Inversion, Table
from spanver.parameter_sets import Ball, Box, Shape
from spanver.values import FloatArray


@pytest.mark.parametrize("seed", range(5))
def test_literal_draws_invert_the_exact_distribution_function(seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.exponential(size=30) * 10.0 ** generator.uniform(-6, 0, size=30)
    weights[generator.permutation(30)[:10]] = 0.0
    with np.errstate(divide="ignore"):
        log_law = np.log(weights / weights.sum())
    cumulative = np.cumsum((weights / weights.sum()).astype(np.longdouble))
    uniforms = np.concatenate([grid(5000), [0.0, 1 - 2.0**-53], generator.random(5000)])
    clear = np.abs(cumulative[None, :] - uniforms[:, None].astype(np.longdouble)).min(axis=1) > 1e-15
    drawn = Inversion(log_law)(uniforms)
    expected = (cumulative[None, :] <= uniforms[:, None]).sum(axis=1)
    assert np.array_equal(drawn[clear], expected[clear])
    assert clear[:5000].all()
    assert (weights[drawn] > 0.0).all()
    assert np.array_equal(Inversion(log_law)(uniforms.reshape(2, -1)), drawn.reshape(2, -1))


@pytest.mark.parametrize(
    "law", [[0.0, 0.5, 0.0, 0.5, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0], [1e-300, 1.0, 1e-300], [0.0, 1e-300, 0.0, 1.0]]
)
def test_what_has_no_probability_is_drawn_at_no_quantile(law: list[float]) -> None:
    with np.errstate(divide="ignore"):
        inversion = Inversion(np.log(law))
    uniforms = np.array([0.0, 2.0**-53, 0.25, 0.5 - 2.0**-54, 0.5, 0.75, 1 - 2.0**-53])
    drawn = inversion(uniforms)
    assert (np.array(law)[drawn] > 0.0).all()
    cumulative = np.cumsum(law)
    assert all(cumulative[y] > u and (y == 0 or cumulative[y - 1] <= u) for y, u in zip(drawn, uniforms, strict=True))


@each_oracle
def test_responses_outside_the_support_never_come_up(make: MakeOracle) -> None:
    for prompt, outside in ((0, 4), (1, 0)):
        oracle = at_prompt(make, prompt)
        assert outside not in oracle.sample(prompt, 5000).ids
        assert outside not in oracle.sample(prompt, 5000, theta=np.array([0.6, -0.8])).ids
        assert outside not in oracle.sample_counts(prompt, 5000).responses.ids
        for rule in (RULE, TRIAL):
            for _ in range(200):
                found = oracle.sample_until(prompt, rule, 50)
                assert found.responses is None or outside not in found.responses.ids
    counts = at_prompt(counted_oracle).sample_counts(0, 10**17)
    assert set(counts.responses.ids) == {0, 1, 2, 3}


@each_oracle
@pytest.mark.parametrize("prompt", [0, 1])
def test_samples_have_the_law_of_the_base_policy(make: MakeOracle, prompt: int) -> None:
    counts = Counter[Hashable](at_prompt(make, prompt, seed=22).sample(prompt, 20_000).ids)
    assert_law(counts, dict(enumerate(base_of(PROBLEM, prompt))))


@each_oracle
@pytest.mark.parametrize("theta", [np.array([0.6, 0.8]), np.array([-0.5, 0.2]), np.zeros(2)])
def test_strong_samples_have_the_law_of_the_linear_softmax(make: MakeOracle, theta: FloatArray) -> None:
    oracle = at_prompt(make, 1, seed=23)
    weights = [
        p * math.exp(float(phi @ theta) / 0.5) for p, phi in zip(base_of(PROBLEM, 1), PROBLEM.features[1], strict=True)
    ]
    counts = Counter[Hashable](oracle.sample(1, 20_000, theta=theta).ids)
    assert_law(counts, {y: weight / sum(weights) for y, weight in enumerate(weights)})


@each_oracle
def test_strong_samples_follow_the_theta_and_prompt_of_their_query(make: MakeOracle) -> None:
    theta, prompts = np.array([0.6, 0.8]), (0, 1)
    oracle = at_both(make, seed=24)
    shares: dict[tuple[int, int], Counter[Hashable]] = {(x, s): Counter() for x in prompts for s in (1, -1)}
    for _, x, sign in itertools.product(range(200), prompts, (1, -1)):
        shares[x, sign].update(oracle.sample(x, 50, theta=sign * theta).ids)
    for (x, sign), counts in shares.items():
        weights = [
            p * math.exp(sign * float(phi @ theta) / 0.5)
            for p, phi in zip(base_of(PROBLEM, x), PROBLEM.features[x], strict=True)
        ]
        assert_law(counts, {y: weight / sum(weights) for y, weight in enumerate(weights)})


@each_oracle
def test_a_strong_query_at_zero_is_the_weak_query(make: MakeOracle) -> None:
    weak, strong = at_prompt(make), at_prompt(make)
    assert weak.sample(0, 100).ids == strong.sample(0, 100, theta=np.zeros(2)).ids


@each_oracle
def test_a_theta_on_the_radius_is_answered_up_to_rounding(make: MakeOracle) -> None:
    oracle = at_prompt(make)
    oracle.sample(0, 1, theta=np.array([0.6, 0.8]))
    oracle.sample(0, 1, theta=np.array([0.6, 0.8]) * (1 + 1e-13))
    with pytest.raises(ArgumentError, match="distance of theta from the ball of radius 1"):
        oracle.sample(0, 1, theta=np.array([0.6, 0.8]) * (1 + 1e-9))


@each_oracle
@pytest.mark.parametrize(
    ("shape", "inside", "outside"),
    [(Box, [0.7, -0.7], [0.8, 0.0]), (Diamond, [0.3, -0.7], [0.6, -0.6]), (Ball, [0.8, 0.0], [0.8, 0.8])],
)
def test_a_theta_outside_the_set_of_parameters_is_refused_before_anything_is_charged(
    make: MakeOracle, shape: Shape, inside: list[float], outside: list[float]
) -> None:
    oracle = at_prompt(make, problem=table(shape=shape, theta_star=None))
    assert oracle.shape is shape
    oracle.sample(0, 1, theta=np.array(inside))
    with pytest.raises(ArgumentError, match="the distance of theta from"):
        oracle.sample(0, 1, theta=np.array(outside))
    assert oracle.ledger.samples == 1


@each_oracle
def test_prompts_have_their_law(make: MakeOracle) -> None:
    oracle = make(table(prompt_law=np.array([0.7, 0.3])), seed=25)
    assert_law(Counter[Hashable](oracle.prompt() for _ in range(10_000)), {0: 0.7, 1: 0.3})
    sure = make(table(prompt_law=np.array([0.0, 1.0])), seed=26)
    assert {sure.prompt() for _ in range(500)} == {1}


@each_oracle
@pytest.mark.parametrize(("prompt", "response"), [(0, 0), (0, 4), (1, 0), (1, 3)])
def test_noisy_rewards_are_the_mean_or_an_end_of_the_interval(make: MakeOracle, prompt: int, response: int) -> None:
    mean, low = float(PROBLEM.reward[prompt, response]), float(PROBLEM.reward_low[prompt])
    share = (mean - low) / 2.0
    oracle = at_prompt(make, prompt, seed=31)
    counts = Counter[Hashable](oracle.reward(prompt, response) for _ in range(20_000))
    assert_law(counts, {mean: 0.5, low: 0.5 * (1 - share), low + 2.0: 0.5 * share})


def test_the_mean_of_noisy_rewards_is_exact() -> None:
    for noise, prompt, response in ((1.0, 0, 1), (1.0, 1, 4), (0.25, 0, 0)):
        problem, steps = table(noise=noise), 500
        source = Table(problem)
        mean = float(problem.reward[prompt, response])
        noisy = [source.reward(prompt, response, scripted(0.5 * noise, float(u))) for u in grid(20_000)]
        assert math.fsum(noisy) / 20_000 == pytest.approx(mean, abs=2.0 / 20_000)  # the reward range times a step
        shares = [source.reward(prompt, response, scripted(float(u), 0.5)) == mean for u in grid(steps)]
        assert sum(shares) / steps == pytest.approx(1.0 - noise, abs=1 / steps)


@each_oracle
def test_rewards_without_noise_are_the_mean(make: MakeOracle) -> None:
    problem = table(noise=0.0)
    oracle = at_prompt(make, 1, problem)
    assert [oracle.reward(1, y) for y in range(5)] == problem.reward[1].tolist()


@each_oracle
def test_the_noise_of_rewards_is_fresh_and_not_that_of_the_response(make: MakeOracle) -> None:
    problem = table(noise=1.0)
    oracle = at_prompt(make, problem=problem, seed=32)
    high = float(problem.reward_low[0]) + 2.0
    share = [(float(problem.reward[0, y]) - float(problem.reward_low[0])) / 2.0 for y in (0, 1)]
    counts = Counter[Hashable]()
    for _ in range(20_000):
        drawn = oracle.sample(0, 1).ids[0]
        counts[drawn, oracle.reward(0, 0) == high, oracle.reward(0, 1) == high] += 1
    law: dict[Hashable, float] = {
        (y, a, b): p * (share[0] if a else 1 - share[0]) * (share[1] if b else 1 - share[1])
        for (y, p), a, b in itertools.product(enumerate(base_of(problem, 0)), (True, False), (True, False))
    }
    assert_law(counts, law)
