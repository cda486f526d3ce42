"""Right code in single and half precision holds where it declares its precision, and is accused where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from checks import a_check
from precise_subjects import subject_in, to_bfloat16, to_float32, to_float64

from spanver.errors import ViolationError
from spanver.subjects.contract import Subject
from spanver.verdicts import Verdict
from spanver.verification.design import Design
from spanver.verification.profiles import PROFILES
from spanver.zoo.independent.subject import INDEPENDENT

identities, sampler, spanner, exploration, multi_turn, truncation = (
    import_module(f"spanver.properties.test_{name}")
    for name in ("identities", "sampler", "spanner", "exploration", "multi_turn", "truncation")
)
SEED = 0
BRIEF = replace(PROFILES["quick"], shrinks=2)
SINGLE, HALF = subject_in(to_float32, "float32"), subject_in(to_bfloat16, "bfloat16")


def properties_of(subject: Subject) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Properties of the functions that a subject provides."""
    for module in (identities, sampler, spanner, exploration, multi_turn):
        for name, found in vars(module).items():
            marks = getattr(found, "pytestmark", [])
            if name.startswith("test_") and marks and set(marks[0].kwargs["needs"]) <= subject.provides:
                yield name, found


@pytest.mark.parametrize("name", [name for name, _ in properties_of(SINGLE)])
@pytest.mark.parametrize("subject", [SINGLE, HALF, subject_in(to_float64, "float64")], ids=lambda each: each.name)
def test_right_code_in_the_precision_that_it_declares_holds(subject: Subject, name: str) -> None:
    check = a_check(subject=subject, name=name, run_seed=SEED)
    dict(properties_of(subject))[name](check)
    assert check.finding.verdict is Verdict.HOLDS


@pytest.mark.parametrize("rounding", [to_float32, to_bfloat16])
@pytest.mark.parametrize(
    "accusing",
    [
        identities.test_policies_sum_to_one_and_ignore_what_is_common_to_all_responses,
        identities.test_divergence_is_its_definition,
        sampler.test_large_constants_neither_overflow_nor_change_a_law,
        exploration.test_truncation_keeps_the_scores_of_what_is_covered_and_of_nothing_else,
    ],
)
def test_code_in_single_or_half_precision_that_declares_double_is_accused(
    rounding: Callable[[Any], Any], accusing: Callable[[Any], None]
) -> None:
    with pytest.raises(ViolationError, match="float64 allows"):
        accusing(a_check(subject=subject_in(rounding, "float64"), profile=BRIEF))


def test_bfloat16_is_too_coarse_for_what_declares_single_precision() -> None:
    with pytest.raises(ViolationError, match="float32 allows"):
        identities.test_divergence_is_its_definition(a_check(subject=subject_in(to_bfloat16, "float32"), profile=BRIEF))


def test_where_the_bounds_of_a_precision_say_nothing_nobody_is_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The gap is bounded by 0, and grows by an infinite factor: the product of both is no number.
    judged = truncation.test_gaps_of_confident_rounds_are_small
    features = np.array([[[0.0, 0.0], [0.25, 0.0], [0.25, 0.0]]])
    problem = replace(truncation.witness(), features=features, theta_star=np.zeros(2), noise=0.0)
    monkeypatch.setattr(judged, "design", Design(({**truncation.WITNESSES[0], "problem": problem},)))
    check = a_check(subject=replace(INDEPENDENT, precision=1e-3), profile=replace(BRIEF, examples=1))
    with pytest.raises(pytest.skip.Exception):
        judged(check)
    assert "bounds say nothing" in check.finding.not_judged
