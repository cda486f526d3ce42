"""A recorded run of SpannerSampling, what its rounds drew, and whether its confidence ellipsoids hold (E1)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spanver.guarantees.exploration import confidence_radius
from spanver.learners.spanner_sampling import Settings
from spanver.oracles.literal import literal_oracle
from spanver.policies import TruncatedMixture, TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.subjects.contract import Call
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.transcript import (
    GENEROUS_BUDGET,
    RecordingOracle,
    Round,
    data_of,
    independent_oracles,
    rounds_of,
)

DELTA = 0.05  # failure probability of the confidence ellipsoid in E1's test
# A learner that counts its seed up from round to round shares none between runs. Odd: seeds may be cut to 32 bits.
SEEDS_APART = 2**20 + 7


# All of the base policy can be drawn, and scores tell responses apart.
SAMPLED = tabular_problems(
    max_prompts=2, min_responses=3, max_responses=3, max_dimension=2, betas=(0.5, 2.0), weights=(1.0, 0.5, 2.0)
).filter(lambda problem: float(np.ptp(problem.reward, axis=1).min()) >= 0.25)


@dataclass(frozen=True)
class Explored:
    """A run: its record and its policy."""

    components: tuple[TruncatedSoftmax, ...]
    spanner: list[Round]
    rounds: list[Round]


def function_of(settings: Settings) -> str:
    """Name in the contract of what runs with these settings."""
    if settings.anchor == "fixed":
        return "anchored_sampling"
    return "spanner_sampling" if settings.feedback == "reward" else "preference_sampling"


def explore(check: Check, problem: TabularProblem, settings: Settings, seed: int) -> Explored:
    """Run the subject once."""
    oracle = RecordingOracle(literal_oracle(problem, seed=seed, budget=GENEROUS_BUDGET))
    return explored(check.call(function_of(settings), oracle, seed=seed, settings=settings), oracle, settings)


def explore_often(
    check: Check, problem: TabularProblem, settings: Settings, count: int, seed: int
) -> Iterator[Explored]:
    """Run the subject so often, independently."""
    oracle_of = independent_oracles(problem, seed)

    def make(index: int) -> Call:
        return (oracle_of(index),), {"seed": seed + SEEDS_APART * index, "settings": settings}

    for ((oracle,), _), policy in check.calls(function_of(settings), make, count):
        yield explored(policy, oracle, settings)


def explored(policy: TruncatedMixture, oracle: RecordingOracle, settings: Settings) -> Explored:
    """Split the record of a run."""
    rounds = rounds_of(oracle.queries)
    expected = settings.prompts + settings.exploration_rounds
    assert len(rounds) == expected, f"{len(rounds)} prompts were drawn, the settings have {expected} rounds"
    components = policy.components
    assert len(components) == settings.exploration_rounds, f"a mixture of {len(components)} policies"
    return Explored(components, rounds[: settings.prompts], rounds[settings.prompts :])


def sigma_of(problem: TabularProblem, rounds: list[Round], ridge: float) -> FloatArray:
    vectors, _ = data_of(problem, rounds)
    return ridge * np.eye(problem.dimension) + vectors.T @ vectors


def confident(problem: TabularProblem, run: Explored, ridge: float) -> list[tuple[bool, float]]:
    """Of every round: whether `theta_t` is within E1's ellipsoid, and its radius `gamma_t`."""
    found = []
    for t, component in enumerate(run.components):
        sigma = sigma_of(problem, run.spanner + run.rounds[:t], ridge)
        log_det = float(np.linalg.slogdet(sigma)[1]) - problem.dimension * math.log(ridge)
        gamma = confidence_radius(ridge, problem.radius, problem.reward_range, DELTA, log_det)
        error = component.theta - realizing(problem)
        found.append((math.sqrt(max(0.0, float(error @ sigma @ error))) <= gamma, gamma))
    return found


def first_and_second(played: Round) -> tuple[int, int]:
    """Response of the sampler, and the second one: it is the round's only plain draw, or else was rewarded second."""
    (one, two), second = rewarded_pair(played), second_of(played)
    return (two, one) if second == one else (one, two)


def rewarded_pair(played: Round) -> tuple[int, int]:
    """Responses whose rewards were drawn, in this order."""
    asked = "1 reward was" if len(played.rewards) == 1 else f"{len(played.rewards)} rewards were"
    assert len(played.rewards) == 2, f"{asked} asked for in an exploration round, 2 are due"
    (one, _), (two, _) = played.rewards
    return int(one), int(two)


def second_of(played: Round) -> int | None:
    """The second response, where the record shows which of both it is: the round has one plain draw."""
    return int(played.drawn[0]) if len(played.drawn) == 1 and played.drawn[0] in rewarded_pair(played) else None
