"""T5: exploring layer by layer costs a power of the horizon `H`, exploring whole sequences a factor for every layer.

MTSS runs as printed and with the options that are ours. One number of it is searched for: `N_reg`, with `N_span` in
J.1.4's proportion to it (FMR25, p. 83). Rewards are noisy, so that the search means something: without noise one
rollout suffices. The gap of an attempt is the mean over several runs on one problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from spanver.episodic import EpisodicLedger
from spanver.evidence import slope
from spanver.exact import layered as exact
from spanver.learners.mtss import MTSSSettings, mtss
from spanver.learners.spanner_sampling import largest_cost
from spanver.oracles.episodic import episodic_oracle
from spanver.problems.families.forks import forks_problem
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.layered import Layered, LayeredMDP
from spanver.problems.tokens import TokenProblem, as_mdp, sequence_view
from spanver.randomness import derived_seed
from spanver.runs.settings import conditional_coverage, most_of_printed_run, paper_mtss_settings, settings_for
from spanver.studies.engine.effort import Attempt, cost_of, smallest_sufficient
from spanver.studies.engine.figures import draw_series, draw_theory, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Series, Study, slope_claim, table
from spanver.studies.entrants import STYLES, spanner_attempt, spanner_settings
from spanver.values import FloatArray

FORKS, MDP, KAPPA = range(3)
"""Ladders: `H` on forks, `H` on mdp, and `kappa` on mdp at one horizon, which moves `C_cond`."""
EXTENDED, PRINTED, SEQUENCES = "mtss", "mtss_printed", "spanner_sampling"
WORDS = MappingProxyType({EXTENDED: "extended MTSS", PRINTED: "MTSS as printed"})
NAMES = ("on forks", "on mdp")
SHARE = 0.1  # of the base policy's gap that MTSS may leave, as that gap grows with H
TIGHT = 0.001  # for whole sequences: at SHARE they may clip the best ones, and pay less than all of the coverage
LAYERS = 16  # of all runs of an attempt together: errors average over layers, so that few layers need more runs
DIMENSION = 2  # of each layer: MTSS as printed adds a pair an iteration, and its cost grows like d^3 or so
LARGEST_EFFORT = 12  # exponent of N_reg
LARGEST_SEQUENCES = 14
PROMPTS_PER_TOKEN = 200  # T_prompt / H of the sequence-level learner, whose features have d H dimensions
HORIZON_OF_KAPPA, ACTIONS_OF_KAPPA, EFFORT_OF_KAPPA = 4, 8, 7
# Bands, fixed before anything was measured.
MOST_OF_COVERAGE = 0.25  # a factor a layer of MTSS is at most the fourth root of that of the coverage of trajectories
FREE = (-0.2, 0.2)  # powers of C_cond of T_comp/C_cond and of T_data
NEAR = (0.9, 1.1)  # power of C_cov that whole sequences cost
LONG = 8.0  # a ladder is judged if its last horizon is at least so many times its first
# Of every profile and ladder: learners, each with its places and its number of seeds.
LADDERS: Mapping[str, Mapping[int, Mapping[str, tuple[Sequence[int], int]]]] = MappingProxyType(
    {
        "quick": {
            FORKS: {EXTENDED: ((2, 4, 8, 16), 8), PRINTED: ((2, 4, 8), 2), SEQUENCES: ((4, 5, 6, 7), 4)},
            MDP: {EXTENDED: ((2, 4, 8, 16), 8), PRINTED: ((2, 4), 2)},
            KAPPA: {EXTENDED: ((1, 2, 3, 4), 6), PRINTED: ((1, 4), 2)},
        },
        "full": {
            FORKS: {EXTENDED: ((2, 4, 6, 8, 12, 16), 12), PRINTED: ((2, 4, 8, 16), 8), SEQUENCES: ((4, 5, 6, 7, 8), 5)},
            MDP: {EXTENDED: ((2, 4, 6, 8, 12, 16), 12), PRINTED: ((2, 4, 6, 8), 4)},
            KAPPA: {EXTENDED: ((1, 2, 3, 4), 8), PRINTED: ((1, 2, 3, 4), 4)},
        },
    }
)
# What is printed, of the options of MTSS: the rest of the settings is the same for both.
AS_PRINTED: Mapping[str, Any] = MappingProxyType(
    {"refit": "always", "add": "largest", "search": "separate", "zero_scores": "sampled", "anchor_rollouts": True}
)


def points(profile: str) -> tuple[Point, ...]:
    """All ladders of a profile."""
    return tuple(
        Point("multi-turn", learner, size_of(kind, place), seed)
        for kind, learners in LADDERS[profile].items()
        for learner, (places, seeds) in learners.items()
        for place in places
        for seed in range(seeds)
    )


def size_of(kind: int, place: int) -> float:
    """Size of a point: its place on a ladder, and hundredths for the ladder."""
    return place + kind / 100


def place_of(size: float) -> tuple[int, int]:
    """Ladder of a size, and its place there."""
    return round(100 * (size - int(size))), int(size)


def problem_of(kind: int, place: int, seed: int) -> LayeredMDP:
    """The problem at a place of a ladder, with noisy rewards."""
    if kind == FORKS:
        return as_mdp(forks_problem(seed, horizon=place, dimension=DIMENSION, noise=1.0))
    if kind == MDP:
        return mdp_problem(seed, horizon=place, dimension=DIMENSION)
    return mdp_problem(
        seed, horizon=HORIZON_OF_KAPPA, dimension=DIMENSION, actions=ACTIONS_OF_KAPPA, kappa=float(place)
    )


def effort_settings(problem: LayeredMDP, exponent: float, *, printed: bool) -> MTSSSettings:
    """Practical settings at effort `N_reg = 2^exponent`, with `N_span = N_reg/d` as in J.1.4.

    The first state has `N_span` rollouts too, as printed. With 64 of them, or `32 N_span`, they are most of the cost at
    `H = 2` and little at `H = 16`; their part grows like `H` and the rest like `H(H-1)`, and a sum of two powers looks
    like a factor a layer.
    """
    settings = replace(
        settings_for(problem),
        regression_rollouts=math.ceil(2.0**exponent),
        span_rollouts=math.ceil(2.0**exponent / problem.dimension),
        initial_rollouts=None,
    )
    return replace(settings, **AS_PRINTED) if printed else settings


def measure(point: Point) -> Numbers:
    """Cost of reaching a share of the base policy's gap; on the ladder of `kappa`, cost and gap at one effort."""
    kind, place = place_of(point.size)
    seed = derived_seed(point.seed, "problem")
    if point.learner == SEQUENCES:
        return _sequences(forks_problem(seed, horizon=place, dimension=DIMENSION), point.seed)
    problem = problem_of(kind, place, seed)
    base_gap = exact.layered_gap(problem, problem.log_base)

    @cache
    def attempt(exponent: float) -> MTSSAttempt:
        settings = effort_settings(problem, exponent, printed=point.learner == PRINTED)
        return mtss_attempt(problem, point.seed, settings)

    found = (
        (float(EFFORT_OF_KAPPA), attempt(EFFORT_OF_KAPPA))
        if kind == KAPPA
        else smallest_sufficient(attempt, SHARE * base_gap, largest=LARGEST_EFFORT)
    )
    return {
        **_costs(found, base_gap, runs_of(problem.horizon)),
        "conditional": conditional_coverage(problem),
        "log2_coverage": _log2_coverage(problem),
        "literal": literal_cost(problem),
    }


def _costs(found: tuple[float, MTSSAttempt] | None, base_gap: float, runs: int) -> Numbers:
    """Effort, share of the gap, and cost a run; `T_comp` and `T_data` as of processes and as of tokens."""
    if found is None:
        return dict.fromkeys(("effort", "share", "computation", "data", "samples", "rewards"))
    effort, best = found
    ledger = best.ledger
    return {
        "effort": effort,
        "share": best.gap / base_gap,
        "computation": ledger.computation / runs,
        "data": ledger.data / runs,
        "samples": ledger.token_computation / runs,
        "rewards": ledger.token_data / runs,
    }


@dataclass(frozen=True)
class MTSSAttempt:
    """Mean gap of the runs of one effort, and the ledger of all of them."""

    gap: float
    ledger: EpisodicLedger


def mtss_attempt(problem: LayeredMDP, seed: int, settings: MTSSSettings) -> MTSSAttempt:
    """Mean gap of several runs, each with exact sampling of what it returns, and the ledger of all."""
    gaps, ledger = [], EpisodicLedger()
    for run in range(runs_of(problem.horizon)):
        oracle = episodic_oracle(problem, seed=derived_seed(seed, f"oracle {run}"))
        gaps.append(exact.layered_gap(problem, exact.log_anchored_law(problem, mtss(oracle, settings=settings).policy)))
        ledger += oracle.ledger
    return MTSSAttempt(math.fsum(gaps) / len(gaps), ledger)


def runs_of(horizon: int) -> int:
    """Runs of an attempt."""
    return math.ceil(LAYERS / horizon)


def literal_cost(problem: LayeredMDP) -> float:
    """Most of `T_comp` that J.1.4 asks for at `c = 1` and `eps = beta^2/4`, the largest that Theorem J.1 allows."""
    settings = paper_mtss_settings(problem, eps=problem.beta**2 / 4.0)
    return float(most_of_printed_run(settings, horizon=problem.horizon, rewarded=problem.rewarded).computation)


def _sequences(problem: TokenProblem, seed: int) -> Numbers:
    """Cost of SpannerSampling on whole sequences, whose rewards have no noise: effort is `T_span` and `M`."""
    view = sequence_view(problem)
    base_gap = exact.layered_gap(problem, problem.log_base)

    @cache
    def attempt(exponent: float) -> Attempt:
        return spanner_attempt(view, seed, spanner_settings(exponent, PROMPTS_PER_TOKEN * problem.horizon))

    tight, loose = (smallest_sufficient(attempt, eps * base_gap, largest=LARGEST_SEQUENCES) for eps in (TIGHT, SHARE))
    return cost_of(tight) | {
        "loose_samples": loose and loose[1].ledger.samples,
        "log2_coverage": _log2_coverage(problem),
    }


def _log2_coverage(problem: Layered) -> float:
    """`log2 C_cov` of the optimum, the largest of all first states."""
    return float(exact.log_coverage(problem, exact.log_optimal_law(problem)).max()) / math.log(2.0)


def series_of(measured: Sequence[Measurement], kind: int, learner: str, name: str) -> Series:
    """Numbers of one name of one learner on one ladder, by place."""
    mine = [each for each in measured if place_of(each.point.size)[0] == kind]
    found = table(mine, learner, name)
    return Series(learner, np.floor(found.sizes), found.values)


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Growth in `H` of MTSS on both families, in `C_cond`, and of whole sequences in their coverage."""
    found = [
        claim
        for kind in (FORKS, MDP)
        for learner in (EXTENDED, PRINTED)
        for claim in _in_horizon(measured, kind, learner)
    ]
    for learner in (EXTENDED, PRINTED):
        found += _in_conditional_coverage(measured, learner)
    return (*found, *_whole_sequences(measured))


def _in_horizon(measured: Sequence[Measurement], kind: int, learner: str) -> Iterator[Claim]:
    cost, data = (series_of(measured, kind, learner, name) for name in ("computation", "data"))
    coverage = series_of(measured, kind, learner, "log2_coverage")
    conditional = series_of(measured, kind, learner, "conditional").values
    horizons, count = cost.sizes, int(cost.values.size)
    is_complete = bool(np.isfinite(cost.values).all()) and len(cost.values) >= 2
    words = f"{WORDS[learner]} {NAMES[kind]}"
    shown = {"T_comp": cost, "T_data": data}
    if kind == FORKS:  # where the next state is known, and not asked for
        shown["T_data of Section 5, rewards alone,"] = series_of(measured, kind, learner, "rewards")
    for name, series in shown.items():
        fitted = slope(horizons, series.values) if is_complete and len(horizons) >= 2 else None
        yield slope_claim("T5", f"{name} of {words} grows like H^slope", fitted, None, count)
    # C_cond, which on mdp is the largest of more states the more layers there are, is not what is claimed here.
    beyond = (
        slope(2.0**horizons, cost.values / conditional, covariate=horizons)
        if is_complete and len(horizons) >= 3
        else None
    )
    per_layer = _per_layer(horizons, coverage.values)
    # As printed it costs so much more that only the full profile has a ladder on which a factor can be told.
    is_long = len(horizons) >= 4 and horizons[-1] >= LONG * horizons[0]
    judged = is_long or learner == EXTENDED
    yield slope_claim(
        "T5",
        f"beside a power of H, a further layer multiplies T_comp/C_cond of {words} by 2^slope",
        beyond,
        (-math.inf, MOST_OF_COVERAGE * per_layer) if judged else None,
        count,
        f"C_cov is 2^{per_layer:.2f} a layer",
        premise=is_long,
    )


def _per_layer(horizons: FloatArray, log2_coverage: FloatArray) -> float:
    """`log2` of the factor that a further layer multiplies `C_cov` by, on the whole ladder."""
    if len(horizons) < 2:
        return math.nan
    return float(np.polyfit(horizons, log2_coverage.mean(axis=0), 1)[0])


def _in_conditional_coverage(measured: Sequence[Measurement], learner: str) -> Iterator[Claim]:
    """All at one effort, which has to suffice on every rung."""
    cost, data, conditional, share = (
        series_of(measured, KAPPA, learner, name) for name in ("computation", "data", "conditional", "share")
    )
    count = int(cost.values.size)
    # Problems of one seed differ in the length of theta* alone; the mean over seeds is a place for all of them.
    places = np.exp(np.log(conditional.values).mean(axis=0)) if count else np.empty(0)
    suffices = bool(count and (share.values <= SHARE).all()) and len(places) >= 3
    note = f"at N_reg = {2**EFFORT_OF_KAPPA}, with {share.values.max(initial=0.0):.1%} of the base gap left at most"
    for words, values in (("T_comp/C_cond", cost.values / conditional.values), ("T_data", data.values)):
        fitted = slope(places, values) if count and len(values) >= 2 and len(places) >= 2 else None
        yield slope_claim(
            "T5",
            f"{words} of {WORDS[learner]} grows like C_cond^slope, kappa of mdp varied",
            fitted,
            FREE if learner == EXTENDED or len(places) >= 3 else None,
            count,
            note,
            premise=suffices,
        )


def _whole_sequences(measured: Sequence[Measurement]) -> Iterator[Claim]:
    coverage = series_of(measured, FORKS, SEQUENCES, "log2_coverage")
    horizons = coverage.sizes
    factors = np.array([polynomial_factor(horizon) for horizon in horizons])
    for name, share, band in (("samples", TIGHT, NEAR), ("loose_samples", SHARE, None)):
        values = series_of(measured, FORKS, SEQUENCES, name).values
        is_long = bool(np.isfinite(values).all()) and len(values) >= 2 and len(horizons) >= 4
        # The family's coverage is the same for all seeds.
        fitted = slope(2.0 ** coverage.values[0], values / factors) if is_long else None
        pair = _per_pair(horizons, coverage.values[0]) if is_long else math.nan
        factor = f": 2^{fitted.estimate * pair:.2f} a pair of layers, of which C_cov has 2^{pair:.2f}" if fitted else ""
        yield slope_claim(
            "T5",
            "T_comp of sequence-level SpannerSampling on forks grows like C_cov^slope",
            fitted,
            band,
            int(values.size),
            f"for {share:.1%} of the base gap, cost at effort 1 divided out{factor}",
        )


def _per_pair(horizons: FloatArray, log2_coverage: FloatArray) -> float:
    """`log2` of the factor that two further layers multiply `C_cov` by, between even horizons."""
    even = horizons % 2 == 0
    first, *_, last = np.flatnonzero(even)
    return 2.0 * float(log2_coverage[last] - log2_coverage[first]) / float(horizons[last] - horizons[first])


def polynomial_factor(horizon: float) -> float:
    """Most samples of sequence-level SpannerSampling at effort 1: what its cost has besides coverage (S7, R1)."""
    return float(largest_cost(spanner_settings(0, PROMPTS_PER_TOKEN * int(horizon))))


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Cost against horizon on both families and against `C_cond`; and what the paper's own numbers would cost."""
    figure.set_size_inches(10.5, 8.0)
    (forks, mdp), (covered, literal) = figure.subplots(2, 2)
    for kind, axes in ((MDP, mdp), (FORKS, forks)):
        for learner in (EXTENDED, PRINTED):
            _draw_costs(axes, measured, kind, learner, lambda series: series)
    draw_series(forks, series_of(measured, FORKS, SEQUENCES, "samples"), note="$T_{comp}$, whole\nsequences, no noise")
    for learner in (EXTENDED, PRINTED):
        conditional = series_of(measured, KAPPA, learner, "conditional").values
        places = np.exp(np.log(conditional).mean(axis=0))
        _draw_costs(covered, measured, KAPPA, learner, partial(replace, sizes=places))
    cost = series_of(measured, KAPPA, EXTENDED, "computation").values
    draw_theory(covered, places, lambda c: np.median(cost[:, 0]) * c / c[0], "slope 1")
    for kind, style in ((FORKS, ":"), (MDP, (0, (1, 3)))):
        paper = series_of(measured, kind, EXTENDED, "literal")
        label = f"J.1.4 with $c = 1$,\n{NAMES[kind]}"
        literal.plot(paper.sizes, np.median(paper.values, axis=0), color="0.1", linestyle=style, label=label)
        _draw_costs(literal, measured, kind, PRINTED, lambda series: series)
    finish(forks, "forks", "horizon $H$", legend=False)
    finish(mdp, "mdp", "horizon $H$", legend=False)
    finish(covered, f"mdp, $H = {HORIZON_OF_KAPPA}$, at one $N_{{reg}}$", "$C_{cond}$", legend=False)
    finish(literal, "as printed: with the paper's settings, and measured", "horizon $H$", legend=False)
    for axes in (forks, covered):
        axes.set_ylabel("samples and features $T_{comp}$, data $T_{data}$")
    lines = {
        label: handle
        for axes in (forks, covered, literal)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(lines.values(), lines.keys(), loc="outside right center", fontsize=8)


def _draw_costs(
    axes: Any, measured: Sequence[Measurement], kind: int, learner: str, moved: Callable[[Series], Series]
) -> None:
    """`T_comp` in the learner's own style, and `T_data` in a paler one."""
    draw_series(axes, moved(series_of(measured, kind, learner, "computation")), note="$T_{comp}$")
    style = replace(STYLES[learner], colour=PALE[learner])
    draw_series(axes, moved(series_of(measured, kind, learner, "data")), note="$T_{data}$", style=style)


PALE = MappingProxyType({EXTENDED: "#80CFB9", PRINTED: "#E5BCD3"})

STUDY = Study(
    name="multi-turn",
    title="What horizon costs",
    guarantees=("T5",),
    statement=(
        "exploring layer by layer replaces coverage of trajectories by that of actions: T_comp is a power of H and "
        "C_cond [paper: FMR25 Theorem 5.1, p. 13, and Algorithm 4, p. 77; families are ours]"
    ),
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"Rewards with noise, d = {DIMENSION} a layer. N_reg of MTSS, and N_span = N_reg/d with it, grows until "
    f"the mean gap of {LAYERS}/H runs is at most {SHARE:.0%} of the base policy's (below left it is fixed); all else "
    "is as in practical settings, but for N_span rollouts of the first state. As printed means the options of "
    "Algorithms 4 to 6, but for a stop at the first certain iteration, line 12 at nu^2, and line 5 of Algorithm 5 "
    f"inside the loop. Whole sequences: SpannerSampling without noise to {TIGHT:.1%} of the base policy's gap. "
    "Medians; bars hold the middle half of the seeds.",
)
