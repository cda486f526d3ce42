"""The command line: exit codes, one-sentence refusals, JSON, figures, and going on after Ctrl-C and kill -9."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from spanver import __version__
from spanver.cli.app import main
from spanver.guarantees import REGISTRY
from spanver.runs import execution as runs
from spanver.runs.certify import CERTIFIED
from spanver.runs.records import checkpoint_path, load_record
from spanver.studies import coverage
from spanver.studies.engine import runner as conduct
from spanver.subjects.reference import subject as reference
from spanver.zoo.catalogue import MUTANTS, Mutant

QUICK = ["--prompts", "30", "--exploration-rounds", "20"]
TINY = ["--problem", "random:prompts=2,responses=6,dimension=2", *QUICK]

# Some seconds of literal drawing in short rounds: time for a checkpoint, and to stop in mid-run.
LONG = ["--problem", "random:responses=64", "--oracle", "literal", "--prompts", "12000", "--exploration-rounds", "100"]
LONG += ["--pairs-per-prompt", "1500", "--rejection-multiplier", "50"]

PROGRAM = [sys.executable, "-c", "from spanver.cli.app import main; main()"]


@dataclass(frozen=True)
class Said:
    """What a command came to; texts have their line breaks taken out, as those depend on the width of a terminal."""

    code: int
    out: str
    err: str


Command: TypeAlias = Callable[..., Said]


@pytest.fixture
def spanver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in a fresh folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["spanver", *arguments])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Said(code, " ".join(captured.out.split()), " ".join(captured.err.split()))

    return command


def environment(**changes: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    return {**inherited, "COLUMNS": "400", **changes}


def program(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# Runs


def test_a_run_on_the_random_family_says_what_it_came_to_and_certifies(spanver: Command) -> None:
    said = spanver("run", *TINY, "--seed", "3")
    assert (said.code, said.err) == (0, "")
    for words in ("counted oracle", "seed 3", "T_prompt", "derived", "ratio", "gap", "exact", "samples asked"):
        assert words in said.out
    for words in ("rewards asked", "spanner size", "S4", "coverage", "base policy", "run.json"):
        assert words in said.out
    summary = json.loads(Path("run.json").read_text())
    assert {"schema", "plan", "settings", "ledger", "gap", "bounds"} <= set(summary)
    assert set(summary["ledger"]) == {"samples", "rewards", "enumerated"}
    assert f"{summary['ledger']['samples']:,}" in said.out
    assert summary["ledger"]["samples"] <= summary["bounds"]["samples"]
    assert summary["ledger"]["rewards"] <= summary["bounds"]["rewards"]
    assert summary["spanner"]["size"] <= summary["bounds"]["spanner_size"]
    assert summary["gap"]["exact"] is True
    assert (summary["plan"]["seed"], summary["plan"]["settings"]["prompts"]) == (3, 30)
    assert not checkpoint_path(Path("run.json")).exists()
    assert spanver("certify", "run.json").code == 0


@pytest.mark.parametrize("coverage", ["2**40", "1099511627776"])
def test_a_run_at_coverage_2_to_the_40_counts_more_than_1e14_samples(spanver: Command, coverage: str) -> None:
    said = spanver("run", "--problem", f"covered_needle:coverage={coverage}")
    assert said.code == 0
    samples = json.loads(Path("run.json").read_text())["ledger"]["samples"]
    assert samples > 10**14
    assert f"{samples:,}" in said.out
    assert spanver("certify", "run.json").code == 0


def test_every_setting_can_be_given(spanver: Command) -> None:
    given = {
        "prompts": 7,
        "pairs_per_prompt": 3,
        "nu": 0.7,
        "ridge": 2.5,
        "exploration_rounds": 4,
        "rejection_multiplier": 9.0,
        "rejection_failure": 0.25,
    }
    options = [text for name, value in given.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    assert spanver("run", *TINY, *options, "--sampler", "race", "--oracle", "literal", "--out", "other.json").code == 0
    plan = load_record(Path("other.json")).plan
    assert {name: getattr(plan.settings, name) for name in given} == given
    assert (plan.sampler, plan.oracle) == ("race", "literal")


def test_a_run_of_unknown_coverage_names_the_coverage_it_reached(spanver: Command) -> None:
    said = spanver("run", *TINY, "--coverage", "unknown", "--budget", "300000")
    assert said.code == 0
    assert "300,000" in said.out
    assert "reached" in said.out
    summary = json.loads(Path("run.json").read_text())
    assert summary["coverage_reached"] >= 2.0
    assert summary["ledger"]["samples"] <= 300_000
    assert spanver("certify", "run.json").code == 0


def test_a_long_drawing_run_says_what_it_is_about_to_spend_and_a_short_one_does_not(spanver: Command) -> None:
    long = spanver("run", *TINY, "--oracle", "literal", "--prompts", "100", "--pairs-per-prompt", "10000")
    assert "about to ask for up to 2," in long.out
    short = spanver("run", *TINY, "--oracle", "literal", "--out", "short.json")
    assert "about to ask" not in short.out


def test_the_figure_is_drawn_as_png_and_as_svg(spanver: Command) -> None:
    assert spanver("run", *TINY, "--figure", "out.png").code == 0
    assert Path("out.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert spanver("run", *TINY, "--figure", "out.svg", "--out", "two.json").code == 0
    content = Path("out.svg").read_text()
    assert content.startswith("<?xml")
    assert "<svg" in content


def test_a_path_with_brackets_is_printed_as_it_is(spanver: Command) -> None:
    said = spanver("run", *TINY, "--out", "run[bold].json")
    assert said.code == 0
    assert "record: run[bold].json" in said.out


# Certificates and the registry


def test_certify_writes_verdicts_and_a_footer_as_json(spanver: Command) -> None:
    assert spanver("run", *TINY).code == 0
    said = spanver("certify", "run.json", "--json", "good.json")
    assert said.code == 0
    assert "0 violated" in said.out
    content = json.loads(Path("good.json").read_text())
    assert content["schema"].startswith("spanver.certificate/")
    assert [row["id"] for row in content["guarantees"]] == list(CERTIFIED)
    assert all(row["verdict"] == "holds" and row["finding"] for row in content["guarantees"])
    footer = content["footer"]
    assert (footer["expected"], footer["executed"], footer["violated"]) == (len(CERTIFIED), len(CERTIFIED), [])


def test_certify_exits_1_and_names_what_is_violated(spanver: Command) -> None:
    assert spanver("run", *TINY).code == 0
    summary = json.loads(Path("run.json").read_text())
    summary["ledger"]["samples"] -= 1
    Path("run.json").write_text(json.dumps(summary))
    said = spanver("certify", "run.json", "--json", "bad.json")
    assert said.code == 1
    assert "1 violated" in said.out
    content = json.loads(Path("bad.json").read_text())
    assert content["footer"]["violated"] == ["O1"]
    assert [row["id"] for row in content["guarantees"] if row["verdict"] == "violated"] == ["O1"]


def test_a_multi_turn_run_says_what_it_came_to_and_certifies(spanver: Command) -> None:
    options = ["--learner", "multi_turn", "--problem", "tokens:horizon=2", "--prompts", "30", "--rollouts", "2"]
    said = spanver(
        "run", *options, "--tests", "5", "--pairs-per-prefix", "3", "--partition-samples", "8", "--out", "token.json"
    )
    assert said.code == 0, said.err
    for words in ("gap J(pi*) - J(pi), exact", "warm start", "C_cond", "spanver certify token.json"):
        assert words in said.out
    record = json.loads(Path("token.json").read_text())
    assert record["plan"]["overrides"] == {
        "prompts": 30, "rollouts": 2, "tests": 5, "pairs_per_prefix": 3, "partition_samples": 8,
    }  # fmt: skip
    assert spanver("certify", "token.json").code == 0
    record["ledger"]["rewards"] += 1
    Path("token.json").write_text(json.dumps(record))
    altered = spanver("certify", "token.json", "--json", "verdicts.json")
    assert altered.code == 1
    assert json.loads(Path("verdicts.json").read_text())["footer"]["violated"] == ["O1"]


def test_a_study_prints_and_writes_its_claims_and_goes_on_from_its_table(
    spanver: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(
        coverage.STUDY,
        points=lambda profile: tuple(
            point
            for point in coverage.points("quick")
            if (point.learner == "elliptical" and point.seed < 2) or (point.size <= 6 and point.seed < 2)
        ),
    )
    monkeypatch.setattr(conduct, "STUDIES", {"coverage": few})
    said = spanver("study", "coverage", "--out", "figures", "--workers", "1", "--json", "claims.json")
    # A short ladder of SpannerSampling is undecided.
    assert said.code == 2, said.err
    content = json.loads(Path("claims.json").read_text())
    assert content["schema"] == "spanver.study/1"
    assert {claim["verdict"] for claim in content["claims"] if claim["guarantee"] == "T6"} >= {"holds"}
    assert content["footer"]["undecided"] >= 1
    for name in ("coverage.svg", "coverage.png", "results.sqlite"):
        assert (Path("figures") / name).stat().st_size > 0
        assert name == "results.sqlite" or f"figure: figures/{name}" in said.out
    monkeypatch.setattr(conduct, "measure_on_processes", None)  # nothing is measured again
    again = spanver("study", "coverage", "--out", "figures", "--workers", "1")
    assert again.out == said.out


def test_guarantees_lists_every_id_of_the_registry(spanver: Command) -> None:
    said = spanver("guarantees", "--json", "all.json")
    assert said.code == 0
    content = json.loads(Path("all.json").read_text())
    assert content["schema"].startswith("spanver.guarantees/")
    assert [row["id"] for row in content["guarantees"]] == list(REGISTRY)
    for row in content["guarantees"]:
        assert {"id", "statement", "kind", "source", "checked_by"} <= set(row)
        assert row["id"] in said.out
    assert f"{len(REGISTRY)} guarantees" in said.out


# Verification


def test_verify_prints_a_verdict_on_each_guarantee_and_writes_it(spanver: Command) -> None:
    said = spanver("verify", "--only", "I1,E7,T3", "--workers", "1", "--json", "all.json", "--junit", "all.xml")
    assert said.code == 0
    assert "2 guarantees hold, 0 violated, 0 undecided" in said.out
    assert "checked by no property: T3" in said.out
    content = json.loads(Path("all.json").read_text())
    assert content["schema"] == "spanver.verify/1"
    assert {row["id"]: row["verdict"] for row in content["guarantees"]} == {
        "I1": "holds", "E7": "holds", "T3": "not in profile",
    }  # fmt: skip
    assert content["footer"]["expected"] == content["footer"]["executed"] > 1
    assert Path("all.xml").read_text().count("<testcase") == content["footer"]["expected"]


def test_verify_exits_1_and_prints_a_command_that_shows_the_violation_again(spanver: Command) -> None:
    first = spanver("verify", "zoo:norms-squared", "--only", "S8", "--workers", "1", "--json", "first.json")
    assert first.code == 1
    row = json.loads(Path("first.json").read_text())["guarantees"][0]
    assert f"S8 is violated: {row['message'].partition('; ')[0]}" in first.out
    assert f"again: {row['replay']}" in first.out
    again = spanver(*shlex.split(row["replay"])[1:], "--workers", "1", "--json", "again.json")
    assert again.code == 1
    repeated = json.loads(Path("again.json").read_text())["guarantees"][0]
    assert {**repeated, "seconds": 0} == {**row, "seconds": 0}


def test_verify_exits_0_where_failures_are_expected_and_1_where_they_do_not_occur(spanver: Command) -> None:
    Path("known.txt").write_text("# squares\nS8: e\n")
    options = ["--only", "S8", "--workers", "1", "--expected-failures", "known.txt"]
    known = spanver("verify", "zoo:norms-squared", *options)
    assert (known.code, "failed as expected: S8" in known.out) == (0, True)
    fixed = spanver("verify", *options)
    assert (fixed.code, "expected to fail with: e; instead: it holds" in fixed.out) == (1, True)


def test_verify_exits_2_where_nothing_was_decided(spanver: Command) -> None:
    said = spanver("verify", "--only", "T3")
    assert (said.code, "0 of 0 properties ran" in said.out) == (2, True)


def test_zoo_names_the_killer_of_each_mutant_and_writes_it(spanver: Command) -> None:
    said = spanver("zoo", "norms-squared", "variant-unsorted", "--workers", "1", "--json", "zoo.json")
    assert said.code == 0
    assert "1 of 1 mutants killed" in said.out
    assert "1 of 1 correct controls survived" in said.out
    content = json.loads(Path("zoo.json").read_text())
    assert content["schema"] == "spanver.zoo/2"
    (mutant,) = content["mutants"]
    assert (mutant["name"], mutant["killed_by"]) == ("norms-squared", ["S8"])
    assert mutant["counterexample"] is not None


def test_zoo_exits_1_where_a_mutant_survives(spanver: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = Mutant("harmless", "None.", ("E7",), {"ridge_regression": reference.functions["ridge_regression"]})
    monkeypatch.setitem(MUTANTS, "harmless", harmless)
    monkeypatch.setattr("spanver.verification.hunt.ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    said = spanver("zoo", "harmless", "--profile", "quick")
    assert said.code == 1
    assert "SURVIVED" in said.out
    assert "0 of 1 mutants killed" in said.out


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["run", "--help"], ["certify", "--help"], ["guarantees", "-h"]]
)
def test_help_is_there(spanver: Command, arguments: list[str]) -> None:
    said = spanver(*arguments)
    assert said.code == 0
    assert "Usage" in said.out
    if arguments[0] == "run":
        for option in ("--problem", "--seed", "--budget", "--figure", "--resume", "--out"):
            assert option in said.out


def test_the_version_is_printed(spanver: Command) -> None:
    said = spanver("--version")
    assert (said.code, said.out) == (0, f"spanver {__version__}")


# Refusals


REFUSALS = [
    (["run", "--problem", "haystack"], ["problem", "'haystack'", "covered_needle"]),
    (["run", "--problem", "random:colour=red"], ["random", "colour=red", "responses"]),
    (["run", "--problem", "random:responses=many"], ["responses", "'many'", "integer"]),
    (["run", "--problem", "random:responses=0"], ["responses", "0", "at least 1"]),
    (["run", "--problem", "random:beta=-1"], ["beta", "-1.0", "above 0"]),
    (["run", "--problem", "covered_needle:coverage=2**60"], ["coverage", "below"]),
    (["run", *TINY, "--learner", "gradient"], ["learner", "'gradient'", "spanner_sampling"]),
    (["run", *TINY, "--oracle", "delphi"], ["oracle", "'delphi'", "counted", "literal"]),
    (["run", *TINY, "--sampler", "dice"], ["sampler", "'dice'", "softmax", "race"]),
    (["run", *TINY, "--settings", "guessed"], ["settings", "'guessed'", "practical", "derived"]),
    (["run", *TINY, "--seed=-1"], ["seed", "-1", "at least 0"]),
    (["run", *TINY, "--prompts", "0"], ["prompts", "0", "at least 1"]),
    (["run", *TINY, "--pairs-per-prompt=-3"], ["pairs_per_prompt", "-3", "at least 1"]),
    (["run", *TINY, "--nu", "0"], ["nu", "0.0", "above 0"]),
    (["run", *TINY, "--nu", "nan"], ["nu", "nan", "above 0"]),
    (["run", *TINY, "--ridge=-1"], ["ridge", "-1.0", "above 0"]),
    (["run", *TINY, "--exploration-rounds", "0"], ["exploration_rounds", "0", "at least 1"]),
    (["run", *TINY, "--rejection-multiplier", "0.5"], ["rejection_multiplier", "0.5", "at least 1"]),
    (["run", *TINY, "--rejection-failure", "1"], ["rejection_failure", "1.0", "between 0 and 1"]),
    (["run", *TINY, "--delta", "2"], ["delta", "2.0", "between 0 and 1"]),
    (["run", *TINY, "--eps=-1"], ["eps", "-1.0"]),
    (["run", *TINY, "--settings", "derived", "--eps", "0"], ["eps", "0.0"]),
    (["run", *TINY, "--coverage", "0.5"], ["coverage", "0.5", "at least 1"]),
    (["run", *TINY, "--coverage", "wide"], ["coverage", "'wide'", "number"]),
    (["run", *TINY, "--coverage", "unknown"], ["coverage", "unknown", "budget of samples"]),
    (["run", *TINY, "--budget", "1000"], ["budget", "1000", "unknown"]),
    (["run", *TINY, "--coverage", "unknown", "--budget", "10"], ["budget", "10", "first stage"]),
    (["run", *TINY, "--coverage", "unknown", "--budget=-10"], ["budget", "-10", "at least 1"]),
    (["run", *TINY, "--out", "nowhere/run.json"], ["nowhere", "folder"]),
    (["run", *TINY, "--out", "."], ["path", "'.'", "file"]),
    (["run", "--problem", "tokens:horizon=2"], ["learner", "spanner_sampling", "multi_turn"]),
    (["run", *TINY, "--rollouts", "3"], ["rollouts", "3", "multi_turn"]),
    (["run", "--learner", "multi_turn", "--problem", "random"], ["problem", "'random'", "tokens"]),
    (["run", "--learner", "multi_turn", "--problem", "tokens:horizon=99"], ["horizon", "99", "at most"]),
    (["run", "--learner", "multi_turn", "--problem", "tokens", "--resume"], ["resume", "multi_turn"]),
    (
        ["run", "--learner", "multi_turn", "--problem", "tokens", "--figure", "a.png"],
        ["figure", "is 'a.png'", "multi_turn"],
    ),
    (["run", "--learner", "multi_turn", "--problem", "tokens", "--nu", "0"], ["nu", "0.0", "above 0"]),
    (["run", "--learner", "multi_turn", "--problem", "tokens", "--out", "run.npz"], ["out", "run.npz"]),
    (["study", "everything"], ["study", "'everything'", "coverage", "all"]),
    (["study", "coverage", "--profile", "hasty"], ["profile", "hasty", "quick", "full"]),
    (["study", "coverage", "--seed=-1"], ["seed", "-1"]),
    (["study", "coverage", "--workers", "0"], ["workers", "0"]),
    (["study", "coverage", "--json", "nowhere/all.json"], ["nowhere", "folder"]),
    (["verify", "--json", "."], ["path", "'.'", "file"]),
    (["run", *TINY, "--out", "run.npz"], ["out", "run.npz"]),
    (["run", *TINY, "--figure", "nowhere/out.png"], ["nowhere", "folder"]),
    (["run", *TINY, "--figure", "out.xyz"], ["figure", "out.xyz", "png", "svg"]),
    (["run", *TINY, "--figure", "out"], ["figure", "'out'", "png", "svg"]),
    (["run", "--resume"], ["run.checkpoint.npz", "not exist"]),
    (["run", "--resume", "--out", "other.json"], ["other.checkpoint.npz", "not exist"]),
    (["certify", "missing.json"], ["missing.json", "not exist"]),
    (["verify", "no_such_module:subject"], ["no_such_module"]),
    (["verify", "nonsense"], ["nonsense", "module:attribute"]),
    (["verify", "zoo:nobody"], ["nobody"]),
    (["verify", "--profile", "hasty"], ["profile", "hasty", "quick"]),
    (["verify", "--only", "Q7"], ["only", "Q7"]),
    (["verify", "--alpha", "2"], ["alpha", "2"]),
    (["verify", "--seed", "some"], ["seed", "some", "fresh"]),
    (["verify", "--workers", "0"], ["workers", "0"]),
    (["verify", "--command", ""], ["command"]),
    (["verify", "numpy", "--command", "cat"], ["subject", "'numpy'", "command"]),
    (["verify", "--command", "no-such-program-anywhere"], ["no-such-program-anywhere"]),
    (["verify", "--expected-failures", "missing.txt"], ["missing.txt"]),
    (["verify", "--json", "nowhere/all.json"], ["nowhere", "folder"]),
    (["zoo", "norm-squared"], ["name", "'norm-squared'", "norms-squared"]),
    (["zoo", "--profile", "hasty"], ["profile", "hasty", "quick"]),
    (["zoo", "--repeats", "0"], ["repeats", "0"]),
    (["zoo", "--workers", "0"], ["workers", "0"]),
    (["guarantees", "--json", "nowhere/all.json"], ["nowhere", "folder"]),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS, ids=[" ".join(row[0][-2:]) for row in REFUSALS])
def test_bad_input_is_refused_in_one_sentence_before_anything_is_run(
    spanver: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    rounds: list[int] = []
    execute = runs.execute

    def watched(*positional: Any, **named: Any) -> Any:
        on_round = named.get("on_round")

        def told(phase: str, done: int, ledger: Any) -> None:
            rounds.append(done)
            if on_round is not None:
                on_round(phase, done, ledger)

        return execute(*positional, **{**named, "on_round": told})

    monkeypatch.setattr(runs, "execute", watched)
    said = spanver(*arguments)
    assert said.code == 2
    assert said.err.startswith("spanver: ")
    assert "Traceback" not in said.err + said.out
    assert len(said.err) < 500
    for word in words:
        assert word in said.err
    assert not rounds
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["run", "--nu", "wide"], ["run", "--no-such-option"], ["flee"], ["certify"], ["run", "surplus"]],
    ids=" ".join,
)
def test_what_is_no_command_line_is_refused_with_2(spanver: Command, arguments: list[str]) -> None:
    said = spanver(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert "Usage" in said.err


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"schema": "spanver.run/1"}'])
def test_certify_refuses_what_is_no_record_with_2(spanver: Command, content: str) -> None:
    Path("run.json").write_text(content)
    said = spanver("certify", "run.json")
    assert said.code == 2
    assert "run.json" in said.err or "run.npz" in said.err


# Runs that were stopped


@contextmanager
def long_run(folder: Path, *, until: Path) -> Iterator[subprocess.Popen[str]]:
    """The long run in another process, from when the file `until` exists."""
    process = subprocess.Popen(
        [*PROGRAM, "run", *LONG],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        limit = time.monotonic() + 60
        while not until.exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        assert process.poll() is None, "the run ended before its first checkpoint"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = program(folder, "run", *LONG, PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    return folder / "run.json"


def assert_same_record(one: Path, two: Path) -> None:
    assert one.read_bytes() == two.read_bytes()
    assert one.with_suffix(".npz").read_bytes() == two.with_suffix(".npz").read_bytes()


def test_a_killed_run_goes_on_to_the_bytes_of_an_uninterrupted_one(
    spanver: Command, tmp_path: Path, uninterrupted: Path
) -> None:
    record, checkpoint = tmp_path / "run.json", tmp_path / "run.checkpoint.npz"
    with long_run(tmp_path, until=checkpoint) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.exists()
    assert not record.exists()

    refused = spanver("run", *TINY)
    assert refused.code == 2
    assert "run.checkpoint.npz" in refused.err
    assert "--resume" in refused.err
    for options in (["--seed", "1"], ["--problem", "needle"], ["--exploration-rounds", "3"]):
        changed = spanver("run", "--resume", *options)
        assert changed.code == 2
        assert options[0].strip("-").replace("-", "_") in changed.err.replace("-", "_")
        assert "--resume" in changed.err

    resumed = program(tmp_path, "run", "--resume", PYTHONHASHSEED="2")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_record(record, uninterrupted)
    assert not checkpoint.exists()

    again = spanver("run", "--resume")
    assert again.code == 2
    assert "run.checkpoint.npz" in again.err


def test_ctrl_c_stops_between_rounds_and_says_how_to_go_on(tmp_path: Path, uninterrupted: Path) -> None:
    record, checkpoint = tmp_path / "run.json", tmp_path / "run.checkpoint.npz"
    with long_run(tmp_path, until=checkpoint) as process:
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "spanver run --resume --out run.json" in error
    assert "Traceback" not in error
    assert checkpoint.exists()
    assert not record.exists()
    assert list(tmp_path.glob("*.partial")) == []
    resumed = program(tmp_path, "run", "--resume", "--out", "run.json")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_record(record, uninterrupted)


def test_a_terminated_run_says_how_to_go_on_in_one_line_however_long_the_path(tmp_path: Path) -> None:
    folder = tmp_path / ("a folder with a long name " + "x" * 80)
    folder.mkdir()
    program_ = [sys.executable, "-c", STOPPED_AT_ONCE, "run", *TINY, "--out", str(folder / "run.json")]
    done = subprocess.run(
        program_, env=environment(COLUMNS="80"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert str(folder / "run.json") in done.stderr
    assert (folder / "run.checkpoint.npz").exists()


# The process is asked to end when its run begins.
STOPPED_AT_ONCE = """
import os, signal
from spanver.runs import execution as runs
execute = runs.execute
def stopped(*positional, **named):
    os.kill(os.getpid(), signal.SIGTERM)
    return execute(*positional, **named)
runs.execute = stopped
from spanver.cli.app import main
main()
"""


# Other processes


def test_processes_with_other_hash_seeds_write_the_same_bytes_and_no_progress_where_there_is_no_terminal(
    tmp_path: Path,
) -> None:
    outputs = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        folder.mkdir()
        done = program(folder, "run", *TINY, PYTHONHASHSEED=hash_seed)
        assert (done.returncode, done.stderr) == (0, "")
        outputs.append(done.stdout)
    assert_same_record(tmp_path / "1" / "run.json", tmp_path / "2" / "run.json")
    assert outputs[0] == outputs[1]
    for sign in ("\x1b", "\r", "rounds/s"):
        assert sign not in outputs[0]


def test_the_installed_script_refuses_with_a_sentence_and_2(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("spanver")
    if not script.exists():
        pytest.skip("the script is not beside this interpreter")
    done = subprocess.run(
        [script, "run", "--problem", "haystack"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("spanver: problem is 'haystack'")
