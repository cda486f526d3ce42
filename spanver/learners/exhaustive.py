"""Exhaustive search: a proper learner that needs few rewards and looks at every corner of the box (A3; `[ours]`)."""

from __future__ import annotations

import itertools

import numpy as np

from spanver.learners.feedback import target_of
from spanver.learners.rounds import BaselineRun
from spanver.oracle import Oracle
from spanver.parameter_sets import Box
from spanver.policies import LinearSoftmax
from spanver.validation import require, require_count
from spanver.values import FloatArray

LARGEST_DIMENSION = 16
"""Most dimensions whose corners are all looked at."""
_TIE = 1e-9  # of a sum of squares: data without noise tell corners apart by far more


def exhaustive_search(oracle: Oracle, *, rounds: int, draws: int, seed: int) -> BaselineRun:
    """Draw pairs from the most promising corner of the box that no reward contradicts.

    First every corner `theta in {-b, b}^d`, `b = B/sqrt(d)`, is drawn from, without rewards: what it promises is the
    mean of `<theta, phi>` over its own draws, less that over as many of the base policy. Then each round draws both
    responses from `pi_theta` of the corner that promises most among those of the least squared error. Where a corner
    realizes the rewards without noise, few rounds are needed, as one that promises too much is found out by its own
    draws. The price is in `2^d draws` samples.

    Parameters
    ----------
    oracle : Oracle
        Of one prompt, with the strong oracle.
    rounds : int
        `T`; `2 T` rewards.
    draws : int
        From each corner.
    seed : int
        Not used, as for `online_dpo`.

    Returns
    -------
    BaselineRun
        Its policy is that of the corner that would be drawn from next.

    Raises
    ------
    ArgumentError
        For more than `LARGEST_DIMENSION` dimensions.
    """
    require_count("rounds", rounds)
    require_count("draws", draws)
    dimension = oracle.dimension
    require(dimension <= LARGEST_DIMENSION, "the dimension", dimension, f"at most {LARGEST_DIMENSION}")
    width = Box(oracle.radius).half_width(dimension)
    corners = width * np.array(list(itertools.product((1.0, -1.0), repeat=dimension)))
    prompt = oracle.prompt()
    usual = oracle.sample(prompt, draws).features.mean(axis=0)
    means = np.array([oracle.sample(prompt, draws, theta=theta).features.mean(axis=0) for theta in corners])
    promise = np.einsum("cd,cd->c", corners, means - usual)

    errors = np.zeros(len(corners))
    thetas, vectors, targets = np.zeros((rounds, dimension)), np.zeros((rounds, dimension)), np.zeros(rounds)
    for done in range(rounds):
        theta = thetas[done] = corners[_most_promising(promise, errors)]
        prompt = oracle.prompt()
        drawn = oracle.sample(prompt, 2, theta=theta)
        one, two = drawn[0], drawn[1]
        vectors[done] = one.features - two.features
        targets[done] = target_of(oracle, prompt, one, two, "reward")
        errors += (corners @ vectors[done] - targets[done]) ** 2
    return BaselineRun(LinearSoftmax(corners[_most_promising(promise, errors)]), thetas, vectors, targets)


def _most_promising(promise: FloatArray, errors: FloatArray) -> int:
    possible = errors <= errors.min() + _TIE
    return int(np.argmax(np.where(possible, promise, -np.inf)))
