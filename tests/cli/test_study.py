"""`spanver study`: claims, figures, going on from a table, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Command, assert_refused

from spanver.studies import coverage
from spanver.studies.engine import runner as conduct


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


REFUSALS = [
    (["study", "everything"], ["study", "'everything'", "coverage", "all"]),
    (["study", "coverage", "--profile", "hasty"], ["profile", "hasty", "quick", "full"]),
    (["study", "coverage", "--seed=-1"], ["seed", "-1"]),
    (["study", "coverage", "--workers", "0"], ["workers", "0"]),
    (["study", "coverage", "--json", "nowhere/all.json"], ["nowhere", "folder"]),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS, ids=[" ".join(row[0][-2:]) for row in REFUSALS])
def test_bad_input_is_refused_in_one_sentence(spanver: Command, arguments: list[str], words: list[str]) -> None:
    assert_refused(spanver(*arguments), words)
