"""Samplers of a given finite law (R6), and without replacement (R7).

A law is judged as it is passed: in one of several layouts in memory, of which single precision rounds it first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.strategies import laws
from spanver.subjects.layouts import laid_out
from spanver.values import FloatArray, IntArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment
from spanver.verification.search import experiments, instances

from . import finite_law_mistakes as mistakes
from .finite_law_mistakes import joint, rows_of
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

LAYOUTS = ("contiguous", "column", "reversed", "float32")
VIEWS = st.sampled_from(["contiguous", "column", "reversed"])
TOGETHER = (4096, 64)  # draws of one call
ONE_CALL = 600  # draws of one call where their dependence is judged
MOST_NUMBERS = 2**26  # of a call that draws a number for every outcome and every draw, as races do

HALVES_LAST = np.array([0.0, 0.0, 0.5, 0.5])
THIRDS = np.array([1 / 3, 2 / 3, 0.0])
DOMINANT = np.array([0.9, 0.05, 0.05])
STRIDED = np.array([0.1, 0.1, 0.8])
FIRST_IMPOSSIBLE = np.array([0.0, 0.25, 0.75])
AMID = np.array([0.05, 0.0, 0.9, 0.05])
DESIGNED_LAWS = (HALVES_LAST, THIRDS, DOMINANT, STRIDED, FIRST_IMPOSSIBLE, AMID)
"""Zeros in first, last and other places, what strides matter for, and one outcome that dominates."""

SMALL_LAWS = st.sampled_from(DESIGNED_LAWS) | laws(max_size=6)


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


DESIGNED_CALLS = tuple(
    {"law": law, "layout": layout, "count": 7}
    for law, layout in zip(
        DESIGNED_LAWS, ("column", "reversed", "contiguous", "column", "float32", "column"), strict=True
    )
)
MISTAKEN_CALLS = (
    "draw-leading-zeros", "draw-coarse-grid", "draw-aliases-from-one", "draw-half-precision", "draw-contiguous",
    "draw-off-by-one", "draw-one-short", "draw-one-seed", "draw-no-seed", "draw-even-seeds",
)  # fmt: skip


@pytest.mark.guarantee("R6", needs=["draw"])
@designed(DESIGNED_CALLS, MISTAKEN_CALLS)
@instances(law=SMALL_LAWS, layout=st.sampled_from(LAYOUTS), count=st.integers(1, 40))
def test_draws_are_possible_and_decided_by_the_seed(check: Check, law: FloatArray, layout: str, count: int) -> None:
    given = probabilities_of(law, layout)
    assert_lawful(check, "draw", given, law_of(given), count)


DESIGNED_SHARES = ({"law": HALVES_LAST}, {"law": DOMINANT})
MISTAKEN_SHARES = ("draw-systematic", "draw-antithetic")


@pytest.mark.guarantee("R6", needs=["draw"])
@designed(DESIGNED_SHARES, MISTAKEN_SHARES)
@instances(law=SMALL_LAWS)
def test_shares_vary_from_call_to_call(check: Check, law: FloatArray) -> None:
    """Systematic draws have the right shares, and each time the same."""
    event, size = even_event(law), 256
    mean = size * float(law @ event)
    # A binomial count of 256 trials of chance 0.3 to 0.91 comes within 1 of its mean with probability below 0.2, so all
    # of 64 counts do with probability below 1e-44.
    counts = (event[drawn(check, "draw", law, size, check.seed("call", call))].sum() for call in range(64))
    close = all(abs(count - mean) < 1.0 for count in counts)
    assert not close, f"in each of 64 calls of {size} draws the event {event.tolist()} came {mean:.1f} +- 1 times"


DESIGNED_DRAWS = (
    {"law": FIRST_IMPOSSIBLE, "layout": "column", "together": 64},
    {"law": STRIDED, "layout": "column", "together": 4096},
    {"law": DOMINANT, "layout": "float32", "together": 4096},
    {"law": np.array([0.0, 0.6, 0.3, 0.1]), "layout": "reversed", "together": 64},
    {"law": THIRDS, "layout": "reversed", "together": 4096},
    {"law": np.array([0.0, 0.1, 0.9]), "layout": "contiguous", "together": 4096},
)


@pytest.mark.guarantee("R6", needs=["draw"])
@designed(DESIGNED_DRAWS, mistakes.DRAWS)
@experiments(law=SMALL_LAWS, layout=st.sampled_from(LAYOUTS), together=st.sampled_from(TOGETHER))
def test_draws_have_the_law_that_was_given(check: Check, law: FloatArray, layout: str, together: int) -> Experiment:
    given = probabilities_of(law, layout)
    return check.law_experiment(observer(check, "draw", given, together), law_of(given))


DESIGNED_DEPENDENCE = (
    {"law": HALVES_LAST, "apart": 1},
    {"law": STRIDED, "apart": 1},
    {"law": THIRDS, "apart": ONE_CALL},
)


@pytest.mark.guarantee("R6", needs=["draw"])
@designed(DESIGNED_DEPENDENCE, mistakes.DEPENDENCE)
@experiments(law=SMALL_LAWS, apart=st.sampled_from([1, 1, 2, ONE_CALL // 3, ONE_CALL]))
def test_draws_of_a_call_and_of_the_next_are_independent(check: Check, law: FloatArray, apart: int) -> Experiment:
    """Three draws at equal distances, in or across three calls with consecutive seeds, have the product of laws."""
    event = even_event(law)
    observe = observer(check, "draw", law, ONE_CALL, event)

    def triples(count: int, seed: int) -> Sequence[int]:
        stretches = -(-count // ONE_CALL)
        came = np.array(observe(3 * ONE_CALL * stretches, seed)).reshape(-1, 3, apart)
        found: list[int] = (came * [[4], [2], [1]]).sum(axis=1).ravel()[:count].tolist()
        return found

    chances = np.array([1.0 - float(law @ event), float(law @ event)])
    return check.law_experiment(triples, np.einsum("i,j,k->ijk", chances, chances, chances).ravel())


SHAPES, SIZES = st.sampled_from(sorted(MANY)), st.integers(1000, 5000)


DESIGNED_MANY = (
    {"shape": "halves", "size": 4096, "layout": "column"},
    {"shape": "every second", "size": 4096, "layout": "reversed"},
    {"shape": "alike", "size": 4096, "layout": "contiguous"},
    {"shape": "halves", "size": 2**14, "layout": "contiguous"},
)


@pytest.mark.guarantee("R6", needs=["draw"])
@designed(DESIGNED_MANY, mistakes.MANY_DRAWS)
@experiments(shape=SHAPES, size=SIZES, layout=VIEWS)
def test_draws_of_many_outcomes_have_the_law_that_was_given(
    check: Check, shape: str, size: int, layout: str
) -> Experiment:
    given = laid_out(law_of(MANY[shape](size)), layout)
    law = law_of(given)
    cells = cells_of(law)
    return check.law_experiment(observer(check, "draw", given, 4096, cells), masses_of(cells, law))


def dust(size: int) -> FloatArray:
    """One outcome with nearly everything, and many so small that sums in single precision miss them.

    Single precision steps by `2^-24` between one half and 1, and less than half a step is lost. Of `2^20` outcomes that
    is 3 %.
    """
    law = np.full(size, 0.97 * 2.0**-25)
    law[0] = 1.0 - law[1:].sum()
    return law


DESIGNED_RARE = ({"size": 2**20, "layout": "contiguous"}, {"size": 2**16, "layout": "column"})
MISTAKEN_RARE = ("draw-single-precision",)


@pytest.mark.guarantee("R6", needs=["draw"])
@designed(DESIGNED_RARE, MISTAKEN_RARE)
@instances(size=st.integers(2**16, 2**17), layout=VIEWS)
def test_outcomes_that_are_rare_one_by_one_come(check: Check, size: int, layout: str) -> None:
    law = dust(size)
    given, together = laid_out(law, layout), MOST_NUMBERS // size
    # In so many draws the first outcome alone comes with a probability below e^-100.
    calls = math.ceil(100.0 / (1.0 - law[0]) / together)
    rare = (drawn(check, "draw", given, together, check.seed("call", call)).any() for call in range(calls))
    share = f"{1.0 - law[0]:.2g}"
    assert any(rare), f"in {calls * together} draws none of {size - 1} outcomes came that have {share} together"


WEIGHTS = st.sampled_from([np.array([1e8, 1.0]), np.array([3.0, 0.0, 1.0])]) | laws(max_size=6)
SCALES = st.sampled_from([1.0, 1e-290, 1e290, 1e3])


DESIGNED_WEIGHT_CALLS = (
    {"law": HALVES_LAST, "scale": 1e-290, "layout": "column", "count": 7},
    {"law": STRIDED, "scale": 1e290, "layout": "reversed", "count": 7},
)
MISTAKEN_WEIGHT_CALLS = ("weights-floor",)


@pytest.mark.guarantee("R6", needs=["draw_weights"])
@designed(DESIGNED_WEIGHT_CALLS, MISTAKEN_WEIGHT_CALLS)
@instances(law=SMALL_LAWS, scale=SCALES, layout=st.sampled_from(LAYOUTS), count=st.integers(1, 40))
def test_draws_by_weights_are_possible_and_decided_by_the_seed(
    check: Check, law: FloatArray, scale: float, layout: str, count: int
) -> None:
    given = weights_of(law, scale, layout)
    assert_lawful(check, "draw_weights", given, law_of(given), count)


DESIGNED_WEIGHTS = (
    {"weights": np.array([1e8, 1.0]), "scale": 1.0, "layout": "contiguous", "together": 4096},
    {"weights": np.array([3.0, 0.0, 1.0]), "scale": 1e-290, "layout": "column", "together": 64},
    {"weights": np.array([1.0, 1.0, 8.0]), "scale": 1e290, "layout": "reversed", "together": 4096},
    {"weights": np.array([1.0, 2.0, 1.0]), "scale": 1e3, "layout": "column", "together": 4096},
)


@pytest.mark.guarantee("R6", needs=["draw_weights"])
@designed(DESIGNED_WEIGHTS, mistakes.WEIGHTS)
@experiments(weights=WEIGHTS, scale=SCALES, layout=st.sampled_from(LAYOUTS), together=st.sampled_from(TOGETHER))
def test_draws_by_weights_have_their_law(
    check: Check, weights: FloatArray, scale: float, layout: str, together: int
) -> Experiment:
    given = weights_of(weights, scale, layout)
    return check.law_experiment(observer(check, "draw_weights", given, together), law_of(given))


SHIFTS = st.sampled_from([0.0, 1000.0, -1000.0, 1e4, -1e4])


DESIGNED_LOGIT_CALLS = (
    {"law": np.full(5, 0.2), "shift": 1000.0, "layout": "contiguous", "count": 7},
    {"law": AMID, "shift": 0.0, "layout": "column", "count": 7},
)
MISTAKEN_LOGIT_CALLS = ("logits-overflow", "logits-argmax")


@pytest.mark.guarantee("R6", needs=["draw_logits"])
@designed(DESIGNED_LOGIT_CALLS, MISTAKEN_LOGIT_CALLS)
@instances(law=SMALL_LAWS, shift=SHIFTS, layout=st.sampled_from(LAYOUTS), count=st.integers(1, 40))
def test_draws_by_logits_are_possible_and_decided_by_the_seed(
    check: Check, law: FloatArray, shift: float, layout: str, count: int
) -> None:
    given = logits_of(law, shift, layout)
    assert_lawful(check, "draw_logits", given, law_of_logits(given), count)


DESIGNED_LOGITS = (
    {"law": np.full(5, 0.2), "shift": 1000.0, "layout": "contiguous", "together": 4096},
    {"law": STRIDED, "shift": 1e4, "layout": "column", "together": 4096},
    {"law": FIRST_IMPOSSIBLE, "shift": -1e4, "layout": "reversed", "together": 64},
    {"law": DOMINANT, "shift": 1e4, "layout": "float32", "together": 4096},
)


@pytest.mark.guarantee("R6", needs=["draw_logits"])
@designed(DESIGNED_LOGITS, mistakes.LOGITS)
@experiments(
    law=st.just(np.full(5, 0.2)) | SMALL_LAWS,
    shift=SHIFTS,
    layout=st.sampled_from(LAYOUTS),
    together=st.sampled_from(TOGETHER),
)
def test_draws_by_logits_have_their_law(
    check: Check, law: FloatArray, shift: float, layout: str, together: int
) -> Experiment:
    given = logits_of(law, shift, layout)
    return check.law_experiment(observer(check, "draw_logits", given, together), law_of_logits(given))


@st.composite
def batches(draw: st.DrawFn) -> FloatArray:
    """Two to four laws on as many outcomes, at most four, shape (m, n)."""
    size = draw(st.integers(2, 4))
    law = laws(max_size=4).filter(lambda law: len(law) == size)
    return np.array(draw(st.lists(law, min_size=2, max_size=4)))


BATCH = np.array([[0.1, 0.1, 0.8], [0.0, 0.5, 0.5], [0.6, 0.4, 0.0]])
TWO_ROWS = np.array([[0.1, 0.9], [0.9, 0.1]])
BATCHES = st.sampled_from([BATCH, TWO_ROWS]) | batches()
BATCH_LAYOUTS = st.sampled_from([*LAYOUTS, "transposed"])


def drawn_rows(check: Check, given: Any, count: int, seed: int) -> IntArray:
    """Draws of one call for a batch of laws, shape (m, count)."""
    found: IntArray = check.call("draw_batch", given, count, seed)
    expected = (len(given), count)
    assert found.shape == expected, f"draw_batch returned shape {found.shape} in place of {expected}"
    strange = found[(found < 0) | (found >= given.shape[1])]
    assert not len(strange), f"draw_batch drew {strange[:1]}, and there are {given.shape[1]} outcomes, counted from 0"
    return found


DESIGNED_BATCH_CALLS = ({"batch": BATCH, "layout": "transposed", "count": 7},)
MISTAKEN_BATCH_CALLS = ("batch-first-law", "batch-contiguous")


@pytest.mark.guarantee("R6", needs=["draw_batch"])
@designed(DESIGNED_BATCH_CALLS, MISTAKEN_BATCH_CALLS)
@instances(batch=BATCHES, layout=BATCH_LAYOUTS, count=st.integers(1, 40))
def test_draws_of_a_batch_are_possible_and_decided_by_the_seed(
    check: Check, batch: FloatArray, layout: str, count: int
) -> None:
    given = laid_out(batch, layout)
    seed = check.seed("draws")
    first = drawn_rows(check, given, 2000, seed)
    assert (first == drawn_rows(check, given, 2000, seed)).all(), "draw_batch drew otherwise at the same seed"
    assert (first != drawn_rows(check, given, 2000, seed + 1)).any(), f"the same draws at seeds {seed} and {seed + 1}"
    for row, law in zip([*first, *drawn_rows(check, given, count, seed)], [*batch, *batch], strict=True):
        assert (law[row] > 0.0).all(), f"draw_batch drew an impossible outcome in the row of the law {law.tolist()}"


DESIGNED_BATCHES = (
    {"batch": BATCH, "layout": "transposed", "row": 1, "step": 1},
    {"batch": BATCH, "layout": "column", "row": 2, "step": 2},
    {"batch": BATCH, "layout": "reversed", "row": 1, "step": 1},
    {"batch": TWO_ROWS, "layout": "transposed", "row": 1, "step": 1},
)


@pytest.mark.guarantee("R6", needs=["draw_batch"])
@designed(DESIGNED_BATCHES, mistakes.BATCHES)
@experiments(batch=BATCHES, layout=BATCH_LAYOUTS, row=st.integers(0, 3), step=st.integers(1, 3))
def test_rows_of_a_batch_have_their_laws_and_are_independent(
    check: Check, batch: FloatArray, layout: str, row: int, step: int
) -> Experiment:
    given = laid_out(batch, layout)
    law = law_of(given)
    row, other = rows_of(len(batch), row, step)
    event = even_event(law[other])

    def observe(count: int, seed: int) -> Sequence[int]:
        found = drawn_rows(check, given, count, seed)
        pairs: list[int] = (2 * found[row] + event[found[other]]).tolist()
        return pairs

    return check.law_experiment(observe, joint(law, law, row, other).ravel())


@st.composite
def choices(draw: st.DrawFn) -> tuple[FloatArray, int]:
    """Weights, three or four of them positive, and how many to draw."""
    weights = np.array(draw(st.permutations(draw(st.sampled_from(CHOSEN_FROM)))))
    return weights, draw(st.integers(1, int((weights > 0.0).sum()) - 1))


CHOSEN_FROM = (
    [0.7, 0.2, 0.1],
    [100.0, 10.0, 1.0, 0.0],
    [0.0, 400.0, 20.0, 1.0],
    [4.0, 2.0, 1.0, 1.0],
    [1e6, 30.0, 1.0],
)
TWO_OF_EACH = tuple((np.array(weights), 2) for weights in CHOSEN_FROM)


def drawn_set(check: Check, given: Any, count: int, seed: int) -> frozenset[int]:
    found = check.call("draw_distinct", given, count, seed).tolist()
    assert len(found) == count, f"draw_distinct made {len(found)} draws in place of {count}"
    assert len(set(found)) == count, f"draw_distinct drew the same outcome twice: {found}"
    assert set(found) <= set(range(len(given))), f"draw_distinct drew {found}, and there are {len(given)} outcomes"
    return frozenset(found)


DESIGNED_CHOICES = tuple(
    {"choice": choice, "scale": scale, "layout": layout}
    for choice, scale, layout in zip(TWO_OF_EACH, (1.0, 1e-290, 1e290, 1e3, 1.0), ("column", *LAYOUTS), strict=True)
)
MISTAKEN_CHOICE_CALLS = ("distinct-replaced",)


@pytest.mark.guarantee("R7", needs=["draw_distinct"])
@designed(DESIGNED_CHOICES, MISTAKEN_CHOICE_CALLS)
@instances(choice=st.sampled_from(TWO_OF_EACH) | choices(), scale=SCALES, layout=st.sampled_from(LAYOUTS))
def test_distinct_draws_are_possible_and_decided_by_the_seed(
    check: Check, choice: tuple[FloatArray, int], scale: float, layout: str
) -> None:
    weights, count = choice
    given = weights_of(weights, scale, layout)
    for call in range(20):
        seed = check.seed("call", call)
        found = drawn_set(check, given, count, seed)
        assert found == drawn_set(check, given, count, seed), "draw_distinct drew otherwise at the same seed"
        assert (weights[list(found)] > 0.0).all(), f"draw_distinct drew an impossible outcome: {sorted(found)}"


@pytest.mark.guarantee("R7", needs=["draw_distinct"])
@designed(DESIGNED_CHOICES, mistakes.CHOICES)
@experiments(choice=st.sampled_from(TWO_OF_EACH) | choices(), scale=SCALES, layout=st.sampled_from(LAYOUTS))
def test_distinct_draws_have_the_law_of_successive_draws(
    check: Check, choice: tuple[FloatArray, int], scale: float, layout: str
) -> Experiment:
    weights, count = choice
    given = weights_of(weights, scale, layout)
    exact = np.asarray(given, dtype=np.float64)
    chances = law_of_sets(exact / exact.max(), count)
    sets = list(chances)

    def observe(number: int, seed: int) -> Sequence[int]:
        found = (drawn_set(check, given, count, seed + call) for call in range(number))
        return [sets.index(each) if each in chances else len(sets) for each in found]

    law = np.array([*chances.values(), 0.0])
    return check.law_experiment(observe, law / law.sum())
