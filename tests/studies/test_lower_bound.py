"""The study of the lower bound knows each learner's ceiling, and sees a learner that passes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from spanver.exact.tabular import log_optimal_law, objective
from spanver.guarantees.headline import needle_met_weak_exact
from spanver.studies import lower_bound
from spanver.studies.engine.study import Measurement, Numbers, Point
from spanver.studies.lower_bound import NEEDLES, RESPONSES, RUNS, STUDY, ceiling, problem_of
from spanver.verdicts import Verdict


def synthetic(reached: Callable[[str, int], int], *, points: int = 10) -> list[Measurement]:
    """Every learner as it would be with so many successes in each point at each effort."""
    found = []
    for learner, ladder in NEEDLES.items():
        numbers: dict[str, float | int | None] = {}
        for exponent in ladder.efforts:
            cost = ladder.most(exponent)
            numbers[f"reached_{exponent}"] = reached(learner, exponent)
            numbers[f"samples_{exponent}"] = cost.weak + cost.strong
            numbers[f"rewards_{exponent}"] = cost.rewards
        point = Point("lower-bound", learner, float(ladder.log_coverage), 0)
        found += [Measurement(replace(point, seed=seed), numbers) for seed in range(points)]
    return found


def verdicts(measured: list[Measurement]) -> dict[str, Verdict | None]:
    return dict(zip(NEEDLES, (claim.verdict for claim in STUDY.judge(measured)), strict=True))


def test_learners_that_fail_where_they_must_hold() -> None:
    found = verdicts(synthetic(lambda learner, exponent: RUNS if ceiling(learner, exponent) >= 1.0 else 0))
    assert set(found.values()) == {Verdict.HOLDS}


@pytest.mark.parametrize("cheat", NEEDLES)
def test_a_learner_that_succeeds_for_a_few_samples_is_seen_and_no_other(cheat: str) -> None:
    first = NEEDLES[cheat].efforts[0]
    found = verdicts(synthetic(lambda learner, exponent: RUNS if (learner, exponent) == (cheat, first) else 0))
    assert {learner for learner, verdict in found.items() if verdict is Verdict.VIOLATED} == {cheat}


def test_too_few_runs_decide_nothing() -> None:
    assert set(verdicts(synthetic(lambda *_: 0, points=1)).values()) == {Verdict.UNDECIDED}
    assert set(verdicts([]).values()) == {Verdict.UNDECIDED}


def test_a_learner_that_asked_for_more_than_its_effort_allows_is_not_judged() -> None:
    greedy: list[Measurement] = []
    for each in synthetic(lambda *_: 0):
        numbers: Numbers = {
            name: 10 * int(number or 0) if name.startswith("samples") else number
            for name, number in each.numbers.items()
        }
        greedy.append(replace(each, numbers=numbers))
    assert set(verdicts(greedy).values()) == {Verdict.UNDECIDED}


def test_the_ceiling_of_the_passive_learner_is_above_the_exact_chance_of_meeting_the_needle() -> None:
    """It succeeds when its 2T samples meet the needle, or its one output does."""
    coverage = 2.0 ** NEEDLES["passive"].log_coverage
    for exponent in NEEDLES["passive"].efforts:
        met = needle_met_weak_exact(2 * 2**exponent, 0, RESPONSES, coverage)
        assert met < ceiling("passive", exponent)


def test_success_needs_as_much_mass_at_the_needle_as_the_ceiling_is_divided_by() -> None:
    """J(pi) is at most pi(y*), here at the optimum, where it is largest."""
    for ladder in NEEDLES.values():
        problem = problem_of(ladder, 4)
        best = log_optimal_law(problem)
        needle = int(problem.reward[0].argmax())
        assert 0.5 <= objective(problem, best) <= 2.718281828 ** float(best[0, needle])


@pytest.mark.parametrize("learner", ["passive", "best_of_n", "online_dpo", "xpo"])
def test_a_point_is_measured_again_to_the_same_numbers_and_asks_for_what_it_may(
    learner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = replace(NEEDLES[learner], efforts=(0, 3))
    monkeypatch.setattr(lower_bound, "NEEDLES", {learner: ladder})
    point = Point("lower-bound", learner, float(ladder.log_coverage), 5)
    numbers = STUDY.measure(point)
    assert numbers == STUDY.measure(point)
    for exponent in (0, 3):
        cost, rounds = NEEDLES[learner].most(exponent), 2**exponent
        output = rounds if learner == "best_of_n" else 1
        assert numbers[f"samples_{exponent}"] == cost.weak + cost.strong - output
        assert numbers[f"rewards_{exponent}"] == cost.rewards == 2 * rounds
        assert 0 <= int(numbers[f"reached_{exponent}"] or 0) <= RUNS


def test_spanner_sampling_asks_for_what_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower_bound, "RUNS", 1)
    ladder = replace(NEEDLES["spanner_sampling"], efforts=(0, 20))
    monkeypatch.setattr(lower_bound, "NEEDLES", {"spanner_sampling": ladder})
    numbers = STUDY.measure(Point("lower-bound", "spanner_sampling", 20.0, 5))
    for exponent in (0, 20):
        cost = NEEDLES["spanner_sampling"].most(exponent)
        assert cost.weak / 4 < float(numbers[f"samples_{exponent}"] or 0) < cost.weak
        assert 200 <= float(numbers[f"rewards_{exponent}"] or 0) <= cost.rewards
    assert (numbers["reached_0"], numbers["reached_20"]) == (0, 1)


def test_every_learner_that_draws_has_points_in_both_profiles() -> None:
    for profile in ("quick", "full"):
        points = STUDY.points(profile)
        assert len(set(points)) == len(points)
        assert {point.learner for point in points} == set(NEEDLES)
        assert "elliptical" not in NEEDLES  # it lists the responses


def test_the_figure_has_labelled_axes_and_a_ceiling_for_every_learner() -> None:
    figure = Figure()
    STUDY.draw(figure, synthetic(lambda *_: 3))
    labels = [label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]
    assert sum("ceiling" in label for label in labels) == len(NEEDLES)
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert figure.axes[0].get_ylabel()
