"""Exact quantities of policies over layers: law, occupancy, coverage, KL, objective, gap (A4; I6, I7, MT1, MT2).

The problem is one of tokens, or any other `Layered`. A law is a sequence of `H` arrays of shapes (S_h, A) of
`log pi_h(a|x)`, minus infinity where the policy puts no mass; of a token problem a row is a prefix. All is computed by
recursion over layers, so that nothing here lists pairs of trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from spanver.exact import tabular as exact
from spanver.kernels import log_normaliser, log_softmax, truncated_scores
from spanver.policies import AnchoredPolicy
from spanver.problems.layered import Layered, LayeredMDP, soft_q
from spanver.problems.tabular import TabularProblem
from spanver.validation import require
from spanver.values import FloatArray

Law = Sequence[FloatArray]
BoolArray = NDArray[np.bool_]


def log_anchored_law(problem: LayeredMDP, policy: AnchoredPolicy) -> tuple[FloatArray, ...]:
    """Exact law of a policy relative to an anchor; of a fresh anchor the mixture over it, `a' ~ pi_ref,h(.|x)`.

    This is the law with exact sampling of `pi_f` (as `exact.log_law`).

    Returns
    -------
    tuple of H arrays, of shapes (S_h, A)
    """
    require(len(policy.layers) == problem.horizon, "the layers of policy", len(policy.layers), str(problem.horizon))
    laws = []
    for log_base, features, layer in zip(problem.log_base, problem.features, policy.layers, strict=True):
        if policy.fresh:  # the mixture over second responses of a table whose prompts are the states
            rows = np.full(len(log_base), 1.0 / len(log_base))
            table = TabularProblem(rows, log_base, features, np.zeros_like(log_base), problem.beta, problem.radius)
            laws.append(exact.log_law(table, layer))
            continue
        anchors = features[:, policy.anchor, None]
        scores = truncated_scores(features, anchors, layer.theta, layer.precision, layer.nu)
        laws.append(log_softmax(log_base, scores, problem.beta))
    return tuple(laws)


def soft_values(problem: Layered) -> tuple[FloatArray, ...]:
    """Optimal value `V_h(x)` of every state: `H` arrays of shapes (S_h,)."""
    return tuple(
        problem.beta * log_normaliser(log_base, q, problem.beta)
        for log_base, q in zip(problem.log_base, soft_q(problem), strict=True)
    )


def log_optimal_law(problem: Layered) -> tuple[FloatArray, ...]:
    """Law of `pi*`: `pi_ref,h exp((Q_h - V_h)/beta)` (A4; FMR25, (72), p. 74)."""
    return tuple(
        log_softmax(log_base, q, problem.beta) for log_base, q in zip(problem.log_base, soft_q(problem), strict=True)
    )


def occupancies(problem: Layered, law: Law) -> tuple[FloatArray, ...]:
    """Probability of every state under a policy: `H` arrays of shapes (S_h,), each of sum 1."""
    masses = [problem.initial_law]
    for layer, log_law in enumerate(law[:-1]):
        masses.append(problem.reached(layer, masses[-1][:, None] * np.exp(log_law)))
    return tuple(masses)


def policy_q(problem: Layered, law: Law) -> tuple[FloatArray, ...]:
    """Values `Q^pi_h(x, a)` of a policy, with the KL of later layers taken off (FMR25, (71), p. 74).

    Returns
    -------
    tuple of H arrays, of shapes (S_h, A)
        Minus infinity where the policy later puts mass outside the base support.
    """
    return policy_q_by(problem.expected, law, problem.log_base, problem.rewards, problem.beta)


def policy_q_by(
    expected: Callable[[int, FloatArray], FloatArray], law: Law, log_base: Law, rewards: Law, beta: float
) -> tuple[FloatArray, ...]:
    """Values of a policy by their recursion, of tables; parameters are what `Layered` offers."""
    layers = [rewards[-1]]
    for layer in reversed(range(len(law) - 1)):
        following = law[layer + 1]
        value = _expected(following, layers[-1]) - beta * exact.kl_divergence(following, log_base[layer + 1])
        layers.append(rewards[layer] + expected(layer, value))
    return tuple(reversed(layers))


def log_conditional_coverage(problem: Layered, law: Law) -> float:
    """`log max_h sup_{x,a} pi_h(a|x)/pi_ref,h(a|x)` over the states that `pi_ref` reaches; `log C_cond` for `pi*`."""
    largest = -np.inf
    for log_base, log_law, reached in zip(problem.log_base, law, _possible(problem), strict=True):
        largest = max(largest, float(exact.log_ratio(log_law, log_base)[reached].max()))
    return largest


def log_coverage(problem: Layered, law: Law) -> FloatArray:
    """`log C(pi|x)` over complete trajectories from each first state, shape (S_1,): of the product of all ratios.

    Infinite for mass outside the base support.
    """
    later = np.zeros(0)
    for layer in reversed(range(len(law))):
        log_law, log_base = law[layer], problem.log_base[layer]
        # What the policy does not do leads nowhere, and what the base policy does not do costs infinitely much.
        ratios = np.where(log_law > -np.inf, np.inf, -np.inf)
        np.subtract(log_law, log_base, out=ratios, where=log_base > -np.inf)
        if layer + 1 < len(law):
            following = problem.largest(layer, later)
            ratios = np.add(ratios, following, out=ratios, where=ratios > -np.inf)
        later = ratios.max(axis=1)
    return later


def kl_divergence(problem: Layered, law: Law, reference: Law) -> FloatArray:
    """`KL(law || reference)` over trajectories from each first state, by the chain rule, shape (S_1,)."""
    below = np.zeros(0)
    for layer in reversed(range(len(law))):
        here = exact.kl_divergence(law[layer], reference[layer])
        below = here if layer + 1 == len(law) else here + _expected(law[layer], problem.expected(layer, below))
    return below


def objective(problem: Layered, law: Law) -> float:
    """`J(pi) = E[sum_h r*_h] - beta KL(pi || pi_ref)` (FMR25, (68) and (69), p. 73)."""
    value = np.zeros(0)
    for layer in reversed(range(len(law))):
        later = 0.0 if layer + 1 == len(law) else problem.expected(layer, value)
        value = _expected(law[layer], problem.rewards[layer] + later)
    return _over_starts(problem, value - problem.beta * kl_divergence(problem, law, problem.log_base))


def best_objective(problem: Layered) -> float:
    """`J(pi*) = E_x V_1(x)`."""
    return _over_starts(problem, soft_values(problem)[0])


def layered_gap(problem: Layered, law: Law) -> float:
    """`J(pi*) - J(pi) = beta E_pi sum_h KL(pi_h || pi*_h)` (MT2): small gaps keep their digits."""
    return _over_starts(problem, problem.beta * kl_divergence(problem, law, log_optimal_law(problem)))


def _possible(problem: Layered) -> Iterator[BoolArray]:
    """Which states of every layer the base policy reaches; masses could underflow."""
    reached = problem.initial_law > 0.0
    for layer, log_base in enumerate(problem.log_base):
        yield reached
        if layer + 1 < len(problem.log_base):
            onwards = reached[:, None] & (log_base > -np.inf)
            reached = problem.reached(layer, onwards.astype(np.float64)) > 0.0


def _expected(log_law: FloatArray, values: FloatArray) -> FloatArray:
    """Mean over the action of a value of every state and action; infinite values without mass count 0."""
    masses = np.exp(log_law)
    terms = np.multiply(masses, values, out=np.zeros_like(masses), where=masses > 0.0)
    expected: FloatArray = terms.sum(axis=1)
    return expected


def _over_starts(problem: Layered, values: FloatArray) -> float:
    possible = problem.initial_law > 0.0
    return float(problem.initial_law[possible] @ values[possible])
