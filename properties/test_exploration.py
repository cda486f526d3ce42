"""Phase 2 of SpannerSampling: the fit (E6, E7), the truncated scores (E2), and whole runs (E1-E3, E5, R1, S2, C-A2).

Runs are judged by the record of their queries and by the policy that they return, and by nothing that a learner reports
about itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.errors import BudgetExceededError
from spanver.guarantees.rounding import ridge_error, score_error, undecided_scores
from spanver.guarantees.sampler import sampler_samples
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Budget
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball, Box
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, regressions, run_settings, tabular_problems
from spanver.values import FloatArray
from spanver.verification.check import Check, expect
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment, mean_experiment
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import data_of

from .designs import CHAIN, CHEAP, IN_THE_BOX, INSIDE, ON_THE_SPHERE, SHARES, SHARP, in_box, named, settings_of
from .explored import DELTA, SAMPLED, confident, explore, explore_often
from .rounded import assert_fit, assert_near, size_of
from .whole_runs import judge_cost_of_rounds, judge_fits, judge_trials, judge_truncation

# Four observations of two directions, one of which hardly matters.
FLAT = (np.array([[0.5, 0.01], [0.2, -0.03], [-0.4, 0.02], [0.1, 0.005]]), np.array([0.5, -0.25, 0.125, 1.0]))
# In three directions, where the fit without ends is beyond an end that the fit in the box is not held at.
LEANING = (np.array([[1.0, 0.9, 0.0], [0.0, 0.4, 0.3], [0.2, 0.0, 0.5]]), np.array([3.0, -1.0, 0.5]))
ROUND = (np.array([[0.5, 0.1], [0.2, -0.3], [-0.4, 0.2], [0.1, 0.05]]), FLAT[1])


@pytest.mark.guarantee("E6", needs=["fit"])
@designed(
    [{"data": (*FLAT, 64.0)}, {"data": (*ROUND, 0.5)}],
    named(
        "fit",
        "no-ball projected boxed ridge sign-of-multiplier cutoff few-halvings one-newton-step descent centred "
        "all-centred unit-rows radius-squared doubled-radius sign-of-targets last-row-only",
    ),
)
@instances(data=regressions())
def test_the_fit_has_the_least_sum_of_squares_on_the_ball(
    check: Check, data: tuple[FloatArray, FloatArray, float]
) -> None:
    features, targets, radius = data
    theta = check.call("fit", features, targets, radius)
    assert theta.shape == features.shape[1:], f"theta of shape {theta.shape} in {features.shape[1]} dimensions"
    assert_fit(check, "of fit", (features, targets), theta, Ball(radius))


@pytest.mark.guarantee("E7", needs=["ridge_regression"])
@designed([{"data": (*ROUND, 1.0), "ridge": 4.0}], named("ridge", "none squared mean-loss intercept all-entries"))
@instances(data=regressions(), ridge=st.sampled_from([1.0, 0.25, 4.0]))
def test_a_ridge_regression_solves_its_normal_equations(
    check: Check, data: tuple[FloatArray, FloatArray, float], ridge: float
) -> None:
    features, targets, _ = data
    # Features of order one: then the ridge matters.
    features = features / max(1.0, float(np.abs(features).max()))
    theta = check.call("ridge_regression", features, targets, ridge)
    normal = features.T @ features + ridge * np.eye(features.shape[1])
    residual = float(np.linalg.norm(normal @ theta - features.T @ targets))
    allowed = ridge_error(check.subject.unit, features, targets, theta, ridge)
    assert_near(check, f"the normal equations of theta {theta.tolist()}", residual, 0.0, allowed)


@pytest.mark.guarantee("E2", needs=["truncated_scores"])
@designed(
    [{"problem": INSIDE, "ridge": 1.0, "nu": 0.7}, {"problem": INSIDE, "ridge": 0.1, "nu": 0.7}],
    named(
        "scores",
        "wrong-side weight one nu-squared squared anchor-added anchor-left-out not-truncated sigma euclidean "
        "all-or-nothing",
    ),
)
@instances(
    problem=tabular_problems(min_responses=2), ridge=st.sampled_from([1.0, 0.1]), nu=st.sampled_from([0.3, 1.0, 0.7])
)
def test_truncation_keeps_the_scores_of_what_is_covered_and_of_nothing_else(
    check: Check, problem: TabularProblem, ridge: float, nu: float
) -> None:
    theta, unit = realizing(problem), check.subject.unit
    for features in problem.features:
        anchor = features[0]
        precision = np.linalg.inv(ridge * np.eye(problem.dimension) + features.T @ features)
        relative = features - anchor
        squares = ((relative @ precision) * relative).sum(axis=1)
        scores = check.call("truncated_scores", features, anchor, theta, precision, nu)
        expected = np.where(squares <= nu**2, relative @ theta, 0.0)
        assert scores.shape == expected.shape, f"scores of shape {scores.shape}"
        judged = ~undecided_scores(unit, features, anchor, precision, nu)
        allowed = score_error(unit, features, anchor, theta)
        assert_near(check, "a truncated score", scores[judged], expected[judged], allowed[judged])


@pytest.mark.guarantee("E6", needs=["box_fit"])
@designed(
    [
        {"data": (*FLAT, 64.0)},
        {"data": (*ROUND, 0.5)},
        {"data": (*LEANING, 1.5)},
        {"data": (LEANING[0], -LEANING[1], 1.5)},
    ],
    named(
        "box-fit", "ball no-ends clipped ball-clipped shrunk radius-wide one-sided positive never-released few-sweeps"
    ),
)
@instances(data=regressions())
def test_the_box_fit_has_the_least_sum_of_squares_in_the_box(
    check: Check, data: tuple[FloatArray, FloatArray, float]
) -> None:
    features, targets, radius = data
    theta = check.call("box_fit", features, targets, radius)
    assert theta.shape == features.shape[1:], f"theta of shape {theta.shape} in {features.shape[1]} dimensions"
    assert_fit(check, "of box_fit", (features, targets), theta, Box(radius))


@pytest.mark.guarantee("E6", needs=["spanner_sampling", "box_fit"])
@designed([{"problem": IN_THE_BOX, "settings": settings_of()}], named("exploration", "ball-for-box doubled-radius"))
@instances(problem=st.builds(in_box, tabular_problems(min_responses=2), SHARES), settings=run_settings())
def test_every_round_is_fitted_in_the_box(check: Check, problem: TabularProblem, settings: Settings) -> None:
    run = explore(check, problem, settings, check.seed("run"))
    for t, component in enumerate(run.components):
        rounds = run.spanner + run.rounds[:t]
        data, size = data_of(problem, rounds), size_of(problem, rounds)
        assert_fit(check, f"of round {t}", data, component.theta, problem.shape(problem.radius), size)


@pytest.mark.guarantee("E6", needs=["spanner_sampling"])
@designed(
    [{"problem": INSIDE, "settings": settings_of()}, {"problem": ON_THE_SPHERE, "settings": settings_of()}],
    named(
        "exploration",
        "without-spanner-data spanner-data-twice spanner-data-only last-round-only one-round-late refitted "
        "doubled-radius radius-times-rounds swapped-in-features not-relative first-reward-only clipped-rewards "
        "reward-of-another late-rewards late-prompt last-parameter previous-second",
    ),
)
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_every_round_is_fitted_to_the_spanner_and_all_earlier_rounds(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    judge_fits(check, problem, explore(check, problem, settings, check.seed("run")))


@pytest.mark.guarantee("S2", needs=["spanner_sampling"])
@designed(
    [{"problem": INSIDE, "settings": settings_of(exploration_rounds=16)}],
    named("exploration", "only-last-policy one-policy-more growing-sigma doubled-nu other-ridge no-spanner round-less"),
)
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_the_policy_truncates_by_the_spanner_alone(check: Check, problem: TabularProblem, settings: Settings) -> None:
    judge_truncation(check, problem, settings, explore(check, problem, settings, check.seed("run")))


@pytest.mark.guarantee("R1", needs=["spanner_sampling"])
@designed([{"problem": INSIDE, "settings": CHEAP}], named("exploration", "multiplier-for-coverage failure-shared-out"))
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_an_exploration_round_costs_a_second_response_and_one_call(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    judge_cost_of_rounds(check, problem, settings, explore(check, problem, settings, check.seed("run")))


@pytest.mark.guarantee("O3", needs=["spanner_sampling"])
@designed(
    [
        {"problem": INSIDE, "settings": CHEAP, "missing": 0, "rewards": 10},
        {"problem": INSIDE, "settings": CHEAP, "missing": 0, "rewards": 5},
    ],
    named("exploration", "averaged-rewards multiplier-for-coverage failure-shared-out swallowed-budget cautious"),
)
@instances(problem=tabular_problems(), settings=run_settings(), missing=st.integers(-2, 60), rewards=st.integers(0, 20))
def test_a_run_never_exceeds_its_budget_and_says_so(
    check: Check, problem: TabularProblem, settings: Settings, missing: int, rewards: int
) -> None:
    """Budgets are near the largest cost that a run may have (S7, R1): with that budget it completes."""
    call = sampler_samples(settings.rejection_multiplier, settings.rejection_failure)
    most_samples = 2 * settings.prompts * settings.pairs_per_prompt + settings.exploration_rounds * (1 + call)
    most_rewards = 2 * (settings.prompts + settings.exploration_rounds)
    samples = max(0, most_samples - missing)
    oracle = literal_oracle(problem, seed=check.seed("oracle"), budget=Budget(samples=samples, rewards=rewards))
    completed = True
    try:
        check.call("spanner_sampling", oracle, seed=check.seed("learner"), settings=settings)
    except BudgetExceededError:
        completed = False
    expect(
        oracle.ledger.samples <= samples, "samples of a run", oracle.ledger.samples, f"at most the budget, {samples}"
    )
    expect(
        oracle.ledger.rewards <= rewards, "rewards of a run", oracle.ledger.rewards, f"at most the budget, {rewards}"
    )
    least = 2 * settings.exploration_rounds
    enough = not completed or oracle.ledger.rewards >= least
    expect(enough, "rewards of a run that returned", oracle.ledger.rewards, f"at least {least}, two a round")
    covered = samples >= most_samples and rewards >= most_rewards
    assert completed or not covered, f"stopped on a budget of {samples} samples, a run draws at most {most_samples}"


@pytest.mark.guarantee("C-A2", needs=["spanner_sampling"])
@designed(
    [
        {"problem": CHAIN, "settings": settings_of()},
        {"problem": SHARP, "settings": settings_of(nu=2.0, ridge=1.0, exploration_rounds=16)},
    ],
    named("exploration", "sampled-second without-beta beta-for-inverse wrong-sign untruncated first-mean stale-mean"),
)
# Few extreme problems have a score that is covered and not zero; about a third of SAMPLED have.
@instances(problem=SAMPLED | tabular_problems(min_responses=2), settings=run_settings())
def test_trials_of_exploration_have_the_score_and_the_pilot_of_their_round(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    """Judged where trials are queried; a learner that accepts by itself is judged by the law of its outputs."""
    judge_trials(check, problem, settings, explore(check, problem, settings, check.seed("run")))


@pytest.mark.guarantee("E1", needs=["spanner_sampling"])
@experiments(
    problem=tabular_problems(max_prompts=1, min_responses=2, max_responses=3, max_dimension=1, noises=(1.0,)),
    settings=run_settings(exploration_rounds=2),
)
def test_all_parameters_stay_in_the_confidence_ellipsoid(
    check: Check, problem: TabularProblem, settings: Settings
) -> Experiment:
    settings = replace(settings, prompts=1, rejection_multiplier=1.0, rejection_failure=0.9)

    def observe(count: int, seed: int) -> Sequence[int]:
        runs = explore_often(check, problem, settings, count, seed)
        return [int(not all(inside for inside, _ in confident(problem, run, settings.ridge))) for run in runs]

    return mean_experiment(check, observe, DELTA)
