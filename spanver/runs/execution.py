"""Running a learner on a problem, from plan to record: what `spanver run` does, without the terminal.

A run of SpannerSampling or MTSS writes a checkpoint now and then, and goes on from one to the bit-identical record. Of
the former a trace and a ledger are all that has to be stored: the oracle's randomness depends on how many prompts were
issued and the learner's on the round. Of the latter it is where the oracle stands; the learner has no randomness. The
other learners take seconds to a minute; their runs are repeated rather than continued, and the same plan gives the same
record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from spanver.episodic import EpisodicLedger
from spanver.errors import ArgumentError
from spanver.learners.completed import completed
from spanver.learners.mtss import MTSSRun, mtss_iterations
from spanver.learners.spanner_sampling import Run, SamplingState, Trace, largest_cost, sampling_rounds
from spanver.learners.staged import staged_rounds
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.episodic import episodic_oracle, standing
from spanver.oracles.literal import literal_oracle
from spanver.oracles.text import text_oracle
from spanver.problems.catalogue import LAYERED_FAMILIES, layers_of, make_problem
from spanver.problems.families.text import TextProblem
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.randomness import derived_seed
from spanver.runs.baselines import BASELINES, learn
from spanver.runs.evaluation import EVALUATION_PROMPTS, Evaluation, evaluate_table, evaluate_text
from spanver.runs.plans import SAMPLERS, Plan, stage_settings
from spanver.runs.records import (
    Checkpoint,
    LayeredCheckpoint,
    checkpoint_path,
    mtss_arrays,
    round_arrays,
    save_checkpoint,
    save_record,
    times_path,
    trace_arrays,
)
from spanver.runs.results import baseline_results, mtss_results, run_results

_CHECKPOINT_SECONDS = 1.0
_CHECKPOINT_SHARE = 0.05  # of the time may go into checkpoints


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished run of SpannerSampling: its record's content, its result, and the evaluation."""

    summary: dict[str, Any]
    run: Run
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class FinishedLayers:
    """A finished run of MTSS: its record's content, and its result."""

    summary: dict[str, Any]
    run: MTSSRun


@dataclass(frozen=True, eq=False)
class Step:
    """A run of SpannerSampling after a round, or after a step of its evaluation; or one of MTSS after an iteration.

    Attributes
    ----------
    phase : {"spanner", "exploration", "evaluation", "MTSS"}
    done : int
        Rounds of this phase so far, steps of the evaluation, or iterations.
    ledger : Ledger or EpisodicLedger
        Of the learner.
    finished : Finished, FinishedLayers or None
        The result, once the record is written: in the last step alone.
    """

    phase: str
    done: int
    ledger: Ledger | EpisodicLedger
    finished: Finished | FinishedLayers | None = None


def execution_steps(
    plan: Plan, path: Path, *, start: Checkpoint | None = None, problem: TabularProblem | TextProblem | None = None
) -> Generator[Step, None, None]:
    """Carry out a plan step by step, and write its record before the last.

    An iterator that is closed after a round has written a checkpoint from which the run goes on.

    Parameters
    ----------
    plan : Plan
    path : Path
        Of the record; the checkpoint lies next to it until the run is complete.
    start : Checkpoint, optional
        To go on from.
    problem : TabularProblem or TextProblem, optional
        The problem of the plan, if it is built already.
    """
    began = time.monotonic()
    problem = problem or make_problem(plan.problem, plan.parameters)
    done = {"spanner": 0, "exploration": 0}
    if start is not None:
        done = {"spanner": len(start.trace.spanner.tries), "exploration": start.trace.exploration.rounds}
    oracle = _oracle(problem, plan, start.ledger if start else None, sum(done.values()))
    checkpoints = _Checkpoints(lambda trace: save_checkpoint(path, Checkpoint(plan, trace, oracle.ledger)))
    # Several threads inside small matrix products cost more than they give, and make sums depend on the machine.
    with threadpool_limits(1):
        for state in _rounds(problem, plan, oracle, start.trace if start else None):
            if state.done == done[state.phase]:
                continue  # where a phase begins, or goes on from
            done[state.phase] = state.done
            checkpoints.write_if_due(state.trace)
            try:
                yield Step(state.phase, state.done, oracle.ledger)
            except GeneratorExit:
                checkpoints.write(state.trace)
                raise
        run = state.run
        checkpoints.write(run.trace)
        learned = time.monotonic()
        evaluation, evaluation_ledger = yield from _evaluated(problem, plan, run, oracle.ledger)
        results = run_results(problem, plan, run, oracle.ledger, evaluation, evaluation_ledger)
    arrays = {**trace_arrays(run.trace), **evaluation.curves}
    summary = save_record(path, plan=plan, ledger=oracle.ledger, results=results, arrays=arrays)
    _clear(path, began, learned, start is not None)
    yield Step("evaluation", len(evaluation.rounds), oracle.ledger, Finished(summary, run, evaluation))


def _clear(path: Path, began: float, learned: float, resumed: bool) -> None:
    """Leave wall times in place of a checkpoint."""
    checkpoint_path(path).unlink(missing_ok=True)
    seconds = {"learning": learned - began, "evaluation": time.monotonic() - learned, "resumed": resumed}
    times_path(path).write_text("".join(f"{name} {value}\n" for name, value in seconds.items()))


def _finished(step: Step) -> Finished:
    assert isinstance(step.finished, Finished)
    return step.finished


execute = completed("execute", execution_steps, _finished)
"""Carry out a plan and write its record: the last of `execution_steps`, with its parameters."""


def _rounds(
    problem: TabularProblem | TextProblem, plan: Plan, oracle: Oracle, start: Trace | None
) -> Iterator[SamplingState]:
    seed, sampler = derived_seed(plan.seed, "learner"), plan.sampler_spec.function
    if plan.budget is None:
        return sampling_rounds(oracle, seed=seed, settings=plan.settings, sampler=sampler, start=start)
    return staged_rounds(
        oracle,
        seed=seed,
        budget=plan.budget,
        delta=plan.delta,
        settings=stage_settings(problem, plan),
        cost=partial(largest_cost, call=plan.sampler_spec.most),
        sampler=sampler,
        start=start,
    )


def _oracle(problem: TabularProblem | TextProblem, plan: Plan, ledger: Ledger | None, prompts: int) -> Oracle:
    seed, budget = derived_seed(plan.seed, "oracle"), Budget(samples=plan.budget)
    if isinstance(problem, TextProblem):
        return text_oracle(problem, seed=seed, budget=budget, ledger=ledger, prompts=prompts)
    make = counted_oracle if plan.oracle == "counted" else literal_oracle
    return make(problem, seed=seed, budget=budget, ledger=ledger, prompts=prompts)


class _Checkpoints:
    """Writes checkpoints between rounds, seldom enough that they take little of the time."""

    def __init__(self, save: Callable[[Any], None]) -> None:
        self._save, self._due = save, time.monotonic() + _CHECKPOINT_SECONDS

    def write_if_due(self, done: Any) -> None:
        if time.monotonic() >= self._due:
            self.write(done)

    def write(self, done: Any) -> None:
        began = time.monotonic()
        self._save(done)
        ended = time.monotonic()
        self._due = ended + max(_CHECKPOINT_SECONDS, (ended - began) / _CHECKPOINT_SHARE)


def _evaluated(
    problem: TabularProblem | TextProblem, plan: Plan, run: Run, ledger: Ledger
) -> Generator[Step, None, tuple[Evaluation, Ledger]]:
    """Evaluate a run step by step; returns the evaluation, and what it cost besides the run."""
    seed = derived_seed(plan.seed, "evaluation")
    if isinstance(problem, TabularProblem):
        oracle, evaluating = None, evaluate_table(problem, run.policy, seed=seed)
    else:
        # A seed of its own: what was learned from is not what it is judged on.
        oracle = text_oracle(problem, seed=seed)
        pool = SAMPLERS["race"].most(run.settings.rejection_multiplier, run.settings.rejection_failure)
        evaluating = evaluate_text(oracle, run.policy, prompts=EVALUATION_PROMPTS, pool=pool, seed=seed)
    while True:
        try:
            yield Step("evaluation", next(evaluating), ledger)
        except StopIteration as end:
            return end.value, Ledger() if oracle is None else oracle.ledger


def mtss_steps(
    plan: Plan, path: Path, *, start: LayeredCheckpoint | None = None, problem: TokenProblem | LayeredMDP | None = None
) -> Generator[Step, None, None]:
    """Carry out a plan of MTSS iteration by iteration, as `execution_steps` does."""
    began = time.monotonic()
    problem = problem or make_problem(plan.problem, plan.parameters, LAYERED_FAMILIES)
    oracle = episodic_oracle(
        layers_of(problem),
        seed=derived_seed(plan.seed, "oracle"),
        literal=plan.oracle == "literal",
        start=start.oracle if start else None,
    )
    checkpoints = _Checkpoints(lambda run: save_checkpoint(path, LayeredCheckpoint(plan, run, standing(oracle))))
    run = start.run if start else None
    with threadpool_limits(1):
        # One that was stopped after its last iteration is complete but for its record.
        ended = run is not None and run.has_ended
        iterations = iter(()) if ended else mtss_iterations(oracle, settings=plan.settings, start=run)
        for run in iterations:
            checkpoints.write_if_due(run)
            try:
                yield Step("MTSS", len(run.iterations), oracle.ledger)
            except GeneratorExit:
                checkpoints.write(run)
                raise
        assert run is not None
        learned = time.monotonic()
        results = mtss_results(plan, problem, run)
    precisions = np.array([layer.precision for layer in run.policy.layers])
    arrays = {**mtss_arrays(run), "precisions": precisions}
    summary = save_record(path, plan=plan, ledger=oracle.ledger, results=results, arrays=arrays)
    _clear(path, began, learned, start is not None)
    yield Step("MTSS", len(run.iterations), oracle.ledger, FinishedLayers(summary, run))


def _finished_layers(step: Step) -> FinishedLayers:
    assert isinstance(step.finished, FinishedLayers)
    return step.finished


execute_mtss = completed("execute_mtss", mtss_steps, _finished_layers)
"""Carry out a plan of MTSS and write its record: the last of `mtss_steps`, with its parameters."""


def execute_baseline(plan: Plan, path: Path, *, problem: TabularProblem) -> dict[str, Any]:
    """Carry out a plan of a baseline on its problem, write its record, and return the content of `run.json`."""
    began = time.monotonic()
    baseline = BASELINES[plan.learner]
    make = counted_oracle if plan.oracle == "counted" else literal_oracle
    with threadpool_limits(1):
        oracle = make(
            problem,
            seed=derived_seed(plan.seed, "oracle"),
            full_table=baseline.full_table(plan.settings),
            log_probabilities=baseline.generalised(plan.settings),
        )
        run = learn(baseline, oracle, problem, plan.settings, seed=derived_seed(plan.seed, "learner"))
        results = baseline_results(plan, problem, run)
    summary = save_record(path, plan=plan, ledger=oracle.ledger, results=results, arrays=round_arrays(run))
    times_path(path).write_text(f"seconds {time.monotonic() - began}\n")
    return summary


def refuse_unfinished(path: Path) -> None:
    """Refuse to write over an unfinished run.

    Raises
    ------
    ArgumentError
        If there is a checkpoint next to `path`.
    """
    checkpoint = checkpoint_path(path)
    if checkpoint.exists():
        allowed = f"another path, as {checkpoint} holds an unfinished run (go on with --resume, or delete it)"
        raise ArgumentError("out", path, allowed)
