"""T2, T6: what reaching a gap costs as coverage grows, for SpannerSampling and for everything else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from spanver.evidence import judge, slope
from spanver.learners.policies import Mixture
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.oracles import counted_oracle
from spanver.problems.families import covered_needle_problem
from spanver.problems.tables import TabularProblem
from spanver.randomness import derived_seed
from spanver.studies.figures import draw_series, draw_theory
from spanver.studies.points import Claim, Measured, Numbers, Point, Study, table
from spanver.studies.sampled import sampled_gap
from spanver.studies.search import Attempt, smallest_sufficient
from spanver.verdicts import Verdict

__all__ = ["STUDY"]

EPS = 0.05
LARGEST = {"spanner_sampling": 44}  # exponent of the largest effort


def points(profile: str) -> tuple[Point, ...]:
    """Ladder of log2 coverages; learners whose data grow with coverage stop where their runs take minutes."""
    seeds, step = (5, 4) if profile == "quick" else (10, 1)
    return tuple(
        Point("coverage", "spanner_sampling", float(exponent), seed)
        for exponent in range(4, 41, step)
        for seed in range(seeds)
    )


def measure(point: Point) -> Numbers:
    """Cost of the smallest sufficient effort."""
    problem = covered_needle_problem(
        derived_seed(point.seed, "problem"), coverage=2.0**point.size, responses=16, dimension=4, beta=0.03
    )
    attempt = partial(ATTEMPTS[point.learner], problem, point.seed)
    exponent, found = smallest_sufficient(attempt, EPS, largest=LARGEST[point.learner])
    if found is None:
        return {"effort": None, "samples": None, "rewards": None, "enumerated": None, "gap": None}
    ledger = found.ledger
    return {
        "effort": exponent, "samples": ledger.samples, "rewards": ledger.rewards, "enumerated": ledger.enumerated,
        "gap": found.gap,
    }  # fmt: skip


def _spanner_sampling(problem: TabularProblem, seed: int, exponent: int) -> Attempt:
    """Effort scales `T_span` and `M_rej`."""
    settings = Settings(
        prompts=300,
        pairs_per_prompt=2 << exponent,
        nu=0.3,
        ridge=1.0,
        exploration_rounds=100,
        rejection_multiplier=math.ldexp(4.0, exponent),
        rejection_failure=0.01,
    )
    oracle = counted_oracle(problem, seed=derived_seed(seed, "oracle"))
    run = spanner_sampling(oracle, seed=derived_seed(seed, "learner"), settings=settings)
    policy = run.policy
    assert isinstance(policy, Mixture)
    multiplier, failure = settings.rejection_multiplier, settings.rejection_failure
    return Attempt(sampled_gap(problem, policy, multiplier, failure, seed=derived_seed(seed, "output")), oracle.ledger)


ATTEMPTS = {"spanner_sampling": _spanner_sampling}


def claims(measured: Sequence[Measured]) -> tuple[Claim, ...]:
    """Slopes in coverage."""
    found = []
    for name, words, band in (
        ("samples", "T_comp of SpannerSampling grows like C", (0.95, 1.05)),
        ("rewards", "T_data of SpannerSampling is free of C", (-0.05, 0.05)),
    ):
        series = table(measured, "spanner_sampling", name)
        fitted = slope(2.0**series.sizes, series.values) if np.isfinite(series.values).all() else None
        verdict = judge(fitted, band) if fitted else Verdict.UNDECIDED
        found.append(Claim("T2", words, verdict, fitted, band, int(series.values.size)))
    return tuple(found)


def draw(figure: Any, measured: Sequence[Measured]) -> None:
    """Samples and rewards against coverage."""
    left, right = figure.subplots(1, 2)
    for axes, name, title in ((left, "samples", "samples asked ($T_{comp}$)"), (right, "rewards", "rewards asked ($T_{data}$)")):
        for learner in ATTEMPTS:
            series = table(measured, learner, name)
            draw_series(axes, type(series)(learner, 2.0**series.sizes, series.values))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("coverage $C(\\pi^*)$")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
    middle = table(measured, "spanner_sampling", "samples")
    anchor = float(np.nanmedian(middle.values[:, 0]))
    sizes = 2.0**middle.sizes
    draw_theory(left, sizes, lambda c: anchor * c / sizes[0], "slope 1")
    left.legend(fontsize=8)


STUDY = Study(
    name="coverage",
    title="What coverage costs",
    guarantees=("T2", "T6"),
    says="T_comp of SpannerSampling is proportional to C, T_data is free of it [FMR25, Theorem 3.1]",
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"covered needle; smallest effort 2^j, by bisection on each seed, whose output has a gap of at most {EPS}",
)
