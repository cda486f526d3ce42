"""Statistical claims: how an experiment on one instance is designed, and when its e-values are looked at.

The sample size of an experiment is the one that its discrepancy needs. E-values may be looked at any time, so the
sample grows in steps: a gross fault is decided early, and so is that there is no violation of the size demanded. Of
the probability 1 - POWER of missing such a violation, one half belongs to each way of ending without a finding: early,
and with all samples drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import xlogy

from spanver.errors import ViolationError
from spanver.evidence import log_e_law, log_e_mean, log_e_violated_law, min_samples_law, min_samples_mean
from spanver.evidence.e_values import MOST_ENUMERATED
from spanver.validation import require
from spanver.values import FloatArray
from spanver.verification.check import Check

FIRST_LOOK = 64  # observations
# An experiment that may end early either way is looked at again with a part of 1/GROWTH more, others with 3 times more.
GROWTH = 2
MISSED = 0.005  # probability of missing a violation of the discrepancy demanded, by each of the two ways
POWER = 1.0 - MISSED
REJECTED = 0.05  # level at which a mistake is no explanation of what was observed
SHRINK_OBSERVATIONS = 2**15  # in the search for a smaller instance, after which no further one is begun


@dataclass(frozen=True)
class Seen:
    """What observations showed beside what was claimed.

    Attributes
    ----------
    of : str
        What was looked at.
    observed, expected : str
    shares : sequence of (str, float, float)
        Of every outcome of a law: its name, its observed and its expected share.
    """

    of: str
    observed: str
    expected: str
    shares: Sequence[tuple[str, float, float]] = ()


@dataclass(frozen=True)
class Experiment:
    """A statistical claim about one instance.

    Attributes
    ----------
    observe : callable
        `observe(count, seed)`: that many further observations.
    log_e : callable
        Logarithm of the e-value of all observations so far, against the guarantee.
    samples : int
        Observations after which a violation of the discrepancy demanded has been seen with probability 0.99.
    seen : callable
        What was observed and what was claimed.
    log_e_violated : callable, optional
        Logarithm of the e-value of all observations so far, against a violation of the discrepancy demanded. Without
        it a test that finds nothing draws all samples.
    first : int
        Observations at which it is looked at first: more where few are drawn as slowly as many.
    """

    observe: Callable[[int, int], Sequence[Any]]
    log_e: Callable[[Sequence[Any]], float]
    samples: int
    seen: Callable[[Sequence[Any]], Seen]
    log_e_violated: Callable[[Sequence[Any]], float] | None = None
    first: int = FIRST_LOOK


def law_experiment(
    check: Check,
    observe: Callable[[int, int], Sequence[Any]],
    law: FloatArray,
    *,
    of: str = "outcome",
    outcomes: Sequence[str] = (),
    tolerated: float = 0.0,
    mistakes: Callable[[], Mapping[str, FloatArray]] = dict,
) -> Experiment:
    """Experiment: observations, which are indices, are independent and have this law, up to what is tolerated.

    Parameters
    ----------
    check : Check
        Whose level and discrepancy decide the number of observations.
    observe : callable
        `observe(count, seed)`: that many further observations.
    law : array, shape (k,)
        Probabilities of at most 8 outcomes, so that the e-value may be looked at any time.
    of : str
        What an observation is: `response of softmax_sample (M = 4, delta = 0.9)`.
    outcomes : sequence of str, length k
        Their names. Default: their indices.
    tolerated : float
        Total variation from the law that the guarantee allows.
    mistakes : callable
        Returns laws of wrong versions, shape (k,), by what would be wrong: `weights were squared`. A violation names
        those that explain it.
    """
    require(len(law) <= MOST_ENUMERATED, "the number of outcomes", len(law), f"at most {MOST_ENUMERATED}")
    demanded = tolerated + check.discrepancy
    samples = min_samples_law(law, demanded, alpha=check.alpha, tolerated=tolerated, power=POWER)
    names = list(outcomes) or [str(index) for index in range(len(law))]

    def seen(drawn: Sequence[Any]) -> Seen:
        shares = np.bincount(np.asarray(drawn, dtype=np.int64), minlength=len(law)) / len(drawn)
        worst = int(np.argmax(np.abs(shares - law)))
        observed, expected = f"{names[worst]} with frequency {shares[worst]:.4g}", f"{law[worst]:.4g}"
        told = [f"{wrong[worst]:.4g} if {mistake}" for mistake, wrong in explaining(drawn, law, mistakes())]
        expected += f", and {' or '.join(told)}" if told else ""
        return Seen(of, observed, expected, list(zip(names, shares.tolist(), np.asarray(law).tolist(), strict=True)))

    return Experiment(
        observe,
        lambda drawn: log_e_law(drawn, law, tolerated=tolerated),
        samples,
        seen,
        lambda drawn: log_e_violated_law(drawn, law, demanded),
    )


def explaining(
    drawn: Sequence[int], law: FloatArray, mistakes: Mapping[str, FloatArray]
) -> list[tuple[str, FloatArray]]:
    """Up to two mistaken laws that explain draws better than the right law and are not rejected, the likeliest first.

    Parameters
    ----------
    drawn : sequence of int
        Indices.
    law : array, shape (k,)
    mistakes : mapping of str to array, shape (k,)
    """
    counts = np.bincount(np.asarray(drawn, dtype=np.int64), minlength=len(law))

    def log_likelihood(law: FloatArray) -> float:
        return float(xlogy(counts, law).sum())

    better = [each for each in mistakes.items() if log_likelihood(each[1]) > log_likelihood(law)]
    possible = [each for each in better if log_e_law(drawn, each[1]) < -math.log(REJECTED)]
    return sorted(possible, key=lambda each: -log_likelihood(each[1]))[:2]


def mean_experiment(
    check: Check, observe: Callable[[int, int], Sequence[Any]], bound: float, *, of: str = "event"
) -> Experiment:
    """Experiment: observations in [0, 1] have a mean of at most `bound`, up to the discrepancy.

    Parameters
    ----------
    check : Check
        As in `law_experiment`.
    observe : callable
        `observe(count, seed)`: that many further observations.
    bound : float
    of : str
        The event that is observed: `run whose gap exceeds 0.05`.
    """
    excess = min(check.discrepancy, 1.0 - bound)
    samples = min_samples_mean(bound, excess, alpha=check.alpha, power=POWER)

    def seen(drawn: Sequence[Any]) -> Seen:
        return Seen(of, f"frequency {float(np.mean(drawn)):.4g}", f"at most {bound:.4g}")

    def log_e_violated(drawn: Sequence[Any]) -> float:
        return log_e_mean(len(drawn) - float(np.sum(drawn)), len(drawn), max(0.0, 1.0 - bound - excess))

    def log_e(drawn: Sequence[Any]) -> float:
        return log_e_mean(float(np.sum(drawn)), len(drawn), bound)

    return Experiment(observe, log_e, samples, seen, log_e_violated)


@dataclass
class ExperimentLoop:
    """The experiments of one property, instance by instance, at a level `alpha` each.

    Once one has failed, a smaller failing instance is searched with fresh randomness and with bounded effort.
    """

    alpha: float
    decided_after: int | None = None  # observations that decided the smallest failing instance so far
    before: int | None = None  # the same, before the last one failed
    while_shrinking: int = 0

    def test(self, experiment: Experiment, seed: Callable[[str, int], int]) -> None:
        """Observe until a violation is decided, or excluded, or all samples are drawn.

        Parameters
        ----------
        experiment : Experiment
        seed : callable
            `seed(purpose, replicate)`: seeds of the current instance.

        Raises
        ------
        ViolationError
            If the e-value reaches `1/alpha`.
        """
        observations: list[Any] = []
        shrinking = self.decided_after is not None
        # A smaller instance that needs far more observations than the one that failed is not worth its time.
        most = experiment.samples if self.decided_after is None else min(experiment.samples, 2 * self.decided_after)
        count, look = min(experiment.first, most), 0
        while len(observations) < most:
            observations.extend(experiment.observe(count, seed("observations", look)))
            self.while_shrinking += count if shrinking else 0
            evidence, threshold = experiment.log_e(observations), -math.log(self.alpha)
            if evidence >= threshold:
                self.before = self.decided_after
                self.decided_after = min(len(observations), self.decided_after or len(observations))
                seen = experiment.seen(observations)
                raise ViolationError(
                    f"{seen.of}: {seen.observed}, expected {seen.expected}, after {len(observations)} observations "
                    f"(e-value e^{evidence:.1f}, above 1/alpha = e^{threshold:.1f})",
                    of=seen.of,
                    observed=seen.observed,
                    expected=seen.expected,
                    shares=seen.shares,
                )
            violated = experiment.log_e_violated
            if violated is not None and violated(observations) >= -math.log(MISSED):
                return
            more = 3 * len(observations) if violated is None else len(observations) // GROWTH
            count, look = min(more, most - len(observations)), look + 1

    def forget(self) -> None:
        """Take back that the last instance failed: it is repeated."""
        self.decided_after = self.before

    def is_exhausted(self) -> bool:
        """Whether the search for a smaller instance has used up its observations."""
        return self.while_shrinking >= SHRINK_OBSERVATIONS
