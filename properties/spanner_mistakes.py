"""Designed instances of phase 1, and the named mistakes that show on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray

from .designs import CHAIN, LINE, NEAR, NEAR_NU, NEARER, ROUNDED_RIDGE, ROUNDS, TRIANGLE, named, settings_of

CHAINS = [{"problem": CHAIN, "settings": settings_of(prompts=16)}]
LONG_CHAINS = [{"problem": CHAIN, "settings": settings_of(), "prompts": ROUNDS}]
NEAR_THE_THRESHOLD = [
    {"problem": NEAR, "settings": settings_of(nu=NEAR_NU, ridge=1.0, pairs_per_prompt=8), "prompts": ROUNDS},
    {
        "problem": NEARER,
        "settings": settings_of(nu=NEAR_NU / ROUNDED_RIDGE**0.5, ridge=ROUNDED_RIDGE, pairs_per_prompt=8),
        "prompts": ROUNDS,
    },
]
ON_A_LINE = [{"problem": LINE, "settings": settings_of(nu=0.9, ridge=1.0, pairs_per_prompt=20), "prompts": 40}]
COVERED = [{"problem": CHAIN, "settings": settings_of(prompts=ROUNDS), "scale": 1}]
OUT_OF_BUDGET = [{"problem": CHAIN, "settings": settings_of(prompts=16), "samples": 5}]
LONG_VECTORS = [
    {"vectors": np.array([[[1.6, -0.8, 0.4], [0.6, 0.6, 0.0], [1.2, 0.3, -0.5]]]), "ridge": 0.1, "angle": 1}
]

ON_ACCEPTANCE = [
    *named(
        "spanner",
        "wrong-side sigma-for-inverse squared nu-squared euclidean log-det diagonal larger-nu smaller-nu single-norms "
        "rule-of-larger-nu rule-of-smaller-nu rule-of-squares rule-of-sigma features-of-first features-added "
        "no-ridge-in-precision ridge-for-inverse updated-twice stale stale-after-three three-updates all-of-a-round "
        "longest-of-a-round one-pair-less one-pair-more one-order every-second late-rewards late-prompt "
        "accepting-rounds wrong-sign no-one doubled-diagonal",
    ),
    *named("independent", "single-precision stale-after-three larger-nu"),
]
ON_SIGMA = named(
    "spanner",
    "no-ridge-in-sigma updated-twice sigma-without-last update-of-last-tried sign-of-target reward-twice "
    "same-response-twice single-precision",
)
ON_THE_DETERMINANT = named("spanner", "no-ridge-in-sigma sigma-without-last")
ON_SIZE = named("spanner", "never-updated all-of-a-round")
ON_COVER = named("norms", "sigma euclidean")
ON_COST = named("spanner", "chained one-anchor all-rewards reward-twice")
ON_BUDGETS = named("spanner", "swallowed-budget")
ON_NORMS = named("norms", "squared sigma diagonal upper jitter euclidean identity")
ON_SCALE = named("spanner", "euclidean no-ridge-in-precision")

# One round is all that is judged; effects are exact.
ONE_ROUND = [
    {"problem": TRIANGLE, "settings": settings_of(prompts=1, pairs_per_prompt=2, nu=nu, ridge=ridge)}
    for nu, ridge in ((0.7, 1.0), (1.4, 0.25))
]


def accepting(accepts: Callable[[FloatArray, float, float], bool]) -> Callable[..., float]:
    """Effect of accepting other pairs in the first round: `accepts(v, norm, nu)`."""

    def effect(problem: TabularProblem, settings: Settings) -> float:
        features, base = problem.features[0], np.exp(problem.log_base[0])

        def accepted(of: Callable[[FloatArray, float, float], Any]) -> float:
            chances = [
                first
                * second
                * float(of(one - two, float(np.linalg.norm(one - two)) / settings.ridge**0.5, settings.nu))
                for one, first in zip(features, base, strict=True)
                for two, second in zip(features, base, strict=True)
            ]
            return float(1.0 - (1.0 - sum(chances)) ** settings.pairs_per_prompt)

        return abs(accepted(accepts) - accepted(lambda _, norm, nu: norm > nu))

    return effect


EFFECTS = {
    "spanner-one-order": accepting(lambda v, norm, nu: norm > nu and v[np.flatnonzero(v)[0]] > 0.0),
    "spanner-wrong-side": accepting(lambda v, norm, nu: norm <= nu),
    "spanner-squared": accepting(lambda v, norm, nu: norm**2 > nu),
    "spanner-nu-squared": accepting(lambda v, norm, nu: norm > nu**2),
    "spanner-euclidean": accepting(lambda v, norm, nu: float(np.linalg.norm(v)) > nu),
    "spanner-log-det": accepting(lambda v, norm, nu: np.log1p(norm**2) > nu),
}
"""By mutant, of an instance of one round."""
