"""Effects of the named mistakes of samplers of finite laws: how far each moves the law that is judged, exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from spanver.subjects.layouts import laid_out
from spanver.values import FloatArray
from spanver.zoo.finite_laws import WRONG_LAWS, read_on

from .passed_laws import (
    MANY,
    cells_of,
    even_event,
    law_of,
    law_of_logits,
    law_of_sets,
    logits_of,
    masses_of,
    probabilities_of,
    weights_of,
)

Effects = Mapping[str, Callable[..., float]]


def distance(one: Any, other: Any) -> float:
    """Total variation."""
    return float(np.abs(np.subtract(one, other)).sum()) / 2.0


def of_wrong_laws(*names: str) -> Effects:
    """Effects of mutants that draw from a wrong law, by the ends of their names."""

    def effect_of(name: str) -> Callable[..., float]:
        def effect(law: FloatArray, layout: str, **_: Any) -> float:
            given = probabilities_of(law, layout)
            return distance(WRONG_LAWS[name][1](given), law_of(given))

        return effect

    return {f"draw-{name}": effect_of(name) for name in names}


def of_wrong_laws_in_cells(*names: str) -> Effects:
    """The same for many outcomes, which are judged in cells."""

    def effect_of(name: str) -> Callable[..., float]:
        def effect(shape: str, size: int, layout: str) -> float:
            given = laid_out(law_of(MANY[shape](size)), layout)
            law = law_of(given)
            cells = cells_of(law)
            return distance(masses_of(cells, WRONG_LAWS[name][1](given)), masses_of(cells, law))

        return effect

    return {f"draw-{name}": effect_of(name) for name in names}


def second_repeated(law: FloatArray, apart: int) -> float:
    """Of three draws in a row the first two are the same, or the last two."""
    event = even_event(law)
    chances = np.array([1.0 - float(law @ event), float(law @ event)])
    same = np.diag(chances)
    mixed = (np.einsum("ij,k->ijk", same, chances) + np.einsum("i,jk->ijk", chances, same)) / 2.0
    independent = np.einsum("i,j,k->ijk", chances, chances, chances)
    return distance(mixed, independent) if apart == 1 else 0.0


def of_weights(wrong: Callable[[FloatArray], FloatArray]) -> Callable[..., float]:
    """Effect of drawing in proportion to other weights."""

    def effect(weights: FloatArray, scale: float, layout: str, **_: Any) -> float:
        given = weights_of(weights, scale, layout)
        return distance(law_of(wrong(given)), law_of(given))

    return effect


def _as_given(weights: FloatArray) -> FloatArray:
    sums = np.minimum(np.cumsum(weights), 1.0)
    sums[-1] = 1.0
    return np.diff(sums, prepend=0.0)


def of_logits(wrong: Callable[[FloatArray], FloatArray]) -> Callable[..., float]:
    """Effect of drawing by other logits."""

    def effect(law: FloatArray, shift: float, layout: str, **_: Any) -> float:
        given = logits_of(law, shift, layout)
        return distance(law_of_logits(wrong(given)), law_of_logits(given))

    return effect


def of_batches(wrong: Callable[[FloatArray], FloatArray]) -> Callable[..., float]:
    """Effect of drawing a batch from other laws."""

    def effect(batch: FloatArray, layout: str, row: int, step: int) -> float:
        given = laid_out(batch, layout)
        rows = rows_of(len(batch), row, step)
        return distance(joint(law_of(wrong(given)), law_of(given), *rows), joint(law_of(given), law_of(given), *rows))

    return effect


def rows_of(count: int, row: int, step: int) -> tuple[int, int]:
    """Two different rows of a batch."""
    row = row % count
    return row, (row + 1 + step % (count - 1)) % count


def joint(laws: FloatArray, right: FloatArray, row: int, other: int) -> FloatArray:
    """Law of the outcome of one row, and of whether that of the other is in its even event."""
    chance = float(laws[other] @ even_event(right[other]))
    return np.outer(laws[row], [1.0 - chance, chance])


def one_uniform(batch: FloatArray, layout: str, row: int, step: int) -> float:
    """Both rows are inverted at the same uniform number."""
    law = law_of(laid_out(batch, layout))
    row, other = rows_of(len(batch), row, step)
    event = even_event(law[other])
    both = np.zeros((law.shape[1], 2))
    ends = [np.append(0.0, np.cumsum(law[each])) for each in (row, other)]
    for one in range(law.shape[1]):
        for two in range(law.shape[1]):
            overlap = min(ends[0][one + 1], ends[1][two + 1]) - max(ends[0][one], ends[1][two])
            both[one, event[two]] += max(0.0, overlap)
    return distance(both, joint(law, law, row, other))


def rest_alike(choice: tuple[FloatArray, int], **_: Any) -> float:
    """All draws but the first are from the outcomes left, all alike."""
    weights, count = choice
    right, wrong = law_of_sets(weights, count), dict.fromkeys(law_of_sets(weights, count), 0.0)
    for first, chance in enumerate(weights / weights.sum()):
        if chance > 0.0:
            rest = np.where(np.arange(len(weights)) == first, 0.0, weights > 0.0)
            for others, share in law_of_sets(rest, count - 1).items():
                wrong[others | {first}] += chance * share
    return distance(list(wrong.values()), list(right.values()))


DRAWS = of_wrong_laws(
    "uniform", "squared", "by-rank", "off-by-one", "without-last", "relative-to-first", "contiguous", "aliases-from-one"
)
MANY_DRAWS = of_wrong_laws_in_cells("uniform", "coarse-grid")
DEPENDENCE: Effects = {"draw-second-repeated": second_repeated}
WEIGHTS: Effects = {"weights-as-given": of_weights(_as_given), "weights-contiguous": of_weights(read_on)}
LOGITS: Effects = {"logits-single-precision": of_logits(lambda logits: logits.astype(np.float32))}
BATCHES: Effects = {
    "batch-first-law": of_batches(lambda laws: np.repeat(laws[:1], len(laws), axis=0)),
    "batch-contiguous": of_batches(read_on),
    "batch-one-uniform": one_uniform,
}
CHOICES: Effects = {"distinct-rest-alike": rest_alike}
