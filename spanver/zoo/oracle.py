"""Mutants of the oracles, their ledgers, budgets, distributions and noise: what O1-O3 must kill.

Each is the reference's oracle behind `Altered`, which answers one query in place of the oracle; those of counted
searches are in `oracle_searches`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spanver.errors import ArgumentError, BudgetExceededError
from spanver.oracle import Budget, Ledger
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.values import Counts, Responses, SearchResult, UncertainPairRule, identity_of
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
    """

    def __init__(self, oracle: Any, problem: TabularProblem, changes: Mapping[str, Change]) -> None:
        self.oracle, self.problem, self._changes = oracle, problem, changes
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


def _altered(
    factory: Callable[..., Any],
    problem: TabularProblem,
    *,
    seed: int,
    budget: Budget | None = None,
    budget_of: Callable[[Budget], Budget] = lambda budget: budget,
    **changes: Change,
) -> Altered:
    given = None if budget is None else budget_of(budget)
    return Altered(factory(problem, seed=seed, budget=given), problem, changes)


def _larger(by: int) -> Callable[[Budget], Budget]:
    return lambda budget: Budget(
        samples=None if budget.samples is None else max(0, budget.samples + by), rewards=budget.rewards
    )


def _after(query: str, change: Callable[..., Any]) -> Change:
    """Change the oracle's answer, given this object, the answer and the query's arguments."""

    def answered(self: Altered, *arguments: Any, **named: Any) -> Any:
        return change(self, getattr(self.oracle, query)(*arguments, **named), *arguments)

    return answered


def _uncharged(query: str, samples: Callable[..., int] = lambda *_: 0, *, rewards: int = 0) -> Change:
    """Leave samples out of the ledger, as many as a function of the answer and the query's arguments says."""

    def answer(self: Altered, given: Any, *arguments: Any) -> Any:
        self.forget(samples(given, *arguments), rewards)
        return given

    return _after(query, answer)


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


def _one_try_less(_: Altered, found: SearchResult, *__: Any) -> SearchResult:
    return replace(found, tries=max(1, found.tries - (found.responses is not None)))


def _one_try(_: Altered, found: SearchResult, prompt: Any, rule: Any, limit: int) -> SearchResult:
    return replace(found, tries=1 if found.responses is not None else limit)


def _longest(self: Altered, found: SearchResult, prompt: Any, rule: Any, limit: int) -> SearchResult:
    """The pair, or response, that the rule likes best, in place of one at random."""
    if found.responses is None:
        return found
    features = self.problem.features[int(prompt)]
    held = np.flatnonzero(self.problem.log_base[int(prompt)] > -np.inf)
    if isinstance(rule, UncertainPairRule):
        relative = features[held][:, None, :] - features[held][None, :, :]
        lengths = ((relative @ rule.precision) * relative).sum(axis=2)
        chosen = [held[k] for k in np.unravel_index(int(lengths.argmax()), lengths.shape)]
    else:
        chosen = [held[int(np.argmax(rule.score.of(features[held])))]]
    return SearchResult(Responses(tuple(map(int, chosen)), features[chosen]), found.tries)


def _same_randomness(self: Altered, found: SearchResult, prompt: Any, rule: Any, limit: int) -> Any:
    """Every search at a prompt starts from the same random numbers."""
    return self.memory.setdefault((prompt, type(rule)), found)


def _expected(self: Altered, _: Counts, prompt: Any, count: int) -> Counts:
    law = np.exp(self.problem.log_base[int(prompt)])
    order = np.argsort(-law, kind="stable")
    counts = np.floor(count * law).astype(np.int64)
    counts[order[: count - int(counts.sum())]] += 1
    drawn = np.flatnonzero(counts)
    return Counts(Responses(tuple(drawn.tolist()), self.problem.features[int(prompt)][drawn]), counts[drawn])


def _in_turn(self: Altered, drawn: Responses, prompt: Any, count: int) -> Responses:
    held = np.flatnonzero(self.problem.log_base[int(prompt)] > -np.inf)
    self.memory["turn"] = self.memory.get("turn", -1) + 1
    ids = [int(held[(self.memory["turn"] + k) % len(held)]) for k in range(len(drawn))]
    return Responses(tuple(ids), self.problem.features[int(prompt)][ids])


def _repeated(_: Altered, drawn: Responses, prompt: Any, count: int) -> Responses:
    return Responses(drawn.ids[:1] * count, np.repeat(drawn.features[:1], count, axis=0))


def _sorted(_: Altered, drawn: Responses, *__: Any) -> Responses:
    order = np.argsort(np.array(drawn.ids), kind="stable")
    return Responses(tuple(drawn.ids[k] for k in order), drawn.features[order])


def _prompts_in_turn(self: Altered) -> Any:
    held = np.flatnonzero(self.problem.prompt_law)
    self.memory["prompt"] = self.memory.get("prompt", -1) + 1
    while (prompt := self.oracle.prompt()) != held[self.memory["prompt"] % len(held)]:
        pass
    return prompt


def _persistent(self: Altered, value: float, prompt: Any, response: Any) -> float:
    return float(self.memory.setdefault((prompt, identity_of(response)), value))


def _half_noise(self: Altered, value: float, prompt: Any, response: Any) -> float:
    return (value + float(self.problem.reward[int(prompt), int(identity_of(response))])) / 2


def _highest(self: Altered, prompt: Any, response: Any) -> float:
    values = [self.oracle.reward(prompt, response) for _ in range(2)]
    self.forget(rewards=1)
    return float(max(values))


def _any_noise(self: Altered, value: float, prompt: Any, response: Any) -> float:
    """One end of the interval or the other, by a fair coin."""
    if self.problem.noise == 0.0:
        return value
    coin = self.memory.setdefault("coin", np.random.default_rng(self.problem.responses)).random() < 0.5
    return float(self.problem.reward_low[int(prompt)] + self.problem.reward_range * coin)


def _sure_label(self: Altered, _: bool, prompt: Any, first: Any, second: Any) -> bool:
    one, two = (self.problem.reward[int(prompt), int(identity_of(each))] for each in (first, second))
    return bool(one > two)


def _worst_first(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    return self.oracle.sample(prompt, count, theta=None if theta is None else -theta)


def _any_theta(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    if theta is not None:
        theta = theta * min(1.0, self.problem.radius / max(float(np.linalg.norm(theta)), 1e-300))
    return self.oracle.sample(prompt, count, theta=theta)


_literal = mutants_of("literal_oracle", "oracle", partial(_altered, literal_oracle))
_counted = mutants_of("counted_oracle", "oracle", partial(_altered, counted_oracle))

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _counted("accepted-only", "charges only accepted tries", "O1", sample_until=_uncharged("sample_until",
        lambda found, _, rule, __: (found.tries - (found.responses is not None)) * rule.samples_per_try)),
    _counted("pairs-as-one", "charges a pair as one sample", "O1", sample_until=_uncharged("sample_until",
        lambda found, _, rule, __: found.tries if isinstance(rule, UncertainPairRule) else 0)),
    _counted("counts-as-one", "charges draws that are counted as one", "O1",
        sample_counts=_uncharged("sample_counts", lambda _, __, count: count - 1)),
    _counted("distinct-only", "charges only distinct ones of the draws that are counted", "O1",
        sample_counts=_uncharged("sample_counts", lambda drawn, _, count: count - len(drawn.counts))),
    _literal("batch-as-one", "charges a batch as one sample", "O1",
        sample=_uncharged("sample", lambda _, __, count: count - 1)),
    _counted("free-labels", "charges nothing for preference labels", "O1", compare=_uncharged("compare", rewards=1)),
    _literal("charges-refused", "charges queries that were refused", "O1", sample=_charged_when_refused),
    _literal("any-prompt", "answers prompts that were never issued", "O1", sample=_any_prompt),
    _literal("base-only", "draws strong samples from the base policy", "O2",
        sample=lambda self, prompt, count, **_: self.oracle.sample(prompt, count)),
    _counted("worst-first", "prefers low scores in strong samples", "O2", sample=_worst_first),
    _literal("any-theta", "pulls parameters outside the ball into it", "O1", sample=_any_theta),
    _counted("budget-plus-one", "lets the budget be exceeded by one", "O3", budget_of=_larger(1)),
    _counted("budget-less-one", "never issues the last sample of the budget", "O3", budget_of=_larger(-1)),
    _counted("no-budget", "ignores the budget", "O3", budget_of=lambda _: Budget()),
    _literal("what-is-left", "answers a query that does not fit the budget in part", "O3", sample=_what_is_left),
    _literal("plain-error", "raises an error of no particular type when the budget ends", "O3", sample=_plain_error),
    _counted("nothing-found", "reports that nothing was found when the budget ended a search", "O3",
        sample_until=_nothing_found),
    _counted("one-try-less", "counts tries before the one that was accepted", "O2",
        sample_until=_after("sample_until", _one_try_less)),
    _counted("one-try", "reports one try for a search that finds something", "O2",
        sample_until=_after("sample_until", _one_try)),
    _counted("longest", "returns from a search what its rule likes best", "O2",
        sample_until=_after("sample_until", _longest)),
    _counted("expected-counts", "returns the expectation of counts, rounded", "O2",
        sample_counts=_after("sample_counts", _expected)),
    _counted("same-randomness", "repeats the random numbers of the first search at a prompt in every one", "O2",
        sample_until=_after("sample_until", _same_randomness)),
    _literal("repeated", "repeats one response throughout a batch", "O2", sample=_after("sample", _repeated)),
    _literal("in-turn", "returns responses in turn", "O2", sample=_after("sample", _in_turn)),
    _counted("prompts-in-turn", "issues prompts in turn, whatever their distribution", "O2", prompt=_prompts_in_turn),
    _counted("persistent-noise", "draws the noise of a response once", "O2", reward=_after("reward", _persistent)),
    _literal("half-noise", "halves the range of the noise", "O2", reward=_after("reward", _half_noise)),
    _counted("highest-reward", "answers the higher of two noisy rewards", "O2", reward=_highest),
    _literal("any-noise", "answers one end of the reward's interval or the other by a fair coin", "O2",
        reward=_after("reward", _any_noise)),
    _literal("other-label", "labels the response that is worse", "O2",
        compare=lambda self, prompt, first, second: self.oracle.compare(prompt, second, first)),
    _literal("sure-label", "labels the better response without noise", "O2", compare=_after("compare", _sure_label)),
    _literal("sorted-batch", "sorts a batch", "O2", sample=_after("sample", _sorted)),
    _counted("free-when-short", "charges nothing for a search that the budget ended", "O3",
        sample_until=_free_when_short),
    _counted("odd-one-too", "charges the odd sample that is no pair", "O3", sample_until=_odd_one_too),
    _counted("endless-rewards", "ignores the budget of rewards", "O3",
        budget_of=lambda budget: Budget(samples=budget.samples)),
)
"""Of `literal_oracle` and `counted_oracle`."""
