"""The study of constants: exact numbers, known ones among them, and what it concludes when a bound is passed."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from spanver.guarantees.registry import REGISTRY
from spanver.studies.constants import LAST, STATEMENTS, STUDY, Sides, spanner_size, uncovered_prompts
from spanver.studies.engine.study import Measurement
from spanver.verdicts import Verdict

MEASURED = [Measurement(point, STUDY.measure(point)) for point in STUDY.points("quick")]
BY_NAME = {each.name: each for each in STATEMENTS}


def verdicts(measured: list[Measurement]) -> dict[str, Verdict | None]:
    return {claim.claim: claim.verdict for claim in STUDY.judge(measured)}


def changed(**sides: float) -> dict[str, Verdict | None]:
    """Verdicts that are not `holds` when one side of every statement is something else on the first rung."""
    numbers = dict(MEASURED[0].numbers)
    for name, side in itertools.product(BY_NAME, sides):
        numbers[f"{name}, {side}"] = sides[side]
    found = verdicts([replace(MEASURED[0], numbers=numbers), *MEASURED[1:]])
    return {claim: verdict for claim, verdict in found.items() if verdict is not Verdict.HOLDS}


def test_every_claim_holds_on_what_was_measured() -> None:
    found = verdicts(MEASURED)
    assert len(found) == len(STATEMENTS) + 2  # two are false as printed, and have a claim that says so
    assert set(found.values()) == {Verdict.HOLDS}
    assert {each.guarantee for each in STATEMENTS} <= set(REGISTRY)


def test_a_number_above_our_bound_violates_its_claim_and_no_other() -> None:
    above = changed(measured=1e99)
    assert len(above) == len(STATEMENTS)
    assert all("at most our bound" in claim and verdict is Verdict.VIOLATED for claim, verdict in above.items())


def test_a_bound_of_ours_above_the_one_printed_violates_what_is_true_as_printed() -> None:
    above = changed(ours=1e99)
    assert len(above) == len(STATEMENTS) - 2
    assert all("at most the one printed" in claim for claim in above)


def test_what_is_false_as_printed_is_so_only_where_a_number_passes_it() -> None:
    false = [each.name for each in STATEMENTS if not each.is_true]
    assert false == ["Lemma D.4 in G.4.2, potential of pairs", "Lemma F.1, density ratio"]
    kept = []
    for each in MEASURED:
        printed = {f"{name}, printed": 1e99 for name in false}
        kept.append(replace(each, numbers={**each.numbers, **printed}))
    found = verdicts(kept)
    assert {claim for claim, verdict in found.items() if verdict is Verdict.VIOLATED} == {
        f"{name}: more than the bound printed" for name in false
    }


def test_nothing_is_decided_without_measurements() -> None:
    assert set(verdicts([]).values()) == {Verdict.UNDECIDED}


def largest(name: str) -> Sides:
    """What is measured and ours where most of the printed bound is used, in its units."""
    found = [BY_NAME[name].sides(rung) for rung in range(LAST + 1)]
    most = max(found, key=lambda sides: sides.measured / sides.printed)
    return Sides(most.measured / most.printed, most.ours / most.printed, 1.0)


@pytest.mark.parametrize(
    ("name", "measured", "ours"),
    [
        ("Lemma D.4, potential of vectors", 1.0 / math.log(4.0), 1.0 / math.log(4.0)),
        ("Lemma D.4 in G.4.2, potential of pairs", 3.5 / math.log(25.0), math.log2(17.0) / math.log(25.0)),
        ("Lemma G.5, regret by squared errors", math.e - 2.0, math.e - 2.0),
        ("Lemma G.7, regret by squared errors", math.e - 2.0, math.e - 2.0),
        ("Lemma G.5, regret by what is uncovered", 1.0, 1.0),
        ("Lemma G.7, regret by what is uncovered", 0.5, 0.5),
        ("Lemma G.6, coverage of a round's policy", 1.0, 1.0),
        ("Lemma E.2, strong answer, d = 1", 0.5, 1.0),
    ],
)  # fmt: skip
def test_constants_that_are_known_in_closed_form_are_approached(name: str, measured: float, ours: float) -> None:
    found = largest(name)
    assert found.measured == pytest.approx(measured, rel=1e-3)
    assert found.ours == pytest.approx(ours, rel=1e-3)


def test_the_density_ratio_is_that_of_the_errata() -> None:
    found = BY_NAME["Lemma F.1, density ratio"].sides(10)  # N = 23
    assert found.measured == pytest.approx(649082, rel=1e-6)
    assert found.printed == pytest.approx(506609, rel=1e-5)
    assert found.ours == pytest.approx(math.exp(20.0))


def test_phase_1_accepts_every_pair_of_the_adversary() -> None:
    """A pair as short as is uncertain doubles its diagonal entry, until that is above 4."""
    for rung in (0, 1, 5):
        doublings = math.floor(math.log2(4.0) + 10.0 * rung * math.log2(10.0) - 1e-6)
        sizes = spanner_size(rung)
        assert sizes.measured == 4 * (doublings + 1)
        bound = 8.0 * math.log1p(sizes.printed * 10.0 ** (10.0 * rung))
        assert sizes.printed == pytest.approx(bound, rel=1e-12)


def test_prompts_that_stay_uncovered_pass_what_is_measured_with_at_most_the_failure_probability() -> None:
    """By simulation: each round meets a prompt, which accepts its pair unless it has done so."""
    found, rounds, prompts = uncovered_prompts(3), 5, 5000  # 2^(0.8 * 3) rounds
    generator = np.random.default_rng(0)
    sizes = np.array([len(set(generator.integers(0, prompts, rounds))) for _ in range(2000)])
    left = rounds * (prompts - sizes) / prompts
    assert np.mean(left > found.measured + 1e-12) <= 0.5
    assert found.measured <= found.ours <= found.printed


def test_the_figure_names_every_statement_and_marks_those_that_are_false() -> None:
    figure = Figure()
    STUDY.draw(figure, MEASURED)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == len(STATEMENTS)
    assert sum(name.endswith("(false)") for name in names) == 2
    assert axes.get_xscale() == "log"
    assert axes.get_legend_handles_labels()[1] == ["our bound there", "most that is measured", "the bound as printed"]
