"""Mutants of the independent implementation: bugs that outside code has had, each a patch of one step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from spanver.oracle import Oracle
from spanver.values import Counts, FloatArray, IntArray, LinearScore, Prompt, Response, Responses, Score, TruncatedScore
from spanver.zoo.independent.algebra import draw, kl_divergence, places, quadratic_norms
from spanver.zoo.independent.baselines import xpo
from spanver.zoo.independent.exploration import Moments, build_spanner, inverted_sigma, spanner_sampling, tried_pair
from spanver.zoo.independent.oracle import Found, literal_oracle
from spanver.zoo.independent.samplers import (
    drawn_pilot,
    log_pilot_mean,
    log_threshold,
    race_sample,
    size_of,
    softmax_sample,
    softmax_sample_density,
    tried,
)
from spanver.zoo.independent.subject import INDEPENDENT
from spanver.zoo.mutant import Mutant, changed, mutants_of


@dataclasses.dataclass(frozen=True, eq=False)
class ExcludingScore:
    """A truncated score that gives what is uncovered weight 0, and not score 0."""

    score: TruncatedScore

    def of(self, features: FloatArray) -> FloatArray:
        """Scores of features of shape (n, d): shape (n,)."""
        norms = quadratic_norms(features - self.score.anchor, self.score.precision)
        return np.where(norms <= self.score.nu, self.score.of(features), -np.inf)


def _excluding(theta: FloatArray, anchor: FloatArray, precision: FloatArray, nu: float) -> Any:
    return ExcludingScore(TruncatedScore(theta, anchor, precision, nu))


def _untruncated(theta: FloatArray, *_: Any) -> Score:
    return LinearScore(theta)


def _wider(theta: FloatArray, anchor: FloatArray, precision: FloatArray, nu: float) -> Score:
    return TruncatedScore(theta, anchor, precision, 1.05 * nu)


def _last_prompt(oracle: Oracle, spanner: dict[str, Any]) -> Prompt:
    """The prompt of the last pair of the spanner again."""
    fresh = oracle.prompt()
    last: Prompt = spanner["prompts"][-1] if spanner["prompts"] else fresh
    return last


def _frozen(moments: Moments, vector: FloatArray) -> FloatArray:
    return moments.precision if moments.added > 3 else inverted_sigma(moments, vector)


def _geometric(score: Score, pilot: Counts, beta: float, multiplier: float) -> float:
    """Threshold with the geometric mean of the weights."""
    return math.log(multiplier) + float(np.average(score.of(pilot.responses.features), weights=pilot.counts)) / beta


def _distinct(score: Score, pilot: Counts, beta: float, multiplier: float) -> float:
    once = Counts(pilot.responses, np.ones_like(pilot.counts))
    return log_threshold(score, once, beta, multiplier)


def _median(score: Score, pilot: Counts, beta: float, multiplier: float) -> float:
    """Threshold with the median of the weights."""
    scores = score.of(pilot.responses.features)
    order = np.argsort(scores)
    below = np.cumsum(np.asarray(pilot.counts)[order])
    return math.log(multiplier) + float(scores[order][np.searchsorted(below, below[-1] / 2)]) / beta


def _one_of_a_batch(oracle: Any, prompt: Any, score: Score, threshold: float, limit: int, seed: int) -> Response:
    """First accepted trial of a batch, or where none is accepted the first of all."""
    fresh = oracle.sample(prompt, limit)
    uniforms = 1.0 - np.random.default_rng([seed, 15]).random(limit)
    accepted = np.log(uniforms) <= score.of(fresh.features) / oracle.beta - threshold
    return fresh[int(np.argmax(accepted))]


def _pilot_of(size: Callable[[float, float], int]) -> Callable[[float, float], tuple[int, int]]:
    """Draws of a pilot of another size, with as many trials as A1."""
    return lambda multiplier, failure: (size(multiplier, failure), size_of(multiplier, failure))


def _of_first_four(oracle: Any, prompt: Any, score: Score, **arguments: Any) -> dict[str, Any]:
    """A1 by draws of its own, with the ratio of the first four of them."""
    drawn: list[Counts] = []

    def pilot(*given: Any) -> Counts:
        drawn.append(drawn_pilot(*given))
        return drawn[-1]

    sample = softmax_sample_density(oracle, prompt, score, pilot=pilot, trials=tried, **arguments)
    whole = drawn[0].responses
    first = Counts(Responses(whole.ids[:4], whole.features[:4]), np.ones(4, dtype=np.int64))
    means = [log_pilot_mean(score, each, oracle.beta) for each in (drawn[0], first)]
    return sample | {"log_ratio": sample["log_ratio"] + means[0] - means[1]}


_OWN_PAIRS = partial(build_spanner, search=tried_pair)


def _remembering(*, renewed: bool) -> Callable[..., Response]:
    """A1 at the threshold of another call: of the first at this prompt, or of the one before."""
    known: dict[Prompt, float] = {}

    def sample(oracle: Any, prompt: Prompt, score: Score, **arguments: Any) -> Response:
        def threshold(*given: Any) -> float:
            now = log_threshold(*given)
            used = known.setdefault(prompt, now)
            if renewed:
                known[prompt] = now
            return used

        return softmax_sample(oracle, prompt, score, threshold=threshold, **arguments)

    return sample


def _remembering_in_a_run(oracle: Oracle, **arguments: Any) -> dict[str, Any]:
    """A learner that draws for itself, whose sampler keeps the threshold of the first round at a prompt."""
    sampler = partial(_remembering(renewed=False), pilot=drawn_pilot, trials=tried)
    return spanner_sampling(oracle, phase_one=_OWN_PAIRS, sampler=sampler, **arguments)


def _half_reused(acceptance: FloatArray, law: FloatArray, width: int, limit: int, generator: Generator) -> Found:
    """Search whose pairs share a response with the pair before."""
    responses = list(places(law, generator.random(width)))
    for number in range(1, limit + 1):
        if generator.random() < acceptance[tuple(responses)]:
            return [int(each) for each in responses], number
        responses = [*responses[1:], places(law, generator.random(1))[0]]
    return None, limit


def _one_uniform(acceptance: FloatArray, law: FloatArray, width: int, limit: int, generator: Generator) -> Found:
    """Search that accepts by the uniform number that drew the last response."""
    for number in range(1, limit + 1):
        uniforms = generator.random(width)
        responses = places(law, uniforms)
        if uniforms[-1] < acceptance[tuple(responses)]:
            return [int(each) for each in responses], number
    return None, limit


def _rounded(law: FloatArray, count: int, generator: Generator) -> IntArray:
    """Expected counts, rounded; what is left goes to a draw."""
    counts = np.floor(law * count).astype(np.int64)
    counts[places(law, generator.random(1))] += count - counts.sum()
    return counts


def _without_outer_probability(law: FloatArray, reference: FloatArray) -> float:
    held = law > -np.inf
    if np.isinf(kl_divergence(law, reference)):
        return float("inf")
    return float(np.sum(law[held] - reference[held]))


def _in_single_precision(moments: Moments, vector: FloatArray) -> FloatArray:
    single = inverted_sigma(moments, vector).astype(np.float32)
    return np.asarray(single, dtype=np.float64)


def _sticky(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """Draw, and repeat every second draw."""
    return draw(probabilities, count, seed)[np.arange(count) // 2 * 2]


_softmax = mutants_of("softmax_sample", "independent", softmax_sample, INDEPENDENT)
_density = mutants_of(
    "softmax_sample_density",
    "independent",
    softmax_sample_density,
    dataclasses.replace(INDEPENDENT, claims=INDEPENDENT.claims - {"A1"}),
)
_race = mutants_of("race_sample", "independent", race_sample, INDEPENDENT)
_spanner = mutants_of("build_spanner", "independent", build_spanner, INDEPENDENT)
_learner = mutants_of("spanner_sampling", "independent", spanner_sampling, INDEPENDENT)
_literal = mutants_of("literal_oracle", "independent", literal_oracle, INDEPENDENT)
_OWN = {"phase_one": _OWN_PAIRS, "sampler": partial(softmax_sample, pilot=drawn_pilot, trials=tried)}

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _learner("no-truncation", "truncates no score, in a learner that draws for itself", "E3 R3",
        score_of=_untruncated, **_OWN),
    _learner("weight-zero", "gives what is uncovered weight 0 and not score 0, in a learner that draws for itself",
        "E3 R3", score_of=_excluding, **_OWN),
    _learner("wider-truncation", "truncates at 1.05 nu, in a learner that draws for itself", "R3", score_of=_wider,
        **_OWN),
    _learner("cached-round", "goes on with the mean weight of the first round, and draws for itself", "R3",
        _remembering_in_a_run),
    _learner("another-anchor", "scores relative to another draw than the second response, and draws for itself", "R3",
        anchor_of=lambda oracle, prompt, _: oracle.sample(prompt, 1)[0], **_OWN),
    _learner("seed-per-run", "accepts by the same uniform numbers in all rounds of a run", "R3",
        seed_of=lambda seed, _: seed, **_OWN),
    _learner("spanner-weight-2", "counts the spanner's data twice", "E6", weight=float(np.sqrt(2.0))),
    _learner("last-prompt", "explores the prompt of the spanner's last pair in all rounds", "E6",
        prompt_of=_last_prompt),
    _race("product", "multiplies weights by the uniform numbers", "R4",
        keys=lambda log_weights, uniforms: log_weights + np.log(uniforms)),
    _race("gumbel-pool", "adds Gumbel noise to the log weights of the pool", "C-A1r",
        keys=lambda log_weights, uniforms: log_weights - np.log(-np.log(np.minimum(uniforms, 1.0 - 2.0**-53)))),
    _spanner("stale-after-three", "updates the precision no more after the third pair", "S1",
        moments=partial(Moments, renewed=_frozen)),
    _spanner("single-precision", "rounds the precision to float32", "S1",
        moments=partial(Moments, renewed=_in_single_precision)),
    _spanner("larger-nu", "accepts at 1.05 nu", "S1",
        search=lambda oracle, prompt, moments, nu, limit: tried_pair(oracle, prompt, moments, 1.05 * nu, limit)),
    _softmax("mean-of-distinct", "counts every distinct response of the pilot once, and makes trials itself", "R3",
        threshold=_distinct, trials=tried),
    _softmax("geometric-mean", "takes the geometric mean of the pilot's weights, and makes trials itself", "R3",
        threshold=_geometric, trials=tried),
    _softmax("median", "takes the median of the pilot's weights, and makes trials itself", "R3", threshold=_median,
        trials=tried),
    _softmax("argmax-of-none", "returns the first of a batch of trials where none is accepted", "C-A1",
        trials=_one_of_a_batch),
    _softmax("cached-mean", "goes on with the mean weight of the first call", "R3", _remembering(renewed=False)),
    _softmax("stale-mean", "takes the mean weight of the call before", "R3", _remembering(renewed=True)),
    _density("ratio-of-first-four", "divides by the mean weight of the first four draws of its pilot", "R9",
        _of_first_four),
    _density("pilot-of-four", "estimates the normaliser from four draws", "R9", sizes=_pilot_of(lambda *_: 4)),
    _density("pilot-without-multiplier", "draws 4 log(4/delta) for the pilot, without M, and makes trials itself", "R9",
        sizes=_pilot_of(lambda _, failure: size_of(1.0, failure)), trials=tried),
    _literal("half-reused", "shares a response between pairs that follow each other", "O2", search=_half_reused),
    _literal("one-uniform", "accepts by the uniform number that drew the response", "O2", search=_one_uniform),
    _literal("rounded-counts", "rounds expected counts", "O2", counts=_rounded),
    changed("independent-prompt-and-response", "draws prompts and responses by the same uniform numbers", "O2",
        INDEPENDENT, literal_oracle=partial(literal_oracle, same_stream=True)),
    changed("independent-half-strength", "halves the parameter of the strong oracle", "O1 O2", INDEPENDENT,
        literal_oracle=partial(literal_oracle, strength=0.5)),
    changed("independent-bonus-of-first", "makes the response of the policy less likely in XPO's bonus", "E6",
        INDEPENDENT, xpo=partial(xpo, bonus=lambda one, _: one)),
    changed("independent-no-outer-probability", "sums log ratios without the outer probability", "I2", INDEPENDENT,
        kl_divergence=_without_outer_probability),
    changed("independent-every-second-draw", "repeats every second draw", "R6", INDEPENDENT, draw=_sticky),
)
"""Of the independent implementation."""
