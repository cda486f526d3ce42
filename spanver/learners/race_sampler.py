"""A1r, RaceSampler `[ours]`: the best of `N` weighted draws, `argmax w(y_i)/U_i`.

It needs no normaliser and no multiplier: its total variation to `pi_f` is at most `(1 - 1/C(pi_f|x))^N` (R4, tight),
for `N` samples, where A1 takes up to `2N + 1` of a much larger `N`.
"""

from __future__ import annotations

import math

import numpy as np

from spanver.oracle import Oracle
from spanver.randomness import stream
from spanver.validation import require_at_least, require_probability
from spanver.values import Prompt, Response, Score


def race_size(multiplier: float, failure: float) -> int:
    """Return `N = ceil(C log(1/delta))` for the coverage `C = multiplier/4` that A1 would be given.

    Raises
    ------
    ArgumentError
        Unless `multiplier` is finite and at least 1, and `failure` strictly between 0 and 1.
    """
    require_at_least("multiplier", multiplier, 1.0)
    require_probability("failure", failure)
    return max(1, math.ceil(multiplier / 4.0 * math.log(1.0 / failure)))


def race_sample(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    """Draw one response close in law to `pi_f(y|x) ∝ pi_ref(y|x) exp(f(y)/beta)` (A1r).

    Parameters
    ----------
    oracle, prompt, score, multiplier, failure
        As for `softmax_sample`; the oracle need answer `sample` alone, `race_size(multiplier, failure)` times.
    seed : int
        Of the uniform numbers `U_i`.
    """
    responses = oracle.sample(prompt, race_size(multiplier, failure))
    uniforms = 1.0 - stream(seed, "race").random(len(responses))
    return responses[int(np.argmax(score.of(responses.features) / oracle.beta - np.log(uniforms)))]
