"""Every baseline on one small problem, and records of what its runs queried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pytest

from spanver.learners.best_of_n import best_of_n
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.online_dpo import online_dpo
from spanver.learners.passive import passive_learner
from spanver.learners.rounds import BaselineRun
from spanver.learners.xpo import xpo
from spanver.oracle import Oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.transcript import Query, RecordingOracle

Learn: TypeAlias = Callable[..., BaselineRun]
PROBLEM = random_problem(3, prompts=3, responses=8, dimension=3, noise=0.5)
SAMPLES = 64


def known_base(problem: TabularProblem) -> Callable[[Any], FloatArray]:
    return lambda prompt: problem.log_base[prompt]


FULL: Mapping[str, Any] = {"partition": "enumerate", "log_base": known_base(PROBLEM)}


LEARNERS: dict[str, tuple[Learn, dict[str, Any]]] = {
    "passive": (passive_learner, {}),
    "online, rewards": (online_dpo, {}),
    "online, preferences": (online_dpo, {"feedback": "preference"}),
    "xpo, rewards": (xpo, {"alpha": 0.005, "partition_samples": SAMPLES}),
    "xpo, preferences": (xpo, {"alpha": 0.005, "partition_samples": SAMPLES, "feedback": "preference"}),
    "xpo, listed, rewards": (xpo, {"alpha": 0.005, **FULL}),
    "xpo, listed, preferences": (xpo, {"alpha": 0.005, "feedback": "preference", **FULL}),
    "elliptical": (elliptical_enumeration, {"ridge": 1.0}),
    "best of n": (best_of_n, {"count": 4}),
}
EVERY = pytest.mark.parametrize("name", LEARNERS)


def learned(name: str, oracle: Oracle, *, rounds: int, seed: int = 0) -> BaselineRun:
    learn, options = LEARNERS[name]
    return learn(oracle, rounds=rounds, seed=seed, **options)


def recorded(name: str, *, rounds: int, seed: int = 1) -> tuple[BaselineRun, list[Query]]:
    oracle = RecordingOracle(literal_oracle(PROBLEM, seed=seed, full_table=True))
    return learned(name, oracle, rounds=rounds), oracle.queries


def per_round(queries: list[Query]) -> list[list[Query]]:
    rounds: list[list[Query]] = []
    for entry in queries:
        if entry.name == "prompt":
            rounds.append([])
        rounds[-1].append(entry)
    return rounds
