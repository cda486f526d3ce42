"""How far off right numbers may be in arithmetic of a given unit roundoff: the tolerances of all exact checks.

`unit` is the unit roundoff that a subject declares (`Subject.unit`). A right subject may round the float64 arguments
that it is given, compute with that unit roundoff in any of the usual ways, and round what it returns. It is compared
with the same computation in float64, whose own unit roundoff is added. Bounds are absolute errors unless a docstring
says otherwise, are infinite where `unit` is so large that nothing follows, and grow with the size of the data and with
the number of operations through `gamma` (Higham 2002, chapters 3, 8 to 10 and 20). docs/mathematics.md, section 7,
lists them. `spanver.guarantees.residuals.fit_excess` holds that of a fit (E6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from spanver.values import FloatArray

UNIT = float(np.finfo(np.float64).eps) / 2
"""Unit roundoff of float64."""

_EXPONENT_STEPS = 12
"""Operations on the terms of an exponent `log base + score/beta`: three arguments rounded, a peak subtracted before or
after the division, an inverse of beta, a sum, a normaliser subtracted, and the result rounded."""


def gamma(steps: float, unit: float = 0.0) -> float:
    """Return `k u/(1 - k u)`, the relative error of `k` roundings, with the unit roundoff of float64 added to `unit`.

    Without `unit` it is that of float64 alone, infinity from `1/u` roundings on.

    Examples
    --------
    >>> gamma(8, 2.0**-24) < 4.8e-7
    True
    >>> gamma(300, 2.0**-8)
    inf
    """
    total = steps * (unit + UNIT)
    return total / (1.0 - total) if total < 1.0 else np.inf


def rounded_by(steps: float, unit: float, size: float) -> float:
    """Return the error of `k` roundings of what has this size: none of what is 0, also where nothing else is known.

    Examples
    --------
    >>> rounded_by(300, 2.0**-8, 0.0), rounded_by(300, 2.0**-8, 1.0)
    (0.0, inf)
    """
    return gamma(steps, unit) * size if size > 0.0 else 0.0


def half_digits(unit: float, dimension: int) -> float:
    """Return `sqrt(k u)`, to which an optimiser that compares values of a loss tells `d` parameters apart.

    Values are known to `k u` of their scale, `k = 16 (d^2 + 1)`, and change with the square of the distance from the
    optimum. So an optimum is right to half of the digits of the arithmetic.
    """
    return float(np.sqrt(gamma(16 * (dimension**2 + 1), unit)))


# Laws in logs


def log_normaliser_error(
    unit: float, log_base: FloatArray, scores: FloatArray, beta: float, score_error: FloatArray | float = 0.0
) -> FloatArray:
    """Return the error of `log sum base exp(scores/beta)` over the last axis, shape (..., 1), of scores (..., n).

    Exponents are off by `e_i`; then the normaliser is off by at most `log sum p_i exp(e_i)`, whatever the signs, and
    by the rounding of the sum.

    Parameters
    ----------
    unit : float
    log_base, scores : array, shape (..., n)
    beta : float
    score_error : array, shape (..., n), or float
        Error that the scores have already.
    """
    errors, log_law, normaliser = _exponent_errors(unit, log_base, scores, beta, score_error)
    terms = np.where(log_law > -np.inf, log_law + errors, -np.inf)
    summed = gamma(log_base.shape[-1] + _EXPONENT_STEPS, unit) * (1.0 + np.abs(normaliser))
    return np.asarray(logsumexp(terms, axis=-1, keepdims=True) + summed)


def log_softmax_error(
    unit: float, log_base: FloatArray, scores: FloatArray, beta: float, score_error: FloatArray | float = 0.0
) -> FloatArray:
    """Return the error of each log probability, shape (..., n); 0 outside the support. It grows with `scores/beta`.

    Parameters are those of `log_normaliser_error`.

    Examples
    --------
    >>> log_base, scores = np.log([0.5, 0.5]), np.array([0.0, 1.0])
    >>> error = log_softmax_error(2.0**-24, log_base, scores, 1.0)
    >>> shifted = log_softmax_error(2.0**-24, log_base, scores + 1e4, 1.0)
    >>> bool((error < 1e-5).all() and (1e-3 < shifted).all() and (shifted < 0.1).all())
    True
    """
    errors, log_law, _ = _exponent_errors(unit, log_base, scores, beta, score_error)
    total = errors + log_normaliser_error(unit, log_base, scores, beta, score_error)
    return np.where(log_law > -np.inf, total, 0.0)


def _exponent_errors(
    unit: float, log_base: FloatArray, scores: FloatArray, beta: float, score_error: FloatArray | float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Errors of the exponents less their normaliser, the log law, and the normaliser, shape (..., 1)."""
    exponents = log_base + scores / beta
    normaliser = np.asarray(logsumexp(exponents, axis=-1, keepdims=True))
    largest = np.abs(scores).max(axis=-1, keepdims=True) / beta  # a peak may be subtracted from all
    held = np.where(log_base > -np.inf, np.abs(log_base), 0.0)
    sizes = 1.0 + held + largest + np.abs(normaliser)
    return gamma(_EXPONENT_STEPS, unit) * sizes + score_error / beta, exponents - normaliser, normaliser


def mean_error(log_law: FloatArray, error: FloatArray) -> float:
    """Return the mean of an error of log probabilities under their law, shape (n,) each, grown by the error itself.

    By as much may a sum of probabilities be off 1.
    """
    with np.errstate(over="ignore"):
        return float(np.exp(log_law + error) @ error) + gamma(len(log_law), 0.0)


def kl_divergence_error(unit: float, law: FloatArray, reference: FloatArray) -> float:
    """Return the error of `sum p (log p - log q)` of two laws in logs, shape (n,), where it is finite (I2).

    `p` is off by a factor `exp(k u (1 + abs(log p)))`, as its logarithm was rounded; the difference of logarithms, the
    product and the sum by `(n + k) u (1 + abs(log p) + abs(log q))`. This covers logarithms of quotients and two sums.
    """
    held = law > -np.inf
    p, q = law[held], reference[held]
    grown = gamma(8, unit) * (1.0 + np.abs(p))
    sizes = gamma(len(p) + 16, unit) * (1.0 + np.abs(p) + np.abs(q))
    with np.errstate(over="ignore"):
        return float(np.exp(p + grown) @ (grown * np.abs(p - q) + sizes))


def kl_estimate_error(unit: float, law: FloatArray, reference: FloatArray) -> float:
    """Return the error of the mean under `p` of estimates made of `log(q/p)` and `q/p` (I8), laws in logs, shape (n,).

    `log(q/p)` is off by `e = g(4) (1 + abs(log p) + abs(log q))`, so `q/p` by a factor `exp(e)`; the few operations on
    both cost `g(8)` of their sizes. Logarithms are finite.
    """
    ratios = reference - law
    moved = gamma(4, unit) * (1.0 + np.abs(law) + np.abs(reference))
    with np.errstate(over="ignore"):
        each = np.exp(law) * (moved + gamma(8, unit) * (1.0 + np.abs(ratios)))
        return float(np.sum(each + np.exp(reference) * (np.expm1(moved) + gamma(8, unit))))


def log_coverage_error(unit: float, law: FloatArray, log_base: FloatArray) -> float:
    """Return the error of the largest log ratio of two laws in logs, shape (n,) (I3)."""
    held = (law > -np.inf) & (log_base > -np.inf)
    ratios = law[held] - log_base[held]
    errors = gamma(8, unit) * (1.0 + np.abs(law[held]) + np.abs(log_base[held]))
    largest = ratios.max()
    return float(max((ratios + errors).max() - largest, largest - (ratios - errors).max()))


def soft_q_error(
    unit: float,
    log_base: Sequence[FloatArray],
    rewards: Sequence[FloatArray],
    transitions: Sequence[FloatArray],
    values: Sequence[FloatArray],
    beta: float,
) -> list[FloatArray]:
    """Return the errors of the optimal values `Q*_h` (A4), of the shapes of `log_base`: the recursion adds them up.

    Parameters
    ----------
    unit : float
    log_base, rewards : sequence of H arrays, shapes (S_h, A)
    transitions : sequence of H - 1 arrays, shapes (S_h, A, S_{h+1})
    values : sequence of H arrays, shapes (S_h, A)
        The values.
    beta : float
    """
    errors = [gamma(2, unit) * np.abs(values[-1])]
    for layer in reversed(range(len(values) - 1)):
        base, value = log_base[layer + 1], values[layer + 1]
        off = beta * log_normaliser_error(unit, base, value, beta, errors[0])[:, 0]
        size = np.abs(beta * logsumexp(base + value / beta, axis=1))
        errors.insert(0, _mean_of_next_error(unit, transitions[layer], rewards[layer], size, off))
    return errors


def policy_q_error(
    unit: float,
    laws: Sequence[FloatArray],
    log_base: Sequence[FloatArray],
    rewards: Sequence[FloatArray],
    transitions: Sequence[FloatArray],
    values: Sequence[FloatArray],
    beta: float,
) -> list[FloatArray]:
    """Return the errors of the values `Q^pi_h` of a policy (A4), of the shapes of `log_base`.

    The value of a state, `sum p (Q - beta log(p/q))`, has the errors of a divergence (`kl_divergence_error`) in units
    of `beta`, and those of `Q`.

    Parameters
    ----------
    unit : float
    laws : sequence of H arrays, shapes (S_h, A)
        Of the policy, in logs.
    log_base, rewards, transitions, values, beta
        As for `soft_q_error`.
    """
    errors = [gamma(2, unit) * np.abs(values[-1])]
    for layer in reversed(range(len(values) - 1)):
        law, value, error = laws[layer + 1], np.abs(values[layer + 1]), errors[0]
        held = law > -np.inf
        p, q = np.where(held, law, 0.0), np.where(held, log_base[layer + 1], 0.0)
        sizes = value + beta * np.abs(p - q)
        grown = gamma(8, unit) * (1.0 + np.abs(p))
        terms = grown * sizes + error + gamma(law.shape[1] + 16, unit) * (value + beta * (1.0 + np.abs(p) + np.abs(q)))
        with np.errstate(over="ignore"):
            off = np.where(held, np.exp(p + grown) * terms, 0.0).sum(axis=1)
        size = np.where(held, np.exp(p) * sizes, 0.0).sum(axis=1)
        errors.insert(0, _mean_of_next_error(unit, transitions[layer], rewards[layer], size, off))
    return errors


def _mean_of_next_error(
    unit: float, law: FloatArray, reward: FloatArray, size: FloatArray, off: FloatArray
) -> FloatArray:
    """Error of `r(x, a) + E V(x')`, given the sizes and the errors of the values of the next states."""
    grown = 1.0 + gamma(1, unit)  # of the probabilities, which are rounded
    return np.asarray(grown * (law @ off) + gamma(law.shape[2] + 8, unit) * (np.abs(reward) + law @ size))


# Features, norms and Sigma


def difference_error(unit: float, first: Any, second: Any) -> Any:
    """Return the error of `first - second`: relative to both, which were rounded before they cancelled."""
    return gamma(4, unit) * (np.abs(first) + np.abs(second))


def reach(features: FloatArray) -> float:
    """Return the largest `||phi|| + ||phi'||`, to which the rounding of a relative feature is relative."""
    return 2.0 * float(np.linalg.norm(features, axis=-1).max())


def inverse_error(unit: float, sigma: FloatArray, pairs: int = 0, reach: float = 0.0) -> float:
    """Return the error of `Sigma^-1` in the spectral norm, by a factorisation, or by an update after every pair.

    A factorisation, a solve or an inversion moves `Sigma` by `8 (d^2 + 1) u lambda_max`; each pair by
    `(2 d + 14) u (lambda_max + reach^2)`, as it is a rounded difference of features, and so is each update of an
    inverse: later updates multiply its error by at most the condition of `Sigma`. Relative to the smallest eigenvalue,
    that is by how much a norm of Sigma and its inverse move.

    Parameters
    ----------
    unit : float
    sigma : array, shape (d, d)
    pairs : int
        How many were added to the ridge by the subject; 0 where it was given `Sigma`.
    reach : float
        Of the features that it subtracted.
    """
    eigenvalues, dimension = np.linalg.eigvalsh(sigma), len(sigma)
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    moved = gamma(8 * (dimension**2 + 1), unit) * largest
    if pairs:
        moved += gamma(2 * dimension + 14, unit) * pairs * (largest + reach**2)
    relative = moved / smallest
    return relative / (1.0 - relative) / smallest if relative < 1.0 else np.inf


def norm_error(
    unit: float, norms: FloatArray, sigma: FloatArray, reach: FloatArray | float, pairs: int = 0
) -> FloatArray:
    """Return the error of elliptic norms, shape (n,): within it of `nu`, a decision is free (S1, S8).

    Parameters
    ----------
    unit : float
    norms : array, shape (n,)
    sigma : array, shape (d, d)
    reach : array, shape (n,), or float
        Lengths of the vectors; of differences of features, their `reach`.
    pairs : int
        As for `inverse_error`.
    """
    lengths = np.broadcast_to(np.asarray(reach, dtype=np.float64), np.shape(norms))
    most = inverse_error(unit, sigma, pairs, float(lengths.max(initial=0.0)))
    squared = np.multiply(most, lengths**2, out=np.zeros(np.shape(norms)), where=lengths > 0.0)
    below = norms - np.sqrt(np.maximum(norms**2 - squared, 0.0))
    above = np.sqrt(norms**2 + squared) - norms
    return np.maximum(below, above) + gamma(8, unit) * norms


def sigma_error(unit: float, ridge: float, pairs: int, reach: float) -> float:
    """Return the error of each entry of `lambda I + sum v v^T`, of differences `v` of features of this reach (S2)."""
    return gamma(pairs + 16, unit) * (ridge + pairs * reach**2)


def log_determinant_error(unit: float, sigma: FloatArray, ridge: float, pairs: int, reach: float) -> float:
    """Return the error of `log det Sigma` of a sum of pairs, and of what they added to it (S3)."""
    eigenvalues, dimension = np.linalg.eigvalsh(sigma), len(sigma)
    moved = dimension * sigma_error(unit, ridge, pairs, reach)
    moved += gamma(8 * (dimension**2 + 1), 0.0) * float(eigenvalues[-1])
    relative = moved / float(eigenvalues[0])
    if relative >= 1.0:
        return np.inf
    logs = float(np.abs(np.log(eigenvalues)).sum()) + dimension * abs(float(np.log(ridge)))
    return -dimension * float(np.log1p(-relative)) + gamma(8 * (dimension + pairs), 0.0) * (1.0 + logs)


def score_error(unit: float, features: FloatArray, anchor: FloatArray, theta: FloatArray) -> FloatArray:
    """Return the error of `<theta, phi - anchor>`, shape (n,), of features of shape (n, d) (E2)."""
    return gamma(len(theta) + 6, unit) * ((np.abs(features) + np.abs(anchor)) @ np.abs(theta))


def undecided_scores(unit: float, features: FloatArray, anchor: FloatArray, precision: FloatArray, nu: float) -> Any:
    """Return which truncations, shape (n,), are decided by rounding: `||v||^2` is within its error of `nu^2` (E2)."""
    relative, sizes = features - anchor, np.abs(features) + np.abs(anchor)
    squares = ((relative @ precision) * relative).sum(axis=-1)
    terms = ((sizes @ np.abs(precision)) * sizes).sum(axis=-1)
    return np.abs(squares - nu**2) <= gamma(2 * len(anchor) + 12, unit) * (terms + nu**2)


# Regressions and spanning sets


def ridge_error(unit: float, features: FloatArray, targets: FloatArray, theta: FloatArray, ridge: float) -> float:
    """Return the length of the residual of the normal equations that a backward stable solution leaves (E7).

    Least squares of `[V; sqrt(lambda) I]` by orthogonal transformations mix targets with the rows of the ridge: the
    solution is that of data off by `k u` of `a = sqrt(norm(V)^2 + d lambda)` and of `norm(y)`, so the residual is up to
    `g(2k) a (a norm(theta) + norm(y))`. Solving the normal equations leaves less. docs/mathematics.md has the proof.
    """
    rows, dimension = features.shape
    size = float(np.hypot(np.linalg.norm(features), np.sqrt(dimension * ridge)))
    terms = size * (size * float(np.linalg.norm(theta)) + float(np.linalg.norm(targets)))
    return rounded_by(12 * dimension * (rows + dimension + 4), unit, terms)


def coefficient_error(unit: float, vectors: FloatArray, chosen: Sequence[int], approximation: float) -> float:
    """Return by how much coefficients in the chosen, or ratios of volumes, may pass `C` by rounding (B1, B2)."""
    if len(chosen) == 0:
        return 0.0
    smallest = float(np.linalg.svd(vectors[list(chosen)], compute_uv=False)[-1])
    largest = float(np.linalg.norm(vectors, 2))
    condition = largest / smallest if smallest > 0.0 else np.inf
    return gamma(8 * (len(chosen) ** 2 + 1), unit) * condition * (1.0 + approximation)


def pivot_error(unit: float, vectors: FloatArray) -> float:
    """Return by how much a later pivot may be larger (B2): lengths that were updated lose the set's condition."""
    scales = np.linalg.svd(vectors, compute_uv=False)
    smallest = float(scales[-1])
    return gamma(8 * vectors.size, unit) * float(scales[0]) * (float(scales[0]) / smallest if smallest else np.inf)
