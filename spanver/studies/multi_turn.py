"""T5: exploring token by token costs a power of the horizon `H`, exploring whole sequences a factor for every token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from spanver.evidence import Slope, slope
from spanver.exact import layered as exact_layers
from spanver.learners.multi_turn import multi_turn
from spanver.learners.spanner_sampling import largest_cost
from spanver.oracles.prefix import prefix_oracle
from spanver.problems.families.tokens import token_problem
from spanver.problems.tokens import TokenProblem, sequence_view
from spanver.randomness import derived_seed
from spanver.runs.settings import settings_for
from spanver.studies.engine.effort import Attempt, cost_of, smallest_sufficient
from spanver.studies.engine.figures import draw_series, draw_theory, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Study, ladder, slope_claim, table
from spanver.studies.entrants import spanner_attempt, spanner_settings

KAPPA = 2.0
PER_TOKEN = math.log2(2.0 / (1.0 + math.exp(-KAPPA)))  # log2 C_cond
# Of the base policy's gap that may be left, as R_max and so the gap's own scale grow with H. At the loose one the best
# sequences, whose joint share under pi* shrinks with H, may be clipped: less than the largest ratio then suffices.
TIGHT, LOOSE = 0.001, 0.02
MOST_BEYOND = 0.1  # log2 of a factor a token that a polynomial has none of
LARGEST_EFFORT = 14
PROMPTS_PER_TOKEN = 200  # T_prompt / H of both learners, whose features have d H dimensions
LADDERS: Mapping[str, Mapping[str, tuple[tuple[int, ...], int]]] = MappingProxyType(
    {
        "quick": {"multi_turn": ((2, 3, 4, 6, 8), 4), "spanner_sampling": ((4, 5, 6, 7, 8), 5)},
        "full": {"multi_turn": ((2, 3, 4, 6, 8, 10, 12), 8), "spanner_sampling": ((4, 5, 6, 7, 8, 9), 10)},
    }
)


def points(profile: str) -> tuple[Point, ...]:
    """Horizons; the sequence-level learner's table of 2^H responses ends its ladder."""
    return tuple(
        point
        for learner, (horizons, seeds) in LADDERS[profile].items()
        for point in ladder("multi-turn", [learner], horizons, seeds)
    )


def measure(point: Point) -> Numbers:
    """Cost of reaching the same share of the base policy's gap."""
    horizon = int(point.size)
    problem = token_problem(derived_seed(point.seed, "problem"), horizon=horizon, kappa=KAPPA)
    base_gap = exact_layers.layered_gap(problem, problem.log_base)
    if point.learner == "multi_turn":
        reached, restarts = _multi_turn(problem, point.seed)
        return cost_of((0.0, reached) if reached.gap <= TIGHT * base_gap else None) | {"restarts": restarts}
    view = sequence_view(problem)

    @cache
    def attempt(exponent: float) -> Attempt:
        return spanner_attempt(view, point.seed, spanner_settings(exponent, PROMPTS_PER_TOKEN * horizon))

    tight = smallest_sufficient(attempt, TIGHT * base_gap, largest=LARGEST_EFFORT)
    loose = smallest_sufficient(attempt, LOOSE * base_gap, largest=LARGEST_EFFORT)
    return cost_of(tight) | {"loose_samples": loose and loose[1].ledger.samples}


def _multi_turn(problem: TokenProblem, seed: int) -> tuple[Attempt, int]:
    """Practical settings: nothing in them depends on the coverage of sequences, so nothing is searched for."""
    oracle = prefix_oracle(problem, seed=derived_seed(seed, "oracle"))
    settings = settings_for(problem)
    run = multi_turn(oracle, horizon=problem.horizon, settings=settings, seed=derived_seed(seed, "learner"))
    gap = exact_layers.layered_gap(problem, exact_layers.log_token_law(problem, run.policy))
    return Attempt(gap, oracle.ledger), run.restarts


def polynomial_factor(horizon: float) -> float:
    """Most samples of sequence-level SpannerSampling at effort 1: what its cost has besides coverage (S7, R1)."""
    return float(largest_cost(spanner_settings(0, PROMPTS_PER_TOKEN * int(horizon))))


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """The degree in `H` of one learner, what grows faster than a power of `H`, and the other's growth per token."""
    tokens = table(measured, "multi_turn", "samples")
    is_long = np.isfinite(tokens.values).all() and len(tokens.sizes) >= 5
    degree = slope(tokens.sizes, tokens.values) if is_long else None
    beyond = slope(2.0**tokens.sizes, tokens.values, covariate=tokens.sizes) if is_long else None
    tight, loose = (_growth(measured, name) for name in ("samples", "loose_samples"))
    restarts = table(measured, "multi_turn", "restarts")
    means = zip(restarts.sizes, restarts.values.mean(axis=0), strict=True)
    horizons = ", ".join(f"{horizon:g}: {mean:.2g}" for horizon, mean in means)
    count, sequences = tokens.values.size, table(measured, "spanner_sampling", "samples").values.size
    none, near = (-math.inf, MOST_BEYOND), (0.9 * PER_TOKEN, 1.1 * PER_TOKEN)
    mtss, other = "T_comp of MTSS", "T_comp of sequence-level SpannerSampling"
    rows = (
        (f"{mtss} grows like H^slope", degree, None, count, f"mean restarts by horizon {horizons}"),
        (
            f"beside a power of H, a further token multiplies {mtss} by 2^slope",
            beyond,
            none,
            count,
            f"C_cond is 2^{PER_TOKEN:.2f}",
        ),
        (
            f"a further token multiplies {other} by 2^slope",
            tight,
            near,
            sequences,
            "its cost at effort 1 divided out; C_cond within a tenth",
        ),
        (
            f"a further token multiplies {other} by 2^slope",
            loose,
            None,
            sequences,
            f"for {LOOSE:.0%} of the base policy's gap it may clip the best sequences",
        ),
    )
    return tuple(slope_claim("T5", *row) for row in rows)


def _growth(measured: Sequence[Measurement], name: str) -> Slope | None:
    series = table(measured, "spanner_sampling", name)
    if not np.isfinite(series.values).all() or len(series.sizes) < 5:
        return None
    factors = np.array([polynomial_factor(horizon) for horizon in series.sizes])
    return slope(2.0**series.sizes, series.values / factors)


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Samples against horizon, on a logarithmic axis of horizons and on a plain one."""
    left, right = figure.subplots(1, 2, sharey=True)
    tokens, sequences = table(measured, "multi_turn", "samples"), table(measured, "spanner_sampling", "samples")
    for axes in (left, right):
        draw_series(axes, tokens)
        draw_series(axes, sequences, note="whole sequences")
    middle, last = float(np.nanmedian(tokens.values[:, -1])), tokens.sizes[-1]
    draw_theory(left, tokens.sizes, lambda h: middle * (h / last) ** 3, "$H^3$")
    sizes = sequences.sizes
    first = float(np.nanmedian(sequences.values[:, 0])) / polynomial_factor(sizes[0])
    factors = np.array([polynomial_factor(horizon) for horizon in sizes])
    growth = first * factors * 2.0 ** (PER_TOKEN * (sizes - sizes[0]))
    draw_theory(right, sizes, lambda _: growth, "$C_{cond}^H$ times the cost at effort 1")
    left.set_ylabel("samples asked, $T_{comp}$")
    finish(left, "a power of $H$ is a straight line", "horizon $H$")
    finish(right, "a factor for every token is a straight line", "horizon $H$", x="linear")


STUDY = Study(
    name="multi-turn",
    title="What horizon costs",
    guarantees=("T5",),
    statement=(
        "exploring token by token replaces coverage of sequences, C_cond^H, by that of tokens [paper: FMR25 Theorem "
        "5.1, p. 13; algorithm and family are ours]"
    ),
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"Family tokens, C_cond = {2**PER_TOKEN:.2f}; both reach a gap of {TIGHT:.1%} of the base policy's. "
    "MTSS runs at its practical settings, known to suffice, and nothing is searched for; effort of the sequence-level "
    "learner (T_span and M) grows until it suffices. Medians; bars hold the middle half of the seeds.",
)
