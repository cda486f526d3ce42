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

from functools import partial

from spanver.errors import MissingExtraError
from spanver.subjects.contract import Subject
from spanver.subjects.libraries.library import ThirdParty
from spanver.subjects.libraries.numpy_choice import numpy_draw
from spanver.subjects.libraries.river import _RIVER_PROMISE, river_batch_ridge, river_ridge
from spanver.subjects.libraries.scikit_learn import _scikit_learn
from spanver.subjects.libraries.scipy_qr import scipy_pivoted_diagonal, scipy_pivoted_spanner
from spanver.subjects.libraries.vowpal_wabbit import _SPANNER_PROMISE, _SPANNER_SETTINGS, vowpal_wabbit_spanner

__all__ = ["SUBJECTS"]


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
