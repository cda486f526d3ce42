"""Random processes of layers, and what holds of them by listing every trajectory: nothing here uses a recursion."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from spanver.problems.layered import LayeredMDP

Array = NDArray[np.float64]
Trajectory = tuple[tuple[int, ...], tuple[int, ...]]  # states and actions


def random_mdp(seed: int, *, horizon: int, actions: int = 2, states: int = 3, zeros: bool = False) -> LayeredMDP:
    """Any features, base policy, transitions and rewards; layers differ in size."""
    generator = np.random.default_rng([seed, horizon])
    sizes = [states + layer % 2 for layer in range(horizon)]
    bases, features = [], []
    for size in sizes:
        base = generator.dirichlet(np.ones(actions), size=size)
        if zeros:
            base[np.arange(size), generator.integers(actions, size=size)] *= generator.integers(2, size=size)
        bases.append(base / base.sum(axis=1, keepdims=True))
        phi = generator.normal(size=(size, actions, 3))
        features.append(phi * generator.random((size, actions, 1)) / np.linalg.norm(phi, axis=-1, keepdims=True))
    transitions = [generator.dirichlet(np.ones(2), size=(size, actions)) for size in sizes[:-1]]
    if zeros:
        for law in transitions:
            law[0] = [1.0, 0.0]
    with np.errstate(divide="ignore"):
        return LayeredMDP(
            initial_law=generator.dirichlet(np.ones(sizes[0])),
            successors=[
                generator.integers(following, size=(size, actions, 2)) for size, following in itertools.pairwise(sizes)
            ],
            transitions=transitions,
            log_base=[np.log(base) for base in bases],
            features=features,
            rewards=[generator.random((size, actions)) for size in sizes],
            beta=float(generator.uniform(0.2, 1.0)),
            radius=1.0,
        )


def random_law(problem: LayeredMDP, seed: int) -> list[Array]:
    """Log law of some policy with the base policy's support."""
    generator = np.random.default_rng(seed)
    laws = [log_base + generator.normal(size=log_base.shape) for log_base in problem.log_base]
    return [law - np.logaddexp.reduce(law, axis=1, keepdims=True) for law in laws]


def kernel(problem: LayeredMDP, layer: int, state: int, action: int) -> dict[int, float]:
    """Probability of every next state."""
    law: dict[int, float] = {}
    for following, probability in zip(
        problem.successors[layer][state, action], problem.transitions[layer][state, action], strict=True
    ):
        law[int(following)] = law.get(int(following), 0.0) + float(probability)
    return {following: probability for following, probability in law.items() if probability > 0.0}


def trajectories(problem: LayeredMDP, law: Sequence[Array]) -> Iterator[tuple[Trajectory, float]]:
    """Every trajectory that a policy makes possible, and its probability."""

    def onwards(
        layer: int, states: tuple[int, ...], actions: tuple[int, ...], mass: float
    ) -> Iterator[tuple[Trajectory, float]]:
        for action in range(problem.actions):
            taken = mass * float(np.exp(law[layer][states[-1], action]))
            if taken == 0.0:
                continue
            if layer + 1 == problem.horizon:
                yield (states, (*actions, action)), taken
                continue
            for following, probability in kernel(problem, layer, states[-1], action).items():
                yield from onwards(layer + 1, (*states, following), (*actions, action), taken * probability)

    for state, mass in enumerate(problem.initial_law):
        if mass > 0.0:
            yield from onwards(0, (state,), (), float(mass))


def log_ratio(problem: LayeredMDP, law: Sequence[Array], trajectory: Trajectory, first: int = 0) -> float:
    """`sum log(pi_h/pi_ref,h)` along a trajectory, from layer `first` on."""
    steps = list(enumerate(zip(*trajectory, strict=True)))[first:]
    return float(sum(law[layer][at] - problem.log_base[layer][at] for layer, at in steps))


def total_reward(problem: LayeredMDP, trajectory: Trajectory, first: int = 0) -> float:
    """Mean rewards added up along a trajectory, from layer `first` on."""
    steps = list(enumerate(zip(*trajectory, strict=True)))[first:]
    return float(sum(problem.rewards[layer][at] for layer, at in steps))
