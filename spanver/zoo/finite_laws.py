"""Mutants of samplers of finite laws: what R6 and R7 must kill.

Many draw rightly from a wrong law. That law is a function of the array that is passed, so that how far it is from the
right one is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count as counter
from types import MappingProxyType
from typing import Any

import numpy as np

from spanver.randomness import stream
from spanver.subjects.finite_laws import draw, draw_batch, draw_distinct, draw_logits, draw_weights
from spanver.values import FloatArray, IntArray
from spanver.zoo.mutant import Mutant, mutants_of

_calls = counter()


def read_on(array: FloatArray) -> FloatArray:
    """The numbers that follow the first one in memory, in the order of rows, whatever the strides of the array."""
    strides = np.empty(array.shape, dtype=array.dtype).strides
    return np.asarray(np.lib.stride_tricks.as_strided(array, strides=strides), dtype=np.float64)


def _normalised(masses: FloatArray) -> FloatArray:
    return masses / masses.sum(axis=-1, keepdims=True)


def _relative_to_first(law: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return _normalised(np.nan_to_num(law / law[0], posinf=1.0))


def _single_precision(law: FloatArray) -> FloatArray:
    sums = np.cumsum(law, dtype=np.float32).astype(np.float64)
    return np.diff(sums, prepend=0.0) / sums[-1]


def _smoothed(law: FloatArray) -> FloatArray:
    possible = law > 0.0
    return 0.9118 * law + 0.0882 * possible / possible.sum()


def _on_a_grid(law: FloatArray) -> FloatArray:
    found = np.searchsorted(np.cumsum(law), np.arange(256) / 256)
    return np.bincount(np.minimum(found, len(law) - 1), minlength=len(law)) / 256


def _by_aliases(law: FloatArray, first: int = 0) -> FloatArray:
    """Law of Walker's table of aliases, whose columns are counted from `first`."""
    size = len(law)
    share, alias = law * size, np.arange(size)
    small, large = list(np.flatnonzero(share < 1.0)), list(np.flatnonzero(share >= 1.0))
    while small and large:
        less, more = small.pop(), large.pop()
        alias[less] = (more + first) % size
        share[more] -= 1.0 - share[less]
        (small if share[more] < 1.0 else large).append(more)
    kept = np.minimum(share, 1.0)
    return (kept + np.bincount(alias, 1.0 - kept, minlength=size)) / size


def _unpaid(law: FloatArray) -> FloatArray:
    size = len(law)
    share, alias = law * size, np.arange(size)
    small, large = np.flatnonzero(share < 1.0), np.flatnonzero(share >= 1.0)
    alias[small] = np.resize(large, len(small))
    kept = np.minimum(share, 1.0)
    return (kept + np.bincount(alias, 1.0 - kept, minlength=size)) / size


WRONG_LAWS: Mapping[str, tuple[str, Callable[[FloatArray], FloatArray]]] = MappingProxyType(
    {
        "uniform": ("draws all outcomes alike", lambda law: np.full(len(law), 1.0 / len(law))),
        "squared": ("squares probabilities", lambda law: _normalised(law**2)),
        "by-rank": ("returns ranks for outcomes", lambda law: np.sort(law)[::-1]),
        "off-by-one": ("counts outcomes from 1", lambda law: np.roll(law, 1)),
        "without-last": ("never draws the last outcome", lambda law: np.concatenate([law[:-2], [law[-2:].sum(), 0.0]])),
        "relative-to-first": ("takes odds relative to the first outcome, which may be impossible", _relative_to_first),
        "contiguous": ("reads a view as if its numbers followed one another", lambda law: _normalised(read_on(law))),
        "single-precision": ("sums probabilities in single precision", _single_precision),
        "smoothed": ("mixes in outcomes drawn alike, .05 where one outcome has .9", _smoothed),
        "coarse-grid": ("inverts at one of 256 numbers, zero among them", _on_a_grid),
        "unpaid-aliases": ("lets columns of the table of aliases keep what they gave to others", _unpaid),
        "aliases-from-one": ("counts the aliases of its table from 1", lambda law: _by_aliases(law, 1)),
    }
)
"""What mutants of `draw` that draw rightly from a wrong law do, and that law, by the ends of their names."""


def _drawn(wrong: Callable[[FloatArray], FloatArray]) -> Callable[..., IntArray]:
    return lambda probabilities, count, seed: draw(wrong(probabilities), count, seed)


def _second_repeated(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    return draw(probabilities, (count + 1) // 2, seed).repeat(2)[:count]


def _antithetic(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    uniforms = stream(seed, "draw").random((count + 1) // 2)
    both = np.stack([uniforms, np.nextafter(1.0, 0.0) - uniforms], axis=1).ravel()[:count]
    return _inverted(probabilities, np.maximum(both, 0.0))


def _systematic(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    generator = stream(seed, "draw")
    return generator.permutation(_inverted(probabilities, (np.arange(count) + generator.random()) / count))


def _inverted(masses: FloatArray, uniforms: FloatArray) -> IntArray:
    sums = np.cumsum(masses, axis=-1, dtype=np.float64)
    return np.asarray(np.searchsorted(sums, uniforms * sums[-1], side="right"))


def _half_precision_gumbel(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    scores = np.log(np.maximum(probabilities, 6e-8)).astype(np.float16)
    uniforms = stream(seed, "draw").random((count, len(scores))).astype(np.float16)
    with np.errstate(divide="ignore"):
        return np.asarray(np.argmax(scores - np.log(-np.log(uniforms)), axis=1))


def _overflowing(logits: FloatArray, count: int, seed: int) -> IntArray:
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.cumsum(np.exp(logits))
        return np.asarray(np.searchsorted(sums / sums[-1], stream(seed, "draw").random(count), side="right"))


def _one_uniform(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    uniforms = stream(seed, "draw").random(count)
    return np.array([_inverted(row, uniforms) for row in probabilities])


def _by_products(weights: FloatArray, count: int, seed: int) -> IntArray:
    return np.argsort(-stream(seed, "draw_distinct").random(len(weights)) * weights)[:count]


def _rest_alike(weights: FloatArray, count: int, seed: int) -> IntArray:
    first = draw_distinct(weights, 1, seed)
    rest = np.where(np.arange(len(weights)) == first[0], 0.0, (weights > 0.0).astype(float))
    return np.append(first, draw_distinct(rest, count - 1, seed + 1))


_draw = mutants_of("draw", "draw", draw)
_weights = mutants_of("draw_weights", "weights", draw_weights)
_logits = mutants_of("draw_logits", "logits", draw_logits)
_batch = mutants_of("draw_batch", "batch", draw_batch)
_distinct = mutants_of("draw_distinct", "distinct", draw_distinct)


def _changed(function: Callable[..., IntArray], change: Callable[[FloatArray], Any]) -> Callable[..., IntArray]:
    return lambda array, count, seed: function(change(array), count, seed)


# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    *(_draw(name, bug, "R6", _drawn(wrong)) for name, (bug, wrong) in WRONG_LAWS.items()),
    _draw("half-precision", "adds Gumbel noise in half precision, which is infinite once in 4,000 times", "R6",
        _half_precision_gumbel),
    _draw("leading-zeros", "counts from the first possible outcome", "R6",
        lambda p, count, seed: draw(p, count, seed) - np.flatnonzero(p)[0]),
    _draw("repeated", "repeats one draw", "R6", lambda p, count, seed: draw(p, 1, seed).repeat(count)),
    _draw("second-repeated", "repeats every draw once", "R6", _second_repeated),
    _draw("antithetic", "draws every second time with the uniform number's complement", "R6", _antithetic),
    _draw("systematic", "draws by systematic resampling, in random order", "R6", _systematic),
    _draw("one-short", "makes one draw too few", "R6", lambda p, count, seed: draw(p, count, seed)[: count - 1]),
    _draw("one-seed", "ignores the seed", "R6", lambda p, count, seed: draw(p, count, 0)),
    _draw("no-seed", "goes on where the last call stopped, whatever the seed", "R6",
        lambda p, count, seed: draw(p, count, next(_calls))),
    _draw("even-seeds", "gives two consecutive seeds the same draws", "R6",
        lambda p, count, seed: draw(p, count, seed // 2)),
    _weights("as-given", "takes weights for probabilities", "R6",
        lambda w, count, seed: np.minimum(
            np.searchsorted(np.cumsum(w), stream(seed, "draw").random(count), side="right"), len(w) - 1)),
    _weights("floor", "adds 1e-12 to every weight", "R6", _changed(draw_weights, lambda w: w + 1e-12)),
    _weights("logs", "draws in proportion to the logarithms of weights", "R6",
        _changed(draw_weights, lambda w: np.abs(np.log(np.where(w > 0.0, w, 1.0))) + 1e-9)),
    _weights("contiguous", "reads a view as if its numbers followed one another", "R6",
        _changed(draw_weights, read_on)),
    _logits("overflow", "exponentiates before anything is subtracted", "R6", _overflowing),
    _logits("clipped", "clips logits at 8 below the largest", "R6",
        _changed(draw_logits, lambda logits: np.maximum(logits, logits.max() - 8.0))),
    _logits("single-precision", "rounds logits to single precision before anything is subtracted", "R6",
        _changed(draw_logits, lambda logits: logits.astype(np.float32))),
    _logits("argmax", "returns the largest logit's outcome", "R6",
        lambda logits, count, seed: np.full(count, np.argmax(logits))),
    _batch("first-law", "draws from the first law in all rows", "R6",
        _changed(draw_batch, lambda p: np.repeat(p[:1], len(p), axis=0))),
    _batch("one-uniform", "shares uniform numbers among the rows", "R6", _one_uniform),
    _batch("contiguous", "reads a view as if its rows followed one another", "R6",
        _changed(draw_batch, lambda p: read_on(p) + 1e-300)),
    _distinct("replaced", "puts outcomes back", "R7", draw_weights),
    _distinct("products", "takes the largest products of weights and uniform numbers", "R7", _by_products),
    _distinct("rest-alike", "draws all but the first alike", "R7", _rest_alike),
)
# fmt: on
"""Of `draw` and the functions like it."""
