"""One run of one learner at one effort, for the studies that compare learners: the same rule for each.

The *effort* `k` of a learner is the one number that scales what its theory lets grow with coverage: `T_span` and `M` of
SpannerSampling, which decide how many samples it asks for; the rounds of a baseline, which decide everything; the
rounds and the `N` of best-of-N together; the rounds of XPO and, in proportion, the samples of each log-partition. All
else is fixed and the same for all problems (A2, A3). How many rounds SpannerSampling needs where the coverage is known
is another question (`known_coverage_attempt`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from spanver.exact.tabular import gap, log_law, sampled_gap
from spanver.guarantees import sampler_multiplier
from spanver.learners.best_of_n import best_of_n
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.online_dpo import online_dpo
from spanver.learners.passive import passive_learner
from spanver.learners.rounds import BaselineRun
from spanver.learners.spanner_sampling import Settings, spanner_sampling
from spanver.learners.xpo import xpo
from spanver.oracle import Ledger, Oracle
from spanver.oracles import counted_oracle
from spanver.problems.tabular import TabularProblem
from spanver.randomness import derived_seed
from spanver.studies.engine.effort import Attempt
from spanver.validation import require

__all__ = ["LEARNERS", "PARTITION_SAMPLES", "attempt", "known_coverage_attempt", "spanner_attempt", "spanner_settings"]

RIDGE = 1.0
ROUNDS = 4  # of each phase at effort 1, for a known coverage
PARTITION_SAMPLES = 4  # of XPO, by its rounds


def spanner_settings(exponent: float, prompts: int = 300) -> Settings:
    """Settings of SpannerSampling at effort `2^exponent`."""
    return Settings(
        prompts=prompts,
        pairs_per_prompt=math.ceil(2.0 * 2.0**exponent),
        nu=0.3,
        ridge=RIDGE,
        exploration_rounds=100,
        rejection_multiplier=4.0 * 2.0**exponent,
        rejection_failure=0.01,
    )


def attempt(learner: str, problem: TabularProblem, seed: int, exponent: float) -> Attempt:
    """Run a learner at effort `2^exponent` and judge what it returns by its exact gap.

    SpannerSampling is judged by the law of what A1 really draws from its policy, clipping included (`sampled_gap`); the
    others by the law of their policy.

    Parameters
    ----------
    learner : str
        One of `LEARNERS`.
    problem : TabularProblem
    seed : int
        The same seed at another effort has the same luck as far as the same questions are asked.
    exponent : float
        At least 0.

    Returns
    -------
    Attempt
        Gap, and ledger of learning: outputs are drawn for free.
    """
    require(learner in LEARNERS, "learner", learner, f"one of {', '.join(LEARNERS)}")
    if learner == "spanner_sampling":
        return spanner_attempt(problem, seed, spanner_settings(exponent))
    oracle = counted_oracle(problem, seed=derived_seed(seed, "oracle"), full_table=learner == "elliptical")
    run = _BASELINES[learner](oracle, math.ceil(2.0**exponent), derived_seed(seed, "learner"))
    return Attempt(gap(problem, log_law(problem, run.policy)), oracle.ledger)


def spanner_attempt(problem: TabularProblem, seed: int, settings: Settings) -> Attempt:
    """Run SpannerSampling, and judge it by the law of what A1 really draws from its policy (`sampled_gap`)."""
    oracle = counted_oracle(problem, seed=derived_seed(seed, "oracle"))
    policy = spanner_sampling(oracle, seed=derived_seed(seed, "learner"), settings=settings).policy
    multiplier, failure = settings.rejection_multiplier, settings.rejection_failure
    found = sampled_gap(problem, policy, multiplier, failure, seed=derived_seed(seed, "output"))
    return Attempt(found, oracle.ledger)


def known_coverage_attempt(
    problem: TabularProblem, coverage: float, seed: int, exponent: float, *, nu: float, runs: int
) -> Attempt:
    """Run SpannerSampling for a known coverage, with rounds that are the effort, and judge its policies' exact gaps.

    Parameters
    ----------
    problem : TabularProblem
    coverage : float
        That `T_span` and `M` are set for.
    seed : int
    exponent : float
        Both phases have `ROUNDS * 2^exponent` rounds.
    nu : float
    runs : int
        Independent ones on the same problem.

    Returns
    -------
    Attempt
        Mean gap, and the ledger of all runs.
    """
    rounds = math.ceil(ROUNDS * 2.0**exponent)
    settings = Settings(
        prompts=rounds,
        pairs_per_prompt=math.ceil(4 * coverage),
        nu=nu,
        ridge=problem.reward_range**2 / problem.radius**2,
        exploration_rounds=rounds,
        rejection_multiplier=sampler_multiplier(math.e * coverage),
        rejection_failure=0.001,
    )
    gaps, samples, rewards = [], 0, 0
    for run in range(runs):
        own = derived_seed(seed, f"run {run}")
        oracle = counted_oracle(problem, seed=derived_seed(own, "oracle"))
        policy = spanner_sampling(oracle, seed=derived_seed(own, "learner"), settings=settings).policy
        gaps.append(gap(problem, log_law(problem, policy)))
        samples, rewards = samples + oracle.ledger.samples, rewards + oracle.ledger.rewards
    return Attempt(math.fsum(gaps) / runs, Ledger(samples, rewards))


def _xpo(oracle: Oracle, rounds: int, seed: int) -> BaselineRun:
    # Optimism shrinks like beta / sqrt(T), as in the analysis of XPO, without its constants; its log-partition takes
    # samples of the order of the coverage, so that they grow with effort too.
    optimism = oracle.beta / math.sqrt(rounds)
    return xpo(oracle, rounds=rounds, alpha=optimism, partition_samples=PARTITION_SAMPLES * rounds, seed=seed)


_BASELINES: Mapping[str, Callable[[Oracle, int, int], BaselineRun]] = MappingProxyType(
    {
        "reference": lambda oracle, rounds, seed: passive_learner(oracle, rounds=rounds, seed=seed),
        "online_dpo": lambda oracle, rounds, seed: online_dpo(oracle, rounds=rounds, seed=seed),
        "xpo": _xpo,
        "best_of_n": lambda oracle, rounds, seed: best_of_n(oracle, rounds=rounds, count=rounds, seed=seed),
        "elliptical": lambda oracle, rounds, seed: elliptical_enumeration(
            oracle, rounds=rounds, ridge=RIDGE, seed=seed
        ),
    }
)

LEARNERS = ("spanner_sampling", *_BASELINES)
"""Names of the learners that are compared."""
