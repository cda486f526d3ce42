"""Token problems (I5-I7): identities of values are compared with sums over all sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import logsumexp

from spanver.guarantees.identities import log_sequence_coverage
from spanver.guarantees.rounding import kl_divergence_error, log_coverage_error, log_softmax_error, soft_q_error
from spanver.problems.layered import soft_q
from spanver.problems.tokens import TokenProblem
from spanver.strategies import token_problems
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances

from .designs import TOKENS, named
from .rounded import assert_at_most, assert_near

PROBLEMS = token_problems()

VALUES = named("values", "hard mean inverse-beta no-beta uniform-base unnormalised-base shifted-rows")


def values_of(check: Check, problem: TokenProblem) -> Sequence[FloatArray]:
    values: Sequence[FloatArray] = check.call("soft_q", list(problem.log_base), problem.reward, problem.beta)
    shapes = [value.shape for value in values]
    assert shapes == [base.shape for base in problem.log_base], f"values of shapes {shapes}"
    return values


def policy_of(check: Check, problem: TokenProblem) -> list[FloatArray]:
    """Laws of all tokens under `pi*`, from the subject's values and its softmax."""
    return [
        np.array([check.call("log_softmax", *row, problem.beta) for row in zip(base, q, strict=True)])
        for base, q in zip(problem.log_base, values_of(check, problem), strict=True)
    ]


def of_sequences(laws: Sequence[FloatArray]) -> FloatArray:
    """Sum of the log laws of all tokens, of every complete sequence, shape (X, A^H), by its definition."""
    horizon, vocabulary_size = len(laws), laws[0].shape[1]
    total = np.zeros(len(laws[0]) * vocabulary_size**horizon)
    for sequence in range(total.size):
        row = sequence
        for law in reversed(laws):
            row, token = divmod(row, vocabulary_size)
            total[sequence] += law[row, token]
    return total.reshape(len(laws[0]), -1)


def errors_of(check: Check, problem: TokenProblem) -> tuple[list[FloatArray], list[FloatArray]]:
    """Rounding of the values of tokens, and of the logs of their laws under `pi*`, of the shapes of `log_base`."""
    unit, beta, exact = check.subject.unit, problem.beta, soft_q(problem)
    values = soft_q_error(unit, problem.log_base, exact, beta)
    laws = [
        log_softmax_error(unit, base, q, beta, error)
        for base, q, error in zip(problem.log_base, exact, values, strict=True)
    ]
    return values, laws


@pytest.mark.guarantee("I6", needs=["soft_q", "log_softmax"])
@designed([{"problem": TOKENS}], VALUES)
@instances(problem=PROBLEMS)
def test_the_recursion_over_tokens_gives_the_optimum_over_sequences(check: Check, problem: TokenProblem) -> None:
    base, law = of_sequences(problem.log_base), of_sequences(policy_of(check, problem))
    error = of_sequences(errors_of(check, problem)[1])
    for log_base, reward, found, off in zip(base, problem.reward, law, error, strict=True):
        exponents = log_base + reward / problem.beta
        optimum = exponents - logsumexp(exponents)
        allowed = off + log_softmax_error(0.0, log_base, reward, problem.beta)
        assert_near(check, "not the softmax of sequences, a log probability", found, optimum, allowed)


@pytest.mark.guarantee("I6", needs=["soft_q", "log_softmax", "log_coverage"])
@instances(problem=PROBLEMS)
def test_coverage_of_sequences_is_at_most_the_power_of_that_of_tokens(check: Check, problem: TokenProblem) -> None:
    laws, unit = policy_of(check, problem), check.subject.unit
    reached = np.ones(problem.prompts, dtype=bool)
    largest, off = 0.0, 0.0
    for law, base in zip(laws, problem.log_base, strict=True):
        for row in np.flatnonzero(reached):
            largest = max(largest, float(check.call("log_coverage", law[row], base[row])))
            off = max(off, log_coverage_error(unit, law[row], base[row]))
        reached = (reached[:, None] & (base > -np.inf)).reshape(-1)
    bound = log_sequence_coverage(largest, problem.horizon)
    for law, base in zip(of_sequences(laws), of_sequences(problem.log_base), strict=True):
        coverage = float(check.call("log_coverage", law, base))
        allowed = problem.horizon * off + log_coverage_error(unit, law, base)
        assert_at_most(check, "log C(pi*), and H log C_cond", coverage, bound, allowed)
        check.tightness(coverage, bound)


@pytest.mark.guarantee("I7", needs=["soft_q", "log_softmax"])
@designed([{"problem": TOKENS}], VALUES)
@instances(problem=PROBLEMS)
def test_a_reward_less_the_ratios_after_a_token_is_its_value(check: Check, problem: TokenProblem) -> None:
    values, laws = values_of(check, problem), policy_of(check, problem)
    value_errors, law_errors = errors_of(check, problem)
    base, vocabulary_size = of_sequences(problem.log_base).reshape(-1), problem.vocabulary_size
    layers = list(zip(values, laws, problem.log_base, value_errors, law_errors, strict=True))
    for sequence in np.flatnonzero(base > -np.inf):
        row, rest, off = int(sequence), float(problem.reward.reshape(-1)[sequence]), 0.0
        for q, law, log_base, value_error, law_error in reversed(layers):
            row, token = divmod(row, vocabulary_size)
            if law[row, token] == -np.inf:  # below the smallest number: its ratio is unknown
                break
            allowed = off + float(value_error[row, token])
            assert_near(check, "a value, and the rest on a completion", q[row, token], rest, allowed)
            rest -= problem.beta * (law[row, token] - log_base[row, token])
            off += problem.beta * float(law_error[row, token])


@pytest.mark.guarantee("I5", needs=["soft_q", "log_softmax", "kl_divergence"])
@designed([{"problem": TOKENS, "sharpness": 1.0}], VALUES)
@instances(problem=PROBLEMS, sharpness=st.sampled_from([0.0, 1.0, -1.0, 0.25]))
def test_the_gap_of_a_token_policy_is_its_divergence_summed_over_tokens(
    check: Check, problem: TokenProblem, sharpness: float
) -> None:
    optimum, beta, unit = policy_of(check, problem), problem.beta, check.subject.unit
    # A policy with scores of its own at every prefix: 0 is the base policy.
    laws = [base + sharpness * np.cos(np.arange(base.size)).reshape(base.shape) for base in problem.log_base]
    laws = [law - logsumexp(law, axis=1, keepdims=True) for law in laws]
    divergence, allowed = np.zeros(problem.reward.size), np.zeros(problem.reward.size)
    for law, best, error in zip(*map(reversed, (laws, optimum, errors_of(check, problem)[1])), strict=True):
        own = np.array([check.call("kl_divergence", *rows) for rows in zip(law, best, strict=True)])
        off = np.array([kl_divergence_error(unit, *rows) for rows in zip(law, best, strict=True)])
        chances = np.exp(law)
        allowed = off + (chances * (error + allowed.reshape(law.shape))).sum(axis=1)
        divergence = own + (chances * divergence.reshape(law.shape)).sum(axis=1)
    base, played = of_sequences(problem.log_base), of_sequences(laws)
    for x in range(problem.prompts):
        held = played[x] > -np.inf
        gained = np.exp(played[x][held]) @ (problem.reward[x][held] - beta * (played[x][held] - base[x][held]))
        lost = beta * logsumexp(base[x] + problem.reward[x] / beta) - gained
        assert_near(check, "beta KL over tokens, and the gap", beta * divergence[x], lost, beta * float(allowed[x]))
