"""Samplers of finite laws by weights, by logits and from batches (R6), and without replacement (R7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import reject
from hypothesis import strategies as st

from spanver.guarantees.rounding import gamma
from spanver.strategies import laws
from spanver.subjects.layouts import laid_out
from spanver.values import FloatArray, IntArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment, law_experiment
from spanver.verification.search import experiments, instances

from . import finite_law_mistakes as mistakes
from .finite_law_mistakes import joint, rows_of
from .passed_laws import (
    AMID,
    DOMINANT,
    FIRST_IMPOSSIBLE,
    HALVES_LAST,
    LAYOUTS,
    SMALL_LAWS,
    STRIDED,
    TOGETHER,
    assert_lawful,
    draws_experiment,
    even_event,
    law_of,
    law_of_logits,
    law_of_sets,
    logits_of,
    weights_of,
)

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
    return draws_experiment(check, "draw_weights", given, together, law_of(given))


MOST_MOVED = 0.5
SHIFTS = st.sampled_from([0.0, 1000.0, -1000.0, 1e4, -1e4, 1e8, 1e9, -1e9])


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
    {"law": STRIDED, "shift": 1e9, "layout": "column", "together": 4096},
    {"law": FIRST_IMPOSSIBLE, "shift": -1e9, "layout": "reversed", "together": 64},
    {"law": DOMINANT, "shift": 1e8, "layout": "contiguous", "together": 4096},
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
    # Logits that were rounded, and their exponentials, move probabilities by this factor at most.
    moved = float(np.expm1(gamma(8, check.subject.unit) * (1.0 + np.abs(given[np.isfinite(given)]).max())))
    check.judgeable(moved < MOST_MOVED, f"{check.subject.arithmetic} loses the law of logits this large")
    if moved >= MOST_MOVED:
        reject()
    return draws_experiment(check, "draw_logits", given, together, law_of_logits(given), tolerated=moved)


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

    inside = f"in {np.flatnonzero(event).tolist()}"
    names = [
        f"row {row} gave {outcome} and row {other} one {where}"
        for outcome in range(law.shape[1])
        for where in (f"not {inside}", inside)
    ]
    return law_experiment(check, observe, joint(law, law, row, other).ravel(), of="draws of draw_batch", outcomes=names)


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
    names = [*(f"the set {sorted(each)}" for each in sets), "an impossible set"]
    return law_experiment(check, observe, law / law.sum(), of="draws of draw_distinct", outcomes=names)
