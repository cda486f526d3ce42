"""O2: counted and literal runs have one law, end to end, while what has to be drawn differs by any factor.

Both oracles run the same learner on the same kind of problem. Where the literal oracle still ends, the two laws of
(samples asked, size of the spanner, last theta) are compared; beyond, only the counted oracle goes on. Cost is counted,
not timed: samples that the ledger charges, and responses that were really handed to the learner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from scipy.special import stdtrit

from spanver.evidence import log_e_same_law, min_discrepancy_same_law, split_alpha
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.oracle import Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.randomness import derived_seed
from spanver.studies.engine.figures import draw_theory, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Study, ladder
from spanver.studies.entrants import STYLES
from spanver.values import Counts, FloatArray, IntArray, Prompt, Responses, Rule, SearchResult
from spanver.verdicts import Verdict

RUNS = 64  # of a point
ALPHA = 1e-6  # of the study, divided over its tests
PARTS = 8  # categories of each test; with no more, every event is tested
ORACLES = MappingProxyType({"counted": counted_oracle, "literal": literal_oracle})
# log2 coverages of both oracles, points at each, log2 coverages of the counted one alone; a total variation that has to
# be caught with probability .99.
LADDERS: Mapping[str, tuple[tuple[int, ...], int, tuple[int, ...]]] = MappingProxyType(
    {"quick": ((1, 4, 8), 18, (16, 24, 32, 40)), "full": (tuple(range(1, 9)), 96, tuple(range(10, 41, 2)))}
)
DISCREPANCY = 0.25
SEEN = ("samples", "spanner", "theta")


def points(profile: str) -> tuple[Point, ...]:
    """Many points at coverages where both oracles run, one at each of the others."""
    both, many, alone = LADDERS[profile]
    return ladder("counting", ORACLES, both, many) + ladder("counting", ["counted"], alone, 1)


def settings(coverage: float) -> Settings:
    """Settings under which both phases meet the needle in some runs and miss it in others."""
    return Settings(
        prompts=4,
        pairs_per_prompt=math.ceil(coverage / 4),
        nu=0.5,
        ridge=1.0,
        exploration_rounds=4,
        rejection_multiplier=max(1.0, coverage / 2),
        rejection_failure=0.2,
    )


def measure(point: Point) -> Numbers:
    """Of each of many runs what is compared, and on the whole what was charged and what was returned."""
    coverage = 2.0**point.size
    problem = covered_needle_problem(3, coverage=coverage, prompts=2, responses=6, dimension=3, beta=0.03)
    numbers: dict[str, float | int | None] = {}
    handed = 0
    for run in range(RUNS):
        # The two oracles share no randomness: their samples are independent.
        own = derived_seed(point.seed, f"{point.learner} run {run}")
        inner = ORACLES[point.learner](problem, seed=derived_seed(own, "oracle"))
        oracle = _Counting(inner)
        learner = derived_seed(own, "learner")
        trace = spanner_sampling(cast(Oracle, oracle), seed=learner, settings=settings(coverage)).trace
        numbers[f"samples_{run}"] = inner.ledger.samples
        numbers[f"spanner_{run}"] = trace.spanner.size
        numbers[f"theta_{run}"] = float(trace.exploration.thetas[-1, -1])
        handed += oracle.handed
    drawn = sum(int(numbers[f"samples_{run}"] or 0) for run in range(RUNS))
    return numbers | {"drawn": (drawn if point.learner == "literal" else handed) / RUNS}


class _Counting:
    """An oracle that counts the responses in its answers: all that the counted oracle draws, up to a few numbers."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.handed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        answer = self._oracle.sample(prompt, count, theta=theta)
        self.handed += len(answer.ids)
        return answer

    def sample_counts(self, prompt: Prompt, count: int) -> Counts:
        answer = self._oracle.sample_counts(prompt, count)
        self.handed += len(answer.responses.ids)
        return answer

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int) -> SearchResult:
        answer = self._oracle.sample_until(prompt, rule, limit)
        self.handed += 0 if answer.responses is None else len(answer.responses.ids)
        return answer


def _runs(measured: Sequence[Measurement], oracle: str, size: float) -> FloatArray:
    """What is compared of every run of an oracle at one coverage, shape (runs, 3), in a fixed order."""
    mine = sorted((each for each in measured if (each.point.learner, each.point.size) == (oracle, size)), key=_seed)
    rows = [[float(each.numbers[f"{name}_{run}"] or 0.0) for name in SEEN] for each in mine for run in range(RUNS)]
    return np.array(rows).reshape(-1, len(SEEN))


def _seed(measured: Measurement) -> int:
    return measured.point.seed


def _sizes(measured: Sequence[Measurement], oracle: str) -> list[float]:
    return sorted({each.point.size for each in measured if each.point.learner == oracle})


def _categories(first: FloatArray, second: FloatArray, parts: int) -> tuple[IntArray, IntArray]:
    """Which part of the pooled values each lies in: swapping a pair changes no part, which is all that a test needs."""
    edges = np.unique(np.quantile(np.concatenate([first, second]), np.arange(1, parts) / parts, method="lower"))
    return np.searchsorted(edges, first), np.searchsorted(edges, second)


def _joint(first: FloatArray, second: FloatArray) -> tuple[IntArray, IntArray]:
    """Every number of a run above its pooled median or not."""
    one, two = np.zeros(len(first), dtype=np.int64), np.zeros(len(second), dtype=np.int64)
    for column in range(len(SEEN)):
        above_one, above_two = _categories(first[:, column], second[:, column], 2)
        one, two = 2 * one + above_one, 2 * two + above_two
    return one, two


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Whether two samples follow one law, by e-values at every coverage."""
    sizes = [size for size in _sizes(measured, "literal") if size in _sizes(measured, "counted")]
    tests: dict[str, list[tuple[IntArray, IntArray]]] = {"joint": [], "samples": []}
    for size in sizes:
        one, two = _runs(measured, "counted", size), _runs(measured, "literal", size)
        both = min(len(one), len(two))
        tests["joint"].append(_joint(one[:both], two[:both]))
        tests["samples"].append(_categories(one[:both, 0], two[:both, 0], PARTS))
    alpha = split_alpha(ALPHA, len(tests), max(1, len(sizes)))
    return (
        _claim(
            "counted and literal runs have one law of (samples, size of spanner, last theta)", tests["joint"], alpha
        ),
        _claim("counted and literal runs ask for samples by one law", tests["samples"], alpha),
    )


def _claim(words: str, tests: Sequence[tuple[IntArray, IntArray]], alpha: float) -> Claim:
    runs = sum(len(one) for one, _ in tests)
    if not tests:
        return Claim("O2", words, Verdict.UNDECIDED)
    evidence = max(log_e_same_law(one, two, PARTS) for one, two in tests)
    caught = max(min_discrepancy_same_law(PARTS, len(one), alpha=alpha) for one, _ in tests)
    if evidence >= -math.log(alpha):
        verdict = Verdict.VIOLATED
    else:
        verdict = Verdict.HOLDS if caught <= DISCREPANCY else Verdict.UNDECIDED
    note = (
        f"largest log e-value {evidence:.2f}, rejected from {-math.log(alpha):.1f}; a total variation of {caught:.2f} "
        f"is caught with probability .99, {DISCREPANCY} has to be"
    )
    return Claim("O2", words, verdict, points=2 * runs, note=note)


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Samples charged where both run, and charged against returned on the whole ladder."""
    left, right = figure.subplots(1, 2)
    literal = _sizes(measured, "literal")
    for oracle, shift in (("counted", 0.96), ("literal", 1.04)):
        # On a logarithmic axis no interval could be seen.
        relative = [
            _runs(measured, oracle, size)[:, 0] / _runs(measured, "literal", size)[:, 0].mean() for size in literal
        ]
        _draw_means(left, oracle, shift * 2.0 ** np.array(literal), relative, STYLES[oracle].label, linestyle="none")
        sizes = _sizes(measured, oracle)
        charged = [_runs(measured, oracle, size)[:, 0] for size in sizes]
        if oracle == "counted":
            _draw_means(right, oracle, 2.0 ** np.array(sizes), charged, "counted: charged")
        label = "counted: really drawn" if oracle == "counted" else "literal: charged and drawn"
        drawn = [np.array([each.numbers["drawn"] for each in measured if _is(each, oracle, size)]) for size in sizes]
        _draw_means(right, oracle, 2.0 ** np.array(sizes), drawn, label, linestyle=":")
    left.axhline(1.0, color="0.35", linestyle="--", linewidth=1.0, label="O2: the same law")
    left.set_ylabel("mean over that of the literal oracle")
    compared = _sizes(measured, "counted")
    if compared:
        last, end = 2.0 ** compared[-1], float(_runs(measured, "counted", compared[-1])[:, 0].mean())
        draw_theory(right, 2.0 ** np.array(compared), lambda c: end * c / last, "slope 1")
    right.set_ylabel("answers a run")
    finish(left, "samples asked, $T_{comp}$, by both oracles", "coverage $C(\\pi^*)$", y="linear")
    finish(right, "charged, and really drawn", "coverage $C(\\pi^*)$")


def _is(measured: Measurement, oracle: str, size: float) -> bool:
    return (measured.point.learner, measured.point.size) == (oracle, size)


def _draw_means(
    axes: Any, oracle: str, sizes: FloatArray, values: Sequence[FloatArray], label: str, *, linestyle: str = "-"
) -> None:
    """Means with Student's interval of level .95; none from a single value."""
    style = STYLES[oracle]
    means = [float(each.mean()) for each in values]
    spreads = [
        float(stdtrit(each.size - 1, 0.975) * each.std(ddof=1) / math.sqrt(each.size)) if each.size > 1 else 0.0
        for each in values
    ]
    axes.errorbar(
        sizes, means, yerr=spreads, color=style.colour, marker=style.marker, markersize=4, capsize=2, linewidth=1.2,
        linestyle=linestyle, label=label, markerfacecolor="white" if linestyle == ":" else style.colour,
    )  # fmt: skip


STUDY = Study(
    name="counting",
    title="Counting answers instead of drawing them",
    guarantees=("O2",),
    statement="an extension: answers that a learner throws away need never be drawn, and the run keeps its law",
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"SpannerSampling on one covered needle for each coverage, |Y| = 6, d = 3, T_span = C/4, M = C/2, {RUNS} "
    "runs a point, so that some meet the needle. Means of runs (drawn answers: of points) with .95 intervals.",
)
