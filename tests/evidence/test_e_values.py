"""E-values have mean at most 1 under the null, by exhaustive enumeration, and grow with what contradicts it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from samples import ROUNDING, SKEWED_9, generator
from scipy.integrate import quad
from scipy.stats import binom

from spanver.errors import ArgumentError
from spanver.evidence import (
    Slope,
    assert_mean_at_most,
    compare_with_band,
    log_e_chances,
    log_e_law,
    log_e_mean,
    log_e_same_law,
    log_e_uncovered,
    log_e_violated_chances,
    log_e_violated_law,
    min_discrepancy_mean,
    min_samples_law,
    min_samples_mean,
    min_samples_same_law,
    slope,
    split_alpha,
)


def sequences(law: Sequence[float], length: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every sequence that can be drawn, and its probability."""
    possible = [y for y, p in enumerate(law) if p > 0]
    for sequence in itertools.product(possible, repeat=length):
        yield sequence, math.prod(law[y] for y in sequence)


def chance_of_ever(log_e: Callable[[tuple[int, ...]], float], law: Sequence[float], length: int, alpha: float) -> float:
    """The probability that `log_e` of some prefix reaches `1/alpha`, over all sequences of a law."""

    def from_prefix(prefix: tuple[int, ...]) -> float:
        if log_e(prefix) >= -math.log(alpha):
            return 1.0
        if len(prefix) == length:
            return 0.0
        return sum(p * from_prefix((*prefix, y)) for y, p in enumerate(law) if p > 0)

    return from_prefix(())


# Means


@pytest.mark.parametrize("bound", [1e-300, 0.01, 0.3, 0.5, 0.9, 1 - 1e-16])
def test_the_e_value_of_a_mean_has_mean_at_most_one_under_every_mean_up_to_the_bound(bound: float) -> None:
    for n in range(13):
        log_e = np.array([log_e_mean(s, n, bound) for s in range(n + 1)])
        for mean in (bound, 0.7 * bound, 0.0):
            assert float(np.exp(binom.logpmf(np.arange(n + 1), n, mean) + log_e).sum()) <= 1 + ROUNDING
        fair = float(np.exp(binom.logpmf(np.arange(n + 1), n, bound) + log_e).sum())
        assert fair == pytest.approx(1, abs=1e-9)  # on the bound nothing is wasted


def test_the_e_value_of_fractional_observations_has_mean_at_most_one() -> None:
    support, law = [0.0, 0.25, 1.0], [0.5, 0.4, 0.1]
    bound = float(np.dot(support, law))
    for n in range(8):
        expected = sum(p * math.exp(log_e_mean(sum(support[i] for i in s), n, bound)) for s, p in sequences(law, n))
        assert expected <= 1 + ROUNDING


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("bound", [0.1, 0.5])
def test_the_e_value_of_a_mean_ever_reaches_one_over_alpha_with_probability_at_most_alpha(
    bound: float, alpha: float
) -> None:
    ever = chance_of_ever(lambda x: log_e_mean(sum(x), len(x), bound), [1 - bound, bound], 14, alpha)
    assert 0 < ever <= alpha


@pytest.mark.parametrize(("total", "count", "bound"), [(7, 10, 0.3), (2.5, 9, 0.1), (0, 5, 0.5), (3, 3, 0.99)])
def test_the_e_value_of_a_mean_is_the_average_bet(total: float, count: int, bound: float) -> None:
    def weight(angle: float) -> float:  # q = sin(angle)^2 is Beta(1/2, 1/2) for a uniform angle
        q = math.sin(angle) ** 2
        return float((q / bound) ** total * ((1 - q) / (1 - bound)) ** (count - total))

    start = math.asin(math.sqrt(bound))
    integral = quad(weight, start, math.pi / 2, epsabs=0, epsrel=1e-11)[0]
    assert math.exp(log_e_mean(total, count, bound)) == pytest.approx(integral / (math.pi / 2 - start), rel=1e-8)


def test_the_e_value_of_a_mean_is_a_number_at_every_extreme() -> None:
    assert log_e_mean(0.0, 10**9, 0.0) == 0.0
    assert log_e_mean(1e-300, 10**9, 0.0) == math.inf
    assert log_e_mean(10**9, 10**9, 1.0) == log_e_mean(10**9, 10**9, 1.5) == log_e_mean(0, 0, 0.5) == 0.0
    assert log_e_mean(10**9, 10**9, 1e-300) == pytest.approx(1e9 * 300 * math.log(10), rel=1e-9)
    assert log_e_mean(1, 1, 1e-300) > 680
    for total, bound in itertools.product((0, 1, 3e8, 5e8, 10**9), (5e-324, 1e-300, 1e-9, 0.3, 0.5, 0.999, 1 - 1e-16)):
        assert math.isfinite(log_e_mean(total, 10**9, bound))


def test_the_e_value_of_a_mean_grows_with_the_total_and_falls_with_the_bound_where_it_exceeds_e() -> None:
    bounds = np.linspace(0.002, 0.998, 250)
    for n in (1, 2, 5, 40):
        rows = np.array([[log_e_mean(s, n, float(p)) for p in bounds] for s in range(n + 1)])
        assert (np.diff(rows, axis=0) > -ROUNDING).all()
        assert (np.diff(rows, axis=1)[rows[:, 1:] >= 1] < 0).all()


# Chances


def adaptive_chance(past: tuple[int, ...]) -> float:
    return (1 + 2 * sum(past)) / (2 + 2 * len(past)) if len(past) < 6 else 0.0  # 1/2, then 1/4 or 3/4, ...


def adaptive_sequences(
    chance: Callable[[tuple[int, ...]], float], n: int
) -> Iterator[tuple[list[int], list[float], float]]:
    for x in itertools.product((0, 1), repeat=n):
        q = [chance(x[:t]) for t in range(n)]
        yield list(x), q, math.prod(p if a else 1 - p for a, p in zip(x, q, strict=True))


@pytest.mark.parametrize("n", [0, 1, 4, 8])
def test_the_e_value_of_adaptive_chances_has_mean_one(n: int) -> None:
    expected = sum(p * math.exp(log_e_chances(x, q)) for x, q, p in adaptive_sequences(adaptive_chance, n) if p > 0)
    assert expected == pytest.approx(1, abs=1e-12)


def test_the_e_value_of_chances_is_infinite_once_the_impossible_happened() -> None:
    assert log_e_chances([0, 1], [0.5, 0.0]) == math.inf
    assert log_e_chances([1, 0], [0.5, 1.0]) == math.inf
    assert math.isfinite(log_e_chances([1, 0], [1.0, 0.0]))
    assert log_e_chances([1], [1e-300]) > 400


def test_the_e_value_of_chances_sees_outcomes_that_come_too_often_and_too_rarely() -> None:
    assert log_e_chances([1] * 60, [0.5] * 60) > math.log(1e6)
    assert log_e_chances([0] * 60, [0.5] * 60) > math.log(1e6)
    assert log_e_chances([0, 1] * 30, [0.5] * 60) < 0


def fresh_pairs_uncovered(past: tuple[int, ...]) -> float:
    """Three directions of probability 1/2, 1/3 and 1/6; each accepted pair covers the likeliest that is left."""
    return [1.0, 0.5, 1 / 6, 0.0][min(sum(past), 3)]


def test_the_e_value_of_s5_has_mean_exactly_one_when_each_round_accepts_the_uncovered() -> None:
    for n in range(9):
        rounds = adaptive_sequences(fresh_pairs_uncovered, n)
        assert sum(p * math.exp(log_e_uncovered(x, q)) for x, q, p in rounds) == pytest.approx(1, abs=1e-12)


def test_the_e_value_of_s5_falls_below_one_for_an_eager_spanner_and_rejects_a_lazy_one() -> None:
    eager = sum(
        p * math.exp(log_e_uncovered(x, [0.5 * c for c in q])) for x, q, p in adaptive_sequences(adaptive_chance, 5)
    )
    assert eager < 1
    assert log_e_uncovered([0] * 40, [0.5] * 40) > math.log(1e6)


@pytest.mark.parametrize("n", [0, 1, 4, 8])
@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.1])
def test_the_e_value_of_tolerated_chances_has_mean_at_most_one_wherever_they_lie(n: int, shift: float) -> None:
    def near(past: tuple[int, ...]) -> float:
        return min(1.0, max(0.0, adaptive_chance(past) + shift))

    stated = {tuple(x): q for x, q, _ in adaptive_sequences(adaptive_chance, n)}
    outcomes = ((x, p) for x, _, p in adaptive_sequences(near, n) if p > 0)
    mean = sum(p * math.exp(log_e_chances(x, stated[tuple(x)], tolerated=0.1)) for x, p in outcomes)
    assert mean <= 1 + ROUNDING


def high_at_first(past: tuple[int, ...]) -> float:
    return [0.9, 0.95, 0.9, 1.0][len(past)] if len(past) < 4 else adaptive_chance(past[4:])


def low_at_first(past: tuple[int, ...]) -> float:
    return 1.0 - high_at_first(past)


@pytest.mark.parametrize(
    ("chance", "n", "shift"),
    [
        *((adaptive_chance, n, shift) for n in (1, 4, 8) for shift in (-0.4, -0.2, 0.2, 0.4)),
        # Later outcomes cannot be shifted further to this side: what is claimed is possible from the first one on.
        *((high_at_first, 4, shift) for shift in (-0.4, -0.2)),
        *((low_at_first, 4, shift) for shift in (0.2, 0.4)),
    ],
)
def test_the_e_value_of_violated_chances_has_mean_at_most_one_under_every_violation(
    chance: Callable[[tuple[int, ...]], float], n: int, shift: float
) -> None:
    def violated(past: tuple[int, ...]) -> float:
        moved = chance(past) + shift
        return moved if 0.0 <= moved <= 1.0 else chance(past)

    stated = {tuple(x): q for x, q, _ in adaptive_sequences(chance, n)}
    outcomes = ((x, p) for x, _, p in adaptive_sequences(violated, n) if p > 0)
    assert sum(p * math.exp(log_e_violated_chances(x, stated[tuple(x)], 0.2)) for x, p in outcomes) <= 1 + ROUNDING


def test_violated_chances_are_excluded_by_outcomes_as_they_should_be() -> None:
    assert log_e_violated_chances([0, 1] * 100, [0.5] * 200, 0.2) > math.log(1e3)
    assert log_e_violated_chances([0, 1, 1] * 100, [0.5] * 300, 0.1) < 0.0
    assert log_e_violated_chances([0, 1], [0.9, 0.1], 0.1) == math.inf


def test_a_violation_that_no_outcome_could_have_is_no_part_of_the_claim() -> None:
    assert log_e_violated_chances([1] * 200, [0.9] * 200, 0.2) > math.log(1e3)  # to the other side, -0.2, it could
    assert log_e_violated_chances([0, 1] * 100, [0.5] * 200, 0.6) == 0.0  # to neither side


# Laws


@pytest.mark.parametrize("drawn", [[0.3, 0.3, 0.4], [0.1, 0.4, 0.5], [0.2, 0.2, 0.6], [0.0, 0.35, 0.65]])
def test_the_e_value_of_a_violated_law_has_mean_at_most_one_under_every_violation(drawn: list[float]) -> None:
    for n in range(7):
        values = ((log_e_violated_law(np.array(x, dtype=int), [0.2, 0.3, 0.5], 0.1), p) for x, p in sequences(drawn, n))
        assert sum(p * math.exp(value) for value, p in values) <= 1 + ROUNDING


def test_a_violated_law_is_seldom_excluded_and_a_right_one_with_half_of_the_samples() -> None:
    law, samples, seeds = [0.2, 0.3, 0.5], min_samples_law([0.2, 0.3, 0.5], 0.1, alpha=1e-8), 150

    def excluded_after(drawn_from: list[float], seed: int) -> float:
        drawn = generator(7, seed).choice(3, size=samples, p=drawn_from)
        looks = range(64, samples, 128)
        found = (count for count in looks if log_e_violated_law(drawn[:count], law, 0.1) >= -math.log(0.005))
        return next(found, math.inf)

    missed = [excluded_after([0.1, 0.4, 0.5], seed) < math.inf for seed in range(seeds)]
    assert_mean_at_most(missed, 0.005, alpha=1e-9)
    assert np.median([excluded_after(law, seed) for seed in range(20)]) <= samples / 2


@pytest.mark.parametrize("law", [[0.5, 0.5], [0.2, 0.8], [0.0, 1.0], [0.2, 0.3, 0.5], [0.7, 0.3, 0.0], [1.0]])
def test_the_e_value_of_a_law_has_mean_at_most_one(law: list[float]) -> None:
    for n in range(7):
        assert sum(p * math.exp(log_e_law(np.array(x, dtype=int), law)) for x, p in sequences(law, n)) <= 1 + ROUNDING


@pytest.mark.parametrize("drawn", [[0.3, 0.2, 0.5], [0.2, 0.4, 0.4], [0.25, 0.35, 0.4], [0.1, 0.3, 0.6]])
def test_the_e_value_has_mean_at_most_one_on_the_boundary_of_what_is_tolerated(drawn: list[float]) -> None:
    for n in range(6):
        mean = sum(
            p * math.exp(log_e_law(np.array(x, dtype=int), [0.2, 0.3, 0.5], tolerated=0.1))
            for x, p in sequences(drawn, n)
        )
        assert mean <= 1 + ROUNDING


@pytest.mark.parametrize("tolerated", [0.0, 0.1])
def test_the_e_value_of_many_categories_has_mean_at_most_one(tolerated: float) -> None:
    drawn = np.array(SKEWED_9)
    drawn[0] += tolerated
    drawn[1] -= tolerated
    for n in range(5):
        mean = sum(
            p * math.exp(log_e_law(np.array(x, dtype=int), SKEWED_9, tolerated=tolerated))
            for x, p in sequences(drawn.tolist(), n)
        )
        assert mean <= 1 + ROUNDING


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_e_value_of_a_law_ever_reaches_one_over_alpha_with_probability_at_most_alpha(alpha: float) -> None:
    law = [0.1, 0.3, 0.6]
    ever = chance_of_ever(lambda x: log_e_law(np.array(x, dtype=int), law), law, 7, alpha)
    assert 0 < ever <= alpha


@pytest.mark.parametrize("law", [[0.5, 0.5, 0.0], [0.125] * 8 + [0.0]])
def test_an_impossible_category_is_infinite_evidence_unless_tolerated(law: list[float]) -> None:
    seen = [len(law) - 1, 0, 1]
    assert log_e_law(seen, law) == math.inf
    assert math.isfinite(log_e_law(seen, law, tolerated=0.01))


def test_a_category_of_tiny_probability_is_nearly_infinite_evidence() -> None:
    assert 600 < log_e_law([0, 0, 1], [0.5, 1e-300, 0.5 - 1e-300]) < math.inf


def test_the_order_of_observations_does_not_matter_up_to_eight_categories() -> None:
    assert log_e_law([0, 0, 1, 2], [0.2, 0.3, 0.5]) == log_e_law([2, 0, 1, 0], [0.2, 0.3, 0.5])


# Two samples


@pytest.mark.parametrize(("law", "longest"), [([0.3, 0.7], 5), ([0.2, 0.3, 0.5], 3), (SKEWED_9, 2)])
def test_the_e_value_of_the_same_law_has_mean_at_most_one(law: list[float], longest: int) -> None:
    for n in range(longest + 1):
        both = ((np.array(x[:n], dtype=int), np.array(x[n:], dtype=int), p) for x, p in sequences(law, 2 * n))
        assert sum(p * math.exp(log_e_same_law(x, y, len(law))) for x, y, p in both) <= 1 + ROUNDING


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_e_value_of_the_same_law_ever_reaches_one_over_alpha_with_probability_at_most_alpha(alpha: float) -> None:
    pairs = [p * q for p, q in itertools.product((0.3, 0.7), repeat=2)]
    ever = chance_of_ever(
        lambda xy: log_e_same_law(np.array(xy, dtype=int) // 2, np.array(xy, dtype=int) % 2, 2), pairs, 7, alpha
    )
    assert 0 < ever <= alpha


def test_the_e_value_of_the_same_law_is_the_average_of_its_events() -> None:
    x, y = [0, 0, 1, 2, 0, 2], [1, 2, 1, 0, 1, 1]
    expected = []
    for event in ({0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}):
        signs = [(a in event) - (b in event) for a, b in zip(x, y, strict=True)]
        expected.append(math.exp(log_e_mean(signs.count(1), len(signs) - signs.count(0), 0.5)))
    assert math.exp(log_e_same_law(x, y, 3)) == pytest.approx(sum(expected) / 6, rel=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: log_e_mean(3, 2, 0.5),
        lambda: log_e_mean(math.nan, 2, 0.5),
        lambda: log_e_mean(1, 2, -0.1),
        lambda: log_e_mean(0, -1, 0.5),
        lambda: log_e_chances([2], [0.5]),
        lambda: log_e_chances([1], [1.5]),
        lambda: log_e_chances([1, 0], [0.5]),
        lambda: log_e_uncovered([0.5], [0.5]),
        lambda: log_e_law([0, 2], [0.5, 0.5]),
        lambda: log_e_law([-1], [0.5, 0.5]),
        lambda: log_e_law([0.0], [0.5, 0.5]),
        lambda: log_e_law([0], [0.5, 0.4]),
        lambda: log_e_law([0], []),
        lambda: log_e_law([0], [0.5, 0.5], tolerated=1.0),
        lambda: log_e_same_law([0], [0, 1], 2),
        lambda: log_e_same_law([0], [2], 2),
        lambda: min_samples_mean(0.9, 0.2, alpha=0.1),
        lambda: min_samples_mean(0.9, 0.0, alpha=0.1),
        lambda: min_samples_mean(0.5, 1e-12, alpha=0.1),
        lambda: min_samples_law([0.5, 0.5], 0.1, alpha=0.1, tolerated=0.1),
        lambda: min_samples_law([0.5, 0.5], 1.1, alpha=0.1),
        lambda: min_samples_same_law(0, 0.1, alpha=0.1),
        lambda: min_discrepancy_mean(0.5, -1, alpha=0.1),
        lambda: assert_mean_at_most([1.5], 0.5, alpha=0.1),
        lambda: split_alpha(0.1, 0, 1),
        lambda: slope([1, 1], [[1, 2], [1, 2]]),
        lambda: slope([1, 2], [[1, 2]]),
        lambda: slope([1, 2], [[1, 0], [1, 2]]),
        lambda: compare_with_band(Slope(1, 1, 1, 0.95), (2, 1)),
    ],
)
def test_bad_arguments_are_refused_on_entry(call: Callable[[], object]) -> None:
    with pytest.raises(ArgumentError):
        call()
