"""Processes of layers: their values (I6, I7, MT1, MT2, MT11), and policies truncated relative to an anchor (MT8, MT9).

A token problem is a process whose next states are certain. Values are compared with sums over all trajectories, and
with means over the states that a policy meets, which go forward where a subject's recursion goes back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp

from spanver.exact.layered import log_optimal_law, policy_q, soft_values
from spanver.guarantees.identities import kl_bound, log_sequence_coverage
from spanver.guarantees.multi_turn import anchored_gap, log_anchored_divergence, log_linear_optimum, log_ratio_factor
from spanver.guarantees.rounding import (
    gamma,
    inverse_error,
    kl_divergence_error,
    log_coverage_error,
    log_softmax_error,
    mean_error,
    policy_q_error,
    score_error,
    soft_q_error,
    undecided_scores,
)
from spanver.kernels import log_softmax
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.problems.tokens import TokenProblem
from spanver.strategies import layered_mdps, token_problems
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances

from .designs import PROCESS, TOKENS, named
from .rounded import assert_at_most, assert_near, says_nothing

Layers: TypeAlias = Sequence[FloatArray]
Process: TypeAlias = LayeredMDP | TokenProblem

PROCESSES = st.one_of(layered_mdps(), token_problems())

OF_TOKENS = named("values", "hard mean inverse-beta no-beta uniform-base unnormalised-base shifted-rows")
VALUES = [*OF_TOKENS, *named("values", "optimistic likeliest best-next uniform-next last-rewards discounted")]
VALUES_OF_LINEAR_REWARDS = named("values", "hard mean inverse-beta no-beta")
OF_LARGER_VALUES = [*named("policy-values", "without-divergence sign-of-divergence"), "values-mean"]
OF_POLICIES = named(
    "policy-values", "without-divergence sign-of-divergence without-beta of-base reversed own-divergence last-rewards"
)


def transitions_of(problem: Process) -> list[FloatArray]:
    """Probabilities of all next states: H - 1 arrays of shapes (S_h, A, S_{h+1})."""
    if isinstance(problem, TokenProblem):
        sizes = [base.shape for base in problem.log_base[:-1]]
        return [np.eye(rows * tokens).reshape(rows, tokens, -1) for rows, tokens in sizes]
    found = []
    for layer, law in enumerate(problem.transitions):
        states = np.arange(len(problem.log_base[layer + 1]))
        found.append(np.einsum("sak,saky->say", law, problem.successors[layer][..., None] == states))
    return found


@dataclass(frozen=True, eq=False)
class Tables:
    """A process as a subject is given it, with what follows from it exactly."""

    log_base: list[FloatArray]
    rewards: list[FloatArray]
    transitions: list[FloatArray]
    beta: float
    best: tuple[FloatArray, ...]
    """`Q*_h`."""
    optimum: tuple[FloatArray, ...]
    """Laws of `pi*`."""
    unit: float
    """Of the subject."""

    @property
    def given(self) -> tuple[Any, ...]:
        """Arguments of a subject's functions."""
        return self.log_base, self.rewards, self.transitions, self.beta

    def best_errors(self) -> list[FloatArray]:
        """Rounding of a subject's `Q*_h`."""
        return soft_q_error(self.unit, self.log_base, self.rewards, self.transitions, self.best, self.beta)

    def errors(self, laws: Layers, values: Layers) -> list[FloatArray]:
        """Rounding of a subject's values of a policy."""
        return policy_q_error(self.unit, laws, self.log_base, self.rewards, self.transitions, values, self.beta)

    def errors_of_optimum(self, errors: Layers) -> list[FloatArray]:
        """Rounding of the logs of a subject's laws of `pi*`, given that of its values."""
        layers = zip(self.log_base, self.best, errors, strict=True)
        return [log_softmax_error(self.unit, base, q, self.beta, error) for base, q, error in layers]

    def means(self, laws: Layers, layer: int, values: Layers) -> FloatArray:
        """Mean of the sum of values of the states that a policy meets, from every state of a layer, shape (S_h,)."""
        met, total = np.eye(len(self.log_base[layer])), np.zeros(len(self.log_base[layer]))
        for later in range(layer, len(self.log_base)):
            # What is not met counts 0, also where its rounding is unbounded.
            total += np.multiply(met, values[later], out=np.zeros_like(met), where=met > 0.0).sum(axis=1)
            if later + 1 < len(self.log_base):
                met = met @ np.einsum("sa,say->sy", np.exp(laws[later]), self.transitions[later])
        return total

    def costs(self, laws: Layers) -> list[FloatArray]:
        """`beta KL(pi_h || pi_ref,h)` of every state."""
        return [self.beta * divergences(law, base) for law, base in zip(laws, self.log_base, strict=True)]

    def returns(self, laws: Layers) -> list[FloatArray]:
        """Mean reward of every state, less the cost of the policy there."""
        layers = zip(laws, self.rewards, self.costs(laws), strict=True)
        return [(np.exp(law) * reward).sum(axis=1) - cost for law, reward, cost in layers]

    def own_rounding(self, laws: Layers, layer: int) -> FloatArray:
        """Rounding of the means that are computed here, of every state of a layer."""
        sizes = []
        for law, reward, base in zip(laws, self.rewards, self.log_base, strict=True):
            logs = np.where(law > -np.inf, np.abs(law) + np.abs(base), 0.0)
            sizes.append((np.exp(law) * (np.abs(reward) + self.beta * (1.0 + logs))).sum(axis=1))
        steps = sum(64 + law.size for law in laws)
        return gamma(steps) * (self.means(laws, layer, sizes) + np.abs(self.best[layer]).max(axis=1))


def tables_of(check: Check, problem: Process) -> Tables:
    rewards = [np.array(each) for each in problem.rewards]
    exact = soft_q(problem), log_optimal_law(problem), check.subject.unit
    return Tables(list(problem.log_base), rewards, transitions_of(problem), problem.beta, *exact)


def divergences(laws: FloatArray, others: FloatArray) -> FloatArray:
    """Divergence of each row of two arrays of laws in logs, where it is finite."""
    held = laws > -np.inf
    ratios = np.subtract(laws, others, out=np.zeros_like(laws), where=held)
    return np.asarray((np.exp(laws) * ratios).sum(axis=1))


def values_of(check: Check, tables: Tables, function: str = "soft_q", *laws: Layers) -> Layers:
    """Values of the subject, of the shapes of the layers."""
    values: Layers = check.call(function, *map(list, laws), *tables.given)
    shapes = [value.shape for value in values]
    assert shapes == [base.shape for base in tables.log_base], f"values of shapes {shapes}"
    return values


def policy_of(check: Check, tables: Tables, values: Layers) -> list[FloatArray]:
    """Laws of all layers under `pi*`, from the subject's values and its softmax."""
    return [
        np.array([check.call("log_softmax", *row, tables.beta) for row in zip(base, q, strict=True)])
        for base, q in zip(tables.log_base, values, strict=True)
    ]


def played(tables: Tables, sharpness: float, phase: float = 0.0) -> list[FloatArray]:
    """Laws of a policy with scores of its own in every state: 0 is the base policy, infinity takes one action."""
    laws = []
    for base in tables.log_base:
        scores = np.cos(phase + np.arange(base.size)).reshape(base.shape)
        if math.isinf(sharpness):
            first = np.argmax(np.where(base > -np.inf, scores, -np.inf), axis=1)
            law = np.where(np.arange(base.shape[1]) == first[:, None], 0.0, -np.inf)
        else:
            law = base + sharpness * scores
            law = law - logsumexp(law, axis=1, keepdims=True)
        laws.append(law)
    return laws


SHARPNESSES = st.sampled_from([1.0, 0.0, -1.0, 0.25, math.inf])


def assert_all(check: Check, words: str, measured: FloatArray, bound: FloatArray, allowed: FloatArray) -> None:
    """Assert that each number is at most its bound: that which passes it furthest."""
    worst = np.unravel_index(int(np.argmax(measured - bound - allowed)), measured.shape)
    assert_at_most(check, words, float(measured[worst]), float(bound[worst]), float(allowed[worst]))


@pytest.mark.guarantee("I6", needs=["soft_q", "log_softmax"])
@designed([{"problem": TOKENS}], OF_TOKENS)
@instances(problem=token_problems())
def test_the_recursion_over_tokens_gives_the_optimum_over_sequences(check: Check, problem: TokenProblem) -> None:
    tables = tables_of(check, problem)
    law = of_sequences(policy_of(check, tables, values_of(check, tables)))
    error = of_sequences(tables.errors_of_optimum(tables.best_errors()))
    for log_base, reward, found, off in zip(of_sequences(tables.log_base), problem.reward, law, error, strict=True):
        exponents = log_base + reward / problem.beta
        optimum = exponents - logsumexp(exponents)
        allowed = off + log_softmax_error(0.0, log_base, reward, problem.beta)
        assert_near(check, "not the softmax of sequences, a log probability", found, optimum, allowed)


def of_sequences(laws: Layers) -> FloatArray:
    """Sum of the log laws of all tokens, of every complete sequence, shape (X, A^H), by its definition."""
    horizon, vocabulary_size = len(laws), laws[0].shape[1]
    total = np.zeros(len(laws[0]) * vocabulary_size**horizon)
    for sequence in range(total.size):
        row = sequence
        for law in reversed(laws):
            row, token = divmod(row, vocabulary_size)
            total[sequence] += law[row, token]
    return total.reshape(len(laws[0]), -1)


@pytest.mark.guarantee("I6", needs=["soft_q", "log_softmax", "log_coverage"])
@instances(problem=PROCESSES)
def test_coverage_of_trajectories_is_at_most_the_power_of_that_of_actions(check: Check, problem: Process) -> None:
    tables, unit = tables_of(check, problem), check.subject.unit
    laws = policy_of(check, tables, values_of(check, tables))
    reached = problem.initial_law > 0.0
    largest, off = 0.0, 0.0
    for layer, (law, base) in enumerate(zip(laws, tables.log_base, strict=True)):
        for row in np.flatnonzero(reached):
            largest = max(largest, float(check.call("log_coverage", law[row], base[row])))
            off = max(off, log_coverage_error(unit, law[row], base[row]))
        if layer < len(tables.transitions):
            possible = (base > -np.inf)[:, :, None] & (tables.transitions[layer] > 0.0)
            reached = np.asarray(possible[reached].any(axis=(0, 1)))
    bound = log_sequence_coverage(largest, len(laws))
    for start in np.flatnonzero(problem.initial_law > 0.0):
        law, base = (of_trajectories(each, tables.transitions, int(start)) for each in (laws, tables.log_base))
        coverage = float(check.call("log_coverage", law, base))
        allowed = len(laws) * off + log_coverage_error(unit, law, base)
        assert_at_most(check, "log C(pi*), and H log C_cond", coverage, bound, allowed)
        check.tightness(coverage, bound + allowed)  # below, both are rounding


def of_trajectories(laws: Layers, transitions: Layers, start: int) -> FloatArray:
    """Log probability of every trajectory from a state of the first layer, shape (n,)."""
    before = np.where(np.arange(len(laws[0])) == start, 0.0, -np.inf)[None]
    for layer, law in enumerate(laws):
        total = before[:, :, None] + law
        if layer < len(transitions):
            with np.errstate(divide="ignore"):
                move = np.log(transitions[layer])
            before = (total[..., None] + move).reshape(-1, move.shape[2])
    return np.asarray(total.reshape(-1))


@pytest.mark.guarantee("I7", needs=["soft_q", "log_softmax"])
@designed([{"problem": TOKENS}, {"problem": PROCESS}], VALUES)
@instances(problem=PROCESSES)
def test_a_value_is_the_reward_and_that_of_any_action_that_follows(check: Check, problem: Process) -> None:
    tables = tables_of(check, problem)
    values, off = values_of(check, tables), tables.best_errors()
    laws, law_errors = policy_of(check, tables, values), tables.errors_of_optimum(off)
    assert_near(check, "a value of the last layer, and its reward", values[-1], tables.rewards[-1], off[-1])
    for layer, (reward, move) in enumerate(zip(tables.rewards, tables.transitions, strict=False)):
        law, base = laws[layer + 1], tables.log_base[layer + 1]
        held = law > -np.inf  # below the smallest number a ratio is unknown
        ratios = np.subtract(law, base, out=np.zeros_like(law), where=held)
        states = values[layer + 1] - tables.beta * ratios
        allowed = np.where(held, off[layer + 1] + tables.beta * law_errors[layer + 1], 0.0).max(axis=1)
        rounded = off[layer] + move @ allowed
        for of in (np.where(held, states, np.inf).min(axis=1), np.where(held, states, -np.inf).max(axis=1)):
            words = f"a value of layer {layer + 1}, and its reward with what follows"
            assert_near(check, words, values[layer], reward + move @ of, rounded)


@pytest.mark.guarantee("MT1", needs=["soft_q", "policy_q"])
@designed([{"problem": PROCESS, "sharpness": each} for each in (math.inf, -1.0)], OF_LARGER_VALUES)
@instances(problem=PROCESSES, sharpness=SHARPNESSES)
def test_no_policy_has_larger_values_than_the_optimal_ones(check: Check, problem: Process, sharpness: float) -> None:
    tables = tables_of(check, problem)
    laws = played(tables, sharpness)
    best, found = values_of(check, tables), values_of(check, tables, "policy_q", laws)
    off = tables.errors(laws, policy_q(problem, laws))
    for layer, (ours, most, one, two) in enumerate(zip(found, best, off, tables.best_errors(), strict=True)):
        assert_all(check, f"a value of layer {layer + 1} under a policy, and the optimal one", ours, most, one + two)


@pytest.mark.guarantee("MT1", needs=["soft_q", "policy_q", "log_softmax"])
@designed([{"problem": TOKENS}, {"problem": PROCESS}], OF_POLICIES)
@instances(problem=PROCESSES)
def test_the_optimum_has_the_optimal_values(check: Check, problem: Process) -> None:
    tables = tables_of(check, problem)
    best, best_errors = values_of(check, tables), tables.best_errors()
    laws, law_errors = policy_of(check, tables, best), tables.errors_of_optimum(best_errors)
    found = values_of(check, tables, "policy_q", laws)
    off = tables.errors(tables.optimum, tables.best)
    moved = [np.zeros_like(found[-1])]  # values, by the errors of the laws
    for layer in reversed(range(len(tables.transitions))):
        law, error, states = tables.optimum[layer + 1], law_errors[layer + 1], soft_values(problem)[layer + 1]
        terms = error * (np.abs(states) + tables.beta)[:, None] + moved[0]
        with np.errstate(over="ignore"):
            moved.insert(0, tables.transitions[layer] @ (np.exp(law + error) * terms).sum(axis=1))
    for layer, (ours, most, *errors) in enumerate(zip(found, best, off, best_errors, moved, strict=True)):
        assert_near(check, f"a value of layer {layer + 1} under pi*, and the optimal one", ours, most, sum(errors))


@pytest.mark.guarantee("MT2", needs=["soft_q", "log_softmax", "kl_divergence"])
@designed([{"problem": TOKENS, "sharpness": 1.0}, {"problem": PROCESS, "sharpness": 1.0}], VALUES)
@instances(problem=PROCESSES, sharpness=SHARPNESSES)
def test_a_policy_loses_its_divergence_from_the_optimum(check: Check, problem: Process, sharpness: float) -> None:
    tables = tables_of(check, problem)
    optimum = policy_of(check, tables, values_of(check, tables))
    law_errors = tables.errors_of_optimum(tables.best_errors())
    laws = played(tables, sharpness)
    own, allowed = [], []
    for law, best, error in zip(laws, optimum, law_errors, strict=True):
        own.append(np.array([check.call("kl_divergence", *rows) for rows in zip(law, best, strict=True)]))
        off = [kl_divergence_error(tables.unit, *rows) for rows in zip(law, best, strict=True)]
        allowed.append(np.array(off) + (np.exp(law) * error).sum(axis=1))
    gained, values = tables.returns(laws), soft_values(problem)
    for layer in range(len(laws)):
        lost = values[layer] - tables.means(laws, layer, gained)
        rounded = tables.beta * tables.means(laws, layer, allowed) + tables.own_rounding(laws, layer)
        found = tables.beta * tables.means(laws, layer, own)
        assert_near(check, f"beta KL from layer {layer + 1} on, and what is lost", found, lost, rounded)


@pytest.mark.guarantee("MT2", needs=["policy_q", "kl_divergence"])
@designed(
    [{"problem": TOKENS, "sharpness": 1.0, "other": math.inf}, {"problem": PROCESS, "sharpness": 1.0, "other": -1.0}],
    [*(each for each in OF_POLICIES if each != "policy-values-own-divergence"), "policy-values-soft"],
)
@instances(problem=PROCESSES, sharpness=SHARPNESSES, other=SHARPNESSES)
def test_values_of_two_policies_differ_by_what_their_actions_do(
    check: Check, problem: Process, sharpness: float, other: float
) -> None:
    tables = tables_of(check, problem)
    laws, others = played(tables, sharpness), played(tables, other, phase=2.0)
    found, off = values_of(check, tables, "policy_q", laws), tables.errors(laws, policy_q(problem, laws))
    gains, allowed = [], []
    for law, instead, base, q, error in zip(laws, others, tables.log_base, found, off, strict=True):
        costs, rounded = (
            [np.array([of(*rows) for rows in zip(each, base, strict=True)]) for each in (law, instead)]
            for of in (partial(check.call, "kl_divergence"), partial(kl_divergence_error, tables.unit))
        )
        gains.append(((np.exp(law) - np.exp(instead)) * q).sum(axis=1) - tables.beta * (costs[0] - costs[1]))
        allowed.append(((np.exp(law) + np.exp(instead)) * error).sum(axis=1) + tables.beta * (rounded[0] + rounded[1]))
    for layer in range(len(laws)):
        one, two = (tables.means(each, layer, tables.returns(each)) for each in (laws, others))
        own = tables.own_rounding(laws, layer) + tables.own_rounding(others, layer)
        words = f"what differs from layer {layer + 1} on, and values"
        gained, most = tables.means(others, layer, gains), tables.means(others, layer, allowed) + own
        assert_near(check, words, gained, one - two, most)


@pytest.mark.guarantee("MT11", needs=["soft_q", "log_softmax"])
@designed([{"radius": 2.0, "beta": 0.25}], VALUES_OF_LINEAR_REWARDS)
@instances(radius=st.sampled_from([2.0, 1.0, 0.25, 8.0]), beta=st.sampled_from([1.0, 0.25, 4.0]))
def test_linear_rewards_have_an_optimum_that_no_autoregressive_policy_reaches(
    check: Check, radius: float, beta: float
) -> None:
    """Features of the first token are alike, so that every autoregressive policy has 1/2 there (mathematics.md)."""
    halves, unit = np.log([[0.5, 0.5]]), check.subject.unit
    log_base = [halves, halves.repeat(2, axis=0)]
    rewards = [np.full((1, 2), radius), np.array([[0.0, 0.0], [radius, 0.0]])]
    values = check.call("soft_q", log_base, rewards, [np.eye(2)[None]], beta)
    exact = (np.array([[radius, radius + beta * (np.logaddexp(radius / beta, 0.0) - math.log(2.0))]]), rewards[1])
    off = soft_q_error(unit, log_base, rewards, [np.eye(2)[None]], exact, beta)
    found, allowed = 0.0, 0.0
    for layer, (row, token) in enumerate(((0, 1), (1, 0))):
        given = log_base[layer][row], values[layer][row], beta
        found += float(check.call("log_softmax", *given)[token])
        allowed += float(log_softmax_error(unit, given[0], exact[layer][row], beta, off[layer][row])[token])
    expected = log_linear_optimum(radius, beta)
    assert_near(check, "log pi* of tokens 2 and 1", found, expected, allowed + gamma(8) * (1.0 + abs(expected)))


@dataclass(frozen=True, eq=False)
class Truncated:
    """A policy of one state that is truncated relative to the anchor, as a subject has it; arrays of shape (A,).

    Attributes
    ----------
    beta : float
    law, other : array
        Log laws of `pi` and of `pibar*`.
    optimum, log_base : array
        Those of `pi*` and of the base policy.
    covered : array of bool
    differences : array
        `Q~`.
    anchor : int
    deviation : float
        `b`.
    share : float
        `E_pi ||vbar||^2/nu^2`.
    score_error : float
        Rounding of scores in units of `beta`.
    law_error, other_error, optimum_error : array
        Rounding of the logs of the laws.
    unit : float
        Of the subject.
    """

    beta: float
    law: FloatArray
    other: FloatArray
    optimum: FloatArray
    log_base: FloatArray
    covered: NDArray[np.bool_]
    differences: FloatArray
    anchor: int
    deviation: float
    share: float
    score_error: float
    law_error: FloatArray
    other_error: FloatArray
    optimum_error: FloatArray
    unit: float

    @property
    def off(self) -> float:
        """By how much a difference of scores is off, in units of `beta`, for the law to be exactly its softmax."""
        return self.score_error + 2.0 * float(self.law_error.max())

    @property
    def optimal_covered(self) -> float:
        """Probability of what is covered under `pi*`."""
        return min(1.0, float(np.exp(self.optimum)[self.covered].sum()))

    @property
    def gap_rounding(self) -> float:
        """Rounding of the gap at the state and of its bound, in units of rewards."""
        of_laws = mean_error(self.law, self.other_error) + mean_error(self.law, self.optimum_error)
        sums = kl_divergence_error(self.unit, self.law, self.other) + kl_divergence_error(0.0, self.law, self.optimum)
        size = float(np.abs(self.differences).max())
        masses = mean_error(self.law, self.law_error) + mean_error(self.optimum, self.optimum_error)
        return self.beta * (of_laws + sums) + size * (masses + gamma(16))


@dataclass(frozen=True)
class Policies:
    """Policies of MTSS, given by what an instance has: parameters that are off `theta*` by `b beta/nu`.

    Attributes
    ----------
    nu, ridge : float
    pairs : int
        How many relative features `Sigma_h` has on its ridge.
    deviation : float
        `b`.
    direction : int
        Of the parameters from `theta*`.
    """

    nu: float
    ridge: float
    pairs: int
    deviation: float
    direction: int

    def of_layer(self, problem: LayeredMDP, layer: int) -> tuple[FloatArray, FloatArray, float]:
        """Parameter and precision of a layer, and `b`, no less than it is."""
        assert problem.theta_star is not None
        phi, best = problem.features[layer], problem.theta_star[layer]
        vectors = (phi - phi[:, [problem.anchor]]).reshape(-1, problem.dimension)[: self.pairs]
        sigma = self.ridge * np.eye(problem.dimension) + vectors.T @ vectors
        precision = np.asarray(np.linalg.inv(sigma), dtype=np.float64)
        away = np.cos(self.direction + np.arange(problem.dimension))
        theta = best + self.deviation * problem.beta / (self.nu * math.sqrt(away @ sigma @ away)) * away
        moved = theta - best
        square = moved @ np.linalg.inv(precision) @ moved + inverse_error(0.0, precision) * (moved @ moved)
        return theta, precision, self.nu * math.sqrt(square) / problem.beta * (1.0 + gamma(8))


POLICIES = st.builds(
    Policies,
    nu=st.sampled_from([0.5, 1.0, 0.1]),
    ridge=st.sampled_from([1.0, 0.1, 4.0]),
    pairs=st.integers(0, 3),
    deviation=st.sampled_from([0.5, 1.0, 0.0, 3.0]),
    direction=st.integers(0, 3),
)


def one_state(features: Sequence[float], base: Sequence[float], *thetas: float) -> LayeredMDP:
    """A process of one state a layer, the same but for its parameter, with features along a line.

    The first action is its anchor.
    """
    line = np.array([features])
    return LayeredMDP(
        initial_law=np.ones(1), successors=[np.zeros((1, len(base), 1), dtype=int)] * (len(thetas) - 1),
        transitions=[np.ones((1, len(base), 1))] * (len(thetas) - 1), log_base=[np.log([base])] * len(thetas),
        features=[line[:, :, None]] * len(thetas), rewards=[theta * line - (theta * line).min() for theta in thetas],
        beta=0.25, radius=2.0, theta_star=np.array(thetas)[:, None],
    )  # fmt: skip


OFF = Policies(nu=0.5, ridge=1.0, pairs=0, deviation=1.0, direction=0)
RIGHT = Policies(nu=0.5, ridge=1.0, pairs=0, deviation=0.0, direction=0)
# Of an action that is rare, covered and nearly as long as nu the bound is all but reached.
NEARLY_RIGHT = [
    {"problem": one_state([0.0, 0.49], [0.999, 0.001], 0.5), "policies": OFF},
    {"problem": one_state([0.0, 0.45, 1.0], [0.98, 0.01, 0.01], 0.5), "policies": OFF},
]
UNCOVERED = [
    {"problem": one_state([0.0, 0.45, -1.0], [0.7, 0.2, 0.1], 0.5), "policies": RIGHT},
    {"problem": one_state([0.0, 0.45, 1.0], [0.7, 0.2, 0.1], 0.5), "policies": RIGHT},
]
COVERED = {"problem": one_state([0.0, 0.45], [0.7, 0.3], 0.5), "policies": OFF}
# What is uncovered in the first layer is better, and nothing is in the second.
UNCOVERED_FIRST = {"problem": one_state([0.0, 1.0], [0.7, 0.3], 0.5, 0.0), "policies": RIGHT}


def truncated_states(check: Check, problem: LayeredMDP, policies: Policies) -> Iterator[list[Truncated]]:
    """Policies of all states, layer by layer."""
    assert problem.theta_star is not None
    unit, beta, anchor = check.subject.unit, problem.beta, problem.anchor
    for layer, (features, bases) in enumerate(zip(problem.features, problem.log_base, strict=True)):
        theta, precision, deviation = policies.of_layer(problem, layer)
        states = []
        for phi, base in zip(features, bases, strict=True):
            one, two = (
                check.call("truncated_scores", phi, phi[anchor], each, precision, policies.nu)
                for each in (theta, problem.theta_star[layer])
            )
            free = undecided_scores(unit, phi, phi[anchor], precision, policies.nu)
            relative = phi - phi[anchor]
            squares = ((relative @ precision) * relative).sum(axis=1)
            covered = np.where(free, (one != 0.0) | (two != 0.0), squares <= policies.nu**2)
            off = [score_error(unit, phi, phi[anchor], each) for each in (theta, problem.theta_star[layer])]
            law, other = (check.call("log_softmax", base, scores, beta) for scores in (one, two))
            share = float(np.exp(law) @ np.where(covered, squares, 0.0)) / policies.nu**2
            differences = relative @ problem.theta_star[layer]
            errors = (
                log_softmax_error(unit, base, one, beta),
                log_softmax_error(unit, base, two, beta, off[1]),
                log_softmax_error(0.0, base, differences, beta, off[1]),
            )
            optimum = log_softmax(base, differences, beta)
            states.append(
                Truncated(
                    beta, law, other, optimum, base, covered, differences, anchor, deviation, min(1.0, share),
                    float((off[0] + off[1]).max()) / beta, *errors, unit,
                )
            )  # fmt: skip
        yield states


def judgeable_states(check: Check, problem: LayeredMDP, policies: Policies) -> Iterator[Truncated]:
    """All states, where arithmetic is fine enough."""
    for states in truncated_states(check, problem, policies):
        for each in states:
            fine = math.isfinite(each.off + each.gap_rounding)
            check.judgeable(fine, says_nothing(check))
            if fine:
                yield each


@pytest.mark.guarantee("MT8", needs=["truncated_scores", "log_softmax", "kl_divergence"])
@designed(NEARLY_RIGHT, [*named("scores", "wrong-side not-truncated"), "divergence-doubled"])
@instances(problem=layered_mdps(max_horizon=2), policies=POLICIES)
def test_parameters_that_are_nearly_right_diverge_little(check: Check, problem: LayeredMDP, policies: Policies) -> None:
    for each in judgeable_states(check, problem, policies):
        bound = math.exp(log_anchored_divergence(each.deviation, each.share))
        moved = (each.deviation * math.sqrt(each.share) + each.off) ** 2
        most = kl_bound(1.0, each.deviation + each.off, moved)
        allowed = most - bound + mean_error(each.law, each.other_error)
        allowed += kl_divergence_error(each.unit, each.law, each.other)
        found = float(check.call("kl_divergence", each.law, each.other))
        assert_at_most(check, "KL(pi || pibar*), by how far parameters are off", found, bound, allowed)
        check.tightness(found, bound + allowed)  # below, both are rounding


@pytest.mark.guarantee("MT8", needs=["truncated_scores", "log_softmax"])
@designed(UNCOVERED, named("scores", "one largest not-truncated"))
@instances(problem=layered_mdps(max_horizon=2), policies=POLICIES)
def test_density_ratios_are_those_of_the_optimum_up_to_a_factor(
    check: Check, problem: LayeredMDP, policies: Policies
) -> None:
    for each in judgeable_states(check, problem, policies):
        factor = log_ratio_factor(each.optimal_covered, each.deviation)
        held = each.log_base > -np.inf
        best = each.optimum[held] - each.log_base[held]
        of_anchor = float(each.optimum[each.anchor] - each.log_base[each.anchor])
        bound = factor + np.where(each.covered[held], best, of_anchor)
        allowed = 2.0 * each.off + 2.0 * float(each.optimum_error.max())
        ratios = each.law[held] - each.log_base[held]
        assert_all(check, "log pi/pi_ref, by that of the optimum", ratios, bound, np.full(len(bound), allowed))


@pytest.mark.guarantee("MT8", needs=["truncated_scores", "log_softmax", "kl_divergence"])
@designed([*UNCOVERED, COVERED], [*named("scores", "one largest"), "divergence-halved"])
@instances(problem=layered_mdps(max_horizon=2), policies=POLICIES)
def test_the_gap_at_a_state_is_at_most_its_divergence_and_what_is_uncovered(
    check: Check, problem: LayeredMDP, policies: Policies
) -> None:
    for each in judgeable_states(check, problem, policies):
        uncovered = np.where(each.covered, 0.0, each.differences)
        found = float(check.call("kl_divergence", each.law, each.other))
        chance = min(1.0, float(np.exp(each.law)[~each.covered].sum()))
        above, below = max(0.0, float(uncovered.max())), max(0.0, float(-uncovered.min()))
        bound = anchored_gap(each.beta * max(0.0, found), above, 1.0 - each.optimal_covered, below, chance)
        gap = each.beta * float(divergences(each.law[None], each.optimum[None])[0])
        assert_at_most(check, "the gap at a state", gap, bound, each.gap_rounding)
        if each.covered.all():
            assert_near(check, "the gap at a state where all is covered", gap, bound, each.gap_rounding)
        check.tightness(gap, bound + each.gap_rounding)  # below, both are rounding


@pytest.mark.guarantee("MT9", needs=["truncated_scores", "log_softmax", "kl_divergence", "soft_q"])
@designed(
    [*UNCOVERED, COVERED, UNCOVERED_FIRST],
    ["values-last-rewards", *named("scores", "one largest"), "divergence-halved"],
)
@instances(problem=layered_mdps(), policies=POLICIES)
def test_a_policy_of_layers_loses_no_more_than_its_certificate(
    check: Check, problem: LayeredMDP, policies: Policies
) -> None:
    tables, anchor = tables_of(check, problem), problem.anchor
    values, value_errors = values_of(check, tables), tables.best_errors()
    layers = list(truncated_states(check, problem, policies))
    laws = [np.array([each.law for each in states]) for states in layers]
    parts, allowed = [], []
    for states, q, error in zip(layers, values, value_errors, strict=True):
        costs, off = np.zeros(len(states)), np.zeros(len(states))
        for row, each in enumerate(states):
            uncovered = np.where(each.covered, 0.0, q[row] - q[row, anchor])
            weights = np.exp(each.optimum) - np.exp(each.law)
            costs[row] = each.beta * check.call("kl_divergence", each.law, each.other) + weights @ uncovered
            of_values = (error[row] + error[row, anchor])[~each.covered]
            off[row] = each.gap_rounding + 2.0 * float(of_values.max(initial=0.0))
        parts.append(costs)
        allowed.append(off)
    for layer in range(len(laws)):
        lost = soft_values(problem)[layer] - tables.means(laws, layer, tables.returns(laws))
        bound = tables.means(laws, layer, parts)
        rounded = tables.means(laws, layer, allowed) + tables.own_rounding(laws, layer)
        words = f"what is lost from layer {layer + 1} on, and its certificate"
        assert_all(check, words, lost, bound, rounded)
        if all(each.covered.all() for states in layers[layer:] for each in states):
            assert_near(check, f"{words}, where all is covered", bound, lost, rounded)
        check.tightness(float(lost.max()), float((bound + rounded)[np.argmax(lost)]))
