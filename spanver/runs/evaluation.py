"""What a learned policy is worth: its gap on a table, exact or estimated, and its objective on text, estimated.

Which of the two it was is part of the result and is always printed. Intervals are Student intervals over independent
evaluation prompts.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from spanver.exact.samplers import race_law
from spanver.exact.tabular import component_laws, gap, kl_divergence, log_laws_given_anchors, log_optimal_law
from spanver.kernels import truncated_scores
from spanver.oracle import Anchor, Oracle
from spanver.policies import TruncatedMixture
from spanver.problems.tabular import TabularProblem
from spanver.randomness import stream
from spanver.values import FloatArray, IntArray, Prompt, ResponseId

EXACT_LIMIT = 10**9
"""Largest `T_exp |X| |Y|^2` for which the law of a mixture is computed exactly."""

CONFIDENCE = 0.95

DRAWS = 2000
"""Draws of (round, prompt, second response) of which a gap on a table is estimated."""

EVALUATION_PROMPTS = 300
"""Prompts of the evaluation on text."""

_LARGEST_SQUARE = 10**7  # responses times responses in memory at once


@dataclass(frozen=True)
class Estimate:
    """A number, its interval (a point where it is exact, NaN where there is none), and whether it is exact."""

    value: float
    low: float
    high: float
    exact: bool


@dataclass(frozen=True)
class Sample:
    """A response that is shown: prompt, response and mean reward."""

    prompt: Prompt
    response: ResponseId
    reward: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a mixture is worth.

    Attributes
    ----------
    gap : Estimate
        `J(pi*) - J(pi)` of the mixture.
    base_gap : float
        That of the base policy.
    improvement : Estimate
        `J(pi) - J(pi_ref)`.
    rounds : array of int, shape (n,)
        Rounds at which the curves below are given, from 1.
    round_gaps : array, shape (n,)
        Gap of the policy of each of these rounds.
    mixture_gaps : array, shape (n,)
        Gap of the mixture of all rounds up to it.
    before, after : tuple of Sample
        Outputs of the base policy and of the mixture (text only), best first.
    method : str
        One sentence on how it was computed.
    """

    gap: Estimate
    base_gap: float
    improvement: Estimate
    rounds: IntArray
    round_gaps: FloatArray
    mixture_gaps: FloatArray
    before: tuple[Sample, ...]
    after: tuple[Sample, ...]
    method: str

    @property
    def curves(self) -> dict[str, Any]:
        """Arrays that the figure draws, by name."""
        return {"rounds": self.rounds, "round_gaps": self.round_gaps, "mixture_gaps": self.mixture_gaps}


def is_exact(problem: TabularProblem, rounds: int) -> bool:
    """Whether the gap of a mixture of as many rounds is computed and not estimated."""
    square = problem.responses**2
    return rounds * problem.prompts * square <= EXACT_LIMIT and square <= _LARGEST_SQUARE


def evaluate_table(
    problem: TabularProblem, mixture: TruncatedMixture, *, seed: int, draws: int = DRAWS
) -> Generator[int, None, Evaluation]:
    """Gap of a mixture on a table: from its exact law where that is cheap (`EXACT_LIMIT`), else estimated.

    The estimate averages the exact gap given round, prompt and second response over draws of these; by convexity of the
    KL divergence it is not below the gap of the mixture.

    Parameters
    ----------
    problem : TabularProblem
    mixture : TruncatedMixture
    seed : int
    draws : int
        Of (round, prompt, second response), when estimated.

    Yields
    ------
    int
        When exact, the number of rounds whose law is computed; the evaluation is what the generator returns.
    """
    base_gap = gap(problem, problem.log_base)
    if is_exact(problem, len(mixture)):
        round_gaps, mixture_gaps = [], []
        total = np.full(problem.log_base.shape, -np.inf)
        for done, law in enumerate(component_laws(problem, mixture), start=1):
            total = np.logaddexp(total, law)
            round_gaps.append(gap(problem, law))
            mixture_gaps.append(gap(problem, total - np.log(done)))
            yield done
        value = mixture_gaps[-1]
        return Evaluation(
            gap=Estimate(value, value, value, exact=True),
            base_gap=base_gap,
            improvement=Estimate(base_gap - value, base_gap - value, base_gap - value, exact=True),
            rounds=np.arange(1, len(round_gaps) + 1),
            round_gaps=np.array(round_gaps),
            mixture_gaps=np.array(mixture_gaps),
            before=(),
            after=(),
            method="exact law of the mixture, with exact sampling of each round's policy",
        )
    rounds, gaps = _sampled_gaps(problem, mixture, seed, draws)
    estimate = _interval(gaps)
    blocks = blocks_of(rounds)
    block_gaps = np.array([gaps[block].mean() for block in blocks])
    return Evaluation(
        gap=estimate,
        base_gap=base_gap,
        improvement=Estimate(base_gap - estimate.value, base_gap - estimate.high, base_gap - estimate.low, exact=False),
        rounds=np.array([int(rounds[block].max()) + 1 for block in blocks]),
        round_gaps=block_gaps,
        mixture_gaps=np.cumsum(block_gaps) / np.arange(1, len(blocks) + 1),
        before=(),
        after=(),
        method=f"estimated from {draws} draws of round, prompt and second response; not below the mixture's gap",
    )


def blocks_of(rounds: IntArray) -> list[IntArray]:
    """Positions of draws, in 20 blocks by their rounds: those that one point of a curve is the mean of."""
    return np.array_split(np.argsort(rounds, kind="stable"), 20)


def evaluation_draws(
    problem: TabularProblem, rounds: int, *, seed: int, anchor: Anchor = "drawn", draws: int = DRAWS
) -> tuple[IntArray, IntArray, IntArray]:
    """Rounds, prompts and second responses that an estimate takes the mean over: three arrays of shape (draws,)."""
    generator = stream(seed, "evaluation")
    drawn = generator.integers(rounds, size=draws)
    prompts = generator.choice(problem.prompts, size=draws, p=problem.prompt_law)
    if anchor == "fixed":
        return drawn, prompts, problem.anchors[prompts]
    laws = np.exp(problem.log_base)
    seconds = np.array([generator.choice(problem.responses, p=laws[prompt]) for prompt in prompts])
    return drawn, prompts, seconds


def _sampled_gaps(
    problem: TabularProblem, mixture: TruncatedMixture, seed: int, draws: int
) -> tuple[IntArray, FloatArray]:
    rounds, prompts, seconds = evaluation_draws(problem, len(mixture), seed=seed, anchor=mixture.anchor, draws=draws)
    optimum = log_optimal_law(problem)
    gaps = np.empty(draws)
    for draw, (round_index, prompt) in enumerate(zip(rounds, prompts, strict=True)):
        law = log_laws_given_anchors(problem, mixture.component(round_index), int(prompt), seconds[draw : draw + 1])
        gaps[draw] = problem.beta * kl_divergence(law, optimum[prompt : prompt + 1])[0]
    return rounds, gaps


def evaluate_text(
    oracle: Oracle, mixture: TruncatedMixture, *, prompts: int, pool: int, seed: int, shown: int = 5
) -> Generator[int, None, Evaluation]:
    """Objective of a mixture on a problem that is only sampled, as the race sampler with `pool` draws outputs it.

    For each of `prompts` prompts a second response and a pool of `pool` responses are drawn, and all rewards queried;
    a policy of anchor responses is relative to these.
    Given the pool, the race outputs its member `i` with probability `p_i` (`race_law`); the KL divergence of the
    output from the base policy is at most that of the index from a uniform one, `sum p_i log(pool p_i)`, by data
    processing, and that of a mixture at most the mean of its components'. So the objective shown is a lower bound of
    the true one in expectation. One set of pools serves every round.

    The gap compares with the optimum `beta log E exp(r/beta)` over all draws of a prompt together: biased down, while
    the objective is too, so the gap has no interval. The gain over the base policy has: it is a mean over independent
    prompts.

    Parameters
    ----------
    oracle : Oracle
        A fresh one: its ledger is the cost of the evaluation.
    mixture : TruncatedMixture
    prompts, pool : int
    seed : int
        Of the outputs that are shown.
    shown : int
        How many outputs of base policy and mixture are shown.

    Yields
    ------
    int
        Prompts done so far; the evaluation is what the generator returns.
    """
    beta = oracle.beta
    features = np.empty((prompts, pool + 1, oracle.dimension))
    seconds = np.empty((prompts, 1, oracle.dimension))
    rewards = np.empty((prompts, pool + 1))
    drawn: list[tuple[Prompt, tuple[ResponseId, ...]]] = []
    for row in range(prompts):
        prompt = oracle.prompt()
        responses = oracle.sample(prompt, pool + 1)
        features[row] = responses.features
        seconds[row] = responses.features[0] if mixture.anchor == "drawn" else oracle.anchor(prompt).features[0]
        rewards[row] = [oracle.reward(prompt, identity) for identity in responses.ids]
        drawn.append((prompt, responses.ids))
        yield row + 1

    objectives = np.empty((len(mixture), prompts))
    laws = np.zeros((prompts, pool))
    for index, theta in enumerate(mixture.thetas):
        scores = truncated_scores(features[:, 1:], seconds, theta, mixture.precision, mixture.nu)
        law = race_law(scores / beta)
        laws += law / len(mixture)
        with np.errstate(divide="ignore", invalid="ignore"):
            divergence = np.where(law > 0, law * np.log(pool * law), 0.0).sum(axis=1)
        objectives[index] = (law * rewards[:, 1:]).sum(axis=1) - beta * divergence

    base = rewards.mean(axis=1)
    best = _pooled_optimum(drawn, rewards, beta)
    gaps = best - objectives.mean(axis=1)
    estimate = _interval(objectives.mean(axis=0) - base)
    base_gap = float(best - base.mean())
    generator = stream(seed, "shown outputs")
    outputs = [int(generator.choice(pool, p=law / law.sum())) + 1 for law in laws]

    def top(chosen: list[int]) -> tuple[Sample, ...]:
        samples = {(drawn[row][0], drawn[row][1][k]): float(rewards[row, k]) for row, k in enumerate(chosen)}
        best_first = sorted(samples.items(), key=lambda item: (-item[1], str(item[0])))
        return tuple(Sample(prompt, response, reward) for (prompt, response), reward in best_first[:shown])

    return Evaluation(
        gap=Estimate(base_gap - estimate.value, np.nan, np.nan, exact=False),
        base_gap=base_gap,
        improvement=estimate,
        rounds=np.arange(1, len(gaps) + 1),
        round_gaps=gaps,
        mixture_gaps=np.cumsum(gaps) / np.arange(1, len(gaps) + 1),
        before=top([1] * prompts),
        after=top(outputs),
        method=f"estimated from {prompts} prompts; the gain, of the race of {pool}, is a lower bound in expectation",
    )


def _pooled_optimum(drawn: list[tuple[Prompt, tuple[ResponseId, ...]]], rewards: FloatArray, beta: float) -> float:
    rows_of: dict[Prompt, list[int]] = {}
    for row, (prompt, _) in enumerate(drawn):
        rows_of.setdefault(prompt, []).append(row)
    total = 0.0
    for rows in rows_of.values():
        exponents = rewards[rows].ravel() / beta
        peak = exponents.max()
        total += len(rows) * beta * (peak + np.log(np.exp(exponents - peak).mean()))
    return float(total / len(drawn))


def _interval(values: FloatArray) -> Estimate:
    mean = float(values.mean())
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half, exact=False)
