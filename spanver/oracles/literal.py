"""The literal oracle of a table: every answer is drawn, in a path that does not depend on how it is queried.

The same randomness gives the same responses when they are drawn one by one, in batches, or until a rule accepts.
"""

from __future__ import annotations

from typing import Unpack

import numpy as np

from spanver.kernels import precision_norms
from spanver.oracles.metered import MeteredOracle, Options, PromptStreams
from spanver.oracles.rejection import accepted, first_accepted
from spanver.oracles.table import Table
from spanver.problems.tabular import TabularProblem
from spanver.values import Counts, FloatArray, IntArray, Prompt, RejectionRule, Rule, SearchResult, UncertainPairRule

_COUNTED_TOGETHER = 1 << 16  # draws that are only counted need not be in memory at once
_WHITEN_FROM = 256  # pairs in a block, from which whitening the whole table of a prompt pays


def literal_oracle(
    problem: TabularProblem,
    *,
    seed: int,
    full_table: bool = False,
    log_probabilities: bool = False,
    **options: Unpack[Options],
) -> MeteredOracle:
    """Oracle of a table that draws every answer; offers strong sampling.

    Parameters
    ----------
    problem : TabularProblem
    seed : int
        Of the oracle's randomness; the learner has its own.
    full_table : bool
        Whether it answers `enumerate` (T6 only).
    log_probabilities : bool
        Whether it answers `sample_log_probabilities`: the generalised oracle of the paper (Definition C.1, p. 28), for
        which the paper does not claim T1's lower bound.
    **options
        As of `spanver.oracles.metered.Options`: `budget`, `ledger`, `prompts`.
    """
    table = Table(problem, full_table=full_table, log_probabilities=log_probabilities)
    return MeteredOracle(table, LiteralDraws(table), seed=seed, **options)


class LiteralDraws:
    """`CompressedDraws` of a table that are drawn one by one."""

    largest_count = 2**40  # beyond that, drawing one by one does not end

    def __init__(self, table: Table) -> None:
        self._table = table
        self._whitened = Whitened(table.problem)

    def draw_counts(self, prompt: Prompt, count: int, streams: PromptStreams) -> Counts:
        """Draw one by one and count."""
        law, responses = self._table.base[int(prompt)], self._table.problem.responses
        totals = np.zeros(responses, dtype=np.int64)
        for start in range(0, count, _COUNTED_TOGETHER):
            drawn = law(streams.responses.take(min(_COUNTED_TOGETHER, count - start)))
            totals += np.bincount(drawn, minlength=responses)
        drawn = np.flatnonzero(totals)
        return Counts(self._table.responses(prompt, drawn), totals[drawn])

    def draw_until(self, prompt: Prompt, rule: Rule, limit: int, streams: PromptStreams) -> SearchResult:
        """Draw until the rule accepts."""
        law = self._table.base[int(prompt)]
        features = self._table.problem.features[int(prompt)]

        def hits(uniforms: FloatArray) -> IntArray:
            drawn = law(uniforms)
            if isinstance(rule, RejectionRule):
                return accepted(rule, self._table.facts.beta, features[drawn[:, 0]], streams)
            return self._uncertain(rule, prompt, drawn)

        uniforms, tries = first_accepted(streams, rule.samples_per_try, limit, hits)
        return SearchResult(None if uniforms is None else self._table.responses(prompt, law(uniforms)), tries)

    def _uncertain(self, rule: UncertainPairRule, prompt: Prompt, pairs: IntArray) -> IntArray:
        """Positions of the uncertain pairs among indices of what was drawn for each, shape (n, samples)."""
        if len(pairs) < _WHITEN_FROM or rule.anchor is not None:
            features = self._table.problem.features[int(prompt)]
            norms: FloatArray = precision_norms(rule.differences(features[pairs]), rule.precision)
            return np.flatnonzero(norms > rule.nu)
        whitened = self._whitened.at(rule, prompt)
        # `take` gathers rows at half the price of indexing with an array.
        vectors = whitened.take(pairs[:, 0], axis=0)
        vectors -= whitened.take(pairs[:, 1], axis=0)
        return np.flatnonzero(np.einsum("ij,ij->i", vectors, vectors) > rule.nu**2)


class Whitened:
    """Features of a prompt in which elliptic norms are Euclidean, stored while the rule stays the same.

    Stored for one rule at a time: rules change only when a pair is accepted.
    """

    def __init__(self, problem: TabularProblem) -> None:
        self._features = problem.features
        self._precision = b""
        self._factor: FloatArray = np.empty((0, 0))
        self._stored: dict[Prompt, FloatArray] = {}

    def at(self, rule: UncertainPairRule, prompt: Prompt) -> FloatArray:
        """Whitened features, shape (Y, d)."""
        key = rule.precision.tobytes()
        if key != self._precision:
            # Eigenvectors rather than Cholesky's factor: a precision on the edge of definiteness is no error here.
            eigenvalues, vectors = np.linalg.eigh(rule.precision)
            self._precision, self._stored = key, {}
            self._factor = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
        if prompt not in self._stored:
            self._stored[prompt] = self._features[int(prompt)] @ self._factor
        return self._stored[prompt]
