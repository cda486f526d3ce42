"""Tables are refused on entry in one sentence, are copies that nobody can write to, and take legal extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spanver.errors import ArgumentError
from spanver.exact.tabular import best_objective, gap, log_coverage, log_optimal_law
from spanver.problems.tabular import TabularProblem

SHIFT = np.array([[0.5], [-0.25]])  # reward = <theta, phi> + a shift per prompt
FEATURES = np.array([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[0.6, 0.8], [-0.6, 0.0], [0.0, -1.0]]])
THETA = np.array([0.5, -0.5])
REWARD = FEATURES @ THETA + SHIFT
LOG_BASE = np.log([[0.5, 0.25, 0.25], [0.125, 0.375, 0.5]])


def arguments(**changes: Any) -> dict[str, Any]:
    legal: dict[str, Any] = {
        "prompt_law": np.array([0.25, 0.75]),
        "log_base": LOG_BASE.copy(),
        "features": FEATURES.copy(),
        "reward": REWARD.copy(),
        "beta": 0.25,
        "radius": 1.0,
        "theta_star": THETA.copy(),
    }
    return legal | changes


def changed(array: np.ndarray[Any, Any], position: tuple[int, ...], value: float) -> np.ndarray[Any, Any]:
    result = array.copy()
    result[position] = value
    return result


# argument, what is given, what the sentence names, the value it shows, what it says is allowed
REFUSALS: list[tuple[str, Any, str, str, str]] = [
    ("beta", 0.0, "beta", "0.0", "finite number above 0"),
    ("beta", -0.5, "beta", "-0.5", "finite number above 0"),
    ("beta", np.nan, "beta", "nan", "finite number above 0"),
    ("beta", np.inf, "beta", "inf", "finite number above 0"),
    ("beta", "0.1", "beta", "'0.1'", "finite number above 0"),
    ("beta", None, "beta", "None", "finite number above 0"),
    ("beta", True, "beta", "True", "finite number above 0"),
    ("beta", np.array([0.1, 0.2]), "beta", "array([0.1, 0.2])", "finite number above 0"),
    ("radius", 0.0, "radius", "0.0", "finite number above 0"),
    ("radius", -1.0, "radius", "-1.0", "finite number above 0"),
    ("radius", np.nan, "radius", "nan", "finite number above 0"),
    ("radius", np.inf, "radius", "inf", "finite number above 0"),
    ("noise", -0.01, "noise", "-0.01", "from 0 to 1"),
    ("noise", 1.01, "noise", "1.01", "from 0 to 1"),
    ("noise", np.nan, "noise", "nan", "from 0 to 1"),
    ("features", FEATURES[0], "the shape of features", "(3, 2)", "3 dimensions"),
    ("features", FEATURES[:, :0], "the shape of features", "(2, 0, 2)", "each at least 1"),
    ("features", FEATURES[:0], "the shape of features", "(0, 3, 2)", "each at least 1"),
    ("features", FEATURES[:, :, :0], "the shape of features", "(2, 3, 0)", "each at least 1"),
    ("features", changed(FEATURES, (1, 2, 0), np.nan), "features", "array([[[", "NaN"),
    ("features", changed(FEATURES, (1, 2, 0), -np.inf), "features", "array([[[", "finite everywhere"),
    ("features", "phi", "features", "'phi'", "array of numbers"),
    ("features", [[[0.0], [0.0, 1.0]]], "features", "[0.0, 1.0]", "array of numbers"),
    ("features", changed(FEATURES, (1, 0, 1), 0.8 + 1e-9), "the longest feature vector", "1.0000000008", "at most 1"),
    ("prompt_law", np.array([0.5, 0.25, 0.25]), "the shape of prompt_law", "(3,)", "(2,)"),
    ("prompt_law", np.array([[0.5, 0.5]]), "the shape of prompt_law", "(1, 2)", "(2,)"),
    ("prompt_law", np.array([1.5, -0.5]), "prompt_law", "-0.5", "at least 0"),
    ("prompt_law", np.array([0.5, 0.25]), "the sum of prompt_law", "0.75", "1"),
    ("prompt_law", np.array([0.0, 0.0]), "the sum of prompt_law", "0.0", "1"),
    ("prompt_law", np.array([0.5, np.nan]), "prompt_law", "nan", "finite everywhere"),
    ("prompt_law", "uniform", "prompt_law", "'uniform'", "array of numbers"),
    ("log_base", LOG_BASE[0], "the shape of log_base", "(3,)", "(2, 3)"),
    ("log_base", LOG_BASE.T, "the shape of log_base", "(3, 2)", "(2, 3)"),
    ("log_base", changed(LOG_BASE, (0, 0), np.nan), "log_base", "nan", "no NaN"),
    ("log_base", changed(LOG_BASE, (0, 0), np.inf), "log_base", "inf", "at most 0"),
    ("log_base", changed(LOG_BASE, (0, 0), 0.25), "log_base", "0.25", "at most 0"),
    ("log_base", changed(LOG_BASE, (1, slice(None)), -np.inf), "log_base", "-inf", "at least one response"),  # type: ignore[arg-type]
    ("log_base", changed(LOG_BASE, (1, 2), np.log(0.25)), "the sum of the base policy", "0.75", "1 at every prompt"),
    ("log_base", LOG_BASE + 1e-8, "the sum of the base policy", "1.00000001", "1 at every prompt"),
    ("log_base", "uniform", "log_base", "'uniform'", "array of numbers"),
    ("reward", REWARD[0], "the shape of reward", "(3,)", "(2, 3)"),
    ("reward", REWARD[:, :2], "the shape of reward", "(2, 2)", "(2, 3)"),
    ("reward", changed(REWARD, (0, 1), np.nan), "reward", "nan", "finite everywhere"),
    ("reward", changed(REWARD, (0, 1), np.inf), "reward", "inf", "finite everywhere"),
    ("reward_range", 0.0, "reward_range", "0.0", "finite number above 0"),
    ("reward_range", -1.0, "reward_range", "-1.0", "finite number above 0"),
    ("reward_range", np.nan, "reward_range", "nan", "finite number above 0"),
    ("reward_range", 0.5, "reward", "0.5 above reward_low + reward_range", "inside its interval"),
    ("reward_low", np.array([0.25, -0.75]), "reward", "0.25 below reward_low", "at least reward_low"),
    ("reward_low", np.array([0.0]), "the shape of reward_low", "(1,)", "(2,)"),
    ("reward_low", np.array([0.0, np.nan]), "reward_low", "nan", "finite everywhere"),
    ("theta_star", np.array([0.5, -0.5, 0.0]), "the shape of theta_star", "(3,)", "(2,)"),
    ("theta_star", np.array([0.5, np.nan]), "theta_star", "nan", "finite everywhere"),
    (
        "theta_star",
        np.array([3.0, 4.0]),
        "the distance of theta_star from the ball of radius 1",
        "4.0",
        "0, but for rounding",
    ),
    ("theta_star", np.array([0.5, -0.5 + 1e-8]), "theta_star", "1.8e-08 off some reward", "every reward difference"),
    ("theta_star", np.array([0.5, -0.25]), "theta_star", "0.45 off some reward difference", "every reward difference"),
]


@pytest.mark.parametrize(("argument", "value", "names", "shows", "allows"), REFUSALS)
def test_bad_input_is_refused_in_a_sentence_with_name_value_and_what_is_allowed(
    argument: str, value: Any, names: str, shows: str, allows: str
) -> None:
    with pytest.raises(ArgumentError) as refusal:
        TabularProblem(**arguments(**{argument: value}))
    sentence = str(refusal.value)
    assert refusal.value.name == names
    assert sentence.startswith(f"{names} is ")
    given, _, allowed = sentence.partition(", but it must be ")
    assert shows in given
    assert allows in allowed
    assert argument in sentence or (argument, names) in {
        ("features", "the longest feature vector"),
        ("log_base", "the sum of the base policy"),
    }


@pytest.mark.parametrize("noise", ["0.5", None])
def test_a_share_of_noise_that_is_no_number_is_refused_like_other_bad_input(noise: Any) -> None:
    with pytest.raises(ArgumentError, match="noise is "):
        TabularProblem(**arguments(noise=noise))


def test_the_arguments_that_the_refusals_start_from_are_legal() -> None:
    problem = TabularProblem(**arguments())
    assert (problem.prompts, problem.responses, problem.dimension) == (2, 3, 2)


@pytest.mark.parametrize(
    "almost",
    [
        {"features": changed(FEATURES, (1, 2, 1), -1.0 - 5e-13), "theta_star": None},
        {"prompt_law": np.array([0.25, 0.75 + 5e-10])},
        {"log_base": LOG_BASE + 5e-10},
        {"log_base": np.log([[0.3333333333, 0.3333333333, 0.3333333334], [0.7, 0.2, 0.1]])},
    ],
)
def test_rounding_in_the_last_digits_is_not_refused(almost: dict[str, Any]) -> None:
    problem = TabularProblem(**arguments(**almost))
    assert problem.prompt_law.sum() == pytest.approx(1.0, abs=1e-15)
    assert np.exp(problem.log_base).sum(axis=1) == pytest.approx(1.0, abs=1e-15)


ARRAYS = ("prompt_law", "log_base", "features", "reward", "reward_low", "theta_star")


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_read_only_copies(name: str) -> None:
    given = arguments(reward_low=REWARD.min(axis=1))
    problem = TabularProblem(**given)
    kept = getattr(problem, name)
    before = kept.copy()
    assert not np.shares_memory(kept, given[name])
    given[name][...] = 0.125
    assert np.array_equal(kept, before)
    with pytest.raises(ValueError, match="read-only"):
        kept[...] = 0.125
    with pytest.raises(AttributeError):
        setattr(problem, name, before)


@pytest.mark.parametrize("name", ARRAYS)
def test_read_only_input_is_copied_too(name: str) -> None:
    given = arguments(reward_low=REWARD.min(axis=1))
    for array in given.values():
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
    assert not np.shares_memory(getattr(TabularProblem(**given), name), given[name])


def test_lists_and_integers_are_taken_as_numbers() -> None:
    problem = TabularProblem(
        prompt_law=[1],  # type: ignore[arg-type]
        log_base=[[0, -np.inf]],  # type: ignore[arg-type]
        features=[[[1], [0]]],  # type: ignore[arg-type]
        reward=[[1, 0]],  # type: ignore[arg-type]
        beta=1,
        radius=1,
    )
    assert problem.features.dtype == np.float64
    assert problem.reward_range == 1.0


def test_the_interval_of_rewards_is_derived_when_it_is_not_given() -> None:
    problem = TabularProblem(**arguments())
    assert problem.reward_low.tolist() == REWARD.min(axis=1).tolist() == [0.0, -0.55]
    # Differences of means: 1.0 at the first prompt (0.5 and -0.5), 0.8 at the second (0.5 and -0.3).
    assert problem.reward_range == 1.0
    assert TabularProblem(**arguments(reward_low=np.array([-0.5, -1.0]))).reward_range == 1.5


def test_equal_rewards_have_an_interval_of_positive_length() -> None:
    problem = TabularProblem(**arguments(reward=np.zeros((2, 3)), theta_star=None))
    assert problem.reward_range > 0.0
    assert (problem.reward_low == 0.0).all()


def one_prompt(log_base: list[float], features: Any, reward: list[float], beta: float = 0.5) -> TabularProblem:
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.array([log_base]),
        features=np.array([features], dtype=np.float64),
        reward=np.array([reward]),
        beta=beta,
        radius=1.0,
    )


def test_base_probabilities_of_zero_and_one_stay_exactly_that() -> None:
    problem = one_prompt([-np.inf, 0.0, -np.inf], [[1.0], [0.5], [0.0]], [1.0, 0.5, 0.0])
    assert problem.log_base.tolist() == [[-np.inf, 0.0, -np.inf]]
    assert np.exp(log_optimal_law(problem)).tolist() == [[0.0, 1.0, 0.0]]
    assert best_objective(problem) == 0.5
    assert log_coverage(problem, log_optimal_law(problem)).tolist() == [0.0]


def test_a_base_probability_of_1e_minus_300_keeps_its_digits() -> None:
    problem = one_prompt([0.0, np.log(1e-300)], [[0.0], [1.0]], [0.0, 1.0], beta=1e-4)
    assert problem.log_base[0, 1] == np.log(1e-300)
    # w = e^{10000} beats 1e-300: the optimum is the second response, and its coverage is 1e300.
    assert np.exp(log_optimal_law(problem))[0, 1] == pytest.approx(1.0, abs=1e-11)
    assert log_coverage(problem, log_optimal_law(problem))[0] == pytest.approx(300 * np.log(10), rel=1e-14, abs=0.0)
    assert best_objective(problem) == pytest.approx(1.0 - 1e-4 * 300 * np.log(10), rel=1e-14, abs=0.0)


def test_one_response_of_one_dimension_has_nothing_to_choose() -> None:
    problem = one_prompt([0.0], [[1.0]], [0.75], beta=1e-4)
    assert (problem.prompts, problem.responses, problem.dimension) == (1, 1, 1)
    assert best_objective(problem) == 0.75
    assert gap(problem, problem.log_base) == 0.0


def test_duplicate_responses_share_the_law_of_their_features() -> None:
    problem = one_prompt(list(np.log([0.25, 0.25, 0.5])), [[0.5], [0.5], [0.0]], [0.5, 0.5, 0.0])
    law = log_optimal_law(problem)[0]
    assert law[0] == law[1]
    assert np.exp(law[0]) == pytest.approx(0.5 / (1.0 + np.exp(-1.0)), rel=1e-14, abs=0.0)


def test_prompts_of_probability_zero_are_legal_and_outside_the_objective() -> None:
    first, second = TabularProblem(**arguments()), TabularProblem(**arguments(prompt_law=np.array([1.0, 0.0])))
    normaliser = np.log((np.exp(LOG_BASE[0]) * np.exp(REWARD[0] / 0.25)).sum())
    assert best_objective(second) == pytest.approx(0.25 * normaliser, rel=1e-14, abs=0.0)
    assert best_objective(second) != best_objective(first)


def test_the_smallest_beta_of_the_specification_is_legal() -> None:
    problem = TabularProblem(**arguments(beta=1e-4))
    # The best response alone: J* = its reward + beta log of its base probability, up to e^{-R/beta}.
    best = np.argmax(REWARD, axis=1)
    expected = REWARD.max(axis=1) + 1e-4 * LOG_BASE[np.arange(2), best]
    assert best_objective(problem) == pytest.approx(0.25 * expected[0] + 0.75 * expected[1], rel=1e-14, abs=0.0)


def test_features_on_the_unit_sphere_and_a_theta_on_the_radius_are_legal() -> None:
    problem = TabularProblem(**arguments(radius=float(np.linalg.norm(THETA))))
    assert np.linalg.norm(problem.features, axis=-1).max() == 1.0


def test_a_shift_of_rewards_at_one_prompt_realizes_all_the_same() -> None:
    shifted = TabularProblem(**arguments(reward=REWARD + np.array([[100.0], [-3.0]])))
    assert np.allclose(np.exp(log_optimal_law(shifted)), np.exp(log_optimal_law(TabularProblem(**arguments()))))
