"""Mutants of the baselines, and of SpannerSampling where only the headline results see it: E6, H0, H2, O1, T1, T2, T6.

`baseline` and `enumeration` are the learners of A3 written anew, on the reference's losses: each step in which a mutant
differs is an argument. Unmutated they are as right as the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from spanver.learners.least_squares import fit_on
from spanver.learners.losses import LogisticLoss, LogLikelihood, SquareLoss, minimise, optimistic
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.oracle import Oracle
from spanver.parameter_sets import Ball, Shape
from spanver.values import FloatArray, Prompt, Response
from spanver.zoo.algebra import Data, difference, inverse, reward_difference, stacked, table_behind
from spanver.zoo.mutant import Mutant, changed, mutants_of
from spanver.zoo.sampler import adjusted_sampler


@dataclass
class State:
    """What a baseline knows before a round.

    Attributes
    ----------
    oracle : Oracle
    theta : array, shape (d,)
    vectors, targets : list
        Of the rounds so far.
    partitions : dict
        Features (k, d) and weights (k,) of each prompt met.
    optimism : list
        Of each round, its prompt and the features of its `y~`.
    first_drawn : dict
        First response of each prompt met.
    """

    oracle: Oracle
    theta: FloatArray
    vectors: list[FloatArray]
    targets: list[float]
    partitions: dict[Prompt, tuple[FloatArray, FloatArray]]
    optimism: list[tuple[Prompt, FloatArray]]
    first_drawn: dict[Prompt, Response]

    @property
    def data(self) -> Data:
        """Data of the rounds so far."""
        return stacked(self.vectors, self.targets, self.oracle.dimension)


Drawn = tuple[Response, Response]


def base_pair(state: State, prompt: Prompt) -> Drawn:
    """Both responses from the base policy."""
    drawn = state.oracle.sample(prompt, 2)
    return drawn[0], drawn[1]


def own_pair(state: State, prompt: Prompt) -> Drawn:
    """Both responses from the policy."""
    drawn = state.oracle.sample(prompt, 2, theta=state.theta)
    return drawn[0], drawn[1]


def mixed_pair(state: State, prompt: Prompt) -> Drawn:
    """One response from the policy, one from the base policy."""
    return state.oracle.sample(prompt, 1, theta=state.theta)[0], state.oracle.sample(prompt, 1)[0]


def queried(state: State, prompt: Prompt, one: Response, two: Response, *, feedback: str) -> float:
    """Difference of rewards, or a label."""
    if feedback == "preference":
        return 1.0 if state.oracle.compare(prompt, one, two) else -1.0
    return reward_difference(state.oracle, prompt, one, two)


def second_features(_: Response, two: Response) -> FloatArray:
    """Features of `y~`: the base response."""
    return two.features


def counted_partition(state: State, prompt: Prompt, samples: int, _: Drawn) -> tuple[FloatArray, FloatArray]:
    """Features and weights of base samples."""
    counts = state.oracle.sample_counts(prompt, samples)
    return counts.responses.features, counts.counts / samples


def fitted(state: State, *, feedback: str, alpha: float, scale: float = 1.0, shape: Shape | None = None) -> FloatArray:
    """Parameter of all data."""
    vectors, targets = state.data
    parameters = (shape or state.oracle.shape)(scale * state.oracle.radius)
    if feedback == "reward" and alpha == 0.0:
        return fit_on(vectors, targets, parameters)
    square = SquareLoss(vectors.shape[1])
    for vector, target in zip(vectors, targets, strict=True):
        square.add(vector, float(target))
    loss = LogisticLoss(vectors, targets) if feedback == "preference" else square
    if alpha == 0.0:
        return minimise(loss, parameters, state.theta)
    likelihood = LogLikelihood(vectors.shape[1], state.oracle.beta)
    positions = {prompt: position for position, prompt in enumerate(state.partitions)}
    for features, weights in state.partitions.values():
        likelihood.add_prompt(features, np.log(weights))
    for prompt, features in state.optimism:
        likelihood.add(positions[prompt], features)
    return minimise(optimistic(loss, alpha, likelihood), parameters, state.theta)


def _ball_projected(state: State, **loss: Any) -> FloatArray:
    inside: FloatArray = state.oracle.shape(state.oracle.radius).project(fitted(state, shape=Ball, **loss))
    return inside


def baseline(
    oracle: Oracle,
    *,
    rounds: int,
    seed: int,
    feedback: str = "reward",
    alpha: float = 0.0,
    partition_samples: int = 0,
    count: int | None = None,
    pair: Callable[[State, Prompt], Drawn] = base_pair,
    target: Callable[..., float] = queried,
    relative: Callable[[Response, Response], FloatArray] = difference,
    optimism: Callable[[Response, Response], FloatArray] = second_features,
    partition: Callable[..., tuple[FloatArray, FloatArray]] = counted_partition,
    sign: float = 1.0,
    label: float = 1.0,
    known: Callable[[State], State] = lambda state: state,
    fit: Callable[..., FloatArray] = fitted,
    output: Callable[[FloatArray], FloatArray] = lambda theta: theta,
) -> Any:
    """Run a baseline of A3 that draws pairs."""
    del seed
    state = State(oracle, np.zeros(oracle.dimension), [], [], {}, [], {})
    thetas: list[FloatArray] = []
    vectors, targets = [], []
    for _ in range(rounds):
        thetas.append(state.theta)
        prompt = oracle.prompt()
        drawn = one, two = pair(state, prompt)
        if partition_samples and prompt not in state.partitions:
            state.partitions[prompt] = partition(state, prompt, partition_samples, drawn)
        value = target(state, prompt, one, two, feedback=feedback)
        vectors.append(difference(one, two))
        targets.append(value)
        state.vectors.append(relative(one, two))
        state.targets.append(label * value)
        state.optimism.append((prompt, optimism(one, two)))
        state.theta = fit(known(state), feedback=feedback, alpha=sign * alpha)
    result = {
        "thetas": np.array(thetas), "vectors": np.array(vectors), "targets": np.array(targets),
        "theta": output(state.theta),
    }  # fmt: skip
    return result if count is None else result | {"count": count}


def squared_norms(features: FloatArray, precision: FloatArray) -> FloatArray:
    """Squared elliptic norms of all pairs, shape (k, k)."""
    relative = features[:, None] - features[None]
    return np.einsum("abi,ij,abj->ab", relative, precision, relative)


def farthest(features: FloatArray, precision: FloatArray) -> tuple[int, int]:
    """Pair of largest elliptic norm."""
    return divmod(int(np.argmax(squared_norms(features, precision))), len(features))


def _nearest(features: FloatArray, precision: FloatArray) -> tuple[int, int]:
    squares = squared_norms(features, precision)
    squares[np.diag_indices(len(squares))] = np.inf
    return divmod(int(np.argmin(squares)), len(features))


def enumeration(
    oracle: Oracle,
    *,
    rounds: int,
    ridge: float,
    seed: int,
    choose: Callable[[FloatArray, FloatArray], tuple[int, int]] = farthest,
    growth: float = 1.0,
    listed_once: bool = False,
    rewards: Callable[[Oracle, Prompt, Response, Response], float] = reward_difference,
    shape: Shape | None = None,
) -> Any:
    """Run elliptical enumeration."""
    del seed
    sigma: FloatArray = ridge * np.eye(oracle.dimension)
    thetas, vectors, targets, theta = [], [], [], np.zeros(oracle.dimension)
    listings: dict[Prompt, Any] = {}
    for _ in range(rounds):
        thetas.append(theta)
        prompt = oracle.prompt()
        listing = listings.get(prompt) if listed_once else None
        listings[prompt] = listing = oracle.enumerate(prompt) if listing is None else listing
        one, two = choose(listing.features, inverse(sigma))
        vectors.append(listing.features[one] - listing.features[two])
        targets.append(rewards(oracle, prompt, listing[one], listing[two]))
        sigma = sigma + growth * np.outer(vectors[-1], vectors[-1])
        theta = fit_on(np.array(vectors), np.array(targets), (shape or oracle.shape)(oracle.radius))
    return {"thetas": np.array(thetas), "vectors": np.array(vectors), "targets": np.array(targets), "theta": theta}


def _without_last(state: State) -> State:
    return replace(state, vectors=state.vectors[:-1], targets=state.targets[:-1])


def _best_of_two_draws(state: State, prompt: Prompt) -> Drawn:
    drawn = state.oracle.sample(prompt, 4, theta=state.theta)
    order = np.argsort(drawn.features @ state.theta)
    return drawn[int(order[-1])], drawn[int(order[0])]


def _other_parameter(state: State, prompt: Prompt) -> Drawn:
    one, two = (state.oracle.sample(prompt, 1, theta=theta)[0] for theta in (state.theta, -state.theta))
    return one, two


def _parameter_by_prompt(state: State, prompt: Prompt) -> Drawn:
    drawn = state.oracle.sample(prompt, 1, theta=state.theta)[0]
    moved = 0.5 * (state.theta + state.oracle.radius * drawn.features)  # features are of length 1 at most
    return drawn, state.oracle.sample(prompt, 1, theta=moved)[0]


def _one_draw(state: State, prompt: Prompt, *, pair: Callable[[State, Prompt], Drawn]) -> Drawn:
    one, _ = pair(state, prompt)
    return one, one


def _repeated_draw(state: State, prompt: Prompt) -> Drawn:
    drawn = state.oracle.sample(prompt, 2, theta=state.theta)
    return state.first_drawn.setdefault(prompt, drawn[0]), drawn[1]


def _single_samples(state: State, prompt: Prompt, samples: int, _: Drawn) -> tuple[FloatArray, FloatArray]:
    counts = state.oracle.sample_counts(prompt, samples)
    return counts.responses.features, np.full(len(counts.counts), 1.0 / len(counts.counts))


def _with_the_pair(state: State, prompt: Prompt, samples: int, drawn: Drawn) -> tuple[FloatArray, FloatArray]:
    features, weights = counted_partition(state, prompt, samples, drawn)
    return np.vstack([features, drawn[0].features]), np.append(weights * samples, 1.0) / (samples + 1)


def _with_a_null(state: State, prompt: Prompt, samples: int, _: Drawn) -> tuple[FloatArray, FloatArray]:
    counts = state.oracle.sample_counts(prompt, samples)
    null = np.zeros((1, state.oracle.dimension))
    return np.vstack([counts.responses.features, null]), np.append(counts.counts, 1.0) / samples


def _drawn_twice(state: State, prompt: Prompt, samples: int, drawn: Drawn) -> tuple[FloatArray, FloatArray]:
    state.oracle.sample_counts(prompt, samples)
    return counted_partition(state, prompt, samples, drawn)


def _doubled_reward(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    del two
    return 2.0 * oracle.reward(prompt, one)


def _swapped_label(state: State, prompt: Prompt, one: Response, two: Response, *, feedback: str) -> float:
    value = queried(state, prompt, one, two, feedback=feedback)
    return -value if feedback == "preference" else value


def _rewards_for_labels(state: State, prompt: Prompt, one: Response, two: Response, *, feedback: str) -> float:
    value = queried(state, prompt, one, two, feedback="reward")
    return float(np.sign(value) or 1.0) if feedback == "preference" else value


def _through_the_wall(state: State, **_: Any) -> FloatArray:
    """Direction of the best response of the table behind the oracle."""
    problem = table_behind(state.oracle)
    best = problem.features[0, int(problem.reward[0].argmax())]
    return best * state.oracle.radius / max(float(np.linalg.norm(best)), 1e-300)


def _peeking(oracle: Oracle, *, seed: int, settings: Settings) -> Any:
    """Query the reward of the best response of the table behind the oracle."""
    oracle.reward(oracle.prompt(), int(table_behind(oracle).reward[0].argmax()))
    return spanner_sampling(oracle, seed=seed, settings=replace(settings, prompts=1))


def _capped_pairs(oracle: Oracle, *, seed: int, settings: Settings) -> Any:
    fewer = replace(settings, pairs_per_prompt=min(settings.pairs_per_prompt, 64))
    return spanner_sampling(oracle, seed=seed, settings=fewer)


DPO = partial(baseline, pair=own_pair)
"""`online_dpo`."""
XPO = partial(baseline, pair=mixed_pair)
"""`xpo`."""


_passive = mutants_of("passive_learner", "passive-learner", baseline)
_best = mutants_of("best_of_n", "best-of-n", baseline)
_dpo = mutants_of("online_dpo", "online-dpo", DPO)
_xpo = mutants_of("xpo", "xpo", XPO)
_elliptical = mutants_of("elliptical_enumeration", "elliptical-enumeration", enumeration)
_sampling = mutants_of("spanner_sampling", "spanner-sampling", spanner_sampling)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _passive("one-round-late", "fits without the last round", "E6", known=_without_last),
    _passive("doubled-radius", "fits in a ball of the diameter", "E6", fit=partial(fitted, scale=2.0)),
    _passive("ball-for-box", "fits on the ball whatever the shape", "E6", fit=partial(fitted, shape=Ball)),
    _passive("one-draw-twice", "queries two rewards of one response", "H0", pair=partial(_one_draw, pair=base_pair)),
    _passive("on-policy", "draws from what it learned", "O1", pair=own_pair),
    _best("worst", "returns the response of smallest score", "E6", output=lambda theta: -theta),
    _best("of-one", "returns a sample, not the best", "O1",
        lambda oracle, rounds, count, seed: baseline(oracle, rounds=rounds, count=1, seed=seed)),
    _best("one-draw-twice", "queries two rewards of one response", "H0", pair=partial(_one_draw, pair=base_pair)),
    _dpo("one-draw-twice", "queries two rewards of one response", "H0", pair=partial(_one_draw, pair=own_pair)),
    _dpo("wrong-sign", "moves away from what is rewarded", "E6", label=-1.0),
    _dpo("not-relative", "fits the features of the first response", "E6", relative=lambda one, _: one.features),
    _dpo("swapped-label", "reads labels the wrong way round", "E6", target=_swapped_label),
    _dpo("rewards-for-labels", "queries rewards and makes labels of them", "E6 O1", target=_rewards_for_labels),
    _dpo("without-radius", "fits on a ball of a hundred times the radius", "E6 O1", fit=partial(fitted, scale=100.0)),
    _dpo("ball-for-box", "fits on the ball whatever the shape", "H2", fit=partial(fitted, shape=Ball)),
    _dpo("ball-projected", "moves the fit on the ball into the set", "E6", fit=_ball_projected),
    _dpo("best-of-draws", "compares the best and the worst of four draws", "O1", pair=_best_of_two_draws),
    _dpo("two-parameters", "draws the second response with another parameter", "O1", pair=_other_parameter),
    _dpo("after-the-prompt", "changes the parameter once it has seen the prompt", "O1", pair=_parameter_by_prompt),
    _dpo("kept-response", "queries again a response of an earlier round", "O1", pair=_repeated_draw),
    _dpo("base-responses", "never draws from its policy", "O1", pair=base_pair),
    _dpo("through-the-wall", "reads the table behind the oracle", "T1", fit=_through_the_wall),
    _xpo("one-draw-twice", "queries two rewards of one response", "H0", pair=partial(_one_draw, pair=mixed_pair)),
    _xpo("pessimistic", "subtracts the optimism", "E6", sign=-1.0),
    _xpo("ball-projected", "moves the fit on the ball into the set", "E6", fit=_ball_projected),
    _xpo("on-policy-second", "draws the second response from its policy too", "O1", pair=own_pair),
    _xpo("bonus-on-first", "gives the bonus to the sample of its policy", "E6", optimism=lambda one, _: one.features),
    _xpo("distinct-partition", "weighs each distinct sample of the partition once", "E6", partition=_single_samples),
    _xpo("null-in-partition", "adds a response without features to the partition", "E6", partition=_with_a_null),
    _xpo("pair-in-partition", "uses the policy's own sample for the partition", "E6", partition=_with_the_pair),
    _xpo("partition-twice", "draws every partition twice", "O1", partition=_drawn_twice),
    _xpo("without-optimism", "leaves the optimism out", "E6", sign=0.0),
    _elliptical("ball-for-box", "fits on the ball whatever the shape", "E6", shape=Ball),
    _elliptical("nearest", "queries the most certain pair", "T6", choose=_nearest),
    _elliptical("fixed-sigma", "never adds to Sigma", "T6", growth=0.0),
    _elliptical("subtracted", "halves what it adds to Sigma", "T6", growth=0.5),
    _elliptical("one-reward", "queries one reward and doubles it", "O1 E6", rewards=_doubled_reward),
    _elliptical("listed-once", "lists a prompt once and charges no second time", "O1", listed_once=True),
    _sampling("capped-multiplier", "caps M at 64, which no small run notices", "T2",
        sampler=partial(adjusted_sampler, multiplier_of=lambda multiplier: min(multiplier, 64.0))),
    _sampling("capped-pairs", "tries at most 64 pairs a prompt, which no small run notices", "T2", _capped_pairs),
    changed("learner-through-the-wall", "reads the rewards of the table behind the oracle", "T1",
        spanner_sampling=_peeking),
)
"""Of the baselines and of `spanner_sampling`."""
