"""Single answers of an oracle have their law (O2): prompts, responses, strong samples, rewards and labels.

Laws are checked query by query against the exact law of a small table. All answers are independent, so one oracle gives
many observations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from operator import methodcaller
from typing import Any

import numpy as np
from hypothesis import strategies as st

from spanver.errors import NotJudgedError, QuestionRefusedError
from spanver.oracle import Oracle
from spanver.problems.tabular import TabularProblem
from spanver.strategies import realizing, tabular_problems
from spanver.values import LinearScore, RejectionRule, Responses
from spanver.verification.check import Check
from spanver.verification.experiment import Experiment, law_experiment
from spanver.verification.rendering import short
from spanver.verification.search import experiments

from . import oracle_laws as laws
from .drawn import IN_STEP, PROMPT, SMALL, Watch, answers, of_both_oracles, table_of, watched


def prompts_of(law: Sequence[float], base: Sequence[Sequence[float]]) -> TabularProblem:
    """A problem of several prompts with these base policies, and features that do not matter."""
    shape = (len(base), len(base[0]))
    nothing = np.zeros(shape)
    return TabularProblem(
        prompt_law=np.array(law),
        log_base=np.log(base),
        features=nothing[:, :, None],
        reward=nothing,
        beta=1.0,
        radius=1.0,
        theta_star=np.zeros(1),
    )


def rewards_of(one: float, two: float, least: float) -> TabularProblem:
    """A problem of two responses with these mean rewards, and noise from `least` to `-least`."""
    return TabularProblem(
        prompt_law=np.ones(1),
        log_base=np.log([[0.5, 0.5]]),
        features=np.array([[[one], [two]]]),
        reward=np.array([[one, two]]),
        beta=1.0,
        radius=1.0,
        reward_range=-2.0 * least,
        reward_low=np.array([least]),
        noise=1.0,
        theta_star=np.ones(1),
    )


def first_and_repeat(drawn: Responses) -> int:
    first, second = map(int, drawn.ids)
    return 2 * first + int(first == second)


def of_two(problem: TabularProblem) -> list[str]:
    """Names of the outcomes of `first_and_repeat`."""
    return [f"{first}, then {then}" for first in range(problem.responses) for then in ("another", "the same")]


def responses_law(check: Check, factory: str, problem: TabularProblem) -> Experiment:
    return law_experiment(
        check,
        answers(check, factory, problem, lambda prompt: [methodcaller("sample", prompt, 2)], first_and_repeat),
        laws.law_of_draws(problem),
        of=f"responses of {factory} to sample(prompt, 2)",
        outcomes=of_two(problem),
    )


(test_responses_of_a_literal_oracle_have_the_base_law, test_responses_of_a_counted_oracle_have_the_base_law) = (
    of_both_oracles(
        "O2",
        experiments(problem=SMALL),
        responses_law,
        instances=[{"problem": table_of(base, base)} for base in ([0.9, 0.1], [0.1, 0.2, 0.7])],
        literal={
            "oracle-repeated": laws.moved(laws.law_of_draws, laws.repeated),
            "oracle-in-turn": laws.moved(laws.law_of_draws, laws.in_turn),
        },
        counted={"oracle-uniform": laws.moved(laws.law_of_draws, laws.equal_chances)},
    )
)


def strong_samples_law(check: Check, factory: str, problem: TabularProblem) -> Experiment:
    """With the smallest beta `pi_theta` is all but certain."""
    oracle = check.call(factory, problem, seed=check.seed("whether it is strong"))
    try:
        oracle.sample(oracle.prompt(), 1, theta=realizing(problem))
    except QuestionRefusedError:
        raise NotJudgedError("the oracle offers no strong sampling") from None

    def two(prompt: Any) -> Sequence[Callable[[Oracle], Any]]:
        return [methodcaller("sample", prompt, 2, theta=realizing(problem))]

    return law_experiment(
        check,
        answers(check, factory, problem, two, first_and_repeat),
        laws.strong_law(problem),
        of=f"responses of {factory} to sample(prompt, 2, theta={short(realizing(problem))}), beta {problem.beta:g}",
        outcomes=of_two(problem),
    )


# The second weight is e^4 at beta 1/2, and neither response is rare under the law: another strength moves it far.
STRONG = [{"problem": table_of([1.0 - rare, rare], [1.0, float(np.exp(4.0))])} for rare in (0.02, 0.1)]
(
    test_strong_samples_of_a_literal_oracle_have_the_law_of_theta,
    test_strong_samples_of_a_counted_oracle_have_the_law_of_theta,
) = of_both_oracles(
    "O2",
    experiments(
        problem=tabular_problems(
            max_prompts=1, min_responses=2, max_responses=3, max_dimension=2, betas=(1.0, 0.5, 0.25, 1e-4)
        )
    ),
    strong_samples_law,
    instances=STRONG,
    literal={
        "oracle-base-only": laws.moved(laws.strong_law, lambda problem: laws.strong_law(problem, 0.0)),
        "oracle-half-strength": laws.moved(laws.strong_law, lambda problem: laws.strong_law(problem, 0.5)),
    },
    counted={
        "oracle-worst-first": laws.moved(laws.strong_law, lambda problem: laws.strong_law(problem, -1.0)),
        "oracle-beta-squared": laws.moved(
            laws.strong_law, lambda problem: laws.strong_law(problem, 1.0 / problem.beta)
        ),
    },
)


def prompts_law(check: Check, factory: str, problem: TabularProblem) -> Experiment:
    def watch(count: int) -> Watch:
        return [int(each) for each in (yield [PROMPT] * count)]

    observe = watched(check, factory, problem, watch)
    return law_experiment(check, observe, problem.prompt_law, of=f"prompt of {factory}")


(test_prompts_of_a_literal_oracle_have_their_law, test_prompts_of_a_counted_oracle_have_their_law) = of_both_oracles(
    "O2",
    experiments(problem=tabular_problems(max_responses=1, max_dimension=1).filter(lambda problem: problem.prompts > 1)),
    prompts_law,
    instances=[{"problem": prompts_of(law, [[1.0]] * len(law))} for law in ([0.9, 0.1], [0.1, 0.1, 0.8])],
    literal={"oracle-uniform-prompts": laws.uniform_prompts},
    counted={"oracle-prompts-in-turn": laws.uniform_prompts},
)


def prompts_and_responses_law(check: Check, factory: str, problem: TabularProblem, query: str) -> Experiment:
    """A prompt, the first response to it, and the next prompt are independent."""
    sure = RejectionRule(LinearScore(np.zeros(problem.dimension)), 0.0)
    once = {"sample": (1,), "sample_counts": (1,), "sample_until": (sure, 1)}[query]

    def response_of(answer: Any) -> int:
        responses = answer if query == "sample" else answer.responses
        assert responses is not None, "a trial was not accepted whose probability is 1"
        return int(responses.ids[0])

    def watch(count: int) -> Watch:
        (first,), seen = (yield [PROMPT]), []
        for _ in range(count):
            respond = methodcaller(query, first, *once)
            # As many responses as prompts: a prompt and its response are the same draw, the k-th, of two generators.
            answer, second, _, following = yield [respond, PROMPT, respond, PROMPT]
            seen.append((int(first) * problem.responses + response_of(answer)) * problem.prompts + int(second))
            first = following
        return seen

    prompts, responses = range(problem.prompts), range(problem.responses)
    return law_experiment(
        check,
        watched(check, factory, problem, watch, IN_STEP),
        laws.law_of_prompt_response_prompt(problem),
        of=f"prompt, its response by {query}, and the next prompt of {factory}",
        outcomes=[f"{one}, {response}, {two}" for one in prompts for response in responses for two in prompts],
    )


EVEN = prompts_of([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]])
UNEVEN = prompts_of([0.6, 0.4], [[0.4, 0.6], [0.6, 0.4]])
(
    test_a_prompt_its_response_and_the_next_prompt_of_a_literal_oracle_are_independent,
    test_a_prompt_its_response_and_the_next_prompt_of_a_counted_oracle_are_independent,
) = of_both_oracles(
    "O2",
    experiments(
        problem=tabular_problems(
            max_prompts=2, min_responses=2, max_responses=2, max_dimension=1, weights=(1.0, 0.25, 2.0)
        ).filter(lambda problem: problem.prompts == 2),
        query=st.sampled_from(["sample", "sample_counts", "sample_until"]),
    ),
    prompts_and_responses_law,
    instances=[
        {"problem": problem, "query": query} for query in ("sample", "sample_counts") for problem in (EVEN, UNEVEN)
    ],
    literal={
        "oracle-one-uniform": laws.one_uniform("sample"),
        "oracle-prompts-twice": laws.prompts_twice,
        "independent-prompt-and-response": laws.one_uniform("sample"),
    },
    counted={
        "oracle-one-uniform-counted": laws.one_uniform("sample_counts"),
        "oracle-prompts-in-turn": laws.prompts_in_turn,
    },
)


def rewards_law(check: Check, factory: str, problem: TabularProblem) -> Experiment:
    """Rewards of both responses and of the first one again: fresh noise at the ends of the interval, the right mean."""
    low, means = float(problem.reward_low[0]), problem.reward[0]
    high = low + problem.reward_range

    def three(prompt: Any) -> Sequence[Callable[[Oracle], Any]]:
        return [methodcaller("reward", prompt, response) for response in (0, 1, 0)]

    def ends_of(*rewards: float) -> int:
        if problem.noise == 0.0:
            return int(not np.allclose(rewards, means[[0, 1, 0]]))
        assert all(np.isclose(each, low) or np.isclose(each, high) for each in rewards), (
            f"rewards {rewards} are at neither end, {low} nor {high}"
        )
        one, two, again = (int(each > (low + high) / 2) for each in rewards)
        return 4 * one + 2 * two + again

    law = laws.law_of_rewards(problem) if problem.noise > 0.0 else np.array([1.0, 0.0])
    of = f"rewards of {factory} for responses 0, 1 and 0"
    names = [", ".join(ends) for ends in product(("low", "high"), repeat=3)]
    names = names if problem.noise > 0.0 else ["the means", "others"]
    return law_experiment(check, answers(check, factory, problem, three, ends_of), law, of=of, outcomes=names)


TWO_RESPONSES = tabular_problems(
    max_prompts=1, min_responses=2, max_responses=2, max_dimension=1, betas=(1.0,), weights=(1.0,), noises=(1.0, 0.0)
)
(
    test_rewards_of_a_literal_oracle_have_fresh_noise_and_the_right_mean,
    test_rewards_of_a_counted_oracle_have_fresh_noise_and_the_right_mean,
) = of_both_oracles(
    "O2",
    experiments(problem=TWO_RESPONSES),
    rewards_law,
    instances=[{"problem": rewards_of(0.0, 0.0, -1.0)}, {"problem": rewards_of(0.75, -0.75, -1.0)}],
    literal={
        "oracle-half-noise": lambda problem: problem.noise,  # rewards are never at the ends
        "oracle-any-noise": laws.moved(
            laws.law_of_rewards, lambda problem: laws.law_of_rewards(problem, np.full(2, 0.5))
        ),
        "oracle-same-noise": laws.moved(laws.law_of_rewards, laws.same_noise),
    },
    counted={
        "oracle-persistent-noise": laws.stuck(laws.law_of_rewards),
        "oracle-highest-reward": laws.moved(
            laws.law_of_rewards,
            lambda problem: laws.law_of_rewards(problem, 1.0 - (1.0 - laws.shares_of(problem)) ** 2),
        ),
    },
)


def labels_law(check: Check, factory: str, problem: TabularProblem) -> Experiment:
    def three(prompt: Any) -> Sequence[Callable[[Oracle], Any]]:
        return [methodcaller("compare", prompt, *pair) for pair in ((0, 1), (0, 1), (1, 0))]

    def joint(one: bool, again: bool, other: bool) -> int:
        return 4 * int(one) + 2 * int(again) + int(other)

    return law_experiment(
        check,
        answers(check, factory, problem, three, joint),
        laws.law_of_labels(problem),
        of=f"labels of {factory} for (0, 1), (0, 1) and (1, 0)",
        outcomes=[", ".join(labels) for labels in product(("second", "first"), repeat=3)],
    )


(
    test_labels_of_a_literal_oracle_have_the_law_of_mean_rewards,
    test_labels_of_a_counted_oracle_have_the_law_of_mean_rewards,
) = of_both_oracles(
    "O2",
    experiments(problem=TWO_RESPONSES),
    labels_law,
    instances=[{"problem": rewards_of(0.0, 0.0, -1.0)}, {"problem": rewards_of(1.0, -1.0, -4.0)}],
    literal={
        "oracle-other-label": laws.moved(laws.law_of_labels, laws.other_label),
        "oracle-sure-label": laws.moved(laws.law_of_labels, laws.sure_label),
    },
    counted={"oracle-noisy-label": laws.moved(laws.law_of_labels, laws.noisy_label)},
)
