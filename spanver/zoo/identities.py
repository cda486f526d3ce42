"""Mutants of the softmax, the divergence and the coverage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import logsumexp

from spanver.kernels import log_softmax
from spanver.subjects.reference import subject as reference
from spanver.values import FloatArray
from spanver.zoo.mutant import Mutant

__all__ = ["MUTANTS"]

_divergence: Callable[..., float] = reference.functions["kl_divergence"]


def _exponentiated(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        weights = np.exp(log_base) * np.exp(scores / beta)
        return np.log(weights / weights.sum())


def _floored(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    floored = np.maximum(log_base, np.log(1e-12))
    return log_softmax(floored, scores, beta)


def _unnormalised(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    exponents = log_base + scores / beta
    return exponents - exponents.max()


def _single(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    exponents = (log_base + scores / beta).astype(np.float32)
    return np.asarray(exponents - logsumexp(exponents), dtype=np.float64)


def _over_everything(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    weights = np.where(log_base > -np.inf, log_base, 0.0) + scores / beta
    return log_base + scores / beta - logsumexp(weights)


def _multiplied_out(law: FloatArray, reference: FloatArray) -> float:
    with np.errstate(invalid="ignore"):
        return float((np.exp(law) * (law - reference)).sum())


def _of_probabilities(law: FloatArray, reference: FloatArray) -> float:
    p, q = np.exp(law), np.exp(reference)
    with np.errstate(divide="ignore"):
        return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


def _shared_support(law: FloatArray, reference: FloatArray) -> float:
    held = (law > -np.inf) & (reference > -np.inf)
    return max(0.0, float((np.exp(law) * (law - reference))[held].sum()))


def _all_ratios(law: FloatArray, log_base: FloatArray) -> float:
    with np.errstate(invalid="ignore"):
        return float((law - log_base).max())


def _ratios(law: FloatArray, log_base: FloatArray) -> FloatArray:
    held = log_base > -np.inf
    ratios: FloatArray = law[held] - log_base[held]
    return ratios


def _mean_ratio(law: FloatArray, log_base: FloatArray) -> float:
    return float(logsumexp(_ratios(law, log_base)) - np.log(len(_ratios(law, log_base))))


def _softmax(name: str, bug: str, breaks: tuple[str, ...], function: Callable[..., Any]) -> Mutant:
    return Mutant(f"softmax-{name}", bug, breaks, {"log_softmax": function})


def _kl(name: str, bug: str, breaks: tuple[str, ...], function: Callable[..., Any]) -> Mutant:
    return Mutant(f"divergence-{name}", bug, breaks, {"kl_divergence": function})


def _coverage(name: str, bug: str, function: Callable[..., Any]) -> Mutant:
    return Mutant(f"coverage-{name}", bug, ("I3",), {"log_coverage": function})


# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _softmax("without-base", "The base policy is forgotten.", ("I1",),
        lambda log_base, scores, beta: log_softmax(np.where(log_base > -np.inf, 0.0, -np.inf), scores, beta)),
    _softmax("base-twice", "The base policy is multiplied in twice.", ("I1",),
        lambda log_base, scores, beta: log_softmax(2 * log_base, scores, beta)),
    _softmax("times-beta", "Scores are multiplied by beta, not divided.", ("I1",),
        lambda log_base, scores, beta: log_softmax(log_base, scores, 1 / beta)),
    _softmax("beta-squared", "Scores are divided by the square of beta.", ("I1",),
        lambda log_base, scores, beta: log_softmax(log_base, scores, beta**2)),
    _softmax("over-everything", "The normaliser counts impossible responses too.", ("I1",), _over_everything),
    _softmax("floored", "Impossible responses get probability 1e-12.", ("I1",), _floored),
    _softmax("unnormalised", "The largest weight is subtracted for the normaliser.", ("I1",), _unnormalised),
    _softmax("overflow", "Weights are exponentiated before anything is subtracted.", ("R5",), _exponentiated),
    _softmax("single-precision", "Exponents are rounded to single precision.", ("R5",), _single),
    _kl("reversed", "The divergence is taken the wrong way round.", ("I2",),
        lambda law, reference: _divergence(reference, law)),
    _kl("in-bits", "The divergence is in bits.", ("I2",),
        lambda law, reference: _divergence(law, reference) / np.log(2)),
    _kl("symmetric", "The divergence is the mean of both ways.", ("I2",),
        lambda law, reference: (_divergence(law, reference) + _divergence(reference, law)) / 2),
    _kl("squared-distance", "The squared distance of probabilities stands for the divergence.", ("I2",),
        lambda law, reference: float(((np.exp(law) - np.exp(reference)) ** 2).sum())),
    _kl("multiplied-out", "Terms without probability are multiplied out, and are no numbers.", ("I2",),
        _multiplied_out),
    _kl("of-probabilities", "Ratios are taken of probabilities that underflow.", ("I2",), _of_probabilities),
    _kl("shared-support", "Mass where the second law has none is ignored.", ("I2",), _shared_support),
    _kl("halved", "The divergence is halved.", ("I4",), lambda law, reference: _divergence(law, reference) / 2),
    _kl("doubled", "The divergence is doubled.", ("I4",), lambda law, reference: _divergence(law, reference) * 2),
    _coverage("mean", "The ratio is averaged, not maximised.", _mean_ratio),
    _coverage("all-ratios", "The ratio is also taken where both laws have no mass, and is no number.", _all_ratios),
    _coverage("of-divergence", "The expected log ratio stands for the largest.", _divergence),
    _coverage("reversed", "The ratio is turned over.", lambda law, log_base: -float(_ratios(law, log_base).min())),
    _coverage("inside-only", "Mass outside the base support is ignored.",
        lambda law, log_base: float(_ratios(law, log_base).max())),
    _coverage("not-logged", "The ratio itself is returned, not its logarithm.",
        lambda law, log_base: float(np.exp(min(700.0, _ratios(law, log_base).max())))),
    _coverage("at-the-mode", "The ratio is taken at the most probable response.",
        lambda law, log_base: float(_ratios(law, log_base)[np.argmax(law[log_base > -np.inf])])),
)
