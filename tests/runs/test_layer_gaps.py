"""What `certify` recomputes of a process of layers is what the exact recursions give, within the bound on rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from layered_tables import random_mdp

from spanver.episodic import EpisodicLedger
from spanver.exact import layered as exact_layers
from spanver.exact.certificates import gap_bound
from spanver.learners.core_sets import Pairs
from spanver.learners.mtss import Iteration, MTSSRun, MTSSSettings
from spanver.problems.families.auto import auto_problem
from spanver.problems.families.forks import forks_problem
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.problems.tokens import as_mdp
from spanver.runs import layer_gaps
from spanver.runs.records import LayeredRun

PROBLEMS: dict[str, LayeredMDP] = {
    "mdp": mdp_problem(2, horizon=5),
    "long": mdp_problem(1, horizon=24, states=6),
    "a single layer": mdp_problem(1, horizon=1),
    "forks": as_mdp(forks_problem(1, horizon=6)),
    "auto": as_mdp(auto_problem(1, horizon=4, prompts=2)),
    "actions without mass": random_mdp(11, horizon=3, actions=3, zeros=True),
    "a small beta": mdp_problem(4, horizon=3, beta=0.01),
}
EVERY = pytest.mark.parametrize("name", PROBLEMS)


def anything(problem: LayeredMDP, anchor: str, seed: int) -> LayeredRun:
    """A run that was certain at once, with random core-sets and parameters."""
    generator = np.random.default_rng(seed)
    cores, shape = [], (problem.horizon, problem.dimension)
    for _ in range(problem.horizon):
        nothing = np.zeros(4, dtype=np.int64)
        cores.append(Pairs(nothing, nothing, nothing, generator.uniform(-1.0, 1.0, (4, problem.dimension))))
    thetas = problem.radius / math.sqrt(problem.dimension) * generator.uniform(-1.0, 1.0, shape)
    settings = MTSSSettings(1, 1, 1, 0, 2.0, 0.5, 0.3, 0.9, anchor="fresh" if anchor == "fresh" else "fixed")
    ledger, sizes = EpisodicLedger(), np.full(problem.horizon, 4)
    certain = Iteration(True, thetas, sizes, np.zeros(problem.horizon), ledger, ledger)
    run = MTSSRun((certain,), tuple(cores), settings, problem.anchor)
    return LayeredRun(run, np.array([layer.precision for layer in run.policy.layers]))


@EVERY
def test_values_are_those_of_the_soft_recursion(name: str) -> None:
    problem = PROBLEMS[name]
    solution = layer_gaps.solved(problem)
    for mine, theirs in zip(solution.values, soft_q(problem), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12, abs=1e-12)
    for mine, theirs in zip(solution.optimum, exact_layers.log_optimal_law(problem), strict=True):
        assert mine == pytest.approx(np.exp(theirs), rel=1e-9, abs=1e-300)


@EVERY
@pytest.mark.parametrize("anchor", ["fixed", "fresh"])
def test_gaps_and_parts_of_the_bound_are_the_exact_ones(name: str, anchor: str) -> None:
    problem, left = PROBLEMS[name], 0.0
    solution = layer_gaps.solved(problem)
    for seed in range(3):
        did = anything(problem, anchor, seed)
        policy, ties = layer_gaps._policy(did, problem)
        assert not ties
        exact = exact_layers.layered_gap(problem, exact_layers.log_anchored_law(problem, did.run.policy))
        laws = [policy.mixed(layer) for layer in range(problem.horizon)]
        found = layer_gaps._gap(solution, laws)
        assert abs(found.values[0] - exact) <= found.bounds[0] <= 1e-8 * (1.0 + exact)
        bound = gap_bound(problem, did.run.policy)
        for layer, masses, off in layer_gaps._occupied(solution, laws):
            for part, here in layer_gaps._parts(solution, policy, layer).items():
                allowed = masses @ here.bounds + 2.0 * off * np.abs(here.values).max()
                assert abs(masses @ here.values - getattr(bound, part)[layer]) <= allowed <= 1e-8 * (1.0 + exact)
        left += float(np.abs(bound.missed).sum() + np.abs(bound.taken).sum())
    assert left > 1e-4  # something is not covered


@EVERY
def test_coverages_are_the_exact_ones(name: str) -> None:
    problem = PROBLEMS[name]
    optimum = exact_layers.log_optimal_law(problem)
    largest, trajectory = layer_gaps._log_coverages(layer_gaps.solved(problem))
    assert largest == pytest.approx(exact_layers.log_conditional_coverage(problem, optimum), rel=1e-10)
    starts = problem.initial_law > 0.0
    assert trajectory == pytest.approx(exact_layers.log_coverage(problem, optimum)[starts].max(), rel=1e-10)
