"""Mutants of the samplers A1 and A1r: what R1-R5 must kill.

`sampler` and `drawn_sampler` are A1 and `race` is A1r, written anew: each step in which a mutant differs is an
argument. Unmutated they are as right as the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from spanver.errors import BudgetExceededError
from spanver.kernels import log_normaliser
from spanver.learners.race_sampler import race_size
from spanver.learners.softmax_sampler import sampler_trials, softmax_sample
from spanver.oracle import Oracle
from spanver.randomness import stream
from spanver.values import Counts, FloatArray, Prompt, RejectionRule, Response, Responses, Score
from spanver.zoo.algebra import base_response
from spanver.zoo.mutant import Mutant, mutants_of


def log_mean(pilot: Counts, score: Score, beta: float) -> float:
    """Logarithm of the pilot's mean weight."""
    shares = np.log(pilot.counts / pilot.counts.sum())
    return float(log_normaliser(shares, score.of(pilot.responses.features), beta))


def sampler(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int = 0,
    size: Callable[[float, float], int] = sampler_trials,
    mean: Callable[[Counts, Score, float], float] = log_mean,
    threshold: Callable[[float, float], float] = lambda multiplier, log_z: math.log(multiplier) + log_z,
    rule_score: Callable[[Score, float], Score] = lambda score, _: score,
    limit: Callable[[int], int] = lambda trials: trials,
    pilots: int = 1,
    finish: Callable[[Oracle, Prompt, Counts, Score], Response] = base_response,
    keep: Callable[[Oracle, Prompt, Counts, Score, Response], Response] = lambda *parts: parts[-1],
) -> Response:
    """A1, with every step in the open."""
    del seed  # all randomness is the oracle's
    score = rule_score(score, oracle.beta)
    trials = size(multiplier, failure)
    for _ in range(pilots):
        pilot = oracle.sample_counts(prompt, trials)
    rule = RejectionRule(score, threshold(multiplier, mean(pilot, score, oracle.beta)))
    found = oracle.sample_until(prompt, rule, limit(trials))
    if found.responses is None:
        return finish(oracle, prompt, pilot, score)
    return keep(oracle, prompt, pilot, score, found.responses[0])


def drawn_sampler(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int,
    log_weights: Callable[[FloatArray], FloatArray] = lambda exponents: exponents,
    stream_seed: Callable[[int], int] = lambda seed: seed,
    accepts: Callable[[FloatArray, FloatArray], Any] = lambda log_uniforms, acceptance: log_uniforms <= acceptance,
    block: int | None = None,
    reuse: bool = False,
    finish: Callable[[Oracle, Prompt, Responses], Response] = base_response,
    swallowed: tuple[type[Exception], ...] = (),
) -> Response:
    """A1 by plain draws, in blocks, and uniforms of its own; with `reuse` the trials are the pilot's draws.

    After an error that is swallowed, in a trial, it returns a response that it has.
    """
    trials = sampler_trials(multiplier, failure)
    pilot = oracle.sample(prompt, trials)
    generator = stream(stream_seed(seed), "acceptance")
    exponents = log_weights(score.of(pilot.features) / oracle.beta)
    peak = float(exponents.max())
    threshold = math.log(multiplier) + peak + math.log(float(np.exp(exponents - peak).mean()))
    tried = pilot
    for start in range(0, trials, block or trials):
        try:
            tried = pilot if reuse else oracle.sample(prompt, min(block or trials, trials - start))
        except swallowed:
            return tried[0]
        acceptance = log_weights(score.of(tried.features) / oracle.beta) - threshold
        accepted = np.flatnonzero(accepts(np.log1p(-generator.random(len(tried))), acceptance))
        if len(accepted) > 0:
            return tried[int(accepted[0])]
    return finish(oracle, prompt, tried)


def resampled(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    """One of `2N` draws by their weights, of which none is above the mean times the root of their number."""
    size = 2 * sampler_trials(multiplier, failure)
    pool = oracle.sample_counts(prompt, size)
    exponents = score.of(pool.responses.features) / oracle.beta
    weights = np.exp(exponents - exponents.max())
    weights = np.minimum(weights, float(pool.counts @ weights) / math.sqrt(size))
    law = pool.counts * weights
    return pool.responses[int(stream(seed, "resampling").choice(len(law), p=law / law.sum()))]


def race(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int,
    size: Callable[[float, float], int] = race_size,
    key: Callable[[FloatArray, FloatArray], FloatArray] = lambda exponents, uniforms: exponents - np.log(uniforms),
    beta: Callable[[float], float] = lambda beta: beta,
) -> Response:
    """A1r: the response of largest key."""
    responses = oracle.sample(prompt, size(multiplier, failure))
    uniforms = 1.0 - stream(seed, "race").random(len(responses))
    return responses[int(np.argmax(key(score.of(responses.features) / beta(oracle.beta), uniforms)))]


def adjusted_sampler(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int,
    rule_score: Callable[[Score, float], Score] = lambda score, _: score,
    multiplier_of: Callable[[float], float] = lambda multiplier: multiplier,
    failure_of: Callable[[float], float] = lambda failure: failure,
) -> Response:
    """The reference's A1, called with other arguments."""
    multiplier, failure = multiplier_of(multiplier), failure_of(failure)
    return softmax_sample(
        oracle, prompt, rule_score(score, oracle.beta), multiplier=multiplier, failure=failure, seed=seed
    )


def times_beta(power: int) -> Callable[[Score, float], Score]:
    """Score times a power of beta."""
    return lambda score, beta: replace(score, theta=score.theta * beta**power)


def _times(factor: float) -> Callable[[Score, float], Score]:
    return lambda score, _: replace(score, theta=score.theta * factor)


def _mean_of_logs(pilot: Counts, score: Score, beta: float) -> float:
    return float(pilot.counts @ score.of(pilot.responses.features) / pilot.counts.sum()) / beta


def _mean_of_distinct(pilot: Counts, score: Score, beta: float) -> float:
    shares = np.full(len(pilot.counts), -math.log(len(pilot.counts)))
    return float(log_normaliser(shares, score.of(pilot.responses.features), beta))


def _median(pilot: Counts, score: Score, beta: float) -> float:
    scores = score.of(pilot.responses.features)
    order = np.argsort(scores)
    counts = np.cumsum(pilot.counts[order])
    return float(scores[order][np.searchsorted(counts, counts[-1] / 2)]) / beta


def _largest(pilot: Counts, score: Score, beta: float) -> float:
    return float(score.of(pilot.responses.features).max()) / beta


def _fraction(ratios: FloatArray) -> FloatArray:
    return np.where(ratios > 1.0, ratios % 1.0, ratios)


class EarlierMean:
    """The pilot's mean weight of an earlier call: of the first one, or of the one before."""

    def __init__(self, *, first: bool) -> None:
        self._first, self._stored = first, math.nan

    def __call__(self, pilot: Counts, score: Score, beta: float) -> float:
        """Logarithm of the earlier mean weight; in the first call of its own."""
        own = log_mean(pilot, score, beta)
        used = own if math.isnan(self._stored) else self._stored
        self._stored = used if self._first else own
        return used


def _of_pilot(choose: Callable[[Counts, Score], int], *, draws: int = 0) -> Callable[..., Response]:
    """Return a response of the pilot, after so many draws that are thrown away."""

    def chosen(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, *_: Response) -> Response:
        if draws:
            oracle.sample(prompt, draws)
        return pilot.responses[choose(pilot, score)]

    return chosen


def _best(pilot: Counts, score: Score) -> int:
    return int(np.argmax(score.of(pilot.responses.features)))


def _any(pilot: Counts, _: Score) -> int:
    return int(stream(int(pilot.counts[0]), "fallback").integers(len(pilot.counts)))


def _rewarded(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, accepted: Response) -> Response:
    del pilot, score
    return accepted if oracle.reward(prompt, accepted) > 0 else oracle.sample(prompt, 1)[0]


_softmax = mutants_of("softmax_sample", "sampler", sampler)
_by_drawing = mutants_of("softmax_sample", "sampler", drawn_sampler)
_race = mutants_of("race_sample", "race", race)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _softmax("no-normaliser", "drops the pilot's mean weight from the threshold", "C-A1",
        threshold=lambda multiplier, _: math.log(multiplier)),
    _softmax("no-multiplier", "drops the multiplier from the threshold", "C-A1", threshold=lambda _, log_z: log_z),
    _softmax("multiplier-squared", "multiplies the threshold by the multiplier twice", "C-A1",
        threshold=lambda multiplier, log_z: 2 * math.log(multiplier) + log_z),
    _softmax("multiplier-added", "adds the multiplier to the mean weight instead of multiplying", "R5",
        threshold=lambda multiplier, log_z: float(np.logaddexp(math.log(multiplier), log_z))),
    _softmax("mean-of-logs", "takes the mean of the log weights, not the log of their mean", "R3 C-A1",
        mean=_mean_of_logs),
    _softmax("mean-of-distinct", "counts every distinct response of the pilot once in its mean", "R3 C-A1",
        mean=_mean_of_distinct),
    _softmax("stale-mean", "takes the mean weight of the pilot of the call before", "R3 C-A1",
        mean=EarlierMean(first=False)),
    _softmax("first-mean", "takes the mean weight of the first pilot in all calls", "R3 C-A1",
        mean=EarlierMean(first=True)),
    _softmax("median", "takes the median of the pilot's weights", "R3 C-A1", mean=_median),
    _softmax("largest", "takes the largest weight of the pilot for the threshold", "C-A1",
        mean=_largest, threshold=lambda _, log_z: log_z),
    _softmax("half-pilot", "draws half of the pilot", "C-A1",
        size=lambda multiplier, failure: sampler_trials(multiplier, failure) // 2),
    _softmax("no-four", "forgets the factor 4 of N", "C-A1",
        size=lambda multiplier, failure: math.ceil(multiplier * math.log(4 / failure))),
    _softmax("log-of-failure", "has log(1/delta) in N for log(4/delta)", "C-A1",
        size=lambda multiplier, failure: math.ceil(4 * multiplier * math.log(1 / failure)) + 1),
    _softmax("twice-the-trials", "makes up to 2N trials", "R1", limit=lambda trials: 2 * trials),
    _softmax("half-the-trials", "gives up after N/2 trials", "C-A1", limit=lambda trials: trials // 2),
    _softmax("pilots-first", "falls back on the first response of the pilot", "C-A1", finish=_of_pilot(lambda *_: 0)),
    _softmax("pilots-best", "falls back on the best response of the pilot", "C-A1", finish=_of_pilot(_best, draws=1)),
    _softmax("pilots-any", "falls back on any distinct response of the pilot", "C-A1", finish=_of_pilot(_any, draws=1)),
    _softmax("two-pilots", "draws the pilot twice", "R1", pilots=2),
    _softmax("peeks", "replaces accepted responses of low reward", "R1", keep=_rewarded),
    _softmax("wrong-sign", "prefers low scores", "R2", rule_score=_times(-1.0)),
    _softmax("beta-for-inverse", "multiplies scores by beta, and does not divide them", "R2", rule_score=times_beta(2)),
    _softmax("without-beta", "does not divide scores by beta", "R3", rule_score=times_beta(1)),
    _softmax("weight-squared", "squares the weight", "R3", rule_score=_times(2.0)),
    _softmax("best-response", "returns the best response of the pilot, not a sample", "R2", keep=_of_pilot(_best)),
    _softmax("most-frequent", "returns the most frequent response of the pilot", "R3",
        keep=_of_pilot(lambda pilot, _: int(np.argmax(pilot.counts)))),
    _softmax("clipped-weights", "resamples the pool by weights of at most the mean times the root of its size", "R3",
        resampled),
    _softmax("base-policy", "throws away what was accepted, and returns a base response", "R3", keep=base_response),
    _by_drawing("one-stream", "accepts in all calls by the same uniform numbers", "R2 R3", stream_seed=lambda _: 0),
    _by_drawing("wrong-side", "accepts a trial when its uniform number is above the ratio", "R2 R3",
        accepts=lambda log_uniforms, acceptance: log_uniforms >= acceptance),
    _by_drawing("without-uniforms", "accepts a trial when its weight is above M Z, without randomness", "R2 R3",
        accepts=lambda _, acceptance: acceptance > 0),
    _by_drawing("uniform-not-logged", "compares the uniform number with the logarithm of the ratio", "R2 R3",
        accepts=lambda log_uniforms, acceptance: np.exp(log_uniforms) <= acceptance),
    _by_drawing("drops-clipped", "rejects a trial whose weight is above the threshold", "R10",
        accepts=lambda log_uniforms, acceptance: (log_uniforms <= acceptance) & (acceptance <= 0.0)),
    _by_drawing("fraction-of-clipped", "accepts a weight above the threshold by the fraction of the ratio", "R10",
        accepts=lambda log_uniforms, acceptance: np.exp(log_uniforms) <= _fraction(np.exp(acceptance))),
    _by_drawing("clipped-first", "takes the first trial whose weight is above the threshold, where there is one", "R10",
        accepts=lambda log_uniforms, acceptance:
            acceptance > 0.0 if (acceptance > 0.0).any() else log_uniforms <= acceptance),
    _by_drawing("first-rejected", "returns the first trial where none is accepted, not a fresh draw", "C-A1",
        finish=lambda *parts: parts[-1][0]),
    _by_drawing("clipped-exponents", "clips exponents at 50 before anything is subtracted", "R5",
        log_weights=lambda exponents: np.clip(exponents, -50.0, 50.0)),
    _by_drawing("overflow", "exponentiates weights before anything is subtracted", "R5",
        log_weights=lambda exponents: np.log(np.exp(np.minimum(exponents, 700.0)))),
    _by_drawing("last-draw", "returns its last draw when the budget ends", "O3",
        block=1, swallowed=(BudgetExceededError,)),
    _race("product", "multiplies weights by the uniform numbers, and does not divide them", "R4",
        key=lambda exponents, uniforms: exponents + np.log(uniforms)),
    _race("smallest", "lets the smallest key win", "R4", key=lambda exponents, uniforms: np.log(uniforms) - exponents),
    _race("one-uniform", "shares one uniform number among all draws", "R4",
        key=lambda exponents, uniforms: exponents - np.log(uniforms[0])),
    _race("uniform-not-logged", "subtracts the uniform number without its logarithm", "R4",
        key=lambda exponents, uniforms: exponents - uniforms),
    _race("clocks", "uses exponential clocks for uniform numbers: off by order 1/N, not (1 - 1/C)^N", "C-A1r",
        key=lambda exponents, uniforms: exponents - np.log(-np.log(uniforms))),
    _race("without-beta", "does not divide scores by beta", "R4", beta=lambda _: 1.0),
    _race("one-draw-less", "makes one draw too few", "C-A1r",
        size=lambda multiplier, failure: max(1, race_size(multiplier, failure) - 1)),
    _race("rounded-down", "rounds the number of draws down", "C-A1r",
        size=lambda multiplier, failure: max(1, math.floor(multiplier / 4 * math.log(1 / failure)))),
    _race("log-of-failure-dropped", "makes C draws, whatever the failure", "R4",
        size=lambda multiplier, failure: math.ceil(multiplier / 4)),
    _race("multiplier-for-coverage", "takes the multiplier for the coverage: four times the draws", "C-A1r",
        size=lambda multiplier, failure: race_size(4 * multiplier, failure)),
)
"""Of `softmax_sample` and `race_sample`."""
