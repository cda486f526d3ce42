"""Arguments are checked in one place: what is refused, in which words, and what is taken as it is."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from spanver.errors import ArgumentError
from spanver.validation import frozen, require_at_least, require_real, to_array

REFUSED: list[tuple[Any, tuple[int | None, ...], str]] = [
    ("up", (None,), "a is 'up', but it must be an array of numbers"),
    ([[1.0], [1.0, 2.0]], (None, None), r"a is \[\[1.0\], \[1.0, 2.0\]\], but it must be an array of numbers"),
    ([True, False], (None,), "an array of numbers"),
    ([1j], (None,), "an array of numbers"),
    ([1.0, 2.0], (3,), r"the shape of a is \(2,\), but it must be \(3,\)"),
    ([1.0, 2.0], (None, None), r"the shape of a is \(2,\), but it must be of 2 dimensions"),
    ([[1.0, 2.0]], (None, 3), r"the shape of a is \(1, 2\)"),
    ([1.0, np.nan], (2,), "finite everywhere"),
    ([1.0, -np.inf], (None,), "finite everywhere"),
]


@pytest.mark.parametrize(("value", "shape", "sentence"), REFUSED)
def test_an_array_that_does_not_fit_is_refused(value: Any, shape: tuple[int | None, ...], sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        to_array("a", value, shape)


def test_an_array_that_fits_is_taken_as_it_is() -> None:
    array = np.ones((2, 3))
    assert to_array("a", array, (None, 3)) is array
    assert to_array("a", [-np.inf, 0], (2,), finite=False).tolist() == [-np.inf, 0.0]


def test_only_what_can_be_written_to_is_copied() -> None:
    array = np.ones(3)
    copy = frozen(array)
    assert copy is not array
    assert not copy.flags.writeable
    assert frozen(copy) is copy


@pytest.mark.parametrize("value", [0.99, -1.0, np.inf, np.nan, True, "2", None, np.array(2.0)])
def test_a_number_below_the_least_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="a finite number of at least 1"):
        require_at_least("m", value, 1.0)


def test_numbers_of_any_type_are_taken() -> None:
    for value in (1, 1.0, np.float64(1.0), np.float32(1.5), np.int64(2), Fraction(3, 2)):
        require_at_least("m", value, 1.0)  # type: ignore[arg-type]


def test_rounding_is_a_margin_around_a_range_and_not_in_its_words() -> None:
    require_real("p", 1.0 + 1e-10, most=1.0, rounding=1e-9)
    with pytest.raises(ArgumentError, match=r"p is 1\.01, but it must be a number from 0 to 1"):
        require_real("p", 1.01, most=1.0, rounding=1e-9)
