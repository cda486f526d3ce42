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
from spanver.guarantees.residuals import growth
from spanver.guarantees.rounding import (
    inverse_error,
    kl_divergence_error,
    log_coverage_error,
    log_determinant_error,
    log_softmax_error,
    norm_error,
    reach,
    soft_q_error,
)
from spanver.guarantees.sampler import sampler_samples
from spanver.guarantees.spanner import spanner_size_bound
from spanver.learners.multi_turn import MultiTurnSettings
from spanver.oracles.prefix import prefix_oracle
from spanver.problems.layered import soft_q
from spanver.problems.tokens import TokenProblem
from spanver.strategies import token_problems
from spanver.subjects.results import MultiTurnResult
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances
from spanver.verification.transcript import RecordingPrefixOracle, recount

from .designs import SHARES, TOKENS, TWO_TOKENS, in_box, named
from .rounded import assert_at_least, assert_at_most, assert_fit, assert_near

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


def errors_of(check: Check, problem: TokenProblem) -> tuple[list[FloatArray], list[FloatArray]]:
    """Rounding of the values of tokens, and of the logs of their laws under `pi*`, of the shapes of `log_base`."""
    unit, beta, exact = check.subject.unit, problem.beta, soft_q(problem)
    values = soft_q_error(unit, problem.log_base, exact, beta)
    laws = [
        log_softmax_error(unit, base, q, beta, error)
        for base, q, error in zip(problem.log_base, exact, values, strict=True)
    ]
    return values, laws


@pytest.mark.guarantee("I6", needs=["soft_q", "log_softmax"])
@designed([{"problem": TOKENS}], VALUES)
@instances(problem=PROBLEMS)
def test_the_recursion_over_tokens_gives_the_optimum_over_sequences(check: Check, problem: TokenProblem) -> None:
    base, law = of_sequences(problem.log_base), of_sequences(policy_of(check, problem))
    error = of_sequences(errors_of(check, problem)[1])
    for log_base, reward, found, off in zip(base, problem.reward, law, error, strict=True):
        exponents = log_base + reward / problem.beta
        optimum = exponents - logsumexp(exponents)
        allowed = off + log_softmax_error(0.0, log_base, reward, problem.beta)
        assert_near(check, "not the softmax of sequences, a log probability", found, optimum, allowed)


@pytest.mark.guarantee("I6", needs=["soft_q", "log_softmax", "log_coverage"])
@instances(problem=PROBLEMS)
def test_coverage_of_sequences_is_at_most_the_power_of_that_of_tokens(check: Check, problem: TokenProblem) -> None:
    laws, unit = policy_of(check, problem), check.subject.unit
    reached = np.ones(problem.prompts, dtype=bool)
    largest, off = 0.0, 0.0
    for law, base in zip(laws, problem.log_base, strict=True):
        for row in np.flatnonzero(reached):
            largest = max(largest, float(check.call("log_coverage", law[row], base[row])))
            off = max(off, log_coverage_error(unit, law[row], base[row]))
        reached = (reached[:, None] & (base > -np.inf)).reshape(-1)
    bound = log_sequence_coverage(largest, problem.horizon)
    for law, base in zip(of_sequences(laws), of_sequences(problem.log_base), strict=True):
        coverage = float(check.call("log_coverage", law, base))
        allowed = problem.horizon * off + log_coverage_error(unit, law, base)
        assert_at_most(check, "log C(pi*), and H log C_cond", coverage, bound, allowed)
        check.tightness(coverage, bound)


@pytest.mark.guarantee("I7", needs=["soft_q", "log_softmax"])
@designed([{"problem": TOKENS}], VALUES)
@instances(problem=PROBLEMS)
def test_a_reward_less_the_ratios_after_a_token_is_its_value(check: Check, problem: TokenProblem) -> None:
    values, laws = values_of(check, problem), policy_of(check, problem)
    value_errors, law_errors = errors_of(check, problem)
    base, vocabulary_size = of_sequences(problem.log_base).reshape(-1), problem.vocabulary_size
    layers = list(zip(values, laws, problem.log_base, value_errors, law_errors, strict=True))
    for sequence in np.flatnonzero(base > -np.inf):
        row, rest, off = int(sequence), float(problem.reward.reshape(-1)[sequence]), 0.0
        for q, law, log_base, value_error, law_error in reversed(layers):
            row, token = divmod(row, vocabulary_size)
            if law[row, token] == -np.inf:  # below the smallest number: its ratio is unknown
                break
            allowed = off + float(value_error[row, token])
            assert_near(check, "a value, and the rest on a completion", q[row, token], rest, allowed)
            rest -= problem.beta * (law[row, token] - log_base[row, token])
            off += problem.beta * float(law_error[row, token])


@pytest.mark.guarantee("I5", needs=["soft_q", "log_softmax", "kl_divergence"])
@designed([{"problem": TOKENS, "sharpness": 1.0}], VALUES)
@instances(problem=PROBLEMS, sharpness=st.sampled_from([0.0, 1.0, -1.0, 0.25]))
def test_the_gap_of_a_token_policy_is_its_divergence_summed_over_tokens(
    check: Check, problem: TokenProblem, sharpness: float
) -> None:
    optimum, beta, unit = policy_of(check, problem), problem.beta, check.subject.unit
    # A policy with scores of its own at every prefix: 0 is the base policy.
    laws = [base + sharpness * np.cos(np.arange(base.size)).reshape(base.shape) for base in problem.log_base]
    laws = [law - logsumexp(law, axis=1, keepdims=True) for law in laws]
    divergence, allowed = np.zeros(problem.reward.size), np.zeros(problem.reward.size)
    for law, best, error in zip(*map(reversed, (laws, optimum, errors_of(check, problem)[1])), strict=True):
        own = np.array([check.call("kl_divergence", *rows) for rows in zip(law, best, strict=True)])
        off = np.array([kl_divergence_error(unit, *rows) for rows in zip(law, best, strict=True)])
        chances = np.exp(law)
        allowed = off + (chances * (error + allowed.reshape(law.shape))).sum(axis=1)
        divergence = own + (chances * divergence.reshape(law.shape)).sum(axis=1)
    base, played = of_sequences(problem.log_base), of_sequences(laws)
    for x in range(problem.prompts):
        held = played[x] > -np.inf
        gained = np.exp(played[x][held]) @ (problem.reward[x][held] - beta * (played[x][held] - base[x][held]))
        lost = beta * logsumexp(base[x] + problem.reward[x] / beta) - gained
        assert_near(check, "beta KL over tokens, and the gap", beta * divergence[x], lost, beta * float(allowed[x]))


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
    unit = check.subject.unit
    bound = spanner_size_bound(problem.dimension, settings.ridge, settings.nu)
    for layer, (vectors, precision) in enumerate(zip(run.vectors, run.precisions, strict=True)):
        for prefix, one, two, vector in zip(
            run.prefixes[layer], run.first[layer], run.second[layer], vectors, strict=True
        ):
            assert len(prefix.tokens) == layer, f"a prefix of {len(prefix.tokens)} tokens in layer {layer + 1}"
            features = problem.features[layer][problem.row(int(prefix.prompt), [int(each) for each in prefix.tokens])]
            assert np.array_equal(vector, features[one] - features[two]), "not the difference of the pair's features"
        norms, gains = growth(vectors, settings.ridge)
        sigma = settings.ridge * np.eye(problem.dimension) + vectors.T @ vectors
        length = reach(problem.features[layer].reshape(-1, problem.dimension))
        allowed = norm_error(unit, norms, sigma, length, len(vectors))
        for norm, off in zip(norms, allowed, strict=True):
            assert_at_least(check, f"norm of a pair in layer {layer + 1}", norm, settings.nu, off)
        moved = float(np.linalg.norm(precision - np.linalg.inv(sigma), 2))
        most = inverse_error(unit, sigma, len(vectors), length)
        assert_near(check, f"the precision of layer {layer + 1}, less the inverse of Sigma", moved, 0.0, most)
        grown = -np.linalg.slogdet(precision)[1] - problem.dimension * np.log(settings.ridge)
        # The inverse is off by `most`, relative to its smallest eigenvalue.
        most *= problem.dimension * float(np.linalg.norm(sigma, 2))
        most += log_determinant_error(unit, sigma, settings.ridge, len(vectors), length)
        assert_near(check, f"log det of layer {layer + 1}, and what its pairs add", grown, gains.sum(), most)
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
        assert_fit(check, f"of layer {layer + 1}", (vectors, targets), theta, problem.shape(problem.radius))


@pytest.mark.guarantee("E6", needs=["multi_turn", "box_fit"])
@designed([{**DESIGNED, "share": 0.125}], named("turns", "ball-for-box radius-doubled"))
@instances(**RUNS, share=SHARES)
def test_the_parameter_of_every_layer_is_fitted_in_the_box(
    check: Check, problem: TokenProblem, rollouts: int, warm_prompts: int, share: float
) -> None:
    problem = in_box(problem, share)
    run, _ = explored(check, problem, settings_for(rollouts, warm_prompts))
    for layer, (vectors, targets, theta) in enumerate(zip(run.vectors, run.targets, run.thetas, strict=True)):
        assert_fit(check, f"of layer {layer + 1}", (vectors, targets), theta, problem.shape(problem.radius))


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
