"""Where every random number comes from: one counter-based generator per (seed, stream, index).

A draw depends on what it is for - the stream's name, the index of the thing it serves, its position there - and never
on batch size, order or worker. The key of the Philox generator is a hash of seed and stream;
the index stands in the upper words of its counter, so that the indices of one stream never overlap.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from spanver.errors import require, require_count

__all__ = ["Tape", "derived_seed", "stream"]


def derived_seed(seed: int, name: str) -> int:
    """Return a seed for one part of a run; from one part's nobody can tell another's.

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
    return Generator(Philox(key=_key(int(seed), name), counter=np.array([0, 0, 0, index], dtype=np.uint64)))


@lru_cache(maxsize=1024)
def _key(seed: int, name: str) -> NDArray[np.uint64]:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


@dataclass(slots=True)
class Tape:
    """Uniform numbers of one generator that can be looked at before they are used up.

    Whoever draws until something happens reads ahead in blocks of any size and uses up only what was needed, so that
    the next draw is the same whatever the block size was.
    """

    generator: Generator
    _ahead: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def peek(self, count: int) -> NDArray[np.float64]:
        """Return the next `count` uniforms in `[0, 1)` without using them up."""
        missing = count - len(self._ahead)
        if missing > 0:
            self._ahead = np.concatenate([self._ahead, self.generator.random(missing)])
        return self._ahead[:count]

    def take(self, count: int) -> NDArray[np.float64]:
        """Return the next `count` uniforms and use them up."""
        uniforms = self.peek(count)
        self._ahead = self._ahead[count:]
        return uniforms
