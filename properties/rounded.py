"""Assertions that numbers are right up to the rounding of the subject's arithmetic (mathematics.md, section 7).

Nobody is accused by a bound that is no number: what it would have judged counts as not judged, as for an infinite one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spanver.guarantees.residuals import distance_allowed, fit_excess, logistic_excess
from spanver.guarantees.rounding import norm_error, reach
from spanver.parameter_sets import ParameterSet, distance
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.check import Check, expect
from spanver.verification.transcript import Round


def assert_near(check: Check, words: str, measured: Any, expected: Any, allowed: Any) -> None:
    """Assert that numbers are within `allowed` of what is expected, each; infinities have to agree."""
    measured, expected, allowed = np.broadcast_arrays(*(np.asarray(x, float) for x in (measured, expected, allowed)))
    with np.errstate(invalid="ignore"):
        off = np.where(measured == expected, 0.0, np.abs(measured - expected))
    check.judgeable(bool(np.isfinite(allowed).any()), says_nothing(check))
    wrong = np.isnan(off) | (off > allowed)
    if wrong.any():
        worst = np.unravel_index(int(np.argmax(np.where(wrong, off, -1.0))), off.shape)
        found, right = measured[worst].item(), expected[worst].item()
        more = f"off by {off[worst]:.3g}, {check.subject.arithmetic} allows {allowed[worst]:.3g}"
        expect(False, words, f"{found:.9g}", f"{right:.9g}: {more}")


def says_nothing(check: Check) -> str:
    """Why nothing is judged where bounds are infinite."""
    return f"{check.subject.arithmetic} is so coarse that its bounds say nothing"


def assert_at_most(check: Check, words: str, measured: float, bound: float, allowed: float) -> None:
    """Assert that a number is at most its bound, up to `allowed`."""
    check.judgeable(math.isfinite(allowed) and not math.isnan(bound), says_nothing(check))
    more = f"at most {bound:.9g}, and {check.subject.arithmetic} allows {allowed:.3g} more"
    expect(not (math.isnan(measured) or measured > bound + allowed), words, f"{measured:.9g}", more)


def assert_at_least(check: Check, words: str, measured: float, bound: float, allowed: float) -> None:
    """Assert that a number is at least its bound, up to `allowed`."""
    check.judgeable(math.isfinite(allowed) and not math.isnan(bound), says_nothing(check))
    more = f"at least {bound:.9g}, and {check.subject.arithmetic} allows {allowed:.3g} less"
    expect(not (math.isnan(measured) or measured < bound - allowed), words, f"{measured:.9g}", more)


def assert_fit(
    check: Check,
    words: str,
    data: tuple[FloatArray, FloatArray],
    theta: FloatArray,
    parameters: ParameterSet,
    size: tuple[float, float] = (0.0, 0.0),
    mistaken: Callable[[], Mapping[str, tuple[FloatArray, FloatArray]]] = dict,
) -> None:
    """Assert that a parameter is in its set, and that its objective is that of the optimum there (E6).

    Parameters
    ----------
    check : Check
    words : str
        Of what.
    data : tuple of two arrays, shapes (n, d) and (n,)
    theta : array, shape (d,)
    parameters : ParameterSet
        A ball or a box.
    size : tuple of two floats
        Of `fit_excess`.
    mistaken : callable
        Returns other data by what they are, as `data`: what is refused may be the optimum on some of them, and is told.
    """
    unit = check.subject.unit
    assert_inside(check, f"of theta {words}", theta, parameters)
    excess, allowed = fit_excess(*data, theta, parameters, unit, size=size)
    check.judgeable(math.isfinite(allowed), says_nothing(check))
    of = f"sum of squares of theta {theta.tolist()} {words}, above the least in {parameters}"
    most = f"at most the {allowed:.3g} that {check.subject.arithmetic} allows"
    if not (math.isnan(excess) or excess > allowed):
        return
    for name, others in mistaken().items():
        elsewhere, enough = fit_excess(*others, theta, parameters, unit, size=size)
        if len(others[1]) and elsewhere <= enough:
            most += f"; it is the least on {name}"
            break
    expect(False, of, f"{excess:.3g}", most)


def assert_inside(check: Check, words: str, theta: FloatArray, parameters: ParameterSet) -> None:
    """Assert that a parameter is in its set, to half of its digits (E6)."""
    allowed = distance_allowed(parameters.radius, check.subject.unit, len(theta))
    assert_at_most(check, f"distance {words} from {parameters}", distance(parameters, theta), 0.0, allowed)


def assert_logistic_fit(
    check: Check,
    words: str,
    data: tuple[FloatArray, FloatArray],
    theta: FloatArray,
    parameters: ParameterSet,
    lengths: FloatArray | None = None,
) -> None:
    """Assert that a parameter is in its set, and that its logistic loss is the least there (P1).

    Parameters
    ----------
    check, words, theta, parameters
        As for `assert_fit`.
    data : tuple of two arrays, shapes (n, d) and (n,)
        Relative features, and labels of 1 and -1.
    lengths : array, shape (n,), optional
        Of `logistic_excess`.
    """
    assert_inside(check, f"of theta {words}", theta, parameters)
    excess, allowed = logistic_excess(*data, theta, parameters, check.subject.unit, lengths=lengths)
    of = f"logistic loss of theta {theta.tolist()} {words}, by how much it falls on {parameters} to first order"
    assert_at_most(check, of, excess, 0.0, allowed)


def size_of(problem: TabularProblem, rounds: Sequence[Round]) -> tuple[float, float]:
    """Norms of the features and of the rewards that the data of rounds are differences of, for `fit_excess`."""
    queried = [(int(each.prompt), each.rewards) for each in rounds if len(each.rewards) == 2]
    features = [np.linalg.norm(problem.features[x, int(y)]) for x, rewards in queried for y, _ in rewards]
    rewards = [reward for _, both in queried for _, reward in both]
    return 2.0 * float(np.linalg.norm(features)), 2.0 * float(np.linalg.norm(rewards))


def threshold_error(check: Check, problem: TabularProblem, sigma: FloatArray, nu: float, pairs: int) -> float:
    """How near to `nu` the norm of a pair may be for its acceptance to be free, after that many pairs (S1)."""
    return float(norm_error(check.subject.unit, np.array([nu]), sigma, reach(problem.features), pairs)[0])
