"""Mutants of SpannerSampling with anchor responses: what P2, and E6, S2, R3 and C-A2 of such runs, must kill.

`RUN_WITH_ANCHORS` is `spanver.zoo.exploration.phase_two` with the reference's first phase: each step in which a mutant
differs is an argument. Unmutated it is as right as the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from spanver.learners.spanner import Spanner
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Oracle
from spanver.values import LinearScore, Prompt, Response, Responses, Rule, Score, SearchResult, UncertainPairRule
from spanver.zoo.algebra import base_response, difference, reward_difference
from spanver.zoo.exploration import Progress, growing_policy, phase_two, single_reward, spanner_first, truncated
from spanver.zoo.mutant import Mutant, mutants_of
from spanver.zoo.sampler import adjusted_sampler, drawn_sampler


def anchor_response(oracle: Oracle, prompt: Prompt, progress: Progress) -> Response:
    """The anchor of the prompt."""
    del progress
    return oracle.anchor(prompt)[0]


spanner_of_anchors = partial(spanner_first, anchor="fixed")
"""Phase 1, relative to anchors."""
RUN_WITH_ANCHORS = partial(phase_two, begin=spanner_of_anchors, second=anchor_response)
"""`anchored_sampling`."""


@dataclass
class _Altered:
    """An oracle that answers some queries in another way."""

    oracle: Oracle
    searched: Callable[[Oracle, Prompt, UncertainPairRule, int], SearchResult] | None = None
    anchored: Callable[[Oracle, Prompt], Responses] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.oracle, name)

    def anchor(self, prompt: Prompt) -> Responses:
        """Return an anchor."""
        return self.oracle.anchor(prompt) if self.anchored is None else self.anchored(self.oracle, prompt)

    def sample_until(self, prompt: Prompt, rule: Rule, limit: int) -> SearchResult:
        """Search."""
        if self.searched is None or not isinstance(rule, UncertainPairRule):
            return self.oracle.sample_until(prompt, rule, limit)
        return self.searched(self.oracle, prompt, rule, limit)


def _spanner_by(**answers: Any) -> Callable[[Oracle, Settings, int], Spanner]:
    return lambda oracle, settings, seed: spanner_of_anchors(_Altered(oracle, **answers), settings, seed)


def _by_rule(*, sign: float = 1.0, factor: float = 1.0) -> Callable[..., SearchResult]:
    def searched(oracle: Oracle, prompt: Prompt, rule: UncertainPairRule, limit: int) -> SearchResult:
        assert rule.anchor is not None
        return oracle.sample_until(prompt, replace(rule, nu=factor * rule.nu, anchor=sign * rule.anchor), limit)

    return searched


def _first_draw(oracle: Oracle, prompt: Prompt, rule: UncertainPairRule, limit: int) -> SearchResult:
    del rule, limit
    return SearchResult(oracle.sample(prompt, 1), 1)


def _half_of_a_pair(oracle: Oracle, prompt: Prompt, rule: UncertainPairRule, limit: int) -> SearchResult:
    found = oracle.sample_until(prompt, replace(rule, anchor=None), limit)
    if found.responses is None:
        return found
    return SearchResult(Responses(found.responses.ids[:1], found.responses.features[:1]), found.tries)


def _again(oracle: Oracle, prompt: Prompt) -> Responses:
    oracle.anchor(prompt)
    return oracle.anchor(prompt)


def _previous(oracle: Oracle, **arguments: Any) -> Any:
    answers: list[Responses] = []

    def anchored(oracle: Oracle, prompt: Prompt) -> Responses:
        answers.append(oracle.anchor(prompt))
        return answers[-2:][0]

    return RUN_WITH_ANCHORS(_Altered(oracle, anchored=anchored), **arguments)


def stored_anchors(oracle: Oracle, **arguments: Any) -> Any:
    """As right as the reference: it asks for the anchor of a prompt once."""
    answers: dict[Prompt, Responses] = {}

    def anchored(oracle: Oracle, prompt: Prompt) -> Responses:
        if prompt not in answers:
            answers[prompt] = oracle.anchor(prompt)
        return answers[prompt]

    return RUN_WITH_ANCHORS(_Altered(oracle, anchored=anchored), **arguments)


def _relative_to(second: Callable[[Response, Progress], Any]) -> Callable[..., Score]:
    return lambda theta, two, progress: replace(truncated(theta, two, progress), anchor=second(two, progress))


def _score_of_draw(oracle: Oracle, **arguments: Any) -> Any:
    drawn: list[Response] = []

    def second(oracle: Oracle, prompt: Prompt, progress: Progress) -> Response:
        drawn.append(base_response(oracle, prompt))
        return anchor_response(oracle, prompt, progress)

    return RUN_WITH_ANCHORS(
        oracle, second=second, score=_relative_to(lambda two, progress: drawn[-1].features), **arguments
    )


def _stored(oracle: Oracle, **arguments: Any) -> Any:
    stored: dict[Prompt, float] = {}

    def target(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
        if prompt not in stored:
            stored[prompt] = oracle.reward(prompt, two)
        return oracle.reward(prompt, one) - stored[prompt]

    return RUN_WITH_ANCHORS(oracle, target=target, **arguments)


def _reward_of_draw(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    del two
    return reward_difference(oracle, prompt, one, base_response(oracle, prompt))


_anchors = mutants_of("anchored_sampling", "anchors", RUN_WITH_ANCHORS)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _anchors("drawn-second", "draws the second response of a round, though the spanner is of anchors", "P2",
        second=base_response),
    _anchors("drawn-spanner", "builds the spanner of pairs of two draws", "P2", begin=spanner_first),
    _anchors("drawn-pairs", "accepts a draw by its difference from another draw", "P2",
        begin=_spanner_by(searched=_half_of_a_pair)),
    _anchors("previous-anchor", "takes the anchor of the prompt before", "P2", _previous),
    _anchors("swapped-search", "adds the features of the anchor in the search", "P2",
        begin=_spanner_by(searched=_by_rule(sign=-1.0))),
    _anchors("zero-search", "searches relative to the origin", "P2",
        begin=_spanner_by(searched=_by_rule(sign=0.0))),
    _anchors("larger-nu", "searches at 1.5 nu", "P2",
        begin=_spanner_by(searched=_by_rule(factor=1.5))),
    _anchors("first-draw", "accepts the first draw of a round, whatever its norm", "P2",
        begin=_spanner_by(searched=_first_draw)),
    _anchors("one-try-more", "tries a response more than it may", "P2",
        begin=_spanner_by(searched=lambda oracle, prompt, rule, limit: oracle.sample_until(prompt, rule, limit + 1))),
    _anchors("pays-twice", "asks for the anchor twice", "P2", begin=_spanner_by(anchored=_again)),
    _anchors("swapped-in-features", "subtracts from the features of the anchor, and from the reward of the other", "E6",
        relative=lambda one, two: difference(two, one)),
    _anchors("not-relative", "fits the features of the first response", "E6", relative=lambda one, _: one.features),
    _anchors("first-reward-only", "fits the reward of the first response", "E6", target=single_reward),
    _anchors("stored-reward", "asks for the reward of an anchor once", "E6", _stored),
    _anchors("reward-of-draw", "subtracts the reward of a draw", "E6 P2", target=_reward_of_draw),
    _anchors("growing-sigma", "goes on updating Sigma and returns the last", "S2", output=growing_policy),
    _anchors("other-ridge", "inverts Sigma with a ridge of 1", "S2",
        begin=lambda *given: replace(spanner_of_anchors(*given), ridge=1.0)),
    _anchors("score-of-draw", "scores responses relative to a draw", "C-A2 R3", _score_of_draw),
    _anchors("score-of-origin", "scores the features of responses, not their differences from the anchor", "C-A2",
        score=_relative_to(lambda two, _: 0.0 * two.features)),
    _anchors("score-of-another", "scores responses relative to the anchor of the round before", "C-A2",
        score=_relative_to(lambda two, progress: (progress.anchors or [two])[-1].features)),
    _anchors("wrong-side", "scores the anchor relative to the response", "C-A2",
        score=lambda theta, *rest: truncated(-theta, *rest)),
    _anchors("multiplier-for-coverage", "takes M for the coverage", "R1",
        sampler=partial(adjusted_sampler, multiplier_of=lambda multiplier: 4.0 * multiplier)),
    _anchors("untruncated-drawn", "truncates nothing, and accepts by its own randomness", "R3",
        score=lambda theta, *_: LinearScore(np.asarray(theta)), sampler=drawn_sampler),
    _anchors("untruncated", "truncates nothing", "C-A2", score=lambda theta, *_: LinearScore(np.asarray(theta))),
)
"""Of `anchored_sampling`."""
