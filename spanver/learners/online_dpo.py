"""OnlineDPO (A3): both responses from the policy of the round."""

from __future__ import annotations

from functools import partial

from spanver.learners.rounds import BaselineRun, drawn_pair, run_rounds
from spanver.oracle import Feedback, Oracle


def online_dpo(oracle: Oracle, *, rounds: int, seed: int, feedback: Feedback = "reward") -> BaselineRun:
    """OnlineDPO: both responses of a pair from the policy of the data so far (A3; `[paper]`).

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `sample` with `theta`, and `reward` or `compare`.
    rounds : int
        `T`; `2 T` samples, and `2 T` rewards or `T` labels.
    seed : int
        Not used, as for `passive_learner`.
    feedback : {"reward", "preference"}
        Constrained least squares of reward differences, or the logistic loss of Bradley-Terry labels.

    Returns
    -------
    BaselineRun
        Its policy is `LinearSoftmax`: that of the last fit, where the theory takes one of a random round.

    Examples
    --------
    >>> from spanver.oracles.counted import counted_oracle
    >>> from spanver.problems.families.random_tables import random_problem
    >>> oracle = counted_oracle(random_problem(0), seed=1)
    >>> run = online_dpo(oracle, rounds=100, seed=2, feedback="preference")
    >>> oracle.ledger  # a label counts as one answer about rewards
    Ledger(samples=200, rewards=100, enumerated=0)
    """
    return run_rounds(oracle, rounds, partial(drawn_pair, oracle), feedback)
