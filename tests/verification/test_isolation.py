"""Nothing that a Python subject does ends in a verdict that it does not deserve: it runs in a process of its own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from command_line import Command, Said, program

from spanver.errors import ArgumentError
from spanver.subjects import process
from spanver.verification.finding import finding_to_json
from spanver.verification.report import footer_lines
from spanver.verification.request import TRUSTING, Request
from spanver.verification.runner import run_properties, verify

NORMS = """
import atexit, contextlib, gc, os, sys, time
import hypothesis, numpy as np

provides = ["elliptic_norms"]


def elliptic_norms(features, sigma):
    {body}
    return np.zeros(len(features))


{further}
subject = sys.modules[__name__]
"""

SAMPLER = """
import contextlib, sys

provides = ["softmax_sample"]


def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
    {body}


subject = sys.modules[__name__]
"""

Written = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Write a subject into a module of the working directory."""

    def write(template: str, body: str = "pass", further: str = "") -> str:
        text = template.format(body=body.replace("\n", "\n    "), further=further)
        (tmp_path / "dishonest.py").write_text(text, encoding="utf-8")
        return "dishonest:subject"

    monkeypatch.chdir(tmp_path)
    return write


OPENED = "oracle._oracle._source._problem.reward"
EDITED = """
samples = 100 * int(multiplier / failure)
response = oracle.sample(prompt, samples)[0]
for path in ("_spent", "_oracle._spent", "_oracle._oracle._spent", "_rows._spent"):
    with contextlib.suppress(AttributeError):
        spent = oracle
        for part in path.split("."):
            spent = getattr(spent, part)
        spent["samples"] = 1
with contextlib.suppress(AttributeError):
    oracle._queries.clear()
oracle._ledger = None
return response
"""
OVERWRITTEN = """
with contextlib.suppress(ValueError):
    features.setflags(write=True)
    features[:] = 0.0
"""
PATCHED = """
from spanver.verification import check, results, runner
check.Check.call = lambda self, function, *arguments, **named: np.ones(len(arguments[0]))
runner.judge = results.judge = lambda *_: results.Row('S8', results.Status.HOLDS)
"""
FOUND = """
for each in gc.get_objects():
    if type(each).__name__ in ('Check', 'RecordingOracle', 'TabularProblem'):
        return np.full(len(features), np.nan)
"""
CLAIMED = "print('1 of 1 properties ran: 1 guarantee holds, 0 violated, 0 undecided', flush=True); os._exit(0)"
VIOLATED = "S8 is violated: .* by definition"

# By what the subject does: its template, the body of its function, what stands beside it, the exit code, and words.
ENDINGS = {
    "exits when called": (NORMS, "os._exit(0)", "", 1, r"exit code 0.* \[protocol\]"),
    "prints a verdict and exits": (NORMS, CLAIMED, "", 1, r"exit code 0.* \[protocol\]"),
    "exits by a handler": (NORMS, "pass", "atexit.register(os._exit, 0)", 1, VIOLATED),
    "exits when imported": (NORMS, "pass", "os._exit(0)", 2, "exit code 0"),
    "exits by an error when called": (NORMS, "sys.exit(0)", "", 1, r"raised SystemExit: 0 .*\[raised\]"),
    "exits by an error when imported": (NORMS, "pass", "sys.exit(0)", 2, r"importable \(SystemExit: 0\)"),
    "never ends when called": (NORMS, "while True: time.sleep(1.0)", "", 1, "S8 invariances not judged 1 .*time limit"),
    "never ends when imported": (NORMS, "pass", "while True: time.sleep(1.0)", 2, "of its own time"),
    "rejects instances": (NORMS, "hypothesis.reject()", "", 1, r"raised UnsatisfiedAssumption.*\(dishonest.py:9\)"),
    "assumes what is false": (NORMS, "hypothesis.assume(False)", "", 1, r"raised UnsatisfiedAssumption.*\[raised\]"),
    "makes arrays writable": (NORMS, "features.setflags(write=True)", "", 1, r"WRITEABLE.*\[raised\]"),
    "overwrites arrays": (NORMS, OVERWRITTEN, "", 1, VIOLATED),
    "patches the harness": (NORMS, "pass", PATCHED, 1, VIOLATED),
    "searches memory for what is expected": (NORMS, FOUND, "", 1, VIOLATED),
    "opens the table": (SAMPLER, OPENED, "", 1, r"raised AttributeError.*\(dishonest.py:8\)"),
    "edits the ledger and the record": (SAMPLER, EDITED, "", 1, "R1 is violated: .*samples, at most"),
    "promises nothing": (NORMS, "pass", "unpromised = provides", 2, "declared by the subject: unpromised: ellip"),
    "provides nothing": (NORMS, "pass", "provides = []", 2, "nothing was checked"),
    "computes coarsely": (NORMS, "pass", "precision = 'bfloat16'", 1, VIOLATED),
    "declares any error right": (NORMS, "pass", "precision = 1e12", 2, "precision is 1000000000000.0"),
    "declares half of its digits right": (NORMS, "pass", "precision = 0.5", 2, "precision is 0.5"),
    "declares any set spanning": (NORMS, "pass", "approximation = 1e12", 2, "approximation is 1000000000000.0"),
    "declares better than exact": (NORMS, "pass", "approximation = 0.5", 2, "approximation is 0.5"),
    "declares what there is not": (NORMS, "pass", "unpromised = ['fly']", 2, r"unpromised is \['fly'\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_no_dishonest_subject_ends_in_exit_code_0(
    spanver: Command, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    template, body, further, code, words = ENDINGS[name]
    monkeypatch.setattr(process, "START_LIMIT", 1.0 if name == "never ends when imported" else 20.0)
    arguments = ["verify", written(template, body, further), "--only", "S8,R1", "--smoke", "--workers", "1"]
    arguments += ["--time-limit", "1"] if "never" in name else []
    if "os._exit" in body + further:  # it would end the tests, were it not isolated
        done = program(tmp_path, *arguments)
        said = Said(done.returncode, " ".join(done.stdout.split()), " ".join(done.stderr.split()))
    else:
        said = spanver(*arguments)
    assert said.code == code, said
    assert re.search(words, said.out + said.err), said


def test_configuration_of_pytest_in_the_folder_of_a_subject_is_not_run(
    spanver: Command, written: Written, tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    for file in ("conftest.py", "tests/conftest.py"):
        (tmp_path / file).write_text("raise RuntimeError('it was run')\n")
    said = spanver("verify", written(NORMS), "--only", "S8", "--smoke", "--workers", "2")
    assert said.code == 1
    assert re.search(VIOLATED, said.out), said


HERE_TOO = [name for name in ENDINGS if name.startswith("declares") or name == "exits by an error when imported"]


@pytest.mark.parametrize("name", HERE_TOO)
def test_what_is_refused_is_refused_in_this_process_too(spanver: Command, written: Written, name: str) -> None:
    template, body, further, code, words = ENDINGS[name]
    said = spanver("verify", written(template, body, further), "--in-process", "--only", "S8", "--workers", "1")
    sys.modules.pop("dishonest", None)
    assert said.code == code
    assert re.search(words, said.err), said


def test_what_a_subject_declares_is_printed(written: Written) -> None:
    further = "precision = 1e-3\napproximation = 3\nunpromised = ['elliptic_norms']\nclaims = ['A2', 'A1']"
    report = verify(Request(written(NORMS, further=further), only="S8"), workers=1)
    line = "approximation: 3.0; unpromised: elliptic_norms; claims: A1, A2; precision: 0.001"
    assert f"declared by the subject: {line}" in list(footer_lines(report))
    assert TRUSTING not in list(footer_lines(report))
    assert report.to_json()["declared"] == {
        "approximation": 3.0,
        "precision": 1e-3,
        "unpromised": ["elliptic_norms"],
        "claims": ["A1", "A2"],
    }
    assert report.to_json()["trust"] is None


def test_verdicts_from_this_process_say_that_they_trust_the_subject(broken: str, tmp_path: Path) -> None:
    request = Request(broken, only="S8", in_process=True)
    report = verify(request, workers=1, junit=tmp_path / "junit.xml")
    assert TRUSTING in list(footer_lines(report))
    assert json.loads(json.dumps(report.to_json()))["trust"] == TRUSTING
    assert "--in-process" in request.replay("S8")
    suites = ElementTree.parse(tmp_path / "junit.xml").findall(".//testsuite")
    assert [TRUSTING in suite.attrib["name"] for suite in suites] == [True]
    with pytest.raises(ArgumentError, match="in_process"):
        Request(command="cat", in_process=True)


def test_a_time_limit_is_part_of_the_replay_and_does_not_apply_to_this_process(broken: str) -> None:
    assert "--time-limit 2.5" in Request(broken, time_limit=2.5).replay("S8")
    with pytest.raises(ArgumentError, match="time_limit is 0"):
        Request(broken, time_limit=0.0)
    with pytest.raises(ArgumentError, match="left out with in_process"):
        Request(broken, in_process=True, time_limit=2.5)


def findings(request: Request) -> list[dict[str, Any]]:
    found = [json.loads(finding_to_json(each)) for each in run_properties(request)]
    return [{key: value for key, value in each.items() if key != "seconds"} for each in found]


@pytest.mark.parametrize("name", ["spanver.subjects.reference:subject", "broken"])
def test_findings_are_the_same_in_either_process(name: str, broken: str) -> None:
    request = Request(broken if name == "broken" else name, only="O3,S1,S8,T5,R5")
    isolated = findings(request)
    assert isolated
    assert isolated == findings(replace(request, in_process=True))
