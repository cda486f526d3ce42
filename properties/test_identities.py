"""Identities of policies, divergence, its estimates and coverage (I1-I4, I8), on every table that Hypothesis finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import logsumexp

from spanver.guarantees.identities import kl_bound, log_coverage_bound
from spanver.guarantees.rounding import (
    kl_divergence_error,
    kl_estimate_error,
    log_coverage_error,
    log_softmax_error,
    mean_error,
)
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances

from .rounded import assert_at_least, assert_at_most, assert_near

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


def normalised(law: FloatArray) -> FloatArray:
    """The law with its rounding divided out: its masses sum to 1 as nearly as float64 has it."""
    return law - float(logsumexp(law))


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
    theta, beta, unit = realizing(problem), problem.beta, check.subject.unit
    for log_base, features in zip(problem.log_base, problem.features, strict=True):
        scores = features @ theta
        exponents = log_base + scores / beta
        expected = exponents - logsumexp(exponents)
        error = log_softmax_error(unit, log_base, scores, beta)
        law = law_of(check, log_base, scores, beta)
        other = np.flatnonzero((law == -np.inf) != (log_base == -np.inf))
        assert not len(other), (
            f"response {other[0]} has the log probability {law[other[0]]:.6g}, "
            f"and the base probability {np.exp(log_base[other[0]]):.6g}: the support is not that of the base policy"
        )
        assert_near(check, "the sum of probabilities", np.exp(law).sum(), 1.0, mean_error(expected, error))
        assert_near(check, "not the softmax, a log probability", law, expected, error)
        error += log_softmax_error(unit, log_base, np.abs(scores) + abs(shift), beta)
        shifted = law_of(check, log_base, scores + shift, beta)
        assert_near(check, "changed by a constant added to scores, a log probability", shifted, law, error)
        moved = law_of(check, log_base, (features + shift / 8) @ theta, beta)
        assert_near(check, "changed by a vector added to all features, a log probability", moved, law, error)


@pytest.mark.guarantee("I2", needs=["log_softmax", "kl_divergence"])
@instances(problem=tabular_problems())
def test_the_gap_is_beta_times_the_divergence_from_the_optimum(check: Check, problem: TabularProblem) -> None:
    beta, theta, unit = problem.beta, realizing(problem), check.subject.unit
    for log_base, features, reward in zip(problem.log_base, problem.features, problem.reward, strict=True):
        optimum = law_of(check, log_base, reward, beta)
        error = log_softmax_error(unit, log_base, reward, beta)
        exact = beta * float(logsumexp(log_base + reward / beta))
        best = objective(normalised(optimum), log_base, reward, beta)
        # At most twice: dividing by the sum of probabilities moves them as far again.
        assert_near(check, "the optimum's value", best, exact, 2.0 * beta * mean_error(optimum, error))
        for scores in (np.zeros(len(reward)), -(features @ theta)):
            law = normalised(law_of(check, log_base, scores, beta))
            divergence = check.call("kl_divergence", law, optimum)
            gap = exact - objective(law, log_base, reward, beta)
            allowed = beta * (mean_error(law, error) + kl_divergence_error(unit, law, optimum))
            assert_near(check, "beta KL, and the gap", beta * divergence, gap, allowed)
            # Its other forms speak of the policy of the scores, and not of the rounded one.
            allowed += beta * mean_error(law, 2.0 * log_softmax_error(unit, log_base, scores, beta))
            for words, other in other_forms(law, log_base, scores, reward, beta).items():
                assert_near(check, f"beta KL, and {words}", beta * divergence, other, allowed)


def other_forms(
    law: FloatArray, log_base: FloatArray, scores: FloatArray, reward: FloatArray, beta: float
) -> dict[str, float]:
    """The gap of the policy of scores by two other forms, `E` under its law."""
    held = law > -np.inf
    probabilities, excess = np.exp(law[held]), (scores - reward)[held]
    mean = float(probabilities @ excess)
    normalisers = float(logsumexp(log_base + reward / beta) - logsumexp(log_base + scores / beta))
    moment = float(logsumexp(law[held] - excess / beta))
    return {
        "beta log(Z_r/Z_f) + E(f - r)": beta * normalisers + mean,
        "beta log E exp((r - f)/beta) + E(f - r)": beta * moment + mean,
    }


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


@pytest.mark.guarantee("I8", needs=["kl_estimate"])
@designed(
    [{"laws": laws} for laws in (NEAR, MODES_APART)],
    [
        "estimate-squared",
        "estimate-reversed",
        "estimate-negated",
        "estimate-absolute",
        "estimate-clipped",
        "estimate-weighted",
        "estimate-without-one",
        "estimate-ratio-clipped",
        "estimate-in-bits",
    ],
)
@instances(laws=LAWS)
def test_estimates_of_the_divergence_have_it_for_their_mean(check: Check, laws: dict[str, FloatArray]) -> None:
    """Each response is one draw, so that the mean is exact. Draws that come once in 1e9 times are left out."""
    held = laws["law"] > math.log(1e-9)
    # The largest is subtracted first: the logarithm of a tiny sum is known to fewer digits.
    law, reference = (normalised(each[held] - each[held].max()) for each in (laws["law"], laws["reference"]))
    estimates = check.call("kl_estimate", law, reference)
    assert estimates.shape == law.shape, f"{estimates.size} estimates from {law.size} draws"
    expected, allowed = (
        math.fsum(np.exp(law) * (law - reference)),
        kl_estimate_error(check.subject.unit, law, reference),
    )
    assert_near(check, "the mean of estimates of the divergence", math.fsum(np.exp(law) * estimates), expected, allowed)


@pytest.mark.guarantee("I2", needs=["kl_divergence"])
@designed([{"problem": WEIGHTED}], ["divergence-shared-support"])
@instances(problem=tabular_problems(max_prompts=1, min_responses=2))
def test_divergence_is_its_definition(check: Check, problem: TabularProblem) -> None:
    """Also of equal laws, where it may be below 0 by rounding, and where the second lacks mass."""
    law, reward = problem.log_base[0], problem.log_base[0] + problem.reward[0]
    narrow, wide = np.append(law, -np.inf), np.append(law - np.log(2.0), -np.log(2.0))
    assert check.call("kl_divergence", wide, narrow) == np.inf, "finite, though it lacks mass"
    for other, words in ((law, "itself"), (reward - float(logsumexp(reward)), "another law")):
        held = law > -np.inf
        expected = float(np.exp(law[held]) @ (law[held] - other[held]))
        allowed = kl_divergence_error(check.subject.unit, law, other)
        assert_near(check, f"the divergence from {words}", check.call("kl_divergence", law, other), expected, allowed)
    allowed = kl_divergence_error(check.subject.unit, narrow, wide)
    divergence = check.call("kl_divergence", narrow, wide)
    assert_near(check, "log 2, the divergence from half the law", divergence, np.log(2.0), allowed)


@pytest.mark.guarantee("I3", needs=["log_softmax", "log_coverage"])
@instances(problem=tabular_problems())
def test_coverage_lies_between_one_and_its_bound_and_grows_as_beta_shrinks(
    check: Check, problem: TabularProblem
) -> None:
    unit = check.subject.unit
    for log_base, reward in zip(problem.log_base, problem.reward, strict=True):
        held = log_base > -np.inf
        own = log_coverage_error(unit, log_base, log_base)
        assert_near(check, "log C(pi_ref)", check.call("log_coverage", log_base, log_base), 0.0, own)
        excess = max(0.0, float(reward[held].max() - np.exp(log_base[held]) @ reward[held]))
        before, off_before = 0.0, 0.0
        for beta in (4.0, 1.0, problem.beta, problem.beta / 2):
            law = law_of(check, log_base, reward, beta)
            coverage = check.call("log_coverage", law, log_base)
            bound = log_coverage_bound(excess, beta)
            off = log_coverage_error(unit, law, log_base)
            expected = float((law[held] - log_base[held]).max())
            assert_near(check, f"log C at beta {beta}, and its definition", coverage, expected, off)
            off += float(log_softmax_error(unit, log_base, reward, beta).max())
            assert_at_most(check, f"log C(pi*) at beta {beta}", coverage, bound, off)
            assert_at_least(check, f"log C(pi*) at beta {beta}", coverage, 0.0, off)
            if beta <= 1.0 or before == 0.0:
                assert_at_least(
                    check, f"log C(pi*) at beta {beta}, than at a larger one", coverage, before, off + off_before
                )
                before, off_before = coverage, off
            check.tightness(coverage, bound + off)


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
    beta, theta, unit = problem.beta, realizing(problem), check.subject.unit
    for log_base, features in zip(problem.log_base, problem.features, strict=True):
        held = log_base > -np.inf
        f = features @ theta
        g = np.round(f * 4.0) / 4.0 * min(1.0, beta)
        law, other = normalised(law_of(check, log_base, f, beta)), law_of(check, log_base, g + constant, beta)
        off = log_softmax_error(unit, log_base, f, beta), log_softmax_error(unit, log_base, g + constant, beta)
        error = f - g - float(np.mean((f - g)[held]))
        # The law is that of scores off by twice its error; the other one is off in its logarithms.
        deviation = (np.abs(error) + 2.0 * beta * off[0])[held]
        squared = float(np.exp(law[held]) @ deviation**2)
        bound = kl_bound(beta=beta, deviation=min(float(deviation.max()) / beta, 1e4), squared_error=min(squared, 1e8))
        allowed = beta * (mean_error(law, off[1]) + kl_divergence_error(unit, law, other))
        measured = beta * check.call("kl_divergence", law, other)
        assert_at_most(check, "beta KL, by the squared difference of scores", measured, bound, allowed)
        check.tightness(measured, bound)


@pytest.mark.guarantee("I4", needs=["log_softmax", "kl_divergence"])
@designed([{"beta": 1.0, "share": 0.3}], ["divergence-halved", "divergence-doubled"])
@instances(beta=st.sampled_from([1.0, 0.1, 0.01]), share=st.integers(1, 9).map(lambda k: k / 10))
def test_the_bound_on_divergence_is_attained_by_small_differences(check: Check, beta: float, share: float) -> None:
    log_base, unit = np.log(np.array([share, 1.0 - share])), check.subject.unit
    # So small that the bound is tight to 1 %, and not smaller: rounding is relative to the laws.
    small = 1e-3 * beta
    scores = np.array([small * (1.0 - share), -small * share])
    error = log_softmax_error(unit, log_base, scores, beta)
    law = normalised(law_of(check, log_base, scores, beta))
    probability = float(np.exp(law[0]))
    centred = small * np.array([1.0 - probability, -probability])
    bound = kl_bound(beta=beta, deviation=1e-3, squared_error=float(np.exp(law) @ centred**2))
    measured = beta * check.call("kl_divergence", law, log_base)
    # Log ratios of 1e-3 are off by twice the error; the divergence is half their mean square.
    off = 2.0 * float(error.max())
    allowed = beta * (off * (1e-3 + off) + kl_divergence_error(unit, law, log_base))
    assert_near(check, "beta KL, where its bound is attained", measured, bound, allowed + 0.01 * bound)
