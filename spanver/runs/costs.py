"""What `certify` finds about the answers that a run was charged for: S7, R1 and O1, of all learners but MTSS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import asdict
from typing import TypeAlias

import numpy as np

from spanver.episodic import EpisodicLedger
from spanver.guarantees.spanner import largest_rewards, spanner_size_bound
from spanver.oracle import ANSWERS, Ledger
from spanver.runs.baselines import BASELINES
from spanver.runs.plans import Plan
from spanver.runs.records import Record, Rounds, Sampled
from spanver.values import Outcome

Findings: TypeAlias = Generator[str, None, str]
"""Yields a sentence for every violation, and returns the sentence for when there is none."""


def agreeing(record: Record, *names: str) -> Iterator[str]:
    """Settings on which record and plan disagree."""
    for name in names:
        one, other = record.summary["settings"][name], getattr(record.plan.settings, name)
        if one != other:
            yield f"{name} is {one} in the settings and {other} in the plan"


def stating(record: Record, name: str, bound: int) -> Iterator[str]:
    """What is wrong with a bound that a record states."""
    stated = record.summary["bounds"][name]
    if stated != bound:
        yield f"the record states {stated} as the bound on {name}, but it is {bound}"


def spanner_cost(record: Record, did: Sampled) -> Findings:
    """S7: every prompt round tried as many pairs as its settings allow, until it accepted one."""
    spanner, plan = did.trace.spanner, record.plan
    accepted = np.zeros(len(spanner.tries), dtype=bool)
    accepted[spanner.rounds[(spanner.rounds >= 0) & (spanner.rounds < len(spanner.tries))]] = True
    if np.any(spanner.tries < 1):
        yield f"round {int(np.argmax(spanner.tries < 1))} tried {int(spanner.tries.min())} pairs"
    if plan.budget is None:
        yield from agreeing(record, "prompts", "pairs_per_prompt")
        limit = plan.settings.pairs_per_prompt
        if len(spanner.tries) != plan.settings.prompts:
            yield f"{len(spanner.tries)} prompt rounds, but the settings ask for {plan.settings.prompts}"
        if np.any(spanner.tries > limit):
            yield f"round {int(np.argmax(spanner.tries > limit))} tried more than T_span = {limit} pairs"
        early = ~accepted & (spanner.tries != limit)
        if np.any(early):
            yield f"round {int(np.argmax(early))} accepted nothing, yet stopped before T_span = {limit} pairs"
    tries = sum(spanner.tries.tolist())
    samples, rewards = plan.settings.searched(len(spanner.tries), tries), ANSWERS[plan.settings.feedback] * spanner.size
    return f"{samples} samples for {tries} pairs tried, {rewards} rewards"


def sampler_cost(record: Record, did: Sampled) -> Findings:
    """R1: every round of phase 2 cost one sample and a call of the sampler."""
    exploration, plan = did.trace.exploration, record.plan
    arguments = (record.summary["settings"][name] for name in ("rejection_multiplier", "rejection_failure"))
    fewest, most = _call(plan, *arguments)
    low, high = 1 + fewest, 1 + most
    if plan.budget is None:
        yield from agreeing(record, "rejection_multiplier", "rejection_failure")
    else:
        low = 2  # earlier stages ran with smaller multipliers
    drawn = Counter(outcome.value for outcome in exploration.outcomes)
    if record.summary["outcomes"] != {outcome.value: drawn[outcome.value] for outcome in Outcome}:
        yield f"the record states outcomes {record.summary['outcomes']}, but holds {dict(drawn)}"
    wrong = (exploration.samples < low) | (exploration.samples > high)
    if np.any(wrong):
        index = int(np.argmax(wrong))
        yield f"round {index} cost {int(exploration.samples[index])} samples, but it takes from {low} to {high}"
    return f"every round of phase 2 cost from {low} to {high} samples"


def ledger_sums(record: Record, did: Sampled) -> Findings:
    """O1: the ledger is the sum over all rounds."""
    spanner, exploration, ledger = did.trace.spanner, did.trace.exploration, record.ledger
    samples = record.plan.settings.searched(len(spanner.tries), sum(spanner.tries.tolist()))
    samples += sum(exploration.samples.tolist())
    rewards = ANSWERS[record.plan.settings.feedback] * (spanner.size + exploration.rounds)
    if record.plan.budget is not None and ledger.samples > record.plan.budget:
        yield f"the ledger states {ledger.samples} samples, above the budget of {record.plan.budget} (O3)"
    if record.plan.budget is None:
        yield from agreeing(record, "exploration_rounds")
        if exploration.rounds != record.plan.settings.exploration_rounds:
            yield f"{exploration.rounds} rounds of phase 2, not {record.plan.settings.exploration_rounds} as planned"
    yield from agreeing(record, "feedback", "anchor")
    yield from _adding_up(ledger, Ledger(samples, rewards))
    yield from _largest_costs(record, did)
    return f"{samples} samples and {rewards} rewards, the sums over all rounds"


def _largest_costs(record: Record, did: Sampled) -> Iterator[str]:
    """What is wrong with the bounds on samples and rewards that a record states (S1, S4, S7, R1)."""
    settings, budget, rounds = record.summary["settings"], record.plan.budget, did.trace.exploration.rounds
    _, call = _call(record.plan, settings["rejection_multiplier"], settings["rejection_failure"])
    prompts = len(did.trace.spanner.tries)
    samples = record.plan.settings.searched(prompts, prompts * settings["pairs_per_prompt"]) + rounds * (1 + call)
    yield from stating(record, "samples", samples if budget is None else min(samples, budget))
    size = spanner_size_bound(did.trace.spanner.dimension, settings["ridge"], settings["nu"])
    answers = ANSWERS[settings["feedback"]]
    yield from stating(record, "rewards", largest_rewards(size, len(did.trace.spanner.tries), rounds, answers))


def baseline_ledger(record: Record, did: Rounds) -> Findings:
    """O1: as many rounds as planned, and the answers that they take."""
    plan, problem = record.plan, record.summary["problem"]
    rounds = len(did.targets)
    if rounds != plan.settings.rounds:
        yield f"{rounds} rounds, but the settings ask for {plan.settings.rounds}"
    cost = asdict(
        BASELINES[plan.learner].cost(plan.settings, *(problem[each] for each in ("prompts", "responses", "dimension")))
    )
    for name, (fewest, most) in cost.items():
        yield from stating(record, name, most)
        stated = getattr(record.ledger, name)
        if not fewest <= stated <= most:
            yield f"the ledger states {stated} {name}, but {rounds} rounds take from {fewest} to {most}"
    ranges = ", ".join(f"{low}{f' to {high}' * (high > low)} {name}" for name, (low, high) in cost.items())
    return f"what {rounds} rounds take: {ranges}"


def _call(plan: Plan, multiplier: float, failure: float) -> tuple[int, int]:
    """Fewest and most samples of one call of a sampler."""
    return plan.sampler_spec.fewest(multiplier, failure), plan.sampler_spec.most(multiplier, failure)


def _adding_up(stated: Ledger | EpisodicLedger, summed: Ledger) -> Iterator[str]:
    for name, total in asdict(summed).items():
        if getattr(stated, name) != total:
            yield f"the ledger states {getattr(stated, name)} {name}, but the parts add up to {total}"
