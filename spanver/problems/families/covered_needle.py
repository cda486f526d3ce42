"""Family `covered_needle`: any coverage below `exp(1/beta)`, while nothing else changes (T2, T6)."""

from __future__ import annotations

import math

import numpy as np

from spanver.kernels import log1mexp
from spanver.problems.families.geometry import uniform_in_ball
from spanver.problems.family import ROOT_E, Family, Practical, family
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive

NAME = "covered_needle"


@family(NAME)
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
        left, whole = log1mexp(np.array([log_coverage - 1.0 / beta, -1.0 / beta])).tolist()
        log_needle = -log_coverage + left - whole
        log_cloud = float(log1mexp(np.array(log_needle)))
    else:
        log_needle, log_cloud = 0.0, -math.inf
    features = np.zeros((prompts, responses, dimension))
    cloud = uniform_in_ball(generator, prompts * (responses - 1), dimension - 1)
    features[:, 1:, :-1] = cloud.reshape(prompts, responses - 1, dimension - 1)
    features[:, 0, -1] = 1.0
    log_weights = generator.gumbel(size=(prompts, responses - 1))
    log_base = np.empty((prompts, responses))
    log_base[:, 0] = log_needle
    log_base[:, 1:] = log_cloud + log_weights - np.logaddexp.reduce(log_weights, axis=1, keepdims=True)
    theta = np.eye(dimension)[-1]
    for prompt in range(prompts):  # labels say nothing: a guess finds the needle only by chance
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
    )


FAMILY = Family(NAME, covered_needle_problem, Practical(400, 2.0 * ROOT_E, 0.3, 400, 8.0 * math.e, 0.001))
