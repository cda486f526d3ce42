"""Every learner that `spanver run` knows, by name: what it runs on, how a run is planned and carried out.

The command line reads all that differs between learners off this table: settings from the fields of the settings class,
further options from the arguments of `plan`. Baselines come from `BASELINES`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.table import Table

from spanver.problems.catalogue import FAMILIES, LAYERED_FAMILIES, parse_problem, parse_values
from spanver.problems.family import Family
from spanver.runs.baselines import BASELINES
from spanver.runs.evaluation import EVALUATION_PROMPTS
from spanver.runs.execution import execute_baseline, execution_steps, mtss_steps
from spanver.runs.plans import SETTINGS, Plan, make_baseline_plan, make_mtss_plan, make_plan
from spanver.runs.report import layered_plan, practical_plan, sampling_plan
from spanver.validation import require, require_one_of


@dataclass(frozen=True)
class Learner:
    """A learner as a run knows it.

    Attributes
    ----------
    title : str
    families : mapping
        Problem families that it runs on, the default first.
    plan : callable
        `plan(problem, *, seed, overrides, **options)`.
    execute : callable
        `execute(plan, path, *, problem)`, which returns the content of the record; of a resumable learner
        `execution_steps`, or a function like it.
    announce : callable
        `announce(problem, plan)`: what is shown before a run.
    phases : callable or None
        `phases(plan)`: how many rounds each phase of a run has, None where it is not known; of resumable learners
        alone. Their runs write checkpoints, and have a figure.
    reason : str
        Why it runs on no other families, where others of their kind do.
    """

    title: str
    families: Mapping[str, Family[Any]]
    plan: Callable[..., Any]
    execute: Callable[..., Any]
    announce: Callable[[Any, Plan], Iterator[Table | str]] = practical_plan
    phases: Callable[[Plan], Mapping[str, int | None]] | None = None
    reason: str = ""

    @property
    def resumable(self) -> bool:
        """Whether runs write checkpoints, and have a figure."""
        return self.phases is not None

    @property
    def options(self) -> frozenset[str]:
        """Names of the further options that a run of this learner has."""
        arguments = frozenset(inspect.signature(self.plan).parameters) - {"learner", "problem", "seed", "overrides"}
        return arguments | ({"figure", "resume"} if self.resumable else set())


def _sampling_phases(plan: Plan) -> Mapping[str, int | None]:
    """Rounds of SpannerSampling; those of stages are not known."""
    settings = plan.settings
    spanner, exploration = (settings.prompts, settings.exploration_rounds) if plan.budget is None else (None, None)
    evaluation = EVALUATION_PROMPTS if plan.oracle == "text" else exploration
    return {"spanner": spanner, "exploration": exploration, "evaluation": evaluation}


def _mtss_phases(plan: Plan) -> Mapping[str, int | None]:
    """Iterations of MTSS; how many come before one that is certain is not known."""
    return {"MTSS": plan.settings.iterations if plan.settings.stop == "last" else None}


_TABLES = {name: family for name, family in FAMILIES.items() if name != "text"}

LEARNERS: Mapping[str, Learner] = {
    "spanner_sampling": Learner(
        "SpannerSampling", FAMILIES, make_plan, execution_steps, sampling_plan, phases=_sampling_phases
    ),
    "mtss": Learner("MTSS", LAYERED_FAMILIES, make_mtss_plan, mtss_steps, layered_plan, phases=_mtss_phases),
    **{
        name: Learner(
            row.title,
            {family: _TABLES[family] for family in row.families or _TABLES},
            partial(make_baseline_plan, name),
            execute_baseline,
            reason=row.reason,
        )
        for name, row in BASELINES.items()
    },
}


def learner_named(name: str) -> Learner:
    """Return a learner by its name.

    Raises
    ------
    ArgumentError
        If there is none of this name.
    """
    require_one_of("learner", name, LEARNERS)
    return LEARNERS[name]


def learner_for(problem: str | None) -> str:
    """Return the learner of a problem that none was named for: the first that runs on its family."""
    first: dict[str, str] = {}
    for name, row in LEARNERS.items():
        for family in row.families:
            first.setdefault(family, name)
    wanted = next(iter(first)) if problem is None else problem.partition(":")[0]
    require_one_of("problem", wanted, first)
    return first[wanted]


def parse_problem_of(learner: str, text: str | None) -> tuple[str, dict[str, Any]]:
    """Read a problem that a learner runs on, as `parse_problem` does; without a text the first family, at its defaults.

    Raises
    ------
    ArgumentError
        If the learner does not run on it, or as `parse_problem`.
    """
    families = LEARNERS[learner].families
    family = next(iter(families)) if text is None else text.partition(":")[0]
    able = [name for name, row in LEARNERS.items() if family in row.families]
    reason = f", as {LEARNERS[learner].reason}" if LEARNERS[learner].reason else ""
    require(learner in able or not able, "learner", learner, f"{' or '.join(able)} for problem {family}{reason}")
    return parse_problem(text or family, families)


def parse_settings(items: Iterable[str], learner: str) -> dict[str, Any]:
    """Read a learner's settings as the command line writes them, `name=value`, by the types of its settings' fields.

    Examples
    --------
    >>> parse_settings(["nu=0.3", "exploration_rounds=2**10"], "spanner_sampling")
    {'nu': 0.3, 'exploration_rounds': 1024}

    Raises
    ------
    ArgumentError
        For a setting that there is none of, or a value of the wrong type.
    """
    return parse_values(items, typing.get_type_hints(SETTINGS[learner]), "a setting")
