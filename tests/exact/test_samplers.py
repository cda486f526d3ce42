"""Exact distributions of best-of-N, A1 and the race, against enumerated draws, pilots, trials and polynomials."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import MIN_EMIN, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from laws import assert_law
from text_cases import race_by_quadrature

from spanver.errors import ArgumentError
from spanver.exact.samplers import every_pilot, law_given_pilot, log_law_of_best, log_pilot_means, race_law, sampler_law
from spanver.exact.tabular import gap, log_law
from spanver.learners.softmax_sampler import sampler_trials, softmax_sample
from spanver.oracle import Ledger
from spanver.oracles.literal import literal_oracle
from spanver.policies import BestOfN, sample_policy
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray

# Best-of-N

TIED = np.array([0.3, -1.0, 0.3, 2.0, -1.0])


BASE = np.array([0.1, 0.25, 0.3, 0.2, 0.15])


def enumerated(base: FloatArray, scores: FloatArray, count: int) -> list[float]:
    """Law of the first of largest score, over every sequence of draws."""
    law = [0.0] * len(base)
    for drawn in itertools.product(range(len(base)), repeat=count):
        best = drawn[0]
        for index in drawn[1:]:
            if scores[index] > scores[best]:
                best = index
        law[best] += math.prod(float(base[index]) for index in drawn)
    return law


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("scores", [TIED, np.zeros(5), np.arange(5.0), -np.arange(5.0)])
def test_the_law_is_that_of_all_sequences_of_draws(count: int, scores: FloatArray) -> None:
    law = np.exp(log_law_of_best(np.log(BASE), scores, count))
    assert law == pytest.approx(enumerated(BASE, scores, count), rel=1e-13, abs=0.0)


@pytest.mark.parametrize("count", [2, 4])
def test_responses_outside_the_base_support_are_never_the_best(count: int) -> None:
    base = np.array([0.4, 0.0, 0.6, 0.0])
    scores = np.array([1.0, 5.0, 0.0, -5.0])
    with np.errstate(divide="ignore"):
        log_law_ = log_law_of_best(np.log(base), scores, count)
    assert np.exp(log_law_) == pytest.approx(enumerated(base, scores, count), rel=1e-13, abs=0.0)
    assert (log_law_[[1, 3]] == -np.inf).all()


LOG_BASES = {
    "rare and best": [0.0, -math.log(1e300)],
    "rare and worst": [-math.log(1e300), 0.0],
    "beyond the smallest double": [-800.0, 0.0, -750.0],
    "a ladder": [-1.0, -10.0, -27.0, -30.0, -40.0, -100.0],
    "a ladder upwards": [-100.0, -40.0, -30.0, -27.0, -10.0, -1.0],
    "ordinary": [-1.0, -2.0, -1.5, -0.5],
}


@pytest.mark.parametrize("count", [1, 2, 1000, 2**20, 2**30, 2**40])
@pytest.mark.parametrize("name", LOG_BASES)
@pytest.mark.parametrize("tied", [False, True])
def test_no_digits_are_lost_for_many_draws_or_tiny_probabilities(name: str, count: int, tied: bool) -> None:
    given = np.array(LOG_BASES[name])
    scores = np.arange(float(len(given))) // (2 if tied else 1)
    with localcontext() as context:
        context.prec, context.Emin = 450, MIN_EMIN  # 1 - e^-800 begins with 347 nines
        weights = [Decimal(float(value)).exp() for value in given]
        total = sum(weights, Decimal(0))
        base = [weight / total for weight in weights]
        log_base = np.array([float(value.ln()) for value in base])
        expected = []
        for weight, score in zip(base, scores, strict=True):
            upto = sum((b for b, s in zip(base, scores, strict=True) if s <= score), Decimal(0))
            level = sum((b for b, s in zip(base, scores, strict=True) if s == score), Decimal(0))
            expected.append(float((weight / level).ln() + (upto**count - (upto - level) ** count).ln()))
    law = log_law_of_best(log_base, scores, count)
    # Relative to the probability itself, unless the logarithm is so large that its own rounding is all there is.
    assert law == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert np.exp(law).sum() == pytest.approx(1.0, abs=1e-12)


def table(features: FloatArray, base: FloatArray) -> TabularProblem:
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log(base)[None],
        features=features[None],
        reward=features[None] @ np.array([1.0, 0.5]),
        beta=0.5,
        radius=2.0,
        theta_star=np.array([1.0, 0.5]),
    )


DRAWS = 12000
FEATURES = np.array([[0.1, 0.7], [0.3, -0.2], [0.1, 0.7], [-0.5, 0.5], [0.6, 0.1]])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_draws_through_an_oracle_have_the_exact_law_and_cost_the_count(count: int) -> None:
    problem = table(FEATURES, BASE)
    policy = BestOfN(np.array([0.3, 0.9]), count)
    oracle = literal_oracle(problem, seed=5)
    prompt = oracle.prompt()
    drawn: Counter[Hashable] = Counter(
        int(sample_policy(policy, oracle, prompt, sampler=softmax_sample, multiplier=2.0, failure=0.1, seed=0).id)
        for _ in range(DRAWS)
    )
    assert oracle.ledger == Ledger(samples=DRAWS * count)
    law: dict[Hashable, float] = dict(enumerate(np.exp(log_law(problem, policy))[0].tolist()))
    assert_law(drawn, law)
    assert law[0] / law[2] == pytest.approx(BASE[0] / BASE[2], rel=1e-12)


def test_the_first_drawn_of_equal_scores_is_kept() -> None:
    problem = table(np.tile(FEATURES[:1], (5, 1)), BASE)
    oracle, twin = literal_oracle(problem, seed=1), literal_oracle(problem, seed=1)
    prompt, policy = oracle.prompt(), BestOfN(np.ones(2), 4)
    kept = [
        sample_policy(policy, oracle, prompt, sampler=softmax_sample, multiplier=2.0, failure=0.1, seed=0).id
        for _ in range(30)
    ]
    assert tuple(kept) == twin.sample(twin.prompt(), 120).ids[::4]
    assert len(set(kept)) > 1


def test_equal_features_tie_exactly_whatever_is_beside_them() -> None:
    generator = np.random.default_rng(0)
    for dimension in (1, 3, 8, 17, 200):
        row = generator.standard_normal(dimension)
        policy = BestOfN(generator.standard_normal(dimension), 2)
        scores = {float(value) for size in (1, 2, 3, 7, 8, 33) for value in policy.scores(np.tile(row, (size, 1)))} | {
            float(policy.scores(np.tile(row, (2, 3, 1)))[1, 2])
        }
        assert len(scores) == 1


def test_one_draw_is_the_base_policy_and_endless_draws_the_best_response() -> None:
    problem = table(FEATURES, BASE)
    theta = np.array([1.0, 0.5])
    assert np.exp(log_law(problem, BestOfN(theta, 1)))[0] == pytest.approx(BASE, rel=1e-14)
    best = np.exp(log_law(problem, BestOfN(theta, 2**40)))[0]
    assert best == pytest.approx(np.eye(5)[4], abs=1e-15)
    # Neither is the optimum; a few draws with the true score are nearer than both.
    gaps = [gap(problem, log_law(problem, BestOfN(theta, count))) for count in (1, 3, 2**40)]
    assert gaps[1] < min(gaps[0], gaps[2])


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_a_count_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(ArgumentError, match=f"count is {count}"):
        BestOfN(np.ones(2), count)


# A1


def sampler_reference(
    base: list[float], f: list[float], beta: float, multiplier: float, trials: int
) -> tuple[list[Decimal], Decimal, Decimal]:
    """Law, fallback probability and mean number of trials of A1, over every pilot in the order drawn."""
    with localcontext() as context:
        context.prec = 60
        chance = [Decimal(p) for p in base]
        weights = [(Decimal(score) / Decimal(beta)).exp() for score in f]
        law, fallback, mean_trials = [Decimal(0)] * len(base), Decimal(0), Decimal(0)
        for pilot in itertools.product(range(len(base)), repeat=trials):
            pilot_chance = math.prod((chance[y] for y in pilot), start=Decimal(1))
            threshold = Decimal(multiplier) * sum((weights[y] for y in pilot), Decimal(0)) / trials
            accepted = [p * min(Decimal(1), w / threshold) for p, w in zip(chance, weights, strict=True)]
            reached = pilot_chance  # that the next trial takes place
            for _ in range(trials):
                mean_trials += reached
                law = [total + reached * a for total, a in zip(law, accepted, strict=True)]
                reached *= Decimal(1) - sum(accepted)
            fallback += reached
            law = [total + reached * p for total, p in zip(law, chance, strict=True)]
        return law, fallback, mean_trials


@pytest.mark.parametrize(
    ("base", "f", "beta", "multiplier", "delta", "trials"),
    [
        ([0.75, 0.25], [0.0, 1.0], 0.5, 1.0, 0.9, 6),
        ([0.5, 0.5], [1.0, 1.0], 0.5, 1.0, 0.9, 6),  # every trial is accepted
        ([0.96875, 0.03125], [0.0, 1.0], 0.125, 1.0, 0.5, 9),
        ([0.125, 0.875], [-1.0, 2.0], 1.0, 1.5, 0.9, 9),
        ([0.75, 0.25], [-10.0, 0.0], 1e-3, 1.0, 0.9, 6),  # weights e^-10000 and 1
        ([0.5, 0.25, 0.25], [0.0, 0.5, 1.0], 0.25, 1.0, 0.99, 6),
        ([0.5, 0.25, 0.125, 0.125], [0.0, 0.5, 1.0, -1.0], 0.5, 1.0, 0.99, 6),
        ([1.0], [3.0], 0.1, 2.0, 0.9, 12),
    ],
)
def test_the_law_of_the_sampler_is_that_of_every_pilot_and_trial(
    base: list[float], f: list[float], beta: float, multiplier: float, delta: float, trials: int
) -> None:
    assert math.ceil(4 * multiplier * math.log(4 / delta)) == trials
    law, fallback, mean_trials = sampler_reference(base, f, beta, multiplier, trials)
    exact = sampler_law(np.array(base), np.array(f), beta, multiplier, delta)
    assert exact.law == pytest.approx([float(p) for p in law], rel=1e-12, abs=0.0)
    assert exact.fallback_probability == pytest.approx(float(fallback), rel=1e-11, abs=1e-300)
    assert exact.expected_trials == pytest.approx(float(mean_trials), rel=1e-12, abs=0.0)
    assert float(sum(law)) == pytest.approx(1.0, abs=1e-50)


def test_the_law_of_the_sampler_does_not_change_with_a_constant_in_the_score() -> None:
    base, f = np.array([0.75, 0.25]), np.array([0.0, 1.0])
    before = sampler_law(base, f, 0.5, 2.0, 0.5)
    for shift in (1.0, -30.0, 5e3):  # 5e3/beta is 1e4
        after = sampler_law(base, f + shift, 0.5, 2.0, 0.5)
        assert after.law == pytest.approx(before.law, rel=1e-10, abs=0.0)
        assert after.fallback_probability == pytest.approx(before.fallback_probability, rel=1e-9, abs=0.0)


def law_of_two(rare: Decimal, log_weight: Decimal, multiplier: Decimal, trials: int) -> tuple[Decimal, Decimal]:
    """Probability of the first of two responses, and KL to the base policy, over every pilot, in 60 digits.

    The first has this base probability and log weight, the second the log weight 0.
    """
    with localcontext() as context:
        context.prec = 60
        weight, probability = log_weight.exp(), Decimal(0)
        for heavy in range(trials + 1):
            chance = math.comb(trials, heavy) * rare**heavy * (1 - rare) ** (trials - heavy)
            threshold = multiplier * (heavy * weight + (trials - heavy)) / trials
            one, two = rare * min(Decimal(1), weight / threshold), (1 - rare) * min(Decimal(1), 1 / threshold)
            failed = (1 - one - two) ** trials
            probability += chance * ((1 - failed) * one / (one + two) + failed * rare)
        rest = 1 - probability
        return probability, probability * (probability / rare).ln() + rest * (rest / (1 - rare)).ln()


def law_of_any(base: FloatArray, exponents: FloatArray, multiplier: float, trials: int) -> FloatArray:
    """Law of A1 for any multiplier above 0 and any number of draws and trials."""
    pilots, probability = every_pilot(base, trials)
    law: FloatArray = probability @ law_given_pilot(base, exponents, pilots, multiplier)[0]
    return law


@pytest.mark.parametrize(
    ("multiplier", "trials", "probability", "divergence"),
    [
        ("0.1", 1, 0.2, 0.0),  # every trial is accepted: the base policy
        ("1", 5, 0.335726637390, 0.050399288),
        ("2", 20, 0.523868169681, 0.257371673),
        ("12.975712885689", 108, 0.648678511418, 0.474142057),  # 4C, and N for delta = 0.5
    ],
)
def test_laws_at_any_multiplier_are_those_of_sixty_digits(
    multiplier: str, trials: int, probability: float, divergence: float
) -> None:
    exact, kl = law_of_two(Decimal("0.2"), Decimal(2), Decimal(multiplier), trials)
    law = law_of_any(np.array([0.2, 0.8]), np.array([2.0, 0.0]), float(multiplier), trials)
    assert law == pytest.approx([float(exact), float(1 - exact)], rel=1e-12)
    assert float(exact) == pytest.approx(probability, abs=5e-13)
    assert float(kl) == pytest.approx(divergence, abs=5e-10)
    target = 0.2 * math.exp(2) / (0.2 * math.exp(2) + 0.8)
    assert target == pytest.approx(0.648785644284, abs=5e-13)
    assert probability <= target
    assert divergence <= 0.474356298


def test_the_ratio_that_lemma_f_1_bounds_too_low_is_that_of_sixty_digits() -> None:
    # Two responses of scores R_max and -R_max = -10 beta, delta = 0.999, M = 4C.
    for trials, ratio, printed in ((22, 865442, 484582), (23, 649082, 506609)):
        with localcontext() as context:
            context.prec = 60
            rare, weight = Decimal("1e-9"), Decimal(-20).exp()  # over that of the other
            normaliser = rare * weight + 1 - rare
            found, _ = law_of_two(rare, Decimal(-20), 4 / normaliser, trials)
            over = found / (rare * weight / normaliser)
            assert round(over) == ratio
            assert round(Decimal(10).exp() * trials) == printed < ratio
            assert over <= 1 / weight


def test_the_law_is_between_the_base_policy_and_the_target_at_any_multiplier() -> None:
    generator, nearest = np.random.default_rng(4), np.zeros(2)
    for _ in range(400):
        size = int(generator.integers(2, 4))
        base = generator.dirichlet(np.full(size, 0.5)) + 1e-12
        base /= base.sum()
        exponents = np.sort(generator.normal(size=size)) * generator.choice([0.1, 1.0, 6.0])
        multiplier, trials = float(np.exp(generator.uniform(-4.0, 4.0))), int(generator.integers(1, 16))
        law = law_of_any(base, exponents, multiplier, trials)
        log_target = np.log(base) + exponents
        target = np.exp(log_target - np.logaddexp.reduce(log_target))
        coverage = float((target / base).max())
        assert (np.diff(np.log(law / base)) >= -1e-11).all()
        assert (np.diff(np.log(law / target)) <= 1e-11).all()
        assert (law / base).max() <= coverage * (1 + 1e-11)
        assert (law / target <= np.exp(exponents.max() - exponents) * (1 + 1e-11)).all()
        assert law @ np.log(law / base) <= target @ np.log(target / base) + 1e-11
        nearest = np.maximum(nearest, [(law / target).min(), (law / base).min()])
    assert (nearest > 0.999).all()  # both ends are reached


@dataclass(frozen=True)
class Reached:
    """How much of its bound each quantity of A1 reaches on a table of two responses."""

    below: float
    hellinger: float
    divergence: float
    mean_log_ratio: float


def reached(rare: float, log_weight: float, delta: float) -> Reached:
    base, exponents = np.array([1.0 - rare, rare]), np.array([0.0, log_weight])
    weights = np.exp(exponents - log_weight)
    target = base * weights / (base @ weights)
    coverage = float((target / base).max())
    law = sampler_law(base, exponents, 1.0, 4.0 * coverage, delta).law
    multiplier = 4.0 * coverage**2
    trials = sampler_trials(multiplier, delta)
    pilots, probability = every_pilot(base, trials)
    laws, _, _ = law_given_pilot(base, exponents, pilots, multiplier)
    mean_log_ratio = float(probability @ (laws @ exponents - log_pilot_means(exponents, pilots)[:, 0]))
    whole = probability @ laws
    # Lemma F.2, with B/beta = log_weight/2 after a constant is subtracted from the scores
    allowed = coverage * math.sqrt(2.0 / multiplier)
    allowed += 4.0 * (log_weight + math.log(4.0 * multiplier * math.log(4.0 / delta))) * delta
    return Reached(
        below=float((1.0 - law / target).max()) / delta,
        hellinger=float(((np.sqrt(law) - np.sqrt(target)) ** 2).sum()) / (2.0 * delta),
        divergence=float(law @ np.log(law / target)) / (2.0 * (2.0 + log_weight) * delta),
        mean_log_ratio=abs(mean_log_ratio - float(whole @ np.log(whole / base))) / allowed,
    )


def test_the_law_keeps_what_theorem_f_2_and_lemmas_f_1_and_f_2_promise_with_room_to_spare() -> None:
    tables = [
        (rare, log_weight, delta)
        for rare in (0.01, 0.05, 0.3, 0.5, 0.9)
        for log_weight in (0.5, 2.0, 4.0, 30.0)
        for delta in (0.9999, 0.5, 0.01)
        if 64.0 * math.log(4.0 / delta) / rare**2 <= 4e4  # draws of a pilot
    ]
    found = [reached(*each) for each in [*tables, (0.01, 30.0, 0.9999)]]
    assert 0.005 < max(each.below for each in found) < 0.0055
    assert 0.0025 < max(each.hellinger for each in found) < 0.0028
    assert 0.0015 < max(each.divergence for each in found) < 0.0017
    assert 0.0008 < max(each.mean_log_ratio for each in found) < 0.0012


def test_the_log_ratio_is_biased_upwards_and_by_second_order() -> None:
    of_second_order = []
    for rare, log_weight, delta in itertools.product(
        (0.5, 0.1, 0.01, 1e-3, 1e-5), (0.1, 1.0, 3.0, 8.0, -3.0), (0.9, 0.5, 0.01)
    ):
        base, exponents = np.array([1.0 - rare, rare]), np.array([0.0, log_weight])
        log_mean = math.log(float(base @ np.exp(exponents)))
        coverage = math.exp(float(exponents.max()) - log_mean)
        trials = sampler_trials(4.0 * coverage, delta)
        if trials > 2e4:
            continue
        pilots, probability = every_pilot(base, trials)
        bias = log_mean - float(probability @ log_pilot_means(exponents, pilots)[:, 0])
        square = (coverage - 1.0) / trials
        assert 0.0 < bias <= 4.0 * (math.log(2.0) - 0.5) * square + (delta / 4.0) ** 2 * abs(log_weight)
        of_second_order.append(bias / square)
    assert 0.5 < max(of_second_order) < 0.55


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"base": np.array([0.5, 0.0])}, "base"),
        ({"base": np.array([[0.5, 0.5]])}, "base"),
        ({"f": np.array([0.0, 1.0, 2.0])}, "the shape of f"),
        ({"multiplier": 0.99}, "multiplier"),
        ({"multiplier": math.nan}, "multiplier"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"delta": math.nan}, "delta"),
    ],
)
def test_the_law_of_a_sampler_that_is_not_one_is_refused(change: dict[str, Any], name: str) -> None:
    legal: dict[str, Any] = {
        "base": np.array([0.5, 0.5]),
        "f": np.array([0.0, 1.0]),
        "beta": 1.0,
        "multiplier": 2.0,
        "delta": 0.5,
    }
    with pytest.raises(ArgumentError, match="must be") as refusal:
        sampler_law(**(legal | change))
    assert refusal.value.name == name


# A1r


def exact_race(weights: list[Fraction]) -> list[Fraction]:
    """The same in rational numbers: the polynomial is multiplied out and integrated term by term."""
    end = 1 / max(weights)
    law = []
    for index, own in enumerate(weights):
        polynomial = [Fraction(1)]
        for position, weight in enumerate(weights):
            if position != index:
                shifted = [Fraction(0), *(-weight * term for term in polynomial)]
                polynomial = [one + two for one, two in zip([*polynomial, Fraction(0)], shifted, strict=True)]
        law.append(own * sum(term * end ** (power + 1) / (power + 1) for power, term in enumerate(polynomial)))
    return law


@pytest.mark.parametrize(
    "weights", [[1.0], [2.5], [3.0, 1.0], [0.2, 0.7], [1.0, 1.0], [5.0, 2.0, 1.0], [0.1, 0.4, 0.4]]
)
def test_the_law_of_a_small_race_is_its_integral(weights: list[float]) -> None:
    law = race_law(np.log(weights))
    expected = [race_by_quadrature(weights, index) for index in range(len(weights))]
    np.testing.assert_allclose(law, expected, rtol=1e-12)
    np.testing.assert_allclose(law, [float(p) for p in exact_race([Fraction(w) for w in weights])], rtol=1e-14)


def test_the_law_of_a_race_of_two_has_a_closed_form() -> None:
    for log_ratio in (0.0, 0.3, 2.0, 20.0, 300.0):
        low = math.exp(-log_ratio) / 2
        np.testing.assert_allclose(race_law(np.array([0.0, -log_ratio])), [1 - low, low], rtol=1e-13)
        np.testing.assert_allclose(race_law(np.array([-log_ratio, 0.0])), [low, 1 - low], rtol=1e-13)


@pytest.mark.parametrize("pool", [2, 3, 4, 5, 8, 13])
def test_the_law_of_a_race_is_that_of_rational_numbers(pool: int) -> None:
    weights = [Fraction(int(weight), 16) for weight in np.random.default_rng(pool).integers(1, 64, size=pool)]
    expected = exact_race(weights)
    assert sum(expected) == 1
    law = race_law(np.log([float(weight) for weight in weights]))
    np.testing.assert_allclose(law, [float(p) for p in expected], rtol=1e-12)


def test_the_law_of_the_race_moves_with_its_weights() -> None:
    generator = np.random.default_rng(0)
    log_weights = generator.normal(scale=2.0, size=(5, 7, 30))
    order = generator.permutation(30)
    law = race_law(log_weights)
    assert law.shape == log_weights.shape
    np.testing.assert_allclose(race_law(log_weights[..., order]), law[..., order], rtol=1e-12)
    np.testing.assert_allclose(race_law(log_weights[2, 3]), law[2, 3], rtol=1e-13)
    np.testing.assert_allclose(race_law(log_weights + 512.0), law, rtol=1e-9)
    assert not np.allclose(race_law(log_weights[..., order]), law)


@pytest.mark.parametrize("pool", [1, 2, 7, 64, 501])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_the_law_of_the_race_sums_to_one_whatever_the_weights(pool: int, scale: float) -> None:
    log_weights = np.random.default_rng(pool).normal(size=(3, pool)) * scale
    law = race_law(log_weights)
    assert (law >= 0.0).all()
    np.testing.assert_allclose(law.sum(axis=-1), 1.0, rtol=1e-11)
    assert np.array_equal(np.argmax(law, axis=-1), np.argmax(log_weights, axis=-1))
    if scale == 0.0:
        np.testing.assert_allclose(law, 1.0 / pool, rtol=1e-11)


def test_what_weighs_nothing_never_wins() -> None:
    np.testing.assert_allclose(race_law(np.array([0.0, -np.inf, 0.0])), [0.5, 0.0, 0.5], rtol=1e-14)
    np.testing.assert_allclose(race_law(np.array([-1e300, 5.0, -800.0])), [0.0, 1.0, 0.0], rtol=1e-14)
    np.testing.assert_allclose(race_law(np.array([1e300, 5.0])), [1.0, 0.0], rtol=1e-14)
