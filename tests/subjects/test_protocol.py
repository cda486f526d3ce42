"""The page, the schema and the messages of the protocol agree, and what they do not have is refused."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from programs import ROOT
from transcripts import RUNS, page_transcripts, transcript

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError, SpanverError
from spanver.oracle import Ledger
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.subjects.contract import FUNCTIONS, Kind
from spanver.subjects.protocol import (
    FORMS,
    JSON,
    LAYERED_QUERIES,
    MSGPACK,
    QUERIES,
    Form,
    answer,
    refusal,
    refused_error,
)

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
    assert set(page_transcripts(PAGE)) == set(RUNS) == FUNCTIONS.keys() | {"refused"}


def test_the_schema_has_the_arguments_of_every_run_and_no_other() -> None:
    stated = SCHEMA["$defs"]["run"]["properties"]["arguments"]["properties"]
    kinds = {key: argument.kind for each in FUNCTIONS.values() for key, argument in each.arguments.items()}
    assert set(stated) == set(kinds)
    arrays = {key for key, form in stated.items() if form == {"$ref": "#/$defs/array"}}
    assert arrays == {key for key, kind in kinds.items() if kind is Kind.ARRAY}


def test_the_schema_has_the_queries_of_the_oracles_with_their_arguments() -> None:
    stated = {
        (form["properties"]["ask"]["const"], tuple(form.get("required", [])), frozenset(form["properties"]))
        for form in SCHEMA["$defs"]["query"]["oneOf"]
    }
    assert stated == {
        (name, query.required, query.allowed | {"seq", "ask", "oracle"})
        for name, query in (*QUERIES.items(), *LAYERED_QUERIES.items())
    }


STATES: dict[str, Any] = {"layer": 0, "ids": [0, 3], "episodes": 2}
NONE = {"shape": [0], "float64": ""}


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        ("harness", {"seq": 1, "run": "fit", "calls": [{"radius": 1.0}]}),
        ("program", {"seq": 1, "queries": [{"ask": "sample", "prompt": 0, "count": 1}], "asks": [[0, 0], [2, 0]]}),
        ("harness", {"seq": 1, "values": [{"answer": 0}], "answers": [0, 0]}),
        ("program", {"seq": 1, "results": [{"result": 0}, {"error": "no", "type": "ValueError"}]}),
        ("harness", {"seq": 2, "ask": "sample", "oracle": 1, "prompt": 0, "count": 3}),
        ("program", {"hello": {"protocol": 2, "name": "x", "provides": [], "form": "msgpack", "precision": 2**-24}}),
        ("program", {"error": "no licence"}),
        ("program", {"seq": 1, "ask": "sample", "states": STATES, "count": 2, "theta": [0.5]}),
        ("program", {"seq": 1, "ask": "reset", "layer": 0, "ids": NONE}),
        ("harness", {"seq": 1, "answer": {"actions": [[0], [1]], "features": [[[0.5]], [[0.0]]]}}),
        ("harness", {"seq": 1, "answer": {**STATES, "ids": NONE}}),
        (
            "harness",
            {"seq": 1, "refused": "BudgetExceededError", "reason": "", "counter": "resets", "asked": 2, "left": 1},
        ),
    ],
)
def test_the_schema_has_what_no_transcript_shows(sender: str, message: Any) -> None:
    validator(sender).validate(message)


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
        ("harness", {"seq": 1, "run": "fit", "arguments": {}, "calls": []}),
        ("program", {"seq": 1, "queries": [{"ask": "guess"}], "asks": [[0, 0]]}),
        ("program", {"hello": {"protocol": 2, "name": "x", "provides": [], "precision": 1.0}}),
        ("program", {"seq": 1, "ask": "reward", "states": STATES, "actions": [0.5, 1]}),
        ("program", {"seq": 1, "ask": "step", "states": {"layer": 0, "ids": [0]}, "actions": [0]}),
        ("program", {"seq": 1, "ask": "reset", "layer": 0, "ids": {"shape": [1], "float64": "AAAAAAAAAAA="}}),
        ("program", {"seq": 1, "ask": "sample", "prompt": 0, "states": STATES, "count": 2}),
        ("harness", {"seq": 1, "run": "mtss", "arguments": {"settings": {"iterations": 1, "nu": 0.5}}}),
        ("program", {"hello": {"protocol": 2, "name": "x", "provides": ["multi_turn"]}}),
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
        JSON.decode(line)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x91\x01",  # a list
        b"\x81\xa1a",  # half
        b"\x80\x80",  # two
        b"\xc1",  # never used
        b"\x81\xa1a\xc7\x00\x01",  # an array without its number of dimensions
        b"\x81\xa1a\xc7\x01\x01\xff",  # of 255 dimensions
        b"\x81\xa1a\xc7\x09\x01\x02" + bytes(7) + b"\x01",  # of two numbers, which are not there
        b"\x81\xa1a\xc7\x00\x09",  # an unknown extension
    ],
)
def test_a_frame_that_is_no_message_is_refused(frame: bytes) -> None:
    with pytest.raises(ArgumentError, match=r" but it must be "):
        MSGPACK.decode(frame)


def through(form: Form, value: Any) -> Any:
    """What the other end reads of a value."""
    sent = bytearray(form.encode({"value": value}) + b"the next")
    bounds = form.bounds(sent)
    assert bounds is not None
    assert form.bounds(sent[: bounds[1] - 1]) is None
    start, end, following = bounds
    assert sent[following:] == b"the next"
    return form.decode(bytes(sent[start:end]))["value"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "array", [np.array([1.0, np.inf]), np.array(-np.inf), np.zeros((0, 3)), np.array([[0.1, 1 / 3], [1e-300, -0.0]])]
)
def test_an_array_comes_back_to_the_bit(form: Form, array: Any) -> None:
    back = np.asarray(through(form, array), dtype=np.float64)
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_arrays_of_a_frame_are_read_only_and_lie_in_memory_as_they_did() -> None:
    table = np.arange(12.0).reshape(3, 4)
    for array in (table, table[:, 1], table.T, table[::2]):
        back = through(MSGPACK, array)
        np.testing.assert_array_equal(back, array)
        assert back.flags.aligned
        assert back.flags.c_contiguous == array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            back[...] = 0.0
        with pytest.raises(ValueError, match="WRITEABLE"):
            through(MSGPACK, table).setflags(write=True)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("number", [0, -(2**70), 2**64, 10**30, True, 0.1, 2.0**-1074])
def test_a_number_comes_back_as_it_is(form: Form, number: Any) -> None:
    back = through(form, [number, {"large": 2**90}])
    assert back == [number, {"large": 2**90}]
    assert type(back[0]) is type(number)
    assert through(form, np.asarray(number)[()] if abs(number) < 2**60 else number) == number


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_infinity_comes_back(form: Form) -> None:
    assert float(through(form, -np.inf)) == -np.inf
    assert np.asarray(through(form, {"all": [1.0, np.inf]})["all"], dtype=np.float64).tolist() == [1.0, np.inf]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "error",
    [
        BudgetExceededError("samples", 2**70, 3),
        QuestionRefusedError("not offered"),
        ArgumentError("prompt", -1, "one that this oracle has issued"),
    ],
)
def test_a_refusal_is_raised_again_at_the_other_end(form: Form, error: SpanverError) -> None:
    again = refused_error(through(form, refusal(error)))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)


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
        through(JSON, array)


def one_response() -> TabularProblem:
    return TabularProblem(np.ones(1), np.zeros((1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1)), 1.0, 1.0)


@pytest.mark.parametrize(
    "query",
    [
        {"ask": "guess"},
        {"ask": ["sample"]},
        {"ask": "budget"},
        {"ask": "sample", "prompt": 0},
        {"ask": "sample", "prompt": 0, "count": 1, "budget": 0},
        {"ask": "sample_until", "prompt": 0, "rule": {"kind": "Always"}, "limit": 1},
    ],
)
def test_a_query_that_no_oracle_has_is_refused(query: dict[str, Any]) -> None:
    oracle = literal_oracle(one_response(), seed=0)
    oracle.prompt()
    with pytest.raises(ArgumentError):
        answer(oracle, {"seq": 1, **query})
    assert oracle.ledger == Ledger()


@pytest.mark.parametrize(
    "query",
    [
        {"ask": "sample", "prompt": 1, "count": 1},
        {"ask": "sample", "prompt": [0], "count": 1},
        {"ask": "sample", "prompt": 0, "count": 1, "theta": ["zero"]},
        {"ask": "sample", "prompt": 0, "count": 1.0},
        {"ask": "reward", "prompt": 0, "response": 10**400},
    ],
)
def test_what_the_oracle_refuses_is_answered_with_its_reason(query: dict[str, Any]) -> None:
    oracle = literal_oracle(one_response(), seed=0)
    oracle.prompt()
    assert answer(oracle, {"seq": 1, **query})["refused"] == "ArgumentError"
    assert oracle.ledger == Ledger()
