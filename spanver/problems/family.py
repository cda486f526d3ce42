"""What a problem family is: a name, a function of a seed and of parameters, and settings that suit it."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
Problem = TypeVar("Problem")

ROOT_E = math.sqrt(math.e)


@dataclass(frozen=True)
class Practical:
    """Practical settings of SpannerSampling on a family, as plain numbers: problems do not know learners.

    Attributes
    ----------
    prompts : int
        `T_prompt`.
    pairs_factor : float
        `T_span / C`.
    nu : float
    exploration_rounds : int
        `T_exp`.
    multiplier_factor : float
        `M_rej / C`.
    failure : float
        `delta_rej`.
    """

    prompts: int
    pairs_factor: float
    nu: float
    exploration_rounds: int
    multiplier_factor: float
    failure: float


@dataclass(frozen=True)
class Family(Generic[Problem]):
    """A problem family, as the command line and run records name it.

    Attributes
    ----------
    name : str
    build : callable
        Makes a problem of a seed and of the family's parameters, which all have defaults.
    practical : Practical or None
        None where learners have settings of their own for it.
    """

    name: str
    build: Callable[..., Problem]
    practical: Practical | None = None


def family(name: str) -> Callable[[Callable[P, Problem]], Callable[P, Problem]]:
    """Make a function build problems that say their family and all of its parameters, enough to build them again."""

    def decorate(build: Callable[P, Problem]) -> Callable[P, Problem]:
        signature = inspect.signature(build)

        @wraps(build)
        def built(*arguments: P.args, **named: P.kwargs) -> Problem:
            bound = signature.bind(*arguments, **named)
            bound.apply_defaults()
            return _labelled(build(*arguments, **named), name=name, parameters=dict(bound.arguments))

        return built

    return decorate


def _labelled(problem: Problem, **labels: Any) -> Problem:
    # Not dataclasses.replace: arrays that were checked and normalised are not checked and normalised again.
    labelled = copy.copy(problem)
    for label, value in labels.items():
        object.__setattr__(labelled, label, value)
    return labelled
