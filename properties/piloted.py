"""The pilot of a call of A1 in the record of its queries, and the threshold at which its trials have to accept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count, takewhile

import numpy as np
from scipy.special import logsumexp

from spanver.guarantees.rounding import gamma, log_normaliser_error
from spanver.guarantees.sampler import sampler_trials
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.subjects.results import DensityResult
from spanver.values import Counts, FloatArray, RejectionRule, Responses
from spanver.verification.check import Check, expect
from spanver.verification.transcript import Query

from .drawn import table_of

OWN_TRIALS = "trials are the subject's own: the law of its outputs is judged"

HEAVY, LIGHT, LAST = 0, 1, 2
LOG_GAP = 60.0  # of the weights


def heavy_and_light(draws: int) -> TabularProblem:
    """One heavy response and two that are e^60 times lighter, one of which comes as seldom as the heavy one.

    So many draws leave out one of the rare responses, or both, with a chance that is neither small nor large.
    """
    rare = 0.5 / draws
    return table_of([rare, 1.0 - 2.0 * rare, rare], [math.exp(LOG_GAP), 1.0, math.e])


def seed_of_rejections(problem: TabularProblem, draws: int, first: int) -> int:
    """First seed, from `first` on, of a literal oracle whose pilot of so many draws has A1 reject as many trials.

    The pilot has the heavy response, and all trials are the light one: each is accepted with a chance below e^-50,
    which no uniform number of 53 bits is, zero apart. The draw after them is the response that did not come before.
    The literal oracle gives the same responses however they are drawn.
    """

    def rejects(seed: int) -> bool:
        oracle = literal_oracle(problem, seed=seed)
        ids = oracle.sample(oracle.prompt(), 2 * draws + 1).ids
        pilot, trials = ids[:draws], ids[draws:-1]
        return HEAVY in pilot and LAST not in pilot and set(trials) == {LIGHT} and ids[-1] == LAST

    return next(filter(rejects, count(first)))


def rules_of(check: Check, queries: Sequence[Query]) -> list[RejectionRule]:
    """Rules of the trials that were left to the oracle; there are none where a subject accepts by itself."""
    rules = [query.arguments[0] for query in queries if query.name == "sample_until"]
    check.judgeable(bool(rules), OWN_TRIALS)
    assert all(isinstance(rule, RejectionRule) for rule in rules), "a search for pairs among the trials of a sampler"
    return rules


def drawn_before_trials(queries: Sequence[Query], responses: int) -> FloatArray:
    """How often each response was drawn before the first trial, shape (Y,)."""
    drawn = np.zeros(responses)
    for query in takewhile(lambda query: query.name != "sample_until", queries):
        match query.answer:
            case Counts(found, counts):
                np.add.at(drawn, list(map(int, found.ids)), counts)
            case Responses(ids):
                np.add.at(drawn, list(map(int, ids)), 1)
    return drawn


def possible_pilots(check: Check, queries: Sequence[Query], responses: int, trials: int) -> FloatArray:
    """What the pilot of a call may have been, shape (m, Y): how often each response was drawn.

    It is what was drawn before the oracle searched. A subject that makes its own trials says by claiming A1 that its
    first `N` draws are the pilot; otherwise any number of first draws may be.
    """
    if any(query.name == "sample_until" for query in queries):
        return drawn_before_trials(queries, responses)[None]
    drawn: list[int] = []
    for query in queries:
        if isinstance(query.answer, Counts):
            drawn.extend(np.repeat([int(each) for each in query.answer.responses.ids], query.answer.counts))
        elif query.name == "sample":
            drawn.extend(map(int, query.answer.ids))
    first = np.eye(responses)[drawn].cumsum(axis=0)
    return first[trials - 1 : trials] if "A1" in check.subject.claims else first


def expect_threshold(
    check: Check,
    rule: RejectionRule,
    features: FloatArray,
    pilot: FloatArray,
    scores: FloatArray,
    *,
    beta: float,
    multiplier: float,
    failure: float,
    score_error: float = 0.0,
) -> None:
    """Expect a pilot of `N` draws, and trials that accept with probability `min(1, w/(M Z))`, `Z` its mean weight.

    Parameters
    ----------
    check : Check
    rule : RejectionRule
        Of the trials.
    features : array, shape (Y, d)
    pilot : array, shape (Y,)
        How often each response was drawn.
    scores : array, shape (Y,)
        Of which the weights are.
    beta, multiplier, failure : float
    score_error : float
        By how much the subject's scores may be off.
    """
    trials, drawn = sampler_trials(multiplier, failure), pilot.astype(int).tolist()
    expect(sum(drawn) == trials, "draws of the pilot", sum(drawn), f"{trials}, which is N = ceil(4 M log(4/delta))")
    log_weights, unit = scores / beta, check.subject.unit
    with np.errstate(divide="ignore"):
        log_shares = np.log(pilot / pilot.sum())
    given = np.asarray(rule.score.of(features)) / beta - rule.log_threshold
    expected = log_weights - np.log(multiplier) - float(logsumexp(log_shares + log_weights))
    tolerance = float(log_normaliser_error(unit, log_shares, scores, beta, score_error)[0]) + score_error / beta
    tolerance += gamma(16, unit) * (1.0 + np.log(multiplier) + float(np.abs(log_weights).max()))
    given, expected = np.minimum(given, 0.0), np.minimum(expected, 0.0)
    expect(
        bool(np.allclose(given, expected, rtol=0.0, atol=tolerance)),
        f"log of the probability to accept each response, with a pilot of {drawn}",
        given,
        f"{np.round(expected, 6).tolist()}, which is log min(1, w/(M Z))",
    )


def expect_ratio(
    check: Check, result: DensityResult, pilots: FloatArray, scores: FloatArray, beta: float, score_error: FloatArray
) -> None:
    """Expect the ratio of a response to be `w/Z`, `Z` the mean weight of a possible pilot (R8).

    Parameters
    ----------
    check : Check
    result : DensityResult
    pilots : array, shape (m, Y)
        How often each response was drawn.
    scores : array, shape (Y,)
    beta : float
    score_error : array, shape (Y,)
        By how much the subject's scores may be off.
    """
    expect(len(pilots) > 0, "draws of a call", "fewer", "those of a pilot of N, and more")
    response, unit = int(result.response), check.subject.unit
    with np.errstate(divide="ignore"):
        log_shares = np.log(pilots / pilots.sum(axis=1, keepdims=True))
    means = logsumexp(log_shares + scores / beta, axis=1)
    errors = log_normaliser_error(unit, log_shares, np.broadcast_to(scores, log_shares.shape), beta, score_error)[:, 0]
    expected = scores[response] / beta - means
    errors += score_error[response] / beta + gamma(16, unit) * (1.0 + abs(scores[response]) / beta + np.abs(means))
    nearest = int(np.argmin(np.abs(result.log_ratio - expected) - errors))
    drawn = pilots[nearest].astype(int).tolist()
    expect(
        bool(abs(result.log_ratio - expected[nearest]) <= errors[nearest]),
        f"log ratio of the response {response}, with a pilot of {drawn}",
        result.log_ratio,
        f"{expected[nearest]:.9g}, which is log(w/Z)",
    )
