"""Calls of a subject: in words, and message by message."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import a_check
from hypothesis import strategies as st
from programs import small_problem

from spanver.errors import ViolationError
from spanver.oracle import Oracle
from spanver.oracles.literal import literal_oracle
from spanver.values import LinearScore
from spanver.verification.calls import LONGEST_LINE, MOST_LINES, in_words, made_call, queried, transcript_lines
from spanver.verification.check import Check
from spanver.verification.search import instances
from spanver.verification.transcript import RecordingOracle

ORACLE = literal_oracle(small_problem(1), seed=1)
SAMPLER = {"multiplier": 1.0, "failure": 0.5, "seed": 3}


def lists_all(oracle: Oracle, prompt: Any, score: Any, **plan: Any) -> Any:
    pilot = oracle.sample(prompt, 7)
    for _ in range(2):
        oracle.reward(prompt, pilot[0])
    return pilot[1]


def test_the_last_call_of_a_violation_is_told_with_arguments_and_queries_though_nobody_recorded() -> None:
    @instances(number=st.integers(0, 9))
    def asks(check: Check, number: int) -> None:
        check.call("log_softmax", np.zeros(2), np.zeros(2), 1.0)
        prompt = ORACLE.prompt()
        check.call("softmax_sample", ORACLE, prompt, LinearScore(np.array([0.5, 0.0, 0.0])), **SAMPLER)
        raise AssertionError("rewards were drawn")

    functions: dict[str, Callable[..., Any]] = {
        "softmax_sample": lists_all,
        "log_softmax": lambda base, scores, beta: base - np.log(2),
    }
    check = a_check(functions, traced=True)
    with pytest.raises(ViolationError, match="it queried: sample 7, reward x2"):
        asks(check)
    call = check.finding.call
    assert call is not None
    assert call.number == 2
    assert call.text.startswith("softmax_sample(oracle, prompt=")
    assert call.text.endswith("score=LinearScore(theta=[0.5, 0, 0]), multiplier=1, failure=0.5, seed=3)")
    messages = [json.loads(line) for line in check.finding.transcript]
    assert [next(iter(set(each) - {"seq", "arguments", "prompt", "count", "response"})) for each in messages] == [
        "run", "ask", "answer", "ask", "answer", "ask", "answer", "result",
    ]  # fmt: skip
    assert messages[0]["arguments"]["oracle"]["dimension"] == 3
    assert messages[1] == {"seq": 2, "ask": "sample", "prompt": messages[0]["arguments"]["prompt"], "count": 7}
    assert len(messages[2]["answer"]["ids"]) == 7


def test_no_transcript_is_kept_where_none_was_asked_for() -> None:
    @instances(number=st.integers(0, 9))
    def fails(check: Check, number: int) -> None:
        check.call("fit", np.zeros((1, 1)), np.zeros(1), 1.0)
        raise AssertionError("no")

    check = a_check()
    with pytest.raises(ViolationError):
        fails(check)
    assert check.finding.call is not None
    assert check.finding.transcript == ()


def test_what_was_asked_before_the_call_is_not_of_the_call() -> None:
    oracle = RecordingOracle(ORACLE)
    prompt = oracle.prompt()
    made = made_call("build_spanner", (oracle,), {"prompts": 1}, 1)
    assert made.oracle is oracle
    assert (made.queries, in_words(made).queried) == ([], "")
    oracle.sample_counts(prompt, 5)
    assert in_words(made).queried == "sample_counts 5"


def test_many_queries_are_added_up() -> None:
    oracle = RecordingOracle(ORACLE)
    for _ in range(5):
        prompt = oracle.prompt()
        oracle.sample(prompt, 2)
    assert queried(oracle.queries) == "prompt x5, sample (10 samples) x5"


def test_transcripts_are_bounded_and_say_what_they_left_out() -> None:
    made = made_call("softmax_sample", (ORACLE, 0, LinearScore(np.zeros(3))), SAMPLER, 1)
    assert isinstance(made.oracle, RecordingOracle)
    prompt = made.oracle.prompt()
    made.oracle.sample(prompt, 2000)
    for _ in range(MOST_LINES):
        made.oracle.sample(prompt, 1)
    made.outcome = {"result": object()}  # no data: it broke the contract
    lines = transcript_lines(made)
    assert len(lines) == MOST_LINES + 1
    assert max(map(len, lines)) <= 2 * LONGEST_LINE
    assert json.loads(lines[MOST_LINES // 2]) == {
        "seq": 1,
        "left_out": f"{2 * (MOST_LINES + 2) + 2 - MOST_LINES} messages",
    }
    assert json.loads(lines[4])["answer"].startswith("left out: ")
    assert json.loads(lines[-1])["result"].startswith("<object")
