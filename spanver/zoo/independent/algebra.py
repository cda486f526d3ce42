"""Laws, norms, divergences and draws, by their definitions."""

from __future__ import annotations

import math

import numpy as np

from spanver.values import FloatArray, IntArray


def log_sum_exp(values: FloatArray) -> float:
    """Logarithm of a sum of exponentials; of none, or of zeros, minus infinity."""
    peak = np.max(values)
    if peak == -np.inf:
        return -math.inf
    return float(peak + np.log(np.sum(np.exp(values - peak))))


def sigmoid(values: FloatArray) -> FloatArray:
    """Logistic function."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))


def quadratic_norms(vectors: FloatArray, precision: FloatArray) -> FloatArray:
    """Elliptic norms of vectors of shape (.., d), given the inverse of Sigma: shape (..)."""
    squares = np.einsum("...i,ij,...j->...", vectors, precision, vectors)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def elliptic_norms(features: FloatArray, sigma: FloatArray) -> FloatArray:
    """Elliptic norms of features of shape (n, d), given Sigma: shape (n,)."""
    factor = np.linalg.cholesky(sigma)
    return np.asarray(np.linalg.norm(np.linalg.solve(factor, features.T), axis=0))


def log_softmax(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    """Log probabilities of a softmax policy, shape (n,)."""
    exponents = log_base + scores / beta
    return np.asarray(exponents - log_sum_exp(exponents))


def truncated_scores(
    features: FloatArray, anchor: FloatArray, theta: FloatArray, precision: FloatArray, nu: float
) -> FloatArray:
    """Scores of features of shape (n, d) relative to an anchor, 0 where their norm exceeds `nu`: shape (n,)."""
    relative = features - anchor
    covered = quadratic_norms(relative, precision) <= nu
    return np.asarray(np.where(covered, relative @ theta, 0.0))


def kl_divergence(law: FloatArray, reference: FloatArray) -> float:
    """Divergence of two laws in logs, may be infinite."""
    held = law > -np.inf
    if np.any(reference[held] == -np.inf):
        return math.inf
    return float(np.sum(np.exp(law[held]) * (law[held] - reference[held])))


def kl_estimate(law: FloatArray, reference: FloatArray) -> FloatArray:
    """Log ratio of each draw of a law to a reference, both in logs: shape (n,)."""
    return law - reference


def log_coverage(law: FloatArray, log_base: FloatArray) -> float:
    """Logarithm of the largest ratio of two laws in logs, may be infinite."""
    if np.any((log_base == -np.inf) & (law > -np.inf)):
        return math.inf
    held = log_base > -np.inf
    return float(np.max(law[held] - log_base[held]))


def places(law: FloatArray, uniforms: FloatArray) -> IntArray:
    """Outcomes of a finite law by inversion of uniform numbers."""
    held = np.flatnonzero(law > 0.0)
    cumulative = np.cumsum(law[held])
    found = np.searchsorted(cumulative, uniforms * cumulative[-1], side="right")
    return np.asarray(held[np.minimum(found, len(held) - 1)])


def draw(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """Draw from a finite law: indices, shape (count,)."""
    return places(probabilities, np.random.default_rng(seed).random(count))


def draw_weights(weights: FloatArray, count: int, seed: int) -> IntArray:
    """Draw in proportion to weights of any scale: indices, shape (count,)."""
    scaled = np.asarray(weights, dtype=np.float64) / float(np.max(weights))
    return draw(scaled / scaled.sum(), count, seed)


def draw_logits(logits: FloatArray, count: int, seed: int) -> IntArray:
    """Draw by logits, some of which may be minus infinity: indices, shape (count,)."""
    values = np.asarray(logits, dtype=np.float64)
    return draw_weights(np.exp(values - values.max()), count, seed)


def draw_batch(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """Draw from every law of a batch: indices, shape (m, count)."""
    uniforms = np.random.default_rng(seed).random((len(probabilities), count))
    return np.stack([places(law, row) for law, row in zip(probabilities, uniforms, strict=True)])


def draw_distinct(weights: FloatArray, count: int, seed: int) -> IntArray:
    """Draw one after another without replacement: the first to ring of exponential clocks of these rates."""
    rates = np.asarray(weights, dtype=np.float64) / float(np.max(weights))
    with np.errstate(divide="ignore"):
        rings = np.log(np.random.default_rng(seed).exponential(size=len(rates))) - np.log(rates)
    return np.argsort(rings)[:count]
