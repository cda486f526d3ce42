"""Mutants of A1 with its density ratio: what R1, R3, R8 and R9 must kill.

`sampler_with_ratio` is written anew: each step in which a mutant differs is an argument. Unmutated it is as right as
the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from spanver.kernels import log_normaliser
from spanver.learners.softmax_sampler import DensitySample, sampler_trials
from spanver.oracle import Oracle
from spanver.values import Counts, Prompt, RejectionRule, Response, Score
from spanver.zoo.algebra import base_response, table_behind
from spanver.zoo.mutant import Mutant, mutants_of
from spanver.zoo.sampler import log_mean


def sampler_with_ratio(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int = 0,
    mean: Callable[[Oracle, Prompt, Counts, Score, Response], float] = lambda oracle, _, pilot, score, __: log_mean(
        pilot, score, oracle.beta
    ),
    log_weight: Callable[[Score, Response, Counts, float], float] = lambda score, response, _, beta: (
        float(score.of(response.features[None])[0]) / beta
    ),
    ratio: Callable[[float, float, float], float] = lambda log_weight, log_z, _: log_weight - log_z,
    on_fallback: Callable[[float], float] = lambda log_ratio: log_ratio,
    keep: Callable[[Oracle, Prompt, Response], Response] = lambda *parts: parts[-1],
) -> DensitySample:
    """A1 with its density ratio, with every step in the open."""
    del seed  # all randomness is the oracle's
    trials = sampler_trials(multiplier, failure)
    pilot = oracle.sample_counts(prompt, trials)
    rule = RejectionRule(score, math.log(multiplier) + log_mean(pilot, score, oracle.beta))
    found = oracle.sample_until(prompt, rule, trials)
    failed = found.responses is None
    response = oracle.sample(prompt, 1)[0] if found.responses is None else keep(oracle, prompt, found.responses[0])
    log_z = mean(oracle, prompt, pilot, score, response)
    log_ratio = ratio(log_weight(score, response, pilot, oracle.beta), log_z, multiplier)
    return DensitySample(response, on_fallback(log_ratio) if failed else log_ratio)


def _true_mean(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, response: Response) -> float:
    del pilot, response
    problem = table_behind(oracle)
    row = int(prompt)
    return float(log_normaliser(problem.log_base[row], score.of(problem.features[row]), oracle.beta))


def _of_second_pilot(oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, response: Response) -> float:
    del response
    return log_mean(oracle.sample_counts(prompt, int(pilot.counts.sum())), score, oracle.beta)


def _mean_of_logs(oracle: Oracle, _: Prompt, pilot: Counts, score: Score, __: Response) -> float:
    return float(pilot.counts @ score.of(pilot.responses.features) / pilot.counts.sum()) / oracle.beta


def _with_response(oracle: Oracle, _: Prompt, pilot: Counts, score: Score, response: Response) -> float:
    """Mean weight of the pilot and the response that is returned."""
    draws = float(pilot.counts.sum())
    own = float(score.of(response.features[None])[0]) / oracle.beta
    return float(np.logaddexp(math.log(draws) + log_mean(pilot, score, oracle.beta), own)) - math.log(draws + 1.0)


def _without_heaviest(oracle: Oracle, _: Prompt, pilot: Counts, score: Score, __: Response) -> float:
    """Mean weight of the pilot without its heaviest response, unless there is no other."""
    exponents = score.of(pilot.responses.features) / oracle.beta
    held = exponents < exponents.max() if np.ptp(exponents) > 0.0 else exponents == exponents.max()
    return float(log_normaliser(np.log(pilot.counts[held] / pilot.counts[held].sum()), exponents[held], 1.0))


class EarlierPilot:
    """The mean weight of the pilot of the call before; in the first call of its own."""

    def __init__(self) -> None:
        self._stored = math.nan

    def __call__(self, oracle: Oracle, prompt: Prompt, pilot: Counts, score: Score, response: Response) -> float:
        """Logarithm of that mean weight."""
        del prompt, response
        own, earlier = log_mean(pilot, score, oracle.beta), self._stored
        self._stored = own
        return own if math.isnan(earlier) else earlier


def _of_pilots_best(score: Score, response: Response, pilot: Counts, beta: float) -> float:
    del response
    return float(score.of(pilot.responses.features).max()) / beta


def _exponentiated(log_weight: float, log_z: float, _: float) -> float:
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        weight, mean = np.exp(np.array([log_weight, log_z]))
        return float(np.log(weight / mean))


def _rounded(log_weight: float, log_z: float, _: float) -> float:
    return float(np.float32(log_weight - log_z))


def _without_beta(score: Score, response: Response, _: Counts, __: float) -> float:
    return float(score.of(response.features[None])[0])


_density = mutants_of("softmax_sample_density", "density", sampler_with_ratio)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _density("true-normaliser", "divides by the true normaliser, which it cannot know", "R8", mean=_true_mean),
    _density("second-pilot", "divides by the mean weight of a second pilot", "R8 R1", mean=_of_second_pilot),
    _density("earlier-pilot", "divides by the mean weight of the pilot of the call before", "R8", mean=EarlierPilot()),
    _density("mean-of-logs", "divides by the geometric mean of the pilot's weights", "R8", mean=_mean_of_logs),
    _density("with-response", "counts the response itself in the mean weight", "R8", mean=_with_response),
    _density("without-heaviest", "leaves the heaviest response out of the mean weight", "R8", mean=_without_heaviest),
    _density("one-on-fallback", "has the ratio 1 where no trial was accepted", "R8", on_fallback=lambda _: 0.0),
    _density("with-multiplier", "divides by the threshold of trials, M times the mean weight", "R8",
        ratio=lambda log_weight, log_z, multiplier: log_weight - log_z - math.log(multiplier)),
    _density("clipped", "clips the ratio at M, as the acceptance of trials is", "R8",
        ratio=lambda log_weight, log_z, multiplier: min(log_weight - log_z, math.log(multiplier))),
    _density("inverse", "returns the ratio of the base policy to the target", "R8",
        ratio=lambda log_weight, log_z, _: log_z - log_weight),
    _density("without-normaliser", "returns the weight, and does not divide it", "R8",
        ratio=lambda log_weight, *_: log_weight),
    _density("not-logged", "returns the ratio, and not its logarithm", "R8",
        ratio=lambda log_weight, log_z, _: math.exp(min(log_weight - log_z, 700.0))),
    _density("exponentiated", "exponentiates weights before anything is subtracted", "R8", ratio=_exponentiated),
    _density("rounded", "rounds the ratio to single precision", "R8", ratio=_rounded),
    _density("without-beta", "does not divide the score of the response by beta", "R8", log_weight=_without_beta),
    _density("of-pilots-best", "returns the ratio of the heaviest response of the pilot", "R8",
        log_weight=_of_pilots_best),
    _density("base-policy", "returns a base response, with its ratio", "R3", keep=base_response),
)
"""Of `softmax_sample_density`."""
