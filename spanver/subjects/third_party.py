"""Code that nobody here wrote, as plain functions, each judged against what its own library promises.

- Vowpal Wabbit's large action space: B1 and B2 at its `--spanner_c`, asked of a fresh workspace, and of a workspace
  that has already answered the same question.
- `scipy.linalg.qr(pivoting=True)`: promises a non-increasing diagonal of `R`, not B1, which is therefore measured and
  not judged.
- Ridge regressions of scikit-learn and river: E7.
- `numpy.random.Generator.choice`: R6.

`SUBJECTS` lists them with the promise in the library's own words. A promise that it does not make is not in the list.
Libraries are imported where they are used; `MissingExtraError` says which extra has one that is not installed. What a
library returns is handed on as it is, wrong or not.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spanver.errors import MissingExtraError
from spanver.subjects.contract import Subject
from spanver.validation import require, require_count, require_positive

__all__ = [
    "SUBJECTS",
    "ThirdParty",
    "numpy_draw",
    "river_batch_ridge",
    "river_ridge",
    "scikit_learn_ridge",
    "scipy_pivoted_diagonal",
    "scipy_pivoted_spanner",
    "vowpal_wabbit_spanner",
]

FloatArray = NDArray[np.float64]
Solver = Literal["cholesky", "svd", "lsqr", "sparse_cg", "sag", "saga"]


@dataclass(frozen=True)
class ThirdParty:
    """A library's code under the names that a subject uses.

    Attributes
    ----------
    name : str
        Of the subject.
    library : str
        Name of the distribution that has the code.
    functions : mapping of str to callable
        The adapters, by the name of what they provide.
    promises : mapping of str to str
        Per guarantee that is judged, the promise in the library's words and where it is made.
    settings : mapping of str to float
        At which the promises are judged: `approximation` is `C` of B1 and B2, `rounding` the relative slack that the
        library's own precision asks for.
    """

    name: str
    library: str
    functions: Mapping[str, Callable[..., Any]]
    promises: Mapping[str, str]
    settings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for mapping in ("functions", "promises", "settings"):
            object.__setattr__(self, mapping, MappingProxyType(dict(getattr(self, mapping))))

    def version(self) -> str | None:
        """Return the installed version of the library, `None` where it is not installed."""
        try:
            return importlib.metadata.version(self.library)
        except importlib.metadata.PackageNotFoundError:
            return None


def vowpal_wabbit_spanner(vectors: ArrayLike, approximation: float, *, earlier_calls: int = 0) -> list[int]:
    """Return the actions that Vowpal Wabbit's large action space keeps (B1, B2).

    The learner is untrained and explores with `epsilon = 1`, so every action that it keeps has positive probability.
    Besides what it chose it keeps the action that it predicts; that is made to be an extra one without features,
    which is left out again. `max_actions` is the rank of the set. It computes in single precision.

    Parameters
    ----------
    vectors : (n, d) array
        One action a row; values outside the range of single precision are lost.
    approximation : float
        Its `--spanner_c`, above 1.
    earlier_calls : int
        How often the same workspace answers the same question before the answer that counts.

    Returns
    -------
    list of int
        As returned: it may have fewer or more members than the rank.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    MissingExtraError
        If `vowpalwabbit` is not installed.
    """
    matrix = _matrix(vectors)
    require_positive("approximation", approximation)
    require(approximation > 1.0, "approximation", approximation, "above 1")
    require_count("earlier_calls", earlier_calls, least=0)
    library = _library("vowpalwabbit", "vowpalwabbit")
    rank = int(np.linalg.matrix_rank(matrix))
    if rank == 0:
        return []
    question = ["|", *(_action(row) for row in matrix)]
    workspace = library.Workspace(
        "--cb_explore_adf --large_action_space --epsilon 1.0 --noconstant --quiet --thread_pool_size 0 "
        f"--max_actions {rank} --spanner_c {float(approximation)!r}"
    )
    try:
        for _ in range(earlier_calls):
            workspace.predict(question)
        probabilities = workspace.predict(question)
    finally:
        workspace.finish()
    return [index for index, probability in enumerate(probabilities[1:]) if probability > 0.0]


def scipy_pivoted_spanner(vectors: ArrayLike, approximation: float = np.inf) -> list[int]:
    """Return the first `rank` pivots of SciPy's QR decomposition with column pivoting, vectors as columns.

    SciPy promises no constant for them, so `approximation` is not used.

    Parameters
    ----------
    vectors : (n, d) array
        The set.
    approximation : float
        Not used.

    Raises
    ------
    ArgumentError
        If `vectors` is not a finite matrix.
    """
    del approximation
    matrix = _matrix(vectors)
    rank = int(np.linalg.matrix_rank(matrix))
    if rank == 0:
        return []
    pivots = _library("scipy.linalg", "scipy").qr(matrix.T, mode="r", pivoting=True)[1]
    return [int(index) for index in pivots[:rank]]


def scipy_pivoted_diagonal(vectors: ArrayLike) -> FloatArray:
    """Return the absolute diagonal of `R` of SciPy's QR decomposition with column pivoting, vectors as columns.

    Parameters
    ----------
    vectors : (n, d) array
        The set.

    Returns
    -------
    (min(n, d),) array
        Non-increasing, as SciPy promises.

    Raises
    ------
    ArgumentError
        If `vectors` is not a finite matrix.
    """
    triangle = _library("scipy.linalg", "scipy").qr(_matrix(vectors).T, mode="r", pivoting=True)[0]
    return np.asarray(np.abs(np.diagonal(triangle)), dtype=np.float64)


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
    matrix, column = _regression(features, targets, ridge)
    model = _library("sklearn.linear_model", "scikit-learn").Ridge(
        alpha=ridge, fit_intercept=False, solver=solver, tol=1e-14, max_iter=100_000, random_state=0
    )
    return np.asarray(model.fit(matrix, column).coef_, dtype=np.float64)


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
    matrix, column = _regression(features, targets, ridge)
    model = _library("river.linear_model", "river").BayesianLinearRegression(alpha=ridge, beta=1.0)
    for row, target in zip(matrix.tolist(), column.tolist(), strict=True):
        model.learn_one(dict(enumerate(row)), target)
    return np.array([model.predict_one({place: 1.0}) for place in range(matrix.shape[1])], dtype=np.float64)


def river_batch_ridge(features: ArrayLike, targets: ArrayLike, ridge: float) -> FloatArray:
    """Return the posterior mean of river's Bayesian regression after all observations in one `learn_many` (E7).

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
        If `river` or `pandas`, in whose frames it takes batches, is not installed.
    """
    matrix, column = _regression(features, targets, ridge)
    pandas = _library("pandas", "pandas")
    model = _library("river.linear_model", "river").BayesianLinearRegression(alpha=ridge, beta=1.0)
    names = [str(place) for place in range(matrix.shape[1])]
    model.learn_many(pandas.DataFrame(matrix, columns=names), pandas.Series(column))
    return np.array([model.predict_one({name: 1.0}) for name in names], dtype=np.float64)


def numpy_draw(probabilities: ArrayLike, count: int, seed: int) -> NDArray[np.int64]:
    """Return `count` independent draws from a law on `0..k-1`, by NumPy's `Generator.choice` (R6).

    Parameters
    ----------
    probabilities : (k,) array
        The law.
    count : int
        Draws.
    seed : int
        Of `numpy.random.default_rng`.

    Raises
    ------
    ArgumentError
        If `count` is no count.
    """
    require_count("count", count, least=0)
    law = np.asarray(probabilities, dtype=np.float64)
    return np.random.default_rng(seed).choice(law.size, size=count, p=law).astype(np.int64)


def _library(module: str, distribution: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError("this subject", distribution, "third-party") from None


def _matrix(vectors: ArrayLike) -> FloatArray:
    matrix = np.asarray(vectors, dtype=np.float64)
    usable = matrix.ndim == 2 and matrix.size > 0 and bool(np.all(np.isfinite(matrix)))
    require(usable, "vectors", vectors, "a finite (n, d) matrix with n, d >= 1")
    return matrix


def _regression(features: ArrayLike, targets: ArrayLike, ridge: float) -> tuple[FloatArray, FloatArray]:
    matrix, column = _matrix(features), np.asarray(targets, dtype=np.float64)
    usable = column.shape == (len(matrix),) and bool(np.all(np.isfinite(column)))
    require(usable, "targets", targets, f"a finite vector of {len(matrix)} numbers")
    require_positive("ridge", ridge)
    return matrix, column


def _action(row: FloatArray) -> str:
    """One action in Vowpal Wabbit's text format; absent features are 0."""
    return "| " + " ".join(f"f{place}:{value!r}" for place, value in enumerate(row.tolist()) if value != 0.0)


_SPANNER_PROMISE = (
    '`vw --help`: "--spanner_c arg  Parameter for computing c-approximate spanner (type: float, default: 2)"; project '
    'wiki, "Contextual Bandits with Large Action Spaces (LAS)": "Apply c-approximate barycentric spanner on the left '
    'singular vectors produced after the SVD"'
)
_SCIKIT_PROMISE = (
    'sklearn.linear_model.Ridge, docstring: "Minimizes the objective function:: ||y - Xw||^2_2 + alpha * ||w||^2_2"; '
)
_RIVER_PROMISE = (
    'river.linear_model.BayesianLinearRegression, docstring: "alpha  Prior parameter.  beta  Noise parameter.", with '
    "reference to Bishop, Pattern Recognition and Machine Learning, whose (3.53) and (3.54) are the normal equations "
    "with ridge alpha/beta"
)
_SPANNER_SETTINGS = {"approximation": 2.0, "rounding": 1e-4}


def _scikit_learn(solver: Solver, promise: str, rounding: float) -> ThirdParty:
    return ThirdParty(
        name=f"scikit-learn-{solver.replace('_', '-')}",
        library="scikit-learn",
        functions={"ridge_regression": partial(scikit_learn_ridge, solver=solver)},
        promises={"E7": _SCIKIT_PROMISE + promise},
        settings={"rounding": rounding},
    )


_ALL = (
    ThirdParty(
        "vowpal-wabbit",
        "vowpalwabbit",
        {"barycentric_spanner": vowpal_wabbit_spanner},
        {"B1": _SPANNER_PROMISE, "B2": _SPANNER_PROMISE},
        _SPANNER_SETTINGS,
    ),
    ThirdParty(
        "vowpal-wabbit-again",
        "vowpalwabbit",
        {"barycentric_spanner": partial(vowpal_wabbit_spanner, earlier_calls=1)},
        {"B1": _SPANNER_PROMISE, "B2": _SPANNER_PROMISE},
        _SPANNER_SETTINGS,
    ),
    ThirdParty(
        "scipy",
        "scipy",
        {"barycentric_spanner": scipy_pivoted_spanner, "pivoted_diagonal": scipy_pivoted_diagonal},
        {
            "pivoted diagonal": (
                'scipy.linalg.qr, docstring, `pivoting`: "P is chosen such that the diagonal of R is non-increasing", '
                "shown there of absolute values"
            )
        },
        {"rounding": 1e-12},
    ),
    _scikit_learn("cholesky", "\"'cholesky' uses ... to obtain a closed-form solution\"", 1e-9),
    _scikit_learn("svd", "\"'svd' uses a Singular Value Decomposition of X to compute the Ridge coefficients\"", 1e-9),
    _scikit_learn("lsqr", "\"'lsqr': `tol` is set as atol and btol of scipy.sparse.linalg.lsqr\"", 1e-6),
    _scikit_learn("sparse_cg", "\"'sparse_cg': norm of residuals smaller than `tol`\"", 1e-6),
    ThirdParty("river", "river", {"ridge_regression": river_ridge}, {"E7": _RIVER_PROMISE}, {"rounding": 1e-6}),
    ThirdParty(
        "river-batch", "river", {"ridge_regression": river_batch_ridge}, {"E7": _RIVER_PROMISE}, {"rounding": 1e-6}
    ),
    ThirdParty(
        "numpy",
        "numpy",
        {"draw": numpy_draw},
        {"R6": 'numpy.random.Generator.choice, docstring, `p`: "The probabilities associated with each entry in a."'},
    ),
)

SUBJECTS: dict[str, ThirdParty] = {subject.name: subject for subject in _ALL}
"""Every third-party subject, by name."""


def subject(name: str) -> Subject:
    """Return a third-party subject of this name, as the harness takes it; what it does not promise is only measured.

    Raises
    ------
    MissingExtraError
        If its library is not installed.
    """
    found = SUBJECTS[name]
    version = found.version()
    if version is None:
        raise MissingExtraError(f"the subject {name}", found.library, "third-party")
    return Subject(
        name=f"{name} ({found.library} {version})",
        functions=found.functions,
        approximation=found.settings.get("approximation", 2.0),
        may_fall_short=found.library == "vowpalwabbit",  # as its wiki says
        rounding=found.settings.get("rounding", 1e-9),
        measured=frozenset(
            {"barycentric_spanner"} if "barycentric_spanner" in found.functions and "B1" not in found.promises else ()
        ),
    )
