"""SpannerSampling as a whole: outputs, resumption, budgets, and what it leaves of the gap."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pytest
from small_runs import ORACLES, RIDGE, STAGED, MakeOracle, after_each_round, base_draw, result, small_problem

from spanver.errors import ArgumentError, BudgetExceededError
from spanver.exact.tabular import gap, log_law
from spanver.learners.exploration import Exploration
from spanver.learners.race_sampler import race_sample
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner import Spanner
from spanver.learners.spanner_sampling import (
    SamplingState,
    Settings,
    Trace,
    largest_cost,
    sampling_rounds,
    spanner_sampling,
)
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import ParameterSet
from spanver.policies import TruncatedSoftmax
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray, Prompt, Response, UncertainPairRule

SMALL = Settings(
    prompts=12,
    pairs_per_prompt=6,
    nu=0.4,
    ridge=RIDGE,
    exploration_rounds=8,
    rejection_multiplier=12.0,
    rejection_failure=0.3,
)


Learn: TypeAlias = Callable[..., Iterator[SamplingState]]


def contents(value: object) -> object:
    """Everything in a dataclass, arrays down to dtype and bits."""
    if dataclasses.is_dataclass(value):
        return [(field.name, contents(getattr(value, field.name))) for field in dataclasses.fields(value)]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return [contents(item) for item in value]
    return value


@ORACLES
def test_one_response_and_one_dimension_leave_nothing_to_accept_or_to_learn(make: MakeOracle) -> None:
    problem = random_problem(0, prompts=1, responses=1, dimension=1)
    run = spanner_sampling(make(problem, seed=0), seed=0, settings=SMALL)
    assert run.trace.spanner.size == 0
    assert run.trace.spanner.tries.tolist() == [6] * 12
    assert not run.trace.exploration.thetas.any()
    assert gap(problem, log_law(problem, run.policy)) == 0.0


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
        """A third party's builder: draws one pair at a time, and inverts Sigma afresh."""
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

    def zero(features: FloatArray, targets: FloatArray, parameters: ParameterSet, /) -> FloatArray:
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


@ORACLES
def test_sampling_rounds_show_every_round_of_both_phases_with_the_trace_so_far(make: MakeOracle) -> None:
    states = sampling_rounds(make(small_problem(), seed=6), seed=7, settings=SMALL)
    seen = [
        (state.phase, state.done, len(state.trace.spanner.tries), state.trace.exploration.rounds) for state in states
    ]
    expected = [("spanner", done, done, 0) for done in range(13)]
    assert seen == expected + [("exploration", done, 12, done) for done in range(9)]


WHOLE = partial(sampling_rounds, settings=SMALL)


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
