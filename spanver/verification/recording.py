"""An oracle that writes down every question and answer, so that cost and order are known whoever the learner is.

The recording is a door before a door: it answers what the oracle behind it answers, and keeps no number of its own
apart from what it handed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spanver.oracle import AnyResponse, Budget, Ledger, Oracle, PrefixOracle
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

__all__ = ["Asked", "RecordingOracle", "RecordingPrefixOracle", "counted", "handed_out"]


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
