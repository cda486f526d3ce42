"""Mutants of the softmax, the divergence, its estimates and the coverage: what I1-I4, I8 and R5 must kill."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from spanver.exact.tabular import kl_estimate
from spanver.kernels import log_softmax
from spanver.subjects.reference import subject as reference
from spanver.values import FloatArray
from spanver.zoo.mutant import Mutant, mutants_of

_divergence: Callable[..., float] = reference.functions["kl_divergence"]


def _exponentiated(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        weights = np.exp(log_base) * np.exp(scores / beta)
        return np.log(weights / weights.sum())


def _floored(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    return log_softmax(np.maximum(log_base, np.log(1e-12)), scores, beta)


def _unnormalised(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    exponents = log_base + scores / beta
    return exponents - exponents.max()


def _single(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    exponents = (log_base + scores / beta).astype(np.float32)
    return np.asarray(exponents - logsumexp(exponents), dtype=np.float64)


def _over_everything(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    weights = np.where(log_base > -np.inf, log_base, 0.0) + scores / beta
    return log_base + scores / beta - logsumexp(weights)


def _multiplied_out(law: FloatArray, other: FloatArray) -> float:
    with np.errstate(invalid="ignore"):
        return float((np.exp(law) * (law - other)).sum())


def _of_probabilities(law: FloatArray, other: FloatArray) -> float:
    p, q = np.exp(law), np.exp(other)
    with np.errstate(divide="ignore"):
        return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


def _of_absolute_ratios(law: FloatArray, other: FloatArray) -> float:
    held = law > -np.inf
    return float(np.exp(law[held]) @ np.abs(law[held] - other[held]))


def _shared_support(law: FloatArray, other: FloatArray) -> float:
    held = (law > -np.inf) & (other > -np.inf)
    return max(0.0, float(np.exp(law[held]) @ (law[held] - other[held])))


def _without_probability(law: FloatArray, other: FloatArray) -> float:
    held = (law > -np.inf) & (other > -np.inf)
    return float((law - other)[held].sum()) if (law[other == -np.inf] == -np.inf).all() else np.inf


def _estimated(law: FloatArray, other: FloatArray) -> float:
    """E of (r - 1 - log r) with r the ratio of the law to the reference."""
    held = (law > -np.inf) & (other > -np.inf)
    logs = (law - other)[held]
    if not (law[other == -np.inf] == -np.inf).all():
        return np.inf
    with np.errstate(over="ignore"):
        return float((np.exp(law[held]) * (np.expm1(logs) - logs)).sum())


def _all_ratios(law: FloatArray, log_base: FloatArray) -> float:
    with np.errstate(invalid="ignore"):
        return float((law - log_base).max())


def _ratios(law: FloatArray, log_base: FloatArray) -> FloatArray:
    held = log_base > -np.inf
    return law[held] - log_base[held]


def _mean_ratio(law: FloatArray, log_base: FloatArray) -> float:
    return float(logsumexp(_ratios(law, log_base)) - np.log(len(_ratios(law, log_base))))


_softmax = mutants_of("log_softmax", "softmax", log_softmax)
_kl = mutants_of("kl_divergence", "divergence", _divergence)
_estimates = mutants_of("kl_estimate", "estimate", kl_estimate)
_coverage = mutants_of("log_coverage", "coverage", reference.functions["log_coverage"])

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _softmax("without-base", "forgets the base policy", "I1",
        lambda log_base, scores, beta: log_softmax(np.where(log_base > -np.inf, 0.0, -np.inf), scores, beta)),
    _softmax("base-twice", "multiplies the base policy in twice", "I1",
        lambda log_base, scores, beta: log_softmax(2 * log_base, scores, beta)),
    _softmax("times-beta", "multiplies scores by beta, and does not divide them", "I1",
        lambda log_base, scores, beta: log_softmax(log_base, scores, 1 / beta)),
    _softmax("beta-squared", "divides scores by the square of beta", "I1",
        lambda log_base, scores, beta: log_softmax(log_base, scores, beta**2)),
    _softmax("over-everything", "counts impossible responses in the normaliser", "I1", _over_everything),
    _softmax("floored", "gives impossible responses probability 1e-12", "I1", _floored),
    _softmax("unnormalised", "subtracts the largest weight for the normaliser", "I1", _unnormalised),
    _softmax("overflow", "exponentiates weights before anything is subtracted", "R5", _exponentiated),
    _softmax("single-precision", "rounds exponents to single precision", "R5", _single),
    _kl("reversed", "takes the divergence the wrong way round", "I2", lambda law, other: _divergence(other, law)),
    _kl("in-bits", "measures the divergence in bits", "I2", lambda law, other: _divergence(law, other) / np.log(2)),
    _kl("symmetric", "averages the divergences of both ways", "I2",
        lambda law, other: (_divergence(law, other) + _divergence(other, law)) / 2),
    _kl("squared-distance", "takes the squared distance of probabilities for the divergence", "I2",
        lambda law, other: float(((np.exp(law) - np.exp(other)) ** 2).sum())),
    _kl("multiplied-out", "multiplies out terms without probability, which are no numbers", "I2", _multiplied_out),
    _kl("of-probabilities", "takes ratios of probabilities that underflow", "I2", _of_probabilities),
    _kl("without-probability", "sums log ratios, and does not weigh them with probabilities", "I2",
        _without_probability),
    _kl("estimated", "takes the expectation of an estimate that is right under the other distribution", "I2",
        _estimated),
    _kl("absolute", "sums absolute log ratios", "I2", _of_absolute_ratios),
    _kl("shared-support", "ignores mass where the second distribution has none", "I2", _shared_support),
    _kl("halved", "halves the divergence", "I4", lambda law, other: _divergence(law, other) / 2),
    _kl("without-first", "leaves out the first outcome", "H3", lambda law, other: _divergence(law[1:], other[1:])),
    _kl("doubled", "doubles the divergence", "I4", lambda law, other: _divergence(law, other) * 2),
    _estimates("squared", "takes half of the squared log ratio", "I8", lambda law, other: (law - other) ** 2 / 2),
    _estimates("reversed", "is unbiased for draws of the reference", "I8",
        lambda law, other: np.expm1(law - other) - (law - other)),
    _estimates("negated", "turns the log ratio over", "I8", lambda law, other: other - law),
    _estimates("absolute", "takes absolute log ratios", "I8", lambda law, other: np.abs(law - other)),
    _estimates("clipped", "sets negative log ratios to 0", "I8", lambda law, other: np.maximum(law - other, 0.0)),
    _estimates("weighted", "multiplies each log ratio by its probability", "I8",
        lambda law, other: np.exp(law) * (law - other)),
    _estimates("without-one", "forgets to subtract 1 from the ratio", "I8",
        lambda law, other: np.exp(other - law) - (other - law)),
    _estimates("ratio-clipped", "clips the ratio at 1.2", "I8",
        lambda law, other: np.minimum(np.expm1(other - law), 0.2) - (other - law)),
    _estimates("in-bits", "takes logarithms to base 2", "I8", lambda law, other: (law - other) / np.log(2.0)),
    _coverage("mean", "averages the ratio, and does not maximise it", "I3", _mean_ratio),
    _coverage("absolute", "takes the largest absolute log ratio", "I3",
        lambda law, log_base: float(np.abs(_ratios(law, log_base)[law[log_base > -np.inf] > -np.inf]).max())),
    _coverage("all-ratios", "takes the ratio also where both have no mass, which is no number", "I3", _all_ratios),
    _coverage("of-divergence", "takes the expected log ratio for the largest", "I3", _divergence),
    _coverage("reversed", "turns the ratio over", "I3", lambda law, log_base: -float(_ratios(law, log_base).min())),
    _coverage("inside-only", "ignores mass outside the base support", "I3",
        lambda law, log_base: float(_ratios(law, log_base).max())),
    _coverage("not-logged", "returns the ratio itself, not its logarithm", "I3",
        lambda law, log_base: float(np.exp(min(700.0, _ratios(law, log_base).max())))),
    _coverage("at-the-mode", "takes the ratio at the most probable response", "I3",
        lambda law, log_base: float(_ratios(law, log_base)[np.argmax(law[log_base > -np.inf])])),
)
"""Of `log_softmax`, `kl_divergence`, `kl_estimate` and `log_coverage`."""
