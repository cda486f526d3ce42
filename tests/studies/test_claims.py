"""What coverage, regret and horizon studies conclude from what was measured: held, broken, or too short to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from matplotlib.figure import Figure

from spanver.problems.families.covered_needle import covered_needle_problem
from spanver.problems.families.forks import forks_problem
from spanver.problems.tokens import sequence_view
from spanver.randomness import derived_seed
from spanver.studies import coverage, multi_turn, proper, reduction, regret
from spanver.studies.engine.study import Claim, Measurement, Point, Study, ladder
from spanver.studies.entrants import ENTRANTS, spanner_settings
from spanver.verdicts import Verdict

HOLDS, UNDECIDED, VIOLATED = Verdict.HOLDS, Verdict.UNDECIDED, Verdict.VIOLATED


def test_theory_brackets_what_learners_need() -> None:
    """All in proportion to coverage, but T1 up to `exp(1/(2 beta))` alone, about `2^24`."""
    samples = {words: value for words, (_, value) in coverage.THEORY.items()}
    paper, ours, least = samples.values()
    for value in (paper, ours):
        assert value(2.0**30) / value(2.0**20) == pytest.approx(2.0**10, rel=1e-3)
    assert least(2.0**20) == pytest.approx((0.25 - 2.0 / 15.0) * 2.0**20)
    assert least(2.0**40) == least(2.0**25) == pytest.approx((0.25 - 2.0 / 15.0) * math.exp(1.0 / 0.06))
    assert 1000 * ours(2.0**20) < paper(2.0**20)
    for size in (4.0, 30.0):
        numbers = coverage.measure(Point("coverage", "spanner_sampling", size, 3))
        assert least(2.0**size) < float(numbers["samples"] or 0) < ours(2.0**size)


def wobble(seed: int) -> float:
    """A factor near 1, so that seeds differ."""
    return 1.0 + 0.01 * seed


def coverages(
    power: float, *, data: float = 0.0, sizes: Sequence[int] = range(4, 41, 4), listed: int = 16
) -> list[Measurement]:
    found = []
    for learner in (*ENTRANTS, coverage.KNOWN):
        for size in sizes:
            for seed in range(3):
                numbers = {
                    "effort": 0,
                    "samples": round(1000 * 2.0 ** (power * size) * wobble(seed)),
                    "rewards": round(1000 * 2.0 ** (data * size) * wobble(seed)),
                    "enumerated": listed * round(1000 * wobble(seed)) / 2,
                    "gap": 0.01,
                }
                found.append(Measurement(Point("coverage", learner, float(size), seed), numbers))
    return found


def verdicts(claims: Sequence[Claim], guarantee: str) -> list[Verdict]:
    return [claim.verdict for claim in claims if claim.guarantee == guarantee and claim.verdict]


@pytest.mark.parametrize(("power", "expected"), [(1.0, HOLDS), (1.2, VIOLATED), (0.8, VIOLATED)])
def test_samples_in_proportion_to_coverage_hold_and_others_do_not(power: float, expected: Verdict) -> None:
    assert verdicts(coverage.claims(coverages(power)), "T2") == [expected, HOLDS]


@pytest.mark.parametrize(("data", "expected"), [(0.02, HOLDS), (0.1, VIOLATED)])
def test_rewards_that_grow_with_coverage_are_seen(data: float, expected: Verdict) -> None:
    assert verdicts(coverage.claims(coverages(1.0, data=data)), "T2") == [HOLDS, expected]


def test_a_ladder_of_few_doublings_decides_nothing() -> None:
    claims = coverage.claims(coverages(1.0, sizes=(4, 8, 12)))
    assert set(verdicts(claims, "T2")) == {UNDECIDED}


def test_what_was_not_reached_decides_nothing_and_is_said() -> None:
    measured = coverages(1.0)
    lost = [
        Measurement(each.point, dict.fromkeys(each.numbers))
        if each.point.learner in ("spanner_sampling", coverage.KNOWN) and each.point.size == 40.0
        else each
        for each in measured
    ]
    claims = coverage.claims(lost)
    assert verdicts(claims, "T2") == [UNDECIDED, UNDECIDED]
    assert claims[0].note == "1 of 10 sizes were not reached"


def test_enumeration_that_lists_less_than_everything_is_noticed() -> None:
    assert verdicts(coverage.claims(coverages(1.0)), "T6") == [HOLDS, HOLDS]
    assert verdicts(coverage.claims(coverages(1.0, listed=15)), "T6") == [HOLDS, VIOLATED]


def regrets(
    growth: Callable[[float], float], *, last: int = 13, uncovered: float = 0.0, pairs: int = 3
) -> list[Measurement]:
    return [
        Measurement(
            Point("regret", "spanner_sampling", float(last), seed),
            {f"regret_{k}": growth(2.0**k) * wobble(seed) for k in range(last + 1)}
            | {"uncovered": uncovered, "spanner_size": pairs},
        )
        for seed in range(4)
    ]


def test_logarithmic_regret_holds_and_a_square_root_does_not() -> None:
    fast = regret.claims(regrets(lambda t: math.log(t + 1.0) ** 1.2))
    assert [claim.verdict for claim in fast] == [HOLDS, HOLDS]
    slow = regret.claims(regrets(math.sqrt))
    assert [claim.verdict for claim in slow] == [VIOLATED, VIOLATED]


@pytest.mark.parametrize("premise", [{"uncovered": 1.0}, {"pairs": 5}, {"last": 10}])
def test_regret_is_undecided_where_a_premise_fails(premise: dict[str, float]) -> None:
    claims = regret.claims(regrets(lambda t: math.log(t + 1.0), **premise))  # type: ignore[arg-type]
    assert [claim.verdict for claim in claims] == [UNDECIDED, UNDECIDED]


def layers(
    *,
    cost: Callable[[float], float] = lambda h: h**3,
    covered: Callable[[float], float] = lambda c: c,
    data: Callable[[float], float] = lambda c: 1.0,
    sequences: Callable[[float], float] = lambda c: c,
    share: float = 0.05,
    profile: str = "full",
) -> list[Measurement]:
    """Costs of MTSS by horizon and by `C_cond`, and of whole sequences by coverage, at the points of a profile."""
    found = []
    for point in multi_turn.points(profile):
        kind, place = multi_turn.place_of(point.size)
        conditional = 2.0 if kind != multi_turn.KAPPA else 2.0**place
        numbers: dict[str, float | int | None]
        if point.learner == "spanner_sampling":
            samples = multi_turn.polynomial_factor(place) * sequences(2.0**place) * wobble(point.seed)
            numbers = {"samples": samples, "loose_samples": samples, "log2_coverage": float(place)}
        else:
            by_size = covered(conditional) if kind == multi_turn.KAPPA else cost(place) * conditional
            numbers = {
                "share": share,
                "computation": by_size * wobble(point.seed),
                "data": data(conditional) * wobble(point.seed),
                "rewards": cost(place) / place * wobble(point.seed),
                "conditional": conditional,
                "log2_coverage": float(place),
                "literal": 1e20,
            }
        found.append(Measurement(point, numbers))
    return found


def mtss_verdicts(measured: Sequence[Measurement]) -> list[Verdict]:
    """Of `T_comp` beside a power of `H` (forks extended and printed, mdp), in `C_cond` and `T_data`, of sequences."""
    return verdicts(multi_turn.claims(measured), "T5")


@pytest.mark.parametrize("cost", [lambda h: h**3, lambda h: h**2 + 10 * h**3, lambda h: h * (h - 1)])
def test_horizon_that_costs_a_power_holds(cost: Callable[[float], float]) -> None:
    assert mtss_verdicts(layers(cost=cost)) == [HOLDS] * 8


@pytest.mark.parametrize("factor", [1.4, 2.0])
@pytest.mark.parametrize("power", [0, 2])
def test_a_factor_a_layer_is_seen_beside_any_power(factor: float, power: int) -> None:
    assert mtss_verdicts(layers(cost=lambda h: h**power * factor**h)) == [VIOLATED] * 3 + [HOLDS] * 5


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_samples_out_of_proportion_to_the_coverage_of_actions_are_seen(power: float) -> None:
    expected = [HOLDS] * 3 + [VIOLATED, HOLDS] * 2 + [HOLDS]
    assert mtss_verdicts(layers(covered=lambda c: c**power)) == expected


def test_data_that_grow_with_the_coverage_of_actions_are_seen() -> None:
    assert mtss_verdicts(layers(data=lambda c: c)) == [HOLDS] * 3 + [HOLDS, VIOLATED] * 2 + [HOLDS]


@pytest.mark.parametrize("power", [0.5, 1.5])
def test_whole_sequences_that_do_not_pay_for_their_coverage_are_seen(power: float) -> None:
    assert mtss_verdicts(layers(sequences=lambda c: c**power)) == [HOLDS] * 7 + [VIOLATED]


def test_an_effort_that_does_not_suffice_decides_nothing_in_coverage() -> None:
    assert mtss_verdicts(layers(share=2 * multi_turn.SHARE)) == [HOLDS] * 3 + [UNDECIDED] * 4 + [HOLDS]


def test_what_was_not_reached_leaves_horizons_undecided() -> None:
    measured = [
        Measurement(each.point, dict.fromkeys(each.numbers)) if each.point.size == multi_turn.size_of(0, 16) else each
        for each in layers()
    ]
    assert mtss_verdicts(measured) == [UNDECIDED] * 2 + [HOLDS] * 6


def test_the_degree_in_depth_and_the_factor_of_a_pair_of_layers_are_stated() -> None:
    claims = multi_turn.claims(layers())
    assert claims[0].slope is not None
    assert claims[0].slope.estimate == pytest.approx(3.0)
    assert claims[0].verdict is None
    assert claims[2].claim == "T_data of Section 5, rewards alone, of extended MTSS on forks grows like H^slope"
    assert claims[2].slope is not None
    assert claims[2].slope.estimate == pytest.approx(2.0)
    assert claims[-2].note.endswith("2^2.00 a pair of layers, of which C_cov has 2^2.00")


def test_the_short_ladders_of_the_quick_profile_are_shown_where_they_cannot_decide() -> None:
    assert mtss_verdicts(layers(profile="quick")) == [HOLDS] * 5
    assert set(mtss_verdicts([])) == {UNDECIDED}


def test_printed_and_extended_differ_in_options_alone_and_effort_keeps_the_proportion_of_the_paper() -> None:
    problem = multi_turn.problem_of(multi_turn.MDP, 3, 1)
    printed, extended = (multi_turn.effort_settings(problem, 5.0, printed=flag) for flag in (True, False))
    options = {"refit", "add", "search", "zero_scores", "anchor_rollouts"}
    assert {name for name, value in vars(printed).items() if vars(extended)[name] != value} == options
    assert (printed.regression_rollouts, printed.span_rollouts) == (32, 32 // problem.dimension)


def test_sequences_of_forks_are_realizable_and_their_coverage_grows_by_the_factor_that_is_stated() -> None:
    problem = forks_problem(3, horizon=6, dimension=multi_turn.DIMENSION)
    view = sequence_view(problem)
    design = np.column_stack([view.features[0], np.ones(view.responses)])
    theta, *_ = np.linalg.lstsq(design, view.reward[0], rcond=None)
    assert design @ theta == pytest.approx(view.reward[0], abs=1e-9)
    assert np.linalg.norm(theta[:-1]) <= view.radius
    numbers = [multi_turn.measure(Point("multi-turn", "spanner_sampling", float(h), 3)) for h in (2, 4)]
    pair = float(numbers[1]["log2_coverage"] or 0.0) - float(numbers[0]["log2_coverage"] or 0.0)
    assert pair == pytest.approx(2.0 - math.log2((1.0 + math.exp(-0.7)) * (1.0 + math.exp(-4.0))))


@pytest.mark.parametrize(
    ("study", "point"),
    [
        (coverage.STUDY, Point("coverage", "spanner_sampling", 4.0, 3)),
        (coverage.STUDY, Point("coverage", "best_of_n", 4.0, 3)),
        (coverage.STUDY, Point("coverage", coverage.KNOWN, 4.0, 3)),
        (multi_turn.STUDY, Point("multi-turn", "mtss", multi_turn.size_of(multi_turn.MDP, 2), 3)),
        (multi_turn.STUDY, Point("multi-turn", "mtss_printed", multi_turn.size_of(multi_turn.FORKS, 2), 3)),
        (multi_turn.STUDY, Point("multi-turn", "mtss", multi_turn.size_of(multi_turn.KAPPA, 2), 3)),
        (multi_turn.STUDY, Point("multi-turn", "spanner_sampling", 4.0, 3)),
        (regret.STUDY, Point("regret", "spanner_sampling", 6.0, 3)),
    ],
    ids=lambda value: value.learner if isinstance(value, Point) else "",
)
def test_a_point_is_measured_twice_alike_and_other_seeds_differ(study: Study, point: Point) -> None:
    numbers = study.measure(point)
    assert study.measure(point) == numbers
    others = [study.measure(Point(point.study, point.learner, point.size, seed)) for seed in (4, 5, 6)]
    assert any(other != numbers for other in others)


def test_regret_adds_up_and_truncation_at_the_truth_costs_next_to_nothing() -> None:
    numbers = regret.measure(Point("regret", "spanner_sampling", 6.0, 3))
    sums = [float(numbers[f"regret_{k}"] or 0.0) for k in range(7)]
    assert sums == sorted(sums)
    assert 0.0 <= float(numbers["uncovered"] or 0.0) < sums[-1]


@pytest.mark.parametrize("learner", ENTRANTS)
def test_every_learner_reaches_the_gap_at_low_coverage(learner: str) -> None:
    problem = covered_needle_problem(derived_seed(1, "problem"), coverage=64.0, responses=16, dimension=4, beta=0.03)
    few, many = (ENTRANTS[learner].attempt(problem, 5, effort) for effort in (0, 9))
    assert many.gap <= coverage.EPS < few.gap
    assert many.ledger.rewards > 0
    assert (many.ledger.enumerated > 0) == (learner == "elliptical")


@pytest.mark.parametrize(
    ("learner", "met"), [("exhaustive", 1), ("online_dpo", 0), ("xpo", 0), ("spanner_sampling", 1)]
)
def test_who_meets_a_clause_at_the_beta_of_the_paper(learner: str, met: int) -> None:
    numbers = proper.measure(Point("proper", learner, proper.size_of(5, 3), 3))
    assert numbers["met"] == met
    rewards, samples = int(numbers["rewards"] or 0), int(numbers["samples"] or 0)
    if learner == "spanner_sampling":
        assert rewards < 2 * proper.ROUNDS < 10**12 < samples
        assert "above" not in numbers, "it is not proper, and draws from no policy of the class"
        return
    assert rewards == 2 * proper.ROUNDS
    assert float(numbers["above"] or 0.0) <= 1e-12
    assert float(numbers["below"] or 0.0) <= 1e-12
    if learner == "exhaustive":
        assert samples == (2**6 + 1) * proper.DRAWS + 2 * proper.ROUNDS


def test_places_on_the_ladder_are_read_back() -> None:
    assert [proper.formula_of(proper.size_of(n, k)) for n in (4, 12) for k in (2, 8)] == [
        (4, 2),
        (4, 8),
        (12, 2),
        (12, 8),
    ]
    learners = {(each.learner, proper.formula_of(each.size)[1]) for each in proper.points("quick")}
    assert ("spanner_sampling", 3) in learners
    assert ("spanner_sampling", 4) not in learners, "its samples are more than can be counted"


def proper_measurements(*, met: int, above: float, growth: float) -> list[Measurement]:
    return [
        Measurement(
            point,
            {
                "met": met if point.learner in ("exhaustive", "spanner_sampling") else 1 - met,
                "samples": growth ** proper.formula_of(point.size)[0] * wobble(point.seed),
                "above": above,
                "below": above,
                "queried": 1,
            },
        )
        for point in proper.points("quick")
    ]


def test_claims_about_proper_learners_hold_or_not_by_what_was_measured() -> None:
    right = proper.claims(proper_measurements(met=1, above=-0.1, growth=2.0))
    wrong = proper.claims(proper_measurements(met=0, above=0.1, growth=4.0))
    assert [claim.guarantee for claim in right] == ["H2", "H3", "T4", "T4", "T4", "T4", "T2", "T4"]
    # 2^n is above n^2 on these sizes.
    assert [claim.verdict for claim in right] == [Verdict.HOLDS] * 6 + [Verdict.VIOLATED, Verdict.HOLDS]
    assert {claim.verdict for claim in wrong} == {Verdict.VIOLATED}
    assert {claim.verdict for claim in proper.claims([])} == {Verdict.UNDECIDED}
    figure = Figure()
    proper.draw(figure, proper_measurements(met=1, above=0.0, growth=2.0))
    assert [axes.get_xlabel() for axes in figure.axes] == ["variables $n$", "literals of a clause $k$", "variables $n$"]
    assert len(figure.legends[0].get_texts()) == 4


def test_the_ten_formulas_are_of_the_kinds_that_are_stated() -> None:
    kinds = [reduction.kind(index) for index in range(len(reduction.FORMULAS))]
    assert kinds == ["YES"] * 4 + [""] * 3 + ["NO"] * 3


def test_decisions_and_premises_are_counted() -> None:
    numbers = reduction.measure(Point("reduction", "exhaustive", 9.0, 1))
    assert (numbers["yes"], numbers["runs"]) == (0, reduction.RUNS)
    assert 0 <= int(numbers["learned"] or 0) <= reduction.RUNS
    assert reduction.measure(Point("reduction", "online_dpo", 1.0, 1)) == {"yes": 0, "learned": 0, "runs": 8}


@pytest.mark.parametrize(
    ("yes", "learned", "verdicts"),
    [
        (0, 1, (Verdict.HOLDS, Verdict.VIOLATED)),
        (1, 1, (Verdict.VIOLATED, Verdict.HOLDS)),
        (1, 0, (Verdict.VIOLATED, None)),
        (0, 0, (Verdict.HOLDS, None)),
    ],
)
def test_answers_are_judged_where_something_is_promised(
    yes: int, learned: int, verdicts: tuple[Verdict | None, Verdict | None]
) -> None:
    runs = reduction.RUNS
    measured = [
        Measurement(point, {"yes": yes * runs, "learned": learned * runs, "runs": runs})
        for point in ladder("reduction", reduction.LEARNERS, range(len(reduction.FORMULAS)), 12)
    ]
    claims = reduction.claims(measured)
    assert [claim.verdict for claim in claims] == [verdicts[0]] * 3 + [verdicts[1]] * 3
    figure = Figure()
    reduction.draw(figure, measured)
    assert len(figure.axes) == 2
    assert {claim.verdict for claim in reduction.claims([])} == {Verdict.UNDECIDED, None}


def test_effort_scales_what_depends_on_coverage_and_nothing_else() -> None:
    one, two = spanner_settings(3.0), spanner_settings(4.0)
    assert two.pairs_per_prompt == 2 * one.pairs_per_prompt
    assert two.rejection_multiplier == 2 * one.rejection_multiplier
    assert (one.prompts, one.exploration_rounds, one.nu) == (two.prompts, two.exploration_rounds, two.nu)


@pytest.mark.parametrize(
    ("study", "measured"),
    [
        (coverage.STUDY, coverages(1.0)),
        (regret.STUDY, regrets(lambda t: math.log(t + 1.0))),
        (multi_turn.STUDY, layers()),
    ],
    ids=["coverage", "regret", "multi-turn"],
)
def test_figures_name_their_axes_and_lines(study: Study, measured: Sequence[Measurement]) -> None:
    figure = Figure()
    study.draw(figure, measured)
    assert all(axes.get_xlabel() for axes in figure.axes)
    legends = [each for axes in figure.axes if (each := axes.get_legend())] + figure.legends
    texts = {text.get_text() for legend in legends for text in legend.get_texts()}
    assert any("SpannerSampling" in text for text in texts)
    assert len(texts) >= 3
