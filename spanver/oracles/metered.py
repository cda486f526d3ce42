"""`MeteredOracle`: validates, charges and answers every query, whatever problem is behind it.

What all oracles share stands here once: the ledger and budget (O1, O3), which prompts were issued, and where the
randomness of each answer comes from. What differs is the `Source` and the `CompressedDraws` behind it, to which nothing
public leads.

Randomness: the `n`-th prompt issued has buffers of its own, one for the responses, one for acceptance, one for rewards.
So what a learner gets after a prompt does not depend on how many queries it made about earlier ones, nor in what
batches; and an oracle that goes on after `n` prompts needs only `n` and the ledger.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Protocol, TypedDict

import numpy as np
from numpy.random import Generator

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError
from spanver.oracle import AnyResponse, Budget, Ledger
from spanver.parameter_sets import Shape, require_inside
from spanver.randomness import UniformBuffer, stream
from spanver.validation import require, require_count, to_array
from spanver.values import (
    Counts,
    FloatArray,
    LogProbabilities,
    Prompt,
    RejectionRule,
    ResponseId,
    Responses,
    Rule,
    SearchResult,
    UncertainPairRule,
    identity_of,
)

LARGEST_COUNT = 2**60  # of one query: the spread of NumPy's binomial is off above; sums have no limit
LARGEST_LIMIT = 2**62  # of tries in one query
LARGEST_LIST = 2**24  # responses in one answer, which have to fit into memory


class PromptStreams:
    """The random numbers of all queries about one issued prompt."""

    def __init__(self, seed: int, index: int) -> None:
        self._seed, self._index = seed, index
        self.tried = 0  # tries so far of all searches, so that an interrupted one is charged

    @cached_property
    def responses(self) -> UniformBuffer:
        """Uniforms of drawn responses."""
        return UniformBuffer(stream(self._seed, "responses", self._index))

    @cached_property
    def acceptance(self) -> UniformBuffer:
        """Uniforms of acceptance, one a trial."""
        return UniformBuffer(stream(self._seed, "acceptance", self._index))

    @cached_property
    def rewards(self) -> UniformBuffer:
        """Uniforms of rewards and labels, two each."""
        return UniformBuffer(stream(self._seed, "rewards", self._index))

    @cached_property
    def aggregate(self) -> Generator:
        """Draws that stand for many."""
        return stream(self._seed, "counted", self._index)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a problem that a learner may know: `d`, `beta`, `B`, `R_max` and the shape of `Theta`."""

    dimension: int
    beta: float
    radius: float
    reward_range: float
    shape: Shape


class Source(Protocol):
    """What a `MeteredOracle` needs of a problem for queries about single responses."""

    facts: Facts
    strong: bool  # whether it draws from pi_theta too

    def prompt(self, uniform: float) -> Prompt:
        """Return the prompt at this quantile of `rho`."""
        ...

    def draw(self, prompt: Prompt, count: int, streams: PromptStreams, theta: FloatArray | None) -> Responses:
        """Draw responses one by one."""
        ...

    def anchor(self, prompt: Prompt) -> Responses:
        """Return the anchor response, alone."""
        ...

    def log_law(self, prompt: Prompt, theta: FloatArray) -> FloatArray | None:
        """`log pi_theta(y|x)` by the id of the response, or None if probabilities are not to be told."""
        ...

    def known(self, prompt: Prompt, response: ResponseId) -> bool:
        """Whether a guess names a response."""
        ...

    def reward(self, prompt: Prompt, response: ResponseId, streams: PromptStreams) -> float:
        """Draw a noisy reward."""
        ...

    def preference(self, prompt: Prompt, first: ResponseId, second: ResponseId) -> float:
        """Mean reward of `first` less that of `second`."""
        ...

    def listing(self, prompt: Prompt) -> Responses | None:
        """All responses, or None if they are not to be listed."""
        ...


class CompressedDraws(Protocol):
    """What a `MeteredOracle` needs of a problem for queries whose answer stands for many draws."""

    largest_count: int  # of draws that are counted

    def draw_counts(self, prompt: Prompt, count: int, streams: PromptStreams) -> Counts:
        """Draw many responses and count them."""
        ...

    def draw_until(self, prompt: Prompt, rule: Rule, limit: int, streams: PromptStreams) -> SearchResult:
        """Draw until the rule accepts."""
        ...


class Options(TypedDict, total=False):
    """What every oracle may be given apart from its problem and its seed.

    Attributes
    ----------
    budget : Budget
    ledger : Ledger
        What was answered before, for an oracle that goes on.
    prompts : int
        How many prompts were issued before, likewise.
    """

    budget: Budget | None
    ledger: Ledger | None
    prompts: int


class MeteredOracle:
    """An `Oracle` over the answers of a problem.

    Parameters
    ----------
    source : Source
    draws : CompressedDraws
    seed : int
        Of the oracle's randomness; the learner has its own.
    budget, ledger, prompts
        As of `Options`.
    visits : dict, optional
        Random streams by prompt, to which a wrapping oracle may add its own.
    """

    def __init__(
        self,
        source: Source,
        draws: CompressedDraws,
        *,
        seed: int,
        budget: Budget | None = None,
        ledger: Ledger | None = None,
        prompts: int = 0,
        visits: dict[Prompt, PromptStreams] | None = None,
    ) -> None:
        require_count("seed", seed, least=0)
        require_count("prompts", prompts, least=0)
        self._source, self._draws = source, draws
        self._parameters = source.facts.shape(source.facts.radius)
        self._seed = int(seed)
        is_budget = budget is None or isinstance(budget, Budget)
        require(is_budget, "budget", budget, "a Budget, such as Budget(samples=10**6)")
        self._budget = budget or Budget()
        self._spent = asdict(ledger or Ledger())
        self._issued = prompts
        self._visits: dict[Prompt, PromptStreams] = {} if visits is None else visits

    @property
    def dimension(self) -> int:
        """Dimension `d` of the features."""
        return self._source.facts.dimension

    @property
    def beta(self) -> float:
        """Weight of the KL term in the objective."""
        return self._source.facts.beta

    @property
    def radius(self) -> float:
        """`B`, the largest norm of a parameter."""
        return self._source.facts.radius

    @property
    def shape(self) -> Shape:
        """What makes the set of parameters of the radius: `shape(radius)` is `Theta`."""
        return self._source.facts.shape

    @property
    def reward_range(self) -> float:
        """Length `R_max` of an interval that holds the rewards of one prompt."""
        return self._source.facts.reward_range

    @property
    def ledger(self) -> Ledger:
        """Number of answers so far."""
        return Ledger(**self._spent)

    @property
    def budget(self) -> Budget:
        """The most that will be answered."""
        return self._budget

    def prompt(self) -> Prompt:
        """Draw `x ~ rho`; free."""
        index = self._issued
        prompt = self._source.prompt(stream(self._seed, "prompt", index).random())
        self._issued += 1
        self._visits[prompt] = PromptStreams(self._seed, index)
        return prompt

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        """Draw `y ~ pi_ref(.|x)`, or `pi_theta(.|x)`; `count` samples."""
        streams = self._visit(prompt)
        count = _count_at_most("count", count, LARGEST_LIST)
        if theta is not None:
            theta = self._checked_theta(theta)
        self._charge("samples", count)
        return self._source.draw(prompt, count, streams, theta)

    def anchor(self, prompt: Prompt) -> Responses:
        """Return the anchor response of the prompt, alone; 1 sample, as every answer that shows features of one."""
        self._visit(prompt)
        self._charge("samples", 1)
        return self._source.anchor(prompt)

    def sample_log_probabilities(self, prompt: Prompt, count: int, theta: FloatArray) -> LogProbabilities:
        """Draw `y ~ pi_theta(.|x)` with `log pi_theta(y|x)`; `count` samples."""
        self._visit(prompt)
        theta = self._checked_theta(theta)
        log_law = self._source.log_law(prompt, theta)
        if log_law is None:
            msg = "sample_log_probabilities is answered by a generalised oracle only, and this one is none"
            raise QuestionRefusedError(msg)
        drawn = self.sample(prompt, count, theta=theta)
        return LogProbabilities(drawn, log_law[list(map(int, drawn.ids))])

    def sample_counts(self, prompt: Prompt, count: int) -> Counts:
        """Draw `count` times from `pi_ref(.|x)` and return the multiset; `count` samples."""
        streams = self._visit(prompt)
        count = _count_at_most("count", count, self._draws.largest_count)
        self._charge("samples", count)
        return self._draws.draw_counts(prompt, count, streams)

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int) -> SearchResult:
        """Draw until the rule accepts, at most `limit` tries; the samples of every try."""
        streams = self._visit(prompt)
        limit = _count_at_most("limit", limit, LARGEST_LIMIT)
        self._check_rule(rule)
        cost = rule.samples_per_try
        left = self._left("samples")
        affordable = limit if left is None else min(limit, max(0, left) // cost)
        before = streams.tried
        try:
            found = (
                SearchResult(None, 0) if affordable == 0 else self._draws.draw_until(prompt, rule, affordable, streams)
            )
        except BaseException:
            self._charge("samples", (streams.tried - before) * cost)
            raise
        self._charge("samples", found.tries * cost)
        if found.responses is None and affordable < limit:
            assert left is not None
            raise BudgetExceededError("samples", cost, left - found.tries * cost)
        return found

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Draw one noisy reward, also of a response that was only guessed; 1 reward."""
        streams = self._visit(prompt)
        response = self._response(prompt, "response", response)
        self._charge("rewards", 1)
        return self._source.reward(prompt, response, streams)

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Draw whether `first` is preferred, a Bradley-Terry label; 1 reward."""
        streams = self._visit(prompt)
        one, two = self._response(prompt, "first", first), self._response(prompt, "second", second)
        self._charge("rewards", 1)
        uniform = float(streams.rewards.take(2)[0])
        return bool(uniform < 0.5 * (1.0 + np.tanh(0.5 * self._source.preference(prompt, one, two))))

    def enumerate(self, prompt: Prompt) -> Responses:
        """List all of `Y` where the full-table model is offered; `|Y|` enumerated."""
        self._visit(prompt)
        listing = self._source.listing(prompt)
        if listing is None:
            msg = "enumerate is answered in the full-table model only, and this oracle does not offer it"
            raise QuestionRefusedError(msg)
        self._charge("enumerated", len(listing))
        return listing

    def _visit(self, prompt: Prompt) -> PromptStreams:
        try:
            return self._visits[prompt]
        except (KeyError, TypeError):
            raise ArgumentError("prompt", prompt, "one that this oracle has issued") from None

    def _response(self, prompt: Prompt, name: str, response: AnyResponse) -> ResponseId:
        identity = identity_of(response)
        is_id = isinstance(identity, int | str) and not isinstance(identity, bool)
        require(is_id and self._source.known(prompt, identity), name, identity, "the id of a response of this problem")
        return identity

    def _checked_theta(self, theta: FloatArray) -> FloatArray:
        if not self._source.strong:
            msg = "strong sampling is not offered by this oracle: its policies have no computable normaliser"
            raise QuestionRefusedError(msg)
        array = to_array("theta", theta, (self.dimension,))
        require_inside("theta", array, self._parameters)
        return array

    def _check_rule(self, rule: Rule) -> None:
        require(
            isinstance(rule, UncertainPairRule | RejectionRule), "rule", rule, "an UncertainPairRule or a RejectionRule"
        )
        precision = rule.precision if isinstance(rule, UncertainPairRule) else getattr(rule.score, "precision", None)
        theta = None if isinstance(rule, UncertainPairRule) else rule.score.theta
        for name, array in (("precision", precision), ("theta", theta)):
            if array is not None:
                expected = (self.dimension,) * array.ndim
                require(array.shape == expected, f"the shape of {name}", array.shape, str(expected))

    def _left(self, counter: str) -> int | None:
        limit: int | None = getattr(self._budget, counter)
        return None if limit is None else limit - self._spent[counter]

    def _charge(self, counter: str, cost: int) -> None:
        left = self._left(counter)
        if left is not None and cost > left:
            raise BudgetExceededError(counter, cost, left)
        self._spent[counter] += cost


def _count_at_most(name: str, count: int, largest: int) -> int:
    require_count(name, count)
    if count > largest:
        raise ArgumentError(name, count, f"at most 2**{largest.bit_length() - 1} in one query of this oracle")
    return int(count)
