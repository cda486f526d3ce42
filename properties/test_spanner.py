"""Phase 1 of SpannerSampling (S1-S8): which pairs are accepted, at which cost, and how much stays uncovered.

Subjects are judged by the record of their queries: which pairs were tried in which order, and whose rewards were drawn.
A subject that uses the compressed query is judged by its rule, one that draws pairs itself by the pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.errors import BudgetExceededError
from spanver.guarantees.residuals import growth
from spanver.guarantees.rounding import difference_error, gamma, log_determinant_error, norm_error, reach, sigma_error
from spanver.guarantees.spanner import spanner_cost, spanner_size_bound, uncovered_probability
from spanver.kernels import log_softmax
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Budget
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, relative_features, run_settings, tabular_problems
from spanver.subjects.results import SpannerResult
from spanver.validation import LARGEST
from spanver.values import FloatArray, ResponseId
from spanver.verification.check import Check, expect
from spanver.verification.design import designed
from spanver.verification.search import instances
from spanver.verification.transcript import GENEROUS_BUDGET, RecordingOracle, Round, data_of, rounds_of

from . import spanner_mistakes as mistakes
from .pairs import norms, pair_error, uncertain_pairs
from .rounded import assert_at_least, assert_at_most, assert_near, threshold_error

RIDGES = st.sampled_from([1.0, 0.1, 4.0])


@dataclass(frozen=True)
class Built:
    """A spanner, with the record and the cost of building it."""

    result: SpannerResult
    rounds: list[Round]
    samples: int
    rewards: int


def build(check: Check, problem: TabularProblem, settings: Settings, *, seed: str = "oracle") -> Built:
    oracle = RecordingOracle(literal_oracle(problem, seed=check.seed(seed), budget=GENEROUS_BUDGET))
    result = check.call(
        "build_spanner",
        oracle,
        prompts=settings.prompts,
        pairs_per_prompt=settings.pairs_per_prompt,
        nu=settings.nu,
        ridge=settings.ridge,
        seed=check.seed("spanner"),
    )
    return Built(result, rounds_of(oracle.queries), oracle.ledger.samples, oracle.ledger.rewards)


def sigmas(problem: TabularProblem, built: Built, ridge: float) -> list[FloatArray]:
    """`Sigma` before every round, and at the end, from the pairs whose rewards were drawn."""
    found = [ridge * np.eye(problem.dimension)]
    for each in built.rounds:
        vectors, _ = data_of(problem, [each])
        found.append(found[-1] + vectors.T @ vectors)
    return found


def judge_searches(
    check: Check,
    problem: TabularProblem,
    settings: Settings,
    each: Round,
    sigma: FloatArray,
    accepted: list[ResponseId],
) -> None:
    """A round of searches: their rules accept the uncertain pairs alone, and they try as many pairs as allowed."""
    uncertain, ties = uncertain_pairs(check, problem, each.prompt, sigma, settings)
    features, log_base = problem.features[int(each.prompt)], problem.log_base[int(each.prompt)]
    differences = (features[:, None, :] - features[None, :, :]).reshape(-1, problem.dimension)
    decided = ~ties & (np.exp(np.add.outer(log_base, log_base)) > 0)
    tried = 0
    for rule, limit, answer in each.searches:
        lengths = np.sqrt(np.maximum(((differences @ rule.precision) * differences).sum(axis=1), 0.0))
        searched = lengths.reshape(uncertain.shape) > rule.nu
        if (wrong := decided & (searched != uncertain)).any():
            one, two = np.argwhere(wrong)[0].tolist()
            of = f"norm of the pair {one}, {two} by the rule of a search, whose nu is {rule.nu:.6g}"
            right = f"{float(norms(features[one] - features[two], sigma)[0]):.6g}, where nu is {settings.nu:g}"
            expect(False, of, f"{lengths.reshape(wrong.shape)[one, two]:.6g}", right)
        tried += limit if answer.responses is None else answer.tries
        found = () if answer.responses is None else answer.responses.ids
        assert not found or set(accepted) == set(found), "the pair found is not the one whose rewards were drawn"
    complete = tried <= settings.pairs_per_prompt if accepted else tried == settings.pairs_per_prompt
    assert complete, f"{tried} pairs tried, {settings.pairs_per_prompt} allowed"


def judge_drawn_pairs(
    check: Check,
    problem: TabularProblem,
    settings: Settings,
    each: Round,
    sigma: FloatArray,
    accepted: list[ResponseId],
) -> None:
    """A round of plain draws, two a pair: the first uncertain pair is accepted, up to ties."""
    features = problem.features[int(each.prompt)]
    tried = [each.drawn[k : k + 2] for k in range(0, len(each.drawn) - 1, 2)]
    allowed = settings.pairs_per_prompt
    assert len(tried) <= allowed, f"{len(tried)} pairs were drawn at one prompt, pairs_per_prompt is {allowed}"
    lengths = np.array([float(norms(features[int(one)] - features[int(two)], sigma)[0]) for one, two in tried])
    sure = lengths - pair_error(check, problem, lengths, sigma, settings) > settings.nu
    first = next((k for k, is_sure in enumerate(sure) if is_sure), None)
    if not accepted:
        assert first is None, (
            f"the pair {tried[first or 0]} of norm {lengths[first or 0]:.6g} was passed over, nu is {settings.nu:g}"
        )
        assert len(tried) == settings.pairs_per_prompt, f"{len(tried)} pairs tried and none accepted"
    else:
        position = next((k for k, pair in enumerate(tried) if pair in (accepted, accepted[::-1])), None)
        assert position is not None, "the accepted pair was not tried"
        assert first is None or position <= first, f"pair {first} was uncertain, pair {position} was accepted"


@pytest.mark.guarantee("S1", needs=["build_spanner"])
@designed([*mistakes.LONG_CHAINS, *mistakes.NEAR_THE_THRESHOLD], mistakes.ON_ACCEPTANCE)
@instances(
    # Most responses can be drawn, in enough rounds: whether a pair is accepted shall depend on the pairs before it.
    problem=tabular_problems(min_responses=2, weights=(1.0, 0.5, 0.25, 0.0, 1e-300)),
    settings=run_settings(),
    prompts=st.integers(1, 12),
)
def test_the_first_uncertain_pair_of_a_round_is_accepted_and_no_other(
    check: Check, problem: TabularProblem, settings: Settings, prompts: int
) -> None:
    settings = replace(settings, prompts=prompts)
    built = build(check, problem, settings)
    assert len(built.rounds) == settings.prompts, f"{len(built.rounds)} rounds of {settings.prompts} were run"
    found = sigmas(problem, built, settings.ridge)
    for t, (each, sigma) in enumerate(zip(built.rounds, found, strict=False)):
        assert not each.elsewhere, f"a query about prompt {each.elsewhere[0].prompt} in a round on {each.prompt}"
        accepted = [response for response, _ in each.rewards]
        assert len(accepted) in (0, 2), f"{len(accepted)} rewards were drawn in one round"
        if accepted:
            one, two = problem.features[int(each.prompt)][[int(response) for response in accepted]]
            length = float(norms(one - two, sigma)[0])
            allowed = float(pair_error(check, problem, np.array([length]), sigma, settings)[0])
            stale = next((before for before in reversed(found[:t]) if (before != sigma).any()), None)
            words = (
                f"norm of the pair {accepted[0]}, {accepted[1]} that round {t} accepted, where nu is {settings.nu:g}"
            )
            if stale is not None:
                words += f" (without the pair accepted last it would be {float(norms(one - two, stale)[0]):.6g})"
            assert_at_least(check, words, length, settings.nu, allowed)
            assert length > 0.0, "a pair of the same features was accepted"
        judge = judge_searches if each.searches else judge_drawn_pairs
        judge(check, problem, settings, each, sigma, accepted)


@pytest.mark.guarantee("S2", needs=["build_spanner"])
@designed(mistakes.CHAINS, mistakes.ON_SIGMA)
@instances(problem=tabular_problems(), settings=run_settings())
def test_sigma_is_the_ridge_plus_the_accepted_pairs(check: Check, problem: TabularProblem, settings: Settings) -> None:
    built, unit = build(check, problem, settings), check.subject.unit
    result, expected = built.result, sigmas(problem, built, settings.ridge)[-1]
    vectors, targets = data_of(problem, built.rounds)
    assert result.sigma.shape == expected.shape, f"sigma of shape {result.sigma.shape}"
    # So it is symmetric and positive definite too, as nearly as the arithmetic has it.
    allowed = sigma_error(unit, settings.ridge, len(vectors), reach(problem.features))
    assert_near(check, "an entry of sigma", result.sigma, expected, allowed)
    assert len(result.vectors) == len(vectors), f"{len(result.vectors)} pairs, rewards were drawn for {len(vectors)}"
    off = difference_error(unit, *both_features(problem, built.rounds))
    signs = np.where((np.abs(result.vectors - vectors) <= off).all(axis=1), 1.0, -1.0)
    assert_near(check, "a relative feature", result.vectors, signs[:, None] * vectors, off)
    rewards = [[reward for _, reward in each.rewards] for each in built.rounds if len(each.rewards) == 2]
    allowed = difference_error(unit, *np.array(rewards).reshape(-1, 2).T)
    assert_near(check, "a difference of rewards", result.targets, signs * targets, allowed)
    paired = zip(result.prompts, result.first, result.second, result.vectors, off, strict=True)
    for prompt, first, second, vector, allowed in paired:
        features = problem.features[int(prompt)]
        words = f"the feature of the pair {first} and {second}"
        assert_near(check, words, vector, features[int(first)] - features[int(second)], allowed)


def both_features(problem: TabularProblem, rounds: list[Round]) -> tuple[FloatArray, FloatArray]:
    """Features of both responses of every accepted pair, shape (K, d) each."""
    accepted = [each for each in rounds if len(each.rewards) == 2]
    found = [[problem.features[int(each.prompt), int(y)] for y, _ in each.rewards] for each in accepted]
    both = np.array(found, dtype=np.float64).reshape(-1, 2, problem.dimension)
    return both[:, 0], both[:, 1]


@pytest.mark.guarantee("S3", needs=["build_spanner"])
@designed(mistakes.CHAINS, mistakes.ON_THE_DETERMINANT)
@instances(problem=tabular_problems(), settings=run_settings())
def test_the_log_determinant_is_the_sum_of_what_the_pairs_added(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    built = build(check, problem, settings)
    vectors, _ = data_of(problem, built.rounds)
    _, gains = growth(vectors, settings.ridge)
    sigma = sigmas(problem, built, settings.ridge)[-1]
    length = reach(problem.features)
    allowed = log_determinant_error(check.subject.unit, sigma, settings.ridge, len(vectors), length)
    measured = float(np.linalg.slogdet(built.result.sigma)[1]) - problem.dimension * math.log(settings.ridge)
    assert_near(check, "log det Sigma, and what the pairs add to it", measured, float(gains.sum()), allowed)


@pytest.mark.guarantee("S4", needs=["build_spanner"])
@designed(mistakes.ON_A_LINE, mistakes.ON_SIZE)
@instances(problem=tabular_problems(min_responses=2), settings=run_settings(), prompts=st.integers(1, 40))
def test_a_spanner_is_no_larger_than_dimension_ridge_and_threshold_allow(
    check: Check, problem: TabularProblem, settings: Settings, prompts: int
) -> None:
    built = build(check, problem, replace(settings, prompts=prompts))
    size, sigma = len(built.result.vectors), sigmas(problem, built, settings.ridge)[-1]
    assert built.rewards == 2 * size, f"{built.rewards} rewards for {size} pairs"
    # Rounding may have accepted norms a little below nu.
    least = settings.nu - threshold_error(check, problem, sigma, settings.nu, size)
    if least > 0.0:
        bound = spanner_size_bound(problem.dimension, settings.ridge, least)
        assert size <= bound, f"{size} pairs, at most {bound} are possible"
        check.tightness(size, bound)


@pytest.mark.guarantee("S6", needs=["build_spanner", "elliptic_norms"])
@designed(mistakes.COVERED, mistakes.ON_COVER)
@instances(problem=tabular_problems(min_responses=2), settings=run_settings(), scale=st.integers(-8, 8))
def test_covered_policies_stay_where_the_spanner_covers(
    check: Check, problem: TabularProblem, settings: Settings, scale: int
) -> None:
    built = build(check, problem, settings)
    pairs, base = settings.pairs_per_prompt, np.exp(problem.log_base)
    sigma = built.result.sigma
    uncertain = [uncertain_pairs(check, problem, x, sigma, settings)[0] for x in range(problem.prompts)]
    chances = np.array([min(1.0, float(law @ mask @ law)) for law, mask in zip(base, uncertain, strict=True)])
    with np.errstate(divide="ignore"):
        q = float(problem.prompt_law @ -np.expm1(pairs * np.log1p(-chances)))
    scores = problem.features @ realizing(problem) * scale
    law = np.exp(log_softmax(problem.log_base, scores, problem.beta))
    held = problem.prompt_law > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        coverage = float(np.nanmax(np.where(base > 0, law / base, np.nan)[held]))
    # The subject decides what is uncovered, but for ties; the probability of it under the base policy is known.
    own = []
    for each in problem.features[:, :, None, :] - problem.features[:, None, :, :]:
        differences = each.reshape(-1, problem.dimension)
        exact = norms(differences, sigma)
        free = np.abs(exact - settings.nu) <= norm_error(
            check.subject.unit, exact, sigma, np.linalg.norm(differences, axis=1)
        )
        own.append(np.where(free, exact, check.call("elliptic_norms", differences, sigma)) > settings.nu)
    shape = (problem.responses, problem.responses)
    measured = float(
        sum(problem.prompt_law[x] * (law[x] @ own[x].reshape(shape) @ base[x]) for x in range(problem.prompts))
    )
    bound = uncovered_probability(min(max(coverage, 1.0), LARGEST), pairs, min(q, 1.0))
    # Sums in float64; and products of two probabilities underflow where one is below the root of the smallest number.
    rounding = gamma(64, 0.0) * bound + math.sqrt(float(np.finfo(np.float64).tiny))
    assert_at_most(check, "probability of what is uncovered", measured, bound, rounding)
    check.tightness(measured, bound)


@pytest.mark.guarantee("S7", needs=["build_spanner"])
@designed(mistakes.CHAINS, mistakes.ON_COST)
@instances(problem=tabular_problems(), settings=run_settings())
def test_phase_one_costs_two_samples_a_try_and_two_rewards_a_pair(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    built = build(check, problem, settings)
    tries = sum(sum(answer.tries for *_, answer in each.searches) + len(each.drawn) // 2 for each in built.rounds)
    samples, rewards = spanner_cost(tries, len(built.result.vectors))
    assert built.samples == samples, f"{built.samples} samples, 2 for each of {tries} pairs tried are {samples}"
    assert built.rewards == rewards, f"{built.rewards} rewards for {len(built.result.vectors)} pairs"
    most = 2 * settings.prompts * settings.pairs_per_prompt
    assert samples <= most, f"{samples} samples, at most {most} can be tried"


@pytest.mark.guarantee("O3", needs=["build_spanner"])
@designed(mistakes.OUT_OF_BUDGET, mistakes.ON_BUDGETS)
@instances(problem=tabular_problems(min_responses=2), settings=run_settings(), samples=st.integers(0, 40))
def test_phase_one_passes_on_that_the_budget_is_exceeded(
    check: Check, problem: TabularProblem, settings: Settings, samples: int
) -> None:
    oracle = RecordingOracle(literal_oracle(problem, seed=check.seed("oracle"), budget=Budget(samples=samples)))
    arguments = {"prompts": settings.prompts, "pairs_per_prompt": settings.pairs_per_prompt}
    arguments |= {"seed": check.seed("spanner")}
    completed = True
    try:
        check.call("build_spanner", oracle, nu=settings.nu, ridge=settings.ridge, **arguments)
    except BudgetExceededError:
        completed = False
    assert oracle.ledger.samples <= samples
    most = 2 * settings.prompts * settings.pairs_per_prompt  # S7
    asked = f": it asked for {oracle.refused.asked} at once" if oracle.refused else ""
    assert completed or samples < most, (
        f"on a budget of {samples} samples it stopped, though a run needs at most {most}{asked}"
    )
    # Every round of a complete run, also one that accepted nothing, tried at least a pair.
    answered = sum(each.samples >= 2 for each in rounds_of(oracle.queries))
    assert not completed or answered == settings.prompts, f"a complete run has samples of {answered} rounds"


@pytest.mark.guarantee("S8", needs=["elliptic_norms"])
@designed(mistakes.LONG_VECTORS, mistakes.ON_NORMS)
@instances(vectors=relative_features(max_prompts=1, max_pairs=5), ridge=RIDGES, angle=st.integers(0, 7))
def test_norms_are_their_definition_and_do_not_change_when_all_is_rotated(
    check: Check, vectors: FloatArray, ridge: float, angle: int
) -> None:
    dimension = vectors.shape[2]
    sigma, unit = ridge * np.eye(dimension), check.subject.unit
    first = vectors[0]
    lengths = np.linalg.norm(first, axis=1)
    rotation = np.linalg.qr(np.cos(angle + np.arange(dimension**2)).reshape(dimension, dimension) + np.eye(dimension))[
        0
    ]
    before, before_error = np.full(len(first), np.inf), np.zeros(len(first))
    for vector in first:
        measured = check.call("elliptic_norms", first, sigma)
        assert measured.shape == (len(first),), f"norms of shape {measured.shape} of {len(first)} vectors"
        expected = norms(first, sigma)
        error = norm_error(unit, expected, sigma, lengths)
        shown = "a norm, which is sqrt(v^T Sigma^-1 v) by definition"
        assert_near(check, shown, measured, expected, error)
        turned = check.call("elliptic_norms", first @ rotation, rotation.T @ sigma @ rotation)
        assert_near(check, "a norm after a rotation", turned, measured, 2.0 * error)
        grown = measured - before
        worst = int(np.argmax(grown - error - before_error))
        words = f"norm {worst}, and with a smaller sigma"
        assert_at_most(check, words, measured[worst], before[worst], float((error + before_error)[worst]))
        before, before_error, sigma = measured, error, sigma + np.outer(vector, vector)


@pytest.mark.guarantee("S8", needs=["build_spanner"])
@designed(mistakes.CHAINS, mistakes.ON_SCALE)
@instances(problem=tabular_problems(min_responses=2), settings=run_settings())
def test_features_and_ridge_on_another_scale_accept_the_same_pairs(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    # Halves and quarters scale floating-point numbers exactly, so that not even a tie may be decided differently.
    halved = TabularProblem(
        prompt_law=problem.prompt_law, log_base=problem.log_base, features=problem.features / 2, reward=problem.reward,
        beta=problem.beta, radius=2.0, reward_range=2.0, reward_low=problem.reward_low, noise=problem.noise,
    )  # fmt: skip
    built = build(check, problem, settings)
    scaled = build(check, halved, replace(settings, ridge=settings.ridge / 4))
    pairs = [(each.prompts, each.first, each.second) for each in (built.result, scaled.result)]
    assert pairs[0] == pairs[1], f"pairs {pairs[0]}, on half the scale {pairs[1]}"
