"""The passive learner (A3): both responses of every round from the base policy."""

from __future__ import annotations

from spanver.learners.rounds import BaselineRun, drawn_pair, run_rounds
from spanver.oracle import Oracle


def passive_learner(oracle: Oracle, *, rounds: int, seed: int) -> BaselineRun:
    """Passive baseline: pairs of the base policy, constrained least squares (A3).

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `sample` and `reward`.
    rounds : int
        `T`; `2 T` samples and `2 T` rewards.
    seed : int
        Ignored: this learner has no randomness of its own. Accepted so that all learners share one signature.

    Returns
    -------
    BaselineRun
        Its policy is `LinearSoftmax`.

    Examples
    --------
    >>> from spanver.oracles.counted import counted_oracle
    >>> from spanver.exact.tabular import gap, log_law
    >>> from spanver.problems.families.covered_needle import covered_needle_problem
    >>> problem = covered_needle_problem(0, coverage=2.0**8, responses=16, dimension=4, beta=0.03)
    >>> oracle = counted_oracle(problem, seed=1)
    >>> run = passive_learner(oracle, rounds=4, seed=2)
    >>> round(gap(problem, log_law(problem, run.policy)), 2)  # no needle among eight responses
    0.83
    >>> oracle.ledger
    Ledger(samples=8, rewards=8, enumerated=0)
    """
    return run_rounds(oracle, rounds, lambda _: drawn_pair(oracle), "reward")
