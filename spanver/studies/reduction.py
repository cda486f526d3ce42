"""H1: proper learners decide about ten formulas, with all rewards 0, beside the values of these.

That NO is never wrong is exact. That YES comes with probability 1/4 is promised where the learner learns from true
rewards, with as few queries: whether it does is measured, on the same formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from spanver.evidence import log_e_mean, split_alpha
from spanver.exact.tabular import gap, log_law
from spanver.guarantees.proper import decision_threshold, most_rewards, reduction_parameters
from spanver.learners.exhaustive import exhaustive_search
from spanver.learners.online_dpo import online_dpo
from spanver.learners.xpo import xpo
from spanver.oracle import Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.proper import ProperOracle
from spanver.policies import LinearSoftmax
from spanver.problems.families.max_k_dnf import dnf_problem
from spanver.problems.formulas import (
    Formula,
    best_assignment,
    complete_formula,
    hadamard_formula,
    planted_formula,
    random_formula,
    serially_repeated,
)
from spanver.randomness import derived_seed, stream
from spanver.reduction import decide
from spanver.studies.engine.figures import draw_chances
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Study, ladder
from spanver.studies.entrants import STYLES
from spanver.values import FloatArray
from spanver.verdicts import Verdict

DELTA, REWARDS = 0.5, 64
RUNS = 8  # of a point, of each kind
ALPHA = 1e-6  # of the study, divided over its tests
PREMISE = 1e-3  # level at which a learner is seen to learn from a formula, so that its answers are judged
SEEDS = MappingProxyType({"quick": 4, "full": 6})

Make = Callable[[], Formula]


def _planted(seed: int, variables: int, literals: int, clauses: int) -> Formula:
    found, _ = planted_formula(stream(seed, "planted"), variables=variables, literals=literals, clauses=clauses)
    return found


def _hadamard(seed: int, variables: int, literals: int, constraints: int) -> Formula:
    generator = stream(seed, "hadamard")
    return hadamard_formula(generator, variables=variables, literals=literals, constraints=constraints)[0]


def _two_planted(seed: int) -> Formula:
    """Half of the clauses by one planted assignment, half by another."""
    one, two = _planted(seed, 9, 8, 30), _planted(seed + 1, 9, 8, 30)
    return Formula(9, one.clauses + two.clauses)


FORMULAS: Mapping[str, Make] = MappingProxyType(
    {
        "planted, k = 4": lambda: _planted(1, 8, 4, 20),
        "planted, k = 8": lambda: _planted(2, 9, 8, 64),
        "planted, twice": lambda: serially_repeated(_planted(3, 8, 4, 12), 2),
        "two planted": lambda: _two_planted(4),
        "Hadamard, k = 7": lambda: _hadamard(6, 8, 7, 12),
        "Hadamard, three times": lambda: serially_repeated(_hadamard(7, 6, 3, 3), 3),
        "random, k = 8": lambda: random_formula(stream(8, "random"), variables=8, literals=8, clauses=256),
        "complete, four times": lambda: serially_repeated(complete_formula(3), 4),
        "complete, twice": lambda: serially_repeated(complete_formula(6), 2),
        "complete, three times": lambda: serially_repeated(complete_formula(4), 3),
    }
)
"""Ten formulas: four of a value of at least `delta m`, three in between, and three of at most `delta m/(16 T)`."""

LEARNERS: Mapping[str, Callable[[Oracle], FloatArray]] = MappingProxyType(
    {
        "exhaustive": lambda oracle: exhaustive_search(oracle, rounds=REWARDS // 2, draws=32, seed=0).policy.theta,
        "online_dpo": lambda oracle: online_dpo(oracle, rounds=REWARDS // 2, seed=0).policy.theta,
        "xpo": lambda oracle: (
            xpo(
                oracle, rounds=REWARDS // 2, alpha=oracle.beta / math.sqrt(REWARDS // 2), partition_samples=64, seed=0
            ).policy.theta
        ),
    }
)
"""Proper learners of `REWARDS` queries, none of which has randomness of its own."""


@cache
def formula(index: int) -> Formula:
    """Return a formula by its place among the ten."""
    return list(FORMULAS.values())[index]()


@cache
def value(index: int) -> int:
    """Most clauses of a formula that an assignment satisfies."""
    return int(formula(index).satisfied(best_assignment(formula(index))))


def kind(index: int) -> str:
    """What H1 says of a formula: `YES`, `NO`, or nothing."""
    clauses = len(formula(index).clauses)
    if value(index) >= DELTA * clauses and most_rewards(formula(index).literals, DELTA) >= REWARDS:
        return "YES"
    return "NO" if value(index) <= decision_threshold(clauses, DELTA, REWARDS) else ""


def points(profile: str) -> tuple[Point, ...]:
    """Every learner on every formula."""
    return ladder("reduction", LEARNERS, range(len(FORMULAS)), SEEDS[profile])


def measure(point: Point) -> Numbers:
    """How often a learner answers YES with rewards 0, and how often its gap is small with the true ones."""
    index, learner = int(point.size), LEARNERS[point.learner]
    own = formula(index)
    beta, eps = reduction_parameters(own.literals, DELTA)
    problem = dnf_problem(own, best_assignment(own), beta=beta)
    yes = learned = 0
    for run in range(RUNS):
        seed = derived_seed(point.seed, f"run {run}")
        decision = decide(own, learner, delta=DELTA, rewards=REWARDS, seed=derived_seed(seed, "zero rewards"))
        yes += decision.yes
        oracle = cast(Oracle, ProperOracle(counted_oracle(problem, seed=derived_seed(seed, "true rewards"))))
        learned += gap(problem, log_law(problem, LinearSoftmax(learner(oracle)))) <= eps
    return {"yes": yes, "learned": learned, "runs": RUNS}


def _counts(measured: Sequence[Measurement], learner: str, index: int, name: str) -> tuple[int, int]:
    mine = [each.numbers for each in measured if (each.point.learner, each.point.size) == (learner, float(index))]
    return sum(int(each[name] or 0) for each in mine), sum(int(each["runs"] or 0) for each in mine)


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Of every learner: NO is never wrong; and YES comes as often as promised where the learner learns."""
    negative = [index for index in range(len(FORMULAS)) if kind(index) == "NO"]
    positive = [index for index in range(len(FORMULAS)) if kind(index) == "YES"]
    alpha = split_alpha(ALPHA, len(LEARNERS) * len(positive), 2)
    return (
        *(_no(measured, learner, negative) for learner in LEARNERS),
        *(_yes(measured, learner, positive, alpha) for learner in LEARNERS),
    )


def _no(measured: Sequence[Measurement], learner: str, formulas: Sequence[int]) -> Claim:
    counts = [_counts(measured, learner, index, "yes") for index in formulas]
    wrong, runs = sum(yes for yes, _ in counts), sum(runs for _, runs in counts)
    words = f"{STYLES[learner].label} answers NO wherever val <= delta m/(16 T)"
    verdict = Verdict.UNDECIDED if runs == 0 else Verdict.VIOLATED if wrong else Verdict.HOLDS
    return Claim("H1", words, verdict, points=runs, note=f"{wrong} of {runs} answers are YES")


def _yes(measured: Sequence[Measurement], learner: str, formulas: Sequence[int], alpha: float) -> Claim:
    """Judged on the formulas on which the learner was seen to learn more often than in 3 of 4 runs."""
    level = -math.log(alpha)
    verdict, runs, notes = Verdict.UNDECIDED, 0, []
    for index in formulas:
        (yes, count), (learned, of) = (_counts(measured, learner, index, name) for name in ("yes", "learned"))
        notes.append(f"{yes} YES and {learned} small gaps in {count}")
        if log_e_mean(learned, of, 0.75) < -math.log(PREMISE):
            continue
        runs += count
        if log_e_mean(count - yes, count, 0.75) >= level:
            verdict = Verdict.VIOLATED
        elif verdict is Verdict.UNDECIDED and log_e_mean(yes, count, 0.25) >= level:
            verdict = Verdict.HOLDS
    words = f"{STYLES[learner].label} answers YES with probability 1/4 wherever val >= delta m and it learns"
    if runs == 0:
        # A learner that does not learn is promised nothing, and none of its answers can be wrong.
        return Claim("H1", words, None, points=0, note="it learns from none: " + "; ".join(notes))
    return Claim("H1", words, verdict, points=runs, note="; ".join(notes))


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Shares of answers YES, and of small gaps with true rewards, a column a formula."""
    top, bottom = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(FORMULAS), dtype=np.float64)
    for axes, name, words in ((top, "yes", "answers YES\n(rewards 0)"), (bottom, "learned", "gap at most eps\n(true)")):
        for shift, learner in enumerate(LEARNERS):
            counts = np.array([_counts(measured, learner, index, name) for index in range(len(FORMULAS))])
            if counts[:, 1].all():
                draw_chances(axes, learner, places + 0.15 * (shift - 1), counts)
        axes.set_ylim(-0.05, 1.05)
        axes.set_ylabel(words, fontsize=9)
        axes.grid(alpha=0.3)
    top.axhline(0.25, color="0.35", linestyle="--", linewidth=1.0, label="promised: 1/4")
    bottom.axhline(0.75, color="0.35", linestyle=":", linewidth=1.2, label="premise: 3/4")
    names = [name.replace(", ", ",\n") for name in FORMULAS]
    labels = [f"{name}\nval {value(i)}/{len(formula(i).clauses)}\n{kind(i) or '-'}" for i, name in enumerate(names)]
    bottom.set_xticks(places, labels, fontsize=6.5)
    lines = [axes.get_legend_handles_labels() for axes in (bottom, top)]
    shown = {label: handle for handles, words in lines for handle, label in zip(handles, words, strict=True)}
    figure.legend(shown.values(), shown.keys(), loc="outside right center", fontsize=8)


STUDY = Study(
    name="reduction",
    title="Proper learners as decision procedures for Max-k-DNF",
    guarantees=("H1",),
    statement="any proper learner becomes a decision procedure [paper, repaired: FMR25 Lemma H.1, p. 61]",
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption=f"Ten formulas, delta = {DELTA}, T = {REWARDS} reward queries, beta(k, delta) of each. Below each its "
    "value, by trying all assignments, and H1's answer: YES if it is at least delta m, NO if it is at most "
    "delta m/(16 T), - if nothing is promised. Bars: .95 intervals of shares.",
)
