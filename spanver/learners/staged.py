"""SpannerSampling without a bound on the coverage: stages `C = 1, 2, 4, ..` within a budget `[ext]`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spanver.errors import ArgumentError
from spanver.kernels import fit as least_squares
from spanver.learners.exploration import Fit
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner import SpannerBuilder, build_spanner
from spanver.learners.spanner_sampling import Observer, Run, Settings, Trace, _rounds, largest_cost
from spanver.oracle import Oracle
from spanver.policies import Sampler
from spanver.validation import require, require_count, require_probability

__all__ = ["staged_spanner_sampling"]


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
