"""T4, an illustration: how often proper learners meet a clause at the paper's beta, beside SpannerSampling.

That no proper learner has both `T_data` and `T_comp` polynomial is a statement about complexity, under a hypothesis
(rETH): it cannot be tested. What its proof rests on can: a clause is drawn from `pi_theta` with a fair chance only
where the signs of `theta` satisfy clauses (H2). OnlineDPO and XPO learn from what they draw, see no clause, and stay
where they are. Exhaustive search finds the clauses with few rewards, at the price of `2^(n+1)` policies that are drawn
from. SpannerSampling is not proper: it pays for coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from spanver.evidence import log_e_mean, slope, split_alpha
from spanver.exact.tabular import gap, log_law, log_optimal_law
from spanver.guarantees.proper import clause_mass_bound, mass_gap_floor
from spanver.learners.exhaustive import exhaustive_search
from spanver.learners.online_dpo import online_dpo
from spanver.learners.rounds import BaselineRun
from spanver.learners.spanner_sampling import spanner_sampling
from spanver.learners.xpo import xpo
from spanver.oracle import Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.proper import ProperOracle
from spanver.policies import LinearSoftmax
from spanver.problems.families.max_k_dnf import NULL, max_k_dnf_problem
from spanver.problems.tabular import TabularProblem
from spanver.randomness import derived_seed
from spanver.runs.settings import known_coverage
from spanver.studies.engine.figures import draw_chances, draw_series, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Study, slope_claim, table
from spanver.studies.entrants import STYLES, spanner_settings
from spanver.values import FloatArray
from spanver.verdicts import Verdict

ROUNDS = 128  # of a proper learner, two rewards each
DRAWS = 256  # of exhaustive search, from each corner
PARTITION_SAMPLES = 64  # of XPO
CLAUSES, LITERALS, VARIABLES = 16, 2, 8
GREATEST_COUNTED = 3  # literals; with more, the samples that SpannerSampling needs are more than are counted
GROWTH = (-1.0, 2.0)  # that the samples of SpannerSampling may have as a power of n
PER_VARIABLE = (0.9, 1.1)  # log2 of the factor that a variable costs exhaustive search
ALPHA = 1e-6  # of the study, divided over its tests
_ROUNDING = 1e-9

LEARNERS: Mapping[str, Callable[[Oracle], BaselineRun]] = MappingProxyType(
    {
        "exhaustive": lambda oracle: exhaustive_search(oracle, rounds=ROUNDS, draws=DRAWS, seed=0),
        "online_dpo": lambda oracle: online_dpo(oracle, rounds=ROUNDS, seed=0),
        "xpo": lambda oracle: xpo(
            oracle, rounds=ROUNDS, alpha=oracle.beta / math.sqrt(ROUNDS), partition_samples=PARTITION_SAMPLES, seed=0
        ),
    }
)
"""Proper learners, none of which has randomness of its own."""
LADDERS = MappingProxyType(
    {"quick": ((4, 6, 8, 10), (3, 4, 6), 6), "full": ((4, 5, 6, 7, 8, 9, 10, 11, 12), (3, 4, 5, 6, 7, 8), 12)}
)
"""Numbers of variables at `k = LITERALS`, numbers of literals at `n = VARIABLES`, and seeds."""


def points(profile: str) -> tuple[Point, ...]:
    """Sizes of formulas: first `n` grows, and then `k`."""
    variables, literals, seeds = LADDERS[profile]
    sizes = [(n, LITERALS) for n in variables] + [(VARIABLES, k) for k in literals]
    return tuple(
        Point("proper", learner, size_of(n, k), seed)
        for learner in (*LEARNERS, "spanner_sampling")
        for n, k in sizes
        for seed in range(seeds)
        if learner in LEARNERS or k <= GREATEST_COUNTED
    )


def size_of(variables: int, literals: int) -> float:
    """Place of a formula on the ladder: `n + k/100`."""
    return variables + literals / 100


def formula_of(size: float) -> tuple[int, int]:
    """Numbers of variables and literals of a place."""
    return int(size), round(100 * (size - int(size)))


def measure(point: Point) -> Numbers:
    """Whether a reward of a clause was queried, the gap, the cost, and how H2 and H3 held."""
    variables, literals = formula_of(point.size)
    problem = max_k_dnf_problem(
        derived_seed(point.seed, "problem"), variables=variables, literals=literals, clauses=CLAUSES
    )
    inner = counted_oracle(problem, seed=derived_seed(point.seed, "oracle"))
    if point.learner == "spanner_sampling":
        exponent = math.ceil(math.log2(known_coverage(problem)))
        settings = replace(spanner_settings(exponent, prompts=100), exploration_rounds=50)
        found = spanner_sampling(inner, seed=derived_seed(point.seed, "learner"), settings=settings)
        vectors = np.concatenate([found.trace.spanner.vectors, found.trace.exploration.vectors])
        own = gap(problem, log_law(problem, found.policy))
        judged: dict[str, float | int | None] = {}
    else:
        oracle = ProperOracle(inner)
        run = LEARNERS[point.learner](cast(Oracle, oracle))
        vectors = run.vectors
        own = gap(problem, log_law(problem, run.policy))
        judged = _judged(problem, np.unique([*oracle.exploration.parameters, run.policy.theta], axis=0))
    ledger = inner.ledger
    return {"met": int(vectors.any()), "gap": own, "samples": ledger.samples, "rewards": ledger.rewards, **judged}


def _judged(problem: TabularProblem, thetas: FloatArray) -> dict[str, float | int | None]:
    """How far the mass of clauses is above H2's bound, and the gap below H3's, at the worst of these parameters."""
    literals = problem.parameters["literals"]
    optimum = _mass(log_optimal_law(problem))
    above, below = -math.inf, -math.inf
    for theta in thetas:
        law = log_law(problem, LinearSoftmax(theta))
        # Literals are 1/(2k) of their sign: a clause is satisfied where all of them agree.
        agreeing = problem.features[0, 1:, :-1] @ np.where(theta[:-1] >= 0.0, 1.0, -1.0)
        share = float((agreeing >= 0.5 - _ROUNDING).mean())
        above = max(above, _mass(law) - clause_mass_bound(share, problem.beta, literals))
        below = max(below, mass_gap_floor(problem.beta, _mass(law), optimum) - gap(problem, law))
    return {"above": above, "below": below, "queried": len(thetas)}


def _mass(law: FloatArray) -> float:
    return min(1.0, float(np.exp(np.delete(law[0], NULL)).sum()))


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """H2 and H3 at every parameter; who meets a clause more often than not; and what it costs as `n` grows."""
    proper = [each.numbers for each in measured if each.point.learner in LEARNERS]
    alpha = split_alpha(ALPHA, len(LEARNERS) + 1, 1)
    samples = {name: _ladder(measured, name, "samples", formula_of, 0) for name in ("exhaustive", "spanner_sampling")}
    return (
        _exact("H2", "no policy that a proper learner draws from gives clauses more mass", proper, "above"),
        _exact("H3", "no policy that a proper learner draws from has a smaller gap", proper, "below"),
        *(_meeting(measured, name, alpha, often=name in ("exhaustive", "spanner_sampling")) for name in _ALL),
        _growth(
            "T2", samples["spanner_sampling"], "T_comp of SpannerSampling grows at most like n^2", math.log2, GROWTH
        ),
        _growth("T4", samples["exhaustive"], "a variable doubles T_comp of exhaustive search", float, PER_VARIABLE),
    )


_ALL = (*LEARNERS, "spanner_sampling")


def _exact(name: str, words: str, numbers: Sequence[Numbers], key: str) -> Claim:
    worst = max((float(each[key] or 0.0) for each in numbers), default=-math.inf)
    queried = sum(int(each["queried"] or 0) for each in numbers)
    if not numbers:
        return Claim(name, words, Verdict.UNDECIDED)
    verdict = Verdict.HOLDS if worst <= _ROUNDING else Verdict.VIOLATED
    return Claim(name, words, verdict, points=queried, note=f"{queried} parameters; margin {-worst:.3g}")


def _meeting(measured: Sequence[Measurement], learner: str, alpha: float, *, often: bool) -> Claim:
    """Whether a learner meets a clause in more than half of its runs, or in fewer."""
    runs = [int(each.numbers["met"] or 0) for each in measured if each.point.learner == learner]
    met, misses = sum(runs), len(runs) - sum(runs)
    # The claim is shown by evidence against its opposite.
    for_it, against = (met, misses) if often else (misses, met)
    verdict = Verdict.UNDECIDED
    if log_e_mean(for_it, len(runs), 0.5) >= -math.log(alpha):
        verdict = Verdict.HOLDS
    elif log_e_mean(against, len(runs), 0.5) >= -math.log(alpha):
        verdict = Verdict.VIOLATED
    words = f"{STYLES[learner].label} meets a clause in {'more' if often else 'fewer'} than half of its runs"
    return Claim("T4", words, verdict, points=len(runs), note=f"in {met} of {len(runs)} runs")


def _ladder(
    measured: Sequence[Measurement], learner: str, name: str, place: Callable[[float], tuple[int, int]], along: int
) -> Any:
    """Series along one ladder: of `n` at `k = LITERALS`, or of `k` at `n = VARIABLES`."""
    fixed = (VARIABLES, LITERALS)[1 - along]
    mine = [each for each in measured if place(each.point.size)[1 - along] == fixed]
    series = table(mine, learner, name)
    return replace(series, sizes=np.array([place(size)[along] for size in series.sizes], dtype=np.float64))


def _growth(name: str, series: Any, words: str, scale: Callable[[float], float], band: tuple[float, float]) -> Claim:
    """Slope of `log2` of a cost against the scaled number of variables."""
    reached = np.isfinite(series.values).all(axis=0)
    sizes = np.exp2([scale(size) for size in series.sizes[reached]])
    fitted = slope(sizes, series.values[:, reached]) if reached.sum() >= 2 else None
    return slope_claim(name, words, fitted, band, int(series.values.size))


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Shares of runs that meet a clause against `n` and against `k`, and samples against `n`."""
    left, middle, right = figure.subplots(1, 3)
    for along, axes in ((0, left), (1, middle)):
        for shift, learner in enumerate(_ALL):
            series = _ladder(measured, learner, "met", formula_of, along)
            held = np.isfinite(series.values)
            counts = np.stack([np.nansum(series.values, axis=0), held.sum(axis=0)], axis=1)
            if len(series.sizes):
                draw_chances(axes, learner, series.sizes + 0.06 * (shift - 1.5), counts)
        axes.set_ylim(-0.05, 1.05)
    for learner in _ALL:
        draw_series(right, _ladder(measured, learner, "samples", formula_of, 0))
    left.set_ylabel("share of runs that meet a clause")
    right.set_ylabel("samples asked, $T_{comp}$")
    finish(left, f"$k = {LITERALS}$", "variables $n$", x="linear", y="linear", legend=False)
    finish(middle, f"$n = {VARIABLES}$", "literals of a clause $k$", x="linear", y="linear", legend=False)
    finish(right, f"$k = {LITERALS}$", "variables $n$", x="linear", legend=False)
    for axes in (left, middle, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right center", fontsize=8)


STUDY = Study(
    name="proper",
    title="Proper learners and the clauses of Max-k-DNF",
    guarantees=("T4", "H2", "H3", "T2"),
    statement="under rETH no proper learner has both T_data and T_comp polynomial [paper: FMR25 Theorem 4.1, p. 10]. "
    "Not testable: this shows what particular learners do on the paper's instances, and checks what the proof rests on",
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"Planted formulas of {CLAUSES} clauses, beta = 1/(k^2 log 32), no noise. Proper learners query "
    f"{2 * ROUNDS} rewards, of draws from the strong oracle. SpannerSampling has T_span = 2C and M = 4C for the exact "
    f"coverage C, up to k = {GREATEST_COUNTED}. Bars: .95 intervals of shares; medians of samples with the middle half "
    "of the seeds.",
)
