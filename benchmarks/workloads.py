"""Workloads of the benchmarks: one function each, the same for asv and pytest-benchmark."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from spanver.learners.spanner_sampling import Run, Settings, spanner_sampling
from spanver.oracle import Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream

REFERENCE_SETTINGS = Settings(
    prompts=2000,
    pairs_per_prompt=2000,
    nu=0.3,
    ridge=1.0,
    exploration_rounds=2000,
    rejection_multiplier=64.0,
    rejection_failure=1e-3,
)

SMALL_SETTINGS = replace(
    REFERENCE_SETTINGS,
    prompts=200,
    pairs_per_prompt=200,
    exploration_rounds=200,
    rejection_multiplier=16.0,
    rejection_failure=1e-2,
)


def small_problem() -> TabularProblem:
    return random_problem(0, prompts=8, responses=256, dimension=8)


def reference_problem() -> TabularProblem:
    """64 prompts, 4096 responses, 32 dimensions."""
    return random_problem(0, prompts=64, responses=4096, dimension=32)


def run(problem: TabularProblem, oracle: Oracle, settings: Settings) -> tuple[Run, Ledger]:
    return spanner_sampling(oracle, seed=1, settings=settings), oracle.ledger


def reference_run(problem: TabularProblem) -> tuple[Run, Ledger]:
    return run(problem, literal_oracle(problem, seed=1), REFERENCE_SETTINGS)


def needle_run(coverage: float) -> tuple[Run, Ledger]:
    """A run on the covered needle with the counted oracle, at any coverage."""
    problem = covered_needle_problem(0, coverage=coverage)
    settings = replace(
        SMALL_SETTINGS,
        pairs_per_prompt=math.ceil(2 * math.exp(0.5) * coverage),
        rejection_multiplier=8 * math.e * coverage,
        rejection_failure=1e-3,
    )
    return run(problem, counted_oracle(problem, seed=1), settings)


def vectors(count: int, dimension: int) -> np.ndarray:
    return stream(0, "benchmark vectors", dimension).standard_normal((count, dimension)) / math.sqrt(dimension)


def sigma(dimension: int) -> np.ndarray:
    data = vectors(4 * dimension, dimension)
    return np.eye(dimension) + data.T @ data
