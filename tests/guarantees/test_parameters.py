from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from spanver.errors import ArgumentError
from spanver.guarantees.exploration import confidence_radius, score_error_premise
from spanver.guarantees.identities import kl_bound
from spanver.guarantees.parameters import Parameters, derived_parameters, paper_parameters
from spanver.guarantees.sampler import sampler_multiplier, sampler_samples
from spanver.guarantees.spanner import spanner_size_bound, uncovered_budget, uncovered_probability

CASES: list[dict[str, Any]] = [
    {"eps": 0.05, "delta": 0.1, "dimension": 8, "beta": 0.1, "radius": 1.0, "reward_range": 1.0, "coverage": 16.0},
    {"eps": 0.2, "delta": 0.05, "dimension": 3, "beta": 0.5, "radius": 1.0, "reward_range": 1.0, "coverage": 4.0},
    {"eps": 3.0, "delta": 0.9, "dimension": 1, "beta": 2.0, "radius": 0.1, "reward_range": 2.0, "coverage": 1.0},
    {"eps": 1e-4, "delta": 1e-9, "dimension": 500, "beta": 1e-4, "radius": 7.0, "reward_range": 3.0, "coverage": 2**41},
]


def fixed_point_terms(case: dict[str, Any], derived: Parameters, total: int) -> tuple[float, float, float]:
    """`gamma`, and the two sums of the exploration term, for a number of rounds `total`."""
    d, share = case["dimension"], case["delta"] / 4
    ridge = case["reward_range"] ** 2 / case["radius"] ** 2
    log_growth = d * math.log1p(4 * total / (ridge * d))
    gamma = confidence_radius(ridge, case["radius"], case["reward_range"], share, log_growth)
    nu = case["beta"] / (2 * gamma)
    norms = nu**2 / math.log1p(nu**2) * log_growth + nu**2 * math.log(1 / share)
    return gamma, nu, norms


@pytest.mark.parametrize("case", CASES)
def test_derived_parameters_solve_their_fixed_point(case: dict[str, Any]) -> None:
    derived = derived_parameters(**case)
    total = derived.spanner_size_bound + derived.exploration_rounds
    gamma, nu, norms = fixed_point_terms(case, derived, total)
    assert derived.gamma == pytest.approx(gamma, rel=1e-12)
    assert derived.nu == pytest.approx(nu, rel=1e-12)
    assert derived.spanner_size_bound == spanner_size_bound(case["dimension"], derived.ridge, derived.nu)
    rounds = 3 / case["eps"] * math.sqrt(math.e) * gamma**2 / (2 * case["beta"]) * 1.6 * norms
    assert derived.exploration_rounds == pytest.approx(rounds, rel=1e-9, abs=1)


@pytest.mark.parametrize("case", CASES)
def test_derived_parameters_solve_the_least_fixed_point(case: dict[str, Any]) -> None:
    derived = derived_parameters(**case)
    total = derived.spanner_size_bound + derived.exploration_rounds
    for share_of_total in (0.5, 0.9, 0.99):
        _, nu, norms = fixed_point_terms(case, derived, max(1, int(share_of_total * total)))
        rounds = 3 / case["eps"] * math.sqrt(math.e) * case["beta"] / (8 * nu**2) * 1.6 * norms
        assert spanner_size_bound(case["dimension"], derived.ridge, nu) + rounds > share_of_total * total - 2


@pytest.mark.parametrize("case", CASES)
def test_derived_parameters_bring_every_term_of_the_gap_below_its_share(case: dict[str, Any]) -> None:
    derived = derived_parameters(**case)
    eps, beta, reward_range, coverage = case["eps"], case["beta"], case["reward_range"], case["coverage"]
    assert score_error_premise(derived.nu, derived.gamma, beta)

    # exploration: E5's first term, summed by a factor 1/(1 - 1/e) above what was realised
    total = derived.spanner_size_bound + derived.exploration_rounds
    _, _, norms = fixed_point_terms(case, derived, total)
    realised = kl_bound(beta, 0.5, derived.gamma**2) * norms / derived.exploration_rounds
    assert realised / (1 - 1 / math.e) <= eps / 3

    # what is uncovered: S5, then S6 at the coverage 2 sqrt(e) C of the policies run, then the cost of a bad event
    q = uncovered_budget(derived.spanner_size_bound, case["delta"] / 4) / derived.prompts
    reached = uncovered_probability(2 * math.sqrt(math.e) * coverage, derived.pairs_per_prompt, q)
    cost = (5 * reward_range + 3.4 * beta) * reached
    assert 0.95 * eps / 3 < cost <= eps / 3

    # rejection: R3 at E3's coverage e C / (1/2), and its failures
    assert derived.rejection_multiplier == pytest.approx(sampler_multiplier(2 * math.e * coverage))
    assert derived.rejection_failure * (reward_range + beta) <= eps / 6
    assert derived.rejection_failure * derived.exploration_rounds <= case["delta"] * (1 + 1e-12)


def test_parameters_scale_with_the_unit_of_reward() -> None:
    case = CASES[0]
    one = derived_parameters(**case)
    unit = 1024.0
    scaled = {name: case[name] * unit for name in ("eps", "beta", "radius", "reward_range")}
    other = derived_parameters(**{**case, **scaled})
    assert other.gamma == unit * one.gamma
    assert (other.ridge, other.nu, other.spanner_size_bound) == (one.ridge, one.nu, one.spanner_size_bound)
    assert (other.exploration_rounds, other.prompts) == (one.exploration_rounds, one.prompts)


def samples_of(found: Parameters) -> float:
    """The most samples of a run: phase 1, and two draws and a call of the sampler in each round of phase 2."""
    call = sampler_samples(found.rejection_multiplier, found.rejection_failure) + 1
    return float(2 * found.prompts * found.pairs_per_prompt + found.exploration_rounds * call)


@pytest.mark.parametrize(("parameters", "power"), [(derived_parameters, 1.0), (paper_parameters, 2.0)])
def test_samples_are_linear_in_1_over_eps_with_our_parameters_and_quadratic_with_the_papers(
    parameters: Callable[..., Parameters], power: float
) -> None:
    """Up to logarithms, which change the power by less than a tenth over four decades; prompts do not depend on `C`."""
    case = {"delta": 0.05, "dimension": 8, "beta": 0.1, "radius": 1.0, "reward_range": 1.0, "coverage": 16.0}
    fine, coarse = (parameters(eps=eps, **case) for eps in (1e-8, 1e-4))
    assert math.log10(samples_of(fine) / samples_of(coarse)) / 4 == pytest.approx(power, rel=0.1)
    assert math.log10(fine.prompts / coarse.prompts) / 4 == pytest.approx(1.0, rel=0.1)
    covered = parameters(eps=1e-4, **(case | {"coverage": 2.0**40}))
    assert (covered.prompts, covered.exploration_rounds) == (coarse.prompts, coarse.exploration_rounds)


@pytest.mark.parametrize("eps", [1e-30, 1e30])
@pytest.mark.parametrize("beta", [1e-30, 1e30])
@pytest.mark.parametrize("radius", [1e-30, 1e30])
@pytest.mark.parametrize("dimension", [1, 10**30])
def test_the_iteration_ends_without_overflow_at_every_corner(
    eps: float, beta: float, radius: float, dimension: int
) -> None:
    derived = derived_parameters(eps, 1e-30, dimension, beta, radius, 1e30, 1e30)
    assert 0 < derived.nu < math.inf
    assert derived.rejection_failure > 0
    assert min(derived.exploration_rounds, derived.prompts, derived.pairs_per_prompt) >= 1


def test_coverage_2_to_the_41_and_beta_1e_4_are_ordinary() -> None:
    derived = derived_parameters(0.01, 0.01, 64, 1e-4, 1.0, 1.0, 2.0**41)
    assert derived.pairs_per_prompt == math.ceil(2 * math.sqrt(math.e) * 2**41)
    assert derived.pairs_per_prompt * derived.prompts > 2**63
    assert type(derived.prompts) is int


def test_beta_above_the_reward_range_is_refused_with_the_reason() -> None:
    with pytest.raises(ArgumentError, match=r"beta is 2\.0, but it must be at most reward_range = 1, for the proof"):
        derived_parameters(0.1, 0.1, 2, 2.0, 1.0, 1.0, 4.0)
    derived_parameters(0.1, 0.1, 2, 1.0, 1.0, 1.0, 4.0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("constant", [0.7, 1.0, 3.0])
def test_paper_parameters_are_as_printed_and_bring_each_term_to_a_third_of_eps(
    case: dict[str, Any], constant: float
) -> None:
    found = paper_parameters(**case, constant=constant)
    eps, delta, d, beta = case["eps"], case["delta"], case["dimension"], case["beta"]
    reward_range, radius, coverage = case["reward_range"], case["radius"], case["coverage"]
    log_rounds = max(1.0, math.log(radius / reward_range / delta * found.exploration_rounds))
    assert found.gamma == pytest.approx(constant * reward_range * math.sqrt(d * log_rounds))
    assert found.nu == pytest.approx(beta / found.gamma)
    assert found.ridge == pytest.approx((reward_range / radius) ** 2)
    assert found.rejection_multiplier == pytest.approx(8.0 * math.exp(2.0) * coverage)
    assert found.rejection_failure == min(0.5, 1.0 / found.exploration_rounds)
    twice = max(1.0, math.log(max(1.0, math.log(found.exploration_rounds))))
    growth = max(1.0, math.log(radius / reward_range / found.nu / delta))
    terms = {
        found.exploration_rounds: found.gamma**2 * d * log_rounds / beta,
        found.prompts: found.gamma**2 * d * reward_range**2 * growth * twice / beta**3,
        found.pairs_per_prompt: reward_range**2 * max(1.0, -math.log(delta)) * twice * coverage / beta,
    }
    for count, term in terms.items():
        assert term / count <= eps / 3.0 * (1.0 + 1e-12)
        assert term / max(1, count - 1) > eps / 3.0 * (1.0 - 1e-9) or count == 1


def test_paper_parameters_at_the_extremes() -> None:
    assert paper_parameters(1e-30, 1e-30, 10**30, 1e-30, 1e30, 1e30, 1e30, 1e30).prompts > 10**366
    assert paper_parameters(1e30, 0.99, 1, 1e30, 1.0, 1e30, 1.0).prompts <= 3
