"""The properties in anybody's pytest."""

from __future__ import annotations

import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spanver.verification.request import TRUSTING


def test_the_suite_runs_in_anybodys_pytest(broken: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "spanver.properties", "-p", "no:cacheprovider"]
    command += ["--subject", broken, "--spanver-only", "S8,E6", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "1 passed" in done.stdout
    assert "smallest instance" in done.stdout
    assert f"spanver: {broken}, {TRUSTING}\n" in done.stdout


FOUR = """
import numpy as np
import pytest
from hypothesis import strategies as st
from spanver.errors import NotJudgedError, UndecidedError
from spanver.verification.search import instances

@pytest.mark.guarantee("S8", needs=["elliptic_norms"])
@instances(number=st.integers(0, 9))
def test_violated(check, number):
    check.call("elliptic_norms", np.ones((1, 1)), 4 * np.eye(1))
    assert number < 5, "too large"

@pytest.mark.guarantee("S8")
@instances(number=st.integers(0, 9))
def test_undecided(check, number):
    check.premise(False)

@pytest.mark.guarantee("S8")
@instances(number=st.integers(0, 9))
def test_undecided_for_a_reason(check, number):
    raise UndecidedError("the interval is too wide")

@pytest.mark.guarantee("S8")
@instances(number=st.integers(0, 9))
def test_not_judged(check, number):
    raise NotJudgedError("out of reach")
"""


def test_a_junit_file_says_what_was_violated_undecided_and_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_four.py").write_text(FOUR)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    monkeypatch.chdir(tmp_path)
    with redirect_stdout(StringIO()) as printed:
        pytest.main(["test_four.py", "-c", "pytest.ini", "-W", "ignore", "-p", "no:xdist", "--junitxml=four.xml"])
    assert TRUSTING not in printed.getvalue()  # the reference is ours
    cases = {case.attrib["name"]: case for case in ElementTree.parse("four.xml").iter("testcase")}
    failure = cases["test_violated"].find("failure")
    assert failure is not None
    assert "too large" in failure.attrib["message"]
    assert [line.strip() for line in str(failure.text).splitlines()[-4:]] == [
        "call: elliptic_norms(features=[[1]], sigma=[[4]])",
        "smallest instance:",
        "number: 5",
        "All traceback entries are hidden. Pass `--full-trace` to see hidden and internal frames.",
    ]
    skipped = {name: case.find("skipped") for name, case in cases.items()}
    reasons = {name: each.attrib["message"] for name, each in skipped.items() if each is not None}
    assert reasons == {
        "test_undecided": "undecided: its premise held in none of 10 cases",
        "test_undecided_for_a_reason": "undecided: the interval is too wide",
        "test_not_judged": "not judged: out of reach",
    }
