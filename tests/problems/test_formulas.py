"""Formulas: their values by definition, the generators' promises, and the MaxSAT solver against exhaustive search."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanver.errors import ArgumentError, MissingExtraError
from spanver.problems import maxsat
from spanver.problems.formulas import (
    LARGEST_SEARCH,
    Formula,
    assignments_of,
    best_assignment,
    complete_formula,
    hadamard_formula,
    hadamard_predicate,
    planted_formula,
    predicate_formula,
    random_formula,
    serially_repeated,
)
from spanver.randomness import stream
from spanver.strategies import formulas


def satisfied(formula: Formula, signs: tuple[int, ...]) -> int:
    """Clauses that an assignment satisfies, literal by literal."""
    true = {variable * sign for variable, sign in enumerate(signs, start=1)}
    return sum(set(clause) <= true for clause in formula.clauses)


@given(formula=formulas(max_variables=5, max_literals=4, max_clauses=8))
def test_values_are_those_counted_literal_by_literal(formula: Formula) -> None:
    every = list(itertools.product((1, -1), repeat=formula.variables))
    assert assignments_of(formula.variables).tolist() == [list(each) for each in every]
    counts = [satisfied(formula, each) for each in every]
    assert formula.satisfied(np.array(every)).tolist() == counts
    best = best_assignment(formula)
    assert best.tolist() == list(every[counts.index(max(counts))]), "the first of those that satisfy most"


@settings(max_examples=60, deadline=None)
@given(formula=formulas(max_variables=6, max_clauses=12))
def test_the_solver_finds_the_assignment_that_exhaustive_search_finds(formula: Formula) -> None:
    assert maxsat.best_assignment(formula).tolist() == best_assignment(formula).tolist()


def test_exhaustive_search_goes_through_all_blocks() -> None:
    last = Formula(13, (tuple(range(-1, -14, -1)),))
    assert best_assignment(last).tolist() == [-1] * 13


def test_the_solver_has_no_largest_number_of_variables() -> None:
    formula, planted = planted_formula(stream(0, "planted"), variables=60, literals=3, clauses=40)
    assert formula.satisfied(planted) == 40
    best = maxsat.best_assignment(formula)
    assert formula.satisfied(best) == 40
    # The first such assignment: every variable is true whose negation stands in no clause.
    negated = {-literal for clause in formula.clauses for literal in clause if literal < 0}
    assert [place for place, sign in enumerate(best, start=1) if sign < 0] == sorted(negated)
    with pytest.raises(ArgumentError, match="variables is 60, but it must be at most 24"):
        best_assignment(formula)


def test_without_the_solver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysat.examples.rc2", None)
    with pytest.raises(MissingExtraError, match=r'needs python-sat: pip install "spanver\[maxsat\]"'):
        maxsat.best_assignment(complete_formula(2))


@given(formula=formulas(max_variables=4, max_clauses=4), times=st.integers(1, 3))
def test_serial_repetition_raises_every_value_to_a_power(formula: Formula, times: int) -> None:
    """Lemma H.6, of every assignment, also where clauses contradict themselves."""
    repeated = serially_repeated(formula, times)
    every = assignments_of(formula.variables)
    assert len(repeated.clauses) == len(formula.clauses) ** times
    assert repeated.literals == times * formula.literals
    assert repeated.satisfied(every).tolist() == (formula.satisfied(every) ** times).tolist()


@given(data=st.data(), length=st.integers(1, 4), variables=st.integers(1, 4))
def test_a_predicate_becomes_clauses_of_the_same_value(data: st.DataObject, length: int, variables: int) -> None:
    """Lemma H.5, of every assignment, also where a constraint repeats a variable."""
    rows = list(itertools.product((1, -1), repeat=length))
    accepted = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique=True))
    literal = st.sampled_from([sign * place for place in range(1, variables + 1) for sign in (1, -1)])
    constraints = data.draw(st.lists(st.tuples(*[literal] * length), min_size=1, max_size=5))
    formula = predicate_formula(variables, np.array(accepted), constraints)
    assert len(formula.clauses) == len(accepted) * len(constraints)
    for signs in itertools.product((1, -1), repeat=variables):
        values = [tuple(np.sign(each) * signs[abs(each) - 1] for each in row) for row in constraints]
        assert satisfied(formula, signs) == sum(value in accepted for value in values)


@pytest.mark.parametrize("literals", range(1, 17))
def test_the_hadamard_predicate_accepts_the_words_of_a_code(literals: int) -> None:
    accepted = hadamard_predicate(literals)
    rows = {tuple(row) for row in accepted.tolist()}
    assert len(rows) == len(accepted) == 2 ** math.ceil(math.log2(literals + 1)) <= 2 * literals
    # Products of accepted words are accepted, and place i xor j is the product of places i and j.
    assert all(tuple(np.multiply(one, two)) in rows for one in rows for two in rows)
    for one, two in itertools.combinations(range(1, literals + 1), 2):
        if one ^ two <= literals:
            assert (accepted[:, one - 1] * accepted[:, two - 1] == accepted[:, (one ^ two) - 1]).all()


@pytest.mark.parametrize("seed", range(5))
def test_planted_assignments_satisfy_all(seed: int) -> None:
    formula, assignment = planted_formula(stream(seed, "p"), variables=7, literals=4, clauses=20)
    assert formula.satisfied(assignment) == len(formula.clauses) == 20
    formula, assignment = hadamard_formula(stream(seed, "h"), variables=7, literals=5, constraints=9)
    assert (int(formula.satisfied(assignment)), len(formula.clauses), formula.literals) == (9, 72, 5)
    assert formula.satisfied(best_assignment(formula)) == 9


def test_random_clauses_have_different_variables_and_any_signs() -> None:
    formula = random_formula(stream(0, "r"), variables=6, literals=3, clauses=4000)
    literals = np.array(formula.clauses)
    assert all(len(set(row)) == 3 for row in np.abs(literals).tolist())
    # Each of 12 literals has 1000 places on average: six standard deviations either way.
    counts = np.bincount(literals.ravel() + 6, minlength=13)
    assert np.abs(np.delete(counts, 6) - 1000).max() <= 6 * math.sqrt(1000)


@pytest.mark.parametrize(
    "clauses",
    [[[1, -2], [2, 2]], np.array([[1, -2], [2, 2]]), ((np.int8(1), np.int64(-2)), [np.uint8(2), 2])],
    ids=["lists", "an array", "integers of NumPy"],
)
def test_equal_formulas_are_equal_however_they_were_written(clauses: Any) -> None:
    formula, written = Formula(2, ((1, -2), (2, 2))), Formula(np.int64(2), clauses)  # type: ignore[arg-type]
    assert written == formula
    assert hash(written) == hash(formula)
    assert {type(each) for each in itertools.chain(*written.clauses)} == {type(written.variables)} == {int}


def test_a_single_clause_can_be_repeated_often_and_two_as_often_as_their_power_fits() -> None:
    assert serially_repeated(Formula(1, ((1,),)), 50).clauses == ((1,) * 50,)
    assert len(serially_repeated(complete_formula(1), 16).clauses) == 2**16


def test_of_a_complete_formula_every_assignment_satisfies_one_clause() -> None:
    formula = complete_formula(4)
    assert len(formula.clauses) == 16
    assert set(formula.satisfied(assignments_of(4)).tolist()) == {1}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Formula(0, ((1,),)), "variables is 0"),
        (lambda: Formula(1, ()), "clauses is ()"),
        (lambda: Formula(1, ((),)), "the length of clauses is 0"),
        (lambda: Formula(2, ((1,), (1, 2))), "the lengths of clauses is [1, 2]"),
        (lambda: Formula(2, ((1, 3),)), "a literal of clause 0 is 3"),
        (lambda: Formula(2, ((1, 0),)), "a literal of clause 0 is 0"),
        (lambda: Formula(2, ((1, 2), (2, -2))), "clause 1 is (2, -2), but it must be free of contradictions"),
        (lambda: Formula(2, ((1, 2),)).satisfied([1]), "assignments is [1]"),
        (lambda: Formula(2, ((1, 2),)).satisfied([1, 0]), "assignments is [1, 0]"),
        (lambda: best_assignment(Formula(LARGEST_SEARCH + 1, ((1,),))), f"variables is {LARGEST_SEARCH + 1}"),
        (lambda: Formula(True, ((1,),)), "variables is True"),
        (lambda: Formula(2, ((1, True),)), "a literal of clause 0 is True"),
        (lambda: Formula(2, ((1, np.bool_(True)),)), "a literal of clause 0 is np.True_"),  # type: ignore[arg-type]
        (lambda: Formula(2, ((1, 2.0),)), "a literal of clause 0 is 2.0"),  # type: ignore[arg-type]
        (lambda: Formula(2, ((1,), "a")), "a literal of clause 1 is 'a'"),  # type: ignore[arg-type]
        (lambda: Formula(2, (1, 2)), "clauses is (1, 2)"),  # type: ignore[arg-type]
        (lambda: Formula(2, None), "clauses is None"),  # type: ignore[arg-type]
        (lambda: serially_repeated(complete_formula(4), 5), "the number of repetitions is 5"),
        (lambda: serially_repeated(complete_formula(1), 17), "the number of repetitions is 17"),
        (lambda: serially_repeated(complete_formula(1), 10**5), "the number of repetitions is 100000"),
        (lambda: serially_repeated(complete_formula(1), 10**7), "the number of repetitions is 10000000"),
        (
            lambda: serially_repeated(Formula(1, ((1,),)), 10**30),
            "the number of repetitions is 1000000000000000000000000000000",
        ),
        # 2^64 is 0 in 64 bits.
        (lambda: serially_repeated(complete_formula(1), np.int64(64)), "the number of repetitions is 64"),  # type: ignore[arg-type]
        (lambda: serially_repeated(complete_formula(1), 0), "times is 0"),
        (lambda: hadamard_predicate(0), "literals is 0"),
        (lambda: predicate_formula(1, np.array([[1], [1]]), [(1,)]), "accepted is [(1,), (1,)]"),
        (lambda: predicate_formula(1, np.array([[2]]), [(1,)]), "accepted is [(2,)]"),
        (lambda: predicate_formula(2, np.array([[1, 1]]), [(1,)]), "the lengths of accepted rows and constraints"),
        (lambda: random_formula(stream(0, "r"), variables=2, literals=3, clauses=1), "literals is 3"),
        (lambda: random_formula(stream(0, "r"), variables=2, literals=0, clauses=1), "literals is 0"),
        (lambda: random_formula(stream(0, "r"), variables=2, literals=1, clauses=0), "clauses is 0"),
    ],
)
def test_what_is_no_formula_is_refused(make: object, sentence: str) -> None:
    with pytest.raises(ArgumentError) as refusal:
        make()  # type: ignore[operator]
    assert str(refusal.value).startswith(sentence)
