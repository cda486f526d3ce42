"""Evidence instead of tolerances: statistical claims tested by e-values, with both error rates stated.

*Contract.* `log_e_...` functions return the logarithm of an e-value: a number that under the claim has a mean of at most
1, at any time that one cares to look. A claim is rejected when its e-value reaches `1/alpha`; that happens to a true claim
with probability at most `alpha`, however often one looks (Ville's inequality). `min_samples_...` returns how many
observations show a violation of a given size with probability `power`; `min_discrepancy_...` is its inverse: the smallest
violation that so many observations would have shown. `assert_...` raises `EvidenceError`, which says both.

*Example.* Is this coin's mean at most one half?

>>> import numpy as np
>>> tosses = np.random.default_rng(0).random(2000) < 0.6
>>> min_samples_mean(0.5, 0.1, alpha=1e-6) <= 2000
True
>>> assert_mean_at_most(tosses, 0.5, alpha=1e-6)
Traceback (most recent call last):
...
spanver.evidence.means.EvidenceError: the mean of 2000 observations is 0.6..., at most 0.5 was claimed...

*Theory.* For observations in [0, 1] with conditional means of at most `p`, `prod (q/p)^x ((1-q)/(1-p))^(1-x)` is a
supermartingale for every `q > p`, and so is its average over `q`. A law is tested through its events: the e-values of all
events are averaged where there are few outcomes, and one event is chosen on half of the data where there are many. One
budget `alpha` of false alarms serves a whole run: `share` divides it.
"""

from spanver.evidence.laws import (
    assert_law,
    assert_same_law,
    log_e_law,
    log_e_same_law,
    min_discrepancy_law,
    min_discrepancy_same_law,
    min_samples_law,
    min_samples_same_law,
)
from spanver.evidence.means import (
    EvidenceError,
    assert_mean_at_most,
    log_e_chances,
    log_e_mean,
    log_e_uncovered,
    min_discrepancy_mean,
    min_samples_chances,
    min_samples_mean,
    share,
)
from spanver.evidence.scaling import Slope, assert_slope, judge, slope

__all__ = [
    "EvidenceError",
    "Slope",
    "assert_law",
    "assert_mean_at_most",
    "assert_same_law",
    "assert_slope",
    "judge",
    "log_e_chances",
    "log_e_law",
    "log_e_mean",
    "log_e_same_law",
    "log_e_uncovered",
    "min_discrepancy_law",
    "min_discrepancy_mean",
    "min_discrepancy_same_law",
    "min_samples_chances",
    "min_samples_law",
    "min_samples_mean",
    "min_samples_same_law",
    "share",
    "slope",
]
