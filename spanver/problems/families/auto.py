"""Family `auto`: any realizable token problem, of given features, base policy and parameters (T5, `[ours]`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spanver.kernels import log_softmax
from spanver.problems.families.geometry import uniform_in_ball, uniform_on_sphere
from spanver.problems.family import Family, family
from spanver.problems.tokens import MAX_HORIZON, TokenProblem, log_sequence_law
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive, require_real
from spanver.values import FloatArray

NAME = "auto"

_CONCENTRATION = 2.0  # of the Dirichlet law of base policies
_UNIFORM = 0.1  # share of the uniform law in them, so that no token is too rare


@family(NAME)
def auto_problem(
    seed: int = 0,
    *,
    horizon: int = 4,
    dimension: int = 4,
    tokens: int = 3,
    kappa: float = 1.5,
    beta: float = 0.25,
    noise: float = 1.0,
    prompts: int = 1,
) -> TokenProblem:
    """The family `auto` (T5, `[ours]`): random features, base policy and parameters, and the rewards that fit them.

    Every realizable token problem is of this form. The value `V*` of a prefix differs from prefix to prefix.

    Parameters
    ----------
    seed : int
    horizon : int
        `H`, at most 16.
    dimension : int
        `d` of each layer.
    tokens : int
        `A`, at least 2.
    kappa : float
        Above 0; `||theta*_h|| = kappa beta`.
    beta : float
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
    require_count("tokens", tokens, least=2)
    require_count("prompts", prompts)
    require_positive("kappa", kappa)
    require_positive("beta", beta)
    require_real("noise", noise, most=1.0)
    generator = stream(seed, "auto problem")
    rows = [prompts * tokens**layer for layer in range(horizon)]
    return fitting_problem(
        log_base=[np.log(random_base(generator, (size, tokens))) for size in rows],
        features=[
            uniform_in_ball(generator, size * tokens, dimension).reshape(size, tokens, dimension) for size in rows
        ],
        theta=kappa * beta * uniform_on_sphere(generator, horizon, dimension),
        beta=beta,
        noise=noise,
    )


def random_base(generator: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Base probabilities of every state, shape (S, A)."""
    states, actions = shape
    drawn = generator.dirichlet(np.full(actions, _CONCENTRATION), size=states)
    return (1.0 - _UNIFORM) * drawn + _UNIFORM / actions


def fitting_problem(
    *, log_base: Sequence[FloatArray], features: Sequence[FloatArray], theta: FloatArray, beta: float, noise: float
) -> TokenProblem:
    """The token problem of which a policy of the class is the optimum (mathematics.md, section 5).

    Its rewards are `r*(x, y) = beta sum_h log(pi_theta,h/pi_ref,h)`, shifted so that the lowest of a prompt is 0, and
    its prompts are equally likely.

    Parameters
    ----------
    log_base : sequence of H arrays, of shapes (X A^{h-1}, A)
    features : sequence of H arrays, of shapes (X A^{h-1}, A, d)
    theta : array, shape (H, d)
    beta, noise : float
    """
    ratios = [
        log_softmax(base, phi @ parameter, beta) - base
        for base, phi, parameter in zip(log_base, features, theta, strict=True)
    ]
    reward = beta * log_sequence_law(ratios)  # of ratios as of laws: a sum along every sequence
    reward -= reward.min(axis=1, keepdims=True)
    reward_range = float(reward.max())
    return TokenProblem(
        prompt_law=np.full(len(reward), 1.0 / len(reward)),
        log_base=log_base,
        features=features,
        reward=reward,
        beta=beta,
        radius=max(reward_range, float(np.linalg.norm(theta, axis=1).max())),
        reward_range=reward_range,
        reward_low=np.zeros(len(reward)),
        noise=noise,
        theta_star=theta,
    )


FAMILY = Family(NAME, auto_problem)
