"""T2, T3: the average gap of rounds shrinks like `log T / T`, so that regret grows like `log^2 T` and not `sqrt T`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from spanver.evidence import judge, slope
from spanver.learners.policies import Mixture, TruncatedSoftmax
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.oracles import counted_oracle
from spanver.problems.exact import component_laws, gap, log_coverage, log_optimal_law, uncertain_probability
from spanver.problems.families import random_problem
from spanver.randomness import derived_seed
from spanver.studies.figures import draw_series, draw_theory
from spanver.studies.points import Claim, Measured, Numbers, Point, Series, Study
from spanver.verdicts import Verdict

__all__ = ["STUDY"]

LADDERS = {"quick": (7, 14, 20), "full": (7, 16, 40)}  # exponents of the first and last T_exp, and seeds
MOST_UNCOVERED = 0.1  # of the smallest average gap: beyond, its linear term bends the slope


def points(profile: str) -> tuple[Point, ...]:
    """One run a seed: every `T_exp` of the ladder is a beginning of it."""
    _, last, seeds = LADDERS[profile]
    return tuple(Point("regret", "spanner_sampling", float(last), seed) for seed in range(seeds))


def measure(point: Point) -> Numbers:
    """Cumulative exact gaps of the rounds' policies at every power of 2."""
    problem = random_problem(
        derived_seed(point.seed, "problem"), dimension=4, responses=8, prompts=2, beta=0.5, noise=0.05
    )
    optimum = log_optimal_law(problem)
    coverage = float(np.exp(log_coverage(problem, optimum).max()))
    rounds = 2 ** int(point.size)
    settings = Settings(
        prompts=2000,
        pairs_per_prompt=math.ceil(4 * coverage),
        nu=0.5,
        ridge=problem.reward_range**2 / problem.radius**2,
        exploration_rounds=rounds,
        rejection_multiplier=8 * math.e * coverage,
        rejection_failure=0.001,
    )
    oracle = counted_oracle(problem, seed=derived_seed(point.seed, "oracle"))
    policy = spanner_sampling(oracle, seed=derived_seed(point.seed, "learner"), settings=settings).policy
    assert isinstance(policy, Mixture)
    gaps = np.array([gap(problem, law) for law in component_laws(problem, policy)])
    component = policy.components[0]
    assert isinstance(component, TruncatedSoftmax)
    uncovered = float(problem.prompt_law @ uncertain_probability(problem, component.precision, component.nu))
    regret = np.cumsum(gaps)
    numbers: dict[str, float] = {f"regret_{k}": float(regret[2**k - 1]) for k in range(int(point.size) + 1)}
    # What uncovered pairs can cost a round at most: their share under the policy, times the range of rewards.
    return numbers | {"uncovered": coverage * uncovered * problem.reward_range}


def _regret(measured: Sequence[Measured]) -> Series:
    """Cumulative gap by seed, at every power of 2 from the first of the ladder."""
    last = int(max(each.point.size for each in measured))
    first = LADDERS["quick"][0]
    exponents = range(first, last + 1)
    values = np.array([[float(each.numbers[f"regret_{k}"] or 0.0) for k in exponents] for each in measured])
    return Series("spanner_sampling", 2.0 ** np.array(exponents), values)


def claims(measured: Sequence[Measured]) -> tuple[Claim, ...]:
    """Slopes of the average gap and of the regret."""
    series = _regret(measured)
    average = series.values / series.sizes
    uncovered = max(float(each.numbers["uncovered"] or 0.0) for each in measured)
    share = uncovered / float(average.min())
    premise = share <= MOST_UNCOVERED
    rate = slope(series.sizes, average / np.log(series.sizes))
    band = (-1.15, -0.85)
    atmost = (-math.inf, 2.0)
    growth = slope(np.log(series.sizes), series.values)
    note = f"the uncovered term is at most {share:.1%} of the smallest average gap"
    return (
        Claim(
            "T2", "gap / log T_exp shrinks like 1/T_exp", judge(rate, band) if premise else Verdict.UNDECIDED,
            rate, band, series.values.size, note=note,
        ),
        Claim(
            "T3", "regret grows at most like log^2 T", judge(growth, atmost) if premise else Verdict.UNDECIDED,
            growth, atmost, series.values.size, note="slope against log T",
        ),
    )  # fmt: skip


def draw(figure: Any, measured: Sequence[Measured]) -> None:
    """Average gap and regret."""
    series = _regret(measured)
    left, right = figure.subplots(1, 2)
    average = Series(series.learner, series.sizes, series.values / series.sizes)
    draw_series(left, average)
    anchor = float(np.median(average.values[:, -1]))
    last = series.sizes[-1]
    draw_theory(left, series.sizes, lambda t: anchor * (np.log(t) / t) / (np.log(last) / last), r"$\log T / T$")
    left.set_yscale("log")
    left.set_title("average gap of the rounds so far", fontsize=10)
    draw_series(right, series)
    end = float(np.median(series.values[:, -1]))
    draw_theory(right, series.sizes, lambda t: end * (np.log(t) / np.log(last)) ** 2, r"$\log^2 T$")
    right.plot(series.sizes, end * np.sqrt(series.sizes / last), color="0.6", linestyle=":", label=r"$\sqrt{T}$")
    right.set_title("regret: sum of their gaps", fontsize=10)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("exploration rounds $T$")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)


STUDY = Study(
    name="regret",
    title="How fast the gap shrinks",
    guarantees=("T2", "T3"),
    says="regret of phase 2 grows like log^2 T, its average like 1/T up to a logarithm (FMR25, Theorem 3.1)",
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption="random problems, d = 4, beta = 1/2; exact gaps of all rounds; phase 1 and M set for the coverage of each",
)
