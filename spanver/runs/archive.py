"""Files of runs: arrays packed next to JSON, written whole or not at all, and read back without trust."""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np

from spanver.errors import RecordError
from spanver.runs.columns import Arrays


def sibling(path: Path, suffix: str) -> Path:
    """Path of a file that belongs to the record at `path`, in the same folder."""
    return path.with_name(path.name.removesuffix(".json") + suffix)


def arrays_path(path: Path) -> Path:
    """Where the arrays of a record lie."""
    return sibling(path, ".npz")


def versions(libraries: Sequence[str] = ()) -> dict[str, str]:
    """Versions of everything whose change could change a run."""
    names = ("spanver", "numpy", "scipy", *libraries)
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def pack(arrays: Arrays) -> bytes:
    """Arrays as the bytes of an archive."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **cast("dict[str, Any]", arrays))
    return buffer.getvalue()


def unpack(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read an archive of arrays.

    Raises
    ------
    RecordError
        If it is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist") from None
    except Exception as error:  # zip, zlib and NumPy raise what they like on damaged bytes
        raise RecordError(f"{path} is not a readable archive of arrays ({type(error).__name__}: {error})") from error


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file whole, so that a killed process leaves the old one or the new one.

    Raises
    ------
    RecordError
        If it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise RecordError(f"{path} cannot be written ({error})") from error


def read_summary(path: Path, schema: str) -> dict[str, Any]:
    """Content of the JSON file of a record.

    Raises
    ------
    RecordError
        If the file is missing or damaged, or has another schema.
    """
    try:
        summary = json.loads(path.read_text())
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is not readable as JSON ({error})") from error
    found = str(summary.get("schema") if isinstance(summary, dict) else type(summary).__name__)
    if found != schema:
        raise RecordError(f"{path} has schema {found!r}, but it must be {schema!r}")
    return dict(summary)
