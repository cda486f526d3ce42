"""A running program: messages in, messages out, standard error in a file; its process group ends with it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from spanver.errors import ArgumentError, HandshakeError, ProtocolError, TimeLimitError
from spanver.subjects.channel import Channel
from spanver.subjects.protocol import Form

LONGEST = 1 << 24  # bytes of a message


class Program:
    """A running program.

    Parameters
    ----------
    words : sequence of str
        The command.
    environment : mapping, optional
        Variables that differ from those of this process.

    Attributes
    ----------
    left : float
        Seconds that it may still take; those that it takes are subtracted.

    Raises
    ------
    HandshakeError
        If it does not start.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (read after the program has ended)
        try:
            self._process = subprocess.Popen(
                words,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise HandshakeError(f"{shlex.join(words)} did not start: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # No program outlives its subject, even if the subject is never closed.
        self._end = weakref.finalize(self, _kill_group, self._process)
        self._pipes = (self._process.stdin, self._process.stdout)
        os.set_blocking(self._process.stdin.fileno(), False)
        self._channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno(), LONGEST)
        self._complaint = ""
        self.allow(0.0)

    def allow(self, seconds: float) -> None:
        """Let it take so much of its own time from now on."""
        self.left = self._limit = seconds

    def use(self, form: Form) -> None:
        """Write and read messages of this form from now on."""
        self._channel.form = form

    def send(self, *messages: Mapping[str, Any]) -> None:
        """Send messages, in the time that is left.

        Raises
        ------
        ProtocolError
        """
        began = time.monotonic()
        try:
            self._channel.write(b"".join(map(self._channel.form.encode, messages)), began + self.left)
        except TimeoutError:
            raise TimeLimitError(f"its input was not read in {self._limit:g} s of its own time") from None
        except (EOFError, OSError):
            raise ProtocolError(self._ending()) from None
        self.left -= time.monotonic() - began

    def receive(self) -> dict[str, Any]:
        """Return its next message, in the time that is left.

        Raises
        ------
        ArgumentError
            If it is no message.
        ProtocolError
        """
        began = time.monotonic()
        try:
            message = self._channel.receive(began + self.left)
        except TimeoutError:
            raise TimeLimitError(f"it ran for more than {self._limit:g} s of its own time") from None
        except EOFError:
            raise ProtocolError(self._ending()) from None
        self.left -= time.monotonic() - began
        return message

    def require_silent(self) -> None:
        """Raise `ProtocolError` if it has sent something that nobody asked for, or has ended."""
        if self._channel.has_more():
            try:
                message = self._channel.receive(time.monotonic() + 1.0)
            except (EOFError, TimeoutError):
                raise ProtocolError(self._ending()) from None
            except ArgumentError as error:
                raise ProtocolError(f"a message after the result: {error}") from None
            raise ProtocolError(f"a message after the result: {str(message)[:60]}")

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1.0)
        code = self._process.poll()
        return "the program closed its output" if code is None else f"the program ended with exit code {code}"

    def kill(self) -> None:
        """End the program and its process group."""
        self._end()
        for pipe in self._pipes:
            pipe.close()
        if not self._errors.closed:
            self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, self._errors.tell() - 2000))
            self._complaint = self._errors.read().decode(errors="replace").strip()
            self._errors.close()

    def complaint(self) -> str:
        """Return the end of its standard error, once it was killed."""
        return f"; its standard error ends: {self._complaint}" if self._complaint else ""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
