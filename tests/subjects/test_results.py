"""Results of any subject, brought into one form, or refused by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spanver.errors import ContractError
from spanver.subjects.contract import result_of
from spanver.subjects.results import DensityResult
from spanver.values import Prefix, Response


def token(identity: int, features: list[float]) -> dict[str, Any]:
    return {"id": identity, "features": features}


def multi_turn_run(**pair: Any) -> dict[str, Any]:
    """A run of one layer with one pair, all of it mappings."""
    whole = {"prompt": Prefix(0, ()), "first": token(1, [1.0, 0.0]), "second": token(0, [0.0, 0.5])}
    return {
        "thetas": [[0.5, 0.0]],
        "pairs": [[whole | pair]],
        "targets": [[0.25]],
        "policy": {"layers": [{"precision": np.eye(2)}]},
    }


def test_a_multi_turn_run_may_be_mappings_through_and_through() -> None:
    result = result_of("multi_turn", multi_turn_run())
    assert result.vectors[0].tolist() == [[1.0, -0.5]]
    assert (result.first, result.second) == (((1,),), ((0,),))


def test_a_layer_without_pairs_has_no_vectors() -> None:
    result = result_of("multi_turn", multi_turn_run() | {"pairs": [[]], "targets": [[]]})
    assert result.vectors[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        ({"first": {"id": 1}}, "features"),
        ({"second": 7}, "features"),
        ({"first": token(1, [1.0])}, "multi_turn broke the contract"),
        ({"second": {"features": [0.0, 0.0]}}, "id"),
    ],
)
def test_a_pair_that_lacks_a_part_breaks_the_contract_and_names_it(pair: dict[str, Any], named: str) -> None:
    with pytest.raises(ContractError, match=named):
        result_of("multi_turn", multi_turn_run(**pair))


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
