"""Genuine records hold on every check, and a record in which one thing was altered is caught, by name."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from alterations import Change, add, altered_copy, assign, more, put, scale, trace_of
from faults import plant

from spanver.errors import ArgumentError, SpanverError
from spanver.kernels import update_inverse_factor
from spanver.parameter_sets import Box
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.runs.certify import CERTIFIED, certify
from spanver.runs.execution import execute
from spanver.runs.plans import make_plan
from spanver.runs.records import load_record
from spanver.values import FloatArray
from spanver.verdicts import Verdict

Kernel: TypeAlias = Callable[[FloatArray, FloatArray], tuple[FloatArray, float]]

SMALL: dict[str, Any] = {
    "prompts": 40,
    "pairs_per_prompt": 6,
    "nu": 0.3,
    "exploration_rounds": 12,
    "rejection_multiplier": 8.0,
    "rejection_failure": 0.2,
}
FEW = {"prompts": 30, "exploration_rounds": 6}

ALONE = ("S1", "S2", "S3", "S4", "S7", "E6", "R1", "O1", "record")
ROWS = (*ALONE, "problem", "I2", "I3")


def verdicts(path: Path) -> dict[str, Verdict]:
    return {claim.id: claim.verdict for claim in certify(load_record(path)).claims}


def violated(path: Path) -> set[str]:
    return {name for name, verdict in verdicts(path).items() if verdict is Verdict.VIOLATED}


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genuine") / "run.json"
    plan = make_plan(random_problem(3, prompts=3, responses=8, dimension=3), seed=6, overrides=SMALL)
    execute(plan, path)
    return path


@pytest.fixture
def altered(genuine: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """Copy of the genuine record with one change to the content of its two files."""

    def alter(change: Change) -> Path:
        return altered_copy(genuine, tmp_path / "run.json", change)

    return alter


# Genuine records


@pytest.mark.parametrize(
    "options",
    [
        {"overrides": SMALL},
        {"overrides": SMALL, "oracle": "literal"},
        {"overrides": SMALL, "sampler": "race"},
        {"overrides": SMALL, "sampler": "race", "oracle": "literal"},
        {"overrides": FEW},
        {"overrides": FEW, "settings_kind": "derived"},
        {"overrides": FEW, "settings_kind": "derived", "oracle": "literal", "coverage": 2.0},
        {"overrides": {**FEW, "nu": 0.05, "ridge": 0.5}, "settings_kind": "derived", "sampler": "race"},
        {"overrides": FEW, "budget": 400_000},
        {"overrides": {**FEW, "rejection_failure": 0.3}, "budget": 30_000, "oracle": "literal"},
        {"overrides": FEW, "budget": 10**8, "settings_kind": "derived"},
        {"overrides": FEW, "budget": 10**7, "settings_kind": "derived", "sampler": "race"},
        {"overrides": {"prompts": 1, "exploration_rounds": 1}},
    ],
    ids=lambda options: "-".join(str(value) for key, value in options.items() if key != "overrides") or "plain",
)
def test_a_genuine_record_holds_on_every_check(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "run.json"
    finished = execute(make_plan(random_problem(1, prompts=3, responses=8, dimension=3), seed=2, **options), path)
    if "budget" in options:
        assert finished.run.coverage is not None
        assert finished.run.coverage >= 4.0
    assert verdicts(path) == dict.fromkeys(ROWS, Verdict.HOLDS)


def test_a_genuine_record_of_parameters_in_a_box_holds_and_shows_a_parameter_outside(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    problem = random_problem(1, prompts=3, responses=8, dimension=3, shape="box")
    run = execute(make_plan(problem, seed=2, overrides=SMALL), path).run
    held = np.isclose(np.abs(run.policy.thetas), Box(1.0).half_width(3), rtol=1e-12)
    assert held.any()
    assert not held.all()
    assert verdicts(path) == dict.fromkeys(ROWS, Verdict.HOLDS)
    # In the ball of the same radius the optimum is another, or theta is not in the box.
    as_ball = altered_copy(path, tmp_path / "ball.json", reshape("ball"))
    assert "E6" in violated(as_ball)
    on_axis = altered_copy(path, tmp_path / "axis.json", assign("exploration_thetas", 4, np.eye(3)[0]))
    assert "E6" in violated(on_axis)


def test_a_genuine_record_at_coverage_2_to_the_40_holds_on_every_check(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    finished = execute(make_plan(covered_needle_problem(coverage=2.0**40), seed=2, overrides=FEW), path)
    assert finished.summary["ledger"]["samples"] > 1e13
    assert verdicts(path) == dict.fromkeys(ROWS, Verdict.HOLDS)


def test_the_checks_are_these(genuine: Path, altered: Callable[[Change], Path]) -> None:
    tables = {"S1", "S2", "S3", "S4", "S7", "E6", "P1", "P2", "R1", "O1", "I2", "I3"}
    assert set(CERTIFIED) == tables | {"MT4", "MT6", "MT2", "I6"}
    assert tuple(verdicts(genuine)) == ROWS
    assert violated(altered(lambda summary, arrays: None)) == set()
    record = load_record(genuine)
    assert trace_of(record).spanner.size >= 5  # enough for the alterations below to mean something
    assert all(claim.finding for claim in certify(record).claims)


# Runs from preferences

LABELLED = tuple("P1" if name == "E6" else name for name in ROWS)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "run.json"
    overrides = {**SMALL, "feedback": "preference"}
    execute(make_plan(random_problem(3, prompts=3, responses=8, dimension=3), seed=6, overrides=overrides), path)
    return path


def test_a_genuine_record_from_preferences_holds_on_every_check(labelled: Path, tmp_path: Path) -> None:
    assert verdicts(labelled) == dict.fromkeys(LABELLED, Verdict.HOLDS)
    staged = tmp_path / "run.json"
    overrides = {**FEW, "feedback": "preference"}
    plan = make_plan(
        random_problem(1, prompts=3, responses=8, dimension=3), seed=2, overrides=overrides, budget=400_000
    )
    execute(plan, staged)
    assert verdicts(staged) == dict.fromkeys(LABELLED, Verdict.HOLDS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (scale("exploration_thetas", 0.9), {"P1", "I2"}),
        (scale("exploration_targets", -1.0), {"P1"}),
        (scale("spanner_targets", 0.5), {"P1"}),
        (more("ledger", "rewards", by=1), {"O1"}),
        (put("settings", "feedback", value="reward"), {"O1"}),
        (put("bounds", "score_error_limit", value=1.0), {"record"}),
    ],
)
def test_an_altered_record_from_preferences_is_caught_by_name(
    labelled: Path, tmp_path: Path, change: Change, expected: set[str]
) -> None:
    assert violated(altered_copy(labelled, tmp_path / "run.json", change)) == expected


def test_settings_of_the_theory_are_refused_for_preferences() -> None:
    problem = random_problem(3, prompts=3, responses=8, dimension=3)
    for kind in ("derived", "paper"):
        with pytest.raises(ArgumentError, match=f"settings is '{kind}', but it must be practical for preferences"):
            make_plan(problem, seed=1, settings_kind=kind, overrides={"feedback": "preference"})


# Runs with anchor responses


@pytest.fixture(scope="module")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("anchored") / "run.json"
    overrides = {**SMALL, "anchor": "fixed"}
    execute(make_plan(random_problem(3, prompts=3, responses=8, dimension=3), seed=6, overrides=overrides), path)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"overrides": SMALL},
        {"overrides": SMALL, "oracle": "literal", "sampler": "race"},
        {"overrides": FEW, "settings_kind": "derived"},
        {"overrides": FEW, "budget": 400_000},
        {"overrides": {**FEW, "feedback": "preference"}},
    ],
    ids=["practical", "literal", "derived", "staged", "preferences"],
)
def test_a_genuine_record_with_anchors_holds_on_every_check(tmp_path: Path, options: dict[str, Any]) -> None:
    options = {**options, "overrides": {**options["overrides"], "anchor": "fixed"}}
    execute(make_plan(random_problem(1, prompts=3, responses=8, dimension=3), seed=2, **options), tmp_path / "run.json")
    rows = LABELLED if options["overrides"].get("feedback") else ROWS
    assert verdicts(tmp_path / "run.json") == dict.fromkeys((*rows, "P2"), Verdict.HOLDS)


def test_an_estimated_gap_with_anchors_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("evaluation", "gaps"):
        monkeypatch.setattr(f"spanver.runs.{module}.is_exact", lambda *_: False)
    plan = make_plan(
        random_problem(1, prompts=3, responses=8, dimension=3), seed=2, overrides={**FEW, "anchor": "fixed"}
    )
    finished = execute(plan, tmp_path / "run.json")
    assert not finished.summary["gap"]["exact"]
    assert verdicts(tmp_path / "run.json") == dict.fromkeys((*ROWS, "P2"), Verdict.HOLDS)


def another_second(part: str) -> Change:
    """The second response of the first pair is another one, with the features that it has."""

    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        problem = random_problem(3, prompts=3, responses=8, dimension=3)
        prompt, first = (int(arrays[f"{part}_{name}"][0]) for name in ("prompts", "first"))
        second = int((problem.anchors[prompt] + 1) % 8)
        arrays[f"{part}_second"][0] = second
        arrays[f"{part}_vectors"][0] = problem.features[prompt, first] - problem.features[prompt, second]

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (another_second("spanner"), {"P2", "S1", "S2", "S3", "E6", "problem", "record"}),
        (another_second("exploration"), {"P2", "E6", "record"}),
        (put("settings", "anchor", value="drawn"), {"O1"}),
        (put("plan", "settings", "anchor", value="drawn"), {"O1", "I2"}),
        (more("ledger", "samples", by=1), {"O1"}),
        (scale("exploration_thetas", 0.9), {"E6", "I2"}),
    ],
)
def test_an_altered_record_with_anchors_is_caught_by_name(
    anchored: Path, tmp_path: Path, change: Change, expected: set[str]
) -> None:
    assert violated(altered_copy(anchored, tmp_path / "run.json", change)) == expected


# Faults of the kernel that a learner updates its factor with


def too_long(factor: FloatArray, vector: FloatArray) -> tuple[FloatArray, float]:
    """A factor that is off by a tenth: pairs look less certain than they are."""
    updated, gain = update_inverse_factor(factor, vector)
    return 1.1 * updated, gain


def not_updated(factor: FloatArray, vector: FloatArray) -> tuple[FloatArray, float]:
    return factor, update_inverse_factor(factor, vector)[1]


@pytest.mark.parametrize("faulty", [too_long, not_updated])
def test_a_fault_of_the_kernel_does_not_certify_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faulty: Kernel
) -> None:
    plant(monkeypatch, update_inverse_factor, faulty)
    problem = random_problem(3, prompts=3, responses=8, dimension=3)
    execute(make_plan(problem, seed=6, overrides=SMALL), tmp_path / "run.json")
    assert "S1" in violated(tmp_path / "run.json")


# One alteration at a time


def reshape(shape: str) -> Change:
    """State another shape of the set of parameters, wherever it stands."""

    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        summary["problem"]["shape"] = summary["plan"]["parameters"]["shape"] = shape

    return change


def move_theta_outside(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    thetas = arrays["exploration_thetas"]
    thetas[4] *= 1.001 * summary["problem"]["radius"] / np.linalg.norm(thetas[4])


def swap_vectors(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["spanner_vectors"][[0, 3]] = arrays["spanner_vectors"][[3, 0]]


def swap_pairs(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    for name in ("prompts", "first", "second", "vectors", "targets", "rounds"):
        arrays[f"spanner_{name}"][[0, 3]] = arrays[f"spanner_{name}"][[3, 0]]


def drop_pair(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    for name in ("prompts", "first", "second", "vectors", "targets", "rounds"):
        arrays[f"spanner_{name}"] = np.delete(arrays[f"spanner_{name}"], 2, axis=0)


def drop_pair_and_its_statements(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    vector = arrays["spanner_vectors"][2].copy()
    drop_pair(summary, arrays)
    arrays["sigma"] -= np.outer(vector, vector)
    arrays["exploration_spanner_sizes"] -= 1
    summary["spanner"]["size"] -= 1
    summary["ledger"]["rewards"] -= 2


def drop_round(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    for name in list(arrays):
        if name.startswith("exploration_"):
            arrays[name] = np.delete(arrays[name], 5, axis=0)


def repeat_pair(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    """The last pair again, in a round of its own, with everything that follows from it but its norm."""
    for name in ("prompts", "first", "second", "vectors", "targets"):
        arrays[f"spanner_{name}"] = np.concatenate([arrays[f"spanner_{name}"], arrays[f"spanner_{name}"][-1:]])
    free = int(np.setdiff1d(np.arange(len(arrays["spanner_tries"])), arrays["spanner_rounds"])[-1])
    arrays["spanner_rounds"] = np.append(arrays["spanner_rounds"], free)
    vector = arrays["spanner_vectors"][-1]
    arrays["sigma"] += np.outer(vector, vector)
    arrays["exploration_spanner_sizes"] += 1
    summary["spanner"]["size"] += 1
    summary["ledger"]["rewards"] += 2


def longer_round(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["spanner_tries"][arrays["spanner_rounds"][0]] = 7
    summary["ledger"]["samples"] = 2 * int(arrays["spanner_tries"].sum()) + int(arrays["exploration_samples"].sum())


def shorter_round(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    empty = np.setdiff1d(np.arange(len(arrays["spanner_tries"])), arrays["spanner_rounds"])[0]
    arrays["spanner_tries"][empty] -= 1
    summary["ledger"]["samples"] -= 2


def move_samples(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["exploration_samples"][2] += 1000
    arrays["exploration_samples"][3] -= 1000


def state_nu(value: float) -> Change:
    """Raise or lower the threshold at every place that states it."""

    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        for place in (summary["spanner"], summary["settings"], summary["plan"]["settings"]):
            place["nu"] = value

    return change


# What was altered, how, and the guarantees that must be named at least.
ALTERATIONS: list[tuple[str, Change, set[str]]] = [
    ("a spanner vector", add("spanner_vectors", (1, 0), 0.05), {"S2", "E6"}),
    ("a spanner vector, by little", add("spanner_vectors", (1, 0), 1e-6), {"S2", "S3"}),
    ("a spanner target", add("spanner_targets", 1, 0.01), {"E6"}),
    ("two spanner vectors swapped", swap_vectors, {"E6"}),
    ("two spanner pairs swapped", swap_pairs, {"S1"}),
    ("a spanner pair dropped", drop_pair, {"S2", "S4", "S7", "O1"}),
    ("a spanner pair dropped, and sigma, sizes and ledger with it", drop_pair_and_its_statements, {"S7", "E6"}),
    ("a spanner pair repeated, and sigma, sizes and ledger with it", repeat_pair, {"E6"}),
    ("a round that accepted twice", lambda _, a: a["spanner_rounds"].__setitem__(1, a["spanner_rounds"][0]), {"S1"}),
    ("a pair of a round before the first", assign("spanner_rounds", 0, -1), {"S1"}),
    ("a pair of a round after the last", assign("spanner_rounds", -1, 40), {"S1"}),
    ("a theta", add("exploration_thetas", (4, 0), 1e-3), {"E6"}),
    ("a theta, by little", add("exploration_thetas", (11, 2), 1e-6), {"E6"}),
    ("the shape of the set of parameters", reshape("box"), {"E6"}),
    ("a theta outside the ball", move_theta_outside, {"E6"}),
    ("all thetas", scale("exploration_thetas", -1.0), {"E6"}),
    ("a vector of exploration", add("exploration_vectors", (3, 1), 1e-2), {"E6"}),
    ("a target of exploration", add("exploration_targets", 3, 1e-2), {"E6"}),
    ("spanner pairs kept from a fit", add("exploration_spanner_sizes", 0, -1), {"E6"}),
    ("more spanner pairs in a fit than there are", add("exploration_spanner_sizes", 3, 1), {"E6"}),
    ("a round of exploration dropped", drop_round, {"E6", "O1"}),
    ("samples of the ledger, one less", more("ledger", "samples", by=-1), {"O1"}),
    ("samples of the ledger, one more", more("ledger", "samples", by=1), {"O1"}),
    ("rewards of the ledger", more("ledger", "rewards", by=-1), {"O1"}),
    ("enumerated of the ledger", more("ledger", "enumerated", by=1), {"O1"}),
    ("tries of a round", add("spanner_tries", 5, 1), {"O1"}),
    ("no try in a round", assign("spanner_tries", 5, 0), {"S7", "O1"}),
    ("tries above T_span, and the ledger with them", longer_round, {"S7"}),
    ("tries of an empty round below T_span, and the ledger with them", shorter_round, {"S7"}),
    ("samples of a round of exploration", add("exploration_samples", 3, 1), {"O1"}),
    ("samples moved from a round to another", move_samples, {"R1"}),
    ("an entry of sigma", add("sigma", (0, 1), 1e-6), {"S2"}),
    ("sigma, for its inverse", lambda _, a: a.__setitem__("sigma", np.linalg.inv(a["sigma"])), {"S2", "S3"}),
    ("the sign of sigma", scale("sigma", -1.0), {"S2", "S3"}),
    ("the stated size", more("spanner", "size", by=1), {"S4"}),
    ("nu raised wherever it stands", state_nu(0.6), {"S1"}),
    ("nu raised far, so that S4 allows fewer pairs", state_nu(3.0), {"S1", "S4"}),
    ("the ridge of the settings", put("plan", "settings", "ridge", value=3.0), {"S2", "S3"}),
    ("rounds of phase 1 in the settings", more("plan", "settings", "prompts", by=1), {"S7"}),
    ("T_span of the settings lowered", more("plan", "settings", "pairs_per_prompt", by=-1), {"S7"}),
    ("T_span of the settings raised", more("plan", "settings", "pairs_per_prompt", by=1), {"S7"}),
    ("the multiplier of the settings raised", put("settings", "rejection_multiplier", value=32.0), {"R1"}),
    ("the multiplier of the settings lowered", put("settings", "rejection_multiplier", value=2.0), {"R1"}),
    ("the failure probability of the settings", put("settings", "rejection_failure", value=1e-9), {"R1"}),
    ("the sampler of the plan", put("plan", "sampler", value="race"), {"R1"}),
    ("the radius lowered", put("problem", "radius", value=0.5), {"E6"}),
    ("the bound on the size", more("bounds", "spanner_size", by=-1), {"S4"}),
    ("the bound on samples", more("bounds", "samples", by=1), {"O1"}),
    ("the bound on rewards", more("bounds", "rewards", by=2), {"O1"}),
    ("an outcome that is stated", more("outcomes", "fallback", by=1), {"R1"}),
]


@pytest.mark.parametrize(
    ("change", "expected"), [row[1:] for row in ALTERATIONS], ids=[row[0].replace(" ", "_") for row in ALTERATIONS]
)
def test_an_alteration_is_caught_by_name(altered: Callable[[Change], Path], change: Change, expected: set[str]) -> None:
    assert expected <= violated(altered(change))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name",
    ["spanner_vectors", "spanner_targets", "exploration_vectors", "exploration_targets", "exploration_thetas", "sigma"],
)
def test_a_number_that_is_not_finite_violates_every_check(
    altered: Callable[[Change], Path], name: str, value: float
) -> None:
    path = altered(lambda _, arrays: arrays[name].reshape(-1).__setitem__(1, value))
    assert violated(path) == set(ALONE)
    assert all(name in claim.finding for claim in certify(load_record(path)).claims)


@pytest.mark.parametrize("name", [row[0] for row in ALTERATIONS if row[2] == {"O1"}])
def test_what_touches_the_ledger_alone_leaves_the_spanner_and_the_fits_standing(
    altered: Callable[[Change], Path], name: str
) -> None:
    change = next(row[1] for row in ALTERATIONS if row[0] == name)
    assert violated(altered(change)) <= {"O1", "S7", "R1"}


def refused_or_violated(path: Path) -> set[str] | None:
    """Ids that are violated, or None if the record is refused in a sentence."""
    try:
        return violated(path)
    except SpanverError:
        return None


@pytest.mark.parametrize(
    "change",
    [
        put("plan", "settings", "nu", value=0.6),
        put("plan", "settings", "nu", value=0.1),
        put("settings", "nu", value=0.1),
        put("spanner", "nu", value=0.1),
        put("settings", "ridge", value=3.0),
        more("settings", "prompts", by=1),
        more("settings", "exploration_rounds", by=1),
        more("plan", "settings", "exploration_rounds", by=1),
        put("plan", "settings", "rejection_multiplier", value=32.0),
        put("problem", "beta", value=0.7),
    ],
    ids=[
        "nu of the plan raised",
        "nu of the plan lowered",
        "nu of the settings lowered",
        "nu of the spanner lowered",
        "ridge of the settings",
        "rounds of phase 1 in the settings",
        "rounds of phase 2 in the settings",
        "rounds of phase 2 in the plan",
        "multiplier of the plan",
        "beta of the problem",
    ],
)
def test_a_record_that_contradicts_itself_is_refused_or_violates_something(
    altered: Callable[[Change], Path], change: Change
) -> None:
    assert refused_or_violated(altered(change)) != set()


@pytest.mark.parametrize(
    "shape",
    [lambda sigma: sigma[:2], lambda sigma: sigma[:2, :2], lambda sigma: sigma[0], lambda sigma: sigma[None]],
    ids=["rows", "square", "vector", "stack"],
)
def test_a_sigma_of_another_shape_is_refused_or_violates_s2(
    altered: Callable[[Change], Path], shape: Callable[[Any], Any]
) -> None:
    found = refused_or_violated(altered(lambda _, arrays: arrays.__setitem__("sigma", shape(arrays["sigma"]))))
    assert found is None or "S2" in found


@pytest.mark.parametrize("radius", [math.nan, math.inf, 0.0, -1.0, 1e12, "one", None])
def test_a_radius_that_no_problem_has_is_refused_or_violates_e6(altered: Callable[[Change], Path], radius: Any) -> None:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        summary["problem"]["radius"] = radius
        arrays["exploration_thetas"] *= -1.0

    found = refused_or_violated(altered(change))
    assert found is None or "E6" in found


@pytest.mark.parametrize("key", ["rejection_multiplier", "rejection_failure"])
@pytest.mark.parametrize("value", [math.nan, -1.0, "many", None])
def test_settings_of_the_sampler_that_cannot_be_are_refused_or_violate_r1(
    altered: Callable[[Change], Path], key: str, value: Any
) -> None:
    found = refused_or_violated(altered(put("settings", key, value=value)))
    assert found is None or "R1" in found


@pytest.mark.parametrize("nu", [0.0, -0.3, math.nan])
def test_a_threshold_that_cannot_be_is_refused_or_violates_s1(altered: Callable[[Change], Path], nu: float) -> None:
    found = refused_or_violated(altered(put("spanner", "nu", value=nu)))
    assert found is None or "S1" in found


def test_arrays_of_another_run_are_caught(genuine: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    problem = random_problem(3, prompts=3, responses=8, dimension=3)
    execute(make_plan(problem, seed=7, overrides=SMALL), path)
    shutil.copy(genuine, path)
    found = refused_or_violated(path)
    assert found is None or "O1" in found
