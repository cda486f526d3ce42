"""The oracle of a process of layers that is written down, in its literal and in its counted form.

Both validate and charge alike and share single draws; they differ in their answers that stand for many draws. The
literal form draws every try. The counted form draws numbers of tries, and counts, from their exact distribution
(mathematics.md, section 2), so that the work does not grow with `N` or coverage.

Randomness: queries of one kind have one stream of random numbers, used in the order of the states of a batch and of the
batches. So a batch gets in the literal form what its states would get one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spanver.episodic import AnchoredScore, Drawn, EpisodicBudget, EpisodicLedger, States, Tallies, Trials
from spanver.errors import ArgumentError, BudgetExceededError
from spanver.kernels import log_softmax
from spanver.oracles.metered import LARGEST_COUNT, LARGEST_LIMIT, LARGEST_LIST, PromptStreams
from spanver.oracles.rejection import accepted_tries, first_accepted
from spanver.parameter_sets import require_inside
from spanver.problems.layered import LayeredMDP
from spanver.randomness import UniformBuffer, placed, position, stream
from spanver.validation import require, require_count, to_array
from spanver.values import FloatArray, IntArray

_LITERAL_COUNT = 2**32  # beyond that, drawing one by one does not end
_COUNTED_TOGETHER = 1 << 16  # draws that are only counted need not be in memory at once


@dataclass(frozen=True, eq=False)
class Standing:
    """Where an oracle stands: another one of the same problem and seed goes on from it with the same answers.

    Episodes under way are no part of it: what was issued before can be asked about and reset to, but not gone on with.

    Attributes
    ----------
    ledger : EpisodicLedger
    arrays : mapping of array
        What states were issued, how many batches, and the positions of all streams of random numbers, by name.
    """

    ledger: EpisodicLedger
    arrays: Mapping[str, NDArray[Any]]


def episodic_oracle(
    problem: LayeredMDP,
    *,
    seed: int,
    literal: bool = False,
    budget: EpisodicBudget | None = None,
    start: Standing | None = None,
) -> MeteredEpisodicOracle:
    """Oracle of a process of layers.

    Parameters
    ----------
    problem : LayeredMDP
        Of a token problem, that of `spanver.problems.tokens.as_mdp`.
    seed : int
        Of the oracle's randomness; the learner has its own.
    literal : bool
        Whether every try is drawn. By default answers are drawn from their exact distribution.
    budget : EpisodicBudget, optional
    start : Standing, optional
        To go on from: what `standing` says of an oracle of this problem and seed.

    Examples
    --------
    >>> from spanver.problems.families.mdp import mdp_problem
    >>> oracle = episodic_oracle(mdp_problem(), seed=1)
    >>> states = oracle.start(3)
    >>> following = oracle.step(states, oracle.sample(states, 1).actions[:, 0])
    >>> following.layer, oracle.ledger.transitions, oracle.ledger.samples
    (1, 6, 3)
    """
    return MeteredEpisodicOracle(problem, seed=seed, literal=literal, budget=budget, start=start)


def standing(oracle: MeteredEpisodicOracle) -> Standing:
    """Where an oracle stands. It is none of its queries: a learner does not learn it."""
    return oracle._where()


class _Draws(Protocol):
    """Answers that stand for many draws."""

    largest_count: int

    def counts(self, states: States, count: int) -> IntArray:
        """How often every action came, shape (n, A)."""
        ...

    def until(
        self, states: States, score: AnchoredScore, log_thresholds: FloatArray, limit: int, left: float
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Actions, -1 for none, and numbers of tries, of states in their order, in as many parts as one likes.

        A state gets no more than `limit` tries, and all together not many more than `left`.
        """
        ...


class MeteredEpisodicOracle:
    """An `EpisodicOracle` over a process of layers; see `episodic_oracle` for its parameters."""

    def __init__(
        self,
        problem: LayeredMDP,
        *,
        seed: int,
        literal: bool = False,
        budget: EpisodicBudget | None = None,
        start: Standing | None = None,
    ) -> None:
        require_count("seed", seed, least=0)
        is_budget = budget is None or isinstance(budget, EpisodicBudget)
        require(is_budget, "budget", budget, "an EpisodicBudget, such as EpisodicBudget(samples=10**6)")
        self.horizon, self.dimension, self.beta = problem.horizon, problem.dimension, float(problem.beta)
        self.radius, self.shape, self.rewarded = float(problem.radius), problem.shape, tuple(problem.rewarded)
        self.reward_range, self.anchor = float(problem.reward_range), int(problem.anchor)
        self.budget = budget or EpisodicBudget()
        self._problem = problem
        self._streams = PromptStreams(seed, 0)
        self._moves = stream(seed, "transitions")
        self._base = _Base(problem)
        self._draws: _Draws = (_LiteralDraws if literal else _CountedDraws)(problem, self._base, self._streams)
        self._spent = asdict(EpisodicLedger())
        self._issued = [np.zeros(len(log_base), dtype=bool) for log_base in problem.log_base]
        self._begun = 0
        self._standing: dict[int, tuple[int, int]] = {}  # batches that can go on, which may be many: their marks
        if start is not None:
            self._go_on_from(start)

    def _where(self) -> Standing:
        arrays = {f"issued_{layer}": issued.copy() for layer, issued in enumerate(self._issued, start=1)}
        arrays |= {name: position(generator) for name, generator in self._generators.items()}
        arrays |= {f"{name}_ahead": buffer.ahead for name, buffer in self._buffers.items()}
        arrays["begun"] = np.array(self._begun)  # so that no batch has the number of one that was issued before
        return Standing(self.ledger, arrays)

    def _go_on_from(self, start: Standing) -> None:
        self._spent = asdict(start.ledger)
        self._issued = [start.arrays[f"issued_{layer}"].copy() for layer in range(1, self.horizon + 1)]
        for name, generator in self._generators.items():
            placed(generator, start.arrays[name])
        self._begun = int(start.arrays["begun"])
        for name, buffer in self._buffers.items():
            buffer.ahead = start.arrays[f"{name}_ahead"]

    @property
    def _buffers(self) -> dict[str, UniformBuffer]:
        streams = self._streams
        return {"responses": streams.responses, "acceptance": streams.acceptance, "rewards": streams.rewards}

    @property
    def _generators(self) -> dict[str, np.random.Generator]:
        buffered = {name: buffer.generator for name, buffer in self._buffers.items()}
        return {"moves": self._moves, "aggregate": self._streams.aggregate, **buffered}

    @property
    def ledger(self) -> EpisodicLedger:
        """Number of answers so far."""
        return EpisodicLedger(**self._spent)

    def start(self, count: int) -> States:
        """Begin episodes: `x_1 ~ P_0`; `count` transitions."""
        count = _at_most("count", count, LARGEST_LIST)
        self._charge("transitions", count)
        law = np.broadcast_to(self._problem.initial_law, (count, len(self._problem.initial_law)))
        return self._newly_issued(0, _inverted(law, self._moves.random((count, 1)))[:, 0])

    def reset(self, layer: int, ids: IntArray) -> States:
        """Begin episodes at states of a layer that were issued; one reset each."""
        require_count("layer", layer, least=0)
        require(layer < self.horizon, "layer", layer, f"below {self.horizon}")
        states = States(layer, ids, -1)
        self._check_issued(states)
        self._charge("resets", len(states))
        return self._newly_issued(layer, states.ids)

    def step(self, states: States, actions: IntArray) -> States:
        """Go on: `x_{h+1} ~ P_h(.|x_h, a_h)`; n transitions."""
        actions = self._checked(states, actions)
        require(states.layer + 1 < self.horizon, "the layer of states", states.layer, f"below {self.horizon - 1}")
        is_there = self._standing.get(states.episodes) == _mark(states)
        require(is_there, "states", states, "a whole batch as it was issued, and not gone on from; reset for another")
        self._charge("transitions", len(states))
        del self._standing[states.episodes]
        law = self._problem.transitions[states.layer][states.ids, actions]
        moved = _inverted(law, self._moves.random((len(states), 1)))
        following = self._problem.successors[states.layer][states.ids, actions]
        return self._newly_issued(states.layer + 1, np.take_along_axis(following, moved, axis=1)[:, 0])

    def reward(self, states: States, actions: IntArray) -> FloatArray:
        """Draw `r_h(x_h, a_h)`, shape (n,); n rewards."""
        actions = self._checked(states, actions)
        require(self.rewarded[states.layer], "the layer of states", states.layer, "one that has rewards")
        self._charge("rewards", len(states))
        means = self._problem.rewards[states.layer][states.ids, actions]
        lows = self._problem.reward_low[states.layer][states.ids]
        is_noisy, quantiles = self._streams.rewards.take(2 * len(states)).reshape(-1, 2).T
        ends = lows + self.reward_range * (quantiles < (means - lows) / self.reward_range)
        rewards = np.where(is_noisy >= self._problem.noise, means, ends)
        rewards.setflags(write=False)
        return rewards

    def feature(self, states: States, actions: IntArray) -> FloatArray:
        """Return `phi_h(x_h, a_h)`, shape (n, d); n features."""
        actions = self._checked(states, actions)
        self._charge("features", len(states))
        features: FloatArray = self._problem.features[states.layer][states.ids, actions]
        features.setflags(write=False)
        return features

    def sample(self, states: States, count: int, *, theta: FloatArray | None = None) -> Drawn:
        """Draw actions of `pi_ref,h(.|x)`, or of `pi_theta,h(.|x)`; `n count` samples."""
        self._check_issued(states)
        count = _at_most("count", count, LARGEST_LIST)
        cost = _at_most("the number of draws", count * len(states), LARGEST_LIST, least=0)
        if theta is not None:
            theta = to_array("theta", theta, (self.dimension,))
            require_inside("theta", theta, self.shape(self.radius))
        self._charge("samples", cost)
        phi = self._problem.features[states.layer]
        if theta is None:
            law = self._base.of(states)
        else:
            log_base = self._problem.log_base[states.layer][states.ids]
            law = np.exp(log_softmax(log_base, phi[states.ids] @ theta, self.beta))
        actions = _inverted(law, self._streams.responses.take(cost).reshape(len(states), count))
        return Drawn(actions, phi[states.ids[:, None], actions])

    def sample_counts(self, states: States, count: int) -> Tallies:
        """Draw `count` actions of `pi_ref,h(.|x)` in every state and return the multisets; `n count` samples."""
        self._check_issued(states)
        count = _at_most("count", count, self._draws.largest_count)
        self._charge("samples", count * len(states))
        totals = self._draws.counts(states, count)
        rows, actions = np.nonzero(totals)
        features = self._problem.features[states.layer][states.ids[rows], actions]
        return Tallies(rows, actions, totals[rows, actions], features)

    def sample_until(self, states: States, score: AnchoredScore, log_thresholds: FloatArray, limit: int) -> Trials:
        """Draw actions until one is accepted, at most `limit` in every state; a sample a try."""
        self._check_issued(states)
        limit = _at_most("limit", limit, LARGEST_LIMIT)
        require(isinstance(score, AnchoredScore), "score", score, "an AnchoredScore")
        to_array("the anchors of score", score.anchors, (len(states), self.dimension))
        log_thresholds = to_array("log_thresholds", log_thresholds, (len(states),))
        left = np.inf if self.budget.samples is None else self.budget.samples - self._spent["samples"]
        actions, tries = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        before, charged = self._streams.tried, 0
        try:
            for accepted, made in self._draws.until(states, score, log_thresholds, limit, left):
                cost = sum(made.tolist())  # not of NumPy: it may pass 2**63
                answered = int(min(cost, left - charged))
                self._spent["samples"] += answered
                charged += answered
                if answered < cost:
                    raise BudgetExceededError("samples", 1, 0)
                actions.append(accepted)
                tries.append(made)
        except BaseException:
            drawn = self._streams.tried - before
            self._spent["samples"] += int(max(0, min(drawn, left) - charged))
            raise
        chosen = np.concatenate(actions)
        features = self._problem.features[states.layer][states.ids, chosen]
        features[chosen < 0] = 0.0
        return Trials(chosen, features, np.concatenate(tries))

    def _newly_issued(self, layer: int, ids: IntArray) -> States:
        self._issued[layer][ids] = True
        self._begun += 1
        states = States(layer, ids, self._begun)
        if layer + 1 < self.horizon:
            self._standing[states.episodes] = _mark(states)
        return states

    def _check_issued(self, states: States) -> None:
        require(isinstance(states, States), "states", states, "States that this oracle issued")
        is_layer = type(states.layer) is int and 0 <= states.layer < self.horizon
        require(is_layer, "the layer of states", states.layer, f"from 0 to {self.horizon - 1}")
        issued, ids = self._issued[states.layer], states.ids
        is_issued = bool(((ids >= 0) & (ids < len(issued))).all()) and bool(issued[ids].all())
        require(is_issued, "the ids of states", ids, "states of this layer that this oracle issued")

    def _checked(self, states: States, actions: IntArray) -> IntArray:
        self._check_issued(states)
        given = np.asarray(actions)
        is_right = given.dtype.kind in "iu" and given.shape == (len(states),)
        require(is_right, "actions", actions, f"{len(states)} integers, one for each state")
        inside = bool(((given >= 0) & (given < self._problem.actions)).all())
        require(inside, "actions", actions, f"numbers of actions, from 0 to {self._problem.actions - 1}")
        return given

    def _charge(self, kind: str, cost: int) -> None:
        limit: int | None = getattr(self.budget, kind)
        if limit is not None and cost > limit - self._spent[kind]:
            raise BudgetExceededError(kind, cost, limit - self._spent[kind])
        self._spent[kind] += cost


class _Base:
    """Base probabilities of every layer, of which each state's sum is 1."""

    def __init__(self, problem: LayeredMDP) -> None:
        laws = [np.exp(log_base) for log_base in problem.log_base]
        self._laws = [law / law.sum(axis=1, keepdims=True) for law in laws]

    def of(self, states: States) -> FloatArray:
        """Base probabilities in a batch of states, shape (n, A)."""
        law: FloatArray = self._laws[states.layer][states.ids]
        return law


class _LiteralDraws:
    """Every try is drawn, one state after the other."""

    largest_count = _LITERAL_COUNT

    def __init__(self, problem: LayeredMDP, base: _Base, streams: PromptStreams) -> None:
        self._problem, self._base, self._streams = problem, base, streams

    def counts(self, states: States, count: int) -> IntArray:
        laws = self._base.of(states)
        totals = np.zeros(laws.shape, dtype=np.int64)
        for row, law in enumerate(laws):
            for begun in range(0, count, _COUNTED_TOGETHER):
                uniforms = self._streams.responses.take(min(_COUNTED_TOGETHER, count - begun))
                totals[row] += np.bincount(_inverted(law[None], uniforms[None])[0], minlength=len(law))
        return totals

    def until(
        self, states: States, score: AnchoredScore, log_thresholds: FloatArray, limit: int, left: float
    ) -> Iterator[tuple[IntArray, IntArray]]:
        for row, (state, law) in enumerate(zip(states.ids, self._base.of(states), strict=True)):
            phi = self._problem.features[states.layer][state]
            log_acceptance = score.of(np.full(len(phi), row), phi) / self._problem.beta - log_thresholds[row]

            def hits(
                uniforms: FloatArray, law: FloatArray = law, log_acceptance: FloatArray = log_acceptance
            ) -> IntArray:
                drawn = _inverted(law[None], uniforms.reshape(1, -1))[0]
                return accepted_tries(log_acceptance[drawn], self._streams)

            # One more than is affordable shows that the budget ends first.
            uniforms, tries = first_accepted(self._streams, 1, int(min(limit, left + 1)), hits)
            left -= tries
            action = np.array([-1]) if uniforms is None else _inverted(law[None], uniforms.reshape(1, 1))[0]
            yield action, np.array([tries])


class _CountedDraws:
    """Counts and numbers of tries come from their exact distribution."""

    largest_count = LARGEST_COUNT

    def __init__(self, problem: LayeredMDP, base: _Base, streams: PromptStreams) -> None:
        self._problem, self._base, self._streams = problem, base, streams

    def counts(self, states: States, count: int) -> IntArray:
        laws = self._base.of(states)
        # Rare actions first: the multinomial then conditions on little, and keeps their law to full precision.
        order = np.argsort(laws, axis=1, kind="stable")
        drawn = self._streams.aggregate.multinomial(count, np.take_along_axis(laws, order, axis=1))
        totals = np.empty_like(drawn)
        np.put_along_axis(totals, order, drawn, axis=1)
        return totals

    def until(
        self, states: States, score: AnchoredScore, log_thresholds: FloatArray, limit: int, left: float
    ) -> Iterator[tuple[IntArray, IntArray]]:
        laws, phi = self._base.of(states), self._problem.features[states.layer][states.ids]
        rows = np.repeat(np.arange(len(states)), laws.shape[1])
        scores = score.of(rows, phi.reshape(len(rows), phi.shape[2])).reshape(laws.shape)
        masses = laws * np.exp(np.minimum(0.0, scores / self._problem.beta - log_thresholds[:, None]))
        tries = _geometric(masses.sum(axis=1), self._streams.aggregate.random(len(states)))
        actions = _inverted(masses, self._streams.aggregate.random((len(states), 1)))[:, 0]
        found = tries <= limit
        yield np.where(found, actions, -1), np.where(found, tries, limit).astype(np.int64)


def _mark(states: States) -> tuple[int, int]:
    """What tells a batch from others."""
    return states.layer, hash(states.ids.tobytes())


def _inverted(masses: FloatArray, uniforms: FloatArray) -> IntArray:
    """Draw from the law of each row by inversion: masses (n, A) and uniforms (n, k) give positions (n, k).

    What has no mass is never drawn.
    """
    cumulative = np.cumsum(masses, axis=1)
    targets = uniforms * cumulative[:, -1:]
    found = np.zeros(uniforms.shape, dtype=np.int64)
    for column in cumulative[:, :-1].T:
        found += column[:, None] <= targets
    # The product may round up to the total; the exact inverse is then where the total is reached.
    return np.minimum(found, (cumulative < cumulative[:, -1:]).sum(axis=1, keepdims=True))


def _geometric(probabilities: FloatArray, uniforms: FloatArray) -> FloatArray:
    """Number of independent tries up to the first success, by inversion in logs; infinite where there is none."""
    with np.errstate(divide="ignore"):
        tries = np.log1p(-uniforms) / np.log1p(-np.minimum(probabilities, 1.0))
    return np.where(probabilities > 0.0, np.maximum(1.0, np.ceil(tries)), np.inf)


def _at_most(name: str, count: int, largest: int, *, least: int = 1) -> int:
    require_count(name, count, least=least)
    if count > largest:
        raise ArgumentError(name, count, f"at most 2**{largest.bit_length() - 1} in one query of this oracle")
    return int(count)
