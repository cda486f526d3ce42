"""Mutants of multi-turn SpannerSampling (A4) and of the values of tokens: what E6, I5-I7, O1, S1-S4 and T5 must kill.

`explore` is A4 and `soft_values` its recursion, written anew: each step in which a mutant differs is an argument.
Unmutated they are as right as the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logsumexp

from spanver.learners.least_squares import fit_on
from spanver.learners.multi_turn import MultiTurnSettings
from spanver.learners.softmax_sampler import softmax_sample
from spanver.oracle import PrefixOracle
from spanver.parameter_sets import Ball, Shape
from spanver.policies import TruncatedSoftmax
from spanver.randomness import derived_seed
from spanver.values import FloatArray, Pair, Prefix, Response, Score, UncertainPairRule
from spanver.zoo.algebra import inverse
from spanver.zoo.mutant import Mutant, mutants_of

_MAX_SWEEPS = 60  # correct ones take far fewer here; some mutants would never end


@dataclass
class Layer:
    """Spanner and fit of one layer."""

    sigma: FloatArray
    theta: FloatArray
    pairs: list[Pair[Prefix]] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)


class UncoveredError(Exception):
    """A rollout met an uncovered pair."""

    def __init__(self, layer: int) -> None:
        super().__init__(layer)
        self.layer = layer


@dataclass
class Exploration:
    """A run of A4 so far, and the parts that mutants replace."""

    oracle: PrefixOracle
    settings: MultiTurnSettings
    seed: int
    layers: list[Layer]
    parts: Parts
    drawn: int = 0

    def check(self, layer: int, prefix: Prefix) -> bool:
        """CHECK: whether an uncovered pair was found, which is then in the spanner."""
        found = self.oracle.sample_until(prefix, self.parts.rule(self, layer), self.settings.pairs_per_prefix)
        if found.responses is None:
            return False
        pair = Pair(prefix, found.responses[0], found.responses[1])
        own = self.layers[layer]
        own.pairs.append(pair)
        own.sigma = own.sigma + self.parts.weight * np.outer(pair.difference, pair.difference)
        return True

    def policy(self, layer: int) -> TruncatedSoftmax:
        """Policy of a layer."""
        own = self.layers[layer]
        return TruncatedSoftmax(own.theta, inverse(own.sigma), self.settings.nu)

    def token(self, layer: int, prefix: Prefix) -> tuple[Response, Score]:
        """A token of the policy of a layer, and the score it was drawn with."""
        score = self.policy(layer).score(self.oracle.sample(prefix, 1)[0])
        self.drawn += 1
        drawn = softmax_sample(
            self.oracle,
            prefix,
            score,
            multiplier=self.settings.rejection_multiplier,
            failure=self.settings.rejection_failure,
            seed=derived_seed(self.seed, f"token {self.drawn}"),
        )
        return drawn, score

    def returned(self, prefix: Prefix) -> float:
        """Return of one rollout."""
        penalty = 0.0
        for layer in range(len(prefix.tokens), len(self.layers)):
            if self.check(layer, prefix) and self.parts.restarts:
                raise UncoveredError(layer)
            token, score = self.token(layer, prefix)
            penalty += self.parts.ratio(self, prefix, token, score)
            prefix = prefix.extended(token)
        return self.oracle.reward(prefix) - self.oracle.beta * penalty

    def fit(self, layer: int) -> None:
        """Roll out from both tokens of every pair, and fit."""
        own = self.layers[layer]
        own.targets = [self.parts.target(self, pair) for pair in own.pairs]
        vectors = np.array([pair.difference for pair in own.pairs]).reshape(-1, self.oracle.dimension)
        parameters = (self.parts.shape or self.oracle.shape)(self.parts.radius * self.oracle.radius)
        own.theta = fit_on(vectors, np.array(own.targets), parameters)

    def mean_return(self, start: Prefix) -> float:
        """Mean of all rollouts from a prefix."""
        return float(np.mean([self.returned(start) for _ in range(self.settings.rollouts)]))


def own_rule(run: Exploration, layer: int) -> UncertainPairRule:
    """Rule of CHECK, with the spanner of the layer."""
    return UncertainPairRule(inverse(run.layers[layer].sigma), run.settings.nu)


def log_ratio(run: Exploration, prefix: Prefix, token: Response, score: Score, *, draws: int | None = None) -> float:
    """`log(pi/pi_ref)` given the second token, with samples of its own for the normaliser."""
    count = run.settings.partition_samples if draws is None else draws
    counted = run.oracle.sample_counts(prefix, count)
    weights = np.log(counted.counts) - math.log(count) + score.of(counted.responses.features) / run.oracle.beta
    return float(score.of(token.features[None])[0]) / run.oracle.beta - float(logsumexp(weights))


def unnormalised(run: Exploration, prefix: Prefix, token: Response, score: Score) -> float:
    """The ratio without its normaliser."""
    return log_ratio(run, prefix, token, score) * 0.0 + float(score.of(token.features[None])[0]) / run.oracle.beta


def return_difference(run: Exploration, pair: Pair[Prefix]) -> float:
    """Difference of the mean returns from both tokens."""
    one, two = (run.mean_return(pair.prompt.extended(token)) for token in (pair.first, pair.second))
    return one - two


def first_alone(run: Exploration, pair: Pair[Prefix]) -> float:
    """Mean return from the first token; that from the second is drawn and forgotten."""
    return run.mean_return(pair.prompt.extended(pair.first)) + 0.0 * run.mean_return(pair.prompt.extended(pair.second))


@dataclass(frozen=True)
class Parts:
    """What mutants replace."""

    rule: Callable[[Exploration, int], UncertainPairRule] = own_rule
    ratio: Callable[[Exploration, Prefix, Response, Score], float] = log_ratio
    target: Callable[[Exploration, Pair[Prefix]], float] = return_difference
    order: Callable[[int], Sequence[int]] = lambda last: range(last, -1, -1)
    restart: Callable[[int], int] = lambda layer: layer
    restarts: bool = True
    radius: float = 1.0
    shape: Shape | None = None
    weight: float = 1.0


def explore(oracle: PrefixOracle, *, horizon: int, settings: MultiTurnSettings, seed: int, **parts: Any) -> Any:
    """A4, with some of its `Parts` replaced."""
    sigma = settings.ridge * np.eye(oracle.dimension)
    layers = [Layer(sigma, np.zeros(oracle.dimension)) for _ in range(horizon)]
    run = Exploration(oracle, settings, seed, layers, Parts(**parts))
    for _ in range(settings.prompts):
        prefix = oracle.prompt()
        for layer in range(horizon):
            run.check(layer, prefix)
            prefix = prefix.extended(oracle.sample(prefix, 1)[0])
    start = horizon - 1
    for _ in range(_MAX_SWEEPS):
        try:
            for layer in run.parts.order(start):
                run.fit(layer)
            for _ in range(settings.tests):
                prefix = oracle.prompt()
                for layer in range(horizon):
                    if run.check(layer, prefix):
                        raise UncoveredError(layer)
                    prefix = prefix.extended(run.token(layer, prefix)[0])
        except UncoveredError as found:
            start = run.parts.restart(found.layer)
        else:
            break
    return _result(run)


def _result(run: Exploration) -> dict[str, Any]:
    for layer in run.layers:  # a mutant that does not restart has pairs that were never fitted to
        layer.targets += [0.0] * (len(layer.pairs) - len(layer.targets))
    return {
        "thetas": np.array([layer.theta for layer in run.layers]),
        "pairs": [layer.pairs for layer in run.layers],
        "targets": [np.array(layer.targets) for layer in run.layers],
        "policy": {"layers": [run.policy(layer) for layer in range(len(run.layers))]},
    }


def _soft(base: FloatArray, q: FloatArray, beta: float) -> FloatArray:
    return np.asarray(beta * logsumexp(base + q / beta, axis=1))


def soft_values(
    layers: Sequence[FloatArray],
    rewards: FloatArray,
    beta: float,
    *,
    value: Callable[[FloatArray, FloatArray, float], FloatArray] = _soft,
) -> list[FloatArray]:
    """The recursion of A4; `value` is that of each prefix, given the base policy and the values of its tokens."""
    vocabulary_size = layers[0].shape[1]
    found = [np.asarray(rewards).reshape(-1, vocabulary_size)]
    for base in reversed(layers[1:]):
        found.append(value(base, found[-1], beta).reshape(-1, vocabulary_size))
    return found[::-1]


def _shifted_rows(layers: Sequence[FloatArray], rewards: FloatArray, beta: float) -> list[FloatArray]:
    return soft_values([layers[0], *(np.roll(layer, 1, axis=0) for layer in layers[1:])], rewards, beta)


_values = mutants_of("soft_q", "values", soft_values)
_turns = mutants_of("multi_turn", "turns", explore)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    # Each of these values breaks all of I5-I7, and is expected to be killed by one, so that all three are seen to kill.
    _values("hard", "takes maxima for the values of prefixes, which should be soft", "I5",
        value=lambda base, q, beta: q.max(axis=1)),
    _values("mean", "takes means under the base policy for the values of prefixes", "I6",
        value=lambda base, q, beta: (np.exp(base) * q).sum(axis=1)),
    _values("inverse-beta", "divides by beta outside the logarithm and multiplies inside", "I7",
        value=lambda base, q, beta: logsumexp(base + q * beta, axis=1) / beta),
    _values("no-beta", "forgets the factor beta in front of the logarithm", "I5",
        value=lambda base, q, beta: logsumexp(base + q / beta, axis=1)),
    _values("uniform-base", "weighs tokens alike in the recursion, whatever the base policy", "I6",
        value=lambda base, q, beta: _soft(np.full_like(base, -math.log(base.shape[1])), q, beta)),
    _values("unnormalised-base", "leaves the base weights out of the recursion", "I7",
        value=lambda base, q, beta: _soft(np.zeros_like(base), q, beta)),
    _values("shifted-rows", "takes for each prefix the base policy of the prefix before it", "I5", _shifted_rows),
    _turns("no-kl", "leaves the KL term out of the returns of rollouts", "I7", ratio=lambda *_: 0.0),
    _turns("kl-sign", "adds the KL term to the returns of rollouts", "I7", ratio=lambda *given: -log_ratio(*given)),
    _turns("no-normaliser", "forgets the normaliser in the log ratio of a rollout's policy", "I7", ratio=unnormalised),
    _turns("ratio-without-beta", "does not weigh the KL term of a rollout with beta", "I7",
        ratio=lambda run, *given: log_ratio(run, *given) / run.oracle.beta),
    _turns("few-normaliser-draws", "estimates the normaliser from two samples, whatever the settings say", "I7",
        ratio=partial(log_ratio, draws=2)),
    _turns("check-first-layer", "uses the matrix of the first layer in CHECK everywhere", "S1 S4 I7",
        rule=lambda run, _: own_rule(run, 0)),
    _turns("forward-sweep", "sweeps from the first layer to the last", "I7", order=lambda last: range(last + 1)),
    _turns("last-layer-only", "fits only the layer that a sweep starts at", "E6 I7 O1", order=lambda last: (last,)),
    _turns("stale-first-layer", "leaves the first layer's parameter stale after a restart", "E6 I7",
        order=lambda last: range(last, 0, -1) if last else (0,)),
    _turns("no-restart", "goes on when a rollout meets an uncovered pair, and does not restart the sweep", "E6 I7 O1",
        restarts=False),
    _turns("first-return-alone", "fits a layer to returns from the first token, not to differences", "I7",
        target=first_alone),
    _turns("same-token-twice", "begins both rollouts of a pair with its first token", "I7",
        target=lambda run, pair: return_difference(run, replace(pair, second=pair.first))),
    _turns("swapped-sign", "takes differences of returns the wrong way round", "I7",
        target=lambda run, pair: -return_difference(run, pair)),
    _turns("many-rollouts", "averages a hundred differences of returns in place of one", "T5",
        target=lambda run, pair: float(np.mean([return_difference(run, pair) for _ in range(100)]))),
    _turns("radius-doubled", "allows parameters of twice the radius", "E6", radius=2.0),
    _turns("ball-for-box", "fits on the ball whatever the shape", "E6", shape=Ball),
    _turns("radius-halved", "allows parameters of half the radius only", "E6", radius=0.5),
    _turns("pairs-counted-twice", "adds a new pair to Sigma twice", "S2 S3", weight=2.0),
)
"""Of `soft_q` and `multi_turn`."""
