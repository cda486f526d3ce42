"""The study of data recovers planted slopes, and a point needs more rewards for smaller gaps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from spanver.studies import data
from spanver.studies.data import GAPS, STUDY
from spanver.studies.engine.study import Measurement, Point
from spanver.studies.entrants import ROUNDS
from spanver.verdicts import Verdict

DIMENSIONS = (4, 8, 16)


def synthetic(rewards: Callable[[int, float], float], dimensions: tuple[int, ...] = DIMENSIONS) -> list[Measurement]:
    """Points at which so many rewards are needed, up to a few per cent."""
    generator = np.random.default_rng(3)
    return [
        Measurement(
            Point("data", "spanner_sampling", float(dimension), seed),
            {name: rewards(dimension, eps) * math.exp(0.02 * generator.normal()) for name, eps in GAPS.items()},
        )
        for dimension in dimensions
        for seed in range(5)
    ]


def verdicts(measured: list[Measurement]) -> list[Verdict]:
    return [claim.verdict for claim in STUDY.judge(measured) if claim.verdict]


def solved(constant: float, power: float) -> float:
    """Solution of `T / log^2 T = constant * power`, above `e^2`."""
    total = 100.0
    for _ in range(200):
        total = constant * power * math.log(total) ** 2
    return total


def test_what_theory_says_holds() -> None:
    kept = synthetic(lambda dimension, eps: solved(dimension**1.5, eps**-0.9))
    assert verdicts(kept) == [Verdict.HOLDS, Verdict.HOLDS]


def test_data_that_grow_like_the_cube_of_the_dimension_violate() -> None:
    assert verdicts(synthetic(lambda dimension, eps: 50 * dimension**3 / eps**0.5))[0] is Verdict.VIOLATED


def test_data_that_grow_like_the_square_of_the_inverse_gap_violate() -> None:
    assert verdicts(synthetic(lambda dimension, eps: 50 * dimension / eps**2))[1] is Verdict.VIOLATED


def test_ladders_that_are_too_short_decide_nothing() -> None:
    undecided = [Verdict.UNDECIDED, Verdict.UNDECIDED]
    assert verdicts(synthetic(lambda dimension, eps: 50 * dimension / eps, (4, 8)))[0] is Verdict.UNDECIDED
    assert verdicts([]) == undecided
    unreached = synthetic(lambda dimension, eps: 50 * dimension / eps)
    finest = tuple(GAPS)[-1]
    unreached[0] = replace(unreached[0], numbers={**unreached[0].numbers, finest: None})
    assert verdicts(unreached) == undecided


def test_slopes_for_comparison_are_not_judged() -> None:
    compared = [claim for claim in STUDY.judge(synthetic(lambda _, eps: 50 / eps)) if claim.verdict is None]
    assert len(compared) == 2
    assert compared[1].slope is not None
    assert compared[1].slope.estimate == pytest.approx(1.0, abs=0.05)


def test_a_point_is_measured_again_to_the_same_numbers_and_smaller_gaps_need_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = {name: GAPS[name] for name in tuple(GAPS)[:5]}
    monkeypatch.setattr(data, "GAPS", few)
    point = Point("data", "spanner_sampling", 3.0, 17)
    numbers = STUDY.measure(point)
    assert numbers == STUDY.measure(point)
    assert numbers != STUDY.measure(replace(point, seed=18))
    rewards = [float(numbers[name] or 0) for name in few]
    assert rewards == sorted(rewards)
    # Each round of phase 2 asks two, and there are at least ROUNDS of them.
    assert rewards[0] >= 2 * ROUNDS
    assert rewards[-1] < 10_000
    assert float(numbers["coverage"] or 0) > 1.0


def test_gaps_lie_on_both_sides_of_beta() -> None:
    gaps = sorted(GAPS.values())
    assert gaps[0] < data.BETA
    assert gaps[-1] > data.BETA
    assert tuple(name for name in GAPS if GAPS[name] <= data.BETA) == data.BELOW
    assert len(data.BELOW) >= 5


def test_both_profiles_have_ladders_that_can_decide() -> None:
    for profile in ("quick", "full"):
        points = STUDY.points(profile)
        sizes = sorted({point.size for point in points})
        assert len(sizes) >= 3
        assert sizes[-1] >= 4 * sizes[0]
        assert len(set(points)) == len(points)


def test_the_figure_has_labelled_axes_and_theory() -> None:
    figure = Figure()
    STUDY.draw(figure, synthetic(lambda dimension, eps: 50 * dimension / eps))
    left, right = figure.axes
    assert left.get_ylabel()
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert "slope 2" in left.get_legend_handles_labels()[1]
    assert any("min" in label for label in right.get_legend_handles_labels()[1])
