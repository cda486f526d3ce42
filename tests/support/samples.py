"""Distributions and generators that the tests of the evidence share."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12

UNIFORM_9 = [1 / 9] * 9

SKEWED_9 = [0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.1, 0.0]


def generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(20, spawn_key=key)))
