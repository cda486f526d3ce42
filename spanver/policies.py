"""Policies that learners return: frozen values, sampled through an oracle (section 1 and A2 of mathematics.md).

A policy consists of parameters alone. Sampling it costs what the sampler draws from the oracle; its exact distribution
on a table is `spanver.exact.tabular.log_law`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from spanver.oracle import ANCHORS, Anchor, Oracle, second_response
from spanver.randomness import stream
from spanver.validation import freeze, require, require_count, require_one_of, require_positive
from spanver.values import FloatArray, LinearScore, Prompt, Response, Score, TruncatedScore


@dataclass(frozen=True, eq=False, slots=True)
class LinearSoftmax:
    """`pi_theta(y|x) ∝ pi_ref(y|x) exp(<theta, phi(x,y)>/beta)`; `theta = 0` is the base policy. `[paper]`."""

    theta: FloatArray

    def __post_init__(self) -> None:
        freeze(self, theta=1)


@dataclass(frozen=True, eq=False, slots=True)
class TruncatedSoftmax:
    """The exploration policy of A2: draw `y' ~ pi_ref(.|x)`, then `pi_f` with the truncated score of `y'`. `[paper]`.

    Attributes
    ----------
    theta : array, shape (d,)
    precision : array, shape (d, d)
        `Sigma_span^-1`.
    nu : float
    anchor : {"drawn", "fixed"}
        Whether `y'` is drawn, or is the anchor response of the prompt.
    """

    theta: FloatArray
    precision: FloatArray
    nu: float
    anchor: Anchor = "drawn"

    def __post_init__(self) -> None:
        freeze(self, theta=1, precision=2)
        require_positive("nu", self.nu)
        require_one_of("anchor", self.anchor, ANCHORS)

    def score(self, second: Response) -> TruncatedScore:
        """Score `f` of the policy once `y'` is drawn."""
        return TruncatedScore(self.theta, second.features, self.precision, self.nu)


@dataclass(frozen=True, eq=False, slots=True)
class TruncatedMixture:
    """Output of A2: the uniform mixture of the exploration policies of `T` rounds, which share one spanner. `[paper]`.

    Each output draws its round afresh.

    Attributes
    ----------
    thetas : array, shape (T, d)
    precision : array, shape (d, d)
        `Sigma_span^-1`.
    nu : float
    anchor : {"drawn", "fixed"}
        As of `TruncatedSoftmax`.
    """

    thetas: FloatArray
    precision: FloatArray
    nu: float
    anchor: Anchor = "drawn"

    def __post_init__(self) -> None:
        freeze(self, thetas=2, precision=2)
        require(len(self.thetas) > 0, "thetas", self.thetas, "those of at least one round")
        require_positive("nu", self.nu)
        require_one_of("anchor", self.anchor, ANCHORS)

    def __len__(self) -> int:
        return len(self.thetas)

    def component(self, index: int) -> TruncatedSoftmax:
        """Policy of one round, counted from 0."""
        return TruncatedSoftmax(self.thetas[index], self.precision, self.nu, self.anchor)

    @property
    def components(self) -> tuple[TruncatedSoftmax, ...]:
        """Policies of all rounds."""
        return tuple(self.component(index) for index in range(len(self)))


@dataclass(frozen=True, eq=False, slots=True)
class BestOfN:
    """Draw `count` responses of the base policy and take the one of largest `<theta, phi(x,y)>`, as in A3. `[ours]`.

    Of several with the largest score the first drawn is taken.

    Attributes
    ----------
    theta : array, shape (d,)
    count : int
        `N`, at least 1; `N = 1` is the base policy.
    """

    theta: FloatArray
    count: int

    def __post_init__(self) -> None:
        freeze(self, theta=1)
        require_count("count", self.count)

    def scores(self, features: FloatArray) -> FloatArray:
        """Scores of features of shape `(..., d)`: shape `(...)`; equal features tie exactly, whatever the other rows.

        A matrix product may round a row differently from one shape of its neighbours to another, and so break ties.
        """
        scores: FloatArray = (features * self.theta).sum(axis=-1)
        return scores


Policy: TypeAlias = LinearSoftmax | TruncatedSoftmax | TruncatedMixture | BestOfN


class Sampler(Protocol):
    """What samples `pi_f` at a prompt or a prefix: `softmax_sample` (A1), `race_sample` (A1r), or another."""

    def __call__(
        self, oracle: Oracle, prompt: Prompt, score: Score, /, *, multiplier: float, failure: float, seed: int
    ) -> Response:
        """Return one response from a distribution close to `pi_f(.|x)`."""
        ...


def sample_policy(
    policy: Policy, oracle: Oracle, prompt: Prompt, *, sampler: Sampler, multiplier: float, failure: float, seed: int
) -> Response:
    """Draw one response of a policy through an oracle, which counts every sample it takes.

    Parameters
    ----------
    policy : Policy
    oracle : Oracle
    prompt : Prompt
        One that the oracle has issued.
    sampler : Sampler
        Of softmax policies; `BestOfN` needs none, and costs `count` samples.
    multiplier, failure : float
        `M` and `delta` of the sampler.
    seed : int
        Of this output: it draws the component of a mixture, and is passed to the sampler.
    """
    component: LinearSoftmax | TruncatedSoftmax
    match policy:
        case BestOfN():
            drawn = oracle.sample(prompt, policy.count)
            return drawn[int(np.argmax(policy.scores(drawn.features)))]
        case TruncatedMixture():
            component = policy.component(int(stream(seed, "mixture").integers(len(policy))))
        case LinearSoftmax() | TruncatedSoftmax():
            component = policy
    score: Score
    if isinstance(component, TruncatedSoftmax):
        score = component.score(second_response(oracle, prompt, component.anchor))
    else:
        score = LinearScore(component.theta)
    return sampler(oracle, prompt, score, multiplier=multiplier, failure=failure, seed=seed)


@dataclass(frozen=True, eq=False)
class AnchoredPolicy:
    """A policy of layers with scores relative to an anchor action, as MTSS returns (FMR25, Algorithm 4, p. 77).

    Its exact law on a process of layers is `spanver.exact.layered.log_anchored_law`.

    Attributes
    ----------
    layers : tuple of H TruncatedSoftmax
        Parameters of each layer.
    fresh : bool
        Whether the anchor is drawn of the base policy in every state, and the law a mixture over it. `[ours]`
    anchor : int
        The anchor action; not used where it is fresh.
    """

    layers: tuple[TruncatedSoftmax, ...]
    fresh: bool
    anchor: int

    def __post_init__(self) -> None:
        require(len(self.layers) > 0, "layers", self.layers, "at least one")
