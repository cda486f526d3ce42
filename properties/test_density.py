"""The sampler A1 with its density ratio (Algorithm 2 of the paper): R1, R3, R8, R9, C-A1, O3 of both together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.exact.samplers import every_pilot, law_given_pilot, log_pilot_means
from spanver.guarantees.rounding import log_softmax_error, score_error
from spanver.guarantees.sampler import density_deviation, density_multiplier, sampler_multiplier, sampler_trials
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import FloatArray, LinearScore
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment, law_experiment, mean_experiment
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import GENEROUS_BUDGET, RecordingOracle

from . import sampler_mistakes
from .designs import named
from .drawn import table_of, with_constant
from .piloted import expect_ratio, heavy_and_light, possible_pilots, seed_of_rejections
from .sampled import SAMPLED, coverage_of, expect_cost, law_of_outputs, results, target_of

DENSITY = "softmax_sample_density"
MODERATE = table_of([0.5, 0.3, 0.2], [1.0, 6.0, 0.2])
RARE = table_of([0.93, 0.053, 0.017], [1.0, 100.0, 6000.0])
# With four draws no mean weight is near the true one: without a heavy response it is too small, with one too large.
HEAVY_TENTH, HEAVY_EIGHTH = table_of([0.9, 0.1], [1.0, 30.0]), table_of([0.92, 0.08], [1.0, 40.0])

MOST_CELLS = 6  # of responses and ranges
WIDE = 1e-3  # logarithms of two mean weights that are told apart in any precision


def judge_ratio(
    check: Check, problem: TabularProblem, theta: FloatArray, oracle_seed: int, *, multiplier: float, failure: float
) -> None:
    """Call the sampler with a linear score, and compare its ratio with the draws of the call."""
    oracle = RecordingOracle(literal_oracle(problem, seed=oracle_seed, budget=GENEROUS_BUDGET))
    prompt, seed = oracle.prompt(), check.seed("sampler")
    given: dict[str, Any] = {"multiplier": multiplier, "failure": failure, "seed": seed}
    result = check.call(DENSITY, oracle, prompt, LinearScore(theta), **given)
    features = problem.features[int(prompt)]
    pilots = possible_pilots(check, oracle.queries, problem.responses, sampler_trials(multiplier, failure))
    errors = score_error(check.subject.unit, features, np.zeros(problem.dimension), theta)
    expect_ratio(check, result, pilots, features @ theta, problem.beta, errors)


@pytest.mark.guarantee("R8", needs=[DENSITY])
@designed(
    [
        {"problem": MODERATE, "multiplier": multiplier, "failure": 0.3, "constant": constant}
        for multiplier in (1.0, 2.5)
        for constant in (0, 900)
    ],
    named(
        "density",
        "true-normaliser second-pilot mean-of-logs with-response without-heaviest with-multiplier clipped inverse "
        "without-normaliser not-logged exponentiated rounded without-beta of-pilots-best",
    ),
)
@instances(
    problem=tabular_problems(),
    multiplier=st.sampled_from([1.0, 2.5, 8.0]),
    failure=st.sampled_from([0.9, 0.3]),
    constant=st.sampled_from([0, 900, -900]),
)
def test_a_ratio_is_the_weight_over_the_mean_of_the_pilot_of_the_call(
    check: Check, problem: TabularProblem, multiplier: float, failure: float, constant: int
) -> None:
    """To all scores a constant is added, in betas: the ratio is what it is without."""
    widened = with_constant(problem)
    theta = np.append(2.0 * realizing(problem), 2.0 * constant * problem.beta)
    judge_ratio(check, widened, theta, check.seed("oracle"), multiplier=multiplier, failure=failure)


@pytest.mark.guarantee("R8", needs=[DENSITY])
@designed([{"multiplier": 2.5, "failure": 0.3}], named("density", "one-on-fallback"))
@instances(multiplier=st.sampled_from([1.0, 2.5]), failure=st.sampled_from([0.9, 0.3]))
def test_a_ratio_is_that_of_the_same_pilot_where_all_trials_failed(
    check: Check, multiplier: float, failure: float
) -> None:
    trials = sampler_trials(multiplier, failure)
    problem = heavy_and_light(trials)
    seed = seed_of_rejections(problem, trials, check.seed("oracle"))
    judge_ratio(check, problem, realizing(problem), seed, multiplier=multiplier, failure=failure)


@pytest.mark.guarantee("R1", needs=[DENSITY])
@designed([{"problem": MODERATE, "multiplier": 8.0, "failure": 0.3}], named("density", "second-pilot"))
@instances(
    problem=tabular_problems(), multiplier=st.sampled_from([1.0, 2.5, 8.0]), failure=st.sampled_from([0.9, 0.3, 0.01])
)
def test_a_call_with_its_ratio_costs_no_more(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    expect_cost(check, DENSITY, problem, multiplier, failure)


@pytest.mark.guarantee("R3", needs=[DENSITY])
@designed(
    [{"problem": MODERATE, "failure": 0.01}, {"problem": RARE, "failure": 0.1}],
    {"density-base-policy": sampler_mistakes.power(0.0)},
)
@experiments()
def test_responses_with_ratios_are_within_the_failure_probability_of_the_target(
    check: Check, problem: TabularProblem, failure: float
) -> Experiment:
    multiplier, target = sampler_multiplier(coverage_of(problem)), target_of(problem)
    return law_of_outputs(check, DENSITY, problem, target, multiplier=multiplier, failure=failure, tolerated=failure)


@pytest.mark.guarantee("R9", needs=[DENSITY])
@designed(
    [{"problem": HEAVY_TENTH, "failure": 0.1}, {"problem": HEAVY_EIGHTH, "failure": 0.01}],
    dict.fromkeys(["independent-pilot-of-four", "independent-ratio-of-first-four"], sampler_mistakes.pilot_of(4)),
)
@experiments(problem=SAMPLED, failure=st.sampled_from([0.1, 0.01]))
def test_ratios_are_near_those_of_the_target_but_for_the_failure_probability(
    check: Check, problem: TabularProblem, failure: float
) -> Experiment:
    coverage, log_base, scores = coverage_of(problem), problem.log_base[0], problem.features[0] @ realizing(problem)
    multiplier = density_multiplier(coverage)
    expected = np.log(target_of(problem)) - log_base
    errors = score_error(check.subject.unit, problem.features[0], np.zeros(problem.dimension), realizing(problem))
    rounding = log_softmax_error(check.subject.unit, log_base, scores, problem.beta, errors)
    allowed = density_deviation(coverage, multiplier) + rounding
    observe = results(check, DENSITY, problem, multiplier, failure)

    def off(count: int, seed: int) -> list[bool]:
        found = [(int(each.response), each.log_ratio) for each in observe(count, seed)]
        return [bool(abs(log_ratio - expected[y]) > allowed[y]) for y, log_ratio in found]

    given = f"C = {coverage:.4g}, M = {multiplier:.4g}, delta = {failure:g}"
    return mean_experiment(check, off, failure, of=f"log ratio that is off by more than C sqrt(2/M) ({given})")


@pytest.mark.guarantee("C-A1", needs=[DENSITY])
@designed(
    [
        {"problem": MODERATE, "multiplier": 1.0, "failure": 0.9},
        {"problem": HEAVY_TENTH, "multiplier": 1.0, "failure": 0.5},
        {"problem": MODERATE, "multiplier": 2.0, "failure": 0.5},
    ],
    {},
)
@experiments()
def test_responses_and_ratios_have_their_exact_joint_law(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> Experiment:
    """All pilots are enumerated. An outcome is a response, and a range that the mean weight of the pilot is in."""
    base, exponents = np.exp(problem.log_base[0]), problem.features[0] @ realizing(problem) / problem.beta
    pilots, probability = every_pilot(base, sampler_trials(multiplier, failure))
    means = log_pilot_means(exponents, pilots)[:, 0]
    order = np.argsort(means)
    pilots, probability, means = pilots[order], probability[order], means[order]
    ranges = MOST_CELLS // problem.responses
    gaps = np.flatnonzero(np.diff(means) > WIDE)
    wanted = np.searchsorted(probability.cumsum(), np.arange(1, ranges) / ranges)
    ends = np.unique([gaps[np.abs(gaps - each).argmin()] for each in wanted])
    edges = (means[ends] + means[ends + 1]) / 2.0
    laws, _, _ = law_given_pilot(base, exponents, pilots, multiplier)
    joint = np.zeros((problem.responses, len(edges) + 1))
    np.add.at(joint.T, np.searchsorted(edges, means), probability[:, None] * laws)
    observe = results(check, DENSITY, problem, multiplier, failure)

    def cells(count: int, seed: int) -> list[int]:
        found = [(int(each.response), each.log_ratio) for each in observe(count, seed)]
        return [y * joint.shape[1] + int(np.searchsorted(edges, exponents[y] - log_ratio)) for y, log_ratio in found]

    limits = [-np.inf, *np.round(edges, 3).tolist(), np.inf]
    names = [f"response {y}, log Z in [{a}, {b}]" for y in range(len(base)) for a, b in pairwise(limits)]
    of = f"response of {DENSITY} with its pilot (M = {multiplier:g}, delta = {failure:g})"
    return law_experiment(check, cells, joint.ravel() / joint.sum(), of=of, outcomes=names)
