"""Re-check a stored multi-turn run from its record alone, layer by layer (S1-S4, E6, O1; A4).

As `spanver.runs.certify` does for SpannerSampling: nothing is drawn and no problem is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from spanver.guarantees import race_samples, sampler_samples, sampler_trials, spanner_size_bound
from spanver.guarantees.residuals import ROUNDING, fit_residual, growth
from spanver.runs.certify import Check, Findings, checked
from spanver.runs.token_records import RecordedLayer, TokenRecord
from spanver.verdicts import Verdict

__all__ = ["certify_tokens"]


def certify_tokens(record: TokenRecord) -> tuple[Check, ...]:
    """Check a record.

    Parameters
    ----------
    record : TokenRecord

    Returns
    -------
    tuple of Check
        In the order S1, S2, S3, S4, E6, O1.
    """
    broken = _not_finite(record)
    if broken:
        return tuple(Check(name, Verdict.VIOLATED, f"{broken} is not finite") for name in _CHECKS)
    return tuple(checked(name, findings(record)) for name, findings in _CHECKS.items())


def _not_finite(record: TokenRecord) -> str | None:
    arrays = {f"{array} of {name}": value for name, layer in _named(record) for array, value in vars(layer).items()}
    return next((name for name, value in arrays.items() if not np.isfinite(value).all()), None)


def _named(record: TokenRecord) -> list[tuple[str, RecordedLayer]]:
    return [(f"layer {position + 1}", layer) for position, layer in enumerate(record.layers)]


def _accepted_norms(record: TokenRecord) -> Findings:
    nu, ridge = record.plan.settings.nu, record.plan.settings.ridge
    least = np.inf
    for name, layer in _named(record):
        norms, _ = growth(layer.vectors, ridge)
        least = min(least, float(norms.min(initial=np.inf)))
        for index in np.flatnonzero(~(norms > nu * (1 - ROUNDING))):
            yield f"{name}: pair {index} was accepted at norm {norms[index]:.6g}, not above nu = {nu:.6g}"
    return f"every pair was uncertain when it came; least norm {least:.6g} above nu = {nu:.6g}"


def _sigma_sum(record: TokenRecord) -> Findings:
    worst = 0.0
    for name, layer in _named(record):
        dimension = len(layer.theta)
        sigma = record.plan.settings.ridge * np.eye(dimension) + layer.vectors.T @ layer.vectors
        product = layer.precision @ sigma
        # Rounding of an inverse grows with the condition of what is inverted.
        difference = float(np.abs(product - np.eye(dimension)).max()) / float(np.linalg.cond(sigma))
        worst = max(worst, difference)
        if not difference <= ROUNDING:
            yield f"{name}: the precision is off the inverse of lambda I + sum v v^T by {difference:.3g} relative"
        if not np.allclose(layer.precision, layer.precision.T, rtol=ROUNDING, atol=0.0):
            yield f"{name}: the precision is not symmetric"
    return f"every precision is the inverse of lambda I + sum v v^T, to {worst:.1g} relative"


def _log_determinant(record: TokenRecord) -> Findings:
    total = 0.0
    for name, layer in _named(record):
        _, gains = growth(layer.vectors, record.plan.settings.ridge)
        gained = float(gains.sum())
        sign, log_det = np.linalg.slogdet(layer.precision)
        stated = -float(log_det) - len(layer.theta) * float(np.log(record.plan.settings.ridge))
        total += gained
        if not (sign > 0 and abs(stated - gained) <= ROUNDING * max(1.0, gained)):
            yield f"{name}: log det Sigma grew by {stated:.9g}, but the accepted norms add up to {gained:.9g}"
    return f"log det Sigma grew by {total:.6g} over all layers, the sum over the accepted norms"


def _spanner_size(record: TokenRecord) -> Findings:
    settings = record.plan.settings
    sizes = [len(layer.targets) for layer in record.layers]
    if sizes != record.summary["spanner_sizes"]:
        yield f"the record states {record.summary['spanner_sizes']} pairs, but holds {sizes}"
    bound = spanner_size_bound(len(record.layers[0].theta), settings.ridge, settings.nu)
    for name, layer in _named(record):
        longest = float(np.linalg.norm(layer.vectors, axis=1).max(initial=0.0))
        if not longest <= 2 * (1 + ROUNDING):
            yield f"{name}: a relative feature has norm {longest:.6g}, which the unit ball has no room for"
        if len(layer.targets) > bound:
            yield f"{name}: {len(layer.targets)} pairs, but S4 allows at most {bound}"
    starts = record.summary["starts"]
    if starts[:1] != [len(sizes) - 1] or not set(starts) <= set(range(len(sizes))):
        yield f"sweeps began at layers {starts}, counted from 0: the first begins at the last of {len(sizes)}"
    for position, (name, _) in enumerate(_named(record)):
        restarts = starts[1:].count(position)
        if restarts > sizes[position]:
            yield f"{name}: {restarts} restarts, but each needs a new pair, of which there are {sizes[position]}"
    return f"{', '.join(map(str, sizes))} pairs, each layer of at most {bound}; sweeps: {len(starts)}"


def _fits(record: TokenRecord) -> Findings:
    radius, worst = float(record.summary["problem"]["radius"]), 0.0
    for name, layer in _named(record):
        residual = fit_residual(layer.vectors, layer.targets, layer.theta, radius)
        worst = max(worst, residual)
        if not residual <= ROUNDING:
            yield f"{name}: theta misses the KKT conditions by {residual:.3g} relative"
    return f"{len(record.layers)} fits meet the KKT conditions, to {worst:.1g} relative"


def _ledger_sums(record: TokenRecord) -> Findings:
    settings, ledger, phases = record.plan.settings, record.ledger, record.phases
    samples, rewards = (sum(getattr(each, name) for each in phases.values()) for name in ("samples", "rewards"))
    if (ledger.samples, ledger.rewards) != (samples, rewards):
        yield f"{ledger.samples} samples and {ledger.rewards} rewards, but phases add up to {samples} and {rewards}"
    if rewards != phases["sweep"].rewards:
        yield "rewards were asked outside of sweeps"
    pairs, sweeps = sum(len(layer.targets) for layer in record.layers), len(record.summary["starts"])
    least, most = 2 * settings.rollouts * pairs, 2 * settings.rollouts * pairs * sweeps
    if not least <= rewards <= most:
        yield f"{rewards} rewards, but {pairs} pairs take from {least} to {most} in {sweeps} sweeps"
    for phase, (fewest, largest) in _samples_of_phases(record).items():
        if not fewest <= phases[phase].samples <= largest:
            yield f"{phases[phase].samples} samples of phase '{phase}', which takes from {fewest} to {largest}"
    return f"{samples} samples and {rewards} rewards, the sums over phases, each within what it takes"


def _samples_of_phases(record: TokenRecord) -> Mapping[str, tuple[int, int]]:
    """Fewest and most samples of each phase.

    The last fit of every layer and the last tests met nothing uncertain: they made every check in full. A sweep that
    was restarted, and tests that were, took at most as much again.
    """
    settings, horizon, sweeps = record.plan.settings, len(record.layers), len(record.summary["starts"])
    if record.plan.sampler == "race":
        fewest_calls = most_calls = race_samples(settings.rejection_multiplier, settings.rejection_failure)
    else:
        trials = sampler_trials(settings.rejection_multiplier, settings.rejection_failure)
        fewest_calls, most_calls = (
            trials + 1,
            sampler_samples(settings.rejection_multiplier, settings.rejection_failure),
        )
    check = 2 * settings.pairs_per_prefix
    tested = settings.tests * horizon
    rolled = sum(
        2 * settings.rollouts * len(layer.targets) * (horizon - position)
        for position, layer in enumerate(record.layers, start=1)
    )
    visits = settings.prompts * horizon
    # A token is drawn against a second one, and weighed with a normaliser in a sweep.
    return {
        "warm start": (visits * 3, visits * (check + 1)),
        "sweep": (
            rolled * (check + 1 + fewest_calls + settings.partition_samples),
            sweeps * rolled * (check + 1 + most_calls + settings.partition_samples),
        ),
        "test": (tested * (check + 1 + fewest_calls), sweeps * tested * (check + 1 + most_calls)),
    }


_CHECKS: Mapping[str, Callable[[TokenRecord], Findings]] = {
    "S1": _accepted_norms,
    "S2": _sigma_sum,
    "S3": _log_determinant,
    "S4": _spanner_size,
    "E6": _fits,
    "O1": _ledger_sums,
}
