r"""Tests of statistical claims by e-values, with both error rates stated (section 6 of mathematics.md).

**Contract.** An *e-value* is a non-negative statistic whose mean is at most 1 while the claim is true. By Markov's
inequality it reaches `1/alpha` with probability at most `alpha`; that is the only way in which a claim is rejected
here. Nothing is asymptotic and no tolerance is picked by hand. Names say what a function does:

- `log_e_...` returns the logarithm of an e-value (`inf`: the data are impossible under the claim);
- `min_samples_...` returns how many samples catch a violation of a given size with probability `power`, when the test
  has level `alpha`; `min_discrepancy_...` inverts it: the smallest violation that so many samples catch;
- `assert_...` raises `EvidenceError`, an `AssertionError` that states e-value, `1/alpha`, the number of samples and the
  smallest violation that so many samples catch with probability 0.99.

A false alarm has probability at most `alpha`, a miss of the designed violation at most `1 - power`. Both are meant for
*one* test: a run divides its `alpha` over its tests by `split_alpha`.

**Example.** Design first, then draw as many samples as the design says, then assert:

>>> import numpy as np
>>> law = [0.5, 0.3, 0.2]
>>> samples = min_samples_law(law, 0.1, alpha=1e-6)
>>> observations = np.random.default_rng(1).choice(3, size=samples, p=law)
>>> assert_law(observations, law, alpha=1e-6)
>>> min_discrepancy_law(law, samples, alpha=1e-6) <= 0.1 * (1 + 1e-8)
True
>>> assert_law(np.zeros(samples, dtype=int), law, alpha=1e-6)  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
spanver.errors.EvidenceError: the observations do not follow the law...

**Theory.** A coin of chance at most `p` that is bet against at the odds of a chance `q > p` multiplies the stake by
`q/p` or `(1-q)/(1-p)`: the stake is a non-negative supermartingale. `log_e_mean` averages this bet over all `q` in
`(p, 1)`, so that one e-value is powerful against every larger chance. By Ville's inequality a supermartingale that
starts at 1 *ever* reaches `1/alpha` with probability at most `alpha`; hence one may look after every sample and stop as
soon as it does. This holds for `log_e_mean`, `log_e_chances` and `log_e_uncovered`, and for `log_e_law` and
`log_e_same_law` up to 8 categories, whose e-values are averages of such processes over all events `A`. With more
categories, half of the sample chooses the event and the other half tests it: then the number of samples must be fixed
in advance. A law at total variation `D` gives some event an excess of exactly `D`, which is why a test of events is a
test of laws.

**Stopping early.** Evidence works both ways: `log_e_violated_law` and `log_e_violated_chances` are e-values of the
claim that a violation of the size demanded *is* there: for chances, a shift of all of them to one side. A test may
stop without a finding as soon as one reaches `1/a`, and then misses such a violation with probability at most `a`,
which is a part of `1 - power`.

Scaling claims are no e-values: `slope` fits a power law for each independent seed and takes Student's interval over the
seeds (level 0.95 by default; it supposes that the seeds' slopes are about normal), and `compare_with_band` compares the
*whole* interval with a band. A ladder that is too short comes out `UNDECIDED`, which `assert_slope` does not let pass.
"""

from __future__ import annotations

from spanver.errors import EvidenceError
from spanver.evidence.assertions import assert_law, assert_mean_at_most, assert_same_law, assert_slope, split_alpha
from spanver.evidence.design import (
    min_discrepancy_law,
    min_discrepancy_mean,
    min_discrepancy_same_law,
    min_samples_chances,
    min_samples_law,
    min_samples_mean,
    min_samples_same_law,
)
from spanver.evidence.e_values import (
    log_e_chances,
    log_e_law,
    log_e_mean,
    log_e_same_law,
    log_e_uncovered,
    log_e_violated_chances,
    log_e_violated_law,
)
from spanver.evidence.slopes import Slope, compare_with_band, slope

__all__ = [
    "EvidenceError",
    "Slope",
    "assert_law",
    "assert_mean_at_most",
    "assert_same_law",
    "assert_slope",
    "compare_with_band",
    "log_e_chances",
    "log_e_law",
    "log_e_mean",
    "log_e_same_law",
    "log_e_uncovered",
    "log_e_violated_chances",
    "log_e_violated_law",
    "min_discrepancy_law",
    "min_discrepancy_mean",
    "min_discrepancy_same_law",
    "min_samples_chances",
    "min_samples_law",
    "min_samples_mean",
    "min_samples_same_law",
    "slope",
    "split_alpha",
]
