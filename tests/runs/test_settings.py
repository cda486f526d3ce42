"""Practical settings follow their row and the coverage; derived settings follow the fixed point of section 3."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from spanver.errors import ArgumentError
from spanver.guarantees.sampler import sampler_samples
from spanver.guarantees.spanner import spanner_size_bound
from spanver.learners.mtss import MTSSSettings, mtss
from spanver.learners.spanner_sampling import Settings
from spanver.oracles.episodic import episodic_oracle
from spanver.problems.catalogue import FAMILIES
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.forks import forks_problem
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.families.tokens import token_problem
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import as_mdp
from spanver.runs.settings import derived_settings, most_of_printed_run, paper_mtss_settings, settings_for

GIVEN: dict[str, Any] = {
    "eps": 0.05,
    "delta": 0.1,
    "dimension": 8,
    "beta": 0.1,
    "radius": 1.0,
    "reward_range": 1.0,
    "coverage": 16.0,
}


def test_every_family_has_practical_settings_and_no_other_has() -> None:
    assert all(family.practical is not None for family in FAMILIES.values())


def stand_in(family: str, radius: float = 1.0, reward_range: float = 1.0) -> TabularProblem:
    """All of a problem that its practical settings depend on."""
    return cast(TabularProblem, SimpleNamespace(name=family, radius=radius, reward_range=reward_range))


WORKED = {
    ("text", 1.0): Settings(150, 1, 0.4, 2.25, 200, 4.0, 0.225),
    ("text", 3.7): Settings(150, 4, 0.4, 2.25, 200, 14.8, 0.225),
    ("random", 1.0): Settings(400, 4, 0.3, 2.25, 1000, 21.746254627672361, 0.001),  # 2 sqrt(e) = 3.297, 8 e
    ("random", 3.7): Settings(400, 13, 0.3, 2.25, 1000, 80.461142122387737, 0.001),  # 12.20
    ("needle", 3.7): Settings(100, 13, 0.3, 2.25, 100, 80.461142122387737, 0.001),
    ("covered_needle", 2.0**40): Settings(400, 3625576416193, 0.3, 2.25, 400, 23910259823703.4, 0.001),
    ("max_k_dnf", 3.7): Settings(400, 13, 0.3, 2.25, 400, 80.461142122387737, 0.001),
}
"""For `B = 2` and `R_max = 3`."""


@pytest.mark.parametrize(("family", "coverage"), WORKED)
def test_practical_settings_are_those_worked_out_by_hand(family: str, coverage: float) -> None:
    settings = settings_for(stand_in(family, 2.0, 3.0), coverage=coverage)
    expected = WORKED[family, coverage]
    assert settings.rejection_multiplier == pytest.approx(expected.rejection_multiplier, rel=1e-12)
    assert dataclasses.replace(settings, rejection_multiplier=expected.rejection_multiplier) == expected


@pytest.mark.parametrize("family", ["random", "needle", "covered_needle", "max_k_dnf"])
def test_practical_settings_of_tables_keep_the_derived_factors_of_the_coverage(family: str) -> None:
    practical = settings_for(stand_in(family), coverage=16.0)
    derived = derived_settings(**GIVEN)
    assert practical.pairs_per_prompt == derived.pairs_per_prompt == math.ceil(2 * math.exp(0.5) * 16)
    assert practical.rejection_multiplier == pytest.approx(derived.rejection_multiplier)
    assert derived.rejection_multiplier == pytest.approx(8 * math.e * 16)
    assert practical.ridge == derived.ridge == 1.0
    assert practical.prompts < derived.prompts
    assert practical.exploration_rounds < derived.exploration_rounds
    assert practical.nu > derived.nu


def test_the_text_row_costs_at_most_thirty_thousand_samples_with_the_race() -> None:
    settings = settings_for(stand_in("text"), coverage=16.0)
    race = math.ceil(settings.rejection_multiplier / 4 * math.log(1 / settings.rejection_failure))
    samples = 2 * settings.prompts * settings.pairs_per_prompt + settings.exploration_rounds * (1 + race)
    assert samples <= 30_000
    assert samples < settings.exploration_rounds * sampler_samples(
        settings.rejection_multiplier, settings.rejection_failure
    )


def test_derived_settings_are_the_fixed_point_of_section_3_worked_out_by_hand() -> None:
    # Iterated from nu = .01 and T_exp = 1e9: gamma = 8.5666953, nu = beta / (2 gamma), a spanner of at most 3,366,838.
    settings = derived_settings(**GIVEN)
    assert settings.nu == pytest.approx(0.00583655635, rel=1e-8)
    assert settings.exploration_rounds == pytest.approx(7_192_266, rel=1e-6)
    assert settings.prompts == pytest.approx(2_732_798_062, rel=1e-7)  # 7.6 (5 + 3.4 beta) (size + log(4/delta)) / eps
    assert settings.rejection_failure == pytest.approx(1.39038e-8, rel=1e-5)  # delta / T_exp
    assert spanner_size_bound(8, settings.ridge, settings.nu) == pytest.approx(3_366_838, rel=1e-6)


@pytest.mark.parametrize("coverage", [0.99, 0.0, -3.0, math.nan, math.inf])
def test_a_coverage_below_1_or_not_finite_is_refused(coverage: float) -> None:
    with pytest.raises(ArgumentError, match=f"coverage is {coverage}"):
        settings_for(stand_in("random"), coverage=coverage)


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match=r"family of the problem is 'haystack'.*text.*random.*needle"):
        settings_for(stand_in("haystack"), coverage=2.0)


@pytest.mark.parametrize(
    ("name", "value"), [("eps", 0.0), ("delta", 1.5), ("dimension", 0), ("beta", -0.1), ("coverage", 0.5)]
)
def test_derived_settings_refuse_what_is_out_of_range_and_name_it(name: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is {value}"):
        derived_settings(**{**GIVEN, name: value})


def test_derived_settings_need_a_beta_of_at_most_the_reward_range() -> None:
    with pytest.raises(ArgumentError, match=r"beta is 1\.5"):
        derived_settings(**{**GIVEN, "beta": 1.5})


def test_settings_for_a_problem_are_those_of_its_family_at_its_exact_coverage() -> None:
    problem = covered_needle_problem(1, coverage=64.0)
    expected = settings_for(stand_in("covered_needle", reward_range=problem.reward_range), coverage=64.0)
    found = settings_for(problem)
    assert found.rejection_multiplier == pytest.approx(expected.rejection_multiplier, rel=1e-9)
    assert settings_for(problem, coverage=64.0) == expected
    with pytest.raises(ArgumentError, match="coverage"):
        settings_for(problem, coverage=0.5)


@pytest.mark.parametrize("reward_draws", ["every", "once"])
@pytest.mark.parametrize("problem", [as_mdp(forks_problem(horizon=3)), mdp_problem(horizon=2)], ids=["forks", "mdp"])
def test_the_most_that_a_printed_run_asks_is_what_it_asks_but_for_the_tries_of_its_samplers(
    problem: LayeredMDP, reward_draws: Any
) -> None:
    settings = MTSSSettings(
        iterations=5,
        regression_rollouts=3,
        span_rollouts=2,
        base_draws=4,
        multiplier=3.0,
        failure=0.2,
        ridge=0.3,
        nu=0.5,
        reward_draws=reward_draws,
    )
    oracle = episodic_oracle(problem, seed=1)
    mtss(oracle, settings=settings)
    most = most_of_printed_run(settings, horizon=problem.horizon, rewarded=problem.rewarded)
    assert dataclasses.replace(oracle.ledger, samples=most.samples) == most
    assert 0.5 * most.samples < oracle.ledger.samples <= most.samples


def test_settings_of_tokens_are_those_of_their_process() -> None:
    assert settings_for(forks_problem()) == settings_for(as_mdp(forks_problem()))


def test_practical_settings_of_mtss_follow_noise_and_coverage() -> None:
    quiet, noisy = settings_for(as_mdp(forks_problem())), settings_for(mdp_problem())
    assert (quiet.regression_rollouts, noisy.regression_rollouts) == (16, 384)
    assert quiet.multiplier == pytest.approx(1.5 * 2.0 / (1.0 + math.exp(-4.0)), rel=1e-12)
    same = dataclasses.replace(quiet, regression_rollouts=384, multiplier=noisy.multiplier)
    assert same == noisy
    assert (quiet.anchor, quiet.refit, quiet.add, quiet.search, quiet.stop) == (
        "fixed",
        "when_certain",
        "pool",
        "shared",
        "first",
    )


def test_settings_of_mtss_in_the_paper_are_those_worked_out_by_hand() -> None:
    problem = as_mdp(token_problem(horizon=2, kappa=2.0, beta=0.25, dimension=4))  # B = .5, R_max = 1
    coverage = 2.0 / (1.0 + math.exp(-2.0))
    settings = paper_mtss_settings(problem, eps=2.0**-6, constant=2.0)
    assert settings.iterations == 4 * 4 * 2
    assert settings.ridge == 2.0**-7
    assert settings.span_rollouts == 32 * 4 * 2 * 64
    assert settings.regression_rollouts == 4 * settings.span_rollouts
    assert settings.base_draws == math.ceil(4 * settings.span_rollouts * coverage)
    assert settings.multiplier == pytest.approx(coverage**2 * 32 * settings.span_rollouts, rel=1e-12)
    assert settings.failure == 2.0**-6 / (4 * 32 * 2)
    assert (settings.nu, settings.threshold, settings.reward_draws) == (0.5, 0.25, "once")
    printed = (settings.stop, settings.refit, settings.add, settings.search, settings.anchor, settings.anchor_rollouts)
    assert printed == ("last", "always", "largest", "separate", "fixed", True)


@pytest.mark.parametrize(
    ("changes", "name"), [({"eps": 0.02}, "eps"), ({"eps": 0.0}, "eps"), ({"constant": 0.0}, "constant")]
)
def test_settings_of_mtss_outside_the_premises_are_refused(changes: dict[str, float], name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        paper_mtss_settings(as_mdp(token_problem(horizon=2)), **({"eps": 0.01} | changes))


def test_the_settings_of_the_paper_cost_what_no_run_can_pay() -> None:
    problem = as_mdp(token_problem(horizon=8))
    settings = paper_mtss_settings(problem, eps=problem.beta**2 / 4.0)
    most = most_of_printed_run(settings, horizon=8, rewarded=problem.rewarded)
    assert most.data > 1e15
    assert most.computation > 1e28
