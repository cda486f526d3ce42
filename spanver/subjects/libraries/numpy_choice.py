"""`numpy.random.Generator.choice`: R6 and R7."""

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
        The law, in the precision of the caller: NumPy's check that it sums to 1 depends on it.
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
    law = np.asarray(probabilities)
    return np.random.default_rng(seed).choice(law.size, size=count, p=law).astype(np.int64)


def numpy_draw_distinct(weights: ArrayLike, count: int, seed: int) -> IntArray:
    """Return `count` different draws by NumPy's `Generator.choice` without replacement (R7).

    Parameters
    ----------
    weights : (k,) array
        Of any scale: they are normalised here.
    count : int
        At most the number of positive weights.
    seed : int
        Of `numpy.random.default_rng`.

    Raises
    ------
    ArgumentError
        If `count` is no count.
    """
    require_count("count", count, least=0)
    law = np.asarray(weights, dtype=np.float64)
    law = law / law.max()
    generator = np.random.default_rng(seed)
    return generator.choice(law.size, size=count, replace=False, p=law / law.sum()).astype(np.int64)


LIBRARIES = (
    Library(
        Subject("numpy", {"draw": numpy_draw, "draw_distinct": numpy_draw_distinct}),
        "numpy",
        {
            "R6": (
                'numpy.random.Generator.choice, docstring, `p`: "The probabilities associated with each entry in a."'
            ),
            "R7": (
                'numpy.random.Generator.choice, docstring, `replace`: "Whether the sample is with or without '
                'replacement"; `p`: "The probabilities associated with each entry in a.", of which the next one is '
                "drawn among those that are left"
            ),
        },
    ),
)
