"""Whole verifications: verdicts, counterexamples, expected failures, workers and files."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spanver.errors import ArgumentError
from spanver.subjects.contract import Subject
from spanver.subjects.reference import subject as reference
from spanver.verdicts import Verdict
from spanver.verification.request import Request, read_expected_failures
from spanver.verification.results import Status
from spanver.verification.runner import Progress, findings_here, run_properties, verify


def test_a_report_has_a_verdict_a_counterexample_and_a_command_for_every_violation(broken: str) -> None:
    request = Request(subject=broken, only="E6,S8,R6,T4,O1", seed=5)
    report = verify(request, workers=1)
    verdicts = {row.id: row.status.value for row in report.rows}
    assert verdicts == {"O1": "not provided", "R6": "holds", "S8": "violated", "E6": "holds", "T4": "not in profile"}
    assert report.verdict is Verdict.VIOLATED
    assert report.expected == report.executed > 4
    data = json.loads(json.dumps(report.to_json()))
    violated = next(row for row in data["guarantees"] if row["id"] == "S8")
    assert violated["counterexample"]["vectors"]
    assert violated["cause"] == "guarantee"
    assert shlex.split(violated["replay"]) == [
        "spanver", "verify", broken, "--only", "S8", "--profile", "quick", "--seed", "5"
    ]  # fmt: skip
    again = verify(replace(request, only="S8"), workers=1).to_json()["guarantees"][0]
    assert again["counterexample"] == violated["counterexample"]
    assert again["message"] == violated["message"]
    assert data["footer"]["violated"] == ["S8"]


def test_a_counterexample_does_not_depend_on_the_number_of_workers(broken: str) -> None:
    found = [
        verify(Request(subject=broken, only="S8,E6"), workers=workers).to_json()["guarantees"] for workers in (1, 2)
    ]
    for row in (row for rows in found for row in rows):
        row.pop("seconds")
    assert found[0] == found[1]


def test_expected_failures_have_to_fail_as_they_say(broken: str, tmp_path: Path) -> None:
    request = Request(subject=broken, only="S8,E6")
    file = tmp_path / "expected.txt"
    for text, verdict in (
        ("# squares\nS8: by definition\n", Verdict.HOLDS),
        ("S8: another message\n", Verdict.VIOLATED),
        ("S8: by definition\nE6: misses\n", Verdict.VIOLATED),
    ):
        file.write_text(text)
        assert verify(request, workers=1, expected_failures=read_expected_failures(file)).verdict is verdict, text
    for text, words in (
        ("# said\nS8\n", "line 2.*part of the message"),
        ("X9: reason\n", "line 1.*about a guarantee"),
        ("S8: one\nS8: other\n", "line 2.*only line about S8"),
        ("T2: undecided:\n", "line 1.*part of the message"),
    ):
        file.write_text(text)
        with pytest.raises(ArgumentError, match=words):
            read_expected_failures(file)


def test_what_promises_nothing_is_measured_and_not_judged() -> None:
    given = Subject("given", reference.functions, unpromised=frozenset({"elliptic_norms"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spanver.verification.runner.open_subject", lambda *_, **__: given)
        report = verify(Request(only="S8"), workers=1)
    # One property of S8 needs the norms, the other the spanner: the second still judges.
    assert report.rows[0].status is Status.HOLDS


def test_a_run_with_nothing_to_check_is_undecided() -> None:
    report = verify(Request(subject="reference", only="T4"), workers=1)
    assert report.verdict is Verdict.UNDECIDED
    assert report.expected == 0


def test_fewer_properties_than_expected_are_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanver.verification.runner.run_properties", lambda *_, **__: [])
    report = verify(Request(only="E6"), workers=1)
    assert report.verdict is Verdict.UNDECIDED
    assert report.rows[0].status is Status.UNDECIDED
    assert "did not run" in report.rows[0].message


def test_findings_without_pytest_are_those_with_it(broken: str) -> None:
    request = Request(subject=broken, only="S8,E6,R6", in_process=True)
    here, with_pytest = (
        {each.property: each for each in found} for found in (findings_here(request), run_properties(request))
    )
    assert set(here) == set(with_pytest)
    assert {name: each.verdict for name, each in here.items()} == {
        name: each.verdict for name, each in with_pytest.items()
    }
    violated = next(name for name, each in here.items() if each.verdict is Verdict.VIOLATED)
    assert here[violated].counterexample == with_pytest[violated].counterexample


def test_a_junit_file_names_every_property_that_ran(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    verify(Request(only="I1,E7"), workers=1, junit=file)
    cases = ElementTree.parse(file).findall(".//testcase")
    assert len(cases) == 2


def test_an_error_of_the_subject_names_its_line_and_every_verdict_is_announced_once(
    broken: str, tmp_path: Path
) -> None:
    text = (tmp_path / "broken_module.py").read_text()
    text += "\n\ndef fit(features, targets, radius):\n    return features + 'x'\n"
    (tmp_path / "erring_module.py").write_text(text)
    line = len(text.splitlines())
    seen: list[Progress] = []
    report = verify(Request(subject="erring_module:subject", only="E6,S8,R6"), workers=1, on_progress=seen.append)
    assert report.verdict is Verdict.VIOLATED
    (error,) = report.errors
    assert error.fault.where == f"erring_module.py:{line}"
    assert f"(erring_module.py:{line})" in error.findings[0].message
    assert {row.id: row.status for row in report.rows} == {
        "E6": Status.NOT_JUDGED, "S8": Status.VIOLATED, "R6": Status.HOLDS,
    }  # fmt: skip
    assert [(each.done, each.total) for each in seen] == [(done, len(seen)) for done in range(1, len(seen) + 1)]
    assert len(seen) == report.expected > 4
    announced = [row for each in seen for row in each.rows]
    assert sorted(row.id for row in announced) == ["E6", "R6", "S8"]
    assert {row.id: row.status for row in announced} == {row.id: row.status for row in report.rows}


def test_neither_variables_nor_plugins_of_the_users_pytest_reach_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hides.py").write_text("def pytest_collection_modifyitems(items):\n    items.clear()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTEST_PLUGINS", "hides")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    report = verify(Request(only="I1", profile="smoke"), workers=1)
    assert (report.verdict, report.executed) == (Verdict.HOLDS, 1)
    assert os.environ["PYTEST_PLUGINS"] == "hides"
