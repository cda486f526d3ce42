"""The study of truncation measures E4's witness exactly, and judges it by E3 and E4."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from spanver.studies.engine.study import Measurement, Point
from spanver.studies.truncation import STUDY, witness
from spanver.verdicts import Verdict

POINTS = [Point("truncation", "spanner_sampling", float(size), 7 + seed) for size in (0, 5, 13) for seed in range(3)]
MEASURED = [Measurement(point, STUDY.measure(point)) for point in POINTS]


def verdicts(measured: list[Measurement]) -> dict[str, Verdict | None]:
    return {claim.guarantee: claim.verdict for claim in STUDY.judge(measured)}


def changed(**numbers: float) -> list[Measurement]:
    """What was measured, with other numbers at one point."""
    return [replace(MEASURED[0], numbers={**MEASURED[0].numbers, **numbers}), *MEASURED[1:]]


def test_the_witness_is_that_of_e4() -> None:
    for ratio in (1.0, 64.0, 9000.0):
        problem = witness(3, ratio)
        eta = problem.features[0, 1, 1]
        assert problem.radius / problem.beta == pytest.approx(ratio)
        assert 0 < eta * problem.radius / problem.beta <= 0.1
        assert problem.reward_range >= eta * problem.radius
        assert problem.log_base[0, 1] == pytest.approx(math.log(0.4))
        assert problem.log_base[0, 2] <= math.log(0.01) - ratio + 1e-9
        assert not problem.reward.any()


def test_coverage_without_truncation_is_that_of_the_softmax_summed_by_hand() -> None:
    for each in MEASURED:
        if each.point.size > 5:
            continue
        ratio = 2.0**each.point.size
        problem = witness(each.point.seed, ratio)
        # One pair is observed with a difference of at least eta B: theta is B in the direction of z.
        weights = np.exp(problem.features[0, :, 1] * ratio)
        total = float(np.exp(problem.log_base[0]) @ weights)
        assert each.numbers["untruncated"] == pytest.approx(math.log(weights[2] / total), rel=1e-9)
        # z is uncovered and keeps its base weight; of a and c only eta is left.
        kept = np.array([1.0, weights[1], 1.0])
        expected = math.log(weights[1] / float(np.exp(problem.log_base[0]) @ kept))
        assert each.numbers["truncated"] == pytest.approx(expected, rel=1e-6)
        assert each.numbers["optimal"] == pytest.approx(0.0, abs=1e-12)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    assert STUDY.measure(POINTS[0]) == MEASURED[0].numbers
    assert STUDY.measure(replace(POINTS[0], seed=99)) != MEASURED[0].numbers


def test_both_claims_hold_on_what_was_measured() -> None:
    assert verdicts(MEASURED) == {"E3": Verdict.HOLDS, "E4": Verdict.HOLDS}


def test_one_point_that_does_not_explode_violates_e4() -> None:
    bound = float(MEASURED[0].numbers["untruncated_bound"] or 0)
    assert verdicts(changed(untruncated=bound)) == {"E3": Verdict.HOLDS, "E4": Verdict.VIOLATED}


def test_one_truncated_policy_above_its_bound_violates_e3() -> None:
    assert verdicts(changed(truncated_worst=1.02)) == {"E3": Verdict.VIOLATED, "E4": Verdict.HOLDS}


def test_where_a_premise_fails_nothing_is_decided() -> None:
    undecided = {"E3": Verdict.UNDECIDED, "E4": Verdict.UNDECIDED}
    assert verdicts(changed(premise=0, untruncated=0.0)) == undecided
    assert verdicts(changed(optimal=0.5)) == undecided
    assert verdicts([]) == undecided


def test_points_reach_from_1_to_nearly_ten_thousand() -> None:
    for profile in ("quick", "full"):
        sizes = [point.size for point in STUDY.points(profile)]
        assert min(sizes) == 0.0
        assert 8000 <= 2 ** max(sizes) <= 10_000


def test_the_figure_has_labelled_axes_and_both_bounds() -> None:
    figure = Figure()
    STUDY.draw(figure, MEASURED)
    # What explodes is on the left alone: the right is a linear scale.
    for axes, bounds in zip(figure.axes, (["E3", "E4"], ["E3"]), strict=True):
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        labels = " ".join(axes.get_legend_handles_labels()[1])
        assert [each for each in ("E3", "E4") if each in labels] == bounds
