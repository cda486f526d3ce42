"""The independent implementation and its variants: what they patch, what they cost, and how exact they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_runs import small_problem

from spanver.guarantees.sampler import sampler_samples
from spanver.oracles.literal import literal_oracle
from spanver.subjects.contract import FUNCTIONS, PRECISIONS, result_of
from spanver.subjects.reference import subject as reference
from spanver.values import FloatArray, LinearScore
from spanver.zoo.catalogue import mutant
from spanver.zoo.independent.losses import Loss, minimise_on_ball
from spanver.zoo.independent.optimisers import accelerated_minimum, shift_by_brent
from spanver.zoo.independent.precision import in_bfloat16
from spanver.zoo.independent.regressions import fit, shift_by_newton
from spanver.zoo.independent.subject import INDEPENDENT
from spanver.zoo.independent.variants import CONTROLS, MEASURED

SAMPLERS = [
    each for each in (*CONTROLS, *MEASURED) if "softmax_sample" in each.functions or each.name == "variant-independent"
]


def test_it_provides_the_whole_contract_and_shares_no_function_with_the_reference() -> None:
    assert INDEPENDENT.provides == set(FUNCTIONS)
    assert not set(INDEPENDENT.functions.values()) & set(reference.functions.values())


def test_a_variant_is_the_independent_implementation_but_for_its_functions_claims_and_precision() -> None:
    subject = mutant("variant-independent-fewer-trials")
    own = {name for name, function in subject.functions.items() if function is not INDEPENDENT.functions[name]}
    assert own == {"softmax_sample"}
    assert subject.claims == {"A1r", "A2"}
    assert mutant("variant-independent-float32").precision == "float32"


@pytest.mark.parametrize("control", SAMPLERS, ids=lambda control: control.name)
def test_a_sampler_keeps_within_its_bound_also_where_it_makes_one_trial(control: Any) -> None:
    sample = mutant(control.name).functions["softmax_sample"]
    problem = small_problem(0)
    for failure in (0.99, 0.01):  # at 0.99 the smallest pilot
        oracle = literal_oracle(problem, seed=0)
        drawn = sample(
            oracle, oracle.prompt(), LinearScore(np.ones(problem.dimension)), multiplier=1.0, failure=failure, seed=0
        )
        assert result_of("softmax_sample", drawn) in range(problem.responses)
        assert oracle.ledger.samples <= sampler_samples(1.0, failure)


@pytest.mark.parametrize("name", ["variant-independent", "variant-independent-brent", "variant-independent-programmed"])
@pytest.mark.parametrize("radius", [1e-8, 0.1, 10.0])
def test_a_fit_has_the_least_loss_up_to_rounding(name: str, radius: float) -> None:
    rng = np.random.default_rng(1)
    features, targets = rng.normal(size=(6, 3)), rng.normal(size=6)

    def loss(fit: Callable[..., FloatArray]) -> float:
        theta = fit(features, targets, radius)
        assert np.linalg.norm(theta) <= radius * (1 + 1e-15)
        return float(np.sum((features @ theta - targets) ** 2))

    scale = float(targets @ targets)
    assert loss(mutant(name).functions["fit"]) - loss(reference.functions["fit"]) <= 1e-15 * len(targets) * scale


@pytest.mark.parametrize("feedback", ["reward", "preference"])
def test_both_optimisers_reach_the_same_loss(feedback: str) -> None:
    rng = np.random.default_rng(2)
    loss = Loss(list(rng.normal(size=(5, 2))), [1.0, -1.0, 1.0, 1.0, -1.0], feedback)
    values = [
        loss.value(minimise(loss, np.zeros(2), radius))
        for radius in (0.1, 10.0)
        for minimise in (minimise_on_ball, accelerated_minimum)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-14)
    assert values[2] == pytest.approx(values[3], rel=1e-14)


def test_rounding_to_bfloat16_is_off_by_its_unit_at_most_and_keeps_infinities() -> None:
    numbers = np.geomspace(1e-300, 1e300, 1001)
    errors = np.abs(in_bfloat16(numbers) / numbers - 1.0)
    assert PRECISIONS["bfloat16"] / 2 < errors.max() <= PRECISIONS["bfloat16"]
    np.testing.assert_array_equal(in_bfloat16(np.array([-np.inf, 0.0, -0.5, 1.0 + 2.0**-8])), [-np.inf, 0.0, -0.5, 1.0])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_narrow_norms_are_as_wrong_as_their_precision_allows_and_not_exact(precision: str) -> None:
    rng = np.random.default_rng(3)
    features, root = rng.normal(size=(20, 3)), rng.normal(size=(3, 3))
    sigma = np.eye(3) + root @ root.T
    subject = mutant(f"variant-independent-{precision}")
    exact = INDEPENDENT.functions["elliptic_norms"](features, sigma)
    error = np.abs(subject.functions["elliptic_norms"](features, sigma) / exact - 1.0).max()
    # Rounding Sigma moves a norm by at most half of its condition times the unit, rounding features by one unit more.
    assert 0.0 < error <= (1.0 + np.linalg.cond(sigma)) * 3 * subject.unit


def test_a_fit_whose_minimum_is_on_the_sphere_by_rounding_is_found() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        features, targets = generator.normal(size=(6, 3)), generator.normal(size=6)
        free = fit(features, targets, 1e6)
        radius = float(np.nextafter(np.linalg.norm(free), 0.0))
        for shift in (shift_by_newton, shift_by_brent):
            assert np.allclose(fit(features, targets, radius, shift=shift), free, rtol=1e-9, atol=0.0)
