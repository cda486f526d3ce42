"""T4, an illustration: what particular proper learners pay on Max-k-DNF, beside SpannerSampling.

That no proper learner has both polynomial is a statement about complexity, under a hypothesis (rETH): it cannot be
tested, and small instances are easy: there proper learners are the cheaper ones. Exhaustive search is the
proper learner that needs few rewards: each round it evaluates all `2^n` assignments on its data, and draws from the
best one. Its evaluations are computation, shown beside the samples of the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from spanver.evidence import slope
from spanver.exact.tabular import gap, log_law
from spanver.oracles.counted import counted_oracle
from spanver.policies import LinearSoftmax
from spanver.problems.families.max_k_dnf import max_k_dnf_problem
from spanver.problems.tabular import TabularProblem
from spanver.randomness import derived_seed
from spanver.studies.engine.effort import Attempt, cost_of, smallest_sufficient
from spanver.studies.engine.figures import draw_series, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Series, Study, ladder, slope_claim, table
from spanver.studies.entrants import ENTRANTS

EPS, BETA = 0.02, 0.2
PROPER = ("exhaustive", "online_dpo", "xpo")
LARGEST_EFFORT = 11
LADDERS = MappingProxyType({"quick": ((4, 6, 8, 10), 4), "full": ((4, 5, 6, 7, 8, 9, 10, 11, 12), 10)})


def points(profile: str) -> tuple[Point, ...]:
    """Numbers of variables."""
    sizes, seeds = LADDERS[profile]
    return ladder("proper", (*PROPER, "spanner_sampling"), sizes, seeds)


def measure(point: Point) -> Numbers:
    """Cost of the smallest sufficient effort; `evaluated` counts the assignments that exhaustive search looks at."""
    variables = int(point.size)
    problem = max_k_dnf_problem(derived_seed(point.seed, "problem"), variables=variables, beta=BETA)
    run = exhaustive if point.learner == "exhaustive" else ENTRANTS[point.learner].attempt
    found = smallest_sufficient(partial(run, problem, point.seed), EPS, largest=LARGEST_EFFORT)
    rounds = found[1].ledger.rewards // 2 if found and point.learner == "exhaustive" else 0
    return {**cost_of(found), "evaluated": found and rounds * 2**variables}


def exhaustive(problem: TabularProblem, seed: int, exponent: float) -> Attempt:
    """Proper search over all assignments: `y1 ~ pi_z` for the first `z` that fits the data best, `y2 ~ pi_ref`.

    Parameters
    ----------
    problem : TabularProblem
        Max-k-DNF, whose `theta*` is an assignment.
    seed : int
    exponent : float
        Rounds are `2^exponent`.
    """
    oracle = counted_oracle(problem, seed=derived_seed(seed, "oracle"))
    candidates = np.array(list(itertools.product((1.0, -1.0), repeat=problem.dimension)))
    errors, best = np.zeros(len(candidates)), 0
    for _ in range(int(np.ceil(2.0**exponent))):
        prompt = oracle.prompt()
        one = oracle.sample(prompt, 1, theta=candidates[best])[0]
        two = oracle.sample(prompt, 1)[0]
        target = oracle.reward(prompt, one) - oracle.reward(prompt, two)
        errors += (candidates @ (one.features - two.features) - target) ** 2
        best = int(np.argmin(errors))
    found = gap(problem, log_law(problem, LinearSoftmax(candidates[best])))
    return Attempt(found, oracle.ledger)


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Growth in `n`, shown and not judged."""
    found = [
        _shown(table(measured, learner, name), f"{words} grows like n^slope", lambda n: n)
        for learner, name, words in (
            ("spanner_sampling", "samples", "T_comp of SpannerSampling"),
            ("online_dpo", "rewards", "T_data of OnlineDPO"),
            ("xpo", "rewards", "T_data of XPO"),
            ("exhaustive", "rewards", "T_data of exhaustive search"),
        )
    ]
    evaluated = table(measured, "exhaustive", "evaluated")
    words = "a further variable multiplies the evaluations of exhaustive search by 2^slope"
    return (*found, _shown(evaluated, words, lambda n: 2.0**n))


def _shown(series: Series, words: str, scale: Any) -> Claim:
    reached = np.isfinite(series.values).all(axis=0)
    fitted = slope(scale(series.sizes[reached]), series.values[:, reached]) if reached.sum() >= 2 else None
    return slope_claim("T4", words, fitted, None, int(series.values.size), "an illustration")


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Rewards, and samples or evaluations, against the number of variables."""
    left, right = figure.subplots(1, 2)
    for learner in (*PROPER, "spanner_sampling"):
        draw_series(left, table(measured, learner, "rewards"))
        draw_series(right, table(measured, learner, "samples"))
    evaluated = table(measured, "exhaustive", "evaluated")
    draw_series(right, Series("evaluated", evaluated.sizes, evaluated.values))
    finish(left, "rewards asked, $T_{data}$", "variables $n$", x="linear", legend=False)
    finish(right, "samples asked, $T_{comp}$, and evaluations", "variables $n$", x="linear", legend=False)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right center", fontsize=8)


STUDY = Study(
    name="proper",
    title="Proper learners on Max-k-DNF: an illustration",
    guarantees=("T4",),
    statement="under rETH no proper learner has both T_data and T_comp polynomial [paper: FMR25 Theorem 4.1, p. 10; "
    "the family is ours]. Not testable: this shows what particular learners pay on small instances",
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"Max-3-DNF with 16 terms, beta = {BETA}, no noise. For every learner and seed effort grows until the "
    f"output's exact gap is at most {EPS}. Effort: T_span and M of SpannerSampling, whose rounds are fixed; rounds of "
    "the others. The proper learners draw from the strong oracle. Medians; bars hold the middle half of the seeds.",
)
