"""Family `needle`: the instance on which coverage is a lower bound (T1, `[ours]`)."""

from __future__ import annotations

import math

import numpy as np

from spanver.problems.family import ROOT_E, Family, Practical, family
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive

NAME = "needle"


@family(NAME)
def needle_problem(
    seed: int = 0, *, responses: int = 64, dimension: int = 16, beta: float = 0.1, coverage: float = 64.0
) -> TabularProblem:
    """One rewarded response among labels that carry no information: the instance of T1 `[ours]`.

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
    )


FAMILY = Family(NAME, needle_problem, Practical(100, 2.0 * ROOT_E, 0.3, 100, 8.0 * math.e, 0.001))
