"""Records and checkpoints come back bit for bit, are written whole, and are refused by name when they are damaged."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alterations import trace_of

from spanver.errors import RecordError
from spanver.learners.spanner_sampling import Run, Settings, Trace, sampling_rounds, spanner_sampling
from spanver.oracle import Ledger
from spanver.oracles.counted import counted_oracle
from spanver.problems.families.random_tables import random_problem
from spanver.runs.archive import arrays_path
from spanver.runs.certify import certify
from spanver.runs.execution import execute, execution_steps
from spanver.runs.plans import Plan, make_plan
from spanver.runs.records import (
    Checkpoint,
    Sampled,
    checkpoint_path,
    load_checkpoint,
    load_record,
    save_checkpoint,
    save_record,
    trace_arrays,
)
from spanver.values import Outcome
from spanver.verdicts import Verdict

SETTINGS = {
    "prompts": 20,
    "pairs_per_prompt": 6,
    "nu": 0.3,
    "exploration_rounds": 15,
    "rejection_multiplier": 8.0,
    "rejection_failure": 0.2,
}


def small_plan(**changes: Any) -> Plan:
    problem = random_problem(3, prompts=3, responses=8, dimension=3)
    return make_plan(problem, seed=5, **{"overrides": SETTINGS, **changes})


def learned(plan: Plan) -> tuple[Run, Ledger]:
    oracle = counted_oracle(random_problem(3, prompts=3, responses=8, dimension=3), seed=plan.seed)
    return spanner_sampling(oracle, seed=plan.seed, settings=plan.settings), oracle.ledger


def stated(plan: Plan, trace: Trace) -> dict[str, Any]:
    """What a record says in addition to its plan and its rounds."""
    problem = {
        "name": "random", "dimension": 3, "beta": 0.25, "radius": 1.0, "reward_range": 2.0, "shape": "ball",
        "coverage": 4.0,
    }  # fmt: skip
    spanner = {name: getattr(trace.spanner, name) for name in ("size", "dimension", "nu")}
    gap = {"value": 0.1, "low": None, "high": None, "exact": False}
    return {
        "problem": problem,
        "settings": dataclasses.asdict(plan.settings),
        "spanner": spanner,
        "coverage_reached": None,
        "gap": gap,
        "base_gap": 0.2,
        "improvement": gap,
        "evaluation": {"ledger": {}},
        "bounds": {"score_error": 1.0, "score_error_limit": 0.125},
    }


CURVES = {"rounds": np.array([1, 2]), "round_gaps": np.array([0.1, 1e-300]), "mixture_gaps": np.array([0.1, 0.05])}


def contents(value: object) -> object:
    """Everything in a dataclass, arrays down to dtype and bits."""
    if dataclasses.is_dataclass(value):
        return [(field.name, contents(getattr(value, field.name))) for field in dataclasses.fields(value)]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return [(type(item), contents(item)) for item in value]
    return value


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Path of the record of a finished run."""
    path = tmp_path / "run.json"
    execute(small_plan(), path)
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Path of the record that a checkpoint stands for."""
    path = tmp_path / "run.json"
    plan = small_plan()
    run, ledger = learned(plan)
    save_checkpoint(path, Checkpoint(plan, run.trace, ledger))
    return path


def sampled_checkpoint(path: Path) -> Checkpoint:
    """Checkpoint of a run of SpannerSampling."""
    loaded = load_checkpoint(path)
    assert isinstance(loaded, Checkpoint)
    return loaded


# There and back


def test_a_record_comes_back_bit_for_bit(tmp_path: Path) -> None:
    plan = small_plan()
    run, ledger = learned(plan)
    path = tmp_path / "run.json"
    results = {**stated(plan, run.trace), "note": ["plain", 0.1]}
    summary = save_record(path, plan=plan, ledger=ledger, results=results, arrays={**trace_arrays(run.trace), **CURVES})
    loaded = load_record(path)
    assert contents(trace_of(loaded)) == contents(run.trace)
    assert loaded.plan == plan
    assert loaded.ledger == ledger
    assert isinstance(loaded.did, Sampled)
    assert loaded.did.sigma.tobytes() == run.trace.spanner.sigma.tobytes()
    assert loaded.summary == summary == json.loads(path.read_text())
    assert {key: loaded.summary[key] for key in results} == results
    assert summary["schema"].startswith("spanver.run/")
    assert summary["ledger"] == {"samples": ledger.samples, "rewards": ledger.rewards, "enumerated": 0}
    with np.load(arrays_path(path), allow_pickle=False) as archive:
        assert all(np.array_equal(archive[name], curve) for name, curve in CURVES.items())


@pytest.mark.parametrize("rounds", [0, 3])
def test_a_checkpoint_comes_back_bit_for_bit_after_any_number_of_rounds(tmp_path: Path, rounds: int) -> None:
    plan = small_plan(budget=10**6)
    oracle = counted_oracle(random_problem(3, prompts=3, responses=8, dimension=3), seed=5)
    traces = [
        (state.trace, oracle.ledger)
        for state in sampling_rounds(oracle, seed=5, settings=plan.settings)
        if state.done == rounds or (rounds == 0 and state.phase == "spanner")
    ]
    path = tmp_path / "run.json"
    for trace, ledger in traces:
        save_checkpoint(path, Checkpoint(plan, trace, ledger))
        loaded = sampled_checkpoint(path)
        assert contents(loaded.trace) == contents(trace)
        assert (loaded.plan, loaded.ledger) == (plan, ledger)


def test_text_prompts_unusual_outcomes_and_unbounded_ledgers_come_back(tmp_path: Path) -> None:
    plan = small_plan()
    run, _ = learned(plan)
    exploration = run.trace.exploration
    trace = Trace(
        dataclasses.replace(
            run.trace.spanner,
            prompts=tuple(f"naïve “{index}” " for index in range(run.trace.spanner.size)),
            first=("",) * run.trace.spanner.size,
        ),
        dataclasses.replace(exploration, outcomes=(tuple(Outcome) * 4)[: exploration.rounds]),
    )
    ledger = Ledger(samples=3 * 2**70, rewards=2**63, enumerated=1)
    path = tmp_path / "run.json"
    save_checkpoint(path, Checkpoint(plan, trace, ledger))
    arrays = {**trace_arrays(trace), **CURVES}
    save_record(path, plan=plan, ledger=ledger, results=stated(plan, trace), arrays=arrays)
    assert contents(sampled_checkpoint(path).trace) == contents(trace_of(load_record(path))) == contents(trace)
    assert sampled_checkpoint(path).ledger == load_record(path).ledger == ledger


@pytest.mark.parametrize("oracle", ["counted", "literal"])
def test_the_same_run_twice_writes_the_same_bytes(tmp_path: Path, oracle: str) -> None:
    paths = [tmp_path / "one" / "run.json", tmp_path / "two" / "run.json"]
    for path in paths:
        path.parent.mkdir()
        execute(small_plan(oracle=oracle), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert arrays_path(paths[0]).read_bytes() == arrays_path(paths[1]).read_bytes()
    other = tmp_path / "other.json"
    execute(dataclasses.replace(small_plan(oracle=oracle), seed=6), other)
    assert other.read_bytes() != paths[0].read_bytes()


def test_a_finished_run_leaves_its_record_and_a_log_of_wall_times_alone(record: Path) -> None:
    assert sorted(path.name for path in record.parent.iterdir()) == ["run.json", "run.npz", "run.times.log"]
    assert "learning" in (record.parent / "run.times.log").read_text()


def test_two_records_in_one_folder_do_not_share_arrays(tmp_path: Path) -> None:
    first, second = tmp_path / "run.seed5", tmp_path / "run.seed6"
    execute(small_plan(), first)
    before = contents(trace_of(load_record(first)))
    execute(dataclasses.replace(small_plan(), seed=6), second)
    assert contents(trace_of(load_record(first))) == before


# What is damaged or foreign


def without(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def without_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def text(path: Path) -> None:
    path.write_text("not a record\n")


def bytes_of_no_encoding(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\x80")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def plain_array(path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3.0))
    path.write_bytes(buffer.getvalue())


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"spanner_vectors": [1.0]}))


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


DAMAGE = [without, empty, half, without_end, text, bytes_of_no_encoding, folder]
ARRAY_DAMAGE = [*DAMAGE, plain_array, pickled, other_archive]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_json_file_is_refused_by_name(record: Path, damage: Callable[[Path], None]) -> None:
    damage(record)
    with pytest.raises(RecordError, match=r"run\.json"):
        load_record(record)


@pytest.mark.parametrize("damage", ARRAY_DAMAGE)
def test_a_damaged_file_of_arrays_is_refused_by_name(record: Path, damage: Callable[[Path], None]) -> None:
    damage(arrays_path(record))
    with pytest.raises(RecordError, match=r"run\.(npz|json)"):
        load_record(record)


@pytest.mark.parametrize("damage", ARRAY_DAMAGE)
def test_a_damaged_checkpoint_is_refused_by_name(checkpoint: Path, damage: Callable[[Path], None]) -> None:
    damage(checkpoint_path(checkpoint))
    with pytest.raises(RecordError, match=r"run\.checkpoint\.npz"):
        load_checkpoint(checkpoint)


def test_a_flipped_byte_anywhere_in_the_arrays_is_refused_or_changes_nothing(record: Path) -> None:
    path = arrays_path(record)
    content = path.read_bytes()
    before = contents(trace_of(load_record(record)))
    refused = 0
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        try:
            loaded = load_record(record)
        except RecordError:
            refused += 1
        else:
            assert contents(trace_of(loaded)) == before, f"byte {position}"
    assert refused > len(content) / 7 / 2


@pytest.mark.parametrize(
    "content",
    ["[]", "null", "{}", '{"schema": "spanver.run/999"}', '{"schema": "spanver.certificate/1", "guarantees": []}'],
)
def test_json_that_is_no_record_of_this_version_is_refused_by_name(record: Path, content: str) -> None:
    record.write_text(content)
    with pytest.raises(RecordError, match=r"run\.json.*schema"):
        load_record(record)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("plan",), None),
        (("plan", "settings"), None),
        (("plan", "settings", "nu"), -1.0),
        (("plan", "settings", "rejection_multiplier"), 0.5),
        (("plan", "settings", "ridge"), "four"),
        (("plan", "learner"), "another"),
        (("ledger", "samples"), -1),
        (("ledger", "samples"), 1.5),
        (("ledger", "samples"), None),
        (("ledger", "guesses"), 3),
        (("gap", "value"), None),
        (("gap", "low"), "a little"),
        (("gap", "exact"), "yes"),
        (("improvement",), 0.1),
        (("base_gap",), None),
        (("problem", "coverage"), None),
        (("problem", "shape"), "simplex"),
        (("coverage_reached",), "far"),
        (("evaluation", "ledger", "guesses"), 3),
        (("bounds", "score_error"), -1.0),
        (("spanner", "dimension"), 4),
        (("spanner", "nu"), "wide"),
        (("spanner",), []),
    ],
)
def test_a_record_with_a_wrong_entry_is_refused_by_name(record: Path, keys: tuple[str, ...], value: Any) -> None:
    summary = json.loads(record.read_text())
    place = summary
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    record.write_text(json.dumps(summary))
    with pytest.raises(RecordError, match=r"run\.json is damaged"):
        load_record(record)


@pytest.mark.parametrize("key", ["plan", "ledger", "spanner", "problem", "settings"])
def test_a_record_without_an_entry_that_checks_need_is_refused_by_name(record: Path, key: str) -> None:
    summary = json.loads(record.read_text())
    del summary[key]
    record.write_text(json.dumps(summary))
    with pytest.raises(RecordError, match=r"run\.json is damaged"):
        certify(load_record(record))


def changed_arrays(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    np.savez_compressed(path, **arrays)


def array_names() -> list[str]:
    spanner = ["prompts", "first", "second", "vectors", "targets", "rounds", "tries"]
    exploration = [*spanner[:5], "thetas", "spanner_sizes", "samples", "outcomes"]
    curves = ["rounds", "round_gaps", "mixture_gaps"]
    return [
        *(f"spanner_{name}" for name in spanner),
        *(f"exploration_{name}" for name in exploration),
        "sigma",
        *curves,
    ]


def faults() -> list[tuple[str, str]]:
    """Every fault of every array, but those that a record may have: ids that are texts, and any number of rounds."""
    every = [
        (name, fault) for name in array_names() for fault in ("missing", "a row more", "another dimension", "texts")
    ]
    ids = ("prompts", "first", "second")
    return [
        (name, fault)
        for name, fault in every
        if not (fault == "texts" and name.endswith(ids))
        and (name, fault) != ("spanner_tries", "a row more")
        and (name != "sigma" or fault in ("missing", "texts"))  # certify judges the shape of sigma (S2)
    ]


@pytest.mark.parametrize(("name", "fault"), faults())
def test_a_record_with_an_array_that_does_not_fit_is_refused_by_name(record: Path, name: str, fault: str) -> None:
    def change(arrays: dict[str, Any]) -> None:
        match fault:
            case "missing":
                del arrays[name]
            case "a row more":
                arrays[name] = np.concatenate([arrays[name], arrays[name][:1]])
            case "another dimension":
                arrays[name] = arrays[name][None]
            case "texts":
                arrays[name] = np.full(arrays[name].shape, "much")

    changed_arrays(arrays_path(record), change)
    with pytest.raises(RecordError, match=r"run\.(json|npz)"):
        load_record(record)


def test_nothing_is_unpickled(record: Path, checkpoint: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, ("raise SystemExit('unpickled')",)

    def change(arrays: dict[str, Any]) -> None:
        trap = np.empty(1, dtype=object)
        trap[0] = Trap()
        arrays["spanner_targets"] = trap

    for path in (arrays_path(record), checkpoint_path(checkpoint)):
        changed_arrays(path, change)
    with pytest.raises(RecordError, match=r"run\.npz"):
        load_record(record)
    with pytest.raises(RecordError, match=r"run\.checkpoint\.npz"):
        load_checkpoint(checkpoint)


def test_a_record_and_a_checkpoint_hold_no_pickle(record: Path, checkpoint: Path) -> None:
    for path in (arrays_path(record), checkpoint_path(checkpoint)):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                header = archive.read(name)[:200]
                assert name.endswith(".npy")
                assert header.startswith(b"\x93NUMPY")
                assert b"|O" not in header


# Written whole


def test_a_stale_partial_file_changes_nothing(checkpoint: Path) -> None:
    stale = checkpoint_path(checkpoint).with_name(checkpoint_path(checkpoint).name + ".partial")
    stale.write_bytes(b"half of a checkpoi")
    loaded = load_checkpoint(checkpoint)
    save_checkpoint(checkpoint, loaded)
    assert contents(load_checkpoint(checkpoint)) == contents(loaded)
    assert not stale.exists()


def test_a_write_that_fails_keeps_the_checkpoint_before_it(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoint_path(checkpoint).read_bytes()
    loaded = sampled_checkpoint(checkpoint)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises((OSError, RecordError)):
        save_checkpoint(checkpoint, Checkpoint(loaded.plan, loaded.trace, Ledger(samples=1)))
    assert checkpoint_path(checkpoint).read_bytes() == before


def test_a_folder_that_cannot_be_written_is_a_record_error_that_names_the_file(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    blocked = checkpoint.parent / "file"
    blocked.write_text("a file where a folder belongs")
    with pytest.raises(RecordError, match="checkpoint"):
        save_checkpoint(blocked / "run.json", loaded)


def test_going_on_from_a_saved_checkpoint_writes_the_same_bytes(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole" / "run.json", tmp_path / "cut" / "run.json"
    for path in (whole, cut):
        path.parent.mkdir()
    plan = small_plan(oracle="literal")
    execute(plan, whole)
    stops = 0
    phases: list[str] = []
    start: Checkpoint | None = None
    while not cut.exists():
        assert stops < 20
        steps = execution_steps(plan, cut, start=start)
        for step in steps:
            phases.append(step.phase)
            # Every fourth round of both phases, and once in the evaluation.
            if phases.count("evaluation") == 1 if step.phase == "evaluation" else len(phases) % 4 == 3:
                steps.close()
                stops, start = stops + 1, sampled_checkpoint(cut)
                break
    assert stops >= 8
    assert cut.read_bytes() == whole.read_bytes()
    assert arrays_path(cut).read_bytes() == arrays_path(whole).read_bytes()
    assert not checkpoint_path(cut).exists()
    assert {claim.verdict for claim in certify(load_record(cut)).claims} == {Verdict.HOLDS}


def test_settings_of_a_plan_are_settings_again(record: Path) -> None:
    assert isinstance(load_record(record).plan.settings, Settings)
