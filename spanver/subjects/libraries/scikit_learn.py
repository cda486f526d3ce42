"""scikit-learn's ridge regression, by solver: E7."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from spanver.subjects.contract import Subject
from spanver.subjects.libraries.library import Library, import_library, regression_data
from spanver.values import FloatArray

Solver = Literal["cholesky", "svd", "lsqr", "sparse_cg", "sag", "saga"]


def scikit_learn_ridge(
    features: ArrayLike, targets: ArrayLike, ridge: float, *, solver: Solver = "cholesky"
) -> FloatArray:
    """Return scikit-learn's minimiser of `sum (<theta, v> - y)^2 + ridge ||theta||^2` (E7), without intercept.

    Parameters
    ----------
    features : (n, d) array
        One `v` a row.
    targets : (n,) array
        The `y`.
    ridge : float
        Above 0; its `alpha`.
    solver : str
        Its solver; an iterative one runs at `tol = 1e-14` and at most 100,000 iterations.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    MissingExtraError
        If `scikit-learn` is not installed.
    """
    matrix, column = regression_data(features, targets, ridge)
    model = import_library("sklearn.linear_model", "scikit-learn").Ridge(
        alpha=ridge, fit_intercept=False, solver=solver, tol=1e-14, max_iter=100_000, random_state=0
    )
    return np.asarray(model.fit(matrix, column).coef_, dtype=np.float64)


_SCIKIT_PROMISE = (
    'sklearn.linear_model.Ridge, docstring: "Minimizes the objective function:: ||y - Xw||^2_2 + alpha * ||w||^2_2"; '
)


def _scikit_learn(solver: Solver, promise: str, precision: str | float = "float64") -> Library:
    functions = {"ridge_regression": partial(scikit_learn_ridge, solver=solver)}
    subject = Subject(f"scikit-learn-{solver.replace('_', '-')}", functions, precision=precision)
    return Library(subject, "scikit-learn", {"E7": _SCIKIT_PROMISE + promise})


LIBRARIES = (
    _scikit_learn("cholesky", "\"'cholesky' uses ... to obtain a closed-form solution\""),
    _scikit_learn("svd", "\"'svd' uses a Singular Value Decomposition of X to compute the Ridge coefficients\""),
    _scikit_learn("lsqr", "\"'lsqr': `tol` is set as atol and btol of scipy.sparse.linalg.lsqr\"", 1e-14),
    _scikit_learn("sparse_cg", "\"'sparse_cg': norm of residuals smaller than `tol`\"", 1e-14),
)
