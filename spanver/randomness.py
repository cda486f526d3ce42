"""Where every random number comes from: one counter-based generator per (seed, stream, index).

A draw depends on its purpose (the name of the stream, the index of what it serves, its position there) and never on
batch size, order or worker. The key of the Philox generator is a hash of seed and stream;
the index stands in the upper words of its counter, so that the indices of one stream never overlap.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator, Philox
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from spanver.validation import require, require_count


def derived_seed(seed: int, name: str) -> int:
    """Return a seed for one part of a run; the seeds of two parts are unrelated.

    Parameters
    ----------
    seed : int
        At least 0, of any size.
    name : str
        The part.
    """
    require_count("seed", seed, least=0)
    return int.from_bytes(hashlib.blake2b(f"{int(seed)}/part/{name}".encode(), digest_size=8).digest(), "little")


def stream(seed: int, name: str, index: int = 0) -> Generator:
    """Return the generator of one thing in one stream.

    Parameters
    ----------
    seed : int
        At least 0, of any size.
    name : str
        What the draws are for.
    index : int
        Which of the things that the stream serves, below `2**64`.

    Examples
    --------
    >>> stream(7, "prompt", 3).random() == stream(7, "prompt", 3).random()
    True
    >>> stream(7, "prompt", 3).random() == stream(7, "prompt", 4).random()
    False
    """
    require_count("seed", seed, least=0)
    require_count("index", index, least=0)
    require(index < 2**64, "index", index, "below 2**64")
    counter = np.array([0, 0, 0, index], dtype=np.uint64)
    return Generator(Philox(_key(int(seed), name), counter=counter))  # type: ignore[arg-type]  # NumPy's types lag


def position(generator: Generator) -> NDArray[np.uint64]:
    """Where a generator that `stream` returned stands, shape (11,): what `placed` goes on from."""
    state = generator.bit_generator.state
    single = [state["buffer_pos"], state["has_uint32"], state["uinteger"]]
    counted: NDArray[np.uint64] = np.concatenate(
        [state["state"]["counter"], state["buffer"], np.array(single, dtype=np.uint64)]
    )
    return counted


def placed(generator: Generator, position: NDArray[np.uint64]) -> Generator:
    """Move a generator of the same stream to a position, and return it.

    Examples
    --------
    >>> one, other = stream(7, "prompt"), stream(7, "prompt")
    >>> _ = one.random(5)
    >>> placed(other, position(one)).random() == one.random()
    True
    """
    state: Any = generator.bit_generator.state
    state["state"]["counter"], state["buffer"] = position[:4], position[4:8]
    state["buffer_pos"], state["has_uint32"], state["uinteger"] = (int(each) for each in position[8:])
    generator.bit_generator.state = state
    return generator


class _Key(ISeedSequence):
    """A key of Philox in the form of a seed: given as `key`, NumPy would ask the system for entropy and drop it."""

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest, dtype="<u8").astype(np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> NDArray[np.uint64]:
        """Return the two words of 64 bits that Philox asks for."""
        assert (n_words, dtype) == (2, np.uint64), "a generator of another kind than Philox"
        return self._words


@lru_cache(maxsize=1024)
def _key(seed: int, name: str) -> _Key:
    return _Key(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest())


def invert(cumulative: NDArray[np.float64], uniforms: NDArray[np.float64] | float) -> NDArray[np.intp]:
    """Draw from a finite distribution by inversion; indices without mass are never drawn.

    Parameters
    ----------
    cumulative : array, shape (n,)
        Cumulative sums of masses, which need not sum to 1.
    uniforms : float or array
        In `[0, 1)`.

    Returns
    -------
    array of int
        In the shape of `uniforms`.

    Examples
    --------
    >>> invert(np.cumsum([0.0, 2.0, 6.0, 0.0]), np.array([0.0, 0.2, 0.25, 0.999])).tolist()
    [1, 1, 2, 2]
    """
    total = cumulative[-1]
    found = np.searchsorted(cumulative, uniforms * total, side="right")
    # The product may round up to the total; the exact inverse is then the index at which the total is reached.
    return np.minimum(found, np.searchsorted(cumulative, total))


_LEAST_AHEAD = 64  # uniforms: one at a time takes as long as so many


@dataclass(slots=True)
class UniformBuffer:
    """A lookahead buffer of the uniform numbers of one generator.

    A rejection loop peeks a block of any size and consumes only what it used, so that the next draw does not depend on
    the block size.

    Attributes
    ----------
    generator : Generator
    ahead : array, shape (n,)
        What was drawn and not consumed.
    """

    generator: Generator
    ahead: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def peek(self, count: int) -> NDArray[np.float64]:
        """Return the next `count` uniforms in `[0, 1)` without consuming them."""
        missing = count - len(self.ahead)
        if missing > 0:
            self.ahead = np.concatenate([self.ahead, self.generator.random(max(missing, _LEAST_AHEAD))])
        return self.ahead[:count]

    def take(self, count: int) -> NDArray[np.float64]:
        """Return the next `count` uniforms and consume them."""
        uniforms = self.peek(count)
        self.ahead = self.ahead[count:]
        return uniforms
