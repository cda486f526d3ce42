"""What the record of a run states besides plan, ledger and data: facts of the problem, exact gaps, and bounds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from spanver.episodic import EpisodicOracle
from spanver.exact import layered as exact_layers
from spanver.exact.certificates import gap_bound
from spanver.exact.realizability import realizability
from spanver.exact.tabular import gap, log_law
from spanver.guarantees.exploration import confidence_radius
from spanver.guarantees.spanner import largest_rewards, spanner_size_bound
from spanver.learners.mtss import MTSSRun, MTSSSettings, softmax_actions
from spanver.learners.rounds import BaselineRun
from spanver.learners.spanner_sampling import Run
from spanver.oracle import ANSWERS, Ledger
from spanver.oracles.episodic import episodic_oracle
from spanver.parameter_sets import shape_name
from spanver.policies import TruncatedSoftmax
from spanver.problems.catalogue import layers_of
from spanver.problems.families.text import TextProblem
from spanver.problems.families.text_tokens import NAME as TEXT
from spanver.problems.families.text_tokens import sentence
from spanver.problems.layered import LayeredMDP
from spanver.problems.tabular import TabularProblem
from spanver.problems.tokens import TokenProblem
from spanver.randomness import derived_seed
from spanver.runs.baselines import BASELINES
from spanver.runs.evaluation import Estimate, Evaluation
from spanver.runs.plans import Plan
from spanver.runs.records import stated_iterations
from spanver.runs.settings import is_printed, known_coverage, most_of_printed_run, paper_mtss_settings
from spanver.values import IntArray, Outcome

SHOWN = 5  # sentences, before and after


def _facts(problem: TabularProblem | TextProblem | LayeredMDP) -> dict[str, Any]:
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


def mtss_results(plan: Plan, problem: TokenProblem | LayeredMDP, run: MTSSRun) -> dict[str, Any]:
    """What the record of MTSS states next to plan, ledger and core-sets: problem, exact gap and its bound, costs."""
    layered, settings = layers_of(problem), plan.settings
    law, optimum = exact_layers.log_anchored_law(layered, run.policy), exact_layers.log_optimal_law(layered)
    possible, bound = layered.initial_law > 0.0, gap_bound(layered, run.policy)
    return {
        "problem": {
            **_facts(layered),
            **{name: getattr(layered, name) for name in ("horizon", "actions", "anchor")},
            "rewarded": list(layered.rewarded),
            "coverage": _exponential(exact_layers.log_coverage(layered, optimum)[possible].max()),
            "conditional_coverage": _exponential(exact_layers.log_conditional_coverage(layered, optimum)),
            "realizable": [layer.share for layer in realizability(layered)],
        },
        "certain": run.certain,
        "returned": run.returned,
        "gap": exact_layers.layered_gap(layered, law),
        "base_gap": exact_layers.layered_gap(layered, layered.log_base),
        "gap_bound": {name: getattr(bound, name).tolist() for name in ("divergence", "missed", "taken")},
        "bounds": mtss_bounds(settings, layered.dimension, layered.horizon, layered.rewarded),
        "paper": paper_cost(layered),
        "iterations": stated_iterations(run),
        "sentences": _sentences(plan, problem, layered, run) if problem.name == TEXT else None,
    }


def _exponential(log_value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(log_value))


def mtss_bounds(settings: MTSSSettings, dimension: int, horizon: int, rewarded: Sequence[bool]) -> dict[str, int]:
    """Bounds on what a run of MTSS holds and asks.

    Returns
    -------
    dict
        `uncertain_pairs`, the most of a layer that were above the threshold when they came (MT6), and where nothing of
        the settings is ours the most answers of each kind.
    """
    most = spanner_size_bound(dimension, settings.ridge, math.sqrt(settings.tolerance))
    printed = asdict(most_of_printed_run(settings, horizon=horizon, rewarded=rewarded)) if is_printed(settings) else {}
    return {"uncertain_pairs": most, **printed}


def paper_cost(problem: LayeredMDP) -> dict[str, Any]:
    """What the settings of the paper would ask for at the largest accuracy that they are for (FMR25, J.1.4, p. 83)."""
    eps = problem.beta**2 / 4.0
    settings = paper_mtss_settings(problem, eps=eps)
    return {
        "eps": eps,
        "ledger": asdict(most_of_printed_run(settings, horizon=problem.horizon, rewarded=problem.rewarded)),
    }


def _sentences(plan: Plan, problem: TokenProblem | LayeredMDP, layered: LayeredMDP, run: MTSSRun) -> dict[str, Any]:
    """Samples of the base policy and of what was learned, from the same prompts, drawn from an oracle of their own."""
    assert isinstance(problem, TokenProblem)
    drawn: dict[str, list[str]] = {}
    for name, factor in (("before", 0.0), ("after", 1.0)):
        oracle = episodic_oracle(layered, seed=derived_seed(plan.seed, "sentences"))
        policies = [replace(layer, theta=factor * layer.theta) for layer in run.policy.layers]
        sequences = _sequences(oracle, policies, plan.settings)
        drawn[name] = [sentence(problem, prompt, tokens) for prompt, *tokens in sequences.tolist()]
    return drawn


def _sequences(oracle: EpisodicOracle, policies: Sequence[TruncatedSoftmax], settings: MTSSSettings) -> IntArray:
    """Prompts and actions of `SHOWN` episodes, shape (n, H + 1)."""
    states = oracle.start(SHOWN)
    columns = [states.ids]
    for layer, policy in enumerate(policies):
        columns.append(softmax_actions(oracle, states, policy, settings).actions)
        if layer + 1 < len(policies):
            states = oracle.step(states, columns[-1])
    return np.stack(columns, axis=1)


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
