"""E3, E4: without truncation the coverage of a round's policy explodes; with it, rejection sampling stays cheap.

The witness of E4 is one round of phase 2. Before it the learner has asked about one pair `(c, a)` whose features differ
by `eta` alone, and the noise gave it the largest reward difference there is. The fit then points at full length towards
a response `z` that the base policy hardly knows, though in truth all responses earn the same and `C(pi*) = 1`. Every
number of this study is exact; a seed only draws `B`, `eta` and `R_max`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from spanver.exact.tabular import log_coverage, log_law, log_laws_given_anchors, log_optimal_law, log_ratio
from spanver.guarantees.exploration import (
    confidence_radius,
    log_truncated_coverage,
    log_untruncated_coverage,
    score_error_premise,
)
from spanver.kernels import elliptic_norms, fit
from spanver.policies import LinearSoftmax, TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.studies.engine.figures import draw_series, draw_theory, finish
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Series, Study, ladder, table
from spanver.values import FloatArray
from spanver.verdicts import Verdict

DELTA = 0.05  # of E1
LADDERS = {"quick": (1.0, 5), "full": (0.25, 20)}  # step of log2 B/beta, and seeds
LARGEST = 13.25  # log2 of the largest B/beta, near 1e4
ROUNDING = 1e-9  # of logs, relative to their size
A, C, Z = range(3)


def points(profile: str) -> tuple[Point, ...]:
    """Ladder of `log2 B/beta`."""
    step, seeds = LADDERS[profile]
    sizes = np.arange(0.0, LARGEST + step / 2, step)
    return ladder("truncation", ["spanner_sampling"], sizes, seeds)


def witness(seed: int, ratio: float) -> TabularProblem:
    """E4's witness with `B/beta = ratio`: three responses `a`, `c`, `z` that earn 0, with noise of length `R_max`."""
    generator = stream(seed, "truncation witness")
    radius = float(generator.uniform(0.5, 2.0))
    beta = radius / ratio
    eta = 0.1 * float(generator.uniform(0.01, 1.0)) / ratio  # eta B/beta <= .1
    reward_range = float(generator.uniform(eta * radius, 1.0))
    log_rare = math.log(0.01) - ratio
    log_base = np.array([[math.log(0.6 - math.exp(log_rare)), math.log(0.4), log_rare]])
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=log_base,
        features=np.array([[[0.0, 0.0], [0.0, eta], [0.0, 1.0]]]),
        reward=np.zeros((1, 3)),
        beta=beta,
        radius=radius,
        reward_range=reward_range,
        reward_low=np.array([-reward_range / 2]),
        noise=1.0,
        theta_star=np.zeros(2),
        name="truncation witness",
    )


def measure(point: Point) -> Numbers:
    """Log coverages of the round's policy, with their bounds and whether the premises of E3 and E4 hold."""
    problem = witness(point.seed, 2.0**point.size)
    vector = problem.features[0, C] - problem.features[0, A]
    theta = fit(vector[None, :], np.array([problem.reward_range]), problem.radius)
    ridge = problem.reward_range**2 / problem.radius**2
    sigma = ridge * np.eye(2) + np.outer(vector, vector)
    log_det_ratio = float(np.linalg.slogdet(sigma / ridge)[1])
    gamma = confidence_radius(ridge, problem.radius, problem.reward_range, DELTA, log_det_ratio)
    nu = problem.beta / (2.0 * gamma)
    precision = np.eye(2) / ridge
    # The pair is certain under lambda I, so phase 1 accepts nothing and Sigma_span = lambda I.
    spanner_is_empty = float(elliptic_norms(vector, ridge * np.eye(2))) <= nu
    is_confident = math.sqrt(theta @ sigma @ theta) <= gamma

    scores = problem.features[0] @ theta
    policy = TruncatedSoftmax(theta, precision, nu)
    optimum = log_optimal_law(problem)
    seconds = np.arange(3)
    truncated = log_ratio(log_laws_given_anchors(problem, policy, 0, seconds), problem.log_base)
    optimal = max(0.0, float(log_coverage(problem, optimum)[0]))
    bounds = np.array(
        [log_truncated_coverage(optimal, _covered(problem, policy, optimum[0], y), 0.5) for y in range(3)]
    )
    worst = int(np.argmax(truncated - bounds))
    return {
        "premise": int(spanner_is_empty and is_confident and score_error_premise(nu, gamma, problem.beta)),
        "optimal": optimal,
        "untruncated": float(log_coverage(problem, log_law(problem, LinearSoftmax(theta)))[0]),
        "untruncated_bound": log_untruncated_coverage(float(np.ptp(scores)), problem.beta),
        "truncated": float(truncated.max()),
        "truncated_worst": float(truncated[worst]),
        "truncated_bound": float(bounds[worst]),
    }


def _covered(problem: TabularProblem, policy: TruncatedSoftmax, log_optimum: FloatArray, second: int) -> float:
    """`pi*(covered | y')`."""
    vectors = problem.features[0] - problem.features[0, second]
    covered = elliptic_norms(vectors, np.linalg.inv(policy.precision)) <= policy.nu
    return min(1.0, float(np.exp(log_optimum[covered]).sum()))


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Exact claims: at every point, or not."""
    rows = [{name: float(number or 0.0) for name, number in each.numbers.items()} for each in measured]
    given = [row for row in rows if row["premise"] and row["optimal"] <= ROUNDING]

    def verdict(kept: Sequence[bool]) -> Verdict:
        if not all(kept):
            return Verdict.VIOLATED
        return Verdict.HOLDS if kept and len(given) == len(rows) else Verdict.UNDECIDED

    exploded = [row["untruncated"] > row["untruncated_bound"] for row in given]
    cheap = [row["truncated_worst"] <= row["truncated_bound"] * (1.0 + ROUNDING) for row in given]
    note = f"premises hold at {len(given)} of {len(rows)} points"
    return (
        Claim(
            "E4", "without truncation C(pi_t|x,y') exceeds .9 exp(osc(f_t)/beta) while C(pi*) = 1",
            verdict(exploded), points=len(rows), note=note,
        ),
        Claim(
            "E3", "with truncation C(pi_t|x,y') is at most e C(pi*|x)/pi*(covered|x,y')",
            verdict(cheap), points=len(rows), note=note,
        ),
    )  # fmt: skip


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """Log coverage with and without truncation; beside it coverage with truncation, on a linear scale."""
    left, right = figure.subplots(1, 2)
    truncated, untruncated = (table(measured, "spanner_sampling", name) for name in ("truncated", "untruncated"))
    sizes = 2.0**truncated.sizes
    for axes, values, learner in (
        (left, untruncated.values, "untruncated"),
        (left, truncated.values, "truncated"),
        (right, np.exp(truncated.values), "truncated"),
    ):
        draw_series(axes, Series(learner, sizes, values))
    draw_theory(left, sizes, lambda ratio: math.log(0.9) + ratio, "E4: more than log(.9 exp(osc/beta))")
    left.axhline(1.0, color="0.35", linestyle=":", linewidth=1.2, label="E3: at most log e")
    left.set_ylim(0.003, 2.0 * float(sizes[-1]))
    left.set_ylabel("log of the coverage of the round's policy")
    right.axhline(math.e, color="0.35", linestyle=":", linewidth=1.2, label="E3: at most e")
    right.axhline(1.0, color="0.35", linestyle="-.", linewidth=1.0, label="C(pi*), the least there is")
    right.set_ylim(0.8, 3.0)
    right.set_ylabel("coverage of the round's policy")
    finish(left, "with and without truncation", "$B/\\beta$")
    finish(right, "with truncation, on a linear scale", "$B/\\beta$", y="linear")


STUDY = Study(
    name="truncation",
    title="Why scores are truncated",
    guarantees=("E3", "E4"),
    statement=(
        "truncation to what the spanner covers keeps rejection sampling cheap [paper, repaired: FMR25 Lemma "
        "G.6, p. 47; the witness is ours]"
    ),
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption="The witness of E4: all three responses earn the same, C(pi*) = 1, one pair has been asked, and the "
    "confidence set holds the truth. Exact coverage, largest over y'; bars hold the middle half of seeds, which "
    "draw B, eta and R_max.",
)
