"""Family `tokens`: sequences in which every token matters alike (T5, `[ours]`)."""

from __future__ import annotations

import math

import numpy as np

from spanver.problems.family import Family, family
from spanver.problems.tokens import MAX_HORIZON, TokenProblem
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive

NAME = "tokens"


@family(NAME)
def token_problem(
    seed: int = 0,
    *,
    horizon: int = 4,
    dimension: int = 4,
    kappa: float = 2.0,
    beta: float = 0.25,
    alpha: float = 0.5,
    noise: float = 0.0,
    prompts: int = 1,
) -> TokenProblem:
    """The family `tokens` (T5, `[ours]`): at every prefix one of two tokens is right, and earns the same.

    `C_cond = 2/(1 + e^{-kappa})` at every prefix, and `C(pi*) = C_cond^H` exactly. `V*` is the same at all prefixes of
    a layer, so that the family cannot tell whether values are learned from later policies at all; `forks` can.

    Parameters
    ----------
    seed : int
    horizon : int
        `H`, at most 16.
    dimension : int
        `d` of each layer.
    kappa : float
        Above 0; the right token earns `Delta = kappa beta`.
    beta : float
    alpha : float
        Above 0 and at most 1: how much of the features tells the tokens apart. `B = Delta/(2 alpha)`.
    noise : float
        As in `TabularProblem`.
    prompts : int

    Returns
    -------
    TokenProblem
        With `theta_star = B e_1` in every layer and `R_max = H Delta`.
    """
    require_count("horizon", horizon)
    require(horizon <= MAX_HORIZON, "horizon", horizon, f"at most {MAX_HORIZON}")
    require_count("dimension", dimension)
    require_count("prompts", prompts)
    require_positive("kappa", kappa)
    require_positive("beta", beta)
    require_positive("alpha", alpha)
    require(alpha <= 1.0, "alpha", alpha, "above 0 and at most 1")
    generator = stream(seed, "token problem")
    delta = kappa * beta
    radius = 0.5 * delta / alpha
    reward = np.zeros(prompts)
    features = []
    for layer in range(horizon):
        rows = prompts * 2**layer
        is_right = generator.integers(2, size=rows)[:, None] == np.arange(2)
        normal = generator.standard_normal((rows, 2, dimension - 1))
        lengths = generator.random((rows, 2, 1)) * math.sqrt(1.0 - alpha**2) * (1.0 - 1e-12)
        psi = lengths * normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-300)
        features.append(np.concatenate([np.where(is_right, alpha, -alpha)[..., None], psi], axis=-1))
        reward = (reward[:, None] + delta * is_right).reshape(-1)
    return TokenProblem(
        prompt_law=np.full(prompts, 1.0 / prompts),
        log_base=tuple(np.full((prompts * 2**layer, 2), -math.log(2.0)) for layer in range(horizon)),
        features=features,
        reward=reward.reshape(prompts, -1),
        beta=beta,
        radius=radius,
        reward_range=horizon * delta,
        reward_low=np.zeros(prompts),
        noise=noise,
        theta_star=np.tile(radius * np.eye(dimension)[0], (horizon, 1)),
    )


FAMILY = Family(NAME, token_problem)
