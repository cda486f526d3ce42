"""One test for every fault of a program behind a pipe; none leaves a process."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import OneText, call, drawn, small_problem

from spanver.errors import (
    ArgumentError,
    BudgetExceededError,
    ContractError,
    HandshakeError,
    ProtocolError,
    QuestionRefusedError,
    SubjectError,
)
from spanver.oracle import Budget
from spanver.oracles.literal import literal_oracle
from spanver.subjects import process
from spanver.subjects.contract import Subject
from spanver.subjects.process import process_subject
from spanver.values import LinearScore, Responses

# Faults: a program that does everything right but one thing, once

PROGRAM = """
import json, os, subprocess, sys, time

flag = sys.argv[1]

def send(message):
    write(json.dumps(message) + "\\n")

def write(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def ask(query, **arguments):
    send({{"seq": seq, "ask": query, **arguments}})
    return json.loads(sys.stdin.readline())

sys.stdin.readline()
{before_hello}
send({{"hello": {{"protocol": {version}, "name": "test", "provides": ["draw", "softmax_sample"]}}}})
for line in iter(sys.stdin.readline, ""):
    message = json.loads(line)
    seq = message["seq"]
    if not os.path.exists(flag):
        open(flag, "w").close()
        {fault}
    if message["run"] == "draw":
        send({{"seq": seq, "result": [1] * message["arguments"]["count"]}})
        continue
    reply = ask("sample", prompt=message["arguments"]["prompt"], count=1)
    if "refused" in reply:
        send({{"seq": seq, "error": "gave up"}})
    else:
        send({{"seq": seq, "result": reply["answer"]["ids"][0]}})
"""

QUICKLY = 10.0  # seconds: far above every time limit here, and far below every sleep of a program

Starts = Callable[..., Subject]


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    """Start a program with a fault; when the test ends, nothing of it may be left."""
    subjects: list[Subject] = []

    def start(fault: str = "pass", before_hello: str = "", version: int = 2, time_limit: float = 0.7) -> Subject:
        path = tmp_path / "program.py"
        source = PROGRAM.format(fault=fault.replace("\n", "\n        "), before_hello=before_hello, version=version)
        path.write_text(source, encoding="utf-8")
        words = [sys.executable, "-I", "-S", str(path), str(tmp_path / "flag")]
        subjects.append(process_subject(shlex.join(words), time_limit=time_limit))
        return subjects[-1]

    began = time.monotonic()
    yield start
    for subject in subjects:
        subject.close()
    assert time.monotonic() - began < QUICKLY
    assert_gone(str(tmp_path))


def running(marker: str) -> list[str]:
    """Command lines of processes that hold a marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if marker in words:
            found.append(words)
    return found


def assert_gone(marker: str) -> None:
    if not Path("/proc/self/cmdline").exists():
        return
    ends = time.monotonic() + 3.0
    while running(marker) and time.monotonic() < ends:
        time.sleep(0.01)
    assert running(marker) == []


def sampled(subject: Subject, samples: int | None = None) -> Any:
    oracle = literal_oracle(small_problem(0, responses=1), seed=0, budget=Budget(samples=samples))
    score = LinearScore(np.zeros(3))
    return call(subject, "softmax_sample", oracle, oracle.prompt(), score, multiplier=1.0, failure=0.5, seed=0)


FAULTS = {
    "hang": ("time.sleep(60)", "it ran for more than .* s of its own time", True),
    "crash in mid-run": (
        "ask('sample', prompt=message['arguments']['prompt'], count=1)\nos._exit(3)",
        "exit code 3",
        False,
    ),
    "killed": ("os.kill(os.getpid(), 9)", "exit code -9", False),
    "early exit": ("sys.exit(0)", "exit code 0", False),
    "half a line, and the end": ("write('{\"seq\"')\nsys.exit(0)", "exit code 0", False),
    "output closed": ("os.close(1)\ntime.sleep(60)", "closed its output", False),
    "garbage line": ("write('computing...\\n')", "one JSON object", False),
    "empty line": ("write('\\n')", "one JSON object", False),
    "NaN in the result": ("send({'seq': seq, 'result': [float('nan')]})", "no NaN", False),
    "damaged array": ("send({'seq': seq, 'result': {'shape': [9], 'float64': ''}})", "shape", False),
    "100 MB line": ("[write('1' * 10**6) for _ in range(100)]\nwrite('\\n')", "more than 16777216 bytes", True),
    "slow drip": (
        "[(write(each), time.sleep(0.05)) for each in json.dumps({'seq': seq, 'result': [1, 1]})]",
        "it ran for more than .* s of its own time",
        True,
    ),
    "wrong seq": ("send({'seq': seq + 1, 'result': [1, 1]})", "seq is 2", False),
    "no seq": ("send({'result': [1, 1]})", "seq is None", False),
    "two kinds at once": ("send({'seq': seq, 'result': [1], 'error': 'x'})", "one of ask, result, error", False),
    "none of the kinds": ("send({'seq': seq, 'progress': 0.5})", "one of ask, result, error", False),
    "unknown query": ("ask('theta_star')", "ask is 'theta_star'", False),
    "query without an argument": ("ask('sample', prompt=0)", "the arguments of sample", False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_protocol_error_and_the_next_run_has_a_fresh_process(starts: Starts, name: str) -> None:
    fault, sentence, final = FAULTS[name]
    subject = starts(fault)
    run, function = (sampled, "softmax_sample") if "ask(" in fault else (drawn, "draw")
    with pytest.raises(ProtocolError, match=f"^{function}: .*{sentence}") as caught:
        run(subject)
    assert caught.value.final == final
    assert drawn(subject) == [1, 1]
    assert sampled(subject) == 0


def test_a_query_in_a_run_without_oracle_is_a_protocol_error(starts: Starts) -> None:
    subject = starts("ask('prompt')")
    with pytest.raises(ProtocolError, match="this run has no oracle"):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_a_line_after_the_result_fails_the_run_after_it(starts: Starts) -> None:
    subject = starts("write((json.dumps({'seq': seq, 'result': [1, 1]}) + '\\n') * 2)\ncontinue")
    assert drawn(subject) == [1, 1]
    # The second line comes in the same instant; should it be read later, its number is that of the run before.
    with pytest.raises(ProtocolError, match=r"a message after the result|seq is 1"):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_an_input_that_is_not_read_is_a_protocol_error(starts: Starts) -> None:
    subject = starts("send({'seq': seq, 'result': [1, 1]})\ntime.sleep(60)")
    assert drawn(subject) == [1, 1]
    with pytest.raises(ProtocolError, match=r"input was not read in .* s of its own time"):
        call(subject, "draw", np.full(10**5, 1e-5), 1, 0)
    assert drawn(subject) == [1, 1]


def test_lines_without_end_fail_the_next_run(starts: Starts) -> None:
    subject = starts("send({'seq': seq, 'result': [1, 1]})\nwhile True: send({'seq': seq, 'result': [1, 1]})")
    assert drawn(subject) == [1, 1]
    with pytest.raises(ProtocolError):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_a_child_that_the_program_leaves_behind_ends_with_it(starts: Starts, tmp_path: Path) -> None:
    child = "subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)', flag + ' child'])"
    subject = starts(f"{child}\ntime.sleep(60)")
    with pytest.raises(ProtocolError, match="of its own time"):
        drawn(subject)
    assert_gone(f"{tmp_path}/flag child")
    assert drawn(subject) == [1, 1]


def test_a_child_that_keeps_the_pipe_open_does_not_hold_the_harness_up(starts: Starts) -> None:
    child = "[sys.executable, '-I', '-S', '-c', 'import time; time.sleep(2)']"
    subject = starts(f"subprocess.Popen({child}, start_new_session=True)\nos._exit(5)")
    with pytest.raises(ProtocolError, match="of its own time"):  # its output is still open
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_an_error_is_raised_and_the_program_goes_on(starts: Starts) -> None:
    subject = starts("send({'seq': seq, 'error': 'singular matrix'})\ncontinue")
    with pytest.raises(SubjectError, match=r"^singular matrix$") as caught:
        drawn(subject)
    assert caught.value.sentence == "raised an error: singular matrix"
    assert drawn(subject) == [1, 1]


def test_an_error_may_say_its_type_and_where_it_was_raised(starts: Starts) -> None:
    subject = starts("send({'seq': seq, 'error': 'off', 'type': 'Overflow', 'where': 'it.c:7'})\ncontinue")
    with pytest.raises(SubjectError, match=r"^off$") as caught:
        drawn(subject)
    assert caught.value.sentence == "raised Overflow: off (it.c:7)"


def test_a_prompt_that_was_not_issued_is_refused_and_the_fault_of_the_program(starts: Starts) -> None:
    subject = starts("reply = ask('sample', prompt=99, count=1)\nsend({'seq': seq, 'error': reply['name']})\ncontinue")
    with pytest.raises(ArgumentError, match="prompt is 99"):
        sampled(subject)
    assert sampled(subject) == 0


def test_an_error_after_a_refused_query_is_that_of_the_oracle(starts: Starts) -> None:
    subject = starts()
    with pytest.raises(BudgetExceededError, match="costs 1 samples, but only 0 are left") as caught:
        sampled(subject, samples=0)
    assert (caught.value.counter, caught.value.asked, caught.value.left) == ("samples", 1, 0)
    assert sampled(subject) == 0


def test_a_query_that_the_oracle_does_not_offer_is_refused(starts: Starts) -> None:
    subject = starts("reply = ask('enumerate', prompt=0)\nsend({'seq': seq, 'error': reply['refused']})\ncontinue")
    oracle = literal_oracle(small_problem(0), seed=0)
    while (prompt := oracle.prompt()) != 0:
        pass
    with pytest.raises(QuestionRefusedError, match="full-table model"):
        call(subject, "softmax_sample", oracle, prompt, LinearScore(np.zeros(3)), multiplier=1.0, failure=0.5, seed=0)
    assert drawn(subject) == [1, 1]


def test_when_the_oracle_breaks_the_next_run_has_a_fresh_process(starts: Starts) -> None:
    class Broken(OneText):
        def sample(self, prompt: str, count: int) -> Responses:
            raise KeyboardInterrupt

    subject = starts()
    with pytest.raises(KeyboardInterrupt):
        call(subject, "softmax_sample", Broken(), "", LinearScore(np.zeros(1)), multiplier=1.0, failure=0.5, seed=0)
    assert drawn(subject) == [1, 1]


def test_a_result_of_another_form_breaks_the_contract(starts: Starts) -> None:
    subject = starts("send({'seq': seq, 'result': [[0.5]]})\ncontinue")
    with pytest.raises(ContractError, match="draw broke the contract"):
        drawn(subject)
    assert drawn(subject) == [1, 1]


def test_what_is_written_to_standard_error_is_no_failure(starts: Starts) -> None:
    assert drawn(starts("sys.stderr.write('chatter' * 10**5)"), count=3) == [1, 1, 1]


def test_what_was_written_to_standard_error_is_shown_with_a_failure(starts: Starts) -> None:
    with pytest.raises(ProtocolError, match="its standard error ends: out of memory"):
        drawn(starts("sys.exit('out of memory')"))


BAD_HELLOS: dict[str, tuple[dict[str, Any], str]] = {
    "output before hello": ({"before_hello": "write('ready\\n')"}, "line is 'ready"),
    "wrong version": ({"version": 1}, "protocol is 1"),
    "no hello": ({"before_hello": "send({'goodbye': 1}); sys.exit(0)"}, "hello is"),
    "exit": ({"before_hello": "sys.exit('no licence')"}, "exit code 1; its standard error ends: no licence"),
    "unknown function": (
        {"before_hello": "send({'hello': {'protocol': 2, 'name': 'x', 'provides': ['fly']}})"},
        "provides is",
    ),
    "no name": ({"before_hello": "send({'hello': {'protocol': 2, 'provides': []}})"}, "name is None"),
    "approximation": (
        {"before_hello": "send({'hello': {'protocol': 2, 'name': 'x', 'provides': [], 'approximation': '2'}})"},
        "approximation is '2'",
    ),
    "precision": (
        {"before_hello": "send({'hello': {'protocol': 2, 'name': 'x', 'provides': [], 'precision': 1e12}})"},
        "precision is 1000000000000.0",
    ),
    "unknown form": (
        {"before_hello": "send({'hello': {'protocol': 2, 'name': 'x', 'provides': [], 'form': 'xml'}})"},
        "form is 'xml'",
    ),
    "hang": ({"before_hello": "time.sleep(60)"}, "of its own time"),
}


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_a_program_without_a_proper_hello_is_not_verified_at_all(
    starts: Starts, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "hang":
        monkeypatch.setattr(process, "START_LIMIT", 0.5)
    given, sentence = BAD_HELLOS[name]
    with pytest.raises(HandshakeError, match=f"said no proper hello: .*{sentence}"):
        starts(**given)


def test_a_program_that_says_hello_only_once_fails_every_run_after_its_fault(starts: Starts) -> None:
    subject = starts("sys.exit(0)", before_hello="os.path.exists(flag) and sys.exit(4)")
    with pytest.raises(ProtocolError, match="exit code 0"):
        drawn(subject)
    for _ in range(2):
        with pytest.raises(ProtocolError, match=r"said no proper hello: .*exit code 4") as caught:
            drawn(subject)
        assert caught.value.final


def test_a_program_that_is_not_there_is_not_verified_at_all(tmp_path: Path) -> None:
    with pytest.raises(HandshakeError, match="did not start"):
        process_subject(str(tmp_path / "nothing"))


@pytest.mark.parametrize("command", ["", "   ", "program 'half"])
def test_a_command_that_is_none_is_refused(command: str) -> None:
    with pytest.raises(ArgumentError, match=r"^command is"):
        process_subject(command)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_program_that_nobody_closes_ends_with_the_subject(starts: Starts, tmp_path: Path) -> None:
    starts()
    command = shlex.join([sys.executable, str(tmp_path / "program.py"), str(tmp_path / "other flag")])
    subject = process_subject(command)
    assert len(running("other flag")) == 1
    del subject
    assert_gone(f"{tmp_path}/other flag")
