"""Sets of parameters `Theta` (mathematics.md, section 1): the ball, the box, and what any other convex set offers.

A problem and its oracle state `Theta` by two independent facts: the radius `B`, the largest norm of a parameter, on
which settings and bounds depend, and the shape, which makes the set of a radius. `Ball` and `Box` are shapes; so is any
other function of `B` that returns a `ParameterSet` of that radius.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np

from spanver.errors import ArgumentError
from spanver.validation import require, require_positive
from spanver.values import FloatArray

MARGIN = 1e-12
"""Distance from the set, in units of the radius, up to which a parameter is of it: rounding of a projected one."""


class ParameterSet(Protocol):
    """A closed convex set of parameters that holds 0 (FMR25, Definition 1.1, p. 4, and Assumption 2.1, p. 6)."""

    @property
    def radius(self) -> float:
        """`B`, the largest norm of a parameter."""
        ...

    def project(self, theta: FloatArray, /) -> FloatArray:
        """Return the nearest parameter of the set, shape (d,)."""
        ...

    def maximiser(self, direction: FloatArray, /) -> FloatArray:
        """Return a parameter of largest `<direction, theta>` in the set, shape (d,)."""
        ...


Shape: TypeAlias = Callable[[float], ParameterSet]
"""Makes the set of a radius `B`."""


@dataclass(frozen=True, slots=True)
class Ball:
    """The ball `||theta|| <= B`.

    Parameters
    ----------
    radius : float
        `B`, above 0.

    Examples
    --------
    >>> Ball(1.0).project(np.array([3.0, 4.0]))
    array([0.6, 0.8])
    """

    radius: float

    def __post_init__(self) -> None:
        require_positive("radius", self.radius)

    def __str__(self) -> str:
        return f"the ball of radius {self.radius:g}"

    def project(self, theta: FloatArray) -> FloatArray:
        """Return the nearest parameter of the ball, shape (d,)."""
        return theta * 1.0 if _norm(theta) <= self.radius else self.maximiser(theta)

    def maximiser(self, direction: FloatArray) -> FloatArray:
        """Return `B direction/||direction||`, shape (d,); of no direction 0."""
        # Squares of the smallest floats are 0, and of the largest infinite; a division by a power of 2 rounds nothing.
        largest = float(np.abs(direction).max(initial=0.0))
        unit = direction / (math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > 0.0 else 1.0)
        return unit / (float(np.linalg.norm(unit)) or 1.0) * self.radius


@dataclass(frozen=True, slots=True)
class Box:
    """The box `|theta_i| <= B/sqrt(d)`, which is inscribed in the ball of radius `B`.

    That of FMR25, Section 4 and Appendix H, `||theta||_inf <= 1`, has `B = sqrt(d)`.

    Parameters
    ----------
    radius : float
        `B`, above 0: the norm of its corners.

    Examples
    --------
    >>> Box(math.sqrt(2.0)).project(np.array([3.0, 0.5]))
    array([1. , 0.5])
    """

    radius: float

    def __post_init__(self) -> None:
        require_positive("radius", self.radius)

    def __str__(self) -> str:
        return f"the box whose corners have norm {self.radius:g}"

    def half_width(self, dimension: int) -> float:
        """Return the largest size of a coordinate, `B/sqrt(d)`."""
        return self.radius / math.sqrt(dimension)

    def project(self, theta: FloatArray) -> FloatArray:
        """Return the nearest parameter of the box, shape (d,)."""
        width = self.half_width(len(theta))
        return np.clip(theta, -width, width)

    def maximiser(self, direction: FloatArray) -> FloatArray:
        """Return the corner in the orthant of a direction, shape (d,); where that is 0, a coordinate is 0."""
        return self.half_width(len(direction)) * np.sign(direction)


SHAPES: Mapping[str, Shape] = MappingProxyType({"ball": Ball, "box": Box})
"""Shapes by their names in records and over pipes."""


def shape_name(shape: Shape) -> str:
    """Return the name of a shape in records and over pipes.

    Raises
    ------
    ArgumentError
        If it has none: a set of somebody's own stays in its process.
    """
    for name, known in SHAPES.items():
        if shape is known:
            return name
    raise ArgumentError("shape", shape, f"one that has a name: {', '.join(SHAPES)}")


def distance(parameters: ParameterSet, theta: FloatArray) -> float:
    """Return the distance of a vector of shape (d,) from a set."""
    return _norm(theta - parameters.project(theta))


def _norm(theta: FloatArray) -> float:
    """Return the norm of a vector also where the squares of its coordinates are no floats, or 0."""
    return math.hypot(*theta.tolist())


def require_inside(name: str, theta: FloatArray, parameters: ParameterSet) -> None:
    """Refuse a vector of shape (d,) that is farther from a set than `MARGIN` times its radius.

    Raises
    ------
    ArgumentError
    """
    off = distance(parameters, theta)
    require(off <= MARGIN * parameters.radius, f"the distance of {name} from {parameters}", off, "0, but for rounding")


def optimality_gap(parameters: ParameterSet, theta: FloatArray, gradient: FloatArray) -> float:
    """Return `max <gradient, theta - theta'>` over the `theta'` of a set, at a `theta` of it.

    At 0 the conditions of Karush, Kuhn and Tucker hold. A convex function with this gradient at `theta` is above its
    minimum on the set by no more.

    Parameters
    ----------
    parameters : ParameterSet
    theta, gradient : array, shape (d,)

    Examples
    --------
    >>> optimality_gap(Box(1.0), np.array([1.0]), np.array([-2.0]))  # the minimum is at the end
    0.0
    >>> optimality_gap(Box(1.0), np.array([0.5]), np.array([-2.0]))
    1.0
    """
    return float(gradient @ (theta - parameters.maximiser(-gradient)))
