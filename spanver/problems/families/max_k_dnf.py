"""The Max-k-DNF family: the instances on which proper learners fail (FMR25 Appendix H.2, p. 62; T4, H1 to H3).

There is one prompt. Its responses are the clauses of a formula and a null one, which the base policy prefers. A
parameter of the box gives clauses mass only where its signs satisfy them, so that a learner which looks for rewards by
drawing from `pi_theta` has to find an assignment that satisfies many.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.random import Generator

from spanver.guarantees.proper import reduction_parameters
from spanver.parameter_sets import Box
from spanver.problems import maxsat
from spanver.problems.family import ROOT_E, Family, Practical, family
from spanver.problems.formulas import (
    LARGEST_SEARCH,
    Formula,
    best_assignment,
    hadamard_formula,
    planted_formula,
    random_formula,
    serially_repeated,
)
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.validation import require_count, require_one_of, require_positive, require_probability
from spanver.values import IntArray

NAME = "max_k_dnf"
NULL = 0
"""The response that is no clause; response `i` is clause `i - 1`."""

Kind = Literal["planted", "random", "hadamard"]


@family(NAME)
def max_k_dnf_problem(
    seed: int = 0,
    *,
    formula: Kind = "planted",
    variables: int = 8,
    literals: int = 2,
    clauses: int = 16,
    repetitions: int = 1,
    delta: float = 0.5,
    beta: float | None = None,
    noise: float = 0.0,
) -> TabularProblem:
    """The instance `I(phi)` of a formula that is drawn (FMR25 Appendix H.2, p. 62, with the rewards of footnote 17).

    Parameters
    ----------
    seed : int
    formula : {"planted", "random", "hadamard"}
        `planted_formula`, `random_formula` or `hadamard_formula`, with or without an assignment that all clauses, or
        all constraints, are made to satisfy.
    variables : int
        `n`; features have one dimension more.
    literals : int
        `k`, at most `n`.
    clauses : int
        `m`; of a Hadamard formula the number of constraints, each of which becomes several clauses.
    repetitions : int
        `t` of `serially_repeated`, which makes `m^t` clauses of `k t` literals.
    delta : float
        Of Lemma H.1, strictly between 0 and 1: it decides `beta`, unless that is given.
    beta : float, optional
        Default: `beta(k t, delta)` of Lemma H.1.
    noise : float
        As in `TabularProblem`. A clause that `theta*` satisfies has none, nor has the null response: their mean
        rewards are the ends of the interval.

    Returns
    -------
    TabularProblem
        As `dnf_problem` makes it.
    """
    require_one_of("formula", formula, ("planted", "random", "hadamard"))
    require_probability("delta", delta)
    require_count("repetitions", repetitions)
    drawn, assignment = _drawn(stream(seed, "max-k-dnf problem"), formula, variables, literals, clauses)
    repeated = serially_repeated(drawn, repetitions)
    own = reduction_parameters(repeated.literals, delta)[0] if beta is None else beta
    return dnf_problem(repeated, assignment, beta=own, noise=noise)


def _drawn(generator: Generator, kind: Kind, variables: int, literals: int, clauses: int) -> tuple[Formula, IntArray]:
    """A formula, with an assignment that satisfies most clauses of it and of its repetitions."""
    match kind:
        case "planted":
            return planted_formula(generator, variables=variables, literals=literals, clauses=clauses)
        case "hadamard":
            return hadamard_formula(generator, variables=variables, literals=literals, constraints=clauses)
        case "random":
            drawn = random_formula(generator, variables=variables, literals=literals, clauses=clauses)
            return drawn, maximiser(drawn)


def maximiser(formula: Formula) -> IntArray:
    """Return the first assignment that satisfies most clauses, by the way that suits the number of variables.

    Raises
    ------
    MissingExtraError
        For more than `LARGEST_SEARCH` variables without python-sat.
    """
    return (best_assignment if formula.variables <= LARGEST_SEARCH else maxsat.best_assignment)(formula)


def dnf_problem(formula: Formula, assignment: IntArray, *, beta: float, noise: float = 0.0) -> TabularProblem:
    """Return the instance of a formula (FMR25 Appendix H.2, p. 62, with the rewards of footnote 17).

    `pi_ref(0) = 1 - e^{-1/beta}` and `pi_ref(i) = e^{-1/beta}/m` for the clauses `i`. With literals `b_l x_{v_l}` the
    features are `phi(i) = (1/(2k)) sum_l b_l e_{v_l} + (1/2) e_{n+1}` and `phi(0) = 0`; `theta* = (x*, 1)`.

    Parameters
    ----------
    formula : Formula
    assignment : array of int, shape (n,)
        `x*`, one that satisfies most clauses. That it does is not checked.
    beta : float
    noise : float

    Returns
    -------
    TabularProblem
        Of the box `||theta||_inf <= 1`, so that `B = sqrt(n + 1)`. Rewards are in `[0, 1]`: 1 of a clause that `x*`
        satisfies, 0 of the null response.
    """
    require_positive("beta", beta)
    formula.satisfied(assignment)  # refuses what is no assignment
    literals = np.array(formula.clauses)
    count, length = literals.shape
    features = np.zeros((1, count + 1, formula.variables + 1))
    clauses = np.arange(1, count + 1)
    for place in range(length):
        features[0, clauses, np.abs(literals[:, place]) - 1] += np.sign(literals[:, place])
    features[0, 1:] /= 2.0 * length
    features[0, 1:, -1] = 0.5
    theta = np.append(np.asarray(assignment, dtype=np.float64), 1.0)
    log_base = np.full((1, count + 1), -1.0 / beta - math.log(count))
    log_base[0, NULL] = math.log(-math.expm1(-1.0 / beta))
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=log_base,
        features=features,
        reward=features @ theta,
        beta=beta,
        radius=math.sqrt(formula.variables + 1),
        reward_range=1.0,
        reward_low=np.zeros(1),
        noise=noise,
        theta_star=theta,
        shape=Box,
    )


FAMILY = Family(NAME, max_k_dnf_problem, Practical(400, 2.0 * ROOT_E, 0.3, 400, 8.0 * math.e, 0.001))
