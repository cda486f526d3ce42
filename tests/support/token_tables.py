"""Random token problems, and what holds of them by listing every sequence: nothing here uses the token recursion."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spanver.problems.tokens import TokenProblem

Array = NDArray[np.float64]


def random_tokens(
    seed: int, *, horizon: int, vocabulary_size: int, prompts: int = 2, zeros: bool = False, realizable: bool = False
) -> TokenProblem:
    """Any features and base policy; rewards are any too, or made from parameters, first layer first."""
    generator = np.random.default_rng(seed)
    dimension, beta = 3, float(generator.uniform(0.2, 1.0))
    thetas = generator.normal(size=(horizon, dimension))
    thetas /= np.linalg.norm(thetas, axis=1, keepdims=True)
    bases, features, values = [], [], generator.normal(size=prompts)
    for layer in range(horizon):
        rows = prompts * vocabulary_size**layer
        base = generator.dirichlet(np.ones(vocabulary_size), size=rows)
        if zeros:
            base[np.arange(rows), generator.integers(vocabulary_size, size=rows)] *= generator.integers(2, size=rows)
        base /= base.sum(axis=1, keepdims=True)
        phi = generator.normal(size=(rows, vocabulary_size, dimension))
        phi *= generator.random((rows, vocabulary_size, 1)) / np.linalg.norm(phi, axis=-1, keepdims=True)
        scores = phi @ thetas[layer]
        # Token values are scores shifted by what makes the soft mean over tokens the value of the prefix.
        shift = values - beta * np.log((base * np.exp(scores / beta)).sum(axis=1))
        values = (scores + shift[:, None]).reshape(-1)
        bases.append(base)
        features.append(phi)
    reward = values if realizable else generator.uniform(-1.0, 1.0, size=len(values))
    with np.errstate(divide="ignore"):
        log_bases = [np.log(base) for base in bases]
    return TokenProblem(
        prompt_law=generator.dirichlet(np.ones(prompts)),
        log_base=log_bases,
        features=features,
        reward=reward.reshape(prompts, -1),
        beta=beta,
        radius=1.0,
        theta_star=thetas if realizable else None,
    )


def random_law(problem: TokenProblem, seed: int) -> list[Array]:
    """Log law of some token policy with the base policy's support."""
    generator = np.random.default_rng(seed)
    laws = [log_base + generator.normal(size=log_base.shape) for log_base in problem.log_base]
    return [law - np.logaddexp.reduce(law, axis=1, keepdims=True) for law in laws]


def sequences(problem: TokenProblem) -> list[tuple[int, ...]]:
    """Every complete sequence, in the order of their rewards."""
    return list(itertools.product(range(problem.vocabulary_size), repeat=problem.horizon))


def sequence_probabilities(problem: TokenProblem, law: Sequence[Array]) -> Array:
    """Probability of every sequence at every prompt, one product at a time, shape (X, A^H)."""
    result = np.empty((problem.prompts, len(sequences(problem))))
    for prompt in range(problem.prompts):
        for position, tokens in enumerate(sequences(problem)):
            row, probability = prompt, 1.0
            for layer, token in enumerate(tokens):
                probability *= float(np.exp(law[layer][row, token]))
                row = row * problem.vocabulary_size + token
            result[prompt, position] = probability
    return result


def optimal_probabilities(problem: TokenProblem) -> Array:
    """`pi*` over sequences by its definition, shape (X, A^H)."""
    weights = sequence_probabilities(problem, problem.log_base) * np.exp(problem.reward / problem.beta)
    result: Array = weights / weights.sum(axis=1, keepdims=True)
    return result


def objective_by_listing(problem: TokenProblem, probabilities: Array) -> float:
    """`E[r*] - beta KL(pi || pi_ref)` over sequences."""
    base = sequence_probabilities(problem, problem.log_base)
    ratio = np.divide(probabilities, base, out=np.ones_like(base), where=probabilities > 0.0)
    terms = probabilities * (problem.reward - problem.beta * np.log(ratio))
    return float(problem.prompt_law @ terms.sum(axis=1))


def log_linear_law(problem: TokenProblem, thetas: Sequence[Array] | Array) -> list[Array]:
    """Log law of the policy that has scores `<theta_h, phi_h>` in every layer."""
    laws = [
        log_base + features @ theta / problem.beta
        for log_base, features, theta in zip(problem.log_base, problem.features, thetas, strict=True)
    ]
    return [law - np.logaddexp.reduce(law, axis=1, keepdims=True) for law in laws]
