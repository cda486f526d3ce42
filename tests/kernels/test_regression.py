"""Fits meet their optimality conditions, at any scale and rank."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernel_cases import EPS, PLACES, Array, Place, close, generator
from scipy.optimize import brentq

from spanver import kernels


def test_a_ridge_regression_is_that_of_the_augmented_least_squares_problem() -> None:
    rng = generator(6)
    features, targets = rng.normal(size=(5, 3)), rng.normal(size=5)
    augmented = np.concatenate([features, np.sqrt(0.7) * np.eye(3)])
    expected = np.linalg.lstsq(augmented, np.append(targets, np.zeros(3)), rcond=None)[0]
    assert np.allclose(kernels.ridge_regression(features, targets, 0.7), expected)


def assert_kkt(features: Array, targets: Array, radius: float, theta: Array) -> None:
    """E6, with residuals no larger than the rounding of the products in them."""
    observations, dimension = features.shape
    long_features, long_theta = features.astype(np.longdouble), theta.astype(np.longdouble)
    descent = long_features.T @ (targets.astype(np.longdouble) - long_features @ long_theta)
    norm = float(np.linalg.norm(theta))
    length = float(np.linalg.norm(features))
    size = 8.0 * (observations + dimension) * EPS * length * (length * norm + float(np.linalg.norm(targets)))
    assert theta.shape == (dimension,)
    assert np.isfinite(theta).all()
    assert norm <= radius * (1.0 + 4.0 * (dimension + 1) * EPS)
    mu = 0.0
    if norm >= radius * (1.0 - 1e-9):
        mu = float(long_theta @ descent) / norm**2
        assert mu * norm >= -size
    assert float(np.linalg.norm((descent - mu * long_theta).astype(np.float64))) <= size


def least_squares_data() -> dict[str, tuple[Array, Array]]:
    rng = generator(16)
    thin = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 5))
    collinear = rng.normal(size=(30, 1)) + 1e-8 * rng.normal(size=(30, 3))
    orthogonal = np.linalg.qr(rng.normal(size=(20, 6)))[0]
    return {
        "no data": (np.zeros((0, 3)), np.zeros(0)),
        "zero features": (np.zeros((5, 3)), rng.normal(size=5)),
        "zero targets": (rng.normal(size=(5, 3)), np.zeros(5)),
        "zero targets of rank 2 of 5": (thin, np.zeros(40)),
        "one observation": (rng.normal(size=(1, 4)), rng.normal(size=1)),
        "one dimension": (rng.normal(size=(6, 1)), rng.normal(size=6)),
        "fewer observations than dimensions": (rng.normal(size=(5, 12)), rng.normal(size=5)),
        "one observation, many times": (np.tile(rng.normal(size=(1, 4)), (50, 1)), rng.normal(size=50)),
        "rank 2 of 5": (thin, rng.normal(size=40)),
        "a column of zeros": (rng.normal(size=(9, 3)) * [1.0, 0.0, 1.0], rng.normal(size=9)),
        "collinear to 1e-8": (collinear, rng.normal(size=30)),
        "curvatures from 1 to 1e-10": (orthogonal * 10.0 ** np.arange(0.0, -6.0, -1.0), rng.normal(size=20)),
        "well conditioned": (rng.normal(size=(60, 8)), rng.normal(size=60)),
        "many dimensions": (rng.normal(size=(100, 24)), rng.normal(size=100)),
    }


LEAST_SQUARES = least_squares_data()


@pytest.mark.parametrize("name", list(LEAST_SQUARES))
def test_fit_obeys_the_kkt_conditions(backend: Place, name: str) -> None:
    features, targets = LEAST_SQUARES[name]
    put, get = backend.put, backend.get
    gram, moment = features.T @ features, features.T @ targets
    for radius in (1e-9, 1e-3, 0.1, 1.0, 30.0, 1e9):
        assert_kkt(features, targets, radius, get(kernels.fit(put(features), put(targets), radius)))
        assert_kkt(features, targets, radius, get(kernels.fit_moments(put(gram), put(moment), radius)))


def fit_by_bisection(features: Array, targets: Array, radius: float) -> Array:
    """The multiplier by a bracketing root finder, each theta by an LU solve of the normal equations."""
    gram, moment = features.T @ features, features.T @ targets

    def theta(mu: float) -> Array:
        return np.asarray(np.linalg.solve(gram + mu * np.eye(len(moment)), moment), dtype=np.float64)

    if float(np.linalg.norm(theta(0.0))) <= radius:
        return theta(0.0)
    above = float(np.linalg.norm(moment)) / radius
    return theta(brentq(lambda mu: float(np.linalg.norm(theta(mu))) - radius, 0.0, above, xtol=1e-300, rtol=4 * EPS))


@pytest.mark.parametrize("name", ["one dimension", "well conditioned", "many dimensions"])
def test_fit_agrees_with_a_bracketing_root_finder(backend: Place, name: str) -> None:
    features, targets = LEAST_SQUARES[name]
    unconstrained = float(np.linalg.norm(np.linalg.lstsq(features, targets)[0]))
    for share in (1e-6, 0.01, 0.5, 0.999, 1.0 - 1e-12, 1.0 + 1e-12, 1.001, 1e6):
        radius = share * unconstrained
        theta = backend.get(kernels.fit(backend.put(features), backend.put(targets), radius))
        close(theta, fit_by_bisection(features, targets, radius), 1e-12)


@pytest.mark.parametrize(
    ("observations", "dimension", "rank"), [(1, 3, 1), (2, 3, 2), (5, 16, 5), (50, 5, 2), (20000, 3, 1)]
)
def test_fit_of_rank_deficient_data_is_the_least_minimiser(observations: int, dimension: int, rank: int) -> None:
    errors = []
    for repetition in range(30):
        rng = generator(17, observations, dimension, rank, repetition)
        # Multiples of 2^-22 and 2^-16, so that their products are exact: the rank is what it says.
        left = np.round(rng.normal(size=(observations, rank)) * 2.0**22) / 2.0**22
        right = np.round(rng.normal(size=(rank, dimension)) * 2.0**16) / 2.0**16
        features, targets = left @ right, rng.normal(size=observations)
        theta = kernels.fit(features, targets, 1e6)
        assert_kkt(features, targets, 1e6, theta)
        least = np.linalg.lstsq(features, targets, rcond=1e-9)[0]
        errors.append(float(np.linalg.norm(theta - least) / np.linalg.norm(least)))
    worst, wrong = max(errors), sum(error > 1e-6 for error in errors)
    assert worst <= 1e-6, f"{wrong} of {len(errors)} are not the least"


def assert_fit_scales(backend: Place, feature_exponent: int, target_exponent: int) -> None:
    """Features times `2^e` and targets times `2^f` are the same problem with theta times `2^(f-e)`, exactly."""
    features, targets = LEAST_SQUARES["well conditioned"]
    factor = target_exponent - feature_exponent
    for share in (1e-3, 0.5, 2.0):
        radius = share * float(np.linalg.norm(np.linalg.lstsq(features, targets)[0]))
        scaled = backend.put(np.ldexp(features, feature_exponent)), backend.put(np.ldexp(targets, target_exponent))
        theta = backend.get(kernels.fit(*scaled, radius=math.ldexp(radius, factor)))
        assert_kkt(features, targets, radius, np.ldexp(theta, -factor))


@pytest.mark.parametrize("feature_exponent", [-100, 0, 100])
@pytest.mark.parametrize("target_exponent", [-100, 0, 100])
def test_fit_takes_large_and_small_data(backend: Place, feature_exponent: int, target_exponent: int) -> None:
    assert_fit_scales(backend, feature_exponent, target_exponent)


@pytest.mark.parametrize("feature_exponent", [-300, 0, 300])
@pytest.mark.parametrize("target_exponent", [-300, 0, 300])
def test_fit_takes_all_data_whose_moments_are_numbers(feature_exponent: int, target_exponent: int) -> None:
    assert_fit_scales(PLACES["numpy"](), feature_exponent, target_exponent)


def test_targets_whose_squares_vanish_are_fitted_like_others(backend: Place) -> None:
    features, targets = LEAST_SQUARES["well conditioned"]
    expected = np.linalg.lstsq(features, targets)[0]
    theta = backend.get(kernels.fit(backend.put(features), backend.put(np.ldexp(targets, -600)), 1.0))
    close(np.ldexp(theta, 600), expected, 1e-12)


def test_a_direction_without_moment_stays_at_zero_on_the_sphere(backend: Place) -> None:
    """Of the direction of least curvature too, from which the multiplier starts otherwise."""
    gram, moment = np.diag([1.0, 2.0, 4.0]), np.array([0.0, 2.2, 0.0])
    theta = backend.get(kernels.fit_moments(backend.put(gram), backend.put(moment), 1.0))
    close(theta, np.array([0.0, 1.0, 0.0]), 1e-15)


def test_what_is_rounding_is_measured_against_the_largest_curvature() -> None:
    """Curvatures 8 and `4 r`, where `r` is the rounding of 8 dimensions that `fit_moments` allows for, and zeros."""
    rounding = 1e3 * 8 * EPS
    large, small = np.ones(8), np.array([1.0, -1.0] * 4) / math.sqrt(8.0)
    gram = np.outer(large, large) + 4.0 * rounding * np.outer(small, small)
    moment = large + 0.5 * rounding * small
    theta = kernels.fit_moments(gram, moment, 10.0)
    close(theta, large / 8.0, 1e-9)  # the small direction would have had 1/8 of its own
