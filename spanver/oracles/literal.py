"""The literal oracle of a table: every answer is drawn, in a path that does not depend on how it is asked for.

The same randomness gives the same responses to whoever asks one by one, in batches, or until a rule accepts.
"""

from __future__ import annotations

import numpy as np

from spanver.kernels import log_softmax, precision_norms
from spanver.oracle import Budget, Ledger
from spanver.oracles.metered import MeteredOracle, PromptStreams
from spanver.oracles.rejection import accepted, first_accepted
from spanver.problems.tabular import TabularProblem
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
    UncertainPairRule,
)

__all__ = ["Inversion", "LiteralTable", "literal_oracle"]


def literal_oracle(
    problem: TabularProblem,
    *,
    seed: int,
    budget: Budget | None = None,
    full_table: bool = False,
    ledger: Ledger | None = None,
    prompts: int = 0,
) -> MeteredOracle:
    """Oracle of a table that draws every answer; offers strong sampling.

    Parameters
    ----------
    problem : TabularProblem
    seed : int
    budget : Budget, optional
    full_table : bool
        Answer `enumerate` (T6 only).
    ledger, prompts
        What was answered, and how many prompts were handed out, before; for an oracle that goes on.
    """
    return MeteredOracle(
        LiteralTable(problem, full_table=full_table), seed=seed, budget=budget, ledger=ledger, prompts=prompts
    )


class LiteralTable:
    """A `Source` that draws from a table by inversion of the cumulative law."""

    strong = True
    largest_count = 2**40  # beyond that, drawing one by one does not end

    def __init__(self, problem: TabularProblem, *, full_table: bool) -> None:
        self._problem = problem
        self._full_table = full_table
        self.dimension = problem.dimension
        self.beta = float(problem.beta)
        self.radius = float(problem.radius)
        self.reward_range = float(problem.reward_range)
        self._prompt_law = Inversion(_log(problem.prompt_law))
        self._laws = [Inversion(log_base) for log_base in problem.log_base]
        self._strong: tuple[bytes, dict[Prompt, Inversion]] = (b"", {})
        self._whitened = Whitened(problem)

    def prompt(self, uniform: float) -> Prompt:
        """Return the prompt at this quantile."""
        return int(self._prompt_law(np.array([uniform]))[0])

    def draw(self, prompt: Prompt, count: int, streams: PromptStreams, theta: FloatArray | None) -> Responses:
        """Draw responses one by one."""
        law = self._laws[int(prompt)] if theta is None else self._strong_law(prompt, theta)
        return self._responses(prompt, law(streams.responses.take(count)))

    def draw_counts(self, prompt: Prompt, count: int, streams: PromptStreams) -> Counts:
        """Draw one by one and count."""
        law = self._laws[int(prompt)]
        totals = np.zeros(self._problem.responses, dtype=np.int64)
        for start in range(0, count, _COUNTED_TOGETHER):
            drawn = law(streams.responses.take(min(_COUNTED_TOGETHER, count - start)))
            totals += np.bincount(drawn, minlength=self._problem.responses)
        drawn = np.flatnonzero(totals)
        return Counts(self._responses(prompt, drawn), totals[drawn])

    def draw_until(self, prompt: Prompt, rule: Rule, limit: int, streams: PromptStreams) -> SearchResult:
        """Draw until the rule accepts."""
        law = self._laws[int(prompt)]
        features = self._problem.features[int(prompt)]

        def hits(uniforms: FloatArray) -> IntArray:
            drawn = law(uniforms)
            if isinstance(rule, RejectionRule):
                return accepted(rule, self.beta, features[drawn[:, 0]], streams)
            return self._uncertain(rule, prompt, drawn)

        uniforms, tries = first_accepted(streams, rule.samples_per_try, limit, hits)
        return SearchResult(None if uniforms is None else self._responses(prompt, law(uniforms)), tries)

    def _uncertain(self, rule: UncertainPairRule, prompt: Prompt, pairs: IntArray) -> IntArray:
        """Positions of the uncertain pairs among pairs of indices, shape (n, 2)."""
        if len(pairs) < _WHITEN_FROM:
            features = self._problem.features[int(prompt)]
            norms: FloatArray = precision_norms(features[pairs[:, 0]] - features[pairs[:, 1]], rule.precision)
            return np.flatnonzero(norms > rule.nu)
        whitened = self._whitened.at(rule, prompt)
        # `take` gathers rows at half the price of indexing with an array.
        vectors = whitened.take(pairs[:, 0], axis=0)
        vectors -= whitened.take(pairs[:, 1], axis=0)
        return np.flatnonzero(np.einsum("ij,ij->i", vectors, vectors) > rule.nu**2)

    def known(self, prompt: Prompt, response: ResponseId) -> bool:
        """Whether a guess names a response of the table."""
        return isinstance(response, int) and 0 <= response < self._problem.responses

    def reward(self, prompt: Prompt, response: ResponseId, streams: PromptStreams) -> float:
        """Draw a noisy reward."""
        problem = self._problem
        mean = float(problem.reward[int(prompt), int(response)])
        is_noisy, quantile = streams.rewards.take(2)
        if is_noisy >= problem.noise:
            return mean
        low = float(problem.reward_low[int(prompt)])
        return low + self.reward_range * float(quantile < (mean - low) / self.reward_range)

    def preference(self, prompt: Prompt, first: ResponseId, second: ResponseId) -> float:
        """Difference of mean rewards."""
        reward = self._problem.reward[int(prompt)]
        return float(reward[int(first)] - reward[int(second)])

    def size(self, prompt: Prompt) -> int | None:
        """Number of all responses, in the full-table model."""
        return self._problem.responses if self._full_table else None

    def listing(self, prompt: Prompt) -> Responses:
        """All responses."""
        return self._responses(prompt, np.arange(self._problem.responses))

    def _responses(self, prompt: Prompt, indices: IntArray) -> Responses:
        features = self._problem.features[int(prompt)].take(indices, axis=0)
        features.setflags(write=False)
        return Responses(tuple(indices.tolist()), features)

    def _strong_law(self, prompt: Prompt, theta: FloatArray) -> Inversion:
        if self._strong[0] != theta.tobytes():
            self._strong = (theta.tobytes(), {})
        laws = self._strong[1]
        if prompt not in laws:
            scores = self._problem.features[int(prompt)] @ theta
            laws[prompt] = Inversion(log_softmax(self._problem.log_base[int(prompt)], scores, self.beta))
        return laws[prompt]


_COUNTED_TOGETHER = 1 << 16  # draws that are only counted need not be in memory at once
_WHITEN_FROM = 256  # pairs in a block, from which whitening the whole table of a prompt pays


class Inversion:
    """Map uniforms to indices of a finite law, given in logs; what has no probability is never drawn.

    The inverse of the cumulative law, found from a table of where each of many equal steps begins: most uniforms are
    there at once, and the few others walk on.
    """

    def __init__(self, log_law: FloatArray) -> None:
        self._support = np.flatnonzero(log_law > -np.inf)
        cumulative = np.cumsum(np.exp(log_law[self._support]))
        cumulative /= cumulative[-1]
        self._cumulative = cumulative
        # A power of two, so that scaling a uniform number rounds nothing.
        self._steps = 4 << (len(cumulative) - 1).bit_length()
        self._begins = np.searchsorted(cumulative, np.arange(self._steps) / self._steps, side="right")

    def __call__(self, uniforms: FloatArray) -> IntArray:
        """Indices of the law at these quantiles, in the same shape."""
        positions = self._begins.take((uniforms * self._steps).astype(np.int64))
        behind = np.flatnonzero(self._cumulative.take(positions) <= uniforms)
        if len(behind) > 0:
            flat = positions.reshape(-1)
            flat[behind] = np.searchsorted(self._cumulative, uniforms.reshape(-1)[behind], side="right")
        return self._support.take(positions)


class Whitened:
    """Features of a prompt in which elliptic norms are Euclidean, kept while the rule stays the same.

    Kept for one rule at a time: rules change only when a pair is accepted.
    """

    def __init__(self, problem: TabularProblem) -> None:
        self._features = problem.features
        self._precision = b""
        self._factor: FloatArray = np.empty((0, 0))
        self._kept: dict[Prompt, FloatArray] = {}

    def at(self, rule: UncertainPairRule, prompt: Prompt) -> FloatArray:
        """Whitened features, shape (Y, d)."""
        key = rule.precision.tobytes()
        if key != self._precision:
            # Eigenvectors rather than Cholesky's factor: a precision on the edge of definiteness is no error here.
            eigenvalues, vectors = np.linalg.eigh(rule.precision)
            self._precision, self._kept = key, {}
            self._factor = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
        if prompt not in self._kept:
            self._kept[prompt] = self._features[int(prompt)] @ self._factor
        return self._kept[prompt]


def _log(probabilities: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(probabilities)
