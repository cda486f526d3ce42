"""Every bound takes what is inside its range and refuses, by name, what is outside."""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import isfunction
from typing import Any

import numpy as np
import pytest

from spanver.errors import ArgumentError
from spanver.guarantees import exploration, headline, identities, multi_turn, parameters, proper, sampler, spanner
from spanver.guarantees.spanner import spanner_cost, spanner_size_bound

BOUNDS: dict[str, Callable[..., Any]] = {
    name: value
    for module in (exploration, headline, identities, multi_turn, parameters, proper, sampler, spanner)
    for name, value in vars(module).items()
    if isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
}

INSIDE: dict[str, dict[str, Any]] = {
    "anchored_gap": {"divergence_cost": 0.1, "above": 1.0, "optimal_uncovered": 0.1, "below": 0.5, "uncovered": 0.2},
    "clause_mass_bound": {"share": 0.5, "beta": 0.5, "literals": 3},
    "clause_mass_floor": {"share": 0.5, "beta": 0.5},
    "confidence_radius": {"ridge": 1.0, "radius": 1.0, "reward_range": 1.0, "delta": 0.1, "log_det_ratio": 2.0},
    "decision_threshold": {"clauses": 5, "delta": 0.5, "rewards": 3},
    "density_deviation": {"coverage": 4.0, "multiplier": 64.0},
    "density_multiplier": {"coverage": 4.0},
    "derived_parameters": {
        "eps": 0.2,
        "delta": 0.1,
        "dimension": 2,
        "beta": 0.5,
        "radius": 1.0,
        "reward_range": 1.0,
        "coverage": 4.0,
    },
    "kl_bound": {"beta": 0.5, "deviation": 0.5, "squared_error": 0.1},
    "log_anchored_divergence": {"deviation": 0.5, "share": 0.5},
    "log_coverage_bound": {"excess": 1.0, "beta": 0.5},
    "log_kl_bound": {"beta": 0.5, "deviation": 0.5, "squared_error": 0.1},
    "log_linear_optimum": {"radius": 1.0, "beta": 0.5},
    "log_ratio_factor": {"optimal_covered": 0.9, "deviation": 0.5},
    "log_search_p_value": {"rollouts": 4, "left": 0.5},
    "log_sequence_coverage": {"log_conditional_coverage": 0.5, "horizon": 3},
    "log_truncated_coverage": {"log_coverage": 1.0, "covered_probability": 0.5, "deviation": 0.5},
    "log_psi": {"deviation": 0.5},
    "log_uncovered_ratio": {"log_coverage": 1.0, "optimal_covered": 0.9, "deviation": 0.5},
    "log_untruncated_coverage": {"oscillation": 1.0, "beta": 0.5},
    "needle_least_samples": {"responses": 9, "coverage": 4.0, "beta": 0.5, "dimension": 2},
    "needle_least_samples_weak": {"responses": 9, "coverage": 4.0, "beta": 0.5},
    "mass_gap_floor": {"beta": 0.5, "mass": 0.1, "optimal_mass": 0.5},
    "most_rewards": {"literals": 3, "delta": 0.5},
    "needle_met_strong": {"samples": 1, "rewards": 1, "responses": 9, "coverage": 4.0, "beta": 0.5, "dimension": 2},
    "needle_met_weak_exact": {"samples": 1, "rewards": 1, "responses": 9, "coverage": 4.0},
    "needle_output_ceiling": {"samples": 1, "rewards": 1, "responses": 9, "chance": 0.25},
    "needle_sphere_chance": {"coverage": 4.0, "beta": 0.5, "dimension": 2},
    "needle_strong_chance": {"coverage": 4.0, "beta": 0.5, "dimension": 2},
    "needle_success_floor": {"eps": 0.1, "delta": 0.1, "optimal_value": 0.6},
    "paper_parameters": {
        "eps": 0.1,
        "delta": 0.1,
        "dimension": 2,
        "beta": 0.5,
        "radius": 1.0,
        "reward_range": 1.0,
        "coverage": 4.0,
        "constant": 1.0,
    },
    "policy_uncovered_budget": {"spanner_size": 3, "delta": 0.1},
    "race_draws": {"coverage": 4.0, "delta": 0.1},
    "race_samples": {"multiplier": 4.0, "delta": 0.1},
    "race_total_variation": {"coverage": 4.0, "draws": 3},
    "round_regret": {
        "beta": 0.5,
        "reward_range": 1.0,
        "squared_error": 0.1,
        "uncovered": 0.1,
        "optimal_uncovered": 0.2,
    },
    "reduction_parameters": {"literals": 3, "delta": 0.5},
    "sampler_multiplier": {"coverage": 4.0},
    "sampler_samples": {"multiplier": 16.0, "delta": 0.1},
    "sampler_trials": {"multiplier": 16.0, "delta": 0.1},
    "search_leftover": {"rollouts": 4, "starts": 3, "delta": 0.1},
    "score_error": {"nu": 0.5, "gamma": 0.5},
    "score_error_premise": {"nu": 0.5, "gamma": 0.5, "beta": 0.5},
    "sharp_spanner_regret": {
        "beta": 0.5,
        "reward_range": 1.0,
        "squared_error": 0.1,
        "log_coverage": 1.0,
        "uncertain": 0.1,
        "deviation": 0.5,
    },
    "spanner_cost": {"tries": 5, "spanner_size": 3},
    "largest_rewards": {"spanner_size": 3, "prompts": 5, "rounds": 7},
    "spanner_regret": {
        "beta": 0.5,
        "reward_range": 1.0,
        "squared_error": 0.1,
        "coverage": 4.0,
        "eps": 0.1,
        "beyond": 0.1,
    },
    "spanner_size_bound": {"dimension": 2, "ridge": 1.0, "nu": 0.5},
    "truncated_gap": {
        "beta": 0.5,
        "reward_range": 1.0,
        "squared_error": 0.1,
        "uncovered": 0.1,
        "optimal_covered": 0.9,
        "deviation": 0.5,
    },
    "uncovered_budget": {"spanner_size": 3, "delta": 0.1},
    "uncovered_prompts_budget": {"spanner_size": 3, "delta": 0.1},
    "uncovered_threshold": {"prompts": 3, "pairs_per_prompt": 5, "delta": 0.1},
    "uncovered_probability": {"coverage": 4.0, "pairs_per_prompt": 3, "q": 0.1},
}

COUNTS = {
    "clauses",
    "dimension",
    "draws",
    "horizon",
    "literals",
    "pairs_per_prompt",
    "prompts",
    "responses",
    "rewards",
    "rollouts",
    "rounds",
    "samples",
    "spanner_size",
    "starts",
    "tries",
}

ONE_OR_MORE = {"coverage", "multiplier"}

BELOW_ONE = {"delta"}

SHARES = {"beyond", "covered_probability", "optimal_uncovered", "optimal_value", "q", "uncertain", "uncovered"} | {
    "left",
    "mass",
    "optimal_covered",
    "optimal_mass",
    "share",
}

ABOVE_ZERO = {"beta", "delta", "dimension", "draws", "eps", "gamma", "horizon", "nu", "pairs_per_prompt", "radius"} | {
    "clauses",
    "literals",
    "prompts",
    "responses",
    "reward_range",
    "ridge",
    "rollouts",
    "starts",
}


def outside(name: str) -> list[Any]:
    values: list[Any] = [math.nan, math.inf, -1, "1", None, True, np.ones(2)]
    values += [1.5] if name in COUNTS else []
    values += [0] if name in ABOVE_ZERO or name in ONE_OR_MORE else []
    values += [0.99] if name in ONE_OR_MORE else []
    values += [1.0] if name in BELOW_ONE else []
    values += [1.01] if name in SHARES else []
    values += [2] if name == "responses" else []
    return values


def test_each_bound_takes_its_inside_example_and_all_bounds_have_one() -> None:
    assert set(INSIDE) == set(BOUNDS)
    for name, arguments in INSIDE.items():
        BOUNDS[name](**arguments)


@pytest.mark.parametrize(("name", "argument"), [(n, a) for n, arguments in INSIDE.items() for a in arguments])
def test_each_argument_out_of_range_is_refused_by_name(name: str, argument: str) -> None:
    for value in outside(argument):
        with pytest.raises(ArgumentError) as refusal:
            BOUNDS[name](**{**INSIDE[name], argument: value})
        assert refusal.value.name == argument
        assert argument in str(refusal.value)


def test_numpy_scalars_are_taken_like_python_numbers() -> None:
    assert spanner_size_bound(np.int64(4), np.float64(1.0), np.float64(0.3)) == spanner_size_bound(4, 1.0, 0.3)  # type: ignore[arg-type]
    assert type(spanner_cost(np.int64(3), np.int64(2))[0]) is int  # type: ignore[arg-type]
