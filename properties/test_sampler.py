"""Samplers of a softmax policy (R1-R5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from spanver.exact.samplers import race_law, sampler_law
from spanver.guarantees.sampler import race_draws, sampler_multiplier, sampler_samples, sampler_trials
from spanver.kernels import log_softmax
from spanver.oracle import Oracle
from spanver.oracles.literal import literal_oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import Counts, LinearScore, RejectionRule, Responses, SearchResult
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import GENEROUS_BUDGET, RecordingOracle

ROUNDING = 1e-9
# Two or three responses, all likely to be drawn, with different weights: a wrong law shows.
SAMPLED = tabular_problems(
    max_prompts=1, min_responses=2, max_responses=3, max_dimension=1, betas=(1.0, 0.5), weights=(1.0, 0.25, 2.0)
).filter(lambda problem: float(np.ptp(problem.reward)) >= 0.25)


def weights_of(problem: TabularProblem) -> Any:
    return np.exp(problem.features[0] @ realizing(problem) / problem.beta)


def multiplier_of(problem: TabularProblem) -> float:
    """`M = 4 C(pi_f)`, as R3 requires; re-using the pilot's draws would then not show in the law (A1)."""
    log_law = log_softmax(problem.log_base[0], problem.reward[0], problem.beta)
    return sampler_multiplier(max(1.0, float(np.exp((log_law - problem.log_base[0]).max()))))


def exact_law(problem: TabularProblem, multiplier: float, failure: float) -> Any:
    """Law of a call of A1, all pilots enumerated."""
    scores = problem.features[0] @ realizing(problem)
    law = sampler_law(np.exp(problem.log_base[0]), scores, problem.beta, multiplier, failure).law
    return law / law.sum()


def outputs(
    check: Check, sampler: str, problem: TabularProblem, multiplier: float, failure: float
) -> Callable[[int, int], Sequence[int]]:
    """Observe outputs of many calls."""
    score = LinearScore(realizing(problem))

    def observe(count: int, seed: int) -> Sequence[int]:
        oracle = literal_oracle(problem, seed=seed, budget=GENEROUS_BUDGET)
        drawn = []
        prompt = oracle.prompt()
        for index in range(count):
            prompt = oracle.prompt() if index % 16 == 15 else prompt
            arguments = {"multiplier": multiplier, "failure": failure, "seed": seed + index}
            response = check.call(sampler, oracle, prompt, score, **arguments)
            assert response in range(problem.responses), f"the response {response!r} is none of the problem's"
            drawn.append(response)
        return drawn

    return observe


def fresh_oracle(check: Check, problem: TabularProblem) -> RecordingOracle:
    return RecordingOracle(literal_oracle(problem, seed=check.seed("oracle"), budget=GENEROUS_BUDGET))


def call_once(
    check: Check, sampler: str, oracle: Oracle, problem: TabularProblem, multiplier: float, failure: float
) -> tuple[Any, Any]:
    """Prompt and response of one call on a new prompt."""
    prompt, score, seed = oracle.prompt(), LinearScore(realizing(problem)), check.seed("sampler")
    return prompt, check.call(sampler, oracle, prompt, score, multiplier=multiplier, failure=failure, seed=seed)


@pytest.mark.guarantee("R1", needs=["softmax_sample"])
@instances(
    problem=tabular_problems(), multiplier=st.sampled_from([1.0, 2.5, 8.0]), failure=st.sampled_from([0.9, 0.3, 0.01])
)
def test_a_call_costs_at_most_twice_its_pilot_and_one(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    oracle = fresh_oracle(check, problem)
    prompt, response = call_once(check, "softmax_sample", oracle, problem, multiplier, failure)
    bound, cost = sampler_samples(multiplier, failure), oracle.ledger.samples
    assert cost <= bound, f"{cost} samples, at most {bound} are allowed"
    assert oracle.ledger.rewards == 0, "acceptance looked at rewards"
    assert cost >= 1, "no sample was drawn"
    assert problem.log_base[int(prompt), response] > -np.inf, f"the response {response} has base probability 0"
    check.tightness(cost, bound)


class NeverAccepting:
    """An oracle that accepts no trial: what a correct oracle does rarely."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)

    def sample_until(self, prompt: Any, rule: Any, limit: int) -> SearchResult:
        """Charge for the trials."""
        self._oracle.sample(prompt, rule.samples_per_try * limit)
        return SearchResult(None, limit)


@pytest.mark.guarantee("R3", needs=["softmax_sample"])
@instances(
    problem=tabular_problems(min_responses=2),
    multiplier=st.sampled_from([2.5, 8.0]),
    failure=st.sampled_from([0.9, 0.3]),
)
def test_a_call_gives_up_after_all_trials_and_returns_a_fresh_draw(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    """Too rare for samples to show it where R3 holds. Samplers that accept by themselves are not judged."""
    oracle = RecordingOracle(NeverAccepting(fresh_oracle(check, problem)))
    _, response = call_once(check, "softmax_sample", oracle, problem, multiplier, failure)
    tried = [entry.answer.tries for entry in oracle.queries if entry.name == "sample_until"]
    if tried:
        trials, cost = sampler_trials(multiplier, failure), oracle.ledger.samples
        assert sum(tried) == trials, f"gave up after {sum(tried)} trials, by A1 after {trials}"
        assert cost == 2 * trials + 1, f"{cost} samples when all trials failed, by A1 {2 * trials + 1}"
        drawn = [entry.answer.ids[-1] for entry in oracle.queries if entry.name == "sample"]
        assert response in drawn[-1:], f"the response {response} is not the draw to fall back on"


@pytest.mark.guarantee("R2", needs=["softmax_sample"])
@instances(
    problem=tabular_problems(min_responses=2),
    multiplier=st.sampled_from([1.0, 2.5, 8.0]),
    failure=st.sampled_from([0.9, 0.3]),
)
def test_trials_accept_by_the_weight_over_multiplier_times_pilot_mean(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    oracle = fresh_oracle(check, problem)
    prompt, _ = call_once(check, "softmax_sample", oracle, problem, multiplier, failure)
    features = problem.features[int(prompt)]
    log_weights = features @ realizing(problem) / problem.beta
    pilot = np.zeros(problem.responses)
    for entry in oracle.queries:
        match entry.answer:
            case Counts(responses, counts):
                np.add.at(pilot, list(map(int, responses.ids)), counts)
            case Responses(ids):
                np.add.at(pilot, list(map(int, ids)), 1)
        if entry.name == "sample_until":
            rule = entry.arguments[0]
            assert isinstance(rule, RejectionRule), "a search for pairs inside a sampler"
            assert pilot.sum() == sampler_trials(multiplier, failure), f"a pilot of {pilot.sum():.0f} draws"
            with np.errstate(divide="ignore"):
                exponents = np.log(pilot / pilot.sum()) + log_weights
            log_mean = exponents.max() + np.log(np.exp(exponents - exponents.max()).sum())
            given = np.asarray(rule.score.of(features)) / problem.beta - rule.log_threshold
            expected = log_weights - np.log(multiplier) - log_mean
            tolerance = ROUNDING * (1.0 + np.abs(log_weights).max())
            shown = f"log acceptance {np.round(given, 6).tolist()}, by A1 {np.round(expected, 6).tolist()}"
            assert np.allclose(np.minimum(given, 0.0), np.minimum(expected, 0.0), atol=tolerance), shown


@pytest.mark.guarantee("R2", needs=["softmax_sample"])
@experiments(problem=SAMPLED)
def test_accepted_responses_have_the_softmax_law(check: Check, problem: TabularProblem) -> Experiment:
    # For every pilot M Z is at least every weight; the remaining fallback is in the exact law.
    weights = weights_of(problem)
    multiplier = max(multiplier_of(problem), float(np.ceil(weights.max() / weights.min())))
    return check.law_experiment(
        outputs(check, "softmax_sample", problem, multiplier, 0.9), exact_law(problem, multiplier, 0.9)
    )


@pytest.mark.guarantee("R3", needs=["softmax_sample"])
@experiments(problem=SAMPLED, failure=st.sampled_from([0.9, 0.5]))
def test_outputs_have_the_exact_law_with_clipping_and_fallback(
    check: Check, problem: TabularProblem, failure: float
) -> Experiment:
    multiplier = multiplier_of(problem)
    law = exact_law(problem, multiplier, failure)
    target = np.exp(log_softmax(problem.log_base[0], problem.reward[0], problem.beta))
    distance = float(np.abs(law - target).sum() / 2)
    assert distance <= failure, f"total variation {distance} to the target, at most {failure} is allowed"
    return check.law_experiment(outputs(check, "softmax_sample", problem, multiplier, failure), law)


@pytest.mark.guarantee("R4", needs=["race_sample"])
@instances(
    problem=tabular_problems(), multiplier=st.sampled_from([4.0, 10.0, 64.0]), failure=st.sampled_from([0.9, 0.3, 0.01])
)
def test_a_race_costs_as_many_samples_as_its_bound_is_for(
    check: Check, problem: TabularProblem, multiplier: float, failure: float
) -> None:
    oracle = fresh_oracle(check, problem)
    call_once(check, "race_sample", oracle, problem, multiplier, failure)
    expected = race_draws(multiplier / 4.0, failure)
    assert oracle.ledger.samples == expected, f"{oracle.ledger.samples} samples, a race takes {expected}"


@pytest.mark.guarantee("R4", needs=["race_sample"])
@experiments(problem=SAMPLED, draws=st.integers(1, 3))
def test_winners_of_a_race_have_its_exact_law(check: Check, problem: TabularProblem, draws: int) -> Experiment:
    base, log_weights = np.exp(problem.log_base[0]), np.log(weights_of(problem))
    law = np.zeros(problem.responses)
    for pool in product(range(problem.responses), repeat=draws):
        ids = list(pool)
        np.add.at(law, ids, float(np.prod(base[ids])) * race_law(log_weights[ids]))
    failure = float(np.exp(-(draws - 0.5)))
    return check.law_experiment(outputs(check, "race_sample", problem, 4.0, failure), law / law.sum())


@pytest.mark.guarantee("R5", needs=["softmax_sample"])
@instances(problem=tabular_problems(min_responses=2), constant=st.integers(-10_000, 10_000))
def test_a_constant_added_to_all_scores_changes_no_output(check: Check, problem: TabularProblem, constant: int) -> None:
    # A last feature that is one half everywhere turns its parameter into a constant of the score.
    halves = np.full((problem.prompts, problem.responses, 1), 0.5)
    features = np.concatenate([problem.features * 0.5, halves], axis=2)
    widened = TabularProblem(
        prompt_law=problem.prompt_law, log_base=problem.log_base, features=features, reward=problem.reward,
        beta=problem.beta, radius=1.0, reward_range=2.0, reward_low=problem.reward_low,
    )  # fmt: skip
    drawn = []
    for shift in (0.0, 2.0 * constant * problem.beta):
        oracle = literal_oracle(widened, seed=check.seed("oracle"), budget=GENEROUS_BUDGET)
        prompt = oracle.prompt()
        score = LinearScore(np.append(realizing(problem), shift))
        response = check.call(
            "softmax_sample", oracle, prompt, score, multiplier=2.0, failure=0.5, seed=check.seed("sampler")
        )
        drawn.append((response, oracle.ledger.samples))
    assert drawn[0] == drawn[1], f"response and samples are {drawn[0]}, with the constant {drawn[1]}"


@pytest.mark.guarantee("R5", needs=["log_softmax"])
@instances(problem=tabular_problems(min_responses=2), constant=st.integers(-10_000, 10_000))
def test_large_constants_neither_overflow_nor_change_a_law(
    check: Check, problem: TabularProblem, constant: int
) -> None:
    for log_base, reward in zip(problem.log_base, problem.reward, strict=True):
        law = check.call("log_softmax", log_base, reward, problem.beta)
        shifted = check.call("log_softmax", log_base, reward + constant * problem.beta, problem.beta)
        assert np.allclose(np.exp(shifted), np.exp(law), atol=1e-10 / problem.beta), "a constant changed the law"
