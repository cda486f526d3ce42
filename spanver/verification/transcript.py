"""An oracle that writes down every question and answer, so that cost and order are known whoever the learner is.

The recording is a door before a door: it answers what the oracle behind it answers, and keeps no number of its own
apart from what it handed out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import numpy as np

from spanver.oracle import AnyResponse, Budget, Ledger, Oracle, PrefixOracle
from spanver.oracles import literal_oracle
from spanver.oracles.metered import MeteredOracle
from spanver.problems.tabular import TabularProblem
from spanver.values import (
    Counts,
    FloatArray,
    Prefix,
    Prompt,
    RejectionRule,
    Response,
    ResponseId,
    Responses,
    Rule,
    SearchResult,
    UncertainPairRule,
)

__all__ = [
    "GENEROUS_BUDGET",
    "Asked",
    "RecordingOracle",
    "RecordingPrefixOracle",
    "Round",
    "counted",
    "data_of",
    "fresh_oracles",
    "handed_out",
    "rounds_of",
]


@dataclass(frozen=True, eq=False, slots=True)
class Asked:
    """One question and its answer.

    Attributes
    ----------
    question : str
        Name of the question.
    prompt : int, str or Prefix
        The prompt or prefix that it was about; for the question `prompt`, the one that was handed out.
    arguments : tuple
        In the order of the question.
    answer : object
    """

    question: str
    prompt: Any
    arguments: tuple[Any, ...]
    answer: Any

    @property
    def samples(self) -> int:
        """Samples handed out in the answer (section 2 of mathematics.md)."""
        match self.answer:
            case Responses():
                return len(self.answer) if self.question == "sample" else 0
            case Counts():
                return sum(map(int, self.answer.counts))
            case SearchResult():
                rule: Rule = self.arguments[0]
                return self.answer.tries * rule.samples_per_try
        return 0

    @property
    def rewards(self) -> int:
        """Rewards and labels handed out in the answer."""
        return int(self.question in ("reward", "compare"))


class RecordingOracle:
    """An `Oracle` that keeps the record of another.

    Parameters
    ----------
    oracle : Oracle
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._asked: list[Asked] = []

    @property
    def asked(self) -> list[Asked]:
        """Everything asked so far, in order."""
        return list(self._asked)

    @property
    def dimension(self) -> int:
        """As of the oracle behind."""
        return self._oracle.dimension

    @property
    def beta(self) -> float:
        """As of the oracle behind."""
        return self._oracle.beta

    @property
    def radius(self) -> float:
        """As of the oracle behind."""
        return self._oracle.radius

    @property
    def reward_range(self) -> float:
        """As of the oracle behind."""
        return self._oracle.reward_range

    @property
    def ledger(self) -> Ledger:
        """As of the oracle behind."""
        return self._oracle.ledger

    @property
    def budget(self) -> Budget:
        """As of the oracle behind."""
        return self._oracle.budget

    def prompt(self) -> Prompt:
        """Draw a prompt."""
        prompt = self._oracle.prompt()
        self._asked.append(Asked("prompt", prompt, (), prompt))
        return prompt

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        """Draw responses."""
        answer = self._oracle.sample(prompt, count, theta=theta)
        return self._kept("sample", prompt, (count, theta), answer)

    def sample_counts(self, prompt: Prompt, count: int) -> Counts:
        """Draw many responses and count them."""
        return self._kept("sample_counts", prompt, (count,), self._oracle.sample_counts(prompt, count))

    def sample_until(self, prompt: Prompt, rule: UncertainPairRule | RejectionRule, limit: int) -> SearchResult:
        """Draw until the rule accepts."""
        return self._kept("sample_until", prompt, (rule, limit), self._oracle.sample_until(prompt, rule, limit))

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Ask for a reward."""
        return self._kept("reward", prompt, (_identity(response),), self._oracle.reward(prompt, response))

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Ask for a label."""
        answer = self._oracle.compare(prompt, first, second)
        return self._kept("compare", prompt, (_identity(first), _identity(second)), answer)

    def enumerate(self, prompt: Prompt) -> Responses:
        """List all responses."""
        return self._kept("enumerate", prompt, (), self._oracle.enumerate(prompt))

    def _kept(self, question: str, prompt: Prompt, arguments: tuple[Any, ...], answer: Any) -> Any:
        self._asked.append(Asked(question, prompt, arguments, answer))
        return answer


class RecordingPrefixOracle:
    """A `PrefixOracle` that keeps the record of another.

    Parameters
    ----------
    oracle : PrefixOracle
    """

    def __init__(self, oracle: PrefixOracle) -> None:
        self._oracle = oracle
        self._asked: list[Asked] = []

    @property
    def asked(self) -> list[Asked]:
        """Everything asked so far, in order; `prompt` is the prefix."""
        return list(self._asked)

    @property
    def dimension(self) -> int:
        """As of the oracle behind."""
        return self._oracle.dimension

    @property
    def beta(self) -> float:
        """As of the oracle behind."""
        return self._oracle.beta

    @property
    def radius(self) -> float:
        """As of the oracle behind."""
        return self._oracle.radius

    @property
    def reward_range(self) -> float:
        """As of the oracle behind."""
        return self._oracle.reward_range

    @property
    def ledger(self) -> Ledger:
        """As of the oracle behind."""
        return self._oracle.ledger

    def prompt(self) -> Prefix:
        """Draw a prompt."""
        return self._kept("prompt", None, (), self._oracle.prompt())

    def sample(self, prefix: Prefix, count: int) -> Responses:
        """Draw tokens."""
        return self._kept("sample", prefix, (count,), self._oracle.sample(prefix, count))

    def sample_counts(self, prefix: Prefix, count: int) -> Counts:
        """Draw many tokens and count them."""
        return self._kept("sample_counts", prefix, (count,), self._oracle.sample_counts(prefix, count))

    def sample_until(self, prefix: Prefix, rule: Rule, limit: int) -> SearchResult:
        """Draw until the rule accepts."""
        return self._kept("sample_until", prefix, (rule, limit), self._oracle.sample_until(prefix, rule, limit))

    def reward(self, sequence: Prefix) -> float:
        """Ask for a reward."""
        return self._kept("reward", sequence, (), self._oracle.reward(sequence))

    def _kept(self, question: str, prefix: Prefix | None, arguments: tuple[Any, ...], answer: Any) -> Any:
        self._asked.append(Asked(question, answer if prefix is None else prefix, arguments, answer))
        return answer


def handed_out(asked: list[Asked]) -> set[tuple[Prompt, ResponseId]]:
    """Prompts and ids of all responses that were answers."""
    found: set[tuple[Prompt, ResponseId]] = set()
    for entry in asked:
        match entry.answer:
            case Responses() as responses:
                found |= {(entry.prompt, each) for each in responses.ids}
            case Counts(responses=responses):
                found |= {(entry.prompt, each) for each in responses.ids}
            case SearchResult(responses=Responses() as responses):
                found |= {(entry.prompt, each) for each in responses.ids}
    return found


def _identity(response: AnyResponse) -> ResponseId:
    return response.id if isinstance(response, Response) else response


def counted(asked: list[Asked]) -> Ledger:
    """Ledger of what was handed out, recounted answer by answer (O1)."""
    enumerated = sum(len(entry.answer) for entry in asked if entry.question == "enumerate")
    return Ledger(
        samples=sum(entry.samples for entry in asked),
        rewards=sum(entry.rewards for entry in asked),
        enumerated=enumerated,
    )


MOST_SHARED = 5 * 10**6  # samples; half of what is enough for one run


def fresh_oracles(problem: TabularProblem, seed: int) -> Iterator[MeteredOracle]:
    """Yield an oracle for each of many runs: one that they share, opened anew before a run could come to its end."""
    for index in count():
        door = literal_oracle(problem, seed=seed + index, budget=GENEROUS_BUDGET)
        while door.ledger.samples <= MOST_SHARED:
            yield door


@dataclass(frozen=True, eq=False)
class Round:
    """Everything asked about one prompt.

    Attributes
    ----------
    prompt : int
    asked : tuple of Asked
        Without the question for the prompt.
    """

    prompt: Prompt
    asked: tuple[Asked, ...]

    @property
    def rewards(self) -> list[tuple[ResponseId, float]]:
        """Responses whose rewards were asked, with their rewards."""
        return [(entry.arguments[0], entry.answer) for entry in self.asked if entry.question == "reward"]

    @property
    def samples(self) -> int:
        """Samples handed out."""
        return sum(entry.samples for entry in self.asked)

    @property
    def drawn(self) -> list[ResponseId]:
        """Responses of all plain draws, in order."""
        return [
            each
            for entry in self.asked
            if isinstance(entry.answer, Responses) and entry.question == "sample"
            for each in entry.answer.ids
        ]

    @property
    def seen(self) -> set[ResponseId]:
        """Every response that an answer named."""
        named = set(self.drawn)
        for entry in self.asked:
            responses = getattr(entry.answer, "responses", None)
            if responses is not None:
                named |= set(responses.ids)
        return named

    @property
    def searches(self) -> list[tuple[UncertainPairRule, int, SearchResult]]:
        """Compressed searches for an uncertain pair: rule, limit and answer."""
        return [
            (entry.arguments[0], entry.arguments[1], entry.answer)
            for entry in self.asked
            if entry.question == "sample_until" and isinstance(entry.arguments[0], UncertainPairRule)
        ]


def rounds_of(asked: list[Asked]) -> list[Round]:
    """Split a record into rounds."""
    starts = [position for position, entry in enumerate(asked) if entry.question == "prompt"]
    return [Round(asked[start].prompt, tuple(asked[start + 1 : end])) for start, end in pairwise([*starts, len(asked)])]


def data_of(problem: TabularProblem, rounds: list[Round]) -> tuple[FloatArray, FloatArray]:
    """Regression data of all rounds that asked two rewards: relative features (n, d), and reward differences (n,)."""
    vectors, targets = [], []
    for each in rounds:
        if len(each.rewards) == 2:
            (one, first), (two, second) = each.rewards
            features = problem.features[int(each.prompt)]
            vectors.append(features[int(one)] - features[int(two)])
            targets.append(first - second)
    return np.array(vectors, dtype=np.float64).reshape(-1, problem.dimension), np.array(targets, dtype=np.float64)


GENEROUS_BUDGET = Budget(samples=10**7, rewards=10**7, enumerated=10**7)
"""What no correct subject comes near on the instances of a property: whoever asks for more is stopped, and violated."""
