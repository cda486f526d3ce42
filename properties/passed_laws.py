"""Finite laws as they are passed to samplers, exactly what follows from them, and draws by a subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from hypothesis import strategies as st

from spanver.strategies import laws
from spanver.subjects.layouts import laid_out
from spanver.values import FloatArray, IntArray
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment, law_experiment

LAYOUTS = ("contiguous", "column", "reversed", "float32")
TOGETHER = (4096, 64)  # draws of one call

HALVES_LAST = np.array([0.0, 0.0, 0.5, 0.5])
THIRDS = np.array([1 / 3, 2 / 3, 0.0])
DOMINANT = np.array([0.9, 0.05, 0.05])
STRIDED = np.array([0.1, 0.1, 0.8])
FIRST_IMPOSSIBLE = np.array([0.0, 0.25, 0.75])
AMID = np.array([0.05, 0.0, 0.9, 0.05])
DESIGNED_LAWS = (HALVES_LAST, THIRDS, DOMINANT, STRIDED, FIRST_IMPOSSIBLE, AMID)
"""Zeros in first, last and other places, what strides matter for, and one outcome that dominates."""

SMALL_LAWS = st.sampled_from(DESIGNED_LAWS) | laws(max_size=6)


def probabilities_of(law: FloatArray, layout: str) -> Any:
    """The law as it is passed. In single precision it is rounded so that it still sums to 1 exactly."""
    if layout == "float32":
        parts = np.floor(law * 2.0**24)
        parts[np.argmax(parts)] += 2.0**24 - parts.sum()
        law = parts / 2.0**24
    return laid_out(law, layout)


def law_of(masses: Any) -> FloatArray:
    """The law in proportion to what was passed, in double precision."""
    exact = np.asarray(masses, dtype=np.float64)
    exact = exact / exact.max(axis=-1, keepdims=True)
    return np.asarray(exact / exact.sum(axis=-1, keepdims=True))


def law_of_logits(logits: Any) -> FloatArray:
    """The law in proportion to the exponentials of what was passed."""
    exact = np.asarray(logits, dtype=np.float64)
    return law_of(np.exp(exact - exact.max()))


def weights_of(weights: FloatArray, scale: float, layout: str) -> Any:
    """Weights of this scale as they are passed; single precision does not reach as far."""
    return laid_out(weights * (np.clip(scale, 1e-20, 1e20) if layout == "float32" else scale), layout)


def logits_of(law: FloatArray, shift: float, layout: str) -> Any:
    """Logits of a law, all of them shifted, as they are passed."""
    with np.errstate(divide="ignore"):
        return laid_out(np.log(law) + shift, layout)


def even_event(law: FloatArray) -> Any:
    """Indicators of an event whose probability is about one half: the most likely outcomes in turn."""
    order = np.argsort(-law, kind="stable")
    sums = np.cumsum(law[order])
    event = np.zeros(len(law), dtype=np.int64)
    event[order[: 1 + np.argmin(np.abs(sums[:-1] - 0.5))]] = 1
    return event


MANY: dict[str, Callable[[int], Any]] = {
    "alike": np.ones,
    "halves": lambda size: np.repeat([2.0, 1.0], [size // 2, size - size // 2]),
    "every second": lambda size: np.arange(size) % 2.0,
    "ramp": lambda size: 1.0 + np.arange(size) % 7,
}
"""Laws of many outcomes, up to a factor, by what is special about them."""


CELLS = (
    "an impossible outcome",
    "outcome 0",
    *(f"an {parity} outcome in the {half} half" for half in ("first", "second") for parity in ("even", "odd")),
)
"""Names of the cells of `cells_of`."""


def cells_of(law: FloatArray) -> IntArray:
    """Few cells for many outcomes: the impossible ones, the first, and the others by halves and by turns."""
    places = np.arange(len(law))
    cells = 2 + 2 * (places >= len(law) // 2) + places % 2
    cells[0] = 1
    return np.where(law > 0.0, cells, 0)


def masses_of(cells: IntArray, law: FloatArray) -> FloatArray:
    """Probabilities of the cells."""
    return np.array([law[cells == cell].sum() for cell in range(6)])


def law_of_sets(weights: FloatArray, count: int) -> dict[frozenset[int], float]:
    """Law of the set of successive draws, by enumeration of their orders."""
    chances: dict[frozenset[int], float] = {}
    for order in permutations(np.flatnonzero(weights).tolist(), count):
        taken = np.cumsum([0.0, *weights[list(order[:-1])]])
        chance = float(np.prod(weights[list(order)] / (weights.sum() - taken)))
        chances[frozenset(order)] = chances.get(frozenset(order), 0.0) + chance
    return chances


def drawn(check: Check, function: str, given: Any, count: int, seed: int) -> IntArray:
    """Draws of one call, which are as many as asked, and outcomes."""
    found: IntArray = check.call(function, given, count, seed)
    assert len(found) == count, f"{function} made {len(found)} draws in place of {count}"
    strange = found[(found < 0) | (found >= len(given))]
    assert not len(strange), f"{function} drew {strange[:1]}, and there are {len(given)} outcomes, counted from 0"
    return found


def observer(
    check: Check, function: str, given: Any, together: int, cells: IntArray | None = None
) -> Callable[[int, int], Sequence[int]]:
    """Observe draws of calls with consecutive seeds, or their cells."""

    def observe(count: int, seed: int) -> Sequence[int]:
        starts = range(0, count, together)
        calls = [
            drawn(check, function, given, min(together, count - start), seed + index)
            for index, start in enumerate(starts)
        ]
        outcomes = np.concatenate(calls)
        observed: list[int] = (outcomes if cells is None else cells[outcomes]).tolist()
        return observed

    return observe


def draws_experiment(
    check: Check, function: str, given: Any, together: int, law: FloatArray, *, tolerated: float = 0.0
) -> Experiment:
    """Experiment: what is drawn of the numbers passed has this law, up to what is tolerated."""
    return law_experiment(
        check,
        observer(check, function, given, together),
        law,
        of=f"draws of {function}",
        outcomes=[f"outcome {index}" for index in range(len(law))],
        tolerated=tolerated,
    )


def assert_lawful(check: Check, function: str, given: Any, law: FloatArray, count: int) -> None:
    """What holds on every run: what is drawn is possible, and decided by the seed."""
    one, other = check.seed("draws"), check.seed("draws", 1)
    first, second = (drawn(check, function, given, 4096, seed) for seed in (one, other))
    assert (first == drawn(check, function, given, 4096, one)).all(), f"{function} drew otherwise at the same seed"
    # Equal by chance with a probability below 1e-250, as no outcome of these laws is likelier than 0.91.
    assert (first != second).any(), f"{function} drew the same at the seeds {one} and {other}"
    assert (first != drawn(check, function, given, 4096, one ^ 1)).any(), f"the same draws at seeds {one} and {one ^ 1}"
    impossible = first[law[first] == 0.0]
    assert not len(impossible), f"{function} drew {impossible[:1]}, which is impossible: the law is {law.tolist()}"
    few = drawn(check, function, given, count, check.seed("few"))
    assert (law[few] > 0.0).all(), f"{function} drew an impossible outcome among {few.tolist()}"
