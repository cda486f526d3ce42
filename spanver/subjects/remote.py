"""An oracle at the other end of a pipe: the harness's, for a subject; and a subject's own, for the harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from spanver.episodic import AnchoredScore, Drawn, EpisodicBudget, EpisodicLedger, States, Tallies, Trials
from spanver.oracle import AnyResponse, Budget, Ledger, Oracle
from spanver.parameter_sets import SHAPES
from spanver.subjects.protocol import FACTS
from spanver.validation import require_one_of
from spanver.values import (
    Counts,
    FloatArray,
    IntArray,
    LogProbabilities,
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


class _Remote:
    """What is known of an oracle without a query, and its ledger.

    Parameters
    ----------
    facts : mapping
        Those of `FACTS`.
    ask : Ask
    ledger : type
        Of its ledger.
    """

    def __init__(self, facts: Mapping[str, Any], ask: Ask, ledger: type[Any]) -> None:
        self.dimension: int
        self.beta: float
        self.radius: float
        self.reward_range: float
        for name in FACTS:
            setattr(self, name, facts[name])
        require_one_of("shape", facts["shape"], SHAPES)
        self.shape = SHAPES[facts["shape"]]
        self._send, self._kind = ask, ledger
        self._ledger: Any = None  # known until the next query

    @property
    def ledger(self) -> Any:
        """Number of answers so far, as the other end counts them."""
        if self._ledger is None:
            self._ledger = self._send({"ask": "ledger"}, self._kind)
        return self._ledger

    def _ask(self, query: dict[str, Any], kind: Any) -> Any:
        self._ledger = None
        return self._send(query, kind)


AskAll: TypeAlias = Callable[[Sequence[tuple[dict[str, Any], Any]]], list[Any]]
"""Sends queries, each with the kind of its answer, to oracles at the other end, and returns the answers."""


class RemoteOracle(_Remote):
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
        super().__init__(facts, ask, Ledger)
        self.budget = Budget(**facts.get("budget", {}))
        self._facts, self.ask_all = facts, ask_all

    def noting(self, asked: list[tuple[dict[str, Any], Any]]) -> RemoteOracle:
        """Return an oracle whose queries are not sent, but noted with the kinds of their answers."""
        self._ledger = None
        number = {"oracle": self._facts["oracle"]}
        return RemoteOracle(self._facts, lambda query, kind: asked.append((number | query, kind)))

    def prompt(self) -> Prompt:
        """Draw a prompt."""
        prompt: Prompt = self._ask({"ask": "prompt"}, Prompt)
        return prompt

    def anchor(self, prompt: Prompt) -> Responses:
        """Return the anchor response."""
        responses: Responses = self._ask({"ask": "anchor", "prompt": prompt}, Responses)
        return responses

    def sample_counts(self, prompt: Prompt, count: int) -> Counts:
        """Draw many responses and count them."""
        counts: Counts = self._ask({"ask": "sample_counts", "prompt": prompt, "count": count}, Counts)
        return counts

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int) -> SearchResult:
        """Draw until the rule accepts."""
        query = {"ask": "sample_until", "prompt": prompt, "rule": rule, "limit": limit}
        found: SearchResult = self._ask(query, SearchResult)
        return found

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


class RemoteEpisodicOracle(_Remote):
    """An `EpisodicOracle` whose queries travel.

    Parameters
    ----------
    facts : mapping
        Those of `LAYERED_FACTS`, and `budget`.
    ask : Ask
    """

    def __init__(self, facts: Mapping[str, Any], ask: Ask) -> None:
        super().__init__(facts, ask, EpisodicLedger)
        self.horizon: int = facts["horizon"]
        self.rewarded: tuple[bool, ...] = tuple(facts["rewarded"])
        self.anchor: int = facts["anchor"]
        self.budget = EpisodicBudget(**facts["budget"])

    def start(self, count: int) -> States:
        """Begin episodes."""
        states: States = self._ask({"ask": "start", "count": count}, States)
        return states

    def reset(self, layer: int, ids: IntArray) -> States:
        """Begin episodes at states of a layer that were issued."""
        states: States = self._ask({"ask": "reset", "layer": layer, "ids": ids}, States)
        return states

    def step(self, states: States, actions: IntArray) -> States:
        """Go on."""
        following: States = self._ask({"ask": "step", "states": states, "actions": actions}, States)
        return following

    def reward(self, states: States, actions: IntArray) -> FloatArray:
        """Draw rewards."""
        rewards: FloatArray = self._ask({"ask": "reward", "states": states, "actions": actions}, FloatArray)
        return rewards

    def feature(self, states: States, actions: IntArray) -> FloatArray:
        """Return features of actions."""
        features: FloatArray = self._ask({"ask": "feature", "states": states, "actions": actions}, FloatArray)
        return features

    def sample(self, states: States, count: int, *, theta: FloatArray | None = None) -> Drawn:
        """Draw actions."""
        query: dict[str, Any] = {"ask": "sample", "states": states, "count": count}
        if theta is not None:
            query["theta"] = theta
        drawn: Drawn = self._ask(query, Drawn)
        return drawn

    def sample_counts(self, states: States, count: int) -> Tallies:
        """Draw many actions and count them."""
        tallies: Tallies = self._ask({"ask": "sample_counts", "states": states, "count": count}, Tallies)
        return tallies

    def sample_until(self, states: States, score: AnchoredScore, log_thresholds: FloatArray, limit: int) -> Trials:
        """Draw actions until one is accepted."""
        query = {"ask": "sample_until", "states": states, "score": score}
        trials: Trials = self._ask(query | {"log_thresholds": log_thresholds, "limit": limit}, Trials)
        return trials


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
