"""Every number that a record states next to what it follows from: an edited one is caught, by the row that it is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alterations import Change, add, altered_copy, assign, change_by, more, put

from spanver.problems.families.needle import needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.runs import evaluation
from spanver.runs.certify import Certificate, certify
from spanver.runs.execution import execute
from spanver.runs.plans import largest_costs, make_plan
from spanver.runs.records import load_record
from spanver.verdicts import Verdict

SMALL: dict[str, Any] = {
    "prompts": 40,
    "pairs_per_prompt": 6,
    "nu": 0.3,
    "exploration_rounds": 12,
    "rejection_multiplier": 8.0,
    "rejection_failure": 0.2,
}
FEW = {"prompts": 10, "exploration_rounds": 6, "rejection_failure": 0.3}


def violated(path: Path) -> set[str]:
    return ids_violated(certify(load_record(path)))


def ids_violated(certificate: Certificate) -> set[str]:
    return {claim.id for claim in certificate.claims if claim.verdict is Verdict.VIOLATED}


def recorded(path: Path, **options: Any) -> Path:
    problem = random_problem(3, prompts=3, responses=8, dimension=3, zeros=0.25)
    execute(make_plan(problem, seed=6, **{"overrides": SMALL, **options}), path)
    return path


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("exact") / "run.json")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("staged") / "run.json", overrides=FEW, budget=30_000)


def test_a_record_states_the_bounds_that_its_plan_has(exact: Path) -> None:
    record = load_record(exact)
    planned = largest_costs(record.plan.settings, 3, record.plan.sampler_spec.most)
    assert record.summary["bounds"]["rewards"] == planned["rewards"] == 2 * (40 + 12)
    assert record.summary["bounds"]["samples"] == planned["samples"]


# An exact gap on a table


def gap_everywhere(factor: float) -> Change:
    """Another gap, at every place that states it."""

    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        gap = summary["gap"]["value"] * factor
        summary["gap"] = {"value": gap, "low": gap, "high": gap, "exact": True}
        gain = summary["base_gap"] - gap
        summary["improvement"] = {"value": gain, "low": gain, "high": gain, "exact": True}
        arrays["mixture_gaps"][-1] = gap

    return change


def the_gap(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    for name in ("value", "low", "high"):
        summary["gap"][name] *= 0.5


def no_intervals(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    for name in ("gap", "improvement"):
        summary[name]["low"] = summary[name]["high"] = None


def estimated(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["gap"]["exact"] = summary["improvement"]["exact"] = False


def swapped(name: str) -> Change:
    return lambda _, arrays: arrays[name].__setitem__([2, 5], arrays[name][[5, 2]])


def shorter_curves(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    for name in ("rounds", "round_gaps", "mixture_gaps"):
        arrays[name] = arrays[name][1:]


def other_responses(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["spanner_first"], arrays["spanner_second"] = arrays["spanner_second"], arrays["spanner_first"].copy()


def texts(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["exploration_first"] = arrays["exploration_first"].astype(np.str_)


STATED: list[tuple[str, Change, set[str]]] = [
    ("the gap", the_gap, {"record", "I2"}),
    ("the gap and all that repeats it", gap_everywhere(1 + 1e-6), {"I2"}),
    ("the value of the gap alone", change_by("gap", "value", factor=1 + 1e-12), {"record"}),
    ("an end of its interval", change_by("gap", "high", factor=1 + 1e-12), {"record"}),
    ("the intervals left out", no_intervals, {"record"}),
    ("the gap as an estimate", estimated, {"record", "I2"}),
    ("the gain", change_by("improvement", "value", factor=1 - 1e-12), {"record"}),
    ("the gap of the base policy", change_by("base_gap", factor=1 + 1e-9), {"record", "I2"}),
    ("the curve of mixtures", add("mixture_gaps", 4, 1e-9), {"I2"}),
    ("the curve of rounds", add("round_gaps", 7, 1e-9), {"I2"}),
    ("the first point of a curve", add("round_gaps", 0, 1e-9), {"record", "I2"}),
    ("the rounds of the curves", assign("rounds", 3, 7), {"record"}),
    ("the length of the curves", shorter_curves, {"record", "I2"}),
    ("two parameters swapped", swapped("exploration_thetas"), {"E6", "I2"}),
    ("the coverage", change_by("problem", "coverage", factor=1 - 1e-9), {"I3"}),
    ("the range of rewards", put("problem", "reward_range", value=2.5), {"record", "problem"}),
    ("the name of the problem", put("problem", "name", value="needle"), {"problem"}),
    ("the seed of the problem", put("plan", "parameters", "seed", value=4), {"problem", "I2", "I3"}),
    ("a parameter left out", lambda summary, _: summary["plan"]["parameters"].pop("zeros"), {"problem"}),
    ("a parameter that there is none of", put("plan", "parameters", "colour", value="red"), {"problem"}),
    ("a parameter that is refused", put("plan", "parameters", "noise", value=2.0), {"problem"}),
    ("the responses of the spanner's pairs", other_responses, {"problem"}),
    ("a response of exploration", add("exploration_first", 3, 100), {"problem"}),
    ("a prompt of the spanner", assign("spanner_prompts", 0, -1), {"problem"}),
    ("names that are texts", texts, {"problem"}),
    ("a feature, by little", add("exploration_vectors", (11, 1), 1e-13), {"problem"}),
    ("a reward difference, by little", add("spanner_targets", 2, 1e-13), {"problem"}),
    ("nu gamma", change_by("bounds", "score_error", factor=1 + 1e-9), {"record"}),
    ("the limit of nu gamma", change_by("bounds", "score_error_limit", factor=2.0), {"record"}),
    ("the cost of the evaluation", more("evaluation", "ledger", "samples", by=1), {"record"}),
    ("a coverage that was reached", put("coverage_reached", value=4.0), {"record"}),
]


@pytest.mark.parametrize(
    ("change", "rows"), [row[1:] for row in STATED], ids=[row[0].replace(" ", "_") for row in STATED]
)
def test_an_edited_number_is_caught_by_its_row(exact: Path, tmp_path: Path, change: Change, rows: set[str]) -> None:
    assert violated(altered_copy(exact, tmp_path / "run.json", change)) == rows


def test_a_record_with_stages_holds_and_its_numbers_are_caught_too(staged: Path, tmp_path: Path) -> None:
    assert violated(staged) == set()
    for value in (3.0, 0.5, None):
        assert "record" in violated(altered_copy(staged, tmp_path / "run.json", put("coverage_reached", value=value)))
    assert "I2" in violated(altered_copy(staged, tmp_path / "run.json", add("mixture_gaps", 1, 1e-9)))


# An estimated gap on a table


ESTIMATED: list[tuple[Change, set[str]]] = [
    (lambda summary, arrays: None, set()),
    (add("round_gaps", 3, 1e-9), {"record", "I2"}),
    (change_by("gap", "low", factor=1 - 1e-6), {"record", "I2"}),
    (put("gap", "exact", value=True), {"record", "I2"}),
    (assign("rounds", 0, 13), {"record"}),
    (put("plan", "seed", value=7), {"I2"}),
]


def test_an_estimated_gap_is_recomputed_from_the_draws_of_its_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(evaluation, "EXACT_LIMIT", 0)
    genuine = recorded(tmp_path / "genuine.json")
    for change, rows in ESTIMATED:
        assert violated(altered_copy(genuine, tmp_path / "run.json", change)) == rows


# What is not compared


def test_gaps_are_not_compared_where_a_norm_is_nu(tmp_path: Path) -> None:
    # All vectors are the needle's, of length 1, and the ridge is 1: after three pairs its norm is 1/sqrt(1 + 3).
    settings = {"prompts": 40, "nu": 0.5 * (1 + 1e-12), "exploration_rounds": 4}
    execute(make_plan(needle_problem(0, coverage=4.0), seed=2, overrides=settings), tmp_path / "run.json")
    certificate = certify(load_record(tmp_path / "run.json"))
    assert {claim.verdict for claim in certificate.claims} == {Verdict.HOLDS}
    assert "I2" not in {claim.id for claim in certificate.claims}
    assert "within rounding of nu" in certificate.uncompared
