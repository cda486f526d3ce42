"""MTSS, exploration layer by layer with anchors, core-sets and resets (FMR25, Algorithms 4 to 6, pp. 77-81).

An iteration fits a parameter of every layer, last layer first, to differences of rollout returns between each pair of
its core-set and the anchor action; then it searches with the policy of these parameters, from every pair of every
earlier core-set, for the state and action of each layer whose features the core-set covers least, and adds it. The
policy returned is that of an iteration whose search found nothing uncertain, or the base policy if there was none.

What is left out of the print, or added to it, is an option of `MTSSSettings` that is marked `[ours]`. All rollouts of
one kind move together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spanver.episodic import AnchoredScore, EpisodicLedger, EpisodicOracle, States
from spanver.learners.completed import last
from spanver.learners.core_sets import Pairs, joined, no_pairs, precision_of, squared_norms, with_anchor
from spanver.learners.least_squares import fit_on
from spanver.learners.softmax_sampler import sampler_trials
from spanver.policies import AnchoredPolicy, TruncatedSoftmax
from spanver.validation import (
    require,
    require_at_least,
    require_count,
    require_one_of,
    require_positive,
    require_probability,
)
from spanver.values import FloatArray, IntArray


@dataclass(frozen=True)
class MTSSSettings:
    """Every parameter of MTSS, and what of it is as printed. The defaults of options are.

    Attributes
    ----------
    iterations : int
        `T_prompt`, at most.
    regression_rollouts : int
        `N_reg`, from each pair of a core-set and from its anchor.
    span_rollouts : int
        `N_span`, from each pair of a core-set.
    base_draws : int
        `Nbar_span`, draws of the base policy in each state that a search ends in; 0 for none.
    multiplier, failure : float
        `M_rej` and `delta_rej` of the sampler.
    ridge : float
        `lambda`.
    nu : float
        Elliptic norm up to which a score counts.
    threshold : float
        Line 12: an iteration is certain if no squared norm that its search found is above `threshold nu^2`.
    stop : {"last", "first"}
        Return the policy of the last certain iteration, or stop at the first: Lemma M.1 is about any.
    reward_draws : {"every", "once"}
        Whether the rewards of a pair's own layer are drawn in every rollout, or once before all, as line 5 of
        Algorithm 5 is printed; then their noise does not average.
    refit : {"always", "when_certain"}
        `[ours]` Fit in every iteration, or only after a search that found nothing uncertain: then what it is certain of
        is searched again with the new parameters. Pairs that are not above the threshold are not added then.
    add : {"largest", "pool"}
        `[ours]` Add the pair that a search found least certain, or go on until all that it met are below the threshold.
    search : {"separate", "shared"}
        `[ours]` Rollouts of its own for every layer, or rollouts to the last layer that serve every layer they pass.
    anchor : {"fixed", "fresh"}
        `[ours]` The anchor of the problem, or a draw of the base policy in every state (Remark J.4, p. 84).
    zero_scores : {"sampled", "drawn"}
        `[ours]` Whether the policy of a parameter of 0, which is `pi_ref`, is sampled as any other, or with one draw of
        the base policy. The law is the same, and the ratio 1.
    initial_rollouts : int or None
        `[ours]` Rollouts of a search from the first state, which is in no core-set; None for `N_span`.
    anchor_rollouts : bool
        `[ours]` Whether rollouts are drawn for the anchor's own pairs. Their feature is 0, so that no fit depends on
        them.
    """

    iterations: int
    regression_rollouts: int
    span_rollouts: int
    base_draws: int
    multiplier: float
    failure: float
    ridge: float
    nu: float
    threshold: float = 0.25
    stop: Literal["last", "first"] = "last"
    reward_draws: Literal["every", "once"] = "every"
    refit: Literal["always", "when_certain"] = "always"
    add: Literal["largest", "pool"] = "largest"
    search: Literal["separate", "shared"] = "separate"
    anchor: Literal["fixed", "fresh"] = "fixed"
    zero_scores: Literal["sampled", "drawn"] = "sampled"
    initial_rollouts: int | None = None
    anchor_rollouts: bool = True

    def __post_init__(self) -> None:
        for name in ("iterations", "regression_rollouts", "span_rollouts"):
            require_count(name, getattr(self, name))
        require_count("base_draws", self.base_draws, least=0)
        if self.initial_rollouts is not None:
            require_count("initial_rollouts", self.initial_rollouts)
        require_at_least("multiplier", self.multiplier, 1.0)
        require_probability("failure", self.failure)
        for name in ("ridge", "nu", "threshold"):
            require_positive(name, getattr(self, name))
        for name, allowed in (
            ("stop", ("last", "first")),
            ("reward_draws", ("every", "once")),
            ("refit", ("always", "when_certain")),
            ("add", ("largest", "pool")),
            ("search", ("separate", "shared")),
            ("anchor", ("fixed", "fresh")),
            ("zero_scores", ("sampled", "drawn")),
            ("anchor_rollouts", (True, False)),
        ):
            require_one_of(name, getattr(self, name), allowed)

    @property
    def tolerance(self) -> float:
        """Squared norm above which a pair is uncertain."""
        return self.threshold * self.nu**2


@dataclass(frozen=True, eq=False)
class Actions:
    """Actions of a policy in a batch of states.

    Attributes
    ----------
    actions, anchors : array of int, shape (n,)
    vectors : array, shape (n, d)
        `phi(x, a) - phi(x, anchor)`.
    log_ratios : array, shape (n,)
        Estimates of `log(pi(a|x)/pi_ref(a|x))`, given the anchor.
    anchor_features : array, shape (n, d)
    """

    actions: IntArray
    anchors: IntArray
    vectors: FloatArray
    log_ratios: FloatArray
    anchor_features: FloatArray


def softmax_actions(
    oracle: EpisodicOracle, states: States, policy: TruncatedSoftmax, settings: MTSSSettings
) -> Actions:
    """Draw an action in every state of a batch, with its density ratio: Algorithm 2 in each (FMR25, p. 37).

    The ratio is `w(a)/Z` with the mean weight `Z` of the pilot of the same draw (R8).
    """
    if settings.anchor == "fixed":
        anchors = np.full(len(states), oracle.anchor)
        anchor_features = oracle.feature(states, anchors)
    else:
        drawn = oracle.sample(states, 1)
        anchors, anchor_features = drawn.actions[:, 0], drawn.features[:, 0]
    if settings.zero_scores == "drawn" and not policy.theta.any():
        base = oracle.sample(states, 1)
        vectors = base.features[:, 0] - anchor_features
        return Actions(base.actions[:, 0], anchors, vectors, np.zeros(len(states)), anchor_features)
    score = AnchoredScore(policy.theta, policy.precision, policy.nu, anchor_features)
    trials = sampler_trials(settings.multiplier, settings.failure)
    pilot = oracle.sample_counts(states, trials)
    exponents = np.log(pilot.counts) - math.log(trials) + score.of(pilot.rows, pilot.features) / oracle.beta
    log_means = _log_sums(exponents, pilot.rows)
    found = oracle.sample_until(states, score, math.log(settings.multiplier) + log_means, trials)
    actions, features = found.actions.copy(), found.features.copy()
    failed = np.flatnonzero(actions < 0)
    if len(failed) > 0:
        fallback = oracle.sample(States(states.layer, states.ids[failed], states.episodes), 1)
        actions[failed], features[failed] = fallback.actions[:, 0], fallback.features[:, 0]
    log_weights = score.of(np.arange(len(states)), features) / oracle.beta
    return Actions(actions, anchors, features - anchor_features, log_weights - log_means, anchor_features)


def sample_actions(run: MTSSRun, oracle: EpisodicOracle, states: States) -> IntArray:
    """Draw an action of the policy that a run returned in every state of a batch, shape (n,); the oracle counts it.

    Parameters
    ----------
    run : MTSSRun
    oracle : EpisodicOracle
    states : States
        That this oracle issued.

    Examples
    --------
    >>> from spanver.oracles.episodic import episodic_oracle
    >>> from spanver.problems.families.mdp import mdp_problem
    >>> from spanver.runs.settings import settings_for
    >>> problem = mdp_problem(horizon=2)
    >>> run = mtss(episodic_oracle(problem, seed=1), settings=settings_for(problem))
    >>> oracle = episodic_oracle(problem, seed=2)
    >>> first = oracle.start(1000)
    >>> second = oracle.step(first, sample_actions(run, oracle, first))
    >>> len(sample_actions(run, oracle, second))
    1000
    """
    return softmax_actions(oracle, states, run.policy.layers[states.layer], run.settings).actions


def _log_sums(exponents: FloatArray, rows: IntArray) -> FloatArray:
    """`log sum exp` of the entries of each row; rows do not fall and leave out none."""
    if len(rows) == 0:
        return np.empty(0)
    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    peaks = np.maximum.reduceat(exponents, begins)
    log_sums: FloatArray = peaks + np.log(np.add.reduceat(np.exp(exponents - peaks[rows]), begins))
    return log_sums


@dataclass(frozen=True, eq=False)
class ValueFit:
    """What FitValue returns.

    Attributes
    ----------
    theta : array, shape (d,)
    rolled : Pairs
        Those of the core-set that rollouts were drawn for.
    targets : array, shape (n,)
        Mean difference of returns, between the action and the anchor of each.
    """

    theta: FloatArray
    rolled: Pairs
    targets: FloatArray


def fit_value(
    oracle: EpisodicOracle, layer: int, cores: Sequence[Pairs], thetas: FloatArray, *, settings: MTSSSettings
) -> ValueFit:
    """FitValue of one layer (FMR25, Algorithm 5, p. 79).

    Parameters
    ----------
    oracle : EpisodicOracle
    layer : int
        From 0.
    cores : sequence of H Pairs
        The core-sets of all layers. Rollouts begin at that of this layer, and those of later ones give their `Sigma`.
    thetas : array, shape (H, d)
        Parameters of all layers. Rollouts follow the policy of those of later ones.
    settings : MTSSSettings
    """
    core = cores[layer]
    rolled = core if settings.anchor_rollouts else core[np.flatnonzero(core.actions != core.anchors)]
    if len(rolled) == 0:
        return ValueFit(np.zeros(oracle.dimension), rolled, np.empty(0))
    policies = layer_policies(cores, thetas, settings, first=layer + 1)
    of_actions, of_anchors = (
        _mean_returns(oracle, States(layer, rolled.states, 0), arm, policies, settings)
        for arm in (rolled.actions, rolled.anchors)
    )
    targets = of_actions - of_anchors
    # All pairs have equally many rollouts: the least squares of all of them are those of their means.
    return ValueFit(fit_on(rolled.vectors, targets, oracle.shape(oracle.radius)), rolled, targets)


def _mean_returns(
    oracle: EpisodicOracle,
    states: States,
    actions: IntArray,
    policies: Mapping[int, TruncatedSoftmax],
    settings: MTSSSettings,
) -> FloatArray:
    """Mean of `r_h + sum_{l>h} (r_l - beta log rho_l)` over rollouts from each state and action, shape (n,)."""
    layer, rollouts, rewarded = states.layer, settings.regression_rollouts, oracle.rewarded
    once = settings.reward_draws == "once" and rewarded[layer]
    # A reward can be asked for wherever an episode was, so that these states belong to none.
    own = oracle.reward(states, actions) if once else np.zeros(len(states))
    standing = oracle.reset(layer, states.ids.repeat(rollouts))
    chosen = actions.repeat(rollouts)
    returns = oracle.reward(standing, chosen) if rewarded[layer] and not once else np.zeros(len(standing))
    for later, policy in policies.items():
        standing = oracle.step(standing, chosen)
        drawn = softmax_actions(oracle, standing, policy, settings)
        chosen = drawn.actions
        returns = returns - oracle.beta * drawn.log_ratios
        if rewarded[later]:
            returns += oracle.reward(standing, chosen)
    means: FloatArray = own + returns.reshape(len(states), rollouts).mean(axis=1)
    return means


def layer_policies(
    cores: Sequence[Pairs], thetas: FloatArray, settings: MTSSSettings, *, first: int = 0
) -> dict[int, TruncatedSoftmax]:
    """Policies of the layers from `first` on, by layer, with `Sigma_h` of the core-sets as they are."""
    return {
        layer: TruncatedSoftmax(thetas[layer].copy(), precision_of(cores[layer], settings.ridge), settings.nu)
        for layer in range(first, len(cores))
    }


def uncertain_state_action(
    oracle: EpisodicOracle, layer: int, cores: Sequence[Pairs], thetas: FloatArray, *, settings: MTSSSettings
) -> Pairs:
    """UncertainStateAction of one layer (FMR25, Algorithm 6, p. 81): one pair, of the largest norm of those met.

    Parameters
    ----------
    oracle : EpisodicOracle
    layer : int
        From 0.
    cores : sequence of H Pairs
        The core-sets of all layers. Rollouts begin at those of earlier ones, and at the first state.
    thetas : array, shape (H, d)
        Parameters of all layers.
    settings : MTSSSettings
    """
    policies = layer_policies(cores, thetas, settings)
    met = _met(oracle, [layer], cores, policies, settings)[layer]
    return met[np.array([np.argmax(squared_norms(met, policies[layer].precision))])]


def _met(
    oracle: EpisodicOracle,
    layers: Sequence[int],
    cores: Sequence[Pairs],
    policies: Mapping[int, TruncatedSoftmax],
    settings: MTSSSettings,
) -> dict[int, Pairs]:
    """What rollouts to the last of some layers meet in these, at least one pair in each."""
    met: dict[int, list[Pairs]] = {layer: [] for layer in layers}
    deepest = max(layers)
    for first in range(deepest + 1):
        if first > 0 and len(cores[first - 1]) == 0:
            continue
        standing = _begun(oracle, first, cores, settings)
        for layer in range(first, deepest + 1):
            drawn = softmax_actions(oracle, standing, policies[layer], settings)
            if layer in met:
                met[layer].extend(_pairs_met(oracle, standing, drawn, settings))
            if layer < deepest:
                standing = oracle.step(standing, drawn.actions)
    return {layer: joined(parts) for layer, parts in met.items()}


def _begun(oracle: EpisodicOracle, first: int, cores: Sequence[Pairs], settings: MTSSSettings) -> States:
    """Episodes that stand in a layer: begun anew in the first, or one step after the core-set of the layer before."""
    if first == 0:
        initial = settings.initial_rollouts
        return oracle.start(settings.span_rollouts if initial is None else initial)
    core = cores[first - 1]
    standing = oracle.reset(first - 1, core.states.repeat(settings.span_rollouts))
    return oracle.step(standing, core.actions.repeat(settings.span_rollouts))


def _pairs_met(oracle: EpisodicOracle, standing: States, drawn: Actions, settings: MTSSSettings) -> Iterator[Pairs]:
    yield Pairs(standing.ids, drawn.actions, drawn.anchors, drawn.vectors)
    if settings.base_draws > 0:
        base = oracle.sample_counts(standing, settings.base_draws)
        rows = base.rows
        vectors = base.features - drawn.anchor_features[rows]
        yield Pairs(standing.ids[rows], base.actions, drawn.anchors[rows], vectors)


@dataclass(frozen=True, eq=False)
class Iteration:
    """One iteration of MTSS.

    Attributes
    ----------
    fitted : bool
        Whether parameters were fitted in it, or kept.
    thetas : array, shape (H, d)
    sizes : array of int, shape (H,)
        Of the core-sets of each layer that it was made with, anchors included: their first pairs.
    largest : array, shape (H,)
        Largest squared norm that its search found in each layer.
    fit, search : EpisodicLedger
        What its fits and its search were charged.
    """

    fitted: bool
    thetas: FloatArray
    sizes: IntArray
    largest: FloatArray
    fit: EpisodicLedger
    search: EpisodicLedger


@dataclass(frozen=True, eq=False)
class MTSSRun:
    """A run of MTSS until some iteration.

    Attributes
    ----------
    iterations : tuple of Iteration
    cores : tuple of H Pairs
        The core-sets after them, each pair followed by its anchor's.
    settings : MTSSSettings
    anchor : int
        The anchor of the problem.
    """

    iterations: tuple[Iteration, ...]
    cores: tuple[Pairs, ...]
    settings: MTSSSettings
    anchor: int

    @property
    def is_certain(self) -> list[bool]:
        """Of every iteration, whether its parameters were fitted in it and its search found nothing uncertain."""
        most = self.settings.tolerance
        return [each.fitted and bool(each.largest.max() <= most) for each in self.iterations]

    @property
    def certain(self) -> bool:
        """Whether an iteration was; if none was, the policy is `pi_ref`."""
        return any(self.is_certain)

    @property
    def returned(self) -> int:
        """`j`, from 1: the last iteration that was certain, or 1."""
        return max((number for number, certain in enumerate(self.is_certain, start=1) if certain), default=1)

    @property
    def policy(self) -> AnchoredPolicy:
        """That of the iteration `returned`."""
        iteration = self.iterations[self.returned - 1]
        cores = [core[:size] for core, size in zip(self.cores, iteration.sizes, strict=True)]
        layers = layer_policies(cores, iteration.thetas, self.settings)
        return AnchoredPolicy(tuple(layers.values()), self.settings.anchor == "fresh", self.anchor)

    @property
    def has_ended(self) -> bool:
        """Whether no iteration follows."""
        stopped = self.settings.stop == "first" and self.certain
        return stopped or len(self.iterations) == self.settings.iterations


def mtss_iterations(
    oracle: EpisodicOracle, *, settings: MTSSSettings, start: MTSSRun | None = None
) -> Iterator[MTSSRun]:
    """MTSS (FMR25, Algorithm 4, p. 77), iteration by iteration; it has no randomness of its own.

    Parameters
    ----------
    oracle : EpisodicOracle
    settings : MTSSSettings
    start : MTSSRun, optional
        To go on from, with an oracle as it was then. It has not ended.

    Yields
    ------
    MTSSRun
        The run until then, after every iteration.

    Raises
    ------
    BudgetExceededError
        When the oracle's budget ends first.
    """
    nothing = (no_pairs(oracle.dimension),) * oracle.horizon
    run = MTSSRun((), nothing, settings, oracle.anchor) if start is None else start
    require(not run.has_ended, "start", f"a run of {len(run.iterations)} iterations", "one that has not ended")
    while not run.has_ended:
        run = _continued(oracle, run)
        yield run


def mtss(oracle: EpisodicOracle, *, settings: MTSSSettings) -> MTSSRun:
    """The whole run of MTSS, with the parameters of `mtss_iterations`.

    Examples
    --------
    >>> from spanver.exact.layered import log_anchored_law, layered_gap
    >>> from spanver.oracles.episodic import episodic_oracle
    >>> from spanver.problems.families.mdp import mdp_problem
    >>> problem = mdp_problem(noise=0.0)
    >>> settings = MTSSSettings(
    ...     iterations=40, regression_rollouts=64, span_rollouts=2, base_draws=4, multiplier=4.0, failure=0.1,
    ...     ridge=0.3, nu=0.5, threshold=1.0, stop="first", initial_rollouts=64)
    >>> run = mtss(episodic_oracle(problem, seed=1), settings=settings)
    >>> run.certain, layered_gap(problem, log_anchored_law(problem, run.policy)) < 0.005
    (True, True)
    """
    return last(mtss_iterations(oracle, settings=settings))


def _continued(oracle: EpisodicOracle, run: MTSSRun) -> MTSSRun:
    """The run with one more iteration."""
    settings, cores, layers = run.settings, run.cores, range(oracle.horizon)
    always = settings.refit == "always"
    before = run.iterations[-1] if run.iterations else None
    thetas = np.zeros((oracle.horizon, oracle.dimension)) if before is None else before.thetas.copy()
    # What is certain of parameters that were kept has to be so of those that are fitted then.
    fits = always or (before is not None and not before.fitted and bool(before.largest.max() <= settings.tolerance))
    begun = oracle.ledger
    if fits:
        for layer in reversed(layers):
            thetas[layer] = fit_value(oracle, layer, cores, thetas, settings=settings).theta
    fitted = oracle.ledger
    policies = layer_policies(cores, thetas, settings)
    together = [layers] if settings.search == "shared" else [range(layer, layer + 1) for layer in layers]
    met: dict[int, Pairs] = {}
    for some in together:
        met |= _met(oracle, some, cores, policies, settings)
    largest = np.array([squared_norms(met[layer], policies[layer].precision).max() for layer in layers])
    sizes = np.array(list(map(len, cores)))
    iteration = Iteration(fits, thetas, sizes, largest, fitted - begun, oracle.ledger - fitted)
    continued = MTSSRun((*run.iterations, iteration), cores, settings, run.anchor)
    if largest.max() <= settings.tolerance and (not fits or settings.stop == "first"):
        return continued
    grown = tuple(_grown(cores[layer], met[layer], policies[layer].precision, settings) for layer in layers)
    return replace(continued, cores=grown)


def _grown(core: Pairs, met: Pairs, precision: FloatArray, settings: MTSSSettings) -> Pairs:
    """The core-set with the least certain pairs that a search met, each followed by its anchor's pair."""
    added, anyway = [core], settings.refit == "always"
    while True:
        norms = squared_norms(met, precision)
        row = int(np.argmax(norms))
        if norms[row] <= settings.tolerance and not anyway:
            break
        pair = met[np.array([row])]
        added.append(with_anchor(pair))
        if settings.add == "largest":
            break
        anyway = False
        image = precision @ pair.vectors[0]  # Sherman and Morrison
        precision = precision - np.outer(image, image) / (1.0 + float(pair.vectors[0] @ image))
    return joined(added)
