"""What a person is told of a violation."""

from __future__ import annotations

import json
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from checks import a_check, coin
from hypothesis import strategies as st

from spanver.errors import ViolationError
from spanver.learners.spanner_sampling import Settings
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.strategies import regressions, run_settings, tabular_problems, token_problems
from spanver.values import LinearScore
from spanver.verification.check import Check, expect
from spanver.verification.experiment import Experiment, law_experiment, mean_experiment
from spanver.verification.finding import Call, Finding, plain
from spanver.verification.rendering import finding_lines, instance_lines, short
from spanver.verification.search import experiments, instances

PROBLEM = TabularProblem(
    prompt_law=np.array([0.25, 0.75]),
    log_base=np.log([[0.5, 0.5], [1.0, 1e-300]]),
    features=np.array([[[0.5], [0.0]], [[1 / 3], [0.0]]]),
    reward=np.array([[0.5, 0.0], [1 / 3, 0.0]]),
    beta=0.05,
    radius=1.0,
)
SETTINGS = Settings(
    prompts=1, pairs_per_prompt=4, nu=0.5, ridge=1.0, exploration_rounds=1, rejection_multiplier=1.0,
    rejection_failure=0.5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 / 3, "0.333333"),
        (-np.inf, "-inf"),
        (np.int64(7), "7"),
        (2**60, str(2**60)),
        ("preference", "preference"),
        (np.array([[0.5, 1.0], [2.0, 3.0]]), "[[0.5, 1], [2, 3]]"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, .. 13 more .., 19]"),
        (LinearScore(np.array([0.5])), "LinearScore(theta=[0.5])"),
        (PROBLEM, "problem"),
    ],
)
def test_values_are_short(value: object, text: str) -> None:
    assert short(value) == text


def test_no_value_is_long() -> None:
    assert len(short(np.random.default_rng(0).random((30, 30, 30)))) <= 240


def test_an_instance_is_a_table_of_the_prompt_that_the_call_is_about() -> None:
    instance = json.loads(json.dumps(plain({"problem": PROBLEM, "multiplier": 2.5, "settings": SETTINGS})))
    call = Call("softmax_sample", {"oracle": "oracle", "prompt": "1", "multiplier": "4", "settings": "Settings(..)"})
    assert list(instance_lines(instance, call)) == [
        "problem: beta=0.05, radius=1, reward_range=0.5, noise=0",
        "  prompt  probability  response  base policy  mean reward  features",
        "  1       0.75         0         1            0.333333     [0.333333]",
        "  1       0.75         1         1e-300       0            [0]",
    ]
    whole = list(instance_lines(instance))
    assert len(whole) == 2 + 4 + 2
    assert whole[-2] == "multiplier: 2.5"
    assert whole[-1].startswith("settings: prompts=1, pairs_per_prompt=4, nu=0.5")


def test_a_large_problem_loses_its_end() -> None:
    instance = {"prompt_law": [1.0], "log_base": [[0.0] * 100], "reward": [[0.0] * 100], "beta": 1.0}
    lines = list(instance_lines({"problem": instance | {"features": [[[0.0]] * 100]}}))
    assert len(lines) == 2 + 24 + 1
    assert lines[-1].strip() == ".. 76 more rows"


def test_problems_in_layers_are_shown_by_layer() -> None:
    problem = TokenProblem(
        prompt_law=np.array([0.5, 0.5]),
        log_base=[np.log([[0.5, 0.5], [0.25, 0.75]]), np.log(np.full((4, 2), 0.5))],
        features=[np.zeros((2, 2, 1)), np.zeros((4, 2, 1))],
        reward=np.zeros((2, 4)),
        beta=0.5,
        radius=1.0,
    )
    instance = json.loads(json.dumps(plain({"problem": problem})))
    assert list(instance_lines(instance)) == [
        "problem: beta=0.5, radius=1, reward_range=1, noise=0",
        "  base policy of layer 1: [[0.5, 0.5], [0.25, 0.75]]",
        "  base policy of layer 2: [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]",
        "  mean rewards: [[0, 0, 0, 0], [0, 0, 0, 0]]",
    ]


def test_processes_of_layers_are_shown_by_layer() -> None:
    problem = LayeredMDP(
        initial_law=np.array([1.0]),
        successors=[np.array([[[0, 1], [1, 0]]])],
        transitions=[np.array([[[1.0, 0.0], [0.5, 0.5]]])],
        log_base=[np.log([[0.25, 0.75]]), np.log([[0.5, 0.5], [1.0, 1e-300]])],
        features=[np.array([[[0.0], [0.5]]]), np.zeros((2, 2, 1))],
        rewards=[np.zeros((1, 2)), np.array([[0.0, 0.5], [0.0, 1.0]])],
        beta=0.5,
        radius=1.0,
        rewarded=(False, True),
    )
    instance = json.loads(json.dumps(plain({"problem": problem})))
    assert list(instance_lines(instance)) == [
        "problem: beta=0.5, radius=1, reward_range=1, noise=0, rewarded=[False, True], anchor=0",
        "  base policy of layer 1: [[0.25, 0.75]]",
        "  base policy of layer 2: [[0.5, 0.5], [1, 1e-300]]",
        "  law of the first state: [1]",
        "  mean rewards of layer 1: [[0, 0]]",
        "  mean rewards of layer 2: [[0, 0.5], [0, 1]]",
        "  features of layer 1: [[[0], [0.5]]]",
        "  features of layer 2: [[[0], [0]], [[0], [0]]]",
        "  next states of layer 1: [[[0, 1], [1, 0]]]",
        "  chances of next states of layer 1: [[[1, 0], [0.5, 0.5]]]",
    ]
    assert short(problem) == "problem"


@hypothesis.settings(max_examples=20, database=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(table=tabular_problems(), tokens=token_problems(), settings=run_settings(), data=regressions())
def test_any_instance_of_a_property_has_lines_of_bounded_length(
    table: TabularProblem, tokens: TokenProblem, settings: Settings, data: object
) -> None:
    instance = plain({"table": table, "tokens": tokens, "settings": settings, "data": data})
    lines = list(instance_lines(json.loads(json.dumps(instance))))
    assert len(lines) >= table.prompts * table.responses + tokens.horizon + 4
    assert max(map(len, lines)) <= 400


def test_a_wrong_law_names_its_worst_outcome_and_shows_all_shares() -> None:
    @experiments(number=st.integers(0, 100))
    def biased(check: Check, number: int) -> Experiment:
        law = np.array([0.5, 0.5])
        return law_experiment(check, coin(0.9), law, of="side of the coin", outcomes=["tails", "heads"])

    check = a_check()
    with pytest.raises(ViolationError) as raised:
        biased(check)
    finding = check.finding
    (tails, low, half), (heads, high, _) = finding.shares
    assert (tails, heads, half) == ("tails", "heads", 0.5)
    assert low + high == pytest.approx(1.0)
    assert (finding.of, finding.expected) == ("side of the coin", "0.5")
    assert finding.message.startswith(f"side of the coin: {finding.observed}, expected 0.5, after ")
    assert str(raised.value).splitlines()[:4] == [
        finding.message,
        "    outcome  observed  expected",
        f"    tails    {low:.4f}    0.5000",
        f"    heads    {high:.4f}    0.5000",
    ]


def test_a_rare_event_is_named() -> None:
    @experiments(number=st.integers(0, 100))
    def rare(check: Check, number: int) -> Experiment:
        return mean_experiment(check, coin(0.9), 0.05, of="run whose gap exceeds 0.05")

    check = a_check()
    with pytest.raises(
        ViolationError, match=r"^run whose gap exceeds 0.05: frequency 0.\d+, expected at most 0.05, after"
    ):
        rare(check)


def test_what_is_expected_is_said_in_parts() -> None:
    @instances(number=st.integers(0, 9))
    def small(check: Check, number: int) -> None:
        expect(True, "nothing", 0, 1)
        expect(number < 5, "number of pairs", number, "below 5")

    check = a_check()
    with pytest.raises(ViolationError, match="number of pairs: 5, expected below 5"):
        small(check)
    assert (check.finding.of, check.finding.observed, check.finding.expected) == ("number of pairs", "5", "below 5")


def test_an_instance_that_the_call_states_has_no_heading() -> None:
    call = Call("fit", {"radius": "1"}, 1, "")
    finding = Finding("test_it", ("E6",), message="it is off", call=call, counterexample={"radius": 1.0})
    assert list(finding_lines(finding)) == ["it is off", f"  call: {call.text}"]
    assert "  smallest instance:" in list(finding_lines(replace(finding, counterexample={"ridge": 1.0})))
