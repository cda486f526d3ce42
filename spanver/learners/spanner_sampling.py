"""A2, SpannerSampling: explore by inference-time rejection sampling against a small spanner (`[paper]`).

Phase 1 builds the spanner and freezes it. Phase 2 fits a parameter every round, draws one response from the
softmax policy whose score is truncated to what the spanner covers - which makes rejection sampling cheap (E3) -
and one from the base policy, and queries both rewards. The output is the uniform mixture of the policies of all rounds.

From preferences, one label of a pair takes the place of both rewards, and the fit minimises the logistic loss on the
ball; nothing else changes (P1, `[paper]`).

With anchor responses one fixed response of each prompt takes the place of the second response of every pair, in both
phases and in the policy; nothing else changes (P2, Remark G.2 of the paper).

Where the coverage is not known, `staged_spanner_sampling` doubles its guess until the budget ends `[ours]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from spanver.learners.completed import last
from spanver.learners.exploration import Exploration, ExplorationState, Fit, exploration_rounds
from spanver.learners.feedback import require_feedback
from spanver.learners.softmax_sampler import sampler_trials, softmax_sample
from spanver.learners.spanner import Spanner, SpannerBuilder, SpannerState, spanner_rounds
from spanver.oracle import ANCHORS, Anchor, Feedback, Oracle
from spanver.policies import Sampler, TruncatedMixture
from spanver.validation import (
    require,
    require_at_least,
    require_count,
    require_one_of,
    require_positive,
    require_probability,
)


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
    feedback : {"reward", "preference"}
        What is asked about a pair.
    anchor : {"drawn", "fixed"}
        Whether the second response of a pair is drawn, or is the anchor response of its prompt.
    """

    prompts: int
    pairs_per_prompt: int
    nu: float
    ridge: float
    exploration_rounds: int
    rejection_multiplier: float
    rejection_failure: float
    feedback: Feedback = "reward"
    anchor: Anchor = "drawn"

    def __post_init__(self) -> None:
        require_count("prompts", self.prompts)
        require_count("pairs_per_prompt", self.pairs_per_prompt)
        require_positive("nu", self.nu)
        require_positive("ridge", self.ridge)
        require_count("exploration_rounds", self.exploration_rounds)
        require_at_least("rejection_multiplier", self.rejection_multiplier, 1.0)
        require_probability("rejection_failure", self.rejection_failure)
        require_feedback(self.feedback)
        require_one_of("anchor", self.anchor, ANCHORS)

    def searched(self, prompts: int, tries: int) -> int:
        """Samples of phase 1 (S7): two for each pair that was tried; or one, and one for the anchor of each prompt."""
        return 2 * tries if self.anchor == "drawn" else prompts + tries


def _largest_call(multiplier: float, failure: float) -> int:
    return 2 * sampler_trials(multiplier, failure) + 1


def largest_cost(settings: Settings, call: Callable[[float, float], int] = _largest_call) -> int:
    """Most samples that a run can draw: `2 T_prompt T_span`, and in every round one and a sampler's call (S7, R1).

    With anchor responses `T_prompt (T_span + 1)` in phase 1.

    Parameters
    ----------
    settings : Settings
    call : callable
        Most samples that the sampler takes, of multiplier and failure probability; the default is A1's `2N + 1`.
    """
    per_round = 1 + call(settings.rejection_multiplier, settings.rejection_failure)
    tries = settings.prompts * settings.pairs_per_prompt
    return settings.searched(settings.prompts, tries) + settings.exploration_rounds * per_round


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


@dataclass(frozen=True, eq=False)
class SamplingState:
    """SpannerSampling after some of its rounds.

    Attributes
    ----------
    phase : {"spanner", "exploration"}
    done : int
        Rounds of this phase so far.
    snapshot : callable
        Builds the trace so far. The state is mutable: call it before the next step.
    settings : Settings
        For a staged run, those of the stage.
    coverage : float or None
        For a staged run, the coverage that the stage is built for.
    """

    phase: Literal["spanner", "exploration"]
    done: int
    snapshot: Callable[[], Trace]
    settings: Settings
    coverage: float | None = None

    @property
    def trace(self) -> Trace:
        """Everything done so far, built when it is read."""
        return self.snapshot()

    @property
    def run(self) -> Run:
        """The result, once all rounds are done: the mixture of the last rounds, those of `settings`."""
        trace = self.trace
        thetas = trace.exploration.thetas[-self.settings.exploration_rounds :]
        policy = TruncatedMixture(thetas, trace.spanner.precision, self.settings.nu, self.settings.anchor)
        return Run(policy, trace, self.settings, self.coverage)


def spanner_sampling(
    oracle: Oracle,
    *,
    seed: int,
    settings: Settings,
    sampler: Sampler = softmax_sample,
    spanner: SpannerBuilder | None = None,
    fit: Fit | None = None,
    start: Trace | None = None,
) -> Run:
    """SpannerSampling (A2; `[paper]`, parameters `[ours]`): the result of the last of `sampling_rounds`.

    Parameters
    ----------
    oracle, seed, settings, sampler, fit, start
        As for `sampling_rounds`.
    spanner : SpannerBuilder, optional
        Builds the spanner in place of phase 1, from rewards of pairs of two draws.

    Raises
    ------
    BudgetExceededError
        When the oracle's budget ends first.
    """
    if spanner is None:
        states = sampling_rounds(oracle, seed=seed, settings=settings, sampler=sampler, fit=fit, start=start)
    else:
        require(start is None, "start", start, "left out where a spanner builder is given")
        require(settings.feedback == "reward", "feedback", settings.feedback, "'reward' where a builder is given")
        require(settings.anchor == "drawn", "anchor", settings.anchor, "'drawn' where a builder is given")
        built = spanner(
            oracle,
            prompts=settings.prompts,
            pairs_per_prompt=settings.pairs_per_prompt,
            nu=settings.nu,
            ridge=settings.ridge,
            seed=seed,
        )
        empty = Exploration.empty(oracle.dimension)
        states = _phase_two(oracle, built, empty, seed, settings, settings.exploration_rounds, sampler, fit)
    return last(states).run


def sampling_rounds(
    oracle: Oracle,
    *,
    seed: int,
    settings: Settings,
    totals: Settings | None = None,
    sampler: Sampler = softmax_sample,
    fit: Fit | None = None,
    start: Trace | None = None,
) -> Iterator[SamplingState]:
    """Run SpannerSampling round by round: yield its state before the first round of each phase and after each round.

    Parameters
    ----------
    oracle : Oracle
    seed : int
        Of the learner's own randomness; the oracle has its own.
    settings : Settings
    totals : Settings, optional
        Whose rounds are to have been completed in the end, those of `start` included; default `settings`.
    sampler : Sampler
        `softmax_sample`, `race_sample`, or any other function of this form.
    fit : Fit, optional
        Default: `fit_moments_on`, from the moments of the data; the logistic loss for preferences.
    start : Trace, optional
        State to resume from, with an oracle that resumes from the same place.

    Raises
    ------
    BudgetExceededError
        When the oracle's budget ends first.
    """
    totals = totals or settings
    explored = start.exploration if start else Exploration.empty(oracle.dimension)
    states = spanner_rounds(
        oracle,
        prompts=totals.prompts,
        pairs_per_prompt=settings.pairs_per_prompt,
        nu=settings.nu,
        ridge=settings.ridge,
        feedback=settings.feedback,
        anchor=settings.anchor,
        start=start.spanner if start else None,
    )
    for state in states:
        yield SamplingState("spanner", state.done, partial(_in_phase_one, state, explored), settings)
    yield from _phase_two(oracle, state.spanner, explored, seed, settings, totals.exploration_rounds, sampler, fit)


def _phase_two(
    oracle: Oracle,
    spanner: Spanner,
    explored: Exploration,
    seed: int,
    settings: Settings,
    rounds: int,
    sampler: Sampler,
    fit: Fit | None,
) -> Iterator[SamplingState]:
    states = exploration_rounds(
        oracle,
        spanner,
        rounds=rounds,
        multiplier=settings.rejection_multiplier,
        failure=settings.rejection_failure,
        seed=seed,
        sampler=sampler,
        fit=fit,
        feedback=settings.feedback,
        anchor=settings.anchor,
        start=explored,
    )
    for state in states:
        yield SamplingState("exploration", state.done, partial(_in_phase_two, spanner, state), settings)


def _in_phase_one(state: SpannerState, explored: Exploration) -> Trace:
    return Trace(state.spanner, explored)


def _in_phase_two(spanner: Spanner, state: ExplorationState) -> Trace:
    return Trace(spanner, state.exploration)
