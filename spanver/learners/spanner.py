"""Phase 1 of A2: build a small spanner, pairs of responses whose features cover what the base policy produces.

With anchor responses the second response of every pair is that of its prompt, and a try draws one response (`[paper]`:
Remark G.2, p. 43, read for both phases: errata.md).

A pair is accepted when its elliptic norm under everything accepted before is above `nu` (S1); how many can be depends
on dimension, ridge and `nu` alone (S4), and what stays uncertain has little mass (S5, S6). `[paper]`.

The whole phase is one query per prompt round, `sample_until(UncertainPairRule)`, and two rewards, or one label, per
accepted pair (S7).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

import numpy as np

from spanver.kernels import update_inverse_factor
from spanver.learners.completed import last
from spanver.learners.feedback import require_feedback, target_of
from spanver.oracle import ANCHORS, Anchor, Feedback, Oracle, second_response
from spanver.validation import require, require_count, require_one_of, require_positive
from spanver.values import FloatArray, IntArray, Prompt, ResponseId, UncertainPairRule


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
        Reward differences `r1 - r2`; from preferences 1 where the first is preferred, else -1.
    rounds : array of int, shape (K,)
        Prompt round of each pair, increasing, from 0.
    tries : array of int, shape (T,)
        Pairs tried in each prompt round; each cost 2 samples, or 1 with an anchor.
    """

    dimension: int
    ridge: float
    nu: float
    prompts: Annotated[tuple[Prompt, ...], "n"]
    first: Annotated[tuple[ResponseId, ...], "n"]
    second: Annotated[tuple[ResponseId, ...], "n"]
    vectors: Annotated[FloatArray, "nd"]
    targets: Annotated[FloatArray, "n"]
    rounds: Annotated[IntArray, "n"]
    tries: Annotated[IntArray, "t"]

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
    """A function that builds a spanner for A2: `build_spanner`, or any other of this form."""

    def __call__(
        self, oracle: Oracle, /, *, prompts: int, pairs_per_prompt: int, nu: float, ridge: float, seed: int
    ) -> Spanner:
        """Return the spanner after `prompts` rounds."""
        ...


class SpannerState:
    """Running state of phase 1; `spanner` is a snapshot.

    Parameters
    ----------
    start : Spanner
        After the rounds before.
    feedback : {"reward", "preference"}
    anchor : {"drawn", "fixed"}
    """

    def __init__(self, start: Spanner, feedback: Feedback = "reward", anchor: Anchor = "drawn") -> None:
        self._start, self._feedback, self._anchor = start, feedback, anchor
        self._prompts, self._first, self._second = list(start.prompts), list(start.first), list(start.second)
        self._vectors, self._targets = list(start.vectors), list(start.targets)
        self._rounds, self._tries = list(start.rounds), list(start.tries)
        self._factor = start.inverse_factor
        self.rule = self._rule()  # without the features of an anchor, which depend on the prompt

    @property
    def done(self) -> int:
        """Number of rounds so far."""
        return len(self._tries)

    @property
    def spanner(self) -> Spanner:
        """The spanner after these rounds."""
        return Spanner(
            dimension=self._start.dimension,
            ridge=self._start.ridge,
            nu=self._start.nu,
            prompts=tuple(self._prompts),
            first=tuple(self._first),
            second=tuple(self._second),
            vectors=np.array(self._vectors, dtype=np.float64).reshape(-1, self._start.dimension),
            targets=np.array(self._targets, dtype=np.float64),
            rounds=np.array(self._rounds, dtype=np.int64),
            tries=np.array(self._tries, dtype=np.int64),
        )

    def advance(self, oracle: Oracle, pairs_per_prompt: int) -> None:
        """Run one more round."""
        prompt = oracle.prompt()
        two = None if self._anchor == "drawn" else second_response(oracle, prompt, self._anchor)
        rule = self.rule if two is None else replace(self.rule, anchor=two.features)
        found = oracle.sample_until(prompt, rule, pairs_per_prompt)
        self._tries.append(found.tries)
        if found.responses is None:
            return
        one, two = found.responses[0], two or found.responses[1]
        self._targets.append(target_of(oracle, prompt, one, two, self._feedback))
        self._vectors.append(one.features - two.features)
        self._prompts.append(prompt)
        self._first.append(one.id)
        self._second.append(two.id)
        self._rounds.append(self.done - 1)
        self._factor, _ = update_inverse_factor(self._factor, self._vectors[-1])
        self.rule = self._rule()

    def _rule(self) -> UncertainPairRule:
        return UncertainPairRule(self._factor.T @ self._factor, self._start.nu)


def build_spanner(
    oracle: Oracle,
    *,
    prompts: int,
    pairs_per_prompt: int,
    nu: float,
    ridge: float,
    seed: int = 0,
    feedback: Feedback = "reward",
    anchor: Anchor = "drawn",
    start: Spanner | None = None,
) -> Spanner:
    """Phase 1 of SpannerSampling (A2; `[paper]`): the last state of `spanner_rounds`.

    Parameters
    ----------
    oracle, prompts, pairs_per_prompt, nu, ridge, feedback, anchor, start
        As for `spanner_rounds`.
    seed : int
        Ignored: this phase has no randomness of its own. Accepted so that all spanner builders share one signature.

    Raises
    ------
    ArgumentError
        For a setting that is not allowed.
    BudgetExceededError
        When the oracle's budget ends first.
    """
    rounds = spanner_rounds(
        oracle,
        prompts=prompts,
        pairs_per_prompt=pairs_per_prompt,
        nu=nu,
        ridge=ridge,
        feedback=feedback,
        anchor=anchor,
        start=start,
    )
    return last(rounds).spanner


def spanner_rounds(
    oracle: Oracle,
    *,
    prompts: int,
    pairs_per_prompt: int,
    nu: float,
    ridge: float,
    feedback: Feedback = "reward",
    anchor: Anchor = "drawn",
    start: Spanner | None = None,
) -> Iterator[SpannerState]:
    """Run phase 1 of SpannerSampling round by round: yield its state before the first round and after each.

    The state is mutable: read it before the next step.

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `sample_until`, and `reward` or `compare`.
    prompts : int
        `T_prompt`: rounds to have completed in the end, those of `start` included.
    pairs_per_prompt : int
        `T_span`.
    nu : float
        Threshold of the elliptic norm, above 0.
    ridge : float
        `lambda`, above 0.
    feedback : {"reward", "preference"}
        Whether an accepted pair costs both rewards, or one label; acceptance sees neither.
    anchor : {"drawn", "fixed"}
        Whether both responses of a pair are drawn, 2 samples a try; or the second one is the anchor response of the
        prompt, which costs 1 sample a round, and a try 1.
    start : Spanner, optional
        Where to go on from. Its `nu` may not be smaller, so that its pairs count as accepted under this `nu` too.

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
    require_feedback(feedback)
    require_one_of("anchor", anchor, ANCHORS)
    start = start or Spanner.empty(oracle.dimension, ridge, nu)
    require(start.nu >= nu, "the nu of start", start.nu, f"at least nu = {nu}")
    require(start.ridge == ridge, "the ridge of start", start.ridge, f"ridge = {ridge}")
    state = SpannerState(replace(start, nu=nu), feedback, anchor)
    yield state
    while state.done < prompts:
        state.advance(oracle, pairs_per_prompt)
        yield state
