"""A3, the baselines that SpannerSampling is compared with: what people do, and what the paper names.

Each asks both rewards of one pair a round, or one label that compares its two responses, and fits `theta` on the ball.
`reference_learner` draws pairs from the base policy; `online_dpo` and `xpo` `[named by FMR25]` change the policy that
they draw from as they learn; `elliptical_enumeration` lists all responses in the full-table model and needs no coverage
for its data (T6, `[FMR25]`); `best_of_n` is the reference learner with another way to use its score `[ext]`.

*Proper* `[FMR25]` means that every reward query uses `y ~ pi_theta(.|x)` for one `theta` fixed before `x` is seen; the
base policy is `theta = 0`. `PROPER` says which are. It is about queries: what `best_of_n` returns is no `pi_theta`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from spanver.kernels import inverse_factor, update_inverse_factor
from spanver.learners.fitting import LogisticLoss, LogLikelihood, Loss, SquareLoss, minimise_on_ball, optimistic
from spanver.oracle import Oracle
from spanver.policies import BestOfN, LinearSoftmax
from spanver.validation import read_only, require, require_count, require_finite, require_positive
from spanver.values import FloatArray, Prompt, Response, Responses

__all__ = [
    "PROPER",
    "BaselineRun",
    "Feedback",
    "LogBase",
    "best_of_n",
    "elliptical_enumeration",
    "online_dpo",
    "reference_learner",
    "xpo",
]

Feedback: TypeAlias = Literal["reward", "preference"]
LogBase: TypeAlias = Callable[[Prompt], FloatArray]
"""`log pi_ref(.|x)` of all responses to a prompt, in the order in which the oracle lists them, shape (Y,)."""

PROPER: Mapping[str, bool] = {
    "reference_learner": True,
    "online_dpo": True,
    "xpo": True,
    "elliptical_enumeration": False,
    "best_of_n": True,
}
"""Whether every reward query of a learner is proper, by the name of its function."""


@dataclass(frozen=True, eq=False)
class BaselineRun:
    """What a baseline learned in `T` rounds, and from what.

    Attributes
    ----------
    policy : LinearSoftmax or BestOfN
        With the parameter that is fitted to all data.
    thetas : array, shape (T, d)
        `theta_t`, fitted to the data of the rounds before `t` and before its prompt was drawn; the first is 0.
        OnlineDPO and XPO draw from `pi_{theta_t}`; of the others it is what they would have returned.
    vectors : array, shape (T, d)
        Relative features `v` of the pair of each round.
    targets : array, shape (T,)
        Reward differences `r1 - r2`; for preferences 1 where the first is preferred, else -1.
    """

    policy: LinearSoftmax | BestOfN
    thetas: FloatArray
    vectors: FloatArray
    targets: FloatArray

    def __post_init__(self) -> None:
        for name, ndim in (("thetas", 2), ("vectors", 2), ("targets", 1)):
            object.__setattr__(self, name, read_only(getattr(self, name), ndim=ndim, name=name))


Pair: TypeAlias = tuple[Prompt, Response, Response]


def reference_learner(oracle: Oracle, *, rounds: int, seed: int) -> BaselineRun:
    """Passive baseline: pairs of the base policy, constrained least squares (A3).

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `sample` and `reward`.
    rounds : int
        `T`; `2 T` samples and `2 T` rewards.
    seed : int
        Not used: all luck of the baselines is the oracle's. Part of what a learner is called with.

    Returns
    -------
    BaselineRun
        Its policy is `LinearSoftmax`.

    Examples
    --------
    >>> from spanver.oracles import counted_oracle
    >>> from spanver.exact.tabular import gap, log_law
    >>> from spanver.problems.families import covered_needle_problem
    >>> problem = covered_needle_problem(0, coverage=2.0**8, responses=16, dimension=4, beta=0.03)
    >>> oracle = counted_oracle(problem, seed=1)
    >>> run = reference_learner(oracle, rounds=4, seed=2)
    >>> round(gap(problem, log_law(problem, run.policy)), 2)  # no needle among eight responses
    0.83
    >>> oracle.ledger
    Ledger(samples=8, rewards=8, enumerated=0)
    """
    return _run(oracle, rounds, lambda _: _base_pair(oracle), "reward")


def best_of_n(oracle: Oracle, *, rounds: int, count: int, seed: int) -> BaselineRun:
    """Passive data and least squares as `reference_learner`, then the best of `count` responses by score (A3; `[ext]`).

    Parameters
    ----------
    oracle, rounds, seed
        As for `reference_learner`; the same luck gives the same data.
    count : int
        `N`, responses drawn for one output, so that each output costs `N` samples.

    Returns
    -------
    BaselineRun
        Its policy is `BestOfN`.

    Examples
    --------
    >>> from spanver.oracles import counted_oracle
    >>> from spanver.problems.families import random_problem
    >>> run = best_of_n(counted_oracle(random_problem(0), seed=1), rounds=100, count=8, seed=2)
    >>> run.policy.count
    8
    """
    require_count("count", count)
    run = reference_learner(oracle, rounds=rounds, seed=seed)
    return BaselineRun(BestOfN(run.policy.theta, count), run.thetas, run.vectors, run.targets)


def online_dpo(oracle: Oracle, *, rounds: int, seed: int, feedback: Feedback = "reward") -> BaselineRun:
    """OnlineDPO: both responses of a pair from the policy of the data so far (A3; `[named by FMR25]`).

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `sample` with `theta`, and `reward` or `compare`.
    rounds : int
        `T`; `2 T` samples, and `2 T` rewards or `T` labels.
    seed : int
        Not used, as for `reference_learner`.
    feedback : {"reward", "preference"}
        Constrained least squares of reward differences, or the logistic loss of Bradley-Terry labels on the ball.

    Returns
    -------
    BaselineRun
        Its policy is `LinearSoftmax`: that of the last fit, where the theory takes one of a random round.

    Examples
    --------
    >>> from spanver.oracles import counted_oracle
    >>> from spanver.problems.families import random_problem
    >>> oracle = counted_oracle(random_problem(0), seed=1)
    >>> run = online_dpo(oracle, rounds=100, seed=2, feedback="preference")
    >>> oracle.ledger  # a label counts as one answer about rewards
    Ledger(samples=200, rewards=100, enumerated=0)
    """

    def pair(theta: FloatArray) -> Pair:
        prompt = oracle.prompt()
        drawn = oracle.sample(prompt, 2, theta=theta)
        return prompt, drawn[0], drawn[1]

    return _run(oracle, rounds, pair, feedback)


def xpo(
    oracle: Oracle,
    *,
    rounds: int,
    alpha: float,
    seed: int,
    feedback: Feedback = "reward",
    partition: Literal["enumerate", "sample"] = "sample",
    partition_samples: int = 256,
    log_base: LogBase | None = None,
) -> BaselineRun:
    """XPO: OnlineDPO with an optimistic loss (A3; `[named by FMR25]`; Xie et al. 2024, arXiv 2405.21046).

    Each round draws `y1 ~ pi_{theta_t}` and `y2 ~ pi_ref`. What is minimised on the ball is the loss of `online_dpo`
    plus `alpha sum_i log pi_theta(y2_i|x_i)`: the second response is also the `y~_i` of A3, so optimism costs no sample
    of its own. The sum is concave, so the minimum is a local one, found downhill from the parameter before.

    The log-partition of `pi_theta` is not an answer of any oracle. With `partition="enumerate"` it is exact in the
    full-table model, whose oracle lists features but no probabilities: the caller hands in `log_base`. With
    `partition="sample"` it is the log of the mean weight `exp(<theta, phi>/beta)` of base samples. The mean has no
    bias, its log is too low by about `Var/(2 m)` in units of the squared mean, `m = partition_samples`: optimism is
    then too strong, above all towards responses of base probability below `1/m` that no sample showed. To bound that
    bias takes `m` of the order of the coverage of `pi_theta`.

    Parameters
    ----------
    oracle : Oracle
        As for `online_dpo`; also `sample_counts`, or `enumerate`.
    rounds : int
        `T`; `2 T` samples, and `2 T` rewards or `T` labels.
    alpha : float
        Weight of optimism, at least 0.
    seed : int
        Not used, as for `reference_learner`.
    feedback : {"reward", "preference"}
    partition : {"enumerate", "sample"}
        Asked once about each distinct prompt, and remembered: `|Y|` enumerated or `partition_samples` samples a prompt.
    partition_samples : int
        `m`.
    log_base : callable, optional
        Needed by `partition="enumerate"`, and by it alone. No question of an oracle answers it: who hands it in gives
        the learner more than the sampling oracle does `[ext]`, and no study or comparison does.

    Returns
    -------
    BaselineRun
        Its policy is `LinearSoftmax`: that of the last fit.

    Examples
    --------
    >>> from spanver.oracles import counted_oracle
    >>> from spanver.problems.families import random_problem
    >>> oracle = counted_oracle(random_problem(0, prompts=2), seed=1)
    >>> run = xpo(oracle, rounds=100, alpha=0.1, seed=2, partition_samples=64)
    >>> oracle.ledger  # two samples a round, and 64 of each prompt for its log-partition
    Ledger(samples=328, rewards=200, enumerated=0)
    """
    require_finite("alpha", alpha)
    require(alpha >= 0.0, "alpha", alpha, "at least 0")
    require(partition in ("enumerate", "sample"), "partition", partition, "'enumerate' or 'sample'")
    require_count("partition_samples", partition_samples)
    known = log_base is not None
    require(known == (partition == "enumerate"), "log_base", log_base, "given for partition='enumerate' and then alone")
    likelihood = LogLikelihood(oracle.dimension, oracle.beta)
    positions: dict[Prompt, int] = {}

    def pair(theta: FloatArray) -> Pair:
        prompt = oracle.prompt()
        one, two = oracle.sample(prompt, 1, theta=theta)[0], oracle.sample(prompt, 1)[0]
        if prompt not in positions:
            positions[prompt] = len(positions)
            if log_base is not None:
                likelihood.add_prompt(oracle.enumerate(prompt).features, log_base(prompt))
            else:
                counts = oracle.sample_counts(prompt, partition_samples)
                likelihood.add_prompt(counts.responses.features, np.log(counts.counts / partition_samples))
        likelihood.add(positions[prompt], two.features)
        return prompt, one, two

    def with_optimism(loss: Loss) -> Loss:
        return optimistic(loss, alpha, likelihood)

    return _run(oracle, rounds, pair, feedback, with_optimism if alpha > 0.0 else None)


def elliptical_enumeration(oracle: Oracle, *, rounds: int, ridge: float, seed: int) -> BaselineRun:
    """Ask about the least certain pair of all responses, in the full-table model (A3, T6; `[FMR25]`).

    Each round lists `Y`, asks both rewards of the pair of largest `||v||_{Sigma^-1}` over `Y x Y`, the first such pair
    in the order listed, and adds `v v^T` to `Sigma`, which starts at `ridge` times the identity.

    Parameters
    ----------
    oracle : Oracle
        Anything that answers `prompt`, `enumerate` and `reward`.
    rounds : int
        `T`; `2 T` rewards, no sample, and `|Y| T` enumerated.
    ridge : float
        `lambda`.
    seed : int
        Not used, as for `reference_learner`.

    Returns
    -------
    BaselineRun
        Its policy is `LinearSoftmax`.

    Examples
    --------
    >>> from spanver.oracles import counted_oracle
    >>> from spanver.exact.tabular import gap, log_law
    >>> from spanver.problems.families import covered_needle_problem
    >>> problem = covered_needle_problem(0, coverage=2.0**40, responses=16, dimension=4, beta=0.03)
    >>> oracle = counted_oracle(problem, seed=1, full_table=True)
    >>> run = elliptical_enumeration(oracle, rounds=4, ridge=1.0, seed=2)
    >>> gap(problem, log_law(problem, run.policy)) < 1e-6  # whatever the coverage
    True
    >>> oracle.ledger
    Ledger(samples=0, rewards=8, enumerated=64)
    """
    require_positive("ridge", ridge)
    factor = inverse_factor(ridge * np.eye(oracle.dimension))

    def pair(theta: FloatArray) -> Pair:
        nonlocal factor
        prompt = oracle.prompt()
        listed = oracle.enumerate(prompt)
        one, two = _furthest(listed.features @ factor.T)
        factor, _ = update_inverse_factor(factor, listed.features[one] - listed.features[two])
        return prompt, listed[one], listed[two]

    return _run(oracle, rounds, pair, "reward")


def _run(
    oracle: Oracle,
    rounds: int,
    pair: Callable[[FloatArray], Pair],
    feedback: Feedback,
    changed: Callable[[Loss], Loss] | None = None,
) -> BaselineRun:
    """The rounds of every baseline: draw a pair, ask, and fit to all data the loss, or what it is changed to."""
    require_count("rounds", rounds)
    require(feedback in ("reward", "preference"), "feedback", feedback, "'reward' or 'preference'")
    dimension, radius = oracle.dimension, oracle.radius
    thetas, vectors, targets = np.zeros((rounds, dimension)), np.zeros((rounds, dimension)), np.zeros(rounds)
    square = SquareLoss(dimension)

    def fitted(count: int, before: FloatArray) -> FloatArray:
        if feedback == "reward" and changed is None:
            return square.fitted(radius)
        loss = square if feedback == "reward" else LogisticLoss(vectors[:count], targets[:count])
        return minimise_on_ball(loss if changed is None else changed(loss), radius, before)

    theta = np.zeros(dimension)
    for done in range(rounds):
        thetas[done] = theta
        prompt, one, two = pair(theta)
        vectors[done] = one.features - two.features
        if feedback == "reward":
            targets[done] = oracle.reward(prompt, one) - oracle.reward(prompt, two)
            square.add(vectors[done], targets[done])
        else:
            targets[done] = 1.0 if oracle.compare(prompt, one, two) else -1.0
        theta = fitted(done + 1, theta)
    return BaselineRun(LinearSoftmax(theta), thetas, vectors, targets)


def _base_pair(oracle: Oracle) -> Pair:
    prompt = oracle.prompt()
    drawn: Responses = oracle.sample(prompt, 2)
    return prompt, drawn[0], drawn[1]


def _furthest(points: FloatArray) -> tuple[int, int]:
    """Positions of the two points at the largest distance, of points of shape (n, d); block by block."""
    lengths = np.einsum("ij,ij->i", points, points)
    rows = max(1, _LARGEST_BLOCK // len(points))
    furthest, largest = (0, 0), -np.inf
    for begin in range(0, len(points), rows):
        block = points[begin : begin + rows]
        squares = lengths[begin : begin + rows, None] + lengths - 2.0 * (block @ points.T)
        position = int(np.argmax(squares))
        if squares.flat[position] > largest:
            largest = float(squares.flat[position])
            furthest = begin + position // len(points), position % len(points)
    return furthest


_LARGEST_BLOCK = 1 << 22  # distances in memory at once
