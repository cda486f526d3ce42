"""Hypothesis strategies for instances: problems, pairs, regressions, distributions, sets of vectors.

Hypothesis searches instances and never randomness: seeds of oracles and learners are not drawn here. Numbers are drawn
on coarse grids, so that failing instances shrink to readable ones. Zeros, ties and duplicates are frequent, and
extremes - tiny probabilities, tiny beta, nearly collinear features - are among the values drawn.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp

from spanver.learners.spanner_sampling import Settings
from spanver.problems.formulas import Formula
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem, soft_q_of
from spanver.values import FloatArray

_GRID = st.integers(-8, 8).map(lambda k: k / 8)
_COIN = st.booleans()
_BETAS = (1.0, 0.25, 0.05, 1e-2, 1e-4)
_WEIGHTS = (1.0, 0.0, 0.25, 1e-3, 1e-12, 1e-300)

# Making a strategy costs as much as drawing from it, and instances are drawn by the ten thousand.
_counts = cache(st.integers)
_one_of = cache(st.sampled_from)


@cache
def _numbers(
    shape: tuple[int, ...], values: tuple[float, ...] | None = None, fill: float | None = None
) -> st.SearchStrategy[FloatArray]:
    """Arrays of these values, or of the grid; most elements may be the same one, `fill`, where there is one."""
    elements = _GRID if values is None else st.sampled_from(values)
    return arrays(np.float64, shape, elements=elements, fill=st.nothing() if fill is None else st.just(fill))


@st.composite
def tabular_problems(
    draw: st.DrawFn,
    *,
    max_prompts: int = 3,
    min_responses: int = 1,
    max_responses: int = 4,
    max_dimension: int = 3,
    betas: tuple[float, ...] = _BETAS,
    weights: tuple[float, ...] = _WEIGHTS,
    noises: tuple[float, ...] = (0.0, 1.0, 1.0),
) -> TabularProblem:
    """Small realizable problems: any support, rank-deficient, repeated and nearly collinear features, any beta.

    Parameters
    ----------
    max_prompts, min_responses, max_responses, max_dimension : int
    betas, weights, noises : tuple of float
        Values to draw from, the first most often; base probabilities are in proportion to the weights. By default
        about half of the problems are noisy.
    """
    prompts = draw(_counts(1, max_prompts))
    responses = draw(_counts(min_responses, max_responses))
    dimension = draw(_counts(1, max_dimension))
    features = draw(_numbers((prompts, responses, dimension)))
    if draw(_COIN):
        # Nearly collinear: all but the first coordinate hardly matter.
        features = features * np.where(np.arange(dimension) == 0, 1.0, 1e-6)
    features = features / np.sqrt(dimension)
    base = draw(_numbers((prompts, responses), weights))
    base[base.sum(axis=1) == 0.0, 0] = 1.0
    with np.errstate(divide="ignore"):
        log_base = np.log(base) - np.log(base.sum(axis=1, keepdims=True))
    theta = draw(_numbers((dimension,))) / np.sqrt(dimension)
    shift = draw(_numbers((prompts, 1)))
    mass = draw(_numbers((prompts,), (1.0, 0.5, 0.0)))
    mass[0] += float(mass.sum() == 0.0)
    return TabularProblem(
        prompt_law=mass / mass.sum(),
        log_base=log_base,
        features=features,
        reward=features @ theta + shift,
        beta=draw(_one_of(betas)),
        radius=1.0,
        reward_range=2.0,
        reward_low=shift[:, 0] - 1.0,
        noise=draw(_one_of(noises)),
        theta_star=theta,
    )


def realizing(problem: TabularProblem) -> FloatArray:
    """Parameter that realizes the rewards of a drawn problem, shape (d,)."""
    assert problem.theta_star is not None
    return problem.theta_star


def anchored(problem: TabularProblem, position: int) -> TabularProblem:
    """The problem with the response at this position of the base support of each prompt as its anchor."""
    supports = [np.flatnonzero(log_base > -np.inf) for log_base in problem.log_base]
    return replace(problem, anchors=np.array([support[position % len(support)] for support in supports]))


@st.composite
def token_problems(
    draw: st.DrawFn,
    *,
    max_prompts: int = 2,
    max_horizon: int = 3,
    max_vocabulary_size: int = 3,
    betas: tuple[float, ...] = _BETAS,
    weights: tuple[float, ...] = _WEIGHTS,
) -> TokenProblem:
    """Small token problems with any rewards and any support; a feature for every token of every prefix realizes them.

    Parameters
    ----------
    max_prompts, max_horizon, max_vocabulary_size : int
    betas, weights : tuple of float
        Values to draw from; base probabilities are in proportion to the weights.
    """
    prompts, horizon = draw(_counts(1, max_prompts)), draw(_counts(1, max_horizon))
    vocabulary_size, beta = draw(_counts(1, max_vocabulary_size)), draw(_one_of(betas))
    log_base = []
    for layer in range(horizon):
        shape = (prompts * vocabulary_size**layer, vocabulary_size)
        base = draw(_numbers(shape, weights, 1.0))
        base[base.sum(axis=1) == 0.0, 0] = 1.0
        with np.errstate(divide="ignore"):
            log_base.append(np.log(base) - np.log(base.sum(axis=1, keepdims=True)))
    reward = draw(_numbers((prompts, vocabulary_size**horizon), fill=0.0))
    dimension = prompts * vocabulary_size**horizon
    values = soft_q_of(log_base, reward, beta)
    # Differences at one prefix are what has to be realized, and what bounds the parameters.
    thetas = [np.pad((q - q.min(axis=1, keepdims=True)).reshape(-1), (0, dimension - q.size)) for q in values]
    return TokenProblem(
        prompt_law=np.full(prompts, 1.0 / prompts),
        log_base=log_base,
        features=[np.eye(q.size, dimension).reshape(*q.shape, dimension) for q in values],
        reward=reward,
        beta=beta,
        radius=max(1.0, *(float(np.linalg.norm(theta)) for theta in thetas)),
        theta_star=np.array(thetas),
    )


@st.composite
def layered_mdps(
    draw: st.DrawFn,
    *,
    max_horizon: int = 3,
    max_states: int = 3,
    max_actions: int = 3,
    max_dimension: int = 2,
    betas: tuple[float, ...] = _BETAS,
    weights: tuple[float, ...] = _WEIGHTS,
) -> LayeredMDP:
    """Small realizable processes of layers, with rewards in every one; the base policy takes the anchor everywhere.

    They are built as the family `mdp` is: any transitions, base policies, features and parameters, and the rewards that
    fit them.

    Parameters
    ----------
    max_horizon, max_states, max_actions, max_dimension : int
    betas, weights : tuple of float
        Values to draw from; probabilities of actions and of next states are in proportion to the weights.
    """
    horizon, actions = draw(_counts(1, max_horizon)), draw(_counts(1, max_actions))
    sizes = [draw(_counts(1, max_states)) for _ in range(horizon)]
    dimension, beta, anchor = draw(_counts(1, max_dimension)), draw(_one_of(betas)), draw(_counts(0, actions - 1))
    theta = draw(_numbers((horizon, dimension))) / np.sqrt(dimension)
    log_base: list[FloatArray] = []
    features: list[FloatArray] = []
    rewards: list[FloatArray] = []
    transitions: list[FloatArray] = []
    later: FloatArray | float = 0.0
    for layer in reversed(range(horizon)):
        shape = (sizes[layer], actions)
        base = draw(_numbers(shape, weights, 1.0))
        base[base[:, anchor] == 0.0, anchor] = 1.0
        with np.errstate(divide="ignore"):
            log_base.insert(0, np.log(base) - np.log(base.sum(axis=1, keepdims=True)))
        features.insert(0, draw(_numbers((*shape, dimension))) / np.sqrt(dimension))
        linear = features[0] @ theta[layer] - later
        spread = np.abs(draw(_numbers((sizes[layer], 1), fill=0.0)))
        rewards.insert(0, linear - linear.min(axis=1, keepdims=True) + spread)
        value = beta * logsumexp(log_base[0] + (rewards[0] + later) / beta, axis=1)
        if layer > 0:
            law = draw(_numbers((sizes[layer - 1], actions, sizes[layer]), weights, 1.0))
            law[law.sum(axis=2) == 0.0, 0] = 1.0
            transitions.insert(0, law / law.sum(axis=2, keepdims=True))
            later = transitions[0] @ value
    mass = draw(_numbers((sizes[0],), (1.0, 0.5, 0.0)))
    mass[0] += float(mass.sum() == 0.0)
    largest = max(float(reward.max()) for reward in rewards)
    return LayeredMDP(
        initial_law=mass / mass.sum(),
        successors=[
            np.broadcast_to(np.arange(law.shape[2]), law.shape)  # of which some are impossible
            for law in transitions
        ],
        transitions=transitions,
        log_base=log_base,
        features=features,
        rewards=rewards,
        beta=beta,
        radius=max(1.0, largest),
        anchor=anchor,
        theta_star=theta,
    )


@st.composite
def run_settings(draw: st.DrawFn, *, exploration_rounds: int = 4) -> Settings:
    """Settings of a short run of SpannerSampling.

    Parameters
    ----------
    exploration_rounds : int
        At most.
    """
    return Settings(
        prompts=draw(_counts(1, 4)),
        pairs_per_prompt=draw(_counts(1, 4)),
        nu=draw(_one_of((0.3, 1.0, 0.05))),
        ridge=draw(_one_of((1.0, 0.1, 4.0))),
        exploration_rounds=draw(_counts(1, exploration_rounds)),
        rejection_multiplier=draw(_one_of((1.0, 2.5))),
        rejection_failure=draw(_one_of((0.9, 0.3))),
    )


@st.composite
def relative_features(
    draw: st.DrawFn, *, max_prompts: int = 12, max_pairs: int = 4, max_dimension: int = 4
) -> FloatArray:
    """Relative features of pairs for the spanner scan, shape (T, n, d), each of norm at most 2."""
    shape = (draw(st.integers(1, max_prompts)), draw(st.integers(1, max_pairs)), draw(st.integers(1, max_dimension)))
    pairs: FloatArray = draw(arrays(np.float64, shape, elements=_GRID))
    return pairs * (2.0 / np.sqrt(shape[2]))


@st.composite
def regressions(draw: st.DrawFn, *, max_rows: int = 6, max_dimension: int = 3) -> tuple[FloatArray, FloatArray, float]:
    """Features, targets and radius of a constrained least squares problem, of any rank and of very different scales."""
    # A row is an observation with its target, so that a failing problem loses one after another.
    width = draw(st.integers(1, max_dimension)) + 1
    rows = draw(st.lists(st.lists(_GRID, min_size=width, max_size=width), min_size=1, max_size=max_rows))
    features, targets = np.array(rows)[:, :-1], np.array(rows)[:, -1]
    scale = draw(st.sampled_from([1.0, 1e-6, 1e6]))
    return features * scale, targets, draw(st.sampled_from([1.0, 0.1, 10.0]))


@st.composite
def comparisons(draw: st.DrawFn, *, max_rows: int = 6, max_dimension: int = 3) -> tuple[FloatArray, FloatArray, float]:
    """Relative features, labels of 1 and -1 and radius of a fit from preferences: of any rank, separable or not."""
    width = draw(st.integers(1, max_dimension))
    row = st.tuples(st.lists(_GRID, min_size=width, max_size=width), st.sampled_from([1.0, -1.0]))
    rows = draw(st.lists(row, min_size=1, max_size=max_rows))
    features, labels = (np.array(column) for column in zip(*rows, strict=True))
    scale = draw(st.sampled_from([2.0, 1e-3]))
    return features * (scale / np.sqrt(width)), labels, draw(st.sampled_from([1.0, 0.1, 16.0]))


@st.composite
def laws(draw: st.DrawFn, *, max_size: int = 4) -> FloatArray:
    """Finite laws, shape (n,): two outcomes or more are possible, others impossible anywhere; one may have 0.9.

    Every second law of three outcomes or more begins with an impossible one.
    """
    size = draw(_counts(2, max_size))
    weights: FloatArray = draw(_numbers((size,), (1.0, 0.0, 3.0)))
    first = int(size > 2 and draw(_COIN))
    weights[:first] = 0.0
    one, other = draw(st.permutations(range(first, size)))[:2]
    weights[[one, other]] += 1.0
    if draw(_COIN):
        weights[one] = 9.0 * (weights.sum() - weights[one])
    return weights / weights.sum()


@st.composite
def formulas(draw: st.DrawFn, *, max_variables: int = 3, max_literals: int = 3, max_clauses: int = 4) -> Formula:
    """Max-k-DNF formulas: clauses repeat a variable, contradict themselves, and are repeated.

    Parameters
    ----------
    max_variables, max_literals, max_clauses : int
    """
    variables, literals = draw(_counts(1, max_variables)), draw(_counts(1, max_literals))
    literal = _one_of(tuple(sign * place for place in range(1, variables + 1) for sign in (1, -1)))
    clauses = draw(st.lists(st.tuples(*[literal] * literals), min_size=1, max_size=max_clauses))
    return Formula(variables, tuple(clauses), contradictory=True)


@st.composite
def spanning_sets(
    draw: st.DrawFn, *, max_vectors: int = 8, max_dimension: int = 4, conditioning: float = 0.15
) -> FloatArray:
    """Sets of vectors that span their space, shape (n, d), well enough that rounding decides nothing.

    Parameters
    ----------
    max_vectors, max_dimension : int
    conditioning : float
        Smallest singular value, at least, by the largest.
    """
    dimension = draw(st.integers(1, max_dimension))
    tenths = st.integers(draw(st.sampled_from([-10, 0])), 10).map(lambda k: k / 10)
    rows = draw(
        st.lists(st.lists(tenths, min_size=dimension, max_size=dimension), min_size=dimension, max_size=max_vectors)
    )
    vectors: FloatArray = np.array(rows)
    if len(vectors) > 1 and draw(st.booleans()):
        # The same values in another order: what a cache with too coarse a key confuses.
        vectors[1] = np.roll(vectors[0], 1)
    assume(_is_well_conditioned(vectors, conditioning))
    return vectors


def _is_well_conditioned(vectors: FloatArray, conditioning: float) -> bool:
    values = np.linalg.svd(vectors, compute_uv=False)
    return bool(values[-1] >= conditioning * values[0] > 0.0)
