"""Problems that are small enough to write down: a table of prompts times responses (mathematics.md, section 1).

A `TabularProblem` is checked once, when it is made, and is read-only from then on. Responses outside the base support
(log probability minus infinity) are legal everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spanver.parameter_sets import Ball, Shape, require_inside
from spanver.validation import require, require_positive, require_real, to_array
from spanver.values import FloatArray, IntArray

_SUM_TOLERANCE = 1e-9  # probabilities typed in decimals are accepted, and then normalised


@dataclass(frozen=True, eq=False)
class TabularProblem:
    """A problem of `X` prompts, `Y` responses to each, and features in the unit ball of `R^d`.

    Parameters
    ----------
    prompt_law : array, shape (X,)
        `rho`, positive probabilities or 0, summing to 1.
    log_base : array, shape (X, Y)
        `log pi_ref(y|x)`; minus infinity outside the support.
    features : array, shape (X, Y, d)
        `phi(x, y)`, `||phi|| <= 1`.
    reward : array, shape (X, Y)
        Mean reward `r*(x, y)`.
    beta : float
        Above 0.
    radius : float
        `B`, the largest norm of a parameter, above 0.
    reward_range : float, optional
        `R_max`: observed rewards of a prompt lie in `[reward_low(x), reward_low(x) + R_max]`. Default: the largest
        difference of mean rewards at one prompt, or 1 if there is none.
    reward_low : array, shape (X,), optional
        Default: the smallest mean reward of each prompt.
    noise : float
        Share, from 0 to 1, of reward answers that are one of the two ends of the interval, drawn so that the mean is
        right; other answers are the mean itself.
    theta_star : array, shape (d,), optional
        Parameter that realizes the rewards up to a shift per prompt (Assumption 1.1 of the paper), where it is known.
        It is checked.
    anchors : array of int, shape (X,), optional
        Anchor response of each prompt, one of the base support (FMR25 Remark G.2, p. 43). Default: the likeliest one.
    shape : Shape
        Of the set of parameters; `shape(radius)` is `Theta`.
    name : str
        Family.
    parameters : mapping
        What the family was called with, enough to build the problem again.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """

    prompt_law: FloatArray
    log_base: FloatArray
    features: FloatArray
    reward: FloatArray
    beta: float
    radius: float
    reward_range: float = None  # type: ignore[assignment]  # derived from the rewards when it is not given
    reward_low: FloatArray = None  # type: ignore[assignment]  # likewise
    noise: float = 0.0
    theta_star: FloatArray | None = None
    anchors: IntArray = None  # type: ignore[assignment]  # the likeliest responses when they are not given
    shape: Shape = Ball
    name: str = "table"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_positive("beta", self.beta)
        require_positive("radius", self.radius)
        require_real("noise", self.noise, most=1.0)

        features = to_array("features", self.features, (None, None, None))
        prompts, responses, dimension = features.shape
        require(min(features.shape) > 0, "the shape of features", features.shape, "(X, Y, d), each at least 1")
        longest = float(np.linalg.norm(features, axis=-1).max())
        require(longest <= 1.0 + 1e-12, "the longest feature vector", longest, "of norm at most 1")

        prompt_law = to_array("prompt_law", self.prompt_law, (prompts,))
        require(bool((prompt_law >= 0).all()), "prompt_law", self.prompt_law, "of probabilities of at least 0")
        total = float(prompt_law.sum())
        require(abs(total - 1.0) <= _SUM_TOLERANCE, "the sum of prompt_law", total, "1")
        self._set("prompt_law", prompt_law / total)

        self._set("log_base", _checked_log_base(self.log_base, (prompts, responses)))
        self._set("features", features)
        reward = to_array("reward", self.reward, (prompts, responses))
        self._set("reward", reward)
        self._check_interval(reward, prompts)
        self._check_anchors(prompts)
        if self.theta_star is not None:
            self._check_realizable(to_array("theta_star", self.theta_star, (dimension,)))

    def _set(self, name: str, array: FloatArray) -> None:
        array = np.array(array, dtype=np.float64)
        array.setflags(write=False)
        object.__setattr__(self, name, array)

    def _check_interval(self, reward: FloatArray, prompts: int) -> None:
        given_low: FloatArray | None = self.reward_low
        given_range: float | None = self.reward_range
        low = reward.min(axis=1) if given_low is None else to_array("reward_low", given_low, (prompts,))
        if given_range is None:
            # Where no rewards differ any length holds them.
            object.__setattr__(self, "reward_range", float((reward.max(axis=1) - low).max()) or 1.0)
        require_positive("reward_range", self.reward_range)
        rounding = 1e-12 * max(1.0, float(np.abs(reward).max()))
        below = float((low[:, None] - reward).max())
        above = float((reward - low[:, None]).max()) - self.reward_range
        require(below <= rounding, "reward", f"{below:.3g} below reward_low", "at least reward_low at every prompt")
        require(
            above <= rounding,
            "reward",
            f"{above:.3g} above reward_low + reward_range",
            "inside its interval of reward_range",
        )
        self._set("reward_low", low)

    def _check_anchors(self, prompts: int) -> None:
        given: IntArray | None = self.anchors
        anchors = np.array(self.log_base.argmax(axis=1) if given is None else given)
        legal = anchors.dtype.kind in "iu" and anchors.shape == (prompts,)
        legal = legal and bool(((anchors >= 0) & (anchors < self.responses)).all())
        legal = legal and bool((self.log_base[np.arange(prompts), anchors] > -np.inf).all())
        require(legal, "anchors", given, "a response of the base support for every prompt")
        anchors = anchors.astype(np.int64)
        anchors.setflags(write=False)
        object.__setattr__(self, "anchors", anchors)

    def _check_realizable(self, theta_star: FloatArray) -> None:
        require_inside("theta_star", theta_star, self.shape(self.radius))
        shift = self.reward - self.features @ theta_star
        residual = float((shift.max(axis=1) - shift.min(axis=1)).max())
        require(
            residual <= 1e-9 * max(1.0, float(np.abs(self.reward).max())),
            "theta_star",
            f"{residual:.3g} off some reward difference",
            "a parameter that gives every reward difference at one prompt",
        )
        self._set("theta_star", theta_star)

    @property
    def prompts(self) -> int:
        """Number of prompts, `X`."""
        return self.features.shape[0]

    @property
    def responses(self) -> int:
        """Number of responses, `Y`, inside the base support or not."""
        return self.features.shape[1]

    @property
    def dimension(self) -> int:
        """Dimension `d` of the features."""
        return self.features.shape[2]


def _checked_log_base(value: FloatArray, shape: tuple[int, int]) -> FloatArray:
    log_base = to_array("log_base", value, shape, finite=False)
    legal = ~np.isnan(log_base) & (log_base <= 1e-12)
    require(bool(legal.all()), "log_base", value, "of log probabilities: at most 0, minus infinity allowed, no NaN")
    peak = log_base.max(axis=1, keepdims=True)
    require(bool(np.isfinite(peak).all()), "log_base", value, "finite for at least one response of every prompt")
    log_total = peak[:, 0] + np.log(np.exp(log_base - peak).sum(axis=1))
    worst = float(np.exp(log_total)[np.argmax(np.abs(log_total))])
    require(bool((np.abs(log_total) <= _SUM_TOLERANCE).all()), "the sum of the base policy", worst, "1 at every prompt")
    # Only adjusted where rounding is visible, so that probabilities of exactly 0 and 1 stay what they are.
    return log_base - np.where(np.abs(log_total) > 1e-15, log_total, 0.0)[:, None]
