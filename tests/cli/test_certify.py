"""`spanver certify`: exit codes, JSON, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import TINY, Command, assert_refused


def test_certify_writes_verdicts_and_a_footer_as_json(spanver: Command) -> None:
    assert spanver("run", *TINY).code == 0
    said = spanver("certify", "run.json", "--json", "good.json")
    assert said.code == 0
    assert "0 violated" in said.out
    content = json.loads(Path("good.json").read_text())
    assert content["schema"].startswith("spanver.certificate/")
    rows = content["guarantees"]
    assert [row["id"] for row in rows] == ["S1", "S2", "S3", "S4", "S7", "E6", "R1", "O1", "I2", "I3"]
    assert [row["id"] for row in content["further"]] == ["record", "problem"]
    assert all(row["verdict"] == "holds" and row["finding"] for row in [*rows, *content["further"]])
    assert content["footer"] == {"violated": [], "uncompared": "", "uncertified": "which responses were drawn"}
    assert "not compared" not in said.out
    assert "not certified, as no record shows it: which responses were drawn" in said.out


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


def test_certify_names_an_edited_gap(spanver: Command) -> None:
    assert spanver("run", *TINY).code == 0
    summary = json.loads(Path("run.json").read_text())
    for name in ("value", "low", "high"):
        summary["gap"][name] /= 2
    Path("run.json").write_text(json.dumps(summary))
    said = spanver("certify", "run.json", "--json", "bad.json")
    assert said.code == 1
    assert json.loads(Path("bad.json").read_text())["footer"]["violated"] == ["record", "I2"]
    assert "but its curve ends at" in said.out


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
