"""The oracle of the text problem: a real language model that is sampled, never enumerated.

Every answer is drawn, so it is a literal oracle: the texts drawn do not depend on how they are queried. Their features
are computed in single precision, a query at a time, and so may differ by some 1e-6 when texts are drawn in other
batches. They are stored until the next prompt, and the same queries always give the same bits.
"""

from __future__ import annotations

from collections import Counter
from typing import Unpack

import numpy as np

from spanver.kernels import precision_norms
from spanver.oracles.metered import LARGEST_LIST, Facts, MeteredOracle, Options, PromptStreams
from spanver.oracles.rejection import accepted, first_accepted
from spanver.problems.families.text import TextProblem
from spanver.randomness import invert
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

_BLOCK = 32  # texts are expensive, so blocks that read ahead start at what a round of phase 1 draws


def text_oracle(problem: TextProblem, *, seed: int, **options: Unpack[Options]) -> MeteredOracle:
    """Oracle of the text problem, with seed and options as of `counted_oracle`; weak sampling only."""
    source = TextSource(problem)
    return MeteredOracle(source, source, seed=seed, **options)


class TextSource:
    """A `Source` and `CompressedDraws` that sample the base model of a text problem."""

    strong = False
    largest_count = LARGEST_LIST

    def __init__(self, problem: TextProblem) -> None:
        self._problem = problem
        self.facts = Facts(problem.dimension, problem.beta, problem.radius, problem.reward_range, problem.shape)
        self._cumulative = np.cumsum(problem.prompt_law)
        self._width = problem.uniforms_per_response
        self._stored: dict[tuple[Prompt, str], FloatArray] = {}

    def prompt(self, uniform: float) -> Prompt:
        """Return the prompt at this quantile."""
        self._stored.clear()
        return self._problem.prompts[int(invert(self._cumulative, uniform))]

    def draw(self, prompt: Prompt, count: int, streams: PromptStreams, theta: FloatArray | None) -> Responses:
        """Draw responses one by one; `theta` is None, as strong sampling is not offered."""
        return self._responses(prompt, self._texts(prompt, streams.responses.take(count * self._width)))

    def anchor(self, prompt: Prompt) -> Responses:
        """Return the text whose uniforms are all 1/2, alone."""
        return self._responses(prompt, self._texts(prompt, np.full(self._width, 0.5)))

    def log_law(self, prompt: Prompt, theta: FloatArray) -> FloatArray | None:
        """None: the policies have no computable normaliser."""
        return None

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
                return accepted(rule, self.facts.beta, features, streams)
            vectors = rule.differences(features.reshape(-1, per_try, features.shape[1]))
            return np.flatnonzero(precision_norms(vectors, rule.precision) > rule.nu)

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

    def listing(self, prompt: Prompt) -> Responses | None:
        """None: sequences are not enumerated."""
        return None

    def _texts(self, prompt: Prompt, uniforms: FloatArray) -> list[str]:
        return self._problem.draw(str(prompt), uniforms.reshape(-1, self._width))

    def _features(self, prompt: Prompt, texts: list[str]) -> FloatArray:
        fresh = [text for text in dict.fromkeys(texts) if (prompt, text) not in self._stored]
        if fresh:
            for text, features in zip(fresh, self._problem.features(str(prompt), fresh), strict=True):
                self._stored[prompt, text] = features
        return np.array([self._stored[prompt, text] for text in texts])

    def _responses(self, prompt: Prompt, texts: list[str]) -> Responses:
        return Responses(tuple(texts), self._features(prompt, texts))

    def _mean_reward(self, prompt: Prompt, response: ResponseId) -> float:
        texts = [str(response)]
        features = self._features(prompt, texts) if self._problem.reward == "projected" else None
        return float(self._problem.mean_rewards(str(prompt), texts, features=features)[0])
