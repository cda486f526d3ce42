"""Headline results: no learner beats the lower bound (T1)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import strategies as st

from spanver.guarantees import needle_output_ceiling
from spanver.learners.policies import sample_policy
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner_sampling import Settings
from spanver.oracles import counted_oracle
from spanver.problems.families import needle_problem
from spanver.verification.check import Check, Experiment, experiments
from spanver.verification.recording import RecordingOracle
from spanver.verification.rounds import rounds_of

RESPONSES, BETA = 256, 0.02  # coverage up to exp(1/(2 beta)) = 7e10


@pytest.mark.guarantee("T1", needs=["spanner_sampling"])
@experiments(log_coverage=st.integers(16, 30), dimension=st.integers(1, 8), rounds=st.integers(1, 3))
def test_no_learner_finds_the_needle_more_often_than_samples_and_guesses_allow(
    check: Check, log_coverage: int, dimension: int, rounds: int
) -> Experiment:
    """Met by a sample, named in a question for a reward, or guessed as the output; it has a new label in every run."""
    settings = Settings(
        prompts=2,
        pairs_per_prompt=4,
        nu=0.3,
        ridge=1.0,
        exploration_rounds=rounds,
        rejection_multiplier=2.0,
        rejection_failure=0.5,
    )
    # What such a run can ask for at most, its output included, decides the ceiling.
    most_samples = 2 * 2 * 4 + (rounds + 1) * 36
    ceiling = needle_output_ceiling(most_samples, 2 * (2 + rounds), RESPONSES, 2.0**-log_coverage)

    def observe(count: int, seed: int) -> Sequence[int]:
        found = []
        for index in range(count):
            problem = needle_problem(
                seed + index, responses=RESPONSES, dimension=dimension, beta=BETA, coverage=2.0**log_coverage
            )
            oracle = RecordingOracle(counted_oracle(problem, seed=check.seed(f"oracle/{seed}", index)))
            own = check.seed(f"learner/{seed}", index)
            policy = check.call("spanner_sampling", oracle, seed=own, settings=settings)
            output = sample_policy(
                policy,
                oracle,
                oracle.prompt(),
                sampler=softmax_sample,
                multiplier=2.0,
                failure=0.5,
                seed=check.seed(f"output/{seed}", index),
            )
            ledger = oracle.ledger
            assert ledger.samples <= most_samples, f"{ledger.samples} samples, the settings allow {most_samples}"
            assert ledger.rewards <= 2 * (2 + rounds), f"{ledger.rewards} rewards"
            needle = int(problem.reward[0].argmax())
            named = any(needle in each.seen or needle in dict(each.rewards) for each in rounds_of(oracle.asked))
            found.append(int(named or output.id == needle))
        return found

    return check.mean_experiment(observe, ceiling)
