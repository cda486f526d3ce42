"""Runs that count as independent have seeds of their own, and oracles with randomness of their own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from checks import a_check

from spanver.learners.spanner_sampling import Settings
from spanver.problems.families.random_tables import random_problem
from spanver.subjects.reference import subject as reference
from spanver.verification.transcript import independent_oracles

SETTINGS = Settings(
    prompts=1, pairs_per_prompt=1, nu=1.0, ridge=1.0, exploration_rounds=2, rejection_multiplier=4.0,
    rejection_failure=0.3,
)  # fmt: skip


def test_no_two_runs_of_an_experiment_have_the_same_seed() -> None:
    seeds: list[int] = []
    learner: Callable[..., Any] = reference.functions["spanner_sampling"]

    def noted(oracle: Any, *, seed: int, settings: Settings) -> Any:
        seeds.append(seed)
        return learner(oracle, seed=seed, settings=settings)

    check = a_check({"spanner_sampling": noted})
    explore_often = import_module("spanver.properties.explored").explore_often
    runs = list(explore_often(check, random_problem(seed=1, responses=4, dimension=2), SETTINGS, 40, 7))
    assert len(runs) == len(set(seeds)) == 40


@pytest.mark.parametrize("index", [0, 3])
def test_oracles_of_a_table_answer_each_by_its_own_randomness(index: int) -> None:
    oracle_of = independent_oracles(random_problem(seed=1, responses=64, dimension=2), 7)
    drawn = [each.sample(each.prompt(), 50).ids for each in (oracle_of(index), oracle_of(index), oracle_of(index + 1))]
    assert drawn[0] == drawn[1] != drawn[2]
