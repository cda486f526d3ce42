"""`numpy.random.Generator.choice`: R6."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spanver.subjects.contract import Subject
from spanver.subjects.libraries.library import Library
from spanver.validation import require_count
from spanver.values import IntArray


def numpy_draw(probabilities: ArrayLike, count: int, seed: int) -> IntArray:
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


LIBRARIES = (
    Library(
        Subject("numpy", {"draw": numpy_draw}),
        "numpy",
        {"R6": 'numpy.random.Generator.choice, docstring, `p`: "The probabilities associated with each entry in a."'},
    ),
)
