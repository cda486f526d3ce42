"""The tabular families have the closed forms that the bounds rely on, and are functions of their seed."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from laws import assert_law

from spanver.errors import ArgumentError
from spanver.exact.tabular import best_objective, log_coverage, log_optimal_law
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.max_k_dnf import max_k_dnf_problem
from spanver.problems.families.needle import needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray

Family: TypeAlias = Callable[..., TabularProblem]

FAMILIES: list[Family] = [random_problem, needle_problem, covered_needle_problem, max_k_dnf_problem]
ARRAYS = ("prompt_law", "log_base", "features", "reward", "reward_low", "theta_star")

VARIED: list[tuple[Family, dict[str, Any]]] = [
    (random_problem, {}),
    (random_problem, {"base": "dirichlet", "zeros": 0.5}),
    (random_problem, {"prompts": 1, "responses": 1, "dimension": 1}),
    (random_problem, {"beta": 1e-4, "noise": 1.0, "zeros": 0.96875}),
    (needle_problem, {}),
    (needle_problem, {"responses": 3, "dimension": 1, "beta": 1e-4, "coverage": 2.0**41}),
    (needle_problem, {"beta": 5.0, "coverage": 1e300}),
    (needle_problem, {"direction": "sphere"}),
    (covered_needle_problem, {}),
    (covered_needle_problem, {"coverage": 2.0**41}),
    (covered_needle_problem, {"coverage": 1.0, "prompts": 1, "responses": 2, "dimension": 2}),
    (covered_needle_problem, {"coverage": 2.0**41, "beta": 1e-4}),
    (max_k_dnf_problem, {}),
    (max_k_dnf_problem, {"variables": 1, "literals": 1, "clauses": 1, "beta": 1e-4}),
    (max_k_dnf_problem, {"formula": "hadamard", "literals": 3, "clauses": 2, "repetitions": 2}),
    (max_k_dnf_problem, {"formula": "random", "delta": 0.75, "noise": 1.0}),
]


@pytest.mark.parametrize(("family", "settings"), VARIED)
@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_every_family_is_realizable_in_the_unit_ball(family: Family, settings: dict[str, Any], seed: int) -> None:
    problem = family(seed, **settings)
    assert problem.theta_star is not None
    assert np.linalg.norm(problem.features, axis=-1).max() <= 1.0 + 1e-15
    assert np.linalg.norm(problem.theta_star) <= problem.radius * (1 + 1e-15)
    relative = problem.features[:, :, None, :] - problem.features[:, None, :, :]
    differences = problem.reward[:, :, None] - problem.reward[:, None, :]
    assert relative @ problem.theta_star == pytest.approx(differences, abs=1e-14)
    assert np.exp(problem.log_base).sum(axis=1) == pytest.approx(1.0, abs=1e-14)
    assert (problem.reward >= problem.reward_low[:, None]).all()
    assert (problem.reward <= problem.reward_low[:, None] + problem.reward_range).all()
    assert (problem.prompt_law == 1.0 / problem.prompts).all()


@pytest.mark.parametrize(("family", "settings"), VARIED)
def test_a_family_is_a_function_of_its_parameters(family: Family, settings: dict[str, Any]) -> None:
    problem, again = family(3, **settings), family(3, **settings)
    rebuilt = family(**problem.parameters)
    for other in (again, rebuilt):
        for name in ARRAYS:
            assert np.array_equal(getattr(problem, name), getattr(other, name))
        for name in ("beta", "radius", "reward_range", "noise", "name", "parameters"):
            assert getattr(problem, name) == getattr(other, name)
    assert problem.parameters["seed"] == 3
    assert problem.parameters.items() >= settings.items()


def test_problems_of_different_seeds_differ() -> None:
    for family in FAMILIES:
        seeds = (0, 1, 2, 2**32, 2**64, 2**64 + 1)
        problems = [family(seed) for seed in seeds]
        digests = {problem.features.tobytes() + problem.log_base.tobytes() for problem in problems}
        assert len(digests) == len(seeds)


@pytest.mark.parametrize("base", ["gumbel", "dirichlet"])
def test_the_base_policies_of_the_random_family_differ_between_prompts_and_seeds(base: str) -> None:
    problem = random_problem(0, base=base)  # type: ignore[arg-type]
    laws = np.concatenate([problem.log_base, random_problem(1, base=base).log_base])  # type: ignore[arg-type]
    assert len(np.unique(laws.round(12), axis=0)) == len(laws)
    other = "dirichlet" if base == "gumbel" else "gumbel"
    assert not np.array_equal(problem.log_base, random_problem(0, base=other).log_base)  # type: ignore[arg-type]


@pytest.mark.parametrize(("zeros", "responses", "removed"), [(0.0, 7, 0), (0.5, 7, 3), (0.999, 7, 6), (0.999, 1, 0)])
def test_a_share_of_the_random_base_policy_is_zero(zeros: float, responses: int, removed: int) -> None:
    problem = random_problem(5, responses=responses, zeros=zeros)
    assert ((problem.log_base == -np.inf).sum(axis=1) == removed).all()
    assert np.isfinite(log_coverage(problem, log_optimal_law(problem))).all()


def test_rewards_of_the_random_family_are_shifted_per_prompt_and_span_the_range() -> None:
    problem = random_problem(4, responses=2000, dimension=1, prompts=3)
    assert problem.theta_star is not None
    assert np.linalg.norm(problem.theta_star) == pytest.approx(1.0, abs=1e-15)
    shift = problem.reward - problem.features @ problem.theta_star
    assert len(np.unique(shift[:, 0].round(9))) == 3
    # In one dimension the unit ball is [-1, 1]: rewards fill the interval of length R_max = 2.
    assert problem.reward_range == 2.0
    assert np.ptp(problem.reward, axis=1).min() > 1.98


@pytest.mark.parametrize(("beta", "coverage"), [(0.1, 64.0), (0.1, 2.0**41), (0.25, 1e6), (2.0, 64.0), (1e-2, 2.0**41)])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_needle_has_its_closed_forms(seed: int, beta: float, coverage: float) -> None:
    problem = needle_problem(seed, responses=9, dimension=5, beta=beta, coverage=coverage)
    c = min(coverage, math.exp(1.0 / (2.0 * beta)))
    assert problem.theta_star is not None
    needle = np.argmax(problem.reward[0])
    ordinary = np.argmax(np.where(problem.reward[0] == 0.0, problem.log_base[0], -1e9))
    base = np.exp(problem.log_base[0])
    assert base[needle] == pytest.approx(1.0 / c, rel=1e-13, abs=0.0)
    assert base[ordinary] == pytest.approx(1.0 - 1.0 / c, rel=1e-13, abs=0.0)
    assert (np.delete(problem.log_base[0], [needle, ordinary]) == -np.inf).all()
    assert np.abs(problem.features[0, needle]) == pytest.approx(5**-0.5, rel=1e-15, abs=0.0)
    assert (np.delete(problem.features[0], needle, axis=0) == 0.0).all()
    assert np.array_equal(problem.features[0, needle], problem.theta_star)
    assert problem.reward[0] == pytest.approx((np.arange(9) == needle).astype(float), abs=1e-15)
    assert (problem.radius, problem.reward_range, problem.noise) == (1.0, 1.0, 0.0)
    of_optimum = math.log(c) - math.log1p((c - 1.0) * math.exp(-1.0 / beta))
    assert log_coverage(problem, log_optimal_law(problem))[0] == pytest.approx(of_optimum, rel=1e-13, abs=0.0)
    value = 1.0 - beta * of_optimum  # E e^{r/beta} = e^{1/beta}/C(pi*)
    assert best_objective(problem) == pytest.approx(value, rel=1e-13, abs=0.0)
    assert value >= 0.5


def test_the_needle_of_the_paper_is_in_a_uniform_direction_beside_response_0() -> None:
    problems = [
        needle_problem(seed, responses=5, dimension=3, beta=1.0, coverage=10.0, direction="sphere")
        for seed in range(8000)
    ]
    needles = [int(np.argmax(problem.reward[0])) for problem in problems]
    for problem, needle in zip(problems, needles, strict=True):
        assert set(np.flatnonzero(problem.log_base[0] > -np.inf)) == {0, needle}
    assert_law(Counter(needles), dict.fromkeys(range(1, 5), 0.25))
    features = np.array([problem.features[0, needle] for problem, needle in zip(problems, needles, strict=True)])
    assert np.linalg.norm(features, axis=1) == pytest.approx(1.0, rel=1e-14)
    # In three dimensions a coordinate is uniform on [-1, 1].
    quarters = np.minimum((features[:, 1] + 1.0) // 0.5, 3).astype(int).tolist()
    assert_law(Counter(quarters), dict.fromkeys(range(4), 0.25))


def test_the_labels_of_the_needle_do_not_tell_where_it_is() -> None:
    problems = [needle_problem(seed, responses=4, dimension=2, beta=1.0, coverage=10.0) for seed in range(600)]
    needles = [int(np.argmax(problem.reward[0])) for problem in problems]
    visible = [
        int(np.flatnonzero(problem.log_base[0] > -np.inf).sum()) - needle
        for problem, needle in zip(problems, needles, strict=True)
    ]
    places = np.zeros((4, 4))
    np.add.at(places, (needles, visible), 1.0)
    assert (np.diag(places) == 0.0).all()
    # Uniform over 12 ordered pairs, 50 of each expected with standard deviation 6.8: six of them either way.
    assert places[~np.eye(4, dtype=bool)].min() >= 10
    assert places.max() <= 90
    signs = np.array([np.sign(p.theta_star) for p in problems if p.theta_star is not None])
    assert np.abs(signs.sum(axis=0)).max() <= 6 * math.sqrt(600)
    assert abs((signs[:, 0] * signs[:, 1]).sum()) <= 6 * math.sqrt(600)


COVERAGES = [1.0, 1.0 + 1e-9, 2.0, 3.7, 2.0**10, 2.0**30, 2.0**40, 2.0**41]


def needle_first(problem: TabularProblem, array: FloatArray) -> FloatArray:
    """The rows of a table with the needle, which is the rewarded response, in front."""
    order = np.argsort(-problem.reward, axis=1, kind="stable")
    return np.stack([row[chosen] for row, chosen in zip(array, order, strict=True)])


def test_the_label_of_the_needle_says_nothing() -> None:
    needles = {
        int(k) for seed in range(40) for k in np.argmax(covered_needle_problem(seed, responses=8).reward, axis=1)
    }
    assert needles == set(range(8))


@pytest.mark.parametrize("coverage", COVERAGES)
@pytest.mark.parametrize("beta", [0.03, 1e-3, 1e-4])
def test_the_covered_needle_has_exactly_the_coverage_asked_for(coverage: float, beta: float) -> None:
    problem = covered_needle_problem(3, coverage=coverage, beta=beta)
    law = log_optimal_law(problem)
    rounding = 1e-14 + 4e-16 / beta
    assert log_coverage(problem, law) == pytest.approx(math.log(coverage), rel=1e-14, abs=rounding)
    # E e^{r/beta} = e^{1/beta}/C.
    assert best_objective(problem) == pytest.approx(1.0 - beta * math.log(coverage), rel=1e-14, abs=0.0)
    # (1/C - a)/(1 - a), where a = e^{-1/beta} is below 1e-14 and 1/C above 4e-13.
    needle = (1.0 / coverage - math.exp(-1.0 / beta)) / -math.expm1(-1.0 / beta)
    assert np.exp(needle_first(problem, problem.log_base)[:, 0]) == pytest.approx(needle, rel=1e-13, abs=0.0)
    assert np.exp(needle_first(problem, law)[:, 0]) == pytest.approx(coverage * needle, rel=1e-11, abs=0.0)


def test_the_base_probability_of_the_needle_accounts_for_the_weight_of_the_cloud() -> None:
    # At e^{1/beta} = 8 and C = 4 the correction by a = 1/8 is large: p = (1/4 - 1/8)/(7/8) = 1/7.
    problem = covered_needle_problem(0, coverage=4.0, beta=1.0 / math.log(8.0))
    assert np.exp(needle_first(problem, problem.log_base)[:, 0]) == pytest.approx(1.0 / 7.0, rel=1e-14, abs=0.0)
    assert np.exp(log_coverage(problem, log_optimal_law(problem))) == pytest.approx(4.0, rel=1e-14, abs=0.0)


def test_along_the_ladder_of_coverage_nothing_else_changes() -> None:
    reference = covered_needle_problem(11, coverage=2.0)
    base = needle_first(reference, reference.log_base)
    cloud = base[:, 1:] - base[:, 1:2]
    for coverage in COVERAGES[2:]:
        problem = covered_needle_problem(11, coverage=coverage)
        for name in ("prompt_law", "features", "reward", "reward_low", "theta_star"):
            assert np.array_equal(getattr(problem, name), getattr(reference, name))
        base = needle_first(problem, problem.log_base)
        assert base[:, 1:] - base[:, 1:2] == pytest.approx(cloud, abs=1e-13)
        assert (problem.beta, problem.radius, problem.reward_range) == (0.03, 1.0, 1.0)


def test_the_cloud_is_orthogonal_to_the_needle_and_earns_nothing() -> None:
    problem = covered_needle_problem(2, prompts=3, responses=40, dimension=5)
    features = needle_first(problem, problem.features)
    assert (features[:, 0] == np.eye(5)[-1]).all()
    assert (features[:, 1:, -1] == 0.0).all()
    assert (needle_first(problem, problem.reward) == np.eye(40)[0]).all()
    assert problem.noise == 0.0
    assert np.linalg.matrix_rank(features[0, 1:]) == 4
    assert len(np.unique(features[:, 1:].reshape(-1, 5), axis=0)) == 3 * 39


REFUSALS: list[tuple[Family, dict[str, Any], str]] = [
    (random_problem, {"prompts": 0}, "prompts is 0"),
    (random_problem, {"responses": 0}, "responses is 0"),
    (random_problem, {"responses": 2.0}, "responses is 2.0"),
    (random_problem, {"dimension": 0}, "dimension is 0"),
    (random_problem, {"dimension": True}, "dimension is True"),
    (random_problem, {"beta": 0.0}, "beta is 0.0"),
    (random_problem, {"beta": math.nan}, "beta is nan"),
    (random_problem, {"base": "uniform"}, "base is 'uniform'"),
    (random_problem, {"zeros": 1.0}, "zeros is 1.0"),
    (random_problem, {"zeros": -0.1}, "zeros is -0.1"),
    (random_problem, {"zeros": math.nan}, "zeros is nan"),
    (random_problem, {"noise": 1.5}, "noise is 1.5"),
    (random_problem, {"seed": -1}, "seed is -1"),
    (random_problem, {"seed": 0.5}, "seed is 0.5"),
    (needle_problem, {"responses": 2}, "responses is 2"),
    (needle_problem, {"direction": "cube"}, "direction is 'cube'"),
    (needle_problem, {"dimension": 0}, "dimension is 0"),
    (needle_problem, {"beta": -1.0}, "beta is -1.0"),
    (needle_problem, {"coverage": 1.0}, "coverage is 1.0"),
    (needle_problem, {"coverage": math.nan}, "coverage is nan"),
    (needle_problem, {"coverage": math.inf}, "coverage is inf"),
    (needle_problem, {"seed": -1}, "seed is -1"),
    (covered_needle_problem, {"prompts": 0}, "prompts is 0"),
    (covered_needle_problem, {"responses": 1}, "responses is 1"),
    (covered_needle_problem, {"dimension": 1}, "dimension is 1"),
    (covered_needle_problem, {"beta": 0.0}, "beta is 0.0"),
    (covered_needle_problem, {"coverage": 0.5}, "coverage is 0.5"),
    (covered_needle_problem, {"coverage": math.nan}, "coverage is nan"),
    (covered_needle_problem, {"coverage": math.inf}, "coverage is inf"),
    (covered_needle_problem, {"coverage": 2.0**40, "beta": 0.0361}, "coverage is 1099511627776.0"),
    (covered_needle_problem, {"seed": -1}, "seed is -1"),
]


@pytest.mark.parametrize(("family", "settings", "sentence"), REFUSALS)
def test_settings_outside_a_family_are_refused(family: Family, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentError, match="but it must be") as refusal:
        family(**settings)
    assert str(refusal.value).startswith(sentence)


def test_the_largest_coverage_of_a_covered_needle_is_named_when_it_is_passed() -> None:
    with pytest.raises(ArgumentError, match="below exp"):
        covered_needle_problem(coverage=8.0, beta=1.0 / math.log(8.0) * (1 + 1e-12))
    covered_needle_problem(coverage=7.99, beta=1.0 / math.log(8.0))


@pytest.mark.parametrize("family", [needle_problem, covered_needle_problem])
def test_a_coverage_beyond_floating_point_is_refused_or_taken_but_never_an_overflow(family: Family) -> None:
    with contextlib.suppress(ArgumentError):
        family(coverage=2**2000)
