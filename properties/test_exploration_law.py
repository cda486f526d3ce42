"""The law of what exploration draws (R3): the first response of a round, given the second and the fit of the round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import logsumexp

from spanver.evidence import log_e_chances, log_e_violated_chances, min_samples_chances
from spanver.guarantees.sampler import sampler_multiplier
from spanver.kernels import log_softmax, uncertain_mask
from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem
from spanver.values import FloatArray
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.experiment import POWER, Experiment, Seen
from spanver.verification.search import experiments
from spanver.verification.transcript import fresh_oracles

from .drawn import table_of
from .explored import SAMPLED, explore, first_and_second

MULTIPLIER, DELTA = 32.0, 0.01  # a call is within delta of pi_f where M is at least 4 C
ROUNDS = 16

Event: TypeAlias = tuple[int, float]
"""Whether it occurred, and its chance."""


def settings_of(nu: float, ridge: float, pairs: int) -> Settings:
    return Settings(
        prompts=1,
        pairs_per_prompt=pairs,
        nu=nu,
        ridge=ridge,
        exploration_rounds=ROUNDS,
        rejection_multiplier=MULTIPLIER,
        rejection_failure=DELTA,
    )


def table(base: Sequence[float], strength: float = 2.0) -> TabularProblem:
    """Responses half a unit apart, each of which weighs `e^strength` times the one before under the optimal policy."""
    return table_of(base, np.exp(strength * np.arange(len(base))).tolist())


BASES = ((0.4, 0.4, 0.2), (0.5, 0.2, 0.3))
# Under the small threshold no pair is ever covered, under the large one every pair is.
UNCOVERED = [{"problem": table(base), "nu": 0.05, "ridge": 0.02, "pairs": 1} for base in BASES]
COVERED = [{"problem": table(base), "nu": 2.0, "ridge": 4.0, "pairs": 1} for base in BASES]


def share_of_fitted_rounds(base: FloatArray) -> float:
    """Fraction of rounds whose fit knows the reward: some pair before had two different responses.

    Until then the fit is 0 and all pairs come from the base policy.
    """
    same = float(base @ base)
    return 1.0 - sum(same**before for before in range(1, ROUNDS + 1)) / ROUNDS


def effect_of(moved: Callable[[FloatArray, FloatArray], float], covered: bool) -> Callable[..., float]:
    """Effect where everything is covered, or nothing: `moved(base, preferred)`, of the base policy and the optimum."""

    def effect(problem: TabularProblem, nu: float, **_: Any) -> float:
        if (nu > 1.0) != covered:
            return 0.0
        base = np.exp(problem.log_base[0])
        preferred = np.exp(log_softmax(problem.log_base[0], problem.reward[0], problem.beta))
        return moved(base, preferred) - DELTA

    return effect


def tilted_fraction(base: FloatArray, preferred: FloatArray) -> float:
    """The best response comes as often as under the one law, in place of the other, once the reward is known."""
    return float(preferred[-1] - base[-1]) * share_of_fitted_rounds(base)


@pytest.mark.guarantee("R3", needs=["spanner_sampling"])
@designed(
    [*UNCOVERED, *COVERED],
    {
        "exploration-untruncated": effect_of(tilted_fraction, covered=False),
        "exploration-untruncated-drawn": effect_of(tilted_fraction, covered=False),
        "exploration-uncovered-forbidden": effect_of(lambda base, _: 1.0 - float(base @ base), covered=False),
        "exploration-base-response": effect_of(tilted_fraction, covered=True),
        "exploration-wrong-sign": effect_of(tilted_fraction, covered=True),
    },
)
@experiments(problem=SAMPLED, nu=st.sampled_from([1.0, 0.5]), ridge=st.just(1.0), pairs=st.integers(1, 4))
def test_exploration_draws_from_the_sampler_against_a_base_response(
    check: Check, problem: TabularProblem, nu: float, ridge: float, pairs: int
) -> Experiment:
    """Given the second response, drawn from the base policy, the first has the law of the sampler."""
    base, settings = np.exp(problem.log_base), settings_of(nu, ridge, pairs)

    def observe(count: int, seed: int) -> Sequence[dict[str, Event]]:
        """Events of every round, by what they are about."""
        seen: list[dict[str, Event]] = []
        oracles = fresh_oracles(problem, seed)
        while len(seen) < count:
            run = explore(check, problem, settings, seed + len(seen), next(oracles))
            for component, played in zip(run.components, run.rounds, strict=True):
                x = int(played.prompt)
                one, two = first_and_second(played)
                likely = int(np.argmax(base[x]))
                events = {"the likeliest response was the second": (int(two == likely), float(base[x, likely]))}
                features = problem.features[x]
                uncertain = uncertain_mask(features[[two]], features, component.precision, component.nu)[0]
                plain = (features - features[two]) @ component.theta
                law = np.exp(log_softmax(problem.log_base[x], np.where(uncertain, 0.0, plain), problem.beta))
                ratios = law / base[x]
                if sampler_multiplier(max(1.0, float(ratios.max()))) <= MULTIPLIER:
                    events |= events_of(one, law, ratios, uncertain, plain)
                seen.append(events)
        return seen

    def log_e(seen: Sequence[dict[str, Event]]) -> float:
        # The mean of e-values is one: what goes right does not dilute the evidence against the rest.
        values = [
            log_e_chances(hits, chances, tolerated=0.0 if "second" in about else DELTA)
            for about, (hits, chances) in collected(seen).items()
        ]
        return float(logsumexp(values)) - math.log(len(values))

    def log_e_violated(seen: Sequence[dict[str, Event]]) -> float:
        return min(
            log_e_violated_chances(hits, chances, check.discrepancy) for hits, chances in collected(seen).values()
        )

    def words(seen: Sequence[dict[str, Event]]) -> Seen:
        found = {about: (np.mean(hits), np.mean(chances)) for about, (hits, chances) in collected(seen).items()}
        about, (often, chance) = max(found.items(), key=lambda each: abs(each[1][0] - each[1][1]))
        return Seen(f"exploration rounds in which {about}", f"frequency {often:.4g}", f"mean chance {chance:.4g}")

    samples = min_samples_chances(check.discrepancy, alpha=check.alpha / KINDS, power=POWER)
    return Experiment(observe, log_e, samples, words, log_e_violated)


KINDS = 5


def events_of(one: int, law: FloatArray, ratios: FloatArray, uncertain: Any, plain: FloatArray) -> dict[str, Event]:
    """Events about the first response: laws too near to the base policy, and wrong truncations, move them."""
    most, least, unclipped = int(np.argmax(ratios)), int(np.argmin(ratios)), int(np.argmax(plain))
    return {
        "the most preferred response was the first": (int(one == most), share(law[most])),
        "the least preferred response was not the first": (int(one != least), share(1.0 - law[least])),
        "an uncovered response was the first": (int(uncertain[one]), share(law[uncertain].sum())),
        "the response of highest score before truncation was the first": (int(one == unclipped), share(law[unclipped])),
    }


def share(value: Any) -> float:
    return min(1.0, max(0.0, float(value)))


def collected(seen: Sequence[dict[str, Event]]) -> dict[str, tuple[list[int], list[float]]]:
    """Outcomes and chances of all events, by what they are about."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for events in seen:
        for about, (hit, chance) in events.items():
            hits, chances = found.setdefault(about, ([], []))
            hits.append(hit)
            chances.append(chance)
    return found
