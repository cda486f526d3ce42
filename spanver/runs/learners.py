"""Every learner that `spanver run` knows, by name: what it runs on, how a run is planned and carried out.

The command line reads all that differs between learners off this table: settings from the fields of the settings class,
further options from the arguments of `plan`. Baselines come from `BASELINES`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from spanver.problems.catalogue import FAMILIES, TOKEN_FAMILIES, parse_problem, parse_values
from spanver.problems.family import Family
from spanver.runs.baselines import BASELINES
from spanver.runs.execution import execute_baseline, execute_tokens, execution_steps
from spanver.runs.plans import SETTINGS, make_baseline_plan, make_plan, make_token_plan
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
    note : str
        What is shown below its settings where the theory derives none.
    reason : str
        Why it runs on no other families, where others of their kind do.
    resumable : bool
        Whether runs write checkpoints, and have a figure.
    """

    title: str
    families: Mapping[str, Family[Any]]
    plan: Callable[..., Any]
    execute: Callable[..., Any]
    note: str = "practical"
    reason: str = ""
    resumable: bool = False

    @property
    def options(self) -> frozenset[str]:
        """Names of the further options that a run of this learner has."""
        arguments = frozenset(inspect.signature(self.plan).parameters) - {"learner", "problem", "seed", "overrides"}
        return arguments | ({"figure", "resume"} if self.resumable else set())


_TABLES = {name: family for name, family in FAMILIES.items() if name != "text"}

LEARNERS: Mapping[str, Learner] = {
    "spanner_sampling": Learner("SpannerSampling", FAMILIES, make_plan, execution_steps, resumable=True),
    "multi_turn": Learner(
        "multi-turn SpannerSampling",
        TOKEN_FAMILIES,
        make_token_plan,
        execute_tokens,
        "practical, not proved safe: the details of A4 are ours",
    ),
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
