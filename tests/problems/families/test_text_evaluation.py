"""What is estimated on text is what enumeration gives, on a table where it can be enumerated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import pytest
from alterations import Change, add, altered_copy, change_by, more, put
from evaluations import evaluate_text, evaluated
from scipy import stats
from text_cases import ALPHA, race_by_quadrature

from spanver.exact.samplers import race_law
from spanver.oracle import Ledger, Oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.text import text_oracle
from spanver.policies import TruncatedMixture, TruncatedSoftmax
from spanver.problems.families.text import TextProblem
from spanver.problems.tabular import TabularProblem
from spanver.runs import evaluation as runs_evaluation
from spanver.runs import execution, restated
from spanver.runs.certify import certify
from spanver.runs.evaluation import Evaluation
from spanver.runs.plans import make_plan
from spanver.runs.records import load_record
from spanver.values import FloatArray, ResponseId, Responses
from spanver.verdicts import Verdict

# ---------------------------------------------------------------------------------------------------------------------
# Evaluation by pools

FEATURES = np.array([[0.6, 0.0], [-0.3, 0.5], [0.1, -0.7]])

REWARD = np.array([0.6, -0.5, 0.1])

BASE = (Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))

TABLE = TabularProblem(
    prompt_law=np.array([1.0]),
    log_base=np.log([[float(p) for p in BASE]]),
    features=FEATURES[None],
    reward=REWARD[None],
    beta=0.3,
    radius=1.0,
)

# Some pairs are not covered, so that truncation matters.
MIXTURE = TruncatedMixture(np.array([[1.0, -0.4], [0.8, -0.5]]), np.eye(2), 1.1)


class EveryPool:
    """An oracle over the table whose answers are all equally likely ones, each once."""

    beta, dimension = TABLE.beta, TABLE.dimension

    def __init__(self, count: int) -> None:
        atoms = [0, 0, 1, 2]
        self._answers = itertools.product(atoms, repeat=count)

    def prompt(self) -> int:
        return 0

    def sample(self, prompt: int, count: int) -> Responses:
        ids = next(self._answers)
        assert len(ids) == count
        return Responses(tuple(ids), FEATURES[list(ids)])

    def reward(self, prompt: int, response: ResponseId) -> float:
        return float(REWARD[int(response)])


def evaluate_every_pool(mixture: TruncatedMixture, pool: int) -> Evaluation:
    oracle = cast("Oracle", EveryPool(pool + 1))
    return evaluate_text(oracle, mixture, prompts=4 ** (pool + 1), pool=pool, seed=0)


def score(component: TruncatedSoftmax, response: int, second: int) -> float:
    difference = FEATURES[response] - FEATURES[second]
    covered = math.sqrt(difference @ component.precision @ difference) <= component.nu
    return float(component.theta @ difference) if covered else 0.0


def compositions(pool: int) -> Iterator[tuple[tuple[int, int, int], float]]:
    """How often each response is in a pool, with its probability."""
    for one in range(pool + 1):
        for two in range(pool + 1 - one):
            counts = (one, two, pool - one - two)
            ways = math.factorial(pool) // math.prod(map(math.factorial, counts))
            yield counts, float(ways * math.prod(p**n for p, n in zip(BASE, counts, strict=True)))


Race: TypeAlias = Callable[[list[float]], list[float]]


def enumerated(component: TruncatedSoftmax, pool: int, race: Race) -> tuple[FloatArray, float]:
    """Law of the race's output given each second response, and expected bound of its objective, over all pools."""
    laws, bound = np.zeros((3, 3)), 0.0
    for second in range(3):
        scores = [score(component, response, second) for response in range(3)]
        for counts, probability in compositions(pool):
            members = [response for response, count in enumerate(counts) for _ in range(count)]
            chances = race([math.exp(scores[member] / TABLE.beta) for member in members])
            for member, chance in zip(members, chances, strict=True):
                laws[second, member] += probability * chance
                gain = REWARD[member] - TABLE.beta * math.log(pool * chance)
                bound += float(BASE[second]) * probability * chance * gain
    return laws, bound


def true_objective(law: FloatArray) -> float:
    return float(law @ REWARD - TABLE.beta * (law @ np.log(law / BASE_LAW)))


BASE_LAW = np.array([float(p) for p in BASE])

BASE_OBJECTIVE = float(BASE_LAW @ REWARD)

BEST_OBJECTIVE = TABLE.beta * math.log(float(BASE_LAW @ np.exp(REWARD / TABLE.beta)))


def slow_race(weights: list[float]) -> list[float]:
    return [race_by_quadrature(weights, index) for index in range(len(weights))]


@pytest.mark.parametrize("pool", [1, 2, 3, 4])
def test_the_expected_estimate_is_the_enumerated_bound_and_below_the_objective_of_the_race(pool: int) -> None:
    laws, bounds = zip(*(enumerated(component, pool, slow_race) for component in MIXTURE.components), strict=True)
    evaluation = evaluate_every_pool(MIXTURE, pool)
    assert evaluation.improvement.value == pytest.approx(sum(bounds) / 2 - BASE_OBJECTIVE, abs=1e-12)
    for bound, law in zip(bounds, laws, strict=True):
        assert bound <= true_objective(BASE_LAW @ law) + 1e-14
    truth = true_objective(BASE_LAW @ sum(laws) / 2) - BASE_OBJECTIVE
    assert evaluation.improvement.value <= truth + 1e-14
    # The draws are the base policy exactly here, and so the optimum is too.
    assert evaluation.base_gap == pytest.approx(BEST_OBJECTIVE - BASE_OBJECTIVE, abs=1e-12)
    assert evaluation.gap.value == pytest.approx(BEST_OBJECTIVE - sum(bounds) / 2, abs=1e-12)
    np.testing.assert_allclose(evaluation.round_gaps, [BEST_OBJECTIVE - bound for bound in bounds], atol=1e-12)
    if pool == 1:  # the race of one is the base policy
        assert evaluation.improvement.value == pytest.approx(0.0, abs=1e-13)


def test_the_bound_comes_close_to_the_objective_given_the_second_response_as_pools_grow() -> None:
    margins = []
    for pool in (4, 12, 36):
        laws, bound = enumerated(MIXTURE.components[0], pool, lambda weights: race_law(np.log(weights)).tolist())
        given = sum(p * true_objective(law) for p, law in zip(BASE_LAW, laws, strict=True))
        margins.append(given - bound)
    assert margins[0] > 2 * margins[1] > 4 * margins[2] > 0.0
    assert margins[2] < 0.1 * (given - BASE_OBJECTIVE)


def test_the_estimate_of_large_pools_is_the_objective_given_the_second_response() -> None:
    truth = 0.0
    for component, second in itertools.product(MIXTURE.components, range(3)):
        law = BASE_LAW * np.exp([score(component, response, second) / TABLE.beta for response in range(3)])
        truth += BASE_LAW[second] * (true_objective(law / law.sum()) - BASE_OBJECTIVE) / 2
    oracle = literal_oracle(TABLE, seed=5)
    estimate = evaluate_text(oracle, MIXTURE, prompts=400, pool=200, seed=0).improvement
    error = (estimate.high - estimate.low) / (2 * stats.t.ppf(0.975, 399))
    assert abs(estimate.value - truth) < 0.05 * truth + 5 * error
    assert error < 0.05 * truth
    assert oracle.ledger == Ledger(400 * 201, 400 * 201, 0)


def test_the_interval_covers_as_often_as_it_says() -> None:
    target = evaluate_every_pool(MIXTURE, 4).improvement.value
    repeats = 400
    intervals = np.empty((repeats, 3))
    for seed in range(repeats):
        estimate = evaluate_text(literal_oracle(TABLE, seed=seed), MIXTURE, prompts=40, pool=4, seed=seed).improvement
        assert not estimate.exact
        intervals[seed] = estimate.low, estimate.value, estimate.high
    # Two-sided at level ALPHA; an interval half or twice as wide is rejected by the same repeats.
    few, many = stats.binom.ppf(ALPHA / 2, repeats, 0.05), stats.binom.isf(ALPHA / 2, repeats, 0.05)

    def misses(width: float) -> int:
        half = width * (intervals[:, 2] - intervals[:, 0]) / 2
        return int((np.abs(intervals[:, 1] - target) > half).sum())

    assert few <= misses(1.0) <= many
    assert misses(0.5) > many
    assert misses(2.0) < few


def test_samples_that_are_shown_are_the_best_of_what_was_looked_at() -> None:
    evaluation, steps = evaluated(
        runs_evaluation.evaluate_text(literal_oracle(TABLE, seed=1), MIXTURE, prompts=30, pool=8, seed=0, shown=2)
    )
    assert steps == list(range(1, 31))
    for samples in (evaluation.before, evaluation.after):
        assert [sample.response for sample in samples] == [0, 2]  # the two best of the three responses
        assert [sample.reward for sample in samples] == [0.6, 0.1]
    assert len(evaluate_text(literal_oracle(TABLE, seed=1), MIXTURE, prompts=30, pool=8, seed=0).before) == 3
    assert "30 prompts" in evaluation.method


def test_the_whole_evaluation_works_on_text(problem: TextProblem) -> None:
    def evaluate(theta: FloatArray) -> Evaluation:
        policy = TruncatedMixture(theta[None], np.eye(4), 2.1)  # which covers everything
        return evaluate_text(text_oracle(problem, seed=2), policy, prompts=12, pool=16, seed=0)

    good, bad = evaluate(problem.theta_star), evaluate(-problem.theta_star)
    assert good.improvement.value > 0.0 > bad.improvement.value
    assert good.gap.value < good.base_gap == bad.base_gap < bad.gap.value
    assert good.gap.value == pytest.approx(good.base_gap - good.improvement.value, rel=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# The record of an evaluation on text, which certify compares with itself


RECORD_CHANGES: list[Change] = [
    put("gap", "exact", value=True),
    put("gap", "value", value=1e-3),
    change_by("improvement", "high", factor=1 + 1e-9),
    change_by("improvement", "value", factor=1 + 1e-9),
    change_by("base_gap", factor=1 - 1e-9),
    add("mixture_gaps", -1, 1e-9),
    add("round_gaps", 0, 1e-9),
    more("evaluation", "ledger", "rewards", by=-1),
    more("evaluation", "ledger", "samples", by=1),
]


def test_a_record_of_text_is_compared_with_itself_and_not_with_its_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, problem: TextProblem
) -> None:
    for module in (execution, restated):
        monkeypatch.setattr(module, "EVALUATION_PROMPTS", 6)
    settings = {"prompts": 8, "exploration_rounds": 4, "rejection_multiplier": 4.0}
    genuine = tmp_path / "genuine.json"
    execution.execute(make_plan(problem, seed=3, overrides=settings), genuine, problem=problem)
    certificate = certify(load_record(genuine))
    assert {claim.verdict for claim in certificate.claims} == {Verdict.HOLDS}
    assert "single precision" in certificate.uncompared
    for change in RECORD_CHANGES:
        altered = certify(load_record(altered_copy(genuine, tmp_path / "run.json", change)))
        assert [claim.id for claim in altered.claims if claim.verdict is Verdict.VIOLATED] == ["record"]
