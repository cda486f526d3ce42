"""Queries that stand for many draws are answered by the law of drawing them (O2), in both oracles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
from hypothesis import strategies as st

from spanver.oracle import Oracle
from spanver.problems.tabular import TabularProblem
from spanver.values import Counts, Rule, SearchResult, UncertainPairRule
from spanver.verification.check import Check, expect
from spanver.verification.experiment import Experiment, law_experiment
from spanver.verification.search import experiments

from . import oracle_laws as laws
from .drawn import IN_STEP, PROMPT, SMALL, Watch, answers, of_both_oracles, table_of, watched

LIMITS = st.sampled_from([2, 3, 32])


def counts_law(check: Check, factory: str, problem: TabularProblem) -> Experiment:
    pairs = laws.unordered(problem.responses)

    def drawn(counts: Counts) -> int:
        ids = [int(each) for each, count in zip(counts.responses.ids, counts.counts, strict=True) for _ in range(count)]
        one, two = sorted(ids)
        return pairs.index((one, two))

    return law_experiment(
        check,
        answers(check, factory, problem, lambda prompt: [methodcaller("sample_counts", prompt, 2)], drawn),
        laws.law_of_counts(problem),
        of=f"responses of {factory} to sample_counts(prompt, 2)",
        outcomes=[f"{one} and {two}" for one, two in pairs],
    )


(
    test_counts_of_a_literal_oracle_have_the_law_of_many_draws,
    test_counts_of_a_counted_oracle_have_the_law_of_many_draws,
) = of_both_oracles(
    "O2",
    experiments(problem=SMALL),
    counts_law,
    instances=[{"problem": table_of([0.5, 0.5], [1.0, 2.0])}, {"problem": table_of([0.5, 0.3, 0.2], [1.0, 2.0, 3.0])}],
    literal={"oracle-rounded-counts": laws.moved(laws.law_of_counts, laws.expected_counts)},
    counted={"oracle-expected-counts": laws.moved(laws.law_of_counts, laws.expected_counts)},
)


def search_by(rule: Rule, limit: int) -> Callable[[Any], Sequence[Callable[[Oracle], SearchResult]]]:
    """The query `sample_until` with these arguments."""
    return lambda prompt: [methodcaller("sample_until", prompt, rule, limit)]


def outcome(found: SearchResult, chosen: int, size: int, limit: int) -> int:
    """Index of what a search found: at the first try, later, or not."""
    if found.responses is None:
        assert found.tries == limit, f"{found.tries} tries of {limit} without a hit"
        return 2 * size
    assert 1 <= found.tries <= limit, f"a hit after {found.tries} tries of {limit}"
    return chosen + (size if found.tries > 1 else 0)


def outcomes_of(problem: TabularProblem) -> list[str]:
    """Names of the outcomes."""
    ways = product(("at the first try", "later"), range(problem.responses))
    return [*(f"response {chosen} {when}" for when, chosen in ways), "none"]


def first_of_pairs_law(check: Check, factory: str, problem: TabularProblem, limit: int) -> Experiment:
    """Number of tries and first response of an accepted pair, jointly."""
    rule, _ = laws.uncertain(problem)

    def first(found: SearchResult) -> int:
        chosen = 0 if found.responses is None else int(found.responses.ids[0])
        return outcome(found, chosen, problem.responses, limit)

    return law_experiment(
        check,
        answers(check, factory, problem, search_by(rule, limit), first),
        LAW_OF_FIRST(problem=problem, limit=limit),
        of=f"first response of the pair that sample_until of {factory} accepts in at most {limit} tries",
        outcomes=outcomes_of(problem),
    )


def pairs_law(check: Check, factory: str, problem: TabularProblem, limit: int) -> Experiment:
    """Accepted pairs, in their order."""
    rule, hits = laws.uncertain(problem)
    law = LAW_OF_PAIRS(problem=problem, limit=limit)
    possible = [*np.flatnonzero(hits).tolist(), hits.size]

    def pair(found: SearchResult) -> int:
        if found.responses is None:
            return len(possible) - 1
        one, two = map(int, found.responses.ids)
        expect(
            bool(hits[one, two]), f"pair that sample_until of {factory} accepted", (one, two), "one of norm above nu"
        )
        return possible.index(one * problem.responses + two)

    names = [f"{one} and {two}" for one, two in np.argwhere(hits).tolist()]
    return law_experiment(
        check,
        answers(check, factory, problem, search_by(rule, limit), pair),
        law[possible],
        of=f"pair that sample_until of {factory} accepts in at most {limit} tries",
        outcomes=[*names, "none"],
    )


LAW_OF_FIRST, LAW_OF_PAIRS = laws.by_first(laws.law_of_pairs), laws.by_pair(laws.law_of_pairs)
# Rare pairs and many tries: which response comes first shows whether tries depend on each other. Likelier pairs and two
# tries: the limit matters.
SEARCHES = [
    {"problem": table_of([0.95, 0.05], [1.0, 2.0]), "limit": 64},
    {"problem": table_of([0.7, 0.3], [1.0, 2.0]), "limit": 2},
    {"problem": table_of([0.8, 0.2], [1.0, 2.0]), "limit": 2},
    {"problem": table_of([0.02, 0.96, 0.02], [1.0, 2.0, 4.0]), "limit": 64},
]
(
    test_tries_and_first_responses_of_pairs_of_a_literal_oracle_have_the_law_of_draws,
    test_tries_and_first_responses_of_pairs_of_a_counted_oracle_have_the_law_of_draws,
) = of_both_oracles(
    "O2",
    experiments(problem=SMALL, limit=LIMITS),
    first_of_pairs_law,
    instances=SEARCHES,
    literal={"oracle-half-reused": laws.moved(LAW_OF_FIRST, laws.by_first(laws.half_reused))},
    counted={
        "oracle-one-try": laws.moved(LAW_OF_FIRST, laws.one_try(LAW_OF_FIRST)),
        "oracle-same-randomness": laws.stuck(LAW_OF_FIRST),
        "oracle-without-limit": laws.without_limit(LAW_OF_FIRST),
        "oracle-expected-tries": laws.moved(LAW_OF_FIRST, laws.expected_tries(LAW_OF_FIRST)),
        "oracle-always-within": laws.moved(LAW_OF_FIRST, laws.always_within(LAW_OF_FIRST)),
        "oracle-distinct-pairs": laws.moved(LAW_OF_FIRST, laws.by_first(laws.distinct_pairs)),
    },
)
(
    test_accepted_pairs_of_a_literal_oracle_have_the_law_of_drawn_ones,
    test_accepted_pairs_of_a_counted_oracle_have_the_law_of_drawn_ones,
) = of_both_oracles(
    "O2",
    experiments(problem=SMALL, limit=LIMITS),
    pairs_law,
    instances=SEARCHES,
    literal={"oracle-half-reused": laws.moved(LAW_OF_PAIRS, laws.by_pair(laws.half_reused))},
    counted={
        "oracle-longest": laws.moved(LAW_OF_PAIRS, laws.by_pair(laws.longest)),
        "oracle-each-pair-once": laws.moved(LAW_OF_PAIRS, laws.by_pair(laws.each_pair_once)),
        "oracle-any-partner": laws.moved(LAW_OF_PAIRS, laws.by_pair(laws.any_partner)),
    },
)


def trials_law(check: Check, factory: str, problem: TabularProblem, limit: int, margin: float) -> Experiment:
    """Number of tries and accepted response, jointly."""
    rule, _ = laws.trial_of(problem, margin)

    def accepted(found: SearchResult) -> int:
        chosen = 0 if found.responses is None else int(found.responses.ids[0])
        return outcome(found, chosen, problem.responses, limit)

    return law_experiment(
        check,
        answers(check, factory, problem, search_by(rule, limit), accepted),
        laws.law_of_trials(problem, limit, margin),
        of=f"response that sample_until of {factory} accepts in at most {limit} trials",
        outcomes=outcomes_of(problem),
    )


RARE = table_of([0.8, 0.2], [1.0, 50.0])
(
    test_tries_and_accepted_responses_of_a_literal_oracle_have_the_law_of_drawn_ones,
    test_tries_and_accepted_responses_of_a_counted_oracle_have_the_law_of_drawn_ones,
) = of_both_oracles(
    "O2",
    experiments(problem=SMALL, limit=LIMITS, margin=st.sampled_from([0.5, 0.0, 1.0])),
    trials_law,
    instances=[
        {"problem": table_of([0.5, 0.5], [1.0, 2.0]), "limit": 32, "margin": 1.0},
        {"problem": table_of([0.3, 0.7], [20.0, 1.0]), "limit": 8, "margin": 0.0},
        {"problem": RARE, "limit": 32, "margin": 1.0},
        {"problem": RARE, "limit": 2, "margin": -1.0},
    ],
    literal={"oracle-acceptance-by-response": laws.moved(laws.law_of_trials, laws.by_one_uniform)},
    counted={
        "oracle-one-try": laws.moved(laws.law_of_trials, laws.one_try(laws.law_of_trials)),
        "oracle-same-randomness": laws.stuck(laws.law_of_trials),
        "oracle-not-capped": laws.moved(laws.law_of_trials, laws.not_capped),
        "oracle-accepted-as-base": laws.moved(laws.law_of_trials, laws.accepted_as_base),
    },
)


LEDGER = attrgetter("ledger")


def phases_law(check: Check, factory: str, problem: TabularProblem, nu: float, ridge: float) -> Experiment:
    """Two rounds of phase 1 with two pairs each: how many pairs are accepted, after how many tries."""
    law = laws.law_of_phases(problem, nu, ridge)
    outcomes = sorted(law)

    def watch(count: int) -> Watch:
        prompt, before = yield [PROMPT, LEDGER]
        seen, tried = [], 0
        for _ in range(count):
            sigma, accepted, tries = ridge * np.eye(problem.dimension), 0, 0
            for _ in range(2):
                rule = UncertainPairRule(np.asarray(np.linalg.inv(sigma), dtype=np.float64), nu)
                result, prompt = yield [methodcaller("sample_until", prompt, rule, 2), PROMPT]
                tries += result.tries
                if result.responses is not None:
                    one, two = result.responses.features
                    sigma += np.outer(one - two, one - two)
                    accepted += 1
            expect((accepted, tries) in outcomes, "pairs accepted, and tries", (accepted, tries), f"one of {outcomes}")
            seen.append(outcomes.index((accepted, tries)))
            tried += tries
        (after,) = yield [LEDGER]
        paid = after.samples - before.samples
        assert paid == 2 * tried, f"{tried} tries of pairs were charged as {paid} samples"
        return seen

    return law_experiment(
        check,
        watched(check, factory, problem, watch, IN_STEP),
        np.array([law[each] for each in outcomes]),
        of=f"two rounds of phase 1 on {factory}",
        outcomes=[f"{accepted} pairs after {tries} tries" for accepted, tries in outcomes],
    )


(
    test_whole_phases_on_a_literal_oracle_accept_and_cost_what_drawn_ones_do,
    test_whole_phases_on_a_counted_oracle_accept_and_cost_what_drawn_ones_do,
) = of_both_oracles(
    "O2",
    experiments(problem=SMALL, nu=st.sampled_from([0.3, 1.0]), ridge=st.just(0.7)),
    phases_law,
    # After one accepted pair nothing is uncertain.
    instances=[{"problem": table_of(base, [1.0, 2.0]), "nu": 0.95, "ridge": 0.7} for base in ([0.5, 0.5], [0.6, 0.4])],
    literal={"oracle-stale-rule": laws.stale_phases},
    counted={"oracle-stale-masses": laws.stale_phases},
)
