"""Functions of the contract in PyTorch, in double precision: a control where PyTorch is installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from spanver.values import FloatArray, IntArray

INSTALLED = find_spec("torch") is not None


def _tensors(*arrays: FloatArray) -> tuple[Any, ...]:
    import torch  # noqa: PLC0415 (optional)

    return torch, *(torch.tensor(np.ascontiguousarray(each), dtype=torch.float64) for each in arrays)


def elliptic_norms(features: FloatArray, sigma: FloatArray) -> FloatArray:
    """Norms by the triangular factor of Sigma."""
    torch, vectors, matrix = _tensors(features, sigma)
    solved = torch.linalg.solve_triangular(torch.linalg.cholesky(matrix), vectors.T, upper=False)
    return np.asarray(torch.linalg.vector_norm(solved, dim=0))


def log_softmax(log_base: FloatArray, scores: FloatArray, beta: float) -> FloatArray:
    """PyTorch's own."""
    torch, base, values = _tensors(log_base, scores)
    return np.asarray(torch.log_softmax(base + values / beta, dim=0))


def truncated_scores(
    features: FloatArray, anchor: FloatArray, theta: FloatArray, precision: FloatArray, nu: float
) -> FloatArray:
    """Scores by one product, and norms by another."""
    torch, vectors, origin, parameter, matrix = _tensors(features, anchor, theta, precision)
    relative = vectors - origin
    squares = ((relative @ matrix) * relative).sum(dim=1)
    return np.asarray(torch.where(squares.clamp(min=0.0).sqrt() <= nu, relative @ parameter, 0.0))


def kl_divergence(law: FloatArray, reference: FloatArray) -> float:
    """PyTorch's own, on the support of the first law."""
    torch, one, two = _tensors(law, reference)
    held = one > -math.inf
    return float(torch.nn.functional.kl_div(two[held], one[held], reduction="sum", log_target=True))


def log_coverage(law: FloatArray, log_base: FloatArray) -> float:
    """Largest difference on the support of the law."""
    _, one, two = _tensors(law, log_base)
    held = one > -math.inf
    return float((one[held] - two[held]).max())


def ridge_regression(features: FloatArray, targets: FloatArray, ridge: float) -> FloatArray:
    """Normal equations by Cholesky's factor."""
    torch, vectors, values = _tensors(features, targets)
    normal = vectors.T @ vectors + ridge * torch.eye(vectors.shape[1], dtype=torch.float64)
    right = (vectors.T @ values)[:, None]
    return np.asarray(torch.cholesky_solve(right, torch.linalg.cholesky(normal))[:, 0])


def draw(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """PyTorch's own draws with replacement."""
    torch, law = _tensors(probabilities)
    generator = torch.Generator().manual_seed(seed % 2**63)
    return np.asarray(torch.multinomial(law, count, replacement=True, generator=generator))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (elliptic_norms, log_softmax, truncated_scores, kl_divergence, log_coverage, ridge_regression, draw)
}
"""By their names in the contract."""
