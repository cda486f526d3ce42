"""The oracle of a token problem: the queries of any oracle, with a prefix in place of a prompt (A4).

Every prefix is a small table of tokens, so this is the counted oracle of the table of all prefixes: compressed queries
are answered from the exact distribution, at a cost that does not depend on the limit, and every token answer is
charged. Any prefix of an issued prompt may be queried.

Randomness: every prefix has buffers of its own after each time that its prompt was issued. So what a learner gets at a
prefix does not depend on its queries about others.
"""

from __future__ import annotations

from spanver.oracle import Budget, Ledger
from spanver.oracles.counted import CountedDraws
from spanver.oracles.metered import MeteredOracle, PromptStreams
from spanver.oracles.table import Table
from spanver.problems.tokens import TokenProblem
from spanver.randomness import derived_seed
from spanver.validation import require
from spanver.values import Counts, Prefix, Prompt, Responses, Rule, SearchResult


def prefix_oracle(problem: TokenProblem, *, seed: int, budget: Budget | None = None) -> MeteredPrefixOracle:
    """Oracle of a token problem.

    Parameters
    ----------
    problem : TokenProblem
    seed : int
        Of the oracle's randomness; the learner has its own.
    budget : Budget, optional
    """
    return MeteredPrefixOracle(problem, seed=seed, budget=budget)


class MeteredPrefixOracle:
    """A `PrefixOracle` over a token problem; see `prefix_oracle` for its parameters."""

    def __init__(self, problem: TokenProblem, *, seed: int, budget: Budget | None = None) -> None:
        self._visits: dict[Prompt, PromptStreams] = {}
        table = Table(problem.table)
        self._rows = MeteredOracle(table, CountedDraws(table), seed=seed, budget=budget, visits=self._visits)
        self.dimension, self.beta = self._rows.dimension, self._rows.beta
        self.radius, self.shape, self.reward_range = self._rows.radius, self._rows.shape, self._rows.reward_range
        self._seed = seed
        self._vocabulary_size, self._horizon = problem.vocabulary_size, problem.horizon
        self._offsets = [
            problem.prompts * sum(problem.vocabulary_size**k for k in range(h)) for h in range(problem.horizon)
        ]
        self._issued = 0
        self._latest: dict[Prompt, int] = {}  # when each prompt was last issued
        self._visited: dict[Prompt, list[int]] = {}  # rows with buffers, by prompt

    @property
    def ledger(self) -> Ledger:
        """Number of answers so far."""
        return self._rows.ledger

    @property
    def budget(self) -> Budget:
        """The most that will be answered."""
        return self._rows.budget

    def prompt(self) -> Prefix:
        """Draw `x ~ rho` and return the prefix without tokens; free."""
        prompt = self._rows.prompt()  # the roots are the first rows, in the order of the prompts
        for row in self._visited.pop(prompt, []):
            del self._visits[row]
        self._latest[prompt] = self._issued
        self._issued += 1
        return Prefix(prompt)

    def sample(self, prefix: Prefix, count: int) -> Responses:
        """Draw `a ~ pi_ref,h(.|s)` with `phi_h(s, a)`; `count` samples."""
        return self._rows.sample(self._row(prefix), count)

    def anchor(self, prefix: Prefix) -> Responses:
        """Return the anchor token of the prefix, alone; 1 sample."""
        return self._rows.anchor(self._row(prefix))

    def sample_counts(self, prefix: Prefix, count: int) -> Counts:
        """Draw `count` tokens and return the multiset; `count` samples."""
        return self._rows.sample_counts(self._row(prefix), count)

    def sample_until(self, prefix: Prefix, rule: Rule, limit: int) -> SearchResult:
        """Draw tokens until the rule accepts, at most `limit` tries; the samples of every try."""
        return self._rows.sample_until(self._row(prefix), rule, limit)

    def reward(self, sequence: Prefix) -> float:
        """Draw one noisy reward of a complete sequence, also of one that was only guessed; 1 reward."""
        is_complete = isinstance(sequence, Prefix) and len(sequence.tokens) == self._horizon
        require(is_complete, "sequence", sequence, f"a Prefix of {self._horizon} tokens")
        return self._rows.reward(self._row(Prefix(sequence.prompt, sequence.tokens[:-1])), sequence.tokens[-1])

    def _row(self, prefix: Prefix) -> int:
        """Row of a prefix in the table of all, which has buffers from then on."""
        is_known = isinstance(prefix, Prefix) and prefix.prompt in self._latest
        require(is_known, "prefix", prefix, "a Prefix whose prompt this oracle has issued")
        require(len(prefix.tokens) < self._horizon, "prefix", prefix, f"of fewer than {self._horizon} tokens")
        number = int(prefix.prompt)
        for token in prefix.tokens:
            is_token = type(token) is int and 0 <= token < self._vocabulary_size
            require(is_token, "prefix", prefix, "of ids of tokens of this problem")
            number = number * self._vocabulary_size + int(token)
        row = self._offsets[len(prefix.tokens)] + number
        if row not in self._visits:
            self._visits[row] = PromptStreams(derived_seed(self._seed, f"prefix {row}"), self._latest[prefix.prompt])
            self._visited.setdefault(prefix.prompt, []).append(row)
        return row
