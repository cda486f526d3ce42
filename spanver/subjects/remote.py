"""An oracle at the other end of a pipe: the harness's, for a subject; and a subject's own, for the harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeAlias

from spanver.oracle import AnyResponse, Budget, Ledger, Oracle
from spanver.parameter_sets import SHAPES
from spanver.subjects.protocol import FACTS
from spanver.validation import require_one_of
from spanver.values import (
    Counts,
    FloatArray,
    LogProbabilities,
    Place,
    Prefix,
    Prompt,
    ResponseId,
    Responses,
    Rule,
    SearchResult,
    identity_of,
)


class Ask(Protocol):
    """Sends a query to the other end, and returns the answer as a value of a kind, or raises why it was refused."""

    def __call__(self, query: dict[str, Any], kind: Any) -> Any:
        """Ask: the query is `ask` with its arguments."""
        ...


class _Remote(Generic[Place]):
    """A `SamplingOracle` whose queries travel.

    Parameters
    ----------
    facts : mapping
        Those of `FACTS`, and `budget`.
    place : type
        Of what `prompt` returns.
    ask : Ask
    """

    def __init__(self, facts: Mapping[str, Any], place: Any, ask: Ask) -> None:
        self.dimension: int
        self.beta: float
        self.radius: float
        self.reward_range: float
        for name in FACTS:
            setattr(self, name, facts[name])
        require_one_of("shape", facts["shape"], SHAPES)
        self.shape = SHAPES[facts["shape"]]
        self.budget = Budget(**facts.get("budget", {}))
        self._place, self._send = place, ask
        self._ledger: Ledger | None = None  # known until the next query

    @property
    def ledger(self) -> Ledger:
        """Number of answers so far, as the other end counts them."""
        if self._ledger is not None:
            return self._ledger
        ledger: Ledger = self._send({"ask": "ledger"}, Ledger)
        self._ledger = ledger
        return ledger

    def _ask(self, query: dict[str, Any], kind: Any) -> Any:
        self._ledger = None
        return self._send(query, kind)

    def prompt(self) -> Place:
        """Draw a prompt."""
        place: Place = self._ask({"ask": "prompt"}, self._place)
        return place

    def anchor(self, prompt: Place) -> Responses:
        """Return the anchor response."""
        responses: Responses = self._ask({"ask": "anchor", "prompt": prompt}, Responses)
        return responses

    def sample_counts(self, prompt: Place, count: int) -> Counts:
        """Draw many responses and count them."""
        counts: Counts = self._ask({"ask": "sample_counts", "prompt": prompt, "count": count}, Counts)
        return counts

    def sample_until(self, prompt: Place, rule: Rule, limit: int) -> SearchResult:
        """Draw until the rule accepts."""
        found: SearchResult = self._ask(
            {"ask": "sample_until", "prompt": prompt, "rule": rule, "limit": limit}, SearchResult
        )
        return found


AskAll: TypeAlias = Callable[[Sequence[tuple[dict[str, Any], Any]]], list[Any]]
"""Sends queries, each with the kind of its answer, to oracles at the other end, and returns the answers."""


class RemoteOracle(_Remote[Prompt]):
    """An `Oracle` whose queries travel.

    Parameters
    ----------
    facts : mapping
        Those of `FACTS`, `budget`, and for an oracle of the other end its number there, `oracle`.
    ask : Ask
    ask_all : AskAll, optional
        Asks several oracles of the other end.
    """

    def __init__(self, facts: Mapping[str, Any], ask: Ask, ask_all: AskAll | None = None) -> None:
        super().__init__(facts, Prompt, ask)
        self._facts, self.ask_all = facts, ask_all

    def noting(self, asked: list[tuple[dict[str, Any], Any]]) -> RemoteOracle:
        """Return an oracle whose queries are not sent, but noted with the kinds of their answers."""
        self._ledger = None
        number = {"oracle": self._facts["oracle"]}
        return RemoteOracle(self._facts, lambda query, kind: asked.append((number | query, kind)))

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        """Draw responses."""
        query: dict[str, Any] = {"ask": "sample", "prompt": prompt, "count": count}
        if theta is not None:
            query["theta"] = theta
        responses: Responses = self._ask(query, Responses)
        return responses

    def sample_log_probabilities(self, prompt: Prompt, count: int, theta: FloatArray) -> LogProbabilities:
        """Draw responses with their log probabilities."""
        query = {"ask": "sample_log_probabilities", "prompt": prompt, "count": count, "theta": theta}
        drawn: LogProbabilities = self._ask(query, LogProbabilities)
        return drawn

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Draw a reward."""
        reward: float = self._ask({"ask": "reward", "prompt": prompt, "response": identity_of(response)}, float)
        return reward

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Draw a label."""
        named: dict[str, ResponseId] = {"first": identity_of(first), "second": identity_of(second)}
        label: bool = self._ask({"ask": "compare", "prompt": prompt} | named, bool)
        return label

    def enumerate(self, prompt: Prompt) -> Responses:
        """List all responses."""
        responses: Responses = self._ask({"ask": "enumerate", "prompt": prompt}, Responses)
        return responses


class RemotePrefixOracle(_Remote[Prefix]):
    """A `PrefixOracle` whose queries travel."""

    def __init__(self, facts: Mapping[str, Any], ask: Ask) -> None:
        super().__init__(facts, Prefix, ask)

    def sample(self, prefix: Prefix, count: int) -> Responses:
        """Draw tokens."""
        responses: Responses = self._ask({"ask": "sample", "prompt": prefix, "count": count}, Responses)
        return responses

    def reward(self, sequence: Prefix) -> float:
        """Draw a reward."""
        reward: float = self._ask({"ask": "reward", "sequence": sequence}, float)
        return reward


def ask_all(asked: Sequence[tuple[Oracle, Callable[[Oracle], Any]]]) -> list[Any]:
    """Return the answers to queries that do not wait for each other's answers; behind a pipe they travel together.

    Parameters
    ----------
    asked : sequence of (Oracle, callable)
        An oracle, and what makes one query of it and returns the answer: `methodcaller("sample", prompt, 2)`. Each
        oracle gets its queries in this order. Oracles behind a pipe are all of one program.
    """
    noted: list[tuple[dict[str, Any], Any]] = []
    noting: dict[int, RemoteOracle] = {}
    send: AskAll | None = None
    for oracle, query in asked:
        if not isinstance(oracle, RemoteOracle) or oracle.ask_all is None:
            return [query(each) for each, query in asked]
        if id(oracle) not in noting:
            noting[id(oracle)], send = oracle.noting(noted), oracle.ask_all
        query(noting[id(oracle)])
    return send(noted) if send else []
