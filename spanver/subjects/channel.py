"""Messages over two file descriptors, one to read and one to write, at either end of a pipe."""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Mapping
from typing import Any

from spanver.errors import ProtocolError
from spanver.subjects.protocol import JSON, Form

_CHUNK = 1 << 16


class Channel:
    """One end of a pipe.

    Parameters
    ----------
    source, sink : int
        File descriptors.
    longest : float
        The most bytes of a message that is read.

    Attributes
    ----------
    form : Form
        Of messages in both directions: lines at first.
    """

    def __init__(self, source: int, sink: int, longest: float = math.inf) -> None:
        self.form: Form = JSON
        self._source, self._sink, self._longest = source, sink, longest
        self._unread = bytearray()
        self._readable, self._either = select.poll(), select.poll()
        self._readable.register(source, select.POLLIN)
        self._either.register(source, select.POLLIN)
        self._either.register(sink, select.POLLOUT)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; errors as of `write`."""
        self.write(self.form.encode(message))

    def write(self, unsent: bytes, until: float | None = None) -> None:
        """Send messages that are encoded, and read meanwhile what arrives: neither end waits for the other to read.

        Parameters
        ----------
        unsent : bytes
        until : float, optional
            Time of `time.monotonic` at which to give up.

        Raises
        ------
        TimeoutError
        EOFError, OSError
            If the other end is closed.
        ProtocolError
            If what arrives is too long.
        """
        while unsent:
            try:
                unsent = unsent[os.write(self._sink, unsent) :]
            except BlockingIOError:
                if self._source in _wait(self._either, until):
                    self._read()

    def receive(self, until: float | None = None) -> dict[str, Any]:
        """Return the next message.

        Raises
        ------
        ArgumentError
            If it is none.
        EOFError
            If the other end was closed.
        ProtocolError
            If it is too long.
        TimeoutError
        """
        while (bounds := self.form.bounds(self._unread)) is None:
            if until is not None:
                _wait(self._readable, until)
            self._read()
        start, end, following = bounds
        message = bytes(self._unread[start:end])
        del self._unread[:following]
        return self.form.decode(message)

    def _read(self) -> None:
        if len(self._unread) > self._longest:
            raise ProtocolError(f"a message of more than {self._longest} bytes", final=True)
        chunk = os.read(self._source, _CHUNK)
        if not chunk:
            raise EOFError
        self._unread += chunk

    def receive_all(self) -> list[dict[str, Any]]:
        """Return the messages that have arrived, at least one; errors as of `receive`."""
        messages = [self.receive()]
        while self.form.bounds(self._unread) is not None:
            messages.append(self.receive())
        return messages

    def has_more(self) -> bool:
        """Whether anything waits to be read: part of a message, or the end."""
        return bool(self._unread) or bool(self._readable.poll(0))


def _wait(ready: select.poll, until: float | None) -> list[int]:
    """Return the file descriptors that are ready."""
    left = None if until is None else max(0.0, 1000.0 * (until - time.monotonic()))
    found = [descriptor for descriptor, _ in ready.poll(left)]
    if not found:
        raise TimeoutError
    return found
