"""Mutants of SpannerSampling's second phase: what E1, E6, O3, R1, R3 and S2 must kill.

`phase_two` is A2's exploration written anew, after the reference's first phase; each part in which a mutant differs is
an argument. Unmutated it is as right as the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from spanver.errors import BudgetExceededError
from spanver.kernels import fit as least_squares
from spanver.learners.softmax_sampler import pilot_size, softmax_sample
from spanver.learners.spanner import Spanner, build_spanner
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Oracle
from spanver.policies import Sampler, TruncatedMixture, TruncatedSoftmax
from spanver.values import FloatArray, LinearScore, Prompt, Response, Score, TruncatedScore
from spanver.zoo.mutant import Mutant

__all__ = ["MUTANTS", "Progress", "phase_two", "spanner_first"]


@dataclass
class Progress:
    """What phase 2 knows before a round.

    Attributes
    ----------
    spanner : Spanner
    vectors, targets : list
        Of the rounds so far.
    seconds : list of Response
        Second responses of the rounds so far.
    """

    spanner: Spanner
    vectors: list[FloatArray]
    targets: list[float]
    seconds: list[Response]

    @property
    def explored(self) -> tuple[FloatArray, FloatArray]:
        """Data of the rounds so far."""
        vectors = np.array(self.vectors, dtype=np.float64).reshape(-1, self.spanner.dimension)
        return vectors, np.array(self.targets, dtype=np.float64)


Data = tuple[FloatArray, FloatArray]


def joined(*parts: Data) -> Data:
    """All data, one part after the other."""
    return np.concatenate([vectors for vectors, _ in parts]), np.concatenate([targets for _, targets in parts])


def spanner_data(progress: Progress) -> Data:
    """Pairs of the spanner."""
    return progress.spanner.vectors, progress.spanner.targets


def all_data(progress: Progress) -> Data:
    """Pairs of the spanner and of the rounds so far."""
    return joined(spanner_data(progress), progress.explored)


def spanner_first(oracle: Oracle, settings: Settings, seed: int) -> Spanner:
    """Phase 1."""
    return build_spanner(
        oracle,
        prompts=settings.prompts,
        pairs_per_prompt=settings.pairs_per_prompt,
        nu=settings.nu,
        ridge=settings.ridge,
        seed=seed,
    )


def base_response(oracle: Oracle, prompt: Prompt, _: Progress) -> Response:
    """Second response."""
    return oracle.sample(prompt, 1)[0]


def truncated(theta: FloatArray, two: Response, progress: Progress) -> Score:
    """Score of A2."""
    return TruncatedScore(theta, two.features, progress.spanner.precision, progress.spanner.nu)


def reward_difference(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    """Both rewards, asked once each."""
    return oracle.reward(prompt, one) - oracle.reward(prompt, two)


def policy_of(thetas: list[FloatArray], progress: Progress) -> list[TruncatedSoftmax]:
    """Policies of all rounds."""
    return [TruncatedSoftmax(theta, progress.spanner.precision, progress.spanner.nu) for theta in thetas]


def phase_two(
    oracle: Oracle,
    *,
    seed: int,
    settings: Settings,
    begin: Callable[[Oracle, Settings, int], Spanner] = spanner_first,
    data: Callable[[Progress], Data] = all_data,
    radius: Callable[[float], float] = lambda radius: radius,
    second: Callable[[Oracle, Prompt, Progress], Response] = base_response,
    score: Callable[[FloatArray, Response, Progress], Score] = truncated,
    sampler: Sampler = softmax_sample,
    relative: Callable[[Response, Response], FloatArray] = lambda one, two: one.features - two.features,
    target: Callable[[Oracle, Prompt, Response, Response], float] = reward_difference,
    final_fit: bool = False,
    output: Callable[[list[FloatArray], Progress], list[TruncatedSoftmax]] = policy_of,
    swallowed: tuple[type[Exception], ...] = (),
) -> Any:
    """A2."""
    progress = Progress(begin(oracle, settings, seed), [], [], [])
    thetas: list[FloatArray] = []
    try:
        for _ in range(settings.exploration_rounds):
            thetas.append(least_squares(*data(progress), radius(oracle.radius)))
            prompt = oracle.prompt()
            two = second(oracle, prompt, progress)
            multiplier, failure = settings.rejection_multiplier, settings.rejection_failure
            scored = score(thetas[-1], two, progress)
            one = sampler(oracle, prompt, scored, multiplier=multiplier, failure=failure, seed=seed + len(thetas))
            value = target(oracle, prompt, one, two)
            progress.vectors.append(relative(one, two))
            progress.targets.append(value)
            progress.seconds.append(two)
    except swallowed:
        pass
    if final_fit:
        thetas = [*thetas[1:], least_squares(*data(progress), radius(oracle.radius))]
    policies = output(thetas, progress)
    return Policies(
        TruncatedMixture(np.array([each.theta for each in policies]), policies[0].precision, policies[0].nu)
    )


@dataclass(frozen=True)
class Policies:
    """Result of a run."""

    policy: TruncatedMixture


def _without_last(progress: Progress) -> Data:
    vectors, targets = progress.explored
    return joined(spanner_data(progress), (vectors[:-1], targets[:-1]))


def _last_round(progress: Progress) -> Data:
    vectors, targets = progress.explored
    return joined(spanner_data(progress), (vectors[-1:], targets[-1:]))


def _growing(progress: Progress) -> FloatArray:
    vectors, _ = all_data(progress)
    sigma = progress.spanner.ridge * np.eye(vectors.shape[1]) + vectors.T @ vectors
    inverse = np.linalg.inv(sigma)
    return (inverse + inverse.T) / 2


def _growing_policy(thetas: list[FloatArray], progress: Progress) -> list[TruncatedSoftmax]:
    return [TruncatedSoftmax(theta, _growing(progress), progress.spanner.nu) for theta in thetas]


def _sampled_second(oracle: Oracle, prompt: Prompt, progress: Progress) -> Response:
    theta = least_squares(*all_data(progress), oracle.radius)
    return softmax_sample(oracle, prompt, LinearScore(theta), multiplier=1.0, failure=0.9)


def _previous_second(oracle: Oracle, prompt: Prompt, progress: Progress) -> Response:
    drawn = oracle.sample(prompt, 1)[0]
    return progress.seconds[-1] if progress.seconds else drawn


def _reward_of_another(oracle: Oracle, prompt: Prompt, _: Response, two: Response) -> float:
    return oracle.reward(prompt, oracle.sample(prompt, 1)[0]) - oracle.reward(prompt, two)


def _single_reward(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    oracle.reward(prompt, two)
    return oracle.reward(prompt, one)


def _clipped(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    return float(np.clip(reward_difference(oracle, prompt, one, two), -0.25, 0.25))


def _averaged(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    first, second = (sum(oracle.reward(prompt, each) for _ in range(2)) / 2 for each in (one, two))
    return first - second


def _best(oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int) -> Response:
    del seed
    drawn = oracle.sample(prompt, pilot_size(multiplier, failure))
    return drawn[int(np.argmax(score.of(drawn.features)))]


def _base(oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int) -> Response:
    del score, multiplier, failure, seed
    return oracle.sample(prompt, 1)[0]


def _cautious(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    budget, asked = oracle.budget.samples, oracle.ledger.samples
    if budget is not None and 4 * asked > budget:
        raise BudgetExceededError("samples", pilot_size(multiplier, failure), budget - asked)
    return softmax_sample(oracle, prompt, score, multiplier=multiplier, failure=failure, seed=seed)


def _other_temperature(
    oracle: Oracle, prompt: Prompt, score: Score, *, power: int, multiplier: float, failure: float, seed: int
) -> Response:
    scaled = replace(score, theta=score.theta * oracle.beta**power)
    return softmax_sample(oracle, prompt, scaled, multiplier=multiplier, failure=failure, seed=seed)


def _with_settings(
    oracle: Oracle,
    prompt: Prompt,
    score: Score,
    *,
    multiplier: float,
    failure: float,
    seed: int,
    larger: float = 1.0,
    smaller: float = 1.0,
) -> Response:
    return softmax_sample(oracle, prompt, score, multiplier=multiplier * larger, failure=failure / smaller, seed=seed)


def _round_less(oracle: Oracle, settings: Settings, seed: int) -> Spanner:
    return spanner_first(oracle, replace(settings, prompts=max(1, settings.prompts - 1)), seed)


def _other_nu(oracle: Oracle, settings: Settings, seed: int) -> Spanner:
    return replace(spanner_first(oracle, settings, seed), nu=2.0 * settings.nu)


def _other_ridge(oracle: Oracle, settings: Settings, seed: int) -> Spanner:
    return replace(spanner_first(oracle, settings, seed), ridge=1.0)


def _no_spanner(oracle: Oracle, settings: Settings, seed: int) -> Spanner:
    del seed
    return Spanner.empty(oracle.dimension, settings.ridge, settings.nu)


def _exploration(name: str, bug: str, *breaks: str, **parts: Any) -> Mutant:
    return Mutant(f"exploration-{name}", bug, breaks, {"spanner_sampling": partial(phase_two, **parts)})


MUTANTS: tuple[Mutant, ...] = (
    _exploration(
        "without-spanner-data",
        "leaves the spanner's data out of the fit",
        "E6",
        data=lambda progress: progress.explored,
    ),
    _exploration(
        "spanner-data-twice",
        "counts the spanner's data twice",
        "E6",
        data=lambda progress: joined(spanner_data(progress), all_data(progress)),
    ),
    _exploration("spanner-data-only", "never fits what it explored", "E6", data=spanner_data),
    _exploration("last-round-only", "fits the spanner's data and the last round alone", "E6", data=_last_round),
    _exploration("one-round-late", "leaves the last round out of the fit", "E6", data=_without_last),
    _exploration("refitted", "returns the parameters fitted after the rounds", "E6", final_fit=True),
    _exploration("doubled-radius", "fits in a ball of the diameter", "E6", radius=lambda radius: 2.0 * radius),
    _exploration(
        "swapped-in-features",
        "takes first and second the wrong way round in features, not in rewards",
        "E6",
        relative=lambda one, two: two.features - one.features,
    ),
    _exploration("not-relative", "fits the features of the first response", "E6", relative=lambda one, _: one.features),
    _exploration("first-reward-only", "fits the reward of the first response", "E6", target=_single_reward),
    _exploration("clipped-rewards", "clips differences of rewards", "E6", target=_clipped),
    _exploration("averaged-rewards", "asks every reward twice and averages", "E6", target=_averaged),
    _exploration("reward-of-another", "asks the reward of another draw", "E6", "R3", target=_reward_of_another),
    _exploration(
        "last-parameter",
        "returns the last parameter in place of all",
        "E6",
        output=lambda thetas, progress: policy_of(thetas[-1:] * len(thetas), progress),
    ),
    _exploration(
        "only-last-policy",
        "returns the last policy, not the mixture",
        "E6",
        output=lambda thetas, progress: policy_of(thetas[-1:], progress),
    ),
    _exploration(
        "one-policy-more",
        "has one component too many",
        "E6",
        output=lambda thetas, progress: policy_of([*thetas, thetas[-1]], progress),
    ),
    _exploration("growing-sigma", "goes on updating Sigma and returns the last", "S2", output=_growing_policy),
    _exploration("doubled-nu", "truncates at twice the threshold", "S2", begin=_other_nu),
    _exploration("other-ridge", "inverts Sigma with a ridge of 1", "S2", begin=_other_ridge),
    _exploration("no-spanner", "skips the first phase", "S2", "E6", begin=_no_spanner),
    _exploration("round-less", "builds the spanner with a round less", "S2", "E6", begin=_round_less),
    _exploration("sampled-second", "draws the second response from the policy too", "R3", second=_sampled_second),
    _exploration(
        "previous-second", "keeps the second response of the round before", "R1", "R3", second=_previous_second
    ),
    _exploration("best-response", "takes the best of the pilot, not a sample", "R3", sampler=_best),
    _exploration("base-response", "draws both responses from the base policy", "R3", sampler=_base),
    _exploration(
        "without-beta", "leaves beta out of the weights", "R2", "R3", sampler=partial(_other_temperature, power=1)
    ),
    _exploration(
        "beta-for-inverse", "multiplies scores by beta", "R2", "R3", sampler=partial(_other_temperature, power=2)
    ),
    _exploration(
        "wrong-sign",
        "prefers what the fit says is worse",
        "R2",
        "R3",
        score=lambda theta, *rest: truncated(-theta, *rest),
    ),
    _exploration(
        "multiplier-for-coverage", "takes M for the coverage", "R1", sampler=partial(_with_settings, larger=4.0)
    ),
    _exploration(
        "failure-shared-out",
        "shares delta_rej out over many rounds",
        "R1",
        sampler=partial(_with_settings, smaller=100.0),
    ),
    _exploration(
        "swallowed-budget", "returns the rounds so far when the budget ends", "O3", swallowed=(BudgetExceededError,)
    ),
    _exploration("cautious", "says that the budget ended when a quarter of it is spent", "O3", sampler=_cautious),
)
"""Of `spanner_sampling`."""
