"""Least squares on a set of parameters: optimal by enumeration of all faces, by the certificate, and at any scale."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from own_sets import Diamond

from spanver.errors import NotConvergedError
from spanver.kernels import fit
from spanver.learners.least_squares import box_fit, fit_moments_on
from spanver.parameter_sets import Ball, Box, ParameterSet, optimality_gap
from spanver.values import FloatArray

UNIT = 2.0**-53


def on_every_face(features: FloatArray, targets: FloatArray, width: float) -> float:
    """Least sum of squares on a box: of the minima on all its faces that are in it."""
    least, dimension = math.inf, features.shape[1]
    for sides in itertools.product((-1.0, 0.0, 1.0), repeat=dimension):
        theta = width * np.array(sides)
        free = np.array(sides) == 0.0
        theta[free] = np.linalg.lstsq(features[:, free], targets - features @ theta, rcond=None)[0]
        if np.abs(theta).max() <= width * (1.0 + 1e-9):
            least = min(least, float(((features @ theta - targets) ** 2).sum()))
    return least


def assert_least(features: FloatArray, targets: FloatArray, theta: FloatArray, box: Box) -> None:
    """The certificate is rounding: of the products in it, and of the moments."""
    width, length = box.half_width(len(theta)), float(np.linalg.norm(features))
    assert np.abs(theta).max() <= width
    long = features.astype(np.longdouble)
    gradient = (2.0 * long.T @ (long @ theta - targets)).astype(np.float64)
    size = length * width * math.sqrt(len(theta))
    allowed = 32.0 * UNIT * (sum(features.shape) + 8) * size * (size + float(np.linalg.norm(targets)))
    assert optimality_gap(box, theta, gradient) <= allowed


@pytest.mark.parametrize("seed", range(60))
def test_a_box_fit_is_the_least_on_all_faces(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows, dimension = int(generator.integers(1, 9)), int(generator.integers(1, 5))
    features = generator.normal(size=(rows, dimension)) @ np.diag(10.0 ** generator.uniform(-2, 1, dimension))
    if seed % 3 == 0:
        features = np.round(features)  # ties, and dependent columns
    targets, radius = generator.normal(size=rows), float(10.0 ** generator.uniform(-2, 2))
    theta = box_fit(features, targets, radius)
    least = on_every_face(features, targets, radius / math.sqrt(dimension))
    assert ((features @ theta - targets) ** 2).sum() == pytest.approx(least, rel=1e-9, abs=1e-12)
    assert_least(features, targets, theta, Box(radius))


def cases() -> dict[str, tuple[FloatArray, FloatArray]]:
    generator = np.random.default_rng(16)
    thin = generator.normal(size=(40, 2)) @ generator.normal(size=(2, 5))
    collinear = generator.normal(size=(30, 1)) + 1e-8 * generator.normal(size=(30, 3))
    orthogonal = np.linalg.qr(generator.normal(size=(20, 6)))[0]
    return {
        "no data": (np.zeros((0, 3)), np.zeros(0)),
        "zero features": (np.zeros((5, 3)), generator.normal(size=5)),
        "zero targets of rank 2 of 5": (thin, np.zeros(40)),
        "fewer observations than dimensions": (generator.normal(size=(5, 12)), generator.normal(size=5)),
        "rank 2 of 5": (thin, generator.normal(size=40)),
        "a column of zeros": (generator.normal(size=(9, 3)) * [1.0, 0.0, 1.0], generator.normal(size=9)),
        "collinear to 1e-8": (collinear, generator.normal(size=30)),
        "curvatures from 1 to 1e-10": (orthogonal * 10.0 ** np.arange(0.0, -6.0, -1.0), generator.normal(size=20)),
        "many dimensions": (generator.normal(size=(100, 24)), generator.normal(size=100)),
    }


@pytest.mark.parametrize("radius", [1e-3, 0.3, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("name", cases())
def test_box_fits_of_every_rank_and_condition_are_certified(name: str, radius: float) -> None:
    features, targets = cases()[name]
    assert_least(features, targets, box_fit(features, targets, radius), Box(radius))


@pytest.mark.parametrize("exponent", [-120, 0, 120])
def test_a_box_fit_scales_with_features_and_targets(exponent: int) -> None:
    features, targets = cases()["many dimensions"]
    theta = box_fit(features, targets, 0.5)
    assert box_fit(features * 2.0**exponent, targets, 0.5 * 2.0**-exponent) == pytest.approx(theta * 2.0**-exponent)
    assert box_fit(features, targets * 2.0**exponent, 0.5 * 2.0**exponent) == pytest.approx(theta * 2.0**exponent)


def test_directions_outside_the_data_stay_0() -> None:
    assert box_fit(np.array([[1.0, 1.0, 0.0]]), np.array([1.0]), 8.0).tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_a_slope_without_curvature_leads_to_the_ends() -> None:
    theta = fit_moments_on(np.diag([1.0, 0.0, 0.0]), np.array([0.5, 1e-3, -1e-3]), Box(math.sqrt(3.0)))
    assert theta.tolist() == pytest.approx([0.5, 1.0, -1.0])


def test_a_box_fit_is_neither_the_clipped_fit_nor_that_of_the_ball() -> None:
    features, targets = np.array([[1.0, 1.0], [0.0, 0.5]]), np.array([3.0, 0.0])
    theta = box_fit(features, targets, math.sqrt(2.0))
    assert theta.tolist() == [1.0, 1.0]
    clipped = Box(math.sqrt(2.0)).project(np.linalg.lstsq(features, targets, rcond=None)[0])
    assert clipped.tolist() == pytest.approx([1.0, 0.0])
    assert np.abs(fit(features, targets, math.sqrt(2.0)) - theta).max() > 0.05


@pytest.mark.parametrize("parameters", [Ball(0.7), Box(0.7)], ids=str)
def test_projected_gradients_agree_with_the_methods_for_ball_and_box(parameters: ParameterSet) -> None:
    class Own:
        """The same set without its name."""

        radius, project, maximiser = parameters.radius, parameters.project, parameters.maximiser

    features, targets = np.random.default_rng(3).normal(size=(9, 3)), np.arange(9.0)
    gram, moment = features.T @ features, features.T @ targets
    theta = fit_moments_on(gram, moment, Own())  # its sum of squares is right to rounding, so to half of its digits
    assert theta == pytest.approx(fit_moments_on(gram, moment, parameters), abs=1e-6)


def test_a_set_of_somebodys_own_is_fitted_to_its_certificate() -> None:
    generator = np.random.default_rng(4)
    features, targets = generator.normal(size=(9, 4)), generator.normal(size=9)
    gram, moment = features.T @ features, features.T @ targets
    theta = fit_moments_on(gram, moment, Diamond(0.3))
    assert np.abs(theta).sum() == pytest.approx(0.3)
    assert optimality_gap(Diamond(0.3), theta, gram @ theta - moment) <= 1e-13
    assert not fit_moments_on(np.zeros((4, 4)), np.zeros(4), Diamond(0.3)).any()
    assert fit_moments_on(np.zeros((2, 2)), np.array([0.0, -1.0]), Diamond(0.3)).tolist() == [0.0, -0.3]


def test_projections_that_lead_nowhere_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanver.learners.least_squares._STEPS", 3)
    features = np.array([[1.0, 0.0], [0.0, 1e-3]])
    with pytest.raises(NotConvergedError, match="3 projections"):
        fit_moments_on(features, np.array([0.1, 1e-3]), Diamond(10.0))
