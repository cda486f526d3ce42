"""Phase 1 accepts what the reference scan accepts, round by round, and goes on from any round."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from small_runs import ORACLES, RIDGE, MakeOracle, small_problem, small_spanner

from spanver.errors import ArgumentError
from spanver.kernels import spanner_trace
from spanver.learners.spanner import Spanner, build_spanner, spanner_rounds
from spanver.oracle import Ledger
from spanver.oracles.literal import literal_oracle
from spanver.values import FloatArray, Prompt

# Phase 1


@pytest.mark.parametrize(("pairs_per_prompt", "nu"), [(1, 0.3), (7, 0.3), (300, 0.3), (300, 0.6)])
@pytest.mark.parametrize("seed", [0, 1])
def test_build_spanner_accepts_what_the_reference_scan_accepts_on_the_same_draws(
    seed: int, pairs_per_prompt: int, nu: float
) -> None:
    problem = small_problem()
    oracle, twin = literal_oracle(problem, seed=seed), literal_oracle(problem, seed=seed)
    built = build_spanner(oracle, prompts=40, pairs_per_prompt=pairs_per_prompt, nu=nu, ridge=RIDGE)

    pairs: list[FloatArray] = []
    expected: list[tuple[Prompt, object, object, float, int]] = []
    tries = []
    for turn in range(40):
        prompt = twin.prompt()
        drawn = twin.sample(prompt, 2 * pairs_per_prompt)
        pairs.append(drawn.features[0::2] - drawn.features[1::2])
        hit = int(spanner_trace(np.stack(pairs), RIDGE, nu).accepted[-1])
        tries.append(pairs_per_prompt if hit < 0 else hit + 1)
        if hit >= 0:
            one, two = drawn.ids[2 * hit], drawn.ids[2 * hit + 1]
            expected.append((prompt, one, two, twin.reward(prompt, one) - twin.reward(prompt, two), turn))

    scan = spanner_trace(np.stack(pairs), RIDGE, nu)
    chosen = np.flatnonzero(scan.accepted >= 0)
    assert 0 < built.size < 40
    assert list(zip(built.prompts, built.first, built.second, built.targets, built.rounds, strict=True)) == expected
    assert built.tries.tolist() == tries
    assert np.array_equal(built.vectors, np.stack(pairs)[chosen, scan.accepted[chosen]])
    assert np.allclose(built.sigma, scan.sigma, rtol=1e-12)
    assert np.allclose(built.precision @ scan.sigma, np.eye(3), atol=1e-12)
    assert oracle.ledger == Ledger(samples=2 * sum(tries), rewards=2 * len(expected))


@ORACLES
def test_spanner_rounds_show_every_round_and_go_on_with_a_smaller_nu(make: MakeOracle) -> None:
    problem = small_problem()
    oracle = make(problem, seed=5)
    states = spanner_rounds(oracle, prompts=10, pairs_per_prompt=5, nu=0.5, ridge=RIDGE)
    seen = [(state.done, len(state.spanner.tries), state.spanner) for state in states]
    assert [each[:2] for each in seen] == [(done, done) for done in range(11)]
    first = seen[-1][2]
    second = build_spanner(oracle, prompts=25, pairs_per_prompt=5, nu=0.2, ridge=RIDGE, start=first)
    assert second.nu == 0.2
    assert len(second.tries) == 25
    assert second.size > first.size
    assert np.array_equal(second.vectors[: first.size], first.vectors)
    assert np.array_equal(second.tries[:10], first.tries)
    sigma = RIDGE * np.eye(3)
    for vector, turn in zip(second.vectors, second.rounds, strict=True):
        assert math.sqrt(vector @ np.linalg.solve(sigma, vector)) > (0.5 if turn < 10 else 0.2)
        sigma += np.outer(vector, vector)


@pytest.mark.parametrize(
    ("name", "value"),
    [("prompts", 0), ("prompts", 2.5), ("pairs_per_prompt", 0), ("nu", 0.0), ("nu", math.nan), ("ridge", -1.0)],
)
def test_build_spanner_refuses_settings_before_asking_anything(name: str, value: Any) -> None:
    oracle = literal_oracle(small_problem(), seed=0)
    good: dict[str, Any] = {"prompts": 3, "pairs_per_prompt": 3, "nu": 0.3, "ridge": 1.0}
    with pytest.raises(ArgumentError, match=rf"{name} is {value}"):
        build_spanner(oracle, **{**good, name: value})
    assert oracle.ledger == Ledger()


def test_the_settings_of_build_spanner_go_by_their_names_alone() -> None:
    with pytest.raises(TypeError, match="positional"):
        build_spanner(literal_oracle(small_problem(), seed=0), 3, pairs_per_prompt=3, nu=0.3, ridge=1.0)  # type: ignore[call-arg]


def test_build_spanner_refuses_to_go_on_with_another_ridge_or_a_larger_nu() -> None:
    oracle = literal_oracle(small_problem(), seed=0)
    start = small_spanner(oracle)
    with pytest.raises(ArgumentError, match="nu of start"):
        build_spanner(oracle, prompts=20, pairs_per_prompt=6, nu=0.41, ridge=RIDGE, start=start)
    for other in (2.0, 8.0):
        with pytest.raises(ArgumentError, match=f"the ridge of start is {RIDGE}, but it must be ridge = {other}"):
            build_spanner(oracle, prompts=20, pairs_per_prompt=6, nu=0.4, ridge=other, start=start)


def test_a_spanner_cannot_be_written_to_and_equals_itself_alone() -> None:
    one, two = Spanner.empty(3, RIDGE, 0.4), Spanner.empty(3, RIDGE, 0.4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.nu = 0.1  # type: ignore[misc]
    assert one == one  # noqa: PLR0124 - arrays cannot be compared by a single truth, so spanners are not
    assert one != two
    assert len({one, two}) == 2
