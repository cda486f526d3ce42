"""Family `random`: random features, base policy and rewards."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from spanver.parameter_sets import SHAPES, Box
from spanver.problems.families.geometry import uniform_in_ball, uniform_on_sphere
from spanver.problems.family import ROOT_E, Family, Practical, family
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.validation import require, require_count, require_one_of

NAME = "random"


@family(NAME)
def random_problem(
    seed: int = 0,
    *,
    prompts: int = 8,
    responses: int = 32,
    dimension: int = 4,
    beta: float = 0.25,
    base: Literal["gumbel", "dirichlet"] = "gumbel",
    zeros: float = 0.0,
    noise: float = 0.25,
    shape: Literal["ball", "box"] = "ball",
) -> TabularProblem:
    """Features in the unit ball, a random base policy, and a linear reward with a shift per prompt.

    Parameters
    ----------
    seed : int
    prompts, responses, dimension : int
    beta : float
    base : {"gumbel", "dirichlet"}
        Softmax of Gumbel numbers, or a flat Dirichlet law.
    zeros : float
        Share of responses, below 1, whose base probability is 0.
    noise : float
        As in `TabularProblem`.
    shape : {"ball", "box"}
        Of the set of parameters, whose radius is 1.

    Returns
    -------
    TabularProblem
        With `radius` 1 and a `theta_star` on the unit sphere, or at a corner of the box.
    """
    require_one_of("shape", shape, SHAPES)
    for name, count in (("prompts", prompts), ("responses", responses), ("dimension", dimension)):
        require_count(name, count)
    require(0.0 <= zeros < 1.0, "zeros", zeros, "a number from 0 to below 1")
    require(base in ("gumbel", "dirichlet"), "base", base, "'gumbel' or 'dirichlet'")
    generator = stream(seed, "random problem")
    theta = uniform_on_sphere(generator, 1, dimension)[0]
    if shape == "box":
        theta = Box(1.0).maximiser(theta)
    features = uniform_in_ball(generator, prompts * responses, dimension).reshape(prompts, responses, dimension)
    if base == "gumbel":
        log_weights = generator.gumbel(size=(prompts, responses))
    else:
        log_weights = np.log(generator.exponential(size=(prompts, responses)))
    removed = int(zeros * responses)
    for row in log_weights:
        row[generator.permutation(responses)[:removed]] = -np.inf
    log_base = log_weights - np.logaddexp.reduce(log_weights, axis=1, keepdims=True)
    shift = generator.uniform(-1.0, 1.0, size=(prompts, 1))
    return TabularProblem(
        prompt_law=np.full(prompts, 1.0 / prompts),
        log_base=log_base,
        features=features,
        reward=features @ theta + shift,
        beta=beta,
        radius=1.0,
        reward_range=2.0,
        reward_low=shift[:, 0] - 1.0,
        noise=noise,
        theta_star=theta,
        shape=SHAPES[shape],
    )


FAMILY = Family(NAME, random_problem, Practical(400, 2.0 * ROOT_E, 0.3, 1000, 8.0 * math.e, 0.001))
