"""A1, SoftmaxSampler: rejection sampling from a softmax policy with a normaliser estimated by a pilot.

`[paper: Algorithm 1, p. 36]`. A call takes at most `2N + 1` samples (R1); given the
pilot, the law of an accepted response is exactly `pi_f` where `M Z` is at least every weight (R2); `M >= 4 C(pi_f|x)`
puts the law within total variation `delta` of `pi_f` (R3).
"""

from __future__ import annotations

import math

import numpy as np

from spanver.kernels import log_normaliser
from spanver.oracle import SamplingOracle
from spanver.validation import require_at_least, require_probability
from spanver.values import Outcome, Place, RejectionRule, Response, Score


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


def softmax_sample(
    oracle: SamplingOracle[Place], prompt: Place, score: Score, *, multiplier: float, failure: float, seed: int = 0
) -> Response:
    """Draw one response close in law to `pi_f(y|x) ∝ pi_ref(y|x) exp(f(y)/beta)` (A1).

    Parameters
    ----------
    oracle : SamplingOracle
        Anything that answers `sample_counts`, `sample_until` and `sample`.
    prompt : Prompt or Prefix
    score : Score
        `f`.
    multiplier : float
        `M`, at least 1; `4 C(pi_f|x)` for the guarantee.
    failure : float
        `delta`, strictly between 0 and 1.
    seed : int
        Ignored: this sampler has no randomness of its own. Accepted so that all samplers share one signature.

    Returns
    -------
    Response
        Its `outcome` says whether it was accepted, accepted with `w > M Z` (clipped), or the fallback.
    """
    trials = sampler_trials(multiplier, failure)
    pilot = oracle.sample_counts(prompt, trials)
    log_share = np.log(pilot.counts) - math.log(trials)
    log_mean_weight = float(log_normaliser(log_share, score.of(pilot.responses.features), oracle.beta))
    log_threshold = math.log(multiplier) + log_mean_weight
    found = oracle.sample_until(prompt, RejectionRule(score, log_threshold), trials)
    if found.responses is None:
        fallback = oracle.sample(prompt, 1)[0]
        return Response(fallback.id, fallback.features, Outcome.FALLBACK)
    accepted = found.responses[0]
    log_weight = float(score.of(found.responses.features)[0]) / oracle.beta
    outcome = Outcome.CLIPPED if log_weight > log_threshold else Outcome.ACCEPTED
    return Response(accepted.id, accepted.features, outcome)
