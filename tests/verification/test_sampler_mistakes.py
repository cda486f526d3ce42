"""The laws of wrong samplers that messages name: wrong samplers are told by them."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from spanver.errors import ViolationError
from spanver.verification.collection import find_properties
from spanver.verification.selection import make_check
from spanver.zoo.catalogue import mutant

drawn, mistakes = (import_module(f"spanver.properties.{each}") for each in ("drawn", "sampler_mistakes"))

ACCEPTED = "test_accepted_responses_have_the_softmax_law"
TARGET = "test_outputs_are_within_the_failure_probability_of_the_target"
WINNERS = "test_winners_of_a_race_are_within_its_bound_of_the_target"


def test_a_shared_uniform_number_prefers_more_than_the_weights() -> None:
    # Below 1/4 it accepts either response, as often; from there to 3/4 the second alone; above, neither.
    law = mistakes.law_of_shared_uniform(np.array([0.5, 0.5]), np.array([1.0, 3.0]), 4.0)
    assert law.tolist() == pytest.approx([0.125 + 0.125, 0.125 + 0.5 + 0.125], abs=1e-12)


@pytest.mark.parametrize("sampler", mistakes.MISTAKES)
def test_laws_of_mistakes_are_laws(sampler: str) -> None:
    problem = drawn.table_of([0.6, 0.27, 0.13], [1.0, 1e2, 1e3])
    for law in mistakes.MISTAKES[sampler](problem, 40.0, 0.01).values():
        assert law.sum() == pytest.approx(1.0, abs=1e-9)
        assert (law >= 0.0).all()


@pytest.mark.parametrize(
    ("wrong", "name", "told"),
    [
        ("sampler-wrong-sign", ACCEPTED, "scores had the other sign"),
        ("sampler-base-policy", ACCEPTED, "responses came from the base policy"),
        ("sampler-weight-squared", ACCEPTED, "weights were squared"),
        ("sampler-without-beta", ACCEPTED, "scores were not divided by beta"),
        ("independent-geometric-mean", TARGET, "the threshold had the geometric mean of the weights"),
        ("race-product", WINNERS, "weights were multiplied by the uniform numbers"),
        ("race-smallest", WINNERS, "the smallest key won"),
        ("race-one-uniform", WINNERS, "all draws of a race shared one uniform number"),
    ],
)
def test_a_violation_names_what_is_wrong(wrong: str, name: str, told: str) -> None:
    found = next(each for each in find_properties() if each.name == name)
    check = make_check(mutant(wrong), found.name, found.guarantees, profile="quick", alpha=1e-6, seed=3)
    with pytest.raises(ViolationError, match=f"expected .*, and .* if {told}"):
        found.test(check)
