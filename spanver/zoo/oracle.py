"""Mutants of the oracles: their ledgers, budgets, laws and noise.

Each is the reference's oracle behind `Altered`, which puts its own answer to one question in the place of the oracle's;
those of counted searches stand in `searches`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spanver.errors import ArgumentError, BudgetExceededError
from spanver.oracle import Budget, Ledger
from spanver.oracles import counted_oracle, literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.values import Counts, Responses, SearchResult, UncertainPairRule
from spanver.zoo import oracle_searches as searches
from spanver.zoo.mutant import Mutant

__all__ = ["MUTANTS"]

Change = Callable[..., Any]


class Altered:
    """An oracle with other answers to some questions.

    Parameters
    ----------
    oracle : Oracle
        Asked for everything else.
    problem : TabularProblem
    changes : mapping
        By name of the question: a function of this object and of the question's arguments.
    """

    def __init__(self, oracle: Any, problem: TabularProblem, changes: Mapping[str, Change]) -> None:
        self.oracle, self.problem, self._changes = oracle, problem, changes
        self.uncounted_samples, self.uncounted_rewards = 0, 0
        self.kept: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        change = self._changes.get(name)
        return getattr(self.oracle, name) if change is None else partial(change, self)

    @property
    def ledger(self) -> Ledger:
        """The oracle's, less what was answered and not counted."""
        ledger = self.oracle.ledger
        return Ledger(
            ledger.samples - self.uncounted_samples, ledger.rewards - self.uncounted_rewards, ledger.enumerated
        )

    def forget(self, samples: int = 0, rewards: int = 0) -> None:
        """Leave answers out of the ledger, or, below zero, charge for what was not answered."""
        self.uncounted_samples += samples
        self.uncounted_rewards += rewards


def _made(
    factory: Callable[..., Any],
    changes: Mapping[str, Change],
    budget_of: Callable[[Budget], Budget],
    problem: TabularProblem,
    *,
    seed: int,
    budget: Budget | None = None,
) -> Altered:
    given = None if budget is None else budget_of(budget)
    return Altered(factory(problem, seed=seed, budget=given), problem, changes)


def _accepted_only(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
    self.forget((found.tries - (found.responses is not None)) * rule.samples_per_try)
    return found


def _pairs_as_one(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
    self.forget(found.tries if isinstance(rule, UncertainPairRule) else 0)
    return found


def _counts_as_one(self: Altered, prompt: Any, count: int) -> Counts:
    counts: Counts = self.oracle.sample_counts(prompt, count)
    self.forget(count - 1)
    return counts


def _batch_as_one(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    responses: Responses = self.oracle.sample(prompt, count, theta=theta)
    self.forget(count - 1)
    return responses


def _distinct(self: Altered, prompt: Any, count: int) -> Counts:
    counts: Counts = self.oracle.sample_counts(prompt, count)
    self.forget(count - len(counts.counts))
    return counts


def _free_labels(self: Altered, prompt: Any, first: Any, second: Any) -> bool:
    label: bool = self.oracle.compare(prompt, first, second)
    self.forget(rewards=1)
    return label


def _unasked(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    try:
        responses: Responses = self.oracle.sample(prompt, count, theta=theta)
    except ArgumentError:
        self.oracle.sample(self.oracle.prompt(), 1)  # what was refused is charged
        raise
    return responses


def _any_prompt(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    try:
        responses: Responses = self.oracle.sample(prompt, count, theta=theta)
    except ArgumentError:
        responses = self.oracle.sample(self.oracle.prompt(), max(1, count), theta=theta)
    return responses


def _what_is_left(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    budget = self.oracle.budget.samples
    left = count if budget is None else budget - self.oracle.ledger.samples
    if count > left > 0:
        count = left
    responses: Responses = self.oracle.sample(prompt, count, theta=theta)
    return responses


def _plain_error(self: Altered, *arguments: Any, **named: Any) -> Any:
    try:
        return self.oracle.sample(*arguments, **named)
    except BudgetExceededError as error:
        raise RuntimeError("budget") from error


def _nothing_found(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    try:
        found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
    except BudgetExceededError:
        return SearchResult(None, limit)
    return found


def _one_try_less(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
    return replace(found, tries=max(1, found.tries - (found.responses is not None)))


def _one_try(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
    return replace(found, tries=1 if found.responses is not None else limit)


def _longest(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    """The pair, or response, that the rule likes best, in place of one at random."""
    found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
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


def _expected(self: Altered, prompt: Any, count: int) -> Counts:
    self.oracle.sample_counts(prompt, count)
    law = np.exp(self.problem.log_base[int(prompt)])
    order = np.argsort(-law, kind="stable")
    counts = np.floor(count * law).astype(np.int64)
    counts[order[: count - int(counts.sum())]] += 1
    drawn = np.flatnonzero(counts)
    return Counts(Responses(tuple(drawn.tolist()), self.problem.features[int(prompt)][drawn]), counts[drawn])


def _repeated(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    drawn: Responses = self.oracle.sample(prompt, count, theta=theta)
    return Responses(drawn.ids[:1] * count, np.repeat(drawn.features[:1], count, axis=0))


def _uniform(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    drawn: Responses = self.oracle.sample(prompt, count, theta=theta)
    held = np.flatnonzero(self.problem.log_base[int(prompt)] > -np.inf)
    self.kept["turn"] = self.kept.get("turn", -1) + 1
    ids = [int(held[(self.kept["turn"] + k) % len(held)]) for k in range(len(drawn))]
    return Responses(tuple(ids), self.problem.features[int(prompt)][ids])


def _same_luck(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    """Every search at a prompt starts from the same random numbers."""
    found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
    first: SearchResult = self.kept.setdefault((prompt, type(rule)), found)
    return first


def _persistent(self: Altered, prompt: Any, response: Any) -> float:
    value: float = self.oracle.reward(prompt, response)
    return float(self.kept.setdefault((prompt, getattr(response, "id", response)), value))


def _half_noise(self: Altered, prompt: Any, response: Any) -> float:
    value: float = self.oracle.reward(prompt, response)
    identity = getattr(response, "id", response)
    return (value + float(self.problem.reward[int(prompt), int(identity)])) / 2


def _highest(self: Altered, prompt: Any, response: Any) -> float:
    values = [self.oracle.reward(prompt, response) for _ in range(2)]
    self.forget(rewards=1)
    return float(max(values))


def _any_noise(self: Altered, prompt: Any, response: Any) -> float:
    """One end of the interval or the other, by a fair coin."""
    value: float = self.oracle.reward(prompt, response)
    if self.problem.noise == 0.0:
        return value
    coin = self.kept.setdefault("coin", np.random.default_rng(self.problem.responses)).random() < 0.5
    return float(self.problem.reward_low[int(prompt)] + self.problem.reward_range * coin)


def _other_label(self: Altered, prompt: Any, first: Any, second: Any) -> bool:
    label: bool = self.oracle.compare(prompt, second, first)
    return label


def _sure_label(self: Altered, prompt: Any, first: Any, second: Any) -> bool:
    self.oracle.compare(prompt, first, second)
    one, two = (int(getattr(each, "id", each)) for each in (first, second))
    return bool(self.problem.reward[int(prompt), one] > self.problem.reward[int(prompt), two])


def _by_size(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    """What a batch holds, sorted."""
    drawn: Responses = self.oracle.sample(prompt, count, theta=theta)
    order = np.argsort(np.array(drawn.ids), kind="stable")
    return Responses(tuple(drawn.ids[k] for k in order), drawn.features[order])


def _prompts_in_turn(self: Altered) -> Any:
    held = np.flatnonzero(self.problem.prompt_law)
    self.kept["prompt"] = self.kept.get("prompt", -1) + 1
    while (prompt := self.oracle.prompt()) != held[self.kept["prompt"] % len(held)]:
        pass
    return prompt


def _free_when_short(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    before = self.oracle.ledger.samples
    try:
        found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
    except BudgetExceededError:
        self.forget(self.oracle.ledger.samples - before)
        raise
    return found


def _odd_one_too(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    try:
        found: SearchResult = self.oracle.sample_until(prompt, rule, limit)
    except BudgetExceededError:
        self.forget(self.oracle.ledger.samples - self.oracle.budget.samples)  # all that was left is charged
        raise
    return found


def _base_only(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    del theta
    return self.oracle.sample(prompt, count)


def _worst_first(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    return self.oracle.sample(prompt, count, theta=None if theta is None else -theta)


def _any_theta(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Responses:
    if theta is not None:
        theta = theta * min(1.0, self.problem.radius / max(float(np.linalg.norm(theta)), 1e-300))
    return self.oracle.sample(prompt, count, theta=theta)


def _mutant(
    name: str,
    bug: str,
    breaks: tuple[str, ...],
    *,
    literal: bool = False,
    budget_of: Callable[[Budget], Budget] = lambda budget: budget,
    **changes: Change,
) -> Mutant:
    provided, factory = ("literal_oracle", literal_oracle) if literal else ("counted_oracle", counted_oracle)
    return Mutant(f"oracle-{name}", bug, breaks, {provided: partial(_made, factory, changes, budget_of)})


def _larger(by: int) -> Callable[[Budget], Budget]:
    return lambda budget: Budget(
        samples=None if budget.samples is None else max(0, budget.samples + by), rewards=budget.rewards
    )


# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _mutant("accepted-only", "Only accepted tries are charged.", ("O1",), sample_until=_accepted_only),
    _mutant("pairs-as-one", "A pair is charged as one sample.", ("O1",), sample_until=_pairs_as_one),
    _mutant("counts-as-one", "Draws that are counted are charged as one.", ("O1",), sample_counts=_counts_as_one),
    _mutant("distinct-only", "Of draws that are counted only distinct ones are charged.", ("O1",),
        sample_counts=_distinct),
    _mutant("batch-as-one", "A batch is charged as one sample.", ("O1",), literal=True, sample=_batch_as_one),
    _mutant("free-labels", "Preference labels are free.", ("O1",), compare=_free_labels),
    _mutant("charges-refused", "Questions that were refused are charged.", ("O1",), literal=True, sample=_unasked),
    _mutant("any-prompt", "Prompts that were never handed out are answered.", ("O1",), literal=True,
        sample=_any_prompt),
    _mutant("base-only", "Strong samples are drawn from the base policy.", ("O2",), literal=True, sample=_base_only),
    _mutant("worst-first", "Strong samples prefer low scores.", ("O2",), sample=_worst_first),
    _mutant("any-theta", "Parameters outside the ball are pulled into it.", ("O1",), literal=True, sample=_any_theta),
    _mutant("budget-plus-one", "The budget can be exceeded by one.", ("O3",), budget_of=_larger(1)),
    _mutant("budget-less-one", "The last sample of the budget is never handed out.", ("O3",), budget_of=_larger(-1)),
    _mutant("no-budget", "The budget is ignored.", ("O3",), budget_of=lambda _: Budget()),
    _mutant("what-is-left", "A question that does not fit the budget is answered in part.", ("O3",), literal=True,
        sample=_what_is_left),
    _mutant("plain-error", "Running out is an error of no particular type.", ("O3",), literal=True,
        sample=_plain_error),
    _mutant("nothing-found", "A search that the budget ended reports that nothing was found.", ("O3",),
        sample_until=_nothing_found),
    _mutant("one-try-less", "Tries are counted before the one that was accepted.", ("O2",),
        sample_until=_one_try_less),
    _mutant("one-try", "A search that finds something takes one try.", ("O2",), sample_until=_one_try),
    _mutant("longest", "A search returns what its rule likes best.", ("O2",), sample_until=_longest),
    _mutant("expected-counts", "Counts are their expectation, rounded.", ("O2",), sample_counts=_expected),
    _mutant("same-luck", "Every search at one prompt has the same luck.", ("O2",), sample_until=_same_luck),
    _mutant("repeated", "A batch is one response, repeated.", ("O2",), literal=True, sample=_repeated),
    _mutant("in-turn", "Responses come in turn.", ("O2",), literal=True, sample=_uniform),
    _mutant("prompts-in-turn", "Prompts come in turn, whatever their law.", ("O2",), prompt=_prompts_in_turn),
    _mutant("persistent-noise", "The noise of a response is drawn once.", ("O2",), reward=_persistent),
    _mutant("half-noise", "The noise has half of its range.", ("O2",), literal=True, reward=_half_noise),
    _mutant("highest-reward", "Of two noisy rewards the higher one is answered.", ("O2",), reward=_highest),
    _mutant("any-noise", "Rewards are one end of their interval or the other by a fair coin.", ("O2",), literal=True,
        reward=_any_noise),
    _mutant("other-label", "Labels say which response is worse.", ("O2",), literal=True, compare=_other_label),
    _mutant("sure-label", "Labels name the better response without noise.", ("O2",), literal=True, compare=_sure_label),
    _mutant("sorted-batch", "A batch is sorted.", ("O2",), literal=True, sample=_by_size),
    _mutant("free-when-short", "A search that the budget ended is not charged.", ("O3",),
        sample_until=_free_when_short),
    _mutant("odd-one-too", "The odd sample that a pair does not fit into is charged.", ("O3",),
        sample_until=_odd_one_too),
    _mutant("endless-rewards", "The budget of rewards is ignored.", ("O3",),
        budget_of=lambda budget: Budget(samples=budget.samples)),
    *searches.MUTANTS,
)
