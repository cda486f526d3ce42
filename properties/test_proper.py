"""Proper learners: their queries (H0), and what H2 and H3 say of every parameter on the paper's instances.

H1 is about formulas and not about a subject: its study runs the reduction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import logsumexp

from spanver.exact.tabular import gap, log_law, log_optimal_law
from spanver.guarantees.proper import clause_mass_bound, clause_mass_floor, mass_gap_floor
from spanver.guarantees.rounding import kl_divergence_error, log_softmax_error, mean_error
from spanver.oracles.literal import literal_oracle
from spanver.policies import LinearSoftmax
from spanver.problems.families.max_k_dnf import NULL, dnf_problem
from spanver.problems.formulas import Formula, best_assignment
from spanver.problems.tabular import TabularProblem
from spanver.strategies import formulas, tabular_problems
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances
from spanver.verification.transcript import GENEROUS_BUDGET, Query, RecordingOracle, first_improper

from .designs import INSIDE, named
from .rounded import assert_at_least, assert_at_most

PROBLEMS = tabular_problems(min_responses=2, betas=(1.0, 0.25, 0.05))
ROUNDS = st.integers(1, 5)
FEEDBACK = st.sampled_from(["reward", "preference"])
DESIGNED = {"problem": INSIDE, "rounds": 8}

# Literals of which one holds, of a variable twice, and of a clause that contradicts itself.
FORMULA = Formula(2, ((1, 1), (1, 2), (-1, 2), (1, -1)), contradictory=True)
BETAS = st.sampled_from([1.0, 0.25, 0.05, 0.01])
CORNERS = st.lists(st.sampled_from([1.0, -1.0, 0.0, 0.5, -0.25]), min_size=4, max_size=4)


def queries_of(check: Check, name: str, problem: TabularProblem, rounds: int, **plan: Any) -> list[Query]:
    """Queries of a run of a learner."""
    oracle = RecordingOracle(literal_oracle(problem, seed=check.seed("oracle"), budget=GENEROUS_BUDGET))
    check.call(name, oracle, rounds=rounds, seed=check.seed("learner"), **plan)
    return oracle.queries


def assert_proper(queries: list[Query]) -> None:
    """Assert that every response whose reward or label was queried was drawn for it."""
    found = first_improper(queries)
    if found is not None:
        query, response = found
        assert found is None, (
            f"the {query.name} of response {response} at prompt {query.prompt} was queried, "
            "and no draw of it is left whose reward was not"
        )


@pytest.mark.guarantee("H0", needs=["passive_learner"])
@designed([DESIGNED], named("passive-learner", "one-draw-twice"))
@instances(problem=PROBLEMS, rounds=ROUNDS)
def test_the_passive_learner_queries_rewards_of_fresh_draws(check: Check, problem: TabularProblem, rounds: int) -> None:
    assert_proper(queries_of(check, "passive_learner", problem, rounds))


@pytest.mark.guarantee("H0", needs=["best_of_n"])
@designed([DESIGNED], named("best-of-n", "one-draw-twice"))
@instances(problem=PROBLEMS, rounds=ROUNDS)
def test_best_of_n_queries_rewards_of_fresh_draws(check: Check, problem: TabularProblem, rounds: int) -> None:
    assert_proper(queries_of(check, "best_of_n", problem, rounds, count=4))


@pytest.mark.guarantee("H0", needs=["online_dpo"])
@designed(
    [{**DESIGNED, "feedback": feedback} for feedback in ("reward", "preference")], named("online-dpo", "one-draw-twice")
)
@instances(problem=PROBLEMS, rounds=ROUNDS, feedback=FEEDBACK)
def test_online_dpo_explores_properly(check: Check, problem: TabularProblem, rounds: int, feedback: str) -> None:
    assert_proper(queries_of(check, "online_dpo", problem, rounds, feedback=feedback))


@pytest.mark.guarantee("H0", needs=["xpo"])
@designed([{**DESIGNED, "feedback": feedback} for feedback in ("reward", "preference")], named("xpo", "one-draw-twice"))
@instances(problem=PROBLEMS, rounds=ROUNDS, feedback=FEEDBACK)
def test_xpo_explores_properly(check: Check, problem: TabularProblem, rounds: int, feedback: str) -> None:
    plan = {"alpha": 0.5, "feedback": feedback, "partition_samples": 4}
    assert_proper(queries_of(check, "xpo", problem, rounds, **plan))


def shares(formula: Formula, theta: FloatArray) -> list[float]:
    """Share of the clauses that the signs of a parameter satisfy, with either sign for a coordinate of 0."""
    signs = [np.where(theta[:-1] == 0.0, zero, np.sign(theta[:-1])) for zero in (1.0, -1.0)]
    return [int(formula.satisfied(each)) / len(formula.clauses) for each in signs]


def mass(law: FloatArray) -> float:
    """What a law gives to all clauses."""
    return float(np.exp(logsumexp(np.delete(law, NULL))))


@pytest.mark.guarantee("H2", needs=["log_softmax"])
@designed(
    [{"formula": FORMULA, "beta": beta, "corner": [1.0, 1.0, 0.0, 1.0]} for beta in (0.05, 0.01)],
    named("softmax", "without-base times-beta base-twice"),
)
@instances(formula=formulas(), beta=BETAS, corner=CORNERS)
def test_the_mass_of_clauses_lies_between_what_the_optimum_has_and_what_signs_allow(
    check: Check, formula: Formula, beta: float, corner: list[float]
) -> None:
    problem = dnf_problem(formula, best_assignment(formula), beta=beta)
    log_base, features, unit = problem.log_base[0], problem.features[0], check.subject.unit
    assert problem.theta_star is not None
    value = shares(formula, problem.theta_star)[0]
    for theta in (problem.theta_star, np.array([*corner[: formula.variables], corner[-1]])):
        scores = features @ theta
        law = check.call("log_softmax", log_base, scores, beta)
        expected = log_law(problem, LinearSoftmax(theta))[0]
        error = mean_error(expected, log_softmax_error(unit, log_base, scores, beta))
        found = mass(law)
        bound = min(clause_mass_bound(share, beta, formula.literals) for share in shares(formula, theta))
        assert_at_most(check, f"mass of clauses under theta = {theta.tolist()}", found, bound, error)
        check.tightness(found, bound + error)
        if theta is problem.theta_star:
            assert_at_least(check, "mass of clauses under theta*", found, clause_mass_floor(value, beta), error)


@pytest.mark.guarantee("H3", needs=["log_softmax", "kl_divergence"])
@designed(
    [{"formula": FORMULA, "beta": 0.25, "corner": corner} for corner in ([-1.0, 1.0, 0.0, 1.0], [0.5, 0.5, 0.0, 0.5])],
    named("divergence", "halved without-first"),
)
@instances(formula=formulas(), beta=BETAS, corner=CORNERS)
def test_a_policy_that_gives_clauses_less_mass_has_a_gap(
    check: Check, formula: Formula, beta: float, corner: list[float]
) -> None:
    problem = dnf_problem(formula, best_assignment(formula), beta=beta)
    log_base, unit = problem.log_base[0], check.subject.unit
    scores = problem.features[0] @ np.array([*corner[: formula.variables], corner[-1]])
    laws, errors = [], []
    for each in (scores, problem.reward[0]):
        law = check.call("log_softmax", log_base, each, beta)
        errors.append(mean_error(law, log_softmax_error(unit, log_base, each, beta)))
        laws.append(law - logsumexp(law))
    law, optimum = laws
    p, q = (min(1.0, mass(each)) for each in laws)
    floor = mass_gap_floor(beta, p, q)
    measured = beta * check.call("kl_divergence", law, optimum)
    allowed = beta * (kl_divergence_error(unit, law, optimum) + 2.0 * sum(errors))
    assert_at_least(
        check, f"the gap, where clauses have the mass {p:.4g} and {q:.4g} under pi*", measured, floor, allowed
    )
    check.tightness(floor, measured + allowed)


@pytest.mark.guarantee("H2", needs=["online_dpo"])
@designed([{"formula": Formula(2, ((1, 2),)), "beta": 1.0, "rounds": 40}], named("online-dpo", "ball-for-box"))
@instances(formula=formulas(), beta=st.sampled_from([1.0, 0.25]), rounds=ROUNDS)
def test_online_dpo_draws_with_parameters_that_see_what_their_signs_satisfy(
    check: Check, formula: Formula, beta: float, rounds: int
) -> None:
    """On the box, which its fits have to keep to: the strong oracle refuses any other parameter."""
    problem = dnf_problem(formula, best_assignment(formula), beta=beta)
    optimum = mass(log_optimal_law(problem)[0])
    for query in queries_of(check, "online_dpo", problem, rounds, feedback="reward"):
        if query.name != "sample" or query.arguments[1] is None:
            continue
        theta = np.asarray(query.arguments[1], dtype=np.float64)
        law = log_law(problem, LinearSoftmax(theta))
        # A parameter may be outside the box by its rounding, which the oracle allows.
        allowed = 64.0 * float(np.finfo(np.float64).eps) * len(theta) * (1.0 + 1.0 / beta) + 4e-12 / beta
        bound = min(clause_mass_bound(share, beta, formula.literals) for share in shares(formula, theta))
        assert_at_most(check, f"mass of clauses under theta = {theta.tolist()}", mass(law[0]), bound, allowed)
        floor = mass_gap_floor(beta, min(1.0, mass(law[0])), min(1.0, optimum))
        assert_at_least(check, f"gap of theta = {theta.tolist()}", gap(problem, law), floor, allowed)
