"""Multi-turn SpannerSampling (A4) and the values of tokens, written from their statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spanver.oracle import PrefixOracle
from spanver.values import Counts, FloatArray, Pair, Prefix, Response, Score, TruncatedScore
from spanver.zoo.independent.algebra import log_sum_exp
from spanver.zoo.independent.boxes import box_fit, in_set_of
from spanver.zoo.independent.exploration import MakeMoments, Moments, Search, searched_pair
from spanver.zoo.independent.regressions import Fit, fit
from spanver.zoo.independent.samplers import log_pilot_mean, softmax_sample


def soft_q(layers: Sequence[FloatArray], rewards: FloatArray, beta: float) -> list[FloatArray]:
    """Values of the tokens of every layer, first layer first."""
    values = [np.asarray(rewards).reshape(np.shape(layers[-1]))]
    for layer in range(len(layers) - 1, 0, -1):
        soft = [beta * log_sum_exp(base + below / beta) for base, below in zip(layers[layer], values[0], strict=True)]
        values.insert(0, np.array(soft).reshape(np.shape(layers[layer - 1])))
    return values


class UncoveredError(Exception):
    """A rollout met a prefix of this layer that was not covered; by now it is."""

    def __init__(self, layer: int) -> None:
        super().__init__(layer)
        self.layer = layer


def whole_ball(radius: float, horizon: int) -> float:
    """Radius of the ball of each layer."""
    del horizon
    return radius


class Explorer:
    """One run of A4.

    Parameters
    ----------
    oracle : PrefixOracle
    horizon : int
    settings : object
        Settings of A4.
    seed : int
    moments, search, sampler, fit : callable
        As in SpannerSampling.
    radius : callable
        Radius of the fits, given the oracle's and the horizon.
    """

    def __init__(
        self,
        oracle: PrefixOracle,
        horizon: int,
        settings: Any,
        seed: int,
        *,
        moments: MakeMoments = Moments,
        search: Search = searched_pair,
        sampler: Callable[..., Response] = softmax_sample,
        fit: Fit = fit,
        radius: Callable[[float, int], float] = whole_ball,
    ) -> None:
        self._oracle, self._horizon, self._settings, self._seed = oracle, horizon, settings, seed
        self._search, self._sampler, self._fit = search, sampler, in_set_of(oracle, fit, box_fit)
        self._radius = radius(oracle.radius, horizon)
        self._moments = [moments(oracle.dimension, settings.ridge) for _ in range(horizon)]
        self._pairs: list[list[Pair[Prefix]]] = [[] for _ in range(horizon)]
        self._thetas: list[FloatArray] = [np.zeros(oracle.dimension) for _ in range(horizon)]
        self._targets: list[FloatArray] = [np.zeros(0) for _ in range(horizon)]
        self._calls = 0

    def run(self) -> dict[str, Any]:
        """Roll in, then sweep and test until nothing uncovered is met."""
        for _ in range(self._settings.prompts):
            prefix = self._oracle.prompt()
            for layer in range(self._horizon):
                self._is_uncovered(layer, prefix)
                prefix = prefix.extended(self._oracle.sample(prefix, 1)[0])
        start = self._horizon - 1
        while True:
            try:
                for layer in range(start, -1, -1):
                    self._fit_layer(layer)
                for _ in range(self._settings.tests):
                    self._test()
            except UncoveredError as found:
                start = found.layer
            else:
                break
        layers = [
            {"theta": theta, "precision": moments.precision, "nu": self._settings.nu}
            for theta, moments in zip(self._thetas, self._moments, strict=True)
        ]
        return {
            "thetas": np.array(self._thetas),
            "targets": self._targets,
            "pairs": self._pairs,
            "policy": {"layers": layers},
        }

    def _is_uncovered(self, layer: int, prefix: Prefix) -> bool:
        """Look for an uncertain pair, which is then added."""
        pair = self._search(
            self._oracle, prefix, self._moments[layer], self._settings.nu, self._settings.pairs_per_prefix
        )
        if pair is None:
            return False
        self._pairs[layer].append(pair)
        self._moments[layer].add(pair.difference)
        return True

    def _visit(self, layer: int, prefix: Prefix) -> None:
        if self._is_uncovered(layer, prefix):
            raise UncoveredError(layer)

    def _token(self, layer: int, prefix: Prefix) -> tuple[Response, Score]:
        second = self._oracle.sample(prefix, 1)[0]
        moments = self._moments[layer]
        score = TruncatedScore(self._thetas[layer], second.features, moments.precision, self._settings.nu)
        self._calls += 1
        token = self._sampler(
            self._oracle,
            prefix,
            score,
            multiplier=self._settings.rejection_multiplier,
            failure=self._settings.rejection_failure,
            seed=self._seed + self._calls,
        )
        return token, score

    def _log_ratio(self, prefix: Prefix, token: Response, score: Score) -> float:
        """Estimate of the log ratio of policy and base policy at a token."""
        counted: Counts = self._oracle.sample_counts(prefix, self._settings.partition_samples)
        log_partition = log_pilot_mean(score, counted, self._oracle.beta)
        return float(score.of(token.features[None])[0]) / self._oracle.beta - log_partition

    def _rollout(self, prefix: Prefix) -> float:
        penalty = 0.0
        for layer in range(len(prefix.tokens), self._horizon):
            self._visit(layer, prefix)
            token, score = self._token(layer, prefix)
            penalty += self._log_ratio(prefix, token, score)
            prefix = prefix.extended(token)
        return self._oracle.reward(prefix) - self._oracle.beta * penalty

    def _mean_return(self, pair: Pair[Prefix], token: Response) -> float:
        start = pair.prompt.extended(token)
        return sum(self._rollout(start) for _ in range(self._settings.rollouts)) / self._settings.rollouts

    def _fit_layer(self, layer: int) -> None:
        pairs = list(self._pairs[layer])
        targets = [self._mean_return(pair, pair.first) - self._mean_return(pair, pair.second) for pair in pairs]
        vectors = np.array([pair.difference for pair in pairs]).reshape(-1, self._oracle.dimension)
        self._targets[layer] = np.array(targets)
        self._thetas[layer] = self._fit(vectors, self._targets[layer], self._radius)

    def _test(self) -> None:
        prefix = self._oracle.prompt()
        for layer in range(self._horizon):
            self._visit(layer, prefix)
            prefix = prefix.extended(self._token(layer, prefix)[0])


def multi_turn(oracle: PrefixOracle, *, horizon: int, settings: Any, seed: int, **steps: Any) -> dict[str, Any]:
    """A4 with warm start."""
    return Explorer(oracle, horizon, settings, seed, **steps).run()
