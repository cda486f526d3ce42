"""Problems by name: what is read, what is refused, and that parameters build the identical problem again."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from spanver.errors import ArgumentError
from spanver.problems.catalogue import FAMILIES, make_problem, parse_number, parse_problem
from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.needle import needle_problem
from spanver.problems.families.random_tables import random_problem
from spanver.problems.tabular import TabularProblem

TABLES = ["random", "needle", "covered_needle", "max_k_dnf"]


@pytest.mark.parametrize("text", ["covered_needle:coverage=2**40", "covered_needle:coverage=1099511627776"])
def test_a_coverage_may_be_a_power_or_written_out(text: str) -> None:
    assert parse_problem(text) == ("covered_needle", {"coverage": 1099511627776.0})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text", ("text", {})),
        ("random", ("random", {})),
        ("random:", ("random", {})),
        ("random:seed=7", ("random", {"seed": 7})),
        ("random:responses=2**5, beta=1e-4", ("random", {"responses": 32, "beta": 1e-4})),
        ("random:base=dirichlet,zeros=.5", ("random", {"base": "dirichlet", "zeros": 0.5})),
        ("needle:coverage=2**4,dimension=3", ("needle", {"coverage": 16.0, "dimension": 3})),
        ("covered_needle:beta=0.02,prompts=1", ("covered_needle", {"beta": 0.02, "prompts": 1})),
        ("text:words=4,reward=raw", ("text", {"words": 4, "reward": "raw"})),
    ],
)
def test_a_problem_is_read_with_values_of_the_types_of_its_family(
    text: str, expected: tuple[str, dict[str, Any]]
) -> None:
    name, parameters = parse_problem(text)
    assert (name, parameters) == expected
    assert {key: type(value) for key, value in parameters.items()} == {
        key: type(value) for key, value in expected[1].items()
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("haystack", ["problem", "'haystack'", "text", "random", "needle", "covered_needle"]),
        ("", ["problem", "''"]),
        ("Random", ["problem", "'Random'"]),
        ("random:colour=red", ["random", "colour=red", "responses", "beta"]),
        ("random:coverage=4", ["random", "coverage=4", "dimension"]),
        ("random:responses", ["random", "'responses'", "key=value"]),
        ("random:responses=many", ["responses", "'many'", "integer"]),
        ("random:responses=2.5", ["responses", "'2.5'", "integer"]),
        ("random:responses=2**x", ["responses", "'2**x'", "integer"]),
        ("random:responses=", ["responses", "''", "integer"]),
        ("random:beta=small", ["beta", "'small'", "number"]),
        ("random:beta=", ["beta", "''", "number"]),
        ("covered_needle:coverage=2**-4", ["coverage", "'2**-4'", "number"]),
        ("covered_needle:coverage=2**9999", ["coverage", "'2**9999'", "at most 1.8e308"]),
    ],
)
def test_a_text_that_is_no_problem_is_refused_in_one_sentence(text: str, words: list[str]) -> None:
    with pytest.raises(ArgumentError) as raised:
        parse_problem(text)
    sentence = str(raised.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("random:responses=0", "responses is 0"),
        ("random:beta=-1", "beta is -1.0"),
        ("random:beta=nan", "beta is nan"),
        ("random:zeros=1", "zeros is 1.0"),
        ("random:base=uniform", "base is 'uniform'"),
        ("random:noise=2", "noise is 2.0"),
        ("random:seed=-1", "seed is -1"),
        ("needle:responses=2", "responses is 2"),
        ("needle:coverage=1", "coverage is 1.0"),
        ("covered_needle:coverage=0.5", "coverage is 0.5"),
        ("covered_needle:coverage=inf", "coverage is inf"),
        ("covered_needle:coverage=nan", "coverage is nan"),
        ("covered_needle:coverage=2**50", "coverage is 1125899906842624"),
        ("covered_needle:dimension=1", "dimension is 1"),
        ("max_k_dnf:delta=1.5", "delta is 1.5"),
        ("max_k_dnf:beta=0", "beta is 0.0"),
        ("max_k_dnf:formula=cnf", "formula is 'cnf'"),
    ],
)
def test_a_value_that_the_family_does_not_allow_is_refused_by_name(text: str, argument: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        make_problem(*parse_problem(text))
    assert str(raised.value).startswith(argument)


def test_make_problem_refuses_unknown_families_and_keys() -> None:
    with pytest.raises(ArgumentError, match=r"problem is 'haystack'.*covered_needle"):
        make_problem("haystack", {})
    with pytest.raises(ArgumentError, match=r"key of problem needle is 'prompts'.*responses"):
        make_problem("needle", {"prompts": 2})


@pytest.mark.parametrize("name", TABLES)
def test_make_problem_without_parameters_has_the_defaults_of_the_family(name: str) -> None:
    assert_identical(make_problem(name, {}), FAMILIES[name].build())


def assert_identical(one: Any, two: Any) -> None:
    assert isinstance(one, TabularProblem)
    assert isinstance(two, TabularProblem)
    for field in dataclasses.fields(TabularProblem):
        first, second = getattr(one, field.name), getattr(two, field.name)
        if isinstance(first, np.ndarray):
            assert first.tobytes() == second.tobytes(), field.name
            assert first.shape == second.shape
        else:
            assert first == second, field.name


@pytest.mark.parametrize(
    "problem",
    [
        random_problem(4, prompts=2, responses=5, dimension=3, beta=0.5, base="dirichlet", zeros=0.4, noise=1.0),
        random_problem(5),
        needle_problem(6, responses=9, dimension=5, beta=0.3, coverage=5.0),
        covered_needle_problem(7, coverage=2.0**40, prompts=3, responses=12, dimension=5, beta=0.02),
    ],
    ids=lambda problem: problem.name,
)
def test_the_parameters_of_a_problem_build_the_identical_problem(problem: TabularProblem) -> None:
    assert_identical(make_problem(problem.name, problem.parameters), problem)
    # Also after a journey through a record.
    assert_identical(make_problem(problem.name, json.loads(json.dumps(dict(problem.parameters)))), problem)
    changed = make_problem(problem.name, {**problem.parameters, "seed": problem.parameters["seed"] + 1})
    assert isinstance(changed, TabularProblem)
    assert changed.features.tobytes() != problem.features.tobytes()


@pytest.mark.parametrize(
    ("text", "value"), [("2**40", 2.0**40), ("0.25", 0.25), ("1e-4", 1e-4), ("10**3", 1000.0), ("7", 7.0)]
)
def test_numbers_are_read_exactly(text: str, value: float) -> None:
    number = parse_number("coverage", text)
    assert number == value
    assert isinstance(number, float)


@pytest.mark.parametrize("text", ["", "x", "2**", "**4", "2***4", "2**4**2", "2**99999", "1 000", "__import__('os')"])
def test_what_is_no_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(ArgumentError, match="coverage is") as raised:
        parse_number("coverage", text)
    assert raised.value.value == text


def test_infinite_numbers_are_read_and_left_to_the_families_to_refuse() -> None:
    assert math.isinf(parse_number("coverage", "inf"))
