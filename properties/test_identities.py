"""Identities of policies, divergence and coverage (I1-I4), on every table that Hypothesis finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import logsumexp

from spanver.guarantees.identities import kl_bound, log_coverage_bound
from spanver.guarantees.residuals import least_divergence
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.search import instances

ROUNDING = 1e-9


def law_of(check: Check, log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    law: FloatArray = check.call("log_softmax", log_base, scores, beta)
    assert law.shape == log_base.shape, f"a law of shape {law.shape} over {log_base.shape} responses"
    return law


def objective(law: FloatArray, log_base: FloatArray, reward: FloatArray, beta: float) -> float:
    """`E[r*] - beta KL(law || base)` by its definition."""
    held = law > -np.inf
    return float(np.exp(law[held]) @ (reward[held] - beta * (law[held] - log_base[held])))


@pytest.mark.guarantee("I1", needs=["log_softmax"])
@instances(problem=tabular_problems(), shift=st.integers(-8, 8))
def test_policies_sum_to_one_and_ignore_what_is_common_to_all_responses(
    check: Check, problem: TabularProblem, shift: int
) -> None:
    theta, beta = realizing(problem), problem.beta
    tolerance = 1e-14 * (1.0 + abs(shift)) / beta + ROUNDING
    for log_base, features in zip(problem.log_base, problem.features, strict=True):
        scores = features @ theta
        law = law_of(check, log_base, scores, beta)
        assert abs(np.exp(law).sum() - 1.0) <= ROUNDING, "probabilities do not sum to 1"
        assert ((law == -np.inf) == (log_base == -np.inf)).all(), "the support is not that of the base policy"
        exponents = log_base + scores / beta
        assert np.allclose(np.exp(law), np.exp(exponents - logsumexp(exponents)), atol=tolerance), "not the softmax"
        shifted = law_of(check, log_base, scores + shift, beta)
        moved = law_of(check, log_base, (features + shift / 8) @ theta, beta)
        assert np.allclose(np.exp(law), np.exp(shifted), atol=tolerance), "changed by a constant added to scores"
        assert np.allclose(np.exp(law), np.exp(moved), atol=tolerance), "changed by a vector added to all features"


@pytest.mark.guarantee("I2", needs=["log_softmax", "kl_divergence"])
@instances(problem=tabular_problems())
def test_the_gap_is_beta_times_the_divergence_from_the_optimum(check: Check, problem: TabularProblem) -> None:
    beta, theta = problem.beta, realizing(problem)
    for log_base, features, reward in zip(problem.log_base, problem.features, problem.reward, strict=True):
        optimum = law_of(check, log_base, reward, beta)
        best = objective(optimum, log_base, reward, beta)
        assert np.isclose(best, beta * logsumexp(log_base + reward / beta), atol=ROUNDING), "the optimum's value"
        for law in (log_base, law_of(check, log_base, -(features @ theta), beta)):
            divergence = check.call("kl_divergence", law, optimum)
            least = least_divergence(law, optimum)
            assert divergence >= least, f"kl_divergence returned {divergence}, which cannot be below {least}"
            gap = best - objective(law, log_base, reward, beta)
            assert np.isclose(beta * divergence, gap, atol=ROUNDING), f"beta KL is {beta * divergence}, the gap {gap}"


@pytest.mark.guarantee("I2", needs=["kl_divergence"])
@instances(problem=tabular_problems(max_prompts=1, min_responses=2))
def test_divergence_is_infinite_where_the_second_law_lacks_mass(check: Check, problem: TabularProblem) -> None:
    narrow = np.append(problem.log_base[0], -np.inf)
    wide = np.append(problem.log_base[0] - np.log(2.0), -np.log(2.0))
    assert check.call("kl_divergence", wide, narrow) == np.inf, "finite, though it lacks mass"
    divergence = check.call("kl_divergence", narrow, wide)
    assert np.isclose(divergence, np.log(2.0), atol=ROUNDING), f"{divergence}, and log 2 the other way round"


@pytest.mark.guarantee("I3", needs=["log_softmax", "log_coverage"])
@instances(problem=tabular_problems())
def test_coverage_lies_between_one_and_its_bound_and_grows_as_beta_shrinks(
    check: Check, problem: TabularProblem
) -> None:
    for log_base, reward in zip(problem.log_base, problem.reward, strict=True):
        held = log_base > -np.inf
        assert abs(check.call("log_coverage", log_base, log_base)) <= ROUNDING, "the base policy's is not 1"
        oscillation = float(np.ptp(reward[held]))
        before = 0.0
        for beta in (4.0, 1.0, problem.beta, problem.beta / 2):
            law = law_of(check, log_base, reward, beta)
            coverage = check.call("log_coverage", law, log_base)
            bound = log_coverage_bound(oscillation=oscillation, beta=beta)
            assert -ROUNDING <= coverage <= bound + ROUNDING * (1 + bound), f"log coverage {coverage}, bound {bound}"
            expected = float((law[held] - log_base[held]).max())
            assert np.isclose(coverage, expected, rtol=ROUNDING, atol=ROUNDING), f"{coverage}, by definition {expected}"
            if beta <= 1.0 or before == 0.0:
                assert coverage >= before - ROUNDING * (1 + before), "smaller at smaller beta"
                before = coverage
            check.tightness(coverage, bound)


@pytest.mark.guarantee("I3", needs=["log_coverage"])
@instances(problem=tabular_problems(max_prompts=1, min_responses=2))
def test_coverage_of_mass_outside_the_base_support_is_infinite(check: Check, problem: TabularProblem) -> None:
    outside = np.append(problem.log_base[0], -np.inf)
    law = np.append(problem.log_base[0] - np.log(2.0), -np.log(2.0))
    assert check.call("log_coverage", law, outside) == np.inf


@pytest.mark.guarantee("I4", needs=["log_softmax", "kl_divergence"])
@instances(problem=tabular_problems(), constant=st.integers(-4, 4))
def test_divergence_is_bounded_by_the_squared_difference_of_scores(
    check: Check, problem: TabularProblem, constant: int
) -> None:
    beta, theta = problem.beta, realizing(problem)
    for log_base, features in zip(problem.log_base, problem.features, strict=True):
        held = log_base > -np.inf
        f = features @ theta
        g = np.round(f * 4.0) / 4.0 * min(1.0, beta)
        law, other = law_of(check, log_base, f, beta), law_of(check, log_base, g + constant, beta)
        error = f - g - float(np.mean((f - g)[held]))
        deviation = float(np.abs(error[held]).max()) / beta
        squared = float(np.exp(law[held]) @ error[held] ** 2)
        bound = kl_bound(beta=beta, deviation=deviation, squared_error=squared)
        measured = beta * check.call("kl_divergence", law, other)
        assert measured <= bound * (1 + ROUNDING) + ROUNDING * (1 + 1e-6 / beta), f"{measured}, bound {bound}"
        check.tightness(measured, bound)


@pytest.mark.guarantee("I4", needs=["log_softmax", "kl_divergence"])
@instances(beta=st.sampled_from([1.0, 0.1, 0.01]), share=st.integers(1, 9).map(lambda k: k / 10))
def test_the_bound_on_divergence_is_attained_by_small_differences(check: Check, beta: float, share: float) -> None:
    log_base = np.log(np.array([share, 1.0 - share]))
    small = 1e-3 * beta
    law = law_of(check, log_base, np.array([small * (1.0 - share), -small * share]), beta)
    probability = float(np.exp(law[0]))
    centred = small * np.array([1.0 - probability, -probability])
    bound = kl_bound(beta=beta, deviation=1e-3, squared_error=float(np.exp(law) @ centred**2))
    measured = beta * check.call("kl_divergence", law, log_base)
    assert 0.99 * bound <= measured <= bound * (1 + 1e-6), f"{measured}, where {bound} is attained"
