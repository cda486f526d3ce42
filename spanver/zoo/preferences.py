"""Mutants of SpannerSampling from preferences, of its fit, and of what a generalised oracle tells (P1, S2, O1, O2, O4).

`fit_of_labels` is the fit on the reference's loss, and `told` the reference's oracle with other answers: each step in
which a mutant differs is an argument. Unmutated they are as right as the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spanver.kernels import fit as least_squares
from spanver.kernels import log_softmax
from spanver.learners.least_squares import fit_on
from spanver.learners.losses import LogisticLoss, QuadraticModel, logistic_fit, minimise
from spanver.learners.spanner import Spanner
from spanver.learners.spanner_sampling import Settings
from spanver.oracle import Oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball
from spanver.values import FloatArray, LogProbabilities, Prompt, Response, Responses
from spanver.zoo.algebra import Data
from spanver.zoo.exploration import all_data, growing_policy, joined, phase_two, spanner_data, spanner_first
from spanver.zoo.mutant import Mutant, mutants_of
from spanver.zoo.oracle import Altered, altered


def fit_of_labels(
    features: FloatArray,
    labels: FloatArray,
    radius: float,
    *,
    data: Callable[[FloatArray, FloatArray], Data] = lambda features, labels: (features, labels),
    ridge: float = 0.0,
    ball: Callable[[float], float] = lambda radius: radius,
    output: Callable[[FloatArray, float], FloatArray] = lambda theta, radius: theta,
) -> FloatArray:
    """Minimise the logistic loss of labels on the ball."""
    loss = LogisticLoss(*data(features, labels))

    def ridged(theta: FloatArray) -> QuadraticModel:
        here, square = loss(theta), ridge * float(theta @ theta)
        curvature = here.curvature + 2.0 * ridge * np.eye(len(theta))
        gradient = here.gradient + 2.0 * ridge * theta
        return QuadraticModel(here.value + square, here.magnitude + square, gradient, curvature)

    return output(minimise(ridged, Ball(ball(radius)), np.zeros(features.shape[1])), radius)


def _pulled_in(theta: FloatArray, radius: float) -> FloatArray:
    return theta * min(1.0, radius / max(float(np.linalg.norm(theta)), 1e-300))


def _with_intercept(features: FloatArray, labels: FloatArray, radius: float) -> FloatArray:
    wider = np.column_stack([features, np.ones(len(features))])
    return _pulled_in(logistic_fit(wider, labels, Ball(radius))[:-1], radius)


def _steps_down(features: FloatArray, labels: FloatArray, radius: float) -> FloatArray:
    theta, loss = np.zeros(features.shape[1]), LogisticLoss(features, labels)
    for _ in range(10):
        theta = _pulled_in(theta - 0.1 * loss(theta).gradient, radius)
    return theta


def label(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    """Label of a pair."""
    return 1.0 if oracle.compare(prompt, one, two) else -1.0


def _label_of_rewards(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    return 1.0 if oracle.reward(prompt, one) >= oracle.reward(prompt, two) else -1.0


def _averaged(oracle: Oracle, prompt: Prompt, one: Response, two: Response) -> float:
    return float(np.sign(label(oracle, prompt, one, two) - label(oracle, prompt, two, one)) or 1.0)


def _of_another(oracle: Oracle, prompt: Prompt, _: Response, two: Response) -> float:
    return label(oracle, prompt, oracle.sample(prompt, 1)[0], two)


spanner_of_labels = partial(spanner_first, feedback="preference")
"""Phase 1, from labels."""
RUN_OF_LABELS = partial(phase_two, begin=spanner_of_labels, target=label, fit=logistic_fit)
"""`preference_sampling`."""


def _signed(oracle: Oracle, settings: Settings, seed: int) -> Spanner:
    found = spanner_first(oracle, settings, seed)
    return replace(found, targets=np.where(found.targets >= 0.0, 1.0, -1.0))


def told(
    problem: Any,
    *,
    seed: int,
    budget: Any = None,
    value: Callable[[FloatArray, FloatArray, FloatArray, float, FloatArray], FloatArray] | None = None,
    sample: Callable[[Altered, Prompt, int, FloatArray], Responses] | None = None,
    free: bool = False,
) -> Altered:
    """Generalised oracle that tells `value(log_base, scores, ids, beta, log_law)` of what it drew."""

    def answer(self: Altered, prompt: Prompt, count: int, theta: FloatArray) -> LogProbabilities:
        before = self.oracle.sample_log_probabilities(prompt, count, theta)
        drawn, told = before.responses, before.log_probabilities
        ids, log_base = np.array(drawn.ids), self.problem.log_base[int(prompt)]
        scores = self.problem.features[int(prompt)] @ theta
        if sample is not None:
            drawn = sample(self, prompt, count, theta)
            self.forget(samples=count)
            told = log_softmax(log_base, scores, self.problem.beta)[list(map(int, drawn.ids))]
        if value is not None:
            told = value(log_base, scores, ids, self.problem.beta, told)
        if free:
            self.forget(samples=count - 1)
        return LogProbabilities(drawn, told)

    return altered(
        partial(literal_oracle, log_probabilities=True),
        problem,
        seed=seed,
        budget=budget,
        sample_log_probabilities=answer,
    )


def _over_the_batch(_: FloatArray, __: FloatArray, ids: FloatArray, ___: float, log_law: FloatArray) -> FloatArray:
    distinct = log_law[np.unique(ids, return_index=True)[1]]
    return log_law - np.logaddexp.reduce(distinct)


_fit = mutants_of("fit_preferences", "preference-fit", fit_of_labels)
_run = mutants_of("preference_sampling", "preferences", RUN_OF_LABELS)
_told = mutants_of("generalised_oracle", "oracle-told", told)

# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _fit("flipped", "takes the label 1 for the second response", "P1",
        data=lambda features, labels: (features, -labels)),
    _fit("half-of-data", "fits every second label", "P1", data=lambda features, labels: (features[::2], labels[::2])),
    _fit("wins-only", "leaves out the labels in which the second response won", "P1",
        data=lambda features, labels: (features[labels > 0], labels[labels > 0])),
    _fit("all-wins", "takes every first response for the one that was preferred", "P1",
        data=lambda features, labels: (features, np.abs(labels))),
    _fit("squares", "fits labels by least squares", "P1", least_squares),
    _fit("shares", "fits labels of 0 and 1 by least squares", "P1",
        lambda features, labels, radius: least_squares(features, (labels + 1.0) / 2.0, radius)),
    _fit("no-ball", "fits on a ball of a hundred times the radius", "P1", ball=lambda radius: 100.0 * radius),
    _fit("projected", "fits without the ball, and pulls the parameter into it", "P1",
        ball=lambda radius: 100.0 * radius, output=_pulled_in),
    _fit("boxed", "fits without the ball, and clips every entry", "P1", ball=lambda radius: 100.0 * radius,
        output=lambda theta, radius: np.clip(theta, -radius, radius)),
    _fit("half-radius", "fits on a ball of half the radius", "P1", ball=lambda radius: 0.5 * radius),
    _fit("doubled-margin", "doubles the margins", "P1", data=lambda features, labels: (2.0 * features, labels)),
    _fit("ridge", "adds a ridge", "P1", ridge=0.1),
    _fit("unit-rows", "scales every difference of features to length 1", "P1", data=lambda features, labels: (
        features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-300), labels)),
    _fit("intercept", "fits an intercept too", "P1", _with_intercept),
    _fit("ten-steps", "goes ten short steps down the gradient", "P1", _steps_down),
    _run("flipped", "reads labels the wrong way round", "P1", target=lambda *given: -label(*given)),
    _run("without-spanner-data", "leaves the labels of the spanner out of the fit", "P1",
        data=lambda progress: progress.explored),
    _run("spanner-data-twice", "counts the labels of the spanner twice", "P1",
        data=lambda progress: joined(spanner_data(progress), all_data(progress))),
    _run("one-round-late", "leaves the last label out of the fit", "P1", data=partial(all_data, rounds=slice(-1))),
    _run("last-round-only", "fits the labels of the spanner and the last one alone", "P1",
        data=partial(all_data, rounds=slice(-1, None))),
    _run("squares", "fits labels by least squares", "P1", fit=fit_on),
    _run("doubled-radius", "fits in a ball of the diameter", "P1",
        within=lambda oracle: Ball(2.0 * oracle.radius)),
    _run("rewards-for-labels", "queries rewards and makes labels of them", "P1", target=_label_of_rewards),
    _run("both-orders", "asks for the label of every pair in both orders", "P1", target=_averaged),
    _run("label-of-another", "asks for the label of another draw", "P1", target=_of_another),
    _run("spanner-of-rewards", "asks for both rewards of the spanner's pairs", "P1",
        begin=_signed),
    _run("growing-sigma", "goes on updating Sigma and returns the last", "S2", output=growing_policy),
    _run("other-ridge", "inverts Sigma with a ridge of 1", "S2",
        begin=lambda *given: replace(spanner_of_labels(*given), ridge=1.0)),
    _run("doubled-nu", "truncates at twice the threshold", "S2",
        begin=lambda oracle, settings, seed: replace(
            spanner_of_labels(oracle, settings, seed), nu=2.0 * settings.nu)),
    _told("unnormalised", "tells log probabilities without their normaliser", "O4",
        value=lambda log_base, scores, ids, beta, _: (log_base + scores / beta)[ids]),
    _told("of-the-base", "tells the probability under the base policy", "O4",
        value=lambda log_base, _, ids, __, ___: log_base[ids]),
    _told("log-ratio", "tells the ratio to the base policy", "O4",
        value=lambda log_base, _, ids, __, log_law: log_law - log_base[ids]),
    _told("base-twice", "counts the base policy twice", "O4",
        value=lambda log_base, scores, ids, beta, _: log_softmax(2.0 * log_base, scores, beta)[ids]),
    _told("of-another", "tells the probability of the draw before", "O4",
        value=lambda _, __, ___, ____, log_law: np.roll(log_law, 1)),
    _told("base-two", "tells logarithms to base 2", "O4",
        value=lambda _, __, ___, ____, log_law: log_law / np.log(2.0)),
    _told("no-logarithm", "tells probabilities, not their logarithms", "O4",
        value=lambda _, __, ___, ____, log_law: np.exp(log_law)),
    _told("without-beta", "leaves beta out of the weights", "O4",
        value=lambda log_base, scores, ids, _, __: log_softmax(log_base, scores, 1.0)[ids]),
    _told("other-sign", "tells the probability under minus theta", "O4",
        value=lambda log_base, scores, ids, beta, _: log_softmax(log_base, -scores, beta)[ids]),
    _told("over-the-batch", "sums the normaliser over what was drawn", "O4", value=_over_the_batch),
    _told("as-one", "charges a batch as one sample", "O1", free=True),
    _told("from-the-base", "draws from the base policy", "O2",
        sample=lambda self, prompt, count, _: self.oracle.sample(prompt, count)),
)
"""Of `fit_preferences`, `preference_sampling` and `generalised_oracle`."""
