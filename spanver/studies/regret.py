"""T2, T3: the average gap of rounds shrinks like `log T / T`, so that regret grows like `log^2 T` and not `sqrt T`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from spanver.evidence import slope
from spanver.exact.tabular import component_laws, gap, log_coverage, log_law, log_optimal_law
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.oracles.counted import counted_oracle
from spanver.policies import TruncatedSoftmax
from spanver.problems.families.random_tables import random_problem
from spanver.randomness import derived_seed
from spanver.studies.engine.figures import draw_series, draw_theory, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Series, Study, ladder, slope_claim

LADDERS = {"quick": (13, 20), "full": (15, 40)}  # exponent of the last T_exp, and seeds
FIRST = 7  # exponent of the first T_exp that is judged
MOST_UNCOVERED = 0.1  # of the smallest average gap: beyond, its linear term bends the slope (T2)
MOST_PHASE_ONE = 1 / 32  # of the first T_exp: beyond, what phase 1 knows already bends it


def points(profile: str) -> tuple[Point, ...]:
    """One run a seed: every `T_exp` of the ladder is a beginning of it."""
    last, seeds = LADDERS[profile]
    return ladder("regret", ["spanner_sampling"], [last], seeds)


def measure(point: Point) -> Numbers:
    """Cumulative exact gaps of the rounds' policies at every power of 2, and what of a gap no fit can mend."""
    problem = random_problem(
        derived_seed(point.seed, "problem"), dimension=4, responses=8, prompts=2, beta=0.5, noise=0.05
    )
    coverage = float(np.exp(log_coverage(problem, log_optimal_law(problem)).max()))
    rounds = 2 ** int(point.size)
    settings = Settings(
        prompts=400,
        pairs_per_prompt=math.ceil(4 * coverage),
        nu=0.8,
        ridge=problem.reward_range**2 / problem.radius**2,
        exploration_rounds=rounds,
        rejection_multiplier=8 * math.e * coverage,
        rejection_failure=0.001,
    )
    oracle = counted_oracle(problem, seed=derived_seed(point.seed, "oracle"))
    run = spanner_sampling(oracle, seed=derived_seed(point.seed, "learner"), settings=settings)
    regret = np.cumsum([gap(problem, law) for law in component_laws(problem, run.policy)])
    assert problem.theta_star is not None
    best = TruncatedSoftmax(problem.theta_star, run.policy.precision, run.policy.nu)
    return {f"regret_{k}": float(regret[2**k - 1]) for k in range(int(point.size) + 1)} | {
        "uncovered": gap(problem, log_law(problem, best)),  # what truncation costs a round once theta_t is theta*
        "spanner_size": len(run.trace.spanner.vectors),
    }


def _regret(measured: Sequence[Measurement]) -> Series:
    """Cumulative gap by seed, at every power of 2 from the first of the ladder."""
    last = int(max(each.point.size for each in measured))
    exponents = range(FIRST, last + 1)
    values = np.array([[float(each.numbers[f"regret_{k}"] or 0.0) for k in exponents] for each in measured])
    return Series("spanner_sampling", 2.0 ** np.array(exponents), values)


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Slopes of the average gap and of the regret."""
    series = _regret(measured)
    average = series.values / series.sizes
    uncovered = max(float(each.numbers["uncovered"] or 0.0) for each in measured) / float(average.min())
    pairs = max(int(each.numbers["spanner_size"] or 0) for each in measured)
    premise = uncovered <= MOST_UNCOVERED and pairs <= MOST_PHASE_ONE * 2**FIRST and len(series.sizes) >= 7
    rate, growth = slope(series.sizes, average / np.log(series.sizes)), slope(np.log(series.sizes), series.values)
    words = f"uncovered term at most {uncovered:.2%} of the smallest gap, at most {pairs} pairs in phase 1"
    found = []
    for name, claim, fitted, band, note in (
        ("T2", "average gap / log T_exp shrinks like 1 / T_exp", rate, (-1.15, -0.85), words),
        ("T3", "regret grows at most like log^2 T", growth, (-math.inf, 2.0), "slope against log T"),
    ):
        found.append(slope_claim(name, claim, fitted, band, series.values.size, note, premise=premise))
    return tuple(found)


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Average gap and regret."""
    series = _regret(measured)
    left, right = figure.subplots(1, 2)
    average = Series(series.learner, series.sizes, series.values / series.sizes)
    draw_series(left, average)
    anchor = float(np.median(average.values[:, -1]))
    last = series.sizes[-1]
    draw_theory(left, series.sizes, lambda t: anchor * (np.log(t) / t) / (np.log(last) / last), r"$\log T / T$")
    draw_series(right, series)
    end = float(np.median(series.values[:, -1]))
    draw_theory(right, series.sizes, lambda t: end * (np.log(t) / np.log(last)) ** 2, r"$\log^2 T$")
    right.plot(series.sizes, end * np.sqrt(series.sizes / last), color="0.6", linestyle=":", label=r"$\sqrt{T}$")
    finish(left, "average gap of the rounds so far", "exploration rounds $T$")
    finish(right, "regret: sum of their gaps", "exploration rounds $T$")


STUDY = Study(
    name="regret",
    title="How fast the gap shrinks",
    guarantees=("T2", "T3"),
    statement=(
        "regret of phase 2 grows like log^2 T, its average like 1/T up to a logarithm [paper: FMR25 Theorem 3.1, p. 9]"
    ),
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption="Random problems, d = 4, beta = 1/2, noisy rewards: exact gaps of the policies of all rounds of one run a "
    "seed. Phase 1 and M are set for each problem's coverage; nothing is searched for. Medians; bars hold the "
    "middle half of the seeds.",
)
