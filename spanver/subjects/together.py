"""Many independent calls of a subject behind a pipe in one request: what takes time is the way there and back.

The calls take turns: each runs until it queries its oracle, and the queries of all travel together. That gives what one
call after another gives, unless the subject keeps something between its queries where another call finds it, such as a
module's generator. So the first calls of each function are made both ways, and only where outcomes, queries and ledgers
are the same to the bit do further calls travel together. Nobody is accused by calls that did:
`spanver.verification.search` repeats them one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from spanver.errors import ProtocolError, SpanverError, TimeLimitError
from spanver.subjects.contract import Call, Outcomes, result_of
from spanver.subjects.protocol import MSGPACK

TRIED = 4  # calls that are made both ways; what further ones violate together is repeated one by one
MOST = 64  # calls in one request
QUICK = 5.0  # seconds that a request is meant to take at most: it has the time limit of one call


class Together:
    """Makes many calls of a program.

    Parameters
    ----------
    run : callable
        `run(name, *arguments, **named)`: one call.
    run_together : callable
        `run_together(name, calls)`: functions that return or raise the outcomes of many.
    """

    def __init__(
        self, run: Callable[..., Any], run_together: Callable[[str, Sequence[Call]], list[Callable[[], Any]]]
    ) -> None:
        self._run, self._run_together = run, run_together
        self._same: dict[str, bool] = {}  # whether calls of a function may travel together
        self._size: dict[str, int] = {}  # how many were quick last time

    def __call__(self, name: str, make: Callable[[int], Call], count: int) -> Outcomes:
        """Yield each of many calls, with a function that returns or raises its outcome.

        Parameters
        ----------
        name : str
            Of the function.
        make : callable
            `make(index)`: a call with an oracle of its own, afresh each time.
        count : int
        """
        if name not in self._same and count >= TRIED:  # fewer show little
            self._same[name] = self._gives_the_same(name, make, TRIED)
        start = 0
        while start < count:
            size = self._size.get(name, 1)  # the first call shows how long one takes
            calls = [make(index) for index in range(start, min(count, start + size))]
            if not self._same.get(name, False):
                yield from ((call, partial(self._run, name, *call[0], **call[1])) for call in calls)
                start += len(calls)
                continue
            began = time.monotonic()
            try:
                outcomes = self._run_together(name, calls)
            except TimeLimitError:
                if len(calls) == 1:
                    raise
                self._same[name] = False  # they take longer than those before them: each has the time limit
                continue
            self._size[name] = max(1, min(MOST, int(QUICK * len(calls) / max(time.monotonic() - began, 1e-9))))
            yield from zip(calls, outcomes, strict=True)
            start += len(calls)

    def _gives_the_same(self, name: str, make: Callable[[int], Call], count: int) -> bool:
        alone, together = ([make(index) for index in range(count)] for _ in range(2))
        one = [_seen(name, call, partial(self._run, name, *call[0], **call[1])) for call in alone]
        try:
            other = [_seen(name, *each) for each in zip(together, self._run_together(name, together), strict=True)]
        except ProtocolError:
            return False
        return one == other


def _seen(name: str, call: Call, outcome: Callable[[], Any]) -> bytes:
    """Return the outcome of a call, what was charged and, where that is recorded, its queries, to be compared."""
    try:
        seen = {"result": result_of(name, outcome())}
    except ProtocolError:
        raise
    except SpanverError as error:
        seen = {"error": str(error)}
    given = (*call[0], *call[1].values())
    asked = {name: [getattr(each, name) for each in given if hasattr(each, name)] for name in ("ledger", "queries")}
    return MSGPACK.encode(seen | asked)
