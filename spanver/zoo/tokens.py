"""Mutants of the values of tokens: what I5-I7 must kill.

`soft_values` is the recursion of optimal values, written anew: each step in which a mutant differs is an argument.
Unmutated it is as right as the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import logsumexp

from spanver.values import FloatArray
from spanver.zoo.mutant import Mutant, mutants_of


def _soft(base: FloatArray, q: FloatArray, beta: float) -> FloatArray:
    return np.asarray(beta * logsumexp(base + q / beta, axis=1))


def soft_values(
    layers: Sequence[FloatArray],
    rewards: FloatArray,
    beta: float,
    *,
    value: Callable[[FloatArray, FloatArray, float], FloatArray] = _soft,
) -> list[FloatArray]:
    """The recursion over layers; `value` is that of each prefix, given the base policy and the values of its tokens."""
    vocabulary_size = layers[0].shape[1]
    found = [np.asarray(rewards).reshape(-1, vocabulary_size)]
    for base in reversed(layers[1:]):
        found.append(value(base, found[-1], beta).reshape(-1, vocabulary_size))
    return found[::-1]


def _shifted_rows(layers: Sequence[FloatArray], rewards: FloatArray, beta: float) -> list[FloatArray]:
    return soft_values([layers[0], *(np.roll(layer, 1, axis=0) for layer in layers[1:])], rewards, beta)


_values = mutants_of("soft_q", "values", soft_values)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    # Each of these values breaks all of I5-I7, and is expected to be killed by one, so that all three are seen to kill.
    _values("hard", "takes maxima for the values of prefixes, which should be soft", "I5",
        value=lambda base, q, beta: q.max(axis=1)),
    _values("mean", "takes means under the base policy for the values of prefixes", "I6",
        value=lambda base, q, beta: (np.exp(base) * q).sum(axis=1)),
    _values("inverse-beta", "divides by beta outside the logarithm and multiplies inside", "I7",
        value=lambda base, q, beta: logsumexp(base + q * beta, axis=1) / beta),
    _values("no-beta", "forgets the factor beta in front of the logarithm", "I5",
        value=lambda base, q, beta: logsumexp(base + q / beta, axis=1)),
    _values("uniform-base", "weighs tokens alike in the recursion, whatever the base policy", "I6",
        value=lambda base, q, beta: _soft(np.full_like(base, -math.log(base.shape[1])), q, beta)),
    _values("unnormalised-base", "leaves the base weights out of the recursion", "I7",
        value=lambda base, q, beta: _soft(np.zeros_like(base), q, beta)),
    _values("shifted-rows", "takes for each prefix the base policy of the prefix before it", "I5", _shifted_rows),
)
"""Of `soft_q`."""
