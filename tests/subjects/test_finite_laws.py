"""The reference's samplers of finite laws, and the layouts in which laws are passed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import ArrayLike

from spanver.errors import ArgumentError
from spanver.evidence import assert_law
from spanver.subjects.finite_laws import draw, draw_batch, draw_distinct, draw_logits, draw_weights
from spanver.subjects.layouts import LAYOUTS, laid_out
from spanver.values import IntArray
from spanver.zoo.finite_laws import read_on

LAW = np.array([0.0, 0.5, 0.125, 0.375])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_law_in_any_form_and_layout_gives_the_same_draws(layout: str) -> None:
    given, expected = laid_out(LAW, layout), draw(LAW, 500, 7).tolist()
    assert draw(given, 500, 7).tolist() == expected
    for scale in (2.0**-990, 2.0**990):
        weights = laid_out(LAW, layout) * np.float64(scale)
        assert draw_weights(weights, 500, 7).tolist() == expected
    with np.errstate(divide="ignore"):
        logits = laid_out(np.log(LAW), layout)
    assert np.mean(draw_logits(logits, 500, 7) == expected) > 0.99  # rounding may move a draw at an edge
    assert draw_batch(laid_out(np.array([LAW, LAW[::-1]]), layout), 500, 7)[0].tolist() == expected


def test_draws_have_the_law_of_weights_of_logits_and_of_each_row() -> None:
    law = [0.0, 0.75, 0.25]
    assert_law(draw_weights([0.0, 3e300, 1e300], 5000, 1), law, alpha=1e-9)
    assert_law(draw_logits([-np.inf, 1e4 + np.log(3.0), 1e4], 5000, 1), law, alpha=1e-9)
    rows = draw_batch([law, law[::-1]], 5000, 1)
    assert rows.shape == (2, 5000)
    assert_law(rows[0], law, alpha=1e-9)
    assert_law(rows[1], law[::-1], alpha=1e-9)
    assert_law(3 * rows[0] + rows[1], np.outer(law, law[::-1]).ravel(), alpha=1e-9)


def test_distinct_draws_follow_one_another() -> None:
    pairs = [draw_distinct([7e-300, 2e-300, 0.0, 1e-300], 2, seed).tolist() for seed in range(5000)]
    orders = [[0, 1], [0, 3], [1, 0], [1, 3], [3, 0], [3, 1]]
    law = [0.7 * 2 / 3, 0.7 / 3, 0.2 * 7 / 8, 0.2 / 8, 0.1 * 7 / 9, 0.1 * 2 / 9]
    assert_law([orders.index(pair) for pair in pairs], law, alpha=1e-9)
    assert sorted(draw_distinct([1.0, 0.0, 2.0], 2, 0).tolist()) == [0, 2]
    assert draw_distinct([1.0, 0.0], 0, 0).tolist() == []


@pytest.mark.parametrize(
    ("sampler", "given", "words"),
    [
        (draw, [0.0, 0.0], "the largest of probabilities"),
        (draw, [], "the largest of probabilities"),
        (draw, [np.nan, 1.0], "probabilities"),
        (draw, [[1.0]], "the shape of probabilities"),
        (draw_weights, [0.0], "the largest of weights"),
        (draw_weights, [np.inf], "weights"),
        (draw_logits, [-np.inf], "the largest of logits"),
        (draw_logits, [np.inf, 0.0], "the largest of logits"),
        (draw_logits, [np.nan, 0.0], "the largest of logits"),
        (draw_batch, [[1.0, 0.0], [0.0, 0.0]], "the largest of probabilities"),
        (draw_distinct, [1.0, 0.0], "count is 2"),
    ],
)
def test_what_is_no_law_is_refused(sampler: Callable[..., IntArray], given: ArrayLike, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        sampler(given, 2, 0)


@pytest.mark.parametrize("layout", ["column", "reversed", "transposed"])
def test_a_layout_has_the_same_numbers_elsewhere_in_memory(layout: str) -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    given = laid_out(matrix, layout)
    assert (given == matrix).all()
    assert given.strides != matrix.strides
    assert (read_on(given) != matrix).any()
    assert laid_out(np.zeros(0), layout).shape == (0,)


def test_a_layout_may_round_and_has_a_known_name() -> None:
    assert laid_out(np.array([0.1]), "float32")[0] == np.float32(0.1)
    with pytest.raises(ArgumentError, match="layout is"):
        laid_out(LAW, "float16")
