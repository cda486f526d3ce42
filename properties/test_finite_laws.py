"""Samplers of a given finite law (R6), and without replacement (R7).

A law is judged as it is passed: in one of several layouts in memory, of which single precision rounds it first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.subjects.layouts import laid_out
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment, law_experiment
from spanver.verification.search import experiments, instances

from . import finite_law_mistakes as mistakes
from .passed_laws import (
    CELLS,
    DESIGNED_LAWS,
    DOMINANT,
    FIRST_IMPOSSIBLE,
    HALVES_LAST,
    LAYOUTS,
    MANY,
    SMALL_LAWS,
    STRIDED,
    THIRDS,
    TOGETHER,
    assert_lawful,
    cells_of,
    drawn,
    draws_experiment,
    even_event,
    law_of,
    masses_of,
    observer,
    probabilities_of,
)

VIEWS = st.sampled_from(["contiguous", "column", "reversed"])
ONE_CALL = 600  # draws of one call where their dependence is judged
MOST_NUMBERS = 2**26  # of a call that draws a number for every outcome and every draw, as races do


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
    return draws_experiment(check, "draw", given, together, law_of(given))


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
    inside = f"in {np.flatnonzero(event).tolist()}"
    names = [", ".join(each) for each in product((f"not {inside}", inside), repeat=3)]
    law_of_three = np.einsum("i,j,k->ijk", chances, chances, chances).ravel()
    return law_experiment(check, triples, law_of_three, of=f"three draws, each {apart} after the last", outcomes=names)


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
    return law_experiment(
        check,
        observer(check, "draw", given, 4096, cells),
        masses_of(cells, law),
        of=f"draws of {size} outcomes",
        outcomes=CELLS,
    )


def nearly_certain(size: int) -> FloatArray:
    """One outcome with nearly everything, and many so small that sums in single precision miss them.

    Single precision steps by `2^-24` between one half and 1, and less than half a step is lost. Of `2^20` outcomes that
    is 3 %.
    """
    law = np.full(size, 0.97 * 2.0**-25)
    law[0] = 1.0 - law[1:].sum()
    return law


SINGLE = 2.0**-24
DESIGNED_RARE = ({"size": 2**20, "layout": "contiguous"}, {"size": 2**16, "layout": "column"})
MISTAKEN_RARE = ("draw-single-precision",)


@pytest.mark.guarantee("R6", needs=["draw"])
@designed(DESIGNED_RARE, MISTAKEN_RARE)
@instances(size=st.integers(2**16, 2**17), layout=VIEWS)
def test_outcomes_that_are_rare_one_by_one_come(check: Check, size: int, layout: str) -> None:
    fine = check.subject.unit < SINGLE
    check.judgeable(fine, f"sums in {check.subject.arithmetic} lose outcomes this rare")
    if not fine:
        return
    law = nearly_certain(size)
    given, together = laid_out(law, layout), MOST_NUMBERS // size
    # In so many draws the first outcome alone comes with a probability below e^-100.
    calls = math.ceil(100.0 / (1.0 - law[0]) / together)
    rare = (drawn(check, "draw", given, together, check.seed("call", call)).any() for call in range(calls))
    share = f"{1.0 - law[0]:.2g}"
    assert any(rare), f"in {calls * together} draws none of {size - 1} outcomes came that have {share} together"
