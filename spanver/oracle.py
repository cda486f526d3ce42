"""The questions that a learner may ask, what they cost, and what it is told when it asks too much.

A learner gets an `Oracle` and nothing else: the sampling-oracle model of the paper (mathematics.md, section 2;
`[FMR25]`). The ledger is inside the oracle and counts every single answer in Python integers, which have no largest
value (O1). A budget is never exceeded: a question that does not fit raises `BudgetExceededError` (O3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from spanver.validation import require_count
from spanver.values import Counts, FloatArray, Prefix, Prompt, Response, ResponseId, Responses, Rule, SearchResult

__all__ = ["Budget", "Ledger", "Oracle", "PrefixOracle"]

AnyResponse: TypeAlias = Response | ResponseId


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was answered so far.

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
    """A door to a problem. Each method is a question; all answers are read-only (mathematics.md, section 2).

    Questions about a prompt refuse one that this oracle has not handed out. What a question costs is charged before its
    answer is returned, also when the answer is then not used.
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
        """Radius `B` of the parameter ball."""
        ...

    @property
    def reward_range(self) -> float:
        """Length `R_max` of an interval that holds the rewards of one prompt."""
        ...

    @property
    def ledger(self) -> Ledger:
        """What was answered so far."""
        ...

    @property
    def budget(self) -> Budget:
        """The most that will be answered."""
        ...

    def prompt(self) -> Prompt:
        """Draw `x ~ rho`; free."""
        ...

    def sample(self, prompt: Prompt, count: int, *, theta: FloatArray | None = None) -> Responses:
        """Draw `y ~ pi_ref(.|x)`, or `pi_theta(.|x)` where the strong oracle is offered; `count` samples."""
        ...

    def sample_counts(self, prompt: Prompt, count: int) -> Counts:
        """Draw `count` times from `pi_ref(.|x)` and return the multiset; `count` samples."""
        ...

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int) -> SearchResult:
        """Draw until the rule accepts, at most `limit` tries; the samples of every try.

        When the budget ends before the limit and before the rule accepts, what was tried is charged and
        `BudgetExceededError` is raised.
        """
        ...

    def reward(self, prompt: Prompt, response: AnyResponse) -> float:
        """Ask for one noisy reward, also of a response that was only guessed; 1 reward."""
        ...

    def compare(self, prompt: Prompt, first: AnyResponse, second: AnyResponse) -> bool:
        """Ask which is preferred: a Bradley-Terry label of odds `e^{r*(first) - r*(second)}`; 1 reward. `[ext]`."""
        ...

    def enumerate(self, prompt: Prompt) -> Responses:
        """List all of `Y` where the full-table model is offered; `|Y|` enumerated."""
        ...


class PrefixOracle(Protocol):
    """The same questions with a prefix in place of a prompt, and its next token in place of a response (A4).

    Any prefix of a prompt that was handed out may be asked about, also one that was only guessed. Every token answer
    is a sample. So whatever asks an `Oracle` about a prompt, a sampler for one, can ask this about a prefix.
    """

    @property
    def dimension(self) -> int:
        """Dimension `d` of the features of every layer."""
        ...

    @property
    def beta(self) -> float:
        """Weight of the KL term in the objective."""
        ...

    @property
    def radius(self) -> float:
        """Radius `B` of the parameter ball of every layer."""
        ...

    @property
    def reward_range(self) -> float:
        """Length `R_max` of an interval that holds the rewards of one prompt."""
        ...

    @property
    def ledger(self) -> Ledger:
        """What was answered so far."""
        ...

    @property
    def budget(self) -> Budget:
        """The most that will be answered."""
        ...

    def prompt(self) -> Prefix:
        """Draw `x ~ rho` and return the prefix without tokens; free."""
        ...

    def sample(self, prefix: Prefix, count: int) -> Responses:
        """Draw `a ~ pi_ref,h(.|s)` with `phi_h(s, a)`; `count` samples."""
        ...

    def sample_counts(self, prefix: Prefix, count: int) -> Counts:
        """Draw `count` tokens and return the multiset; `count` samples."""
        ...

    def sample_until(self, prefix: Prefix, rule: Rule, limit: int) -> SearchResult:
        """Draw tokens until the rule accepts, at most `limit` tries; the samples of every try."""
        ...

    def reward(self, sequence: Prefix) -> float:
        """Ask for one noisy reward of a complete sequence, also of one that was only guessed; 1 reward."""
        ...
