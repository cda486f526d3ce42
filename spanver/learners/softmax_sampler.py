"""A1, SoftmaxSampler: rejection sampling from a softmax policy with a normaliser estimated by a pilot.

`[paper: Algorithm 1, p. 36]`, and with the density ratio of the response `[paper: Algorithm 2, p. 37]`. A call takes at
most `2N + 1` samples (R1); given the pilot, the law of an accepted response is exactly `pi_f` where `M Z` is at least
every weight (R2); `M >= 4 C(pi_f|x)` puts the law within total variation `delta` of `pi_f` (R3); whatever `M`, it is
between `pi_ref` and `pi_f` (R10). The ratio is `w(y)/Z` (R8), near `pi_f/pi_ref` where `M >= 4 C(pi_f|x)^2` (R9).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spanver.kernels import log_normaliser
from spanver.oracle import Oracle
from spanver.validation import require_at_least, require_probability
from spanver.values import Outcome, Prompt, RejectionRule, Response, Score


def sampler_trials(multiplier: float, failure: float) -> int:
    """Return `N = ceil(4 M log(4/delta))`: draws of the pilot, and the most trials after it (A1).

    Raises
    ------
    ArgumentError
        Unless `multiplier` is finite and at least 1, and `failure` strictly between 0 and 1.
    """
    require_at_least("multiplier", multiplier, 1.0)
    require_probability("failure", failure)
    return math.ceil(4.0 * multiplier * math.log(4.0 / failure))


@dataclass(frozen=True, eq=False, slots=True)
class DensitySample:
    """A response of A1, and an estimate of how much likelier `pi_f` makes it than the base policy.

    Attributes
    ----------
    response : Response
        Its `outcome` says whether it was accepted, accepted with `w > M Z` (clipped), or the fallback.
    log_ratio : float
        `log(w(y)/Z)` with the mean weight `Z` of the call's own pilot, for the fallback too (R8): an estimate of
        `log(pi_f(y|x)/pi_ref(y|x))`.
    """

    response: Response
    log_ratio: float


def softmax_sample_density(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int = 0
) -> DensitySample:
    """Draw one response close in law to `pi_f(y|x) ∝ pi_ref(y|x) exp(f(y)/beta)`, with its density ratio (A1).

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `sample_counts`, `sample_until` and `sample`.
    prompt : Prompt
    score : Score
        `f`.
    multiplier : float
        `M`, at least 1; `4 C(pi_f|x)` for the law that is promised, `4 C(pi_f|x)^2` for the ratio.
    failure : float
        `delta`, strictly between 0 and 1.
    seed : int
        Ignored: this sampler has no randomness of its own. Accepted so that all samplers share one signature.

    Examples
    --------
    >>> from spanver.oracles.literal import literal_oracle
    >>> from spanver.problems.families.random_tables import random_problem
    >>> from spanver.values import LinearScore
    >>> oracle = literal_oracle(random_problem(0), seed=1)
    >>> score = LinearScore(np.zeros(oracle.dimension))
    >>> sample = softmax_sample_density(oracle, oracle.prompt(), score, multiplier=16.0, failure=0.1)
    >>> round(abs(sample.log_ratio), 12)  # all weights are 1
    0.0
    """
    trials = sampler_trials(multiplier, failure)
    pilot = oracle.sample_counts(prompt, trials)
    log_share = np.log(pilot.counts) - math.log(trials)
    log_mean_weight = float(log_normaliser(log_share, score.of(pilot.responses.features), oracle.beta))
    log_threshold = math.log(multiplier) + log_mean_weight
    found = oracle.sample_until(prompt, RejectionRule(score, log_threshold), trials)
    drawn = oracle.sample(prompt, 1) if found.responses is None else found.responses
    log_weight = float(score.of(drawn.features)[0]) / oracle.beta
    if found.responses is None:
        outcome = Outcome.FALLBACK
    else:
        outcome = Outcome.CLIPPED if log_weight > log_threshold else Outcome.ACCEPTED
    return DensitySample(Response(drawn.ids[0], drawn.features[0], outcome), log_weight - log_mean_weight)


def softmax_sample(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int = 0
) -> Response:
    """Draw one response close in law to `pi_f(y|x) ∝ pi_ref(y|x) exp(f(y)/beta)` (A1).

    Parameters are those of `softmax_sample_density`, of which it returns the response.
    """
    return softmax_sample_density(oracle, prompt, score, multiplier=multiplier, failure=failure, seed=seed).response
