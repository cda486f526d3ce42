"""Family `forks`: tokens whose worth is what a later policy makes of them (T5, `[ours]`)."""

from __future__ import annotations

import math

import numpy as np

from spanver.problems.families.auto import fitting_problem
from spanver.problems.families.geometry import uniform_in_ball
from spanver.problems.family import Family, family
from spanver.problems.tokens import MAX_HORIZON, TokenProblem
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive, require_real

NAME = "forks"


@family(NAME)
def forks_problem(
    seed: int = 0,
    *,
    horizon: int = 4,
    dimension: int = 4,
    kappa: float = 0.7,
    skill: float = 4.0,
    beta: float = 0.25,
    alpha: float = 0.5,
    noise: float = 0.0,
    prompts: int = 1,
) -> TokenProblem:
    """The family `forks` (T5, `[ours]`): odd layers choose, even layers reward a skill that the base policy lacks.

    In odd layers token 1 is worth `kappa beta` more than token 0. After token 1 one token of the next layer is right,
    worth `skill beta` more than the other; after token 0 both are worth the same. So token 1 is good only for a policy
    that finds the right one: rollouts of the base policy see it worse by `beta KL(pi_ref || pi*)` of the next layer,
    and rollouts without their KL term see it better by `beta KL(pi* || pi_ref)`.

    `C_cond` is the larger of `2/(1 + e^{-kappa})` and `2/(1 + e^{-skill})`, and `C(pi*)` their product to the power
    `H/2`, for even `H`.

    Parameters
    ----------
    seed : int
    horizon : int
        `H`, at most 16.
    dimension : int
        `d` of each layer.
    kappa, skill : float
        Above 0.
    beta : float
    alpha : float
        Above 0 and at most 1: how much of the features tells the tokens apart.
    noise : float
        As in `TabularProblem`.
    prompts : int

    Returns
    -------
    TokenProblem
        Whose radius is at least its `R_max`, as the paper asks (p. 74).
    """
    require_count("horizon", horizon)
    require(horizon <= MAX_HORIZON, "horizon", horizon, f"at most {MAX_HORIZON}")
    require_count("dimension", dimension)
    require_count("prompts", prompts)
    for name, value in (("kappa", kappa), ("skill", skill), ("beta", beta), ("alpha", alpha)):
        require_positive(name, value)
    require(alpha <= 1.0, "alpha", alpha, "above 0 and at most 1")
    require_real("noise", noise, most=1.0)
    generator = stream(seed, "forks problem")
    theta = np.zeros((horizon, dimension))
    features = []
    for layer in range(horizon):
        rows = prompts * 2**layer
        chooses = layer % 2 == 0
        theta[layer, 0] = (kappa if chooses else skill) * beta / (2.0 * alpha)
        right = np.ones(rows, dtype=int) if chooses else generator.integers(2, size=rows)
        sign = np.where(right[:, None] == np.arange(2), alpha, -alpha)
        if not chooses:
            sign[0::2] = 0.0  # prefixes that end in token 0
        phi = np.zeros((rows, 2, dimension))
        phi[..., 0] = sign
        if dimension > 1:
            psi = uniform_in_ball(generator, rows * 2, dimension - 1).reshape(rows, 2, dimension - 1)
            phi[..., 1:] = math.sqrt(1.0 - alpha**2) * psi
        features.append(phi)
    return fitting_problem(
        log_base=[np.full((prompts * 2**layer, 2), -math.log(2.0)) for layer in range(horizon)],
        features=features,
        theta=theta,
        beta=beta,
        noise=noise,
    )


FAMILY = Family(NAME, forks_problem)
