"""The numerical kernels: elliptic norms, scores, normaliser, least squares on the ball, the spanner scan.

Written once against the array API, so that the arrays that are passed decide where the work happens: NumPy, CuPy,
PyTorch, JAX or any other namespace that `array-api-compat` knows. All arrays of one call belong to one namespace and
one device. Kernels take any finite data, do not check their arguments, never write to them, and have no state. The
`plain` backend is the definition: a faster backend offers the same functions, and must agree with it.

The CuPy path is unverified: it has not been run on a GPU yet.
"""

from spanver.kernels.plain.elliptic import (
    elliptic_norms,
    inverse_factor,
    precision_norms,
    uncertain_mask,
    update_inverse_factor,
)
from spanver.kernels.plain.regression import fit, fit_moments, ridge_regression
from spanver.kernels.plain.softmax import linear_scores, log1mexp, log_normaliser, log_softmax, truncated_scores
from spanver.kernels.plain.spanners import SpannerTrace, barycentric_spanner, covering_list, spanner_trace

__all__ = [
    "SpannerTrace",
    "barycentric_spanner",
    "covering_list",
    "elliptic_norms",
    "fit",
    "fit_moments",
    "inverse_factor",
    "linear_scores",
    "log1mexp",
    "log_normaliser",
    "log_softmax",
    "precision_norms",
    "ridge_regression",
    "spanner_trace",
    "truncated_scores",
    "uncertain_mask",
    "update_inverse_factor",
]
