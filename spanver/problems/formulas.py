"""Max-k-DNF formulas: their values, and the formulas of Section 4's reduction (FMR25 Appendix H, pp. 61-70).

A clause is a tuple of `k` literals with repetition, and not a set of at most `k` variables as in Definition H.1, p. 61:
on tuples Lemmas H.2, H.5 and H.6 are true as they are, on sets they are not (docs/errata.md). A literal is the number
of its variable, from 1 on, negative where the variable has to be false, as in DIMACS files. An assignment is an array
of signs.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from spanver.errors import ArgumentError
from spanver.validation import require, require_count
from spanver.values import FloatArray, IntArray

LARGEST_SEARCH = 24
"""Most variables whose assignments are all tried."""
MOST_CLAUSES = 100_000
"""Most clauses of a serial repetition, and most repetitions."""

_BLOCK = 1 << 12  # assignments tried at once


@dataclass(frozen=True)
class Formula:
    """A Max-k-DNF formula: as many clauses as possible are to be satisfied, each by all of its literals.

    Parameters
    ----------
    variables : int
        `n`.
    clauses : tuple of tuple of int
        `m` of them, each of `k` literals. Other sequences of integers, such as the rows of an array, become tuples.
    contradictory : bool
        Whether a clause may hold a variable and its negation, which nothing satisfies: serial repetition makes such
        clauses, and so do predicates of repeated variables.

    Raises
    ------
    ArgumentError
        For clauses of different lengths or of none, a literal of no variable, or a clause that contradicts itself.

    Examples
    --------
    >>> formula = Formula(2, ((1, 2), (1, -2), (-1, -1)))
    >>> formula.satisfied([[1, 1], [1, -1], [-1, 1]]).tolist()
    [1, 1, 1]
    >>> Formula(1, ((1, -1),))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    spanver.errors.ArgumentError: clause 0 is (1, -1), but it must be free of contradictions: variable 1 is in it ...
    """

    variables: int
    clauses: tuple[tuple[int, ...], ...]
    contradictory: bool = False

    def __post_init__(self) -> None:
        require_count("variables", self.variables)
        object.__setattr__(self, "variables", operator.index(self.variables))
        object.__setattr__(self, "clauses", _clauses(self.clauses, self.variables))
        require(len(self.clauses) > 0, "clauses", self.clauses, "at least one")
        lengths = sorted({len(clause) for clause in self.clauses})
        require(len(lengths) == 1, "the lengths of clauses", lengths, "one length k; a literal may be repeated")
        require(lengths[0] >= 1, "the length of clauses", lengths[0], "at least 1")
        for index, clause in enumerate(self.clauses):
            both = sorted(set(clause) & {-literal for literal in clause})
            if both and not self.contradictory:
                allowed = f"free of contradictions: variable {both[-1]} is in it with both signs"
                raise ArgumentError(f"clause {index}", clause, allowed)

    @property
    def literals(self) -> int:
        """Literals of each clause, `k`."""
        return len(self.clauses[0])

    def satisfied(self, assignments: Sequence[int] | Sequence[Sequence[int]] | IntArray | FloatArray) -> IntArray:
        """Return how many clauses each assignment satisfies, `val(phi; x)`.

        Parameters
        ----------
        assignments : array, shape (..., n)
            Of signs, 1 and -1.

        Returns
        -------
        array of int, shape (...)
        """
        signs = np.asarray(assignments)
        is_right = signs.ndim >= 1 and signs.shape[-1] == self.variables and bool((np.abs(signs) == 1).all())
        require(is_right, "assignments", assignments, f"an array of signs with {self.variables} columns")
        literals = np.array(self.clauses)
        held = np.sign(literals) * signs[..., np.abs(literals) - 1] > 0
        return held.all(axis=-1).sum(axis=-1)


def _clauses(given: Any, variables: int) -> tuple[tuple[int, ...], ...]:
    """Return clauses as tuples of integers, so that equal formulas are equal and have one hash."""
    try:
        rows = [tuple(clause) for clause in given]
    except TypeError:
        raise ArgumentError("clauses", given, "a sequence of sequences of literals") from None
    return tuple(tuple(_literal(each, index, variables) for each in clause) for index, clause in enumerate(rows))


def _literal(given: Any, index: int, variables: int) -> int:
    """Return a literal of the clause with an index as an integer; booleans are none."""
    try:
        literal = 0 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        literal = 0
    allowed = f"a variable 1..{variables} or minus it"
    require(1 <= abs(literal) <= variables, f"a literal of clause {index}", given, allowed)
    return literal


def assignments_of(variables: int) -> IntArray:
    """Return all assignments in lexicographic order, true before false, shape (2^n, n).

    Raises
    ------
    ArgumentError
        For more than `LARGEST_SEARCH` variables.

    Examples
    --------
    >>> assignments_of(2).tolist()
    [[1, 1], [1, -1], [-1, 1], [-1, -1]]
    """
    _require_few(variables)
    return _assignments(variables, 0, 2**variables)


def _require_few(variables: int) -> None:
    require_count("variables", variables)
    require(variables <= LARGEST_SEARCH, "variables", variables, f"at most {LARGEST_SEARCH}, to try all assignments")


def _assignments(variables: int, begin: int, end: int) -> IntArray:
    bits = np.arange(begin, end)[:, None] >> np.arange(variables)[::-1] & 1
    return 1 - 2 * bits


def best_assignment(formula: Formula) -> IntArray:
    """Return the first assignment, in lexicographic order, that satisfies most clauses: by trying all of them.

    `spanver.problems.maxsat.best_assignment` finds the same one for many variables.

    Returns
    -------
    array of int, shape (n,)

    Raises
    ------
    ArgumentError
        For more than `LARGEST_SEARCH` variables.

    Examples
    --------
    >>> best_assignment(Formula(2, ((1, 2), (1, -2), (1, -2)))).tolist()
    [1, -1]
    """
    _require_few(formula.variables)
    best, most = _assignments(formula.variables, 0, 1)[0], -1
    for begin in range(0, 2**formula.variables, _BLOCK):
        block = _assignments(formula.variables, begin, min(begin + _BLOCK, 2**formula.variables))
        counts = formula.satisfied(block)
        place = int(np.argmax(counts))
        if counts[place] > most:
            best, most = block[place], int(counts[place])
    return best


def random_formula(generator: Generator, *, variables: int, literals: int, clauses: int) -> Formula:
    """Draw clauses of `k` different variables, any choice of them and of their signs equally likely."""
    places, signs = _distinct(generator, variables, literals, clauses), _signs(generator, clauses, literals)
    return Formula(variables, _tuples(signs * places))


def planted_formula(generator: Generator, *, variables: int, literals: int, clauses: int) -> tuple[Formula, IntArray]:
    """Draw an assignment, and clauses of `k` different variables that it satisfies: the value is `m`.

    Returns
    -------
    Formula
    array of int, shape (n,)
        The assignment.
    """
    places = _distinct(generator, variables, literals, clauses)
    assignment = _signs(generator, variables)
    return Formula(variables, _tuples(assignment[places - 1] * places)), assignment


def complete_formula(variables: int) -> Formula:
    """Return the formula of all `2^n` clauses over all its variables: every assignment satisfies exactly one."""
    signs = assignments_of(variables)
    return Formula(variables, _tuples(signs * np.arange(1, variables + 1)))


def hadamard_predicate(literals: int) -> IntArray:
    """Return the assignments that the Hadamard predicate of `k` places accepts (FMR25 Theorem H.3, p. 69; Chan 2016).

    With `r = ceil(log2(k + 1))`, place `j = 1..k` is the product of those of `r` signs whose binary digit of `j` is 1,
    the first sign that of the last digit. There are `2^r <= 2k` accepted assignments.

    Returns
    -------
    array of int, shape (2^r, k)

    Examples
    --------
    >>> hadamard_predicate(3).tolist()
    [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    """
    require_count("literals", literals)
    rank = literals.bit_length()
    digits = np.arange(1, literals + 1)[:, None] >> np.arange(rank) & 1
    signs = _assignments(rank, 0, 2**rank)
    return np.where(digits[None] == 1, signs[:, None], 1).prod(axis=2)


def predicate_formula(variables: int, accepted: IntArray, constraints: Sequence[Sequence[int]]) -> Formula:
    """Return the DNF of a formula whose constraints are a predicate of literals (FMR25 Lemma H.5, p. 70).

    A constraint holds if the signs of its literals are accepted. It becomes a clause for each accepted assignment, of
    which at most one can hold, so that every assignment satisfies as many clauses as constraints.

    Parameters
    ----------
    variables : int
        `n`.
    accepted : array of int, shape (l, k)
        What the predicate accepts, different rows of signs.
    constraints : sequence of sequence of int
        `m` of `k` literals; a variable may be repeated.

    Returns
    -------
    Formula
        Of `l m` clauses, in the order of the constraints.

    Examples
    --------
    >>> predicate_formula(3, hadamard_predicate(3), [(1, -2, 3)]).clauses  # x1 (not x2) x3 = 1 in signs
    ((1, -2, 3), (1, 2, -3), (-1, -2, -3), (-1, 2, 3))
    """
    rows = [tuple(map(int, row)) for row in accepted]
    require(len(set(rows)) == len(rows), "accepted", rows, "of different rows")
    require(set(itertools.chain(*rows)) <= {1, -1}, "accepted", rows, "of signs, 1 and -1")
    lengths = {len(each) for each in [*rows, *constraints]}
    require(len(lengths) == 1, "the lengths of accepted rows and constraints", sorted(lengths), "one length k")
    clauses = [
        tuple(sign * literal for sign, literal in zip(row, constraint, strict=True))
        for constraint in constraints
        for row in rows
    ]
    return Formula(variables, tuple(clauses), contradictory=True)


def hadamard_formula(
    generator: Generator, *, variables: int, literals: int, constraints: int
) -> tuple[Formula, IntArray]:
    """Draw an assignment, and constraints of the Hadamard predicate on different variables that it satisfies.

    Returns
    -------
    Formula
        Of `l m` clauses for `m` constraints and `l` accepted assignments; its value is `m`.
    array of int, shape (n,)
        The assignment.
    """
    accepted = hadamard_predicate(literals)
    places = _distinct(generator, variables, literals, constraints)
    assignment = _signs(generator, variables)
    rows = accepted[generator.integers(len(accepted), size=constraints)]
    return predicate_formula(variables, accepted, _tuples(rows * assignment[places - 1] * places)), assignment


def serially_repeated(formula: Formula, times: int) -> Formula:
    """Return the formula of all conjunctions of `t` clauses, whose value is `val^t` (FMR25 Lemma H.6, p. 70).

    Returns
    -------
    Formula
        Of `m^t` clauses of `k t` literals; every assignment satisfies `val(phi; x)^t` of them.

    Raises
    ------
    ArgumentError
        If these were more than `MOST_CLAUSES`, or for more repetitions than that of a single clause.

    Examples
    --------
    >>> serially_repeated(Formula(1, ((1,), (-1,))), 2).clauses
    ((1, 1), (1, -1), (-1, 1), (-1, -1))
    """
    require_count("times", times)
    require(times <= MOST_CLAUSES, "the number of repetitions", times, f"at most {MOST_CLAUSES}")
    count, times = len(formula.clauses), operator.index(times)
    # From that many bits on even 2^t is more, and m^t need not be computed.
    is_small = count == 1 or (times < MOST_CLAUSES.bit_length() and count**times <= MOST_CLAUSES)
    allowed = f"such that {count} to this power is at most {MOST_CLAUSES}"
    require(is_small, "the number of repetitions", times, allowed)
    clauses = tuple(tuple(itertools.chain(*each)) for each in itertools.product(formula.clauses, repeat=times))
    return Formula(formula.variables, clauses, contradictory=formula.contradictory or times > 1)


def _distinct(generator: Generator, variables: int, literals: int, clauses: int) -> IntArray:
    """Different variables of each clause, shape (m, k), any choice in any order equally likely."""
    for name, value in (("variables", variables), ("literals", literals), ("clauses", clauses)):
        require_count(name, value)
    require(literals <= variables, "literals", literals, f"at most variables = {variables}")
    orders = generator.permuted(np.tile(np.arange(1, variables + 1), (clauses, 1)), axis=1)
    return orders[:, :literals]


def _signs(generator: Generator, *shape: int) -> IntArray:
    return 1 - 2 * generator.integers(2, size=shape)


def _tuples(rows: IntArray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in rows)
