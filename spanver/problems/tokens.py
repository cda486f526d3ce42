"""Problems whose responses are token sequences that can still be written down: a table of tokens for every prefix (A4).

A `TokenProblem` has `H` layers. Layer `h` lists all prefixes `s = (x, a_1..a_{h-1})`: row `x A^{h-1} + (a_1..a_{h-1}
read as a number in base A)`; complete sequences are numbered the same way. It is checked once, when it is made, and is
read-only from then on; tokens of base probability 0 are legal everywhere.

`sequence_view` is the same problem for learners that see whole sequences as responses, and `as_mdp` as a `LayeredMDP`
for learners that see states.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spanver.parameter_sets import Ball, Box, Shape
from spanver.problems.layered import LayeredMDP, require_realizable, soft_q_by
from spanver.problems.tabular import TabularProblem
from spanver.validation import frozen, require, to_array
from spanver.values import FloatArray

MAX_HORIZON = 16  # of the family: beyond, a table of all prefixes is no longer small


@dataclass(frozen=True, eq=False)
class TokenProblem:
    """A problem of `X` prompts and sequences of `H` tokens out of `A`, with features in the unit ball of `R^d`.

    Parameters
    ----------
    prompt_law : array, shape (X,)
        `rho`.
    log_base : sequence of H arrays, of shapes (X A^{h-1}, A)
        `log pi_ref,h(a|s)`; minus infinity outside the support.
    features : sequence of H arrays, of shapes (X A^{h-1}, A, d)
        `phi_h(s, a)`, `||phi|| <= 1`.
    reward : array, shape (X, A^H)
        Mean reward `r*` of every complete sequence.
    beta : float
        Above 0.
    radius : float
        `B`, the largest norm of the parameters of every layer.
    reward_range, reward_low, noise
        As in `TabularProblem`, over the complete sequences of a prompt.
    theta_star : array, shape (H, d), optional
        Parameters that realize the differences of `Q*_h` at every prefix, where they are known. They are checked.
    shape : Shape
        Of the set of parameters; `shape(radius)` is `Theta`.
    name : str
        Family.
    parameters : mapping
        What the family was called with.

    Attributes
    ----------
    table : TabularProblem
        Every prefix of every layer as a prompt, first layer first, and tokens as its responses. The rewards of a
        complete sequence stand at its last token; other rows hold a constant.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """

    prompt_law: FloatArray
    log_base: Sequence[FloatArray]
    features: Sequence[FloatArray]
    reward: FloatArray
    beta: float
    radius: float
    reward_range: float = None  # type: ignore[assignment]  # derived from the rewards when it is not given
    reward_low: FloatArray = None  # type: ignore[assignment]  # likewise
    noise: float = 0.0
    theta_star: FloatArray | None = None
    shape: Shape = Ball
    name: str = "tokens table"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    table: TabularProblem = field(init=False)

    def __post_init__(self) -> None:
        require(len(self.log_base) > 0, "log_base", self.log_base, "of at least one layer")
        require(len(self.features) == len(self.log_base), "the layers of features", len(self.features), "one per layer")
        prompt_law = to_array("prompt_law", self.prompt_law, (None,))
        first = to_array("features", self.features[0], (None, None, None))
        horizon, prompts = len(self.log_base), len(prompt_law)
        _, vocabulary_size, dimension = first.shape
        bases, features = [], []
        for layer in range(horizon):
            rows = prompts * vocabulary_size**layer
            shape: tuple[int, ...] = (rows, vocabulary_size)
            bases.append(to_array(f"log_base of layer {layer + 1}", self.log_base[layer], shape, finite=False))
            shape = (rows, vocabulary_size, dimension)
            features.append(to_array(f"features of layer {layer + 1}", self.features[layer], shape))
        reward = to_array("reward", self.reward, (prompts, vocabulary_size**horizon))
        given_low, given_range = self.reward_low, self.reward_range
        low = reward.min(axis=1) if given_low is None else to_array("reward_low", given_low, (prompts,))
        # Where no rewards differ any length holds them.
        spread = (float((reward.max(axis=1) - low).max()) or 1.0) if given_range is None else given_range

        lows = np.concatenate([low.repeat(vocabulary_size**layer) for layer in range(horizon)])
        rewards = np.repeat(lows[:, None], vocabulary_size, axis=1)
        rewards[-prompts * vocabulary_size ** (horizon - 1) :] = reward.reshape(-1, vocabulary_size)
        table = TabularProblem(
            prompt_law=np.concatenate([prompt_law, np.zeros(len(lows) - prompts)]),
            log_base=np.concatenate(bases),
            features=np.concatenate(features),
            reward=rewards,
            beta=self.beta,
            radius=self.radius,
            reward_range=spread,
            reward_low=lows,
            noise=self.noise,
            shape=self.shape,
        )
        ends = list(itertools.accumulate(map(len, bases)))
        self._set(table=table, reward_range=table.reward_range, prompt_law=table.prompt_law[:prompts])
        self._set(reward_low=table.reward_low[:prompts], reward=frozen(reward))
        self._set(log_base=tuple(table.log_base[end - len(base) : end] for base, end in zip(bases, ends, strict=True)))
        self._set(features=tuple(table.features[end - len(base) : end] for base, end in zip(bases, ends, strict=True)))
        if self.theta_star is not None:
            self._set(theta_star=frozen(to_array("theta_star", self.theta_star, (horizon, dimension))))
            require_realizable(self, self.features, self.theta_star, self.shape(self.radius))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def horizon(self) -> int:
        """Number of tokens of a sequence, `H`."""
        return len(self.log_base)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens to choose from, `A`."""
        return self.table.responses

    @property
    def prompts(self) -> int:
        """Number of prompts, `X`."""
        return len(self.prompt_law)

    @property
    def dimension(self) -> int:
        """Dimension `d` of the features of a layer."""
        return self.table.dimension

    @property
    def initial_law(self) -> FloatArray:
        """Law of the prompts, as of `Layered`."""
        return self.prompt_law

    @property
    def rewards(self) -> tuple[FloatArray, ...]:
        """Rewards of every layer, as of `Layered`: those of complete sequences in the last, 0 before."""
        return _at_the_end(self.log_base, self.reward)

    def expected(self, layer: int, values: FloatArray) -> FloatArray:
        """As of `Layered`: the next state is certain."""
        return values.reshape(self.log_base[layer].shape)

    def largest(self, layer: int, values: FloatArray) -> FloatArray:
        """As of `Layered`."""
        return self.expected(layer, values)

    def reached(self, layer: int, masses: FloatArray) -> FloatArray:
        """As of `Layered`: row `s A + a` of the next layer is the prefix `s a`."""
        return masses.reshape(len(self.log_base[layer + 1]))

    def row(self, prompt: int, tokens: Sequence[int]) -> int:
        """Row of a prefix in its layer; of a complete sequence, its place among all of all prompts."""
        row = prompt
        for token in tokens:
            row = row * self.vocabulary_size + token
        return row


def soft_q_of(log_base: Sequence[FloatArray], reward: FloatArray, beta: float) -> tuple[FloatArray, ...]:
    """Optimal token values of tables: what `soft_q` computes, of anything that has layers, rewards and `beta`.

    `Q_H = r*`, `Q_{h-1}(s', a') = V_h(s' a') = beta log E_{pi_ref,h} exp(Q_h/beta)` (A4).

    Parameters
    ----------
    log_base : sequence of H arrays, of shapes (X A^{h-1}, A)
    reward : array, shape (X, A^H)
    beta : float
    """
    vocabulary_size = log_base[0].shape[1]
    return soft_q_by(
        lambda _, values: values.reshape(-1, vocabulary_size), log_base, _at_the_end(log_base, reward), beta
    )


def _at_the_end(log_base: Sequence[FloatArray], reward: FloatArray) -> tuple[FloatArray, ...]:
    """Rewards of every layer: those of complete sequences in the last, 0 before."""
    nothing = np.zeros(())
    return (*(np.broadcast_to(nothing, base.shape) for base in log_base[:-1]), reward.reshape(log_base[-1].shape))


def log_sequence_law(laws: Sequence[FloatArray]) -> FloatArray:
    """Law of complete sequences from the law of every token.

    Parameters
    ----------
    laws : sequence of H arrays, of shapes (X A^{h-1}, A)
        Log laws.

    Returns
    -------
    array, shape (X, A^H)
    """
    total = np.zeros(len(laws[0]))
    for law in laws:
        total = (total[:, None] + law).reshape(-1)
    return total.reshape(len(laws[0]), -1)


def sequence_view(problem: TokenProblem) -> TabularProblem:
    """The problem with whole sequences as responses and features `(phi_1..phi_H)/sqrt(H)` in `R^{dH}`.

    Its radius is `sqrt(H sum B_h^2)`. The parameters of all layers side by side are a box again where those of each are
    one; else its set of parameters is the ball that holds them. It has a `theta_star` where `sqrt(H) (theta*_1..
    theta*_H)` realizes the rewards, as it does in the family `tokens`.
    """
    horizon, vocabulary_size = problem.horizon, problem.vocabulary_size
    blocks = [
        block.reshape(-1, problem.dimension).repeat(vocabulary_size ** (horizon - layer - 1), axis=0)
        for layer, block in enumerate(problem.features)
    ]
    features = np.concatenate(blocks, axis=1).reshape(problem.prompts, vocabulary_size**horizon, -1) / math.sqrt(
        horizon
    )
    theta = None if problem.theta_star is None else math.sqrt(horizon) * problem.theta_star.reshape(-1)
    if theta is not None and np.ptp(problem.reward - features @ theta, axis=1).max() > 1e-9 * problem.reward_range:
        theta = None
    return TabularProblem(
        prompt_law=problem.prompt_law,
        log_base=log_sequence_law(problem.log_base),
        features=features,
        reward=problem.reward,
        beta=problem.beta,
        radius=horizon * problem.radius,
        reward_range=problem.reward_range,
        reward_low=problem.reward_low,
        noise=problem.noise,
        theta_star=theta,
        shape=Box if problem.shape is Box else Ball,
        name=f"sequences of {problem.name}",
        parameters=problem.parameters,
    )


def as_mdp(problem: TokenProblem, *, anchor: int = 0) -> LayeredMDP:
    """The problem with prefixes as states and tokens as actions: the token-level process of FMR25, p. 73.

    Parameters
    ----------
    problem : TokenProblem
    anchor : int
        As of `LayeredMDP`. Token 0 is the likeliest word in `text_token_problem`.
    """
    horizon, vocabulary_size = problem.horizon, problem.vocabulary_size
    rows = [len(base) for base in problem.log_base]
    following = [np.arange(size * vocabulary_size).reshape(size, vocabulary_size, 1) for size in rows[:-1]]
    lows = [np.zeros(size) for size in rows[:-1]]
    return LayeredMDP(
        initial_law=problem.prompt_law,
        successors=following,
        transitions=[np.ones(states.shape) for states in following],
        log_base=problem.log_base,
        features=problem.features,
        rewards=problem.rewards,
        beta=problem.beta,
        radius=problem.radius,
        reward_range=problem.reward_range,
        reward_low=[*lows, problem.reward_low.repeat(vocabulary_size ** (horizon - 1))],
        rewarded=[*(False for _ in lows), True],
        noise=problem.noise,
        anchor=anchor,
        theta_star=problem.theta_star,
        shape=problem.shape,
        name=problem.name,
        parameters=problem.parameters,
    )
