"""Mutants of phase 1 and of elliptic norms: what S1-S8 must kill.

`phase_one` is A2's first phase written anew: each step in which a mutant differs is an argument. Unmutated it is as
right as the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from spanver.errors import BudgetExceededError
from spanver.oracle import Oracle
from spanver.subjects.reference import subject as reference
from spanver.values import FloatArray, Prompt, Response, UncertainPairRule
from spanver.zoo.algebra import Late, Vectors, covariance, difference, inverse, quadratic, reward_difference
from spanver.zoo.mutant import Mutant, mutants_of

Accepted: TypeAlias = list[tuple[Response, Response, FloatArray]]


def updated_precision(
    ridge: float, dimension: int, vectors: Vectors, *, sign: float = -1.0, one: float = 1.0
) -> FloatArray:
    """`Sigma^-1` by the formula of Sherman and Morrison."""
    precision: FloatArray = np.eye(dimension) / ridge
    for vector in vectors:
        image = precision @ vector
        precision = precision + sign * np.outer(image, image) / (one + float(vector @ image))
    return precision


def is_uncertain(vector: FloatArray, precision: FloatArray, nu: float) -> bool:
    """Whether the elliptic norm is above the threshold."""
    return math.sqrt(max(0.0, float(vector @ precision @ vector))) > nu


def each_pair(
    oracle: Oracle,
    prompt: Prompt,
    limit: int,
    precision: FloatArray,
    nu: float,
    *,
    relative: Callable[[Response, Response], FloatArray] = difference,
    accepts: Callable[[FloatArray, FloatArray, float], bool] = is_uncertain,
    most: int = 1,
) -> Accepted:
    """Draw pair by pair until one is accepted, or `most` are."""
    accepted: Accepted = []
    for _ in range(limit):
        drawn = oracle.sample(prompt, 2)
        vector = relative(drawn[0], drawn[1])
        if accepts(vector, precision, nu):
            accepted.append((drawn[0], drawn[1], vector))
            if len(accepted) == most:
                break
    return accepted


def search(
    oracle: Oracle,
    prompt: Prompt,
    limit: int,
    precision: FloatArray,
    nu: float,
    *,
    rule: Callable[[FloatArray, float], UncertainPairRule] = UncertainPairRule,
) -> Accepted:
    """Query the oracle for the first uncertain pair."""
    found = oracle.sample_until(prompt, rule(precision, nu), limit)
    if found.responses is None:
        return []
    one, two = found.responses[0], found.responses[1]
    return [(one, two, difference(one, two))]


def first_of(pairs: Accepted, precision: FloatArray, nu: float) -> Accepted:
    """Keep the first uncertain pair."""
    return [pair for pair in pairs if is_uncertain(pair[2], precision, nu)][:1]


def pairs_in_one_block(
    oracle: Oracle,
    prompt: Prompt,
    limit: int,
    precision: FloatArray,
    nu: float,
    *,
    stride: int = 2,
    keep: Callable[[Accepted, FloatArray, float], Accepted] = first_of,
) -> Accepted:
    """Draw the pairs of a whole round at once, and look for the first uncertain one."""
    drawn = oracle.sample(prompt, stride * (limit - 1) + 2)
    pairs = [(drawn[k], drawn[k + 1]) for k in range(0, stride * limit, stride)]
    return keep([(one, two, difference(one, two)) for one, two in pairs], precision, nu)


def phase_one(
    oracle: Oracle,
    *,
    prompts: int,
    pairs_per_prompt: int,
    nu: float,
    ridge: float,
    seed: int = 0,
    pairs: Callable[[Oracle, Prompt, int, FloatArray, float], Accepted] = each_pair,
    precision: Callable[[float, int, Vectors], FloatArray] = updated_precision,
    sigma: Callable[[float, int, Vectors], FloatArray] = covariance,
    target: Callable[[Oracle, Prompt, Response, Response], float] = reward_difference,
    done: Callable[[int, int], int] = lambda rounds, _: rounds,
    swallowed: tuple[type[Exception], ...] = (),
) -> dict[str, Any]:
    """Phase 1 of A2; `done` says how many of the rounds count, given all rounds and the pairs accepted."""
    del seed  # all randomness is the oracle's
    accepted: list[tuple[Prompt, Response, Response, FloatArray, float]] = []
    rounds = 0
    try:
        while done(rounds, len(accepted)) < prompts:
            rounds += 1
            prompt = oracle.prompt()
            current = precision(ridge, oracle.dimension, [vector for *_, vector, _ in accepted])
            for one, two, vector in pairs(oracle, prompt, pairs_per_prompt, current, nu):
                accepted.append((prompt, one, two, vector, target(oracle, prompt, one, two)))
    except swallowed:
        pass
    vectors = [vector for *_, vector, _ in accepted]
    return {
        "prompts": [prompt for prompt, *_ in accepted],
        "first": [one.id for _, one, *_ in accepted],
        "second": [two.id for _, _, two, *_ in accepted],
        "vectors": vectors,
        "targets": [value for *_, value in accepted],
        "sigma": sigma(ridge, oracle.dimension, vectors),
    }


def _longest(pairs: Accepted, precision: FloatArray, nu: float) -> Accepted:
    uncertain = [pair for pair in pairs if is_uncertain(pair[2], precision, nu)]
    return sorted(uncertain, key=lambda pair: -float(pair[2] @ precision @ pair[2]))[:1]


def _with_last_vector(pairs: Accepted, precision: FloatArray, nu: float) -> Accepted:
    return [(one, two, pairs[-1][2]) for one, two, _ in first_of(pairs, precision, nu)]


def _one_anchor(oracle: Oracle, prompt: Prompt, limit: int, precision: FloatArray, nu: float) -> Accepted:
    anchor = oracle.sample(prompt, 1)[0]
    drawn = oracle.sample(prompt, limit)
    return first_of([(drawn[k], anchor, difference(drawn[k], anchor)) for k in range(limit)], precision, nu)


def _all_rewards(oracle: Oracle, prompt: Prompt, limit: int, precision: FloatArray, nu: float) -> Accepted:
    def queried(pairs: Accepted, precision: FloatArray, nu: float) -> Accepted:
        for response in (each for one, two, _ in pairs for each in (one, two)):
            oracle.reward(prompt, response)
        return first_of(pairs, precision, nu)

    return pairs_in_one_block(oracle, prompt, limit, precision, nu, keep=queried)


def _every_second(oracle: Oracle, prompt: Prompt, limit: int, precision: FloatArray, nu: float) -> Accepted:
    drawn = [each_pair(oracle, prompt, 1, precision, nu) for _ in range(limit)]
    return next((accepted for accepted in drawn[1::2] if accepted), [])


def _single_norm(vector: FloatArray, precision: FloatArray, nu: float) -> bool:
    single = vector.astype(np.float32)
    return bool(np.sqrt(single @ precision.astype(np.float32) @ single) > np.float32(nu))


def _late(*names: str) -> Callable[..., Any]:
    return lambda oracle, **arguments: phase_one(Late(oracle, names), **arguments)


def _doubled_diagonal(ridge: float, dimension: int, vectors: Vectors) -> FloatArray:
    upper = np.triu(updated_precision(ridge, dimension, vectors))
    return upper + upper.T if vectors else updated_precision(ridge, dimension, vectors)


def _single_precision(ridge: float, dimension: int, vectors: Vectors) -> FloatArray:
    return covariance(ridge, dimension, vectors).astype(np.float32).astype(np.float64)


def _upper_for_lower(vectors: FloatArray, sigma: FloatArray) -> FloatArray:
    lower = np.linalg.cholesky(sigma)
    return np.asarray(np.linalg.norm(np.linalg.solve(lower.T, vectors.T), axis=0))


def _identity_when_ill_conditioned(vectors: FloatArray, sigma: FloatArray) -> FloatArray:
    well = np.linalg.cond(sigma) < 20.0
    return np.sqrt(quadratic(vectors, inverse(sigma) if well else np.eye(len(sigma))))


_spanner = mutants_of("build_spanner", "spanner", phase_one)
_norms = mutants_of("elliptic_norms", "norms", reference.functions["elliptic_norms"])


def _accepting(name: str, bug: str, accepts: Callable[[FloatArray, FloatArray, float], bool]) -> Mutant:
    return _spanner(name, bug, "S1", pairs=partial(each_pair, accepts=accepts))


# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    _accepting("wrong-side", "accepts the pairs that are certain", lambda v, p, nu: not is_uncertain(v, p, nu)),
    _accepting("sigma-for-inverse", "measures pairs in Sigma and not in its inverse",
        lambda v, p, nu: is_uncertain(v, inverse(p), nu)),
    _accepting("squared", "compares the squared norm with nu", lambda v, p, nu: float(v @ p @ v) > nu),
    _accepting("nu-squared", "compares the norm with nu squared", lambda v, p, nu: is_uncertain(v, p, nu**2)),
    _accepting("euclidean", "measures pairs by their length", lambda v, p, nu: float(np.linalg.norm(v)) > nu),
    _accepting("log-det", "compares the gain of the log-determinant with nu",
        lambda v, p, nu: math.log1p(float(v @ p @ v)) > nu),
    _accepting("diagonal", "uses the diagonal of the precision alone",
        lambda v, p, nu: is_uncertain(v, np.diag(np.diag(p)), nu)),
    _accepting("one-order", "accepts half of the uncertain pairs: those whose first difference is positive",
        lambda v, p, nu: is_uncertain(v, p, nu) and bool(v[np.flatnonzero(v)[0]] > 0.0)),
    _accepting("larger-nu", "takes nu 5 % too large", lambda v, p, nu: is_uncertain(v, p, 1.05 * nu)),
    _accepting("smaller-nu", "takes nu 5 % too small", lambda v, p, nu: is_uncertain(v, p, 0.95 * nu)),
    _accepting("single-norms", "measures pairs in single precision", _single_norm),
    _spanner("rule-of-larger-nu", "searches with nu 5 % too large", "S1",
        pairs=partial(search, rule=lambda precision, nu: UncertainPairRule(precision, 1.05 * nu))),
    _spanner("rule-of-smaller-nu", "searches with nu 5 % too small", "S1",
        pairs=partial(search, rule=lambda precision, nu: UncertainPairRule(precision, 0.95 * nu))),
    _spanner("rule-of-squares", "puts nu squared into the rule of the search", "S1",
        pairs=partial(search, rule=lambda precision, nu: UncertainPairRule(precision, nu**2))),
    _spanner("rule-of-sigma", "puts Sigma into the rule of the search", "S1",
        pairs=partial(search, rule=lambda precision, nu: UncertainPairRule(inverse(precision), nu))),
    _spanner("features-of-first", "uses the features of the first response, not their difference", "S1",
        pairs=partial(each_pair, relative=lambda one, _: one.features)),
    _spanner("features-added", "adds the features of both responses", "S1",
        pairs=partial(each_pair, relative=lambda one, two: one.features + two.features)),
    _spanner("no-ridge-in-precision", "starts the precision at the identity", "S1",
        precision=lambda _, dimension, vectors: updated_precision(1.0, dimension, vectors)),
    _spanner("ridge-for-inverse", "starts the precision at the ridge and not at its inverse", "S1",
        precision=lambda ridge, dimension, vectors: updated_precision(1.0 / ridge, dimension, vectors)),
    _spanner("no-ridge-in-sigma", "returns Sigma without its ridge", "S2",
        sigma=lambda _, dimension, vectors: covariance(0.0, dimension, vectors)),
    _spanner("updated-twice", "adds each pair to Sigma twice", "S1",
        precision=lambda ridge, dimension, vectors: updated_precision(ridge, dimension, [*vectors, *vectors]),
        sigma=lambda ridge, dimension, vectors: covariance(ridge, dimension, [*vectors, *vectors])),
    _spanner("never-updated", "goes on with the first precision", "S4",
        precision=lambda ridge, dimension, _: updated_precision(ridge, dimension, [])),
    _spanner("stale", "uses a precision without the pair accepted last", "S1 S5",
        precision=lambda ridge, dimension, vectors: updated_precision(ridge, dimension, vectors[:-1])),
    _spanner("stale-after-three", "leaves the pair accepted last out of the precision once it has three", "S1",
        precision=lambda ridge, dimension, vectors: updated_precision(
            ridge, dimension, vectors if len(vectors) <= 3 else vectors[:-1])),
    _spanner("three-updates", "updates the precision three times only", "S1",
        precision=lambda ridge, dimension, vectors: updated_precision(ridge, dimension, vectors[:3])),
    _spanner("sigma-without-last", "returns Sigma as it was before the last pair", "S3",
        sigma=lambda ridge, dimension, vectors: covariance(ridge, dimension, vectors[:-1])),
    _spanner("update-of-last-tried", "adds the last pair drawn in the round, not the accepted one", "S2",
        pairs=partial(pairs_in_one_block, keep=_with_last_vector)),
    _spanner("all-of-a-round", "accepts every uncertain pair of a round", "S1", pairs=partial(each_pair, most=2**30)),
    _spanner("longest-of-a-round", "accepts the pair of largest norm of a round, not the first", "S1",
        pairs=partial(pairs_in_one_block, keep=_longest)),
    _spanner("chained", "pairs each response with the one drawn before it", "S1",
        pairs=partial(pairs_in_one_block, stride=1)),
    _spanner("one-anchor", "pairs all responses of a round with one second response", "S5", pairs=_one_anchor),
    _spanner("all-rewards", "queries the rewards of every pair tried", "S7", pairs=_all_rewards),
    _spanner("reward-twice", "queries the first reward twice and averages", "S7",
        target=partial(reward_difference, times=(2, 1))),
    _spanner("sign-of-target", "subtracts the first reward from the second", "S2",
        target=lambda oracle, prompt, one, two: reward_difference(oracle, prompt, two, one)),
    _spanner("same-response-twice", "queries the reward of the first response for both", "S1",
        target=lambda oracle, prompt, one, _: reward_difference(oracle, prompt, one, one)),
    _spanner("one-pair-less", "tries a pair less than it may", "S1",
        pairs=lambda oracle, prompt, limit, *rest: each_pair(oracle, prompt, limit - 1, *rest)),
    _spanner("one-pair-more", "tries a pair more than it may", "S1",
        pairs=lambda oracle, prompt, limit, *rest: each_pair(oracle, prompt, limit + 1, *rest)),
    _spanner("every-second", "looks at every second pair that it draws", "S1 S5", pairs=_every_second),
    _spanner("late-rewards", "queries rewards at the prompt of the round before", "S1", _late("reward")),
    _spanner("late-prompt", "goes on with the prompt of the round before", "S1", _late("sample", "reward")),
    _spanner("accepting-rounds", "counts only rounds that accepted a pair, up to ten times as many", "S1",
        done=lambda rounds, accepted: max(accepted, rounds // 10)),
    _spanner("wrong-sign", "adds where the formula of Sherman and Morrison subtracts", "S1",
        precision=partial(updated_precision, sign=1.0)),
    _spanner("no-one", "forgets the 1 in the denominator of Sherman and Morrison", "S1",
        precision=partial(updated_precision, one=1e-12)),
    _spanner("doubled-diagonal", "mirrors the upper triangle of the precision together with its diagonal", "S1",
        precision=_doubled_diagonal),
    _spanner("single-precision", "stores Sigma in single precision", "S2", sigma=_single_precision),
    _spanner("swallowed-budget", "returns what it has when the budget ends", "O3", swallowed=(BudgetExceededError,)),
    _norms("squared", "returns squared norms", "S8", lambda v, sigma: quadratic(v, inverse(sigma))),
    _norms("sigma", "uses Sigma for its inverse", "S8", lambda v, sigma: np.sqrt(quadratic(v, sigma))),
    _norms("diagonal", "inverts the diagonal alone", "S8",
        lambda v, sigma: np.sqrt(quadratic(v, np.diag(1.0 / np.diag(sigma))))),
    _norms("upper", "solves with the transpose of Cholesky's factor", "S8", _upper_for_lower),
    _norms("jitter", "adds a jitter to the diagonal before it inverts", "S8",
        lambda v, sigma: np.sqrt(quadratic(v, inverse(sigma + 1e-6 * np.eye(len(sigma)))))),
    _norms("euclidean", "returns lengths", "S6", lambda v, _: np.linalg.norm(v, axis=1)),
    _norms("identity", "uses the identity where Sigma is ill-conditioned", "S8", _identity_when_ill_conditioned),
)
"""Of `build_spanner` and `elliptic_norms`."""
