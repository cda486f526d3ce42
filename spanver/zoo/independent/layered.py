"""Values of processes of layers, optimal ones and those of a policy, written from their statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from spanver.values import FloatArray
from spanver.zoo.independent.algebra import kl_divergence, log_sum_exp

Layers = Sequence[FloatArray]


def _backwards(
    rewards: Layers, transitions: Layers, value: Callable[[int, int, FloatArray], float]
) -> list[FloatArray]:
    """Values of all layers; `value(h, x, q)` is that of a state, given the values `q` of its actions."""
    found = np.array(rewards[-1])
    values = [found]
    for layer in range(len(rewards) - 2, -1, -1):
        states = [value(layer + 1, state, row) for state, row in enumerate(found)]
        found = np.array(rewards[layer]) + np.tensordot(transitions[layer], states, axes=1)
        values.insert(0, found)
    return values


def soft_q(layers: Layers, rewards: Layers, transitions: Layers, beta: float) -> list[FloatArray]:
    """Optimal values of the actions of every layer, first layer first."""

    def soft(layer: int, state: int, q: FloatArray) -> float:
        return beta * log_sum_exp(layers[layer][state] + q / beta)

    return _backwards(rewards, transitions, soft)


def policy_q(laws: Layers, layers: Layers, rewards: Layers, transitions: Layers, beta: float) -> list[FloatArray]:
    """Values of the actions of every layer under a policy, less what its later divergence costs."""

    def regularised(layer: int, state: int, q: FloatArray) -> float:
        law = laws[layer][state]
        return float(np.dot(np.exp(law), q)) - beta * kl_divergence(law, layers[layer][state])

    return _backwards(rewards, transitions, regularised)
