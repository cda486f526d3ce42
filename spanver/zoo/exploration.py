"""Mutants of SpannerSampling's second phase: what E6, O3, R1, R3, S2 and C-A2 must kill.

`phase_two` is A2's exploration written anew, after the reference's first phase: each step in which a mutant differs is
an argument. Unmutated it is as right as the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from spanver.errors import BudgetExceededError
from spanver.learners.exploration import Fit
from spanver.learners.least_squares import fit_on
from spanver.learners.softmax_sampler import sampler_trials, softmax_sample
from spanver.learners.spanner import Spanner, build_spanner
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Anchor, Feedback, Oracle
from spanver.parameter_sets import Ball, ParameterSet
from spanver.policies import Sampler, TruncatedMixture
from spanver.values import FloatArray, LinearScore, Prompt, Response, Score, TruncatedScore
from spanver.zoo.algebra import (
    Data,
    Late,
    base_response,
    difference,
    quadratic,
    reward_difference,
    stacked,
    symmetric_inverse,
)
from spanver.zoo.mutant import Mutant, mutants_of
from spanver.zoo.sampler import EarlierMean, adjusted_sampler, drawn_sampler, times_beta
from spanver.zoo.sampler import sampler as sampler_in_steps


@dataclass
class Progress:
    """What phase 2 knows before a round.

    Attributes
    ----------
    spanner : Spanner
    vectors, targets : list
        Of the rounds so far.
    anchors : list of Response
        Second responses of the rounds so far.
    """

    spanner: Spanner
    vectors: list[FloatArray]
    targets: list[float]
    anchors: list[Response]

    @property
    def explored(self) -> Data:
        """Data of the rounds so far."""
        return stacked(self.vectors, self.targets, self.spanner.dimension)


def joined(*parts: Data) -> Data:
    """All data, one part after the other."""
    return np.concatenate([vectors for vectors, _ in parts]), np.concatenate([targets for _, targets in parts])


def spanner_data(progress: Progress) -> Data:
    """Pairs of the spanner."""
    return progress.spanner.vectors, progress.spanner.targets


def all_data(progress: Progress, *, rounds: slice = slice(None)) -> Data:
    """Pairs of the spanner and of the rounds so far, or of some of these."""
    vectors, targets = progress.explored
    return joined(spanner_data(progress), (vectors[rounds], targets[rounds]))


def spanner_first(
    oracle: Oracle, settings: Settings, seed: int, *, feedback: Feedback = "reward", anchor: Anchor = "drawn"
) -> Spanner:
    """Phase 1."""
    return build_spanner(
        oracle,
        prompts=settings.prompts,
        pairs_per_prompt=settings.pairs_per_prompt,
        nu=settings.nu,
        ridge=settings.ridge,
        seed=seed,
        feedback=feedback,
        anchor=anchor,
    )


def truncated(theta: FloatArray, two: Response, progress: Progress) -> TruncatedScore:
    """Score of A2."""
    return TruncatedScore(theta, two.features, progress.spanner.precision, progress.spanner.nu)


def policy_of(thetas: list[FloatArray], progress: Progress) -> TruncatedMixture:
    """Mixture of the policies of all rounds."""
    return TruncatedMixture(np.array(thetas), progress.spanner.precision, progress.spanner.nu)


def set_of_oracle(oracle: Oracle) -> ParameterSet:
    """The set of parameters."""
    return oracle.shape(oracle.radius)


def phase_two(
    oracle: Oracle,
    *,
    seed: int,
    settings: Settings,
    begin: Callable[[Oracle, Settings, int], Spanner] = spanner_first,
    data: Callable[[Progress], Data] = all_data,
    within: Callable[[Oracle], ParameterSet] = set_of_oracle,
    second: Callable[[Oracle, Prompt, Progress], Response] = base_response,
    score: Callable[[FloatArray, Response, Progress], Score] = truncated,
    sampler: Sampler = softmax_sample,
    relative: Callable[[Response, Response], FloatArray] = difference,
    target: Callable[[Oracle, Prompt, Response, Response], float] = reward_difference,
    fit: Fit = fit_on,
    final_fit: bool = False,
    output: Callable[[list[FloatArray], Progress], TruncatedMixture] = policy_of,
    swallowed: tuple[type[Exception], ...] = (),
) -> Any:
    """A2."""
    progress = Progress(begin(oracle, settings, seed), [], [], [])
    thetas: list[FloatArray] = []
    try:
        for _ in range(settings.exploration_rounds):
            thetas.append(fit(*data(progress), within(oracle)))
            prompt = oracle.prompt()
            two = second(oracle, prompt, progress)
            multiplier, failure = settings.rejection_multiplier, settings.rejection_failure
            scored = score(thetas[-1], two, progress)
            one = sampler(oracle, prompt, scored, multiplier=multiplier, failure=failure, seed=seed + len(thetas))
            value = target(oracle, prompt, one, two)
            progress.vectors.append(relative(one, two))
            progress.targets.append(value)
            progress.anchors.append(two)
    except swallowed:
        pass
    if final_fit:
        thetas = [*thetas[1:], fit(*data(progress), within(oracle))]
    return output(thetas, progress)


def _growing(progress: Progress) -> FloatArray:
    vectors, _ = all_data(progress)
    return symmetric_inverse(progress.spanner.ridge * np.eye(vectors.shape[1]) + vectors.T @ vectors)


def growing_policy(thetas: list[FloatArray], progress: Progress) -> TruncatedMixture:
    """Mixture of the policies of all rounds, truncated by Sigma after them."""
    return replace(policy_of(thetas, progress), precision=_growing(progress))


def _sampled_second(oracle: Oracle, prompt: Prompt, progress: Progress) -> Response:
    theta = fit_on(*all_data(progress), set_of_oracle(oracle))
    return softmax_sample(oracle, prompt, LinearScore(theta), multiplier=1.0, failure=0.9)


def _previous_second(oracle: Oracle, prompt: Prompt, progress: Progress) -> Response:
    drawn = base_response(oracle, prompt)
    return progress.anchors[-1] if progress.anchors else drawn


def _reward_of_another(oracle: Oracle, prompt: Prompt, _: Response, two: Response) -> float:
    return reward_difference(oracle, prompt, base_response(oracle, prompt), two)


def single_reward(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    """Reward of the first response; that of the second is queried for nothing."""
    oracle.reward(prompt, two)
    return oracle.reward(prompt, one)


def _clipped(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    return float(np.clip(reward_difference(oracle, prompt, one, two), -0.25, 0.25))


def _best(oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int) -> Response:
    del seed
    drawn = oracle.sample(prompt, sampler_trials(multiplier, failure))
    return drawn[int(np.argmax(score.of(drawn.features)))]


def _cautious(
    oracle: Oracle, prompt: Prompt, score: Score, *, multiplier: float, failure: float, seed: int
) -> Response:
    budget, drawn = oracle.budget.samples, oracle.ledger.samples
    if budget is not None and 4 * drawn > budget:
        raise BudgetExceededError("samples", sampler_trials(multiplier, failure), budget - drawn)
    return softmax_sample(oracle, prompt, score, multiplier=multiplier, failure=failure, seed=seed)


def _late(*names: str) -> Callable[..., Any]:
    return lambda oracle, **arguments: phase_two(Late(oracle, names), **arguments)


def _at_earlier_mean(*, first: bool) -> Callable[..., Any]:
    def explored(oracle: Oracle, **arguments: Any) -> Any:
        return phase_two(oracle, sampler=partial(sampler_in_steps, mean=EarlierMean(first=first)), **arguments)

    return explored


def _round_less(oracle: Oracle, settings: Settings, seed: int) -> Spanner:
    return spanner_first(oracle, replace(settings, prompts=max(1, settings.prompts - 1)), seed)


@dataclass(frozen=True, eq=False)
class _Forbidden:
    """The score of A2, and one that is never accepted where A2's is 0 for want of cover."""

    truncated: TruncatedScore

    def of(self, features: FloatArray) -> FloatArray:
        """Scores of features of shape `(n, d)`: shape `(n,)`."""
        relative = features - self.truncated.anchor
        uncovered = np.sqrt(quadratic(relative, self.truncated.precision)) > self.truncated.nu
        return np.where(uncovered, -1e6, self.truncated.of(features))


def _at_another_threshold(factor: float, *given: Any) -> TruncatedScore:
    score = truncated(*given)
    return replace(score, nu=factor * score.nu)


def _forbidden(*given: Any) -> Any:
    return _Forbidden(truncated(*given))


_exploration = mutants_of("spanner_sampling", "exploration", phase_two)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _exploration("without-spanner-data", "leaves the spanner's data out of the fit", "E6",
        data=lambda progress: progress.explored),
    _exploration("spanner-data-twice", "counts the spanner's data twice", "E6",
        data=lambda progress: joined(spanner_data(progress), all_data(progress))),
    _exploration("spanner-data-only", "never fits what it explored", "E6", data=spanner_data),
    _exploration("last-round-only", "fits the spanner's data and the last round alone", "E6",
        data=partial(all_data, rounds=slice(-1, None))),
    _exploration("one-round-late", "leaves the last round out of the fit", "E6",
        data=partial(all_data, rounds=slice(-1))),
    _exploration("refitted", "returns the parameters fitted after the rounds", "E6", final_fit=True),
    _exploration("doubled-radius", "fits in a ball of the diameter", "E6",
        within=lambda oracle: oracle.shape(2.0 * oracle.radius)),
    _exploration("ball-for-box", "fits on the ball whatever the shape", "E6",
        within=lambda oracle: Ball(oracle.radius)),
    _exploration("radius-times-rounds", "fits in a ball of the radius times the number of rounds", "E6",
        lambda oracle, settings, seed: phase_two(oracle, settings=settings, seed=seed,
            within=lambda oracle: oracle.shape(settings.exploration_rounds * oracle.radius))),
    _exploration("swapped-in-features", "takes first and second the wrong way round in features, not in rewards", "E6",
        relative=lambda one, two: difference(two, one)),
    _exploration("not-relative", "fits the features of the first response", "E6", relative=lambda one, _: one.features),
    _exploration("first-reward-only", "fits the reward of the first response", "E6", target=single_reward),
    _exploration("clipped-rewards", "clips differences of rewards", "E6", target=_clipped),
    _exploration("averaged-rewards", "queries every reward twice and averages", "E6",
        target=partial(reward_difference, times=(2, 2))),
    _exploration("reward-of-another", "queries the reward of another draw", "E6 R3", target=_reward_of_another),
    _exploration("late-rewards", "queries rewards at the prompt of the round before", "E6", _late("reward")),
    _exploration("late-prompt", "goes on with the prompt of the round before", "E6",
        _late("sample", "sample_counts", "sample_until", "reward")),
    _exploration("last-parameter", "returns the last parameter in place of all", "E6",
        output=lambda thetas, progress: policy_of(thetas[-1:] * len(thetas), progress)),
    _exploration("only-last-policy", "returns the last policy, not the mixture", "E6",
        output=lambda thetas, progress: policy_of(thetas[-1:], progress)),
    _exploration("one-policy-more", "returns one component too many", "E6",
        output=lambda thetas, progress: policy_of([*thetas, thetas[-1]], progress)),
    _exploration("growing-sigma", "goes on updating Sigma and returns the last", "S2", output=growing_policy),
    _exploration("doubled-nu", "truncates at twice the threshold", "S2",
        begin=lambda oracle, settings, seed: replace(spanner_first(oracle, settings, seed), nu=2.0 * settings.nu)),
    _exploration("other-ridge", "inverts Sigma with a ridge of 1", "S2",
        begin=lambda *given: replace(spanner_first(*given), ridge=1.0)),
    _exploration("no-spanner", "skips the first phase", "S2 E6",
        begin=lambda oracle, settings, _: Spanner.empty(oracle.dimension, settings.ridge, settings.nu)),
    _exploration("round-less", "builds the spanner with a round less", "S2 E6", begin=_round_less),
    _exploration("sampled-second", "draws the second response from the policy too", "R3", second=_sampled_second),
    _exploration("previous-second", "takes the second response of the round before", "R1 R3", second=_previous_second),
    _exploration("best-response", "takes the best of the pilot, not a sample", "R3", sampler=_best),
    _exploration("base-response", "draws both responses from the base policy", "R3", sampler=base_response),
    _exploration("without-beta", "leaves beta out of the weights", "C-A2",
        sampler=partial(adjusted_sampler, rule_score=times_beta(1))),
    _exploration("beta-for-inverse", "multiplies scores by beta", "R3 C-A2",
        sampler=partial(adjusted_sampler, rule_score=times_beta(2))),
    _exploration("first-mean", "goes on with the mean weight of the pilot of the first round", "R3 C-A2",
        _at_earlier_mean(first=True)),
    _exploration("stale-mean", "takes the mean weight of the pilot of the round before", "R3 C-A2",
        _at_earlier_mean(first=False)),
    _exploration("wrong-sign", "prefers what the fit says is worse", "R3 C-A2",
        score=lambda theta, *rest: truncated(-theta, *rest)),
    _exploration("untruncated", "truncates nothing", "R3 C-A2", score=lambda theta, *_: LinearScore(theta)),
    _exploration("untruncated-drawn", "truncates nothing, and accepts by its own randomness", "R3",
        score=lambda theta, *_: LinearScore(theta), sampler=drawn_sampler),
    _exploration("wider", "truncates at 1.05 nu, and accepts by its own randomness", "R3",
        score=partial(_at_another_threshold, 1.05), sampler=drawn_sampler),
    _exploration("narrower", "truncates at 0.95 nu, and accepts by its own randomness", "R3",
        score=partial(_at_another_threshold, 0.95), sampler=drawn_sampler),
    _exploration("uncovered-forbidden", "gives weight 0, not score 0, to what is uncovered", "R3",
        score=_forbidden, sampler=drawn_sampler),
    _exploration("multiplier-for-coverage", "takes M for the coverage", "R1",
        sampler=partial(adjusted_sampler, multiplier_of=lambda multiplier: 4.0 * multiplier)),
    _exploration("failure-shared-out", "splits delta_rej among many rounds", "R1",
        sampler=partial(adjusted_sampler, failure_of=lambda failure: failure / 100.0)),
    _exploration("swallowed-budget", "returns the rounds so far when the budget ends", "O3",
        swallowed=(BudgetExceededError,)),
    _exploration("last-draw", "explores with the sampler's last draw when the budget ends a call of it", "O3",
        sampler=partial(drawn_sampler, block=1, swallowed=(BudgetExceededError,))),
    _exploration("cautious", "says that the budget ended when a quarter of it is spent", "O3", sampler=_cautious),
)
"""Of `spanner_sampling`."""
