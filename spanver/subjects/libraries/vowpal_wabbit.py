"""Vowpal Wabbit's large action space: B1 and B2 at its `--spanner_c`."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from spanver.subjects.contract import Subject
from spanver.subjects.libraries.library import Library, finite_matrix, import_library
from spanver.validation import require, require_count, require_positive
from spanver.values import FloatArray


def vowpal_wabbit_spanner(vectors: ArrayLike, approximation: float, *, earlier_calls: int = 0) -> list[int]:
    """Return the actions that Vowpal Wabbit's large action space chooses (B1, B2).

    The learner is untrained and explores with `epsilon = 1`, so the actions of positive probability are those that it
    chose and the one that it predicts. The latter is made an extra action without features, which is not
    returned. `max_actions` is the rank of the set. It computes in single precision.

    Parameters
    ----------
    vectors : (n, d) array
        One action a row; values outside the range of single precision are lost.
    approximation : float
        Its `--spanner_c`, above 1.
    earlier_calls : int
        How often the same workspace has predicted for these actions before the call that counts.

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
    matrix = finite_matrix(vectors)
    require_positive("approximation", approximation)
    require(approximation > 1.0, "approximation", approximation, "above 1")
    require_count("earlier_calls", earlier_calls, least=0)
    library = import_library("vowpalwabbit", "vowpalwabbit")
    rank = int(np.linalg.matrix_rank(matrix))
    if rank == 0:
        return []
    examples = ["|", *(_action(row) for row in matrix)]
    workspace = library.Workspace(
        "--cb_explore_adf --large_action_space --epsilon 1.0 --noconstant --quiet --thread_pool_size 0 "
        f"--max_actions {rank} --spanner_c {float(approximation)!r}"
    )
    try:
        for _ in range(earlier_calls):
            workspace.predict(examples)
        probabilities = workspace.predict(examples)
    finally:
        workspace.finish()
    return [index for index, probability in enumerate(probabilities[1:]) if probability > 0.0]


def _action(row: FloatArray) -> str:
    """One action in Vowpal Wabbit's text format; absent features are 0."""
    return "| " + " ".join(f"f{place}:{value!r}" for place, value in enumerate(row.tolist()) if value != 0.0)


_SPANNER_PROMISE = (
    '`vw --help`: "--spanner_c arg  Parameter for computing c-approximate spanner (type: float, default: 2)"; project '
    'wiki, "Contextual Bandits with Large Action Spaces (LAS)": "Apply c-approximate barycentric spanner on the left '
    'singular vectors produced after the SVD"'
)


LIBRARIES = tuple(
    Library(
        Subject(
            name,
            {"barycentric_spanner": function},
            approximation=2.0,
            precision="float32",
            may_fall_short=True,  # as its wiki says
        ),
        "vowpalwabbit",
        {"B1": _SPANNER_PROMISE, "B2": _SPANNER_PROMISE},
    )
    for name, function in (
        ("vowpal-wabbit", vowpal_wabbit_spanner),  # of a fresh workspace
        ("vowpal-wabbit-again", partial(vowpal_wabbit_spanner, earlier_calls=1)),
    )
)
