"""From a learner that yields its state after every round to the function that runs all rounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
State = TypeVar("State")
Result = TypeVar("Result")


def last(states: Iterator[State]) -> State:
    """Run all rounds, and return the last state."""
    (state,) = deque(states, maxlen=1)
    return state


def completed(
    name: str, rounds: Callable[Parameters, Iterator[State]], result: Callable[[State], Result]
) -> Callable[Parameters, Result]:
    """Return the function `name` of the parameters of `rounds` that runs all rounds and returns the last result."""

    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return result(last(rounds(*args, **kwargs)))

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"The result of the last of `{rounds.__name__}`, with its parameters."
    return run
