"""A program as a subject: JSON lines on its standard input and output (docs/protocol.md).

One process serves many runs, one after another. The states of a conversation: *greeted* (hellos were exchanged) -> a
run is sent -> any number of queries, each answered -> a result or an error -> greeted again. Anything else is a fault:
no line within the time limit, the end of the output, a line that is no message or too long, a wrong sequence number, a
line after the result. A fault is a `ProtocolError` of its run. The process is then killed with its process group, and
the next run gets a fresh one. A program without a proper hello cannot be verified at all: `HandshakeError`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import shlex
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from functools import partial
from typing import IO, Any

from spanver.errors import (
    ArgumentError,
    BudgetExceededError,
    ContractError,
    HandshakeError,
    ProtocolError,
    QuestionRefusedError,
    SubjectError,
)
from spanver.subjects.contract import FUNCTIONS, REMOTE, Subject, result_of
from spanver.subjects.protocol import PROTOCOL, answer, decode, decoded, encode, encoded
from spanver.validation import require, require_positive

TIME_LIMIT = 20.0  # seconds of the program's own time in one run
START_LIMIT = 60.0  # seconds until its hello: importing a large library takes longer than a run
MAX_LINE = 1 << 24  # bytes
MAX_UNREAD = 1000  # lines that wait to be read


def process_subject(command: str, *, time_limit: float = TIME_LIMIT) -> Subject:
    """Start a program and return it as a subject.

    Parameters
    ----------
    command : str
        As in a shell, but no shell runs it.
    time_limit : float
        Seconds that the program may take for one run, the harness's own time not counted.

    Raises
    ------
    ArgumentError
        If the command is not that of a program, or the time limit is not above 0.
    HandshakeError
        If it does not start, or does not say hello in this version of the protocol.
    """
    conversation = _Conversation(command, time_limit)
    hello = conversation.greet()
    provides = hello["provides"]
    return Subject(
        name=hello["name"],
        functions={name: partial(conversation.run, name) for name in provides},
        approximation=float(hello.get("approximation", 2.0)),
        close=conversation.close,
    )


class _Conversation:
    """The conversation with one program at a time; runs are numbered."""

    def __init__(self, command: str, time_limit: float) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise ArgumentError("command", command, f"split as a shell does ({error})") from None
        require(len(self._words) > 0, "command", command, "a program with its arguments")
        require_positive("time_limit", time_limit)
        self._time_limit = time_limit
        self._program: _Program | None = None
        self._seq = 0

    def greet(self) -> dict[str, Any]:
        program = _Program(self._words)
        try:
            program.send({"hello": {"protocol": PROTOCOL, "functions": sorted(REMOTE)}}, START_LIMIT)
            hello = _checked_hello(decode(program.line(START_LIMIT)))
        except (ArgumentError, ProtocolError) as error:
            program.kill()
            raise HandshakeError(
                f"{shlex.join(self._words)} said no proper hello: {error}{program.complaint()}"
            ) from error
        self._program = program
        return hello

    def close(self) -> None:
        if self._program is not None:
            self._program.kill()
            self._program = None

    def run(self, name: str, *arguments: Any, **named: Any) -> Any:
        try:
            if self._program is None:
                self.greet()
        except HandshakeError as error:
            raise ProtocolError(f"{name}: {error}", final=True) from error
        program = self._program
        assert program is not None
        try:
            message, refused = self._converse(program, name, arguments, named)
            result = decoded(message.get("result"))
        except (ArgumentError, ProtocolError) as error:
            self.close()
            final = isinstance(error, ProtocolError) and error.final
            raise ProtocolError(f"{name}: {error}{program.complaint()}", final=final) from error
        except BaseException:  # of the oracle, or Ctrl-C: the program still waits for an answer
            self.close()
            raise
        if "error" in message:
            raise refused or SubjectError(str(message["error"]))
        try:
            result_of(name, result)
        except ContractError as error:
            raise ProtocolError(str(error)) from error
        return result

    def _converse(
        self, program: _Program, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Exception | None]:
        """Return the last message of a run, and why its last refused query was refused, if one was."""
        if program.has_line():
            raise ProtocolError(f"a line after the result: {program.line(1.0)[:60].decode(errors='replace')}")
        self._seq += 1
        oracle, sent = _arguments(name, arguments, named)
        left = self._time_limit

        def send(message: Mapping[str, Any]) -> None:
            nonlocal left
            began = time.monotonic()
            program.send({"seq": self._seq, **message}, left)
            left -= time.monotonic() - began

        send({"run": name, "arguments": sent})
        refused: Exception | None = None
        while True:
            began = time.monotonic()
            message = decode(program.line(left))
            left -= time.monotonic() - began
            require(message.get("seq") == self._seq, "seq", message.get("seq"), f"{self._seq}, that of the run")
            kinds = [kind for kind in ("ask", "result", "error") if kind in message]
            require(len(kinds) == 1, "message", sorted(message), "with one of ask, result and error")
            others = sorted(set(message) - {"seq", *kinds}) if "ask" not in message else []
            require(not others, "message", sorted(message), "without other keys than seq and result or error")
            if "ask" not in message:
                return message, refused
            require(oracle is not None, "ask", message["ask"], "left out: this run has no oracle")
            try:
                send({"answer": answer(oracle, message)})
            except (BudgetExceededError, QuestionRefusedError) as error:
                refused = error
                send({"refused": type(error).__name__, "reason": str(error)})


def _arguments(name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the oracle of a run, if it has one, and the arguments as they travel."""
    given = dict(zip(FUNCTIONS[name].positional, arguments, strict=True)) | dict(named)
    oracle = given.pop("oracle", None)
    sent = {key: encoded(value) for key, value in given.items()}
    if oracle is not None:
        sent["oracle"] = {key: getattr(oracle, key) for key in ("dimension", "beta", "radius", "reward_range")}
    return oracle, sent


def _checked_hello(message: Mapping[str, Any]) -> dict[str, Any]:
    hello = message.get("hello")
    require(isinstance(hello, dict), "hello", message, "an object of protocol, name and provides")
    assert isinstance(hello, dict)
    require(hello.get("protocol") == PROTOCOL, "protocol", hello.get("protocol"), str(PROTOCOL))
    require(isinstance(hello.get("name"), str), "name", hello.get("name"), "a string")
    require_positive("approximation", hello.get("approximation", 2.0))
    provides = hello.get("provides")
    is_list = isinstance(provides, list) and all(isinstance(each, str) for each in provides)
    require(
        is_list and set(provides or ()) <= REMOTE, "provides", provides, f"a list out of {', '.join(sorted(REMOTE))}"
    )
    return hello


class _Program:
    """A running program: lines in, lines out, standard error in a file."""

    def __init__(self, words: list[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (read after the program has ended)
        try:
            self._process = subprocess.Popen(
                words,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise HandshakeError(f"{shlex.join(words)} did not start: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # No program outlives its subject, even if the subject is never closed.
        self._end = weakref.finalize(self, _kill_group, self._process)
        self._input = self._process.stdin
        os.set_blocking(self._input.fileno(), False)
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()
        self._complaint = ""

    def send(self, message: Mapping[str, Any], seconds: float) -> None:
        """Send a line; wait at most so many seconds for the program to read its input."""
        unsent = memoryview(encode(message))
        ends = time.monotonic() + seconds
        while unsent:
            _, writable, _ = select.select([], [self._input], [], max(ends - time.monotonic(), 0.0))
            if not writable:
                raise ProtocolError("its input was not read within the time limit", final=True)
            try:
                unsent = unsent[self._input.write(unsent) or 0 :]
            except OSError:
                raise ProtocolError(self._ending()) from None

    def has_line(self) -> bool:
        return not self._lines.empty()

    def line(self, seconds: float) -> bytes:
        try:
            line = self._lines.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            raise ProtocolError("no full line within the time limit", final=True) from None
        if line is None:
            raise ProtocolError(self._ending())
        if len(line) > MAX_LINE:
            raise ProtocolError(f"a line of more than {MAX_LINE} bytes", final=True)
        return line

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1.0)
        code = self._process.poll()
        return "the program closed its output" if code is None else f"the program ended with exit code {code}"

    def kill(self) -> None:
        """End the program and its process group."""
        self._end()
        self._input.close()
        if not self._errors.closed:
            self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, self._errors.tell() - 2000))
            self._complaint = self._errors.read().decode(errors="replace").strip()
            self._errors.close()

    def complaint(self) -> str:
        """Return the end of its standard error, once it was killed."""
        return f"; its standard error ends: {self._complaint}" if self._complaint else ""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(stream: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    """Put lines into the queue, and None at the end; of a line that is too long, only its beginning.

    The stream is unbuffered and closed here: closing it elsewhere would wait for this thread.
    """
    parts: list[bytes] = []
    with contextlib.suppress(OSError, ValueError), stream:
        while (chunk := stream.read(1 << 16)) and lines.qsize() < MAX_UNREAD:
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                lines.put(b"".join([*parts, end]))
                parts = []
            parts.append(rest)
            if sum(map(len, parts)) > MAX_LINE:
                lines.put(b"".join(parts))
                break
    lines.put(None)
