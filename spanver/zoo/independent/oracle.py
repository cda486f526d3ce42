"""Both oracles of a table, written from the list of their queries; steps are keyword arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError
from spanver.oracle import AnyResponse, Budget, Ledger
from spanver.parameter_sets import Shape
from spanver.values import (
    Counts,
    FloatArray,
    IntArray,
    LogProbabilities,
    Prompt,
    RejectionRule,
    Response,
    Responses,
    Rule,
    SearchResult,
    UncertainPairRule,
)
from spanver.zoo.independent.algebra import log_softmax, log_sum_exp, places, quadratic_norms, sigmoid
from spanver.zoo.independent.boxes import size_in

Found: TypeAlias = tuple[list[int] | None, int]
"""Responses of the accepted try, if any, and the number of tries."""


def picked(law: FloatArray, count: int, generator: Generator) -> IntArray:
    """Draws of a law."""
    return places(law, generator.random(count))


def multinomial(law: FloatArray, count: int, generator: Generator) -> IntArray:
    """How often each response comes in so many draws."""
    return np.asarray(generator.multinomial(count, law))


def drawn(acceptance: FloatArray, law: FloatArray, width: int, limit: int, generator: Generator) -> Found:
    """Search try by try; `width` responses a try."""
    for number in range(1, limit + 1):
        tried = picked(law, width, generator)
        if generator.random() < acceptance[tuple(tried)]:
            return [int(each) for each in tried], number
    return None, limit


def inverted_geometric(chance: float, generator: Generator) -> int:
    """Number of tries up to the first accepted."""
    return 1 if chance >= 1.0 else max(1, math.ceil(math.log(1.0 - generator.random()) / math.log1p(-chance)))


def counted(
    acceptance: FloatArray,
    law: FloatArray,
    width: int,
    limit: int,
    generator: Generator,
    *,
    tries: Callable[[float, Generator], int] = inverted_geometric,
) -> Found:
    """Draw the number of tries, then which was accepted."""
    masses = acceptance * (law if width == 1 else np.outer(law, law))
    chance = float(masses.sum())
    if limit < 1 or chance <= 0.0:
        return None, max(limit, 0)
    number = tries(chance, generator)
    if number > limit:
        return None, limit
    place = int(picked(masses.ravel() / chance, 1, generator)[0])
    return [int(each) for each in np.unravel_index(place, masses.shape)], number


class TableOracle:
    """An oracle of a table.

    Parameters
    ----------
    problem : TabularProblem
    seed : int
    budget : Budget, optional
    search, counts, pick : callable
        How `sample_until`, `sample_counts` and `sample` find their answers.
    strength : float
        By which the parameter of the strong oracle is multiplied.
    told : bool
        Whether log probabilities of strong samples are told.
    same_stream : bool
        Whether the first response is picked by the uniform number that picked its prompt.
    """

    def __init__(
        self,
        problem: Any,
        *,
        seed: int,
        budget: Budget | None = None,
        search: Callable[[FloatArray, FloatArray, int, int, Generator], Found] = drawn,
        counts: Callable[[FloatArray, int, Generator], IntArray] = multinomial,
        pick: Callable[[FloatArray, int, Generator], IntArray] = picked,
        strength: float = 1.0,
        told: bool = False,
        same_stream: bool = False,
    ) -> None:
        self._problem, self._budget = problem, budget or Budget()
        self._search, self._counts, self._pick, self._strength, self._told = search, counts, pick, strength, told
        self._prompts = np.random.default_rng([seed, 1])
        self._generator = np.random.default_rng([seed, 1 if same_stream else 2])
        self._noise = np.random.default_rng([seed, 3])
        self._spent = {"samples": 0, "rewards": 0, "enumerated": 0}
        self._known: set[Prompt] = set()

    @property
    def dimension(self) -> int:
        """Dimension of the features."""
        return int(self._problem.dimension)

    @property
    def beta(self) -> float:
        """Weight of the KL term."""
        return float(self._problem.beta)

    @property
    def radius(self) -> float:
        """Largest norm of a parameter."""
        return float(self._problem.radius)

    @property
    def shape(self) -> Shape:
        """Shape of the set of parameters."""
        shape: Shape = self._problem.shape
        return shape

    @property
    def reward_range(self) -> float:
        """Length of an interval that holds the rewards of a prompt."""
        return float(self._problem.reward_range)

    @property
    def ledger(self) -> Ledger:
        """Answers so far."""
        return Ledger(**self._spent)

    @property
    def budget(self) -> Budget:
        """The most that is answered."""
        return self._budget

    def prompt(self) -> Prompt:
        """Draw a prompt."""
        found = int(self._pick(self._problem.prompt_law, 1, self._prompts)[0])
        self._known.add(found)
        return found

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        """Draw from the base policy, or from that of a parameter."""
        self._check(prompt, count)
        if theta is not None:
            theta = np.asarray(theta, dtype=float)
            if theta.shape != (self.dimension,) or not size_in(self.shape, theta) <= self.radius * (1 + 1e-12):
                raise ArgumentError("theta", theta, "a parameter of the problem")
        self._charge("samples", int(count))
        return self._responses(prompt, self._pick(self._law(prompt, theta), int(count), self._generator))

    def anchor(self, prompt: Prompt) -> Responses:
        """Show the anchor response, at the price of a draw."""
        self._check(prompt)
        self._charge("samples", 1)
        return self._responses(prompt, [self._problem.anchors[prompt]])

    def sample_log_probabilities(self, prompt: Prompt, count: int, theta: FloatArray) -> LogProbabilities:
        """Draw from the policy of a parameter, with the log probability of each response: score less partition."""
        if not self._told:
            raise QuestionRefusedError("no probabilities are told here")
        responses = self.sample(prompt, count, theta=theta)
        exponents = self._problem.log_base[prompt] + self._problem.features[prompt] @ theta / self.beta
        own = exponents[list(responses.ids)]
        return LogProbabilities(responses, own - log_sum_exp(exponents))

    def sample_counts(self, prompt: Prompt, count: int) -> Counts:
        """Count draws from the base policy."""
        self._check(prompt, count)
        self._charge("samples", int(count))
        totals = self._counts(self._law(prompt), int(count), self._generator)
        held = np.flatnonzero(totals)
        return Counts(self._responses(prompt, held), totals[held])

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int) -> SearchResult:
        """Draw until a rule accepts."""
        self._check(prompt, limit)
        if not isinstance(rule, RejectionRule | UncertainPairRule):
            raise ArgumentError("rule", rule, "a rule")
        width, left = rule.samples_per_try, self._left("samples")
        affordable = int(min(limit, left // width))
        found, tries = self._search(
            self._acceptance(prompt, rule), self._law(prompt), width, affordable, self._generator
        )
        self._charge("samples", width * tries)
        if found is None and affordable < limit:
            raise BudgetExceededError("samples", width, int(left - width * tries))
        return SearchResult(None if found is None else self._responses(prompt, found), tries)

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Draw a noisy reward."""
        self._check(prompt)
        response = self._identity(response)
        self._charge("rewards", 1)
        mean, low = float(self._problem.reward[prompt, response]), float(self._problem.reward_low[prompt])
        noisy, high = self._noise.random(2)
        if noisy >= self._problem.noise:
            return mean
        return low + self.reward_range * float(high < (mean - low) / self.reward_range)

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Draw a preference."""
        self._check(prompt)
        one, two = self._identity(first), self._identity(second)
        self._charge("rewards", 1)
        means = self._problem.reward[prompt]
        return bool(self._noise.random() < sigmoid(means[one] - means[two]))

    def enumerate(self, prompt: Prompt) -> Responses:
        """Refuse: the full table is not offered."""
        raise QuestionRefusedError(f"no responses of {prompt!r} are listed here")

    def _left(self, counter: str) -> float:
        limit = getattr(self._budget, counter)
        return math.inf if limit is None else limit - self._spent[counter]

    def _charge(self, counter: str, cost: int) -> None:
        left = self._left(counter)
        if cost > left:
            raise BudgetExceededError(counter, cost, int(left))
        self._spent[counter] += cost

    def _check(self, prompt: Prompt, count: int = 1) -> None:
        if isinstance(prompt, bool) or not isinstance(prompt, int) or prompt not in self._known:
            raise ArgumentError("prompt", prompt, "one that was issued")
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ArgumentError("count", count, "a positive integer")

    def _identity(self, response: AnyResponse) -> int:
        identity = response.id if isinstance(response, Response) else response
        if isinstance(identity, bool) or not isinstance(identity, int | np.integer):
            raise ArgumentError("response", identity, "an id")
        if not 0 <= identity < self._problem.responses:
            raise ArgumentError("response", identity, "an id of this problem")
        return int(identity)

    def _law(self, prompt: Prompt, theta: FloatArray | None = None) -> FloatArray:
        log_law = self._problem.log_base[prompt]
        if theta is not None:
            log_law = log_softmax(log_law, self._problem.features[prompt] @ (self._strength * theta), self.beta)
        law = np.exp(log_law)
        return np.asarray(law / law.sum())

    def _responses(self, prompt: Prompt, indices: Any) -> Responses:
        return Responses(tuple(int(each) for each in indices), self._problem.features[prompt][list(indices)])

    def _acceptance(self, prompt: Prompt, rule: Rule) -> FloatArray:
        """Chance that a rule accepts each response, or each pair."""
        features = self._problem.features[prompt]
        if isinstance(rule, RejectionRule):
            return np.asarray(np.exp(np.minimum(0.0, rule.score.of(features) / self.beta - rule.log_threshold)))
        seconds = features[None, :, :] if rule.anchor is None else rule.anchor[None, None, :]
        norms = quadratic_norms(features[:, None, :] - seconds, rule.precision)
        norms = norms if rule.anchor is None else norms[:, 0]
        return np.asarray((norms > rule.nu).astype(float))


def literal_oracle(problem: Any, *, seed: int, budget: Budget | None = None, **steps: Any) -> TableOracle:
    """Draw everything that is charged."""
    return TableOracle(problem, seed=seed, budget=budget, **steps)


def counted_oracle(problem: Any, *, seed: int, budget: Budget | None = None, **steps: Any) -> TableOracle:
    """Answer compressed queries from their exact law."""
    return TableOracle(problem, seed=seed, budget=budget, **{"search": counted} | steps)


def generalised_oracle(problem: Any, *, seed: int, budget: Budget | None = None, **steps: Any) -> TableOracle:
    """Tell log probabilities of strong samples too."""
    return TableOracle(problem, seed=seed, budget=budget, told=True, **steps)
