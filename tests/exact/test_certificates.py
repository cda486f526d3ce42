"""The bound on a gap is no less than the gap, is the gap where everything is covered, and has the parts it says."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from layered_tables import random_mdp

from spanver.exact.certificates import GapBound, gap_bound
from spanver.exact.layered import layered_gap, log_anchored_law, log_optimal_law, occupancies
from spanver.policies import AnchoredPolicy, TruncatedSoftmax
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.layered import LayeredMDP, soft_q

WIDE, NARROW = 100.0, 0.8


def a_policy(problem: LayeredMDP, seed: int, *, nu: float, fresh: bool, size: float = 1.0) -> AnchoredPolicy:
    generator = np.random.default_rng(seed)
    layers = []
    for _ in range(problem.horizon):
        root = np.eye(problem.dimension) + 0.3 * generator.normal(size=(problem.dimension, problem.dimension))
        theta = size * generator.normal(size=problem.dimension)
        layers.append(TruncatedSoftmax(theta, root @ root.T, nu))
    return AnchoredPolicy(tuple(layers), fresh, int(generator.integers(problem.actions)))


def gap_of(problem: LayeredMDP, policy: AnchoredPolicy) -> float:
    return layered_gap(problem, log_anchored_law(problem, policy))


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_the_bound_is_no_less_than_the_gap(fresh: bool, zeros: bool) -> None:
    ratios, uncovered = [], 0
    for seed in range(60):
        problem = random_mdp(seed, horizon=1 + seed % 3, actions=2 + seed % 2, zeros=zeros)
        policy = a_policy(problem, seed, nu=NARROW, fresh=fresh)
        bound = gap_bound(problem, policy)
        assert bound.by_parameters is None
        assert gap_of(problem, policy) <= bound.total * (1.0 + 1e-12) + 1e-15
        if bound.total > 1e-6:
            ratios.append(gap_of(problem, policy) / bound.total)
        uncovered += bool(np.abs(bound.missed).max() > 0.0)
    assert max(ratios) > 0.95
    assert min(ratios) < 0.9
    assert uncovered > 30


@pytest.mark.parametrize("fresh", [False, True])
def test_where_everything_is_covered_it_is_the_gap(fresh: bool) -> None:
    for seed in range(10):
        problem = random_mdp(seed, horizon=3, actions=3)
        policy = a_policy(problem, seed, nu=WIDE, fresh=fresh)
        bound = gap_bound(problem, policy)
        assert bound.total == pytest.approx(gap_of(problem, policy), rel=1e-12)
        assert (bound.missed == 0.0).all()
        assert (bound.taken == 0.0).all()


@pytest.mark.parametrize("size", [0.01, 0.4, 3.0, 1e3])
@pytest.mark.parametrize("fresh", [False, True])
def test_parameters_that_are_off_bound_the_divergence(fresh: bool, size: float) -> None:
    problem = mdp_problem(1, horizon=3)
    assert problem.theta_star is not None
    for nu in (0.3, 1.0, WIDE):
        bound = gap_bound(problem, a_policy(problem, 3, nu=nu, fresh=fresh, size=size))
        assert bound.by_parameters is not None
        assert (bound.by_parameters >= bound.divergence).all()
        assert nu < 1.0 or bound.divergence.max() > 0.0  # with .3 hardly more than the anchor is covered
    layers = tuple(TruncatedSoftmax(theta, np.eye(4), WIDE) for theta in problem.theta_star)
    best = gap_bound(problem, AnchoredPolicy(layers, fresh, 0))
    assert best.total == pytest.approx(0.0, abs=1e-14)
    assert best.by_parameters is not None
    assert (best.by_parameters == 0.0).all()


def test_the_bound_by_parameters_is_half_the_square_where_they_are_nearly_right() -> None:
    # Two actions of probability p and 1 - p with p small: of the sum over the anchor, the other action is all there is.
    problem = dataclasses.replace(
        random_mdp(1, horizon=1, states=1, actions=2),
        log_base=[np.log([[0.999, 0.001]])],
        features=[np.array([[[0.0], [1.0]]])],
        rewards=[np.array([[0.3, 0.5]])],
        beta=1.0,
        theta_star=np.array([[0.2]]),
    )
    policy = AnchoredPolicy((TruncatedSoftmax(np.array([0.201]), np.eye(1), 1.0),), False, 0)
    bound = gap_bound(problem, policy)
    assert bound.by_parameters is not None
    assert bound.by_parameters[0] == pytest.approx(bound.divergence[0], rel=2e-3)
    share = 0.001 * math.exp(0.201) / (0.999 + 0.001 * math.exp(0.201))
    assert bound.by_parameters[0] == pytest.approx(0.5 * 0.001**2 * share, rel=1e-3)


@pytest.mark.parametrize("fresh", [False, True])
def test_the_parts_are_those_of_their_definition(fresh: bool) -> None:
    problem = random_mdp(5, horizon=2, actions=3)
    policy = a_policy(problem, 5, nu=NARROW, fresh=fresh)
    masses, q = occupancies(problem, log_anchored_law(problem, policy)), soft_q(problem)
    optimum, beta = [np.exp(law) for law in log_optimal_law(problem)], problem.beta
    expected = GapBound(np.zeros(2), np.zeros(2), np.zeros(2), None)
    for layer, of_layer in enumerate(policy.layers):
        for state, mass in enumerate(masses[layer]):
            base = np.exp(problem.log_base[layer][state])
            for anchor in range(3) if fresh else [policy.anchor]:
                weight = mass * (base[anchor] if fresh else 1.0)
                v = problem.features[layer][state] - problem.features[layer][state, anchor]
                covered = np.einsum("ad,de,ae->a", v, of_layer.precision, v) <= of_layer.nu**2
                worth = q[layer][state] - q[layer][state, anchor]
                ours = base * np.exp(np.where(covered, v @ of_layer.theta, 0.0) / beta)
                theirs = base * np.exp(np.where(covered, worth, 0.0) / beta)
                ours, theirs = ours / ours.sum(), theirs / theirs.sum()
                expected.divergence[layer] += weight * beta * float(ours @ np.log(ours / theirs))
                expected.missed[layer] += weight * float(optimum[layer][state] @ (worth * ~covered))
                expected.taken[layer] -= weight * float(ours @ (worth * ~covered))
    bound = gap_bound(problem, policy)
    for name in ("divergence", "missed", "taken"):
        assert getattr(bound, name) == pytest.approx(getattr(expected, name), abs=1e-13)
    assert bound.total == pytest.approx(float((expected.divergence + expected.missed + expected.taken).sum()))
