"""A3, the baselines that SpannerSampling is compared with: common practice, and what the paper names.

Each round queries both rewards of one pair, or one label that compares its responses, and fits `theta` on the set of
parameters. `passive_learner` draws pairs from the base policy; `online_dpo` and `xpo` `[paper]` change the policy that
they draw from as they learn; `elliptical_enumeration` lists all responses in the full-table model and needs no coverage
for its data (T6, `[paper]`); `best_of_n` is the passive learner with another way to use its score `[ours]`.

*Proper* `[paper]` means that every reward query uses a fresh `y ~ pi_theta(.|x)`, for one `theta` of the class that may
depend on `x` and on all that was seen before (H0); the base policy is `theta = 0`. `PROPER` says which are. It is about
queries: what `best_of_n` returns is no `pi_theta`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from spanver.learners.feedback import require_feedback, target_of
from spanver.learners.losses import LogisticLoss, Loss, SquareLoss, minimise
from spanver.oracle import Feedback, Oracle
from spanver.policies import BestOfN, LinearSoftmax
from spanver.validation import freeze, require_count
from spanver.values import FloatArray, Pair

PROPER: Mapping[str, bool] = {
    "passive_learner": True,
    "online_dpo": True,
    "xpo": True,
    "elliptical_enumeration": False,
    "best_of_n": True,
    "exhaustive_search": True,
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
        OnlineDPO and XPO draw from `pi_{theta_t}`; of the others it is what they would have returned. Exhaustive search
        chooses corners of the box, the first before it has data.
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
        freeze(self, thetas=2, vectors=2, targets=1)


def run_rounds(
    oracle: Oracle,
    rounds: int,
    pair: Callable[[FloatArray], Pair],
    feedback: Feedback,
    changed: Callable[[Loss], Loss] | None = None,
) -> BaselineRun:
    """Run the rounds of a baseline: draw a pair, query it, and fit the loss, or `changed(loss)`, to all data."""
    require_count("rounds", rounds)
    require_feedback(feedback)
    dimension, parameters = oracle.dimension, oracle.shape(oracle.radius)
    thetas, vectors, targets = np.zeros((rounds, dimension)), np.zeros((rounds, dimension)), np.zeros(rounds)
    square = SquareLoss(dimension)

    def fitted(count: int, before: FloatArray) -> FloatArray:
        if feedback == "reward" and changed is None:
            return square.fitted(parameters)
        loss = square if feedback == "reward" else LogisticLoss(vectors[:count], targets[:count])
        return minimise(loss if changed is None else changed(loss), parameters, before)

    theta = np.zeros(dimension)
    for done in range(rounds):
        thetas[done] = theta
        drawn = pair(theta)
        vectors[done] = drawn.difference
        targets[done] = target_of(oracle, drawn.prompt, drawn.first, drawn.second, feedback)
        if feedback == "reward":
            square.add(vectors[done], targets[done])
        theta = fitted(done + 1, theta)
    return BaselineRun(LinearSoftmax(theta), thetas, vectors, targets)


def drawn_pair(oracle: Oracle, theta: FloatArray | None = None) -> Pair:
    """Draw a prompt, and two responses of `pi_theta`, or of the base policy."""
    prompt = oracle.prompt()
    drawn = oracle.sample(prompt, 2, theta=theta)
    return Pair(prompt, drawn[0], drawn[1])
