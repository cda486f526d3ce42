"""Running SpannerSampling on a problem, from plan to record: what `spanver run` does, without the terminal.

A run writes a checkpoint now and then, and goes on from one to the bit-identical record: the oracle's luck depends on
how many prompts were handed out and the learner's on the round, so a trace and a ledger are all there is to keep.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from spanver.errors import ArgumentError, InterruptedRunError
from spanver.guarantees import (
    confidence_radius,
    spanner_size_bound,
)
from spanver.learners.race_sampler import race_size
from spanver.learners.spanner_sampling import Run, SamplingState, Trace, sampling_rounds
from spanver.learners.staged import staged_rounds
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles import counted_oracle, literal_oracle, text_oracle
from spanver.problems.catalogue import make_problem
from spanver.problems.families.text import TextProblem
from spanver.problems.tabular import TabularProblem
from spanver.randomness import derived_seed
from spanver.runs.evaluation import Estimate, Evaluation, evaluate_table, evaluate_text
from spanver.runs.plans import SAMPLERS, Plan, known_coverage, largest_samples, round_cost, stage_settings
from spanver.runs.records import Checkpoint, checkpoint_path, save_checkpoint, save_record, times_path
from spanver.values import Outcome

__all__ = ["EVALUATION_PROMPTS", "Finished", "bounds", "execute", "refuse_unfinished"]

EVALUATION_PROMPTS = 300  # prompts of the evaluation on text

_CHECKPOINT_SECONDS = 1.0
_CHECKPOINT_SHARE = 0.05  # of the time may go into checkpoints


@dataclass(frozen=True, eq=False)
class Finished:
    """A run that came to its end: its record's content, its result, and the evaluation."""

    summary: dict[str, Any]
    run: Run
    evaluation: Evaluation

    @property
    def curves(self) -> dict[str, Any]:
        """Arrays that the figure draws: `rounds`, `round_gaps`, `mixture_gaps`."""
        return _curves(self.evaluation)


def execute(
    plan: Plan,
    path: Path,
    *,
    start: Checkpoint | None = None,
    on_round: Callable[[str, int, Ledger], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    problem: TabularProblem | TextProblem | None = None,
) -> Finished:
    """Carry out a plan and write its record.

    Parameters
    ----------
    plan : Plan
    path : Path
        Of the record; the checkpoint lies beside it until the run is complete.
    start : Checkpoint, optional
        To go on from.
    on_round : callable, optional
        Told phase (`spanner`, `exploration`, `evaluation`), steps done and ledger after every step.
    stop : callable
        Asked after every round whether to stop; the checkpoint is then written first.
    problem : TabularProblem or TextProblem, optional
        The problem of the plan, if it is built already.

    Returns
    -------
    Finished

    Raises
    ------
    InterruptedRunError
        When `stop` said so.
    """
    with threadpool_limits(1):
        # Several threads inside small matrix products cost more than they give, and make sums depend on the machine.
        return _execute(plan, path, start, on_round, stop, problem or make_problem(plan.problem, plan.parameters))


def _execute(
    plan: Plan,
    path: Path,
    start: Checkpoint | None,
    on_round: Callable[[str, int, Ledger], None] | None,
    stop: Callable[[], bool],
    problem: TabularProblem | TextProblem,
) -> Finished:
    began = time.monotonic()
    done = {"spanner": 0, "exploration": 0}
    if start is not None:
        done = {"spanner": len(start.trace.spanner.tries), "exploration": start.trace.exploration.rounds}
    oracle = _oracle(problem, plan, start.ledger if start else None, sum(done.values()))
    checkpoints = _Checkpoints(plan, path, oracle)
    for state in _rounds(problem, plan, oracle, start.trace if start else None):
        if state.done == done[state.phase]:
            continue  # where a phase begins, or goes on from
        done[state.phase] = state.done
        if on_round is not None:
            on_round(state.phase, state.done, oracle.ledger)
        if stop():
            checkpoints.write(state.trace)
            raise InterruptedRunError(f"stopped after round {state.done} of the {state.phase} phase; nothing is lost")
        checkpoints.write_if_due(state)
    run = state.run
    learned = time.monotonic()
    checkpoints.write(run.trace)

    def on_step(done: int) -> None:
        if on_round is not None:
            on_round("evaluation", done, oracle.ledger)
        if stop():
            raise InterruptedRunError("stopped while evaluating what was learned; nothing is lost")

    evaluation, evaluation_ledger = _evaluate(problem, plan, run, on_step)
    results = _results(problem, plan, run, oracle.ledger, evaluation, evaluation_ledger)
    summary = save_record(
        path,
        plan=plan,
        trace=run.trace,
        ledger=oracle.ledger,
        results=results,
        curves=_curves(evaluation),
    )
    checkpoint_path(path).unlink(missing_ok=True)
    seconds = {"learning": learned - began, "evaluation": time.monotonic() - learned, "resumed": start is not None}
    times_path(path).write_text("".join(f"{name} {value}\n" for name, value in seconds.items()))
    return Finished(summary, run, evaluation)


def _rounds(
    problem: TabularProblem | TextProblem, plan: Plan, oracle: Oracle, start: Trace | None
) -> Iterator[SamplingState]:
    seed, sampler = derived_seed(plan.seed, "learner"), SAMPLERS[plan.sampler]
    if plan.budget is None:
        return sampling_rounds(oracle, seed=seed, settings=plan.settings, sampler=sampler, start=start)
    return staged_rounds(
        oracle,
        seed=seed,
        budget=plan.budget,
        delta=plan.delta,
        settings=stage_settings(problem, plan),
        cost=partial(largest_samples, plan.sampler),
        sampler=sampler,
        start=start,
    )


def _curves(evaluation: Evaluation) -> dict[str, Any]:
    return {name: getattr(evaluation, name) for name in ("rounds", "round_gaps", "mixture_gaps")}


def _oracle(problem: TabularProblem | TextProblem, plan: Plan, ledger: Ledger | None, prompts: int) -> Oracle:
    seed, budget = derived_seed(plan.seed, "oracle"), Budget(samples=plan.budget)
    if isinstance(problem, TextProblem):
        return text_oracle(problem, seed=seed, budget=budget, ledger=ledger, prompts=prompts)
    make = counted_oracle if plan.oracle == "counted" else literal_oracle
    return make(problem, seed=seed, budget=budget, ledger=ledger, prompts=prompts)


class _Checkpoints:
    """Writes checkpoints between rounds, seldom enough that they take little of the time."""

    def __init__(self, plan: Plan, path: Path, oracle: Oracle) -> None:
        self._plan, self._path, self._oracle = plan, path, oracle
        self._due = time.monotonic() + _CHECKPOINT_SECONDS

    def write_if_due(self, state: SamplingState) -> None:
        if time.monotonic() >= self._due:
            self.write(state.trace)

    def write(self, trace: Trace) -> None:
        began = time.monotonic()
        save_checkpoint(self._path, Checkpoint(self._plan, trace, self._oracle.ledger))
        ended = time.monotonic()
        self._due = ended + max(_CHECKPOINT_SECONDS, (ended - began) / _CHECKPOINT_SHARE)


def _evaluate(
    problem: TabularProblem | TextProblem, plan: Plan, run: Run, on_step: Callable[[int], None]
) -> tuple[Evaluation, Ledger]:
    seed = derived_seed(plan.seed, "evaluation")
    if isinstance(problem, TabularProblem):
        return evaluate_table(problem, run.policy, seed=seed, on_step=on_step), Ledger()
    # A seed of its own: what was learned from is not what it is judged on.
    oracle = text_oracle(problem, seed=seed)
    pool = race_size(run.settings.rejection_multiplier, run.settings.rejection_failure)
    evaluation = evaluate_text(oracle, run.policy, prompts=EVALUATION_PROMPTS, pool=pool, seed=seed, on_step=on_step)
    return evaluation, oracle.ledger


def _results(
    problem: TabularProblem | TextProblem,
    plan: Plan,
    run: Run,
    ledger: Ledger,
    evaluation: Evaluation,
    evaluation_ledger: Ledger,
) -> dict[str, Any]:
    outcomes = Counter(outcome.value for outcome in run.trace.exploration.outcomes)
    is_table = isinstance(problem, TabularProblem)
    return {
        "problem": {
            "name": problem.name,
            "dimension": problem.dimension,
            "beta": problem.beta,
            "radius": problem.radius,
            "reward_range": problem.reward_range,
            "coverage": known_coverage(problem) if is_table else None,
        },
        "settings": asdict(run.settings),
        "coverage_reached": run.coverage,
        "gap": _estimate(evaluation.gap),
        "base_gap": evaluation.base_gap,
        "improvement": _estimate(evaluation.improvement),
        "evaluation": {
            "method": evaluation.method,
            "ledger": asdict(evaluation_ledger),
            "before": [asdict(sample) for sample in evaluation.before],
            "after": [asdict(sample) for sample in evaluation.after],
        },
        "outcomes": {outcome.value: outcomes[outcome.value] for outcome in Outcome},
        "bounds": bounds(problem, plan, run),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    """Plain data of an estimate; JSON has no NaN, so no interval is null."""
    return {name: None if np.isnan(value) else value for name, value in asdict(estimate).items()}


def bounds(problem: TabularProblem | TextProblem, plan: Plan, run: Run) -> dict[str, Any]:
    """Bounds on what a run may cost, and the premise of E2-E5, from its settings and what it observed.

    Parameters
    ----------
    problem : TabularProblem or TextProblem
    plan : Plan
    run : Run

    Returns
    -------
    dict
        `samples` and `rewards` (S7, R1, S4), `spanner_size` (S4), `score_error` (`nu max gamma_t`, E2) and its limit
        `beta/2`.
    """
    settings, trace = run.settings, run.trace
    size_bound = spanner_size_bound(trace.spanner.dimension, settings.ridge, settings.nu)
    rounds = trace.exploration.rounds
    per_round = round_cost(plan.sampler, settings)
    largest = 2 * len(trace.spanner.tries) * settings.pairs_per_prompt + rounds * per_round
    data = np.concatenate([trace.spanner.vectors, trace.exploration.vectors])
    _, log_det = np.linalg.slogdet(settings.ridge * np.eye(trace.spanner.dimension) + data.T @ data)
    gamma = confidence_radius(
        ridge=settings.ridge,
        radius=problem.radius,
        reward_range=problem.reward_range,
        delta=plan.delta,
        log_det_ratio=float(log_det) - trace.spanner.dimension * float(np.log(settings.ridge)),
    )
    return {
        "samples": largest if plan.budget is None else min(largest, plan.budget),
        "rewards": 2 * size_bound + 2 * rounds,
        "spanner_size": size_bound,
        "score_error": settings.nu * gamma,
        "score_error_limit": problem.beta / 2,
    }


def refuse_unfinished(path: Path) -> None:
    """Refuse to write over an unfinished run.

    Raises
    ------
    ArgumentError
        If there is a checkpoint beside `path`.
    """
    checkpoint = checkpoint_path(path)
    if checkpoint.exists():
        allowed = f"another path, as {checkpoint} holds an unfinished run (go on with --resume, or delete it)"
        raise ArgumentError("out", path, allowed)
