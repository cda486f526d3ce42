"""E3, E8, E9, R3, R9, R10, S3, S4, S9, T1: bounds as printed, ours, and how much of them instances reach.

One table, a row a statement. Each has a ladder of instances on which its quantity is computed exactly, by enumeration
or in closed form; most ladders approach the worst case. So what is measured shows that a constant is needed, and what
is above it is not shown to be wasted. Where the paper prints no constant (Lemmas E.2, G.8 and G.9) it is that of its
proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom

from spanver.exact.samplers import sampler_law
from spanver.exact.tabular import kl_divergence, log_coverage, log_laws_given_anchors, log_optimal_law
from spanver.guarantees.exploration import (
    log_truncated_coverage,
    log_uncovered_ratio,
    round_regret,
    sharp_spanner_regret,
    spanner_regret,
    truncated_gap,
)
from spanver.guarantees.headline import needle_sphere_chance, needle_strong_chance
from spanver.guarantees.sampler import density_deviation, density_multiplier, sampler_multiplier, sampler_trials
from spanver.guarantees.spanner import (
    spanner_size_bound,
    uncovered_budget,
    uncovered_prompts_budget,
    uncovered_threshold,
)
from spanver.kernels import elliptic_norms, spanner_trace
from spanver.policies import TruncatedSoftmax
from spanver.problems.tabular import TabularProblem
from spanver.studies.engine.study import Claim, Measurement, Numbers, Point, Study, ladder
from spanver.studies.entrants import STYLES
from spanver.values import FloatArray
from spanver.verdicts import Verdict

STEPS = {"quick": 2, "full": 1}  # between rungs
LAST = 14  # rung
ROUNDING = 1e-9  # relative


@dataclass(frozen=True)
class Sides:
    """A quantity on one instance, with our bound on it and the paper's."""

    measured: float
    ours: float
    printed: float


@dataclass(frozen=True)
class Statement:
    """A row of the table.

    Attributes
    ----------
    name : str
        Number in the paper, and what of it.
    guarantee : str
        Id in mathematics.md, of the paper's statement or of ours in its place.
    sides : callable
        Of the instance on a rung of the ladder, from 0 to `LAST`.
    is_true : bool
        Whether the statement holds as printed.
    """

    name: str
    guarantee: str
    sides: Callable[[int], Sides]
    is_true: bool = True


# Exploration: one round on a table with one prompt.


@dataclass(frozen=True)
class Round:
    """One prompt of a truncated policy: numbers of every `y'`, shape (Y,), and of the prompt."""

    base: FloatArray
    regret: FloatArray
    squared_error: FloatArray
    uncovered: FloatArray
    optimal_covered: FloatArray
    log_ratio: FloatArray
    log_coverage: float
    uncertain: float


def explored(problem: TabularProblem, policy: TruncatedSoftmax) -> Round:
    """What Lemmas G.5 to G.7 speak of."""
    features, reward, base = problem.features[0], problem.reward[0], np.exp(problem.log_base[0])
    vectors = features - features[:, None]
    covered = elliptic_norms(vectors, np.linalg.inv(policy.precision)) <= policy.nu
    laws = log_laws_given_anchors(problem, policy, 0, np.arange(len(base)))
    optimum = log_optimal_law(problem)
    errors = vectors @ policy.theta - (reward - reward[:, None])
    return Round(
        base=base,
        regret=problem.beta * kl_divergence(laws, np.broadcast_to(optimum, laws.shape)),
        squared_error=np.sum(np.exp(laws) * covered * errors**2, axis=1),
        uncovered=np.minimum(1.0, np.sum(np.exp(laws) * ~covered, axis=1)),
        optimal_covered=np.minimum(1.0, covered @ np.exp(optimum[0])),
        log_ratio=np.max(laws - problem.log_base, axis=1),
        log_coverage=max(0.0, float(log_coverage(problem, optimum)[0])),
        uncertain=float(base @ ~covered @ base),
    )


def one_prompt(
    base: Sequence[float], features: Sequence[Sequence[float]], theta: FloatArray, beta: float
) -> TabularProblem:
    """A table of one prompt whose rewards are linear."""
    vectors = np.array([features])
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log(np.array([base])),
        features=vectors,
        reward=vectors @ theta,
        beta=beta,
        radius=1.0,
        theta_star=theta,
    )


def overrated(rung: int) -> tuple[TabularProblem, TruncatedSoftmax, float]:
    """A rare response whose score is off by `beta`: all is covered, and `b = 1`."""
    rare, beta = 0.5 * 10.0 ** (-7.0 - rung / 2), 0.05
    nu = math.hypot(0.9 / 1e6, 0.5) * (1.0 + ROUNDING)
    problem = one_prompt([rare, 1.0 - rare], [[0.45, 0.0], [-0.45, 0.5]], np.array([0.99, 0.0]), beta)
    return problem, TruncatedSoftmax(np.array([0.99, beta / nu]), np.diag([1e-12, 1.0]), nu), 1.0


def out_of_reach(rung: int) -> tuple[TabularProblem, TruncatedSoftmax, float]:
    """A rare response that alone earns and is uncovered, for smaller and smaller `beta`; scores are right."""
    problem = one_prompt([1.0 - 1e-6, 1e-6], [[0.0], [0.9]], np.ones(1), 0.05 * 10.0 ** (-rung / 2))
    return problem, TruncatedSoftmax(np.ones(1), np.eye(1), 0.5), 0.0


Instance = Callable[[int], tuple[TabularProblem, TruncatedSoftmax, float]]


def by_masses(instance: Instance) -> Callable[[int], Sides]:
    """Lemma G.5, where E5 is ours."""

    def sides(rung: int) -> Sides:
        problem, policy, deviation = instance(rung)
        found = explored(problem, policy)
        given = problem.beta, problem.reward_range
        each = zip(found.squared_error, found.uncovered, found.optimal_covered, strict=True)
        gaps = [truncated_gap(*given, float(s), float(p), float(c), deviation) for s, p, c in each]
        squared, uncovered, optimal = (
            float(found.base @ of) for of in (found.squared_error, found.uncovered, found.optimal_covered)
        )
        printed = round_regret(*given, squared, min(1.0, uncovered), max(0.0, 1.0 - optimal))
        return Sides(float(found.base @ found.regret), float(found.base @ gaps), printed)

    return sides


def by_the_spanner(instance: Instance) -> Callable[[int], Sides]:
    """Lemma G.7 at its best `eps`, where the sharper form of E9 is ours."""

    def sides(rung: int) -> Sides:
        problem, policy, deviation = instance(rung)
        found = explored(problem, policy)
        squared = float(found.base @ found.squared_error)
        given = problem.beta, problem.reward_range, squared
        coverage = math.exp(found.log_coverage)
        return Sides(
            float(found.base @ found.regret),
            sharp_spanner_regret(*given, found.log_coverage, found.uncertain, deviation),
            min(
                spanner_regret(*given, coverage, max(found.uncertain, TINY), 0.0),
                spanner_regret(*given, coverage, TINY, float(found.uncertain > 0.0)),
            ),
        )

    return sides


TINY = 1e-300


def truncated_coverage(rung: int) -> Sides:
    """Lemma G.6: a rare response is overrated by `beta` and what earns underrated; half of `pi*` is uncovered."""
    rare, more, beta = 5e-4, 0.3 * 10.0 ** (-rung / 4), 0.04
    nu = math.hypot(0.8 / 1e5, 0.5) * (1.0 + ROUNDING)
    problem = one_prompt(
        [1e-12, rare * (1.0 + more), rare, 1.0 - 1e-12 - rare * (2.0 + more)],
        [[0.4, 0.5, 0.0], [0.4, -0.5, 0.0], [0.4, 0.0, 0.5], [-0.4, 0.0, 0.0]],
        np.array([0.98, 0.0, 0.0]),
        beta,
    )
    policy = TruncatedSoftmax(np.array([0.98, beta / nu, 0.0]), np.diag([1e-10, 1.0, 100.0]), nu)
    found, second = explored(problem, policy), 3
    log_best, covered = found.log_coverage, float(found.optimal_covered[second])
    ours = max(log_truncated_coverage(log_best, covered, 1.0), log_uncovered_ratio(log_best, covered, 1.0))
    return Sides(math.exp(found.log_ratio[second]), math.exp(ours), 2.0 * math.e**2 * math.exp(log_best))


# The spanner.


def spanner_size(rung: int) -> Sides:
    """Lemma G.8 for `nu = 1` and smaller and smaller `lambda`: what phase 1 accepts of the worst pairs, along axes.

    Each is as short as is uncertain after those before it, and at most 2 long.
    """
    dimension, nu, ridge = 4, 1.0, 10.0 ** (-10.0 * rung)
    diagonal, pairs = np.full(dimension, ridge), []
    while (square := nu**2 * diagonal.min() * (1.0 + ROUNDING)) <= 4.0:
        pairs.append(math.sqrt(square) * np.eye(dimension)[diagonal.argmin()])
        diagonal[diagonal.argmin()] += square
    accepted = spanner_trace(np.array(pairs)[:, None], ridge, nu).accepted
    printed = 1.0
    for _ in range(200):  # towards the largest k with k <= 2 d log(1 + 4k/(d lambda))/nu^2
        printed = 2.0 * dimension * math.log1p(4.0 * printed / (dimension * ridge)) / nu**2
    return Sides(int((accepted >= 0).sum()), spanner_size_bound(dimension, ridge, nu), printed)


def uncovered_prompts(rung: int) -> Sides:
    """Lemma G.9 where each of many prompts has a direction of its own; `delta = 1/2`.

    Half of the pairs of a prompt are uncertain until one of them is accepted. What is measured is the least number that
    `T_prompt P_x[p_Sigma > eps_span]` exceeds with a probability of at most `delta`.
    """
    delta, rounds = 0.5, round(2 ** (0.8 * rung))
    prompts = 1000 * rounds
    pairs = math.ceil(2.0 * uncovered_threshold(rounds, 1, delta)) + 1  # so that eps_span < 1/2
    threshold = uncovered_threshold(rounds, pairs, delta)
    accepts = -math.expm1(pairs * math.log(0.5))
    sizes = np.arange(rounds + 1)
    law = np.zeros(rounds + 1)
    law[0] = 1.0
    for _ in range(rounds):
        moved = law * (prompts - sizes) / prompts * accepts
        law = law - moved + np.append(0.0, moved[:-1])
    size = int(
        np.argmax(np.cumsum(law) > delta)
    )  # fewer pairs, and so more prompts, have a probability of at most delta
    return Sides(
        rounds * (prompts - size) / prompts,
        uncovered_budget(size, delta) / -math.expm1(-threshold * pairs),
        uncovered_prompts_budget(size, delta),
    )


def potential(lengths: Sequence[float], largest: float) -> tuple[float, float]:
    """`sum min(|v_t|^2, 1)` in one dimension, `lambda = 1`, of squared lengths; and `log(1 + T largest/lambda)`."""
    total, sigma = 0.0, 1.0
    for length in lengths:
        total += min(length / sigma, 1.0)
        sigma += length
    return total, math.log1p(len(lengths) * largest)


def potential_of_vectors(rung: int) -> Sides:
    """Lemma D.4: unit vectors, fewer and fewer; ours by `min(s, 1) <= log(1 + s)/log 2`."""
    total, logarithm = potential([1.0] * (LAST + 1 - rung), 1.0)
    return Sides(total, logarithm / math.log(2.0), 2.0 * logarithm)


def potential_of_pairs(rung: int) -> Sides:
    """Lemma D.4 as G.4.2 applies it, to pairs: each as short as has norm 1, if a length of 2 is enough."""
    lengths: list[float] = []
    for _ in range(rung + 1):
        lengths.append(min(4.0, 1.0 + sum(lengths)))
    total, logarithm = potential(lengths, 4.0)
    return Sides(total, logarithm / math.log(2.0), 2.0 * potential(lengths, 1.0)[1])


# The sampler: two responses, of which the second is rare.


@dataclass(frozen=True)
class Sampled:
    """A1 at `M = 4C`: the laws of the base policy, the target and the output, and what bounds are made of."""

    base: FloatArray
    target: FloatArray
    law: FloatArray
    excess: float
    trials: int
    delta: float


def sampled(rare: float, excess: float, delta: float) -> Sampled:
    """Law of A1 where the rare response has the score `excess` and the other has its negative, in units of `beta`."""
    base, scores = np.array([1.0 - rare, rare]), np.array([-excess, excess])
    weights = np.exp(scores - abs(excess))
    target = base * weights / (base @ weights)
    multiplier = sampler_multiplier(float((target / base).max()))
    law = sampler_law(base, scores, 1.0, multiplier, delta).law
    return Sampled(base, target, law, abs(excess), sampler_trials(multiplier, delta), delta)


def rarely_best(rung: int) -> Sampled:
    """A response that all of the target draws, and the base policy less and less often."""
    return sampled(0.5 * 2.0 ** (-0.7 * rung), 15.0, 0.9999)


def divergence(law: FloatArray, reference: FloatArray) -> float:
    """KL of two laws that are positive."""
    return float(kl_divergence(np.log(law)[None], np.log(reference)[None])[0])


def total_variation(rung: int) -> Sides:
    """Lemma F.1, TV; nothing sharper is proved."""
    found = rarely_best(rung)
    return Sides(0.5 * float(np.abs(found.law - found.target).sum()), found.delta, found.delta)


def hellinger(rung: int) -> Sides:
    """Lemma F.1, squared Hellinger distance; nothing sharper is proved."""
    found = rarely_best(rung)
    distance = float(((np.sqrt(found.law) - np.sqrt(found.target)) ** 2).sum())
    return Sides(distance, 2.0 * found.delta, 2.0 * found.delta)


def divergence_from_target(rung: int) -> Sides:
    """Lemma F.1, `KL(law || pi_f)`."""
    found = rarely_best(rung)
    return Sides(
        divergence(found.law, found.target),
        2.0 * (2.0 + 2.0 * found.excess) * found.delta,
        4.0 * (found.excess + math.log(found.trials)) * found.delta,
    )


def divergence_from_base(rung: int) -> Sides:
    """Lemma F.1, `KL(law || pi_ref)`, which R10 bounds by that of the target."""
    found = rarely_best(rung)
    target = divergence(found.target, found.base)
    return Sides(
        divergence(found.law, found.base), target, target + 6.0 * (found.excess + math.log(found.trials)) * found.delta
    )


def density_ratio(rung: int) -> Sides:
    """Lemma F.1, `max law/pi_f`, where a rare response has the least score: errata.md."""
    found = sampled(1e-9, -float(rung), 0.999)
    return Sides(
        float((found.law / found.target).max()), math.exp(2.0 * found.excess), math.exp(found.excess) * found.trials
    )


def density_error(rung: int) -> Sides:
    """(30): the least number that `abs(log rho - log(pi_f/pi_ref))` exceeds with a probability of at most `delta`."""
    delta, share, log_weight = 0.5 * 10.0**-rung, 0.5, 40.0
    mean = share + (1.0 - share) * math.exp(-log_weight)
    multiplier = density_multiplier(1.0 / mean)
    draws = sampler_trials(multiplier, delta)
    heavy = np.arange(draws + 1)
    off = np.abs(np.log((heavy + (draws - heavy) * math.exp(-log_weight)) / draws / mean))
    order = np.argsort(off)[::-1]
    passed = np.cumsum(binom.pmf(heavy, draws, share)[order]) > delta
    ours = -math.log1p(-1.0 / mean / math.sqrt(8.0 * multiplier))
    return Sides(float(off[order][np.argmax(passed)]), ours, density_deviation(1.0 / mean, multiplier))


def strong_answer(coverage: float, beta: float, dimension: int) -> Sides:
    """Lemma E.2 and its use in Lemma E.1: the largest chance that a strong answer is the needle."""
    printed = math.e / coverage + math.exp(-(beta**2) * dimension / 2.0)
    given = coverage, beta, dimension
    return Sides(needle_sphere_chance(*given), needle_strong_chance(*given), printed)


STATEMENTS = (
    Statement("Lemma E.2, strong answer, d = 1", "T1", lambda rung: strong_answer(4.0 ** (rung + 1), 0.01, 1)),
    Statement("Lemma E.2, strong answer, large d", "T1", lambda rung: strong_answer(1024.0, 0.1, 1000 * 2**rung)),
    Statement("Lemma D.4, potential of vectors", "S3", potential_of_vectors),
    Statement("Lemma D.4 in G.4.2, potential of pairs", "S3", potential_of_pairs, is_true=False),
    Statement("Lemma F.1, total variation", "R3", total_variation),
    Statement("Lemma F.1, squared Hellinger distance", "R3", hellinger),
    Statement("Lemma F.1, divergence from the target", "R10", divergence_from_target),
    Statement("Lemma F.1, divergence from the base policy", "R10", divergence_from_base),
    Statement("Lemma F.1, density ratio", "R10", density_ratio, is_true=False),
    Statement("(30), log of the density ratio", "R9", density_error),
    Statement("Lemma G.5, regret by squared errors", "E8", by_masses(overrated)),
    Statement("Lemma G.5, regret by what is uncovered", "E8", by_masses(out_of_reach)),
    Statement("Lemma G.6, coverage of a round's policy", "E3", truncated_coverage),
    Statement("Lemma G.7, regret by squared errors", "E9", by_the_spanner(overrated)),
    Statement("Lemma G.7, regret by what is uncovered", "E9", by_the_spanner(out_of_reach)),
    Statement("Lemma G.8, size of the spanner", "S4", spanner_size),
    Statement("Lemma G.9, prompts that stay uncovered", "S9", uncovered_prompts),
)


def points(profile: str) -> tuple[Point, ...]:
    """Rungs of the ladders; nothing is random."""
    return ladder("constants", ["measured"], range(0, LAST + 1, STEPS[profile]), 1)


def measure(point: Point) -> Numbers:
    """Both bounds and the quantity, of every statement."""
    found = {each.name: each.sides(int(point.size)) for each in STATEMENTS}
    return {
        f"{name}, {side}": float(getattr(sides, side))
        for name, sides in found.items()
        for side in ("measured", "ours", "printed")
    }


def rungs(measured: Sequence[Measurement], name: str) -> list[Sides]:
    """The two bounds and the quantity of a statement on every rung, in order."""
    ordered = sorted(measured, key=lambda each: each.point)
    return [
        Sides(*(float(each.numbers[f"{name}, {side}"] or 0.0) for side in ("measured", "ours", "printed")))
        for each in ordered
    ]


def fullest(found: Sequence[Sides]) -> Sides:
    """Of these instances that on which the printed bound is used most."""
    return max(found, key=lambda sides: sides.measured / sides.printed)


def claims(measured: Sequence[Measurement]) -> tuple[Claim, ...]:
    """Of every statement: nothing passes our bound; ours is at most the printed one, or something passes that."""
    judged = []
    for statement in STATEMENTS:
        found = rungs(measured, statement.name)
        note = ""
        if found:
            most = fullest(found)
            reached, ours = most.measured / most.printed, most.ours / most.printed
            note = f"measured {reached:.4g} and ours {ours:.4g} of the printed one"
        true = all(below(each.measured, each.ours) for each in found)
        words = "at most our bound"
        if statement.is_true:
            true = true and all(below(each.ours, each.printed) for each in found)
            words += ", and that at most the one printed"
        outcomes = [(words, true)]
        if not statement.is_true:
            outcomes.append(
                ("more than the bound printed", not all(below(each.measured, each.printed) for each in found))
            )
        for words, holds in outcomes:
            verdict = Verdict.UNDECIDED if not found else Verdict.HOLDS if holds else Verdict.VIOLATED
            claim = f"{statement.name}: {words}"
            judged.append(Claim(statement.guarantee, claim, verdict, points=len(found), note=note))
    return tuple(judged)


def below(value: float, bound: float) -> bool:
    """Whether a value is at most its bound, up to rounding."""
    return value <= bound * (1.0 + ROUNDING)


def draw(figure: Any, measured: Sequence[Measurement]) -> None:
    """A row a statement, in units of the printed bound: every instance, and where most of it is used both bounds."""
    axes = figure.subplots()
    places, shares = range(len(STATEMENTS))[::-1], []
    reached, bound = STYLES["measured"], STYLES["ours"]
    for place, statement in zip(places, STATEMENTS, strict=True):
        found = rungs(measured, statement.name)
        axes.plot([each.measured / each.printed for each in found], [place] * len(found), "|", color=reached.colour)
        most = fullest(found)
        shares.append((most.measured / most.printed, most.ours / most.printed))
        axes.plot(shares[-1], [place, place], color="0.7", linewidth=1.5, zorder=0)
    for style, values in ((bound, [ours for _, ours in shares]), (reached, [most for most, _ in shares])):
        axes.plot(values, places, style.marker, color=style.colour, markersize=style.marker_size, label=style.label)
    axes.axvline(1.0, color="0.35", linestyle="--", linewidth=1.0, label="the bound as printed")
    names = [each.name if each.is_true else f"{each.name} (false)" for each in STATEMENTS]
    axes.set_yticks(places, names, fontsize=8)
    numbers = axes.secondary_yaxis("right")
    numbers.set_yticks(places, [f"{most:.4g}, {ours:.4g}" for most, ours in shares], fontsize=8)
    numbers.set_ylabel("measured, ours")
    axes.set_ylim(-0.7, len(STATEMENTS) - 0.3)
    axes.set_xscale("log")
    axes.set_xlabel("in units of the bound as printed")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper right")


STUDY = Study(
    name="constants",
    title="Constants of the paper, ours, and how much of them is reached",
    guarantees=tuple(dict.fromkeys(each.guarantee for each in STATEMENTS)),
    statement=(
        "how much of a bound instances reach, as printed [paper: FMR25 Lemmas D.4 to G.9, pp. 30-53] and as we have it "
        "[ours]; two of the printed ones are false"
    ),
    points=points,
    measure=measure,
    judge=claims,
    draw=draw,
    caption="Exact numbers on a ladder of instances for each statement (ticks), and the instance that uses most of the "
    "printed bound (large marks, and numbers on the right). Where the paper prints no constant (E.2, G.8, G.9) it is "
    "that of its proof. What the density ratio reaches grows without bound.",
)
