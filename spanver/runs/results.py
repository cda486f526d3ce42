"""What the record of a run states besides plan, ledger and data: facts of the problem, exact gaps, and bounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from spanver.exact import layered as exact_layers
from spanver.exact.realizability import realizability
from spanver.exact.tabular import gap, log_law
from spanver.guarantees.exploration import confidence_radius
from spanver.guarantees.spanner import largest_rewards, spanner_size_bound
from spanver.learners.multi_turn import PHASES, MultiTurnRun
from spanver.learners.rounds import BaselineRun
from spanver.learners.spanner_sampling import Run
from spanver.oracle import ANSWERS, Ledger
from spanver.oracles.prefix import prefix_oracle
from spanver.parameter_sets import shape_name
from spanver.policies import LinearSoftmax, TokenPolicy, sample_sequence
from spanver.problems.families.text import TextProblem
from spanver.problems.families.text_tokens import NAME as TEXT
from spanver.problems.families.text_tokens import sentence
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.randomness import derived_seed
from spanver.runs.baselines import BASELINES
from spanver.runs.evaluation import Estimate, Evaluation
from spanver.runs.plans import Plan
from spanver.runs.settings import known_coverage
from spanver.values import Outcome

SHOWN = 5  # sentences, before and after


def _facts(problem: TabularProblem | TextProblem | TokenProblem) -> dict[str, Any]:
    names = ("name", "dimension", "beta", "radius", "reward_range")
    return {name: getattr(problem, name) for name in names} | {"shape": shape_name(problem.shape)}


def run_results(
    problem: TabularProblem | TextProblem,
    plan: Plan,
    run: Run,
    ledger: Ledger,
    evaluation: Evaluation,
    evaluation_ledger: Ledger,
) -> dict[str, Any]:
    """What the record of SpannerSampling states next to plan, ledger and trace: problem, evaluation and bounds."""
    outcomes = Counter(outcome.value for outcome in run.trace.exploration.outcomes)
    is_table = isinstance(problem, TabularProblem)
    return {
        "problem": _facts(problem) | {"coverage": known_coverage(problem) if is_table else None},
        "settings": asdict(run.settings),
        "spanner": {name: getattr(run.trace.spanner, name) for name in ("size", "dimension", "nu")},
        "coverage_reached": run.coverage,
        "gap": _estimate(evaluation.gap),
        "base_gap": evaluation.base_gap,
        "improvement": _estimate(evaluation.improvement),
        "evaluation": {
            "method": evaluation.method,
            "ledger": asdict(evaluation_ledger),
            "before": [asdict(sample) for sample in evaluation.before],
            "after": [asdict(sample) for sample in evaluation.after],
        },
        "outcomes": {outcome.value: outcomes[outcome.value] for outcome in Outcome},
        "bounds": bounds(problem, plan, run),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    """Plain data of an estimate; JSON has no NaN, so no interval is null."""
    return {name: None if np.isnan(value) else value for name, value in asdict(estimate).items()}


def bounds(problem: TabularProblem | TextProblem, plan: Plan, run: Run) -> dict[str, Any]:
    """Bounds on what a run may cost, and the premise of E8 and E9, from its settings and what it observed.

    Returns
    -------
    dict
        `samples` and `rewards` (S1, S4, S7, R1), `spanner_size` (S4), `score_error` (`nu max gamma_t`, E2) and its
        limit `beta`. E1, and so `score_error`, is about rewards: from preferences it is None.
    """
    settings, trace = run.settings, run.trace
    size_bound = spanner_size_bound(trace.spanner.dimension, settings.ridge, settings.nu)
    rounds = trace.exploration.rounds
    call = plan.sampler_spec.most(settings.rejection_multiplier, settings.rejection_failure)
    prompts = len(trace.spanner.tries)
    largest = settings.searched(prompts, prompts * settings.pairs_per_prompt) + rounds * (1 + call)
    data = np.concatenate([trace.spanner.vectors, trace.exploration.vectors])
    _, log_det = np.linalg.slogdet(settings.ridge * np.eye(trace.spanner.dimension) + data.T @ data)
    gamma = confidence_radius(
        ridge=settings.ridge,
        radius=problem.radius,
        reward_range=problem.reward_range,
        delta=plan.delta,
        log_det_ratio=float(log_det) - trace.spanner.dimension * float(np.log(settings.ridge)),
    )
    return {
        "samples": largest if plan.budget is None else min(largest, plan.budget),
        "rewards": largest_rewards(size_bound, len(trace.spanner.tries), rounds, ANSWERS[settings.feedback]),
        "spanner_size": size_bound,
        "score_error": settings.nu * gamma if settings.feedback == "reward" else None,
        "score_error_limit": problem.beta,
    }


def token_results(plan: Plan, problem: TokenProblem, run: MultiTurnRun) -> dict[str, Any]:
    """What the record of a multi-turn run states next to plan, ledger and layers: problem, exact gaps and bounds."""
    law, optimum = exact_layers.log_token_law(problem, run.policy), exact_layers.log_optimal_law(problem)
    size_bound = spanner_size_bound(problem.dimension, plan.settings.ridge, plan.settings.nu)
    reached = problem.prompt_law > 0
    return {
        "problem": {
            **_facts(problem),
            "horizon": problem.horizon,
            "vocabulary_size": problem.vocabulary_size,
            "coverage": float(np.exp(exact_layers.log_coverage(problem, optimum)[reached].max())),
            "conditional_coverage": float(np.exp(exact_layers.log_conditional_coverage(problem, optimum))),
            "realizable": [layer.share for layer in realizability(problem)],
        },
        "gap": exact_layers.layered_gap(problem, law),
        "base_gap": exact_layers.layered_gap(problem, problem.log_base),
        "bounds": {"spanner_size": size_bound, "sweeps": 1 + problem.horizon * size_bound},
        "phases": {phase: asdict(run.ledgers[phase]) for phase in PHASES},
        "spanner_sizes": list(run.spanner_sizes),
        "starts": list(run.starts),
        "sentences": _sentences(plan, problem, run) if problem.name == TEXT else None,
    }


def _sentences(plan: Plan, problem: TokenProblem, run: MultiTurnRun) -> dict[str, list[str]]:
    """Samples of the base policy and of what was learned, from the same prompts, drawn from an oracle of their own."""
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
                    sampler=plan.sampler_spec.function,
                    multiplier=plan.settings.rejection_multiplier,
                    failure=plan.settings.rejection_failure,
                    seed=derived_seed(plan.seed, f"sentence {index}"),
                ),
            )
            for index in range(SHOWN)
        ]
    return drawn


def baseline_results(plan: Plan, problem: TabularProblem, run: BaselineRun) -> dict[str, Any]:
    """What the record of a baseline states next to plan, ledger and rounds: problem, exact gaps and costs."""
    cost = BASELINES[plan.learner].cost(plan.settings, problem.prompts, problem.responses, problem.dimension)
    return {
        "problem": {
            **_facts(problem),
            "prompts": problem.prompts,
            "responses": problem.responses,
            "coverage": known_coverage(problem),
        },
        "gap": gap(problem, log_law(problem, run.policy)),
        "base_gap": gap(problem, problem.log_base),
        "bounds": {name: largest for name, (_, largest) in asdict(cost).items()},
    }
