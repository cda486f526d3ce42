"""river's Bayesian linear regression: E7."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spanver.subjects.contract import Subject
from spanver.subjects.libraries.library import Library, import_library, regression_data
from spanver.values import FloatArray


def river_ridge(features: ArrayLike, targets: ArrayLike, ridge: float) -> FloatArray:
    """Return the posterior mean of river's Bayesian regression after one observation at a time (E7).

    With prior precision `alpha = ridge` and noise precision `beta = 1` it is the ridge regression without intercept.

    Parameters
    ----------
    features : (n, d) array
        One observation a row.
    targets : (n,) array
        What was observed.
    ridge : float
        Above 0.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    MissingExtraError
        If `river` is not installed.
    """
    matrix, column = regression_data(features, targets, ridge)
    model = import_library("river.linear_model", "river").BayesianLinearRegression(alpha=ridge, beta=1.0)
    for row, target in zip(matrix.tolist(), column.tolist(), strict=True):
        model.learn_one(dict(enumerate(row)), target)
    return np.array([model.predict_one({place: 1.0}) for place in range(matrix.shape[1])], dtype=np.float64)


def river_batch_ridge(features: ArrayLike, targets: ArrayLike, ridge: float) -> FloatArray:
    """Return the posterior mean of river's Bayesian regression after all observations in one `learn_many` (E7).

    Parameters
    ----------
    features, targets, ridge
        As of `river_ridge`.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    MissingExtraError
        If `river` or `pandas`, in whose frames it takes batches, is not installed.
    """
    matrix, column = regression_data(features, targets, ridge)
    pandas = import_library("pandas", "pandas")
    model = import_library("river.linear_model", "river").BayesianLinearRegression(alpha=ridge, beta=1.0)
    names = [str(place) for place in range(matrix.shape[1])]
    model.learn_many(pandas.DataFrame(matrix, columns=names), pandas.Series(column))
    return np.array([model.predict_one({name: 1.0}) for name in names], dtype=np.float64)


_RIVER_PROMISE = (
    'river.linear_model.BayesianLinearRegression, docstring: "alpha  Prior parameter.  beta  Noise parameter.", with '
    "reference to Bishop, Pattern Recognition and Machine Learning, whose (3.53) and (3.54) are the normal equations "
    "with ridge alpha/beta"
)


# Updates of an inverse lose the condition of the data, which a backward stable solution does not.
LIBRARIES = tuple(
    Library(Subject(name, {"ridge_regression": function}, precision=1e-12), "river", {"E7": _RIVER_PROMISE})
    for name, function in (("river", river_ridge), ("river-batch", river_batch_ridge))
)
