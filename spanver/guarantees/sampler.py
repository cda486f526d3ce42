"""Samplers (R1 to R10) and their bounds, as functions of numbers.

Counts are Python integers and may pass `2**63`. Every argument is validated on entry: one out of range raises
`ArgumentError`. R4 and R10 are `[ours]`.
"""

from __future__ import annotations

import math

from spanver.guarantees.guarantee import BOTH, EXACT, NONE, OURS, PAPER, STANDARD, STATISTICAL, Cost, Guarantee
from spanver.validation import LARGEST, require_count, require_coverage, require_probability, require_real, to_float


def sampler_trials(multiplier: float, delta: float) -> int:
    """Return A1's `N = ceil(4 M log(4/delta))`: draws of the pilot, and the most trials after it (R1).

    `[paper: Algorithm 1, p. 36]`.

    Parameters
    ----------
    multiplier : float
        `M`, at least 1.
    delta : float
        Strictly between 0 and 1.

    Examples
    --------
    >>> sampler_trials(4.0, 0.1)
    60
    """
    require_real("multiplier", multiplier, least=1.0)
    require_probability("delta", delta)
    return math.ceil(4.0 * multiplier * _log_quotient(4.0, delta))


def sampler_samples(multiplier: float, delta: float) -> int:
    """Return the most samples that one call of A1 takes, `2N + 1` (R1); arguments as for `sampler_trials`.

    Examples
    --------
    >>> sampler_samples(4.0, 0.1)
    121
    """
    return 2 * sampler_trials(multiplier, delta) + 1


def sampler_multiplier(coverage: float) -> float:
    """Return `4C`, the least multiplier for which R3 promises total variation `delta` `[paper]`.

    Parameters
    ----------
    coverage : float
        `C(pi_f|x)`, at least 1.

    Raises
    ------
    ArgumentError
        If `coverage` is out of range.
    """
    require_coverage("coverage", coverage)
    return 4.0 * coverage


def density_multiplier(coverage: float) -> float:
    """Return `4C^2`, the least multiplier for which R9 promises a density ratio near `pi_f/pi_ref` `[paper]`.

    Parameters
    ----------
    coverage : float
        `C(pi_f|x)`, at least 1.
    """
    require_coverage("coverage", coverage)
    return 4.0 * coverage * coverage


def density_deviation(coverage: float, multiplier: float) -> float:
    """Return `C sqrt(2/M)`, by which R9 allows the log of a density ratio to be off `[paper: (30), p. 37]`.

    Parameters
    ----------
    coverage : float
        `C(pi_f|x)`, at least 1.
    multiplier : float
        `M`, at least 1; the promise needs `M >= 4 C^2`.

    Examples
    --------
    >>> round(density_deviation(3.0, density_multiplier(3.0)), 6)  # whatever the coverage
    0.707107
    """
    require_coverage("coverage", coverage)
    require_real("multiplier", multiplier, least=1.0)
    return coverage * math.sqrt(2.0 / multiplier)


def race_total_variation(coverage: float, draws: int) -> float:
    """Return the upper bound of R4 on the race sampler's total variation: `(1 - 1/C)^N` (tight, `[ours]`).

    Parameters
    ----------
    coverage : float
        `C(pi_f|x)`, at least 1.
    draws : int
        `N`, at least 1.

    Examples
    --------
    >>> round(race_total_variation(2.0, 3), 9)
    0.125
    """
    require_coverage("coverage", coverage)
    require_count("draws", draws)
    return math.exp(to_float(draws) * math.log1p(-1.0 / coverage)) if coverage > 1.0 else 0.0


def race_draws(coverage: float, delta: float) -> int:
    """Return A1r's `N = ceil(C log(1/delta))`, for which R4 promises total variation `delta` `[ours]`.

    Parameters
    ----------
    coverage : float
        `C(pi_f|x)`, at least 1.
    delta : float
        Strictly between 0 and 1.
    """
    require_coverage("coverage", coverage)
    require_probability("delta", delta)
    return math.ceil(coverage * _log_quotient(1.0, delta))


def race_samples(multiplier: float, delta: float) -> int:
    """Return the samples that one call of A1r takes where A1 would take the multiplier `M`: `N` for `C = M/4` `[ours]`.

    Arguments are as for `sampler_trials`. A multiplier below 4 belongs to no coverage: R4 then promises nothing.

    Examples
    --------
    >>> race_samples(16.0, 0.1) == race_draws(4.0, 0.1) == 10
    True
    """
    require_real("multiplier", multiplier, least=1.0)
    require_probability("delta", delta)
    return max(1, math.ceil(multiplier / 4.0 * _log_quotient(1.0, delta)))


def _log_quotient(numerator: float, delta: float) -> float:
    """Return `log(numerator/delta)` by the quotient, as implementations do, unless that would overflow."""
    return math.log(numerator / delta) if delta > 1.0 / LARGEST else math.log(numerator) - math.log(delta)


GROUP = "Sampler"

# a table, a row a guarantee
# fmt: off
GUARANTEES = (
    Guarantee("R1", GROUP, "samples of one call",
        "A call takes at most 2N + 1 base samples, N = ceil(4 M log(4/delta)).",
        EXACT, "FMR25 Algorithm 1, p. 36, and Theorem F.2, p. 37", PAPER, sampler_samples),
    Guarantee("R2", GROUP, "law of an accepted response",
        "Given a pilot with M Z >= max w over the support, the law given acceptance is exactly pi_f. So the output is "
        "within delta of pi_f where M >= 4 C(pi_f|x) and M >= max w / min w, which makes every pilot such a one.",
        STATISTICAL, "FMR25 Lemma F.4, p. 38", PAPER),
    Guarantee("R3", GROUP, "distance to the target",
        "M >= 4 C(pi_f|x) implies TV(law, pi_f) <= delta.",
        STATISTICAL, "FMR25 Theorem F.2, p. 37, and Lemma F.1, p. 38", PAPER, sampler_multiplier),
    Guarantee("R4", GROUP, "distance of the race sampler",
        "The race sampler has TV <= (1 - 1/C)^N (tight), so that N = ceil(C log(1/delta)) responses are enough for "
        "delta. It takes no more than A1 may (R1).",
        BOTH, "", OURS, race_total_variation),
    Guarantee("R5", GROUP, "no effect of a constant",
        "Adding a constant c to f changes nothing up to rounding, abs(c)/beta <= 1e4; no overflow there.",
        EXACT, "", NONE),
    Guarantee("R6", GROUP, "a sampler of a finite law has that law",
        "A sampler of a given finite law (any library's; of probabilities, of weights of any scale, of logits, of a "
        "batch of laws) has that law: its draws are independent, and the same seed gives the same draws.",
        BOTH, "", STANDARD, cost=Cost.DRAW),
    Guarantee("R7", GROUP, "draws without replacement follow one another",
        "A sampler without replacement draws the set that successive draws give, each in proportion to the weights of "
        "the outcomes that are left; the same seed gives the same set.",
        BOTH, "", STANDARD),
    Guarantee("R8", GROUP, "density ratio of the call's own pilot",
        "The ratio that comes with a response y, the fallback too, is rho = w(y)/Z with the mean weight Z of the pilot "
        "of the same call. So rho is between e^{-osc(f)/beta} and e^{osc(f)/beta}, always.",
        EXACT, "FMR25 Algorithm 2, p. 37, and Theorem F.1, p. 36", PAPER),
    Guarantee("R9", GROUP, "density ratio near the true one",
        "M >= 4 C(pi_f|x)^2 implies abs(log rho - log(pi_f/pi_ref)) <= C sqrt(2/M) but for a probability of delta.",
        STATISTICAL, "FMR25 (30), p. 37", PAPER, density_deviation),
    Guarantee("R10", GROUP, "between the base policy and the target",
        "For every M > 0 and N >= 1, law/pi_ref does not fall with f and law/pi_f does not rise. So the probability of "
        "f >= s is between those of pi_ref and pi_f for all s; law/pi_ref <= C(pi_f|x), "
        "law/pi_f <= e^{(max f - f)/beta} and KL(law || pi_ref) <= KL(pi_f || pi_ref).",
        STATISTICAL, "in place of the density ratio of FMR25 Lemma F.1, p. 38", OURS),
)
# fmt: on
