"""The results of any subject (dataclasses, mappings, nested lists) in one form, that of these dataclasses."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spanver.policies import TruncatedMixture
from spanver.validation import read_only, require, to_array
from spanver.values import FloatArray, IntArray, Prompt, ResponseId


@dataclass(frozen=True)
class DensityResult:
    """A response and its density ratio (R8).

    Attributes
    ----------
    response : ResponseId
    log_ratio : float
    """

    response: ResponseId
    log_ratio: float


@dataclass(frozen=True, eq=False)
class SpannerResult:
    """The part of a spanner that is judged: `K` accepted pairs, and `Sigma`.

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
    """The part of a baseline run (A3) that is judged: its fits, and its data of `T` rounds.

    Attributes
    ----------
    thetas : array, shape (T, d)
        The fit of each round, to the data of the rounds before.
    vectors : array, shape (T, d)
    targets : array, shape (T,)
        Reward differences; for preferences 1 where the first is preferred, else -1.
    theta : array, shape (d,)
        The fit to all data, which is that of the policy.
    count : int or None
        `N` of `best_of_n`.
    """

    thetas: FloatArray
    vectors: FloatArray
    targets: FloatArray
    theta: FloatArray
    count: int | None = None


@dataclass(frozen=True, eq=False)
class ValueResult:
    """What FitValue returns for a core-set of `n` pairs.

    Attributes
    ----------
    theta : array, shape (d,)
    targets : array, shape (n,)
        What it is fitted to: the mean difference of returns of each pair.
    """

    theta: FloatArray
    targets: FloatArray


@dataclass(frozen=True)
class PairResult:
    """What UncertainStateAction returns.

    Attributes
    ----------
    state : int
        Its number in the layer.
    action : int
    """

    state: int
    action: int


@dataclass(frozen=True, eq=False)
class MTSSResult:
    """The part of a run of MTSS that is judged, of `T` iterations and `H` layers.

    Attributes
    ----------
    thetas : array, shape (T, H, d)
        What each iteration fitted.
    states, actions : array of int, shape (T, H)
        The pair that each iteration added to the core-set of each layer.
    largest : array, shape (T, H)
        Squared norm of that pair, by the `Sigma` that the iteration began with.
    returned : int
        The iteration whose policy is returned, from 1.
    certain : bool
        Whether its search found nothing uncertain.
    """

    thetas: FloatArray
    states: IntArray
    actions: IntArray
    largest: FloatArray
    returned: int
    certain: bool


def vector(value: Any) -> FloatArray:
    """A vector of finite numbers, shape (n,)."""
    return read_only(value, ndim=1, name="result")


def log_vector(value: Any) -> FloatArray:
    """A vector of logarithms, shape (n,): finite, or minus infinity."""
    array = to_array("result", value, (None,), finite=False).copy()
    require(not bool(np.isnan(array).any() or (array == np.inf).any()), "result", value, "finite, or minus infinity")
    return array


def extended_number(value: Any) -> float:
    """A number that may be infinite."""
    number = float(value)
    require(not np.isnan(number), "result", value, "a number")
    return number


def indices(value: Any) -> IntArray:
    """Indices, shape (n,)."""
    return _integers(value, 1)


def index_rows(value: Any) -> IntArray:
    """Rows of indices, shape (m, n)."""
    return _integers(value, 2)


def _integers(value: Any, dimensions: int) -> IntArray:
    array = np.asarray(value)
    require(array.ndim == dimensions, "the number of dimensions of result", array.ndim, str(dimensions))
    require(array.dtype.kind in "iu" or array.size == 0, "result", value, "of integers")
    return array.astype(np.int64)


def _part(value: Any, name: str) -> Any:
    """Return a part of a result, which is a mapping or an object."""
    if isinstance(value, Mapping):
        require(name in value, "result", sorted(map(str, value)), f"with the key {name}")
        return value[name]
    require(hasattr(value, name), "result", value, f"with the attribute {name}")
    return getattr(value, name)


def identity(value: Any) -> ResponseId:
    """The id of a response, from the response or the id itself."""
    if isinstance(value, Mapping) or hasattr(value, "id"):
        value = _part(value, "id")
    return value if isinstance(value, str) else operator.index(value)


def density(value: Any) -> DensityResult:
    """A response, or its id, with its density ratio in logs."""
    log_ratio = float(_part(value, "log_ratio"))
    require(np.isfinite(log_ratio), "log_ratio", log_ratio, "finite")
    return DensityResult(identity(_part(value, "response")), log_ratio)


def spanner(value: Any) -> SpannerResult:
    """Accepted pairs and `Sigma`."""
    dimension = len(np.asarray(_part(value, "sigma")))
    vectors = np.asarray(_part(value, "vectors"), dtype=np.float64).reshape(-1, dimension)
    result = SpannerResult(
        prompts=tuple(map(identity, _part(value, "prompts"))),
        first=tuple(map(identity, _part(value, "first"))),
        second=tuple(map(identity, _part(value, "second"))),
        vectors=read_only(vectors, ndim=2, name="vectors"),
        targets=read_only(_part(value, "targets"), ndim=1, name="targets"),
        sigma=read_only(_part(value, "sigma"), ndim=2, name="sigma"),
    )
    for name in ("prompts", "first", "second", "targets"):
        length = len(getattr(result, name))
        require(length == len(result.vectors), f"the length of {name}", length, f"{len(result.vectors)}, as of vectors")
    return result


def baseline(value: Any) -> BaselineResult:
    """Fits and data of a baseline run."""
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


def best_of_n(value: Any) -> BaselineResult:
    """Fits and data of best-of-N, with its `N`."""
    count = operator.index(_part(getattr(value, "policy", value), "count"))
    return replace(baseline(value), count=count)


def layers(value: Any) -> tuple[FloatArray, ...]:
    """The arrays of all layers."""
    return tuple(read_only(layer, ndim=2, name="a layer of result") for layer in value)


def value_fit(value: Any) -> ValueResult:
    """The parameter of a layer, and what it is fitted to."""
    return ValueResult(
        theta=read_only(_part(value, "theta"), ndim=1, name="theta"),
        targets=read_only(_part(value, "targets"), ndim=1, name="targets"),
    )


def pair(value: Any) -> PairResult:
    """A state of a layer, and an action."""
    return PairResult(operator.index(_part(value, "state")), operator.index(_part(value, "action")))


def mtss_run(value: Any) -> MTSSResult:
    """Fits and added pairs of every iteration, and which one is returned."""
    certain = _part(value, "certain")
    require(isinstance(certain, bool | np.bool_), "certain", certain, "True or False")
    result = MTSSResult(
        thetas=read_only(_part(value, "thetas"), ndim=3, name="thetas"),
        states=_integers(_part(value, "states"), 2),
        actions=_integers(_part(value, "actions"), 2),
        largest=read_only(_part(value, "largest"), ndim=2, name="largest"),
        returned=operator.index(_part(value, "returned")),
        certain=bool(certain),
    )
    shape = result.thetas.shape[:2]
    for name in ("states", "actions", "largest"):
        of_part = getattr(result, name).shape
        require(of_part == shape, f"the shape of {name}", of_part, f"{shape}, as of thetas")
    require(1 <= result.returned <= shape[0], "returned", result.returned, f"from 1 to {shape[0]}")
    return result


def policy(value: Any) -> TruncatedMixture:
    """The mixture that A2 returns."""
    policy = value if isinstance(value, Mapping) else getattr(value, "policy", value)
    thetas = read_only(_part(policy, "thetas"), ndim=2, name="thetas")
    precision = read_only(_part(policy, "precision"), ndim=2, name="precision")
    return TruncatedMixture(thetas, precision, float(_part(policy, "nu")))
