"""Oracles charge what they answer, give nothing else away, and have exactly the laws that they promise (O1-O3).

Laws are compared exactly where a scripted generator reaches every outcome, and otherwise by an e-value at a level of
1e-6 on fixed seeds. Each of these tests also rejects, from the same sample, a law that is off by 0.05 in total
variation, so that a pass means something.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from decimal import Decimal, localcontext
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
from laws import assert_law

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError, SpanverError
from spanver.learners.softmax_sampler import softmax_sample
from spanver.oracle import Budget, Ledger
from spanver.oracles import counted, counted_oracle, literal_oracle, text_oracle
from spanver.oracles import metered as door
from spanver.oracles.counted import CountedDraws, geometric
from spanver.oracles.metered import LARGEST_COUNT, MeteredOracle
from spanver.oracles.table import Inversion, Table
from spanver.problems.tabular import TabularProblem
from spanver.randomness import UniformBuffer
from spanver.values import (
    Counts,
    FloatArray,
    LinearScore,
    RejectionRule,
    Response,
    Responses,
    Rule,
    SearchResult,
    TruncatedScore,
    UncertainPairRule,
)

MakeOracle: TypeAlias = Callable[..., MeteredOracle]


def table(**changes: Any) -> TabularProblem:
    """Two prompts, five responses of which the last (first prompt) or the first (second) is outside the support."""
    generator = np.random.default_rng(5)
    features = generator.uniform(-0.7, 0.7, size=(2, 5, 2))
    theta = np.array([0.6, -0.8])
    reward = features @ theta + np.array([[0.5], [-2.0]])
    with np.errstate(divide="ignore"):
        log_base = np.log([[0.3, 0.25, 0.3, 0.15, 0.0], [0.0, 0.4, 0.1, 0.2, 0.3]])
    settings: dict[str, Any] = {
        "prompt_law": np.array([0.6, 0.4]),
        "log_base": log_base,
        "features": features,
        "reward": reward,
        "beta": 0.5,
        "radius": 1.0,
        "reward_range": 2.0,
        "reward_low": np.array([-0.5, -3.0]),
        "noise": 0.5,
        "theta_star": theta,
    }
    return TabularProblem(**(settings | changes))


PROBLEM = table()
PRECISION = np.array([[2.0, 0.5], [0.5, 1.0]])
RULE = UncertainPairRule(PRECISION, 1.1)
TRIAL = RejectionRule(LinearScore(np.array([0.3, 0.9])), 1.0)
TRUNCATED = RejectionRule(TruncatedScore(np.array([0.3, 0.9]), PROBLEM.features[0, 1], PRECISION, 1.1), 0.75)
NEVER = RejectionRule(LinearScore(np.zeros(2)), 1000.0)
ALWAYS = RejectionRule(LinearScore(np.zeros(2)), 0.0)
NO_PAIR = UncertainPairRule(PRECISION, 100.0)

each_oracle = pytest.mark.parametrize("make", [literal_oracle, counted_oracle])


def at_prompt(make: MakeOracle, prompt: int = 0, problem: TabularProblem = PROBLEM, **settings: Any) -> MeteredOracle:
    """Oracle that has issued `prompt`, last."""
    oracle = make(problem, **({"seed": 1} | settings))
    for _ in range(1000):
        if oracle.prompt() == prompt:
            return oracle
    raise AssertionError(prompt)


def at_both(make: MakeOracle, seed: int) -> MeteredOracle:
    """Oracle that has issued both prompts."""
    oracle, seen = make(PROBLEM, seed=seed), set[int | str]()
    while len(seen) < 2:
        seen.add(oracle.prompt())
    return oracle


# ---------------------------------------------------------------------------------------------------------------------
# Evidence


def base_of(problem: TabularProblem, prompt: int) -> list[float]:
    return [math.exp(value) for value in problem.log_base[prompt]]


def pair_masses(problem: TabularProblem, prompt: int, rule: UncertainPairRule) -> dict[tuple[int, ...], float]:
    """Probability of every uncertain pair, by looking at all pairs."""
    base, features = base_of(problem, prompt), problem.features[prompt]
    masses: dict[tuple[int, ...], float] = {}
    for i, j in itertools.product(range(problem.responses), repeat=2):
        v = features[i] - features[j]
        square = sum(v[a] * rule.precision[a, b] * v[b] for a in range(len(v)) for b in range(len(v)))
        if base[i] * base[j] > 0.0 and math.sqrt(square) > rule.nu:
            masses[i, j] = base[i] * base[j]
    return masses


def trial_masses(problem: TabularProblem, prompt: int, rule: RejectionRule) -> dict[tuple[int, ...], float]:
    """Probability of every response together with its acceptance."""
    masses: dict[tuple[int, ...], float] = {}
    for y, (chance, phi) in enumerate(zip(base_of(problem, prompt), problem.features[prompt], strict=True)):
        score = rule.score
        v = phi - score.anchor if isinstance(score, TruncatedScore) else phi
        f = sum(a * b for a, b in zip(score.theta, v, strict=True))
        if isinstance(score, TruncatedScore) and v @ score.precision @ v > score.nu**2:
            f = 0.0
        if chance > 0.0:
            masses[(y,)] = chance * min(1.0, math.exp(f / problem.beta - rule.log_threshold))
    return masses


def masses_of(
    problem: TabularProblem, prompt: int, rule: UncertainPairRule | RejectionRule
) -> dict[tuple[int, ...], float]:
    return (
        trial_masses(problem, prompt, rule) if isinstance(rule, RejectionRule) else pair_masses(problem, prompt, rule)
    )


def until_law(masses: Mapping[tuple[int, ...], float], limit: int) -> dict[Hashable, float]:
    """Law of (tries, ids) of `sample_until`, or None where no try is accepted."""
    miss = 1.0 - math.fsum(masses.values())
    law: dict[Hashable, float] = {None: miss**limit}
    for tries in range(1, limit + 1):
        law |= {(tries, ids): miss ** (tries - 1) * mass for ids, mass in masses.items()}
    return law


class Script:
    """A generator of scripted uniforms."""

    def __init__(self, *uniforms: float) -> None:
        self._uniforms = list(uniforms)

    def random(self, size: int | None = None) -> Any:
        if size is None:
            return self._uniforms.pop(0)
        return np.array([self._uniforms.pop(0) for _ in range(size)])


def scripted(*uniforms: float) -> Any:
    """PromptStreams whose every stream starts with these uniforms."""
    buffers = {name: UniformBuffer(Script(*uniforms)) for name in ("responses", "acceptance", "rewards")}  # type: ignore[arg-type]
    return SimpleNamespace(**buffers, aggregate=Script(*uniforms))


def grid(count: int) -> FloatArray:
    """Midpoints of `count` equal steps of the unit interval."""
    return (np.arange(count) + 0.5) / count


def ids_of(found: SearchResult) -> Hashable:
    return None if found.responses is None else (found.tries, found.responses.ids)


# ---------------------------------------------------------------------------------------------------------------------
# The ledger and the budget (O1, O3)


@each_oracle
def test_every_question_costs_the_answers_it_hands_out(make: MakeOracle) -> None:
    oracle = make(PROBLEM, seed=3, full_table=True)
    assert oracle.ledger == Ledger(0, 0, 0)
    prompt = oracle.prompt()
    assert oracle.ledger == Ledger(0, 0, 0)
    assert len(oracle.sample(prompt, 7)) == 7
    assert oracle.ledger == Ledger(7, 0, 0)
    assert len(oracle.sample(prompt, 3, theta=np.array([0.6, 0.8]))) == 3
    assert oracle.ledger == Ledger(10, 0, 0)
    assert oracle.sample_counts(prompt, 1000).counts.sum() == 1000
    assert oracle.ledger == Ledger(1010, 0, 0)
    oracle.reward(prompt, 0)
    oracle.reward(prompt, oracle.sample(prompt, 1)[0])
    assert oracle.ledger == Ledger(1011, 2, 0)
    oracle.compare(prompt, 0, 4)
    assert oracle.ledger == Ledger(1011, 3, 0)
    assert len(oracle.enumerate(prompt)) == 5
    assert oracle.ledger == Ledger(1011, 3, 5)


@each_oracle
@pytest.mark.parametrize(("rule", "width"), [(RULE, 2), (TRIAL, 1), (TRUNCATED, 1), (NO_PAIR, 2), (NEVER, 1)])
def test_drawing_until_a_rule_accepts_costs_every_try(make: MakeOracle, rule: Any, width: int) -> None:
    oracle, spent = at_prompt(make), 0
    for limit in (1, 2, 5, 300):
        for _ in range(20):
            found = oracle.sample_until(0, rule, limit)
            assert 1 <= found.tries <= limit
            assert found.responses is not None or found.tries == limit
            assert found.responses is None or len(found.responses) == width
            spent += width * found.tries
            assert oracle.ledger == Ledger(spent, 0, 0)


class Interrupting:
    """A score that is interrupted the third time it is asked for."""

    theta = np.zeros(2)

    def __init__(self) -> None:
        self.calls = 0

    def of(self, features: FloatArray) -> FloatArray:
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return np.full(len(features), -1e6)


@pytest.mark.parametrize("earlier", [[], [100], [1, 30]])
def test_an_interrupted_question_is_charged_for_what_it_used_up(earlier: list[int]) -> None:
    path = at_prompt(literal_oracle).sample(0, 2000).ids
    oracle = at_prompt(literal_oracle)
    for limit in earlier:
        oracle.sample_until(0, NEVER, limit)
    with pytest.raises(KeyboardInterrupt):
        oracle.sample_until(0, RejectionRule(Interrupting(), 0.0), 10_000)  # type: ignore[arg-type]
    charged = oracle.ledger.samples
    # Whatever was charged, the path goes on from there: no answer is examined and then forgotten by the ledger.
    assert oracle.sample(0, 40).ids == path[charged : charged + 40]


BAD_QUESTIONS: list[tuple[str, Callable[[MeteredOracle], Any], str]] = [
    ("an unknown prompt", lambda oracle: oracle.sample(2, 1), "prompt is 2"),
    ("a prompt that is no prompt", lambda oracle: oracle.sample_counts("x", 1), "prompt is 'x'"),
    ("a prompt that cannot be one", lambda oracle: oracle.reward([0], 1), "prompt is [0]"),  # type: ignore[arg-type]
    ("no prompt", lambda oracle: oracle.enumerate(None), "prompt is None"),  # type: ignore[arg-type]
    ("a prompt below 0", lambda oracle: oracle.compare(-1, 0, 1), "prompt is -1"),
    ("a prompt after a rule", lambda oracle: oracle.sample_until(5, RULE, 3), "prompt is 5"),
    ("no draw", lambda oracle: oracle.sample(0, 0), "count is 0"),
    ("less than no draw", lambda oracle: oracle.sample_counts(0, -3), "count is -3"),
    ("half a draw", lambda oracle: oracle.sample(0, 1.5), "count is 1.5"),  # type: ignore[arg-type]
    ("a truth for a count", lambda oracle: oracle.sample(0, True), "count is True"),
    ("a word for a count", lambda oracle: oracle.sample(0, "7"), "count is '7'"),  # type: ignore[arg-type]
    ("no count", lambda oracle: oracle.sample_counts(0, None), "count is None"),  # type: ignore[arg-type]
    ("too many draws", lambda oracle: oracle.sample_counts(0, 2**60 + 1), f"count is {2**60 + 1}"),
    ("too many single draws", lambda oracle: oracle.sample(0, 2**80), f"count is {2**80}"),
    ("no try", lambda oracle: oracle.sample_until(0, RULE, 0), "limit is 0"),
    ("too many tries", lambda oracle: oracle.sample_until(0, RULE, 2**62 + 1), f"limit is {2**62 + 1}"),
    ("an unknown response", lambda oracle: oracle.reward(0, 5), "response is 5"),
    ("a response below 0", lambda oracle: oracle.reward(0, -1), "response is -1"),
    ("a text for a response", lambda oracle: oracle.reward(0, "0"), "response is '0'"),
    ("a number for a response", lambda oracle: oracle.reward(0, 1.0), "response is 1.0"),  # type: ignore[arg-type]
    ("a truth for a response", lambda oracle: oracle.reward(0, True), "response is True"),
    ("no response", lambda oracle: oracle.reward(0, None), "response is None"),  # type: ignore[arg-type]
    ("a forged response", lambda oracle: oracle.reward(0, Response(9, np.zeros(2))), "response is 9"),
    ("an unknown first", lambda oracle: oracle.compare(0, 7, 1), "first is 7"),
    ("an unknown second", lambda oracle: oracle.compare(0, 1, 7), "second is 7"),
    ("a long theta", lambda oracle: oracle.sample(0, 2, theta=np.array([0.6, 0.8001])), "the norm of theta is 1.0000"),
    ("a theta of NaN", lambda oracle: oracle.sample(0, 2, theta=np.array([0.0, np.nan])), "theta is array([ 0., nan])"),
    (
        "an infinite theta",
        lambda oracle: oracle.sample(0, 2, theta=np.array([-np.inf, 0.0])),
        "theta is array([-inf,   0.])",
    ),
    ("a theta that does not fit", lambda oracle: oracle.sample(0, 2, theta=np.zeros(3)), "the shape of theta is (3,)"),
    ("a table of thetas", lambda oracle: oracle.sample(0, 2, theta=np.zeros((1, 2))), "the shape of theta is (1, 2)"),
    ("a word for a theta", lambda oracle: oracle.sample(0, 2, theta="up"), "theta is 'up'"),  # type: ignore[arg-type]
    ("an object for a theta", lambda oracle: oracle.sample(0, 2, theta={}), "theta is {}"),  # type: ignore[arg-type]
    (
        "a precision that does not fit",
        lambda oracle: oracle.sample_until(0, UncertainPairRule(np.eye(3), 1.0), 5),
        "the shape of precision is (3, 3)",
    ),
    (
        "a precision that is too small",
        lambda oracle: oracle.sample_until(0, UncertainPairRule(np.eye(1), 1.0), 5),
        "the shape of precision is (1, 1)",
    ),
    (
        "a score that does not fit",
        lambda oracle: oracle.sample_until(0, RejectionRule(LinearScore(np.zeros(3)), 0.0), 5),
        "the shape of theta is (3,)",
    ),
]


@each_oracle
@pytest.mark.parametrize(
    ("ask", "sentence"), [question[1:] for question in BAD_QUESTIONS], ids=[q[0] for q in BAD_QUESTIONS]
)
def test_a_bad_question_is_refused_and_leaves_no_trace(
    make: MakeOracle, ask: Callable[[MeteredOracle], Any], sentence: str
) -> None:
    oracle, undisturbed = at_prompt(make), at_prompt(make)
    for each in (oracle, undisturbed):
        each.sample(0, 3)
    with pytest.raises(ArgumentError, match="must be") as refusal:
        ask(oracle)
    assert str(refusal.value).startswith(sentence)
    assert oracle.ledger == undisturbed.ledger == Ledger(3, 0, 0)
    assert oracle.sample(0, 20).ids == undisturbed.sample(0, 20).ids
    assert [oracle.reward(0, 1) for _ in range(20)] == [undisturbed.reward(0, 1) for _ in range(20)]
    assert ids_of(oracle.sample_until(0, TRIAL, 50)) == ids_of(undisturbed.sample_until(0, TRIAL, 50))


@pytest.mark.parametrize(
    ("ask", "largest"),
    [
        (lambda oracle: oracle.sample(0, 2**24 + 1), "2**24"),
        (lambda oracle: oracle.sample_counts(0, 2**60 + 1), "2**60"),
        (lambda oracle: oracle.sample_until(0, NO_PAIR, 2**62 + 1), "2**62"),
    ],
)
def test_a_question_that_is_too_large_is_told_how_large_it_may_be(
    ask: Callable[[MeteredOracle], Any], largest: str
) -> None:
    with pytest.raises(ArgumentError) as refusal:
        ask(at_prompt(counted_oracle, budget=Budget(samples=1)))
    assert refusal.value.allowed == f"at most {largest} in one query of this oracle"


@each_oracle
def test_a_prompt_that_was_not_issued_is_unknown(make: MakeOracle) -> None:
    oracle = make(PROBLEM, seed=1)
    with pytest.raises(ArgumentError, match="prompt is 0, but it must be one that this oracle has issued"):
        oracle.sample(0, 1)
    handed_out = oracle.prompt()
    with pytest.raises(ArgumentError, match=f"prompt is {1 - int(handed_out)}"):
        oracle.sample(1 - int(handed_out), 1)
    oracle.sample(handed_out, 1)


@each_oracle
def test_the_full_table_is_listed_only_where_it_is_offered(make: MakeOracle) -> None:
    oracle = at_prompt(make)
    with pytest.raises(QuestionRefusedError, match="full-table model"):
        oracle.enumerate(0)
    assert oracle.ledger == Ledger(0, 0, 0)
    listed = at_prompt(make, full_table=True).enumerate(0)
    assert listed.ids == (0, 1, 2, 3, 4)  # the response outside the support is a response too
    assert np.array_equal(listed.features, PROBLEM.features[0])


@each_oracle
@pytest.mark.parametrize(
    ("ask", "counter", "cost"),
    [
        (lambda oracle, n: oracle.sample(0, n), "samples", 1),
        (lambda oracle, n: oracle.sample(0, n, theta=np.zeros(2)), "samples", 1),
        (lambda oracle, n: oracle.sample_counts(0, n), "samples", 1),
        (lambda oracle, n: [oracle.reward(0, 1) for _ in range(n)], "rewards", 1),
        (lambda oracle, n: [oracle.compare(0, 1, 2) for _ in range(n)], "rewards", 1),
        (lambda oracle, n: [oracle.enumerate(0) for _ in range(n)], "enumerated", 5),
    ],
)
def test_a_budget_is_used_to_the_last_answer_and_never_exceeded(
    make: MakeOracle, ask: Callable[[MeteredOracle, int], Any], counter: str, cost: int
) -> None:
    oracle = at_prompt(make, budget=Budget(**{counter: 11 * cost}), full_table=True)
    ask(oracle, 7)
    before = oracle.ledger
    if counter == "samples":
        with pytest.raises(BudgetExceededError) as refusal:
            ask(oracle, 5)
        assert (refusal.value.counter, refusal.value.asked, refusal.value.left) == ("samples", 5, 4)
        assert str(refusal.value) == "the question costs 5 samples, but only 4 are left of the budget"
        assert oracle.ledger == before  # a question that does not fit is not answered in part
    ask(oracle, 4)
    assert getattr(oracle.ledger, counter) == 11 * cost
    for _ in range(2):
        with pytest.raises(BudgetExceededError) as refusal:
            ask(oracle, 1)
        assert (refusal.value.counter, refusal.value.asked, refusal.value.left) == (counter, cost, 0)
    assert getattr(oracle.ledger, counter) == 11 * cost


@each_oracle
@pytest.mark.parametrize(("rule", "width"), [(NO_PAIR, 2), (NEVER, 1)])
@pytest.mark.parametrize("budget", [0, 1, 2, 7, 8, 333])
def test_tries_stop_at_the_last_one_that_the_budget_pays_for(
    make: MakeOracle, rule: Any, width: int, budget: int
) -> None:
    oracle = at_prompt(make, budget=Budget(samples=budget))
    with pytest.raises(BudgetExceededError) as refusal:
        oracle.sample_until(0, rule, 1000)
    assert oracle.ledger.samples == budget - budget % width  # of pairs, an odd remainder stays
    assert (refusal.value.counter, refusal.value.asked, refusal.value.left) == ("samples", width, budget % width)
    assert oracle.budget == Budget(samples=budget)
    with pytest.raises(BudgetExceededError):
        oracle.sample_until(0, rule, 1)
    assert oracle.ledger.samples == budget - budget % width
    if budget % width:
        oracle.sample(0, budget % width)
        assert oracle.ledger.samples == budget


@each_oracle
def test_a_try_that_the_budget_does_not_pay_for_uses_up_no_luck(make: MakeOracle) -> None:
    for seed in range(20):
        tried, undisturbed = (at_prompt(make, seed=seed, budget=Budget(samples=1)) for _ in range(2))
        with pytest.raises(BudgetExceededError):
            tried.sample_until(0, RULE, 5)
        assert tried.sample_counts(0, 1).responses.ids == undisturbed.sample_counts(0, 1).responses.ids


@each_oracle
@pytest.mark.parametrize(("rule", "width"), [(NO_PAIR, 2), (NEVER, 1)])
def test_a_limit_that_the_budget_just_pays_for_is_no_error(make: MakeOracle, rule: Any, width: int) -> None:
    oracle = at_prompt(make, budget=Budget(samples=9 * width))
    found = oracle.sample_until(0, rule, 9)
    assert (found.responses, found.tries, oracle.ledger.samples) == (None, 9, 9 * width)


@each_oracle
@pytest.mark.parametrize(("rule", "width"), [(RULE, 2), (TRIAL, 1)])
def test_a_budget_changes_no_answer_that_it_pays_for(make: MakeOracle, rule: Any, width: int) -> None:
    outcomes = Counter[str]()
    for seed in range(60):
        free, bounded = (at_prompt(make, seed=seed, budget=Budget(samples=n)) for n in (None, 3 * width))
        expected = free.sample_until(0, rule, 50)
        if expected.tries <= 3:
            outcomes["paid"] += 1
            assert ids_of(bounded.sample_until(0, rule, 50)) == ids_of(expected)
            assert bounded.ledger.samples == width * expected.tries
        else:
            outcomes["unpaid"] += 1
            with pytest.raises(BudgetExceededError):
                bounded.sample_until(0, rule, 50)
            assert bounded.ledger.samples == width * 3
    assert min(outcomes["paid"], outcomes["unpaid"]) >= 5


@each_oracle
@pytest.mark.parametrize("rule", [NO_PAIR, NEVER, ALWAYS])
@pytest.mark.parametrize("spent", [13, 15])
def test_an_oracle_that_goes_on_beyond_a_smaller_budget_answers_and_refunds_nothing(
    make: MakeOracle, rule: Any, spent: int
) -> None:
    oracle = at_prompt(make, budget=Budget(samples=12), ledger=Ledger(samples=spent))
    for ask in (
        lambda: oracle.sample_until(0, rule, 10),
        lambda: oracle.sample(0, 1),
        lambda: oracle.sample_counts(0, 1),
    ):
        with pytest.raises(BudgetExceededError):
            ask()
        assert oracle.ledger.samples == spent


def test_the_ledger_has_no_largest_value() -> None:
    oracle = at_prompt(counted_oracle, ledger=Ledger(2**64, 2**70, 0), budget=Budget(samples=2**80))
    for _ in range(3):
        assert int(oracle.sample_counts(0, LARGEST_COUNT).counts.sum()) == LARGEST_COUNT == 2**60
    assert oracle.ledger.samples == 2**64 + 3 * 2**60
    for _ in range(3):
        assert oracle.sample_until(0, NO_PAIR, 2**62).tries == 2**62
    oracle.reward(0, 0)
    assert oracle.ledger == Ledger(2**64 + 3 * 2**60 + 3 * 2**63, 2**70 + 1, 0)
    assert type(oracle.ledger.samples) is int


@pytest.mark.parametrize("budget", [2**64, 2**64 + 1])
def test_budgets_beyond_64_bits_are_kept_to_the_last_pair(budget: int) -> None:
    oracle = at_prompt(counted_oracle, budget=Budget(samples=budget))
    oracle.sample_until(0, NO_PAIR, 2**62)
    oracle.sample_until(0, NO_PAIR, 2**62 - 1)
    with pytest.raises(BudgetExceededError) as refusal:
        oracle.sample_until(0, NO_PAIR, 2)
    assert oracle.ledger.samples == 2**64
    assert refusal.value.left == budget - 2**64


@pytest.mark.parametrize("ask", [lambda oracle: oracle.sample(0, 2**62), lambda oracle: oracle.sample_counts(0, 2**62)])
def test_a_question_that_cannot_be_drawn_is_a_typed_error_and_charges_nothing(
    ask: Callable[[MeteredOracle], Any],
) -> None:
    oracle = at_prompt(literal_oracle)
    with pytest.raises(SpanverError):
        ask(oracle)
    assert oracle.ledger.samples == 0


@each_oracle
def test_arguments_of_an_oracle_are_refused_at_the_door(make: MakeOracle) -> None:
    for settings, sentence in (
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"seed": 0, "prompts": -1}, "prompts is -1"),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            make(PROBLEM, **settings)
    for counter in ("samples", "rewards", "enumerated"):
        for kind in (Budget, Ledger):
            for value in (-1, 1.5, True):
                bad: dict[str, Any] = {counter: value}
                with pytest.raises(ArgumentError, match=f"{counter} is {value}"):
                    kind(**bad)


class TextOfOneLetter:
    """The least that a text oracle asks of a text problem."""

    dimension, beta, radius, reward_range = 1, 0.5, 1.0, 1.0
    prompts, prompt_law, uniforms_per_response = ("say",), np.ones(1), 1

    def draw(self, prompt: str, uniforms: FloatArray) -> list[str]:
        return ["a" if uniform < 0.5 else "b" for uniform in uniforms[:, 0]]

    def features(self, prompt: str, texts: list[str]) -> FloatArray:
        return np.array([[float(text == "a")] for text in texts])

    def mean_rewards(self, prompt: str, texts: list[str]) -> FloatArray:
        return np.array([float(text == "a") for text in texts])


@pytest.mark.parametrize("ask", [lambda o, x: o.sample(x, 4, theta=np.zeros(1)), lambda o, x: o.enumerate(x)])
def test_questions_that_the_text_oracle_refuses_are_not_charged(ask: Callable[[MeteredOracle, Any], Any]) -> None:
    oracle = text_oracle(TextOfOneLetter(), seed=0)  # type: ignore[arg-type]
    prompt = oracle.prompt()
    with pytest.raises(QuestionRefusedError):
        ask(oracle, prompt)
    assert oracle.ledger == Ledger(0, 0, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Paths: what is asked, and not how, decides the answer


@pytest.mark.parametrize("batches", [[1] * 60, [60], [7, 1, 40, 12], [59, 1]])
def test_responses_one_by_one_are_those_in_batches(batches: list[int]) -> None:
    path = at_prompt(literal_oracle).sample(0, 60)
    oracle = at_prompt(literal_oracle)
    answers = [oracle.sample(0, count) for count in batches]
    assert tuple(itertools.chain(*(answer.ids for answer in answers))) == path.ids
    assert np.array_equal(np.concatenate([answer.features for answer in answers]), path.features)
    assert np.array_equal(path.features, PROBLEM.features[0][list(path.ids)])


def test_counts_are_those_of_the_same_draws_one_by_one() -> None:
    path = at_prompt(literal_oracle).sample(0, 300).ids
    oracle = at_prompt(literal_oracle)
    oracle.sample(0, 10)
    answer = oracle.sample_counts(0, 200)
    assert dict(zip(answer.responses.ids, answer.counts.tolist(), strict=True)) == Counter(path[10:210])
    assert np.array_equal(answer.responses.features, PROBLEM.features[0][list(answer.responses.ids)])
    assert oracle.sample(0, 90).ids == path[210:]


def rare_pairs() -> tuple[TabularProblem, UncertainPairRule]:
    """Forty responses, long ones rare: about one pair in 400 is uncertain, and there are many such pairs."""
    generator = np.random.default_rng(3)
    features = generator.uniform(-0.55, 0.55, size=(1, 40, 3))
    weights = np.exp(-7.0 * np.linalg.norm(features, axis=2))
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log(weights / weights.sum()),
        features=features,
        reward=np.zeros((1, 40)),
        beta=0.1,
        radius=1.0,
    )
    return problem, UncertainPairRule(np.diag([1.0, 2.0, 0.5]), 1.3)


@pytest.mark.parametrize("limits", [[10**6], [1], [5, 300, 20], [16], [80, 81], [3000]])
def test_the_first_uncertain_pair_is_that_of_the_draws_one_by_one(limits: list[int]) -> None:
    problem, rule = rare_pairs()
    path = np.array(at_prompt(literal_oracle, problem=problem).sample(0, 20_000).ids).reshape(-1, 2)
    vectors = problem.features[0][path[:, 0]] - problem.features[0][path[:, 1]]
    hits = [t for t, v in enumerate(vectors) if math.sqrt(v @ rule.precision @ v) > rule.nu]
    assert 10 <= len(hits) <= 50
    assert max(np.diff(hits)) > 400  # some tries go far into blocks that are looked at together
    oracle, position, found = at_prompt(literal_oracle, problem=problem), 0, []
    for limit in itertools.cycle(limits):
        answer = oracle.sample_until(0, rule, limit)
        position += answer.tries
        assert oracle.ledger.samples == 2 * position
        if answer.responses is not None:
            found.append(position - 1)
            assert answer.responses.ids == tuple(path[position - 1].tolist())
            assert np.array_equal(answer.responses.features, problem.features[0][path[position - 1]])
        if len(found) == 5:
            break
    assert found == hits[:5]
    assert oracle.sample(0, 6).ids == tuple(path[position : position + 3].reshape(-1).tolist())


@pytest.mark.parametrize("limits", [[10**6], [1], [5, 300, 20], [17]])
def test_accepted_trials_do_not_depend_on_the_limits_they_are_asked_in(limits: list[int]) -> None:
    rule = RejectionRule(TRIAL.score, 6.0)
    path = at_prompt(literal_oracle).sample(0, 20_000).ids
    reference, whole = at_prompt(literal_oracle), []
    for _ in range(10):
        answer = reference.sample_until(0, rule, 10**6)
        assert answer.responses is not None
        whole.append((reference.ledger.samples, answer.responses.ids))
        assert answer.responses.ids == path[reference.ledger.samples - 1 : reference.ledger.samples]
    oracle, found = at_prompt(literal_oracle), []
    for limit in itertools.cycle(limits):
        answer = oracle.sample_until(0, rule, limit)
        if answer.responses is not None:
            found.append((oracle.ledger.samples, answer.responses.ids))
        if len(found) == 10:
            break
    assert found == whole
    assert reference.ledger.samples > 500  # rare enough that blocks grow


def ask_everything(oracle: MeteredOracle, rounds: int) -> list[Any]:
    """Questions of every kind in `rounds` prompt rounds, and their answers as plain data."""
    answers: list[Any] = []
    for _ in range(rounds):
        prompt = oracle.prompt()
        counts = oracle.sample_counts(prompt, 50)
        answers += [
            prompt,
            oracle.sample(prompt, 4).ids,
            oracle.sample(prompt, 4, theta=np.array([0.6, -0.8])).ids,
            (counts.responses.ids, tuple(counts.counts.tolist())),
            ids_of(oracle.sample_until(prompt, RULE, 40)),
            ids_of(oracle.sample_until(prompt, TRIAL, 40)),
            [oracle.reward(prompt, y) for y in range(5)],
            [oracle.compare(prompt, y, 1) for y in range(5)],
        ]
    return answers


@each_oracle
def test_the_same_seed_gives_the_same_answers_and_another_seed_others(make: MakeOracle) -> None:
    first, again, other = (ask_everything(make(PROBLEM, seed=seed), 20) for seed in (5, 5, 6))
    assert first == again
    assert all(first[kind::8] != other[kind::8] for kind in range(8))


@each_oracle
def test_answers_do_not_depend_on_what_was_asked_about_earlier_prompts(make: MakeOracle) -> None:
    curious, terse = make(PROBLEM, seed=9), make(PROBLEM, seed=9)
    ask_everything(curious, 30)
    for _ in range(30):
        terse.prompt()
    assert ask_everything(curious, 10) == ask_everything(terse, 10)


@each_oracle
def test_rewards_do_not_depend_on_how_many_responses_were_drawn(make: MakeOracle) -> None:
    curious, terse = at_prompt(make), at_prompt(make)
    curious.sample(0, 1000)
    curious.sample_until(0, TRIAL, 100)
    assert [curious.reward(0, 2) for _ in range(50)] == [terse.reward(0, 2) for _ in range(50)]


def test_a_door_without_a_past_hands_out_the_first_prompt_and_has_answered_nothing() -> None:
    oracle, first = (
        MeteredOracle(Table(PROBLEM), CountedDraws(Table(PROBLEM)), seed=1),
        counted_oracle(PROBLEM, seed=1, prompts=0),
    )
    assert (oracle.ledger, oracle.budget) == (Ledger(0, 0, 0), Budget(None, None, None))
    assert [oracle.prompt() for _ in range(20)] == [first.prompt() for _ in range(20)]


def test_what_is_optional_at_the_door_goes_by_its_name_alone() -> None:
    with pytest.raises(TypeError, match="positional"):
        MeteredOracle(Table(PROBLEM), CountedDraws(Table(PROBLEM)), 1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        at_prompt(counted_oracle).sample(0, 1, np.zeros(2))  # type: ignore[call-arg]


@each_oracle
@pytest.mark.parametrize("rounds", [0, 1, 13])
def test_an_oracle_that_goes_on_gives_the_answers_of_one_that_never_stopped(make: MakeOracle, rounds: int) -> None:
    whole = make(PROBLEM, seed=2**90)
    ask_everything(whole, rounds)
    going_on = make(PROBLEM, seed=2**90, ledger=whole.ledger, prompts=rounds)
    assert ask_everything(whole, 10) == ask_everything(going_on, 10)
    assert whole.ledger == going_on.ledger
    assert whole.ledger.rewards == 10 * (rounds + 10)


@each_oracle
def test_a_prompt_that_is_handed_out_again_has_fresh_luck(make: MakeOracle) -> None:
    oracle = make(table(prompt_law=np.array([1.0, 0.0])), seed=4)
    answers = set()
    for _ in range(20):
        assert oracle.prompt() == 0
        answers.add(oracle.sample(0, 30).ids)
    assert len(answers) == 20


def test_rules_and_prompts_in_turn_never_see_what_is_kept_for_another() -> None:
    rules = [RULE, UncertainPairRule(PRECISION, 0.6), UncertainPairRule(4.0 * PRECISION, 1.1), RULE]
    path, oracle = at_both(literal_oracle, seed=8), at_both(literal_oracle, seed=8)
    pairs = {x: np.array(path.sample(x, 60_000).ids).reshape(-1, 2) for x in (0, 1)}
    position = {0: 0, 1: 0}
    for rule, prompt in itertools.product(rules * 3, (0, 1)):
        masses = pair_masses(PROBLEM, prompt, rule)
        for _ in range(3):
            # Tries that never hit, under another rule, and enough of them to be looked at in long blocks.
            assert oracle.sample_until(prompt, NO_PAIR, 400).responses is None
            position[prompt] += 400
            answer = oracle.sample_until(prompt, rule, 400)
            tried = pairs[prompt][position[prompt] : position[prompt] + 400]
            assert answer.tries == next(t for t, ids in enumerate(tried) if tuple(ids.tolist()) in masses) + 1
            position[prompt] += answer.tries


# ---------------------------------------------------------------------------------------------------------------------
# Laws, exactly


@pytest.mark.parametrize("probability", [1e-300, 1e-12, 1e-3, 0.3, 0.5, 0.9, 1.0 - 1e-12])
def test_geometric_numbers_invert_the_exact_distribution_function(probability: float) -> None:
    with localcontext() as context:
        context.prec = 60
        log_miss = (1 - Decimal(probability)).ln() if probability > 1e-50 else -Decimal(probability)
        # What a generator gives: multiples of 2^-53, from 0 on.
        for u in np.floor(np.array([*grid(400), 1e-15, 1e-9, 1 - 1e-9]) * 2.0**53) / 2.0**53:
            tries = geometric(probability, 10**400, Script(float(u)))  # type: ignore[arg-type]
            assert tries is not None
            # The least t with P(T <= t) >= 1 - U, U = 1 - u: (1-p)^t <= U < (1-p)^(t-1).
            log_u = (1 - Decimal(float(u))).ln()
            exact = log_u / log_miss
            assert tries >= exact * (1 - Decimal("1e-14"))
            assert tries - 1 < exact * (1 + Decimal("1e-14"))


def test_geometric_numbers_end_at_the_limit_with_the_probability_of_no_hit() -> None:
    for probability, limit in ((0.25, 3), (0.5, 1), (1e-3, 1000), (1e-17, 2**55)):
        no_hit = math.exp(limit * math.log1p(-probability))
        outcomes = [geometric(probability, limit, Script(float(u))) for u in grid(2000)]  # type: ignore[arg-type]
        assert sum(tries is None for tries in outcomes) / 2000 == pytest.approx(no_hit, abs=1 / 2000)
        assert all(tries is None or 1 <= tries <= limit for tries in outcomes)


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2.0**-53])
def test_what_is_certain_hits_at_once_and_what_is_impossible_never(u: float) -> None:
    assert geometric(1.0, 10, Script(u)) == 1  # type: ignore[arg-type]
    assert geometric(1.0 + 1e-15, 10, Script(u)) == 1  # type: ignore[arg-type]
    assert geometric(0.0, 2**62, Script(u)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", [0, 1])
@pytest.mark.parametrize("rule", [RULE, UncertainPairRule(PRECISION, 0.6), TRIAL, TRUNCATED, ALWAYS])
def test_the_counted_oracle_has_the_exact_law_of_tries_and_of_what_was_accepted(prompt: int, rule: Any) -> None:
    source, steps = CountedDraws(Table(PROBLEM)), 1000
    masses = masses_of(PROBLEM, prompt, rule)
    hit = math.fsum(masses.values())

    def outcome(*uniforms: float) -> tuple[int, tuple[int, ...]]:
        found = source.draw_until(prompt, rule, 10**9, scripted(*uniforms, 0.5, 0.5, 0.5))
        assert found.responses is not None
        assert np.array_equal(found.responses.features, PROBLEM.features[prompt][list(found.responses.ids)])
        return found.tries, tuple(int(y) for y in found.responses.ids)

    for u in grid(steps):
        exact = math.log1p(-u) / math.log1p(-hit) if hit < 1 - 1e-12 else 0.5
        assert outcome(float(u))[0] == max(1, math.ceil(exact)) or abs(exact - round(exact)) < 1e-9

    firsts = [outcome(0.5, float(u))[1][0] for u in grid(steps)]
    for y in range(5):
        mass = math.fsum(mass for ids, mass in masses.items() if ids[0] == y) / hit
        assert firsts.count(y) / steps == pytest.approx(mass, abs=1 / steps)
        assert (y in firsts) == (mass > 0.0)
    if isinstance(rule, UncertainPairRule):
        for y in set(firsts):
            middle = (firsts.index(y) + 0.5 * firsts.count(y)) / steps
            pairs = [outcome(0.5, middle, float(u))[1] for u in grid(steps)]
            share = math.fsum(mass for ids, mass in masses.items() if ids[0] == y)
            for second in range(5):
                mass = masses.get((y, second), 0.0) / share
                assert pairs.count((y, second)) / steps == pytest.approx(mass, abs=1 / steps)
                assert ((y, second) in pairs) == (mass > 0.0)


def test_the_counted_oracle_in_turn_never_uses_what_it_kept_for_another_rule_or_prompt() -> None:
    rules: list[Rule] = [RULE, UncertainPairRule(PRECISION, 0.6), UncertainPairRule(4.0 * PRECISION, 1.1), TRIAL, RULE]
    busy = CountedDraws(Table(PROBLEM))
    for rule, prompt, u in itertools.product(rules * 2, (0, 1, 0), (0.1, 0.6)):
        fresh = CountedDraws(Table(PROBLEM))
        outcomes = [source.draw_until(prompt, rule, 10**9, scripted(0.9, u, u)) for source in (busy, fresh)]
        assert ids_of(outcomes[0]) == ids_of(outcomes[1])


def rare_and_common(log_rare: float) -> TabularProblem:
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.array([[math.log1p(-math.exp(log_rare)), log_rare, -np.inf]]),
        features=np.array([[[0.0], [1.0], [-1.0]]]),
        reward=np.zeros((1, 3)),
        beta=1.0,
        radius=1.0,
    )


def test_a_pair_of_probability_1e_minus_300_has_its_exact_law() -> None:
    source = CountedDraws(Table(rare_and_common(math.log(1e-300))))
    rule = UncertainPairRule(np.eye(1), 0.5)
    assert source.draw_until(0, rule, 2**62, scripted(0.5)).responses is None
    tries = source.draw_until(0, rule, 10**400, scripted(0.5, 0.5, 0.5)).tries
    assert tries == pytest.approx(math.log(2) / 2e-300, rel=1e-12, abs=0.0)
    ids = [source.draw_until(0, rule, 1, scripted(0.0, float(u), 0.5)).responses for u in grid(100)]
    assert Counter(pair.ids for pair in ids if pair is not None) == {(0, 1): 50, (1, 0): 50}


def test_a_trial_of_probability_1e_minus_300_has_its_exact_law() -> None:
    source = CountedDraws(Table(PROBLEM))
    rule = RejectionRule(LinearScore(np.zeros(2)), 300 * math.log(10))
    assert source.draw_until(0, rule, 2**62, scripted(0.5)).responses is None
    assert source.draw_until(0, rule, 10**400, scripted(0.5, 0.5)).tries == pytest.approx(
        math.log(2) * 1e300, rel=1e-12, abs=0.0
    )
    accepted = [source.draw_until(0, rule, 1, scripted(0.0, float(u))).responses for u in grid(1000)]
    shares = Counter(answer.ids[0] for answer in accepted if answer is not None)
    assert {y: count / 1000 for y, count in shares.items()} == pytest.approx(
        {0: 0.3, 1: 0.25, 2: 0.3, 3: 0.15}, abs=1e-3
    )


@each_oracle
@pytest.mark.parametrize(("rule", "limit"), [(NO_PAIR, 700), (NEVER, 700)])
def test_what_cannot_happen_never_hits(make: MakeOracle, rule: Any, limit: int) -> None:
    for prompt in (0, 1):
        found = at_prompt(make, prompt).sample_until(prompt, rule, limit)
        assert (found.responses, found.tries) == (None, limit)


@each_oracle
def test_a_pair_with_a_response_outside_the_support_never_hits(make: MakeOracle) -> None:
    problem = rare_and_common(-math.inf)  # the only possible response is the first
    found = at_prompt(make, problem=problem).sample_until(0, UncertainPairRule(np.eye(1), 0.5), 3000)
    assert (found.responses, found.tries) == (None, 3000)


@each_oracle
def test_a_pair_whose_norm_is_exactly_the_threshold_is_certain(make: MakeOracle) -> None:
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[0.5, 0.25, 0.25]]),
        features=np.array([[[0.0], [0.5], [1.0]]]),  # halves: nothing here is rounded
        reward=np.zeros((1, 3)),
        beta=1.0,
        radius=1.0,
    )
    oracle, pairs = at_prompt(make, problem=problem), Counter[Hashable]()
    for _ in range(300):
        found = oracle.sample_until(0, UncertainPairRule(np.eye(1), 0.5), 10)
        pairs[None if found.responses is None else found.responses.ids] += 1
    assert set(pairs) == {None, (0, 2), (2, 0)}


@each_oracle
def test_a_trial_that_is_sure_to_be_accepted_takes_one_try(make: MakeOracle) -> None:
    oracle = at_prompt(make)
    for rule in (ALWAYS, RejectionRule(LinearScore(np.array([0.3, 0.9])), -1e4)):
        for _ in range(200):
            assert oracle.sample_until(0, rule, 2**62).tries == 1
    assert oracle.ledger.samples == 400


@pytest.mark.parametrize("seed", range(5))
def test_literal_draws_invert_the_exact_distribution_function(seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.exponential(size=30) * 10.0 ** generator.uniform(-6, 0, size=30)
    weights[generator.permutation(30)[:10]] = 0.0
    with np.errstate(divide="ignore"):
        log_law = np.log(weights / weights.sum())
    cumulative = np.cumsum((weights / weights.sum()).astype(np.longdouble))
    uniforms = np.concatenate([grid(5000), [0.0, 1 - 2.0**-53], generator.random(5000)])
    clear = np.abs(cumulative[None, :] - uniforms[:, None].astype(np.longdouble)).min(axis=1) > 1e-15
    drawn = Inversion(log_law)(uniforms)
    expected = (cumulative[None, :] <= uniforms[:, None]).sum(axis=1)
    assert np.array_equal(drawn[clear], expected[clear])
    assert clear[:5000].all()
    assert (weights[drawn] > 0.0).all()
    assert np.array_equal(Inversion(log_law)(uniforms.reshape(2, -1)), drawn.reshape(2, -1))


@pytest.mark.parametrize(
    "law", [[0.0, 0.5, 0.0, 0.5, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0], [1e-300, 1.0, 1e-300], [0.0, 1e-300, 0.0, 1.0]]
)
def test_what_has_no_probability_is_drawn_at_no_quantile(law: list[float]) -> None:
    with np.errstate(divide="ignore"):
        inversion = Inversion(np.log(law))
    uniforms = np.array([0.0, 2.0**-53, 0.25, 0.5 - 2.0**-54, 0.5, 0.75, 1 - 2.0**-53])
    drawn = inversion(uniforms)
    assert (np.array(law)[drawn] > 0.0).all()
    cumulative = np.cumsum(law)
    assert all(cumulative[y] > u and (y == 0 or cumulative[y - 1] <= u) for y, u in zip(drawn, uniforms, strict=True))


@each_oracle
def test_responses_outside_the_support_never_come_up(make: MakeOracle) -> None:
    for prompt, outside in ((0, 4), (1, 0)):
        oracle = at_prompt(make, prompt)
        assert outside not in oracle.sample(prompt, 5000).ids
        assert outside not in oracle.sample(prompt, 5000, theta=np.array([0.6, -0.8])).ids
        assert outside not in oracle.sample_counts(prompt, 5000).responses.ids
        for rule in (RULE, TRIAL):
            for _ in range(200):
                found = oracle.sample_until(prompt, rule, 50)
                assert found.responses is None or outside not in found.responses.ids
    counts = at_prompt(counted_oracle).sample_counts(0, 10**17)
    assert set(counts.responses.ids) == {0, 1, 2, 3}


# ---------------------------------------------------------------------------------------------------------------------
# Laws, end to end


@each_oracle
@pytest.mark.parametrize("rule", [RULE, TRIAL, TRUNCATED])
def test_tries_and_accepted_responses_have_the_exact_law(make: MakeOracle, rule: Any) -> None:
    limit, oracle = 3, at_prompt(make, seed=21)
    counts = Counter(ids_of(oracle.sample_until(0, rule, limit)) for _ in range(20_000))
    law = until_law(masses_of(PROBLEM, 0, rule), limit)
    assert law[None] > 0.01  # truncation is part of the law
    assert_law(counts, law)


def test_long_blocks_of_literal_pairs_have_the_exact_law() -> None:
    problem, rule = rare_pairs()
    masses = pair_masses(problem, 0, rule)
    hit = math.fsum(masses.values())
    assert 1e-4 < hit < 1e-2
    oracle, counts = at_prompt(literal_oracle, problem=problem, seed=2), Counter[Hashable]()
    for _ in range(16_000):
        found = oracle.sample_until(0, rule, 10**6)
        assert found.responses is not None
        counts[found.responses.ids] += 1
    conditional: dict[Hashable, float] = {ids: mass / hit for ids, mass in masses.items()}
    assert_law(counts, conditional)
    # The mean number of tries is 1/p, and its standard deviation almost that too.
    assert oracle.ledger.samples / 2 / 16_000 == pytest.approx(1 / hit, rel=6 / math.sqrt(16_000), abs=0.0)


@each_oracle
@pytest.mark.parametrize("prompt", [0, 1])
def test_samples_have_the_law_of_the_base_policy(make: MakeOracle, prompt: int) -> None:
    counts = Counter[Hashable](at_prompt(make, prompt, seed=22).sample(prompt, 20_000).ids)
    assert_law(counts, dict(enumerate(base_of(PROBLEM, prompt))))


@each_oracle
@pytest.mark.parametrize("theta", [np.array([0.6, 0.8]), np.array([-0.5, 0.2]), np.zeros(2)])
def test_strong_samples_have_the_law_of_the_linear_softmax(make: MakeOracle, theta: FloatArray) -> None:
    oracle = at_prompt(make, 1, seed=23)
    weights = [
        p * math.exp(float(phi @ theta) / 0.5) for p, phi in zip(base_of(PROBLEM, 1), PROBLEM.features[1], strict=True)
    ]
    counts = Counter[Hashable](oracle.sample(1, 20_000, theta=theta).ids)
    assert_law(counts, {y: weight / sum(weights) for y, weight in enumerate(weights)})


@each_oracle
def test_strong_samples_follow_the_theta_and_prompt_of_their_question(make: MakeOracle) -> None:
    theta, prompts = np.array([0.6, 0.8]), (0, 1)
    oracle = at_both(make, seed=24)
    shares: dict[tuple[int, int], Counter[Hashable]] = {(x, s): Counter() for x in prompts for s in (1, -1)}
    for _, x, sign in itertools.product(range(200), prompts, (1, -1)):
        shares[x, sign].update(oracle.sample(x, 50, theta=sign * theta).ids)
    for (x, sign), counts in shares.items():
        weights = [
            p * math.exp(sign * float(phi @ theta) / 0.5)
            for p, phi in zip(base_of(PROBLEM, x), PROBLEM.features[x], strict=True)
        ]
        assert_law(counts, {y: weight / sum(weights) for y, weight in enumerate(weights)})


@each_oracle
def test_a_strong_question_at_zero_is_the_weak_question(make: MakeOracle) -> None:
    weak, strong = at_prompt(make), at_prompt(make)
    assert weak.sample(0, 100).ids == strong.sample(0, 100, theta=np.zeros(2)).ids


@each_oracle
def test_a_theta_on_the_radius_is_answered_up_to_rounding(make: MakeOracle) -> None:
    oracle = at_prompt(make)
    oracle.sample(0, 1, theta=np.array([0.6, 0.8]))
    oracle.sample(0, 1, theta=np.array([0.6, 0.8]) * (1 + 1e-13))
    with pytest.raises(ArgumentError, match="at most the radius"):
        oracle.sample(0, 1, theta=np.array([0.6, 0.8]) * (1 + 1e-9))


@each_oracle
def test_prompts_have_their_law(make: MakeOracle) -> None:
    oracle = make(table(prompt_law=np.array([0.7, 0.3])), seed=25)
    assert_law(Counter[Hashable](oracle.prompt() for _ in range(10_000)), {0: 0.7, 1: 0.3})
    sure = make(table(prompt_law=np.array([0.0, 1.0])), seed=26)
    assert {sure.prompt() for _ in range(500)} == {1}


@each_oracle
def test_counts_have_the_law_of_the_multiset_of_draws(make: MakeOracle) -> None:
    draws, base = 3, base_of(PROBLEM, 0)
    law: dict[Hashable, float] = {}
    for ids in itertools.product(range(4), repeat=draws):
        multiset = tuple(sorted(Counter(ids).items()))
        law[multiset] = law.get(multiset, 0.0) + math.prod(base[y] for y in ids)
    oracle, counts = at_prompt(make, seed=27), Counter[Hashable]()
    for _ in range(20_000):
        answer = oracle.sample_counts(0, draws)
        counts[tuple(sorted(zip(answer.responses.ids, answer.counts.tolist(), strict=True)))] += 1
    assert_law(counts, law)


def count_of_rare(draws: int, log_rare: float, questions: int, response: int = 1) -> FloatArray:
    oracle = at_prompt(counted_oracle, problem=rare_and_common(log_rare), seed=28)
    result = np.zeros(questions)
    for question in range(questions):
        answer = oracle.sample_counts(0, draws)
        assert int(answer.counts.sum()) == draws
        result[question] = dict(zip(answer.responses.ids, answer.counts.tolist(), strict=True)).get(response, 0) - (
            draws // 2 if draws == LARGEST_COUNT else 0
        )
    return result


@pytest.mark.parametrize(("draws", "log2_rare"), [(10**14, -40), (2**41, -41), (10**15, -41), (10**17, -60), (7, -3)])
def test_rare_responses_are_counted_with_their_exact_mean_and_variance(draws: int, log2_rare: int) -> None:
    questions, chance = 6000, 2.0**log2_rare
    rare = count_of_rare(draws, log2_rare * math.log(2), questions)
    mean, variance = draws * chance, draws * chance * (1 - chance)
    fourth = variance * (1 + 3 * variance * (1 - 2 / draws) - 6 * chance * (1 - chance))  # central moment
    assert abs(rare.mean() - mean) <= 6 * math.sqrt(variance / questions)
    assert abs(((rare - mean) ** 2).mean() - variance) <= 6 * math.sqrt((fourth - variance**2) / questions)


def test_the_largest_question_counts_with_the_variance_of_its_law() -> None:
    centred = count_of_rare(LARGEST_COUNT, math.log(0.5), 20_000)
    variance = LARGEST_COUNT / 4
    assert abs(centred.mean()) <= 6 * math.sqrt(variance / 20_000)
    assert (centred**2).mean() / variance == pytest.approx(1.0, abs=6 * math.sqrt(2 / 20_000))


def sampler_outcomes(
    base: list[float], f: list[float], beta: float, trials: int, multiplier: float
) -> dict[Hashable, float]:
    """Law of (response, samples taken) of A1 on two responses, over every pilot and number of trials."""
    law = Counter[Hashable]()
    weights = [math.exp(score / beta) for score in f]
    for seconds in range(trials + 1):
        pilot = math.comb(trials, seconds) * base[1] ** seconds * base[0] ** (trials - seconds)
        threshold = multiplier * (seconds * weights[1] + (trials - seconds) * weights[0]) / trials
        accepted = [p * min(1.0, w / threshold) for p, w in zip(base, weights, strict=True)]
        miss = 1.0 - sum(accepted)
        for tries, y in itertools.product(range(1, trials + 1), (0, 1)):
            law[y, trials + tries] += pilot * miss ** (tries - 1) * accepted[y]  # type: ignore[assignment]
        for y in (0, 1):
            law[y, 2 * trials + 1] += pilot * miss**trials * base[y]  # type: ignore[assignment]
    return dict(law)


@each_oracle
def test_the_sampler_has_the_exact_joint_law_of_response_and_cost(make: MakeOracle) -> None:
    # C(pi_f) = 2.3, so that M = 1 clips often, and six trials fall back now and then.
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[0.75, 0.25]]),
        features=np.array([[[0.0], [1.0]]]),
        reward=np.array([[0.0, 1.0]]),
        beta=0.5,
        radius=1.0,
    )
    oracle, counts = at_prompt(make, problem=problem, seed=29), Counter[Hashable]()
    for _ in range(30_000):
        before = oracle.ledger.samples
        response = softmax_sample(oracle, 0, LinearScore(np.ones(1)), multiplier=1.0, failure=0.9)
        counts[response.id, oracle.ledger.samples - before] += 1
    assert_law(counts, sampler_outcomes([0.75, 0.25], [0.0, 1.0], 0.5, 6, 1.0))


# ---------------------------------------------------------------------------------------------------------------------
# Rewards


@each_oracle
@pytest.mark.parametrize(("prompt", "response"), [(0, 0), (0, 4), (1, 0), (1, 3)])
def test_noisy_rewards_are_the_mean_or_an_end_of_the_interval(make: MakeOracle, prompt: int, response: int) -> None:
    mean, low = float(PROBLEM.reward[prompt, response]), float(PROBLEM.reward_low[prompt])
    share = (mean - low) / 2.0
    oracle = at_prompt(make, prompt, seed=31)
    counts = Counter[Hashable](oracle.reward(prompt, response) for _ in range(20_000))
    assert_law(counts, {mean: 0.5, low: 0.5 * (1 - share), low + 2.0: 0.5 * share})


def test_the_mean_of_noisy_rewards_is_exact() -> None:
    for noise, prompt, response in ((1.0, 0, 1), (1.0, 1, 4), (0.25, 0, 0)):
        problem, steps = table(noise=noise), 500
        source = Table(problem)
        mean = float(problem.reward[prompt, response])
        noisy = [source.reward(prompt, response, scripted(0.5 * noise, float(u))) for u in grid(20_000)]
        assert math.fsum(noisy) / 20_000 == pytest.approx(mean, abs=2.0 / 20_000)  # the reward range times a step
        shares = [source.reward(prompt, response, scripted(float(u), 0.5)) == mean for u in grid(steps)]
        assert sum(shares) / steps == pytest.approx(1.0 - noise, abs=1 / steps)


@each_oracle
def test_rewards_without_noise_are_the_mean(make: MakeOracle) -> None:
    problem = table(noise=0.0)
    oracle = at_prompt(make, 1, problem)
    assert [oracle.reward(1, y) for y in range(5)] == problem.reward[1].tolist()


@each_oracle
def test_the_noise_of_rewards_is_fresh_and_not_that_of_the_response(make: MakeOracle) -> None:
    problem = table(noise=1.0)
    oracle = at_prompt(make, problem=problem, seed=32)
    high = float(problem.reward_low[0]) + 2.0
    share = [(float(problem.reward[0, y]) - float(problem.reward_low[0])) / 2.0 for y in (0, 1)]
    counts = Counter[Hashable]()
    for _ in range(20_000):
        drawn = oracle.sample(0, 1).ids[0]
        counts[drawn, oracle.reward(0, 0) == high, oracle.reward(0, 1) == high] += 1
    law: dict[Hashable, float] = {
        (y, a, b): p * (share[0] if a else 1 - share[0]) * (share[1] if b else 1 - share[1])
        for (y, p), a, b in itertools.product(enumerate(base_of(problem, 0)), (True, False), (True, False))
    }
    assert_law(counts, law)


@each_oracle
@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0), (2, 3), (4, 2)])
def test_labels_are_those_of_bradley_and_terry(make: MakeOracle, first: int, second: int) -> None:
    oracle = at_prompt(make, seed=33)
    # exactly e^{r(first)} to e^{r(second)}, whatever beta
    odds = [math.exp(float(PROBLEM.reward[0, y])) for y in (first, second)]
    labels = Counter[Hashable](oracle.compare(0, first, second) for _ in range(20_000))
    assert_law(labels, {True: odds[0] / sum(odds), False: odds[1] / sum(odds)})
    assert {type(label) for label in labels} == {bool}


@each_oracle
def test_a_preference_beyond_doubt_is_always_given(make: MakeOracle) -> None:
    problem = table(reward=800.0 * PROBLEM.reward, reward_range=None, reward_low=None, theta_star=None)
    best, worst = int(np.argmax(problem.reward[0])), int(np.argmin(problem.reward[0]))
    oracle = at_prompt(make, problem=problem)
    assert all(oracle.compare(0, best, worst) and not oracle.compare(0, worst, best) for _ in range(200))


@each_oracle
def test_a_label_of_no_probability_is_given_at_no_quantile(make: MakeOracle, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = table(reward=800.0 * PROBLEM.reward, reward_range=None, reward_low=None, theta_star=None)
    best, worst = int(np.argmax(problem.reward[0])), int(np.argmin(problem.reward[0]))
    for uniform in (0.0, 1.0 - 2.0**-53):
        oracle = at_prompt(make, problem=problem)
        monkeypatch.setattr(door, "stream", lambda *_, uniform=uniform: Script(*[uniform] * 4))
        assert oracle.compare(0, best, worst)
        assert not oracle.compare(0, worst, best)
        monkeypatch.undo()


@each_oracle
def test_a_label_takes_as_much_luck_as_a_reward(make: MakeOracle) -> None:
    labelled, rewarded = at_prompt(make), at_prompt(make)
    for _ in range(20):
        labelled.compare(0, 0, 1)
        rewarded.reward(0, 0)
        assert labelled.reward(0, 1) == rewarded.reward(0, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Strictness: nothing but answers comes through the door


def reachable(root: Any) -> Iterator[Any]:
    """Everything that public attributes, fields, items and array bases lead to, without calling anything."""
    seen: set[int] = set()
    stack, kept = [root], []
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kept.append(value)  # so that no id is used twice
        yield value
        if isinstance(value, str | bytes | int | float | bool | None | type):
            continue
        if isinstance(value, np.ndarray):
            stack.append(value.base)
        elif isinstance(value, Mapping):
            stack += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            stack += list(value)
        elif not callable(value):
            names = [name for name in dir(value) if not name.startswith("_")]
            if dataclasses.is_dataclass(value):
                names += [field.name for field in dataclasses.fields(value)]
            stack += [getattr(value, name) for name in names]


def answers_of(oracle: MeteredOracle) -> list[Any]:
    prompt = oracle.prompt()
    answers: list[Any] = [
        prompt,
        oracle.sample(prompt, 5),
        oracle.sample(prompt, 1),
        oracle.sample(prompt, 5, theta=np.array([0.6, -0.8])),
        oracle.sample_counts(prompt, 50),
        oracle.enumerate(prompt),
        oracle.reward(prompt, 0),
        oracle.compare(prompt, 0, 1),
        oracle.ledger,
        oracle.budget,
    ]
    for rule in (RULE, TRIAL, TRUNCATED, ALWAYS, NEVER):
        answers += [oracle.sample_until(prompt, rule, limit) for limit in (1, 600)]
    answers += [answers[1][0], answers[4].responses[0]]
    for ask in (
        lambda: oracle.sample(99, 1),
        lambda: oracle.reward(prompt, 99),
        lambda: oracle.sample(prompt, 1, theta=np.full(2, 9.0)),
        lambda: oracle.sample(prompt, 0),
        lambda: oracle.sample(prompt, 2**60),
    ):
        with pytest.raises(SpanverError) as refusal:
            ask()
        answers += [vars(refusal.value), refusal.value.args, refusal.value.__cause__]
    return answers


def private_arrays(problem: TabularProblem, oracle: MeteredOracle) -> list[FloatArray]:
    """Arrays of the problem, and every array inside the oracle."""
    arrays = [getattr(problem, field.name) for field in dataclasses.fields(problem)]
    stack: list[Any] = [vars(oracle)]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            arrays.append(value)
        elif isinstance(value, dict):
            stack += list(value.values())
        elif isinstance(value, list | tuple):
            stack += list(value)
        elif type(value).__module__.startswith("spanver"):
            slots = [getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)]
            stack += slots + list(getattr(value, "__dict__", {}).values())
    return [array for array in arrays if isinstance(array, np.ndarray) and array.size > 0]


ANSWER_TYPES = (Responses, Response, Counts, SearchResult, Ledger, Budget)


@each_oracle
def test_nothing_public_leads_behind_the_door(make: MakeOracle) -> None:
    problem = table()
    oracle = make(problem, seed=11, full_table=True, budget=Budget(samples=10**6))
    answers = [answers_of(oracle) for _ in range(3)]
    public = {name: getattr(oracle, name) for name in dir(oracle) if not name.startswith("_")}
    assert set(public) == {
        "dimension", "beta", "radius", "reward_range", "ledger", "budget",
        "prompt", "sample", "sample_counts", "sample_until", "reward", "compare", "enumerate",
    }  # fmt: skip
    assert all(name.startswith("_") for name in vars(oracle))
    hidden = private_arrays(problem, oracle)
    assert len(hidden) > 8
    arrays = 0
    for value in reachable([public, answers]):
        is_plain = isinstance(value, str | bytes | int | float | None | np.ndarray | Mapping | list | tuple)
        assert is_plain or isinstance(value, ANSWER_TYPES) or callable(value) or type(value).__name__ == "Outcome"
        if isinstance(value, np.ndarray):
            arrays += 1
            assert not value.flags.writeable or (value == 9.0).all()  # the theta that was refused
            assert not any(np.shares_memory(value, array) for array in hidden)
        if callable(value) and not isinstance(value, type):
            assert value in [public[name] for name in public if callable(public[name])]
            assert not [name for name in getattr(value, "__dict__", {}) if not name.startswith("_")]
    assert arrays > 20
    assert [type(public[name]) for name in ("dimension", "beta", "radius", "reward_range")] == [
        int,
        float,
        float,
        float,
    ]


@each_oracle
def test_answers_are_plain_numbers_and_not_those_of_an_array(make: MakeOracle) -> None:
    for prompt, sample, single, strong, counts, listing, reward, label, *_ in [
        answers_of(make(PROBLEM, seed=1, full_table=True, budget=Budget(samples=10**6)))
    ]:
        assert type(prompt) is int
        assert type(reward) is float
        assert type(label) is bool
        for responses in (sample, single, strong, counts.responses, listing):
            assert {type(identity) for identity in responses.ids} == {int}


@each_oracle
def test_whoever_writes_into_an_answer_spoils_no_other_answer(make: MakeOracle) -> None:
    problem = table()
    spoiled, intact = (make(problem, seed=12, full_table=True, budget=Budget(samples=10**6)) for _ in range(2))
    for _ in range(6):
        for value in reachable(answers_of(spoiled)):
            if isinstance(value, np.ndarray) and value.base is None:
                value.setflags(write=True)
                value[...] = 7
        spoiled_answers, intact_answers = answers_of(spoiled), (answers_of(intact), answers_of(intact))[1]
        for one, two in zip(spoiled_answers, intact_answers, strict=True):
            assert describe(one) == describe(two)
    assert np.array_equal(problem.features, PROBLEM.features)


def describe(answer: Any) -> Any:
    """Plain data of an answer, to compare."""
    match answer:
        case Responses(ids, features):
            return ids, features.tolist()
        case Response(identity, features):
            return identity, features.tolist()
        case Counts(responses, counts):
            return describe(responses), counts.tolist()
        case SearchResult(responses, tries):
            return describe(responses), tries
        case _:
            return repr(answer)


@each_oracle
def test_a_theta_that_its_owner_changes_is_another_theta(make: MakeOracle) -> None:
    theta = np.array([0.6, 0.8])
    oracle, expected = at_prompt(make), at_prompt(make)
    oracle.sample(0, 200, theta=theta)
    expected.sample(0, 200)
    theta *= -1.0
    assert oracle.sample(0, 200, theta=theta).ids == expected.sample(0, 200, theta=np.array([-0.6, -0.8])).ids


@each_oracle
def test_the_ledger_cannot_be_written_to(make: MakeOracle) -> None:
    oracle = at_prompt(make, budget=Budget(samples=5))
    oracle.sample(0, 3)
    for name in ("ledger", "budget", "beta", "dimension", "radius", "reward_range"):
        with pytest.raises(AttributeError):
            setattr(oracle, name, Ledger())
    with pytest.raises(dataclasses.FrozenInstanceError):
        oracle.ledger.samples = 0  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        oracle.budget.samples = None  # type: ignore[misc]
    object.__setattr__(oracle.ledger, "samples", 0)
    assert oracle.ledger.samples == 3


# ---------------------------------------------------------------------------------------------------------------------
# The cost of counted questions


def peak_memory(ask: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        ask()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def count_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> Counter[str]:
    """Calls of kernels by the counted oracle from now on."""
    calls = Counter[str]()

    def counting(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return kernel(*arguments)

        return call

    for name in names:
        monkeypatch.setattr(counted, name, counting(name, getattr(counted, name)))
    return calls


@pytest.mark.parametrize("kind", ["counts", "pair", "trial"])
def test_counted_questions_cost_the_same_however_many_samples_they_stand_for(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: dict[str, Rule] = {"pair": RULE, "trial": RejectionRule(TRIAL.score, 40.0)}
    kernels = count_calls(monkeypatch, "uncertain_mask", "precision_norms")

    def cost(count: int) -> tuple[int, Counter[str]]:
        oracle = at_prompt(counted_oracle)

        def ask() -> None:
            if kind in rules:
                oracle.sample_until(0, rules[kind], count)
            else:
                oracle.sample_counts(0, count)

        ask()  # what is kept between questions is in place
        kernels.clear()
        return peak_memory(ask), kernels.copy()

    few, many = cost(10), cost(2**60)
    assert few[1]["uncertain_mask"] == many[1]["uncertain_mask"] == 0
    assert many[1]["precision_norms"] <= 1
    assert max(few[0], many[0]) < 20_000  # bytes, where |Y| = 5
    literal = at_prompt(literal_oracle)
    assert peak_memory(lambda: literal.sample_counts(0, 10_000)) > 80_000  # the measure sees what is formed


def test_the_masses_of_pairs_are_found_once_a_rule_and_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, "uncertain_mask")
    oracle = at_prompt(counted_oracle)
    for _ in range(50):
        oracle.sample_until(0, RULE, 2**62)
    assert calls["uncertain_mask"] == 1
    oracle.sample_until(0, UncertainPairRule(PRECISION, 0.6), 2**62)
    assert calls["uncertain_mask"] == 2


def test_a_budget_that_is_a_number_is_refused_where_it_is_given() -> None:
    with pytest.raises(ArgumentError, match=r"a Budget, such as Budget\(samples"):
        counted_oracle(PROBLEM, seed=1, budget=3)  # type: ignore[arg-type]
