"""The baselines as `spanver run` runs them: settings with practical defaults, and how many answers a run asks for.

A row of `BASELINES` is all that a baseline needs to be run, recorded and certified: its function, which takes the
fields of its settings as keyword arguments.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from spanver.learners.best_of_n import best_of_n
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.exhaustive import exhaustive_search
from spanver.learners.online_dpo import online_dpo
from spanver.learners.passive import passive_learner
from spanver.learners.rounds import BaselineRun
from spanver.learners.xpo import xpo
from spanver.oracle import ANSWERS, Feedback, Oracle
from spanver.problems.tabular import TabularProblem
from spanver.validation import require_at_least, require_count, require_one_of, require_positive


def _require_fields(settings: Any) -> None:
    """Refuse counts below 1, and words that a setting does not know."""
    for name, hint in typing.get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if hint is int:
            require_count(name, value)
        if typing.get_origin(hint) is Literal:
            require_one_of(name, value, typing.get_args(hint))


@dataclass(frozen=True)
class PassiveSettings:
    """Settings of `passive_learner`: `rounds`, `T`."""

    rounds: int = 300

    def __post_init__(self) -> None:
        _require_fields(self)


@dataclass(frozen=True)
class OnlineDPOSettings:
    """Settings of `online_dpo`: `rounds`, `T`, and whether `feedback` is rewards or preferences."""

    rounds: int = 300
    feedback: Feedback = "reward"

    def __post_init__(self) -> None:
        _require_fields(self)


@dataclass(frozen=True)
class XPOSettings:
    """Settings of `xpo`.

    `partition="enumerate"` needs the full-table model and probabilities of the base policy; `"probabilities"` needs the
    generalised oracle.
    """

    rounds: int = 300
    alpha: float = 0.01
    feedback: Feedback = "reward"
    partition: Literal["sample", "enumerate", "probabilities"] = "sample"
    partition_samples: int = 256

    def __post_init__(self) -> None:
        _require_fields(self)
        require_at_least("alpha", self.alpha, 0.0)


@dataclass(frozen=True)
class EllipticalEnumerationSettings:
    """Settings of `elliptical_enumeration`: `rounds`, `T`, and `ridge`, `lambda`."""

    rounds: int = 100
    ridge: float = 1.0

    def __post_init__(self) -> None:
        _require_fields(self)
        require_positive("ridge", self.ridge)


@dataclass(frozen=True)
class BestOfNSettings:
    """Settings of `best_of_n`: `rounds`, `T`, and `count`, `N` responses drawn for one output."""

    rounds: int = 300
    count: int = 16

    def __post_init__(self) -> None:
        _require_fields(self)


@dataclass(frozen=True)
class ExhaustiveSettings:
    """Settings of `exhaustive_search`: `rounds`, `T`, and `draws` from each corner of the box."""

    rounds: int = 128
    draws: int = 256

    def __post_init__(self) -> None:
        _require_fields(self)


@dataclass(frozen=True)
class Cost:
    """Fewest and most answers of each kind that a run asks for."""

    samples: tuple[int, int]
    rewards: tuple[int, int]
    enumerated: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Baseline:
    """A baseline that can be run by its name.

    Attributes
    ----------
    title : str
    learner : callable
        `learner(oracle, *, seed, **settings)`.
    settings : type
        Its settings, a dataclass with a default for every field.
    cost : callable
        `cost(settings, prompts, responses, dimension)`: what it asks on a table with as many prompts, responses to each
        and features.
    full_table : callable
        Whether it needs, with the settings given, an oracle that lists all responses.
    generalised : callable
        Whether it needs, with the settings given, an oracle that tells probabilities.
    unfitted : callable
        Where its parameters do not minimise a loss of its data, which is convex, so that E6 cannot be checked: what is
        not certified instead, or else nothing.
    families : tuple of str
        That it runs on, if not on all tables.
    reason : str
        Why, after "as".
    """

    title: str
    learner: Callable[..., BaselineRun]
    settings: type
    cost: Callable[[Any, int, int, int], Cost]
    full_table: Callable[[Any], bool] = lambda settings: False
    generalised: Callable[[Any], bool] = lambda settings: False
    unfitted: Callable[[Any], str] = lambda settings: ""
    families: tuple[str, ...] = ()
    reason: str = ""


def learn(baseline: Baseline, oracle: Oracle, problem: TabularProblem, settings: Any, *, seed: int) -> BaselineRun:
    """Run a baseline. XPO that enumerates its partition is given the base policy's law, which no oracle answers."""
    given = asdict(settings)
    if given.get("partition") == "enumerate":
        given["log_base"] = lambda prompt: problem.log_base[prompt]
    return baseline.learner(oracle, seed=seed, **given)


def _pairs(settings: Any, prompts: int, responses: int, dimension: int) -> Cost:
    """Two samples a round, and two rewards or one label."""
    answers = ANSWERS[getattr(settings, "feedback", "reward")]
    return Cost((2 * settings.rounds,) * 2, (answers * settings.rounds,) * 2)


def _xpo_cost(settings: XPOSettings, prompts: int, responses: int, dimension: int) -> Cost:
    """Besides the pairs, every prompt that is met is listed or sampled once."""
    pairs, met = _pairs(settings, prompts, responses, dimension), min(prompts, settings.rounds)
    if settings.partition == "enumerate":
        return Cost(pairs.samples, pairs.rewards, (responses, met * responses))
    samples = pairs.samples[0]
    return Cost((samples + settings.partition_samples, samples + met * settings.partition_samples), pairs.rewards)


def _listed(settings: EllipticalEnumerationSettings, prompts: int, responses: int, dimension: int) -> Cost:
    return Cost((0, 0), (2 * settings.rounds,) * 2, (responses * settings.rounds,) * 2)


def _corners(settings: ExhaustiveSettings, prompts: int, responses: int, dimension: int) -> Cost:
    """Besides the pairs, draws from every corner of the box and from the base policy."""
    pairs = _pairs(settings, prompts, responses, dimension)
    return Cost((pairs.samples[0] + (2**dimension + 1) * settings.draws,) * 2, pairs.rewards)


BASELINES: Mapping[str, Baseline] = {
    "passive": Baseline("Passive learner", passive_learner, PassiveSettings, _pairs),
    "online_dpo": Baseline("OnlineDPO", online_dpo, OnlineDPOSettings, _pairs),
    "xpo": Baseline(
        "XPO",
        xpo,
        XPOSettings,
        _xpo_cost,
        lambda settings: settings.partition == "enumerate",
        lambda settings: settings.partition == "probabilities",
        lambda settings: "fits (their loss has a term of optimism)" if settings.alpha != 0.0 else "",
    ),
    "elliptical_enumeration": Baseline(
        "Elliptical enumeration", elliptical_enumeration, EllipticalEnumerationSettings, _listed, lambda settings: True
    ),
    "best_of_n": Baseline("Best-of-N", best_of_n, BestOfNSettings, _pairs),
    "exhaustive": Baseline(
        "Exhaustive search",
        exhaustive_search,
        ExhaustiveSettings,
        _corners,
        unfitted=lambda settings: "which corner promised most (draws without rewards are not in the record)",
        families=("max_k_dnf",),
        reason="exhaustive search tries the corners of a box at one prompt",
    ),
}
"""By the names that the command line knows; all of them run on tables."""
