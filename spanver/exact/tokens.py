"""Exact quantities of token policies: law, coverage, KL, objective, gap (A4; I5-I7), all by recursion in log space.

A *token law* is a sequence of `H` arrays of shapes (X A^{h-1}, A) of `log pi_h(a|s)`, one row a prefix, minus infinity
where the policy puts no mass. Nothing here lists pairs of sequences, so the cost is that of the table of prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spanver.exact import tabular as exact
from spanver.kernels import log_normaliser, log_softmax
from spanver.policies import TokenPolicy
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem, log_sequence_law, soft_q
from spanver.validation import require
from spanver.values import FloatArray

TokenLaw = Sequence[FloatArray]


def log_token_law(problem: TokenProblem, policy: TokenPolicy) -> tuple[FloatArray, ...]:
    """Exact law of a token policy; at truncated layers the mixture over the second token `a' ~ pi_ref,h(.|s)`.

    This is the law with exact sampling of `pi_f` (as `exact.log_law`).

    Returns
    -------
    tuple of H arrays, of shapes (X A^{h-1}, A)
    """
    require(len(policy.layers) == problem.horizon, "the layers of policy", len(policy.layers), str(problem.horizon))
    laws = []
    for log_base, features, layer in zip(problem.log_base, problem.features, policy.layers, strict=True):
        rows = np.full(len(log_base), 1.0 / len(log_base))
        no_reward = np.zeros_like(log_base)
        table = TabularProblem(rows, log_base, features, no_reward, problem.beta, problem.radius)
        laws.append(exact.log_law(table, layer))
    return tuple(laws)


def soft_values(problem: TokenProblem) -> tuple[FloatArray, ...]:
    """Optimal value `V_h(s)` of every prefix: `H` arrays of shapes (X A^{h-1},)."""
    return tuple(
        problem.beta * log_normaliser(log_base, q, problem.beta)
        for log_base, q in zip(problem.log_base, soft_q(problem), strict=True)
    )


def log_optimal_law(problem: TokenProblem) -> tuple[FloatArray, ...]:
    """Token law of `pi*`: `pi_ref,h exp((Q_h - V_h)/beta)` (A4)."""
    return tuple(
        log_softmax(log_base, q, problem.beta) for log_base, q in zip(problem.log_base, soft_q(problem), strict=True)
    )


def log_conditional_coverage(problem: TokenProblem, law: TokenLaw) -> float:
    """`log max_h sup_{s,a} pi_h(a|s)/pi_ref,h(a|s)` over the prefixes that `pi_ref` reaches; `log C_cond` for `pi*`."""
    reached = problem.prompt_law > 0.0
    largest = -np.inf
    for log_base, log_law in zip(problem.log_base, law, strict=True):
        largest = max(largest, float(exact.log_ratio(log_law, log_base)[reached].max()))
        reached = (reached[:, None] & (log_base > -np.inf)).reshape(-1)
    return largest


def log_coverage(problem: TokenProblem, law: TokenLaw) -> FloatArray:
    """`log C(pi|x)` over complete sequences, shape (X,); infinite for mass outside the base support."""
    return exact.log_ratio(log_sequence_law(law), log_sequence_law(problem.log_base))


def kl_divergence(problem: TokenProblem, law: TokenLaw, reference: TokenLaw) -> FloatArray:
    """`KL(law || reference)` over complete sequences, of every prompt, by the chain rule, shape (X,)."""
    below = np.zeros(problem.reward.size)
    for log_law, log_reference in zip(reversed(law), reversed(reference), strict=True):
        below = exact.kl_divergence(log_law, log_reference) + _expected(log_law, below)
    return below


def objective(problem: TokenProblem, law: TokenLaw) -> float:
    """`J(pi) = E[r*] - beta E_x KL(pi || pi_ref)`."""
    value = problem.reward.reshape(-1)
    for log_law in reversed(law):
        value = _expected(log_law, value)
    return _over_prompts(problem, value - problem.beta * kl_divergence(problem, law, problem.log_base))


def best_objective(problem: TokenProblem) -> float:
    """`J(pi*) = E_x V_1(x)`."""
    return _over_prompts(problem, soft_values(problem)[0])


def token_gap(problem: TokenProblem, law: TokenLaw) -> float:
    """`J(pi*) - J(pi) = beta E_pi sum_h KL(pi_h || pi*_h)` (I5): small gaps keep their digits."""
    return _over_prompts(problem, problem.beta * kl_divergence(problem, law, log_optimal_law(problem)))


def _expected(log_law: FloatArray, values: FloatArray) -> FloatArray:
    """Mean over the next token of a value of every prefix one token longer; infinite values without mass count 0."""
    masses = np.exp(log_law)
    terms = np.multiply(masses, values.reshape(masses.shape), out=np.zeros_like(masses), where=masses > 0.0)
    expected: FloatArray = terms.sum(axis=1)
    return expected


def _over_prompts(problem: TokenProblem, values: FloatArray) -> float:
    possible = problem.prompt_law > 0.0
    return float(problem.prompt_law[possible] @ values[possible])
