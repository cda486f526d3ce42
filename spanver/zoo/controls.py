"""Controls: implementations as right as the reference, and different, which must survive."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy.special
from scipy.linalg import qr

from spanver.learners.least_squares import fit_on
from spanver.learners.race_sampler import race_sample, race_size
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner_sampling import spanner_sampling
from spanver.oracle import Oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball, ParameterSet
from spanver.values import FloatArray, IntArray, Prompt, Response, Score
from spanver.zoo.algebra import covariance, symmetric_inverse
from spanver.zoo.anchors import RUN_WITH_ANCHORS, stored_anchors
from spanver.zoo.baselines import DPO, XPO, baseline, enumeration
from spanver.zoo.density import sampler_with_ratio
from spanver.zoo.exploration import phase_two
from spanver.zoo.layered import policy_values, soft_values
from spanver.zoo.mtss import fitted, run, searched
from spanver.zoo.mutant import Mutant, changed
from spanver.zoo.oracle_searches import searching_oracle
from spanver.zoo.preferences import RUN_OF_LABELS, fit_of_labels, label, told
from spanver.zoo.regressions import bisected_fit, bounded_fit, scores
from spanver.zoo.sampler import drawn_sampler, sampler
from spanver.zoo.spanner import each_pair, pairs_in_one_block, phase_one, search
from spanver.zoo.spanning_sets import covering, greedy_start, swapped_members


def _inverted(ridge: float, dimension: int, vectors: Sequence[FloatArray]) -> FloatArray:
    return symmetric_inverse(covariance(ridge, dimension, vectors[::-1]))


def _backwards(one: Response, two: Response) -> FloatArray:
    return np.array([a - b for a, b in zip(one.features[::-1], two.features[::-1], strict=True)])[::-1]


def _second_reward_first(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    subtracted = oracle.reward(prompt, two)
    return oracle.reward(prompt, one) - subtracted


def _solved_norms(vectors: FloatArray, sigma: FloatArray) -> FloatArray:
    values, basis = np.linalg.eigh(sigma)
    return np.asarray(np.linalg.norm(vectors @ basis / np.sqrt(values), axis=1))


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
    return np.asarray(basis[kept].T @ (theta / scale))


def _bisected_on(features: FloatArray, targets: FloatArray, parameters: ParameterSet) -> FloatArray:
    if not isinstance(parameters, Ball):
        return fit_on(features, targets, parameters)
    return bisected_fit(features, targets, parameters.radius)


def _pivoted_start(vectors: FloatArray, rank: int) -> list[int]:
    pivots: list[int] = qr(vectors.T, mode="r", pivoting=True)[1].tolist()
    return pivots[:rank]


def _alias(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """Draw by Walker's table of aliases."""
    size = len(probabilities)
    share, alias = np.asarray(probabilities, dtype=np.float64) * size, np.arange(size)
    small, large = list(np.flatnonzero(share < 1.0)), list(np.flatnonzero(share >= 1.0))
    while small and large:
        less, more = small.pop(), large.pop()
        alias[less] = more
        share[more] -= 1.0 - share[less]
        (small if share[more] < 1.0 else large).append(more)
    generator = np.random.default_rng(seed)
    columns = generator.integers(size, size=count)
    return np.asarray(np.where(generator.random(count) < share[columns], columns, alias[columns]))


def _choice(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    return np.asarray(np.random.default_rng(seed).choice(len(probabilities), size=count, p=probabilities))


def _distinct_choice(weights: FloatArray, count: int, seed: int) -> IntArray:
    law = np.asarray(weights, dtype=np.float64)
    law = law / law.max()
    generator = np.random.default_rng(seed)
    return np.asarray(generator.choice(len(law), size=count, replace=False, p=law / law.sum()))


def _gumbel(logits: FloatArray, count: int, seed: int) -> IntArray:
    noise = np.random.default_rng(seed).gumbel(size=(count, len(logits)))
    return np.asarray(np.argmax(np.asarray(logits, dtype=np.float64) + noise, axis=1))


def _from_counts(weights: FloatArray, count: int, seed: int) -> IntArray:
    """How often each outcome comes, and then their order."""
    law, generator = np.asarray(weights, dtype=np.float64), np.random.default_rng(seed)
    law = law / law.max()
    return generator.permutation(np.arange(len(law)).repeat(generator.multinomial(count, law / law.sum())))


def _all_rows_at_once(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    sums = np.cumsum(probabilities, axis=1, dtype=np.float64)
    uniforms = np.random.default_rng(seed).random((len(sums), count)) * sums[:, -1:]
    return np.asarray((sums[:, None, :] <= uniforms[:, :, None]).sum(axis=2))


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
    return np.asarray(exponents - np.logaddexp.reduce(exponents[::-1]))


def _not_below(vector: FloatArray, precision: FloatArray, nu: float) -> bool:
    return math.sqrt(max(0.0, float(vector @ precision @ vector))) >= nu


def _control(name: str, change: str, holds: str, **functions: Callable[..., Any]) -> Mutant:
    return changed(f"variant-{name}", change, holds, **functions)


_SPANNER = "S1 S2 S3 S4 S5 S6 S7 S8 O1 O3"
_EXPLORATION = "E1 E2 E3 E5 E6 E8 E9 S2 S4 R1 R2 R3 O3 T1 T2"

# fmt: off
CONTROLS: tuple[Mutant, ...] = (
    _control("sampler", "writes A1 anew with every step in the open", "R1 R2 R3 R5 R10", softmax_sample=sampler),
    _control("own-trials", "accepts plain draws of A1 by its own random numbers", "R1 R2 R3 R5 R10",
        softmax_sample=drawn_sampler),
    _control("reused-pilot", "reuses the draws of the pilot as trials, which only the ledger shows", "R1 R2 R3 R10",
        softmax_sample=partial(drawn_sampler, reuse=True)),
    _control("blocks-of-trials", "draws trials of A1 in blocks of three, so that they cost what is drawn ahead",
        "R1 R2 R3 R5 R10", softmax_sample=partial(drawn_sampler, block=3)),
    _control("ratio", "writes A1 with its density ratio anew, with every step in the open", "R1 R3 R8 R9 O3 C-A1",
        softmax_sample_density=sampler_with_ratio),
    _control("running-race", "races draw by draw, with exponential keys in place of logarithms of uniform numbers",
        "R4 C-A1r", race_sample=_running_race),
    _control("choice", "draws as NumPy's generators do", "R6", draw=_choice),
    _control("alias", "draws by a table of aliases", "R6", draw=_alias),
    _control("counts", "draws how often each outcome comes, and then their order", "R6", draw_weights=_from_counts),
    _control("gumbel", "adds Gumbel noise to logits", "R6", draw_logits=_gumbel),
    _control("rows-at-once", "draws all rows of a batch at once", "R6", draw_batch=_all_rows_at_once),
    _control("distinct-choice", "draws without replacement as NumPy's generators do", "R7",
        draw_distinct=_distinct_choice),
    _control("softmax", "sums the normaliser backwards", "I1 I2 I3 I4 R5 H2 H3", log_softmax=_stable_softmax),
    _control("scipy", "takes the softmax of SciPy", "I1 I2 I3 I4 R5 H2 H3",
        log_softmax=lambda log_base, scores, beta: scipy.special.log_softmax(log_base + scores / beta)),
    _control("dense-search", "searches over the table of all pairs", "O1 O2 O3", counted_oracle=searching_oracle),
    _control("drawn-counts", "draws what it counts", "O1 O2 O3", counted_oracle=literal_oracle),
    _control("pair-by-pair", "draws pair by pair, and updates Sigma's inverse by Sherman and Morrison", _SPANNER,
        build_spanner=phase_one),
    _control("blocks", "draws and pays for all pairs of a round at once", _SPANNER,
        build_spanner=partial(phase_one, pairs=pairs_in_one_block)),
    _control("inverted", "searches by rule, and inverts Sigma, summed from the last pair to the first", _SPANNER,
        build_spanner=partial(phase_one, pairs=search, precision=_inverted)),
    _control("ties", "accepts a pair whose norm is nu", _SPANNER,
        build_spanner=partial(phase_one, pairs=partial(each_pair, accepts=_not_below))),
    _control("backwards", "subtracts features from the last to the first, and queries the second reward first",
        _SPANNER,
        build_spanner=partial(phase_one, pairs=partial(each_pair, relative=_backwards), target=_second_reward_first)),
    _control("norms", "measures norms in the eigenbasis of Sigma", "S8", elliptic_norms=_solved_norms),
    _control("bisection", "fits by bisection of the multiplier", "E4 E6", fit=bisected_fit),
    _control("bounded", "fits in the box by SciPy", "E6", box_fit=bounded_fit),
    _control("newton", "fits as trust-region methods do", "E4 E6", fit=_damped_fit),
    _control("scores", "truncates by the definition", "E2 E3 E5 E8 E9", truncated_scores=scores),
    _control("labels-backwards", "explores in another way, and asks whether the second response is preferred", "P1 S2",
        preference_sampling=partial(RUN_OF_LABELS, target=lambda oracle, prompt, one, two: -label(
            oracle, prompt, two, one))),
    _control("anchors", "explores relative to anchors in another way, and queries the reward of the anchor first",
        "P2 E6 S2 R1 R3 E8 E9 C-A2", anchored_sampling=partial(RUN_WITH_ANCHORS, target=_second_reward_first)),
    _control("stored-anchors", "asks for the anchor of a prompt once", "P2 E6 S2 R1 R3 E8 E9 C-A2",
        anchored_sampling=stored_anchors),
    _control("fit-of-labels", "adds a ridge of 0 to the loss of labels", "P1", fit_preferences=fit_of_labels),
    _control("told", "passes on what the reference tells", "O1 O2 O4",
        generalised_oracle=told),
    _control("phase-two", "explores by another implementation", _EXPLORATION, spanner_sampling=phase_two),
    _control("rewards-backwards", "queries the reward of the second response first", _EXPLORATION,
        spanner_sampling=partial(phase_two, target=_second_reward_first)),
    # The race has no trials and no pilot: R2 and R3 do not apply, and it draws more than T2 allows.
    _control("race", "samples by the race in place of rejection", "E1 E2 E3 E5 E6 E8 E9 S2 S4 R1 O3 T1",
        spanner_sampling=partial(spanner_sampling, sampler=race_sample)),
    # R1 and R3 see how responses are drawn, which is as in the reference.
    _control("bisecting-learner", "fits by bisection in the learner", "E1 E2 E3 E5 E6 E8 E9 S2 S4 R2 O3 T1 T2",
        spanner_sampling=partial(spanner_sampling, sampler=softmax_sample, fit=_bisected_on)),
    _control("pivoted", "starts barycentric spanners from a pivoted QR, and swaps at the root of C", "B1 B2",
        barycentric_spanner=partial(swapped_members, start=_pivoted_start, factor=math.sqrt)),
    _control("unsorted", "starts barycentric spanners from the first independent members", "B1 B2",
        barycentric_spanner=swapped_members),
    _control("greedy-start", "starts barycentric spanners greedily and swaps place after place", "B1 B2",
        barycentric_spanner=partial(swapped_members, start=greedy_start)),
    _control("baselines", "writes the baselines as plain loops", "E6 O1 T1 T6 H0 H2",
        passive_learner=baseline, online_dpo=DPO, xpo=XPO, elliptical_enumeration=enumeration, best_of_n=baseline),
    _control("covering", "covers with Sigma inverted afresh", "B3", covering_list=covering),
    _control("mtss", "runs MTSS pair by pair", "MT4 MT5 MT6 MT7 MT10 E6 O1 T5",
        fit_value=fitted, uncertain_state_action=searched, mtss=run),
    _control("values", "takes the recursions of values with logsumexp", "I6 I7 MT1 MT2 MT9 MT11", soft_q=soft_values,
        policy_q=policy_values),
)
"""Controls, by the guarantees that their difference touches."""
