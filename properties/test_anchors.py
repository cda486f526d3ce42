"""SpannerSampling with anchor responses (P2): its pairs, fits, truncation, trials, cost, and the law of its draws.

Every prompt has one fixed response, of the base support, that takes the place of the second response of all pairs. What
E8 and E9 promise of such runs is judged in `test_truncation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.kernels import log_softmax
from spanver.learners.spanner_sampling import Settings
from spanver.problems.tabular import TabularProblem
from spanver.strategies import anchored, run_settings, tabular_problems
from spanver.values import FloatArray, ResponseId
from spanver.verification.check import Check, expect
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import Round

from .designs import CHAIN, CHEAP, INSIDE, ON_THE_SPHERE, SHARP, named, settings_of
from .explored import SAMPLED, explore, sigma_of
from .pair_laws import DELTA, Event, JudgedRound, distance, first_laws, one_pair_settings, rounds_experiment, unordered
from .pairs import norms, pair_error, uncertain_pairs
from .test_exploration_law import GROUPED, GROUPS, MANY_PAIRS, PREFERRED, dependence, relative_to_another
from .whole_runs import judge_cost_of_rounds, judge_fits, judge_trials, judge_truncation

PROBLEMS = st.builds(anchored, tabular_problems(min_responses=2), st.integers(0, 3))
SETTINGS = run_settings().map(lambda settings: replace(settings, anchor="fixed"))


def long_run(problem: TabularProblem, **changes: Any) -> dict[str, Any]:
    """An instance whose anchors differ from prompt to prompt, and have features that are not zero."""
    return {"problem": replace(problem, anchors=np.array([1, 2])), "settings": settings_of(anchor="fixed", **changes)}


@pytest.mark.guarantee("P2", needs=["anchored_sampling"])
@designed(
    [long_run(CHAIN, prompts=32, exploration_rounds=8)],
    named(
        "anchors",
        "drawn-second drawn-spanner drawn-pairs previous-anchor swapped-search zero-search larger-nu first-draw "
        "one-try-more pays-twice",
    ),
)
@instances(problem=PROBLEMS, settings=SETTINGS)
def test_all_pairs_are_of_a_response_and_the_anchor_of_its_prompt(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    run = explore(check, problem, settings, check.seed("run"))
    for t, played in enumerate((*run.spanner, *run.rounds)):
        rewarded, anchor = [int(response) for response, _ in played.rewards], anchor_of(problem, played)
        of = f"responses that were rewarded in round {t}, at prompt {played.prompt}"
        expect(not rewarded or anchor in rewarded, of, rewarded, f"two, one of which is the anchor, {anchor}")
    for t, played in enumerate(run.spanner):
        judge_first_phase(check, problem, settings, played, sigma_of(problem, run.spanner[:t], settings.ridge))


def anchor_of(problem: TabularProblem, played: Round) -> int:
    """The anchor of the prompt of a round."""
    return int(problem.anchors[int(played.prompt)])


def judge_first_phase(
    check: Check, problem: TabularProblem, settings: Settings, played: Round, sigma: FloatArray
) -> None:
    """The first draw whose difference from the anchor is uncertain is accepted, up to ties, and no other (S1)."""
    features, anchor = problem.features[int(played.prompt)], anchor_of(problem, played)
    uncertain, ties = (each[:, anchor] for each in uncertain_pairs(check, problem, played.prompt, sigma, settings))
    rewarded = [int(response) for response, _ in played.rewards]
    assert len(rewarded) in (0, 2), f"{len(rewarded)} rewards were drawn in one round"
    accepted = [response for response in rewarded if response != anchor][:1] if rewarded else []
    if rewarded:
        length = norms(features[accepted] - features[anchor], sigma) if accepted else np.zeros(1)
        allowed = pair_error(check, problem, length, sigma, settings)
        right = float(length[0]) > 0.0 and float(length[0]) >= settings.nu - float(allowed[0])
        expect(right, f"norm of the pair {accepted}, {anchor}", float(length[0]), f"above nu = {settings.nu:g}")
    allowed_tries, tried = settings.pairs_per_prompt, list(map(int, played.drawn))
    for rule, limit, answer in played.searches:
        expect(rule.anchor is not None, "rule of a search", rule, "one of draws, relative to the anchor")
        relative = rule.differences(features[:, None, :])
        lengths = np.sqrt(np.maximum(((relative @ rule.precision) * relative).sum(axis=1), 0.0))
        held = np.exp(problem.log_base[int(played.prompt)]) > 0.0
        wrong = held & ~ties & ((lengths > rule.nu) != uncertain)
        expect(not wrong.any(), "responses that a search accepts", lengths > rule.nu, uncertain)
        tries = limit if answer.responses is None else answer.tries
        found = [] if answer.responses is None else list(map(int, answer.responses.ids))
        expect(not found or found == accepted, "response whose reward was drawn", accepted, found)
        allowed_tries -= tries
    if played.searches:
        expect(allowed_tries >= 0 and (bool(accepted) or allowed_tries == 0), "tries that are left", allowed_tries, 0)
    else:
        judge_draws(settings, tried, accepted, uncertain & ~ties)
    most = settings.pairs_per_prompt + 1
    expect(played.samples <= most, "samples of a round of phase 1", played.samples, f"at most {most}")


def judge_draws(settings: Settings, tried: list[int], accepted: Sequence[ResponseId], sure: Any) -> None:
    """A round of plain draws: nothing that is surely uncertain was passed over."""
    first = next((place for place, each in enumerate(tried) if sure[each]), None)
    if not accepted:
        expect(first is None, "draws that were passed over", tried, "none that is uncertain")
        expect(len(tried) == settings.pairs_per_prompt, "draws of a round", len(tried), settings.pairs_per_prompt)
        return
    place = next((place for place, each in enumerate(tried) if each == accepted[0]), None)
    expect(place is not None, "accepted response", accepted[0], f"one of {tried}")
    expect(first is None or place is None or place <= first, "draw that was accepted", place, first)


@pytest.mark.guarantee("E6", needs=["anchored_sampling"])
@designed(
    [long_run(INSIDE), long_run(ON_THE_SPHERE)],
    named("anchors", "swapped-in-features not-relative first-reward-only stored-reward reward-of-draw"),
)
@instances(problem=PROBLEMS, settings=SETTINGS)
def test_rounds_are_fitted_to_differences_from_the_anchor(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    judge_fits(check, problem, explore(check, problem, settings, check.seed("run")))


@pytest.mark.guarantee("S2", needs=["anchored_sampling"])
@designed([long_run(INSIDE, exploration_rounds=16)], named("anchors", "growing-sigma other-ridge"))
@instances(problem=PROBLEMS, settings=SETTINGS)
def test_the_policy_truncates_by_the_spanner_of_anchors(
    check: Check, problem: TabularProblem, settings: Settings
) -> None:
    judge_truncation(check, problem, settings, explore(check, problem, settings, check.seed("run")))


@pytest.mark.guarantee("R1", needs=["anchored_sampling"])
@designed(
    [{"problem": INSIDE, "settings": replace(CHEAP, anchor="fixed")}], named("anchors", "multiplier-for-coverage")
)
@instances(problem=PROBLEMS, settings=SETTINGS)
def test_a_round_costs_the_anchor_and_one_call(check: Check, problem: TabularProblem, settings: Settings) -> None:
    judge_cost_of_rounds(check, problem, settings, explore(check, problem, settings, check.seed("run")))


@pytest.mark.guarantee("C-A2", needs=["anchored_sampling"])
@designed(
    [long_run(CHAIN), long_run(SHARP, nu=2.0, ridge=1.0, exploration_rounds=16)],
    named("anchors", "score-of-draw score-of-origin score-of-another wrong-side untruncated"),
)
@instances(problem=st.builds(anchored, SAMPLED, st.integers(0, 3)) | PROBLEMS, settings=SETTINGS)
def test_trials_have_scores_relative_to_the_anchor(check: Check, problem: TabularProblem, settings: Settings) -> None:
    judge_trials(check, problem, settings, explore(check, problem, settings, check.seed("run")))


def effect_of(mistaken: Callable[[FloatArray, FloatArray, FloatArray, float], FloatArray]) -> Callable[..., float]:
    """Effect of other laws of the first response, given base policy, right laws, weights before truncation, and beta.

    Where all is covered there is none, up to a constant (R5).
    """

    def effect(problem: TabularProblem, **_: Any) -> float:
        if problem is not GROUPS:
            return 0.0
        log_base, reward = problem.log_base[0], problem.reward[0]
        plain = reward - reward[:, None]
        first = first_laws(log_base, plain, np.abs(plain) > 0.5, problem.beta)
        wrong = mistaken(log_base, first, plain, problem.beta)
        # The parameter is known, and the groups apart, unless all that was searched is of the group of the anchor.
        return distance(np.eye(len(reward))[problem.anchors[0]], first, wrong) * (1.0 - 0.5**MANY_PAIRS) - DELTA

    return effect


def relative_to_a_draw(log_base: FloatArray, first: FloatArray, *_: Any) -> FloatArray:
    """Laws where scores are relative to a draw in place of the anchor."""
    return relative_to_another(np.exp(log_base), first)


def untruncated(log_base: FloatArray, _: FloatArray, plain: FloatArray, beta: float) -> FloatArray:
    """Laws where nothing is truncated."""
    return np.asarray(np.exp(log_softmax(log_base, plain, beta)))


@pytest.mark.guarantee("R3", needs=["anchored_sampling"])
@designed(
    [{**GROUPED, "position": 0}, {**PREFERRED, "position": 1}],
    {"anchors-score-of-draw": effect_of(relative_to_a_draw), "anchors-untruncated-drawn": effect_of(untruncated)},
)
@experiments()
def test_exploration_draws_from_the_sampler_relative_to_the_anchor(
    check: Check, problem: TabularProblem, nu: float, ridge: float, position: int
) -> Experiment:
    """The response of a round has the law of the sampler relative to the anchor, given the fit of the round."""
    settings = replace(one_pair_settings(problem, nu, ridge, MANY_PAIRS), anchor="fixed")
    return rounds_experiment(check, anchored(problem, position), settings, events_of_anchors, 3)


def events_of_anchors(rounds: Sequence[JudgedRound | None]) -> list[dict[str, Event]]:
    """Events of `dependence`, and pairs that would be rarer if nothing were truncated."""
    seen = dependence(rounds)
    for played, events in zip(rounds, seen, strict=True):
        if played is not None:
            kept = untruncated(played.log_base, played.first, played.plain, played.beta)
            rarer = played.rarer_by(unordered(played.seconds, kept))
            if rarer is not None:
                events["pairs of an exploration round that would be rarer if uncovered responses kept their scores"] = (
                    rarer
                )
    return seen
