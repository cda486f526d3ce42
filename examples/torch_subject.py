"""A subject in PyTorch: algebra, fits, samplers of finite laws and A1, in single precision.

    cd examples && spanver verify torch_subject:subject

Torch is no dependency of spanver: `pip install torch` first. Tensors are float32, as in most models, and the subject
says so: what rounding may cost is derived from that (docs/subjects.md).
"""

import math
import sys

import numpy as np
import torch

name = "example in PyTorch"
precision = "float32"
claims = ("A1",)
provides = (
    "elliptic_norms",
    "log_softmax",
    "kl_divergence",
    "log_coverage",
    "truncated_scores",
    "fit",
    "softmax_sample",
    "draw",
    "draw_weights",
    "draw_logits",
)


def tensor(array, dtype=torch.float32):
    """A tensor of its own. Torch takes no array with negative strides, as a reversed view has."""
    return torch.tensor(np.ascontiguousarray(array), dtype=dtype)


def generator(seed):
    """Randomness of one call."""
    return torch.Generator().manual_seed(int(seed) % 2**63)


def elliptic_norms(features, sigma):
    """`sqrt(v^T Sigma^-1 v)` of each row, by the factor of `Sigma`."""
    root = torch.linalg.cholesky(tensor(sigma))
    half = torch.linalg.solve_triangular(root, tensor(features).T, upper=False)
    return torch.linalg.vector_norm(half, dim=0).numpy()


def log_softmax(log_base, scores, beta):
    """Logarithms of `pi_ref exp(f/beta) / Z`."""
    return torch.log_softmax(tensor(log_base) + tensor(scores) / beta, dim=0).numpy()


def kl_divergence(log_law, log_reference):
    """`sum p (log p - log q)` over the support of `p`."""
    law, reference = tensor(log_law), tensor(log_reference)
    held = law > -torch.inf
    return float((law[held].exp() * (law[held] - reference[held])).sum())


def log_coverage(log_law, log_base):
    """The largest log ratio over the support of the law."""
    law, base = tensor(log_law), tensor(log_base)
    held = law > -torch.inf
    return float((law[held] - base[held]).max())


def truncated_scores(features, anchor, theta, precision, nu):
    """`<theta, v>` where the norm of `v = phi(y) - anchor` is at most `nu`, else 0."""
    v = tensor(features) - tensor(anchor)
    covered = torch.einsum("ij,jk,ik->i", v, tensor(precision), v) <= nu**2
    return torch.where(covered, v @ tensor(theta), torch.zeros(())).numpy()


def fit(features, targets, radius):
    """Least squares on the ball, by the eigenvalues of the moments."""
    design, y = tensor(features), tensor(targets)
    values, vectors = torch.linalg.eigh(design.T @ design)
    kept = values > 1e-6 * values.max().clamp(min=1e-30)
    values, vectors = values[kept], vectors[:, kept]
    moment = vectors.T @ (design.T @ y)
    if torch.linalg.vector_norm(moment / values) <= radius:
        return (vectors @ (moment / values)).numpy()
    low, high = 0.0, float(torch.linalg.vector_norm(moment)) / radius
    for _ in range(100):
        middle = (low + high) / 2
        outside = torch.linalg.vector_norm(moment / (values + middle)) > radius
        low, high = (middle, high) if outside else (low, middle)
    theta = vectors @ (moment / (values + high))
    return (theta * min(1.0, radius / float(torch.linalg.vector_norm(theta)))).numpy()


def softmax_sample(oracle, prompt, score, *, multiplier, failure, seed):
    """A1, trial by trial."""
    trials, randomness = math.ceil(4 * multiplier * math.log(4 / failure)), generator(seed)
    pilot = tensor(score.of(oracle.sample(prompt, trials).features)) / oracle.beta
    log_threshold = math.log(multiplier) + torch.logsumexp(pilot, dim=0) - math.log(trials)
    for _ in range(trials):
        response = oracle.sample(prompt, 1)[0]
        log_weight = float(tensor(score.of(response.features[None]))[0]) / oracle.beta
        if torch.rand((), generator=randomness, dtype=torch.float64).log() < log_weight - log_threshold:
            return response
    return oracle.sample(prompt, 1)[0]


def draw(probabilities, count, seed):
    """Draws of outcomes, by their probabilities."""
    return draw_weights(probabilities, count, seed)


def draw_weights(weights, count, seed):
    """Draws of outcomes, in proportion to their weights."""
    law = tensor(weights, torch.float64)
    return torch.multinomial(law / law.sum(), int(count), replacement=True, generator=generator(seed)).numpy()


def draw_logits(logits, count, seed):
    """Draws of outcomes, by unnormalised log probabilities."""
    law = torch.softmax(tensor(logits, torch.float64), dim=0)
    return torch.multinomial(law, int(count), replacement=True, generator=generator(seed)).numpy()


subject = sys.modules[__name__]
