"""Family `needle`: the instance on which coverage is a lower bound (T1): the paper's, and one with signs."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from spanver.problems.families.geometry import uniform_on_sphere
from spanver.problems.family import ROOT_E, Family, Practical, family
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive

NAME = "needle"


@family(NAME)
def needle_problem(
    seed: int = 0,
    *,
    responses: int = 64,
    dimension: int = 16,
    beta: float = 0.1,
    coverage: float = 64.0,
    direction: Literal["signs", "sphere"] = "signs",
) -> TabularProblem:
    """One rewarded response among labels that carry no information: the instance of T1.

    Parameters
    ----------
    seed : int
    responses : int
        `|Y|`, at least 3.
    dimension : int
    beta : float
    coverage : float
        `C*`, above 1; the base probability of the needle is `1/C` with `C = min(C*, exp(1/(2 beta)))`.
    direction : {"signs", "sphere"}
        Law of `theta*`, which is the feature of the needle. "sphere": uniform on the unit sphere, and the usual
        response is number 0 `[paper: proof of FMR25 Theorem 2.1, p. 32]`. "signs": `+-1/sqrt(d)` each, and the usual
        response is a random one, so that its label tells nothing either `[ours]`.

    Returns
    -------
    TabularProblem
        With `R_max = B = 1`, and noiseless rewards; the anchor is the usual response.
        `C(pi*) = C/(1 + (C-1) e^{-1/beta})`.
    """
    require_count("responses", responses, least=3)
    require_count("dimension", dimension)
    require_positive("beta", beta)
    require(1.0 < coverage < math.inf, "coverage", coverage, "a finite number above 1")
    require(direction in ("signs", "sphere"), "direction", direction, "'signs' or 'sphere'")
    generator = stream(seed, "needle problem")
    log_coverage = min(math.log(coverage), 0.5 / beta)
    if direction == "signs":
        needle_free, needle = generator.permutation(responses)[:2]
        theta = generator.choice([-1.0, 1.0], size=dimension) / math.sqrt(dimension)
    else:
        needle_free, needle = 0, int(generator.integers(1, responses))
        theta = uniform_on_sphere(generator, 1, dimension)[0]
    log_base = np.full((1, responses), -np.inf)
    log_base[0, needle] = -log_coverage
    log_base[0, needle_free] = math.log(-math.expm1(-log_coverage))
    features = np.zeros((1, responses, dimension))
    features[0, needle] = theta
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=log_base,
        features=features,
        reward=np.minimum(features @ theta, 1.0),
        beta=beta,
        radius=1.0,
        reward_range=1.0,
        reward_low=np.zeros(1),
        theta_star=theta,
        anchors=np.array([needle_free]),
    )


FAMILY = Family(NAME, needle_problem, Practical(100, 2.0 * ROOT_E, 0.3, 100, 8.0 * math.e, 0.001))
