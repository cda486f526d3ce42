"""Elliptical enumeration (A3): the least certain pair of the full table, round by round."""

from __future__ import annotations

import numpy as np

from spanver.kernels import inverse_factor, update_inverse_factor
from spanver.learners.rounds import BaselineRun, run_rounds
from spanver.oracle import Oracle
from spanver.validation import require_positive
from spanver.values import FloatArray, Pair

_MAX_BLOCK = 1 << 22  # distances in memory at once


def elliptical_enumeration(oracle: Oracle, *, rounds: int, ridge: float, seed: int) -> BaselineRun:
    """Query the rewards of the least certain pair of all responses, in the full-table model (A3, T6; `[paper]`).

    Each round lists `Y`, queries both rewards of the pair of largest `||v||_{Sigma^-1}` over `Y x Y`, the first such
    pair in the order listed, and adds `v v^T` to `Sigma`, which starts at `ridge` times the identity.

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `enumerate` and `reward`.
    rounds : int
        `T`; `2 T` rewards, no sample, and `|Y| T` enumerated.
    ridge : float
        `lambda`.
    seed : int
        Not used, as for `passive_learner`.

    Returns
    -------
    BaselineRun
        Its policy is `LinearSoftmax`.

    Examples
    --------
    >>> from spanver.oracles.counted import counted_oracle
    >>> from spanver.exact.tabular import gap, log_law
    >>> from spanver.problems.families.covered_needle import covered_needle_problem
    >>> problem = covered_needle_problem(0, coverage=2.0**40, responses=16, dimension=4, beta=0.03)
    >>> oracle = counted_oracle(problem, seed=1, full_table=True)
    >>> run = elliptical_enumeration(oracle, rounds=4, ridge=1.0, seed=2)
    >>> gap(problem, log_law(problem, run.policy)) < 1e-6  # whatever the coverage
    True
    >>> oracle.ledger
    Ledger(samples=0, rewards=8, enumerated=64)
    """
    require_positive("ridge", ridge)
    factor = inverse_factor(ridge * np.eye(oracle.dimension))

    def pair(theta: FloatArray) -> Pair:
        nonlocal factor
        prompt = oracle.prompt()
        listed = oracle.enumerate(prompt)
        one, two = _furthest(listed.features @ factor.T)
        factor, _ = update_inverse_factor(factor, listed.features[one] - listed.features[two])
        return Pair(prompt, listed[one], listed[two])

    return run_rounds(oracle, rounds, pair, "reward")


def _furthest(points: FloatArray) -> tuple[int, int]:
    """Positions of the two points at the largest distance, of points of shape (n, d); block by block."""
    lengths = np.einsum("ij,ij->i", points, points)
    rows = max(1, _MAX_BLOCK // len(points))
    furthest, largest = (0, 0), -np.inf
    for begin in range(0, len(points), rows):
        block = points[begin : begin + rows]
        squares = lengths[begin : begin + rows, None] + lengths - 2.0 * (block @ points.T)
        position = int(np.argmax(squares))
        if squares.flat[position] > largest:
            largest = float(squares.flat[position])
            furthest = begin + position // len(points), position % len(points)
    return furthest
