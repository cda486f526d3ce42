"""Family `mdp`: states that follow at random, and rewards at every layer (T5, `[ours]`)."""

from __future__ import annotations

import numpy as np

from spanver.kernels import log_normaliser
from spanver.problems.families.auto import random_base
from spanver.problems.families.geometry import uniform_in_ball, uniform_on_sphere
from spanver.problems.family import Family, family
from spanver.problems.layered import LayeredMDP
from spanver.randomness import stream
from spanver.validation import require_count, require_positive, require_real
from spanver.values import FloatArray

NAME = "mdp"


@family(NAME)
def mdp_problem(
    seed: int = 0,
    *,
    horizon: int = 4,
    dimension: int = 4,
    states: int = 12,
    actions: int = 4,
    successors: int = 3,
    kappa: float = 1.5,
    beta: float = 0.25,
    spread: float = 0.5,
    noise: float = 1.0,
) -> LayeredMDP:
    """The family `mdp` (T5, `[ours]`): any transitions and features, and rewards that fit the parameters.

    Going back from the last layer, `g_h = <theta*_h, phi_h> - E[V_{h+1}]` and `r*_h = g_h - min_b g_h + u_h(x)`, with
    `u_h` uniform on `[0, spread]`. So the differences of `Q*_h` are linear, and `V*` differs from state to state.

    Parameters
    ----------
    seed : int
    horizon : int
        `H`.
    dimension : int
        `d` of each layer.
    states : int
        Of each layer.
    actions : int
        `A`, at least 2.
    successors : int
        Draws of states that an action may lead to.
    kappa : float
        Above 0; `||theta*_h|| = kappa beta`.
    beta : float
    spread : float
        Of the part of a reward that the action does not change, at least 0.
    noise : float
        As in `TabularProblem`.

    Returns
    -------
    LayeredMDP
        Whose radius is at least its `R_max`, as the paper asks (p. 74).
    """
    for name, count in (("horizon", horizon), ("dimension", dimension), ("states", states), ("successors", successors)):
        require_count(name, count)
    require_count("actions", actions, least=2)
    require_positive("kappa", kappa)
    require_positive("beta", beta)
    require_real("spread", spread)
    require_real("noise", noise, most=1.0)
    generator = stream(seed, "mdp problem")
    following = [generator.integers(states, size=(states, actions, successors)) for _ in range(horizon - 1)]
    transitions = [generator.dirichlet(np.ones(successors), size=(states, actions)) for _ in range(horizon - 1)]
    log_base = [np.log(random_base(generator, (states, actions))) for _ in range(horizon)]
    features = uniform_in_ball(generator, horizon * states * actions, dimension)
    features = features.reshape(horizon, states, actions, dimension)
    theta = kappa * beta * uniform_on_sphere(generator, horizon, dimension)
    later: FloatArray = np.zeros((states, actions))
    rewards: list[FloatArray] = []
    for layer in reversed(range(horizon)):
        g = features[layer] @ theta[layer] - later
        reward = g - g.min(axis=1, keepdims=True) + spread * generator.random((states, 1))
        rewards.insert(0, reward)
        value = beta * log_normaliser(log_base[layer], reward + later, beta)
        if layer > 0:
            later = (transitions[layer - 1] * value[following[layer - 1]]).sum(axis=2)
    reward_range = max(float(reward.max()) for reward in rewards)
    return LayeredMDP(
        initial_law=generator.dirichlet(np.ones(states)),
        successors=following,
        transitions=transitions,
        log_base=log_base,
        features=tuple(features),
        rewards=rewards,
        beta=beta,
        radius=max(reward_range, kappa * beta),
        reward_range=reward_range,
        noise=noise,
        theta_star=theta,
    )


FAMILY = Family(NAME, mdp_problem)
