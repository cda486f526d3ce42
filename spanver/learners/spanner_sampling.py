"""A2, SpannerSampling: explore by inference-time rejection sampling against a small spanner (`[FMR25]` skeleton).

Phase 1 builds the spanner and freezes it. Phase 2 fits a parameter on the ball every round, draws one response from the
softmax policy whose score is truncated to what the spanner covers - which is what keeps rejection sampling cheap (E3) -
and one from the base policy, and asks both rewards. The output is the uniform mixture of the policies of all rounds.

Where the coverage is not known, `staged_spanner_sampling` doubles its guess until the budget ends `[ext]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from spanver.errors import ArgumentError
from spanver.kernels import fit as least_squares
from spanver.learners.exploration import Exploration, Fit, explore
from spanver.learners.softmax_sampler import pilot_size, softmax_sample
from spanver.learners.spanner import Spanner, SpannerBuilder, build_spanner
from spanver.oracle import Oracle
from spanver.policies import Sampler, TruncatedMixture
from spanver.validation import require_count, require_positive, require_probability

__all__ = ["Observer", "Run", "Settings", "Trace", "largest_cost", "spanner_sampling"]


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
class Trace:
    """Everything that a run has done so far: enough to go on from, and to certify."""

    spanner: Spanner
    exploration: Exploration


@dataclass(frozen=True, eq=False)
class Run:
    """What SpannerSampling returns.

    Attributes
    ----------
    policy : TruncatedMixture
    trace : Trace
    settings : Settings
        For a staged run, those of the last complete stage.
    coverage : float or None
        For a staged run, the coverage that its last complete stage was built for. No certificate: by T1 no learner can
        know that the true coverage was passed.
    """

    policy: TruncatedMixture
    trace: Trace
    settings: Settings
    coverage: float | None = None


class Observer(Protocol):
    """Called after every round with the phase (`spanner` or `exploration`), rounds done, and the trace so far."""

    def __call__(self, phase: str, done: int, trace: Callable[[], Trace], /) -> None:
        """Look at a run; raising stops it."""
        ...


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
) -> tuple[TruncatedMixture, Trace]:
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
    return TruncatedMixture(thetas, built.precision, settings.nu), Trace(built, exploration)
