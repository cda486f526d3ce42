"""Phase 2 of A2: rounds of a truncated softmax policy against the base policy, each fitted to all data so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Protocol

import numpy as np

from spanver.learners.completed import completed
from spanver.learners.feedback import require_feedback, target_of
from spanver.learners.least_squares import fit_moments_on
from spanver.learners.losses import logistic_fit
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner import Spanner
from spanver.oracle import ANCHORS, Anchor, Feedback, Oracle, second_response
from spanver.parameter_sets import ParameterSet
from spanver.policies import Sampler, TruncatedSoftmax
from spanver.randomness import stream
from spanver.validation import require_one_of
from spanver.values import FloatArray, IntArray, Outcome, Prompt, ResponseId


@dataclass(frozen=True, eq=False)
class Exploration:
    """What phase 2 did in `T` rounds.

    Attributes
    ----------
    prompts, first, second : tuple, length T
        The pair of each round: `first` from the sampler, `second` from the base policy, or the anchor response.
    vectors : array, shape (T, d)
        Relative features `v`.
    targets : array, shape (T,)
        Reward differences `r1 - r2`; from preferences 1 where the first is preferred, else -1.
    thetas : array, shape (T, d)
        `theta_t`, fitted before the pair of its round was drawn.
    spanner_sizes : array of int, shape (T,)
        How many spanner pairs were in the data of each fit.
    samples : array of int, shape (T,)
        Samples that the round cost.
    outcomes : tuple of Outcome, length T
        How the sampler came by `first`.
    """

    prompts: Annotated[tuple[Prompt, ...], "n"]
    first: Annotated[tuple[ResponseId, ...], "n"]
    second: Annotated[tuple[ResponseId, ...], "n"]
    vectors: Annotated[FloatArray, "nd"]
    targets: Annotated[FloatArray, "n"]
    thetas: Annotated[FloatArray, "nd"]
    spanner_sizes: Annotated[IntArray, "n"]
    samples: Annotated[IntArray, "n"]
    outcomes: Annotated[tuple[Outcome, ...], "n"]

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
    """Least squares on a set of parameters, or a fit of labels.

    It is called with all data every round. One that has an attribute `from_moments`, a function of `sum v v^T`,
    `sum v y` and the set, is called with these instead, at a cost that does not grow with the rounds.
    """

    def __call__(self, features: FloatArray, targets: FloatArray, parameters: ParameterSet, /) -> FloatArray:
        """Return `theta` of shape (d,)."""
        ...


class ExplorationState:
    """Running state of phase 2; `exploration` is a snapshot.

    Parameters
    ----------
    spanner : Spanner
    start : Exploration
        After the rounds before.
    rounds : int
        For which there is room.
    feedback : {"reward", "preference"}
    anchor : {"drawn", "fixed"}
    """

    def __init__(
        self, spanner: Spanner, start: Exploration, rounds: int, feedback: Feedback = "reward", anchor: Anchor = "drawn"
    ) -> None:
        self._spanner, self._feedback, self._anchor = spanner, feedback, anchor
        self._precision = spanner.precision
        self._data = _Data(spanner, start, rounds)
        self._prompts, self._first, self._second = list(start.prompts), list(start.first), list(start.second)
        self._thetas, self._spanner_sizes = list(start.thetas), list(start.spanner_sizes)
        self._samples, self._outcomes = list(start.samples), list(start.outcomes)

    @property
    def done(self) -> int:
        """Number of rounds so far."""
        return len(self._prompts)

    @property
    def exploration(self) -> Exploration:
        """What these rounds did."""
        vectors, targets = self._data.explored()
        return Exploration(
            prompts=tuple(self._prompts),
            first=tuple(self._first),
            second=tuple(self._second),
            vectors=vectors,
            targets=targets,
            thetas=np.array(self._thetas, dtype=np.float64).reshape(-1, self._spanner.dimension),
            spanner_sizes=np.array(self._spanner_sizes, dtype=np.int64),
            samples=np.array(self._samples, dtype=np.int64),
            outcomes=tuple(self._outcomes),
        )

    def advance(
        self, oracle: Oracle, *, multiplier: float, failure: float, seed: int, sampler: Sampler, fit: Fit | None
    ) -> None:
        """Run one more round."""
        samples_before = oracle.ledger.samples
        if fit is None and self._feedback == "preference":
            before = self._thetas[-1] if self._thetas else np.zeros(self._spanner.dimension)
            fit = partial(logistic_fit, start=before)
        theta = self._data.fitted(oracle.shape(oracle.radius), fit)
        prompt = oracle.prompt()
        two = second_response(oracle, prompt, self._anchor)
        score = TruncatedSoftmax(theta, self._precision, self._spanner.nu).score(two)
        round_seed = int(stream(seed, "exploration round", self.done).integers(2**63))
        one = sampler(oracle, prompt, score, multiplier=multiplier, failure=failure, seed=round_seed)
        self._data.add(one.features - two.features, target_of(oracle, prompt, one, two, self._feedback))
        self._prompts.append(prompt)
        self._first.append(one.id)
        self._second.append(two.id)
        self._thetas.append(theta)
        self._spanner_sizes.append(self._spanner.size)
        self._samples.append(oracle.ledger.samples - samples_before)
        self._outcomes.append(one.outcome)


def exploration_rounds(
    oracle: Oracle,
    spanner: Spanner,
    *,
    rounds: int,
    multiplier: float,
    failure: float,
    seed: int,
    sampler: Sampler = softmax_sample,
    fit: Fit | None = None,
    feedback: Feedback = "reward",
    anchor: Anchor = "drawn",
    start: Exploration | None = None,
) -> Iterator[ExplorationState]:
    """Run phase 2 of SpannerSampling round by round: yield its state before the first round and after each.

    The state is mutable: read it before the next step.

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `sample`, `reward` or `compare`, and what the sampler queries.
    spanner : Spanner
        Frozen; its pairs are the first data of the fit.
    rounds : int
        `T_exp`: rounds to have completed in the end, those of `start` included.
    multiplier, failure : float
        `M_rej` and `delta_rej`.
    seed : int
    sampler : Sampler
    fit : Fit, optional
        Default: `fit_moments_on`, from the moments of the data; the logistic loss for preferences.
    feedback : {"reward", "preference"}
        That of the spanner too.
    anchor : {"drawn", "fixed"}
        That of the spanner too: what it covers are differences from these second responses.
    start : Exploration, optional
        Where to go on from; its data count.
    """
    require_feedback(feedback)
    require_one_of("anchor", anchor, ANCHORS)
    state = ExplorationState(spanner, start or Exploration.empty(oracle.dimension), rounds, feedback, anchor)
    yield state
    while state.done < rounds:
        state.advance(oracle, multiplier=multiplier, failure=failure, seed=seed, sampler=sampler, fit=fit)
        yield state


explore = completed("explore", exploration_rounds, lambda state: state.exploration)
"""Phase 2 of SpannerSampling (A2; `[paper]`): the last state of `exploration_rounds`, with its parameters."""


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

    def fitted(self, parameters: ParameterSet, fit: Fit | None) -> FloatArray:
        from_moments = fit_moments_on if fit is None else getattr(fit, "from_moments", None)
        if from_moments is not None:
            return np.array(from_moments(self._gram, self._moment, parameters), dtype=np.float64)
        assert fit is not None
        features, targets = self._features[: self._size], self._targets[: self._size]
        features.flags.writeable = targets.flags.writeable = False
        return np.array(fit(features, targets, parameters), dtype=np.float64)

    def explored(self) -> tuple[FloatArray, FloatArray]:
        rows = slice(self._spanner_size, self._size)
        return self._features[rows].copy(), self._targets[rows].copy()
