"""Mutants of the values of processes of layers: what I6, I7, MT1, MT2, MT9 and MT11 must kill.

`soft_values` and `policy_values` are the recursions, written anew: each step in which a mutant differs is an argument.
Unmutated they are as right as the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from scipy.special import logsumexp

from spanver.values import FloatArray
from spanver.zoo.mutant import Mutant, mutants_of

Layers: TypeAlias = Sequence[FloatArray]


def _soft(base: FloatArray, q: FloatArray, beta: float) -> FloatArray:
    return np.asarray(beta * logsumexp(base + q / beta, axis=1))


def _mean_next(law: FloatArray, values: FloatArray, beta: float) -> FloatArray:
    del beta
    return np.asarray((law * values).sum(axis=2))


def soft_values(
    layers: Layers,
    rewards: Layers,
    transitions: Layers,
    beta: float,
    *,
    value: Callable[[FloatArray, FloatArray, float], FloatArray] = _soft,
    following: Callable[[FloatArray, FloatArray, float], FloatArray] = _mean_next,
    earlier: float = 1.0,
) -> list[FloatArray]:
    """Optimal values of actions.

    `value` is that of each state, given the base policy and the values of its actions; `following` that of what comes
    after an action, given the law of the next state and the values of states; `earlier` the weight of the rewards
    before the last layer.
    """
    found = [np.asarray(rewards[-1])]
    for base, reward, law in zip(reversed(layers[1:]), reversed(rewards[:-1]), reversed(transitions), strict=True):
        found.append(earlier * reward + following(law, value(base, found[-1], beta), beta))
    return found[::-1]


def _shifted_rows(layers: Layers, rewards: Layers, transitions: Layers, beta: float) -> list[FloatArray]:
    return soft_values([layers[0], *(np.roll(layer, 1, axis=0) for layer in layers[1:])], rewards, transitions, beta)


def _optimistic(law: FloatArray, values: FloatArray, beta: float) -> FloatArray:
    return np.asarray(beta * logsumexp(np.broadcast_to(values / beta, law.shape), axis=2, b=law))


def _divergence(law: FloatArray, other: FloatArray) -> FloatArray:
    """Divergence of each row, of what has mass under both."""
    held = (law > -np.inf) & (other > -np.inf)
    return np.asarray((np.exp(law) * np.subtract(law, other, out=np.zeros_like(law), where=held)).sum(axis=1))


def _mean(law: FloatArray, q: FloatArray) -> FloatArray:
    return np.asarray((np.exp(law) * q).sum(axis=1))


def _regularised(law: FloatArray, base: FloatArray, q: FloatArray, beta: float) -> FloatArray:
    return _mean(law, q) - beta * _divergence(law, base)


def policy_values(
    laws: Layers,
    layers: Layers,
    rewards: Layers,
    transitions: Layers,
    beta: float,
    *,
    value: Callable[[FloatArray, FloatArray, FloatArray, float], FloatArray] = _regularised,
    earlier: float = 1.0,
) -> list[FloatArray]:
    """Values under a policy; `value` is that of each state, given both laws and the values of its actions."""
    found = [np.asarray(rewards[-1])]
    steps = zip(reversed(laws[1:]), reversed(layers[1:]), reversed(rewards[:-1]), reversed(transitions), strict=True)
    for law, base, reward, move in steps:
        found.append(earlier * reward + _mean_next(move, value(law, base, found[-1], beta), beta))
    return found[::-1]


def _less_own_divergence(
    laws: Layers, layers: Layers, rewards: Layers, transitions: Layers, beta: float
) -> list[FloatArray]:
    values = policy_values(laws, layers, rewards, transitions, beta)
    own = [_divergence(law, base) for law, base in zip(laws, layers, strict=True)]
    return [q - beta * cost[:, None] for q, cost in zip(values, own, strict=True)]


_values = mutants_of("soft_q", "values", soft_values)
_policies = mutants_of("policy_q", "policy-values", policy_values)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    # Most of these break several guarantees, and are expected to be killed by one, so that all are seen to kill.
    _values("hard", "takes maxima for the values of states, which should be soft", "MT11",
        value=lambda base, q, beta: q.max(axis=1)),
    _values("mean", "takes means under the base policy for the values of states", "I6",
        value=lambda base, q, beta: (np.exp(base) * q).sum(axis=1)),
    _values("inverse-beta", "divides by beta outside the logarithm and multiplies inside", "I7",
        value=lambda base, q, beta: logsumexp(base + q * beta, axis=1) / beta),
    _values("no-beta", "forgets the factor beta in front of the logarithm", "MT2",
        value=lambda base, q, beta: logsumexp(base + q / beta, axis=1)),
    _values("uniform-base", "weighs actions alike in the recursion, whatever the base policy", "I6",
        value=lambda base, q, beta: _soft(np.full_like(base, -math.log(base.shape[1])), q, beta)),
    _values("unnormalised-base", "leaves the base weights out of the recursion", "I7",
        value=lambda base, q, beta: _soft(np.zeros_like(base), q, beta)),
    _values("shifted-rows", "takes for each state the base policy of the state before it", "MT2", _shifted_rows),
    _values("optimistic", "takes soft values over next states too, where their mean is due", "I7",
        following=_optimistic),
    _values("likeliest", "follows the likeliest next state alone", "I7",
        following=lambda law, values, beta: values[law.argmax(axis=2)]),
    _values("best-next", "follows the best next state that is possible", "MT2",
        following=lambda law, values, beta: np.where(law > 0.0, values, -np.inf).max(axis=2)),
    _values("uniform-next", "weighs the next states that are possible alike", "MT2",
        following=lambda law, values, beta: _mean_next((law > 0.0) / (law > 0.0).sum(axis=2, keepdims=True), values,
            beta)),
    _values("last-rewards", "forgets the rewards before the last layer", "MT9", earlier=0.0),
    _values("discounted", "discounts what follows by a tenth", "I7",
        following=lambda law, values, beta: 0.9 * _mean_next(law, values, beta)),
    _policies("without-divergence", "leaves the divergence of later layers out", "MT1",
        value=lambda law, base, q, beta: _mean(law, q)),
    _policies("sign-of-divergence", "adds the divergence of later layers", "MT1",
        value=lambda law, base, q, beta: _mean(law, q) + beta * _divergence(law, base)),
    _policies("without-beta", "does not weigh the divergence with beta", "MT1",
        value=lambda law, base, q, beta: _mean(law, q) - _divergence(law, base)),
    _policies("of-base", "returns the values of the base policy", "MT1",
        value=lambda law, base, q, beta: _mean(base, q)),
    _policies("soft", "returns the optimal values, whatever the policy", "MT2",
        value=lambda law, base, q, beta: _soft(base, q, beta)),
    _policies("reversed", "takes the divergence of the base policy from the policy", "MT2",
        value=lambda law, base, q, beta: _mean(law, q) - beta * _divergence(base, law)),
    _policies("own-divergence", "takes the divergence of an action's own layer off too", "MT1", _less_own_divergence),
    _policies("last-rewards", "forgets the rewards before the last layer", "MT1", earlier=0.0),
)
"""Of `soft_q` and `policy_q`."""
