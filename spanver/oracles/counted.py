"""The counted oracle of a table: exact in distribution and in cost, without drawing what is only counted `[ours]`.

The number of tries until the first uncertain pair is geometric with the exact hit probability, and the pair has the
exact conditional distribution. Many draws are one multinomial. The number of trials until acceptance is geometric again
(mathematics.md, section 2). So the work of a query depends on `|Y|` and not on how many samples it stands for:
coverage `2^40` takes the time of `2^4`. That its runs have the law of literal runs is itself a guarantee (O2).
"""

from __future__ import annotations

import math
from typing import Unpack

import numpy as np
from numpy.random import Generator

from spanver.kernels import precision_norms, uncertain_mask
from spanver.oracles.metered import LARGEST_COUNT, MeteredOracle, Options, PromptStreams
from spanver.oracles.table import Table
from spanver.problems.tabular import TabularProblem
from spanver.randomness import invert
from spanver.values import Counts, FloatArray, IntArray, Prompt, RejectionRule, Rule, SearchResult, UncertainPairRule

_BLOCK_ROWS = 256


def counted_oracle(
    problem: TabularProblem,
    *,
    seed: int,
    full_table: bool = False,
    log_probabilities: bool = False,
    **options: Unpack[Options],
) -> MeteredOracle:
    """Oracle of a table whose compressed queries cost the same whatever they stand for; else as `literal_oracle`."""
    table = Table(problem, full_table=full_table, log_probabilities=log_probabilities)
    return MeteredOracle(table, CountedDraws(table), seed=seed, **options)


class CountedDraws:
    """`CompressedDraws` of a table from their exact distribution."""

    largest_count = LARGEST_COUNT

    def __init__(self, table: Table) -> None:
        self._table = table
        # Rare responses first: the multinomial then conditions on little, and keeps their law to full precision.
        self._supports = [_by_probability(log_base) for log_base in table.problem.log_base]
        self._pairs_of: tuple[bytes, float] = (b"", 0.0)
        self._pairs: dict[Prompt, FloatArray] = {}

    def draw_counts(self, prompt: Prompt, count: int, streams: PromptStreams) -> Counts:
        """Draw the counts of all responses at once."""
        support, probabilities = self._supports[int(prompt)]
        totals = streams.aggregate.multinomial(count, probabilities)
        drawn = np.flatnonzero(totals)
        drawn = drawn[np.argsort(support[drawn])]  # by id: the order says nothing of the base policy
        return Counts(self._table.responses(prompt, support[drawn]), totals[drawn])

    def draw_until(self, prompt: Prompt, rule: Rule, limit: int, streams: PromptStreams) -> SearchResult:
        """Draw the number of tries, and then the try that the rule accepted."""
        support, probabilities = self._supports[int(prompt)]
        features = self._table.problem.features[int(prompt)][support]
        if isinstance(rule, RejectionRule):
            log_acceptance = np.minimum(0.0, rule.score.of(features) / self._table.facts.beta - rule.log_threshold)
            masses = probabilities * np.exp(log_acceptance)
        elif rule.anchor is not None:
            norms = precision_norms(features - rule.anchor, rule.precision)
            masses = probabilities * (norms > rule.nu)
        else:
            masses = self._pair_masses(prompt, rule, features, probabilities)
        tries = geometric(float(masses.sum()), limit, streams.aggregate)
        if tries is None:
            return SearchResult(None, limit)
        chosen = [_choose(masses, streams.aggregate)]
        if isinstance(rule, UncertainPairRule) and rule.anchor is None:
            norms = precision_norms(features[chosen[0]] - features, rule.precision)
            # Norms in exact ties with nu may round either way here and in the mask; the longest is then the partner.
            chosen.append(_choose(probabilities * (norms > min(rule.nu, norms.max() * (1 - 1e-12))), streams.aggregate))
        return SearchResult(self._table.responses(prompt, support[chosen]), tries)

    def _pair_masses(
        self, prompt: Prompt, rule: UncertainPairRule, features: FloatArray, probabilities: FloatArray
    ) -> FloatArray:
        """Probability of each first response with an uncertain second one, stored while the rule is the same."""
        key = (rule.precision.tobytes(), rule.nu)
        if key != self._pairs_of:
            self._pairs_of, self._pairs = key, {}
        if prompt not in self._pairs:
            blocks = (features[start : start + _BLOCK_ROWS] for start in range(0, len(features), _BLOCK_ROWS))
            partners = [uncertain_mask(block, features, rule.precision, rule.nu) @ probabilities for block in blocks]
            self._pairs[prompt] = probabilities * np.concatenate(partners)
        return self._pairs[prompt]


def geometric(probability: float, limit: int, generator: Generator) -> int | None:
    """Number of independent tries up to and including the first success, or None if it is above `limit`.

    By inversion in logs, so that small probabilities keep their digits, up to the 2^-53 grain of the uniform number.
    """
    if probability <= 0.0:
        return None
    uniform = 1.0 - generator.random()
    if probability >= 1.0:
        return 1
    tries = math.log(uniform) / math.log1p(-probability)
    return None if tries > limit else max(1, math.ceil(tries))


def _by_probability(log_base: FloatArray) -> tuple[IntArray, FloatArray]:
    support = np.flatnonzero(log_base > -np.inf)
    support = support[np.argsort(log_base[support], kind="stable")]
    probabilities = np.exp(log_base[support])
    return support, probabilities / probabilities.sum()


def _choose(masses: FloatArray, generator: Generator) -> int:
    return int(invert(np.cumsum(masses), generator.random()))
