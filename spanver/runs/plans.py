"""Plans: everything that decides a run, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spanver.errors import ArgumentError
from spanver.guarantees.sampler import race_samples, sampler_samples, sampler_trials
from spanver.guarantees.spanner import largest_rewards, spanner_size_bound
from spanver.learners.mtss import MTSSSettings
from spanver.learners.race_sampler import race_sample
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner_sampling import Settings, largest_cost
from spanver.oracle import ANSWERS
from spanver.policies import Sampler
from spanver.problems.families.text import TextProblem
from spanver.problems.families.text_tokens import NAME as TEXT
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.runs.baselines import BASELINES
from spanver.runs.settings import derived_settings, known_coverage, paper_settings, settings_for
from spanver.validation import require, require_count, require_one_of, require_positive, require_probability


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


SETTINGS: Mapping[str, type[Any]] = {
    "spanner_sampling": Settings,
    "mtss": MTSSSettings,
    **{name: row.settings for name, row in BASELINES.items()},
}
"""Class of the settings of every learner that can be run, by the learner's name."""


@dataclass(frozen=True)
class Plan:
    """What a run is to do: enough to repeat it.

    Attributes
    ----------
    learner : str
        A key of `SETTINGS`.
    problem : str
        Family.
    parameters : dict
        Of the family, all of them.
    oracle : {"counted", "literal", "text"}
    sampler : {"softmax", "race"} or None
        Of SpannerSampling; None for other learners.
    seed : int
    settings : dataclass
        Of the run; for a staged run, of its first stage.
    overrides : dict
        Settings that were given, by name.
    settings_kind : {"practical", "derived", "paper"}
        Where the settings come from.
    coverage : float or None
        Coverage that the settings are for, where they are for one.
    eps, delta : float
        Accuracy and failure probability of derived settings.
    budget : int or None
        Samples of a staged run; None for every other.
    """

    learner: str
    problem: str
    parameters: dict[str, Any]
    oracle: str
    sampler: str | None
    seed: int
    settings: Any
    overrides: dict[str, Any]
    settings_kind: str = "practical"
    coverage: float | None = None
    eps: float = 0.1
    delta: float = 0.1
    budget: int | None = None

    def __post_init__(self) -> None:
        require_one_of("learner", self.learner, SETTINGS)
        allowed = tuple(SAMPLERS) if self.learner == "spanner_sampling" else (None,)
        require_one_of("sampler", self.sampler, allowed)
        require_count("seed", self.seed, least=0)

    @property
    def sampler_spec(self) -> SamplerSpec:
        """The sampler of a learner that has one."""
        assert self.sampler is not None
        return SAMPLERS[self.sampler]


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """Return the plan that was written as `dataclasses.asdict` has it."""
    return Plan(**{**data, "settings": SETTINGS[data["learner"]](**data["settings"])})


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
    """Decide every parameter of a run of SpannerSampling.

    Parameters
    ----------
    problem : TabularProblem or TextProblem
    seed : int
    oracle : {"counted", "literal", "text"}, optional
        Default: counted for tables, text for text.
    sampler : {"softmax", "race"}, optional
        Default: softmax for tables, race for text, where every draw is expensive.
    settings_kind : {"practical", "derived", "paper"}
    overrides : dict, optional
        Settings that are given, by name.
    coverage : float, optional
        That the settings are for. Default: the exact coverage of the optimum on a table, `TEXT_COVERAGE` on text.
    eps, delta : float
        Of derived settings.
    budget : int, optional
        Samples of a staged run, which takes the coverage as unknown.
    """
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
    settings = replace(settings, **(overrides or {}))
    proved = settings_kind == "practical" or settings.feedback == "reward"
    require(proved, "settings", settings_kind, f"practical for preferences: {_NO_THEORY}")
    return Plan(
        learner="spanner_sampling",
        problem=problem.name,
        parameters=dict(problem.parameters),
        oracle=oracle,
        sampler=sampler or ("race" if is_text else "softmax"),
        seed=seed,
        settings=settings,
        settings_kind=settings_kind,
        overrides=dict(overrides or {}),
        coverage=coverage,
        eps=eps,
        delta=delta,
        budget=budget,
    )


_NO_THEORY = "from preferences T_data may grow by e^R_max (FMR25 Section B.1, p. 28), with a constant that is not given"

THEORETICAL: Mapping[str, Callable[..., Settings]] = {"derived": derived_settings, "paper": paper_settings}
"""Kinds of settings that follow from accuracy, failure probability and coverage."""


def _settings(problem: TabularProblem | TextProblem, kind: str, coverage: float, eps: float, delta: float) -> Settings:
    if kind == "practical":
        return settings_for(problem, coverage=coverage)
    require_one_of("settings", kind, ("practical", *THEORETICAL))
    return THEORETICAL[kind](
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


def theoretical_settings(problem: TabularProblem | TextProblem, plan: Plan) -> dict[str, Settings] | str:
    """Derived settings and those of the paper for the coverage of a plan, or the sentence why there are none."""
    if plan.settings.feedback == "preference":
        return f"no settings by the theory: {_NO_THEORY}"
    try:
        delta = plan.delta if plan.budget is None else plan.delta / 2  # the first stage has half
        assert plan.coverage is not None
        found = {kind: _settings(problem, kind, plan.coverage, plan.eps, delta) for kind in THEORETICAL}
        return {kind: replace(settings, anchor=plan.settings.anchor) for kind, settings in found.items()}
    except ArgumentError as error:
        return f"no settings by the theory: {error}"


def largest_costs(settings: Settings, dimension: int, call: Callable[[float, float], int]) -> dict[str, int]:
    """Most samples and rewards that a run with these settings may ask for (S4, S7, R1, R4); `call` is the sampler's."""
    size = spanner_size_bound(dimension, settings.ridge, settings.nu)
    answers = ANSWERS[settings.feedback]
    rewards = largest_rewards(size, settings.prompts, settings.exploration_rounds, answers)
    return {"samples": largest_cost(settings, call), "rewards": rewards}


def planned_samples(plan: Plan) -> int:
    """Most samples that a plan asks for: its budget, or what its settings can cost (S7, R1, R4)."""
    return largest_cost(plan.settings, plan.sampler_spec.most) if plan.budget is None else plan.budget


def make_mtss_plan(
    problem: TokenProblem | LayeredMDP, *, seed: int, oracle: str | None = None, overrides: Mapping[str, Any]
) -> Plan:
    """Decide every parameter of a run of MTSS, as `make_plan` does."""
    return Plan(
        learner="mtss",
        problem="text" if problem.name == TEXT else problem.name,
        parameters=dict(problem.parameters),
        oracle=_oracle_named(oracle or "counted", ("counted", "literal"), problem.name),
        sampler=None,
        seed=seed,
        settings=replace(settings_for(problem), **overrides),
        overrides=dict(overrides),
    )


def make_baseline_plan(
    learner: str, problem: TabularProblem, *, seed: int, oracle: str | None = None, overrides: Mapping[str, Any]
) -> Plan:
    """Decide every parameter of a run of a baseline, a key of `BASELINES`, as `make_plan` does."""
    require_one_of("learner", learner, BASELINES)
    return Plan(
        learner=learner,
        problem=problem.name,
        parameters=dict(problem.parameters),
        oracle=_oracle_named(oracle or "counted", ("counted", "literal"), problem.name),
        sampler=None,
        seed=seed,
        settings=BASELINES[learner].settings(**overrides),
        overrides=dict(overrides),
    )
