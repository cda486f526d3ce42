"""All baselines learn, cost what their formulas say, and query what they state, by records of every answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from baseline_runs import EVERY, LEARNERS, PROBLEM, SAMPLES, Learn, known_base, learned, per_round, recorded
from own_sets import Diamond

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError
from spanver.exact.tabular import gap, log_law
from spanver.kernels import fit
from spanver.learners.best_of_n import best_of_n
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.least_squares import fit_on
from spanver.learners.losses import logistic_fit
from spanver.learners.online_dpo import online_dpo
from spanver.learners.passive import passive_learner
from spanver.learners.rounds import PROPER
from spanver.learners.xpo import xpo
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import MARGIN, Ball, Box, Shape, distance
from spanver.policies import BestOfN, LinearSoftmax
from spanver.problems.families.random_tables import random_problem
from spanver.runs.baselines import BASELINES
from spanver.values import Response, Responses
from spanver.verification.transcript import RecordingOracle, first_improper, recount


@EVERY
@pytest.mark.parametrize("make", [literal_oracle, counted_oracle])
def test_every_baseline_learns_where_the_coverage_is_mild(name: str, make: Callable[..., Oracle]) -> None:
    run = learned(name, make(PROBLEM, seed=1, full_table=True), rounds=400)
    base = gap(PROBLEM, PROBLEM.log_base)
    assert base > 0.3
    assert gap(PROBLEM, log_law(PROBLEM, LinearSoftmax(run.policy.theta))) < 0.1 * base
    assert isinstance(run.policy, BestOfN if name == "best of n" else LinearSoftmax)


@EVERY
@pytest.mark.parametrize("rounds", [1, 7])
def test_ledgers_are_those_of_the_formulas(name: str, rounds: int) -> None:
    oracle = RecordingOracle(literal_oracle(PROBLEM, seed=2, full_table=True))
    learned(name, oracle, rounds=rounds)
    distinct = len({entry.prompt for entry in oracle.queries})
    samples, enumerated = 2 * rounds, 0
    rewards = rounds if "preferences" in name else 2 * rounds
    if name == "elliptical":
        samples, enumerated = 0, rounds * PROBLEM.responses
    elif "listed" in name:
        enumerated = distinct * PROBLEM.responses
    elif "xpo" in name:
        samples += distinct * SAMPLES
    assert oracle.ledger == recount(oracle.queries) == Ledger(samples, rewards, enumerated)
    assert sum(entry.name == "prompt" for entry in oracle.queries) == rounds


@EVERY
def test_the_end_of_a_budget_is_raised(name: str) -> None:
    oracle = literal_oracle(PROBLEM, seed=0, full_table=True, budget=Budget(rewards=5))
    with pytest.raises(BudgetExceededError):
        learned(name, oracle, rounds=6)
    assert oracle.ledger.rewards == 5


@EVERY
def test_learners_are_proper_or_not_as_stated(name: str) -> None:
    _, queries = recorded(name, rounds=25)
    assert (first_improper(queries) is None) == PROPER[LEARNERS[name][0].__name__]


def test_every_learner_says_whether_it_is_proper() -> None:
    # Exhaustive search, whose first parameter is not 0, has tests of its own.
    assert set(PROPER) == {learn.__name__ for learn, _ in LEARNERS.values()} | {"exhaustive_search"}
    assert set(PROPER) == {each.learner.__name__ for each in BASELINES.values()}


@EVERY
def test_data_and_queries_of_every_round_are_those_stated(name: str) -> None:
    run, queries = recorded(name, rounds=12)
    for index, entries in enumerate(per_round(queries)):
        prompt = entries[0].prompt
        assert {entry.prompt for entry in entries} == {prompt}
        draws = [entry for entry in entries if entry.name == "sample"]
        counts = [entry.arguments[0] for entry in draws]
        of = ["base" if entry.arguments[1] is None else "theta" for entry in draws]
        for entry in draws:
            assert entry.arguments[1] is None or np.array_equal(entry.arguments[1], run.thetas[index])
        expected = {"online": ([2], ["theta"]), "xpo": ([1, 1], ["theta", "base"]), "elliptical": ([], [])}
        assert (counts, of) == expected.get(name.split(maxsplit=1)[0].rstrip(","), ([2], ["base"]))
        rewarded = [entry for entry in entries if entry.name in ("reward", "compare")]
        ids = [response for entry in rewarded for response in entry.arguments]
        if name != "elliptical":
            assert ids == [response for entry in draws for response in entry.answer.ids]
        one, two = (PROBLEM.features[int(prompt), place] for place in ids)
        assert np.array_equal(run.vectors[index], one - two)
        label = rewarded[0].answer if len(rewarded) == 2 else 2.0 * rewarded[0].answer - 1.0
        assert run.targets[index] == (label - rewarded[1].answer if len(rewarded) == 2 else label)


@EVERY
def test_theta_is_fixed_by_the_data_of_the_rounds_before(name: str) -> None:
    run, _ = recorded(name, rounds=20)
    longer, _ = recorded(name, rounds=30)
    assert np.array_equal(run.thetas, longer.thetas[:20])
    assert np.array_equal(run.policy.theta, longer.thetas[20])
    assert not run.thetas[0].any()
    if name.startswith("xpo"):
        return
    for count in (1, 2, 5, 19):
        data = run.vectors[:count], run.targets[:count]
        expected = logistic_fit(*data, Ball(PROBLEM.radius)) if "preferences" in name else fit(*data, PROBLEM.radius)
        assert run.thetas[count] == pytest.approx(expected, abs=1e-6)


@EVERY
def test_the_same_seed_gives_the_same_run_and_another_seed_another(name: str) -> None:
    run, again = recorded(name, rounds=15)[0], recorded(name, rounds=15)[0]
    other = recorded(name, rounds=15, seed=2)[0]
    for field in ("thetas", "vectors", "targets"):
        assert getattr(run, field).tobytes() == getattr(again, field).tobytes()
        assert getattr(run, field).flags.writeable is False
    assert run.policy.theta.tobytes() == again.policy.theta.tobytes()
    assert not np.array_equal(run.thetas, other.thetas)


@pytest.mark.parametrize(
    ("learn", "options", "sentence"),
    [
        (passive_learner, {"rounds": 0}, "rounds is 0"),
        (online_dpo, {"rounds": 1.5}, "rounds is 1.5"),
        (online_dpo, {"feedback": "praise"}, "feedback is 'praise'"),
        (xpo, {"alpha": -1.0}, "alpha is -1.0"),
        (xpo, {"alpha": math.nan}, "alpha is nan"),
        (xpo, {"alpha": 1.0, "partition": "guess"}, "partition is 'guess'"),
        (xpo, {"alpha": 1.0, "partition_samples": 0}, "partition_samples is 0"),
        (xpo, {"alpha": 1.0, "partition": "enumerate"}, "log_base is None"),
        (xpo, {"alpha": 1.0, "log_base": known_base(PROBLEM)}, "log_base is <function"),
        (xpo, {"alpha": 1.0, "feedback": "praise"}, "feedback is 'praise'"),
        (elliptical_enumeration, {"ridge": 0.0}, "ridge is 0.0"),
        (best_of_n, {"count": 0}, "count is 0"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_asked(
    learn: Learn, options: dict[str, Any], sentence: str
) -> None:
    oracle = RecordingOracle(literal_oracle(PROBLEM, seed=0, full_table=True))
    with pytest.raises(ArgumentError, match="but it must be") as refusal:
        learn(oracle, seed=0, **{"rounds": 3, **options})
    assert str(refusal.value).startswith(sentence)
    assert oracle.queries == []


def test_learners_of_the_full_table_model_need_an_oracle_that_lists() -> None:
    for name in ("elliptical", "xpo, listed, rewards"):
        with pytest.raises(QuestionRefusedError):
            learned(name, literal_oracle(PROBLEM, seed=0), rounds=2)


def test_one_response_and_nothing_to_learn_leave_the_base_policy() -> None:
    problem = random_problem(0, prompts=1, responses=1, dimension=1)
    for learn, options in LEARNERS.values():
        given = {**options, "log_base": known_base(problem)} if "log_base" in options else options
        oracle = literal_oracle(problem, seed=0, full_table=True)
        run = learn(oracle, rounds=3, seed=0, **given)
        assert not run.thetas.any()
        assert isinstance(oracle.sample(oracle.prompt(), 1), Responses)
        assert isinstance(oracle.sample(oracle.prompt(), 1)[0], Response)


@EVERY
@pytest.mark.parametrize("shape", [Box, Diamond])
def test_on_a_problem_with_another_set_every_parameter_is_the_fit_on_it(name: str, shape: Shape) -> None:
    problem = dataclasses.replace(PROBLEM, shape=shape, radius=0.5, theta_star=None)
    oracle = literal_oracle(problem, seed=1, full_table=True)  # it refuses a theta outside of the set
    run = learned(name, oracle, rounds=20)
    parameters = shape(0.5)
    for count, theta in enumerate([*run.thetas, run.policy.theta]):
        assert distance(parameters, theta) <= MARGIN * 0.5
        if name.startswith("xpo"):
            continue
        data = run.vectors[:count], run.targets[:count]
        expected = logistic_fit(*data, parameters) if "preferences" in name else fit_on(*data, parameters)
        assert theta == pytest.approx(expected, abs=1e-6)
    assert float(np.linalg.norm(theta)) > 0.25, "no constraint was active"
