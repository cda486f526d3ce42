"""H1 to H3: constants of Lemma H.1, and the bounds of H.2 and H.3 on formulas, in fractions where they are printed."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanver.exact.tabular import gap, log_law, log_optimal_law
from spanver.guarantees.proper import (
    clause_mass_bound,
    clause_mass_floor,
    decision_threshold,
    mass_gap_floor,
    most_rewards,
    reduction_parameters,
)
from spanver.policies import LinearSoftmax
from spanver.problems.families.max_k_dnf import NULL, dnf_problem, maximiser
from spanver.problems.formulas import Formula
from spanver.strategies import formulas
from spanver.values import FloatArray

BETAS = (1 / math.log(2), 1.0, 0.25, 0.07, 0.01)


def mass(law: FloatArray) -> float:
    return float(np.exp(np.delete(law[0], NULL)).sum())


def test_the_constants_are_those_of_the_lemma() -> None:
    beta, eps = reduction_parameters(4, 0.25)
    assert beta == pytest.approx(1 / (16 * math.log(64)), rel=1e-15)
    assert eps == pytest.approx(0.0625 / (16 * 16 * math.log(64)), rel=1e-15)
    assert decision_threshold(48, 0.5, 3) == Fraction(1, 2)
    # What beta is for: footnote 17's additive term is (delta/16)^(k/2).
    assert math.exp(-0.5 / (beta * 4)) == pytest.approx((0.25 / 16) ** 2, rel=1e-12)


@pytest.mark.parametrize("literals", range(2, 12))
@pytest.mark.parametrize("delta", [0.01, 0.3, 0.5, 0.75, 0.99])
def test_the_most_rewards_are_the_last_that_the_second_case_of_the_proof_allows(literals: int, delta: float) -> None:
    most = most_rewards(literals, delta)

    def holds(rewards: int) -> bool:
        """`1/(8T) - (delta/16)^(k/2) > delta/(16T)`, squared so that no root is rounded."""
        left = (2 - Fraction(delta)) / (16 * rewards)
        return left**2 > (Fraction(delta) / 16) ** literals

    assert most == 0 or holds(most)
    assert not holds(most + 1)
    # The first case has room for every delta: delta/8 - (delta/16)^(k/2) >= delta/16.
    assert (Fraction(delta) / 16) ** literals <= (Fraction(delta) / 16) ** 2


def test_footnote_17_needs_more_than_two_literals() -> None:
    """The proof does not go through unchanged for `k >= 2` and `T <= 2^k`; it does for `k >= 4`."""
    assert (most_rewards(2, 0.5), most_rewards(3, 0.75)) == (2, 7)
    deltas = [number / 100 for number in range(1, 100)]
    assert all(most_rewards(literals, delta) >= 2**literals for literals in range(4, 20) for delta in deltas)
    assert all(most_rewards(1, delta) == 0 for delta in deltas)


@settings(max_examples=300, deadline=None)
@given(
    formula=formulas(),
    beta=st.sampled_from(BETAS),
    corner=st.lists(st.sampled_from([1.0, -1.0, 0.0, 0.5, -0.25, 0.999]), min_size=4, max_size=4),
)
def test_both_sides_of_h2_and_h3_hold_at_every_parameter(formula: Formula, beta: float, corner: list[float]) -> None:
    assignment, clauses, literals = maximiser(formula), len(formula.clauses), formula.literals
    problem = dnf_problem(formula, assignment, beta=beta)
    theta = np.array([*corner[: formula.variables], corner[3]])
    law, optimum = log_law(problem, LinearSoftmax(theta)), log_optimal_law(problem)
    value = int(formula.satisfied(assignment)) / clauses
    assert mass(optimum) >= clause_mass_floor(value, beta) - 1e-12 >= value / 2 - 2e-12
    for zero in (1.0, -1.0):  # of either sign
        seen = int(formula.satisfied(np.where(theta[:-1] == 0.0, zero, np.sign(theta[:-1])))) / clauses
        bound = clause_mass_bound(seen, beta, literals)
        assert mass(law) <= bound + 1e-12
        assert bound <= 2 * (seen + math.exp(-0.5 / (beta * literals))) + 1e-12
    floor = mass_gap_floor(beta, min(mass(law), 1.0), min(mass(optimum), 1.0))
    assert gap(problem, law) >= floor - 1e-12
    assert floor >= 2 * beta * (mass(law) - mass(optimum)) ** 2 - 1e-12


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("literals", [1, 2, 5])
def test_the_upper_bound_of_h2_is_attained(literals: int, beta: float) -> None:
    """Where of each unsatisfied clause one literal is 0, and all else is as large as the box allows."""
    formula = Formula(2, ((1,) * literals, (1,) * (literals - 1) + (2,)))
    problem = dnf_problem(formula, np.array([1, 1]), beta=beta)
    assert formula.satisfied(np.array([1, -1])) == 1
    found = mass(log_law(problem, LinearSoftmax(np.array([1.0, 0.0, 1.0]))))
    assert found == pytest.approx(clause_mass_bound(0.5, beta, literals), rel=1e-12)


def test_the_lower_bound_of_h2_is_attained_where_all_clauses_are_satisfied() -> None:
    problem = dnf_problem(Formula(2, ((1, 2), (1, 1))), np.array([1, 1]), beta=0.1)
    assert mass(log_optimal_law(problem)) == pytest.approx(clause_mass_floor(1.0, 0.1), rel=1e-12)


@pytest.mark.parametrize("scale", [0.1, 0.5, 0.9, 1.2])
def test_the_bound_of_h3_is_attained_by_policies_in_proportion_to_the_optimum(scale: float) -> None:
    problem = dnf_problem(Formula(2, ((1, 2), (1, -2))), np.array([1, 1]), beta=0.3)
    optimum = np.exp(log_optimal_law(problem))
    law = optimum.copy()
    law[0, 1:] *= scale
    law[0, NULL] = 1.0 - law[0, 1:].sum()
    floor = mass_gap_floor(0.3, float(law[0, 1:].sum()), float(optimum[0, 1:].sum()))
    assert gap(problem, np.log(law)) == pytest.approx(floor, rel=1e-10)
    assert floor > 0.3 * float(law[0, 1:].sum() - optimum[0, 1:].sum()) ** 2


def test_a_set_of_fewer_variables_than_literals_breaks_the_lower_bound_as_printed() -> None:
    """The instance of docs/errata.md: `phi = f/k` on a set of one variable, where `k = 2`."""
    w = Fraction(16)  # exp(1/beta)
    printed = (1 / w * 4) / (1 - 1 / w + 1 / w * 4)
    assert printed == Fraction(4, 19) < Fraction(1, 2)
    repeated = dnf_problem(Formula(1, ((1, 1),)), np.array([1]), beta=1 / math.log(16))
    assert mass(log_optimal_law(repeated)) == pytest.approx(16 / 31, rel=1e-12)


def test_on_the_ball_a_parameter_sees_clauses_that_its_signs_do_not_satisfy() -> None:
    """Which is why the set of parameters is the box."""
    formula = Formula(16, ((1, 2, 3),))
    problem = dnf_problem(formula, maximiser(formula), beta=0.1)
    theta = np.array([4.0, *[0.0] * 15, 1.0])
    assert float(np.linalg.norm(theta)) <= problem.radius
    assert formula.satisfied(np.where(theta[:-1] > 0.0, 1, -1)) == 0
    assert mass(log_law(problem, LinearSoftmax(theta))) > 0.8 > 5 * clause_mass_bound(0.0, 0.1, 3)


def test_infinite_where_the_optimum_lacks_mass() -> None:
    assert mass_gap_floor(1.0, 0.5, 0.0) == math.inf
    assert mass_gap_floor(1.0, 0.5, 1.0) == math.inf
    assert mass_gap_floor(1.0, 0.0, 0.0) == 0.0
    assert mass_gap_floor(2.0, 0.0, 0.5) == pytest.approx(2.0 * math.log(2.0), rel=1e-15)
