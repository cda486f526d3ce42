"""Policies on enumerated tables, their divergence and coverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

FloatArray = NDArray[np.float64]


def log_policy(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    logits = log_base + scores / beta
    return np.asarray(logits - logsumexp(logits))


def divergence(log_p: FloatArray, log_q: FloatArray) -> float:
    return float(np.sum(np.exp(log_p) * (log_p - log_q)))
