"""The page, the schema and the messages of the protocol agree, and what they do not have is refused."""

from __future__ import annotations

import json
from inspect import Parameter
from typing import Any

import jsonschema
import numpy as np
import pytest
from programs import ROOT
from transcripts import RUNS, page_transcripts, transcript

from spanver.errors import ArgumentError
from spanver.oracle import Ledger
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.subjects.contract import FUNCTIONS, REMOTE, Kind
from spanver.subjects.protocol import QUERIES, answer, decode, decoded, encoded

SCHEMA = json.loads((ROOT / "spanver" / "subjects" / "protocol.schema.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RUNS)
def test_a_transcript_of_the_page_is_what_really_goes_over_the_pipe(name: str) -> None:
    stated, said = page_transcripts(PAGE)[name], transcript(name)
    assert [sender for sender, _ in stated] == [sender for sender, _ in said]
    for (sender, one), (_, other) in zip(stated, said, strict=True):
        validator(sender).validate(one)
        validator(sender).validate(other)
        assert_same(one, other)


def validator(sender: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(SCHEMA | {"oneOf": [{"$ref": f"#/$defs/{sender}"}]})


def assert_same(one: Any, other: Any) -> None:
    """Equal, but for the rounding of numbers."""
    if isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for each, of_other in zip(one, other, strict=True):
            assert_same(each, of_other)
    else:
        assert one == other


def test_the_page_has_a_transcript_of_every_run_and_no_other() -> None:
    assert set(page_transcripts(PAGE)) == set(RUNS) == REMOTE | {"refused"}


def test_the_schema_has_the_arguments_of_every_run_and_no_other() -> None:
    stated = SCHEMA["$defs"]["run"]["properties"]["arguments"]["properties"]
    kinds = {key: argument.kind for name in REMOTE for key, argument in FUNCTIONS[name].arguments.items()}
    assert set(stated) == set(kinds)
    arrays = {key for key, form in stated.items() if form == {"$ref": "#/$defs/array"}}
    assert arrays == {key for key, kind in kinds.items() if kind is Kind.ARRAY}


def test_the_schema_has_the_queries_of_the_oracle_with_their_arguments() -> None:
    stated = {
        form["properties"]["ask"]["const"]: (set(form.get("required", [])), set(form["properties"]) - {"seq", "ask"})
        for form in SCHEMA["$defs"]["ask"]["oneOf"]
    }
    assert stated == {
        name: (
            {each.name for each in parameters if each.default is Parameter.empty},
            {each.name for each in parameters},
        )
        for name, parameters in QUERIES.items()
    }


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        ("program", {"seq": 1, "result": None}),
        ("program", {"seq": 1, "result": [1.0], "error": "both"}),
        ("program", {"seq": 0, "error": "no such run"}),
        ("program", {"seq": 1, "ask": "sample", "prompt": 0}),
        ("program", {"seq": 1, "ask": "sample", "prompt": 0, "count": 1.5}),
        ("program", {"seq": 1, "ask": "guess"}),
        ("program", {"hello": {"protocol": 1, "name": "new", "provides": []}}),
        ("harness", {"seq": 1, "result": [1.0]}),
    ],
)
def test_the_schema_refuses_what_the_protocol_does_not_have(sender: str, message: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(sender).validate(message)


@pytest.mark.parametrize(
    "line",
    [b"", b"[1]", b"{", b'{"a": NaN}', b'{"a": -Infinity}', b"\xff\xfe{}", b"[" * 100_000, b"1" * 5000],
    ids=["nothing", "a list", "half", "NaN", "infinity", "no text", "deep", "a long number"],
)
def test_a_line_that_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ArgumentError, match=r"^line is .* but it must be"):
        decode(line)


@pytest.mark.parametrize(
    "array", [np.array([1.0, np.inf]), np.array(-np.inf), np.zeros((0, 3)), np.array([[0.1, 1 / 3], [1e-300, -0.0]])]
)
def test_an_array_comes_back_to_the_bit(array: Any) -> None:
    back = np.asarray(decoded(json.loads(json.dumps(encoded(array), allow_nan=False))), dtype=np.float64)
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        {"shape": [2], "float64": "AAAAAAAA8H8="},
        {"shape": [-1], "float64": "AAAAAAAA8H8="},
        {"shape": [10**30, 0], "float64": "AAAAAAAA8H8="},
        {"shape": 1, "float64": "AAAAAAAA8H8="},
        {"shape": [1], "float64": "?"},
        {"shape": [1], "float64": [1.0]},
    ],
)
def test_a_damaged_array_is_refused(array: Any) -> None:
    with pytest.raises(ArgumentError):
        decoded(array)


@pytest.mark.parametrize(
    "query",
    [
        {"ask": "guess"},
        {"ask": ["sample"]},
        {"ask": "ledger"},
        {"ask": "sample", "prompt": 0},
        {"ask": "sample", "prompt": 0, "count": 1, "budget": 0},
        {"ask": "sample", "prompt": [0], "count": 1},
        {"ask": "sample", "prompt": 0, "count": 1, "theta": "zero"},
        {"ask": "sample", "prompt": 0, "count": 1.0},
        {"ask": "reward", "prompt": 0, "response": 10**400},
        {"ask": "sample_until", "prompt": 0, "rule": {"kind": "Always"}, "limit": 1},
    ],
)
def test_a_query_that_the_oracle_does_not_have_is_refused(query: dict[str, Any]) -> None:
    problem = TabularProblem(np.ones(1), np.zeros((1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1)), 1.0, 1.0)
    oracle = literal_oracle(problem, seed=0)
    oracle.prompt()
    with pytest.raises(ArgumentError):
        answer(oracle, {"seq": 1, **query})
    assert oracle.ledger == Ledger()
