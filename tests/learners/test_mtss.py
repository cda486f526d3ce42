"""MTSS: its parts have the laws and means of FMR25's Algorithms 2, 5 and 6, its run has the form of Algorithm 4."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from laws import assert_law, rejects
from layered_tables import random_mdp
from token_tables import random_tokens

from spanver.episodic import EpisodicBudget, EpisodicLedger, States
from spanver.errors import ArgumentError, BudgetExceededError
from spanver.exact.layered import layered_gap, log_anchored_law, policy_q
from spanver.exact.samplers import every_pilot, law_given_pilot, log_pilot_means
from spanver.guarantees.spanner import spanner_size_bound
from spanver.learners.core_sets import Pairs, no_pairs, precision_of, squared_norms
from spanver.learners.mtss import (
    MTSSRun,
    MTSSSettings,
    fit_value,
    mtss,
    mtss_iterations,
    sample_actions,
    softmax_actions,
    uncertain_state_action,
)
from spanver.learners.softmax_sampler import sampler_trials
from spanver.oracles.episodic import episodic_oracle
from spanver.policies import AnchoredPolicy, TruncatedSoftmax
from spanver.problems.families.auto import auto_problem
from spanver.problems.families.forks import forks_problem
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.families.tokens import token_problem
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.problems.tokens import as_mdp

PRINTED = MTSSSettings(
    iterations=6,
    regression_rollouts=8,
    span_rollouts=2,
    base_draws=3,
    multiplier=3.0,
    failure=0.2,
    ridge=0.3,
    nu=0.5,
    threshold=1.0,
)
OURS = dataclasses.replace(
    PRINTED,
    iterations=200,
    regression_rollouts=16,
    base_draws=4,
    failure=0.1,
    stop="first",
    refit="when_certain",
    add="pool",
    search="shared",
    zero_scores="drawn",
    initial_rollouts=64,
    anchor_rollouts=False,
)
EXACT_PILOTS = 2.0**50  # draws of a pilot, so many that its mean is exact to 1e-6
COVERED = dataclasses.replace(PRINTED, ridge=1e9, nu=1.0)  # core-sets are small beside it: everything is covered


def problem_of(name: str, horizon: int, **changes: Any) -> LayeredMDP:
    if name == "mdp":
        return mdp_problem(0, horizon=horizon, **changes)
    families: dict[str, Any] = {"tokens": token_problem, "forks": forks_problem, "auto": auto_problem}
    return as_mdp(families[name](0, horizon=horizon, **changes))


def share_of_base_gap(problem: LayeredMDP, run: MTSSRun) -> float:
    return layered_gap(problem, log_anchored_law(problem, run.policy)) / layered_gap(problem, problem.log_base)


@pytest.mark.parametrize("literal", [False, True], ids=["counted", "literal"])
def test_an_action_and_its_ratio_have_the_joint_law_of_algorithm_2(literal: bool) -> None:
    problem = random_mdp(4, horizon=1, actions=3, states=1)
    oracle = episodic_oracle(problem, seed=1, literal=literal)
    policy = TruncatedSoftmax(np.array([0.5, -0.4, 0.6]), np.diag([1.0, 4.0, 2.0]), 1.2)
    settings = dataclasses.replace(PRINTED, multiplier=1.0, failure=0.9)
    trials = sampler_trials(1.0, 0.9)
    base, phi = np.exp(problem.log_base[0][0]), problem.features[0][0]
    v = phi - phi[problem.anchor]
    covered = np.einsum("ad,de,ae->a", v, policy.precision, v) <= policy.nu**2
    assert 1 < covered.sum() < 3
    exponents = np.where(covered, v @ policy.theta, 0.0) / problem.beta
    pilots, probabilities = every_pilot(base, trials)
    laws, _, _ = law_given_pilot(base, exponents, pilots, 1.0)
    ratios = exponents - log_pilot_means(exponents, pilots)
    law: dict[Hashable, float] = {}
    for pilot in range(len(pilots)):
        for action in range(3):
            key = (action, round(float(ratios[pilot, action]), 9))
            law[key] = law.get(key, 0.0) + float(probabilities[pilot] * laws[pilot, action])
    drawn = softmax_actions(oracle, oracle.start(16000), policy, settings)
    pairs = zip(drawn.actions.tolist(), np.round(drawn.log_ratios, 9).tolist(), strict=True)
    assert_law(Counter[Hashable](pairs), law)
    assert (drawn.vectors == v[drawn.actions]).all()
    assert oracle.ledger.features == 16000
    assert 16000 * trials < oracle.ledger.samples <= 16000 * (2 * trials + 1)


def test_an_action_that_no_trial_accepted_has_its_own_features_and_ratio() -> None:
    problem = random_mdp(4, horizon=1, actions=3, states=1)
    oracle = episodic_oracle(problem, seed=1)
    policy = TruncatedSoftmax(np.array([0.5, -0.4, 0.6]), 1e-9 * np.eye(3), 1.0)
    settings = dataclasses.replace(PRINTED, multiplier=2.0**14, failure=0.99)  # of 91,000 trials .4 % accept nothing
    drawn = softmax_actions(oracle, oracle.start(8000), policy, settings)
    v = problem.features[0][0] - problem.features[0][0, problem.anchor]
    assert (drawn.vectors == v[drawn.actions]).all()
    exponents = v @ policy.theta / problem.beta
    log_mean = math.log(float(np.exp(problem.log_base[0][0] + exponents).sum()))
    # But for a probability of 1e-12 the mean of a pilot is as near as this, by Hoeffding's inequality for all.
    near = math.sqrt(math.log(1.6e16) / (2.0 * sampler_trials(2.0**14, 0.99))) * math.exp(float(np.ptp(exponents)))
    assert drawn.log_ratios == pytest.approx(exponents[drawn.actions] - log_mean, abs=2.0 * near)
    assert near < 0.1 < np.ptp(exponents) / 4.0
    assert int(drawn.log_ratios.size) == 8000


def test_no_states_need_no_actions() -> None:
    oracle = episodic_oracle(problem_of("mdp", 2), seed=1)
    empty = oracle.reset(0, np.empty(0, dtype=int))
    policy = TruncatedSoftmax(np.ones(4), np.eye(4), 0.5)
    for anchor in ("fixed", "fresh"):
        drawn = softmax_actions(oracle, empty, policy, dataclasses.replace(PRINTED, anchor=anchor))
        assert (len(drawn.actions), len(drawn.log_ratios), drawn.vectors.shape) == (0, 0, (0, 4))
    assert oracle.ledger == EpisodicLedger()


def test_a_fresh_anchor_is_drawn_of_the_base_policy_in_every_state() -> None:
    problem = random_mdp(4, horizon=1, actions=3, states=1)
    oracle = episodic_oracle(problem, seed=1)
    policy = TruncatedSoftmax(np.array([0.5, -0.4, 0.6]), np.diag([1.0, 4.0, 2.0]), 1.2)
    settings = dataclasses.replace(PRINTED, anchor="fresh", multiplier=64.0)
    drawn = softmax_actions(oracle, oracle.start(16000), policy, settings)
    base, phi = np.exp(problem.log_base[0][0]), problem.features[0][0]
    assert_law(Counter(drawn.anchors.tolist()), dict(enumerate(base.tolist())))
    assert (drawn.vectors == phi[drawn.actions] - phi[drawn.anchors]).all()
    law = np.exp(log_anchored_law(problem, AnchoredPolicy((policy,), True, 0))[0][0])
    assert_law(Counter(drawn.actions.tolist()), dict(enumerate(law.tolist())))
    assert oracle.ledger.features == 0


def test_the_base_policy_can_be_drawn_at_the_price_of_a_sample() -> None:
    problem = random_mdp(4, horizon=1, actions=3, states=1)
    oracle = episodic_oracle(problem, seed=1)
    states = oracle.start(16000)
    settings = dataclasses.replace(PRINTED, zero_scores="drawn")
    drawn = softmax_actions(oracle, states, TruncatedSoftmax(np.zeros(3), np.eye(3), 1.0), settings)
    base, phi = np.exp(problem.log_base[0][0]), problem.features[0][0]
    assert_law(Counter(drawn.actions.tolist()), dict(enumerate(base.tolist())))
    assert (drawn.vectors == phi[drawn.actions] - phi[problem.anchor]).all()
    assert (drawn.log_ratios == 0.0).all()
    assert oracle.ledger == EpisodicLedger(samples=16000, features=16000, transitions=16000)
    softmax_actions(oracle, states, TruncatedSoftmax(np.array([0.0, 0.0, 1e-9]), np.eye(3), 1.0), settings)
    assert oracle.ledger.samples > 16000 * (1 + sampler_trials(settings.multiplier, settings.failure))


def only_in(layer: int, core: Pairs, horizon: int) -> list[Pairs]:
    """Core-sets of which one is not empty."""
    return [core if each == layer else no_pairs(core.vectors.shape[1]) for each in range(horizon)]


def all_pairs(problem: LayeredMDP, layer: int) -> Pairs:
    """Every state that was reached with every action, relative to the anchor."""
    states, actions = (each.reshape(-1) for each in np.indices(problem.log_base[layer].shape))
    phi = problem.features[layer]
    anchors = np.full(len(states), problem.anchor)
    return Pairs(states, actions, anchors, phi[states, actions] - phi[states, anchors])


def an_oracle_that_showed_all(problem: LayeredMDP) -> Any:
    """An oracle that issued every state of a token problem."""
    oracle = episodic_oracle(problem, seed=3)
    states = oracle.start(1)
    for _ in range(problem.horizon - 1):
        both = [
            oracle.step(oracle.reset(states.layer, states.ids), np.full(len(states), action)) for action in range(2)
        ]
        states = States(both[0].layer, np.concatenate([each.ids for each in both]), 0)
    return oracle


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_with_the_true_parameters_every_return_is_the_optimal_value(layer: int) -> None:
    problem = problem_of("forks", 3)
    assert problem.theta_star is not None
    settings = dataclasses.replace(COVERED, multiplier=EXACT_PILOTS, regression_rollouts=2)
    cores = only_in(layer, all_pairs(problem, layer), 3)
    fit = fit_value(an_oracle_that_showed_all(problem), layer, cores, problem.theta_star, settings=settings)
    q = soft_q(problem)[layer]
    expected = (q - q[:, problem.anchor, None]).reshape(-1)
    assert fit.targets == pytest.approx(expected, abs=1e-5)
    assert fit.rolled.vectors @ fit.theta == pytest.approx(expected, abs=1e-4)
    assert fit.targets[fit.rolled.actions == problem.anchor] == pytest.approx(0.0, abs=1e-5)


def test_targets_are_means_of_the_policy_that_is_followed_and_not_of_the_base_policy() -> None:
    problem = problem_of("forks", 2)
    theta = np.array([[0.0, 0.0, 0.0, 0.0], [0.9, -0.6, 0.5, 0.3]])
    policies = [TruncatedSoftmax(each, 1e-9 * np.eye(4), 1.0) for each in theta]
    law = log_anchored_law(problem, AnchoredPolicy(tuple(policies), False, problem.anchor))
    q = policy_q(problem, law)[0]
    rollouts = 2**16
    settings = dataclasses.replace(COVERED, multiplier=2.0**30, regression_rollouts=rollouts)
    cores = only_in(0, all_pairs(problem, 0), 2)
    fit = fit_value(an_oracle_that_showed_all(problem), 0, cores, theta, settings=settings)
    # A return differs by at most R_max + osc(f) from another: Hoeffding's bound at a level of 1e-9.
    width = 2.0 * (problem.reward_range + 2.0 * float(np.linalg.norm(theta[1])))
    error = width * math.sqrt(math.log(2e9) / (2.0 * rollouts))
    assert fit.targets[1] == pytest.approx(q[0, 1] - q[0, 0], abs=error)
    of_base = policy_q(problem, problem.log_base)[0]
    assert abs((of_base[0, 1] - of_base[0, 0]) - (q[0, 1] - q[0, 0])) > 2.0 * error


@pytest.mark.parametrize(("reward_draws", "averages"), [("every", True), ("once", False)])
def test_noise_of_the_own_layer_averages_only_if_its_rewards_are_drawn_in_every_rollout(
    reward_draws: Any, averages: bool
) -> None:
    problem = problem_of("mdp", 2, noise=1.0)
    oracle = episodic_oracle(problem, seed=5)
    states = np.unique(oracle.start(500).ids)
    pairs = all_pairs(problem, 0)
    core = pairs[np.flatnonzero(np.isin(pairs.states, states) & (pairs.actions != problem.anchor))]
    rollouts = 4096
    settings = dataclasses.replace(COVERED, regression_rollouts=rollouts, reward_draws=reward_draws)
    before = oracle.ledger
    fit = fit_value(oracle, 0, only_in(0, core, 2), np.zeros((2, 4)), settings=settings)
    q = policy_q(problem, problem.log_base)[0]
    errors = fit.targets - (q[core.states, core.actions] - q[core.states, core.anchors])
    # Four rewards in a difference; Hoeffding's bound at a level of 1e-9 for all pairs together.
    limit = 4.0 * problem.reward_range * math.sqrt(math.log(2e9 * len(core)) / (2.0 * rollouts))
    assert (np.abs(errors).max() <= limit) == averages
    spent = oracle.ledger - before
    own = 2 * len(core) * (rollouts if averages else 1)
    assert spent.rewards == own + 2 * len(core) * rollouts
    assert (spent.resets, spent.transitions) == (2 * len(core) * rollouts,) * 2


def test_the_anchors_own_pairs_change_no_fit() -> None:
    problem = problem_of("forks", 2)
    thetas, cores = np.zeros((2, 4)), only_in(1, all_pairs(problem, 1), 2)
    with_them = fit_value(an_oracle_that_showed_all(problem), 1, cores, thetas, settings=COVERED)
    oracle = an_oracle_that_showed_all(problem)
    before = oracle.ledger
    less = dataclasses.replace(COVERED, anchor_rollouts=False)
    without = fit_value(oracle, 1, cores, thetas, settings=less)
    assert without.theta == pytest.approx(with_them.theta, abs=1e-14)  # rewards of the last layer have no noise here
    assert len(with_them.rolled) == 2 * len(without.rolled) == 4
    assert (oracle.ledger - before).rewards == 2 * 2 * PRINTED.regression_rollouts
    nothing = fit_value(oracle, 1, [no_pairs(4)] * 2, thetas, settings=COVERED)
    assert (nothing.theta.tolist(), len(nothing.rolled)) == ([0.0] * 4, 0)


def test_a_search_starts_from_the_first_state_and_from_every_earlier_pair_anchors_included() -> None:
    problem = problem_of("forks", 3)
    oracle = an_oracle_that_showed_all(problem)
    start = all_pairs(problem, 0)
    cores = [start[np.array([1, 0])], no_pairs(4), no_pairs(4)]
    settings = dataclasses.replace(PRINTED, span_rollouts=1, base_draws=0, multiplier=64.0)
    phi, first_tokens = problem.features[2], set()
    for _ in range(200):
        before = oracle.ledger
        found = uncertain_state_action(oracle, 2, cores, np.zeros((3, 4)), settings=settings)
        assert len(found) == 1
        assert (found.vectors == phi[found.states, found.actions] - phi[found.states, found.anchors]).all()
        spent = oracle.ledger - before
        assert (spent.transitions, spent.resets) == (3 + 2 + 2, 2)
        assert spent.features == 3 + 2 + 2  # the anchor's, at every state
        first_tokens.add(int(found.states[0]) // 2)
    assert first_tokens == {0, 1}
    before = oracle.ledger
    uncertain_state_action(oracle, 2, cores, np.zeros((3, 4)), settings=dataclasses.replace(settings, base_draws=64))
    assert (oracle.ledger - before).samples >= 3 * 64


def test_a_search_returns_the_pair_of_largest_norm_among_all_actions_where_every_action_is_drawn() -> None:
    problem = problem_of("mdp", 1)
    oracle = episodic_oracle(problem, seed=5)
    core = all_pairs(problem, 0)[np.array([1, 0])]
    settings = dataclasses.replace(PRINTED, span_rollouts=500, base_draws=500)
    found = uncertain_state_action(oracle, 0, [core], np.zeros((1, 4)), settings=settings)
    norms = squared_norms(all_pairs(problem, 0), precision_of(core, settings.ridge))
    assert squared_norms(found, precision_of(core, settings.ridge))[0] == pytest.approx(norms.max(), rel=1e-12)


@pytest.mark.parametrize("name", ["forks", "mdp"])
@pytest.mark.parametrize("horizon", [1, 3])
def test_the_printed_run_costs_what_its_lines_add_up_to(name: str, horizon: int) -> None:
    problem = problem_of(name, horizon)
    oracle = episodic_oracle(problem, seed=2)
    run = mtss(oracle, settings=PRINTED)
    n_reg, n_span = PRINTED.regression_rollouts, PRINTED.span_rollouts
    transitions = resets = rewards = features = 0
    for iteration in range(PRINTED.iterations):
        size = 2 * iteration
        for layer in range(horizon):
            rollouts, later = 2 * size * n_reg, horizon - 1 - layer
            resets += rollouts
            transitions += rollouts * later
            features += rollouts * later
            rewards += rollouts * sum(problem.rewarded[layer:])
            for begun in range(layer + 1):  # 0: from the start, which is in no core-set
                rollouts = n_span * (size if begun else 1)
                resets += rollouts if begun else 0
                transitions += rollouts * (layer - begun + 1)
                features += rollouts * (layer - begun + 1)
    spent = oracle.ledger
    expected = EpisodicLedger(spent.samples, features, rewards, transitions, resets)
    assert spent == expected
    assert spent == sum((each.fit + each.search for each in run.iterations), EpisodicLedger())
    assert all(each.search.rewards == 0 for each in run.iterations)
    trials = sampler_trials(PRINTED.multiplier, PRINTED.failure)
    draws = features * trials + n_span * PRINTED.base_draws
    assert draws < spent.samples <= features * (2 * trials + 1 + PRINTED.base_draws)


def test_the_printed_run_adds_a_pair_and_its_anchor_to_every_layer_in_every_iteration() -> None:
    problem = problem_of("mdp", 3)
    run = mtss(episodic_oracle(problem, seed=2), settings=dataclasses.replace(PRINTED, iterations=30))
    assert [each.sizes.tolist() for each in run.iterations] == [[2 * t] * 3 for t in range(30)]
    assert all(each.fitted for each in run.iterations)
    assert (run.iterations[0].thetas == 0.0).all()
    certain = []
    for number, each in enumerate(run.iterations, start=1):
        for layer, core in enumerate(run.cores):
            added = core[np.array([2 * number - 2, 2 * number - 1])]
            assert added.anchors.tolist() == [problem.anchor] * 2
            assert added.states[0] == added.states[1]
            assert added.actions[1] == problem.anchor
            assert (added.vectors[1] == 0.0).all()
            phi = problem.features[layer][added.states[0]]
            assert (added.vectors[0] == phi[added.actions[0]] - phi[problem.anchor]).all()
            precision = precision_of(core[: 2 * number - 2], PRINTED.ridge)  # before the addition
            assert squared_norms(added, precision)[0] == pytest.approx(each.largest[layer], rel=1e-9)
        if each.largest.max() <= 1.0 * PRINTED.nu**2:
            certain.append(number)
    assert len(certain) > 1
    assert (run.certain, run.returned) == (True, certain[-1])
    for layer, of_layer in enumerate(run.policy.layers):
        precision = precision_of(run.cores[layer][: 2 * run.returned - 2], PRINTED.ridge)
        assert of_layer.precision == pytest.approx(precision, rel=1e-9, abs=1e-12)
        assert (of_layer.theta == run.iterations[run.returned - 1].thetas[layer]).all()
    stopped = mtss(episodic_oracle(problem, seed=2), settings=dataclasses.replace(PRINTED, iterations=30, stop="first"))
    assert stopped.returned == len(stopped.iterations) == certain[0]


def test_a_run_without_a_certain_iteration_returns_the_base_policy_and_says_so() -> None:
    problem = problem_of("forks", 2)
    run = mtss(episodic_oracle(problem, seed=1), settings=dataclasses.replace(PRINTED, iterations=3))
    assert (run.certain, run.returned, len(run.iterations)) == (False, 1, 3)
    assert share_of_base_gap(problem, run) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("anchor", ["fixed", "fresh"])
@pytest.mark.parametrize("name", ["tokens", "forks", "auto", "mdp"])
def test_pairs_are_added_while_they_are_uncertain_and_fits_come_after_certain_searches(name: str, anchor: Any) -> None:
    problem = problem_of(name, 3)
    settings = dataclasses.replace(OURS, anchor=anchor)
    run = mtss(episodic_oracle(problem, seed=4), settings=settings)
    for core in run.cores:
        for row in range(0, len(core), 2):
            pair = core[np.array([row])]
            assert squared_norms(pair, precision_of(core[:row], OURS.ridge))[0] > settings.tolerance * (1 - 1e-9)
            assert core.actions[row + 1] == core.anchors[row] == core.anchors[row + 1]
        most = spanner_size_bound(problem.dimension, OURS.ridge, math.sqrt(settings.tolerance))  # S4
        assert 0 < len(core) // 2 <= most
    uncertain = [each.largest.max() > settings.tolerance for each in run.iterations]
    assert run.certain
    assert not uncertain[-1]
    assert run.iterations[-1].fitted
    for before, after, was_uncertain in zip(run.iterations, run.iterations[1:], uncertain, strict=False):
        assert after.fitted == (not was_uncertain and not before.fitted)
        assert (after.sizes > before.sizes).any() == was_uncertain
    assert run.policy.fresh == (anchor == "fresh")


@pytest.mark.parametrize("anchor", ["fixed", "fresh"])
@pytest.mark.parametrize(
    ("name", "horizon", "share"),
    [("tokens", 8, 0.002), ("forks", 8, 0.002), ("auto", 3, 0.05), ("mdp", 4, 0.05), ("mdp", 1, 0.05)],
)
def test_practical_settings_leave_little_of_the_base_gap(name: str, horizon: int, share: float, anchor: Any) -> None:
    problem = problem_of(name, horizon)
    rollouts = 16 if problem.noise == 0.0 else 256
    settings = dataclasses.replace(OURS, anchor=anchor, multiplier=6.0, regression_rollouts=rollouts)
    run = mtss(episodic_oracle(problem, seed=1), settings=settings)
    assert run.certain
    assert share_of_base_gap(problem, run) < share


def test_the_printed_algorithm_learns_dynamic_programming() -> None:
    problem = problem_of("forks", 4)
    run = mtss(episodic_oracle(problem, seed=1), settings=dataclasses.replace(PRINTED, iterations=20, stop="first"))
    assert run.certain
    assert share_of_base_gap(problem, run) < 0.01  # rollouts of the base policy would leave .29


def test_a_literal_oracle_serves_too_and_the_same_seed_gives_the_same_run() -> None:
    problem = problem_of("mdp", 2, noise=0.0)
    runs = [mtss(episodic_oracle(problem, seed=6, literal=True), settings=OURS) for _ in range(2)]
    ledgers = [[(each.fit, each.search) for each in run.iterations] for run in runs]
    assert ledgers[0] == ledgers[1]
    for one, other in zip(runs[0].policy.layers, runs[1].policy.layers, strict=True):
        assert (one.theta == other.theta).all()
    assert share_of_base_gap(problem, runs[0]) < 0.1
    counted = mtss(episodic_oracle(problem, seed=6), settings=OURS)
    assert [(each.fit, each.search) for each in counted.iterations] != ledgers[0]


@pytest.mark.parametrize("literal", [False, True], ids=["counted", "literal"])
def test_the_second_fit_of_a_run_has_its_exact_law(literal: bool) -> None:
    # One state and two actions. The second pair is met in one of 1 + 3 draws of the base policy, or it is not and the
    # fit has nothing to go by; then each arm has two rewards, which are 0 or 1.
    problem = LayeredMDP(
        initial_law=np.ones(1),
        successors=[],
        transitions=[],
        log_base=[np.log([[0.7, 0.3]])],
        features=[np.array([[[0.0], [1.0]]])],
        rewards=[np.array([[0.4, 0.9]])],
        beta=0.5,
        radius=2.0,
        reward_range=1.0,
        noise=1.0,
    )
    settings = dataclasses.replace(PRINTED, iterations=2, regression_rollouts=2, span_rollouts=1)
    outcomes: Counter[Hashable] = Counter()
    for seed in range(600):
        run = mtss(episodic_oracle(problem, seed=seed, literal=literal), settings=settings)
        met = bool(run.cores[0].vectors[0, 0])
        outcomes[round(float(run.iterations[1].thetas[0, 0]), 9) if met else None] += 1
    assert not rejects(outcomes, law_of_second_fit(draws=4, of_anchor=0.4))
    assert rejects(outcomes, law_of_second_fit(draws=2, of_anchor=0.4))
    assert rejects(outcomes, law_of_second_fit(draws=4, of_anchor=0.6))


def law_of_second_fit(*, draws: int, of_anchor: float) -> dict[Hashable, float]:
    """None where no draw of the base policy was the second action, of probability .3; else the mean difference."""
    law: dict[Hashable, float] = {None: 0.7**draws}
    for one, chance in enumerate(two_coins(0.9)):
        for other, of_other in enumerate(two_coins(of_anchor)):
            key = (one - other) / 2.0
            law[key] = law.get(key, 0.0) + (1.0 - 0.7**draws) * chance * of_other
    return law


def two_coins(chance: float) -> tuple[float, float, float]:
    """Probabilities of 0, 1 and 2."""
    return (1.0 - chance) ** 2, 2.0 * chance * (1.0 - chance), chance**2


@pytest.mark.parametrize("settings", [PRINTED, OURS], ids=["printed", "ours"])
def test_a_run_goes_on_from_any_iteration_as_if_it_had_not_been_left(settings: MTSSSettings) -> None:
    oracle = episodic_oracle(problem_of("mdp", 2), seed=1)
    runs = list(mtss_iterations(oracle, settings=settings))
    whole = mtss(episodic_oracle(problem_of("mdp", 2), seed=1), settings=settings)
    assert [len(run.iterations) for run in runs] == list(range(1, len(runs) + 1))
    assert len(runs) > 2
    oracle = episodic_oracle(problem_of("mdp", 2), seed=1)
    left = next(mtss_iterations(oracle, settings=settings))
    *_, ended = mtss_iterations(oracle, settings=settings, start=left)
    for run in (runs[-1], ended):
        assert (run.returned, run.certain) == (whole.returned, whole.certain)
        for one, other in zip(run.policy.layers, whole.policy.layers, strict=True):
            assert (one.theta == other.theta).all()
            assert (one.precision == other.precision).all()
    with pytest.raises(ArgumentError, match="start"):
        next(mtss_iterations(oracle, settings=settings, start=ended))


@pytest.mark.parametrize("anchor", ["fixed", "fresh"])
def test_actions_of_a_run_have_the_law_of_its_policy(anchor: Any) -> None:
    problem = problem_of("mdp", 2)
    settings = dataclasses.replace(OURS, anchor=anchor, multiplier=256.0)
    run = mtss(episodic_oracle(problem, seed=1), settings=settings)
    oracle = episodic_oracle(problem, seed=2)
    standing = oracle.start(60000)
    standing = oracle.step(standing, sample_actions(run, oracle, standing))
    actions = sample_actions(run, oracle, standing)
    law = np.exp(log_anchored_law(problem, run.policy)[1])
    state = int(np.bincount(standing.ids).argmax())
    drawn = Counter(actions[standing.ids == state].tolist())
    assert_law(drawn, dict(enumerate(law[state].tolist())))


def test_a_run_ends_with_the_budget() -> None:
    problem = problem_of("mdp", 2)
    for budget in (EpisodicBudget(rewards=100), EpisodicBudget(samples=1000), EpisodicBudget(resets=10)):
        oracle = episodic_oracle(problem, seed=1, budget=budget)
        with pytest.raises(BudgetExceededError):
            mtss(oracle, settings=PRINTED)
        for kind in ("rewards", "samples", "resets"):
            limit = getattr(budget, kind)
            assert limit is None or getattr(oracle.ledger, kind) <= limit


def test_token_problems_with_zeros_and_several_prompts_are_fine() -> None:
    problem = as_mdp(random_tokens(5, horizon=3, vocabulary_size=3, prompts=2, zeros=True, realizable=True))
    fresh = dataclasses.replace(OURS, anchor="fresh", multiplier=20.0, regression_rollouts=64)
    run = mtss(episodic_oracle(problem, seed=1), settings=fresh)
    assert run.certain
    assert share_of_base_gap(problem, run) < 0.02


@pytest.mark.parametrize(
    "changes",
    [
        {"iterations": 0},
        {"regression_rollouts": 0},
        {"span_rollouts": 0},
        {"base_draws": -1},
        {"initial_rollouts": 0},
        {"multiplier": 0.5},
        {"failure": 1.0},
        {"ridge": 0.0},
        {"nu": 0.0},
        {"threshold": 0.0},
        {"stop": "never"},
        {"reward_draws": "twice"},
        {"refit": "never"},
        {"add": "none"},
        {"search": "none"},
        {"anchor": "none"},
        {"zero_scores": "none"},
        {"anchor_rollouts": 2},
    ],
)
def test_bad_settings_are_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(changes))):
        dataclasses.replace(PRINTED, **changes)


def test_the_law_relative_to_a_fixed_anchor_is_the_softmax_of_truncated_scores() -> None:
    problem = random_mdp(7, horizon=2, actions=3)
    policy = TruncatedSoftmax(np.array([0.8, -0.5, 0.2]), np.diag([1.0, 4.0, 2.0]), 0.9)
    laws = log_anchored_law(problem, AnchoredPolicy((policy, policy), False, 2))
    for layer, log_law in enumerate(laws):
        for state, law in enumerate(log_law):
            phi, base = problem.features[layer][state], np.exp(problem.log_base[layer][state])
            v = phi - phi[2]
            inside = np.einsum("ad,de,ae->a", v, policy.precision, v) <= policy.nu**2
            weights = base * np.exp(np.where(inside, v @ policy.theta, 0.0) / problem.beta)
            assert np.exp(law) == pytest.approx(weights / weights.sum(), abs=1e-14)
    with pytest.raises(ArgumentError, match="layers of policy is 1"):
        log_anchored_law(problem, AnchoredPolicy((policy,), False, 2))
    with pytest.raises(ArgumentError, match="layers"):
        AnchoredPolicy((), False, 0)
