"""Many calls in one request give what one call after another gives, or are made one after another."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import small_problem

from spanver.errors import (
    ArgumentError,
    BudgetExceededError,
    ContractError,
    ProtocolError,
    SubjectError,
    ViolationError,
)
from spanver.loading import open_subject
from spanver.oracle import Budget, Oracle
from spanver.oracles.literal import literal_oracle
from spanver.subjects.calls import PreparedCall, answers_to
from spanver.subjects.contract import Call, Subject, result_of
from spanver.subjects.process import process_subject, python_subject
from spanver.subjects.protocol import JSON
from spanver.subjects.remote import ask_all
from spanver.subjects.together import Together
from spanver.values import LinearScore
from spanver.verdicts import Verdict
from spanver.verification.collection import find_properties
from spanver.verification.selection import make_check
from spanver.verification.transcript import independent_oracles

PROBLEM = small_problem(3)

PURE = """
import numpy as np

class subject:
    provides = ["softmax_sample"]

    def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
        generator = np.random.default_rng(seed)
        for _ in range(seed % 5):
            drawn = oracle.sample(prompt, 1 + int(generator.integers(3)))
        if seed == 105:
            raise ValueError("seed 105")
        return oracle.sample(prompt, 3)[int(generator.integers(3))]
"""

SHARED = """
import numpy as np

class subject:
    provides = ["softmax_sample"]

    def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
        np.random.seed(seed)
        draws = [oracle.sample(prompt, 1)[0] for _ in range(6)]
        return draws[np.random.randint(6)]
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        return f"{name}:subject"

    monkeypatch.chdir(tmp_path)
    return write


def call_of(index: int, samples: int | None = None) -> Call:
    oracle = literal_oracle(PROBLEM, seed=index, budget=Budget(samples=samples))
    plan = {"multiplier": 1.0, "failure": 0.5, "seed": 100 + index}
    return (oracle, oracle.prompt(), LinearScore(np.zeros(3))), plan


def outcome(function: Callable[[], Any]) -> Any:
    try:
        return result_of("softmax_sample", function())
    except (BudgetExceededError, SubjectError) as error:
        return f"{type(error).__name__}: {error}"


Make = Callable[[int], Call]


def alone(subject: Subject, make: Make, count: int) -> list[Any]:
    run = subject.functions["softmax_sample"]
    made = [make(index) for index in range(count)]
    return [(outcome(partial(run, *each[0], **each[1])), each[0][0].ledger) for each in made]


def together(subject: Subject, make: Make, count: int) -> list[Any]:
    assert subject.together is not None
    found = subject.together("softmax_sample", make, count)
    return [(outcome(function), call[0][0].ledger) for call, function in found]


@pytest.mark.parametrize(("name", "source", "is_pure"), [("pure", PURE, True), ("shared", SHARED, False)])
def test_calls_give_together_what_they_give_alone(
    written: Callable[[str, str], str], name: str, source: str, is_pure: bool
) -> None:
    subject = open_subject(written(name, source), None)
    try:
        assert isinstance(subject.together, Together)
        for make in (call_of, partial(call_of, samples=7)):
            assert together(subject, make, 20) == alone(subject, make, 20)
        assert subject.together._same == {"softmax_sample": is_pure}
    finally:
        subject.close()


SLOW_AFTER = """
import time

class subject:
    provides = ["softmax_sample"]

    def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
        time.sleep(0.4 if multiplier > 1.0 else 0.0)
        return oracle.sample(prompt, 3)[0]
"""


def slower(index: int) -> Call:
    given, plan = call_of(index)
    return given, {**plan, "multiplier": 2.0}


def test_every_call_has_the_time_limit_though_earlier_ones_were_quick(written: Callable[[str, str], str]) -> None:
    subject = python_subject(written("slow_after", SLOW_AFTER), time_limit=1.5)
    try:
        assert isinstance(subject.together, Together)
        together(subject, call_of, 20)
        assert subject.together._size["softmax_sample"] >= 4
        # Together these four take longer than one may, and are made one by one.
        assert together(subject, slower, 4) == alone(subject, slower, 4)
        assert subject.together._same == {"softmax_sample": False}  # and all that follow
    finally:
        subject.close()


# A program in lines: each line that it is sent it answers with the next of these.
SAYS = """
import json, sys
sys.stdin.readline()
hello = {"protocol": 2, "name": "test", "provides": ["softmax_sample"], "together": True}
print(json.dumps({"hello": hello}), flush=True)
for reply in json.loads(sys.argv[1]):
    seq = json.loads(sys.stdin.readline())["seq"]
    print(json.dumps({"seq": seq, **reply}), flush=True)
sys.stdin.readline()
"""
ONE = {"ask": "prompt"}
DONE = {"results": [{"result": 0}, {"error": "no"}]}


def said(*replies: dict[str, Any]) -> list[Any]:
    """Outcomes of two calls of a program that says this."""
    words = [sys.executable, "-I", "-S", "-c", SAYS, json.dumps(replies)]
    subject = process_subject(shlex.join(words), time_limit=5.0)
    try:
        assert isinstance(subject.together, Together)
        return [outcome(each) for each in subject.together._run_together("softmax_sample", [call_of(0), call_of(1)])]
    finally:
        subject.close()


def test_equal_queries_of_several_calls_may_stand_once() -> None:
    assert said({"queries": [ONE], "asks": [[0, 0], [1, 0]]}, {"queries": [ONE], "asks": [[1, 0]]}, DONE) == [
        0,
        "SubjectError: no",
    ]


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ([{"asks": [[0, 0]]}], "queries is None, but it must be a list of queries"),
        ([{"queries": [ONE], "asks": [0]}], "a list of pairs"),
        ([{"queries": [ONE], "asks": [[2, 0]]}], "call is 2, but it must be a number below 2"),
        ([{"queries": [ONE], "asks": [[0, 1]]}], "query is 1, but it must be a number below 1"),
        ([{"queries": [ONE], "asks": [[0, True]]}], "query is True"),
        ([{"queries": [{"ask": "guess"}], "asks": [[0, 0]]}], "ask is 'guess'"),
        ([{"queries": [3], "asks": [[0, 0]]}], "an object with ask"),
        ([{"results": [{"result": 0}]}], "a list of 2"),
        ([{"results": [{"result": 0}, {}]}], "each a result or an error"),
        ([{"answer": 0}], "with one of asks, results, error"),
    ],
)
def test_what_is_no_turn_is_a_fault(replies: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        said(*replies)


Query = Callable[[Oracle], Any]

OWN = """
import numpy as np
from spanver.oracles.literal import literal_oracle as made

class subject:
    provides = ["literal_oracle"]

    literal_oracle = staticmethod(made)
"""


def test_queries_of_own_oracles_that_travel_together_are_answered_as_one_after_another(
    written: Callable[[str, str], str],
) -> None:
    drawn: list[Query] = [methodcaller("sample", 0, 2), methodcaller("reward", 0, 2)]
    queries: list[Query] = [*[methodcaller("prompt")] * 20, *drawn * 30, attrgetter("ledger")]
    asked = [(index, each) for each in queries for index in (0, 1)]
    expected = [literal_oracle(PROBLEM, seed=seed) for seed in (7, 8)]
    subject = open_subject(written("own", OWN), None)
    try:
        oracles = [subject.functions["literal_oracle"](PROBLEM, seed=seed) for seed in (7, 8)]
        found = ask_all([(oracles[index], query) for index, query in asked])
        assert as_data(found) == as_data([query(expected[index]) for index, query in asked])
        with pytest.raises(ArgumentError, match="prompt is 9"):
            ask_all([(oracles[0], methodcaller("prompt")), (oracles[1], methodcaller("sample", 9, 1))])
        assert as_data([oracles[1].sample(0, 3)]) == as_data([expected[1].sample(0, 3)])
    finally:
        subject.close()


FAULTY = """
import os, time
from spanver.errors import ContractError
from spanver.oracles.literal import literal_oracle as made

class Faulty:
    def __init__(self, *arguments, fault, **named):
        self._oracle, self._fault, self._asked = made(*arguments, **named), fault, 0

    def __getattr__(self, name):
        return getattr(self._oracle, name)

    def sample(self, prompt, count):
        self._asked += 1
        if self._asked == 3:
            return self._fault()
        if self._fault is slow:
            time.sleep(0.3)
        return self._oracle.sample(prompt, count)

def breaks(): raise ValueError("the third")
def ends(): os._exit(3)
def hangs(): time.sleep(60.0)
def slow(): time.sleep(0.3); return 3
def formless(): return object()
def half(): return {"ids": [0]}
def excuses(): raise ContractError("of another")

class subject:
    provides = ["literal_oracle"]

    @staticmethod
    def literal_oracle(problem, *, seed, budget=None):
        fault = [breaks, ends, hangs, slow, formless, half, excuses][seed]
        return Faulty(problem, seed=seed, budget=budget, fault=fault)
"""


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        (0, r"^sample of literal_oracle raised ValueError: the third \(.*faulty\.py"),
        (1, "^prompt, sample of literal_oracle: the program ended with exit code 3"),
        (2, "^prompt, sample of literal_oracle: it ran for more than 0.7 s of its own time"),
        (3, "^sample of literal_oracle broke the contract: responses"),
        (4, "^sample of literal_oracle raised TypeError: a object cannot travel"),
        (5, "^sample of literal_oracle broke the contract: responses"),
        (6, "^sample of literal_oracle raised ContractError: of another"),
    ],
    ids=["raises", "ends", "hangs", "is slow and wrong", "returns what cannot travel", "returns half", "excuses"],
)
def test_a_fault_among_many_queries_is_that_of_its_query(
    written: Callable[[str, str], str], seed: int, words: str
) -> None:
    subject = python_subject(written("faulty", FAULTY), time_limit=0.7)
    try:
        oracle = subject.functions["literal_oracle"](PROBLEM, seed=seed)
        asked = [methodcaller("prompt")] * 3 + [methodcaller("sample", oracle.prompt(), 1)] * 6
        began = time.monotonic()
        with pytest.raises(ViolationError, match=words):
            ask_all([(oracle, each) for each in asked])
        assert time.monotonic() - began < 10.0  # and not the limit of each of the queries
    finally:
        subject.close()


NO_NUMBER = """
class subject:
    provides = ["fit"]

    def fit(features, targets, radius):
        return [float("nan")] * features.shape[1]
"""


def test_a_result_that_is_no_number_breaks_the_contract_in_a_process_of_its_own_too(
    written: Callable[[str, str], str],
) -> None:
    subject = python_subject(written("no_number", NO_NUMBER))
    try:
        with pytest.raises(ContractError, match=r"^fit broke the contract: result is .*finite everywhere"):
            subject.functions["fit"](np.eye(2), np.ones(2), 1.0)
    finally:
        subject.close()


def as_data(answers: Sequence[Any]) -> list[Any]:
    """Answers in a form that can be compared."""
    return [JSON.encode({"answer": each}) for each in answers]


def test_an_answer_that_was_sent_is_a_number_from_then_on_and_a_refusal_is_not() -> None:
    oracle_of = independent_oracles(small_problem(3), 5)
    calls, known = [PreparedCall({}, oracle_of(index)) for index in range(2)], dict[Hashable, Any]()
    sent = []

    def answers(query: dict[str, Any]) -> list[Any]:
        turn = answers_to(calls, {"queries": [query], "asks": [[0, 0], [1, 0]]}, known)
        sent.extend(turn["values"])
        return [sent[at] for at in turn["answers"]]

    prompts = [answers({"ask": "prompt"}) for _ in range(20)]
    assert [each[0]["answer"] for each in prompts] != [each[1]["answer"] for each in prompts]
    assert len(sent) == 3  # of three prompts
    drawn = [answers({"ask": "sample", "prompt": 0, "count": 1}) for _ in range(40)]
    ids = [[each["answer"].ids for each in turn] for turn in drawn]
    for call, (recorded, seen) in enumerate(zip(calls, zip(*ids, strict=True), strict=True)):
        asked = [query.answer.ids for query in recorded.oracle.queries if query.name == "sample"]
        assert asked == list(seen), f"call {call} was given the answers of another one"
    assert len(sent) <= 3 + 6  # of six responses
    before = len(sent)
    refused = [answers({"ask": "sample", "prompt": 0, "count": 0}) for _ in range(3)]
    assert all(each["refused"] == "ArgumentError" for turn in refused for each in turn)
    assert len(sent) == before + 6


BUFFERED = '''
import math
import numpy as np


class Work:
    """Written before the trials of a call, and read at each of them: right for one call after another."""

    threshold = 0.0


class subject:
    provides = ["softmax_sample"]

    def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
        trials, generator = math.ceil(4 * multiplier * math.log(4 / failure)), np.random.default_rng(seed)
        log_weights = score.of(oracle.sample(prompt, trials).features) / oracle.beta
        peak = log_weights.max()
        Work.threshold = math.log(multiplier) + peak + math.log(np.exp(log_weights - peak).mean())
        for _ in range(trials):
            one = oracle.sample(prompt, 1)
            if math.log(1 - generator.random()) < score.of(one.features)[0] / oracle.beta - Work.threshold:
                return one[0]
        return oracle.sample(prompt, 1)[0]
'''

THREADED = '''
import math
from concurrent.futures import ThreadPoolExecutor
import numpy as np


class subject:
    provides = ["softmax_sample"]

    def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
        """A1 with block trials, whose pilot is drawn in two threads where it is long."""
        trials, generator = math.ceil(4 * multiplier * math.log(4 / failure)), np.random.default_rng(seed)
        parts = [trials] if trials < 1000 else [trials // 2, trials - trials // 2]
        if len(parts) == 1:
            drawn = [oracle.sample(prompt, trials)]
        else:
            with ThreadPoolExecutor(2) as pool:
                drawn = list(pool.map(lambda count: oracle.sample(prompt, count), parts))
        log_weights = np.concatenate([score.of(each.features) for each in drawn]) / oracle.beta
        peak = log_weights.max()
        threshold = math.log(multiplier) + peak + math.log(np.exp(log_weights - peak).mean())
        fresh = oracle.sample(prompt, trials)
        accepted = np.log(1 - generator.random(trials)) < score.of(fresh.features) / oracle.beta - threshold
        return fresh[int(np.argmax(accepted))] if accepted.any() else oracle.sample(prompt, 1)[0]
'''


@pytest.mark.parametrize(("name", "source"), [("buffered", BUFFERED), ("threaded", THREADED)])
def test_calls_that_took_turns_accuse_nobody(written: Callable[[str, str], str], name: str, source: str) -> None:
    """The first calls, of a property with few draws, agree; those of the next property disturb one another."""
    accepted, target = (
        next(each for each in find_properties() if each.name.startswith(f"test_{begins}"))
        for begins in ("accepted_responses", "outputs_are_within")
    )
    subject = python_subject(written(name, source))
    try:
        for each in (accepted, target):
            check = make_check(subject, each.name, each.guarantees, profile="quick", alpha=1e-6, seed=2)
            each.test(check)
            assert check.finding.verdict is Verdict.HOLDS
        assert check.one_by_one, "nothing was violated by calls that took turns: the example shows nothing"
    finally:
        subject.close()
