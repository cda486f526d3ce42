"""The Max-k-DNF family of T4 `[ours]`: problems on which interventions at training time are slow.

A prompt is a term of `k` literals over distinct variables among `n`. It has two responses: a null one, which the base
policy prefers, and an informative one of base probability `e^{-1/beta}`, whose features are the term itself. An
assignment `z` that satisfies terms is a parameter that finds their rewards, and the ball of radius `sqrt(n)` holds it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from spanver.problems.family import ROOT_E, Family, Practical, family
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive, require_real
from spanver.values import FloatArray

NAME = "max_k_dnf"


@family(NAME)
def max_k_dnf_problem(
    seed: int = 0,
    *,
    variables: int = 8,
    literals: int = 3,
    prompts: int = 16,
    satisfied: float = 1.0,
    beta: float = 0.25,
    noise: float = 0.0,
) -> TabularProblem:
    """Terms of a Max-k-DNF instance with a planted assignment (T4; `[ours]`).

    The informative response of a term has `phi = (1/k) sum_{literals} sign e_variable`, the null response `phi = 0`, so
    with `theta* = z` the informative one earns `s = 1 - 2 f/k` more, where `f` literals of the term are false under
    `z`. Every prompt has a shift of its own, and its interval of length 1 has its middle between both mean rewards.

    Parameters
    ----------
    seed : int
    variables : int
        `n`, the dimension of the features.
    literals : int
        `k`, at most `variables`.
    prompts : int
        Number of terms, all equally likely.
    satisfied : float
        Share of the terms, rounded to a whole number of them, that `z` satisfies; the others have at least one false
        literal, any such choice of false literals equally likely.
    beta : float
    noise : float
        As in `TabularProblem`. A satisfied term has none, because its mean rewards are both ends of the interval; so
        with noise in the others, repeated rewards of a null response tell what the informative one earns.

    Returns
    -------
    TabularProblem
        With `R_max = 1` and `B = sqrt(n)`. A satisfied term has `C(pi*|x) = e^{1/beta} / (2 - e^{-1/beta})`.
    """
    require_count("variables", variables)
    require_count("literals", literals)
    require(literals <= variables, "literals", literals, f"at most variables = {variables}")
    require_count("prompts", prompts)
    require_real("satisfied", satisfied, most=1.0)
    require_positive("beta", beta)
    generator = stream(seed, "max-k-dnf problem")
    assignment = generator.choice([-1.0, 1.0], size=variables)
    is_satisfied = generator.permutation(prompts) < round(satisfied * prompts)
    terms, earned = np.zeros((prompts, variables)), np.ones(prompts)
    for index in range(prompts):
        chosen = generator.permutation(variables)[:literals]
        signs = np.ones(literals) if is_satisfied[index] else _unsatisfied(generator, literals)
        terms[index, chosen] = signs * assignment[chosen] / literals
        earned[index] = signs.sum() / literals
    informative = generator.integers(2, size=prompts)  # labels say nothing
    features = np.zeros((prompts, 2, variables))
    features[np.arange(prompts), informative] = terms
    log_base = np.full((prompts, 2), math.log(-math.expm1(-1.0 / beta)))
    log_base[np.arange(prompts), informative] = -1.0 / beta
    shift = generator.uniform(-1.0, 1.0, size=prompts)
    reward = np.stack([shift, shift], axis=1)
    reward[np.arange(prompts), informative] += earned
    return TabularProblem(
        prompt_law=np.full(prompts, 1.0 / prompts),
        log_base=log_base,
        features=features,
        reward=reward,
        beta=beta,
        radius=math.sqrt(variables),
        reward_range=1.0,
        reward_low=shift + (earned - 1.0) / 2.0,
        noise=noise,
        theta_star=assignment,
    )


FAMILY = Family(NAME, max_k_dnf_problem, Practical(400, 2.0 * ROOT_E, 0.3, 400, 8.0 * math.e, 0.001))


def _unsatisfied(generator: Generator, literals: int) -> FloatArray:
    """Signs of literals relative to the assignment, uniform given that one of them is false."""
    while True:
        signs: FloatArray = generator.choice([-1.0, 1.0], size=literals)
        if (signs < 0).any():
            return signs
