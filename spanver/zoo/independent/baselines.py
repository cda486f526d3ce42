"""The learners that SpannerSampling is compared with (A3), written from their statements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from spanver.oracle import Oracle
from spanver.values import FloatArray, Prompt, Response
from spanver.zoo.independent.boxes import box_fit, in_set_of, minimise_in_box
from spanver.zoo.independent.exploration import Difference, MakeMoments, Moments, label, reward_difference
from spanver.zoo.independent.losses import Loss, Table, minimise_on_ball
from spanver.zoo.independent.regressions import Fit, fit


class Run:
    """Data and parameters of a baseline so far."""

    def __init__(self, dimension: int) -> None:
        self.thetas: list[FloatArray] = []
        self.vectors: list[FloatArray] = []
        self.targets: list[float] = []
        self.theta: FloatArray = np.zeros(dimension)

    def add(self, one: Response, two: Response, target: float) -> None:
        """Add a round, which drew by the last parameter."""
        self.thetas.append(self.theta)
        self.vectors.append(one.features - two.features)
        self.targets.append(target)

    def fitted(self, least_squares: Fit, radius: float) -> None:
        """Fit differences of rewards."""
        self.theta = least_squares(np.array(self.vectors), np.array(self.targets), radius)

    def result(self, **more: Any) -> dict[str, Any]:
        """Return the result of the run."""
        return {
            "thetas": np.array(self.thetas).reshape(-1, len(self.theta)),
            "vectors": np.array(self.vectors).reshape(-1, len(self.theta)),
            "targets": np.array(self.targets),
            "theta": self.theta,
            **more,
        }


def pair_of(oracle: Oracle, prompt: Prompt, *, theta: FloatArray | None = None) -> tuple[Response, Response]:
    """Two responses of the base policy, or of that of a parameter, in one query."""
    drawn = oracle.sample(prompt, 2) if theta is None else oracle.sample(prompt, 2, theta=theta)
    return drawn[0], drawn[1]


def passive_learner(
    oracle: Oracle,
    *,
    rounds: int,
    seed: int,
    pair: Callable[[Oracle, Prompt], tuple[Response, Response]] = pair_of,
    difference: Difference = reward_difference,
    fit: Fit = fit,
    **more: Any,
) -> dict[str, Any]:
    """Learn from pairs of the base policy; with `count` as best-of-N."""
    del seed  # all randomness is the oracle's
    run = Run(oracle.dimension)
    for _ in range(rounds):
        prompt = oracle.prompt()
        one, two = pair(oracle, prompt)
        run.add(one, two, difference(oracle, prompt, one, two))
        run.fitted(in_set_of(oracle, fit, box_fit), oracle.radius)
    return run.result(**more)


def online_dpo(
    oracle: Oracle,
    *,
    rounds: int,
    seed: int,
    feedback: str = "reward",
    fit: Fit = fit,
    minimise: Callable[[Any, FloatArray, float], FloatArray] = minimise_on_ball,
) -> dict[str, Any]:
    """Online DPO: pairs of the policy of each round."""
    del seed
    run = Run(oracle.dimension)
    for _ in range(rounds):
        prompt = oracle.prompt()
        one, two = pair_of(oracle, prompt, theta=run.theta)
        if feedback == "preference":
            run.add(one, two, label(oracle, prompt, one, two))
            loss = Loss(run.vectors, run.targets, feedback)
            run.theta = in_set_of(oracle, minimise, minimise_in_box)(loss, run.theta, oracle.radius)
        else:
            run.add(one, two, reward_difference(oracle, prompt, one, two))
            run.fitted(in_set_of(oracle, fit, box_fit), oracle.radius)
    return run.result()


def base_response(one: Response, two: Response) -> Response:
    """The response of the base policy, which XPO's optimism makes less likely."""
    del one
    return two


def xpo(
    oracle: Oracle,
    *,
    rounds: int,
    alpha: float,
    seed: int,
    feedback: str = "reward",
    partition_samples: int = 64,
    bonus: Callable[[Response, Response], Response] = base_response,
    minimise: Callable[[Any, FloatArray, float], FloatArray] = minimise_on_ball,
) -> dict[str, Any]:
    """XPO: a response of the policy against one of the base policy, and optimism."""
    del seed
    run, optimism, tables = Run(oracle.dimension), [], []
    known: dict[Prompt, Table] = {}
    for _ in range(rounds):
        prompt = oracle.prompt()
        one, two = oracle.sample(prompt, 1, theta=run.theta)[0], oracle.sample(prompt, 1)[0]
        if prompt not in known:
            counted = oracle.sample_counts(prompt, partition_samples)
            known[prompt] = np.log(counted.counts) - math.log(partition_samples), counted.responses.features
        queried = label if feedback == "preference" else reward_difference
        run.add(one, two, queried(oracle, prompt, one, two))
        optimism.append(bonus(one, two).features)
        tables.append(known[prompt])
        loss = Loss(
            run.vectors, run.targets, feedback, alpha=alpha, beta=oracle.beta, bonus=optimism, tables=tables
        )  # fmt: skip
        run.theta = in_set_of(oracle, minimise, minimise_in_box)(loss, run.theta, oracle.radius)
    return run.result()


def elliptical_enumeration(
    oracle: Oracle, *, rounds: int, ridge: float, seed: int, moments: MakeMoments = Moments, fit: Fit = fit
) -> dict[str, Any]:
    """Of all pairs of a prompt the most uncertain one."""
    del seed
    run, known = Run(oracle.dimension), moments(oracle.dimension, ridge)
    for _ in range(rounds):
        prompt = oracle.prompt()
        listed = oracle.enumerate(prompt)
        norms = known.norms(listed.features[:, None, :] - listed.features[None, :, :])
        one, two = (listed[int(place)] for place in np.unravel_index(int(np.argmax(norms)), norms.shape))
        run.add(one, two, reward_difference(oracle, prompt, one, two))
        known.add(one.features - two.features)
        run.fitted(in_set_of(oracle, fit, box_fit), oracle.radius)
    return run.result()


def best_of_n(oracle: Oracle, *, rounds: int, count: int, seed: int, **steps: Any) -> dict[str, Any]:
    """Best-of-N: a passive learner whose policy takes the best of `count` draws."""
    return passive_learner(oracle, rounds=rounds, seed=seed, count=count, **steps)
