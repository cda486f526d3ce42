"""A real language model whose law is exactly known: the US English trigram model that `pocketsphinx` ships.

The file is a "Trie Language Model": a bit-packed trie of n-grams with quantised weights, keyed newest word first. It is
unpacked once into successor lists keyed by history, so that the next word can be sampled without touching the whole
vocabulary, and its law computed exactly when somebody asks for it.

The law is Katz back-off: `P(w|a b)` is the listed trigram probability, or else the back-off weight of `a b` times
`P(w|b)`, and so on down to unigrams. The start symbol `<s>` is never a next word; without it the probabilities of a
history, as the file states them, sum to 1 within a few per cent, and mostly within a few parts in ten thousand. The
law here is that, normalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spanver.errors import MissingExtraError, SpanverError
from spanver.randomness import invert
from spanver.validation import require
from spanver.values import FloatArray, IntArray

UNIFORMS_PER_WORD = 16
"""Uniforms that a word takes, whatever is drawn: so a response depends on its own uniforms alone."""

_HEADER = b"Trie Language Model"
_LOG_BASE = math.log(1.0001)  # weights in the file are logarithms to this base
_WEIGHTS = 1 << 16  # entries of a quantisation table
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
            return int(after.words[np.searchsorted(after.cumulative, quantile, side="right")])
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
            return int(after.words[np.searchsorted(after.cumulative, quantile, side="right")])
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


def load_trigram_model(path: Path | None = None) -> TrigramModel:
    """Read a trigram model.

    Parameters
    ----------
    path : Path, optional
        A "Trie Language Model" of order 3. Default: the US English one of `pocketsphinx`.

    Raises
    ------
    MissingExtraError
        If no path is given and pocketsphinx is not installed.
    SpanverError
        If the file is not such a model.
    """
    if path is None:
        try:
            path = Path(str(files("pocketsphinx"))) / "model" / "en-us" / "en-us.lm.bin"
        except ModuleNotFoundError:
            raise MissingExtraError("the text problem", "pocketsphinx", "text") from None
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise SpanverError(f"{path} is not readable ({error})") from error
    if bytes(data[: len(_HEADER)]) != _HEADER or data[len(_HEADER) : len(_HEADER) + 1].tolist() != [3]:
        raise SpanverError(f"{path} is not a {_HEADER.decode()} of order 3")
    try:
        return _unpacked(data)
    except (IndexError, ValueError) as error:
        raise SpanverError(f"{path} is damaged ({error})") from error


def _unpacked(data: NDArray[np.uint8]) -> TrigramModel:
    """Unpack the trie, whose n-grams are keyed newest word first, and sort them by history instead."""
    position = len(_HEADER) + 1

    def read(dtype: Any, count: int) -> NDArray[Any]:
        nonlocal position
        array = np.frombuffer(data, dtype=dtype, count=count, offset=position)
        position += array.nbytes
        return array

    vocabulary, bigram_count, trigram_count = (int(count) for count in read("<u4", 3))
    require(int(read("<i4", 1)[0]) == 1, "the kind of quantisation", "another", "16 bits a weight")
    weights = _LOG_BASE * read("<f4", 3 * _WEIGHTS).astype(np.float64)
    bigram_weights, backoff_weights, trigram_weights = weights.reshape(3, _WEIGHTS)
    unigrams = read(np.dtype([("log", "<f4"), ("backoff", "<f4"), ("next", "<u4")]), vocabulary + 1)

    word_bits, next_bits = vocabulary.bit_length(), trigram_count.bit_length()
    packed = _Packed(read("u1", _packed_size(bigram_count, word_bits + 32 + next_bits)), word_bits + 32 + next_bits)
    bigram_count = int(unigrams["next"][-1])  # rows that are used; the header counts some twice
    older = packed.field(bigram_count, 0, word_bits)
    log_bigram = bigram_weights[packed.field(bigram_count, word_bits + 16, 16)]
    log_backoff = backoff_weights[packed.field(bigram_count, word_bits, 16)]
    trigram_starts = packed.field(bigram_count + 1, word_bits + 32, next_bits)
    bigram_starts: IntArray = unigrams["next"].astype(np.int64)
    newest = np.repeat(np.arange(vocabulary), bigram_starts[1:] - bigram_starts[:-1])

    order = np.lexsort((newest, older))
    bigram_keys = (older * vocabulary + newest)[order]
    bigrams = NGrams(
        starts=np.searchsorted(older[order], np.arange(vocabulary + 1)),
        words=newest[order].astype(np.int32),
        log_probabilities=log_bigram[order].astype(np.float32),
    )

    packed = _Packed(read("u1", _packed_size(trigram_count, word_bits + 16)), word_bits + 16)
    trigram_count = int(trigram_starts[-1])
    oldest = packed.field(trigram_count, 0, word_bits)
    log_trigram = trigram_weights[packed.field(trigram_count, word_bits, 16)]
    parent = np.repeat(np.arange(bigram_count), trigram_starts[1:] - trigram_starts[:-1])
    history_keys = oldest * vocabulary + older[parent]
    histories = np.searchsorted(bigram_keys, history_keys)
    trigram_order = np.lexsort((newest[parent], histories))
    trigrams = NGrams(
        starts=np.searchsorted(histories[trigram_order], np.arange(bigram_count + 1)),
        words=newest[parent][trigram_order].astype(np.int32),
        log_probabilities=log_trigram[trigram_order].astype(np.float32),
    )

    size = int(read("<u4", 1)[0])
    words = tuple(bytes(read("u1", size)).decode().split("\0")[:vocabulary])
    return TrigramModel(
        words=words,
        unigram_log=_LOG_BASE * unigrams["log"][:-1].astype(np.float64),
        unigram_backoff=_LOG_BASE * unigrams["backoff"][:-1].astype(np.float64),
        bigrams=bigrams,
        bigram_backoff=log_backoff[order].astype(np.float32),
        trigrams=trigrams,
    )


def _packed_size(rows: int, bits: int) -> int:
    """Bytes of a bit-packed array, with one more row and the eight bytes that readers may run over."""
    return ((rows + 1) * bits + 7) // 8 + 8


@dataclass(frozen=True, eq=False)
class _Packed:
    """Rows of equally many bits, lowest bit first."""

    data: NDArray[np.uint8]
    bits: int

    def field(self, rows: int, offset: int, width: int) -> IntArray:
        """One field of every row: `width` bits, at most 57, from bit `offset`."""
        first = np.arange(rows, dtype=np.int64) * self.bits + offset
        # A view of the eight bytes that begin at each byte.
        eight = np.ndarray((len(self.data) - 7,), dtype="<u8", buffer=self.data, strides=(1,))
        shifted = eight[first >> 3] >> (first & 7).astype(np.uint64)
        return (shifted & np.uint64((1 << width) - 1)).astype(np.int64)
