"""What truncation does to scores, coverage and gaps where the confidence ellipsoid holds (E2-E5, E8, E9)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from spanver.guarantees.exploration import (
    confidence_radius,
    log_truncated_coverage,
    log_uncovered_ratio,
    log_untruncated_coverage,
    round_regret,
    score_error_premise,
    sharp_spanner_regret,
    spanner_regret,
    truncated_gap,
)
from spanver.guarantees.residuals import fit_excess
from spanver.guarantees.rounding import log_coverage_error, log_softmax_error, score_error, undecided_scores
from spanver.kernels import log_softmax, uncertain_mask
from spanver.learners.spanner_sampling import Settings
from spanver.parameter_sets import Ball
from spanver.problems.tabular import TabularProblem
from spanver.strategies import anchored, realizing, run_settings, tabular_problems
from spanver.validation import LARGEST
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
    short = fit_excess(*data, theta, Ball(1.0), check.subject.unit).allowed / (2.0 * eta * (reward - eta))
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
    """E4's witness for any `eta`, `B` and reward of at least `eta B`, and `nu` such that b = 1/2."""
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
    most = log_truncated_coverage(0.0, best, 0.5)
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
    """A round of a confident run at one prompt, given its second response: what E2 to E9 are about.

    Attributes
    ----------
    beta : float
    deviation : float
        `b = nu gamma_t/beta`.
    scores, exact : array, shape (Y,)
        `f_t` as the subject has it, and `f*`.
    log_law, log_best : array, shape (Y,)
        Log law of `pi_t` given the second response, with those scores, and of `pi*`.
    covered : array of bool, shape (Y,)
    log_base : array, shape (Y,)
    chance : float
        Of the second response: under the base policy, or 1 for an anchor.
    log_coverage : float
        Of `pi*` at the prompt.
    allowed : float
        Rounding of scores, and what that of the threshold adds to their error.
    """

    beta: float
    deviation: float
    scores: FloatArray
    exact: FloatArray
    log_law: FloatArray
    log_best: FloatArray
    covered: NDArray[np.bool_]
    log_base: FloatArray
    chance: float
    log_coverage: float
    allowed: float

    @property
    def rounded_deviation(self) -> float:
        """`b` of scores that are off by rounding."""
        return self.deviation + 2.0 * self.allowed / self.beta

    @property
    def rounding(self) -> float:
        """Rounding of the laws, which are computed in float64, as an error of their logs."""
        size = np.abs(self.scores).max() + np.abs(self.exact).max()
        return 4.0 * float(log_softmax_error(0.0, self.log_base, np.full(len(self.scores), size), self.beta).max())

    @property
    def optimal_covered(self) -> float:
        """Probability of what is covered under `pi*`."""
        return min(1.0, float(np.exp(self.log_best)[self.covered].sum()))

    @property
    def uncovered(self) -> float:
        """Probability of what is not covered under `pi_t`."""
        return min(1.0, float(np.exp(self.log_law)[~self.covered].sum()))

    @property
    def gap(self) -> float:
        """`beta KL(pi_t || pi*)`."""
        held = self.log_base > -np.inf
        return self.beta * float(np.exp(self.log_law[held]) @ (self.log_law[held] - self.log_best[held]))

    @property
    def squared_error(self) -> float:
        """`E_{pi_t}[(f_t - f*)^2 1_covered]`."""
        return float(np.exp(self.log_law)[self.covered] @ (self.scores - self.exact)[self.covered] ** 2)


def confident_rounds(check: Check, problem: TabularProblem, settings: Settings) -> Iterator[list[list[Second]]]:
    """Rounds for which E1 and `b <= 1` hold on the table, by prompt and second response; no others are judged.

    Where second responses are anchors, there is one at each prompt.
    """
    settings, is_drawn = replace(settings, ridge=1e-4, nu=0.3), settings.anchor == "drawn"
    run = explore(check, problem, settings, check.seed("run"))
    optimum, unit, beta = log_softmax(problem.log_base, problem.reward, problem.beta), check.subject.unit, problem.beta
    pairs = sum(len(each.rewards) == 2 for each in run.spanner)
    at_most = threshold_error(check, problem, sigma_of(problem, run.spanner, settings.ridge), settings.nu, pairs)
    for component, (inside, gamma_t) in zip(run.components, confident(problem, run, settings.ridge), strict=True):
        premise = inside and score_error_premise(settings.nu, gamma_t, beta)
        check.premise(premise)
        if not premise:
            continue
        prompts: list[list[Second]] = []
        for x, features in enumerate(problem.features):
            held, log_base = problem.log_base[x] > -np.inf, problem.log_base[x]
            log_coverage = max(0.0, float((optimum[x] - log_base)[held].max()))
            prompts.append([])
            for second in np.flatnonzero(held) if is_drawn else problem.anchors[[x]]:
                arguments = (features, features[second], component.theta, component.precision, component.nu)
                scores = check.call("truncated_scores", *arguments)
                free = undecided_scores(unit, features, features[second], component.precision, component.nu)
                certain = ~uncertain_mask(features[[second]], features, component.precision, component.nu)[0]
                covered = np.where(free, scores != 0.0, certain)
                exact = np.where(covered, (features - features[second]) @ realizing(problem), 0.0)
                log_law = log_softmax(log_base, scores, beta)
                allowed = float(score_error(unit, features, features[second], component.theta).max())
                allowed += gamma_t * at_most
                deviation, chance = settings.nu * gamma_t / beta, float(np.exp(log_base[second])) if is_drawn else 1.0
                laws = scores, exact, log_law, optimum[x], covered, log_base
                prompts[-1].append(Second(beta, deviation, *laws, chance, log_coverage, allowed))
        yield prompts


def confident_pairs(check: Check, problem: TabularProblem, settings: Settings) -> Iterator[Second]:
    """All second responses of confident rounds, for which arithmetic is fine enough."""
    for prompts in confident_rounds(check, problem, settings):
        for each in (second for prompt in prompts for second in prompt):
            fine = math.isfinite(each.rounded_deviation)
            check.judgeable(fine, says_nothing(check))
            if fine:
                yield each


WITNESSES = [{"problem": witnesses(), "settings": settings_of(prompts=40, exploration_rounds=2)}]


@pytest.mark.guarantee("E2", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side weight one anchor-left-out not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_scores_of_confident_rounds_are_accurate(check: Check, problem: TabularProblem, settings: Settings) -> None:
    for each in confident_pairs(check, problem, settings):
        error, bound = float(np.abs(each.scores - each.exact).max()), each.deviation * each.beta
        assert_at_most(check, "the error of a score, and nu gamma", error, bound, each.allowed)
        check.tightness(error, bound)


@pytest.mark.guarantee("E3", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side one not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_policies_of_confident_rounds_have_small_coverage(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    for each in confident_pairs(check, problem, settings):
        allowed, covered = each.rounding + 2.0 * (each.rounded_deviation - each.deviation), each.optimal_covered
        for words, among, bound in (
            ("covered", each.covered, log_truncated_coverage(each.log_coverage, covered, each.deviation)),
            ("uncovered", ~each.covered, log_uncovered_ratio(each.log_coverage, covered, each.deviation)),
        ):
            judged = among & (each.log_base > -np.inf)
            if judged.any():
                ratio = float((each.log_law - each.log_base)[judged].max())
                assert_at_most(check, f"log of pi_t/pi_ref of {words} responses", ratio, bound, allowed)
                check.tightness(ratio, bound + allowed)  # below, both are rounding


@pytest.mark.guarantee("E5", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side one not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_gaps_of_confident_rounds_are_small(check: Check, problem: TabularProblem, settings: Settings) -> None:
    for each in confident_pairs(check, problem, settings):
        given = problem.beta, problem.reward_range, each.squared_error, each.uncovered, each.optimal_covered
        # Scores may be off by more than b beta; the gap itself is a sum in float64.
        most, rounded = (truncated_gap(*given, deviation) for deviation in (each.deviation, each.rounded_deviation))
        allowed = rounded - most + problem.beta * each.rounding
        assert_at_most(check, "the gap of a confident round", each.gap, most, allowed)
        check.tightness(each.gap, most + allowed)  # below, both are rounding


@dataclass(frozen=True)
class AtPrompt:
    """Means over the second responses of a prompt.

    Attributes
    ----------
    regret : float
        `J* - Jbar(pi_t)`, the mean of the gaps.
    squared_error, uncovered, optimal_uncovered, uncertain : float
        `E_{pi_t}[(f_t - f*)^2 1_covered]`, and the probability of what is not covered under `pi_t`, `pi*` and `pi_ref`.
    log_coverage, deviation, rounded_deviation : float
        The largest ones.
    added, rounding : float
        What the rounding of scores adds to the bound of E5, and that of the laws to the regret.
    """

    regret: float
    squared_error: float
    uncovered: float
    optimal_uncovered: float
    uncertain: float
    log_coverage: float
    deviation: float
    rounded_deviation: float
    added: float
    rounding: float


def at_prompt(seconds: list[Second], reward_range: float) -> AtPrompt:
    """Means over the second responses of a prompt."""

    def mean(of: Callable[[Second], float]) -> float:
        return sum(each.chance * of(each) for each in seconds)

    def added(each: Second) -> float:
        given = each.beta, reward_range, each.squared_error, each.uncovered, each.optimal_covered
        return truncated_gap(*given, each.rounded_deviation) - truncated_gap(*given, each.deviation)

    rounded = max(each.rounded_deviation for each in seconds)
    return AtPrompt(
        regret=mean(lambda each: each.gap),
        squared_error=mean(lambda each: each.squared_error),
        uncovered=min(1.0, mean(lambda each: each.uncovered)),
        optimal_uncovered=min(1.0, mean(lambda each: 1.0 - each.optimal_covered)),
        uncertain=min(1.0, mean(lambda each: float(np.exp(each.log_base[~each.covered]).sum()))),
        log_coverage=seconds[0].log_coverage,
        deviation=seconds[0].deviation,
        rounded_deviation=rounded,
        added=mean(added) if math.isfinite(rounded) else math.inf,
        rounding=seconds[0].beta * max(each.rounding for each in seconds),
    )


def confident_prompts(check: Check, problem: TabularProblem, settings: Settings) -> Iterator[list[AtPrompt]]:
    """All prompts of confident rounds, where arithmetic is fine enough for all of them."""
    for prompts in confident_rounds(check, problem, settings):
        found = [at_prompt(seconds, problem.reward_range) for seconds in prompts]
        fine = all(math.isfinite(each.rounded_deviation) for each in found)
        check.judgeable(fine, says_nothing(check))
        if fine:
            yield found


@pytest.mark.guarantee("E8", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side one largest bonus not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_regrets_of_confident_rounds_are_small_at_every_prompt(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    judge_regrets(check, problem, settings)


def judge_regrets(check: Check, problem: TabularProblem, settings: Settings) -> None:
    """What is judged is `J* - Jbar(pi_t)`, the larger regret; with anchors both are one."""
    for prompts in confident_prompts(check, problem, settings):
        for each in prompts:
            given = each.squared_error, each.uncovered, each.optimal_uncovered
            bound, allowed = round_regret(problem.beta, problem.reward_range, *given), each.added + each.rounding
            assert_at_most(check, "the regret of a confident round at a prompt", each.regret, bound, allowed)
            check.tightness(each.regret, bound + allowed)  # below, both are rounding


@pytest.mark.guarantee("E9", needs=["spanner_sampling", "truncated_scores"])
@designed(WITNESSES, named("scores", "wrong-side one largest bonus not-truncated sigma"))
@instances(problem=CONFIDENT, settings=run_settings())
def test_regrets_of_confident_rounds_are_small_by_what_the_spanner_leaves(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    judge_regrets_by_the_spanner(check, problem, settings)


@pytest.mark.guarantee("E8", "E9", needs=["anchored_sampling", "truncated_scores"])
@designed(
    [{**each, "position": 0} for each in WITNESSES], named("scores", "wrong-side one largest bonus not-truncated sigma")
)
@instances(problem=CONFIDENT, settings=run_settings(), position=st.integers(0, 3))
def test_regrets_relative_to_anchors_are_small(
    check: Check, problem: TabularProblem, settings: Settings, position: int
) -> None:
    problem, settings = anchored(problem, position), replace(settings, anchor="fixed")
    judge_regrets(check, problem, settings)
    judge_regrets_by_the_spanner(check, problem, settings)


def judge_regrets_by_the_spanner(check: Check, problem: TabularProblem, settings: Settings) -> None:
    """The sharper form at every prompt; then the printed one, which is least where `eps` is a value of `p_Sigma`."""
    beta, reward_range, law = problem.beta, problem.reward_range, problem.prompt_law
    for prompts in confident_prompts(check, problem, settings):
        rounded = []
        for each in prompts:
            given = beta, reward_range, each.squared_error, each.log_coverage, each.uncertain
            bound, most = (sharp_spanner_regret(*given, b) for b in (each.deviation, each.rounded_deviation))
            rounded.append(most + each.rounding)
            words = "the regret of a confident round at a prompt, by p_Sigma"
            assert_at_most(check, words, each.regret, bound, rounded[-1] - bound)
            check.tightness(each.regret, rounded[-1])  # below, both are rounding
        log_coverage = max(each.log_coverage for each, chance in zip(prompts, law, strict=True) if chance > 0.0)
        coverage = min(math.exp(min(log_coverage, 700.0)), LARGEST)
        regret, squared = (float(law @ [getattr(each, of) for each in prompts]) for of in ("regret", "squared_error"))
        uncertain = np.array([each.uncertain for each in prompts])
        for eps in {*uncertain[uncertain > 0.0].tolist(), float(np.finfo(np.float64).tiny)}:
            beyond = min(1.0, float(law @ (uncertain > eps)))
            bound = spanner_regret(beta, reward_range, squared, coverage, eps, beyond)
            allowed = max(0.0, float(law @ rounded) - bound) + float(law @ [each.rounding for each in prompts])
            assert_at_most(check, f"the regret of a confident round, by eps = {eps:.3g}", regret, bound, allowed)
