"""Settings of SpannerSampling and MTSS: those that theory derives, those of the paper, and practical ones by family.

Derived settings come from `(eps, delta, d, beta, B, R_max, C)` by the fixed point of mathematics.md, section 3
`[ours]`; they are proved and safe, and far from tight. The paper's are up to constants that it leaves open. Practical
settings are what runs use; they are always shown next to both, with the ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import overload

import numpy as np

from spanver.episodic import EpisodicLedger
from spanver.errors import ArgumentError
from spanver.exact.layered import log_conditional_coverage
from spanver.exact.layered import log_optimal_law as log_layered_optimum
from spanver.exact.tabular import log_coverage, log_optimal_law
from spanver.guarantees.parameters import Parameters, derived_parameters, paper_parameters
from spanver.learners.mtss import MTSSSettings
from spanver.learners.softmax_sampler import sampler_trials
from spanver.learners.spanner_sampling import Settings
from spanver.problems.catalogue import FAMILIES, layers_of
from spanver.problems.families.text import TextProblem
from spanver.problems.families.text_tokens import NAME as TEXT
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.validation import require, require_at_least, require_positive

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
def settings_for(problem: TokenProblem | LayeredMDP) -> MTSSSettings: ...
def settings_for(
    problem: TabularProblem | TextProblem | TokenProblem | LayeredMDP, *, coverage: float | None = None
) -> Settings | MTSSSettings:
    """Practical settings for a problem, those of its family: of SpannerSampling, of MTSS on layers.

    Parameters
    ----------
    problem : TabularProblem, TextProblem, TokenProblem or LayeredMDP
    coverage : float, optional
        That settings of SpannerSampling are for, at least 1; default: `known_coverage`.

    Raises
    ------
    ArgumentError
        If the coverage is below 1, or the problem is of no family.
    """
    if isinstance(problem, TokenProblem | LayeredMDP):
        return _mtss_settings(layers_of(problem))
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


def _mtss_settings(problem: LayeredMDP) -> MTSSSettings:
    """Each of what is ours keeps the guarantee, and costs a part of what is printed (mathematics.md, A4)."""
    is_text = problem.name == TEXT
    return MTSSSettings(
        iterations=400,
        # Of text the error of the linear model averages out over pairs, not over rollouts from one pair.
        regression_rollouts=2 if is_text else 16 if problem.noise == 0.0 else 96 * problem.horizon,
        span_rollouts=2,
        base_draws=4,
        multiplier=8.0 if is_text else 1.5 * conditional_coverage(problem),
        failure=0.2 if is_text else 0.1,
        ridge=0.3,
        nu=0.25 if is_text else 0.5,
        threshold=1.0,
        stop="first",
        refit="when_certain",
        add="pool",
        search="shared",
        # Any word may be rare in some place of a text, so none is an anchor everywhere.
        anchor="fresh" if is_text else "fixed",
        zero_scores="drawn",
        initial_rollouts=2048 if is_text else 64,
        anchor_rollouts=False,
    )


def conditional_coverage(problem: LayeredMDP) -> float:
    """`C_cond` of the optimum, exact."""
    return math.exp(log_conditional_coverage(problem, log_layered_optimum(problem)))


def paper_mtss_settings(problem: LayeredMDP, *, eps: float, constant: float = 1.0) -> MTSSSettings:
    """Settings of MTSS in the paper, up to its constant (FMR25, J.1.4, p. 83).

    The constant `c` stands for a power of logarithms that the paper leaves open, so that nothing is proved of these
    settings; `delta` enters through it alone. `B` is the larger of the problem's radius and `R_max`, as the paper asks.

    Parameters
    ----------
    problem : LayeredMDP
    eps : float
        Above 0 and at most `beta^2/4` (Theorem J.1).
    constant : float
        `c`, above 0.
    """
    require_positive("eps", eps)
    require_positive("constant", constant)
    most = problem.beta**2 / 4.0
    require(eps <= most, "eps", eps, f"at most beta^2/4 = {most:g}")
    horizon, radius = problem.horizon, max(problem.radius, problem.reward_range)
    coverage = conditional_coverage(problem)
    iterations = math.ceil(problem.dimension * horizon**2 * constant)
    per_eps = iterations * horizon**2 * radius**4 * constant / eps
    return MTSSSettings(
        iterations=iterations,
        regression_rollouts=math.ceil(problem.dimension * per_eps),
        span_rollouts=math.ceil(per_eps),
        base_draws=math.ceil(per_eps * horizon**2 * coverage),
        multiplier=max(1.0, per_eps * iterations * coverage**2),
        failure=min(0.5, eps / (horizon**2 * radius**3 * iterations * constant)),
        ridge=eps / (constant * radius**2),
        nu=0.5,
        reward_draws="once",
    )


def is_printed(settings: MTSSSettings) -> bool:
    """Whether these settings choose nothing that is ours. Any `stop`, `threshold` and `reward_draws` is the paper's."""
    ours = (settings.refit, settings.add, settings.search, settings.anchor, settings.zero_scores)
    chosen = ours == ("always", "largest", "separate", "fixed", "sampled")
    return chosen and settings.initial_rollouts is None and settings.anchor_rollouts


def most_of_printed_run(settings: MTSSSettings, *, horizon: int, rewarded: Sequence[bool]) -> EpisodicLedger:
    """What MTSS as printed asks if no iteration is left out: samples at most, everything else exactly.

    Its core-sets have `2(t-1)` pairs in iteration `t`. A call of the sampler asks one feature and `2N + 1` samples at
    most (R1), and more than half of them.

    Parameters
    ----------
    settings : MTSSSettings
        Of which the options that are ours are not read.
    horizon : int
    rewarded : sequence of H bool
        Which layers have rewards.
    """
    pairs = settings.iterations * (settings.iterations - 1)  # the sum of 2(t-1)
    begun = settings.span_rollouts * settings.iterations
    calls = transitions = resets = rewards = searched = 0
    for layer in range(horizon):
        rollouts = 2 * pairs * settings.regression_rollouts
        own = rollouts if settings.reward_draws == "every" else 2 * pairs
        resets += rollouts
        calls += rollouts * (horizon - 1 - layer)
        transitions += rollouts * (horizon - 1 - layer)
        rewards += rollouts * sum(rewarded[layer + 1 :]) + own * rewarded[layer]
        for first in range(layer + 1):
            started = settings.span_rollouts * pairs if first > 0 else begun
            resets += started if first > 0 else 0
            calls += started * (layer + 1 - first)
            transitions += started * (layer + 1 - first)
            searched += started
    samples = calls * (2 * sampler_trials(settings.multiplier, settings.failure) + 1) + searched * settings.base_draws
    return EpisodicLedger(samples, calls, rewards, transitions, resets)


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
