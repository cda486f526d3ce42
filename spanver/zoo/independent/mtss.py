"""MTSS (FMR25, Algorithms 4 to 6, pp. 77-81), written from its statement; steps are keyword arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from spanver.episodic import EpisodicOracle, States
from spanver.values import FloatArray, IntArray
from spanver.zoo.independent.boxes import box_fit, in_set_of
from spanver.zoo.independent.layered_samplers import (
    Core,
    LayerPolicy,
    MakePolicy,
    Moves,
    Sampler,
    softmax_moves,
    truncated_policy,
)
from spanver.zoo.independent.regressions import Fit, fit

Play: TypeAlias = Callable[[States], Moves]
"""Actions in a batch of states, by the policy of its layer."""
Worth: TypeAlias = Callable[[FloatArray, float], FloatArray]
"""What is paid for log ratios, given beta."""
Follow: TypeAlias = Callable[[EpisodicOracle, States, IntArray, Play], FloatArray]
Target: TypeAlias = Callable[[EpisodicOracle, int, int, int, int, Play, Follow], float]
Pool: TypeAlias = tuple[IntArray, IntArray, FloatArray]
"""States, actions and vectors of pairs."""


@dataclass(frozen=True, eq=False)
class Grown:
    """A core-set that a run grew."""

    states: IntArray
    actions: IntArray
    vectors: FloatArray


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pair that a search met, and its norm."""

    state: int
    action: int
    vector: FloatArray
    norm: float


def own_reward(oracle: EpisodicOracle, states: States, actions: IntArray) -> FloatArray:
    """Rewards of one layer, 0 where it has none: shape (n,)."""
    return oracle.reward(states, actions) if oracle.rewarded[states.layer] else np.zeros(len(states))


def minus_beta_ratios(log_ratios: FloatArray, beta: float) -> FloatArray:
    """`-beta log rho`."""
    return -beta * log_ratios


def played_return(
    oracle: EpisodicOracle, states: States, actions: IntArray, play: Play, *, worth: Worth = minus_beta_ratios
) -> FloatArray:
    """Rewards from here to the last layer, less `beta log rho` of every later action: shape (n,)."""
    here = own_reward(oracle, states, actions)
    if states.layer + 1 == oracle.horizon:
        return here
    following = oracle.step(states, actions)
    moves = play(following)
    later = played_return(oracle, following, moves.actions, play, worth=worth)
    return here + worth(moves.log_ratios, oracle.beta) + later


def mean_difference(
    oracle: EpisodicOracle, layer: int, state: int, action: int, rollouts: int, play: Play, follow: Follow
) -> float:
    """Mean return of an action less that of the anchor, from resets to one state; both arms move in one batch."""
    states = oracle.reset(layer, np.full(2 * rollouts, state))
    returns = follow(oracle, states, np.repeat([action, oracle.anchor], rollouts), play)
    return float(np.mean(returns[:rollouts] - returns[rollouts:]))


def _player(
    oracle: EpisodicOracle, policies: Mapping[int, LayerPolicy], settings: Any, seed: int, sampler: Sampler
) -> Play:
    generator = np.random.default_rng([seed, 16])
    return lambda states: sampler(oracle, states, policies[states.layer], settings, generator)


def fit_value(
    oracle: EpisodicOracle,
    layer: int,
    cores: Sequence[Core],
    thetas: FloatArray,
    *,
    seed: int,
    settings: Any,
    policy: MakePolicy = truncated_policy,
    sampler: Sampler = softmax_moves,
    follow: Follow = played_return,
    target: Target = mean_difference,
    fit: Fit = fit,
    box: Fit = box_fit,
) -> dict[str, Any]:
    """Algorithm 5: least squares on mean differences of returns, by the policies of later layers."""
    core = cores[layer]
    if len(core.states) == 0:
        return {"theta": np.zeros(oracle.dimension), "targets": np.zeros(0)}
    later = {number: policy(cores[number], thetas[number], settings) for number in range(layer + 1, oracle.horizon)}
    play = _player(oracle, later, settings, seed, sampler)
    targets = np.array([
        target(oracle, layer, int(state), int(action), settings.regression_rollouts, play, follow)
        for state, action in zip(core.states, core.actions, strict=True)
    ])  # fmt: skip
    return {"theta": in_set_of(oracle, fit, box)(core.vectors, targets, oracle.radius), "targets": targets}


def first_states(oracle: EpisodicOracle, settings: Any) -> States:
    """Where the rollouts from the start begin."""
    count = settings.span_rollouts if settings.initial_rollouts is None else settings.initial_rollouts
    return oracle.start(count)


def states_after(oracle: EpisodicOracle, layer: int, core: Core, rollouts: int) -> States:
    """What follows on every pair of a core-set of a layer, `rollouts` times each."""
    return oracle.step(oracle.reset(layer, np.repeat(core.states, rollouts)), np.repeat(core.actions, rollouts))


def from_everywhere(oracle: EpisodicOracle, layer: int, cores: Sequence[Core], settings: Any) -> Iterator[States]:
    """Batches that a search begins with: first states, and what follows on the core-set of each earlier layer."""
    yield first_states(oracle, settings)
    for earlier, core in enumerate(cores[:layer]):
        if len(core.states) > 0:
            yield states_after(oracle, earlier, core, settings.span_rollouts)


def base_pool(oracle: EpisodicOracle, states: States, anchors: FloatArray, count: int) -> Pool:
    """Draws of the base policy in every state."""
    drawn = oracle.sample(states, count)
    vectors = (drawn.features - anchors[:, None]).reshape(-1, oracle.dimension)
    return np.repeat(states.ids, count), drawn.actions.ravel(), vectors


def _largest(pool: Pool, norms: FloatArray) -> Candidate:
    """The pair of largest norm."""
    place = int(np.argmax(norms))
    return Candidate(int(pool[0][place]), int(pool[1][place]), pool[2][place], float(norms[place]))


def uncertain_pair(
    oracle: EpisodicOracle,
    layer: int,
    cores: Sequence[Core],
    thetas: FloatArray,
    *,
    seed: int,
    settings: Any,
    policy: MakePolicy = truncated_policy,
    sampler: Sampler = softmax_moves,
    starts: Callable[..., Iterator[States]] = from_everywhere,
    base: Callable[[EpisodicOracle, States, FloatArray, int], Pool] = base_pool,
    norms: Callable[[LayerPolicy, FloatArray], FloatArray] = LayerPolicy.norms,
) -> Candidate:
    """Algorithm 6: of all pairs that rollouts end in, and of draws of the base policy there, that of largest norm."""
    policies = {number: policy(cores[number], thetas[number], settings) for number in range(layer + 1)}
    play = _player(oracle, policies, settings, seed, sampler)
    found: list[Candidate] = []
    for begun in starts(oracle, layer, cores, settings):
        states, moves = begun, play(begun)
        while states.layer < layer:
            states = oracle.step(states, moves.actions)
            moves = play(states)
        pools = [(states.ids, moves.actions, moves.vectors)]
        if settings.base_draws > 0:
            pools.append(base(oracle, states, moves.anchors, settings.base_draws))
        found += [_largest(pool, norms(policies[layer], pool[2])) for pool in pools]
    return max(found, key=lambda each: each.norm)


def uncertain_state_action(
    oracle: EpisodicOracle,
    layer: int,
    cores: Sequence[Core],
    thetas: FloatArray,
    *,
    seed: int,
    settings: Any,
    search: Callable[..., Candidate] = uncertain_pair,
) -> dict[str, int]:
    """Algorithm 6: the state and the action."""
    found = search(oracle, layer, cores, thetas, seed=seed, settings=settings)
    return {"state": found.state, "action": found.action}


def with_twin(core: Grown, found: Candidate, anchor: int) -> Grown:
    """A core-set with a pair, and after it the pair of its state and the anchor."""
    return Grown(
        states=np.append(core.states, [found.state, found.state]),
        actions=np.append(core.actions, [found.action, anchor]),
        vectors=np.vstack([core.vectors, found.vector, np.zeros_like(found.vector)]),
    )


def last_certain(largest: Sequence[Sequence[float]], bound: float) -> int | None:
    """The last iteration, from 1, with no squared norm above a bound."""
    certain = [number for number, squares in enumerate(largest, start=1) if max(squares) <= bound]
    return certain[-1] if certain else None


def threshold_of(settings: Any) -> float:
    """Squared norm up to which an iteration is certain."""
    return settings.threshold * settings.nu**2


def mtss(
    oracle: EpisodicOracle,
    *,
    seed: int,
    settings: Any,
    fit_layer: Callable[..., dict[str, Any]] = fit_value,
    search: Callable[..., Candidate] = uncertain_pair,
    grow: Callable[[Grown, Candidate, int], Grown] = with_twin,
    bound: Callable[[Any], float] = threshold_of,
    choose: Callable[[Sequence[Sequence[float]], float], int | None] = last_certain,
) -> dict[str, Any]:
    """Algorithm 4: in every iteration fit all layers anew, and add to each core-set the least certain pair."""
    layers, seeds = range(oracle.horizon), np.random.default_rng([seed, 17])
    nobody = np.zeros(0, dtype=np.int64)
    cores = [Grown(nobody, nobody, np.zeros((0, oracle.dimension))) for _ in layers]
    thetas = np.zeros((oracle.horizon, oracle.dimension))
    fits, pairs = [], []
    for _ in range(settings.iterations):
        for layer in reversed(layers):
            fitted = fit_layer(oracle, layer, cores, thetas, seed=int(seeds.integers(2**62)), settings=settings)
            thetas[layer] = fitted["theta"]
        found = [
            search(oracle, layer, cores, thetas, seed=int(seeds.integers(2**62)), settings=settings) for layer in layers
        ]
        cores = [grow(core, each, oracle.anchor) for core, each in zip(cores, found, strict=True)]
        fits.append(thetas.copy())
        pairs.append(found)
    largest = [[each.norm**2 for each in found] for found in pairs]
    chosen = choose(largest, bound(settings))
    return {
        "thetas": np.array(fits),
        "states": np.array([[each.state for each in found] for found in pairs]),
        "actions": np.array([[each.action for each in found] for found in pairs]),
        "largest": np.array(largest),
        "returned": 1 if chosen is None else chosen,
        "certain": chosen is not None,
    }


def functions_of(
    value: Callable[..., dict[str, Any]] = fit_value, search: Callable[..., Candidate] = uncertain_pair, **run: Any
) -> dict[str, Callable[..., Any]]:
    """Return MTSS by another FitValue, by another search or with other steps of a run, and its parts that differ."""
    functions: dict[str, Callable[..., Any]] = {"mtss": partial(mtss, fit_layer=value, search=search, **run)}
    if value is not fit_value:
        functions["fit_value"] = value
    if search is not uncertain_pair:
        functions["uncertain_state_action"] = partial(uncertain_state_action, search=search)
    return functions
