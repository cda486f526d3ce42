"""Phase 1 of A2: build a small spanner, pairs of responses whose features cover what the base policy produces.

A pair is accepted when its elliptic norm under everything accepted before is above `nu` (S1); how many can be depends
on dimension, ridge and `nu` alone (S4), and what stays uncertain has little mass (S5, S6). `[FMR25]`.

The whole phase is one query per prompt round, `sample_until(UncertainPairRule)`, and two rewards per accepted pair
(S7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spanver.kernels import update_inverse_factor
from spanver.oracle import Oracle
from spanver.validation import require, require_count, require_positive
from spanver.values import FloatArray, IntArray, Prompt, ResponseId, UncertainPairRule

__all__ = ["Spanner", "SpannerBuilder", "build_spanner"]


@dataclass(frozen=True, eq=False)
class Spanner:
    """A spanner and how it came about, after `T` prompt rounds that accepted `K` pairs.

    Attributes
    ----------
    dimension : int
        `d`.
    ridge, nu : float
        `lambda` and the threshold of acceptance.
    prompts, first, second : tuple, length K
        The accepted pairs.
    vectors : array, shape (K, d)
        Relative features `v`.
    targets : array, shape (K,)
        Reward differences `r1 - r2`.
    rounds : array of int, shape (K,)
        Prompt round of each pair, increasing, from 0.
    tries : array of int, shape (T,)
        Pairs tried in each prompt round; each cost 2 samples.
    """

    dimension: int
    ridge: float
    nu: float
    prompts: tuple[Prompt, ...]
    first: tuple[ResponseId, ...]
    second: tuple[ResponseId, ...]
    vectors: FloatArray
    targets: FloatArray
    rounds: IntArray
    tries: IntArray

    @property
    def size(self) -> int:
        """Number of accepted pairs, `K`."""
        return len(self.targets)

    @property
    def sigma(self) -> FloatArray:
        """`Sigma = lambda I + sum v v^T`, shape (d, d) (S2)."""
        return self.ridge * np.eye(self.dimension) + self.vectors.T @ self.vectors

    @property
    def inverse_factor(self) -> FloatArray:
        """Lower triangular `W`, `W^T W = Sigma^-1`, by the same updates that built it, so to the same bits."""
        factor = np.eye(self.dimension) / np.sqrt(self.ridge)
        for vector in self.vectors:
            factor, _ = update_inverse_factor(factor, vector)
        return factor

    @property
    def precision(self) -> FloatArray:
        """`Sigma^-1`, shape (d, d)."""
        factor = self.inverse_factor
        precision: FloatArray = factor.T @ factor
        return precision

    @classmethod
    def empty(cls, dimension: int, ridge: float, nu: float) -> Spanner:
        """Return the spanner before the first round."""
        none = np.empty(0, dtype=np.int64)
        return cls(dimension, ridge, nu, (), (), (), np.empty((0, dimension)), np.empty(0), none, none)


class SpannerBuilder(Protocol):
    """What builds a spanner for A2: `build_spanner`, or anybody's.

    A2 also passes `start` when it goes on from earlier rounds, and `on_round` when it is observed; a builder without
    them works wherever neither is asked for.
    """

    def __call__(
        self,
        oracle: Oracle,
        /,
        *,
        prompts: int,
        pairs_per_prompt: int,
        nu: float,
        ridge: float,
        seed: int,
    ) -> Spanner:
        """Return the spanner after `prompts` rounds in all."""
        ...


def build_spanner(
    oracle: Oracle,
    *,
    prompts: int,
    pairs_per_prompt: int,
    nu: float,
    ridge: float,
    seed: int = 0,
    start: Spanner | None = None,
    on_round: Callable[[int, Callable[[], Spanner]], None] | None = None,
) -> Spanner:
    """Phase 1 of SpannerSampling (A2; `[FMR25]`).

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `sample_until` and `reward`.
    prompts : int
        `T_prompt`: rounds to have completed in the end, those of `start` included.
    pairs_per_prompt : int
        `T_span`.
    nu : float
        Threshold of the elliptic norm, above 0.
    ridge : float
        `lambda`, above 0.
    seed : int
        Not used: all luck of this phase is the oracle's. Part of what a spanner builder is called with.
    start : Spanner, optional
        Where to go on from. Its `nu` may not be smaller, so that its pairs count as accepted under this `nu` too.
    on_round : callable, optional
        Called after each round with the number of rounds completed and a function that returns the spanner so far.

    Returns
    -------
    Spanner

    Raises
    ------
    ArgumentError
        For a setting that is not allowed.
    BudgetExceededError
        When the oracle's budget ends first.
    """
    require_count("prompts", prompts)
    require_count("pairs_per_prompt", pairs_per_prompt)
    require_positive("nu", nu)
    require_positive("ridge", ridge)
    if start is None:
        start = Spanner.empty(oracle.dimension, ridge, nu)
    require(start.nu >= nu, "the nu of start", start.nu, f"at least nu = {nu}")
    require(start.ridge == ridge, "the ridge of start", start.ridge, f"ridge = {ridge}")

    pair_prompts, first, second = list(start.prompts), list(start.first), list(start.second)
    vectors, targets, rounds, tries = list(start.vectors), list(start.targets), list(start.rounds), list(start.tries)

    def so_far() -> Spanner:
        return Spanner(
            dimension=oracle.dimension,
            ridge=ridge,
            nu=nu,
            prompts=tuple(pair_prompts),
            first=tuple(first),
            second=tuple(second),
            vectors=np.array(vectors, dtype=np.float64).reshape(-1, oracle.dimension),
            targets=np.array(targets, dtype=np.float64),
            rounds=np.array(rounds, dtype=np.int64),
            tries=np.array(tries, dtype=np.int64),
        )

    factor = start.inverse_factor
    rule = UncertainPairRule(factor.T @ factor, nu)
    for done in range(len(tries), prompts):
        prompt = oracle.prompt()
        found = oracle.sample_until(prompt, rule, pairs_per_prompt)
        tries.append(found.tries)
        if found.responses is not None:
            one, two = found.responses[0], found.responses[1]
            vector = one.features - two.features
            targets.append(oracle.reward(prompt, one) - oracle.reward(prompt, two))
            vectors.append(vector)
            pair_prompts.append(prompt)
            first.append(one.id)
            second.append(two.id)
            rounds.append(done)
            factor, _ = update_inverse_factor(factor, vector)
            rule = UncertainPairRule(factor.T @ factor, nu)
        if on_round is not None:
            on_round(done + 1, so_far)
    return so_far()
