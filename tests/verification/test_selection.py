"""Which properties a run has, and how its false-alarm budget is split."""

from __future__ import annotations

import pytest

from spanver.errors import ArgumentError
from spanver.subjects.contract import Subject
from spanver.subjects.reference import subject as reference
from spanver.verification.collection import find_properties
from spanver.verification.profiles import PROFILES
from spanver.verification.selection import expected_properties, is_selected, make_check, statistical_properties


def test_the_budget_of_false_alarms_is_shared_out_and_not_exceeded() -> None:
    statistical = [each for each in find_properties() if each.statistical]
    assert statistical_properties() == len(statistical) > 10
    for profile in PROFILES:
        checks = [
            make_check(reference, each.name, each.guarantees, profile=profile, alpha=1e-3, seed=0)
            for each in statistical
        ]
        assert sum(check.alpha * check.tested for check in checks) <= 1e-3 * (1 + 1e-12)


def test_guarantees_are_selected_by_id_and_by_letter() -> None:
    assert is_selected(["S4", "S7"], "S4")
    assert is_selected(["S4"], "R,S")
    assert is_selected(["S4"], "")
    assert is_selected(["S4"], " s4 ,R1")
    assert not is_selected(["S4"], "S7,R")
    assert is_selected(["MT1"], "MT")
    assert not is_selected(["MT1"], "T")
    with pytest.raises(ArgumentError, match="X9"):
        is_selected(["S4"], "X9")


def test_only_properties_whose_functions_are_provided_are_expected() -> None:
    names = {each.name for each in expected_properties(Subject("small", {"fit": reference.functions["fit"]}))}
    assert names == {"test_the_fit_has_the_least_sum_of_squares_on_the_ball"}
    assert len(expected_properties(reference)) > 50
    assert all(each.needs for each in find_properties())
