"""Scaling claims (section 6 of mathematics.md): a power law is fitted for each seed and judged by its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from spanver.validation import require, require_probability
from spanver.verdicts import Verdict


@dataclass(frozen=True)
class Slope:
    """The exponent of a power law, and an interval that holds it with probability `level`."""

    estimate: float
    low: float
    high: float
    level: float


def slope(sizes: ArrayLike, values: ArrayLike, *, covariate: ArrayLike | None = None, level: float = 0.95) -> Slope:
    """Fit `value = constant * size^slope` for each seed, and give Student's interval over the seeds.

    Seeds are independent, sizes within a seed need not be: least squares on logs gives one slope for each seed, and
    only the spread of these is used.

    Parameters
    ----------
    sizes : array_like, shape (m,)
        Positive, not all equal.
    values : array_like, shape (seeds, m)
        Positive; at least 2 seeds.
    covariate : array_like, shape (m,), optional
        Positive. Fitted is `constant * size^slope * covariate^other`; the other exponent is not returned. The slope is
        the growth that no power of the covariate explains.
    level : float
        Of the interval.

    Raises
    ------
    ArgumentError
        If an argument is out of range or shape.

    Examples
    --------
    >>> fit = slope([1, 2, 4], [[3, 12, 48], [5, 20, 80]])
    >>> round(fit.low, 9), round(fit.estimate, 9), round(fit.high, 9)
    (2.0, 2.0, 2.0)
    >>> horizons = [1, 2, 3, 4]
    >>> cubes = [[7 * horizon**3 for horizon in horizons], [8 * horizon**3 for horizon in horizons]]
    >>> abs(slope([2**horizon for horizon in horizons], cubes, covariate=horizons).estimate) < 1e-9  # no factor a step
    True
    """
    require_probability("level", level)
    ladder, measured = _positive("sizes", sizes), _positive("values", values)
    require(ladder.ndim == 1 and np.unique(ladder).size >= 2, "sizes", sizes, "a vector of at least 2 different sizes")
    fits = measured.ndim == 2 and measured.shape[0] >= 2 and measured.shape[1] == ladder.size
    require(fits, "values", values, f"of shape (seeds, {ladder.size}) with at least 2 seeds")
    steps = np.log(ladder) - np.log(ladder).mean()
    if covariate is not None:
        others = _positive("covariate", covariate)
        require(others.shape == ladder.shape, "covariate", covariate, f"of shape ({ladder.size},)")
        others = np.log(others) - np.log(others).mean()
        # Frisch and Waugh: what of the sizes the others do not explain gives the slope of the joint fit.
        steps = steps - (steps @ others) / (others @ others) * others
        require(
            float(steps @ steps) > 1e-12 * ladder.size,
            "covariate",
            covariate,
            "no power of the sizes, and not constant",
        )
    slopes = np.log(measured) @ steps / (steps @ steps)
    estimate = float(slopes.mean())
    quantile = float(stdtrit(slopes.size - 1, (1 + level) / 2))
    margin = quantile * float(slopes.std(ddof=1)) / math.sqrt(slopes.size)
    return Slope(estimate, estimate - margin, estimate + margin, level)


def compare_with_band(fitted: Slope, band: tuple[float, float]) -> Verdict:
    """Compare the whole interval with a closed band.

    Parameters
    ----------
    fitted : Slope
    band : tuple of float
        Least and largest slope that the claim allows; either may be infinite.

    Returns
    -------
    Verdict
        `HOLDS` if the interval lies inside, `VIOLATED` if it lies wholly outside, else `UNDECIDED`.

    Raises
    ------
    ArgumentError
        If the band is empty.

    Examples
    --------
    >>> compare_with_band(Slope(1.0, 0.9, 1.2, 0.95), (0.0, 1.1))
    <Verdict.UNDECIDED: 'undecided'>
    """
    least, most = band
    require(least <= most, "band", band, "two numbers, the lower one first")
    if least <= fitted.low and fitted.high <= most:
        return Verdict.HOLDS
    return Verdict.VIOLATED if fitted.high < least or fitted.low > most else Verdict.UNDECIDED


def _positive(name: str, numbers: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(numbers, dtype=float)
    require(bool(((array > 0) & (array < np.inf)).all()), name, numbers, "finite numbers above 0")
    return array
