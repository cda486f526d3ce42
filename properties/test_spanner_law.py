"""How often phase 1 accepts a pair, and how much stays uncovered (S5, and S9, which it implies)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import reject

from spanver.evidence import log_e_chances, log_e_uncovered, log_e_violated_chances, min_samples_chances
from spanver.evidence.e_values import log_mean
from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem
from spanver.strategies import run_settings, tabular_problems
from spanver.subjects.contract import Call
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import POWER, Experiment, Seen
from spanver.verification.search import experiments
from spanver.verification.transcript import data_of, independent_oracles, rounds_of

from . import spanner_mistakes as mistakes
from .pairs import uncertain_pairs


def is_open(check: Check, problem: TabularProblem, base: FloatArray, settings: Settings) -> FloatArray:
    """Of each prompt, whether the first round accepts a pair with a chance that is neither small nor large."""
    found = np.zeros(problem.prompts)
    for x in range(problem.prompts):
        uncertain, _ = uncertain_pairs(check, problem, x, settings.ridge * np.eye(problem.dimension), settings)
        none = (1.0 - min(1.0, float(base[x] @ uncertain @ base[x]))) ** settings.pairs_per_prompt
        found[x] = 0.05 <= none <= 0.95
    return found


@pytest.mark.guarantee("S5", "S9", needs=["build_spanner"])
@designed(mistakes.ONE_ROUND, mistakes.EFFECTS)
@experiments(
    problem=tabular_problems(max_prompts=2, min_responses=2, betas=(1.0,), weights=(1.0, 0.25, 2.0)),
    settings=run_settings(),
)
def test_rounds_accept_with_the_exact_chance_of_an_uncertain_pair(
    check: Check, problem: TabularProblem, settings: Settings
) -> Experiment:
    held = problem.prompt_law > 0
    base = np.exp(problem.log_base)
    if float(problem.prompt_law @ is_open(check, problem, base, settings)) < 0.5:
        reject()

    @cache
    def chances_of(moments: bytes) -> FloatArray:
        """By prompt, the chance that a round accepts a pair; the same few `Sigma` recur."""
        sigma = np.frombuffer(moments).reshape(problem.dimension, -1)
        chances = np.zeros(problem.prompts)
        for x in np.flatnonzero(held):
            uncertain, ties = uncertain_pairs(check, problem, x, sigma, settings)
            if ties.any():
                reject()  # which pair is accepted is then free
            chance = min(1.0, float(base[x] @ uncertain @ base[x]))
            chances[x] = -math.expm1(settings.pairs_per_prompt * math.log1p(-chance)) if chance < 1 else 1.0
        return chances

    def observe(count: int, seed: int) -> Sequence[tuple[int, float, float]]:
        oracle_of = independent_oracles(problem, seed)
        tried = {"prompts": settings.prompts, "pairs_per_prompt": settings.pairs_per_prompt}

        def make(index: int) -> Call:
            return (oracle_of(index),), tried | {"nu": settings.nu, "ridge": settings.ridge, "seed": seed + index}

        seen: list[tuple[int, float, float]] = []
        # Later rounds may be certain to accept or not to; these are judged too, but add no evidence by chance.
        for ((oracle,), _), _spanner in check.calls("build_spanner", make, -(-count // settings.prompts)):
            sigma = settings.ridge * np.eye(problem.dimension)
            for each in rounds_of(oracle.queries):
                expected = chances_of(sigma.tobytes())
                accepted = int(len(each.rewards) == 2)
                seen.append((accepted, float(expected[int(each.prompt)]), float(problem.prompt_law @ expected)))
                vectors, _ = data_of(problem, [each])
                sigma = sigma + vectors.T @ vectors
        return seen

    def log_e(seen: Sequence[tuple[int, float, float]]) -> float:
        accepted, chances, q = (list(column) for column in zip(*seen, strict=True))
        return log_mean([log_e_chances(accepted, chances), log_e_uncovered(accepted, q)])

    def words(seen: Sequence[tuple[int, float, float]]) -> Seen:
        accepted, chances, _ = np.mean(seen, axis=0)
        return Seen("rounds that accept a pair", f"frequency {accepted:.4g}", f"mean chance {chances:.4g}")

    def log_e_violated(seen: Sequence[tuple[int, float, float]]) -> float:
        accepted, chances, _ = (list(column) for column in zip(*seen, strict=True))
        return log_e_violated_chances(accepted, chances, check.discrepancy)

    samples = min_samples_chances(check.discrepancy, alpha=check.alpha / 2, power=POWER)
    return Experiment(observe, log_e, samples, words, log_e_violated)
