"""What `certify` finds in the record of a run of MTSS by itself: core-sets, what each iteration asked, what came back.

Core-sets are in the order in which pairs came, each followed by its anchor's, so that the sizes that iterations state
say which `Sigma_h` each was made with. What an iteration asks follows from these sizes, but for the tries of A1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import numpy as np

from spanver.episodic import EpisodicLedger
from spanver.guarantees.residuals import distance_allowed, growth
from spanver.guarantees.rounding import UNIT, gamma
from spanver.guarantees.sampler import sampler_trials
from spanver.guarantees.spanner import spanner_size_bound
from spanver.parameter_sets import distance
from spanver.runs.costs import Findings, stating
from spanver.runs.records import LayeredRun, Record
from spanver.runs.settings import is_printed
from spanver.validation import ROUNDING
from spanver.values import FloatArray

# Core-sets


@dataclass(frozen=True, eq=False)
class _Added:
    """What one iteration added to the core-set of a layer.

    Attributes
    ----------
    iteration, layer : int
        From 0.
    begin, end : int
        Sizes of the core-set before and after, anchors' pairs included.
    norms : array, shape (n,)
        Squared norms of the pairs when they came, without their anchors'.
    off : float
        How far the run may have been off them.
    """

    iteration: int
    layer: int
    begin: int
    end: int
    norms: FloatArray
    off: float

    @property
    def where(self) -> str:
        return f"iteration {self.iteration + 1}, layer {self.layer + 1}"


def _additions(did: LayeredRun) -> Iterator[_Added]:
    run = did.run
    for layer, core in enumerate(run.cores):
        sizes = [*(int(each.sizes[layer]) for each in run.iterations), len(core)]
        vectors = core.vectors[::2]
        norms, _ = growth(vectors, run.settings.ridge)
        # The run has them of the inverse of Sigma, whose rounding grows with its condition.
        condition = 1.0 + float((vectors**2).sum()) / run.settings.ridge
        off = gamma(16 * vectors.shape[1] ** 2) * condition * 4.0 / run.settings.ridge
        for iteration, (begin, end) in enumerate(pairwise(sizes)):
            yield _Added(iteration, layer, begin, end, norms[(begin + 1) // 2 : (end + 1) // 2] ** 2, off)


def core_sets(record: Record, did: LayeredRun) -> Findings:
    """MT4: core-sets grow as settings say, by the largest that was found and its anchor's, which is above a threshold.

    As printed they grow by one pair, whatever its norm.
    """
    run, settings, least = did.run, did.run.settings, math.inf
    longest = max(float(np.linalg.norm(core.vectors, axis=1).max(initial=0.0)) for core in run.cores)
    if not longest <= 2 * (1 + ROUNDING):
        yield f"a relative feature has norm {longest:.6g}, but those of the unit ball differ by at most 2"
    for layer in range(len(run.cores)):
        yield from _twins(did, layer)
    for added in _additions(did):
        yield from _growth(added, did)
        if len(added.norms) > 0:
            least = min(least, float(added.norms.min()))
            yield from _norms(added, did)
    sizes = ", ".join(str(len(core) // 2) for core in run.cores)
    above = f"least squared norm {least:.6g}, threshold {settings.tolerance:.6g}"
    return f"{sizes} pairs, each with its anchor's, the first of each iteration the largest that it found; {above}"


def _norms(added: _Added, did: LayeredRun) -> Iterator[str]:
    """What is wrong with the squared norms of the pairs that an iteration added."""
    settings = did.run.settings
    first, stated = float(added.norms[0]), float(did.run.iterations[added.iteration].largest[added.layer])
    if not abs(first - stated) <= ROUNDING * abs(stated) + added.off:
        yield f"{added.where}: the pair added had squared norm {first:.6g}, but the largest found is {stated:.6g}"
    # Where parameters are always fitted, the first is added whatever its norm.
    promised = added.norms[1 if settings.refit == "always" else 0 :]
    for norm in promised[~(promised > settings.tolerance * (1.0 - ROUNDING) - added.off)]:
        yield f"{added.where}: a pair was added at squared norm {norm:.6g}, not above {settings.tolerance:.6g}"


def uncertain_pairs(record: Record, did: LayeredRun) -> Findings:
    """MT6: few pairs were above the threshold when they came, and so few iterations were uncertain."""
    settings, most = did.run.settings, 0
    bound = spanner_size_bound(did.run.cores[0].vectors.shape[1], settings.ridge, math.sqrt(settings.tolerance))
    yield from stating(record, "uncertain_pairs", bound)
    uncertain = Counter[int]()
    for added in _additions(did):
        uncertain[added.layer] += int((added.norms > settings.tolerance + added.off).sum())
    for layer, count in uncertain.items():
        most = max(most, count)
        if count > bound:
            yield f"layer {layer + 1}: {count} pairs were uncertain when they came, but there are at most {bound}"
    return f"up to {most} pairs of a layer were uncertain when they came, of at most {bound}"


def _twins(did: LayeredRun, layer: int) -> Iterator[str]:
    """What is wrong with the anchors' pairs: every second one, of the state and anchor of the one before it."""
    where, core, anchor = f"layer {layer + 1}", did.run.cores[layer], did.run.anchor
    if len(core) % 2 == 1:
        yield f"{where}: {len(core)} pairs, but each of an action is followed by its anchor's"
        return
    pairs, twins = core[0::2], core[1::2]
    same = (twins.states == pairs.states) & (twins.actions == pairs.anchors) & (twins.anchors == pairs.anchors)
    for index in np.flatnonzero(~(same & ~twins.vectors.any(axis=1))):
        yield f"{where}: pair {2 * index + 1} is not the anchor's of the pair before it, with a vector of 0"
    if did.run.settings.anchor == "fixed":
        for index in np.flatnonzero(core.anchors != anchor):
            yield f"{where}: pair {index} has the anchor {core.anchors[index]}, but that of the problem is {anchor}"


def _growth(added: _Added, did: LayeredRun) -> Iterator[str]:
    """What is wrong with the number of pairs that an iteration added."""
    settings, iteration = did.run.settings, did.run.iterations[added.iteration]
    finds = iteration.largest > settings.tolerance
    goes_on = finds.any() or (iteration.fitted and settings.stop == "last")
    grown, words = added.end - added.begin, "by none"
    is_right = grown == 0
    if goes_on and (settings.refit == "always" or finds[added.layer]):
        is_right, words = grown == 2, "by 2"
        if settings.add == "pool":
            is_right, words = grown >= 2, "by at least 2"
    if not is_right:
        yield f"{added.where}: the core-set grew from {added.begin} pairs to {added.end}, but it grows {words}"


# What was asked


@dataclass
class _Asked:
    """What some part of an iteration asks: everything exactly, but for samples, of which there are fewest and most."""

    ledger: EpisodicLedger = field(default_factory=EpisodicLedger)
    most: int = 0

    def add(self, *, fewest: int = 0, most: int = 0, **answers: int) -> None:
        self.ledger += EpisodicLedger(samples=fewest, **answers)
        self.most += most


class _Costs:
    """What iterations ask, from sizes of core-sets and from which parameters are 0."""

    def __init__(self, record: Record, did: LayeredRun) -> None:
        self._settings, self._cores = did.run.settings, did.run.cores
        self._rewarded: Sequence[bool] = record.summary["problem"]["rewarded"]
        self._horizon = len(self._rewarded)
        self._trials = sampler_trials(self._settings.multiplier, self._settings.failure)

    def fit(self, rolled: Sequence[int], zero: Sequence[bool]) -> _Asked:
        """Of fits whose core-sets have so many pairs that rollouts are drawn for."""
        asked, settings = _Asked(), self._settings
        for layer, pairs in enumerate(rolled):
            rollouts = 2 * pairs * settings.regression_rollouts
            own = 2 * pairs if settings.reward_draws == "once" else rollouts
            asked.add(resets=rollouts, rewards=own if self._rewarded[layer] else 0)
            for later in range(layer + 1, self._horizon):
                asked.add(transitions=rollouts, rewards=rollouts if self._rewarded[later] else 0)
                self._call(asked, rollouts, zero[later])
        return asked

    def search(self, sizes: Sequence[int], zero: Sequence[bool]) -> _Asked:
        """Of a search from core-sets of these sizes."""
        asked, settings, layers = _Asked(), self._settings, range(self._horizon)
        for judged in [layers] if settings.search == "shared" else [range(layer, layer + 1) for layer in layers]:
            for first in range(judged[-1] + 1):
                if first == 0:
                    initial = settings.initial_rollouts
                    begun = settings.span_rollouts if initial is None else initial
                else:
                    begun = settings.span_rollouts * sizes[first - 1]
                    asked.add(resets=begun)
                for layer in range(first, judged[-1] + 1):
                    asked.add(transitions=begun)
                    self._call(asked, begun, zero[layer])
                    if layer in judged:
                        asked.add(fewest=begun * settings.base_draws, most=begun * settings.base_draws)
        return asked

    def _call(self, asked: _Asked, states: int, zero: bool) -> None:
        """Calls of A1 in some states (R1), with an anchor in each."""
        fresh = self._settings.anchor == "fresh"
        anchors = states if fresh else 0
        if self._settings.zero_scores == "drawn" and zero:
            fewest = most = states
        else:
            fewest, most = states * (self._trials + 1), states * (2 * self._trials + 1)
        asked.add(fewest=anchors + fewest, most=anchors + most, features=0 if fresh else states)

    def rolled(self, sizes: Sequence[int]) -> list[int]:
        """How many of the first pairs of each core-set rollouts are drawn for."""
        if self._settings.anchor_rollouts:
            return list(sizes)
        return [
            int((core.actions[:size] != core.anchors[:size]).sum())
            for core, size in zip(self._cores, sizes, strict=True)
        ]


def _charged(record: Record, did: LayeredRun) -> Iterator[tuple[str, EpisodicLedger, _Asked]]:
    """Every fit and search: its name, what the record states that it asked, and what it asks."""
    costs = _Costs(record, did)
    for number, each in enumerate(did.run.iterations, start=1):
        sizes, zero = each.sizes.tolist(), [not theta.any() for theta in each.thetas]
        fit = costs.fit(costs.rolled(sizes), zero) if each.fitted else _Asked()
        yield f"the fit of iteration {number}", each.fit, fit
        yield f"the search of iteration {number}", each.search, costs.search(sizes, zero)


def iteration_costs(record: Record, did: LayeredRun) -> Findings:
    """O1: the ledger is the sum over iterations, and each asked what its core-sets take."""
    total = EpisodicLedger()
    for name, stated, asked in _charged(record, did):
        total += stated
        for kind, count in asdict(asked.ledger).items():
            if kind != "samples" and getattr(stated, kind) != count:
                yield f"{name} asked {getattr(stated, kind)} {kind}, but it takes {count}"
    for kind, summed in asdict(total).items():
        if getattr(record.ledger, kind) != summed:
            yield f"the ledger states {getattr(record.ledger, kind)} {kind}, but iterations add up to {summed}"
    yield from _printed_costs(record, _Costs(record, did))
    return f"{total.samples} samples and {total.data} transitions, resets and rewards, the sums over iterations"


def _printed_costs(record: Record, costs: _Costs) -> Iterator[str]:
    """What is wrong with bounds on answers, which there are where all is as printed: core-sets grow by 2 each time."""
    settings, bounds = record.plan.settings, dict(record.summary["bounds"])
    kinds = [kind for kind in asdict(EpisodicLedger()) if kind in bounds]
    if not is_printed(settings):
        if kinds:
            yield f"the record states bounds on {', '.join(kinds)}, but there are none where settings are ours"
        return
    horizon, total, samples = record.summary["problem"]["horizon"], EpisodicLedger(), 0
    for earlier in range(settings.iterations):
        sizes, zero = [2 * earlier] * horizon, [False] * horizon
        for asked in (costs.fit(sizes, zero), costs.search(sizes, zero)):
            total, samples = total + asked.ledger, samples + asked.most
    for kind, most in {**asdict(total), "samples": samples}.items():
        yield from stating(record, kind, most)
        if getattr(record.ledger, kind) > most:
            yield f"the ledger states {getattr(record.ledger, kind)} {kind}, but as printed there are at most {most}"


def sampler_costs(record: Record, did: LayeredRun) -> Findings:
    """R1: fits and searches drew as many samples as calls of A1 and draws of the base policy take."""
    low = high = 0
    for name, stated, asked in _charged(record, did):
        fewest, most = asked.ledger.samples, asked.most
        low, high = low + fewest, high + most
        if not fewest <= stated.samples <= most:
            yield f"{name} drew {stated.samples} samples, but takes from {fewest} to {most}"
    return f"{record.ledger.samples} samples; calls of the sampler and base draws take from {low} to {high}"


# What came back


def outcome(record: Record, did: LayeredRun) -> Findings:
    """What the record of a run of MTSS states twice: iterations, what is certain and returned, and parameters."""
    run, settings, summary = did.run, did.run.settings, record.summary
    certain: list[int] = []
    fits, before = settings.refit == "always", np.zeros_like(run.iterations[0].thetas)
    for number, each in enumerate(run.iterations, start=1):
        where, finds = f"iteration {number}", bool(each.largest.max() > settings.tolerance)
        if each.fitted != fits:
            yield f"{where}: parameters were {'' if each.fitted else 'not '}fitted, against the settings"
        if not each.fitted and not np.array_equal(each.thetas, before):
            yield f"{where}: parameters are not those of before, but were not fitted"
        yield from _parameters(record, where, each.thetas, each.sizes.tolist())
        if each.fitted and not finds:
            certain.append(number)
        if settings.stop == "first" and certain and number < len(run.iterations):
            yield f"{where} was certain, but {len(run.iterations) - number} more followed"
            return ""
        fits, before = settings.refit == "always" or not (finds or each.fitted), each.thetas
    if len(run.iterations) > settings.iterations:
        yield f"{len(run.iterations)} iterations, but the settings allow {settings.iterations}"
    if len(run.iterations) < settings.iterations and not (settings.stop == "first" and certain):
        yield f"{len(run.iterations)} iterations, but none ends a run of {settings.iterations} there"
    if summary["certain"] != bool(certain):
        yield f"the record states certain: {summary['certain']}, but {len(certain)} iterations were"
    returned = certain[-1] if certain else 1
    if summary["returned"] != returned:
        yield f"the record states that iteration {summary['returned']} is returned, but it is {returned}"
    off, scale = abs(summary["gap"] - summary["base_gap"]), summary["problem"]["beta"] + summary["base_gap"]
    if not certain and not off <= ROUNDING * scale:
        yield f"no iteration was certain, so that the policy is pi_ref, but its gap is stated as {summary['gap']:.9g}"
    kind = f"iteration {returned} is the last that was certain" if certain else "none was certain, so it is pi_ref"
    return f"{len(run.iterations)} iterations; {kind}"


def _parameters(record: Record, where: str, thetas: FloatArray, sizes: Sequence[int]) -> Iterator[str]:
    allowed = distance_allowed(record.parameters.radius, UNIT, thetas.shape[1])
    for layer, (theta, size) in enumerate(zip(thetas, sizes, strict=True), start=1):
        if not distance(record.parameters, theta) <= allowed:
            yield f"{where}: theta of layer {layer} is outside of the set of parameters"
        if size == 0 and theta.any():
            yield f"{where}: theta of layer {layer} is not 0, but its core-set was empty"
