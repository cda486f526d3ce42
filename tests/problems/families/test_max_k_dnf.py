"""Max-k-DNF: every term, reward and base probability is what its planted assignment says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from laws import assert_law

from spanver.errors import ArgumentError
from spanver.exact.tabular import best_objective, log_coverage, log_optimal_law
from spanver.oracles.literal import literal_oracle
from spanver.problems.families.max_k_dnf import max_k_dnf_problem
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray

SETTINGS: list[dict[str, Any]] = [
    {},
    {"satisfied": 0.5, "noise": 1.0},
    {"satisfied": 0.0, "literals": 1},
    {"satisfied": 0.3, "literals": 10, "variables": 10, "prompts": 40},
    {"satisfied": 0.75, "literals": 7, "variables": 30, "prompts": 9, "beta": 1e-4},
]


def informative(problem: TabularProblem, array: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rows of the informative response and of the null one, which has no features."""
    place = np.argmax(np.abs(problem.features).sum(axis=2), axis=1)
    rows = np.arange(problem.prompts)
    return array[rows, place], array[rows, 1 - place]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_a_prompt_is_a_term_of_literals_and_its_reward_counts_those_that_hold(
    seed: int, settings: dict[str, Any]
) -> None:
    problem = max_k_dnf_problem(seed, **settings)
    variables, literals = problem.parameters["variables"], problem.parameters["literals"]
    term, null = informative(problem, problem.features)
    assert not null.any()
    assert ((term != 0).sum(axis=1) == literals).all()
    assert set(np.abs(term[term != 0])) == {1.0 / literals}
    assert problem.theta_star is not None
    assert set(np.abs(problem.theta_star)) == {1.0}
    assert (problem.radius, problem.reward_range, problem.dimension) == (math.sqrt(variables), 1.0, variables)
    # Assumption 1.1, and in numbers of literals: those that hold less those that do not, over k.
    earned = np.subtract(*informative(problem, problem.reward))
    assert term @ problem.theta_star == pytest.approx(earned, abs=1e-14)
    held = (np.sign(term) == problem.theta_star).sum(axis=1)
    assert earned == pytest.approx((2 * held - literals) / literals, abs=1e-14)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_stated_share_of_the_terms_holds_under_the_assignment(settings: dict[str, Any]) -> None:
    for seed in range(5):
        problem = max_k_dnf_problem(seed, **settings)
        earned = np.subtract(*informative(problem, problem.reward))
        share = problem.parameters["satisfied"]
        assert (earned > 1.0 - 1e-9).sum() == round(share * problem.prompts)


@pytest.mark.parametrize("beta", [1e-3, 0.05, 0.25, 2.0, 100.0])
def test_the_informative_response_has_its_base_probability_and_the_optimum_its_closed_forms(beta: float) -> None:
    problem = max_k_dnf_problem(4, beta=beta)
    rare, common = informative(problem, problem.log_base)
    assert (rare == -1.0 / beta).all()
    assert np.exp(common) == pytest.approx(1.0 - math.exp(-1.0 / beta), rel=1e-14, abs=0.0)
    of_optimum = 1.0 / beta - math.log(2.0 - math.exp(-1.0 / beta))
    assert log_coverage(problem, log_optimal_law(problem)) == pytest.approx(of_optimum, rel=1e-13, abs=0.0)
    shift = informative(problem, problem.reward)[1]
    value = shift.mean() + beta * math.log(2.0 - math.exp(-1.0 / beta))
    assert best_objective(problem) == pytest.approx(value, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("settings", SETTINGS)
def test_rewards_lie_in_an_interval_of_length_one_that_is_shifted_per_prompt(settings: dict[str, Any]) -> None:
    problem = max_k_dnf_problem(6, **settings)
    above = problem.reward - problem.reward_low[:, None]
    assert above.min() >= -1e-15
    assert above.max() <= 1.0 + 1e-15
    # Both rewards are equally far from the middle.
    assert above.sum(axis=1) == pytest.approx(1.0, abs=1e-14)
    shift = informative(problem, problem.reward)[1]
    assert len(np.unique(shift)) == problem.prompts
    assert np.abs(shift).max() <= 1.0


def test_noisy_rewards_of_an_unsatisfied_term_have_their_mean() -> None:
    problem = max_k_dnf_problem(0, satisfied=0.0, prompts=1, noise=1.0)
    oracle = literal_oracle(problem, seed=0)
    prompt = oracle.prompt()
    for response in (0, 1):
        low = float(problem.reward_low[0])
        counts: Counter[Hashable] = Counter(round(oracle.reward(prompt, response) - low, 9) for _ in range(4000))
        mean = float(problem.reward[0, response]) - low
        assert_law(counts, {0.0: 1.0 - mean, 1.0: mean})


def test_the_false_literals_of_an_unsatisfied_term_are_any_with_equal_chances() -> None:
    problem = max_k_dnf_problem(1, satisfied=0.0, variables=4, literals=2, prompts=9000)
    term, _ = informative(problem, problem.features)
    assert problem.theta_star is not None
    false = np.sign(term) * problem.theta_star < 0
    counts = Counter(tuple(row[used]) for row, used in zip(false, term != 0, strict=True))
    law: dict[Hashable, float] = {(True, False): 1 / 3, (False, True): 1 / 3, (True, True): 1 / 3}
    assert_law({tuple(bool(value) for value in key): count for key, count in counts.items()}, law)


def test_neither_labels_nor_variables_nor_the_assignment_are_favoured() -> None:
    problem = max_k_dnf_problem(2, prompts=4000)
    places = np.argmax(np.abs(problem.features).sum(axis=2), axis=1)
    assert_law(Counter(places.tolist()), {0: 0.5, 1: 0.5})
    used = (problem.features != 0).any(axis=1).sum(axis=0)
    # Each of 8 variables stands in a term with probability 3/8: six standard deviations either way.
    assert np.abs(used - 1500).max() <= 6 * math.sqrt(4000 * 3 / 8 * 5 / 8)
    assignments = [max_k_dnf_problem(seed, prompts=1).theta_star for seed in range(300)]
    assert np.abs(np.sum([z for z in assignments if z is not None], axis=0)).max() <= 6 * math.sqrt(300)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"variables": 0}, "variables is 0"),
        ({"literals": 0}, "literals is 0"),
        ({"literals": 9}, "literals is 9"),
        ({"prompts": 0}, "prompts is 0"),
        ({"satisfied": -0.1}, "satisfied is -0.1"),
        ({"satisfied": 1.1}, "satisfied is 1.1"),
        ({"satisfied": math.nan}, "satisfied is nan"),
        ({"satisfied": True}, "satisfied is True"),
        ({"beta": 0.0}, "beta is 0.0"),
        ({"noise": 2.0}, "noise is 2.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_outside_the_family_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentError, match="but it must be") as refusal:
        max_k_dnf_problem(**settings)
    assert str(refusal.value).startswith(sentence)
