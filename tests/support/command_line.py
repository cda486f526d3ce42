"""Command lines in this process and in others, and what they printed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


def set_options(settings: Mapping[str, object]) -> list[str]:
    """Options of `spanver run` that give settings."""
    return [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]


TINY_PROBLEM = ("--problem", "random:prompts=2,responses=6,dimension=2")
TINY = [*TINY_PROBLEM, *set_options({"prompts": 30, "exploration_rounds": 20})]

# Some seconds of literal drawing in short rounds: time for a checkpoint, and to stop in mid-run.
LONG = [
    *("--problem", "random:responses=64", "--oracle", "literal"),
    *set_options({"prompts": 12000, "exploration_rounds": 100, "pairs_per_prompt": 1500, "rejection_multiplier": 50}),
]

PROGRAM = [sys.executable, "-c", "from spanver.cli.app import main; main()"]


@dataclass(frozen=True)
class Said:
    """Exit code and output of a command, without line breaks: those depend on the width of a terminal."""

    code: int
    out: str
    err: str


Command: TypeAlias = Callable[..., Said]


def environment(**changes: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    return {**inherited, "COLUMNS": "400", **changes}


def program(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_same_record(one: Path, two: Path) -> None:
    assert one.read_bytes() == two.read_bytes()
    assert one.with_suffix(".npz").read_bytes() == two.with_suffix(".npz").read_bytes()


def assert_refused(said: Said, words: list[str]) -> None:
    """Assert that a command was refused in one sentence with these words, and wrote nothing in the folder it ran in."""
    assert said.code == 2
    assert said.err.startswith("spanver: ")
    assert "Traceback" not in said.err + said.out
    assert len(said.err) < 500
    for word in words:
        assert word in said.err
    assert list(Path().iterdir()) == []
