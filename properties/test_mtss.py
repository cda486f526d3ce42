"""MTSS (A4) on small processes of layers: its fits, its searches, its core-sets, and what a certain run has learned.

Where outcomes are judged exactly, everything random in them is decided but for a probability below 1e-12: pilots are so
large that means of weights are exact, policies take one action, or draws are so many that every action comes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from spanver.episodic import States
from spanver.exact.layered import layered_gap, log_anchored_law, policy_q
from spanver.guarantees.multi_turn import log_search_p_value
from spanver.guarantees.rounding import UNIT, inverse_error, log_normaliser_error, norm_error, reach
from spanver.guarantees.spanner import spanner_size_bound
from spanver.learners.core_sets import Pairs, joined, no_pairs, precision_of, squared_norms, with_anchor
from spanver.learners.mtss import MTSSSettings
from spanver.learners.softmax_sampler import sampler_trials
from spanver.oracles.episodic import episodic_oracle
from spanver.policies import AnchoredPolicy, TruncatedSoftmax
from spanver.problems.layered import LayeredMDP
from spanver.problems.tokens import TokenProblem, as_mdp
from spanver.runs.settings import most_of_printed_run
from spanver.strategies import token_problems
from spanver.subjects.results import MTSSResult
from spanver.values import FloatArray, IntArray
from spanver.verification.check import Check, expect
from spanver.verification.design import designed
from spanver.verification.experiment import Experiment, mean_experiment
from spanver.verification.search import experiments, instances
from spanver.verification.transcript import RecordingEpisodicOracle, episodic_recount

from .designs import FORKS, LAYERED, RARE_IN_ONE, SHARES, THREE_ACTIONS, TWO_TOKENS, in_box, layered_of, named
from .rounded import assert_at_most, assert_fit, assert_near, says_nothing

Problem = TokenProblem | LayeredMDP

PROBLEMS = token_problems(max_vocabulary_size=2, betas=(1.0, 0.25))
ONE_PROMPT = token_problems(max_prompts=1, max_horizon=2, max_vocabulary_size=2, betas=(1.0, 0.25), weights=(1.0, 0.5))
SMALL = token_problems(max_horizon=2, max_vocabulary_size=2, betas=(1.0, 0.25), weights=(1.0, 0.5))
EXACT_PILOTS = 2.0**40  # of the multiplier: pilots are so large that their means are exact
RARELY = 1e-12  # probability that something judged as certain fails


def process_of(problem: Problem) -> LayeredMDP:
    return as_mdp(problem) if isinstance(problem, TokenProblem) else problem


def settings_of(**changes: Any) -> MTSSSettings:
    usual: dict[str, Any] = {
        "iterations": 8,
        "regression_rollouts": 2,
        "span_rollouts": 2,
        "base_draws": 3,
        "multiplier": 3.0,
        "failure": 0.25,
        "ridge": 1.0,
        "nu": 0.5,
        "threshold": 1.0,
    }
    return MTSSSettings(**(usual | changes))


def opened(
    check: Check, problem: LayeredMDP, purpose: str = "oracle"
) -> tuple[RecordingEpisodicOracle, list[IntArray]]:
    """An oracle that issued every state which follows on some first states, where these are certain; and the states."""
    oracle = episodic_oracle(problem, seed=check.seed(purpose))
    issued = [np.unique(oracle.start(4).ids)]
    for layer in range(problem.horizon - 1):
        after = [
            oracle.step(oracle.reset(layer, issued[-1]), np.full(len(issued[-1]), action))
            for action in range(problem.actions)
        ]
        issued.append(np.unique(np.concatenate([each.ids for each in after])))
    return RecordingEpisodicOracle(oracle), issued


def pairs_of(problem: LayeredMDP, layer: int, states: Sequence[int], actions: Sequence[int]) -> Pairs:
    """Pairs of a layer, relative to the anchor of the problem."""
    x, a = np.array(states, dtype=np.int64), np.array(actions, dtype=np.int64)
    anchors = np.full(len(x), problem.anchor)
    phi = problem.features[layer]
    return Pairs(x, a, anchors, phi[x, a] - phi[x, anchors])


def every_pair(problem: LayeredMDP, layer: int, states: IntArray) -> Pairs:
    """Pairs of these states with every action."""
    actions = np.tile(np.arange(problem.actions), len(states))
    return pairs_of(problem, layer, states.repeat(problem.actions).tolist(), actions.tolist())


def policy_of(
    problem: LayeredMDP, cores: Sequence[Pairs], thetas: FloatArray, settings: MTSSSettings
) -> AnchoredPolicy:
    layers = [
        TruncatedSoftmax(theta, precision_of(core, settings.ridge), settings.nu)
        for core, theta in zip(cores, thetas, strict=True)
    ]
    return AnchoredPolicy(tuple(layers), False, problem.anchor)


def squares_error(check: Check, problem: LayeredMDP, layer: int, core: Pairs, squares: FloatArray, ridge: float) -> Any:
    """Error of squared norms by the `Sigma` of a core-set."""
    norms, sigma = np.sqrt(squares), ridge * np.eye(problem.dimension) + core.vectors.T @ core.vectors
    off = norm_error(check.subject.unit, norms, sigma, reach(problem.features[layer]), len(core))
    return off * (2.0 * norms + off)


# FitValue


def pilot_error(problem: LayeredMDP, law: Sequence[FloatArray], first: int, settings: MTSSSettings) -> float:
    """Error of the log ratios of a return, whose pilots estimate mean weights (Hoeffding's inequality)."""
    trials = sampler_trials(settings.multiplier, settings.failure)
    coverage = [
        float(np.exp((own[base > -np.inf] - base[base > -np.inf]).max()))
        for own, base in zip(law, problem.log_base, strict=True)
    ]
    each = math.sqrt(math.log(2.0 / RARELY) / (2.0 * trials))
    return problem.beta * sum(2.0 * each * most for most in coverage[first:])


def rounding_of_returns(check: Check, problem: LayeredMDP, thetas: FloatArray, first: int, largest: float) -> float:
    """Error by rounding of a return and of its difference to another."""
    unit, total = check.subject.unit, 0.0
    for base, phi, theta in zip(problem.log_base[first:], problem.features[first:], thetas[first:], strict=True):
        scores = phi @ theta
        off = log_normaliser_error(unit, base, scores, problem.beta, (16 + len(theta)) * (unit + UNIT) * np.abs(scores))
        total += problem.beta * float(off.max())
    return 4.0 * total + 64 * problem.horizon * (unit + UNIT) * (1.0 + largest)


SURE = np.array([[0.0, 0.0], [2.0, 4.0]])  # exponents of 40 and 80: one action has all mass
REPEATED: list[list[int]] = [[], [1] * 4]  # actions of the pairs of every layer but that of the fit, in every state
FIT_MISTAKES = (
    "base-rollouts no-kl kl-sign ratio-without-beta no-normaliser untruncated all-truncated "
    "sigma-of-first-layer ridge-alone first-arm-alone swapped-sign last-reward-alone"
)


@pytest.mark.guarantee("MT7", needs=["fit_value"])
@designed(
    [
        {"problem": LAYERED, "thetas": None, "nu": 16.0, "rollouts": 2, "failure": 0.25},
        {"problem": FORKS, "thetas": None, "nu": 16.0, "rollouts": 2, "failure": 0.25},
        # One call of the sampler in 270 accepts nothing.
        {"problem": LAYERED, "thetas": None, "nu": 16.0, "rollouts": 512, "failure": 0.99},
        {"problem": THREE_ACTIONS, "thetas": SURE, "nu": 0.5, "rollouts": 2, "failure": 0.25},
        {"problem": RARE_IN_ONE, "thetas": 20.0 * SURE, "nu": 0.5, "rollouts": 2, "failure": 0.25},
    ],
    [*named("fit-value", FIT_MISTAKES), "independent-mtss-truncation-at-square"],
)
@instances(problem=PROBLEMS, thetas=st.none(), nu=st.just(16.0), rollouts=st.just(2), failure=st.just(0.25))
def test_targets_are_differences_of_the_values_of_the_policy(
    check: Check, problem: Problem, thetas: FloatArray | None, nu: float, rollouts: int, failure: float
) -> None:
    process = process_of(problem)
    repeated = REPEATED  # of parameters of which one action has all mass, so that every return is the same
    if thetas is None:  # the true ones, of which every return is the optimal value
        assert process.theta_star is not None
        thetas, repeated = process.theta_star, [[]] * process.horizon
    settings = settings_of(multiplier=EXACT_PILOTS, failure=failure, regression_rollouts=rollouts, nu=nu, ridge=0.0625)
    law_cores = [
        joined([pairs_of(process, layer, [x] * len(some), some) for x in range(len(process.log_base[layer]))])
        for layer, some in enumerate(repeated)
    ]
    law = log_anchored_law(process, policy_of(process, law_cores, thetas, settings))
    values = policy_q(process, law)
    for layer in range(process.horizon):
        oracle, issued = opened(check, process)
        core = every_pair(process, layer, issued[layer])
        cores = [core if each == layer else own for each, own in enumerate(law_cores)]
        fit = check.call("fit_value", oracle, layer, cores, thetas, settings=settings, seed=check.seed("fit", layer))
        q = values[layer]
        expected = q[core.states, core.actions] - q[core.states, core.anchors]
        expect(len(fit.targets) == len(core), "the number of targets", len(fit.targets), len(core))
        largest = float(np.abs(q).max())
        allowed = 2.0 * pilot_error(process, law, layer + 1, settings)
        allowed += rounding_of_returns(check, process, thetas, layer + 1, largest)
        told = core.actions != core.anchors  # of the anchor's own pairs nothing is asked
        assert_near(check, f"a target in layer {layer + 1}", fit.targets[told], expected[told], allowed)


FIT = {"problem": FORKS, "radius": 0.125}


@pytest.mark.guarantee("E6", "O1", needs=["fit_value"])
@designed([FIT], named("fit-value", "radius-doubled radius-halved duplicates-once"))
@instances(problem=PROBLEMS, radius=st.sampled_from([1.0, 0.125]))
def test_the_parameter_of_a_layer_is_the_least_squares_fit_to_its_targets(
    check: Check, problem: TokenProblem, radius: float
) -> None:
    # In a small ball the problem is not realizable, and the constraint is active.
    judge_fits(check, replace(problem, radius=radius * problem.radius, theta_star=None))


@pytest.mark.guarantee("E6", "O1", needs=["fit_value", "box_fit"])
@designed(
    [{"problem": TWO_TOKENS, "share": 0.125}, {"problem": FORKS, "share": 0.125}],
    named("fit-value", "ball-for-box radius-doubled"),
)
@instances(problem=PROBLEMS, share=SHARES)
def test_the_parameter_of_a_layer_is_fitted_in_the_box(check: Check, problem: TokenProblem, share: float) -> None:
    judge_fits(check, in_box(problem, share))


def judge_fits(check: Check, problem: TokenProblem) -> None:
    process, settings = as_mdp(problem), settings_of()
    for layer in range(process.horizon):
        oracle, issued = opened(check, process)
        core = every_pair(process, layer, issued[layer])
        core = joined([core, *([core[: process.actions]] * 3)])  # pairs of one state several times
        cores = [core if each == layer else no_pairs(process.dimension) for each in range(process.horizon)]
        thetas, seed, before = np.zeros((process.horizon, process.dimension)), check.seed("fit", layer), oracle.ledger
        fit = check.call("fit_value", oracle, layer, cores, thetas, settings=settings, seed=seed)
        data, parameters = (core.vectors, fit.targets), process.shape(process.radius)
        assert_fit(check, f"of layer {layer + 1}", data, fit.theta, parameters)
        spent, recounted = oracle.ledger - before, episodic_recount(oracle.queries)
        assert spent == recounted, f"the ledger grew by {spent}, the answers add up to {recounted}"


def averaged(rewards: tuple[float, float], rollouts: int) -> float:
    """Variance of a target, the mean difference of rewards that are 0 or 1 with these means."""
    return sum(reward * (1.0 - reward) for reward in rewards) / rollouts


def drawn_once(rewards: tuple[float, float], rollouts: int) -> float:
    """Effect of rewards that are drawn once for all rollouts."""
    one, other = rewards
    law = {(0, 0): (1 - one) * (1 - other), (0, 1): (1 - one) * other, (1, 0): one * (1 - other), (1, 1): one * other}
    off = sum(chance * min(1.0, (b - a - other + one) ** 2) for (a, b), chance in law.items())
    return off - averaged(rewards, rollouts)


@pytest.mark.guarantee("MT7", needs=["fit_value"])
@designed([{"rewards": (0.5, 0.5), "rollouts": 64}], {"fit-value-own-reward-once": drawn_once})
@experiments(
    rewards=st.tuples(st.sampled_from([0.5, 0.25, 0.75]), st.sampled_from([0.5, 0.25])), rollouts=st.integers(8, 64)
)
def test_noise_of_rewards_averages_over_rollouts(
    check: Check, rewards: tuple[float, float], rollouts: int
) -> Experiment:
    problem = layered_of([[[0.5, 0.5]]], [[list(rewards)]], noise=1.0)
    problem = replace(problem, reward_range=1.0)
    core, settings = pairs_of(problem, 0, [0], [1]), settings_of(regression_rollouts=rollouts)
    expected, thetas = rewards[1] - rewards[0], np.zeros((1, problem.dimension))

    def observe(count: int, seed: int) -> Sequence[float]:
        def make(index: int) -> Any:
            oracle = episodic_oracle(problem, seed=check.seed(f"oracle/{seed}", index))
            oracle.start(1)
            own = check.seed(f"fit/{seed}", index)
            return (RecordingEpisodicOracle(oracle), 0, [core], thetas), {"settings": settings, "seed": own}

        fits = (fit for _, fit in check.calls("fit_value", make, count))
        return [min(1.0, (float(fit.targets[0]) - expected) ** 2) for fit in fits]

    of = f"squared error of a target of {rollouts} rollouts"
    return mean_experiment(check, observe, averaged(rewards, rollouts), of=of)


# UncertainStateAction

# Rollouts and draws of the base policy so many that what has a quarter of the probability comes: (3/4)^128 is 1e-16.
MANY, LEAST = 128, 0.25

# The sampler has the law of the policy only where its coverage is below a quarter of the multiplier.
SAMPLED = token_problems(max_vocabulary_size=2, betas=(1.0, 0.25), weights=(1.0, 0.5, 0.0, 1e-3))

CHAIN = layered_of(  # action 1 of the first layer, and with it state 1 of the second, is as good as never drawn
    [[[1.0, 1e-16]], [[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5]] * 4], [[[0.0, 0.0]], [[0.0, 0.0]] * 2, [[0.0, 0.0]] * 4]
)
RARE_ANCHOR = replace(  # as is the anchor, action 0
    layered_of([[[1e-16, 1.0]], [[0.5, 0.5], [0.5, 0.5]]], [[[0.0, 0.0]], [[0.0, 0.0]] * 2]), theta_star=None
)
PREFERRED = layered_of(  # action 1 of the first layer is rare, and a policy takes it
    [[[1.0 - 1e-6, 1e-6]], [[0.5, 0.5], [0.5, 0.5]]], [[[0.0, 0.0]], [[0.0, 0.0]] * 2]
)
SEARCH_MISTAKES = (
    "from-start-alone last-layer-alone no-twins no-base-draws base-rollouts first-found smallest euclidean "
)
SEARCH_MISTAKES += "sigma-itself sigma-of-first-layer"
COVERED = {"first": slice(1), "last": slice(-1, None), "others": slice(-1)}
"""Of the states of a layer."""


@pytest.mark.guarantee("MT5", needs=["uncertain_state_action"])
@designed(
    [
        {"problem": CHAIN, "scale": 0.0, "repeated": 0, "earlier": False, "covered": "first"},
        {"problem": CHAIN, "scale": 0.0, "repeated": 2, "earlier": True, "covered": "first"},
        {"problem": CHAIN, "scale": 0.0, "repeated": 2, "earlier": True, "covered": "last"},
        {"problem": CHAIN, "scale": 0.0, "repeated": 2, "earlier": True, "covered": "others"},
        {"problem": RARE_ANCHOR, "scale": 0.0, "repeated": 1, "earlier": True, "covered": "last"},
        {"problem": LAYERED, "scale": 64.0, "repeated": 2, "earlier": False, "covered": "last"},
        {"problem": PREFERRED, "scale": 64.0, "repeated": 2, "earlier": False, "covered": "first"},
        {"problem": THREE_ACTIONS, "scale": 1.0, "repeated": 1, "earlier": False, "covered": "first"},
    ],
    [*named("search", SEARCH_MISTAKES), "independent-mtss-from-layer-before"],
)
@instances(
    problem=SAMPLED,
    scale=st.sampled_from([0.0, 1.0, 64.0]),
    repeated=st.integers(0, 3),
    earlier=st.booleans(),
    covered=st.sampled_from(list(COVERED)),
)
def test_a_search_returns_the_pair_of_largest_norm_that_it_can_meet(
    check: Check, problem: Problem, scale: float, repeated: int, earlier: bool, covered: str
) -> None:
    # The core-set of the layer holds a pair of some states several times, those of earlier layers one of the first, or
    # they are empty.
    process = process_of(problem)
    settings = settings_of(multiplier=EXACT_PILOTS, span_rollouts=MANY, base_draws=MANY, nu=4.0, ridge=0.25)
    thetas = scale * np.outer(np.ones(process.horizon), np.arange(process.dimension) + 1.0)
    for layer in range(process.horizon):
        oracle, issued = opened(check, process)
        held = [repeated if each == layer or (earlier and each < layer) else 0 for each in range(process.horizon)]
        cores = [
            times(count, process, each, states[COVERED[covered if each == layer else "first"]])
            for each, (states, count) in enumerate(zip(issued, held, strict=True))
        ]
        seed = check.seed("search", layer)
        found = check.call("uncertain_state_action", oracle, layer, cores, thetas, settings=settings, seed=seed)
        law = log_anchored_law(process, policy_of(process, cores, thetas, settings))
        likely, possible = met_by(process, layer, cores, law)
        expect(0 <= found.state < len(possible), "a state", found.state, f"below {len(possible)}")
        expect(0 <= found.action < process.actions, "an action", found.action, f"below {process.actions}")
        pair = f"the pair of state {found.state} and action {found.action} in layer {layer + 1}"
        expect(bool(possible[found.state, found.action]), pair, "returned", "one that rollouts or base draws meet")
        known = every_pair(process, layer, np.arange(len(possible)))
        squares = squared_norms(known, precision_of(cores[layer], settings.ridge)).reshape(possible.shape)
        off = squares_error(check, process, layer, cores[layer], squares, settings.ridge)
        own, largest = squares[found.state, found.action], float(squares[likely].max(initial=0.0))
        allowed = float(off[found.state, found.action] + off.max())
        check.judgeable(math.isfinite(allowed), says_nothing(check))
        least = f"at least {largest:.6g}, the largest that rollouts and base draws meet"
        expect(not own < largest - allowed, f"squared norm of {pair}", f"{own:.6g}", least)


def times(count: int, problem: LayeredMDP, layer: int, states: IntArray) -> Pairs:
    """A core-set that holds the last action in these states, and the anchor, several times."""
    pairs = [with_anchor(pairs_of(problem, layer, [state], [problem.actions - 1])) for state in states.tolist()]
    return joined([no_pairs(problem.dimension), *(count * pairs)])


def met_by(
    problem: LayeredMDP, layer: int, cores: Sequence[Pairs], law: Sequence[FloatArray]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pairs (S, A) of a layer a search meets but for a probability of `RARELY`, and which it may meet at all."""
    base, own = np.exp(problem.log_base[layer]), np.exp(law[layer])
    likely, possible = np.zeros(base.shape, dtype=bool), np.zeros(base.shape, dtype=bool)
    for first, arrived in starts_of(problem, layer, cores):
        masses = within = arrived
        for between in range(first, layer):
            actions, drawn = np.exp(law[between]), np.exp(problem.log_base[between])
            masses = problem.reached(between, masses[:, None] * actions)
            # Where no trial is accepted the base policy draws.
            within = problem.reached(between, within[:, None] * np.maximum(actions, drawn))
        likely |= (masses[:, None] >= LEAST) & ((base >= LEAST) | (masses[:, None] * own >= LEAST))
        possible |= within[:, None] * np.maximum(base, own) > RARELY / MANY
    return likely, possible


def starts_of(problem: LayeredMDP, layer: int, cores: Sequence[Pairs]) -> list[tuple[int, FloatArray]]:
    """The layer of every start of a search, and the law of its state there."""
    starts = [(0, problem.initial_law)]
    for earlier, core in enumerate(cores[:layer]):
        for state, action in zip(core.states, core.actions, strict=True):
            masses = np.zeros(problem.log_base[earlier].shape)
            masses[state, action] = 1.0
            starts.append((earlier + 1, problem.reached(earlier, masses)))
    return starts


def arrivals(problem: LayeredMDP, layer: int, cores: Sequence[Pairs], law: Sequence[FloatArray]) -> FloatArray:
    """Law of the state of a layer that a rollout comes to, of every start of a search: shape (n, S)."""
    arrived = []
    for first, begun in starts_of(problem, layer, cores):
        masses = begun
        for between in range(first, layer):
            masses = problem.reached(between, masses[:, None] * np.exp(law[between]))
        arrived.append(masses)
    return np.array(arrived)


# Of p-values that count: rounding cannot matter.
LEVEL = 0.02 * (1.0 + 1e-9)

Left = Callable[[FloatArray, FloatArray, FloatArray, NDArray[np.bool_]], FloatArray]
"""What a search leaves of every start, shape (n,), given the law (n, S) of the state that a rollout comes to, the laws
(S, A) of the policy and of the base policy, and which pairs (S, A) are above the one found."""


def leftover_experiment(
    check: Check, problem: Problem, scale: float, repeated: int, settings: MTSSSettings, left: Left
) -> Experiment:
    """Observe the share of starts of a search of the last layer whose p-value is at most `LEVEL`.

    The core-set of every layer holds one pair, several times.
    """
    process, rollouts = process_of(problem), settings.span_rollouts
    layer, horizon = process.horizon - 1, process.horizon
    thetas = scale * np.outer(np.ones(horizon), np.arange(process.dimension) + 1.0)
    _, issued = opened(check, process)
    pairs = [pairs_of(process, each, [states[0]], [process.actions - 1]) for each, states in enumerate(issued)]
    cores = [joined([no_pairs(process.dimension), *[pair] * repeated]) for pair in pairs]
    law = log_anchored_law(process, policy_of(process, cores, thetas, settings))
    arrived, own, base = arrivals(process, layer, cores, law), np.exp(law[layer]), np.exp(process.log_base[layer])
    known = every_pair(process, layer, np.arange(len(base)))
    squares = squared_norms(known, precision_of(cores[layer], settings.ridge)).reshape(base.shape)
    off = float(squares_error(check, process, layer, cores[layer], squares, settings.ridge).max())
    check.judgeable(math.isfinite(off), says_nothing(check))

    def observe(count: int, seed: int) -> Sequence[float]:
        def make(index: int) -> Any:
            oracle, _ = opened(check, process, f"oracle/{seed}/{index}")
            named = {"settings": settings, "seed": check.seed(f"search/{seed}", index)}
            return (oracle, layer, cores, thetas), named

        seen = []
        for _, found in check.calls("uncertain_state_action", make, count):
            above = squares > squares[found.state, found.action] + 2.0 * off
            log_p_values = [log_search_p_value(rollouts, float(each)) for each in left(arrived, own, base, above)]
            seen.append(float(np.mean(np.array(log_p_values) <= math.log(LEVEL))))
        return seen

    of = f"share of starts of a search whose p-value is at most {LEVEL:.3g}"
    return mean_experiment(check, observe, LEVEL, of=of)


def one_state(*base: float) -> LayeredMDP:
    return layered_of([[list(base)]], [[[0.0] * len(base)]])


ROLLOUTS = 16  # of each start, on designed instances
UNMET = 0.02 ** (1.0 / ROLLOUTS)  # of the anchor, so that no rollout takes the other action with a probability of .02
BEHIND = layered_of([[[1.0, 1e-16]], [[0.5, 0.5]] * 2], [[[0.0, 0.0]], [[0.0, 0.0]] * 2])  # as CHAIN
LEFT = {
    "problem": ONE_PROMPT,
    "scale": st.sampled_from([0.0, 1.0, -1.0]),
    "repeated": st.integers(0, 3),
    "rollouts": st.sampled_from([1, 4, ROLLOUTS]),
}


def of_one_rollout(problem: LayeredMDP, scale: float, repeated: int, rollouts: int) -> float:
    """Effect of one rollout from the start, of a process of one state."""
    del scale, repeated
    chance = float(np.exp(problem.log_base[0][0, 0]))
    return chance - LEVEL if problem.horizon == 1 and chance**rollouts <= LEVEL else 0.0


def of_start_alone(problem: LayeredMDP, scale: float, repeated: int, rollouts: int) -> float:
    """Effect of rollouts from the start alone, where those from core-sets end above all that they meet."""
    del scale, rollouts
    return repeated / (1 + repeated) - LEVEL if problem.horizon == 2 else 0.0


def of_policy_alone(problem: LayeredMDP, scale: float, repeated: int, rollouts: int) -> float:
    """Effect of no draws of the base policy, where the policy takes the anchor alone."""
    del repeated
    return 1.0 - LEVEL if problem.horizon == 1 and scale <= -64.0 and rollouts >= 4 else 0.0


@pytest.mark.guarantee("MT10", needs=["uncertain_state_action"])
@designed(
    [{"problem": one_state(UNMET, 1.0 - UNMET), "scale": 0.0, "repeated": 0, "rollouts": ROLLOUTS}],
    {"search-one-rollout": of_one_rollout},
)
@experiments(**LEFT)
def test_rollouts_from_any_start_seldom_end_above_what_a_search_found(
    check: Check, problem: Problem, scale: float, repeated: int, rollouts: int
) -> Experiment:
    settings = settings_of(span_rollouts=rollouts, base_draws=0, multiplier=EXACT_PILOTS, nu=4.0, ridge=0.25)

    def left(arrived: FloatArray, own: FloatArray, base: FloatArray, above: NDArray[np.bool_]) -> FloatArray:
        del base
        return np.minimum(1.0, arrived @ (own * above).sum(axis=1))

    return leftover_experiment(check, problem, scale, repeated, settings, left)


@pytest.mark.guarantee("MT10", needs=["uncertain_state_action"])
@designed(
    [
        {"problem": one_state(0.5, 0.5), "scale": -64.0, "repeated": 0, "rollouts": ROLLOUTS},
        {"problem": BEHIND, "scale": 0.0, "repeated": 16, "rollouts": ROLLOUTS},
    ],
    {"search-no-base-draws": of_policy_alone, "search-from-start-alone": of_start_alone},
)
@experiments(**LEFT)
def test_rollouts_from_any_start_seldom_come_to_where_base_draws_are_often_above_what_a_search_found(
    check: Check, problem: Problem, scale: float, repeated: int, rollouts: int
) -> Experiment:
    settings = settings_of(span_rollouts=rollouts, base_draws=4, multiplier=EXACT_PILOTS, nu=4.0, ridge=0.25)

    def left(arrived: FloatArray, own: FloatArray, base: FloatArray, above: NDArray[np.bool_]) -> FloatArray:
        del own
        often = (base * above).sum(axis=1) > (1.0 + 1e-9) / settings.base_draws
        return np.minimum(1.0, -math.expm1(-1.0) * (arrived @ often))

    return leftover_experiment(check, problem, scale, repeated, settings, left)


# MTSS

RUN = {"problem": TWO_TOKENS, "iterations": 24, "threshold": 1.0}
RUNS = {"problem": SMALL, "iterations": st.integers(1, 12), "threshold": st.sampled_from([1.0, 0.25])}


def explored(check: Check, problem: Problem, settings: MTSSSettings) -> tuple[MTSSResult, RecordingEpisodicOracle]:
    oracle = RecordingEpisodicOracle(episodic_oracle(process_of(problem), seed=check.seed("oracle")))
    return check.call("mtss", oracle, settings=settings, seed=check.seed("learner")), oracle


def cores_before(problem: LayeredMDP, run: MTSSResult, iteration: int) -> list[Pairs]:
    """The core-sets that an iteration begins with, counted from 0, with the twins of anchors left out."""
    added = range(iteration)
    return [
        pairs_of(problem, layer, run.states[added, layer].tolist(), run.actions[added, layer].tolist())
        for layer in range(problem.horizon)
    ]


@pytest.mark.guarantee("MT4", needs=["mtss"])
@designed(
    [{**RUN, "iterations": 4}, RUN, {**RUN, "problem": FORKS, "iterations": 8}],
    named("mtss", "sigma-after last-iteration first-certain always-certain frozen-core-sets pairs-counted-twice"),
)
@instances(**RUNS)
def test_every_iteration_adds_a_pair_to_every_layer_and_the_last_certain_one_is_returned(
    check: Check, problem: Problem, iterations: int, threshold: float
) -> None:
    process, settings = process_of(problem), settings_of(iterations=iterations, threshold=threshold)
    run, oracle = explored(check, problem, settings)
    shape = (iterations, process.horizon, process.dimension)
    expect(run.thetas.shape == shape, "the shape of thetas", run.thetas.shape, shape)
    judge_added_pairs(check, process, run, oracle)
    assert not run.thetas[0].any(), "parameters of the first iteration, whose core-sets are empty, are not 0"
    worst, undecided = np.zeros(iterations), np.zeros(iterations)
    for iteration in range(iterations):
        for layer, core in enumerate(cores_before(process, run, iteration)):
            pair = pairs_of(process, layer, [run.states[iteration, layer]], [run.actions[iteration, layer]])
            squares = squared_norms(pair, precision_of(core, settings.ridge))
            off = squares_error(check, process, layer, core, squares, settings.ridge)
            of = f"squared norm of the pair that iteration {iteration + 1} added to layer {layer + 1}"
            assert_near(check, of, run.largest[iteration, layer], squares[0], off[0])
            if squares[0] > worst[iteration]:
                worst[iteration], undecided[iteration] = squares[0], off[0]
    certain = worst <= settings.tolerance
    if (np.abs(worst - settings.tolerance) > undecided).all():
        last = max(np.flatnonzero(certain) + 1, default=1)
        expect(run.certain == certain.any(), "whether the run is certain", run.certain, bool(certain.any()))
        expect(run.returned == last, "the iteration that is returned", run.returned, int(last))


@pytest.mark.guarantee("MT6", needs=["mtss"])
@designed([{"problem": TWO_TOKENS}], ["mtss-ridge-alone"])
@instances(problem=SMALL)
def test_few_iterations_of_a_run_are_uncertain(check: Check, problem: Problem) -> None:
    process, settings = process_of(problem), settings_of(iterations=24, nu=1.25)
    run, _ = explored(check, problem, settings)
    bound = spanner_size_bound(process.dimension, settings.ridge, math.sqrt(settings.tolerance))
    # A norm that is larger by rounding alone may be uncertain once more.
    least = settings.tolerance * (1.0 + math.sqrt(check.subject.unit))
    for layer, count in enumerate((run.largest > least).sum(axis=0).tolist(), start=1):
        of = f"iterations that found a squared norm above {settings.tolerance:g} in layer {layer}"
        expect(count <= bound, of, count, f"at most {bound}")
        check.tightness(count, bound)


def judge_added_pairs(check: Check, problem: LayeredMDP, run: MTSSResult, oracle: RecordingEpisodicOracle) -> None:
    """Every pair is one of a state that the oracle issued, and of an action that the base policy takes there."""
    for layer in range(problem.horizon):
        answers = [query.answer for query in oracle.queries]
        issued = [each.ids for each in answers if isinstance(each, States) and each.layer == layer]
        states, actions = run.states[:, layer], run.actions[:, layer]
        strange = np.setdiff1d(states, np.concatenate([np.empty(0, dtype=np.int64), *issued]))
        expect(len(strange) == 0, f"states of pairs in layer {layer + 1} that were never issued", strange, "none")
        inside = (actions >= 0) & (actions < problem.actions)
        expect(bool(inside.all()), f"actions of pairs in layer {layer + 1}", actions, f"below {problem.actions}")
        drawn = problem.log_base[layer][states, actions] > -np.inf
        expect(bool(drawn.all()), f"actions of pairs in layer {layer + 1}", actions[~drawn], "ones that were drawn")


@pytest.mark.guarantee("MT4", needs=["mtss"])
@designed(
    [{**RUN, "problem": FORKS, "iterations": 4}],
    named("mtss", "search-of-last-thetas search-of-base-policy sigma-in-the-loop fit-by-last-sigma"),
)
@instances(**RUNS)
def test_actions_of_a_run_are_those_of_the_policies_of_its_iterations(
    check: Check, problem: Problem, iterations: int, threshold: float
) -> None:
    process, settings = process_of(problem), settings_of(iterations=iterations, threshold=threshold)
    run, oracle = explored(check, problem, settings)
    asked = [query for query in oracle.queries if query.name == "sample_until"]
    check.judgeable(bool(asked), "the run makes trials itself, so that its scores are not known")
    for layer in range(process.horizon if asked else 0):
        scores = [query.arguments[0] for query in asked if query.prompt.layer == layer]
        cores = [cores_before(process, run, iteration)[layer] for iteration in range(iterations)]
        expected = [precision_of(core, settings.ridge) for core in cores]
        sigmas = [settings.ridge * np.eye(process.dimension) + core.vectors.T @ core.vectors for core in cores]
        length = reach(process.features[layer])
        allowed = [inverse_error(check.subject.unit, sigma, iterations, length) for sigma in sigmas]
        near = 8 * (check.subject.unit + UNIT) * process.radius
        met = np.zeros(iterations, dtype=bool)
        for score in scores:
            same = np.abs(score.theta - run.thetas[:, layer]).max(axis=1) <= near
            scaled = score.precision * (settings.nu / score.nu) ** 2  # what is truncated depends on their ratio alone
            off = [np.linalg.norm(scaled - each, 2) for each in expected]
            same &= np.array(off) <= np.array(allowed)
            if not same.any():
                of = f"parameters and precision of a draw in layer {layer + 1}"
                expect(False, of, score.theta.tolist(), "those of one iteration, its Sigma before additions")
            met |= same
        if not (met | (run.thetas[:, layer] == 0.0).all(axis=1)).all():
            missing = int(np.flatnonzero(~met)[-1]) + 1
            expect(False, f"draws of the policy of layer {layer + 1} in iteration {missing}", 0, "one and more")


@pytest.mark.guarantee("MT5", "MT7", needs=["mtss"])
@designed([RUN], ["independent-mtss-no-twins"])
@instances(**RUNS)
def test_a_run_resets_as_often_as_its_core_sets_and_their_anchors_ask_for(
    check: Check, problem: Problem, iterations: int, threshold: float
) -> None:
    process, settings = process_of(problem), settings_of(iterations=iterations, threshold=threshold)
    run, oracle = explored(check, problem, settings)
    left = np.arange(iterations)[::-1]  # iterations after the one that added a pair
    for layer in range(process.horizon - 1):  # in the last layer rewards can be asked for without a reset
        # Both arms of a fit begin at a pair, but for the anchor's own, and searches of later layers after both.
        fits = int(left @ (run.actions[:, layer] != process.anchor)) * 2 * settings.regression_rollouts
        searches = int(left.sum()) * 2 * settings.span_rollouts * (process.horizon - 1 - layer)
        resets = [each.answer for each in oracle.queries if each.name == "reset"]
        begun = sum(len(states) for states in resets if states.layer == layer)
        expect(begun >= fits + searches, f"resets to layer {layer + 1}", begun, f"at least {fits + searches}")
        check.tightness(fits + searches, begun)


@pytest.mark.guarantee("O1", "T5", needs=["mtss"])
@designed([RUN], ["mtss-many-rollouts"])
@instances(**RUNS)
def test_a_run_costs_no_more_than_its_iterations_add_up_to(
    check: Check, problem: Problem, iterations: int, threshold: float
) -> None:
    process, settings = process_of(problem), settings_of(iterations=iterations, threshold=threshold)
    _, oracle = explored(check, problem, settings)
    spent, most = (
        episodic_recount(oracle.queries),
        most_of_printed_run(settings, horizon=process.horizon, rewarded=process.rewarded),
    )
    assert oracle.ledger == spent, f"the ledger states {oracle.ledger}, the answers add up to {spent}"
    expect(spent.samples <= most.samples, "samples of the run", spent.samples, f"at most {most.samples}")
    expect(spent.data <= most.data, "rewards, transitions and resets of the run", spent.data, f"at most {most.data}")
    check.tightness(spent.data, most.data)


@pytest.mark.guarantee("T5", needs=["mtss"])
@designed([{"problem": TWO_TOKENS}, {"problem": LAYERED}], named("mtss", "two-fits base-rollouts no-kl"))
@instances(problem=ONE_PROMPT)
def test_a_run_that_is_certain_of_all_pairs_has_learned_the_optimal_policy(check: Check, problem: Problem) -> None:
    # Rewards have no noise, there is one first state, and every action is drawn: what is certain is covered, and what
    # is covered is known but for the error of pilots and rounding.
    process = process_of(problem)
    settings = settings_of(iterations=16, base_draws=MANY, multiplier=EXACT_PILOTS, ridge=0.25, nu=0.75)
    run, _ = explored(check, problem, settings)
    check.premise(run.certain)
    if not run.certain:
        return
    thetas = run.thetas[run.returned - 1]
    law = log_anchored_law(process, policy_of(process, cores_before(process, run, run.returned - 1), thetas, settings))
    gap, of_base = layered_gap(process, law), layered_gap(process, process.log_base)
    allowed = allowed_gap(check, process, law, thetas, settings)
    assert_at_most(check, f"gap of the policy (the base policy has {of_base:.6g})", gap, 0.0, allowed)


def allowed_gap(
    check: Check, problem: LayeredMDP, law: Sequence[FloatArray], thetas: FloatArray, settings: MTSSSettings
) -> float:
    """Gap where every fit is of exact targets but for pilots and rounding.

    Scores that are off by `e` change a law by a KL of at most `2 (e/beta)^2`. A return is off by its own error and by
    that of the scores of later layers and of their normalisers.
    """
    largest = max(float(np.abs(each).max()) for each in policy_q(problem, law))
    off = 2.0 * pilot_error(problem, law, 0, settings) + rounding_of_returns(check, problem, thetas, 0, largest)
    dimension = problem.dimension
    rows = 2 * settings.iterations
    off += 12 * dimension * (rows + dimension + 4) * (check.subject.unit + UNIT) * (problem.radius + largest)
    off *= 5.0 ** (problem.horizon - 1)
    return problem.horizon * 2.0 * off**2 / problem.beta + 1e-12 * (1.0 + largest)
