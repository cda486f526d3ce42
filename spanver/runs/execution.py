"""Running a learner on a problem, from plan to record: what `spanver run` does, without the terminal.

A run of SpannerSampling writes a checkpoint now and then, and goes on from one to the bit-identical record: the
oracle's randomness depends on how many prompts were issued and the learner's on the round, so a trace and a ledger are
all that has to be stored. The other learners take seconds to a minute; their runs are repeated rather than continued,
and the same plan gives the same record.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from spanver.errors import ArgumentError
from spanver.learners.completed import completed
from spanver.learners.multi_turn import multi_turn
from spanver.learners.spanner_sampling import Run, SamplingState, Trace, largest_cost, sampling_rounds
from spanver.learners.staged import staged_rounds
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.prefix import prefix_oracle
from spanver.oracles.text import text_oracle
from spanver.problems.catalogue import make_problem
from spanver.problems.families.text import TextProblem
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.randomness import derived_seed
from spanver.runs.baselines import BASELINES, learn
from spanver.runs.columns import Arrays
from spanver.runs.evaluation import EVALUATION_PROMPTS, Evaluation, evaluate_table, evaluate_text
from spanver.runs.plans import SAMPLERS, Plan, stage_settings
from spanver.runs.records import (
    Checkpoint,
    checkpoint_path,
    layer_arrays,
    round_arrays,
    save_checkpoint,
    save_record,
    times_path,
    trace_arrays,
)
from spanver.runs.results import baseline_results, run_results, token_results

_CHECKPOINT_SECONDS = 1.0
_CHECKPOINT_SHARE = 0.05  # of the time may go into checkpoints


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished run: its record's content, its result, and the evaluation."""

    summary: dict[str, Any]
    run: Run
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class Step:
    """A run of SpannerSampling after a round, or after a step of its evaluation.

    Attributes
    ----------
    phase : {"spanner", "exploration", "evaluation"}
    done : int
        Rounds of this phase so far, or steps of the evaluation.
    ledger : Ledger
        Of the learner.
    finished : Finished or None
        The result, once the record is written: in the last step alone.
    """

    phase: str
    done: int
    ledger: Ledger
    finished: Finished | None = None


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
    checkpoints = _Checkpoints(plan, path, oracle)
    # Several threads inside small matrix products cost more than they give, and make sums depend on the machine.
    with threadpool_limits(1):
        for state in _rounds(problem, plan, oracle, start.trace if start else None):
            if state.done == done[state.phase]:
                continue  # where a phase begins, or goes on from
            done[state.phase] = state.done
            checkpoints.write_if_due(state)
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
    checkpoint_path(path).unlink(missing_ok=True)
    seconds = {"learning": learned - began, "evaluation": time.monotonic() - learned, "resumed": start is not None}
    times_path(path).write_text("".join(f"{name} {value}\n" for name, value in seconds.items()))
    yield Step("evaluation", len(evaluation.rounds), oracle.ledger, Finished(summary, run, evaluation))


def _finished(step: Step) -> Finished:
    assert step.finished is not None
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


def execute_tokens(plan: Plan, path: Path, *, problem: TokenProblem) -> dict[str, Any]:
    """Carry out a multi-turn plan on its problem, write its record at `path`, and return the content of `run.json`."""
    began = time.monotonic()
    with threadpool_limits(1):
        oracle = prefix_oracle(problem, seed=derived_seed(plan.seed, "oracle"))
        run = multi_turn(
            oracle,
            horizon=problem.horizon,
            settings=plan.settings,
            seed=derived_seed(plan.seed, "learner"),
            sampler=plan.sampler_spec.function,
        )
        results = token_results(plan, problem, run)
    return _recorded(plan, path, oracle.ledger, results, layer_arrays(run), began)


def execute_baseline(plan: Plan, path: Path, *, problem: TabularProblem) -> dict[str, Any]:
    """Carry out a plan of a baseline on its problem, as `execute_tokens` does."""
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
    return _recorded(plan, path, oracle.ledger, results, round_arrays(run), began)


def _recorded(
    plan: Plan, path: Path, ledger: Ledger, results: dict[str, Any], arrays: Arrays, began: float
) -> dict[str, Any]:
    summary = save_record(path, plan=plan, ledger=ledger, results=results, arrays=arrays)
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
