"""A subject in Python: SpannerSampling and what it is made of, with NumPy alone.

    cd examples && spanver verify subject:subject

An oracle is queried by its methods and charges for every answer; docs/subjects.md lists them, and what values have.
"""

import math
import sys

import numpy as np

name = "example in Python"
claims = ("A1", "A2")  # to the letter: conformance is judged too
provides = (
    "elliptic_norms",
    "log_softmax",
    "truncated_scores",
    "fit",
    "softmax_sample",
    "build_spanner",
    "spanner_sampling",
)


def elliptic_norms(features, sigma):
    """`sqrt(v^T Sigma^-1 v)` of each row."""
    return np.sqrt(np.einsum("ij,ji->i", features, np.linalg.solve(sigma, features.T)))


def log_softmax(log_base, scores, beta):
    """Logarithms of `pi_ref exp(f/beta) / Z`; where the base policy is 0 it stays 0, minus infinity."""
    weights = log_base + (scores - scores.max()) / beta
    peak = weights.max()
    return weights - peak - math.log(np.exp(weights - peak).sum())


def truncated_scores(features, anchor, theta, precision, nu):
    """`<theta, v>` where the norm of `v = phi(y) - anchor` is at most `nu`, else 0."""
    v = features - anchor
    covered = np.sqrt(np.einsum("ij,jk,ik->i", v, precision, v)) <= nu
    return np.where(covered, v @ theta, 0.0)


def fit(features, targets, radius):
    """Least squares on the ball `||theta|| <= radius`; of several the shortest."""
    values, vectors = np.linalg.eigh(features.T @ features)
    kept = values > 1e-12 * max(values.max(initial=0.0), 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    moment = vectors.T @ (features.T @ targets)

    def shrunk(mu):
        return moment / (values + mu)

    if np.linalg.norm(shrunk(0.0)) <= radius:
        return vectors @ shrunk(0.0)
    low, high = 0.0, np.linalg.norm(moment) / radius  # the norm falls with mu, and is below the radius at `high`
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(shrunk(middle)) > radius else (low, middle)
    theta = vectors @ shrunk(high)
    return theta * min(1.0, radius / np.linalg.norm(theta))


def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
    """A1: estimate the normaliser from a pilot, then accept or reject fresh draws; at the end, any draw."""
    trials = math.ceil(4 * multiplier * math.log(4 / failure))
    pilot = oracle.sample(prompt, trials)
    log_weights = score.of(pilot.features) / oracle.beta
    peak = log_weights.max()
    log_threshold = math.log(multiplier) + peak + math.log(np.exp(log_weights - peak).mean())
    generator = np.random.default_rng(seed)
    for _ in range(trials):
        response = oracle.sample(prompt, 1)[0]
        log_weight = score.of(response.features[None])[0] / oracle.beta
        if math.log(1.0 - generator.random()) < log_weight - log_threshold:
            return response
    return oracle.sample(prompt, 1)[0]


def build_spanner(oracle, *, prompts, pairs_per_prompt, nu, ridge, seed):
    """Phase 1 of A2: at every prompt, draw pairs until one is uncertain, at most `pairs_per_prompt`."""
    sigma = ridge * np.eye(oracle.dimension)
    found = {"prompts": [], "first": [], "second": [], "vectors": [], "targets": []}
    for _ in range(prompts):
        prompt = oracle.prompt()
        for _ in range(pairs_per_prompt):
            one, two = oracle.sample(prompt, 2)
            v = one.features - two.features
            if elliptic_norms(v[None], sigma)[0] > nu:
                target = oracle.reward(prompt, one) - oracle.reward(prompt, two)
                for key, value in zip(found, (prompt, one.id, two.id, v, target), strict=True):
                    found[key].append(value)
                sigma = sigma + np.outer(v, v)
                break
    return {**found, "sigma": sigma}


class Truncated:
    """The score that `softmax_sample` takes: of features of shape (n, d), shape (n,)."""

    def __init__(self, *parts):
        self.parts = parts

    def of(self, features):
        """Scores of features."""
        return truncated_scores(features, *self.parts)


def spanner_sampling(oracle, *, seed, settings):
    """A2: phase 1, then rounds of a truncated softmax policy against the base policy, each fitted to all data."""
    spanner = build_spanner(
        oracle,
        prompts=settings.prompts,
        pairs_per_prompt=settings.pairs_per_prompt,
        nu=settings.nu,
        ridge=settings.ridge,
        seed=seed,
    )
    precision = np.linalg.inv(spanner["sigma"])
    vectors, targets, thetas = list(spanner["vectors"]), list(spanner["targets"]), []
    for index in range(settings.exploration_rounds):
        theta = fit(np.reshape(vectors, (-1, oracle.dimension)), np.array(targets), oracle.radius)
        prompt = oracle.prompt()
        two = oracle.sample(prompt, 1)[0]
        one = softmax_sample(
            oracle,
            prompt,
            Truncated(two.features, theta, precision, settings.nu),
            multiplier=settings.rejection_multiplier,
            failure=settings.rejection_failure,
            seed=[seed, index],
        )
        vectors.append(one.features - two.features)
        targets.append(oracle.reward(prompt, one) - oracle.reward(prompt, two))
        thetas.append(theta)
    return {"thetas": thetas, "precision": precision, "nu": settings.nu}


subject = sys.modules[__name__]
