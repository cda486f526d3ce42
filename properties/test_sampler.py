"""The sampler A1 and what replaces it (R1-R3, R5, R10, C-A1)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import reject
from hypothesis import strategies as st

from spanver.errors import NotJudgedError
from spanver.exact.samplers import sampler_law
from spanver.guarantees.rounding import gamma, log_softmax_error
from spanver.guarantees.sampler import sampler_multiplier, sampler_trials
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import LinearScore
from spanver.verification.check import Check, expect
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import GENEROUS_BUDGET, RecordingOracle

from . import sampler_mistakes
from .designs import named
from .drawn import table_of, with_constant
from .piloted import LAST, drawn_before_trials, expect_threshold, heavy_and_light, rules_of, seed_of_rejections
from .rounded import assert_near
from .sampled import (
    SAMPLED,
    between_experiment,
    call_once,
    coverage_of,
    expect_cost,
    fresh_oracle,
    law_of_outputs,
    outputs,
    target_of,
    weights_of,
)

NEGLIGIBLE = 2e-7  # of all instances together, a fifth of the default alpha
DELTA = 0.01  # of calls at large coverage
MODERATE = table_of([0.5, 0.3, 0.2], [1.0, 6.0, 0.2])
EVEN = table_of([0.75, 0.25], [1.0, 8.0])
# Nearly all of the target is on a rare response, and nearly all of the rest on a less rare one: any other mean than the
# one of the weights lets the one pass for the other, or accepts next to nothing.
RARE = table_of([0.93, 0.053, 0.017], [1.0, 100.0, 6000.0])
RARER = table_of([0.95, 0.04, 0.01], [1.0, 100.0, 10_000.0])


PEAKED = table_of([0.9, 0.08, 0.02], [1.0, 1e6, 1e12])


@pytest.mark.guarantee("R1", needs=["softmax_sample"])
@designed(
    [{"problem": MODERATE, "multiplier": 8.0, "failure": 0.3}], ["sampler-twice-the-trials", "sampler-two-pilots"]
)
@instances(
    problem=tabular_problems(), multiplier=st.sampled_from([1.0, 2.5, 8.0]), failure=st.sampled_from([0.9, 0.3, 0.01])
)
def test_a_call_costs_at_most_twice_its_pilot_and_one(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    expect_cost(check, "softmax_sample", problem, multiplier, failure)


@pytest.mark.guarantee("C-A1", needs=["softmax_sample"])
@designed(
    [{"multiplier": 2.5, "failure": 0.3}],
    named("sampler", "half-the-trials pilots-first pilots-best pilots-any first-rejected"),
)
@instances(multiplier=st.sampled_from([1.0, 2.5, 8.0]), failure=st.sampled_from([0.9, 0.3]))
def test_a_call_gives_up_after_all_trials_and_returns_a_fresh_draw(
    check: Check, multiplier: float, failure: float
) -> None:
    """Too rare for samples to show it where R3 holds: the oracle's randomness is chosen so that all trials fail."""
    trials = sampler_trials(multiplier, failure)
    problem = heavy_and_light(trials)
    seed = seed_of_rejections(problem, trials, check.seed("oracle"))
    oracle = RecordingOracle(literal_oracle(problem, seed=seed, budget=GENEROUS_BUDGET))
    _, response = call_once(check, "softmax_sample", oracle, problem, multiplier, failure)
    searched = any(query.name == "sample_until" for query in oracle.queries)
    possible = searched or trials * check.profile.examples * check.subject.unit <= NEGLIGIBLE
    check.judgeable(possible, f"a uniform number of {check.subject.arithmetic} may be 0, which accepts any trial")
    if possible:
        cost = oracle.ledger.samples
        right = f"2 N + 1 = {2 * trials + 1}: a pilot of N, N trials of which A1 accepts none here, and a last draw"
        expect(cost == 2 * trials + 1, f"samples of a call (M = {multiplier:g}, delta = {failure:g})", cost, right)
        expect(response == LAST, "response after all trials failed", response, f"{LAST}, the one draw after them")


@pytest.mark.guarantee("C-A1", needs=["softmax_sample"])
@designed(
    [{"problem": MODERATE, "multiplier": 2.5, "failure": 0.3}, {"problem": RARE, "multiplier": 8.0, "failure": 0.01}],
    [
        "sampler-no-normaliser",
        "sampler-no-multiplier",
        "sampler-multiplier-squared",
        "sampler-mean-of-logs",
        "sampler-mean-of-distinct",
        "sampler-median",
        "sampler-largest",
        "sampler-half-pilot",
        "sampler-no-four",
        "sampler-log-of-failure",
        "sampler-wrong-sign",
        "sampler-without-beta",
        "sampler-weight-squared",
    ],
)
@instances(
    problem=tabular_problems(min_responses=2),
    multiplier=st.sampled_from([1.0, 2.5, 8.0]),
    failure=st.sampled_from([0.9, 0.3]),
)
def test_trials_accept_by_the_weight_over_multiplier_times_pilot_mean(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    oracle = fresh_oracle(check, problem)
    prompt, _ = call_once(check, "softmax_sample", oracle, problem, multiplier, failure)
    features = problem.features[int(prompt)]
    pilot, scores = drawn_before_trials(oracle.queries, problem.responses), features @ realizing(problem)
    for rule in rules_of(check, oracle.queries):
        given = {"beta": problem.beta, "multiplier": multiplier, "failure": failure}
        expect_threshold(check, rule, features, pilot, scores, **given)


@pytest.mark.guarantee("C-A1", needs=["softmax_sample"])
@experiments(problem=SAMPLED, failure=st.sampled_from([0.9, 0.5]))
def test_outputs_have_the_exact_law_with_clipping_and_fallback(
    check: Check, problem: TabularProblem, failure: float
) -> Experiment:
    """All pilots are enumerated."""
    multiplier = sampler_multiplier(coverage_of(problem))
    scores = problem.features[0] @ realizing(problem)
    law = sampler_law(np.exp(problem.log_base[0]), scores, problem.beta, multiplier, failure).law
    return law_of_outputs(check, "softmax_sample", problem, law / law.sum(), multiplier=multiplier, failure=failure)


@pytest.mark.guarantee("R2", needs=["softmax_sample"])
@experiments(problem=SAMPLED, failure=st.sampled_from([0.01, 0.05]))
def test_accepted_responses_have_the_softmax_law(check: Check, problem: TabularProblem, failure: float) -> Experiment:
    # For every pilot M Z is at least every weight.
    weights = weights_of(problem)
    multiplier = max(sampler_multiplier(coverage_of(problem)), float(np.ceil(weights.max() / weights.min())))
    return law_of_outputs(
        check, "softmax_sample", problem, target_of(problem), multiplier=multiplier, failure=failure, tolerated=failure
    )


@pytest.mark.guarantee("R3", needs=["softmax_sample"])
@designed(
    [
        {"problem": MODERATE, "failure": 0.01, "constant": 6},
        {"problem": RARE, "failure": 0.1, "constant": -6},
        {"problem": EVEN, "failure": 0.01, "constant": -6},
        {"problem": RARER, "failure": 0.1, "constant": -6},
    ],
    sampler_mistakes.EFFECTS,
)
@experiments(problem=SAMPLED, failure=st.sampled_from([0.01, 0.1]), constant=st.sampled_from([0, 6, -6]))
def test_outputs_are_within_the_failure_probability_of_the_target(
    check: Check, problem: TabularProblem, failure: float, constant: int
) -> Experiment:
    """The least multiplier that is promised, and scores of two normalisers by turns."""
    multiplier = sampler_multiplier(coverage_of(problem))
    return law_of_outputs(
        check,
        "softmax_sample",
        problem,
        target_of(problem),
        multiplier=multiplier,
        failure=failure,
        constant=constant,
        tolerated=failure,
    )


@pytest.mark.guarantee("R3", needs=["softmax_sample"])
@designed([{"log_coverage": 20}, {"log_coverage": 12}], {"sampler-clipped-weights": sampler_mistakes.clipped_weights})
@experiments(log_coverage=st.integers(12, 28))
def test_outputs_are_as_near_to_the_target_at_large_coverage(check: Check, log_coverage: int) -> Experiment:
    """Half of the target is on a response of the base probability `2^-log_coverage/2`."""
    probe = fresh_oracle(check, RARER)
    call_once(check, "softmax_sample", probe, RARER, sampler_multiplier(coverage_of(RARER)), DELTA)
    if sum(query.samples for query in probe.queries if query.name == "sample") > 1:
        raise NotJudgedError("a sampler that draws every sample itself cannot be called at large coverage")
    problem = sampler_mistakes.half_on_rare(log_coverage)
    multiplier = sampler_multiplier(coverage_of(problem))
    law, given = target_of(problem), {"multiplier": multiplier, "failure": DELTA, "tolerated": DELTA}
    return law_of_outputs(check, "softmax_sample", problem, law, counted=True, **given)


@pytest.mark.guarantee("R10", needs=["softmax_sample"])
@designed(
    [
        {"problem": problem, "multiplier": 1.0, "failure": 0.01, "cut": 0}
        for problem in (
            # What is accepted too rarely shows on a heavy response that is likely, what is too often on a rare one.
            table_of([0.3, 0.7], [1.0, 1.5]),
            table_of([0.1, 0.9], [1.0, 1.3]),
            table_of([0.8, 0.2], [1.0, 4.0]),
            table_of([0.9, 0.1], [1.0, 9.0]),
        )
    ],
    sampler_mistakes.EFFECTS_OF_CLIPPING,
)
@experiments(
    problem=SAMPLED, multiplier=st.sampled_from([1.0, 2.0]), failure=st.sampled_from([0.9, 0.01]), cut=st.integers(0, 1)
)
def test_outputs_are_between_the_base_policy_and_the_target_whatever_the_multiplier(
    check: Check, problem: TabularProblem, multiplier: float, failure: float, cut: int
) -> Experiment:
    """The probability of the responses of the highest scores; multipliers are below those that R3 needs."""
    scores = problem.features[0] @ realizing(problem)
    levels = np.unique(scores)
    event = (scores >= levels[max(1, len(levels) - 1 - cut)]).astype(int)
    low, high = (float(law @ event) for law in (np.exp(problem.log_base[0]), target_of(problem)))
    if low < check.discrepancy and high > 1.0 - check.discrepancy:
        reject()  # no violation of this size is possible
    observe = outputs(check, "softmax_sample", problem, multiplier, failure)
    given = f"C = {coverage_of(problem):.4g}, M = {multiplier:g}, delta = {failure:g}"
    of = f"responses {np.flatnonzero(event).tolist()}, of the highest scores ({given})"
    return between_experiment(check, lambda count, seed: event[observe(count, seed)], low, high, of=of)


@pytest.mark.guarantee("R5", needs=["softmax_sample"])
@designed(
    # Only a rare response is accepted. Where weights are lost all are alike, and the first ones are.
    [{"problem": PEAKED, "constant": constant} for constant in (1000, -1000, 900, -900, 800, -800)],
    named("sampler", "clipped-exponents overflow"),
)
@instances(problem=tabular_problems(min_responses=2), constant=st.integers(-1000, 1000))
def test_a_constant_added_to_all_scores_changes_no_output(check: Check, problem: TabularProblem, constant: int) -> None:
    """Judged where rounding decides a trial otherwise with a negligible chance."""
    # Each trial compares a uniform number with a weight whose logarithm has this error.
    flipped = sampler_trials(2.0, 0.5) * gamma(16, check.subject.unit) * abs(constant)
    possible = flipped * check.profile.examples <= NEGLIGIBLE
    check.judgeable(
        possible, f"{check.subject.arithmetic} decides trials otherwise with a chance of up to {flipped:.2g}"
    )
    if not possible:
        return
    widened = with_constant(problem)
    drawn = []
    for shift in (0.0, 2.0 * constant * problem.beta):
        oracle = literal_oracle(widened, seed=check.seed("oracle"), budget=GENEROUS_BUDGET)
        prompt = oracle.prompt()
        score = LinearScore(np.append(realizing(problem), shift))
        response = check.call(
            "softmax_sample", oracle, prompt, score, multiplier=2.0, failure=0.5, seed=check.seed("sampler")
        )
        drawn.append((response, oracle.ledger.samples))
    assert drawn[0] == drawn[1], f"response and samples are {drawn[0]}, with the constant {drawn[1]}"


@pytest.mark.guarantee("R5", needs=["log_softmax"])
@instances(problem=tabular_problems(min_responses=2), constant=st.integers(-10_000, 10_000))
def test_large_constants_neither_overflow_nor_change_a_law(
    check: Check, problem: TabularProblem, constant: int
) -> None:
    for log_base, reward in zip(problem.log_base, problem.reward, strict=True):
        law = check.call("log_softmax", log_base, reward, problem.beta)
        scores = reward + constant * problem.beta
        shifted = check.call("log_softmax", log_base, scores, problem.beta)
        allowed = sum(log_softmax_error(check.subject.unit, log_base, each, problem.beta) for each in (reward, scores))
        assert_near(check, f"changed by the constant {constant} beta, a log probability", shifted, law, allowed)
