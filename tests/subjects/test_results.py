"""Results of any subject, brought into one form, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spanver.errors import ContractError
from spanver.learners.core_sets import no_pairs
from spanver.learners.mtss import ValueFit
from spanver.subjects.contract import result_of
from spanver.subjects.results import DensityResult, PairResult
from spanver.values import Response

RUN: dict[str, Any] = {
    "thetas": np.zeros((2, 3, 1)),
    "states": [[0, 4, 2], [0, 1, 1]],
    "actions": [[1, 0, 0], [0, 0, 1]],
    "largest": np.ones((2, 3)),
    "returned": 2,
    "certain": True,
}
FIT = {"theta": [0.5, 0.0], "targets": [0.25]}


@pytest.mark.parametrize("kind", [dict, SimpleNamespace], ids=["mapping", "object"])
def test_results_of_mtss_may_be_mappings_or_objects(kind: Callable[..., Any]) -> None:
    run = result_of("mtss", kind(**RUN))
    assert (run.thetas.shape, run.states[0, 1], run.actions[1, 2]) == ((2, 3, 1), 4, 1)
    assert (run.largest.tolist(), run.returned, run.certain) == ([[1.0] * 3] * 2, 2, True)
    fit = result_of("fit_value", kind(**FIT))
    assert (fit.theta.tolist(), fit.targets.tolist()) == ([0.5, 0.0], [0.25])
    assert result_of("uncertain_state_action", kind(state=np.int64(3), action=1)) == PairResult(3, 1)


def test_the_result_of_the_references_run_is_a_result() -> None:
    """The reference returns its own objects, whose parts have these names."""
    pairs = no_pairs(2)
    assert result_of("fit_value", ValueFit(np.zeros(2), pairs, np.empty(0))).targets.shape == (0,)


@pytest.mark.parametrize(
    ("function", "result", "named"),
    [
        ("mtss", RUN | {"thetas": np.zeros((2, 3))}, "thetas"),
        ("mtss", RUN | {"thetas": np.zeros((1, 3, 1))}, "the shape of states"),
        ("mtss", RUN | {"largest": np.ones((2, 2))}, "the shape of largest"),
        ("mtss", RUN | {"largest": np.full((2, 3), np.nan)}, "largest"),
        ("mtss", RUN | {"actions": np.zeros((2, 3))}, "of integers"),
        ("mtss", RUN | {"returned": 0}, "returned is 0, but it must be from 1 to 2"),
        ("mtss", RUN | {"returned": 3}, "returned is 3, but it must be from 1 to 2"),
        ("mtss", RUN | {"returned": 1.0}, "integer"),
        ("mtss", RUN | {"certain": 1}, "certain"),
        ("mtss", {name: part for name, part in RUN.items() if name != "certain"}, "with the key certain"),
        ("fit_value", FIT | {"theta": [np.inf]}, "theta"),
        ("fit_value", FIT | {"targets": 0.25}, "targets"),
        ("uncertain_state_action", {"state": 0}, "with the key action"),
        ("uncertain_state_action", {"state": 0, "action": 1.5}, "integer"),
        ("uncertain_state_action", (0, 1), "with the attribute state"),
    ],
)
def test_a_result_of_mtss_of_another_form_breaks_the_contract_and_names_the_part(
    function: str, result: Any, named: str
) -> None:
    with pytest.raises(ContractError, match=f"(?s){function} broke the contract: .*{named}"):
        result_of(function, result)


@pytest.mark.parametrize(
    ("function", "result"),
    [("draw_batch", [0, 1]), ("draw_batch", [[0.5]]), ("draw_weights", [[0]]), ("draw_distinct", [1.0])],
)
def test_draws_of_another_form_break_the_contract(function: str, result: Any) -> None:
    assert result_of("draw_batch", [[0, 2], [1, 1]]).tolist() == [[0, 2], [1, 1]]
    with pytest.raises(ContractError, match=f"{function} broke the contract"):
        result_of(function, result)


@pytest.mark.parametrize("response", [3, {"id": 3}, Response(3, np.zeros(2))])
def test_a_response_with_its_ratio_may_be_an_id_or_have_one(response: Any) -> None:
    for value in ({"response": response, "log_ratio": -1}, SimpleNamespace(response=response, log_ratio=-1.0)):
        assert result_of("softmax_sample_density", value) == DensityResult(3, -1.0)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"response": 3}, "log_ratio"),
        ({"log_ratio": 0.0}, "response"),
        ({"response": 3, "log_ratio": np.nan}, "finite"),
        ({"response": 3, "log_ratio": -np.inf}, "finite"),
        ((3, 0.0), "response|log_ratio"),
    ],
)
def test_a_response_without_a_finite_ratio_breaks_the_contract(value: Any, named: str) -> None:
    with pytest.raises(ContractError, match=named):
        result_of("softmax_sample_density", value)
