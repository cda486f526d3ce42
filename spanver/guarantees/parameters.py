"""Parameters of SpannerSampling (section 3, A2): those that we derive, and those of the paper.

With the derived ones `P(average gap > eps) <= delta` is proved, for `beta <= R_max` (T2). They are `[ours]`, and
safe rather than tight. The paper's are up to constants that it leaves open. Runs use practical settings, and show the
ratio to both.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from fractions import Fraction

from spanver.guarantees.exploration import confidence_radius
from spanver.guarantees.spanner import spanner_size_bound
from spanver.validation import require, require_count, require_real

SMALLEST, LARGEST = 1e-30, 1e30
"""The range of every argument: within it nothing over- or underflows."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What A2 runs with, and what it was derived from.

    Attributes
    ----------
    ridge : float
        `lambda = R_max^2/B^2`.
    gamma : float
        The confidence radius after all rounds: that of E1, or the paper's `eps_stat`.
    nu : float
        The norm above which a pair is uncertain: `beta/(2 gamma)`, or the paper's `beta/eps_stat`.
    spanner_size_bound : int
        `K_max`, the most pairs that S4 allows.
    exploration_rounds, prompts, pairs_per_prompt : int
        `T_exp`, `T_prompt`, `T_span`.
    rejection_multiplier, rejection_failure : float
        `M_rej`, `delta_rej`.
    """

    ridge: float
    gamma: float
    nu: float
    spanner_size_bound: int
    exploration_rounds: int
    prompts: int
    pairs_per_prompt: int
    rejection_multiplier: float
    rejection_failure: float


def derived_parameters(
    eps: float, delta: float, dimension: int, beta: float, radius: float, reward_range: float, coverage: float
) -> Parameters:
    """Return the parameters for which SpannerSampling is proved to succeed (A2, section 3; `[ours]`).

    `T = K_max + T_exp` appears in both terms. Both grow with `T`, but only like a power of its logarithm, so that
    raising `T` from 1 until it is at least their sum ends, at the least solution.

    Parameters
    ----------
    eps : float
        The gap allowed, above 0.
    delta : float
        The failure probability allowed, strictly between 0 and 1.
    dimension : int
        `d`, at least 1.
    beta : float
        Above 0 and at most `reward_range`.
    radius : float
        `B`, above 0.
    reward_range : float
        `R_max`, above 0.
    coverage : float
        `C`, an upper bound on the coverage of `pi*`; at least 1.

    Raises
    ------
    ArgumentError
        If an argument is out of range; sizes from 1e-30 to 1e30 are taken.

    Examples
    --------
    >>> derived_parameters(0.2, 0.05, 3, 0.5, 1.0, 1.0, 4.0).pairs_per_prompt
    14
    """
    d = _require_inputs(eps, delta, dimension, beta, radius, reward_range, coverage)
    ridge = (reward_range / radius) ** 2
    share = delta / 4.0
    log_share = -math.log(share)
    total = 1
    while True:
        log_growth = d * math.log1p(4.0 * total / (ridge * d))
        gamma = confidence_radius(ridge, radius, reward_range, share, log_growth)
        nu = beta / (2.0 * gamma)
        size = spanner_size_bound(d, ridge, nu)
        kappa = nu**2 / math.log1p(nu**2)
        squared_norms = 1.6 * (kappa * log_growth + nu**2 * log_share)
        rounds = math.ceil(3.0 / eps * (math.sqrt(math.e) * gamma**2 / (2.0 * beta)) * squared_norms)
        if size + rounds <= total:
            break
        total = size + rounds

    return Parameters(
        ridge=ridge,
        gamma=gamma,
        nu=nu,
        spanner_size_bound=size,
        exploration_rounds=rounds,
        prompts=math.ceil(7.6 * (5.0 * reward_range + 3.4 * beta) * (size + log_share) / eps),
        pairs_per_prompt=math.ceil(2.0 * math.sqrt(math.e) * coverage),
        rejection_multiplier=8.0 * math.e * coverage,
        rejection_failure=min(delta / rounds, eps / (6.0 * (reward_range + beta))),
    )


def paper_parameters(
    eps: float,
    delta: float,
    dimension: int,
    beta: float,
    radius: float,
    reward_range: float,
    coverage: float,
    constant: float = 1.0,
) -> Parameters:
    """Return the parameters of the paper (FMR25 Algorithm 3, p. 44, and G.4.2, pp. 54-58; `[paper]`).

    `lambda = (R_max/B)^2`, `eps_stat = c sqrt(d R_max^2 log(B T_exp/(R_max delta)))`, `nu = beta/eps_stat`,
    `M_rej = 8 e^2 C` and `delta_rej = 1/T_exp` are as printed. The numbers of rounds are printed up to constants: they
    bring each of the three terms of the bound on p. 58 to `eps/3`, with 1 for the constant that `<~` stands for, and
    logarithms of at least 1. So nothing is proved of them. `delta_rej` is at most 1/2.

    Parameters
    ----------
    eps, delta, dimension, beta, radius, reward_range, coverage
        As of `derived_parameters`.
    constant : float
        `c` of `eps_stat`, which the paper does not give.

    Raises
    ------
    ArgumentError
        As `derived_parameters`.

    Examples
    --------
    >>> paper_parameters(0.2, 0.05, 3, 0.5, 1.0, 1.0, 4.0).pairs_per_prompt
    858
    """
    d = _require_inputs(eps, delta, dimension, beta, radius, reward_range, coverage)
    require_real("constant", constant, least=SMALLEST, most=LARGEST)
    rounds, needed = 0, 1
    while needed > rounds:
        rounds = needed
        logarithm = max(1.0, math.log(radius) - math.log(reward_range) - math.log(delta) + math.log(rounds))
        eps_stat = constant * reward_range * math.sqrt(d * logarithm)
        needed = math.ceil(3.0 * eps_stat**2 * d * logarithm / (beta * eps))
    nu, ridge = beta / eps_stat, (reward_range / radius) ** 2
    twice = Fraction(max(1.0, math.log(max(1.0, math.log(rounds)))))
    growth = max(1.0, math.log(radius) - math.log(reward_range) - math.log(nu) - math.log(delta))
    # Products that no float may hold.
    stretch, scale = Fraction(eps_stat) / Fraction(beta), Fraction(reward_range) ** 2 / (Fraction(beta) * Fraction(eps))
    return Parameters(
        ridge=ridge,
        gamma=eps_stat,
        nu=nu,
        spanner_size_bound=spanner_size_bound(d, ridge, nu),
        exploration_rounds=rounds,
        prompts=math.ceil(3 * stretch**2 * d * scale * Fraction(growth) * twice),
        pairs_per_prompt=math.ceil(3 * scale * Fraction(max(1.0, -math.log(delta))) * twice * Fraction(coverage)),
        rejection_multiplier=8.0 * math.e**2 * coverage,
        rejection_failure=min(0.5, 1.0 / rounds),
    )


def _require_inputs(
    eps: float, delta: float, dimension: int, beta: float, radius: float, reward_range: float, coverage: float
) -> int:
    """Refuse what is out of range; return the dimension."""
    for name, value in (("eps", eps), ("beta", beta), ("radius", radius), ("reward_range", reward_range)):
        require_real(name, value, least=SMALLEST, most=LARGEST)
    require(
        beta <= reward_range,
        "beta",
        beta,
        f"at most reward_range = {reward_range:g}, for the proof of success covers no more",
    )
    require_real("delta", delta, least=SMALLEST, most=math.nextafter(1.0, 0.0))
    require_real("coverage", coverage, least=1.0, most=LARGEST)
    require_count("dimension", dimension)
    require(dimension <= LARGEST, "dimension", dimension, f"at most {LARGEST:g}")
    return operator.index(dimension)
