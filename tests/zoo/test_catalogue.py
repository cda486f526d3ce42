"""The tables of the zoo: names once, ids that exist, bugs in one grammar, functions of the contract; and its cheats."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable

import pytest
from small_runs import small_problem

import spanver.zoo
from spanver.errors import ArgumentError
from spanver.guarantees import REGISTRY
from spanver.guarantees.guarantee import Kind
from spanver.oracle import Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.subjects.reference import subject as reference
from spanver.verification.collection import find_properties
from spanver.verification.transcript import RecordingOracle
from spanver.zoo.algebra import table_behind
from spanver.zoo.catalogue import CONTROLS, MEASURED, MUTANTS, _by_name, find, mutant
from spanver.zoo.mutant import mutants_of

ALL = [*MUTANTS.values(), *CONTROLS.values(), *MEASURED.values()]


def test_two_rows_of_one_name_are_refused() -> None:
    row = next(iter(MUTANTS.values()))
    with pytest.raises(ArgumentError, match="that of no other"):
        _by_name([row, row])


def test_no_row_of_any_file_is_lost() -> None:
    files = [
        importlib.import_module(found.name) for found in pkgutil.walk_packages(spanver.zoo.__path__, "spanver.zoo.")
    ]
    rows = [
        each.name
        for file in files
        if not file.__name__.endswith("catalogue")
        for table in ("MUTANTS", "CONTROLS", "MEASURED")
        for each in getattr(file, table, ())
    ]
    assert sorted(rows) == sorted(each.name for each in ALL)


def test_a_row_names_guarantees_and_functions_that_exist() -> None:
    assert [each.name for each in ALL if not each.breaks or not set(each.breaks) <= set(REGISTRY)] == []
    assert [each.name for each in ALL if not each.functions.keys() <= each.subject.functions.keys()] == []


def test_every_exact_guarantee_with_a_property_is_all_that_some_mutant_breaks() -> None:
    """Where a mutant breaks several, the first that is judged kills it, and nothing shows that the others would."""
    judged = {name for each in find_properties() for name in each.guarantees}
    alone = {each.breaks[0] for each in MUTANTS.values() if len(each.breaks) == 1}
    exact = {name for name in judged if Kind.STATISTICAL not in REGISTRY[name].kind}
    assert exact - alone == set()


def test_no_function_of_a_row_is_that_of_its_subject() -> None:
    assert [
        each.name for each in ALL for name, own in each.functions.items() if own is each.subject.functions[name]
    ] == []


def test_a_bug_is_a_verb_in_the_present_without_its_subject() -> None:
    assert [each.name for each in ALL if not re.fullmatch(r"(never )?[a-z]+s\b.*[^.]", each.bug)] == []


def test_a_mutant_is_the_reference_but_for_its_functions() -> None:
    subject = mutant("fit-no-ball")
    assert subject.name == "zoo:fit-no-ball"
    assert [name for name in subject.functions if subject.functions[name] is not reference.functions[name]] == ["fit"]


def test_a_row_takes_another_function_or_a_part_of_the_base_or_both() -> None:
    def base(value: int, *, power: int = 1) -> int:
        return int(value**power)

    def other(value: int, *, power: int = 1) -> int:
        return int(-(value**power))

    row = mutants_of("fit", "fit", base)
    rows = [
        row("a", "squares", "E6", power=2),
        row("b", "negates", "E6", other),
        row("c", "both", "E6 E4", other, power=2),
    ]
    assert [each.functions["fit"](3) for each in rows] == [9, -3, -9]
    assert [(each.name, each.breaks) for each in rows] == [
        ("fit-a", ("E6",)),
        ("fit-b", ("E6",)),
        ("fit-c", ("E6", "E4")),
    ]


def test_an_unknown_name_is_refused_with_names_that_are_like_it() -> None:
    with pytest.raises(ArgumentError, match="norms-squared"):
        find("norm-squared")


@pytest.mark.parametrize("oracle", [literal_oracle, counted_oracle])
def test_cheats_find_the_table_behind_an_oracle(oracle: Callable[..., Oracle]) -> None:
    problem = small_problem()  # a mutant that fails to find it would be killed by that, and not by its bug
    metered = oracle(problem, seed=0)
    assert table_behind(metered) is problem
    assert table_behind(RecordingOracle(metered)) is problem
