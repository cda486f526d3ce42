"""The queries that a learner may make, what each costs, and what happens when the budget ends.

A learner gets an oracle and nothing else: the sampling-oracle model of the paper (mathematics.md, section 2;
`[paper]`). The ledger is inside the oracle and counts every answer in Python integers, which have no largest value
(O1). A budget is never exceeded: a query that does not fit raises `BudgetExceededError` (O3). Processes of layers have
an oracle of their own, `spanver.episodic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from spanver.parameter_sets import Shape
from spanver.validation import require_count
from spanver.values import (
    Counts,
    FloatArray,
    LogProbabilities,
    Prompt,
    Response,
    ResponseId,
    Responses,
    Rule,
    SearchResult,
)

AnyResponse: TypeAlias = Response | ResponseId

Anchor: TypeAlias = Literal["drawn", "fixed"]
"""What takes the place of the second response of a pair: a draw, or the anchor response of the prompt."""

ANCHORS: tuple[Anchor, ...] = ("drawn", "fixed")

Feedback: TypeAlias = Literal["reward", "preference"]
"""What is asked about a pair of responses: both rewards, or one label that compares them."""

ANSWERS: Mapping[Feedback, int] = MappingProxyType({"reward": 2, "preference": 1})
"""Answers about rewards that a pair costs."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Number of answers so far, by kind.

    Attributes
    ----------
    samples : int
        Sampling answers, `T_comp`.
    rewards : int
        Rewards and comparisons, `T_data`.
    enumerated : int
        Responses listed in the full-table model, `T_enum`.
    """

    samples: int = 0
    rewards: int = 0
    enumerated: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "rewards", "enumerated"):
            require_count(name, getattr(self, name), least=0)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be answered, by counter; None is no limit."""

    samples: int | None = None
    rewards: int | None = None
    enumerated: int | None = None

    def __post_init__(self) -> None:
        for name in ("samples", "rewards", "enumerated"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name), least=0)


class Oracle(Protocol):
    """The oracle of a problem of prompts and responses (mathematics.md, section 2).

    All answers are read-only. Queries about a prompt refuse one that this oracle has not issued. The cost of a query is
    charged before its answer is returned, also when the answer is then not used.
    """

    @property
    def dimension(self) -> int:
        """Dimension `d` of the features."""
        ...

    @property
    def beta(self) -> float:
        """Weight of the KL term in the objective."""
        ...

    @property
    def radius(self) -> float:
        """`B`, the largest norm of a parameter."""
        ...

    @property
    def shape(self) -> Shape:
        """What makes the set of parameters of the radius: `shape(radius)` is `Theta`."""
        ...

    @property
    def reward_range(self) -> float:
        """Length `R_max` of an interval that holds the rewards of one prompt."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Number of answers so far."""
        ...

    @property
    def budget(self) -> Budget:
        """The most that will be answered."""
        ...

    def prompt(self) -> Prompt:
        """Draw `x ~ rho`; free."""
        ...

    def sample(self, prompt: Prompt, count: int, /, *, theta: FloatArray | None = None) -> Responses:
        """Draw `y ~ pi_ref(.|x)`, or `pi_theta(.|x)` where the strong oracle is offered; `count` samples."""
        ...

    def anchor(self, prompt: Prompt, /) -> Responses:
        """Return the anchor response of a prompt, alone: always the same one of the support of `pi_ref(.|x)`; 1 sample.

        `[paper: Remark G.2, p. 43]`, which does not say what it costs.
        """
        ...

    def sample_counts(self, prompt: Prompt, count: int, /) -> Counts:
        """Draw `count` times from `pi_ref(.|x)` and return the multiset; `count` samples."""
        ...

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int, /) -> SearchResult:
        """Draw until the rule accepts, at most `limit` tries; the samples of every try.

        When the budget ends before the limit and before the rule accepts, the tries so far are charged and
        `BudgetExceededError` is raised.
        """
        ...

    def sample_log_probabilities(self, prompt: Prompt, count: int, theta: FloatArray) -> LogProbabilities:
        """Draw `y ~ pi_theta(.|x)` with `log pi_theta(y|x)` where the generalised oracle is offered; `count` samples.

        `theta = 0` is the base policy. For a response whose `log pi_ref(y|x)` was answered too, one answer gives the
        log-partition exactly: `log Z_theta(x) = <theta, phi(x,y)>/beta - log(pi_theta/pi_ref)(y|x)`.
        `[paper: Definition C.1]`.
        """
        ...

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Draw one noisy reward, also of a response that was only guessed; 1 reward."""
        ...

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Draw a preference: a Bradley-Terry label of odds `e^{r*(first) - r*(second)}`; 1 reward. `[paper]`."""
        ...

    def enumerate(self, prompt: Prompt) -> Responses:
        """List all of `Y` where the full-table model is offered; `|Y|` enumerated."""
        ...


def second_response(oracle: Oracle, prompt: Prompt, anchor: Anchor) -> Response:
    """Return the `y'` that scores are relative to: a draw of the base policy, or the anchor response; 1 sample."""
    return (oracle.sample(prompt, 1) if anchor == "drawn" else oracle.anchor(prompt))[0]
