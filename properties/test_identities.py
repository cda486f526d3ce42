"""Identities of policies, divergence and coverage (I1-I4), on every table that Hypothesis finds."""

from __future__ import annotations

import math

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
from spanver.verification.design import designed
from spanver.verification.search import instances

ROUNDING = 1e-9

# Responses of different weights at beta 1/2, the last of which is impossible.
WEIGHTED = TabularProblem(
    prompt_law=np.ones(1),
    log_base=np.array([[np.log(0.5), np.log(0.3), np.log(0.2), -np.inf]]),
    features=np.array([[[0.5], [-0.25], [1.0], [0.25]]]),
    reward=np.array([[0.5, -0.25, 1.0, 0.25]]),
    beta=0.5,
    radius=1.0,
    reward_range=2.0,
    reward_low=np.array([-1.0]),
    theta_star=np.ones(1),
)
# Logarithms of two laws. Those of the last ones are of probabilities that no float holds, and of 0.
NEAR = {"law": np.log([0.8, 0.2]), "reference": np.log([0.5, 0.5])}
MODES_APART = {"law": np.log([0.5, 0.3, 0.2]), "reference": np.log([0.6, 0.1, 0.3])}
FAR = {"law": np.array([np.log(0.5), np.log(0.5), -np.inf]), "reference": np.array([0.0, -800.0, -np.inf])}


@st.composite
def log_laws(draw: st.DrawFn, size: int) -> FloatArray:
    """Logarithms of a law, shape (n,), of probabilities at any scale, some of them 0."""
    logs = np.array(
        draw(st.lists(st.sampled_from([0.0, -0.5, -2.0, -20.0, -800.0, -np.inf]), min_size=size, max_size=size))
    )
    logs[int(np.argmax(logs))] = 0.0
    normalised: FloatArray = logs - logsumexp(logs)
    return normalised


@st.composite
def pairs_of_laws(draw: st.DrawFn) -> dict[str, FloatArray]:
    """Any two laws of which the second has mass wherever the first has, by name."""
    size = draw(st.integers(1, 4))
    law, reference = draw(log_laws(size)), draw(log_laws(size))
    reference = np.where(reference == -np.inf, np.where(law > -np.inf, -1.0, -np.inf), reference)
    return {"law": law, "reference": reference - logsumexp(reference)}


LAWS = pairs_of_laws()


def law_of(check: Check, log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    law: FloatArray = check.call("log_softmax", log_base, scores, beta)
    assert law.shape == log_base.shape, f"a law of shape {law.shape} over {log_base.shape} responses"
    return law


def objective(law: FloatArray, log_base: FloatArray, reward: FloatArray, beta: float) -> float:
    """`E[r*] - beta KL(law || base)` by its definition."""
    held = law > -np.inf
    return float(np.exp(law[held]) @ (reward[held] - beta * (law[held] - log_base[held])))


@pytest.mark.guarantee("I1", needs=["log_softmax"])
@designed(
    [{"problem": WEIGHTED, "shift": 1}],
    [
        "softmax-without-base",
        "softmax-base-twice",
        "softmax-times-beta",
        "softmax-beta-squared",
        "softmax-over-everything",
        "softmax-floored",
        "softmax-unnormalised",
    ],
)
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
@designed(
    [{"laws": laws} for laws in (NEAR, FAR)],
    [
        "divergence-without-probability",
        "divergence-estimated",
        "divergence-absolute",
        "divergence-reversed",
        "divergence-symmetric",
        "divergence-in-bits",
        "divergence-halved",
        "divergence-doubled",
        "divergence-squared-distance",
        "divergence-multiplied-out",
        "divergence-of-probabilities",
    ],
)
@instances(laws=LAWS)
def test_the_divergence_is_the_expected_log_ratio(check: Check, laws: dict[str, FloatArray]) -> None:
    law, reference = laws["law"], laws["reference"]
    held = law > -np.inf
    p, logs, others = np.exp(law[held]), law[held], reference[held]
    expected = math.fsum(p * (logs - others))
    # Terms of a sum: each a product of an exponential, off by its argument's share, and of a difference.
    size = math.fsum(p * (1.0 + np.abs(logs)) * (1.0 + np.abs(logs) + np.abs(others)))
    rounding = 2.0 * (len(law) + 8) * check.subject.unit * size
    divergence = check.call("kl_divergence", law, reference)
    assert abs(divergence - expected) <= rounding, f"kl_divergence returned {divergence}, by definition {expected}"


@pytest.mark.guarantee("I2", needs=["kl_divergence"])
@designed([{"problem": WEIGHTED}], ["divergence-shared-support"])
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
@designed(
    [{"laws": laws} for laws in (NEAR, MODES_APART, FAR)],
    [
        "coverage-absolute",
        "coverage-mean",
        "coverage-of-divergence",
        "coverage-reversed",
        "coverage-not-logged",
        "coverage-at-the-mode",
        "coverage-all-ratios",
    ],
)
@instances(laws=LAWS)
def test_the_logarithm_of_coverage_is_the_largest_log_ratio(check: Check, laws: dict[str, FloatArray]) -> None:
    law, reference = laws["law"], laws["reference"]
    held = law > -np.inf
    expected = float((law[held] - reference[held]).max())
    # A difference of two rounded logarithms, or the logarithm of a quotient of two exponentials.
    rounding = 4.0 * check.subject.unit * float((1.0 + np.abs(law[held]) + np.abs(reference[held])).max())
    coverage = check.call("log_coverage", law, reference)
    assert abs(coverage - expected) <= rounding, f"log_coverage returned {coverage}, by definition {expected}"


@pytest.mark.guarantee("I3", needs=["log_coverage"])
@designed([{"problem": WEIGHTED}], ["coverage-inside-only"])
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
@designed([{"beta": 1.0, "share": 0.3}], ["divergence-halved", "divergence-doubled"])
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
