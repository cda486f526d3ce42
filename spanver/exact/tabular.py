"""Exact quantities of policies on tables: law, coverage, KL, objective, gap (section 1; I1-I3), all in log space.

A *log law* is an array of shape (X, Y) of `log pi(y|x)`, minus infinity where the policy puts no mass. Zeros of the
base policy are outside every supremum and make no NaN; a law that puts mass on them has infinite coverage and KL.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from spanver.errors import ArgumentError
from spanver.exact.samplers import law_given_pilot, log_law_of_best
from spanver.kernels import log_normaliser, log_softmax, uncertain_mask
from spanver.learners.softmax_sampler import sampler_trials
from spanver.oracle import Anchor
from spanver.policies import BestOfN, LinearSoftmax, Policy, TruncatedMixture, TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.values import FloatArray, IntArray


def log_law(problem: TabularProblem, policy: Policy) -> FloatArray:
    """Exact law of a policy.

    For truncated policies this is the law with exact sampling of `pi_f`; A1's own law is within total variation
    `delta_rej` of it (R3). The law of `BestOfN` is that of its draws, for any number of them.

    Returns
    -------
    array, shape (X, Y)
    """
    match policy:
        case LinearSoftmax(theta):
            law: FloatArray = log_softmax(problem.log_base, problem.features @ theta, problem.beta)
            return law
        case TruncatedSoftmax():
            mixture = TruncatedMixture(policy.theta[None], policy.precision, policy.nu, policy.anchor)
            return next(component_laws(problem, mixture))
        case TruncatedMixture():
            total = np.full(problem.log_base.shape, -np.inf)
            for component_law in component_laws(problem, policy):
                total = np.logaddexp(total, component_law)
            return total - np.log(len(policy))
        case BestOfN():
            scores = policy.scores(problem.features)
            rows = zip(problem.log_base, scores, strict=True)
            return np.stack([log_law_of_best(log_base, row, policy.count) for log_base, row in rows])
        case _:
            raise ArgumentError("policy", policy, "LinearSoftmax, TruncatedSoftmax, TruncatedMixture or BestOfN")


def component_laws(problem: TabularProblem, mixture: TruncatedMixture) -> Iterator[FloatArray]:
    """Exact distribution of each component of a mixture in turn, shape (X, Y).

    What the spanner covers is found once for all components, which share it.
    """
    seconds = second_laws(problem, mixture.anchor)
    masks = [
        uncertain_mask(features[support], features, mixture.precision, mixture.nu)
        for features, (support, _) in zip(problem.features, seconds, strict=True)
    ]
    for theta in mixture.thetas:
        laws = []
        for prompt, ((support, log_weights), uncertain) in enumerate(zip(seconds, masks, strict=True)):
            conditional = _laws_given_anchors(problem, theta, prompt, support, uncertain)
            laws.append(logsumexp(log_weights[:, None] + conditional, axis=0))
        yield np.stack(laws)


def second_laws(problem: TabularProblem, anchor: Anchor) -> list[tuple[IntArray, FloatArray]]:
    """Law of the second response `y'` of every prompt: its support, and log probabilities there, shape (n,) each.

    That of the base policy; or, with an anchor, all mass on the anchor response.
    """
    if anchor == "fixed":
        return [(problem.anchors[[x]], np.zeros(1)) for x in range(problem.prompts)]
    supports = [np.flatnonzero(log_base > -np.inf) for log_base in problem.log_base]
    return [(support, log_base[support]) for support, log_base in zip(supports, problem.log_base, strict=True)]


def log_laws_given_anchors(
    problem: TabularProblem, policy: TruncatedSoftmax, prompt: int, anchors: IntArray
) -> FloatArray:
    """Law of the truncated softmax at one prompt, given each anchor `y'`.

    Parameters
    ----------
    problem : TabularProblem
    policy : TruncatedSoftmax
    prompt : int
    anchors : array of int, shape (n,)

    Returns
    -------
    array, shape (n, Y)
        `log pi_f(y|x)` with `f(y) = <theta, v(x,y,y')> 1[covered]`.
    """
    features = problem.features[prompt]
    uncertain = uncertain_mask(features[anchors], features, policy.precision, policy.nu)
    return _laws_given_anchors(problem, policy.theta, prompt, anchors, uncertain)


def _laws_given_anchors(
    problem: TabularProblem, theta: FloatArray, prompt: int, anchors: IntArray, uncertain: NDArray[np.bool_]
) -> FloatArray:
    scores = problem.features[prompt] @ theta
    truncated = np.where(uncertain, 0.0, scores[None, :] - scores[anchors, None])
    law: FloatArray = log_softmax(problem.log_base[prompt][None, :], truncated, problem.beta)
    return law


def log_optimal_law(problem: TabularProblem) -> FloatArray:
    """Law of `pi* ∝ pi_ref exp(r*/beta)`, shape (X, Y)."""
    law: FloatArray = log_softmax(problem.log_base, problem.reward, problem.beta)
    return law


def log_coverage(problem: TabularProblem, law: FloatArray) -> FloatArray:
    """`log C(pi|x) = max_y log pi(y|x)/pi_ref(y|x)` of every prompt; infinite for mass outside the base support.

    Prompts of probability 0 have a value too; `log C(pi)` is the maximum over the others.

    Parameters
    ----------
    problem : TabularProblem
    law : array, shape (X, Y)

    Returns
    -------
    array, shape (X,)
    """
    return log_ratio(law, problem.log_base)


def log_ratio(law: FloatArray, log_base: FloatArray) -> FloatArray:
    """`max_y log law(y) - log base(y)` over the last axis; infinite for mass outside the base support.

    Parameters
    ----------
    law, log_base : array, shape (..., Y)
        Log laws.

    Returns
    -------
    array, shape (...)
    """
    inside = log_base > -np.inf
    with np.errstate(invalid="ignore"):
        ratios = np.where(inside, law - log_base, np.where(law > -np.inf, np.inf, -np.inf))
    largest: FloatArray = ratios.max(axis=-1)
    return largest


def kl_divergence(law: FloatArray, reference: FloatArray) -> FloatArray:
    """`KL(law || reference)` over the last axis; infinite where the reference lacks mass.

    Summed as `p log(p/q) - p + q`, whose terms are all non-negative, so that small divergences keep their digits.

    Parameters
    ----------
    law, reference : array, shape (..., Y)
        Log laws.

    Returns
    -------
    array, shape (...)
    """
    with np.errstate(invalid="ignore"):
        excess = np.where(law > -np.inf, reference - law, 0.0)
    probabilities = np.exp(law)
    # e^u - 1 - u with u = log(q/p): expm1 keeps it exact for small u.
    with np.errstate(over="ignore", invalid="ignore"):
        inside = probabilities * (np.expm1(np.minimum(excess, 0.5)) - np.minimum(excess, 0.5))
        large = np.exp(reference) - probabilities - probabilities * excess
        terms = np.where(excess <= 0.5, inside, large)
    terms = np.where(law > -np.inf, terms, np.exp(reference))
    terms = np.where((law > -np.inf) & (reference == -np.inf), np.inf, terms)
    divergence: FloatArray = np.maximum(terms.sum(axis=-1), 0.0)
    return divergence


def kl_estimate(law: FloatArray, reference: FloatArray) -> FloatArray:
    """Estimates of `KL(p || q)`, one from each draw of `p`: `q/p - 1 - log(q/p)`, which is never negative (I8).

    Parameters
    ----------
    law, reference : array, shape (n,)
        `log p` and `log q` of the draws. Both laws have the same support.

    Examples
    --------
    >>> law, reference = np.log([0.75, 0.25]), np.log([0.5, 0.5])
    >>> bool(np.isclose(np.exp(law) @ kl_estimate(law, reference), kl_divergence(law[None], reference[None])[0]))
    True
    """
    excess = reference - law
    with np.errstate(over="ignore"):
        estimates: FloatArray = np.expm1(excess) - excess
    return estimates


def objective(problem: TabularProblem, law: FloatArray) -> float:
    """`J(pi) = E[r*] - beta E_x KL(pi(.|x) || pi_ref(.|x))`; minus infinity for mass outside the base support.

    Parameters
    ----------
    problem : TabularProblem
    law : array, shape (X, Y)
    """
    rewards = (np.exp(law) * problem.reward).sum(axis=1)
    return _mean(problem, rewards - problem.beta * kl_divergence(law, problem.log_base))


def best_objective(problem: TabularProblem) -> float:
    """`J(pi*) = beta E_x log E_{pi_ref} exp(r*/beta)` (I2)."""
    normalisers: FloatArray = log_normaliser(problem.log_base, problem.reward, problem.beta)
    return _mean(problem, problem.beta * normalisers)


def gap(problem: TabularProblem, law: FloatArray) -> float:
    """`J(pi*) - J(pi) = beta E_x KL(pi || pi*)` (I2): no difference of large numbers, so small gaps keep their digits.

    Parameters
    ----------
    problem : TabularProblem
    law : array, shape (X, Y)
    """
    return _mean(problem, problem.beta * kl_divergence(law, log_optimal_law(problem)))


def _mean(problem: TabularProblem, values: FloatArray) -> float:
    possible = problem.prompt_law > 0
    return float(problem.prompt_law[possible] @ values[possible])


def uncertain_probability(
    problem: TabularProblem, precision: FloatArray, nu: float, anchor: Anchor = "drawn"
) -> FloatArray:
    """`p_Sigma(x) = P(||v(x,y,y')||_{Sigma^-1} > nu)` over `y ~ pi_ref` of every prompt, shape (X,) (S5).

    Parameters
    ----------
    problem : TabularProblem
    precision : array, shape (d, d)
        `Sigma^-1`.
    nu : float
    anchor : {"drawn", "fixed"}
        Whether `y' ~ pi_ref` too, or is the anchor response.
    """
    found = np.empty(problem.prompts)
    for x, (seconds, log_weights) in enumerate(second_laws(problem, anchor)):
        features = problem.features[x]
        mask = uncertain_mask(features[seconds], features, precision, nu)
        found[x] = np.exp(log_weights) @ mask @ np.exp(problem.log_base[x])
    return found


def sampled_gap(
    problem: TabularProblem, mixture: TruncatedMixture, multiplier: float, failure: float, *, seed: int
) -> float:
    """Gap of a mixture of truncated policies as A1 draws from it: clipping and fallback are in it.

    For every component, prompt and anchor `y'` one pilot is drawn; given the pilot the distribution of A1 is exact.
    Where `M >= 4 C` this is the gap of the policy itself, to within `delta`.

    Parameters
    ----------
    problem : TabularProblem
    mixture : TruncatedMixture
    multiplier, failure : float
        `M` and `delta` of A1.
    seed : int
        Of the pilots.
    """
    generator = stream(seed, "pilots of the output")
    trials = sampler_trials(multiplier, failure)
    total = np.zeros(problem.log_base.shape)
    for x, (features, (support, log_weights)) in enumerate(
        zip(problem.features, second_laws(problem, mixture.anchor), strict=True)
    ):
        weights = np.exp(log_weights)
        base = np.exp(problem.log_base[x])
        base /= base.sum()
        uncertain = uncertain_mask(features[support], features, mixture.precision, mixture.nu)
        for theta in mixture.thetas:
            scores = features @ theta
            exponents = np.where(uncertain, 0.0, scores - scores[support, None]) / problem.beta
            pilots = generator.multinomial(trials, base, size=len(support))
            laws, _, _ = law_given_pilot(base, exponents, pilots, multiplier)
            total[x] += weights / weights.sum() @ laws
    with np.errstate(divide="ignore"):
        return gap(problem, np.log(total / len(mixture)))
