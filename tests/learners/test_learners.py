"""Phase 1, phase 2, both together and in stages: replayed on twin oracles, and rebuilt from what the rounds state."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import pytest

from spanver.errors import ArgumentError, BudgetExceededError
from spanver.exact.tabular import gap, log_law
from spanver.kernels import fit, spanner_trace
from spanver.learners.exploration import Exploration, exploration_rounds, explore
from spanver.learners.race_sampler import race_sample
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner import Spanner, build_spanner, spanner_rounds
from spanver.learners.spanner_sampling import (
    Run,
    SamplingState,
    Settings,
    Trace,
    largest_cost,
    sampling_rounds,
    spanner_sampling,
)
from spanver.learners.staged import staged_rounds, staged_spanner_sampling
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles import counted_oracle, literal_oracle
from spanver.policies import TruncatedSoftmax
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray, Prompt, Response, Score, TruncatedScore, UncertainPairRule

RIDGE = 4.0
SMALL = Settings(
    prompts=12,
    pairs_per_prompt=6,
    nu=0.4,
    ridge=RIDGE,
    exploration_rounds=8,
    rejection_multiplier=12.0,
    rejection_failure=0.3,
)
ORACLES = pytest.mark.parametrize("make", [literal_oracle, counted_oracle])


class MakeOracle(Protocol):
    def __call__(
        self,
        problem: TabularProblem,
        *,
        seed: int,
        budget: Budget | None = ...,
        ledger: Ledger | None = ...,
        prompts: int = ...,
    ) -> Oracle: ...


Learn: TypeAlias = Callable[..., Iterator[SamplingState]]


def small_problem(seed: int = 3, **parameters: Any) -> TabularProblem:
    return random_problem(seed, **{"prompts": 3, "responses": 8, "dimension": 3, "noise": 0.5, **parameters})


def small_spanner(oracle: Oracle) -> Spanner:
    return build_spanner(oracle, prompts=15, pairs_per_prompt=6, nu=0.4, ridge=RIDGE)


def contents(value: object) -> object:
    """Everything in a dataclass, arrays down to dtype and bits."""
    if dataclasses.is_dataclass(value):
        return [(field.name, contents(getattr(value, field.name))) for field in dataclasses.fields(value)]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return [contents(item) for item in value]
    return value


def base_draw(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    """Sampler that ignores the score."""
    return oracle.sample(prompt, 1)[0]


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


@ORACLES
def test_one_response_and_one_dimension_leave_nothing_to_accept_or_to_learn(make: MakeOracle) -> None:
    problem = random_problem(0, prompts=1, responses=1, dimension=1)
    run = spanner_sampling(make(problem, seed=0), seed=0, settings=SMALL)
    assert run.trace.spanner.size == 0
    assert run.trace.spanner.tries.tolist() == [6] * 12
    assert not run.trace.exploration.thetas.any()
    assert gap(problem, log_law(problem, run.policy)) == 0.0


# Phase 2


@ORACLES
def test_every_fit_sees_the_spanner_and_all_earlier_rounds_and_is_what_is_stated(make: MakeOracle) -> None:
    calls: list[tuple[FloatArray, FloatArray, float]] = []

    def recorded(features: FloatArray, targets: FloatArray, radius: float, /) -> FloatArray:
        calls.append((features.copy(), targets.copy(), radius))
        return 0.1 * np.arange(3.0) / len(calls)

    problem = small_problem()
    oracle = make(problem, seed=2)
    spanner = small_spanner(oracle)
    explored = explore(oracle, spanner, rounds=12, multiplier=3.0, failure=0.3, seed=0, fit=recorded)
    assert spanner.size > 0
    assert len(calls) == 12
    for index, (features, targets, radius) in enumerate(calls):
        assert np.array_equal(features, np.concatenate([spanner.vectors, explored.vectors[:index]]))
        assert np.array_equal(targets, np.concatenate([spanner.targets, explored.targets[:index]]))
        assert radius == problem.radius
        assert np.array_equal(explored.thetas[index], 0.1 * np.arange(3.0) / (index + 1))
    assert explored.spanner_sizes.tolist() == [spanner.size] * 12


@ORACLES
@pytest.mark.parametrize("radius", [1.0, 1e-2])
def test_the_default_thetas_are_the_least_squares_on_the_stated_data(make: MakeOracle, radius: float) -> None:
    problem = dataclasses.replace(small_problem(), radius=radius, theta_star=None)
    oracle = make(problem, seed=2)
    spanner = small_spanner(oracle)
    explored = explore(oracle, spanner, rounds=15, multiplier=3.0, failure=0.3, seed=0)
    for index, theta in enumerate(explored.thetas):
        features = np.concatenate([spanner.vectors, explored.vectors[:index]])
        targets = np.concatenate([spanner.targets, explored.targets[:index]])
        assert np.allclose(theta, fit(features, targets, radius), rtol=1e-9, atol=1e-12)


def test_the_first_data_of_an_empty_spanner_fit_zero() -> None:
    oracle = literal_oracle(small_problem(), seed=2)
    explored = explore(oracle, Spanner.empty(3, RIDGE, 0.4), rounds=2, multiplier=3.0, failure=0.3, seed=0)
    assert explored.thetas[0].tolist() == [0.0, 0.0, 0.0]
    assert explored.thetas[1].any()


def test_a_round_draws_the_second_response_then_the_first_and_asks_both_rewards() -> None:
    problem = small_problem()
    oracle, twin = literal_oracle(problem, seed=4), literal_oracle(problem, seed=4)
    empty = Spanner.empty(3, RIDGE, 0.4)
    explored = explore(oracle, empty, rounds=20, multiplier=3.0, failure=0.3, seed=0, sampler=base_draw)
    for index in range(20):
        prompt = twin.prompt()
        drawn = twin.sample(prompt, 2)
        assert (explored.prompts[index], explored.second[index], explored.first[index]) == (prompt, *drawn.ids)
        assert np.array_equal(explored.vectors[index], drawn.features[1] - drawn.features[0])
        assert explored.targets[index] == twin.reward(prompt, drawn.ids[1]) - twin.reward(prompt, drawn.ids[0])
    assert oracle.ledger == twin.ledger == Ledger(samples=40, rewards=40)


@ORACLES
def test_the_sampler_is_called_with_the_truncated_score_of_the_round(make: MakeOracle) -> None:
    calls: list[tuple[Prompt, Score, float, float, int]] = []

    def recorded(
        oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
    ) -> Response:
        calls.append((prompt, score, multiplier, failure, seed))
        return oracle.sample(prompt, 1)[0]

    problem = small_problem()
    oracle = make(problem, seed=4)
    spanner = small_spanner(oracle)
    explored = explore(oracle, spanner, rounds=10, multiplier=3.5, failure=0.25, seed=9, sampler=recorded)
    for index, (prompt, score, multiplier, failure, _) in enumerate(calls):
        assert isinstance(score, TruncatedScore)
        assert (prompt, multiplier, failure, score.nu) == (explored.prompts[index], 3.5, 0.25, 0.4)
        assert np.array_equal(score.theta, explored.thetas[index])
        second = explored.second[index]
        assert isinstance(prompt, int)
        assert isinstance(second, int)
        assert np.array_equal(score.anchor, problem.features[prompt, second])
        assert np.allclose(score.precision @ spanner.sigma, np.eye(3), atol=1e-12)
    seeds = [call[-1] for call in calls]
    assert len(set(seeds)) == 10
    calls.clear()
    oracle = make(problem, seed=5)
    explore(oracle, small_spanner(oracle), rounds=10, multiplier=3.5, failure=0.25, seed=9, sampler=recorded)
    assert [call[-1] for call in calls] == seeds


@ORACLES
def test_the_samples_of_a_round_are_what_the_ledger_grew_by(make: MakeOracle) -> None:
    def greedy(
        oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
    ) -> Response:
        return oracle.sample(prompt, 1 + seed % 7)[0]

    for sampler in (softmax_sample, race_sample, greedy):
        oracle = make(small_problem(), seed=4)
        spanner = small_spanner(oracle)
        states = exploration_rounds(oracle, spanner, rounds=10, multiplier=3.0, failure=0.3, seed=1, sampler=sampler)
        ledgers, explorations = zip(*((oracle.ledger, state.exploration) for state in states), strict=True)
        explored = explorations[-1]
        assert len(set(explored.samples.tolist())) > 1 or sampler is race_sample
        for index in range(10):
            before, after = ledgers[index], ledgers[index + 1]
            assert after.samples - before.samples == explored.samples[index]
            assert after.rewards - before.rewards == 2


def test_a_fit_that_reuses_its_output_array_does_not_change_earlier_thetas() -> None:
    buffer = np.zeros(3)
    given: list[list[float]] = []

    def reusing(features: FloatArray, targets: FloatArray, radius: float, /) -> FloatArray:
        buffer[:] = fit(features, targets, radius)
        given.append(buffer.tolist())
        return buffer

    oracle = literal_oracle(small_problem(), seed=2)
    spanner = small_spanner(oracle)
    explored = explore(oracle, spanner, rounds=5, multiplier=3.0, failure=0.3, seed=0, fit=reusing)
    assert explored.thetas.tolist() == given


# Both phases


@ORACLES
def test_the_output_is_the_uniform_mixture_of_the_policies_of_all_rounds(make: MakeOracle) -> None:
    run = spanner_sampling(make(small_problem(), seed=1), seed=1, settings=SMALL)
    exploration, spanner = run.trace.exploration, run.trace.spanner
    assert len(spanner.tries) == SMALL.prompts
    assert len(run.policy.components) == exploration.rounds == SMALL.exploration_rounds
    for component, theta in zip(run.policy.components, exploration.thetas, strict=True):
        assert isinstance(component, TruncatedSoftmax)
        assert np.array_equal(component.theta, theta)
        assert np.allclose(component.precision @ spanner.sigma, np.eye(3), atol=1e-12)
        assert component.nu == SMALL.nu
    assert (run.settings, run.coverage) == (SMALL, None)


def test_a_spanner_builder_plugs_in() -> None:
    calls: list[dict[str, Any]] = []

    def one_by_one(
        oracle: Oracle, *, prompts: int, pairs_per_prompt: int, nu: float, ridge: float, seed: int
    ) -> Spanner:
        """Somebody's builder: asks for one pair at a time, and inverts Sigma afresh."""
        calls.append({"prompts": prompts, "pairs": pairs_per_prompt, "nu": nu, "ridge": ridge, "seed": seed})
        sigma = ridge * np.eye(oracle.dimension)
        rows: list[tuple[Prompt, Response, Response, float, int]] = []
        tries = []
        for turn in range(prompts):
            prompt = oracle.prompt()
            rule = UncertainPairRule(np.linalg.inv(sigma).astype(np.float64), nu)
            tried = 0
            while tried < pairs_per_prompt:
                tried += 1
                found = oracle.sample_until(prompt, rule, 1)
                if found.responses is not None:
                    one, two = found.responses[0], found.responses[1]
                    target = oracle.reward(prompt, one) - oracle.reward(prompt, two)
                    rows.append((prompt, one, two, target, turn))
                    sigma += np.outer(one.features - two.features, one.features - two.features)
                    break
            tries.append(tried)
        return Spanner(
            oracle.dimension,
            ridge,
            nu,
            tuple(row[0] for row in rows),
            tuple(row[1].id for row in rows),
            tuple(row[2].id for row in rows),
            np.array([row[1].features - row[2].features for row in rows]),
            np.array([row[3] for row in rows]),
            np.array([row[4] for row in rows]),
            np.array(tries),
        )

    problem = small_problem()
    plugged = spanner_sampling(literal_oracle(problem, seed=6), seed=7, settings=SMALL, spanner=one_by_one)
    assert calls == [{"prompts": 12, "pairs": 6, "nu": 0.4, "ridge": RIDGE, "seed": 7}]
    reference = spanner_sampling(literal_oracle(problem, seed=6), seed=7, settings=SMALL)
    assert plugged.trace.spanner.first == reference.trace.spanner.first
    assert plugged.trace.spanner.tries.tolist() == reference.trace.spanner.tries.tolist()
    assert plugged.trace.exploration.first == reference.trace.exploration.first
    assert np.allclose(plugged.trace.exploration.thetas, reference.trace.exploration.thetas, rtol=1e-9)


@ORACLES
def test_sampler_and_fit_of_a_third_party_plug_into_the_whole(make: MakeOracle) -> None:
    sizes: list[int] = []

    def zero(features: FloatArray, targets: FloatArray, radius: float, /) -> FloatArray:
        sizes.append(len(targets))
        return np.zeros(features.shape[1])

    problem = small_problem()
    oracle = make(problem, seed=6)
    run = spanner_sampling(oracle, seed=7, settings=SMALL, sampler=base_draw, fit=zero)
    size = run.trace.spanner.size
    assert sizes == list(range(size, size + 8))
    assert run.trace.exploration.samples.tolist() == [2] * 8
    assert oracle.ledger == Ledger(2 * int(run.trace.spanner.tries.sum()) + 16, 2 * size + 16)
    assert np.isclose(gap(problem, log_law(problem, run.policy)), gap(problem, problem.log_base), rtol=1e-12)


def after_each_round(states: Iterator[SamplingState]) -> Iterator[SamplingState]:
    """States after a round: all but those with which a phase begins."""
    done = {"spanner": 0, "exploration": 0}
    for state in states:
        if state.done > done[state.phase]:
            done[state.phase] = state.done
            yield state


@ORACLES
def test_sampling_rounds_show_every_round_of_both_phases_with_the_trace_so_far(make: MakeOracle) -> None:
    states = sampling_rounds(make(small_problem(), seed=6), seed=7, settings=SMALL)
    seen = [
        (state.phase, state.done, len(state.trace.spanner.tries), state.trace.exploration.rounds) for state in states
    ]
    expected = [("spanner", done, done, 0) for done in range(13)]
    assert seen == expected + [("exploration", done, 12, done) for done in range(9)]


def stages(coverage: float, delta: float) -> Settings:
    """Settings of a stage, with a threshold that falls from stage to stage."""
    return Settings(
        prompts=6,
        pairs_per_prompt=math.ceil(2 * coverage),
        nu=0.6 * 0.9 ** math.log2(coverage),
        ridge=RIDGE,
        exploration_rounds=5,
        rejection_multiplier=6.0 * coverage,
        rejection_failure=delta,
    )


BUDGET = 8000
WHOLE = partial(sampling_rounds, settings=SMALL)
STAGED = partial(staged_rounds, budget=BUDGET, delta=0.5, settings=stages)


def result(states: Iterator[SamplingState]) -> Run:
    (last,) = deque(states, maxlen=1)
    return last.run


@ORACLES
@pytest.mark.parametrize("sampler", [softmax_sample, race_sample])
@pytest.mark.parametrize("learn", [WHOLE, STAGED], ids=["whole", "staged"])
def test_going_on_from_any_round_is_bit_identical_to_never_stopping(
    make: MakeOracle, sampler: Any, learn: Learn
) -> None:
    problem = small_problem()
    oracle = make(problem, seed=8)
    cuts: list[tuple[Trace, Ledger]] = []
    for state in after_each_round(learn(oracle, seed=9, sampler=sampler)):
        cuts.append((state.trace, oracle.ledger))
    whole = state.run
    assert cuts[-1][1] == oracle.ledger
    assert len(cuts) == len(whole.trace.spanner.tries) + whole.trace.exploration.rounds
    assert learn is WHOLE or len(cuts) >= 3 * 11
    cuts.insert(0, (Trace(Spanner.empty(3, RIDGE, 0.9), Exploration.empty(3)), Ledger()))
    for cut, (trace, ledger) in enumerate(cuts):
        again = make(problem, seed=8, ledger=ledger, prompts=cut)
        resumed = result(learn(again, seed=9, sampler=sampler, start=trace))
        assert contents(resumed) == contents(whole), f"after {cut} rounds"
        assert again.ledger == oracle.ledger


@ORACLES
def test_the_same_seeds_give_the_same_run_and_other_seeds_another(make: MakeOracle) -> None:
    def run(oracle_seed: int, seed: int) -> object:
        return contents(result(WHOLE(make(small_problem(), seed=oracle_seed), seed=seed, sampler=race_sample)).trace)

    assert run(1, 2) == run(1, 2)
    assert run(1, 2) != run(3, 2)
    assert run(1, 2) != run(1, 3)


@pytest.mark.parametrize("samples", [0, 1, 37, 120, 400])
@ORACLES
def test_a_budget_that_ends_first_is_a_typed_error_and_is_never_exceeded(make: MakeOracle, samples: int) -> None:
    oracle = make(small_problem(), seed=1, budget=Budget(samples=samples))
    with pytest.raises(BudgetExceededError) as raised:
        spanner_sampling(oracle, seed=1, settings=SMALL)
    assert raised.value.counter == "samples"
    assert oracle.ledger.samples <= samples


@ORACLES
@pytest.mark.parametrize("seed", range(4))
def test_a_run_costs_at_most_its_largest_cost(make: MakeOracle, seed: int) -> None:
    # N = ceil(4 * 12 * log(4/0.3)) = ceil(124.3) = 125
    assert largest_cost(SMALL) == 2 * 12 * 6 + 8 * (2 * 125 + 2)
    oracle = make(small_problem(seed), seed=seed)
    spanner_sampling(oracle, seed=seed, settings=SMALL)
    assert oracle.ledger.samples <= largest_cost(SMALL)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("make_problem", "settings"),
    [
        (random_problem, Settings(200, 45, 0.3, 4.0, 300, 300.0, 1e-3)),
        (partial(covered_needle_problem, coverage=2.0**12), Settings(300, 13510, 0.3, 1.0, 100, 90000.0, 1e-3)),
        (partial(covered_needle_problem, coverage=2.0**40), Settings(300, 2**42, 0.3, 1.0, 100, 2.0**45, 1e-3)),
    ],
    ids=["random", "covered needle 2^12", "covered needle 2^40"],
)
def test_learning_leaves_a_small_part_of_the_gap_of_the_base_policy(
    make_problem: Callable[[int], TabularProblem], settings: Settings, seed: int
) -> None:
    problem = make_problem(seed)
    run = spanner_sampling(counted_oracle(problem, seed=seed), seed=seed, settings=settings)
    assert 0.0 <= gap(problem, log_law(problem, run.policy)) < gap(problem, problem.log_base) / 5


# Stages


@ORACLES
@pytest.mark.parametrize("budget", [1000, 2500, BUDGET, 40_000])
def test_stages_double_the_coverage_share_delta_keep_the_data_and_fit_the_budget(make: MakeOracle, budget: int) -> None:
    asked: list[tuple[float, float]] = []

    def settings(coverage: float, delta: float) -> Settings:
        asked.append((coverage, delta))
        return stages(coverage, delta)

    oracle = make(small_problem(), seed=3, budget=Budget(samples=budget))
    ends: list[int] = []
    states = staged_rounds(oracle, seed=3, budget=budget, delta=0.5, settings=settings)
    for state in after_each_round(states):
        if state.phase == "exploration" and state.done % 5 == 0:
            ends.append(oracle.ledger.samples)
    run = state.run
    complete = len(ends)
    assert complete >= 1
    # One stage more was looked at, and did not fit.
    assert [coverage for coverage, _ in asked] == [2.0**stage for stage in range(complete + 1)]
    shares = [0.5 / ((stage + 1) * (stage + 2)) for stage in range(complete + 1)]
    assert np.allclose([delta for _, delta in asked], shares, rtol=1e-12)
    assert sum(delta for _, delta in asked) < 0.5
    for stage in range(complete):
        assert ([0, *ends][stage]) + largest_cost(stages(*asked[stage])) <= budget
    assert ends[-1] + largest_cost(stages(*asked[-1])) > budget
    assert oracle.ledger.samples == ends[-1] <= budget

    assert run.coverage == 2.0 ** (complete - 1)
    assert run.settings == stages(*asked[complete - 1])
    spanner, exploration = run.trace.spanner, run.trace.exploration
    assert len(spanner.tries) == 6 * complete
    assert exploration.rounds == 5 * complete
    assert spanner.nu == run.settings.nu
    for stage in range(complete):
        assert spanner.tries[6 * stage : 6 * (stage + 1)].max() <= 2 * 2**stage
        in_data = int((spanner.rounds < 6 * (stage + 1)).sum())
        assert exploration.spanner_sizes[5 * stage : 5 * (stage + 1)].tolist() == [in_data] * 5
    assert len(run.policy.components) == 5
    for component, theta in zip(run.policy.components, exploration.thetas[-5:], strict=True):
        assert isinstance(component, TruncatedSoftmax)
        assert np.array_equal(component.theta, theta)
        assert component.nu == run.settings.nu


def test_a_larger_budget_reaches_a_larger_coverage() -> None:
    reached = [
        staged_spanner_sampling(
            counted_oracle(small_problem(), seed=3), seed=3, budget=budget, delta=0.5, settings=stages
        ).coverage
        for budget in (1000, 10_000, 100_000, 10**12)
    ]
    assert None not in reached
    assert sorted(set(reached), key=lambda value: value or 0.0) == reached


def test_later_fits_of_a_staged_run_are_the_least_squares_on_data_of_all_stages() -> None:
    run = result(STAGED(literal_oracle(small_problem(), seed=3), seed=3))
    spanner, exploration = run.trace.spanner, run.trace.exploration
    assert exploration.rounds >= 15
    for index, (theta, size) in enumerate(zip(exploration.thetas, exploration.spanner_sizes, strict=True)):
        features = np.concatenate([spanner.vectors[:size], exploration.vectors[:index]])
        targets = np.concatenate([spanner.targets[:size], exploration.targets[:index]])
        assert np.allclose(theta, fit(features, targets, 1.0), rtol=1e-9, atol=1e-12)


def test_a_budget_below_the_first_stage_is_refused_and_names_what_it_costs() -> None:
    least = largest_cost(stages(1.0, 0.25))
    oracle = literal_oracle(small_problem(), seed=3)
    with pytest.raises(ArgumentError, match=rf"budget is {least - 1}.*{least}"):
        staged_spanner_sampling(oracle, seed=3, budget=least - 1, delta=0.5, settings=stages)
    assert oracle.ledger == Ledger()
    run = staged_spanner_sampling(oracle, seed=3, budget=least, delta=0.5, settings=stages)
    assert run.coverage == 1.0


@pytest.mark.parametrize(("name", "value"), [("nu", 0.7), ("ridge", 1.0)])
def test_stages_whose_nu_grows_or_whose_ridge_changes_are_refused(name: str, value: Any) -> None:
    def settings(coverage: float, delta: float) -> Settings:
        return dataclasses.replace(stages(coverage, delta), **({name: value} if coverage > 1 else {}))

    with pytest.raises(ArgumentError, match=f"{name} of a stage is {value}"):
        staged_spanner_sampling(
            literal_oracle(small_problem(), seed=3), seed=3, budget=BUDGET, delta=0.5, settings=settings
        )


@pytest.mark.parametrize(("name", "value"), [("budget", 0), ("budget", 1.5), ("delta", 0.0), ("delta", 1.0)])
def test_staged_arguments_out_of_range_are_refused(name: str, value: float) -> None:
    arguments: dict[str, Any] = {"budget": BUDGET, "delta": 0.5, name: value}
    with pytest.raises(ArgumentError, match=f"{name} is {value}"):
        staged_spanner_sampling(literal_oracle(small_problem(), seed=3), seed=3, settings=stages, **arguments)


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompts", 0),
        ("prompts", 1.5),
        ("prompts", True),
        ("pairs_per_prompt", 0),
        ("nu", 0.0),
        ("nu", -0.1),
        ("nu", math.nan),
        ("nu", math.inf),
        ("ridge", 0.0),
        ("ridge", math.nan),
        ("exploration_rounds", 0),
        ("rejection_multiplier", 0.999),
        ("rejection_multiplier", math.inf),
        ("rejection_multiplier", math.nan),
        ("rejection_failure", 0.0),
        ("rejection_failure", 1.0),
        ("rejection_failure", math.nan),
    ],
)
def test_settings_refuse_what_is_out_of_range_and_name_it(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is {value}"):
        dataclasses.replace(SMALL, **{name: value})
