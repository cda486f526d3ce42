"""Records with one thing altered: changes to the content of the two files, and copies that have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spanver.learners.spanner_sampling import Trace
from spanver.runs.archive import arrays_path
from spanver.runs.records import Record, Sampled

Change: TypeAlias = Callable[[dict[str, Any], dict[str, Any]], object]
"""Changes a summary and arrays in place."""


def trace_of(record: Record) -> Trace:
    """Trace of a record of SpannerSampling."""
    assert isinstance(record.did, Sampled)
    return record.did.trace


def altered_copy(genuine: Path, path: Path, change: Change) -> Path:
    """Copy a record to `path`, with one change to the content of its two files."""
    summary = json.loads(genuine.read_text())
    with np.load(arrays_path(genuine), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(summary, arrays)
    path.write_text(json.dumps(summary))
    np.savez_compressed(arrays_path(path), **arrays)
    return path


def put(*keys: str, value: Any) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        place = summary
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def more(*keys: str, by: int) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        place = summary
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] += by

    return change


def change_by(*keys: str, factor: float) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        place = summary
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] *= factor

    return change


def add(name: str, index: int | tuple[int, ...], amount: float) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name][index] += amount

    return change


def assign(name: str, index: int | tuple[int, int], value: Any) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name][index] = value

    return change


def scale(name: str, factor: float) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name] *= factor

    return change
