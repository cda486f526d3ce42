"""SpannerSampling without a bound on the coverage: stages `C = 1, 2, 4, ..` within a budget `[ours]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from spanver.errors import ArgumentError
from spanver.learners.completed import completed
from spanver.learners.exploration import Fit
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner_sampling import SamplingState, Settings, Trace, largest_cost, sampling_rounds
from spanver.oracle import Oracle
from spanver.policies import Sampler
from spanver.validation import require, require_count, require_probability


def staged_rounds(
    oracle: Oracle,
    *,
    seed: int,
    budget: int,
    delta: float,
    settings: Callable[[float, float], Settings],
    cost: Callable[[Settings], int] = largest_cost,
    sampler: Sampler = softmax_sample,
    fit: Fit | None = None,
    start: Trace | None = None,
) -> Iterator[SamplingState]:
    """Run stages `C = 1, 2, 4, ..` of SpannerSampling round by round `[ours]`.

    Stage `k` runs with `settings(C_k, delta/(k(k+1)))` and carries over the data of the stages before it. The run ends
    when the next stage, at its largest cost, does not fit what is left of the budget. It is anytime but without
    certificate: by T1 no learner can know that the true coverage was passed.

    Parameters
    ----------
    oracle, seed, sampler, fit, start
        As for `sampling_rounds`.
    budget : int
        Samples that all stages may draw together.
    delta : float
        Failure probability of all stages together.
    settings : callable
        `settings(coverage, delta)`; its `nu` may not grow from stage to stage, its `ridge`, `feedback` and `anchor` may
        not change.
    cost : callable
        Most samples that a stage can draw; the default is for A1.

    Yields
    ------
    SamplingState
        With the settings and the coverage of its stage.

    Raises
    ------
    ArgumentError
        If not even the first stage fits the budget, or the settings change as they may not.
    """
    require_count("budget", budget)
    require_probability("delta", delta)
    totals: Settings | None = None
    trace, stage, has_run = start, 1, False
    while True:
        coverage = 2.0 ** (stage - 1)
        current = settings(coverage, delta / (stage * (stage + 1)))
        grown = current if totals is None else _grown(totals, current)
        if trace is None or not _begun(trace, grown):
            begun = trace is not None and _begun(trace, totals)
            if not begun and oracle.ledger.samples + cost(current) > budget:
                break
            rounds = sampling_rounds(
                oracle, seed=seed, settings=current, totals=grown, sampler=sampler, fit=fit, start=trace
            )
            for state in rounds:
                yield replace(state, coverage=coverage)
            trace, has_run = state.trace, True
        totals, stage = grown, stage + 1
    if not has_run:
        raise ArgumentError("budget", budget, f"at least the largest cost of the first stage, {cost(current)}")


staged_spanner_sampling = completed("staged_spanner_sampling", staged_rounds, lambda state: state.run)
"""SpannerSampling when no bound on the coverage is known `[ours]`: the result of the last of `staged_rounds`.

It has the coverage that its last complete stage was built for.
"""


def _grown(totals: Settings, current: Settings) -> Settings:
    """Settings whose rounds are those of all stages so far, the current one included."""
    require(current.nu <= totals.nu, "the nu of a stage", current.nu, f"at most that before, {totals.nu}")
    for name in ("ridge", "feedback", "anchor"):
        one, other = getattr(totals, name), getattr(current, name)
        require(one == other, f"the {name} of a stage", other, f"{one}")
    return replace(
        current,
        prompts=totals.prompts + current.prompts,
        exploration_rounds=totals.exploration_rounds + current.exploration_rounds,
    )


def _begun(trace: Trace, before: Settings | None) -> bool:
    """Whether a trace has rounds beyond those of the stages before."""
    prompts, rounds = (before.prompts, before.exploration_rounds) if before else (0, 0)
    return len(trace.spanner.tries) > prompts or trace.exploration.rounds > rounds
