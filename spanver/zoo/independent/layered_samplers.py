"""Policies of a layer, and the sampler with ratios (FMR25, Algorithm 2, p. 37) in many states at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.random import Generator

from spanver.episodic import AnchoredScore, EpisodicOracle, States, Tallies
from spanver.values import FloatArray, IntArray
from spanver.zoo.independent.algebra import elliptic_norms
from spanver.zoo.independent.exploration import inverted
from spanver.zoo.independent.samplers import size_of

DRAWN_ONE_BY_ONE = 2**12
"""Pilots and trials of more draws are left to the oracle's compressed queries."""


class Core(Protocol):
    """A core-set of a layer."""

    @property
    def states(self) -> IntArray:
        """Shape (n,)."""
        ...

    @property
    def actions(self) -> IntArray:
        """Shape (n,)."""
        ...

    @property
    def vectors(self) -> FloatArray:
        """Features less those of the anchor, shape (n, d)."""
        ...


@dataclass(frozen=True, eq=False)
class LayerPolicy:
    """Softmax policy of a layer, whose scores count up to the norm `nu`."""

    theta: FloatArray
    sigma: FloatArray
    nu: float

    def norms(self, vectors: FloatArray) -> FloatArray:
        """Elliptic norms of vectors of shape (n, d): shape (n,)."""
        return elliptic_norms(vectors.astype(self.sigma.dtype), self.sigma)

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Scores of vectors of shape (n, d): shape (n,)."""
        return np.asarray(np.where(self.norms(vectors) <= self.nu, vectors @ self.theta, 0.0))

    def query(self, anchors: FloatArray) -> AnchoredScore:
        """The score as an oracle takes it, in states whose anchors have these features."""
        return AnchoredScore(self.theta, inverted(self.sigma), self.nu, anchors)


@dataclass(frozen=True, eq=False)
class Moves:
    """Actions of a batch of states, their density ratios in logs, and the features of the states' anchors."""

    actions: IntArray
    vectors: FloatArray
    log_ratios: FloatArray
    anchors: FloatArray


MakePolicy: TypeAlias = Callable[[Core, FloatArray, Any], LayerPolicy]
Sampler: TypeAlias = Callable[[EpisodicOracle, States, LayerPolicy, Any, Generator], Moves]
Trialled: TypeAlias = tuple[IntArray, FloatArray]
"""Actions, -1 where none was accepted, and their features."""


def summed(core: Core, ridge: float, *, dtype: Any = np.float64) -> FloatArray:
    """`ridge I` and the outer product of every vector of a core-set, shape (d, d)."""
    sigma: FloatArray = np.eye(core.vectors.shape[1], dtype=dtype) * ridge
    for vector in core.vectors.astype(dtype):
        sigma = sigma + np.outer(vector, vector)
    return sigma


def truncated_policy(core: Core, theta: FloatArray, settings: Any, *, dtype: Any = np.float64) -> LayerPolicy:
    """The policy of a parameter, truncated by its layer's core-set."""
    return LayerPolicy(theta, summed(core, settings.ridge, dtype=dtype), settings.nu)


def log_mean_weights(exponents: FloatArray, pilots: Tallies, states: int) -> FloatArray:
    """`log Z` of every state's pilot, shape (states,), given the log weights of its draws."""
    peaks = np.full(states, -np.inf)
    np.maximum.at(peaks, pilots.rows, exponents)
    weights = pilots.counts * np.exp(exponents - peaks[pilots.rows])
    return np.asarray(peaks + np.log(np.bincount(pilots.rows, weights) / np.bincount(pilots.rows, pilots.counts)))


def counted_pilots(oracle: EpisodicOracle, states: States, count: int) -> Tallies:
    """Pilots by the compressed query."""
    return oracle.sample_counts(states, count)


def drawn_pilots(oracle: EpisodicOracle, states: States, count: int) -> Tallies:
    """Pilots by plain draws, one state after the other, where they are few."""
    if count > DRAWN_ONE_BY_ONE:
        return counted_pilots(oracle, states, count)
    drawn = [oracle.sample(some(states, np.array([row])), count) for row in range(len(states))]
    return Tallies(
        rows=np.repeat(np.arange(len(states)), count),
        actions=np.concatenate([each.actions[0] for each in drawn]),
        counts=np.ones(len(states) * count, dtype=np.int64),
        features=np.concatenate([each.features[0] for each in drawn]),
    )


def some(states: States, rows: IntArray) -> States:
    """Some states of a batch."""
    return States(states.layer, states.ids[rows], states.episodes)


def searched_trials(
    oracle: EpisodicOracle,
    states: States,
    policy: LayerPolicy,
    anchors: FloatArray,
    thresholds: FloatArray,
    limit: int,
    generator: Generator,
) -> Trialled:
    """Trials by the compressed query."""
    del generator
    found = oracle.sample_until(states, policy.query(anchors), thresholds, limit)
    return found.actions.copy(), found.features.copy()


def tried_trials(
    oracle: EpisodicOracle,
    states: States,
    policy: LayerPolicy,
    anchors: FloatArray,
    thresholds: FloatArray,
    limit: int,
    generator: Generator,
) -> Trialled:
    """Trials by plain draws, one in each state at a time, accepted by randomness of its own, where they are few."""
    if limit > DRAWN_ONE_BY_ONE:
        return searched_trials(oracle, states, policy, anchors, thresholds, limit, generator)
    actions, features = np.full(len(states), -1), np.zeros_like(anchors)
    for _ in range(limit):
        left = np.flatnonzero(actions < 0)
        if len(left) == 0:
            break
        fresh = oracle.sample(some(states, left), 1)
        log_acceptance = policy.scores(fresh.features[:, 0] - anchors[left]) / oracle.beta - thresholds[left]
        accepted = np.log(1.0 - generator.random(len(left))) <= log_acceptance
        actions[left[accepted]] = fresh.actions[accepted, 0]
        features[left[accepted]] = fresh.features[accepted, 0]
    return actions, features


def softmax_moves(
    oracle: EpisodicOracle,
    states: States,
    policy: LayerPolicy,
    settings: Any,
    generator: Generator,
    *,
    pilots: Callable[[EpisodicOracle, States, int], Tallies] = counted_pilots,
    log_means: Callable[[FloatArray, Tallies, int], FloatArray] = log_mean_weights,
    trials: Callable[..., Trialled] = searched_trials,
) -> Moves:
    """Algorithm 2 in every state of a batch."""
    size = size_of(settings.multiplier, settings.failure)
    anchors = oracle.feature(states, np.full(len(states), oracle.anchor))
    drawn = pilots(oracle, states, size)
    exponents = policy.scores(drawn.features - anchors[drawn.rows]) / oracle.beta
    log_z = log_means(exponents, drawn, len(states))
    thresholds = math.log(settings.multiplier) + log_z
    actions, features = trials(oracle, states, policy, anchors, thresholds, size, generator)
    missed = np.flatnonzero(actions < 0)
    if len(missed) > 0:
        last = oracle.sample(some(states, missed), 1)
        actions[missed], features[missed] = last.actions[:, 0], last.features[:, 0]
    vectors = features - anchors
    return Moves(actions, vectors, policy.scores(vectors) / oracle.beta - log_z, anchors)


def base_moves(
    oracle: EpisodicOracle, states: States, policy: LayerPolicy, settings: Any, generator: Generator
) -> Moves:
    """One draw of the base policy in every state: the law of a parameter of 0, of which every ratio is 1."""
    del policy, settings, generator
    anchors = oracle.feature(states, np.full(len(states), oracle.anchor))
    drawn = oracle.sample(states, 1)
    return Moves(drawn.actions[:, 0], drawn.features[:, 0] - anchors, np.zeros(len(states)), anchors)
