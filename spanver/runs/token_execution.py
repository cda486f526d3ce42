"""Running multi-turn SpannerSampling (A4) on a token problem, from plan to record: what `spanver run` does with it.

Such a run takes seconds to a minute, and is done again rather than gone on with: the same plan gives the same record.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from spanver.exact import tokens as exact_tokens
from spanver.exact.realizability import realizability
from spanver.guarantees import spanner_size_bound
from spanver.learners.multi_turn import MultiTurnRun, multi_turn
from spanver.oracles import prefix_oracle
from spanver.policies import LinearSoftmax, TokenPolicy, sample_sequence
from spanver.problems.families.text_tokens import NAME as TEXT
from spanver.problems.families.text_tokens import sentence
from spanver.problems.tokens import TokenProblem
from spanver.randomness import derived_seed
from spanver.runs.archive import beside
from spanver.runs.plans import SAMPLERS, TokenPlan
from spanver.runs.token_records import save_token_record

__all__ = ["execute_tokens"]


SHOWN = 5  # sentences, before and after


def execute_tokens(plan: TokenPlan, path: Path, *, problem: TokenProblem) -> dict[str, Any]:
    """Carry out a plan, write its record, and return the content of its JSON file.

    Parameters
    ----------
    plan : TokenPlan
    path : Path
        Of the record.
    problem : TokenProblem
        The problem of the plan.

    Returns
    -------
    dict
    """
    began = time.monotonic()
    with threadpool_limits(1):  # sums must not depend on the machine's number of processors
        oracle = prefix_oracle(problem, seed=derived_seed(plan.seed, "oracle"))
        run = multi_turn(
            oracle,
            horizon=problem.horizon,
            settings=plan.settings,
            seed=derived_seed(plan.seed, "learner"),
            sampler=SAMPLERS[plan.sampler],
        )
        results = _results(plan, problem, run)
    summary = save_token_record(path, plan=plan, run=run, ledger=oracle.ledger, results=results)
    beside(path, ".times.log").write_text(f"seconds {time.monotonic() - began}\n")
    return summary


def _results(plan: TokenPlan, problem: TokenProblem, run: MultiTurnRun) -> dict[str, Any]:
    law, optimum = exact_tokens.log_token_law(problem, run.policy), exact_tokens.log_optimal_law(problem)
    size_bound = spanner_size_bound(problem.dimension, plan.settings.ridge, plan.settings.nu)
    reached = problem.prompt_law > 0
    return {
        "problem": {
            "name": problem.name,
            "horizon": problem.horizon,
            "dimension": problem.dimension,
            "vocabulary_size": problem.vocabulary_size,
            "beta": problem.beta,
            "radius": problem.radius,
            "reward_range": problem.reward_range,
            "coverage": float(np.exp(exact_tokens.log_coverage(problem, optimum)[reached].max())),
            "conditional_coverage": float(np.exp(exact_tokens.log_conditional_coverage(problem, optimum))),
            "realizable": [layer.share for layer in realizability(problem)],
        },
        "gap": exact_tokens.gap(problem, law),
        "base_gap": exact_tokens.gap(problem, problem.log_base),
        "bounds": {"spanner_size": size_bound, "sweeps": 1 + problem.horizon * size_bound},
        "sentences": _sentences(plan, problem, run) if problem.name == TEXT else None,
    }


def _sentences(plan: TokenPlan, problem: TokenProblem, run: MultiTurnRun) -> dict[str, list[str]]:
    """Samples of the base policy and of what was learned, from the same prompts; asked of an oracle of their own."""
    base = TokenPolicy(tuple(LinearSoftmax(np.zeros(problem.dimension)) for _ in range(problem.horizon)))
    drawn: dict[str, list[str]] = {}
    for name, policy in (("before", base), ("after", run.policy)):
        oracle = prefix_oracle(problem, seed=derived_seed(plan.seed, "sentences"))
        drawn[name] = [
            sentence(
                problem,
                sample_sequence(
                    policy,
                    oracle,
                    oracle.prompt(),
                    sampler=SAMPLERS[plan.sampler],
                    multiplier=plan.settings.rejection_multiplier,
                    failure=plan.settings.rejection_failure,
                    seed=derived_seed(plan.seed, f"sentence {index}"),
                ),
            )
            for index in range(SHOWN)
        ]
    return drawn
