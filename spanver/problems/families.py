"""The tabular problem families of mathematics.md, section 5, as functions of a seed.

`random_problem` is generic; `needle_problem` is the instance on which coverage is a lower bound (T1, `[recon]`); on
`covered_needle_problem` the coverage is any chosen number up to `2^41` while nothing else of the family changes (T2,
T6).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.random import Generator

from spanver.problems.tables import TabularProblem
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive
from spanver.values import FloatArray

__all__ = ["covered_needle_problem", "needle_problem", "random_problem"]


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

    Returns
    -------
    TabularProblem
        With `radius` 1 and a `theta_star` on the unit sphere.
    """
    for name, count in (("prompts", prompts), ("responses", responses), ("dimension", dimension)):
        require_count(name, count)
    require(0.0 <= zeros < 1.0, "zeros", zeros, "a number from 0 to below 1")
    require(base in ("gumbel", "dirichlet"), "base", base, "'gumbel' or 'dirichlet'")
    generator = stream(seed, "random problem")
    theta = _sphere(generator, 1, dimension)[0]
    features = _ball(generator, prompts * responses, dimension).reshape(prompts, responses, dimension)
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
        name="random",
        parameters={
            "seed": seed,
            "prompts": prompts,
            "responses": responses,
            "dimension": dimension,
            "beta": beta,
            "base": base,
            "zeros": zeros,
            "noise": noise,
        },
    )


def needle_problem(
    seed: int = 0, *, responses: int = 64, dimension: int = 16, beta: float = 0.1, coverage: float = 64.0
) -> TabularProblem:
    """One rewarded response among labels that carry no information: the instance of T1 `[recon]`.

    Parameters
    ----------
    seed : int
    responses : int
        `|Y|`, at least 3.
    dimension : int
    beta : float
    coverage : float
        `C*`, above 1; the base probability of the needle is `1/C` with `C = min(C*, exp(1/(2 beta)))`.

    Returns
    -------
    TabularProblem
        With `R_max = B = 1`, and noiseless rewards. `C(pi*) = C/(1 + (C-1) e^{-1/beta})`.
    """
    require_count("responses", responses, least=3)
    require_count("dimension", dimension)
    require_positive("beta", beta)
    require(1.0 < coverage < math.inf, "coverage", coverage, "a finite number above 1")
    generator = stream(seed, "needle problem")
    log_coverage = min(math.log(coverage), 0.5 / beta)
    needle_free, needle = generator.permutation(responses)[:2]
    theta = generator.choice([-1.0, 1.0], size=dimension) / math.sqrt(dimension)
    log_base = np.full((1, responses), -np.inf)
    log_base[0, needle] = -log_coverage
    log_base[0, needle_free] = math.log(-math.expm1(-log_coverage))
    features = np.zeros((1, responses, dimension))
    features[0, needle] = theta
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=log_base,
        features=features,
        reward=features @ theta,
        beta=beta,
        radius=1.0,
        reward_range=1.0,
        reward_low=np.zeros(1),
        theta_star=theta,
        name="needle",
        parameters={
            "seed": seed,
            "responses": responses,
            "dimension": dimension,
            "beta": beta,
            "coverage": coverage,
        },
    )


def covered_needle_problem(
    seed: int = 0,
    *,
    coverage: float = 2.0**10,
    prompts: int = 2,
    responses: int = 64,
    dimension: int = 4,
    beta: float = 0.03,
) -> TabularProblem:
    """A rewarded needle of chosen coverage in a cloud of ordinary responses (T2, T6).

    `phi(needle) = theta* = e_d`; the cloud is orthogonal to `e_d` and earns nothing. With `a = e^{-1/beta}` the base
    probability `(1/C - a)/(1 - a)` of the needle makes the coverage of the optimum exactly `C`.

    Parameters
    ----------
    seed : int
    coverage : float
        `C(pi*)`, at least 1 and below `e^{1/beta}`.
    prompts, responses : int
        At least 1 and 2.
    dimension : int
        At least 2.
    beta : float

    Returns
    -------
    TabularProblem
        With `R_max = B = 1`, so that mean rewards fill their interval and leave no room for noise.
    """
    require_count("prompts", prompts)
    require_count("responses", responses, least=2)
    require_count("dimension", dimension, least=2)
    require_positive("beta", beta)
    allowed = f"at least 1 and below exp(1/beta) = {math.exp(min(1.0 / beta, 700.0)):.6g}"
    require(coverage >= 1.0 and math.log(coverage) < 1.0 / beta, "coverage", coverage, allowed)
    generator = stream(seed, "covered needle problem")
    log_coverage = math.log(coverage)
    if log_coverage > 0.0:
        # log of (1/C - a)/(1 - a), without forming a, which underflows for small beta.
        log_needle = -log_coverage + _log_complement(log_coverage - 1.0 / beta) - _log_complement(-1.0 / beta)
        log_cloud = _log_complement(log_needle)
    else:
        log_needle, log_cloud = 0.0, -math.inf
    features = np.zeros((prompts, responses, dimension))
    cloud = _ball(generator, prompts * (responses - 1), dimension - 1)
    features[:, 1:, :-1] = cloud.reshape(prompts, responses - 1, dimension - 1)
    features[:, 0, -1] = 1.0
    log_weights = generator.gumbel(size=(prompts, responses - 1))
    log_base = np.empty((prompts, responses))
    log_base[:, 0] = log_needle
    log_base[:, 1:] = log_cloud + log_weights - np.logaddexp.reduce(log_weights, axis=1, keepdims=True)
    theta = np.eye(dimension)[-1]
    for prompt in range(prompts):  # labels say nothing: a guess finds the needle only by luck
        order = generator.permutation(responses)
        features[prompt], log_base[prompt] = features[prompt, order], log_base[prompt, order]
    return TabularProblem(
        prompt_law=np.full(prompts, 1.0 / prompts),
        log_base=log_base,
        features=features,
        reward=features @ theta,
        beta=beta,
        radius=1.0,
        reward_range=1.0,
        reward_low=np.zeros(prompts),
        theta_star=theta,
        name="covered_needle",
        parameters={
            "seed": seed,
            "coverage": coverage,
            "prompts": prompts,
            "responses": responses,
            "dimension": dimension,
            "beta": beta,
        },
    )


def _log_complement(log_probability: float) -> float:
    """`log(1 - e^x)` for `x < 0`."""
    if log_probability > -math.log(2.0):
        return math.log(-math.expm1(log_probability))
    return math.log1p(-math.exp(log_probability))


def _sphere(generator: Generator, count: int, dimension: int) -> FloatArray:
    normal = generator.standard_normal((count, dimension))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _ball(generator: Generator, count: int, dimension: int) -> FloatArray:
    lengths = generator.random((count, 1)) ** (1.0 / dimension)
    return _sphere(generator, count, dimension) * lengths * (1.0 - 1e-12)
