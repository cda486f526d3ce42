"""T1: how often each learner succeeds on the needle family, against the most that samples and guesses allow.

Every run has a needle of its own, so that success is a coin of one chance for each learner and effort. Since `J(pi)`
is at most `pi(y*)` on this family, a run of gap at most `eps` has `pi_hat(y*) >= J* - eps`, and T1's ceiling on the
mean of `pi_hat(y*)` becomes one on the chance of success: `ceiling/(J* - eps)`. The ceiling is that of the most that
the effort may ask for, one output included, and is known before anything is run. `p` is `1/C` for samples of the base
policy, and the exact chance on the sphere for samples of `pi_theta`, of which an output of a linear softmax policy is
one. The instance is the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from spanver.evidence import log_e_mean, min_discrepancy_mean, split_alpha
from spanver.exact.tabular import best_objective
from spanver.guarantees.headline import needle_output_ceiling, needle_sphere_chance
from spanver.problems.families.needle import needle_problem
from spanver.problems.tabular import TabularProblem
from spanver.randomness import derived_seed
from spanver.studies.engine.figures import draw_chances
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Study
from spanver.studies.entrants import ENTRANTS, STYLES, Needle
from spanver.verdicts import Verdict

RESPONSES, EPS, DELTA = 2**14, 0.1, 0.1
RUNS = 10  # of a point
ALPHA = 1e-6  # of the study, divided over its tests
# Efforts of at most this ceiling have to be decided; close to the success level no feasible number of runs decides.
DECIDED = 0.5


NEEDLES: Mapping[str, Needle] = MappingProxyType({name: each.needle for name, each in ENTRANTS.items() if each.needle})
"""Where each learner is watched."""
PANELS = MappingProxyType({10: "pairs of the base policy", 14: "strong oracle", 20: "weak oracle"})
"""Of the figure, by log2 of the coverage at which learners are watched."""
POINTS = MappingProxyType({"quick": (6, 10), "full": (40, 80)})  # of SpannerSampling, and of each other


def points(profile: str) -> tuple[Point, ...]:
    """Every learner at its coverage, every effort in one point."""
    return tuple(
        Point("lower-bound", learner, float(ladder.log_coverage), seed)
        for learner, ladder in NEEDLES.items()
        for seed in range(POINTS[profile][learner != "spanner_sampling"])
    )


def problem_of(ladder: Needle, seed: int) -> TabularProblem:
    """A needle of its own for every seed."""
    return needle_problem(
        derived_seed(seed, "problem"),
        responses=RESPONSES,
        dimension=ladder.dimension,
        beta=ladder.beta,
        coverage=2.0**ladder.log_coverage,
        direction="sphere",
    )


def measure(point: Point) -> Numbers:
    """Runs that reached `eps`, of all runs of each effort, and the most that was asked for."""
    ladder, attempt = NEEDLES[point.learner], ENTRANTS[point.learner].attempt
    numbers: dict[str, float | int | None] = {}
    for run in range(RUNS):
        own = derived_seed(point.seed, f"run {run}")
        problem = problem_of(ladder, own)
        for exponent in ladder.efforts:
            tried = attempt(problem, derived_seed(own, f"effort {exponent}"), exponent)
            reached, samples, rewards = (f"{name}_{exponent}" for name in ("reached", "samples", "rewards"))
            numbers[reached] = int(numbers.get(reached) or 0) + int(tried.gap <= EPS)
            numbers[samples] = max(int(numbers.get(samples) or 0), tried.ledger.samples)
            numbers[rewards] = max(int(numbers.get(rewards) or 0), tried.ledger.rewards)
    return numbers


def ceiling(learner: str, exponent: int) -> float:
    """T1's ceiling on the chance of success; from 1 on it says nothing."""
    ladder, cost = NEEDLES[learner], NEEDLES[learner].most(exponent)
    coverage = 2.0**ladder.log_coverage
    strong = needle_sphere_chance(coverage, ladder.beta, ladder.dimension)
    mass = needle_output_ceiling(cost.weak, cost.rewards, RESPONSES, 1.0 / coverage) + cost.strong * strong
    return mass / (best_objective(problem_of(ladder, 0)) - EPS)


def _successes(measured: Sequence[Measurement], learner: str, exponent: int) -> tuple[int, int]:
    """Runs that reached `eps`, and all runs."""
    mine = [each for each in measured if each.point.learner == learner]
    return sum(int(each.numbers[f"reached_{exponent}"] or 0) for each in mine), RUNS * len(mine)


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """For every learner: no effort succeeds more often than T1 allows."""
    tests = sum(len(ladder.efforts) for ladder in NEEDLES.values())
    alpha = split_alpha(ALPHA, tests, 1)
    return tuple(_claim(measured, learner, alpha) for learner in NEEDLES)


def _claim(measured: Sequence[Measurement], learner: str, alpha: float) -> Claim:
    worst, low, decided = -math.inf, 0, 0
    ladder = NEEDLES[learner]
    runs = 0
    for exponent in ladder.efforts:
        bound = ceiling(learner, exponent)
        low += bound <= DECIDED
        reached, runs = _successes(measured, learner, exponent)
        asked = [each.numbers for each in measured if each.point.learner == learner]
        cost = ladder.most(exponent)
        spent = max((int(each[f"samples_{exponent}"] or 0) for each in asked), default=0)
        rewards = max((int(each[f"rewards_{exponent}"] or 0) for each in asked), default=0)
        # A learner that draws more than its effort allows is under another ceiling, and is not judged.
        if bound >= 1.0 or runs == 0 or spent > cost.weak + cost.strong or rewards > cost.rewards:
            continue
        worst = max(worst, log_e_mean(reached, runs, bound))
        # Would success as it is demanded, at this cost, have been seen?
        decided += bound <= DECIDED and bound + min_discrepancy_mean(bound, runs, alpha=alpha) <= 1.0 - DELTA
    words = f"{STYLES[learner].label} succeeds no more often than T1 allows"
    verdict = Verdict.VIOLATED if worst >= -math.log(alpha) else Verdict.HOLDS if decided == low else Verdict.UNDECIDED
    note = (
        f"success of chance {1 - DELTA:g} would have been caught at {decided} of the {low} efforts of a ceiling "
        f"of at most {DECIDED:g}, and is allowed or unseen at {len(ladder.efforts) - low} others; "
        f"largest log e-value {worst:.2f}, rejected from {-math.log(alpha):.1f}"
    )
    return Claim("T1", words, verdict, points=runs * len(ladder.efforts), note=note)


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Chance of success against the most samples that the effort may ask for, beside T1's ceiling."""
    axes_of = dict(zip(PANELS, figure.subplots(1, 3, sharey=True), strict=True))
    for learner, ladder in NEEDLES.items():
        axes = axes_of[ladder.log_coverage]
        costs = [ladder.most(exponent) for exponent in ladder.efforts]
        sizes = np.array([cost.weak + cost.strong for cost in costs], dtype=np.float64)
        counts = np.array([_successes(measured, learner, exponent) for exponent in ladder.efforts])
        draw_chances(axes, learner, sizes, counts)
        bounds = np.minimum(1.0, [ceiling(learner, exponent) for exponent in ladder.efforts])
        style = STYLES[learner]
        axes.plot(
            sizes, bounds, color=style.colour, linestyle="--", linewidth=1.0, marker=style.marker, markersize=4,
            markerfacecolor="white", label=f"T1's ceiling, {style.label}",
        )  # fmt: skip
    for log_coverage, axes in axes_of.items():
        axes.axhline(1.0 - DELTA, color="0.35", linestyle=":", linewidth=1.2, label="what success means")
        axes.set_xscale("log", base=2)
        # Roots show small chances beside large ones, and have a place for none.
        axes.set_yscale("function", functions=(lambda chance: np.sqrt(np.maximum(chance, 0.0)), np.square))
        axes.set_ylim(0.0, 1.05)
        axes.set_yticks([0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
        axes.set_xlabel("samples allowed, with one output")
        axes.set_title(f"{PANELS[log_coverage]}, $C = 2^{{{log_coverage}}}$", fontsize=10)
        axes.grid(alpha=0.3)
        corner = ("center right", (1.0, 0.4)) if log_coverage == max(PANELS) else ("upper left", (0.0, 0.92))
        axes.legend(fontsize=7, loc=corner[0], bbox_to_anchor=corner[1])
    axes_of[min(PANELS)].set_ylabel(f"chance of a gap of at most {EPS}\n(square-root scale)")


STUDY = Study(
    name="lower-bound",
    title="What no learner can pass",
    guarantees=("T1",),
    statement=(
        "without coverage no learner succeeds: data or samples grow like |Y|, or exp(1/beta) and C [paper: FMR25 "
        "Theorem 2.1, p. 7; constants are ours]"
    ),
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"Needle family, theta* on the sphere, |Y| = {RESPONSES}; a new needle in every run. Effort is the rounds "
    "of a baseline, and T_span and M of SpannerSampling. Ceilings are those of the most that an effort may ask for. C "
    "of a panel is such that its learners' ceilings rise within efforts that can be run. Learners that list all "
    "responses are outside T1. Bars: .95 intervals of chances.",
)
