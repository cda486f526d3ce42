"""Multi-turn runs are recorded to the byte, and a record that was altered is found out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alterations import Change, altered_copy, assign, change_by, put, scale
from faults import plant

from spanver.errors import ArgumentError, RecordError
from spanver.exact import layered as exact_layers
from spanver.kernels import update_inverse_factor
from spanver.problems.families.tokens import token_problem
from spanver.problems.tokens import TokenProblem
from spanver.runs.certify import certify
from spanver.runs.execution import execute_tokens
from spanver.runs.plans import make_token_plan
from spanver.runs.records import Layers, load_record
from spanver.values import FloatArray
from spanver.verdicts import Verdict

SMALL: dict[str, Any] = {"prompts": 40, "tests": 10, "rollouts": 2}


def problem() -> TokenProblem:
    return token_problem(3, horizon=3, dimension=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokens")
    for name in ("one", "two"):
        plan = make_token_plan(problem(), seed=7, overrides=SMALL)
        execute_tokens(plan, out / f"{name}.json", problem=problem())
    return out


def verdicts(path: Path) -> dict[str, Verdict]:
    return {claim.id: claim.verdict for claim in certify(load_record(path)).claims}


def test_the_same_plan_gives_the_same_bytes(folder: Path) -> None:
    for suffix in (".json", ".npz"):
        assert (folder / f"one{suffix}").read_bytes() == (folder / f"two{suffix}").read_bytes()


def test_another_seed_gives_another_run(folder: Path) -> None:
    plan = make_token_plan(problem(), seed=8, overrides=SMALL)
    execute_tokens(plan, folder / "other.json", problem=problem())
    one, other = (load_record(folder / f"{name}.json").did for name in ("one", "other"))
    assert isinstance(one, Layers)
    assert isinstance(other, Layers)
    assert not np.array_equal(one.layers[0].theta, other.layers[0].theta)


def test_a_record_holds_everything_that_was_learned_and_asked(folder: Path) -> None:
    record = load_record(folder / "one.json")
    assert isinstance(record.did, Layers)
    assert len(record.did.layers) == 3
    assert [len(layer.targets) for layer in record.did.layers] == record.summary["spanner_sizes"]
    assert record.ledger.samples == sum(each.samples for each in record.did.phases.values())
    assert record.did.layers[2].prefixes.shape[1] == 2
    for position, layer in enumerate(record.did.layers):
        for pair in range(len(layer.targets)):
            row = int(layer.prompts[pair])
            for token in layer.prefixes[pair]:
                row = 2 * row + int(token)
            features = problem().features[position][row]
            assert np.array_equal(layer.vectors[pair], features[layer.first[pair]] - features[layer.second[pair]])


def test_the_summary_states_exact_coverage_and_gaps(folder: Path) -> None:
    summary = load_record(folder / "one.json").summary
    token = 2.0 / (1.0 + np.exp(-2.0))
    assert summary["problem"]["conditional_coverage"] == pytest.approx(token, rel=1e-12)
    assert summary["problem"]["coverage"] == pytest.approx(token**3, rel=1e-12)
    assert summary["base_gap"] == exact_layers.layered_gap(problem(), problem().log_base)
    assert 0.0 <= summary["gap"] < summary["base_gap"]
    assert summary["problem"]["realizable"] == pytest.approx([1.0] * 3)


def test_a_run_holds_everything_that_its_record_can_show(folder: Path) -> None:
    assert verdicts(folder / "one.json") == dict.fromkeys(
        ("S1", "S2", "S3", "S4", "E6", "O1", "problem", "I5", "I3", "I6"), Verdict.HOLDS
    )


def test_a_fault_of_the_kernel_does_not_certify_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_short(factor: FloatArray, vector: FloatArray) -> tuple[FloatArray, float]:
        updated, gain = update_inverse_factor(factor, vector)
        return 0.9 * updated, gain

    plant(monkeypatch, update_inverse_factor, too_short)
    plan = make_token_plan(problem(), seed=7, overrides=SMALL)
    execute_tokens(plan, tmp_path / "run.json", problem=problem())
    found = verdicts(tmp_path / "run.json")
    assert {name for name, verdict in found.items() if verdict is Verdict.VIOLATED} == {"S2", "S3", "I5"}


def _ledger(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["ledger"]["samples"] += 1


def _rewards(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    for where in (summary["ledger"], summary["phases"]["sweep"]):
        where["rewards"] = 1


def _moved_rewards(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["phases"]["sweep"]["rewards"] -= 1
    summary["phases"]["test"]["rewards"] += 1


def _warm(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["phases"]["warm start"]["samples"] += 10**6
    summary["ledger"]["samples"] += 10**6


def _nu(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["plan"]["settings"]["nu"] = 1.9


def _sizes(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["spanner_sizes"][1] += 1


def _sweeps(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["starts"] = [0] * 10**4


def _elsewhere(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["starts"][0] = 99


def _free(phase: str) -> Change:
    def alter(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        summary["ledger"]["samples"] -= summary["phases"][phase]["samples"]
        summary["phases"][phase]["samples"] = 0

    return alter


def _expensive(phase: str) -> Change:
    def alter(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        for where in (summary["ledger"], summary["phases"][phase]):
            where["samples"] += 10**30

    return alter


def _not_a_number(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["layer_1_vectors"][0, 0] = np.nan


@pytest.mark.parametrize(
    ("alter", "broken"),
    [
        (scale("layer_2_theta", 1.001), {"E6", "I5"}),
        (scale("layer_3_targets", 1.001), {"E6"}),
        (scale("layer_1_precision", 1.001), {"S2", "S3"}),
        (scale("layer_1_vectors", 3.0), {"S2", "S3", "S4", "E6", "problem"}),
        (_ledger, {"O1"}),
        (_rewards, {"O1"}),
        (_moved_rewards, {"O1"}),
        (_warm, {"O1"}),
        (_nu, {"S1", "S4"}),
        (_sizes, {"S4"}),
        (put("bounds", "spanner_size", value=1), {"S4"}),
        (put("bounds", "sweeps", value=1), {"S4"}),
        (_sweeps, {"S4"}),
        (_elsewhere, {"S4"}),
        (_free("sweep"), {"O1"}),
        (_free("test"), {"O1"}),
        (_expensive("sweep"), {"O1"}),
        (_expensive("test"), {"O1"}),
        (_not_a_number, {"S1", "S2", "S3", "S4", "E6", "O1"}),
        (change_by("gap", factor=1 + 1e-6), {"I5"}),
        (change_by("base_gap", factor=1 + 1e-9), {"I5"}),
        (change_by("problem", "coverage", factor=1 - 1e-9), {"I3"}),
        (change_by("problem", "conditional_coverage", factor=1 - 1e-9), {"I6"}),
        (put("problem", "vocabulary_size", value=3), {"problem"}),
        (put("plan", "parameters", "seed", value=4), {"problem", "I5"}),
        (put("plan", "parameters", "colour", value="red"), {"problem"}),
        (assign("layer_3_prefixes", (0, 1), 2), {"problem"}),
        (lambda _, arrays: arrays.update(layer_2_first=1 - arrays["layer_2_first"]), {"problem"}),
    ],
)
def test_a_record_that_was_altered_is_found_out(folder: Path, tmp_path: Path, alter: Change, broken: set[str]) -> None:
    found = verdicts(altered_copy(folder / "one.json", tmp_path / "run.json", alter))
    assert {name for name, verdict in found.items() if verdict is Verdict.VIOLATED} == broken


@pytest.mark.parametrize("missing", ["layer_1_theta", "layer_3_prefixes"])
def test_a_record_without_an_array_is_damaged(folder: Path, tmp_path: Path, missing: str) -> None:
    (tmp_path / "run.json").write_text((folder / "one.json").read_text())
    with np.load(folder / "one.npz") as archive:
        np.savez(tmp_path / "run.npz", **{name: archive[name] for name in archive.files if name != missing})
    with pytest.raises(RecordError, match=r"run\.json is damaged.*" + missing):
        load_record(tmp_path / "run.json")


@pytest.mark.parametrize(
    ("key", "value"), [("spanner_sizes", []), ("spanner_sizes", [1]), ("starts", ["last"]), ("starts", None)]
)
def test_a_summary_of_another_shape_is_damaged(folder: Path, tmp_path: Path, key: str, value: Any) -> None:
    summary = json.loads((folder / "one.json").read_text()) | {key: value}
    (tmp_path / "run.json").write_text(json.dumps(summary))
    (tmp_path / "run.npz").write_bytes((folder / "one.npz").read_bytes())
    with pytest.raises(RecordError, match=r"run\.json is damaged"):
        load_record(tmp_path / "run.json")


def test_a_record_of_another_shape_is_damaged(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text((folder / "one.json").read_text())
    with np.load(folder / "one.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["layer_2_targets"] = arrays["layer_2_targets"][:-1]
    np.savez(tmp_path / "run.npz", **arrays)
    with pytest.raises(RecordError, match="layer_2"):
        load_record(tmp_path / "run.json")


@pytest.mark.parametrize(
    ("key", "value"), [("nu", 0.0), ("rollouts", 0), ("rejection_multiplier", 0.5), ("rejection_failure", 1.0)]
)
def test_bad_settings_are_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=key):
        make_token_plan(problem(), seed=0, overrides={key: value})


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(ArgumentError, match="softmax, race"):
        make_token_plan(problem(), seed=0, sampler="best", overrides={})


def test_the_race_sampler_learns_too(tmp_path: Path) -> None:
    plan = make_token_plan(problem(), seed=7, sampler="race", overrides=SMALL)
    summary = execute_tokens(plan, tmp_path / "race.json", problem=problem())
    assert summary["gap"] < summary["base_gap"]
    assert verdicts(tmp_path / "race.json")["O1"] is Verdict.HOLDS
