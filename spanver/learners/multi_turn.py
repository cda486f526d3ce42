"""A4, multi-turn SpannerSampling: explore token by token, last layer first (`[ours]`, with the paper's name and rate).

Every layer has a spanner of token pairs of its own. A sweep goes from the last layer to the first and fits a parameter
to differences of rollout returns, taken with the policies of the layers below. Wherever a rollout meets a prefix whose
tokens the spanner of its layer does not cover, the pair is added and the sweep restarts at that layer. When test
rollouts meet none, the policy is returned. Cost grows with the coverage of one token and not of a whole sequence (T5).

Before the first sweep the spanners are filled by rolling in with the base policy; no reward is drawn `[ours]`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from spanver.kernels import log_normaliser, update_inverse_factor
from spanver.learners.least_squares import fit_on
from spanver.learners.softmax_sampler import softmax_sample
from spanver.oracle import Ledger, PrefixOracle
from spanver.policies import Sampler, TokenPolicy, TruncatedSoftmax
from spanver.randomness import derived_seed
from spanver.validation import require_at_least, require_count, require_positive, require_probability
from spanver.values import FloatArray, Pair, Prefix, Response, Score, UncertainPairRule

PHASES = ("warm start", "sweep", "test")


@dataclass(frozen=True)
class MultiTurnSettings:
    """Every parameter of multi-turn SpannerSampling (A4).

    Attributes
    ----------
    nu : float
        Elliptic norm above which a token pair is uncertain.
    ridge : float
        `lambda`.
    rollouts : int
        `N_roll`, from each token of each spanner pair.
    pairs_per_prefix : int
        `N_check`, most token pairs tried at a prefix visited.
    tests : int
        `N_test`, rollouts that must meet nothing uncertain at the end.
    prompts : int
        `T_prompt`, rollouts of the base policy before the first sweep; 0 for none.
    rejection_multiplier, rejection_failure : float
        `M_rej` and `delta_rej` of the sampler.
    partition_samples : int
        Samples of the independent `Zhat` in each estimate of `log(pi_l/pi_ref,l)`.
    """

    nu: float
    ridge: float
    rollouts: int
    pairs_per_prefix: int
    tests: int
    prompts: int
    rejection_multiplier: float
    rejection_failure: float
    partition_samples: int

    def __post_init__(self) -> None:
        require_positive("nu", self.nu)
        require_positive("ridge", self.ridge)
        for name in ("rollouts", "pairs_per_prefix", "tests", "partition_samples"):
            require_count(name, getattr(self, name))
        require_count("prompts", self.prompts, least=0)
        require_at_least("rejection_multiplier", self.rejection_multiplier, 1.0)
        require_probability("rejection_failure", self.rejection_failure)


@dataclass(frozen=True, eq=False)
class MultiTurnRun:
    """What multi-turn SpannerSampling returns.

    Attributes
    ----------
    policy : TokenPolicy
        Truncated softmax policies, first token first.
    thetas : array, shape (H, d)
    pairs : tuple of H tuples of Pair
        The spanner of each layer: two tokens at a prefix each, uncertain when they were found.
    targets : tuple of H arrays
        Differences of mean rollout returns that each parameter was fitted to.
    starts : tuple of int
        Layer, from 0, that each sweep started at: the last one first, then one for each restart.
    ledgers : mapping
        What each of `PHASES` was charged.
    settings : MultiTurnSettings
    """

    policy: TokenPolicy
    thetas: FloatArray
    pairs: tuple[tuple[Pair[Prefix], ...], ...]
    targets: tuple[FloatArray, ...]
    starts: tuple[int, ...]
    ledgers: Mapping[str, Ledger]
    settings: MultiTurnSettings

    @property
    def spanner_sizes(self) -> tuple[int, ...]:
        """Number of pairs of each layer."""
        return tuple(map(len, self.pairs))

    @property
    def restarts(self) -> int:
        """How often an uncovered prefix restarted a sweep, test rollouts included."""
        return len(self.starts) - 1


def multi_turn(
    oracle: PrefixOracle, *, horizon: int, settings: MultiTurnSettings, seed: int, sampler: Sampler = softmax_sample
) -> MultiTurnRun:
    """Multi-turn SpannerSampling with warm start (A4; `[ours]`, with the paper's name and rate).

    Parameters
    ----------
    oracle : PrefixOracle
    horizon : int
        `H`.
    settings : MultiTurnSettings
    seed : int
        Of the learner's own randomness; the oracle has its own.
    sampler : Sampler
        `softmax_sample`, `race_sample`, or any other function of this form.

    Raises
    ------
    BudgetExceededError
        When the oracle's budget ends first.
    """
    require_count("horizon", horizon)
    explorer = _Explorer(oracle, horizon, settings, seed, sampler)
    with explorer.charged("warm start"):
        for _ in range(settings.prompts):
            explorer.roll_in()
    starts = [horizon - 1]
    while True:
        try:
            with explorer.charged("sweep"):
                for layer in range(starts[-1], -1, -1):
                    explorer.fit(layer)
            with explorer.charged("test"):
                for _ in range(settings.tests):
                    explorer.test()
        except _UncoveredError as found:
            starts.append(found.layer)
        else:
            return explorer.run(starts)


class _UncoveredError(Exception):
    """A rollout met a prefix of this layer whose tokens were not covered; by now they are."""

    def __init__(self, layer: int) -> None:
        super().__init__(layer)
        self.layer = layer


class _Layer:
    """Spanner and parameter of one layer so far."""

    def __init__(self, dimension: int, settings: MultiTurnSettings) -> None:
        self._nu = settings.nu
        self._factor = np.eye(dimension) / math.sqrt(settings.ridge)
        self.pairs: list[Pair[Prefix]] = []
        self.theta = np.zeros(dimension)
        self.targets = np.empty(0)
        self._renew()

    def add(self, pair: Pair[Prefix]) -> None:
        self.pairs.append(pair)
        self._factor, _ = update_inverse_factor(self._factor, pair.difference)
        self._renew()

    def set_theta(self, theta: FloatArray, targets: FloatArray) -> None:
        self.theta, self.targets = theta, targets
        self._renew()

    def _renew(self) -> None:
        self.rule = UncertainPairRule(self._factor.T @ self._factor, self._nu)
        self.policy = TruncatedSoftmax(self.theta, self.rule.precision, self._nu)


class _Explorer:
    """One run: the state of every layer, and the rollouts that add to it."""

    def __init__(
        self, oracle: PrefixOracle, horizon: int, settings: MultiTurnSettings, seed: int, sampler: Sampler
    ) -> None:
        self._oracle, self._settings, self._seed = oracle, settings, seed
        self._sampler = sampler
        self._layers = [_Layer(oracle.dimension, settings) for _ in range(horizon)]
        self._ledgers = {phase: Ledger() for phase in PHASES}
        self._tokens_sampled = 0

    @contextmanager
    def charged(self, phase: str) -> Iterator[None]:
        """Charge what is drawn inside the block to a phase."""
        before, booked = self._oracle.ledger, self._ledgers[phase]
        try:
            yield
        finally:
            after = self._oracle.ledger
            samples = booked.samples + after.samples - before.samples
            self._ledgers[phase] = Ledger(samples, booked.rewards + after.rewards - before.rewards)

    def roll_in(self) -> None:
        """Follow the base policy from a new prompt and add what is uncertain on the way."""
        prefix = self._oracle.prompt()
        for layer in range(len(self._layers)):
            self._check(layer, prefix)
            prefix = prefix.extended(self._oracle.sample(prefix, 1)[0])

    def fit(self, layer: int) -> None:
        """Fit the parameter of a layer to rollouts with the policies of those after it."""
        current = self._layers[layer]
        targets = np.array([self._mean_return(p, p.first) - self._mean_return(p, p.second) for p in current.pairs])
        vectors = np.array([pair.difference for pair in current.pairs]).reshape(-1, self._oracle.dimension)
        parameters = self._oracle.shape(self._oracle.radius)
        current.set_theta(fit_on(vectors, targets, parameters), targets)

    def test(self) -> None:
        """Follow the policy from a new prompt; no reward is drawn."""
        prefix = self._oracle.prompt()
        for layer in range(len(self._layers)):
            self._visit(layer, prefix)
            prefix = prefix.extended(self._token(layer, prefix)[0])

    def run(self, starts: list[int]) -> MultiTurnRun:
        """Return the result of the run."""
        return MultiTurnRun(
            policy=TokenPolicy(tuple(layer.policy for layer in self._layers)),
            thetas=np.array([layer.theta for layer in self._layers]),
            pairs=tuple(tuple(layer.pairs) for layer in self._layers),
            targets=tuple(layer.targets for layer in self._layers),
            starts=tuple(starts),
            ledgers=dict(self._ledgers),
            settings=self._settings,
        )

    def _mean_return(self, pair: Pair[Prefix], token: Response) -> float:
        start = pair.prompt.extended(token)
        return math.fsum(self._return(start) for _ in range(self._settings.rollouts)) / self._settings.rollouts

    def _return(self, prefix: Prefix) -> float:
        """`r - beta sum ell_l` of one rollout from a prefix."""
        penalty = 0.0
        for layer in range(len(prefix.tokens), len(self._layers)):
            self._visit(layer, prefix)
            token, score = self._token(layer, prefix)
            penalty += self._log_ratio(prefix, token, score)
            prefix = prefix.extended(token)
        return self._oracle.reward(prefix) - self._oracle.beta * penalty

    def _visit(self, layer: int, prefix: Prefix) -> None:
        if self._check(layer, prefix):
            raise _UncoveredError(layer)

    def _check(self, layer: int, prefix: Prefix) -> bool:
        """CHECK of A4: whether an uncertain pair was found, which is then in the spanner."""
        found = self._oracle.sample_until(prefix, self._layers[layer].rule, self._settings.pairs_per_prefix)
        if found.responses is None:
            return False
        self._layers[layer].add(Pair(prefix, found.responses[0], found.responses[1]))
        return True

    def _token(self, layer: int, prefix: Prefix) -> tuple[Response, Score]:
        """A token of the policy of a layer, and the score that it was drawn with, given its second token."""
        second = self._oracle.sample(prefix, 1)[0]
        score = self._layers[layer].policy.score(second)
        self._tokens_sampled += 1
        token: Response = self._sampler(
            self._oracle,
            prefix,
            score,
            multiplier=self._settings.rejection_multiplier,
            failure=self._settings.rejection_failure,
            seed=derived_seed(self._seed, f"token {self._tokens_sampled}"),
        )
        return token, score

    def _log_ratio(self, prefix: Prefix, token: Response, score: Score) -> float:
        """Estimate `log(pi_l/pi_ref,l)` given the second token, with samples of its own for the normaliser."""
        draws = self._settings.partition_samples
        counted = self._oracle.sample_counts(prefix, draws)
        log_share = np.log(counted.counts) - math.log(draws)
        log_partition = float(log_normaliser(log_share, score.of(counted.responses.features), self._oracle.beta))
        return float(score.of(token.features[None])[0]) / self._oracle.beta - log_partition
