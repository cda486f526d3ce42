"""What a subject is, and what its functions take and return.

A *subject* is anybody's implementation of some of the functions below, under these names. It declares what it provides;
the harness calls nothing else. Results come back in many forms - a dataclass, a mapping, nested lists - and are brought
into one form here, once, whether they were computed in this process or came over a pipe. A result that does not have
that form, or holds a NaN, breaks the contract (`ContractError`).

======================  ==========================================================  ==================================
function                arguments                                                   result
======================  ==========================================================  ==================================
`elliptic_norms`        features (n, d), sigma (d, d)                               norms (n,)
`log_softmax`           log_base (n,), scores (n,), beta                            log probabilities (n,), may be -inf
`truncated_scores`      features (n, d), anchor (d,), theta, precision (d, d), nu   scores (n,)
`kl_divergence`         law (n,), reference (n,), in logs                           a number, may be inf
`log_coverage`          law (n,), log_base (n,), in logs                            a number, may be inf
`fit`                   features (n, d), targets (n,), radius                       theta (d,)
`ridge_regression`      features (n, d), targets (n,), ridge                        theta (d,)
`draw`                  probabilities (n,), count, seed                             indices (count,)
`barycentric_spanner`   vectors (n, d), approximation                               indices of the chosen
`covering_list`         vectors (n, d), ridge, nu                                   indices of the chosen
`pivoted_diagonal`      vectors (n, d)                                              abs diagonal of R
`softmax_sample`        oracle, prompt, score; multiplier, failure, seed            a response, or its id
`race_sample`           oracle, prompt, score; multiplier, failure, seed            a response, or its id
`build_spanner`         oracle; prompts, pairs_per_prompt, nu, ridge, seed          a spanner
`spanner_sampling`      oracle; seed, settings                                      a run: thetas, precision, nu
`passive_learner`     oracle; rounds, seed                                        a baseline run
`online_dpo`            oracle; rounds, seed, feedback                              a baseline run
`xpo`                   oracle; rounds, alpha, seed, feedback, partition_samples    a baseline run
`elliptical_enumeration`  oracle; rounds, ridge, seed                               a baseline run
`best_of_n`             oracle; rounds, count, seed                                 a baseline run, with its count
`soft_q`                layers [(n A^(h-1), A)] in logs, rewards (n, A^H), beta     values [(n A^(h-1), A)]
`multi_turn`            prefix oracle; horizon, settings, seed                        a multi-turn run (Python only)
`literal_oracle`        problem; seed, budget                                       an oracle (Python only)
`counted_oracle`        problem; seed, budget                                       an oracle (Python only)
======================  ==========================================================  ==================================

Arguments after a semicolon are passed by name. Arrays that are passed cannot be written to. A baseline run is thetas
(T, d), vectors (T, d), targets (T,) and the last theta (d,), as `BaselineResult`. A multi-turn run is, a layer each,
thetas (H, d), targets [(K,)], pairs [[pair]] of prefix, first and second response, and a policy whose layers have a
precision (d, d), as `spanver.learners.multi_turn.MultiTurnRun`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from spanver.errors import ArgumentError, ContractError
from spanver.policies import TruncatedMixture
from spanver.validation import read_only, require, to_array
from spanver.values import FloatArray, IntArray, Prefix, Prompt, ResponseId

__all__ = ["FUNCTIONS", "BaselineResult", "MultiTurnResult", "SpannerResult", "Subject", "result_of", "subject_from"]


@dataclass(frozen=True)
class Subject:
    """An implementation that is verified.

    Attributes
    ----------
    name : str
    functions : mapping
        What it provides, by the names of the contract.
    approximation : float
        `C` of its barycentric spanners (B1).
    rounding : float
        Relative error that its ridge regressions are allowed (E7): iterative ones promise no more than their tolerance.
    may_fall_short : bool
        Whether its barycentric spanners may have fewer members than the rank; then only complete ones are judged.
    measured : frozenset of str
        Functions that promise nothing: what holds of them is reported and not judged.
    close : callable
        Called when it is not needed any more.
    """

    name: str
    functions: Mapping[str, Callable[..., Any]]
    approximation: float = 2.0
    rounding: float = 1e-9
    may_fall_short: bool = False
    measured: frozenset[str] = frozenset()
    close: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.functions) - set(FUNCTIONS))
        require(not unknown, "provides", unknown, f"some of: {', '.join(FUNCTIONS)}")
        object.__setattr__(self, "functions", MappingProxyType(dict(self.functions)))

    @property
    def provides(self) -> frozenset[str]:
        """Names of the functions that it provides."""
        return frozenset(self.functions)


@dataclass(frozen=True, eq=False)
class SpannerResult:
    """What `build_spanner` returns, as far as it is judged: `K` accepted pairs, and `Sigma`.

    Attributes
    ----------
    prompts, first, second : tuple, length K
    vectors : array, shape (K, d)
    targets : array, shape (K,)
    sigma : array, shape (d, d)
    """

    prompts: tuple[Prompt, ...]
    first: tuple[ResponseId, ...]
    second: tuple[ResponseId, ...]
    vectors: FloatArray
    targets: FloatArray
    sigma: FloatArray


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """What a baseline of A3 returns, as far as it is judged: what it learned in `T` rounds, and from what.

    Attributes
    ----------
    thetas : array, shape (T, d)
        Of each round, fitted to the data of the rounds before.
    vectors : array, shape (T, d)
    targets : array, shape (T,)
        Reward differences; for preferences 1 where the first is preferred, else -1.
    theta : array, shape (d,)
        Fitted to all data: that of the policy.
    count : int or None
        `N` of `best_of_n`.
    """

    thetas: FloatArray
    vectors: FloatArray
    targets: FloatArray
    theta: FloatArray
    count: int | None = None


@dataclass(frozen=True, eq=False)
class MultiTurnResult:
    """What `multi_turn` returns, as far as it is judged: of each of the `H` layers its spanner and its fit.

    Attributes
    ----------
    thetas : array, shape (H, d)
    precisions : tuple of H arrays, shape (d, d)
    prefixes : tuple of H tuples of Prefix
    first, second : tuple of H tuples
        Ids of the tokens of each pair.
    vectors : tuple of H arrays, shape (K, d)
    targets : tuple of H arrays, shape (K,)
    """

    thetas: FloatArray
    precisions: tuple[FloatArray, ...]
    prefixes: tuple[tuple[Prefix, ...], ...]
    first: tuple[tuple[ResponseId, ...], ...]
    second: tuple[tuple[ResponseId, ...], ...]
    vectors: tuple[FloatArray, ...]
    targets: tuple[FloatArray, ...]


def _vector(value: Any) -> FloatArray:
    return read_only(value, ndim=1, name="result")


def _log_vector(value: Any) -> FloatArray:
    array = to_array("result", value, (None,), finite=False).copy()
    require(not bool(np.isnan(array).any() or (array == np.inf).any()), "result", value, "finite, or minus infinity")
    return array


def _extended_number(value: Any) -> float:
    number = float(value)
    require(not np.isnan(number), "result", value, "a number")
    return number


def _indices(value: Any) -> IntArray:
    array = np.asarray(value)
    require(array.ndim == 1, "the number of dimensions of result", array.ndim, "1")
    require(array.dtype.kind in "iu" or array.size == 0, "result", value, "of integers")
    return array.astype(np.int64)


def _part(value: Any, name: str) -> Any:
    """Part of a result that is a mapping or an object."""
    if isinstance(value, Mapping):
        require(name in value, "result", sorted(map(str, value)), f"with the key {name}")
        return value[name]
    require(hasattr(value, name), "result", value, f"with the attribute {name}")
    return getattr(value, name)


def _identity(value: Any) -> ResponseId:
    if isinstance(value, Mapping) or hasattr(value, "id"):
        value = _part(value, "id")
    return value if isinstance(value, str) else operator.index(value)


def _spanner(value: Any) -> SpannerResult:
    dimension = len(np.asarray(_part(value, "sigma")))
    vectors = np.asarray(_part(value, "vectors"), dtype=np.float64).reshape(-1, dimension)
    result = SpannerResult(
        prompts=tuple(map(_identity, _part(value, "prompts"))),
        first=tuple(map(_identity, _part(value, "first"))),
        second=tuple(map(_identity, _part(value, "second"))),
        vectors=read_only(vectors, ndim=2, name="vectors"),
        targets=read_only(_part(value, "targets"), ndim=1, name="targets"),
        sigma=read_only(_part(value, "sigma"), ndim=2, name="sigma"),
    )
    for name in ("prompts", "first", "second", "targets"):
        length = len(getattr(result, name))
        require(length == len(result.vectors), f"the length of {name}", length, f"{len(result.vectors)}, as of vectors")
    return result


def _baseline(value: Any) -> BaselineResult:
    policy = getattr(value, "policy", value)
    result = BaselineResult(
        thetas=read_only(_part(value, "thetas"), ndim=2, name="thetas"),
        vectors=read_only(_part(value, "vectors"), ndim=2, name="vectors"),
        targets=read_only(_part(value, "targets"), ndim=1, name="targets"),
        theta=read_only(_part(policy, "theta"), ndim=1, name="theta"),
    )
    rounds, dimension = len(result.targets), len(result.theta)
    for name in ("thetas", "vectors"):
        shape = getattr(result, name).shape
        require(shape == (rounds, dimension), f"the shape of {name}", shape, f"{(rounds, dimension)}, as of the others")
    return result


def _best_of_n(value: Any) -> BaselineResult:
    count = operator.index(_part(getattr(value, "policy", value), "count"))
    return replace(_baseline(value), count=count)


def _layers(value: Any) -> tuple[FloatArray, ...]:
    return tuple(read_only(layer, ndim=2, name="a layer of result") for layer in value)


def _multi_turn(value: Any) -> MultiTurnResult:
    thetas = read_only(_part(value, "thetas"), ndim=2, name="thetas")
    pairs, horizon = [tuple(layer) for layer in _part(value, "pairs")], len(thetas)
    result = MultiTurnResult(
        thetas=thetas,
        precisions=tuple(
            read_only(_part(layer, "precision"), ndim=2, name="precision")
            for layer in _part(_part(value, "policy"), "layers")
        ),
        prefixes=tuple(tuple(_part(pair, "prefix") for pair in layer) for layer in pairs),
        first=tuple(tuple(_identity(_part(pair, "first")) for pair in layer) for layer in pairs),
        second=tuple(tuple(_identity(_part(pair, "second")) for pair in layer) for layer in pairs),
        vectors=tuple(
            read_only(np.array([pair.difference for pair in layer]).reshape(-1, thetas.shape[1]), ndim=2, name="pairs")
            for layer in pairs
        ),
        targets=tuple(read_only(layer, ndim=1, name="targets") for layer in _part(value, "targets")),
    )
    for name in ("precisions", "vectors", "targets"):
        length = len(getattr(result, name))
        require(length == horizon, f"the layers of {name}", length, f"{horizon}, as of thetas")
    sizes, fitted = [len(each) for each in result.vectors], [len(each) for each in result.targets]
    require(sizes == fitted, "the lengths of targets", fitted, f"{sizes}, as of pairs")
    return result


def _policy(value: Any) -> TruncatedMixture:
    policy = value if isinstance(value, Mapping) else getattr(value, "policy", value)
    thetas = read_only(_part(policy, "thetas"), ndim=2, name="thetas")
    precision = read_only(_part(policy, "precision"), ndim=2, name="precision")
    return TruncatedMixture(thetas, precision, float(_part(policy, "nu")))


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "elliptic_norms": _vector,
        "log_softmax": _log_vector,
        "truncated_scores": _vector,
        "kl_divergence": _extended_number,
        "log_coverage": _extended_number,
        "fit": _vector,
        "ridge_regression": _vector,
        "draw": _indices,
        "barycentric_spanner": _indices,
        "covering_list": _indices,
        "pivoted_diagonal": _vector,
        "softmax_sample": _identity,
        "race_sample": _identity,
        "build_spanner": _spanner,
        "spanner_sampling": _policy,
        "passive_learner": _baseline,
        "online_dpo": _baseline,
        "xpo": _baseline,
        "elliptical_enumeration": _baseline,
        "best_of_n": _best_of_n,
        "soft_q": _layers,
        "multi_turn": _multi_turn,
        "literal_oracle": lambda oracle: oracle,
        "counted_oracle": lambda oracle: oracle,
    }
)
"""The form of each result, by the name of the function."""


def result_of(name: str, value: Any) -> Any:
    """Bring the result of a function into the one form that the properties use.

    Raises
    ------
    ContractError
        In one sentence.
    """
    try:
        return FUNCTIONS[name](value)
    except (ArgumentError, OverflowError, TypeError, ValueError) as error:
        raise ContractError(f"{name} broke the contract: {error}") from error


def subject_from(value: Any, name: str) -> Subject:
    """Subject from anything that has the functions it declares in `provides` as attributes: a module, an object.

    Parameters
    ----------
    value : object
        A `Subject` is returned as it is.
    name : str
        Used if the object has no name of its own.

    Raises
    ------
    ArgumentError
        If `provides` is missing, or names what is not there.
    """
    if isinstance(value, Subject):
        return value
    provides = getattr(value, "provides", None)
    if not isinstance(provides, frozenset | set | tuple | list) or not all(isinstance(each, str) for each in provides):
        raise ArgumentError("provides", provides, f"a set of names out of: {', '.join(FUNCTIONS)}")
    missing = sorted(each for each in provides if not callable(getattr(value, each, None)))
    require(not missing, "provides", missing, "functions that the subject has")
    own_name = getattr(value, "name", None)
    return Subject(
        name=own_name if isinstance(own_name, str) else name,
        functions={each: getattr(value, each) for each in provides},
        approximation=float(getattr(value, "approximation", Subject.approximation)),
        rounding=float(getattr(value, "rounding", Subject.rounding)),
        may_fall_short=bool(getattr(value, "may_fall_short", False)),
        measured=frozenset(getattr(value, "measured", ())),
    )
