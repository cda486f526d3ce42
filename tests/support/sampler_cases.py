"""Small bases, scores and oracles that the tests of both samplers share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest

from spanver.learners.softmax_sampler import softmax_sample
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.metered import MeteredOracle
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray, LinearScore, Response, Score

MakeOracle: TypeAlias = Callable[..., MeteredOracle]

Sampler: TypeAlias = Callable[..., Response]


each_oracle = pytest.mark.parametrize("make", [literal_oracle, counted_oracle])

BETA = 0.25

BASE = [0.5, 0.3, 0.2]

F = [0.0, 0.3, 0.8]  # weights 1, 3.3 and 24.5: coverage 3.8


def table(base: Sequence[float] = BASE, f: Sequence[float] = F, beta: float = BETA) -> TabularProblem:
    """One prompt; the score `<(2, 4c), phi>` of response `y` is `f(y) + c`."""
    with np.errstate(divide="ignore"):
        log_base = np.log([base])
    features = np.array([[[value / 2, 0.25] for value in f]])
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=log_base,
        features=features,
        reward=features[:, :, 0],
        beta=beta,
        radius=1.0,
        theta_star=np.array([1.0, 0.0]),
    )


def linear(shift: float = 0.0) -> LinearScore:
    return LinearScore(np.array([2.0, 4.0 * shift]))


def opened(make: MakeOracle, problem: TabularProblem, seed: int = 1) -> MeteredOracle:
    oracle = make(problem, seed=seed)
    assert oracle.prompt() == 0
    return oracle


def softmax(base: Sequence[float], f: Sequence[float], beta: float) -> FloatArray:
    weights = np.array([p * math.exp((score - max(f)) / beta) for p, score in zip(base, f, strict=True)])
    law: FloatArray = weights / weights.sum()
    return law


def coverage(base: Sequence[float], f: Sequence[float], beta: float) -> float:
    law = softmax(base, f, beta)
    return max(float(q / p) for p, q in zip(base, law, strict=True) if p > 0.0)


def total_variation(one: FloatArray, two: FloatArray) -> float:
    return 0.5 * float(np.abs(one - two).sum())


def by_id(law: FloatArray) -> dict[Hashable, float]:
    return {y: float(probability) for y, probability in enumerate(law)}


SETTINGS = [(1.0, 0.9), (1.0, 0.01), (4.0, 0.5), (20.0, 0.1)]


def compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
    else:
        for first in range(total + 1):
            for rest in compositions(total - first, parts - 1):
                yield (first, *rest)


def call(oracle: Any, score: Score, multiplier: float = 1.25) -> Response:
    return softmax_sample(oracle, 0, score, multiplier=multiplier, failure=0.75)


# ---------------------------------------------------------------------------------------------------------------------
# A1 end to end (R2, R3, R5)


def drawn(oracle: MeteredOracle, sampler: Sampler, score: Score, calls: int, **settings: float) -> Counter[Hashable]:
    return Counter(sampler(oracle, 0, score, **settings, seed=i).id for i in range(calls))
