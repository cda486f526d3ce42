"""How far a problem of layers is from realizable: the best linear fit of the differences of `Q*_h` at every state.

Realizability says `Q_h(x,a) - Q_h(x,b) = <theta*_h, phi_h(x,a) - phi_h(x,b)>`. On real text it does not hold, and no
parameter is known; what is measured here is how much of the differences is left by the least squares fit, with states
and both actions drawn from the base policy. Of a token problem states are prefixes and actions tokens (A4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spanver.exact.layered import occupancies
from spanver.learners.least_squares import fit_on
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.problems.tokens import TokenProblem
from spanver.validation import require
from spanver.values import FloatArray


@dataclass(frozen=True, eq=False)
class LayerFit:
    """The linear fit of one layer's differences of `Q*_h`.

    Attributes
    ----------
    theta : array, shape (d,)
        Least squares parameter of the set.
    spread : float
        Root mean square of `Q_h(x,a) - Q_h(x,b)`, `x` and then `a`, `b` independently from the base policy.
    residual : float
        The same of what the fit leaves; 0 where the layer is realizable.
    largest : float
        Largest residual of a difference in a state that the base policy reaches.
    """

    theta: FloatArray
    spread: float
    residual: float
    largest: float

    @property
    def share(self) -> float:
        """Share of the mean square that the fit explains; 1 where the layer is realizable or nothing differs."""
        return 1.0 - (self.residual / self.spread) ** 2 if self.spread > 0.0 else 1.0


def realizability(problem: TokenProblem | LayeredMDP, *, radius: float | None = None) -> tuple[LayerFit, ...]:
    """Measure realizability of every layer.

    Parameters
    ----------
    problem : TokenProblem or LayeredMDP
    radius : float, optional
        Of the set that parameters are sought in, which has the problem's shape; default: the problem's.

    Returns
    -------
    tuple of H LayerFit
        First layer first.
    """
    require(radius is None or radius > 0.0, "radius", radius, "above 0")
    parameters = problem.shape(problem.radius if radius is None else radius)
    fits = []
    layers = zip(
        occupancies(problem, problem.log_base), problem.log_base, problem.features, soft_q(problem), strict=True
    )
    for reached, log_base, features, q in layers:
        base = np.exp(log_base)
        weights = (reached[:, None] * base).reshape(-1)
        # Of two independent actions, the mean square difference is twice the variance.
        centred = (features - np.einsum("sa,sad->sd", base, features)[:, None]).reshape(-1, problem.dimension)
        values = (q - np.einsum("sa,sa->s", base, q)[:, None]).reshape(-1)
        roots = np.sqrt(weights)
        theta = fit_on(roots[:, None] * centred, roots * values, parameters)
        errors = values - centred @ theta
        possible = (weights > 0.0).reshape(base.shape)
        by_state = errors.reshape(base.shape)
        highest = np.max(by_state, axis=1, where=possible, initial=-np.inf)
        lowest = np.min(by_state, axis=1, where=possible, initial=np.inf)
        seen = possible.any(axis=1)
        fits.append(
            LayerFit(
                theta=theta,
                spread=float(np.sqrt(2.0 * weights @ values**2)),
                residual=float(np.sqrt(2.0 * weights @ errors**2)),
                largest=float((highest[seen] - lowest[seen]).max()),
            )
        )
    return tuple(fits)
