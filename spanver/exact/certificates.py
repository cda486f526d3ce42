"""A bound on the gap of a policy of MTSS, from its parameters and from what they do not cover (A4).

`gap <= sum_h E_pi[ beta KL(pi_h || pibar*_h) + E_{pi*_h} Q~ 1[uncovered] - E_{pi_h} Q~ 1[uncovered] ]`, with
`Q~ = Q*_h(x, .) - Q*_h(x, anchor)` and `pibar*_h` the softmax of `Q~ 1[covered]`. `[ours]`; proof in mathematics.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spanver.exact import tabular as exact
from spanver.exact.layered import log_anchored_law, log_optimal_law, occupancies
from spanver.guarantees.identities import log_psi
from spanver.kernels import log_softmax, precision_norms
from spanver.policies import AnchoredPolicy, TruncatedSoftmax
from spanver.problems.layered import LayeredMDP, soft_q
from spanver.values import FloatArray


@dataclass(frozen=True, eq=False)
class GapBound:
    """The parts of the bound on a gap, layer by layer, each a mean over the states that the policy meets.

    Attributes
    ----------
    divergence : array, shape (H,)
        `beta KL(pi_h || pibar*_h)`: what parameters that are off cost where they count.
    missed : array, shape (H,)
        `E_{pi*_h} Q~ 1[uncovered]`: what the optimum earns where the policy has scores of 0.
    taken : array, shape (H,)
        `-E_{pi_h} Q~ 1[uncovered]`: what the policy loses there.
    by_parameters : array, shape (H,), or None
        `psi(b)/beta E||vbar||^2 ||theta_h - theta*_h||^2_Sigma` with `b = nu ||theta_h - theta*_h||_Sigma/beta`: no
        less than `divergence` (I4; for `b <= 1` it is FMR25, Lemma N.1, repaired). None if no `theta*` is known.
    """

    divergence: FloatArray
    missed: FloatArray
    taken: FloatArray
    by_parameters: FloatArray | None

    @property
    def total(self) -> float:
        """The bound."""
        return float((self.divergence + self.missed + self.taken).sum())


def gap_bound(problem: LayeredMDP, policy: AnchoredPolicy) -> GapBound:
    """Bound the gap of a policy of layers by its parameters and by what they do not cover.

    Where everything is covered and the anchor is fixed, it is the gap.

    Parameters
    ----------
    problem : LayeredMDP
    policy : AnchoredPolicy
        One with the layers of the problem.
    """
    masses = occupancies(problem, log_anchored_law(problem, policy))
    optimum, values = log_optimal_law(problem), soft_q(problem)
    rows = []
    for layer, of_layer in enumerate(policy.layers):
        theta_star = None if problem.theta_star is None else problem.theta_star[layer]
        parts = _parts(problem, layer, of_layer, policy, optimum[layer], values[layer], theta_star)
        rows.append(
            [float(np.einsum("s,sk,sk", masses[layer], _anchor_law(problem, layer, policy), part)) for part in parts]
        )
    divergence, missed, taken, *by_parameters = np.array(rows).T
    return GapBound(divergence, missed, taken, by_parameters[0] if by_parameters else None)


def _anchor_law(problem: LayeredMDP, layer: int, policy: AnchoredPolicy) -> FloatArray:
    """Probability of every anchor in every state, shape (S_h, K)."""
    base = problem.log_base[layer]
    return np.exp(base) if policy.fresh else np.ones((len(base), 1))


def _parts(
    problem: LayeredMDP,
    layer: int,
    of_layer: TruncatedSoftmax,
    policy: AnchoredPolicy,
    optimum: FloatArray,
    values: FloatArray,
    theta_star: FloatArray | None,
) -> list[FloatArray]:
    """The parts of the bound in every state and for every anchor, each of shape (S_h, K)."""
    beta, phi = problem.beta, problem.features[layer]
    anchors = np.arange(problem.actions) if policy.fresh else np.array([policy.anchor])
    vectors = phi[:, None] - phi[:, anchors, None]
    norms = precision_norms(vectors, of_layer.precision)
    covered = norms <= of_layer.nu
    differences = values[:, None] - values[:, anchors, None]
    base = np.broadcast_to(problem.log_base[layer][:, None], covered.shape)
    law = log_softmax(base, np.where(covered, vectors @ of_layer.theta, 0.0), beta)
    truncated = log_softmax(base, np.where(covered, differences, 0.0), beta)
    uncovered = np.where(covered, 0.0, differences)
    parts = [
        beta * exact.kl_divergence(law, truncated),
        (np.exp(optimum)[:, None] * uncovered).sum(axis=2),
        -(np.exp(law) * uncovered).sum(axis=2),
    ]
    if theta_star is not None:
        off = of_layer.theta - theta_star
        square = float(off @ np.linalg.inv(of_layer.precision) @ off)
        with np.errstate(over="ignore"):
            factor = np.exp(log_psi(of_layer.nu * math.sqrt(square) / beta)) / beta * square
        spread = (np.exp(law) * np.where(covered, norms**2, 0.0)).sum(axis=2)
        parts.append(np.multiply(factor, spread, out=np.zeros_like(spread), where=spread > 0.0))
    return parts
