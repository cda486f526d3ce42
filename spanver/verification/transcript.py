"""An oracle that records every query with its answer, so that cost and order are known whatever the learner does.

A recording answers what the oracle behind it answers, and stores nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

import numpy as np

from spanver.episodic import (
    AnchoredScore,
    Drawn,
    EpisodicBudget,
    EpisodicLedger,
    EpisodicOracle,
    States,
    Tallies,
    Trials,
)
from spanver.errors import BudgetExceededError, NotJudgedError
from spanver.oracle import AnyResponse, Budget, Ledger, Oracle
from spanver.oracles.counted import CountedDraws
from spanver.oracles.literal import LiteralDraws
from spanver.oracles.metered import CompressedDraws, MeteredOracle
from spanver.oracles.proper import Exploration
from spanver.oracles.table import Table
from spanver.problems.tabular import TabularProblem
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
    UncertainPairRule,
    identity_of,
)

Answer = TypeVar("Answer")
Recorded = TypeVar("Recorded", Oracle, EpisodicOracle)


def _actions_drawn(answer: Drawn | Tallies | Trials) -> int:
    match answer:
        case Drawn():
            return int(answer.actions.size)
        case Tallies():
            return sum(answer.counts.tolist())  # not of NumPy: it may pass 2**63
        case Trials():
            return sum(answer.tries.tolist())


@dataclass(frozen=True, eq=False, slots=True)
class Query:
    """One query and its answer.

    Attributes
    ----------
    name : str
        Name of the query: the method that was called.
    prompt : object
        The prompt or the states that it was about; for the query `prompt`, the one that was issued.
    arguments : tuple
        In the order of the method.
    answer : object
    """

    name: str
    prompt: Any
    arguments: tuple[Any, ...]
    answer: Any

    @property
    def samples(self) -> int:
        """Samples in the answer (section 2 of mathematics.md)."""
        match self.answer:
            case Drawn() | Tallies() | Trials():
                return _actions_drawn(self.answer)
            case Responses():
                return len(self.answer) if self.name in ("sample", "anchor") else 0
            case Counts():
                return sum(map(int, self.answer.counts))
            case LogProbabilities():
                return len(self.answer.responses)
            case SearchResult():
                rule: Rule = self.arguments[0]
                return self.answer.tries * rule.samples_per_try
        return 0

    @property
    def states(self) -> int | None:
        """States that it was about, of an oracle of layers; None of an oracle of prompts."""
        batch = self.prompt if isinstance(self.prompt, States) else self.answer
        return len(batch) if isinstance(batch, States) else None

    @property
    def rewards(self) -> int:
        """Rewards and labels in the answer."""
        return int(self.name in ("reward", "compare"))


class _Recording(Generic[Recorded]):
    """Records the queries to an oracle and its answers, and the last one past the budget."""

    def __init__(self, oracle: Recorded) -> None:
        self._oracle: Recorded = oracle
        self.dimension, self.beta = oracle.dimension, oracle.beta
        self.radius, self.shape, self.reward_range = oracle.radius, oracle.shape, oracle.reward_range
        self._queries: list[Query] = []
        self.refused: BudgetExceededError | None = None

    @property
    def queries(self) -> list[Query]:
        """All queries so far, in order."""
        return list(self._queries)

    def _record(self, name: str, prompt: Any, arguments: tuple[Any, ...], ask: Callable[[], Answer]) -> Answer:
        try:
            answer = ask()
        except BudgetExceededError as error:
            self.refused = error
            raise
        self._queries.append(Query(name, prompt, arguments, answer))
        return answer


class RecordingOracle(_Recording[Oracle]):
    """An `Oracle` that records the queries to another and its answers."""

    @property
    def ledger(self) -> Ledger:
        """As of the recorded oracle."""
        return self._oracle.ledger

    @property
    def budget(self) -> Budget:
        """As of the recorded oracle."""
        return self._oracle.budget

    def prompt(self) -> Prompt:
        """Draw a prompt."""
        prompt: Prompt = self._oracle.prompt()
        self._queries.append(Query("prompt", prompt, (), prompt))
        return prompt

    def anchor(self, prompt: Prompt) -> Responses:
        """Return the anchor response."""
        return self._record("anchor", prompt, (), lambda: self._oracle.anchor(prompt))

    def sample_counts(self, prompt: Prompt, count: int) -> Counts:
        """Draw many times and count."""
        return self._record("sample_counts", prompt, (count,), lambda: self._oracle.sample_counts(prompt, count))

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int) -> SearchResult:
        """Draw until the rule accepts."""
        return self._record(
            "sample_until", prompt, (rule, limit), lambda: self._oracle.sample_until(prompt, rule, limit)
        )

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        """Draw responses."""
        return self._record("sample", prompt, (count, theta), lambda: self._oracle.sample(prompt, count, theta=theta))

    def sample_log_probabilities(self, prompt: Prompt, count: int, theta: FloatArray) -> LogProbabilities:
        """Draw responses with their log probabilities."""
        arguments = (count, theta)
        return self._record(
            "sample_log_probabilities",
            prompt,
            arguments,
            lambda: self._oracle.sample_log_probabilities(prompt, *arguments),
        )

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Draw a reward."""
        return self._record("reward", prompt, (identity_of(response),), lambda: self._oracle.reward(prompt, response))

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Draw a label."""
        named = (identity_of(first), identity_of(second))
        return self._record("compare", prompt, named, lambda: self._oracle.compare(prompt, first, second))

    def enumerate(self, prompt: Prompt) -> Responses:
        """List all responses."""
        return self._record("enumerate", prompt, (), lambda: self._oracle.enumerate(prompt))


class RecordingEpisodicOracle(_Recording[EpisodicOracle]):
    """An `EpisodicOracle` that records the queries to another and its answers; `prompt` is what each is about.

    That is the batch of states; of `start` None, and of `reset` the layer.
    """

    def __init__(self, oracle: EpisodicOracle) -> None:
        super().__init__(oracle)
        self.horizon, self.rewarded, self.anchor = oracle.horizon, oracle.rewarded, oracle.anchor

    @property
    def ledger(self) -> EpisodicLedger:
        """As of the recorded oracle."""
        return self._oracle.ledger

    @property
    def budget(self) -> EpisodicBudget:
        """As of the recorded oracle."""
        return self._oracle.budget

    def start(self, count: int) -> States:
        """Begin episodes."""
        return self._record("start", None, (count,), lambda: self._oracle.start(count))

    def reset(self, layer: int, ids: IntArray) -> States:
        """Begin episodes at states that were issued."""
        return self._record("reset", layer, (ids,), lambda: self._oracle.reset(layer, ids))

    def step(self, states: States, actions: IntArray) -> States:
        """Go on."""
        return self._record("step", states, (actions,), lambda: self._oracle.step(states, actions))

    def reward(self, states: States, actions: IntArray) -> FloatArray:
        """Draw rewards."""
        return self._record("reward", states, (actions,), lambda: self._oracle.reward(states, actions))

    def feature(self, states: States, actions: IntArray) -> FloatArray:
        """Return features of actions."""
        return self._record("feature", states, (actions,), lambda: self._oracle.feature(states, actions))

    def sample(self, states: States, count: int, *, theta: FloatArray | None = None) -> Drawn:
        """Draw actions."""
        return self._record("sample", states, (count, theta), lambda: self._oracle.sample(states, count, theta=theta))

    def sample_counts(self, states: States, count: int) -> Tallies:
        """Draw many actions and count them."""
        return self._record("sample_counts", states, (count,), lambda: self._oracle.sample_counts(states, count))

    def sample_until(self, states: States, score: AnchoredScore, log_thresholds: FloatArray, limit: int) -> Trials:
        """Draw actions until one is accepted."""
        arguments = (score, log_thresholds, limit)
        return self._record("sample_until", states, arguments, lambda: self._oracle.sample_until(states, *arguments))


def issued(queries: list[Query]) -> set[tuple[Prompt, ResponseId]]:
    """Prompts and ids of all responses that were answers."""
    found: set[tuple[Prompt, ResponseId]] = set()
    for query in queries:
        match query.answer:
            case Responses() | Counts() | LogProbabilities() | SearchResult() as answer:
                found |= {(query.prompt, each) for each in _ids(answer)}
    return found


def _ids(answer: Responses | Counts | LogProbabilities | SearchResult) -> tuple[ResponseId, ...]:
    responses = answer if isinstance(answer, Responses) else answer.responses
    return () if responses is None else responses.ids


def first_improper(queries: list[Query]) -> tuple[Query, ResponseId] | None:
    """First query about rewards that is not proper, with the response that was not drawn for it (H0); or None."""
    exploration = Exploration(0)
    for query in queries:
        if query.name in ("sample", "sample_log_probabilities"):
            exploration.draw(query.prompt, query.arguments[1], _ids(query.answer))
        if query.name in ("reward", "compare"):
            for response in query.arguments:
                if not exploration.query(query.prompt, response):
                    return query, response
    return None


def recount(queries: list[Query]) -> Ledger:
    """Ledger of a record, counted anew answer by answer (O1)."""
    return Ledger(
        samples=sum(query.samples for query in queries),
        rewards=sum(query.rewards for query in queries),
        enumerated=sum(len(query.answer) for query in queries if query.name == "enumerate"),
    )


def episodic_recount(queries: list[Query]) -> EpisodicLedger:
    """Ledger of the record of an oracle of layers, counted anew answer by answer (O1)."""
    kinds = {"feature": "features", "reward": "rewards", "reset": "resets"}
    kinds |= {"start": "transitions", "step": "transitions"}
    answered: Counter[str] = Counter(samples=sum(query.samples for query in queries))
    for query in queries:
        if query.name in kinds:
            answered[kinds[query.name]] += len(query.answer)
    return EpisodicLedger(**answered)


def independent_oracles(
    problem: TabularProblem, seed: int, *, counted: bool = False
) -> Callable[[int], RecordingOracle]:
    """Return what makes a recorded oracle for each of many runs: of one table, each with randomness of its own.

    Literal oracles have a generous budget; counted ones, whose answers stand for any number of draws, have none.
    """
    table = Table(problem)
    draws: CompressedDraws = CountedDraws(table) if counted else LiteralDraws(table)
    budget = None if counted else GENEROUS_BUDGET

    def made(index: int) -> RecordingOracle:
        return RecordingOracle(MeteredOracle(table, draws, seed=seed + index, budget=budget))

    return made


@dataclass(frozen=True, eq=False)
class Round:
    """All queries after one prompt was drawn, and before the next.

    Attributes
    ----------
    prompt : int
    queries : tuple of Query
        Without the query `prompt`.
    """

    prompt: Prompt
    queries: tuple[Query, ...]

    @property
    def rewards(self) -> list[tuple[ResponseId, float]]:
        """Responses whose rewards were drawn, with their rewards."""
        return [(query.arguments[0], query.answer) for query in self.queries if query.name == "reward"]

    @property
    def labels(self) -> list[tuple[ResponseId, ResponseId, bool]]:
        """Pairs that were compared, with their labels."""
        return [(*query.arguments, query.answer) for query in self.queries if query.name == "compare"]

    @property
    def samples(self) -> int:
        """Samples in the answers."""
        return sum(query.samples for query in self.queries)

    @property
    def drawn(self) -> list[ResponseId]:
        """Responses of all plain draws, in order."""
        return [each for query in self.queries if query.name == "sample" for each in query.answer.ids]

    @property
    def seen(self) -> set[ResponseId]:
        """Every response that an answer named, apart from listings of all."""
        return {response for _, response in issued([query for query in self.queries if query.name != "enumerate"])}

    @property
    def elsewhere(self) -> list[Query]:
        """Queries about another prompt."""
        return [query for query in self.queries if query.prompt != self.prompt]

    @property
    def searches(self) -> list[tuple[UncertainPairRule, int, SearchResult]]:
        """Compressed searches for an uncertain pair: rule, limit and answer."""
        return [
            (query.arguments[0], query.arguments[1], query.answer)
            for query in self.queries
            if query.name == "sample_until" and isinstance(query.arguments[0], UncertainPairRule)
        ]


def rounds_of(queries: list[Query]) -> list[Round]:
    """Split a record into rounds.

    Raises
    ------
    NotJudgedError
        If what is of which round does not show: prompts were drawn ahead of the queries about them, or rewards or
        labels were asked for in a later round.
    """
    starts = [position for position, query in enumerate(queries) if query.name == "prompt"]
    ends = pairwise([*starts, len(queries)])
    rounds = [Round(queries[start].prompt, tuple(queries[start + 1 : end])) for start, end in ends]
    mixed = [each for each in rounds if each.elsewhere or len(each.rewards) > 2 or len(each.labels) > 1]
    if mixed and not all(each.queries for each in rounds):
        raise NotJudgedError("prompts are drawn ahead of the queries about them: what is of which round does not show")
    if mixed and _are_rewarded_later(rounds):
        raise NotJudgedError("rewards or labels are asked for in a later round: what is of which round does not show")
    return rounds


def _are_rewarded_later(rounds: list[Round]) -> bool:
    """Whether all rewards and labels are of pairs of their own round, or of an earlier one that was not asked about."""
    waiting: list[Round] = []
    for each in rounds:
        waiting.append(each)
        rewards = [query for query in each.queries if query.name == "reward"]
        if len(rewards) % 2 or any(query.name not in ("reward", "compare") for query in each.elsewhere):
            return False
        asked = [(query,) for query in each.queries if query.name == "compare"]
        for queries in (*asked, *zip(rewards[::2], rewards[1::2], strict=True)):
            prompts = {query.prompt for query in queries}
            pair = {response for query in queries for response in query.arguments}
            drawn = [past for past in waiting if prompts == {past.prompt} and pair <= past.seen]
            if not drawn:
                return False
            waiting.remove(drawn[0])
    return True


def data_of(problem: TabularProblem, rounds: list[Round]) -> tuple[FloatArray, FloatArray]:
    """Regression data of all rounds with two rewards: relative features (n, d), and reward differences (n,)."""
    vectors, targets = [], []
    for each in rounds:
        if len(each.rewards) == 2:
            (one, first), (two, second) = each.rewards
            features = problem.features[int(each.prompt)]
            vectors.append(features[int(one)] - features[int(two)])
            targets.append(first - second)
    return np.array(vectors, dtype=np.float64).reshape(-1, problem.dimension), np.array(targets, dtype=np.float64)


def labels_of(problem: TabularProblem, rounds: list[Round]) -> tuple[FloatArray, FloatArray]:
    """Labels of all rounds as data of a fit: relative features (n, d), and 1 where the first is preferred, else -1."""
    vectors, labels = [], []
    for each in rounds:
        features = problem.features[int(each.prompt)]
        for one, two, preferred in each.labels:
            vectors.append(features[int(one)] - features[int(two)])
            labels.append(1.0 if preferred else -1.0)
    return np.array(vectors, dtype=np.float64).reshape(-1, problem.dimension), np.array(labels, dtype=np.float64)


GENEROUS_BUDGET = Budget(samples=10**7, rewards=10**7, enumerated=10**7)
"""Far above the needs of a correct subject on the instances of a property: a subject that exceeds it is violated."""
