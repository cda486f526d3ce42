"""The values of tokens, written from their statement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spanver.values import FloatArray
from spanver.zoo.independent.algebra import log_sum_exp


def soft_q(layers: Sequence[FloatArray], rewards: FloatArray, beta: float) -> list[FloatArray]:
    """Values of the tokens of every layer, first layer first."""
    values = [np.asarray(rewards).reshape(np.shape(layers[-1]))]
    for layer in range(len(layers) - 1, 0, -1):
        soft = [beta * log_sum_exp(base + below / beta) for base, below in zip(layers[layer], values[0], strict=True)]
        values.insert(0, np.array(soft).reshape(np.shape(layers[layer - 1])))
    return values
