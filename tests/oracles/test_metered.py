"""Oracles charge what they answer, refuse what they cannot, and depend on nothing but their seed (O1, O3)."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest
from laws import assert_law
from table_oracles import (
    ALWAYS,
    ANCHORED,
    NEVER,
    NO_PAIR,
    PROBLEM,
    RULE,
    TRIAL,
    TRUNCATED,
    MakeOracle,
    Script,
    at_prompt,
    each_oracle,
    ids_of,
    table,
)

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError, SpanverError
from spanver.oracle import Budget, Ledger
from spanver.oracles import metered
from spanver.oracles.counted import CountedDraws, counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.metered import LARGEST_COUNT, MeteredOracle
from spanver.oracles.table import Table
from spanver.values import FloatArray, LinearScore, RejectionRule, Response, UncertainPairRule


@each_oracle
def test_every_query_costs_the_answers_it_returns(make: MakeOracle) -> None:
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
@pytest.mark.parametrize(
    ("rule", "width"), [(RULE, 2), (ANCHORED, 1), (TRIAL, 1), (TRUNCATED, 1), (NO_PAIR, 2), (NEVER, 1)]
)
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
    """A score that is interrupted the third time it is computed."""

    theta = np.zeros(2)

    def __init__(self) -> None:
        self.calls = 0

    def of(self, features: FloatArray) -> FloatArray:
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return np.full(len(features), -1e6)


@pytest.mark.parametrize("earlier", [[], [100], [1, 30]])
def test_an_interrupted_query_is_charged_for_what_it_consumed(earlier: list[int]) -> None:
    path = at_prompt(literal_oracle).sample(0, 2000).ids
    oracle = at_prompt(literal_oracle)
    for limit in earlier:
        oracle.sample_until(0, NEVER, limit)
    with pytest.raises(KeyboardInterrupt):
        oracle.sample_until(0, RejectionRule(Interrupting(), 0.0), 10_000)  # type: ignore[arg-type]
    charged = oracle.ledger.samples
    # Whatever was charged, the path goes on from there: no answer is examined and then forgotten by the ledger.
    assert oracle.sample(0, 40).ids == path[charged : charged + 40]


BAD_QUERIES: list[tuple[str, Callable[[MeteredOracle], Any], str]] = [
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
    (
        "a long theta",
        lambda oracle: oracle.sample(0, 2, theta=np.array([0.6, 0.8001])),
        "the distance of theta from the ball of radius 1 is 8.0",
    ),
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
@pytest.mark.parametrize(("ask", "sentence"), [query[1:] for query in BAD_QUERIES], ids=[q[0] for q in BAD_QUERIES])
def test_a_bad_query_is_refused_and_leaves_no_trace(
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
def test_a_query_that_is_too_large_is_refused_with_the_largest(
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
    issued = oracle.prompt()
    with pytest.raises(ArgumentError, match=f"prompt is {1 - int(issued)}"):
        oracle.sample(1 - int(issued), 1)
    oracle.sample(issued, 1)


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
        assert str(refusal.value) == "the query costs 5 samples, but only 4 are left of the budget"
        assert oracle.ledger == before  # a query that does not fit is not answered in part
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
def test_a_try_that_the_budget_does_not_pay_for_consumes_no_randomness(make: MakeOracle) -> None:
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
@pytest.mark.parametrize(("rule", "width"), [(RULE, 2), (ANCHORED, 1), (TRIAL, 1)])
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
def test_a_query_that_cannot_be_drawn_is_a_typed_error_and_charges_nothing(ask: Callable[[MeteredOracle], Any]) -> None:
    oracle = at_prompt(literal_oracle)
    with pytest.raises(SpanverError):
        ask(oracle)
    assert oracle.ledger.samples == 0


@each_oracle
def test_arguments_of_an_oracle_are_refused_on_entry(make: MakeOracle) -> None:
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
def test_answers_do_not_depend_on_queries_about_earlier_prompts(make: MakeOracle) -> None:
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


def test_an_oracle_without_a_past_issues_the_first_prompt_and_has_answered_nothing() -> None:
    oracle, first = (
        MeteredOracle(Table(PROBLEM), CountedDraws(Table(PROBLEM)), seed=1),
        counted_oracle(PROBLEM, seed=1, prompts=0),
    )
    assert (oracle.ledger, oracle.budget) == (Ledger(0, 0, 0), Budget(None, None, None))
    assert [oracle.prompt() for _ in range(20)] == [first.prompt() for _ in range(20)]


def test_what_is_optional_goes_by_its_name_alone() -> None:
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
def test_a_prompt_that_is_issued_again_has_fresh_randomness(make: MakeOracle) -> None:
    oracle = make(table(prompt_law=np.array([1.0, 0.0])), seed=4)
    answers = set()
    for _ in range(20):
        assert oracle.prompt() == 0
        answers.add(oracle.sample(0, 30).ids)
    assert len(answers) == 20


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
        monkeypatch.setattr(metered, "stream", lambda *_, uniform=uniform: Script(*[uniform] * 4))
        assert oracle.compare(0, best, worst)
        assert not oracle.compare(0, worst, best)
        monkeypatch.undo()


@each_oracle
def test_a_label_takes_as_much_randomness_as_a_reward(make: MakeOracle) -> None:
    labelled, rewarded = at_prompt(make), at_prompt(make)
    for _ in range(20):
        labelled.compare(0, 0, 1)
        rewarded.reward(0, 0)
        assert labelled.reward(0, 1) == rewarded.reward(0, 1)


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


def test_a_budget_that_is_a_number_is_refused_where_it_is_given() -> None:
    with pytest.raises(ArgumentError, match=r"a Budget, such as Budget\(samples"):
        counted_oracle(PROBLEM, seed=1, budget=3)  # type: ignore[arg-type]
