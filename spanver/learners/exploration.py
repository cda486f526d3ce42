"""Phase 2 of A2: rounds of a truncated softmax policy against the base policy, each fitted to all data so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spanver.kernels import fit as least_squares
from spanver.kernels import fit_moments
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner import Spanner
from spanver.oracle import Oracle
from spanver.policies import Sampler, TruncatedSoftmax
from spanver.randomness import stream
from spanver.values import FloatArray, IntArray, Outcome, Prompt, ResponseId

__all__ = ["Exploration", "Fit", "explore"]


@dataclass(frozen=True, eq=False)
class Exploration:
    """What phase 2 did in `T` rounds.

    Attributes
    ----------
    prompts, first, second : tuple, length T
        The pair of each round: `first` from the sampler, `second` from the base policy.
    vectors : array, shape (T, d)
        Relative features `v`.
    targets : array, shape (T,)
        Reward differences `r1 - r2`.
    thetas : array, shape (T, d)
        `theta_t`, fitted before the pair of its round was asked.
    spanner_sizes : array of int, shape (T,)
        How many spanner pairs were in the data of each fit.
    samples : array of int, shape (T,)
        Samples that the round cost.
    outcomes : tuple of Outcome, length T
        How the sampler came by `first`.
    """

    prompts: tuple[Prompt, ...]
    first: tuple[ResponseId, ...]
    second: tuple[ResponseId, ...]
    vectors: FloatArray
    targets: FloatArray
    thetas: FloatArray
    spanner_sizes: IntArray
    samples: IntArray
    outcomes: tuple[Outcome, ...]

    @property
    def rounds(self) -> int:
        """Number of rounds, `T`."""
        return len(self.targets)

    @classmethod
    def empty(cls, dimension: int) -> Exploration:
        """Return the exploration before its first round."""
        none = np.empty(0, dtype=np.int64)
        no_rows = np.empty((0, dimension))
        return cls((), (), (), no_rows, np.empty(0), no_rows, none, none, ())


class Fit(Protocol):
    """Least squares on the ball: `spanver.kernels.fit`, or anybody's."""

    def __call__(self, features: FloatArray, targets: FloatArray, radius: float, /) -> FloatArray:
        """Return `theta` of shape (d,)."""
        ...


def explore(
    oracle: Oracle,
    spanner: Spanner,
    *,
    rounds: int,
    multiplier: float,
    failure: float,
    seed: int,
    sampler: Sampler = softmax_sample,
    fit: Fit = least_squares,
    start: Exploration | None = None,
    on_round: Callable[[int, Callable[[], Exploration]], None] | None = None,
) -> Exploration:
    """Phase 2 of SpannerSampling (A2; `[FMR25]`).

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `sample`, `reward` and what the sampler asks.
    spanner : Spanner
        Frozen; its pairs are the first data of the fit.
    rounds : int
        `T_exp`: rounds to have completed in the end, those of `start` included.
    multiplier, failure : float
        `M_rej` and `delta_rej`.
    seed : int
    sampler : Sampler
    fit : Fit
        Called with all data every round; the default, which needs the moments of the data alone, is given those.
    start : Exploration, optional
        Where to go on from; its data count.
    on_round : callable, optional
        Called after each round with the number of rounds completed and a function that returns the exploration so far.

    Returns
    -------
    Exploration
    """
    start = start or Exploration.empty(oracle.dimension)
    data = _Data(spanner, start, rounds)
    prompts, first, second = list(start.prompts), list(start.first), list(start.second)
    thetas, sizes, samples = list(start.thetas), list(start.spanner_sizes), list(start.samples)
    outcomes = list(start.outcomes)
    precision = spanner.precision

    def so_far() -> Exploration:
        vectors, targets = data.explored()
        return Exploration(
            prompts=tuple(prompts),
            first=tuple(first),
            second=tuple(second),
            vectors=vectors,
            targets=targets,
            thetas=np.array(thetas, dtype=np.float64).reshape(-1, oracle.dimension),
            spanner_sizes=np.array(sizes, dtype=np.int64),
            samples=np.array(samples, dtype=np.int64),
            outcomes=tuple(outcomes),
        )

    for done in range(start.rounds, rounds):
        asked_before = oracle.ledger.samples
        theta = data.fitted(oracle.radius, fit)
        prompt = oracle.prompt()
        two = oracle.sample(prompt, 1)[0]
        score = TruncatedSoftmax(theta, precision, spanner.nu).score(two)
        one = sampler(oracle, prompt, score, multiplier=multiplier, failure=failure, seed=_round_seed(seed, done))
        data.add(one.features - two.features, oracle.reward(prompt, one) - oracle.reward(prompt, two))
        prompts.append(prompt)
        first.append(one.id)
        second.append(two.id)
        thetas.append(theta)
        sizes.append(spanner.size)
        samples.append(oracle.ledger.samples - asked_before)
        outcomes.append(one.outcome)
        if on_round is not None:
            on_round(done + 1, so_far)
    return so_far()


class _Data:
    """Regression data in one array that grows in place, spanner pairs first, with their moments."""

    def __init__(self, spanner: Spanner, start: Exploration, rounds: int) -> None:
        capacity = spanner.size + max(rounds, start.rounds)
        self._spanner_size, self._size = spanner.size, 0
        self._features = np.zeros((capacity, spanner.dimension))
        self._targets = np.zeros(capacity)
        self._gram = np.zeros((spanner.dimension, spanner.dimension))
        self._moment = np.zeros(spanner.dimension)
        for vectors, targets in ((spanner.vectors, spanner.targets), (start.vectors, start.targets)):
            for vector, target in zip(vectors, targets, strict=True):
                self.add(vector, float(target))

    def add(self, vector: FloatArray, target: float) -> None:
        self._features[self._size] = vector
        self._targets[self._size] = target
        self._gram += vector[:, None] * vector[None, :]
        self._moment += target * vector
        self._size += 1

    def fitted(self, radius: float, fit: Fit) -> FloatArray:
        if fit is not least_squares:
            features, targets = self._features[: self._size], self._targets[: self._size]
            features.flags.writeable = targets.flags.writeable = False
            return np.array(fit(features, targets, radius), dtype=np.float64)
        theta: FloatArray = fit_moments(self._gram, self._moment, radius)
        return theta

    def explored(self) -> tuple[FloatArray, FloatArray]:
        rows = slice(self._spanner_size, self._size)
        return self._features[rows].copy(), self._targets[rows].copy()


def _round_seed(seed: int, index: int) -> int:
    return int(stream(seed, "exploration round", index).integers(2**63))
