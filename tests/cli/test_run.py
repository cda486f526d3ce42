"""`spanver run`: settings, what is printed, figures, and refusals before anything is drawn."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from command_line import TINY, TINY_PROBLEM, Command, assert_refused, set_options

from spanver.oracles.metered import MeteredOracle
from spanver.problems.catalogue import FAMILIES, LAYERED_FAMILIES
from spanver.runs.learners import LEARNERS
from spanver.runs.plans import SETTINGS
from spanver.runs.records import checkpoint_path, load_record


def test_a_run_on_the_random_family_says_what_it_came_to_and_certifies(spanver: Command) -> None:
    said = spanver("run", *TINY, "--seed", "3")
    assert (said.code, said.err) == (0, "")
    for words in (
        "counted oracle",
        "seed 3",
        "T_prompt",
        "derived",
        "paper",
        "ratio",
        "T_data",
        "gap",
        "exact",
        "samples (T_comp)",
    ):
        assert words in said.out
    for words in ("rewards (T_data)", "spanner size", "S4", "coverage", "base policy", "run.json"):
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
    assert (
        spanver(
            "run", *TINY_PROBLEM, *set_options(given), "--sampler", "race", "--oracle", "literal", "--out", "other.json"
        ).code
        == 0
    )
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
    settings = set_options({"prompts": 100, "pairs_per_prompt": 10000, "exploration_rounds": 20})
    long = spanver("run", *TINY_PROBLEM, "--oracle", "literal", *settings)
    assert "about to draw up to 2," in long.out
    short = spanver("run", *TINY, "--oracle", "literal", "--out", "short.json")
    assert "about to draw" not in short.out


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


LAYERS = ["--problem", "mdp:horizon=2,states=4,actions=3", *set_options({"regression_rollouts": 8})]


def test_a_run_on_layers_says_what_it_came_to_and_certifies(spanver: Command) -> None:
    said = spanver("run", *LAYERS, "--out", "layers.json")
    assert (said.code, said.err) == (0, "")
    for words in (
        "MTSS on mdp",
        "counted oracle",
        "N_reg",
        "paper",
        "J.1.4",
        "ratio",
        "is returned",
        "exact",
        "C_cond",
    ):
        assert words in said.out
    for words in ("T_comp (Section 5)", "T_comp (Appendix I.2)", "T_data (Section 5)", "T_data (Appendix I.2)"):
        assert words in said.out
    for words in ("the gap is at most", "base policy", "iterations", "layer by layer", "spanver certify layers.json"):
        assert words in said.out
    record = json.loads(Path("layers.json").read_text())
    for kind in ("samples", "features", "rewards", "transitions", "resets"):
        assert f"{record['ledger'][kind]:,}" in said.out
    assert record["plan"]["overrides"] == {"regression_rollouts": 8}
    assert not checkpoint_path(Path("layers.json")).exists()
    assert spanver("certify", "layers.json").code == 0
    record["ledger"]["rewards"] += 1
    Path("layers.json").write_text(json.dumps(record))
    altered = spanver("certify", "layers.json", "--json", "verdicts.json")
    assert altered.code == 1
    assert json.loads(Path("verdicts.json").read_text())["footer"]["violated"] == ["O1"]


def test_a_run_that_is_not_certain_says_that_nothing_was_learned(spanver: Command) -> None:
    said = spanver("run", *LAYERS, "--set", "iterations=1")
    assert said.code == 0
    assert "Not certain: the policy is the base policy, pi_ref." in " ".join(said.out.split())


def test_the_algorithm_as_printed_runs_with_its_bounds(spanver: Command) -> None:
    printed = {"refit": "always", "add": "largest", "search": "separate", "zero_scores": "sampled", "stop": "last"}
    more = {"initial_rollouts": "none", "anchor_rollouts": "true", "iterations": 4, "threshold": 0.25}
    said = spanver("run", *LAYERS, *set_options(printed | more), "--oracle", "literal")
    assert said.code == 0, said.err
    assert "as printed" in said.out
    settings = load_record(Path("run.json")).plan.settings
    assert (settings.initial_rollouts, settings.anchor_rollouts) == (None, True)
    assert spanver("certify", "run.json").code == 0


@pytest.mark.parametrize("family", ["tokens", "forks", "auto", "mdp"])
def test_families_of_layers_are_run_with_mtss_by_default(family: str, spanver: Command) -> None:
    said = spanver("run", "--problem", f"{family}:horizon=2", "--set", "regression_rollouts=4")
    assert (said.code, said.err) == (0, "")
    assert load_record(Path("run.json")).plan.learner == "mtss"
    assert spanver("certify", "run.json").code == 0


def test_the_figure_of_a_run_on_layers_is_drawn(spanver: Command) -> None:
    for iterations in ("400", "1"):
        assert spanver("run", *LAYERS, "--set", f"iterations={iterations}", "--figure", "out.png").code == 0
        assert Path("out.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("learner", [name for name, row in LEARNERS.items() if not row.resumable])
def test_every_learner_runs_and_its_record_certifies(learner: str, spanver: Command) -> None:
    said = spanver("run", "--learner", learner, *set_options({"rounds": "2**4"}))
    assert (said.code, said.err) == (0, "")
    for words in (LEARNERS[learner].title, "gap J(pi*) - J(pi), exact", "base policy", "at most", "seed 0"):
        assert words in said.out
    plan = json.loads(Path("run.json").read_text())["plan"]
    assert set(plan["settings"]) == {field.name for field in fields(SETTINGS[learner])}
    certified = spanver("certify", "run.json")
    assert (certified.code, "0 violated" in certified.out) == (0, True)
    assert ("fits (their loss has a term of optimism)" in " ".join(certified.out.split())) == (learner == "xpo")


def test_help_names_every_learner_and_every_family(spanver: Command) -> None:
    said = spanver("run", "--help")
    for name in {*LEARNERS, *FAMILIES, *LAYERED_FAMILIES}:
        assert name in said.out.replace(" ", "")


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
    (["run", *TINY_PROBLEM, "--set", "prompts=0"], ["prompts", "0", "at least 1"]),
    (["run", *TINY, "--set", "pairs_per_prompt=-3"], ["pairs_per_prompt", "-3", "at least 1"]),
    (["run", *TINY, "--set", "nu=0"], ["nu", "0.0", "above 0"]),
    (["run", *TINY, "--set", "nu=nan"], ["nu", "nan", "above 0"]),
    (["run", *TINY, "--set", "ridge=-1"], ["ridge", "-1.0", "above 0"]),
    (["run", *TINY_PROBLEM, "--set", "exploration_rounds=0"], ["exploration_rounds", "0", "at least 1"]),
    (["run", *TINY, "--set", "rejection_multiplier=0.5"], ["rejection_multiplier", "0.5", "at least 1"]),
    (["run", *TINY, "--set", "rejection_failure=1"], ["rejection_failure", "1.0", "between 0 and 1"]),
    (["run", *TINY, "--delta", "2"], ["delta", "2.0", "between 0 and 1"]),
    (["run", *TINY, "--eps=-1"], ["eps", "-1.0"]),
    (["run", *TINY, "--settings", "derived", "--eps", "0"], ["eps", "0.0"]),
    (["run", *TINY, "--coverage", "0.5"], ["coverage", "0.5", "at least 1"]),
    (["run", *TINY, "--coverage", "wide"], ["coverage", "'wide'", "number"]),
    (["run", *TINY, "--coverage", "unknown"], ["coverage", "unknown", "--budget"]),
    (["run", *TINY, "--budget", "1000"], ["budget", "1000", "unknown"]),
    (["run", *TINY, "--coverage", "unknown", "--budget", "10"], ["budget", "10", "first stage"]),
    (["run", *TINY, "--coverage", "unknown", "--budget=-10"], ["budget", "-10", "at least 1"]),
    (["run", *TINY, "--out", "nowhere/run.json"], ["nowhere", "folder"]),
    (["run", *TINY, "--out", "."], ["path", "'.'", "file"]),
    (["run", "--learner", "xpo", "--problem", "forks"], ["learner", "'xpo'", "must be mtss for problem forks"]),
    (["run", "--problem", "forks:colour=red"], ["key of problem forks", "colour=red", "skill"]),
    (["run", "--problem", "mdp:noise=2"], ["noise", "2.0"]),
    (["run", *TINY, "--set", "rollouts=3"], ["setting", "rollouts=3", "exploration_rounds"]),
    (["run", *TINY, "--set", "nu=wide"], ["nu", "'wide'", "number"]),
    (["run", *TINY_PROBLEM, "--set", "prompts=2.5"], ["prompts", "'2.5'", "integer"]),
    (["run", *TINY, "--set", "prompts=31"], ["setting", "prompts=31", "the only value of prompts"]),
    (["run", "--problem", "random:beta=0.1,beta=0.2"], ["key of problem random", "beta=0.2", "the only value of beta"]),
    (["run", *TINY, "--set", "nu"], ["setting", "'nu'", "key=value"]),
    (["run", "--learner", "xpo", "--problem", "text"], ["learner", "'xpo'", "spanner_sampling or mtss", "text"]),
    (["run", "--learner", "xpo", "--set", "nu=0.3"], ["setting", "nu=0.3", "rounds, alpha"]),
    (["run", "--learner", "xpo", "--set", "alpha=-1"], ["alpha", "-1.0", "at least 0"]),
    (["run", "--learner", "xpo", "--set", "feedback=applause"], ["feedback", "'applause'", "reward, preference"]),
    (["run", "--learner", "xpo", "--budget", "1000"], ["budget", "1000", "learner xpo"]),
    (["run", "--learner", "passive", "--coverage", "2"], ["coverage", "'2'", "learner passive"]),
    (["run", "--learner", "online_dpo", "--settings", "derived"], ["settings", "derived", "learner online_dpo"]),
    (["run", "--learner", "best_of_n", "--sampler", "race"], ["sampler", "race", "learner best_of_n"]),
    (["run", "--learner", "best_of_n", "--set", "count=0"], ["count", "0", "at least 1"]),
    (["run", "--learner", "elliptical_enumeration", "--figure", "a.png"], ["figure", "a.png", "elliptical_enum"]),
    (
        ["run", "--learner", "exhaustive", "--problem", "needle"],
        [
            "learner",
            "'exhaustive'",
            "for problem needle, as exhaustive search tries the corners of a box at one prompt",
        ],
    ),
    (["run", "--learner", "exhaustive", "--problem", "max_k_dnf:variables=16"], ["dimension", "17", "at most 16"]),
    (["run", "--learner", "passive", "--oracle", "text"], ["oracle", "'text'", "counted or literal"]),
    (["run", "--learner", "passive", "--resume"], ["learner", "'passive'", "left out with --resume"]),
    (["run", "--learner", "passive", "--seed=-1"], ["seed", "-1", "at least 0"]),
    (["run", "--learner", "mtss", "--problem", "random"], ["learner", "'mtss'", "spanner_sampling or passive"]),
    (["run", "--problem", "tokens:horizon=99"], ["horizon", "99", "at most"]),
    (["run", "--problem", "tokens", "--sampler", "race"], ["sampler", "race", "learner mtss"]),
    (["run", "--problem", "tokens", "--budget", "9"], ["budget", "9", "learner mtss"]),
    (["run", "--problem", "tokens", "--oracle", "text"], ["oracle", "'text'", "counted or literal"]),
    (["run", "--problem", "tokens", "--figure", "a.xyz"], ["figure", "is 'a.xyz'", "png"]),
    (["run", "--problem", "tokens", "--set", "nu=0"], ["nu", "0.0", "above 0"]),
    (["run", "--problem", "tokens", "--set", "refit=never"], ["refit", "'never'", "always, when_certain"]),
    (["run", "--problem", "tokens", "--set", "anchor_rollouts=1"], ["anchor_rollouts", "'1'", "true, false"]),
    (["run", "--problem", "tokens", "--out", "run.npz"], ["out", "run.npz"]),
    (["run", *TINY, "--out", "run.npz"], ["out", "run.npz"]),
    (["run", *TINY, "--figure", "nowhere/out.png"], ["nowhere", "folder"]),
    (["run", *TINY, "--figure", "out.xyz"], ["figure", "out.xyz", "png", "svg"]),
    (["run", *TINY, "--figure", "out"], ["figure", "'out'", "png", "svg"]),
    (["run", "--resume"], ["run.checkpoint.npz", "not exist"]),
    (["run", "--resume", "--out", "other.json"], ["other.checkpoint.npz", "not exist"]),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS, ids=[" ".join(row[0][-2:]) for row in REFUSALS])
def test_bad_input_is_refused_in_one_sentence_before_anything_is_drawn(
    spanver: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(MeteredOracle, "prompt", drawn.append)
    assert_refused(spanver(*arguments), words)
    assert not drawn
