"""A2, SpannerSampling: explore by inference-time rejection sampling against a small spanner (`[FMR25]` skeleton).

Phase 1 builds the spanner and freezes it. Phase 2 fits a parameter on the ball every round, draws one response from the
softmax policy whose score is truncated to what the spanner covers - which is what keeps rejection sampling cheap (E3) -
and one from the base policy, and asks both rewards. The output is the uniform mixture of the policies of all rounds.

Where the coverage is not known, `staged_spanner_sampling` doubles its guess until the budget ends `[ext]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from spanver.errors import ArgumentError
from spanver.kernels import fit as least_squares
from spanver.kernels import fit_moments
from spanver.learners.softmax_sampler import pilot_size, softmax_sample
from spanver.learners.spanner import Spanner, SpannerBuilder, build_spanner
from spanver.oracle import Oracle
from spanver.policies import Mixture, Sampler, TruncatedSoftmax, mixture_of_rounds
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive, require_probability
from spanver.values import FloatArray, IntArray, Outcome, Prompt, ResponseId

__all__ = [
    "Exploration",
    "Fit",
    "Observer",
    "Run",
    "Settings",
    "Trace",
    "explore",
    "largest_cost",
    "spanner_sampling",
    "staged_spanner_sampling",
]


@dataclass(frozen=True)
class Settings:
    """Every parameter of SpannerSampling (A2).

    Attributes
    ----------
    prompts : int
        `T_prompt`, rounds of phase 1.
    pairs_per_prompt : int
        `T_span`, most pairs tried in a round of phase 1.
    nu : float
        Elliptic norm above which a pair is uncertain.
    ridge : float
        `lambda`.
    exploration_rounds : int
        `T_exp`, rounds of phase 2.
    rejection_multiplier : float
        `M_rej` of the sampler, at least 1.
    rejection_failure : float
        `delta_rej` of the sampler, strictly between 0 and 1.
    """

    prompts: int
    pairs_per_prompt: int
    nu: float
    ridge: float
    exploration_rounds: int
    rejection_multiplier: float
    rejection_failure: float

    def __post_init__(self) -> None:
        require_count("prompts", self.prompts)
        require_count("pairs_per_prompt", self.pairs_per_prompt)
        require_positive("nu", self.nu)
        require_positive("ridge", self.ridge)
        require_count("exploration_rounds", self.exploration_rounds)
        require_positive("rejection_multiplier", self.rejection_multiplier)
        if self.rejection_multiplier < 1.0:
            raise ArgumentError("rejection_multiplier", self.rejection_multiplier, "a finite number of at least 1")
        require_probability("rejection_failure", self.rejection_failure)


def largest_cost(settings: Settings) -> int:
    """Most samples that a run with A1 can ask for: `2 T_prompt T_span + T_exp (2N + 2)` (S7, R1)."""
    trials = pilot_size(settings.rejection_multiplier, settings.rejection_failure)
    return 2 * settings.prompts * settings.pairs_per_prompt + settings.exploration_rounds * (2 * trials + 2)


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


@dataclass(frozen=True, eq=False)
class Trace:
    """Everything that a run has done so far: enough to go on from, and to certify."""

    spanner: Spanner
    exploration: Exploration


@dataclass(frozen=True, eq=False)
class Run:
    """What SpannerSampling returns.

    Attributes
    ----------
    policy : Mixture
    trace : Trace
    settings : Settings
        For a staged run, those of the last complete stage.
    coverage : float or None
        For a staged run, the coverage that its last complete stage was built for. No certificate: by T1 no learner can
        know that the true coverage was passed.
    """

    policy: Mixture
    trace: Trace
    settings: Settings
    coverage: float | None = None


class Fit(Protocol):
    """Least squares on the ball: `spanver.kernels.fit`, or anybody's."""

    def __call__(self, features: FloatArray, targets: FloatArray, radius: float, /) -> FloatArray:
        """Return `theta` of shape (d,)."""
        ...


class Observer(Protocol):
    """Called after every round with the phase (`spanner` or `exploration`), rounds done, and the trace so far."""

    def __call__(self, phase: str, done: int, trace: Callable[[], Trace], /) -> None:
        """Look at a run; raising stops it."""
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


def spanner_sampling(
    oracle: Oracle,
    *,
    seed: int,
    settings: Settings,
    sampler: Sampler = softmax_sample,
    spanner: SpannerBuilder = build_spanner,
    fit: Fit = least_squares,
    start: Trace | None = None,
    observer: Observer | None = None,
) -> Run:
    """SpannerSampling (A2; `[FMR25]` skeleton, `[recon]` parameters).

    Parameters
    ----------
    oracle : Oracle
    seed : int
        Of the learner's own luck; the oracle has its own.
    settings : Settings
    sampler : Sampler
        `softmax_sample`, `race_sample`, or anybody's.
    spanner : SpannerBuilder
        `build_spanner`, or anybody's.
    fit : Fit
        Called with all data every round; the default, which needs the moments of the data alone, is given those.
    start : Trace, optional
        Where to go on from, with an oracle that goes on from the same place.
    observer : Observer, optional

    Returns
    -------
    Run

    Raises
    ------
    BudgetExceededError
        When the oracle's budget ends first.
    """
    return Run(*_rounds(oracle, seed, settings, settings, sampler, spanner, fit, start, observer), settings=settings)


def _rounds(
    oracle: Oracle,
    seed: int,
    settings: Settings,
    totals: Settings,
    sampler: Sampler,
    spanner: SpannerBuilder,
    fit: Fit,
    start: Trace | None,
    observer: Observer | None,
) -> tuple[Mixture, Trace]:
    """Both phases, until the rounds of `totals` are done; the mixture is of the last rounds, those of `settings`."""
    explored = start.exploration if start else Exploration.empty(oracle.dimension)
    extra: dict[str, Any] = {}
    if start is not None:
        extra["start"] = start.spanner
    if observer is not None:
        extra["on_round"] = lambda done, so_far: observer("spanner", done, lambda: Trace(so_far(), explored))
    build: Callable[..., Spanner] = spanner
    built = build(
        oracle,
        prompts=totals.prompts,
        pairs_per_prompt=settings.pairs_per_prompt,
        nu=settings.nu,
        ridge=settings.ridge,
        seed=seed,
        **extra,
    )
    watch = None
    if observer is not None:

        def watch(done: int, so_far: Callable[[], Exploration]) -> None:
            observer("exploration", done, lambda: Trace(built, so_far()))

    exploration = explore(
        oracle,
        built,
        rounds=totals.exploration_rounds,
        multiplier=settings.rejection_multiplier,
        failure=settings.rejection_failure,
        seed=seed,
        sampler=sampler,
        fit=fit,
        start=explored,
        on_round=watch,
    )
    thetas = exploration.thetas[totals.exploration_rounds - settings.exploration_rounds :]
    return mixture_of_rounds(thetas, built.precision, settings.nu), Trace(built, exploration)


def staged_spanner_sampling(
    oracle: Oracle,
    *,
    seed: int,
    budget: int,
    delta: float,
    settings: Callable[[float, float], Settings],
    cost: Callable[[Settings], int] = largest_cost,
    sampler: Sampler = softmax_sample,
    spanner: SpannerBuilder = build_spanner,
    fit: Fit = least_squares,
    start: Trace | None = None,
    observer: Observer | None = None,
) -> Run:
    """SpannerSampling when no bound on the coverage is known: stages `C = 1, 2, 4, ...` `[ext]`.

    Stage `k` runs with `settings(C_k, delta/(k(k+1)))` and keeps the data of the stages before it. The run ends when
    the next stage, at its largest cost, does not fit what is left of the budget, and returns the last complete stage.
    It is anytime but without certificate: by T1 no learner can know that the true coverage was passed.

    Parameters
    ----------
    oracle, seed, sampler, spanner, fit, start, observer
        As for `spanner_sampling`.
    budget : int
        Samples that the stages may ask for in all.
    delta : float
        Failure probability of all stages together.
    settings : callable
        `settings(coverage, delta)`; its `nu` may not grow from stage to stage, and its `ridge` may not change.
    cost : callable
        Most samples that a stage can ask for; the default is for A1.

    Returns
    -------
    Run
        With the coverage that its last complete stage was built for.

    Raises
    ------
    ArgumentError
        If not even the first stage fits the budget, or the settings change as they may not.
    """
    require_count("budget", budget)
    require_probability("delta", delta)
    run: Run | None = None
    totals: Settings | None = None
    trace = start
    stage = 1
    while True:
        coverage = 2.0 ** (stage - 1)
        current = settings(coverage, delta / (stage * (stage + 1)))
        grown = current
        if totals is not None:
            require(current.nu <= totals.nu, "the nu of a stage", current.nu, f"at most that before, {totals.nu}")
            require(current.ridge == totals.ridge, "the ridge of a stage", current.ridge, f"{totals.ridge}")
            grown = replace(
                current,
                prompts=totals.prompts + current.prompts,
                exploration_rounds=totals.exploration_rounds + current.exploration_rounds,
            )
        if trace is not None and _begun(trace, grown):
            totals, stage = grown, stage + 1
            continue
        begun = trace is not None and _begun(trace, totals)
        if not begun and oracle.ledger.samples + cost(current) > budget:
            break
        policy, trace = _rounds(oracle, seed, current, grown, sampler, spanner, fit, trace, observer)
        run = Run(policy, trace, current, coverage)
        totals = grown
        stage += 1
    if run is None:
        raise ArgumentError("budget", budget, f"at least the largest cost of the first stage, {cost(current)}")
    return run


def _begun(trace: Trace, before: Settings | None) -> bool:
    """Whether a trace has rounds beyond those of the stages before."""
    prompts, rounds = (before.prompts, before.exploration_rounds) if before else (0, 0)
    return len(trace.spanner.tries) > prompts or trace.exploration.rounds > rounds
