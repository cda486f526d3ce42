"""Recorded runs of the baselines (A3), and what their rounds drew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spanver.guarantees.rounding import difference_error
from spanver.oracle import Ledger
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.subjects.results import BaselineResult
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.transcript import GENEROUS_BUDGET, RecordingOracle, Round, rounds_of


@dataclass(frozen=True)
class RoundPair:
    """Pair of responses of one round, in the order of its relative feature.

    Attributes
    ----------
    prompt, one, two : int
    target : float
        Reward of the first less that of the second; for preferences 1 or -1.
    """

    prompt: int
    one: int
    two: int
    target: float


@dataclass(frozen=True)
class Learned:
    """A run: its record and its result."""

    result: BaselineResult
    rounds: list[Round]
    pairs: list[RoundPair]
    ledger: Ledger


def learn(check: Check, name: str, problem: TabularProblem, rounds: int, **plan: Any) -> Learned:
    """Run a learner of the subject on an oracle that can also list all responses."""
    oracle = RecordingOracle(
        literal_oracle(problem, seed=check.seed("oracle"), full_table=True, budget=GENEROUS_BUDGET)
    )
    result: BaselineResult = check.call(name, oracle, rounds=rounds, seed=check.seed("learner"), **plan)
    found = rounds_of(oracle.queries)
    assert len(found) == rounds, f"{len(found)} prompts were drawn in {rounds} rounds"
    assert len(result.targets) == rounds, f"{len(result.targets)} rounds are reported of {rounds}"
    labels = plan.get("feedback") == "preference"
    pairs = [
        pair_of(check.subject.unit, problem, each, vector, target, labels)
        for each, vector, target in zip(found, result.vectors, result.targets, strict=True)
    ]
    return Learned(result, found, pairs, oracle.ledger)


def pair_of(
    unit: float, problem: TabularProblem, played: Round, vector: FloatArray, target: float, labels: bool
) -> RoundPair:
    """Pair whose rewards or label were drawn, which is the pair that the run reports."""
    prompt = int(played.prompt)
    stray = played.elsewhere
    assert not stray, f"a query about prompt {stray[0].prompt} in a round on {prompt}"
    if labels:
        labelled = [entry for entry in played.queries if entry.name == "compare"]
        assert len(labelled) == 1, f"{len(labelled)} labels were drawn in a round"
        assert not played.rewards, "a learner from labels drew rewards"
        (one, two), value, off = map(int, labelled[0].arguments), 1.0 if labelled[0].answer else -1.0, 0.0
    else:
        assert len(played.rewards) == 2, f"{len(played.rewards)} rewards were drawn in a round"
        (one, first), (two, second) = ((int(each), reward) for each, reward in played.rewards)
        value, off = first - second, float(difference_error(unit, first, second))
    features = problem.features[prompt]
    for pair in (RoundPair(prompt, one, two, value), RoundPair(prompt, two, one, -value)):
        both = features[pair.one], features[pair.two]
        near = np.abs(vector - (both[0] - both[1])) <= difference_error(unit, *both)
        if near.all() and abs(target - pair.target) <= off:
            return pair
    raise AssertionError(f"vector {vector.tolist()} with target {target} is reported, the pair was {one} and {two}")


def draws(played: Round) -> list[tuple[FloatArray | None, int]]:
    """Responses of plain draws, each with the parameter of its policy: none for the base policy."""
    return [
        (theta if theta is not None and np.any(theta) else None, int(response))
        for entry in played.queries
        if entry.name == "sample"
        for theta in [entry.arguments[1]]
        for response in entry.answer.ids
    ]
