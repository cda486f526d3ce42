"""The law of the trigram model is pocketsphinx's own, and the sampler has exactly that law.

Laws are compared word by word where the map from uniforms to words can be followed, and otherwise by a chi-square test
at a level of 1e-6 on fixed seeds, which also rejects, from the same sample, a law that is off by 0.05 in total
variation. A toy model, whose histories waste most uniforms, shows what the real one does too rarely to be seen.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from scipy import stats

from spanver.errors import MissingExtraError, SpanverError
from spanver.problems.trigram import UNIFORMS_PER_WORD, NGrams, TrigramModel
from spanver.problems.trigram_file import load_trigram_model
from spanver.values import FloatArray, IntArray

History: TypeAlias = tuple[int, ...]
Reference: TypeAlias = Callable[[History, int], float]

ALPHA = 1e-6
PLANTED = 0.05  # total variation of the wrong law that must be rejected
ALMOST_ONE = float(np.nextafter(1.0, 0.0))


def model_file() -> Path:
    return Path(str(files("pocketsphinx"))) / "model" / "en-us" / "en-us.lm.bin"


@pytest.fixture(scope="module")
def model() -> TrigramModel:
    return load_trigram_model()


@pytest.fixture(scope="module")
def reference(model: TrigramModel) -> Reference:
    """`log P(word|history)` by pocketsphinx, which takes words, newest first."""
    from pocketsphinx import LogMath, NGramModel  # noqa: PLC0415 (slow to import)

    logarithms = LogMath(1.0001)
    language = NGramModel(None, logarithms, str(model_file()))

    def log_probability(history: History, word: int) -> float:
        newest_first = [model.words[number] for number in (word, *reversed(history))]
        return float(logarithms.log_to_ln(language.prob(newest_first)))

    return log_probability


def history_of(model: TrigramModel, words: str) -> History:
    return tuple(model.index[word] for word in words.split())


def histories(model: TrigramModel, seed: int, count: int) -> dict[str, list[History]]:
    """Histories of every kind, `count` of each."""
    generator = np.random.default_rng(seed)
    size = len(model.words)

    def pick(words: IntArray) -> int:
        return int(generator.choice(words))

    pairs: list[History] = []
    while len(pairs) < count:
        text = model.sample((model.start,), generator.random((6, UNIFORMS_PER_WORD)))
        pairs += itertools.pairwise(text)  # usual ones, after which much is listed
        listed = model.successors(tuple(text[-1:])).words if text else np.empty(0, dtype=np.int64)
        pairs += [(text[-1], pick(listed))] if len(listed) > 0 else []
    unlisted: list[History] = []
    while len(unlisted) < count:
        older, newer = (int(word) for word in generator.integers(size, size=2))
        if newer not in model.successors((older,)).words and model.start not in (older, newer):
            unlisted.append((older, newer))
    openings: list[History] = [(model.start, pick(model.successors((model.start,)).words)) for _ in range(count - 1)]
    return {
        "two words": pairs[:count],
        "two words never seen together": unlisted,
        "the start and a word": [(model.start,), *openings],
        "one word": [(int(word),) for word in generator.integers(size, size=count) if word != model.start],
        "nothing": [()],
    }


KINDS = ["two words", "two words never seen together", "the start and a word", "one word", "nothing"]


def words_to_compare(model: TrigramModel, history: History, generator: np.random.Generator) -> set[int]:
    """Words of which some are listed after the whole history, some after its last word, and some after neither."""
    chosen = set(generator.integers(len(model.words), size=4 if history else 600).tolist())
    for length in range(1, len(history) + 1):
        words = model.successors(history[-length:]).words
        if len(words) > 0:
            chosen |= set(generator.choice(words, size=4).tolist())
    return chosen - {model.start}


# ---------------------------------------------------------------------------------------------------------------------
# The law


def test_the_law_is_that_of_pocketsphinx(model: TrigramModel, reference: Reference) -> None:
    generator = np.random.default_rng(1)
    compared = dict.fromkeys(("trigram", "bigram", "unigram"), 0)
    worst = 0.0
    for history in itertools.chain.from_iterable(histories(model, 2, 110).values()):
        log_raw = model.log_law(history) + (np.log(model.successors(history).total) if history else 0.0)
        shift = model.raw_log_probability(history, model.end) - log_raw[model.end]
        assert abs(shift) < (1e-9 if history else 1e-3)  # the law of nothing is normalised by what has no name
        for word in words_to_compare(model, history, generator):
            worst = max(worst, abs(log_raw[word] + shift - reference(history, word)))
            listed = [word in model.successors(history[-length:]).words for length in range(1, len(history) + 1)]
            compared["trigram" if len(listed) == 2 and listed[1] else "bigram" if any(listed) else "unigram"] += 1
    assert worst <= 1e-4
    assert sum(compared.values()) >= 3000
    assert min(compared.values()) >= 250


@pytest.mark.parametrize("kind", KINDS)
def test_the_law_is_normalised(model: TrigramModel, kind: str) -> None:
    for history in histories(model, 3, 40)[kind]:
        log_law = model.log_law(history)
        assert np.exp(log_law).sum() == pytest.approx(1.0, abs=1e-12)
        if history:
            before = np.exp(model.raw_log_probability(history, model.end) - log_law[model.end])
            assert model.successors(history).total == pytest.approx(before, rel=1e-9)


def test_the_law_was_nearly_normalised_before(model: TrigramModel) -> None:
    after_one = np.array([model.successors((word,)).total for word in range(len(model.words))])
    usual = np.array([model.successors(history).total for history in histories(model, 3, 1000)["two words"]])
    for totals in (after_one, usual):
        assert ((totals >= 0.9996) & (totals <= 1.0001)).mean() > 0.9
        assert 0.96 < totals.min() < totals.max() < 1.02


def test_the_total_of_a_history_is_the_sum_of_what_pocketsphinx_says(model: TrigramModel, reference: Reference) -> None:
    words = [word for word in range(len(model.words)) if word != model.start]
    # After "according" and "kinds" the sums are farther from 1 than after any other word.
    for text in ("i don't", "the", "<s>", "zyman and", "of the", "according", "kinds"):
        history = history_of(model, text)
        total = sum(np.exp(reference(history, word)) for word in words)
        # Each term is rounded to 1e-4 of itself, which averages out unless a word is very likely.
        assert model.successors(history).total == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_never_a_next_word(model: TrigramModel, kind: str) -> None:
    for history in histories(model, 4, 30)[kind]:
        log_law = model.log_law(history)
        assert log_law[model.start] == -np.inf
        assert np.isfinite(np.delete(log_law, model.start)).all()
        if history:
            assert model.start not in model.successors(history).words


def test_only_the_last_two_words_of_a_history_matter(model: TrigramModel) -> None:
    short, long = history_of(model, "of the"), history_of(model, "<s> zyman of the")
    assert np.array_equal(model.log_law(short), model.log_law(long))
    assert model.raw_log_probability(short, 5) == model.raw_log_probability(long, 5)
    assert model.successors(short) is model.successors(long)
    uniforms = np.random.default_rng(0).random((8, UNIFORMS_PER_WORD))
    assert model.sample(short, uniforms) == model.sample(long, uniforms)


# ---------------------------------------------------------------------------------------------------------------------
# The sampler on the real model


@pytest.mark.parametrize("text", ["i don't", "<s> i", "the", "dogs of", "<s>"])
def test_the_first_uniform_draws_a_listed_word_with_exactly_its_probability(model: TrigramModel, text: str) -> None:
    history = history_of(model, text)
    words = model.successors(history).words
    upper = np.cumsum(np.exp(model.log_law(history))[words])
    lower = np.concatenate([[0.0], upper[:-1]])
    rest = [0.5] * (UNIFORMS_PER_WORD - 1)
    checked = np.linspace(0, len(words) - 1, min(len(words), 400)).astype(int)
    margin = 1e-12
    for word, low, high in zip(words[checked], lower[checked], upper[checked], strict=True):
        assert high - low > 2 * margin
        for uniform in (low + margin, (low + high) / 2, high - margin):
            assert model.next_word(history, [uniform, *rest]) == word
    for uniform in (upper[-1] + margin, (upper[-1] + 1) / 2, ALMOST_ONE):
        assert model.next_word(history, [uniform, *rest]) not in words


def rejected(model: TrigramModel, history: History) -> list[float]:
    """All uniforms but the last, such that every word that they draw is one that is listed after the history."""
    shorter = history[1:]
    law = np.exp(model.log_law(shorter))
    if shorter:  # of the words that one uniform draws, the likeliest that has to be rejected
        words = model.successors(shorter).words
        upper = np.cumsum(law[words])
        again = np.isin(words, model.successors(history).words)
        position = int(np.argmax(np.where(again, law[words], 0.0)))
        quantile = float(upper[position] - law[words][position] / 2)
    else:
        word = model.successors(history).words[0]
        quantile = float(np.cumsum(law)[word] - law[word] / 2)
    return [ALMOST_ONE] + [quantile] * (UNIFORMS_PER_WORD - 2)


@pytest.mark.parametrize("text", ["i don't", "of the", "the", "<s>"])
def test_when_the_uniforms_run_out_the_last_draws_from_the_law_of_the_unlisted_words(
    model: TrigramModel, text: str
) -> None:
    history = history_of(model, text)
    law = np.exp(model.log_law(history))
    law[model.successors(history).words] = 0.0
    cumulative = np.cumsum(law / law.sum())
    drawn = set()
    for uniform in [0.0, ALMOST_ONE, *np.random.default_rng(6).random(150)]:
        word = model.next_word(history, [*rejected(model, history), uniform])
        assert law[word] > 0.0
        assert cumulative[word] - law[word] / law.sum() - 1e-11 <= uniform <= cumulative[word] + 1e-11
        drawn.add(word)
    assert len(drawn) > 20


def cells(model: TrigramModel, history: History, law: FloatArray, singles: int = 12) -> IntArray:
    """Cell of each word: the likeliest stand alone; others are pooled by the level at which they are drawn."""
    level = np.zeros(len(law), dtype=np.int64)
    for length in range(1, len(history) + 1):
        level[model.successors(history[-length:]).words] = length
    cell = singles + level
    cell[np.argsort(-law, kind="stable")[:singles]] = np.arange(singles)
    return cell


def p_value(observed: FloatArray, law: FloatArray) -> float:
    """P-value of a chi-square test; cells that expect less than 5 are pooled."""
    expected = law * observed.sum()
    assert observed[law <= 0].sum() == 0
    rare = expected < 5
    pooled = [(observed[rare].sum(), expected[rare].sum())] if expected[rare].sum() >= 5 else []
    pairs = np.array([*zip(observed[~rare], expected[~rare], strict=True), *pooled])
    statistic = ((pairs[:, 0] - pairs[:, 1]) ** 2 / pairs[:, 1]).sum()
    return float(stats.chi2.sf(statistic, len(pairs) - 1))


def assert_law(drawn: list[int], law: FloatArray, cell: IntArray) -> None:
    """Accept the law at level ALPHA, and reject from the same sample one that is PLANTED away from it."""
    law = np.bincount(cell, weights=law).astype(np.float64)
    observed = np.bincount(cell[drawn], minlength=len(law)).astype(np.float64)
    planted = law.copy()
    order = np.argsort(law)
    moved = min(PLANTED, float(law[order[-1]] / 2))
    planted[order[-1]] -= moved
    planted[order[-2]] += moved
    assert p_value(observed, planted) < ALPHA
    assert p_value(observed, law) > ALPHA


@pytest.mark.parametrize("text", ["i don't", "<s> i", "<s>", "the", "of the", "dogs of", "zyman and"])
def test_the_sampler_has_the_law(model: TrigramModel, text: str) -> None:
    history = history_of(model, text)
    law = np.exp(model.log_law(history))
    uniforms = np.random.default_rng(7).random((30_000, UNIFORMS_PER_WORD)).tolist()
    assert_law([model.next_word(history, row) for row in uniforms], law, cells(model, history, law))


def test_a_text_is_its_words_one_after_another_up_to_the_end(model: TrigramModel) -> None:
    generator = np.random.default_rng(8)
    lengths = set()
    for _ in range(60):
        uniforms = generator.random((7, UNIFORMS_PER_WORD))
        words: list[int] = []
        recent = history_of(model, "i don't")
        for row in uniforms.tolist():
            word = model.next_word(recent[-2:], row)
            if word == model.end:
                break
            words.append(word)
            recent += (word,)
        drawn = model.sample(history_of(model, "i don't"), uniforms)
        assert drawn == words
        lengths.add(len(drawn))
    assert {0, 7} <= lengths or len(lengths) > 4
    assert model.sample(history_of(model, "i don't"), np.empty((0, UNIFORMS_PER_WORD))) == []


def test_a_word_depends_on_its_own_uniforms_and_the_words_before(model: TrigramModel) -> None:
    generator = np.random.default_rng(9)
    history = history_of(model, "you know")
    changed = 0
    for _ in range(40):
        uniforms = generator.random((6, UNIFORMS_PER_WORD))
        words = model.sample(history, uniforms)
        for kept in range(6):
            other = np.concatenate([uniforms[:kept], generator.random((6 - kept, UNIFORMS_PER_WORD))])
            again = model.sample(history, other)
            assert again[:kept] == words[:kept]
            assert model.sample(history, uniforms[:kept]) == words[:kept]
            changed += again != words
    assert changed > 100


def test_what_was_drawn_before_changes_nothing(model: TrigramModel) -> None:
    uniforms = np.random.default_rng(10).random((50, 6, UNIFORMS_PER_WORD))
    history = history_of(model, "yeah i")
    forwards = [model.sample(history, rows) for rows in uniforms]
    backwards = [model.sample(history, rows) for rows in uniforms[::-1]]
    assert forwards == backwards[::-1]
    assert len({tuple(words) for words in forwards}) > 40


def test_a_history_that_is_kept_is_the_one_that_is_found_afresh() -> None:
    kept, histories = toy_model(), [*TOY_HISTORIES, *TOY_HISTORIES]
    for history in histories:
        fresh = toy_model().successors(history)
        after = kept.successors(history)
        assert (after.words.tolist(), after.probabilities.tolist()) == (
            fresh.words.tolist(),
            fresh.probabilities.tolist(),
        )
        assert (after.backoff, after.others, after.total) == (fresh.backoff, fresh.others, fresh.total)


# ---------------------------------------------------------------------------------------------------------------------
# The sampler on a toy model, exactly

TOY_WORDS = ("</s>", "<s>", "a", "b", "c", "d")
TOY_UNIGRAM = np.array([0.02, 0.5, 0.6, 0.3, 0.05, 0.03])  # of `<s>` whatever: it is never a next word
TOY_AFTER: dict[History, dict[int, float]] = {
    (2,): {2: 0.3, 3: 0.2, 4: 0.3},
    (3,): {2: 0.5, 3: 0.2},
    (2, 2): {2: 0.6, 4: 0.1},
    (2, 3): {2: 0.3, 5: 0.1},
}
TOY_HISTORIES: list[History] = [(2,), (3,), (4,), (1,), (2, 2), (2, 3), (2, 4), (3, 2), (3, 3), (4, 2), (4, 3), (1, 2)]


def toy_law(history: History) -> FloatArray:
    """Law after a history, by the definition of back-off with weights that make it normalised."""
    if not history:
        law = TOY_UNIGRAM.copy()
        law[1] = 0.0
        law /= law.sum()
        return law
    law = toy_law(history[1:])
    listed = TOY_AFTER.get(history, {})
    law[list(listed)] = 0.0
    law *= (1.0 - sum(listed.values())) / law.sum()
    for word, probability in listed.items():
        law[word] = probability
    return law


def toy_model() -> TrigramModel:
    def backoff(history: History) -> float:
        listed = TOY_AFTER.get(history, {})
        return (1.0 - sum(listed.values())) / (1.0 - float(toy_law(history[1:])[list(listed)].sum()))

    def ngrams(histories: list[History]) -> NGrams:
        listed = [TOY_AFTER.get(history, {}) for history in histories]
        return NGrams(
            starts=np.cumsum([0, *map(len, listed)]),
            words=np.array([word for after in listed for word in after], dtype=np.int64),
            log_probabilities=np.log([p for after in listed for p in after.values()]),
        )

    ones: list[History] = [(word,) for word in range(len(TOY_WORDS))]
    pairs: list[History] = [(*one, word) for one in ones for word in TOY_AFTER.get(one, {})]
    law = TOY_UNIGRAM / np.delete(TOY_UNIGRAM, 1).sum()
    return TrigramModel(
        words=TOY_WORDS,
        unigram_log=np.log(law),
        unigram_backoff=np.log([backoff(one) for one in ones]),
        bigrams=ngrams(ones),
        bigram_backoff=np.log([backoff(pair) for pair in pairs]),
        trigrams=ngrams(pairs),
    )


@pytest.mark.parametrize("history", TOY_HISTORIES)
def test_the_law_of_a_toy_is_that_of_back_off(history: History) -> None:
    model = toy_model()
    np.testing.assert_allclose(np.exp(model.log_law(history)), toy_law(history), rtol=1e-12)
    assert model.successors(history).total == pytest.approx(1.0, rel=1e-12)


def strata(model: TrigramModel, history: History) -> list[tuple[float, float]]:
    """Midpoints and lengths of intervals within each of which a uniform does the same, wherever it is used.

    A uniform is compared with cumulative laws of all words, of the listed ones, of the unlisted ones, and of the listed
    ones beside a proposal of all words that may be rejected.
    """
    unlisted = toy_law(history)
    unlisted[model.successors(history).words] = 0.0
    laws = [unlisted / unlisted.sum(), toy_law(())]
    for length in range(1, len(history) + 1):
        law, after = toy_law(history[-length:]), model.successors(history[-length:])
        listed = law[after.words]
        laws += [law, listed, listed / (listed.sum() + after.backoff)]
    ends = {0.0, 1.0}.union(*(np.cumsum(law).tolist() for law in laws))
    pairs = itertools.pairwise(sorted(ends))
    return [((low + high) / 2, high - low) for low, high in pairs if high - low > 1e-12]


@pytest.mark.parametrize(
    ("history", "uniforms"), [((2,), 2), ((2,), 4), ((2, 3), 2), ((2, 3), 3), ((4, 3), 3), ((4, 3), 4)]
)
def test_the_sampler_has_exactly_the_law_however_few_the_uniforms(history: History, uniforms: int) -> None:
    model = toy_model()
    law = np.zeros(len(TOY_WORDS))
    for choice in itertools.product(strata(model, history), repeat=uniforms):
        points, lengths = zip(*choice, strict=True)
        law[model.next_word(history, list(points))] += np.prod(lengths)
    np.testing.assert_allclose(law, toy_law(history), atol=1e-9)


@pytest.mark.parametrize("history", TOY_HISTORIES)
def test_the_sampler_has_the_law_where_most_uniforms_are_wasted(history: History) -> None:
    model = toy_model()
    uniforms = np.random.default_rng(11).random((20_000, UNIFORMS_PER_WORD)).tolist()
    drawn = [model.next_word(history, row) for row in uniforms]
    assert_law(drawn, toy_law(history), np.arange(len(TOY_WORDS)))


# ---------------------------------------------------------------------------------------------------------------------
# Files


def damaged(kind: str) -> bytes:
    intact = model_file().read_bytes()
    header = len(b"Trie Language Model")
    match kind:
        case "empty":
            return b""
        case "another file":
            return b"\\data\\\nngram 1=5\n" * 100
        case "header alone":
            return intact[:header]
        case "order 2":
            return intact[:header] + b"\x02" + intact[header + 1 :]
        case "another quantisation":
            return intact[: header + 13] + b"\x07" + intact[header + 14 :]
        case _:
            return intact[: int(float(kind) * len(intact))]


@pytest.mark.parametrize(
    "kind", ["empty", "another file", "order 2", "another quantisation", "header alone", "1e-6", "0.01", "0.5", "0.999"]
)
def test_a_damaged_or_foreign_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.lm.bin"
    path.write_bytes(damaged(kind))
    with pytest.raises(SpanverError) as refusal:
        load_trigram_model(path)
    assert str(path) in str(refusal.value) or "quantisation" in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SpanverError, match="not readable"):
            load_trigram_model(path)


def test_the_file_may_be_named(model: TrigramModel) -> None:
    named = load_trigram_model(model_file())
    assert named.words == model.words
    history = history_of(model, "i don't")
    assert np.array_equal(named.log_law(history), model.log_law(history))


def test_without_pocketsphinx_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "pocketsphinx", None)
    with pytest.raises(MissingExtraError, match=r'pocketsphinx: pip install "spanver\[text\]"'):
        load_trigram_model()
