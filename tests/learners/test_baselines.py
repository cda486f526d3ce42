"""The baselines learn, cost what their formulas say, and ask what they state: rebuilt from records of every answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pytest

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError
from spanver.exact.tabular import gap, log_law
from spanver.kernels import fit
from spanver.learners.best_of_n import best_of_n
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.losses import Loss, QuadraticModel, logistic_fit, minimise_on_ball
from spanver.learners.online_dpo import online_dpo
from spanver.learners.passive import passive_learner
from spanver.learners.rounds import PROPER, BaselineRun
from spanver.learners.xpo import xpo
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles import counted_oracle, literal_oracle
from spanver.policies import BestOfN, LinearSoftmax
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.max_k_dnf import max_k_dnf_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray, Response, Responses
from spanver.verification.transcript import Query, RecordingOracle, recount

Learn: TypeAlias = Callable[..., BaselineRun]

PROBLEM = random_problem(3, prompts=3, responses=8, dimension=3, noise=0.5)
SAMPLES = 64


def known_base(problem: TabularProblem) -> Callable[[Any], FloatArray]:
    return lambda prompt: problem.log_base[prompt]


FULL: Mapping[str, Any] = {"partition": "enumerate", "log_base": known_base(PROBLEM)}
LEARNERS: dict[str, tuple[Learn, dict[str, Any]]] = {
    "reference": (passive_learner, {}),
    "online, rewards": (online_dpo, {}),
    "online, preferences": (online_dpo, {"feedback": "preference"}),
    "xpo, rewards": (xpo, {"alpha": 0.005, "partition_samples": SAMPLES}),
    "xpo, preferences": (xpo, {"alpha": 0.005, "partition_samples": SAMPLES, "feedback": "preference"}),
    "xpo, listed, rewards": (xpo, {"alpha": 0.005, **FULL}),
    "xpo, listed, preferences": (xpo, {"alpha": 0.005, "feedback": "preference", **FULL}),
    "elliptical": (elliptical_enumeration, {"ridge": 1.0}),
    "best of n": (best_of_n, {"count": 4}),
}
EVERY = pytest.mark.parametrize("name", LEARNERS)


def learned(name: str, oracle: Oracle, *, rounds: int, seed: int = 0) -> BaselineRun:
    learn, options = LEARNERS[name]
    return learn(oracle, rounds=rounds, seed=seed, **options)


def recorded(name: str, *, rounds: int, seed: int = 1) -> tuple[BaselineRun, list[Query]]:
    oracle = RecordingOracle(literal_oracle(PROBLEM, seed=seed, full_table=True))
    return learned(name, oracle, rounds=rounds), oracle.queries


def per_round(asked: list[Query]) -> list[list[Query]]:
    rounds: list[list[Query]] = []
    for entry in asked:
        if entry.name == "prompt":
            rounds.append([])
        rounds[-1].append(entry)
    return rounds


# What they learn


@EVERY
@pytest.mark.parametrize("make", [literal_oracle, counted_oracle])
def test_every_baseline_learns_where_the_coverage_is_mild(name: str, make: Callable[..., Oracle]) -> None:
    run = learned(name, make(PROBLEM, seed=1, full_table=True), rounds=400)
    base = gap(PROBLEM, PROBLEM.log_base)
    assert base > 0.3
    assert gap(PROBLEM, log_law(PROBLEM, LinearSoftmax(run.policy.theta))) < 0.1 * base
    assert isinstance(run.policy, BestOfN if name == "best of n" else LinearSoftmax)


def test_best_of_n_has_the_data_and_parameter_of_the_reference_learner_and_earns_more_than_the_base() -> None:
    run, asked = recorded("best of n", rounds=200)
    reference, same = recorded("reference", rounds=200)
    assert isinstance(run.policy, BestOfN)
    assert run.policy.count == 4
    assert recount(asked) == recount(same)
    for one, two in ((run.policy.theta, reference.policy.theta), (run.vectors, reference.vectors)):
        assert np.array_equal(one, two)
    earned = [
        float(PROBLEM.prompt_law @ (np.exp(law) * PROBLEM.reward).sum(axis=1))
        for law in (log_law(PROBLEM, run.policy), PROBLEM.log_base)
    ]
    assert earned[0] > earned[1] + 0.3


def test_data_of_elliptical_enumeration_do_not_depend_on_the_coverage_and_base_pairs_do() -> None:
    runs, gaps = [], []
    for coverage in (2.0**4, 2.0**40):
        problem = covered_needle_problem(5, coverage=coverage)
        oracle = literal_oracle(problem, seed=0, full_table=True)
        run = elliptical_enumeration(oracle, rounds=40, ridge=1.0, seed=0)
        assert oracle.ledger == Ledger(rewards=80, enumerated=40 * problem.responses)
        runs.append(run)
        gaps.append(gap(problem, log_law(problem, run.policy)))
    assert np.array_equal(runs[0].vectors, runs[1].vectors)
    assert max(gaps) < 0.01
    passive = passive_learner(literal_oracle(problem, seed=0), rounds=40, seed=0)
    assert gap(problem, log_law(problem, passive.policy)) == pytest.approx(gap(problem, problem.log_base), rel=1e-6)


# What they cost


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
def test_the_end_of_a_budget_is_told(name: str) -> None:
    oracle = literal_oracle(PROBLEM, seed=0, full_table=True, budget=Budget(rewards=5))
    with pytest.raises(BudgetExceededError):
        learned(name, oracle, rounds=6)
    assert oracle.ledger.rewards == 5


# What they ask


def is_proper(asked: list[Query], thetas: FloatArray) -> bool:
    """Whether each reward was asked of a response drawn in its round from the base policy or that of `theta_t`."""
    for entries, theta in zip(per_round(asked), thetas, strict=True):
        drawn: list[object] = []
        for entry in entries[1:]:
            if entry.name == "sample":
                of_round = entry.arguments[1] is None or np.array_equal(entry.arguments[1], theta)
                drawn += entry.answer.ids if of_round else ()
            if entry.name in ("reward", "compare") and not set(entry.arguments) <= set(drawn):
                return False
    return True


@EVERY
def test_learners_are_proper_or_not_as_stated(name: str) -> None:
    run, asked = recorded(name, rounds=25)
    assert is_proper(asked, run.thetas) == PROPER[LEARNERS[name][0].__name__]


def test_every_learner_says_whether_it_is_proper() -> None:
    assert set(PROPER) == {learn.__name__ for learn, _ in LEARNERS.values()}


@EVERY
def test_data_and_questions_of_every_round_are_those_stated(name: str) -> None:
    run, asked = recorded(name, rounds=12)
    for index, entries in enumerate(per_round(asked)):
        prompt = entries[0].prompt
        assert {entry.prompt for entry in entries} == {prompt}
        draws = [entry for entry in entries if entry.name == "sample"]
        counts = [entry.arguments[0] for entry in draws]
        of = ["base" if entry.arguments[1] is None else "theta" for entry in draws]
        for entry in draws:
            assert entry.arguments[1] is None or np.array_equal(entry.arguments[1], run.thetas[index])
        expected = {"online": ([2], ["theta"]), "xpo": ([1, 1], ["theta", "base"]), "elliptical": ([], [])}
        assert (counts, of) == expected.get(name.split(maxsplit=1)[0].rstrip(","), ([2], ["base"]))
        told = [entry for entry in entries if entry.name in ("reward", "compare")]
        ids = [response for entry in told for response in entry.arguments]
        if name != "elliptical":
            assert ids == [response for entry in draws for response in entry.answer.ids]
        one, two = (PROBLEM.features[int(prompt), place] for place in ids)
        assert np.array_equal(run.vectors[index], one - two)
        label = told[0].answer if len(told) == 2 else 2.0 * told[0].answer - 1.0
        assert run.targets[index] == (label - told[1].answer if len(told) == 2 else label)


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
        expected = logistic_fit(*data, PROBLEM.radius) if "preferences" in name else fit(*data, PROBLEM.radius)
        assert run.thetas[count] == pytest.approx(expected, abs=1e-6)


@EVERY
def test_the_same_luck_gives_the_same_run_and_other_luck_another(name: str) -> None:
    run, again = recorded(name, rounds=15)[0], recorded(name, rounds=15)[0]
    other = recorded(name, rounds=15, seed=2)[0]
    for field in ("thetas", "vectors", "targets"):
        assert getattr(run, field).tobytes() == getattr(again, field).tobytes()
        assert getattr(run, field).flags.writeable is False
    assert run.policy.theta.tobytes() == again.policy.theta.tobytes()
    assert not np.array_equal(run.thetas, other.thetas)


def test_elliptical_enumeration_asks_about_the_pair_of_largest_norm() -> None:
    problem = random_problem(8, prompts=2, responses=20, dimension=5)
    oracle = RecordingOracle(literal_oracle(problem, seed=0, full_table=True))
    run = elliptical_enumeration(oracle, rounds=40, ridge=0.1, seed=0)
    sigma = 0.1 * np.eye(5)
    for vector, entries in zip(run.vectors, per_round(oracle.queries), strict=True):
        features = problem.features[int(entries[0].prompt)]
        norms = [(one - two) @ np.linalg.solve(sigma, one - two) for one in features for two in features]
        assert vector @ np.linalg.solve(sigma, vector) == pytest.approx(max(norms), rel=1e-12)
        sigma += np.outer(vector, vector)


# XPO


def two_responses(base: float, beta: float = 1.0) -> TabularProblem:
    """A typical response at +1/2 and a rare one at -1/2, of equal rewards."""
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[base, 1.0 - base]]),
        features=np.array([[[0.5], [-0.5]]]),
        reward=np.zeros((1, 2)),
        beta=beta,
        radius=2.0,
        theta_star=np.zeros(1),
    )


def xpo_of(problem: TabularProblem, *, seed: int = 0, **options: Any) -> tuple[BaselineRun, list[Query]]:
    oracle = RecordingOracle(literal_oracle(problem, seed=seed, full_table=True))
    given: dict[str, Any] = (
        {"partition": "enumerate", "log_base": known_base(problem)} if "partition" not in options else {}
    )
    return xpo(oracle, seed=0, **given, **options), oracle.queries


@pytest.mark.parametrize("feedback", ["reward", "preference"])
def test_optimism_moves_away_from_a_typical_response(feedback: str) -> None:
    # Both responses of the first round are the typical one: the data say nothing, and log pi_theta(typical) alone
    # falls as theta falls, down to the end of the ball. There the odds of the rare response are e^2 times what they
    # were.
    problem = two_responses(0.9999)
    run, asked = xpo_of(problem, rounds=1, alpha=0.1, feedback=feedback)
    assert [entry.answer.ids for entry in asked if entry.name == "sample"] == [(0,), (0,)]
    assert run.policy.theta == pytest.approx([-2.0], abs=1e-12)
    law = np.exp(log_law(problem, run.policy))[0]
    assert law[1] / law[0] == pytest.approx(math.exp(2.0) * 0.0001 / 0.9999, rel=1e-12)
    still, _ = xpo_of(problem, rounds=1, alpha=0.0, feedback=feedback)
    assert still.policy.theta == pytest.approx([0.0], abs=1e-12)


@pytest.mark.parametrize("feedback", ["reward", "preference"])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_xpo_minimises_the_loss_and_alpha_times_the_likelihood_of_its_second_responses(
    feedback: str, alpha: float
) -> None:
    run, asked = xpo_of(PROBLEM, rounds=30, alpha=alpha, feedback=feedback, seed=4)
    second = [(int(entries[0].prompt), entries[2].answer.ids[0]) for entries in per_round(asked)]

    def value(theta: FloatArray) -> float:
        total = 0.0
        for (prompt, response), vector, target in zip(second, run.vectors, run.targets, strict=True):
            margin = float(theta @ vector)
            total += (margin - target) ** 2 if feedback == "reward" else math.log1p(math.exp(-target * margin))
            weights = np.exp(PROBLEM.log_base[prompt] + PROBLEM.features[prompt] @ theta / PROBLEM.beta)
            total += alpha * math.log(weights[response] / weights.sum())
        return total

    found = value(run.policy.theta)
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((4000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    others = directions * generator.random((4000, 1)) ** (1 / 3)
    assert found <= min(value(theta) for theta in others)
    near = run.policy.theta + 1e-3 * directions[:500]
    assert found <= min(value(theta / max(1.0, float(np.linalg.norm(theta)))) for theta in near) + 1e-12
    without = (
        logistic_fit(run.vectors, run.targets, 1.0) if feedback == "preference" else fit(run.vectors, run.targets, 1.0)
    )
    assert found < value(without) - 1e-4


@pytest.mark.parametrize("feedback", ["reward", "preference"])
def test_the_sampled_partition_is_the_listed_one_in_the_limit(feedback: str) -> None:
    def run(**options: Any) -> FloatArray:
        oracle = counted_oracle(PROBLEM, seed=3, full_table=True)
        thetas: FloatArray = xpo(oracle, rounds=40, alpha=0.05, seed=0, feedback=feedback, **options).thetas  # type: ignore[arg-type]
        return thetas

    listed = run(**FULL)
    assert run(partition_samples=2**50) == pytest.approx(listed, abs=1e-4)
    assert np.abs(run(partition_samples=4) - listed).max() > 0.01


def test_responses_outside_the_base_support_are_no_part_of_the_partition() -> None:
    problem = random_problem(1, prompts=2, responses=6, dimension=2, zeros=0.5)
    run, _ = xpo_of(problem, rounds=20, alpha=0.05)
    removed = TabularProblem(
        prompt_law=problem.prompt_law,
        log_base=problem.log_base,
        features=np.where(np.isfinite(problem.log_base)[..., None], problem.features, 0.0),
        reward=problem.reward,
        beta=problem.beta,
        radius=problem.radius,
        reward_range=problem.reward_range,
        reward_low=problem.reward_low,
        noise=problem.noise,
    )
    assert np.array_equal(run.thetas, xpo_of(removed, rounds=20, alpha=0.05)[0].thetas)


def test_refits_stay_small_also_where_rewards_are_realized_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counting(loss: Loss, radius: float, start: FloatArray) -> FloatArray:
        def watched(theta: FloatArray) -> QuadraticModel:
            nonlocal calls
            calls += 1
            return loss(theta)

        return minimise_on_ball(watched, radius, start)

    monkeypatch.setattr("spanver.learners.rounds.minimise_on_ball", counting)
    run, _ = xpo_of(max_k_dnf_problem(), seed=1, rounds=100, alpha=0.01)
    assert len(run.thetas) == 100
    assert calls <= 20 * 100


# Refusals


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


def test_the_least_certain_pair_is_found_in_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = recorded("elliptical", rounds=10)
    monkeypatch.setattr("spanver.learners.elliptical_enumeration._LARGEST_BLOCK", 16)
    blocks, _ = recorded("elliptical", rounds=10)
    assert np.abs(whole.vectors) == pytest.approx(np.abs(blocks.vectors), abs=0.0)


def test_one_response_and_nothing_to_learn_leave_the_base_policy() -> None:
    problem = random_problem(0, prompts=1, responses=1, dimension=1)
    for learn, options in LEARNERS.values():
        given = {**options, "log_base": known_base(problem)} if "log_base" in options else options
        oracle = literal_oracle(problem, seed=0, full_table=True)
        run = learn(oracle, rounds=3, seed=0, **given)
        assert not run.thetas.any()
        assert isinstance(oracle.sample(oracle.prompt(), 1), Responses)
        assert isinstance(oracle.sample(oracle.prompt(), 1)[0], Response)
