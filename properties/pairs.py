"""Norms of pairs by their definition, and which pairs are uncertain, up to the rounding of the subject."""

from __future__ import annotations

from typing import Any

import numpy as np

from spanver.guarantees.rounding import norm_error, reach
from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.check import Check


def norms(vectors: Any, sigma: FloatArray) -> Any:
    """Elliptic norms by their definition."""
    columns = np.atleast_2d(vectors).T
    return np.sqrt(np.maximum((columns * np.linalg.solve(sigma, columns)).sum(axis=0), 0.0))


def uncertain_pairs(
    check: Check, problem: TabularProblem, prompt: Any, sigma: FloatArray, settings: Settings
) -> tuple[Any, Any]:
    """Which ordered pairs of the support are uncertain, and which are in a tie up to rounding, shape (Y, Y) each."""
    features = problem.features[int(prompt)]
    held = np.exp(problem.log_base[int(prompt)]) > 0.0
    differences = (features[:, None, :] - features[None, :, :]).reshape(-1, problem.dimension)
    lengths = norms(differences, sigma)
    free = np.abs(lengths - settings.nu) <= pair_error(check, problem, lengths, sigma, settings)
    shape, possible = (len(features), len(features)), np.outer(held, held)
    return possible & (lengths > settings.nu).reshape(shape), possible & free.reshape(shape)


def pair_error(
    check: Check, problem: TabularProblem, lengths: FloatArray, sigma: FloatArray, settings: Settings
) -> FloatArray:
    """Rounding of norms of pairs, with a `Sigma` of a pair a round at most; those of no length have none."""
    return np.where(
        lengths > 0.0, norm_error(check.subject.unit, lengths, sigma, reach(problem.features), settings.prompts), 0.0
    )
