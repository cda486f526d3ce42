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
from command_line import program

from spanver.errors import ArgumentError, HandshakeError
from spanver.loading import open_subject
from spanver.subjects import process
from spanver.verdicts import Verdict
from spanver.verification.finding import Finding, finding_to_json
from spanver.verification.report import footer_lines
from spanver.verification.request import TRUSTING, Request
from spanver.verification.results import Report
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

Subject = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Write a subject into a module of the working directory."""

    def write(template: str, body: str = "pass", further: str = "") -> str:
        text = template.format(body=body.replace("\n", "\n    "), further=further)
        (tmp_path / "dishonest.py").write_text(text, encoding="utf-8")
        return "dishonest:subject"

    monkeypatch.chdir(tmp_path)
    return write


def verified(name: str, only: str = "S8") -> Report:
    report = verify(Request(name, only=only), workers=1)
    assert report.verdict is Verdict.VIOLATED
    return report


def finding(report: Report) -> Finding:
    found = report.rows[0].violation
    assert found is not None
    return found


CHEATS = {
    "an exit": ("os._exit(0)", "", "protocol", "exit code 0"),
    "a rejected instance": ("hypothesis.reject()", "", "raised", r"raised UnsatisfiedAssumption.*\(dishonest.py:9\)"),
    "a false assumption": ("hypothesis.assume(False)", "", "raised", "raised UnsatisfiedAssumption"),
    "a system exit": ("sys.exit(0)", "", "raised", "raised SystemExit: 0"),
    "a handler that ends the process": ("pass", "atexit.register(os._exit, 0)", "guarantee", "by definition"),
    "arrays made writable": ("features.setflags(write=True)", "", "raised", "WRITEABLE"),
    "arrays overwritten": (
        "with contextlib.suppress(ValueError):\n    features.setflags(write=True)\n    features[:] = 0.0",
        "",
        "guarantee",
        "by definition",
    ),
    "a harness patched at import": (
        "pass",
        "from spanver.verification import check, results, runner\n"
        "check.Check.call = lambda self, function, *arguments, **named: np.ones(len(arguments[0]))\n"
        "runner.judge = results.judge = lambda *_: results.Row('S8', results.Status.HOLDS)",
        "guarantee",
        "by definition",
    ),
    "every number that could be the expected one": (
        "for each in gc.get_objects():\n"
        "    if type(each).__name__ in ('Check', 'RecordingOracle', 'TabularProblem'):\n"
        "        return np.full(len(features), np.nan)",
        "",
        "guarantee",
        "by definition",
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_subject_that_reaches_for_the_harness_is_violated(written: Subject, name: str) -> None:
    body, further, cause, words = CHEATS[name]
    report = verified(written(NORMS, body, further))
    found = finding(report)
    assert found.cause == cause
    assert re.search(words, found.message), found.message


def test_a_subject_that_never_ends_is_violated_and_run_once(written: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TIME_LIMIT", 0.5)
    found = finding(verified(written(NORMS, "while True: time.sleep(1.0)")))
    assert found.examples == 1
    assert (found.cause, "0.5 s of its own time" in found.message) == ("time limit", True)


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


def test_the_table_is_not_within_reach(written: Subject) -> None:
    found = finding(verified(written(SAMPLER, OPENED), "R1"))
    assert "raised AttributeError" in found.message
    assert "(dishonest.py:8)" in found.message


def test_the_ledger_and_the_record_are_not_within_reach(written: Subject) -> None:
    assert "samples, at most" in finding(verified(written(SAMPLER, EDITED), "R1")).message


def test_a_module_that_exits_when_it_is_imported_is_refused(written: Subject) -> None:
    name = written(NORMS, further="sys.exit(0)")
    for in_process in (False, True):
        with pytest.raises(
            (HandshakeError, ArgumentError), match=r"'dishonest:subject'.* importable \(SystemExit: 0\)"
        ):
            open_subject(name, None, in_process=in_process)


def test_a_module_that_exits_is_refused_at_the_command_line(written: Subject, tmp_path: Path) -> None:
    done = program(tmp_path, "verify", written(NORMS, further="os._exit(0)"), "--only", "S8", "--workers", "1")
    assert done.returncode == 2
    assert "exit code 0" in done.stderr


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("precision = 1e12", "precision is 1000000000000.0"),
        ("approximation = 1e12", "approximation is 1000000000000.0"),
        ("approximation = 0.5", "approximation is 0.5"),
        ("precision = 0.5", "precision is 0.5"),
        ("unpromised = ['fly']", r"unpromised is \['fly'\]"),
    ],
)
def test_what_nobody_could_declare_in_earnest_is_refused(written: Subject, declared: str, words: str) -> None:
    name = written(NORMS, further=declared)
    for in_process in (False, True):
        with pytest.raises((HandshakeError, ArgumentError), match=words):
            open_subject(name, None, in_process=in_process)
        sys.modules.pop("dishonest", None)


def test_what_a_subject_declares_is_printed(written: Subject) -> None:
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


def findings(request: Request) -> list[dict[str, Any]]:
    found = [json.loads(finding_to_json(each)) for each in run_properties(request)]
    return [{key: value for key, value in each.items() if key != "seconds"} for each in found]


@pytest.mark.parametrize("name", ["spanver.subjects.reference:subject", "broken"])
def test_findings_are_the_same_in_either_process(name: str, broken: str) -> None:
    request = Request(broken if name == "broken" else name, only="O3,S1,S8,T5,R5")
    isolated = findings(request)
    assert isolated
    assert isolated == findings(replace(request, in_process=True))
