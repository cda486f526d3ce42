"""Re-check a stored run from its record alone, without trusting who produced it (S1-S4, S7, R1, E6, O1).

Nothing is drawn and no problem is built: everything follows from the relative features, reward differences, parameters
and counts in the record. Numbers agree up to a rounding that is relative to their own scale.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from spanver.guarantees import race_samples, sampler_trials, spanner_size_bound
from spanver.guarantees.residuals import ROUNDING, growth, kkt_residual, moment_size
from spanver.runs.records import Record
from spanver.verdicts import Verdict

__all__ = ["CERTIFIED", "Check", "Findings", "certify", "checked"]

Findings: TypeAlias = Generator[str, None, str]
"""Yields a sentence for every violation, and returns the sentence for when there is none."""


@dataclass(frozen=True)
class Check:
    """One guarantee of a record: its id, verdict, and a sentence on what was found."""

    id: str
    verdict: Verdict
    finding: str


def certify(record: Record) -> tuple[Check, ...]:
    """Check a record.

    Parameters
    ----------
    record : Record

    Returns
    -------
    tuple of Check
        In the order S1, S2, S3, S4, S7, E6, R1, O1.
    """
    broken = _not_finite(record)
    if broken:
        return tuple(Check(name, Verdict.VIOLATED, f"{broken} is not finite") for name in _CHECKS)
    return tuple(checked(name, findings(record)) for name, findings in _CHECKS.items())


def checked(name: str, findings: Findings) -> Check:
    """Verdict on one guarantee from what was found."""
    violations = []
    while True:
        try:
            violations.append(next(findings))
        except StopIteration as end:
            summary: str = end.value
            break
    if not violations:
        return Check(name, Verdict.HOLDS, summary)
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return Check(name, Verdict.VIOLATED, violations[0] + more)


def _not_finite(record: Record) -> str | None:
    arrays = {
        "spanner_vectors": record.trace.spanner.vectors,
        "spanner_targets": record.trace.spanner.targets,
        "exploration_vectors": record.trace.exploration.vectors,
        "exploration_targets": record.trace.exploration.targets,
        "exploration_thetas": record.trace.exploration.thetas,
        "sigma": record.sigma,
    }
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)


def _agreeing(record: Record, *names: str) -> Iterator[str]:
    """Settings that a record states in two ways: whoever reads it would not know which to check."""
    for name in names:
        one, other = record.summary["settings"][name], getattr(record.plan.settings, name)
        if one != other:
            yield f"{name} is {one} in the settings and {other} in the plan"


def _accepted_norms(record: Record) -> Findings:
    spanner = record.trace.spanner
    if record.plan.budget is None:  # the nu of later stages may be smaller than that of the plan, which is the first's
        yield from _agreeing(record, "nu")
    if spanner.nu != record.summary["settings"]["nu"]:
        yield f"nu of the spanner is {spanner.nu}, but {record.summary['settings']['nu']} in the settings"
    norms, _ = growth(spanner.vectors, spanner.ridge)
    least = float(norms.min(initial=np.inf))
    for index in np.flatnonzero(~(norms > spanner.nu * (1 - ROUNDING))):
        yield f"spanner pair {index} was accepted at norm {norms[index]:.6g}, not above nu = {spanner.nu:.6g}"
    if np.any(np.diff(spanner.rounds) <= 0):
        yield "some prompt round accepted more than one pair"
    if spanner.size and not (spanner.rounds[0] >= 0 and spanner.rounds[-1] < len(spanner.tries)):
        yield "a pair was accepted in a round that did not take place"
    return f"{spanner.size} pairs, each alone in its round; least norm {least:.6g} above nu = {spanner.nu:.6g}"


def _sigma_sum(record: Record) -> Findings:
    yield from _agreeing(record, "ridge")
    expected = record.trace.spanner.sigma
    scale = float(np.abs(expected).max())
    difference = float(np.abs(record.sigma - expected).max()) / scale
    if difference > ROUNDING:
        yield f"sigma is off lambda I + sum v v^T by {difference:.3g} of its largest entry"
    smallest = float(np.linalg.eigvalsh((record.sigma + record.sigma.T) / 2)[0])
    if smallest <= 0:
        yield f"sigma is not positive definite: its smallest eigenvalue is {smallest:.6g}"
    return f"sigma is lambda I + sum v v^T to {difference:.1g} relative; smallest eigenvalue {smallest:.6g}"


def _log_determinant(record: Record) -> Findings:
    spanner = record.trace.spanner
    _, gains = growth(spanner.vectors, spanner.ridge)
    gained = float(gains.sum())
    sign, log_det = np.linalg.slogdet(record.sigma)
    stated = float(log_det) - spanner.dimension * float(np.log(spanner.ridge))
    if sign <= 0 or abs(stated - gained) > ROUNDING * max(1.0, gained):
        yield f"log det sigma grew by {stated:.9g}, but the accepted norms add up to {gained:.9g}"
    return f"log det sigma grew by {gained:.6g}, the sum over the accepted norms"


def _spanner_size(record: Record) -> Findings:
    spanner = record.trace.spanner
    bound = spanner_size_bound(spanner.dimension, spanner.ridge, spanner.nu)
    stated = record.summary["spanner"]["size"]
    if stated != spanner.size:
        yield f"the record states {stated} pairs, but holds {spanner.size}"
    vectors = np.concatenate([spanner.vectors, record.trace.exploration.vectors])
    longest = float(np.linalg.norm(vectors, axis=1).max(initial=0.0))
    if longest > 2 * (1 + ROUNDING):
        yield f"a relative feature has norm {longest:.6g}, but features of the unit ball differ by at most 2"
    if spanner.size > bound:
        yield f"{spanner.size} pairs, but S4 allows at most {bound}"
    return f"{spanner.size} pairs of at most {bound}"


def _spanner_cost(record: Record) -> Findings:
    spanner, plan = record.trace.spanner, record.plan
    accepted = np.zeros(len(spanner.tries), dtype=bool)
    accepted[spanner.rounds[(spanner.rounds >= 0) & (spanner.rounds < len(spanner.tries))]] = True
    if np.any(spanner.tries < 1):
        yield f"round {int(np.argmax(spanner.tries < 1))} tried {int(spanner.tries.min())} pairs"
    if plan.budget is None:
        yield from _agreeing(record, "prompts", "pairs_per_prompt")
        limit = plan.settings.pairs_per_prompt
        if len(spanner.tries) != plan.settings.prompts:
            yield f"{len(spanner.tries)} prompt rounds, but the settings ask for {plan.settings.prompts}"
        if np.any(spanner.tries > limit):
            yield f"round {int(np.argmax(spanner.tries > limit))} tried more than T_span = {limit} pairs"
        early = ~accepted & (spanner.tries != limit)
        if np.any(early):
            yield f"round {int(np.argmax(early))} accepted nothing, yet stopped before T_span = {limit} pairs"
    tries = sum(spanner.tries.tolist())
    return f"{2 * tries} samples for {tries} pairs tried, {2 * spanner.size} rewards"


def _fits(record: Record) -> Findings:
    """KKT conditions of every fit: `A theta - b = -mu theta`, `mu >= 0`, `mu (||theta|| - B) = 0`."""
    spanner, exploration = record.trace.spanner, record.trace.exploration
    radius = float(record.summary["problem"]["radius"])
    worst = 0.0
    gram, moment, summed = np.zeros((spanner.dimension,) * 2), np.zeros(spanner.dimension), 0.0
    known = 0
    targets = np.concatenate([spanner.targets, exploration.targets])
    reward_range = float(record.summary["problem"]["reward_range"])
    if np.any(np.abs(targets) > reward_range * (1 + ROUNDING)):
        yield f"a reward difference is {np.abs(targets).max():.6g}, beyond the range of rewards, {reward_range:.6g}"
    if record.plan.budget is None and np.any(exploration.spanner_sizes != spanner.size):
        yield f"a fit states {int(exploration.spanner_sizes.min())} spanner pairs in its data, not all {spanner.size}"
    for index in range(exploration.rounds):
        size = int(exploration.spanner_sizes[index])
        if not known <= size <= spanner.size:
            yield f"round {index} states {size} spanner pairs, after {known} and of {spanner.size}"
            return ""
        fresh = slice(known, size)
        gram += spanner.vectors[fresh].T @ spanner.vectors[fresh]
        moment += spanner.vectors[fresh].T @ spanner.targets[fresh]
        summed += moment_size(spanner.vectors[fresh], spanner.targets[fresh])
        known = size
        residual = kkt_residual(gram, moment, exploration.thetas[index], radius, summed)
        worst = max(worst, residual)
        if residual > ROUNDING:
            yield f"theta of round {index} misses the KKT conditions by {residual:.3g} relative"
        vector, target = exploration.vectors[index], float(exploration.targets[index])
        gram += np.outer(vector, vector)
        moment += target * vector
        summed += abs(float(target)) * float(np.linalg.norm(vector))
    return f"{exploration.rounds} fits meet the KKT conditions, to {worst:.1g} relative"


def _sampler_cost(record: Record) -> Findings:
    exploration, plan = record.trace.exploration, record.plan
    settings = record.summary["settings"]
    multiplier, failure = settings["rejection_multiplier"], settings["rejection_failure"]
    if plan.sampler == "race":
        low = high = 1 + race_samples(multiplier, failure)
    else:
        trials = sampler_trials(multiplier, failure)
        low, high = trials + 2, 2 * trials + 2
    if plan.budget is None:
        yield from _agreeing(record, "rejection_multiplier", "rejection_failure")
    else:
        low = 2  # earlier stages ran with smaller multipliers
    wrong = (exploration.samples < low) | (exploration.samples > high)
    if np.any(wrong):
        index = int(np.argmax(wrong))
        yield f"round {index} cost {int(exploration.samples[index])} samples, but it takes from {low} to {high}"
    return f"every round of phase 2 cost from {low} to {high} samples"


def _ledger_sums(record: Record) -> Findings:
    spanner, exploration, ledger = record.trace.spanner, record.trace.exploration, record.ledger
    samples = 2 * sum(spanner.tries.tolist()) + sum(exploration.samples.tolist())
    rewards = 2 * spanner.size + 2 * exploration.rounds
    if record.plan.budget is not None and ledger.samples > record.plan.budget:
        yield f"the ledger states {ledger.samples} samples, above the budget of {record.plan.budget} (O3)"
    if record.plan.budget is None:
        yield from _agreeing(record, "exploration_rounds")
        if exploration.rounds != record.plan.settings.exploration_rounds:
            yield f"{exploration.rounds} rounds of phase 2, not {record.plan.settings.exploration_rounds} as planned"
    if ledger.samples != samples:
        yield f"the ledger states {ledger.samples} samples, but the rounds add up to {samples}"
    if ledger.rewards != rewards:
        yield f"the ledger states {ledger.rewards} rewards, but the rounds add up to {rewards}"
    if ledger.enumerated != 0:
        yield f"the ledger states {ledger.enumerated} responses enumerated, but this learner enumerates nothing"
    return f"{samples} samples and {rewards} rewards, the sums over all rounds"


_CHECKS = {
    "S1": _accepted_norms,
    "S2": _sigma_sum,
    "S3": _log_determinant,
    "S4": _spanner_size,
    "S7": _spanner_cost,
    "E6": _fits,
    "R1": _sampler_cost,
    "O1": _ledger_sums,
}

CERTIFIED = tuple(_CHECKS)
"""Ids of the guarantees that `certify` checks."""
