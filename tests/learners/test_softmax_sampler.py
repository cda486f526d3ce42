"""The softmax sampler (A1) costs what it says, and has its exact distribution, clipping and fallback included."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from laws import PLANTED, assert_law, rejects
from sampler_cases import (
    BASE,
    BETA,
    SETTINGS,
    F,
    MakeOracle,
    Sampler,
    by_id,
    call,
    compositions,
    coverage,
    drawn,
    each_oracle,
    linear,
    opened,
    softmax,
    table,
    total_variation,
)

from spanver.errors import ArgumentError
from spanver.exact.samplers import sampler_law
from spanver.guarantees import sampler
from spanver.guarantees.sampler import race_samples
from spanver.learners.race_sampler import race_sample, race_size
from spanver.learners.softmax_sampler import sampler_trials, softmax_sample, softmax_sample_density
from spanver.oracle import Ledger
from spanver.oracles.counted import counted_oracle
from spanver.values import Counts, LinearScore, Outcome, RejectionRule, Responses, Score, SearchResult, TruncatedScore

each_sampler = pytest.mark.parametrize("sampler", [softmax_sample, race_sample])


# ---------------------------------------------------------------------------------------------------------------------
# Sizes, costs and refusals (R1)


@pytest.mark.parametrize("multiplier", [1.0, 1, 1.5, 16.0, 87.3, 1e6, 8 * math.e * 2.0**41])
@pytest.mark.parametrize("failure", [1e-300, 1e-12, 0.01, 0.1, 0.5, 1.0 - 1e-12])
def test_the_numbers_of_draws_are_those_of_their_formulas(multiplier: float, failure: float) -> None:
    with localcontext() as context:
        context.prec = 60
        m, delta = Decimal(multiplier), Decimal(failure)
        pilot, race = 4 * m * (4 / delta).ln(), m / 4 * (1 / delta).ln()
        for size, exact in ((sampler_trials(multiplier, failure), pilot), (race_size(multiplier, failure), race)):
            # The products are rounded in double precision before the next integer is taken.
            rounding = exact * Decimal("4e-16")
            least, most = (int((exact + sign * rounding).to_integral_value(ROUND_CEILING)) for sign in (-1, 1))
            assert max(1, least) <= size <= max(1, most)
            assert type(size) is int


def test_the_sizes_of_simple_settings_are_those_worked_out_by_hand() -> None:
    assert sampler_trials(1.0, 4.0 / math.e**2.4) == 10  # 4 x 2.4 = 9.6
    assert sampler_trials(16.0, 0.1) == 237  # 64 log 40 = 236.08
    assert race_size(16.0, 0.1) == 10  # 4 log 10 = 9.21
    assert race_size(1.0, 0.5) == 1
    assert race_size(3.9, 0.01) == race_samples(3.9, 0.01) == 5  # 0.975 log 100 = 4.49


@pytest.mark.parametrize("multiplier", [1.0, 1.5, 4.0, 16.0, 87.3, 1e6, 2.0**45])
@pytest.mark.parametrize("failure", [1e-300, 1e-12, 1e-3, 0.01, 0.1, 0.3, 0.5, 0.9])
def test_the_number_of_trials_is_that_of_its_bound(multiplier: float, failure: float) -> None:
    assert sampler_trials(multiplier, failure) == sampler.sampler_trials(multiplier, failure)


BAD_SETTINGS = [
    (0.99, 0.1, "multiplier is 0.99"),
    (0.0, 0.1, "multiplier is 0.0"),
    (-4.0, 0.1, "multiplier is -4.0"),
    (math.nan, 0.1, "multiplier is nan"),
    (math.inf, 0.1, "multiplier is inf"),
    (True, 0.1, "multiplier is True"),
    ("8", 0.1, "multiplier is '8'"),
    (8.0, 0.0, "failure is 0.0"),
    (8.0, 1.0, "failure is 1.0"),
    (8.0, -0.1, "failure is -0.1"),
    (8.0, 1.5, "failure is 1.5"),
    (8.0, math.nan, "failure is nan"),
    (8.0, None, "failure is None"),
]


@each_oracle
@each_sampler
@pytest.mark.parametrize(("multiplier", "failure", "sentence"), BAD_SETTINGS)
def test_settings_that_are_not_allowed_are_refused_before_anything_is_asked(
    make: MakeOracle, sampler: Sampler, multiplier: Any, failure: Any, sentence: str
) -> None:
    oracle = opened(make, table())
    with pytest.raises(ArgumentError, match="but it must be") as refusal:
        sampler(oracle, 0, linear(), multiplier=multiplier, failure=failure, seed=0)
    assert str(refusal.value).startswith(sentence)
    assert oracle.ledger == Ledger(0, 0, 0)


@each_sampler
def test_settings_go_by_their_names_alone(sampler: Sampler) -> None:
    oracle = opened(counted_oracle, table())
    with pytest.raises(TypeError, match="positional"):
        sampler(oracle, 0, linear(), 4.0, failure=0.1, seed=0)
    assert oracle.ledger == Ledger(0, 0, 0)


@each_oracle
@pytest.mark.parametrize(("multiplier", "failure"), SETTINGS)
@pytest.mark.parametrize("f", [F, [0.0, 0.0, 0.0], [-0.8, 0.0, 0.8], [0.8, 0.8, -0.8]])
def test_a_call_takes_a_pilot_and_at_most_as_many_trials_and_one_more_draw(
    make: MakeOracle, multiplier: float, failure: float, f: list[float]
) -> None:
    oracle, size = opened(make, table(f=f)), math.ceil(4 * multiplier * math.log(4 / failure))
    for _ in range(100):
        before = oracle.ledger.samples
        response = softmax_sample(oracle, 0, linear(), multiplier=multiplier, failure=failure)
        cost = oracle.ledger.samples - before
        if response.outcome is Outcome.FALLBACK:
            assert cost == 2 * size + 1
        else:
            assert size + 1 <= cost <= 2 * size
        assert np.array_equal(response.features, [f[int(response.id)] / 2, 0.25])
    assert oracle.ledger.rewards == oracle.ledger.enumerated == 0


def test_a_call_at_coverage_two_to_the_41_costs_no_more_than_its_bound() -> None:
    rare = 2.0**-41
    oracle = opened(counted_oracle, table([1.0 - rare, rare], [0.0, 1.0], beta=0.025))
    size = sampler_trials(8 * math.e * 2.0**41, 0.01)
    assert size > 2**50
    drawn = Counter[Hashable]()
    for _ in range(50):
        before = oracle.ledger.samples
        drawn[softmax_sample(oracle, 0, linear(), multiplier=8 * math.e * 2.0**41, failure=0.01).id] += 1
        assert size < oracle.ledger.samples - before <= 2 * size + 1
    assert drawn[1] >= 45  # pi_f gives it e^40 / (e^40 + 2^41), all but 1e-5


@each_oracle
@each_sampler
def test_the_same_seeds_give_the_same_responses(make: MakeOracle, sampler: Sampler) -> None:
    def run(oracle_seed: int, seed: int) -> list[Hashable]:
        oracle = opened(make, table(), oracle_seed)
        return [sampler(oracle, 0, linear(), multiplier=4.0, failure=0.1, seed=seed + 1000 * i).id for i in range(60)]

    assert run(1, 2) == run(1, 2)
    assert run(1, 2) != run(3, 2)
    assert (run(1, 2) == run(1, 4)) == (sampler is softmax_sample)  # A1 has no randomness but the oracle's


# ---------------------------------------------------------------------------------------------------------------------
# A1 query by query


class Pilot:
    """An oracle that answers with a given pilot, accepts a given response or none, and records its queries."""

    dimension, beta, radius, reward_range = 2, BETA, 1.0, 1.0

    def __init__(self, counts: Mapping[int, int], accepted: int | None, tries: int = 1) -> None:
        self.counts, self.accepted, self.tries = counts, accepted, tries
        self.queries: list[tuple[Any, ...]] = []

    def responses(self, *ids: int) -> Responses:
        return Responses(ids, np.array([[F[y] / 2, 0.25] for y in ids]))

    def sample_counts(self, prompt: int, count: int) -> Counts:
        self.queries.append(("sample_counts", prompt, count))
        return Counts(self.responses(*self.counts), np.array(list(self.counts.values())))

    def sample_until(self, prompt: int, rule: RejectionRule, limit: int) -> SearchResult:
        self.queries.append(("sample_until", prompt, rule, limit))
        return SearchResult(None if self.accepted is None else self.responses(self.accepted), self.tries)

    def sample(self, prompt: int, count: int) -> Responses:
        self.queries.append(("sample", prompt, count))
        return self.responses(2)


def test_every_pilot_sets_the_threshold_m_times_the_mean_weight() -> None:
    # N = ceil(5 log(16/3)) = 9: the threshold of each of the 55 pilots, and the law given acceptance with it.
    size = 9
    score = linear(0.4)
    weights = [math.exp((f + 0.4) / BETA) for f in F]
    enough = 0
    for pilot in compositions(size, 3):
        oracle = Pilot({y: count for y, count in enumerate(pilot) if count > 0}, accepted=0)
        call(oracle, score)
        assert oracle.queries[0] == ("sample_counts", 0, size)
        assert [query[0] for query in oracle.queries] == ["sample_counts", "sample_until"]
        _, prompt, rule, limit = oracle.queries[1]
        assert (prompt, limit) == (0, size)
        assert rule.score is score
        mean = sum(count * weight for count, weight in zip(pilot, weights, strict=True)) / size
        assert rule.log_threshold == pytest.approx(math.log(1.25 * mean), rel=1e-13, abs=0.0)
        accepted = np.array(
            [p * min(1.0, w / math.exp(rule.log_threshold)) for p, w in zip(BASE, weights, strict=True)]
        )
        if 1.25 * mean >= max(weights):
            enough += 1
            assert accepted / accepted.sum() == pytest.approx(softmax(BASE, F, BETA), rel=1e-12, abs=0.0)
        else:
            assert total_variation(accepted / accepted.sum(), softmax(BASE, F, BETA)) > 1e-4
    assert enough == 4  # nine of the heaviest, eight and any other, seven and two of the second


def test_an_accepted_response_says_whether_its_weight_passed_the_threshold() -> None:
    # Threshold 1.25 x 24.5 with a pilot of the heaviest alone; 1.25 x 1 with one of the lightest; 1.25 x 3.3 between.
    for pilot, clipped in ((2, []), (0, [1, 2]), (1, [2])):
        for accepted in range(3):
            response = call(Pilot({pilot: 9}, accepted), linear())
            assert response.id == accepted
            assert response.outcome is (Outcome.CLIPPED if accepted in clipped else Outcome.ACCEPTED)


def test_a_weight_of_exactly_the_threshold_is_not_clipped() -> None:
    oracle = Pilot({0: sampler_trials(1.0, 0.75)}, accepted=0)
    response = call(oracle, LinearScore(np.zeros(2)), multiplier=1.0)
    assert oracle.queries[1][2].log_threshold == 0.0  # the premise: that of a weight of 1
    assert response.outcome is Outcome.ACCEPTED


def test_when_every_trial_fails_one_fresh_draw_is_returned() -> None:
    oracle = Pilot({0: 5, 1: 4}, accepted=None, tries=9)
    response = call(oracle, linear())
    assert (response.id, response.outcome) == (2, Outcome.FALLBACK)
    assert [query[0] for query in oracle.queries] == ["sample_counts", "sample_until", "sample"]
    assert oracle.queries[2] == ("sample", 0, 1)


@pytest.mark.parametrize("shift", [0.0, 2500.0, -2500.0])
@pytest.mark.parametrize("accepted", [0, 1, 2, None])
def test_a_ratio_is_the_weight_over_the_pilots_mean_also_for_the_fallback(accepted: int | None, shift: float) -> None:
    for pilot in compositions(9, 3):
        oracle: Any = Pilot({y: count for y, count in enumerate(pilot) if count > 0}, accepted)
        sample = softmax_sample_density(oracle, 0, linear(shift), multiplier=1.25, failure=0.75)
        response = 2 if accepted is None else accepted  # the fresh draw is 2
        mean = sum(count * math.exp(f / BETA) for count, f in zip(pilot, F, strict=True)) / 9
        assert sample.response.id == response
        assert sample.log_ratio == pytest.approx(F[response] / BETA - math.log(mean), rel=1e-13, abs=4e-12)
        assert abs(sample.log_ratio) <= (max(F) - min(F)) / BETA + 4e-12  # scores are up to 10^4 betas


@each_oracle
def test_responses_with_ratios_are_those_without_query_by_query(make: MakeOracle) -> None:
    seen = []
    samplers: tuple[Sampler, ...] = (
        softmax_sample,
        lambda *given, **named: softmax_sample_density(*given, **named).response,
    )
    for sample in samplers:
        oracle = opened(make, table(), 48)
        drawn = [sample(oracle, 0, linear(), multiplier=1.0, failure=0.9) for _ in range(200)]
        seen.append([*((each.id, each.outcome) for each in drawn), oracle.ledger])
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("name", "value"), [("multiplier", 0.99), ("failure", 1.0)])
def test_a_multiplier_or_failure_out_of_range_is_refused_before_anything_is_drawn(name: str, value: float) -> None:
    oracle: Any = Pilot({0: 9}, 0)
    settings: dict[str, Any] = {"multiplier": 1.25, "failure": 0.75, name: value}
    with pytest.raises(ArgumentError, match=f"{name} is {value}"):
        softmax_sample_density(oracle, 0, linear(), **settings)
    assert oracle.queries == []


@pytest.mark.parametrize("shift", [2500.0, -2500.0])
def test_weights_far_beyond_floating_point_neither_overflow_nor_vanish(shift: float) -> None:
    oracle = Pilot({0: 5, 2: 4}, accepted=2)
    call(oracle, linear(shift))
    mean = (5 + 4 * math.exp(0.8 / BETA)) / 9
    assert oracle.queries[1][2].log_threshold == pytest.approx(shift / BETA + math.log(1.25 * mean), rel=1e-14, abs=0.0)


@each_oracle
@pytest.mark.parametrize(("multiplier", "failure"), [(1.0, 0.9), (2.0, 0.5)])
def test_with_a_small_multiplier_the_sampler_has_its_exact_law_and_not_the_target(
    make: MakeOracle, multiplier: float, failure: float
) -> None:
    exact = sampler_law(np.array(BASE), np.array(F), BETA, multiplier, failure)
    target = softmax(BASE, F, BETA)
    counts = drawn(opened(make, table(), 41), softmax_sample, linear(), 8000, multiplier=multiplier, failure=failure)
    assert_law(counts, by_id(exact.law))
    assert total_variation(exact.law, target) > PLANTED
    assert rejects(counts, by_id(target))


@each_oracle
def test_with_four_times_the_coverage_the_sampler_has_the_law_of_its_target(make: MakeOracle) -> None:
    multiplier, failure = 4 * coverage(BASE, F, BETA), 0.1
    exact = sampler_law(np.array(BASE), np.array(F), BETA, multiplier, failure)
    target = softmax(BASE, F, BETA)
    assert total_variation(exact.law, target) <= failure
    assert total_variation(exact.law, target) <= 0.006 * failure  # what it truly is
    counts = drawn(opened(make, table(), 42), softmax_sample, linear(), 6000, multiplier=multiplier, failure=failure)
    assert_law(counts, by_id(target))
    assert_law(counts, by_id(exact.law))


@pytest.mark.parametrize("failure", [0.9, 0.5, 0.1])
@pytest.mark.parametrize(
    ("base", "f", "beta"),
    [
        ([0.5, 0.5], [0.0, 0.5], 0.5),
        ([0.75, 0.25], [0.0, 1.0], 1e-3),
        ([0.9, 0.1], [0.5, 0.0], 0.25),
        ([0.9, 0.1], [0.0, 1.0], 0.1),
        ([0.5, 0.3, 0.2], [0.0, 0.3, 0.4], 0.5),
    ],
)
def test_four_times_the_coverage_keeps_the_exact_law_within_the_failure_probability(
    base: list[float], f: list[float], beta: float, failure: float
) -> None:
    exact = sampler_law(np.array(base), np.array(f), beta, 4 * coverage(base, f, beta), failure)
    distance = total_variation(exact.law, softmax(base, f, beta))
    assert distance <= failure
    assert distance <= 0.006 * failure  # the paired, sharper claim


@each_oracle
def test_a_truncated_score_gives_the_truncated_law(make: MakeOracle) -> None:
    # Around the second response nu = 0.2 covers the first and itself, so the third keeps its base weight.
    score = TruncatedScore(np.array([2.0, 0.0]), np.array([0.15, 0.25]), np.eye(2), 0.2)
    f = [-0.3, 0.0, 0.0]
    counts = drawn(opened(make, table(), 43), softmax_sample, score, 6000, multiplier=6.0, failure=0.1)
    assert_law(counts, by_id(softmax(BASE, f, BETA)))
    assert rejects(counts, by_id(softmax(BASE, [-0.3, 0.0, 0.5], BETA)))  # no truncation
    assert rejects(counts, by_id(np.array([0.5 * math.exp(-1.2), 0.3, 0.0]) / (0.5 * math.exp(-1.2) + 0.3) + 1e-9))


def outcome_law(
    base: Sequence[float], f: Sequence[float], beta: float, size: int, multiplier: float
) -> dict[Hashable, float]:
    """Law of (response, outcome) of A1 over every pilot."""
    law: dict[Hashable, float] = {}
    weights = [math.exp(score / beta) for score in f]
    for pilot in compositions(size, len(base)):
        chance = math.factorial(size) * math.prod(p**k / math.factorial(k) for p, k in zip(base, pilot, strict=True))
        threshold = multiplier * sum(k * w for k, w in zip(pilot, weights, strict=True)) / size
        accepted = [p * min(1.0, w / threshold) for p, w in zip(base, weights, strict=True)]
        failed = (1.0 - sum(accepted)) ** size
        for y, (p, a, w) in enumerate(zip(base, accepted, weights, strict=True)):
            outcome = Outcome.CLIPPED if w > threshold else Outcome.ACCEPTED
            for cell, probability in (
                ((y, outcome), (1 - failed) * a / sum(accepted)),
                ((y, Outcome.FALLBACK), failed * p),
            ):
                law[cell] = law.get(cell, 0.0) + chance * probability
    return law


@each_oracle
def test_accepted_clipped_and_fallen_back_responses_come_in_their_exact_shares(make: MakeOracle) -> None:
    base, f, beta = [0.75, 0.25], [0.0, 1.0], 0.3
    law = outcome_law(base, f, beta, 7, 1.05)  # 4.2 log(4/0.9) = 6.3
    for outcome in (Outcome.ACCEPTED, Outcome.CLIPPED, Outcome.FALLBACK):
        assert math.fsum(probability for cell, probability in law.items() if outcome in cell) > 0.03  # type: ignore[operator]
    oracle, counts = opened(make, table(base, f, beta), 44), Counter[Hashable]()
    for _ in range(10_000):
        response = softmax_sample(oracle, 0, linear(), multiplier=1.05, failure=0.9)
        counts[response.id, response.outcome] += 1
    assert_law(counts, law)


@each_oracle
@each_sampler
@pytest.mark.parametrize("shift_over_beta", [1.0, -1.0, 1e4, -1e4])
def test_a_constant_in_the_score_changes_no_response(
    make: MakeOracle, sampler: Sampler, shift_over_beta: float
) -> None:
    def run(score: Score) -> list[tuple[Hashable, Outcome, int]]:
        oracle = opened(make, table(), 45)
        seen: list[tuple[Hashable, Outcome, int]] = []
        for i in range(150):
            response = sampler(oracle, 0, score, multiplier=2.0, failure=0.5, seed=i)
            seen.append((response.id, response.outcome, oracle.ledger.samples))
        return seen

    plain = run(linear())
    assert run(linear(shift_over_beta * BETA)) == plain
    assert len({identity for identity, _, _ in plain}) == 3


@each_oracle
@each_sampler
def test_what_the_base_policy_lacks_is_never_returned(make: MakeOracle, sampler: Sampler) -> None:
    oracle = opened(make, table([0.5, 0.0, 0.5], [0.0, 0.9, 0.1]), 46)
    counts = drawn(oracle, sampler, linear(), 500, multiplier=4.0, failure=0.5)
    assert set(counts) == {0, 2}
