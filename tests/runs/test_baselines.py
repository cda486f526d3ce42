"""Runs of baselines are recorded to the byte and draw what is stated, and an altered record is caught by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alterations import Change, add, altered_copy, change_by, put

from spanver.errors import ArgumentError, RecordError
from spanver.exact.tabular import gap, log_law
from spanver.policies import LinearSoftmax
from spanver.problems.families.max_k_dnf import max_k_dnf_problem
from spanver.problems.families.random_tables import random_problem
from spanver.runs.archive import arrays_path
from spanver.runs.baselines import BASELINES, Cost, ExhaustiveSettings, OnlineDPOSettings, XPOSettings
from spanver.runs.certify import certify
from spanver.runs.execution import execute_baseline
from spanver.runs.plans import Plan, make_baseline_plan
from spanver.runs.records import Rounds, load_record
from spanver.verdicts import Verdict

PROBLEM = random_problem(3, prompts=3, responses=8, dimension=3)

RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "passive": ("passive", {}),
    "rewards": ("online_dpo", {}),
    "preferences": ("online_dpo", {"feedback": "preference"}),
    "xpo": ("xpo", {"partition_samples": 16}),
    "enumerated": ("xpo", {"partition": "enumerate"}),
    "told": ("xpo", {"partition": "probabilities", "partition_samples": 16}),
    "no optimism": ("xpo", {"alpha": 0.0, "partition": "enumerate"}),
    "elliptical": ("elliptical_enumeration", {}),
    "best of n": ("best_of_n", {"count": 4}),
}


def plan_of(name: str, seed: int = 5) -> Plan:
    learner, overrides = RUNS[name]
    return make_baseline_plan(learner, PROBLEM, seed=seed, overrides={"rounds": 12, **overrides})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of all `RUNS`."""
    out = tmp_path_factory.mktemp("baselines")
    for name in RUNS:
        execute_baseline(plan_of(name), out / f"{name}.json", problem=PROBLEM)
    return out


def violated(path: Path) -> set[str]:
    return {claim.id for claim in certify(load_record(path)).claims if claim.verdict is not Verdict.HOLDS}


@pytest.mark.parametrize("name", RUNS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_run(
    folder: Path, tmp_path: Path, name: str
) -> None:
    execute_baseline(plan_of(name), tmp_path / "run.json", problem=PROBLEM)
    assert (tmp_path / "run.json").read_bytes() == (folder / f"{name}.json").read_bytes()
    assert arrays_path(tmp_path / "run.json").read_bytes() == arrays_path(folder / f"{name}.json").read_bytes()
    execute_baseline(plan_of(name, seed=6), tmp_path / "other.json", problem=PROBLEM)
    one, other = (load_record(path).did for path in (tmp_path / "run.json", tmp_path / "other.json"))
    assert isinstance(one, Rounds)
    assert isinstance(other, Rounds)
    assert not np.array_equal(one.targets, other.targets)


@pytest.mark.parametrize("name", RUNS)
def test_a_record_holds_the_plan_and_exact_gaps(folder: Path, name: str) -> None:
    record = load_record(folder / f"{name}.json")
    assert record.plan == plan_of(name)
    assert isinstance(record.did, Rounds)
    assert len(record.did.targets) == len(record.did.thetas) == 12
    assert record.summary["base_gap"] == gap(PROBLEM, PROBLEM.log_base)
    if name != "best of n":
        assert record.summary["gap"] == gap(PROBLEM, log_law(PROBLEM, LinearSoftmax(record.did.theta)))


@pytest.mark.parametrize("name", RUNS)
def test_a_genuine_record_holds_on_every_check_that_it_allows(folder: Path, name: str) -> None:
    path = folder / f"{name}.json"
    assert violated(path) == set()
    fitted = name not in ("xpo", "enumerated", "told")
    certificate = certify(load_record(path))
    rows = ["O1", "record", "problem", "I2", "I3"]
    assert [claim.id for claim in certificate.claims] == (["E6", *rows] if fitted else rows)
    assert ("fits" in certificate.uncertified) == (not fitted)
    assert certificate.uncompared == ""


@pytest.mark.parametrize("name", RUNS)
def test_an_edited_gap_or_coverage_is_caught_whatever_was_learned(folder: Path, tmp_path: Path, name: str) -> None:
    genuine, path = folder / f"{name}.json", tmp_path / "run.json"
    assert violated(altered_copy(genuine, path, change_by("gap", factor=1 + 1e-6))) == {"I2"}
    assert violated(altered_copy(genuine, path, change_by("base_gap", factor=1 - 1e-9))) == {"I2"}
    assert violated(altered_copy(genuine, path, change_by("problem", "coverage", factor=1 + 1e-9))) == {"I3"}


def test_a_coverage_beyond_the_largest_float_holds_and_an_edited_one_does_not(tmp_path: Path) -> None:
    problem = max_k_dnf_problem(0, beta=1e-3)
    plan = make_baseline_plan("passive", problem, seed=5, overrides={"rounds": 12})
    summary = execute_baseline(plan, tmp_path / "genuine.json", problem=problem)
    assert summary["problem"]["coverage"] == np.inf
    assert violated(tmp_path / "genuine.json") == set()
    change = put("problem", "coverage", value=1e300)
    assert violated(altered_copy(tmp_path / "genuine.json", tmp_path / "run.json", change)) == {"I3"}


def test_the_gap_of_best_of_n_is_not_compared_where_scores_nearly_tie(tmp_path: Path) -> None:
    problem = max_k_dnf_problem(0, variables=3, literals=3, clauses=1)
    plan = make_baseline_plan("best_of_n", problem, seed=5, overrides={"rounds": 12})
    execute_baseline(plan, tmp_path / "genuine.json", problem=problem)
    term = problem.features[0].sum(axis=0)  # the other response has none
    theta = np.sign(term) * np.array([0.1, 0.2, -0.3, 0.0])
    assert 0.0 < abs(float((term * theta).sum())) < 1e-15  # 0 but for rounding

    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays["theta"] = theta

    certificate = certify(load_record(altered_copy(tmp_path / "genuine.json", tmp_path / "run.json", change)))
    assert "I2" not in {claim.id for claim in certificate.claims}
    assert certificate.uncompared == "the gaps (1 scores are within rounding of another)"


def flip(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["thetas"] = arrays["thetas"].copy()
    arrays["thetas"][11] *= -1.0  # still a corner, and of another sum of squares


EXHAUSTIVE: list[tuple[Change | None, set[str]]] = [
    (None, set()),
    (add("thetas", (0, 1), 1e-6), {"record"}),
    (add("thetas", (0, 1), np.nan), {"record", "O1"}),
    (flip, {"record"}),
    (add("theta", 0, -0.5), {"I2", "record"}),
    (put("ledger", "samples", value=17 * 16 + 25), {"O1"}),
    (put("plan", "settings", "draws", value=15), {"O1"}),
]


@pytest.mark.parametrize(("change", "broken"), EXHAUSTIVE)
def test_a_run_of_exhaustive_search_certifies_and_an_altered_one_does_not(
    tmp_path: Path, change: Change | None, broken: set[str]
) -> None:
    problem = max_k_dnf_problem(0, variables=3, literals=2, clauses=6)
    plan = make_baseline_plan("exhaustive", problem, seed=5, overrides={"rounds": 12, "draws": 16})
    genuine = tmp_path / "genuine.json"
    execute_baseline(plan, genuine, problem=problem)
    certificate = certify(load_record(genuine))
    assert [claim.id for claim in certificate.claims] == ["O1", "record", "problem", "I2", "I3"]
    assert "which corner promised most" in certificate.uncertified
    assert violated(genuine if change is None else altered_copy(genuine, tmp_path / "run.json", change)) == broken


def test_what_no_family_builds_is_not_compared_and_the_certificate_says_so(tmp_path: Path) -> None:
    problem = replace(PROBLEM, name="by hand", parameters={})
    plan = make_baseline_plan("passive", problem, seed=5, overrides={"rounds": 12})
    execute_baseline(plan, tmp_path / "run.json", problem=problem)
    certificate = certify(load_record(tmp_path / "run.json"))
    assert [claim.id for claim in certificate.claims] == ["E6", "O1", "record"]
    assert certificate.uncompared == "anything ('by hand' is no family that a plan can build)"


def drop_round(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    for name in ("thetas", "vectors", "targets"):
        arrays[name] = arrays[name][:-1]


ALTERATIONS: list[tuple[str, Change, set[str]]] = [
    ("passive", add("theta", 0, 1e-6), {"E6", "I2", "record"}),  # it is on the sphere
    ("xpo", add("theta", 0, 1e-6), {"I2"}),
    ("passive", add("thetas", (7, 1), 1e-6), {"E6"}),
    ("passive", add("thetas", (0, 0), 0.5), {"record"}),
    ("preferences", add("thetas", (7, 0), 2.0), {"E6", "record"}),
    ("preferences", add("targets", 3, 0.5), {"E6", "record"}),
    ("passive", add("targets", 3, 1e-3), {"E6"}),
    ("passive", add("targets", 11, 1e3), {"record"}),
    ("no optimism", add("vectors", (2, 2), 1e-3), {"E6"}),
    ("rewards", put("problem", "radius", value=1e-3), {"E6", "record", "problem"}),
    ("elliptical", put("plan", "parameters", "noise", value=2.0), {"problem"}),
    ("best of n", put("plan", "settings", "count", value=5), {"I2"}),
    ("elliptical", drop_round, {"E6", "O1"}),
    ("best of n", put("ledger", "samples", value=23), {"O1"}),
    ("passive", put("ledger", "enumerated", value=1), {"O1"}),
    ("preferences", put("ledger", "rewards", value=24), {"O1"}),
    ("elliptical", put("ledger", "samples", value=1), {"O1"}),
    ("elliptical", put("ledger", "enumerated", value=95), {"O1"}),
    ("xpo", put("ledger", "samples", value=24), {"O1"}),
    ("xpo", put("ledger", "samples", value=24 + 4 * 16), {"O1"}),
    ("xpo", put("plan", "settings", "rounds", value=11), {"O1"}),
    ("enumerated", put("ledger", "enumerated", value=25), {"O1"}),
    ("passive", put("plan", "learner", value="elliptical_enumeration"), {"O1"}),
    ("best of n", put("bounds", "samples", value=25), {"O1"}),
    ("enumerated", put("bounds", "enumerated", value=25), {"O1"}),
    ("xpo", add("theta", 0, np.nan), {"O1", "record"}),
    ("best of n", add("vectors", (0, 0), np.inf), {"E6", "O1", "record"}),
]


@pytest.mark.parametrize(("name", "change", "broken"), ALTERATIONS)
def test_an_altered_record_is_caught_by_name(
    folder: Path, tmp_path: Path, name: str, change: Change, broken: set[str]
) -> None:
    assert violated(altered_copy(folder / f"{name}.json", tmp_path / "run.json", change)) == broken


@pytest.mark.parametrize(
    "change",
    [
        put("plan", "learner", value="gradient"),
        put("plan", "settings", "rounds", value=0),
        put("plan", "settings", "feedback", value="applause"),
        put("plan", "colour", value="red"),
        put("problem", "radius", value=0.0),
        put("problem", "dimension", value=4),
        put("problem", "prompts", value="three"),
        put("ledger", value=None),
        lambda summary, arrays: arrays.pop("theta"),
        lambda summary, arrays: arrays.update(thetas=arrays["thetas"][:-1]),
        lambda summary, arrays: arrays.update(targets=arrays["targets"].astype(np.int64)),
    ],
)
def test_a_record_that_does_not_fit_together_is_damaged(folder: Path, tmp_path: Path, change: Change) -> None:
    with pytest.raises(RecordError, match=r"run\.json is damaged"):
        load_record(altered_copy(folder / "rewards.json", tmp_path / "run.json", change))


def test_what_is_asked_for_is_counted_by_hand() -> None:
    def cost(learner: str, settings: Any) -> Cost:
        return BASELINES[learner].cost(settings, 5, 7, 3)

    assert cost("online_dpo", OnlineDPOSettings(10)) == Cost((20, 20), (20, 20))
    assert cost("online_dpo", OnlineDPOSettings(10, "preference")) == Cost((20, 20), (10, 10))
    assert cost("xpo", XPOSettings(10, partition_samples=3)) == Cost((23, 35), (20, 20))
    assert cost("xpo", XPOSettings(2, partition_samples=3)) == Cost((7, 10), (4, 4))
    assert cost("xpo", XPOSettings(10, partition="enumerate")) == Cost((20, 20), (20, 20), (7, 35))
    assert cost("elliptical_enumeration", BASELINES["elliptical_enumeration"].settings(10)) == Cost(
        (0, 0), (20, 20), (70, 70)
    )
    assert cost("exhaustive", ExhaustiveSettings(10, draws=4)) == Cost((9 * 4 + 20, 9 * 4 + 20), (20, 20))


@pytest.mark.parametrize(
    ("learner", "name", "value"),
    [
        ("passive", "rounds", 0),
        ("online_dpo", "feedback", "applause"),
        ("xpo", "alpha", -0.5),
        ("xpo", "partition", "guess"),
        ("xpo", "partition_samples", 1.5),
        ("elliptical_enumeration", "ridge", 0.0),
        ("best_of_n", "count", 0),
        ("exhaustive", "draws", 0),
    ],
)
def test_bad_settings_are_refused_by_name(learner: str, name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is {value!r}"):
        make_baseline_plan(learner, PROBLEM, seed=0, overrides={name: value})
