"""Settings of SpannerSampling: those that the theory derives, and practical ones, one row a family.

Derived settings come from `(eps, delta, d, beta, B, R_max, C)` by the fixed point of mathematics.md, section 3
`[recon]`; they are proved and safe, and far from tight. Practical settings are what runs use; they are always shown
next to the derived ones, with the ratio.
"""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np

from spanver.errors import ArgumentError
from spanver.exact.tabular import log_coverage, log_optimal_law
from spanver.guarantees.parameters import derived_parameters
from spanver.learners.multi_turn import MultiTurnSettings
from spanver.learners.spanner_sampling import Settings
from spanver.problems.catalogue import FAMILIES
from spanver.problems.families.text import TextProblem
from spanver.problems.family import ROOT_E
from spanver.problems.tabular import TabularProblem
from spanver.validation import require_at_least, require_count, require_positive

SETTING_NAMES = tuple(field.name for field in fields(Settings))

TEXT_COVERAGE = 16.0
"""Coverage that the practical settings of the text problem are made for; the true one is not known."""


def known_coverage(problem: TabularProblem | TextProblem) -> float:
    """Coverage of the optimum: exact on a table, `TEXT_COVERAGE` on text."""
    if isinstance(problem, TextProblem):
        return TEXT_COVERAGE
    return float(np.exp(log_coverage(problem, log_optimal_law(problem))[problem.prompt_law > 0].max()))


def settings_for(problem: TabularProblem | TextProblem, *, coverage: float | None = None) -> Settings:
    """Practical settings of SpannerSampling for a problem: those of its family.

    Parameters
    ----------
    problem : TabularProblem or TextProblem
        Of a family that has practical settings.
    coverage : float, optional
        That they are for, at least 1; default: `known_coverage`.

    Raises
    ------
    ArgumentError
        If the coverage is below 1, or the problem is of no family.
    """
    known = known_coverage(problem) if coverage is None else coverage
    return practical_settings(problem.name, coverage=known, radius=problem.radius, reward_range=problem.reward_range)


def practical_settings(family: str, *, coverage: float, radius: float, reward_range: float) -> Settings:
    """Practical settings of a family.

    Parameters
    ----------
    family : str
        A family that has practical settings.
    coverage : float
        `C`, known or assumed, at least 1.
    radius, reward_range : float
        `B` and `R_max`, which give `lambda`.
    """
    practical = {name: each.practical for name, each in FAMILIES.items()}.get(family)
    if practical is None:
        raise ArgumentError("family", family, f"one of {', '.join(FAMILIES)}")
    require_at_least("coverage", coverage, 1.0)
    return Settings(
        prompts=practical.prompts,
        pairs_per_prompt=math.ceil(practical.pairs_factor * coverage),
        nu=practical.nu,
        ridge=reward_range**2 / radius**2,
        exploration_rounds=practical.exploration_rounds,
        rejection_multiplier=practical.multiplier_factor * coverage,
        rejection_failure=practical.failure,
    )


def practical_multi_turn_settings(*, horizon: int, kappa: float) -> MultiTurnSettings:
    """Practical settings of multi-turn SpannerSampling (A4) on the family `tokens`.

    Parameters
    ----------
    horizon : int
        `H`. A longer sequence meets more prefixes, so warm start and test grow with it.
    kappa : float
        Above 0; the coverage of a token is `C_cond = 2/(1 + e^{-kappa})`.
    """
    require_count("horizon", horizon)
    require_positive("kappa", kappa)
    coverage = 2.0 / (1.0 + math.exp(-kappa))
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


def practical_text_token_settings(*, horizon: int) -> MultiTurnSettings:
    """Practical settings of multi-turn SpannerSampling (A4) on real text, word by word.

    The values of beginnings of sentences are not linear in the features, so what is left of every difference does not
    average out over rollouts from one pair, but over pairs: there are many pairs and few rollouts. Words are many, so
    that the coverage of a token is larger than in the family `tokens`.

    Parameters
    ----------
    horizon : int
        `H`.
    """
    require_count("horizon", horizon)
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


def derived_settings(
    *,
    eps: float,
    delta: float,
    dimension: int,
    beta: float,
    radius: float,
    reward_range: float,
    coverage: float,
) -> Settings:
    """Settings that the theory derives, for which `P(gap > eps) <= delta` is proved `[recon]`.

    Parameters
    ----------
    eps, delta : float
    dimension : int
    beta, radius, reward_range : float
        `beta` at most `reward_range`.
    coverage : float
        Upper bound on the coverage of the optimum.
    """
    derived = derived_parameters(
        eps=eps,
        delta=delta,
        dimension=dimension,
        beta=beta,
        radius=radius,
        reward_range=reward_range,
        coverage=coverage,
    )
    return Settings(**{name: getattr(derived, name) for name in SETTING_NAMES})
