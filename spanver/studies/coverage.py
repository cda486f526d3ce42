"""T2, T6: what reaching a gap costs as coverage grows, for SpannerSampling and for everything else.

How many samples SpannerSampling needs is found by raising `T_span` and `M`; how many rewards, by raising its rounds
where `T_span` and `M` are set for the coverage, from noisy rewards. Both are searched for, each by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from spanver.evidence import slope
from spanver.guarantees.headline import needle_least_samples_weak
from spanver.learners.spanner_sampling import Settings, largest_cost
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.tabular import TabularProblem
from spanver.randomness import derived_seed
from spanver.runs.settings import derived_settings, paper_settings
from spanver.studies.engine.effort import Attempt, cost_of, smallest_sufficient
from spanver.studies.engine.figures import draw_series, draw_theory, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Series, Study, ladder, slope_claim, table
from spanver.studies.entrants import ENTRANTS, known_coverage_attempt
from spanver.verdicts import Verdict

EPS, DELTA = 0.05, 0.05  # delta of the parameters of theory alone
RESPONSES, DIMENSION, BETA = 16, 4, 0.03
KNOWN = "known_coverage"  # SpannerSampling with its rounds searched for
NU, RUNS, NOISE = 0.3, 2, 0.25  # of it: runs of an attempt, and the share of rewards that are noisy
LARGEST_KNOWN = 11  # exponent of its effort
LADDERS = MappingProxyType({"quick": (4, (4, 6, 8, 10), 5), "full": (1, range(4, 13), 10)})


def points(profile: str) -> tuple[Point, ...]:
    """Ladder of log2 coverages to 40; learners whose rounds grow with coverage stop where their runs get long."""
    step, few, seeds = LADDERS[profile]
    growing = [learner for learner, entrant in ENTRANTS.items() if entrant.rounds_grow]
    others = [learner for learner in (*ENTRANTS, KNOWN) if learner not in growing]
    return ladder("coverage", growing, few, seeds) + ladder("coverage", others, range(4, 41, step), seeds)


def measure(point: Point) -> Numbers:
    """Cost of the smallest sufficient effort."""
    problem = covered_needle_problem(
        derived_seed(point.seed, "problem"),
        coverage=2.0**point.size,
        responses=RESPONSES,
        dimension=DIMENSION,
        beta=BETA,
    )
    tried: Callable[[float], Attempt]
    if point.learner == KNOWN:
        largest = LARGEST_KNOWN
        tried = partial(known_coverage_attempt, noisy(problem), 2.0**point.size, point.seed, nu=NU, runs=RUNS)
    else:
        largest = ENTRANTS[point.learner].largest_effort
        tried = partial(ENTRANTS[point.learner].attempt, problem, point.seed)
    return cost_of(smallest_sufficient(tried, EPS, largest=largest), runs=RUNS if point.learner == KNOWN else 1)


def noisy(problem: TabularProblem) -> TabularProblem:
    """The problem with an interval twice as long around its rewards, and noise that fills it."""
    return replace(problem, reward_range=2.0, reward_low=problem.reward_low - 0.5, noise=NOISE)


CLAIMS = (
    ("T2", "spanner_sampling", "samples", "T_comp of SpannerSampling grows like C", (0.95, 1.05)),
    ("T2", KNOWN, "rewards", "T_data of SpannerSampling is free of C", (-0.05, 0.05)),
    ("T6", "elliptical", "rewards", "T_data of elliptical enumeration is free of C", (-0.05, 0.05)),
    ("T6", "passive", "rewards", "T_data of the passive learner, for comparison", None),
    ("T6", "online_dpo", "rewards", "T_data of OnlineDPO, for comparison", None),
    ("T6", "xpo", "rewards", "T_data of XPO, for comparison", None),
    ("T6", "best_of_n", "rewards", "T_data of best-of-N, for comparison", None),
)


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Slopes in coverage, over at least 20 doublings where they are judged."""
    found = []
    for guarantee, learner, name, words, band in CLAIMS:
        series = table(measured, learner, name)
        reached = np.isfinite(series.values).all(axis=0)
        fitted = slope(2.0 ** series.sizes[reached], series.values[:, reached]) if reached.sum() >= 2 else None
        is_long = bool(reached.all() and np.ptp(series.sizes) >= 20)
        left_out = f"{int((~reached).sum())} of {reached.size} sizes were not reached" if not reached.all() else ""
        found.append(slope_claim(guarantee, words, fitted, band, int(series.values.size), left_out, premise=is_long))
    return (*found, _enumerated(measured))


def _enumerated(measured: Sequence[Measurement]) -> Claim:
    """T6: each round of elliptical enumeration lists all responses, and asks two rewards."""
    lists, rewards = table(measured, "elliptical", "enumerated").values, table(measured, "elliptical", "rewards").values
    is_complete = bool(np.isfinite(lists).all())
    kept = is_complete and bool((lists == RESPONSES * rewards / 2).all())
    verdict = Verdict.HOLDS if kept else Verdict.VIOLATED if is_complete else Verdict.UNDECIDED
    return Claim("T6", f"elliptical enumeration lists |Y| = {RESPONSES} a round", verdict, points=int(lists.size))


def demanded(coverage: float) -> float:
    """Samples that T1 demands of the weak oracle on its own family, with fewer than `|Y|/8` rewards."""
    return needle_least_samples_weak(RESPONSES, coverage, BETA)


def promised(settings: Callable[..., Settings], coverage: float) -> int:
    """Most samples of SpannerSampling with settings of theory, which are for every problem of this size."""
    sizes = partial(settings, dimension=DIMENSION, beta=BETA, radius=1.0, reward_range=1.0)
    return largest_cost(sizes(eps=EPS, delta=DELTA, coverage=coverage))


THEORY: Mapping[str, tuple[Any, Callable[[float], float]]] = MappingProxyType(
    {
        "parameters of the paper": ("-.", partial(promised, paper_settings)),
        "our derived parameters": (":", partial(promised, derived_settings)),
        "lower bound T1": ((0, (1, 3)), demanded),
    }
)
"""Lines of theory: their style, and samples at a coverage."""


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Samples, rewards and listed responses against coverage."""
    left, right = figure.subplots(1, 2)
    for learner in ENTRANTS:
        rewards = table(measured, learner, "rewards")
        sizes = 2.0**rewards.sizes
        if learner != "elliptical":
            draw_series(left, Series(learner, sizes, table(measured, learner, "samples").values))
        if learner != "spanner_sampling":  # its rounds are fixed there
            draw_series(right, Series(learner, sizes, rewards.values))
    known = table(measured, KNOWN, "rewards")
    draw_series(right, Series(KNOWN, 2.0**known.sizes, known.values))
    listed = table(measured, "elliptical", "enumerated")
    draw_series(left, Series("elliptical", 2.0**listed.sizes, listed.values), note="listed, not sampled")
    samples = table(measured, "spanner_sampling", "samples")
    sizes, anchor = 2.0**samples.sizes, float(np.nanmedian(samples.values[:, 0]))
    draw_theory(left, sizes, lambda c: anchor * c / sizes[0], "slope 1")
    finely = np.geomspace(sizes[0], sizes[-1], 37).tolist()  # powers of 2 on the whole ladder
    for words, (line, value) in THEORY.items():
        label = f"{words}\n($10^{{{math.log10(value(2.0**20)):.1f}}}$ at $2^{{20}}$)"
        left.plot(finely, [value(c) for c in finely], color="0.1", linestyle=line, linewidth=1.2, label=label)
    finish(left, "samples asked, $T_{comp}$", "coverage $C(\\pi^*)$", legend=False)
    finish(right, "rewards asked, $T_{data}$", "coverage $C(\\pi^*)$", legend=False)
    handles, labels = left.get_legend_handles_labels()
    of_known = [each for each in zip(*right.get_legend_handles_labels(), strict=True) if each[1] not in labels][-1:]
    handles, labels = handles + [each for each, _ in of_known], labels + [each for _, each in of_known]
    figure.legend(handles, labels, loc="outside right center", fontsize=8)


STUDY = Study(
    name="coverage",
    title="What coverage costs",
    guarantees=("T2", "T6"),
    statement=(
        "T_comp of SpannerSampling is proportional to C and T_data free of it [paper: FMR25 Theorem 3.1, p. 9]; no "
        "coverage is needed for data alone [paper: FMR25 (4), p. 5]"
    ),
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"Covered needle, d = {DIMENSION}, |Y| = {RESPONSES}, beta = {BETA}. For every learner and seed effort "
    f"grows until the output's exact gap is at most {EPS}. Effort: T_span and M of SpannerSampling (left; 400 rounds), "
    "its rounds where T_span and M are set for C and rewards are noisy (right); rounds of the others, with N of "
    "best-of-N and the partition samples of XPO, without noise. Medians; bars hold the middle half of the seeds. Lines "
    "of theory: the most samples of SpannerSampling with the paper's parameters (1 for its open constants) and with "
    f"ours, delta = {DELTA}; what T1 demands of the weak oracle on its own family. Of the strong one that is nothing, "
    "as exp(beta^2 d/2) is 1 here.",
)
