"""The gap of what a learner's sampler really draws, which for too small a multiplier is not its policy."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from spanver.exact.tabular import gap
from spanver.kernels import uncertain_mask
from spanver.learners.softmax_sampler import pilot_size
from spanver.policies import Mixture, TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream

__all__ = ["sampled_gap"]


def sampled_gap(problem: TabularProblem, mixture: Mixture, multiplier: float, failure: float, *, seed: int) -> float:
    """Gap of a mixture of truncated policies as A1 draws from it: clipping and fallback are in it.

    For every component, prompt and second response one pilot is drawn; given the pilot the law of A1 is exact (R2, R3).
    Where `M >= 4 C` this is the gap of the policy itself, to within `delta`.

    Parameters
    ----------
    problem : TabularProblem
    mixture : Mixture
        Of truncated policies that share a spanner.
    multiplier, failure : float
        `M` and `delta` of A1.
    seed : int
        Of the pilots.
    """
    generator = stream(seed, "pilots of the output")
    trials = pilot_size(multiplier, failure)
    total = np.zeros(problem.log_base.shape)
    first = mixture.components[0]
    assert isinstance(first, TruncatedSoftmax)
    for x, features in enumerate(problem.features):
        support = np.flatnonzero(problem.log_base[x] > -np.inf)
        base = np.exp(problem.log_base[x])
        base /= base.sum()
        uncertain = uncertain_mask(features[support], features, first.precision, first.nu)
        for component in mixture.components:
            assert isinstance(component, TruncatedSoftmax)
            scores = features @ component.theta
            exponents = np.where(uncertain, 0.0, scores - scores[support, None]) / problem.beta
            pilots = generator.multinomial(trials, base, size=len(support))
            with np.errstate(divide="ignore"):
                log_mean = logsumexp(np.log(pilots) - np.log(trials) + exponents, axis=1, keepdims=True)
            acceptance = base * np.exp(np.minimum(0.0, exponents - np.log(multiplier) - log_mean))
            hit = np.minimum(acceptance.sum(axis=1, keepdims=True), 1.0)
            with np.errstate(divide="ignore"):
                all_fail = np.exp(trials * np.log1p(-hit))
            laws = (1.0 - all_fail) * acceptance / hit + all_fail * base
            total[x] += base[support] @ laws
    with np.errstate(divide="ignore"):
        return gap(problem, np.log(total / len(mixture.components)))
