"""SpannerSampling (A2), written from its statement; steps are keyword arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from spanver.oracle import Oracle
from spanver.values import FloatArray, Pair, Prompt, Response, Score, TruncatedScore, UncertainPairRule
from spanver.zoo.independent.algebra import quadratic_norms
from spanver.zoo.independent.boxes import box_fit, in_set_of
from spanver.zoo.independent.losses import fit_preferences
from spanver.zoo.independent.regressions import Fit, fit
from spanver.zoo.independent.samplers import softmax_sample


def inverted(sigma: FloatArray) -> FloatArray:
    """Inverse of a symmetric matrix, symmetric to the last bit."""
    inverse = np.linalg.inv(sigma)
    return np.asarray((inverse + inverse.T) / 2)


def inverted_sigma(moments: Moments, vector: FloatArray) -> FloatArray:
    """Precision after a vector was added to Sigma, by a fresh inverse."""
    del vector
    return inverted(moments.sigma)


class Moments:
    """Sigma, and its inverse kept up to date.

    Parameters
    ----------
    dimension : int
    ridge : float
    renewed : callable
        Precision, given the moments of which Sigma is new and the precision is not yet, and the vector added last.
    dtype : type
        Of the arithmetic.
    """

    def __init__(
        self,
        dimension: int,
        ridge: float,
        *,
        renewed: Callable[[Moments, FloatArray], FloatArray] = inverted_sigma,
        dtype: Any = np.float64,
    ) -> None:
        self._renewed, self._dtype = renewed, dtype
        self.sigma: FloatArray = np.eye(dimension, dtype=dtype) * ridge
        self.precision: FloatArray = np.eye(dimension, dtype=dtype) / ridge
        self.added = 0

    def norms(self, vectors: FloatArray) -> FloatArray:
        """Elliptic norms of vectors of shape (.., d): shape (..)."""
        return quadratic_norms(vectors.astype(self._dtype), self.precision)

    def add(self, vector: FloatArray) -> None:
        """Add a vector of shape (d,)."""
        vector = vector.astype(self._dtype)
        self.sigma = self.sigma + np.outer(vector, vector)
        self.added += 1
        self.precision = self._renewed(self, vector)


MakeMoments: TypeAlias = Callable[[int, float], Moments]
Search: TypeAlias = Callable[[Oracle, Any, Moments, float, int], Pair | None]
Difference: TypeAlias = Callable[[Oracle, Prompt, Response, Response], float]


def searched_pair(oracle: Oracle, prompt: Prompt, moments: Moments, nu: float, limit: int) -> Pair | None:
    """First uncertain pair of at most `limit`, by the compressed query."""
    found = oracle.sample_until(prompt, UncertainPairRule(moments.precision, nu), limit)
    return None if found.responses is None else Pair(prompt, found.responses[0], found.responses[1])


def tried_pair(oracle: Oracle, prompt: Prompt, moments: Moments, nu: float, limit: int) -> Pair | None:
    """First uncertain pair of at most `limit`, drawn one by one."""
    for _ in range(limit):
        drawn = oracle.sample(prompt, 2)
        pair = Pair(prompt, drawn[0], drawn[1])
        if moments.norms(pair.difference) > nu:
            return pair
    return None


def anchored_pair(oracle: Oracle, prompt: Prompt, moments: Moments, nu: float, limit: int) -> Pair | None:
    """First uncertain pair of a draw and the anchor, by the compressed query."""
    two = oracle.anchor(prompt)[0]
    found = oracle.sample_until(prompt, UncertainPairRule(moments.precision, nu, two.features), limit)
    return None if found.responses is None else Pair(prompt, found.responses[0], two)


def tried_anchored_pair(oracle: Oracle, prompt: Prompt, moments: Moments, nu: float, limit: int) -> Pair | None:
    """First uncertain pair of a draw and the anchor, drawn one by one."""
    two = oracle.anchor(prompt)[0]
    for _ in range(limit):
        pair = Pair(prompt, oracle.sample(prompt, 1)[0], two)
        if moments.norms(pair.difference) > nu:
            return pair
    return None


def reward_difference(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    """Reward of the first response less that of the second."""
    return oracle.reward(prompt, one.id) - oracle.reward(prompt, two.id)


def label(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    """Preference as a label: 1 for the first response, -1 for the second."""
    return 1.0 if oracle.compare(prompt, one.id, two.id) else -1.0


def build_spanner(
    oracle: Oracle,
    *,
    prompts: int,
    pairs_per_prompt: int,
    nu: float,
    ridge: float,
    seed: int,
    moments: MakeMoments = Moments,
    search: Search = searched_pair,
    difference: Difference = reward_difference,
) -> dict[str, Any]:
    """Phase 1: pairs that are uncertain when they are drawn, and their rewards."""
    del seed  # all randomness is the oracle's
    known = moments(oracle.dimension, ridge)
    pairs: list[Pair] = []
    targets: list[float] = []
    for _ in range(prompts):
        prompt = oracle.prompt()
        pair = search(oracle, prompt, known, nu, pairs_per_prompt)
        if pair is not None:
            targets.append(difference(oracle, prompt, pair.first, pair.second))
            known.add(pair.difference)
            pairs.append(pair)
    return {
        "prompts": [pair.prompt for pair in pairs],
        "first": [pair.first.id for pair in pairs],
        "second": [pair.second.id for pair in pairs],
        "vectors": np.array([pair.difference for pair in pairs]).reshape(-1, oracle.dimension),
        "targets": np.array(targets),
        "sigma": known.sigma,
        "precision": known.precision,
    }


def new_prompt(oracle: Oracle, spanner: dict[str, Any]) -> Prompt:
    """A new prompt, whatever the spanner."""
    del spanner
    return oracle.prompt()


def drawn_second(oracle: Oracle, prompt: Prompt) -> Response:
    """A draw from the base policy."""
    return oracle.sample(prompt, 1)[0]


def anchor_response(oracle: Oracle, prompt: Prompt) -> Response:
    """The anchor of the prompt."""
    return oracle.anchor(prompt)[0]


def second_response(oracle: Oracle, prompt: Prompt, two: Response) -> Response:
    """The second response: scores are relative to it."""
    del oracle, prompt
    return two


def spanner_sampling(
    oracle: Oracle,
    *,
    seed: int,
    settings: Any,
    phase_one: Callable[..., dict[str, Any]] = build_spanner,
    weight: float = 1.0,
    prompt_of: Callable[[Oracle, dict[str, Any]], Prompt] = new_prompt,
    second: Callable[[Oracle, Prompt], Response] = drawn_second,
    anchor_of: Callable[[Oracle, Prompt, Response], Response] = second_response,
    seed_of: Callable[[int, int], int] = operator.add,
    score_of: Callable[[FloatArray, FloatArray, FloatArray, float], Score] = TruncatedScore,
    sampler: Callable[..., Response] = softmax_sample,
    difference: Difference = reward_difference,
    fit: Fit = fit,
) -> dict[str, Any]:
    """Both phases: the spanner, then rounds of fit, truncated softmax sample and reward; `weight` is the spanner's."""
    spanner = phase_one(
        oracle,
        prompts=settings.prompts,
        pairs_per_prompt=settings.pairs_per_prompt,
        nu=settings.nu,
        ridge=settings.ridge,
        seed=seed,
    )
    vectors, targets = list(weight * spanner["vectors"]), list(weight * spanner["targets"])
    thetas = []
    for number in range(settings.exploration_rounds):
        fitted = in_set_of(oracle, fit, box_fit)
        theta = fitted(np.array(vectors).reshape(-1, oracle.dimension), np.array(targets), oracle.radius)
        prompt = prompt_of(oracle, spanner)
        two = second(oracle, prompt)
        one = sampler(
            oracle,
            prompt,
            score_of(theta, anchor_of(oracle, prompt, two).features, spanner["precision"], settings.nu),
            multiplier=settings.rejection_multiplier,
            failure=settings.rejection_failure,
            seed=seed_of(seed, number),
        )
        targets.append(difference(oracle, prompt, one, two))
        vectors.append(one.features - two.features)
        thetas.append(theta)
    return {"thetas": np.array(thetas), "precision": spanner["precision"], "nu": settings.nu}


def preference_sampling(oracle: Oracle, *, seed: int, settings: Any, **steps: Any) -> dict[str, Any]:
    """Both phases, from labels of pairs."""
    labelled: dict[str, Any] = {
        "phase_one": partial(build_spanner, difference=label),
        "difference": label,
        "fit": fit_preferences,
    }
    return spanner_sampling(oracle, seed=seed, settings=settings, **(labelled | steps))


def anchored_sampling(
    oracle: Oracle,
    *,
    seed: int,
    settings: Any,
    search: Search = anchored_pair,
    moments: MakeMoments = Moments,
    **steps: Any,
) -> dict[str, Any]:
    """Both phases, with the anchor of each prompt as the second response of all pairs."""
    phase_one = partial(build_spanner, search=search, moments=moments)
    anchored: dict[str, Any] = {"phase_one": phase_one, "second": anchor_response}
    return spanner_sampling(oracle, seed=seed, settings=settings, **(anchored | steps))
