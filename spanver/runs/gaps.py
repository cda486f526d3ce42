"""The gaps that a record states, recomputed from its problem and from what was learned, for `certify`.

Whether a response is covered is decided again, from the vectors of the spanner. Where a norm lies within rounding of
`nu`, that does not say what the run decided, and its gaps are not compared; the same holds of scores of Best-of-N that
nearly tie. Nothing is drawn but the points that an estimated gap is the mean of, which follow from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spanver.guarantees.rounding import gamma
from spanver.problems.tabular import TabularProblem
from spanver.randomness import derived_seed
from spanver.runs.costs import Findings
from spanver.runs.evaluation import CONFIDENCE, DRAWS, blocks_of, evaluation_draws, is_exact
from spanver.runs.objectives import (
    BLOCK,
    Bounded,
    Objective,
    best_of_law,
    covered_pairs,
    law_given_second,
    linear_law,
    objective,
    truncated_law,
)
from spanver.runs.records import Record, Rounds, Sampled
from spanver.values import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Recomputed:
    """The policy of a record, as far as one step decides all others.

    Attributes
    ----------
    covered : tuple of arrays of bool, shape (R, S, Y)
        Which responses are covered given which second ones: of the table or, where the gap is estimated, of draws,
        part by part; empty where nothing is truncated.
    ties : str
        Why its gaps cannot be compared, or nothing.
    """

    covered: tuple[NDArray[np.bool_], ...] = ()
    ties: str = ""


def recomputed_policy(record: Record, problem: TabularProblem) -> Recomputed:
    """Decide what the policy of a record covers."""
    if isinstance(record.did, Rounds):
        return Recomputed(ties=_tied_scores(record, record.did, problem))
    covered, tied = [], 0
    for log_base, features, seconds, vectors in _truncated_tables(record, problem):
        points = np.take_along_axis(features, seconds[:, :, None], axis=1)
        here, near = covered_pairs(features, points, _sigma(record, vectors), _nu(record))
        possible = log_base > -np.inf
        near &= possible[:, None, :] & np.take_along_axis(possible, seconds, axis=1)[:, :, None]
        covered.append(here)
        tied += int(near.sum())
    ties = f"the norms of {tied} pairs of responses are within rounding of nu" if tied else ""
    return Recomputed(tuple(covered), ties)


def _truncated_tables(
    record: Record, problem: TabularProblem
) -> Iterator[tuple[FloatArray, FloatArray, IntArray, FloatArray]]:
    """Tables in which the policy truncates: log base, features, second responses of each row, and spanner vectors."""
    assert isinstance(record.did, Sampled)
    vectors = record.did.trace.spanner.vectors
    if record.summary["gap"]["exact"]:
        fixed = record.plan.settings.anchor == "fixed"
        seconds = problem.anchors[:, None] if fixed else _every(problem.log_base)
        yield problem.log_base, problem.features, seconds, vectors
    else:
        _, prompts, seconds = _draws(record, record.did, problem)
        for part in _parts(problem):
            yield problem.log_base[prompts[part]], problem.features[prompts[part]], seconds[part, None], vectors


def _every(log_base: FloatArray) -> IntArray:
    return np.broadcast_to(np.arange(log_base.shape[1]), log_base.shape)


def _sigma(record: Record, vectors: FloatArray) -> FloatArray:
    return record.plan.settings.ridge * np.eye(vectors.shape[1]) + vectors.T @ vectors


def _nu(record: Record) -> float:
    return float(record.summary["settings"]["nu"] if isinstance(record.did, Sampled) else record.plan.settings.nu)


def _tied_scores(record: Record, did: Rounds, problem: TabularProblem) -> str:
    if record.plan.learner != "best_of_n":
        return ""
    products = problem.features * did.theta
    scores, sizes = products.sum(axis=-1), np.abs(products).sum(axis=-1)
    order = np.argsort(scores, axis=1)
    scores, sizes = (np.take_along_axis(each, order, axis=1) for each in (scores, sizes))
    nearest, largest = np.diff(scores, axis=1), gamma(problem.dimension + 2) * (sizes[:, 1:] + sizes[:, :-1])
    tied = int(((nearest > 0.0) & (nearest <= largest)).sum())
    if not tied:
        return ""
    return f"{tied} scores are within rounding of another"


# Gaps


def table_of(problem: TabularProblem) -> tuple[Objective, int]:
    """The objective of a problem, and the roundings on the way to the log of a probability."""
    facts = problem.prompt_law, problem.log_base, problem.reward
    table = objective(*facts, beta=problem.beta, largest_score=problem.radius)
    return table, 4 * problem.dimension + 2 * problem.responses + 64


def gap_findings(policy: Recomputed, record: Record, problem: TabularProblem) -> Findings:
    """I2: every gap that a record states is a difference of two objectives."""
    table, roundings = table_of(problem)
    base = table.gap(np.exp(table.log_base), roundings=roundings)
    found = {"base_gap": (record.summary["base_gap"], Bounded.single(*base))}
    if isinstance(record.did, Sampled):
        exact = is_exact(problem, len(_thetas(record, record.did)))
        if record.summary["gap"]["exact"] != exact:
            yield f"the gap is stated as {'estimated' if exact else 'exact'}, but one of this size is not"
            return ""
        found |= (_exact_gaps if exact else _estimated_gaps)(policy, record, record.did, problem, table, roundings)
    else:
        law = _law(record, problem)
        found["gap"] = record.summary["gap"], Bounded.single(*table.gap(law, roundings=roundings))
    worst, points = 0.0, 0
    for name, (stated, each) in found.items():
        numbers = np.atleast_1d(np.asarray(stated, dtype=np.float64))
        if numbers.shape != each.values.shape:
            yield f"{name} has {len(numbers)} points, but the run gives {len(each.values)}"
            continue
        worst, points = max(worst, float(np.abs(numbers - each.values).max())), points + len(numbers)
        for index in each.off(numbers):
            at = f" {index + 1} of {len(numbers)}" if len(numbers) > 1 else ""
            yield f"{name}{at} is {numbers[index]:.9g}, but the objectives differ by {each.values[index]:.9g}"
    return f"{points} gaps are differences of two objectives, to {worst:.1g}"


_Found: TypeAlias = Mapping[str, tuple[Any, Bounded]]
"""What a record states, and what it should be, by name."""


def _thetas(record: Record, did: Sampled) -> FloatArray:
    return did.trace.exploration.thetas[-record.summary["settings"]["exploration_rounds"] :]


def _exact_gaps(
    policy: Recomputed, record: Record, did: Sampled, problem: TabularProblem, table: Objective, roundings: int
) -> _Found:
    total = np.zeros_like(problem.log_base)
    rounds, mixtures = [], []
    for done, theta in enumerate(_thetas(record, did), start=1):
        scores, given = problem.features @ theta, (policy.covered[0], problem.beta)
        if record.plan.settings.anchor == "fixed":
            relative = np.take_along_axis(scores, problem.anchors[:, None], axis=1)
            law = law_given_second(problem.log_base, scores, relative, *given)[:, 0]
        else:
            law = truncated_law(problem.log_base, scores, *given)
        total += law
        rounds.append(table.gap(law, roundings=roundings))
        mixtures.append(table.gap(total / done, roundings=roundings, terms=done))
    return {
        "round_gaps": (did.round_gaps, Bounded.of(rounds)),
        "mixture_gaps": (did.mixture_gaps, Bounded.of(mixtures)),
        "gap": (record.summary["gap"]["value"], Bounded.single(*mixtures[-1])),
    }


def _draws(record: Record, did: Sampled, problem: TabularProblem) -> tuple[IntArray, IntArray, IntArray]:
    seed, anchor = derived_seed(record.plan.seed, "evaluation"), record.plan.settings.anchor
    return evaluation_draws(problem, len(_thetas(record, did)), seed=seed, anchor=anchor)


def _parts(problem: TabularProblem) -> list[slice]:
    """Draws of an estimate in parts that fit into memory."""
    rows = max(1, BLOCK // (problem.responses * problem.dimension))
    return [slice(begin, min(begin + rows, DRAWS)) for begin in range(0, DRAWS, rows)]


def _estimated_gaps(
    policy: Recomputed, record: Record, did: Sampled, problem: TabularProblem, table: Objective, roundings: int
) -> _Found:
    rounds, prompts, seconds = _draws(record, did, problem)
    thetas, found = _thetas(record, did)[rounds], []
    for part, covered in zip(_parts(problem), policy.covered, strict=True):
        log_base, features = problem.log_base[prompts[part]], problem.features[prompts[part]]
        scores = np.einsum("nyd,nd->ny", features, thetas[part])
        second = np.take_along_axis(scores, seconds[part, None], axis=1)
        laws = law_given_second(log_base, scores, second, covered, problem.beta)[:, 0]
        found.append(table.gaps(laws, prompts[part], roundings=roundings))
    values, bounds = (np.concatenate([getattr(each, name) for each in found]) for name in ("values", "bounds"))
    # Means, their running means and the ends of the interval are off by no more than the largest of all, and by sums.
    summed = gamma(2 * len(rounds)) * float(np.abs(values).max())
    off = float(bounds.max()) + 2.0 * summed
    blocks = np.array([values[block].mean() for block in blocks_of(rounds)])
    mean, count = float(values.mean()), len(rounds)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
    gap = record.summary["gap"]
    return {
        "round_gaps": (did.round_gaps, Bounded.within(blocks, off)),
        "mixture_gaps": (did.mixture_gaps, Bounded.within(np.cumsum(blocks) / np.arange(1, len(blocks) + 1), off)),
        "gap": (gap["value"], Bounded.single(mean, off)),
        "ends of the interval of the gap": (
            [gap["low"], gap["high"]],
            Bounded.within(np.array([mean - half, mean + half]), 2.0 * off),
        ),
    }


def _law(record: Record, problem: TabularProblem) -> FloatArray:
    """Law of the policy that a baseline returned."""
    assert isinstance(record.did, Rounds)
    theta = record.did.theta
    if record.plan.learner != "best_of_n":
        return linear_law(problem.log_base, problem.features @ theta, problem.beta)
    scores = (problem.features * theta).sum(axis=-1)
    count = record.plan.settings.count
    return np.stack([best_of_law(*row, count) for row in zip(problem.log_base, scores, strict=True)])
