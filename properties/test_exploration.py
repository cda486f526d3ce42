"""Phase 2 of SpannerSampling: the fit (E6, E7), the truncated scores (E2), and whole runs (E1-E3, E5, R1, R3, S2).

Runs are judged by the record of their queries and by the policy that they return, and by nothing that a learner reports
about itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from spanver.errors import BudgetExceededError
from spanver.evidence import log_e_chances, min_samples_chances
from spanver.guarantees.exploration import (
    confidence_radius,
    log_truncated_coverage,
    log_uncovered_mass,
    log_untruncated_coverage,
    score_error_premise,
    truncated_gap,
)
from spanver.guarantees.residuals import fit_residual
from spanver.guarantees.sampler import sampler_multiplier, sampler_samples
from spanver.guarantees.spanner import spanner_size_bound
from spanver.kernels import log_softmax, uncertain_mask
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Budget, Oracle
from spanver.oracles.literal import literal_oracle
from spanver.policies import TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, regressions, run_settings, tabular_problems
from spanver.values import FloatArray, RejectionRule
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import GENEROUS_BUDGET, RecordingOracle, Round, data_of, fresh_oracles, rounds_of

ROUNDING = 1e-9
DELTA = 0.05  # failure probability of the confidence ellipsoid in E1's test
# All of the base policy can be drawn, and scores tell responses apart.
SAMPLED = tabular_problems(
    max_prompts=2, min_responses=3, max_responses=3, max_dimension=2, betas=(0.5, 2.0), weights=(1.0, 0.5, 2.0)
).filter(lambda problem: float(np.ptp(problem.reward, axis=1).min()) >= 0.25)


@dataclass(frozen=True)
class Explored:
    """A run: its record and its policy."""

    components: tuple[TruncatedSoftmax, ...]
    spanner: list[Round]
    rounds: list[Round]


def explore(
    check: Check, problem: TabularProblem, settings: Settings, seed: int, shared: Oracle | None = None
) -> Explored:
    """Run the subject on an oracle of its own, or on one that it shares with other runs."""
    oracle = RecordingOracle(shared or literal_oracle(problem, seed=seed, budget=GENEROUS_BUDGET))
    policy = check.call("spanner_sampling", oracle, seed=seed // 2, settings=settings)
    rounds = rounds_of(oracle.queries)
    expected = settings.prompts + settings.exploration_rounds
    assert len(rounds) == expected, f"{len(rounds)} prompts were drawn, the settings have {expected} rounds"
    components = policy.components
    assert len(components) == settings.exploration_rounds, f"a mixture of {len(components)} policies"
    return Explored(components, rounds[: settings.prompts], rounds[settings.prompts :])


def sigma_of(problem: TabularProblem, rounds: list[Round], ridge: float) -> FloatArray:
    vectors, _ = data_of(problem, rounds)
    return ridge * np.eye(problem.dimension) + vectors.T @ vectors


def confident(problem: TabularProblem, run: Explored, ridge: float) -> list[tuple[bool, float]]:
    """Of every round: whether `theta_t` is within E1's ellipsoid, and its radius `gamma_t`."""
    found = []
    for t, component in enumerate(run.components):
        sigma = sigma_of(problem, run.spanner + run.rounds[:t], ridge)
        log_det = float(np.linalg.slogdet(sigma)[1]) - problem.dimension * math.log(ridge)
        gamma = confidence_radius(ridge, problem.radius, problem.reward_range, DELTA, log_det)
        error = component.theta - realizing(problem)
        found.append((math.sqrt(max(0.0, float(error @ sigma @ error))) <= gamma * (1 + ROUNDING), gamma))
    return found


def first_and_second(played: Round) -> tuple[int, int]:
    """Response of the sampler, and the second one: it is the round's only plain draw, or else was rewarded second."""
    assert len(played.rewards) == 2, f"{len(played.rewards)} rewards were drawn in an exploration round"
    (one, _), (two, _) = played.rewards
    return (int(two), int(one)) if played.drawn == [one] else (int(one), int(two))


@pytest.mark.guarantee("E6", needs=["fit"])
@instances(data=regressions())
def test_the_fit_meets_the_kkt_conditions_on_the_ball(check: Check, data: tuple[FloatArray, FloatArray, float]) -> None:
    features, targets, radius = data
    theta = check.call("fit", features, targets, radius)
    assert theta.shape == features.shape[1:], f"theta of shape {theta.shape} in {features.shape[1]} dimensions"
    norm = float(np.linalg.norm(theta))
    assert norm <= radius * (1 + 1e-12), f"theta of norm {norm}, the radius is {radius}"
    residual = fit_residual(features, targets, theta, radius)
    assert residual <= ROUNDING, f"theta {theta.tolist()} misses the conditions by {residual} of their scale"


@pytest.mark.guarantee("E7", needs=["ridge_regression"])
@instances(data=regressions(), ridge=st.sampled_from([1.0, 0.25, 4.0]))
def test_a_ridge_regression_solves_its_normal_equations(
    check: Check, data: tuple[FloatArray, FloatArray, float], ridge: float
) -> None:
    features, targets, _ = data
    # Features of order one: with a ridge of order one nothing is ill-conditioned, and rounding decides nothing.
    features = features / max(1.0, float(np.abs(features).max()))
    theta = check.call("ridge_regression", features, targets, ridge)
    normal = features.T @ features + ridge * np.eye(features.shape[1])
    residual = float(np.abs(normal @ theta - features.T @ targets).max())
    # Rounding is relative to the terms, which may be far above their sums.
    terms = np.abs(normal) @ np.abs(theta) + np.abs(features).T @ np.abs(targets)
    scale = max(float(terms.max()), np.finfo(np.float64).tiny)
    assert residual <= check.subject.rounding * scale, f"theta {theta.tolist()} misses by {residual}"


@pytest.mark.guarantee("E2", needs=["truncated_scores"])
@instances(
    problem=tabular_problems(min_responses=2), ridge=st.sampled_from([1.0, 0.1]), nu=st.sampled_from([0.3, 1.0, 0.7])
)
def test_truncation_keeps_the_scores_of_what_is_covered_and_of_nothing_else(
    check: Check, problem: TabularProblem, ridge: float, nu: float
) -> None:
    theta = realizing(problem)
    for features in problem.features:
        anchor = features[0]
        sigma = ridge * np.eye(problem.dimension) + features.T @ features
        relative = features - anchor
        lengths = np.sqrt(np.maximum((relative.T * np.linalg.solve(sigma, relative.T)).sum(axis=0), 0.0))
        scores = check.call("truncated_scores", features, anchor, theta, np.linalg.inv(sigma), nu)
        expected = np.where(lengths <= nu, relative @ theta, 0.0)
        judged = np.abs(lengths - nu) > ROUNDING * nu
        shown = f"scores {scores.tolist()}, by definition {expected.tolist()}"
        assert scores.shape == expected.shape, f"scores of shape {scores.shape}"
        assert np.allclose(scores[judged], expected[judged], atol=ROUNDING), shown


@pytest.mark.guarantee("E6", needs=["spanner_sampling"])
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_every_round_is_fitted_to_the_spanner_and_all_earlier_rounds(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    run = explore(check, problem, settings, check.seed("run"))
    for t, (component, played) in enumerate(zip(run.components, run.rounds, strict=True)):
        assert len(played.rewards) == 2, f"{len(played.rewards)} rewards were drawn in exploration round {t}"
        features, targets = data_of(problem, run.spanner + run.rounds[:t])
        norm = float(np.linalg.norm(component.theta))
        assert norm <= problem.radius * (1 + 1e-12), f"theta of norm {norm}"
        residual = fit_residual(features, targets, component.theta, problem.radius)
        assert residual <= ROUNDING, (
            f"theta of round {t} misses the conditions on its {len(features)} data by {residual}"
        )


@pytest.mark.guarantee("S2", needs=["spanner_sampling"])
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_the_policy_truncates_by_the_spanner_alone(check: Check, problem: TabularProblem, settings: Settings) -> None:
    run = explore(check, problem, settings, check.seed("run"))
    sigma = sigma_of(problem, run.spanner, settings.ridge)
    size = len(data_of(problem, run.spanner)[0])
    assert size <= spanner_size_bound(problem.dimension, settings.ridge, settings.nu), f"a spanner of {size} pairs"
    for component in run.components:
        assert component.nu == settings.nu, f"nu is {component.nu}, the settings have {settings.nu}"
        product = component.precision @ sigma
        assert np.allclose(product, np.eye(problem.dimension), atol=1e-8), "precision is not the inverse of Sigma_span"


@pytest.mark.guarantee("R1", needs=["spanner_sampling"])
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_an_exploration_round_costs_a_second_response_and_one_call(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    run = explore(check, problem, settings, check.seed("run"))
    bound = sampler_samples(settings.rejection_multiplier, settings.rejection_failure) + 1
    for each in run.rounds:
        assert each.samples <= bound, f"{each.samples} samples in a round, at most {bound} are allowed"
        rewarded = {response for response, _ in each.rewards}
        assert rewarded <= each.seen, f"rewards of {sorted(map(str, rewarded))} were drawn, but not all these responses"
        check.tightness(each.samples, bound)


@pytest.mark.guarantee("O3", needs=["spanner_sampling"])
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
    assert oracle.ledger.samples <= samples
    assert oracle.ledger.rewards <= rewards
    least = 2 * settings.exploration_rounds
    assert not completed or oracle.ledger.rewards >= least, f"a complete run drew {oracle.ledger.rewards} rewards"
    covered = samples >= most_samples and rewards >= most_rewards
    assert completed or not covered, f"stopped on a budget of {samples} samples, a run draws at most {most_samples}"


@pytest.mark.guarantee("R3", needs=["spanner_sampling"])
@experiments(problem=SAMPLED, settings=run_settings(), nu=st.sampled_from([1.0, 0.5]))
def test_exploration_draws_from_the_sampler_against_a_base_response(
    check: Check, problem: TabularProblem, settings: Settings, nu: float
) -> Experiment:
    """Given the second response, drawn from the base policy, the first has the exact law of A1."""
    # Some of the responses are truncated, and not all; a call is within 1e-6 of pi_f where M is at least 4 C (R3).
    multiplier = 32.0
    settings = replace(
        settings, nu=nu, ridge=1.0, prompts=1, exploration_rounds=16, rejection_multiplier=multiplier,
        rejection_failure=1e-4,
    )  # fmt: skip
    base = np.exp(problem.log_base)

    def observe(count: int, seed: int) -> Sequence[tuple[int, int, float]]:
        """Per event: which response of the round it is about, its outcome, and its chance."""
        seen: list[tuple[int, int, float]] = []
        oracles = fresh_oracles(problem, seed)
        while len(seen) < count:
            run = explore(check, problem, settings, seed + len(seen), next(oracles))
            for t, (component, played) in enumerate(zip(run.components, run.rounds, strict=True)):
                x = int(played.prompt)
                one, two = first_and_second(played)
                likely = int(np.argmax(base[x]))
                seen.append((2, int(two == likely), float(base[x, likely])))
                features = problem.features[x]
                uncertain = uncertain_mask(features[[two]], features, component.precision, component.nu)[0]
                scores = np.where(uncertain, 0.0, (features - features[two]) @ component.theta)
                law = np.exp(log_softmax(problem.log_base[x], scores, problem.beta))
                ratios = law / base[x]
                # By turns, whether the most preferred response is drawn, and whether the least preferred is not: a law
                # too near to the base policy has both too rarely.
                if sampler_multiplier(max(1.0, float(ratios.max()))) <= multiplier:
                    if t % 2 == 0:
                        event, share = one == int(np.argmax(ratios)), float(law[np.argmax(ratios)])
                    else:
                        event, share = one != int(np.argmin(ratios)), 1.0 - float(law[np.argmin(ratios)])
                    seen.append((1, int(event), min(1.0, max(0.0, share))))
        return seen

    def log_e(seen: Sequence[tuple[int, int, float]]) -> float:
        # The mean of two e-values is one: the correct response does not dilute the evidence against the other.
        first, second = (
            log_e_chances([hit for of, hit, _ in seen if of == each], [chance for of, _, chance in seen if of == each])
            for each in (1, 2)
        )
        return float(np.logaddexp(first, second)) - math.log(2.0)

    def words(seen: Sequence[tuple[int, int, float]]) -> str:
        hits, chances = (np.mean([each[part] for each in seen]) for part in (1, 2))
        return f"an event of mean chance {chances:.3g} had frequency {hits:.3g}"

    return Experiment(observe, log_e, 2 * min_samples_chances(check.discrepancy, alpha=check.alpha / 2), words)


@pytest.mark.guarantee("R2", needs=["spanner_sampling"])
# Few extreme problems have a score that is covered and not zero; about a third of SAMPLED have.
@instances(problem=SAMPLED | tabular_problems(min_responses=2), settings=run_settings())
def test_trials_of_exploration_have_the_truncated_score_of_their_round(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    """Judged where trials are queried; a learner that accepts by itself is judged by the law of its outputs."""
    run = explore(check, problem, settings, check.seed("run"))
    for component, played in zip(run.components, run.rounds, strict=True):
        rules = [entry.arguments[0] for entry in played.queries if entry.name == "sample_until"]
        features = problem.features[int(played.prompt)]
        held = problem.log_base[int(played.prompt)] > -np.inf
        _, two = first_and_second(played)
        relative = features - features[two]
        lengths = np.sqrt(np.maximum(((relative @ component.precision) * relative).sum(axis=1), 0.0))
        judged = held & (np.abs(lengths - component.nu) > ROUNDING * component.nu)
        expected = np.where(lengths <= component.nu, relative @ component.theta, 0.0)
        for rule in rules:
            assert isinstance(rule, RejectionRule), "a search for pairs in an exploration round"
            # A constant changes nothing (R5).
            difference = (rule.score.of(features) - expected)[judged]
            spread = float(np.ptp(difference)) if judged.any() else 0.0
            shown = f"scores {rule.score.of(features).tolist()}, of the round {expected.tolist()}"
            assert spread <= ROUNDING * (1 + float(np.abs(expected).max())), shown


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
        oracles = fresh_oracles(problem, seed)
        runs = (explore(check, problem, settings, seed + index, next(oracles)) for index in range(count))
        return [int(not all(inside for inside, _ in confident(problem, run, settings.ridge))) for run in runs]

    return check.mean_experiment(observe, DELTA)


def witness() -> TabularProblem:
    """E4's witness: one small difference with a large reward gives a rare response far away a wrong score."""
    reward = np.zeros((1, 3))
    return TabularProblem(
        prompt_law=np.ones(1), log_base=np.log([[0.599, 0.4, 0.001]]), features=np.array([[[0.0], [0.125], [1.0]]]),
        reward=reward, beta=0.25, radius=1.0, reward_range=0.125, reward_low=reward[:, 0] - 0.0625, noise=1.0,
        theta_star=np.zeros(1),
    )  # fmt: skip


@pytest.mark.guarantee("E4", needs=["fit", "log_softmax", "log_coverage"])
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


@pytest.mark.guarantee("E2", needs=["spanner_sampling", "truncated_scores"])
@instances(problem=CONFIDENT, settings=run_settings())
def test_scores_of_confident_rounds_are_accurate(check: Check, problem: TabularProblem, settings: Settings) -> None:
    bound = problem.beta / 2
    for each in confident_rounds(check, problem, settings):
        error = float(np.abs(each.scores - each.exact).max())
        assert error <= bound * (1 + ROUNDING), f"scores are off by {error}, at most beta/2 = {bound} is allowed"
        check.tightness(error, bound)


@pytest.mark.guarantee("E3", needs=["spanner_sampling", "truncated_scores"])
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
