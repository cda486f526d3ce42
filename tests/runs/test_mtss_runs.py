"""Runs of MTSS are recorded to the byte, go on from any iteration, and a record that was altered is found out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alterations import Change, add, altered_copy, assign, change_by, more, put, scale
from faults import plant

from spanver.episodic import EpisodicLedger
from spanver.errors import ArgumentError, RecordError
from spanver.exact import layered as exact_layers
from spanver.exact.certificates import gap_bound
from spanver.learners.core_sets import Pairs, squared_norms
from spanver.learners.mtss import MTSSRun, MTSSSettings
from spanver.problems.catalogue import layers_of
from spanver.problems.families.auto import auto_problem
from spanver.problems.families.forks import forks_problem
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.families.tokens import token_problem
from spanver.problems.layered import LayeredMDP
from spanver.problems.tokens import TokenProblem
from spanver.runs.archive import arrays_path
from spanver.runs.certify import certify
from spanver.runs.execution import execute_mtss, mtss_steps
from spanver.runs.plans import make_mtss_plan
from spanver.runs.records import (
    LayeredCheckpoint,
    LayeredRun,
    checkpoint_path,
    load_checkpoint,
    load_record,
    mtss_arrays,
)
from spanver.runs.settings import most_of_printed_run
from spanver.values import FloatArray
from spanver.verdicts import Verdict

PRINTED: dict[str, Any] = {
    "iterations": 6,
    "regression_rollouts": 2,
    "stop": "last",
    "refit": "always",
    "add": "largest",
    "search": "separate",
    "zero_scores": "sampled",
    "initial_rollouts": None,
    "anchor_rollouts": True,
}
FEW: dict[str, Any] = {"regression_rollouts": 8, "initial_rollouts": 4}
VARIANTS: dict[str, dict[str, Any]] = {
    "practical": FEW,
    "printed": PRINTED,
    "printed, rewards once": PRINTED | {"reward_draws": "once"},
    "stops at the first": PRINTED | {"stop": "first", "iterations": 400, "threshold": 4.0},
    "pool": PRINTED | {"add": "pool"},
    "fresh": FEW | {"anchor": "fresh"},
    "goes on when certain": FEW | {"stop": "last", "iterations": 9, "nu": 1.0},
    "large threshold, so that much is not covered": FEW | {"threshold": 3.0, "nu": 0.8},
    "never certain": FEW | {"iterations": 2},
}


def problem() -> LayeredMDP:
    return mdp_problem(3, horizon=3, dimension=3, states=5, actions=3)


def run_at(
    path: Path, made: TokenProblem | LayeredMDP, overrides: dict[str, Any], *, seed: int = 7, oracle: str | None = None
) -> MTSSRun:
    plan = make_mtss_plan(made, seed=seed, overrides=overrides, oracle=oracle)
    return execute_mtss(plan, path, problem=made).run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mtss")
    for name in ("one", "two"):
        run_at(out / f"{name}.json", problem(), FEW)
    run_at(out / "printed.json", problem(), PRINTED)
    return out


def layered(path: Path) -> LayeredRun:
    did = load_record(path).did
    assert isinstance(did, LayeredRun)
    return did


def verdicts(path: Path) -> dict[str, Verdict]:
    return {claim.id: claim.verdict for claim in certify(load_record(path)).claims}


def violated(path: Path) -> set[str]:
    return {name for name, verdict in verdicts(path).items() if verdict is Verdict.VIOLATED}


# Records


def test_the_same_plan_gives_the_same_bytes_and_another_seed_another_run(folder: Path, tmp_path: Path) -> None:
    for suffix in (".json", ".npz"):
        assert (folder / f"one{suffix}").read_bytes() == (folder / f"two{suffix}").read_bytes()
    run_at(tmp_path / "other.json", problem(), FEW, seed=8)
    one, other = layered(folder / "one.json").run, layered(tmp_path / "other.json").run
    assert not np.array_equal(one.iterations[-1].thetas, other.iterations[-1].thetas)


def test_a_record_holds_the_run(folder: Path, tmp_path: Path) -> None:
    run = run_at(tmp_path / "run.json", problem(), FEW)
    record, did = load_record(folder / "one.json"), layered(folder / "one.json")
    for name, array in mtss_arrays(run).items():
        assert np.array_equal(array, mtss_arrays(did.run)[name])
    total = EpisodicLedger()
    for mine, theirs in zip(run.iterations, did.run.iterations, strict=True):
        assert (mine.fitted, mine.fit, mine.search) == (theirs.fitted, theirs.fit, theirs.search)
        assert np.array_equal(mine.largest, theirs.largest)
        assert np.array_equal(mine.sizes, theirs.sizes)
        total += mine.fit + mine.search
    assert record.ledger == total
    for layer, precision in zip(run.policy.layers, did.precisions, strict=True):
        assert np.array_equal(layer.precision, precision)


@pytest.mark.parametrize("make", [token_problem, forks_problem, auto_problem, mdp_problem])
def test_the_summary_states_what_is_exact(make: Any, tmp_path: Path) -> None:
    made = make(2, horizon=2, dimension=3)
    run = run_at(tmp_path / "run.json", made, FEW)
    summary, listed = load_record(tmp_path / "run.json").summary, layers_of(made)
    law, optimum = exact_layers.log_anchored_law(listed, run.policy), exact_layers.log_optimal_law(listed)
    assert summary["certain"]
    assert summary["gap"] == exact_layers.layered_gap(listed, law) < summary["base_gap"]
    assert summary["base_gap"] == exact_layers.layered_gap(listed, listed.log_base)
    token = np.exp(exact_layers.log_conditional_coverage(listed, optimum))
    assert summary["problem"]["conditional_coverage"] == token
    assert sum(map(sum, summary["gap_bound"].values())) == pytest.approx(gap_bound(listed, run.policy).total)
    assert set(verdicts(tmp_path / "run.json").values()) == {Verdict.HOLDS}


def test_a_run_that_is_never_certain_says_so_and_has_the_gap_of_the_base_policy(tmp_path: Path) -> None:
    run = run_at(tmp_path / "run.json", problem(), VARIANTS["never certain"])
    summary = load_record(tmp_path / "run.json").summary
    assert not run.certain
    assert (summary["certain"], summary["returned"]) == (False, 1)
    assert summary["gap"] == pytest.approx(summary["base_gap"], rel=1e-12)


def test_a_run_as_printed_states_the_most_that_it_may_ask_and_asks_no_more(folder: Path) -> None:
    record = load_record(folder / "printed.json")
    most = most_of_printed_run(record.plan.settings, horizon=3, rewarded=problem().rewarded)
    for kind in ("samples", "features", "rewards", "transitions", "resets"):
        assert record.summary["bounds"][kind] == getattr(most, kind) >= getattr(record.ledger, kind)
    assert isinstance(record.ledger, EpisodicLedger)
    assert most.resets == record.ledger.resets
    assert set(load_record(folder / "one.json").summary["bounds"]) == {"uncertain_pairs"}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_holds_what_its_record_can_show(name: str, tmp_path: Path) -> None:
    run_at(tmp_path / "run.json", problem(), VARIANTS[name])
    core = "MT4" if name.startswith(("printed", "stops")) and "pool" not in name else "core-sets"
    rows = (core, "MT6", "S2", "S3", "R1", "O1", "record", "problem", "MT2", "certificate", "I6")
    assert verdicts(tmp_path / "run.json") == dict.fromkeys(rows, Verdict.HOLDS)


def test_some_variant_leaves_something_uncovered(tmp_path: Path) -> None:
    run_at(tmp_path / "run.json", problem(), VARIANTS["large threshold, so that much is not covered"])
    summary = load_record(tmp_path / "run.json").summary
    assert summary["certain"]
    assert sum(map(sum, summary["gap_bound"].values())) > summary["gap"] + 1e-6


@pytest.mark.parametrize("make", [token_problem, forks_problem, auto_problem])
def test_a_literal_run_holds_it_too(make: Any, tmp_path: Path) -> None:
    run_at(tmp_path / "run.json", make(1, horizon=2), FEW, oracle="literal")
    assert set(verdicts(tmp_path / "run.json").values()) == {Verdict.HOLDS}


# Going on


@pytest.mark.parametrize("oracle", ["counted", "literal"])
@pytest.mark.parametrize("name", ["practical", "printed", "fresh"])
def test_a_run_goes_on_from_every_iteration_to_the_same_bytes(name: str, oracle: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.json", tmp_path / "cut.json"
    few = {"iterations": 3} if name == "printed" else {}
    run = run_at(whole, problem(), VARIANTS[name] | few, oracle=oracle)
    plan = make_mtss_plan(problem(), seed=7, overrides=VARIANTS[name] | few, oracle=oracle)
    assert len(run.iterations) > 2
    for stop in range(1, len(run.iterations) + 1):
        steps = mtss_steps(plan, cut)
        for _ in range(stop):
            next(steps)
        steps.close()
        start = load_checkpoint(cut)
        assert isinstance(start, LayeredCheckpoint)
        assert len(start.run.iterations) == stop
        execute_mtss(plan, cut, start=start)
        assert cut.read_bytes() == whole.read_bytes()
        assert arrays_path(cut).read_bytes() == arrays_path(whole).read_bytes()
        assert not checkpoint_path(cut).exists()


def test_a_run_that_is_stopped_after_each_iteration_ends_in_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    plan, cut, stops = make_mtss_plan(problem(), seed=7, overrides=PRINTED), tmp_path / "run.json", 0
    start: LayeredCheckpoint | None = None
    while not cut.exists():
        steps = mtss_steps(plan, cut, start=start, problem=problem())
        next(steps)
        steps.close()
        if not cut.exists():
            loaded = load_checkpoint(cut)
            assert isinstance(loaded, LayeredCheckpoint)
            stops, start = stops + 1, loaded
    assert stops == PRINTED["iterations"]
    assert cut.read_bytes() == (folder / "printed.json").read_bytes()
    assert arrays_path(cut).read_bytes() == arrays_path(folder / "printed.json").read_bytes()


def test_a_checkpoint_without_a_stream_of_the_oracle_is_refused(tmp_path: Path) -> None:
    plan = make_mtss_plan(problem(), seed=7, overrides=FEW)
    steps = mtss_steps(plan, tmp_path / "run.json", problem=problem())
    next(steps)
    steps.close()
    checkpoint = checkpoint_path(tmp_path / "run.json")
    with np.load(checkpoint) as archive:
        np.savez(checkpoint, **{name: archive[name] for name in archive.files if name != "layer_2_vectors"})
    with pytest.raises(RecordError, match="layer_2_vectors"):
        load_checkpoint(tmp_path / "run.json")


# Alterations


def test_a_fault_of_what_finds_the_largest_norm_does_not_certify_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_short(pairs: Pairs, precision: FloatArray) -> FloatArray:
        return 0.9 * squared_norms(pairs, precision)

    plant(monkeypatch, squared_norms, too_short)
    run_at(tmp_path / "run.json", problem(), FEW)
    assert violated(tmp_path / "run.json") == {"core-sets"}


def _iteration(number: int, *keys: str, by: int) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        more(*keys, by=by)(summary["iterations"][number], arrays)

    return change


def _both(*changes: Change) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        for each in changes:
            each(summary, arrays)

    return change


def _largest(number: int, layer: int, factor: float) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        summary["iterations"][number]["largest"][layer] *= factor

    return change


def _part(name: str, layer: int, amount: float) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        summary["gap_bound"][name][layer] += amount

    return change


def _without_the_last_iteration(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    last = summary["iterations"].pop()
    for kind, count in summary["ledger"].items():
        summary["ledger"][kind] = count - last["fit"][kind] - last["search"][kind]
    arrays["thetas"] = arrays["thetas"][:-1]
    summary["returned"] = 1


def _without_anchors(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["layer_2_states"][1] += 1


def _never_certain(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
    summary["certain"], summary["returned"] = False, 1


ALTERED: dict[str, tuple[Change, set[str]]] = {
    "a parameter of the policy": (add("thetas", (-1, 1, 0), 1e-4), {"MT2", "certificate"}),
    "a parameter that was kept": (add("thetas", (1, 0, 0), 1e-4), {"record", "R1"}),
    "a parameter outside of the set": (scale("thetas", 1e3), {"record", "MT2", "certificate"}),
    "a feature": (add("layer_1_vectors", (0, 0), 1e-5), {"core-sets", "S2", "S3", "problem"}),
    "features of a layer": (scale("layer_2_vectors", 1.5), {"core-sets", "S2", "S3", "problem"}),
    "a precision": (scale("precisions", 1.001), {"S2", "S3"}),
    "an action": (
        lambda _, arrays: arrays.update(layer_3_actions=1 + 0 * arrays["layer_3_actions"]),
        {"core-sets", "O1", "problem"},
    ),
    "the state of an anchor's pair": (_without_anchors, {"core-sets", "problem"}),
    "an anchor": (assign("layer_1_anchors", 0, 1), {"core-sets", "problem"}),
    "the bound on pairs": (put("bounds", "uncertain_pairs", value=1), {"MT6"}),
    "a largest norm": (_largest(0, 1, 1.001), {"core-sets"}),
    "the last largest norm": (_largest(-1, 1, 100.0), {"core-sets", "record", "MT2", "certificate"}),
    "samples of the ledger": (more("ledger", "samples", by=1), {"O1"}),
    "resets of an iteration": (_both(_iteration(1, "search", "resets", by=1), more("ledger", "resets", by=1)), {"O1"}),
    "rewards of a fit": (_both(_iteration(-1, "fit", "rewards", by=-1), more("ledger", "rewards", by=-1)), {"O1"}),
    "samples of a fit": (
        _both(_iteration(-1, "fit", "samples", by=10**8), more("ledger", "samples", by=10**8)),
        {"R1"},
    ),
    "samples of a search": (_both(_iteration(0, "search", "samples", by=-1), more("ledger", "samples", by=-1)), {"R1"}),
    "what is certain": (_never_certain, {"record", "S2", "S3"}),
    "the iterations": (_without_the_last_iteration, {"record", "S2", "S3", "MT2", "certificate"}),
    "the gap": (change_by("gap", factor=1 - 1e-7), {"MT2"}),
    "the gap beyond its bound": (change_by("gap", factor=2.0), {"MT2", "certificate"}),
    "the base gap": (change_by("base_gap", factor=1 + 1e-9), {"MT2"}),
    "a part of the bound": (_part("missed", 0, 1e-7), {"certificate"}),
    "a part of the bound that is large": (_part("divergence", 2, 1e-8), {"certificate"}),
    "the cost of the paper": (more("paper", "ledger", "rewards", by=10**6), {"certificate"}),
    "coverage": (change_by("problem", "coverage", factor=1 - 1e-9), {"I6"}),
    "coverage of an action": (change_by("problem", "conditional_coverage", factor=1 + 1e-9), {"I6"}),
    "the anchor of the problem": (put("problem", "anchor", value=1), {"core-sets", "problem"}),
    "the rewarded layers": (put("problem", "rewarded", value=[True, False, True]), {"O1", "problem"}),
    "the seed of the problem": (put("plan", "parameters", "seed", value=4), {"problem"}),
    "another parameter": (put("plan", "parameters", "colour", value="red"), {"problem"}),
    "the ridge": (put("plan", "settings", "ridge", value=0.31), {"core-sets", "S2", "S3"}),
    "rollouts": (put("plan", "settings", "span_rollouts", value=3), {"O1", "R1"}),
    "not a number": (assign("layer_2_vectors", (0, 0), np.nan), {"core-sets", "MT6", "S2", "S3", "R1", "O1", "record"}),
}


@pytest.mark.parametrize("name", ALTERED)
def test_a_record_that_was_altered_is_found_out(name: str, folder: Path, tmp_path: Path) -> None:
    alter, broken = ALTERED[name]
    assert violated(altered_copy(folder / "one.json", tmp_path / "run.json", alter)) == broken


def test_a_gap_that_a_run_without_a_certain_iteration_states_is_that_of_the_base_policy(tmp_path: Path) -> None:
    run_at(tmp_path / "genuine.json", problem(), VARIANTS["never certain"])
    smaller = change_by("gap", factor=0.5)
    assert violated(altered_copy(tmp_path / "genuine.json", tmp_path / "run.json", smaller)) == {"record", "MT2"}


def _sizes(number: int, layer: int, by: int) -> Change:
    def change(summary: dict[str, Any], arrays: dict[str, Any]) -> None:
        summary["iterations"][number]["sizes"][layer] += by

    return change


def test_core_sets_that_grow_otherwise_than_as_printed_are_found_out(folder: Path, tmp_path: Path) -> None:
    genuine, path = folder / "printed.json", tmp_path / "run.json"
    assert violated(altered_copy(genuine, path, _sizes(2, 1, 2))) >= {"MT4", "O1"}
    assert violated(altered_copy(genuine, path, put("bounds", "samples", value=1))) == {"O1"}
    assert violated(altered_copy(genuine, path, put("certain", value=True))) == {"record"}
    other = put("plan", "settings", "search", value="shared")
    assert violated(altered_copy(genuine, path, other)) == {"O1", "R1"}


@pytest.mark.parametrize("missing", ["thetas", "layer_3_anchors", "precisions"])
def test_a_record_without_an_array_is_damaged(folder: Path, tmp_path: Path, missing: str) -> None:
    with pytest.raises(RecordError, match=r"run\.json is damaged.*" + missing):
        load_record(altered_copy(folder / "one.json", tmp_path / "run.json", lambda _, arrays: arrays.pop(missing)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _, arrays: arrays.update(thetas=arrays["thetas"][:-1]), "thetas"),
        (lambda _, arrays: arrays.update(layer_2_actions=arrays["layer_2_actions"][:-1]), "layer_2_actions"),
        (_sizes(1, 1, 10**6), "size of a core-set"),
        (_sizes(1, 1, -(10**6)), "size of a core-set"),
        (put("iterations", value=[]), "number of iterations"),
        (put("returned", value=99), "returned"),
        (put("certain", value="yes"), "certain"),
        (put("gap_bound", "taken", value=[0.0]), "taken"),
        (put("problem", "rewarded", value=[True]), "rewarded"),
        (put("problem", "horizon", value=0), "horizon"),
        (put("ledger", "samples", value=-1), "samples"),
        (put("plan", "settings", "refit", value="never"), "refit"),
    ],
)
def test_a_record_of_another_shape_is_damaged(folder: Path, tmp_path: Path, change: Change, words: str) -> None:
    with pytest.raises(RecordError, match=r"run\.json is damaged.*" + words):
        load_record(altered_copy(folder / "one.json", tmp_path / "run.json", change))


# Plans


@pytest.mark.parametrize(
    ("key", "value"), [("nu", 0.0), ("iterations", 0), ("multiplier", 0.5), ("failure", 1.0), ("search", "wide")]
)
def test_bad_settings_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=key):
        make_mtss_plan(problem(), seed=0, overrides={key: value})


def test_a_plan_is_a_plan_again(folder: Path) -> None:
    plan = load_record(folder / "printed.json").plan
    assert isinstance(plan.settings, MTSSSettings)
    assert plan == make_mtss_plan(problem(), seed=7, overrides=PRINTED)
    assert json.loads((folder / "printed.json").read_text())["plan"]["sampler"] is None
