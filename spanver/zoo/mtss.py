"""Mutants of MTSS and of its two subroutines: what MT4 to MT7, MT10, E6, O1 and T5 must kill.

`run`, `fitted` and `searched` are FMR25's Algorithms 4, 5 and 6, written anew: each step in which a mutant differs is
an argument. Unmutated they are as right as the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spanver.episodic import AnchoredScore, EpisodicOracle, States
from spanver.learners.core_sets import Pairs, joined, no_pairs, with_anchor
from spanver.learners.least_squares import fit_on
from spanver.learners.mtss import MTSSSettings
from spanver.learners.softmax_sampler import sampler_trials
from spanver.parameter_sets import Ball, Shape
from spanver.values import FloatArray, IntArray
from spanver.zoo.algebra import covariance, quadratic, symmetric_inverse
from spanver.zoo.mutant import Mutant, mutants_of


@dataclass(frozen=True)
class Layer:
    """The policy of a layer: its parameter, its `Sigma`, and up to which norm scores count."""

    theta: FloatArray
    sigma: FloatArray
    nu: float


Drawn = tuple[IntArray, FloatArray]
"""Actions in a batch of states, and the log ratios of policy and base policy at them, shape (n,) each."""


def drawn(oracle: EpisodicOracle, states: States, layer: Layer, settings: MTSSSettings) -> Drawn:
    """Algorithm 2 in every state."""
    anchors = oracle.feature(states, np.full(len(states), oracle.anchor))
    score = AnchoredScore(layer.theta, symmetric_inverse(layer.sigma), layer.nu, anchors)
    trials = sampler_trials(settings.multiplier, settings.failure)
    pilot = oracle.sample_counts(states, trials)
    log_means = np.full(len(states), -math.inf)
    weights = score.of(pilot.rows, pilot.features) / oracle.beta + np.log(pilot.counts) - math.log(trials)
    np.logaddexp.at(log_means, pilot.rows, weights)
    found = oracle.sample_until(states, score, math.log(settings.multiplier) + log_means, trials)
    actions, features = found.actions.copy(), found.features.copy()
    for row in np.flatnonzero(actions < 0):
        own = oracle.sample(States(states.layer, states.ids[[row]], states.episodes), 1)
        actions[row], features[row] = own.actions[0, 0], own.features[0, 0]
    return actions, score.of(np.arange(len(states)), features) / oracle.beta - log_means


def of_base(oracle: EpisodicOracle, states: States, layer: Layer, settings: MTSSSettings) -> Drawn:
    """Actions of the base policy."""
    del layer, settings
    return oracle.sample(states, 1).actions[:, 0], np.zeros(len(states))


def _scored(ratio: Callable[[FloatArray, float], FloatArray]) -> Callable[..., Drawn]:
    def changed(oracle: EpisodicOracle, states: States, layer: Layer, settings: MTSSSettings) -> Drawn:
        actions, log_ratios = drawn(oracle, states, layer, settings)
        return actions, ratio(log_ratios, oracle.beta)

    return changed


def _unnormalised(oracle: EpisodicOracle, states: States, layer: Layer, settings: MTSSSettings) -> Drawn:
    actions, _ = drawn(oracle, states, layer, settings)
    anchors = oracle.feature(states, np.full(len(states), oracle.anchor))
    score = AnchoredScore(layer.theta, symmetric_inverse(layer.sigma), layer.nu, anchors)
    return actions, score.of(np.arange(len(states)), oracle.feature(states, actions)) / oracle.beta


def _with_nu(factor: float) -> Callable[..., Drawn]:
    def changed(oracle: EpisodicOracle, states: States, layer: Layer, settings: MTSSSettings) -> Drawn:
        return drawn(oracle, states, Layer(layer.theta, layer.sigma, factor * layer.nu), settings)

    return changed


@dataclass(frozen=True)
class Parts:
    """What mutants replace."""

    policy: Callable[[EpisodicOracle, States, Layer, MTSSSettings], Drawn] = drawn
    rewarded: Callable[[EpisodicOracle, int], bool] = lambda oracle, layer: oracle.rewarded[layer]
    own_rewards: int = 0  # how many are drawn in place of one in every rollout
    target: Callable[[FloatArray, FloatArray], float] = lambda one, other: float(one.mean() - other.mean())
    sigma_of: Callable[[Sequence[Pairs], int, MTSSSettings], FloatArray] = lambda cores, layer, settings: covariance(
        settings.ridge, cores[layer].vectors.shape[1], list(cores[layer].vectors)
    )
    radius: float = 1.0
    shape: Shape | None = None
    rollouts: int = 0  # how many a search begins in place of what the settings say
    earliest: Callable[[int], int] = lambda layer: 0  # the first layer that a search begins in
    begun: Callable[[Pairs], Pairs] = lambda core: core  # pairs of a core-set that a search begins after
    base: bool = True
    uncertainty: Callable[[FloatArray, FloatArray], FloatArray] = lambda vectors, sigma: quadratic(
        vectors, symmetric_inverse(sigma)
    )
    chosen: Callable[[FloatArray], Any] = np.argmax
    order: Callable[[int], Sequence[int]] = lambda horizon: range(horizon - 1, -1, -1)
    refits: Callable[[int], bool] = lambda iteration: True
    returned: Callable[[list[bool]], int] = lambda certain: max(
        (number for number, each in enumerate(certain, start=1) if each), default=1
    )
    certain: Callable[[list[bool]], bool] = any
    shared_sigma: bool = False  # whether the norm is that after the addition
    grows: Callable[[int], bool] = lambda iteration: True
    searched_with: Callable[[FloatArray, FloatArray], FloatArray] = lambda now, before: now  # of parameters
    fitted_with: Callable[[list[Pairs], list[Pairs]], list[Pairs]] = lambda now, before: now  # core-sets for Sigma
    in_the_loop: bool = False  # whether Sigma of a layer has the pair of an iteration before later layers are searched
    data_of: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]] = lambda *data: data


def fitted(
    oracle: EpisodicOracle,
    layer: int,
    cores: Sequence[Pairs],
    thetas: FloatArray,
    *,
    seed: int,
    settings: MTSSSettings,
    **parts: Any,
) -> dict[str, FloatArray]:
    """Algorithm 5, with some of its `Parts` replaced; pair after pair."""
    del seed
    return _fitted(oracle, layer, cores, thetas, settings, Parts(**parts))


def _fitted(
    oracle: EpisodicOracle, layer: int, cores: Sequence[Pairs], thetas: FloatArray, settings: MTSSSettings, parts: Parts
) -> dict[str, FloatArray]:
    core, targets = cores[layer], []
    for state, *arms in zip(core.states, core.actions, core.anchors, strict=True):
        one, other = (_returns(oracle, layer, state, arm, cores, thetas, settings, parts) for arm in arms)
        targets.append(parts.target(one, other))
    if not targets:
        return {"theta": np.zeros(oracle.dimension), "targets": np.empty(0)}
    parameters = (parts.shape or oracle.shape)(parts.radius * oracle.radius)
    return {"theta": fit_on(*parts.data_of(core.vectors, np.array(targets)), parameters), "targets": np.array(targets)}


def _returns(
    oracle: EpisodicOracle,
    layer: int,
    state: int,
    action: int,
    cores: Sequence[Pairs],
    thetas: FloatArray,
    settings: MTSSSettings,
    parts: Parts,
) -> FloatArray:
    """Returns of all rollouts from a state and action."""
    rollouts = settings.regression_rollouts
    standing, actions = oracle.reset(layer, np.full(rollouts, state)), np.full(rollouts, action)
    total = np.zeros(rollouts)
    if parts.rewarded(oracle, layer):
        few = parts.own_rewards or rollouts
        asked = States(layer, standing.ids[:few], standing.episodes)
        drawn_rewards = oracle.reward(asked, actions[:few])
        total += drawn_rewards if few == rollouts else drawn_rewards.mean()
    for later in range(layer + 1, oracle.horizon):
        standing = oracle.step(standing, actions)
        policy = Layer(thetas[later], parts.sigma_of(cores, later, settings), settings.nu)
        actions, log_ratios = parts.policy(oracle, standing, policy, settings)
        total -= oracle.beta * log_ratios
        if parts.rewarded(oracle, later):
            total += oracle.reward(standing, actions)
    return total


def searched(
    oracle: EpisodicOracle,
    layer: int,
    cores: Sequence[Pairs],
    thetas: FloatArray,
    *,
    seed: int,
    settings: MTSSSettings,
    **parts: Any,
) -> dict[str, Any]:
    """Algorithm 6, with some of its `Parts` replaced."""
    del seed
    found, _ = _searched(oracle, layer, cores, thetas, settings, Parts(**parts))
    return {"state": found.states[0], "action": found.actions[0]}


def _searched(
    oracle: EpisodicOracle, layer: int, cores: Sequence[Pairs], thetas: FloatArray, settings: MTSSSettings, parts: Parts
) -> tuple[Pairs, float]:
    """The pair that is found, and its squared norm."""
    met = joined(list(_met(oracle, layer, cores, thetas, settings, parts)))
    sigma = parts.sigma_of(cores, layer, settings)
    squares = parts.uncertainty(met.vectors, sigma)
    row = int(parts.chosen(squares))
    found = met[np.array([row])]
    if parts.shared_sigma:
        sigma = sigma + found.vectors.T @ found.vectors
    return found, float(quadratic(found.vectors, symmetric_inverse(sigma))[0])


def _met(
    oracle: EpisodicOracle, layer: int, cores: Sequence[Pairs], thetas: FloatArray, settings: MTSSSettings, parts: Parts
) -> Iterator[Pairs]:
    rollouts = parts.rollouts or settings.span_rollouts
    for first in range(parts.earliest(layer), layer + 1):
        if first == 0:
            standing = oracle.start(rollouts)
        else:
            core = parts.begun(cores[first - 1])
            standing = oracle.reset(first - 1, core.states.repeat(rollouts))
            standing = oracle.step(standing, core.actions.repeat(rollouts))
        if len(standing) == 0:
            continue
        for later in range(first, layer + 1):
            policy = Layer(thetas[later], parts.sigma_of(cores, later, settings), settings.nu)
            actions, _ = parts.policy(oracle, standing, policy, settings)
            if later < layer:
                standing = oracle.step(standing, actions)
        yield _relative(oracle, standing, actions)
        if parts.base and settings.base_draws > 0:
            counted = oracle.sample_counts(standing, settings.base_draws)
            states = States(layer, standing.ids[counted.rows], standing.episodes)
            yield _relative(oracle, states, counted.actions)


def _relative(oracle: EpisodicOracle, states: States, actions: IntArray) -> Pairs:
    anchors = np.full(len(states), oracle.anchor)
    vectors = oracle.feature(states, actions) - oracle.feature(states, anchors)
    return Pairs(states.ids, actions, anchors, vectors)


def run(oracle: EpisodicOracle, *, seed: int, settings: MTSSSettings, **parts: Any) -> dict[str, Any]:
    """Algorithm 4, with some of its `Parts` replaced."""
    del seed
    used = Parts(**parts)
    horizon, dimension = oracle.horizon, oracle.dimension
    cores, thetas = [no_pairs(dimension)] * horizon, np.zeros((horizon, dimension))
    told: dict[str, list[Any]] = {"thetas": [], "states": [], "actions": [], "largest": []}
    certain = []
    past, parameters = cores, thetas.copy()  # of the iteration before
    for iteration in range(settings.iterations):
        if used.refits(iteration):
            of_sigma = used.fitted_with(cores, past)
            for layer in used.order(horizon):
                of_layer = [cores[each] if each == layer else of_sigma[each] for each in range(horizon)]
                thetas[layer] = _fitted(oracle, layer, of_layer, thetas, settings, used)["theta"]
        walked, sums, found = used.searched_with(thetas, parameters), list(cores), []
        for layer in range(horizon):
            found.append(_searched(oracle, layer, sums, walked, settings, used))
            if used.in_the_loop:
                sums[layer] = joined([cores[layer], found[-1][0]])
        past, parameters = cores, thetas.copy()
        if used.grows(iteration):
            cores = [joined([core, with_anchor(pair)]) for core, (pair, _) in zip(cores, found, strict=True)]
        squares = [square for _, square in found]
        told["thetas"].append(thetas.copy())
        told["states"].append([pair.states[0] for pair, _ in found])
        told["actions"].append([pair.actions[0] for pair, _ in found])
        told["largest"].append(squares)
        certain.append(max(squares) <= settings.tolerance)
    arrays = {name: np.array(values) for name, values in told.items()}
    return arrays | {"returned": used.returned(certain), "certain": used.certain(certain)}


def _different(vectors: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
    _, rows = np.unique(vectors, axis=0, return_index=True)
    return vectors[rows], targets[rows]


def _without_twins(core: Pairs) -> Pairs:
    return core[np.flatnonzero(core.actions != core.anchors)]


def _sigma_with(vectors_of: Callable[[Sequence[Pairs], int], FloatArray]) -> Callable[..., FloatArray]:
    def sigma(cores: Sequence[Pairs], layer: int, settings: MTSSSettings) -> FloatArray:
        vectors = vectors_of(cores, layer)
        return covariance(settings.ridge, vectors.shape[1], list(vectors))

    return sigma


_fit = mutants_of("fit_value", "fit-value", fitted)
_find = mutants_of("uncertain_state_action", "search", searched)
_mtss = mutants_of("mtss", "mtss", run)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _fit("base-rollouts", "rolls out the base policy", "MT7", policy=of_base),
    _fit("no-kl", "leaves the log ratio out of returns", "MT7", policy=_scored(lambda ratios, _: 0.0 * ratios)),
    _fit("kl-sign", "adds the log ratio to returns", "MT7", policy=_scored(lambda ratios, _: -ratios)),
    _fit("ratio-without-beta", "does not weigh the log ratio with beta", "MT7",
        policy=_scored(lambda ratios, beta: ratios / beta)),
    _fit("no-normaliser", "forgets the normaliser of the log ratio", "MT7", policy=_unnormalised),
    _fit("untruncated", "truncates no score", "MT7", policy=_with_nu(1e6)),
    _fit("all-truncated", "truncates at a tenth of nu", "MT7", policy=_with_nu(0.1)),
    _fit("sigma-of-first-layer", "takes the Sigma of the first layer for all", "MT7",
        sigma_of=_sigma_with(lambda cores, _: cores[0].vectors)),
    _fit("ridge-alone", "takes the ridge for Sigma, without the core-set", "MT7",
        sigma_of=_sigma_with(lambda cores, layer: cores[layer].vectors[:0])),
    _fit("first-arm-alone", "fits returns, not their differences to the anchor's", "MT7",
        target=lambda one, other: float(one.mean() + 0.0 * other.mean())),
    _fit("swapped-sign", "takes differences the wrong way round", "MT7",
        target=lambda one, other: float(other.mean() - one.mean())),
    _fit("last-reward-alone", "forgets the rewards before the last layer", "MT7",
        rewarded=lambda oracle, layer: layer == oracle.horizon - 1),
    _fit("own-reward-once", "draws the reward of the pair's own layer once for all rollouts", "MT7", own_rewards=1),
    _fit("radius-doubled", "allows parameters of twice the radius", "E6", radius=2.0),
    _fit("radius-halved", "allows parameters of half the radius only", "E6", radius=0.5),
    _fit("ball-for-box", "fits on the ball whatever the shape", "E6", shape=Ball),
    _find("one-rollout", "begins one rollout from every start, whatever the settings say", "MT10", rollouts=1),
    _fit("duplicates-once", "fits a pair that comes several times once", "E6", data_of=_different),
    _find("from-start-alone", "begins all rollouts at the start", "MT5", begun=lambda core: core[:0]),
    _find("last-layer-alone", "begins rollouts after the core-set of the layer before alone", "MT5",
        earliest=lambda layer: layer),
    _find("no-twins", "begins no rollouts after the anchors of a core-set", "MT5", begun=_without_twins),
    _find("no-base-draws", "takes no actions of the base policy", "MT5", base=False),
    _find("base-rollouts", "rolls out the base policy", "MT5", policy=of_base),
    _find("first-found", "returns the first pair that it meets", "MT5", chosen=lambda squares: 0),
    _find("smallest", "returns the pair of smallest norm", "MT5", chosen=np.argmin),
    _find("euclidean", "compares lengths, not norms by Sigma", "MT5",
        uncertainty=lambda vectors, _: (vectors * vectors).sum(axis=1)),
    _find("sigma-itself", "weighs with Sigma in place of its inverse", "MT5", uncertainty=quadratic),
    _find("sigma-of-first-layer", "takes the Sigma of the first layer for all", "MT5",
        sigma_of=_sigma_with(lambda cores, _: cores[0].vectors)),
    _mtss("sigma-after", "measures the pairs of an iteration with these pairs in Sigma", "MT4", shared_sigma=True),
    _mtss("last-iteration", "returns the last iteration, certain or not", "MT4", returned=len),
    _mtss("first-certain", "returns the first certain iteration", "MT4",
        returned=lambda certain: certain.index(True) + 1 if any(certain) else 1),
    _mtss("always-certain", "calls every run certain", "MT4", certain=lambda _: True),
    _mtss("frozen-core-sets", "adds to core-sets in the first three iterations alone", "MT4",
        grows=lambda iteration: iteration < 3),
    _mtss("pairs-counted-twice", "adds a pair to Sigma twice", "MT4",
        sigma_of=_sigma_with(lambda cores, layer: np.sqrt(2.0) * cores[layer].vectors)),
    _mtss("search-of-last-thetas", "searches with the parameters of the iteration before", "MT4",
        searched_with=lambda now, before: before),
    _mtss("search-of-base-policy", "searches with the base policy", "MT4",
        searched_with=lambda now, before: 0.0 * now),
    _mtss("sigma-in-the-loop", "has the pair of a layer in Sigma while later layers are searched", "MT4",
        in_the_loop=True),
    _mtss("fit-by-last-sigma", "truncates in fits by the Sigma of the iteration before", "MT4",
        fitted_with=lambda now, before: before),
    _mtss("ridge-alone", "takes the ridge for Sigma, without the core-set", "MT6",
        sigma_of=_sigma_with(lambda cores, layer: cores[layer].vectors[:0])),
    _mtss("two-fits", "fits in the first two iterations alone", "T5", refits=lambda iteration: iteration < 2),
    _mtss("base-rollouts", "rolls out the base policy", "T5", policy=of_base),
    _mtss("no-kl", "leaves the log ratio out of returns", "T5", policy=_scored(lambda ratios, _: 0.0 * ratios)),
    _mtss("many-rollouts", "repeats every fit ten times", "T5", order=lambda horizon: 10 * list(range(horizon))[::-1]),
)
# fmt: on
"""Of `fit_value`, `uncertain_state_action` and `mtss`."""
