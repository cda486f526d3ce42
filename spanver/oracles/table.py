"""Shared by both oracles of a table: single draws, rewards and listings; compressed queries differ.

Prompts, single draws, rewards and labels are drawn by inversion of the cumulative distribution, from the same streams
in both. They differ in their `CompressedDraws`: `LiteralDraws` draws every try, `CountedDraws` does not.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from spanver.kernels import log_softmax
from spanver.oracles.metered import Facts, PromptStreams
from spanver.problems.tabular import TabularProblem
from spanver.randomness import invert
from spanver.values import FloatArray, IntArray, Prompt, ResponseId, Responses

_FEW = 2  # responses of one answer, up to which answers are kept
_KEPT = 1 << 12  # of them


class Table:
    """A `Source` of a table.

    Parameters
    ----------
    problem : TabularProblem
    full_table : bool
        Whether all responses may be listed.
    log_probabilities : bool
        Whether the probabilities of what is drawn are told.
    """

    strong = True

    def __init__(self, problem: TabularProblem, *, full_table: bool = False, log_probabilities: bool = False) -> None:
        self.problem, self._told = problem, log_probabilities
        self.facts = Facts(
            problem.dimension, float(problem.beta), float(problem.radius), float(problem.reward_range), problem.shape
        )
        self.base = tuple(Inversion(log_base) for log_base in problem.log_base)
        self._full_table = full_table
        self._prompts = Inversion(_log(problem.prompt_law))
        self._strong: tuple[bytes, dict[Prompt, tuple[Inversion, FloatArray]]] = (b"", {})
        # Most responses are drawn one by one or in pairs, and the same ones again and again.
        self._few = lru_cache(_KEPT)(self._made)

    def prompt(self, uniform: float) -> Prompt:
        """Return the prompt at this quantile."""
        return int(self._prompts(np.array([uniform]))[0])

    def draw(self, prompt: Prompt, count: int, streams: PromptStreams, theta: FloatArray | None) -> Responses:
        """Draw responses one by one."""
        law = self.base[int(prompt)] if theta is None else self._strong_law(prompt, theta)[0]
        uniforms = streams.responses.take(count)
        if count <= _FEW:
            return self._few(prompt, tuple(map(law.at, uniforms.tolist())))
        return self.responses(prompt, law(uniforms))

    def anchor(self, prompt: Prompt) -> Responses:
        """Return the anchor response, alone."""
        return self._few(prompt, (int(self.problem.anchors[int(prompt)]),))

    def responses(self, prompt: Prompt, indices: IntArray) -> Responses:
        """Responses with these indices."""
        features = self.problem.features[int(prompt)].take(indices, axis=0)
        features.setflags(write=False)
        return Responses(tuple(indices.tolist()), features)

    def _made(self, prompt: Prompt, indices: tuple[int, ...]) -> Responses:
        features = self.problem.features[int(prompt)].take(indices, axis=0)
        # On bytes, so that nobody can make an answer writeable that others get too.
        return Responses(indices, np.frombuffer(features.tobytes()).reshape(features.shape))

    def log_law(self, prompt: Prompt, theta: FloatArray) -> FloatArray | None:
        """`log pi_theta` of all responses, where probabilities are told."""
        return self._strong_law(prompt, theta)[1] if self._told else None

    def known(self, prompt: Prompt, response: ResponseId) -> bool:
        """Whether a guess names a response of the table."""
        return isinstance(response, int) and 0 <= response < self.problem.responses

    def reward(self, prompt: Prompt, response: ResponseId, streams: PromptStreams) -> float:
        """Draw a noisy reward."""
        mean = float(self.problem.reward[int(prompt), int(response)])
        is_noisy, quantile = streams.rewards.take(2)
        if is_noisy >= self.problem.noise:
            return mean
        low, length = float(self.problem.reward_low[int(prompt)]), self.facts.reward_range
        return low + length * float(quantile < (mean - low) / length)

    def preference(self, prompt: Prompt, first: ResponseId, second: ResponseId) -> float:
        """Difference of mean rewards."""
        reward = self.problem.reward[int(prompt)]
        return float(reward[int(first)] - reward[int(second)])

    def listing(self, prompt: Prompt) -> Responses | None:
        """All responses, in the full-table model."""
        return self.responses(prompt, np.arange(self.problem.responses)) if self._full_table else None

    def _strong_law(self, prompt: Prompt, theta: FloatArray) -> tuple[Inversion, FloatArray]:
        """Draws from `pi_theta`, and its log probabilities, shape (Y,)."""
        if self._strong[0] != theta.tobytes():
            self._strong = (theta.tobytes(), {})
        laws = self._strong[1]
        if prompt not in laws:
            scores = self.problem.features[int(prompt)] @ theta
            log_law = log_softmax(self.problem.log_base[int(prompt)], scores, self.problem.beta)
            laws[prompt] = Inversion(log_law), log_law
        return laws[prompt]


class Inversion:
    """Map uniforms to indices of a finite distribution, given in logs; what has no probability is never drawn.

    The same as `invert`, for many draws from one distribution: a table says where each of many equal steps begins, so
    that most uniforms need no search.
    """

    def __init__(self, log_law: FloatArray) -> None:
        self._support = np.flatnonzero(log_law > -np.inf)
        cumulative = np.cumsum(np.exp(log_law[self._support]))
        cumulative /= cumulative[-1]
        self._cumulative = cumulative
        self._last = int(cumulative.searchsorted(1.0))  # rounding may reach the total before the end
        # A power of two, so that scaling a uniform number rounds nothing.
        self._steps = 4 << (len(cumulative) - 1).bit_length()
        self._begins = invert(cumulative, np.arange(self._steps) / self._steps)

    def __call__(self, uniforms: FloatArray) -> IntArray:
        """Indices at these quantiles, in the same shape."""
        positions = self._begins.take((uniforms * self._steps).astype(np.int64))
        behind = np.flatnonzero(self._cumulative.take(positions) <= uniforms)
        if len(behind) > 0:
            flat = positions.reshape(-1)
            flat[behind] = invert(self._cumulative, uniforms.reshape(-1)[behind])
        return self._support.take(positions)

    def at(self, uniform: float) -> int:
        """Index at one quantile."""
        position = int(self._cumulative.searchsorted(uniform, side="right"))
        return int(self._support[min(position, self._last)])


def _log(probabilities: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(probabilities)
