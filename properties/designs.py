"""Small problems, written down, on which the named mistakes of learners show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from spanver.learners.spanner_sampling import Settings
from spanver.parameter_sets import Box
from spanver.problems.families.forks import forks_problem
from spanver.problems.families.mdp import mdp_problem
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem

Problem = TypeVar("Problem", TabularProblem, TokenProblem)


def named(prefix: str, names: str) -> list[str]:
    """Names of mutants that have one prefix, given with spaces between them."""
    return [f"{prefix}-{name}" for name in names.split()]


def problem_of(
    features: ArrayLike,
    theta: Sequence[float],
    *,
    base: ArrayLike | None = None,
    noise: float = 1.0,
    beta: float = 1.0,
    radius: float = 1.0,
) -> TabularProblem:
    """A problem of these features (X, Y, d) and of rewards `<theta, phi>`, which are noisy, in [-1, 1].

    Prompts are equally likely, and so are responses unless `base` is given. Where the radius is below the length of
    `theta`, rewards are not realizable, and parameters that are fitted to them are on the sphere.
    """
    phi, parameter = np.array(features, dtype=np.float64), np.array(theta)
    prompts, responses, _ = phi.shape
    law = np.full((prompts, responses), 1.0 / responses) if base is None else np.array(base)
    with np.errstate(divide="ignore"):
        log_base = np.log(law)
    return TabularProblem(
        prompt_law=np.full(prompts, 1.0 / prompts), log_base=log_base, features=phi, reward=phi @ parameter, beta=beta,
        radius=radius, reward_range=2.0, reward_low=np.full(prompts, -1.0), noise=noise,
        theta_star=parameter if radius >= float(np.linalg.norm(parameter)) else None,
    )  # fmt: skip


def in_box(problem: Problem, share: float = 1.0) -> Problem:
    """The problem with parameters in a box, whose corners have this share of its radius for their norm."""
    return replace(problem, shape=Box, radius=share * problem.radius, theta_star=None)


SHARES = st.sampled_from([1.0, 0.125])
"""Of a radius, so that in a small box the problem is not realizable, and ends hold the parameters."""


def settings_of(**changes: Any) -> Settings:
    """Settings of a short run, with some changes."""
    usual: dict[str, Any] = {
        "prompts": 8,
        "pairs_per_prompt": 4,
        "nu": 0.45,
        "ridge": 0.05,
        "exploration_rounds": 8,
        "rejection_multiplier": 1.0,
        "rejection_failure": 0.9,
    }
    return Settings(**(usual | changes))


def witnesses(directions: int = 20, step: float = 0.02) -> TabularProblem:
    """E4's witness in many directions, one a prompt, where the noise of one difference moves rare responses far."""
    away = np.array([0.0, step, 1.0, -1.0])
    features = away[None, :, None] * np.eye(directions)[:, None, :]
    reward = np.zeros((directions, 4))
    return TabularProblem(
        prompt_law=np.full(directions, 1.0 / directions), log_base=np.log([[0.6, 0.398, 0.001, 0.001]] * directions),
        features=features, reward=reward, beta=0.1, radius=4.0, reward_range=step, reward_low=reward[:, 0] - step / 2,
        noise=1.0, theta_star=np.zeros(directions),
    )  # fmt: skip


def tokens_of(base: Sequence[ArrayLike], reward: ArrayLike, *, beta: float = 0.5, radius: float = 4.0) -> TokenProblem:
    """A token problem of these base policies (X A^(h-1), A) and rewards, with a feature for each token of a prefix."""
    laws, rewards = [np.array(layer, dtype=np.float64) for layer in base], np.array(reward, dtype=np.float64)
    dimension = rewards.size
    return TokenProblem(
        prompt_law=np.full(len(laws[0]), 1.0 / len(laws[0])), log_base=[np.log(law) for law in laws],
        features=[np.eye(law.size, dimension).reshape(*law.shape, dimension) for law in laws], reward=rewards,
        beta=beta, radius=radius,
    )  # fmt: skip


def layered_of(
    base: Sequence[ArrayLike], rewards: Sequence[ArrayLike], *, beta: float = 0.5, noise: float = 0.0
) -> LayeredMDP:
    """A tree of these base policies (A^(h-1), A), with rewards in every layer and a feature for each state and action.

    These realize any rewards.
    """
    laws = [np.array(layer, dtype=np.float64) for layer in base]
    dimension = laws[-1].size
    following = [np.arange(law.size).reshape(*law.shape, 1) for law in laws[:-1]]
    problem = LayeredMDP(
        initial_law=np.ones(1), successors=following, transitions=[np.ones(each.shape) for each in following],
        log_base=[np.log(law) for law in laws],
        features=[np.eye(law.size, dimension).reshape(*law.shape, dimension) for law in laws],
        rewards=[np.array(layer, dtype=np.float64) for layer in rewards], beta=beta, radius=64.0, noise=noise,
    )  # fmt: skip
    values = [np.pad(q.reshape(-1), (0, dimension - q.size)) for q in soft_q(problem)]
    return replace(problem, theta_star=np.array(values))


# Two prompts with features of their own, none of which are along an axis alone.
TURNED = (
    ((0.0, 0.0, 0.0), (0.9, 0.1, 0.0), (0.0, 0.8, 0.1), (0.3, 0.6, -0.4)),
    ((0.0, 0.1, 0.0), (0.0, 0.3, 0.7), (0.5, -0.5, 0.2), (0.1, 0.0, -0.6)),
)
THETA = (0.6, -0.3, 0.7)
INSIDE = problem_of(TURNED, THETA, radius=64.0)
ON_THE_SPHERE = problem_of(TURNED, THETA, radius=0.125)
# Of three coordinates the first and the last are held at an end.
IN_THE_BOX = in_box(INSIDE, 0.01)
# Without noise any pair of different responses tells something of the parameter.
SHARP = problem_of(TURNED, THETA, beta=0.5, noise=0.0)
ONE_PROMPT = problem_of(TURNED[:1], THETA)

# Nearly all of the cost is that of calls of the sampler.
CHEAP = settings_of(
    prompts=1, pairs_per_prompt=1, exploration_rounds=4, rejection_multiplier=2.5, rejection_failure=0.3
)

# With many rounds a dozen pairs and more are accepted, until none is uncertain any longer.
CHAIN = problem_of(TURNED, THETA)
ROUNDS = 64

# Every pair of different responses is as long as the next.
TRIANGLE = problem_of([[[0.0, 0.0], [0.8, 0.0], [0.4, 0.48**0.5]]], [0.5, 0.5])
LINE = problem_of([[[0.0], [1.0]]], [0.5])

# At every prompt one direction, whose pair is a little longer than nu, or shorter, where the ridge is 1.
NEAR_NU = 0.375


def near(*by: float) -> TabularProblem:
    """Prompts whose pair has a norm of `NEAR_NU` and this much more of it under the identity."""
    rows = np.diag([NEAR_NU * (1.0 + each) for each in by])
    return problem_of([[[0.0] * len(by), list(row)] for row in rows], [0.5] * len(by))


NEAR = near(0.03, 3e-8, -3e-8, -0.03)
# Single precision rounds the inverse of this ridge up, and with it norms by 2.4e-8.
ROUNDED_RIDGE, NEARER = 0.9, near(0.03, 1e-8, -1e-8, -0.03)

TOKENS = tokens_of(
    [[[0.7, 0.3]], [[0.6, 0.4], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7], [0.4, 0.6], [0.8, 0.2]]],
    [[1.0, -0.5, 0.25, 0.75, -1.0, 0.5, 0.0, -0.75]],
)
TWO_TOKENS = tokens_of([[[0.7, 0.3]], [[0.6, 0.4], [0.2, 0.8]]], [[1.0, -0.5, 0.25, 0.75]])

LAYERED = layered_of(
    [[[0.7, 0.3]], [[0.6, 0.4], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7], [0.4, 0.6], [0.8, 0.2]]],
    [[[0.25, 1.0]], [[0.0, 0.5], [1.0, 0.25]], [[1.0, 0.0], [0.25, 0.75], [0.0, 0.5], [1.0, 0.25]]],
)
"""Rewards in every layer."""

# Actions 1 and 2 have a direction each, and the anchor, action 0, none.
THREE_ACTIONS = TokenProblem(
    prompt_law=np.ones(1), log_base=[np.log([[0.5, 0.25, 0.25]]), np.log([[0.5, 0.25, 0.25]] * 3)],
    features=[np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]] * states) for states in (1, 3)],
    reward=np.array([[0.0, 0.5, 1.0, 0.25, 0.75, 0.0, 1.0, 0.0, 0.5]]), beta=0.05, radius=8.0,
)  # fmt: skip
# States that follow at random, two a layer, with rewards in each of three layers.
PROCESS = mdp_problem(3, horizon=3, dimension=2, states=2, actions=3, successors=2, noise=0.0)

# Action 1 is rare in one state of the second layer: a policy that takes it pays more there than any reward.
RARE_IN_ONE = TokenProblem(
    prompt_law=np.ones(1), log_base=[np.log([[0.5, 0.5]]), np.log([[0.5, 0.5], [0.99, 0.01]])],
    features=[np.array([[[0.0, 0.0], [1.0, 0.0]]] * states) for states in (1, 2)],
    reward=np.array([[0.0, 0.5, 1.0, 0.25]]), beta=1.0, radius=64.0,
)  # fmt: skip

FORKS = forks_problem(1, horizon=3)
"""Features of any direction, other ones in every layer, which single precision rounds."""
