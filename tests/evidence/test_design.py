"""Designed sample sizes have their power, and hardly more than it takes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from samples import ROUNDING, SKEWED_9, UNIFORM_9, generator
from scipy.stats import binom

from spanver.evidence import (
    EvidenceError,
    assert_mean_at_most,
    log_e_chances,
    log_e_law,
    log_e_mean,
    log_e_same_law,
    min_discrepancy_law,
    min_discrepancy_mean,
    min_discrepancy_same_law,
    min_samples_chances,
    min_samples_law,
    min_samples_mean,
    min_samples_same_law,
)


@pytest.mark.parametrize(("bound", "discrepancy", "alpha"), [(0.5, 0.3, 1e-3), (0.05, 0.2, 1e-6), (0.0, 0.1, 1e-3)])
def test_the_designed_number_of_samples_has_the_power_and_is_nearly_the_smallest(
    bound: float, discrepancy: float, alpha: float
) -> None:
    def power(n: int) -> float:
        rejecting = [s for s in range(n + 1) if log_e_mean(s, n, bound) >= -math.log(alpha)]
        return float(binom.pmf(rejecting, n, bound + discrepancy).sum())

    n = min_samples_mean(bound, discrepancy, alpha=alpha)
    assert power(n) >= 0.99 - ROUNDING
    assert all(power(fewer) < 0.99 for fewer in range(1, math.floor(n / 1.05)))


@pytest.mark.parametrize("power", [0.2, 0.5, 0.99, 0.999999])
def test_designs_for_means_round_trip(power: float) -> None:
    for bound, discrepancy in ((0.0, 0.01), (1e-300, 0.01), (0.3, 0.02), (0.9, 0.05)):
        n = min_samples_mean(bound, discrepancy, alpha=1e-8, power=power)
        found = min_discrepancy_mean(bound, n, alpha=1e-8, power=power)
        assert 0.8 * discrepancy <= found <= discrepancy * (1 + 1e-8)
        assert min_samples_mean(bound, found, alpha=1e-8, power=power) <= n * 1.03


def test_too_few_samples_catch_nothing() -> None:
    assert min_discrepancy_mean(0.5, 10, alpha=1e-6) == math.inf
    assert min_discrepancy_law([0.5, 0.5], 10, alpha=1e-6) == math.inf
    assert min_discrepancy_same_law(3, 10, alpha=1e-6) == math.inf
    assert min_discrepancy_law([1 / 16] * 16, 1, alpha=1e-6) == math.inf


def shifted(law: Sequence[float], discrepancy: float) -> NDArray[np.float64]:
    """A law at total variation `discrepancy`, by taking from the last category what the first one gets."""
    moved = np.array(law)
    moved[0] += discrepancy
    moved[-1] -= discrepancy
    assert moved.min() >= 0
    return moved


@pytest.mark.parametrize(
    ("law", "discrepancy", "tolerated"),
    [
        ([0.5, 0.5], 0.1, 0.0),
        ([0.3, 0.3, 0.4], 0.1, 0.03),
        ([0.1, 0.2, 0.3, 0.4], 0.05, 0.0),
        ([0.0, 1.0], 0.02, 0.0),
        ([0.1] * 9 + [0.1], 0.1, 0.02),
        ([0.05] * 8 + [0.6], 0.3, 0.0),
    ],
)
def test_a_law_at_the_designed_discrepancy_is_missed_in_at_most_one_per_cent(
    law: list[float], discrepancy: float, tolerated: float
) -> None:
    alpha = 1e-4
    n = min_samples_law(law, discrepancy, alpha=alpha, tolerated=tolerated)
    drawn, random = shifted(law, discrepancy), generator(1)
    draws = (random.choice(len(law), size=n, p=drawn) for _ in range(300))
    misses = [log_e_law(x, law, tolerated=tolerated) < -math.log(alpha) for x in draws]
    assert_mean_at_most(misses, 0.01, alpha=1e-6)


def test_the_count_of_misses_convicts_a_design_with_half_of_the_samples() -> None:
    law, alpha = [0.5, 0.5], 1e-4
    n = min_samples_law(law, 0.1, alpha=alpha) // 2
    misses = [log_e_law(generator(2, i).choice(2, size=n, p=[0.6, 0.4]), law) < -math.log(alpha) for i in range(300)]
    with pytest.raises(EvidenceError):
        assert_mean_at_most(misses, 0.01, alpha=1e-6)


@pytest.mark.parametrize("law", [[0.5, 0.5], [0.2, 0.3, 0.5], [0.9, 0.1, 0.0], [0.25] * 4, UNIFORM_9, SKEWED_9])
@pytest.mark.parametrize(("discrepancy", "tolerated"), [(0.1, 0.0), (0.03, 0.0), (0.1, 0.05)])
def test_designs_for_laws_round_trip(law: list[float], discrepancy: float, tolerated: float) -> None:
    n = min_samples_law(law, discrepancy, alpha=1e-8, tolerated=tolerated)
    found = min_discrepancy_law(law, n, alpha=1e-8, tolerated=tolerated)
    assert 0.8 * discrepancy <= found <= discrepancy * (1 + 1e-8)


def test_where_no_law_is_that_far_no_sample_is_needed() -> None:
    assert min_samples_law([1.0], 0.1, alpha=1e-6) == 0
    assert min_samples_law([0.5, 0.5], 0.6, alpha=1e-6) == 0
    assert min_discrepancy_law([1.0], 5, alpha=1e-6) == 0.0
    assert min_samples_same_law(1, 0.1, alpha=1e-6) == 0
    assert log_e_law([0, 0], [1.0]) == log_e_same_law([0, 0], [0, 0], 1) == 0.0


def test_a_smaller_discrepancy_level_or_miss_rate_needs_more_samples() -> None:
    law = [0.2, 0.3, 0.5]
    base = min_samples_law(law, 0.1, alpha=1e-6)
    assert min_samples_law(law, 0.05, alpha=1e-6) > 3 * base
    assert min_samples_law(law, 0.1, alpha=1e-12) > 1.3 * base
    assert min_samples_law(law, 0.1, alpha=1e-6, power=0.9999) > 1.1 * base
    assert min_samples_law(law, 0.1, alpha=1e-6, tolerated=0.05) > 3 * base


@pytest.mark.parametrize(
    ("law", "discrepancy"),
    [
        ([0.45, 0.55], 0.1),
        ([0.3, 0.2, 0.5], 0.2),
        ([0.0, 1.0], 0.1),
        ([0.1] * 7 + [0.3], 0.2),
        ([0.05] * 8 + [0.6], 0.3),
    ],
)
def test_two_laws_at_the_designed_discrepancy_are_missed_in_at_most_one_per_cent(
    law: list[float], discrepancy: float
) -> None:
    alpha, categories, random = 1e-4, len(law), generator(3)
    n, other = min_samples_same_law(categories, discrepancy, alpha=alpha), shifted(law, discrepancy)
    misses = []
    for _ in range(300):
        x, y = random.choice(categories, size=n, p=law), random.choice(categories, size=n, p=other)
        misses.append(log_e_same_law(x, y, categories) < -math.log(alpha))
    assert_mean_at_most(misses, 0.01, alpha=1e-6)


@pytest.mark.parametrize("categories", [2, 4, 8, 9, 20])
@pytest.mark.parametrize("discrepancy", [0.2, 0.05])
def test_designs_for_two_samples_round_trip(categories: int, discrepancy: float) -> None:
    n = min_samples_same_law(categories, discrepancy, alpha=1e-8)
    found = min_discrepancy_same_law(categories, n, alpha=1e-8)
    assert 0.8 * discrepancy <= found <= discrepancy * (1 + 1e-8)


@pytest.mark.parametrize(("discrepancy", "sharp"), [(0.5, 1.8), (0.3, 1.4), (0.1, 1.3), (0.03, 1.3)])
def test_the_designed_number_of_outcomes_rejects_every_constant_chance_that_is_off(
    discrepancy: float, sharp: float
) -> None:
    def missed(chance: float, samples: int) -> float:
        """Probability of no rejection where outcomes come with this chance and the discrepancy more."""
        least = bisect_left(
            range(int(chance * samples), samples + 1),
            True,
            key=lambda hits: log_e_chances([1] * hits + [0] * (samples - hits), [chance] * samples) >= -math.log(1e-6),
        )
        return float(binom.cdf(int(chance * samples) + least - 1, samples, chance + discrepancy))

    samples = min_samples_chances(discrepancy, alpha=1e-6)
    chances = np.linspace(0.01, 0.99 - discrepancy, 6)
    assert max(missed(chance, samples) for chance in chances) <= 0.01
    assert max(missed(chance, int(samples / sharp)) for chance in chances) > 0.01


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_designed_number_of_outcomes_rejects_chances_that_depend_on_the_past(sign: float) -> None:
    samples, random = min_samples_chances(0.25, alpha=1e-6), np.random.default_rng(0)
    misses = []
    for _ in range(300):
        outcomes: list[int] = []
        chances: list[float] = []
        for _ in range(samples):  # what came often is expected more often, so that it looks less like a violation
            share = (sum(outcomes) + 1) / (len(outcomes) + 2)
            chances.append(min(max(share - sign * 0.25, 0.0), 1.0) * 0.5 + 0.25)
            outcomes.append(int(random.random() < chances[-1] + sign * 0.25))
        misses.append(log_e_chances(outcomes, chances) < -math.log(1e-6))
    assert_mean_at_most(misses, 0.01, alpha=1e-6)
