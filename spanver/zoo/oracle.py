"""Mutants of the oracles, their ledgers and their budgets: what O1 and O3 must kill.

Each is the reference's oracle behind `Altered`, which answers one query in place of the oracle. Mutants of what is
answered are in `oracle_answers`, those of counted searches in `oracle_searches`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spanver.errors import ArgumentError, BudgetExceededError
from spanver.oracle import Budget, Ledger
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray, IntArray, Responses, SearchResult, UncertainPairRule
from spanver.zoo.mutant import Mutant, mutants_of

Change = Callable[..., Any]


class Altered:
    """An oracle with other answers to some queries.

    Parameters
    ----------
    oracle : Oracle
        Answers all other queries.
    problem : TabularProblem
    changes : mapping
        By name of the query: a function of this object and of the query's arguments.
    seed : int
        Of answers that it draws itself.
    """

    def __init__(self, oracle: Any, problem: TabularProblem, changes: Mapping[str, Change], seed: int) -> None:
        self.oracle, self.problem, self._changes = oracle, problem, changes
        self.generator = np.random.default_rng(seed)
        self.uncounted_samples, self.uncounted_rewards = 0, 0
        self.memory: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        change = self._changes.get(name)
        return getattr(self.oracle, name) if change is None else partial(change, self)

    @property
    def ledger(self) -> Ledger:
        """The oracle's, without what was answered and not counted."""
        ledger = self.oracle.ledger
        return Ledger(
            ledger.samples - self.uncounted_samples, ledger.rewards - self.uncounted_rewards, ledger.enumerated
        )

    def forget(self, samples: int = 0, rewards: int = 0) -> None:
        """Leave answers out of the ledger, or, below zero, charge for what was not answered."""
        self.uncounted_samples += samples
        self.uncounted_rewards += rewards

    def base(self, prompt: Any) -> FloatArray:
        """Law of the base policy, shape (Y,)."""
        return np.asarray(np.exp(self.problem.log_base[int(prompt)]))

    def responses(self, prompt: Any, ids: Sequence[Any] | IntArray) -> Responses:
        """Responses with these ids."""
        return Responses(tuple(map(int, ids)), self.problem.features[int(prompt)][list(map(int, ids))])

    def number_of(self, law: FloatArray, index: int) -> float:
        """Number in [0, 1) by which an index is drawn from a law by inversion."""
        return float(law[:index].sum() + law[index] * self.generator.random())


def altered(
    factory: Callable[..., Any],
    problem: TabularProblem,
    *,
    seed: int,
    budget: Budget | None = None,
    budget_of: Callable[[Budget], Budget] = lambda budget: budget,
    **changes: Change,
) -> Altered:
    """Oracle of a factory with other answers to some queries, and perhaps on another budget."""
    given = None if budget is None else budget_of(budget)
    return Altered(factory(problem, seed=seed, budget=given), problem, changes, seed)


def _larger(by: int) -> Callable[[Budget], Budget]:
    return lambda budget: Budget(
        samples=None if budget.samples is None else max(0, budget.samples + by), rewards=budget.rewards
    )


def after(query: str, change: Callable[..., Any]) -> Change:
    """Change the oracle's answer, given this object, the answer and the query's arguments."""

    def answered(self: Altered, *arguments: Any, **named: Any) -> Any:
        return change(self, getattr(self.oracle, query)(*arguments, **named), *arguments)

    return answered


def _uncharged(query: str, samples: Callable[..., int] = lambda *_: 0, *, rewards: int = 0) -> Change:
    """Leave samples out of the ledger, as many as a function of the answer and the query's arguments says."""

    def answer(self: Altered, given: Any, *arguments: Any) -> Any:
        self.forget(samples(given, *arguments), rewards)
        return given

    return after(query, answer)


def _charged_when_refused(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    try:
        return self.oracle.sample(prompt, count, theta=theta)
    except ArgumentError:
        self.oracle.sample(self.oracle.prompt(), 1)
        raise


def _any_prompt(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    try:
        return self.oracle.sample(prompt, count, theta=theta)
    except ArgumentError:
        return self.oracle.sample(self.oracle.prompt(), max(1, count), theta=theta)


def _what_is_left(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    budget = self.oracle.budget.samples
    left = count if budget is None else budget - self.oracle.ledger.samples
    return self.oracle.sample(prompt, left if count > left > 0 else count, theta=theta)


def _plain_error(self: Altered, *arguments: Any, **named: Any) -> Any:
    try:
        return self.oracle.sample(*arguments, **named)
    except BudgetExceededError as error:
        raise RuntimeError("budget") from error


def _nothing_found(self: Altered, prompt: Any, rule: Any, limit: int) -> Any:
    try:
        return self.oracle.sample_until(prompt, rule, limit)
    except BudgetExceededError:
        return SearchResult(None, limit)


def _free_when_short(self: Altered, prompt: Any, rule: Any, limit: int) -> Any:
    before = self.oracle.ledger.samples
    try:
        return self.oracle.sample_until(prompt, rule, limit)
    except BudgetExceededError:
        self.forget(self.oracle.ledger.samples - before)
        raise


def _odd_one_too(self: Altered, prompt: Any, rule: Any, limit: int) -> Any:
    try:
        return self.oracle.sample_until(prompt, rule, limit)
    except BudgetExceededError:
        self.forget(self.oracle.ledger.samples - self.oracle.budget.samples)  # all that was left is charged
        raise


def _any_theta(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    if theta is not None:
        theta = theta * min(1.0, self.problem.radius / max(float(np.linalg.norm(theta)), 1e-300))
    return self.oracle.sample(prompt, count, theta=theta)


def _on_the_ball(problem: TabularProblem, **options: Any) -> Any:
    """A literal oracle that takes every set of parameters for the ball."""
    return literal_oracle(replace(problem, shape=Ball), **options)


LITERAL = mutants_of("literal_oracle", "oracle", partial(altered, literal_oracle))
"""Rows of mutants of the literal oracle."""

COUNTED = mutants_of("counted_oracle", "oracle", partial(altered, counted_oracle))
"""Rows of mutants of the counted oracle."""

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    COUNTED("accepted-only", "charges only accepted tries", "O1", sample_until=_uncharged("sample_until",
        lambda found, _, rule, __: (found.tries - (found.responses is not None)) * rule.samples_per_try)),
    COUNTED("pairs-as-one", "charges a pair as one sample", "O1", sample_until=_uncharged("sample_until",
        lambda found, _, rule, __: found.tries if isinstance(rule, UncertainPairRule) else 0)),
    COUNTED("counts-as-one", "charges draws that are counted as one", "O1",
        sample_counts=_uncharged("sample_counts", lambda _, __, count: count - 1)),
    COUNTED("distinct-only", "charges only distinct ones of the draws that are counted", "O1",
        sample_counts=_uncharged("sample_counts", lambda drawn, _, count: count - len(drawn.counts))),
    LITERAL("batch-as-one", "charges a batch as one sample", "O1",
        sample=_uncharged("sample", lambda _, __, count: count - 1)),
    COUNTED("free-labels", "charges nothing for preference labels", "O1", compare=_uncharged("compare", rewards=1)),
    LITERAL("charges-refused", "charges queries that were refused", "O1", sample=_charged_when_refused),
    LITERAL("any-prompt", "answers prompts that were never issued", "O1", sample=_any_prompt),
    LITERAL("any-theta", "pulls parameters outside the ball into it", "O1", sample=_any_theta),
    LITERAL("ball-for-box", "takes any parameter of the ball, whatever the shape", "O1", _on_the_ball),
    COUNTED("budget-plus-one", "lets the budget be exceeded by one", "O3", budget_of=_larger(1)),
    COUNTED("budget-less-one", "never issues the last sample of the budget", "O3", budget_of=_larger(-1)),
    COUNTED("no-budget", "ignores the budget", "O3", budget_of=lambda _: Budget()),
    LITERAL("what-is-left", "answers a query that does not fit the budget in part", "O3", sample=_what_is_left),
    LITERAL("plain-error", "raises an error of no particular type when the budget ends", "O3", sample=_plain_error),
    COUNTED("nothing-found", "reports that nothing was found when the budget ended a search", "O3",
        sample_until=_nothing_found),
    COUNTED("free-when-short", "charges nothing for a search that the budget ended", "O3",
        sample_until=_free_when_short),
    COUNTED("odd-one-too", "charges the odd sample that is no pair", "O3", sample_until=_odd_one_too),
    COUNTED("endless-rewards", "ignores the budget of rewards", "O3",
        budget_of=lambda budget: Budget(samples=budget.samples)),
)
"""Of `literal_oracle` and `counted_oracle`."""
