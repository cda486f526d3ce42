"""The oracle of the text problem gives away answers alone, however they are queried."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import pytest
from scipy import stats
from text_cases import ALPHA, SILLY

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError, SpanverError
from spanver.oracle import Budget, Ledger
from spanver.oracles import text as text_oracles
from spanver.oracles.metered import MeteredOracle
from spanver.oracles.text import text_oracle
from spanver.problems.families import text
from spanver.problems.families.text import TextProblem
from spanver.values import LinearScore, RejectionRule, Rule, UncertainPairRule

# ---------------------------------------------------------------------------------------------------------------------
# The oracle

EYE = np.eye(4)

ALWAYS = RejectionRule(LinearScore(np.zeros(4)), -1.0)

PAIRS = UncertainPairRule(EYE, 0.3)


def at_prompt(problem: TextProblem, *, seed: int = 3, **settings: Any) -> tuple[MeteredOracle, str]:
    oracle = text_oracle(problem, seed=seed, **settings)
    return oracle, str(oracle.prompt())


def test_the_oracle_states_the_problem(problem: TextProblem, raw: TextProblem) -> None:
    for each in (problem, raw):
        oracle = text_oracle(each, seed=0)
        stated = (oracle.dimension, oracle.beta, oracle.radius, oracle.reward_range)
        assert stated == (4, each.beta, each.radius, each.reward_range)
        assert (oracle.ledger, oracle.budget) == (Ledger(), Budget())


def test_prompts_come_by_their_law(problem: TextProblem) -> None:
    oracle = text_oracle(problem, seed=1)
    counts = Counter(oracle.prompt() for _ in range(4000))
    observed = [counts[prompt] for prompt in problem.prompts]
    assert sum(observed) == 4000
    assert stats.chisquare(observed, 4000 * problem.prompt_law).pvalue > ALPHA
    assert stats.chisquare(observed, 4000 * np.array([0.34, 0.26, 0.21, 0.19])).pvalue < ALPHA
    assert oracle.ledger == Ledger()


def test_every_way_to_ask_walks_the_same_path(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem)
    path = oracle.sample(prompt, 24)
    assert len(set(path.ids)) > 12

    oracle, prompt = at_prompt(problem)
    pieces = [oracle.sample(prompt, count) for count in (1, 5, 1, 10, 7)]
    assert tuple(itertools.chain.from_iterable(piece.ids for piece in pieces)) == path.ids

    oracle, prompt = at_prompt(problem)
    counts = oracle.sample_counts(prompt, 24)
    assert dict(zip(counts.responses.ids, counts.counts.tolist(), strict=True)) == Counter(path.ids)

    oracle, prompt = at_prompt(problem)
    for position in range(24):
        found = oracle.sample_until(prompt, ALWAYS, 100)
        assert found.tries == 1
        assert found.responses is not None
        assert found.responses.ids == (path.ids[position],)


def test_the_anchor_of_a_prompt_is_always_the_same_text(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem)
    anchor, drawn = oracle.anchor(prompt), oracle.sample(prompt, 24)
    again, _ = at_prompt(problem, seed=3)
    assert again.anchor(prompt).ids == anchor.ids == oracle.anchor(prompt).ids
    assert np.array_equal(anchor.features, problem.features(prompt, list(map(str, anchor.ids))))
    assert oracle.ledger == Ledger(samples=26)
    assert again.sample(prompt, 24).ids == drawn.ids  # it takes nothing of the path


def test_an_answer_does_not_depend_on_how_it_was_asked_for(problem: TextProblem) -> None:
    answers = []
    for pieces in ((24,), (1,) * 24, (5, 19)):
        oracle, prompt = at_prompt(problem)
        answers.append(np.concatenate([oracle.sample(prompt, count).features for count in pieces]))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)  # embeddings are of single precision
    np.testing.assert_allclose(answers[2], answers[0], atol=1e-6)


@pytest.mark.parametrize(
    "rule",
    [
        PAIRS,
        UncertainPairRule(EYE, 0.55, np.array([0.1, 0.0, -0.1, 0.0])),
        RejectionRule(LinearScore(np.array([0.3, -0.2, 0.1, 0.4])), 1.0),
    ],
    ids=["pair", "anchor", "trial"],
)
def test_drawing_until_stops_where_the_path_says_and_takes_no_more_of_it(problem: TextProblem, rule: Rule) -> None:
    cost = rule.samples_per_try
    oracle, prompt = at_prompt(problem)
    path = oracle.sample(prompt, 200)
    oracle, prompt = at_prompt(problem)
    position, all_tries = 0, []
    for _ in range(6):
        found = oracle.sample_until(prompt, rule, 40)
        assert found.responses is not None
        end = position + cost * found.tries
        assert found.responses.ids == path.ids[end - cost : end]
        if isinstance(rule, UncertainPairRule):
            seconds = path.features[position + 1 : end : 2] if rule.anchor is None else rule.anchor
            uncertain = np.linalg.norm(path.features[position:end:cost] - seconds, axis=1) > rule.nu
            assert uncertain.tolist() == [False] * (found.tries - 1) + [True]
        all_tries.append(found.tries)
        position = end
        assert oracle.ledger.samples == position
    assert oracle.sample(prompt, 3).ids == path.ids[position : position + 3]
    assert max(all_tries) > 1


def test_a_rule_that_never_accepts_is_tried_up_to_the_limit(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem)
    found = oracle.sample_until(prompt, UncertainPairRule(EYE, 2.1), 35)
    assert (found.responses, found.tries, oracle.ledger.samples) == (None, 35, 70)


def test_every_answer_is_charged(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem)
    oracle.sample(prompt, 7)
    assert oracle.ledger == Ledger(7, 0, 0)
    oracle.sample_counts(prompt, 5)
    assert oracle.ledger == Ledger(12, 0, 0)
    tries = oracle.sample_until(prompt, PAIRS, 9).tries
    assert oracle.ledger == Ledger(12 + 2 * tries, 0, 0)
    assert type(oracle.reward(prompt, "to be")) is float
    assert oracle.ledger == Ledger(12 + 2 * tries, 1, 0)
    assert type(oracle.compare(prompt, "to be", "")) is bool
    assert oracle.ledger == Ledger(12 + 2 * tries, 2, 0)


def test_a_budget_is_never_exceeded(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem, budget=Budget(samples=10, rewards=1))
    oracle.sample(prompt, 6)
    for ask in (lambda: oracle.sample(prompt, 5), lambda: oracle.sample_counts(prompt, 5)):
        with pytest.raises(BudgetExceededError):
            ask()
        assert oracle.ledger == Ledger(6, 0, 0)
    with pytest.raises(BudgetExceededError):
        oracle.sample_until(prompt, UncertainPairRule(EYE, 2.1), 3)
    assert oracle.ledger == Ledger(10, 0, 0)
    oracle.reward(prompt, "")
    for question in (lambda: oracle.reward(prompt, ""), lambda: oracle.compare(prompt, "", "so")):
        with pytest.raises(BudgetExceededError):
            question()
    assert oracle.ledger == Ledger(10, 1, 0)


def test_an_oracle_that_goes_on_is_the_one_that_never_stopped(problem: TextProblem) -> None:
    whole = text_oracle(problem, seed=8, budget=Budget(samples=100))
    for _ in range(3):
        whole.sample(whole.prompt(), 5)
    resumed = text_oracle(problem, seed=8, budget=Budget(samples=100), ledger=whole.ledger, prompts=3)
    one, two = whole.prompt(), resumed.prompt()
    assert one == two
    assert whole.sample(one, 10).ids == resumed.sample(two, 10).ids
    assert whole.ledger == resumed.ledger == Ledger(25, 0, 0)


def test_rewards_are_those_of_the_problem_also_of_guesses(problem: TextProblem, raw: TextProblem) -> None:
    for each in (problem, raw):
        oracle, prompt = at_prompt(each)
        responses = oracle.sample(prompt, 10)
        for response in [responses[k] for k in range(10)]:
            expected = each.mean_rewards(prompt, [str(response.id)])[0]
            assert oracle.reward(prompt, response) == pytest.approx(expected, abs=1e-6)
            assert oracle.reward(prompt, response.id) == oracle.reward(prompt, response)
        for guess in SILLY:
            expected = each.mean_rewards(prompt, [guess])[0]
            assert oracle.reward(prompt, guess) == pytest.approx(expected, abs=1e-6)


def test_projected_rewards_are_exactly_linear_in_the_features_that_were_answered(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem)
    responses = oracle.sample(prompt, 30)
    rewards = np.array([oracle.reward(prompt, identity) for identity in responses.ids])
    expected = responses.features @ problem.theta_star
    np.testing.assert_allclose(rewards - rewards[0], expected - expected[0], rtol=0, atol=1e-15)


def test_strong_sampling_and_enumeration_are_refused_and_cost_nothing(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem, budget=Budget(samples=5))
    with pytest.raises(QuestionRefusedError, match="full-table"):
        oracle.enumerate(prompt)
    assert oracle.ledger == Ledger()
    for count in (3, 50):
        with pytest.raises(QuestionRefusedError, match="strong sampling"):
            oracle.sample(prompt, count, theta=np.zeros(4))
        assert oracle.ledger == Ledger()
    path, same = oracle.sample(prompt, 5), at_prompt(problem)[0]
    assert same.sample(prompt, 5).ids == path.ids  # and the path was not walked


def test_unknown_prompts_are_refused_and_cost_nothing(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem)
    others = [other for other in problem.prompts if other != prompt]
    strangers: list[Any] = [*others, "", prompt.upper(), 0, None, [prompt]]
    for stranger in strangers:
        for ask in (
            lambda x: oracle.sample(x, 1),
            lambda x: oracle.sample_counts(x, 1),
            lambda x: oracle.sample_until(x, ALWAYS, 1),
            lambda x: oracle.reward(x, "so"),
            lambda x: oracle.compare(x, "so", "no"),
            oracle.enumerate,
        ):
            question = cast("Callable[[Any], object]", ask)
            with pytest.raises(ArgumentError, match="prompt"):
                question(stranger)
    assert oracle.ledger == Ledger()


@pytest.mark.parametrize("guess", [0, True, None, b"so", 1.5, ("so",), "\ud800"], ids=ascii)
def test_guesses_that_are_no_text_are_refused_and_cost_nothing(problem: TextProblem, guess: Any) -> None:
    oracle, prompt = at_prompt(problem)
    for ask in (
        lambda: oracle.reward(prompt, guess),
        lambda: oracle.compare(prompt, guess, "so"),
        lambda: oracle.compare(prompt, "so", guess),
    ):
        with pytest.raises(ArgumentError):
            ask()
    assert oracle.ledger == Ledger()


def test_an_oracle_that_goes_on_gives_the_same_bits_whatever_was_asked_before(problem: TextProblem) -> None:
    whole = text_oracle(problem, seed=3)
    for _ in range(2):
        earlier = whole.prompt()
        whole.sample(earlier, 40)
    resumed = text_oracle(problem, seed=3, prompts=2)
    prompt = whole.prompt()
    assert resumed.prompt() == prompt
    one, two = whole.sample(prompt, 25), resumed.sample(prompt, 25)
    assert one.ids == two.ids
    assert np.array_equal(one.features, two.features)
    assert whole.reward(prompt, one[3]) == resumed.reward(prompt, two[3])


def test_whoever_writes_into_an_answer_spoils_no_other(problem: TextProblem) -> None:
    spoiled, prompt = at_prompt(problem)
    responses = spoiled.sample(prompt, 10)
    with pytest.raises(ValueError, match="read-only"):
        responses.features[...] = 7.0
    base = responses.features if responses.features.base is None else responses.features.base
    base.setflags(write=True)
    base[...] = 7.0
    twin, prompt = at_prompt(problem)
    twin.sample(prompt, 10)
    for identity in responses.ids:
        assert spoiled.reward(prompt, identity) == twin.reward(prompt, identity)
    assert np.array_equal(twin.sample(prompt, 5).features, spoiled.sample(prompt, 5).features)


def public_values(roots: list[Any]) -> Iterator[Any]:
    """Everything that can be reached from these values by public names."""
    stack, seen = list(roots), set[int]()
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, str | bytes | int | float | np.ndarray | None):
            continue
        if isinstance(value, Mapping):
            stack += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            stack += list(value)
        elif not callable(value):
            stack += [getattr(value, name) for name in dir(value) if not name.startswith("_")]


def test_nothing_public_leads_to_the_problem(problem: TextProblem) -> None:
    oracle, prompt = at_prompt(problem, budget=Budget(samples=1000))
    answers: list[Any] = [
        oracle.sample(prompt, 5),
        oracle.sample_counts(prompt, 5),
        oracle.sample_until(prompt, PAIRS, 9),
    ]
    for ask in (
        lambda: oracle.enumerate(prompt),
        lambda: oracle.sample("?", 1),
        lambda: oracle.sample(prompt, 10**6),
        lambda: oracle.sample(prompt, 1, theta=np.full(4, 0.01)),
        lambda: oracle.reward(prompt, 3),
    ):
        with pytest.raises(SpanverError) as refusal:
            ask()
        answers += [vars(refusal.value), refusal.value.args, refusal.value.__cause__]
    hidden = (TextProblem, text_oracles.TextSource, type(text._model()), type(problem._projection))
    secrets = [problem.theta_star, problem.prompt_law]
    arrays = 0
    for value in public_values([oracle, answers]):
        assert not isinstance(value, hidden)
        if isinstance(value, np.ndarray):
            arrays += 1
            assert not any(np.shares_memory(value, secret) for secret in secrets)
    assert arrays >= 4
    assert all(name.startswith("_") for name in vars(oracle))
    assert any(isinstance(value, hidden) for value in public_values([vars(oracle)]))  # the walk can find them
