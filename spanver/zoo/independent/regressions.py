"""Least squares in a ball, and with a ridge."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from spanver.values import FloatArray

Fit: TypeAlias = Callable[[FloatArray, FloatArray, float], FloatArray]


def shift_by_newton(sigma: FloatArray, coefficients: FloatArray, radius: float) -> float:
    """Shift of the squared singular values with which the solution has norm `radius`, by Newton's method."""
    shift = 0.0
    for _ in range(200):
        solution = sigma * coefficients / (sigma**2 + shift)
        norm = float(np.linalg.norm(solution))
        slope = -float(np.sum(solution**2 / (sigma**2 + shift))) / norm
        step = (norm / radius) * (radius - norm) / slope
        if shift + step == shift or abs(norm - radius) <= 1e-16 * radius:
            break
        shift = max(0.0, shift + step)
    return shift


def fit(
    features: FloatArray,
    targets: FloatArray,
    radius: float,
    *,
    shift: Callable[[FloatArray, FloatArray, float], float] = shift_by_newton,
) -> FloatArray:
    """Least squares in the ball of a radius: of all solutions the shortest, shape (d,)."""
    if len(features) == 0:
        return np.zeros(features.shape[1])
    left, singular, right = np.linalg.svd(features, full_matrices=False)
    if singular[0] == 0.0:
        return np.zeros(features.shape[1])
    kept = singular > singular[0] * max(features.shape) * np.finfo(features.dtype).eps
    scale = singular[0]
    sigma, coefficients, right = singular[kept] / scale, left.T[kept] @ targets / scale, right[kept]
    inside = coefficients / sigma
    if np.linalg.norm(inside) <= radius:
        return np.asarray(right.T @ inside)
    solution = sigma * coefficients / (sigma**2 + shift(sigma, coefficients, radius))
    return np.asarray(right.T @ (solution * (radius / np.linalg.norm(solution))))


def ridge_regression(features: FloatArray, targets: FloatArray, ridge: float) -> FloatArray:
    """Solve the normal equations, shape (d,)."""
    normal = features.T @ features + ridge * np.eye(features.shape[1], dtype=features.dtype)
    return np.asarray(np.linalg.solve(normal, features.T @ targets))


def augmented_ridge(features: FloatArray, targets: FloatArray, ridge: float) -> FloatArray:
    """Least squares by QR of the features with `sqrt(ridge) I` below them, shape (d,)."""
    dimension = features.shape[1]
    rows = np.sqrt(np.asarray(ridge, dtype=features.dtype)) * np.eye(dimension, dtype=features.dtype)
    left, triangle = np.linalg.qr(np.vstack([features, rows]))
    return np.asarray(np.linalg.solve(triangle, left[: len(features)].T @ targets))


def augmented_fit(features: FloatArray, targets: FloatArray, radius: float) -> FloatArray:
    """Least squares in the ball of a radius, with the multiplier of augmented regressions found by bisection."""
    inside = np.linalg.lstsq(features, targets, rcond=None)[0]
    if np.linalg.norm(inside) <= radius:
        return np.asarray(inside)
    low, high = 0.0, float(np.linalg.norm(features.T @ targets)) / radius
    for _ in range(100):
        middle = (low + high) / 2.0
        outside = np.linalg.norm(augmented_ridge(features, targets, middle)) > radius
        low, high = (middle, high) if outside else (low, middle)
    theta = augmented_ridge(features, targets, high)
    return np.asarray(theta * min(1.0, radius / float(np.linalg.norm(theta))))
