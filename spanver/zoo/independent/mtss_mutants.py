"""Mutants of the independent implementation of MTSS: bugs that outside code could have, each a patch of one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spanver.episodic import EpisodicOracle, States, Tallies
from spanver.values import FloatArray
from spanver.zoo.independent.layered_samplers import (
    Core,
    LayerPolicy,
    base_moves,
    log_mean_weights,
    softmax_moves,
    truncated_policy,
)
from spanver.zoo.independent.mtss import (
    Candidate,
    Follow,
    Grown,
    Play,
    Pool,
    Worth,
    base_pool,
    first_states,
    fit_value,
    functions_of,
    last_certain,
    own_reward,
    played_return,
    states_after,
    uncertain_pair,
    with_twin,
)
from spanver.zoo.independent.subject import INDEPENDENT
from spanver.zoo.mutant import Mutant, changed


def _value(**steps: Any) -> dict[str, Callable[..., Any]]:
    return functions_of(partial(fit_value, **steps))


def _search(**steps: Any) -> dict[str, Callable[..., Any]]:
    return functions_of(search=partial(uncertain_pair, **steps))


def _both(**steps: Any) -> dict[str, Callable[..., Any]]:
    return functions_of(partial(fit_value, **steps), partial(uncertain_pair, **steps))


def _paid(worth: Worth) -> dict[str, Callable[..., Any]]:
    """What pays something else for log ratios."""
    return _value(follow=partial(played_return, worth=worth))


def _reward_once(
    oracle: EpisodicOracle, layer: int, state: int, action: int, rollouts: int, play: Play, follow: Follow
) -> float:
    """Mean difference with rewards of the pair's own layer drawn once, as line 5 of Algorithm 5 is printed."""
    arms = np.array([action, oracle.anchor])
    own = own_reward(oracle, oracle.reset(layer, np.full(2, state)), arms)
    if layer + 1 == oracle.horizon:
        return float(own[0] - own[1])
    following = oracle.step(oracle.reset(layer, np.full(2 * rollouts, state)), np.repeat(arms, rollouts))
    moves = play(following)
    later = follow(oracle, following, moves.actions, play) - oracle.beta * moves.log_ratios
    return float(own[0] - own[1] + np.mean(later[:rollouts] - later[rollouts:]))


def _anchor_stops(
    oracle: EpisodicOracle, layer: int, state: int, action: int, rollouts: int, play: Play, follow: Follow
) -> float:
    """Mean return of the action less the mean reward of the anchor."""
    states = oracle.reset(layer, np.full(rollouts, state))
    rewards = own_reward(oracle, states, np.full(rollouts, oracle.anchor))
    return float(np.mean(follow(oracle, states, np.full(rollouts, action), play) - rewards))


def _one_way_on(
    oracle: EpisodicOracle, layer: int, state: int, action: int, rollouts: int, play: Play, follow: Follow
) -> float:
    """Mean difference of arms that go on from the states that the action leads to, both."""
    states = oracle.reset(layer, np.full(rollouts, state))
    rewards = own_reward(oracle, states, np.full(rollouts, oracle.anchor))
    returns = follow(oracle, states, np.full(rollouts, action), play)
    if layer + 1 < oracle.horizon:
        again = oracle.step(oracle.reset(layer, np.full(rollouts, state)), np.full(rollouts, action))
        moves = play(again)
        rewards = rewards + follow(oracle, again, moves.actions, play) - oracle.beta * moves.log_ratios
    return float(np.mean(returns - rewards))


def _free(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Least squares anywhere."""
    del radius
    return np.asarray(np.linalg.lstsq(features, targets, rcond=None)[0])


def _layer_before(
    oracle: EpisodicOracle, layer: int, cores: Sequence[Core], thetas: FloatArray, **named: Any
) -> dict[str, Any]:
    return fit_value(oracle, layer, cores, np.roll(thetas, 1, axis=0), **named)


def _at_nu(change: Callable[[float], float]) -> dict[str, Callable[..., Any]]:
    """What truncates policies elsewhere."""

    def policy(core: Core, theta: FloatArray, settings: Any) -> LayerPolicy:
        return replace(truncated_policy(core, theta, settings), nu=change(settings.nu))

    return _both(policy=policy)


def _ridge_alone(core: Core, theta: FloatArray, settings: Any) -> LayerPolicy:
    return LayerPolicy(theta, settings.ridge * np.eye(len(theta)), settings.nu)


def _one_for_all(exponents: FloatArray, pilots: Tallies, states: int) -> FloatArray:
    """Mean weight of all pilots of a batch, for every state of it."""
    together = Tallies(np.zeros_like(pilots.rows), pilots.actions, pilots.counts, pilots.features)
    return np.repeat(log_mean_weights(exponents, together, 1), states)


def _unweighted(exponents: FloatArray, pilots: Tallies, states: int) -> FloatArray:
    """Mean weight of the different actions of a pilot."""
    once = Tallies(pilots.rows, pilots.actions, np.ones_like(pilots.counts), pilots.features)
    return log_mean_weights(exponents, once, states)


def _from_first_states(oracle: EpisodicOracle, layer: int, cores: Sequence[Core], settings: Any) -> Iterator[States]:
    del layer, cores
    yield first_states(oracle, settings)


def _from_layer_before(oracle: EpisodicOracle, layer: int, cores: Sequence[Core], settings: Any) -> Iterator[States]:
    yield first_states(oracle, settings)
    if layer > 0 and len(cores[layer - 1].states) > 0:
        yield states_after(oracle, layer - 1, cores[layer - 1], settings.span_rollouts)


def _from_actions(oracle: EpisodicOracle, layer: int, cores: Sequence[Core], settings: Any) -> Iterator[States]:
    """Where a search begins, but after no anchor."""
    yield first_states(oracle, settings)
    for earlier, core in enumerate(cores[:layer]):
        chosen = np.flatnonzero(core.actions != oracle.anchor)
        if len(chosen) > 0:
            part = Grown(core.states[chosen], core.actions[chosen], core.vectors[chosen])
            yield states_after(oracle, earlier, part, settings.span_rollouts)


def _from_states(oracle: EpisodicOracle, layer: int, cores: Sequence[Core], settings: Any) -> Iterator[States]:
    """Where a search begins, in the states of core-sets themselves."""
    yield first_states(oracle, settings)
    for earlier, core in enumerate(cores[:layer]):
        if len(core.states) > 0:
            yield oracle.reset(earlier, np.repeat(core.states, settings.span_rollouts))


def _no_base_draws(*arguments: Any, settings: Any, **named: Any) -> Candidate:
    return uncertain_pair(*arguments, settings=replace(settings, base_draws=0), **named)


def _not_relative(oracle: EpisodicOracle, states: States, anchors: FloatArray, count: int) -> Pool:
    return base_pool(oracle, states, np.zeros_like(anchors), count)


def _lengths(policy: LayerPolicy, vectors: FloatArray) -> FloatArray:
    del policy
    return np.asarray(np.linalg.norm(vectors, axis=1))


def _by_sigma(policy: LayerPolicy, vectors: FloatArray) -> FloatArray:
    """Norms by Sigma, where its inverse is meant."""
    return np.asarray(np.sqrt(np.einsum("nd,de,ne->n", vectors, policy.sigma, vectors)))


def _after_addition(*arguments: Any, **named: Any) -> Candidate:
    """The pair that a search found, with its norm by a Sigma that it is a part of."""
    found = uncertain_pair(*arguments, **named)
    return replace(found, norm=found.norm / float(np.sqrt(1.0 + found.norm**2)))


def _without_twin(core: Grown, found: Candidate, anchor: int) -> Grown:
    grown = with_twin(core, found, anchor)
    return Grown(grown.states[:-1], grown.actions[:-1], grown.vectors[:-1])


def _once(core: Grown, found: Candidate, anchor: int) -> Grown:
    """A core-set that is a set."""
    is_there = bool(np.any((core.states == found.state) & (core.actions == found.action)))
    return core if is_there else with_twin(core, found, anchor)


def _first_certain(largest: Sequence[Sequence[float]], bound: float) -> int | None:
    certain = [number for number, squares in enumerate(largest, start=1) if max(squares) <= bound]
    return certain[0] if certain else None


def _first_layer(largest: Sequence[Sequence[float]], bound: float) -> int | None:
    return last_certain([squares[:1] for squares in largest], bound)


def _mean_layer(largest: Sequence[Sequence[float]], bound: float) -> int | None:
    return last_certain([[float(np.mean(squares))] for squares in largest], bound)


def _one_before(largest: Sequence[Sequence[float]], bound: float) -> int | None:
    found = last_certain(largest, bound)
    return None if found is None else max(1, found - 1)


def _any_last(largest: Sequence[Sequence[float]], bound: float) -> int | None:
    return len(largest) if last_certain(largest, bound) is not None else None


def _mutant(name: str, bug: str, breaks: str, functions: Mapping[str, Callable[..., Any]]) -> Mutant:
    return changed(f"independent-mtss-{name}", bug, breaks, INDEPENDENT, **functions)


# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _mutant("base-rollouts", "rolls out the base policy in FitValue", "MT7", _value(sampler=base_moves)),
    _mutant("no-ratio", "takes no log ratios off returns", "MT7",
        _paid(lambda log_ratios, beta: np.zeros_like(log_ratios))),
    _mutant("ratio-without-beta", "takes log ratios off returns without beta", "MT7",
        _paid(lambda log_ratios, beta: -log_ratios)),
    _mutant("ratio-added", "adds log ratios to returns", "MT7", _paid(lambda log_ratios, beta: beta * log_ratios)),
    _mutant("reward-once", "draws the rewards of a pair's own layer once, as line 5 of Algorithm 5 is printed", "MT7",
        _value(target=_reward_once)),
    _mutant("anchor-stops", "takes the reward of the anchor off returns, and nothing that follows on it", "MT7",
        _value(target=_anchor_stops)),
    _mutant("one-way-on", "goes on from the states that the action leads to in both arms", "MT7",
        _value(target=_one_way_on)),
    _mutant("layer-before", "rolls out by the parameters of the layers before", "MT7", functions_of(_layer_before)),
    _mutant("free-fit", "fits values without the set of parameters", "E6", _value(fit=_free, box=_free)),
    _mutant("no-truncation", "truncates no score", "MT7", _at_nu(lambda nu: 1e9)),
    _mutant("truncation-at-square", "truncates where norms exceed nu^2, as page 81 is printed", "MT7",
        _at_nu(lambda nu: nu**2)),
    _mutant("ridge-alone", "never adds core-sets to Sigma", "MT7 MT5", _both(policy=_ridge_alone)),
    _mutant("one-normaliser", "takes the mean weight of all states of a batch for each", "MT7",
        _both(sampler=partial(softmax_moves, log_means=_one_for_all))),
    _mutant("mean-of-distinct", "counts every distinct action of a pilot once", "MT7",
        _both(sampler=partial(softmax_moves, log_means=_unweighted))),
    _mutant("from-first-states", "searches from first states alone", "MT5", _search(starts=_from_first_states)),
    _mutant("from-layer-before", "searches from first states and the core-set of the layer before", "MT5",
        _search(starts=_from_layer_before)),
    _mutant("no-anchor-starts", "begins no search after an anchor", "MT5", _search(starts=_from_actions)),
    _mutant("acts-anew", "acts anew in the states of core-sets, where a search begins", "MT5",
        _search(starts=_from_states)),
    _mutant("no-base-draws", "draws no actions of the base policy where a search ends", "MT5",
        functions_of(search=_no_base_draws)),
    _mutant("not-relative", "compares features of base draws that are not relative to the anchor", "MT5",
        _search(base=_not_relative)),
    _mutant("lengths", "searches for the longest vector", "MT5", _search(norms=_lengths)),
    _mutant("norms-by-sigma", "takes Sigma for its inverse in norms", "MT5", _search(norms=_by_sigma)),
    _mutant("after-additions", "takes norms by a Sigma with the pair itself", "MT4",
        functions_of(search=_after_addition)),
    _mutant("no-twins", "adds no pair of the anchor to core-sets", "MT5", functions_of(grow=_without_twin)),
    _mutant("set-of-pairs", "adds no pair that a core-set has", "MT4", functions_of(grow=_once)),
    _mutant("threshold-of-nu", "compares squared norms with nu in place of its square", "MT4",
        functions_of(bound=lambda settings: settings.threshold * settings.nu)),
    _mutant("first-certain", "returns the first certain iteration", "MT4", functions_of(choose=_first_certain)),
    _mutant("last-of-all", "returns the last iteration once any was certain", "MT4", functions_of(choose=_any_last)),
    _mutant("first-layer", "asks of the first layer alone whether an iteration is certain", "MT4",
        functions_of(choose=_first_layer)),
    _mutant("mean-of-layers", "averages the squared norms of layers for the threshold", "MT4",
        functions_of(choose=_mean_layer)),
    _mutant("one-before", "returns the iteration before the last certain one", "MT4",
        functions_of(choose=_one_before)),
)
# fmt: on
"""Of the independent implementation of MTSS."""
