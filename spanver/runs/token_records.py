"""Records of multi-turn runs (A4): `run.json` beside `run.npz`, as in `records`, with a spanner a layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spanver.errors import RecordError
from spanver.learners.multi_turn import PHASES, MultiTurnRun, MultiTurnSettings
from spanver.oracle import Ledger
from spanver.policies import TruncatedSoftmax
from spanver.runs.archive import arrays_path, pack, read_summary, unpack, versions, write_whole
from spanver.runs.plans import TokenPlan
from spanver.runs.records import TEXT_LIBRARIES
from spanver.validation import require, require_count, require_positive
from spanver.values import FloatArray, IntArray

__all__ = ["SCHEMA", "RecordedLayer", "TokenRecord", "load_token_record", "save_token_record"]

SCHEMA = "spanver.multi_turn/1"


@dataclass(frozen=True, eq=False)
class RecordedLayer:
    """Spanner and fit of one layer.

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


_KINDS = {"prompts": "i", "prefixes": "i", "first": "i", "second": "i"}  # all else are numbers


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


def save_token_record(
    path: Path, *, plan: TokenPlan, run: MultiTurnRun, ledger: Ledger, results: dict[str, Any]
) -> dict[str, Any]:
    """Write `run.json` and `run.npz`, and return the content of the former.

    Parameters
    ----------
    path : Path
        Of the JSON file.
    plan, run, ledger
    results : dict
        Further top-level keys, plain data; among them `problem` with `radius` and `dimension`.
    """
    summary = {
        "schema": SCHEMA,
        "versions": versions(TEXT_LIBRARIES if plan.problem == "text" else ()),
        "plan": asdict(plan),
        "ledger": asdict(ledger),
        "phases": {phase: asdict(run.ledgers[phase]) for phase in PHASES},
        "spanner_sizes": list(run.spanner_sizes),
        "starts": list(run.starts),
        **results,
    }
    write_whole(arrays_path(path), pack(_arrays(run)))
    write_whole(path, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def _arrays(run: MultiTurnRun) -> dict[str, np.ndarray[Any, Any]]:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for position, (pairs, targets, policy) in enumerate(zip(run.pairs, run.targets, run.policy.layers, strict=True)):
        assert isinstance(policy, TruncatedSoftmax)
        size, dimension = len(pairs), len(policy.theta)
        layer = RecordedLayer(
            prompts=np.array([pair.prefix.prompt for pair in pairs], dtype=np.int64),
            prefixes=np.array([pair.prefix.tokens for pair in pairs], dtype=np.int64).reshape(size, position),
            first=np.array([pair.first.id for pair in pairs], dtype=np.int64),
            second=np.array([pair.second.id for pair in pairs], dtype=np.int64),
            vectors=np.array([pair.difference for pair in pairs]).reshape(size, dimension),
            targets=np.asarray(targets, dtype=np.float64),
            theta=policy.theta,
            precision=policy.precision,
        )
        arrays |= {f"layer_{position + 1}_{name}": array for name, array in vars(layer).items()}
    return arrays


def load_token_record(path: Path) -> TokenRecord:
    """Read a record back.

    Raises
    ------
    RecordError
        If a file is missing or damaged, or is not a record of this version.
    """
    summary = read_summary(path, SCHEMA)
    arrays = unpack(arrays_path(path))
    try:
        plan = TokenPlan(**{**summary["plan"], "settings": MultiTurnSettings(**summary["plan"]["settings"])})
        require_positive("problem.radius", summary["problem"]["radius"])
        dimension, horizon = int(summary["problem"]["dimension"]), int(summary["problem"]["horizon"])
        require_count("problem.horizon", horizon)
        require(
            len(summary["spanner_sizes"]) == horizon, "spanner_sizes", summary["spanner_sizes"], f"{horizon} numbers"
        )
        require(
            all(type(start) is int for start in summary["starts"]), "starts", summary["starts"], "positions of layers"
        )
        return TokenRecord(
            summary=summary,
            plan=plan,
            ledger=Ledger(**summary["ledger"]),
            phases={phase: Ledger(**summary["phases"][phase]) for phase in PHASES},
            layers=tuple(_layer(arrays, position, dimension) for position in range(horizon)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} is damaged ({type(error).__name__}: {error})") from error


def _layer(arrays: Mapping[str, np.ndarray[Any, Any]], position: int, dimension: int) -> RecordedLayer:
    own = {name: arrays[f"layer_{position + 1}_{name}"] for name in RecordedLayer.__annotations__}
    size = len(own["targets"])
    shapes = dict.fromkeys(("prompts", "first", "second", "targets"), (size,)) | {
        "prefixes": (size, position),
        "vectors": (size, dimension),
        "theta": (dimension,),
        "precision": (dimension, dimension),
    }
    for name, array in own.items():
        kind, shape = _KINDS.get(name, "f"), shapes[name]
        if array.dtype.kind != kind or array.shape != shape:
            msg = f"{name} of layer {position + 1} is of {array.dtype} and shape {array.shape}, not {kind} and {shape}"
            raise ValueError(msg)
    return RecordedLayer(**own)
