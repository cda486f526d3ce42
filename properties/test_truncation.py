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
from spanver.guarantees.residuals import fit_excess
from spanver.guarantees.rounding import log_coverage_error, log_softmax_error, score_error, undecided_scores
from spanver.kernels import log_softmax, uncertain_mask
from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, run_settings, tabular_problems
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances

from .designs import named, settings_of, witnesses
from .explored import DELTA, confident, explore, sigma_of
from .rounded import assert_at_least, assert_at_most, says_nothing, threshold_error


def witness() -> TabularProblem:
    """E4's witness: one small difference with a large reward gives a rare response far away a wrong score."""
    reward = np.zeros((1, 3))
    return TabularProblem(
        prompt_law=np.ones(1), log_base=np.log([[0.599, 0.4, 0.001]]), features=np.array([[[0.0], [0.125], [1.0]]]),
        reward=reward, beta=0.25, radius=1.0, reward_range=0.125, reward_low=reward[:, 0] - 0.0625, noise=1.0,
        theta_star=np.zeros(1),
    )  # fmt: skip


def coverage_of(check: Check, log_base: FloatArray, scores: FloatArray, beta: float) -> tuple[float, float]:
    """Log coverage of the softmax of scores, both of the subject, and the rounding that is allowed in it."""
    law = check.call("log_softmax", log_base, scores, beta)
    unit = check.subject.unit
    allowed = log_coverage_error(unit, law, log_base) + float(log_softmax_error(unit, log_base, scores, beta).max())
    return float(check.call("log_coverage", law, log_base)), allowed


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
    data = features[1:2], np.array([reward])
    theta = check.call("fit", *data, 1.0)
    scores = features @ theta
    coverage, allowed = coverage_of(check, log_base, scores, beta)
    # The premise R_max >= eta B makes theta of length B, and coverage all but exp(1/beta). The objective falls at least
    # with slope 2 eta (R_max - eta) on the way to the sphere.
    short = fit_excess(*data, theta, 1.0, check.subject.unit).allowed / (2.0 * eta * (reward - eta))
    missing = 1.0 - float(np.ptp(scores))
    assert_at_most(check, f"range of scores {scores.tolist()}, less than B by", abs(missing), 0.0, short)
    bound = log_untruncated_coverage(float(np.ptp(scores)), beta)
    assert_at_least(check, "log coverage without truncation", coverage, bound, allowed)
    assert_at_most(check, "log coverage", coverage, 1.0 / beta, allowed + short / beta)


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
    eta, unit = 0.01 * share * beta / radius, check.subject.unit
    reward = excess * eta * radius
    rare = 0.01 * math.exp(-radius / beta)
    log_base = np.log(np.array([0.6 - rare, 0.4, rare]))
    features = np.array([[0.0, 0.0], [0.0, eta], [0.0, 1.0]])
    theta = check.call("fit", features[1:2], np.array([reward]), radius)
    sigma = ridge * np.eye(2) + np.outer(features[1], features[1])
    log_det = float(np.linalg.slogdet(sigma)[1]) - 2 * math.log(ridge)
    gamma_t = confidence_radius(ridge, radius, reward, DELTA, log_det)
    assert math.sqrt(float(theta @ sigma @ theta)) <= gamma_t, f"theta {theta.tolist()} is outside of E1's ellipsoid"
    nu = beta / (2 * gamma_t)
    precision = np.asarray(np.linalg.inv(sigma), dtype=np.float64)
    untruncated, scores = features @ theta, check.call("truncated_scores", features, features[0], theta, precision, nu)
    coverage, allowed = coverage_of(check, log_base, untruncated, beta)
    least = log_untruncated_coverage(float(np.ptp(untruncated)), beta)
    assert_at_least(check, "log coverage without truncation", coverage, least, allowed)
    lengths = np.sqrt(np.einsum("ij,jk,ik->i", features, precision, features))
    free = undecided_scores(unit, features, features[0], precision, nu)
    covered = np.where(free, scores != 0.0, lengths <= nu)
    best = float(np.exp(log_base)[covered].sum())  # no reward differs: the optimum is the base policy
    most = log_truncated_coverage(0.0, best)
    coverage, allowed = coverage_of(check, log_base, scores, beta)
    allowed += 2.0 * float(score_error(unit, features, features[0], theta).max()) / beta
    assert_at_most(check, "log coverage with truncation", coverage, most, allowed)
    check.tightness(coverage, most)


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
    allowed : float
        Rounding of scores, and what that of the threshold adds to their error.
    """

    scores: FloatArray
    exact: FloatArray
    law: FloatArray
    best: FloatArray
    covered: NDArray[np.bool_]
    log_base: FloatArray
    log_coverage: float
    allowed: float

    def rounding(self, beta: float) -> float:
        """Rounding of the laws, which are computed in float64, as an error of their logs."""
        size = np.abs(self.scores).max() + np.abs(self.exact).max()
        return 4.0 * float(log_softmax_error(0.0, self.log_base, np.full(len(self.law), size), beta).max())


def confident_rounds(check: Check, problem: TabularProblem, settings: Settings) -> Iterator[Second]:
    """Rounds for which E1 and the premise of E2 hold on the table; no others are judged."""
    settings = replace(settings, ridge=1e-4, nu=0.3)
    run = explore(check, problem, settings, check.seed("run"))
    optimum, unit = log_softmax(problem.log_base, problem.reward, problem.beta), check.subject.unit
    pairs = sum(len(each.rewards) == 2 for each in run.spanner)
    at_most = threshold_error(check, problem, sigma_of(problem, run.spanner, settings.ridge), settings.nu, pairs)
    for component, (inside, gamma_t) in zip(run.components, confident(problem, run, settings.ridge), strict=True):
        premise = inside and score_error_premise(settings.nu, gamma_t, problem.beta)
        check.premise(premise)
        if not premise:
            continue
        for x, features in enumerate(problem.features):
            held = problem.log_base[x] > -np.inf
            for second in np.flatnonzero(held):
                arguments = (features, features[second], component.theta, component.precision, component.nu)
                scores = check.call("truncated_scores", *arguments)
                free = undecided_scores(unit, features, features[second], component.precision, component.nu)
                certain = ~uncertain_mask(features[[second]], features, component.precision, component.nu)[0]
                covered = np.where(free, scores != 0.0, certain)
                exact = np.where(covered, (features - features[second]) @ realizing(problem), 0.0)
                law = np.exp(log_softmax(problem.log_base[x], scores, problem.beta))
                log_coverage = float((optimum[x] - problem.log_base[x])[held].max())
                allowed = float(score_error(unit, features, features[second], component.theta).max())
                allowed += gamma_t * at_most
                best = np.exp(optimum[x])
                yield Second(scores, exact, law, best, covered, problem.log_base[x], log_coverage, allowed)


WITNESSES = [{"problem": witnesses(), "settings": settings_of(prompts=40, exploration_rounds=2)}]


@pytest.mark.guarantee("E2", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side weight one anchor-left-out not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_scores_of_confident_rounds_are_accurate(check: Check, problem: TabularProblem, settings: Settings) -> None:
    bound = problem.beta / 2
    for each in confident_rounds(check, problem, settings):
        error = float(np.abs(each.scores - each.exact).max())
        assert_at_most(check, "the error of a score, and beta/2", error, bound, each.allowed)
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
        allowed = 2.0 * each.allowed / problem.beta + each.rounding(problem.beta)
        assert_at_most(check, "log coverage of a confident round", coverage, bound, allowed)
        check.tightness(coverage, bound)


@pytest.mark.guarantee("E5", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side one not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_gaps_of_confident_rounds_are_small(check: Check, problem: TabularProblem, settings: Settings) -> None:
    for each in confident_rounds(check, problem, settings):
        held, uncovered = each.log_base > -np.inf, ~each.covered
        kept, own = (min(1.0, float(law.sum())) for law in (each.best[each.covered], each.law[uncovered]))
        gap = problem.beta * float(each.law[held] @ (np.log(each.law[held]) - np.log(each.best[held])))
        squared = float(each.law[each.covered] @ (each.scores - each.exact)[each.covered] ** 2)
        # Scores may be off by more than beta/2; the gap itself is a sum in float64.
        deviation, off = 0.5 + 2.0 * each.allowed / problem.beta, each.rounding(problem.beta)
        if not math.isfinite(deviation):
            check.judgeable(False, says_nothing(check))
            continue
        most, rounded = (
            truncated_gap(problem.beta, problem.reward_range, squared, own, kept, b) for b in (0.5, deviation)
        )
        assert_at_most(check, "the gap of a confident round", gap, most, rounded - most + problem.beta * off)
        check.tightness(gap, most + problem.beta * off)  # below, both are rounding
        base = min(1.0, float(np.exp(each.log_base[uncovered]).sum()))
        bound, rounded = (
            math.exp(min(0.0, log_uncovered_mass(each.log_coverage, base, kept, b))) for b in (0.5, deviation)
        )
        assert_at_most(check, "mass on what is uncovered", own, bound, rounded - bound + bound * off)
