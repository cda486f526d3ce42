"""T2: how many rewards SpannerSampling needs as the dimension grows, and as the gap allowed shrinks.

Rewards are noisy, and the gap of an attempt is the mean over several independent runs on one problem, so that it is
an error of learning and not the chance of one run. Effort scales the rounds of both phases; `T_span` and `M` are set
for the known coverage. The search that finds what suffices for one gap finds it for all larger ones on its way, so that
a point holds the whole ladder of gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from spanver.evidence import Slope, slope
from spanver.exact.tabular import log_coverage, log_optimal_law
from spanver.problems.families.random_tables import random_problem
from spanver.randomness import derived_seed
from spanver.studies.engine.effort import Attempt, smallest_sufficient
from spanver.studies.engine.figures import draw_series, draw_theory, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Series, Study, ladder, slope_claim, table
from spanver.studies.engine.styles import Style
from spanver.studies.entrants import known_coverage_attempt
from spanver.values import FloatArray

BETA, NOISE, RESPONSES = 0.1, 0.25, 32
RUNS = 2  # of an attempt, whose gap is their mean
NU = 0.5
LARGEST_EFFORT = 11
FINEST = 6
GAPS: Mapping[str, float] = MappingProxyType({f"rewards_{k / 2:g}": 2.0 ** (-k / 2) for k in range(4, 2 * FINEST + 1)})
BELOW = tuple(name for name, eps in GAPS.items() if eps <= BETA)
# Dimensions and seeds. Seeds rather than runs, as problems differ more than runs on one of them; no fewer than 4
# dimensions, as theta* has the length B, which leaves it one degree of freedom less.
LADDERS: Mapping[str, tuple[tuple[int, ...], int]] = MappingProxyType(
    {"quick": ((4, 8, 16), 8), "full": ((4, 6, 8, 12, 16, 24), 24)}
)


def points(profile: str) -> tuple[Point, ...]:
    """Ladder of dimensions."""
    dimensions, seeds = LADDERS[profile]
    return ladder("data", ["spanner_sampling"], dimensions, seeds)


def measure(point: Point) -> Numbers:
    """Rewards that a run needs, on the mean, for every gap of the ladder."""
    problem = random_problem(
        derived_seed(point.seed, "problem"),
        prompts=1, responses=RESPONSES, dimension=int(point.size), beta=BETA, noise=NOISE,
    )  # fmt: skip
    coverage = float(np.exp(log_coverage(problem, log_optimal_law(problem)).max()))

    @cache
    def tried(exponent: float) -> Attempt:
        return known_coverage_attempt(problem, coverage, point.seed, exponent, nu=NU, runs=RUNS)

    found = {name: smallest_sufficient(tried, eps, largest=LARGEST_EFFORT) for name, eps in GAPS.items()}
    return {name: each and each[1].ledger.rewards / RUNS for name, each in found.items()} | {"coverage": coverage}


def _needed(measured: Sequence[Measurement], names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Dimensions, and rewards by seed, dimension and gap."""
    series = [table(measured, "spanner_sampling", name) for name in names]
    return series[0].sizes, np.stack([each.values for each in series], axis=2)


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Slope in `d` over all gaps below `beta`; slope in `1/eps` there over all dimensions, with logarithms stated."""
    dimensions, needed = _needed(measured, BELOW)
    is_complete = np.isfinite(needed).all() and len(needed) >= 2
    is_long = is_complete and len(dimensions) >= 3 and dimensions[-1] >= 4 * dimensions[0]
    inverse = [1.0 / GAPS[name] for name in BELOW]
    # Means of logs, over gaps or over dimensions, leave one slope a seed that uses every search.
    in_dimension = slope(dimensions, np.exp(np.log(needed).mean(axis=2))) if is_long else None

    def in_gap(logs: int) -> Slope | None:
        return slope(inverse, np.exp(np.log(needed / np.log(needed) ** logs).mean(axis=1))) if is_complete else None

    count = int(needed.size)
    rows = (
        ("T_data grows at most like d^2", in_dimension, (-math.inf, 2.0), count, "mean over gaps below beta"),
        (
            "T_data / log^2 T_data grows at most like 1/eps below beta", in_gap(2), (-math.inf, 1.0), count,
            "log^2 T as in T3, and in the derived T_exp; on a ladder as short as this they look like a factor of "
            "eps^.4 or eps^.5",
        ),
        ("T_data / log T_data grows like 1/eps below beta", in_gap(1), None, count, "with one logarithm"),
        ("T_data grows with 1/eps below beta", in_gap(0), None, count, "with none"),
    )  # fmt: skip
    return tuple(slope_claim("T2", *row) for row in rows)


SHADES = (("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "v"), ("#56B4E9", "D"), ("#D55E00", "X"))


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Rewards against `d` for every gap below `beta`, and against `1/eps` for every dimension."""
    left, right = figure.subplots(1, 2, sharey=True)
    sizes, needed = _needed(measured, tuple(GAPS))
    inverse = np.array([1.0 / eps for eps in GAPS.values()])
    for column, (name, eps) in enumerate(GAPS.items()):
        if name in BELOW:
            series, label = Series("spanner_sampling", sizes, needed[:, :, column]), rf"$\varepsilon = {eps:.3g}$"
            draw_series(left, series, style=Style(*SHADES[column % len(SHADES)], label))
    for row, dimension in enumerate(sizes):
        series, label = Series("spanner_sampling", inverse, needed[:, row, :]), f"$d = {dimension:.0f}$"
        draw_series(right, series, style=Style(*SHADES[row % len(SHADES)], label))
    middle = np.nanmedian(needed, axis=0)
    if np.isfinite(middle).all():
        draw_theory(left, sizes, lambda d: 1.5 * middle[0, -1] * (d / sizes[0]) ** 2, "slope 2")
        end = 1.5 * middle[-1, -1]
        draw_theory(
            right, inverse, lambda i: end * np.minimum(1 / i[-1], BETA) / np.minimum(1 / i, BETA),
            r"$1/\min(\varepsilon, \beta)$",
        )  # fmt: skip
    right.axvline(1.0 / BETA, color="0.6", linewidth=1.0, linestyle=":", label=r"$\varepsilon = \beta$")
    left.set_ylabel("rewards asked, $T_{data}$")
    for axes, title, label in (
        (left, "against the dimension", "dimension $d$"),
        (right, "against the gap allowed", r"$1/\varepsilon$"),
    ):
        finish(axes, title, label, legend=False)
        axes.legend(fontsize=8, loc="lower right", ncols=2)


STUDY = Study(
    name="data",
    title="What dimension and accuracy cost in data",
    guarantees=("T2",),
    statement=(
        "T_data of SpannerSampling is at most of the order of R_max^2 d^2 / (beta min(eps, beta)), up to logarithms "
        "[paper: FMR25 Theorem 3.1, p. 9]"
    ),
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"Random problems, |Y| = {RESPONSES}, beta = {BETA}, R_max = 2, noisy rewards. Effort (rounds of both "
    f"phases) grows until the mean exact gap of {RUNS} runs is at most eps; T_span and M are set for the known "
    "coverage. Rewards of a run; bars hold the middle half of the seeds.",
)
