"""A program as a subject: messages on its standard input and output (docs/protocol.md).

One process serves many requests, one after another. The states of a conversation: *greeted* (hellos were exchanged) ->
a run is sent -> any number of queries, each answered -> a result or an error -> greeted again. A query of an oracle
that the program made is a request too, which ends with its answer; several of these may be on their way at once, and
are answered in their order. Anything else is a fault: no message within the time limit, the end of the output, what is
no message or too long, a wrong sequence number, a message after the result. A fault is a `ProtocolError` of its run.
The process is then killed with its process group, and the next run gets a fresh one. A program without a proper hello
cannot be verified at all: `HandshakeError`.

A Python subject runs in a program of ours, `python -m spanver.serve`. So nothing of the harness is within its reach:
neither oracle, ledger and record nor the runner, and not the exit code.
"""

from __future__ import annotations

import os
import shlex
import sys
import sysconfig
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from spanver.errors import (
    ArgumentError,
    BudgetExceededError,
    ContractError,
    HandshakeError,
    ProtocolError,
    SpanverError,
    SubjectError,
    TimeLimitError,
    ViolationError,
)
from spanver.oracle import Budget
from spanver.subjects.calls import PreparedCall, answers_to, prepared_call
from spanver.subjects.contract import FUNCTIONS, Call, Subject
from spanver.subjects.program import Program
from spanver.subjects.protocol import FACTS, FORMS, JSON, PROTOCOL, refused_error
from spanver.subjects.remote import RemoteOracle
from spanver.subjects.together import Together
from spanver.validation import require, require_one_of, require_positive
from spanver.values import from_json

TIME_LIMIT = 20.0  # seconds of the program's own time in one run
AT_ONCE = 32  # queries of an oracle of the program that are sent before the first is answered
START_LIMIT = 60.0  # seconds until its hello: importing a large library takes longer than a run


def process_subject(command: str, *, time_limit: float | None = None) -> Subject:
    """Start a program and return it as a subject.

    Parameters
    ----------
    command : str
        As in a shell, but no shell runs it.
    time_limit : float, optional
        Seconds that the program may take for one run, the harness's own time not counted. Default: `TIME_LIMIT`.

    Raises
    ------
    ArgumentError
        If the command is not that of a program, or the time limit is not above 0.
    HandshakeError
        If it does not start, or does not say hello in this version of the protocol.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ArgumentError("command", command, f"split as a shell does ({error})") from None
    require(len(words) > 0, "command", command, "a program with its arguments")
    return _subject(_Conversation(words, {}, time_limit))


def python_subject(name: str, *, time_limit: float | None = None) -> Subject:
    """Start a process that serves a Python subject, and return it as a subject.

    Parameters
    ----------
    name : str
        As of `spanver.loading.load_subject`. It is imported there and not here.
    time_limit : float, optional
        As of `process_subject`.

    Raises
    ------
    HandshakeError
        If it cannot be imported, or the process ends meanwhile.
    """
    words = [sys.executable, "-m", "spanver.serve", name]
    return _subject(_Conversation(words, {"PYTHONPATH": _search_path()}, time_limit))


def _search_path() -> str:
    """Where this process looks for modules, apart from where every Python of this installation does."""
    paths = sysconfig.get_paths()
    known = tuple(paths[each] for each in ("stdlib", "platstdlib", "purelib", "platlib"))
    return os.pathsep.join(each for each in sys.path if os.path.isdir(each) and not each.startswith(known))


def _subject(conversation: _Conversation) -> Subject:
    hello = conversation.greet()
    return Subject(
        functions={name: partial(conversation.run, name) for name in hello.provides},
        together=Together(conversation.run, conversation.run_together) if hello.together else None,
        close=conversation.close,
        **hello.declared,
    )


@dataclass(frozen=True)
class _Hello:
    """The hello of a program: the functions that it provides, what else it declares, and how it converses."""

    provides: tuple[str, ...]
    declared: Mapping[str, Any]
    form: str
    together: bool


def _checked_hello(message: Mapping[str, Any]) -> _Hello:
    if isinstance(message.get("error"), str):
        raise HandshakeError(message["error"])
    hello = message.get("hello")
    require(isinstance(hello, dict), "hello", message, "an object of protocol, name and provides")
    assert isinstance(hello, dict)
    require(hello.get("protocol") == PROTOCOL, "protocol", hello.get("protocol"), str(PROTOCOL))
    require(isinstance(hello.get("name"), str), "name", hello.get("name"), "a string")
    provides = hello.get("provides")
    require(_are_names(provides), "provides", provides, f"a list out of {', '.join(FUNCTIONS)}")
    assert isinstance(provides, list)
    form = hello.get("form", JSON.name)
    require_one_of("form", form, FORMS)
    declared = {key: hello[key] for key in ("name", *Subject.DECLARED) if key in hello}
    for key in ("unpromised", "claims"):
        if key in declared:
            require(_are_names(declared[key]), key, declared[key], "a list of names")
            declared[key] = frozenset(declared[key])
    Subject(functions=dict.fromkeys(provides, _nothing), **declared)  # refuses what it may not declare
    together = hello.get("together", False)
    require(isinstance(together, bool), "together", together, "true or false")
    return _Hello(tuple(provides), declared, form, together)


def _nothing() -> None:
    """Stand for a function."""


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


class _Conversation:
    """The conversation with one program at a time; requests are numbered."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], time_limit: float | None) -> None:
        self._time_limit = TIME_LIMIT if time_limit is None else time_limit
        require_positive("time_limit", self._time_limit)
        self._words, self._environment = words, environment
        self._program: Program | None = None
        self._seq = 0
        self._together = False
        self._released: list[int] = []  # oracles of the program that nobody will query again

    def greet(self) -> _Hello:
        program = Program(self._words, self._environment)
        program.allow(START_LIMIT)
        try:
            program.send({"hello": {"protocol": PROTOCOL, "functions": sorted(FUNCTIONS), "forms": list(FORMS)}})
            hello = _checked_hello(program.receive())
        except (ArgumentError, ProtocolError) as error:
            program.kill()
            raise HandshakeError(
                f"{shlex.join(self._words)} said no proper hello: {error}{program.complaint()}"
            ) from error
        except BaseException:
            program.kill()
            raise
        program.use(FORMS[hello.form])
        self._program, self._released, self._together = program, [], hello.together
        return hello

    def close(self) -> None:
        if self._program is not None:
            self._program.kill()
            self._program = None

    def run(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Run a function of the program."""
        self._start(name)
        call = prepared_call(name, arguments, named)
        message = {"run": name, "arguments": call.sent} | ({"released": self._released} if self._released else {})
        self._released = []
        ending = self._request(name, message, call)
        return self._result(name, call, ending)

    def run_together(self, name: str, calls: Sequence[Call]) -> list[Callable[[], Any]]:
        """Make many calls of a function, which take turns; each outcome is returned or raised by a function."""
        self._start(name)
        prepared, known = [prepared_call(name, *each) for each in calls], dict[Hashable, Any]()
        with self._exchange(name) as program:
            program.send({"seq": self._seq, "run": name, "calls": [each.sent for each in prepared]})
            while "asks" in (received := self._received(program, "asks", "results", "error")):
                program.send({"seq": self._seq, **answers_to(prepared, received, known)})
            endings = received.get("results")
            is_complete = isinstance(endings, list) and len(endings) == len(prepared)
            require(is_complete, "results", endings, f"a list of {len(prepared)}")
            assert isinstance(endings, list)
            for each in endings:
                is_one = isinstance(each, dict) and ("result" in each) != ("error" in each)
                require(is_one, "results", each, "each a result or an error")
        return [partial(self._result, name, call, each) for call, each in zip(prepared, endings, strict=True)]

    def _start(self, name: str) -> None:
        try:
            if self._program is None:
                self.greet()
        except HandshakeError as error:
            raise ProtocolError(f"{name}: {error}", final=True) from error

    def _result(self, name: str, call: PreparedCall, ending: Mapping[str, Any]) -> Any:
        if "error" in ending:
            if ending.get("type") == ContractError.__name__:  # the server of Python subjects has looked at the result
                raise ContractError(str(ending["error"]))
            raise _error_of(ending, call.refused)
        result = ending["result"]
        return self._own_oracle(name, result, call.sent.get("budget")) if FUNCTIONS[name].makes_oracle else result

    def _requests(self, name: str, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the messages that end queries of an oracle that the program made, `AT_ONCE` of them on their way.

        They are short, and so are their answers: neither pipe is ever full, where both ends would wait.
        """
        endings: list[dict[str, Any]] = []
        at_once = AT_ONCE if self._together else 1
        for start in range(0, len(messages), at_once):
            with self._exchange(name) as program:
                sent = [{"seq": self._seq + at, **each} for at, each in enumerate(messages[start : start + at_once])]
                program.send(*sent)
                for each in sent:
                    self._seq = each["seq"]
                    program.allow(self._time_limit)
                    endings.append(self._received(program, "answer", "refused", "error"))
        return endings

    def _request(self, name: str, message: Mapping[str, Any], call: PreparedCall) -> dict[str, Any]:
        """Return the message that ends a run."""
        with self._exchange(name) as program:
            program.send({"seq": self._seq, **message})
            while "ask" in (received := self._received(program, "ask", "result", "error")):
                program.send({"seq": self._seq, **call.answer(call.query(received))})
            return received

    @contextmanager
    def _exchange(self, name: str) -> Iterator[Program]:
        """Begin a request, and end the program if it breaks the protocol meanwhile."""
        program = self._program
        assert program is not None
        program.allow(self._time_limit)
        self._seq += 1
        try:
            program.require_silent()
            yield program
        except (ArgumentError, ProtocolError) as error:
            self.close()
            words = f"{name}: {error}{program.complaint()}"
            if isinstance(error, TimeLimitError):
                raise TimeLimitError(words) from error
            raise ProtocolError(words, final=isinstance(error, ProtocolError) and error.final) from error
        except BaseException:  # of the oracle, or Ctrl-C: the program still waits for an answer
            self.close()
            raise

    def _received(self, program: Program, *kinds: str) -> dict[str, Any]:
        message = program.receive()
        if message.get("seq") != self._seq:
            raise ArgumentError("seq", message.get("seq"), f"{self._seq}, that of the run")
        found = [kind for kind in kinds if kind in message]
        if len(found) != 1:
            raise ArgumentError("message", sorted(message), f"with one of {', '.join(kinds)}")
        allowed = _KEYS.get(found[0])
        if allowed is not None and not allowed >= message.keys():
            raise ArgumentError("message", sorted(message), f"without other keys than {', '.join(sorted(allowed))}")
        return message

    def _own_oracle(self, name: str, facts: Any, budget: Budget | None) -> RemoteOracle:
        """Return an oracle that the program made."""
        program = self._program
        is_oracle = (
            isinstance(facts, dict) and type(facts.get("oracle")) is int and all(each in facts for each in FACTS)
        )
        if not is_oracle:
            raise ContractError(f"{name} broke the contract: it is no oracle with {', '.join(FACTS)}")
        number = facts["oracle"]

        def ask_all(queries: Sequence[tuple[dict[str, Any], Any]]) -> list[Any]:
            several = ", ".join(dict.fromkeys(query["ask"] for query, _ in queries))
            try:
                if self._program is not program:
                    raise ProtocolError(f"{name}: the program that made this oracle has ended", final=True)
                endings = self._requests(f"{several} of {name}", [query for query, _ in queries])
            except ProtocolError as fault:
                raise ViolationError(str(fault), fault.cause, final=fault.final, function=name) from fault
            return [
                _answer(name, query["ask"], kind, ending)
                for (query, kind), ending in zip(queries, endings, strict=True)
            ]

        def ask(query: dict[str, Any], kind: Any) -> Any:
            return ask_all([({"oracle": number, **query}, kind)])[0]

        oracle = RemoteOracle({key: facts[key] for key in ("oracle", *FACTS)}, ask, ask_all)
        oracle.budget = Budget() if budget is None else budget
        weakref.finalize(oracle, self._release, program, number).atexit = False
        return oracle

    def _release(self, program: Program | None, number: int) -> None:
        if self._program is program:
            self._released.append(number)


_KEYS = {
    "asks": frozenset({"seq", "queries", "asks"}),
    "result": frozenset({"seq", "result"}),
    "results": frozenset({"seq", "results"}),
    "answer": frozenset({"seq", "answer"}),
    "error": frozenset({"seq", "error", "type", "where"}),
    "refused": frozenset({"seq", "refused", "reason", "counter", "asked", "left", "name", "value", "allowed"}),
}
"""All keys that a message may have, by the one that says what it is; a query has those of its arguments."""


def _answer(name: str, query: str, kind: Any, ending: Mapping[str, Any]) -> Any:
    """Return the answer of an oracle that a function of the program made, or raise why there is none."""
    asked = f"{query} of {name}"
    try:
        if "answer" in ending:
            return from_json(ending["answer"], kind)
        error = _error_of(ending, None) if "error" in ending else refused_error(ending)
    except (ArgumentError, KeyError, TypeError) as fault:
        raise ViolationError(f"{asked} broke the contract: {fault}", "contract", function=name) from fault
    if isinstance(error, SubjectError):
        sentence = f"{asked} {error.sentence}"
        raise ViolationError(sentence, "raised", function=name, error_type=error.kind, where=error.where)
    raise error


def _error_of(message: Mapping[str, Any], refused: SpanverError | None) -> Exception:
    """Return the error that a program states; after a refusal this is the refusal, unless the type says otherwise."""
    kind = message.get("type")
    if refused is not None and (kind is None or (kind, type(refused)) == ("BudgetExceededError", BudgetExceededError)):
        return refused
    return SubjectError(str(message["error"]), kind=str(kind or "an error"), where=str(message.get("where", "")))
