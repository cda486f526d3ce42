"""The baselines of A3: their queries and the parameters of these (O1), their fits (E6), and T6's choice of pairs.

*Proper* `[paper]` is read off the record: every response with a reward or label was drawn at that prompt by a sampling
query, with the parameter that the run states for the round. This parameter is fitted to the rounds before (E6), so it
is fixed before the prompt is known. T4, which is about proper learners, is an illustration and cannot be tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import expit, logsumexp

from spanver.guarantees.residuals import stationary_error
from spanver.guarantees.rounding import gamma, half_digits, inverse_error, reach
from spanver.oracle import Ledger
from spanver.parameter_sets import optimality_gap
from spanver.problems.tabular import TabularProblem
from spanver.strategies import tabular_problems
from spanver.values import FloatArray, Prompt
from spanver.verification.check import Check
from spanver.verification.design import designed
from spanver.verification.search import instances
from spanver.verification.transcript import Round

from .designs import CHAIN, IN_THE_BOX, INSIDE, ON_THE_SPHERE, ONE_PROMPT, SHARES, in_box, named
from .learned import Learned, RoundPair, draws, learn
from .rounded import assert_at_least, assert_at_most, assert_fit, assert_inside, size_of

PROBLEMS = tabular_problems(min_responses=2, betas=(1.0, 0.25, 0.05))
ROUNDS = st.integers(1, 5)
FEEDBACK = st.sampled_from(["reward", "preference"])
DESIGNED = {"problem": INSIDE, "rounds": 8}
BOXES, IN_BOX = st.builds(in_box, PROBLEMS, SHARES), {"problem": IN_THE_BOX, "rounds": 8}


def assert_drawn(unit: float, played: Round, response: int, theta: FloatArray) -> None:
    """Assert that a response was drawn with this parameter."""
    with_theta = [each for own, each in draws(played) if is_same(unit, own, theta)]
    assert response in with_theta, f"of the pair is {response}, drawn with {theta.tolist()} were {with_theta}"


def is_same(unit: float, own: FloatArray | None, theta: FloatArray) -> bool:
    """Whether a parameter is another, which was rounded once more."""
    off = np.abs((np.zeros_like(theta) if own is None else own) - theta)
    return bool((off <= gamma(2, unit) * np.abs(theta)).all())


def assert_proper(check: Check, run: Learned, first: FloatArray, second: FloatArray) -> None:
    """Assert that both responses of every round were drawn with these parameters, of shape (T, d)."""
    unit = check.subject.unit
    for t, (played, pair) in enumerate(zip(run.rounds, run.pairs, strict=True)):
        assert_drawn(unit, played, pair.one, first[t])
        assert_drawn(unit, played, pair.two, second[t])
        known = (first[t], second[t])
        strangers = [own for own, _ in draws(played) if not any(is_same(unit, own, each) for each in known)]
        assert not strangers, f"round {t} draws with {strangers[0]}, its parameter is {run.result.thetas[t].tolist()}"


def assert_ledger(run: Learned, samples: int, rewards: int, enumerated: int = 0) -> None:
    expected = Ledger(samples=samples, rewards=rewards, enumerated=enumerated)
    assert run.ledger == expected, f"the ledger is {run.ledger}, such a run costs {expected}"


@pytest.mark.guarantee("O1", needs=["passive_learner"])
@designed([DESIGNED], named("passive-learner", "on-policy"))
@instances(problem=PROBLEMS, rounds=ROUNDS)
def test_the_passive_learner_asks_two_base_responses_and_two_rewards_a_round(
    check: Check, problem: TabularProblem, rounds: int
) -> None:
    run = learn(check, "passive_learner", problem, rounds)
    assert_ledger(run, 2 * rounds, 2 * rounds)
    base = np.zeros((rounds, problem.dimension))
    assert_proper(check, run, base, base)


@pytest.mark.guarantee("O1", needs=["best_of_n"])
@designed([{**DESIGNED, "count": 5}], named("best-of-n", "of-one"))
@instances(problem=PROBLEMS, rounds=ROUNDS, count=st.integers(1, 64))
def test_best_of_n_learns_from_base_responses_and_pays_for_as_many_as_it_was_told(
    check: Check, problem: TabularProblem, rounds: int, count: int
) -> None:
    run = learn(check, "best_of_n", problem, rounds, count=count)
    assert_ledger(run, 2 * rounds, 2 * rounds)
    base = np.zeros((rounds, problem.dimension))
    assert_proper(check, run, base, base)
    assert run.result.count == count, f"an output costs {run.result.count} samples, not {count}"


@pytest.mark.guarantee("O1", needs=["online_dpo"])
@designed(
    [{"problem": CHAIN, "rounds": 16, "feedback": feedback} for feedback in ("reward", "preference")],
    named(
        "online-dpo", "rewards-for-labels best-of-draws two-parameters after-the-prompt kept-response base-responses"
    ),
)
@instances(problem=PROBLEMS, rounds=ROUNDS, feedback=FEEDBACK)
def test_online_dpo_draws_both_responses_with_the_parameter_of_its_round(
    check: Check, problem: TabularProblem, rounds: int, feedback: str
) -> None:
    run = learn(check, "online_dpo", problem, rounds, feedback=feedback)
    assert_ledger(run, 2 * rounds, rounds if feedback == "preference" else 2 * rounds)
    assert_proper(check, run, run.result.thetas, run.result.thetas)


@pytest.mark.guarantee("O1", needs=["xpo"])
@designed(
    [{**DESIGNED, "feedback": "reward", "partition_samples": 4}], named("xpo", "on-policy-second partition-twice")
)
@instances(problem=PROBLEMS, rounds=ROUNDS, feedback=FEEDBACK, partition_samples=st.integers(1, 8))
def test_xpo_draws_against_the_base_policy_and_estimates_each_partition_once(
    check: Check, problem: TabularProblem, rounds: int, feedback: str, partition_samples: int
) -> None:
    plan = {"alpha": 0.5, "feedback": feedback, "partition_samples": partition_samples}
    run = learn(check, "xpo", problem, rounds, **plan)
    prompts = len({pair.prompt for pair in run.pairs})
    assert_ledger(run, 2 * rounds + prompts * partition_samples, rounds if feedback == "preference" else 2 * rounds)
    assert_proper(check, run, run.result.thetas, np.zeros((rounds, problem.dimension)))


@pytest.mark.guarantee("O1", needs=["elliptical_enumeration"])
@designed([{**DESIGNED, "ridge": 1.0}], named("elliptical-enumeration", "one-reward listed-once"))
@instances(problem=PROBLEMS, rounds=ROUNDS, ridge=st.sampled_from([1.0, 0.1, 4.0]))
def test_elliptical_enumeration_lists_all_responses_and_draws_none(
    check: Check, problem: TabularProblem, rounds: int, ridge: float
) -> None:
    """So it is improper: no policy drew its pairs."""
    run = learn(check, "elliptical_enumeration", problem, rounds, ridge=ridge)
    assert_ledger(run, 0, 2 * rounds, rounds * problem.responses)


@pytest.mark.guarantee("T6", needs=["elliptical_enumeration"])
@designed(
    [{"problem": ONE_PROMPT, "rounds": 8, "ridge": 1.0}],
    named("elliptical-enumeration", "nearest fixed-sigma subtracted"),
)
@instances(problem=PROBLEMS, rounds=ROUNDS, ridge=st.sampled_from([1.0, 0.1, 4.0]))
def test_elliptical_enumeration_asks_about_the_least_certain_pair(
    check: Check, problem: TabularProblem, rounds: int, ridge: float
) -> None:
    run = learn(check, "elliptical_enumeration", problem, rounds, ridge=ridge)
    sigma = ridge * np.eye(problem.dimension)
    for t, pair in enumerate(run.pairs):
        features = problem.features[pair.prompt]
        relative = features[:, None] - features[None]
        squares = np.einsum("abi,ij,abj->ab", relative, np.linalg.inv(sigma), relative)
        own, largest = float(squares[pair.one, pair.two]), float(squares.max())
        length = reach(features)
        allowed = 2.0 * inverse_error(check.subject.unit, sigma, t, length) * length**2
        assert_at_least(check, f"square norm of the pair of round {t}, by the largest", own, largest, allowed)
        sigma = sigma + np.outer(relative[pair.one, pair.two], relative[pair.one, pair.two])


def fitted_data(problem: TabularProblem, pairs: Sequence[RoundPair]) -> tuple[FloatArray, FloatArray]:
    vectors = [problem.features[pair.prompt, pair.one] - problem.features[pair.prompt, pair.two] for pair in pairs]
    return np.array(vectors).reshape(-1, problem.dimension), np.array([pair.target for pair in pairs], dtype=np.float64)


def parameters(run: Learned) -> list[FloatArray]:
    """Of every round, and of the policy: the `t`-th is fitted to the first `t` rounds."""
    return [*run.result.thetas, run.result.theta]


def assert_least_squares(check: Check, problem: TabularProblem, run: Learned) -> None:
    for t, theta in enumerate(parameters(run)):
        data, size = fitted_data(problem, run.pairs[:t]), size_of(problem, run.rounds[:t])
        assert_fit(check, f"on the data of {t} rounds", data, theta, problem.shape(problem.radius), size)


@pytest.mark.guarantee("E6", needs=["passive_learner"])
@designed(
    [DESIGNED, {"problem": ON_THE_SPHERE, "rounds": 8}], named("passive-learner", "one-round-late doubled-radius")
)
@instances(problem=PROBLEMS, rounds=ROUNDS)
def test_the_passive_learner_fits_all_rounds_so_far(check: Check, problem: TabularProblem, rounds: int) -> None:
    assert_least_squares(check, problem, learn(check, "passive_learner", problem, rounds))


@pytest.mark.guarantee("E6", needs=["passive_learner", "box_fit"])
@designed([IN_BOX], named("passive-learner", "ball-for-box doubled-radius"))
@instances(problem=BOXES, rounds=ROUNDS)
def test_the_passive_learner_fits_in_the_box(check: Check, problem: TabularProblem, rounds: int) -> None:
    assert_least_squares(check, problem, learn(check, "passive_learner", problem, rounds))


@pytest.mark.guarantee("E6", needs=["best_of_n", "box_fit"])
@designed([IN_BOX], named("best-of-n", "worst"))
@instances(problem=BOXES, rounds=ROUNDS)
def test_best_of_n_fits_in_the_box(check: Check, problem: TabularProblem, rounds: int) -> None:
    assert_least_squares(check, problem, learn(check, "best_of_n", problem, rounds, count=4))


@pytest.mark.guarantee("E6", needs=["elliptical_enumeration", "box_fit"])
@designed([IN_BOX], named("elliptical-enumeration", "ball-for-box"))
@instances(problem=BOXES, rounds=ROUNDS)
def test_elliptical_enumeration_fits_in_the_box(check: Check, problem: TabularProblem, rounds: int) -> None:
    assert_least_squares(check, problem, learn(check, "elliptical_enumeration", problem, rounds, ridge=1.0))


@pytest.mark.guarantee("E6", needs=["best_of_n"])
@designed([DESIGNED], named("best-of-n", "worst"))
@instances(problem=PROBLEMS, rounds=ROUNDS)
def test_best_of_n_fits_all_rounds_so_far(check: Check, problem: TabularProblem, rounds: int) -> None:
    assert_least_squares(check, problem, learn(check, "best_of_n", problem, rounds, count=4))


@pytest.mark.guarantee("E6", needs=["elliptical_enumeration"])
@designed([DESIGNED], named("elliptical-enumeration", "one-reward"))
@instances(problem=PROBLEMS, rounds=ROUNDS)
def test_elliptical_enumeration_fits_all_rounds_so_far(check: Check, problem: TabularProblem, rounds: int) -> None:
    assert_least_squares(check, problem, learn(check, "elliptical_enumeration", problem, rounds, ridge=1.0))


@pytest.mark.guarantee("E6", needs=["online_dpo"])
@designed(
    [{**DESIGNED, "feedback": "reward"}, {"problem": ON_THE_SPHERE, "rounds": 8, "feedback": "preference"}],
    named("online-dpo", "wrong-sign not-relative swapped-label without-radius"),
)
@instances(problem=PROBLEMS, rounds=ROUNDS, feedback=FEEDBACK)
def test_online_dpo_minimises_its_loss_on_the_ball(
    check: Check, problem: TabularProblem, rounds: int, feedback: str
) -> None:
    assert_online_dpo(check, problem, rounds, feedback)


@pytest.mark.guarantee("E6", needs=["online_dpo", "box_fit"])
@designed(
    [{**IN_BOX, "feedback": feedback} for feedback in ("reward", "preference")],
    named("online-dpo", "ball-for-box ball-projected"),
)
@instances(problem=BOXES, rounds=ROUNDS, feedback=FEEDBACK)
def test_online_dpo_minimises_its_loss_in_the_box(
    check: Check, problem: TabularProblem, rounds: int, feedback: str
) -> None:
    assert_online_dpo(check, problem, rounds, feedback)


@pytest.mark.guarantee("E6", needs=["xpo", "box_fit"])
@designed([{**IN_BOX, "feedback": "reward", "alpha": 0.5, "partition_samples": 16}], named("xpo", "ball-projected"))
@instances(problem=BOXES, rounds=ROUNDS, feedback=FEEDBACK, alpha=st.sampled_from([0.1, 1.0]),
    partition_samples=st.sampled_from([4, 16]),
)  # fmt: skip
def test_xpo_minimises_its_optimistic_loss_in_the_box(
    check: Check, problem: TabularProblem, rounds: int, feedback: str, alpha: float, partition_samples: int
) -> None:
    plan = {"alpha": alpha, "feedback": feedback, "partition_samples": partition_samples}
    run = learn(check, "xpo", problem, rounds, **plan)
    assert_stationary(check, problem, run, feedback, alpha)


@pytest.mark.guarantee("E6", needs=["xpo"])
@designed(
    [{"problem": CHAIN, "rounds": 24, "feedback": "reward", "alpha": 0.5, "partition_samples": 16}],
    named("xpo", "pessimistic bonus-on-first distinct-partition null-in-partition pair-in-partition without-optimism"),
)
@instances(
    problem=PROBLEMS, rounds=ROUNDS, feedback=FEEDBACK, alpha=st.sampled_from([0.1, 0.0, 1.0]),
    partition_samples=st.sampled_from([4, 1, 16]),
)  # fmt: skip
def test_xpo_minimises_its_optimistic_loss_on_the_ball(
    check: Check, problem: TabularProblem, rounds: int, feedback: str, alpha: float, partition_samples: int
) -> None:
    """The loss is not convex: a stationary point of the ball, no higher than the parameter before. 0 is OnlineDPO's."""
    plan = {"alpha": alpha, "feedback": feedback, "partition_samples": partition_samples}
    run = learn(check, "xpo", problem, rounds, **plan)
    assert_stationary(check, problem, run, feedback, alpha)


def assert_online_dpo(check: Check, problem: TabularProblem, rounds: int, feedback: str) -> None:
    """Assert that every parameter of a run of OnlineDPO minimises the loss of its feedback."""
    run = learn(check, "online_dpo", problem, rounds, feedback=feedback)
    if feedback == "reward":
        assert_least_squares(check, problem, run)
    else:
        assert_stationary(check, problem, run, feedback, 0.0)


def assert_stationary(check: Check, problem: TabularProblem, run: Learned, feedback: str, alpha: float) -> None:
    """Assert that every parameter is stationary on the set of parameters for its loss, and not above the one before.

    Judged by `optimality_gap`, the most that the loss falls to first order on the way to another parameter of the set.
    It is 0 at stationary parameters, and has no step at the boundary.
    """
    partitions: dict[Prompt, Counter[int]] = {}
    before, radius, unit = run.result.thetas[0], problem.radius, check.subject.unit
    within = problem.shape(radius)
    half = half_digits(unit, problem.dimension)
    for t, theta in enumerate(parameters(run)):
        assert_inside(check, f"of theta after {t} rounds", theta, within)
        pairs = run.pairs[:t]
        if t > 0 and alpha > 0.0:
            base_draws(run.rounds[t - 1], pairs[-1], before, partitions)
        here = loss_at(problem, pairs, theta, feedback, alpha, partitions)
        slope, noise = float(np.linalg.norm(here.gradient)), here.noise(unit)
        off = stationary_error(slope, here.curvature, noise, here.steepness, radius, half)
        fall = optimality_gap(within, theta, here.gradient)
        assert_at_most(check, f"the loss of {t} rounds falls from theta, to first order by", fall, 0.0, off)
        earlier = loss_at(problem, pairs, before, feedback, alpha, partitions)
        words = f"the loss of {t} rounds, and before it was fitted"
        moved = half * radius * (slope + here.curvature * half * radius)
        assert_at_most(check, words, here.value, earlier.value, noise + earlier.noise(unit) + moved)
        before = theta


def base_draws(played: Round, pair: RoundPair, theta: FloatArray, partitions: dict[Prompt, Counter[int]]) -> None:
    """Add what a round drew from the base policy apart from its pair; at parameter 0 the first is such a draw too."""
    drawn: Counter[int] = Counter(response for theta, response in draws(played) if theta is None)
    for entry in played.queries:
        if entry.name == "sample_counts":
            drawn.update(dict(zip(map(int, entry.answer.responses.ids), map(int, entry.answer.counts), strict=True)))
    drawn.subtract([pair.two] if np.any(theta) else [pair.one, pair.two])
    known = partitions.setdefault(pair.prompt, Counter())
    if not known:
        known.update(+drawn)


@dataclass(frozen=True)
class LossAt:
    """Loss of A3 at a parameter.

    Attributes
    ----------
    value, size : float
        Its value, and the magnitude of its terms.
    gradient : array, shape (d,)
    curvature : float
        At least the norm of its second derivatives.
    steepness : float
        The largest change of a term with the parameter, relative to what is rounded in it.
    steps : int
        Number of its terms and of the operations on each.
    """

    value: float
    size: float
    gradient: FloatArray
    curvature: float
    steepness: float
    steps: int

    def noise(self, unit: float) -> float:
        """Rounding of the value."""
        return gamma(self.steps, unit) * self.size


def loss_at(
    problem: TabularProblem,
    pairs: Sequence[RoundPair],
    theta: FloatArray,
    feedback: str,
    alpha: float,
    partitions: dict[Prompt, Counter[int]],
) -> LossAt:
    """Loss of A3 in plain sums."""
    value, size, gradient, curvature, steepness = 0.0, 0.0, np.zeros(problem.dimension), 0.0, 1.0
    for pair in pairs:
        features = problem.features[pair.prompt]
        v = features[pair.one] - features[pair.two]
        margin, square = float(theta @ v), reach(features) ** 2
        if feedback == "reward":
            terms = [((margin - pair.target) ** 2, 2.0 * (margin - pair.target) * v)]
            size += (abs(margin) + abs(pair.target) + problem.radius * reach(features)) ** 2
            curvature += 2.0 * square
        else:
            terms = [(float(np.logaddexp(0.0, -pair.target * margin)), -pair.target * expit(-pair.target * margin) * v)]
            size += 1.0 + problem.radius * reach(features)
            curvature += square / 4.0
        if alpha > 0.0:
            listed = np.array(list(partitions[pair.prompt]))
            weights = np.log(np.array([partitions[pair.prompt][each] for each in listed], dtype=np.float64))
            exponents = weights - logsumexp(weights) + features[listed] @ theta / problem.beta
            mean = np.exp(exponents - logsumexp(exponents)) @ features[listed]
            likelihood = float(features[pair.two] @ theta) / problem.beta - float(logsumexp(exponents))
            terms.append((alpha * likelihood, alpha * (features[pair.two] - mean) / problem.beta))
            size += alpha * (1.0 + problem.radius * reach(features) / problem.beta)
            curvature += alpha * square / problem.beta**2
            steepness = reach(features) / problem.beta
        value += sum(term for term, _ in terms)
        gradient = gradient + sum(slope for _, slope in terms)
    return LossAt(value, size, gradient, curvature, max(1.0, steepness), len(pairs) + 8 * (problem.dimension**2 + 8))
