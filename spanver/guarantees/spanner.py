"""The spanner of A2 (S1 to S9) and its bounds, as functions of numbers.

Counts are Python integers and may pass `2**63`. Every argument is validated on entry: one out of range raises
`ArgumentError`. S4, S5 and S6 are `[ours]`: they are not the paper's. S9 is the paper's, with its proof's constants.
"""

from __future__ import annotations

import math
import operator
from decimal import Context, Decimal, localcontext

from spanver.evidence.e_values import FRACTION_FIRED
from spanver.guarantees.guarantee import EXACT, NONE, OURS, PAPER, STANDARD, STATISTICAL, Guarantee
from spanver.validation import (
    require_count,
    require_coverage,
    require_positive,
    require_probability,
    require_share,
    to_float,
)

DIGITS = 80
"""Of the arithmetic that decides S4."""


def spanner_size_bound(dimension: int, ridge: float, nu: float) -> int:
    """Return the largest `K` with `K log(1 + nu^2) <= d log(1 + 4K/(lambda d))` (S4, `[ours]`).

    The left side minus the right is convex in `K` and 0 at 0, so the `K` allowed are all those up to the one returned,
    which is found by bracketing. Arithmetic in 80 digits decides the integer edge for the doubles given.

    Parameters
    ----------
    dimension : int
        `d`, at least 1.
    ridge : float
        `lambda`, above 0.
    nu : float
        Above 0.

    Returns
    -------
    int
        0 where not even one pair can be accepted.

    Examples
    --------
    >>> spanner_size_bound(1, 1.0, 0.5)
    19
    """
    require_count("dimension", dimension)
    require_positive("ridge", ridge)
    require_positive("nu", nu)
    with localcontext(Context(prec=DIGITS)):
        d = Decimal(operator.index(dimension))
        each = _log1p(Decimal(float(nu)) ** 2)
        per_pair = 4 / (Decimal(float(ridge)) * d)

        def allowed(size: int) -> bool:
            left, right = size * each, d * _log1p(size * per_pair)
            return left - right <= right * Decimal("1e-50")  # equal logarithms may differ in their last digits

        above = 1
        while allowed(above):
            above *= 2
        below = above // 2
        while above - below > 1:
            middle = (above + below) // 2
            below, above = (middle, above) if allowed(middle) else (below, middle)
        return below


def _log1p(x: Decimal) -> Decimal:
    """Return `log(1 + x)` to 60 of 80 digits, also where `1 + x` would round `x` away."""
    return (1 + x).ln() if x > Decimal("1e-20") else x * (1 - x / 2 + x * x / 3)


def uncovered_budget(spanner_size: int, delta: float) -> float:
    """Return S5's bound on `sum_t q_{Sigma_{t-1}}`, and so on `T_prompt q`: `(K + log(1/delta))/(1 - 1/e)` `[ours]`.

    Parameters
    ----------
    spanner_size : int
        `K`, at least 0.
    delta : float
        Strictly between 0 and 1.
    """
    require_count("spanner_size", spanner_size, least=0)
    require_probability("delta", delta)
    return (to_float(spanner_size) - math.log(delta)) / FRACTION_FIRED


def uncovered_probability(coverage: float, pairs_per_prompt: int, q: float) -> float:
    """Return S6's bound on the chance that a policy leaves what is covered: `max(1, C/T_span) q/(1 - 1/e)` `[ours]`.

    Parameters
    ----------
    coverage : float
        `C` of the policy, at least 1.
    pairs_per_prompt : int
        `T_span`, at least 1.
    q : float
        `q_{Sigma_span}`, a probability.

    Returns
    -------
    float
        As stated: above 1 it says nothing.
    """
    require_coverage("coverage", coverage)
    require_count("pairs_per_prompt", pairs_per_prompt)
    require_share("q", q)
    return max(1.0, coverage / to_float(pairs_per_prompt)) * q / FRACTION_FIRED


def policy_uncovered_budget(spanner_size: int, delta: float) -> float:
    """Return what S5 and S6 allow `T_prompt P(uncovered)` of a policy of coverage at most `T_span` `[ours]`.

    `(K + log(1/delta))/(1 - 1/e)^2`, whose constant is 2.503, with probability `1 - delta`. FMR25 (8) has a term
    `C/T_span` more.

    Parameters
    ----------
    spanner_size : int
        `K`, at least 0.
    delta : float
        Strictly between 0 and 1.
    """
    return uncovered_budget(spanner_size, delta) / FRACTION_FIRED


def uncovered_threshold(prompts: int, pairs_per_prompt: int, delta: float) -> float:
    """Return the `8 log(4 T_prompt/delta)/T_span` of S9, above which a prompt counts as uncovered `[paper]`.

    Parameters
    ----------
    prompts, pairs_per_prompt : int
        `T_prompt` and `T_span`, at least 1.
    delta : float
        Strictly between 0 and 1.

    Returns
    -------
    float
        As stated: from 1 on no prompt counts.
    """
    require_count("prompts", prompts)
    require_count("pairs_per_prompt", pairs_per_prompt)
    require_probability("delta", delta)
    return 8.0 * (math.log(4.0) + math.log(operator.index(prompts)) - math.log(delta)) / to_float(pairs_per_prompt)


def uncovered_prompts_budget(spanner_size: int, delta: float) -> float:
    """Return S9's bound on `T_prompt P_x[p_Sigma(x) > eps_span]`: `2 K + 8 log(4/delta)` `[paper]`.

    Parameters
    ----------
    spanner_size : int
        `K`, at least 0.
    delta : float
        Strictly between 0 and 1.
    """
    require_count("spanner_size", spanner_size, least=0)
    require_probability("delta", delta)
    return 2.0 * to_float(spanner_size) + 8.0 * (math.log(4.0) - math.log(delta))


def spanner_cost(tries: int, spanner_size: int) -> tuple[int, int]:
    """Return phase 1's cost `(samples, rewards)` when pairs are tried one by one: `(2 tries, 2K)` (S7, `[paper]`).

    Parameters
    ----------
    tries : int
        Pairs tried in all prompts, at least `spanner_size`.
    spanner_size : int
        `K`, at least 0.
    """
    require_count("spanner_size", spanner_size, least=0)
    require_count("tries", tries, least=operator.index(spanner_size))
    return 2 * operator.index(tries), 2 * operator.index(spanner_size)


def largest_rewards(spanner_size: int, prompts: int, rounds: int, answers: int = 2) -> int:
    """Return the most rewards that SpannerSampling asks for: of a pair at most once a prompt, and once a round.

    Parameters
    ----------
    spanner_size : int
        Bound on the number of pairs (S4).
    prompts, rounds : int
        Of phase 1 (S1), and of phase 2.
    answers : int
        That a pair costs: two rewards, or one label.

    Examples
    --------
    >>> largest_rewards(19, 5, 100)
    210
    """
    require_count("spanner_size", spanner_size, least=0)
    require_count("prompts", prompts)
    require_count("rounds", rounds, least=0)
    require_count("answers", answers)
    pairs = min(operator.index(spanner_size), operator.index(prompts)) + operator.index(rounds)
    return operator.index(answers) * pairs


GROUP = "Spanner"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("S1", GROUP, "acceptance at norm above nu",
        "Every accepted pair had norm > nu under the Sigma before it, at most one per prompt round; in literal "
        "runs no pair tried before it in its round had (ties up to rounding are free).",
        EXACT, "FMR25 Algorithm 3, p. 44", PAPER),
    Guarantee("S2", GROUP, "Sigma is the ridge plus the accepted pairs",
        "Sigma = lambda I + sum v v^T, symmetric positive definite.",
        EXACT, "FMR25 Algorithm 3, p. 44", PAPER),
    Guarantee("S3", GROUP, "log determinant adds up",
        "log det Sigma - d log lambda = sum log(1 + ||v_i||^2_{Sigma_{i-1}^-1}).",
        EXACT, "", STANDARD),
    Guarantee("S4", GROUP, "size",
        "K log(1+nu^2) <= d log(1 + 4K/(lambda d)): the size depends on d, lambda, nu only, not on T_span or "
        "T_prompt.",
        EXACT, "implies FMR25 Lemma G.8, p. 52", OURS, spanner_size_bound),
    Guarantee("S5", GROUP, "what stays uncovered",
        "With probability >= 1-delta, at any stopping time: sum_t q_{Sigma_{t-1}} <= (K + log(1/delta))/(1 - 1/e), "
        "so T_prompt * q_{Sigma_span} is too. Tested by prod_t e^{-A_t}/(1 - (1-1/e) q_{t-1}), of mean exactly 1.",
        STATISTICAL, "implies FMR25 Lemma G.9, p. 52", OURS, uncovered_budget),
    Guarantee("S6", GROUP, "policies stay where the spanner covers",
        "For every pi dominated by pi_ref with coverage <= C (also one that depends on y' with C(pi(.|x,y')) <= C "
        "for each y'): E_x P_{y~pi, y'~pi_ref}(uncovered) <= max(1, C/T_span) q_{Sigma_span}/(1 - 1/e). So by S5, for "
        "T_span >= C, T_prompt times it is at most 2.503 (K + log(1/delta)).",
        EXACT, "with S5 sharper than FMR25 (8), p. 8", OURS, uncovered_probability),
    Guarantee("S7", GROUP, "cost",
        "Phase 1 costs the answers returned: 2 x the pairs tried when pairs are tried one by one, and 2K "
        "rewards.",
        EXACT, "FMR25 Algorithm 3, p. 44", PAPER, spanner_cost),
    Guarantee("S8", GROUP, "invariances",
        "Rotating features changes no acceptance (ties apart); phi -> c phi, lambda -> c^2 lambda neither; norms "
        "never grow as Sigma grows.",
        EXACT, "", NONE),
    Guarantee("S9", GROUP, "prompts that stay uncovered",
        "With probability >= 1-delta: P_x(p_{Sigma_span}(x) > 8 log(4 T_prompt/delta)/T_span) <= (2 K + 8 "
        "log(4/delta))/T_prompt. Implied by S5, and judged by the same e-value.",
        STATISTICAL, "FMR25 Lemma G.9, p. 52, with the constants of its proof", PAPER, uncovered_prompts_budget),
)
# fmt: on
