"""A real language model whose law is exactly known: the US English trigram model that `pocketsphinx` ships.

Its n-grams are successor lists keyed by history (`trigram_file` reads them), so that the next word can be sampled
without touching the whole vocabulary, and its law computed exactly when somebody asks for it.

The law is Katz back-off: `P(w|a b)` is the listed trigram probability, or else the back-off weight of `a b` times
`P(w|b)`, and so on down to unigrams. The start symbol `<s>` is never a next word; without it the probabilities of a
history, as the file states them, sum to 1 within a few per cent, and mostly within a few parts in ten thousand. The
law here is that, normalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from spanver.randomness import invert
from spanver.values import FloatArray, IntArray

UNIFORMS_PER_WORD = 16
"""Uniforms that a word takes, whatever is drawn: so a response depends on its own uniforms alone."""

_CACHED_HISTORIES = 1 << 16


@dataclass(frozen=True, eq=False)
class Successors:
    """How the next word after a history is drawn.

    Attributes
    ----------
    words : array of int, shape (n,)
        Words listed after the history, in increasing order.
    probabilities : array, shape (n,)
        Of the listed words, not normalised.
    backoff : float
        What the law of the shorter history is multiplied with for the other words.
    others : float
        Probability of all other words together, not normalised.
    """

    words: IntArray
    probabilities: FloatArray
    backoff: float
    others: float

    @cached_property
    def cumulative(self) -> FloatArray:
        """Cumulative probabilities of the listed words."""
        return np.cumsum(self.probabilities)

    @cached_property
    def listed(self) -> float:
        """Probability of the listed words together."""
        return float(self.cumulative[-1]) if len(self.words) else 0.0

    @property
    def total(self) -> float:
        """Probability of all words together, before normalising."""
        return self.listed + self.others

    def word_at(self, quantile: float) -> int:
        """The listed word at a quantile below `listed`."""
        return int(self.words[np.searchsorted(self.cumulative, quantile, side="right")])

    def lists(self, word: int) -> bool:
        """Whether a word is listed."""
        position = int(np.searchsorted(self.words, word))
        return position < len(self.words) and int(self.words[position]) == word

    def positions(self, words: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        """Where words stand among the listed ones, and whether they do."""
        positions = np.minimum(np.searchsorted(self.words, words), max(0, len(self.words) - 1))
        return positions, self.words[positions] == words if len(self.words) else np.zeros(len(words), dtype=bool)


class TrigramModel:
    """Law and sampler of a trigram model. Words are indices into `words`; a history is the one or two words before.

    Parameters
    ----------
    words : tuple of str
        The vocabulary.
    unigram_log, unigram_backoff : array, shape (V,)
        `log P(w)`, and log back-off weights of histories of one word.
    bigrams : NGrams
        After histories of one word, numbered by that word.
    bigram_backoff : array, shape (number of bigrams,)
        Log back-off weights of histories of two words, numbered by the bigram that they are.
    trigrams : NGrams
        After histories of two words, numbered by the bigram that they are.
    """

    def __init__(
        self,
        words: tuple[str, ...],
        unigram_log: FloatArray,
        unigram_backoff: FloatArray,
        bigrams: NGrams,
        bigram_backoff: FloatArray,
        trigrams: NGrams,
    ) -> None:
        self.words = words
        self._unigram_log, self._unigram_backoff = unigram_log, unigram_backoff
        self._bigrams, self._bigram_backoff, self._trigrams = bigrams, bigram_backoff, trigrams
        self._after = lru_cache(maxsize=_CACHED_HISTORIES)(self._successors)

    @cached_property
    def index(self) -> dict[str, int]:
        """Index of every word."""
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def start(self) -> int:
        """Index of `<s>`, which begins a history and is never a next word."""
        return self.index["<s>"]

    @cached_property
    def end(self) -> int:
        """Index of `</s>`, which ends a text."""
        return self.index["</s>"]

    @cached_property
    def _unigram(self) -> FloatArray:
        probabilities = np.exp(self._unigram_log)
        probabilities[self.start] = 0.0
        return probabilities

    @cached_property
    def _unigram_cumulative(self) -> FloatArray:
        return np.cumsum(self._unigram)

    def log_law(self, history: tuple[int, ...]) -> FloatArray:
        """Log probability of every next word, exact and normalised.

        Parameters
        ----------
        history : tuple of int
            The words before, oldest first; all but the last two are ignored. A text begins with `start`.

        Returns
        -------
        array, shape (V,)
            Minus infinity for `<s>`.
        """
        law = self._raw_law(history[-2:])
        with np.errstate(divide="ignore"):
            log_law: FloatArray = np.log(law / law.sum())
        return log_law

    def raw_log_probability(self, history: tuple[int, ...], word: int) -> float:
        """`log P(word|history)` as the file states it, before normalising."""
        return float(np.log(self._raw_law(history[-2:])[word]))

    def _raw_law(self, history: tuple[int, ...]) -> FloatArray:
        if not history:
            return self._unigram.copy()
        row = self._row(history)
        law = self._raw_law(history[1:])
        if row is None:
            return law
        ngrams = self._bigrams if len(history) == 1 else self._trigrams
        words, log_probabilities = ngrams.after(row)
        law *= math.exp(self._log_backoff(len(history), row))
        law[words] = np.exp(log_probabilities)
        law[self.start] = 0.0
        return law

    def _row(self, history: tuple[int, ...]) -> int | None:
        """Number of a history among those of its length, or None where the file does not have it."""
        if len(history) == 1:
            return history[0]
        words, _ = self._bigrams.after(history[0])
        position = int(np.searchsorted(words, history[1]))
        if position == len(words) or int(words[position]) != history[1]:
            return None
        return int(self._bigrams.starts[history[0]]) + position

    def _log_backoff(self, length: int, row: int) -> float:
        return float((self._unigram_backoff if length == 1 else self._bigram_backoff)[row])

    def successors(self, history: tuple[int, ...]) -> Successors:
        """How the next word after one or two words is drawn; the latest are kept."""
        return self._after(history[-2:])

    def _successors(self, history: tuple[int, ...]) -> Successors:
        shorter = history[1:]
        total = self.successors(shorter).total if shorter else float(self._unigram_cumulative[-1])
        row = self._row(history)
        if row is None:  # nothing is listed, and the law is that of the shorter history
            return Successors(np.empty(0, dtype=np.int64), np.empty(0), 1.0, total)
        words, log_probabilities = (self._bigrams if len(history) == 1 else self._trigrams).after(row)
        backoff = math.exp(self._log_backoff(len(history), row))
        unlisted = max(0.0, total - float(self._probabilities(shorter, words).sum()))
        return Successors(words, np.exp(log_probabilities), backoff, backoff * unlisted)

    def _probabilities(self, history: tuple[int, ...], words: IntArray) -> FloatArray:
        """`P(word|history)` of some words before normalising, without the whole law."""
        if not history:
            return self._unigram[words]
        after = self.successors(history)
        probabilities = after.backoff * self._probabilities(history[1:], words)
        positions, listed = after.positions(words)
        probabilities[listed] = after.probabilities[positions[listed]]
        return probabilities

    def sample(self, history: tuple[int, ...], uniforms: FloatArray) -> list[int]:
        """Continue a history until `</s>` or until the uniforms end; the law is that of `log_law`, word by word.

        Parameters
        ----------
        history : tuple of int
            Not empty.
        uniforms : array, shape (words, UNIFORMS_PER_WORD)
            In [0, 1).

        Returns
        -------
        list of int
            Without `</s>`.
        """
        words: list[int] = []
        recent = tuple(history[-2:])
        for row in uniforms.tolist():
            word = self.next_word(recent, row)
            if word == self.end:
                break
            words.append(word)
            recent = (*recent, word)[-2:]
        return words

    def next_word(self, history: tuple[int, ...], uniforms: list[float]) -> int:
        """Draw the next word.

        A listed word is drawn by inversion, from the first uniform. Any other is proposed from the law of the shorter
        history, again and again until it is not listed. Every proposal takes equally many uniforms, whatever becomes
        of it: so that the uniforms are used up says nothing of the word, and when they are, the last draws from the
        exact law of the other words.

        Parameters
        ----------
        history : tuple of int
            One or two words.
        uniforms : list of float, length UNIFORMS_PER_WORD
        """
        after = self.successors(history)
        quantile = uniforms[0] * after.total
        if quantile < after.listed:
            return after.word_at(quantile)
        width = len(history)
        for first in range(1, len(uniforms) - width, width):
            word = self._proposal(history[1:], uniforms[first : first + width])
            if word is not None and not after.lists(word):
                return word
        law = self._raw_law(history)
        law[after.words] = 0.0
        return int(invert(np.cumsum(law), uniforms[-1]))

    def _proposal(self, history: tuple[int, ...], uniforms: list[float]) -> int | None:
        """Draw from the law of no word or of one; None if the draw is to be rejected."""
        if not history:
            return int(invert(self._unigram_cumulative, uniforms[0]))
        after = self.successors(history)
        quantile = uniforms[0] * (after.listed + after.backoff * float(self._unigram_cumulative[-1]))
        if quantile < after.listed:
            return after.word_at(quantile)
        word = int(invert(self._unigram_cumulative, uniforms[1]))
        return None if after.lists(word) else word


@dataclass(frozen=True, eq=False)
class NGrams:
    """Words listed after each of many histories: those of history `i` are rows `starts[i]` to `starts[i + 1]`.

    Attributes
    ----------
    starts : array of int, shape (histories + 1,)
    words : array of int, shape (n,)
        Increasing within a history.
    log_probabilities : array, shape (n,)
    """

    starts: IntArray
    words: IntArray
    log_probabilities: NDArray[np.float32]

    def after(self, history: int) -> tuple[IntArray, FloatArray]:
        """Words listed after a history, and their log probabilities."""
        rows = slice(int(self.starts[history]), int(self.starts[history + 1]))
        return self.words[rows].astype(np.int64), self.log_probabilities[rows].astype(np.float64)
