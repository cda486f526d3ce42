"""Controls: the independent implementation, and variants of it that are as right and differ in what they may."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from spanver.oracle import Oracle
from spanver.subjects.contract import Subject
from spanver.values import Counts, FloatArray, IntArray, Pair, Prompt, Response, Score
from spanver.zoo.independent.baselines import best_of_n, online_dpo, passive_learner, xpo
from spanver.zoo.independent.exploration import (
    Moments,
    anchored_sampling,
    build_spanner,
    searched_pair,
    spanner_sampling,
    tried_anchored_pair,
    tried_pair,
)
from spanver.zoo.independent.losses import fit_preferences
from spanver.zoo.independent.mtss_steps import OTHER_ORDER, OWN_DRAWS
from spanver.zoo.independent.optimisers import accelerated_minimum, programmed_fit, shift_by_brent
from spanver.zoo.independent.oracle import Found, counted, counted_oracle, literal_oracle
from spanver.zoo.independent.precision import BFLOAT16, FLOAT32, FLOAT32_LEARNERS
from spanver.zoo.independent.regressions import augmented_fit, augmented_ridge, fit
from spanver.zoo.independent.samplers import (
    drawn_pilot,
    log_threshold,
    race_sample,
    race_size,
    searched,
    size_of,
    softmax_sample,
    softmax_sample_density,
    tried,
)
from spanver.zoo.independent.subject import INDEPENDENT
from spanver.zoo.mutant import Mutant, changed


def fewer(multiplier: float, failure: float) -> tuple[int, int]:
    """Half of A1's draws and trials, which is still enough for its law."""
    count = math.ceil(2.0 * multiplier * math.log(4.0 / failure))
    return count, count


def longer_pilot(multiplier: float, failure: float) -> tuple[int, int]:
    """A pilot half as long again, and half of the trials."""
    count = size_of(multiplier, failure)
    return count + count // 2, count - count // 2


def largest_seen(score: Score, pilot: Counts, beta: float, multiplier: float) -> float:
    """`log(M Z)`, or the largest log weight of the pilot if that is larger: then no weight seen is clipped."""
    seen = float(np.max(score.of(pilot.responses.features))) / beta
    return max(seen, log_threshold(score, pilot, beta, multiplier))


def in_halves(oracle: Oracle, prompt: Prompt, score: Score, threshold: float, limit: int, seed: int) -> Response | None:
    """Trials by two compressed queries."""
    first = searched(oracle, prompt, score, threshold, (limit + 1) // 2, seed)
    if first is not None or limit < 2:
        return first
    return searched(oracle, prompt, score, threshold, limit // 2, seed)


def in_growing_blocks(
    oracle: Oracle, prompt: Prompt, score: Score, threshold: float, limit: int, seed: int
) -> Response | None:
    """Trials by plain draws, each block twice as large as the one before, accepted from the last to the first."""
    generator = np.random.default_rng([seed, 13])
    size = 1
    while limit > 0:
        fresh = oracle.sample(prompt, min(size, limit))
        log_acceptance = score.of(fresh.features) / oracle.beta - threshold
        accepted = np.flatnonzero(-generator.exponential(size=len(fresh)) <= log_acceptance)
        if len(accepted) > 0:
            return fresh[int(accepted[-1])]
        limit, size = limit - len(fresh), 2 * size
    return None


def race_in_place(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    """A race of as many draws as A1 may take."""

    def draws(multiplier: float, failure: float) -> int:
        return 2 * size_of(multiplier, failure) + 1

    return race_sample(oracle, prompt, score, multiplier=multiplier, failure=failure, seed=seed, size=draws)


def running_race(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    """A race that keeps the best draw so far, by exponential numbers."""
    generator = np.random.default_rng([seed, 14])
    best, highest = None, -math.inf
    for _ in range(race_size(multiplier, failure)):
        drawn = oracle.sample(prompt, 1)
        key = float(score.of(drawn.features)[0]) / oracle.beta + generator.exponential()
        if best is None or key > highest:
            best, highest = drawn[0], key
    assert best is not None
    return best


def gumbel_draw(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """Draw by the largest of log probabilities with Gumbel noise."""
    with np.errstate(divide="ignore"):
        log_law = np.log(probabilities)
    noise = np.random.default_rng(seed).gumbel(size=(count, len(log_law)))
    return np.asarray(np.argmax(log_law + noise, axis=1))


def by_cholesky(moments: Moments, vector: FloatArray) -> FloatArray:
    """Precision from the factor of Sigma."""
    del vector
    root = np.linalg.inv(np.linalg.cholesky(moments.sigma))
    return np.asarray(root.T @ root)


def by_sherman_and_morrison(moments: Moments, vector: FloatArray) -> FloatArray:
    """Precision by a change of rank one."""
    side = moments.precision @ vector
    return np.asarray(moments.precision - np.outer(side, side) / (1.0 + vector @ side))


def pair_of_a_block(oracle: Oracle, prompt: Prompt, moments: Moments, nu: float, limit: int) -> Pair | None:
    """First uncertain pair, all pairs of the round drawn by one query."""
    drawn = oracle.sample(prompt, 2 * limit)
    uncertain = moments.norms(drawn.features[0::2] - drawn.features[1::2]) > nu
    if not uncertain.any():
        return None
    place = int(np.argmax(uncertain))
    return Pair(prompt, drawn[2 * place], drawn[2 * place + 1])


def pair_in_halves(oracle: Oracle, prompt: Prompt, moments: Moments, nu: float, limit: int) -> Pair | None:
    """First uncertain pair by two compressed queries."""
    first = searched_pair(oracle, prompt, moments, nu, (limit + 1) // 2)
    return searched_pair(oracle, prompt, moments, nu, limit // 2) if first is None and limit > 1 else first


def second_reward_first(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    """Difference of rewards, the second queried first."""
    subtracted = oracle.reward(prompt, two)
    return oracle.reward(prompt, one) - subtracted


def one_by_one(oracle: Oracle, prompt: Prompt) -> tuple[Response, Response]:
    """Two responses of the base policy in two queries."""
    return oracle.sample(prompt, 1)[0], oracle.sample(prompt, 1)[0]


def drawn_at_once(acceptance: FloatArray, law: FloatArray, width: int, limit: int, generator: Generator) -> Found:
    """Search in blocks of tries."""
    block = 64
    for start in range(0, limit, block):
        size = min(block, limit - start)
        responses = generator.choice(len(law), p=law, size=(size, width))
        accepted = np.flatnonzero(generator.random(size) < acceptance[tuple(responses.T)])
        if len(accepted) > 0:
            return [int(each) for each in responses[accepted[0]]], start + int(accepted[0]) + 1
    return None, limit


def chosen(law: FloatArray, count: int, generator: Generator) -> IntArray:
    """Draws of a law by NumPy's generator."""
    return np.asarray(generator.choice(len(law), p=law / law.sum(), size=count))


def tallied(law: FloatArray, count: int, generator: Generator) -> IntArray:
    """How often each response comes, from draws."""
    return np.bincount(generator.choice(len(law), p=law, size=count), minlength=len(law))


def geometric(chance: float, generator: Generator) -> int:
    """Number of tries by NumPy's generator."""
    return int(generator.geometric(min(1.0, chance)))


def _variant(
    name: str, change: str, holds: str, subject: Subject = INDEPENDENT, /, **functions: Callable[..., Any]
) -> Mutant:
    return changed(f"variant-independent-{name}", change, holds, subject, **functions)


# Right, and not A1 to the letter.
_OTHER_SAMPLER = replace(INDEPENDENT, claims=INDEPENDENT.claims - {"A1"})
_OTHER_RACE = replace(INDEPENDENT, claims=INDEPENDENT.claims - {"A1r"})
_SINGLE = replace(INDEPENDENT, precision="float32")

_SAMPLER = "R1 R2 R3 R5 R10"
_RATIO = "R1 R3 R8 R9 O3"
_SPANNER = "S1 S2 S3 S4 S5 S6 S7 S8 S9 O1 O3"
_EXPLORATION = "E1 E2 E3 E5 E6 E8 E9 S2 S4 R1 R2 R3 O3 T1 T2"
_MTSS = "MT4 MT5 MT7 MT10 T5"
_EVERY = (
    "I1 I2 I3 I4 I6 I7 I8 MT1 MT2 MT8 MT9 MT11 O1 O2 O3 O4 R1 R2 R3 R4 R5 R6 R8 R9 R10 S1 S2 S3 S4 S5 S6 S7 S8 S9 "
    "B1 B2 B3 E1 E2 E3 E4 E5 E6 E7 E8 E9 P1 P2 T1 T2 T6 H0 H2 H3 "
    f"{_MTSS}"
)

_own_trials = partial(softmax_sample, pilot=drawn_pilot, trials=tried)
_own_density = partial(softmax_sample_density, pilot=drawn_pilot, trials=tried)
_own_pairs = partial(build_spanner, search=tried_pair)

# fmt: off
CONTROLS: tuple[Mutant, ...] = (
    changed("variant-independent", "shares the vocabulary alone with the reference", _EVERY, INDEPENDENT),
    _variant("own-trials", "draws pilots and trials itself, in blocks of 16", _SAMPLER, softmax_sample=_own_trials),
    _variant("fewer-trials", "halves pilot and trials", _SAMPLER, _OTHER_SAMPLER,
        softmax_sample=partial(softmax_sample, sizes=fewer)),
    _variant("race-in-place", "samples by a race of 2N + 1 draws in place of rejection", _SAMPLER, _OTHER_SAMPLER,
        softmax_sample=race_in_place),
    _variant("ratio-of-own-trials", "draws pilots and trials itself, and has the ratio of its first N draws", _RATIO,
        softmax_sample_density=_own_density),
    _variant("ratio-of-longer-pilot", "draws a longer pilot and fewer trials itself, and has the ratio of that pilot",
        _RATIO, _OTHER_SAMPLER, softmax_sample_density=partial(_own_density, sizes=longer_pilot)),
    _variant("running-race", "races draw by draw, with exponential numbers", "R4", race_sample=running_race),
    _variant("longer-race", "races with four times the draws of A1r", "R4", _OTHER_RACE,
        race_sample=partial(race_sample, size=lambda multiplier, failure: race_size(4.0 * multiplier, failure))),
    _variant("brent", "fits by Brent's method on the multiplier", "E4 E6", fit=partial(fit, shift=shift_by_brent)),
    _variant("augmented", "solves regressions by QR of the features over the root of the ridge", "E4 E6 E7",
        fit=augmented_fit, ridge_regression=augmented_ridge),
    _variant("one-by-one", "draws the responses of a pair by two queries", "E6 O1 T1",
        passive_learner=partial(passive_learner, pair=one_by_one, difference=second_reward_first),
        best_of_n=partial(best_of_n, pair=one_by_one)),
    _variant("own-anchored-draws", "draws all tries relative to an anchor, pilots and trials itself", "E6 P2 R1 R3 S2",
        anchored_sampling=partial(anchored_sampling, search=tried_anchored_pair, sampler=_own_trials)),
    _variant("own-layered-draws", "draws pilots and trials of MTSS itself, where a list holds them", _MTSS,
        **OWN_DRAWS),
    _variant("other-mtss", "asks for rewards last, searches backwards, and rolls out no pair of the anchor", _MTSS,
        **OTHER_ORDER),
    _variant("blocks-of-tries", "draws the tries of a search in blocks, and counts by drawing", "O1 O2 O3",
        literal_oracle=partial(literal_oracle, search=drawn_at_once, pick=chosen, counts=tallied)),
    _variant("float32", "computes norms, laws, divergences and fits in float32",
        "I1 I2 I3 I4 I6 I7 I8 MT1 MT2 MT8 MT9 MT11 R5 S6 S8 H2 H3 B3 E2 E3 E4 E5 E6 E7 E8 E9 P1", _SINGLE, **FLOAT32),
    _variant("bfloat16", "rounds the arrays of norms, laws and divergences to bfloat16",
        "I1 I2 I3 I4 I6 I7 I8 MT1 MT2 MT8 MT9 MT11 R5 S6 S8 H2 H3 E2 E3 E4 E5 E8 E9",
        replace(INDEPENDENT, precision="bfloat16"), **BFLOAT16),
)
"""Controls, by the guarantees that their difference touches."""

MEASURED: tuple[Mutant, ...] = (
    _variant("gumbel", "draws by Gumbel noise", "R6", draw=gumbel_draw),
    _variant("accelerated", "minimises by accelerated projected gradients", "E6 O1 P1",
        fit_preferences=partial(fit_preferences, minimise=accelerated_minimum),
        online_dpo=partial(online_dpo, minimise=accelerated_minimum), xpo=partial(xpo, minimise=accelerated_minimum)),
    _variant("own-trials-one-by-one", "draws pilots and trials itself, trial by trial", _SAMPLER,
        softmax_sample=partial(_own_trials, trials=partial(tried, block=1))),
    _variant("growing-blocks", "draws trials in blocks that double, and takes the last accepted", _SAMPLER,
        softmax_sample=partial(_own_trials, trials=in_growing_blocks)),
    _variant("trials-in-halves", "draws the pilot, and makes trials by two queries", _SAMPLER,
        softmax_sample=partial(softmax_sample, pilot=drawn_pilot, trials=in_halves)),
    _variant("fewer-own-trials", "halves pilot and trials, which it draws itself", _SAMPLER, _OTHER_SAMPLER,
        softmax_sample=partial(_own_trials, sizes=fewer)),
    _variant("longer-pilot", "draws a pilot half as long again, and makes half of the trials", _SAMPLER, _OTHER_SAMPLER,
        softmax_sample=partial(softmax_sample, sizes=longer_pilot)),
    _variant("longer-own-pilot", "draws a longer pilot and fewer trials itself", _SAMPLER, _OTHER_SAMPLER,
        softmax_sample=partial(_own_trials, sizes=longer_pilot)),
    _variant("largest-weight", "rejects at the largest weight of the pilot, where that exceeds M Z", _SAMPLER,
        _OTHER_SAMPLER, softmax_sample=partial(softmax_sample, threshold=largest_seen)),
    _variant("own-pairs", "draws pairs one by one", _SPANNER, build_spanner=_own_pairs),
    _variant("pairs-of-a-block", "draws and pays for all pairs of a round at once", _SPANNER,
        build_spanner=partial(build_spanner, search=pair_of_a_block)),
    _variant("pairs-in-halves", "searches for pairs by two queries", _SPANNER,
        build_spanner=partial(build_spanner, search=pair_in_halves)),
    _variant("second-reward-first", "queries the reward of the second response first", _SPANNER,
        build_spanner=partial(build_spanner, difference=second_reward_first)),
    _variant("cholesky", "inverts Sigma by its factor", _SPANNER,
        build_spanner=partial(build_spanner, moments=partial(Moments, renewed=by_cholesky))),
    _variant("sherman-morrison", "updates the inverse of Sigma by Sherman and Morrison", _SPANNER,
        build_spanner=partial(_own_pairs, moments=partial(Moments, renewed=by_sherman_and_morrison))),
    _variant("own-learner", "draws all pairs, pilots and trials of a learner itself", _EXPLORATION,
        spanner_sampling=partial(spanner_sampling, phase_one=_own_pairs, sampler=_own_trials)),
    _variant("other-learner", "explores by blocks, a race in place of rejection, and Brent's method", _EXPLORATION,
        _OTHER_SAMPLER, spanner_sampling=partial(
            spanner_sampling, phase_one=partial(build_spanner, search=pair_of_a_block), sampler=race_in_place,
            difference=second_reward_first, fit=partial(fit, shift=shift_by_brent))),
    _variant("programmed", "fits by sequential quadratic programming", "E4 E6", fit=programmed_fit),
    _variant("geometric", "draws the number of tries as NumPy's generators do", "O1 O2 O3",
        counted_oracle=partial(counted_oracle, search=partial(counted, tries=geometric), pick=chosen)),
    _variant("float32-learners", "sums, inverts and fits in float32 while it explores",
        f"{_EXPLORATION} {_SPANNER} {_MTSS}", _SINGLE, **FLOAT32_LEARNERS),
)
"""Controls that take longer, which `benchmarks.false_alarms` alone runs."""
