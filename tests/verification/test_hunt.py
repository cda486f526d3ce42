"""Results of the zoo: what counts as a kill, as a survivor, and as a false kill."""

from __future__ import annotations

import pytest

from spanver.errors import ArgumentError
from spanver.verdicts import Verdict
from spanver.verification.finding import Fault, Finding
from spanver.verification.hunt import MutantResult, ZooReport, interval, is_stale, request_for, run_zoo
from spanver.verification.report import zoo_lines
from spanver.zoo.catalogue import MUTANTS, find
from spanver.zoo.mutant import Mutant

MUTANT: Mutant = next(each for each in MUTANTS.values() if each.breaks == ("S8",))


def killed_by(*guarantees: str) -> tuple[Finding, ...]:
    return (Finding("test_property", guarantees, Verdict.VIOLATED, message="no"),)


def test_a_kill_by_another_guarantee_than_the_expected_ones_does_not_count() -> None:
    result = MutantResult(MUTANT, (killed_by("S8", "S1"), killed_by("S1"), ()), 1.0)
    assert (result.killed, result.repeats) == (1, 3)
    assert result.killed_by == ("S8",)
    assert result.all_killers == {"S1": 2, "S8": 1}
    assert result.first_kill is not None
    assert result.to_json()["message"] == "no"


@pytest.mark.parametrize(
    ("error", "stale"), [("AttributeError", True), ("TypeError", True), ("LinAlgError", False), ("", False)]
)
def test_a_mutant_that_no_longer_fits_the_package_is_not_killed(error: str, stale: bool) -> None:
    raised = Finding("test_property", ("S8",), Verdict.VIOLATED, fault=Fault("fit", "raised", error))
    assert is_stale(raised) is stale
    assert not is_stale(Finding("test_property", ("S8",), Verdict.VIOLATED, message="fit raised TypeError: no"))


def test_a_survivor_a_false_kill_and_an_exact_guarantee_without_kills_fail_the_zoo() -> None:
    dead, alive = MutantResult(MUTANT, (killed_by("S8"),), 1.0), MutantResult(MUTANT, ((),), 1.0)
    part = ZooReport((dead,), (alive,), 2.0, whole=False)
    assert part.verdict is Verdict.HOLDS
    assert ZooReport((alive,), (alive,), 2.0, whole=False).survivors == [MUTANT.name]
    assert ZooReport((alive,), (alive,), 2.0, whole=False).verdict is Verdict.VIOLATED
    assert ZooReport((dead,), (dead,), 2.0, whole=False).false_kills == [MUTANT.name]
    assert ZooReport((dead,), (dead,), 2.0, whole=False).verdict is Verdict.VIOLATED
    whole = ZooReport((dead,), (alive,), 2.0)
    assert "S8" not in whole.without_kills(exact=True)
    assert "S4" in whole.without_kills(exact=True)
    assert whole.verdict is Verdict.VIOLATED
    assert any(line.startswith("exact guarantees that killed nothing: I1") for line in zoo_lines(whole))
    assert not any("nothing" in line for line in zoo_lines(part))


def test_a_variant_is_judged_where_its_difference_lies_and_a_whole_implementation_everywhere() -> None:
    part, whole = request_for(find("variant-independent-gumbel"), seed=7), request_for(find("variant-independent"))
    assert (part.subject, part.only, part.functions, part.seed) == ("zoo:variant-independent-gumbel", "R6", "draw", 7)
    assert request_for(find("variant-independent-gumbel"), matrix=True).only == ""
    assert whole.functions == ""


def test_intervals_are_those_of_clopper_and_pearson() -> None:
    # By hand: with no hit of n the upper end solves (1 - p)^n = 0.025.
    assert interval(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert interval(10, 10) == pytest.approx((0.025**0.1, 1.0))


@pytest.mark.parametrize("options", [{"profile": "hasty"}, {"repeats": 0}, {"workers": 0}])
def test_a_run_without_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        run_zoo(**options)  # type: ignore[arg-type]
