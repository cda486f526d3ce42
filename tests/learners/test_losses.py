"""Fits of the baselines obey the KKT conditions on the ball, and are what independent solvers and loops find."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from own_sets import Diamond
from scipy.optimize import minimize
from scipy.special import comb

from spanver.kernels import fit
from spanver.learners.losses import (
    LogisticLoss,
    LogLikelihood,
    Loss,
    QuadraticModel,
    SquareLoss,
    logistic_fit,
    minimise,
    optimistic,
)
from spanver.parameter_sets import MARGIN, Ball, Box, ParameterSet, distance, optimality_gap
from spanver.values import FloatArray


def labelled(seed: int, count: int, dimension: int, scale: float) -> tuple[FloatArray, FloatArray]:
    """Relative features and Bradley-Terry labels of a parameter of norm `scale`."""
    generator = np.random.default_rng(seed)
    vectors = generator.uniform(-1.0, 1.0, size=(count, dimension))
    theta = generator.standard_normal(dimension)
    odds = vectors @ theta * scale / np.linalg.norm(theta)
    return vectors, np.where(generator.random(count) < 1.0 / (1.0 + np.exp(-odds)), 1.0, -1.0)


def logistic_value(theta: FloatArray, vectors: FloatArray, labels: FloatArray) -> float:
    margins = [float(label) * float(vector @ theta) for vector, label in zip(vectors, labels, strict=True)]
    return math.fsum(
        math.log1p(math.exp(-margin)) if margin > 0 else math.log1p(math.exp(margin)) - margin for margin in margins
    )


def logistic_gradient(theta: FloatArray, vectors: FloatArray, labels: FloatArray) -> FloatArray:
    terms = [
        -label * vector / (1.0 + math.exp(label * float(vector @ theta)))
        for vector, label in zip(vectors, labels, strict=True)
    ]
    return np.sum(terms, axis=0)


def assert_kkt(theta: FloatArray, gradient: FloatArray, radius: float, scale: float) -> None:
    """Assert `gradient = -mu theta`, `mu >= 0`, `mu (||theta|| - B) = 0` (as E6), up to `scale`."""
    norm = float(np.linalg.norm(theta))
    assert norm <= radius * (1.0 + 1e-14)
    mu = -float(gradient @ theta) / norm**2 if norm > 0.0 else 0.0
    assert np.linalg.norm(gradient + mu * theta) <= 1e-7 * scale
    assert mu * norm >= -1e-7 * scale
    assert mu * norm * (radius - norm) <= 1e-7 * scale * radius


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("count", "dimension", "radius"), [(40, 3, 1.0), (40, 3, 30.0), (400, 6, 2.0), (3, 5, 1.0)])
def test_logistic_fits_obey_the_kkt_conditions_of_the_ball(
    seed: int, count: int, dimension: int, radius: float
) -> None:
    vectors, labels = labelled(seed, count, dimension, 2.0)
    theta = logistic_fit(vectors, labels, Ball(radius))
    scale = float(np.abs(vectors).sum(axis=0).max())
    assert_kkt(theta, logistic_gradient(theta, vectors, labels), radius, scale)


def test_some_of_these_fits_are_inside_the_ball_and_some_on_its_sphere() -> None:
    norms = [np.linalg.norm(logistic_fit(*labelled(0, 40, 3, 2.0), Ball(radius))) / radius for radius in (1.0, 30.0)]
    assert norms[0] == pytest.approx(1.0, abs=1e-12)
    assert norms[1] < 0.5


@pytest.mark.parametrize("radius", [0.5, 5.0, 40.0])
@pytest.mark.parametrize("seed", range(3))
def test_separable_labels_are_fitted_on_the_sphere_with_the_kkt_conditions(seed: int, radius: float) -> None:
    vectors, _ = labelled(seed, 30, 3, 1.0)
    labels = np.sign(vectors @ np.array([1.0, -2.0, 0.5]))
    theta = logistic_fit(vectors, labels, Ball(radius))
    assert np.linalg.norm(theta) == pytest.approx(radius, rel=1e-12)
    gradient = logistic_gradient(theta, vectors, labels)
    # Relative to the gradient itself, which is tiny where every label is fitted well.
    assert_kkt(theta, gradient, radius, 10.0 * float(np.linalg.norm(gradient)))


@pytest.mark.parametrize(("radius", "scale"), [(1.0, 3.0), (8.0, 1.0)])
def test_logistic_fits_are_those_of_scipy(radius: float, scale: float) -> None:
    vectors, labels = labelled(7, 60, 4, scale)
    other = minimize(
        logistic_value,
        np.zeros(4),
        args=(vectors, labels),
        jac=logistic_gradient,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda t: radius**2 - t @ t, "jac": lambda t: -2.0 * t},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    theta = logistic_fit(vectors, labels, Ball(radius))
    assert theta == pytest.approx(other.x, abs=1e-5)
    assert logistic_value(theta, vectors, labels) <= other.fun + 1e-9


def test_directions_without_labels_stay_zero_and_no_label_says_nothing() -> None:
    vectors, labels = labelled(1, 50, 3, 2.0)
    vectors[:, 1] = 0.0
    theta = logistic_fit(vectors, labels, Ball(3.0))
    assert theta[1] == pytest.approx(0.0, abs=1e-12)
    assert np.abs(theta[[0, 2]]).min() > 0.01
    assert not logistic_fit(np.zeros((0, 3)), np.zeros(0), Ball(3.0)).any()
    assert not logistic_fit(np.zeros((5, 3)), np.ones(5), Ball(3.0)).any()


def test_a_logistic_fit_does_not_depend_on_where_it_starts() -> None:
    vectors, labels = labelled(3, 80, 3, 2.0)
    cold = logistic_fit(vectors, labels, Ball(4.0))
    for start in np.random.default_rng(0).uniform(-2.0, 2.0, size=(10, 3)):
        assert logistic_fit(vectors, labels, Ball(4.0), start) == pytest.approx(cold, abs=1e-7)


@pytest.mark.parametrize("radius", [0.3, 10.0])
def test_the_square_loss_on_the_ball_is_constrained_least_squares(radius: float) -> None:
    generator = np.random.default_rng(0)
    vectors, targets = generator.uniform(-1.0, 1.0, size=(30, 3)), generator.uniform(-1.0, 1.0, size=30)
    loss = SquareLoss(3)
    for vector, target in zip(vectors, targets, strict=True):
        loss.add(vector, float(target))
    expected = fit(vectors, targets, radius)
    assert loss.fitted(Ball(radius)) == pytest.approx(expected, abs=1e-12)
    assert minimise(loss, Ball(radius), np.zeros(3)) == pytest.approx(expected, abs=1e-9)
    assert loss(expected).value == pytest.approx(float(((vectors @ expected - targets) ** 2).sum()), rel=1e-12)


# Optimism

BETA = 0.3


def likelihood_of(
    seed: int, *, prompts: int = 3, responses: int = 4, rounds: int = 12
) -> tuple[LogLikelihood, Callable[[FloatArray], float]]:
    """A likelihood of base draws, and its value by loops over exponentials that share no code with it."""
    generator = np.random.default_rng(seed)
    features = generator.uniform(-0.7, 0.7, size=(prompts, responses, 2))
    weights = generator.dirichlet(np.ones(responses), size=prompts)
    weights[:, 0] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    likelihood = LogLikelihood(2, BETA)
    for prompt in range(prompts):
        with np.errstate(divide="ignore"):
            likelihood.add_prompt(features[prompt], np.log(weights[prompt]))
    drawn = [
        (prompt, int(generator.choice(responses, p=weights[prompt])))
        for prompt in generator.integers(prompts, size=rounds)
    ]
    for prompt, response in drawn:
        likelihood.add(prompt, features[prompt, response])

    def looped(theta: FloatArray) -> float:
        total = 0.0
        for prompt, response in drawn:
            partition = math.fsum(
                float(weights[prompt, y]) * math.exp(float(theta @ features[prompt, y]) / BETA)
                for y in range(responses)
            )
            total += float(theta @ features[prompt, response]) / BETA - math.log(partition)
        return total

    return likelihood, looped


@pytest.mark.parametrize("seed", range(3))
def test_the_likelihood_is_that_of_loops_and_has_its_gradient(seed: int) -> None:
    likelihood, looped = likelihood_of(seed)
    for theta in np.random.default_rng(seed).uniform(-1.0, 1.0, size=(5, 2)):
        value, magnitude, gradient = likelihood(theta)
        assert value == pytest.approx(looped(theta), rel=1e-12)
        assert magnitude >= abs(value)
        for axis in np.eye(2):
            slope = (looped(theta + 1e-5 * axis) - looped(theta - 1e-5 * axis)) / 2e-5
            assert gradient @ axis == pytest.approx(slope, abs=1e-7)


def test_scores_of_any_size_leave_the_likelihood_finite() -> None:
    likelihood, _ = likelihood_of(0)
    for size in (1e3, 1e6):
        value, _, gradient = likelihood(np.array([size, -size]))
        assert math.isfinite(value)
        assert np.isfinite(gradient).all()
        assert value < 0.0


@pytest.mark.parametrize("alpha", [0.02, 0.2, 2.0])
@pytest.mark.parametrize("logistic", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_an_optimistic_fit_is_the_best_of_the_whole_disc(seed: int, logistic: bool, alpha: float) -> None:
    likelihood, looped = likelihood_of(seed)
    vectors, labels = labelled(seed, 15, 2, 3.0)
    square = SquareLoss(2)
    for vector, label in zip(vectors, labels, strict=True):
        square.add(vector, float(label))

    def brute(theta: FloatArray) -> float:
        errors = ((vectors @ theta - labels) ** 2).sum()
        return (logistic_value(theta, vectors, labels) if logistic else float(errors)) + alpha * looped(theta)

    loss = optimistic(LogisticLoss(vectors, labels) if logistic else square, alpha, likelihood)
    angles, lengths = np.meshgrid(np.linspace(0.0, 2.0 * math.pi, 73), np.linspace(0.0, 1.5, 16))
    disc = np.stack([lengths * np.cos(angles), lengths * np.sin(angles)], axis=-1).reshape(-1, 2)
    lowest = min(brute(theta) for theta in disc)
    ends = [minimise(loss, Ball(1.5), start) for start in (np.zeros(2), *disc[-73::18])]
    # The loss has several valleys where optimism is strong; the lowest is reached from some start.
    assert min(brute(theta) for theta in ends) <= lowest + 1e-9
    for theta in ends:
        here = loss(theta)
        assert here.value == pytest.approx(brute(theta), rel=1e-10)
        assert_kkt(theta, here.gradient, 1.5, here.magnitude)
    assert brute(ends[0]) <= brute(np.zeros(2)) + 1e-12


def test_more_optimism_makes_the_base_draws_less_likely() -> None:
    likelihood, looped = likelihood_of(5)
    square = SquareLoss(2)
    for vector, label in zip(*labelled(5, 15, 2, 3.0), strict=True):
        square.add(vector, float(label))
    values = [
        looped(minimise(optimistic(square, alpha, likelihood), Ball(1.5), np.zeros(2)))
        for alpha in (0.0, 0.05, 0.2, 0.8)
    ]
    assert all(later < earlier - 1e-6 for earlier, later in itertools.pairwise(values))


def test_a_fit_ends_where_its_loss_is_rounding() -> None:
    # Rewards that are realized exactly: the loss falls to the rounding of sums that are far larger.
    likelihood, _ = likelihood_of(2)
    generator = np.random.default_rng(2)
    square, calls = SquareLoss(2), 0
    for vector in generator.uniform(-1.0, 1.0, size=(3000, 2)):
        square.add(vector, float(100.0 * vector @ np.array([0.6, -0.8])))
    loss = optimistic(square, 1e-9, likelihood)

    def watched(theta: FloatArray) -> QuadraticModel:
        nonlocal calls
        calls += 1
        return loss(theta)

    theta = minimise(watched, Ball(200.0), np.zeros(2))
    assert theta == pytest.approx(np.array([60.0, -80.0]), abs=1e-9)
    assert calls <= 20


def test_a_fit_ends_when_only_rounding_is_left_to_gain() -> None:
    # Near theta = 0 log-partitions are small differences of terms that are not, and a step seems to go uphill.
    for seed in range(12):
        rng = np.random.default_rng(seed)
        features, law = rng.normal(size=(16, 4)) / 2.0, rng.dirichlet(np.full(16, 0.3))
        square, likelihood = SquareLoss(4), LogLikelihood(4, 0.03)
        likelihood.add_prompt(features, np.log(law))
        for one, two in rng.choice(16, size=(850, 2), p=law):
            square.add(features[one] - features[two], 0.0)
            likelihood.add(0, features[two])
        total = optimistic(square, 1e-3, likelihood)
        evaluated: list[FloatArray] = []

        def loss(theta: FloatArray, total: Loss = total, evaluated: list[FloatArray] = evaluated) -> QuadraticModel:
            evaluated.append(theta)
            return total(theta)

        theta = minimise(loss, Ball(1.0), np.zeros(4))
        assert len(evaluated) <= 100, f"{len(evaluated)} evaluations"
        assert float(np.linalg.norm(total(theta).gradient)) <= 1e-7


def test_the_log_partition_of_a_sample_is_too_low_by_its_variance() -> None:
    # Two responses of weights 1 and e; all samples of m draws, by how many are of the second.
    draws, chance = 400, 0.3
    mean_weight = 0.7 + 0.3 * math.e
    variance = 0.3 * 0.7 * (math.e - 1.0) ** 2 / mean_weight**2
    bias = 0.0
    for count in range(draws + 1):
        likelihood = LogLikelihood(1, 1.0)
        with np.errstate(divide="ignore"):
            likelihood.add_prompt(np.array([[0.0], [1.0]]), np.log(np.array([draws - count, count]) / draws))
        likelihood.add(0, np.zeros(1))
        probability = comb(draws, count) * chance**count * (1.0 - chance) ** (draws - count)
        bias += probability * (-likelihood(np.ones(1))[0] - math.log(mean_weight))
    assert bias == pytest.approx(-variance / (2.0 * draws), rel=0.02)


OTHER_SETS = [Box(0.6), Box(8.0), Diamond(0.5)]


@pytest.mark.parametrize("parameters", OTHER_SETS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_logistic_fit_on_any_set_is_certified(seed: int, parameters: ParameterSet) -> None:
    vectors, labels = labelled(seed, 40, 3, 2.0)
    theta = logistic_fit(vectors, labels, parameters)
    assert distance(parameters, theta) <= MARGIN * parameters.radius
    gradient = logistic_gradient(theta, vectors, labels)
    assert optimality_gap(parameters, theta, gradient) <= 1e-8 * parameters.radius * float(np.abs(vectors).sum())


@pytest.mark.parametrize("parameters", OTHER_SETS, ids=str)
@pytest.mark.parametrize("logistic", [False, True])
def test_an_optimistic_fit_on_any_set_is_stationary_and_below_its_start(
    parameters: ParameterSet, logistic: bool
) -> None:
    likelihood, _ = likelihood_of(1)
    vectors, labels = labelled(1, 15, 2, 3.0)
    square = SquareLoss(2)
    for vector, label in zip(vectors, labels, strict=True):
        square.add(vector, float(label))
    loss = optimistic(LogisticLoss(vectors, labels) if logistic else square, 0.2, likelihood)
    start = parameters.maximiser(np.array([1.0, -2.0]))
    theta = minimise(loss, parameters, start)
    here = loss(theta)
    assert here.value <= loss(start).value
    assert distance(parameters, theta) <= MARGIN * parameters.radius
    assert optimality_gap(parameters, theta, here.gradient) <= 1e-7 * here.magnitude


def test_the_logistic_fit_of_the_box_is_that_of_scipy() -> None:
    vectors, labels = labelled(7, 60, 4, 3.0)
    for radius in (0.6, 4.0):
        width = radius / 2.0
        other = minimize(
            logistic_value, np.zeros(4), args=(vectors, labels), jac=logistic_gradient, method="L-BFGS-B",
            bounds=[(-width, width)] * 4, options={"ftol": 1e-16, "gtol": 1e-12},
        )  # fmt: skip
        assert logistic_fit(vectors, labels, Box(radius)) == pytest.approx(other.x, abs=1e-5)
