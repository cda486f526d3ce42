"""Problems whose responses are token sequences that can still be written down: a table of tokens for every prefix (A4).

A `TokenProblem` has `H` layers. Layer `h` lists all prefixes `s = (x, a_1..a_{h-1})`: row `x A^{h-1} + (a_1..a_{h-1}
read as a number in base A)`; complete sequences are numbered the same way. It is checked once, when it is made, and is
read-only from then on; tokens of base probability 0 are legal everywhere.

`sequence_view` is the same problem for learners that see whole sequences as responses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spanver.kernels import log_normaliser
from spanver.parameter_sets import Ball, Box, Shape, require_inside
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
            self._check_realizable()

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_realizable(self) -> None:
        assert self.theta_star is not None
        allowed = "parameters that give every difference of Q* at one prefix"
        scale = max(1.0, float(np.abs(self.reward).max()))
        for layer, (q, features, theta) in enumerate(zip(soft_q(self), self.features, self.theta_star, strict=True)):
            require_inside("theta_star", theta, self.shape(self.radius))
            residual = float(np.ptp(q - features @ theta, axis=1).max())
            off = f"{residual:.3g} off some difference in layer {layer + 1}"
            require(residual <= 1e-9 * scale, "theta_star", off, allowed)

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

    def row(self, prompt: int, tokens: Sequence[int]) -> int:
        """Row of a prefix in its layer; of a complete sequence, its place among all of all prompts."""
        row = prompt
        for token in tokens:
            row = row * self.vocabulary_size + token
        return row


def soft_q(problem: TokenProblem) -> tuple[FloatArray, ...]:
    """Optimal token values: `Q_H = r*`, `Q_{h-1}(s', a') = V_h(s' a') = beta log E_{pi_ref,h} exp(Q_h/beta)` (A4).

    Returns
    -------
    tuple of H arrays, of shapes (X A^{h-1}, A)
    """
    return soft_q_of(problem.log_base, problem.reward, problem.beta)


def soft_q_of(log_base: Sequence[FloatArray], reward: FloatArray, beta: float) -> tuple[FloatArray, ...]:
    """Optimal token values of tables: what `soft_q` computes, of anything that has layers, rewards and `beta`.

    Parameters
    ----------
    log_base : sequence of H arrays, of shapes (X A^{h-1}, A)
    reward : array, shape (X, A^H)
    beta : float
    """
    vocabulary_size = log_base[0].shape[1]
    layers = [reward.reshape(-1, vocabulary_size)]
    for base in reversed(log_base[1:]):
        value: FloatArray = beta * log_normaliser(base, layers[-1], beta)
        layers.append(value.reshape(-1, vocabulary_size))
    return tuple(reversed(layers))


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
