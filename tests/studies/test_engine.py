"""Studies resume, survive their workers, and come to the same numbers whoever measures them."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joblib.externals.loky import reusable_executor

import spanver
from spanver.errors import ArgumentError, SpanverError
from spanver.evidence import Slope
from spanver.oracle import Ledger
from spanver.studies.catalogue import STUDIES
from spanver.studies.engine import runner as conducting
from spanver.studies.engine import workers as running
from spanver.studies.engine.effort import Attempt, smallest_sufficient
from spanver.studies.engine.report import claims_table
from spanver.studies.engine.runner import as_json, run_studies, selected_studies, verdict_of
from spanver.studies.engine.store import open_store, revision
from spanver.studies.engine.study import Claim, Measurement, Point, table
from spanver.studies.engine.workers import measure_on_dask, measure_on_processes
from spanver.verdicts import Verdict

POINTS = tuple(Point("coverage", "elliptical", float(size), seed) for size in (4, 8, 12) for seed in range(3))
SLOWER = tuple(Point("coverage", "spanner_sampling", float(size), seed) for size in (4, 6) for seed in range(3))


def in_order(measured: Iterator[Measurement]) -> list[Measurement]:
    return sorted(measured, key=lambda each: each.point)


def shown(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    return (Claim("T6", json.dumps([dict(each.numbers) for each in measured]), Verdict.HOLDS),)


def drawn(figure: Any, measured: Sequence[Measurement]) -> None:
    figure.subplots().plot([float(each.numbers["rewards"] or 0) for each in measured])


SMALL = {"coverage": replace(STUDIES["coverage"], points=lambda profile: POINTS, judge=shown, draw=drawn)}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coverage study with few and quick points."""
    monkeypatch.setattr(conducting, "STUDIES", SMALL)


def test_numbers_are_the_same_on_one_process_and_on_two() -> None:
    one = in_order(measure_on_processes(POINTS, seed=5, workers=1))
    assert [each.point for each in one] == sorted(POINTS)
    assert in_order(measure_on_processes(POINTS, seed=5, workers=2)) == one


def test_another_seed_is_another_experiment() -> None:
    points = SLOWER[:1]
    assert in_order(measure_on_processes(points, seed=5, workers=1)) != in_order(
        measure_on_processes(points, seed=6, workers=1)
    )


def test_a_worker_process_that_is_killed_loses_nothing_and_changes_nothing() -> None:
    undisturbed = in_order(measure_on_processes(SLOWER, seed=5, workers=2))
    found = []
    for number, measured in enumerate(measure_on_processes(SLOWER, seed=5, workers=2)):
        found.append(measured)
        if number == 0:
            victim = next(iter(reusable_executor._executor._processes))
            os.kill(victim, signal.SIGKILL)
    assert sorted(found, key=lambda each: each.point) == undisturbed


def test_a_dask_worker_that_is_killed_loses_nothing_and_changes_nothing() -> None:
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    undisturbed = in_order(measure_on_processes(SLOWER, seed=5, workers=2))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        found = []
        for number, measured in enumerate(
            measure_on_dask(SLOWER, seed=5, scheduler=cluster.scheduler_address, workers=2)
        ):
            found.append(measured)
            if number == 0:
                os.kill(cluster.workers[0].pid, signal.SIGKILL)
    assert sorted(found, key=lambda each: each.point) == undisturbed


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("distributed", reason="needs distributed")
    with pytest.raises(SpanverError, match="no Dask scheduler answers at no scheme"):
        next(measure_on_dask(POINTS, seed=0, scheduler="no scheme", workers=1))


def test_a_stopped_study_goes_on_with_what_is_missing(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_studies(["coverage"], profile="quick", seed=5, out=tmp_path / "whole", workers=1)
    asked: list[int] = []

    def interrupted(points: Sequence[Point], **named: int) -> Iterator[Measurement]:
        asked.append(len(points))
        yield from itertools.islice(measure_on_processes(points, seed=named["seed"], workers=1), 4)
        raise KeyboardInterrupt

    monkeypatch.setattr(conducting, "measure_on_processes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_studies(["coverage"], profile="quick", seed=5, out=tmp_path / "stopped", workers=1)
    monkeypatch.undo()
    monkeypatch.setattr(conducting, "STUDIES", SMALL)
    counts: list[tuple[int, int]] = []
    again = run_studies(
        ["coverage"],
        profile="quick",
        seed=5,
        out=tmp_path / "stopped",
        workers=1,
        on_points=lambda done, total: counts.append((done, total)),
    )
    assert asked == [9]
    assert (counts[0], counts[-1]) == ((4, 9), (9, 9))
    assert as_json(again, profile="quick", seed=5) == as_json(whole, profile="quick", seed=5)
    for name in ("coverage.svg", "coverage.png"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_table_of_another_seed_is_refused(small: None, tmp_path: Path) -> None:
    run_studies(["coverage"], profile="quick", seed=5, out=tmp_path, workers=1)
    with pytest.raises(ArgumentError, match="about seed 6, and is about 5; delete it"):
        run_studies(["coverage"], profile="quick", seed=6, out=tmp_path, workers=1)


def test_a_table_that_does_not_say_what_it_is_about_is_refused(small: None, tmp_path: Path) -> None:
    run_studies(["coverage"], profile="quick", seed=5, out=tmp_path, workers=1)
    with closing(sqlite3.connect(tmp_path / "results.sqlite")) as connection, connection:
        connection.execute("delete from about")
    with pytest.raises(ArgumentError, match="says what its numbers are about; delete it"):
        run_studies(["coverage"], profile="quick", seed=5, out=tmp_path, workers=1)


def test_a_table_of_other_code_is_refused(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_studies(["coverage"], profile="quick", seed=5, out=tmp_path, workers=1)
    monkeypatch.setattr(conducting, "revision", lambda: "another")
    with pytest.raises(ArgumentError, match="about revision"):
        run_studies(["coverage"], profile="quick", seed=5, out=tmp_path, workers=1)


def test_the_revision_is_that_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "spanver"
    shutil.copytree(Path(spanver.__path__[0]), copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(spanver, "__path__", [str(copy)])
    assert revision.__wrapped__() == revision()
    (copy / "cli" / "run.py").write_text("")
    assert revision.__wrapped__() == revision()
    with (copy / "learners" / "spanner.py").open("a") as source:
        source.write("# another")
    assert revision.__wrapped__() != revision()


def test_a_worker_with_other_code_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "revision", lambda: "another")  # here, and not in the worker
    with pytest.raises(SpanverError, match="other code"):
        list(measure_on_processes(STUDIES["truncation"].points("quick")[:1], seed=5, workers=2))


@pytest.mark.parametrize("numbers", ["{broken", "{}", "[1]", '{"steps": "many"}'])
def test_a_damaged_row_is_refused_by_name(tmp_path: Path, numbers: str) -> None:
    path = tmp_path / "t"
    with open_store(path, {"seed": 1}) as store:
        for seed in (0, 1):
            store.add(Point("small", "counted", 4.0, seed), {"steps": 3})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update results set numbers = ? where seed = 1", (numbers,))
    damaged = r"Point\(study='small', learner='counted', size=4.0, seed=1\) is; delete"
    with pytest.raises(ArgumentError, match=damaged), open_store(path, {"seed": 1}) as store:
        store.all("small")


def test_a_table_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    with pytest.raises(ArgumentError, match="read and written"), open_store(tmp_path / "t", {}):
        pass


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    path.write_text("not a table, and longer than the header of one" * 40)
    with pytest.raises(ArgumentError, match="a table of studies"), open_store(path, {}):
        pass


def test_the_table_keeps_integers_of_any_size_and_what_was_not_reached(tmp_path: Path) -> None:
    point = Point("coverage", "passive", 4.0, 0)
    numbers = {"samples": 2**70 + 1, "rewards": None, "gap": 0.1}
    with open_store(tmp_path / "t", {"seed": 1}) as store:
        store.add(point, numbers)
    with open_store(tmp_path / "t", {"seed": 1}) as store:
        assert store.all("coverage") == [Measurement(point, numbers)]
        assert store.all("regret") == []


def test_what_was_measured_is_on_disk_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path / "t", {"seed": 1}) as store:
        store.add(Point("coverage", "passive", 4.0, 0), {"gap": 0.5})
        rows = sqlite3.connect(tmp_path / "t").execute("select study, size, numbers from results").fetchall()
    assert rows == [("coverage", 4.0, json.dumps({"gap": 0.5}))]


@pytest.mark.parametrize(
    ("needed", "exponent"), [(0.0, 0.0), (0.1, 0.25), (1.0, 1.0), (1.3, 1.5), (1.6, 1.75), (9.9, 10.0)]
)
def test_effort_is_doubled_until_it_suffices_and_then_refined_to_a_quarter(needed: float, exponent: float) -> None:
    tried: list[float] = []

    def attempt(j: float) -> Attempt:
        tried.append(j)
        return Attempt(0.0 if j >= needed else 1.0, Ledger(int(100 * j)))

    found = smallest_sufficient(attempt, 0.5, largest=10)
    assert found is not None
    assert (found[0], found[1].ledger.samples) == (exponent, int(100 * exponent))
    assert tried[: math.ceil(needed) + 1] == list(range(math.ceil(needed) + 1))
    assert len(tried) <= math.ceil(needed) + 3


def test_effort_that_never_suffices_is_not_reached() -> None:
    assert smallest_sufficient(lambda j: Attempt(1.0, Ledger()), 0.5, largest=3) is None


def test_tables_leave_out_nothing_and_mark_what_is_missing() -> None:
    measured = [
        Measurement(Point("coverage", "xpo", 4.0, 7), {"rewards": 8}),
        Measurement(Point("coverage", "xpo", 6.0, 9), {"rewards": None}),
        Measurement(Point("coverage", "passive", 6.0, 9), {"rewards": 1}),
    ]
    series = table(measured, "xpo", "rewards")
    assert series.sizes.tolist() == [4.0, 6.0]
    assert series.values.shape == (2, 2)
    assert series.values[0, 0] == 8.0
    assert sum(map(math.isnan, series.values.ravel())) == 3


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], Verdict.HOLDS),
        ([Verdict.HOLDS], Verdict.HOLDS),
        ([Verdict.HOLDS, Verdict.UNDECIDED], Verdict.UNDECIDED),
        ([Verdict.UNDECIDED, Verdict.VIOLATED, Verdict.HOLDS], Verdict.VIOLATED),
    ],
)
def test_the_worst_claim_decides(verdicts: list[Verdict], worst: Verdict) -> None:
    claims = tuple(Claim("T2", "words", verdict) for verdict in verdicts)
    assert verdict_of([conducting.Result("coverage", claims, 0, ())]) is worst


def test_claims_that_are_only_shown_never_count() -> None:
    illustration = (Claim("T4", "words", None),)
    result = conducting.Result("proper", illustration, 3, ())
    assert verdict_of([result]) is Verdict.HOLDS
    footer = as_json([result], profile="quick", seed=0)["footer"]
    assert (footer["violated"], footer["points"]) == (0, 3)


@pytest.mark.parametrize(("fitted", "columns"), [(None, 3), (Slope(1.0, 0.9, 1.1, 0.95), 6)])
def test_slopes_have_columns_where_a_claim_has_one(fitted: Slope | None, columns: int) -> None:
    claims = (Claim("T2", "one", Verdict.HOLDS, fitted), Claim("T2", "two", Verdict.HOLDS))
    shown = claims_table(conducting.Result("coverage", claims, 2, ()))
    assert (len(shown.columns), shown.row_count) == (columns, 2)


@pytest.mark.parametrize("name", ["nonsense", ""])
def test_an_unknown_study_is_refused_by_name(name: str) -> None:
    with pytest.raises(ArgumentError, match="coverage"):
        selected_studies(name)


@pytest.mark.parametrize(("key", "value"), [("profile", "slow"), ("workers", 0), ("seed", -1)])
def test_bad_arguments_are_refused_before_anything_is_measured(tmp_path: Path, key: str, value: object) -> None:
    arguments = {"profile": "quick", "workers": 1, "seed": 0} | {key: value}
    with pytest.raises(ArgumentError, match=key):
        run_studies(["coverage"], out=tmp_path / "new", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
