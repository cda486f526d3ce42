"""Serve a Python subject over the pipe: `python -m spanver.serve module:attribute`.

The other end of `process.py`: it says hello, answers runs, and sends the queries of its oracle back to the harness. An
oracle that the subject makes stays here, and the queries of the harness are answered by it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import partial
from typing import Any

import numpy as np
from greenlet import getcurrent, greenlet
from numpy.typing import NDArray

from spanver.errors import SpanverError, where_raised
from spanver.loading import load_subject
from spanver.oracle import Budget
from spanver.parameter_sets import SHAPES
from spanver.problems.tabular import TabularProblem
from spanver.subjects.channel import Channel
from spanver.subjects.contract import FUNCTIONS, Function, Kind, Subject, result_of
from spanver.subjects.protocol import FACTS, JSON, MSGPACK, PROTOCOL, answer, packed, plain, refused_error
from spanver.subjects.remote import Ask, RemoteEpisodicOracle, RemoteOracle
from spanver.values import Score, from_json

TOGETHER_FOR = 0.05  # seconds that an answer may wait for others, with which it is sent


def serve(channel: Channel, load: Callable[[], Subject]) -> None:
    """Say hello, and answer requests until the harness closes the pipe.

    Parameters
    ----------
    channel : Channel
        To the harness.
    load : callable
        Returns the subject.
    """
    offered = channel.receive()["hello"].get("forms", [JSON.name])
    try:
        subject = load()
    except SpanverError as error:
        channel.send({"error": str(error)})
        return
    form = MSGPACK if MSGPACK.name in offered else JSON
    hello = {"protocol": PROTOCOL, "name": subject.name, "provides": sorted(subject.provides), **subject.declared}
    channel.send({"hello": hello | ({} if form is JSON else {"form": form.name, "together": True})})
    channel.form = form
    server = _Server(subject, channel)
    while True:
        try:
            messages = channel.receive_all()
        except EOFError:
            return
        began, unsent = time.monotonic(), []
        for message in messages:
            unsent.append(server.replied(message))
            if time.monotonic() - began > TOGETHER_FOR:
                channel.write(b"".join(unsent))
                began, unsent = time.monotonic(), []
        channel.write(b"".join(unsent))


class _Server:
    """Answers the requests of the harness, one after another."""

    def __init__(self, subject: Subject, channel: Channel) -> None:
        self._subject, self._channel = subject, channel
        self._oracles: dict[int, Any] = {}
        self._turn = threading.Lock()  # a subject may query from several threads

    def replied(self, message: Mapping[str, Any]) -> bytes:
        """Return the message that ends a request, encoded."""
        reply = self.results(message) if "calls" in message else self.reply(message)
        try:
            return self._channel.form.encode({"seq": message["seq"], **reply})
        except TypeError as error:  # an answer of the subject's own oracle that has no form
            return self._channel.form.encode({"seq": message["seq"], **_stated(error)})

    def reply(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ends a request."""
        for number in message.get("released", ()):
            self._oracles.pop(number, None)
        try:
            if "ask" in message:
                return answer(self._oracles[message["oracle"]], message)
            return {"result": self._result(message)}
        except (Exception, SystemExit) as error:  # an error of the subject is its answer
            return _stated(error)

    def results(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Make many calls, which take turns: each runs until it queries its oracle."""
        seq, name = message["seq"], message["run"]
        calls = [greenlet(self.reply) for _ in message["calls"]]
        results: list[Any] = [None] * len(calls)
        values: list[Any] = []  # of all answers so far
        turns = list(enumerate({"seq": seq, "run": name, "arguments": each} for each in message["calls"]))
        while turns:
            asking, keyed = [], []
            for index, heard in turns:
                said = calls[index].switch(heard)
                if calls[index].dead:
                    results[index] = said
                else:
                    asking.append(index)
                    keyed.append(said)
            if not asking:
                break
            queries, positions = _distinct(keyed)
            self._channel.send({"seq": seq, "queries": queries, "asks": list(zip(asking, positions, strict=True))})
            received = self._channel.receive()
            values += received["values"]
            turns = [(index, values[at]) for index, at in zip(asking, received["answers"], strict=True)]
        return {"results": results}

    def _result(self, message: Mapping[str, Any]) -> Any:
        function = FUNCTIONS[message["run"]]
        given = {
            key: self._made(function.arguments[key].kind, value, message) for key, value in message["arguments"].items()
        }
        positional = [given.pop(key) for key in function.positional]
        result = result_of(function.name, self._subject.functions[function.name](*positional, **given))
        if function.makes_oracle:
            self._oracles[message["seq"]] = result
            return {"oracle": message["seq"], **{fact: getattr(result, fact) for fact in FACTS}}
        if not is_dataclass(result):
            return result
        # Only best-of-N has a count, and what the second responses are is said by the settings.
        return {key: part for key, part in plain(result).items() if part is not None and key != "anchor"}

    def _made(self, kind: Kind, value: Any, message: Mapping[str, Any]) -> Any:  # noqa: PLR0911 (one a kind)
        """Return an argument as the subject gets it: arrays are read-only."""
        match kind:
            case Kind.ARRAY:
                return _array(value)
            case Kind.LAYERS:
                return [_array(layer) for layer in value]
            case Kind.SCORE:
                return from_json(value, Score)
            case Kind.SETTINGS:
                return _settings_of(FUNCTIONS[message["run"]])(**value)
            case Kind.PROBLEM:
                return TabularProblem(**value | {"shape": SHAPES[value["shape"]]})
            case Kind.BUDGET:
                return value if value is None else Budget(**value)
            case Kind.ORACLE:
                return RemoteOracle(value, self._ask(message["seq"]))
            case Kind.EPISODIC_ORACLE:
                return RemoteEpisodicOracle(value, self._ask(message["seq"]))
            case Kind.CORES:
                from spanver.learners.core_sets import Pairs  # noqa: PLC0415 (few subjects need it)

                return [from_json(core, Pairs) for core in value]
            case Kind.PLAIN:
                return value

    def _ask(self, seq: int) -> Ask:
        together = getcurrent().parent

        def sent(message: dict[str, Any]) -> dict[str, Any]:
            if together is not None:
                answer: dict[str, Any] = together.switch((packed(message), message))
                return answer
            with self._turn:
                try:
                    self._channel.send({"seq": seq, **message})
                    return self._channel.receive()
                except (EOFError, OSError):  # the harness is gone, and nothing the subject does matters any more
                    os._exit(1)

        def ask(query: dict[str, Any], kind: Any) -> Any:
            message = sent(query)
            if "refused" in message:
                raise refused_error(message)
            if "value" not in message:  # several calls may hear one answer
                message["value"] = from_json(message["answer"], kind)
            return message["value"]

        return ask


def _settings_of(function: Function) -> type[Any]:
    """Class of the settings of a function, imported when the first are needed: a subject starts sooner without."""
    if function.is_layered:
        from spanver.learners.mtss import MTSSSettings  # noqa: PLC0415

        return MTSSSettings
    from spanver.learners.spanner_sampling import Settings  # noqa: PLC0415

    return Settings


def _distinct(keyed: Iterable[tuple[bytes, Any]]) -> tuple[list[Any], list[int]]:
    """Return values of different keys once each, and the position of each value among these."""
    values: dict[bytes, tuple[int, Any]] = {}
    where = [values.setdefault(key, (len(values), value))[0] for key, value in keyed]
    return [value for _, value in values.values()], where


def _array(value: Any) -> NDArray[Any]:
    array = value if isinstance(value, np.ndarray) else np.asarray(value, dtype=np.float64)
    array.setflags(write=False)
    return array


def _stated(error: BaseException) -> dict[str, Any]:
    where = where_raised(error)
    return {"error": str(error), "type": type(error).__name__} | ({"where": where} if where else {})


def _main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m spanver.serve SUBJECT")
    # What the subject prints must not mix with the messages: its standard output becomes standard error. Nor is what
    # it reads a message: its standard input is empty.
    source, sink = os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    serve(Channel(source, sink), partial(load_subject, sys.argv[1]))


if __name__ == "__main__":
    _main()
