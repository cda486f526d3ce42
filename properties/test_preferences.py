"""SpannerSampling from preferences: its fit, the labels that a run asks for and fits to (P1), and its truncation (S2).

The fit is judged by the most that its loss can still fall on the ball, which bounds its excess over the least as the
loss is convex. A run is judged by the record of its queries and by the policy that it returns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spanver.guarantees.rounding import inverse_error, reach
from spanver.learners.spanner_sampling import Settings
from spanver.parameter_sets import Ball
from spanver.problems.tabular import TabularProblem
from spanver.strategies import comparisons, run_settings, tabular_problems
from spanver.values import FloatArray
from spanver.verification.check import Check, expect
from spanver.verification.design import designed
from spanver.verification.search import instances
from spanver.verification.transcript import labels_of

from .designs import INSIDE, ON_THE_SPHERE, named, settings_of
from .explored import explore
from .rounded import assert_logistic_fit, assert_near

# Labels that no parameter separates: the least loss is inside of a large ball, and on the sphere of a small one.
MIXED = (
    np.array([[0.8, 0.1], [0.8, 0.1], [0.7, -0.2], [-0.4, 1.2], [-0.3, 0.9], [0.5, 1.1], [0.6, 0.4]]),
    np.array([1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]),
)


@pytest.mark.guarantee("P1", needs=["fit_preferences"])
@designed(
    [{"data": (*MIXED, 64.0)}, {"data": (*MIXED, 0.25)}],
    named(
        "preference-fit",
        "flipped half-of-data wins-only all-wins squares shares no-ball projected boxed half-radius doubled-margin "
        "ridge unit-rows intercept ten-steps",
    ),
)
@instances(data=comparisons())
def test_the_fit_of_labels_has_the_least_logistic_loss_on_the_ball(
    check: Check, data: tuple[FloatArray, FloatArray, float]
) -> None:
    features, labels, radius = data
    theta = check.call("fit_preferences", features, labels, radius)
    assert theta.shape == features.shape[1:], f"theta of shape {theta.shape} in {features.shape[1]} dimensions"
    assert_logistic_fit(check, "of fit_preferences", (features, labels), theta, Ball(radius))


@pytest.mark.guarantee("P1", needs=["preference_sampling"])
@designed(
    [{"problem": INSIDE, "settings": settings_of()}, {"problem": ON_THE_SPHERE, "settings": settings_of()}],
    named(
        "preferences",
        "flipped without-spanner-data spanner-data-twice one-round-late last-round-only squares doubled-radius "
        "rewards-for-labels both-orders label-of-another spanner-of-rewards",
    ),
)
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_every_round_is_fitted_to_the_labels_of_the_spanner_and_of_all_earlier_rounds(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    settings = replace(settings, feedback="preference")
    run = explore(check, problem, settings, check.seed("run"))
    for played in (*run.spanner, *run.rounds):
        expect(not played.rewards, "rewards of a round", len(played.rewards), "none from preferences")
        expect(len(played.labels) <= 1, "labels of a round", len(played.labels), "at most one, of its pair")
        strange = [each for *pair, _ in played.labels for each in pair if each not in played.seen]
        expect(not strange, "responses that were compared in a round", strange, "drawn in it")
    for t, (component, played) in enumerate(zip(run.components, run.rounds, strict=True)):
        expect(len(played.labels) == 1, f"labels of exploration round {t}", len(played.labels), "1")
        data = labels_of(problem, run.spanner + run.rounds[:t])
        words = f"of round {t}, on its {len(data[1])} labels"
        lengths = np.full(len(data[1]), reach(problem.features))
        assert_logistic_fit(check, words, data, component.theta, problem.shape(problem.radius), lengths)


@pytest.mark.guarantee("S2", needs=["preference_sampling"])
@designed(
    [{"problem": INSIDE, "settings": settings_of(exploration_rounds=16)}],
    named("preferences", "growing-sigma other-ridge doubled-nu"),
)
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_the_policy_from_preferences_truncates_by_the_spanner_alone(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    settings = replace(settings, feedback="preference")
    run = explore(check, problem, settings, check.seed("run"))
    vectors, _ = labels_of(problem, run.spanner)
    sigma = settings.ridge * np.eye(problem.dimension) + vectors.T @ vectors
    allowed = inverse_error(check.subject.unit, sigma, len(vectors), reach(problem.features))
    for component in run.components:
        assert_near(check, "nu of a policy", component.nu, settings.nu, check.subject.unit * settings.nu)
        off = float(np.linalg.norm(component.precision - np.linalg.inv(sigma), 2))
        assert_near(check, "the precision, less the inverse of Sigma_span", off, 0.0, allowed)
