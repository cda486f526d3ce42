"""Best-of-N (A3): learn passively, then keep the best of `N` draws of the base policy. `[ours]`."""

from __future__ import annotations

from spanver.learners.passive import passive_learner
from spanver.learners.rounds import BaselineRun
from spanver.oracle import Oracle
from spanver.policies import BestOfN
from spanver.validation import require_count


def best_of_n(oracle: Oracle, *, rounds: int, count: int, seed: int) -> BaselineRun:
    """Passive data and least squares as `passive_learner`, then the best of `count` responses by score (A3; `[ours]`).

    Parameters
    ----------
    oracle, rounds, seed
        As for `passive_learner`; the same seed gives the same data.
    count : int
        `N`, responses drawn for one output, so that each output costs `N` samples.

    Returns
    -------
    BaselineRun
        Its policy is `BestOfN`.

    Examples
    --------
    >>> from spanver.oracles.counted import counted_oracle
    >>> from spanver.problems.families.random_tables import random_problem
    >>> run = best_of_n(counted_oracle(random_problem(0), seed=1), rounds=100, count=8, seed=2)
    >>> run.policy.count
    8
    """
    require_count("count", count)
    run = passive_learner(oracle, rounds=rounds, seed=seed)
    return BaselineRun(BestOfN(run.policy.theta, count), run.thetas, run.vectors, run.targets)
