"""Calls of a subject: in words, and message by message."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest
from checks import a_check
from hypothesis import strategies as st
from programs import ROOT, small_problem

from spanver.episodic import AnchoredScore
from spanver.errors import ViolationError
from spanver.learners.mtss import MTSSSettings
from spanver.oracle import Oracle
from spanver.oracles.episodic import episodic_oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.mdp import mdp_problem
from spanver.subjects.reference import subject as reference
from spanver.values import LinearScore
from spanver.verification.calls import LONGEST_LINE, MOST_LINES, in_words, made_call, queried, transcript_lines
from spanver.verification.check import Check
from spanver.verification.search import instances
from spanver.verification.transcript import RecordingEpisodicOracle, RecordingOracle

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


LAYERED = MTSSSettings(
    iterations=2, regression_rollouts=2, span_rollouts=1, base_draws=2, multiplier=1.0, failure=0.5, ridge=1.0, nu=1.0
)


def test_a_call_with_an_oracle_of_layers_is_told_with_its_queries_and_as_the_messages_of_the_protocol() -> None:
    @instances(seed=st.integers(0, 9))
    def fails(check: Check, seed: int) -> None:
        check.call("mtss", episodic_oracle(mdp_problem(seed, horizon=2), seed=seed), seed=3, settings=LAYERED)
        raise AssertionError("no")

    check = a_check(dict(reference.functions), traced=True)
    with pytest.raises(ViolationError):
        fails(check)
    call = check.finding.call
    assert call is not None
    settings = (
        "iterations=2, regression_rollouts=2, span_rollouts=1, base_draws=2, multiplier=1, failure=0.5, ridge=1, nu=1"
    )
    assert call.text == f"mtss(oracle, seed=3, settings=MTSSSettings({settings}))"
    assert call.queried.startswith(
        "start (4 states) x4, feature (16 states) x9, sample_counts (156 samples, 22 states)"
    )
    messages = [json.loads(line) for line in check.finding.transcript]
    oracle = messages[0]["arguments"]["oracle"]
    assert (oracle["horizon"], oracle["rewarded"], oracle["anchor"]) == (2, [True, True], 0)
    assert messages[1] == {"seq": 1, "ask": "start", "count": 1}
    schema = json.loads((ROOT / "spanver" / "subjects" / "protocol.schema.json").read_text(encoding="utf-8"))
    for message, kind in zip(messages[1:], [*["ask", "answer"] * (len(messages) // 2 - 1), "result"], strict=True):
        jsonschema.Draft202012Validator(schema | {"oneOf": [{"$ref": f"#/$defs/{kind}"}]}).validate(message)
    assert {message["ask"] for message in messages if "ask" in message} >= {"reset", "step", "reward", "sample_until"}


def test_few_queries_of_layers_are_told_one_by_one() -> None:
    oracle = RecordingEpisodicOracle(episodic_oracle(mdp_problem(1), seed=1))
    states = oracle.start(3)
    anchors = oracle.feature(states, np.zeros(3, dtype=int))
    oracle.sample_counts(states, 9)
    score = AnchoredScore(np.zeros(4), np.eye(4), 1.0, anchors)
    found = oracle.sample_until(states, score, np.array([0.0, 0.0, 50.0]), 9)
    assert found.tries.tolist() == [1, 1, 9]
    oracle.reset(0, states.ids)
    oracle.reset(0, states.ids)
    assert queried(oracle.queries) == (
        "start (states: 3), feature (states: 3), sample_counts (states: 3, samples: 27), "
        "sample_until (states: 3, tries: 11 of at most 9 in each, 2 accepted), reset (states: 3) x2"
    )


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
