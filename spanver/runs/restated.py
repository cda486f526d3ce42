"""What `certify` finds where a record states a number twice, or next to what it is computed from, and needs no problem.

Curves, gap, gain and their intervals agree with each other; the premise of E8 follows from the data. Bounds on rounding
count the operations of both ways (`gamma`); where both are one operation on the same floats there is none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from spanver.guarantees.exploration import confidence_radius, score_error
from spanver.guarantees.rounding import gamma
from spanver.guarantees.sampler import race_samples
from spanver.oracle import Ledger
from spanver.parameter_sets import distance
from spanver.runs.costs import Findings
from spanver.runs.evaluation import DRAWS, EVALUATION_PROMPTS
from spanver.runs.records import Record, Rounds, Sampled
from spanver.validation import ROUNDING

LARGEST_SEARCHED = 16
"""Most dimensions of exhaustive search."""
CORNERS_TIE = 1e-9
"""Sums of squares that are as near as this are equal to exhaustive search."""


def restated(record: Record, did: Sampled) -> Findings:
    """What the record of a run of SpannerSampling states twice."""
    yield from _curves(record, did)
    yield from _estimates(record)
    yield from _evaluation_ledger(record)
    yield from _coverage_reached(record)
    yield from _premise(record, did)
    kind = "exact" if record.summary["gap"]["exact"] else "estimated"
    premise = ", and nu gamma is that of the data" if record.plan.settings.feedback == "reward" else ""
    return f"the {kind} gap ends its curve of {len(did.rounds)} points{premise}"


def _curves(record: Record, did: Sampled) -> Iterator[str]:
    """Gap and curves: mixtures end at the gap, and begin with the first policy."""
    gap, rounds, last = record.summary["gap"], did.rounds, record.summary["settings"]["exploration_rounds"]
    if gap["exact"] or record.plan.problem == "text":
        if not np.array_equal(rounds, np.arange(1, last + 1)):
            yield f"the curves have {len(rounds)} points, not one for each of {last} rounds"
    elif np.any(np.diff(rounds) < 0) or rounds[0] < 1 or rounds[-1] > last:
        yield f"the curves are at rounds {rounds[0]} to {rounds[-1]}, not in order among {last}"
    if gap["exact"]:
        off = 0.0
        if did.mixture_gaps[0] != did.round_gaps[0]:
            yield f"the first mixture has gap {did.mixture_gaps[0]:.9g}, but its policy {did.round_gaps[0]:.9g}"
    else:
        off = _rounding_of_estimate(record)
        counts = np.arange(1, len(rounds) + 1)
        size = np.cumsum(np.abs(did.round_gaps)) / counts
        means = np.cumsum(did.round_gaps) / counts
        wrong = np.flatnonzero(~(np.abs(did.mixture_gaps - means) <= gamma(2 * len(rounds) + 4) * size))
        for index in wrong:
            yield f"mixture_gaps {index + 1} is {did.mixture_gaps[index]:.9g}, but rounds have mean {means[index]:.9g}"
    if not abs(gap["value"] - did.mixture_gaps[-1]) <= off:
        yield f"the gap is {gap['value']:.9g}, but its curve ends at {did.mixture_gaps[-1]:.9g}"


def _rounding_of_estimate(record: Record) -> float:
    """How far an estimated gap may be off the end of its curve: the same sums in another order.

    On a table of `DRAWS` numbers that are not negative; on text of objectives, in `[-R_max - beta log n, R_max]` for
    pools of `n`, and of rewards.
    """
    problem, settings = record.summary["problem"], record.summary["settings"]
    if record.plan.problem != "text":
        return 2.0 * gamma(DRAWS + 32) * abs(record.summary["gap"]["value"])
    size = 6.0 * problem["reward_range"] + 2.0 * problem["beta"] * math.log(_pool(settings))
    return gamma(settings["exploration_rounds"] + EVALUATION_PROMPTS + 8) * size


def _pool(settings: Mapping[str, Any]) -> int:
    return race_samples(settings["rejection_multiplier"], settings["rejection_failure"])


def _estimates(record: Record) -> Iterator[str]:
    """Gap and gain add up to the gap of the base policy, and each lies in the middle of its interval."""
    base, gap, gain = (record.summary[name] for name in ("base_gap", "gap", "improvement"))
    is_text = record.plan.problem == "text"
    if gap["exact"] != gain["exact"] or (is_text and gap["exact"]):
        yield "gap and gain are both exact or both estimated, and on text they are estimated"
    if is_text:  # the gain is what was measured, and the gap has no interval
        name, stated, expected = "gap", gap, {"value": base - gain["value"], "low": None, "high": None}
    else:
        name, stated = "improvement", gain
        ends = {"value": gap["value"], "low": gap["high"], "high": gap["low"]}
        expected = {end: None if of_gap is None else base - of_gap for end, of_gap in ends.items()}
    for end, number in expected.items():
        if stated[end] != number:
            yield f"{name}.{end} is {stated[end]}, but base_gap less that of the other is {number}"
    for name, each in (("improvement", gain),) if is_text else (("gap", gap), ("improvement", gain)):
        yield from _off_centre(name, each, base)


def _off_centre(name: str, estimate: Mapping[str, Any], base_gap: float) -> Iterator[str]:
    """An interval without its value in the middle; its ends were rounded before they were taken from `base_gap`."""
    low, value, high = estimate["low"], estimate["value"], estimate["high"]
    if low is None:
        yield f"{name} has no interval"
        return
    off = gamma(4) * (abs(low) + 2.0 * abs(value) + abs(high) + 4.0 * abs(base_gap))
    if not (low <= value <= high and abs(low + high - 2.0 * value) <= off) or (estimate["exact"] and low != high):
        yield f"{name} is {value:.9g}, but its interval is [{low:.9g}, {high:.9g}]"


def _evaluation_ledger(record: Record) -> Iterator[str]:
    """On text, a pool and a second response of every prompt, and its anchor; on a table nothing is asked."""
    prompts = EVALUATION_PROMPTS if record.plan.problem == "text" else 0
    answers = prompts * (_pool(record.summary["settings"]) + 1)
    anchors = prompts if record.plan.settings.anchor == "fixed" else 0
    stated, expected = record.summary["evaluation"]["ledger"], asdict(Ledger(answers + anchors, answers))
    if stated != expected:
        yield f"the record states {stated} as the cost of its evaluation, but it is {expected}"


def _coverage_reached(record: Record) -> Iterator[str]:
    """Stages are for coverages that are powers of 2; only runs with a budget have any."""
    reached = record.summary["coverage_reached"]
    staged = record.plan.budget is not None
    if (reached is not None) != staged or (staged and not (reached >= 1.0 and math.frexp(reached)[0] == 0.5)):
        yield f"the record states coverage_reached {reached}, but stages are for 1, 2, 4, .. where there is a budget"


def _premise(record: Record, did: Sampled) -> Iterator[str]:
    """E2: `nu gamma` from singular values of the data; a change of `Sigma` moves `log det` by at most `tr Sigma^-1`."""
    settings, problem = record.summary["settings"], record.summary["problem"]
    limit = record.summary["bounds"]["score_error_limit"]
    if limit != problem["beta"]:
        yield f"the record states {limit} as the limit of nu gamma, but it is beta = {problem['beta']}"
    if record.plan.settings.feedback == "preference":
        return
    ridge, spanner = settings["ridge"], did.trace.spanner
    data = np.concatenate([spanner.vectors, did.trace.exploration.vectors])
    dimension = data.shape[1]
    squares = np.zeros(dimension)
    found = np.linalg.svd(data, compute_uv=False) ** 2
    squares[: len(found)] = found
    log_det = float(np.log1p(squares / ridge).sum())
    trace = float(squares.sum()) + dimension * ridge
    off = 2.0 * gamma(len(data) + dimension**2 + 8) * trace * float((1.0 / (ridge + squares)).sum())
    off += 2.0 * gamma(4 * dimension) * dimension * (abs(math.log(ridge)) + math.log(trace))
    low, high = (
        score_error(
            settings["nu"],
            confidence_radius(ridge, problem["radius"], problem["reward_range"], record.plan.delta, max(0.0, bound)),
        )
        for bound in (log_det - off, log_det + off)
    )
    stated = record.summary["bounds"]["score_error"]
    slack = gamma(16)
    if not low * (1.0 - slack) <= stated <= high * (1.0 + slack):
        yield f"the record states nu gamma = {stated:.9g}, but by its data it is {low:.9g}"


def possible_rounds(record: Record, did: Rounds) -> Findings:
    """What the rounds of any baseline obey: parameters in their set, and answers that there are."""
    parameters, reward_range = record.parameters, record.summary["problem"]["reward_range"]
    thetas = np.concatenate([did.thetas, did.theta[None]])
    farthest = max(distance(parameters, theta) for theta in thetas)
    if not farthest <= ROUNDING * parameters.radius:
        yield f"a parameter is {farthest:.6g} outside of {parameters}"
    if getattr(record.plan.settings, "feedback", "reward") == "preference":
        if not np.isin(did.targets, (-1.0, 1.0)).all():
            yield "a label is neither 1 nor -1"
    elif np.abs(did.targets).max(initial=0.0) > reward_range * (1.0 + ROUNDING):
        yield f"a reward difference is {np.abs(did.targets).max():.6g}, beyond the range of rewards, {reward_range:.6g}"
    if record.plan.learner == "exhaustive":
        yield from _corners(record, did)
    elif did.thetas[:1].any():
        yield "theta of round 0 is not 0, though there were no data yet"
    return f"{len(thetas)} parameters in {parameters}, and {len(did.targets)} possible answers"


def _corners(record: Record, did: Rounds) -> Iterator[str]:
    """Every parameter of exhaustive search is a corner of the box, and none fits the data before it better."""
    dimension = did.theta.shape[0]
    if dimension > LARGEST_SEARCHED:
        yield f"there are {dimension} dimensions, but exhaustive search looks at the corners of {LARGEST_SEARCHED}"
        return
    width = record.parameters.radius / math.sqrt(dimension)
    corners = width * np.array(list(itertools.product((1.0, -1.0), repeat=dimension)))
    errors, largest = np.zeros(len(corners)), 0.0
    for index, theta in enumerate([*did.thetas, did.theta]):
        if not np.array_equal(np.abs(theta), np.full(dimension, width)):
            yield f"theta of round {index} is no corner of the box"
            return
        own = float(errors[(corners == theta).all(axis=1)][0])
        # Two sums here and two where it was chosen, each of squares of inner products.
        allowed = CORNERS_TIE + 4.0 * gamma(2 * dimension + index + 8) * largest
        if not own <= float(errors.min()) + allowed:
            yield f"theta of round {index} has a sum of squares {own - errors.min():.3g} above that of another corner"
        if index < len(did.targets):
            vector, target = did.vectors[index], did.targets[index]
            errors += (corners @ vector - target) ** 2
            largest += (width * float(np.abs(vector).sum()) + abs(float(target))) ** 2
