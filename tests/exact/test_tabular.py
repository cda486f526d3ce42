"""Laws, coverage, KL, objective and gap on tables against loops in 60-digit decimals that share no code with them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from spanver.errors import ArgumentError
from spanver.exact.tabular import (
    best_objective,
    component_laws,
    gap,
    kl_divergence,
    log_coverage,
    log_law,
    log_laws_given_anchors,
    log_optimal_law,
    objective,
    sampled_gap,
    uncertain_probability,
)
from spanver.policies import LinearSoftmax, TruncatedMixture, TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.strategies import anchored

Floats: TypeAlias = NDArray[np.float64]
Law: TypeAlias = list[list[Decimal]]  # probabilities, one row a prompt
ZERO, ONE = Decimal(0), Decimal(1)
PRECISION = np.array([[2.0, 0.5], [0.5, 1.0]])
NU = 0.9
SEEDS = range(4)
BETAS = (1.0, 0.25, 0.01, 1e-4)


@pytest.fixture(autouse=True)
def sixty_digits() -> Iterator[None]:
    with localcontext() as context:
        context.prec = 60
        yield


def table(seed: int, beta: float = 0.25, *, prompts: int = 3, responses: int = 5, zeros: int = 1) -> TabularProblem:
    """Table of which `zeros` responses of each prompt lie outside the base support, and one prompt is never drawn."""
    generator = np.random.default_rng(seed)
    features = generator.uniform(-0.7, 0.7, size=(prompts, responses, 2))
    weights = generator.exponential(size=(prompts, responses))
    for row in weights:
        row[generator.permutation(responses)[:zeros]] = 0.0
    mass = generator.exponential(size=prompts)
    mass[-1] = 0.0 if prompts > 1 else 1.0
    theta = np.array([0.6, -0.8])
    with np.errstate(divide="ignore"):
        log_base = np.log(weights / weights.sum(axis=1, keepdims=True))
    return TabularProblem(
        prompt_law=mass / mass.sum(),
        log_base=log_base,
        features=features,
        reward=features @ theta + generator.uniform(-1.0, 1.0, size=(prompts, 1)),
        beta=beta,
        radius=1.0,
        theta_star=theta,
    )


def exponential(log_probability: float) -> Decimal:
    return ZERO if log_probability == -math.inf else Decimal(float(log_probability)).exp()


def probabilities(log_laws: Floats) -> Law:
    return [[exponential(value) for value in row] for row in log_laws]


def dot(left: Any, right: Any) -> Decimal:
    return sum((Decimal(float(a)) * Decimal(float(b)) for a, b in zip(left, right, strict=True)), ZERO)


def tilted(base: list[Decimal], scores: list[Decimal], beta: float) -> list[Decimal]:
    weights = [p * (score / Decimal(beta)).exp() if p > 0 else ZERO for p, score in zip(base, scores, strict=True)]
    total = sum(weights)
    return [weight / total for weight in weights]


def linear_reference(problem: TabularProblem, theta: Floats) -> Law:
    rows = zip(probabilities(problem.log_base), problem.features, strict=True)
    return [tilted(base, [dot(phi, theta) for phi in features], problem.beta) for base, features in rows]


def optimum_reference(problem: TabularProblem) -> Law:
    rows = zip(probabilities(problem.log_base), problem.reward, strict=True)
    return [tilted(base, [Decimal(float(r)) for r in reward], problem.beta) for base, reward in rows]


def is_covered(first: Floats, second: Floats, precision: Floats, nu: float) -> bool:
    v = [Decimal(float(a)) - Decimal(float(b)) for a, b in zip(first, second, strict=True)]
    square = sum((v[i] * Decimal(float(precision[i, j])) * v[j] for i in range(len(v)) for j in range(len(v))), ZERO)
    return square <= Decimal(nu) ** 2


def conditional_reference(
    problem: TabularProblem, theta: Floats, precision: Floats, nu: float, prompt: int, second: int
) -> list[Decimal]:
    """Law of `pi_f` at one prompt: the score, and not the weight, of what is not covered is zero."""
    features = problem.features[prompt]
    scores = [
        dot(phi, theta) - dot(features[second], theta) if is_covered(phi, features[second], precision, nu) else ZERO
        for phi in features
    ]
    return tilted(probabilities(problem.log_base)[prompt], scores, problem.beta)


def truncated_reference(problem: TabularProblem, theta: Floats, precision: Floats, nu: float) -> Law:
    result = []
    for prompt, base in enumerate(probabilities(problem.log_base)):
        law = [ZERO] * len(base)
        for second, chance in enumerate(base):
            if chance > 0:
                conditional = conditional_reference(problem, theta, precision, nu, prompt, second)
                law = [total + chance * p for total, p in zip(law, conditional, strict=True)]
        result.append(law)
    return result


def average(problem: TabularProblem, values: list[Decimal]) -> Decimal:
    return sum((Decimal(float(p)) * v for p, v in zip(problem.prompt_law, values, strict=True) if p > 0), ZERO)


def kl_reference(law: list[Decimal], reference: list[Decimal]) -> Decimal:
    return sum((p * (p / q).ln() for p, q in zip(law, reference, strict=True) if p > 0), ZERO)


def objective_reference(problem: TabularProblem, law: Law) -> Decimal:
    base = probabilities(problem.log_base)
    values = [
        dot_decimal(row, reward) - Decimal(problem.beta) * kl_reference(row, base_row)
        for row, base_row, reward in zip(law, base, problem.reward, strict=True)
    ]
    return average(problem, values)


def dot_decimal(law: list[Decimal], values: Floats) -> Decimal:
    return sum((p * Decimal(float(value)) for p, value in zip(law, values, strict=True)), ZERO)


def gap_reference(problem: TabularProblem, law: Law) -> Decimal:
    return objective_reference(problem, optimum_reference(problem)) - objective_reference(problem, law)


def assert_is_law(log_law_given: Floats, expected: Law, problem: TabularProblem) -> None:
    # Scores divided by beta are rounded at about 1/beta ulps: that much of a probability is rounding.
    tolerance = 1e-13 + 4e-16 / problem.beta
    for row, expected_row in zip(log_law_given, expected, strict=True):
        for log_probability, probability in zip(row, expected_row, strict=True):
            if probability == 0:
                assert log_probability == -np.inf
            else:
                assert float(log_probability) == pytest.approx(float(probability.ln()), rel=1e-13, abs=4 * tolerance)
        assert float(sum(exponential(value) for value in row)) == pytest.approx(1.0, abs=8 * tolerance)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", BETAS)
def test_a_linear_softmax_has_the_law_of_its_definition(seed: int, beta: float) -> None:
    problem = table(seed, beta)
    for theta in (np.array([0.3, 0.9]), np.zeros(2), np.array([-1.0, 0.0])):
        assert_is_law(log_law(problem, LinearSoftmax(theta)), linear_reference(problem, theta), problem)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", BETAS)
def test_the_optimum_is_the_base_policy_tilted_by_the_reward(seed: int, beta: float) -> None:
    problem = table(seed, beta)
    assert_is_law(log_optimal_law(problem), optimum_reference(problem), problem)
    # Realizable up to a shift per prompt: it is the linear softmax policy of theta*.
    assert problem.theta_star is not None
    assert_is_law(log_optimal_law(problem), linear_reference(problem, problem.theta_star), problem)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("nu", [0.6, NU, 1.1])
def test_a_truncated_softmax_averages_over_the_second_response(seed: int, beta: float, nu: float) -> None:
    problem = table(seed, beta)
    theta = np.array([0.3, 0.9])
    policy = TruncatedSoftmax(theta, PRECISION, nu)
    expected = truncated_reference(problem, theta, PRECISION, nu)
    assert_is_law(log_law(problem, policy), expected, problem)
    pairs = [(a, b) for rows in problem.features for a, b in itertools.combinations(rows, 2)]
    assert 0 < sum(is_covered(a, b, PRECISION, nu) for a, b in pairs) < len(pairs)  # something is truncated, not all


def test_the_law_of_a_truncated_softmax_is_that_of_no_single_second_response() -> None:
    problem, theta = table(0), np.array([0.3, 0.9])
    law = np.exp(log_law(problem, TruncatedSoftmax(theta, PRECISION, NU)))[0]
    for second in np.flatnonzero(problem.log_base[0] > -np.inf):
        conditional = conditional_reference(problem, theta, PRECISION, NU, 0, int(second))
        assert np.abs(law - np.array([float(p) for p in conditional])).max() > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_laws_given_the_second_response_are_those_of_their_score(seed: int) -> None:
    problem = table(seed)
    theta = np.array([0.3, 0.9])
    policy = TruncatedSoftmax(theta, PRECISION, NU)
    for prompt in range(problem.prompts):
        anchors = np.array([4, 0, 0, 2])
        given = log_laws_given_anchors(problem, policy, prompt, anchors)
        assert given.shape == (4, 5)
        expected = [conditional_reference(problem, theta, PRECISION, NU, prompt, int(anchor)) for anchor in anchors]
        assert_is_law(given, expected, problem)


def two_against_one(nu: float) -> tuple[TabularProblem, Floats]:
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[0.5, 0.25, 0.25]]),
        features=np.array([[[0.0], [0.25], [1.0]]]),
        reward=np.zeros((1, 3)),
        beta=0.5,
        radius=1.0,
    )
    return problem, np.exp(log_law(problem, TruncatedSoftmax(np.array([1.0]), np.eye(1), nu)))[0]


def test_an_uncovered_response_keeps_its_base_weight() -> None:
    _, law = two_against_one(0.5)
    # With nu = 1/2 the first two responses cover each other, the third covers itself alone. Weights e^{f/beta}, f = v:
    given_first = np.array([0.5, 0.25 * math.exp(0.5), 0.25])
    given_second = np.array([0.5 * math.exp(-0.5), 0.25, 0.25])
    given_third = np.array([0.5, 0.25, 0.25])
    rows = [row / row.sum() for row in (given_first, given_second, given_third)]
    assert law == pytest.approx(0.5 * rows[0] + 0.25 * rows[1] + 0.25 * rows[2], rel=1e-14, abs=0.0)
    dropped = given_first[:2] / given_first[:2].sum()  # truncating the weight instead would give this
    assert abs(law[1] - (0.75 * dropped[1])) > 0.01


def test_a_truncation_that_covers_nothing_is_the_base_policy() -> None:
    problem, law = two_against_one(0.2)
    assert law == pytest.approx(np.exp(problem.log_base[0]), rel=1e-14, abs=0.0)


def test_a_truncation_that_covers_everything_is_the_linear_softmax() -> None:
    problem, law = two_against_one(1.0)  # the longest difference has norm exactly nu, which is covered
    assert law == pytest.approx(np.exp(log_law(problem, LinearSoftmax(np.array([1.0]))))[0], rel=1e-14, abs=0.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", [0.25, 1e-4])
def test_a_mixture_has_the_average_law_of_its_components(seed: int, beta: float) -> None:
    problem = table(seed, beta)
    one, two = np.array([0.3, 0.9]), np.array([-0.5, 0.1])
    mixture = TruncatedMixture(np.array([one, two, one]), 4.0 * PRECISION, 0.5 * NU)
    references = [truncated_reference(problem, theta, 4.0 * PRECISION, 0.5 * NU) for theta in (one, two, one)]
    for law, reference in zip(component_laws(problem, mixture), references, strict=True):
        assert_is_law(law, reference, problem)
    mean = [
        [sum(column, ZERO) / len(references) for column in zip(*rows, strict=True)]
        for rows in zip(*references, strict=True)
    ]
    assert_is_law(log_law(problem, mixture), mean, problem)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", BETAS)
def test_policies_do_not_change_with_what_all_responses_share(seed: int, beta: float) -> None:
    generator = np.random.default_rng(seed)
    problem = table(seed, beta)
    theta = np.array([0.3, 0.9])
    small = {name: getattr(problem, name) for name in ("prompt_law", "log_base", "beta", "radius")}
    features, moved = 0.4 * problem.features, 0.4 * problem.features + generator.uniform(-0.3, 0.3, size=(3, 1, 2))
    before = TabularProblem(features=features, reward=problem.reward, **small)
    after = TabularProblem(features=moved, reward=problem.reward + np.array([[3.0], [-50.0], [0.1]]), **small)
    tolerance = 1e-13 + 50 * 1e-15 / beta
    truncated = TruncatedSoftmax(theta, PRECISION, 0.5 * NU)
    for policy in (LinearSoftmax(theta), truncated, TruncatedMixture(np.array([theta, -theta]), PRECISION, 0.5 * NU)):
        assert np.exp(log_law(before, policy)) == pytest.approx(np.exp(log_law(after, policy)), abs=tolerance)
    assert np.exp(log_optimal_law(before)) == pytest.approx(np.exp(log_optimal_law(after)), abs=tolerance)
    # Both could ignore theta: that they do not is what makes the equality above mean something.
    laws = [np.exp(log_law(before, LinearSoftmax(sign * theta))) for sign in (1.0, -1.0)]
    assert np.abs(laws[0] - laws[1]).max() > 0.05


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", BETAS)
def test_objective_and_gap_agree_with_their_definitions(seed: int, beta: float) -> None:
    problem = table(seed, beta)
    best = objective_reference(problem, optimum_reference(problem))
    normalisers = [
        Decimal(beta)
        * sum((p * (Decimal(float(r)) / Decimal(beta)).exp() for p, r in zip(*row, strict=True)), ZERO).ln()
        for row in zip(probabilities(problem.log_base), problem.reward, strict=True)
    ]
    assert abs(best - average(problem, normalisers)) < Decimal("1e-50")
    assert best_objective(problem) == pytest.approx(float(best), rel=1e-13, abs=0.0)
    rounding = 1e-13 + 4e-16 / beta  # of probabilities whose scores are divided by beta
    assert objective(problem, log_optimal_law(problem)) == pytest.approx(float(best), rel=1e-13, abs=rounding)
    for theta in (np.zeros(2), np.array([0.6, -0.7]), np.array([-0.6, 0.8])):
        law = log_law(problem, LinearSoftmax(theta))
        expected = gap_reference(problem, linear_reference(problem, theta))
        assert gap(problem, law) == pytest.approx(float(expected), rel=1e-9, abs=1e-14)
        assert objective(problem, law) == pytest.approx(float(best - expected), rel=1e-13, abs=rounding)
        assert best_objective(problem) - objective(problem, law) == pytest.approx(gap(problem, law), abs=rounding)
    assert gap(problem, log_optimal_law(problem)) == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12])
def test_small_gaps_keep_their_digits(distance: float) -> None:
    problem = table(1)
    theta = np.array([0.6, -0.8]) + distance * np.array([1.0, 1.0])
    expected = float(gap_reference(problem, linear_reference(problem, theta)))
    assert 0.01 * distance**2 < expected < 100 * distance**2
    # A difference of the two objectives would be rounding alone from 1e-8 on; log laws carry 16 digits of log p.
    assert gap(problem, log_law(problem, LinearSoftmax(theta))) == pytest.approx(
        expected, rel=1e-10 + 1e-14 / distance, abs=0.0
    )


@pytest.mark.parametrize("distance", [1e-1, 1e-4, 1e-8, 1e-12])
def test_divergences_of_nearly_equal_laws_keep_their_digits(distance: float) -> None:
    reference = np.log([[0.1, 0.2, 0.3, 0.4], [1e-12, 0.25, 0.25, 0.5]])
    nudged = reference + distance * np.array([[0.5, -1.0, 1.0, -0.375], [1.0, 1.0, -1.0, 0.0]])
    for law, other in zip((nudged, reference), (reference, nudged), strict=True):
        expected = [
            sum((p * (p / q).ln() - p + q for p, q in zip(one, two, strict=True)), ZERO)
            for one, two in zip(probabilities(law), probabilities(other), strict=True)
        ]
        # e^u - 1 - u is about u^2/2, of which the rounding of e^u - 1 leaves all but about 1e-16/u.
        assert kl_divergence(law, other) == pytest.approx(
            [float(value) for value in expected], rel=1e-12 + 1e-15 / distance, abs=0.0
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_divergences_of_distant_laws_are_those_of_the_definition(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scale = 10.0 ** generator.uniform(-1, 2.5, size=(6, 1))
    first, second = (scale * generator.standard_normal((6, 5)) for _ in range(2))
    second[0] = first[0]
    first[1, 0] = -np.inf  # mass of the reference alone adds nothing beyond normalisation
    second[2, 1] = first[2, 1] = -np.inf
    laws = [scores - np.logaddexp.reduce(scores, axis=1, keepdims=True) for scores in (first, second)]
    one, two = probabilities(laws[0]), probabilities(laws[1])
    expected = [float(kl_reference(p, q)) for p, q in zip(one, two, strict=True)]
    assert kl_divergence(*laws) == pytest.approx(expected, rel=1e-12, abs=1e-13)
    assert kl_divergence(*laws)[0] == 0.0


def test_divergence_is_not_symmetric_and_is_the_first_law_against_the_second() -> None:
    first, second = np.log([[0.5, 0.5]]), np.log([[0.1, 0.9]])
    assert kl_divergence(first, second)[0] == pytest.approx(
        0.5 * math.log(5) + 0.5 * math.log(5 / 9), rel=1e-14, abs=0.0
    )
    assert kl_divergence(second, first)[0] == pytest.approx(
        0.1 * math.log(0.2) + 0.9 * math.log(1.8), rel=1e-14, abs=0.0
    )


def test_divergence_is_infinite_where_the_reference_lacks_mass_however_little() -> None:
    law = np.array([[0.0, -np.inf], [np.log(0.5), np.log(0.5)], [0.0, -800.0], [-np.inf, 0.0]])
    reference = np.array([[0.0, -np.inf], [0.0, -np.inf], [0.0, -np.inf], [np.log(0.5), np.log(0.5)]])
    assert kl_divergence(law, reference).tolist() == pytest.approx([0.0, np.inf, np.inf, math.log(2)])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", BETAS)
def test_coverage_is_the_largest_ratio_inside_the_support(seed: int, beta: float) -> None:
    problem = table(seed, beta)
    law = log_law(problem, LinearSoftmax(np.array([0.3, 0.9])))
    expected = [
        float(max((p / q).ln() for p, q in zip(row, base, strict=True) if q > 0))
        for row, base in zip(
            linear_reference(problem, np.array([0.3, 0.9])), probabilities(problem.log_base), strict=True
        )
    ]
    assert log_coverage(problem, law) == pytest.approx(expected, rel=1e-13, abs=1e-13 + 4e-16 / beta)


@pytest.mark.parametrize("seed", SEEDS)
def test_coverage_of_the_optimum_lies_between_one_and_the_oscillation_of_the_reward(seed: int) -> None:
    before = np.zeros(3)
    for beta in (100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4):
        problem = table(seed, beta)
        inside = problem.log_base > -np.inf
        reward = np.where(inside, problem.reward, np.nan)
        oscillation = np.nanmax(reward, axis=1) - np.nanmin(reward, axis=1)
        coverage = log_coverage(problem, log_optimal_law(problem))
        rounding = 1e-15 / beta
        assert (coverage > 0.0).all()
        assert (coverage <= oscillation / beta + rounding).all()
        assert (coverage > before - rounding).all()
        before = coverage
    # In the limit all mass is on the best response: coverage is one over its base probability.
    separated = np.diff(np.sort(np.where(inside, reward, -np.inf), axis=1)[:, -2:])[:, 0] > 30 * 1e-4
    best = problem.log_base[np.arange(3), np.nanargmax(reward, axis=1)]
    assert separated.any()
    assert before[separated] == pytest.approx(-best[separated], rel=1e-9, abs=0.0)


def test_the_bound_on_coverage_is_reached_in_the_limit_of_a_rare_best_response() -> None:
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.array([[0.0, np.log(1e-300)]]),
        features=np.array([[[0.0], [1.0]]]),
        reward=np.array([[0.0, 1.0]]),
        beta=0.05,
        radius=1.0,
    )
    assert log_coverage(problem, log_optimal_law(problem))[0] == pytest.approx(20.0, rel=1e-15, abs=0.0)


def test_coverage_of_the_base_policy_is_exactly_one() -> None:
    problem = table(0)
    assert log_coverage(problem, problem.log_base).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("coverage", [1e12, 2.0**41])
@pytest.mark.parametrize("beta", [1.0 / 64, 1e-4])
def test_huge_coverage_keeps_its_digits(coverage: float, beta: float) -> None:
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.array([[-np.log(coverage), np.log1p(-1.0 / coverage), -np.inf]]),
        features=np.array([[[1.0], [0.0], [0.5]]]),
        reward=np.array([[1.0, 0.0, 0.5]]),
        beta=beta,
        radius=1.0,
    )
    expected = float((optimum_reference(problem)[0][0] / probabilities(problem.log_base)[0][0]).ln())
    assert log_coverage(problem, log_optimal_law(problem))[0] == pytest.approx(expected, rel=1e-14, abs=1e-15 / beta)
    assert expected == pytest.approx(math.log(coverage), rel=1e-12, abs=0.0)
    assert gap(problem, problem.log_base) == pytest.approx(
        float(gap_reference(problem, probabilities(problem.log_base))), rel=1e-12, abs=0.0
    )


def test_mass_outside_the_support_is_infinitely_bad_where_it_is_asked_for() -> None:
    problem = table(2)
    outside = np.argmin(problem.log_base, axis=1)
    law = np.full((3, 5), -np.inf)
    law[np.arange(3), outside] = 0.0
    assert (problem.log_base[np.arange(3), outside] == -np.inf).all()
    assert log_coverage(problem, law).tolist() == [np.inf] * 3
    assert kl_divergence(law, problem.log_base).tolist() == [np.inf] * 3
    assert objective(problem, law) == -np.inf
    assert gap(problem, law) == np.inf
    legal = log_optimal_law(problem)
    legal[2] = law[2]  # rho of the third prompt is 0
    assert gap(problem, legal) == pytest.approx(0.0, abs=1e-20)
    assert objective(problem, legal) == pytest.approx(best_objective(problem), rel=1e-14, abs=0.0)
    tiny = log_optimal_law(problem)
    tiny[0, outside[0]] = -800.0  # e^-800 is 0 in floating point, and still infinitely bad
    assert log_coverage(problem, tiny)[0] == np.inf
    assert gap(problem, tiny) == np.inf


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("nu", [0.6, NU, 1.1, 10.0])
def test_the_probability_of_an_uncertain_pair_is_that_of_all_pairs(seed: int, nu: float) -> None:
    problem = table(seed)
    expected = []
    for base, features in zip(probabilities(problem.log_base), problem.features, strict=True):
        pairs = itertools.product(range(5), repeat=2)
        uncertain = [base[i] * base[j] for i, j in pairs if not is_covered(features[i], features[j], PRECISION, nu)]
        expected.append(float(sum(uncertain, ZERO)))
    assert uncertain_probability(problem, PRECISION, nu) == pytest.approx(expected, rel=1e-14, abs=0.0)
    assert (nu == 10.0) == (max(expected) == 0.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("nu", [0.6, NU, 10.0])
def test_with_anchors_the_second_response_is_always_the_same(seed: int, nu: float) -> None:
    problem = anchored(table(seed), 2)
    policy = TruncatedSoftmax(np.array([0.3, 0.9]), PRECISION, nu, "fixed")
    law, uncertain = log_law(problem, policy), uncertain_probability(problem, PRECISION, nu, "fixed")
    drawn = np.exp(log_law(problem, replace(policy, anchor="drawn")))
    for x, anchor in enumerate(problem.anchors):
        assert np.array_equal(law[x], log_laws_given_anchors(problem, policy, x, np.array([anchor]))[0])
        base = np.exp(problem.log_base[x])
        far = [not is_covered(problem.features[x, y], problem.features[x, anchor], PRECISION, nu) for y in range(5)]
        assert uncertain[x] == pytest.approx(float(base @ np.array(far)), rel=1e-14, abs=0.0)
    assert (nu == 10.0) == bool(np.allclose(np.exp(law), drawn, rtol=1e-9))
    mixture = TruncatedMixture(np.array([policy.theta, -policy.theta]), PRECISION, nu, "fixed")
    exact = gap(problem, log_law(problem, mixture))
    assert sampled_gap(problem, mixture, 400.0, 0.01, seed=1) == pytest.approx(exact, rel=0.05)


def test_rare_uncertain_pairs_keep_their_probability() -> None:
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.array([[0.0, np.log(1e-300), -np.inf]]),
        features=np.array([[[0.0], [1.0], [-1.0]]]),
        reward=np.zeros((1, 3)),
        beta=1.0,
        radius=1.0,
    )
    assert uncertain_probability(problem, np.eye(1), 0.5)[0] == pytest.approx(2e-300, rel=1e-12, abs=0.0)
    assert uncertain_probability(problem, np.eye(1), 1.5)[0] == 0.0


def test_what_is_no_policy_has_no_law() -> None:
    with pytest.raises(ArgumentError, match="policy is None"):
        log_law(table(0), None)  # type: ignore[arg-type]
