"""The shape of the set of parameters travels by its name; one without a name does not leave the process."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from own_sets import Diamond

from spanver.errors import ArgumentError
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball, Box, Shape
from spanver.problems.families.random_tables import random_problem
from spanver.subjects.calls import prepared_call
from spanver.subjects.process import python_subject
from spanver.subjects.protocol import JSON, MSGPACK, Form
from spanver.subjects.remote import RemoteOracle

PROBLEM = dataclasses.replace(random_problem(1, dimension=2), theta_star=None)
ROUNDS = {"rounds": 1, "seed": 0}


@pytest.mark.parametrize(("shape", "name"), [(Ball, "ball"), (Box, "box")])
def test_facts_hold_the_name_and_the_other_end_has_the_shape_again(shape: Shape, name: str) -> None:
    oracle = literal_oracle(dataclasses.replace(PROBLEM, shape=shape), seed=0)
    facts = prepared_call("passive_learner", (oracle,), ROUNDS).sent["oracle"]
    assert facts["shape"] == name
    remote = RemoteOracle({**facts, "budget": {}}, lambda query, kind: None)
    assert remote.shape is shape


@pytest.mark.parametrize("form", [JSON, MSGPACK])
def test_a_problem_is_written_with_the_name_of_its_shape(form: Form) -> None:
    message = {"problem": dataclasses.replace(PROBLEM, shape=Box)}
    encoded = form.encode(message)
    start, end, _ = form.bounds(bytearray(encoded)) or (0, 0, 0)
    assert form.decode(encoded[start:end])["problem"]["shape"] == "box"


def test_a_shape_of_somebodys_own_is_refused_before_anything_is_sent() -> None:
    oracle = literal_oracle(dataclasses.replace(PROBLEM, shape=Diamond), seed=0)
    with pytest.raises(ArgumentError, match="one that has a name: ball, box"):
        prepared_call("passive_learner", (oracle,), ROUNDS)


def test_an_unknown_name_is_refused() -> None:
    facts = {"dimension": 1, "beta": 1.0, "radius": 1.0, "reward_range": 1.0, "shape": "simplex"}
    with pytest.raises(ArgumentError, match="shape is 'simplex'"):
        RemoteOracle(facts, lambda query, kind: None)


def test_a_learner_and_an_oracle_in_a_process_of_their_own_keep_to_the_box() -> None:
    subject = python_subject("spanver.subjects.reference:subject")
    try:
        boxed = dataclasses.replace(PROBLEM, shape=Box, radius=0.1)
        run = subject.functions["passive_learner"](literal_oracle(boxed, seed=1), rounds=8, seed=0)
        width = Box(0.1).half_width(2)
        assert np.abs(np.array(run["theta"])).max() == pytest.approx(width, rel=1e-12)
        oracle = subject.functions["literal_oracle"](boxed, seed=1, budget=None)
        assert oracle.shape is Box
        prompt = oracle.prompt()
        oracle.sample(prompt, 1, theta=np.array([width, -width]))
        with pytest.raises(ArgumentError, match="the distance of theta from the box"):
            oracle.sample(prompt, 1, theta=np.array([0.1, 0.0]))
    finally:
        subject.close()
