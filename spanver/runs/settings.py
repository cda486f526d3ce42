"""Settings of SpannerSampling: those that the theory derives, those of the paper, and practical ones, one row a family.

Derived settings come from `(eps, delta, d, beta, B, R_max, C)` by the fixed point of mathematics.md, section 3
`[ours]`; they are proved and safe, and far from tight. The paper's are up to constants that it leaves open. Practical
settings are what runs use; they are always shown next to both, with the ratio.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import overload

import numpy as np

from spanver.errors import ArgumentError
from spanver.exact.tabular import log_coverage, log_optimal_law
from spanver.guarantees.parameters import Parameters, derived_parameters, paper_parameters
from spanver.learners.multi_turn import MultiTurnSettings
from spanver.learners.spanner_sampling import Settings
from spanver.problems.catalogue import FAMILIES
from spanver.problems.families.text import TextProblem
from spanver.problems.families.text_tokens import NAME as TEXT
from spanver.problems.families.tokens import NAME as TOKENS
from spanver.problems.family import ROOT_E
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.validation import require_at_least

TEXT_COVERAGE = 16.0
"""Coverage that the practical settings of the text problem are made for; the true one is not known."""


def known_coverage(problem: TabularProblem | TextProblem) -> float:
    """Coverage of the optimum: exact on a table, infinite beyond the largest float; `TEXT_COVERAGE` on text."""
    if isinstance(problem, TextProblem):
        return TEXT_COVERAGE
    with np.errstate(over="ignore"):
        return float(np.exp(log_coverage(problem, log_optimal_law(problem))[problem.prompt_law > 0].max()))


@overload
def settings_for(problem: TabularProblem | TextProblem, *, coverage: float | None = None) -> Settings: ...
@overload
def settings_for(problem: TokenProblem) -> MultiTurnSettings: ...
def settings_for(
    problem: TabularProblem | TextProblem | TokenProblem, *, coverage: float | None = None
) -> Settings | MultiTurnSettings:
    """Practical settings for a problem, those of its family: of SpannerSampling, and of MTSS on tokens.

    Parameters
    ----------
    problem : TabularProblem, TextProblem or TokenProblem
    coverage : float, optional
        That settings of SpannerSampling are for, at least 1; default: `known_coverage`.

    Raises
    ------
    ArgumentError
        If the coverage is below 1, or the problem is of no family.
    """
    if isinstance(problem, TokenProblem):
        return _multi_turn_settings(problem)
    practical = FAMILIES[problem.name].practical if problem.name in FAMILIES else None
    if practical is None:
        raise ArgumentError("the family of the problem", problem.name, f"one of {', '.join(FAMILIES)}")
    coverage = known_coverage(problem) if coverage is None else coverage
    require_at_least("coverage", coverage, 1.0)
    return Settings(
        prompts=practical.prompts,
        pairs_per_prompt=math.ceil(practical.pairs_factor * coverage),
        nu=practical.nu,
        ridge=problem.reward_range**2 / problem.radius**2,
        exploration_rounds=practical.exploration_rounds,
        rejection_multiplier=practical.multiplier_factor * coverage,
        rejection_failure=practical.failure,
    )


def _multi_turn_settings(problem: TokenProblem) -> MultiTurnSettings:
    """A longer sequence meets more prefixes, so warm start and test grow with the horizon."""
    horizon = problem.horizon
    if problem.name == TEXT:
        # The values of beginnings of sentences are not linear in the features. The error of the linear model averages
        # out over pairs, not over rollouts from one pair: so many pairs and few rollouts. Words are many, so that the
        # coverage of a token is larger than in the family `tokens`.
        return MultiTurnSettings(
            nu=0.5,
            ridge=0.3,
            rollouts=4,
            pairs_per_prefix=24,
            tests=10 * horizon,
            prompts=700 * horizon,
            rejection_multiplier=8.0,
            rejection_failure=0.2,
            partition_samples=64,
        )
    if problem.name != TOKENS:
        raise ArgumentError("the family of the problem", problem.name, f"{TOKENS} or {TEXT}")
    coverage = 2.0 / (1.0 + math.exp(-float(problem.parameters["kappa"])))  # C_cond
    return MultiTurnSettings(
        nu=0.3,
        ridge=1.0,
        rollouts=16,
        pairs_per_prefix=math.ceil(2.0 * ROOT_E * coverage),
        tests=25 * horizon,
        prompts=200 * horizon,
        rejection_multiplier=1.5 * coverage,
        rejection_failure=0.1,
        partition_samples=16,
    )


def derived_settings(
    *, eps: float, delta: float, dimension: int, beta: float, radius: float, reward_range: float, coverage: float
) -> Settings:
    """Settings that the theory derives, for which `P(gap > eps) <= delta` is proved `[ours]`.

    Parameters
    ----------
    eps, delta : float
    dimension : int
    beta, radius, reward_range : float
        `beta` at most `reward_range`.
    coverage : float
        Upper bound on the coverage of the optimum.
    """
    return _as_settings(derived_parameters(eps, delta, dimension, beta, radius, reward_range, coverage))


def paper_settings(
    *,
    eps: float,
    delta: float,
    dimension: int,
    beta: float,
    radius: float,
    reward_range: float,
    coverage: float,
    constant: float = 1.0,
) -> Settings:
    """Settings of the paper, up to constants that it leaves open (FMR25 Algorithm 3, p. 44, and G.4.2, pp. 54-58).

    Parameters
    ----------
    eps, delta, dimension, beta, radius, reward_range, coverage
        As of `derived_settings`.
    constant : float
        `c` of `eps_stat`. The other constants are 1, so that nothing is proved of these settings.
    """
    return _as_settings(paper_parameters(eps, delta, dimension, beta, radius, reward_range, coverage, constant))


def _as_settings(parameters: Parameters) -> Settings:
    names = {field.name for field in fields(Settings)} & {field.name for field in fields(parameters)}
    return Settings(**{name: getattr(parameters, name) for name in names})
