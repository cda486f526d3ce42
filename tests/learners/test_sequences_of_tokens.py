"""Runs for sequences on an oracle for tokens cost at most H times as many samples (FMR25, Corollary 5.1, p. 12)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from spanver.episodic import EpisodicOracle
from spanver.kernels import precision_norms
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.oracles.episodic import episodic_oracle
from spanver.oracles.metered import MeteredOracle, PromptStreams
from spanver.oracles.rejection import accepted
from spanver.oracles.table import Table
from spanver.problems.families.tokens import token_problem
from spanver.problems.tokens import TokenProblem, as_mdp, sequence_view
from spanver.values import Counts, FloatArray, Prompt, RejectionRule, Responses, Rule, SearchResult


class TokenByToken(Table):
    """A source of sequences that are drawn from an oracle for tokens, one token after another."""

    largest_count = 2**20

    def __init__(self, problem: TokenProblem, tokens: EpisodicOracle) -> None:
        super().__init__(sequence_view(problem), full_table=False, log_probabilities=False)
        self._tokens, self._vocabulary_size = tokens, problem.vocabulary_size
        while len(np.unique(tokens.start(8).ids)) < problem.prompts:  # so that the oracle may be asked of all prompts
            pass

    def sequences(self, prompt: Prompt, count: int) -> NDArray[np.int64]:
        """Draw sequences: their places among all of the prompt."""
        standing = self._tokens.reset(0, np.full(count, int(prompt)))
        places = np.zeros(count, dtype=np.int64)
        for layer in range(self._tokens.horizon):
            drawn = self._tokens.sample(standing, 1).actions[:, 0]
            places = places * self._vocabulary_size + drawn
            if layer + 1 < self._tokens.horizon:
                standing = self._tokens.step(standing, drawn)
        return places

    def draw(self, prompt: Prompt, count: int, streams: PromptStreams, theta: FloatArray | None) -> Responses:
        """Weak samples alone."""
        assert theta is None
        return self.responses(prompt, self.sequences(prompt, count))

    def draw_counts(self, prompt: Prompt, count: int, streams: PromptStreams) -> Counts:
        """Draw and count."""
        totals = Counter(self.sequences(prompt, count).tolist())
        return Counts(self.responses(prompt, np.array(list(totals))), np.array(list(totals.values())))

    def draw_until(self, prompt: Prompt, rule: Rule, limit: int, streams: PromptStreams) -> SearchResult:
        """Draw try after try."""
        features = self.problem.features[int(prompt)]
        for tries in range(1, limit + 1):
            places = self.sequences(prompt, rule.samples_per_try)
            if isinstance(rule, RejectionRule):
                hits = accepted(rule, self.facts.beta, features[places], streams)
            else:
                norms = precision_norms(rule.differences(features[places[None]]), rule.precision)
                hits = np.flatnonzero(norms > rule.nu)
            if len(hits) > 0:
                return SearchResult(self.responses(prompt, places), tries)
        return SearchResult(None, limit)


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_run_for_sequences_charges_h_times_as_many_tokens(horizon: int) -> None:
    problem = token_problem(3, horizon=horizon, prompts=2)
    tokens = episodic_oracle(as_mdp(problem), seed=1)
    source = TokenByToken(problem, tokens)
    oracle = MeteredOracle(source, source, seed=2)
    settings = Settings(
        prompts=6, pairs_per_prompt=8, nu=0.3, ridge=0.5, exploration_rounds=6, rejection_multiplier=4.0,
        rejection_failure=0.3,
    )  # fmt: skip
    run = spanner_sampling(oracle, settings=settings, seed=3)
    assert len(run.policy.thetas) == 6
    assert oracle.ledger.samples > 100
    assert tokens.ledger.samples == horizon * oracle.ledger.samples
