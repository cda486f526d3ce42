"""Re-check a stored run from its record, without trusting who produced it.

The record is compared with itself: spanner, fits and ledger follow from the relative features, reward differences,
parameters and counts in it (S1-S4, S7, R1, E6, P1, O1; `restated`; of MTSS also MT4 and MT6; `layers`). Where its plan
builds the problem, the record is compared with that too: facts, features, rewards, gaps and coverage (`rebuilt`,
`layer_gaps`). All is recomputed without the kernels and learners that made the run, and up to rounding. For S2 and S3 a
run of SpannerSampling is one of one layer.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spanver.errors import SpanverError
from spanver.guarantees.residuals import Excess, compressed, distance_allowed, fit_excess, growth, logistic_excess
from spanver.guarantees.rounding import UNIT
from spanver.guarantees.spanner import spanner_size_bound
from spanver.parameter_sets import ParameterSet, distance
from spanver.runs.baselines import BASELINES
from spanver.runs.columns import to_arrays
from spanver.runs.costs import Findings, agreeing, baseline_ledger, ledger_sums, sampler_cost, spanner_cost, stating
from spanver.runs.layers import core_sets, iteration_costs, outcome, sampler_costs, uncertain_pairs
from spanver.runs.rebuilt import Check, problem_checks, rebuild
from spanver.runs.records import LayeredRun, Record, Rounds, Sampled
from spanver.runs.restated import possible_rounds, restated
from spanver.runs.settings import is_printed
from spanver.validation import ROUNDING
from spanver.values import FloatArray
from spanver.verdicts import Verdict

FURTHER = {
    "record": "what the record states twice agrees",
    "problem": "the record is one of its problem",
    "core-sets": "core-sets grow as the settings say",
    "certificate": "the gap is within its bound, which is that of the policy",
}
"""Titles of the rows that are no guarantees, by id."""


@dataclass(frozen=True)
class CertifiedClaim:
    """A guarantee of a record, or one of `FURTHER`: its id, verdict, and a sentence on what was found."""

    id: str
    verdict: Verdict
    finding: str


@dataclass(frozen=True)
class Certificate:
    """What `certify` found.

    Attributes
    ----------
    claims : tuple of CertifiedClaim
        What the record shows by itself, and then what it shows next to its problem.
    uncertified : str
        What neither shows.
    uncompared : str
        What was not compared with the problem, and why; empty where all was.
    """

    claims: tuple[CertifiedClaim, ...]
    uncertified: str
    uncompared: str


def certify(record: Record) -> Certificate:
    """Check a record, by itself and next to the problem that its plan builds."""
    checks = _checks(record)
    broken = next((name for name, array in _numbers(record) if not np.isfinite(array).all()), None)
    if broken is not None:
        claims = [CertifiedClaim(name, Verdict.VIOLATED, f"{broken} is not finite") for name in checks]
        return Certificate(tuple(claims), _uncertified(record), f"anything ({broken} is not finite)")
    compared, uncompared = _next_to_its_problem(record)
    alone = tuple(_claim(name, findings(record, record.did)) for name, findings in checks.items())
    return Certificate((*alone, *compared), _uncertified(record), uncompared)


def _next_to_its_problem(record: Record) -> tuple[tuple[CertifiedClaim, ...], str]:
    try:
        problem = rebuild(record.plan)
    except (SpanverError, TypeError) as error:
        refused = CertifiedClaim("problem", Verdict.VIOLATED, f"the problem of the plan cannot be built: {error}")
        return (refused,), ""
    if isinstance(problem, str):
        return (), f"anything ({problem})"
    checks, ties = problem_checks(record, problem)
    claims = tuple(_claim(name, findings(record, problem)) for name, findings in checks.items())
    return claims, f"the gaps ({ties})" if ties else ""


def _uncertified(record: Record) -> str:
    names = ["which responses were drawn"]
    if record.plan.problem == "text":
        names += ["samples shown"]
    if isinstance(record.did, LayeredRun):
        names = ["which states were met, and actions drawn", *names[1:], "fits (their targets are means of returns)"]
        names += ["largest norms of searches after which nothing was added", "realizable shares"]
    if isinstance(record.did, Rounds):
        names += ["which pairs its vectors are of"]
        names += [each for each in [_unfitted(record)] if each]
    return ", ".join(names)


def _unfitted(record: Record) -> str:
    """What is not certified of a baseline in place of E6; nothing where E6 is."""
    return BASELINES[record.plan.learner].unfitted(record.plan.settings)


def _claim(name: str, findings: Findings) -> CertifiedClaim:
    violations = []
    while True:
        try:
            violations.append(next(findings))
        except StopIteration as end:
            summary: str = end.value
            break
    if not violations:
        return CertifiedClaim(name, Verdict.HOLDS, summary)
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return CertifiedClaim(name, Verdict.VIOLATED, violations[0] + more)


def _numbers(record: Record) -> Iterator[tuple[str, FloatArray]]:
    """Arrays of numbers that are not integers, by the names that the record's file has."""
    parts: dict[str, Any] = {"": record.did}
    if isinstance(record.did, Sampled):
        parts |= {"spanner_": record.did.trace.spanner, "exploration_": record.did.trace.exploration}
    if isinstance(record.did, LayeredRun):
        yield "thetas", np.array([each.thetas for each in record.did.run.iterations])
        parts |= {f"layer_{layer}_": core for layer, core in enumerate(record.did.run.cores, start=1)}
    for prefix, part in parts.items():
        yield from ((name, array) for name, array in to_arrays(part, prefix).items() if array.dtype.kind == "f")


# S1 to S4: a spanner, or the core-set of every layer


@dataclass(frozen=True, eq=False)
class _Layer:
    """A spanner as a record states it: its vectors, shape (K, d), and `Sigma`, shape (d, d), or its inverse."""

    where: str
    vectors: FloatArray
    ridge: float
    stated: FloatArray
    inverse: bool

    @property
    def sigma(self) -> FloatArray:
        return self.ridge * np.eye(self.vectors.shape[1]) + self.vectors.T @ self.vectors


def _layers(record: Record, did: Sampled | LayeredRun) -> list[_Layer]:
    if isinstance(did, Sampled):
        spanner = did.trace.spanner
        return [_Layer("", spanner.vectors, spanner.ridge, did.sigma, inverse=False)]
    run = did.run
    sizes = run.iterations[record.summary["returned"] - 1].sizes
    return [
        _Layer(f"layer {layer + 1}: ", core.vectors[:size], run.settings.ridge, did.precisions[layer], inverse=True)
        for layer, (core, size) in enumerate(zip(run.cores, sizes, strict=True))
    ]


def _accepted_norms(record: Record, did: Sampled) -> Findings:
    yield from _accepting_rounds(record, did)
    spanner = did.trace.spanner
    norms, _ = growth(spanner.vectors, spanner.ridge)
    for index in np.flatnonzero(~(norms > spanner.nu * (1 - ROUNDING))):
        yield f"pair {index} was accepted at norm {norms[index]:.6g}, not above nu = {spanner.nu:.6g}"
    least = float(norms.min(initial=np.inf))
    return f"{len(norms)} pairs, each uncertain when it came; least norm {least:.6g} above nu = {spanner.nu:.6g}"


def _accepting_rounds(record: Record, did: Sampled) -> Iterator[str]:
    """What is wrong with the threshold, or with the prompt rounds that accepted the pairs."""
    spanner = did.trace.spanner
    if record.plan.budget is None:  # the nu of later stages may be smaller than that of the plan, which is the first's
        yield from agreeing(record, "nu")
    if spanner.nu != record.summary["settings"]["nu"]:
        yield f"nu of the spanner is {spanner.nu}, but {record.summary['settings']['nu']} in the settings"
    if np.any(np.diff(spanner.rounds) <= 0):
        yield "some prompt round accepted more than one pair"
    if spanner.size and not (spanner.rounds[0] >= 0 and spanner.rounds[-1] < len(spanner.tries)):
        yield "a pair was accepted in a round that did not take place"


def _sigma_sum(record: Record, did: Sampled | LayeredRun) -> Findings:
    if isinstance(did, Sampled):
        yield from agreeing(record, "ridge")
    worst, smallest = 0.0, np.inf
    for layer in _layers(record, did):
        if layer.inverse:  # rounding of an inverse grows with the condition of what is inverted
            name, expected = "the precision", "the inverse of lambda I + sum v v^T"
            product = layer.stated @ layer.sigma
            difference = float(np.abs(product - np.eye(len(product))).max()) / float(np.linalg.cond(layer.sigma))
        else:
            name, expected = "sigma", "lambda I + sum v v^T"
            difference = float(np.abs(layer.stated - layer.sigma).max()) / float(np.abs(layer.sigma).max())
        worst = max(worst, difference)
        if not difference <= ROUNDING:
            yield f"{layer.where}{name} is off {expected} by {difference:.3g} relative"
        if not np.allclose(layer.stated, layer.stated.T, rtol=ROUNDING, atol=0.0):
            yield f"{layer.where}{name} is not symmetric"
        smallest = min(smallest, float(np.linalg.eigvalsh((layer.stated + layer.stated.T) / 2)[0]))
        if smallest <= 0:
            yield f"{layer.where}{name} is not positive definite: its smallest eigenvalue is {smallest:.6g}"
    return f"{name} is {expected}, to {worst:.1g} relative; smallest eigenvalue {smallest:.6g}"


def _log_determinant(record: Record, did: Sampled | LayeredRun) -> Findings:
    total = 0.0
    for layer in _layers(record, did):
        _, gains = growth(layer.vectors, layer.ridge)
        gained = float(gains.sum())
        total += gained
        sign, log_det = np.linalg.slogdet(layer.stated)
        stated = float(-log_det if layer.inverse else log_det) - len(layer.stated) * float(np.log(layer.ridge))
        if not (sign > 0 and abs(stated - gained) <= ROUNDING * max(1.0, gained)):
            yield f"{layer.where}log det Sigma grew by {stated:.9g}, but the accepted norms add up to {gained:.9g}"
    return f"log det Sigma grew by {total:.6g}, the sum over the accepted norms"


def _spanner_size(record: Record, did: Sampled) -> Findings:
    spanner, stated = did.trace.spanner, record.summary["spanner"]["size"]
    if stated != len(spanner.vectors):
        yield f"the record states {stated} pairs, but holds {len(spanner.vectors)}"
    for where, vectors in (("", spanner.vectors), ("exploration: ", did.trace.exploration.vectors)):
        longest = float(np.linalg.norm(vectors, axis=1).max(initial=0.0))
        if not longest <= 2 * (1 + ROUNDING):
            yield f"{where}a relative feature has norm {longest:.6g}, but those of the unit ball differ by at most 2"
    bound = spanner_size_bound(spanner.vectors.shape[1], spanner.ridge, spanner.nu)
    yield from stating(record, "spanner_size", bound)
    if len(spanner.vectors) > bound:
        yield f"{len(spanner.vectors)} pairs, but S4 allows at most {bound}"
    return f"{len(spanner.vectors)} pairs, of at most {bound}"


# E6: fits, each to its data and the data of those before it


def _run_fits(record: Record, did: Sampled) -> Findings:
    """E6: every parameter is the least squares fit to the rewards before it."""
    spanner, exploration, summary = did.trace.spanner, did.trace.exploration, record.summary
    yield from _rewards_in_range(np.concatenate([spanner.targets, exploration.targets]), summary)
    rounds = yield from _fitted_rounds(record, did)
    sizes = exploration.spanner_sizes
    before = np.concatenate([[0], sizes[:-1]])

    def fits() -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
        for index in range(rounds):
            paired, explored = slice(before[index], sizes[index]), slice(max(index - 1, 0), index)
            vectors = np.concatenate([spanner.vectors[paired], exploration.vectors[explored]])
            targets = np.concatenate([spanner.targets[paired], exploration.targets[explored]])
            yield exploration.thetas[index], vectors, targets

    named = enumerate(_excesses(fits(), record.parameters))
    return (yield from _optimal((f"round {index}", excess) for index, excess in named))


def _fitted_rounds(record: Record, did: Sampled) -> Generator[str, None, int]:
    """What is wrong with the numbers of spanner pairs in the data of fits; returns how many are right, in order."""
    spanner, sizes = did.trace.spanner, did.trace.exploration.spanner_sizes
    if record.plan.budget is None and np.any(sizes != spanner.size):
        yield f"a fit states {int(sizes.min())} spanner pairs in its data, not all {spanner.size}"
    before = np.concatenate([[0], sizes[:-1]])
    wrong = (sizes < before) | (sizes > spanner.size)
    if not wrong.any():
        return len(sizes)
    rounds = int(np.argmax(wrong))
    yield f"round {rounds} states {sizes[rounds]} spanner pairs, after {before[rounds]} and of {spanner.size}"
    return rounds


def _label_fits(record: Record, did: Sampled) -> Findings:
    """P1: every parameter minimises the logistic loss of the labels before it."""
    spanner, exploration = did.trace.spanner, did.trace.exploration
    labels = np.concatenate([spanner.targets, exploration.targets])
    if not np.isin(labels, (-1.0, 1.0)).all():
        yield "a label is neither 1 nor -1"
    rounds = yield from _fitted_rounds(record, did)

    def fits() -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
        for index, size in enumerate(exploration.spanner_sizes[:rounds]):
            vectors = np.concatenate([spanner.vectors[:size], exploration.vectors[:index]])
            targets = np.concatenate([spanner.targets[:size], exploration.targets[:index]])
            yield exploration.thetas[index], vectors, targets

    named = enumerate(_logistic_excesses(fits(), record.parameters))
    return (yield from _optimal(((f"round {index}", excess) for index, excess in named), "logistic loss"))


def _logistic_excesses(
    fits: Iterable[tuple[FloatArray, FloatArray, FloatArray]], parameters: ParameterSet
) -> Iterator[Excess]:
    """By how much each fit `(theta, vectors, labels)` may miss the least logistic loss of its data."""
    for theta, vectors, labels in fits:
        if distance(parameters, theta) > distance_allowed(parameters.radius, UNIT, len(theta)):
            yield Excess(np.inf, 0.0)
        else:
            lengths = np.full(len(labels), 2.0)  # features are of norm at most 1, and relative ones differences of two
            yield logistic_excess(vectors, labels, theta, parameters, UNIT, lengths=lengths)


def _baseline_fits(record: Record, did: Rounds) -> Findings:
    thetas = [*did.thetas, did.theta]
    if getattr(record.plan.settings, "feedback", "reward") == "preference":
        labelled = ((theta, did.vectors[:count], did.targets[:count]) for count, theta in enumerate(thetas))
        losses, objective = _logistic_excesses(labelled, record.parameters), "logistic loss"
    else:
        parts = [slice(0), *(slice(index, index + 1) for index in range(len(did.targets)))]
        fits = ((theta, did.vectors[part], did.targets[part]) for theta, part in zip(thetas, parts, strict=True))
        losses, objective = _excesses(fits, record.parameters), "sum of squares"
    return (yield from _optimal(((f"round {index}", each) for index, each in enumerate(losses)), objective))


def _rewards_in_range(targets: FloatArray, summary: Mapping[str, Any]) -> Iterator[str]:
    reward_range = float(summary["problem"]["reward_range"])
    if np.any(np.abs(targets) > reward_range * (1 + ROUNDING)):
        yield f"a reward difference is {np.abs(targets).max():.6g}, beyond the range of rewards, {reward_range:.6g}"


def _excesses(fits: Iterable[tuple[FloatArray, FloatArray, FloatArray]], parameters: ParameterSet) -> Iterator[Excess]:
    """By how much each fit `(theta, vectors, targets)` misses the optimum, given its data and those before it."""
    seen: tuple[FloatArray, FloatArray] | None = None
    rows = 0
    for theta, vectors, targets in fits:
        rows += len(vectors)
        before = (vectors[:0], targets[:0]) if seen is None else seen
        seen = compressed(np.concatenate([before[0], vectors]), np.concatenate([before[1], targets]))
        if distance(parameters, theta) > distance_allowed(parameters.radius, UNIT, len(theta)):
            yield Excess(np.inf, 0.0)
        else:
            yield fit_excess(*seen, theta, parameters, UNIT, rows=rows)


def _optimal(excesses: Iterable[tuple[str, Excess]], objective: str = "sum of squares") -> Findings:
    """The objective of every fit is that of the optimum on the set of parameters, as nearly as float64 has it."""
    worst, count = 0.0, 0
    for name, (excess, allowed) in excesses:
        worst, count = max(worst, excess), count + 1
        if excess == np.inf:
            yield f"theta of {name} is outside of the set of parameters"
        elif not excess <= allowed:
            yield f"theta of {name} has a {objective} {excess:.3g} above the least; rounding allows {allowed:.3g}"
    return f"{count} fits have the least {objective} on the set of parameters, to {worst:.1g}"


_RUN: Mapping[str, Check] = {
    "S1": _accepted_norms,
    "S2": _sigma_sum,
    "S3": _log_determinant,
    "S4": _spanner_size,
    "S7": spanner_cost,
    "E6": _run_fits,
    "P1": _label_fits,
    "R1": sampler_cost,
    "O1": ledger_sums,
    "record": restated,
}
_MTSS: Mapping[str, Check] = {
    "MT4": core_sets,
    "MT6": uncertain_pairs,
    "S2": _sigma_sum,
    "S3": _log_determinant,
    "R1": sampler_costs,
    "O1": iteration_costs,
    "record": outcome,
}
_BASELINE: Mapping[str, Check] = {"E6": _baseline_fits, "O1": baseline_ledger, "record": possible_rounds}


def _checks(record: Record) -> Mapping[str, Check]:
    """What this record shows without its problem, and what checks it."""
    if isinstance(record.did, Rounds):
        return {name: check for name, check in _BASELINE.items() if name != "E6" or not _unfitted(record)}
    if isinstance(record.did, Sampled):
        other = "P1" if record.plan.settings.feedback == "reward" else "E6"
        return {name: check for name, check in _RUN.items() if name != other}
    if is_printed(record.plan.settings):
        return _MTSS
    return {"core-sets" if name == "MT4" else name: check for name, check in _MTSS.items()}


CERTIFIED = ("I2", "I3", "MT2", "I6", "P2", *(name for name in {**_RUN, **_MTSS} if name not in FURTHER))
"""Ids of the guarantees that `certify` checks, of one kind of record or another."""
