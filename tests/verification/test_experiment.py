"""When the e-value of an experiment is looked at, and how much is spent on a smaller instance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from checks import a_check, coin
from hypothesis import strategies as st

from spanver.errors import ViolationError
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment, explaining, law_experiment
from spanver.verification.search import experiments


def test_a_wrong_law_is_violated_early_and_shrunk_with_fresh_randomness() -> None:
    looked: list[int] = []

    @experiments(number=st.integers(0, 100))
    def biased(check: Check, number: int) -> Experiment:
        def observe(count: int, seed: int) -> Sequence[int]:
            looked.append(count)
            return coin(0.9 if number >= 3 else 0.5)(count, seed)

        return law_experiment(check, observe, np.array([0.5, 0.5]))

    check = a_check()
    with pytest.raises(ViolationError, match="e-value"):
        biased(check)
    assert check.finding.counterexample == {"number": 3}
    assert 64 in looked
    assert check.finding.kind == "statistical"


def test_a_violation_that_is_seen_late_is_shrunk_on_a_bounded_number_of_observations() -> None:
    observed: dict[int, int] = {}

    @experiments(number=st.integers(0, 10**6))
    def barely_biased(check: Check, number: int) -> Experiment:
        def observe(count: int, seed: int) -> Sequence[int]:
            observed[number] = observed.get(number, 0) + count
            return coin(0.53 if number >= 1000 else 0.5)(count, seed)

        return law_experiment(check, observe, np.array([0.5, 0.5]))

    with pytest.raises(ViolationError, match="e-value"):
        barely_biased(a_check(discrepancy=0.02))
    failed = next(index for index, number in enumerate(observed) if number >= 1000)
    smaller = list(observed.values())[failed + 1 :]
    assert smaller[0] >= 2**13
    assert 1 <= len(smaller) < 8
    assert sum(smaller[:-1]) < 2**15 <= sum(smaller)


def test_a_violation_names_the_mistakes_that_explain_it_the_likeliest_first() -> None:
    law, drawn = np.array([0.5, 0.5]), [0] * 60 + [1] * 20
    mistakes = {
        "the coin were fair": law,
        "it lay on its side": np.array([0.1, 0.9]),
        "tails were twice as likely": np.array([2.0, 1.0]) / 3.0,
        "tails were thrice as likely": np.array([0.75, 0.25]),
        "tails always came": np.array([1.0, 0.0]),
    }
    assert [name for name, _ in explaining(drawn, law, mistakes)] == [
        "tails were thrice as likely",
        "tails were twice as likely",
    ]
    assert explaining(drawn, law, {}) == []
    seen = law_experiment(a_check(), coin(0.75), law, mistakes=lambda: mistakes).seen(drawn)
    assert seen.expected == "0.5, and 0.75 if tails were thrice as likely or 0.6667 if tails were twice as likely"
