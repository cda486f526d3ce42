"""Slopes recover power laws, and their intervals cover."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from samples import generator

from spanver.errors import ArgumentError
from spanver.evidence import (
    EvidenceError,
    Slope,
    assert_law,
    assert_mean_at_most,
    assert_same_law,
    assert_slope,
    compare_with_band,
    min_discrepancy_law,
    min_discrepancy_mean,
    min_discrepancy_same_law,
    min_samples_law,
    min_samples_mean,
    min_samples_same_law,
    slope,
    split_alpha,
)
from spanver.verdicts import Verdict

# Slopes


def test_a_slope_recovers_an_exact_power_law() -> None:
    sizes = np.array([2.0, 4.0, 8.0, 16.0])
    fitted = slope(sizes, np.array([[3.0], [5.0], [7.0]]) * sizes**1.5)
    assert (fitted.estimate, fitted.low, fitted.high) == pytest.approx((1.5, 1.5, 1.5))
    assert fitted.level == 0.95


def test_the_interval_is_students() -> None:
    fitted = slope([1, math.e], np.exp([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]), level=0.95)
    assert fitted.estimate == pytest.approx(2)
    assert fitted.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)  # the tabulated quantile of 2 degrees
    assert 2 - fitted.low == pytest.approx(fitted.high - 2)


def missed_slopes(level: float) -> list[bool]:
    random, sizes = generator(8), np.array([1.0, 2.0, 4.0, 8.0])
    fits = (slope(sizes, sizes * np.exp(0.2 * random.standard_normal((5, 4))), level=level) for _ in range(1500))
    return [not fitted.low <= 1 <= fitted.high for fitted in fits]


def test_the_interval_covers_at_its_level() -> None:
    assert_mean_at_most(missed_slopes(0.9), 0.1, alpha=1e-6)
    with pytest.raises(EvidenceError):
        assert_mean_at_most(missed_slopes(0.75), 0.1, alpha=1e-6)


def test_the_whole_interval_is_judged() -> None:
    fitted = Slope(1.0, 0.9, 1.1, 0.95)
    assert compare_with_band(fitted, (0.9, 1.1)) is Verdict.HOLDS
    assert compare_with_band(fitted, (-math.inf, 2.0)) is Verdict.HOLDS
    assert compare_with_band(fitted, (0.95, 2.0)) is Verdict.UNDECIDED
    assert compare_with_band(fitted, (0.99, 1.01)) is Verdict.UNDECIDED
    assert compare_with_band(fitted, (0.0, 0.89)) is Verdict.VIOLATED
    assert compare_with_band(fitted, (1.11, math.inf)) is Verdict.VIOLATED


def test_a_slope_outside_its_band_and_one_that_is_not_decided_both_raise() -> None:
    values = [[1.0, 2.0, 4.0], [2.0, 4.1, 8.0], [3.0, 6.0, 12.1]]
    with pytest.raises(EvidenceError, match="violated"):
        assert_slope([1, 2, 4], values, (1.5, 2.5))
    with pytest.raises(EvidenceError, match=r"undecided.*longer ladder"):
        assert_slope([1, 2, 4], values, (1.0, 2.5))


# Doors


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, math.nan])
def test_rates_outside_the_open_unit_interval_are_refused(rate: float) -> None:
    calls: list[Callable[[], object]] = [
        lambda: min_samples_mean(0.1, 0.1, alpha=rate),
        lambda: min_discrepancy_mean(0.1, 10, alpha=0.1, power=rate),
        lambda: min_samples_law([0.5, 0.5], 0.1, alpha=0.1, power=rate),
        lambda: min_discrepancy_law([0.5, 0.5], 10, alpha=rate),
        lambda: min_samples_same_law(2, 0.1, alpha=rate),
        lambda: min_discrepancy_same_law(2, 10, alpha=0.1, power=rate),
        lambda: assert_mean_at_most([0.5], 0.5, alpha=rate),
        lambda: assert_law([0], [1.0], alpha=rate),
        lambda: assert_same_law([0], [0], 2, alpha=rate),
        lambda: split_alpha(rate, 1, 1),
        lambda: slope([1, 2], [[1, 2], [1, 2]], level=rate),
    ]
    for call in calls:
        with pytest.raises(ArgumentError):
            call()
