"""Correct controls: as right as the reference, and different."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import scipy.special
from scipy.linalg import qr

from spanver.learners.race_sampler import race_sample, race_size
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner_sampling import spanner_sampling
from spanver.oracle import Oracle
from spanver.oracles import literal_oracle
from spanver.values import FloatArray, IntArray, Prompt, Response, Score
from spanver.zoo.algebra import covariance
from spanver.zoo.baselines import DPO, XPO, baseline, enumeration
from spanver.zoo.exploration import phase_two
from spanver.zoo.mutant import Mutant
from spanver.zoo.oracle_searches import searching_oracle
from spanver.zoo.regressions import bisected_fit, scores
from spanver.zoo.sampler import drawn_sampler, sampler
from spanver.zoo.spanner import each_pair, pairs_in_one_block, phase_one, search
from spanver.zoo.spanning_sets import covering, greedy_start, swapped_members

__all__ = ["CONTROLS"]

_SPANNER = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "O1", "O3")
_EXPLORATION = ("E1", "E2", "E3", "E5", "E6", "S2", "S4", "R1", "R2", "R3", "O3", "T1", "T2")


def _inverted(ridge: float, dimension: int, vectors: Sequence[FloatArray]) -> FloatArray:
    precision = np.linalg.inv(covariance(ridge, dimension, vectors[::-1]))
    return (precision + precision.T) / 2


def _backwards(one: Response, two: Response) -> FloatArray:
    dimensions = range(len(one.features) - 1, -1, -1)
    return np.array([one.features[k] - two.features[k] for k in dimensions])[::-1]


def _second_reward_first(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    subtracted = oracle.reward(prompt, two)
    return oracle.reward(prompt, one) - subtracted


def _solved_norms(vectors: FloatArray, sigma: FloatArray) -> FloatArray:
    values, basis = np.linalg.eigh(sigma)
    norms: FloatArray = np.linalg.norm(vectors @ basis / np.sqrt(values), axis=1)
    return norms


def _damped_fit(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Newton's method on the multiplier, each step a solve, as in trust-region methods."""
    scale = float(np.abs(features).max(initial=0.0))
    if scale == 0.0:
        return np.zeros(features.shape[1])
    left, values, basis = np.linalg.svd(features / scale, full_matrices=False)
    kept = values > 1e-12 * values[0]
    gram, moment = np.diag(values[kept] ** 2), values[kept] * (left.T @ targets)[kept]
    multiplier, ball = 0.0, radius * scale
    for _ in range(200):
        shifted = gram + multiplier * np.eye(len(moment))
        theta = np.linalg.solve(shifted, moment)
        norm = float(np.linalg.norm(theta))
        if norm <= ball * (1 + 1e-15):
            break
        step = (norm - ball) / ball * norm**2 / float(theta @ np.linalg.solve(shifted, theta))
        if multiplier + step == multiplier:
            break
        multiplier += step
    result: FloatArray = basis[kept].T @ (theta / scale)
    return result


def _pivoted_start(vectors: FloatArray, rank: int) -> list[int]:
    pivots: list[int] = qr(vectors.T, mode="r", pivoting=True)[1].tolist()
    return pivots[:rank]


_SAMPLER = ("R1", "R2", "R3", "R5")


def _alias(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """Draw by Walker's table of aliases."""
    size = len(probabilities)
    kept, alias = probabilities * size, np.arange(size)
    small, large = list(np.flatnonzero(kept < 1.0)), list(np.flatnonzero(kept >= 1.0))
    while small and large:
        less, more = small.pop(), large.pop()
        alias[less] = more
        kept[more] -= 1.0 - kept[less]
        (small if kept[more] < 1.0 else large).append(more)
    generator = np.random.default_rng(seed)
    columns = generator.integers(size, size=count)
    drawn: IntArray = np.where(generator.random(count) < kept[columns], columns, alias[columns])
    return drawn


def _choice(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    drawn: IntArray = np.random.default_rng(seed).choice(len(probabilities), size=count, p=probabilities)
    return drawn


def _running_race(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    generator = np.random.default_rng(seed)
    best, winner = -np.inf, None
    for _ in range(race_size(multiplier, failure)):
        drawn = oracle.sample(prompt, 1)
        key = float(score.of(drawn.features)[0]) / oracle.beta + generator.exponential()  # -log U is exponential
        if key > best:
            best, winner = key, drawn[0]
    assert winner is not None
    return winner


def _stable_softmax(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    exponents = log_base + (scores - scores.max()) / beta
    normalised: FloatArray = exponents - np.logaddexp.reduce(exponents[::-1])
    return normalised


CONTROLS: tuple[Mutant, ...] = (
    Mutant("variant-sampler", "A1 with every step in the open", _SAMPLER, {"softmax_sample": sampler}),
    Mutant(
        "variant-own-trials",
        "A1 by plain draws, accepted by its own random numbers",
        _SAMPLER,
        {"softmax_sample": drawn_sampler},
    ),
    Mutant(
        "variant-reused-pilot",
        "the trials are the pilot's draws: seen in the ledger alone",
        ("R1", "R2", "R3"),
        {"softmax_sample": partial(drawn_sampler, reuse=True)},
    ),
    Mutant(
        "variant-blocks-of-trials",
        "A1 by plain draws in blocks of three, so that trials cost what is drawn ahead",
        _SAMPLER,
        {"softmax_sample": partial(drawn_sampler, block=3)},
    ),
    Mutant(
        "variant-running-race",
        "the race draw by draw, with exponential keys in place of logarithms of uniform numbers",
        ("R4",),
        {"race_sample": _running_race},
    ),
    Mutant("variant-choice", "draws as NumPy's generators do", ("R6",), {"draw": _choice}),
    Mutant("variant-alias", "draws by a table of aliases", ("R6",), {"draw": _alias}),
    Mutant(
        "variant-softmax",
        "the normaliser summed backwards",
        ("I1", "I2", "I3", "I4", "R5"),
        {"log_softmax": _stable_softmax},
    ),
    Mutant(
        "variant-scipy",
        "the softmax of SciPy",
        ("I1", "I2", "I3", "I4", "R5"),
        {"log_softmax": lambda log_base, scores, beta: scipy.special.log_softmax(log_base + scores / beta)},
    ),
    Mutant(
        "variant-dense-search",
        "counted searches over the table of all pairs",
        ("O1", "O2", "O3"),
        {"counted_oracle": searching_oracle},
    ),
    Mutant("variant-drawn-counts", "counted draws are drawn", ("O1", "O2", "O3"), {"counted_oracle": literal_oracle}),
    Mutant(
        "variant-pair-by-pair",
        "draws pair by pair, and keeps Sigma's inverse by Sherman and Morrison",
        _SPANNER,
        {"build_spanner": phase_one},
    ),
    Mutant(
        "variant-blocks",
        "draws and pays for all pairs of a round at once",
        _SPANNER,
        {"build_spanner": partial(phase_one, pairs=pairs_in_one_block)},
    ),
    Mutant(
        "variant-inverted",
        "asks the compressed question, and inverts Sigma, summed from the last pair to the first",
        _SPANNER,
        {"build_spanner": partial(phase_one, pairs=search, precision=_inverted)},
    ),
    Mutant(
        "variant-ties",
        "accepts a pair whose norm is nu",
        _SPANNER,
        {
            "build_spanner": partial(
                phase_one,
                pairs=partial(each_pair, accepts=lambda v, p, nu: math.sqrt(max(0.0, float(v @ p @ v))) >= nu),
            )
        },
    ),
    Mutant(
        "variant-backwards",
        "sums features from the last to the first, and asks the second reward first",
        _SPANNER,
        {
            "build_spanner": partial(
                phase_one, pairs=partial(each_pair, relative=_backwards), target=_second_reward_first
            )
        },
    ),
    Mutant("variant-norms", "measures norms in the eigenbasis of Sigma", ("S8",), {"elliptic_norms": _solved_norms}),
    Mutant("variant-bisection", "fits by bisection of the multiplier", ("E4", "E6"), {"fit": bisected_fit}),
    Mutant("variant-newton", "fits as trust-region methods do", ("E4", "E6"), {"fit": _damped_fit}),
    Mutant("variant-scores", "truncates by the definition", ("E2", "E3", "E5"), {"truncated_scores": scores}),
    Mutant("variant-phase-two", "explores by another implementation", _EXPLORATION, {"spanner_sampling": phase_two}),
    Mutant(
        "variant-rewards-backwards",
        "asks the reward of the second response first",
        _EXPLORATION,
        {"spanner_sampling": partial(phase_two, target=_second_reward_first)},
    ),
    Mutant(
        "variant-race",
        "samples by the race in place of rejection, so that the exact law of A1 does not apply",
        # It has no trials, and draws all it asks for.
        tuple(name for name in _EXPLORATION if name not in ("R2", "R3", "T2")),
        {"spanner_sampling": partial(spanner_sampling, sampler=race_sample)},
    ),
    Mutant(
        "variant-bisecting-learner",
        "fits by bisection in the learner",
        tuple(name for name in _EXPLORATION if name not in ("R1", "R3")),  # how responses are drawn is the same
        {"spanner_sampling": partial(spanner_sampling, sampler=softmax_sample, fit=bisected_fit)},
    ),
    Mutant(
        "variant-pivoted",
        "starts barycentric spanners from a pivoted QR, and swaps at the root of C",
        ("B1", "B2"),
        {"barycentric_spanner": partial(swapped_members, start=_pivoted_start, factor=math.sqrt)},
    ),
    Mutant(
        "variant-unsorted",
        "starts barycentric spanners from the first independent members",
        ("B1", "B2"),
        {"barycentric_spanner": swapped_members},
    ),
    Mutant(
        "variant-greedy-start",
        "starts barycentric spanners greedily and swaps place after place",
        ("B1", "B2"),
        {"barycentric_spanner": partial(swapped_members, start=greedy_start)},
    ),
    Mutant(
        "variant-baselines",
        "the baselines in plain loops",
        ("E6", "O1", "T1", "T6"),
        {
            "passive_learner": baseline,
            "online_dpo": DPO,
            "xpo": XPO,
            "elliptical_enumeration": enumeration,
            "best_of_n": baseline,
        },
    ),
    Mutant("variant-covering", "covers with Sigma inverted afresh", ("B3",), {"covering_list": covering}),
)
"""Correct controls, by the guarantees that their difference touches."""
