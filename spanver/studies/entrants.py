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
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from spanver.exact.tabular import gap, log_law, sampled_gap
from spanver.guarantees.sampler import sampler_multiplier, sampler_samples
from spanver.learners.best_of_n import best_of_n
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.online_dpo import online_dpo
from spanver.learners.passive import passive_learner
from spanver.learners.rounds import BaselineRun
from spanver.learners.spanner_sampling import Settings, largest_cost, spanner_sampling
from spanver.learners.xpo import xpo
from spanver.oracle import Ledger, Oracle
from spanver.oracles.counted import counted_oracle
from spanver.problems.tabular import TabularProblem
from spanver.randomness import derived_seed
from spanver.studies.engine.effort import Attempt
from spanver.studies.engine.styles import OTHER_STYLES, Style

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


@dataclass(frozen=True)
class Most:
    """The most that an effort may draw: samples of the base policy, of `pi_theta`, and rewards; one output included."""

    weak: int
    strong: int
    rewards: int


@dataclass(frozen=True)
class Needle:
    """Where a learner is watched on the needle family (T1).

    Attributes
    ----------
    log_coverage : int
        `log2 C`.
    beta : float
    dimension : int
    efforts : tuple of int
        Exponents of its efforts.
    most : callable
        The most that it may draw at effort `2^exponent`.
    """

    log_coverage: int
    beta: float
    dimension: int
    efforts: tuple[int, ...]
    most: Callable[[int], Most]


@dataclass(frozen=True)
class Entrant:
    """A learner that competes in studies.

    Attributes
    ----------
    style : Style
        Of its curves.
    attempt : callable
        `attempt(problem, seed, exponent)`: run it at effort `2^exponent`, and judge what it returns by its exact gap.
        The same seed at another effort has the same randomness as far as the same queries are made.
    largest_effort : int
        Largest exponent that is tried on the covered needle.
    rounds_grow : bool
        Whether its rounds, and so both its samples and its rewards, grow with coverage.
    needle : Needle or None
        None for learners that list all responses, which T1 is not about.
    """

    style: Style
    attempt: Callable[[TabularProblem, int, float], Attempt]
    largest_effort: int
    rounds_grow: bool
    needle: Needle | None


def _spanner_most(exponent: int) -> Most:
    settings = spanner_settings(exponent)
    output = 1 + sampler_samples(settings.rejection_multiplier, settings.rejection_failure)
    return Most(largest_cost(settings) + output, 0, 2 * (settings.prompts + settings.exploration_rounds))


def _baseline(
    learn: Callable[[Oracle, int, int], BaselineRun], *, full_table: bool = False
) -> Callable[[TabularProblem, int, float], Attempt]:
    """Run a baseline with as many rounds as the effort; outputs are drawn for free."""

    def attempt(problem: TabularProblem, seed: int, exponent: float) -> Attempt:
        oracle = counted_oracle(problem, seed=derived_seed(seed, "oracle"), full_table=full_table)
        run = learn(oracle, math.ceil(2.0**exponent), derived_seed(seed, "learner"))
        return Attempt(gap(problem, log_law(problem, run.policy)), oracle.ledger)

    return attempt


def _xpo(oracle: Oracle, rounds: int, seed: int) -> BaselineRun:
    # Optimism shrinks like beta / sqrt(T), as in the analysis of XPO, without its constants; its log-partition takes
    # samples of the order of the coverage, so that they grow with effort too.
    optimism = oracle.beta / math.sqrt(rounds)
    return xpo(oracle, rounds=rounds, alpha=optimism, partition_samples=PARTITION_SAMPLES * rounds, seed=seed)


# Rounds of a baseline are its samples; SpannerSampling draws thousands at effort 1, and its efforts go on to where it
# succeeds. The strong oracle's p needs a large beta^2 d, or it says nothing.
_WEAK = partial(Needle, 10, 0.07, 64, tuple(range(9)))
_STRONG = partial(Needle, 14, 0.05, 64, tuple(range(9)))

ENTRANTS: Mapping[str, Entrant] = MappingProxyType(
    {
        "spanner_sampling": Entrant(
            Style("#0072B2", "o", "SpannerSampling"),
            lambda problem, seed, exponent: spanner_attempt(problem, seed, spanner_settings(exponent)),
            largest_effort=44,
            rounds_grow=False,
            needle=Needle(20, 0.03, 8, (0, 2, 4, 12, 16, 18, 20), _spanner_most),
        ),
        "passive": Entrant(
            Style("#E69F00", "s", "passive", marker_size=7),  # others often lie on it
            _baseline(lambda oracle, rounds, seed: passive_learner(oracle, rounds=rounds, seed=seed)),
            largest_effort=13,
            rounds_grow=True,
            needle=_WEAK(lambda exponent: Most(2 * 2**exponent, 1, 2 * 2**exponent)),
        ),
        "online_dpo": Entrant(
            Style("#D55E00", "^", "OnlineDPO"),
            _baseline(lambda oracle, rounds, seed: online_dpo(oracle, rounds=rounds, seed=seed)),
            largest_effort=13,
            rounds_grow=True,
            needle=_STRONG(lambda exponent: Most(0, 2 * 2**exponent + 1, 2 * 2**exponent)),
        ),
        "xpo": Entrant(
            Style("#CC79A7", "v", "XPO"),
            _baseline(_xpo),
            largest_effort=13,
            rounds_grow=True,
            # Of the one prompt the log-partition is estimated once.
            needle=_STRONG(
                lambda exponent: Most((1 + PARTITION_SAMPLES) * 2**exponent, 2**exponent + 1, 2 * 2**exponent)
            ),
        ),
        "best_of_n": Entrant(
            Style("#56B4E9", "D", "best-of-N"),
            _baseline(lambda oracle, rounds, seed: best_of_n(oracle, rounds=rounds, count=rounds, seed=seed)),
            largest_effort=13,
            rounds_grow=True,
            needle=_WEAK(lambda exponent: Most(3 * 2**exponent, 0, 2 * 2**exponent)),
        ),
        "elliptical": Entrant(
            Style("#009E73", "P", "elliptical enumeration"),
            _baseline(
                lambda oracle, rounds, seed: elliptical_enumeration(oracle, rounds=rounds, ridge=RIDGE, seed=seed),
                full_table=True,
            ),
            largest_effort=10,
            rounds_grow=False,
            needle=None,
        ),
    }
)
"""The learners that are compared, by name."""

STYLES: Mapping[str, Style] = MappingProxyType(
    {name: each.style for name, each in ENTRANTS.items()} | dict(OTHER_STYLES)
)
"""Style of every curve, by the name that a point has."""
