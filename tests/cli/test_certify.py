"""`spanver certify`: exit codes, JSON, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import TINY, Command, assert_refused

from spanver.runs.certify import CERTIFIED


def test_certify_writes_verdicts_and_a_footer_as_json(spanver: Command) -> None:
    assert spanver("run", *TINY).code == 0
    said = spanver("certify", "run.json", "--json", "good.json")
    assert said.code == 0
    assert "0 violated" in said.out
    content = json.loads(Path("good.json").read_text())
    assert content["schema"].startswith("spanver.certificate/")
    assert [row["id"] for row in content["guarantees"]] == list(CERTIFIED)
    assert all(row["verdict"] == "holds" and row["finding"] for row in content["guarantees"])
    assert content["footer"] == {"violated": []}


def test_certify_exits_1_and_names_what_is_violated(spanver: Command) -> None:
    assert spanver("run", *TINY).code == 0
    summary = json.loads(Path("run.json").read_text())
    summary["ledger"]["samples"] -= 1
    Path("run.json").write_text(json.dumps(summary))
    said = spanver("certify", "run.json", "--json", "bad.json")
    assert said.code == 1
    assert "1 violated" in said.out
    content = json.loads(Path("bad.json").read_text())
    assert content["footer"]["violated"] == ["O1"]
    assert [row["id"] for row in content["guarantees"] if row["verdict"] == "violated"] == ["O1"]


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"schema": "spanver.run/1"}'])
def test_certify_refuses_what_is_no_record_with_2(spanver: Command, content: str) -> None:
    Path("run.json").write_text(content)
    said = spanver("certify", "run.json")
    assert said.code == 2
    assert "run.json" in said.err or "run.npz" in said.err


REFUSALS = [(["certify", "missing.json"], ["missing.json", "not exist"])]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS, ids=[" ".join(row[0][-2:]) for row in REFUSALS])
def test_bad_input_is_refused_in_one_sentence(spanver: Command, arguments: list[str], words: list[str]) -> None:
    assert_refused(spanver(*arguments), words)
