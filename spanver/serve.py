"""Serve a Python subject over the pipe: `python -m spanver.serve module:attribute`.

The other end of `process.py`, and an example in Python of the program that docs/protocol.md describes: it says hello,
answers runs, and sends the queries of its oracle back to the harness.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from spanver.errors import QuestionRefusedError
from spanver.learners.spanner_sampling import Settings
from spanver.loading import load_subject
from spanver.oracle import AnyResponse, Budget, Ledger
from spanver.subjects.contract import FUNCTIONS, REMOTE, Kind, Subject, result_of
from spanver.subjects.protocol import PROTOCOL, decode, decoded, encode, encoded
from spanver.values import Counts, FloatArray, Prompt, Responses, Rule, Score, SearchResult, from_json, identity_of


class RemoteOracle:
    """An `Oracle` whose queries travel over the pipe; the harness has the full ledger."""

    def __init__(self, facts: Mapping[str, Any], seq: int, source: BinaryIO, sink: BinaryIO) -> None:
        self.dimension: int = facts["dimension"]
        self.beta: float = facts["beta"]
        self.radius: float = facts["radius"]
        self.reward_range: float = facts["reward_range"]
        self.budget = Budget()
        self._seq, self._source, self._sink = seq, source, sink
        self._samples = 0

    @property
    def ledger(self) -> Ledger:
        """Samples that were answered here, for learners that read it."""
        return Ledger(samples=self._samples)

    def prompt(self) -> Prompt:
        """Draw a prompt."""
        prompt: Prompt = self._ask("prompt")
        return prompt

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        """Draw responses."""
        strong = {} if theta is None else {"theta": encoded(theta)}
        answer: Responses = from_json(self._ask("sample", prompt=prompt, count=count, **strong), Responses)
        self._samples += count
        return answer

    def sample_counts(self, prompt: Prompt, count: int) -> Counts:
        """Draw many responses and count them."""
        answer: Counts = from_json(self._ask("sample_counts", prompt=prompt, count=count), Counts)
        self._samples += count
        return answer

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int) -> SearchResult:
        """Draw until the rule accepts."""
        answer: SearchResult = from_json(
            self._ask("sample_until", prompt=prompt, rule=encoded(rule), limit=limit), SearchResult
        )
        self._samples += answer.tries * rule.samples_per_try
        return answer

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Draw a reward."""
        return float(self._ask("reward", prompt=prompt, response=identity_of(response)))

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Draw a label."""
        return bool(self._ask("compare", prompt=prompt, first=identity_of(first), second=identity_of(second)))

    def enumerate(self, prompt: Prompt) -> Responses:
        """List all responses."""
        answer: Responses = from_json(self._ask("enumerate", prompt=prompt), Responses)
        return answer

    def _ask(self, query: str, **arguments: Any) -> Any:
        _write(self._sink, {"seq": self._seq, "ask": query, **arguments})
        message = decode(self._source.readline())
        if "refused" in message:
            raise QuestionRefusedError(message["reason"])
        return message["answer"]


def serve(subject: Subject, source: BinaryIO, sink: BinaryIO) -> None:
    """Answer runs until the source ends."""
    decode(source.readline())
    provides = sorted(subject.provides & REMOTE)
    _write(sink, {"hello": {"protocol": PROTOCOL, "name": subject.name, "provides": provides}})
    for line in source:
        message = decode(line)
        seq, name = message["seq"], message["run"]
        try:
            oracle = partial(RemoteOracle, seq=seq, source=source, sink=sink)
            result = encoded(result_of(name, _called(subject, name, message["arguments"], oracle)))
        except Exception as error:  # an error of the subject is its answer
            _write(sink, {"seq": seq, "error": f"{type(error).__name__}: {error}"})
        else:
            if isinstance(result, dict):  # a baseline has no count, unless it is best-of-N
                result = {key: value for key, value in result.items() if value is not None}
            _write(sink, {"seq": seq, "result": result})


def _called(
    subject: Subject, name: str, arguments: Mapping[str, Any], oracle: Callable[[Mapping[str, Any]], RemoteOracle]
) -> Any:
    def made(kind: Kind, value: Any) -> Any:
        match kind:
            case Kind.ARRAY:
                return np.asarray(decoded(value), dtype=np.float64)
            case Kind.LAYERS:
                return [made(Kind.ARRAY, layer) for layer in value]
            case Kind.SCORE:
                return from_json(value, Score)
            case Kind.SETTINGS:
                return Settings(**value)
            case Kind.ORACLE:
                return oracle(value)
            case Kind.PLAIN:
                return value

    function = FUNCTIONS[name]
    given = {key: made(function.arguments[key].kind, value) for key, value in arguments.items()}
    positional = [given.pop(key) for key in function.positional]
    return subject.functions[name](*positional, **given)


def _write(sink: BinaryIO, message: Mapping[str, Any]) -> None:
    sink.write(encode(message))
    sink.flush()


def _main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m spanver.serve SUBJECT")
    # What the subject prints must not mix with the messages: its standard output becomes standard error.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(load_subject(sys.argv[1]), sys.stdin.buffer, sink)


if __name__ == "__main__":
    _main()
