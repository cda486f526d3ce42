"""A small table, rules on it and their exact laws, for tests of the oracles of tables.

Laws are compared exactly where a scripted generator reaches every outcome, and otherwise by an e-value at a level of
1e-6 on fixed seeds. Each of these tests also rejects, from the same sample, a law that is off by 0.05 in total
variation, so that a pass means something.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest

from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.metered import MeteredOracle
from spanver.problems.tabular import TabularProblem
from spanver.randomness import UniformBuffer
from spanver.values import FloatArray, LinearScore, RejectionRule, SearchResult, TruncatedScore, UncertainPairRule

MakeOracle: TypeAlias = Callable[..., MeteredOracle]


def table(**changes: Any) -> TabularProblem:
    """Two prompts, five responses of which the last (first prompt) or the first (second) is outside the support."""
    generator = np.random.default_rng(5)
    features = generator.uniform(-0.7, 0.7, size=(2, 5, 2))
    theta = np.array([0.6, -0.8])
    reward = features @ theta + np.array([[0.5], [-2.0]])
    with np.errstate(divide="ignore"):
        log_base = np.log([[0.3, 0.25, 0.3, 0.15, 0.0], [0.0, 0.4, 0.1, 0.2, 0.3]])
    settings: dict[str, Any] = {
        "prompt_law": np.array([0.6, 0.4]),
        "log_base": log_base,
        "features": features,
        "reward": reward,
        "beta": 0.5,
        "radius": 1.0,
        "reward_range": 2.0,
        "reward_low": np.array([-0.5, -3.0]),
        "noise": 0.5,
        "theta_star": theta,
    }
    return TabularProblem(**(settings | changes))


PROBLEM = table()


PRECISION = np.array([[2.0, 0.5], [0.5, 1.0]])


RULE = UncertainPairRule(PRECISION, 1.1)


ANCHORED = UncertainPairRule(PRECISION, 1.0, PROBLEM.features[0, 1])


TRIAL = RejectionRule(LinearScore(np.array([0.3, 0.9])), 1.0)


TRUNCATED = RejectionRule(TruncatedScore(np.array([0.3, 0.9]), PROBLEM.features[0, 1], PRECISION, 1.1), 0.75)


NEVER = RejectionRule(LinearScore(np.zeros(2)), 1000.0)


ALWAYS = RejectionRule(LinearScore(np.zeros(2)), 0.0)


NO_PAIR = UncertainPairRule(PRECISION, 100.0)


each_oracle = pytest.mark.parametrize("make", [literal_oracle, counted_oracle])


def at_prompt(make: MakeOracle, prompt: int = 0, problem: TabularProblem = PROBLEM, **settings: Any) -> MeteredOracle:
    """Oracle that has issued `prompt`, last."""
    oracle = make(problem, **({"seed": 1} | settings))
    for _ in range(1000):
        if oracle.prompt() == prompt:
            return oracle
    raise AssertionError(prompt)


def at_both(make: MakeOracle, seed: int) -> MeteredOracle:
    """Oracle that has issued both prompts."""
    oracle, seen = make(PROBLEM, seed=seed), set[int | str]()
    while len(seen) < 2:
        seen.add(oracle.prompt())
    return oracle


def base_of(problem: TabularProblem, prompt: int) -> list[float]:
    return [math.exp(value) for value in problem.log_base[prompt]]


def pair_masses(problem: TabularProblem, prompt: int, rule: UncertainPairRule) -> dict[tuple[int, ...], float]:
    """Probability of every uncertain pair, by looking at all pairs; with an anchor, of every uncertain response."""
    base, features = base_of(problem, prompt), problem.features[prompt]
    masses: dict[tuple[int, ...], float] = {}
    if rule.anchor is not None:
        lengths = [math.sqrt(float(v @ rule.precision @ v)) for v in features - rule.anchor]
        return {(y,): base[y] for y in range(problem.responses) if base[y] > 0.0 and lengths[y] > rule.nu}
    for i, j in itertools.product(range(problem.responses), repeat=2):
        v = features[i] - features[j]
        square = sum(v[a] * rule.precision[a, b] * v[b] for a in range(len(v)) for b in range(len(v)))
        if base[i] * base[j] > 0.0 and math.sqrt(square) > rule.nu:
            masses[i, j] = base[i] * base[j]
    return masses


def trial_masses(problem: TabularProblem, prompt: int, rule: RejectionRule) -> dict[tuple[int, ...], float]:
    """Probability of every response together with its acceptance."""
    masses: dict[tuple[int, ...], float] = {}
    for y, (chance, phi) in enumerate(zip(base_of(problem, prompt), problem.features[prompt], strict=True)):
        score = rule.score
        v = phi - score.anchor if isinstance(score, TruncatedScore) else phi
        f = sum(a * b for a, b in zip(score.theta, v, strict=True))
        if isinstance(score, TruncatedScore) and v @ score.precision @ v > score.nu**2:
            f = 0.0
        if chance > 0.0:
            masses[(y,)] = chance * min(1.0, math.exp(f / problem.beta - rule.log_threshold))
    return masses


def masses_of(
    problem: TabularProblem, prompt: int, rule: UncertainPairRule | RejectionRule
) -> dict[tuple[int, ...], float]:
    return (
        trial_masses(problem, prompt, rule) if isinstance(rule, RejectionRule) else pair_masses(problem, prompt, rule)
    )


class Script:
    """A generator of scripted uniforms, with NaN after them: a buffer reads ahead, and nothing may be made of those."""

    def __init__(self, *uniforms: float) -> None:
        self._uniforms = list(uniforms)

    def random(self, size: int | None = None) -> Any:
        if size is None:
            return self._uniforms.pop(0)
        drawn, self._uniforms = self._uniforms[:size], self._uniforms[size:]
        return np.array(drawn + [math.nan] * (size - len(drawn)))


def scripted(*uniforms: float) -> Any:
    """PromptStreams whose every stream starts with these uniforms."""
    buffers = {name: UniformBuffer(Script(*uniforms)) for name in ("responses", "acceptance", "rewards")}  # type: ignore[arg-type]
    return SimpleNamespace(**buffers, aggregate=Script(*uniforms))


def grid(count: int) -> FloatArray:
    """Midpoints of `count` equal steps of the unit interval."""
    return (np.arange(count) + 0.5) / count


def ids_of(found: SearchResult) -> Hashable:
    return None if found.responses is None else (found.tries, found.responses.ids)


def rare_and_common(log_rare: float) -> TabularProblem:
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.array([[math.log1p(-math.exp(log_rare)), log_rare, -np.inf]]),
        features=np.array([[[0.0], [1.0], [-1.0]]]),
        reward=np.zeros((1, 3)),
        beta=1.0,
        radius=1.0,
    )
