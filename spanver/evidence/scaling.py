"""Slopes over ladders of sizes: estimates with intervals over independent seeds, and their verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from spanver.errors import require, require_probability
from spanver.evidence.means import EvidenceError
from spanver.verdicts import Verdict

__all__ = ["Slope", "assert_slope", "judge", "slope"]


@dataclass(frozen=True)
class Slope:
    """An exponent: estimate and interval at a confidence level."""

    estimate: float
    low: float
    high: float
    level: float


def slope(sizes: ArrayLike, values: ArrayLike, *, level: float = 0.95) -> Slope:
    """Exponent of a power law: least squares on logarithms for each seed, and Student's interval over the seeds.

    Parameters
    ----------
    sizes : array, shape (n,)
        Positive, at least two different.
    values : array, shape (seeds, n)
        Positive; at least two independent seeds.
    level : float
        Of the interval.
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(values, dtype=np.float64)
    require(y.ndim == 2 and len(y) >= 2, "the shape of values", y.shape, "(seeds, sizes), at least two seeds")
    require(x.shape == y.shape[1:], "the shape of sizes", x.shape, f"{y.shape[1:]}")
    require(bool((x > 0).all() and (y > 0).all()), "sizes and values", "some", "positive")
    require_probability("level", level)
    centred = np.log(x) - np.log(x).mean()
    require(bool(np.abs(centred).max() > 0), "sizes", x.tolist(), "of at least two different values")
    slopes = np.log(y) @ centred / (centred @ centred)
    half = float(student.ppf((1 + level) / 2, len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes)))
    estimate = float(slopes.mean())
    return Slope(estimate, estimate - half, estimate + half, level)


def judge(found: Slope, band: tuple[float, float]) -> Verdict:
    """Compare the whole interval with a band: inside holds, outside is violated, anything else is undecided."""
    low, high = band
    if low <= found.low and found.high <= high:
        return Verdict.HOLDS
    return Verdict.VIOLATED if found.high < low or high < found.low else Verdict.UNDECIDED


def assert_slope(sizes: ArrayLike, values: ArrayLike, band: tuple[float, float], *, level: float = 0.95) -> None:
    """Reject a slope whose interval does not lie inside the band.

    Raises
    ------
    EvidenceError
    """
    found = slope(sizes, values, level=level)
    verdict = judge(found, band)
    if verdict is not Verdict.HOLDS:
        interval = f"[{found.low:.4g}, {found.high:.4g}] at level {level}"
        raise EvidenceError(f"slope {found.estimate:.4g}, {interval}, band {list(band)}: {verdict.value}")
