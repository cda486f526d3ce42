"""Practical settings follow their row and the coverage; derived settings follow the fixed point of section 3."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from spanver.errors import ArgumentError
from spanver.guarantees import sampler_samples, spanner_size_bound
from spanver.learners.spanner_sampling import Settings
from spanver.problems.catalogue import FAMILIES
from spanver.runs.settings import SETTING_NAMES, derived_settings, practical_settings

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
    assert tuple(field.name for field in dataclasses.fields(Settings)) == SETTING_NAMES


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("coverage", [1.0, 3.7, 2.0**40])
def test_practical_settings_are_the_row_of_the_family_times_the_coverage(family: str, coverage: float) -> None:
    practical = FAMILIES[family].practical
    assert practical is not None
    prompts, pairs, nu, rounds, multiplier, failure = dataclasses.astuple(practical)
    settings = practical_settings(family, coverage=coverage, radius=2.0, reward_range=3.0)
    assert settings.prompts == prompts
    assert (settings.nu, settings.exploration_rounds, settings.rejection_failure) == (nu, rounds, failure)
    assert settings.pairs_per_prompt - 1 < pairs * coverage <= settings.pairs_per_prompt
    assert settings.rejection_multiplier == pytest.approx(multiplier * coverage, rel=1e-12)
    assert settings.ridge == 9.0 / 4.0


@pytest.mark.parametrize("family", ["random", "needle", "covered_needle", "max_k_dnf"])
def test_practical_settings_of_tables_keep_the_derived_factors_of_the_coverage(family: str) -> None:
    practical = practical_settings(family, coverage=16.0, radius=1.0, reward_range=1.0)
    derived = derived_settings(**GIVEN)
    assert practical.pairs_per_prompt == derived.pairs_per_prompt == math.ceil(2 * math.exp(0.5) * 16)
    assert practical.rejection_multiplier == pytest.approx(derived.rejection_multiplier)
    assert derived.rejection_multiplier == pytest.approx(8 * math.e * 16)
    assert practical.ridge == derived.ridge == 1.0
    assert practical.prompts < derived.prompts
    assert practical.exploration_rounds < derived.exploration_rounds
    assert practical.nu > derived.nu


def test_the_text_row_costs_at_most_thirty_thousand_samples_with_the_race() -> None:
    settings = practical_settings("text", coverage=16.0, radius=1.0, reward_range=1.0)
    race = math.ceil(settings.rejection_multiplier / 4 * math.log(1 / settings.rejection_failure))
    samples = 2 * settings.prompts * settings.pairs_per_prompt + settings.exploration_rounds * (1 + race)
    assert samples <= 30_000
    assert samples < settings.exploration_rounds * sampler_samples(
        settings.rejection_multiplier, settings.rejection_failure
    )


def test_derived_settings_solve_the_fixed_point_of_section_3() -> None:
    settings = derived_settings(**GIVEN)
    eps, delta, dimension, beta = 0.05, 0.1, 8, 0.1
    share = delta / 4
    size = spanner_size_bound(dimension, settings.ridge, settings.nu)
    total = size + settings.exploration_rounds
    log_volume = math.log(1 + 4 * total / (settings.ridge * dimension))
    s = math.sqrt(0.5 * (2 * math.log(1 / share) + dimension * log_volume))
    gamma = s / 2 + math.sqrt(s**2 / 4 + 4 * settings.ridge)
    nu = beta / (2 * gamma)
    assert settings.nu == pytest.approx(nu, rel=1e-9)
    kappa = nu**2 / math.log(1 + nu**2)
    rounds = (3 / eps) * (math.exp(0.5) * gamma**2 / (2 * beta))
    rounds *= 1.6 * (kappa * dimension * log_volume + nu**2 * math.log(1 / share))
    assert settings.exploration_rounds == pytest.approx(rounds, rel=1e-6, abs=1)
    prompts = 7.6 * (5 + 3.4 * beta) * (size + math.log(1 / share)) / eps
    assert settings.prompts == pytest.approx(prompts, rel=1e-9, abs=1)
    assert settings.rejection_failure == pytest.approx(min(delta / settings.exploration_rounds, eps / (6 * (1 + beta))))
    # The example of the text: these settings are safe, not tight.
    assert settings.prompts == pytest.approx(2.7e9, rel=0.05)


@pytest.mark.parametrize("coverage", [0.99, 0.0, -3.0, math.nan, math.inf])
def test_a_coverage_below_1_or_not_finite_is_refused(coverage: float) -> None:
    with pytest.raises(ArgumentError, match=f"coverage is {coverage}"):
        practical_settings("random", coverage=coverage, radius=1.0, reward_range=1.0)


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match=r"family is 'haystack'.*text.*random.*needle"):
        practical_settings("haystack", coverage=2.0, radius=1.0, reward_range=1.0)


@pytest.mark.parametrize(
    ("name", "value"), [("eps", 0.0), ("delta", 1.5), ("dimension", 0), ("beta", -0.1), ("coverage", 0.5)]
)
def test_derived_settings_refuse_what_is_out_of_range_and_name_it(name: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is {value}"):
        derived_settings(**{**GIVEN, name: value})


def test_derived_settings_need_a_beta_of_at_most_the_reward_range() -> None:
    with pytest.raises(ArgumentError, match=r"beta is 1\.5"):
        derived_settings(**{**GIVEN, "beta": 1.5})
