"""Mutants of the samplers: A1, A1r, and draws from a finite law; and a learner that cheats.

`sampler` is A1 with its parts to be changed one at a time; unchanged it is a correct variant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spanver.kernels import log_normaliser
from spanver.learners.race_sampler import race_size
from spanver.learners.softmax_sampler import pilot_size
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.oracle import Oracle
from spanver.randomness import stream
from spanver.subjects.reference import draw
from spanver.values import Counts, FloatArray, IntArray, Prompt, RejectionRule, Response, Score
from spanver.zoo.mutant import Mutant

__all__ = ["MUTANTS", "drawn_sampler", "race", "sampler"]


def log_mean(pilot: Counts, score: Score, beta: float) -> float:
    """Logarithm of the pilot's mean weight."""
    shares = np.log(pilot.counts / pilot.counts.sum())
    return float(log_normaliser(shares, score.of(pilot.responses.features), beta))


def fallback(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score) -> Response:
    """One fresh draw from the base policy."""
    del pilot, score
    return oracle.sample(prompt, 1)[0]


def sampler(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int = 0,
    size: Callable[[float, float], int] = pilot_size,
    mean: Callable[[Counts, Score, float], float] = log_mean,
    threshold: Callable[[float, float], float] = lambda multiplier, log_z: math.log(multiplier) + log_z,
    rule_score: Callable[[Score, float], Score] = lambda score, _: score,
    limit: Callable[[int], int] = lambda trials: trials,
    pilots: int = 1,
    finish: Callable[[Oracle, Prompt, Counts, Score], Response] = fallback,
    keep: Callable[[Oracle, Prompt, Counts, Score, Response], Response] = lambda *parts: parts[-1],
) -> Response:
    """A1, with every step in the open."""
    del seed  # All luck is the oracle's.
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
    luck: Callable[[int], int] = lambda seed: seed,
    accepts: Callable[[FloatArray, FloatArray], Any] = lambda log_uniforms, acceptance: log_uniforms <= acceptance,
    block: int | None = None,
    reuse: bool = False,
) -> Response:
    """A1 by plain draws, in blocks, and uniforms of its own; with `reuse` the trials are the pilot's draws."""
    trials = pilot_size(multiplier, failure)
    pilot = oracle.sample(prompt, trials)
    generator = stream(luck(seed), "acceptance")
    exponents = log_weights(score.of(pilot.features) / oracle.beta)
    peak = float(exponents.max())
    threshold = math.log(multiplier) + peak + math.log(float(np.exp(exponents - peak).mean()))
    for start in range(0, trials, block or trials):
        tried = pilot if reuse else oracle.sample(prompt, min(block or trials, trials - start))
        acceptance = log_weights(score.of(tried.features) / oracle.beta) - threshold
        accepted = np.flatnonzero(accepts(np.log1p(-generator.random(len(tried))), acceptance))
        if len(accepted) > 0:
            return tried[int(accepted[0])]
    return oracle.sample(prompt, 1)[0]


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


def _scaled(power: int) -> Callable[[Score, float], Score]:
    return lambda score, beta: replace(score, theta=score.theta * beta**power)


def _times(factor: float) -> Callable[[Score, float], Score]:
    return lambda score, _: replace(score, theta=score.theta * factor)


def _mean_of_logs(pilot: Counts, score: Score, beta: float) -> float:
    return float(pilot.counts @ score.of(pilot.responses.features) / pilot.counts.sum()) / beta


def _mean_of_distinct(pilot: Counts, score: Score, beta: float) -> float:
    shares = np.full(len(pilot.counts), -math.log(len(pilot.counts)))
    return float(log_normaliser(shares, score.of(pilot.responses.features), beta))


def _median(pilot: Counts, score: Score, beta: float) -> float:
    return float(np.median(np.repeat(score.of(pilot.responses.features), pilot.counts))) / beta


def _largest(pilot: Counts, score: Score, beta: float) -> float:
    return float(score.of(pilot.responses.features).max()) / beta


def _pilots_first(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score) -> Response:
    del oracle, prompt, score
    return pilot.responses[0]


def _pilots_best(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score) -> Response:
    oracle.sample(prompt, 1)
    return pilot.responses[int(np.argmax(score.of(pilot.responses.features)))]


def _any_of_the_pilots(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score) -> Response:
    del score
    generator = stream(int(pilot.counts[0]), "fallback")
    oracle.sample(prompt, 1)
    return pilot.responses[int(generator.integers(len(pilot.counts)))]


def _best(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, accepted: Response) -> Response:
    del oracle, prompt, accepted
    return pilot.responses[int(np.argmax(score.of(pilot.responses.features)))]


def _most_frequent(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, accepted: Response) -> Response:
    del oracle, prompt, score, accepted
    return pilot.responses[int(np.argmax(pilot.counts))]


def _fresh(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, accepted: Response) -> Response:
    del pilot, score, accepted
    return oracle.sample(prompt, 1)[0]


def _rewarded(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, accepted: Response) -> Response:
    del pilot, score
    return accepted if oracle.reward(prompt, accepted) > 0 else oracle.sample(prompt, 1)[0]


def _through_the_wall(oracle: Any, *, seed: int, settings: Settings) -> Any:
    """Find the table behind the oracle, and ask for the reward of the best response."""
    inner = oracle
    while not hasattr(inner, "_problem"):
        inner = getattr(inner, "_oracle", None) or inner._source
    oracle.reward(oracle.prompt(), int(inner._problem.reward[0].argmax()))
    return spanner_sampling(oracle, seed=seed, settings=replace(settings, prompts=1))


def _drawn(change: Callable[[FloatArray], FloatArray]) -> Callable[..., IntArray]:
    return lambda probabilities, count, seed: draw(change(probabilities), count, seed)


def _by_rank(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    return draw(np.sort(probabilities)[::-1], count, seed)


def _without_last(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    return np.minimum(draw(probabilities, count, seed), max(0, len(probabilities) - 2))


def _shifted(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    return (draw(probabilities, count, seed) + 1) % len(probabilities)


def _unpaid(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """Walker's aliases, where columns that gave to others keep what they gave."""
    size = len(probabilities)
    kept, alias = probabilities * size, np.arange(size)
    small, large = np.flatnonzero(kept < 1.0), np.flatnonzero(kept >= 1.0)
    alias[small] = np.resize(large, len(small))
    generator = stream(seed, "draw")
    columns = generator.integers(size, size=count)
    return np.asarray(np.where(generator.random(count) < kept[columns], columns, alias[columns]))


def _repeated(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    return draw(probabilities, 1, seed).repeat(count)


def _softmax(name: str, bug: str, breaks: tuple[str, ...], **parts: Any) -> Mutant:
    return Mutant(f"sampler-{name}", bug, breaks, {"softmax_sample": partial(sampler, **parts)})


def _by_drawing(name: str, bug: str, breaks: tuple[str, ...], **parts: Any) -> Mutant:
    return Mutant(f"sampler-{name}", bug, breaks, {"softmax_sample": partial(drawn_sampler, **parts)})


def _race(name: str, bug: str, breaks: tuple[str, ...], **parts: Any) -> Mutant:
    return Mutant(f"race-{name}", bug, breaks, {"race_sample": partial(race, **parts)})


def _draw(name: str, bug: str, function: Callable[..., IntArray]) -> Mutant:
    return Mutant(f"draw-{name}", bug, ("R6",), {"draw": function})


# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _softmax("no-normaliser", "The pilot's mean weight is dropped from the threshold.", ("R2",),
        threshold=lambda multiplier, _: math.log(multiplier)),
    _softmax("no-multiplier", "The multiplier is dropped from the threshold.", ("R2",),
        threshold=lambda _, log_z: log_z),
    _softmax("multiplier-squared", "The multiplier enters the threshold twice.", ("R2",),
        threshold=lambda multiplier, log_z: 2 * math.log(multiplier) + log_z),
    _softmax("multiplier-added", "The multiplier is added to the mean weight instead of multiplying it.", ("R5",),
        threshold=lambda multiplier, log_z: float(np.logaddexp(math.log(multiplier), log_z))),
    _softmax("mean-of-logs", "The threshold has the mean of the log weights, not the log of their mean.", ("R2",),
        mean=_mean_of_logs),
    _softmax("mean-of-distinct", "The pilot's mean counts every distinct response once.", ("R2",),
        mean=_mean_of_distinct),
    _softmax("median", "The threshold has the median of the pilot's weights.", ("R2",), mean=_median),
    _softmax("largest", "The threshold is the largest weight of the pilot.", ("R2",),
        mean=_largest, threshold=lambda _, log_z: log_z),
    _softmax("half-pilot", "The pilot has half of the draws.", ("R2",),
        size=lambda multiplier, failure: pilot_size(multiplier, failure) // 2),
    _softmax("no-four", "N lacks its factor 4.", ("R2",),
        size=lambda multiplier, failure: math.ceil(multiplier * math.log(4 / failure))),
    _softmax("log-of-failure", "N has log(1/delta) for log(4/delta).", ("R2",),
        size=lambda multiplier, failure: math.ceil(4 * multiplier * math.log(1 / failure)) + 1),
    _softmax("twice-the-trials", "Up to 2N trials.", ("R1",), limit=lambda trials: 2 * trials),
    _softmax("half-the-trials", "Gives up after N/2 trials.", ("R3",), limit=lambda trials: trials // 2),
    _softmax("pilots-first", "Falls back on the first response of the pilot.", ("R3",), finish=_pilots_first),
    _softmax("pilots-best", "Falls back on the best response of the pilot.", ("R3",), finish=_pilots_best),
    _softmax("pilots-any", "Falls back on any distinct response of the pilot.", ("R3",), finish=_any_of_the_pilots),
    _softmax("two-pilots", "The pilot is drawn twice.", ("R1",), pilots=2),
    _softmax("peeks", "Accepted responses of low reward are replaced.", ("R1",), keep=_rewarded),
    _softmax("wrong-sign", "Low scores are preferred.", ("R2",), rule_score=_times(-1.0)),
    _softmax("beta-for-inverse", "Scores are multiplied by beta, not divided.", ("R2",), rule_score=_scaled(2)),
    _softmax("without-beta", "Scores are not divided by beta.", ("R3",), rule_score=_scaled(1)),
    _softmax("weight-squared", "The weight is squared.", ("R3",), rule_score=_times(2.0)),
    _softmax("best-response", "The best response of the pilot is returned, not a sample.", ("R2",), keep=_best),
    _softmax("most-frequent", "The most frequent response of the pilot is returned.", ("R3",), keep=_most_frequent),
    _softmax("base-policy", "What was accepted is thrown away, and a base response returned.", ("R3",), keep=_fresh),
    _by_drawing("one-stream", "All calls accept by the same uniform numbers.", ("R2", "R3"), luck=lambda _: 0),
    _by_drawing("wrong-side", "A trial is accepted when its uniform number is above the ratio.", ("R2", "R3"),
        accepts=lambda log_uniforms, acceptance: log_uniforms >= acceptance),
    _by_drawing("without-uniforms", "A trial is accepted when its weight is above M Z, without luck.", ("R2", "R3"),
        accepts=lambda _, acceptance: acceptance > 0),
    _by_drawing("uniform-not-logged", "The uniform number is compared with the logarithm of the ratio.", ("R2", "R3"),
        accepts=lambda log_uniforms, acceptance: np.exp(log_uniforms) <= acceptance),
    _by_drawing("clipped-exponents", "Exponents are clipped at 50 before anything is subtracted.", ("R5",),
        log_weights=lambda exponents: np.clip(exponents, -50.0, 50.0)),
    _by_drawing("overflow", "Weights are exponentiated before anything is subtracted.", ("R5",),
        log_weights=lambda exponents: np.log(np.exp(np.minimum(exponents, 700.0)))),
    _race("product", "Weights are multiplied by the uniform numbers, not divided.", ("R4",),
        key=lambda exponents, uniforms: exponents + np.log(uniforms)),
    _race("smallest", "The smallest key wins.", ("R4",),
        key=lambda exponents, uniforms: np.log(uniforms) - exponents),
    _race("one-uniform", "All draws share one uniform number.", ("R4",),
        key=lambda exponents, uniforms: exponents - np.log(uniforms[0])),
    _race("uniform-not-logged", "The uniform number is subtracted without its logarithm.", ("R4",),
        key=lambda exponents, uniforms: exponents - uniforms),
    _race("clocks", "Exponential clocks for uniform numbers: off by order 1/N, not (1 - 1/C)^N.", ("R4",),
        key=lambda exponents, uniforms: exponents - np.log(-np.log(uniforms))),
    _race("without-beta", "Scores are not divided by beta.", ("R4",), beta=lambda _: 1.0),
    _race("one-draw-less", "One draw too few.", ("R4",),
        size=lambda multiplier, failure: max(1, race_size(multiplier, failure) - 1)),
    _race("rounded-down", "The number of draws is rounded down.", ("R4",),
        size=lambda multiplier, failure: max(1, math.floor(multiplier / 4 * math.log(1 / failure)))),
    _race("log-of-failure-dropped", "C draws, whatever the failure.", ("R4",),
        size=lambda multiplier, failure: math.ceil(multiplier / 4)),
    _race("multiplier-for-coverage", "The multiplier is taken for the coverage: four times the draws.", ("R4",),
        size=lambda multiplier, failure: race_size(4 * multiplier, failure)),
    _draw("uniform", "All outcomes are drawn alike.", _drawn(lambda p: np.ones_like(p) / len(p))),
    _draw("squared", "Probabilities are squared.", _drawn(lambda p: p**2 / (p**2).sum())),
    _draw("by-rank", "Ranks are returned for outcomes.", _by_rank),
    _draw("without-last", "The last outcome is never drawn.", _without_last),
    _draw("off-by-one", "Outcomes are counted from 1.", _shifted),
    _draw("unpaid-aliases", "In the table of aliases, columns keep what they gave to others.", _unpaid),
    _draw("repeated", "One draw is repeated.", _repeated),
    _draw("one-short", "One draw too few.", lambda p, count, seed: draw(p, count, seed)[: count - 1]),
    _draw("one-seed", "The seed is ignored.", lambda p, count, seed: draw(p, count, 0)),
    Mutant("learner-through-the-wall", "The learner reads the rewards of the table behind the oracle.", ("T1",),
        {"spanner_sampling": _through_the_wall}),
)
