"""Values are read-only, refuse what they cannot mean, and survive JSON without losing a bit."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spanver.errors import ArgumentError
from spanver.validation import read_only
from spanver.values import (
    Counts,
    LinearScore,
    Outcome,
    Pair,
    RejectionRule,
    Response,
    Responses,
    Rule,
    Score,
    SearchResult,
    TruncatedScore,
    UncertainPairRule,
    from_json,
    to_json,
)

# Doubles that a decimal form is tempted to lose: the smallest, the largest, a signed zero, neighbours of 1.
AWKWARD = np.array([5e-324, 1.7976931348623157e308, -0.0, 1.0 + 2.0**-52, 1.0 - 2.0**-53, 0.1, 1.0 / 3.0, -math.pi])
FEATURES = np.array([[0.1, -0.0], [1.0 / 3.0, 5e-324], [-math.e, 1e300]])
PRECISION = np.array([[2.0, 0.1], [0.1, 1.0 / 3.0]])

RESPONSES = Responses((7, "seven", 0), FEATURES)
LINEAR = LinearScore(AWKWARD)
TRUNCATED = TruncatedScore(FEATURES[0], FEATURES[2], PRECISION, 0.1)
VALUES: dict[str, tuple[Any, Any]] = {
    "Response": (Response(3, AWKWARD), Response),
    "Response-text": (Response('a "quoted" \u00fc\n', AWKWARD), Response),
    "Response-large-id": (Response(2**80, AWKWARD), Response),
    **{f"Response-{outcome.value}": (Response(3, AWKWARD, outcome), Response) for outcome in Outcome},
    "Responses": (RESPONSES, Responses),
    "Responses-none": (Responses((), np.empty((0, 2))), Responses),
    "Pair": (Pair(4, RESPONSES[0], RESPONSES[1]), Pair),
    "Pair-text": (Pair("prompt", RESPONSES[2], RESPONSES[1]), Pair),
    "Counts": (Counts(RESPONSES, np.array([1, 2**62, 3])), Counts),
    "SearchResult": (SearchResult(RESPONSES, 2**80), SearchResult),
    "SearchResult-nothing": (SearchResult(None, 12), SearchResult),
    "LinearScore": (LINEAR, LinearScore),
    "TruncatedScore": (TRUNCATED, TruncatedScore),
    "UncertainPairRule": (UncertainPairRule(PRECISION, 1.0 / 3.0), UncertainPairRule),
    "UncertainPairRule-anchor": (UncertainPairRule(PRECISION, 1.0 / 3.0, FEATURES[1]), UncertainPairRule),
    "RejectionRule": (RejectionRule(LINEAR, -0.1), RejectionRule),
    "RejectionRule-truncated": (RejectionRule(TRUNCATED, 1e-300), RejectionRule),
    "Score-LinearScore": (LINEAR, Score),
    "Score-TruncatedScore": (TRUNCATED, Score),
    "Rule-UncertainPair": (UncertainPairRule(PRECISION, 1.0 / 3.0), Rule),
    "Rule-Trial": (RejectionRule(TRUNCATED, 700.5), Rule),
}


def assert_same(ours: Any, other: Any) -> None:
    """Equal in every field, arrays in every bit."""
    assert type(ours) is type(other)
    if dataclasses.is_dataclass(ours):
        for field in dataclasses.fields(ours):
            assert_same(getattr(ours, field.name), getattr(other, field.name))
    elif isinstance(ours, np.ndarray):
        assert (ours.dtype, ours.shape, ours.tobytes()) == (other.dtype, other.shape, other.tobytes())
    else:
        assert ours == other


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def arrays_in_base64(data: Any) -> Any:
    """The same JSON with every nested list of numbers in the form of shape and bytes."""
    if isinstance(data, dict):
        lists = {"ids", "counts", "tokens"}
        return {key: value if key in lists else arrays_in_base64(value) for key, value in data.items()}
    if isinstance(data, list):
        array = np.array(data, dtype="<f8")
        return {"shape": list(array.shape), "float64": base64.b64encode(array.tobytes()).decode("ascii")}
    return data


def arrays_of(value: Any) -> list[NDArray[Any]]:
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, Enum) or not dataclasses.is_dataclass(value):
        return []
    return [array for field in dataclasses.fields(value) for array in arrays_of(getattr(value, field.name))]


def test_every_value_of_the_module_goes_through_these_tests() -> None:
    described = {type(value) for value, _ in VALUES.values()}
    assert described == {
        *(
            Counts,
            SearchResult,
            LinearScore,
            Pair,
            Response,
            Responses,
            RejectionRule,
            TruncatedScore,
            UncertainPairRule,
        )
    }


@pytest.mark.parametrize("name", list(VALUES))
def test_values_survive_json_bit_for_bit(name: str) -> None:
    value, kind = VALUES[name]
    assert_same(from_json(through_json(to_json(value, kind)), kind), value)


@pytest.mark.parametrize("name", [name for name in VALUES if name != "Responses-none"])
def test_arrays_may_come_as_shape_and_bytes(name: str) -> None:
    value, kind = VALUES[name]
    data = arrays_in_base64(to_json(value, kind))
    assert ("float64" in json.dumps(data)) == (len(arrays_of(value)) > 0)
    assert_same(from_json(through_json(data), kind), value)


def test_an_empty_array_may_come_as_shape_and_bytes() -> None:
    data = {"ids": [], "features": {"shape": [0, 2], "float64": ""}}
    assert_same(from_json(data, Responses), Responses((), np.empty((0, 2))))


def test_members_of_a_union_say_which_they_are() -> None:
    assert to_json(LINEAR, Score)["kind"] == "LinearScore"
    assert to_json(TRUNCATED, Score)["kind"] == "TruncatedScore"
    assert to_json(UncertainPairRule(PRECISION, 1.0), Rule)["kind"] == "UncertainPairRule"
    trial = to_json(RejectionRule(TRUNCATED, 0.5), Rule)
    assert trial["kind"] == "RejectionRule"
    assert trial["score"]["kind"] == "TruncatedScore"


def test_a_try_costs_two_samples_for_a_pair_and_one_for_a_trial_and_is_not_sent() -> None:
    assert UncertainPairRule(np.eye(2), 1.0).samples_per_try == 2
    assert UncertainPairRule(np.eye(2), 1.0, np.ones(2)).samples_per_try == 1
    assert RejectionRule.samples_per_try == 1
    assert set(to_json(UncertainPairRule(PRECISION, 1.0))) == {"precision", "nu", "anchor"}
    assert set(to_json(RejectionRule(LINEAR, 0.5))) == {"score", "log_threshold"}


# ---------------------------------------------------------------------------------------------------------------------
# Read-only.


@pytest.mark.parametrize("name", list(VALUES))
@pytest.mark.parametrize("way", ["made", "read"])
def test_nobody_writes_to_the_arrays_of_a_value(name: str, way: str) -> None:
    value, kind = VALUES[name]
    if way == "read" and name != "Responses-none":
        value = from_json(arrays_in_base64(to_json(value, kind)), kind)
    for array in arrays_of(value):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("name", list(VALUES))
def test_fields_cannot_be_set(name: str) -> None:
    value = VALUES[name][0]
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


MAKERS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "read_only": lambda array: read_only(array, ndim=2, name="array"),
    "Responses": lambda array: Responses(("a", "b"), array).features,
    "UncertainPairRule": lambda array: UncertainPairRule(array, 1.0).precision,
    "TruncatedScore": lambda array: TruncatedScore(np.ones(2), np.ones(2), array, 1.0).precision,
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_what_happens_to_the_given_array_afterwards_does_not_matter(name: str) -> None:
    given = np.eye(2)
    stored = MAKERS[name](given)
    given[0, 0] = 9.0
    assert stored.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert given.flags.writeable


@pytest.mark.parametrize("name", list(MAKERS))
def test_a_read_only_view_of_data_that_can_be_written_to_is_copied(name: str) -> None:
    given = np.eye(2)
    view = given[:]
    view.setflags(write=False)
    stored = MAKERS[name](view)
    given[0, 0] = 9.0
    assert stored.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_read_only_data_are_not_copied() -> None:
    given = np.arange(3.0)
    given.setflags(write=False)
    assert read_only(given, ndim=1, name="array") is given
    assert RESPONSES[1].features.base is not None
    assert np.shares_memory(RESPONSES[1].features, RESPONSES.features)


def test_counts_are_copied() -> None:
    given = np.array([1, 2, 3])
    counts = Counts(RESPONSES, given)
    given[0] = 9
    assert counts.counts.tolist() == [1, 2, 3]
    assert counts.counts.dtype == np.int64


@pytest.mark.parametrize("data", [[1, 2], (1.0, 2.0), np.array([1, 2], dtype=np.int32), np.array([1, 2], dtype=">f4")])
def test_any_array_of_numbers_becomes_float64(data: Any) -> None:
    stored = read_only(data, ndim=1, name="array")
    assert stored.dtype == np.dtype(np.float64)
    assert stored.dtype.isnative
    assert stored.tolist() == [1.0, 2.0]


# ---------------------------------------------------------------------------------------------------------------------
# What the values mean.


def test_responses_are_indexed_in_the_order_drawn() -> None:
    assert len(RESPONSES) == 3
    assert [RESPONSES[position].id for position in range(3)] == [7, "seven", 0]
    assert RESPONSES[2].features.tolist() == FEATURES[2].tolist()
    assert RESPONSES[1].outcome is Outcome.DRAWN


def test_the_difference_of_a_pair_is_first_minus_second() -> None:
    pair = Pair(0, Response(0, np.array([3.0, 1.0])), Response(1, np.array([1.0, 4.0])))
    assert pair.difference.tolist() == [2.0, -3.0]


def test_a_linear_score_is_the_inner_product() -> None:
    features = np.array([[1.0, 2.0], [0.0, -4.0]])
    assert LinearScore(np.array([3.0, 0.5])).of(features).tolist() == [4.0, -2.0]


def test_a_truncated_score_is_relative_and_zero_beyond_nu() -> None:
    score = TruncatedScore(np.array([1.0, 10.0]), np.array([1.0, 1.0]), np.diag([1.0, 4.0]), 2.0)
    features = np.array([[1.0, 1.0], [3.0, 1.0], [3.001, 1.0], [1.0, 2.0], [1.0, 2.001], [0.0, 0.5]])
    assert score.of(features).tolist() == [0.0, 2.0, 0.0, 10.0, 0.0, -6.0]


# ---------------------------------------------------------------------------------------------------------------------
# Refusals.

SCORE: dict[str, Any] = {"theta": np.ones(2), "anchor": np.ones(2), "precision": np.eye(2), "nu": 1.0}
REFUSED: dict[str, Callable[[], Any]] = {
    "features not finite": lambda: Response(0, np.array([math.nan])),
    "features infinite": lambda: Response(0, np.array([math.inf])),
    "features of 2 dimensions": lambda: Response(0, np.ones((1, 1))),
    "features of 0 dimensions": lambda: Response(0, np.float64(1.0)),  # type: ignore[arg-type]
    "features ragged": lambda: Responses((0, 1), [[1.0], [1.0, 2.0]]),  # type: ignore[arg-type]
    "features none": lambda: Response(0, None),  # type: ignore[arg-type]
    "features a mapping": lambda: Response(0, {}),  # type: ignore[arg-type]
    "features text": lambda: Response(0, ["1.0", "2.0"]),  # type: ignore[arg-type]
    "features an array of text": lambda: Response(0, np.array(["1.0"])),
    "features complex": lambda: Response(0, np.array([1.0 + 2.0j])),
    "features beyond float64": lambda: Response(0, [10**400]),  # type: ignore[arg-type]
    "ids more than features": lambda: Responses((0, 1), np.ones((1, 2))),
    "ids fewer than features": lambda: Responses((0,), np.ones((2, 2))),
    "counts of another length": lambda: Counts(RESPONSES, np.array([1, 2])),
    "counts of 2 dimensions": lambda: Counts(RESPONSES, np.array([[1, 2, 3]])),
    "counts of 0": lambda: Counts(RESPONSES, np.array([1, 0, 3])),
    "counts negative": lambda: Counts(RESPONSES, np.array([1, -2, 3])),
    "counts with fractions": lambda: Counts(RESPONSES, np.array([1.0, 2.5, 3.0])),
    "counts text": lambda: Counts(RESPONSES, ["1", "2", "3"]),  # type: ignore[arg-type]
    "counts none": lambda: Counts(RESPONSES, [1, None, 3]),  # type: ignore[arg-type]
    "counts beyond int64": lambda: Counts(RESPONSES, [1, 2**63, 3]),  # type: ignore[arg-type]
    "theta of 2 dimensions": lambda: LinearScore(np.eye(2)),
    "theta not finite": lambda: LinearScore(np.array([1.0, -math.inf])),
    "anchor of another length": lambda: TruncatedScore(**SCORE | {"anchor": np.ones(3)}),
    "anchor not finite": lambda: TruncatedScore(**SCORE | {"anchor": np.array([1.0, math.nan])}),
    "precision of another size": lambda: TruncatedScore(**SCORE | {"precision": np.eye(3)}),
    "precision not square": lambda: UncertainPairRule(np.ones((2, 3)), 1.0),
    "precision of 1 dimension": lambda: UncertainPairRule(np.ones(2), 1.0),
    "precision not symmetric": lambda: UncertainPairRule(np.array([[1.0, 1e-6], [0.0, 1.0]]), 1.0),
    "precision not finite": lambda: UncertainPairRule(np.array([[math.inf]]), 1.0),
    "anchor of another dimension": lambda: UncertainPairRule(PRECISION, 1.0, np.ones(3)),
    "nu of 0": lambda: UncertainPairRule(PRECISION, 0.0),
    "nu negative": lambda: UncertainPairRule(PRECISION, -0.5),
    "nu not a number": lambda: UncertainPairRule(PRECISION, math.nan),
    "nu infinite": lambda: TruncatedScore(**SCORE | {"nu": math.inf}),
    "nu text": lambda: TruncatedScore(**SCORE | {"nu": "1.0"}),
    "nu a boolean": lambda: UncertainPairRule(PRECISION, nu=True),
    "log_threshold not a number": lambda: RejectionRule(LINEAR, math.nan),
    "log_threshold infinite": lambda: RejectionRule(LINEAR, -math.inf),
    "log_threshold text": lambda: RejectionRule(LINEAR, "1.0"),  # type: ignore[arg-type]
    "log_threshold none": lambda: RejectionRule(LINEAR, None),  # type: ignore[arg-type]
    "log_threshold an array": lambda: RejectionRule(LINEAR, np.ones(2)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_values_refuse_what_they_cannot_mean(what: str) -> None:
    with pytest.raises(ArgumentError, match="but it must be") as refusal:
        REFUSED[what]()
    assert what.partition(" ")[0] in refusal.value.name


def test_a_rounding_away_from_symmetry_is_taken() -> None:
    assert UncertainPairRule(np.array([[1.0, 0.1 + 1e-16], [0.1, 1.0]]), 1.0).nu == 1.0


RESPONSE = {"id": 1, "features": [1.0, 2.0], "outcome": "drawn"}
TRUNCATED_DATA = to_json(TRUNCATED)
ONE = base64.b64encode(np.ones(1).tobytes()).decode("ascii")
MEANINGLESS: dict[str, tuple[Any, Any]] = {
    "nothing": (None, Response),
    "a number": (3, Response),
    "a list": ([1, 2], Response),
    "a text": ("Response", Response),
    "a missing field": ({"id": 1}, Response),
    "a surplus field": (RESPONSE | {"more": 1}, Response),
    "an unknown outcome": (RESPONSE | {"outcome": "guessed"}, Response),
    "an id with a fraction": (RESPONSE | {"id": 1.5}, Response),
    "an id that is a boolean": (RESPONSE | {"id": True}, Response),
    "no id": (RESPONSE | {"id": None}, Response),
    "features that are a number": (RESPONSE | {"features": 1.0}, Response),
    "features that are text": (RESPONSE | {"features": ["1.0", "2.0"]}, Response),
    "features that are null": (RESPONSE | {"features": [None]}, Response),
    "features that are nested too deep": (RESPONSE | {"features": [[1.0]]}, Response),
    "bytes of another number": ({"theta": {"shape": [2], "float64": ONE}}, LinearScore),
    "bytes that are not base64": ({"theta": {"shape": [1], "float64": "AAAA*AAA8D8="}}, LinearScore),
    "bytes that are no doubles": ({"theta": {"shape": [1], "float64": ONE[:4]}}, LinearScore),
    "bytes without a shape": ({"theta": {"float64": ONE}}, LinearScore),
    "bytes that are not finite": (
        {"theta": {"shape": [1], "float64": base64.b64encode(np.array([math.nan]).tobytes()).decode("ascii")}},
        LinearScore,
    ),
    "counts with fractions": ({"responses": to_json(RESPONSES), "counts": [1, 2.5, 3]}, Counts),
    "counts of 0": ({"responses": to_json(RESPONSES), "counts": [1, 0, 3]}, Counts),
    "counts beyond int64": ({"responses": to_json(RESPONSES), "counts": [1, 2**63, 3]}, Counts),
    "tries with a fraction": ({"responses": None, "tries": 2.7}, SearchResult),
    "tries that are text": ({"responses": None, "tries": "5"}, SearchResult),
    "tries that are null": ({"responses": None, "tries": None}, SearchResult),
    "nu that is text": (TRUNCATED_DATA | {"nu": "0.1"}, TruncatedScore),
    "nu that is a boolean": (TRUNCATED_DATA | {"nu": True}, TruncatedScore),
    "nu that is negative": (TRUNCATED_DATA | {"nu": -0.1}, TruncatedScore),
    "a score without its kind": (TRUNCATED_DATA, Score),
    "a score of unknown kind": (TRUNCATED_DATA | {"kind": "Score"}, Score),
    "a score of another kind": (TRUNCATED_DATA | {"kind": "LinearScore"}, Score),
    "a rule that is a score": (to_json(TRUNCATED, Score), Rule),
    "a trial whose score lacks its kind": (
        {"score": TRUNCATED_DATA, "log_threshold": 0.5, "kind": "RejectionRule"},
        Rule,
    ),
}


@pytest.mark.parametrize("what", list(MEANINGLESS))
def test_json_that_describes_no_value_is_refused(what: str) -> None:
    data, kind = MEANINGLESS[what]
    with pytest.raises(ArgumentError, match="but it must be"):
        from_json(data, kind)
