"""Token problems (I5-I7), and multi-turn SpannerSampling on them (A4): spanners, fits and cost of each layer.

Identities are compared with sums over all sequences. The runs are on problems with a feature for every token of every
prefix, so that only the normalisers are estimated, and these from very many counted samples: the targets of the fits
are then the differences of soft values (I7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import logsumexp

from spanver.guarantees.headline import multi_turn_cost
from spanver.guarantees.identities import log_sequence_coverage
from spanver.guarantees.residuals import fit_residual, growth
from spanver.guarantees.sampler import sampler_samples
from spanver.guarantees.spanner import spanner_size_bound
from spanver.learners.multi_turn import MultiTurnSettings
from spanver.oracles.prefix import prefix_oracle
from spanver.problems.tokens import TokenProblem, soft_q
from spanver.strategies import token_problems
from spanver.subjects.results import MultiTurnResult
from spanver.validation import ROUNDING
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances
from spanver.verification.transcript import RecordingPrefixOracle, recount

from .designs import TOKENS, TWO_TOKENS, named

PROBLEMS = token_problems()
SMALL = token_problems(max_horizon=2, max_vocabulary_size=2, betas=(1.0, 0.25), weights=(1.0, 0.5, 0.0))

VALUES = named("values", "hard mean inverse-beta no-beta uniform-base unnormalised-base shifted-rows")


def values_of(check: Check, problem: TokenProblem) -> Sequence[FloatArray]:
    values: Sequence[FloatArray] = check.call("soft_q", list(problem.log_base), problem.reward, problem.beta)
    shapes = [value.shape for value in values]
    assert shapes == [base.shape for base in problem.log_base], f"values of shapes {shapes}"
    return values


def policy_of(check: Check, problem: TokenProblem) -> list[FloatArray]:
    """Laws of all tokens under `pi*`, from the subject's values and its softmax."""
    return [
        np.array([check.call("log_softmax", *row, problem.beta) for row in zip(base, q, strict=True)])
        for base, q in zip(problem.log_base, values_of(check, problem), strict=True)
    ]


def of_sequences(laws: Sequence[FloatArray]) -> FloatArray:
    """Sum of the log laws of all tokens, of every complete sequence, shape (X, A^H), by its definition."""
    horizon, vocabulary_size = len(laws), laws[0].shape[1]
    total = np.zeros(len(laws[0]) * vocabulary_size**horizon)
    for sequence in range(total.size):
        row = sequence
        for law in reversed(laws):
            row, token = divmod(row, vocabulary_size)
            total[sequence] += law[row, token]
    return total.reshape(len(laws[0]), -1)


def tolerance(problem: TokenProblem) -> float:
    return ROUNDING * (1.0 + problem.beta + float(np.abs(problem.reward).max()))


@pytest.mark.guarantee("I6", needs=["soft_q", "log_softmax"])
@designed([{"problem": TOKENS}], VALUES)
@instances(problem=PROBLEMS)
def test_the_recursion_over_tokens_gives_the_optimum_over_sequences(check: Check, problem: TokenProblem) -> None:
    base, law = of_sequences(problem.log_base), of_sequences(policy_of(check, problem))
    for log_base, reward, found in zip(base, problem.reward, law, strict=True):
        exponents = log_base + reward / problem.beta
        optimum = np.exp(exponents - logsumexp(exponents))
        rounding = 1e-12 * (1.0 + float(np.abs(reward).max()) / problem.beta) + ROUNDING
        assert np.allclose(np.exp(found), optimum, rtol=0.0, atol=rounding), "another law than the softmax of sequences"


@pytest.mark.guarantee("I6", needs=["soft_q", "log_softmax", "log_coverage"])
@instances(problem=PROBLEMS)
def test_coverage_of_sequences_is_at_most_the_power_of_that_of_tokens(check: Check, problem: TokenProblem) -> None:
    laws = policy_of(check, problem)
    reached = np.ones(problem.prompts, dtype=bool)
    largest = 0.0
    for law, base in zip(laws, problem.log_base, strict=True):
        rows = np.flatnonzero(reached)
        largest = max(largest, *(float(check.call("log_coverage", law[row], base[row])) for row in rows))
        reached = (reached[:, None] & (base > -np.inf)).reshape(-1)
    bound = log_sequence_coverage(largest, problem.horizon)
    for law, base in zip(of_sequences(laws), of_sequences(problem.log_base), strict=True):
        coverage = float(check.call("log_coverage", law, base))
        assert coverage <= bound + ROUNDING * (1.0 + bound), f"log C(pi*) = {coverage}, above H log C_cond = {bound}"
        check.tightness(coverage, bound)


@pytest.mark.guarantee("I7", needs=["soft_q", "log_softmax"])
@designed([{"problem": TOKENS}], VALUES)
@instances(problem=PROBLEMS)
def test_a_reward_less_the_ratios_after_a_token_is_its_value(check: Check, problem: TokenProblem) -> None:
    values, laws = values_of(check, problem), policy_of(check, problem)
    base, vocabulary_size = of_sequences(problem.log_base).reshape(-1), problem.vocabulary_size
    for sequence in np.flatnonzero(base > -np.inf):
        row, rest = int(sequence), float(problem.reward.reshape(-1)[sequence])
        for q, law, log_base in zip(reversed(values), reversed(laws), reversed(problem.log_base), strict=True):
            row, token = divmod(row, vocabulary_size)
            if law[row, token] == -np.inf:  # below the smallest number: its ratio is unknown
                break
            # Ratios are differences of logs that were rounded before.
            allowed = tolerance(problem) + 1e-13 * problem.beta * abs(log_base[row, token])
            assert abs(rest - q[row, token]) <= allowed, f"{rest} on a completion, and a value of {q[row, token]}"
            rest -= problem.beta * (law[row, token] - log_base[row, token])


@pytest.mark.guarantee("I5", needs=["soft_q", "log_softmax", "kl_divergence"])
@designed([{"problem": TOKENS, "sharpness": 1.0}], VALUES)
@instances(problem=PROBLEMS, sharpness=st.sampled_from([0.0, 1.0, -1.0, 0.25]))
def test_the_gap_of_a_token_policy_is_its_divergence_summed_over_tokens(
    check: Check, problem: TokenProblem, sharpness: float
) -> None:
    optimum, beta = policy_of(check, problem), problem.beta
    # A policy with scores of its own at every prefix: 0 is the base policy.
    scores = [sharpness * beta * np.cos(np.arange(base.size)).reshape(base.shape) for base in problem.log_base]
    laws = [
        np.array([check.call("log_softmax", *row, beta) for row in zip(base, score, strict=True)])
        for base, score in zip(problem.log_base, scores, strict=True)
    ]
    divergence = np.zeros(problem.reward.size)
    for law, best in zip(reversed(laws), reversed(optimum), strict=True):
        own = np.array([check.call("kl_divergence", *rows) for rows in zip(law, best, strict=True)])
        divergence = own + (np.exp(law) * divergence.reshape(law.shape)).sum(axis=1)
    base, played = of_sequences(problem.log_base), of_sequences(laws)
    for x in range(problem.prompts):
        held = played[x] > -np.inf
        gained = np.exp(played[x][held]) @ (problem.reward[x][held] - beta * (played[x][held] - base[x][held]))
        lost = beta * logsumexp(base[x] + problem.reward[x] / beta) - gained
        found = beta * divergence[x]
        assert abs(found - lost) <= tolerance(problem), f"beta KL over tokens is {found}, the gap {lost}"


def settings_for(rollouts: int, warm_prompts: int) -> MultiTurnSettings:
    """Checks find every uncovered pair of two tokens; counted normalisers are as good as exact."""
    return MultiTurnSettings(
        nu=0.5,
        ridge=1.0,
        rollouts=rollouts,
        pairs_per_prefix=60,
        tests=8,
        prompts=warm_prompts,
        rejection_multiplier=4.0,
        rejection_failure=0.3,
        partition_samples=10**12,
    )


def explored(
    check: Check, problem: TokenProblem, settings: MultiTurnSettings, seed: int = 0
) -> tuple[MultiTurnResult, RecordingPrefixOracle]:
    oracle = RecordingPrefixOracle(prefix_oracle(problem, seed=check.seed("oracle", seed)))
    own = check.seed("learner", seed)
    return check.call("multi_turn", oracle, horizon=problem.horizon, settings=settings, seed=own), oracle


DESIGNED = {"problem": TWO_TOKENS, "rollouts": 1, "warm_prompts": 0}
RUNS = {"problem": SMALL, "rollouts": st.integers(1, 2), "warm_prompts": st.integers(0, 4)}


@pytest.mark.guarantee("S1", "S2", "S3", "S4", needs=["multi_turn"])
@designed([DESIGNED], named("turns", "check-first-layer pairs-counted-twice"))
@instances(**RUNS)
def test_the_spanner_of_every_layer_is_one(
    check: Check, problem: TokenProblem, rollouts: int, warm_prompts: int
) -> None:
    settings = settings_for(rollouts, warm_prompts)
    run, _ = explored(check, problem, settings)
    bound = spanner_size_bound(problem.dimension, settings.ridge, settings.nu)
    for layer, (vectors, precision) in enumerate(zip(run.vectors, run.precisions, strict=True)):
        for prefix, one, two, vector in zip(
            run.prefixes[layer], run.first[layer], run.second[layer], vectors, strict=True
        ):
            assert len(prefix.tokens) == layer, f"a prefix of {len(prefix.tokens)} tokens in layer {layer + 1}"
            features = problem.features[layer][problem.row(int(prefix.prompt), [int(each) for each in prefix.tokens])]
            assert np.array_equal(vector, features[one] - features[two]), "not the difference of the pair's features"
        norms, gains = growth(vectors, settings.ridge)
        assert (norms > settings.nu * (1 - ROUNDING)).all(), f"a pair of norm {norms.min()} in layer {layer + 1}"
        sigma = settings.ridge * np.eye(problem.dimension) + vectors.T @ vectors
        assert np.allclose(precision @ sigma, np.eye(problem.dimension), atol=ROUNDING), "no inverse of its Sigma"
        grown = -np.linalg.slogdet(precision)[1] - problem.dimension * np.log(settings.ridge)
        assert np.isclose(grown, gains.sum(), atol=ROUNDING), f"log det grew by {grown}, norms add up to {gains.sum()}"
        assert len(vectors) <= bound, f"{len(vectors)} pairs, above {bound}"


@pytest.mark.guarantee("E6", needs=["multi_turn"])
@designed([{**DESIGNED, "radius": 0.125}], named("turns", "radius-doubled radius-halved"))
@instances(**RUNS, radius=st.sampled_from([1.0, 0.125]))
def test_the_parameter_of_every_layer_is_the_least_squares_fit_to_its_targets(
    check: Check, problem: TokenProblem, rollouts: int, warm_prompts: int, radius: float
) -> None:
    # In a small ball the problem is not realizable, and the constraint is active.
    problem = replace(problem, radius=radius * problem.radius, theta_star=None)
    run, _ = explored(check, problem, settings_for(rollouts, warm_prompts))
    for layer, (vectors, targets, theta) in enumerate(zip(run.vectors, run.targets, run.thetas, strict=True)):
        residual = fit_residual(vectors, targets, theta, problem.radius)
        assert residual <= ROUNDING, f"theta of layer {layer + 1} misses the KKT conditions by {residual:.3g}"


@pytest.mark.guarantee("I7", needs=["multi_turn"])
@designed(
    [DESIGNED, {**DESIGNED, "warm_prompts": 4}],
    named(
        "turns",
        "no-kl kl-sign no-normaliser ratio-without-beta few-normaliser-draws check-first-layer last-layer-only "
        "stale-first-layer forward-sweep no-restart first-return-alone same-token-twice swapped-sign",
    ),
)
@instances(**RUNS)
def test_what_a_layer_is_fitted_to_is_the_difference_of_soft_values(
    check: Check, problem: TokenProblem, rollouts: int, warm_prompts: int
) -> None:
    run, _ = explored(check, problem, settings_for(rollouts, warm_prompts))
    for layer, (q, targets) in enumerate(zip(soft_q(problem), run.targets, strict=True)):
        pairs = zip(run.prefixes[layer], run.first[layer], run.second[layer], targets, strict=True)
        for prefix, one, two, target in pairs:
            row = q[problem.row(int(prefix.prompt), [int(each) for each in prefix.tokens])]
            # The normaliser of 10^12 counted samples is off by 1e-5 with a negligible chance.
            assert abs(target - (row[one] - row[two])) <= 1e-3, (
                f"fitted to {target:.4g} in layer {layer + 1}, where soft values differ by {row[one] - row[two]:.4g}"
            )


@pytest.mark.guarantee("O1", needs=["multi_turn"])
@designed([DESIGNED], named("turns", "no-restart"))
@instances(**RUNS)
def test_every_token_and_every_reward_of_a_multi_turn_run_is_in_its_ledger(
    check: Check, problem: TokenProblem, rollouts: int, warm_prompts: int
) -> None:
    settings = settings_for(rollouts, warm_prompts)
    run, oracle = explored(check, problem, settings)
    issued = {entry.prompt.prompt for entry in oracle.queries if entry.name == "prompt"}
    for entry in oracle.queries:
        assert entry.prompt.prompt in issued, f"{entry.name} about a prompt that was never issued"
    recounted = recount(oracle.queries)
    assert oracle.ledger == recounted, f"the ledger states {oracle.ledger}, the answers add up to {recounted}"
    least = 2 * settings.rollouts * sum(map(len, run.targets))
    assert recounted.rewards >= least, f"{recounted.rewards} rewards, where the fits take {least}"


@pytest.mark.guarantee("T5", needs=["multi_turn"])
@instances(**RUNS)
def test_a_multi_turn_run_costs_no_more_than_a_polynomial_in_its_depth(
    check: Check, problem: TokenProblem, rollouts: int, warm_prompts: int
) -> None:
    settings = settings_for(rollouts, warm_prompts)
    run, oracle = explored(check, problem, settings)
    samples, rewards = multi_turn_cost(
        [len(targets) for targets in run.targets],
        prompts=settings.prompts,
        rollouts=settings.rollouts,
        pairs_per_prefix=settings.pairs_per_prefix,
        tests=settings.tests,
        partition_samples=settings.partition_samples,
        per_token=1 + sampler_samples(settings.rejection_multiplier, settings.rejection_failure),
    )
    total = recount(oracle.queries)
    assert total.samples <= samples, f"{total.samples} samples, above {samples}"
    assert total.rewards <= rewards, f"{total.rewards} rewards, above {rewards}"
    check.tightness(total.rewards, rewards)
