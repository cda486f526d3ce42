"""Plans: everything that decides a run, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spanver.errors import ArgumentError
from spanver.guarantees.sampler import race_samples, sampler_samples, sampler_trials
from spanver.learners.multi_turn import MultiTurnSettings
from spanver.learners.race_sampler import race_sample
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner_sampling import Settings, largest_cost
from spanver.policies import Sampler
from spanver.problems.families.text import TextProblem
from spanver.problems.families.text_tokens import NAME as TEXT
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.runs.baselines import BASELINES
from spanver.runs.settings import (
    derived_settings,
    known_coverage,
    practical_multi_turn_settings,
    practical_text_token_settings,
    settings_for,
)
from spanver.validation import require, require_count, require_positive, require_probability


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler by its name: the function, and fewest and most samples that one call takes (R1, R4).

    `fewest` and `most` are functions of multiplier and failure probability.
    """

    function: Sampler
    fewest: Callable[[float, float], int]
    most: Callable[[float, float], int]


def _fewest_softmax(multiplier: float, failure: float) -> int:
    return sampler_trials(multiplier, failure) + 1


SAMPLERS: Mapping[str, SamplerSpec] = {
    "softmax": SamplerSpec(softmax_sample, _fewest_softmax, sampler_samples),
    "race": SamplerSpec(race_sample, race_samples, race_samples),
}


def _require_sampler(name: str) -> None:
    require(name in SAMPLERS, "sampler", name, f"one of {', '.join(SAMPLERS)}")


@dataclass(frozen=True)
class Plan:
    """What a run is to do: enough to repeat it.

    Attributes
    ----------
    problem : str
        Family.
    parameters : dict
        Of the family, all of them.
    oracle : {"counted", "literal", "text"}
    sampler : {"softmax", "race"}
    seed : int
    settings : Settings
        Of the run; for a staged run, of its first stage.
    settings_kind : {"practical", "derived"}
        Where the settings come from.
    overrides : dict
        Settings that were given, by name.
    coverage : float
        Coverage that the settings are for.
    eps, delta : float
        Accuracy and failure probability of the derived settings.
    budget : int or None
        Samples of a staged run; None for a run whose coverage is given.
    """

    problem: str
    parameters: dict[str, Any]
    oracle: str
    sampler: str
    seed: int
    settings: Settings
    settings_kind: str
    overrides: dict[str, Any]
    coverage: float
    eps: float
    delta: float
    budget: int | None

    def __post_init__(self) -> None:
        _require_sampler(self.sampler)


@dataclass(frozen=True)
class TokenPlan:
    """What a multi-turn run is to do: enough to repeat it.

    Attributes
    ----------
    problem : str
        Family.
    parameters : dict
        Of the family, all of them.
    sampler : {"softmax", "race"}
    seed : int
    settings : MultiTurnSettings
    overrides : dict
        Settings that were given, by name.
    """

    problem: str
    parameters: dict[str, Any]
    sampler: str
    seed: int
    settings: MultiTurnSettings
    overrides: dict[str, Any]

    def __post_init__(self) -> None:
        _require_sampler(self.sampler)


@dataclass(frozen=True)
class BaselinePlan:
    """What a run of a baseline is to do: enough to repeat it.

    Attributes
    ----------
    learner : str
        A key of `BASELINES`.
    problem : str
        Family.
    parameters : dict
        Of the family, all of them.
    oracle : {"counted", "literal"}
    seed : int
    settings
        Of the class that the baseline states.
    overrides : dict
        Settings that were given, by name.
    """

    learner: str
    problem: str
    parameters: dict[str, Any]
    oracle: str
    seed: int
    settings: Any
    overrides: dict[str, Any]


def _oracle_named(name: str, allowed: tuple[str, ...], problem: str) -> str:
    require(name in allowed, "oracle", name, f"{' or '.join(allowed)} for problem {problem}")
    return name


def make_plan(
    problem: TabularProblem | TextProblem,
    *,
    seed: int,
    oracle: str | None = None,
    sampler: str | None = None,
    settings_kind: str = "practical",
    overrides: dict[str, Any] | None = None,
    coverage: float | None = None,
    eps: float = 0.1,
    delta: float = 0.1,
    budget: int | None = None,
) -> Plan:
    """Decide every parameter of a run.

    Parameters
    ----------
    problem : TabularProblem or TextProblem
    seed : int
    oracle : {"counted", "literal", "text"}, optional
        Default: counted for tables, text for text.
    sampler : {"softmax", "race"}, optional
        Default: softmax for tables, race for text, where every draw is expensive.
    settings_kind : {"practical", "derived"}
    overrides : dict, optional
        Settings that are given, by name.
    coverage : float, optional
        That the settings are for. Default: the exact coverage of the optimum on a table, `TEXT_COVERAGE` on text.
    eps, delta : float
        Of derived settings.
    budget : int, optional
        Samples of a staged run, which takes the coverage as unknown.

    Returns
    -------
    Plan
    """
    require_count("seed", seed, least=0)
    require_positive("eps", eps)
    require_probability("delta", delta)
    if budget is not None:
        require_count("budget", budget)
    is_text = isinstance(problem, TextProblem)
    allowed = ("text",) if is_text else ("counted", "literal")
    oracle = _oracle_named(oracle or allowed[0], allowed, problem.name)
    if coverage is None:
        coverage = 1.0 if budget is not None else known_coverage(problem)
    settings = _settings(problem, settings_kind, coverage, eps, delta / 2 if budget is not None else delta)
    return Plan(
        problem=problem.name,
        parameters=dict(problem.parameters),
        oracle=oracle,
        sampler=sampler or ("race" if is_text else "softmax"),
        seed=seed,
        settings=replace(settings, **(overrides or {})),
        settings_kind=settings_kind,
        overrides=dict(overrides or {}),
        coverage=coverage,
        eps=eps,
        delta=delta,
        budget=budget,
    )


def _settings(problem: TabularProblem | TextProblem, kind: str, coverage: float, eps: float, delta: float) -> Settings:
    if kind == "practical":
        return settings_for(problem, coverage=coverage)
    require(kind == "derived", "settings", kind, "practical or derived")
    return derived_settings(
        eps=eps,
        delta=delta,
        dimension=problem.dimension,
        beta=problem.beta,
        radius=problem.radius,
        reward_range=problem.reward_range,
        coverage=coverage,
    )


def stage_settings(problem: TabularProblem | TextProblem, plan: Plan) -> Callable[[float, float], Settings]:
    """Settings of the stages of a plan: as planned, except for what depends on coverage and failure probability."""

    def settings(coverage: float, delta: float) -> Settings:
        return replace(_settings(problem, plan.settings_kind, coverage, plan.eps, delta), **plan.overrides)

    return settings


def derived_alternative(problem: TabularProblem | TextProblem, plan: Plan) -> Settings | str:
    """Derived settings for the coverage of a plan, or the sentence that says why there are none."""
    try:
        delta = plan.delta if plan.budget is None else plan.delta / 2  # the first stage has half
        return _settings(problem, "derived", plan.coverage, plan.eps, delta)
    except ArgumentError as error:
        return f"no derived settings: {error}"


def planned_samples(plan: Plan) -> int:
    """Most samples that a plan asks for: its budget, or what its settings can cost."""
    if plan.budget is not None:
        return plan.budget
    return largest_samples(plan.sampler, plan.settings)


def largest_samples(sampler: str, settings: Settings) -> int:
    """Most samples that a run can draw with a sampler (S7, R1, R4)."""
    return largest_cost(settings, SAMPLERS[sampler].most)


def make_token_plan(
    problem: TokenProblem, *, seed: int, sampler: str | None = None, overrides: Mapping[str, Any]
) -> TokenPlan:
    """Decide every parameter of a multi-turn run.

    Parameters
    ----------
    problem : TokenProblem
        Of one of `TOKEN_FAMILIES`.
    seed : int
    sampler : {"softmax", "race"}, optional
        Default: softmax.
    overrides : mapping
        Settings that are given, by name; the others are practical.

    Returns
    -------
    TokenPlan
    """
    require_count("seed", seed, least=0)
    name = "text" if problem.name == TEXT else problem.name
    settings = replace(_practical(problem), **overrides)
    return TokenPlan(name, dict(problem.parameters), sampler or "softmax", seed, settings, dict(overrides))


def _practical(problem: TokenProblem) -> MultiTurnSettings:
    if problem.name == TEXT:
        return practical_text_token_settings(horizon=problem.horizon)
    return practical_multi_turn_settings(horizon=problem.horizon, kappa=float(problem.parameters["kappa"]))


def make_baseline_plan(
    learner: str, problem: TabularProblem, *, seed: int, oracle: str | None = None, overrides: Mapping[str, Any]
) -> BaselinePlan:
    """Decide every parameter of a run of a baseline.

    Parameters
    ----------
    learner : str
        A key of `BASELINES`.
    problem : TabularProblem
    seed : int
    oracle : {"counted", "literal"}, optional
        Default: counted.
    overrides : mapping
        Settings that are given, by name; the others are the baseline's own.

    Returns
    -------
    BaselinePlan
    """
    require(learner in BASELINES, "learner", learner, f"one of {', '.join(BASELINES)}")
    require_count("seed", seed, least=0)
    oracle = _oracle_named(oracle or "counted", ("counted", "literal"), problem.name)
    settings = BASELINES[learner].settings(**overrides)
    return BaselinePlan(learner, problem.name, dict(problem.parameters), oracle, seed, settings, dict(overrides))
