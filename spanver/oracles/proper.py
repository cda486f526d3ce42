"""Proper exploration (FMR25 Definition 4.1, p. 10): each reward queried is that of a response drawn for it.

The response comes from `pi_theta` for one `theta` of the class, which may depend on the prompt and on everything seen
before. `Exploration` follows a run and finds that parameter for every reward; `ProperOracle` answers proper learners
alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spanver.errors import QuestionRefusedError
from spanver.oracle import AnyResponse, Oracle
from spanver.values import FloatArray, LogProbabilities, Prompt, ResponseId, Responses, identity_of


@dataclass(slots=True)
class _Drawn:
    """One answer of a draw: its prompt and parameter, and the responses whose reward was not queried."""

    prompt: Prompt
    theta: FloatArray
    left: list[ResponseId]


class Exploration:
    """The draws of a run, and which of their rewards were queried.

    Parameters
    ----------
    dimension : int
        `d`; the base policy has the parameter 0.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._drawn: list[_Drawn] = []
        self.parameters: list[FloatArray] = []
        """Of every reward queried, in order."""

    def draw(self, prompt: Prompt, theta: FloatArray | None, responses: Iterable[ResponseId]) -> None:
        """Note a draw from `pi_theta`, or from the base policy."""
        parameter = np.zeros(self._dimension) if theta is None else np.array(theta, dtype=np.float64)
        self._drawn.append(_Drawn(prompt, parameter, list(responses)))

    def query(self, prompt: Prompt, response: ResponseId) -> bool:
        """Note that a reward was queried, and return whether properly: of a draw that had none yet, the latest."""
        for each in reversed(self._drawn):
            if each.prompt == prompt and response in each.left:
                each.left.remove(response)
                self.parameters.append(each.theta)
                return True
        return False


class ProperOracle:
    """An oracle that answers reward queries of proper exploration alone, and notes their parameters.

    Parameters
    ----------
    oracle : Oracle
        That answers.

    Attributes
    ----------
    exploration : Exploration
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.exploration = Exploration(oracle.dimension)

    def __getattr__(self, name: str) -> Any:
        """All that is not about single draws, as the oracle has it."""
        return getattr(self._oracle, name)

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        """Draw responses."""
        drawn = self._oracle.sample(prompt, count, theta=theta)
        self.exploration.draw(prompt, theta, drawn.ids)
        return drawn

    def sample_log_probabilities(self, prompt: Prompt, count: int, theta: FloatArray) -> LogProbabilities:
        """Draw responses with their log probabilities, which proper learners may see (FMR25, p. 60)."""
        told = self._oracle.sample_log_probabilities(prompt, count, theta)
        self.exploration.draw(prompt, theta, told.responses.ids)
        return told

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Draw a reward.

        Raises
        ------
        QuestionRefusedError
            For a response that was not drawn, or whose reward was queried since.
        """
        if not self.exploration.query(prompt, identity_of(response)):
            msg = (
                f"the reward of response {identity_of(response)!r} is no proper query (FMR25 Definition 4.1): "
                "no draw of it is left whose reward was not queried"
            )
            raise QuestionRefusedError(msg)
        return self._oracle.reward(prompt, response)

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Refuse.

        Raises
        ------
        QuestionRefusedError
            Proper exploration is defined, and Lemma H.1 proved, for rewards.
        """
        msg = "comparisons are not offered by this oracle: proper exploration is defined for rewards"
        raise QuestionRefusedError(msg)
