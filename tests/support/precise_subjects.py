"""Subjects that compute in float32 and in bfloat16: plain loops, each operation rounded to the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spanver.subjects.contract import Subject
from spanver.values import FloatArray

Rounding = Callable[[Any], Any]


def to_float32(value: Any) -> Any:
    """The nearest numbers of single precision, as float64."""
    with np.errstate(over="ignore"):
        return np.asarray(value, dtype=np.float64).astype(np.float32).astype(np.float64)


def to_bfloat16(value: Any) -> Any:
    """The nearest numbers with 8 significant bits, in the range of single precision."""
    mantissa, exponent = np.frexp(np.asarray(value, dtype=np.float64))
    return to_float32(np.ldexp(np.rint(mantissa * 2.0**8) / 2.0**8, exponent))


def to_float64(value: Any) -> Any:
    """The numbers themselves."""
    return np.asarray(value, dtype=np.float64)


@dataclass(frozen=True)
class Arithmetic:
    """Every operation in one format."""

    fl: Rounding

    def total(self, terms: Any) -> Any:
        """Sum over the first axis, term by term."""
        result = self.fl(np.zeros_like(np.asarray(terms, dtype=np.float64)[0]))
        for term in np.asarray(terms):
            result = self.fl(result + term)
        return result

    def product(self, one: Any, two: Any) -> FloatArray:
        """Matrix product."""
        return np.array([[float(self.total(self.fl(row * column))) for column in two.T] for row in one])

    def cholesky(self, matrix: FloatArray) -> FloatArray:
        """Lower factor; a pivot that rounding made negative counts as the smallest normal number."""
        lower = np.zeros_like(matrix)
        for j in range(len(matrix)):
            for i in range(j, len(matrix)):
                left = self.total([matrix[i, j], *(-self.fl(lower[i, k] * lower[j, k]) for k in range(j))])
                lower[i, j] = self.fl(np.sqrt(max(left, 1e-38))) if i == j else self.fl(left / lower[j, j])
        return lower

    def forward(self, lower: FloatArray, right: FloatArray) -> FloatArray:
        """Solution of a lower triangular system."""
        found = np.zeros_like(right)
        for i in range(len(right)):
            left = self.total([right[i], *(-self.fl(lower[i, k] * found[k]) for k in range(i))])
            found[i] = self.fl(left / lower[i, i])
        return found

    def solve(self, matrix: FloatArray, right: FloatArray) -> FloatArray:
        """Solution of a positive definite system."""
        lower = self.cholesky(matrix)
        return self.forward(lower.T[::-1, ::-1], self.forward(lower, right)[::-1])[::-1]

    def log_softmax(self, log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
        """Log probabilities, with the largest exponent subtracted."""
        log_base, scores, beta = self.fl(log_base), self.fl(scores), self.fl(beta)
        exponents = self.fl(log_base + self.fl(scores / beta))
        peak = exponents.max()
        weights = self.fl(np.exp(self.fl(exponents - peak)))
        normaliser = self.fl(peak + self.fl(np.log(self.total(weights))))
        return self.fl(exponents - normaliser)

    def kl_divergence(self, law: FloatArray, reference: FloatArray) -> float:
        """Textbook sum."""
        held = law > -np.inf
        p, q = self.fl(law[held]), self.fl(reference[held])
        if (q == -np.inf).any():
            return np.inf
        return float(self.total(self.fl(self.fl(np.exp(p)) * self.fl(p - q))))

    def kl_estimate(self, law: FloatArray, reference: FloatArray) -> FloatArray:
        """Ratio less 1 and its logarithm."""
        excess = self.fl(self.fl(reference) - self.fl(law))
        return self.fl(self.fl(self.fl(np.exp(excess)) - 1.0) - excess)

    def log_coverage(self, law: FloatArray, log_base: FloatArray) -> float:
        """Largest log ratio."""
        if ((law > -np.inf) & (log_base == -np.inf)).any():
            return np.inf
        held = log_base > -np.inf
        return float(self.fl(self.fl(law[held]) - self.fl(log_base[held])).max())

    def elliptic_norms(self, features: FloatArray, sigma: FloatArray) -> FloatArray:
        """Norms by Cholesky's factor."""
        lower, rounded = self.cholesky(self.fl(sigma)), self.fl(features)
        whitened = [self.forward(lower, row) for row in rounded]
        return np.array([float(self.fl(np.sqrt(self.total(self.fl(row * row))))) for row in whitened])

    def truncated_scores(
        self, features: FloatArray, anchor: FloatArray, theta: FloatArray, precision: FloatArray, nu: float
    ) -> FloatArray:
        """Scores of A2."""
        relative = self.fl(self.fl(features) - self.fl(anchor))
        images = self.product(relative, self.fl(precision))
        squares = np.array([float(self.total(self.fl(a * b))) for a, b in zip(images, relative, strict=True)])
        scores = self.product(relative, self.fl(theta)[:, None])[:, 0]
        return np.where(squares <= self.fl(self.fl(nu) * self.fl(nu)), scores, 0.0)

    def ridge_regression(self, features: FloatArray, targets: FloatArray, ridge: float) -> FloatArray:
        """Normal equations."""
        columns = self.fl(features)
        gram = self.fl(self.product(columns.T, columns) + self.fl(ridge) * np.eye(columns.shape[1]))
        return self.solve(gram, self.product(columns.T, self.fl(targets)[:, None])[:, 0])

    def soft_q(
        self, layers: list[FloatArray], rewards: list[FloatArray], transitions: list[FloatArray], beta: float
    ) -> list[FloatArray]:
        """Recursion of A4."""
        beta = self.fl(beta)
        values = [self.fl(rewards[-1])]
        for layer in reversed(range(len(transitions))):
            exponents = self.fl(self.fl(layers[layer + 1]) + self.fl(values[0] / beta))
            peak = exponents.max(axis=1)
            sums = self.total(self.fl(np.exp(self.fl(exponents - peak[:, None]))).T)
            following = self.fl(beta * self.fl(peak + self.fl(np.log(sums))))
            values.insert(0, self._with_reward(rewards[layer], transitions[layer], following))
        return values

    def policy_q(
        self,
        laws: list[FloatArray],
        layers: list[FloatArray],
        rewards: list[FloatArray],
        transitions: list[FloatArray],
        beta: float,
    ) -> list[FloatArray]:
        """Mean value and textbook divergence."""
        beta = self.fl(beta)
        values = [self.fl(rewards[-1])]
        for layer in reversed(range(len(transitions))):
            law = self.fl(laws[layer + 1])
            means = self.total(self.fl(self.fl(np.exp(law)) * values[0]).T)
            own = [self.kl_divergence(*rows) for rows in zip(law, layers[layer + 1], strict=True)]
            following = self.fl(means - self.fl(beta * np.array(own)))
            values.insert(0, self._with_reward(rewards[layer], transitions[layer], following))
        return values

    def _with_reward(self, reward: FloatArray, law: FloatArray, following: FloatArray) -> FloatArray:
        means = self.total(np.moveaxis(self.fl(self.fl(law) * following), -1, 0))
        return np.asarray(self.fl(self.fl(reward) + means))


def subject_in(rounding: Rounding, precision: str | float) -> Subject:
    """A subject that computes with this rounding and declares this precision."""
    arithmetic = Arithmetic(rounding)
    names = (
        "log_softmax", "kl_divergence", "kl_estimate", "log_coverage", "elliptic_norms", "truncated_scores",
        "ridge_regression", "soft_q", "policy_q",
    )  # fmt: skip
    return Subject(f"in {precision}", {name: getattr(arithmetic, name) for name in names}, precision=precision)
