"""What truncation does to scores, coverage and gaps where the confidence ellipsoid holds (E2-E5)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from spanver.guarantees.exploration import (
    confidence_radius,
    log_truncated_coverage,
    log_uncovered_mass,
    log_untruncated_coverage,
    score_error_premise,
    truncated_gap,
)
from spanver.kernels import log_softmax, uncertain_mask
from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, run_settings, tabular_problems
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances

from .designs import named, settings_of, witnesses
from .explored import DELTA, ROUNDING, confident, explore


def witness() -> TabularProblem:
    """E4's witness: one small difference with a large reward gives a rare response far away a wrong score."""
    reward = np.zeros((1, 3))
    return TabularProblem(
        prompt_law=np.ones(1), log_base=np.log([[0.599, 0.4, 0.001]]), features=np.array([[[0.0], [0.125], [1.0]]]),
        reward=reward, beta=0.25, radius=1.0, reward_range=0.125, reward_low=reward[:, 0] - 0.0625, noise=1.0,
        theta_star=np.zeros(1),
    )  # fmt: skip


@pytest.mark.guarantee("E4", needs=["fit", "log_softmax", "log_coverage"])
@designed(
    [{"beta": 0.25, "share": 5, "reward": 0.5}],
    [*named("fit", "no-ball doubled-radius sign-of-targets"), *named("softmax", "without-base times-beta")],
)
@instances(beta=st.sampled_from([0.25, 0.5, 0.1]), share=st.integers(1, 9), reward=st.sampled_from([1.0, 0.5, 0.1]))
def test_without_truncation_one_small_difference_makes_coverage_explode(
    check: Check, beta: float, share: int, reward: float
) -> None:
    eta = 0.01 * share * beta
    rare = 0.01 * math.exp(-1.0 / beta)
    log_base = np.log(np.array([0.6 - rare, 0.4, rare]))
    features = np.array([[0.0, 0.0], [0.0, eta], [0.0, 1.0]])
    theta = check.call("fit", features[1:2], np.array([reward]), 1.0)
    scores = features @ theta
    coverage = check.call("log_coverage", check.call("log_softmax", log_base, scores, beta), log_base)
    bound = log_untruncated_coverage(float(np.ptp(scores)), beta)
    # The premise R_max >= eta B makes theta of length B, and coverage all but exp(1/beta).
    assert math.isclose(float(np.ptp(scores)), 1.0, rel_tol=1e-9), f"scores {scores.tolist()} range over less than B"
    assert bound < coverage <= 1.0 / beta + ROUNDING, f"log coverage {coverage}, it must exceed {bound}"


@pytest.mark.guarantee("E4", "E3", needs=["fit", "truncated_scores", "log_softmax", "log_coverage"])
@designed(
    [{"beta": 0.25, "share": 5, "radius": 1.0, "excess": 2.0, "ridge": 1.0}],
    named("scores", "wrong-side one not-truncated"),
)
@instances(
    beta=st.sampled_from([0.25, 0.5, 0.1]), share=st.integers(1, 9), radius=st.sampled_from([1.0, 4.0, 0.5]),
    excess=st.sampled_from([1.0, 2.0, 10.0]), ridge=st.sampled_from([1.0, 0.1, 4.0]),
)  # fmt: skip
def test_truncation_keeps_the_coverage_of_the_witness_within_e(
    check: Check, beta: float, share: int, radius: float, excess: float, ridge: float
) -> None:
    """E4's witness for any `eta`, `B` and reward of at least `eta B`, with the largest `nu` that E2 allows."""
    eta = 0.01 * share * beta / radius
    reward = excess * eta * radius
    rare = 0.01 * math.exp(-radius / beta)
    log_base = np.log(np.array([0.6 - rare, 0.4, rare]))
    features = np.array([[0.0, 0.0], [0.0, eta], [0.0, 1.0]])
    theta = check.call("fit", features[1:2], np.array([reward]), radius)
    sigma = ridge * np.eye(2) + np.outer(features[1], features[1])
    log_det = float(np.linalg.slogdet(sigma)[1]) - 2 * math.log(ridge)
    gamma = confidence_radius(ridge, radius, reward, DELTA, log_det)
    assert math.sqrt(float(theta @ sigma @ theta)) <= gamma, f"theta {theta.tolist()} is outside of E1's ellipsoid"
    nu = beta / (2 * gamma)
    precision = np.linalg.inv(sigma)

    def coverage(scores: FloatArray) -> float:
        found: float = check.call("log_coverage", check.call("log_softmax", log_base, scores, beta), log_base)
        return found

    untruncated, scores = features @ theta, check.call("truncated_scores", features, features[0], theta, precision, nu)
    untruncated_coverage, truncated_coverage = coverage(untruncated), coverage(scores)
    least = log_untruncated_coverage(float(np.ptp(untruncated)), beta)
    assert untruncated_coverage > least, (
        f"log coverage {untruncated_coverage} without truncation, it must exceed {least}"
    )
    lengths = np.sqrt(np.einsum("ij,jk,ik->i", features, precision, features))
    best = float(np.exp(log_base)[lengths <= nu].sum())  # no reward differs: the optimum is the base policy
    most = log_truncated_coverage(0.0, best)
    assert truncated_coverage <= most + ROUNDING, (
        f"log coverage {truncated_coverage} with truncation, at most {most} is allowed"
    )
    check.tightness(truncated_coverage, most)


def faint(problem: TabularProblem) -> TabularProblem:
    """The problem with small rewards in the same ball of parameters: confidence is then quickly within beta."""
    scale = 0.0625 * problem.beta
    return replace(
        problem, reward=problem.reward * scale, reward_low=problem.reward_low * scale, reward_range=2 * scale,
        theta_star=realizing(problem) * scale,
    )  # fmt: skip


CONFIDENT = st.one_of(
    st.just(witness()), tabular_problems(min_responses=2, betas=(1.0, 0.25), weights=(1.0, 0.25, 1e-3)).map(faint)
)


@dataclass(frozen=True)
class Second:
    """A round of a confident run, given its second response: everything that E2, E3 and E5 are about.

    Attributes
    ----------
    scores, exact : array, shape (Y,)
        `f_t` as the subject has it, and `f*`.
    law, best : array, shape (Y,)
        Law of `pi_t` given the second response, with those scores, and of `pi*`.
    covered : array of bool, shape (Y,)
    log_base : array, shape (Y,)
    log_coverage : float
        Of `pi*` at the prompt.
    """

    scores: FloatArray
    exact: FloatArray
    law: FloatArray
    best: FloatArray
    covered: NDArray[np.bool_]
    log_base: FloatArray
    log_coverage: float


def confident_rounds(check: Check, problem: TabularProblem, settings: Settings) -> Iterator[Second]:
    """Rounds for which E1 and the premise of E2 hold on the table; no others are judged."""
    settings = replace(settings, ridge=1e-4, nu=0.3)
    run = explore(check, problem, settings, check.seed("run"))
    optimum = log_softmax(problem.log_base, problem.reward, problem.beta)
    for component, (inside, gamma) in zip(run.components, confident(problem, run, settings.ridge), strict=True):
        premise = inside and score_error_premise(settings.nu, gamma, problem.beta)
        check.premise(premise)
        if not premise:
            continue
        for x, features in enumerate(problem.features):
            held = problem.log_base[x] > -np.inf
            for second in np.flatnonzero(held):
                covered = ~uncertain_mask(features[[second]], features, component.precision, component.nu)[0]
                arguments = (features, features[second], component.theta, component.precision, component.nu)
                scores = check.call("truncated_scores", *arguments)
                exact = np.where(covered, (features - features[second]) @ realizing(problem), 0.0)
                law = np.exp(log_softmax(problem.log_base[x], scores, problem.beta))
                log_coverage = float((optimum[x] - problem.log_base[x])[held].max())
                yield Second(scores, exact, law, np.exp(optimum[x]), covered, problem.log_base[x], log_coverage)


WITNESSES = [{"problem": witnesses(), "settings": settings_of(prompts=40, exploration_rounds=2)}]


@pytest.mark.guarantee("E2", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side weight one anchor-left-out not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_scores_of_confident_rounds_are_accurate(check: Check, problem: TabularProblem, settings: Settings) -> None:
    bound = problem.beta / 2
    for each in confident_rounds(check, problem, settings):
        error = float(np.abs(each.scores - each.exact).max())
        assert error <= bound * (1 + ROUNDING), f"scores are off by {error}, at most beta/2 = {bound} is allowed"
        check.tightness(error, bound)


@pytest.mark.guarantee("E3", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_policies_of_confident_rounds_have_small_coverage(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    for each in confident_rounds(check, problem, settings):
        held = each.log_base > -np.inf
        coverage = float((np.log(each.law[held]) - each.log_base[held]).max())
        bound = log_truncated_coverage(each.log_coverage, float(each.best[each.covered].sum()))
        assert coverage <= bound + ROUNDING, f"log coverage {coverage}, at most {bound} is allowed"
        check.tightness(coverage, bound)


@pytest.mark.guarantee("E5", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side one not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_gaps_of_confident_rounds_are_small(check: Check, problem: TabularProblem, settings: Settings) -> None:
    for each in confident_rounds(check, problem, settings):
        held, uncovered = each.log_base > -np.inf, ~each.covered
        given_up = min(1.0, float(each.best[uncovered].sum()))
        if given_up > 0.5:
            continue
        own = min(1.0, float(each.law[uncovered].sum()))
        gap = problem.beta * float(each.law[held] @ (np.log(each.law[held]) - np.log(each.best[held])))
        squared = float(each.law[each.covered] @ (each.scores - each.exact)[each.covered] ** 2)
        most = truncated_gap(problem.beta, problem.reward_range, squared, own, given_up)
        assert gap <= most * (1 + ROUNDING) + 1e-12, f"a gap of {gap}, at most {most} is allowed"
        check.tightness(gap, most + 1e-12)  # below, both are rounding
        mass = log_uncovered_mass(each.log_coverage, min(1.0, float(np.exp(each.log_base[uncovered]).sum())))
        assert own <= math.exp(min(0.0, mass)) * (1 + ROUNDING), f"uncovered mass {own}, log bound {mass}"
