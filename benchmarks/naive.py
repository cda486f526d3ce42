"""SpannerSampling as a plain loop: one draw, one pair, one trial at a time. The baseline of the reference run.

It is what one writes first with NumPy: a loop over draws, short vectors, no batching, no maintained factors. Its ledger
counts the same answers as the package's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem


@dataclass
class NaiveRun:
    samples: int
    rewards: int
    spanner_size: int
    theta: np.ndarray


def naive_spanner_sampling(problem: TabularProblem, settings: Settings, seed: int) -> NaiveRun:
    rng = np.random.default_rng(seed)
    cumulative = np.cumsum(np.exp(problem.log_base), axis=1)
    features, reward = problem.features, problem.reward
    samples = rewards = 0

    def draw(x):
        nonlocal samples
        samples += 1
        return min(np.searchsorted(cumulative[x], rng.random(), side="right"), problem.responses - 1)

    def ask(x, y):
        nonlocal rewards
        rewards += 1
        return reward[x, y]

    sigma = settings.ridge * np.eye(problem.dimension)
    precision = np.linalg.inv(sigma)
    vectors, targets = [], []
    for _ in range(settings.prompts):
        x = rng.integers(problem.prompts)
        for _ in range(settings.pairs_per_prompt):
            one, two = draw(x), draw(x)
            v = features[x, one] - features[x, two]
            if np.sqrt(v @ precision @ v) > settings.nu:
                vectors.append(v)
                targets.append(ask(x, one) - ask(x, two))
                sigma = sigma + np.outer(v, v)
                precision = np.linalg.inv(sigma)
                break
    spanner_size = len(vectors)

    trials = math.ceil(4 * settings.rejection_multiplier * math.log(4 / settings.rejection_failure))
    for _ in range(settings.exploration_rounds):
        theta = naive_fit(np.array(vectors), np.array(targets), problem.radius)
        x = rng.integers(problem.prompts)
        two = draw(x)

        def weight(y, x=x, two=two, theta=theta):
            v = features[x, y] - features[x, two]
            score = theta @ v if np.sqrt(v @ precision @ v) <= settings.nu else 0.0
            return np.exp(score / problem.beta)

        mean = sum(weight(draw(x)) for _ in range(trials)) / trials
        for _ in range(trials):
            one = draw(x)
            if rng.random() < weight(one) / (settings.rejection_multiplier * mean):
                break
        else:
            one = draw(x)
        vectors.append(features[x, one] - features[x, two])
        targets.append(ask(x, one) - ask(x, two))
    return NaiveRun(samples, rewards, spanner_size, theta)


def naive_fit(features: np.ndarray, targets: np.ndarray, radius: float) -> np.ndarray:
    gram, moment = features.T @ features, features.T @ targets
    theta = np.linalg.lstsq(features, targets, rcond=None)[0]
    if np.linalg.norm(theta) <= radius:
        return theta
    low, high = 0.0, np.linalg.norm(moment) / radius
    for _ in range(60):
        mu = (low + high) / 2
        theta = np.linalg.solve(gram + mu * np.eye(len(gram)), moment)
        low, high = (mu, high) if np.linalg.norm(theta) > radius else (low, mu)
    return theta
