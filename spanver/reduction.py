"""Lemma H.1 as a function: any proper learner becomes a decision procedure for Max-k-DNF (H1).

The learner is run on the instance of a formula with every reward 0, for which nothing has to be known of the formula's
value. This errs only where a response is a clause; and if clauses are likely under some `pi_theta` that the learner
draws from, then the signs of this `theta` satisfy many clauses (H2), which is all that is to be found out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import numpy as np
from scipy.special import logsumexp

from spanver.exact.tabular import log_law
from spanver.guarantees.proper import decision_threshold, reduction_parameters
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.oracles.proper import ProperOracle
from spanver.parameter_sets import require_inside
from spanver.policies import LinearSoftmax
from spanver.problems.families.max_k_dnf import NULL, dnf_problem
from spanver.problems.formulas import Formula
from spanver.problems.tabular import TabularProblem
from spanver.validation import to_array
from spanver.values import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Decision:
    """What a proper learner decides about a formula.

    Attributes
    ----------
    yes : bool
        Whether `satisfied` is above the threshold.
    assignment : array of int, shape (n,)
        Signs of the parameter with most mass on clauses, out of those that the learner queried or returned.
    satisfied : int
        How many clauses they satisfy.
    threshold : Fraction
        `delta m/(16 T)`.
    log_mass : float
        Logarithm of that mass.
    ledger : Ledger
        What the learner asked for.
    """

    yes: bool
    assignment: IntArray
    satisfied: int
    threshold: Fraction
    log_mass: float
    ledger: Ledger


def decide(
    formula: Formula, learner: Callable[[Oracle], FloatArray], *, delta: float, rewards: int, seed: int
) -> Decision:
    """Decide whether many clauses of a formula can be satisfied, by running a proper learner (FMR25 Lemma H.1, p. 61).

    NO is certain if `val <= delta m/(16 T)`. YES has a probability of at least 1/4 if `val >= delta m`, the learner's
    gap on the instance is at most `eps(k, delta)` in 3 of 4 runs, and `T <= most_rewards(k, delta)`.

    Parameters
    ----------
    formula : Formula
    learner : callable
        Makes queries, of the generalised oracle too (FMR25, p. 60), and returns the parameter `theta` of its policy,
        shape (n + 1,).
    delta : float
        Strictly between 0 and 1.
    rewards : int
        `T`, the most reward queries of the learner.
    seed : int
        Of the oracle.

    Returns
    -------
    Decision

    Raises
    ------
    BudgetExceededError
        If the learner makes more reward queries.
    QuestionRefusedError
        If one of them is not proper.
    ArgumentError
        If its parameter is not of that shape, not finite, or outside the box.

    Examples
    --------
    >>> import numpy as np
    >>> def guess(oracle):  # one that makes no query and returns x1 = .. = xn = true
    ...     return np.ones(oracle.dimension)
    >>> decision = decide(Formula(2, ((1, 2), (-1, 2))), guess, delta=0.5, rewards=2, seed=0)
    >>> decision.yes, decision.satisfied, decision.threshold
    (True, 1, Fraction(1, 32))
    """
    threshold = decision_threshold(len(formula.clauses), delta, rewards)
    problem = without_rewards(formula, reduction_parameters(formula.literals, delta)[0])
    oracle = ProperOracle(counted_oracle(problem, seed=seed, budget=Budget(rewards=rewards), log_probabilities=True))
    final = to_array("the learner's parameter", learner(cast(Oracle, oracle)), (problem.dimension,))
    require_inside("the learner's parameter", final, problem.shape(problem.radius))
    parameters = np.unique([*oracle.exploration.parameters, final], axis=0)
    masses = [clause_mass(problem, theta) for theta in parameters]
    best = int(np.argmax(masses))
    assignment = np.where(parameters[best, :-1] >= 0.0, 1, -1)
    satisfied = int(formula.satisfied(assignment))
    return Decision(satisfied > threshold, assignment, satisfied, threshold, masses[best], oracle.ledger)


def without_rewards(formula: Formula, beta: float) -> TabularProblem:
    """Return the instance of a formula with the reward 0 of every response, which needs no assignment."""
    problem = dnf_problem(formula, np.ones(formula.variables, dtype=np.intp), beta=beta)
    return replace(problem, reward=np.zeros_like(problem.reward), theta_star=None)


def clause_mass(problem: TabularProblem, theta: FloatArray) -> float:
    """Return the logarithm of what `pi_theta` gives to all clauses of an instance."""
    law = log_law(problem, LinearSoftmax(theta))[0]
    return float(logsumexp(np.delete(law, NULL)))
