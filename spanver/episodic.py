"""The queries that a learner may make of a process of layers, in batches, and what each costs.

The model of FMR25, Appendix I (pp. 73-75): episodes with resets to states seen before, and a base policy that is
sampled. All queries are about a batch of states of one layer, so that a learner can move many rollouts at once; a batch
costs what its states cost one by one. The ledger is inside the oracle and counts every answer in Python integers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np

from spanver.kernels import truncated_scores
from spanver.parameter_sets import Shape
from spanver.validation import freeze, require, require_count, require_positive, to_array
from spanver.values import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class EpisodicLedger:
    """Number of answers so far, by kind.

    Attributes
    ----------
    samples : int
        Actions drawn from a policy, each with its features.
    features : int
        Features of actions that the learner named.
    rewards : int
        Rewards.
    transitions : int
        Next states, and first states.
    resets : int
        Returns to a state that was seen before.
    """

    samples: int = 0
    features: int = 0
    rewards: int = 0
    transitions: int = 0
    resets: int = 0

    def __post_init__(self) -> None:
        for each in fields(self):
            require_count(each.name, getattr(self, each.name), least=0)

    def __sub__(self, earlier: EpisodicLedger) -> EpisodicLedger:
        """What was answered since."""
        before = asdict(earlier)
        return EpisodicLedger(**{kind: count - before[kind] for kind, count in asdict(self).items()})

    def __add__(self, other: EpisodicLedger) -> EpisodicLedger:
        """What both were charged."""
        more = asdict(other)
        return EpisodicLedger(**{kind: count + more[kind] for kind, count in asdict(self).items()})

    @property
    def data(self) -> int:
        """`T_data` of processes: rewards, transitions and resets (FMR25, Appendix I.2, p. 75)."""
        return self.rewards + self.transitions + self.resets

    @property
    def computation(self) -> int:
        """`T_comp` of processes: both questions of the policy sampling oracle (FMR25, Definition I.3, p. 75)."""
        return self.samples + self.features

    @property
    def token_data(self) -> int:
        """`T_data` of token problems: rewards alone, as the next prefix is known (FMR25, Section 5, p. 12)."""
        return self.rewards

    @property
    def token_computation(self) -> int:
        """`T_comp^auto` of token problems: samples alone (FMR25, Definition 5.1, p. 12, but for its footnote 11)."""
        return self.samples


@dataclass(frozen=True, slots=True)
class EpisodicBudget:
    """The most that may be answered, by kind as of `EpisodicLedger`; None is no limit."""

    samples: int | None = None
    features: int | None = None
    rewards: int | None = None
    transitions: int | None = None
    resets: int | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) is not None:
                require_count(each.name, getattr(self, each.name), least=0)


@dataclass(frozen=True, eq=False, slots=True)
class States:
    """A batch of states of one layer, as an oracle hands it out.

    Attributes
    ----------
    layer : int
        From 0.
    ids : array of int, shape (n,)
        Which states; rollouts that meet have the same.
    episodes : int
        Number of the batch of episodes that these states belong to, which the oracle gives.
    """

    layer: int
    ids: IntArray
    episodes: int

    def __post_init__(self) -> None:
        given = np.asarray(self.ids)
        is_vector = given.ndim == 1 and (given.dtype.kind in "iu" or given.size == 0)
        require(is_vector, "ids", self.ids, "a vector of integers")
        ids = given.astype(np.int64)
        ids.setflags(write=False)
        object.__setattr__(self, "ids", ids)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """Actions drawn in a batch of states.

    Attributes
    ----------
    actions : array of int, shape (n, count)
    features : array, shape (n, count, d)
    """

    actions: IntArray
    features: FloatArray

    def __post_init__(self) -> None:
        _make_read_only(self)


@dataclass(frozen=True, eq=False, slots=True)
class Tallies:
    """The multisets of many draws in a batch of states: the `m` different pairs of a state and an action.

    Attributes
    ----------
    rows : array of int, shape (m,)
        Position of the state in the batch; it does not fall.
    actions : array of int, shape (m,)
    counts : array of int, shape (m,)
        Above 0.
    features : array, shape (m, d)
    """

    rows: IntArray
    actions: IntArray
    counts: IntArray
    features: FloatArray

    def __post_init__(self) -> None:
        _make_read_only(self)


@dataclass(frozen=True, eq=False, slots=True)
class Trials:
    """What trials until acceptance came to, for every state of a batch.

    Attributes
    ----------
    actions : array of int, shape (n,)
        The action that was accepted, or -1.
    features : array, shape (n, d)
        0 where none was.
    tries : array of int, shape (n,)
    """

    actions: IntArray
    features: FloatArray
    tries: IntArray

    def __post_init__(self) -> None:
        _make_read_only(self)


def _make_read_only(value: Any) -> None:
    """Make the arrays of an answer read-only; they are its own, so that none is copied."""
    for each in fields(value):
        getattr(value, each.name).setflags(write=False)


@dataclass(frozen=True, eq=False, slots=True)
class AnchoredScore:
    """Scores `<theta, v> 1[||v||_{Sigma^-1} <= nu]` with `v = phi(x, a) - phi(x, anchor)`, in a batch of states.

    That is `<phibar(x, a), theta>` of FMR25, Algorithm 4, p. 77.

    Attributes
    ----------
    theta : array, shape (d,)
    precision : array, shape (d, d)
        `Sigma^-1`.
    nu : float
    anchors : array, shape (n, d)
        `phi(x, anchor)` of every state.
    """

    theta: FloatArray
    precision: FloatArray
    nu: float
    anchors: FloatArray

    def __post_init__(self) -> None:
        freeze(self, theta=1, precision=2, anchors=2)
        dimension = len(self.theta)
        to_array("precision", self.precision, (dimension, dimension))
        to_array("anchors", self.anchors, (None, dimension))
        require_positive("nu", self.nu)

    def of(self, rows: IntArray, features: FloatArray) -> FloatArray:
        """Scores of actions, shape (m,), of the states at these positions (m,) and of these features (m, d)."""
        scores: FloatArray = truncated_scores(features, self.anchors[rows], self.theta, self.precision, self.nu)
        return scores


class EpisodicOracle(Protocol):
    """The oracle of a process of layers.

    A learner knows these facts and nothing else but answers. States that the oracle did not issue are refused, and a
    query that does not fit into the budget, with `BudgetExceededError`; the cost of a query is charged before its
    answer is returned. `step` goes on with a batch of episodes from where it is, once: to act there again one has to
    `reset`.
    """

    @property
    def horizon(self) -> int:
        """Number of layers, `H`."""
        ...

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
        """`B`, the largest norm of the parameters of a layer."""
        ...

    @property
    def shape(self) -> Shape:
        """What makes the set of parameters of the radius: `shape(radius)` is `Theta`."""
        ...

    @property
    def reward_range(self) -> float:
        """Length `R_max` of an interval that holds the rewards of one state."""
        ...

    @property
    def rewarded(self) -> tuple[bool, ...]:
        """Which layers have rewards; in a token problem the last alone."""
        ...

    @property
    def anchor(self) -> int:
        """The action that features are relative to."""
        ...

    @property
    def ledger(self) -> EpisodicLedger:
        """Number of answers so far."""
        ...

    @property
    def budget(self) -> EpisodicBudget:
        """The most that will be answered."""
        ...

    def start(self, count: int, /) -> States:
        """Begin episodes: `x_1 ~ P_0`; `count` transitions."""
        ...

    def reset(self, layer: int, ids: IntArray, /) -> States:
        """Begin episodes at states of a layer that were issued; one reset each."""
        ...

    def step(self, states: States, actions: IntArray, /) -> States:
        """Go on: `x_{h+1} ~ P_h(.|x_h, a_h)`, of actions (n,), also ones that were only guessed; n transitions."""
        ...

    def reward(self, states: States, actions: IntArray, /) -> FloatArray:
        """Draw `r_h(x_h, a_h)`, shape (n,), of actions (n,), also ones that were only guessed; n rewards."""
        ...

    def feature(self, states: States, actions: IntArray, /) -> FloatArray:
        """Return `phi_h(x_h, a_h)`, shape (n, d), of actions (n,), also ones that were only guessed; n features."""
        ...

    def sample(self, states: States, count: int, /, *, theta: FloatArray | None = None) -> Drawn:
        """Draw actions of `pi_ref,h(.|x)`, or of `pi_theta,h(.|x)` of the strong oracle; `n count` samples."""
        ...

    def sample_counts(self, states: States, count: int, /) -> Tallies:
        """Draw `count` actions of `pi_ref,h(.|x)` in every state and return the multisets; `n count` samples."""
        ...

    def sample_until(self, states: States, score: AnchoredScore, log_thresholds: FloatArray, limit: int, /) -> Trials:
        """Draw actions of `pi_ref,h(.|x)` until one is accepted, at most `limit` in every state; a sample a try.

        A try is accepted with probability `min(1, exp(score/beta - log_threshold))`, with a threshold for each state,
        shape (n,). When the budget ends first, the tries until then are charged and `BudgetExceededError` is raised.
        """
        ...
