"""One end of a pipe: messages longer than a pipe holds, in both directions at once, and the end of the other end."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import pytest

from spanver.errors import ProtocolError
from spanver.subjects.channel import Channel

LONG = {"text": "x" * 2**20}  # a pipe holds 2^16 bytes


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel, list[int]]]:
    """The end that does not block, the other one, and the descriptors: of the first to read and to write, and so on."""
    first, second = os.pipe(), os.pipe()
    descriptors = [first[0], second[1], second[0], first[1]]
    os.set_blocking(descriptors[1], False)
    yield Channel(descriptors[0], descriptors[1], 2**22), Channel(descriptors[2], descriptors[3]), descriptors
    for each in descriptors:
        with contextlib.suppress(OSError):  # a test closed it
            os.close(each)


def test_both_ends_may_send_more_than_a_pipe_holds_at_once(ends: tuple[Channel, Channel, list[int]]) -> None:
    one, other, _ = ends
    heard = []

    def converse() -> None:
        other.send(LONG)
        heard.extend([other.receive(), other.receive()])

    conversation = threading.Thread(target=converse)
    conversation.start()
    one.write(one.form.encode(LONG) * 2, time.monotonic() + 20.0)
    assert one.receive(time.monotonic() + 20.0) == LONG
    conversation.join()
    assert heard == [LONG, LONG]


def test_who_sends_hears_that_the_other_end_sends_without_end(ends: tuple[Channel, Channel, list[int]]) -> None:
    one, _, descriptors = ends

    def send() -> None:
        with contextlib.suppress(BrokenPipeError):  # at the end, in the middle of its message
            os.write(descriptors[3], b"x" * 2**24)

    threading.Thread(target=send).start()
    with pytest.raises(ProtocolError, match="a message of more than 4194304 bytes"):
        one.write(b"x" * 2**24, time.monotonic() + 20.0)


def test_who_sends_hears_that_the_other_end_closed_its_output(ends: tuple[Channel, Channel, list[int]]) -> None:
    one, _, descriptors = ends
    os.close(descriptors[3])
    with pytest.raises(EOFError):
        one.write(b"x" * 2**20, time.monotonic() + 20.0)


def test_who_sends_gives_up_at_its_time(ends: tuple[Channel, Channel, list[int]]) -> None:
    with pytest.raises(TimeoutError):
        ends[0].write(b"x" * 2**20, time.monotonic() + 0.05)
