"""Oracles of a subject: their ledgers (O1), their law (O2) and their budgets (O3).

Laws are checked query by query against the exact law of a small table. All answers are independent, so one oracle gives
many observations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import expit

from spanver.errors import ArgumentError, BudgetExceededError, QuestionRefusedError, ViolationError
from spanver.kernels import log_softmax
from spanver.oracle import Budget, Oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import LinearScore, RejectionRule, UncertainPairRule
from spanver.verification.check import Check, expect
from spanver.verification.experiment import Experiment
from spanver.verification.rendering import short
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import RecordingOracle, recount

from .drawn import SMALL, answers, base_of

REFUSED = ("unknown", "none", "outside")
QUERIES = ("prompt", "sample", "strong", "sample_counts", "pairs", "trial", "reward", "compare", *REFUSED)
SCRIPTS = st.lists(st.tuples(st.sampled_from(QUERIES), st.integers(1, 6)), min_size=1, max_size=8)
STRONG = ("strong", "outside")  # an oracle need not offer them
IMPOSSIBLE = 1e-15  # a chance too small for any run

Property: TypeAlias = Callable[[Check], None]


def of_both_oracles(
    guarantee: str, search: Callable[[Callable[..., Any]], Property], body: Callable[..., Any]
) -> tuple[Property, Property]:
    """Make two properties of one body, which is also given the factory: of the literal and of the counted oracle."""

    def of(factory: str) -> Property:
        def of_one(check: Check, **instance: Any) -> Any:
            return body(check, factory, **instance)

        return pytest.mark.guarantee(guarantee, needs=[factory])(search(of_one))

    return of("literal_oracle"), of("counted_oracle")


def ask(oracle: Oracle, problem: TabularProblem, prompt: Any, query: str, size: int) -> Any:
    """Answer to one query of a script; refused ones raise."""
    answer: Any = None
    pair = UncertainPairRule(np.eye(problem.dimension), 0.25)
    trial = RejectionRule(LinearScore(realizing(problem)), 0.5 + realizing(problem).sum() / problem.beta)
    match query:
        case "sample":
            answer = oracle.sample(prompt, size)
        case "strong":
            answer = oracle.sample(prompt, size, theta=realizing(problem))
        case "outside":
            answer = oracle.sample(prompt, size, theta=np.full(problem.dimension, 1.01 * problem.radius))
        case "sample_counts":
            answer = oracle.sample_counts(prompt, size)
        case "pairs":
            answer = oracle.sample_until(prompt, pair, size)
        case "trial":
            answer = oracle.sample_until(prompt, trial, size)
        case "reward":
            answer = oracle.reward(prompt, size % problem.responses)
        case "compare":
            answer = oracle.compare(prompt, 0, size % problem.responses)
        case "unknown":
            answer = oracle.sample(-1, size)
        case "none":
            answer = oracle.sample(prompt, 0)
    return answer


def ledger_is_exact(check: Check, factory: str, problem: TabularProblem, script: list[tuple[str, int]]) -> None:
    oracle = RecordingOracle(check.call(factory, problem, seed=check.seed("oracle")))
    prompt = oracle.prompt()
    for query, size in script:
        try:
            ask(oracle, problem, prompt, query, size)
        except QuestionRefusedError:
            assert query in STRONG, f"{query} was refused"
            refused = query in REFUSED
        except ArgumentError:
            refused = True
        else:
            refused = False
        assert refused == (query in REFUSED), f"{query} was {'refused' if refused else 'answered'}"
        expected = recount(oracle.queries)
        expect(oracle.ledger == expected, f"ledger of {factory} after {query}({size})", oracle.ledger, expected)


(
    test_the_ledger_of_a_literal_oracle_counts_every_answer,
    test_the_ledger_of_a_counted_oracle_counts_every_answer_it_stands_for,
) = of_both_oracles("O1", instances(problem=tabular_problems(), script=SCRIPTS), ledger_is_exact)


def budget_holds(
    check: Check, factory: str, problem: TabularProblem, samples: int, rewards: int, script: list[tuple[str, int]]
) -> None:
    budget = Budget(samples=samples, rewards=rewards)
    oracle: Oracle = check.call(factory, problem, seed=check.seed("oracle"), budget=budget)
    prompt = oracle.prompt()
    for query, size in script:
        if query in REFUSED:
            continue
        before = oracle.ledger
        width = {"pairs": 2, "trial": 1}.get(query)
        cost = 1 if query in ("reward", "compare") else size * (width or 1)
        left = rewards - before.rewards if query in ("reward", "compare") else samples - before.samples
        try:
            answer = ask(oracle, problem, prompt, query, size)
        except BudgetExceededError:
            assert cost > left, f"{query} of cost {cost} was refused, though {left} were left"
            spent = left - left % width if width else 0
            charged = oracle.ledger.samples - before.samples + oracle.ledger.rewards - before.rewards
            assert charged == spent, f"{query} that did not fit was charged {charged}, answered were {spent}"
        except QuestionRefusedError:
            assert query in STRONG, f"{query} was refused"
        except Exception as error:
            raise ViolationError(f"{query} on a budget raised {type(error).__name__}: {error}", "raised") from error
        else:
            # A search may end before its limit, but not without a hit.
            complete = not width or answer.responses is None
            assert query == "prompt" or not complete or cost <= left, f"{query} cost {cost}, {left} were left"
        after = oracle.ledger
        assert after.samples <= samples, f"{after.samples} samples on a budget of {samples}"
        assert after.rewards <= rewards, f"{after.rewards} rewards on a budget of {rewards}"


(test_a_literal_oracle_keeps_its_budget, test_a_counted_oracle_keeps_its_budget) = of_both_oracles(
    "O3",
    instances(problem=tabular_problems(), samples=st.integers(0, 12), rewards=st.integers(0, 3), script=SCRIPTS),
    budget_holds,
)


@pytest.mark.guarantee("O2", needs=["literal_oracle"])
@experiments(problem=SMALL)
def test_responses_of_a_literal_oracle_have_the_base_law(check: Check, problem: TabularProblem) -> Experiment:
    def two(oracle: Oracle, prompt: Any) -> int:
        first, second = oracle.sample(prompt, 2).ids
        return int(first) if problem.responses > 2 else 2 * int(first) + int(second)

    base = base_of(problem)
    law, of = base, "response of literal_oracle, the first of sample(prompt, 2)"
    names = [f"response {y}" for y in range(problem.responses)]
    if problem.responses == 2:
        law, of = np.outer(base, base).ravel(), "responses of literal_oracle to sample(prompt, 2)"
        names = ["0 and 0", "0 and 1", "1 and 0", "1 and 1"]
    return check.law_experiment(answers(check, "literal_oracle", problem, two), law, of=of, outcomes=names)


def strong_samples_are_the_best(check: Check, factory: str, problem: TabularProblem) -> None:
    """With a tiny beta `pi_theta` is all but certain, so that a single draw shows whether `theta` was used."""
    oracle = check.call(factory, problem, seed=check.seed("oracle"))
    prompt = oracle.prompt()
    for theta in (realizing(problem), -realizing(problem)):
        scores = problem.features[0] @ theta
        law = np.exp(log_softmax(problem.log_base[0], scores, problem.beta))
        best = scores == scores.max()
        decided = float(law[~best].sum()) <= IMPOSSIBLE and not best.all()
        check.premise(decided)
        if decided:
            try:
                drawn = oracle.sample(prompt, 3, theta=theta).ids
            except QuestionRefusedError:
                return  # the strong oracle is not offered
            of = f"responses of {factory} to sample(prompt, 3, theta={short(theta)})"
            expect(all(best[int(each)] for each in drawn), of, drawn, f"from the law {short(law)}")


(test_strong_samples_of_a_literal_oracle_follow_theta, test_strong_samples_of_a_counted_oracle_follow_theta) = (
    of_both_oracles(
        "O2",
        instances(problem=tabular_problems(max_prompts=1, min_responses=2, betas=(1e-4,), weights=(1.0, 0.25, 1e-12))),
        strong_samples_are_the_best,
    )
)


def prompts_law(check: Check, factory: str, problem: TabularProblem) -> Experiment:
    def observe(count: int, seed: int) -> Sequence[int]:
        oracle = check.call(factory, problem, seed=seed)
        return [int(oracle.prompt()) for _ in range(count)]

    return check.law_experiment(observe, problem.prompt_law, of=f"prompt of {factory}")


(test_prompts_of_a_literal_oracle_have_their_law, test_prompts_of_a_counted_oracle_have_their_law) = of_both_oracles(
    "O2",
    experiments(problem=tabular_problems(max_responses=1, max_dimension=1).filter(lambda problem: problem.prompts > 1)),
    prompts_law,
)


def rewards_law(check: Check, factory: str, problem: TabularProblem) -> Experiment:
    """Two rewards, with fresh noise at the ends of the interval and the right mean, and a label, by its own law."""
    low, mean = float(problem.reward_low[0]), float(problem.reward[0, 0])
    share = (mean - low) / problem.reward_range

    def two(oracle: Oracle, prompt: Any) -> int:
        first, second = (oracle.reward(prompt, 0) for _ in range(2))
        label = int(oracle.compare(prompt, 0, 1))
        if problem.noise == 0.0:
            seen = [first, second]
            expect(np.allclose(seen, mean), f"two rewards of {factory} without noise", seen, f"the mean {short(mean)}")
            return label
        high = low + problem.reward_range
        at_an_end = all(np.isclose(each, low) or np.isclose(each, high) for each in (first, second))
        expect(at_an_end, f"two noisy rewards of {factory}", [first, second], f"{short(low)} or {short(high)}, each")
        middle = (low + high) / 2
        return 4 * int(first > middle) + 2 * int(second > middle) + label

    preferred = float(expit(mean - problem.reward[0, 1]))
    law, names = np.array([1.0 - preferred, preferred]), ["1 is preferred", "0 is preferred"]
    if problem.noise > 0.0:
        law = np.outer(np.outer([1 - share, share], [1 - share, share]), law).ravel()
        ends = ("low", "high")
        names = [f"{first}, {second}, {name}" for first in ends for second in ends for name in names]
    of = f"{'two rewards and ' if problem.noise > 0.0 else ''}a label of {factory}"
    return check.law_experiment(answers(check, factory, problem, two), law, of=of, outcomes=names)


(
    test_rewards_of_a_literal_oracle_have_fresh_noise_and_the_right_mean,
    test_rewards_of_a_counted_oracle_have_fresh_noise_and_the_right_mean,
) = of_both_oracles(
    "O2",
    experiments(
        problem=tabular_problems(max_prompts=1, min_responses=2, max_responses=2, max_dimension=1, noises=(1.0, 0.0))
    ),
    rewards_law,
)
