"""The samplers A1 and A1r, written from their statements; every step is a keyword argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from spanver.oracle import Oracle
from spanver.values import Counts, FloatArray, Prompt, RejectionRule, Response, Score
from spanver.zoo.independent.algebra import log_sum_exp


def size_of(multiplier: float, failure: float) -> int:
    """`N` of A1."""
    return math.ceil(4.0 * multiplier * math.log(4.0 / failure))


def both_of_size(multiplier: float, failure: float) -> tuple[int, int]:
    """Draws of the pilot, and trials."""
    return size_of(multiplier, failure), size_of(multiplier, failure)


def counted_pilot(oracle: Oracle, prompt: Prompt, count: int) -> Counts:
    """Pilot by the compressed query."""
    return oracle.sample_counts(prompt, count)


def drawn_pilot(oracle: Oracle, prompt: Prompt, count: int) -> Counts:
    """Pilot by plain draws."""
    return Counts(oracle.sample(prompt, count), np.ones(count, dtype=np.int64))


def log_pilot_mean(score: Score, pilot: Counts, beta: float) -> float:
    """Logarithm of the pilot's mean weight, `log Z`."""
    exponents = np.log(pilot.counts) + score.of(pilot.responses.features) / beta
    return log_sum_exp(exponents) - math.log(float(np.sum(pilot.counts)))


def log_threshold(score: Score, pilot: Counts, beta: float, multiplier: float) -> float:
    """`log(M Z)`."""
    return math.log(multiplier) + log_pilot_mean(score, pilot, beta)


def searched(oracle: Oracle, prompt: Prompt, score: Score, threshold: float, limit: int, seed: int) -> Response | None:
    """Trials by the compressed query."""
    del seed
    found = oracle.sample_until(prompt, RejectionRule(score, threshold), limit)
    return None if found.responses is None else found.responses[0]


def tried(
    oracle: Oracle, prompt: Prompt, score: Score, threshold: float, limit: int, seed: int, *, block: int = 16
) -> Response | None:
    """Trials by plain draws, a block at a time, accepted by randomness of its own."""
    generator = np.random.default_rng([seed, 11])
    for start in range(0, limit, block):
        fresh = oracle.sample(prompt, min(block, limit - start))
        log_acceptance = score.of(fresh.features) / oracle.beta - threshold
        accepted = np.log(1.0 - generator.random(len(fresh))) <= log_acceptance
        if accepted.any():
            return fresh[int(np.argmax(accepted))]
    return None


def softmax_sample_density(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int,
    sizes: Callable[[float, float], tuple[int, int]] = both_of_size,
    pilot: Callable[[Oracle, Any, int], Counts] = counted_pilot,
    threshold: Callable[[Score, Counts, float, float], float] = log_threshold,
    trials: Callable[..., Response | None] = searched,
) -> dict[str, Any]:
    """A1 with its density ratio: rejection at a multiple of the pilot's mean weight, then a fresh draw."""
    draws, limit = sizes(multiplier, failure)
    drawn = pilot(oracle, prompt, draws)
    accepted = trials(oracle, prompt, score, threshold(score, drawn, oracle.beta, multiplier), limit, seed)
    response = oracle.sample(prompt, 1)[0] if accepted is None else accepted
    log_weight = float(score.of(response.features[None])[0]) / oracle.beta
    return {"response": response, "log_ratio": log_weight - log_pilot_mean(score, drawn, oracle.beta)}


def softmax_sample(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int,
    **steps: Callable[..., Any],
) -> Response:
    """A1: the response alone; steps are those of `softmax_sample_density`."""
    given: dict[str, Any] = {"multiplier": multiplier, "failure": failure, "seed": seed, **steps}
    drawn: Response = softmax_sample_density(oracle, prompt, score, **given)["response"]
    return drawn


def race_size(multiplier: float, failure: float) -> int:
    """Draws of A1r."""
    return math.ceil(multiplier / 4.0 * math.log(1.0 / failure))


def race_keys(log_weights: FloatArray, uniforms: FloatArray) -> FloatArray:
    """`log(w / U)`."""
    return np.asarray(log_weights - np.log(uniforms))


def race_sample(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int,
    size: Callable[[float, float], int] = race_size,
    keys: Callable[[FloatArray, FloatArray], FloatArray] = race_keys,
) -> Response:
    """A1r: of a pool of draws the one of largest key."""
    pool = oracle.sample(prompt, size(multiplier, failure))
    uniforms = 1.0 - np.random.default_rng([seed, 12]).random(len(pool))
    return pool[int(np.argmax(keys(score.of(pool.features) / oracle.beta, uniforms)))]
