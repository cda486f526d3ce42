"""The independent MTSS against exact laws of small processes, and its mutants where those laws tell them apart."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest
from laws import assert_law
from layered_tables import random_mdp

from spanver.episodic import States
from spanver.evidence import log_e_mean
from spanver.exact.layered import log_anchored_law, occupancies, policy_q
from spanver.exact.samplers import every_pilot, law_given_pilot, log_pilot_means
from spanver.learners.core_sets import Pairs, no_pairs
from spanver.learners.mtss import MTSSSettings
from spanver.oracles.episodic import MeteredEpisodicOracle, episodic_oracle
from spanver.policies import AnchoredPolicy, TruncatedSoftmax
from spanver.problems.families.forks import forks_problem
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.problems.tokens import as_mdp
from spanver.subjects.contract import Subject, result_of
from spanver.subjects.reference import subject as reference
from spanver.values import FloatArray, IntArray
from spanver.zoo.catalogue import mutant
from spanver.zoo.independent.layered_samplers import LayerPolicy, softmax_moves
from spanver.zoo.independent.mtss_mutants import MUTANTS
from spanver.zoo.independent.mtss_steps import own_moves

SETTINGS = MTSSSettings(
    iterations=5, regression_rollouts=3, span_rollouts=2, base_draws=3, multiplier=3.0, failure=0.2, ridge=0.3, nu=0.5,
    threshold=1.0, initial_rollouts=16,
)  # fmt: skip
EXACT_PILOTS = dataclasses.replace(SETTINGS, multiplier=2.0**50)
COVERED = dataclasses.replace(EXACT_PILOTS, ridge=1e9, nu=1.0)  # core-sets are small beside it: everything is covered
CONTROLS = [
    mutant(f"variant-independent{name}") for name in ("", "-own-layered-draws", "-other-mtss", "-float32-learners")
]
EACH = pytest.mark.parametrize("subject", CONTROLS, ids=lambda subject: subject.name)
DETERMINISTIC = [as_mdp(forks_problem(0, horizon=4)), mdp_problem(0, horizon=3, successors=1, noise=0.0)]
SURE = 1e-12


def issued(oracle: MeteredEpisodicOracle, problem: LayeredMDP) -> list[IntArray]:
    """States of every layer that can be reached, all of which the oracle has issued."""
    layers = [np.unique(oracle.start(2000).ids)]
    for layer in range(problem.horizon - 1):
        states = oracle.reset(layer, np.repeat(layers[-1], 100 * problem.actions))
        actions = np.tile(np.arange(problem.actions), 100 * len(layers[-1]))
        layers.append(np.unique(oracle.step(states, actions).ids))
    return layers


def pairs_of(problem: LayeredMDP, layer: int, states: Any, actions: Any) -> Pairs:
    states, actions = np.asarray(states, dtype=np.int64), np.asarray(actions, dtype=np.int64)
    phi = problem.features[layer]
    return Pairs(
        states, actions, np.full(len(states), problem.anchor), phi[states, actions] - phi[states, problem.anchor]
    )


def every_pair(problem: LayeredMDP, layer: int, states: IntArray) -> Pairs:
    return pairs_of(
        problem, layer, np.repeat(states, problem.actions), np.tile(np.arange(problem.actions), len(states))
    )


def relative(values: FloatArray, anchor: int) -> FloatArray:
    """Values of every state and action less those of the anchor."""
    return values - values[:, [anchor]]


def pilot_error(osc: float, settings: MTSSSettings, pilots: float) -> float:
    """Error of `log Z` in none of so many pilots, but for a chance of `SURE`: by Hoeffding, and as `log` is concave."""
    draws = 4.0 * settings.multiplier * math.log(4.0 / settings.failure)
    error = math.expm1(osc) * math.sqrt(math.log(2.0 * pilots / SURE) / (2.0 * draws))
    assert error < 0.5
    return error / (1.0 - error)


@pytest.mark.parametrize("literal", [False, True], ids=["counted", "literal"])
@pytest.mark.parametrize("sampler", [softmax_moves, own_moves], ids=["queries", "own"])
def test_an_action_and_its_ratio_have_the_joint_law_of_algorithm_2(sampler: Any, literal: bool) -> None:
    problem = random_mdp(9, horizon=1, actions=3, states=1)
    sigma = np.diag([0.5, 0.4, 0.8])
    base, v = np.exp(problem.log_base[0][0]), relative(problem.features[0][0].T, problem.anchor).T
    norms = np.sqrt(np.einsum("ad,de,ae->a", v, np.linalg.inv(sigma), v))
    policy = LayerPolicy(np.array([0.6, -0.5, 0.5]), sigma, float(np.sort(norms)[1:].mean()))
    covered = norms <= policy.nu
    assert 1 < covered.sum() < 3
    exponents = np.where(covered, v @ policy.theta, 0.0) / problem.beta
    settings = dataclasses.replace(SETTINGS, multiplier=1.0, failure=0.9)
    pilots, probabilities = every_pilot(base, math.ceil(4.0 * math.log(4.0 / 0.9)))
    laws = law_given_pilot(base, exponents, pilots, 1.0)[0]
    ratios = exponents - log_pilot_means(exponents, pilots)
    law: dict[Hashable, float] = {}
    for pilot in range(len(pilots)):
        for action in range(3):
            key = (action, round(float(ratios[pilot, action]), 9))
            law[key] = law.get(key, 0.0) + float(probabilities[pilot] * laws[pilot, action])
    oracle = episodic_oracle(problem, seed=1, literal=literal)
    moves = sampler(oracle, oracle.start(20000), policy, settings, np.random.default_rng(2))
    assert_law(Counter[Hashable](zip(moves.actions.tolist(), moves.log_ratios.round(9).tolist(), strict=True)), law)
    np.testing.assert_array_equal(moves.vectors, v[moves.actions])


@dataclasses.dataclass(frozen=True)
class Solved:
    """A process whose moves are certain, and the parameters and core-sets of which the policy is its best."""

    problem: LayeredMDP
    thetas: FloatArray
    cores: tuple[Pairs, ...]
    settings: MTSSSettings


def covered(problem: LayeredMDP) -> Solved:
    """A family by its own parameters."""
    assert problem.theta_star is not None
    return Solved(problem, problem.theta_star, (no_pairs(problem.dimension),) * problem.horizon, COVERED)


def truncated() -> Solved:
    """Rewards that make a policy optimal which is truncated, as in the family `mdp` (T5) with its scores for `Q*`."""
    settings = dataclasses.replace(EXACT_PILOTS, nu=1.2)
    problem = mdp_problem(2, horizon=3, successors=1, noise=0.0)
    thetas = 3.0 * problem.beta * np.array([[0.5, -0.5, 0.5, 0.5], [-0.5, 0.5, 0.5, 0.5], [0.5, 0.5, -0.5, 0.5]])
    cores = tuple(pairs_of(problem, layer, [0, 1, 2], [1, 2, 3]) for layer in range(3))
    rewards: list[FloatArray] = []
    later: FloatArray = np.zeros_like(problem.log_base[0])
    for layer in reversed(range(3)):
        v = problem.features[layer] - problem.features[layer][:, [problem.anchor]]
        sigma = settings.ridge * np.eye(4) + cores[layer].vectors.T @ cores[layer].vectors
        counts = np.einsum("sad,de,sae->sa", v, np.linalg.inv(sigma), v) <= settings.nu**2
        assert 0.2 < np.mean(counts[:, 1:]) < 0.8
        scores = np.where(counts, v @ thetas[layer], 0.0)
        reward = scores - later - (scores - later).min(axis=1, keepdims=True)
        rewards.insert(0, reward)
        weights = np.exp(problem.log_base[layer] + (reward + later) / problem.beta)
        if layer > 0:
            later = problem.expected(layer - 1, problem.beta * np.log(weights.sum(axis=1)))
    highest = max(float(reward.max()) for reward in rewards)
    given = dataclasses.replace(problem, rewards=rewards, reward_range=highest, theta_star=None, name="truncated")
    return Solved(given, thetas, cores, settings)


SOLVED = [*map(covered, DETERMINISTIC), truncated()]


def largest_error(subject: Subject, solved: Solved) -> float:
    """Of targets, where they ought to be differences of `Q*`, in units of what the error of pilots explains."""
    problem, settings = solved.problem, solved.settings
    oracle = episodic_oracle(problem, seed=0)
    states, optimal = issued(oracle, problem), [relative(q, problem.anchor) for q in soft_q(problem)]
    osc = max(float(np.ptp(q, axis=1).max()) for q in optimal) / problem.beta
    errors = []
    for layer in range(problem.horizon):
        cores = list(solved.cores)
        cores[layer] = every_pair(problem, layer, states[layer])
        found = result_of("fit_value", subject.functions["fit_value"](
            oracle, layer, cores, solved.thetas, seed=1, settings=settings
        ))  # fmt: skip
        pilots = 2 * len(cores[layer]) * settings.regression_rollouts * problem.horizon
        bound = 2.0 * (problem.horizon - 1) * problem.beta * pilot_error(osc, settings, pilots)
        errors += list(np.abs(found.targets - optimal[layer][cores[layer].states, cores[layer].actions]) / bound)
    return max(errors)


@EACH
@pytest.mark.parametrize("solved", SOLVED, ids=lambda solved: solved.problem.name)
def test_by_the_optimal_policy_targets_are_differences_of_optimal_values(subject: Subject, solved: Solved) -> None:
    assert largest_error(subject, solved) <= 1.0


@pytest.mark.parametrize("name", [
    "base-rollouts", "no-ratio", "ratio-without-beta", "ratio-added", "anchor-stops", "one-way-on", "layer-before",
    "no-truncation", "truncation-at-square", "ridge-alone", "one-normaliser", "mean-of-distinct",
])  # fmt: skip
def test_targets_of_wrong_rollouts_are_not(name: str) -> None:
    assert largest_error(mutant(f"independent-mtss-{name}"), SOLVED[-1]) > 100.0


def log_e_of_means(subject: Subject) -> float:
    """Evidence against targets that have the means of the values of a policy, where moves are drawn."""
    problem = random_mdp(5, horizon=3, actions=3)
    oracle = episodic_oracle(problem, seed=3)
    states, count = issued(oracle, problem), 50_000
    settings = dataclasses.replace(COVERED, regression_rollouts=count)
    thetas = np.array([[0.5, -0.5, 0.4], [-0.7, 0.6, 0.3], [0.5, 0.6, -0.6]])
    layers = [TruncatedSoftmax(theta, np.eye(3) / settings.ridge, settings.nu) for theta in thetas]
    policy = AnchoredPolicy(layers=tuple(layers), fresh=False, anchor=problem.anchor)
    values = [relative(q, problem.anchor) for q in policy_q(problem, log_anchored_law(problem, policy))]
    v = [phi - phi[:, [problem.anchor]] for phi in problem.features]
    osc = max(float(np.ptp(v[layer] @ thetas[layer], axis=1).max()) for layer in (1, 2))
    log_e = []
    for layer in (0, 1):
        cores = [no_pairs(3)] * 3
        cores[layer] = pairs_of(problem, layer, np.repeat(states[layer][:2], 2), [1, 2, 1, 2])
        found = subject.functions["fit_value"](oracle, layer, cores, thetas, seed=1, settings=settings)
        width = problem.reward_range * (3 - layer) + 2.0 * osc * (2 - layer)  # of returns
        rounding = 2.0 * problem.beta * pilot_error(osc / problem.beta, settings, 16 * count)
        expected = values[layer][cores[layer].states, cores[layer].actions]
        for target, mean in zip(result_of("fit_value", found).targets, expected, strict=True):
            for sign in (1.0, -1.0):
                total = count * (1.0 + sign * float(target) / width) / 2.0
                log_e.append(log_e_mean(total, count, (1.0 + (sign * float(mean) + rounding) / width) / 2.0))
    return max(log_e)


@EACH
def test_targets_have_the_means_of_the_values_of_a_policy(subject: Subject) -> None:
    assert log_e_of_means(subject) < -math.log(1e-6)


@pytest.mark.parametrize("name", ["no-ratio", "anchor-stops", "one-way-on"])
def test_targets_of_wrong_rollouts_have_not(name: str) -> None:
    assert log_e_of_means(mutant(f"independent-mtss-{name}")) >= -math.log(1e-6)


class Noted:
    """An oracle that notes what episodes begin with."""

    def __init__(self, oracle: MeteredEpisodicOracle) -> None:
        self._oracle = oracle
        self.begun: Counter[tuple[int, int, int]] = Counter()
        self.started = 0
        self._after: dict[int, bool] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)

    def start(self, count: int) -> States:
        self.started += count
        return self._oracle.start(count)

    def reset(self, layer: int, ids: IntArray) -> States:
        states = self._oracle.reset(layer, ids)
        self._after[states.episodes] = True
        return states

    def step(self, states: States, actions: IntArray) -> States:
        if states.episodes in self._after:
            self.begun.update(zip([states.layer] * len(states), states.ids.tolist(), actions.tolist(), strict=True))
        return self._oracle.step(states, actions)


@EACH
def test_a_search_begins_after_every_pair_of_earlier_core_sets_and_its_anchor(subject: Subject) -> None:
    problem = random_mdp(7, horizon=3, actions=3)
    oracle = Noted(episodic_oracle(problem, seed=0))
    states = issued(oracle._oracle, problem)
    anchor = problem.anchor
    cores = [pairs_of(problem, layer, np.repeat(states[layer][:2], 2), [1, anchor, 2, anchor]) for layer in range(3)]
    for layer in range(3):
        oracle.begun.clear()
        oracle.started = 0
        subject.functions["uncertain_state_action"](oracle, layer, cores, np.zeros((3, 3)), seed=1, settings=SETTINGS)
        expected = Counter[tuple[int, int, int]]()
        for earlier in range(layer):
            for each in zip(cores[earlier].states.tolist(), cores[earlier].actions.tolist(), strict=True):
                expected[earlier, *each] += SETTINGS.span_rollouts
        assert oracle.begun == expected
        assert oracle.started == SETTINGS.initial_rollouts


@EACH
def test_a_search_finds_the_pair_of_largest_norm_of_all_that_can_be_met(subject: Subject) -> None:
    problem = random_mdp(8, horizon=2, actions=3)
    oracle = episodic_oracle(problem, seed=4)
    states = issued(oracle, problem)
    settings = dataclasses.replace(SETTINGS, initial_rollouts=1000, base_draws=5)
    cores = [no_pairs(3), pairs_of(problem, 1, states[1][:2], [1, 2])]
    sigma = settings.ridge * np.eye(3) + cores[1].vectors.T @ cores[1].vectors
    v = problem.features[1] - problem.features[1][:, [problem.anchor]]
    norms = np.einsum("sad,de,sae->sa", v, np.linalg.inv(sigma), v)
    state, action = np.unravel_index(np.argmax(norms), norms.shape)
    chance = occupancies(problem, problem.log_base)[1][state] * np.exp(problem.log_base[1][state, action])
    assert (1.0 - chance) ** 1000 < SURE
    found = result_of("uncertain_state_action", subject.functions["uncertain_state_action"](
        oracle, 1, cores, np.zeros((2, 3)), seed=1, settings=settings
    ))  # fmt: skip
    assert (found.state, found.action) == (state, action)


def sigmas_of(problem: LayeredMDP, run: Any, layer: int) -> tuple[FloatArray, list[FloatArray]]:
    """Vectors of the pairs that were added to a layer, and the Sigma that every iteration began with."""
    vectors = pairs_of(problem, layer, run.states[:, layer], run.actions[:, layer]).vectors
    products = np.cumsum(np.einsum("td,te->tde", vectors, vectors), axis=0)
    before = np.concatenate([np.zeros_like(products[:1]), products[:-1]])
    return vectors, [SETTINGS.ridge * np.eye(problem.dimension) + each for each in before]


def run_of(subject: Subject, problem: LayeredMDP, **changes: Any) -> Any:
    settings = dataclasses.replace(SETTINGS, **changes)
    made = subject.functions["mtss"](episodic_oracle(problem, seed=1), seed=2, settings=settings)
    return result_of("mtss", made)


@EACH
@pytest.mark.parametrize("problem", DETERMINISTIC, ids=lambda problem: problem.name)
def test_a_run_adds_pairs_with_the_norms_by_the_sigma_that_each_iteration_began_with(
    subject: Subject, problem: LayeredMDP
) -> None:
    run = run_of(subject, problem)
    assert not run.thetas[0].any()
    assert run.thetas[-1].any(axis=1).all()
    assert (np.linalg.norm(run.thetas, axis=2) <= problem.radius * (1.0 + 8 * subject.unit)).all()
    for layer in range(problem.horizon):
        for vector, sigma, largest in zip(*sigmas_of(problem, run, layer), run.largest[:, layer], strict=True):
            rounding = 4 * problem.dimension**2 * float(np.linalg.cond(sigma)) * subject.unit
            assert largest == pytest.approx(vector @ np.linalg.solve(sigma, vector), rel=rounding)


@EACH
def test_a_run_returns_its_last_certain_iteration_or_says_that_there_is_none(subject: Subject) -> None:
    problem = DETERMINISTIC[0]
    largest = run_of(subject, problem).largest.max(axis=1)
    order = np.sort(largest)
    bound = float(order[1] + order[2]) / 2.0 / SETTINGS.nu**2  # two iterations are below
    run = run_of(subject, problem, threshold=bound)
    assert run.certain
    assert run.returned == 1 + int(np.flatnonzero(largest <= bound * SETTINGS.nu**2)[-1])
    run = run_of(subject, problem, threshold=float(order[0]) / 2.0 / SETTINGS.nu**2)
    assert (run.returned, run.certain) == (1, False)


@pytest.mark.parametrize("problem", DETERMINISTIC, ids=lambda problem: problem.name)
@pytest.mark.parametrize("subject", CONTROLS[:2], ids=lambda subject: subject.name)
def test_a_run_makes_as_many_queries_of_each_kind_as_the_reference_but_for_tries(
    subject: Subject, problem: LayeredMDP
) -> None:
    spent = []
    for each in (subject, reference):
        oracle = episodic_oracle(problem, seed=1)
        each.functions["mtss"](oracle, seed=2, settings=SETTINGS)
        spent.append(dataclasses.replace(oracle.ledger, samples=0))
    assert spent[0] == spent[1]


def test_draws_of_its_own_come_from_the_seed() -> None:
    own = mutant("variant-independent-own-layered-draws").functions["mtss"]
    problem = DETERMINISTIC[1]

    def samples(seed: int) -> int:
        oracle = episodic_oracle(problem, seed=1)
        own(oracle, seed=seed, settings=SETTINGS)
        return oracle.ledger.samples

    assert samples(1) == samples(1) != samples(2)


@pytest.mark.parametrize("row", MUTANTS, ids=lambda row: row.name)
def test_a_mutant_runs_to_its_end(row: Any) -> None:
    functions: dict[str, Callable[..., Any]] = dict(mutant(row.name).functions)
    problem = DETERMINISTIC[1]
    result_of("mtss", functions["mtss"](episodic_oracle(problem, seed=1), seed=2, settings=SETTINGS))
