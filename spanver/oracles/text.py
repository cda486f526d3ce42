"""The oracle of the text problem: a real language model that is sampled, never enumerated.

Every answer is drawn, so it is a literal oracle. Features of a text are computed when it is first drawn, and kept.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from spanver.kernels import precision_norms
from spanver.oracle import Budget, Ledger, QuestionRefusedError
from spanver.oracles.door import Door, Luck
from spanver.oracles.scan import accepted, first_hit
from spanver.problems.text import TextProblem
from spanver.values import Counts, FloatArray, Found, IntArray, Prompt, ResponseId, Responses, Rule, Trial

__all__ = ["TextSource", "text_oracle"]

_KEPT_TEXTS = 1 << 16
_BLOCK = 32  # texts are dear, so blocks that read ahead start at what a round of phase 1 draws


def text_oracle(
    problem: TextProblem, *, seed: int, budget: Budget | None = None, ledger: Ledger | None = None, prompts: int = 0
) -> Door:
    """Oracle of the text problem; weak sampling only.

    Parameters
    ----------
    problem : TextProblem
    seed : int
    budget : Budget, optional
    ledger, prompts
        What was answered, and how many prompts were handed out, before; for an oracle that goes on.
    """
    return Door(TextSource(problem), seed=seed, budget=budget, ledger=ledger, prompts=prompts)


class TextSource:
    """A `Source` that samples the base model of a text problem."""

    def __init__(self, problem: TextProblem) -> None:
        self._problem = problem
        self.dimension = problem.dimension
        self.beta = problem.beta
        self.radius = problem.radius
        self.reward_range = problem.reward_range
        self._cumulative = np.cumsum(problem.prompt_law)
        self._width = problem.uniforms_per_response
        self._kept: dict[tuple[Prompt, str], FloatArray] = {}

    def prompt(self, uniform: float) -> Prompt:
        """Return the prompt at this quantile."""
        position = int(np.searchsorted(self._cumulative, uniform * self._cumulative[-1], side="right"))
        return self._problem.prompts[min(position, len(self._problem.prompts) - 1)]

    def draw(self, prompt: Prompt, count: int, luck: Luck, theta: FloatArray | None) -> Responses:
        """Draw responses one by one."""
        if theta is not None:
            msg = "strong sampling is not offered by the text oracle: its policies have no computable normaliser"
            raise QuestionRefusedError(msg)
        return self._responses(prompt, self._texts(prompt, luck.responses.take(count * self._width)))

    def draw_counts(self, prompt: Prompt, count: int, luck: Luck) -> Counts:
        """Draw one by one and count."""
        texts = self._texts(prompt, luck.responses.take(count * self._width))
        totals = Counter(texts)
        return Counts(self._responses(prompt, list(totals)), np.array(list(totals.values())))

    def draw_until(self, prompt: Prompt, rule: Rule, limit: int, luck: Luck) -> Found:
        """Draw until the rule accepts."""
        per_try = rule.samples_per_try

        def hits(uniforms: FloatArray, acceptance: FloatArray) -> IntArray:
            features = self._features(prompt, self._texts(prompt, uniforms))
            if isinstance(rule, Trial):
                return accepted(rule, self.beta, features, acceptance)
            return np.flatnonzero(precision_norms(features[0::2] - features[1::2], rule.precision) > rule.nu)

        uniforms, tries = first_hit(luck, per_try * self._width, limit, hits, block=_BLOCK)
        return Found(None if uniforms is None else self._responses(prompt, self._texts(prompt, uniforms)), tries)

    def known(self, prompt: Prompt, response: ResponseId) -> bool:
        """Whether a guess is a text."""
        return isinstance(response, str)

    def reward(self, prompt: Prompt, response: ResponseId, luck: Luck) -> float:
        """Return the reward, which has no noise."""
        luck.rewards.take(2)
        return self._mean_reward(prompt, response)

    def preference(self, prompt: Prompt, first: ResponseId, second: ResponseId) -> float:
        """Difference of rewards."""
        return self._mean_reward(prompt, first) - self._mean_reward(prompt, second)

    def size(self, prompt: Prompt) -> int | None:
        """Nothing: sequences are not enumerated."""
        return None

    def listing(self, prompt: Prompt) -> Responses:
        """Never called, as there is no size."""
        raise NotImplementedError

    def _texts(self, prompt: Prompt, uniforms: FloatArray) -> list[str]:
        return self._problem.draw(str(prompt), uniforms.reshape(-1, self._width))

    def _features(self, prompt: Prompt, texts: list[str]) -> FloatArray:
        fresh = [text for text in dict.fromkeys(texts) if (prompt, text) not in self._kept]
        if len(self._kept) + len(fresh) > _KEPT_TEXTS:
            self._kept.clear()
            fresh = list(dict.fromkeys(texts))
        if fresh:
            for text, features in zip(fresh, self._problem.features(str(prompt), fresh), strict=True):
                self._kept[prompt, text] = features
        return np.array([self._kept[prompt, text] for text in texts])

    def _responses(self, prompt: Prompt, texts: list[str]) -> Responses:
        return Responses(tuple(texts), self._features(prompt, texts))

    def _mean_reward(self, prompt: Prompt, response: ResponseId) -> float:
        return float(self._problem.mean_rewards(str(prompt), [str(response)])[0])
