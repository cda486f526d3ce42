"""The study of counting tells one law from two, and counts what each oracle draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from spanver.learners.spanner_sampling import largest_cost
from spanver.studies import counting
from spanver.studies.counting import RUNS, STUDY
from spanver.studies.engine.study import Measurement, Point
from spanver.verdicts import Verdict


def synthetic(points: int, *, surplus: float = 0.0) -> list[Measurement]:
    """Runs whose samples are normal, the literal ones with some more of them."""
    generator = np.random.default_rng(5)
    found = []
    for oracle in ("counted", "literal"):
        for size in (1.0, 4.0):
            for seed in range(points):
                numbers: dict[str, float | int | None] = {"drawn": 40.0}
                for run in range(RUNS):
                    more = surplus if oracle == "literal" else 0.0
                    numbers[f"samples_{run}"] = int(1000 + 100 * (generator.normal() + more))
                    numbers[f"spanner_{run}"] = int(generator.integers(1, 4))
                    numbers[f"theta_{run}"] = float(generator.random())
                found.append(Measurement(Point("counting", oracle, size, seed), numbers))
    return found


def verdicts(measured: list[Measurement]) -> set[Verdict | None]:
    return {claim.verdict for claim in STUDY.judge(measured)}


def test_samples_of_one_law_hold() -> None:
    assert verdicts(synthetic(18)) == {Verdict.HOLDS}


def test_samples_of_two_laws_violate() -> None:
    assert verdicts(synthetic(18, surplus=0.8)) == {Verdict.VIOLATED}


def test_too_few_runs_decide_nothing() -> None:
    assert verdicts(synthetic(4)) == {Verdict.UNDECIDED}
    assert verdicts([]) == {Verdict.UNDECIDED}


def test_a_joint_law_of_the_same_margins_is_told_apart() -> None:
    """The spanner is large where many samples were asked, in the literal runs alone."""
    coupled = []
    for each in synthetic(18):
        numbers = dict(each.numbers)
        if each.point.learner == "literal":
            for run in range(RUNS):
                numbers[f"spanner_{run}"] = 1 + 2 * int(float(numbers[f"samples_{run}"] or 0) > 1000)
        else:
            for run in range(RUNS):
                numbers[f"spanner_{run}"] = 1 + 2 * (run % 2)
        coupled.append(replace(each, numbers=numbers))
    joint, samples = STUDY.judge(coupled)
    assert joint.verdict is Verdict.VIOLATED
    assert samples.verdict is Verdict.HOLDS


@pytest.mark.parametrize("oracle", ["counted", "literal"])
def test_a_point_is_measured_again_to_the_same_numbers(oracle: str) -> None:
    point = Point("counting", oracle, 4.0, 11)
    numbers = STUDY.measure(point)
    assert numbers == STUDY.measure(point)
    assert numbers != STUDY.measure(replace(point, seed=12))
    settings = counting.settings(16.0)
    samples = [int(numbers[f"samples_{run}"] or 0) for run in range(RUNS)]
    # At least one pair a prompt, and a pilot, a trial and a second response a round; at most what the settings allow.
    assert min(samples) >= 2 * settings.prompts + 4 * settings.exploration_rounds
    assert max(samples) <= largest_cost(settings)
    sizes = {int(numbers[f"spanner_{run}"] or 0) for run in range(RUNS)}
    assert sizes <= set(range(settings.prompts + 1))
    assert len(sizes) > 1
    drawn = float(numbers["drawn"] or 0)
    assert (drawn == np.mean(samples)) if oracle == "literal" else (drawn < np.mean(samples) / 4)


def test_what_the_counted_oracle_draws_is_free_of_coverage() -> None:
    few, many = (STUDY.measure(Point("counting", "counted", size, 3)) for size in (8.0, 40.0))
    assert float(many["samples_0"] or 0) > 2**31 * float(few["samples_0"] or 0)
    assert float(many["drawn"] or 0) < 1.5 * float(few["drawn"] or 0)


def test_points_compare_where_the_literal_oracle_ends_and_go_on_to_2_to_the_40() -> None:
    for profile in ("quick", "full"):
        points = STUDY.points(profile)
        assert len(set(points)) == len(points)
        literal = [point.size for point in points if point.learner == "literal"]
        assert max(literal) == 8.0
        assert max(point.size for point in points) == 40.0


def test_the_figure_has_labelled_axes_and_the_slope() -> None:
    figure = Figure()
    STUDY.draw(figure, synthetic(2))
    for axes in figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    assert "slope 1" in figure.axes[1].get_legend_handles_labels()[1]
