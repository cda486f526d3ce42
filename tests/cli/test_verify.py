"""`spanver verify`: exit codes, JSON, replays, and refusals."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from command_line import Command, assert_refused

from spanver.loading import NAMED


def test_verify_prints_a_verdict_on_each_guarantee_and_writes_it(spanver: Command) -> None:
    said = spanver("verify", "--only", "I1,E7,T3", "--workers", "1", "--json", "all.json", "--junit", "all.xml")
    assert said.code == 0
    assert "2 guarantees hold, 0 violated, 0 undecided" in said.out
    assert "checked by no property: T3" in said.out
    content = json.loads(Path("all.json").read_text())
    assert content["schema"] == "spanver.verify/2"
    assert {row["id"]: row["verdict"] for row in content["guarantees"]} == {
        "I1": "holds", "E7": "holds", "T3": "not in profile",
    }  # fmt: skip
    assert content["footer"]["expected"] == content["footer"]["executed"] > 1
    assert Path("all.xml").read_text().count("<testcase") == content["footer"]["expected"]
    # Verdicts came as they fell, before the table.
    total = content["footer"]["expected"]
    first, *_ = re.findall(rf"\[(\d+) of {total}\] (?:I1|E7) holds", said.out)
    assert 1 <= int(first) < total
    assert f"[{total} of {total}] " in said.out.partition("verdicts on")[0]


def test_a_run_that_is_stopped_keeps_what_was_decided_and_says_so_in_its_last_line(
    spanver: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(row: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("spanver.verification.report.row_line", stop)  # Ctrl-C as the first guarantee is decided
    said = spanver("verify", "--only", "S8,E7,I1", "--workers", "1", "--json", "part.json", "--junit", "part.xml")
    footer = json.loads(Path("part.json").read_text())["footer"]
    assert said.code == 2
    assert footer["interrupted"]
    assert 1 <= footer["executed"] < footer["expected"]
    assert said.out.endswith(f"interrupted: {footer['executed']} of {footer['expected']} properties were run")
    assert "did not run" in said.out
    assert Path("part.xml").read_text().count("<testcase") == footer["executed"]


def test_a_smoke_run_takes_an_instance_or_two_of_each_property_and_says_so(spanver: Command) -> None:
    said = spanver("verify", "--smoke", "--only", "I,R6", "--workers", "1", "--json", "all.json")
    assert said.code == 0
    assert "smoke: one or two instances of each property, which decides little; profile smoke" in said.out
    rows = json.loads(Path("all.json").read_text())["guarantees"]
    assert all(1 <= row["examples"] <= 2 * len(row["properties"]) for row in rows)


def test_a_trace_has_every_message_of_the_failing_call(spanver: Command) -> None:
    said = spanver("verify", "zoo:sampler-peeks", "--smoke", "--only", "R1", "--workers", "1", "--trace", "t.jsonl")
    assert said.code == 1
    messages = [json.loads(line) for line in Path("t.jsonl").read_text().splitlines()]
    assert messages[0]["run"] == "softmax_sample"
    assert {"score", "multiplier", "oracle"} <= set(messages[0]["arguments"])
    assert ["ask" in each for each in messages[1:-1]] == [True, False] * (len(messages) // 2 - 1)
    assert "result" in messages[-1]
    served = shlex.join([sys.executable, "-m", "spanver.serve", "zoo:sampler-peeks"])
    options = ["--smoke", "--only", "R1", "--workers", "1", "--trace", "piped.jsonl"]
    assert spanver("verify", "--command", served, *options).code == 1
    piped = [json.loads(line) for line in Path("piped.jsonl").read_text().splitlines()]
    assert piped[:-1] == messages[:-1]  # the same conversation; the result of a program is the id alone
    held = spanver("verify", "--smoke", "--only", "E7", "--workers", "1", "--trace", "none.jsonl")
    assert held.code == 0
    assert "no trace: nothing is violated" in held.out
    assert not Path("none.jsonl").exists()


def test_verify_exits_1_and_prints_a_command_that_shows_the_violation_again(spanver: Command) -> None:
    first = spanver("verify", "zoo:norms-squared", "--only", "S8", "--workers", "1", "--json", "first.json")
    assert first.code == 1
    row = json.loads(Path("first.json").read_text())["guarantees"][0]
    assert f"S8 is violated: {row['message'].partition('; ')[0]}" in first.out
    assert f"again: {row['replay']}" in first.out
    again = spanver(*shlex.split(row["replay"])[1:], "--workers", "1", "--json", "again.json")
    assert again.code == 1
    repeated = json.loads(Path("again.json").read_text())["guarantees"][0]
    assert {**repeated, "seconds": 0} == {**row, "seconds": 0}


def test_verify_exits_0_where_failures_are_expected_and_1_where_they_do_not_occur(spanver: Command) -> None:
    Path("known.txt").write_text("# squares\nS8: e\n")
    options = ["--only", "S8", "--workers", "1", "--expected-failures", "known.txt"]
    known = spanver("verify", "zoo:norms-squared", *options)
    assert (known.code, "failed as expected: S8" in known.out) == (0, True)
    fixed = spanver("verify", *options)
    assert (fixed.code, "expected to fail with: e; instead: it holds" in fixed.out) == (1, True)


def test_verify_exits_2_where_nothing_was_decided(spanver: Command) -> None:
    said = spanver("verify", "--only", "T3")
    assert (said.code, "0 of 0 properties ran" in said.out) == (2, True)


REFUSALS = [
    (["verify", "--json", "."], ["path", "'.'", "file"]),
    (["verify", "no_such_module:subject"], ["no_such_module"]),
    (["verify", "nonsense"], ["nonsense", "module:attribute"]),
    (["verify", "zoo:nobody"], ["nobody"]),
    (["verify", "--profile", "hasty"], ["profile", "hasty", "quick"]),
    (["verify", "--only", "Q7"], ["only", "Q7"]),
    (["verify", "--alpha", "2"], ["alpha", "2"]),
    (["verify", "--seed", "some"], ["seed", "some", "fresh"]),
    (["verify", "--workers", "0"], ["workers", "0"]),
    (["verify", "--command", ""], ["command"]),
    (["verify", "numpy", "--command", "cat"], ["subject", "'numpy'", "command"]),
    (["verify", "--command", "no-such-program-anywhere"], ["no-such-program-anywhere"]),
    (["verify", "--expected-failures", "missing.txt"], ["missing.txt"]),
    (["verify", "--json", "nowhere/all.json"], ["nowhere", "folder"]),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS, ids=[" ".join(row[0][-2:]) for row in REFUSALS])
def test_bad_input_is_refused_in_one_sentence(spanver: Command, arguments: list[str], words: list[str]) -> None:
    assert_refused(spanver(*arguments), words)


def test_help_names_every_subject_that_comes_with_the_package(spanver: Command) -> None:
    said = spanver("verify", "--help")
    assert f"Subjects by name: {', '.join(NAMED)}.".replace(" ", "") in said.out.replace(" ", "")
