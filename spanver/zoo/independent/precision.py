"""The independent implementation in narrower arithmetic: float32, and inputs with the mantissa of bfloat16."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from spanver.values import Counts, FloatArray, Score
from spanver.zoo.independent import (
    algebra,
    baselines,
    boxes,
    exploration,
    layered,
    layered_samplers,
    losses,
    mtss,
    regressions,
    samplers,
    spanning_sets,
)

BFLOAT16_BITS = 8
"""Of the mantissa, with the leading one."""


def in_float32(array: FloatArray) -> FloatArray:
    """Round to float32, in which the arithmetic of an array then goes on."""
    return np.asarray(array, dtype=np.float32)


def in_bfloat16(array: FloatArray) -> FloatArray:
    """Round to the mantissa of bfloat16, not to its exponents."""
    mantissa, exponent = np.frexp(array)
    return np.asarray(np.ldexp(np.round(np.ldexp(mantissa, BFLOAT16_BITS)), exponent - BFLOAT16_BITS))


def narrowed(function: Callable[..., Any], narrow: Callable[[FloatArray], FloatArray]) -> Callable[..., Any]:
    """Return the function whose arrays, and those of its lists, are rounded first."""

    def called(*arguments: Any, **named: Any) -> Any:
        return function(*map(rounded, arguments), **named)

    def rounded(argument: Any) -> Any:
        if isinstance(argument, list):
            return [narrow(each) for each in argument]
        return narrow(argument) if isinstance(argument, np.ndarray) else argument

    return called


def floored_norms(features: FloatArray, sigma: FloatArray) -> FloatArray:
    """Elliptic norms, where rounding may have left Sigma with eigenvalues that are not positive."""
    values, basis = np.linalg.eigh(sigma)
    values = np.maximum(values, 2.0**-BFLOAT16_BITS * values.max())
    return np.asarray(np.linalg.norm(features @ basis / np.sqrt(values), axis=1))


def single_threshold(score: Score, pilot: Counts, beta: float, multiplier: float) -> float:
    """`log(M Z)`, summed in float32."""
    exponents = in_float32(np.log(pilot.counts)) + in_float32(score.of(pilot.responses.features)) / beta
    return math.log(multiplier) + algebra.log_sum_exp(exponents) - math.log(float(np.sum(pilot.counts)))


_MOMENTS = partial(exploration.Moments, dtype=np.float32)
_FIT = narrowed(regressions.fit, in_float32)
_LABELS = narrowed(losses.fit_preferences, in_float32)
_SAMPLER = partial(samplers.softmax_sample, threshold=single_threshold)
_SPANNER = partial(exploration.build_spanner, moments=_MOMENTS)
_POLICY = partial(layered_samplers.truncated_policy, dtype=np.float32)
_MTSS = mtss.functions_of(
    partial(mtss.fit_value, policy=_POLICY, fit=_FIT, box=narrowed(boxes.box_fit, in_float32)),
    partial(mtss.uncertain_pair, policy=_POLICY),
)

FLOAT32: dict[str, Callable[..., Any]] = {
    "elliptic_norms": narrowed(algebra.elliptic_norms, in_float32),
    "log_softmax": narrowed(algebra.log_softmax, in_float32),
    "truncated_scores": narrowed(algebra.truncated_scores, in_float32),
    "kl_divergence": narrowed(algebra.kl_divergence, in_float32),
    "kl_estimate": narrowed(algebra.kl_estimate, in_float32),
    "log_coverage": narrowed(algebra.log_coverage, in_float32),
    "soft_q": narrowed(layered.soft_q, in_float32),
    "policy_q": narrowed(layered.policy_q, in_float32),
    "fit": _FIT,
    "fit_preferences": _LABELS,
    "ridge_regression": narrowed(regressions.ridge_regression, in_float32),
    "covering_list": narrowed(spanning_sets.covering_list, in_float32),
}
"""Functions of arrays in float32."""

FLOAT32_LEARNERS: dict[str, Callable[..., Any]] = {
    "softmax_sample": _SAMPLER,
    "build_spanner": _SPANNER,
    "spanner_sampling": partial(exploration.spanner_sampling, phase_one=_SPANNER, sampler=_SAMPLER, fit=_FIT),
    "preference_sampling": partial(
        exploration.preference_sampling,
        phase_one=partial(_SPANNER, difference=exploration.label),
        sampler=_SAMPLER,
        fit=_LABELS,
    ),
    "anchored_sampling": partial(exploration.anchored_sampling, moments=_MOMENTS, sampler=_SAMPLER, fit=_FIT),
    "passive_learner": partial(baselines.passive_learner, fit=_FIT),
    "best_of_n": partial(baselines.best_of_n, fit=_FIT),
    "elliptical_enumeration": partial(baselines.elliptical_enumeration, moments=_MOMENTS, fit=_FIT),
    **_MTSS,
}
"""Functions that explore, with their sums, inverses and fits in float32."""

BFLOAT16: dict[str, Callable[..., Any]] = {
    "elliptic_norms": narrowed(floored_norms, in_bfloat16),
    "log_softmax": narrowed(algebra.log_softmax, in_bfloat16),
    "truncated_scores": narrowed(algebra.truncated_scores, in_bfloat16),
    "kl_divergence": narrowed(algebra.kl_divergence, in_bfloat16),
    "kl_estimate": narrowed(algebra.kl_estimate, in_bfloat16),
    "log_coverage": narrowed(algebra.log_coverage, in_bfloat16),
    "soft_q": narrowed(layered.soft_q, in_bfloat16),
    "policy_q": narrowed(layered.policy_q, in_bfloat16),
}
"""Functions of inputs that are rounded to bfloat16."""
