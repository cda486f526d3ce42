"""Assertions about data pass on right data, and state both error rates on biased data."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from samples import UNIFORM_9, generator

from spanver.evidence import EvidenceError, assert_law, assert_mean_at_most, assert_same_law, assert_slope, split_alpha

# Assertions


def test_assertions_pass_on_right_data() -> None:
    random = generator(4)
    assert_mean_at_most(random.random(2000) < 0.3, 0.3, alpha=1e-6)
    assert_law(random.choice(3, size=2000, p=[0.2, 0.3, 0.5]), [0.2, 0.3, 0.5], alpha=1e-6)
    assert_law(random.choice(9, size=2000), UNIFORM_9, alpha=1e-6)
    assert_same_law(random.choice(3, size=2000), random.choice(3, size=2000), 3, alpha=1e-6)
    assert_slope([1, 2, 4], [[1.0, 2.0, 4.0], [2.0, 4.1, 8.0], [3.0, 6.0, 12.1]], (0.9, 1.1))


def biased_mean() -> None:
    assert_mean_at_most(generator(5).random(2000) < 0.4, 0.3, alpha=1e-6)


def biased_law() -> None:
    assert_law(generator(6).choice(3, size=2000, p=[0.3, 0.3, 0.4]), [0.2, 0.3, 0.5], alpha=1e-6)


def biased_sample() -> None:
    random = generator(7)
    assert_same_law(
        random.choice(3, size=2000, p=[0.3, 0.3, 0.4]), random.choice(3, size=2000, p=[0.5, 0.3, 0.2]), 3, alpha=1e-6
    )


@pytest.mark.parametrize("biased", [biased_mean, biased_law, biased_sample])
def test_assertions_raise_on_a_planted_bias_and_state_both_error_rates(biased: Callable[[], None]) -> None:
    with pytest.raises(EvidenceError, match="e-value") as raised:
        biased()
    sentence = str(raised.value)
    assert isinstance(raised.value, AssertionError)
    assert "1/alpha = 1e+06" in sentence
    assert "n = 2000" in sentence
    assert "of 0." in sentence  # the smallest violation that would have been caught
    assert "probability 0.99" in sentence


def test_the_sentence_survives_impossible_data_and_samples_too_few_to_catch_anything() -> None:
    with pytest.raises(EvidenceError, match=r"exp\(inf\).*of 0\.684 or more"):
        assert_law([0, 1, 1, 1], [1.0, 0.0], alpha=1e-6)
    with pytest.raises(EvidenceError, match=r"e-value .*no violation for sure"):
        assert_law([0, 1, 8], [0.125] * 8 + [0.0], alpha=1e-6)


def test_the_level_of_a_run_is_divided_over_guarantees_and_instances() -> None:
    assert split_alpha(1e-6, 10, 8) * 80 == pytest.approx(1e-6)
    assert split_alpha(0.5, 1, 1) == 0.5
