"""Decision processes of `H` layers that can be written down (FMR25, Appendix I.1, p. 73), and their optimal values.

Layer `h` lists its states; an action leads to a state of the next layer, at random. Rewards are drawn in every layer,
or in some. In a `TokenProblem` a state is a prefix, an action is its next token, and the next state is certain: it has
a compact form of its own and offers what `Layered` states. `spanver.problems.tokens.as_mdp` lists it as a `LayeredMDP`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from spanver.kernels import log_normaliser
from spanver.parameter_sets import Ball, ParameterSet, Shape, require_inside
from spanver.problems.tabular import TabularProblem
from spanver.validation import ROUNDING, frozen, require, require_count, to_array
from spanver.values import FloatArray, IntArray


class Layered(Protocol):
    """What a problem of layers offers to recursions over them; layers are counted from 0."""

    @property
    def beta(self) -> float:
        """Weight of the KL term in the objective."""
        ...

    @property
    def initial_law(self) -> FloatArray:
        """Law of the first state, shape (S_1,)."""
        ...

    @property
    def log_base(self) -> Sequence[FloatArray]:
        """`log pi_ref,h(a|x)`: H arrays of shapes (S_h, A)."""
        ...

    @property
    def rewards(self) -> Sequence[FloatArray]:
        """Mean rewards `r*_h(x, a)`: H arrays of shapes (S_h, A)."""
        ...

    def expected(self, layer: int, values: FloatArray) -> FloatArray:
        """Mean of a value of the next state, `E[values(x_{h+1}) | x_h, a_h]`: from shape (S_{h+1},) to (S_h, A)."""
        ...

    def largest(self, layer: int, values: FloatArray) -> FloatArray:
        """Largest value of a next state that is possible: from shape (S_{h+1},) to (S_h, A)."""
        ...

    def reached(self, layer: int, masses: FloatArray) -> FloatArray:
        """Masses of the next states, from those of states with actions: from shape (S_h, A) to (S_{h+1},)."""
        ...


def soft_q(problem: Layered) -> tuple[FloatArray, ...]:
    """Optimal values `Q*_h(x, a) = r*_h(x, a) + E[V_{h+1}(x_{h+1}) | x, a]` (FMR25, Definition I.2, p. 74).

    `V_h(x) = beta log E_{a~pi_ref,h} exp(Q*_h(x, a)/beta)`.

    Returns
    -------
    tuple of H arrays, of shapes (S_h, A)
    """
    return soft_q_by(problem.expected, problem.log_base, problem.rewards, problem.beta)


def soft_q_by(
    expected: Callable[[int, FloatArray], FloatArray],
    log_base: Sequence[FloatArray],
    rewards: Sequence[FloatArray],
    beta: float,
) -> tuple[FloatArray, ...]:
    """Optimal values by their recursion, of tables; parameters are what `Layered` offers."""
    layers = [rewards[-1]]
    for layer in reversed(range(len(log_base) - 1)):
        value: FloatArray = beta * log_normaliser(log_base[layer + 1], layers[-1], beta)
        layers.append(rewards[layer] + expected(layer, value))
    return tuple(reversed(layers))


def require_realizable(
    problem: Layered, features: Sequence[FloatArray], theta_star: FloatArray, parameters: ParameterSet
) -> None:
    """Refuse parameters that are outside of their set or do not give the differences of `Q*` (FMR25, (73), p. 74).

    Parameters
    ----------
    problem : Layered
    features : sequence of H arrays, of shapes (S_h, A, d)
    theta_star : array, shape (H, d)
    parameters : ParameterSet
        Of every layer.
    """
    scale = max(1.0, *(float(np.abs(rewards).max()) for rewards in problem.rewards))
    for layer, (q, phi, theta) in enumerate(zip(soft_q(problem), features, theta_star, strict=True)):
        require_inside("theta_star", theta, parameters)
        residual = float(np.ptp(q - phi @ theta, axis=1).max())
        off = f"{residual:.3g} off some difference in layer {layer + 1}"
        allowed = "parameters that give every difference of Q* at one state"
        require(residual <= 1e-9 * scale, "theta_star", off, allowed)


@dataclass(frozen=True, eq=False)
class LayeredMDP:
    """A decision process of `H` layers of states, `A` actions, and features in the unit ball of `R^d`.

    Parameters
    ----------
    initial_law : array, shape (S_1,)
        Law of the first state.
    successors : sequence of H - 1 integer arrays, of shapes (S_h, A, K)
        The states of layer `h+1` that an action may lead to. `K` may differ from layer to layer.
    transitions : sequence of H - 1 arrays, of shapes (S_h, A, K)
        Their probabilities.
    log_base : sequence of H arrays, of shapes (S_h, A)
        `log pi_ref,h(a|x)`; minus infinity outside the support.
    features : sequence of H arrays, of shapes (S_h, A, d)
        `phi_h(x, a)`, `||phi|| <= 1`.
    rewards : sequence of H arrays, of shapes (S_h, A)
        Mean rewards `r*_h(x, a)`.
    beta : float
        Above 0.
    radius : float
        `B`, the largest norm of the parameters of every layer.
    reward_range : float, optional
        `R_max`: the rewards that are observed at `x` lie in `[reward_low(x), reward_low(x) + R_max]`. Default: the
        largest of `rewards - reward_low`, or 1 if there is none above 0.
    reward_low : sequence of H arrays, of shapes (S_h,), optional
        Default: 0, as in the paper.
    rewarded : sequence of H bool, optional
        Whether a reward can be asked for in a layer; the others have rewards of 0. Default: in every one.
    noise : float
        As of `TabularProblem`.
    anchor : int
        Number of the action `a` that features are relative to in MTSS (FMR25, Algorithm 4, p. 77). The paper allows any
        action. Its Lemma M.3 needs one that the base policy takes.
    theta_star : array, shape (H, d), optional
        Parameters that realize the differences of `Q*_h` at every state, where they are known. They are checked.
    shape : Shape
        Of the set of parameters; `shape(radius)` is `Theta`.
    name : str
        Family.
    parameters : mapping
        What the family was called with.

    Attributes
    ----------
    table : TabularProblem
        Every state of every layer as a prompt, first layer first, and actions as its responses.
    offsets : tuple of int
        Row of the table at which each layer begins.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """

    initial_law: FloatArray
    successors: Sequence[IntArray]
    transitions: Sequence[FloatArray]
    log_base: Sequence[FloatArray]
    features: Sequence[FloatArray]
    rewards: Sequence[FloatArray]
    beta: float
    radius: float
    reward_range: float = None  # type: ignore[assignment]  # derived from the rewards when it is not given
    reward_low: Sequence[FloatArray] = None  # type: ignore[assignment]  # likewise
    rewarded: Sequence[bool] = None  # type: ignore[assignment]  # likewise
    noise: float = 0.0
    anchor: int = 0
    theta_star: FloatArray | None = None
    shape: Shape = Ball
    name: str = "layered table"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    table: TabularProblem = field(init=False)
    offsets: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        horizon = len(self.log_base)
        require(horizon > 0, "log_base", self.log_base, "of at least one layer")
        initial_law = to_array("initial_law", self.initial_law, (None,))
        is_law = bool((initial_law >= 0.0).all()) and abs(float(initial_law.sum()) - 1.0) <= ROUNDING
        require(is_law, "initial_law", self.initial_law, "probabilities that sum to 1")
        _, actions, dimension = to_array("features of layer 1", self.features[0], (None, None, None)).shape
        sizes = [len(initial_law), *(len(layer) for layer in self.log_base[1:])]
        self._set_table(sizes, actions, dimension, initial_law)
        self._set_transitions(sizes, actions)
        require_count("anchor", self.anchor, least=0)
        require(self.anchor < actions, "anchor", self.anchor, f"the number of an action, below {actions}")
        if self.theta_star is not None:
            self._set(theta_star=frozen(to_array("theta_star", self.theta_star, (horizon, dimension))))
            require_realizable(self, self.features, self.theta_star, self.shape(self.radius))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _set_table(self, sizes: list[int], actions: int, dimension: int, initial_law: FloatArray) -> None:
        horizon = len(sizes)
        rewarded = (True,) * horizon if self.rewarded is None else tuple(map(bool, self.rewarded))
        require(len(rewarded) == horizon, "the layers of rewarded", len(rewarded), str(horizon))
        given = [np.zeros(size) for size in sizes] if self.reward_low is None else self.reward_low
        lows = _layers("reward_low", given, [(size,) for size in sizes])
        rewards = _layers("rewards", self.rewards, [(size, actions) for size in sizes])
        for layer, is_rewarded in enumerate(rewarded):
            nothing = is_rewarded or not rewards[layer].any()
            require(nothing, f"rewards of layer {layer + 1}", self.rewards[layer], "0, as the layer is not rewarded")
        # Where no rewards differ any length holds them.
        highest = max(float((rewards[k] - lows[k][:, None]).max()) for k in range(horizon)) or 1.0
        table = TabularProblem(
            prompt_law=np.concatenate([initial_law, np.zeros(sum(sizes[1:]))]),
            log_base=np.concatenate(
                _layers("log_base", self.log_base, [(size, actions) for size in sizes], finite=False)
            ),
            features=np.concatenate(_layers("features", self.features, [(size, actions, dimension) for size in sizes])),
            reward=np.concatenate(rewards),
            beta=self.beta,
            radius=self.radius,
            reward_range=highest if self.reward_range is None else self.reward_range,
            reward_low=np.concatenate(lows),
            noise=self.noise,
            shape=self.shape,
        )
        ends = list(itertools.accumulate(sizes))
        slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        self._set(table=table, offsets=tuple(each.start for each in slices), reward_range=table.reward_range)
        self._set(initial_law=table.prompt_law[slices[0]], rewarded=rewarded)
        for name in ("log_base", "features", "reward_low"):
            self._set(**{name: tuple(getattr(table, name)[each] for each in slices)})
        self._set(rewards=tuple(table.reward[each] for each in slices))

    def _set_transitions(self, sizes: list[int], actions: int) -> None:
        moves = len(sizes) - 1
        require(len(self.successors) == moves, "the layers of successors", len(self.successors), str(moves))
        require(len(self.transitions) == moves, "the layers of transitions", len(self.transitions), str(moves))
        successors, transitions = [], []
        for layer in range(moves):
            following = np.array(self.successors[layer])
            name = f"successors of layer {layer + 1}"
            require(following.dtype.kind in "iu" and following.ndim == 3, name, following, "integers of 3 dimensions")
            shape = (sizes[layer], actions, following.shape[2])
            require(
                following.shape == shape and following.size > 0, f"the shape of {name}", following.shape, str(shape)
            )
            inside = following.min() >= 0 and following.max() < sizes[layer + 1]
            require(bool(inside), name, following, f"states of the next layer, from 0 to {sizes[layer + 1] - 1}")
            following.setflags(write=False)
            name = f"transitions of layer {layer + 1}"
            law = to_array(name, self.transitions[layer], shape)
            totals = law.sum(axis=2, keepdims=True)
            is_law = bool((law >= 0.0).all()) and bool((np.abs(totals - 1.0) <= ROUNDING).all())
            require(is_law, name, law, "probabilities that sum to 1 for every state and action")
            successors.append(following)
            transitions.append(frozen(law / totals))
        self._set(successors=tuple(successors), transitions=tuple(transitions))

    @property
    def horizon(self) -> int:
        """Number of layers, `H`."""
        return len(self.log_base)

    @property
    def actions(self) -> int:
        """Number of actions, `A`."""
        return self.table.responses

    @property
    def dimension(self) -> int:
        """Dimension `d` of the features of a layer."""
        return self.table.dimension

    def expected(self, layer: int, values: FloatArray) -> FloatArray:
        """As of `Layered`; infinite values without mass count 0."""
        law = self.transitions[layer]
        terms = np.multiply(law, values[self.successors[layer]], out=np.zeros_like(law), where=law > 0.0)
        total: FloatArray = terms.sum(axis=2)
        return total

    def largest(self, layer: int, values: FloatArray) -> FloatArray:
        """As of `Layered`."""
        possible = self.transitions[layer] > 0.0
        highest: FloatArray = np.max(values[self.successors[layer]], axis=2, where=possible, initial=-np.inf)
        return highest

    def reached(self, layer: int, masses: FloatArray) -> FloatArray:
        """As of `Layered`."""
        flow = masses[:, :, None] * self.transitions[layer]
        total = np.zeros(len(self.log_base[layer + 1]))
        np.add.at(total, self.successors[layer], flow)
        return total


def _layers(
    name: str, arrays: Sequence[FloatArray], shapes: Sequence[tuple[int, ...]], *, finite: bool = True
) -> list[FloatArray]:
    require(len(arrays) == len(shapes), f"the layers of {name}", len(arrays), str(len(shapes)))
    return [
        to_array(f"{name} of layer {layer + 1}", array, shape, finite=finite)
        for layer, (array, shape) in enumerate(zip(arrays, shapes, strict=True))
    ]
