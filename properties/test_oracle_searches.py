"""Counted oracles answer what stands for many draws by the law of drawing it (O2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from spanver.kernels import precision_norms
from spanver.learners.spanner import build_spanner
from spanver.oracle import Ledger, Oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing
from spanver.values import LinearScore, RejectionRule, UncertainPairRule
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment
from spanver.verification.search import experiments

from .drawn import SMALL, answers, base_of

TRIES = 3


def tries_of(oracle: Oracle, prompt: Any, rule: Any) -> int:
    found = oracle.sample_until(prompt, rule, TRIES)
    if found.responses is not None:
        assert 1 <= found.tries <= TRIES, f"a hit after {found.tries} tries of {TRIES}"
        return found.tries - 1
    assert found.tries == TRIES, f"{found.tries} tries of {TRIES} without a hit"
    return TRIES


def tries_law(check: Check, problem: TabularProblem, rule: Any, hit: float) -> Experiment:
    """Experiment: tries of a search are geometric up to TRIES; the last outcome is that none of them hit."""
    law = np.array([*(hit * (1.0 - hit) ** tries for tries in range(TRIES)), (1.0 - hit) ** TRIES])
    return check.law_experiment(
        answers(check, "counted_oracle", problem, lambda oracle, prompt: tries_of(oracle, prompt, rule)),
        law,
        of=f"tries of {searched(rule)}",
        outcomes=[*(f"accepted at try {tries + 1}" for tries in range(TRIES)), "none accepted"],
    )


def searched(rule: Any) -> str:
    """A search of a counted oracle, in words."""
    return f"sample_until(prompt, {type(rule).__name__}, {TRIES}) of counted_oracle"


def uncertain(problem: TabularProblem) -> tuple[UncertainPairRule, Any]:
    """A rule for pairs, and which ordered pairs it accepts, shape (Y, Y)."""
    rule = UncertainPairRule(np.eye(problem.dimension) / 0.7, 0.3)
    features = problem.features[0]
    norms = precision_norms(features[:, None, :] - features[None, :, :], rule.precision)
    return rule, np.asarray(norms) > rule.nu


def trial_of(problem: TabularProblem) -> tuple[RejectionRule, Any]:
    """A rule for trials, and the probability with which it accepts each response, shape (Y,)."""
    scores = problem.features[0] @ realizing(problem)
    rule = RejectionRule(LinearScore(realizing(problem)), float(np.median(scores)) / problem.beta + 0.5)
    return rule, np.exp(np.minimum(0.0, scores / problem.beta - rule.log_threshold))


@pytest.mark.guarantee("O2", needs=["counted_oracle"])
@experiments(problem=SMALL)
def test_counts_of_a_counted_oracle_have_the_law_of_many_draws(check: Check, problem: TabularProblem) -> Experiment:
    size, base = problem.responses, base_of(problem)
    pairs = [(one, two) for one in range(size) for two in range(one, size)]
    law = np.array([base[one] * base[two] * (1 if one == two else 2) for one, two in pairs])

    def drawn(oracle: Oracle, prompt: Any) -> int:
        counts = oracle.sample_counts(prompt, 2)
        ids = [int(each) for each, count in zip(counts.responses.ids, counts.counts, strict=True) for _ in range(count)]
        one, two = sorted(ids)
        return pairs.index((one, two))

    return check.law_experiment(
        answers(check, "counted_oracle", problem, drawn),
        law / law.sum(),
        of="responses of counted_oracle to sample_counts(prompt, 2)",
        outcomes=[f"{one} and {two}" for one, two in pairs],
    )


@pytest.mark.guarantee("O2", needs=["counted_oracle"])
@experiments(problem=SMALL)
def test_pairs_of_a_counted_oracle_take_as_many_tries_as_drawn_ones(
    check: Check, problem: TabularProblem
) -> Experiment:
    rule, hits = uncertain(problem)
    base = base_of(problem)
    return tries_law(check, problem, rule, float(base @ hits @ base))


@pytest.mark.guarantee("O2", needs=["counted_oracle"])
@experiments(problem=SMALL)
def test_accepted_pairs_of_a_counted_oracle_have_the_law_of_drawn_ones(
    check: Check, problem: TabularProblem
) -> Experiment:
    rule, hits = uncertain(problem)
    base = base_of(problem)
    masses = hits * np.outer(base, base)
    pairs = [(one, two) for one, two in product(range(problem.responses), repeat=2) if hits[one, two]]
    missed = float(1.0 - masses.sum()) ** TRIES
    law = [(1.0 - missed) * masses[pair] / masses.sum() for pair in pairs] + [missed]

    def pair_of(oracle: Oracle, prompt: Any) -> int:
        found = oracle.sample_until(prompt, rule, TRIES)
        if found.responses is None:
            return len(pairs)
        one, two = map(int, found.responses.ids)
        assert (one, two) in pairs, f"the pair {one}, {two} is not uncertain"
        return pairs.index((one, two))

    return check.law_experiment(
        answers(check, "counted_oracle", problem, pair_of),
        np.array(law),
        of=f"pair of {searched(rule)}",
        outcomes=[*(f"{one} and {two}" for one, two in pairs), "none accepted"],
    )


@pytest.mark.guarantee("O2", needs=["counted_oracle"])
@experiments(problem=SMALL)
def test_trials_of_a_counted_oracle_take_as_many_tries_as_drawn_ones(
    check: Check, problem: TabularProblem
) -> Experiment:
    rule, acceptance = trial_of(problem)
    return tries_law(check, problem, rule, float(base_of(problem) @ acceptance))


@pytest.mark.guarantee("O2", needs=["counted_oracle"])
@experiments(problem=SMALL)
def test_accepted_trials_of_a_counted_oracle_have_the_law_of_drawn_ones(
    check: Check, problem: TabularProblem
) -> Experiment:
    rule, acceptance = trial_of(problem)
    masses = base_of(problem) * acceptance
    missed = float(1.0 - masses.sum()) ** TRIES
    law = np.append((1.0 - missed) * masses / masses.sum(), missed)

    def response_of(oracle: Oracle, prompt: Any) -> int:
        found = oracle.sample_until(prompt, rule, TRIES)
        return problem.responses if found.responses is None else int(found.responses.ids[0])

    return check.law_experiment(
        answers(check, "counted_oracle", problem, response_of),
        law,
        of=f"response of {searched(rule)}",
        outcomes=[*(f"response {y}" for y in range(problem.responses)), "none accepted"],
    )


@pytest.mark.guarantee("O2", needs=["counted_oracle"])
@experiments(problem=SMALL)
def test_whole_phases_on_a_counted_oracle_accept_and_cost_what_drawn_ones_do(
    check: Check, problem: TabularProblem
) -> Experiment:
    """Two rounds of phase 1 with two pairs each: how many pairs are accepted, and after how many tries."""
    ridge, nu, base = 0.7, 0.3, base_of(problem)
    differences = problem.features[0][:, None, :] - problem.features[0][None, :, :]

    def masses_under(sigma: Any) -> Any:
        norms = precision_norms(differences, np.linalg.inv(sigma))
        return np.outer(base, base) * (np.asarray(norms) > nu)

    law: dict[tuple[int, int], float] = {}

    def add(sigma: Any, probability: float, rounds: int, accepted: int, tries: int) -> None:
        if rounds == 0:
            law[accepted, tries] = law.get((accepted, tries), 0.0) + probability
            return
        masses = masses_under(sigma)
        hit = min(1.0, float(masses.sum()))
        add(sigma, probability * (1 - hit) ** 2, rounds - 1, accepted, tries + 2)
        for one, two in np.argwhere(masses > 0):
            grown = sigma + np.outer(differences[one, two], differences[one, two])
            for more in (1, 2):
                chance = probability * masses[one, two] * (1 - hit) ** (more - 1)
                add(grown, chance, rounds - 1, accepted + 1, tries + more)

    add(ridge * np.eye(problem.dimension), 1.0, 2, 0, 0)
    outcomes = sorted(law)

    def observe(count: int, seed: int) -> Sequence[int]:
        oracle = check.call("counted_oracle", problem, seed=seed)
        seen = []
        for _ in range(count):
            before: Ledger = oracle.ledger
            spanner = build_spanner(oracle, prompts=2, pairs_per_prompt=2, nu=nu, ridge=ridge)
            outcome = (spanner.size, (oracle.ledger.samples - before.samples) // 2)
            assert outcome in outcomes, f"{outcome[0]} pairs after {outcome[1]} tries cannot be"
            seen.append(outcomes.index(outcome))
        return seen

    return check.law_experiment(
        observe,
        np.array([law[each] for each in outcomes]),
        of="phase 1 of two rounds with two pairs each on counted_oracle",
        outcomes=[f"{accepted} pairs accepted in {tries} tries" for accepted, tries in outcomes],
    )
