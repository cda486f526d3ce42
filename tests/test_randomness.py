"""A draw depends on what it is for - seed, stream, index, position there - and on nothing else."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.random import Philox

from spanver.errors import ArgumentError
from spanver.randomness import UniformBuffer, invert, stream

WORD = 2**64
BLOCKS = 2**192  # of four words each, in the counters of one index


def philox(key: tuple[int, int], counter: int) -> tuple[int, ...]:
    """Philox4x64-10 of Salmon et al. (SC 2011), from their definition: four words of one counter."""
    x = [counter // WORD**position % WORD for position in range(4)]
    for turn in range(10):
        k = [(key[0] + turn * 0x9E3779B97F4A7C15) % WORD, (key[1] + turn * 0xBB67AE8584CAA73B) % WORD]
        first, second = x[0] * 0xD2E7470EE14C6C93, x[2] * 0xCA5A826395121157
        x = [second // WORD ^ x[1] ^ k[0], second % WORD, first // WORD ^ x[3] ^ k[1], first % WORD]
    return tuple(x)


def uniforms_by_definition(seed: int, name: str, index: int, count: int) -> list[float]:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    counters = (index * BLOCKS + block for block in itertools.count(1))  # the generator steps before it draws
    words = itertools.chain.from_iterable(philox(key, counter) for counter in counters)
    return [word // 2**11 / 2**53 for word in itertools.islice(words, count)]


@pytest.mark.parametrize("seed", [0, 7, 2**64 + 1, 10**40])
@pytest.mark.parametrize("name", ["prompt", "", "pairs/\u00fc"])
@pytest.mark.parametrize("index", [0, 3, 2**63, 2**64 - 1])
def test_a_stream_is_philox_keyed_by_seed_and_name_at_the_counter_of_its_index(
    seed: int, name: str, index: int
) -> None:
    assert stream(seed, name, index).random(11).tolist() == uniforms_by_definition(seed, name, index, 11)


def test_streams_differ_by_seed_by_name_and_by_index() -> None:
    seeds, names, indices = [0, 1, 11, 2**64, 2**64 + 1], ["x", "1/x", "X", "x ", ""], [0, 1, 2, 2**32, 2**64 - 1]
    first = {place: stream(*place).random() for place in itertools.product(seeds, names, indices)}
    assert len(set(first.values())) == len(seeds) * len(names) * len(indices)


def test_index_0_is_the_default_and_any_integer_type_is_the_same_seed() -> None:
    draw = stream(7, "x").random()
    assert draw == stream(7, "x", 0).random()
    assert draw == stream(np.int64(7), "x", np.uint8(0)).random()  # type: ignore[arg-type]


def counter_of(bits: Philox) -> int:
    state = bits.state["state"]
    assert isinstance(state, dict)
    return sum(int(word) * WORD**position for position, word in enumerate(state["counter"]))


@pytest.mark.parametrize("index", [0, 1, 12345, 2**64 - 1])
def test_the_counters_of_one_index_end_where_those_of_the_next_begin(index: int) -> None:
    bits = stream(5, "x", index).bit_generator
    assert isinstance(bits, Philox)
    assert counter_of(bits) == index * BLOCKS
    bits.advance(BLOCKS - 1)
    assert counter_of(bits) == (index + 1) * BLOCKS - 1
    generator = stream(5, "x", index)
    generator.random(4001)
    assert isinstance(generator.bit_generator, Philox)
    assert counter_of(generator.bit_generator) == index * BLOCKS + 1001


def test_long_draws_of_neighbouring_indices_have_no_number_in_common() -> None:
    draws = [stream(5, "x", index).random(20_000) for index in range(5)]
    assert len(np.unique(np.concatenate(draws))) == 100_000


PROGRAM = """
from spanver.randomness import UniformBuffer, stream
print(stream(7, "prompt", 3).random(5).tobytes().hex())
print(stream(10**30, "pairs").integers(1000, size=5).tolist())
print(UniformBuffer(stream(7, "uniforms")).take(5).tobytes().hex())
"""


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295"])
def test_another_process_draws_the_same(hash_seed: str) -> None:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert finished.stdout.splitlines() == [
        stream(7, "prompt", 3).random(5).tobytes().hex(),
        str(stream(10**30, "pairs").integers(1000, size=5).tolist()),
        stream(7, "uniforms").random(5).tobytes().hex(),
    ]


@pytest.mark.parametrize("index", [-1, 2**64, 2**70, 1.5, "1", None])
def test_an_index_that_is_none_of_the_counters_is_refused(index: int) -> None:
    with pytest.raises(ArgumentError, match="index is"):
        stream(7, "x", index)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
def test_a_seed_that_is_no_count_is_refused(seed: int) -> None:
    with pytest.raises(ArgumentError, match="seed is"):
        stream(seed, "x")


# ---------------------------------------------------------------------------------------------------------------------
# UniformBuffer.


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64, 1000])
def test_what_is_taken_does_not_depend_on_how_far_was_looked_ahead(block: int) -> None:
    expected = stream(1, "x").random(500)
    buffer = UniformBuffer(stream(1, "x"))
    taken: list[float] = []
    for used in [1, 5, 0, 13, 6] * 20:
        ahead = buffer.peek(max(block, used)).tolist()
        taken += buffer.take(used).tolist()
        assert ahead[:used] == taken[len(taken) - used :]
    assert taken == expected.tolist()


@pytest.mark.parametrize("sizes", [[1] * 60, [60], [0, 59, 1], [7, 0, 13, 40], [20, 20, 20]])
def test_block_sizes_do_not_change_the_numbers(sizes: list[int]) -> None:
    buffer = UniformBuffer(stream(2, "x"))
    blocks = [buffer.take(size) for size in sizes]
    assert [len(block) for block in blocks] == sizes
    assert np.concatenate(blocks).tolist() == stream(2, "x").random(60).tolist()


def test_looking_ahead_consumes_nothing() -> None:
    buffer = UniformBuffer(stream(3, "x"))
    expected = stream(3, "x").random(50).tolist()
    assert buffer.peek(50).tolist() == expected
    assert buffer.peek(3).tolist() == expected[:3]
    assert buffer.peek(0).tolist() == []
    assert buffer.take(10).tolist() == expected[:10]
    assert buffer.peek(40).tolist() == expected[10:]


def test_the_first_below_a_threshold_is_the_same_for_every_block_size() -> None:
    """What a buffer is for: read in blocks until something happens, and use up only what was needed."""

    def hits(block: int) -> list[int]:
        buffer = UniformBuffer(stream(4, "x"))
        waits = []
        for _ in range(40):
            tries = 0
            while True:
                below = np.flatnonzero(buffer.peek(block) < 0.03)
                if len(below) > 0:
                    waits.append(tries + int(below[0]) + 1)
                    buffer.take(int(below[0]) + 1)
                    break
                tries += block
                buffer.take(block)
        return waits

    one_by_one = hits(1)
    assert len(set(one_by_one)) > 10
    assert all(hits(block) == one_by_one for block in (2, 17, 64, 1000))


def test_buffers_share_nothing() -> None:
    first, second = UniformBuffer(stream(5, "x")), UniformBuffer(stream(5, "x"))
    first.peek(100)
    first.take(10)
    assert second.take(10).tolist() == stream(5, "x").random(10).tolist()


def test_inversion_never_draws_what_has_no_mass() -> None:
    cumulative = np.cumsum([0.0, 3.0, 0.0, 1.0, 0.0])
    edges = np.array([[0.0, 0.75 - 2.0**-53], [0.75, 1.0 - 2.0**-53]])
    assert invert(cumulative, edges).tolist() == [[1, 1], [3, 3]]
    assert int(invert(cumulative, 0.8)) == 3


def test_inversion_ends_where_the_total_is_reached_when_the_product_rounds_up_to_it() -> None:
    total, last = 3 * 2.0**-1074, 1.0 - 2.0**-53
    assert last * total == total  # the premise
    assert int(invert(np.array([2.0**-1074, total, total]), last)) == 1
