"""Calls of a program on their way: what is sent of their arguments, and the answers to their queries."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spanver.errors import ArgumentError, SpanverError
from spanver.parameter_sets import shape_name
from spanver.subjects.contract import FUNCTIONS, Kind
from spanver.subjects.protocol import FACTS, LAYERED_FACTS, LAYERED_QUERIES, QUERIES, Query, query_of, refused_error
from spanver.validation import require


@dataclass
class PreparedCall:
    """A call on its way: its arguments as they are sent, its oracle, and why its last refused query was refused."""

    sent: dict[str, Any]
    oracle: Any = None
    queries: Mapping[str, Query] = field(default_factory=lambda: QUERIES)
    refused: SpanverError | None = None

    def query(self, message: Any) -> Callable[[Any], dict[str, Any]]:
        """Return what answers a query of the program, given the oracle of a call of this function."""
        require(isinstance(message, dict) and "ask" in message, "query", message, "an object with ask")
        require(self.oracle is not None, "ask", message["ask"], "left out: this run has no oracle")
        return query_of(message, self.queries)

    def answer(self, query: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Answer a query."""
        answered = query(self.oracle)
        if "refused" in answered:
            self.refused = refused_error(answered)
        return answered


def prepared_call(name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> PreparedCall:
    """Return a call of a function as it is sent: its oracle stays here, and its facts are sent."""
    function = FUNCTIONS[name]
    call = PreparedCall(dict(zip(function.positional, arguments, strict=True)) | dict(named))
    for key, argument in function.arguments.items():
        if argument.kind in (Kind.ORACLE, Kind.EPISODIC_ORACLE):
            call.oracle, is_layered = call.sent[key], argument.kind is Kind.EPISODIC_ORACLE
            call.queries = LAYERED_QUERIES if is_layered else QUERIES
            facts = {each: getattr(call.oracle, each) for each in (*(LAYERED_FACTS if is_layered else FACTS), "budget")}
            call.sent[key] = facts | {"shape": shape_name(call.oracle.shape)}
    return call


def answers_to(calls: Sequence[PreparedCall], message: Mapping[str, Any], known: dict[Hashable, Any]) -> dict[str, Any]:
    """Answer the queries of calls that take turns: what is the same travels once.

    Parameters
    ----------
    calls : sequence of PreparedCall
    message : mapping
        Their queries.
    known : dict
        Answers that were sent earlier in this request, in their order; those of now are added.
    """
    asks, messages = message["asks"], message.get("queries")
    require(isinstance(messages, list), "queries", messages, "a list of queries")
    assert isinstance(messages, list)
    is_listed = isinstance(asks, list) and all(isinstance(each, list) and len(each) == 2 for each in asks)
    require(is_listed, "asks", asks, "a list of pairs: the position of a call, and that of its query")
    for index, position in asks:
        for key, value, count in (("call", index, len(calls)), ("query", position, len(messages))):
            if type(value) is not int or value not in range(count):
                raise ArgumentError(key, value, f"a number below {count}")
    queries = [calls[0].query(each) for each in messages]
    values, answers = [], []
    for index, position in asks:
        answered = calls[index].answer(queries[position])
        # Answers that are one object are the same: each is kept, so that no other takes its place in memory.
        kept = len(known), answered
        at, _ = known.setdefault((messages[position]["ask"], id(answered.get("answer", answered))), kept)
        if at == kept[0]:
            values.append(answered)
        answers.append(at)
    return {"values": values, "answers": answers}
