"""Sets of parameters: projections and maximisers are so by their definitions, and refusals name the set."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from own_sets import Diamond

from spanver.errors import ArgumentError
from spanver.parameter_sets import (
    MARGIN,
    SHAPES,
    Ball,
    Box,
    ParameterSet,
    Shape,
    distance,
    optimality_gap,
    require_inside,
    shape_name,
)
from spanver.values import FloatArray

MADE = [Ball(2.0), Box(2.0), Diamond(2.0)]


def members(parameters: ParameterSet, count: int, dimension: int) -> FloatArray:
    """Parameters of a set, of which many are far out."""
    wide = np.random.default_rng(5).normal(size=(count, dimension)) * 3.0 * parameters.radius
    return np.array([parameters.project(each) for each in wide])


@pytest.mark.parametrize("parameters", MADE, ids=str)
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_a_projection_is_in_the_set_and_nearer_than_any_other_parameter(
    parameters: ParameterSet, dimension: int
) -> None:
    inside = members(parameters, 200, dimension)
    assert np.linalg.norm(inside, axis=1).max() <= parameters.radius * (1.0 + 1e-15)
    for outside in np.random.default_rng(6).normal(size=(20, dimension)) * 5.0:
        nearest = parameters.project(outside)
        # The angle between what is left and any way into the set is not acute.
        assert ((inside - nearest) @ (outside - nearest)).max() <= 1e-13 * np.linalg.norm(outside) ** 2
        assert parameters.project(nearest) == pytest.approx(nearest, abs=1e-15)


@pytest.mark.parametrize("parameters", MADE, ids=str)
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_a_maximiser_is_in_the_set_and_no_parameter_goes_farther(parameters: ParameterSet, dimension: int) -> None:
    inside = members(parameters, 200, dimension)
    for direction in np.random.default_rng(7).normal(size=(20, dimension)):
        farthest = parameters.maximiser(direction)
        assert distance(parameters, farthest) <= MARGIN * parameters.radius
        assert (inside @ direction).max() <= farthest @ direction + 1e-14


@pytest.mark.parametrize("shape", [Ball, Box])
def test_the_radius_is_the_norm_of_the_longest_parameter(shape: Shape) -> None:
    for dimension in (1, 3, 8):
        corner = np.ones(dimension)
        assert np.linalg.norm(shape(3.0).maximiser(corner)) == pytest.approx(3.0, rel=1e-15)


def test_the_box_of_the_paper_has_half_width_1_to_the_bit() -> None:
    for dimension in range(1, 200):
        box = Box(math.sqrt(dimension))
        assert box.half_width(dimension) == 1.0
        require_inside("theta", np.ones(dimension), box)


def test_directions_of_any_size_have_a_maximiser() -> None:
    for size in (1e-300, 1e300):
        assert Ball(2.0).maximiser(np.array([size, 0.0])).tolist() == [2.0, 0.0]
        assert Box(math.sqrt(2.0)).maximiser(np.array([size, -size])).tolist() == [1.0, -1.0]
    assert not Ball(2.0).maximiser(np.zeros(2)).any()
    assert not Box(2.0).maximiser(np.zeros(2)).any()


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1.0, 1e160, 1e307])
def test_vectors_of_any_size_have_a_nearest_parameter_and_a_distance(size: float) -> None:
    theta = size * np.array([3.0, 4.0])
    for radius in (size, 1e-3 * size):
        assert Ball(radius).project(theta) == pytest.approx(radius * np.array([0.6, 0.8]), rel=1e-15)
        assert distance(Ball(radius), theta) == pytest.approx(5.0 * size - radius, rel=1e-14)
    assert Ball(6.0 * size).project(theta).tolist() == theta.tolist()
    assert distance(Ball(6.0 * size), theta) == 0.0
    # Of the box, whose half width is 2, the nearest corner is at (1, 2) from here.
    assert distance(Box(math.sqrt(8.0) * size), theta) == pytest.approx(math.sqrt(5.0) * size, rel=1e-14)


@pytest.mark.parametrize("parameters", MADE, ids=str)
def test_a_convex_function_is_above_its_minimum_by_no_more_than_its_optimality_gap(parameters: ParameterSet) -> None:
    generator = np.random.default_rng(8)
    features, targets = generator.normal(size=(6, 3)), 3.0 * generator.normal(size=6)
    inside = members(parameters, 2000, 3)
    values = ((inside @ features.T - targets) ** 2).sum(axis=1)
    for theta, value in zip(inside[:50], values[:50], strict=True):
        gap = optimality_gap(parameters, theta, 2.0 * features.T @ (features @ theta - targets))
        assert gap >= value - values.min() >= 0.0


def test_what_is_outside_is_refused_by_its_distance_and_the_set() -> None:
    require_inside("theta", np.array([0.6, 0.8]) * (1.0 + 1e-13), Ball(1.0))
    with pytest.raises(ArgumentError, match=re.escape("the distance of theta from the ball of radius 1 is 0.5")):
        require_inside("theta", np.array([0.9, 1.2]), Ball(1.0))
    with pytest.raises(ArgumentError, match="the distance of theta from the box whose corners have norm 1"):
        require_inside("theta", np.array([1.0, 0.0]), Box(1.0))  # on the ball
    with pytest.raises(ArgumentError, match="radius is -1"):
        Box(-1.0)


def test_shapes_have_names_where_they_leave_the_process_and_others_are_refused() -> None:
    assert {name: shape_name(shape) for name, shape in SHAPES.items()} == {"ball": "ball", "box": "box"}
    with pytest.raises(ArgumentError, match="one that has a name: ball, box"):
        shape_name(Diamond)
