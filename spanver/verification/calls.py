"""Calls of a subject as they were made: in words for a message, and message by message for a trace.

References are kept while an instance runs, and text is made of them only for a violation.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from itertools import groupby
from typing import Any, TypeAlias

from spanver.episodic import Drawn, Tallies, Trials
from spanver.subjects.contract import FUNCTIONS
from spanver.subjects.protocol import FACTS, LAYERED_FACTS, encode_line
from spanver.values import Counts, Responses, SearchResult
from spanver.verification.finding import Call
from spanver.verification.rendering import short
from spanver.verification.transcript import Query, RecordingEpisodicOracle, RecordingOracle

MOST_QUERIES = 8  # kinds of queries, one after another, that a message lists
MOST_LINES, LONGEST_LINE = 1000, 4000  # of a transcript: findings travel between processes
MOST_ARGUMENTS = 10**5  # characters of the arguments, which are there once

AnyRecording: TypeAlias = RecordingOracle | RecordingEpisodicOracle


@dataclass(eq=False)
class Made:
    """One call: function, arguments, the oracle among them, and in the end its outcome.

    Attributes
    ----------
    function : str
    arguments : mapping
        By name.
    number : int
        Of the call among those on the instance.
    oracle : RecordingOracle, RecordingEpisodicOracle or None
    before : int
        Queries that its record had before the call.
    outcome : mapping
        `result` or `error`; empty as long as there is none.
    """

    function: str
    arguments: Mapping[str, Any]
    number: int
    oracle: AnyRecording | None = None
    before: int = 0
    outcome: Mapping[str, Any] = field(default_factory=dict)

    def recorded(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Positional arguments with the oracle that records in place of the one that was given."""
        return arguments if self.oracle is None else (self.oracle, *arguments[1:])

    @property
    def queries(self) -> list[Query]:
        """What the subject asked, in order."""
        return [] if self.oracle is None else self.oracle.queries[self.before :]


def made_call(function: str, arguments: tuple[Any, ...], named: Mapping[str, Any], number: int) -> Made:
    """Return a call that is about to be made; its oracle, if it has one and does not record yet, records now."""
    positional = FUNCTIONS[function].positional
    given = dict(zip(positional, arguments, strict=False)) | dict(named)
    if "oracle" not in positional:
        return Made(function, given, number)
    oracle = given["oracle"]
    if not isinstance(oracle, RecordingOracle | RecordingEpisodicOracle):
        recording = RecordingEpisodicOracle if FUNCTIONS[function].is_layered else RecordingOracle
        oracle = given["oracle"] = recording(oracle)
    return Made(function, given, number, oracle, len(oracle.queries))


def in_words(made: Made) -> Call:
    """Return a call in words."""
    arguments = {name: short(value) for name, value in made.arguments.items()}
    return Call(made.function, arguments, made.number, queried(made.queries))


def queried(queries: list[Query]) -> str:
    """Return queries in a few words: one after another, or added up if there are many."""
    runs = [(text, len(list(group))) for text, group in groupby(map(_query_text, queries))]
    if len(runs) > MOST_QUERIES:
        samples, states, counts = Counter[str](), Counter[str](), Counter[str]()
        for query in queries:
            samples[query.name] += query.samples
            states[query.name] += 0 if query.states is None else query.states
            counts[query.name] += 1
        sums = {name: [(samples[name], "samples"), (states[name], "states")] for name in counts}
        texts = {name: ", ".join(f"{total} {what}" for total, what in each if total) for name, each in sums.items()}
        runs = [(f"{name} ({texts[name]})" if texts[name] else name, count) for name, count in counts.items()]
    return ", ".join(text + (f" x{count}" if count > 1 else "") for text, count in runs)


def _query_text(query: Query) -> str:
    match query.answer:
        case SearchResult() as found:
            end = "accepted" if found.responses is not None else "none accepted"
            return f"{query.name} (tries: {found.tries} of at most {query.arguments[1]}, {end})"
        case Trials() as trials:
            tries = f"tries: {query.samples} of at most {query.arguments[2]} in each"
            return f"{query.name} (states: {query.states}, {tries}, {int((trials.actions >= 0).sum())} accepted)"
        case Drawn() | Tallies():
            return f"{query.name} (states: {query.states}, samples: {query.samples})"
        case Counts() | Responses() if query.samples:
            return f"{query.name} {query.samples}"
    return query.name if query.states is None else f"{query.name} (states: {query.states})"


def transcript_lines(made: Made) -> tuple[str, ...]:
    """Return a call as the messages of docs/protocol.md, one JSON object a line, whatever kind of subject it was.

    Answers of more than 4000 characters, and the middle of more than 1000 lines, are left out, and a line says so.
    """
    lines = [_line({"seq": made.number, **message}) for message in _messages(made)]
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        left_out = json.dumps({"seq": made.number, "left_out": f"{len(lines) - 2 * half} messages"})
        lines = [*lines[:half], left_out, *lines[-half:]]
    return tuple(lines)


def _messages(made: Made) -> Iterator[dict[str, Any]]:
    facts = LAYERED_FACTS if isinstance(made.oracle, RecordingEpisodicOracle) else FACTS
    oracle = {} if made.oracle is None else {"oracle": {name: getattr(made.oracle, name) for name in facts}}
    sent = {name: value for name, value in made.arguments.items() if name != "oracle"}
    yield {"run": made.function, "arguments": sent | oracle}
    for query in made.queries:
        names = signature(getattr(made.oracle, query.name)).parameters
        values = query.arguments if query.prompt is None else (query.prompt, *query.arguments)
        given = {name: value for name, value in zip(names, values, strict=False) if value is not None}
        yield {"ask": query.name, **given}
        yield {"answer": query.answer}
    yield dict(made.outcome)


def _line(message: Mapping[str, Any]) -> str:
    shown = {}
    for key, value in message.items():
        try:
            text = encode_line({key: value}).decode()
            shown[key] = json.loads(text)[key]
        except (TypeError, ValueError):  # no data, such as a result that broke the contract
            shown[key], text = repr(value)[:LONGEST_LINE], ""
        if len(text) > (MOST_ARGUMENTS if key == "arguments" else LONGEST_LINE):
            shown[key] = f"left out: {len(text)} characters"
    return json.dumps(shown)
