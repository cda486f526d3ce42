"""Read the file of a trigram model: a "Trie Language Model", bit-packed, with quantised weights, newest word first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spanver.errors import MissingExtraError, SpanverError
from spanver.problems.trigram import NGrams, TrigramModel
from spanver.validation import require
from spanver.values import IntArray

_HEADER = b"Trie Language Model"
_LOG_BASE = math.log(1.0001)  # weights in the file are logarithms to this base
_WEIGHTS = 1 << 16  # entries of a quantisation table


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
