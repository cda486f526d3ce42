"""XPO (A3): optimistic exploration with a proper policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from spanver.learners.losses import LogLikelihood, Loss, optimistic
from spanver.learners.rounds import BaselineRun, run_rounds
from spanver.oracle import Feedback, Oracle
from spanver.validation import require, require_at_least, require_count, require_one_of
from spanver.values import FloatArray, Pair, Prompt

LogBase: TypeAlias = Callable[[Prompt], FloatArray]
"""`log pi_ref(.|x)` of all responses to a prompt, in the order in which the oracle lists them, shape (Y,)."""


def xpo(
    oracle: Oracle,
    *,
    rounds: int,
    alpha: float,
    seed: int,
    feedback: Feedback = "reward",
    partition: Literal["enumerate", "probabilities", "sample"] = "sample",
    partition_samples: int = 256,
    log_base: LogBase | None = None,
) -> BaselineRun:
    """XPO: OnlineDPO with an optimistic loss (A3; `[paper]`; Xie et al. 2024, arXiv 2405.21046).

    Each round draws `y1 ~ pi_{theta_t}` and `y2 ~ pi_ref`. What is minimised on the set of parameters is the loss of
    `online_dpo` plus `alpha sum_i log pi_theta(y2_i|x_i)`, (17) of the paper: the sum is over the second responses
    themselves, so optimism costs no sample of its own. It is concave, so the minimum is a local one, found downhill
    from the parameter
    before.

    The log-partition of `pi_theta` is not an answer of any oracle. With `partition="enumerate"` it is exact in the
    full-table model, whose oracle lists features but no probabilities: the caller passes `log_base`. With
    `partition="probabilities"` a generalised oracle tells `log pi_ref(y|x)` of base samples. Each distinct one counts
    with its exact probability, so that the log-partition is exact once they have shown all of the support, and lacks
    only what none of them was. With `partition="sample"` it is the log of the mean weight `exp(<theta, phi>/beta)` of
    base samples. The mean has no bias, its log is too low by about `Var/(2 m)` in units of the squared mean,
    `m = partition_samples`: optimism is then too strong, above all towards responses of base probability below `1/m`
    that no sample showed. To bound that bias takes `m` of the order of the coverage of `pi_theta`.

    Parameters
    ----------
    oracle : Oracle
        As for `online_dpo`; also `sample_counts`, `sample_log_probabilities` or `enumerate`.
    rounds : int
        `T`; `2 T` samples, and `2 T` rewards or `T` labels.
    alpha : float
        Weight of optimism, at least 0.
    seed : int
        Not used, as for `passive_learner`.
    feedback : {"reward", "preference"}
    partition : {"enumerate", "probabilities", "sample"}
        Queried once for each distinct prompt, and stored: `|Y|` enumerated or `partition_samples` samples a prompt.
    partition_samples : int
        `m`.
    log_base : callable, optional
        Needed by `partition="enumerate"`, and by it alone. No query of an oracle answers it: it gives the
        learner more than the sampling oracle does `[ours]`, and no study or comparison uses it.

    Returns
    -------
    BaselineRun
        Its policy is `LinearSoftmax`: that of the last fit.

    Examples
    --------
    >>> from spanver.oracles.counted import counted_oracle
    >>> from spanver.problems.families.random_tables import random_problem
    >>> oracle = counted_oracle(random_problem(0, prompts=2), seed=1)
    >>> run = xpo(oracle, rounds=100, alpha=0.1, seed=2, partition_samples=64)
    >>> oracle.ledger  # two samples a round, and 64 of each prompt for its log-partition
    Ledger(samples=328, rewards=200, enumerated=0)
    """
    require_at_least("alpha", alpha, 0.0)
    require_one_of("partition", partition, ("enumerate", "probabilities", "sample"))
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
            elif partition == "probabilities":
                told = oracle.sample_log_probabilities(prompt, partition_samples, np.zeros(oracle.dimension))
                distinct = list({each: position for position, each in enumerate(told.responses.ids)}.values())
                likelihood.add_prompt(told.responses.features[distinct], told.log_probabilities[distinct])
            else:
                counts = oracle.sample_counts(prompt, partition_samples)
                likelihood.add_prompt(counts.responses.features, np.log(counts.counts / partition_samples))
        likelihood.add(positions[prompt], two.features)
        return Pair(prompt, one, two)

    def with_optimism(loss: Loss) -> Loss:
        return optimistic(loss, alpha, likelihood)

    return run_rounds(oracle, rounds, pair, feedback, with_optimism if alpha > 0.0 else None)
