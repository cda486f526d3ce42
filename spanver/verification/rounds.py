"""What a learner did, read off the record of its questions: round by round, and without asking the learner.

A round is what was asked between one prompt and the next. Its *data* are the pair of responses whose rewards were
asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np

from spanver.oracles import literal_oracle
from spanver.oracles.metered import MeteredOracle
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray, Prompt, ResponseId, Responses, SearchResult, UncertainPairRule
from spanver.verification.check import ENOUGH
from spanver.verification.recording import Asked

__all__ = ["Round", "data_of", "fresh_oracles", "rounds_of"]

MOST_SHARED = 5 * 10**6  # samples; half of what is enough for one run


def fresh_oracles(problem: TabularProblem, seed: int) -> Iterator[MeteredOracle]:
    """Yield an oracle for each of many runs: one that they share, opened anew before a run could come to its end."""
    for index in count():
        door = literal_oracle(problem, seed=seed + index, budget=ENOUGH)
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
