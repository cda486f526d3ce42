"""Assertions for tests: each raises `EvidenceError` when the evidence against a claim reaches `1/alpha`.

The sentence of an error states both error rates: the level, and what the sample could have caught.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from spanver.errors import EvidenceError
from spanver.evidence.design import min_discrepancy_law, min_discrepancy_mean, min_discrepancy_same_law
from spanver.evidence.e_values import log_e_law, log_e_mean, log_e_same_law
from spanver.evidence.slopes import compare_with_band, slope
from spanver.validation import require_count, require_probability, to_unit_values
from spanver.verdicts import Verdict

_POWER = 0.99


def split_alpha(alpha: float, guarantees: int, instances: int) -> float:
    """Return the level of one test when the level of a run is divided over all its tests by a union bound.

    Parameters
    ----------
    alpha : float
        Of the run.
    guarantees, instances : int
        Each guarantee is tested on each instance.

    Examples
    --------
    >>> split_alpha(1e-6, 10, 8)
    1.25e-08
    """
    require_probability("alpha", alpha)
    require_count("guarantees", guarantees)
    require_count("instances", instances)
    return alpha / (guarantees * instances)


def assert_mean_at_most(values: ArrayLike, bound: float, *, alpha: float) -> None:
    """Assert that no value in `[0, 1]` has a conditional mean above `bound`; see `log_e_mean`.

    Parameters
    ----------
    values : array_like, shape (n,)
    bound : float
        In `[0, 1]`.
    alpha : float
        Level of the test.

    Raises
    ------
    EvidenceError
        If the e-value reaches `1/alpha`.
    ArgumentError
        If an argument is out of range.
    """
    require_probability("alpha", alpha)
    array = to_unit_values("values", values)
    log_e = log_e_mean(float(array.sum()), array.size, bound)
    if log_e >= -math.log(alpha):
        smallest = min_discrepancy_mean(bound, array.size, alpha=alpha, power=_POWER)
        found = f"the mean is not at most {bound:g} (it came out as {array.mean():.6g})"
        raise EvidenceError(_sentence(found, log_e, alpha, array.size, smallest, "an excess"))


def assert_law(observations: ArrayLike, law: ArrayLike, *, alpha: float, tolerated: float = 0.0) -> None:
    """Assert that independent observations follow a law within `tolerated` of `law`; see `log_e_law`.

    Parameters
    ----------
    observations : array_like of int, shape (n,)
        Categories, in the order drawn.
    law : array_like, shape (k,)
    alpha : float
        Level of the test.
    tolerated : float
        Total variation.

    Raises
    ------
    EvidenceError
        If the e-value reaches `1/alpha`.
    ArgumentError
        If an argument is out of range.
    """
    require_probability("alpha", alpha)
    log_e = log_e_law(observations, law, tolerated=tolerated)
    if log_e >= -math.log(alpha):
        samples = np.asarray(observations).size
        smallest = min_discrepancy_law(law, samples, alpha=alpha, tolerated=tolerated, power=_POWER)
        found = "the observations do not follow the law" + (f" to within {tolerated:g}" if tolerated > 0 else "")
        raise EvidenceError(_sentence(found, log_e, alpha, samples, smallest, "a total variation"))


def assert_same_law(first: ArrayLike, second: ArrayLike, categories: int, *, alpha: float) -> None:
    """Assert that two independent samples of equal length follow the same law; see `log_e_same_law`.

    Parameters
    ----------
    first, second : array_like of int, shape (n,)
        Categories, in the order drawn.
    categories : int
    alpha : float
        Level of the test.

    Raises
    ------
    EvidenceError
        If the e-value reaches `1/alpha`.
    ArgumentError
        If an argument is out of range.
    """
    require_probability("alpha", alpha)
    log_e = log_e_same_law(first, second, categories)
    if log_e >= -math.log(alpha):
        samples = np.asarray(first).size
        smallest = min_discrepancy_same_law(categories, samples, alpha=alpha, power=_POWER)
        found = "the two samples do not follow the same law"
        raise EvidenceError(_sentence(found, log_e, alpha, samples, smallest, "a total variation"))


def assert_slope(sizes: ArrayLike, values: ArrayLike, band: tuple[float, float], *, level: float = 0.95) -> None:
    """Assert that the whole interval of `slope` lies inside `band`; arguments as for `slope` and `compare_with_band`.

    Raises
    ------
    EvidenceError
        If it does not: the sentence says whether the claim is violated or undecided.
    ArgumentError
        If an argument is out of range or shape.
    """
    fitted = slope(sizes, values, level=level)
    verdict = compare_with_band(fitted, band)
    if verdict is not Verdict.HOLDS:
        advice = "; a longer ladder or more seeds would decide" if verdict is Verdict.UNDECIDED else ""
        raise EvidenceError(
            f"a slope in [{band[0]:g}, {band[1]:g}] is {verdict.value}: it came out as {fitted.estimate:.6g}, and lies "
            f"in [{fitted.low:.6g}, {fitted.high:.6g}] at level {level:g}{advice}"
        )


def _sentence(found: str, log_e: float, alpha: float, samples: int, smallest: float, violation: str) -> str:
    caught = f"{violation} of {smallest:.3g} or more" if math.isfinite(smallest) else "no violation for sure"
    e_value = f"{math.exp(log_e):.3g}" if log_e < 700 else f"exp({log_e:.6g})"
    return (
        f"{found}: e-value {e_value} >= 1/alpha = {1 / alpha:.3g} (log {log_e:.4g} >= {-math.log(alpha):.4g}) after "
        f"n = {samples} samples, which would have caught {caught} with probability {_POWER:g}; a false alarm has "
        f"probability at most {alpha:g}"
    )
