"""Mutants of multi-turn SpannerSampling (A4) and of the values of tokens (I5-I7).

`explore` is A4 written anew; each part in which a mutant differs is an argument. Unmutated it is as right as the
reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logsumexp

from spanver.kernels import fit as least_squares
from spanver.learners.multi_turn import MultiTurnSettings, TokenPair
from spanver.learners.softmax_sampler import softmax_sample
from spanver.oracle import PrefixOracle
from spanver.policies import TruncatedSoftmax
from spanver.randomness import derived_seed
from spanver.values import FloatArray, Prefix, Response, Score, UncertainPairRule
from spanver.zoo.mutant import Mutant

__all__ = ["MUTANTS", "explore"]

MOST_SWEEPS = 60  # correct ones take far fewer here; some mutants would never end


@dataclass
class Layer:
    """Spanner and fit of one layer."""

    sigma: FloatArray
    theta: FloatArray
    pairs: list[TokenPair] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)


class UncoveredError(Exception):
    """A rollout met an uncovered pair."""

    def __init__(self, layer: int) -> None:
        super().__init__(layer)
        self.layer = layer


def _inverse(sigma: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.inv(sigma), dtype=np.float64)


@dataclass
class Result:
    """What is judged of a run."""

    thetas: FloatArray
    pairs: list[list[TokenPair]]
    targets: list[FloatArray]
    policy: Any


@dataclass
class Policy:
    """Its layers."""

    layers: list[TruncatedSoftmax]


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
        pair = TokenPair(prefix, found.responses[0], found.responses[1])
        own = self.layers[layer]
        own.pairs.append(pair)
        own.sigma = own.sigma + self.parts.weight * np.outer(pair.difference, pair.difference)
        return True

    def token(self, layer: int, prefix: Prefix) -> tuple[Response, Score]:
        """A token of the policy of a layer, and the score it was drawn with."""
        second = self.oracle.sample(prefix, 1)[0]
        own = self.layers[layer]
        score = TruncatedSoftmax(own.theta, _inverse(own.sigma), self.settings.nu).score(second)
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
        own.theta = least_squares(vectors, np.array(own.targets), self.parts.radius * self.oracle.radius)

    def mean_return(self, start: Prefix) -> float:
        """Mean of all rollouts from a prefix."""
        return float(np.mean([self.returned(start) for _ in range(self.settings.rollouts)]))


def own_rule(run: Exploration, layer: int) -> UncertainPairRule:
    """Rule of CHECK, with the spanner of the layer."""
    return UncertainPairRule(_inverse(run.layers[layer].sigma), run.settings.nu)


def first_rule(run: Exploration, layer: int) -> UncertainPairRule:
    """Rule of CHECK, with the spanner of the first layer."""
    return own_rule(run, 0)


def log_ratio(run: Exploration, prefix: Prefix, token: Response, score: Score, *, draws: int | None = None) -> float:
    """`log(pi/pi_ref)` given the second token, with samples of its own for the normaliser."""
    count = run.settings.partition_samples if draws is None else draws
    counted = run.oracle.sample_counts(prefix, count)
    weights = np.log(counted.counts) - math.log(count) + score.of(counted.responses.features) / run.oracle.beta
    return float(score.of(token.features[None])[0]) / run.oracle.beta - float(logsumexp(weights))


def unnormalised(run: Exploration, prefix: Prefix, token: Response, score: Score) -> float:
    """The ratio without its normaliser."""
    return log_ratio(run, prefix, token, score) * 0.0 + float(score.of(token.features[None])[0]) / run.oracle.beta


def without_beta(run: Exploration, prefix: Prefix, token: Response, score: Score) -> float:
    """The ratio of a policy at `beta = 1`."""
    return log_ratio(run, prefix, token, score) / run.oracle.beta


def difference(run: Exploration, pair: TokenPair) -> float:
    """Difference of the mean returns from both tokens."""
    one, two = (run.mean_return(pair.prefix.extended(token)) for token in (pair.first, pair.second))
    return one - two


def first_alone(run: Exploration, pair: TokenPair) -> float:
    """Mean return from the first token, the second one's forgotten."""
    return run.mean_return(pair.prefix.extended(pair.first)) + 0.0 * run.mean_return(pair.prefix.extended(pair.second))


def same_twice(run: Exploration, pair: TokenPair) -> float:
    """Difference of two mean returns from the first token."""
    start = pair.prefix.extended(pair.first)
    return run.mean_return(start) - run.mean_return(start)


@dataclass(frozen=True)
class Parts:
    """What mutants replace."""

    rule: Callable[[Exploration, int], UncertainPairRule] = own_rule
    ratio: Callable[[Exploration, Prefix, Response, Score], float] = log_ratio
    target: Callable[[Exploration, TokenPair], float] = difference
    order: Callable[[int], Sequence[int]] = lambda last: range(last, -1, -1)
    restart: Callable[[int], int] = lambda layer: layer
    restarts: bool = True
    radius: float = 1.0
    weight: float = 1.0


def explore(oracle: PrefixOracle, *, horizon: int, settings: MultiTurnSettings, seed: int, parts: Parts) -> Result:
    """A4 with some of its parts replaced."""
    sigma = settings.ridge * np.eye(oracle.dimension)
    run = Exploration(oracle, settings, seed, [Layer(sigma, np.zeros(oracle.dimension)) for _ in range(horizon)], parts)
    for _ in range(settings.prompts):
        prefix = oracle.prompt()
        for layer in range(horizon):
            run.check(layer, prefix)
            prefix = prefix.extended(oracle.sample(prefix, 1)[0])
    start = horizon - 1
    for _ in range(MOST_SWEEPS):
        try:
            for layer in parts.order(start):
                run.fit(layer)
            for _ in range(settings.tests):
                prefix = oracle.prompt()
                for layer in range(horizon):
                    if run.check(layer, prefix):
                        raise UncoveredError(layer)
                    prefix = prefix.extended(run.token(layer, prefix)[0])
        except UncoveredError as found:
            start = parts.restart(found.layer)
        else:
            break
    return _result(run)


def _result(run: Exploration) -> Result:
    for layer in run.layers:  # a mutant that does not restart has pairs that were never fitted to
        layer.targets += [0.0] * (len(layer.pairs) - len(layer.targets))
    return Result(
        thetas=np.array([layer.theta for layer in run.layers]),
        pairs=[layer.pairs for layer in run.layers],
        targets=[np.array(layer.targets) for layer in run.layers],
        policy=Policy([
            TruncatedSoftmax(layer.theta, _inverse(layer.sigma), run.settings.nu) for layer in run.layers
        ]),
    )  # fmt: skip


def soft_values(
    layers: Sequence[FloatArray],
    rewards: FloatArray,
    beta: float,
    *,
    value: Callable[[FloatArray, FloatArray, float], FloatArray],
) -> list[FloatArray]:
    """The recursion of A4 with another value of a prefix."""
    vocabulary_size = layers[0].shape[1]
    found = [np.asarray(rewards).reshape(-1, vocabulary_size)]
    for base in reversed(layers[1:]):
        found.append(value(base, found[-1], beta).reshape(-1, vocabulary_size))
    return found[::-1]


def _soft(base: FloatArray, q: FloatArray, beta: float) -> FloatArray:
    return np.asarray(beta * logsumexp(base + q / beta, axis=1))


def _shifted(layers: Sequence[FloatArray], rewards: FloatArray, beta: float) -> list[FloatArray]:
    """Values weighted with the base policy of the layer before, row by row."""
    moved = [layers[0]] + [np.roll(layer, 1, axis=0) for layer in layers[1:]]
    return soft_values(moved, rewards, beta, value=_soft)


def _mean_rewards(base: FloatArray, q: FloatArray, beta: float) -> FloatArray:
    return np.asarray((np.exp(base) * q).sum(axis=1))


VALUES: tuple[tuple[str, str, Callable[..., list[FloatArray]]], ...] = (
    ("values-hard", "Values of prefixes are maxima where they should be soft.",
     partial(soft_values, value=lambda base, q, beta: q.max(axis=1))),
    ("values-mean", "Values of prefixes are means under the base policy, as if its KL term cost nothing to keep.",
     partial(soft_values, value=_mean_rewards)),
    ("values-inverse-beta", "The recursion divides by beta outside and multiplies inside.",
     partial(soft_values, value=lambda base, q, beta: logsumexp(base + q * beta, axis=1) / beta)),
    ("values-no-beta", "The recursion forgets the factor beta in front of the logarithm.",
     partial(soft_values, value=lambda base, q, beta: logsumexp(base + q / beta, axis=1))),
    ("values-uniform-base", "Tokens are weighted alike in the recursion, whatever the base policy.",
     partial(soft_values, value=lambda base, q, beta: _soft(np.full_like(base, -math.log(base.shape[1])), q, beta))),
    ("values-unnormalised-base", "The base weights are left out of the recursion.",
     partial(soft_values, value=lambda base, q, beta: _soft(np.zeros_like(base), q, beta))),
    ("values-shifted-rows", "Each prefix takes the base policy of the prefix before it.", _shifted),
)  # fmt: skip

RUNS: tuple[tuple[str, str, tuple[str, ...], Parts], ...] = (
    ("turns-no-kl", "Returns of rollouts leave out the KL term.", ("I7",), Parts(ratio=lambda *_: 0.0)),
    ("turns-kl-sign", "Returns of rollouts add the KL term.", ("I7",),
     Parts(ratio=lambda *arguments: -log_ratio(*arguments))),
    ("turns-no-normaliser", "The log ratio of a rollout's policy has no normaliser.", ("I7",),
     Parts(ratio=unnormalised)),
    ("turns-ratio-without-beta", "The KL term of a rollout is not weighted with beta.", ("I7",),
     Parts(ratio=without_beta)),
    ("turns-few-normaliser-draws", "The normaliser is estimated from two samples, whatever was asked for.", ("I7",),
     Parts(ratio=partial(log_ratio, draws=2))),
    ("turns-check-first-layer", "CHECK uses the matrix of the first layer everywhere.", ("S1", "S4", "I7"),
     Parts(rule=first_rule)),
    ("turns-forward-sweep", "The sweep goes from the first layer to the last.", ("I7",),
     Parts(order=lambda last: range(last + 1))),
    ("turns-last-layer-only", "A sweep fits the layer that it starts at, and no other.", ("E6", "I7", "O1"),
     Parts(order=lambda last: (last,))),
    ("turns-stale-first-layer", "After a restart the first layer keeps its stale parameter.", ("E6", "I7"),
     Parts(order=lambda last: range(last, 0, -1) if last else (0,))),
    ("turns-no-restart", "A rollout that meets an uncovered pair goes on instead of restarting the sweep.",
     ("E6", "I7", "O1"), Parts(restarts=False)),
    ("turns-first-return-alone", "A layer is fitted to returns from the first token, not to differences.", ("I7",),
     Parts(target=first_alone)),
    ("turns-same-token-twice", "Both rollouts of a pair begin with its first token.", ("I7",),
     Parts(target=same_twice)),
    ("turns-swapped-sign", "Differences of returns are taken the wrong way round.", ("I7",),
     Parts(target=lambda run, pair: -difference(run, pair))),
    ("turns-many-rollouts", "Takes a hundred differences of returns where one was asked for.", ("T5",),
     Parts(target=lambda run, pair: float(np.mean([difference(run, pair) for _ in range(100)])))),
    ("turns-radius-doubled", "Parameters may have twice the radius.", ("E6",), Parts(radius=2.0)),
    ("turns-radius-halved", "Parameters may have half the radius.", ("E6",), Parts(radius=0.5)),
    ("turns-pairs-counted-twice", "A new pair is added to Sigma twice.", ("S2", "S3"), Parts(weight=2.0)),
)  # fmt: skip


MUTANTS = (
    # Each breaks all of I5 to I7; every one of these is shown to see some of them alone.
    *(
        Mutant(name, bug, (("I5", "I6", "I7")[index % 3],), {"soft_q": function})
        for index, (name, bug, function) in enumerate(VALUES)
    ),
    *(Mutant(name, bug, breaks, {"multi_turn": partial(explore, parts=parts)}) for name, bug, breaks, parts in RUNS),
)

CONTROL = Mutant(
    "variant-turns",
    "A4 written anew, with inverses in place of updates, and the recursion with logsumexp.",
    ("S1", "S2", "S3", "S4", "E6", "O1", "I5", "I6", "I7", "T5"),
    {"multi_turn": partial(explore, parts=Parts()), "soft_q": partial(soft_values, value=_soft)},
)
