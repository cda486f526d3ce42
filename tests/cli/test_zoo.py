"""`spanver zoo`: exit codes, JSON, and refusals."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import Command, assert_refused

from spanver.subjects.reference import subject as reference
from spanver.zoo.catalogue import MUTANTS
from spanver.zoo.mutant import Mutant


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


REFUSALS = [
    (["zoo", "norm-squared"], ["name", "'norm-squared'", "norms-squared"]),
    (["zoo", "--profile", "hasty"], ["profile", "hasty", "quick"]),
    (["zoo", "--repeats", "0"], ["repeats", "0"]),
    (["zoo", "--workers", "0"], ["workers", "0"]),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS, ids=[" ".join(row[0][-2:]) for row in REFUSALS])
def test_bad_input_is_refused_in_one_sentence(spanver: Command, arguments: list[str], words: list[str]) -> None:
    assert_refused(spanver(*arguments), words)
