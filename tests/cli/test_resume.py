"""Runs continue after Ctrl-C and kill -9, and write the same bytes in every process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import LONG, PROGRAM, TINY, Command, assert_same_record, environment, program, set_options


@contextmanager
def long_run(folder: Path, *, until: Path) -> Iterator[subprocess.Popen[str]]:
    """The long run in another process, from when the file `until` exists."""
    process = subprocess.Popen(
        [*PROGRAM, "run", *LONG],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        limit = time.monotonic() + 60
        while not until.exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        assert process.poll() is None, "the run ended before its first checkpoint"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = program(folder, "run", *LONG, PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    return folder / "run.json"


def test_a_killed_run_goes_on_to_the_bytes_of_an_uninterrupted_one(
    spanver: Command, tmp_path: Path, uninterrupted: Path
) -> None:
    record, checkpoint = tmp_path / "run.json", tmp_path / "run.checkpoint.npz"
    with long_run(tmp_path, until=checkpoint) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.exists()
    assert not record.exists()

    refused = spanver("run", *TINY)
    assert refused.code == 2
    assert "run.checkpoint.npz" in refused.err
    assert "--resume" in refused.err
    for options in (["--seed", "1"], ["--problem", "needle"], ["--set", "exploration_rounds=3"]):
        changed = spanver("run", "--resume", *options)
        assert changed.code == 2
        assert options[0].strip("-").replace("-", "_") in changed.err.replace("-", "_")
        assert "--resume" in changed.err

    resumed = program(tmp_path, "run", "--resume", PYTHONHASHSEED="2")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_record(record, uninterrupted)
    assert not checkpoint.exists()

    again = spanver("run", "--resume")
    assert again.code == 2
    assert "run.checkpoint.npz" in again.err


def test_ctrl_c_stops_between_rounds_and_says_how_to_go_on(tmp_path: Path, uninterrupted: Path) -> None:
    record, checkpoint = tmp_path / "run.json", tmp_path / "run.checkpoint.npz"
    with long_run(tmp_path, until=checkpoint) as process:
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "spanver run --resume --out run.json" in error
    assert "Traceback" not in error
    assert checkpoint.exists()
    assert not record.exists()
    assert list(tmp_path.glob("*.partial")) == []
    resumed = program(tmp_path, "run", "--resume", "--out", "run.json")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_record(record, uninterrupted)


def test_a_terminated_run_says_how_to_go_on_in_one_line_however_long_the_path(tmp_path: Path) -> None:
    folder = tmp_path / ("a folder with a long name " + "x" * 80)
    folder.mkdir()
    program_ = [sys.executable, "-c", STOPPED_AT_ONCE, "run", *TINY, "--out", str(folder / "run.json")]
    done = subprocess.run(
        program_, env=environment(COLUMNS="80"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert str(folder / "run.json") in done.stderr
    assert (folder / "run.checkpoint.npz").exists()


def test_a_run_on_layers_goes_on_in_other_processes_to_the_bytes_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    arguments = ["--problem", "mdp:horizon=2,states=4", *set_options({"regression_rollouts": 8})]
    assert program(whole, "run", *arguments).returncode == 0
    iterations = len(json.loads((whole / "run.json").read_text())["iterations"])
    more = arguments
    for number in range(1, iterations + 1):
        done = subprocess.run(
            [sys.executable, "-c", STOPPED_AT_ONCE, "run", *more],
            cwd=cut,
            env=environment(PYTHONHASHSEED=str(number)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout.startswith("MTSS on mdp")) == (2, True), done.stderr
        assert f"after MTSS round {number}; nothing is lost" in done.stderr
        assert "spanver run --resume --out run.json" in done.stderr
        more = ["--resume"]
    resumed = program(cut, "run", "--resume", PYTHONHASHSEED="0")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_record(cut / "run.json", whole / "run.json")
    assert not (cut / "run.checkpoint.npz").exists()


STOPPED_AT_ONCE = """
import os, signal
from spanver.runs import execution as runs
def stopping(steps):
    def stopped(*positional, **named):
        os.kill(os.getpid(), signal.SIGTERM)
        yield from steps(*positional, **named)
    return stopped
runs.execution_steps, runs.mtss_steps = stopping(runs.execution_steps), stopping(runs.mtss_steps)
from spanver.cli.app import main
main()
"""


def test_processes_with_other_hash_seeds_write_the_same_bytes_and_no_progress_where_there_is_no_terminal(
    tmp_path: Path,
) -> None:
    outputs = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        folder.mkdir()
        done = program(folder, "run", *TINY, PYTHONHASHSEED=hash_seed)
        assert (done.returncode, done.stderr) == (0, "")
        outputs.append(done.stdout)
    assert_same_record(tmp_path / "1" / "run.json", tmp_path / "2" / "run.json")
    assert outputs[0] == outputs[1]
    for sign in ("\x1b", "\r", "rounds/s"):
        assert sign not in outputs[0]
