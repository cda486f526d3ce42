"""Hypothesis strategies for instances: tabular problems, and pairs for the spanner scan.

Hypothesis searches instances and never luck: seeds of oracles and learners are not drawn here. Numbers are drawn on
coarse grids, so that failing instances shrink to ones that a person can read; zeros, ties and duplicates come by
themselves.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spanver.problems.tables import TabularProblem
from spanver.values import FloatArray

__all__ = ["realizing", "regressions", "relative_features", "tabular_problems"]

_GRID = st.integers(-8, 8).map(lambda k: k / 8)


@st.composite
def tabular_problems(
    draw: st.DrawFn, *, max_prompts: int = 3, max_responses: int = 5, max_dimension: int = 3
) -> TabularProblem:
    """Small realizable problems: any support, rank-deficient and repeated features, any scale of beta.

    Parameters
    ----------
    max_prompts, max_responses, max_dimension : int
    """
    prompts = draw(st.integers(1, max_prompts))
    responses = draw(st.integers(1, max_responses))
    dimension = draw(st.integers(1, max_dimension))
    features = draw(arrays(np.float64, (prompts, responses, dimension), elements=_GRID))
    features = features / np.sqrt(dimension)
    weights = draw(arrays(np.float64, (prompts, responses), elements=st.sampled_from([1.0, 0.0, 0.25, 1e-3, 1e-12])))
    weights[weights.sum(axis=1) == 0.0, 0] = 1.0
    with np.errstate(divide="ignore"):
        log_base = np.log(weights) - np.log(weights.sum(axis=1, keepdims=True))
    theta = draw(arrays(np.float64, dimension, elements=_GRID)) / np.sqrt(dimension)
    shift = draw(arrays(np.float64, (prompts, 1), elements=_GRID))
    reward = features @ theta + shift
    mass = draw(arrays(np.float64, prompts, elements=st.sampled_from([1.0, 0.5, 0.0])))
    mass[0] += float(mass.sum() == 0.0)
    return TabularProblem(
        prompt_law=mass / mass.sum(),
        log_base=log_base,
        features=features,
        reward=reward,
        beta=draw(st.sampled_from([1.0, 0.25, 0.05, 1e-2, 1e-4])),
        radius=1.0,
        reward_range=2.0,
        reward_low=shift[:, 0] - 1.0,
        noise=draw(st.sampled_from([0.0, 1.0])),
        theta_star=theta,
    )


def realizing(problem: TabularProblem) -> FloatArray:
    """Parameter that realizes the rewards of a drawn problem, shape (d,)."""
    assert problem.theta_star is not None
    return problem.theta_star


@st.composite
def relative_features(
    draw: st.DrawFn, *, max_prompts: int = 12, max_pairs: int = 4, max_dimension: int = 4
) -> FloatArray:
    """Relative features of pairs, shape (T, n, d), each of norm at most 2.

    Parameters
    ----------
    max_prompts, max_pairs, max_dimension : int
    """
    shape = (
        draw(st.integers(1, max_prompts)),
        draw(st.integers(1, max_pairs)),
        draw(st.integers(1, max_dimension)),
    )
    pairs: FloatArray = draw(arrays(np.float64, shape, elements=_GRID))
    return pairs * (2.0 / np.sqrt(shape[2]))


@st.composite
def regressions(draw: st.DrawFn, *, max_rows: int = 6, max_dimension: int = 4) -> tuple[FloatArray, FloatArray, float]:
    """Features, targets and radius of a least squares problem on the ball, of any rank and of very different scales.

    Parameters
    ----------
    max_rows, max_dimension : int
    """
    shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, max_dimension)))
    features: FloatArray = draw(arrays(np.float64, shape, elements=_GRID))
    targets: FloatArray = draw(arrays(np.float64, shape[0], elements=_GRID))
    scale = draw(st.sampled_from([1.0, 1e-6, 1e6]))
    return features * scale, targets, draw(st.sampled_from([1.0, 0.1, 10.0]))
