"""The oracle of the text problem: a real language model that is sampled, never enumerated.

Every answer is drawn, so it is a literal oracle: the texts drawn do not depend on how they are asked for. Their
features are computed in single precision, a question at a time, and so may differ by some 1e-6 when texts are asked
for in other batches; they are kept until the next prompt, and the same questions always give the same bits.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from spanver.kernels import precision_norms
from spanver.oracle import Budget, Ledger
from spanver.oracles.metered import LARGEST_LIST, MeteredOracle, PromptStreams
from spanver.oracles.rejection import accepted, first_accepted
from spanver.problems.families.text import TextProblem
from spanver.values import (
    Counts,
    FloatArray,
    IntArray,
    Prompt,
    RejectionRule,
    ResponseId,
    Responses,
    Rule,
    SearchResult,
)

__all__ = ["TextSource", "text_oracle"]

_BLOCK = 32  # texts are dear, so blocks that read ahead start at what a round of phase 1 draws


def text_oracle(
    problem: TextProblem, *, seed: int, budget: Budget | None = None, ledger: Ledger | None = None, prompts: int = 0
) -> MeteredOracle:
    """Oracle of the text problem; weak sampling only.

    Parameters
    ----------
    problem : TextProblem
    seed : int
    budget : Budget, optional
    ledger, prompts
        What was answered, and how many prompts were handed out, before; for an oracle that goes on.
    """
    return MeteredOracle(TextSource(problem), seed=seed, budget=budget, ledger=ledger, prompts=prompts)


class TextSource:
    """A `Source` that samples the base model of a text problem."""

    strong = False
    largest_count = LARGEST_LIST

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
        self._kept.clear()
        position = int(np.searchsorted(self._cumulative, uniform * self._cumulative[-1], side="right"))
        return self._problem.prompts[min(position, len(self._problem.prompts) - 1)]

    def draw(self, prompt: Prompt, count: int, streams: PromptStreams, theta: FloatArray | None) -> Responses:
        """Draw responses one by one; the door refuses strong sampling."""
        return self._responses(prompt, self._texts(prompt, streams.responses.take(count * self._width)))

    def draw_counts(self, prompt: Prompt, count: int, streams: PromptStreams) -> Counts:
        """Draw one by one and count."""
        texts = self._texts(prompt, streams.responses.take(count * self._width))
        totals = Counter(texts)
        return Counts(self._responses(prompt, list(totals)), np.array(list(totals.values())))

    def draw_until(self, prompt: Prompt, rule: Rule, limit: int, streams: PromptStreams) -> SearchResult:
        """Draw until the rule accepts."""
        per_try = rule.samples_per_try

        def hits(uniforms: FloatArray) -> IntArray:
            features = self._features(prompt, self._texts(prompt, uniforms))
            if isinstance(rule, RejectionRule):
                return accepted(rule, self.beta, features, streams)
            return np.flatnonzero(precision_norms(features[0::2] - features[1::2], rule.precision) > rule.nu)

        uniforms, tries = first_accepted(streams, per_try * self._width, limit, hits, block=_BLOCK)
        return SearchResult(None if uniforms is None else self._responses(prompt, self._texts(prompt, uniforms)), tries)

    def known(self, prompt: Prompt, response: ResponseId) -> bool:
        """Whether a guess is a text, one that can be written down."""
        return isinstance(response, str) and response.encode(errors="ignore").decode() == response

    def reward(self, prompt: Prompt, response: ResponseId, streams: PromptStreams) -> float:
        """Return the reward, which has no noise."""
        streams.rewards.take(2)
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
        if fresh:
            for text, features in zip(fresh, self._problem.features(str(prompt), fresh), strict=True):
                self._kept[prompt, text] = features
        return np.array([self._kept[prompt, text] for text in texts])

    def _responses(self, prompt: Prompt, texts: list[str]) -> Responses:
        return Responses(tuple(texts), self._features(prompt, texts))

    def _mean_reward(self, prompt: Prompt, response: ResponseId) -> float:
        texts = [str(response)]
        features = self._features(prompt, texts) if self._problem.reward == "projected" else None
        return float(self._problem.mean_rewards(str(prompt), texts, features=features)[0])
