"""What is queried, and not how, decides the answers of the literal oracle."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable

import numpy as np
import pytest
from laws import assert_law
from table_oracles import NO_PAIR, PRECISION, PROBLEM, RULE, TRIAL, at_both, at_prompt, pair_masses

from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.values import RejectionRule, UncertainPairRule


@pytest.mark.parametrize("batches", [[1] * 60, [60], [7, 1, 40, 12], [59, 1]])
def test_responses_one_by_one_are_those_in_batches(batches: list[int]) -> None:
    path = at_prompt(literal_oracle).sample(0, 60)
    oracle = at_prompt(literal_oracle)
    answers = [oracle.sample(0, count) for count in batches]
    assert tuple(itertools.chain(*(answer.ids for answer in answers))) == path.ids
    assert np.array_equal(np.concatenate([answer.features for answer in answers]), path.features)
    assert np.array_equal(path.features, PROBLEM.features[0][list(path.ids)])


def test_counts_are_those_of_the_same_draws_one_by_one() -> None:
    path = at_prompt(literal_oracle).sample(0, 300).ids
    oracle = at_prompt(literal_oracle)
    oracle.sample(0, 10)
    answer = oracle.sample_counts(0, 200)
    assert dict(zip(answer.responses.ids, answer.counts.tolist(), strict=True)) == Counter(path[10:210])
    assert np.array_equal(answer.responses.features, PROBLEM.features[0][list(answer.responses.ids)])
    assert oracle.sample(0, 90).ids == path[210:]


def rare_pairs() -> tuple[TabularProblem, UncertainPairRule]:
    """Forty responses, long ones rare: about one pair in 400 is uncertain, and there are many such pairs."""
    generator = np.random.default_rng(3)
    features = generator.uniform(-0.55, 0.55, size=(1, 40, 3))
    weights = np.exp(-7.0 * np.linalg.norm(features, axis=2))
    problem = TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log(weights / weights.sum()),
        features=features,
        reward=np.zeros((1, 40)),
        beta=0.1,
        radius=1.0,
    )
    return problem, UncertainPairRule(np.diag([1.0, 2.0, 0.5]), 1.3)


@pytest.mark.parametrize("limits", [[10**6], [1], [5, 300, 20], [16], [80, 81], [3000]])
def test_the_first_uncertain_pair_is_that_of_the_draws_one_by_one(limits: list[int]) -> None:
    problem, rule = rare_pairs()
    path = np.array(at_prompt(literal_oracle, problem=problem).sample(0, 20_000).ids).reshape(-1, 2)
    vectors = problem.features[0][path[:, 0]] - problem.features[0][path[:, 1]]
    hits = [t for t, v in enumerate(vectors) if math.sqrt(v @ rule.precision @ v) > rule.nu]
    assert 10 <= len(hits) <= 50
    assert max(np.diff(hits)) > 400  # some tries go far into blocks that are looked at together
    oracle, position, found = at_prompt(literal_oracle, problem=problem), 0, []
    for limit in itertools.cycle(limits):
        answer = oracle.sample_until(0, rule, limit)
        position += answer.tries
        assert oracle.ledger.samples == 2 * position
        if answer.responses is not None:
            found.append(position - 1)
            assert answer.responses.ids == tuple(path[position - 1].tolist())
            assert np.array_equal(answer.responses.features, problem.features[0][path[position - 1]])
        if len(found) == 5:
            break
    assert found == hits[:5]
    assert oracle.sample(0, 6).ids == tuple(path[position : position + 3].reshape(-1).tolist())


@pytest.mark.parametrize("limits", [[10**6], [1], [5, 300, 20], [17]])
def test_accepted_trials_do_not_depend_on_the_limits_of_their_queries(limits: list[int]) -> None:
    rule = RejectionRule(TRIAL.score, 6.0)
    path = at_prompt(literal_oracle).sample(0, 20_000).ids
    reference, whole = at_prompt(literal_oracle), []
    for _ in range(10):
        answer = reference.sample_until(0, rule, 10**6)
        assert answer.responses is not None
        whole.append((reference.ledger.samples, answer.responses.ids))
        assert answer.responses.ids == path[reference.ledger.samples - 1 : reference.ledger.samples]
    oracle, found = at_prompt(literal_oracle), []
    for limit in itertools.cycle(limits):
        answer = oracle.sample_until(0, rule, limit)
        if answer.responses is not None:
            found.append((oracle.ledger.samples, answer.responses.ids))
        if len(found) == 10:
            break
    assert found == whole
    assert reference.ledger.samples > 500  # rare enough that blocks grow


def test_rules_and_prompts_in_turn_never_see_what_is_stored_for_another() -> None:
    rules = [RULE, UncertainPairRule(PRECISION, 0.6), UncertainPairRule(4.0 * PRECISION, 1.1), RULE]
    path, oracle = at_both(literal_oracle, seed=8), at_both(literal_oracle, seed=8)
    pairs = {x: np.array(path.sample(x, 60_000).ids).reshape(-1, 2) for x in (0, 1)}
    position = {0: 0, 1: 0}
    for rule, prompt in itertools.product(rules * 3, (0, 1)):
        masses = pair_masses(PROBLEM, prompt, rule)
        for _ in range(3):
            # Tries that never hit, under another rule, and enough of them to be looked at in long blocks.
            assert oracle.sample_until(prompt, NO_PAIR, 400).responses is None
            position[prompt] += 400
            answer = oracle.sample_until(prompt, rule, 400)
            tried = pairs[prompt][position[prompt] : position[prompt] + 400]
            assert answer.tries == next(t for t, ids in enumerate(tried) if tuple(ids.tolist()) in masses) + 1
            position[prompt] += answer.tries


def test_long_blocks_of_literal_pairs_have_the_exact_law() -> None:
    problem, rule = rare_pairs()
    masses = pair_masses(problem, 0, rule)
    hit = math.fsum(masses.values())
    assert 1e-4 < hit < 1e-2
    oracle, counts = at_prompt(literal_oracle, problem=problem, seed=2), Counter[Hashable]()
    for _ in range(16_000):
        found = oracle.sample_until(0, rule, 10**6)
        assert found.responses is not None
        counts[found.responses.ids] += 1
    conditional: dict[Hashable, float] = {ids: mass / hit for ids, mass in masses.items()}
    assert_law(counts, conditional)
    # The mean number of tries is 1/p, and its standard deviation almost that too.
    assert oracle.ledger.samples / 2 / 16_000 == pytest.approx(1 / hit, rel=6 / math.sqrt(16_000), abs=0.0)
